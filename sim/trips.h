/* The judgement of letters that go on from one host of ours to another, or come back as reports. A letter has
 * recipients (paths); each ends at one leaf or, through an alias, at several:
 *
 *   delivered here    exactly one copy
 *   delivered there   a copy, and no more than the uncertain windows explain (O2)
 *   reported          one report in the sender's mailbox that names it, no copy
 *
 * never both, never neither (O1), and nobody is told twice that a letter is late. */
#ifndef SIM_TRIPS_H
#define SIM_TRIPS_H

#include "sim/ledger.h"

enum sim_end { SIM_HERE, SIM_THERE, SIM_REPORTED };

struct sim_leaf {
    const char *path; /* as it is delivered, or named in reports */
    enum sim_end end;
    const char *mailbox; /* account */
    unsigned by;         /* number of the path that leads to it */
};

#define SIM_LEAVES 7
#define SIM_PATHS  6
extern const struct sim_leaf sim_leaves[SIM_LEAVES];
extern const char *const sim_paths[SIM_PATHS]; /* what senders write to */
#define SIM_SENDER "sender"                    /* account of who sends, and is told; at example.org */

struct sim_trip {
    unsigned copies[SIM_LEAVES], failed[SIM_LEAVES], delayed[SIM_LEAVES]; /* as last counted */
    unsigned windows[SIM_LEAVES];
    unsigned candidates; /* bit n: leaf n may have been sent and not noted */
};

struct sim_trips {
    struct sim_ledger ledger;
    struct sim_trip *trips; /* by number of the letter */
    size_t cap;
    unsigned breaks; /* links between the hosts that broke: each may be a window for any letter */
};

struct sim_sums {
    uint64_t accepted, delivered, reports, delays, duplicates;
};

void sim_trips_free(struct sim_trips *trips);
struct sim_trip *sim_trip(struct sim_trips *trips, uint32_t letter); /* lives until a letter is added */
unsigned sim_leaf_find(struct view path);                            /* SIM_LEAVES: none */

void sim_trips_count_begin(struct sim_trips *trips);
/* A file in the mailbox of a leaf, or of the sender (a report). false: ledger.error says what is wrong. */
bool sim_trips_count_copy(struct sim_trips *trips, unsigned leaf, struct view file);
bool sim_trips_count_report(struct sim_trips *trips, struct view file);
bool sim_trips_complete(struct sim_trips *trips); /* nothing is missing of what was accepted */
bool sim_trips_judge(struct sim_trips *trips);    /* when all is at rest */
void sim_trips_sum(struct sim_trips *trips, struct sim_sums *sums);
void sim_sums_print(const struct sim_sums *sums); /* a line */

#endif

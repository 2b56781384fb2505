/* A whole scene: one world, one Gonets host, people who send to it, and the ledger of what was promised to them. Faults
 * are done to it from outside of every turn; in the end the world heals and the ledger is judged. */
#ifndef SIM_SCENE_H
#define SIM_SCENE_H

#include "sim/host.h"
#include "sim/sender.h"

#define SIM_SENDERS_MAX 16

struct sim {
    struct mem_world *world;
    struct mem_host *host, *clients;
    struct sim_ledger ledger;
    struct sim_sender *senders[SIM_SENDERS_MAX];
    size_t sender_count;
    unsigned boots_left; /* looks at whether the supervisor is there, by sim_kill() */
    bool loud;           /* tells on standard output what happens */
};

/* disk: NULL, or what an earlier scene has left; before: its ledger, or NULL. The host is booted. */
void sim_begin(struct sim *sim, uint64_t seed, struct mem_disk *disk, const struct sim_ledger *before, bool loud);
void sim_end(struct sim *sim);
/* The disk, out of the world; the ledger stays, and everything else ends. */
struct mem_disk *sim_take_disk(struct sim *sim);
void sim_send(struct sim *sim, const struct sim_plan *plan);

bool sim_all_sent(const struct sim *sim);
/* Every letter that was accepted lies in its mailboxes; false also when a file is wrong. */
bool sim_delivered(struct sim *sim);
/* So many µs, or until the disk is cut. */
void sim_run(struct sim *sim, uint64_t us);
/* Until everything was sent and delivered, and some time more; false: not in hours, or the ledger's judgement, or the
 * disk was cut (then without a word in ledger.error). */
bool sim_finish(struct sim *sim);

/* After a fault that may have made a worker forget what it did: each copy that is there may come once more. */
void sim_uncertain(struct sim *sim);
/* The power goes and comes back. */
void sim_power_cut(struct sim *sim, struct mem_choice choice);
/* Kill -9 of the nth process of a role; false: there is none. When it is the supervisor it is started anew, as by an
 * init. */
bool sim_kill(struct sim *sim, const char *role, size_t nth);
void sim_say(const struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3))); /* when loud */

#endif

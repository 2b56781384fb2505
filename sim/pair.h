/* Two whole hosts in one world, 'here' (example.org) and 'there' (example.net), found by each other through MX.
 * Somebody sends letters here to recipients of both; what comes of them is judged by the trips when all is at rest. */
#ifndef SIM_PAIR_H
#define SIM_PAIR_H

#include "sim/host.h"
#include "sim/sender.h"
#include "sim/trips.h"

enum { HERE, THERE, PAIR_HOSTS };
#define PAIR_SENDERS_MAX 8
#define PAIR_HERE_IP     "192.0.2.1"
#define PAIR_THERE_IP    "192.0.2.2"

struct pair {
    struct mem_world *world;
    struct mem_host *hosts[PAIR_HOSTS], *clients, *observer;
    struct sim_trips trips;
    struct sim_sender *senders[PAIR_SENDERS_MAX];
    size_t sender_count;
    uint64_t live; /* recipients, as last seen */
    bool loud;
};

/* Both are booted. Nobody there knows erin before slow_us: 4xx until then; 0: known at once. */
void pair_begin(struct pair *pair, uint64_t seed, uint64_t slow_us, bool loud);
void pair_end(struct pair *pair);
void pair_send(struct pair *pair, const struct sim_mail *mails, size_t count, bool one_each);
struct mem_disk *pair_disk(struct pair *pair, unsigned host);

/* Until everything was sent, and both spools hold no recipient that waits; then the judgement, also of what would be
 * left by a power cut now. false: the error says why; or a disk was cut, then at once and without an error. */
bool pair_finish(struct pair *pair);
bool pair_is_cut(struct pair *pair);

/* The power of these hosts (bits 1 << HERE, 1 << THERE) goes, and comes back after a second. */
void pair_cut_power(struct pair *pair, unsigned hosts, struct mem_choice choice);
/* Kill -9 of the nth process of a role; a supervisor is started again by an init. false: there is none. */
bool pair_kill(struct pair *pair, unsigned host, const char *role, size_t nth);

/* Uncertain windows: what the spool here holds as not served, when a fault happens, and lies there already a moment
 * after it, may be sent once more. From outside of every turn. */
void pair_fault_begins(struct pair *pair);
void pair_fault_ends(struct pair *pair);

void pair_say(const struct pair *pair, const char *format, ...) __attribute__((format(printf, 2, 3))); /* when loud */

#endif

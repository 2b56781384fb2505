/* A simulated machine with the whole of Gonets on it: the real roles, started and joined by the real supervisor.
 * Everything begins from its disk: configuration, spool, homes. */
#ifndef SIM_HOST_H
#define SIM_HOST_H

#include "os/mem/os_mem.h"
#include "sim/ledger.h"

#define SIM_HOST_IP "192.0.2.1"
#define SIM_NAME    "mx.example.org"

extern const char *const sim_users[SIM_USERS]; /* accounts; their mailboxes: NAME@example.org */

/* What makes a machine of ours differ from others. */
struct sim_site {
    const char *name, *ip, *config;
    const struct os_user *people; /* beside the accounts of the roles; each has a home */
    size_t people_count;
};

/* disk: NULL for a new one; else the host's from now on. */
struct mem_host *sim_host_new(struct mem_world *world, struct mem_disk *disk); /* the one of SIM_NAME */
struct mem_host *sim_host_new_at(struct mem_world *world, const struct sim_site *site, struct mem_disk *disk);
/* Starts the supervisor, after sim_host_new(), after its end, or after a power cut. */
void sim_host_boot(struct mem_host *host);
/* The supervisor is asked to stop, as by SIGTERM. */
void sim_host_stop(struct mem_host *host);
bool sim_host_runs(struct mem_host *host); /* is there a supervisor? */
/* Counts what lies in the mailboxes, as everybody reads it now. false: a file is wrong, see ledger->error. */
bool sim_host_count(const struct mem_disk *disk, struct sim_ledger *ledger);

#endif

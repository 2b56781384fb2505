/* Somebody who sends: a process with the real client machine, on a host of its own, that works off a list of mails.
 * What was not taken is tried again later, as a letter with a number of its own. */
#ifndef SIM_SENDER_H
#define SIM_SENDER_H

#include "os/mem/os_mem.h"
#include "sim/ledger.h"

#define SIM_PATHS_MAX 8

struct sim_mail {
    size_t size;
    unsigned to; /* bit n: user n of the ledger, or path n of the plan */
};

struct sim_plan {
    const struct sim_mail *mails; /* the caller's */
    size_t count;
    const char *reverse_path; /* NULL: sender@example.net */
    const char *const *paths; /* recipients; NULL: the mailboxes of the ledger's users */
    unsigned path_count;
    bool one_each;        /* a connection for each mail */
    bool single_commands; /* no pipelining although it is offered */
    unsigned tries_max;   /* of one mail; 0: for ever */
    uint64_t pause_us;    /* before a further try, and longer with each; 0: a second */
};

struct sim_sender;

/* Begins at once; ends with its world. letters go into the ledger. */
struct sim_sender *sim_sender_new(struct mem_host *host, struct sim_ledger *ledger, const struct sim_plan *plan);
void sim_sender_free(struct sim_sender *sender);       /* before or after its world */
bool sim_sender_done(const struct sim_sender *sender); /* every mail was taken, or given up */
size_t sim_sender_given_up(const struct sim_sender *sender);

#endif

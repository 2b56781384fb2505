/* The supervisor: reads the configuration, opens listeners and the spool, starts the roles each in a process of its own, gives
 * them what they need to work, joins them by links, and replaces those that die. It reads no byte from the network. */
#ifndef GONETSD_SUPERVISOR_H
#define GONETSD_SUPERVISOR_H

#include "conf/conf.h"
#include "os/os.h"
#include "spool/spool.h"

struct supervisor_options {
    const char *config;   /* path of the configuration; NULL: try mode */
    const char *try_dir;  /* try mode: the folder of spool and Maildir, which is the working directory; its name for people */
    uint16_t try_port;    /* on 127.0.0.1 */
    const char *try_command; /* how people can start gonets */
};

struct supervisor;

/* Exit codes of sysexits(3): configuration 78, something missing or taken 69, not allowed 77. NULL: *exit_code says which, and
 * the reason was logged. */
struct supervisor *supervisor_new(struct os *os, const struct supervisor_options *options, int *exit_code);
void supervisor_free(struct supervisor *supervisor);

/* setup.c: what must be there before the first role is started. */
struct setup {
    struct conf conf;
    uint64_t generation;      /* of conf: 1 at the start, one more with each reload */
    struct view text;         /* the effective configuration, as the roles get it */
    struct os_dir *spool, *mail; /* mail: try mode, where mailboxes lie; else NULL */
    struct spool_locks locks;
    unsigned workers;
    struct os_listener **listeners; /* workers × listens, in that order */
    size_t listen_count;
    struct address *addresses; /* of each listen, with the port that was taken */
    /* only while it is being made */
    struct buffer *said;        /* what is wrong, for who asked; NULL: the log is enough */
    const struct setup *former; /* whose listeners may be taken over */
};

bool setup_open(struct setup *setup, struct os *os, const struct supervisor_options *options, int *exit_code);
void setup_close(struct setup *setup);
/* The setup of a changed configuration: listeners that stay, spool and locks are those of `former`; the others are opened. false:
 * *said says why, line by line, and nothing has changed. */
bool setup_again(struct setup *setup, struct setup *former, struct os *os, const struct supervisor_options *options,
                 struct buffer *said);
/* Frees one of two setups, closing the listeners that the other does not have. */
void setup_end(struct setup *setup, const struct setup *other);

#endif

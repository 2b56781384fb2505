/* Asks something of the running server, over the control socket in its spool. */
#ifndef GONETS_REACH_H
#define GONETS_REACH_H

#include "conf/conf.h"
#include "ipc/ipc.h"
#include "ipc/message.h"

#define GONETS_CONFIG_FILE "/etc/gonets/gonets.conf"

struct gonets_server {
    const char *command; /* our name, for what is said */
    const char *config;  /* tells where the spool is */
    const char *spool;   /* or so; NULL: by the configuration */
};

/* Each on a line of standard error, behind `kind`. */
void gonets_say_errors(const struct conf_error *error, const char *kind);
/* Reads a configuration; what is wrong with it goes to standard error. false: it is no good. The
 * configuration is to be freed in both cases. */
bool gonets_read_conf(struct os *os, const char *file, struct conf *conf);

/* Where its spool is, ended by a NUL; path: CONF_PATH_MAX + 1 bytes. An exit code; what is wrong was said. */
int gonets_find_spool(struct os *os, const struct gonets_server *server, struct buffer *path);

/* The link to the server; an exit code, and why it is not GONETS_OK was said. */
int gonets_reach(struct os *os, const struct gonets_server *server, struct os_link **link);

/* Asks, and waits for the answer, whose text is printed. process is called for each IPC_PROCESS that comes before it.
 * An exit code. */
int gonets_ask(const struct gonets_server *server, enum ipc_command what,
               void (*process)(void *ctx, const struct ipc_process *process), void *ctx);

/* Takes one of the options -c FILE and --spool DIR at argv[*i], which then stands at its last word. */
bool gonets_server_option(struct gonets_server *server, int argc, char **argv, int *i);

#endif

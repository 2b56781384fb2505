/* The platform over Linux, as the main programs see it: make the one struct os of the process, run its loop, end it.
 * Everything else is os/os.h. */
#ifndef OS_LINUX_OS_LINUX_H
#define OS_LINUX_OS_LINUX_H

#include "os/os.h"

/* Also sets the process up: descriptors 0 to 2 exist, SIGPIPE and SIGXFSZ are ignored, umask is 0 (every mode is said
 * by the operation that makes the file). NULL: no memory or no descriptors. roles: what os_spawn can start; borrowed.
 */
struct os *os_linux_new(const struct os_role *roles, size_t count);

/* Runs the loop until os_stop() and returns its code. When it returns no queue is at work any more: what was submitted
 * has been carried out, though its done() may not have come. */
int os_linux_run(struct os *os);

/* Ends the queues, says what the log still holds, closes every watched stream and link, frees. */
void os_linux_free(struct os *os);

/* The program that os_spawn starts; borrowed. Unless set it is the running one, even when its file was replaced. */
void os_linux_set_program(struct os *os, const char *path);

/* Where names are looked up: "127.0.0.1@5353", or NULL for the name servers of resolv.conf. Before the first query;
 * borrowed. Processes started from here inherit it. */
void os_linux_set_dns(struct os *os, const char *forwarder);

/* The file with the DNSSEC trust anchors of the root (as unbound-anchor writes it); without one no answer is secure.
 * Before the first query; borrowed; inherited. */
void os_linux_set_dns_anchors(struct os *os, const char *file);

/* The link to the server that holds the control socket `name` in `dir` (os_control). OS_NOT_FOUND, OS_REFUSED: there is none;
 * OS_DENIED: it is somebody else's. */
enum os_status os_linux_control_reach(struct os *os, struct os_dir *dir, const char *name, struct os_link **link);

/* Makes `dir` its working directory, made when absent (its parents must be there). Root becomes `account` for good, who then owns
 * a directory that was made here. false: said why on standard error. Before os_linux_new(). */
bool os_linux_enter(const char *dir, const char *account);

/* How people can start from any folder what they typed: a name found in PATH as it is, else the whole path. */
#define OS_LINUX_PATH_SIZE 4096
const char *os_linux_command(const char *typed, char whole[OS_LINUX_PATH_SIZE]);

/* For commands that are called by people: the account that calls (the real one), its owner's name, the name of the machine.
 * false: no memory, or there is no name. */
struct os_linux_invoker {
    char user[256], full_name[256], host[256];
};
bool os_linux_invoker(struct os_linux_invoker *who);
const char *os_linux_variable(const char *name); /* of the environment; NULL: not set */

/* Replaces the process by `program`, which lies beside the running one, or else in the folder `otherwise`. Returns only when that
 * failed; said why on standard error. argv[0] is the program's name. */
void os_linux_exec(const char *otherwise, const char *const argv[]);

/* The whole main() of a process that os_spawn started, which is one whose first argument is "--role":
 * `PROGRAM --role NAME [--dns FORWARDER] [--dns-anchors FILE]` with the link to the supervisor at descriptor 3. */
int os_linux_role_main(const struct os_role *roles, size_t count, int argc, char **argv);

/* How a child ends that did not get as far as its role, see os_spawn's on_exit. */
enum {
    OS_LINUX_EXIT_USAGE = 64,       /* not called by os_spawn, or an unknown role */
    OS_LINUX_EXIT_NO_START = 69,    /* the role's start() returned NULL */
    OS_LINUX_EXIT_NO_ACCOUNT = 126, /* could not become the user it should run as, or set its limits */
    OS_LINUX_EXIT_NO_PROGRAM = 127,
};

#endif

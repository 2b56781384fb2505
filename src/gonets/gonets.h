/* The command: one subcommand per file. */
#ifndef GONETS_GONETS_H
#define GONETS_GONETS_H

/* Exit codes of sysexits(3). */
enum {
    GONETS_OK = 0,
    GONETS_USAGE = 64, /* wrong option */
    GONETS_DATA = 65,  /* wrong input; refused for good */
    GONETS_NO_INPUT = 66,
    GONETS_NO_HOST = 68,
    GONETS_UNAVAILABLE = 69,
    GONETS_SOFTWARE = 70,
    GONETS_OS = 71,
    GONETS_IO = 74,
    GONETS_TEMPORARY = 75, /* try again later */
    GONETS_PROTOCOL = 76,
    GONETS_NO_PERMISSION = 77,
    GONETS_CONFIG = 78,
};

/* A subcommand gets its own name in argv[0]; before it stands the program's. Its help() is printed for --help and, on a
 * wrong option, hinted at. */
struct gonets_command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
};

int gonets_try(int argc, char **argv);
int gonets_check(int argc, char **argv);
int gonets_serve(int argc, char **argv);
int gonets_send(int argc, char **argv);
int gonets_spool(int argc, char **argv);
int gonets_sendmail(int argc, char **argv);
int gonets_newaliases(int argc, char **argv);
int gonets_mailq(int argc, char **argv);
int gonets_queue(int argc, char **argv);
int gonets_trace(int argc, char **argv);
int gonets_route(int argc, char **argv);
int gonets_reload(int argc, char **argv);
int gonets_status(int argc, char **argv);

/* "gonets try: unknown option '--prot'; see gonets try --help", and GONETS_USAGE. */
int gonets_wrong(const char *command, const char *what, const char *word);

#endif

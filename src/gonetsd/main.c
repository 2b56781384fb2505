/* gonetsd: the server. `gonets serve` and `gonets try` start it; it starts itself again for each role. */
#include <stdio.h>
#include <string.h>

#include "gonetsd/roles.h"
#include "gonetsd/supervisor.h"
#include "os/linux/os_linux.h"

#define EX_USAGE 64

static const struct os_role roles[] = {
    { "smtpd", smtpd_start, smtpd_stop },    { "qmgr", qmgr_start, qmgr_stop },
    { "auth", auth_start, auth_stop },       { "local", local_start, local_stop },
    { "mailbox", mailbox_start, mailbox_stop }, { "resolver", resolver_start, resolver_stop },
    { "smtp", smtp_start, smtp_stop },
};

#define ROLE_COUNT (sizeof roles / sizeof roles[0])

static int supervise(const struct supervisor_options *options)
{
    int code = 71; /* EX_OSERR */
    struct os *os = os_linux_new(roles, ROLE_COUNT);
    struct supervisor *supervisor = os ? supervisor_new(os, options, &code) : NULL;
    if (supervisor) {
        code = os_linux_run(os);
        supervisor_free(supervisor);
    }
    if (os)
        os_linux_free(os);
    return code;
}

static int usage(void)
{
    fputs("usage: gonetsd serve FILE | gonetsd try DIR PORT COMMAND\n"
          "Start it by `gonets serve -c FILE` or `gonets try`.\n", stderr);
    return EX_USAGE;
}

static int try_out(const char *dir, const char *port, const char *command)
{
    uint64_t number;
    if (!view_to_u64(view_of(port), 65535, &number))
        return usage();
    if (!os_linux_enter(dir, "nobody"))
        return 77; /* EX_NOPERM; said why */
    return supervise(&(struct supervisor_options){ .try_dir = dir, .try_port = (uint16_t)number, .try_command = command });
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "--role") == 0)
        return os_linux_role_main(roles, ROLE_COUNT, argc, argv);
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return supervise(&(struct supervisor_options){ .config = argv[2] });
    if (argc == 5 && strcmp(argv[1], "try") == 0)
        return try_out(argv[2], argv[3], argv[4]);
    return usage();
}

/* gonets reload: the running server reads its configuration again. */
#include <stdio.h>
#include <string.h>

#include "gonets/gonets.h"
#include "gonets/reach.h"

static const char help[] =
    "usage: gonets reload [-c FILE | --spool DIR]\n\n"
    "The running server reads its configuration again, without an interruption. See gonets-reload(1).\n\n"
    "  -c FILE      its configuration; " GONETS_CONFIG_FILE " when not given\n"
    "  --spool DIR  its spool, when the configuration cannot tell\n";

int gonets_reload(int argc, char **argv)
{
    struct gonets_server server = { "reload", GONETS_CONFIG_FILE, NULL };
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return GONETS_OK;
    }
    for (int i = 1; i < argc; i++)
        if (!gonets_server_option(&server, argc, argv, &i))
            return gonets_wrong("reload", "unknown or incomplete option", argv[i]);
    return gonets_ask(&server, IPC_COMMAND_RELOAD, NULL, NULL);
}

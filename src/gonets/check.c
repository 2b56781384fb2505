/* gonets check: reads a configuration as the server would, tells all that is wrong with it, and starts nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gonets/gonets.h"
#include "gonets/reach.h"
#include "os/linux/os_linux.h"

static const char help[] =
    "usage: gonets check [-c FILE] [--print] [--limits]\n\n"
    "Reads a configuration and tells what is wrong with it. See gonets-check(1) and gonets.conf(5).\n\n"
    "  -c FILE   the configuration; " GONETS_CONFIG_FILE " when not given\n"
    "  --print   the effective configuration, with all defaults\n"
    "  --limits  every limit, and what happens when it is reached\n";

struct options {
    const char *file;
    bool print, limits;
};

static int read_options(struct options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--print") == 0)
            options->print = true;
        else if (strcmp(argv[i], "--limits") == 0)
            options->limits = true;
        else if (strcmp(argv[i], "-c") != 0)
            return gonets_wrong("check", "unknown option", argv[i]);
        else if (++i == argc)
            return gonets_wrong("check", "a file is needed:", "-c FILE");
        else
            options->file = argv[i];
    }
    return GONETS_OK;
}

static int show(const struct conf *conf, const struct options *options)
{
    char memory[4096];
    struct buffer text, limits = BUFFER_OF(memory);
    if (!conf_print_new(conf, &text) || !conf_print_limits(conf, &limits)) {
        fputs("gonets check: no memory to print the configuration\n", stderr);
        return GONETS_OS;
    }
    if (options->print)
        fwrite(text.at, 1, text.len, stdout);
    if (options->limits)
        fwrite(limits.at, 1, limits.len, stdout);
    if (!options->print && !options->limits) {
        fputs(options->file, stdout);
        fputs(": good\n", stdout);
    }
    free(text.at);
    return fflush(stdout) == 0 ? GONETS_OK : GONETS_IO;
}

static int check(const struct options *options, struct os *os)
{
    struct conf conf;
    bool good = gonets_read_conf(os, options->file, &conf);
    if (good)
        gonets_say_errors(conf.warnings, "warning: ");
    int code = good ? show(&conf, options) : GONETS_CONFIG;
    conf_free(&conf);
    return code;
}

int gonets_check(int argc, char **argv)
{
    struct options options = { .file = GONETS_CONFIG_FILE };
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return GONETS_OK;
    }
    int code = read_options(&options, argc, argv);
    if (code != GONETS_OK)
        return code;
    struct os *os = os_linux_new(NULL, 0);
    if (!os)
        return GONETS_OS;
    code = check(&options, os);
    os_linux_free(os);
    return code;
}

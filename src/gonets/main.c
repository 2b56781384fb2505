#include <stdio.h>
#include <string.h>

#include "base/view.h"
#include "gonets/gonets.h"

static const struct gonets_command commands[] = {
    { "try", "a mail server for trying out, no configuration needed", gonets_try },
    { "serve", "the mail server", gonets_serve },
    { "check", "reads a configuration and tells what is wrong with it", gonets_check },
    { "route", "shows where a message would go, and by which rule", gonets_route },
    { "reload", "makes the running server read its configuration again", gonets_reload },
    { "status", "shows the processes of the running server", gonets_status },
    { "queue", "what waits for delivery; retry, hold, release, fail, delete", gonets_queue },
    { "trace", "what happened to a message", gonets_trace },
    { "send", "gives a message to a mail server", gonets_send },
    { "spool", "make a spool, or look into one", gonets_spool },
};

/* Names under which other programs know it. */
static const struct gonets_command names[] = {
    { "sendmail", NULL, gonets_sendmail },
    { "mailq", NULL, gonets_mailq },
    { "newaliases", NULL, gonets_newaliases },
};

int gonets_wrong(const char *command, const char *what, const char *word)
{
    fprintf(stderr, "gonets %s: %s '", command, what);
    for (; *word; word++) /* it may be somebody else's, in a script */
        fputc((unsigned char)*word < 32 || *word == 127 ? '?' : *word, stderr);
    fprintf(stderr, "'; see gonets %s --help\n", command);
    return GONETS_USAGE;
}

static void help(FILE *to)
{
    fputs("usage: gonets COMMAND [OPTION ...]\n\n", to);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs("\ngonets COMMAND --help tells the options; the manual is gonets(1) and gonets-COMMAND(1).\n", to);
}

static struct view called_as(const char *path)
{
    struct view name = view_of(path);
    size_t slash = view_find_last(name, '/');
    return slash < name.len ? view_slice(name, slash + 1, name.len) : name;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc && i < sizeof names / sizeof names[0]; i++)
        if (view_equal(called_as(argv[0]), view_of(names[i].name)))
            return names[i].run(argc, argv);
    if (argc < 2) {
        help(stderr);
        return GONETS_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        help(stdout);
        return GONETS_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("gonets " GONETS_VERSION);
        return GONETS_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "gonets: unknown command '%s'; see gonets help\n", argv[1]);
    return GONETS_USAGE;
}

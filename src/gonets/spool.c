#include <stdio.h>
#include <string.h>

#include "gonets/gonets.h"
#include "gonetsd/conf_file.h"
#include "os/linux/os_linux.h"
#include "spool/spool.h"

static const char help[] =
    "usage: gonets spool create DIR | -c FILE\n"
    "       gonets spool check DIR | -c FILE\n"
    "       gonets spool dump DIR | -c FILE\n\n"
    "create makes an empty spool: DIR, or the one of a configuration. While no server runs there,\n"
    "check reads all of it and tells what is damaged, and dump also what is in it.\n"
    "See gonets-spool(1).\n";

static int failed(const char *dir, enum os_status status)
{
    const char *hint = status == OS_EXISTS ? "; a spool is made in an empty folder" : "";
    fprintf(stderr, "gonets spool: cannot make a spool in %s: %s%s\n", dir, os_status_text(status), hint);
    return status == OS_DENIED ? GONETS_NO_PERMISSION : GONETS_UNAVAILABLE;
}

/* The queue's process works in it, so it is made as its account. */
static int create(const char *dir, const char *account)
{
    enum os_status status;
    if (!os_linux_enter(dir, account))
        return GONETS_NO_PERMISSION;
    struct os *os = os_linux_new(NULL, 0);
    struct os_dir *here = os ? os_dir_path(os, ".", &status) : NULL;
    if (!here) {
        fprintf(stderr, "gonets spool: cannot open %s\n", dir);
        return GONETS_OS;
    }
    status = spool_create(os, here);
    os_dir_close(here);
    os_linux_free(os);
    return status == OS_OK ? GONETS_OK : failed(dir, status);
}

/* ---- check and dump ---- */

static void print_line(void *ctx, struct view text)
{
    (void)ctx;
    printf("%.*s\n", VIEW_FORMAT(text));
}

static int look_into(struct os *os, struct os_dir *here, const char *dir, bool dump)
{
    const struct spool_look look = { NULL, print_line, dump };
    struct spool_locks locks = { NULL, NULL };
    if (spool_lock(os, here, &locks) == OS_LOCKED) {
        fprintf(stderr, "gonets spool: a server is at work in %s; stop it first\n", dir);
        return GONETS_TEMPORARY;
    }
    uint64_t faults = spool_look_at(os, here, &look);
    spool_unlock(&locks);
    return faults ? GONETS_DATA : GONETS_OK;
}

static int look_at(const char *dir, bool dump)
{
    enum os_status status = OS_NO_MEMORY;
    struct os *os = os_linux_new(NULL, 0);
    struct os_dir *here = os ? os_dir_path(os, dir, &status) : NULL;
    int code = GONETS_NO_INPUT;
    if (here) {
        code = look_into(os, here, dir, dump);
        os_dir_close(here);
    } else {
        fprintf(stderr, "gonets spool: cannot open %s: %s\n", dir, os_status_text(status));
    }
    if (os)
        os_linux_free(os);
    return code;
}

/* ---- the command ---- */

enum word { CREATE, CHECK, DUMP, WORDS };
static const char *const words[WORDS] = { "create", "check", "dump" };

static int act(enum word word, const char *dir, const char *account)
{
    return word == CREATE ? create(dir, account) : look_at(dir, word == DUMP);
}

static int act_configured(enum word word, const char *file)
{
    struct conf conf;
    char dir[CONF_PATH_MAX + 1], account[96];
    struct os *os = os_linux_new(NULL, 0);
    if (!os)
        return GONETS_OS;
    struct conf_files files = { os, 0 };
    const struct conf_source source = conf_files_source(&files);
    const struct conf_error *errors = conf_parse(&conf, view_of(file), &source);
    if (errors)
        fprintf(stderr, "gonets spool: %s is faulty; gonets check -c %s says where\n", file, file);
    snprintf(dir, sizeof dir, "%.*s", VIEW_FORMAT(conf.spool));
    snprintf(account, sizeof account, "%.*s-queue", VIEW_FORMAT(conf.user));
    conf_free(&conf);
    os_linux_free(os);
    return errors ? GONETS_CONFIG : act(word, dir, account);
}

int gonets_spool(int argc, char **argv)
{
    enum word word = CREATE;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return GONETS_OK;
    }
    while (argc >= 2 && word < WORDS && strcmp(argv[1], words[word]) != 0)
        word++;
    if (word == WORDS)
        return gonets_wrong("spool", "unknown word", argv[1]);
    if (argc == 4 && strcmp(argv[2], "-c") == 0)
        return act_configured(word, argv[3]);
    if (argc != 3)
        return gonets_wrong("spool", "what is wanted is", "create DIR, check DIR or dump DIR");
    return act(word, argv[2], "gonets-queue");
}

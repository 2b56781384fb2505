#include <stdio.h>
#include <string.h>

#include "gonets/gonets.h"
#include "gonetsd/conf_file.h"
#include "os/linux/os_linux.h"
#include "spool/spool.h"

static const char help[] = "usage: gonets spool create DIR\n"
                           "       gonets spool create -c FILE\n\n"
                           "Makes an empty spool: DIR, or the one of a configuration. See gonets-spool(1).\n";

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

static int create_configured(const char *file)
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
    return errors ? GONETS_CONFIG : create(dir, account);
}

int gonets_spool(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return GONETS_OK;
    }
    if (argc >= 2 && strcmp(argv[1], "create") != 0)
        return gonets_wrong("spool", "unknown word", argv[1]);
    if (argc == 4 && strcmp(argv[2], "-c") == 0)
        return create_configured(argv[3]);
    if (argc != 3)
        return gonets_wrong("spool", "what is wanted is", "create DIR");
    return create(argv[2], "gonets-queue");
}

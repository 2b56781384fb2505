#include "gonets/reach.h"

#include <stdio.h>
#include <string.h>

#include "gonets/gonets.h"
#include "gonetsd/conf_file.h"
#include "os/linux/os_linux.h"

#define CONTROL_NAME  "control"
#define ANSWER_US_MAX UINT64_C(30000000)

void gonets_say_errors(const struct conf_error *error, const char *kind)
{
    char memory[CONF_ERROR_MAX];
    for (; error; error = error->next) {
        struct buffer line = BUFFER_OF(memory);
        conf_error_add(&line, error);
        fprintf(stderr, "%s%.*s\n", kind, (int)line.len, line.at);
    }
}

bool gonets_read_conf(struct os *os, const char *file, struct conf *conf)
{
    struct conf_files files = { os, 0 };
    struct conf_source source = conf_files_source(&files);
    const struct conf_error *errors = conf_parse(conf, view_of(file), &source);
    gonets_say_errors(errors, "");
    return !errors;
}

/* ---- where ---- */

bool gonets_server_option(struct gonets_server *server, int argc, char **argv, int *i)
{
    const char **place = strcmp(argv[*i], "-c") == 0        ? &server->config
                         : strcmp(argv[*i], "--spool") == 0 ? &server->spool
                                                            : NULL;
    if (!place || *i + 1 == argc)
        return false;
    *place = argv[++*i];
    return true;
}

/* A configuration with an error tells where the spool is all the same: to see the errors, or how the server is. */
int gonets_find_spool(struct os *os, const struct gonets_server *server, struct buffer *path)
{
    struct conf_files files = { os, 0 };
    struct conf_source source = conf_files_source(&files);
    struct conf conf = { 0 };
    const struct conf_error *errors = server->spool ? NULL : conf_parse(&conf, view_of(server->config), &source);
    buffer_add(path, server->spool ? view_of(server->spool) : conf.spool);
    buffer_add_char(path, 0);
    bool good = !path->full && (!errors || conf.hostname.len); /* else it was hardly read */
    if (!good)
        gonets_say_errors(errors, "");
    conf_free(&conf);
    return good ? GONETS_OK : GONETS_CONFIG;
}

static int cannot_reach(const struct gonets_server *server, const char *path, enum os_status status)
{
    if (status == OS_NOT_FOUND || status == OS_REFUSED) {
        fprintf(stderr, "gonets %s: no server is running with the spool %s; start it by: gonets serve\n",
                server->command, path);
        return GONETS_UNAVAILABLE;
    }
    fprintf(stderr, "gonets %s: cannot reach the server at %s/" CONTROL_NAME ": %s%s\n", server->command, path,
            os_status_text(status), status == OS_DENIED ? "; only root and the user who started it may" : "");
    return status == OS_DENIED ? GONETS_NO_PERMISSION : GONETS_UNAVAILABLE;
}

int gonets_reach(struct os *os, const struct gonets_server *server, struct os_link **link)
{
    char memory[CONF_PATH_MAX + 1];
    struct buffer path = BUFFER_OF(memory);
    enum os_status status;
    int code = gonets_find_spool(os, server, &path);
    if (code != GONETS_OK)
        return code;
    struct os_dir *dir = os_dir_path(os, memory, &status);
    if (dir) {
        status = os_linux_control_reach(os, dir, CONTROL_NAME, link);
        os_dir_close(dir);
    }
    return status == OS_OK ? GONETS_OK : cannot_reach(server, memory, status);
}

/* ---- question and answer ---- */

struct question {
    struct os *os;
    struct ipc ipc;
    const struct gonets_server *server;
    void (*process)(void *ctx, const struct ipc_process *process);
    void *ctx;
};

static void on_answer(struct question *q, const struct ipc_answer *m)
{
    FILE *to = m->code == GONETS_OK ? stdout : stderr;
    fwrite(m->text.at ? m->text.at : "", 1, m->text.len, to);
    os_stop(q->os, fflush(to) == 0 ? m->code : GONETS_IO);
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct question *q = ctx;
    struct ipc_answer answer;
    struct ipc_process process;
    (void)handle;
    if (type == IPC_ANSWER && ipc_answer_unpack(body, &answer))
        on_answer(q, &answer);
    else if (type == IPC_PROCESS && q->process && ipc_process_unpack(body, &process))
        q->process(q->ctx, &process);
    else
        ipc_end(&q->ipc);
}

static void give_up(void *ctx, const char *why)
{
    struct question *q = ctx;
    fprintf(stderr, "gonets %s: %s\n", q->server->command, why);
    os_stop(q->os, GONETS_UNAVAILABLE);
}

static void on_gone(void *ctx)
{
    give_up(ctx, "the server has ended without an answer");
}

static void on_late(void *ctx)
{
    give_up(ctx, "the server does not answer; it may still do what was asked");
}

static int ask(struct os *os, struct question *q, enum ipc_command what)
{
    char memory[8];
    struct buffer frame = BUFFER_OF(memory);
    struct os_link *link;
    int code = gonets_reach(os, q->server, &link);
    if (code != GONETS_OK)
        return code;
    q->os = os;
    ipc_open(&q->ipc, os, link, &(struct ipc_owner){ q, on_frame, NULL, on_gone });
    ipc_command_pack(&frame, (uint8_t)what);
    ipc_send(&q->ipc, buffer_view(&frame));
    os_alarm(os, os_now_us(os) + ANSWER_US_MAX, on_late, q);
    code = os_linux_run(os);
    ipc_close(&q->ipc);
    return code;
}

int gonets_ask(const struct gonets_server *server, enum ipc_command what,
               void (*process)(void *ctx, const struct ipc_process *process), void *ctx)
{
    struct question q = { .server = server, .process = process, .ctx = ctx };
    struct os *os = os_linux_new(NULL, 0);
    if (!os)
        return GONETS_OS;
    int code = ask(os, &q, what);
    os_linux_free(os);
    return code;
}

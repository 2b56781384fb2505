/* What must be there before the first role is started: the configuration, the spool and its lock, the listeners. */
#include <stdlib.h>
#include <string.h>

#include "gonetsd/conf_file.h"
#include "gonetsd/event.h"
#include "gonetsd/supervisor.h"

#define EX_UNAVAILABLE 69
#define EX_OSERR 71
#define EX_NOPERM 77
#define EX_CONFIG 78

/* Into the log, and to whoever asked for a reload. */
static void say(struct setup *s, struct os *os, const struct buffer *text)
{
    os_log(os, buffer_view(text));
    if (!s->said)
        return;
    buffer_add(s->said, buffer_view(text));
    buffer_add_char(s->said, '\n');
}

static bool fail(struct setup *s, struct os *os, int code, int *exit_code, const struct buffer *text)
{
    say(s, os, text);
    *exit_code = code;
    return false;
}

/* ---- configuration ---- */

static bool read_text(void *ctx, struct view path, struct arena *arena, struct view *text, struct view *error)
{
    (void)path;
    *text = arena_copy(arena, buffer_view(ctx)); /* what is parsed points into it */
    *error = VIEW("no memory");
    return text->at != NULL;
}

static void say_errors(struct setup *s, struct os *os, const struct conf_error *error)
{
    char memory[CONF_ERROR_MAX];
    for (; error; error = error->next) {
        struct buffer text = BUFFER_OF(memory);
        conf_error_add(&text, error);
        say(s, os, &text);
    }
}

/* The configuration of `gonets try`: everything into one Maildir, nothing relayed. Its paths lie below the mail directory, which
 * is the folder we were started in; without root the account plays no part. */
static void write_try(struct buffer *to, const struct supervisor_options *o)
{
    buffer_add_text(to, "hostname localhost.localdomain\nlog text\nworkers 1\nsegment 16M\nspool /spool\n");
    buffer_addf(to, "listen 127.0.0.1:%u lenient\n", o->try_port);
    buffer_add_text(to, "action inbox maildir /Maildir user nobody\nmatch for any action inbox\n");
}

static bool read_conf(struct setup *s, struct os *os, const struct supervisor_options *o, int *exit_code)
{
    char memory[4096];
    struct buffer try_text = BUFFER_OF(memory);
    struct conf_files files = { os, 0 };
    struct conf_source source = o->config ? conf_files_source(&files) : (struct conf_source){ &try_text, read_text };
    if (!o->config)
        write_try(&try_text, o);
    const struct conf_error *errors = conf_parse(&s->conf, view_of(o->config ? o->config : "try"), &source);
    if (!errors)
        return true;
    say_errors(s, os, errors);
    *exit_code = EX_CONFIG;
    return false;
}

static bool print_conf(struct setup *s, struct os *os, int *exit_code)
{
    char memory[128];
    struct buffer text, why = BUFFER_OF(memory);
    buffer_add_text(&why, "no memory for the configuration");
    if (!conf_print_new(&s->conf, &text))
        return fail(s, os, EX_OSERR, exit_code, &why);
    s->text = buffer_view(&text);
    return true;
}

/* ---- spool ---- */

/* Try mode makes what it needs; a server's spool is made on purpose, so that an unmounted disk is not taken for an empty one
 * (H148). */
static bool prepare_try(struct setup *s, struct os *os, int *exit_code)
{
    char memory[512];
    struct buffer text = BUFFER_OF(memory);
    enum os_status status;
    s->mail = os_dir_path(os, ".", &status);
    struct os_op make = { .kind = OS_MAKE_DIR, .dir = s->mail, .name = "spool", .mode = 0700 };
    if (s->mail) {
        os_run_ops(os, &make, 1);
        status = make.status == OS_EXISTS ? OS_OK : make.status;
    }
    if (status == OS_OK)
        return true;
    buffer_addf(&text, "cannot make the folder spool: %s", os_status_text(status));
    return fail(s, os, EX_NOPERM, exit_code, &text);
}

static bool lock_spool(struct setup *s, struct os *os, bool create, const char *path, int *exit_code)
{
    char memory[1024];
    struct buffer text = BUFFER_OF(memory);
    enum os_status status = spool_lock(os, s->spool, &s->locks);
    if (status == OS_NOT_FOUND && create) {
        status = spool_create(os, s->spool);
        if (status == OS_OK)
            status = spool_lock(os, s->spool, &s->locks);
    }
    if (status == OS_OK)
        return true;
    if (status == OS_LOCKED)
        buffer_addf(&text, "another server is using the spool %s; stop it first, or name another spool", path);
    else if (status == OS_NOT_FOUND)
        buffer_addf(&text, "%s is not a spool: if its disk is mounted and it is to be a new one, make it by: gonets spool create %s",
                    path, path);
    else
        buffer_addf(&text, "cannot use the spool %s: %s", path, os_status_text(status));
    return fail(s, os, status == OS_DENIED ? EX_NOPERM : EX_UNAVAILABLE, exit_code, &text);
}

static bool open_spool(struct setup *s, struct os *os, const struct supervisor_options *o, int *exit_code)
{
    char memory[1024], path[512];
    struct buffer text = BUFFER_OF(memory), name = BUFFER_OF(path);
    enum os_status status;
    buffer_add(&name, o->config ? s->conf.spool : VIEW("spool"));
    buffer_add_char(&name, 0);
    if (name.full || (!o->config && !prepare_try(s, os, exit_code)))
        return false;
    s->spool = os_dir_path(os, path, &status);
    if (!s->spool) {
        buffer_addf(&text, "cannot open the spool %s: %s; make it by: gonets spool create %s", path, os_status_text(status), path);
        return fail(s, os, EX_UNAVAILABLE, exit_code, &text);
    }
    return lock_spool(s, os, !o->config, path, exit_code);
}

/* ---- listeners ---- */

static bool setup_has(const struct setup *s, const struct os_listener *listener)
{
    for (size_t i = 0; s->listeners && i < s->workers * s->listen_count; i++)
        if (s->listeners[i] == listener)
            return true;
    return false;
}

static bool cannot_listen(struct setup *s, struct os *os, const struct address *at, enum os_status status, int *exit_code)
{
    char memory[256];
    struct buffer text = BUFFER_OF(memory);
    buffer_add_text(&text, "cannot listen on ");
    address_add(&text, at);
    buffer_addf(&text, ": %s", os_status_text(status));
    if (status == OS_DENIED)
        buffer_add_text(&text, "; ports below 1024 need root");
    if (status == OS_IN_USE)
        buffer_add_text(&text, "; another program serves that port");
    return fail(s, os, status == OS_DENIED ? EX_NOPERM : EX_UNAVAILABLE, exit_code, &text);
}

/* A socket of the configuration before that listens at the same address, and was not taken over yet. */
static struct os_listener *take_over(struct setup *s, const struct conf_listen *l, size_t i, unsigned worker)
{
    const struct setup *former = s->former;
    const struct conf_listen *was = former ? former->conf.listens : NULL;
    for (size_t n = 0; was; was = was->next, n++) {
        struct os_listener *listener = former->listeners[worker * former->listen_count + n];
        if (listener && !setup_has(s, listener) && address_equal(&was->address, &l->address)) {
            s->addresses[i] = former->addresses[n];
            return listener;
        }
    }
    return NULL;
}

/* Another server's port must not be shared by accident: workers share it among themselves only. */
static enum os_status open_listener(struct setup *s, struct os *os, const struct conf_listen *l, size_t i, unsigned worker)
{
    struct os_listener **place = &s->listeners[worker * s->listen_count + i];
    struct address at = s->addresses[i];
    *place = take_over(s, l, i, worker);
    return *place ? OS_OK : os_listen(os, &at, worker == 0, place, &s->addresses[i]);
}

static bool open_listeners(struct setup *s, struct os *os, int *exit_code)
{
    for (const struct conf_listen *l = s->conf.listens; l; l = l->next)
        s->listen_count++;
    s->listeners = calloc(s->workers * s->listen_count, sizeof(struct os_listener *));
    s->addresses = calloc(s->listen_count, sizeof *s->addresses);
    if (!s->listeners || !s->addresses)
        return false;
    size_t i = 0;
    for (const struct conf_listen *l = s->conf.listens; l; l = l->next, i++) {
        s->addresses[i] = l->address;
        for (unsigned w = 0; w < s->workers; w++) {
            enum os_status status = open_listener(s, os, l, i, w);
            if (status != OS_OK)
                return cannot_listen(s, os, &s->addresses[i], status, exit_code);
        }
    }
    return true;
}

/* ---- all ---- */

bool setup_open(struct setup *s, struct os *os, const struct supervisor_options *o, int *exit_code)
{
    *s = (struct setup){ .generation = 1 };
    if (!read_conf(s, os, o, exit_code) || !print_conf(s, os, exit_code))
        return false;
    s->workers = s->conf.workers ? (unsigned)s->conf.workers : (os_core_count(os) + 1) / 2;
    return open_spool(s, os, o, exit_code) && open_listeners(s, os, exit_code);
}

static bool check_fixed(struct setup *s, const struct setup *former, struct os *os, const char *config)
{
    char memory[CONF_ERROR_MAX];
    struct buffer text = BUFFER_OF(memory);
    int code;
    const char *name = conf_fixed_change(&former->conf, &s->conf);
    if (!name)
        return true;
    buffer_add_safe(&text, view_of(config), CONF_ERROR_MAX / 4);
    buffer_addf(&text, ": '%s' cannot change while the server runs: restart it, or put back what it was", name);
    return fail(s, os, EX_CONFIG, &code, &text);
}

bool setup_again(struct setup *s, struct setup *former, struct os *os, const struct supervisor_options *o, struct buffer *said)
{
    int code;
    *s = (struct setup){ .generation = former->generation + 1, .workers = former->workers, .said = said, .former = former };
    bool good = read_conf(s, os, o, &code) && check_fixed(s, former, os, o->config) && print_conf(s, os, &code) &&
                open_listeners(s, os, &code);
    s->said = NULL;
    s->former = NULL;
    if (!good) {
        setup_end(s, former);
        return false;
    }
    s->spool = former->spool;
    s->mail = former->mail;
    s->locks = former->locks;
    return true;
}

void setup_end(struct setup *s, const struct setup *other)
{
    for (size_t i = 0; s->listeners && i < s->workers * s->listen_count; i++)
        if (s->listeners[i] && (!other || !setup_has(other, s->listeners[i])))
            os_listener_close(s->listeners[i]);
    free(s->listeners);
    free(s->addresses);
    free((void *)(uintptr_t)s->text.at);
    conf_free(&s->conf);
}

void setup_close(struct setup *s)
{
    setup_end(s, NULL);
    spool_unlock(&s->locks);
    if (s->spool)
        os_dir_close(s->spool);
    if (s->mail)
        os_dir_close(s->mail);
}

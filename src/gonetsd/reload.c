/* A changed configuration takes the place of the one in force, or nothing happens at all.
 *
 * Roles get it against the way of the mail: first those who deliver, then qmgr, at last smtpd with its listeners. So
 * nothing is accepted by a rule whose action is unknown further on. Connections live on: those that are open go by the
 * configuration they began with, those that wait in a listener that stays are taken by the new one. */
#include <stdlib.h>

#include "gonetsd/supervisor_inner.h"

#define SAID_MAX  (48u << 10) /* fits into one frame */
#define EX_CONFIG 78

static unsigned stage_of(enum ipc_role role)
{
    return role == IPC_SMTPD ? 2 : role == IPC_QMGR ? 1 : 0;
}

#define STAGES 3

static void send_config(struct child *c)
{
    child_post_config(c);
    if (c->role == IPC_SMTPD)
        child_post_listeners(c);
    child_post_type(c, IPC_START);
}

static void begin_stage(struct supervisor *sv)
{
    list_each(link, &sv->children)
    {
        struct child *c = list_entry(link, struct child, link);
        if (c->process && stage_of(c->role) == sv->reload.stage && c->generation != sv->setup.generation)
            send_config(c);
    }
}

/* Who is not running will get the new one at its start. */
static bool stage_is_done(const struct supervisor *sv)
{
    list_each(link, &sv->children)
    {
        const struct child *c = list_entry(link, struct child, link);
        if (c->process && stage_of(c->role) == sv->reload.stage && c->generation != sv->setup.generation)
            return false;
    }
    return true;
}

static void say_reloading(struct supervisor *sv)
{
    char memory[64];
    struct buffer text = BUFFER_OF(memory);
    buffer_addf(&text, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)os_now_us(sv->os));
    os_service(sv->os, buffer_view(&text));
}

static void log_reloaded(struct supervisor *sv)
{
    struct event e;
    event_begin(&e, &sv->log, "reloaded");
    event_u64(&e, "generation", sv->setup.generation);
    event_end(&e);
}

static void finish(struct supervisor *sv)
{
    char memory[128];
    struct buffer text = BUFFER_OF(memory);
    sv->reload.active = false;
    setup_end(&sv->reload.former, &sv->setup);
    sv->log.text = sv->setup.conf.log_text;
    log_reloaded(sv);
    os_service(sv->os, VIEW("READY=1"));
    buffer_addf(&text, "the configuration is in force, generation %llu\n", (unsigned long long)sv->setup.generation);
    control_reloaded(sv, 0, buffer_view(&text));
}

static void begin(struct supervisor *sv)
{
    struct setup next;
    struct buffer said;
    char *memory = malloc(SAID_MAX);
    buffer_init(&said, memory, memory ? SAID_MAX : 0);
    say_reloading(sv);
    if (!sv->options.config) {
        buffer_add_text(&said, "gonets try has no configuration to read again\n");
        control_reloaded(sv, EX_CONFIG, buffer_view(&said));
    } else if (!setup_again(&next, &sv->setup, sv->os, &sv->options, &said)) {
        event_note(&sv->log, "reload-failed", VIEW("the configuration before stays in force"));
        buffer_add_text(&said, "nothing has changed: the configuration before stays in force\n");
        control_reloaded(sv, EX_CONFIG, buffer_view(&said));
    } else {
        sv->reload.former = sv->setup;
        sv->setup = next;
        sv->reload.active = true;
        sv->reload.stage = 0;
        begin_stage(sv);
    }
    if (!sv->reload.active)
        os_service(sv->os, VIEW("READY=1"));
    free(memory);
}

void reload_go_on(struct supervisor *sv)
{
    while (sv->reload.active && stage_is_done(sv)) {
        if (++sv->reload.stage < STAGES)
            begin_stage(sv);
        else
            finish(sv);
    }
    if (!sv->reload.active && sv->reload.again && !sv->stopping) {
        sv->reload.again = false;
        begin(sv);
        reload_go_on(sv);
    }
}

void reload_ask(struct supervisor *sv)
{
    sv->reload.again = true;
    reload_go_on(sv);
}

void reload_free(struct supervisor *sv)
{
    if (sv->reload.active)
        setup_end(&sv->reload.former, &sv->setup);
}

#include <stdlib.h>

#include "gonetsd/relay.h"
#include "gonetsd/roles.h"

/* ---- time ---- */

static void arm(struct relay *relay);

static void on_alarm(void *ctx)
{
    struct relay *relay = ctx;
    struct heap_item *first;
    relay->alarm_us = OS_NEVER;
    while ((first = heap_first(&relay->timers)) && first->key <= os_now_us(relay->os)) {
        struct relay_timer *timer = heap_entry(first, struct relay_timer, item);
        heap_remove(&relay->timers, first);
        timer->run(timer);
    }
    arm(relay);
}

/* The alarm is only ever moved forward: setting it for every message would cost more than one that rings in vain. */
static void arm(struct relay *relay)
{
    struct heap_item *first = heap_first(&relay->timers);
    if (!first || first->key >= relay->alarm_us)
        return;
    relay->alarm_us = first->key;
    os_alarm(relay->os, first->key, on_alarm, relay);
}

/* Without memory for it a session has no deadline but that of its server. */
void relay_timer_set(struct relay *relay, struct relay_timer *timer, uint64_t deadline_us)
{
    if (heap_set(&relay->timers, &timer->item, deadline_us))
        arm(relay);
}

void relay_timer_clear(struct relay *relay, struct relay_timer *timer)
{
    heap_remove(&relay->timers, &timer->item);
}

/* ---- the link to qmgr ---- */

/* Credit alone is worth no packet, which wakes qmgr, as long as it has most of what it may have. */
static bool worth_saying(const struct relay *relay)
{
    return relay->owed_credit > 0 && !relay->stopping &&
           (relay->qmgr.bundled > 0 || relay->owed_credit * UINT64_C(4) >= relay_job_max(relay));
}

static void say_all(void *ctx)
{
    struct relay *relay = ctx;
    char memory[8];
    struct buffer frame = BUFFER_OF(memory);
    if (worth_saying(relay)) {
        ipc_credit_pack(&frame, relay->owed_credit);
        if (ipc_add(&relay->qmgr, buffer_view(&frame)))
            relay->owed_credit = 0;
    }
    ipc_flush(&relay->qmgr);
    relay_end_when_idle(relay);
}

static bool take_frame(struct relay *relay, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    uint32_t instance;
    switch (type) {
    case IPC_RELAY_JOB:
        return relay_job_take(relay, body);
    case IPC_KEPT:
        return relay_job_kept(relay, body);
    case IPC_CONTENT:
        return relay_content_take(relay, body, handle);
    case IPC_CONTENT_GONE:
        return relay_content_drop(relay, body);
    case IPC_HELLO:
        return role_check_hello(body, IPC_QMGR, &instance);
    default:
        return false;
    }
}

static void on_qmgr_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct relay *relay = ctx;
    if (!take_frame(relay, type, body, handle))
        ipc_end(&relay->qmgr);
}

static void on_qmgr_room(void *ctx)
{
    relay_end_when_idle(ctx);
}

/* What is under way goes on; the supervisor brings a new one, which hears what came of it. */
static void on_qmgr_gone(void *ctx)
{
    struct relay *relay = ctx;
    event_note(&relay->log, "neighbour-gone", VIEW("qmgr"));
    relay_end_when_idle(relay);
}

static void link_qmgr(struct relay *relay, struct os_link *link)
{
    uint64_t jobs_max = relay_job_max(relay);
    ipc_close(&relay->qmgr);
    ipc_open(&relay->qmgr, relay->os, link, &(struct ipc_owner){ relay, on_qmgr_frame, on_qmgr_room, on_qmgr_gone });
    role_say_hello(&relay->qmgr, IPC_SMTP, relay->role.instance);
    relay_content_renounce_all(relay);
    relay_job_say_all(relay);
    relay->owed_credit = relay->recipients.count < jobs_max ? (uint32_t)(jobs_max - relay->recipients.count) : 0;
    say_all(relay);
}

/* ---- the role ---- */

static void on_handle(void *ctx, const struct ipc_handle *what, struct os_handle *handle)
{
    struct relay *relay = ctx;
    if (what->what != IPC_A_LINK || handle->kind != OS_HANDLE_LINK)
        return;
    handle->kind = OS_HANDLE_NONE;
    if (what->role == IPC_QMGR)
        link_qmgr(relay, handle->link);
    else if (what->role == IPC_RESOLVER)
        relay_names_link(relay, handle->link);
    else
        handle->kind = OS_HANDLE_LINK;
}

static void on_start(void *ctx)
{
    struct relay *relay = ctx;
    relay->log.text = relay->role.conf.log_text;
    role_ready(&relay->role);
}

/* Sessions without a message under way end: the next one may go to another host. */
static void on_reloaded(void *ctx)
{
    struct relay *relay = ctx;
    relay->log.text = relay->role.conf.log_text;
    relay_destination_renew_all(relay);
}

static void on_count(void *ctx, struct ipc_counts *counts)
{
    const struct relay *relay = ctx;
    counts->sessions = relay->session_count;
    counts->active = relay->recipients.count;
}

void relay_end_when_idle(struct relay *relay)
{
    if (relay->stopping && relay->busy == 0 && !relay->say.waiting &&
        (ipc_ready(&relay->qmgr) || !ipc_is_open(&relay->qmgr)))
        os_stop(relay->os, 0);
}

static void on_stop_time(struct relay_timer *timer)
{
    struct relay *relay = list_entry(timer, struct relay, stop_timer);
    os_stop(relay->os, 0);
}

/* Messages under way are finished, if their servers are quick enough; everything else stays in the queue. */
static void on_stop(void *ctx)
{
    struct relay *relay = ctx;
    if (relay->stopping)
        return;
    relay->stopping = true;
    relay_timer_set(relay, &relay->stop_timer, os_now_us(relay->os) + RELAY_STOP_US_MAX);
    for (struct map_item *item = NULL; (item = map_next(&relay->destinations, item));)
        relay_session_stop_all(map_entry(item, struct relay_destination, by_key));
    relay_end_when_idle(relay);
}

static void init(struct relay *relay, struct os *os, const uint8_t seed[16])
{
    relay->os = os;
    relay->log = (struct event_log){ os, false, "smtp" };
    relay->alarm_us = OS_NEVER;
    relay->say = (struct os_task){ say_all, relay, NULL, false };
    relay->work = (struct os_task){ relay_destination_work, relay, NULL, false };
    relay->bury = (struct os_task){ relay_session_bury, relay, NULL, false };
    relay->read_task = (struct os_task){ relay_content_run, relay, NULL, false };
    relay->stop_timer.run = on_stop_time;
    buffer_init(&relay->out, relay->out_memory, sizeof relay->out_memory);
    list_init(&relay->contents);
    list_init(&relay->woken);
    list_init(&relay->short_of_sessions);
    list_init(&relay->idle);
    list_init(&relay->dead);
    list_init(&relay->wanted);
    list_init(&relay->cold);
    map_init(&relay->recipients, seed);
    map_init(&relay->destinations, seed);
    map_init(&relay->questions, seed);
    heap_init(&relay->timers);
}

void *smtp_start(struct os *os, struct os_link *supervisor)
{
    uint8_t seed[16];
    struct relay *relay = os_random(os, seed, sizeof seed) ? calloc(1, sizeof *relay) : NULL;
    if (!relay)
        return NULL;
    relay->queue = os_queue_new(os);
    if (!relay->queue) {
        free(relay);
        return NULL;
    }
    init(relay, os, seed);
    role_open(&relay->role, os, supervisor, IPC_SMTP,
              &(struct role_owner){ .ctx = relay,
                                    .handle = on_handle,
                                    .start = on_start,
                                    .stop = on_stop,
                                    .reloaded = on_reloaded,
                                    .count = on_count });
    return relay;
}

void smtp_stop(void *role)
{
    struct relay *relay = role;
    ipc_close(&relay->qmgr);
    ipc_close(&relay->resolver);
    relay_destination_free_all(relay);
    list_each(link, &relay->dead) list_entry(link, struct relay_session, link)->source.reading = false;
    relay_session_bury(relay);
    relay_job_free_all(relay);
    relay_content_free_all(relay);
    map_free(&relay->recipients);
    map_free(&relay->destinations);
    map_free(&relay->questions);
    heap_free(&relay->timers);
    role_close(&relay->role);
    free(relay);
}

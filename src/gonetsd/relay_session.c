#include <stdlib.h>
#include <string.h>

#include "gonetsd/relay.h"

static void run(struct relay_session *s, struct view input);
static void on_stream(void *ctx, unsigned events);

/* ---- what is said about it ---- */

static struct view remote_of(const struct relay_session *s)
{
    return (struct view){ s->remote, s->remote_len };
}

static void write_remote(struct relay_session *s)
{
    const struct deliver_mx_target *target = &s->destination->targets[s->target];
    const struct deliver_mx_host *host = &s->destination->mx.hosts[target->host];
    struct buffer text = BUFFER_OF(s->remote);
    if (!host->fixed) {
        buffer_add_safe(&text, view_of(host->name), SMTP_DOMAIN_MAX);
        buffer_add_char(&text, ' ');
    }
    buffer_add_char(&text, '[');
    address_add_ip(&text, &target->address);
    buffer_addf(&text, "]:%u", target->address.port);
    s->remote_len = text.len;
}

static const char *phase_text(enum smtp_client_phase phase)
{
    static const char *const texts[] = {
        [SMTP_PHASE_GREETING] = "before the greeting",
        [SMTP_PHASE_HELLO] = "after EHLO",
        [SMTP_PHASE_IDLE] = "between messages",
        [SMTP_PHASE_MAIL] = "after MAIL",
        [SMTP_PHASE_RCPT] = "after RCPT",
        [SMTP_PHASE_DATA] = "after DATA",
        [SMTP_PHASE_CONTENT] = "while content went out",
        [SMTP_PHASE_END] = "after the final dot: it may have been taken",
        [SMTP_PHASE_RSET] = "after RSET",
        [SMTP_PHASE_QUIT] = "after QUIT",
        [SMTP_PHASE_OVER] = "at the end",
    };
    return texts[phase];
}

static enum ipc_outcome outcome_of(enum smtp_client_outcome outcome)
{
    switch (outcome) {
    case SMTP_CLIENT_SENT:
        return IPC_DELIVERED;
    case SMTP_CLIENT_PERMANENT:
        return IPC_FAILED;
    case SMTP_CLIENT_TEMPORARY:
    case SMTP_CLIENT_UNKNOWN:
        break;
    }
    return IPC_DEFERRED;
}

/* The server's own words. A status of its own may be missing: then the class alone (RFC 3463 section 2). */
static struct relay_verdict verdict_by_reply(const struct relay_session *s, enum ipc_outcome outcome,
                                             const struct smtp_reply *reply)
{
    struct relay_verdict v = { .outcome = outcome, .code = reply->code, .status = reply->status, .text = reply->text };
    if (!v.status.class)
        v.status = (struct smtp_status){ (uint8_t)(reply->code / 100), 0, 0 };
    v.remote = remote_of(s);
    v.phase = s->client.phase;
    return v;
}

/* Ours, when the server said nothing that could be an answer. */
static struct relay_verdict verdict_by_loss(const struct relay_session *s, struct buffer *text)
{
    bool uncertain = s->client.outcome == SMTP_CLIENT_UNKNOWN;
    buffer_addf(text, "%s %s", s->why ? s->why : "replies that are out of step or none by their grammar",
                phase_text(s->client.phase));
    struct relay_verdict v = relay_verdict_local(IPC_DEFERRED, 451, s->why ? 4 : 5, s->why ? 2 : 0, buffer_view(text));
    v.remote = remote_of(s);
    v.phase = s->client.phase;
    v.uncertain = uncertain;
    return v;
}

/* Of what the machine says at DONE and at CLOSE. */
static struct relay_verdict verdict_of(const struct relay_session *s, struct buffer *text)
{
    enum ipc_outcome outcome = outcome_of(s->client.outcome);
    bool answered = s->client.reply.code >= (outcome == IPC_DELIVERED ? 200 : 400);
    if (!answered || s->client.outcome == SMTP_CLIENT_UNKNOWN)
        return verdict_by_loss(s, text);
    return verdict_by_reply(s, outcome, &s->client.reply);
}

static void log_trouble(struct relay_session *s, const struct relay_verdict *v)
{
    struct event e;
    event_begin(&e, &s->relay->log, "server-trouble");
    event_view(&e, "remote", v->remote);
    event_u64(&e, "code", v->code);
    event_view(&e, "text", v->text);
    event_end(&e);
}

/* ---- its end ---- */

static void leave_idle(struct relay_session *s)
{
    list_remove(&s->idle);
    list_remove(&s->all_idle);
}

/* Its job has been taken care of. */
static void end_session(struct relay_session *s)
{
    struct relay *relay = s->relay;
    leave_idle(s);
    list_remove(&s->link);
    relay_timer_clear(relay, &s->timer);
    if (s->stream)
        os_stream_close(s->stream);
    s->stream = NULL;
    s->destination->session_count--;
    relay->session_count--;
    relay->busy -= s->sending;
    s->sending = false;
    list_append(&relay->dead, &s->link);
    os_later(relay->os, &relay->bury);
    relay_destination_wake(s->destination);
}

static void free_session(struct relay_session *s)
{
    list_remove(&s->link);
    relay_source_end(&s->source);
    generation_release(s->generation);
    free(s->rest);
    free(s->late);
    free(s);
}

void relay_session_bury(void *ctx)
{
    struct relay *relay = ctx;
    list_each_safe(link, &relay->dead)
    {
        struct relay_session *s = list_entry(link, struct relay_session, link);
        if (!s->source.reading)
            free_session(s);
    }
}

void relay_session_free_all(struct relay_destination *d)
{
    for (struct list *link; (link = list_pop(&d->sessions));) {
        struct relay_session *s = list_entry(link, struct relay_session, link);
        leave_idle(s);
        relay_timer_clear(s->relay, &s->timer);
        os_stream_close(s->stream);
        free_session(s);
    }
}

/* The address did not do: the job goes on to the next one. An idle session that died is no fault of the address, nor is
 * a server that takes only so many messages in one session. */
static void move_on(struct relay_session *s, const struct relay_verdict *v, bool stale)
{
    struct relay_destination *d = s->destination;
    struct relay_job *job = s->job;
    if (!stale && s->target < d->target_count)
        d->bad_until_us[s->target] = os_now_us(s->relay->os) + RELAY_BAD_US;
    if (!stale)
        log_trouble(s, v);
    if (!job)
        return;
    s->job = NULL;
    if (stale)
        job->tried &= ~(UINT64_C(1) << s->target);
    else
        relay_job_trouble(job, v);
    relay_destination_return(job);
}

/* Before a message was under way: no session came about, or it ended while nothing was asked of it. */
static void on_close(struct relay_session *s)
{
    char memory[256];
    struct buffer text = BUFFER_OF(memory);
    if (!s->greeted || s->job) {
        struct relay_verdict v = verdict_of(s, &text);
        if (v.outcome == IPC_DELIVERED)
            v.outcome = IPC_DEFERRED;
        v.reach = s->greeted ? IPC_REACHED : IPC_UNREACHED;
        move_on(s, &v, s->reused);
    }
    end_session(s);
}

static void fail_connect(struct relay_session *s, enum os_status status)
{
    char memory[128];
    struct buffer text = BUFFER_OF(memory);
    buffer_addf(&text, "cannot connect: %s", os_status_text(status));
    struct relay_verdict v = relay_verdict_local(IPC_DEFERRED, 451, 4, 1, buffer_view(&text));
    v.remote = remote_of(s);
    v.reach = IPC_UNREACHED;
    move_on(s, &v, false);
    end_session(s);
}

/* ---- output ---- */

static void watch(struct relay_session *s)
{
    unsigned wanted = s->late_len ? OS_READABLE | OS_WRITABLE : OS_READABLE;
    if (s->watched != wanted)
        os_stream_watch(s->stream, wanted, on_stream, s);
    s->watched = wanted;
}

/* What cannot be written now waits in memory of the session. false: no memory; the session is lost. */
static bool keep_late(struct relay_session *s, struct view bytes)
{
    char *late = bytes.len ? realloc(s->late, s->late_len + bytes.len) : s->late;
    if (!late && bytes.len)
        return false;
    if (bytes.len)
        memcpy(late + s->late_len, bytes.at, bytes.len);
    s->late = late;
    s->late_len += bytes.len;
    return true;
}

static void lose(struct relay_session *s, const char *why)
{
    s->why = s->why ? s->why : why;
    smtp_client_lost(&s->client);
}

static size_t write_some(struct relay_session *s, struct view bytes)
{
    const struct os_slice slice = { bytes.at, bytes.len };
    size_t put = 0;
    if (bytes.len && os_stream_write(s->stream, &slice, 1, &put) != OS_OK)
        return 0; /* when the link is broken, reading tells it */
    return put;
}

/* Empties relay->out. True: all of it is written. */
static bool flush(struct relay_session *s)
{
    struct buffer *out = &s->relay->out;
    struct view bytes = buffer_view(out);
    if (s->late_len == 0)
        view_take(&bytes, write_some(s, bytes));
    if (!keep_late(s, bytes))
        lose(s, "out of memory");
    buffer_clear(out);
    watch(s);
    return s->late_len == 0;
}

static bool write_late(struct relay_session *s)
{
    size_t put = write_some(s, (struct view){ s->late, s->late_len });
    s->late_len -= put;
    memmove(s->late, s->late + put, s->late_len);
    if (s->late_len)
        return false;
    free(s->late);
    s->late = NULL;
    watch(s);
    return true;
}

/* ---- time ---- */

static uint64_t due_us(const struct relay_session *s)
{
    return s->connecting || !list_empty(&s->idle) ? s->until_us : s->client.deadline_us;
}

/* Deadlines mostly move away: a timer that rings too early is set anew then. */
static void arm(struct relay_session *s)
{
    uint64_t due = due_us(s);
    if (due != OS_NEVER && (!s->timer.item.place || s->timer.item.key > due))
        relay_timer_set(s->relay, &s->timer, due);
}

static void on_time(struct relay_timer *timer)
{
    struct relay_session *s = list_entry(timer, struct relay_session, timer);
    if (due_us(s) > os_now_us(s->relay->os)) {
        arm(s);
    } else if (s->connecting) {
        fail_connect(s, OS_TIMED_OUT);
    } else if (!list_empty(&s->idle)) {
        leave_idle(s);
        smtp_client_quit(&s->client);
        run(s, VIEW_NONE);
    } else {
        lose(s, "timed out");
        run(s, VIEW_NONE);
    }
}

/* ---- messages ---- */

static void go_idle(struct relay_session *s)
{
    list_prepend(&s->destination->idle, &s->idle);
    list_prepend(&s->relay->idle, &s->all_idle);
    s->until_us = os_now_us(s->relay->os) + RELAY_IDLE_US;
}

static void take_job(struct relay_session *s, struct relay_job *job)
{
    leave_idle(s);
    s->job = job;
    job->session = s;
    list_remove(&job->link);
}

/* A job whose session has not come about yet need not wait for that. */
static struct relay_job *rob_other(struct relay_session *s)
{
    list_each(link, &s->destination->sessions)
    {
        struct relay_session *other = list_entry(link, struct relay_session, link);
        struct relay_job *job = other->job;
        if (other == s || other->greeted || !job)
            continue;
        other->job = NULL;
        return job;
    }
    return NULL;
}

static void find_job(struct relay_session *s)
{
    struct relay_job *job = relay_destination_next(s->destination);
    if (!job && !s->relay->stopping)
        job = rob_other(s);
    if (job)
        take_job(s, job);
}

static void on_content_ready(void *ctx)
{
    struct relay_session *s = ctx;
    if (s->stream)
        run(s, VIEW_NONE);
    else
        os_later(s->relay->os, &s->relay->bury);
}

/* Addresses that SMTP has no way to say: those of recipients fail alone. */
static void refuse_unsayable(struct relay_session *s)
{
    const struct relay_verdict v =
        relay_verdict_local(IPC_FAILED, 553, 1, 3, VIEW("the address cannot be said in SMTP"));
    const struct relay_verdict from =
        relay_verdict_local(IPC_FAILED, 553, 1, 7, VIEW("the sender's address cannot be said in SMTP"));
    struct relay_job *job = s->job;
    bool any = false;
    for (size_t k = 0; k < job->send.recipient_count; k++) {
        struct smtp_path path;
        if (smtp_mailbox_parse(job->to[k].path, SMTP_PATH_BARE, &path) == SMTP_PATH_OK)
            continue;
        any = true;
        job->to[k].reply.code = v.code;
        relay_job_refuse(job, k, &v);
    }
    if (!any || !relay_job_settle(job, SMTP_CLIENT_TEMPORARY, &v, true)) {
        s->job = NULL;
        if (!any)
            relay_job_finish(job, &from);
    }
}

static void begin_message(struct relay_session *s)
{
    struct relay_job *job = s->job;
    if (job->send.body == SMTP_BODY_8BITMIME && !s->client.eight_bit) {
        struct relay_verdict v = relay_verdict_local(
            IPC_FAILED, 554, 6, 3, VIEW("the message has 8-bit content, and the server does not take it (8BITMIME)"));
        v.remote = remote_of(s);
        s->job = NULL;
        relay_job_finish(job, &v);
        return;
    }
    relay_job_prepare(job);
    if (!smtp_client_send(&s->client, &job->send)) {
        refuse_unsayable(s);
        return;
    }
    s->sending = true;
    s->relay->busy++;
    relay_source_start(&s->source, job, on_content_ready, s);
}

/* False: it waits for its message, for a job, or has none and will have none. */
static bool on_ready(struct relay_session *s)
{
    s->greeted = true;
    if (s->relay->stopping) {
        smtp_client_quit(&s->client);
        return true;
    }
    if (!s->job)
        find_job(s);
    if (!s->job) {
        if (list_empty(&s->idle))
            go_idle(s);
        return false;
    }
    if (s->job->read == RELAY_UNREAD)
        relay_content_read(s->job);
    switch (s->job->read) {
    case RELAY_READ:
        begin_message(s);
        return true;
    case RELAY_UNREADABLE:
    case RELAY_NO_MEMORY:
        relay_job_unreadable(s->job);
        s->job = NULL;
        return true;
    case RELAY_UNREAD:
    case RELAY_READING:
        break;
    }
    return false;
}

static void on_recipient(struct relay_session *s)
{
    const struct smtp_client *client = &s->client;
    if (client->reply.code < 400)
        return;
    enum smtp_client_outcome fate = smtp_client_fate(SMTP_CLIENT_PERMANENT, &s->job->to[client->recipient]);
    const struct relay_verdict v = verdict_by_reply(s, outcome_of(fate), &client->reply);
    relay_job_refuse(s->job, client->recipient, &v);
}

/* It was not this message that the session ended for. */
static bool is_stale(const struct relay_session *s)
{
    const struct smtp_client *client = &s->client;
    return s->reused && client->phase != SMTP_PHASE_END && client->phase <= SMTP_PHASE_MAIL &&
           (client->reply.code == 0 || client->reply.code == 421);
}

static void on_done(struct relay_session *s)
{
    char memory[256];
    struct buffer text = BUFFER_OF(memory);
    struct relay_job *job = s->job;
    enum smtp_client_outcome outcome = s->client.outcome;
    bool over = smtp_client_over(&s->client);
    bool stale = over && is_stale(s);
    struct relay_verdict v = verdict_of(s, &text);
    s->sending = false;
    s->reused = true;
    s->relay->busy--;
    if (!s->source.reading)
        relay_source_end(&s->source);
    bool left = relay_job_settle(job, outcome, &v, over && outcome == SMTP_CLIENT_TEMPORARY);
    if (!left)
        s->job = NULL;
    else if (over)
        move_on(s, &v, stale);
}

enum fed { FED_ALL, FED_WAITS, FED_DAMAGED };

static enum fed feed(struct relay_session *s)
{
    struct buffer *out = &s->relay->out;
    while (s->late_len == 0)
        switch (relay_source_next(&s->source)) {
        case RELAY_SOURCE_PIECE:
            smtp_client_content(&s->client, &s->source.piece, out);
            if (s->source.piece.len)
                flush(s);
            break;
        case RELAY_SOURCE_END:
            if (buffer_room(out) < SMTP_CLIENT_OUT_MIN && !flush(s))
                return FED_WAITS;
            smtp_client_content_end(&s->client, os_now_us(s->relay->os), out);
            return FED_ALL;
        case RELAY_SOURCE_WAIT:
            return FED_WAITS;
        case RELAY_SOURCE_DAMAGED:
            return FED_DAMAGED;
        }
    return FED_WAITS;
}

/* Without the final dot nothing counts: the server must not have half a message (H138). */
static void break_off(struct relay_session *s)
{
    struct relay_job *job = s->job;
    s->job = NULL;
    job->read = RELAY_UNREADABLE;
    buffer_clear(&s->relay->out);
    end_session(s);
    relay_job_unreadable(job);
}

/* ---- the machine ---- */

/* Mail for a host that is ourselves: neither it nor any that is no better is used (RFC 5321 section 5.1, H97). */
static void leave_ourselves(struct relay_session *s)
{
    struct relay_job *job = s->job;
    relay_destination_is_us(s->destination, s->target);
    s->job = NULL;
    if (job)
        relay_destination_return(job);
    end_session(s);
}

/* One event; false: nothing more can be done now, or (stream NULL) it is over. */
static bool step(struct relay_session *s, struct view *input)
{
    struct buffer *out = &s->relay->out;
    switch (smtp_client_step(&s->client, os_now_us(s->relay->os), input, out)) {
    case SMTP_CLIENT_INPUT:
        return false;
    case SMTP_CLIENT_FLUSH:
        return s->late_len == 0 && flush(s);
    case SMTP_CLIENT_READY:
        if (s->client.is_us) {
            leave_ourselves(s);
            return false;
        }
        return on_ready(s);
    case SMTP_CLIENT_RECIPIENT:
        on_recipient(s);
        return true;
    case SMTP_CLIENT_CONTENT: {
        enum fed fed = feed(s);
        if (fed == FED_DAMAGED)
            break_off(s);
        return fed == FED_ALL;
    }
    case SMTP_CLIENT_DONE:
        on_done(s);
        return true;
    case SMTP_CLIENT_CLOSE:
        flush(s);
        on_close(s);
        return false;
    }
    return false;
}

static void keep_rest(struct relay_session *s, struct view input)
{
    char *old = s->rest;
    s->rest = NULL;
    s->rest_len = 0;
    if (input.len && (s->rest = malloc(input.len))) {
        memcpy(s->rest, input.at, input.len);
        s->rest_len = input.len;
    } else if (input.len) {
        lose(s, "out of memory");
    }
    free(old);
}

/* Shows the machine its input: what is new, or else what was left. */
static void run(struct relay_session *s, struct view input)
{
    if (input.len == 0)
        input = (struct view){ s->rest, s->rest_len };
    while (step(s, &input))
        continue;
    if (!s->stream) {
        buffer_clear(&s->relay->out);
        return;
    }
    keep_rest(s, input);
    if (s->relay->out.len)
        flush(s);
    arm(s);
}

/* ---- the stream ---- */

static void on_readable(struct relay_session *s)
{
    struct relay *relay = s->relay;
    size_t got = 0;
    if (s->rest_len)
        memcpy(relay->in, s->rest, s->rest_len);
    enum os_status status = os_stream_read(s->stream, relay->in + s->rest_len, sizeof relay->in - s->rest_len, &got);
    if (status == OS_AGAIN)
        return;
    if (status != OS_OK)
        lose(s, status == OS_END ? "the server closed the connection" : os_status_text(status));
    run(s, (struct view){ relay->in, s->rest_len + got });
}

/* Writable means connected; a failure shows when something is read. */
static void on_connected(struct relay_session *s)
{
    size_t got = 0;
    enum os_status status = os_stream_read(s->stream, s->relay->in, sizeof s->relay->in, &got);
    if (status != OS_OK && status != OS_AGAIN && status != OS_END) {
        fail_connect(s, status);
        return;
    }
    s->connecting = false;
    watch(s);
    s->generation = role_hold(&s->relay->role);
    smtp_client_start(&s->client, s->generation->conf.hostname, os_now_us(s->relay->os));
    if (status == OS_END)
        lose(s, "the server closed the connection");
    run(s, (struct view){ s->relay->in, got });
}

static void on_stream(void *ctx, unsigned events)
{
    struct relay_session *s = ctx;
    if (s->connecting) {
        on_connected(s);
        return;
    }
    if ((events & OS_WRITABLE) && s->late_len && write_late(s)) {
        run(s, VIEW_NONE);
        if (!s->stream)
            return;
    }
    if (events & OS_READABLE)
        on_readable(s);
}

bool relay_session_open(struct relay_destination *d, struct relay_job *job, size_t target)
{
    struct relay *relay = d->relay;
    struct relay_session *s = calloc(1, sizeof *s);
    struct relay_verdict v = relay_verdict_local(IPC_DEFERRED, 451, 3, 0, VIEW("out of memory"));
    if (!s) {
        relay_job_trouble(job, &v);
        return false;
    }
    s->relay = relay;
    s->destination = d;
    s->target = target;
    s->timer.run = on_time;
    list_init(&s->idle);
    list_init(&s->all_idle);
    write_remote(s);
    enum os_status status = os_connect(relay->os, &d->targets[target].address, NULL, &s->stream);
    if (status != OS_OK) {
        v = relay_verdict_local(IPC_DEFERRED, 451, 4, 1, view_of(os_status_text(status)));
        v.remote = remote_of(s);
        v.reach = IPC_UNREACHED;
        d->bad_until_us[target] = os_now_us(relay->os) + RELAY_BAD_US;
        relay_job_trouble(job, &v);
        free(s);
        return false;
    }
    s->connecting = true;
    s->until_us = os_now_us(relay->os) + RELAY_CONNECT_US_MAX;
    list_append(&d->sessions, &s->link);
    d->session_count++;
    relay->session_count++;
    take_job(s, job);
    s->watched = OS_READABLE | OS_WRITABLE;
    os_stream_watch(s->stream, s->watched, on_stream, s);
    arm(s);
    return true;
}

void relay_session_give(struct relay_session *s, struct relay_job *job)
{
    take_job(s, job);
    run(s, VIEW_NONE);
}

void relay_session_go(struct relay_session *s)
{
    if (!s->connecting)
        run(s, VIEW_NONE);
}

/* ---- from above ---- */

static void part(struct relay_session *s)
{
    struct relay_job *job = s->job;
    if (!list_empty(&s->idle)) {
        leave_idle(s);
        smtp_client_quit(&s->client);
        run(s, VIEW_NONE);
    }
    if (!s->stream)
        return;
    s->job = NULL;
    if (job)
        relay_destination_return(job);
    end_session(s);
}

bool relay_session_drop_idle(struct relay *relay)
{
    if (list_empty(&relay->idle))
        return false;
    part(list_entry(relay->idle.prev, struct relay_session, all_idle));
    return true;
}

void relay_session_stop_all(struct relay_destination *d)
{
    list_each_safe(link, &d->sessions)
    {
        struct relay_session *s = list_entry(link, struct relay_session, link);
        if (!s->sending)
            part(s);
    }
}

#include "gonetsd/session.h"

#include <stdlib.h>
#include <string.h>

#include "gonetsd/transaction.h"

#define LINGER_US    UINT64_C(1000000) /* from our last word to the end of the link */
#define LEFTOVER_MAX (256 * 1024)      /* bytes of input that are read and thrown away meanwhile */

static void on_stream(void *ctx, unsigned events);

/* ---- life ---- */

static void destroy(struct session *s)
{
    struct smtpd *smtpd = s->smtpd;
    struct listener *listener = s->listener;
    /* A message that the spool is deciding on lives on without us. */
    if (s->transaction && s->finishing)
        s->transaction->session = NULL;
    else
        transaction_drop(s);
    heap_remove(&smtpd->timers, &s->timer);
    list_remove(&s->link);
    os_stream_close(s->stream);
    free(s->kept);
    free(s->held);
    free(s->owed);
    free(s->hello);
    free(s);
    smtpd_session_gone(listener);
}

/* When the client has run out of time. While its content waits for our disk, the waiting is ours. */
static uint64_t due_us(const struct session *s)
{
    uint64_t due = s->held || s->closing ? UINT64_MAX : s->server.deadline_us;
    return due < s->owed_deadline_us ? due : s->owed_deadline_us;
}

/* The timer is only ever brought forward here; when it fires too early it is set anew (see session_alarm). */
static void arm(struct session *s)
{
    uint64_t due = due_us(s);
    if (due == UINT64_MAX || (s->timer.place && s->timer.key <= due))
        return;
    if (heap_set(&s->smtpd->timers, &s->timer, due))
        smtpd_arm(s->smtpd);
}

static void watch(struct session *s)
{
    bool reads = !s->owed && !s->held && !s->closing && s->kept_len < SMTPD_INPUT_MAX && !s->waiting;
    os_stream_watch(s->stream, (reads ? OS_READABLE : 0u) | (s->owed ? OS_WRITABLE : 0u), on_stream, s);
}

/* ---- output ---- */

/* Keeps text for when the client reads again, behind what is owed already. */
static bool owe(struct session *s, struct view rest)
{
    char *owed = realloc(s->owed, s->owed_len + rest.len);
    if (!owed)
        return false;
    memcpy(owed + s->owed_len, rest.at, rest.len);
    if (!s->owed)
        s->owed_deadline_us = os_now_us(s->smtpd->os) + s->listener->profile.command_us_max;
    s->owed = owed;
    s->owed_len += rest.len;
    return true;
}

/* Writes as much of *text as the client takes now; false: the link is broken. */
static bool write_some(struct session *s, struct view *text)
{
    while (text->len) {
        size_t put = 0;
        const struct os_slice slice = { text->at, text->len };
        enum os_status status = os_stream_write(s->stream, &slice, 1, &put);
        if (status != OS_OK)
            return status == OS_AGAIN;
        view_take(text, put);
    }
    return true;
}

/* What cannot be sent now is owed, and the machine rests until the client has read it. */
static bool send_out(struct session *s, struct view text)
{
    if (!s->owed && !write_some(s, &text))
        return false;
    return text.len == 0 || owe(s, text);
}

static bool send_owed(struct session *s)
{
    struct view rest = { s->owed, s->owed_len };
    if (!write_some(s, &rest))
        return false;
    memmove(s->owed, rest.at, rest.len);
    s->owed_len = rest.len;
    if (rest.len)
        return true;
    free(s->owed);
    s->owed = NULL;
    s->owed_deadline_us = UINT64_MAX;
    return true;
}

static bool flush(struct session *s, struct buffer *out)
{
    bool good = out->len == 0 || send_out(s, buffer_view(out));
    buffer_clear(out);
    return good;
}

/* ---- what the machine asks ---- */

static void keep_hello(struct session *s)
{
    struct view name = s->server.hello_name;
    free(s->hello);
    s->hello = name.len ? malloc(name.len) : NULL;
    s->hello_len = s->hello ? name.len : 0;
    if (s->hello)
        memcpy(s->hello, name.at, name.len);
}

/* What is wrong with the name is said and taken all the same: hosts without a name in the DNS send mail too. */
static void answer_hello(struct session *s, struct buffer *out)
{
    char memory[512];
    struct buffer text = BUFFER_OF(memory);
    struct view name = s->server.hello_name;
    keep_hello(s);
    buffer_add_text(&text, "greets ");
    buffer_add_safe(&text, name.len ? name : VIEW("you"), 64);
    buffer_add_text(&text, " [");
    address_add_ip(&text, &s->peer);
    buffer_add_text(&text, "]");
    if (name.len == 0)
        buffer_add_text(&text, ", who gave no name");
    else if (!view_has(name, '.') && name.at[0] != '[')
        buffer_add_text(&text, ", whose name is not fully qualified");
    struct smtp_reply reply = { .code = 250, .text = buffer_view(&text) };
    smtp_server_answer(&s->server, os_now_us(s->smtpd->os), &reply, out);
}

static void answer(struct session *s, const struct smtp_reply *reply, struct buffer *out)
{
    smtp_server_answer(&s->server, os_now_us(s->smtpd->os), reply, out);
}

static bool hold(struct session *s, struct view piece)
{
    char *held = malloc(piece.len);
    if (!held)
        return false;
    memcpy(held, piece.at, piece.len);
    s->held = held;
    s->held_len = piece.len;
    return true;
}

static void take_content(struct session *s, struct view piece)
{
    static const struct smtp_reply no_memory = SMTP_REPLY_INIT(452, 4, 3, 1, "out of memory for this message, try again later");
    if (!s->transaction || transaction_content(s, piece))
        return;
    if (!hold(s, piece))
        smtp_server_spoil(&s->server, &no_memory);
}

enum next { NEXT_STEP, NEXT_REST, NEXT_CLOSE };

static enum next on_question(struct session *s, enum smtp_server_event event, struct buffer *out)
{
    struct smtp_reply reply;
    bool now = true;
    switch (event) {
    case SMTP_SERVER_HELLO:
        answer_hello(s, out);
        return NEXT_STEP;
    case SMTP_SERVER_MAIL:
        transaction_mail(s, &reply);
        break;
    case SMTP_SERVER_RCPT:
        now = transaction_rcpt(s, &reply);
        break;
    case SMTP_SERVER_DATA:
        transaction_data(s, &reply);
        break;
    default:
        now = transaction_end(s, &reply);
        s->finishing = !now;
    }
    s->waiting = !now;
    if (now)
        answer(s, &reply, out);
    return now ? NEXT_STEP : NEXT_REST;
}

static enum next on_step(struct session *s, enum smtp_server_event event, struct buffer *out)
{
    switch (event) {
    case SMTP_SERVER_INPUT:
    case SMTP_SERVER_WAITING:
        return NEXT_REST;
    case SMTP_SERVER_CLOSE:
        s->closing = true;
        return NEXT_REST;
    case SMTP_SERVER_FLUSH:
        return flush(s, out) ? NEXT_STEP : NEXT_CLOSE;
    case SMTP_SERVER_RESET:
        transaction_drop(s);
        return NEXT_STEP;
    case SMTP_SERVER_CONTENT:
        take_content(s, s->server.content);
        return NEXT_STEP;
    default:
        return on_question(s, event, out);
    }
}

/* Runs the machine over the input as far as it goes; false: the session is to be closed now. */
static bool run(struct session *s, struct view *input, struct buffer *out)
{
    enum next next = NEXT_STEP;
    while (next == NEXT_STEP && !s->owed && !s->held)
        next = on_step(s, smtp_server_step(&s->server, os_now_us(s->smtpd->os), input, out), out);
    return next != NEXT_CLOSE && flush(s, out);
}

/* ---- input ---- */

static bool keep(struct session *s, struct view rest)
{
    char *kept = NULL;
    if (rest.len && !s->closing) {
        kept = malloc(rest.len);
        if (!kept)
            return false;
        memcpy(kept, rest.at, rest.len);
    }
    free(s->kept);
    s->kept = kept;
    s->kept_len = kept ? rest.len : 0;
    return true;
}

/* Input that lies unread when a link is closed makes the kernel reset it, and the client may never see our last word:
 * so what still comes is read and thrown away for a while (RFC 1122 section 4.2.2.13). */
static void linger(struct session *s)
{
    os_stream_shutdown(s->stream);
    s->owed_deadline_us = os_now_us(s->smtpd->os) + LINGER_US;
    os_stream_watch(s->stream, OS_READABLE, on_stream, s);
    arm(s);
}

/* All is said. After QUIT nothing more comes; who was refused at the greeting gets none of our room. */
static void finish(struct session *s, struct view rest)
{
    if (s->server.refused || (s->server.quit && !rest.len))
        destroy(s);
    else
        linger(s);
}

/* One turn of the session over input that lies in the worker's buffer; the session may be gone afterwards. False: it is
 * gone, and what we said last did not go out. */
static bool turn(struct session *s, struct view input, struct buffer *out)
{
    if (!run(s, &input, out) || !keep(s, input)) {
        destroy(s);
        return false;
    }
    if (s->closing && !s->owed) {
        finish(s, input);
    } else {
        watch(s);
        arm(s);
    }
    return true;
}

/* What was kept moves to the front of the worker's buffer. */
static size_t unkeep(struct session *s)
{
    size_t len = s->kept_len;
    if (len)
        memcpy(s->smtpd->input, s->kept, len);
    free(s->kept);
    s->kept = NULL;
    s->kept_len = 0;
    return len;
}

static struct buffer output_of(struct session *s)
{
    return BUFFER_OF(s->smtpd->output);
}

static void on_readable(struct session *s)
{
    struct buffer out = output_of(s);
    size_t got = 0, len = unkeep(s);
    enum os_status status = os_stream_read(s->stream, s->smtpd->input + len, SMTPD_INPUT_MAX, &got);
    if (status != OS_OK && status != OS_AGAIN) {
        destroy(s);
        return;
    }
    turn(s, (struct view){ s->smtpd->input, len + got }, &out);
}

static void on_leftover(struct session *s)
{
    size_t got = 0;
    enum os_status status = os_stream_read(s->stream, s->smtpd->input, SMTPD_INPUT_MAX, &got);
    s->leftover += got;
    if ((status != OS_OK && status != OS_AGAIN) || s->leftover > LEFTOVER_MAX)
        destroy(s);
}

static void resume(struct session *s)
{
    struct buffer out = output_of(s);
    turn(s, (struct view){ s->smtpd->input, unkeep(s) }, &out);
}

static void on_writable(struct session *s)
{
    if (!send_owed(s))
        destroy(s);
    else if (!s->owed)
        resume(s);
}

static void on_stream(void *ctx, unsigned events)
{
    struct session *s = ctx;
    if (s->owed && events & OS_WRITABLE)
        on_writable(s);
    else if (events & OS_READABLE && s->closing)
        on_leftover(s);
    else if (events & OS_READABLE)
        on_readable(s);
}

/* ---- answers that come later ---- */

static bool answer_later(struct session *s, const struct smtp_reply *reply)
{
    struct buffer out = output_of(s);
    s->waiting = s->finishing = false;
    answer(s, reply, &out);
    return turn(s, (struct view){ s->smtpd->input, unkeep(s) }, &out);
}

/* The client may well send the message again: the log says why there are two (H26). */
static void log_lost_reply(struct smtpd *smtpd, const struct mail_id *id)
{
    struct event e;
    event_begin(&e, &smtpd->log, "reply-lost");
    event_id(&e, id);
    event_view(&e, "text", VIEW("the client is gone, the message stays"));
    event_end(&e);
}

void session_done(struct session *s, bool ok, const struct mail_id *id)
{
    char memory[64], text[MAIL_ID_TEXT_SIZE + 1];
    struct buffer words = BUFFER_OF(memory);
    struct smtp_reply reply = SMTP_REPLY(451, 4, 3, 0, "the message could not be stored safely, try again later");
    struct smtpd *smtpd = s->smtpd;
    mail_id_text(id, text);
    buffer_addf(&words, "queued as %s", text);
    if (ok)
        reply = (struct smtp_reply){ 250, { 2, 0, 0 }, buffer_view(&words), false };
    if (!answer_later(s, &reply) && ok)
        log_lost_reply(smtpd, id);
}

void session_verdict(struct session *s, const struct conf_action *action, const struct smtp_reply *refusal)
{
    struct smtp_reply reply;
    if (refusal)
        reply = *refusal;
    else
        transaction_add(s->transaction, action, &reply);
    answer_later(s, &reply);
}

static void room(struct session *s)
{
    char *held = s->held;
    s->held = NULL;
    take_content(s, (struct view){ held, s->held_len });
    free(held);
    if (!s->held)
        resume(s);
}

void session_room_all(struct smtpd *smtpd)
{
    list_each_safe(link, &smtpd->sessions)
    {
        struct session *s = list_entry(link, struct session, link);
        if (s->held)
            room(s);
    }
}

/* ---- time, beginning and end ---- */

static void time_out(struct session *s)
{
    struct buffer out = output_of(s);
    if (s->owed || s->closing) {
        destroy(s); /* it does not read, no use in telling it; or it was told */
        return;
    }
    smtp_server_timeout(&s->server, &out);
    turn(s, VIEW_NONE, &out);
}

void session_alarm(struct smtpd *smtpd)
{
    uint64_t now = os_now_us(smtpd->os);
    for (struct heap_item *item; (item = heap_first(&smtpd->timers)) && item->key <= now;) {
        struct session *s = heap_entry(item, struct session, timer);
        heap_remove(&smtpd->timers, item);
        if (due_us(s) <= now)
            time_out(s);
        else
            arm(s);
    }
}

void session_open(struct smtpd *smtpd, struct listener *listener, struct os_stream *stream)
{
    static const struct smtp_reply busy = { 421, { 4, 3, 2 }, { "too many connections, try again later", 37 }, true };
    struct session *s = calloc(1, sizeof *s);
    if (!s) {
        os_stream_close(stream);
        return;
    }
    bool full = smtpd->session_count >= smtpd_conf(listener)->limits.sessions_max;
    *s = (struct session){ .smtpd = smtpd, .listener = listener, .stream = stream, .peer = os_stream_peer(stream),
                           .id = smtpd_new_id(smtpd), .owed_deadline_us = UINT64_MAX };
    struct buffer out = output_of(s);
    list_append(&smtpd->sessions, &s->link);
    smtpd_session_here(listener);
    smtp_server_start(&s->server, &listener->profile, os_now_us(smtpd->os), full ? &busy : NULL, &out);
    turn(s, VIEW_NONE, &out);
}

void session_shutdown_all(struct smtpd *smtpd)
{
    list_each_safe(link, &smtpd->sessions)
    {
        struct session *s = list_entry(link, struct session, link);
        struct buffer out = output_of(s);
        smtp_server_shutdown(&s->server, &out);
        if (s->held)
            destroy(s); /* in the middle of content: nothing is owed yet */
        else if (!s->waiting && !s->owed)
            turn(s, (struct view){ smtpd->input, unkeep(s) }, &out);
    }
}

void session_free_all(struct smtpd *smtpd)
{
    while (!list_empty(&smtpd->sessions))
        destroy(list_entry(smtpd->sessions.next, struct session, link));
}

#include "sim/sender.h"

#include <stdlib.h>
#include <string.h>

#include "sim/host.h"
#include "smtp/client.h"

#define PAUSE_US     UINT64_C(1000000)
#define PAUSE_US_MAX UINT64_C(60000000)
#define ADDRESS_MAX  64

struct sim_sender {
    struct os *os;
    struct sim_ledger *ledger;
    struct sim_plan plan;
    size_t next, given_up;
    unsigned tries;           /* of the mail that is next */
    unsigned failures;        /* in a row */
    struct os_stream *stream; /* NULL: between connections */
    bool sent_one, refused;   /* on this connection */
    struct smtp_client client;
    struct smtp_client_message message;
    struct smtp_client_recipient recipients[SIM_PATHS_MAX];
    unsigned path_of[SIM_PATHS_MAX]; /* number in the plan */
    char paths[SIM_PATHS_MAX][ADDRESS_MAX];
    uint32_t letter;
    char *content; /* of the letter under way */
    struct view rest;
    struct buffer in, out;
    char in_memory[8192], out_memory[8192];
};

static void connect_now(void *ctx);
static void pump(struct sim_sender *s);

static struct sim_letter *letter_of(struct sim_sender *s)
{
    return sim_ledger_find(s->ledger, s->letter);
}

/* ---- a mail ---- */

static void add_recipient(struct sim_sender *s, unsigned number)
{
    size_t n = s->message.recipient_count++;
    struct buffer path;
    buffer_init(&path, s->paths[n], ADDRESS_MAX);
    if (s->plan.paths)
        buffer_add_text(&path, s->plan.paths[number]);
    else
        buffer_addf(&path, "%s@example.org", sim_users[number]);
    s->recipients[n] = (struct smtp_client_recipient){ .path = buffer_view(&path) };
    s->path_of[n] = number;
}

static void begin_mail(struct sim_sender *s)
{
    const struct sim_mail *mail = &s->plan.mails[s->next];
    const struct sim_letter *letter = sim_ledger_add(s->ledger, mail->size, mail->to);
    size_t len;
    s->letter = letter->number;
    s->content = sim_letter_text(letter, &len);
    s->rest = (struct view){ s->content, len };
    s->message = (struct smtp_client_message){ .reverse_path = view_of(s->plan.reverse_path ? s->plan.reverse_path
                                                                                            : "sender@example.net"),
                                               .recipients = s->recipients,
                                               .size = len,
                                               .body = SMTP_BODY_8BITMIME };
    for (unsigned n = 0; n < (s->plan.paths ? s->plan.path_count : SIM_USERS); n++)
        if (mail->to >> n & 1)
            add_recipient(s, n);
    s->client.pipelining = s->client.pipelining && !s->plan.single_commands;
    s->sent_one = true;
    smtp_client_send(&s->client, &s->message);
}

static enum sim_fate fate_of(enum smtp_client_outcome outcome)
{
    switch (outcome) {
    case SMTP_CLIENT_SENT:
        return SIM_ACCEPTED;
    case SMTP_CLIENT_UNKNOWN:
        return SIM_UNKNOWN;
    default:
        return SIM_REFUSED;
    }
}

/* Those that were refused while others were accepted are not tried again: the ledger knows who was accepted. */
static void end_mail(struct sim_sender *s)
{
    struct sim_letter *letter = letter_of(s);
    letter->fate = fate_of(s->client.outcome);
    free(s->content);
    s->content = NULL;
    s->refused = letter->fate != SIM_ACCEPTED;
    s->failures = s->refused ? s->failures + 1 : 0;
    if (s->refused && ++s->tries != s->plan.tries_max)
        return;
    s->given_up += s->refused;
    s->next++;
    s->tries = 0;
}

/* ---- the connection ---- */

static void hang_up(struct sim_sender *s)
{
    os_stream_close(s->stream);
    s->stream = NULL;
    if (sim_sender_done(s)) {
        os_alarm(s->os, OS_NEVER, connect_now, s);
        return;
    }
    s->failures += !s->sent_one;
    uint64_t pause = s->plan.pause_us ? s->plan.pause_us : PAUSE_US;
    pause = s->failures < 8 ? pause << s->failures : PAUSE_US_MAX;
    os_alarm(s->os, os_now_us(s->os) + (pause < PAUSE_US_MAX ? pause : PAUSE_US_MAX), connect_now, s);
}

static void lose(struct sim_sender *s)
{
    smtp_client_lost(&s->client);
}

static void flush(struct sim_sender *s)
{
    while (s->out.len) {
        size_t put;
        const struct os_slice slice = { s->out.at, s->out.len };
        enum os_status status = os_stream_write(s->stream, &slice, 1, &put);
        if (status == OS_AGAIN)
            return;
        if (status != OS_OK) {
            buffer_clear(&s->out);
            lose(s);
            return;
        }
        buffer_remove(&s->out, put);
    }
}

static void on_stream(void *ctx, unsigned events)
{
    struct sim_sender *s = ctx;
    size_t got;
    if (events & OS_READABLE && s->in.len < s->in.cap) {
        enum os_status status = os_stream_read(s->stream, s->in.at + s->in.len, s->in.cap - s->in.len, &got);
        s->in.len += got;
        if (status != OS_OK && status != OS_AGAIN)
            lose(s);
    }
    pump(s);
}

static void on_deadline(void *ctx)
{
    struct sim_sender *s = ctx;
    if (s->stream && os_now_us(s->os) >= s->client.deadline_us)
        lose(s);
    if (s->stream)
        pump(s);
}

static void rest(struct sim_sender *s)
{
    os_stream_watch(s->stream, OS_READABLE | (s->out.len ? OS_WRITABLE : 0u), on_stream, s);
    os_alarm(s->os, s->client.deadline_us, on_deadline, s);
}

/* ---- the machine ---- */

static void give_content(struct sim_sender *s)
{
    smtp_client_content(&s->client, &s->rest, &s->out);
    if (s->rest.len || buffer_room(&s->out) < 8)
        return;
    letter_of(s)->dotted = true;
    smtp_client_content_end(&s->client, os_now_us(s->os), &s->out);
}

static void next_mail(struct sim_sender *s)
{
    if (sim_sender_done(s) || s->refused || (s->plan.one_each && s->sent_one))
        smtp_client_quit(&s->client);
    else
        begin_mail(s);
}

/* true: it waits, or is over. */
static bool step(struct sim_sender *s)
{
    struct view input = buffer_view(&s->in);
    enum smtp_client_event event = smtp_client_step(&s->client, os_now_us(s->os), &input, &s->out);
    buffer_remove(&s->in, s->in.len - input.len);
    switch (event) {
    case SMTP_CLIENT_INPUT:
        flush(s);
        rest(s);
        return true;
    case SMTP_CLIENT_FLUSH:
        flush(s);
        if (s->out.len)
            rest(s);
        return s->out.len > 0;
    case SMTP_CLIENT_READY:
        next_mail(s);
        return false;
    case SMTP_CLIENT_RECIPIENT:
        if (s->client.reply.code / 100 == 2)
            letter_of(s)->accepted |= 1u << s->path_of[s->client.recipient];
        return false;
    case SMTP_CLIENT_CONTENT:
        give_content(s);
        return false;
    case SMTP_CLIENT_DONE:
        end_mail(s);
        return false;
    case SMTP_CLIENT_CLOSE:
        flush(s);
        hang_up(s);
        return true;
    }
    return true;
}

static void pump(struct sim_sender *s)
{
    while (!step(s))
        ;
}

static void connect_now(void *ctx)
{
    struct sim_sender *s = ctx;
    struct address to = { .set = true, .port = 25 };
    address_parse_ip(VIEW(SIM_HOST_IP), &to);
    buffer_clear(&s->in);
    buffer_clear(&s->out);
    s->sent_one = s->refused = false;
    if (os_connect(s->os, &to, NULL, &s->stream) != OS_OK)
        abort();
    smtp_client_start(&s->client, VIEW("client.example.net"), os_now_us(s->os));
    pump(s);
}

/* ---- life ---- */

struct sim_sender *sim_sender_new(struct mem_host *host, struct sim_ledger *ledger, const struct sim_plan *plan)
{
    struct sim_sender *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->os = mem_process_new(host);
    s->ledger = ledger;
    s->plan = *plan;
    s->in = BUFFER_OF(s->in_memory);
    s->out = BUFFER_OF(s->out_memory);
    os_alarm(s->os, 0, connect_now, s);
    return s;
}

void sim_sender_free(struct sim_sender *s)
{
    free(s->content);
    free(s);
}

bool sim_sender_done(const struct sim_sender *s)
{
    return s->next == s->plan.count;
}

size_t sim_sender_given_up(const struct sim_sender *s)
{
    return s->given_up;
}

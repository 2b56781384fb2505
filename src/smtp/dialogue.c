#include "smtp/dialogue.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct smtp_server_profile dialogue_strict = {
    .hostname = { "mx.test", 7 },
    .size_max = 1000,
    .recipients_max = 100,
    .errors_max = 20,
    .command_us_max = 300000000,
    .data_us_max = 180000000,
};
const struct smtp_server_profile dialogue_lenient = {
    .hostname = { "mx.test", 7 },
    .greeting = { "at your service", 15 },
    .recipients_max = 100,
    .errors_max = 20,
    .command_us_max = 300000000,
    .data_us_max = 180000000,
    .lenient = true,
    .bare_lf_commands = true,
};

void text_add(struct text *text, struct view more)
{
    if (text->len + more.len > text->cap) {
        text->cap = 2 * (text->len + more.len) + 64;
        text->at = realloc(text->at, text->cap);
        assert(text->at);
    }
    if (more.len)
        memcpy(text->at + text->len, more.at, more.len);
    text->len += more.len;
}

void text_addf(struct text *text, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    assert(len >= 0);
    text_add(text, (struct view){ line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1 });
}

struct view text_view(const struct text *text)
{
    return (struct view){ text->at, text->len };
}

static void flush(struct dialogue *d)
{
    text_add(&d->replies, buffer_view(&d->out));
    buffer_clear(&d->out);
}

static bool sent_by(const struct dialogue *d, const char *name)
{
    return view_equal(text_view(&d->sender), view_of(name));
}

static struct smtp_reply judge(struct view name)
{
    struct smtp_reply reply = { .code = 250 };
    if (view_equal(name, VIEW("refuse")) || view_equal(name, VIEW("Green")))
        reply = SMTP_REPLY(550, 5, 1, 1, "no such user here");
    if (view_equal(name, VIEW("later")))
        reply = (struct smtp_reply){ .code = 451 };
    if (view_equal(name, VIEW("hangup"))) {
        reply = SMTP_REPLY(421, 4, 7, 0, "go away");
        reply.close = true;
    }
    return reply;
}

static void note_path(struct dialogue *d, const char *event)
{
    char memory[512];
    struct buffer path = BUFFER_OF(memory);
    smtp_path_add_whole(&path, &d->server.path);
    assert(!path.full);
    text_addf(&d->events, "%s <%.*s>", event, VIEW_FORMAT(buffer_view(&path)));
}

static struct smtp_reply on_hello(struct dialogue *d)
{
    struct view name = d->server.hello_name;
    struct smtp_reply reply = judge(name);
    if (reply.code == 250)
        reply.text = name.len ? VIEW("greets you") : VIEW("domain name should be qualified");
    text_addf(&d->events, "%s %.*s\n", d->server.extended ? "EHLO" : "HELO", VIEW_FORMAT(name));
    return reply;
}

static struct smtp_reply on_mail(struct dialogue *d)
{
    static const char *const bodies[] = { "", " body=7BIT", " body=8BITMIME" };
    note_path(d, "MAIL");
    if (d->server.mail.has_size)
        text_addf(&d->events, " size=%llu", (unsigned long long)d->server.mail.size);
    text_addf(&d->events, "%s\n", bodies[d->server.mail.body]);
    d->sender.len = 0;
    text_add(&d->sender, d->server.path.local);
    return judge(d->server.path.local);
}

static struct smtp_reply on_rcpt(struct dialogue *d)
{
    note_path(d, "RCPT");
    text_addf(&d->events, "\n");
    return judge(d->server.path.local);
}

static struct smtp_reply on_data(struct dialogue *d)
{
    d->content.len = 0;
    return (struct smtp_reply){ .code = sent_by(d, "nodata") ? 451 : 354 };
}

static struct smtp_reply on_end(struct dialogue *d)
{
    assert(d->content.len == d->server.content_size);
    text_addf(&d->events, "END ");
    text_add(&d->events, text_view(&d->content));
    text_addf(&d->events, "\n");
    return sent_by(d, "badend") ? SMTP_REPLY(554, 5, 7, 1, "content not wanted") : (struct smtp_reply){ .code = 250 };
}

static void on_content(struct dialogue *d)
{
    static const struct smtp_reply full = SMTP_REPLY_INIT(452, 4, 3, 1, "no room");
    assert(d->server.content.len);
    text_add(&d->content, d->server.content);
    if (sent_by(d, "spoil"))
        smtp_server_spoil(&d->server, &full);
}

static void on_question(struct dialogue *d, enum smtp_server_event event, struct view *input)
{
    struct smtp_reply reply = event == SMTP_SERVER_HELLO  ? on_hello(d)
                              : event == SMTP_SERVER_MAIL ? on_mail(d)
                              : event == SMTP_SERVER_RCPT ? on_rcpt(d)
                              : event == SMTP_SERVER_DATA ? on_data(d)
                                                          : on_end(d);
    size_t left = input->len;
    assert(d->server.deadline_us == UINT64_MAX && !smtp_server_idle(&d->server));
    if (d->slow)
        assert(smtp_server_step(&d->server, d->now_us, input, &d->out) == SMTP_SERVER_WAITING && input->len == left);
    smtp_server_answer(&d->server, d->now_us, &reply, &d->out);
    assert(d->server.path.local.len == 0 && d->server.hello_name.len == 0);
}

/* false: the machine rests. */
static bool act(struct dialogue *d, enum smtp_server_event event, struct view *input)
{
    switch (event) {
    case SMTP_SERVER_INPUT:
        return false;
    case SMTP_SERVER_FLUSH:
        assert(d->out.len);
        flush(d);
        return true;
    case SMTP_SERVER_CONTENT:
        on_content(d);
        return true;
    case SMTP_SERVER_RESET:
        assert(!d->server.has_mail);
        text_addf(&d->events, "RESET\n");
        return true;
    case SMTP_SERVER_CLOSE:
        text_addf(&d->events, "CLOSE\n");
        d->closed = true;
        return false;
    default:
        on_question(d, event, input);
        return true;
    }
}

void dialogue_start(struct dialogue *d, const struct smtp_server_profile *profile)
{
    memset(d, 0, sizeof *d);
    d->out = BUFFER_OF(d->memory);
    smtp_server_start(&d->server, profile, d->now_us, NULL, &d->out);
    flush(d);
}

/* The input lies in memory of its exact size, so that a sanitizer sees each look beyond it. */
void dialogue_feed(struct dialogue *d, struct view bytes)
{
    if (d->closed)
        return;
    text_add(&d->pending, bytes);
    char *exact = malloc(d->pending.len + !d->pending.len);
    assert(exact);
    if (d->pending.len)
        memcpy(exact, d->pending.at, d->pending.len);
    struct view input = { exact, d->pending.len };
    while (act(d, smtp_server_step(&d->server, d->now_us, &input, &d->out), &input))
        continue;
    assert(d->closed || input.len < SMTP_COMMAND_MAX);
    d->pending.len = 0;
    text_add(&d->pending, input);
    free(exact);
    flush(d);
}

void dialogue_free(struct dialogue *d)
{
    free(d->replies.at);
    free(d->events.at);
    free(d->pending.at);
    free(d->content.at);
    free(d->sender.at);
}

void dialogue_play(struct dialogue *d, const struct smtp_server_profile *profile, struct view bytes, size_t first,
                   size_t piece)
{
    bool slow = first % 2;
    dialogue_start(d, profile);
    d->slow = slow;
    dialogue_feed(d, view_take(&bytes, first));
    while (bytes.len)
        dialogue_feed(d, view_take(&bytes, piece));
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Of a line whose digits have been checked; it has no NUL behind it. */
static int code_of(struct view line)
{
    return (line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + (line.at[2] - '0');
}

static const char *line_fault(struct view line, int code)
{
    if (line.len + 2 > 512)
        return "line too long";
    if (line.len < 3 || line.at[0] < '2' || line.at[0] > '5' || !is_digit(line.at[1]) || !is_digit(line.at[2]))
        return "no code";
    if (line.len > 3 && line.at[3] != ' ' && line.at[3] != '-')
        return "no blank or hyphen behind the code";
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] < 32 || line.at[i] > 126)
            return "byte that does not print";
    if (code && code_of(line) != code)
        return "codes differ within a reply";
    return NULL;
}

const char *dialogue_grammar_fault(struct view replies)
{
    int code = 0;
    while (replies.len) {
        size_t end = 0;
        while (end + 1 < replies.len && !(replies.at[end] == '\r' && replies.at[end + 1] == '\n'))
            end++;
        if (end + 1 >= replies.len)
            return "no CRLF at the end";
        struct view line = view_take(&replies, end);
        view_take(&replies, 2);
        const char *fault = line_fault(line, code);
        if (fault)
            return fault;
        code = line.len > 3 && line.at[3] == '-' ? code_of(line) : 0;
    }
    return code ? "last line is missing" : NULL;
}

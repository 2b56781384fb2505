/* All sequences of commands up to a length, against a table of states that is written here and nowhere else. The
 * machine has no state but its struct: where two sequences lead to the same bytes, what comes after is played once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/server.h"

#define LENGTH_MAX 9
#define FOUND_MAX  20000
#define ERRORS_MAX 4
#define BIG        "NOOP 0123456789abcdef"

enum place { NEW, READY, MAILED, RECEIVING, OVER, PLACES };

/* What the caller is asked on the way. */
enum asked { NOTHING, HELLO, MAIL, RCPT, MESSAGE };

struct step {
    const char *reply; /* how it begins */
    enum place next;   /* where the session stands then */
};

/* KEEP: as before. */
#define KEEP PLACES
#define BAD(code)                                                                                                      \
    {                                                                                                                  \
        code, KEEP                                                                                                     \
    }
#define ANYWHERE(reply)                                                                                                \
    {                                                                                                                  \
        { reply, KEEP }, { reply, KEEP }, { reply, KEEP },                                                             \
        {                                                                                                              \
            reply, KEEP                                                                                                \
        }                                                                                                              \
    }

/* One command, and what it does in each place but OVER. */
struct command {
    const char *line;
    bool fault; /* counts towards errors_max where its reply is one of 500 501 503 555 */
    struct step steps[OVER];
};

#define FIRST "503 5.5.1 send HELO or EHLO first"
static const struct command commands[] = {
    { "HELO c.test",
      false,
      { { "250 mx.test", READY }, { "250 mx.test", READY }, { "250 mx.test", READY }, { "250 mx.test", READY } } },
    { "EHLO c.test",
      false,
      { { "250-mx.test", READY }, { "250-mx.test", READY }, { "250-mx.test", READY }, { "250-mx.test", READY } } },
    { "EHLO refuse", false, ANYWHERE("550 ") },
    { "HELO \x01", true, ANYWHERE("501 ") },
    { "MAIL FROM:<a@b.test>",
      true,
      { BAD(FIRST), { "250 2.1.0", MAILED }, BAD("503 5.5.1 a message"), BAD("503 5.5.1 a message") } },
    { "MAIL FROM:<refuse>",
      true,
      { BAD(FIRST), { "550 5.1.1", READY }, BAD("503 5.5.1 a message"), BAD("503 5.5.1 a message") } },
    { "MAIL <a@b.test>",
      true,
      { BAD(FIRST), BAD("501 5.5.2"), BAD("503 5.5.1 a message"), BAD("503 5.5.1 a message") } },
    { "MAIL FROM:<a@b.test> SIZE=1 FOO=1",
      true,
      { BAD(FIRST), BAD("555 5.5.4"), BAD("503 5.5.1 a message"), BAD("503 5.5.1 a message") } },
    { "RCPT TO:<c@d.test>",
      true,
      { BAD(FIRST), BAD("503 5.5.1 send MAIL"), { "250 2.1.5", RECEIVING }, { "250 2.1.5", RECEIVING } } },
    { "RCPT TO:<refuse>", true, { BAD(FIRST), BAD("503 5.5.1 send MAIL"), BAD("550 5.1.1"), BAD("550 5.1.1") } },
    { "RCPT TO:<c@d@e>", true, { BAD(FIRST), BAD("503 5.5.1 send MAIL"), BAD("501 5.1.3"), BAD("501 5.1.3") } },
    /* The content follows when it is wanted: see play(). */
    { "DATA", true, { BAD(FIRST), BAD("503 5.5.1 send MAIL"), BAD("503 5.5.1 send RCPT"), { "354 ", READY } } },
    { "DATA x", true, { BAD(FIRST), BAD("503 5.5.1 send MAIL"), BAD("503 5.5.1 send RCPT"), BAD("501 5.5.4") } },
    { "RSET", false, { { "250 2.0.0", NEW }, { "250 2.0.0", READY }, { "250 2.0.0", READY }, { "250 2.0.0", READY } } },
    { "RSET x", true, ANYWHERE("501 5.5.4") },
    { "QUIT", false, { { "221 2.0.0", OVER }, { "221 2.0.0", OVER }, { "221 2.0.0", OVER }, { "221 2.0.0", OVER } } },
    { "QUIT x", true, ANYWHERE("501 5.5.4") },
    { "NOOP", false, ANYWHERE("250 2.0.0") },
    { "VRFY a", false, ANYWHERE("252 2.5.2") },
    { "VRFY \xc3\xbc", true, ANYWHERE("500 5.5.2") },
    { "EXPN a", false, ANYWHERE("502 5.5.1") },
    { "HELP", false, ANYWHERE("214-2.0.0") },
    { "HELP x", false, ANYWHERE("504 5.5.4") },
    { "ETRN x", false, ANYWHERE("502 5.5.1") },
    { "TURN", false, ANYWHERE("502 5.5.1") },
    { "FOO", true, ANYWHERE("500 5.5.2") },
    { BIG, true, ANYWHERE("500 5.5.2 line too long") },
};
#define COMMANDS (sizeof commands / sizeof *commands)

/* Where the session should stand. */
struct model {
    enum place place;
    bool extended, refused_data, big_seen;
    unsigned recipients, errors;
};

static struct smtp_server_profile profile_of(bool lenient)
{
    return (struct smtp_server_profile){ .hostname = { "mx.test", 7 },
                                         .recipients_max = 100,
                                         .errors_max = ERRORS_MAX,
                                         .command_us_max = 1,
                                         .data_us_max = 1,
                                         .lenient = lenient };
}

static void expect(const char *why, bool good, const size_t *sequence, size_t len)
{
    if (good)
        return;
    fprintf(stderr, "after:");
    for (size_t i = 0; i < len; i++)
        fprintf(stderr, " [%.30s]", commands[sequence[i]].line);
    fail_msg("%s", why);
}

static bool is_fault(const char *reply)
{
    return !strncmp(reply, "500", 3) || !strncmp(reply, "501", 3) || !strncmp(reply, "503", 3) ||
           !strncmp(reply, "555", 3);
}

/* The step of the table, or what the session's history makes of it. */
static struct step expected(const struct model *m, const struct command *c, bool lenient)
{
    struct step step = c->steps[m->place];
    bool is_mail = !strncmp(c->line, "MAIL", 4), unknown = !strcmp(c->line, "FOO");
    bool open = m->place == MAILED || m->place == RECEIVING;
    if (m->refused_data && !lenient && (unknown || (is_mail && open)))
        return (struct step){ "421 4.7.0 mx.test DATA was refused", OVER };
    if (!strcmp(c->line, BIG) && m->big_seen)
        return (struct step){ "421 4.7.0 mx.test line too long again", OVER };
    if (c->fault && is_fault(step.reply) && m->errors + 1 >= ERRORS_MAX)
        return (struct step){ "421 4.7.0 mx.test too many errors", OVER };
    return step;
}

static void advance(struct model *m, const struct command *c, struct step step)
{
    bool fault = c->fault && is_fault(step.reply);
    m->errors += fault;
    m->big_seen |= !strcmp(c->line, BIG);
    if (!strncmp(c->line, "DATA", 4) && !strncmp(step.reply, "503", 3))
        m->refused_data = true;
    if (step.next != KEEP) {
        if (step.next != RECEIVING)
            m->recipients = 0;
        m->recipients += step.next == RECEIVING;
        if (strncmp(step.reply, "550", 3) != 0)
            m->refused_data = m->refused_data && step.next == RECEIVING;
        m->place = step.next;
    }
    if (!strncmp(step.reply, "250", 3) && c->line[1] == 'E')
        m->extended = false;
    if (!strncmp(step.reply, "250", 3) && c->line[1] == 'H')
        m->extended = true;
}

/* --- the machine, with a caller that refuses "refuse" --- */

struct play {
    struct smtp_server server;
    unsigned resets;
    bool closed;
};

/* A place that was reached, by the shortest sequence that leads there. */
struct found {
    struct play play;
    struct model model;
    size_t sequence[LENGTH_MAX], len;
};

static char output[SMTP_SERVER_OUT_MIN];

static struct smtp_reply answer_to(const struct smtp_server *server, enum smtp_server_event event)
{
    bool refuse = view_equal(event == SMTP_SERVER_HELLO ? server->hello_name : server->path.local, VIEW("refuse"));
    if (refuse)
        return SMTP_REPLY(550, 5, 1, 1, "");
    return (struct smtp_reply){ .code = event == SMTP_SERVER_DATA ? 354 : 250 };
}

static void feed(struct play *p, struct view input, struct buffer *out)
{
    for (;;) {
        enum smtp_server_event event = smtp_server_step(&p->server, 0, &input, out);
        if (event == SMTP_SERVER_INPUT)
            return;
        if (event == SMTP_SERVER_CLOSE) {
            p->closed = true;
            return;
        }
        assert_int_not_equal(event, SMTP_SERVER_FLUSH);
        p->resets += event == SMTP_SERVER_RESET;
        if (event != SMTP_SERVER_RESET && event != SMTP_SERVER_CONTENT) {
            struct smtp_reply reply = answer_to(&p->server, event);
            smtp_server_answer(&p->server, 0, &reply, out);
        }
    }
}

static struct view line_of(const struct command *c)
{
    static char big[3000];
    static char lines[COMMANDS][64];
    if (!strcmp(c->line, BIG)) {
        memset(big, 'x', sizeof big);
        memcpy(big, BIG, sizeof BIG - 1);
        memcpy(big + sizeof big - 2, "\r\n", 2);
        return (struct view){ big, sizeof big };
    }
    char *line = lines[c - commands];
    return (struct view){ line, (size_t)snprintf(line, sizeof lines[0], "%s\r\n", c->line) };
}

/* One well-formed reply, and no more. */
static bool is_one_reply(struct view out)
{
    struct view code = view_slice(out, 0, 3);
    while (out.len) {
        struct view line = view_take_until(&out, '\n');
        if (!view_starts(line, code) || line.at[line.len - 1] != '\r')
            return false;
        if (line.at[3] == ' ')
            return out.len == 0;
    }
    return false;
}

static void check_reply(struct view out, struct step step, const size_t *sequence, size_t len)
{
    expect("not one reply", is_one_reply(out), sequence, len);
    if (!view_starts(out, view_of(step.reply))) {
        fprintf(stderr, "reply: %.*swanted: %s\n", VIEW_FORMAT(out), step.reply);
        expect("another reply", false, sequence, len);
    }
}

/* O10: with no transaction nothing of one is left. */
static bool is_clean(const struct smtp_server *s)
{
    return s->recipient_count == 0 && s->path.local.at == NULL && s->path.domain.at == NULL &&
           s->path.route.at == NULL && !s->mail.has_size && s->mail.size == 0 && s->mail.body == SMTP_BODY_UNSAID &&
           s->content.len == 0 && s->content_size == 0 && s->spoiled == 0 && s->verdict.code == 0 && s->state == 0 &&
           s->asked == 0 && !s->reset_due;
}

static void check_state(const struct play *p, const struct model *m, const size_t *sequence, size_t len)
{
    const struct smtp_server *s = &p->server;
    bool open = m->place == MAILED || m->place == RECEIVING;
    expect("closed or not", p->closed == (m->place == OVER), sequence, len);
    expect("errors", p->closed || s->errors == m->errors, sequence, len);
    expect("transaction", s->has_mail == open, sequence, len);
    expect("recipients", s->recipient_count == m->recipients, sequence, len);
    if (m->place == OVER)
        return;
    expect("hello", s->hello == (m->place != NEW), sequence, len);
    expect("extended", s->extended == m->extended, sequence, len);
    expect("DATA refused", s->data_refused == m->refused_data, sequence, len);
    expect("not clean", open || is_clean(s), sequence, len);
}

/* One command; DATA with its content where it is wanted: the end is one reply more. */
static void play(struct play *p, struct model *m, bool lenient, const size_t *sequence, size_t len)
{
    const struct command *c = &commands[sequence[len - 1]];
    struct buffer out = BUFFER_OF(output);
    struct step step = expected(m, c, lenient);
    bool was_open = p->server.has_mail;
    bool message = !strncmp(step.reply, "354", 3);
    p->resets = 0;
    feed(p, line_of(c), &out);
    check_reply(buffer_view(&out), step, sequence, len);
    if (message) {
        buffer_clear(&out);
        feed(p, VIEW("x\r\n.\r\n"), &out);
        check_reply(buffer_view(&out), (struct step){ "250 2.0.0", READY }, sequence, len);
    }
    advance(m, c, step);
    check_state(p, m, sequence, len);
    expect("RESET", p->resets == (was_open && !p->server.has_mail && !message), sequence, len);
}

static bool is_known(const struct found *found, size_t count, const struct found *new)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&found[i].play.server, &new->play.server, sizeof new->play.server) == 0 &&
            memcmp(&found[i].model, &new->model, sizeof new->model) == 0)
            return true;
    return false;
}

/* From one place all commands; places not seen before are added. */
static size_t play_all(struct found *found, size_t count, const struct found *from, bool lenient)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        struct found *next = &found[count];
        memcpy(next, from, sizeof *next);
        next->sequence[next->len++] = i;
        play(&next->play, &next->model, lenient, next->sequence, next->len);
        if (next->play.closed || next->len == LENGTH_MAX || is_known(found, count, next))
            continue;
        count++;
        assert_true(count < FOUND_MAX);
    }
    return count;
}

static void every_sequence_of(bool lenient)
{
    struct smtp_server_profile profile = profile_of(lenient);
    struct buffer out = BUFFER_OF(output);
    struct found *found = calloc(FOUND_MAX, sizeof *found);
    size_t count = 1;
    assert_non_null(found);
    smtp_server_start(&found[0].play.server, &profile, 0, NULL, &out);
    for (size_t i = 0; i < count; i++)
        count = play_all(found, count, &found[i], lenient);
    printf("%s: %zu places within %d commands, %zu commands in each\n", lenient ? "lenient" : "strict", count,
           LENGTH_MAX - 1, COMMANDS);
    free(found);
}

/* H16 H17 */
static void every_sequence(void **state)
{
    (void)state;
    every_sequence_of(false);
    every_sequence_of(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_sequence) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The client machine against the server machine: each in its own buffers, the bytes between them cut at every place. */
#include "smtp/client.h"
#include "smtp/dialogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define RECIPIENTS   4
#define MESSAGES     3

struct planned {
    const char *from;
    const char *to[RECIPIENTS];
    const char *content;
    enum smtp_client_outcome outcome;
    enum smtp_client_phase phase;
    unsigned codes[RECIPIENTS]; /* of the recipients; 0: nothing was said of it */
};

#define SENT      SMTP_CLIENT_SENT, SMTP_PHASE_END
#define PERMANENT SMTP_CLIENT_PERMANENT
#define TEMPORARY SMTP_CLIENT_TEMPORARY

/* Each row is a session; addresses tell the server what to do, see smtp/dialogue.h. */
static const struct {
    const char *name;
    struct planned messages[MESSAGES];
    const char *events; /* what the server saw, but for EHLO and the end */
} sessions[] = {
    { "two messages",
      { { "a@x", { "b@y", "c@y" }, "Subject: 1\r\n\r\n.\r\n..\r\n.x\r\n", SENT, { 250, 250 } },
        { "", { "b@y" }, "no end", SENT, { 250 } } },
      "MAIL <a@x>\nRCPT <b@y>\nRCPT <c@y>\nEND Subject: 1\r\n\r\n.\r\n..\r\n.x\r\n\nMAIL <>\nRCPT <b@y>\nEND no "
      "end\r\n\n" },
    { "recipients of every kind",
      { { "a@x", { "b@y", "refuse@y", "later@y", "\"d e\"@y" }, "z\n", SENT, { 250, 550, 451, 250 } } },
      "MAIL <a@x>\nRCPT <b@y>\nRCPT <refuse@y>\nRCPT <later@y>\nRCPT <\"d e\"@y>\nEND z\r\n\n" },
    { "no recipient is left, then RSET and another",
      { { "a@x", { "refuse@y", "Green@y" }, "never", PERMANENT, SMTP_PHASE_RCPT, { 550, 550 } },
        { "a@x", { "later@y", "refuse@y" }, "never", TEMPORARY, SMTP_PHASE_RCPT, { 451, 550 } },
        { "a@x", { "b@y" }, "", SENT, { 250 } } },
      "MAIL <a@x>\nRCPT <refuse@y>\nRCPT <Green@y>\nRESET\nMAIL <a@x>\nRCPT <later@y>\nRCPT <refuse@y>\nRESET\nMAIL "
      "<a@x>\nRCPT "
      "<b@y>\nEND \n" },
    { "MAIL refused",
      { { "refuse@x", { "b@y", "c@y" }, "never", PERMANENT, SMTP_PHASE_MAIL, { 0, 0 } },
        { "later@x", { "b@y" }, "never", TEMPORARY, SMTP_PHASE_MAIL, { 0 } } },
      "MAIL <refuse@x>\nMAIL <later@x>\n" },
    { "DATA refused",
      { { "nodata@x", { "b@y" }, "never", TEMPORARY, SMTP_PHASE_DATA, { 250 } },
        { "a@x", { "b@y" }, "x\r\n", SENT, { 250 } } },
      "MAIL <nodata@x>\nRCPT <b@y>\nRESET\nMAIL <a@x>\nRCPT <b@y>\nEND x\r\n\n" },
    { "content refused",
      { { "badend@x", { "b@y" }, "x\r\n", PERMANENT, SMTP_PHASE_END, { 250 } },
        { "spoil@x", { "b@y" }, "y\r\n", TEMPORARY, SMTP_PHASE_END, { 250 } },
        { "a@x", { "b@y" }, "z\r\n", SENT, { 250 } } },
      "MAIL <badend@x>\nRCPT <b@y>\nEND x\r\n\nMAIL <spoil@x>\nRCPT <b@y>\nRESET\nMAIL <a@x>\nRCPT <b@y>\nEND "
      "z\r\n\n" },
    { "the server hangs up at the second recipient",
      { { "a@x", { "b@y", "hangup@y", "c@y" }, "never", TEMPORARY, SMTP_PHASE_RCPT, { 250, 0, 0 } } },
      "MAIL <a@x>\nRCPT <b@y>\nRCPT <hangup@y>\nRESET\n" },
};

struct link {
    const struct planned *messages;
    struct dialogue server;
    struct smtp_client client;
    struct smtp_client_message message;
    struct smtp_client_recipient recipients[RECIPIENTS];
    size_t current;
    bool pipelining, closed;
    size_t shown;          /* of the server's replies, so many were shown, */
    size_t taken;          /* and so many taken by the client */
    struct text to_server; /* what it wrote */
    size_t fed;            /* of that, so many were given to the server */
    size_t first, piece;   /* how the bytes of both directions are cut */
    struct view content;   /* what is left of it */
};

static void next_message(struct link *l)
{
    const struct planned *plan = &l->messages[l->current];
    if (l->current == MESSAGES || !plan->to[0]) {
        smtp_client_quit(&l->client);
        return;
    }
    l->client.pipelining &= l->pipelining;
    l->content = view_of(plan->content);
    l->message = (struct smtp_client_message){ .reverse_path = view_of(plan->from), .recipients = l->recipients };
    while (l->message.recipient_count < RECIPIENTS && plan->to[l->message.recipient_count]) {
        l->recipients[l->message.recipient_count].path = view_of(plan->to[l->message.recipient_count]);
        l->message.recipient_count++;
    }
    assert_true(smtp_client_send(&l->client, &l->message));
}

static void check_outcome(struct link *l)
{
    const struct planned *plan = &l->messages[l->current++];
    if (l->client.outcome != plan->outcome || l->client.phase != plan->phase)
        fail_msg("message %zu: outcome %d phase %d", l->current, l->client.outcome, l->client.phase);
    for (size_t i = 0; i < l->message.recipient_count; i++)
        assert_int_equal(l->recipients[i].reply.code, plan->codes[i]);
}

/* One step; true: it waits. */
static bool step(struct link *l)
{
    char memory[SMTP_CLIENT_OUT_MIN + 8];
    struct buffer out = BUFFER_OF(memory);
    struct view input = view_slice(text_view(&l->server.replies), l->taken, l->shown);
    size_t before = input.len;
    enum smtp_client_event event = smtp_client_step(&l->client, 0, &input, &out);
    l->taken += before - input.len;
    if (event == SMTP_CLIENT_READY)
        next_message(l);
    if (event == SMTP_CLIENT_DONE)
        check_outcome(l);
    if (event == SMTP_CLIENT_CONTENT && l->content.len)
        smtp_client_content(&l->client, &l->content, &out);
    else if (event == SMTP_CLIENT_CONTENT)
        smtp_client_content_end(&l->client, 0, &out);
    l->closed = event == SMTP_CLIENT_CLOSE;
    text_add(&l->to_server, buffer_view(&out));
    return event == SMTP_CLIENT_INPUT;
}

static size_t cut(const struct link *l, size_t from, size_t to)
{
    if (from < l->first && l->first < to)
        return l->first;
    return to - from > l->piece ? from + l->piece : to;
}

/* Moves some bytes one way or the other; false: there are none. */
static bool carry(struct link *l)
{
    if (l->shown < l->server.replies.len) {
        l->shown = cut(l, l->shown, l->server.replies.len);
        return true;
    }
    if (l->fed == l->to_server.len)
        return false;
    size_t end = cut(l, l->fed, l->to_server.len);
    dialogue_feed(&l->server, view_slice(text_view(&l->to_server), l->fed, end));
    l->fed = end;
    return true;
}

static void run(struct link *l, const struct planned *messages, bool pipelining, size_t first, size_t piece)
{
    static const struct smtp_server_profile profile = { .hostname = { "mx.test", 7 },
                                                        .size_max = 100000,
                                                        .recipients_max = 100,
                                                        .errors_max = 20,
                                                        .command_us_max = 300000000,
                                                        .data_us_max = 180000000 };
    *l = (struct link){ .messages = messages, .pipelining = pipelining, .first = first, .piece = piece };
    dialogue_start(&l->server, &profile);
    assert_true(smtp_client_start(&l->client, VIEW("client.test"), 0));
    while (!l->closed)
        if (step(l) && !carry(l))
            smtp_client_lost(&l->client);
}

static void finish(struct link *l)
{
    assert_true(l->current == MESSAGES || !l->messages[l->current].to[0]);
    dialogue_free(&l->server);
    free(l->to_server.at);
}

/* H6 H121 */
static void sessions_at_every_cut(void **state)
{
    (void)state;
    static struct link l;
    char want[512];
    for (size_t i = 0; i < COUNT(sessions); i++) {
        snprintf(want, sizeof want, "EHLO client.test\n%sCLOSE\n", sessions[i].events);
        for (int pipelining = 0; pipelining < 2; pipelining++)
            for (size_t first = 0; first < 700; first++) {
                run(&l, sessions[i].messages, pipelining, first, first < 20 ? first + 1 : 100000);
                if (!view_equal(text_view(&l.server.events), view_of(want)))
                    fail_msg("%s, cut at %zu: %.*s", sessions[i].name, first, VIEW_FORMAT(text_view(&l.server.events)));
                const char *fault = dialogue_grammar_fault(text_view(&l.server.replies));
                if (fault)
                    fail_msg("%s: %s", sessions[i].name, fault);
                finish(&l);
            }
    }
}

/* H6: what goes in on one side comes out on the other, whatever it is. */
static void random_content(void **state)
{
    (void)state;
    static struct link l;
    static char content[9000], want[20000];
    srand(4);
    for (int round = 0; round < 300; round++) {
        size_t len = (size_t)rand() % sizeof content;
        struct planned plan[MESSAGES] = { { "a@x", { "b@y" }, content, SENT, { 250 } } };
        for (size_t i = 0; i + 1 < len; i++)
            content[i] = (char)(rand() % 8 ? 'a' : rand() % 2 ? '.' : '\n');
        content[len ? len - 1 : 0] = '\0';
        run(&l, plan, round % 2, (size_t)rand() % 9000, 1 + (size_t)rand() % 5000);
        size_t n = (size_t)sprintf(want, "EHLO client.test\nMAIL <a@x>\nRCPT <b@y>\nEND ");
        for (const char *c = content; *c; c++)
            n += (size_t)sprintf(want + n, *c == '\n' ? "\r\n" : "%c", *c);
        sprintf(want + n, "%s\nCLOSE\n", *content && content[strlen(content) - 1] != '\n' ? "\r\n" : "");
        assert_true(view_equal(text_view(&l.server.events), view_of(want)));
        finish(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_at_every_cut),
        cmocka_unit_test(random_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

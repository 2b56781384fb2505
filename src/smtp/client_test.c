#include "smtp/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define RECIPIENTS   3
#define REPLIES_MAX  16

/* ---- a server that says what the script says ----
 * Reply 0 is said when the client connects, reply n to its n-th command; the end of the content is a command too. At
 * the end of the script the server falls silent. */

struct script {
    const char *replies[REPLIES_MAX];
};

struct session {
    struct smtp_client client;
    struct smtp_client_message message;
    struct smtp_client_recipient recipients[RECIPIENTS];
    const struct script *script;
    size_t said; /* replies */
    bool in_content;
    char heard[4096]; /* all that the client wrote */
    size_t heard_len, read_len;
    char input[8192]; /* what it has not yet taken */
    size_t input_len, input_shown;
    size_t piece; /* most bytes shown at once; 0: all */
    enum smtp_client_outcome outcome;
    enum smtp_client_phase phase;
    struct smtp_reply reply;
    char text[256];
    size_t recipient_events;
    bool done, closed, ready_after;
    uint64_t now_us;
};

static void say(struct session *s, const char *text)
{
    size_t len = strlen(text);
    assert_true(s->input_len + len <= sizeof s->input);
    memcpy(s->input + s->input_len, text, len);
    s->input_len += len;
}

static void say_next(struct session *s)
{
    assert_true(s->said < REPLIES_MAX);
    const char *reply = s->script->replies[s->said];
    if (!reply)
        return; /* nothing more will ever be said */
    s->said++;
    say(s, reply);
    if (reply[0] == '3' && s->read_len >= 6 && memcmp(s->heard + s->read_len - 6, "DATA\r\n", 6) == 0)
        s->in_content = true;
}

/* Answers every command that is complete. */
static void serve(struct session *s)
{
    for (;;) {
        struct view rest = { s->heard + s->read_len, s->heard_len - s->read_len };
        size_t end = view_find(rest, '\n');
        if (end == rest.len)
            return;
        s->read_len += end + 1;
        if (s->in_content && !view_equal(view_slice(rest, 0, end), VIEW(".\r")))
            continue;
        s->in_content = false;
        say_next(s);
    }
}

static void note_outcome(struct session *s)
{
    s->outcome = s->client.outcome;
    s->phase = s->client.phase;
    s->reply = s->client.reply;
    snprintf(s->text, sizeof s->text, "%.*s", VIEW_FORMAT(s->client.reply.text));
}

static void give_content(struct session *s, struct buffer *out)
{
    struct view content = VIEW("Subject: x\r\n\r\n.dot\r\n");
    while (content.len)
        smtp_client_content(&s->client, &content, out);
    smtp_client_content_end(&s->client, s->now_us, out);
}

static void on_event(struct session *s, enum smtp_client_event event, struct buffer *out)
{
    switch (event) {
    case SMTP_CLIENT_READY:
        if (s->done) {
            s->ready_after = true;
            smtp_client_quit(&s->client);
        } else {
            assert_true(smtp_client_send(&s->client, &s->message));
        }
        break;
    case SMTP_CLIENT_RECIPIENT:
        s->recipient_events++;
        assert_int_equal(s->client.reply.code, s->recipients[s->client.recipient].reply.code);
        break;
    case SMTP_CLIENT_CONTENT:
        give_content(s, out);
        break;
    case SMTP_CLIENT_DONE:
        assert_false(s->done);
        s->done = true;
        note_outcome(s);
        break;
    case SMTP_CLIENT_CLOSE:
        s->closed = true;
        if (!s->done)
            note_outcome(s);
        break;
    case SMTP_CLIENT_INPUT:
    case SMTP_CLIENT_FLUSH:
        break;
    }
}

/* One step with what is shown; true: it wants more input. */
static bool step(struct session *s)
{
    char memory[600];
    struct buffer out = BUFFER_OF(memory);
    struct view input = { s->input, s->input_shown };
    enum smtp_client_event event = smtp_client_step(&s->client, s->now_us, &input, &out);
    size_t used = (size_t)(input.at - s->input);
    memmove(s->input, s->input + used, s->input_len - used);
    s->input_len -= used;
    s->input_shown -= used;
    on_event(s, event, &out);
    assert_false(out.full);
    assert_true(s->heard_len + out.len <= sizeof s->heard);
    memcpy(s->heard + s->heard_len, out.at, out.len);
    s->heard_len += out.len;
    serve(s);
    return event == SMTP_CLIENT_INPUT;
}

static void start(struct session *s, const struct script *script, size_t recipients)
{
    static const char *const paths[RECIPIENTS] = { "a@x.example", "b@x.example", "\"c d\"@x.example" };
    *s = (struct session){ .script = script };
    for (size_t i = 0; i < RECIPIENTS; i++)
        s->recipients[i].path = view_of(paths[i]);
    s->message = (struct smtp_client_message){
        .reverse_path = VIEW("me@y.example"), .recipients = s->recipients, .recipient_count = recipients, .size = 21
    };
    assert_true(smtp_client_start(&s->client, VIEW("y.example"), 0));
    say_next(s);
}

/* Until all that was said is taken and the client waits for more. */
static void wait_for_reply(struct session *s)
{
    do
        s->input_shown = s->input_len;
    while (!step(s) || s->input_len);
}

/* Until the session closes; when the server has no more to say, the link is cut. */
static void play(struct session *s)
{
    while (!s->closed) {
        if (!step(s))
            continue;
        if (s->input_shown < s->input_len)
            s->input_shown +=
                s->piece && s->piece < s->input_len - s->input_shown ? s->piece : s->input_len - s->input_shown;
        else
            smtp_client_lost(&s->client);
    }
}

static void run(struct session *s, const struct script *script, size_t recipients, size_t piece)
{
    start(s, script, recipients);
    s->piece = piece;
    play(s);
}

static void expect_heard(struct session *s, const char *want)
{
    if (s->heard_len != strlen(want) || memcmp(s->heard, want, s->heard_len) != 0)
        fail_msg("heard: %.*s", (int)s->heard_len, s->heard);
}

/* ---- whole dialogues ---- */

#define OFFER "250-x\r\n250 PIPELINING\r\n"

#define EHLO      "EHLO y.example\r\n"
#define HELO      "HELO y.example\r\n"
#define MAIL      "MAIL FROM:<me@y.example>\r\n"
#define MAIL_SIZE "MAIL FROM:<me@y.example> SIZE=21\r\n"
#define RCPT_A    "RCPT TO:<a@x.example>\r\n"
#define RCPT_B    "RCPT TO:<b@x.example>\r\n"
#define DATA      "DATA\r\n"
#define CONTENT   "Subject: x\r\n\r\n..dot\r\n.\r\n"
#define QUIT      "QUIT\r\n"
#define OK        "250 ok\r\n"
#define GO        "354 go\r\n"
#define BYE       "221 bye\r\n"

static const struct {
    const char *name;
    struct script script;
    size_t recipients;
    const char *heard;
    struct {
        enum smtp_client_outcome outcome;
        enum smtp_client_phase phase;
        unsigned code;
    } want;
} dialogues[] = {
    { "HELO after 502",
      { { "220 x ESMTP\r\n", "502 what?\r\n", "250-x\r\n250 hello\r\n", OK, OK, GO, OK, BYE } },
      1,
      EHLO HELO MAIL RCPT_A DATA CONTENT QUIT,
      { SMTP_CLIENT_SENT, SMTP_PHASE_END, 250 } },
    { "one by one",
      { { "220 x\r\n", OK, OK, OK, "251 ok\r\n", GO, OK, BYE } },
      2,
      EHLO MAIL RCPT_A RCPT_B DATA CONTENT QUIT,
      { SMTP_CLIENT_SENT, SMTP_PHASE_END, 250 } },
    { "several lines after every command, unknown codes",
      { { "220-x\r\n220-more\r\n220 x\r\n", "258-x\r\n258-SIZE\r\n258 HELP\r\n", "258-a\r\n258 b\r\n",
          "299-c\r\n299-\r\n299\r\n", "399-go\r\n399 go\r\n", "200-d\r\n200 e\r\n", "299 bye\r\n" } },
      1,
      EHLO MAIL_SIZE RCPT_A DATA CONTENT QUIT,
      { SMTP_CLIENT_SENT, SMTP_PHASE_END, 200 } },
    { "pipelined",
      { { "220 x\r\n", "250-x\r\n250-pipelining\r\n250-8BITMIME\r\n250 SIZE 1000\r\n", OK, OK, OK, GO, OK, BYE } },
      2,
      EHLO MAIL_SIZE RCPT_A RCPT_B DATA CONTENT QUIT,
      { SMTP_CLIENT_SENT, SMTP_PHASE_END, 250 } },
    { "keywords are no prefixes and the first line is none",
      { { "220 x\r\n", "250-SIZE 5 PIPELINING\r\n250-PIPELININGS\r\n250-XSIZE 5\r\n250 \r\n", OK, "550 no\r\n", BYE } },
      1,
      EHLO MAIL RCPT_A QUIT,
      { SMTP_CLIENT_PERMANENT, SMTP_PHASE_RCPT, 550 } },
    { "too large for the server",
      { { "220 x\r\n", "250-x\r\n250 SIZE 20\r\n", BYE } },
      1,
      EHLO QUIT,
      { SMTP_CLIENT_PERMANENT, SMTP_PHASE_MAIL, 552 } },
    { "SIZE 0 and a SIZE that is no number are no limit",
      { { "220 x\r\n", "250-x\r\n250-SIZE 1x\r\n250 SIZE 0\r\n", "550 no\r\n", BYE } },
      1,
      EHLO MAIL_SIZE QUIT,
      { SMTP_CLIENT_PERMANENT, SMTP_PHASE_MAIL, 550 } },
    { "MAIL refused while all of the group is on its way",
      { { "220 x\r\n", OFFER, "450 4.7.1 later\r\n", "503 no\r\n", "503 no\r\n", "503 no\r\n", BYE } },
      2,
      EHLO MAIL RCPT_A RCPT_B DATA QUIT,
      { SMTP_CLIENT_TEMPORARY, SMTP_PHASE_MAIL, 450 } },
    { "421 to a recipient",
      { { "220 x\r\n", OK, OK, "421 closing\r\n" } },
      2,
      EHLO MAIL RCPT_A,
      { SMTP_CLIENT_TEMPORARY, SMTP_PHASE_RCPT, 421 } },
    { "link lost in the greeting", { { "220 x" } }, 1, "", { SMTP_CLIENT_TEMPORARY, SMTP_PHASE_GREETING, 0 } },
    { "link lost after the final dot",
      { { "220 x\r\n", OK, OK, OK, GO, "250 o" } },
      1,
      EHLO MAIL RCPT_A DATA CONTENT,
      { SMTP_CLIENT_UNKNOWN, SMTP_PHASE_END, 0 } },
    { "QUIT without an answer",
      { { "220 x\r\n", OK, OK, OK, GO, OK } },
      1,
      EHLO MAIL RCPT_A DATA CONTENT QUIT,
      { SMTP_CLIENT_SENT, SMTP_PHASE_END, 250 } },
};

static void plays_dialogues(void **state)
{
    (void)state;
    static struct session s;
    for (size_t i = 0; i < COUNT(dialogues); i++)
        for (size_t piece = 0; piece < 40; piece++) {
            run(&s, &dialogues[i].script, dialogues[i].recipients, piece);
            if (s.outcome != dialogues[i].want.outcome || s.phase != dialogues[i].want.phase ||
                s.reply.code != dialogues[i].want.code)
                fail_msg("%s, pieces of %zu: outcome %d phase %d code %u", dialogues[i].name, piece, s.outcome, s.phase,
                         s.reply.code);
            expect_heard(&s, dialogues[i].heard);
        }
}

/* ---- H119: every phase × every class × {normal, early, doubled} ---- */

enum { AT_GREETING, AT_EHLO, AT_HELO, AT_MAIL, AT_RCPT, AT_DATA, AT_END, PLACES };

static const enum smtp_client_phase phases[PLACES] = { SMTP_PHASE_GREETING, SMTP_PHASE_HELLO, SMTP_PHASE_HELLO,
                                                       SMTP_PHASE_MAIL,     SMTP_PHASE_RCPT,  SMTP_PHASE_DATA,
                                                       SMTP_PHASE_END };

/* The replies of a session by HELO, in which all is well. */
static const char *const well[PLACES + 1] = { "220 x\r\n", "500 x\r\n", "250 x\r\n", "250 x\r\n",
                                              "250 x\r\n", "354 x\r\n", "250 x\r\n", "221 x\r\n" };

static const char *const classes[] = { "221 x\r\n", "399 x\r\n", "450 x\r\n", "550 x\r\n", "421 x\r\n", "99 x\r\n" };

enum { CLASS_2, CLASS_3, CLASS_4, CLASS_5, CLASS_421, NO_REPLY };

static enum smtp_client_outcome wanted(int place, int class)
{
    bool good = class == (place == AT_DATA ? CLASS_3 : CLASS_2) || (place == AT_EHLO && class == CLASS_5);
    if (good)
        return SMTP_CLIENT_SENT;
    if (place == AT_END && (class == CLASS_3 || class == NO_REPLY))
        return SMTP_CLIENT_UNKNOWN;
    return class == CLASS_5 ? SMTP_CLIENT_PERMANENT : SMTP_CLIENT_TEMPORARY;
}

static void expect_class(struct session *s, const struct script *script, int place, int class)
{
    enum smtp_client_outcome want = wanted(place, class);
    for (size_t piece = 0; piece < 3; piece++) {
        run(s, script, 1, piece);
        if (s->outcome != want || s->phase != (want == SMTP_CLIENT_SENT ? SMTP_PHASE_END : phases[place]))
            fail_msg("place %d class %d: outcome %d in phase %d", place, class, s->outcome, s->phase);
        bool goes_on = place > AT_HELO && (class == CLASS_4 || class == CLASS_5);
        if (s->ready_after != (goes_on || want == SMTP_CLIENT_SENT))
            fail_msg("place %d class %d: %s", place, class, s->ready_after ? "went on" : "closed");
    }
}

/* H119 */
static void every_class_in_every_phase(void **state)
{
    (void)state;
    static struct session s;
    for (int place = 0; place < PLACES; place++)
        for (int class = 0; class < (int)COUNT(classes); class ++) {
            struct script script;
            memcpy(script.replies, well, sizeof well);
            script.replies[place] = classes[class];
            if (place == AT_EHLO && class == CLASS_2) /* then no HELO follows */
                memmove(script.replies + AT_HELO, well + AT_MAIL, sizeof well - AT_MAIL * sizeof well[0]);
            expect_class(&s, &script, place, class);
        }
}

/* H119: the same in a pipelined group, by a server that takes DATA whatever it said before. */
static void every_class_in_a_group(void **state)
{
    (void)state;
    static struct session s;
    for (int place = AT_MAIL; place < PLACES; place++)
        for (int class = 0; class < (int)COUNT(classes); class ++) {
            struct script script = { { "220 x\r\n", OFFER } };
            memcpy(script.replies + 2, well + AT_MAIL, sizeof well - AT_MAIL * sizeof well[0]);
            script.replies[place - 1] = classes[class];
            expect_class(&s, &script, place, class);
        }
}

/* A reply that comes twice, or before its command: the session ends and the message waits. After the final dot its
 * own reply has come first, and counts. */
static void expect_out_of_step(struct session *s, const char *what, int place)
{
    bool after_end = place == AT_END;
    if (s->ready_after || s->outcome != (after_end ? SMTP_CLIENT_SENT : SMTP_CLIENT_TEMPORARY))
        fail_msg("%s at place %d: outcome %d%s", what, place, s->outcome, s->ready_after ? ", went on" : "");
}

/* H119 */
static void doubled_and_early_replies(void **state)
{
    (void)state;
    static struct session s;
    char both[32];
    for (int place = 0; place < PLACES; place++) {
        struct script script;
        memcpy(script.replies, well, sizeof well);
        snprintf(both, sizeof both, "%s%s", well[place], well[place]);
        script.replies[place] = both;
        run(&s, &script, 1, 0);
        expect_out_of_step(&s, "doubled", place);
        if (place == AT_EHLO)
            continue; /* its refusal with what comes next is the same as doubled HELO */
        snprintf(both, sizeof both, "%s%s", well[place], well[place + 1]);
        run(&s, &script, 1, 0);
        expect_out_of_step(&s, "early", place);
    }
}

/* Whatever is doubled, in whatever pieces it comes: nothing is called sent that the server did not take. */
static void doubled_in_pieces_is_never_sent(void **state)
{
    (void)state;
    static struct session s;
    char both[32];
    for (int place = 0; place < AT_END; place++)
        for (size_t piece = 1; piece < 20; piece++) {
            struct script script;
            memcpy(script.replies, well, sizeof well);
            snprintf(both, sizeof both, "%s%s", well[place], well[place]);
            script.replies[place] = both;
            run(&s, &script, 1, piece);
            if (s.outcome == SMTP_CLIENT_SENT)
                fail_msg("place %d in pieces of %zu: sent", place, piece);
        }
}

static void early_refusal_while_content_goes_out(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        enum smtp_client_outcome outcome;
        unsigned code;
    } rows[] = {
        { "354 go\r\n552 5.3.4 too much\r\n", SMTP_CLIENT_PERMANENT, 552 },
        { "354 go\r\n451 x\r\n", SMTP_CLIENT_TEMPORARY, 451 },
        { "354 go\r\n421 x\r\n", SMTP_CLIENT_TEMPORARY, 421 },
        { "354 go\r\n250 x\r\n", SMTP_CLIENT_TEMPORARY, 250 },
        { "354 go\r\n354 go\r\n", SMTP_CLIENT_TEMPORARY, 354 },
        { "354 go\r\n???\r\n", SMTP_CLIENT_TEMPORARY, 0 },
    };
    static struct session s;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct script script;
        memcpy(script.replies, well, sizeof well);
        script.replies[AT_DATA] = rows[i].reply;
        run(&s, &script, 1, 0);
        if (s.outcome != rows[i].outcome || s.phase != SMTP_PHASE_CONTENT || s.reply.code != rows[i].code ||
            s.ready_after)
            fail_msg("row %zu: outcome %d phase %d code %u", i, s.outcome, s.phase, s.reply.code);
    }
}

/* ---- recipients ---- */

/* H120: all recipients refused, yet 354: a single dot goes out, and whatever is said to it is no delivery. */
static void no_recipients_but_354(void **state)
{
    (void)state;
    static const char *const ends[] = {
        "250 queued\r\n", "554 no recipients\r\n", "451 x\r\n", "421 x\r\n", "354 x\r\n", "9\r\n", NULL
    };
    static struct session s;
    for (size_t i = 0; i < COUNT(ends); i++)
        for (size_t piece = 0; piece < 20; piece++) {
            struct script script = { { "220 x\r\n", OFFER, "250 ok\r\n", "550 5.1.1 a\r\n", "553 b\r\n", "354 go\r\n",
                                       ends[i], "221 x\r\n" } };
            run(&s, &script, 2, piece);
            assert_true(s.outcome == SMTP_CLIENT_PERMANENT && s.phase == SMTP_PHASE_RCPT && s.reply.code == 553);
            assert_string_equal(s.text, "b");
            assert_int_equal(s.recipients[0].reply.code, 550);
            assert_int_equal(s.recipients[0].reply.status.detail, 1);
            assert_int_equal(s.recipients[1].reply.code, 553);
            assert_int_equal(s.recipient_events, 2);
            expect_heard(&s, i < 3 ? EHLO MAIL RCPT_A RCPT_B DATA ".\r\n" QUIT : EHLO MAIL RCPT_A RCPT_B DATA ".\r\n");
        }
}

static enum smtp_client_outcome fate_of(unsigned code)
{
    return code < 300 ? SMTP_CLIENT_SENT : code < 500 ? SMTP_CLIENT_TEMPORARY : SMTP_CLIENT_PERMANENT;
}

/* H121: mixed recipients, each with a fate of its own, also when the link is cut after reply n. */
static void mixed_recipients(void **state)
{
    (void)state;
    static const unsigned codes[] = { 250, 251, 450, 452, 550, 553 };
    static struct session s;
    enum { SIX = COUNT(codes), ALL = SIX * SIX * SIX };
    for (size_t n = 0; n < ALL * 8; n++) {
        unsigned code[RECIPIENTS] = { codes[n % SIX], codes[n / SIX % SIX], codes[n / SIX / SIX % SIX] };
        size_t cut = n / ALL;
        char text[RECIPIENTS][16];
        struct script script = { { "220 x\r\n", cut % 2 ? OFFER : "250 x\r\n", "250 ok\r\n", text[0], text[1], text[2],
                                   "354 go\r\n", "250 ok\r\n", "221 x\r\n" } };
        bool any = false;
        for (size_t i = 0; i < RECIPIENTS; i++) {
            snprintf(text[i], sizeof text[i], "%u x\r\n", code[i]);
            any |= code[i] < 300;
        }
        if (!any) /* DATA was not sent, or is refused */
            script.replies[6] = cut % 2 ? "503 no\r\n" : "221 x\r\n";
        if (cut >= 2)
            script.replies[cut + 1] = NULL;
        run(&s, &script, RECIPIENTS, 0);
        for (size_t i = 0; i < RECIPIENTS; i++) {
            enum smtp_client_outcome got = smtp_client_fate(s.outcome, &s.recipients[i]), want = fate_of(code[i]);
            if (cut >= 2 && cut <= i + 2)
                want = SMTP_CLIENT_TEMPORARY; /* nothing was said of it */
            else if (cut >= 2 && want == SMTP_CLIENT_SENT)
                want = cut == 6 ? SMTP_CLIENT_UNKNOWN : cut == 7 ? SMTP_CLIENT_SENT : SMTP_CLIENT_TEMPORARY;
            if (got != want)
                fail_msg("codes %u %u %u, cut %zu: recipient %zu: %d, wanted %d", code[0], code[1], code[2], cut, i,
                         got, want);
        }
    }
}

static void too_many_recipients_by_552(void **state)
{
    (void)state;
    static const struct {
        struct smtp_reply reply;
        enum smtp_client_outcome fate;
    } rows[] = {
        { { .code = 552 }, SMTP_CLIENT_TEMPORARY },
        { { .code = 552, .status = { 5, 5, 3 } }, SMTP_CLIENT_TEMPORARY },
        { { .code = 552, .status = { 5, 2, 2 } }, SMTP_CLIENT_PERMANENT },
        { { .code = 550 }, SMTP_CLIENT_PERMANENT },
        { { .code = 452 }, SMTP_CLIENT_TEMPORARY },
        { { .code = 250 }, SMTP_CLIENT_UNKNOWN },
        { { .code = 0 }, SMTP_CLIENT_UNKNOWN },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct smtp_client_recipient recipient = { .reply = rows[i].reply };
        assert_int_equal(smtp_client_fate(SMTP_CLIENT_UNKNOWN, &recipient), rows[i].fate);
    }
}

/* ---- hostile replies ---- */

/* H122: what is no reply ends the session at once, and the message waits. */
static void hostile_replies(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {
#define ROW(literal) { literal, sizeof(literal) - 1 }
        ROW("250 x\n"),
        ROW("553-a\r\n553\n"),
        ROW("\r\n"),
        ROW("5\r\n"),
        ROW("25\r\n"),
        ROW("2500 x\r\n"),
        ROW("-250 x\r\n"),
        ROW(" 250 x\r\n"),
        ROW("250x\r\n"),
        ROW("250-a\r\n251 b\r\n"),
        ROW("250 a\0b\r\n"),
        ROW("250 a\rb\r\n"),
        ROW("199 x\r\n"),
        ROW("600 x\r\n"),
        ROW("999 x\r\n"),
        ROW("HTTP/1.1 400 Bad Request\r\n"),
        ROW("\x15\x03\x01\x00\x02\x02\n"),
    };
    static struct session s;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int place = 0; place < AT_END; place++) {
            struct script script;
            memcpy(script.replies, well, sizeof well);
            script.replies[place] = NULL;
            start(&s, &script, 1);
            wait_for_reply(&s);
            memcpy(s.input, rows[i].text, rows[i].len);
            s.input_len = s.input_shown = rows[i].len;
            while (!s.closed)
                assert_false(step(&s));
            if (s.outcome != SMTP_CLIENT_TEMPORARY || s.phase != phases[place] || s.reply.code != 0)
                fail_msg("row %zu at %d: outcome %d phase %d code %u", i, place, s.outcome, s.phase, s.reply.code);
        }
}

/* H122: an endless reply is given up at SMTP_REPLY_MAX, and one octet a minute does not move the deadline. */
static void endless_replies(void **state)
{
    (void)state;
    static const char *const units[] = { "250-more\r\n", "2" };
    static char text[SMTP_REPLY_MAX + 16];
    for (size_t i = 0; i < COUNT(units); i++) {
        struct smtp_client client;
        char memory[SMTP_CLIENT_OUT_MIN];
        struct buffer out = BUFFER_OF(memory);
        for (size_t n = 0; n < sizeof text; n++)
            text[n] = units[i][n % strlen(units[i])];
        assert_true(smtp_client_start(&client, VIEW("y"), 0));
        uint64_t deadline = client.deadline_us;
        for (size_t shown = 0; shown < SMTP_REPLY_MAX; shown += shown < 64 ? 1 : 1021) {
            struct view input = { text, shown };
            assert_int_equal(smtp_client_step(&client, shown, &input, &out), SMTP_CLIENT_INPUT);
            assert_int_equal(client.deadline_us, deadline);
        }
        struct view input = { text, SMTP_REPLY_MAX };
        assert_int_equal(smtp_client_step(&client, 0, &input, &out), SMTP_CLIENT_CLOSE);
        assert_int_equal(client.outcome, SMTP_CLIENT_TEMPORARY);
    }
}

/* ---- H116 ---- */

static const char *const injections[] = {
    "a@b\r\nRCPT TO:<e@x>",
    "a@b\nRCPT TO:<e@x>",
    "a@b\r",
    "\"a\r\nb\"@c",
    "a@b>\r\nRCPT TO:<e@x",
    "a@b> NOTIFY=NEVER",
    "<a@b>",
    "a b@c",
    "a@b c",
    "",
    "a@",
    "@b",
    "a@b@c",
    "a\x01@b",
    "a\x7f@b",
    "a@\xc3\xa4.example",
    "\"a",
    "a@[1.2.3.4",
    "a@b,c@d",
};

/* H116: every field is checked before a byte is written. */
static void injection_by_fields(void **state)
{
    (void)state;
    static const char *const hostnames[] = { "", "a\r\nRCPT TO:<e@x>", "a\nb", "a b", "a\tb", "\xc3\xa4", "a\x7f" };
    static const struct script script = { { "220 x\r\n", "250 x\r\n" } };
    static struct session s;
    for (size_t i = 0; i < COUNT(injections); i++) {
        start(&s, &script, 2);
        s.recipients[1].path = view_of(injections[i]);
        char memory[1024];
        struct buffer out = BUFFER_OF(memory);
        struct view input = VIEW("220 x\r\n");
        assert_int_equal(smtp_client_step(&s.client, 0, &input, &out), SMTP_CLIENT_INPUT);
        input = VIEW("250 x\r\n");
        assert_int_equal(smtp_client_step(&s.client, 0, &input, &out), SMTP_CLIENT_READY);
        buffer_clear(&out);
        assert_false(smtp_client_send(&s.client, &s.message));
        s.recipients[1].path = VIEW("a@b");
        s.message.reverse_path = view_of(injections[i]);
        assert_true(smtp_client_send(&s.client, &s.message) == (injections[i][0] == '\0'));
        if (injections[i][0])
            assert_int_equal(smtp_client_step(&s.client, 0, &input, &out), SMTP_CLIENT_READY);
        assert_int_equal(out.len, 0);
    }
    for (size_t i = 0; i < COUNT(hostnames); i++) {
        struct smtp_client client;
        char memory[1024];
        struct buffer out = BUFFER_OF(memory);
        struct view input = VIEW("220 x\r\n");
        assert_false(smtp_client_start(&client, view_of(hostnames[i]), 0));
        assert_int_equal(smtp_client_step(&client, 0, &input, &out), SMTP_CLIENT_CLOSE);
        assert_int_equal(out.len, 0);
    }
}

/* ---- several messages, deadlines ---- */

static void rset_only_when_needed(void **state)
{
    (void)state;
    static const struct {
        const char *end;
        const char *second;
    } rows[] = { { "250 ok\r\n", "MAIL FROM:<me@y.example>\r\n" }, { "451 x\r\n", "RSET\r\n" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct script script;
        static struct session s;
        memcpy(script.replies, well, sizeof well);
        script.replies[AT_END] = rows[i].end;
        start(&s, &script, 1);
        while (!s.done) {
            s.input_shown = s.input_len;
            step(&s);
        }
        size_t before = s.heard_len;
        assert_true(smtp_client_send(&s.client, &s.message));
        s.script = &(struct script){ { 0 } };
        s.said = 0;
        step(&s);
        assert_int_equal(s.heard_len - before, strlen(rows[i].second));
        assert_memory_equal(s.heard + before, rows[i].second, s.heard_len - before);
        if (i == 1) {
            say(&s, "250 reset\r\n");
            s.input_shown = s.input_len;
            step(&s);
            assert_memory_equal(s.heard + before, "RSET\r\nMAIL FROM", 15);
        }
    }
}

/* RFC 5321 section 4.5.3.2; H117: ten minutes after the final dot. */
static void deadlines_by_phase(void **state)
{
    (void)state;
    static const unsigned minutes[PLACES] = { 5, 5, 5, 5, 5, 2, 10 };
    static struct session s;
    for (int place = 0; place < PLACES; place++) {
        struct script script;
        memcpy(script.replies, well, sizeof well);
        script.replies[place] = NULL;
        start(&s, &script, 1);
        s.now_us = place ? 1000 : 0;
        wait_for_reply(&s);
        assert_int_equal(s.client.phase, phases[place]);
        assert_int_equal(s.client.deadline_us - s.now_us, minutes[place] * 60000000ull);
        smtp_client_lost(&s.client);
        while (!s.closed)
            step(&s);
        assert_int_equal(s.outcome, place == AT_END ? SMTP_CLIENT_UNKNOWN : SMTP_CLIENT_TEMPORARY);
    }
}

static void waits_between_messages(void **state)
{
    (void)state;
    struct smtp_client client;
    char memory[1024];
    struct buffer out = BUFFER_OF(memory);
    struct view input = VIEW("220 x\r\n");
    assert_true(smtp_client_start(&client, VIEW("y"), 0));
    smtp_client_step(&client, 0, &input, &out);
    input = VIEW("250 x\r\n");
    assert_int_equal(smtp_client_step(&client, 0, &input, &out), SMTP_CLIENT_READY);
    assert_true(client.deadline_us == UINT64_MAX);
    input = VIEW("42");
    assert_int_equal(smtp_client_step(&client, 0, &input, &out), SMTP_CLIENT_INPUT);
    input = VIEW("421 4.4.2 idle\r\n");
    assert_int_equal(smtp_client_step(&client, 0, &input, &out), SMTP_CLIENT_CLOSE);
    assert_true(client.outcome == SMTP_CLIENT_TEMPORARY && client.phase == SMTP_PHASE_IDLE && client.reply.code == 421);
    smtp_client_quit(&client); /* too late, and harmless */
    assert_int_equal(smtp_client_step(&client, 0, &input, &out), SMTP_CLIENT_CLOSE);
}

/* More recipients than `out` holds: the group goes out in parts, and replies are read while there is no room. */
static void a_long_group_in_a_short_buffer(void **state)
{
    (void)state;
    enum { MANY = 500 };
    static struct smtp_client_recipient recipients[MANY];
    struct smtp_client_message message = { .recipients = recipients, .recipient_count = MANY };
    struct smtp_client client;
    char memory[SMTP_CLIENT_OUT_MIN + 100];
    struct buffer out = BUFFER_OF(memory);
    struct view input = VIEW("220 x\r\n");
    size_t flushes = 0, events = 0;
    for (size_t i = 0; i < MANY; i++)
        recipients[i].path = VIEW("somebody@example.org");
    assert_true(smtp_client_start(&client, VIEW("y"), 0));
    smtp_client_step(&client, 0, &input, &out);
    input = VIEW(OFFER);
    assert_int_equal(smtp_client_step(&client, 0, &input, &out), SMTP_CLIENT_READY);
    assert_true(smtp_client_send(&client, &message));
    buffer_clear(&out);
    while (smtp_client_step(&client, 0, &input, &out) == SMTP_CLIENT_FLUSH) {
        size_t full = out.len;
        input = VIEW("250 ok\r\n"); /* is taken although there is no room */
        if (smtp_client_step(&client, 0, &input, &out) == SMTP_CLIENT_RECIPIENT)
            events++;
        assert_int_equal(input.len, 0);
        assert_int_equal(out.len, full);
        buffer_clear(&out);
        flushes++;
    }
    assert_true(flushes > 20 && events == flushes - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plays_dialogues),
        cmocka_unit_test(every_class_in_every_phase),
        cmocka_unit_test(every_class_in_a_group),
        cmocka_unit_test(doubled_and_early_replies),
        cmocka_unit_test(doubled_in_pieces_is_never_sent),
        cmocka_unit_test(early_refusal_while_content_goes_out),
        cmocka_unit_test(no_recipients_but_354),
        cmocka_unit_test(mixed_recipients),
        cmocka_unit_test(too_many_recipients_by_552),
        cmocka_unit_test(hostile_replies),
        cmocka_unit_test(endless_replies),
        cmocka_unit_test(injection_by_fields),
        cmocka_unit_test(rset_only_when_needed),
        cmocka_unit_test(deadlines_by_phase),
        cmocka_unit_test(waits_between_messages),
        cmocka_unit_test(a_long_group_in_a_short_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

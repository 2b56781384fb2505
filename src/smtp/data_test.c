#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/data.h"
#include "smtp/dialogue.h"
#include "smtp/suites.h"

#define LENGTH_MAX 12 /* of the exhaustive strings */
#define HELD_MAX   2  /* bytes that the decoder may leave unjudged */
static const char alphabet[] = { '\r', '\n', '.', 'x' };

/* What came of some content, with all that decides what comes of more. */
struct outcome {
    struct smtp_data data;
    bool bare, end;
    char held[HELD_MAX]; /* not judged yet */
    uint8_t held_len;
    uint64_t content; /* two bits a letter, behind a 1; nothing is added after a bare one */
};

static uint64_t packed(uint64_t content, struct view letters)
{
    for (size_t i = 0; i < letters.len; i++) {
        char c = letters.at[i];
        content = content << 2 | (c == '\r' ? 0 : c == '\n' ? 1 : c == '.' ? 2 : 3);
    }
    return content;
}

static struct outcome fresh(void)
{
    struct outcome o = { .content = 1 };
    smtp_data_start(&o.data);
    return o;
}

/* Shows the decoder the text behind what it held, as one read; what was held is written in front of the text, where it
 * stood. Returns the bytes that are left behind the end. */
static size_t feed(struct outcome *o, char *text, size_t len)
{
    for (size_t i = 0; i < o->held_len; i++)
        text[(ptrdiff_t)i - o->held_len] = o->held[i];
    struct view input = { text - o->held_len, o->held_len + len }, piece;
    while (!o->end) {
        enum smtp_data_result result = smtp_data_step(&o->data, &input, &piece);
        if (result == SMTP_DATA_MORE)
            break;
        if (result == SMTP_DATA_PIECE && !o->bare)
            o->content = packed(o->content, piece);
        o->bare |= result == SMTP_DATA_BARE;
        o->end |= result == SMTP_DATA_END;
    }
    if (!o->end && input.len > HELD_MAX)
        fail_msg("%zu bytes are left unjudged", input.len);
    o->held_len = o->end ? 0 : (uint8_t)input.len;
    o->held[0] = o->held_len > 0 ? input.at[0] : '\0';
    o->held[1] = o->held_len > 1 ? input.at[1] : '\0';
    return input.len - o->held_len;
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->data.line_start == b->data.line_start && a->data.body == b->data.body && a->data.bare == b->data.bare &&
           a->bare == b->bare && a->end == b->end && a->held_len == b->held_len && a->held[0] == b->held[0] &&
           a->held[1] == b->held[1] && a->content == b->content;
}

/* RFC 5321 sections 4.1.1.4 and 4.5.2 over the whole text at once: where the first CRLF.CRLF ends, what comes before it
 * without the dots, whether each CR has its LF and each LF its CR. `all` begins with the CRLF of DATA. 0: no end. */
static size_t reference(const char *all, size_t len, uint64_t *content, bool *bare)
{
    size_t end = 0;
    while (end + 5 <= len && memcmp(all + end, "\r\n.\r\n", 5) != 0)
        end++;
    *content = 1;
    *bare = false;
    for (size_t i = 2; end + 5 <= len && i < end + 2; i++) {
        *bare |= (all[i] == '\n' && all[i - 1] != '\r') || (all[i] == '\r' && all[i + 1] != '\n');
        if (!(all[i] == '.' && all[i - 1] == '\n' && all[i - 2] == '\r'))
            *content = packed(*content, (struct view){ all + i, 1 });
    }
    return end + 5 <= len ? end + 5 : 0;
}

/* A walk over all texts behind one standing of the decoder. */
struct walk {
    struct outcome from;
    bool from_start; /* the texts are whole contents: the reference judges them */
    size_t len_max, texts;
    char memory[2 + LENGTH_MAX + 2];
    char *text;
};

static void fail_text(const struct walk *w, const char *why, size_t len)
{
    char shown[LENGTH_MAX + 2] = "";
    for (size_t i = 0; i < len; i++)
        shown[i] = w->text[i] == '\r' ? 'R' : w->text[i] == '\n' ? 'N' : w->text[i];
    fail_msg("%s, behind %u held bytes: %s", why, w->from.held_len, shown);
}

static void check_reference(struct walk *w, size_t len, const struct outcome *whole)
{
    uint64_t content;
    bool bare;
    memcpy(w->memory, "\r\n", 2);
    size_t end = reference(w->memory, 2 + len, &content, &bare);
    if (whole->end != (end == 2 + len) || (end && end != 2 + len))
        fail_text(w, "another end", len);
    if (end && (whole->bare != bare || (!bare && whole->content != content)))
        fail_text(w, "other content", len);
}

/* The text as one read does the same as byte by byte (`cut`, which has gone the same way), and what the reference says.
 */
static void check_text(struct walk *w, size_t len, const struct outcome *cut)
{
    struct outcome whole = w->from;
    if (feed(&whole, w->text, len) || !same(&whole, cut))
        fail_text(w, "a cut changes the outcome", len);
    if (w->from_start)
        check_reference(w, len, &whole);
    w->texts++;
}

/* What lies behind the end stays where it is. */
static void check_behind_end(struct walk *w, size_t len)
{
    for (size_t letter = 0; letter < 4; letter++) {
        struct outcome whole = w->from;
        w->text[len] = alphabet[letter];
        if (feed(&whole, w->text, len + 1) != 1 || !whole.end)
            fail_text(w, "a byte behind the end is gone", len + 1);
    }
}

static void walk_on(struct walk *w, size_t len, const struct outcome *cut)
{
    for (size_t letter = 0; letter < 4; letter++) {
        struct outcome next = *cut;
        w->text[len] = alphabet[letter];
        feed(&next, w->text + len, 1);
        check_text(w, len + 1, &next);
        if (next.end)
            check_behind_end(w, len + 1);
        else if (len + 1 < w->len_max)
            walk_on(w, len + 1, &next);
    }
}

struct standing {
    struct outcome outcome; /* content forgotten: it decides nothing */
    size_t len;             /* of the shortest text that leads here */
};

/* All the ways the decoder can stand after some text, each with its shortest. */
static size_t find_standings(struct standing *found, size_t max)
{
    size_t count = 1;
    found[0] = (struct standing){ fresh(), 0 };
    for (size_t i = 0; i < count; i++) {
        for (size_t letter = 0; letter < 4; letter++) {
            char text[HELD_MAX + 1];
            struct outcome next = found[i].outcome;
            size_t k = 0;
            text[HELD_MAX] = alphabet[letter];
            feed(&next, text + HELD_MAX, 1);
            next.content = 1;
            while (k < count && !same(&found[k].outcome, &next))
                k++;
            if (k < count || next.end)
                continue;
            assert_true(count < max);
            found[count++] = (struct standing){ next, found[i].len + 1 };
        }
    }
    return count;
}

/* H1: every string up to the length under every two-way split. A first part leads to one of few standings; from each of
 * them every text that is short enough to be its second part does as one read what it does byte by byte; and from the
 * start what the reference says. */
static void every_string(void **state)
{
    (void)state;
    struct standing standings[64];
    size_t count = find_standings(standings, sizeof standings / sizeof *standings), texts = 0;
    for (size_t i = 0; i < count; i++) {
        struct walk w = { .from = standings[i].outcome,
                          .from_start = i == 0,
                          .len_max = LENGTH_MAX - standings[i].len };
        w.text = w.memory + 2;
        walk_on(&w, 0, &w.from);
        texts += w.texts;
    }
    printf("end of data: %zu standings, %zu texts\n", count, texts);
}

/* H1: the machine around it, with a message smuggled in behind: one message or one 5xx, and no reply to the inner one
 * before the true end. */
static void check_smuggling(const char *name, struct view ending)
{
    struct text bytes = { 0 };
    struct dialogue d;
    text_add(&bytes, VIEW("EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: x\r\n\r\nhi"));
    text_add(&bytes, ending);
    text_add(&bytes, VIEW("MAIL FROM:<e@x>\r\nRCPT TO:<v@d.test>\r\nDATA\r\nevil\r\n.\r\nNOOP\r\n"));
    for (size_t first = 0; first <= bytes.len; first++) {
        dialogue_play(&d, &dialogue_strict, text_view(&bytes), first, first ? bytes.len : 1);
        struct view events = text_view(&d.events);
        size_t mails = 0;
        for (size_t at = 0; at + 7 <= events.len; at++)
            mails += memcmp(events.at + at, "\nMAIL <", 7) == 0;
        if (mails != 1)
            fail_msg("%s, cut at %zu: %zu messages\n%.*s", name, first, mails, VIEW_FORMAT(events));
        struct view replies = text_view(&d.replies);
        size_t lines = 0;
        while (replies.len)
            lines += view_take_until(&replies, '\n').len > 0;
        if (lines > 12)
            fail_msg("%s, cut at %zu: %zu reply lines", name, first, lines);
        dialogue_free(&d);
    }
    free(bytes.at);
}

/* H1 */
static void smuggling(void **state)
{
    (void)state;
    static const struct view endings[] = {
#define ENDING(text) { text, sizeof(text) - 1 }
        ENDING("\n.\n"),      ENDING("\n.\r\n"),     ENDING("\r\n.\n"),     ENDING("\r.\r"),
        ENDING("\r\n.\r"),    ENDING("\r.\r\n"),     ENDING("\r\n.\r\r\n"), ENDING("\r.\n"),
        ENDING("\n.\r"),      ENDING("\r\n.\0\r\n"), ENDING("\r\n\0.\r\n"), ENDING("\n\n.\r\n"),
        ENDING("\r\r.\r\n"),  ENDING("\r\n.\n\r\n"), ENDING("\r\n.\r\0\n"), ENDING("\r\n..\r\n"),
        ENDING("\r\n. \r\n"), ENDING("\r\n.\t\r\n"), ENDING("\x85.\x85"),   ENDING("\xe2\x80\xa8.\xe2\x80\xa8"),
#undef ENDING
    };
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char name[32];
        snprintf(name, sizeof name, "ending %zu", i);
        check_smuggling(name, endings[i]);
    }
}

/* A JSON string's inside, of \n, \r, \u0000 and plain characters. */
static size_t unescape(struct view json, char *to)
{
    size_t len = 0;
    while (json.len) {
        char c = view_take(&json, 1).at[0];
        if (c == '\\' && json.len) {
            char escape = view_take(&json, 1).at[0];
            c = escape == 'n' ? '\n' : escape == 'r' ? '\r' : escape == 'u' ? '\0' : escape;
            if (escape == 'u')
                view_take(&json, 4);
        }
        to[len++] = c;
    }
    return len;
}

static void smuggling_suite(void **state)
{
    (void)state;
    size_t len, count = 0;
    char *json = suite_read("smtp/smuggling/endings.json", &len), bytes[64], name[32];
    if (!json)
        return;
    struct view rest = view_of(strstr(json, "\"endings\""));
    view_take_until(&rest, '{');
    for (struct view field; (field = view_take_until(&rest, '\n'), rest.len);) {
        view_take_until(&field, '"');
        struct view key = view_take_until(&field, '"');
        view_take_until(&field, '"');
        struct view value = view_slice(field, 0, view_find(field, '"'));
        if (!key.len || value.len >= sizeof bytes)
            continue;
        snprintf(name, sizeof name, "%.*s", VIEW_FORMAT(key));
        check_smuggling(name, (struct view){ bytes, unescape(value, bytes) });
        count++;
    }
    printf("smuggling: %zu endings\n", count);
    assert_true(count > 0);
    free(json);
}

/* --- H6: unstuff(stuff(x)) = x --- */

static struct text stuffed(struct view content)
{
    struct text wire = { 0 };
    bool line_start = true;
    for (size_t i = 0; i < content.len; i++) {
        if (line_start && content.at[i] == '.')
            text_add(&wire, VIEW("."));
        text_add(&wire, view_slice(content, i, i + 1));
        line_start = i > 0 && content.at[i] == '\n' && content.at[i - 1] == '\r';
    }
    text_add(&wire, VIEW(".\r\n"));
    return wire;
}

/* Returns whether the header ended. */
static bool check_round_trip(struct view content, size_t first, size_t piece_len)
{
    struct text wire = stuffed(content), got = { 0 };
    struct smtp_data data;
    enum smtp_data_result result = SMTP_DATA_MORE;
    struct view input = { wire.at, 0 }, piece;
    smtp_data_start(&data);
    for (size_t shown = first; result != SMTP_DATA_END; shown += piece_len) {
        size_t end = shown < wire.len ? shown : wire.len;
        input.len = end - (size_t)(input.at - wire.at);
        while ((result = smtp_data_step(&data, &input, &piece)) == SMTP_DATA_PIECE)
            text_add(&got, piece);
        assert_true(result == SMTP_DATA_END || (result == SMTP_DATA_MORE && input.len <= 2 && end < wire.len));
    }
    if (!view_equal(text_view(&got), content) || input.len)
        fail_msg("%zu bytes, first %zu, then %zu: %zu bytes came out", content.len, first, piece_len, got.len);
    free(wire.at);
    free(got.at);
    return data.body;
}

/* H6 */
static void dots_at_edges(void **state)
{
    (void)state;
    static const size_t edges[] = { 0,    4094, 4095, 4096,  4097,  4098,  8190,  8191,
                                    8192, 8193, 8194, 65534, 65535, 65536, 65537, 65538 };
    static const char *const lines[] = { ".\r\n", "..\r\n", "...\r\n", ".x\r\n", "\r\n.\r\n" };
    enum { SIZE = 70000 };
    char *content = malloc(SIZE);
    assert_non_null(content);
    for (size_t e = 0; e < sizeof edges / sizeof *edges; e++) {
        for (size_t l = 0; l < sizeof lines / sizeof *lines; l++) {
            size_t len = edges[e] + strlen(lines[l]);
            memset(content, 'a', SIZE);
            if (edges[e] >= 2)
                memcpy(content + edges[e] - 2, "\r\n", 2);
            memcpy(content + edges[e], lines[l], strlen(lines[l]));
            for (size_t first = edges[e] < 4 ? 0 : edges[e] - 3; first < edges[e] + 8; first++)
                check_round_trip((struct view){ content, len }, first, 4096);
        }
    }
    free(content);
}

/* H6: random texts of few letters, and every cut. */
static void random_dots(void **state)
{
    (void)state;
    static const char *const units[] = { ".", "..", "\r\n", "\r\n", "a", "From ", "\xff" };
    unsigned seed = 1;
    for (int round = 0; round < 300; round++) {
        struct text content = { 0 };
        for (unsigned n = round % 40; n; n--) {
            seed = seed * 1103515245 + 12345;
            text_add(&content, view_of(units[seed >> 16 & 7 ? (seed >> 16 & 7) - 1 : 0]));
        }
        if (content.len)
            text_add(&content, VIEW("\r\n"));
        for (size_t first = 0; first < content.len + 4; first++)
            check_round_trip(text_view(&content), first, first % 7 + 1);
        free(content.at);
    }
}

/* H7: what a body begins with does not move the boundary, nor change a byte. */
static void first_lines(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        bool body;
    } rows[] = { { "", false },           { "\r\n", true },         { ".\r\n", false },       { ".\r\n\r\n", true },
                 { "From x\r\n", false }, { " folded\r\n", false }, { "A: b\r\n\r\n", true }, { "\r\n\r\n", true },
                 { "a\r\n.\r\n", false }, { "a\r\n \r\n", false } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text wire = stuffed(view_of(rows[i].content));
        for (size_t first = 0; first <= wire.len; first++) {
            bool body = check_round_trip(view_of(rows[i].content), first, wire.len);
            if (body != rows[i].body)
                fail_msg("row %zu cut at %zu: body %d", i, first, body);
        }
        free(wire.at);
    }
}

/* Content made to be slow: bytes that stop a run, with no line end before the end of a megabyte. */
static void linear_time(void **state)
{
    (void)state;
    static const char *const units[] = { "\r", "\n", "\0", "\rx", "\r\n.", "\r\n.\r", ".", "\r\r\n" };
    enum { SIZE = 1 << 20 };
    char *content = malloc(SIZE);
    assert_non_null(content);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = units[i][0] ? strlen(units[i]) : 1, steps = 0;
        for (size_t at = 0; at < SIZE; at++)
            content[at] = units[i][at % unit];
        struct smtp_data data;
        struct view input = { content, SIZE }, piece;
        smtp_data_start(&data);
        enum smtp_data_result result;
        while ((result = smtp_data_step(&data, &input, &piece)) != SMTP_DATA_MORE && result != SMTP_DATA_END)
            steps++;
        if (steps > SIZE / 2)
            fail_msg("unit %zu: %zu steps", i, steps);
    }
    free(content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_string),  cmocka_unit_test(smuggling),   cmocka_unit_test(smuggling_suite),
        cmocka_unit_test(dots_at_edges), cmocka_unit_test(random_dots), cmocka_unit_test(first_lines),
        cmocka_unit_test(linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

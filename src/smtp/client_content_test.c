/* The writer of content, read back through the server's decoder. */
#include "smtp/client.h"
#include "smtp/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    } /* a struct view in a table */

/* A client that is asked for content. */
static void start(struct smtp_client *client)
{
    static struct smtp_client_recipient recipient = { .path = { "a@b", 3 } };
    static struct smtp_client_message message = { .recipients = &recipient, .recipient_count = 1 };
    static const char *const replies[] = { "220\r\n", "250\r\n", "250\r\n", "250\r\n", "250\r\n", "354\r\n" };
    enum smtp_client_event event = SMTP_CLIENT_INPUT;
    char memory[2048];
    struct buffer out = BUFFER_OF(memory);
    size_t said = 0;
    struct view input = VIEW_NONE;
    assert_true(smtp_client_start(client, VIEW("y"), 0));
    while ((event = smtp_client_step(client, 0, &input, &out)) != SMTP_CLIENT_CONTENT)
        if (event == SMTP_CLIENT_READY)
            assert_true(smtp_client_send(client, &message));
        else if (event == SMTP_CLIENT_INPUT)
            input = view_of(replies[said += said != 2 || client->message]);
}

/* The content as it goes over the wire, given in pieces of at most `piece` to an `out` of `room` bytes. */
static void write_content(struct view content, size_t piece, size_t room, struct buffer *wire)
{
    static struct smtp_client ready;
    static bool started;
    char memory[600];
    struct buffer out = { memory, 0, room, false };
    if (!started)
        start(&ready);
    started = true;
    struct smtp_client client = ready;
    wire->len = 0;
    while (content.len) {
        struct view part = view_take(&content, piece);
        while (part.len) {
            smtp_client_content(&client, &part, &out);
            buffer_add(wire, buffer_view(&out));
            buffer_clear(&out);
        }
    }
    out.cap = sizeof memory;
    smtp_client_content_end(&client, 0, &out);
    buffer_add(wire, buffer_view(&out));
    assert_false(wire->full);
}

/* What a server makes of it: content to `text`, true when the end was at the end and nothing was bare. */
static bool read_content(struct view wire, struct buffer *text)
{
    struct smtp_data data;
    struct view piece;
    smtp_data_start(&data);
    text->len = 0;
    for (;;)
        switch (smtp_data_step(&data, &wire, &piece)) {
        case SMTP_DATA_PIECE:
            buffer_add(text, piece);
            break;
        case SMTP_DATA_NUL:
            buffer_add_char(text, '\0');
            break;
        case SMTP_DATA_END:
            return wire.len == 0 && !text->full;
        case SMTP_DATA_BARE:
        case SMTP_DATA_MORE:
            return false;
        }
}

/* Every CRLF, CR and LF is a line end, and the last line has one. */
static void normalize(struct view content, struct buffer *text)
{
    text->len = 0;
    for (size_t i = 0; i < content.len; i++) {
        char c = content.at[i];
        if (c == '\n' && i && content.at[i - 1] == '\r')
            continue;
        if (c == '\r' || c == '\n')
            buffer_add(text, VIEW("\r\n"));
        else
            buffer_add_char(text, c);
    }
    if (text->len && text->at[text->len - 1] != '\n')
        buffer_add(text, VIEW("\r\n"));
}

static void check(struct view content, size_t piece, size_t room)
{
    static char wire_memory[300000], text_memory[300000], want_memory[300000];
    struct buffer wire = BUFFER_OF(wire_memory), text = BUFFER_OF(text_memory), want = BUFFER_OF(want_memory);
    write_content(content, piece, room, &wire);
    normalize(content, &want);
    if (!read_content(buffer_view(&wire), &text) || !view_equal(buffer_view(&text), buffer_view(&want)))
        fail_msg("\"%.*s\" in pieces of %zu, room %zu: \"%.*s\"", VIEW_FORMAT(view_slice(content, 0, 80)), piece, room,
                 VIEW_FORMAT(view_slice(buffer_view(&wire), 0, 100)));
}

/* H5 H6: every string over the bytes that matter, whole and byte by byte, with room for two bytes and for many. */
static void every_short_content(void **state)
{
    (void)state;
    static const char alphabet[] = "\r\n.x";
    enum { LEN_MAX = 9 };
    for (size_t len = 0; len <= LEN_MAX; len++)
        for (size_t n = 0; n < (size_t)1 << 2 * len; n++) {
            char content[LEN_MAX];
            for (size_t i = 0; i < len; i++)
                content[i] = alphabet[n >> 2 * i & 3];
            struct view view = { content, len };
            check(view, len + !len, 600);
            check(view, 1, 2);
            if (len <= 6)
                for (size_t piece = 1; piece < len; piece++)
                    for (size_t room = 2; room < 8; room++)
                        check(view, piece, room);
        }
}

/* H5: forms of a false end of data that reach us in old files (VU#302671); the wire carries one message. */
static void smuggled_ends(void **state)
{
    (void)state;
    static const struct view ends[] = {
        TEXT("\n.\n"),       TEXT("\n.\r\n"),
        TEXT("\r\n.\n"),     TEXT("\r.\r"),
        TEXT("\r\n.\r"),     TEXT("\r\n.\r\r\n"),
        TEXT("\r\n.\0\r\n"), TEXT("\r\n.\r\n"),
        TEXT("\r.\r\n"),     TEXT("\n\n.\r\n"),
        TEXT("\r\n\0.\r\n"), TEXT("\n.\r"),
        TEXT("\r\n\x00.\n"), TEXT("x\r.\r\ny\n.\nz\r\r\n"),
    };
    for (size_t i = 0; i < COUNT(ends); i++) {
        char memory[200], wire_memory[300];
        struct buffer content = BUFFER_OF(memory), wire = BUFFER_OF(wire_memory);
        buffer_add(&content, VIEW("Subject: a\r\n\r\nbody"));
        buffer_add(&content, ends[i]);
        buffer_add(&content, VIEW("MAIL FROM:<e@x>\r\nRCPT TO:<f@x>\r\nDATA\r\n"));
        for (size_t piece = 1; piece <= content.len; piece++)
            check(buffer_view(&content), piece, 2 + piece % 40);
        write_content(buffer_view(&content), content.len, 600, &wire);
        size_t found = 0;
        for (size_t at = 0; at + 5 <= wire.len; at++)
            found += memcmp(wire.at + at, "\r\n.\r\n", 5) == 0;
        assert_int_equal(found, 1);
    }
}

/* H6: dots at the edges of buffers, in random bodies and random pieces. */
static void dots_at_buffer_edges(void **state)
{
    (void)state;
    static const size_t edges[] = { 0,    4094, 4095, 4096,  4097,  4098,  8190,  8191,
                                    8192, 8193, 8194, 65534, 65535, 65536, 65537, 65538 };
    static const char *const lines[] = { "\r\n.\r\n", "\r\n..\r\n", "\r\n...\r\n", "\r\n.", ".", "\r\n.x" };
    static char content[70000];
    srand(3);
    for (size_t i = 0; i < COUNT(edges); i++)
        for (size_t l = 0; l < COUNT(lines); l++) {
            for (size_t n = 0; n < sizeof content; n++)
                content[n] = (char)(n % 61 == 59 ? '\r' : n % 61 == 60 ? '\n' : rand() % 16 ? 'a' + rand() % 26 : '.');
            size_t dots = strlen(lines[l]), lead = lines[l][0] == '\r' ? 2 : 0;
            size_t at = edges[i] >= lead ? edges[i] - lead : 0;
            memcpy(content + at, lines[l], dots);
            struct view view = { content, sizeof content };
            check(view, sizeof content, 600);
            check(view, 4096, 600);
            check(view, 1 + (size_t)rand() % 70000, 2 + (size_t)rand() % 598);
        }
}

/* H97: whoever greets us with our own name is ourselves. */
static void notices_its_own_name(void **state)
{
    static const struct {
        const char *greeting, *hello;
        bool is_us;
    } rows[] = {
        { "220 x\r\n", "250 x\r\n", false },
        { "220 y.example ESMTP\r\n", "250 x\r\n", true },
        { "220 Y.Example\r\n", "250 x\r\n", true },
        { "220-y.example\r\n220 x\r\n", "250 x\r\n", true },
        { "220 x\r\n", "250 y.EXAMPLE hello\r\n", true },
        { "220 x\r\n", "250-y.example\r\n250 HELP\r\n", true },
        { "220 x y.example\r\n", "250 my.example\r\n", false },
        { "220\r\n", "250\r\n", false },
        { "220 x\r\n", "250-x\r\n250 y.example\r\n", false },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct smtp_client client;
        char memory[2048];
        struct buffer out = BUFFER_OF(memory);
        struct view greeting = view_of(rows[i].greeting), hello = view_of(rows[i].hello);
        assert_true(smtp_client_start(&client, VIEW("y.example"), 0));
        assert_int_equal(smtp_client_step(&client, 0, &greeting, &out), SMTP_CLIENT_INPUT);
        assert_int_equal(smtp_client_step(&client, 0, &hello, &out), SMTP_CLIENT_READY);
        if (client.is_us != rows[i].is_us)
            fail_msg("%s%s", rows[i].greeting, rows[i].hello);
    }
}

/* As many lines as people write; never past the room. */
static void keeps_a_long_reply(void **state)
{
    struct smtp_client client;
    char memory[2048], reply[4000] = "";
    struct buffer out = BUFFER_OF(memory);
    (void)state;
    assert_true(smtp_client_start(&client, VIEW("y.example"), 0));
    for (int i = 0; i < 30; i++)
        snprintf(reply + strlen(reply), sizeof reply - strlen(reply), "554%c5.7.1 %.*d\r\n", i == 29 ? ' ' : '-', 90,
                 i);
    struct view input = view_of(reply);
    assert_int_equal(smtp_client_step(&client, 0, &input, &out), SMTP_CLIENT_CLOSE);
    assert_int_equal(client.reply.text.len, SMTP_CLIENT_TEXT_MAX);
    assert_int_equal(client.reply.text.at[90], '\n');
    assert_true(smtp_client_over(&client));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notices_its_own_name), cmocka_unit_test(keeps_a_long_reply),
        cmocka_unit_test(every_short_content),  cmocka_unit_test(smuggled_ends),
        cmocka_unit_test(dots_at_buffer_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "mail/address_list.h"

#include "base/test.h"

#include <stdlib.h>
#include <string.h>

#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    } /* a struct view in a table */

/* Mailboxes with | between them; "!" and the word for what is none. */
static const struct {
    struct view text;
    const char *wanted;
} lists[] = {
    { TEXT(""), "" },
    { TEXT(" \r\n "), "" },
    { TEXT("a@b.example"), "a@b.example" },
    { TEXT(" a@b.example \r\n"), "a@b.example" },
    { TEXT("root"), "root" },
    { TEXT("a@b.example, c@d.example"), "a@b.example|c@d.example" },
    { TEXT("a@b.example,\r\n\tc@d.example,\n e"), "a@b.example|c@d.example|e" },
    { TEXT("Joe Doe <joe@x.example>"), "joe@x.example" },
    { TEXT("<joe@x.example>"), "joe@x.example" },
    { TEXT("\"Doe, Joe\" <joe@x.example>, b@y"), "joe@x.example|b@y" },
    { TEXT("\"a \\\" , <c@d>\" <joe@x.example>"), "joe@x.example" },
    { TEXT("=?utf-8?q?J=C3=BC?= <j@x.example>"), "j@x.example" },
    { TEXT("J\xc3\xbc <j@x.example>"), "j@x.example" },
    { TEXT("joe@x.example (Joe, of <x@y>)"), "joe@x.example" },
    { TEXT("joe@x.example (a (b) \\) c), d@e"), "joe@x.example|d@e" },
    { TEXT("(c)joe(c)@(c)x(c).(c)example(c)"), "joe@x.example" },
    { TEXT("joe . doe @ x . example"), "joe.doe@x.example" },
    { TEXT("J. R. Ewing <jr@x.example>"), "jr@x.example" },
    { TEXT("\"a b\"@x.example"), "\"a b\"@x.example" },
    { TEXT("\"a\r\n b\"@x.example"), "\"a b\"@x.example" },
    { TEXT("\"a,b;c:d<e>\"@x.example"), "\"a,b;c:d<e>\"@x.example" },
    { TEXT("a@[192.0.2.1]"), "a@[192.0.2.1]" },
    { TEXT("<a@[IPv6:2001:db8::1]>, b"), "a@[IPv6:2001:db8::1]|b" },
    { TEXT("<@r1.example,@r2.example:a@b.example>"), "a@b.example" },
    { TEXT("undisclosed-recipients:;"), "" },
    { TEXT("undisclosed-recipients: ;, a@b"), "a@b" },
    { TEXT("A Group: Ed <ed@x>, joe@y, \"j d\" <jd@z>; , last@w"), "ed@x|joe@y|jd@z|last@w" },
    { TEXT("(Empty list)(start)Hidden (a) :(nobody(that I know))  ;"), "" },
    { TEXT("g:a@b;h:c@d;"), "a@b|c@d" },
    { TEXT(",, a@b ,, ,c@d,"), "a@b|c@d" },
    { TEXT("a b@c.example"), "!a b@c.example" },
    { TEXT("a@b c@d"), "!a@b c@d" },
    { TEXT("a@b@c, d@e"), "!a@b@c|d@e" },
    { TEXT("<a@b> <c@d>, e"), "!<a@b> <c@d>|e" },
    { TEXT("<a@b> c, e"), "!<a@b> c|e" },
    { TEXT("<a@b"), "!<a@b" },
    { TEXT("a@b>"), "!a@b>" },
    { TEXT("<<a@b>>"), "!<<a@b>>" },
    { TEXT("<>"), "!<>" },
    { TEXT("Joe <>, d@e"), "!Joe <>|d@e" },
    { TEXT("\"a@b"), "!\"a@b" },
    { TEXT("a@b (open, c@d"), "a@b" },
    { TEXT("a@b (open\\"), "a@b" },
    { TEXT("a@"), "!a@" },
    { TEXT("@b"), "!@b" },
    { TEXT("a..b@c"), "!a..b@c" },
    { TEXT("<a@b\r\nRCPT TO:<x@y>"), "!<a@b\r\nRCPT TO:<x@y>" },
    { TEXT("a\0@b"), "!a" },
    { TEXT("j\xc3\xbc@x.example, k"), "!j\xc3\xbc@x.example|k" },
    { TEXT("-f@x.example"), "-f@x.example" },
    { TEXT(")"), "!)" },
    { TEXT("a:b:c@d"), "c@d" },
    { TEXT("a@b c:<d@e>"), "!a@b c:<d@e>" },
    { TEXT("a@b <c@d>"), "c@d" },
};

static void read_list(struct view text, struct buffer *got)
{
    char memory[MAIL_ADDRESS_MAX];
    struct buffer mailbox = BUFFER_OF(memory);
    struct mail_address_list list = { .rest = text };
    for (enum mail_address_result result; (result = mail_address_next(&list, &mailbox)) != MAIL_ADDRESS_END;) {
        if (got->len)
            buffer_add_char(got, '|');
        if (result == MAIL_ADDRESS_BAD)
            buffer_add_char(got, '!');
        buffer_add(got, view_trim(result == MAIL_ADDRESS_BAD ? list.word : buffer_view(&mailbox)));
    }
}

/* H37 H116 */
static void reads_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(lists); i++) {
        char memory[256] = "";
        struct buffer got = { memory, 0, sizeof memory - 1, false };
        read_list(lists[i].text, &got);
        if (strcmp(memory, lists[i].wanted) != 0)
            fail_msg("row \"%s\": got \"%s\"", lists[i].text.at, memory);
    }
}

/* H37: nothing is too deep or too long, and each byte is read a few times at most. */
static void takes_extremes(void **state)
{
    (void)state;
    static const char *const pieces[] = { "(", "<", "<>", "\"", "a@", ":", "\\", "[", ",", "a,", "((a)" };
    size_t size = 1000000;
    char *memory = malloc(size);
    assert_non_null(memory);
    for (size_t i = 0; i < ROWS(pieces); i++) {
        struct mail_address_list list = { .rest = { memory, size } };
        char mailbox_memory[MAIL_ADDRESS_MAX];
        struct buffer mailbox = BUFFER_OF(mailbox_memory);
        size_t len = strlen(pieces[i]), elements = 0;
        for (size_t at = 0; at < size; at++)
            memory[at] = pieces[i][at % len];
        while (mail_address_next(&list, &mailbox) != MAIL_ADDRESS_END)
            assert_row(elements++ < size, pieces[i]);
    }
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_lists),
        cmocka_unit_test(takes_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

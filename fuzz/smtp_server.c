/* Any bytes from a client: well-formed replies and nothing else, and the same replies and events however they are cut.
 */
#include "smtp/dialogue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A byte from 192 on stands for one of these words, so that few bytes make a session; behind a 255 comes a byte that
 * stands for itself. */
#define FIRST_WORD 192
#define ITSELF     255
static const struct view words[] = {
#define WORD(text)                                                                                                     \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }
    WORD("HELO "),
    WORD("EHLO c.test\r\n"),
    WORD("MAIL FROM:"),
    WORD("RCPT TO:"),
    WORD("DATA\r\n"),
    WORD("RSET\r\n"),
    WORD("NOOP"),
    WORD("QUIT"),
    WORD("VRFY "),
    WORD("HELP"),
    WORD("EXPN "),
    WORD("ETRN "),
    WORD("\r\n"),
    WORD("\r\n.\r\n"),
    WORD("\r"),
    WORD("\n"),
    WORD("\0"),
    WORD("."),
    WORD("<>"),
    WORD("<a@b.test>"),
    WORD("<refuse>"),
    WORD("<later>"),
    WORD("<hangup>"),
    WORD("<nodata>"),
    WORD("<spoil>"),
    WORD("<badend>"),
    WORD(" SIZE="),
    WORD("1000"),
    WORD(" BODY=7BIT"),
    WORD(" BODY=8BITMIME"),
    WORD("Host:"),
    WORD("GET / "),
    WORD("Subject: x\r\n"),
    WORD("\r\n\r\n"),
    WORD("\"a b\"@c"),
    WORD("@x,@y:"),
    WORD("[IPv6:::1]"),
#undef WORD
};
enum { WORDS = sizeof words / sizeof *words };

static void add_spelled(struct text *bytes, const uint8_t *data, size_t size)
{
    char big[SMTP_COMMAND_MAX];
    for (size_t i = 0; i < size; i++) {
        if (data[i] == ITSELF && i + 1 < size)
            text_add(bytes, (struct view){ (const char *)data + ++i, 1 });
        else if (data[i] >= FIRST_WORD + WORDS)
            text_add(bytes, (struct view){ memset(big, 'x', sizeof big), sizeof big });
        else if (data[i] >= FIRST_WORD)
            text_add(bytes, words[data[i] - FIRST_WORD]);
        else
            text_add(bytes, (struct view){ (const char *)data + i, 1 });
    }
}

static void compare(const struct smtp_server_profile *profile, struct view bytes, const struct dialogue *whole,
                    size_t first, size_t piece)
{
    struct dialogue cut;
    dialogue_play(&cut, profile, bytes, first, piece);
    assert(view_equal(text_view(&cut.replies), text_view(&whole->replies)));
    assert(view_equal(text_view(&cut.events), text_view(&whole->events)));
    assert(cut.closed == whole->closed && cut.server.errors == whole->server.errors);
    dialogue_free(&cut);
}

/* The first byte chooses the profile, and whether an open transaction is there already; the second the cut. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dialogue whole;
    struct text bytes = { 0 };
    if (size < 2)
        return 0;
    const struct smtp_server_profile *profile = data[0] & 1 ? &dialogue_lenient : &dialogue_strict;
    if (data[0] & 2)
        text_add(&bytes, VIEW("EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"));
    if (data[0] & 4)
        text_add(&bytes, VIEW("DATA\r\n"));
    add_spelled(&bytes, data + 2, size - 2);
    dialogue_play(&whole, profile, text_view(&bytes), bytes.len, 1);
    assert(!dialogue_grammar_fault(text_view(&whole.replies)));
    assert(whole.server.recipient_count == 0 || whole.server.has_mail);
    compare(profile, text_view(&bytes), &whole, data[1], data[1] + 1u);
    compare(profile, text_view(&bytes), &whole, bytes.len * data[1] / 256, bytes.len);
    dialogue_free(&whole);
    free(bytes.at);
    return 0;
}

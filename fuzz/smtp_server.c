/* Any bytes from a client: well-formed replies and nothing else, and the same replies and events however they are cut.
 */
#include "smtp/dialogue.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    text_add(&bytes, (struct view){ (const char *)data + 2, size - 2 });
    dialogue_play(&whole, profile, text_view(&bytes), bytes.len, 1);
    assert(!dialogue_grammar_fault(text_view(&whole.replies)));
    assert(whole.server.recipient_count == 0 || whole.server.has_mail);
    compare(profile, text_view(&bytes), &whole, data[1], data[1] + 1u);
    compare(profile, text_view(&bytes), &whole, bytes.len * data[1] / 256, bytes.len);
    dialogue_free(&whole);
    free(bytes.at);
    return 0;
}

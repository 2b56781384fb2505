/* A reply from a server: no beginning of one is one, the text is taken from it, and what was read can be written. */
#include "smtp/reply.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char memory[512], out_memory[SMTP_REPLY_MAX];
    struct buffer text = BUFFER_OF(memory), out = BUFFER_OF(out_memory);
    struct view input = { (const char *)data, size };
    struct smtp_reply reply, again;
    size_t used = 0, ignored;
    if (smtp_reply_parse(input, &used, &reply, &text) != SMTP_PARSE_DONE)
        return 0;
    assert(used >= 5 && used <= size && reply.code >= 200 && reply.code <= 599);
    smtp_reply_write(&out, &reply);
    assert(!out.full);
    for (size_t len = 0; len < used; len += used / 64 + 1)
        assert(smtp_reply_parse(view_slice(input, 0, len), &ignored, &again, &text) == SMTP_PARSE_MORE);
    assert(smtp_reply_parse(buffer_view(&out), &ignored, &again, &text) == SMTP_PARSE_DONE && again.code == reply.code);
    return 0;
}

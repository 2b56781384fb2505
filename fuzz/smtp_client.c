/* The client machine against any server: what it writes is always whole commands and one well-formed content, it comes
 * to an end, and it calls nothing sent without a 2xx after the final dot. */
#include "smtp/client.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECIPIENTS = 2, MESSAGES = 2 };

struct world {
    struct smtp_client client;
    struct smtp_client_recipient recipients[RECIPIENTS];
    struct smtp_client_message message;
    unsigned messages;
    char memory[SMTP_CLIENT_OUT_MIN + 300];
    struct buffer out;
};

static void flush(struct world *w)
{
    for (size_t i = 0; i < w->out.len; i++) {
        char c = w->out.at[i];
        assert(c != '\n' || (i && w->out.at[i - 1] == '\r'));
        assert(c != '\r' || (i + 1 < w->out.len && w->out.at[i + 1] == '\n'));
    }
    assert(!w->out.full);
    buffer_clear(&w->out);
}

static void on_ready(struct world *w)
{
    if (w->messages++ == MESSAGES)
        smtp_client_quit(&w->client);
    else
        assert(smtp_client_send(&w->client, &w->message));
}

static void on_content(struct world *w)
{
    struct view content = VIEW("Subject: x\n\n.\r.\r\n..\n");
    flush(w);
    while (content.len)
        smtp_client_content(&w->client, &content, &w->out);
    smtp_client_content_end(&w->client, 0, &w->out);
}

/* false: the client waits. */
static bool step(struct world *w, struct view *input)
{
    switch (smtp_client_step(&w->client, 0, input, &w->out)) {
    case SMTP_CLIENT_INPUT:
        return false;
    case SMTP_CLIENT_FLUSH:
        assert(w->out.len);
        flush(w);
        return true;
    case SMTP_CLIENT_READY:
        on_ready(w);
        return true;
    case SMTP_CLIENT_CONTENT:
        on_content(w);
        return true;
    case SMTP_CLIENT_DONE:
        assert(w->client.outcome != SMTP_CLIENT_SENT || w->client.reply.code / 100 == 2);
        return true;
    case SMTP_CLIENT_RECIPIENT:
        assert(w->client.recipient < RECIPIENTS);
        return true;
    case SMTP_CLIENT_CLOSE:
        break;
    }
    return false;
}

/* The first byte is the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    if (size == 0)
        return 0;
    size_t piece = data[0] + 1u, from = 1, to = 1;
    w = (struct world){ .recipients = { { .path = { "a@b", 3 } }, { .path = { "\"c d\"@e", 7 } } } };
    w.message = (struct smtp_client_message){ .recipients = w.recipients, .recipient_count = RECIPIENTS, .size = 20 };
    w.out = BUFFER_OF(w.memory);
    assert(smtp_client_start(&w.client, VIEW("y"), 0));
    do {
        to = size - to > piece ? to + piece : size;
        struct view input = { (const char *)data + from, to - from };
        while (step(&w, &input))
            continue;
        from = to - input.len;
        flush(&w);
    } while (to < size);
    smtp_client_lost(&w.client);
    struct view none = VIEW_NONE;
    while (step(&w, &none))
        continue;
    assert(smtp_client_step(&w.client, 0, &none, &w.out) == SMTP_CLIENT_CLOSE);
    return 0;
}

/* Addresses, networks, base64 and ids: what was read is written, and read again as the same. */
#include <assert.h>
#include <string.h>

#include "base/address.h"
#include "base/base64.h"
#include "base/mail_id.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void addresses(struct view text)
{
    char memory[ADDRESS_TEXT_MAX];
    struct buffer written = BUFFER_OF(memory);
    struct address a = { .set = false }, again = { .set = false };
    struct network n;
    if (address_parse(text, &a)) {
        address_add(&written, &a);
        assert(!written.full && address_parse(buffer_view(&written), &again));
        assert(memcmp(a.ip, again.ip, 16) == 0 && a.scope == again.scope && a.port == again.port);
    }
    if (network_parse(text, &n)) {
        memcpy(a.ip, n.ip, 16);
        assert(network_has(&n, &a));
    }
}

static void base64(struct view text)
{
    char bytes[3000], back[4000];
    struct buffer read = BUFFER_OF(bytes), written = BUFFER_OF(back);
    if (!base64_decode(&read, text))
        return;
    base64_add(&written, buffer_view(&read));
    assert(view_equal(buffer_view(&written), text));
}

static void ids(struct view text)
{
    char written[MAIL_ID_TEXT_SIZE + 1];
    struct mail_id id;
    if (!mail_id_parse(text, &id))
        return;
    mail_id_text(&id, written);
    assert(view_equal_nocase(view_of(written), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = { (const char *)data, size };
    addresses(text);
    base64(text);
    ids(text);
    return 0;
}

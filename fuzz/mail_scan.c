/* The scanner gives the same facts over any pieces, and sees the fields that the parser sees. */
#include "mail/header.h"
#include "mail/scan.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void facts_as_bytes(struct view message, size_t piece, char bytes[64])
{
    struct mail_scan scan;
    struct buffer to = { bytes, 0, 64, false };
    memset(bytes, 0, 64);
    mail_scan_start(&scan);
    while (message.len)
        mail_scan_feed(&scan, view_take(&message, piece));
    mail_facts_pack(&to, mail_scan_end(&scan));
    assert(!to.full);
}

static void compare_with_parser(struct view message, const struct mail_facts *facts)
{
    struct view rest = view_slice(message, 0, facts->header_size);
    struct mail_field field;
    uint32_t fields = 0, received = 0;
    bool from = false;
    while (mail_header_next(&rest, &field)) {
        fields++;
        received += mail_field_is(&field, "Received");
        from |= mail_field_is(&field, "From");
    }
    assert(rest.len <= 2);
    assert(fields == facts->field_count && received == facts->received_count && from == facts->has_from);
}

/* The first byte is the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char whole[64], pieces[64];
    struct mail_facts facts;
    if (size == 0)
        return 0;
    struct view message = { (const char *)data + 1, size - 1 };
    facts_as_bytes(message, message.len, whole);
    facts_as_bytes(message, data[0] + 1u, pieces);
    assert(memcmp(whole, pieces, sizeof whole) == 0);
    struct unpack from = unpack_of((struct view){ whole, sizeof whole });
    assert(mail_facts_unpack(&from, &facts));
    compare_with_parser(message, &facts);
    return 0;
}

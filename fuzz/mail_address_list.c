/* Address lists: it ends, every mailbox is one, and says itself again when it is read alone. */
#include "mail/address_list.h"
#include "smtp/path.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char memory[MAIL_ADDRESS_MAX], again_memory[MAIL_ADDRESS_MAX];
    struct buffer mailbox = BUFFER_OF(memory), again = BUFFER_OF(again_memory);
    struct mail_address_list list = { .rest = { (const char *)data, size } };
    size_t before = size + 1;
    for (enum mail_address_result result; (result = mail_address_next(&list, &mailbox)) != MAIL_ADDRESS_END;) {
        struct mail_address_list alone = { .rest = buffer_view(&mailbox) };
        struct smtp_path path;
        assert(list.rest.len < before && list.word.len <= size);
        before = list.rest.len;
        if (result == MAIL_ADDRESS_BAD)
            continue;
        assert(smtp_mailbox_parse(buffer_view(&mailbox), SMTP_PATH_BARE, &path) == SMTP_PATH_OK);
        assert(mail_address_next(&alone, &again) == MAIL_ADDRESS_ONE);
        assert(view_equal(buffer_view(&mailbox), buffer_view(&again)));
    }
    return 0;
}

/* Dates: what was read can be written and is read again as the same moment. */
#include "mail/date.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char memory[64];
    struct buffer text = BUFFER_OF(memory);
    int64_t wall_us, again_us;
    int offset_min, again_min;
    if (!mail_date_parse((struct view){ (const char *)data, size }, &wall_us, &offset_min) || wall_us < 0)
        return 0;
    mail_date_add(&text, (uint64_t)wall_us, offset_min);
    assert(!text.full);
    if (wall_us + offset_min * 60000000ll >= 253402300800000000ll)
        return 0; /* the zone leads beyond the year 9999 */
    assert(mail_date_parse(buffer_view(&text), &again_us, &again_min));
    assert(again_us == wall_us && again_min == offset_min);
    return 0;
}

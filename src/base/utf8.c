#include "base/utf8.h"

size_t utf8_sequence(struct view text)
{
    const unsigned char *c = (const unsigned char *)text.at;
    size_t len = !text.len || c[0] < 0xc2 || c[0] > 0xf4 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
    if (len == 0 || text.len < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
    bool surrogate = c[0] == 0xed && c[1] > 0x9f;
    bool too_high = c[0] == 0xf4 && c[1] > 0x8f;
    return overlong || surrogate || too_high ? 0 : len;
}

bool utf8_valid(struct view text)
{
    while (text.len) {
        size_t n = (unsigned char)text.at[0] < 0x80 ? 1 : utf8_sequence(text);
        if (n == 0)
            return false;
        view_take(&text, n);
    }
    return true;
}

#include "base/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_add(struct buffer *to, struct view bytes)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < left ? (uint8_t)bytes.at[i + k] : 0u);
        char group[4];
        for (size_t k = 0; k < 4; k++)
            group[k] = k <= left ? alphabet[bits >> (6 * (3 - k)) & 63] : '=';
        buffer_add(to, (struct view){ group, 4 });
    }
}

static int value_of(char c)
{
    const char *hit = c ? strchr(alphabet, c) : NULL;
    return hit ? (int)(hit - alphabet) : -1;
}

static bool decode_group(struct buffer *to, const char group[4], size_t digits)
{
    uint32_t bits = 0;
    for (size_t k = 0; k < 4; k++) {
        int value = k < digits ? value_of(group[k]) : 0;
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
    }
    size_t bytes = digits - 1;
    if (bits & ((1u << (8 * (3 - bytes))) - 1))
        return false; /* bits left over (RFC 4648 section 3.5) */
    for (size_t k = 0; k < bytes; k++)
        buffer_add_char(to, (char)(bits >> (8 * (2 - k))));
    return true;
}

bool base64_decode(struct buffer *to, struct view text)
{
    if (text.len % 4)
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t digits = 4;
        if (i + 4 == text.len)
            while (digits > 2 && text.at[i + digits - 1] == '=')
                digits--;
        if (!decode_group(to, text.at + i, digits))
            return false;
    }
    return !to->full;
}

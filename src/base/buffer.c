#include "base/buffer.h"

#include <stdio.h>
#include <string.h>

void buffer_init(struct buffer *b, void *memory, size_t cap)
{
    *b = (struct buffer){ memory, 0, cap, false };
}

void buffer_clear(struct buffer *b)
{
    b->len = 0;
    b->full = false;
}

void buffer_add_text(struct buffer *b, const char *text)
{
    buffer_add(b, view_of(text));
}

void buffer_add_u64(struct buffer *b, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    buffer_add(b, (struct view){ digits + at, sizeof digits - at });
}

void buffer_addf(struct buffer *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buffer_addv(b, format, args);
    va_end(args);
}

void buffer_addv(struct buffer *b, const char *format, va_list args)
{
    int len = vsnprintf(b->at + b->len, buffer_room(b), format, args);
    /* vsnprintf needs a byte for its NUL, which is not ours to keep. */
    if (len < 0 || (size_t)len >= buffer_room(b))
        b->full = true;
    else
        b->len += (size_t)len;
}

void buffer_add_safe(struct buffer *b, struct view text, size_t max)
{
    if (text.len > max)
        text.len = max;
    for (size_t i = 0; i < text.len; i++)
        buffer_add_char(b, ascii_is_print(text.at[i]) ? text.at[i] : '?');
}

void buffer_remove(struct buffer *b, size_t n)
{
    if (n > b->len)
        n = b->len;
    if (n == 0)
        return; /* perhaps there is no memory either */
    memmove(b->at, b->at + n, b->len - n);
    b->len -= n;
}

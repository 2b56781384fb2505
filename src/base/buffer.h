/* A buffer is text that is being written into memory of the caller, with a maximum.
 * Adding past the maximum adds nothing and sets `full`; check it once, at the end. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdarg.h>
#include <string.h>

#include "base/view.h"

struct buffer {
    char *at;
    size_t len, cap;
    bool full; /* something did not fit */
};

#define BUFFER_OF(array) ((struct buffer){ (array), 0, sizeof(array), false })

void buffer_init(struct buffer *b, void *memory, size_t cap);
void buffer_clear(struct buffer *b); /* empty, and no longer full */
void buffer_add_text(struct buffer *b, const char *text);
void buffer_add_u64(struct buffer *b, uint64_t number);
/* Wants room for one byte more than it adds (the NUL of vsnprintf). */
void buffer_addf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_addv(struct buffer *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
/* Text of unknown origin for a human reader: bytes outside 32..126 become '?', at most max bytes (H23, H42). */
void buffer_add_safe(struct buffer *b, struct view text, size_t max);
void buffer_remove(struct buffer *b, size_t n); /* takes n bytes off the front */

/* ---- small and called all the time: inline ---- */

static inline struct view buffer_view(const struct buffer *b)
{
    return (struct view){ b->at, b->len };
}

static inline size_t buffer_room(const struct buffer *b)
{
    return b->cap - b->len;
}

/* The whole of it or nothing. */
static inline void buffer_add(struct buffer *b, struct view text)
{
    if (text.len > buffer_room(b)) {
        b->full = true;
        return;
    }
    if (text.len)
        memcpy(b->at + b->len, text.at, text.len);
    b->len += text.len;
}

static inline void buffer_add_char(struct buffer *b, char c)
{
    buffer_add(b, (struct view){ &c, 1 });
}

#endif

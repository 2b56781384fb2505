/* A view borrows text: counted bytes that somebody else owns.
 * Text from the network is always a view or a struct buffer, never a C string;
 * a NUL is an ordinary (bad) byte. A view lives no longer than what it borrows from. */
#ifndef BASE_VIEW_H
#define BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view {
    const char *at;
    size_t len;
};

#define VIEW(literal) ((struct view){ (literal), sizeof(literal) - 1 })
#define VIEW_NONE     ((struct view){ NULL, 0 })
/* For printf-like formats: "%.*s". */
#define VIEW_FORMAT(v) ((int)(v).len), ((v).at ? (v).at : "")

struct view view_of(const char *text); /* of a C string; NULL gives VIEW_NONE */
bool view_equal(struct view a, struct view b);
bool view_equal_nocase(struct view a, struct view b); /* ASCII letters only, whatever the locale */
bool view_starts(struct view v, struct view prefix);
bool view_starts_nocase(struct view v, struct view prefix);
bool view_ends_nocase(struct view v, struct view suffix);
int view_compare(struct view a, struct view b); /* bytewise; -1, 0, 1 */
/* Offset of the first (last) byte c; v.len when there is none. */
size_t view_find(struct view v, char c);
size_t view_find_last(struct view v, char c);
bool view_has(struct view v, char c);
/* Takes off everything before the first c, and c itself; the whole view when there is none. */
struct view view_take_until(struct view *v, char c);
/* The next run of bytes that are not blank (space, tab), skipping blanks before it; empty at the end. */
struct view view_take_word(struct view *v);
struct view view_trim(struct view v); /* blanks (space, tab, CR, LF) off both ends */
/* Decimal digits only, all of them; false when empty, another byte or more than max. */
bool view_to_u64(struct view v, uint64_t max, uint64_t *number);


/* ---- small and called for every byte: inline ---- */

/* ASCII whatever the locale (H169). */
static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool ascii_is_alpha(char c)
{
    char lower = ascii_lower(c);
    return lower >= 'a' && lower <= 'z';
}

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_alnum(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c);
}

/* Space, tab. */
static inline bool ascii_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* 32..126 */
static inline bool ascii_is_print(char c)
{
    return c >= ' ' && c <= '~';
}

/* The part [from, to) with both ends clipped to the view. */
static inline struct view view_slice(struct view v, size_t from, size_t to)
{
    if (to > v.len)
        to = v.len;
    if (from >= to)
        return VIEW_NONE;
    return (struct view){ v.at + from, to - from };
}

/* Takes the first n bytes off *v and returns them (fewer when *v is shorter). */
static inline struct view view_take(struct view *v, size_t n)
{
    if (n > v->len)
        n = v->len;
    struct view taken = { v->at, n };
    if (n) {
        v->at += n;
        v->len -= n;
    }
    return taken;
}

#endif

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
/* The part [from, to) with both ends clipped to the view. */
struct view view_slice(struct view v, size_t from, size_t to);
/* Takes the first n bytes off *v and returns them (fewer when *v is shorter). */
struct view view_take(struct view *v, size_t n);
/* Takes off everything before the first c, and c itself; the whole view when there is none. */
struct view view_take_until(struct view *v, char c);
/* The next run of bytes that are not blank (space, tab), skipping blanks before it; empty at the end. */
struct view view_take_word(struct view *v);
struct view view_trim(struct view v); /* blanks (space, tab, CR, LF) off both ends */
/* Decimal digits only, all of them; false when empty, another byte or more than max. */
bool view_to_u64(struct view v, uint64_t max, uint64_t *number);

/* ASCII whatever the locale (H169). */
char ascii_lower(char c);
bool ascii_is_alpha(char c);
bool ascii_is_digit(char c);
bool ascii_is_alnum(char c);
bool ascii_is_blank(char c); /* space, tab */
bool ascii_is_print(char c); /* 32..126 */

#endif

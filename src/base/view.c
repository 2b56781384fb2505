#include "base/view.h"

#include <string.h>

struct view view_of(const char *text)
{
    return text ? (struct view){ text, strlen(text) } : VIEW_NONE;
}

bool view_equal(struct view a, struct view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool view_equal_nocase(struct view a, struct view b)
{
    return a.len == b.len && view_starts_nocase(a, b);
}

bool view_starts(struct view v, struct view prefix)
{
    return v.len >= prefix.len && view_equal(view_slice(v, 0, prefix.len), prefix);
}

bool view_starts_nocase(struct view v, struct view prefix)
{
    if (v.len < prefix.len)
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (ascii_lower(v.at[i]) != ascii_lower(prefix.at[i]))
            return false;
    return true;
}

bool view_ends_nocase(struct view v, struct view suffix)
{
    return v.len >= suffix.len && view_starts_nocase(view_slice(v, v.len - suffix.len, v.len), suffix);
}

int view_compare(struct view a, struct view b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.at, b.at, shorter) : 0;
    if (order == 0)
        order = a.len < b.len ? -1 : a.len > b.len;
    return order < 0 ? -1 : order > 0;
}

size_t view_find(struct view v, char c)
{
    const char *hit = v.len ? memchr(v.at, c, v.len) : NULL;
    return hit ? (size_t)(hit - v.at) : v.len;
}

size_t view_find_last(struct view v, char c)
{
    for (size_t i = v.len; i-- > 0;)
        if (v.at[i] == c)
            return i;
    return v.len;
}

bool view_has(struct view v, char c)
{
    return view_find(v, c) < v.len;
}

struct view view_take_until(struct view *v, char c)
{
    struct view taken = view_take(v, view_find(*v, c));
    view_take(v, 1);
    return taken;
}

struct view view_take_word(struct view *v)
{
    size_t n = 0;
    while (v->len && ascii_is_blank(v->at[0]))
        view_take(v, 1);
    while (n < v->len && !ascii_is_blank(v->at[n]))
        n++;
    return view_take(v, n);
}

static bool is_space(char c)
{
    return ascii_is_blank(c) || c == '\r' || c == '\n';
}

struct view view_trim(struct view v)
{
    while (v.len && is_space(v.at[0]))
        view_take(&v, 1);
    while (v.len && is_space(v.at[v.len - 1]))
        v.len--;
    return v;
}

bool view_to_u64(struct view v, uint64_t max, uint64_t *number)
{
    uint64_t n = 0;
    if (v.len == 0)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (!ascii_is_digit(v.at[i]))
            return false;
        uint64_t digit = (uint64_t)(v.at[i] - '0');
        if (n > (max - digit) / 10 || digit > max)
            return false;
        n = n * 10 + digit;
    }
    *number = n;
    return true;
}

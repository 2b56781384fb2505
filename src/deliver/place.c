#include "deliver/place.h"

#define HOME "%{home}"

/* Takes the base off the template: its home, or what stands before the first value, up to the last slash; of a template
 * without values, all but the last part. */
static struct view take_base(struct view *pattern)
{
    if (view_starts(*pattern, VIEW(HOME "/"))) {
        struct view base = view_take(pattern, sizeof HOME - 1);
        view_take(pattern, 1);
        return base;
    }
    if (!view_starts(*pattern, VIEW("/")))
        return VIEW("");
    struct view fixed = view_slice(*pattern, 0, view_find(*pattern, '%'));
    struct view base = view_take(pattern, view_find_last(fixed, '/'));
    view_take(pattern, 1);
    return base.len ? base : VIEW("/");
}

bool deliver_place_part(struct view *rest, struct view *part, bool *last)
{
    size_t len = view_find(*rest, '/');
    *last = len == rest->len;
    *part = view_take(rest, len);
    view_take(rest, 1);
    return part->len && part->len <= DELIVER_NAME_MAX && !view_equal(*part, VIEW(".")) &&
           !view_equal(*part, VIEW("..")) && !view_has(*part, '\0');
}

static bool check_rest(struct view rest)
{
    struct view part;
    bool last = false;
    while (!last)
        if (!deliver_place_part(&rest, &part, &last))
            return false;
    return true;
}

bool deliver_place_fill(struct deliver_place *place, struct view pattern, const struct conf_values *values)
{
    struct buffer base = BUFFER_OF(place->base), rest = BUFFER_OF(place->rest);
    while (pattern.len > 1 && pattern.at[pattern.len - 1] == '/')
        pattern.len--;
    struct view base_pattern = take_base(&pattern);
    if (base_pattern.len && !conf_expand(&base, base_pattern, values))
        return false;
    if (!conf_expand(&rest, pattern, values) || !check_rest(buffer_view(&rest)))
        return false;
    buffer_add_char(&base, '\0');
    buffer_add_char(&rest, '\0');
    return !base.full && !rest.full;
}

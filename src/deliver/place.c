#include "deliver/place.h"

#include <string.h>

static bool is_plain(char c)
{
    return ascii_is_alnum(c) || (c && strchr("-_+=@.", c));
}

/* '%' itself is encoded, so the mapping can be turned back: nobody gets another's path. */
static void add_encoded(struct buffer *to, struct view text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.at[i]);
        if (is_plain(c) && !(c == '.' && i == 0)) {
            buffer_add_char(to, c);
            continue;
        }
        buffer_add_char(to, '%');
        buffer_add_char(to, digits[(uint8_t)c >> 4]);
        buffer_add_char(to, digits[(uint8_t)c & 15]);
    }
}

static bool add_local(struct buffer *to, const struct smtp_path *recipient)
{
    char memory[SMTP_LOCAL_PART_MAX + 1];
    struct buffer plain = BUFFER_OF(memory);
    if (!smtp_path_local_plain(recipient, &plain))
        return false;
    add_encoded(to, buffer_view(&plain));
    return true;
}

static enum deliver_place_result add_name(struct buffer *to, struct view word, const struct deliver_names *names)
{
    if (view_equal(word, VIEW("user"))) {
        add_encoded(to, names->user);
    } else if (view_equal(word, VIEW("domain"))) {
        add_encoded(to, names->recipient->domain);
    } else if (view_equal(word, VIEW("local")) || view_equal(word, VIEW("address"))) {
        if (!add_local(to, names->recipient))
            return DELIVER_PLACE_TOO_LONG;
        if (word.at[0] == 'a') {
            buffer_add_char(to, '@');
            add_encoded(to, names->recipient->domain);
        }
    } else {
        return DELIVER_PLACE_BAD;
    }
    return DELIVER_PLACE_OK;
}

/* pattern = { text / "%{" word "}" } */
static enum deliver_place_result add_pattern(struct buffer *to, struct view pattern, const struct deliver_names *names)
{
    while (pattern.len) {
        size_t mark = view_find(pattern, '%');
        buffer_add(to, view_take(&pattern, mark));
        if (!pattern.len)
            break;
        size_t end = view_find(pattern, '}');
        if (end == pattern.len || !view_starts(pattern, VIEW("%{")))
            return DELIVER_PLACE_BAD;
        enum deliver_place_result result = add_name(to, view_slice(pattern, 2, end), names);
        if (result != DELIVER_PLACE_OK)
            return result;
        view_take(&pattern, end + 1);
    }
    return to->full ? DELIVER_PLACE_TOO_LONG : DELIVER_PLACE_OK;
}

/* Each part must be a name that can be made, so that "rest" never leads out of its base. */
static enum deliver_place_result check_rest(struct view rest)
{
    if (!rest.len)
        return DELIVER_PLACE_BAD;
    while (rest.len) {
        size_t len = view_find(rest, '/');
        struct view part = view_take(&rest, len);
        view_take(&rest, 1);
        if (part.len > DELIVER_NAME_MAX)
            return DELIVER_PLACE_TOO_LONG;
        if (!part.len || view_equal(part, VIEW(".")) || view_equal(part, VIEW("..")) || view_has(part, '\0'))
            return DELIVER_PLACE_BAD;
    }
    return DELIVER_PLACE_OK;
}

/* Splits the template: what stands before the first name, up to its last slash, is the base; of a template without
 * names, all but the last part. */
static struct view take_fixed(struct view *pattern)
{
    size_t mark = view_find(*pattern, '%');
    size_t slash = view_find_last(view_slice(*pattern, 0, mark), '/');
    if (slash >= mark)
        return view_slice(*pattern, 0, 0);
    struct view fixed = view_take(pattern, slash);
    view_take(pattern, 1);
    return fixed;
}

/* Opens and ends C strings; a base of "" is "/" when the template began with a slash. */
static enum deliver_place_result finish(struct buffer *base, struct buffer *rest)
{
    enum deliver_place_result result = check_rest(buffer_view(rest));
    buffer_add_char(base, '\0');
    buffer_add_char(rest, '\0');
    if (base->full || rest->full)
        return DELIVER_PLACE_TOO_LONG;
    return result;
}

enum deliver_place_result deliver_place_fill(struct deliver_place *place, struct view pattern,
                                             const struct deliver_names *names)
{
    struct buffer base = BUFFER_OF(place->base), rest = BUFFER_OF(place->rest);
    while (pattern.len > 1 && pattern.at[pattern.len - 1] == '/')
        pattern.len--;
    if (view_starts(pattern, VIEW("%{home}/"))) {
        if (!names->home.len || names->home.at[0] != '/')
            return DELIVER_PLACE_NO_HOME;
        buffer_add(&base, names->home);
        view_take(&pattern, sizeof "%{home}/" - 1);
    } else if (view_starts(pattern, VIEW("/"))) {
        struct view fixed = take_fixed(&pattern);
        buffer_add(&base, fixed.len ? fixed : VIEW("/"));
    }
    enum deliver_place_result result = add_pattern(&rest, pattern, names);
    return result == DELIVER_PLACE_OK ? finish(&base, &rest) : result;
}

#include "conf/conf.h"

/* Bytes that mean nothing to a file system nor to us, wherever they stand. Not @: it joins %{address}. */
static bool is_plain(char c)
{
    return ascii_is_alnum(c) || c == '+' || c == '-' || c == '_' || c == '=' || c == '.';
}

/* Injective: only % begins an escape, and it is escaped itself. No result is "." or "..", hidden, or has a slash or NUL
 * (H35). */
static bool add_encoded(struct buffer *to, struct view value, bool fold)
{
    static const char hex[16] = "0123456789ABCDEF";
    size_t start = to->len;
    for (size_t i = 0; i < value.len && to->len - start <= CONF_VALUE_MAX; i++) {
        char c = fold ? ascii_lower(value.at[i]) : value.at[i];
        unsigned byte = (unsigned char)c;
        if (is_plain(c) && !(c == '.' && i == 0))
            buffer_add_char(to, c);
        else
            buffer_add(to, (struct view){ (char[]){ '%', hex[byte >> 4], hex[byte & 15] }, 3 });
    }
    return value.len > 0 && to->len - start <= CONF_VALUE_MAX;
}

static bool add_address(struct buffer *to, const struct conf_values *values)
{
    size_t start = to->len;
    if (!add_encoded(to, values->local, true))
        return false;
    buffer_add_char(to, '@');
    return add_encoded(to, values->domain, true) && to->len - start <= CONF_VALUE_MAX;
}

/* A path of the account database, taken as it is: but only an absolute one without "..". */
static bool add_home(struct buffer *to, struct view home)
{
    struct view rest = home;
    if (!view_starts(home, VIEW("/")) || view_has(home, '\0'))
        return false;
    while (rest.len)
        if (view_equal(view_take_until(&rest, '/'), VIEW("..")))
            return false;
    buffer_add(to, home);
    return true;
}

static bool add_word(struct buffer *to, struct view word, const struct conf_values *values)
{
    if (view_equal(word, VIEW("%{local}")))
        return add_encoded(to, values->local, true);
    if (view_equal(word, VIEW("%{domain}")))
        return add_encoded(to, values->domain, true);
    if (view_equal(word, VIEW("%{address}")))
        return add_address(to, values);
    if (view_equal(word, VIEW("%{user}")))
        return add_encoded(to, values->user, false);
    return view_equal(word, VIEW("%{home}")) && add_home(to, values->home);
}

bool conf_expand(struct buffer *to, struct view template, const struct conf_values *values)
{
    size_t start = to->len;
    bool good = true;
    while (good && template.len) {
        buffer_add(to, view_take(&template, view_find(template, '%')));
        if (template.len)
            good = add_word(to, view_take(&template, view_find(template, '}') + 1), values);
    }
    good = good && !to->full && to->len - start <= CONF_PATH_MAX;
    if (!good)
        to->len = start;
    return good;
}

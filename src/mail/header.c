#include "mail/header.h"

#include <string.h>

/* The length of the first line of text with its LF. */
static size_t line_size(struct view text)
{
    size_t lf = view_find(text, '\n');
    return lf < text.len ? lf + 1 : lf;
}

static bool at_empty_line(struct view text)
{
    return view_starts(text, VIEW("\n")) || view_starts(text, VIEW("\r\n"));
}

static struct view without_line_end(struct view line)
{
    if (line.len && line.at[line.len - 1] == '\n')
        line.len -= line.len > 1 && line.at[line.len - 2] == '\r' ? 2 : 1;
    return line;
}

/* ftext = %d33-57 / %d59-126 (RFC 5322 section 3.6.8) */
static bool is_name(struct view name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_print(name.at[i]) || name.at[i] == ' ')
            return false;
    return name.len > 0;
}

/* Blanks before the colon: RFC 5322 section 4.5. */
static struct view name_before(struct view line, size_t colon)
{
    struct view name = view_slice(line, 0, colon);
    while (name.len && ascii_is_blank(name.at[name.len - 1]))
        name.len--;
    return is_name(name) ? name : VIEW_NONE;
}

bool mail_header_next(struct view *rest, struct mail_field *field)
{
    if (rest->len == 0 || at_empty_line(*rest))
        return false;
    size_t size = line_size(*rest);
    struct view first = view_slice(*rest, 0, size);
    while (size < rest->len && ascii_is_blank(rest->at[size]))
        size += line_size(view_slice(*rest, size, rest->len));
    *field = (struct mail_field){ .whole = view_take(rest, size) };
    size_t colon = view_find(first, ':');
    if (colon < first.len)
        field->name = name_before(first, colon);
    if (field->name.len)
        field->value = without_line_end(view_slice(field->whole, colon + 1, field->whole.len));
    return true;
}

bool mail_field_is(const struct mail_field *field, const char *name)
{
    return view_equal_nocase(field->name, view_of(name));
}

#include "smtp/data.h"

#include <string.h>

void smtp_data_start(struct smtp_data *data)
{
    *data = (struct smtp_data){ .line_start = true };
}

enum dot { DOT_NONE, DOT_UNKNOWN, DOT_STUFFED, DOT_END };

/* What a line begins with. */
static enum dot look_at_dot(struct view line)
{
    if (line.len == 0 || line.at[0] != '.')
        return DOT_NONE;
    if (line.len == 1 || (line.at[1] == '\r' && line.len == 2))
        return DOT_UNKNOWN;
    return line.at[1] == '\r' && line.at[2] == '\n' ? DOT_END : DOT_STUFFED;
}

/* The first byte in [from, to), which holds no LF, that may not be in content; `to` when there is none. */
static const char *find_bad(const struct smtp_data *data, const char *from, const char *to)
{
    const char *cr = data->bare ? NULL : memchr(from, '\r', (size_t)(to - from));
    if (cr)
        to = cr;
    const char *nul = data->body ? NULL : memchr(from, '\0', (size_t)(to - from));
    return nul ? nul : to;
}

/* The end of the run of good content at `from`, which is no dot at the start of a line; sets line_start and body as
 * they are there. Each byte is looked at two or three times, by memchr, and never again. */
static const char *find_run(struct smtp_data *data, const char *from, const char *end)
{
    const char *at = from;
    while (at < end && !(data->line_start && *at == '.')) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = lf ? lf : end;
        bool cr = line_end > at && line_end[-1] == '\r';
        const char *text_end = cr ? line_end - 1 : line_end;
        const char *bad = find_bad(data, at, text_end);
        if (bad < text_end || !lf || !(cr || data->bare)) {
            data->line_start = data->line_start && bad == at;
            return bad;
        }
        data->body |= data->line_start && cr && at == text_end;
        data->line_start = cr;
        at = lf + 1;
    }
    return at;
}

/* At a byte that does not belong to content, or at a CR that may. */
static enum smtp_data_result take_bad(struct smtp_data *data, struct view *input)
{
    if (input->len == 0 || (input->at[0] == '\r' && input->len == 1))
        return SMTP_DATA_MORE;
    data->line_start = false;
    if (view_take(input, 1).at[0] == '\0') {
        data->body = true;
        return SMTP_DATA_NUL;
    }
    data->bare = true;
    return SMTP_DATA_BARE;
}

enum smtp_data_result smtp_data_step(struct smtp_data *data, struct view *input, struct view *piece)
{
    switch (data->line_start ? look_at_dot(*input) : DOT_NONE) {
    case DOT_UNKNOWN:
        return SMTP_DATA_MORE;
    case DOT_END:
        view_take(input, 3);
        return SMTP_DATA_END;
    case DOT_STUFFED:
        view_take(input, 1);
        data->line_start = false;
        break;
    case DOT_NONE:
        break;
    }
    *piece = *input;
    if (input->len)
        piece->len = (size_t)(find_run(data, input->at, input->at + input->len) - input->at);
    if (piece->len == 0)
        return take_bad(data, input);
    view_take(input, piece->len);
    return SMTP_DATA_PIECE;
}

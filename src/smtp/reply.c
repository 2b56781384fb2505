#include "smtp/reply.h"

#include <assert.h>
#include <string.h>

#define CODE_LEN 3

/* --- writing --- */

/* The next line of the text without its line end; a CR directly before the LF belongs to it. */
static struct view take_text_line(struct view *text)
{
    struct view line = view_take_until(text, '\n');
    if (line.len && line.at[line.len - 1] == '\r')
        line.len--;
    return line;
}

static void add_clean(struct buffer *to, struct view text)
{
    while (text.len) {
        size_t run = 0;
        while (run < text.len && ascii_is_print(text.at[run]))
            run++;
        buffer_add(to, view_take(&text, run));
        if (text.len)
            buffer_add_char(to, view_take(&text, 1).at[0] == '\t' ? ' ' : '?');
    }
}

static void add_status(struct buffer *to, const struct smtp_status *status)
{
    buffer_add_u64(to, status->class);
    buffer_add_char(to, '.');
    buffer_add_u64(to, status->subject);
    buffer_add_char(to, '.');
    buffer_add_u64(to, status->detail);
}

/* Reply-line (RFC 5321 section 4.2); the status stands in each line (RFC 2034 section 4). */
static void add_line(struct buffer *to, const struct smtp_reply *reply, struct view text, bool last)
{
    size_t start = to->len;
    buffer_add_u64(to, reply->code);
    if (!last)
        buffer_add_char(to, '-');
    else if (reply->status.class || text.len)
        buffer_add_char(to, ' ');
    if (reply->status.class) {
        add_status(to, &reply->status);
        if (text.len)
            buffer_add_char(to, ' ');
    }
    size_t room = SMTP_LINE_MAX - 2 - (to->len - start);
    add_clean(to, view_slice(text, 0, room));
    buffer_add(to, VIEW("\r\n"));
}

void smtp_reply_write(struct buffer *to, const struct smtp_reply *reply)
{
    size_t before = to->len;
    struct view text = reply->text;
    assert(reply->code >= 200 && reply->code <= 599);
    assert(reply->status.class == 0 || reply->status.class == reply->code / 100);
    assert(reply->status.subject <= 999 && reply->status.detail <= 999);
    do {
        struct view line = take_text_line(&text);
        add_line(to, reply, line, text.len == 0);
    } while (text.len && !to->full);
    if (to->full)
        to->len = before;
}

/* --- reading --- */

/* 1*3DIGIT, then `end` or, for end 0, a blank or nothing. */
static bool take_number(struct view *text, char end, uint16_t *number)
{
    size_t len = 0;
    uint64_t n;
    while (len < text->len && ascii_is_digit(text->at[len]))
        len++;
    if (!view_to_u64(view_slice(*text, 0, len), 999, &n))
        return false;
    view_take(text, len);
    *number = (uint16_t)n;
    if (text->len == 0)
        return end == 0;
    char c = view_take(text, 1).at[0];
    return end ? c == end : ascii_is_blank(c);
}

bool smtp_status_parse(struct view text, struct smtp_status *status, size_t *used)
{
    uint16_t class, subject, detail;
    size_t len = text.len;
    if (!take_number(&text, '.', &class) || !take_number(&text, '.', &subject) || !take_number(&text, 0, &detail))
        return false;
    if (class != 2 && class != 4 && class != 5)
        return false;
    *status = (struct smtp_status){ (uint8_t) class, subject, detail };
    *used = len - text.len;
    return true;
}

/* One line without its CRLF. */
struct reply_line {
    uint16_t code;
    bool last;
    struct view text;
};

static bool line_is_clean(struct view line)
{
    return !view_has(line, '\r') && !view_has(line, '\n') && !view_has(line, '\0');
}

/* Reply-code [ ("-" / SP) textstring ], the code's first digit 2 to 5. */
static bool parse_line(struct view line, struct reply_line *parsed)
{
    uint64_t code;
    if (!line_is_clean(line) || line.len < CODE_LEN || !view_to_u64(view_slice(line, 0, CODE_LEN), 599, &code))
        return false;
    view_take(&line, CODE_LEN);
    if (code < 200 || (line.len && line.at[0] != ' ' && line.at[0] != '-'))
        return false;
    parsed->code = (uint16_t)code;
    parsed->last = line.len == 0 || line.at[0] == ' ';
    parsed->text = view_slice(line, 1, line.len);
    return true;
}

/* A line's text without the status that its reply has (RFC 2034: the same one in every line). */
static struct view without_status(struct view text, const struct smtp_status *expected)
{
    struct smtp_status status;
    size_t used;
    if (smtp_status_parse(text, &status, &used) && status.class == expected->class &&
        status.subject == expected->subject && status.detail == expected->detail)
        view_take(&text, used);
    return text;
}

static void first_line(struct smtp_reply *reply, const struct reply_line *line)
{
    size_t used;
    *reply = (struct smtp_reply){ .code = line->code };
    if (!smtp_status_parse(line->text, &reply->status, &used) || reply->status.class != line->code / 100)
        reply->status = (struct smtp_status){ 0 };
}

/* As much as there is room for: the text informs, the code decides. */
static void add_cut(struct buffer *to, struct view text)
{
    buffer_add(to, view_slice(text, 0, buffer_room(to)));
}

enum smtp_parse smtp_reply_parse(struct view input, size_t *used, struct smtp_reply *reply, struct buffer *text)
{
    struct view rest = view_slice(input, 0, SMTP_REPLY_MAX);
    struct reply_line line = { 0 };
    bool first = true;
    buffer_clear(text);
    while (view_has(rest, '\n')) {
        struct view whole = view_take_until(&rest, '\n');
        if (whole.len == 0 || whole.at[whole.len - 1] != '\r')
            return SMTP_PARSE_BAD;
        whole.len--;
        if (!parse_line(whole, &line) || (!first && line.code != reply->code))
            return SMTP_PARSE_BAD;
        if (first)
            first_line(reply, &line);
        else
            add_cut(text, VIEW("\n"));
        first = false;
        add_cut(text, without_status(line.text, &reply->status));
        if (line.last) {
            reply->text = buffer_view(text);
            *used = (size_t)(rest.at - input.at);
            return SMTP_PARSE_DONE;
        }
    }
    return input.len < SMTP_REPLY_MAX ? SMTP_PARSE_MORE : SMTP_PARSE_BAD;
}

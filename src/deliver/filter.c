#include "deliver/filter.h"

#include "mail/date.h"

#include <string.h>

enum field_state { FIELD_START, FIELD_NAME, FIELD_BLANKS, FIELD_KEEP, FIELD_DROP, FIELD_DROPPED /* its line ended */ };

enum { MID_LINE = 255 };

static const char return_path[] = "return-path";
static const char from_mark[] = "From ";

void deliver_filter_start(struct deliver_filter *filter, bool mbox)
{
    *filter = (struct deliver_filter){ .quote = mbox, .from = mbox ? 0 : MID_LINE };
}

/* ---- lines: CRLF to LF, quoting ---- */

static void put(struct deliver_filter *filter, struct view text, struct buffer *out)
{
    if (!text.len)
        return;
    buffer_add(out, text);
    filter->line_open = text.at[text.len - 1] != '\n';
}

/* The start of a line has turned out not to be a From_ line: what was held of it goes out. */
static void put_mark(struct deliver_filter *filter, struct buffer *out)
{
    if (filter->from != MID_LINE)
        put(filter, (struct view){ from_mark, filter->from }, out);
    filter->from = MID_LINE;
}

/* One byte at the start of a line; true when it was taken. Any '>' goes out as it comes: it makes no difference
 * where among them the new one stands. */
static bool take_mark(struct deliver_filter *filter, char c, struct buffer *out)
{
    if (c == '>' && filter->from == 0) {
        put(filter, VIEW(">"), out);
        return true;
    }
    if (c != from_mark[filter->from]) {
        put_mark(filter, out);
        return false;
    }
    if (++filter->from == sizeof from_mark - 1) {
        put(filter, VIEW(">From "), out);
        filter->from = MID_LINE;
    }
    return true;
}

static void end_line(struct deliver_filter *filter, struct buffer *out)
{
    put_mark(filter, out);
    put(filter, VIEW("\n"), out);
    filter->from = filter->quote ? 0 : MID_LINE;
}

/* A CR was held and something else than LF came: it is an ordinary byte. */
static void put_lone_cr(struct deliver_filter *filter, struct buffer *out)
{
    put_mark(filter, out);
    put(filter, VIEW("\r"), out);
}

/* Takes the part of text up to the next CR or LF at the start of which nothing is held. */
static void put_run(struct deliver_filter *filter, struct view *text, struct buffer *out)
{
    const char *end = memchr(text->at, '\n', text->len);
    size_t len = end ? (size_t)(end - text->at) : text->len;
    const char *cr = memchr(text->at, '\r', len);
    if (cr)
        len = (size_t)(cr - text->at);
    put(filter, view_take(text, len), out);
}

static void feed_lines(struct deliver_filter *filter, struct view text, struct buffer *out)
{
    while (text.len) {
        char c = *text.at;
        if (filter->cr && c != '\n')
            put_lone_cr(filter, out);
        filter->cr = false;
        if (c == '\n') {
            end_line(filter, out);
            view_take(&text, 1);
        } else if (c == '\r') {
            filter->cr = true;
            view_take(&text, 1);
        } else if (filter->from == MID_LINE) {
            put_run(filter, &text, out);
        } else if (take_mark(filter, c, out)) {
            view_take(&text, 1);
        }
    }
}

/* ---- the header as it arrived: Return-Path fields are left out ---- */

static void release(struct deliver_filter *filter, struct buffer *out)
{
    feed_lines(filter, (struct view){ filter->held, filter->held_len }, out);
    filter->held_len = 0;
}

static void hold(struct deliver_filter *filter, char c)
{
    filter->held[filter->held_len++] = c;
}

static void keep_line(struct deliver_filter *filter, char c, struct buffer *out)
{
    hold(filter, c);
    release(filter, out);
    filter->field = c == '\n' ? FIELD_START : FIELD_KEEP;
}

/* RFC 5322 section 4.5: the obsolete syntax has blanks between name and colon. */
static void match_name(struct deliver_filter *filter, char c, struct buffer *out)
{
    bool name = filter->field == FIELD_NAME && filter->held_len < sizeof return_path - 1;
    bool room = filter->held_len < sizeof filter->held - 1;
    if (name && ascii_lower(c) == return_path[filter->held_len]) {
        hold(filter, c);
    } else if (!name && c == ':') {
        filter->held_len = 0;
        filter->field = FIELD_DROP;
    } else if (!name && ascii_is_blank(c) && room) {
        hold(filter, c);
        filter->field = FIELD_BLANKS;
    } else {
        keep_line(filter, c, out);
    }
}

static void feed_header_byte(struct deliver_filter *filter, char c, struct buffer *out)
{
    /* A line after a dropped one that begins with a blank is its continuation (RFC 5322 section 2.2.3). */
    if (filter->field == FIELD_DROPPED)
        filter->field = ascii_is_blank(c) ? FIELD_DROP : FIELD_START;
    if (filter->field == FIELD_START)
        filter->field = FIELD_NAME;
    if (filter->field == FIELD_NAME || filter->field == FIELD_BLANKS)
        match_name(filter, c, out);
    else if (filter->field == FIELD_DROP)
        filter->field = c == '\n' ? FIELD_DROPPED : FIELD_DROP;
    else
        keep_line(filter, c, out);
}

void deliver_filter_feed(struct deliver_filter *filter, struct view piece, bool header, struct buffer *out)
{
    if (header) {
        for (size_t i = 0; i < piece.len; i++)
            feed_header_byte(filter, piece.at[i], out);
        return;
    }
    release(filter, out);
    feed_lines(filter, piece, out);
}

void deliver_filter_end(struct deliver_filter *filter, struct buffer *out)
{
    release(filter, out);
    if (filter->cr)
        put_lone_cr(filter, out);
    filter->cr = false;
    if (!filter->quote)
        return;
    put_mark(filter, out);
    buffer_add_text(out, filter->line_open ? "\n\n" : "\n");
}

/* ---- From_ ---- */

/* Without the source route: readers take the first word for an address. */
static struct view without_route(struct view path)
{
    size_t colon = view_find(path, ':');
    return path.len && path.at[0] == '@' && colon < path.len ? view_slice(path, colon + 1, path.len) : path;
}

void deliver_from_line_add(struct buffer *to, struct view reverse_path, uint64_t wall_us)
{
    struct view sender = without_route(reverse_path);
    buffer_add_text(to, "From ");
    for (size_t i = 0; i < sender.len; i++)
        buffer_add_char(to, ascii_is_print(sender.at[i]) && sender.at[i] != ' ' ? sender.at[i] : '-');
    if (!sender.len)
        buffer_add_text(to, "MAILER-DAEMON");
    buffer_add_char(to, ' ');
    mail_date_add_asctime(to, wall_us);
    buffer_add_char(to, '\n');
}

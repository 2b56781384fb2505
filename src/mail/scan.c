#include "mail/scan.h"

#include <string.h>

/* Parts of a header line. */
enum { PART_NAME, PART_BLANKS, PART_REST, PART_FOLD };

#define ONES  0x0101010101010101u
#define HIGHS 0x8080808080808080u

void mail_scan_start(struct mail_scan *scan)
{
    *scan = (struct mail_scan){ .facts = { .ends_with_crlf = true } };
}

/* Eight bytes at a time. A zero byte borrows from its own top bit, and only it can be the first to do so: whether there
 * was one is exact, which one is not. */
static void check_bytes(struct mail_facts *facts, struct view piece)
{
    uint64_t high = 0, zero = 0;
    for (size_t i = 0; i < piece.len; i += sizeof high) {
        uint64_t word = ONES;
        size_t left = piece.len - i;
        if (left >= sizeof word)
            memcpy(&word, piece.at + i, sizeof word);
        else
            memcpy(&word, piece.at + i, left);
        high |= word;
        zero |= (word - ONES) & ~word;
    }
    facts->eight_bit |= (high & HIGHS) != 0;
    facts->nul |= (zero & HIGHS) != 0;
}

static void start_line(struct mail_scan *scan, char first)
{
    scan->facts.dot_lines |= first == '.';
    scan->part = ascii_is_blank(first) ? PART_FOLD : PART_NAME;
    scan->name_len = 0;
    if (scan->facts.size == 0 && scan->part == PART_FOLD)
        scan->facts.headless = scan->in_body = true;
}

static void check_line_ends(struct mail_scan *scan, struct view text, bool ends)
{
    if (text.len) {
        const char *last = text.at + text.len - 1;
        if (scan->last_cr || memchr(text.at, '\r', text.len - 1))
            scan->facts.bare_cr_lf = true;
        scan->last_cr = *last == '\r';
    }
    scan->facts.ends_with_crlf = ends && scan->last_cr;
    if (ends && !scan->last_cr)
        scan->facts.bare_cr_lf = true;
}

static void note_field(struct mail_scan *scan)
{
    static const char names[][12] = { "received", "return-path", "date", "from", "message-id" };
    struct mail_facts *facts = &scan->facts;
    bool *flags[] = { NULL, &facts->has_return_path, &facts->has_date, &facts->has_from, &facts->has_message_id };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (view_equal_nocase((struct view){ scan->name, scan->name_len }, view_of(names[i]))) {
            if (flags[i])
                *flags[i] = true;
            else if (facts->received_count < UINT32_MAX)
                facts->received_count++;
        }
}

/* Up to the colon; blanks before it are the obsolete syntax of RFC 5322 section 4.5. */
static void feed_name(struct mail_scan *scan, char c)
{
    if (c == ':') {
        note_field(scan);
        scan->part = PART_REST;
    } else if (ascii_is_blank(c)) {
        scan->part = PART_BLANKS;
    } else if (scan->part == PART_BLANKS || scan->name_len == sizeof scan->name) {
        scan->part = PART_REST;
    } else {
        scan->name[scan->name_len++] = c;
    }
}

static void feed_header(struct mail_scan *scan, struct view text)
{
    if (text.len && memchr(text.at, '\0', text.len))
        scan->facts.header_nul = true;
    for (size_t i = 0; i < text.len && scan->part <= PART_BLANKS; i++)
        feed_name(scan, text.at[i]);
}

/* size: of the line that is complete now, without its end. */
static void end_line(struct mail_scan *scan, uint64_t size)
{
    struct mail_facts *facts = &scan->facts;
    if (size > facts->line_max)
        facts->line_max = size;
    if (!scan->in_body && size == 0) {
        facts->header_size = facts->size;
        scan->in_body = true;
    }
    if (!scan->in_body && scan->part != PART_FOLD && facts->field_count < UINT32_MAX)
        facts->field_count++;
    scan->line_size = 0;
    scan->last_cr = false;
}

/* A line or a part of one; `ends` when its last byte is LF. */
static void feed_line(struct mail_scan *scan, struct view text, bool ends)
{
    if (scan->line_size == 0)
        start_line(scan, text.at[0]);
    scan->facts.size += text.len;
    text.len -= ends;
    scan->line_size += text.len;
    check_line_ends(scan, text, ends);
    if (!scan->in_body)
        feed_header(scan, text);
    if (ends)
        end_line(scan, scan->line_size - scan->last_cr);
}

void mail_scan_feed(struct mail_scan *scan, struct view piece)
{
    check_bytes(&scan->facts, piece);
    while (piece.len) {
        const char *lf = memchr(piece.at, '\n', piece.len);
        size_t len = lf ? (size_t)(lf - piece.at) + 1 : piece.len;
        feed_line(scan, (struct view){ piece.at, len }, lf != NULL);
        piece = (struct view){ piece.at + len, piece.len - len };
    }
}

const struct mail_facts *mail_scan_end(struct mail_scan *scan)
{
    if (scan->last_cr)
        scan->facts.bare_cr_lf = true;
    if (scan->line_size)
        end_line(scan, scan->line_size);
    if (!scan->in_body)
        scan->facts.header_size = scan->facts.size;
    return &scan->facts;
}

/* ---- facts as bytes ---- */

#define FLAG_COUNT 11

static void flags_of(struct mail_facts *facts, bool *flags[FLAG_COUNT])
{
    bool *all[FLAG_COUNT] = { &facts->eight_bit,  &facts->nul,      &facts->header_nul,     &facts->dot_lines,
                              &facts->bare_cr_lf, &facts->headless, &facts->ends_with_crlf, &facts->has_return_path,
                              &facts->has_date,   &facts->has_from, &facts->has_message_id };
    memcpy(flags, all, sizeof all);
}

void mail_facts_pack(struct buffer *to, const struct mail_facts *facts)
{
    struct mail_facts copy = *facts;
    bool *flags[FLAG_COUNT];
    unsigned bits = 0;
    flags_of(&copy, flags);
    for (unsigned i = 0; i < FLAG_COUNT; i++)
        bits |= (unsigned)*flags[i] << i;
    pack_u64(to, facts->size);
    pack_u64(to, facts->header_size);
    pack_u64(to, facts->line_max);
    pack_u32(to, facts->field_count);
    pack_u32(to, facts->received_count);
    pack_u16(to, (uint16_t)bits);
}

bool mail_facts_unpack(struct unpack *from, struct mail_facts *facts)
{
    bool *flags[FLAG_COUNT];
    *facts = (struct mail_facts){ .size = unpack_u64(from) };
    facts->header_size = unpack_u64(from);
    facts->line_max = unpack_u64(from);
    facts->field_count = unpack_u32(from);
    facts->received_count = unpack_u32(from);
    unsigned bits = unpack_u16(from);
    flags_of(facts, flags);
    for (unsigned i = 0; i < FLAG_COUNT; i++)
        *flags[i] = bits >> i & 1;
    return !from->bad && bits >> FLAG_COUNT == 0 && facts->header_size <= facts->size && facts->line_max <= facts->size;
}

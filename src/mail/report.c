#include "mail/report.h"

#include "mail/date.h"
#include "mail/encode.h"
#include "mail/header.h"
#include "mail/report_inner.h"
#include "mail/scan.h"

#include <assert.h>

#define BOUNDARY_SIZE        48
#define FIXED_SIZE           4096 /* everything that does not depend on what is reported, with a hostname and a path of 256 */
#define RECIPIENT_FIXED_SIZE 2048

/* ---- pieces ---- */

void mail_report_clean(struct buffer *to, struct view text)
{
    buffer_add_safe(to, text, MAIL_REPORT_WORD_MAX);
}

static void add_codes(struct buffer *to, const struct mail_report_recipient *recipient, bool last)
{
    const uint16_t *status = recipient->status;
    if (recipient->code)
        buffer_addf(to, "%u%c", (unsigned)recipient->code, last ? ' ' : '-');
    if (status[0] &&
        (status[1] || status[2])) /* x.0.0 says nothing that the code does not, and may not have been said */
        buffer_addf(to, "%u.%u.%u ", (unsigned)status[0], (unsigned)status[1], (unsigned)status[2]);
}

void mail_report_line(struct buffer *to, const struct mail_report_recipient *recipient, struct view *text, bool codes)
{
    struct view line = view_trim(view_take_until(text, '\n'));
    if (codes)
        add_codes(to, recipient, !text->len);
    buffer_add_safe(to, line, buffer_room(to));
}

/* A reverse-path may have a source route in front; no header field has one. */
static struct view mailbox_of(struct view path)
{
    size_t colon = view_find(path, ':');
    return path.len && path.at[0] == '@' ? view_slice(path, colon + 1, path.len) : path;
}

static void add_clean_word(struct mail_fold *fold, struct view text)
{
    char memory[MAIL_REPORT_WORD_MAX];
    struct buffer word = BUFFER_OF(memory);
    while (text.len) {
        buffer_clear(&word);
        mail_report_clean(&word, view_take(&text, MAIL_REPORT_WORD_MAX));
        mail_fold_word(fold, buffer_view(&word));
    }
}

static void add_field(struct buffer *to, struct view name, struct view type, struct view value)
{
    struct mail_fold fold = mail_fold_start(to, name);
    if (type.len)
        mail_fold_word(&fold, type);
    add_clean_word(&fold, value);
    mail_fold_end(&fold);
}

static void add_date(struct buffer *to, struct view name, uint64_t wall_us)
{
    buffer_add(to, name);
    buffer_add(to, VIEW(": "));
    mail_date_add(to, wall_us, 0);
    buffer_add(to, VIEW("\r\n"));
}

/* ---- the boundary ---- */

static bool has(struct view text, struct view needle)
{
    for (size_t at; (at = view_find(text, needle.at[0])) < text.len; text = view_slice(text, at + 1, text.len))
        if (view_starts(view_slice(text, at, text.len), needle))
            return true;
    return false;
}

static bool is_used(const struct mail_report *report, struct view boundary)
{
    if (has(report->head, boundary) || has(report->envelope_id, boundary) || has(report->reverse_path, boundary))
        return true;
    for (size_t i = 0; i < report->count; i++) {
        const struct mail_report_recipient *r = &report->recipients[i];
        if (has(r->path, boundary) || has(r->original, boundary) || has(r->text, boundary) || has(r->remote, boundary))
            return true;
    }
    return false;
}

/* RFC 2046 section 5.1.1: it must not occur in any part. "=_" is in no quoted-printable text; the id nobody could know;
 * and whoever knew it would have to guess a number as well, of which the first one is taken that nobody guessed. */
static void choose_boundary(struct buffer *boundary, const struct mail_report *report)
{
    char id[MAIL_ID_TEXT_SIZE + 1];
    mail_id_text(&report->id, id);
    for (uint64_t number = 0; number == 0 || is_used(report, buffer_view(boundary)); number++) {
        buffer_clear(boundary);
        buffer_add(boundary, VIEW("=_"));
        buffer_add_text(boundary, id);
        buffer_add_char(boundary, '.');
        buffer_add_u64(boundary, number);
    }
}

static void begin_part(struct buffer *to, struct view boundary, const char *type, const char *encoding)
{
    buffer_add(to, VIEW("\r\n--"));
    buffer_add(to, boundary);
    buffer_add(to, VIEW("\r\nContent-Type: "));
    buffer_add_text(to, type);
    buffer_add(to, VIEW("\r\nContent-Transfer-Encoding: "));
    buffer_add_text(to, encoding);
    buffer_add(to, VIEW("\r\n\r\n"));
}

/* ---- header ---- */

/* msg-id of RFC 5322 section 3.6.4, as far as it must be right to be quoted in a field. */
static struct view take_message_id(struct view value)
{
    size_t from = view_find(value, '<'), to = view_find(value, '>') + 1;
    struct view id = view_slice(value, from, to);
    for (size_t i = 0; i < id.len; i++)
        if (!ascii_is_print(id.at[i]) || id.at[i] == ' ')
            return VIEW_NONE;
    return id.len > 2 && id.len <= MAIL_REPORT_WORD_MAX ? id : VIEW_NONE;
}

/* RFC 3834 section 3.1.4: In-Reply-To and References name the message that is answered. */
static void add_references(struct buffer *to, struct view head)
{
    struct mail_field field;
    while (mail_header_next(&head, &field)) {
        struct view id = mail_field_is(&field, "Message-ID") ? take_message_id(field.value) : VIEW_NONE;
        if (!id.len)
            continue;
        add_field(to, VIEW("In-Reply-To"), VIEW_NONE, id);
        add_field(to, VIEW("References"), VIEW_NONE, id);
        return;
    }
}

/* RFC 3464 section 2: From is somebody who is responsible; RFC 3834 section 3.1.7: no program answers it. */
static void add_header(struct buffer *to, const struct mail_report *report, struct view boundary)
{
    char id[MAIL_ID_TEXT_SIZE + 1];
    mail_id_text(&report->id, id);
    buffer_add(to, VIEW("From: Mail Delivery System <postmaster@"));
    mail_report_clean(to, report->hostname);
    buffer_add(to, VIEW(">\r\nTo: <"));
    mail_report_clean(to, mailbox_of(report->reverse_path));
    buffer_add(to, VIEW(">\r\nSubject: "));
    buffer_add(to, report->kind == MAIL_REPORT_FAILED ? VIEW("Your message could not be delivered")
                                                      : VIEW("Your message is delayed"));
    buffer_add(to, VIEW("\r\n"));
    add_date(to, VIEW("Date"), report->now_us);
    buffer_add(to, VIEW("Message-ID: <"));
    buffer_add_text(to, id);
    buffer_add_char(to, '@');
    mail_report_clean(to, report->hostname);
    buffer_add(to, VIEW(">\r\n"));
    add_references(to, report->head);
    buffer_add(to, VIEW("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
                        "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\""));
    buffer_add(to, boundary);
    buffer_add(to, VIEW("\"\r\n"));
}

/* ---- message/delivery-status ---- */

/* RFC 3461 section 9.2: an exact transcription of the reply. Words of our own are no reply of SMTP. */
static void add_diagnostic(struct buffer *to, const struct mail_report_recipient *recipient)
{
    struct mail_fold fold = mail_fold_start(to, VIEW("Diagnostic-Code"));
    struct view text = recipient->text;
    mail_fold_word(&fold, recipient->remote.len ? VIEW("smtp;") : VIEW("X-Gonets;"));
    do {
        char memory[MAIL_REPORT_LINE_MAX];
        struct buffer line = BUFFER_OF(memory);
        mail_report_line(&line, recipient, &text, true);
        for (struct view rest = buffer_view(&line), word; (word = view_take_word(&rest)).len;)
            add_clean_word(&fold, word);
        mail_fold_break(&fold);
    } while (text.len);
    mail_fold_end(&fold);
}

/* RFC 3464 section 2.3.4: the class is there although the reply had no enhanced code. */
static void add_status(struct buffer *to, const struct mail_report *report, const struct mail_report_recipient *r)
{
    unsigned class = r->status[0]                         ? r->status[0]
                     : r->code                            ? r->code / 100u
                     : report->kind == MAIL_REPORT_FAILED ? 5u
                                                          : 4u;
    buffer_addf(to, "Status: %u.%u.%u\r\n", class, (unsigned)r->status[1], (unsigned)r->status[2]);
}

/* Per-recipient fields, RFC 3464 section 2.3. */
static void add_recipient(struct buffer *to, const struct mail_report *report, const struct mail_report_recipient *r)
{
    char id[MAIL_ID_TEXT_SIZE + 1];
    struct view remote = r->remote;
    mail_id_text(&report->original, id);
    buffer_add(to, VIEW("\r\n"));
    if (view_has(r->original, ';'))
        add_field(to, VIEW("Original-Recipient"), VIEW_NONE, r->original);
    add_field(to, VIEW("Final-Recipient"), VIEW("rfc822;"), r->path);
    add_field(to, VIEW("Action"), VIEW_NONE, report->kind == MAIL_REPORT_FAILED ? VIEW("failed") : VIEW("delayed"));
    add_status(to, report, r);
    if (remote.len)
        add_field(to, VIEW("Remote-MTA"), VIEW("dns;"), view_take_word(&remote));
    if (r->code || r->text.len)
        add_diagnostic(to, r);
    if (r->last_attempt_us)
        add_date(to, VIEW("Last-Attempt-Date"), r->last_attempt_us);
    add_field(to, VIEW("Final-Log-ID"), VIEW_NONE, view_of(id));
    if (report->kind == MAIL_REPORT_DELAYED && r->will_retry_until_us)
        add_date(to, VIEW("Will-Retry-Until"), r->will_retry_until_us);
}

/* Per-message fields, RFC 3464 section 2.2. */
static void add_machine_part(struct buffer *to, const struct mail_report *report)
{
    if (report->envelope_id.len)
        add_field(to, VIEW("Original-Envelope-Id"), VIEW_NONE, report->envelope_id);
    add_field(to, VIEW("Reporting-MTA"), VIEW("dns;"), report->hostname);
    add_date(to, VIEW("Arrival-Date"), report->arrived_us);
    for (size_t i = 0; i < report->count; i++)
        add_recipient(to, report, &report->recipients[i]);
}

/* ---- the original ---- */

/* May it stand in a message of RFC 5322 as it is, whatever servers lie on its way? */
static bool is_plain(const struct mail_facts *facts)
{
    return !facts->eight_bit && !facts->nul && !facts->bare_cr_lf && facts->line_max <= MAIL_LINE_MAX;
}

static struct mail_facts facts_of(struct view text)
{
    struct mail_scan scan;
    mail_scan_start(&scan);
    mail_scan_feed(&scan, text);
    return *mail_scan_end(&scan);
}

/* The fields, without the empty line behind them. A line that the cut went through is left out. */
static struct view header_of(const struct mail_report *report)
{
    struct view rest = report->head;
    struct mail_field field;
    while (mail_header_next(&rest, &field))
        ;
    if (!rest.len && report->head_cut)
        return view_slice(report->head, 0, view_find_last(report->head, '\n') + 1);
    return view_slice(report->head, 0, report->head.len - rest.len);
}

/* RFC 6522 section 4: headers that are no legal 7-bit text go as quoted-printable. */
static void add_headers(struct buffer *to, struct view header, struct view boundary)
{
    struct mail_facts facts = facts_of(header);
    bool plain = is_plain(&facts);
    begin_part(to, boundary, "text/rfc822-headers", plain ? "7bit" : "quoted-printable");
    if (plain)
        buffer_add(to, header);
    else
        mail_quoted_printable(to, header);
}

static void add_original(struct buffer *to, const struct mail_report *report, struct view boundary)
{
    struct mail_facts facts = facts_of(report->head);
    if (report->head_cut || report->head.len > MAIL_REPORT_WHOLE_MAX || !is_plain(&facts)) {
        add_headers(to, header_of(report), boundary);
        return;
    }
    begin_part(to, boundary, "message/rfc822", "7bit");
    buffer_add(to, report->head);
}

/* ---- all of it ---- */

bool mail_report_write(struct buffer *to, const struct mail_report *report)
{
    char memory[BOUNDARY_SIZE];
    struct buffer boundary = BUFFER_OF(memory);
    assert(report->reverse_path.len && report->count);
    choose_boundary(&boundary, report);
    add_header(to, report, buffer_view(&boundary));
    begin_part(to, buffer_view(&boundary), "text/plain; charset=us-ascii", "7bit");
    mail_report_say(to, report);
    begin_part(to, buffer_view(&boundary), "message/delivery-status", "7bit");
    add_machine_part(to, report);
    add_original(to, report, buffer_view(&boundary));
    buffer_add(to, VIEW("\r\n--"));
    buffer_add(to, buffer_view(&boundary));
    buffer_add(to, VIEW("--\r\n"));
    return !to->full;
}

/* Two neighbouring lines of folded text are together longer than one may be, so there are at most so many. */
static size_t text_size(struct view text)
{
    size_t lines = 2 * text.len / 40 + 2;
    for (size_t i = 0; i < text.len; i++)
        lines += text.at[i] == '\n';
    return text.len + lines * MAIL_REPORT_LINE_MORE;
}

size_t mail_report_size(const struct mail_report *report)
{
    size_t size = FIXED_SIZE + 8 * report->hostname.len + 2 * report->reverse_path.len + 2 * report->envelope_id.len +
                  4 * report->head.len + MAIL_QUOTED_MORE;
    for (size_t i = 0; i < report->count; i++) {
        const struct mail_report_recipient *r = &report->recipients[i];
        size +=
            RECIPIENT_FIXED_SIZE + 4 * r->path.len + 4 * r->original.len + 4 * r->remote.len + 2 * text_size(r->text);
    }
    return size;
}

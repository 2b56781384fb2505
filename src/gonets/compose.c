#include "gonets/compose.h"

#include <stdlib.h>

#include "mail/date.h"
#include "mail/encode.h"
#include "mail/scan.h"

#define HEADER_MAX 2048 /* without recipients and subject */

static void add_field(struct buffer *to, struct view name, struct view value)
{
    struct mail_fold fold = mail_fold_start(to, name);
    mail_fold_word(&fold, value);
    mail_fold_end(&fold);
}

static void add_recipients(struct buffer *to, const struct gonets_letter *letter)
{
    struct mail_fold fold = mail_fold_start(to, VIEW("To"));
    for (size_t i = 0; i < letter->to_count; i++) {
        mail_fold_word(&fold, letter->to[i].path);
        if (i + 1 < letter->to_count)
            buffer_add_char(to, ',');
        fold.column++;
    }
    mail_fold_end(&fold);
}

static void add_date(struct buffer *to, const struct gonets_letter *letter)
{
    buffer_add(to, VIEW("Date: "));
    mail_date_add(to, letter->wall_us, letter->utc_offset_min);
    buffer_add(to, VIEW("\r\n"));
}

/* The sender's domain makes the id unique in the world (RFC 5322 section 3.6.4); a bare local name has none. */
static void add_message_id(struct buffer *to, const struct gonets_letter *letter)
{
    size_t at = view_find_last(letter->from, '@');
    struct view domain = view_slice(letter->from, at + 1, letter->from.len);
    buffer_add(to, VIEW("Message-ID: <"));
    buffer_add(to, letter->id);
    buffer_add_char(to, '@');
    buffer_add(to, domain.len ? domain : VIEW("localhost"));
    buffer_add(to, VIEW(">\r\n"));
}

static void add_header(struct buffer *to, const struct gonets_letter *letter, struct view encoding)
{
    add_field(to, VIEW("From"), letter->from);
    add_recipients(to, letter);
    if (letter->subject.at) {
        struct mail_fold fold = mail_fold_start(to, VIEW("Subject"));
        mail_text_words(&fold, letter->subject);
        mail_fold_end(&fold);
    }
    add_date(to, letter);
    add_message_id(to, letter);
    buffer_add(to, VIEW("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    add_field(to, VIEW("Content-Transfer-Encoding"), encoding);
    buffer_add(to, VIEW("\r\n"));
}

/* RFC 2045 sections 2.7 and 2.8: what may go as it is has short lines and neither NUL nor a CR of its own. */
static struct view encoding_for(struct view text, bool eight_bit)
{
    struct mail_scan scan;
    mail_scan_start(&scan);
    mail_scan_feed(&scan, text);
    const struct mail_facts *facts = mail_scan_end(&scan);
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] == '\r' && (i + 1 == text.len || text.at[i + 1] != '\n'))
            return VIEW("quoted-printable");
    if (facts->nul || facts->line_max > MAIL_LINE_MAX || (facts->eight_bit && !eight_bit))
        return VIEW("quoted-printable");
    return facts->eight_bit ? VIEW("8bit") : VIEW("7bit");
}

static size_t size_max(const struct gonets_letter *letter)
{
    size_t size = HEADER_MAX + 4 * letter->subject.len + 4 * letter->text.len + MAIL_QUOTED_MORE;
    for (size_t i = 0; i < letter->to_count; i++)
        size += letter->to[i].path.len + sizeof ",\r\n ";
    return size;
}

struct buffer gonets_compose(const struct gonets_letter *letter, bool eight_bit)
{
    struct buffer message = { .cap = size_max(letter) };
    struct view encoding = encoding_for(letter->text, eight_bit);
    message.at = malloc(message.cap);
    if (!message.at)
        return message;
    add_header(&message, letter, encoding);
    if (view_equal(encoding, VIEW("quoted-printable")))
        mail_quoted_printable(&message, letter->text);
    else
        buffer_add(&message, letter->text);
    return message;
}

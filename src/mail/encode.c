#include "mail/encode.h"

#include "base/base64.h"
#include "base/utf8.h"

/* ---- encoded words ---- */

#define WORD_BYTES_MAX 39 /* "Subject: " and the word they make are together within the 76 of RFC 2047 section 2 */
#define PLAIN_WORD_MAX 60

/* Blanks that would be lost or make an empty line when folded, and what could be taken for an encoded word. */
static bool is_plain(struct view text)
{
    size_t word = 0;
    if (text.len && (text.at[0] == ' ' || text.at[text.len - 1] == ' '))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        word = text.at[i] == ' ' ? 0 : word + 1;
        if (!ascii_is_print(text.at[i]) || word > PLAIN_WORD_MAX || (i && text.at[i] == ' ' && text.at[i - 1] == ' ') ||
            view_starts(view_slice(text, i, text.len), VIEW("=?")))
            return false;
    }
    return true;
}

/* Whole characters only (RFC 2047 section 5). */
static struct view take_characters(struct view *text)
{
    size_t len = 0;
    while (len < text->len) {
        size_t n = utf8_sequence(view_slice(*text, len, text->len));
        if (len + (n ? n : 1) > WORD_BYTES_MAX)
            break;
        len += n ? n : 1;
    }
    return view_take(text, len);
}

static void add_encoded(struct mail_fold *fold, struct view text)
{
    while (text.len) {
        char memory[80];
        struct buffer word = BUFFER_OF(memory);
        buffer_add(&word, VIEW("=?utf-8?B?"));
        base64_add(&word, take_characters(&text));
        buffer_add(&word, VIEW("?="));
        mail_fold_word(fold, buffer_view(&word));
        mail_fold_break(fold); /* one to a line */
    }
}

void mail_text_words(struct mail_fold *fold, struct view text)
{
    if (!is_plain(text)) {
        add_encoded(fold, text);
        return;
    }
    for (struct view word; (word = view_take_word(&text)).len;)
        mail_fold_word(fold, word);
}

/* ---- quoted-printable ---- */

#define QUOTED_LINE_MAX 75 /* with the "=" of a soft line end: 76 */

static void add_quoted(struct buffer *to, struct view token, size_t *column)
{
    if (*column + token.len > QUOTED_LINE_MAX) {
        buffer_add(to, VIEW("=\r\n"));
        *column = 0;
    }
    buffer_add(to, token);
    *column += token.len;
}

static void add_quoted_byte(struct buffer *to, char c, bool last, size_t *column)
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned char byte = (unsigned char)c;
    char token[3] = { '=', hex[byte >> 4], hex[byte & 15] };
    bool literal = (ascii_is_print(c) && c != '=' && c != ' ') || (ascii_is_blank(c) && !last);
    add_quoted(to, literal ? (struct view){ &c, 1 } : (struct view){ token, 3 }, column);
}

static void add_quoted_line(struct buffer *to, struct view line)
{
    size_t column = 0;
    for (size_t i = 0; i < line.len; i++)
        add_quoted_byte(to, line.at[i], i + 1 == line.len, &column);
    buffer_add(to, VIEW("\r\n"));
}

void mail_quoted_printable(struct buffer *to, struct view text)
{
    while (text.len) {
        struct view line = view_take_until(&text, '\n');
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        add_quoted_line(to, line);
    }
}

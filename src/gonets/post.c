#include "gonets/post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "gonets/gonets.h"
#include "mail/address_list.h"
#include "mail/date.h"
#include "mail/encode.h"
#include "mail/header.h"
#include "smtp/path.h"

#define ADDED_MAX 8192 /* bytes of the fields that are added: name, sender and host are short */
#define NAME_MAX  256  /* bytes of a name of a person; a longer one is left out */

/* ---- the parts of what came ---- */

struct view gonets_post_until_dot(struct view input)
{
    struct view rest = input;
    while (rest.len) {
        size_t at = input.len - rest.len;
        struct view line = view_take_until(&rest, '\n');
        if (view_equal(line, VIEW(".")) || view_equal(line, VIEW(".\r")))
            return view_slice(input, 0, at);
    }
    return input;
}

/* The line that parts messages in an mbox is no field. */
static struct view without_mbox_line(struct view input)
{
    if (view_starts(input, VIEW("From ")) || view_starts(input, VIEW(">From ")))
        view_take_until(&input, '\n');
    return input;
}

/* The header ends before the first line that cannot be in one, too. */
static bool next_field(struct view *rest, struct mail_field *field)
{
    struct view before = *rest;
    bool is_field = mail_header_next(rest, field) && field->name.len;
    if (!is_field)
        *rest = before;
    return is_field;
}

/* ---- recipients ---- */

static bool is_known(const struct gonets_recipients *recipients, struct view path)
{
    for (size_t i = 0; i < recipients->count; i++)
        if (view_equal(recipients->at[i].path, path))
            return true;
    return false;
}

static int add_recipient(struct gonets_recipients *recipients, struct view mailbox)
{
    if (is_known(recipients, mailbox))
        return GONETS_OK;
    struct view path = arena_copy(recipients->arena, mailbox);
    if (recipients->count == GONETS_POST_RECIPIENTS_MAX || !path.at) {
        fprintf(stderr, "sendmail: more than %d recipients; nothing was sent\n", GONETS_POST_RECIPIENTS_MAX);
        return GONETS_DATA;
    }
    recipients->at[recipients->count++] = (struct smtp_client_recipient){ .path = path };
    return GONETS_OK;
}

static int refuse(struct view word)
{
    char memory[NAME_MAX];
    struct buffer text = BUFFER_OF(memory);
    buffer_add_safe(&text, view_trim(word), sizeof memory);
    fprintf(stderr, "sendmail: no mail address: '%.*s'; nothing was sent\n", VIEW_FORMAT(buffer_view(&text)));
    return GONETS_DATA;
}

int gonets_recipients_add(struct gonets_recipients *recipients, struct view text)
{
    char memory[MAIL_ADDRESS_MAX];
    struct buffer mailbox = BUFFER_OF(memory);
    struct mail_address_list list = { .rest = text };
    enum mail_address_result result;
    int code = GONETS_OK;
    while (code == GONETS_OK && (result = mail_address_next(&list, &mailbox)) != MAIL_ADDRESS_END)
        code = result == MAIL_ADDRESS_BAD ? refuse(list.word) : add_recipient(recipients, buffer_view(&mailbox));
    return code;
}

static const char *const places[2][3] = { { "To", "Cc", "Bcc" }, { "Resent-To", "Resent-Cc", "Resent-Bcc" } };

static bool is_place(const struct mail_field *field, bool resent)
{
    for (size_t i = 0; i < 3; i++)
        if (mail_field_is(field, places[resent][i]))
            return true;
    return false;
}

static bool is_resent(struct view rest)
{
    struct mail_field field;
    while (next_field(&rest, &field))
        if (is_place(&field, true))
            return true;
    return false;
}

int gonets_recipients_extract(struct gonets_recipients *recipients, struct view input)
{
    struct view rest = without_mbox_line(input);
    bool resent = is_resent(rest);
    struct mail_field field;
    int code = GONETS_OK;
    while (code == GONETS_OK && next_field(&rest, &field))
        if (is_place(&field, resent))
            code = gonets_recipients_add(recipients, field.value);
    return code;
}

/* ---- what is missing ---- */

struct missing {
    bool from, date, message_id;
};

static struct missing find_missing(struct view rest)
{
    struct missing missing = { true, true, true };
    struct mail_field field;
    while (next_field(&rest, &field)) {
        missing.from &= !mail_field_is(&field, "From");
        missing.date &= !mail_field_is(&field, "Date");
        missing.message_id &= !mail_field_is(&field, "Message-ID");
    }
    return missing;
}

static bool is_ascii(struct view text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_print(text.at[i]))
            return false;
    return true;
}

/* display-name (RFC 5322 section 3.4): a quoted string, or encoded words. One that can be neither is left out. */
static void add_name(struct mail_fold *fold, struct view name)
{
    char memory[2 * NAME_MAX + 2];
    struct buffer quoted = BUFFER_OF(memory);
    if (!name.len || name.len > NAME_MAX || !utf8_valid(name))
        return;
    if (!is_ascii(name)) {
        mail_text_words(fold, name);
        return;
    }
    buffer_add_char(&quoted, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] == '"' || name.at[i] == '\\')
            buffer_add_char(&quoted, '\\');
        buffer_add_char(&quoted, name.at[i]);
    }
    buffer_add_char(&quoted, '"');
    mail_fold_word(fold, buffer_view(&quoted));
}

static void add_from(struct buffer *to, const struct gonets_post *post)
{
    char memory[MAIL_ADDRESS_MAX];
    struct buffer address = BUFFER_OF(memory);
    struct mail_fold fold = mail_fold_start(to, VIEW("From"));
    add_name(&fold, post->full_name);
    buffer_add_char(&address, '<');
    buffer_add(&address, post->sender);
    if (!view_has(post->sender, '@')) {
        buffer_add_char(&address, '@');
        buffer_add(&address, post->host);
    }
    buffer_add_char(&address, '>');
    mail_fold_word(&fold, buffer_view(&address));
    mail_fold_end(&fold);
}

static void add_missing(struct buffer *to, const struct gonets_post *post, struct missing missing)
{
    if (missing.from)
        add_from(to, post);
    if (missing.date) {
        buffer_add(to, VIEW("Date: "));
        mail_date_add(to, post->wall_us, post->utc_offset_min);
        buffer_add(to, VIEW("\r\n"));
    }
    if (missing.message_id) {
        buffer_add(to, VIEW("Message-ID: <"));
        buffer_add(to, post->id);
        buffer_add_char(to, '@');
        buffer_add(to, post->host);
        buffer_add(to, VIEW(">\r\n"));
    }
}

struct buffer gonets_post_write(const struct gonets_post *post, struct view input)
{
    struct buffer message = { .cap = input.len + ADDED_MAX };
    struct view rest = without_mbox_line(input);
    struct mail_field field = { 0 };
    message.at = malloc(message.cap);
    if (!message.at)
        return message;
    add_missing(&message, post, find_missing(rest));
    while (next_field(&rest, &field)) {
        if (!mail_field_is(&field, "Bcc") && !mail_field_is(&field, "Resent-Bcc"))
            buffer_add(&message, field.whole);
        if (!view_has(view_slice(field.whole, field.whole.len - 1, field.whole.len), '\n'))
            buffer_add(&message, VIEW("\r\n"));
    }
    if (!view_starts(rest, VIEW("\n")) && !view_starts(rest, VIEW("\r\n")))
        buffer_add(&message, VIEW("\r\n")); /* it had none, or ended too early */
    buffer_add(&message, rest);
    return message;
}

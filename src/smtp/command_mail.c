/* MAIL and RCPT (RFC 5321 sections 4.1.1.2 and 4.1.1.3) and their parameters (4.1.2; RFC 1870, RFC 6152). */
#include "smtp/command.h"

#include <string.h>

static const struct smtp_reply parameter_malformed = SMTP_REPLY_INIT(501, 5, 5, 4, "malformed parameter");
static const struct smtp_reply parameter_unknown = SMTP_REPLY_INIT(555, 5, 5, 4, "parameter not known here");
static const struct smtp_reply parameter_twice = SMTP_REPLY_INIT(501, 5, 5, 4, "parameter given twice");
static const struct smtp_reply size_malformed = SMTP_REPLY_INIT(501, 5, 5, 4, "SIZE wants a number");
static const struct smtp_reply size_too_large = SMTP_REPLY_INIT(552, 5, 3, 4, "message larger than is taken here");
static const struct smtp_reply body_unknown = SMTP_REPLY_INIT(501, 5, 5, 4, "BODY is 7BIT or 8BITMIME here");

/* size-value ::= 1*20DIGIT (RFC 1870 section 6.1). One that no number can hold is too large in any case (H20). */
static const struct smtp_reply *parse_size(struct smtp_server *server, struct view value)
{
    if (server->mail.has_size)
        return &parameter_twice;
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_digit(value.at[i]))
            return &size_malformed;
    if (value.len == 0 || value.len > 20)
        return &size_malformed;
    uint64_t max = server->profile->size_max ? server->profile->size_max : UINT64_MAX;
    server->mail.has_size = true;
    return view_to_u64(value, max, &server->mail.size) ? NULL : &size_too_large;
}

static const struct smtp_reply *parse_body(struct smtp_server *server, struct view value)
{
    if (server->mail.body != SMTP_BODY_UNSAID)
        return &parameter_twice;
    if (view_equal_nocase(value, VIEW("7BIT")))
        server->mail.body = SMTP_BODY_7BIT;
    else if (view_equal_nocase(value, VIEW("8BITMIME")))
        server->mail.body = SMTP_BODY_8BITMIME;
    else
        return &body_unknown;
    return NULL;
}

struct parameter {
    const char *keyword;
    const struct smtp_reply *(*parse)(struct smtp_server *server, struct view value); /* NULL: taken */
};

static const struct parameter mail_parameters[] = {
    { "SIZE", parse_size },
    { "BODY", parse_body },
};

/* esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") */
static bool keyword_valid(struct view keyword)
{
    for (size_t i = 0; i < keyword.len; i++)
        if (!ascii_is_alnum(keyword.at[i]) && (i == 0 || keyword.at[i] != '-'))
            return false;
    return keyword.len;
}

/* esmtp-value = 1*(%d33-60 / %d62-126); a missing "=" and an empty value are for the parameter's own rule. */
static bool value_valid(struct view value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_print(value.at[i]) || value.at[i] == ' ' || value.at[i] == '=')
            return false;
    return true;
}

static const struct smtp_reply *parse_parameter(struct smtp_server *server, struct view word,
                                                const struct parameter *known, size_t count)
{
    bool assigned = view_has(word, '=');
    struct view keyword = view_take_until(&word, '=');
    if (!keyword_valid(keyword) || !value_valid(word) || (assigned && !word.len))
        return &parameter_malformed;
    for (size_t i = 0; i < count; i++)
        if (view_equal_nocase(keyword, view_of(known[i].keyword)))
            return known[i].parse(server, word);
    return &parameter_unknown;
}

/* Up to the end of the line; NULL: all taken. */
static const struct smtp_reply *parse_parameters(struct smtp_server *server, struct view rest,
                                                 const struct parameter *known, size_t count)
{
    const struct smtp_reply *fault = NULL;
    for (struct view word; !fault && (word = view_take_word(&rest)).len;)
        fault = parse_parameter(server, word, known, count);
    return fault;
}

static void refuse_path(struct smtp_server *server, enum smtp_path_result result, bool sender, struct buffer *out)
{
    static const char *const texts[] = {
        [SMTP_PATH_SYNTAX] = "malformed address",
        [SMTP_PATH_TOO_LONG] = "address too long",
        [SMTP_PATH_NOT_ASCII] = "only ASCII addresses are taken here",
        [SMTP_PATH_BAD_BYTE] = "control character in the address",
    };
    struct smtp_reply reply = { 501, { 5, 1, sender ? 7 : 3 }, view_of(texts[result]), false };
    if (result == SMTP_PATH_NOT_ASCII) { /* RFC 6531 section 3.5 */
        reply.code = 553;
        reply.status = (struct smtp_status){ 5, 6, 7 };
    }
    smtp_server_fault(server, &reply, out);
}

/* "FROM:" or "TO:" and the path into server->path; *arguments is then what follows. */
static bool take_path(struct smtp_server *server, struct view *arguments, bool sender, struct buffer *out)
{
    struct view keyword = sender ? VIEW("FROM:") : VIEW("TO:");
    unsigned flags = SMTP_PATH_BARE | (sender ? SMTP_PATH_NULL : 0);
    if (!view_starts_nocase(*arguments, keyword)) {
        smtp_server_fault(server,
                          sender ? &SMTP_REPLY(501, 5, 5, 2, "syntax: MAIL FROM:<address>")
                                 : &SMTP_REPLY(501, 5, 5, 2, "syntax: RCPT TO:<address>"),
                          out);
        return false;
    }
    view_take(arguments, keyword.len);
    if (server->profile->lenient)
        flags |= SMTP_PATH_LENIENT;
    enum smtp_path_result result = smtp_path_parse(arguments, flags, &server->path);
    if (result != SMTP_PATH_OK)
        refuse_path(server, result, sender, out);
    return result == SMTP_PATH_OK;
}

void smtp_command_mail(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    if (!take_path(server, &arguments, true, out))
        return;
    const struct smtp_reply *fault =
        parse_parameters(server, arguments, mail_parameters, sizeof mail_parameters / sizeof *mail_parameters);
    if (!fault) {
        smtp_server_ask(server, SMTP_SERVER_MAIL);
        return;
    }
    server->mail = (struct smtp_mail_parameters){ 0 };
    if (fault == &size_too_large)
        smtp_server_say(server, fault, out);
    else
        smtp_server_fault(server, fault, out);
}

void smtp_command_rcpt(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    if (!take_path(server, &arguments, false, out))
        return;
    const struct smtp_reply *fault = parse_parameters(server, arguments, NULL, 0);
    if (fault)
        smtp_server_fault(server, fault, out);
    else if (server->recipient_count >= server->profile->recipients_max) /* section 4.5.3.1.10 */
        smtp_server_say(
            server, &SMTP_REPLY(452, 4, 5, 3, "too many recipients: send the others in a message of their own"), out);
    else
        smtp_server_ask(server, SMTP_SERVER_RCPT);
}

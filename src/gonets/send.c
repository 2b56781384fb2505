#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mail_id.h"
#include "base/utf8.h"
#include "gonets/compose.h"
#include "gonets/gonets.h"
#include "gonets/input.h"
#include "gonets/submit.h"

#define COMMAND        "gonets send"
#define RECIPIENTS_MAX 1000

static const char help[] =
    "usage: gonets send --from ADDRESS --to ADDRESS ... [--server HOST[:PORT]]\n"
    "                   [--subject SUBJECT] [--text TEXT]\n\n"
    "Gives a message to a server by SMTP. With --subject or --text a small message is made; --subject alone takes its\n"
    "text from standard input. With neither, standard input is a whole message and goes as it is.\n\n"
    "  --from ADDRESS      the sender\n"
    "  --to ADDRESS        a recipient; once for each\n"
    "  --subject SUBJECT   subject of the message that is made\n"
    "  --text TEXT         its text\n"
    "  --server HOST:PORT  a name or an address (default localhost:25)\n";

struct options {
    struct view from, server, subject, text;
    struct smtp_client_recipient *to;
    size_t to_count;
};

struct send {
    struct options options;
    struct view input;      /* standard input */
    struct buffer composed; /* from malloc */
};

/* ---- options ---- */

static bool is_address(struct view text)
{
    struct smtp_path path;
    return smtp_mailbox_parse(text, SMTP_PATH_BARE, &path) == SMTP_PATH_OK;
}

static int take_recipient(struct options *options, const char *value)
{
    if (!is_address(view_of(value)))
        return gonets_wrong("send", "no mail address", value);
    if (options->to_count == RECIPIENTS_MAX)
        return gonets_wrong("send", "too many recipients, the last one was", value);
    options->to[options->to_count++].path = view_of(value);
    return GONETS_OK;
}

static int take_option(struct options *options, const char *name, const char *value)
{
    if (strcmp(name, "--to") == 0)
        return take_recipient(options, value);
    struct view *place = strcmp(name, "--from") == 0      ? &options->from
                         : strcmp(name, "--server") == 0  ? &options->server
                         : strcmp(name, "--subject") == 0 ? &options->subject
                         : strcmp(name, "--text") == 0    ? &options->text
                                                          : NULL;
    if (!place)
        return gonets_wrong("send", "unknown option", name);
    *place = view_of(value);
    return GONETS_OK;
}

static bool has_control(struct view text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < 32 || text.at[i] == 127)
            return true;
    return false;
}

static bool is_made(const struct options *options)
{
    return options->subject.at || options->text.at;
}

/* Everything that goes into a command or a field is checked before anything happens (H116). */
static int check_options(const struct options *options)
{
    if (!options->from.at || options->to_count == 0)
        return gonets_wrong("send", "an address is missing:", options->from.at ? "--to" : "--from");
    if (options->from.len && !is_address(options->from))
        return gonets_wrong("send", "no mail address", options->from.at);
    if (!options->from.len && is_made(options))
        return gonets_wrong("send", "a message that is made needs a sender:", "--from");
    if (!gonets_server_valid(options->server))
        return gonets_wrong("send", "no HOST or HOST:PORT", options->server.at);
    if (has_control(options->subject))
        return gonets_wrong("send", "a line end or another control character in", "--subject");
    if (!utf8_valid(options->subject) || !utf8_valid(options->text))
        return gonets_wrong("send", "no UTF-8 in", utf8_valid(options->subject) ? "--text" : "--subject");
    return GONETS_OK;
}

static int parse_options(struct options *options, int argc, char **argv)
{
    options->server = VIEW("localhost:25");
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return gonets_wrong("send", "unknown option, or its value is missing:", argv[i]);
        int code = take_option(options, argv[i], argv[i + 1]);
        if (code != GONETS_OK)
            return code;
    }
    return check_options(options);
}

/* ---- the content ---- */

static int compose(struct send *send, struct os *os, bool eight_bit)
{
    struct mail_id_maker maker = { 0 };
    char id[MAIL_ID_TEXT_SIZE + 1];
    uint64_t random, wall_us = os_wall_us(os);
    if (!os_random(os, &random, sizeof random))
        return GONETS_OS;
    struct mail_id number = mail_id_make(&maker, wall_us, random);
    mail_id_text(&number, id);
    const struct options *options = &send->options;
    struct gonets_letter letter = { .from = options->from,
                                    .to = options->to,
                                    .to_count = options->to_count,
                                    .subject = options->subject,
                                    .text = options->text.at ? options->text : send->input,
                                    .wall_us = wall_us,
                                    .utc_offset_min = os_utc_offset_min(os, wall_us),
                                    .id = view_of(id) };
    send->composed = gonets_compose(&letter, eight_bit);
    if (send->composed.at)
        return GONETS_OK;
    fputs("gonets send: out of memory\n", stderr);
    return GONETS_OS;
}

static int give_content(void *ctx, struct os *os, const struct smtp_client *client, struct smtp_client_message *message,
                        struct view *content)
{
    struct send *send = ctx;
    int code = is_made(&send->options) ? compose(send, os, client->eight_bit) : GONETS_OK;
    *content = is_made(&send->options) ? buffer_view(&send->composed) : send->input;
    if (code == GONETS_OK)
        code = gonets_input_measure(COMMAND, *content, client, message);
    return code;
}

/* ---- the command ---- */

static int get_input(struct send *send)
{
    bool made = is_made(&send->options);
    if (send->options.text.at)
        return GONETS_OK;
    int code = gonets_input_read(COMMAND, &send->input);
    if (code == GONETS_OK && !made && send->input.len == 0)
        return gonets_input_failed(COMMAND, "there is no message", GONETS_NO_INPUT);
    if (code == GONETS_OK && made && !utf8_valid(send->input))
        return gonets_input_failed(COMMAND, "the text is not UTF-8", GONETS_DATA);
    return code;
}

static int run(struct send *send, int argc, char **argv)
{
    int code = parse_options(&send->options, argc, argv);
    if (code == GONETS_OK)
        code = get_input(send);
    if (code != GONETS_OK)
        return code;
    struct gonets_submission submission = { .command = COMMAND,
                                            .server = send->options.server,
                                            .message = { .reverse_path = send->options.from,
                                                         .recipients = send->options.to,
                                                         .recipient_count = send->options.to_count },
                                            .content = give_content,
                                            .ctx = send };
    return gonets_submit(&submission);
}

int gonets_send(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return GONETS_OK;
    }
    struct send send = { .options.to = calloc(RECIPIENTS_MAX, sizeof *send.options.to) };
    int code = send.options.to ? run(&send, argc, argv) : GONETS_OS;
    free(send.options.to);
    free((void *)(uintptr_t)send.input.at);
    free(send.composed.at);
    return code;
}

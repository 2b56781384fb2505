/* Called as sendmail: takes a message from a program as sendmail(8) does, and gives it to the server by SMTP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mail_id.h"
#include "gonets/gonets.h"
#include "gonets/input.h"
#include "gonets/local_server.h"
#include "gonets/post.h"
#include "gonets/reach.h"
#include "gonets/submit.h"
#include "mail/address_list.h"
#include "os/linux/os_linux.h"

#define COMMAND   "sendmail"
#define VARIABLE  "GONETS_SERVER"
#define ARENA_MAX ((size_t)4 << 20) /* of addresses */

static const char help[] = "usage: sendmail [-t] [-i] [-f ADDRESS] [-F NAME] [-v] [-S HOST:PORT] [ADDRESS ...]\n"
                           "       sendmail -bp\n\n"
                           "Takes a message from standard input and gives it to the mail server of this machine.\n"
                           "See gonets-sendmail(1).\n\n"
                           "  -t           the recipients are those of To, Cc and Bcc too\n"
                           "  -i           a line with a single dot does not end the message\n"
                           "  -f ADDRESS   the sender; reports of failure go there ('' for none)\n"
                           "  -F NAME      name of the sender, for From when that is missing\n"
                           "  -v           say what the server answered\n"
                           "  -S HOST:PORT the server; else $" VARIABLE ", else where gonets.conf listens\n"
                           "  -bp          lists the queue, like mailq\n";

struct options {
    const char *config, *server, *sender, *full_name;
    bool extract, whole, verbose;
    char mode; /* of -b; 0: send */
    int first; /* of the recipients in argv */
};

struct sendmail {
    struct options options;
    struct gonets_local_server local;
    struct os_linux_invoker invoker;
    struct gonets_recipients recipients;
    struct arena arena;
    char sender_memory[MAIL_ADDRESS_MAX];
    struct view sender; /* empty: <> */
    struct view input;  /* from malloc, memory */
    char *memory;
    struct buffer message; /* from malloc */
};

/* ---- options ---- */

/* With a value behind it, in the same word or the next. Those of sendmail(8) that mean nothing here are taken and not
 * used: programs give them. */
#define WITH_VALUE "BCFLNORSVXbefhopr"
/* A value may follow in the same word. */
#define MAYBE_VALUE "dq"
#define ALONE       "AGUintv"

static int wrong(const char *what, const char *word)
{
    fprintf(stderr, COMMAND ": %s '", what);
    for (; *word; word++) /* it may be somebody else's, in a script */
        fputc((unsigned char)*word < 32 || *word == 127 ? '?' : *word, stderr);
    fputs("'; see sendmail -h\n", stderr);
    return GONETS_USAGE;
}

static void take_option(struct options *options, char letter, const char *value)
{
    switch (letter) {
    case 't':
        options->extract = true;
        return;
    case 'i':
        options->whole = true;
        return;
    case 'v':
        options->verbose = true;
        return;
    case 'o':
        options->whole |= strcmp(value, "i") == 0;
        return;
    case 'O':
        options->whole |= strcmp(value, "IgnoreDots") == 0 || strcmp(value, "IgnoreDots=true") == 0;
        return;
    case 'f':
    case 'r':
        options->sender = value;
        return;
    case 'F':
        options->full_name = value;
        return;
    case 'S':
        options->server = value;
        return;
    case 'C':
        options->config = value;
        return;
    case 'b':
        options->mode = value[0];
        return;
    case 'q':
        options->mode = 'q';
        return;
    default:
        return;
    }
}

/* The letters of one word, of which the last may want a value. */
static int take_letters(struct options *options, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    for (const char *letter = word + 1; *letter; letter++) {
        if (strchr(ALONE, *letter)) {
            take_option(options, *letter, "");
        } else if (strchr(MAYBE_VALUE, *letter)) {
            take_option(options, *letter, letter + 1);
            return GONETS_OK;
        } else if (strchr(WITH_VALUE, *letter)) {
            const char *value = letter[1] ? letter + 1 : ++*at < argc ? argv[*at] : NULL;
            if (!value)
                return wrong("a value is missing after", word);
            take_option(options, *letter, value);
            return GONETS_OK;
        } else {
            return wrong("unknown option", word);
        }
    }
    return GONETS_OK;
}

static int parse_options(struct options *options, int argc, char **argv)
{
    int at = 1, code = GONETS_OK;
    for (; at < argc && argv[at][0] == '-' && argv[at][1] && code == GONETS_OK; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        code = take_letters(options, argc, argv, &at);
    }
    options->first = at;
    return code;
}

/* ---- who, to whom, where ---- */

/* One mailbox, or none for the null reverse-path. */
static int find_sender(struct sendmail *s)
{
    struct buffer mailbox = BUFFER_OF(s->sender_memory);
    const char *text = s->options.sender ? s->options.sender : s->invoker.user;
    struct mail_address_list list = { .rest = view_of(text) };
    if (s->options.sender && (!*text || strcmp(text, "<>") == 0))
        return GONETS_OK;
    if (mail_address_next(&list, &mailbox) != MAIL_ADDRESS_ONE || view_trim(list.rest).len)
        return wrong("no address of a sender:", text);
    s->sender = buffer_view(&mailbox);
    return GONETS_OK;
}

static int find_recipients(struct sendmail *s, int argc, char **argv)
{
    int code = GONETS_OK;
    for (int i = s->options.first; i < argc && code == GONETS_OK; i++)
        code = gonets_recipients_add(&s->recipients, view_of(argv[i]));
    if (code == GONETS_OK && s->options.extract)
        code = gonets_recipients_extract(&s->recipients, s->input);
    if (code != GONETS_OK || s->recipients.count)
        return code;
    fputs(s->options.extract ? COMMAND ": no recipient in To, Cc or Bcc; nothing was sent\n"
                             : COMMAND ": no recipient; name one, or say -t; nothing was sent\n",
          stderr);
    return GONETS_USAGE;
}

static int find_server(struct sendmail *s, struct os *os)
{
    const char *variable = os_linux_variable(VARIABLE);
    gonets_local_server(&s->local, os, s->options.config ? s->options.config : GONETS_CONFIG_FILE);
    if (!s->options.server)
        s->options.server = variable && *variable ? variable : s->local.server;
    return gonets_server_valid(view_of(s->options.server)) ? GONETS_OK
                                                           : wrong("no HOST or HOST:PORT:", s->options.server);
}

/* ---- the message ---- */

static struct view hostname_of(const struct sendmail *s)
{
    const char *names[] = { s->local.hostname, s->invoker.host };
    for (size_t i = 0; i < 2; i++)
        if (smtp_domain_valid(view_of(names[i]), false))
            return view_of(names[i]);
    return VIEW("localhost");
}

static int write_message(struct sendmail *s, struct os *os)
{
    struct mail_id_maker maker = { 0 };
    char id[MAIL_ID_TEXT_SIZE + 1];
    uint64_t random, wall_us = os_wall_us(os);
    if (!os_random(os, &random, sizeof random))
        return GONETS_OS;
    struct mail_id number = mail_id_make(&maker, wall_us, random);
    mail_id_text(&number, id);
    struct gonets_post post = { .sender = s->sender.len ? s->sender : view_of(s->invoker.user),
                                .full_name =
                                    view_of(s->options.full_name ? s->options.full_name : s->invoker.full_name),
                                .host = hostname_of(s),
                                .wall_us = wall_us,
                                .utc_offset_min = os_utc_offset_min(os, wall_us),
                                .id = view_of(id) };
    s->message = gonets_post_write(&post, s->input);
    if (s->message.at)
        return GONETS_OK;
    fputs(COMMAND ": out of memory; nothing was sent\n", stderr);
    return GONETS_OS;
}

static int give_content(void *ctx, struct os *os, const struct smtp_client *client, struct smtp_client_message *message,
                        struct view *content)
{
    struct sendmail *s = ctx;
    (void)os;
    *content = buffer_view(&s->message);
    return gonets_input_measure(COMMAND, *content, client, message);
}

/* ---- the command ---- */

/* All that must be known before the server is spoken to. */
static int prepare(struct sendmail *s, int argc, char **argv)
{
    struct os *os = os_linux_new(NULL, 0);
    if (!os || !os_linux_invoker(&s->invoker)) {
        if (os)
            os_linux_free(os);
        fputs(COMMAND ": out of memory or file descriptors; nothing was sent\n", stderr);
        return GONETS_OS;
    }
    int code = find_sender(s);
    if (code == GONETS_OK)
        code = find_server(s, os);
    if (code == GONETS_OK)
        code = gonets_input_read(COMMAND, &s->input);
    s->memory = (char *)(uintptr_t)s->input.at;
    if (!s->options.whole)
        s->input = gonets_post_until_dot(s->input);
    if (code == GONETS_OK)
        code = find_recipients(s, argc, argv);
    if (code == GONETS_OK)
        code = write_message(s, os);
    os_linux_free(os);
    return code;
}

static int send_message(struct sendmail *s, int argc, char **argv)
{
    arena_init(&s->arena, 4096, ARENA_MAX);
    s->recipients.arena = &s->arena;
    int code = prepare(s, argc, argv);
    if (code != GONETS_OK)
        return code;
    struct gonets_submission submission = { .command = COMMAND,
                                            .quiet = !s->options.verbose,
                                            .server = view_of(s->options.server),
                                            .message = { .reverse_path = s->sender,
                                                         .recipients = s->recipients.at,
                                                         .recipient_count = s->recipients.count },
                                            .content = give_content,
                                            .ctx = s };
    return gonets_submit(&submission);
}

static int list_queue(const struct sendmail *s, char **argv)
{
    char option[] = "-c";
    char *words[] = { argv[0], option, (char *)(uintptr_t)s->options.config, NULL };
    return gonets_mailq(s->options.config ? 3 : 1, words);
}

static int act(struct sendmail *s, int argc, char **argv)
{
    switch (s->options.mode) {
    case '\0':
    case 'm':
        return send_message(s, argc, argv);
    case 'p':
        return list_queue(s, argv);
    case 'q': /* the server sees to its queue, */
    case 'i': /* and reads the tables of aliases itself */
        return GONETS_OK;
    default:
        return wrong("not done here, the server is gonets serve:", "-b");
    }
}

int gonets_sendmail(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(help, stdout);
        return GONETS_OK;
    }
    struct sendmail *s = calloc(1, sizeof *s);
    int code = s ? parse_options(&s->options, argc, argv) : GONETS_OS;
    if (code == GONETS_OK)
        code = act(s, argc, argv);
    if (s) {
        free(s->memory);
        free(s->message.at);
        arena_reset(&s->arena);
    }
    free(s);
    return code;
}

/* Aliases are read from the configuration's tables; there is no other form of them to be made anew. */
int gonets_newaliases(int argc, char **argv)
{
    (void)argc, (void)argv;
    return GONETS_OK;
}

#include "smtp/command.h"

#define ANYWHERE (SMTP_STAGE_NEW | SMTP_STAGE_READY | SMTP_STAGE_MAIL | SMTP_STAGE_RCPT)

/* RFC 5321 section 4.1.4: the order of commands. */
const struct smtp_command smtp_commands[] = {
    { "HELO", ANYWHERE, true, smtp_command_helo, "HELO <host name>: opens a session without extensions." },
    { "EHLO", ANYWHERE, true, smtp_command_ehlo,
      "EHLO <host name>: opens a session; the reply lists the extensions that can be used." },
    { "MAIL", SMTP_STAGE_READY, true, smtp_command_mail,
      "MAIL FROM:<sender> [SIZE=<bytes>] [BODY=7BIT|8BITMIME]: begins a message; <> is the null sender." },
    { "RCPT", SMTP_STAGE_MAIL | SMTP_STAGE_RCPT, true, smtp_command_rcpt,
      "RCPT TO:<recipient>: one recipient of the message; once for each." },
    { "DATA", SMTP_STAGE_RCPT, false, smtp_command_data,
      "DATA: then the message, lines that begin with a dot with one more; a line of one dot ends it." },
    { "RSET", ANYWHERE, false, smtp_command_rset, "RSET: forgets the sender and the recipients given so far." },
    { "NOOP", ANYWHERE, false, smtp_command_noop, "NOOP: does nothing." },
    { "QUIT", ANYWHERE | SMTP_STAGE_REFUSED, false, smtp_command_quit, "QUIT: ends the session." },
    { "VRFY", ANYWHERE, false, smtp_command_vrfy, "VRFY <recipient>: tells nothing; RCPT decides." },
    { "EXPN", ANYWHERE, false, smtp_command_expn, "EXPN <list>: not given here." },
    { "HELP", ANYWHERE, false, smtp_command_help, "HELP [<topic>]: this text." },
    { "ETRN", ANYWHERE, false, smtp_command_absent, "ETRN <domain>: not given here." },
    { "TURN", ANYWHERE, false, smtp_command_absent, "TURN: not given here." },
};
const size_t smtp_command_count = sizeof smtp_commands / sizeof *smtp_commands;

const struct smtp_command *smtp_command_find(struct view name)
{
    for (size_t i = 0; i < smtp_command_count; i++)
        if (view_equal_nocase(view_of(smtp_commands[i].name), name))
            return &smtp_commands[i];
    return NULL;
}

/* RFC 5321 section 4.3.2: commands without arguments are refused with some. */
static bool refuse_arguments(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    if (arguments.len)
        smtp_server_fault(server, &SMTP_REPLY(501, 5, 5, 4, "this command takes no argument"), out);
    return arguments.len;
}

static bool refuse_no_argument(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    if (!arguments.len)
        smtp_server_fault(server, &SMTP_REPLY(501, 5, 5, 4, "this command needs an argument"), out);
    return !arguments.len;
}

void smtp_command_data(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    if (!refuse_arguments(server, arguments, out))
        smtp_server_ask(server, SMTP_SERVER_DATA);
}

void smtp_command_rset(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    if (refuse_arguments(server, arguments, out))
        return;
    smtp_server_forget(server);
    smtp_server_say(server, &SMTP_REPLY(250, 2, 0, 0, "forgotten"), out);
}

/* RFC 5321 section 4.1.1.9: an argument is ignored. */
void smtp_command_noop(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    (void)arguments;
    smtp_server_say(server, &SMTP_REPLY(250, 2, 0, 0, "ok"), out);
}

void smtp_command_quit(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    if (refuse_arguments(server, arguments, out))
        return;
    struct smtp_reply reply = SMTP_REPLY(221, 2, 0, 0, "closing the connection");
    reply.close = true;
    server->quit = true;
    smtp_server_say_host(server, reply, out);
}

/* RFC 5321 section 7.3: the same for every name, so that it tells nothing of who exists. */
void smtp_command_vrfy(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    if (!refuse_no_argument(server, arguments, out))
        smtp_server_say(server, &SMTP_REPLY(252, 2, 5, 2, "not told here, but try RCPT"), out);
}

void smtp_command_expn(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    (void)arguments;
    smtp_server_say(server, &SMTP_REPLY(502, 5, 5, 1, "lists are not expanded here"), out);
}

void smtp_command_absent(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    (void)arguments;
    smtp_server_say(server, &SMTP_REPLY(502, 5, 5, 1, "this command is not given here"), out);
}

static void add_topics(struct buffer *text)
{
    buffer_add_text(text, "Topics:");
    for (size_t i = 0; i < smtp_command_count; i++) {
        buffer_add_text(text, i % 8 == 0 ? "\n    " : " ");
        buffer_add_text(text, smtp_commands[i].name);
    }
    buffer_add_text(text, "\nFor more on one of them: HELP <topic>\n");
}

void smtp_command_help(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    char memory[2048];
    struct buffer text = BUFFER_OF(memory);
    const struct smtp_command *topic = smtp_command_find(arguments);
    struct view hostname = server->profile->hostname;
    if (arguments.len && !topic) {
        smtp_server_say(server, &SMTP_REPLY(504, 5, 5, 4, "no such topic: HELP alone lists them"), out);
        return;
    }
    if (topic) {
        buffer_add_text(&text, topic->help);
        buffer_add_char(&text, '\n');
    } else {
        buffer_addf(&text, "This is Gonets at %.*s\n", VIEW_FORMAT(hostname));
        add_topics(&text);
        buffer_addf(&text, "To reach a human: postmaster@%.*s\n", VIEW_FORMAT(hostname));
    }
    buffer_add_text(&text, "End of HELP info");
    struct smtp_reply reply = { 214, { 2, 0, 0 }, buffer_view(&text), false };
    smtp_server_say(server, &reply, out);
}

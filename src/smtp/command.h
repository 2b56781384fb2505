/* Inside the server machine: the table of commands, and what their handlers may do to it. Not for its users. */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "smtp/server.h"

/* Where a session can stand. A command says by these in which places it is allowed. */
enum smtp_stage {
    SMTP_STAGE_REFUSED = 1, /* greeted with 554 */
    SMTP_STAGE_NEW = 2,     /* before HELO or EHLO */
    SMTP_STAGE_READY = 4,   /* no transaction */
    SMTP_STAGE_MAIL = 8,    /* a transaction without recipients */
    SMTP_STAGE_RCPT = 16,   /* a transaction with recipients */
};

struct smtp_command {
    const char *name;
    unsigned stages; /* else 503 5.5.1 */
    bool eight_bit;  /* judges bytes above 127 in its arguments itself; else 500 5.5.2 */
    void (*run)(struct smtp_server *server, struct view arguments, struct buffer *out);
    const char *help; /* what HELP says of it */
};

extern const struct smtp_command smtp_commands[];
extern const size_t smtp_command_count;
const struct smtp_command *smtp_command_find(struct view name); /* any letter case; NULL: none */

/* Handlers. Each either writes one reply or asks one question. Arguments come without blanks at their ends. */
void smtp_command_helo(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_ehlo(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_mail(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_rcpt(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_data(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_rset(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_noop(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_quit(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_vrfy(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_expn(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_help(struct smtp_server *server, struct view arguments, struct buffer *out);
void smtp_command_absent(struct smtp_server *server, struct view arguments, struct buffer *out); /* ETRN, TURN: 502 */

/* The reply to an accepted HELO or EHLO; text: what follows the host name. */
void smtp_hello_accept(struct smtp_server *server, struct view text, struct buffer *out);

/* One reply; with reply->close the session ends. */
void smtp_server_say(struct smtp_server *server, const struct smtp_reply *reply, struct buffer *out);
/* The same for what the client did wrong: counted, and at errors_max said as 421 4.7.0. */
void smtp_server_fault(struct smtp_server *server, const struct smtp_reply *reply, struct buffer *out);
/* "code status hostname text"; the form of greetings and farewells. */
void smtp_server_say_host(struct smtp_server *server, struct smtp_reply reply, struct buffer *out);
/* Puts the question; the next step gives this event. */
void smtp_server_ask(struct smtp_server *server, enum smtp_server_event question);
/* Forgets the transaction: the only place that does (O10). RESET is due if one was open. */
void smtp_server_forget(struct smtp_server *server);

#endif

#include "smtp/command.h"

#include <assert.h>
#include <string.h>

enum state { STATE_COMMAND, STATE_LONG_LINE, STATE_CONTENT };

/* Why content is thrown away. Of several reasons the highest says the reply, wherever the input was cut. */
enum spoiled { SOUND, SPOILED_SIZE, SPOILED_NUL, SPOILED_BY_CALLER, SPOILED_BARE };

/* First byte of a TLS record with a ClientHello: no command begins with it. */
#define TLS_HANDSHAKE 0x16

/* --- replies --- */

void smtp_server_say(struct smtp_server *server, const struct smtp_reply *reply, struct buffer *out)
{
    struct smtp_reply first = *reply;
    if (reply->close) {
        server->closing = true;
        smtp_server_forget(server);
    }
    smtp_reply_write(out, reply);
    if (!out->full)
        return;
    out->full = false;
    first.text.len = view_find(first.text, '\n');
    smtp_reply_write(out, &first);
    assert(!out->full);
}

/* Host name, a blank, the text. */
static struct view with_host(const struct smtp_server *server, struct view text, struct buffer *whole)
{
    buffer_add(whole, server->profile->hostname);
    buffer_add_char(whole, ' ');
    buffer_add(whole, view_slice(text, 0, buffer_room(whole)));
    return buffer_view(whole);
}

void smtp_server_say_host(struct smtp_server *server, struct smtp_reply reply, struct buffer *out)
{
    char memory[SMTP_LINE_MAX];
    struct buffer whole = BUFFER_OF(memory);
    reply.text = with_host(server, reply.text, &whole);
    smtp_server_say(server, &reply, out);
}

/* Ends the session from our side with 421 (RFC 5321 section 3.8). Says it only if there is room: a client that reads
 * nothing is not told. */
static void give_up(struct smtp_server *server, struct smtp_reply reply, struct buffer *out)
{
    smtp_server_forget(server);
    server->closing = true;
    if (buffer_room(out) >= SMTP_LINE_MAX)
        smtp_server_say_host(server, reply, out);
}

void smtp_server_fault(struct smtp_server *server, const struct smtp_reply *reply, struct buffer *out)
{
    server->errors++;
    if (server->errors >= server->profile->errors_max)
        give_up(server, SMTP_REPLY(421, 4, 7, 0, "too many errors, closing"), out);
    else
        smtp_server_say(server, reply, out);
}

/* --- the transaction --- */

void smtp_server_forget(struct smtp_server *server)
{
    server->reset_due |= server->has_mail;
    server->has_mail = false;
    server->recipient_count = 0;
    server->path = (struct smtp_path){ 0 };
    server->mail = (struct smtp_mail_parameters){ 0 };
    server->content = VIEW_NONE;
    server->content_size = 0;
    server->spoiled = SOUND;
    server->verdict = (struct smtp_reply){ 0 };
    server->data = (struct smtp_data){ 0 };
    server->data_refused = false;
    server->state = STATE_COMMAND;
}

static enum smtp_stage stage(const struct smtp_server *server)
{
    if (server->refused)
        return SMTP_STAGE_REFUSED;
    if (!server->hello)
        return SMTP_STAGE_NEW;
    if (!server->has_mail)
        return SMTP_STAGE_READY;
    return server->recipient_count ? SMTP_STAGE_RCPT : SMTP_STAGE_MAIL;
}

/* --- commands --- */

/* What must come before, for a command that is not allowed at this stage. */
static struct smtp_reply out_of_order(enum smtp_stage at, const struct smtp_command *command)
{
    if (at == SMTP_STAGE_REFUSED)
        return SMTP_REPLY(503, 5, 5, 1, "no mail is taken from here: send QUIT");
    if (at == SMTP_STAGE_NEW)
        return SMTP_REPLY(503, 5, 5, 1, "send HELO or EHLO first");
    if (at == SMTP_STAGE_READY)
        return SMTP_REPLY(503, 5, 5, 1, "send MAIL first");
    if (command->stages & SMTP_STAGE_READY)
        return SMTP_REPLY(503, 5, 5, 1, "a message has been begun: finish it or send RSET first");
    return SMTP_REPLY(503, 5, 5, 1, "send RCPT first: there is no recipient yet");
}

/* Nothing that speaks another protocol gets a second word in (H11). */
static bool is_foreign(struct view line)
{
    static const char *const verbs[] = { "GET",   "POST",    "PUT",   "HEAD",   "CONNECT",
                                         "TRACE", "OPTIONS", "PATCH", "DELETE", "PRI" };
    if (line.len && line.at[0] == TLS_HANDSHAKE)
        return true;
    if (view_starts_nocase(line, VIEW("Host:")))
        return true;
    struct view verb = view_take_word(&line);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (view_equal_nocase(verb, view_of(verbs[i])))
            return true;
    return false;
}

static bool has_eight_bit(struct view text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] > 127)
            return true;
    return false;
}

/* Some clients send the content without having waited for the reply to DATA. When DATA was refused it comes as
 * commands, written by who knows whom: none of them may begin a message (H9). */
static bool is_refused_content(const struct smtp_server *server, const struct smtp_command *command)
{
    if (!server->data_refused || server->profile->lenient)
        return false;
    return !command || (command->run == smtp_command_mail && server->has_mail);
}

static void run_command(struct smtp_server *server, struct view verb, struct view arguments, struct buffer *out)
{
    const struct smtp_command *command = smtp_command_find(verb);
    enum smtp_stage at = stage(server);
    if (is_refused_content(server, command)) {
        give_up(server, SMTP_REPLY(421, 4, 7, 0, "DATA was refused: no content is wanted, closing"), out);
    } else if (!command && at != SMTP_STAGE_REFUSED) {
        smtp_server_fault(server, &SMTP_REPLY(500, 5, 5, 2, "no such command: HELP lists them"), out);
    } else if (!command || !(command->stages & at)) {
        struct smtp_reply reply = out_of_order(at, command);
        server->data_refused |= command && command->run == smtp_command_data;
        smtp_server_fault(server, &reply, out);
    } else if (!command->eight_bit && has_eight_bit(arguments)) {
        smtp_server_fault(server, &SMTP_REPLY(500, 5, 5, 2, "commands are written in ASCII"), out);
    } else {
        command->run(server, arguments, out);
    }
}

/* One line without its end. Blanks at its end are tolerated (RFC 5321 section 4.1.1). */
static void take_line(struct smtp_server *server, struct view line, struct buffer *out)
{
    if (is_foreign(line)) {
        give_up(server, SMTP_REPLY(421, 4, 7, 0, "speaks SMTP and nothing else, closing"), out);
    } else if (view_has(line, '\0') || view_has(line, '\r') || view_has(line, '\n')) {
        smtp_server_fault(server, &SMTP_REPLY(501, 5, 5, 2, "NUL, bare CR or bare LF in a command"), out);
    } else {
        struct view verb = view_take_word(&line);
        run_command(server, verb, view_trim(line), out);
    }
}

static void too_long(struct smtp_server *server, struct buffer *out)
{
    if (server->overlong)
        give_up(server, SMTP_REPLY(421, 4, 7, 0, "line too long again, closing"), out);
    else
        smtp_server_fault(server, &SMTP_REPLY(500, 5, 5, 2, "line too long"), out);
    server->overlong = true;
}

/* Where the first line ends: its length with the line end; 0: not within these bytes. Only CRLF ends a line
 * (RFC 5321 section 2.3.8), or a LF where the profile says so. */
static size_t line_length(const struct smtp_server *server, struct view input)
{
    for (size_t at = 0; at < input.len; at++) {
        at += view_find(view_slice(input, at, input.len), '\n');
        if (at < input.len && (server->profile->bare_lf_commands || (at && input.at[at - 1] == '\r')))
            return at + 1;
    }
    return 0;
}

static struct view without_line_end(struct view line)
{
    line.len--;
    if (line.len && line.at[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* This and the other steps do one thing; false: more input is needed for it. */
static bool step_command(struct smtp_server *server, struct view *input, struct buffer *out)
{
    struct view head = view_slice(*input, 0, SMTP_COMMAND_MAX);
    size_t len = line_length(server, head);
    bool foreign = head.at[0] == TLS_HANDSHAKE;
    if (len == 0 && !foreign && head.len < SMTP_COMMAND_MAX)
        return false;
    if (len == 0 && !is_foreign(head)) {
        server->state = STATE_LONG_LINE;
        server->skipped = 0;
        return true;
    }
    struct view line = view_take(input, len ? len : head.len);
    take_line(server, len ? without_line_end(line) : line, out);
    if (server->asked == SMTP_SERVER_INPUT)
        server->path = (struct smtp_path){ 0 };
    return true;
}

/* Throws away the over-long line, up to a bound (H13). */
static bool step_long_line(struct smtp_server *server, struct view *input, struct buffer *out)
{
    struct view head = view_slice(*input, 0, SMTP_DISCARD_MAX - server->skipped);
    size_t len = line_length(server, head);
    size_t kept = !len && head.len == input->len && head.at[head.len - 1] == '\r'; /* its LF may follow */
    size_t gone = len ? len : head.len - kept;
    view_take(input, gone);
    server->skipped += gone;
    if (len) {
        server->state = STATE_COMMAND;
        too_long(server, out);
    } else if (server->skipped >= SMTP_DISCARD_MAX) {
        give_up(server, SMTP_REPLY(421, 4, 7, 0, "line too long by far, closing"), out);
    } else {
        return gone;
    }
    return true;
}

/* --- content --- */

static void spoil(struct smtp_server *server, enum spoiled why, const struct smtp_reply *reply)
{
    if (why <= server->spoiled)
        return;
    server->spoiled = (uint8_t)why;
    server->verdict = *reply;
}

void smtp_server_spoil(struct smtp_server *server, const struct smtp_reply *reply)
{
    assert(server->state == STATE_CONTENT && server->asked == SMTP_SERVER_INPUT);
    spoil(server, SPOILED_BY_CALLER, reply);
}

/* RFC 5321 section 4.1.1.4 knows no line end but CRLF. The session ends too: two readers that disagree on line ends
 * would take the rest for two different things (H1, H2). */
static void spoil_bare(struct smtp_server *server)
{
    struct smtp_reply reply = SMTP_REPLY(550, 5, 5, 2, "bare CR or LF in the message: lines end with CRLF");
    reply.close = true;
    spoil(server, SPOILED_BARE, &reply);
}

/* Passes it on, as much of it as the largest message allows. */
static void take_piece(struct smtp_server *server, struct view piece)
{
    uint64_t max = server->profile->size_max ? server->profile->size_max : UINT64_MAX;
    if (server->spoiled)
        return;
    if (piece.len > max - server->content_size) {
        spoil(server, SPOILED_SIZE, &SMTP_REPLY(552, 5, 3, 4, "message larger than is taken here"));
        piece.len = (size_t)(max - server->content_size);
    }
    server->content = piece;
    server->content_size += piece.len;
}

static void end_content(struct smtp_server *server, struct buffer *out)
{
    struct smtp_reply verdict = server->verdict;
    server->state = STATE_COMMAND;
    if (!server->spoiled) {
        smtp_server_ask(server, SMTP_SERVER_END);
        return;
    }
    smtp_server_forget(server);
    smtp_server_say(server, &verdict, out);
}

static bool step_content(struct smtp_server *server, struct view *input, struct buffer *out)
{
    struct view piece;
    switch (smtp_data_step(&server->data, input, &piece)) {
    case SMTP_DATA_MORE:
        return false;
    case SMTP_DATA_PIECE:
        take_piece(server, piece);
        break;
    case SMTP_DATA_BARE:
        spoil_bare(server);
        break;
    case SMTP_DATA_NUL:
        spoil(server, SPOILED_NUL, &SMTP_REPLY(550, 5, 6, 0, "NUL in the header of the message"));
        break;
    case SMTP_DATA_END:
        end_content(server, out);
        break;
    }
    return true;
}

/* --- the session --- */

static bool step_state(struct smtp_server *server, struct view *input, struct buffer *out)
{
    switch ((enum state)server->state) {
    case STATE_COMMAND:
        return step_command(server, input, out);
    case STATE_LONG_LINE:
        return step_long_line(server, input, out);
    case STATE_CONTENT:
        return step_content(server, input, out);
    }
    return false;
}

/* RFC 5321 section 4.5.3.2.7: the client's time to say its next command, or more content. */
static void set_deadline(struct smtp_server *server, uint64_t now_us)
{
    const struct smtp_server_profile *profile = server->profile;
    if (server->asked != SMTP_SERVER_INPUT || server->closing)
        server->deadline_us = UINT64_MAX;
    else
        server->deadline_us =
            now_us + (server->state == STATE_CONTENT ? profile->data_us_max : profile->command_us_max);
}

enum smtp_server_event smtp_server_step(struct smtp_server *server, uint64_t now_us, struct view *input,
                                        struct buffer *out)
{
    assert(out->cap >= SMTP_SERVER_OUT_MIN);
    for (;;) {
        server->content = VIEW_NONE;
        if (server->asked != SMTP_SERVER_INPUT)
            return SMTP_SERVER_WAITING;
        if (server->reset_due) {
            server->reset_due = false;
            return SMTP_SERVER_RESET;
        }
        if (server->closing)
            return SMTP_SERVER_CLOSE;
        if (input->len == 0)
            return SMTP_SERVER_INPUT;
        if (buffer_room(out) < SMTP_SERVER_OUT_MIN)
            return SMTP_SERVER_FLUSH;
        size_t before = input->len;
        bool more = step_state(server, input, out);
        /* An over-long line earns no time before its end. */
        if (input->len < before && server->state != STATE_LONG_LINE)
            set_deadline(server, now_us);
        if (server->asked != SMTP_SERVER_INPUT)
            return (enum smtp_server_event)server->asked;
        if (server->content.len)
            return SMTP_SERVER_CONTENT;
        if (!more)
            return SMTP_SERVER_INPUT;
    }
}

void smtp_server_ask(struct smtp_server *server, enum smtp_server_event question)
{
    server->asked = (uint8_t)question;
}

/* --- answers --- */

/* What the caller left open, filled in; usual: the reply of success. */
static struct smtp_reply filled(const struct smtp_reply *reply, struct smtp_reply usual)
{
    struct smtp_reply whole = *reply;
    uint8_t class = (uint8_t)(reply->code / 100);
    if (class == usual.code / 100) {
        if (!whole.status.class)
            whole.status = usual.status;
        if (!whole.text.len)
            whole.text = usual.text;
        return whole;
    }
    if (!whole.status.class)
        whole.status = (struct smtp_status){ class, 0, 0 };
    if (!whole.text.len)
        whole.text = class == 4 ? VIEW("not now, try again later") : VIEW("refused");
    return whole;
}

static bool is_success(const struct smtp_reply *reply)
{
    return reply->code / 100 == 2;
}

/* Section 4.1.4: accepted, it clears everything as RSET does; refused, nothing changes. */
static void answer_hello(struct smtp_server *server, const struct smtp_reply *reply, struct buffer *out)
{
    server->hello_name = VIEW_NONE;
    if (is_success(reply)) {
        smtp_server_forget(server);
        server->hello = true;
        smtp_hello_accept(server, reply->text, out);
        server->closing |= reply->close;
        return;
    }
    struct smtp_reply refusal = filled(reply, SMTP_REPLY(250, 0, 0, 0, ""));
    refusal.status = (struct smtp_status){ 0 };
    server->extended = server->was_extended;
    smtp_server_say(server, &refusal, out);
}

static void answer_mail(struct smtp_server *server, const struct smtp_reply *reply, struct buffer *out)
{
    struct smtp_reply whole = filled(reply, SMTP_REPLY(250, 2, 1, 0, "sender ok"));
    if (is_success(reply)) {
        server->has_mail = true;
        server->data_refused = false;
    } else {
        server->mail = (struct smtp_mail_parameters){ 0 };
    }
    smtp_server_say(server, &whole, out);
}

static void answer_rcpt(struct smtp_server *server, const struct smtp_reply *reply, struct buffer *out)
{
    struct smtp_reply whole = filled(reply, SMTP_REPLY(250, 2, 1, 5, "recipient ok"));
    server->recipient_count += is_success(reply);
    smtp_server_say(server, &whole, out);
}

static void answer_data(struct smtp_server *server, const struct smtp_reply *reply, struct buffer *out)
{
    struct smtp_reply whole = filled(reply, SMTP_REPLY(354, 0, 0, 0, "go on; end with a dot on a line by itself"));
    if (reply->code != 354) {
        server->data_refused = true;
    } else if (server->stopping) {
        return; /* the 421 comes instead */
    } else {
        server->state = STATE_CONTENT;
        smtp_data_start(&server->data);
    }
    smtp_server_say(server, &whole, out);
}

static void answer_end(struct smtp_server *server, const struct smtp_reply *reply, struct buffer *out)
{
    struct smtp_reply whole = filled(reply, SMTP_REPLY(250, 2, 0, 0, "message accepted"));
    server->has_mail = false; /* so that no RESET is due: END was the transaction's last word */
    smtp_server_forget(server);
    smtp_server_say(server, &whole, out);
}

static const struct smtp_reply shutting_down = SMTP_REPLY_INIT(421, 4, 3, 2, "stopping, try again later");

void smtp_server_answer(struct smtp_server *server, uint64_t now_us, const struct smtp_reply *reply, struct buffer *out)
{
    static void (*const answers[])(struct smtp_server *, const struct smtp_reply *, struct buffer *) = {
        [SMTP_SERVER_HELLO] = answer_hello, [SMTP_SERVER_MAIL] = answer_mail, [SMTP_SERVER_RCPT] = answer_rcpt,
        [SMTP_SERVER_DATA] = answer_data,   [SMTP_SERVER_END] = answer_end,
    };
    enum smtp_server_event question = (enum smtp_server_event)server->asked;
    assert(question != SMTP_SERVER_INPUT);
    assert(question == SMTP_SERVER_DATA ? !is_success(reply) : reply->code / 100 != 3);
    server->asked = SMTP_SERVER_INPUT;
    server->path = (struct smtp_path){ 0 };
    answers[question](server, reply, out);
    if (server->stopping && !server->closing)
        give_up(server, shutting_down, out);
    set_deadline(server, now_us);
}

void smtp_server_start(struct smtp_server *server, const struct smtp_server_profile *profile, uint64_t now_us,
                       const struct smtp_reply *refusal, struct buffer *out)
{
    char memory[SMTP_LINE_MAX];
    struct buffer words = BUFFER_OF(memory);
    struct smtp_reply greeting = { 220, { 0, 0, 0 }, VIEW("ESMTP"), false };
    assert(profile->hostname.len <= SMTP_HOSTNAME_MAX && buffer_room(out) >= SMTP_SERVER_OUT_MIN);
    memset(server, 0, sizeof *server);
    server->profile = profile;
    if (refusal) { /* RFC 2034 section 4: no status code in the greeting */
        greeting = (struct smtp_reply){ refusal->code, { 0, 0, 0 }, refusal->text, refusal->close };
        greeting.close |= refusal->code == 421;
        server->refused = true;
    } else if (profile->greeting.len) {
        buffer_add(&words, VIEW("ESMTP "));
        buffer_add(&words, view_slice(profile->greeting, 0, buffer_room(&words)));
        greeting.text = buffer_view(&words);
    }
    smtp_server_say_host(server, greeting, out);
    set_deadline(server, now_us);
}

void smtp_server_timeout(struct smtp_server *server, struct buffer *out)
{
    assert(server->asked == SMTP_SERVER_INPUT);
    if (!server->closing)
        give_up(server, SMTP_REPLY(421, 4, 4, 2, "waited too long, closing"), out);
}

void smtp_server_shutdown(struct smtp_server *server, struct buffer *out)
{
    if (server->asked != SMTP_SERVER_INPUT)
        server->stopping = true;
    else if (!server->closing)
        give_up(server, shutting_down, out);
}

bool smtp_server_idle(const struct smtp_server *server)
{
    return server->asked == SMTP_SERVER_INPUT;
}

#include "smtp/client.h"

#include <assert.h>
#include <string.h>

/* Between two replies the session is in one of these states. In each there is a group of commands: `total` of them,
 * `sent` so far, `answered` so far; without pipelining none is sent before the one ahead of it is answered. */
enum state {
    STATE_GREETING, /* one, which was sent by connecting */
    STATE_EHLO,
    STATE_HELO,
    STATE_IDLE, /* none */
    STATE_RSET,
    STATE_GROUP,   /* MAIL, each RCPT, DATA */
    STATE_CONTENT, /* none: content goes out */
    STATE_END,     /* the final dot */
    STATE_QUIT,
    STATE_OVER,
};

enum { CONTENT_LINE_START, CONTENT_AFTER_CR, CONTENT_IN_LINE };

#define MINUTE_US    60000000ull

/* RFC 5321 section 4.5.3.2; it says nothing of RSET, of a quiet time between messages, which is the caller's, and of
 * QUIT, whose reply is of no use. */
static uint64_t patience_us(enum smtp_client_phase phase)
{
    switch (phase) {
    case SMTP_PHASE_GREETING:
    case SMTP_PHASE_HELLO:
    case SMTP_PHASE_MAIL:
    case SMTP_PHASE_RCPT:
    case SMTP_PHASE_RSET:
        return 5 * MINUTE_US;
    case SMTP_PHASE_DATA:
        return 2 * MINUTE_US;
    case SMTP_PHASE_CONTENT:
        return 3 * MINUTE_US;
    case SMTP_PHASE_END:
        return 10 * MINUTE_US;
    case SMTP_PHASE_QUIT:
        return MINUTE_US / 2;
    case SMTP_PHASE_IDLE:
    case SMTP_PHASE_OVER:
        break;
    }
    return UINT64_MAX;
}

static enum smtp_client_phase phase_of(const struct smtp_client *client)
{
    static const uint8_t phases[] = {
        [STATE_GREETING] = SMTP_PHASE_GREETING, [STATE_EHLO] = SMTP_PHASE_HELLO, [STATE_HELO] = SMTP_PHASE_HELLO,
        [STATE_IDLE] = SMTP_PHASE_IDLE,         [STATE_RSET] = SMTP_PHASE_RSET,  [STATE_CONTENT] = SMTP_PHASE_CONTENT,
        [STATE_END] = SMTP_PHASE_END,           [STATE_QUIT] = SMTP_PHASE_QUIT,  [STATE_OVER] = SMTP_PHASE_OVER,
    };
    if (client->state != STATE_GROUP)
        return (enum smtp_client_phase)phases[client->state];
    if (client->answered == 0)
        return SMTP_PHASE_MAIL;
    return client->answered <= client->message->recipient_count ? SMTP_PHASE_RCPT : SMTP_PHASE_DATA;
}

static void set_deadline(struct smtp_client *client, uint64_t now_us)
{
    uint64_t patience = patience_us(phase_of(client));
    client->deadline_us = patience == UINT64_MAX ? UINT64_MAX : now_us + patience;
}

static void enter(struct smtp_client *client, enum state state, size_t total)
{
    client->state = (uint8_t)state;
    client->total = total;
    client->sent = client->answered = 0;
}

/* The first that goes wrong counts; what is read after it is read to keep in step only. */
static void settle(struct smtp_client *client, enum smtp_client_outcome outcome, enum smtp_client_phase phase)
{
    if (client->settled)
        return;
    client->settled = true;
    client->outcome = outcome;
    client->phase = phase;
}

/* A reply by its first digit; one that can be no refusal means that the two sides are out of step. */
static enum smtp_client_outcome outcome_of(const struct smtp_reply *reply)
{
    return reply->code >= 500 ? SMTP_CLIENT_PERMANENT : SMTP_CLIENT_TEMPORARY;
}

static enum smtp_client_event over(struct smtp_client *client)
{
    if (!client->message)
        return SMTP_CLIENT_CLOSE;
    client->message = NULL;
    return SMTP_CLIENT_DONE;
}

static enum smtp_client_event close_with(struct smtp_client *client, enum smtp_client_outcome outcome,
                                         enum smtp_client_phase phase)
{
    settle(client, outcome, phase);
    enter(client, STATE_OVER, 0);
    return over(client);
}

/* Nobody can say which reply belongs to which command any more. After the final dot that leaves open whether the
 * message was taken. */
static enum smtp_client_event out_of_step(struct smtp_client *client, enum smtp_client_phase phase)
{
    return close_with(client, client->state == STATE_END ? SMTP_CLIENT_UNKNOWN : SMTP_CLIENT_TEMPORARY, phase);
}

static enum smtp_client_event finish(struct smtp_client *client)
{
    enter(client, STATE_IDLE, 0);
    client->message = NULL;
    return SMTP_CLIENT_DONE;
}

/* ---- what the server offers ---- */

static void note_offer(struct smtp_client *client, struct view line)
{
    struct view keyword = view_take_word(&line), argument = view_take_word(&line);
    if (view_equal_nocase(keyword, VIEW("PIPELINING"))) {
        client->pipelining = true;
    } else if (view_equal_nocase(keyword, VIEW("8BITMIME"))) {
        client->eight_bit = true;
    } else if (view_equal_nocase(keyword, VIEW("ENHANCEDSTATUSCODES"))) {
        client->status_codes = true;
    } else if (view_equal_nocase(keyword, VIEW("SIZE"))) {
        client->size_offered = true;
        if (!view_to_u64(argument, UINT64_MAX, &client->size_max))
            client->size_max = 0; /* RFC 1870 section 3: no number, or 0: no fixed limit */
    }
}

/* ehlo-ok-rsp (RFC 5321 section 4.1.1.1): the first line is a name and a greeting, the others are keywords. */
static void note_offers(struct smtp_client *client, struct view text)
{
    client->extended = true;
    view_take_until(&text, '\n');
    while (text.len)
        note_offer(client, view_take_until(&text, '\n'));
}

/* ---- replies ---- */

/* Greeting, ehlo-ok-rsp and the reply to HELO begin with the server's name (RFC 5321 sections 4.2 and 4.1.1.1). */
static void note_name(struct smtp_client *client, struct view text)
{
    struct view name = view_take_word(&text);
    name = view_take_until(&name, '\n');
    client->is_us = client->is_us || view_equal_nocase(name, client->hostname);
}

static enum smtp_client_event on_hello(struct smtp_client *client, const struct smtp_reply *reply, struct buffer *out)
{
    unsigned class = reply->code / 100;
    if (class == 2)
        note_name(client, reply->text);
    if (class == 2 && client->state == STATE_GREETING) {
        enter(client, STATE_EHLO, 1);
    } else if (class == 2) {
        if (client->state == STATE_EHLO)
            note_offers(client, reply->text);
        enter(client, STATE_IDLE, 0);
    } else if (class == 5 && client->state == STATE_EHLO) {
        enter(client, STATE_HELO, 1); /* RFC 5321 section 3.2 */
    } else {
        if (buffer_room(out) >= SMTP_CLIENT_OUT_MIN)
            buffer_add(out, VIEW("QUIT\r\n")); /* its reply is not waited for */
        return close_with(client, outcome_of(reply), phase_of(client));
    }
    return SMTP_CLIENT_INPUT;
}

static enum smtp_client_event on_mail(struct smtp_client *client, const struct smtp_reply *reply)
{
    unsigned class = reply->code / 100;
    if (class == 3)
        return out_of_step(client, SMTP_PHASE_MAIL);
    client->open = class == 2;
    if (class != 2)
        settle(client, outcome_of(reply), SMTP_PHASE_MAIL);
    return SMTP_CLIENT_INPUT;
}

/* None is left: whoever may be taken another time makes it a temporary failure. */
static void settle_without_recipients(struct smtp_client *client)
{
    enum smtp_client_outcome outcome = SMTP_CLIENT_PERMANENT;
    const struct smtp_client_message *message = client->message;
    for (size_t i = 0; i < message->recipient_count; i++)
        if (smtp_client_fate(outcome, &message->recipients[i]) == SMTP_CLIENT_TEMPORARY)
            outcome = SMTP_CLIENT_TEMPORARY;
    settle(client, outcome, SMTP_PHASE_RCPT);
}

/* answered counts MAIL and this one. */
static enum smtp_client_event on_rcpt(struct smtp_client *client, const struct smtp_reply *reply)
{
    const struct smtp_client_message *message = client->message;
    unsigned class = reply->code / 100;
    if (client->settled)
        return SMTP_CLIENT_INPUT; /* MAIL was refused: this says nothing about the recipient */
    if (class == 3)
        return out_of_step(client, SMTP_PHASE_RCPT);
    client->recipient = client->answered - 2;
    message->recipients[client->recipient].reply = (struct smtp_reply){ .code = reply->code, .status = reply->status };
    client->accepted += class == 2;
    if (client->answered == message->recipient_count + 1 && client->accepted == 0)
        settle_without_recipients(client);
    return SMTP_CLIENT_RECIPIENT;
}

/* RFC 2920 section 3.1: when DATA went out with the group and there are no recipients, the server gets a single dot,
 * whatever it says to that (H120). */
static enum smtp_client_event on_data(struct smtp_client *client, const struct smtp_reply *reply)
{
    switch (reply->code / 100) {
    case 2:
        return out_of_step(client, SMTP_PHASE_DATA);
    case 3:
        enter(client, client->accepted ? STATE_CONTENT : STATE_END, client->accepted == 0);
        client->content_state = CONTENT_LINE_START;
        return SMTP_CLIENT_INPUT;
    default:
        settle(client, outcome_of(reply), SMTP_PHASE_DATA);
        return SMTP_CLIENT_INPUT;
    }
}

static enum smtp_client_event on_group(struct smtp_client *client, const struct smtp_reply *reply)
{
    enum smtp_client_event event;
    if (client->answered == 1)
        event = on_mail(client, reply);
    else if (client->answered <= client->message->recipient_count + 1)
        event = on_rcpt(client, reply);
    else
        return on_data(client, reply);
    if (client->settled)
        client->total = client->sent;
    return event;
}

static enum smtp_client_event on_end(struct smtp_client *client, const struct smtp_reply *reply)
{
    unsigned class = reply->code / 100;
    if (class == 3)
        return out_of_step(client, SMTP_PHASE_END);
    client->open = class != 2;
    settle(client, class == 2 ? SMTP_CLIENT_SENT : outcome_of(reply), SMTP_PHASE_END);
    return finish(client);
}

static enum smtp_client_event on_rset(struct smtp_client *client, const struct smtp_reply *reply)
{
    if (reply->code / 100 != 2)
        return close_with(client, SMTP_CLIENT_TEMPORARY, SMTP_PHASE_RSET);
    client->open = false;
    enter(client, STATE_GROUP, client->message->recipient_count + 2);
    return SMTP_CLIENT_INPUT;
}

static enum smtp_client_event on_reply(struct smtp_client *client, const struct smtp_reply *reply, struct buffer *out)
{
    if (reply->code == 421) /* RFC 5321 section 4.2.2: to any command */
        return close_with(client, SMTP_CLIENT_TEMPORARY, phase_of(client));
    client->answered++;
    switch ((enum state)client->state) {
    case STATE_GREETING:
    case STATE_EHLO:
    case STATE_HELO:
        return on_hello(client, reply, out);
    case STATE_RSET:
        return on_rset(client, reply);
    case STATE_GROUP:
        return on_group(client, reply);
    case STATE_END:
        return on_end(client, reply);
    case STATE_QUIT:
    case STATE_IDLE:
    case STATE_CONTENT:
    case STATE_OVER:
        break;
    }
    return close_with(client, SMTP_CLIENT_SENT, SMTP_PHASE_QUIT);
}

/* Once the outcome stands, the reply that made it is kept. */
static enum smtp_parse take_reply(struct smtp_client *client, struct view *input, struct smtp_reply *reply)
{
    struct buffer text = { client->text, 0, client->settled ? 0 : sizeof client->text, false };
    size_t used = 0;
    enum smtp_parse result = smtp_reply_parse(*input, &used, reply, &text);
    if (result == SMTP_PARSE_DONE)
        view_take(input, used);
    else
        *reply = (struct smtp_reply){ 0 };
    if (!client->settled)
        client->reply = *reply;
    return result;
}

/* A reply to nothing. While content goes out it may be an early refusal, and between messages a farewell is cut in
 * two: else the sides are out of step. */
static enum smtp_client_event on_unasked(struct smtp_client *client, struct view *input)
{
    struct smtp_reply reply;
    enum smtp_parse result = take_reply(client, input, &reply);
    bool quiet = client->state == STATE_IDLE || client->state == STATE_CONTENT;
    if (result == SMTP_PARSE_MORE && quiet)
        return SMTP_CLIENT_INPUT;
    if (client->state == STATE_CONTENT && reply.code >= 400)
        return close_with(client, outcome_of(&reply), SMTP_PHASE_CONTENT);
    return out_of_step(client, phase_of(client));
}

static enum smtp_client_event read_replies(struct smtp_client *client, struct view *input, struct buffer *out)
{
    while (client->answered < client->sent) {
        struct smtp_reply reply;
        switch (take_reply(client, input, &reply)) {
        case SMTP_PARSE_MORE:
            return SMTP_CLIENT_INPUT;
        case SMTP_PARSE_BAD:
            return out_of_step(client, phase_of(client));
        case SMTP_PARSE_DONE:
            break;
        }
        enum smtp_client_event event = on_reply(client, &reply, out);
        if (event != SMTP_CLIENT_INPUT)
            return event;
    }
    return input->len ? on_unasked(client, input) : SMTP_CLIENT_INPUT;
}

/* ---- commands ---- */

static void add_mail(const struct smtp_client *client, struct buffer *out)
{
    const struct smtp_client_message *message = client->message;
    buffer_add(out, VIEW("MAIL FROM:<"));
    buffer_add(out, message->reverse_path);
    buffer_add_char(out, '>');
    if (client->size_offered && message->size) {
        buffer_add(out, VIEW(" SIZE=")); /* RFC 1870 section 6 */
        buffer_add_u64(out, message->size);
    }
    if (client->eight_bit && message->body == SMTP_BODY_8BITMIME)
        buffer_add(out, VIEW(" BODY=8BITMIME")); /* RFC 6152 section 2 */
    buffer_add(out, VIEW("\r\n"));
}

static void add_group_command(const struct smtp_client *client, struct buffer *out)
{
    const struct smtp_client_message *message = client->message;
    if (client->sent == 0) {
        add_mail(client, out);
    } else if (client->sent <= message->recipient_count) {
        buffer_add(out, VIEW("RCPT TO:<"));
        buffer_add(out, message->recipients[client->sent - 1].path);
        buffer_add(out, VIEW(">\r\n"));
    } else {
        buffer_add(out, VIEW("DATA\r\n"));
    }
}

static void add_hello(const struct smtp_client *client, struct buffer *out)
{
    buffer_add(out, client->state == STATE_EHLO ? VIEW("EHLO ") : VIEW("HELO "));
    buffer_add(out, client->hostname);
    buffer_add(out, VIEW("\r\n"));
}

static void add_command(const struct smtp_client *client, struct buffer *out)
{
    switch ((enum state)client->state) {
    case STATE_EHLO:
    case STATE_HELO:
        add_hello(client, out);
        break;
    case STATE_RSET:
        buffer_add(out, VIEW("RSET\r\n"));
        break;
    case STATE_GROUP:
        add_group_command(client, out);
        break;
    case STATE_END:
        buffer_add(out, VIEW(".\r\n"));
        break;
    case STATE_QUIT:
        buffer_add(out, VIEW("QUIT\r\n"));
        break;
    case STATE_GREETING:
    case STATE_IDLE:
    case STATE_CONTENT:
    case STATE_OVER:
        break;
    }
}

/* As many as may go now; false: there is no room for the next one. */
static bool write_commands(struct smtp_client *client, struct buffer *out)
{
    while (client->sent < client->total && (client->sent == client->answered || client->pipelining)) {
        if (buffer_room(out) < SMTP_CLIENT_OUT_MIN)
            return false;
        add_command(client, out);
        client->sent++;
    }
    return client->state != STATE_CONTENT || buffer_room(out) >= SMTP_CLIENT_OUT_MIN;
}

/* ---- the machine ---- */

static enum smtp_client_event step(struct smtp_client *client, struct view *input, struct buffer *out)
{
    if (client->state == STATE_OVER)
        return over(client);
    enum smtp_client_event event = read_replies(client, input, out);
    if (event != SMTP_CLIENT_INPUT)
        return event;
    if (!write_commands(client, out))
        return SMTP_CLIENT_FLUSH;
    if (client->state == STATE_GROUP && client->answered == client->total)
        return finish(client);
    if (client->state == STATE_CONTENT)
        return SMTP_CLIENT_CONTENT;
    return client->state == STATE_IDLE && input->len == 0 ? SMTP_CLIENT_READY : SMTP_CLIENT_INPUT;
}

enum smtp_client_event smtp_client_step(struct smtp_client *client, uint64_t now_us, struct view *input,
                                        struct buffer *out)
{
    size_t input_before = input->len, out_before = out->len;
    if (client->state == STATE_IDLE)
        client->settled = false; /* what was said at DONE has been heard */
    enum smtp_client_event event = step(client, input, out);
    if (client->moved || input->len != input_before || out->len != out_before)
        set_deadline(client, now_us);
    client->moved = false;
    if (!client->settled)
        client->phase = phase_of(client);
    return event;
}

static bool can_be_said(struct view word)
{
    for (size_t i = 0; i < word.len; i++)
        if (!ascii_is_print(word.at[i]) || word.at[i] == ' ')
            return false;
    return word.len > 0 && word.len <= SMTP_HOSTNAME_MAX;
}

bool smtp_client_start(struct smtp_client *client, struct view hostname, uint64_t now_us)
{
    *client = (struct smtp_client){ .hostname = hostname };
    enter(client, STATE_GREETING, 1);
    client->sent = 1;
    set_deadline(client, now_us);
    if (can_be_said(hostname))
        return true;
    settle(client, SMTP_CLIENT_PERMANENT, SMTP_PHASE_HELLO);
    enter(client, STATE_OVER, 0);
    return false;
}

static bool is_mailbox(struct view path)
{
    struct smtp_path parsed;
    return smtp_mailbox_parse(path, SMTP_PATH_BARE, &parsed) == SMTP_PATH_OK;
}

static bool message_valid(const struct smtp_client_message *message)
{
    if (message->reverse_path.len && !is_mailbox(message->reverse_path))
        return false;
    for (size_t i = 0; i < message->recipient_count; i++)
        if (!is_mailbox(message->recipients[i].path))
            return false;
    return message->recipient_count > 0;
}

/* RFC 1870 section 6.1: what is known to be too large need not be tried. */
static void refuse_size(struct smtp_client *client)
{
    struct buffer text = BUFFER_OF(client->text);
    buffer_addf(&text, "the message has %llu bytes, the server takes %llu", (unsigned long long)client->message->size,
                (unsigned long long)client->size_max);
    client->reply = SMTP_REPLY(552, 5, 3, 4, "");
    client->reply.text = buffer_view(&text);
    settle(client, SMTP_CLIENT_PERMANENT, SMTP_PHASE_MAIL);
    enter(client, STATE_GROUP, 0);
}

bool smtp_client_send(struct smtp_client *client, struct smtp_client_message *message)
{
    assert(client->state == STATE_IDLE);
    if (!message_valid(message))
        return false;
    for (size_t i = 0; i < message->recipient_count; i++)
        message->recipients[i].reply = (struct smtp_reply){ 0 };
    client->message = message;
    client->accepted = 0;
    client->settled = false;
    if (client->size_max && message->size > client->size_max)
        refuse_size(client);
    else if (client->open)
        enter(client, STATE_RSET, 1);
    else
        enter(client, STATE_GROUP, message->recipient_count + 2);
    return true;
}

void smtp_client_quit(struct smtp_client *client)
{
    if (client->state == STATE_OVER)
        return;
    assert(client->state == STATE_IDLE);
    enter(client, STATE_QUIT, 1);
    client->settled = false;
    client->reply = (struct smtp_reply){ 0 };
    settle(client, SMTP_CLIENT_SENT, SMTP_PHASE_QUIT); /* nothing that happens from here on matters */
}

void smtp_client_lost(struct smtp_client *client)
{
    if (client->state == STATE_OVER)
        return;
    if (client->state == STATE_IDLE)
        client->settled = false;
    if (!client->settled)
        client->reply = (struct smtp_reply){ 0 };
    settle(client, client->state == STATE_END ? SMTP_CLIENT_UNKNOWN : SMTP_CLIENT_TEMPORARY, phase_of(client));
    enter(client, STATE_OVER, 0);
}

bool smtp_client_over(const struct smtp_client *client)
{
    return client->state == STATE_OVER;
}

/* RFC 5321 section 4.5.3.1.10: 552 to RCPT is what old servers say for "too many recipients", which is 452; a status
 * of its own says what it is. */
enum smtp_client_outcome smtp_client_fate(enum smtp_client_outcome outcome,
                                          const struct smtp_client_recipient *recipient)
{
    const struct smtp_reply *reply = &recipient->reply;
    bool too_many =
        reply->code == 552 && (!reply->status.class || (reply->status.subject == 5 && reply->status.detail == 3));
    if (reply->code < 400)
        return outcome;
    return too_many ? SMTP_CLIENT_TEMPORARY : outcome_of(reply);
}

/* ---- content ---- */

/* Bytes up to the next CR or LF, with CRLF when that is what comes. */
static size_t run_length(struct view text)
{
    const char *lf = memchr(text.at, '\n', text.len);
    size_t line = lf ? (size_t)(lf - text.at) : text.len;
    const char *cr = memchr(text.at, '\r', line);
    if (!cr)
        return line;
    size_t run = (size_t)(cr - text.at);
    return lf == cr + 1 ? run + 2 : run;
}

/* One CR or LF off the front. The LF of a CRLF that was cut in two has been written with its CR. */
static void take_line_end(struct smtp_client *client, struct view *piece, struct buffer *out)
{
    bool cr = view_take(piece, 1).at[0] == '\r';
    if (cr || client->content_state != CONTENT_AFTER_CR)
        buffer_add(out, VIEW("\r\n"));
    client->content_state = cr ? CONTENT_AFTER_CR : CONTENT_LINE_START;
}

/* RFC 5321 section 4.5.2: a dot at the beginning of a line is doubled. */
static void take_run(struct smtp_client *client, struct view *piece, struct buffer *out)
{
    if (client->content_state != CONTENT_IN_LINE && piece->at[0] == '.')
        buffer_add_char(out, '.');
    struct view run = view_take(piece, run_length(view_slice(*piece, 0, buffer_room(out))));
    buffer_add(out, run);
    client->content_state = run.at[run.len - 1] == '\n' ? CONTENT_LINE_START : CONTENT_IN_LINE;
}

void smtp_client_content(struct smtp_client *client, struct view *piece, struct buffer *out)
{
    assert(client->state == STATE_CONTENT);
    client->moved |= piece->len > 0;
    while (piece->len && buffer_room(out) >= 2)
        if (piece->at[0] == '\r' || piece->at[0] == '\n')
            take_line_end(client, piece, out);
        else
            take_run(client, piece, out);
}

void smtp_client_content_end(struct smtp_client *client, uint64_t now_us, struct buffer *out)
{
    assert(client->state == STATE_CONTENT && buffer_room(out) >= 8);
    if (client->content_state == CONTENT_IN_LINE)
        buffer_add(out, VIEW("\r\n"));
    buffer_add(out, VIEW(".\r\n"));
    enter(client, STATE_END, 1);
    client->sent = 1;
    set_deadline(client, now_us);
}

#include "gonets/submit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gonets/gonets.h"
#include "os/linux/os_linux.h"

#define ADDRESSES_MAX  16 /* of one name, both families together */
#define CONNECT_US_MAX 30000000u
#define PORT_SMTP      25
#define HOST_MAX       253 /* a name in the DNS */
#define OUT_MAX        65536
#define REPLY_SHOWN    512
#define FAILURES_MAX   4096 /* what is said of addresses that do not answer */

struct server_name {
    struct view host; /* empty: it was an address */
    struct address address;
    uint16_t port;
};

struct submit {
    struct os *os;
    struct gonets_submission *what;
    struct server_name server;
    struct os_dns_query queries[2]; /* AAAA, A */
    unsigned open_queries;
    struct address addresses[2][ADDRESSES_MAX]; /* of each query */
    size_t counts[2], family, next;             /* the one to try next */
    struct os_stream *stream;
    bool connected;
    struct smtp_client client;
    enum os_status link; /* why it ended; OS_OK: it did not */
    struct view content; /* what is left of it */
    bool given;          /* the message was given to the machine */
    int code;
    char peer[ADDRESS_TEXT_MAX]; /* for the reader */
    char hello[ADDRESS_TEXT_MAX];
    struct buffer failures, in, out;
    char failures_memory[FAILURES_MAX];
    char in_memory[SMTP_REPLY_MAX]; /* the machine takes or refuses a reply of this size */
    char out_memory[OUT_MAX];
};

/* ---- which server ---- */

static bool is_host_char(char c)
{
    return ascii_is_alnum(c) || c == '-' || c == '.' || c == '_';
}

static bool parse_host(struct view text, struct server_name *server)
{
    size_t colon = view_find_last(text, ':');
    uint64_t port = PORT_SMTP;
    if (colon < text.len && (!view_to_u64(view_slice(text, colon + 1, text.len), UINT16_MAX, &port) || port == 0))
        return false;
    server->port = (uint16_t)port;
    server->host = view_slice(text, 0, colon);
    if (server->host.len && server->host.at[server->host.len - 1] == '.')
        server->host.len--;
    for (size_t i = 0; i < server->host.len; i++)
        if (!is_host_char(server->host.at[i]))
            return false;
    return server->host.len > 0 && server->host.len <= HOST_MAX;
}

static bool parse_server(struct view text, struct server_name *server)
{
    struct view bare = text;
    *server = (struct server_name){ .port = PORT_SMTP };
    if (text.len > 2 && text.at[0] == '[' && text.at[text.len - 1] == ']')
        bare = view_slice(text, 1, text.len - 1);
    if (address_parse_ip(bare, &server->address))
        return true;
    if (text.len && text.at[0] != '*' && text.at[0] != ':' && address_parse(text, &server->address)) {
        server->port = server->address.port;
        return server->port != 0;
    }
    return parse_host(text, server);
}

bool gonets_server_valid(struct view server)
{
    struct server_name parsed;
    return parse_server(server, &parsed);
}

/* ---- what the user is told ---- */

/* A reply as one line: what it brings is somebody else's text (H42). */
static void add_reply(struct buffer *to, const struct smtp_reply *reply)
{
    struct view text = reply->text;
    buffer_addf(to, "%u", reply->code);
    if (reply->status.class)
        buffer_addf(to, " %u.%u.%u", reply->status.class, reply->status.subject, reply->status.detail);
    while (text.len) {
        buffer_add_char(to, ' ');
        buffer_add_safe(to, view_take_until(&text, '\n'), REPLY_SHOWN);
    }
}

static const char *reply_text(const struct smtp_reply *reply, char memory[2 * REPLY_SHOWN])
{
    struct buffer text = { memory, 0, 2 * REPLY_SHOWN - 1, false };
    add_reply(&text, reply);
    memory[text.len] = '\0';
    return memory;
}

/* Something refused for good outweighs something that may yet work. */
static void note_code(struct submit *s, int code)
{
    if (code != GONETS_OK && (s->code == GONETS_OK || s->code == GONETS_TEMPORARY))
        s->code = code;
}

static void tell_recipient(struct submit *s)
{
    const struct smtp_client_recipient *recipient = &s->what->message.recipients[s->client.recipient];
    char memory[2 * REPLY_SHOWN];
    enum smtp_client_outcome fate = smtp_client_fate(SMTP_CLIENT_SENT, recipient);
    if (fate == SMTP_CLIENT_SENT)
        return;
    bool later = fate == SMTP_CLIENT_TEMPORARY;
    fprintf(stderr, "%s: %s does not take mail for %.*s%s: %s; %s\n", s->what->command, s->peer,
            VIEW_FORMAT(recipient->path), later ? " now" : "", reply_text(&s->client.reply, memory),
            later ? "try again later" : "check the address");
    note_code(s, later ? GONETS_TEMPORARY : GONETS_DATA);
}

/* Where a session can end: what it refused there, and what can be done. */
static const struct {
    const char *refused, *advice;
    int code;
} places[] = {
    [SMTP_PHASE_GREETING] = { "to talk", "ask those who run it", GONETS_UNAVAILABLE },
    [SMTP_PHASE_HELLO] = { "to talk", "ask those who run it", GONETS_UNAVAILABLE },
    [SMTP_PHASE_IDLE] = { "to go on", "try again later", GONETS_UNAVAILABLE },
    [SMTP_PHASE_MAIL] = { "the sender or the size", "check the sender and the message", GONETS_DATA },
    [SMTP_PHASE_RCPT] = { "the recipients", "check the recipients", GONETS_DATA },
    [SMTP_PHASE_DATA] = { "the message before its content", "check the addresses", GONETS_DATA },
    [SMTP_PHASE_CONTENT] = { "the content", "change the message", GONETS_DATA },
    [SMTP_PHASE_END] = { "the content", "change the message", GONETS_DATA },
    [SMTP_PHASE_RSET] = { "to go on", "try again later", GONETS_UNAVAILABLE },
    [SMTP_PHASE_QUIT] = { "to go on", "try again later", GONETS_UNAVAILABLE },
    [SMTP_PHASE_OVER] = { "to go on", "try again later", GONETS_UNAVAILABLE },
};

static void tell_broken(struct submit *s)
{
    const char *what = s->link == OS_OK ? "what it says makes no sense" : os_status_text(s->link);
    if (s->client.outcome == SMTP_CLIENT_UNKNOWN)
        fprintf(stderr,
                "%s: %s had the whole message but gave no answer (%s): it may have been taken; sending it "
                "again may make a second copy\n",
                s->what->command, s->peer, what);
    else
        fprintf(stderr, "%s: the connection to %s failed (%s), nothing was sent; try again later\n", s->what->command,
                s->peer, what);
    note_code(s, GONETS_TEMPORARY);
}

static void tell_failure(struct submit *s)
{
    const struct smtp_reply *reply = &s->client.reply;
    bool later = s->client.outcome == SMTP_CLIENT_TEMPORARY;
    char memory[2 * REPLY_SHOWN];
    if (s->client.phase == SMTP_PHASE_RCPT && reply->code >= 400 && reply->code != 421)
        return; /* each recipient was told */
    if (reply->code < 400) {
        tell_broken(s);
        return;
    }
    fprintf(stderr, "%s: %s refused %s%s: %s; %s\n", s->what->command, s->peer, places[s->client.phase].refused,
            later ? " for now" : "", reply_text(reply, memory),
            later ? "try again later" : places[s->client.phase].advice);
    note_code(s, later ? GONETS_TEMPORARY : places[s->client.phase].code);
}

static void tell_done(struct submit *s)
{
    const struct smtp_client_message *message = &s->what->message;
    char memory[2 * REPLY_SHOWN];
    size_t taken = 0;
    if (s->client.outcome != SMTP_CLIENT_SENT) {
        tell_failure(s);
        return;
    }
    for (size_t i = 0; i < message->recipient_count; i++)
        taken += smtp_client_fate(SMTP_CLIENT_SENT, &message->recipients[i]) == SMTP_CLIENT_SENT;
    if (!s->what->quiet)
        printf("%s took the message for %zu of %zu recipient%s: %s\n", s->peer, taken, message->recipient_count,
               message->recipient_count == 1 ? "" : "s", reply_text(&s->client.reply, memory));
}

/* ---- the session ---- */

static void end(struct submit *s)
{
    if (s->stream)
        os_stream_close(s->stream);
    s->stream = NULL;
    os_alarm(s->os, OS_NEVER, NULL, NULL);
    os_stop(s->os, s->code);
}

static void lose(struct submit *s, enum os_status status)
{
    s->link = status;
    smtp_client_lost(&s->client);
}

static void on_ready(struct submit *s)
{
    struct gonets_submission *what = s->what;
    int code = s->given ? GONETS_OK : what->content(what->ctx, s->os, &s->client, &what->message, &s->content);
    bool wanted = !s->given && code == GONETS_OK;
    note_code(s, code);
    s->given = true;
    if (!wanted) {
        smtp_client_quit(&s->client);
        return;
    }
    bool said = smtp_client_send(&s->client, &what->message);
    assert(said); /* the caller has checked the addresses */
}

static void on_content(struct submit *s)
{
    if (s->content.len)
        smtp_client_content(&s->client, &s->content, &s->out);
    else
        smtp_client_content_end(&s->client, os_now_us(s->os), &s->out);
}

static enum os_status write_out(struct submit *s)
{
    while (s->out.len) {
        struct os_slice slice = { s->out.at, s->out.len };
        size_t put = 0;
        enum os_status status = os_stream_write(s->stream, &slice, 1, &put);
        if (status != OS_OK)
            return status;
        buffer_remove(&s->out, put);
    }
    return OS_OK;
}

static enum os_status read_in(struct submit *s)
{
    size_t got = 0;
    enum os_status status = os_stream_read(s->stream, s->in.at + s->in.len, buffer_room(&s->in), &got);
    s->in.len += got;
    return status;
}

/* Writes and reads what can be; false: neither, wait. A link that cannot be written to any more may still hold the
 * server's last word, so it is lost only when there is nothing to read. */
static bool exchange(struct submit *s)
{
    size_t before = s->out.len;
    enum os_status written = write_out(s), got = read_in(s);
    if (got == OS_AGAIN && (written == OS_OK || written == OS_AGAIN))
        return s->out.len < before;
    if (got != OS_OK)
        lose(s, got == OS_AGAIN ? written : got);
    return true;
}

/* Does what the event asks for; false: wait for the link. */
static bool act(struct submit *s, enum smtp_client_event event)
{
    switch (event) {
    case SMTP_CLIENT_INPUT:
    case SMTP_CLIENT_FLUSH:
        return exchange(s);
    case SMTP_CLIENT_READY:
        on_ready(s);
        return true;
    case SMTP_CLIENT_RECIPIENT:
        tell_recipient(s);
        return true;
    case SMTP_CLIENT_CONTENT:
        on_content(s);
        return true;
    case SMTP_CLIENT_DONE:
        tell_done(s);
        return true;
    case SMTP_CLIENT_CLOSE:
        break;
    }
    if (!s->given)
        tell_failure(s);
    write_out(s);
    end(s);
    return false;
}

static void on_stream(void *ctx, unsigned events);

static void on_late(void *ctx)
{
    struct submit *s = ctx;
    lose(s, OS_TIMED_OUT);
    on_stream(s, 0);
}

static void talk(struct submit *s)
{
    enum smtp_client_event event;
    do {
        struct view input = buffer_view(&s->in);
        event = smtp_client_step(&s->client, os_now_us(s->os), &input, &s->out);
        buffer_remove(&s->in, s->in.len - input.len);
    } while (act(s, event));
    if (!s->stream)
        return;
    os_stream_watch(s->stream, OS_READABLE | (s->out.len ? OS_WRITABLE : 0), on_stream, s);
    os_alarm(s->os, s->client.deadline_us, on_late, s);
}

/* ---- connecting ---- */

static void try_next(struct submit *s);

static void not_connected(struct submit *s, enum os_status status)
{
    if (s->stream)
        os_stream_close(s->stream);
    s->stream = NULL;
    buffer_addf(&s->failures, "%s: cannot connect to %s: %s\n", s->what->command, s->peer, os_status_text(status));
    try_next(s);
}

static void on_connect_late(void *ctx)
{
    not_connected(ctx, OS_TIMED_OUT);
}

/* We have no name that means anything to the server: RFC 5321 section 4.1.4 has the address stand for it. */
static void greet(struct submit *s)
{
    struct address local = os_stream_local(s->stream);
    struct buffer hello = BUFFER_OF(s->hello);
    smtp_literal_add(&hello, &local);
    smtp_client_start(&s->client, buffer_view(&hello), os_now_us(s->os));
    s->connected = true;
}

/* The first event tells whether there is a connection; reading is what gives the error. */
static void on_stream(void *ctx, unsigned events)
{
    struct submit *s = ctx;
    (void)events;
    if (!s->connected) {
        size_t got = 0;
        enum os_status status = os_stream_read(s->stream, s->in.at, s->in.cap, &got);
        if (status != OS_OK && status != OS_AGAIN && status != OS_END) {
            not_connected(s, status);
            return;
        }
        s->in.len = got;
        greet(s);
    }
    talk(s);
}

/* Only now is it of interest which addresses did not answer. */
static void nobody_there(struct submit *s)
{
    fwrite(s->failures.at, 1, s->failures.len, stderr);
    fprintf(stderr, "%s: no server at '%.*s'; is it running, and is this its port? Nothing was sent\n",
            s->what->command, VIEW_FORMAT(s->what->server));
    note_code(s, GONETS_TEMPORARY);
    end(s);
}

static void try_next(struct submit *s)
{
    while (s->family < 2 && s->next == s->counts[s->family]) {
        s->family++;
        s->next = 0;
    }
    if (s->family == 2) {
        nobody_there(s);
        return;
    }
    struct address *to = &s->addresses[s->family][s->next++];
    struct buffer peer = { s->peer, 0, sizeof s->peer - 1, false };
    to->port = s->server.port;
    address_add(&peer, to);
    s->peer[peer.len] = '\0';
    enum os_status status = os_connect(s->os, to, NULL, &s->stream);
    if (status != OS_OK) {
        not_connected(s, status);
        return;
    }
    os_stream_watch(s->stream, OS_READABLE | OS_WRITABLE, on_stream, s);
    os_alarm(s->os, os_now_us(s->os) + CONNECT_US_MAX, on_connect_late, s);
}

/* ---- addresses ---- */

static void no_address(struct submit *s)
{
    bool trouble = s->queries[0].result == OS_DNS_TROUBLE || s->queries[1].result == OS_DNS_TROUBLE;
    if (trouble)
        fprintf(stderr, "%s: the DNS gives no answer for '%.*s'; try again later\n", s->what->command,
                VIEW_FORMAT(s->server.host));
    else
        fprintf(stderr, "%s: there is no host '%.*s'; check the server's name\n", s->what->command,
                VIEW_FORMAT(s->server.host));
    note_code(s, trouble ? GONETS_TEMPORARY : GONETS_NO_HOST);
    end(s);
}

/* Records of another size than an address has are no addresses. */
static void keep_addresses(struct submit *s, const struct os_dns_query *query)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    size_t family = query->type == OS_DNS_A, size = family ? 4 : 16;
    for (size_t i = 0; i < query->record_count && s->counts[family] < ADDRESSES_MAX; i++) {
        struct address *address = &s->addresses[family][s->counts[family]];
        if (query->records[i].len != size)
            continue;
        *address = (struct address){ .set = true };
        memcpy(address->ip, mapped, sizeof mapped);
        memcpy(address->ip + sizeof address->ip - size, query->records[i].at, size);
        s->counts[family]++;
    }
}

static void on_answer(void *ctx, struct os_dns_query *query)
{
    struct submit *s = ctx;
    if (query->result == OS_DNS_FOUND)
        keep_addresses(s, query);
    if (--s->open_queries)
        return;
    if (s->counts[0] + s->counts[1])
        try_next(s);
    else
        no_address(s);
}

static void ask(struct submit *s, size_t family, enum os_dns_type type)
{
    struct os_dns_query *query = &s->queries[family];
    *query = (struct os_dns_query){ .type = type, .done = on_answer, .ctx = s };
    memcpy(query->name, s->server.host.at, s->server.host.len);
    s->open_queries++;
    os_dns_ask(s->os, query);
}

/* "localhost" is never asked for (RFC 6761 section 6.3). */
static void find_addresses(struct submit *s)
{
    if (s->server.host.len && !view_equal_nocase(s->server.host, VIEW("localhost"))) {
        ask(s, 0, OS_DNS_AAAA);
        ask(s, 1, OS_DNS_A);
        return;
    }
    if (s->server.host.len) {
        address_parse_ip(VIEW("::1"), &s->addresses[0][s->counts[0]++]);
        address_parse_ip(VIEW("127.0.0.1"), &s->addresses[1][s->counts[1]++]);
    } else {
        s->addresses[0][s->counts[0]++] = s->server.address;
    }
    try_next(s);
}

int gonets_submit(struct gonets_submission *what)
{
    int code = GONETS_OS;
    struct submit *s = calloc(1, sizeof *s);
    struct os *os = s ? os_linux_new(NULL, 0) : NULL;
    if (os && parse_server(what->server, &s->server)) {
        s->os = os;
        s->what = what;
        s->failures = BUFFER_OF(s->failures_memory);
        s->in = BUFFER_OF(s->in_memory);
        s->out = BUFFER_OF(s->out_memory);
        find_addresses(s);
        code = os_linux_run(os);
    } else {
        fprintf(stderr, "%s: out of memory or file descriptors\n", what->command);
    }
    if (os)
        os_linux_free(os);
    free(s);
    return code;
}

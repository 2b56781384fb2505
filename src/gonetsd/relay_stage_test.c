#include "gonetsd/relay_stage_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "gonetsd/relay.h"
#include "gonetsd/roles.h"

static const char config[] = "hostname mx.own.example\n"
                             "spool /spool\n"
                             "listen 127.0.0.1:25\n"
                             "limit relay_jobs 1000\n"
                             "limit relay_sessions 8\n"
                             "limit relay_destination 4\n"
                             "action out relay\n"
                             "action hub relay via 192.0.2.3:25 mx4.example:25\n"
                             "action box maildir /home/joe/Maildir user joe\n"
                             "match from local for any action out\n";

/* ---- servers ---- */

struct connection {
    struct list link;
    struct stage_server *server;
    struct os_stream *stream;
    bool in_content;
    char in[65536], content[262144];
    size_t in_len, content_len;
};

static void close_connection(struct connection *c)
{
    os_stream_close(c->stream);
    list_remove(&c->link);
    c->server->open--;
    free(c);
}

static bool say(struct connection *c, const char *text)
{
    const struct os_slice slice = { text, strlen(text) };
    size_t put;
    if (strcmp(text, "CUT") == 0) {
        close_connection(c);
        return false;
    }
    if (slice.len && os_stream_write(c->stream, &slice, 1, &put) == OS_OK)
        assert_int_equal(put, slice.len);
    return true;
}

static const char *rule_for(struct stage_server *server, struct view command)
{
    for (size_t i = 0; i < STAGE_RULES && server->rules[i].command; i++) {
        const struct stage_rule *rule = &server->rules[i];
        struct view start = view_of(rule->command);
        if (start.len ? !view_starts(command, start) : command.len > 0)
            continue;
        if (rule->nth == 0 || ++server->seen[i] == rule->nth)
            return rule->reply;
    }
    return NULL;
}

static bool answer(struct connection *c, struct view command)
{
    struct stage_server *server = c->server;
    const char *reply = rule_for(server, command);
    char text[256];
    if (!reply && command.len == 0)
        snprintf(text, sizeof text, "220 %s ESMTP\r\n", server->name);
    else if (!reply && view_starts(command, VIEW("EHLO")))
        snprintf(text, sizeof text, "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 200000\r\n", server->name);
    else
        snprintf(text, sizeof text, "%s",
                 view_starts(command, VIEW("DATA"))   ? "354 go\r\n"
                 : view_starts(command, VIEW("QUIT")) ? "221 bye\r\n"
                 : view_starts(command, VIEW("."))    ? "250-2.0.0 taken\r\n250 2.0.0 as 42\r\n"
                                                      : "250 ok\r\n");
    reply = reply ? reply : text;
    c->in_content = c->in_content || (view_starts(command, VIEW("DATA")) && reply[0] == '3');
    if (view_equal(command, VIEW(".")) && reply[0] == '2') {
        server->messages++;
        free(server->content);
        server->content = malloc(c->content_len + 1);
        memcpy(server->content, c->content, c->content_len);
        server->content_len = c->content_len;
    }
    return say(c, reply);
}

static void hear(struct stage_server *server, struct view line)
{
    if (server->heard_len + line.len + 1 > sizeof server->heard)
        return;
    memcpy(server->heard + server->heard_len, line.at, line.len);
    server->heard_len += line.len;
    server->heard[server->heard_len++] = '|';
}

/* false: the connection is gone. */
static bool take_line(struct connection *c, struct view line)
{
    if (c->in_content && !view_equal(line, VIEW("."))) {
        assert_true(c->content_len + line.len + 2 <= sizeof c->content);
        if (line.len)
            memcpy(c->content + c->content_len, line.at, line.len);
        memcpy(c->content + c->content_len + line.len, "\r\n", 2);
        c->content_len += line.len + 2;
        return true;
    }
    c->in_content = false;
    hear(c->server, line);
    bool lives = answer(c, line);
    if (lives && view_equal(line, VIEW(".")))
        c->content_len = 0;
    return lives;
}

static void on_input(void *ctx, unsigned events)
{
    struct connection *c = ctx;
    size_t got;
    (void)events;
    enum os_status status = os_stream_read(c->stream, c->in + c->in_len, sizeof c->in - c->in_len, &got);
    if (status == OS_AGAIN)
        return;
    if (status != OS_OK) {
        close_connection(c);
        return;
    }
    c->in_len += got;
    struct view rest = { c->in, c->in_len };
    size_t end;
    while ((end = view_find(rest, '\n')) < rest.len) {
        struct view line = view_take(&rest, end + 1);
        assert_true(line.len >= 2 && line.at[line.len - 2] == '\r');
        if (!take_line(c, view_slice(line, 0, line.len - 2)))
            return;
    }
    memmove(c->in, rest.at, rest.len);
    c->in_len = rest.len;
}

static void on_connection(void *ctx, unsigned events)
{
    struct stage_server *server = ctx;
    struct os_stream *stream;
    (void)events;
    if (os_accept(server->listener, &stream) != OS_OK)
        return;
    struct connection *c = calloc(1, sizeof *c);
    c->server = server;
    c->stream = stream;
    server->connects++;
    server->open++;
    list_append(&server->connections, &c->link);
    os_stream_watch(stream, OS_READABLE, on_input, c);
    answer(c, VIEW_NONE);
}

static void open_server(struct stage *stage, unsigned n)
{
    static const char *const names[STAGE_SERVERS] = { "mx1.example", "mx2.example", "mx3.example", "mx4.example" };
    struct stage_server *server = &stage->servers[n];
    struct mem_host *host = mem_host_new(stage->scene.world, names[n]);
    char ip[32], ip6[32];
    struct address at = { 0 }, bound;
    snprintf(ip, sizeof ip, "192.0.2.%u", n + 1);
    snprintf(ip6, sizeof ip6, "2001:db8::%u", n + 1);
    assert_true(mem_host_add_address(host, ip) && mem_host_add_address(host, ip6));
    assert_true(address_parse(VIEW("*:25"), &at));
    server->name = names[n];
    server->os = mem_process_new(host);
    list_init(&server->connections);
    assert_int_equal(os_listen(server->os, &at, true, &server->listener, &bound), OS_OK);
    os_listener_watch(server->listener, true, on_connection, server);
    assert_true(mem_dns_add(stage->scene.world, names[n], OS_DNS_A, ip));
}

void stage_server_down(struct stage *stage, unsigned n)
{
    os_listener_close(stage->servers[n].listener);
    stage->servers[n].listener = NULL;
}

static void close_server(struct stage_server *server)
{
    list_each_safe(link, &server->connections) close_connection(list_entry(link, struct connection, link));
    if (server->listener)
        os_listener_close(server->listener);
    free(server->content);
}

unsigned stage_heard(const struct stage_server *server, const char *text)
{
    unsigned count = 0;
    size_t len = strlen(text);
    for (size_t i = 0; i + len <= server->heard_len; i++)
        count += memcmp(server->heard + i, text, len) == 0;
    return count;
}

void stage_mx(struct stage *stage, const char *records)
{
    struct view rest = view_of(records);
    mem_dns_remove(stage->scene.world, "dest.example", OS_DNS_MX);
    while (rest.len) {
        char text[64];
        struct view record = view_trim(view_take_until(&rest, ','));
        snprintf(text, sizeof text, "%.*s", VIEW_FORMAT(record));
        assert_true(mem_dns_add(stage->scene.world, "dest.example", OS_DNS_MX, text));
    }
}

/* ---- supervisor ---- */

static void on_supervisor_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct stage *stage = ctx;
    (void)body, (void)handle;
    stage->ready = stage->ready || type == IPC_READY;
}

static void on_resolver_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    (void)ctx, (void)type, (void)body, (void)handle;
}

static void on_nothing(void *ctx)
{
    (void)ctx;
}

static void on_exit_of(void *ctx, int code)
{
    bool *exited = ctx;
    (void)code;
    if (exited)
        *exited = true;
}

static void send_type(struct ipc *ipc, enum ipc_type type)
{
    char memory[1];
    struct buffer frame = BUFFER_OF(memory);
    ipc_type_pack(&frame, type);
    ipc_send(ipc, buffer_view(&frame));
}

void stage_type(struct stage *stage, enum ipc_type type)
{
    send_type(&stage->supervisor, type);
}

static void spawn(struct stage *stage, const char *role, struct os_child **child, struct ipc *ipc,
                  void (*on_frame)(void *, uint8_t, struct unpack *, struct os_handle *), bool *exited)
{
    char memory[4096];
    struct buffer frame = BUFFER_OF(memory);
    struct os_link *link;
    const struct os_spawn what = { .role = role };
    assert_int_equal(os_spawn(stage->scene.os, &what, &link, child, on_exit_of, exited), OS_OK);
    ipc_open(ipc, stage->scene.os, link, &(struct ipc_owner){ stage, on_frame, NULL, on_nothing });
    role_say_hello(ipc, IPC_SUPERVISOR, 0);
    ipc_config_pack(&frame, &(struct ipc_config){ .last = true, .generation = 1, .text = view_of(config) });
    ipc_send(ipc, buffer_view(&frame));
    send_type(ipc, IPC_START);
}

static void give_link(struct ipc *to, enum ipc_role role, struct os_link *link)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    const struct os_handle handle = { .kind = OS_HANDLE_LINK, .link = link };
    ipc_handle_pack(&frame, &(struct ipc_handle){ .what = IPC_A_LINK, .role = (uint8_t)role });
    assert_true(ipc_send_handle(to, buffer_view(&frame), &handle));
    os_link_close(link);
}

/* ---- qmgr ---- */

static void take_result(struct stage *stage, struct unpack *body)
{
    struct ipc_result m;
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    assert_true(ipc_result_unpack(body, &m));
    assert_true(m.recipient < STAGE_RECIPIENTS);
    struct stage_result *r = &stage->results[m.recipient];
    r->count++;
    r->last = m;
    r->at_us = mem_world_now_us(stage->scene.world);
    snprintf(r->text, sizeof r->text, "%.*s", VIEW_FORMAT(m.text));
    snprintf(r->remote, sizeof r->remote, "%.*s", VIEW_FORMAT(m.remote));
    if (!stage->keeps)
        return;
    ipc_kept_pack(&frame, &(struct ipc_kept){ m.id, m.recipient });
    ipc_send(&stage->qmgr, buffer_view(&frame));
}

static void on_qmgr_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct stage *stage = ctx;
    uint32_t count;
    (void)handle;
    if (type == IPC_RESULT)
        take_result(stage, body);
    else if (type == IPC_CREDIT && ipc_credit_unpack(body, &count))
        stage->credit += count;
}

void stage_link_qmgr(struct stage *stage)
{
    struct os_link *ours, *theirs;
    ipc_close(&stage->qmgr);
    stage->credit = 0;
    assert_int_equal(os_link_pair(stage->scene.os, &ours, &theirs), OS_OK);
    ipc_open(&stage->qmgr, stage->scene.os, ours, &(struct ipc_owner){ stage, on_qmgr_frame, NULL, on_nothing });
    role_say_hello(&stage->qmgr, IPC_QMGR, 0);
    give_link(&stage->supervisor, IPC_QMGR, theirs);
}

void stage_link_resolver(struct stage *stage)
{
    struct os_link *a, *b;
    assert_int_equal(os_link_pair(stage->scene.os, &a, &b), OS_OK);
    give_link(&stage->supervisor, IPC_RESOLVER, a);
    give_link(&stage->resolver, IPC_SMTP, b);
}

void stage_content(struct stage *stage)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    const struct os_handle handle = { .kind = OS_HANDLE_FILE, .file = stage->scene.segment };
    ipc_segment_pack(&frame, IPC_CONTENT, &(struct ipc_segment){ .number = 1 });
    assert_true(ipc_send_handle(&stage->qmgr, buffer_view(&frame), &handle));
}

void stage_store(struct stage *stage, unsigned n, const char *content)
{
    scene_store(&stage->scene, n, VIEW("me@own.example"), VIEW_NONE, view_of(content), STORED_BODY);
}

void stage_job(struct stage *stage, unsigned n, const char *action, const char *domain, uint32_t first, unsigned count)
{
    static char list[16384], memory[OS_FRAME_MAX];
    struct buffer recipients = BUFFER_OF(list), frame = BUFFER_OF(memory);
    const struct stored *stored = &stage->scene.stored[n];
    for (uint32_t i = first; i < first + count; i++) {
        char path[128];
        snprintf(path, sizeof path, "r%u@%s", i, domain);
        ipc_recipient_add(&recipients, i, view_of(path));
    }
    ipc_relay_job_pack(&frame, &(struct ipc_relay_job){ stored->id, 1, stored->place.offset, stored->place.content_size,
                                                        stored->place.head_size, view_of(action), view_of(domain),
                                                        buffer_view(&recipients) });
    assert_true(ipc_send(&stage->qmgr, buffer_view(&frame)));
}

/* ---- the stage ---- */

void stage_run(struct stage *stage, uint64_t s)
{
    mem_world_run_until(stage->scene.world, mem_world_now_us(stage->scene.world) + s * 1000000);
}

void stage_open(struct stage *stage)
{
    static const struct os_role roles[] = { { "smtp", smtp_start, smtp_stop },
                                            { "resolver", resolver_start, resolver_stop } };
    memset(stage, 0, sizeof *stage);
    scene_open(&stage->scene, 3);
    mem_host_add_address(stage->scene.host, "192.0.2.100");
    mem_host_add_address(stage->scene.host, "2001:db8::100");
    mem_host_set_roles(stage->scene.host, roles, ROWS(roles));
    for (unsigned n = 0; n < STAGE_SERVERS; n++)
        open_server(stage, n);
    stage_mx(stage, "10 mx1.example");
    for (unsigned n = 0; n < SCENE_JOBS_MAX; n++) {
        char content[64];
        snprintf(content, sizeof content, "Subject: %u\r\n\r\n.body\r\n", n);
        stage_store(stage, n, content);
    }
    stage->keeps = true;
    spawn(stage, "smtp", &stage->child, &stage->supervisor, on_supervisor_frame, &stage->exited);
    spawn(stage, "resolver", &stage->resolver_child, &stage->resolver, on_resolver_frame, NULL);
    stage_link_resolver(stage);
    stage_link_qmgr(stage);
    stage_content(stage);
    stage_run(stage, 1);
    assert_true(stage->ready);
    assert_int_equal(stage->credit, 1000);
}

/* Whatever happened, once every result is kept nothing of it is left but sessions (O6). */
static void check_books(struct stage *stage)
{
    struct os *os = mem_host_process(stage->scene.host, "smtp", 0);
    const struct relay *relay = os ? mem_process_object(os) : NULL;
    if (relay && relay->recipients.count == 0)
        assert_true(relay->memory == 0 && relay->busy == 0 && relay->questions.count == 0);
}

uint64_t stage_credit(struct stage *stage)
{
    const struct relay *relay = mem_process_object(mem_host_process(stage->scene.host, "smtp", 0));
    return stage->credit + relay->owed_credit;
}

void stage_close(struct stage *stage)
{
    check_books(stage);
    for (unsigned n = 0; n < STAGE_SERVERS; n++)
        close_server(&stage->servers[n]);
    ipc_close(&stage->supervisor);
    ipc_close(&stage->resolver);
    ipc_close(&stage->qmgr);
    scene_close(&stage->scene);
}

/* Names, by libunbound with a thread of its own, made at the first query. It validates by itself and believes nobody's
 * AD bit (H102), takes random ports and 0x20 (H99), and tells rather "trouble" than "none" (H95). */
#include "os/linux/linux.h"

#include <stdlib.h>
#include <unbound.h>

#define RECORDS_MAX 256 /* of one answer; more of them is nobody's honest mail (H96) */
#define CLASS_IN    1
#define NO_ERROR    0 /* rcodes, RFC 1035 section 4.1.1 */
#define NAME_ERROR  3

static const struct {
    const char *name, *value;
} options[] = {
    { "do-not-query-localhost:", "no" },    /* the usual place of a good resolver */
    { "unblock-lan-zones:", "yes" },        /* which may know the names of 10.0.0.0/8, */
    { "local-zone:", "test. transparent" }, /* or of a test; the library would say that there are none */
    { "use-caps-for-id:", "yes" },
    { "outgoing-range:", "512" }, /* sockets at a time; the library's own 16 is for a browser */
    { "num-queries-per-thread:", "1024" },
};

void os_linux_set_dns(struct os *os, const char *forwarder)
{
    os->resolver.forwarder = forwarder;
}

void os_linux_set_dns_anchors(struct os *os, const char *file)
{
    os->resolver.anchors = file;
}

/* ---- answers ---- */

static enum os_dns_result result_of(int error, const struct ub_result *answer)
{
    if (error || !answer || answer->bogus)
        return OS_DNS_TROUBLE;
    if (answer->havedata)
        return OS_DNS_FOUND;
    if (answer->nxdomain && answer->rcode == NAME_ERROR)
        return OS_DNS_NO_NAME;
    return answer->rcode == NO_ERROR && !answer->nxdomain ? OS_DNS_NO_DATA : OS_DNS_TROUBLE;
}

static void on_answer(void *ctx, int error, struct ub_result *answer)
{
    struct os_dns_query *query = ctx;
    struct os_slice records[RECORDS_MAX];
    query->result = result_of(error, answer);
    query->secure = answer && answer->secure;
    query->ttl_s = answer && answer->ttl > 0 ? (uint32_t)answer->ttl : 0;
    query->records = records;
    query->record_count = 0;
    if (query->result == OS_DNS_FOUND)
        for (size_t i = 0; i < RECORDS_MAX && answer->data[i]; i++)
            records[query->record_count++] = (struct os_slice){ answer->data[i], (size_t)answer->len[i] };
    query->done(query->ctx, query);
    ub_resolve_free(answer);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct os *os = poll->data;
    (void)status, (void)events;
    if (!os->turns.over)
        ub_process(os->resolver.context);
}

/* ---- the library ---- */

/* "192.0.2.1@53" */
static void write_server(char *to, size_t size, const struct address *server)
{
    struct buffer text;
    buffer_init(&text, to, size);
    address_add_ip(&text, server);
    buffer_addf(&text, "@%u", server->port);
    buffer_add_char(&text, 0);
}

/* The library has answers of its own for zones like invalid. or 10.in-addr.arpa., which a stub takes the place of. */
static bool add_stub(struct ub_ctx *context, const char *zone, const char *server)
{
    char memory[300];
    struct buffer local = BUFFER_OF(memory);
    buffer_addf(&local, "%s transparent", zone);
    buffer_add_char(&local, 0);
    return !local.full && ub_ctx_set_option(context, "local-zone:", memory) == 0 &&
           ub_ctx_set_stub(context, zone, server, 0) == 0;
}

static bool add_source(struct ub_ctx *context, const struct os_dns_source *source)
{
    char server[ADDRESS_TEXT_MAX + 8];
    write_server(server, sizeof server, &source->server);
    switch (source->kind) {
    case OS_DNS_FORWARD:
        return ub_ctx_set_fwd(context, server) == 0;
    case OS_DNS_STUB:
        return add_stub(context, source->zone, server);
    case OS_DNS_INSECURE:
        return ub_ctx_set_option(context, "domain-insecure:", source->zone) == 0;
    }
    return false;
}

static bool configure(struct ub_ctx *context, const struct resolver *r, const struct os_dns_source *sources,
                      size_t count)
{
    bool forward = r->forwarder != NULL;
    ub_ctx_debugout(context, NULL);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (ub_ctx_set_option(context, options[i].name, options[i].value) != 0)
            return false;
    if (r->anchors && ub_ctx_add_ta_file(context, r->anchors) != 0)
        return false;
    if (r->forwarder && ub_ctx_set_fwd(context, r->forwarder) != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        forward = forward || sources[i].kind == OS_DNS_FORWARD;
        if (!add_source(context, &sources[i]))
            return false;
    }
    if (!forward)
        ub_ctx_resolvconf(context, NULL); /* a machine without the file asks from the root on */
    return ub_ctx_async(context, true) == 0;
}

static bool begin(struct os *os, const struct os_dns_source *sources, size_t count)
{
    struct resolver *r = &os->resolver;
    struct ub_ctx *context = ub_ctx_create();
    r->poll = calloc(1, sizeof *r->poll);
    if (!context || !r->poll || !configure(context, r, sources, count) ||
        uv_poll_init(&os->loop, r->poll, ub_fd(context)) != 0) {
        if (context)
            ub_ctx_delete(context);
        free(r->poll);
        r->poll = NULL;
        return false;
    }
    r->context = context;
    r->poll->data = os;
    uv_poll_start(r->poll, UV_READABLE, on_readable);
    return true;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void end(struct resolver *r)
{
    if (!r->context)
        return;
    uv_close((uv_handle_t *)r->poll, on_closed);
    ub_ctx_delete(r->context);
    r->context = NULL;
}

bool os_dns_use(struct os *os, const struct os_dns_source *sources, size_t count)
{
    struct resolver *r = &os->resolver;
    r->unusable = r->context || !begin(os, sources, count);
    return !r->unusable;
}

static void tell_failed(void *ctx)
{
    struct os *os = ctx;
    struct os_dns_query *query = os->resolver.failed;
    os->resolver.failed = NULL;
    while (query) {
        struct os_dns_query *next = query->inner;
        query->inner = NULL;
        query->done(query->ctx, query);
        query = next;
    }
}

static bool ask(struct os *os, struct os_dns_query *query)
{
    struct resolver *r = &os->resolver;
    if (r->unusable || (!r->context && !begin(os, NULL, 0)))
        return false;
    int error = ub_resolve_async(r->context, query->name, (int)query->type, CLASS_IN, query, on_answer, NULL);
    if (error == UB_INITFAIL) { /* asked once more, the library ends the process */
        end(r);
        r->unusable = true;
    }
    return error == 0;
}

void os_dns_ask(struct os *os, struct os_dns_query *query)
{
    query->result = OS_DNS_TROUBLE;
    query->secure = false;
    query->ttl_s = 0;
    query->records = NULL;
    query->record_count = 0;
    if (ask(os, query))
        return;
    query->inner = os->resolver.failed;
    os->resolver.failed = query;
    os_later(os, &os->resolver.tell_failed);
}

void os_linux_dns_init(struct os *os)
{
    os->resolver.tell_failed = (struct os_task){ tell_failed, os, NULL, false };
}

void os_linux_dns_free(struct os *os)
{
    end(&os->resolver);
}

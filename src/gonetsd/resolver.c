/* Role resolver: asks the DNS for all smtp processes, so that none of them needs a resolver of its own and one cache
 * serves all. What it says was validated where a trust anchor is; trouble is never said to be absence (H95). */
#include <stdlib.h>
#include <string.h>

#include "gonetsd/event.h"
#include "gonetsd/role.h"
#include "gonetsd/roles.h"

#define RUNNING_MAX 512   /* questions in the library at a time */
#define WAITING_MAX 20000 /* of one asker, for their turn; one more is answered by "trouble" at once */
#define SOURCES_MAX 1000  /* `dns` statements, CONF_STATEMENTS_MAX */

struct resolver {
    struct os *os;
    struct role role;
    struct event_log log;
    const struct conf_dns *dns; /* in use */
    struct list askers;
    struct list waiting, running;
    size_t running_count;
    char records[OS_FRAME_MAX - 64], frame[OS_FRAME_MAX]; /* of the answer that is being written */
};

struct asker {
    struct list link;
    struct resolver *resolver;
    struct ipc ipc;
    size_t waiting;
    struct os_task free_task;
};

struct question {
    struct list link;
    struct resolver *resolver;
    struct asker *asker; /* NULL: gone */
    uint64_t ticket;
    struct os_dns_query query;
};

/* Records that do not fit into a frame are left out: it takes more than anybody has honest use for (H96). */
static void add_records(struct buffer *records, const struct os_dns_query *query)
{
    for (size_t i = 0; i < query->record_count; i++)
        ipc_record_add(records, (struct view){ query->records[i].at, query->records[i].len });
}

static void say(struct asker *asker, uint64_t ticket, const struct os_dns_query *query)
{
    struct resolver *resolver = asker->resolver;
    struct buffer records = BUFFER_OF(resolver->records), frame = BUFFER_OF(resolver->frame);
    add_records(&records, query);
    ipc_resolved_pack(&frame, &(struct ipc_resolved){ ticket, (uint8_t)query->result, query->secure, query->ttl_s,
                                                      buffer_view(&records) });
    ipc_send(&asker->ipc, buffer_view(&frame));
}

static void run_waiting(struct resolver *resolver);

static void on_answer(void *ctx, struct os_dns_query *query)
{
    struct question *q = ctx;
    struct resolver *resolver = q->resolver;
    if (q->asker)
        say(q->asker, q->ticket, query);
    list_remove(&q->link);
    free(q);
    resolver->running_count--;
    run_waiting(resolver);
}

static void run_waiting(struct resolver *resolver)
{
    struct list *link;
    while (resolver->running_count < RUNNING_MAX && (link = list_pop(&resolver->waiting))) {
        struct question *q = list_entry(link, struct question, link);
        q->asker->waiting--;
        resolver->running_count++;
        list_append(&resolver->running, &q->link);
        os_dns_ask(resolver->os, &q->query);
    }
}

static struct question *new_question(struct asker *asker, const struct ipc_resolve *m)
{
    struct question *q = asker->waiting < WAITING_MAX ? calloc(1, sizeof *q) : NULL;
    if (!q)
        return NULL;
    q->resolver = asker->resolver;
    q->asker = asker;
    q->ticket = m->ticket;
    q->query.type = (enum os_dns_type)m->type;
    q->query.done = on_answer;
    q->query.ctx = q;
    memcpy(q->query.name, m->name.at, m->name.len);
    return q;
}

static bool is_name(struct view name)
{
    return name.len > 0 && name.len < sizeof((struct os_dns_query *)0)->name && !view_has(name, '\0');
}

static bool take_question(struct asker *asker, struct unpack *body)
{
    struct ipc_resolve m;
    const struct os_dns_query trouble = { .result = OS_DNS_TROUBLE };
    if (!ipc_resolve_unpack(body, &m) || !is_name(m.name))
        return false;
    struct question *q = new_question(asker, &m);
    if (!q) {
        say(asker, m.ticket, &trouble);
        return true;
    }
    asker->waiting++;
    list_append(&asker->resolver->waiting, &q->link);
    run_waiting(asker->resolver);
    return true;
}

/* ---- links ---- */

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct asker *asker = ctx;
    uint32_t instance;
    bool good = false;
    (void)handle;
    if (type == IPC_HELLO)
        good = role_check_hello(body, IPC_SMTP, &instance);
    else if (type == IPC_RESOLVE)
        good = take_question(asker, body);
    if (!good)
        ipc_end(&asker->ipc);
}

static void free_asker(void *ctx)
{
    struct asker *asker = ctx;
    list_remove(&asker->link);
    free(asker);
}

static void on_gone(void *ctx)
{
    struct asker *asker = ctx;
    struct resolver *resolver = asker->resolver;
    list_each_safe(link, &resolver->waiting)
    {
        struct question *q = list_entry(link, struct question, link);
        if (q->asker != asker)
            continue;
        list_remove(link);
        free(q);
    }
    list_each(link, &resolver->running)
    {
        struct question *q = list_entry(link, struct question, link);
        if (q->asker == asker)
            q->asker = NULL;
    }
    os_later(resolver->os, &asker->free_task);
}

static void on_handle(void *ctx, const struct ipc_handle *what, struct os_handle *handle)
{
    struct resolver *resolver = ctx;
    if (what->what != IPC_A_LINK || what->role != IPC_SMTP || handle->kind != OS_HANDLE_LINK)
        return;
    struct asker *asker = calloc(1, sizeof *asker);
    if (!asker)
        return;
    handle->kind = OS_HANDLE_NONE;
    asker->resolver = resolver;
    asker->free_task = (struct os_task){ free_asker, asker, NULL, false };
    list_append(&resolver->askers, &asker->link);
    ipc_open(&asker->ipc, resolver->os, handle->link, &(struct ipc_owner){ asker, on_frame, NULL, on_gone });
    role_say_hello(&asker->ipc, IPC_RESOLVER, 0);
}

/* ---- the role ---- */

static const char *zone_text(struct arena *arena, struct view zone)
{
    return zone.len ? arena_copy(arena, zone).at : ".";
}

/* `dns` of the configuration. */
static bool use_sources(struct resolver *resolver, struct arena *arena)
{
    static const enum os_dns_source_kind kinds[] = {
        [CONF_DNS_FORWARD] = OS_DNS_FORWARD,
        [CONF_DNS_STUB] = OS_DNS_STUB,
        [CONF_DNS_INSECURE] = OS_DNS_INSECURE,
    };
    struct os_dns_source *sources = arena_alloc(arena, SOURCES_MAX * sizeof *sources);
    size_t count = 0;
    for (const struct conf_dns *d = resolver->role.conf.dns; sources && d && count < SOURCES_MAX; d = d->next) {
        const char *zone = zone_text(arena, d->zone);
        if (!zone)
            return false;
        sources[count++] = (struct os_dns_source){ kinds[d->kind], zone, d->server };
    }
    return sources && os_dns_use(resolver->os, sources, count);
}

static void on_start(void *ctx)
{
    struct resolver *resolver = ctx;
    struct arena arena;
    resolver->log.text = resolver->role.conf.log_text;
    resolver->dns = resolver->role.conf.dns;
    arena_init(&arena, 4096, 1u << 20);
    if (resolver->role.conf.dns && !use_sources(resolver, &arena))
        event_note(&resolver->log, "dns-refused",
                   VIEW("the resolver cannot use what `dns` says: all mail by DNS waits"));
    arena_reset(&arena);
    role_ready(&resolver->role);
}

/* A resolver that asks others is a new one: the supervisor starts it. */
static void on_reloaded(void *ctx)
{
    struct resolver *resolver = ctx;
    resolver->log.text = resolver->role.conf.log_text;
    if (!conf_dns_same(resolver->dns, resolver->role.conf.dns))
        os_stop(resolver->os, 0);
    resolver->dns = resolver->role.conf.dns;
}

static void on_stop(void *ctx)
{
    struct resolver *resolver = ctx;
    os_stop(resolver->os, 0);
}

void *resolver_start(struct os *os, struct os_link *supervisor)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (!resolver)
        return NULL;
    resolver->os = os;
    resolver->log = (struct event_log){ os, false, "resolver" };
    list_init(&resolver->askers);
    list_init(&resolver->waiting);
    list_init(&resolver->running);
    role_open(&resolver->role, os, supervisor, IPC_RESOLVER,
              &(struct role_owner){
                  .ctx = resolver, .handle = on_handle, .start = on_start, .stop = on_stop, .reloaded = on_reloaded });
    return resolver;
}

static void free_questions(struct list *questions)
{
    for (struct list *link; (link = list_pop(questions));)
        free(list_entry(link, struct question, link));
}

void resolver_stop(void *role)
{
    struct resolver *resolver = role;
    for (struct list *link; (link = list_pop(&resolver->askers));) {
        struct asker *asker = list_entry(link, struct asker, link);
        ipc_close(&asker->ipc);
        free(asker);
    }
    free_questions(&resolver->waiting);
    free_questions(&resolver->running);
    role_close(&resolver->role);
    free(resolver);
}

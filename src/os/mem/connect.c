/* Who listens where, and how connections come about. */
#include "os/mem/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG_MAX    4096
#define TRY_EVERY_US   1000000
#define TRY_FOR_US     127000000 /* as Linux does */
#define FIRST_ANY_PORT 32768

/* What the copies of a listener share. */
struct listening {
    struct mem_host *host;
    struct list in_host, handles, backlog;
    size_t waiting;
    struct address at;
    unsigned refs;
};

struct os_listener {
    struct handle handle;
    struct watch watch;
    struct listening *listening; /* NULL: cut */
    struct list in_listening;
};

/* ---- addresses ---- */

static const struct address any_v4 = { .ip = { [10] = 0xff, [11] = 0xff } };
static const struct address any;

static bool same_ip(const struct address *a, const struct address *b)
{
    return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static bool covers(const struct address *listens, const struct address *to)
{
    return same_ip(listens, to) || same_ip(listens, &any) || (same_ip(listens, &any_v4) && address_is_v4(to));
}

static bool has_address(const struct mem_host *host, const struct address *a)
{
    for (size_t i = 0; i < host->address_count; i++)
        if (same_ip(&host->addresses[i], a))
            return true;
    return address_is_loopback(a);
}

bool mem_host_add_address(struct mem_host *host, const char *ip)
{
    struct address a = { .set = true };
    if (!address_parse_ip(view_of(ip), &a))
        return false;
    host->addresses = realloc(host->addresses, (host->address_count + 1) * sizeof(a));
    if (!host->addresses)
        abort();
    host->addresses[host->address_count++] = a;
    return true;
}

static struct mem_host *host_at(struct mem_host *from, const struct address *to)
{
    if (has_address(from, to))
        return from;
    list_each(link, &from->world->hosts)
    {
        struct mem_host *host = list_entry(link, struct mem_host, in_world);
        if (has_address(host, to))
            return host;
    }
    return NULL;
}

static uint16_t any_port(struct mem_host *host)
{
    if (host->last_port < FIRST_ANY_PORT || host->last_port == UINT16_MAX)
        host->last_port = FIRST_ANY_PORT;
    return host->last_port++;
}

/* ---- listeners ---- */

static unsigned ready(struct handle *handle)
{
    const struct listening *l = ((struct os_listener *)handle)->listening;
    return l && l->waiting > 0 ? OS_READABLE : 0;
}

static struct connection *take_waiting(struct listening *l)
{
    struct list *link = list_pop(&l->backlog);
    if (!link)
        return NULL;
    l->waiting--;
    return list_entry(link, struct connection, in_backlog);
}

static void drop_listening(struct listening *l)
{
    if (--l->refs > 0)
        return;
    for (struct connection *c; (c = take_waiting(l));) {
        c->ends[0].in.reset = true;
        mem_end_drop(&c->ends[1]);
    }
    list_remove(&l->in_host);
    free(l);
}

static struct os_listener *new_listener(struct mem_world *world, struct os *os, struct listening *l);

static struct handle *copy_listener(struct handle *handle)
{
    struct listening *l = ((struct os_listener *)handle)->listening;
    if (l)
        l->refs++;
    return &new_listener(handle->world, NULL, l)->handle;
}

static void cut_listener(struct handle *handle)
{
    struct os_listener *listener = (struct os_listener *)handle;
    mem_watch_end(&listener->watch);
    list_remove(&listener->in_listening);
    if (listener->listening)
        drop_listening(listener->listening);
    listener->listening = NULL;
}

static const struct handle_type listener_type = { OS_HANDLE_LISTENER, copy_listener, cut_listener };

static struct os_listener *new_listener(struct mem_world *world, struct os *os, struct listening *l)
{
    struct os_listener *listener = mem_take(sizeof(*listener));
    listener->listening = l;
    mem_handle_init(&listener->handle, &listener_type, world, os);
    mem_watch_init(&listener->watch, &listener->handle, ready);
    list_init(&listener->in_listening);
    if (l)
        list_append(&l->handles, &listener->in_listening);
    return listener;
}

static bool is_taken(const struct mem_host *host, const struct address *at)
{
    list_each(link, &host->listenings)
    {
        const struct listening *l = list_entry(link, struct listening, in_host);
        if (l->at.port == at->port && (covers(&l->at, at) || covers(at, &l->at)))
            return true;
    }
    return false;
}

enum os_status os_listen(struct os *os, const struct address *at, bool first, struct os_listener **listener,
                         struct address *bound)
{
    struct address place = *at;
    *listener = NULL;
    if (os->cut || mem_handles_full(os))
        return OS_TOO_MANY;
    if (!same_ip(at, &any) && !same_ip(at, &any_v4) && !has_address(os->host, at))
        return OS_UNREACHABLE;
    while (place.port == 0 || (at->port == 0 && is_taken(os->host, &place)))
        place.port = any_port(os->host);
    if (first && is_taken(os->host, &place))
        return OS_IN_USE;
    struct listening *l = mem_take(sizeof(*l));
    l->host = os->host;
    l->at = place;
    l->refs = 1;
    list_init(&l->handles);
    list_init(&l->backlog);
    list_append(&os->host->listenings, &l->in_host);
    *listener = new_listener(os->world, os, l);
    if (bound)
        *bound = place;
    return OS_OK;
}

enum os_status os_accept(struct os_listener *listener, struct os_stream **stream)
{
    struct connection *c = listener->listening ? take_waiting(listener->listening) : NULL;
    *stream = NULL;
    if (!c)
        return OS_AGAIN;
    if (mem_handles_full(listener->handle.os)) {
        mem_end_drop(&c->ends[1]);
        return OS_TOO_MANY;
    }
    *stream = mem_stream_new(listener->handle.os, &c->ends[1]);
    return OS_OK;
}

void os_listener_watch(struct os_listener *listener, bool wanted, os_event *on, void *ctx)
{
    mem_watch_set(&listener->watch, wanted ? OS_READABLE : 0, on, ctx);
}

void os_listener_close(struct os_listener *listener)
{
    mem_handle_free(&listener->handle);
}

/* ---- connecting ---- */

/* One of those that listen there; among several any. */
static struct listening *find_listening(struct mem_host *host, const struct address *to)
{
    struct listening *found = NULL;
    uint64_t count = 0;
    list_each(link, &host->listenings)
    {
        struct listening *l = list_entry(link, struct listening, in_host);
        if (l->at.port == to->port && covers(&l->at, to) && mem_random_between(&host->world->random, 0, count++) == 0)
            found = l;
    }
    return found;
}

/* No answer: goes on asking for a while. */
static void ask_again(struct connection *c)
{
    struct mem_world *world = c->world;
    if (world->now_us - c->began_us < TRY_FOR_US)
        mem_event_set(world, &c->connect, world->now_us + TRY_EVERY_US);
    else
        mem_end_fail(&c->ends[0], OS_TIMED_OUT);
}

static void on_connect(struct mem_event *event)
{
    struct connection *c = list_entry(event, struct connection, connect);
    struct end *client = &c->ends[0], *server = &c->ends[1];
    struct mem_host *host = host_at(client->host, &server->address);
    mem_trace(c->world, NULL, "connect", c->fate, server->address.port);
    if (c->fate != OS_OK || !host) {
        mem_end_fail(client, c->fate != OS_OK ? c->fate : OS_UNREACHABLE);
        return;
    }
    if (host->off) {
        ask_again(c);
        return;
    }
    struct listening *l = find_listening(host, &server->address);
    if (!l) {
        mem_end_fail(client, OS_REFUSED);
    } else if (l->waiting == BACKLOG_MAX) {
        ask_again(c);
    } else {
        mem_end_hold(server);
        server->host = host;
        list_append(&l->backlog, &c->in_backlog);
        l->waiting++;
        list_each(link, &l->handles) mem_watch_wake(&list_entry(link, struct os_listener, in_listening)->watch);
        client->connecting = false;
        mem_end_wake(client);
        mem_connection_start(c);
    }
}

/* The address that a connection comes from when nobody says. */
static struct address source_for(struct mem_host *host, const struct address *to)
{
    if (address_is_loopback(to))
        return *to;
    for (size_t i = 0; i < host->address_count; i++)
        if (address_is_v4(&host->addresses[i]) == address_is_v4(to))
            return host->addresses[i];
    return *to;
}

static struct mem_connect ask_hook(struct os *os, const struct address *from, const struct address *to)
{
    struct mem_world *world = os->world;
    struct mem_connect how = { .host = os->host->name, .to = *to, .there = world->flow, .back = world->flow };
    how.from = from ? *from : source_for(os->host, to);
    how.from.port = any_port(os->host);
    how.delay_us = mem_random_between(&world->random, world->flow.delay_us_min, world->flow.delay_us_max);
    if (world->on_connect)
        world->on_connect(world->connect_ctx, &how);
    if (how.fate == OS_TIMED_OUT && how.delay_us < TRY_EVERY_US)
        how.delay_us = TRY_FOR_US;
    return how;
}

enum os_status os_connect(struct os *os, const struct address *to, const struct address *from,
                          struct os_stream **stream)
{
    *stream = NULL;
    if (os->cut || mem_handles_full(os))
        return OS_TOO_MANY;
    if (from && !has_address(os->host, from))
        return OS_UNREACHABLE;
    struct mem_connect how = ask_hook(os, from, to);
    struct connection *c = mem_connection_new(os->world);
    c->fate = how.fate;
    c->began_us = os->world->now_us;
    c->connect.run = on_connect;
    c->ends[0].refs = 1;
    c->ends[0].connecting = true;
    c->ends[0].address = how.from;
    c->ends[1].address = *to;
    c->ends[1].in.flow = how.there;
    c->ends[0].in.flow = how.back;
    *stream = mem_stream_new(os, &c->ends[0]);
    mem_event_set(os->world, &c->connect, os->world->now_us + how.delay_us);
    return OS_OK;
}

void mem_world_on_connect(struct mem_world *world, void (*on)(void *ctx, struct mem_connect *connect), void *ctx)
{
    world->on_connect = on;
    world->connect_ctx = ctx;
}

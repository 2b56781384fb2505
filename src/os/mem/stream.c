#include "os/mem/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define GAP_US_MAX    20        /* between pieces of what was on its way together */
#define ASK_EVERY_US  1000000   /* a host that is off does not answer; the sender repeats */
#define ASK_FOR_US    900000000 /* and gives up */
#define ANY_PIECE_MAX 1460

const struct mem_flow mem_flow_plain = { .split = MEM_WHOLE, .window = 65536, .delay_us_min = 10, .delay_us_max = 100 };

static struct end *other(struct end *end)
{
    struct end *ends = end->connection->ends;
    return &ends[end == ends];
}

static struct end *reader(struct pipe *pipe)
{
    return (struct end *)((char *)pipe - offsetof(struct end, in));
}

/* ---- on the way ---- */

static bool is_due(const struct pipe *pipe)
{
    bool breaks = pipe->flow.then != MEM_GOES_ON && pipe->delivered >= pipe->flow.break_at;
    return !pipe->blocked && (pipe->flight > 0 || breaks || pipe->reset || (pipe->fin && !pipe->finished));
}

static void plan(struct pipe *pipe, uint64_t us_min, uint64_t us_max)
{
    struct mem_world *world = reader(pipe)->connection->world;
    if (is_due(pipe) && !mem_event_waits(&pipe->arrive))
        mem_event_set(world, &pipe->arrive, world->now_us + mem_random_between(&world->random, us_min, us_max));
}

static void plan_first(struct pipe *pipe)
{
    plan(pipe, pipe->flow.delay_us_min, pipe->flow.delay_us_max);
}

void mem_end_wake(struct end *end)
{
    list_each(link, &end->handles) mem_watch_wake(&list_entry(link, struct os_stream, in_end)->watch);
}

void mem_end_fail(struct end *end, enum os_status error)
{
    if (end->error == OS_OK)
        end->error = error;
    end->connecting = false;
    end->in.flight = 0;
    mem_end_wake(end);
}

static size_t piece_size(struct pipe *pipe)
{
    struct mem_random *random = &reader(pipe)->connection->world->random;
    const struct mem_flow *flow = &pipe->flow;
    uint64_t n = pipe->flight, until_split = flow->split_at - pipe->delivered;
    if (flow->split == MEM_BYTES)
        n = 1;
    else if (flow->split == MEM_AT && flow->split_at > pipe->delivered && n > until_split)
        n = until_split;
    else if (flow->split == MEM_RANDOM)
        n = mem_random_between(random, 1, n < ANY_PIECE_MAX ? n : ANY_PIECE_MAX);
    uint64_t until_break = flow->break_at > pipe->delivered ? flow->break_at - pipe->delivered : 0;
    return flow->then != MEM_GOES_ON && n > until_break ? until_break : n;
}

static void break_off(struct pipe *pipe)
{
    struct end *to = reader(pipe);
    pipe->blocked = true;
    mem_trace(to->connection->world, NULL, "connection broken", pipe->flow.then, pipe->delivered);
    if (pipe->flow.then != MEM_STALL) {
        pipe->flight = 0;
        pipe->finished = true;
        mem_end_fail(other(to), OS_RESET);
    }
    if (pipe->flow.then == MEM_RST)
        mem_end_fail(to, OS_RESET);
    mem_end_wake(to);
}

/* Nobody is there any more: a living host says so, a dead one says nothing. */
static void nobody_there(struct pipe *pipe)
{
    struct end *to = reader(pipe), *from = other(to);
    struct mem_world *world = to->connection->world;
    if (to->host && to->host->off) {
        if (pipe->asks_since_us == 0)
            pipe->asks_since_us = world->now_us;
        if (world->now_us - pipe->asks_since_us < ASK_FOR_US)
            mem_event_set(world, &pipe->arrive, world->now_us + ASK_EVERY_US);
        else
            mem_end_fail(from, OS_TIMED_OUT);
        return;
    }
    pipe->blocked = true;
    if (pipe->flight > 0)
        mem_end_fail(from, OS_RESET);
    pipe->flight = 0;
}

static void take_piece(struct pipe *pipe)
{
    size_t n = piece_size(pipe);
    struct mem_world *world = reader(pipe)->connection->world;
    mem_trace(world, NULL, "bytes", n, mem_hash(0, pipe->bytes + pipe->start + pipe->arrived, n));
    pipe->arrived += n;
    pipe->flight -= n;
    pipe->delivered += n;
}

static void on_arrive(struct mem_event *event)
{
    struct pipe *pipe = list_entry(event, struct pipe, arrive);
    struct end *to = reader(pipe);
    if (pipe->blocked)
        return;
    if (to->refs == 0) {
        nobody_there(pipe);
        return;
    }
    if (pipe->flight > 0)
        take_piece(pipe);
    if (pipe->flow.then != MEM_GOES_ON && pipe->delivered >= pipe->flow.break_at) {
        break_off(pipe);
        return;
    }
    if (pipe->flight == 0 && pipe->reset) {
        pipe->blocked = true;
        mem_end_fail(to, OS_RESET);
    } else if (pipe->flight == 0 && pipe->fin) {
        pipe->finished = true;
    }
    mem_end_wake(to);
    plan(pipe, 1, GAP_US_MAX);
}

/* ---- ends ---- */

struct connection *mem_connection_new(struct mem_world *world)
{
    struct connection *c = mem_take(sizeof(*c));
    c->world = world;
    list_init(&c->in_backlog);
    for (size_t i = 0; i < 2; i++) {
        struct end *end = &c->ends[i];
        end->connection = c;
        end->in.flow = world->flow;
        end->in.arrive.run = on_arrive;
        list_init(&end->handles);
    }
    return c;
}

static void free_connection(struct connection *c)
{
    mem_event_cancel(c->world, &c->connect);
    for (size_t i = 0; i < 2; i++) {
        mem_event_cancel(c->world, &c->ends[i].in.arrive);
        free(c->ends[i].in.bytes);
    }
    free(c);
}

void mem_connection_start(struct connection *c)
{
    plan_first(&c->ends[0].in);
    plan_first(&c->ends[1].in);
}

void mem_end_hold(struct end *end)
{
    end->refs++;
}

/* TCP: who closes while bytes for it lie unread, or are yet to come, breaks the connection, and then of its own last
 * bytes any part may be lost (RFC 1122 section 4.2.2.13). */
static void close_end(struct end *end)
{
    struct pipe *out = &other(end)->in;
    bool unread = end->in.arrived > 0 || end->in.flight > 0;
    end->in.arrived = end->in.flight = 0;
    if (end->host->off || end->error != OS_OK)
        return;
    if (unread && out->flight > 0)
        out->flight = mem_random_between(&end->connection->world->random, 0, out->flight);
    out->reset = out->reset || unread;
    out->fin = true;
    plan_first(out);
}

void mem_end_drop(struct end *end)
{
    assert(end->refs > 0);
    if (--end->refs > 0)
        return;
    if (other(end)->refs == 0)
        free_connection(end->connection);
    else
        close_end(end);
}

/* ---- handles ---- */

static size_t room(struct end *end)
{
    const struct pipe *out = &other(end)->in;
    size_t waiting = out->arrived + out->flight;
    return waiting < out->flow.window ? out->flow.window - waiting : 0;
}

static unsigned ready(struct handle *handle)
{
    struct end *end = ((struct os_stream *)handle)->end;
    if (!end)
        return 0;
    if (end->error != OS_OK)
        return OS_READABLE | OS_WRITABLE;
    if (end->connecting)
        return 0;
    unsigned readable = end->in.arrived > 0 || end->in.finished ? OS_READABLE : 0;
    return readable | (room(end) > 0 ? OS_WRITABLE : 0);
}

static struct os_stream *new_stream(struct mem_world *world, struct os *os, struct end *end);

static struct handle *copy_stream(struct handle *handle)
{
    struct os_stream *stream = (struct os_stream *)handle;
    if (stream->end)
        mem_end_hold(stream->end);
    return &new_stream(handle->world, NULL, stream->end)->handle;
}

static void cut_stream(struct handle *handle)
{
    struct os_stream *stream = (struct os_stream *)handle;
    mem_watch_end(&stream->watch);
    list_remove(&stream->in_end);
    if (stream->end)
        mem_end_drop(stream->end);
    stream->end = NULL;
}

static const struct handle_type stream_type = { OS_HANDLE_STREAM, copy_stream, cut_stream };

static struct os_stream *new_stream(struct mem_world *world, struct os *os, struct end *end)
{
    struct os_stream *stream = mem_take(sizeof(*stream));
    stream->end = end;
    mem_handle_init(&stream->handle, &stream_type, world, os);
    mem_watch_init(&stream->watch, &stream->handle, ready);
    list_init(&stream->in_end);
    if (end)
        list_append(&end->handles, &stream->in_end);
    return stream;
}

struct os_stream *mem_stream_new(struct os *os, struct end *end)
{
    end->host = os->host;
    return new_stream(os->world, os, end);
}

void mem_stream_pair(struct os *a_os, struct os *b_os, struct os_stream **a, struct os_stream **b)
{
    struct connection *c = mem_connection_new(a_os->world);
    c->ends[0].refs = c->ends[1].refs = 1;
    *a = mem_stream_new(a_os, &c->ends[0]);
    *b = mem_stream_new(b_os, &c->ends[1]);
    mem_connection_start(c);
}

void mem_world_set_flow(struct mem_world *world, const struct mem_flow *flow)
{
    world->flow = *flow;
}

void mem_stream_set_flow(struct os_stream *stream, const struct mem_flow *flow)
{
    struct pipe *out = &other(stream->end)->in;
    out->flow = *flow;
    out->blocked = out->finished;
    plan_first(out);
    mem_end_wake(stream->end);
}

/* ---- os.h ---- */

enum os_status os_stream_read(struct os_stream *stream, void *to, size_t max, size_t *got)
{
    struct end *end = stream->end;
    struct pipe *in = end ? &end->in : NULL;
    *got = 0;
    if (!end)
        return OS_RESET;
    if (in->arrived > 0) {
        *got = max < in->arrived ? max : in->arrived;
        memcpy(to, in->bytes + in->start, *got);
        in->start += *got;
        in->arrived -= *got;
        mem_end_wake(other(end)); /* it may write again */
        return OS_OK;
    }
    if (end->error != OS_OK)
        return end->error;
    return in->finished ? OS_END : OS_AGAIN;
}

/* Makes room for n more bytes behind those that are there. */
static void make_room(struct pipe *pipe, size_t n)
{
    size_t used = pipe->arrived + pipe->flight;
    if (pipe->start > 0 && pipe->start + used + n > pipe->cap) {
        memmove(pipe->bytes, pipe->bytes + pipe->start, used);
        pipe->start = 0;
    }
    if (used + n <= pipe->cap)
        return;
    pipe->cap = used + n > 2 * pipe->cap ? used + n : 2 * pipe->cap;
    pipe->bytes = realloc(pipe->bytes, pipe->cap);
    if (!pipe->bytes)
        abort();
}

enum os_status os_stream_write(struct os_stream *stream, const struct os_slice *slices, size_t count, size_t *put)
{
    struct end *end = stream->end;
    *put = 0;
    if (!end || end->error != OS_OK)
        return end ? end->error : OS_RESET;
    struct pipe *out = &other(end)->in;
    if (out->fin)
        return OS_RESET;
    size_t left = end->connecting ? 0 : room(end), wanted = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = slices[i].len < left ? slices[i].len : left;
        wanted += slices[i].len;
        if (n == 0)
            continue;
        make_room(out, n);
        memcpy(out->bytes + out->start + out->arrived + out->flight, slices[i].at, n);
        out->flight += n;
        left -= n;
        *put += n;
    }
    plan_first(out);
    return *put > 0 || wanted == 0 ? OS_OK : OS_AGAIN;
}

void os_stream_watch(struct os_stream *stream, unsigned wanted, os_event *on, void *ctx)
{
    mem_watch_set(&stream->watch, wanted, on, ctx);
}

struct address os_stream_peer(struct os_stream *stream)
{
    return stream->end ? other(stream->end)->address : (struct address){ .set = false };
}

struct address os_stream_local(struct os_stream *stream)
{
    return stream->end ? stream->end->address : (struct address){ .set = false };
}

void os_stream_shutdown(struct os_stream *stream)
{
    if (!stream->end || stream->end->connecting || stream->end->error != OS_OK)
        return;
    struct pipe *out = &other(stream->end)->in;
    out->fin = true;
    plan_first(out);
}

void os_stream_close(struct os_stream *stream)
{
    mem_handle_free(&stream->handle);
}

#include "os/mem/world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define START_US 1000000

/* The key of an event is its time and, below it, the order of asking: what was asked for first comes first. */
#define ORDER_BITS 16

struct script {
    struct mem_event event;
    struct list in_world;
    void (*run)(void *ctx);
    void *ctx;
};

void *mem_take(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    if (!memory)
        abort();
    return memory;
}

char *mem_copy_text(struct view text)
{
    char *copy = mem_take(text.len + 1);
    if (text.len)
        memcpy(copy, text.at, text.len);
    return copy;
}

/* ---- chance: xoshiro256**, seeded by splitmix64 ---- */

void mem_random_seed(struct mem_random *random, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        random->s[i] = z ^ (z >> 31);
    }
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

uint64_t mem_random_next(struct mem_random *random)
{
    uint64_t *s = random->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t mem_random_between(struct mem_random *random, uint64_t from, uint64_t to)
{
    assert(from <= to && to - from != UINT64_MAX);
    return from + mem_random_next(random) % (to - from + 1);
}

uint64_t mem_world_random(struct mem_world *world)
{
    return mem_random_next(&world->random);
}

/* ---- events ---- */

static uint64_t time_of(const struct mem_event *event)
{
    return event->item.key >> ORDER_BITS;
}

static struct mem_event *first_event(const struct mem_world *world)
{
    struct heap_item *item = heap_first(&world->events);
    return item ? heap_entry(item, struct mem_event, item) : NULL;
}

void mem_event_set(struct mem_world *world, struct mem_event *event, uint64_t at_us)
{
    assert(at_us < (uint64_t)1 << (64 - ORDER_BITS));
    mem_event_cancel(world, event);
    uint64_t order = world->order++ & ((1u << ORDER_BITS) - 1);
    if (!heap_set(&world->events, &event->item, (at_us > world->now_us ? at_us : world->now_us) << ORDER_BITS | order))
        abort();
}

void mem_event_cancel(struct mem_world *world, struct mem_event *event)
{
    heap_remove(&world->events, &event->item);
    if (event->held.next)
        list_remove(&event->held);
    event->held = (struct list){ NULL, NULL };
}

bool mem_event_waits(const struct mem_event *event)
{
    return event->item.place != 0 || event->held.next;
}

static void run_event(struct mem_world *world, struct mem_event *event)
{
    struct os *os = event->os;
    heap_remove(&world->events, &event->item);
    if (os && os->paused) {
        list_append(&os->held, &event->held);
        return;
    }
    if (os && mem_disk_is_cut(os->host->disk))
        return;
    event->run(event);
}

/* All events of one process at one moment make one turn, so that what comes together is seen together. */
bool mem_world_step(struct mem_world *world)
{
    struct mem_event *event = first_event(world);
    if (!event)
        return false;
    world->now_us = time_of(event);
    struct os *os = world->turn = event->os;
    do {
        run_event(world, event);
        event = first_event(world);
    } while (os && event && event->os == os && time_of(event) == world->now_us);
    if (os)
        mem_process_end_turn(os);
    world->turn = NULL;
    return true;
}

void mem_world_run_until(struct mem_world *world, uint64_t us)
{
    for (struct mem_event *event; (event = first_event(world)) && time_of(event) <= us;)
        mem_world_step(world);
    if (world->now_us < us)
        world->now_us = us;
}

bool mem_world_run(struct mem_world *world, uint64_t for_us)
{
    mem_world_run_until(world, world->now_us + for_us);
    return !first_event(world);
}

uint64_t mem_world_now_us(const struct mem_world *world)
{
    return world->now_us;
}

static void run_script(struct mem_event *event)
{
    struct script *script = list_entry(event, struct script, event);
    list_remove(&script->in_world);
    script->run(script->ctx);
    free(script);
}

void mem_world_at(struct mem_world *world, uint64_t us, void (*run)(void *ctx), void *ctx)
{
    struct script *script = mem_take(sizeof(*script));
    script->event.run = run_script;
    script->run = run;
    script->ctx = ctx;
    list_append(&world->scripts, &script->in_world);
    mem_event_set(world, &script->event, us);
}

/* ---- the trace ---- */

uint64_t mem_hash(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * 0x100000001b3;
    return hash;
}

void mem_trace(struct mem_world *world, const struct os *os, const char *what, uint64_t a, uint64_t b)
{
    struct mem_trace trace = { world->now_us, os ? os->host->name : NULL, os ? os->number : 0, what, a, b };
    const uint64_t numbers[] = { trace.us, trace.process, a, b };
    world->trace_hash = mem_hash(world->trace_hash, numbers, sizeof(numbers));
    world->trace_hash = mem_hash(world->trace_hash, what, strlen(what));
    if (world->on_trace)
        world->on_trace(world->trace_ctx, &trace);
}

uint64_t mem_world_trace_hash(const struct mem_world *world)
{
    return world->trace_hash;
}

void mem_world_on_trace(struct mem_world *world, void (*on)(void *ctx, const struct mem_trace *trace), void *ctx)
{
    world->on_trace = on;
    world->trace_ctx = ctx;
}

/* ---- beginning and end ---- */

struct mem_world *mem_world_new(uint64_t seed)
{
    struct mem_world *world = mem_take(sizeof(*world));
    world->now_us = START_US;
    world->trace_hash = 0xcbf29ce484222325;
    heap_init(&world->events);
    mem_random_seed(&world->random, seed);
    list_init(&world->hosts);
    list_init(&world->scripts);
    list_init(&world->names);
    world->flow = mem_flow_plain;
    return world;
}

void mem_world_free(struct mem_world *world)
{
    assert(!world->turn);
    list_each_safe(link, &world->hosts) mem_host_free(list_entry(link, struct mem_host, in_world));
    list_each_safe(link, &world->scripts)
    {
        struct script *script = list_entry(link, struct script, in_world);
        mem_event_cancel(world, &script->event);
        free(script);
    }
    mem_dns_free(world);
    heap_free(&world->events);
    free(world);
}

size_t mem_world_open_handles(const struct mem_world *world)
{
    return world->handles;
}

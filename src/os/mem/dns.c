/* The DNS of the world: a table of answers. */
#include "os/mem/world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_US_MAX 20000
#define TTL_S        3600
#define LABEL_MAX    63
#define RDATA_MAX    512
#define NAME_MAX_LEN 255

struct entry {
    struct list in_world;
    char *name;
    enum os_dns_type type;
    enum os_dns_result result;
    bool secure;
    uint32_t ttl_s;
    uint64_t delay_us;
    struct os_slice *records; /* memory of our own */
    size_t record_count;
};

struct question {
    struct mem_event event;
    struct list in_process;
    struct os_dns_query *query;
};

/* ---- the table ---- */

static struct entry *find(const struct mem_world *world, struct view name, enum os_dns_type type)
{
    list_each(link, &world->names)
    {
        struct entry *e = list_entry(link, struct entry, in_world);
        if (e->type == type && view_equal_nocase(view_of(e->name), name))
            return e;
    }
    return NULL;
}

static void clear(struct entry *e)
{
    for (size_t i = 0; i < e->record_count; i++) {
        union {
            const void *borrowed;
            void *own;
        } at = { e->records[i].at };
        free(at.own);
    }
    free(e->records);
    e->records = NULL;
    e->record_count = 0;
}

static void free_entry(struct entry *e)
{
    list_remove(&e->in_world);
    clear(e);
    free(e->name);
    free(e);
}

void mem_dns_free(struct mem_world *world)
{
    list_each_safe(link, &world->names) free_entry(list_entry(link, struct entry, in_world));
}

static struct entry *find_or_add(struct mem_world *world, const char *name, enum os_dns_type type)
{
    struct entry *e = find(world, view_of(name), type);
    if (e)
        return e;
    e = mem_take(sizeof(*e));
    e->name = mem_copy_text(view_of(name));
    e->type = type;
    e->ttl_s = TTL_S;
    list_append(&world->names, &e->in_world);
    return e;
}

static void add_record(struct entry *e, const void *at, size_t len)
{
    e->records = realloc(e->records, (e->record_count + 1) * sizeof(e->records[0]));
    if (!e->records)
        abort();
    e->records[e->record_count++] = (struct os_slice){ mem_copy_text((struct view){ at, len }), len };
}

void mem_dns_set(struct mem_world *world, const struct mem_dns_answer *answer)
{
    struct entry *e = find_or_add(world, answer->name, answer->type);
    clear(e);
    e->result = answer->result;
    e->secure = answer->secure;
    e->ttl_s = answer->ttl_s ? answer->ttl_s : TTL_S;
    e->delay_us = answer->delay_us;
    for (size_t i = 0; i < answer->record_count; i++)
        add_record(e, answer->records[i].at, answer->records[i].len);
}

void mem_dns_remove(struct mem_world *world, const char *name, enum os_dns_type type)
{
    struct entry *e = find(world, view_of(name), type);
    if (e)
        free_entry(e);
}

void mem_dns_fail(struct mem_world *world, bool fail)
{
    world->dns_fails = fail;
}

/* ---- records from text ---- */

/* RFC 1035 section 3.3: labels with their lengths, ended by the empty one. */
static bool add_name(struct buffer *to, struct view name)
{
    while (name.len > 0) {
        struct view label = view_take_until(&name, '.');
        if (label.len == 0 || label.len > LABEL_MAX)
            return false;
        buffer_add_char(to, (char)label.len);
        buffer_add(to, label);
    }
    buffer_add_char(to, 0);
    return true;
}

static bool add_address(struct buffer *to, struct view text, bool v4)
{
    struct address a = { .set = false };
    if (!address_parse_ip(text, &a) || address_is_v4(&a) != v4)
        return false;
    buffer_add(to, v4 ? (struct view){ (const char *)a.ip + 12, 4 } : (struct view){ (const char *)a.ip, 16 });
    return true;
}

static bool add_mx(struct buffer *to, struct view text)
{
    uint64_t preference;
    if (!view_to_u64(view_take_word(&text), UINT16_MAX, &preference))
        return false;
    buffer_add_char(to, (char)(preference >> 8));
    buffer_add_char(to, (char)preference);
    return add_name(to, view_equal(view_trim(text), VIEW(".")) ? VIEW_NONE : view_trim(text));
}

/* Strings of at most 255 bytes each. */
static void add_txt(struct buffer *to, struct view text)
{
    do {
        struct view part = view_take(&text, NAME_MAX_LEN);
        buffer_add_char(to, (char)part.len);
        buffer_add(to, part);
    } while (text.len > 0);
}

static bool make_record(struct buffer *to, enum os_dns_type type, struct view text)
{
    switch (type) {
    case OS_DNS_A:
        return add_address(to, text, true);
    case OS_DNS_AAAA:
        return add_address(to, text, false);
    case OS_DNS_MX:
        return add_mx(to, text);
    case OS_DNS_PTR:
        return add_name(to, text);
    case OS_DNS_TXT:
        add_txt(to, text);
        return true;
    case OS_DNS_SRV:
    case OS_DNS_TLSA:
        break; /* as bytes, by mem_dns_set */
    }
    return false;
}

bool mem_dns_add(struct mem_world *world, const char *name, enum os_dns_type type, const char *text)
{
    char memory[RDATA_MAX];
    struct buffer data = BUFFER_OF(memory);
    if (!make_record(&data, type, view_of(text)) || data.full)
        return false;
    struct entry *e = find_or_add(world, name, type);
    e->result = OS_DNS_FOUND;
    add_record(e, data.at, data.len);
    return true;
}

/* ---- asking ---- */

static bool has_other_type(const struct mem_world *world, struct view name)
{
    list_each(link, &world->names)
    {
        const struct entry *e = list_entry(link, struct entry, in_world);
        if (e->result == OS_DNS_FOUND && view_equal_nocase(view_of(e->name), name))
            return true;
    }
    return false;
}

static void answer(const struct mem_world *world, const struct entry *e, struct os_dns_query *query)
{
    query->result = world->dns_fails                              ? OS_DNS_TROUBLE
                    : e                                           ? e->result
                    : has_other_type(world, view_of(query->name)) ? OS_DNS_NO_DATA
                                                                  : OS_DNS_NO_NAME;
    bool found = query->result == OS_DNS_FOUND;
    query->secure = e && e->secure && query->result != OS_DNS_TROUBLE;
    query->ttl_s = e ? e->ttl_s : 0;
    query->records = found ? e->records : NULL;
    query->record_count = found ? e->record_count : 0;
}

static void run_answer(struct mem_event *event)
{
    struct question *q = list_entry(event, struct question, event);
    struct os *os = event->os;
    struct os_dns_query *query = q->query;
    list_remove(&q->in_process);
    free(q);
    query->inner = NULL;
    answer(os->world, find(os->world, view_of(query->name), query->type), query);
    mem_trace(os->world, os, "answer", query->type, query->result);
    query->done(query->ctx, query);
}

void os_dns_ask(struct os *os, struct os_dns_query *query)
{
    if (os->cut)
        return;
    const struct entry *e = find(os->world, view_of(query->name), query->type);
    uint64_t delay = e && e->delay_us ? e->delay_us : mem_random_between(&os->world->random, 1, DELAY_US_MAX);
    struct question *q = query->inner = mem_take(sizeof(*q));
    q->query = query;
    q->event = (struct mem_event){ .os = os, .run = run_answer };
    list_append(&os->questions, &q->in_process);
    mem_event_set(os->world, &q->event, os->world->now_us + delay);
}

/* The world has one table, whoever is asked. */
bool os_dns_use(struct os *os, const struct os_dns_source *sources, size_t count)
{
    (void)os, (void)sources, (void)count;
    return true;
}

void mem_questions_cut(struct os *os)
{
    list_each_safe(link, &os->questions)
    {
        struct question *q = list_entry(link, struct question, in_process);
        mem_event_cancel(os->world, &q->event);
        list_remove(link);
        free(q);
    }
}

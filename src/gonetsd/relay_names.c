#include <stdlib.h>
#include <string.h>

#include "gonetsd/relay.h"

/* ---- questions ---- */

static void cannot_ask(struct relay_destination *d, enum os_dns_type type, size_t host)
{
    if (type == OS_DNS_MX)
        d->names_result = DELIVER_MX_TROUBLE;
    else
        d->next_mx.hosts[host].trouble = true;
}

/* Without a resolver at this moment the question waits for the next one. */
static void say(struct relay *relay, const struct relay_question *q)
{
    char memory[512];
    struct buffer frame = BUFFER_OF(memory);
    const struct relay_destination *d = q->destination;
    struct view name = q->type == OS_DNS_MX ? d->domain : view_of(d->next_mx.hosts[q->host].name);
    ipc_resolve_pack(&frame, &(struct ipc_resolve){ q->ticket, (uint16_t)q->type, name });
    ipc_send(&relay->resolver, buffer_view(&frame));
}

static void ask(struct relay_destination *d, struct relay_question *q, enum os_dns_type type, size_t host)
{
    struct relay *relay = d->relay;
    *q = (struct relay_question){ .ticket = ++relay->last_ticket, .host = (uint8_t)host, .type = type };
    q->by_ticket.key = (struct view){ (const char *)&q->ticket, sizeof q->ticket };
    if (d->domain.len > SMTP_DOMAIN_MAX || !map_add(&relay->questions, &q->by_ticket)) {
        cannot_ask(d, type, host);
        return;
    }
    q->destination = d;
    d->asked++;
    say(relay, q);
}

static void on_answered(struct relay_destination *d)
{
    if (d->asked)
        return;
    relay_timer_clear(d->relay, &d->timer);
    relay_destination_named(d);
}

static void ask_for_addresses(struct relay_destination *d)
{
    struct relay_question *q = d->questions + 1;
    for (size_t i = 0; i < d->next_mx.host_count; i++) {
        const struct deliver_mx_host *host = &d->next_mx.hosts[i];
        if (host->fixed)
            continue;
        ask(d, q++, OS_DNS_AAAA, i);
        ask(d, q++, OS_DNS_A, i);
    }
}

static void note_ttl(struct relay_destination *d, const struct ipc_resolved *answer)
{
    if (answer->result == OS_DNS_FOUND && answer->ttl_s < d->ttl_s)
        d->ttl_s = answer->ttl_s;
}

static void take_mx(struct relay_destination *d, const struct ipc_resolved *answer)
{
    uint64_t random = 0;
    if (!os_random(d->relay->os, &random, sizeof random))
        random = os_now_us(d->relay->os); /* it spreads load, and hides nothing */
    d->names_result = deliver_mx_take(&d->next_mx, d->domain, d->port, d->relay->role.conf.hostname, random, answer);
    if (d->names_result == DELIVER_MX_OK)
        ask_for_addresses(d);
}

static void take_answer(struct relay_question *q, const struct ipc_resolved *answer)
{
    struct relay_destination *d = q->destination;
    map_remove(&d->relay->questions, &q->by_ticket);
    q->destination = NULL;
    d->asked--;
    note_ttl(d, answer);
    if (q->type == OS_DNS_MX)
        take_mx(d, answer);
    else
        deliver_mx_take_addresses(&d->next_mx, q->host, q->type, answer);
}

void relay_names_give_up(struct relay_destination *d)
{
    static const struct ipc_resolved trouble = { .result = OS_DNS_TROUBLE };
    for (size_t i = 0; i < sizeof d->questions / sizeof d->questions[0]; i++)
        if (d->questions[i].destination)
            take_answer(&d->questions[i], &trouble);
    on_answered(d);
}

void relay_names_forget(struct relay_destination *d)
{
    for (size_t i = 0; i < sizeof d->questions / sizeof d->questions[0]; i++)
        if (d->questions[i].destination)
            map_remove(&d->relay->questions, &d->questions[i].by_ticket);
}

/* Smart hosts: in the order of the configuration. */
static bool add_hops(struct relay_destination *d, const struct conf_action *action)
{
    for (const struct conf_hop *hop = action->hops; hop; hop = hop->next) {
        if (!deliver_mx_add_host(&d->next_mx, hop->host, hop->port, hop->is_address ? &hop->address : NULL))
            break;
    }
    return d->next_mx.host_count > 0;
}

void relay_names_ask(struct relay_destination *d)
{
    const struct conf_action *action = conf_action_find(&d->relay->role.conf, d->action);
    deliver_mx_init(&d->next_mx);
    d->asked = 0;
    d->ttl_s = UINT32_MAX;
    d->names = RELAY_NAMES_ASKED;
    d->names_result = DELIVER_MX_OK;
    relay_timer_set(d->relay, &d->timer, os_now_us(d->relay->os) + RELAY_NAMES_US_MAX);
    if (!action || action->kind != CONF_RELAY) {
        d->names_result = DELIVER_MX_TROUBLE;
    } else if (action->hops) {
        if (add_hops(d, action))
            ask_for_addresses(d);
    } else if (d->domain.len && d->domain.at[0] == '[') {
        if (!deliver_mx_add_literal(&d->next_mx, d->domain, action->port))
            d->names_result = DELIVER_MX_NO_DOMAIN;
    } else {
        d->port = action->port;
        ask(d, &d->questions[0], OS_DNS_MX, 0);
    }
    on_answered(d);
}

/* ---- the link ---- */

static bool take_resolved(struct relay *relay, struct unpack *body)
{
    struct ipc_resolved m;
    if (!ipc_resolved_unpack(body, &m))
        return false;
    struct map_item *item = map_find(&relay->questions, (struct view){ (const char *)&m.ticket, sizeof m.ticket });
    if (!item)
        return true; /* it came too late */
    struct relay_question *q = map_entry(item, struct relay_question, by_ticket);
    struct relay_destination *d = q->destination;
    take_answer(q, &m);
    on_answered(d);
    return true;
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct relay *relay = ctx;
    uint32_t instance;
    bool good = false;
    (void)handle;
    if (type == IPC_RESOLVED)
        good = take_resolved(relay, body);
    else if (type == IPC_HELLO)
        good = role_check_hello(body, IPC_RESOLVER, &instance);
    if (!good)
        ipc_end(&relay->resolver);
}

/* The supervisor brings another, which is asked what this one did not answer. */
static void on_gone(void *ctx)
{
    struct relay *relay = ctx;
    event_note(&relay->log, "neighbour-gone", VIEW("resolver"));
}

void relay_names_link(struct relay *relay, struct os_link *link)
{
    ipc_close(&relay->resolver);
    ipc_open(&relay->resolver, relay->os, link, &(struct ipc_owner){ relay, on_frame, NULL, on_gone });
    role_say_hello(&relay->resolver, IPC_SMTP, relay->role.instance);
    for (struct map_item *item = NULL; (item = map_next(&relay->questions, item));)
        say(relay, map_entry(item, struct relay_question, by_ticket));
}

#include <stdlib.h>
#include <string.h>

#include "gonetsd/relay.h"

static void on_timer(struct relay_timer *timer);

/* ---- which there are ---- */

/* Smart hosts are one destination, whatever the domain of the recipient; mail exchangers are their domain's. */
static void write_key(struct buffer *to, const struct conf_action *action, struct view domain)
{
    if (action->hops) {
        buffer_add(to, VIEW("via "));
        buffer_add(to, action->name);
    } else {
        buffer_add(to, domain);
        buffer_addf(to, ":%u", action->port);
    }
}

static struct relay_destination *new_destination(struct relay *relay, const struct conf_action *action,
                                                 struct view domain, struct view key)
{
    struct relay_destination *d = calloc(1, sizeof *d + key.len + action->name.len + domain.len);
    if (!d)
        return NULL;
    char *name = d->key + key.len, *domain_text = name + action->name.len;
    memcpy(d->key, key.at, key.len);
    memcpy(name, action->name.at, action->name.len);
    if (domain.len)
        memcpy(domain_text, domain.at, domain.len);
    d->by_key.key = (struct view){ d->key, key.len };
    d->action = (struct view){ name, action->name.len };
    d->domain = (struct view){ domain_text, domain.len };
    d->relay = relay;
    d->timer.run = on_timer;
    list_init(&d->waiting);
    list_init(&d->sessions);
    list_init(&d->idle);
    list_init(&d->woken);
    list_init(&d->short_of_sessions);
    if (map_add(&relay->destinations, &d->by_key))
        return d;
    free(d);
    return NULL;
}

struct relay_destination *relay_destination_of(struct relay *relay, const struct conf_action *action,
                                               struct view domain)
{
    char memory[IPC_PATH_MAX];
    struct buffer key = BUFFER_OF(memory);
    write_key(&key, action, domain);
    if (key.full)
        return NULL;
    struct map_item *item = map_find(&relay->destinations, buffer_view(&key));
    return item ? map_entry(item, struct relay_destination, by_key)
                : new_destination(relay, action, domain, buffer_view(&key));
}

static void free_destination(struct relay_destination *d)
{
    relay_names_forget(d);
    relay_timer_clear(d->relay, &d->timer);
    list_remove(&d->woken);
    list_remove(&d->short_of_sessions);
    map_remove(&d->relay->destinations, &d->by_key);
    free(d);
}

void relay_destination_free_all(struct relay *relay)
{
    for (struct map_item *item; (item = map_next(&relay->destinations, NULL));) {
        struct relay_destination *d = map_entry(item, struct relay_destination, by_key);
        relay_session_free_all(d);
        free_destination(d);
    }
}

static bool is_at_rest(const struct relay_destination *d)
{
    return d->job_count == 0 && d->session_count == 0 && d->names != RELAY_NAMES_ASKED;
}

/* It is remembered for a while: what its addresses are, and which of them are bad. */
static void rest(struct relay_destination *d)
{
    if (d->relay->lingering >= RELAY_LINGERING_MAX) {
        free_destination(d);
        return;
    }
    d->relay->lingering++;
    relay_timer_set(d->relay, &d->timer, os_now_us(d->relay->os) + RELAY_LINGER_US);
}

static void on_timer(struct relay_timer *timer)
{
    struct relay_destination *d = list_entry(timer, struct relay_destination, timer);
    if (d->names == RELAY_NAMES_ASKED) {
        relay_names_give_up(d);
        return;
    }
    d->relay->lingering--;
    free_destination(d);
}

static void stop_resting(struct relay_destination *d)
{
    if (d->names == RELAY_NAMES_ASKED || !d->timer.item.place)
        return;
    relay_timer_clear(d->relay, &d->timer);
    d->relay->lingering--;
}

/* ---- jobs ---- */

void relay_destination_wake(struct relay_destination *d)
{
    if (list_empty(&d->woken))
        list_append(&d->relay->woken, &d->woken);
    os_later(d->relay->os, &d->relay->work);
}

void relay_destination_add(struct relay_destination *d, struct relay_job *job)
{
    stop_resting(d);
    d->job_count++;
    list_append(&d->waiting, &job->link);
    if (d->relay->memory < RELAY_AHEAD_MAX)
        relay_content_read(job);
    relay_destination_wake(d);
}

void relay_destination_return(struct relay_job *job)
{
    struct relay_destination *d = job->destination;
    job->session = NULL;
    list_remove(&job->link);
    list_prepend(&d->waiting, &job->link);
    relay_destination_wake(d);
}

void relay_destination_job_over(struct relay_destination *d)
{
    d->job_count--;
    if (is_at_rest(d))
        relay_destination_wake(d);
}

struct relay_job *relay_destination_next(struct relay_destination *d)
{
    struct list *link = d->relay->stopping ? NULL : list_pop(&d->waiting);
    return link ? list_entry(link, struct relay_job, link) : NULL;
}

/* ---- addresses ---- */

/* Times in the DNS are anybody's; ours have bounds (H103). */
static uint64_t fresh_us(uint32_t ttl_s)
{
    uint64_t us = (uint64_t)ttl_s * 1000000;
    if (ttl_s == UINT32_MAX || us < RELAY_NAMES_FRESH_US)
        return RELAY_NAMES_FRESH_US;
    return us > RELAY_NAMES_FRESH_US_MAX ? RELAY_NAMES_FRESH_US_MAX : us;
}

void relay_destination_named(struct relay_destination *d)
{
    if (d->names_result == DELIVER_MX_OK)
        d->names_result = deliver_mx_list(&d->next_mx, d->targets, &d->target_count);
    if (d->names_result == DELIVER_MX_OK) {
        d->mx = d->next_mx;
        memset(d->bad_until_us, 0, sizeof d->bad_until_us);
    }
    d->names = RELAY_NAMES_KNOWN;
    d->known_until_us = os_now_us(d->relay->os) + fresh_us(d->ttl_s);
    relay_destination_wake(d);
}

static void add_names_text(const struct relay_destination *d, struct buffer *text)
{
    static const char *const texts[] = {
        [DELIVER_MX_NO_MAIL] = "takes no mail (null MX)",
        [DELIVER_MX_NO_DOMAIN] = "does not exist, or has neither mail exchanger nor address",
        [DELIVER_MX_LOOP] = "has this host as its best mail exchanger, but is not for here: a loop",
        [DELIVER_MX_TROUBLE] = "cannot be looked up at present: the DNS does not answer",
        [DELIVER_MX_NO_HOST] = "has no mail exchanger with an address",
    };
    buffer_add_safe(text, view_slice(d->by_key.key, 0, d->by_key.key.len), SMTP_DOMAIN_MAX);
    buffer_addf(text, " %s", texts[d->names_result]);
}

/* RFC 3463 section 3.5, RFC 7505 section 4.2. */
static struct relay_verdict names_verdict(const struct relay_destination *d, struct view text)
{
    struct relay_verdict v = relay_verdict_local(IPC_DEFERRED, 451, 4, 3, text);
    switch (d->names_result) {
    case DELIVER_MX_NO_MAIL:
        return relay_verdict_local(IPC_FAILED, 556, 1, 10, text);
    case DELIVER_MX_NO_DOMAIN:
        return relay_verdict_local(IPC_FAILED, 550, 1, 2, text);
    case DELIVER_MX_LOOP:
        return relay_verdict_local(IPC_FAILED, 554, 4, 6, text);
    case DELIVER_MX_NO_HOST:
        v.status.detail = 4;
        break;
    case DELIVER_MX_OK:
    case DELIVER_MX_TROUBLE:
        break;
    }
    v.reach = IPC_UNREACHED;
    return v;
}

static void fail_by_names(struct relay_destination *d)
{
    char memory[SMTP_DOMAIN_MAX + 128];
    struct buffer text = BUFFER_OF(memory);
    struct relay_job *job;
    add_names_text(d, &text);
    const struct relay_verdict v = names_verdict(d, buffer_view(&text));
    d->names = RELAY_NAMES_UNKNOWN; /* the next is asked for anew: the resolver has a cache */
    while ((job = relay_destination_next(d)))
        relay_job_finish(job, &v);
}

void relay_destination_renew_all(struct relay *relay)
{
    for (struct map_item *item = NULL; (item = map_next(&relay->destinations, item));)
        map_entry(item, struct relay_destination, by_key)->known_until_us = 0;
    while (relay_session_drop_idle(relay))
        ;
}

void relay_destination_is_us(struct relay_destination *d, size_t target)
{
    const struct deliver_mx_host *hosts = d->mx.hosts;
    uint16_t preference = hosts[d->targets[target].host].preference;
    while (d->target_count && hosts[d->targets[d->target_count - 1].host].preference >= preference)
        d->target_count--;
}

/* ---- work ---- */

/* The next address for this job, which in the end tries all of them: those that failed just now, for this job or another,
 * come last. */
static bool choose_target(const struct relay_destination *d, const struct relay_job *job, size_t *target)
{
    uint64_t now = os_now_us(d->relay->os);
    bool found = false;
    for (size_t i = 0; i < d->target_count; i++) {
        bool bad = d->bad_until_us[i] > now;
        if (job->tried >> i & 1 || (bad && found))
            continue;
        *target = i;
        found = true;
        if (!bad)
            return true;
    }
    return found;
}

/* All addresses were tried. Whether the destination is in trouble or this message was is what the queue goes by. */
static void fail_by_trouble(struct relay_job *job)
{
    const struct relay_verdict loop =
        relay_verdict_local(IPC_FAILED, 554, 4, 6, VIEW("the mail exchanger is this host itself: a loop"));
    struct relay_verdict v = job->has_trouble ? job->trouble : loop;
    if (job->reached)
        v.reach = IPC_REACHED;
    relay_job_finish(job, &v);
}

static bool has_room(struct relay_destination *d)
{
    const struct conf_limits *limits = &d->relay->role.conf.limits;
    if (d->session_count >= limits->relay_destination_max)
        return false;
    if (d->relay->session_count < limits->relay_sessions_max || relay_session_drop_idle(d->relay))
        return true;
    if (list_empty(&d->short_of_sessions))
        list_append(&d->relay->short_of_sessions, &d->short_of_sessions);
    return false;
}

static void open_sessions(struct relay_destination *d)
{
    while (!list_empty(&d->waiting) && has_room(d)) {
        struct relay_job *job = list_entry(d->waiting.next, struct relay_job, link);
        size_t target;
        list_remove(&job->link);
        if (!choose_target(d, job, &target)) {
            fail_by_trouble(job);
            continue;
        }
        job->tried |= UINT64_C(1) << target;
        if (!relay_session_open(d, job, target))
            list_prepend(&d->waiting, &job->link); /* its trouble is noted: the next address */
    }
}

static void work(struct relay_destination *d)
{
    while (!list_empty(&d->idle) && !list_empty(&d->waiting))
        relay_session_give(list_entry(d->idle.next, struct relay_session, idle), relay_destination_next(d));
    if (list_empty(&d->waiting) || d->names == RELAY_NAMES_ASKED)
        return;
    if (d->names == RELAY_NAMES_KNOWN && d->names_result != DELIVER_MX_OK)
        fail_by_names(d);
    else if (d->names == RELAY_NAMES_UNKNOWN || d->known_until_us <= os_now_us(d->relay->os))
        relay_names_ask(d);
    else
        open_sessions(d);
}

static void wake_those_short(struct relay *relay)
{
    struct list *link;
    if (relay->session_count < relay->role.conf.limits.relay_sessions_max &&
        (link = list_pop(&relay->short_of_sessions)))
        relay_destination_wake(list_entry(link, struct relay_destination, short_of_sessions));
}

void relay_destination_work(void *ctx)
{
    struct relay *relay = ctx;
    struct list *link;
    struct list woken;
    list_init(&woken);
    wake_those_short(relay);
    list_move_all(&woken, &relay->woken);
    while ((link = list_pop(&woken))) {
        struct relay_destination *d = list_entry(link, struct relay_destination, woken);
        if (!relay->stopping)
            work(d);
        if (is_at_rest(d) && list_empty(&d->woken) && !d->timer.item.place)
            rest(d);
    }
    relay_end_when_idle(relay);
}

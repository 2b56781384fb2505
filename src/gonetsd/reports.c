/* Reports to senders (RFC 3464): what failed in one turn of one message goes into one report, and the report and the
 * marks that the recipients failed are made durable as one (H132). Nobody is told for the null reverse-path (RFC 3834
 * section 2, H130). Steps: the envelope is read, then the head of the message, then all is written. */
#include <stdlib.h>
#include <string.h>

#include "gonetsd/qmgr.h"
#include "mail/report.h"
#include "mail/scan.h"

#define ACTIVE_MAX  8                        /* reports being written at a time */
#define WAITING_MAX 64                       /* over that, what can wait does */
#define AGAIN_US    (60 * UINT64_C(1000000)) /* after trouble of our own */
#define EVENTS_MAX  1000                     /* recipients of one report */

struct entry {
    struct list link;
    struct mark_from from;
    uint32_t number;
    struct queue_event reply; /* its texts lie behind */
    uint64_t last_attempt_us; /* wall clock */
    char texts[];
};

enum stage { REPORT_COLLECTING /* may take more recipients */, REPORT_BUSY, REPORT_AGAIN };

struct report {
    struct list link;
    struct qmgr *qmgr;
    struct mail_id about, id;
    enum mail_report_kind kind;
    enum stage stage;
    uint64_t again_us;
    struct list entries;
    uint32_t count;
    struct view reverse_path, *paths; /* read again with the envelope; in the arena */
    uint64_t arrived_us;
    struct arena arena;
};

/* ---- collecting ---- */

/* The newest ones are looked at: what belongs together comes together. */
static struct report *find_report(struct qmgr *qmgr, const struct mail_id *about, enum mail_report_kind kind)
{
    unsigned steps = WAITING_MAX;
    for (struct list *link = qmgr->reports.prev; link != &qmgr->reports && steps > 0; link = link->prev, steps--) {
        struct report *report = list_entry(link, struct report, link);
        if (report->stage == REPORT_COLLECTING && report->kind == kind && report->count < EVENTS_MAX &&
            mail_id_compare(&report->about, about) == 0)
            return report;
    }
    return NULL;
}

static struct report *get_report(struct qmgr *qmgr, const struct mail_id *about, enum mail_report_kind kind)
{
    struct report *report = find_report(qmgr, about, kind);
    if (report || !(report = calloc(1, sizeof *report)))
        return report;
    report->qmgr = qmgr;
    report->about = *about;
    report->kind = kind;
    list_init(&report->entries);
    arena_init(&report->arena, 4096, 1u << 20);
    list_append(&qmgr->reports, &report->link);
    os_later(qmgr->os, &qmgr->work);
    return report;
}

static struct view keep(char **at, struct view text)
{
    struct view kept = { *at, text.len };
    if (text.len)
        memcpy(*at, text.at, text.len);
    *at += text.len;
    return kept;
}

static bool add_entry(struct report *report, uint32_t number, const struct queue_event *reply, struct mark_from from)
{
    struct entry *entry = malloc(sizeof *entry + reply->text.len + reply->remote.len);
    if (!entry)
        return false;
    char *texts = entry->texts;
    *entry = (struct entry){ .from = from, .number = number, .reply = *reply };
    entry->reply.text = keep(&texts, reply->text);
    entry->reply.remote = keep(&texts, reply->remote);
    entry->last_attempt_us = os_wall_us(report->qmgr->os);
    list_append(&report->entries, &entry->link);
    report->count++;
    return true;
}

static void free_report(struct report *report)
{
    for (struct list *link; (link = list_pop(&report->entries));)
        free(list_entry(link, struct entry, link));
    arena_reset(&report->arena);
    list_remove(&report->link);
    free(report);
}

void report_failed(struct qmgr *qmgr, struct queue_recipient *r, const struct queue_event *reply, struct mark_from from)
{
    struct report *report = get_report(qmgr, &r->message->item.id, MAIL_REPORT_FAILED);
    mark_log(qmgr, r, QUEUE_EVENT_FAILED, reply);
    /* Without memory it is not settled: the deliverer keeps the result until it is asked again. */
    if (report && add_entry(report, queue_number(r), reply, from))
        queue_set(&qmgr->queue, r, QUEUE_MARKING);
    else
        queue_wait(&qmgr->queue, r, r->attempts, os_now_us(qmgr->os) + AGAIN_US);
}

static bool is_late(const struct queue_recipient *r)
{
    return r->state != QUEUE_DONE && r->state != QUEUE_MARKING && r->state != QUEUE_HELD;
}

/* Everybody who still waits is told of at once, with what is known of each. */
void report_delayed(struct qmgr *qmgr, struct queue_message *m, const struct queue_recipient *of,
                    const struct queue_event *reply)
{
    struct report *report = get_report(qmgr, &m->item.id, MAIL_REPORT_DELAYED);
    if (!report)
        return;
    for (uint32_t i = 0; i < m->recipient_count && report->count < EVENTS_MAX; i++) {
        const struct queue_recipient *r = &m->recipients[i];
        const struct queue_event other = { .code = 451,
                                           .status = { 4, 4, 0 },
                                           .text = VIEW("waits for its next attempt") };
        if (r == of)
            add_entry(report, i, reply, (struct mark_from){ 0 });
        else if (is_late(r))
            add_entry(report, i, &other, (struct mark_from){ 0 });
    }
    m->warned = QUEUE_WARNING;
}

/* ---- ending ---- */

static void try_again(struct report *report)
{
    arena_reset(&report->arena);
    report->stage = REPORT_AGAIN;
    report->again_us = os_now_us(report->qmgr->os) + AGAIN_US;
    qmgr_arm(report->qmgr);
}

static void settle(struct report *report)
{
    struct qmgr *qmgr = report->qmgr;
    struct queue_message *m = queue_find(&qmgr->queue, &report->about);
    if (report->kind == MAIL_REPORT_DELAYED && m)
        m->warned = QUEUE_WARNED;
    for (struct list *link = report->entries.next; report->kind == MAIL_REPORT_FAILED && link != &report->entries;
         link = link->next) {
        const struct entry *entry = list_entry(link, struct entry, link);
        struct queue_recipient *r = queue_recipient(&qmgr->queue, &report->about, entry->number);
        deliverer_kept(qmgr, entry->from.role, entry->from.instance, &report->about, entry->number);
        if (r)
            qmgr_done(qmgr, r);
    }
    free_report(report);
    os_later(qmgr->os, &qmgr->work);
}

static void on_added(void *ctx, bool ok)
{
    struct report *report = ctx;
    if (ok) {
        settle(report);
        return;
    }
    event_note(&report->qmgr->log, "mark-failed",
               VIEW("a report could not be stored; it is written again in a minute"));
    try_again(report);
}

/* ---- writing ---- */

static bool has_reader(const struct report *report)
{
    return report->reverse_path.len > 0;
}

static bool pack_entry(struct report *report, const struct entry *entry, struct spool_event *event)
{
    struct queue_event more = entry->reply;
    struct buffer tags;
    size_t cap = QUEUE_EVENT_ROOM + more.text.len + more.remote.len;
    char *memory = arena_alloc(&report->arena, cap);
    if (!memory)
        return false;
    buffer_init(&tags, memory, cap);
    if (has_reader(report))
        more.report = report->id;
    queue_event_pack(&tags, &more);
    event->recipient = entry->number;
    event->kind = QUEUE_EVENT_FAILED;
    event->tags = buffer_view(&tags);
    return !tags.full;
}

static bool pack_delay(struct report *report, struct spool_event *event)
{
    struct buffer tags;
    char *memory = arena_alloc(&report->arena, QUEUE_EVENT_ROOM);
    if (!memory)
        return false;
    buffer_init(&tags, memory, QUEUE_EVENT_ROOM);
    queue_event_pack(&tags, &(struct queue_event){ .report = report->id });
    event->recipient = SPOOL_ALL;
    event->kind = QUEUE_EVENT_DELAY_REPORTED;
    event->tags = buffer_view(&tags);
    return true;
}

/* The marks: one for each that failed, or one for the delay. */
static struct spool_event *make_events(struct report *report, const struct queue_message *m, size_t *count)
{
    bool delayed = report->kind == MAIL_REPORT_DELAYED;
    struct spool_event *events = arena_alloc(&report->arena, (report->count + 1) * sizeof *events);
    const struct spool_event common = { .id = report->about,
                                        .segment = m->place.segment,
                                        .wall_us = os_wall_us(report->qmgr->os) };
    *count = 0;
    if (!events)
        return NULL;
    events[0] = common;
    if (delayed)
        *count = 1;
    if (delayed)
        return pack_delay(report, &events[0]) ? events : NULL;
    list_each(link, &report->entries)
    {
        events[*count] = common;
        if (!pack_entry(report, list_entry(link, struct entry, link), &events[*count]))
            return NULL;
        ++*count;
    }
    return events;
}

static void add(struct report *report, const struct spool_own *own)
{
    struct queue_message *m = queue_find(&report->qmgr->queue, &report->about);
    size_t count;
    struct spool_event *events = m ? make_events(report, m, &count) : NULL;
    if (!m)
        free_report(report);
    else if (!events || !spool_store_add(report->qmgr->store, own, events, count, on_added, report))
        try_again(report);
}

static struct mail_report_recipient *make_recipients(struct report *report)
{
    struct mail_report_recipient *recipients = arena_alloc(&report->arena, report->count * sizeof *recipients);
    const struct queue_settings *settings = &report->qmgr->queue.settings;
    size_t n = 0;
    for (struct list *link = report->entries.next; recipients && link != &report->entries; link = link->next, n++) {
        const struct entry *entry = list_entry(link, struct entry, link);
        const struct queue_event *reply = &entry->reply;
        recipients[n] =
            (struct mail_report_recipient){ .path = report->paths[n],
                                            .code = reply->code,
                                            .status = { reply->status[0], reply->status[1], reply->status[2] },
                                            .text = reply->text,
                                            .remote = reply->remote,
                                            .last_attempt_us = entry->last_attempt_us };
        if (report->kind == MAIL_REPORT_DELAYED)
            recipients[n].will_retry_until_us = report->arrived_us + settings->expire_us;
    }
    return recipients;
}

/* The address a report goes to: without a source route, which is ignored (RFC 5321 section 3.6.1). */
static struct view mailbox_of(struct view reverse_path)
{
    if (view_starts(reverse_path, VIEW("@")))
        view_take(&reverse_path, view_find(reverse_path, ':') + 1);
    return reverse_path;
}

static void add_tags(struct buffer *tags, const struct report *report, uint64_t now_us)
{
    char bytes[8];
    put_u64(bytes, now_us);
    spool_tag_add(tags, SPOOL_TAG_REVERSE_PATH, VIEW(""));
    size_t place = spool_tag_open(tags, SPOOL_TAG_RECIPIENT);
    spool_tag_add(tags, SPOOL_RECIPIENT_PATH, mailbox_of(report->reverse_path));
    spool_tag_close(tags, place);
    spool_tag_add(tags, SPOOL_TAG_ARRIVED_US, (struct view){ bytes, sizeof bytes });
    spool_tag_add(tags, SPOOL_TAG_PROTOCOL, VIEW("report"));
}

static void store(struct report *report, struct view content)
{
    char memory[1024];
    struct buffer tags = BUFFER_OF(memory);
    struct mail_scan scan;
    mail_scan_start(&scan);
    mail_scan_feed(&scan, content);
    add_tags(&tags, report, os_wall_us(report->qmgr->os));
    const struct spool_own own = { report->id, buffer_view(&tags), content, *mail_scan_end(&scan) };
    if (tags.full)
        try_again(report);
    else
        add(report, &own);
}

static void write(struct report *report, struct view head)
{
    struct qmgr *qmgr = report->qmgr;
    const struct mail_report facts = { .kind = report->kind,
                                       .hostname = qmgr->role.conf.hostname,
                                       .reverse_path = mailbox_of(report->reverse_path),
                                       .arrived_us = report->arrived_us,
                                       .now_us = os_wall_us(qmgr->os),
                                       .id = report->id,
                                       .original = report->about,
                                       .head = view_slice(head, 0, MAIL_REPORT_WHOLE_MAX),
                                       .head_cut = head.len > MAIL_REPORT_WHOLE_MAX,
                                       .recipients = make_recipients(report),
                                       .count = report->count };
    struct buffer content;
    size_t cap = facts.recipients ? mail_report_size(&facts) : 0;
    char *memory = cap ? malloc(cap) : NULL;
    buffer_init(&content, memory, cap);
    if (memory && mail_report_write(&content, &facts))
        store(report, buffer_view(&content));
    else
        try_again(report);
    free(memory);
}

/* ---- reading ---- */

static void on_head(void *ctx, struct view head)
{
    struct report *report = ctx;
    if (head.at) {
        write(report, head);
        return;
    }
    event_note(&report->qmgr->log, "alarm",
               VIEW("a message that is to be returned to its sender cannot be read; it waits"));
    try_again(report);
}

static bool keep_envelope(struct report *report, const struct spool_message *stored)
{
    struct view rest = stored->envelope, value, path;
    uint16_t tag;
    uint32_t number = 0, count = 0;
    const struct queue_message *m = queue_find(&report->qmgr->queue, &report->about);
    struct view *paths = arena_alloc(&report->arena, (stored->recipient_count + report->count) * sizeof *paths);
    report->paths = arena_alloc(&report->arena, report->count * sizeof *report->paths);
    if (!paths || !report->paths)
        return false;
    report->arrived_us = mail_id_time_us(&report->about);
    while (spool_tag_next(&rest, &tag, &value)) {
        if (tag == SPOOL_TAG_REVERSE_PATH)
            report->reverse_path = value.len ? arena_copy(&report->arena, value) : VIEW_NONE;
        else if (tag == SPOOL_TAG_RECIPIENT && spool_tag_find(value, SPOOL_RECIPIENT_PATH, &path))
            paths[number++] = path;
    }
    list_each(link, &report->entries)
    {
        uint32_t n = list_entry(link, struct entry, link)->number;
        report->paths[count] = arena_copy(&report->arena, n < number ? paths[n] : queue_path(m, n));
        if (!report->paths[count++].at)
            return false;
    }
    return true;
}

/* There is nobody to tell (H130): only the marks are made. */
static void tell_nobody(struct report *report)
{
    struct event e;
    event_begin(&e, &report->qmgr->log, report->kind == MAIL_REPORT_FAILED ? "double-bounce" : "delay-untold");
    event_id(&e, &report->about);
    event_u64(&e, "recipients", report->count);
    event_end(&e);
    add(report, NULL);
}

static void on_envelope(void *ctx, const struct spool_message *stored)
{
    struct report *report = ctx;
    struct queue_message *m = queue_find(&report->qmgr->queue, &report->about);
    if (!m) {
        free_report(report);
        return;
    }
    if (!stored || !keep_envelope(report, stored))
        try_again(report);
    else if (!has_reader(report))
        tell_nobody(report);
    else if (!spool_store_read_head(report->qmgr->store, &m->place, MAIL_REPORT_WHOLE_MAX + 1, on_head, report))
        try_again(report);
}

static void start(struct report *report)
{
    struct qmgr *qmgr = report->qmgr;
    uint64_t random = 0;
    struct queue_message *m = queue_find(&qmgr->queue, &report->about);
    if (!m) { /* it is a delay that is over */
        free_report(report);
        return;
    }
    report->stage = REPORT_BUSY;
    report->reverse_path = VIEW_NONE;
    if (!os_random(qmgr->os, &random, sizeof random)) {
        try_again(report);
        return;
    }
    report->id = mail_id_make(&qmgr->ids, os_wall_us(qmgr->os), random);
    if (!spool_store_fetch(qmgr->store, &m->item.id, &m->place, on_envelope, report))
        try_again(report);
}

static void count_reports(const struct qmgr *qmgr, unsigned *busy, unsigned *all)
{
    *busy = *all = 0;
    list_each(link, &qmgr->reports)
    {
        *busy += list_entry(link, struct report, link)->stage == REPORT_BUSY;
        ++*all;
    }
}

bool reports_room(const struct qmgr *qmgr)
{
    unsigned busy, all;
    count_reports(qmgr, &busy, &all);
    return all < WAITING_MAX;
}

void reports_work(struct qmgr *qmgr)
{
    unsigned busy, all;
    uint64_t now = os_now_us(qmgr->os);
    count_reports(qmgr, &busy, &all);
    list_each_safe(link, &qmgr->reports)
    {
        struct report *report = list_entry(link, struct report, link);
        if (busy >= ACTIVE_MAX)
            return;
        if (report->stage == REPORT_BUSY || (report->stage == REPORT_AGAIN && report->again_us > now))
            continue;
        start(report);
        busy++;
    }
}

uint64_t reports_deadline(const struct qmgr *qmgr)
{
    uint64_t due = OS_NEVER;
    list_each(link, &qmgr->reports)
    {
        const struct report *report = list_entry(link, struct report, link);
        if (report->stage == REPORT_AGAIN && report->again_us < due)
            due = report->again_us;
    }
    return due;
}

void reports_free(struct qmgr *qmgr)
{
    while (!list_empty(&qmgr->reports))
        free_report(list_entry(qmgr->reports.next, struct report, link));
}

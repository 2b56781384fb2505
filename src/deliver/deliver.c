#include "deliver/deliver.h"

#include "deliver/box.h"

#include <stdlib.h>

static void fetch(void *ctx);

/* ---- life ---- */

/* Into file names of a Maildir, where '/' and ':' have a meaning. */
static void copy_hostname(struct deliver *deliver, struct view hostname)
{
    struct buffer to = BUFFER_OF(deliver->hostname);
    hostname = view_slice(hostname, 0, sizeof deliver->hostname - 1);
    for (size_t i = 0; i < hostname.len; i++)
        buffer_add_char(&to, ascii_is_alnum(hostname.at[i]) || hostname.at[i] == '.' ? hostname.at[i] : '-');
    buffer_add_char(&to, '\0');
}

struct deliver *deliver_new(struct os *os, const struct deliver_owner *owner, const struct deliver_settings *settings)
{
    uint8_t seed[16];
    struct deliver *deliver = os_random(os, seed, sizeof seed) ? calloc(1, sizeof *deliver) : NULL;
    if (!deliver)
        return NULL;
    deliver->os = os;
    deliver->owner = *owner;
    deliver->settings = *settings;
    copy_hostname(deliver, settings->hostname);
    list_init(&deliver->all_jobs);
    list_init(&deliver->all_boxes);
    list_init(&deliver->arrivals);
    list_init(&deliver->reading);
    deliver->fetch = (struct os_task){ fetch, deliver, NULL, false };
    map_init(&deliver->boxes, seed);
    heap_init(&deliver->timers);
    bool good = deliver_maildir_init(&deliver->maildir, deliver);
    deliver->reader = os_queue_new(os);
    deliver->writer = deliver->reader ? os_queue_new(os) : NULL;
    if (good && deliver->writer)
        return deliver;
    deliver_free(deliver);
    return NULL;
}

/* A job may have been anywhere, and its mailbox at work. */
static void drop_job(struct deliver *deliver, struct deliver_job *job)
{
    list_remove(&job->link);
    job->result.outcome = 0;
    job->box = NULL;
    if (job->file)
        os_file_close(job->file);
    job->file = NULL;
    deliver_done(deliver, job);
}

void deliver_free(struct deliver *deliver)
{
    for (struct list *link; (link = list_pop(&deliver->arrivals));)
        ;
    list_each_safe(link, &deliver->all_jobs) drop_job(deliver, list_entry(link, struct deliver_job, all));
    list_each_safe(link, &deliver->all_boxes) deliver_box_close(list_entry(link, struct deliver_box, all));
    if (deliver->reader)
        os_queue_free(deliver->reader);
    if (deliver->writer)
        os_queue_free(deliver->writer);
    deliver_maildir_free(&deliver->maildir);
    map_free(&deliver->boxes);
    heap_free(&deliver->timers);
    free(deliver);
}

/* ---- timers ---- */

static void on_alarm(void *ctx)
{
    struct deliver *deliver = ctx;
    struct heap_item *first;
    while ((first = heap_first(&deliver->timers)) && first->key <= os_now_us(deliver->os)) {
        heap_remove(&deliver->timers, first);
        deliver_mbox_timer(heap_entry(first, struct deliver_mbox, timer));
    }
    deliver_arm(deliver);
}

void deliver_arm(struct deliver *deliver)
{
    struct heap_item *first = heap_first(&deliver->timers);
    os_alarm(deliver->os, first ? first->key : OS_NEVER, on_alarm, deliver);
}

/* ---- reading ---- */

static void damaged(struct deliver *deliver, struct deliver_job *job, const char *why)
{
    char memory[200], id[MAIL_ID_TEXT_SIZE + 1];
    struct buffer text = BUFFER_OF(memory);
    mail_id_text(&job->id, id);
    buffer_addf(&text, "message %s in the spool (segment %llu, offset %llu): %s", id,
                (unsigned long long)job->place.segment, (unsigned long long)job->place.offset, why);
    deliver->owner.alarm(deliver->owner.ctx, buffer_view(&text));
    deliver_result_set(&job->result, IPC_DEFERRED, 451, 3, 0, "the stored message is damaged or cannot be read: %s",
                       why);
}

void deliver_copy_failed(struct deliver *deliver, struct deliver_job *job)
{
    const struct deliver_copy *copy = job->copy;
    if (copy->damaged)
        damaged(deliver, job, "its bytes make no message");
    else if (copy->read_status != OS_OK)
        damaged(deliver, job, os_status_text(copy->read_status));
    else
        deliver_result_trouble(&job->result, copy->write_status, "write to", job->base, job->rest);
}

static void take_read(struct deliver *deliver, struct deliver_job *job, const struct os_op *op)
{
    enum deliver_letter_result result = DELIVER_LETTER_DAMAGED;
    if (op->status == OS_OK)
        result = deliver_letter_parse(&job->letter, op->value, os_wall_us(deliver->os));
    if (result == DELIVER_LETTER_OK) {
        deliver_box_enter(deliver, job);
        return;
    }
    if (result == DELIVER_LETTER_NO_MEMORY)
        deliver_result_trouble(&job->result, OS_NO_MEMORY, "deliver to", job->base, job->rest);
    else
        damaged(deliver, job, op->status == OS_OK ? "it fails its checks" : os_status_text(op->status));
    deliver_done(deliver, job);
}

static void on_read(void *ctx)
{
    struct deliver *deliver = ctx;
    struct list read = LIST_INIT(read);
    list_move_all(&read, &deliver->reading);
    const struct os_op *op = deliver->reads;
    for (struct list *link; (link = list_pop(&read)); op++)
        take_read(deliver, list_entry(link, struct deliver_job, link), op);
    os_later(deliver->os, &deliver->fetch);
}

/* Room for one more in memory; what is too large for all of it comes alone. */
static bool has_room(const struct deliver *deliver, const struct deliver_job *job)
{
    return deliver->memory == 0 || deliver->memory + deliver_letter_memory(&job->place) <= DELIVER_MEMORY_MAX;
}

static bool begin(struct deliver *deliver, struct deliver_job *job, struct os_op *op)
{
    if (!deliver_letter_init(&job->letter, &job->place, job->mbox))
        return false;
    job->memory = deliver_letter_memory(&job->place);
    deliver->memory += job->memory;
    *op = (struct os_op){
        .kind = OS_READ,
        .file = &job->content,
        .offset = job->place.offset,
        .buf = job->letter.record,
        .len = job->letter.record_len,
    };
    return true;
}

static void fetch(void *ctx)
{
    struct deliver *deliver = ctx;
    size_t count = 0;
    if (!list_empty(&deliver->reading))
        return;
    while (count < DELIVER_READS_MAX && !list_empty(&deliver->arrivals)) {
        struct deliver_job *job = list_entry(deliver->arrivals.next, struct deliver_job, link);
        if (!has_room(deliver, job))
            break;
        list_remove(&job->link);
        if (begin(deliver, job, &deliver->reads[count])) {
            list_append(&deliver->reading, &job->link);
            count++;
        } else {
            deliver_result_trouble(&job->result, OS_NO_MEMORY, "deliver to", job->base, job->rest);
            deliver_done(deliver, job);
        }
    }
    if (!count)
        return;
    deliver->read_request = (struct os_request){ deliver->reads, count, on_read, deliver, NULL };
    os_submit(deliver->reader, &deliver->read_request);
}

/* ---- from outside ---- */

void deliver_add(struct deliver *deliver, struct deliver_job *job)
{
    deliver->jobs++;
    list_append(&deliver->all_jobs, &job->all);
    list_append(&deliver->arrivals, &job->link);
    os_later(deliver->os, &deliver->fetch);
}

void deliver_done(struct deliver *deliver, struct deliver_job *job)
{
    struct deliver_box *box = job->box;
    job->box = NULL;
    deliver_letter_free(&job->letter);
    if (job->copy)
        free(job->copy->memory);
    free(job->copy);
    job->copy = NULL;
    list_remove(&job->all);
    deliver->memory -= job->memory;
    deliver->jobs--;
    deliver->owner.done(deliver->owner.ctx, job);
    if (box)
        deliver_box_release(box);
    if (!list_empty(&deliver->arrivals))
        os_later(deliver->os, &deliver->fetch);
}

void deliver_stop(struct deliver *deliver)
{
    deliver->stopping = true;
    for (struct list *link; (link = list_pop(&deliver->arrivals));)
        deliver_done(deliver, list_entry(link, struct deliver_job, link));
    for (struct heap_item *first; (first = heap_first(&deliver->timers));) {
        heap_remove(&deliver->timers, first);
        deliver_mbox_stop(heap_entry(first, struct deliver_mbox, timer));
    }
    deliver_arm(deliver);
}

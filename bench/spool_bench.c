/* How fast the spool is by itself: messages of 4 KiB through a writer and a store in one process, so many at a time,
 * each batch begun when the one before is durable. One JSON line per figure. usage: spool-bench FOLDER [seconds per
 * figure] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "os/linux/os_linux.h"
#include "spool/spool.h"

#define MESSAGE_SIZE 4096

struct bench {
    struct os *os;
    struct spool_writer *writer;
    struct spool_store *store;
    struct mail_id_maker ids;
    size_t batch, answered;
    uint64_t messages, began_us, end_us;
    double cpu, seconds;
    size_t figure;
    struct os_task task;
    char tags[512], content[MESSAGE_SIZE];
    struct mail_facts facts;
};

static const size_t batches[] = { 1, 10, 100 };

static double cpu_now(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void begin_figure(struct bench *b)
{
    b->batch = batches[b->figure];
    b->messages = b->answered = 0;
    b->began_us = now_us();
    b->end_us = b->began_us + (uint64_t)(b->seconds * 1e6);
    b->cpu = cpu_now();
}

static void end_figure(struct bench *b)
{
    double seconds = (double)(now_us() - b->began_us) / 1e6, cpu = cpu_now() - b->cpu;
    printf("{\"spool\": \"4 KiB messages, %zu at a time\", \"per_s\": %.0f, \"cpu_us_each\": %.2f}\n", b->batch,
           (double)b->messages / seconds, cpu / (double)b->messages * 1e6);
    fflush(stdout);
}

static void done(void *ctx, bool ok)
{
    struct bench *b = ctx;
    if (!ok) {
        fprintf(stderr, "spool-bench: a message was refused\n");
        os_stop(b->os, 1);
    }
    b->messages++;
    if (++b->answered == b->batch)
        os_later(b->os, &b->task);
}

static bool send_one(struct bench *b)
{
    uint64_t random;
    struct buffer tags = BUFFER_OF(b->tags);
    if (!os_random(b->os, &random, sizeof(random)))
        return false;
    struct mail_id id = mail_id_make(&b->ids, os_wall_us(b->os), random);
    spool_tag_add(&tags, SPOOL_TAG_ID, (struct view){ (const char *)id.at, MAIL_ID_SIZE });
    spool_tag_add(&tags, SPOOL_TAG_REVERSE_PATH, VIEW("sender@example.org"));
    size_t place = spool_tag_open(&tags, SPOOL_TAG_RECIPIENT);
    spool_tag_add(&tags, SPOOL_RECIPIENT_PATH, VIEW("user@example.org"));
    spool_tag_add(&tags, SPOOL_RECIPIENT_ACTION, VIEW("inbox"));
    spool_tag_close(&tags, place);
    struct spool_entry *entry = spool_entry_new(b->writer);
    return entry && spool_entry_add(entry, (struct view){ b->content, sizeof(b->content) }) == SPOOL_TAKEN &&
           spool_entry_finish(entry, buffer_view(&tags), VIEW("Received: by bench\r\n"), &b->facts, done, b);
}

static void send_batch(void *ctx)
{
    struct bench *b = ctx;
    if (now_us() >= b->end_us) {
        end_figure(b);
        if (++b->figure == sizeof(batches) / sizeof(batches[0])) {
            os_stop(b->os, 0);
            return;
        }
        begin_figure(b);
    }
    b->answered = 0;
    for (size_t i = 0; i < b->batch; i++)
        if (!send_one(b)) {
            fprintf(stderr, "spool-bench: no room in the spool\n");
            os_stop(b->os, 1);
            return;
        }
}

static void on_need(void *ctx, enum spool_kind kind, unsigned count)
{
    struct bench *b = ctx;
    spool_store_need(b->store, kind, count);
}

static void on_durable(void *ctx, uint64_t segment, uint64_t upto)
{
    struct bench *b = ctx;
    spool_store_durable(b->store, segment, upto);
}

static void on_sealed(void *ctx, uint64_t segment, uint64_t end)
{
    struct bench *b = ctx;
    spool_store_sealed(b->store, segment, end);
}

static void on_trouble(void *ctx, bool ok, struct view text)
{
    (void)ctx;
    (void)ok;
    fprintf(stderr, "spool-bench: %.*s\n", VIEW_FORMAT(text));
}

static void on_room(void *ctx)
{
    (void)ctx;
}

/* Delivered at once: the segments go round. */
static void on_message(void *ctx, const struct spool_message *message)
{
    struct bench *b = ctx;
    if (b->store) /* not what an earlier run left */
        spool_store_forget(b->store, &message->id, &message->place);
}

static void on_event(void *ctx, const struct spool_event *event)
{
    (void)ctx;
    (void)event;
}

static void on_segment(void *ctx, enum spool_kind kind, uint64_t number, uint64_t nonce, uint64_t size,
                       struct os_file *file)
{
    struct bench *b = ctx;
    bool first = !spool_writer_ready(b->writer);
    spool_writer_give(b->writer, kind, number, nonce, size, file);
    if (first && kind == SPOOL_MAIL) {
        begin_figure(b);
        os_later(b->os, &b->task);
    }
}

static void on_alarm(void *ctx, struct view text)
{
    (void)ctx;
    fprintf(stderr, "spool-bench: %.*s\n", VIEW_FORMAT(text));
}

static void on_deadline(void *ctx)
{
    (void)ctx;
}

static bool open_spool(struct bench *b, const char *folder)
{
    const struct spool_store_owner store_owner = { b, on_message, on_event, on_segment, on_alarm, on_deadline };
    const struct spool_store_limits store_limits = { SPOOL_SEGMENT_SIZE, 4 };
    const struct spool_writer_owner writer_owner = { b, on_need, on_durable, on_sealed, on_trouble, on_room, NULL };
    const struct spool_writer_limits writer_limits = { 64 << 20, SPOOL_LARGE_MIN, 8 << 20 };
    char text[256];
    struct buffer error = BUFFER_OF(text);
    enum os_status status;
    struct os_dir *dir = os_dir_path(b->os, folder, &status);
    if (!dir) {
        fprintf(stderr, "spool-bench: %s: %s\n", folder, os_status_text(status));
        return false;
    }
    status = spool_create(b->os, dir);
    if (status != OS_OK && status != OS_EXISTS) {
        fprintf(stderr, "spool-bench: no spool in %s: %s\n", folder, os_status_text(status));
        return false;
    }
    b->store = spool_store_open(b->os, dir, &store_owner, &store_limits, NULL, 0, &error);
    if (!b->store)
        fprintf(stderr, "spool-bench: %.*s\n", VIEW_FORMAT(buffer_view(&error)));
    b->writer = b->store ? spool_writer_new(b->os, &writer_owner, &writer_limits) : NULL;
    return b->writer != NULL;
}

int main(int argc, char **argv)
{
    static struct bench b;
    if (argc < 2) {
        fprintf(stderr, "usage: spool-bench FOLDER [seconds]\n");
        return 64;
    }
    b.seconds = argc > 2 ? atof(argv[2]) : 3;
    b.task = (struct os_task){ .run = send_batch, .ctx = &b };
    memset(b.content, 'x', sizeof(b.content));
    b.os = os_linux_new(NULL, 0);
    if (!b.os || !open_spool(&b, argv[1]))
        return 1;
    return os_linux_run(b.os);
}

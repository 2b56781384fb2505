/* How fast the spool is by itself, with writer and store in one process. One JSON line per figure.
 *   spool-bench FOLDER [seconds per figure]      messages of 4 KiB, so many at a time, each batch begun when the one
 *                                                before is durable
 *   spool-bench recover FOLDER COUNT [SIZE]      so many messages (SIZE bytes, 4096 at most) with 1.2 events each are
 *                                                stored, unless they are there; then the caches are dropped (needs
 * root) and the spool is opened */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

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
    struct os_task task, ticker;
    char tags[512], content[MESSAGE_SIZE];
    struct mail_facts facts;
    /* recover */
    uint64_t wanted, seen, events, logged;
    size_t size;
    uint64_t first_segment_us, turn_us, longest_turn_us;
    bool filling, recovering, opened;
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
    return entry && spool_entry_add(entry, (struct view){ b->content, b->size }) == SPOOL_TAKEN &&
           spool_entry_finish(entry, buffer_view(&tags), VIEW("Received: by bench\r\n"), &b->facts, done, b);
}

static void send_batch(void *ctx)
{
    struct bench *b = ctx;
    if (b->filling && b->messages + b->batch > b->wanted)
        return;
    if (!b->filling && now_us() >= b->end_us) {
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

static void on_logged(void *ctx, bool ok)
{
    struct bench *b = ctx;
    b->logged += ok;
    if (b->seen == b->wanted && b->logged == b->events)
        os_stop(b->os, 0);
}

/* As when its first attempt failed. */
static void log_one(struct bench *b, const struct spool_message *message)
{
    static const char text[] = "450 4.2.1 the mailbox is busy, come back in a while";
    struct spool_event event = { .id = message->id, .segment = message->place.segment, .kind = 5 };
    event.tags = (struct view){ text, sizeof(text) };
    b->events++;
    if (!spool_store_log(b->store, &event, on_logged, b))
        os_stop(b->os, 1);
}

/* Delivered at once: the segments go round. Unless there shall be something to recover. */
static void on_message(void *ctx, const struct spool_message *message)
{
    struct bench *b = ctx;
    b->seen++;
    if (b->recovering)
        return;
    if (!b->filling) {
        if (b->opened) /* not what an earlier run left */
            spool_store_forget(b->store, &message->id, &message->place);
        return;
    }
    log_one(b, message);
    if (b->seen % 5 == 0)
        log_one(b, message);
}

static void on_event(void *ctx, const struct spool_event *event)
{
    struct bench *b = ctx;
    (void)event;
    b->events++;
}

static void on_opened(void *ctx, bool ok, struct view error)
{
    struct bench *b = ctx;
    b->opened = ok;
    if (!ok) {
        fprintf(stderr, "spool-bench: %.*s\n", VIEW_FORMAT(error));
        os_stop(b->os, 1);
    } else if (b->recovering) {
        b->end_us = now_us();
        os_stop(b->os, 0);
    }
}

static void on_segment(void *ctx, enum spool_kind kind, uint64_t number, uint64_t nonce, uint64_t size,
                       struct os_file *file)
{
    struct bench *b = ctx;
    if (b->recovering) {
        if (kind == SPOOL_MAIL && !b->first_segment_us)
            b->first_segment_us = now_us();
        os_file_close(file);
        return;
    }
    bool first = !spool_writer_ready(b->writer);
    spool_writer_give(b->writer, kind, number, nonce, size, file);
    if (first && kind == SPOOL_MAIL) {
        if (!b->filling)
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

static bool open_store(struct bench *b, struct os_dir *dir)
{
    const struct spool_store_owner owner = { .ctx = b,
                                             .message = on_message,
                                             .event = on_event,
                                             .segment = on_segment,
                                             .alarm = on_alarm,
                                             .deadline = on_deadline,
                                             .opened = on_opened };
    const struct spool_store_limits limits = { SPOOL_SEGMENT_SIZE, 4, 0 };
    char text[256];
    struct buffer error = BUFFER_OF(text);
    b->store = spool_store_open(b->os, dir, &owner, &limits, NULL, 0, &error);
    if (!b->store)
        fprintf(stderr, "spool-bench: %.*s\n", VIEW_FORMAT(buffer_view(&error)));
    return b->store != NULL;
}

static struct os_dir *open_folder(struct bench *b, const char *folder)
{
    enum os_status status;
    struct os_dir *dir = os_dir_path(b->os, folder, &status);
    if (!dir)
        fprintf(stderr, "spool-bench: %s: %s\n", folder, os_status_text(status));
    return dir;
}

static bool open_spool(struct bench *b, const char *folder)
{
    const struct spool_writer_owner writer_owner = { b, on_need, on_durable, on_sealed, on_trouble, on_room, NULL };
    const struct spool_writer_limits writer_limits = { 64 << 20, SPOOL_LARGE_MIN, 8 << 20 };
    struct os_dir *dir = open_folder(b, folder);
    enum os_status status = dir ? spool_create(b->os, dir) : OS_NOT_FOUND;
    if (status != OS_OK && status != OS_EXISTS) {
        fprintf(stderr, "spool-bench: no spool in %s: %s\n", folder, os_status_text(status));
        return false;
    }
    b->writer = open_store(b, dir) ? spool_writer_new(b->os, &writer_owner, &writer_limits) : NULL;
    return b->writer != NULL;
}

/* ---- recover ---- */

static int fill(struct bench *b, const char *folder)
{
    struct os_dir *dir = open_folder(b, folder);
    if (!dir)
        return 1;
    if (spool_create(b->os, dir) == OS_EXISTS)
        return 0; /* it was filled before */
    b->filling = true;
    b->batch = 100;
    if (!open_spool(b, folder))
        return 1;
    int code = os_linux_run(b->os);
    printf("{\"spool\": \"filled\", \"messages\": %llu, \"events\": %llu}\n", (unsigned long long)b->seen,
           (unsigned long long)b->logged);
    return code;
}

static void tick(void *ctx)
{
    struct bench *b = ctx;
    uint64_t now = now_us();
    if (now - b->turn_us > b->longest_turn_us)
        b->longest_turn_us = now - b->turn_us;
    b->turn_us = now;
    os_later(b->os, &b->ticker);
}

static bool drop_caches(void)
{
    FILE *file = fopen("/proc/sys/vm/drop_caches", "w");
    bool ok = file && fputs("3\n", file) >= 0;
    if (file && fclose(file) != 0)
        ok = false;
    if (!ok)
        fprintf(stderr, "spool-bench: the caches cannot be dropped: the figure is that of a warm start\n");
    return ok;
}

static int recover(struct bench *b, const char *folder)
{
    sync();
    bool cold = drop_caches();
    struct os_dir *dir = open_folder(b, folder);
    b->recovering = true;
    b->filling = false;
    b->seen = b->events = 0;
    b->cpu = cpu_now();
    b->began_us = b->turn_us = now_us();
    if (!dir || !open_store(b, dir))
        return 1;
    uint64_t open_us = now_us() - b->began_us;
    spool_store_need(b->store, SPOOL_MAIL, 1);
    os_later(b->os, &b->ticker);
    int code = os_linux_run(b->os);
    printf("{\"spool\": \"recover, %s\", \"messages\": %llu, \"events\": %llu, \"s\": %.2f, \"cpu_s\": %.2f, "
           "\"open_ms\": %.1f, \"first_segment_ms\": %.1f, \"longest_turn_ms\": %.1f}\n",
           cold ? "cold" : "warm", (unsigned long long)b->seen, (unsigned long long)b->events,
           (double)(b->end_us - b->began_us) / 1e6, cpu_now() - b->cpu, (double)open_us / 1e3,
           b->first_segment_us ? (double)(b->first_segment_us - b->began_us) / 1e3 : -1.0,
           (double)b->longest_turn_us / 1e3);
    return code;
}

static int fill_and_recover(struct bench *b, int argc, char **argv)
{
    b->wanted = strtoull(argv[3], NULL, 10) / 100 * 100;
    b->size = argc > 4 ? strtoull(argv[4], NULL, 10) : MESSAGE_SIZE;
    b->ticker = (struct os_task){ .run = tick, .ctx = b };
    if (b->size > MESSAGE_SIZE || b->wanted == 0)
        return 64;
    int code = fill(b, argv[2]);
    if (code)
        return code;
    b->os = os_linux_new(NULL, 0);
    return b->os ? recover(b, argv[2]) : 1;
}

int main(int argc, char **argv)
{
    static struct bench b;
    if (argc < 2) {
        fprintf(stderr, "usage: spool-bench FOLDER [seconds] | recover FOLDER COUNT [SIZE]\n");
        return 64;
    }
    b.task = (struct os_task){ .run = send_batch, .ctx = &b };
    memset(b.content, 'x', sizeof(b.content));
    b.os = os_linux_new(NULL, 0);
    if (b.os && argc > 3 && strcmp(argv[1], "recover") == 0)
        return fill_and_recover(&b, argc, argv);
    b.seconds = argc > 2 ? atof(argv[2]) : 3;
    b.size = MESSAGE_SIZE;
    if (!b.os || !open_spool(&b, argv[1]))
        return 1;
    return os_linux_run(b.os);
}

/* What compaction costs: messages of 4 KiB come in batches of 100; most are delivered at once, some wait until a
 * quarter as many as all have come behind them. One JSON line: bytes written for each byte received (by us, zeros
 * filled ahead included; and as the kernel counts what goes to the device), and disk used beside what is live. usage:
 * spool-churn FOLDER COUNT [percent that wait] [MiB of a segment] [messages/s] */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/list.h"
#include "base/map.h"
#include "os/linux/os_linux.h"
#include "spool/spool.h"

#define MESSAGE_SIZE 4096
#define BATCH        100
#define SAMPLE_EVERY 5000 /* messages */
#define BATCHES_MAX  100000

struct letter {
    struct map_item item;
    struct list link; /* among those that wait */
    struct bench *bench;
    struct mail_id id;
    struct spool_place place;
    uint64_t due; /* when so many have come */
};

struct bench {
    struct os *os;
    const char *folder;
    struct spool_writer *writer;
    struct spool_store *store;
    struct mail_id_maker ids;
    struct map letters;
    struct list waiting;
    struct os_task task;
    uint64_t count, every, sent, answered, seen, done, moved;
    uint64_t live, excess_max, disk_max;
    uint64_t batch_began_us, *batch_us, batches, gap_us, next_us;
    bool began;
    char tags[512], content[MESSAGE_SIZE];
    struct mail_facts facts;
};

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- what the disk has ---- */

static uint64_t written_bytes(const char *format)
{
    char line[128];
    unsigned long long bytes = 0;
    FILE *file = fopen("/proc/self/io", "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, format, &bytes) == 1)
            break;
    if (file)
        fclose(file);
    return bytes;
}

static uint64_t folder_bytes(const char *folder, const char *part)
{
    char path[4096];
    struct stat st;
    uint64_t bytes = 0;
    snprintf(path, sizeof(path), "%s/%s", folder, part);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(path, sizeof(path), "%s/%s/%s", folder, part, entry->d_name);
        if (entry->d_name[0] != '.' && stat(path, &st) == 0)
            bytes += (uint64_t)st.st_blocks * 512;
    }
    if (dir)
        closedir(dir);
    return bytes;
}

static uint64_t disk_used(const struct bench *b)
{
    return folder_bytes(b->folder, "segments") + folder_bytes(b->folder, "free");
}

static void sample(struct bench *b)
{
    uint64_t used = disk_used(b);
    if (used > b->disk_max)
        b->disk_max = used;
    if (used > 2 * b->live && used - 2 * b->live > b->excess_max)
        b->excess_max = used - 2 * b->live;
}

/* ---- sending ---- */

static void stored(void *ctx, bool ok)
{
    struct bench *b = ctx;
    if (!ok)
        os_stop(b->os, 1);
    if (++b->answered % BATCH)
        return;
    if (b->batches < BATCHES_MAX)
        b->batch_us[b->batches++] = now_us() - b->batch_began_us;
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
    b->sent++;
    return entry && spool_entry_add(entry, (struct view){ b->content, sizeof(b->content) }) == SPOOL_TAKEN &&
           spool_entry_finish(entry, buffer_view(&tags), VIEW("Received: by bench\r\n"), &b->facts, stored, b);
}

static void on_deadline(void *ctx);

/* As fast as it goes, but never far ahead of what is delivered. */
static void send_batch(void *ctx)
{
    struct bench *b = ctx;
    if (b->answered < b->sent || b->sent >= b->count || b->sent > b->seen + 20 * BATCH || !b->store)
        return;
    if (now_us() < b->next_us) {
        on_deadline(b);
        return;
    }
    b->batch_began_us = now_us();
    b->next_us = b->batch_began_us + b->gap_us;
    for (int i = 0; i < BATCH; i++)
        if (!send_one(b)) {
            fprintf(stderr, "spool-churn: no room in the spool\n");
            os_stop(b->os, 1);
            return;
        }
}

/* ---- the queue ---- */

static void finished(void *ctx, bool ok)
{
    struct letter *letter = ctx;
    struct bench *b = letter->bench;
    if (!ok)
        os_stop(b->os, 1);
    spool_store_forget(b->store, &letter->id, &letter->place);
    b->live -= letter->place.content_size + letter->place.head_size;
    map_remove(&b->letters, &letter->item);
    free(letter);
    if (++b->done % SAMPLE_EVERY == 0)
        sample(b);
    if (b->seen == b->count && b->letters.count <= b->count / 4 / (b->every ? b->every : UINT64_MAX) + 1)
        os_stop(b->os, 0);
}

static void tried(void *ctx, bool ok)
{
    struct bench *b = ctx;
    if (!ok)
        os_stop(b->os, 1);
}

static void finish(struct bench *b, struct letter *letter)
{
    const struct spool_event event = { .id = letter->id,
                                       .segment = letter->place.segment,
                                       .kind = 1 | SPOOL_EVENT_FINAL,
                                       .tags = VIEW("250 2.0.0 delivered to the mailbox") };
    list_remove(&letter->link);
    if (!spool_store_log(b->store, &event, finished, letter))
        os_stop(b->os, 1);
}

static void defer(struct bench *b, struct letter *letter)
{
    const struct spool_event event = { .id = letter->id,
                                       .segment = letter->place.segment,
                                       .kind = 5,
                                       .tags = VIEW("450 4.2.1 the mailbox is busy, come back in a while") };
    letter->due = b->seen + b->count / 4;
    list_append(&b->waiting, &letter->link);
    if (!spool_store_log(b->store, &event, tried, b))
        os_stop(b->os, 1);
}

static void on_message(void *ctx, const struct spool_message *message)
{
    struct bench *b = ctx;
    struct letter *letter = calloc(1, sizeof(*letter));
    if (!letter) {
        os_stop(b->os, 1);
        return;
    }
    letter->bench = b;
    letter->id = message->id;
    letter->place = message->place;
    list_init(&letter->link);
    letter->item.key = (struct view){ (const char *)letter->id.at, MAIL_ID_SIZE };
    map_add(&b->letters, &letter->item);
    b->live += message->place.content_size + message->place.head_size;
    if (b->every && ++b->seen % b->every == 0)
        defer(b, letter);
    else
        finish(b, letter);
    b->seen += b->every == 0;
    while (!list_empty(&b->waiting) && list_entry(b->waiting.next, struct letter, link)->due <= b->seen)
        finish(b, list_entry(b->waiting.next, struct letter, link));
    os_later(b->os, &b->task);
}

static struct letter *find(const struct bench *b, const struct mail_id *id)
{
    struct map_item *item = map_find(&b->letters, (struct view){ (const char *)id->at, MAIL_ID_SIZE });
    return item ? map_entry(item, struct letter, item) : NULL;
}

static bool on_live(void *ctx, const struct mail_id *id, const struct spool_place *place)
{
    const struct letter *letter = find(ctx, id);
    return letter && letter->place.segment == place->segment;
}

static void on_moved(void *ctx, const struct mail_id *id, const struct spool_place *from, const struct spool_place *to)
{
    struct bench *b = ctx;
    struct letter *letter = find(b, id);
    b->moved++;
    if (letter && letter->place.segment == from->segment)
        letter->place = *to;
}

/* ---- between the parts ---- */

static void on_need(void *ctx, enum spool_kind kind, unsigned count)
{
    spool_store_need(((struct bench *)ctx)->store, kind, count);
}

static void on_durable(void *ctx, uint64_t segment, uint64_t upto)
{
    spool_store_durable(((struct bench *)ctx)->store, segment, upto);
}

static void on_sealed(void *ctx, uint64_t segment, uint64_t end)
{
    spool_store_sealed(((struct bench *)ctx)->store, segment, end);
}

static void on_trouble(void *ctx, bool ok, struct view text)
{
    (void)ctx;
    (void)ok;
    fprintf(stderr, "spool-churn: %.*s\n", VIEW_FORMAT(text));
}

static void on_room(void *ctx)
{
    (void)ctx;
}

static void on_segment(void *ctx, enum spool_kind kind, uint64_t number, uint64_t nonce, uint64_t size,
                       struct os_file *file)
{
    struct bench *b = ctx;
    spool_writer_give(b->writer, kind, number, nonce, size, file);
    if (kind == SPOOL_MAIL && !b->began) {
        b->began = true;
        os_later(b->os, &b->task);
    }
}

static void on_event(void *ctx, const struct spool_event *event)
{
    (void)ctx;
    (void)event;
}

static void on_alarm(void *ctx, struct view text)
{
    (void)ctx;
    fprintf(stderr, "spool-churn: %.*s\n", VIEW_FORMAT(text));
}

static void ring(void *ctx)
{
    struct bench *b = ctx;
    spool_store_tick(b->store);
    on_deadline(b);
    if (b->began)
        os_later(b->os, &b->task);
}

static void on_deadline(void *ctx)
{
    struct bench *b = ctx;
    uint64_t now = now_us(), due = b->store ? spool_store_deadline(b->store) : OS_NEVER;
    if (b->next_us > now && os_now_us(b->os) + b->next_us - now < due)
        due = os_now_us(b->os) + b->next_us - now;
    os_alarm(b->os, due, ring, b);
}

static void on_opened(void *ctx, bool ok, struct view error)
{
    struct bench *b = ctx;
    if (!ok) {
        on_alarm(b, error);
        os_stop(b->os, 1);
    }
}

static bool open_spool(struct bench *b, uint64_t segment_size)
{
    const struct spool_store_owner owner = { .ctx = b,
                                             .message = on_message,
                                             .event = on_event,
                                             .segment = on_segment,
                                             .alarm = on_alarm,
                                             .deadline = on_deadline,
                                             .opened = on_opened,
                                             .live = on_live,
                                             .moved = on_moved };
    const struct spool_store_limits limits = { segment_size, 4, 0 };
    const struct spool_writer_owner writer_owner = { b, on_need, on_durable, on_sealed, on_trouble, on_room, NULL };
    const struct spool_writer_limits writer_limits = { 64 << 20, SPOOL_LARGE_MIN, 2 << 20 };
    char text[256];
    struct buffer error = BUFFER_OF(text);
    enum os_status status;
    struct os_dir *dir = os_dir_path(b->os, b->folder, &status);
    if (!dir || spool_create(b->os, dir) != OS_OK) {
        fprintf(stderr, "spool-churn: %s is no empty folder\n", b->folder);
        return false;
    }
    b->store = spool_store_open(b->os, dir, &owner, &limits, NULL, 0, &error);
    b->writer = b->store ? spool_writer_new(b->os, &writer_owner, &writer_limits) : NULL;
    return b->writer != NULL;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    static struct bench b;
    uint8_t seed[16] = { 1 };
    if (argc < 3)
        return fprintf(stderr, "usage: spool-churn FOLDER COUNT [percent] [MiB]\n"), 64;
    unsigned long percent = argc > 3 ? strtoul(argv[3], NULL, 10) : 5, mib = argc > 4 ? strtoul(argv[4], NULL, 10) : 64;
    b.folder = argv[1];
    b.count = strtoull(argv[2], NULL, 10) / BATCH * BATCH;
    b.every = percent ? 100 / percent : 0;
    b.gap_us = argc > 5 ? BATCH * 1000000 / strtoull(argv[5], NULL, 10) : 0;
    b.task = (struct os_task){ .run = send_batch, .ctx = &b };
    b.batch_us = calloc(BATCHES_MAX, sizeof(uint64_t));
    list_init(&b.waiting);
    map_init(&b.letters, seed);
    memset(b.content, 'x', sizeof(b.content));
    b.os = os_linux_new(NULL, 0);
    uint64_t began = now_us();
    if (!b.os || !b.batch_us || !open_spool(&b, (uint64_t)mib << 20))
        return 1;
    int code = os_linux_run(b.os);
    sample(&b);
    double seconds = (double)(now_us() - began) / 1e6, received = (double)b.count * MESSAGE_SIZE;
    qsort(b.batch_us, b.batches, sizeof(uint64_t), by_value);
    printf("{\"spool\": \"churn, %lu %% wait\", \"messages\": %llu, \"s\": %.1f, \"moved\": %llu, "
           "\"written_per_byte\": %.3f, "
           "\"device_per_byte\": %.3f, "
           "\"live_mib\": %.0f, \"disk_mib\": %.0f, \"disk_mib_max\": %.0f, \"over_twice_live_mib_max\": %.0f, "
           "\"batch_ms_p50\": %.1f, \"batch_ms_p99\": %.1f}\n",
           percent, (unsigned long long)b.count, seconds, (unsigned long long)b.moved,
           (double)written_bytes("wchar: %llu") / received, (double)written_bytes("write_bytes: %llu") / received,
           (double)b.live / 1048576, (double)disk_used(&b) / 1048576, (double)b.disk_max / 1048576,
           (double)b.excess_max / 1048576, (double)b.batch_us[b.batches / 2] / 1e3,
           (double)b.batch_us[b.batches * 99 / 100] / 1e3);
    return code;
}

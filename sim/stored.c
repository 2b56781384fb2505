#include "sim/stored.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "queue/event.h"
#include "spool/spool.h"

#define FIRST_FIELD "X-Number: "
#define FRONT_MAX   1024
#define MEMORY_MAX  ((size_t)64 << 20)

struct note {
    struct note *next;
    struct mail_id id;
    uint32_t recipient;
    unsigned kind;
    struct queue_event event;
};

struct look {
    struct os *os;
    struct arena arena;
    struct note *notes;
    void (*on)(void *ctx, const struct sim_recipient *recipient);
    void *ctx;
};

static void take_event(void *ctx, const struct spool_event *event)
{
    struct look *look = ctx;
    struct note *note = arena_alloc(&look->arena, sizeof *note);
    if (!note)
        abort();
    *note = (struct note){ look->notes, event->id, event->recipient, event->kind, { 0 } };
    queue_event_unpack(arena_copy(&look->arena, event->tags), &note->event);
    look->notes = note;
}

static bool is_live(const struct look *look, const struct mail_id *id, uint32_t recipient)
{
    for (const struct note *note = look->notes; note; note = note->next)
        if (note->kind & SPOOL_EVENT_FINAL && (note->recipient == recipient || note->recipient == SPOOL_ALL) &&
            mail_id_compare(&note->id, id) == 0)
            return false;
    return true;
}

/* ---- messages ---- */

/* Where the content as it was received begins: behind what was put in front. */
static bool find_content(const struct spool_message *message, uint64_t *offset)
{
    struct spool_reader reader;
    struct spool_span span;
    spool_reader_init(&reader, message, VIEW_NONE);
    while (spool_reader_next(&reader, &span)) {
        *offset = span.offset;
        if (!span.bytes.at)
            return true;
    }
    return false;
}

/* Behind what servers on the way have put in front. */
static uint32_t number_in(struct view text)
{
    uint64_t number;
    while (text.len) {
        struct view line = view_take_until(&text, '\n');
        if (!view_starts(line, VIEW(FIRST_FIELD)))
            continue;
        view_take(&line, strlen(FIRST_FIELD));
        return view_to_u64(view_trim(line), UINT32_MAX, &number) ? (uint32_t)number : SIM_NO_LETTER;
    }
    return SIM_NO_LETTER;
}

static uint32_t letter_of(struct os *os, const struct spool_message *message, struct os_file *file)
{
    char memory[FRONT_MAX];
    uint64_t offset;
    if (!find_content(message, &offset))
        return SIM_NO_LETTER;
    struct os_op op = { .kind = OS_READ, .file = &file, .offset = offset, .buf = memory, .len = sizeof memory };
    os_run_ops(os, &op, 1);
    return number_in((struct view){ memory, op.status == OS_OK ? op.value : 0 });
}

static void tell(const struct look *look, const struct mail_id *id, uint32_t letter, uint32_t number, struct view path)
{
    look->on(look->ctx, &(struct sim_recipient){ letter, path, is_live(look, id, number) });
}

static void tell_expanded(const struct look *look, const struct mail_id *id, uint32_t letter)
{
    for (const struct note *note = look->notes; note; note = note->next) {
        struct view paths = note->event.paths, path;
        if (note->kind != QUEUE_EVENT_EXPANDED || mail_id_compare(&note->id, id) != 0)
            continue;
        for (uint32_t n = note->event.first; queue_event_path(&paths, &path); n++)
            tell(look, id, letter, n, path);
    }
}

static void take_message(void *ctx, const struct spool_message *message, struct os_file *file)
{
    const struct look *look = ctx;
    struct view rest = message->envelope, value, path;
    uint32_t letter = letter_of(look->os, message, file), number = 0;
    uint16_t tag;
    while (spool_tag_next(&rest, &tag, &value))
        if (tag == SPOOL_TAG_RECIPIENT && spool_tag_find(value, SPOOL_RECIPIENT_PATH, &path))
            tell(look, &message->id, letter, number++, path);
    tell_expanded(look, &message->id, letter);
}

bool sim_stored(struct mem_host *observer, const struct mem_disk *disk,
                void (*on)(void *ctx, const struct sim_recipient *recipient), void *ctx)
{
    enum os_status status;
    struct mem_disk *own = mem_host_swap_disk(observer, mem_disk_clone(disk));
    struct look look = { .os = mem_process_new(observer), .on = on, .ctx = ctx };
    const struct spool_browse browse = { &look, take_event, take_message };
    arena_init(&look.arena, 65536, MEMORY_MAX);
    struct os_dir *dir = os_dir_path(look.os, "/var/spool/gonets", &status);
    if (dir) {
        status = spool_browse(look.os, dir, &browse);
        os_dir_close(dir);
    }
    arena_reset(&look.arena);
    mem_process_kill(look.os);
    mem_disk_free(mem_host_swap_disk(observer, own));
    return status == OS_OK;
}

/* Recovery: what the disk says after whatever happened. In order: every segment's header and seal; what nobody sealed
 * is made durable and surveyed; annulments are collected; then messages, then events are given out (replay.c). See
 * "Recovery" in ARCHITECTURE.md. */
#include <stdlib.h>
#include <string.h>

#include "spool/folder.h"
#include "spool/store_inner.h"
#include "spool/survey.h"

struct opening {
    struct spool_store *store;
    const struct spool_held *held;
    size_t held_count;
    struct buffer *error;
    uint64_t highest;
};

static bool refuse(struct opening *opening, const char *text, struct view name)
{
    buffer_addf(opening->error, "segments/%.*s: %s; nothing was changed", VIEW_FORMAT(name), text);
    return false;
}

static void quarantine_file(struct spool_store *store, uint64_t number, const char *why)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, number);
    struct os_op ops[3];
    ops[0] = (struct os_op){
        .kind = OS_RENAME, .dir = store->segments_dir, .name = name, .to_name = name, .to_dir = store->quarantine_dir
    };
    ops[1] = (struct os_op){ .kind = OS_SYNC_DIR, .dir = store->quarantine_dir, .after = &ops[0] };
    ops[2] = (struct os_op){ .kind = OS_SYNC_DIR, .dir = store->segments_dir, .after = &ops[1] };
    os_run_ops(store->os, ops, 3);
    if (ops[0].status == OS_OK)
        store_alarm(store, "segment %s: %s; it is in quarantine/", name, why);
    else
        store_alarm(store, "segment %s: %s, and it cannot be moved to quarantine/: %s; it is left alone", name, why,
                    os_status_text(ops[0].status));
}

/* Only looks: a spool that must be refused is refused before anything is changed (H149). */
static bool meet_segment(void *ctx, struct view name)
{
    struct opening *opening = ctx;
    struct spool_store *store = opening->store;
    char first[DATA_START], text[SEGMENT_NAME_SIZE];
    uint64_t number;
    if (!segment_name_read(name, &number)) {
        store_alarm(store, "segments/%.*s is not ours; it is left alone", (int)(name.len < 64 ? name.len : 64),
                    name.at);
        return true;
    }
    if (number > opening->highest)
        opening->highest = number;
    segment_name(text, number);
    struct os_file *file = NULL;
    struct os_op op = {
        .kind = OS_OPEN, .dir = store->segments_dir, .name = text, .file = &file, .flags = OS_FOR_READ | OS_NO_FOLLOW
    };
    os_run_ops(store->os, &op, 1);
    if (op.status != OS_OK)
        return refuse(opening, os_status_text(op.status), name);
    read_carefully(store->os, file, 0, first, sizeof(first));
    os_file_close(file);
    struct segment_header header = { .number = number };
    enum format_result result = segment_header_get((struct view){ first, sizeof(first) }, &header);
    if (result == FORMAT_VERSION_UNKNOWN)
        return refuse(opening, "written by another version of Gonets", name);
    bool sound = result == FORMAT_OK && header.number == number;
    if (sound && memcmp(header.spool_id, store->marker.id, SPOOL_ID_SIZE) != 0)
        return refuse(opening, "belongs to another spool", name);
    if (!sound)
        header = (struct segment_header){ .number = number };
    struct segment *segment = store_add_segment(store, &header);
    if (!segment)
        return refuse(opening, "no memory", name);
    segment->state = SEGMENT_SEALED;
    segment->failed = !sound;
    struct view seal = { first + SEAL_AT, SEAL_SIZE };
    segment->sealed = segment->seal_sound = sound && seal_get(seal, &header, &segment->seal);
    return true;
}

static bool meet_free(void *ctx, struct view name)
{
    struct spool_store *store = ctx;
    char text[SEGMENT_NAME_SIZE];
    uint64_t number;
    struct os_stat stat = { 0 };
    if (!segment_name_read(name, &number))
        return true;
    segment_name(text, number);
    struct os_op look = { .kind = OS_STAT, .dir = store->free_dir, .name = text, .stat = &stat };
    os_run_ops(store->os, &look, 1);
    /* A rename that was cut short can leave both names: then the file is a segment. */
    bool good = look.status == OS_OK && stat.size >= store->limits.segment_size && stat.links == 1 &&
                store->stock.count < store->limits.free_max;
    if (good && set_add(&store->stock, number))
        return true;
    struct os_op remove = { .kind = OS_UNLINK, .dir = store->free_dir, .name = text };
    os_run_ops(store->os, &remove, 1);
    return true;
}

/* ---- where each segment ends ---- */

/* What is only in the page cache may yet go: nothing is believed before it was synced. */
static bool sync_and_measure(struct spool_store *store, struct segment *segment, uint64_t *size)
{
    struct os_stat stat = { 0 };
    struct os_file *file = store_open_segment(store, segment);
    struct os_op ops[2] = { { .kind = OS_SYNC_DATA, .file = &file },
                            { .kind = OS_STAT, .file = &file, .stat = &stat } };
    if (!file)
        return false;
    os_run_ops(store->os, ops, 2);
    if (ops[0].status != OS_OK) {
        segment->failed = true;
        store_alarm(store, "segment %016llx: a sync failed; its messages are copied",
                    (unsigned long long)segment->number);
    }
    if (ops[1].status == OS_OK && stat.size < segment->header.size) {
        segment->damaged = true;
        store_alarm(store, "segment %016llx was cut off", (unsigned long long)segment->number);
    }
    *size = stat.size;
    return ops[1].status == OS_OK;
}

static bool survey(struct spool_store *store, struct segment *segment, bool *annuls)
{
    struct survey found;
    struct source source;
    uint64_t size;
    if (!sync_and_measure(store, segment, &size))
        return false;
    source_init(&source, store->os, segment->file);
    bool ok = survey_segment(&source, &segment->header, block_up(size), &found);
    source_free(&source);
    segment->upto = found.end;
    segment->synced = found.synced;
    *annuls = found.annuls;
    if (source.unreadable) {
        segment->damaged = true;
        store_alarm(store, "segment %016llx cannot be read in places; its file will be kept in quarantine/",
                    (unsigned long long)segment->number);
    }
    if (ok && found.torn_end) {
        store_quarantine_bytes(store, segment, found.end, found.torn_end);
        store_alarm(store, "segment %016llx: an unfinished group at %llu, never acknowledged, was set aside",
                    (unsigned long long)segment->number, (unsigned long long)found.end);
    }
    return ok;
}

/* `copy` has all that was in it. What is gone is known all the same, for events speak of it. */
static struct segment *note_source(struct spool_store *store, struct segment *copy, uint64_t number)
{
    const struct segment_header header = { .number = number };
    struct segment *source = store_find(store, number);
    if (!source) {
        source = store_add_segment(store, &header);
        if (!source)
            return NULL;
        source->state = SEGMENT_GONE;
    }
    if (!source->moved_to || source->moved_to->number < copy->number)
        source->moved_to = copy;
    return source;
}

static void note_annul(struct spool_store *store, struct segment *segment, const struct record_header *record,
                       struct view raw)
{
    uint64_t number, end;
    if (record->type != RECORD_ANNUL || !annul_get(view_slice(raw, RECORD_HEADER_SIZE, raw.len), &number, &end) ||
        number == segment->number)
        return;
    struct segment *dead = store_find(store, number);
    if (!set_add(&segment->annuls, number))
        segment->keep = true;
    if (segment_is_copy(segment) && end == DATA_START)
        dead = note_source(store, segment, number);
    if (dead && (dead->annulled_at == 0 || end < dead->annulled_at))
        dead->annulled_at = end;
}

static bool note_annuls(struct spool_store *store, struct segment *segment)
{
    struct source source;
    struct walk walk;
    struct os_file *file = store_open_segment(store, segment);
    if (!file)
        return false;
    source_init(&source, store->os, file);
    walk_init(&walk, segment->number, segment->header.nonce, DATA_START, segment->upto);
    walk.skip_content = true;
    for (enum walk_step step; (step = source_walk(&source, &walk)) != WALK_END;)
        if (step == WALK_RECORD)
            note_annul(store, segment, &walk.record, walk.raw);
    source_free(&source);
    return !source.no_memory;
}

/* A footer says it without the content being read; when it is damaged, the groups do. */
static bool note_annuls_of_footer(struct spool_store *store, struct segment *segment)
{
    struct os_file *file = segment->seal.footer ? store_open_segment(store, segment) : NULL;
    char *memory = file ? malloc(segment->seal.footer_size + 1) : NULL;
    struct view footer = { memory, segment->seal.footer_size }, raw;
    struct record_header record;
    bool sound = memory && read_carefully(store->os, file, segment->seal.end, memory, footer.len) &&
                 footer_is_sound(segment, footer);
    while (sound && footer.len && footer_next(segment, &footer, &record, &raw))
        note_annul(store, segment, &record, raw);
    free(memory);
    return sound;
}

bool recover_end_of(struct spool_store *store, struct segment *segment)
{
    bool annuls = true;
    if (segment->state == SEGMENT_SEALED && segment->sealed) {
        segment->upto = segment->synced = segment->seal.end;
        annuls = segment->seal.annuls > 0 && !note_annuls_of_footer(store, segment);
    } else if (segment->state == SEGMENT_SEALED && !survey(store, segment, &annuls)) {
        return false;
    }
    return !annuls || note_annuls(store, segment);
}

/* Where a writer's last group begins is as far back as an annulment can honestly reach; a copy annuls all of its
 * original. */
static void apply_annulment(struct segment *segment)
{
    if (!segment->annulled_at || segment->state != SEGMENT_SEALED)
        return;
    if (segment->moved_to) {
        segment->failed = segment->moved_to->header.kind == SPOOL_LARGE;
        segment->unlink = true;
        segment->upto = DATA_START;
        return;
    }
    segment->failed = true;
    if (segment->annulled_at >= segment->synced && segment->annulled_at < segment->upto)
        segment->upto = segment->annulled_at;
}

/* ---- all of it ---- */

static void take_held(struct opening *opening)
{
    for (size_t i = 0; i < opening->held_count; i++) {
        const struct spool_held *held = &opening->held[i];
        struct segment *segment = store_find(opening->store, held->segment);
        if (!segment || !segment->header.kind)
            continue;
        segment->state = SEGMENT_HELD;
        segment->sealed = false;
        if (held->upto >= DATA_START && held->upto <= SEGMENT_MAX && held->upto % SPOOL_BLOCK == 0)
            segment->upto = held->upto;
    }
}

static void drop_unreadable(struct spool_store *store)
{
    for (struct segment *segment = NULL; (segment = store_next_segment(store, segment));)
        if (segment->header.kind == 0) {
            quarantine_file(store, segment->number, "its header is damaged");
            store_drop_segment(store, segment);
            segment = NULL;
        }
}

void recover_annulments(struct spool_store *store)
{
    for (struct segment *segment = NULL; (segment = store_next_segment(store, segment));) {
        apply_annulment(segment);
        while (segment->moved_to && segment->moved_to->moved_to)
            segment->moved_to = segment->moved_to->moved_to;
    }
}

bool recover_begin(struct spool_store *store, const struct spool_held *held, size_t held_count, struct buffer *error)
{
    struct opening opening = { store, held, held_count, error, 0 };
    if (!folder_each(store->os, store->segments_dir, meet_segment, &opening)) {
        if (error->len == 0)
            buffer_add_text(error, "the folder segments/ of the spool cannot be read");
        return false;
    }
    store->next_number =
        store->marker.number_limit > opening.highest ? store->marker.number_limit : opening.highest + 1;
    store->marker.number_limit = store->next_number;
    if (!store_raise_limit_now(store)) {
        buffer_add_text(error, "the spool cannot be written");
        return false;
    }
    folder_each(store->os, store->free_dir, meet_free, store);
    take_held(&opening);
    drop_unreadable(store);
    return true;
}

/* As after a crash, for one segment. While it cannot be read it is left as it is, and tried again. */
void recover_segment(struct spool_store *store, struct segment *segment)
{
    bool annuls;
    uint64_t known = segment->upto;
    bool found = survey(store, segment, &annuls);
    segment->orphan = !found;
    if (!found || segment->upto < known)
        segment->upto = known;
    if (!found) {
        store_alarm(store, "segment %016llx cannot be read now", (unsigned long long)segment->number);
        store_retry_later(store);
        return;
    }
    segment->state = SEGMENT_SEALED;
    frontier_read(store, segment);
}

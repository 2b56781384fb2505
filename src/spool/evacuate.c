/* What was durable in a segment whose sync failed is copied to a segment of its own, in place: it is rare, and nothing
 * is more urgent. The copy is made in free/ and synced; its name in segments/ is what makes it count, and its last
 * record annuls the old segment from its first byte. The old file goes to quarantine/ and is not used again. */
#include <stdlib.h>
#include <string.h>

#include "spool/group.h"
#include "spool/store_inner.h"

struct copy {
    struct spool_store *store;
    struct segment *from, *to;
    struct os_file *file;
    struct group group;
    uint64_t end;
    uint32_t groups;
    bool failed;
};

static void write_group(struct copy *copy, enum os_op_kind kind)
{
    uint64_t size = group_finish(&copy->group);
    struct os_op op = { .kind = kind,
                        .file = &copy->file,
                        .offset = copy->end,
                        .slices = copy->group.slices,
                        .slice_count = copy->group.count };
    os_run_ops(copy->store->os, &op, 1);
    copy->failed = copy->failed || op.status != OS_OK;
    copy->end += size;
    copy->groups++;
}

static void begin_group(struct copy *copy)
{
    struct group_header header = { .place = copy->end, .synced_to = DATA_START, .group = copy->groups };
    group_begin(&copy->group, copy->to->number, copy->to->header.nonce, &header);
}

/* The record as it is, in a group of its own in another place. */
static void copy_record(struct copy *copy, const struct walk *walk)
{
    size_t body = walk->body.at ? walk->body.len : 0;
    char *head = malloc(RECORD_ROOM + walk->head.len);
    struct block *block = malloc(sizeof(*block) + body);
    copy->failed = copy->failed || !head || !block;
    if (!copy->failed) {
        memcpy(head + RECORD_HEADER_SIZE, walk->head.at, walk->head.len);
        memcpy(block->bytes, walk->body.at, body);
        block->next = NULL;
        block->used = block->cap = (uint32_t)body;
        struct record record = { .type = walk->record.type,
                                 .head = head,
                                 .head_size = (uint32_t)walk->head.len,
                                 .body = block,
                                 .body_size = body,
                                 .body_crc = walk->record.body_crc };
        begin_group(copy);
        copy->failed = !group_add(&copy->group, &record);
        if (!copy->failed)
            write_group(copy, OS_WRITE);
        if (record.type == RECORD_MESSAGE || record.type == RECORD_ANNUL)
            footer_note(copy->to, (struct view){ head, RECORD_HEADER_SIZE + walk->head.len });
    }
    free(head);
    free(block);
}

static void copy_all(struct copy *copy)
{
    struct source source;
    struct walk walk;
    enum walk_step step;
    source_init(&source, copy->store->os, store_open_segment(copy->store, copy->from));
    walk_init(&walk, copy->from->number, copy->from->header.nonce, DATA_START, copy->from->upto);
    while (!copy->failed && (step = source_walk(&source, &walk)) != WALK_END)
        if (step == WALK_RECORD)
            copy_record(copy, &walk);
    copy->failed = copy->failed || source.no_memory;
    source_free(&source);
}

static void annul_old(struct copy *copy)
{
    char head[RECORD_ROOM + ANNUL_SIZE];
    struct record record = { .type = RECORD_ANNUL, .head = head, .head_size = ANNUL_SIZE };
    annul_put(head + RECORD_HEADER_SIZE, copy->from->number, DATA_START);
    begin_group(copy);
    copy->failed = copy->failed || !group_add(&copy->group, &record);
    if (copy->failed)
        return;
    write_group(copy, OS_COMMIT);
    footer_note(copy->to, (struct view){ head, RECORD_HEADER_SIZE + ANNUL_SIZE });
}

static bool make_file(struct copy *copy, const char *name)
{
    char bytes[DATA_START];
    struct os_slice slice = { bytes, sizeof(bytes) };
    segment_header_put(bytes, &copy->to->header);
    struct os_op ops[2];
    ops[0] = (struct os_op){ .kind = OS_OPEN,
                             .dir = copy->store->free_dir,
                             .name = name,
                             .file = &copy->file,
                             .mode = FILE_MODE,
                             .flags = OS_FOR_WRITE | OS_CREATE | OS_TRUNCATED | OS_NO_FOLLOW };
    ops[1] =
        (struct os_op){ .kind = OS_WRITE, .file = &copy->file, .slices = &slice, .slice_count = 1, .after = &ops[0] };
    os_run_ops(copy->store->os, ops, 2);
    return ops[1].status == OS_OK;
}

static bool put_in_place(struct copy *copy, const char *name)
{
    struct spool_store *store = copy->store;
    struct os_op ops[3];
    ops[0] = (struct os_op){
        .kind = OS_RENAME, .dir = store->free_dir, .name = name, .to_dir = store->segments_dir, .to_name = name
    };
    ops[1] = (struct os_op){ .kind = OS_SYNC_DIR, .dir = store->segments_dir, .after = &ops[0] };
    ops[2] = (struct os_op){ .kind = OS_SYNC_DIR, .dir = store->free_dir, .after = &ops[1] };
    os_run_ops(store->os, ops, 3);
    /* With a name that is perhaps not durable both may come back: the old one stays, and no other copy is made. */
    if (ops[0].status == OS_OK && ops[2].status != OS_OK)
        copy->from->keep = true;
    return ops[2].status == OS_OK;
}

static struct segment *new_segment(struct spool_store *store, const struct segment *from)
{
    struct segment_header header = { .kind = SPOOL_LARGE,
                                     .evacuates = from->number,
                                     .created_us = os_wall_us(store->os) };
    memcpy(header.spool_id, store->marker.id, SPOOL_ID_SIZE);
    if (store->next_number >= store->marker.number_limit && !store_raise_limit_now(store))
        return NULL;
    if (!os_random(store->os, &header.nonce, sizeof(header.nonce)) || !store_take_number(store, &header.number))
        return NULL;
    return store_add_segment(store, &header);
}

static bool evacuate(struct spool_store *store, struct segment *from)
{
    char name[SEGMENT_NAME_SIZE];
    struct copy copy = { .store = store, .from = from, .to = new_segment(store, from), .end = DATA_START };
    if (!copy.to)
        return false;
    segment_name(name, copy.to->number);
    copy.failed = !make_file(&copy, name);
    if (!copy.failed)
        copy_all(&copy);
    annul_old(&copy);
    if (copy.file)
        os_file_close(copy.file);
    group_free(&copy.group);
    if (copy.failed || !put_in_place(&copy, name)) {
        store_drop_segment(store, copy.to);
        return false;
    }
    copy.to->state = SEGMENT_SEALED;
    copy.to->upto = copy.to->walk.pos = copy.to->walk.upto = copy.end;
    for (size_t i = 0; i < from->annuls.count; i++)
        if (!set_add(&copy.to->annuls, from->annuls.at[i]))
            copy.to->keep = true;
    store_move_over(store, from, copy.to);
    seal_segment(store, copy.to);
    return true;
}

/* A large message alone in its file stays where it is: it was synced, and nothing more will be written there. */
static bool can_move(const struct segment *segment)
{
    return (segment->header.kind == SPOOL_MAIL || segment_is_copy(segment)) && !segment->keep;
}

bool evacuate_if_needed(struct spool_store *store, struct segment *segment)
{
    if (!segment->failed || segment->state != SEGMENT_SEALED || segment->moved_to || segment->live == 0 ||
        segment->reading || segment->walk.pos < segment->upto || !can_move(segment) ||
        os_now_us(store->os) < segment->retry_at)
        return false;
    bool moved = evacuate(store, segment);
    if (!moved) {
        segment->retry_at = os_now_us(store->os) + RETRY_US;
        store_retry_later(store);
    }
    store_alarm(store,
                moved ? "segment %016llx: its messages were copied; the file goes to quarantine/"
                      : "segment %016llx: its messages could not be copied; this is tried again",
                (unsigned long long)segment->number);
    return moved;
}

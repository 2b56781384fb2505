#include "spool/group.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

static const char zeros[SPOOL_BLOCK];

void group_free(struct group *group)
{
    free(group->slices);
    group->slices = NULL;
    group->count = group->cap = 0;
}

void group_begin(struct group *group, uint64_t number, uint64_t nonce, const struct group_header *header)
{
    group->number = number;
    group->nonce = nonce;
    group->header = *header;
    group->header.length = GROUP_HEADER_SIZE;
    group->header.records = group->header.annuls = 0;
    group->count = 0;
}

/* Room for so many slices beside the header's and the padding's. */
static bool reserve(struct group *group, size_t more)
{
    size_t wanted = (group->count ? group->count : 1) + more + 1;
    if (wanted > GROUP_SLICES_MAX)
        return false;
    if (wanted > group->cap) {
        size_t cap = group->cap ? group->cap : 16;
        while (cap < wanted)
            cap *= 2;
        struct os_slice *slices = realloc(group->slices, cap * sizeof(*slices));
        if (!slices)
            return false;
        group->slices = slices;
        group->cap = cap;
    }
    if (group->count == 0)
        group->slices[group->count++] = (struct os_slice){ group->bytes, GROUP_HEADER_SIZE };
    return true;
}

static struct record_header header_of(const struct record *record)
{
    return (struct record_header){ .place = record->place,
                                   .type = (uint16_t)record->type,
                                   .head_size = record->head_size,
                                   .body_size = record->body_size,
                                   .body_crc = record->body_crc };
}

uint64_t group_record_size(const struct record *record)
{
    struct record_header header = header_of(record);
    return record_size(&header);
}

/* Records that lie side by side in memory are one slice: a group takes any number of those. */
static void add_slice(struct group *group, const char *at, size_t len)
{
    struct os_slice *last = &group->slices[group->count - 1];
    if ((const char *)last->at + last->len == at)
        last->len += len;
    else
        group->slices[group->count++] = (struct os_slice){ at, len };
}

struct group_mark group_mark(const struct group *group)
{
    return (struct group_mark){ group->header, group->count, group->count ? group->slices[group->count - 1].len : 0 };
}

void group_rewind(struct group *group, const struct group_mark *mark)
{
    group->header = mark->header;
    group->count = mark->count;
    if (mark->count)
        group->slices[mark->count - 1].len = mark->last_len;
}

bool group_add(struct group *group, struct record *record)
{
    size_t blocks = 0;
    for (const struct block *block = record->body; block; block = block->next)
        blocks++;
    if (!reserve(group, 1 + blocks))
        return false;
    record->place = group->header.place + group->header.length;
    struct record_header header = header_of(record);
    header.head_crc = crc32c(0, (struct view){ record->head + RECORD_HEADER_SIZE, record->head_size });
    record_header_put(record->head, group->number, group->nonce, &header);
    size_t front = record_body_at(&header);
    memset(record->head + RECORD_HEADER_SIZE + record->head_size, 0, front - RECORD_HEADER_SIZE - record->head_size);
    add_slice(group, record->head, front);
    for (const struct block *block = record->body; block; block = block->next)
        if (block->used)
            add_slice(group, block->bytes, block->used);
    group->header.length += record_size(&header);
    group->header.records++;
    group->header.annuls += record->type == RECORD_ANNUL;
    return true;
}

uint64_t group_finish(struct group *group)
{
    group_header_put(group->bytes, group->number, group->nonce, &group->header);
    uint64_t whole = block_up(group->header.length);
    if (whole > group->header.length)
        group->slices[group->count++] = (struct os_slice){ zeros, whole - group->header.length };
    return whole;
}

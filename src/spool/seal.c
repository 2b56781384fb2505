/* A sealed segment says where its groups end, and in its footer what messages it has: recovery then reads no content.
 * Both are only a help: when they are damaged or were never written, the groups tell the same. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "spool/store_inner.h"

void footer_lose(struct segment *segment)
{
    segment->footer_lost = true;
    free(segment->footer);
    segment->footer = NULL;
    segment->footer_len = segment->footer_cap = 0;
}

void footer_note(struct segment *segment, struct view raw)
{
    size_t size = (raw.len + 7) & ~(size_t)7;
    if (segment->footer_lost || segment->sealed)
        return;
    if (segment->footer_len + size > segment->footer_cap) {
        size_t cap = segment->footer_cap ? segment->footer_cap * 2 : 4096;
        while (cap < segment->footer_len + size)
            cap *= 2;
        char *footer = cap <= FOOTER_MAX ? realloc(segment->footer, cap) : NULL;
        if (!footer) {
            footer_lose(segment);
            return;
        }
        segment->footer = footer;
        segment->footer_cap = cap;
    }
    memcpy(segment->footer + segment->footer_len, raw.at, raw.len);
    memset(segment->footer + segment->footer_len + raw.len, 0, size - raw.len);
    segment->footer_len += size;
}

/* It is only a help; but without it there is no compaction. */
static void sealed(struct job *job, bool ok)
{
    struct segment *segment = store_find(job->store, job->number);
    if (segment)
        segment->seal_sound = ok && segment->seal.footer;
}

/* Seal and footer in one job: each has its checksum, so it does not matter which of them a crash leaves. */
void seal_segment(struct spool_store *store, struct segment *segment)
{
    if (segment->sealed || segment->failed || segment->upto == DATA_START)
        return;
    segment->sealed = true;
    struct job *job = job_new(store, sealed);
    char *memory = job ? calloc(1, SPOOL_BLOCK + segment->footer_len) : NULL;
    if (!memory) {
        free(job);
        return;
    }
    struct seal seal = { segment->upto, segment->footer_len,
                         crc32c(0, (struct view){ segment->footer, segment->footer_len }), !segment->footer_lost,
                         (uint32_t)segment->annuls.count };
    seal_put(memory, &segment->header, &seal);
    if (segment->footer_len)
        memcpy(memory + SPOOL_BLOCK, segment->footer, segment->footer_len);
    free(segment->footer);
    segment->footer = NULL;
    segment->footer_len = segment->footer_cap = 0;
    job->memory = memory;
    job->number = segment->number;
    segment->seal = seal;
    job->slices[0] = (struct os_slice){ memory, SPOOL_BLOCK };
    job->slices[1] = (struct os_slice){ memory + SPOOL_BLOCK, seal.footer_size };
    segment_name(job->name, segment->number);
    struct os_op *op = job_op(job, OS_OPEN);
    op->dir = store->segments_dir;
    op->name = job->name;
    op->flags = OS_FOR_WRITE | OS_NO_FOLLOW;
    if (seal.footer_size) {
        op = job_op(job, OS_WRITE);
        op->offset = seal.end;
        op->slices = &job->slices[1];
        op->slice_count = 1;
    }
    op = job_op(job, OS_COMMIT);
    op->offset = SEAL_AT;
    op->slices = &job->slices[0];
    op->slice_count = 1;
    job_op(job, OS_CLOSE);
    job_submit(job, store->names_queue);
}

/* ---- reading it ---- */

bool footer_next(const struct segment *segment, struct view *footer, struct record_header *record, struct view *raw)
{
    uint64_t place = footer->len >= RECORD_HEADER_SIZE ? get_u64(footer->at + 8) : 0;
    if (!record_header_get(*footer, segment->number, segment->header.nonce, place, record))
        return false;
    *raw = view_take(footer, (RECORD_HEADER_SIZE + record->head_size + 7) & ~(size_t)7);
    if (raw->len < RECORD_HEADER_SIZE + record->head_size || place + record_size(record) > segment->upto)
        return false;
    raw->len = RECORD_HEADER_SIZE + record->head_size;
    return true;
}

bool footer_is_sound(const struct segment *segment, struct view footer)
{
    struct record_header record;
    struct view raw;
    if (footer.len != segment->seal.footer_size || crc32c(0, footer) != segment->seal.footer_crc)
        return false;
    while (footer.len)
        if (!footer_next(segment, &footer, &record, &raw))
            return false;
    return true;
}

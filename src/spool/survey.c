#include "spool/survey.h"

#include <string.h>

static bool header_at(struct source *source, const struct segment_header *segment, uint64_t pos, uint64_t limit,
                      struct group_header *group)
{
    struct view bytes = source_read(source, pos, GROUP_HEADER_SIZE);
    return bytes.at && group_header_get(bytes, segment->number, segment->nonce, pos, group) &&
           group->length <= limit - pos;
}

/* Where the last record of the block ends, if one begins there although no group does. Most of a segment that was cut
 * short goes through here, so the nonce is looked for before anything else. */
static uint64_t stray_record_end(struct source *source, const struct segment_header *segment, uint64_t pos)
{
    struct view block = source_read(source, pos, SPOOL_BLOCK + RECORD_HEADER_SIZE);
    struct record_header record;
    char nonce[8];
    uint64_t end = 0;
    put_u64(nonce, segment->nonce);
    for (size_t at = 0; at < SPOOL_BLOCK && at + RECORD_HEADER_SIZE <= block.len; at += 8)
        if (memcmp(block.at + at, nonce, sizeof(nonce)) == 0 &&
            record_header_read(view_slice(block, at, block.len), segment->number, pos + at, &record))
            end = block_up(pos + at + record_size(&record));
    return end;
}

/* The headers alone: from each to the next, block by block where there is none. */
static void find_synced(struct source *source, const struct segment_header *segment, uint64_t limit,
                        struct survey *survey)
{
    struct group_header group;
    for (uint64_t pos = DATA_START; pos < limit && !source->no_memory;) {
        if (!header_at(source, segment, pos, limit, &group)) {
            uint64_t stray = stray_record_end(source, segment, pos);
            if (stray > survey->torn_end)
                survey->torn_end = stray;
            pos += SPOOL_BLOCK;
            continue;
        }
        if (group.synced_to > survey->synced)
            survey->synced = group.synced_to;
        survey->annuls = survey->annuls || group.annuls;
        pos += block_up(group.length);
    }
}

static bool is_whole(struct source *source, const struct segment_header *segment, const struct group_header *group)
{
    struct walk walk;
    uint32_t records = 0;
    walk_init(&walk, segment->number, segment->nonce, group->place, group->place + block_up(group->length));
    for (enum walk_step step; (step = source_walk(source, &walk)) != WALK_END;) {
        if (step == WALK_DAMAGE)
            return false;
        records += step == WALK_RECORD;
    }
    return records == group->records && !source->no_memory;
}

bool survey_segment(struct source *source, const struct segment_header *segment, uint64_t limit, struct survey *survey)
{
    struct group_header group;
    *survey = (struct survey){ .synced = DATA_START };
    find_synced(source, segment, limit, survey);
    survey->end = survey->synced;
    while (survey->end < limit && header_at(source, segment, survey->end, limit, &group)) {
        if (!is_whole(source, segment, &group)) {
            if (survey->torn_end < survey->end + block_up(group.length))
                survey->torn_end = survey->end + block_up(group.length);
            break;
        }
        survey->end += block_up(group.length);
    }
    if (survey->torn_end <= survey->end)
        survey->torn_end = 0;
    return !source->no_memory;
}

#include "spool/walk.h"

#include "base/crc32c.h"

void walk_init(struct walk *walk, uint64_t number, uint64_t nonce, uint64_t from, uint64_t upto)
{
    *walk = (struct walk){ .number = number, .nonce = nonce, .pos = from, .upto = upto };
}

enum looked { FOUND, NOT_THERE, NOT_IN_WINDOW };

struct window {
    struct view bytes;
    uint64_t at;
};

/* The bytes [at, at + len), which must end before upto. */
static enum looked look(struct walk *walk, const struct window *window, uint64_t at, uint64_t len, struct view *bytes)
{
    if (at > walk->upto || len > walk->upto - at)
        return NOT_THERE;
    if (at >= window->at && at - window->at <= window->bytes.len && len <= window->bytes.len - (at - window->at)) {
        *bytes = view_slice(window->bytes, at - window->at, at - window->at + len);
        return FOUND;
    }
    walk->want_at = at;
    walk->want_len = len;
    return NOT_IN_WINDOW;
}

static enum looked look_group(struct walk *walk, const struct window *window)
{
    struct view bytes;
    if (walk->pos % SPOOL_BLOCK)
        return NOT_THERE;
    enum looked looked = look(walk, window, walk->pos, GROUP_HEADER_SIZE, &bytes);
    if (looked != FOUND)
        return looked;
    struct group_header group;
    if (!group_header_get(bytes, walk->number, walk->nonce, walk->pos, &group) || group.length > walk->upto - walk->pos)
        return NOT_THERE;
    walk->group = group;
    return FOUND;
}

static uint64_t limit(const struct walk *walk)
{
    return walk->group_end ? walk->group_end : walk->upto;
}

static enum looked look_record(struct walk *walk, const struct window *window)
{
    struct view bytes;
    enum looked looked = look(walk, window, walk->pos, RECORD_HEADER_SIZE, &bytes);
    if (looked != FOUND)
        return looked;
    struct record_header record;
    if (!record_header_get(bytes, walk->number, walk->nonce, walk->pos, &record) ||
        record_size(&record) > limit(walk) - walk->pos)
        return NOT_THERE;
    bool skip = walk->skip_content && record.type == RECORD_CONTENT;
    looked = look(walk, window, walk->pos, skip ? record_body_at(&record) : record_size(&record), &bytes);
    if (looked != FOUND)
        return looked;
    walk->record = record;
    walk->raw = view_slice(bytes, 0, RECORD_HEADER_SIZE + record.head_size);
    walk->head = view_slice(walk->raw, RECORD_HEADER_SIZE, walk->raw.len);
    walk->body = skip ? VIEW_NONE : view_slice(bytes, record_body_at(&record), record_size(&record));
    return FOUND;
}

static bool record_is_whole(const struct walk *walk)
{
    return crc32c(0, walk->head) == walk->record.head_crc &&
           (!walk->body.at || crc32c(0, walk->body) == walk->record.body_crc);
}

/* Reports what was unreadable before pos, if anything. */
static bool end_of_damage(struct walk *walk)
{
    if (!walk->damage)
        return false;
    walk->damage_from = walk->damage;
    walk->damage_to = walk->pos;
    walk->damage = 0;
    return true;
}

static enum walk_step enter_group(struct walk *walk)
{
    walk->group_end = walk->pos + walk->group.length;
    walk->orphans = false;
    walk->pos += GROUP_HEADER_SIZE;
    return WALK_GROUP;
}

static enum walk_step take_record(struct walk *walk)
{
    bool whole = record_is_whole(walk);
    walk->damage_from = walk->pos;
    walk->pos += record_size(&walk->record);
    walk->damage_to = walk->pos;
    walk->orphans = walk->group_end == 0;
    return whole ? WALK_RECORD : WALK_DAMAGE;
}

/* Between the records of a lost group and the next block there is padding. */
static enum looked look_padding(struct walk *walk, const struct window *window)
{
    struct view bytes;
    if (!walk->orphans || walk->pos % SPOOL_BLOCK == 0)
        return NOT_THERE;
    enum looked looked = look(walk, window, walk->pos, block_up(walk->pos) - walk->pos, &bytes);
    for (size_t i = 0; looked == FOUND && i < bytes.len; i++)
        if (bytes.at[i])
            return NOT_THERE;
    return looked;
}

enum walk_step walk_next(struct walk *walk, struct view window_bytes, uint64_t window_at)
{
    struct window window = { window_bytes, window_at };
    for (;;) {
        if (walk->group_end && walk->pos >= walk->group_end) {
            walk->pos = block_up(walk->group_end);
            walk->group_end = 0;
            if (end_of_damage(walk))
                return WALK_DAMAGE;
        }
        if (walk->pos >= walk->upto) {
            walk->pos = walk->upto;
            return end_of_damage(walk) ? WALK_DAMAGE : WALK_END;
        }
        enum looked looked = walk->group_end ? NOT_THERE : look_group(walk, &window);
        if (looked == FOUND)
            return end_of_damage(walk) ? WALK_DAMAGE : enter_group(walk);
        if (looked == NOT_IN_WINDOW)
            return WALK_READ;
        looked = look_record(walk, &window);
        if (looked == FOUND)
            return end_of_damage(walk) ? WALK_DAMAGE : take_record(walk);
        if (looked == NOT_IN_WINDOW)
            return WALK_READ;
        looked = walk->damage ? NOT_THERE : look_padding(walk, &window);
        if (looked == NOT_IN_WINDOW)
            return WALK_READ;
        if (looked == FOUND) {
            walk->pos = block_up(walk->pos);
            continue;
        }
        if (!walk->damage)
            walk->damage = walk->pos;
        walk->pos += 8;
    }
}

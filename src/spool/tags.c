/* Tag, length, value: u16, u32, bytes. */
#include "spool/spool.h"

#define TAG_HEADER 6

void spool_tag_add(struct buffer *to, uint16_t tag, struct view value)
{
    if (value.len > UINT32_MAX || buffer_room(to) < TAG_HEADER + value.len) {
        to->full = true;
        return;
    }
    pack_u16(to, tag);
    pack_view(to, value);
}

size_t spool_tag_open(struct buffer *to, uint16_t tag)
{
    pack_u16(to, tag);
    size_t place = to->len;
    pack_u32(to, 0);
    return place;
}

void spool_tag_close(struct buffer *to, size_t place)
{
    if (!to->full)
        put_u32(to->at + place, (uint32_t)(to->len - place - 4));
}

bool spool_tag_next(struct view *rest, uint16_t *tag, struct view *value)
{
    struct unpack in = unpack_of(*rest);
    *tag = unpack_u16(&in);
    *value = unpack_view(&in);
    if (in.bad)
        return false;
    *rest = in.rest;
    return true;
}

bool spool_tag_find(struct view tags, uint16_t tag, struct view *value)
{
    uint16_t found;
    while (spool_tag_next(&tags, &found, value))
        if (found == tag)
            return true;
    *value = VIEW_NONE;
    return false;
}

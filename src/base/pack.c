#include "base/pack.h"

#include <string.h>

void put_u32(void *at, uint32_t n)
{
    uint8_t *to = at;
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(n >> (8 * i));
}

void put_u64(void *at, uint64_t n)
{
    uint8_t *to = at;
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(n >> (8 * i));
}

uint32_t get_u32(const void *at)
{
    const uint8_t *from = at;
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

uint64_t get_u64(const void *at)
{
    return get_u32(at) | (uint64_t)get_u32((const uint8_t *)at + 4) << 32;
}

void pack_u8(struct buffer *to, uint8_t n)
{
    buffer_add_char(to, (char)n);
}

void pack_u16(struct buffer *to, uint16_t n)
{
    char bytes[2] = { (char)n, (char)(n >> 8) };
    buffer_add(to, (struct view){ bytes, sizeof bytes });
}

void pack_u32(struct buffer *to, uint32_t n)
{
    char bytes[4];
    put_u32(bytes, n);
    buffer_add(to, (struct view){ bytes, sizeof bytes });
}

void pack_u64(struct buffer *to, uint64_t n)
{
    char bytes[8];
    put_u64(bytes, n);
    buffer_add(to, (struct view){ bytes, sizeof bytes });
}

void pack_bytes(struct buffer *to, struct view bytes)
{
    buffer_add(to, bytes);
}

void pack_view(struct buffer *to, struct view bytes)
{
    if (bytes.len > UINT32_MAX || buffer_room(to) < 4 + bytes.len) {
        to->full = true;
        return;
    }
    pack_u32(to, (uint32_t)bytes.len);
    buffer_add(to, bytes);
}

struct unpack unpack_of(struct view bytes)
{
    return (struct unpack){ bytes, false };
}

struct view unpack_bytes(struct unpack *u, size_t n)
{
    if (u->bad || u->rest.len < n) {
        u->bad = true;
        return VIEW_NONE;
    }
    return view_take(&u->rest, n);
}

uint8_t unpack_u8(struct unpack *u)
{
    struct view v = unpack_bytes(u, 1);
    return v.len ? (uint8_t)v.at[0] : 0;
}

uint16_t unpack_u16(struct unpack *u)
{
    struct view v = unpack_bytes(u, 2);
    return v.len ? (uint16_t)((uint8_t)v.at[0] | (uint8_t)v.at[1] << 8) : 0;
}

uint32_t unpack_u32(struct unpack *u)
{
    struct view v = unpack_bytes(u, 4);
    return v.len ? get_u32(v.at) : 0;
}

uint64_t unpack_u64(struct unpack *u)
{
    struct view v = unpack_bytes(u, 8);
    return v.len ? get_u64(v.at) : 0;
}

struct view unpack_view(struct unpack *u)
{
    uint32_t len = unpack_u32(u);
    return unpack_bytes(u, len);
}

bool unpack_done(const struct unpack *u)
{
    return !u->bad && u->rest.len == 0;
}

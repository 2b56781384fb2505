#include "spool/format.h"

#include <string.h>

#include "base/crc32c.h"

#define MARKER_MAGIC  UINT64_C(0x6c6f6f7073746e47) /* "Gntspool" */
#define SEGMENT_MAGIC UINT64_C(0x746d676573746e47) /* "Gntsegmt" */
#define SEAL_MAGIC    UINT64_C(0x6c61657373746e47) /* "Gntsseal" */
#define GROUP_MAGIC   UINT64_C(0x70756f7267746e47) /* "Gntgroup" */

static uint32_t sum(uint32_t seed, const char *at, size_t len)
{
    return crc32c(seed, (struct view){ at, len });
}

static uint32_t seed_of(uint64_t number)
{
    return (uint32_t)(number ^ number >> 32);
}

static void put_u16(char *at, uint16_t n)
{
    at[0] = (char)n;
    at[1] = (char)(n >> 8);
}

static uint16_t get_u16(const char *at)
{
    return (uint16_t)((uint8_t)at[0] | (uint8_t)at[1] << 8);
}

/* ---- marker: magic, version, checksum, id, number limit ---- */

void marker_put(char to[MARKER_SIZE], const struct marker *marker)
{
    memset(to, 0, MARKER_SIZE);
    put_u64(to, MARKER_MAGIC);
    put_u32(to + 8, FORMAT_VERSION);
    memcpy(to + 16, marker->id, SPOOL_ID_SIZE);
    put_u64(to + 32, marker->number_limit);
    put_u32(to + 12, sum(0, to + 16, MARKER_SIZE - 16));
}

enum format_result marker_get(struct view from, struct marker *marker)
{
    if (from.len < 12 || get_u64(from.at) != MARKER_MAGIC)
        return FORMAT_BAD;
    if (get_u32(from.at + 8) != FORMAT_VERSION)
        return FORMAT_VERSION_UNKNOWN;
    if (from.len != MARKER_SIZE || get_u32(from.at + 12) != sum(0, from.at + 16, MARKER_SIZE - 16))
        return FORMAT_BAD;
    memcpy(marker->id, from.at + 16, SPOOL_ID_SIZE);
    marker->number_limit = get_u64(from.at + 32);
    return marker->number_limit ? FORMAT_OK : FORMAT_BAD;
}

/* ---- segment ---- */

void segment_header_put(char to[DATA_START], const struct segment_header *header)
{
    memset(to, 0, DATA_START);
    put_u64(to, SEGMENT_MAGIC);
    put_u32(to + 8, FORMAT_VERSION);
    put_u64(to + 16, header->number);
    put_u64(to + 24, header->nonce);
    put_u64(to + 32, header->size);
    put_u64(to + 40, header->created_us);
    put_u64(to + 48, header->evacuates);
    put_u32(to + 56, header->kind);
    memcpy(to + 64, header->spool_id, SPOOL_ID_SIZE);
    put_u32(to + 12, sum(0, to + 16, SEGMENT_HEADER_SIZE - 16));
    memcpy(to + SEGMENT_HEADER_COPY, to, SEGMENT_HEADER_SIZE);
}

static bool header_bounds(const struct segment_header *header)
{
    if (header->kind < SPOOL_MAIL || header->kind > SPOOL_COLD || header->number == 0)
        return false;
    if (header->kind == SPOOL_LARGE || header->evacuates)
        return header->size == 0;
    return header->size >= SEGMENT_MIN && header->size <= SEGMENT_MAX && header->size % SPOOL_BLOCK == 0;
}

static enum format_result header_get(const char *at, struct segment_header *header)
{
    if (get_u64(at) != SEGMENT_MAGIC)
        return FORMAT_BAD;
    /* The version is before the checksum, whose rule may differ in another version; two copies keep a flipped bit from
     * looking like another version. */
    bool sound = get_u32(at + 12) == sum(0, at + 16, SEGMENT_HEADER_SIZE - 16);
    if (get_u32(at + 8) != FORMAT_VERSION)
        return FORMAT_VERSION_UNKNOWN;
    *header = (struct segment_header){ .number = get_u64(at + 16),
                                       .nonce = get_u64(at + 24),
                                       .size = get_u64(at + 32),
                                       .created_us = get_u64(at + 40),
                                       .evacuates = get_u64(at + 48) };
    memcpy(header->spool_id, at + 64, SPOOL_ID_SIZE);
    uint32_t kind = get_u32(at + 56);
    header->kind = kind <= SPOOL_COLD ? (enum spool_kind)kind : 0;
    return sound && header_bounds(header) ? FORMAT_OK : FORMAT_BAD;
}

enum format_result segment_header_get(struct view from, struct segment_header *header)
{
    if (from.len < SPOOL_BLOCK)
        return FORMAT_BAD;
    enum format_result first = header_get(from.at, header);
    if (first == FORMAT_OK)
        return FORMAT_OK;
    enum format_result second = header_get(from.at + SEGMENT_HEADER_COPY, header);
    if (second == FORMAT_OK)
        return FORMAT_OK;
    return first == FORMAT_VERSION_UNKNOWN && second == FORMAT_VERSION_UNKNOWN ? FORMAT_VERSION_UNKNOWN : FORMAT_BAD;
}

void seal_put(char to[SEAL_SIZE], const struct segment_header *segment, const struct seal *seal)
{
    memset(to, 0, SEAL_SIZE);
    put_u64(to, SEAL_MAGIC);
    put_u64(to + 8, segment->nonce);
    put_u64(to + 16, seal->end);
    put_u64(to + 24, seal->footer_size);
    put_u32(to + 32, seal->footer_crc);
    put_u32(to + 36, seal->footer);
    put_u32(to + 40, seal->annuls);
    put_u32(to + SEAL_SIZE - 4, sum(seed_of(segment->number), to, SEAL_SIZE - 4));
}

bool seal_get(struct view from, const struct segment_header *segment, struct seal *seal)
{
    if (from.len < SEAL_SIZE || get_u64(from.at) != SEAL_MAGIC || get_u64(from.at + 8) != segment->nonce ||
        get_u32(from.at + SEAL_SIZE - 4) != sum(seed_of(segment->number), from.at, SEAL_SIZE - 4))
        return false;
    *seal = (struct seal){ get_u64(from.at + 16), get_u64(from.at + 24), get_u32(from.at + 32),
                           get_u32(from.at + 36) != 0, get_u32(from.at + 40) };
    return seal->end >= DATA_START && seal->end <= SEGMENT_MAX && seal->end % SPOOL_BLOCK == 0 &&
           seal->footer_size <= FOOTER_MAX;
}

/* ---- group ---- */

void group_header_put(char to[GROUP_HEADER_SIZE], uint64_t number, uint64_t nonce, const struct group_header *group)
{
    memset(to, 0, GROUP_HEADER_SIZE);
    put_u64(to, GROUP_MAGIC);
    put_u64(to + 8, group->place);
    put_u64(to + 16, nonce);
    put_u64(to + 24, group->length);
    put_u64(to + 32, group->synced_to);
    put_u32(to + 40, group->group);
    put_u32(to + 44, group->records);
    put_u32(to + 48, group->annuls);
    put_u32(to + GROUP_HEADER_SIZE - 4, sum(seed_of(number), to, GROUP_HEADER_SIZE - 4));
}

bool group_header_get(struct view from, uint64_t number, uint64_t nonce, uint64_t place, struct group_header *group)
{
    if (from.len < GROUP_HEADER_SIZE || get_u64(from.at) != GROUP_MAGIC || get_u64(from.at + 8) != place ||
        get_u64(from.at + 16) != nonce ||
        get_u32(from.at + GROUP_HEADER_SIZE - 4) != sum(seed_of(number), from.at, GROUP_HEADER_SIZE - 4))
        return false;
    *group = (struct group_header){ place,
                                    get_u64(from.at + 24),
                                    get_u64(from.at + 32),
                                    get_u32(from.at + 40),
                                    get_u32(from.at + 44),
                                    get_u32(from.at + 48) };
    return group->length >= GROUP_HEADER_SIZE && group->length <= SEGMENT_MAX && place <= SEGMENT_MAX &&
           group->synced_to >= DATA_START && group->synced_to <= place && group->synced_to % SPOOL_BLOCK == 0;
}

/* ---- record ---- */

void record_header_put(char to[RECORD_HEADER_SIZE], uint64_t number, uint64_t nonce, const struct record_header *record)
{
    put_u64(to, nonce);
    put_u64(to + 8, record->place);
    put_u16(to + 16, record->type);
    put_u16(to + 18, 0);
    put_u32(to + 20, record->head_size);
    put_u32(to + 24, record->head_crc);
    put_u64(to + 28, record->body_size);
    put_u32(to + 36, record->body_crc);
    put_u32(to + 40, 0);
    put_u32(to + 44, sum(seed_of(number), to, 44));
}

bool record_nonce_is(const char *at, uint64_t nonce)
{
    return get_u64(at) == nonce;
}

bool record_header_read(struct view from, uint64_t number, uint64_t place, struct record_header *record)
{
    if (from.len < RECORD_HEADER_SIZE || get_u64(from.at + 8) != place ||
        get_u32(from.at + 44) != sum(seed_of(number), from.at, 44))
        return false;
    *record = (struct record_header){ place,
                                      get_u16(from.at + 16),
                                      get_u32(from.at + 20),
                                      get_u32(from.at + 24),
                                      get_u64(from.at + 28),
                                      get_u32(from.at + 36) };
    return record->head_size <= HEAD_MAX && record->body_size <= BODY_MAX && place <= SEGMENT_MAX;
}

bool record_header_get(struct view from, uint64_t number, uint64_t nonce, uint64_t place, struct record_header *record)
{
    return from.len >= RECORD_HEADER_SIZE && record_nonce_is(from.at, nonce) &&
           record_header_read(from, number, place, record);
}

uint64_t record_size(const struct record_header *record)
{
    return (RECORD_HEADER_SIZE + record->head_size + record->body_size + 7) & ~UINT64_C(7);
}

uint64_t record_body_at(const struct record_header *record)
{
    return record_size(record) - record->body_size;
}

void annul_put(char to[ANNUL_SIZE], uint64_t segment, uint64_t end)
{
    put_u64(to, segment);
    put_u64(to + 8, end);
}

bool annul_get(struct view from, uint64_t *segment, uint64_t *end)
{
    if (from.len != ANNUL_SIZE)
        return false;
    *segment = get_u64(from.at);
    *end = get_u64(from.at + 8);
    return *segment && *end >= DATA_START && *end <= SEGMENT_MAX && *end % SPOOL_BLOCK == 0;
}

/* ---- names ---- */

void segment_name(char to[SEGMENT_NAME_SIZE], uint64_t number)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++)
        to[i] = digits[number >> (60 - 4 * i) & 15];
    to[16] = 0;
}

bool segment_name_read(struct view name, uint64_t *number)
{
    if (name.len != 16)
        return false;
    *number = 0;
    for (size_t i = 0; i < 16; i++) {
        char c = name.at[i];
        if (!ascii_is_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        *number = *number << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return *number != 0;
}

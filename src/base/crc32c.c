#include "base/crc32c.h"

#include <string.h>

#include "base/pack.h"

/* Remainders of all bytes for the reflected polynomial 0x82f63b78, four bits at a time: small and constant. */
static const uint32_t nibble[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
                                     0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                     0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 };

static uint32_t portable(uint32_t crc, const uint8_t *at, size_t len)
{
    while (len--) {
        crc ^= *at++;
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t hardware(uint32_t crc, const uint8_t *at, size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t block;
        memcpy(&block, at, 8);
        wide = __builtin_ia32_crc32di(wide, block);
    }
    crc = (uint32_t)wide;
    while (len--)
        crc = __builtin_ia32_crc32qi(crc, *at++);
    return crc;
}

static uint32_t fastest(uint32_t crc, const uint8_t *at, size_t len)
{
    return __builtin_cpu_supports("sse4.2") ? hardware(crc, at, len) : portable(crc, at, len);
}
#else
static uint32_t fastest(uint32_t crc, const uint8_t *at, size_t len)
{
    return portable(crc, at, len);
}
#endif

uint32_t crc32c(uint32_t crc, struct view bytes)
{
    return ~fastest(~crc, (const uint8_t *)bytes.at, bytes.len);
}

uint32_t crc32c_portable(uint32_t crc, struct view bytes)
{
    return ~portable(~crc, (const uint8_t *)bytes.at, bytes.len);
}

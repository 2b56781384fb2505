/* CRC-32C (Castagnoli): finds damage on disk, nothing more; it keeps out no attacker. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/view.h"

/* Continues crc (start with a seed, 0 if none) over the bytes; crc32c(0, "123456789") = 0xe3069283. */
uint32_t crc32c(uint32_t crc, struct view bytes);
uint32_t crc32c_portable(uint32_t crc, struct view bytes); /* without the processor's instruction; the same result */

#endif

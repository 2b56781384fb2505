/* What the unit tests share: cmocka with the headers it wants, rows that name themselves, seeded chance. */
#ifndef BASE_TEST_H
#define BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/view.h"

/* Fails the test and names the row of its table. */
#define assert_row(condition, row)                                                                                     \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail_msg("row \"%s\": %s", (row), #condition);                                                             \
    } while (0)

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* SplitMix64: the same numbers from the same seed everywhere. */
static inline uint64_t test_random(uint64_t *seed)
{
    uint64_t n = *seed += 0x9e3779b97f4a7c15;
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9;
    n = (n ^ n >> 27) * 0x94d049bb133111eb;
    return n ^ n >> 31;
}

#endif

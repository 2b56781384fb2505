/* What a writer, a store and a reader do when all goes well, and what they refuse. */
#include "spool/rig_test.h"

#include <stdio.h>

/* Most of each segment is forgotten, and a little stays. */
#define COLD                                                                                                           \
    "m30000,m101 m30000,m103 m30000,m105 m30000,m107 m30000,m109 m30000,m111 m30000,m113 d0,d2,d4,d6,d8,d10,d12 m9"
/* The log fills with reports (each with an event) that are then forgotten. */
#define LOGS                                                                                                           \
    "m100 e0 m101,m102,m103,m104,m105,m106,m107,m108,m109,m110,m111,m112,m113,m114,m115,m116,m117,m118,m119,m120 "     \
    "A1 A2 A3 A4 A5 A6 A7 A8 e0 A9 A10 A11 A12 A13 A14 A15 A16 A17 A18 A19 e0 d21 d22 d23 d24 d25 d26 d27 d28 d29 "    \
    "d30 d31 d32 d33 d34 d35 d36 d37 d38"

static const char *const scripts[] = {
    "m100",
    "m0",
    "m100 m5000 m20000",
    "m100,m200,m300,m4096",
    "m30000 m30000 m30000 m30000",
    "m100 d0",
    "m100 e0 d0 m100 d1",
    "m100000",
    "m300000 m700000 d0 m10",
    "m30000 m30000 m30000 d0 d1 d2 m30000 m30000 m30000",
    "m100 n m100 n d0 n",
    "m100 q m100 d0 q d1 m5",
    "m100 o m100 o m30000 d0 d1",
    "s m100 m200 m300 f", /* the frontier moves on while it is read */
    COLD,
    COLD " n d1 n d3 q m50 d5 d7",
    LOGS " n d20 m10",
    "m100 a0 d1",
    "m100,m200 a0 e1,a1 n d2 n",
    "m100,m200,m300,m400 A0 A1 A2 A3 n A4 A5 A6 A7 q m100",
    "m30000 d0 m30000 d1 m30000 d2 m30000 d3 m30000 d4 m30000 d5 m30000 d6 m30000 d7",
};

static void play(const char *script, bool loud)
{
    struct rig rig = { .story = script, .loud = loud };
    rig_start(&rig, NULL);
    assert_true(rig_open(&rig));
    rig_play(&rig, script);
    for (size_t i = 0; i < rig.letter_count; i++)
        if (rig.letters[i].promise != KEPT)
            fail_msg("message %zu was not stored: %s", i, script);
    for (size_t i = 0; i < rig.letter_count; i++)
        if (!rig.letters[i].seen && !rig.letters[i].forgotten)
            fail_msg("message %zu was not seen: %s", i, script);
    for (size_t i = 0; i < rig.event_count; i++)
        assert_int_equal(rig.events[i].promise, KEPT);
    rig_compare(&rig);
    rig_play(&rig, "n");
    rig_judge(&rig);
    rig_compare(&rig);
    rig_finish_all(&rig);
    /* Everything is forgotten; what is left are segments that are held: 2 of each kind, and what the log spoke of. */
    rig_play(&rig, "n n");
    for (size_t i = 0; i < rig.letter_count; i++)
        if (rig.letters[i].seen)
            fail_msg("message %zu is still there: %s", i, script);
    assert_int_equal(rig_count(&rig, "segments"), 6);
    assert_int_equal(rig_count(&rig, "quarantine"), 0);
    assert_int_equal(rig.alarms, 0);
    rig_stop(&rig);
}

static void test_scripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        play(scripts[i], true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

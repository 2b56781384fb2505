/* Compaction: what is mostly dead is put together, nothing live is lost by it, and whoever reads an old place may. */
#include "spool/rig_test.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;

/* Each pair fills a segment; the large one is forgotten, the small one stays. */
static const char pairs[] = "m30000,m101 m30000,m103 m30000,m105 m30000,m107 m30000,m109 m30000,m111 m30000,m113";
static const char large_ones[] = "d0,d2,d4,d6,d8,d10,d12 m9";

static void start(const char *script)
{
    rig = (struct rig){ .story = script };
    rig_start(&rig, NULL);
    assert_true(rig_open(&rig));
    rig_play(&rig, script);
}

static void check(void)
{
    rig_compare(&rig);
    rig_play(&rig, "n");
    rig_judge(&rig);
    rig_compare(&rig);
}

static void test_mail(void **state)
{
    (void)state;
    start(pairs);
    size_t before = rig_count(&rig, "segments");
    rig_play(&rig, large_ones);
    assert_int_equal(rig.moves, 3); /* not more than is too much */
    assert_true(rig_count(&rig, "segments") < before);
    check();
    rig_finish_all(&rig);
    rig_play(&rig, "n n");
    assert_int_equal(rig_count(&rig, "segments"), 6);
    rig_stop(&rig);
}

/* A segment that a job reads from keeps its name and its bytes until the job is over; what a fetch reads, too. */
static void test_reader_of_an_old_place(void **state)
{
    (void)state;
    start(pairs);
    struct spool_place old = rig.letters[3].place;
    rig.used = old.segment;
    rig_play(&rig, large_ones);
    assert_int_equal(rig.moves, 3);
    assert_true(rig.letters[3].place.segment != old.segment);
    struct spool_place now = rig.letters[3].place;
    rig.letters[3].place = old;
    rig_compare(&rig);
    rig.letters[3].place = now;
    assert_non_null(spool_store_file(rig.store, old.segment));
    rig.used = 0;
    rig_run(&rig);
    assert_null(spool_store_file(rig.store, old.segment));
    check();
    rig_stop(&rig);
}

/* Rot in what is live is met when it is copied: set aside, said, and its segment stays as it is. The others are copied.
 */
static void test_rot(void **state)
{
    char path[64];
    (void)state;
    start(pairs);
    const struct spool_place *place = &rig.letters[5].place;
    uint64_t segment = place->segment;
    snprintf(path, sizeof(path), "/spool/segments/%016llx", (unsigned long long)segment);
    assert_true(mem_disk_rot(rig_disk(&rig), path, place->offset + place->head_size + 30, 1));
    rig_play(&rig, large_ones);
    assert_int_equal(rig.damages, 1);
    assert_int_equal(rig.moves, 3);
    assert_int_equal(place->segment, segment);
    rig.tolerant = true;
    check();
    rig_stop(&rig);
}

/* An owner that lost sight of a message must not make it lost. */
static void test_lost_sight(void **state)
{
    (void)state;
    start(pairs);
    rig.letters[3].seen = 0;
    rig_play(&rig, large_ones);
    assert_int_equal(rig.moves, 3);
    rig_play(&rig, "n");
    assert_int_equal(rig.letters[3].seen, 1);
    check();
    rig_stop(&rig);
}

static size_t log_count(void)
{
    return rig_count(&rig, "segments");
}

/* Reports fill the log; when they are forgotten it shrinks, and no event of a message that is there goes with it. */
static void test_log(void **state)
{
    static const char reports[] = "A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16";
    static const char forgotten[] = "d18 d19 d20 d21 d22 d23 d24 d25 d26 d27 d28 d29 d30 d31 d32 d33";
    (void)state;
    start("m100 e0 m101,m102,m103,m104,m105,m106,m107,m108,m109,m110,m111,m112,m113,m114,m115,m116,m117 e17");
    rig_play(&rig, reports);
    size_t before = log_count();
    rig_play(&rig, forgotten);
    assert_true(log_count() + 2 <= before);
    check();
    rig_play(&rig, "e0 A17 n");
    rig_judge(&rig);
    rig_finish_all(&rig);
    rig_play(&rig, "n n");
    assert_int_equal(rig_count(&rig, "segments"), 6);
    rig_stop(&rig);
}

/* The look into a spool knows cold segments, and finds no fault with them. */
static void count_line(void *ctx, struct view text)
{
    unsigned *cold = ctx;
    for (size_t i = 0; i < text.len; i++)
        *cold += view_starts(view_slice(text, i, text.len), VIEW(": cold, sealed"));
}

static void test_look(void **state)
{
    unsigned cold = 0;
    (void)state;
    start(pairs);
    rig_play(&rig, large_ones);
    const struct spool_look look = { &cold, count_line, true };
    assert_int_equal(spool_look_at(rig.os, rig.dir, &look), 0);
    assert_in_range(cold, 1, 2);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail), cmocka_unit_test(test_reader_of_an_old_place),
        cmocka_unit_test(test_rot),  cmocka_unit_test(test_lost_sight),
        cmocka_unit_test(test_log),  cmocka_unit_test(test_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

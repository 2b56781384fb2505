/* Stored messages are read again: whole envelopes, first bytes, and what rot made of them. */
#include "spool/rig_test.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;

struct answer {
    unsigned count;
    bool found;
    size_t len;
    size_t which, wrong; /* bytes that are not what was sent */
};

static void on_message(void *ctx, const struct spool_message *message)
{
    struct answer *answer = ctx;
    struct view path = VIEW_NONE;
    answer->count++;
    answer->found = message != NULL;
    if (!message)
        return;
    assert_true(spool_tag_find(message->envelope, SPOOL_TAG_REVERSE_PATH, &path));
    assert_true(view_equal(path, VIEW("sender@example.org")));
    assert_memory_equal(&message->place, &rig.letters[answer->which].place, sizeof(message->place));
}

static void on_bytes(void *ctx, struct view bytes)
{
    struct answer *answer = ctx;
    answer->count++;
    answer->found = bytes.at != NULL;
    answer->len = bytes.len;
    for (size_t i = 0; i < bytes.len; i++)
        answer->wrong += bytes.at[i] != rig_byte(&rig, answer->which, i);
}

static bool fetched(size_t which, const struct mail_id *id)
{
    struct answer answer = { .which = which };
    assert_true(spool_store_fetch(rig.store, id, &rig.letters[which].place, on_message, &answer));
    assert_int_equal(answer.count, 0);
    rig_run(&rig);
    assert_int_equal(answer.count, 1);
    return answer.found;
}

static bool head_is_read(size_t which, size_t max)
{
    struct answer answer = { .which = which };
    size_t whole = rig_size(&rig, which);
    assert_true(spool_store_read_head(rig.store, &rig.letters[which].place, max, on_bytes, &answer));
    assert_int_equal(answer.count, 0);
    rig_run(&rig);
    assert_int_equal(answer.count, 1);
    if (answer.found && answer.len != (max < whole ? max : whole))
        fail_msg("message %zu: %zu bytes of %zu", which, answer.len, max);
    assert_int_equal(answer.wrong, 0);
    return answer.found;
}

static void start(const char *script)
{
    rig = (struct rig){ .story = script, .tolerant = true };
    rig_start(&rig, NULL);
    assert_true(rig_open(&rig));
    rig_play(&rig, script);
}

static void test_fetched_again(void **state)
{
    static const size_t maxima[] = { 0, 1, 19, 20, 21, 119, 120, 121, 4096, 40000, 1000000 };
    (void)state;
    start("m5000 m300,m0 m40000 m300000 a1 n m70000");
    for (size_t i = 0; i < rig.letter_count; i++) {
        if (!rig.letters[i].seen || rig.letters[i].forgotten)
            continue;
        assert_true(fetched(i, &rig.letters[i].id));
        assert_false(fetched(i, &rig.letters[(i + 1) % rig.letter_count].id));
        for (size_t j = 0; j < sizeof(maxima) / sizeof(maxima[0]); j++)
            assert_true(head_is_read(i, maxima[j]));
    }
    rig_stop(&rig);
}

/* Gone, nonsense, and a store that closes while it reads. */
static void test_not_there(void **state)
{
    struct answer answer = { 0 };
    (void)state;
    start("m30000 m30000 d0 m30000 m30000");
    assert_false(fetched(0, &rig.letters[0].id));
    assert_false(head_is_read(0, 10));
    rig.letters[1].place.offset += 8;
    assert_false(fetched(1, &rig.letters[1].id));
    rig.letters[1].place.head_size = 4;
    assert_false(spool_store_fetch(rig.store, &rig.letters[1].id, &rig.letters[1].place, on_message, &answer));
    assert_true(spool_store_read_head(rig.store, &rig.letters[2].place, 5, on_bytes, &answer));
    assert_true(spool_store_fetch(rig.store, &rig.letters[2].id, &rig.letters[2].place, on_message, &answer));
    rig_play(&rig, "q");
    assert_int_equal(answer.count, 0);
    rig_stop(&rig);
}

static void flip(size_t which, uint64_t offset)
{
    char path[64];
    const struct spool_place *place = &rig.letters[which].place;
    snprintf(path, sizeof(path), "/spool/segments/%016llx", (unsigned long long)place->segment);
    assert_true(mem_disk_rot(rig_disk(&rig), path, place->offset + offset, 1));
}

/* H138: one bad envelope is set aside, once, and is nobody else's trouble; in the end its file is kept. */
static void test_rot_is_set_aside(void **state)
{
    (void)state;
    start("m100,m200,m9000 m300");
    flip(0, 70);
    flip(2, rig.letters[2].place.head_size + 100);
    for (int i = 0; i < 3; i++) {
        assert_false(fetched(0, &rig.letters[0].id));
        assert_true(fetched(1, &rig.letters[1].id));
        assert_true(fetched(2, &rig.letters[2].id));
        assert_true(head_is_read(2, 20));
        assert_false(head_is_read(2, 2000));
    }
    assert_int_equal(rig.damages, 2);
    assert_int_equal(rig_count(&rig, "quarantine"), 2);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fetched_again),
        cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_rot_is_set_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Reading a spool beside its server, and without one: what was promised is there, what is forgotten is not. */
#include "spool/rig_test.h"

#include "base/test.h"

static struct rig rig;

struct seen {
    unsigned events, foreign, messages[LETTERS_MAX];
    bool order_wrong; /* an event after a message */
    unsigned message_count;
};

static size_t letter_of(const struct mail_id *id)
{
    size_t i = 0;
    while (i < rig.letter_count && mail_id_compare(&rig.letters[i].id, id) != 0)
        i++;
    return i;
}

static void on_event(void *ctx, const struct spool_event *event)
{
    struct seen *seen = ctx;
    seen->events++;
    seen->order_wrong |= seen->message_count > 0;
    seen->foreign += letter_of(&event->id) == rig.letter_count;
}

static void on_message(void *ctx, const struct spool_message *message, struct os_file *file)
{
    struct seen *seen = ctx;
    size_t i = letter_of(&message->id);
    struct view path;
    assert_non_null(file);
    assert_true(spool_tag_find(message->envelope, SPOOL_TAG_REVERSE_PATH, &path));
    seen->message_count++;
    if (i < rig.letter_count)
        seen->messages[i]++;
    else
        seen->foreign++;
}

static void expect_ledger(const char *row)
{
    struct seen seen = { 0 };
    const struct spool_browse browse = { &seen, on_event, on_message };
    assert_row(spool_browse(rig.os, rig.dir, &browse) == OS_OK, row);
    assert_row(!seen.order_wrong && seen.foreign == 0, row);
    for (size_t i = 0; i < rig.letter_count; i++) {
        const struct letter *letter = &rig.letters[i];
        assert_row(letter->promise != KEPT || letter->forgotten || seen.messages[i] >= 1, row);
        assert_row(letter->promise != REFUSED || seen.messages[i] == 0, row);
    }
}

static const char *const scripts[] = {
    "",
    "m100",
    "m100,m200,m300 m400",
    "m100 m200 d0",
    "m100 e0 e0 d0",
    "m300000 m100",
    "m100 q m200",
    "m100 m200 n d0 m300",
    "m100 o m200",
    "m100 m5000 a0 m200",
    "m100 A0 n",
    "m70000 m70000 m70000 m70000 m70000 m70000 m70000 m70000 d0 d1 d2 n",
};

static void shows_what_is_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(scripts); i++) {
        rig = (struct rig){ 0 };
        rig_start(&rig, NULL);
        assert_row(rig_open(&rig), scripts[i]);
        rig_play(&rig, scripts[i]);
        expect_ledger(scripts[i]); /* beside the server */
        rig_play(&rig, "n");
        expect_ledger(scripts[i]);
        rig_stop(&rig);
    }
}

static void tells_what_is_no_spool(void **state)
{
    (void)state;
    const struct spool_browse browse = { NULL, on_event, on_message };
    enum os_status status;
    struct os_dir *folder = NULL;
    rig = (struct rig){ 0 };
    rig_start(&rig, NULL);
    struct os_op open = { .kind = OS_OPEN_DIR, .dir = rig.dir, .name = "segments", .opened_dir = &folder };
    os_run_ops(rig.os, &open, 1);
    assert_int_equal(open.status, OS_OK);
    status = spool_browse(rig.os, folder, &browse);
    assert_int_equal(status, OS_NOT_FOUND);
    os_dir_close(folder);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_what_is_there),
        cmocka_unit_test(tells_what_is_no_spool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

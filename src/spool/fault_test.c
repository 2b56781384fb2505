/* The disk fails without the power going: a sync, a write, a full disk - at each place in turn. */
#include "spool/rig_test.h"

#include <stdio.h>

static const char *const scripts[] = {
    "m100 m200,m5000 d0 m30000 m30000 m10 d1 d2",
    "m40000 m10 m700000 d0 d1",
    "m100,m200 a0 A1 d2 e3",
    "m30000,m101 m30000,m103 m30000,m105 m30000,m107 m30000,m109 m30000,m111 d2,d4,d6,d8,d10 m9 d12",
    "m100 n m200 q m300 d0 d1 n m5",
};

static void begin(struct rig *rig, const char *script)
{
    *rig = (struct rig){ .story = script, .may_refuse = true };
    rig_start(rig, NULL);
    assert_true(rig_open(rig));
    rig_play(rig, "m50,m60");
}

/* The fault is over: everything must work again, by itself. */
static void end(struct rig *rig)
{
    mem_disk_heal(rig_disk(rig));
    rig_run(rig);
    size_t first = rig->letter_count;
    rig_play(rig, "m70,m80000");
    for (size_t i = first; i < rig->letter_count; i++)
        if (rig->letters[i].promise != KEPT)
            fail_msg("no mail is taken after the fault: %s", rig->story);
    rig_compare(rig);
    rig_play(rig, "n");
    rig_judge(rig);
    rig_compare(rig);
    rig_finish_all(rig);
    rig_play(rig, "n n");
    for (size_t i = 0; i < rig->letter_count; i++)
        if (rig->letters[i].seen)
            fail_msg("message %zu is still there: %s", i, rig->story);
    rig_stop(rig);
}

/* A script under one fault; false: it was never met. */
static bool play_with(const char *script, struct mem_fault fault)
{
    struct rig rig;
    char story[160];
    begin(&rig, script);
    snprintf(story, sizeof(story), "%s, %s at %llu for %llu", script, os_status_text(fault.status),
             (unsigned long long)fault.nth, (unsigned long long)fault.times);
    rig.story = story;
    uint64_t before = mem_disk_op_count(rig_disk(&rig));
    mem_disk_fail_at(rig_disk(&rig), &fault);
    rig_play(&rig, script);
    bool met = mem_disk_op_count(rig_disk(&rig)) - before > fault.nth;
    end(&rig);
    return met;
}

static uint64_t at_each(const char *script, struct mem_fault fault)
{
    uint64_t count = 0;
    for (fault.nth = 0; play_with(script, fault); fault.nth++)
        count++;
    return count;
}

/* H135: each sync fails once, and then looks as if all were well. No 250 for it, no 451 that comes back. */
static void test_failing_sync(void **state)
{
    uint64_t count = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        count += at_each(scripts[i], (struct mem_fault){ .kinds = MEM_SYNCS, .times = 1, .status = OS_IO });
    printf("spool: %llu failing syncs\n", (unsigned long long)count);
}

/* H136 */
static void test_failing_write(void **state)
{
    static const enum os_status how[] = { OS_IO, OS_NO_SPACE, OS_QUOTA, OS_READ_ONLY };
    uint64_t count = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        for (size_t k = 0; k < sizeof(how) / sizeof(how[0]); k++) {
            struct mem_fault fault = { .kinds = MEM_OP(OS_WRITE), .times = 1, .status = how[k], .written = 600 };
            count += at_each(scripts[i], fault);
        }
    printf("spool: %llu failing writes\n", (unsigned long long)count);
}

/* H136: whatever operation it is, it fails once. */
static void test_failing_anything(void **state)
{
    uint64_t count = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        count += at_each(scripts[i], (struct mem_fault){ .times = 1, .status = OS_IO });
    printf("spool: %llu failing operations\n", (unsigned long long)count);
}

struct fill {
    struct rig *rig;
    uint64_t left;
};

static enum os_status fill_up(void *ctx, const struct mem_disk_op *op)
{
    struct fill *fill = ctx;
    bool new_name = op->kind == OS_MAKE_DIR || op->kind == OS_ALLOCATE || op->kind == OS_FILL;
    if (fill->left) {
        fill->left--;
        return OS_OK;
    }
    mem_disk_set_room(rig_disk(fill->rig), 0);
    return new_name ? OS_NO_SPACE : OS_OK;
}

/* H90: from each operation on the disk is full, until there is room again. Starting over is no hindrance. */
static void test_full_disk(void **state)
{
    uint64_t count = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        for (uint64_t nth = 0; nth < 60; nth += 2, count++) {
            struct rig rig;
            begin(&rig, scripts[i]);
            rig.may_refuse = false;
            struct fill fill = { &rig, nth };
            mem_disk_on_op(rig_disk(&rig), fill_up, &fill);
            rig_play(&rig, scripts[i]);
            mem_disk_on_op(rig_disk(&rig), NULL, NULL);
            end(&rig);
        }
    printf("spool: %llu full disks\n", (unsigned long long)count);
}

/* H90: the real thing, by bytes. */
static void test_no_room(void **state)
{
    (void)state;
    for (uint64_t room = 0; room < 600000; room += 37000) {
        struct rig rig;
        begin(&rig, "m30000 m30000 m30000 m30000 m300000");
        mem_disk_set_room(rig_disk(&rig), room);
        rig_play(&rig, rig.story);
        end(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failing_sync),     cmocka_unit_test(test_failing_write),
        cmocka_unit_test(test_failing_anything), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

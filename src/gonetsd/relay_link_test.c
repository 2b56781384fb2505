/* Role smtp over the simulated world: its links, to qmgr and to servers, cut and broken in every way. */
#include <stdio.h>

#include "base/test.h"
#include "gonetsd/relay_stage_test.h"

static struct stage stage;

static const struct stage_result *result(unsigned n)
{
    return &stage.results[n];
}

static bool is(unsigned n, enum ipc_outcome outcome, unsigned code)
{
    return result(n)->count == 1 && result(n)->last.outcome == outcome && result(n)->last.code == code;
}

/* ---- with qmgr ---- */

static void test_results_are_said_again(void **state)
{
    (void)state;
    stage_open(&stage);
    stage.keeps = false;
    stage_job(&stage, 0, "out", "dest.example", 0, 2);
    stage_run(&stage, 1);
    assert_true(is(0, IPC_DELIVERED, 250) && is(1, IPC_DELIVERED, 250));
    assert_int_equal(stage_credit(&stage), 1000);
    stage.keeps = true;
    stage_link_qmgr(&stage);
    stage_run(&stage, 1);
    assert_true(result(0)->count == 2 && result(1)->count == 2);
    assert_int_equal(stage_credit(&stage), 1000); /* 998, and 2 that were kept */
    stage_link_qmgr(&stage);
    stage_run(&stage, 1);
    assert_true(result(0)->count == 2 && result(1)->count == 2);
    stage_close(&stage);
}

/* A qmgr that was started anew gives out what it does not know the end of: no second copy is made. */
static void test_job_given_again(void **state)
{
    (void)state;
    stage_open(&stage);
    stage.servers[0].rules[0] = (struct stage_rule){ ".", "", 0 };
    stage_job(&stage, 0, "out", "dest.example", 0, 1);
    stage_run(&stage, 1);
    stage_link_qmgr(&stage);
    stage_content(&stage);
    stage_job(&stage, 0, "out", "dest.example", 0, 2); /* and one that is new */
    stage.servers[0].rules[0] = (struct stage_rule){ 0 };
    stage_run(&stage, 1);
    assert_int_equal(result(0)->count, 0);
    assert_true(is(1, IPC_DELIVERED, 250));
    assert_int_equal(stage_heard(&stage.servers[0], "RCPT TO:<r0@"), 1);
    assert_int_equal(stage_credit(&stage), 1001); /* 999, one adopted, one kept */
    stage_close(&stage);
}

static void test_bad_actions(void **state)
{
    static const char *const actions[] = { "nosuch", "box" };
    (void)state;
    for (size_t i = 0; i < ROWS(actions); i++) {
        stage_open(&stage);
        stage_job(&stage, 0, actions[i], "dest.example", 0, 1);
        stage_run(&stage, 1);
        assert_row(is(0, IPC_DEFERRED, 451) && result(0)->last.status[1] == 3, actions[i]);
        stage_close(&stage);
    }
}

/* What is under way is finished if that takes no long time; idle sessions end politely. */
static void test_stop(void **state)
{
    (void)state;
    stage_open(&stage);
    stage.servers[0].rules[0] = (struct stage_rule){ ".", "", 0 };
    stage_job(&stage, 0, "out", "dest.example", 0, 1);
    stage_run(&stage, 1);
    stage_type(&stage, IPC_STOP);
    stage_run(&stage, 5);
    assert_false(stage.exited);
    stage_run(&stage, 5);
    assert_true(stage.exited);
    stage_close(&stage);
    stage_open(&stage);
    stage_job(&stage, 0, "out", "dest.example", 0, 1);
    stage_run(&stage, 1);
    stage_type(&stage, IPC_STOP);
    stage_run(&stage, 1);
    assert_true(stage.exited);
    assert_int_equal(stage_heard(&stage.servers[0], "QUIT"), 1);
    stage_close(&stage);
}

/* H161: a qmgr that talks nonsense loses its link, and nothing else happens. */
static void test_nonsense_of_qmgr(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        char frame[] = { (char)type, 1, 2, 3 };
        stage_open(&stage);
        ipc_send(&stage.qmgr, (struct view){ frame, sizeof frame });
        stage_run(&stage, 1);
        assert_false(ipc_is_open(&stage.qmgr));
        stage_link_qmgr(&stage);
        stage_content(&stage);
        stage_job(&stage, 0, "out", "dest.example", 0, 1);
        stage_run(&stage, 1);
        assert_true(is(0, IPC_DELIVERED, 250));
        stage_close(&stage);
        type += type > 20 && type < 250 && type != 49 ? 8 : 0;
    }
}

/* H24: the link is cut after every byte, either way. */
static struct {
    struct mem_flow there, back;
} cut;

static void cut_at(void *ctx, struct mem_connect *connect)
{
    (void)ctx;
    connect->there = cut.there;
    connect->back = cut.back;
}

static void expect_cut(const char *row, unsigned taken)
{
    const struct ipc_result *m = &result(0)->last;
    assert_row(result(0)->count == 1, row);
    assert_row((m->outcome == IPC_DELIVERED) <= (taken > 0), row);
    assert_row(m->outcome != IPC_FAILED, row);
    /* Only a link that was lost after the final dot leaves open whether there is a copy (O2). */
    if (taken && m->outcome != IPC_DELIVERED)
        assert_row(m->uncertain, row);
    assert_row(stage_credit(&stage) == 1001, row);
}

static void test_cut_at_every_byte(void **state)
{
    static const enum mem_break breaks[] = { MEM_FIN, MEM_RST };
    (void)state;
    for (size_t way = 0; way < 2; way++)
        for (size_t how = 0; how < ROWS(breaks); how++)
            for (uint64_t at = 0; at < 190; at += 1 + way) {
                char row[64];
                snprintf(row, sizeof row, "way %zu, break %zu, at %u", way, how, (unsigned)at);
                stage_open(&stage);
                cut.there = cut.back = mem_flow_plain;
                struct mem_flow *flow = way ? &cut.back : &cut.there;
                flow->then = breaks[how];
                flow->break_at = at;
                mem_world_on_connect(stage.scene.world, cut_at, NULL);
                stage_job(&stage, 0, "out", "dest.example", 0, 1);
                stage_run(&stage, 700);
                expect_cut(row, stage.servers[0].messages);
                stage_close(&stage);
            }
}

/* Replies that come byte by byte are the same replies. */
static void test_byte_by_byte(void **state)
{
    (void)state;
    stage_open(&stage);
    cut.there = cut.back = mem_flow_plain;
    cut.there.split = cut.back.split = MEM_BYTES;
    cut.there.window = 7;
    mem_world_on_connect(stage.scene.world, cut_at, NULL);
    stage.servers[0].rules[0] =
        (struct stage_rule){ "RCPT TO:<r1@", "550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n", 0 };
    for (unsigned n = 0; n < 3; n++)
        stage_job(&stage, n, "out", "dest.example", 2 * n, 2);
    stage_run(&stage, 30);
    assert_true(is(0, IPC_DELIVERED, 250) && is(1, IPC_FAILED, 550) && is(4, IPC_DELIVERED, 250));
    assert_string_equal(result(1)->text, "no\nsuch\nuser");
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_are_said_again),
        cmocka_unit_test(test_job_given_again),
        cmocka_unit_test(test_bad_actions),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_nonsense_of_qmgr),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_byte_by_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

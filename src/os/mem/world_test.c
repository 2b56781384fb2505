/* Time, chance, turns and queues. */
#include "base/test.h"
#include "os/mem/os_mem.h"

#include <stdio.h>
#include <string.h>

struct fixture {
    struct mem_world *world;
    struct mem_host *host;
    struct os *os;
};

static struct fixture begin(uint64_t seed)
{
    struct fixture f = { .world = mem_world_new(seed) };
    f.host = mem_host_new(f.world, "a");
    f.os = mem_process_new(f.host);
    return f;
}

/* What happened, as text: one letter each. */
struct notes {
    struct os *os;
    char text[64];
    size_t len;
    uint64_t last_us;
    struct os_task task;
    struct os_queue *queue;
    struct os_request *again;
};

static void note(struct notes *n, char letter)
{
    assert_true(n->len < sizeof(n->text) - 1);
    n->text[n->len++] = letter;
    n->last_us = os_now_us(n->os);
}

static void on_alarm(void *ctx)
{
    note(ctx, 'A');
}

static void on_alarm_with_later(void *ctx)
{
    struct notes *n = ctx;
    note(n, 'A');
    os_later(n->os, &n->task);
    os_later(n->os, &n->task);
}

static void on_later(void *ctx)
{
    note(ctx, 'L');
}

static void on_later_again(void *ctx)
{
    struct notes *n = ctx;
    note(n, 'L');
    if (n->len < 4)
        os_later(n->os, &n->task);
}

static void on_script(void *ctx)
{
    note(ctx, 'S');
}

static void test_alarm(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct notes n = { .os = f.os };
    uint64_t start = os_now_us(f.os);
    assert_false(mem_world_step(f.world));
    os_alarm(f.os, start + 500, on_script, &n);
    os_alarm(f.os, start + 1000000, on_alarm, &n); /* replaces */
    assert_true(mem_world_run(f.world, 2000000));
    assert_string_equal(n.text, "A");
    assert_int_equal(n.last_us, start + 1000000); /* time jumped */
    assert_int_equal(os_now_us(f.os), start + 2000000);
    os_alarm(f.os, 0, on_alarm, &n); /* past: at once, but not from inside */
    assert_string_equal(n.text, "A");
    assert_true(mem_world_step(f.world));
    assert_string_equal(n.text, "AA");
    os_alarm(f.os, 0, on_alarm, &n);
    os_alarm(f.os, OS_NEVER, on_alarm, &n);
    assert_false(mem_world_step(f.world));
    mem_world_free(f.world);
}

static void test_later(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct notes n = { .os = f.os, .task = { .run = on_later, .ctx = &n } };
    os_alarm(f.os, 0, on_alarm_with_later, &n);
    mem_world_step(f.world);
    assert_string_equal(n.text, "AL"); /* the same turn, once */
    assert_false(mem_world_step(f.world));
    os_later(f.os, &n.task); /* from outside of a turn: a turn of its own */
    assert_string_equal(n.text, "AL");
    mem_world_step(f.world);
    assert_string_equal(n.text, "ALL");
    memset(n.text, 0, sizeof(n.text));
    n.len = 0;
    n.task.run = on_later_again; /* asks for itself: one turn each */
    os_later(f.os, &n.task);
    unsigned turns = 0;
    while (mem_world_step(f.world))
        turns++;
    assert_int_equal(turns, 4);
    assert_string_equal(n.text, "LLLL");
    mem_world_free(f.world);
}

/* The two clocks know nothing of each other. */
static void test_clocks(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    uint64_t now = os_now_us(f.os);
    assert_int_equal(os_wall_us(f.os), 1767225600000000);
    mem_host_set_wall(f.host, 5000000);
    assert_int_equal(os_wall_us(f.os), 5000000);
    assert_int_equal(os_now_us(f.os), now);
    mem_world_run_until(f.world, mem_world_now_us(f.world) + 10);
    assert_int_equal(os_wall_us(f.os), 5000010);
    assert_int_equal(os_now_us(f.os), now + 10);
    mem_host_set_utc_offset(f.host, -210);
    assert_int_equal(os_utc_offset_min(f.os, 0), -210);
    struct mem_host *other = mem_host_new(f.world, "b");
    assert_int_equal(os_wall_us(mem_process_new(other)), 1767225600000000);
    mem_world_free(f.world);
}

static void test_chance(void **state)
{
    (void)state;
    uint8_t a[3][40];
    static const uint64_t seeds[] = { 7, 7, 8 };
    for (size_t i = 0; i < 3; i++) {
        struct fixture f = begin(seeds[i]);
        assert_true(os_random(f.os, a[i], sizeof(a[i])));
        mem_host_fail_random(f.host, true);
        assert_false(os_random(f.os, a[i], 1));
        mem_world_free(f.world);
    }
    assert_memory_equal(a[0], a[1], sizeof(a[0]));
    assert_memory_not_equal(a[0], a[2], sizeof(a[0]));
}

static void test_script(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct notes n = { .os = f.os };
    uint64_t now = mem_world_now_us(f.world);
    mem_world_at(f.world, now + 20, on_script, &n);
    os_alarm(f.os, os_now_us(f.os) + 10, on_alarm, &n);
    mem_world_at(f.world, now + 5, on_script, &n);
    mem_world_at(f.world, now + 50, on_script, &n); /* never comes: freed with the world */
    mem_world_run_until(f.world, now + 30);
    assert_string_equal(n.text, "SAS");
    mem_world_free(f.world);
}

static void test_pause(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct notes n = { .os = f.os, .task = { .run = on_later, .ctx = &n } };
    os_alarm(f.os, os_now_us(f.os) + 10, on_alarm_with_later, &n);
    mem_process_pause(f.os);
    assert_true(mem_world_run(f.world, 100));
    assert_string_equal(n.text, "");
    uint64_t now = os_now_us(f.os);
    mem_process_resume(f.os);
    assert_true(mem_world_run(f.world, 100));
    assert_string_equal(n.text, "AL");
    assert_int_equal(n.last_us, now);
    os_alarm(f.os, os_now_us(f.os) + 10, on_alarm, &n);
    mem_process_pause(f.os);
    mem_world_run(f.world, 100);
    mem_process_kill(f.os); /* what was held goes with it */
    mem_world_free(f.world);
}

static void test_log(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    os_log(f.os, VIEW("one"));
    os_log(f.os, VIEW(""));
    os_log(f.os, VIEW("t\nwo"));
    assert_true(view_equal(mem_host_log(f.host), VIEW("one\n\nt?wo\n")));
    mem_world_free(f.world);
}

/* ---- queues ---- */

static void on_done(void *ctx)
{
    note(ctx, 'D');
}

static void on_done_submit(void *ctx)
{
    struct notes *n = ctx;
    note(n, 'd');
    os_submit(n->queue, n->again);
}

static void on_done_free(void *ctx)
{
    struct notes *n = ctx;
    note(n, 'F');
    os_queue_free(n->queue);
}

/* Requests run in order, done comes once for each and never from inside; submitting and freeing in done is allowed. */
static void test_queue(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct notes n = { .os = f.os, .queue = os_queue_new(f.os) };
    enum os_status status;
    struct os_dir *root = os_dir_path(f.os, "/", &status);
    struct os_op first[] = { { .kind = OS_MAKE_DIR, .dir = root, .name = "a" }, { .kind = OS_SYNC_DIR, .dir = root } };
    struct os_op second = { .kind = OS_REMOVE_DIR, .dir = root, .name = "a" }, third = second;
    struct os_request c = { &third, 1, on_done_free, &n, NULL };
    struct os_request a = { first, 2, on_done_submit, &n, NULL }, b = { &second, 1, on_done, &n, NULL };
    struct notes other = { .os = f.os };
    struct os_queue *freed = os_queue_new(f.os);
    n.again = &c;
    os_submit(n.queue, &a);
    os_submit(n.queue, &b);
    struct os_op look = { .kind = OS_SYNC_DIR, .dir = root };
    struct os_request last = { &look, 1, on_done, &other, NULL };
    os_submit(freed, &last); /* carried out although the queue is given back */
    os_queue_free(freed);
    assert_int_equal(mem_disk_op_count(mem_host_disk(f.host)), 1);
    assert_true(mem_world_run(f.world, 1000000));
    assert_string_equal(n.text, "dDF");
    assert_string_equal(other.text, "D");
    assert_int_equal(first[1].status, OS_OK);
    assert_int_equal(second.status, OS_OK);
    assert_int_equal(third.status, OS_NOT_FOUND);
    os_dir_close(root);
    mem_world_free(f.world);
}

static void kill_process(void *ctx)
{
    mem_process_kill(ctx);
}

/* A process can die between any two steps of what it asked for. */
static void test_killed_between(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (uint64_t us = 0; us < 100; us++) {
        struct fixture f = begin(us);
        struct notes n = { .os = f.os };
        enum os_status status;
        struct os_dir *root = os_dir_path(f.os, "/", &status);
        struct os_file *file = NULL;
        const struct os_slice text = { "x", 1 };
        struct os_op ops[] = {
            { .kind = OS_OPEN, .flags = OS_FOR_WRITE | OS_CREATE, .dir = root, .name = "a", .file = &file },
            { .kind = OS_COMMIT, .file = &file, .slices = &text, .slice_count = 1 },
            { .kind = OS_CLOSE, .file = &file },
        };
        struct os_request request = { ops, 3, on_done, &n, NULL };
        mem_host_set_delays(f.host, 30, 30);
        os_submit(os_queue_new(f.os), &request);
        mem_world_at(f.world, mem_world_now_us(f.world) + us, kill_process, f.os);
        assert_true(mem_world_run(f.world, 1000000));
        seen |= 1u << (mem_disk_op_count(mem_host_disk(f.host)) + n.len);
        assert_int_equal(mem_world_open_handles(f.world), 0);
        mem_world_free(f.world);
    }
    assert_int_equal(seen, 0x7e); /* 1 (the directory) up to 5 operations, and done */
}

/* A power cut stops the host: no done comes for what was asked. */
static void test_cut_in_queue(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct notes n = { .os = f.os };
    enum os_status status;
    struct os_dir *root = os_dir_path(f.os, "/", &status);
    struct os_op op = { .kind = OS_MAKE_DIR, .dir = root, .name = "a" };
    struct os_request request = { &op, 1, on_done, &n, NULL };
    os_submit(os_queue_new(f.os), &request);
    mem_disk_cut_at(mem_host_disk(f.host), 0);
    assert_true(mem_world_run(f.world, 1000000));
    assert_string_equal(n.text, "");
    mem_process_kill(f.os);
    mem_disk_crash(mem_host_disk(f.host), (struct mem_choice){ MEM_KEEP_ALL, 0 });
    assert_int_equal(mem_disk_unsynced_count(mem_host_disk(f.host)), 0);
    mem_world_free(f.world);
}

/* ---- the same again ---- */

static uint64_t trace_of(uint64_t seed)
{
    struct fixture f = begin(seed);
    struct notes n = { .os = f.os };
    enum os_status status;
    struct os_dir *root = os_dir_path(f.os, "/", &status);
    struct os_op ops[5] = { { .kind = OS_SYNC_DIR, .dir = root },
                            { .kind = OS_SYNC_FS, .dir = root },
                            { .kind = OS_SYNC_DIR, .dir = root },
                            { .kind = OS_SYNC_FS, .dir = root },
                            { .kind = OS_SYNC_DIR, .dir = root } };
    struct os_request request = { ops, 5, on_done, &n, NULL };
    os_submit(os_queue_new(f.os), &request);
    mem_world_run(f.world, 1000000);
    uint64_t hash = mem_world_trace_hash(f.world);
    os_dir_close(root);
    mem_world_free(f.world);
    return hash;
}

static void count_trace(void *ctx, const struct mem_trace *trace)
{
    assert_non_null(trace->what);
    ++*(unsigned *)ctx;
}

static void test_trace(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        assert_int_equal(trace_of(seed), trace_of(seed));
        assert_int_not_equal(trace_of(seed), trace_of(seed + 1));
    }
    struct mem_world *world = mem_world_new(1);
    unsigned count = 0;
    mem_world_on_trace(world, count_trace, &count);
    mem_process_new(mem_host_new(world, "a"));
    assert_int_equal(count, 1);
    mem_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alarm),        cmocka_unit_test(test_later),  cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_chance),       cmocka_unit_test(test_script), cmocka_unit_test(test_pause),
        cmocka_unit_test(test_log),          cmocka_unit_test(test_queue),  cmocka_unit_test(test_killed_between),
        cmocka_unit_test(test_cut_in_queue), cmocka_unit_test(test_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Processes: start, stop, kill, children, signals, hosts. */
#include "base/test.h"
#include "os/mem/os_mem.h"

#include <stdlib.h>
#include <string.h>

/* A role that notes what happens to it, one letter each, in memory outside of the world. */
static char notes[64];
static size_t note_count;

static void note(char letter)
{
    assert_true(note_count < sizeof(notes) - 1);
    notes[note_count++] = letter;
    notes[note_count] = 0;
}

struct echo {
    struct os *os;
    struct os_link *supervisor;
    struct os_dir *dir;
    struct os_task task;
};

static void echo_frame(void *ctx, unsigned events)
{
    static char memory[OS_FRAME_MAX];
    struct echo *echo = ctx;
    struct buffer frame = BUFFER_OF(memory);
    struct os_handle handle;
    (void)events;
    switch (os_link_receive(echo->supervisor, &frame, &handle)) {
    case OS_OK:
        note('F');
        if (view_equal(buffer_view(&frame), VIEW("stop")))
            os_stop(echo->os, 7);
        else
            os_link_send(echo->supervisor, buffer_view(&frame), NULL);
        break;
    case OS_END:
        note('E');
        os_link_watch(echo->supervisor, 0, NULL, NULL);
        break;
    default:
        break;
    }
}

static void on_signal(void *ctx, enum os_signal signal)
{
    note(signal == OS_SIGNAL_RELOAD ? 'R' : 'T');
    if (signal == OS_SIGNAL_STOP)
        os_stop(((struct echo *)ctx)->os, 3);
}

static void never(void *ctx)
{
    (void)ctx;
    note('!');
}

static void *echo_start(struct os *os, struct os_link *supervisor)
{
    enum os_status status;
    struct echo *echo = calloc(1, sizeof(*echo));
    echo->os = os;
    echo->supervisor = supervisor;
    echo->dir = os_dir_path(os, "/", &status);
    echo->task = (struct os_task){ .run = never };
    if (supervisor)
        os_link_watch(supervisor, OS_READABLE, echo_frame, echo);
    os_on_signal(os, on_signal, echo);
    note('S');
    return echo;
}

/* Tries to leave a mark: a crashed process must not be able to. */
static void echo_stop(void *role)
{
    struct echo *echo = role;
    struct os_op mark = { .kind = OS_MAKE_DIR, .dir = echo->dir, .name = "stopped" };
    os_run_ops(echo->os, &mark, 1);
    if (echo->supervisor)
        os_link_send(echo->supervisor, VIEW("bye"), NULL);
    os_later(echo->os, &echo->task);
    os_alarm(echo->os, 0, never, NULL);
    os_log(echo->os, VIEW("stopped"));
    note(mark.status == OS_OK ? 'D' : 'd');
    if (echo->supervisor)
        os_link_close(echo->supervisor);
    os_dir_close(echo->dir);
    free(echo);
}

static void *lame_start(struct os *os, struct os_link *supervisor)
{
    (void)os;
    (void)supervisor; /* closed by the platform */
    note('L');
    return NULL;
}

static const struct os_role roles[] = { { "echo", echo_start, echo_stop }, { "lame", lame_start, NULL } };

struct fixture {
    struct mem_world *world;
    struct mem_host *host;
    struct os *os;
    struct os_link *link;
    struct os_child *child;
    int code;
    unsigned exits;
};

static void on_exit_of(void *ctx, int code)
{
    struct fixture *f = ctx;
    note('X');
    f->code = code;
    f->exits++;
}

static void run_all(struct fixture *f)
{
    assert_true(mem_world_run(f->world, 1000000));
}

static void begin(struct fixture *f, const char *role)
{
    static const struct os_user user = { 100, 100, "gonets", "/" };
    *f = (struct fixture){ .world = mem_world_new(1) };
    note_count = 0;
    notes[0] = 0;
    f->host = mem_host_new(f->world, "a");
    f->os = mem_process_new(f->host);
    mem_host_set_roles(f->host, roles, ROWS(roles));
    mem_host_add_user(f->host, &user);
    const struct os_spawn what = { .role = role };
    assert_int_equal(os_spawn(f->os, &what, &f->link, &f->child, on_exit_of, f), OS_OK);
    assert_string_equal(notes, ""); /* not from inside */
}

/* Everybody is gone and nothing is left open. */
static void end(struct fixture *f)
{
    mem_process_kill(f->os);
    run_all(f);
    assert_int_equal(mem_world_open_handles(f->world), 0);
    mem_world_free(f->world);
}

static bool is_marked(struct fixture *f)
{
    enum os_status status;
    struct os_dir *dir = os_dir_path(f->os, "/stopped", &status);
    if (dir)
        os_dir_close(dir);
    return dir;
}

/* The next frame from the child, "" when there is none, "END". */
static const char *next_frame(struct os_link *link)
{
    static char memory[OS_FRAME_MAX];
    struct buffer frame = BUFFER_OF(memory);
    struct os_handle handle;
    enum os_status status = os_link_receive(link, &frame, &handle);
    memory[frame.len] = 0;
    return status == OS_OK ? memory : status == OS_END ? "END" : "";
}

static void test_tidy(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "echo");
    os_link_send(f.link, VIEW("one"), NULL);
    run_all(&f);
    assert_string_equal(next_frame(f.link), "one");
    os_link_send(f.link, VIEW("stop"), NULL);
    run_all(&f);
    assert_string_equal(notes, "SFFDX");
    assert_int_equal(f.code, 7);
    assert_string_equal(next_frame(f.link), "bye");
    assert_string_equal(next_frame(f.link), "END");
    assert_true(is_marked(&f));
    end(&f);
}

/* The child ends, tidily, when our end of its link is closed. */
static void test_link_closed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "echo");
    run_all(&f);
    os_link_close(f.link);
    run_all(&f);
    assert_string_equal(notes, "SEDX");
    assert_int_equal(f.code, 0);
    assert_true(is_marked(&f));
    end(&f);
}

/* A killed process runs no code that reaches anybody; only its memory is given back. */
static void test_killed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "echo");
    run_all(&f);
    os_child_kill(f.child);
    assert_int_equal(f.exits, 0);
    run_all(&f);
    assert_string_equal(notes, "SdX");
    assert_int_equal(f.code, -9);
    assert_string_equal(next_frame(f.link), "END");
    assert_false(is_marked(&f));
    assert_int_equal(mem_host_log(f.host).len, 0);
    end(&f);
}

/* Children do not outlive the supervisor. */
static void test_supervisor_killed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "echo");
    run_all(&f);
    mem_process_kill(f.os);
    run_all(&f);
    assert_int_equal(f.exits, 0);
    assert_true(strcmp(notes, "Sd") == 0 || strcmp(notes, "SED") == 0); /* the signal or the end of the link is first */
    f.os = mem_process_new(f.host);
    end(&f);
}

static void test_killed_before_start(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "echo");
    mem_process_kill(f.os);
    end((f.os = mem_process_new(f.host), &f));
    assert_true(notes[0] == 0 || notes[0] == 'S');
}

static void test_lame(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "lame");
    run_all(&f);
    assert_string_equal(notes, "LX");
    assert_int_equal(f.code, 69);
    end(&f);
}

static void test_spawn_errors(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "echo");
    static const struct os_user root = { 0, 0, "root", "/root" };
    mem_host_add_user(f.host, &root);
    static const struct {
        const char *role, *user;
        enum os_status status;
    } rows[] = {
        { "none", NULL, OS_NOT_FOUND },
        { "echo", "nobody", OS_NOT_FOUND },
        { "echo", "root", OS_DENIED },
        { "echo", "gonets", OS_OK },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct os_link *link;
        struct os_child *child;
        const struct os_spawn what = { .role = rows[i].role, .user = rows[i].user };
        assert_int_equal(os_spawn(f.os, &what, &link, &child, on_exit_of, &f), rows[i].status);
        assert_int_equal(!link, rows[i].status != OS_OK);
    }
    mem_host_fail_users(f.host, true);
    struct os_user user;
    assert_int_equal(os_user_find(f.os, VIEW("gonets"), &user), OS_AGAIN);
    end(&f);
}

static void test_signals(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "echo");
    struct os *top = mem_process_start(f.host, "echo");
    assert_null(mem_process_object(top));
    run_all(&f);
    assert_non_null(mem_process_object(top));
    mem_process_signal(top, OS_SIGNAL_RELOAD);
    run_all(&f);
    mem_process_signal(top, OS_SIGNAL_STOP);
    run_all(&f);
    assert_string_equal(notes, "SSRTD");
    struct os *plain = mem_process_new(f.host);
    mem_process_signal(plain, OS_SIGNAL_RELOAD); /* nothing */
    run_all(&f);
    mem_process_signal(plain, OS_SIGNAL_STOP); /* kills */
    run_all(&f);
    end(&f);
}

static void test_paused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "echo");
    struct os *top = mem_process_start(f.host, "echo");
    run_all(&f);
    mem_process_pause(top);
    mem_process_signal(top, OS_SIGNAL_STOP);
    run_all(&f);
    assert_string_equal(notes, "SS");
    mem_process_resume(top);
    run_all(&f);
    assert_string_equal(notes, "SSTD");
    end(&f);
}

/* A crash of the host: nobody is told, the clock of the machine begins anew, the disk has what was durable. */
static void test_host_crash(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "echo");
    run_all(&f);
    uint64_t now = os_now_us(f.os), wall = os_wall_us(f.os);
    assert_true(mem_world_run(f.world, 5000000));
    mem_host_crash(f.host, (struct mem_choice){ MEM_KEEP_ALL, 0 });
    assert_string_equal(notes, "Sd");
    assert_int_equal(mem_world_open_handles(f.world), 0);
    mem_world_run(f.world, 10000000);
    mem_host_start(f.host);
    f.os = mem_process_new(f.host);
    assert_true(os_now_us(f.os) < now);
    assert_int_equal(os_wall_us(f.os), wall + 15000000);
    assert_int_equal(os_core_count(f.os), 1);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tidy),
        cmocka_unit_test(test_link_closed),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_supervisor_killed),
        cmocka_unit_test(test_killed_before_start),
        cmocka_unit_test(test_lame),
        cmocka_unit_test(test_spawn_errors),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_paused),
        cmocka_unit_test(test_host_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

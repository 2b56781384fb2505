#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/linux/test_loop.h"

/* ---- the role: this program again; it answers questions about itself ---- */

static char fds_at_start[256];

static void list_fds(void)
{
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            sprintf(fds_at_start + strlen(fds_at_start), "%d ", fd);
}

struct witness {
    struct os *os;
    struct os_link *link;
    struct os_listener *listener;
};

static void add_file(struct buffer *to, const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, to->at, to->cap);
    to->len = n > 0 ? (size_t)n : 0;
    close(fd);
}

static void add_identity(struct buffer *to)
{
    uid_t u[3];
    gid_t g[3], groups[64];
    sigset_t mask;
    int count = getgroups(64, groups);
    getresuid(&u[0], &u[1], &u[2]);
    getresgid(&g[0], &g[1], &g[2]);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    buffer_addf(to, "users %u %u %u groups %u %u %u others %d:%u", u[0], u[1], u[2], g[0], g[1], g[2], count,
                count ? groups[0] : 0);
    buffer_addf(to, " privileges %d dump %d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_DUMPABLE));
    buffer_addf(to, " root %d masked %d", setuid(0) == 0 && seteuid(0) == 0, sigismember(&mask, SIGTERM));
}

static void add_limits(struct buffer *to)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    buffer_addf(to, "%llu %llu", (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
}

static void on_witness_connection(void *ctx, unsigned events)
{
    struct witness *w = ctx;
    struct os_stream *stream;
    size_t put;
    const struct os_slice slice = { "role", 4 };
    (void)events;
    if (os_accept(w->listener, &stream) != OS_OK)
        return;
    os_stream_write(stream, &slice, 1, &put);
    os_stream_close(stream);
}

static void answer(struct witness *w, const char *question, struct os_handle *handle, struct buffer *to)
{
    if (strcmp(question, "fds") == 0)
        buffer_add_text(to, fds_at_start);
    else if (strcmp(question, "environment") == 0)
        add_file(to, "/proc/self/environ");
    else if (strcmp(question, "arguments") == 0)
        add_file(to, "/proc/self/cmdline");
    else if (strcmp(question, "name") == 0)
        add_file(to, "/proc/self/comm");
    else if (strcmp(question, "identity") == 0)
        add_identity(to);
    else if (strcmp(question, "limits") == 0)
        add_limits(to);
    else if (strcmp(question, "number") == 0)
        buffer_addf(to, "%d", (int)getpid());
    else if (strcmp(question, "deaf") == 0)
        os_link_watch(w->link, 0, NULL, NULL);
    else if (strcmp(question, "killed") == 0)
        kill(getpid(), SIGUSR1);
    else if (strcmp(question, "exit 7") == 0)
        os_stop(w->os, 7);
    else if (handle->kind == OS_HANDLE_LISTENER) {
        w->listener = handle->listener;
        os_listener_watch(w->listener, true, on_witness_connection, w);
    }
    buffer_add_text(to, "."); /* so that no answer is empty */
}

static void on_question(void *ctx, unsigned events)
{
    static char memory[OS_FRAME_MAX], text[OS_FRAME_MAX];
    struct witness *w = ctx;
    struct buffer question = BUFFER_OF(memory), reply = BUFFER_OF(text);
    struct os_handle handle;
    (void)events;
    if (os_link_receive(w->link, &question, &handle) != OS_OK)
        return; /* also at its end: the platform ends us */
    memory[question.len] = '\0';
    answer(w, memory, &handle, &reply);
    os_link_send(w->link, buffer_view(&reply), NULL);
}

static void *start_witness(struct os *os, struct os_link *supervisor)
{
    struct witness *w = calloc(1, sizeof *w);
    w->os = os;
    w->link = supervisor;
    os_link_watch(supervisor, OS_READABLE, on_question, w);
    return w;
}

static void stop_witness(void *role)
{
    struct witness *w = role;
    os_link_close(w->link);
    if (w->listener)
        os_listener_close(w->listener);
    free(w);
}

static void *start_broken(struct os *os, struct os_link *supervisor)
{
    (void)os;
    os_link_close(supervisor);
    return NULL;
}

static const struct os_role roles[] = {
    { "witness", start_witness, stop_witness },
    { "broken", start_broken, stop_witness },
};

/* ---- the supervisor ---- */

static int inject; /* 1: the change of user fails; 2: it says that it worked */

int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    if (inject == 1) {
        errno = EAGAIN;
        return -1;
    }
    return inject == 2 ? 0 : (int)syscall(SYS_setresuid, real, effective, saved);
}

struct family {
    struct os *os;
    struct os_link *link;
    struct os_child *child;
    unsigned exits;
    int code;
    char memory[OS_FRAME_MAX + 1];
    struct buffer reply;
};

static void on_exit_of_child(void *ctx, int code)
{
    struct family *f = ctx;
    f->exits++;
    f->code = code;
    f->child = NULL;
    os_stop(f->os, 0);
}

static enum os_status spawn(struct family *f, const struct os_spawn *what)
{
    return os_spawn(f->os, what, &f->link, &f->child, on_exit_of_child, f);
}

static struct family *new_family(void)
{
    struct family *f = calloc(1, sizeof *f);
    f->os = os_linux_new(roles, ROWS(roles));
    assert_non_null(f->os);
    return f;
}

static void hang_up(struct family *f)
{
    if (f->link)
        os_link_close(f->link);
    f->link = NULL;
}

static void end_family(struct family *f)
{
    hang_up(f);
    if (f->child)
        test_run(f->os);
    os_linux_free(f->os);
    free(f);
}

static const char *ask_with(struct family *f, const char *question, const struct os_handle *handle)
{
    struct os_handle none;
    assert_int_equal(os_link_send(f->link, view_of(question), handle), OS_OK);
    os_link_watch(f->link, OS_READABLE, test_stop_on_event, f->os);
    test_run(f->os);
    buffer_init(&f->reply, f->memory, OS_FRAME_MAX);
    if (os_link_receive(f->link, &f->reply, &none) != OS_OK)
        fail_msg("no answer to \"%s\"", question);
    for (size_t i = 0; i < f->reply.len; i++)
        if (f->memory[i] == '\0' || f->memory[i] == '\n')
            f->memory[i] = '|';
    f->memory[f->reply.len] = '\0';
    return f->memory;
}

static const char *ask(struct family *f, const char *question)
{
    return ask_with(f, question, NULL);
}

static void wait_for_exit(struct family *f)
{
    if (f->link)
        os_link_watch(f->link, 0, NULL, NULL);
    while (f->exits == 0)
        test_run(f->os);
    test_run_for(f->os, 20000);
    assert_int_equal(f->exits, 1);
}

/* ---- what a child is ---- */

static void test_child_has_nothing_of_ours(void **state)
{
    (void)state;
    int stray = open("/dev/null", O_RDONLY), high = fcntl(stray, F_DUPFD, 900); /* without close-on-exec */
    struct family *f = new_family();
    os_linux_set_dns(f->os, "127.0.0.1@5353");
    assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness" }), OS_OK);
    assert_string_equal(ask(f, "fds"), "0 1 2 3 .");
    assert_string_equal(ask(f, "arguments"), "gonetsd|--role|witness|--dns|127.0.0.1@5353|.");
    assert_string_equal(ask(f, "name"), "witness|.");
    char number[32];
    snprintf(number, sizeof number, "%llu.", (unsigned long long)os_child_number(f->child));
    assert_string_equal(ask(f, "number"), number);
    end_family(f);
    close(stray);
    close(high);
}

/* H34 */
static void test_environment_is_fixed(void **state)
{
    (void)state;
    setenv("EVIL", "() { :;}; touch canary", 1);
    setenv("BASH_FUNC_x%%", "() { :;}; touch canary", 1);
    setenv("TZ", "UTC", 1);
    struct family *f = new_family();
    assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness" }), OS_OK);
    char expected[2000] = "PATH=/usr/bin:/bin|LANG=C|TZ=UTC|";
    static const char *const developers[] = { "LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS" };
    for (size_t i = 0; i < ROWS(developers); i++)
        if (getenv(developers[i]))
            sprintf(expected + strlen(expected), "%s=%s|", developers[i], getenv(developers[i]));
    strcat(expected, ".");
    assert_string_equal(ask(f, "environment"), expected);
    end_family(f);
    unsetenv("EVIL");
    unsetenv("BASH_FUNC_x%%");
}

static void test_identity(void **state)
{
    (void)state;
    struct family *f = new_family();
    assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness", .files_max = 77 }), OS_OK);
    assert_string_equal(ask(f, "limits"), "77 77.");
    char expected[128];
    snprintf(expected, sizeof expected, "users %u %u %u ", getuid(), geteuid(), geteuid());
    assert_true(strncmp(ask(f, "identity"), expected, strlen(expected)) == 0);
    assert_non_null(strstr(f->memory, "privileges 1 dump 1 "));
    assert_non_null(strstr(f->memory, "masked 0"));
    end_family(f);

    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    f = new_family();
    assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness" }), OS_OK);
    snprintf(expected, sizeof expected, "%llu %llu.", (unsigned long long)limit.rlim_max,
             (unsigned long long)limit.rlim_max);
    assert_string_equal(ask(f, "limits"), expected);
    end_family(f);
}

/* H159 */
static void test_another_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("NOT RUN: os/linux/process: another user (only root can become one)\n");
        return;
    }
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* it wants to trace a process that must not be traced */
    struct family *f = new_family();
    assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness", .user = "nobody" }), OS_OK);
    assert_string_equal(ask(f, "identity"), "users 65534 65534 65534 groups 65534 65534 65534 others 1:65534 "
                                            "privileges 1 dump 0 root 0 masked 0.");
    assert_string_equal(ask(f, "fds"), "0 1 2 3 .");
    end_family(f);
    for (inject = 1; inject <= 2; inject++) {
        f = new_family();
        assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness", .user = "nobody" }), OS_OK);
        wait_for_exit(f);
        assert_int_equal(f->code, OS_LINUX_EXIT_NO_ACCOUNT);
        end_family(f);
    }
    inject = 0;
}

static void test_refused_users(void **state)
{
    (void)state;
    struct family *f = new_family();
    assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness", .user = "root" }), OS_DENIED);
    assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness", .user = "no-such-user" }), OS_NOT_FOUND);
    assert_int_equal(spawn(f, &(struct os_spawn){ .role = "none" }), OS_NOT_FOUND);
    assert_null(f->child);
    assert_null(f->link);
    end_family(f);
}

/* ---- how a child ends ---- */

static void test_ends(void **state)
{
    static const struct {
        const char *role, *question, *program;
        int code;
    } rows[] = {
        { "witness", "exit 7", NULL, 7 },
        { "witness", "killed", NULL, -SIGUSR1 },
        { "broken", NULL, NULL, OS_LINUX_EXIT_NO_START },
        { "witness", NULL, "/no/such/program", OS_LINUX_EXIT_NO_PROGRAM },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct family *f = new_family();
        os_linux_set_program(f->os, rows[i].program);
        assert_int_equal(spawn(f, &(struct os_spawn){ .role = rows[i].role }), OS_OK);
        if (rows[i].question)
            os_link_send(f->link, view_of(rows[i].question), NULL);
        wait_for_exit(f);
        assert_int_equal(f->code, rows[i].code);
        end_family(f);
    }
}

static void test_killed_by_us(void **state)
{
    (void)state;
    struct family *f = new_family();
    assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness" }), OS_OK);
    ask(f, "number");
    os_child_kill(f->child);
    os_child_kill(f->child);
    wait_for_exit(f);
    assert_int_equal(f->code, -SIGKILL);
    end_family(f);
}

/* Also when the role does not look at its link. */
static void test_child_ends_with_its_link(void **state)
{
    static const char *const questions[] = { "number", "deaf" };
    (void)state;
    for (size_t i = 0; i < ROWS(questions); i++) {
        struct family *f = new_family();
        assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness" }), OS_OK);
        ask(f, questions[i]);
        os_link_send(f->link, VIEW("never read"), NULL);
        hang_up(f);
        wait_for_exit(f);
        assert_int_equal(f->code, 0);
        end_family(f);
    }
}

static void test_many_children(void **state)
{
    enum { CHILDREN = 20 };
    struct family *families[CHILDREN];
    (void)state;
    struct os *os = os_linux_new(roles, ROWS(roles));
    for (int i = 0; i < CHILDREN; i++) {
        families[i] = calloc(1, sizeof *families[i]);
        families[i]->os = os;
        assert_int_equal(spawn(families[i], &(struct os_spawn){ .role = "witness" }), OS_OK);
    }
    for (int i = 0; i < CHILDREN; i++)
        os_link_send(families[i]->link, VIEW("exit 7"), NULL);
    unsigned ended = 0;
    while (ended < CHILDREN) {
        test_run(os);
        ended = 0;
        for (int i = 0; i < CHILDREN; i++)
            ended += families[i]->exits;
    }
    for (int i = 0; i < CHILDREN; i++) {
        assert_true(families[i]->exits == 1 && families[i]->code == 7);
        os_link_close(families[i]->link);
        free(families[i]);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombies */
    os_linux_free(os);
}

/* The supervisor alone is killed: its children go with it, before somebody starts others (H142). */
static void test_orphans_die(void **state)
{
    int ends[2];
    pid_t orphan = 0;
    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    assert_int_equal(pipe(ends), 0);
    pid_t supervisor = fork();
    if (supervisor == 0) {
        struct family *f = new_family();
        spawn(f, &(struct os_spawn){ .role = "witness" });
        ask(f, "deaf");
        int keeper = dup(f->link->watch.fd); /* the link stays, in a process that stays */
        pid_t number = (pid_t)os_child_number(f->child);
        if (fork() == 0) {
            sleep(1);
            _exit(keeper == 0);
        }
        (void)!write(ends[1], &number, sizeof number);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(read(ends[0], &orphan, sizeof orphan), sizeof orphan);
    int status;
    assert_int_equal(waitpid(supervisor, &status, 0), supervisor);
    assert_int_equal(waitpid(orphan, &status, 0), orphan);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    close(ends[0]);
    close(ends[1]);
}

/* ---- sharing ---- */

/* Connections that wait at a worker's socket survive the worker: whoever else holds it takes them. */
static void test_listener_shared_by_two(void **state)
{
    enum { CLIENTS = 8 };
    struct family *f = new_family();
    struct os_listener *listener;
    struct os_stream *clients[CLIENTS], *stream;
    struct address any = test_address("127.0.0.1", 0), at;
    char buf[8];
    size_t got;
    (void)state;
    assert_int_equal(os_listen(f->os, &any, true, &listener, &at), OS_OK);
    const struct os_handle handle = { .kind = OS_HANDLE_LISTENER, .listener = listener };
    assert_int_equal(spawn(f, &(struct os_spawn){ .role = "witness" }), OS_OK);
    ask_with(f, "take", &handle);
    os_link_watch(f->link, 0, NULL, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(os_connect(f->os, &at, NULL, &clients[i]), OS_OK);
        os_stream_watch(clients[i], OS_READABLE, test_stop_on_event, f->os);
        test_run(f->os);
        assert_int_equal(os_stream_read(clients[i], buf, sizeof buf, &got), OS_OK);
        assert_memory_equal(buf, "role", 4);
        os_stream_close(clients[i]);
    }
    os_child_kill(f->child);
    wait_for_exit(f);
    assert_int_equal(os_connect(f->os, &at, NULL, &clients[0]), OS_OK);
    os_listener_watch(listener, true, test_stop_on_event, f->os);
    test_run(f->os);
    assert_int_equal(os_accept(listener, &stream), OS_OK);
    os_stream_close(stream);
    os_stream_close(clients[0]);
    os_listener_close(listener);
    end_family(f);
}

static void test_called_by_hand(void **state)
{
    static char program[] = "gonetsd", role[] = "--role", name[] = "witness";
    char *argv[] = { program, role, name, NULL };
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        close(OS_LINUX_LINK_FD);
        _exit(os_linux_role_main(roles, ROWS(roles), 3, argv));
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == OS_LINUX_EXIT_USAGE);
}

int main(int argc, char **argv)
{
    list_fds();
    if (argc > 1 && strcmp(argv[1], "--role") == 0)
        return os_linux_role_main(roles, ROWS(roles), argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_has_nothing_of_ours),
        cmocka_unit_test(test_environment_is_fixed),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_refused_users),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_killed_by_us),
        cmocka_unit_test(test_child_ends_with_its_link),
        cmocka_unit_test(test_many_children),
        cmocka_unit_test(test_orphans_die),
        cmocka_unit_test(test_listener_shared_by_two),
        cmocka_unit_test(test_called_by_hand),
        cmocka_unit_test(test_another_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "os/linux/linux.h"

#include <assert.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIDY_MS 500

/* ---- turns ---- */

static void run_tasks(struct turns *t)
{
    struct os_task *task = t->first;
    t->first = NULL;
    t->last = &t->first;
    while (task) {
        struct os_task *next = task->next; /* the task may ask again, or be freed by what it does */
        task->waiting = false;
        task->run(task->ctx);
        task = next;
    }
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* that it is active makes the loop poll without waiting */
}

static void end_turn(struct os *os)
{
    struct turns *t = &os->turns;
    if (!t->over)
        run_tasks(t);
    os_linux_log_flush(os);
    t->over = t->stopped;
    t->now_us = 0;
    if (t->first)
        uv_idle_start(&t->idle, on_idle);
    else
        uv_idle_stop(&t->idle);
}

static void on_check(uv_check_t *check)
{
    end_turn(check->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
    end_turn(prepare->data);
}

void os_later(struct os *os, struct os_task *task)
{
    if (task->waiting)
        return;
    task->waiting = true;
    task->next = NULL;
    *os->turns.last = task;
    os->turns.last = &task->next;
}

void os_stop(struct os *os, int exit_code)
{
    if (os->turns.stopped)
        return;
    os->turns.stopped = true;
    os->turns.exit_code = exit_code;
    uv_stop(&os->loop);
}

/* ---- the alarm ---- */

static void on_alarm(uv_timer_t *timer)
{
    struct turns *t = timer->data;
    if (!t->over)
        t->on_alarm(t->alarm_ctx);
}

void os_alarm(struct os *os, uint64_t deadline_us, void (*on)(void *ctx), void *ctx)
{
    struct turns *t = &os->turns;
    t->on_alarm = on;
    t->alarm_ctx = ctx;
    if (deadline_us == OS_NEVER) {
        uv_timer_stop(&t->alarm);
        return;
    }
    /* Whole milliseconds of the same clock, rounded up: never early. At least one, for libuv runs a timer that is
     * due again and again without looking at anything else. */
    uint64_t due = deadline_us / 1000 + (deadline_us % 1000 != 0), now = uv_now(&os->loop);
    uv_timer_start(&t->alarm, on_alarm, due > now ? due - now : 1, 0);
}

/* ---- memory ---- */

/* What was freed between things that stay (sessions that go idle one after another) goes back to the kernel. */
static void on_tidy(uv_timer_t *timer)
{
    (void)timer;
    malloc_trim(0);
}

void os_linux_tidy_later(struct os *os)
{
    uv_timer_t *tidy = &os->turns.tidy;
    if (!os->turns.over && !uv_is_active((uv_handle_t *)tidy))
        uv_timer_start(tidy, on_tidy, TIDY_MS, 0);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle, int number)
{
    struct turns *t = handle->data;
    if (!t->over)
        t->on_signal(t->signal_ctx, number == SIGHUP ? OS_SIGNAL_RELOAD : OS_SIGNAL_STOP);
}

void os_on_signal(struct os *os, void (*on)(void *ctx, enum os_signal signal), void *ctx)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
    os->turns.on_signal = on;
    os->turns.signal_ctx = ctx;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        uv_signal_start(&os->turns.signals[i], on_signal, numbers[i]);
}

/* ---- beginning and end ---- */

/* Whoever closed 0, 1 or 2 before starting us shall not have a mailbox in their place (H162). Returns a descriptor
 * above them, or -1. */
static int open_reserve(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static void turns_init(struct os *os)
{
    struct turns *t = &os->turns;
    t->last = &t->first;
    uv_prepare_init(&os->loop, &t->prepare);
    uv_check_init(&os->loop, &t->check);
    uv_idle_init(&os->loop, &t->idle);
    uv_timer_init(&os->loop, &t->alarm);
    uv_timer_init(&os->loop, &t->tidy);
    t->prepare.data = t->check.data = os;
    t->alarm.data = t;
    for (size_t i = 0; i < sizeof t->signals / sizeof *t->signals; i++) {
        uv_signal_init(&os->loop, &t->signals[i]);
        t->signals[i].data = t;
    }
    uv_prepare_start(&t->prepare, on_prepare);
    uv_check_start(&t->check, on_check);
}

struct os *os_linux_new(const struct os_role *roles, size_t count)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    umask(0);
    struct os *os = calloc(1, sizeof *os);
    int reserve = open_reserve();
    if (!os || reserve < 0 || !os_linux_log_init(os))
        goto failed;
    if (uv_loop_init(&os->loop) != 0)
        goto failed;
    turns_init(os);
    os_linux_listeners_init(os, reserve);
    os_linux_handed_init(os);
    os_linux_queues_init(os);
    os_linux_dns_init(os);
    uv_signal_init(&os->loop, &os->processes.ended);
    os->processes.roles = roles;
    os->processes.role_count = count;
    list_init(&os->processes.children);
    return os;
failed:
    if (os)
        free(os->log.waiting.at);
    if (reserve >= 0)
        close(reserve);
    free(os);
    return NULL;
}

int os_linux_run(struct os *os)
{
    struct turns *t = &os->turns;
    t->running = true;
    t->over = false;
    uv_run(&os->loop, UV_RUN_DEFAULT);
    t->running = t->stopped = false;
    os_linux_queues_rest(os);
    return t->exit_code;
}

static void close_handle(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (uv_is_closing(handle))
        return;
    if (os_linux_watch_is(handle))
        os_linux_watch_close((struct watch *)handle);
    else
        uv_close(handle, NULL);
}

void os_linux_free(struct os *os)
{
    os_linux_queues_free(os);
    os_linux_dns_free(os);
    os_linux_processes_free(os);
    os_linux_log_free(os);
    close(os->accepting.reserve);
    os->turns.over = true;
    uv_walk(&os->loop, close_handle, NULL);
    while (uv_run(&os->loop, UV_RUN_DEFAULT) != 0) /* an os_stop that nobody ran to see ends the first */
        ;
    int closed = uv_loop_close(&os->loop);
    assert(closed == 0);
    free(os);
}

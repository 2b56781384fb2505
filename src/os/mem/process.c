/* One process: its turns. */
#include "os/mem/process.h"

static void run_alarm(struct mem_event *event)
{
    struct os *os = list_entry(event, struct os, alarm);
    mem_trace(os->world, os, "alarm", 0, 0);
    os->on_alarm(os->alarm_ctx);
}

/* A deadline that is past comes in the next moment: time always goes on. */
void os_alarm(struct os *os, uint64_t deadline_us, void (*on)(void *ctx), void *ctx)
{
    mem_event_cancel(os->world, &os->alarm);
    if (os->cut || deadline_us == OS_NEVER)
        return;
    os->on_alarm = on;
    os->alarm_ctx = ctx;
    uint64_t at = mem_from_now_us(os, deadline_us), soon = os->world->now_us + 1;
    mem_event_set(os->world, &os->alarm, at > soon ? at : soon);
}

/* A turn only for what waits for its end. */
static void run_turn(struct mem_event *event)
{
    (void)event;
}

void mem_process_want_turn(struct os *os)
{
    if (os->world->turn != os && !mem_event_waits(&os->turn))
        mem_event_set(os->world, &os->turn, os->world->now_us);
}

void os_later(struct os *os, struct os_task *task)
{
    if (os->cut || task->waiting)
        return;
    task->waiting = true;
    task->next = NULL;
    *os->later_end = task;
    os->later_end = &task->next;
    mem_process_want_turn(os);
}

/* Tasks that come up meanwhile have a turn of their own. */
static void run_later(struct os *os)
{
    struct os_task **end = os->later_end;
    for (bool last = false; os->later && !last && !os->cut;) {
        struct os_task *task = os->later;
        last = end == &task->next;
        os->later = task->next;
        if (!os->later)
            os->later_end = &os->later;
        task->waiting = false;
        task->run(task->ctx);
    }
    if (os->later && !os->cut && !mem_event_waits(&os->turn))
        mem_event_set(os->world, &os->turn, os->world->now_us + 1);
}

void mem_process_end_turn(struct os *os)
{
    if (!os->cut && !os->paused)
        run_later(os);
    if (os->cut || (os->stopping && !os->paused))
        mem_process_end(os);
}

void os_stop(struct os *os, int exit_code)
{
    if (os->cut || os->stopping)
        return;
    os->stopping = true;
    os->code = exit_code;
    mem_process_want_turn(os);
}

/* ---- signals ---- */

static void run_signal(struct mem_event *event)
{
    struct os *os = event->os;
    enum os_signal signal = event == &os->signals[OS_SIGNAL_STOP] ? OS_SIGNAL_STOP : OS_SIGNAL_RELOAD;
    mem_trace(os->world, os, "signal", signal, 0);
    if (os->on_signal)
        os->on_signal(os->signal_ctx, signal);
    else if (signal == OS_SIGNAL_STOP)
        mem_process_kill(os);
}

void mem_process_signal(struct os *os, enum os_signal signal)
{
    if (!os->cut && !mem_event_waits(&os->signals[signal]))
        mem_event_set(os->world, &os->signals[signal], os->world->now_us);
}

void os_on_signal(struct os *os, void (*on)(void *ctx, enum os_signal signal), void *ctx)
{
    os->on_signal = on;
    os->signal_ctx = ctx;
}

void mem_process_init_events(struct os *os)
{
    os->alarm = (struct mem_event){ .os = os, .run = run_alarm };
    os->turn = (struct mem_event){ .os = os, .run = run_turn };
    os->signals[OS_SIGNAL_STOP] = os->signals[OS_SIGNAL_RELOAD] = (struct mem_event){ .os = os, .run = run_signal };
    os->later_end = &os->later;
}

/* ---- pausing ---- */

void mem_process_pause(struct os *os)
{
    os->paused = true;
}

void mem_process_resume(struct os *os)
{
    os->paused = false;
    for (struct list *link; (link = list_pop(&os->held));) {
        struct mem_event *event = list_entry(link, struct mem_event, held);
        event->held = (struct list){ NULL, NULL };
        mem_event_set(os->world, event, os->world->now_us);
    }
    mem_process_want_turn(os);
}

/* One process: its turns, and its end. */
#include "os/mem/handle.h"
#include "os/mem/queue.h"

#include <stdlib.h>

/* ---- turns ---- */

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

static void nothing(struct mem_event *event)
{
    (void)event;
}

void os_later(struct os *os, struct os_task *task)
{
    if (os->cut || task->waiting)
        return;
    task->waiting = true;
    task->next = NULL;
    *os->later_end = task;
    os->later_end = &task->next;
    if (os->world->turn != os && !mem_event_waits(&os->turn))
        mem_event_set(os->world, &os->turn, os->world->now_us);
}

/* Tasks that come up meanwhile have a turn of their own. */
static void run_later(struct os *os)
{
    struct os_task **end = os->later_end;
    while (os->later && !os->cut) {
        struct os_task *task = os->later;
        bool last = end == &task->next;
        os->later = task->next;
        if (!os->later)
            os->later_end = &os->later;
        task->waiting = false;
        task->run(task->ctx);
        if (last)
            break;
    }
    if (os->later && !mem_event_waits(&os->turn))
        mem_event_set(os->world, &os->turn, os->world->now_us + 1);
}

/* ---- beginning and end ---- */

struct os *mem_process_new(struct mem_host *host)
{
    struct os *os = mem_take(sizeof(*os));
    os->host = host;
    os->world = host->world;
    os->number = ++host->world->process_count;
    os->alarm = (struct mem_event){ .os = os, .run = run_alarm };
    os->turn = (struct mem_event){ .os = os, .run = nothing };
    os->later_end = &os->later;
    mem_random_seed(&os->random, mem_random_next(&host->world->random));
    list_init(&os->handles);
    list_init(&os->queues);
    list_init(&os->held);
    list_append(&host->processes, &os->in_host);
    mem_trace(os->world, os, "process begins", 0, 0);
    return os;
}

void mem_process_set_user(struct os *os, uint32_t user, uint32_t group)
{
    os->user = user;
    os->group = group;
}

bool os_is_root(struct os *os)
{
    return os->user == 0;
}

static void cut(struct os *os)
{
    os->cut = true;
    list_each(link, &os->handles)
    {
        struct handle *handle = list_entry(link, struct handle, in_process);
        handle->type->cut(handle);
    }
    mem_queues_cut(os);
    mem_event_cancel(os->world, &os->alarm);
    mem_event_cancel(os->world, &os->turn);
}

static void free_process(struct os *os)
{
    list_each_safe(link, &os->handles) mem_handle_free(list_entry(link, struct handle, in_process));
    mem_queues_free(os);
    list_remove(&os->in_host);
    free(os);
}

void mem_process_kill(struct os *os)
{
    if (!os->cut)
        mem_trace(os->world, os, "killed", 0, 0);
    cut(os);
    os->ending = true;
    if (os->world->turn != os)
        free_process(os);
}

void mem_process_end_turn(struct os *os)
{
    if (!os->cut && !os->paused)
        run_later(os);
    if (os->ending)
        free_process(os);
}

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
}

size_t mem_process_open_handles(const struct os *os)
{
    size_t count = 0;
    list_each(link, &os->handles) count++;
    return count;
}

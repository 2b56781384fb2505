/* Requests to the disk: each step of each operation at a time of its own, so that a crash can fall between any two. */
#include "os/mem/queue.h"
#include "os/mem/file.h"

#include <assert.h>
#include <stdlib.h>

struct os_queue {
    struct os *os;
    struct list in_process;
    struct mem_event event;
    struct os_request *first, **end;
    size_t at;     /* operation of the first request */
    unsigned step; /* of that operation */
    bool freed;    /* goes when it is empty */
};

/* Plans the next step of the first request, or its done. */
static void plan(struct os_queue *queue)
{
    struct os *os = queue->os;
    const struct os_request *request = queue->first;
    uint64_t delay = 1;
    if (!request)
        return;
    if (queue->at < request->count) {
        bool sync = mem_op_is_sync(&request->ops[queue->at], queue->step);
        delay = mem_random_between(&os->world->random, 1, sync ? os->host->sync_us_max : os->host->op_us_max);
    }
    mem_event_set(os->world, &queue->event, os->world->now_us + delay);
}

static void free_queue(struct os_queue *queue)
{
    mem_event_cancel(queue->os->world, &queue->event);
    list_remove(&queue->in_process);
    free(queue);
}

static void finish(struct os_queue *queue)
{
    struct os_request *request = queue->first;
    queue->first = request->next;
    if (!queue->first)
        queue->end = &queue->first;
    queue->at = queue->step = 0;
    plan(queue);
    if (queue->freed && !queue->first)
        free_queue(queue);
    request->done(request->ctx);
}

static void run_step(struct mem_event *event)
{
    struct os_queue *queue = list_entry(event, struct os_queue, event);
    if (queue->at == queue->first->count) {
        finish(queue);
        return;
    }
    if (mem_op_step(queue->os, &queue->first->ops[queue->at], queue->step)) {
        queue->at++;
        queue->step = 0;
    } else {
        queue->step++;
    }
    plan(queue);
}

struct os_queue *os_queue_new(struct os *os)
{
    struct os_queue *queue = mem_take(sizeof(*queue));
    queue->os = os;
    queue->event.os = os;
    queue->event.run = run_step;
    queue->end = &queue->first;
    list_append(&os->queues, &queue->in_process);
    return queue;
}

void os_queue_free(struct os_queue *queue)
{
    queue->freed = true;
    if (!queue->first)
        free_queue(queue);
}

void os_submit(struct os_queue *queue, struct os_request *request)
{
    assert(!queue->freed);
    if (queue->os->cut)
        return;
    request->next = NULL;
    bool idle = !queue->first;
    *queue->end = request;
    queue->end = &request->next;
    if (idle)
        plan(queue);
}

void mem_queues_rest(struct os *os)
{
    list_each(link, &os->queues)
    {
        struct os_queue *queue = list_entry(link, struct os_queue, in_process);
        for (; queue->first; queue->first = queue->first->next, queue->at = queue->step = 0)
            for (; queue->at < queue->first->count; queue->at++, queue->step = 0)
                while (!mem_op_step(os, &queue->first->ops[queue->at], queue->step))
                    queue->step++;
        queue->end = &queue->first;
    }
}

void mem_queues_cut(struct os *os)
{
    list_each(link, &os->queues)
    {
        struct os_queue *queue = list_entry(link, struct os_queue, in_process);
        mem_event_cancel(os->world, &queue->event);
        queue->first = NULL;
        queue->end = &queue->first;
    }
}

void mem_queues_free(struct os *os)
{
    list_each_safe(link, &os->queues) free_queue(list_entry(link, struct os_queue, in_process));
}

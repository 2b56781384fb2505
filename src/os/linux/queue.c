/* Queues of file requests: each has a thread, which takes one request after another and hands them back to the loop,
 * where one wake-up brings all that are done by then. */
#include "os/linux/linux.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#define STACK_SIZE (128 * 1024)

struct os_queue {
    struct os *os;
    struct list link;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, rest;
    struct os_request *first, **last;
    bool busy, closing;
    struct os_request farewell; /* the last one; when it comes back the thread has nothing more to do */
};

/* ---- the thread ---- */

/* The newest in front, so that nothing is written into an earlier one: after the end of the loop its owner may have
 * freed it. */
static void hand_back(struct os *os, struct os_request *request)
{
    struct completions *c = &os->completions;
    pthread_mutex_lock(&c->lock);
    bool first = !c->newest;
    request->next = c->newest;
    c->newest = request;
    pthread_mutex_unlock(&c->lock);
    if (first)
        uv_async_send(&c->wake);
}

/* Waits for the next request; NULL: there will be none. */
static struct os_request *next_request(struct os_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->busy = false;
    if (!q->first)
        pthread_cond_signal(&q->rest);
    while (!q->first && !q->closing)
        pthread_cond_wait(&q->work, &q->lock);
    struct os_request *request = q->first;
    if (request) {
        q->busy = true;
        q->first = request->next;
        if (!q->first)
            q->last = &q->first;
    }
    pthread_mutex_unlock(&q->lock);
    return request;
}

static void *serve(void *arg)
{
    struct os_queue *q = arg;
    for (struct os_request *request; (request = next_request(q));) {
        os_run_ops(q->os, request->ops, request->count);
        hand_back(q->os, request);
    }
    return NULL;
}

/* Signals belong to the thread of the loop. */
static bool start_thread(struct os_queue *q)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_attr_setstacksize(&attributes, STACK_SIZE) == 0 &&
                   pthread_create(&q->thread, &attributes, serve, q) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

/* ---- the loop ---- */

static struct os_request *oldest_first(struct os_request *newest)
{
    struct os_request *oldest = NULL;
    while (newest) {
        struct os_request *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void on_wake(uv_async_t *wake)
{
    struct os *os = wake->data;
    struct completions *c = &os->completions;
    if (os->turns.over)
        return; /* they wait for another run */
    pthread_mutex_lock(&c->lock);
    struct os_request *newest = c->newest;
    c->newest = NULL;
    pthread_mutex_unlock(&c->lock);
    os_linux_tidy_later(os);
    for (struct os_request *request = oldest_first(newest); request;) {
        struct os_request *next = request->next; /* done() may free it or submit it again */
        request->done(request->ctx);
        request = next;
    }
}

void os_linux_queues_init(struct os *os)
{
    struct completions *c = &os->completions;
    uv_async_init(&os->loop, &c->wake, on_wake);
    c->wake.data = os;
    pthread_mutex_init(&c->lock, NULL);
    list_init(&c->queues);
}

static void destroy(struct os_queue *q)
{
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->rest);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static void on_farewell(void *ctx)
{
    struct os_queue *q = ctx;
    pthread_join(q->thread, NULL);
    list_remove(&q->link);
    destroy(q);
}

struct os_queue *os_queue_new(struct os *os)
{
    struct os_queue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->os = os;
    q->last = &q->first;
    q->farewell = (struct os_request){ .done = on_farewell, .ctx = q };
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->work, NULL);
    pthread_cond_init(&q->rest, NULL);
    if (!start_thread(q)) {
        destroy(q);
        return NULL;
    }
    list_append(&os->completions.queues, &q->link);
    return q;
}

static void append(struct os_queue *q, struct os_request *request, bool closing)
{
    request->next = NULL;
    pthread_mutex_lock(&q->lock);
    assert(!q->closing);
    q->closing = closing;
    *q->last = request;
    q->last = &request->next;
    pthread_mutex_unlock(&q->lock);
    pthread_cond_signal(&q->work); /* outside, so that the thread does not wake to find the lock taken */
}

void os_submit(struct os_queue *q, struct os_request *request)
{
    append(q, request, false);
}

void os_queue_free(struct os_queue *q)
{
    append(q, &q->farewell, true);
}

void os_linux_queues_rest(struct os *os)
{
    list_each(link, &os->completions.queues)
    {
        struct os_queue *q = list_entry(link, struct os_queue, link);
        pthread_mutex_lock(&q->lock);
        while (q->first || q->busy)
            pthread_cond_wait(&q->rest, &q->lock);
        pthread_mutex_unlock(&q->lock);
    }
}

void os_linux_queues_free(struct os *os)
{
    list_each(link, &os->completions.queues)
    {
        struct os_queue *q = list_entry(link, struct os_queue, link);
        pthread_mutex_lock(&q->lock);
        q->closing = true;
        pthread_cond_signal(&q->work);
        pthread_mutex_unlock(&q->lock);
        pthread_join(q->thread, NULL);
    }
    for (struct list *link; (link = list_pop(&os->completions.queues));)
        destroy(list_entry(link, struct os_queue, link));
    pthread_mutex_destroy(&os->completions.lock);
}

#define _GNU_SOURCE
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/linux/test_loop.h"

/* A disk that does not answer until it may. */
static sem_t disk;
static bool disk_hangs;

int fdatasync(int fd)
{
    if (disk_hangs)
        sem_wait(&disk);
    return (int)syscall(SYS_fdatasync, fd);
}

struct place {
    struct os *os;
    struct os_file *file;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    p->os = os_linux_new(NULL, 0);
    p->file = os_linux_file_new(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    sem_init(&disk, 0, 0);
    disk_hangs = false;
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    os_linux_free(p->os);
    os_file_close(p->file);
    free(p);
    return 0;
}

struct job {
    struct os *os;
    struct os_op op;
    struct os_request request;
    struct os_slice slice;
    unsigned number, *next, done;
    bool last, in_submit;
};

static void on_done(void *ctx)
{
    struct job *job = ctx;
    assert_false(job->in_submit);
    assert_int_equal(job->done, 0);
    assert_int_equal(job->op.status, OS_OK);
    assert_int_equal((*job->next)++, job->number);
    job->done++;
    if (job->last)
        os_stop(job->os, 0);
}

static void submit(struct os_queue *queue, struct job *job)
{
    job->request = (struct os_request){ &job->op, 1, on_done, job, NULL };
    job->in_submit = true;
    os_submit(queue, &job->request);
    job->in_submit = false;
}

static void make_jobs(struct place *p, struct job *jobs, unsigned count, unsigned *next)
{
    for (unsigned i = 0; i < count; i++) {
        jobs[i] = (struct job){ .os = p->os, .number = i, .next = next, .last = i == count - 1 };
        jobs[i].slice = (struct os_slice){ &jobs[i].number, sizeof jobs[i].number };
        jobs[i].op = (struct os_op){
            .kind = i % 100 ? OS_WRITE : OS_COMMIT, .file = &p->file, .slices = &jobs[i].slice, .slice_count = 1
        };
    }
}

static void test_in_order_and_once(void **state)
{
    enum { JOBS = 5000 };
    static struct job jobs[JOBS];
    struct place *p = *state;
    unsigned next = 0, last;
    struct os_queue *queue = os_queue_new(p->os);
    make_jobs(p, jobs, JOBS, &next);
    for (unsigned i = 0; i < JOBS; i++)
        submit(queue, &jobs[i]);
    test_run(p->os);
    assert_int_equal(next, JOBS);
    assert_int_equal(pread(p->file->fd, &last, sizeof last, 0), sizeof last);
    assert_int_equal(last, JOBS - 1); /* they were also carried out in order */
    os_queue_free(queue);
}

/* Each done() submits the next. */
struct chain {
    struct os *os;
    struct os_queue *queue;
    struct os_request request;
    struct os_op op;
    unsigned rounds;
};

static void on_link_of_chain(void *ctx)
{
    struct chain *c = ctx;
    if (--c->rounds)
        os_submit(c->queue, &c->request);
    else
        os_stop(c->os, 0);
}

static void test_submit_from_done(void **state)
{
    struct place *p = *state;
    struct chain c = { .os = p->os, .queue = os_queue_new(p->os), .rounds = 2000 };
    struct os_stat st;
    c.op = (struct os_op){ .kind = OS_STAT, .file = &p->file, .stat = &st };
    c.request = (struct os_request){ &c.op, 1, on_link_of_chain, &c, NULL };
    os_submit(c.queue, &c.request);
    test_run(p->os);
    assert_int_equal(c.rounds, 0);
    os_queue_free(c.queue);
}

static void let_disk_go(void *ctx)
{
    struct job *job = ctx;
    on_done(job);
    sem_post(&disk);
}

/* The slow one comes back only because all the others have: else the test would hang. */
static void test_a_slow_queue_holds_nobody_else(void **state)
{
    enum { QUICK = 10 };
    struct place *p = *state;
    struct job slow, quick[QUICK];
    unsigned next_slow = 0, next_quick = 0;
    struct os_queue *a = os_queue_new(p->os), *b = os_queue_new(p->os);
    disk_hangs = true;
    make_jobs(p, &slow, 1, &next_slow);
    make_jobs(p, quick, QUICK, &next_quick);
    quick[0].op.kind = OS_WRITE;
    submit(a, &slow);
    for (int i = 0; i < QUICK; i++) {
        quick[i].last = false;
        submit(b, &quick[i]);
    }
    quick[QUICK - 1].request.done = let_disk_go;
    test_run(p->os);
    assert_int_equal(next_quick, QUICK);
    assert_int_equal(next_slow, 1);
    os_queue_free(a);
    os_queue_free(b);
}

static void test_free_lets_work_finish(void **state)
{
    enum { JOBS = 100 };
    static struct job jobs[JOBS];
    struct place *p = *state;
    unsigned next = 0;
    struct os_queue *queue = os_queue_new(p->os);
    make_jobs(p, jobs, JOBS, &next);
    for (int i = 0; i < JOBS; i++)
        submit(queue, &jobs[i]);
    os_queue_free(queue);
    test_run(p->os);
    assert_int_equal(next, JOBS);
    test_run_for(p->os, 20000);
    assert_true(list_empty(&p->os->completions.queues)); /* and so has the queue */
}

/* When the loop has ended nothing runs behind our back, and what was not told yet is told by the next run. */
static void test_end_of_run(void **state)
{
    enum { JOBS = 100 };
    static struct job jobs[JOBS];
    struct place *p = *state;
    unsigned next = 0, last;
    struct os_queue *queue = os_queue_new(p->os);
    make_jobs(p, jobs, JOBS, &next);
    for (int i = 0; i < JOBS; i++)
        submit(queue, &jobs[i]);
    os_stop(p->os, 0);
    assert_int_equal(os_linux_run(p->os), 0);
    assert_int_equal(pread(p->file->fd, &last, sizeof last, 0), sizeof last);
    assert_int_equal(last, JOBS - 1);
    assert_int_equal(next, 0);
    test_run(p->os);
    assert_int_equal(next, JOBS);
}

/* At the end of a process its role frees what it submitted, told or not, and its queues. */
static void test_requests_freed_after_the_end(void **state)
{
    enum { JOBS = 100 };
    struct place *p = *state;
    struct job *jobs = calloc(JOBS, sizeof *jobs);
    unsigned next = 0;
    struct os_queue *queue = os_queue_new(p->os), *other = os_queue_new(p->os);
    make_jobs(p, jobs, JOBS, &next);
    for (int i = 0; i < JOBS; i++)
        submit(i % 2 ? queue : other, &jobs[i]);
    os_stop(p->os, 0);
    assert_int_equal(os_linux_run(p->os), 0);
    free(jobs);
    os_queue_free(queue);
    os_queue_free(other);
}

int main(void)
{
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_PLACE(test_in_order_and_once),
        WITH_PLACE(test_submit_from_done),
        WITH_PLACE(test_a_slow_queue_holds_nobody_else),
        WITH_PLACE(test_free_lets_work_finish),
        WITH_PLACE(test_end_of_run),
        WITH_PLACE(test_requests_freed_after_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdlib.h>

#include "spool/store_inner.h"

struct job *job_new(struct spool_store *store, void (*done)(struct job *job, bool ok))
{
    struct job *job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->store = store;
    job->done = done;
    return job;
}

struct os_op *job_op(struct job *job, enum os_op_kind kind)
{
    struct os_op *op = &job->ops[job->count];
    *op = (struct os_op){ .kind = kind, .file = &job->file, .after = job->count ? op - 1 : NULL };
    job->count++;
    return op;
}

enum os_status job_status(const struct job *job)
{
    for (size_t i = 0; i < job->count; i++)
        if (job->ops[i].status != OS_OK)
            return job->ops[i].status;
    return OS_OK;
}

static void finished(void *ctx)
{
    struct job *job = ctx;
    struct spool_store *store = job->store;
    store->jobs--;
    if (!store->closing)
        job->done(job, job_status(job) == OS_OK);
    if (job->file)
        os_file_close(job->file);
    free(job->memory);
    free(job->extra);
    free(job);
    store_end_if_quiet(store);
}

void job_submit(struct job *job, struct os_queue *queue)
{
    job->request = (struct os_request){ .ops = job->ops, .count = job->count, .done = finished, .ctx = job };
    job->store->jobs++;
    os_submit(queue, &job->request);
}

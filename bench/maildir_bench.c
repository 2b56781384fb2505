/* How fast messages go from the spool into one Maildir, both barriers included, without the processes around it.
 *   maildir_bench DIR [MESSAGES [SIZE [AT_A_TIME]]]
 * DIR must be empty; in it a segment and a Maildir are made. */
#include "deliver/deliver.h"
#include "deliver/stored_test.h"
#include "os/linux/os_linux.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct bench {
    struct os *os;
    struct os_file *segment;
    struct stored *stored;
    struct deliver *deliver;
    const char *dir;
    unsigned messages, at_a_time, started, done;
    double begin_s;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void start_one(struct bench *bench)
{
    struct deliver_job *job = calloc(1, sizeof *job);
    const struct stored *stored = &bench->stored[bench->started++];
    *job = (struct deliver_job){ .id = stored->id, .place = stored->place, .content = bench->segment };
    job->owner = DELIVER_ANY_USER;
    job->base = bench->dir;
    job->rest = "Maildir";
    deliver_add(bench->deliver, job);
}

static void say(const struct bench *bench)
{
    struct rusage usage;
    double s = now_s() - bench->begin_s;
    getrusage(RUSAGE_SELF, &usage);
    double user = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
    double kernel = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
    printf("%u messages in %.2f s: %.0f/s, CPU %.0f us each (user %.0f, kernel %.0f)\n", bench->messages, s,
           bench->messages / s, (user + kernel) / bench->messages * 1e6, user / bench->messages * 1e6,
           kernel / bench->messages * 1e6);
}

static void on_done(void *ctx, struct deliver_job *job)
{
    struct bench *bench = ctx;
    if (job->result.outcome != IPC_DELIVERED) {
        printf("%.*s\n", VIEW_FORMAT(deliver_result_text(&job->result)));
        exit(1);
    }
    free(job);
    if (bench->started < bench->messages)
        start_one(bench);
    if (++bench->done < bench->messages)
        return;
    say(bench);
    os_stop(bench->os, 0);
}

static void on_alarm(void *ctx, struct view text)
{
    (void)ctx;
    printf("%.*s\n", VIEW_FORMAT(text));
}

static void prepare(struct bench *bench, unsigned size)
{
    enum os_status status;
    struct buffer content;
    uint64_t end = 0;
    char *memory = malloc(size + 128);
    struct os_dir *dir = os_dir_path(bench->os, bench->dir, &status);
    struct os_op open = { .kind = OS_OPEN, .dir = dir, .name = "segment", .file = &bench->segment, .mode = 0600 };
    open.flags = OS_FOR_READ | OS_FOR_WRITE | OS_CREATE | OS_TRUNCATED;
    os_run_ops(bench->os, &open, 1);
    if (!bench->segment) {
        printf("cannot open %s/segment: %s\n", bench->dir, os_status_text(dir ? open.status : status));
        exit(1);
    }
    os_dir_close(dir);
    buffer_init(&content, memory, size + 128);
    buffer_add_text(&content, "Subject: bench\r\nMIME-Version: 1.0\r\n\r\n");
    while (content.len < size)
        buffer_add_text(&content, "0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVW\r\n");
    for (unsigned n = 0; n < bench->messages; n++)
        bench->stored[n] = stored_put(bench->os, bench->segment, &end, VIEW("sender@example.org"),
                                      VIEW("Received: from client by mx; now\r\n"), buffer_view(&content), STORED_BODY);
    struct os_op sync = { .kind = OS_SYNC, .file = &bench->segment };
    os_run_ops(bench->os, &sync, 1);
    free(memory);
}

static unsigned number(int argc, char **argv, int n, unsigned otherwise)
{
    return argc > n ? (unsigned)strtoul(argv[n], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct bench bench = { .os = os_linux_new(NULL, 0), .dir = argc > 1 ? argv[1] : NULL };
    if (!bench.dir || !bench.os)
        return 64;
    bench.messages = number(argc, argv, 2, 20000);
    bench.at_a_time = number(argc, argv, 4, 512);
    bench.stored = calloc(bench.messages, sizeof *bench.stored);
    prepare(&bench, number(argc, argv, 3, 4096));
    bench.deliver = deliver_new(bench.os, &(struct deliver_owner){ &bench, on_done, on_alarm },
                                &(struct deliver_settings){ VIEW("mx.example.org"), NULL, 0600 });
    bench.begin_s = now_s();
    while (bench.started < bench.messages && bench.started < bench.at_a_time)
        start_one(&bench);
    return os_linux_run(bench.os);
}

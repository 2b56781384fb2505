/* How much role smtp takes for each message that it relays: this program is its supervisor and its queue.
 *   relay_bench DIR PORT [MESSAGES [SIZE [AT_A_TIME]]]
 * A segment is made in DIR; whoever listens on 127.0.0.1:PORT gets the messages. */
#include "deliver/stored_test.h"
#include "gonetsd/role.h"
#include "gonetsd/roles.h"
#include "os/linux/os_linux.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define STORED 1000 /* messages in the segment; they are sent in turns */

struct bench {
    struct os *os;
    struct os_file *segment;
    struct stored stored[STORED];
    struct ipc supervisor, qmgr;
    struct os_child *child;
    struct os_task flush;
    const char *dir, *port;
    unsigned messages, at_a_time, started, done;
    double begin_s, end_s;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void say(const struct bench *bench)
{
    struct rusage usage;
    double s = bench->end_s - bench->begin_s;
    getrusage(RUSAGE_CHILDREN, &usage);
    double user = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
    double kernel = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
    printf("%u messages in %.2f s: %.0f/s, CPU of smtp %.1f us each (user %.1f, kernel %.1f)\n", bench->messages, s,
           bench->messages / s, (user + kernel) / bench->messages * 1e6, user / bench->messages * 1e6,
           kernel / bench->messages * 1e6);
}

static void on_nothing(void *ctx)
{
    (void)ctx;
}

static void send_type(struct ipc *ipc, enum ipc_type type)
{
    char memory[1];
    struct buffer frame = BUFFER_OF(memory);
    ipc_type_pack(&frame, type);
    ipc_send(ipc, buffer_view(&frame));
}

/* ---- the queue ---- */

static void start_one(struct bench *bench)
{
    char memory[512], list[64];
    struct buffer frame = BUFFER_OF(memory), recipients = BUFFER_OF(list);
    const struct stored *stored = &bench->stored[bench->started % STORED];
    ipc_recipient_add(&recipients, bench->started++, VIEW("someone@example.org"));
    ipc_relay_job_pack(&frame, &(struct ipc_relay_job){ stored->id, 1, stored->place.offset, stored->place.content_size,
                                                        stored->place.head_size, VIEW("hub"), VIEW("example.org"),
                                                        buffer_view(&recipients) });
    ipc_add(&bench->qmgr, buffer_view(&frame));
}

static void take_result(struct bench *bench, struct unpack *body)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    struct ipc_result m;
    if (!ipc_result_unpack(body, &m) || m.outcome != IPC_DELIVERED) {
        printf("%.*s: %.*s\n", VIEW_FORMAT(m.remote), VIEW_FORMAT(m.text));
        exit(1);
    }
    ipc_kept_pack(&frame, &(struct ipc_kept){ m.id, m.recipient });
    ipc_add(&bench->qmgr, buffer_view(&frame));
    if (bench->started < bench->messages)
        start_one(bench);
    os_later(bench->os, &bench->flush);
    if (++bench->done < bench->messages)
        return;
    bench->end_s = now_s();
    send_type(&bench->supervisor, IPC_STOP);
}

static void flush(void *ctx)
{
    struct bench *bench = ctx;
    ipc_flush(&bench->qmgr);
}

static void on_qmgr_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    (void)handle;
    if (type == IPC_RESULT)
        take_result(ctx, body);
}

static void link_qmgr(struct bench *bench)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    struct os_link *ours, *theirs;
    os_link_pair(bench->os, &ours, &theirs);
    ipc_open(&bench->qmgr, bench->os, ours, &(struct ipc_owner){ bench, on_qmgr_frame, NULL, on_nothing });
    role_say_hello(&bench->qmgr, IPC_QMGR, 0);
    ipc_handle_pack(&frame, &(struct ipc_handle){ .what = IPC_A_LINK, .role = IPC_QMGR });
    const struct os_handle link = { .kind = OS_HANDLE_LINK, .link = theirs };
    ipc_send_handle(&bench->supervisor, buffer_view(&frame), &link);
    os_link_close(theirs);
    buffer_clear(&frame);
    const struct os_handle file = { .kind = OS_HANDLE_FILE, .file = bench->segment };
    ipc_segment_pack(&frame, IPC_CONTENT, &(struct ipc_segment){ .number = 1 });
    ipc_send_handle(&bench->qmgr, buffer_view(&frame), &file);
}

/* ---- the supervisor ---- */

static void on_supervisor_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct bench *bench = ctx;
    (void)body, (void)handle;
    if (type != IPC_READY)
        return;
    bench->begin_s = now_s();
    while (bench->started < bench->messages && bench->started < bench->at_a_time)
        start_one(bench);
    ipc_flush(&bench->qmgr);
}

static void on_exit_of(void *ctx, int code)
{
    struct bench *bench = ctx;
    say(bench);
    os_stop(bench->os, code != 0 || bench->done < bench->messages);
}

static void start_smtp(struct bench *bench)
{
    char memory[1024], text[512];
    struct buffer frame = BUFFER_OF(memory), config = BUFFER_OF(text);
    struct os_link *link;
    const struct os_spawn what = { .role = "smtp" };
    if (os_spawn(bench->os, &what, &link, &bench->child, on_exit_of, bench) != OS_OK)
        exit(1);
    ipc_open(&bench->supervisor, bench->os, link, &(struct ipc_owner){ bench, on_supervisor_frame, NULL, on_nothing });
    role_say_hello(&bench->supervisor, IPC_SUPERVISOR, 0);
    buffer_addf(&config,
                "hostname bench.example.org\nspool /nowhere\nlisten 127.0.0.1:25\n"
                "action hub relay via 127.0.0.1:%s\nmatch from local for any action hub\n",
                bench->port);
    ipc_config_pack(&frame, &(struct ipc_config){ .last = true, .generation = 1, .text = buffer_view(&config) });
    ipc_send(&bench->supervisor, buffer_view(&frame));
    link_qmgr(bench);
    send_type(&bench->supervisor, IPC_START);
}

/* ---- all ---- */

static void prepare(struct bench *bench, unsigned size)
{
    enum os_status status;
    struct buffer content;
    uint64_t end = 0;
    char *memory = malloc(size + 128);
    struct os_dir *dir = os_dir_path(bench->os, bench->dir, &status);
    struct os_op open = { .kind = OS_OPEN, .dir = dir, .name = "segment", .file = &bench->segment, .mode = 0600 };
    open.flags = OS_FOR_READ | OS_FOR_WRITE | OS_CREATE | OS_TRUNCATED;
    if (dir)
        os_run_ops(bench->os, &open, 1);
    if (!bench->segment || !memory) {
        printf("cannot open %s/segment: %s\n", bench->dir, os_status_text(dir ? open.status : status));
        exit(1);
    }
    os_dir_close(dir);
    buffer_init(&content, memory, size + 128);
    buffer_add_text(&content, "Subject: bench\r\nMIME-Version: 1.0\r\n\r\n");
    while (content.len < size)
        buffer_add_text(&content, "0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVW\r\n");
    for (unsigned n = 0; n < STORED; n++)
        bench->stored[n] = stored_put(bench->os, bench->segment, &end, VIEW("sender@example.org"),
                                      VIEW("Received: from client by mx; now\r\n"), buffer_view(&content), STORED_BODY);
    free(memory);
}

static unsigned number(int argc, char **argv, int n, unsigned otherwise)
{
    return argc > n ? (unsigned)strtoul(argv[n], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static const struct os_role roles[] = { { "smtp", smtp_start, smtp_stop } };
    static struct bench bench;
    if (argc >= 2 && strcmp(argv[1], "--role") == 0)
        return os_linux_role_main(roles, 1, argc, argv);
    bench.os = argc > 2 ? os_linux_new(roles, 1) : NULL;
    if (!bench.os)
        return 64;
    bench.flush = (struct os_task){ flush, &bench, NULL, false };
    bench.dir = argv[1];
    bench.port = argv[2];
    bench.messages = number(argc, argv, 3, 20000);
    bench.at_a_time = number(argc, argv, 5, 20);
    prepare(&bench, number(argc, argv, 4, 4096));
    start_smtp(&bench);
    return os_linux_run(bench.os);
}

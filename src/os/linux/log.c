/* The log: one line, one write to standard error. What does not go at once waits in a buffer of fixed size; what that
 * does not hold is counted, and said as soon as there is room (H94).
 *
 * Standard error of a service is the socket of journald or a pipe, and its open file is shared with whoever started
 * us: its mode is not ours to change. So a pipe or terminal is opened anew without waiting, in the place of the old. */
#include "os/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_WAITING_MAX (64 * 1024)
#define LOG_LINE_MAX    PIPE_BUF /* with its end: the most that several processes can write without mixing */

static void reopen(void)
{
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    if (flags < 0 || flags & O_NONBLOCK)
        return; /* none, or opened by our supervisor */
    int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
        dup2(fd, STDERR_FILENO);
        close(fd);
    } else {
        fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
    }
}

bool os_linux_log_init(struct os *os)
{
    struct log *log = &os->log;
    struct stat st;
    char *memory = malloc(LOG_WAITING_MAX);
    if (!memory)
        return false;
    buffer_init(&log->waiting, memory, LOG_WAITING_MAX);
    if (fstat(STDERR_FILENO, &st) != 0)
        return true;
    log->is_socket = S_ISSOCK(st.st_mode);
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
        reopen();
    return true;
}

static void on_room(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    os_linux_log_flush(poll->data);
}

/* Created when the log was first full, which is seldom. */
static void watch(struct os *os, bool wanted)
{
    struct log *log = &os->log;
    if (!log->poll && wanted) {
        log->poll = calloc(1, sizeof *log->poll);
        if (log->poll && uv_poll_init(&os->loop, log->poll, STDERR_FILENO) != 0) {
            free(log->poll);
            log->poll = NULL;
        }
    }
    if (!log->poll || log->watching == wanted)
        return;
    log->watching = wanted;
    log->poll->data = os;
    if (wanted)
        uv_poll_start(log->poll, UV_WRITABLE, on_room);
    else
        uv_poll_stop(log->poll);
}

/* Writes what the log takes; nobody is told of an error, since the place to tell it is this one. */
static void flush(struct log *log)
{
    while (log->waiting.len > 0) {
        size_t len = log->waiting.len;
        if (len > LOG_LINE_MAX) /* whole lines */
            len = view_find_last((struct view){ log->waiting.at, LOG_LINE_MAX }, '\n') + 1;
        if (len > LOG_LINE_MAX)
            len = LOG_LINE_MAX;
        ssize_t n = log->is_socket ? send(STDERR_FILENO, log->waiting.at, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                                   : write(STDERR_FILENO, log->waiting.at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        buffer_remove(&log->waiting, n < 0 ? log->waiting.len : (size_t)n);
    }
}

/* Nothing that a line holds can end it or begin another. */
static void add_line(struct log *log, struct view line)
{
    size_t len = line.len < LOG_LINE_MAX - 1 ? line.len : LOG_LINE_MAX - 1;
    if (len + 1 > buffer_room(&log->waiting)) {
        log->dropped++;
        return;
    }
    char *at = log->waiting.at + log->waiting.len;
    for (size_t i = 0; i < len; i++)
        at[i] = (unsigned char)line.at[i] < ' ' || line.at[i] == 127 ? '?' : line.at[i];
    at[len] = '\n';
    log->waiting.len += len + 1;
}

static void say_dropped(struct log *log)
{
    char memory[64];
    struct buffer text = BUFFER_OF(memory);
    uint64_t count = log->dropped;
    buffer_addf(&text, "log: %llu lines dropped", (unsigned long long)count);
    add_line(log, buffer_view(&text));
    if (log->dropped == count)
        log->dropped = 0;
    else
        log->dropped = count; /* no room for this one either; it does not count itself */
}

void os_linux_log_flush(struct os *os)
{
    struct log *log = &os->log;
    if (log->waiting.len == 0)
        return;
    flush(log);
    if (log->dropped)
        say_dropped(log);
    watch(os, log->waiting.len > 0);
}

/* While the loop runs the lines of a turn go out together: one call for many. */
void os_log(struct os *os, struct view line)
{
    struct log *log = &os->log;
    if (buffer_room(&log->waiting) < LOG_LINE_MAX)
        os_linux_log_flush(os);
    if (log->dropped)
        log->dropped++;
    else
        add_line(log, line);
    if (!os->turns.running)
        os_linux_log_flush(os);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void os_linux_log_free(struct os *os)
{
    os_linux_log_flush(os);
    if (os->log.poll)
        uv_close((uv_handle_t *)os->log.poll, on_closed);
    free(os->log.waiting.at);
}

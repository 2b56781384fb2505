/* For LD_PRELOAD, in tests only: a disk whose syncs are slow, or fail once. All processes of a server share the state,
 * which is a file beside this library (its path with .state in place of .so), so that a test can change and read it
 * meanwhile. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { DATASYNC = 1, SYNC = 2, SYNCFS = 4 };

/* The layout is known to test/slow_sync.py too. */
struct state {
    _Atomic uint32_t calls;    /* DATASYNC | SYNC | SYNCFS: the ones that everything here is about */
    _Atomic uint32_t delay_us; /* before each */
    _Atomic int32_t fail_in;   /* the n-th from now on fails; below 1: none; below -1 << 30: all */
    _Atomic uint32_t failed;   /* so many did */
    _Atomic uint32_t count;    /* of all that were begun */
    char role[20];             /* only in processes of this role; empty: in all */
    char path[256];            /* what the last failed one was for */
};

static struct state *state;
static char role[20];

static void find_role(void)
{
    char line[256];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    close(fd);
    snprintf(role, sizeof role, "super");
    for (ssize_t i = 0; i + 7 < len; i++)
        if (memcmp(line + i, "--role", 7) == 0) {
            line[len] = 0;
            snprintf(role, sizeof role, "%.19s", line + i + 7);
        }
}

__attribute__((constructor)) static void open_state(void)
{
    char path[4096];
    Dl_info library;
    if (!dladdr(&state, &library))
        return;
    snprintf(path, sizeof path, "%.*s.state", (int)strlen(library.dli_fname) - 3, library.dli_fname);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return;
    state = at;
    find_role();
}

static void wait_us(uint32_t us)
{
    struct timespec rest = { us / 1000000, (long)(us % 1000000) * 1000 };
    while (nanosleep(&rest, &rest) != 0)
        ;
}

static int fail(int fd)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(name, state->path, sizeof state->path - 1);
    state->path[len < 0 ? 0 : len] = 0;
    atomic_fetch_add(&state->failed, 1);
    errno = EIO;
    return -1;
}

/* A failed sync syncs nothing. */
static int sync_by(uint32_t kind, long number, int fd)
{
    if (state && state->calls & kind && (!state->role[0] || strcmp(state->role, role) == 0)) {
        atomic_fetch_add(&state->count, 1);
        if (state->delay_us)
            wait_us(state->delay_us);
        int32_t left = atomic_fetch_sub(&state->fail_in, 1);
        if (left == 1 || left < -(1 << 30))
            return fail(fd);
    }
    return (int)syscall(number, fd);
}

int fdatasync(int fd)
{
    return sync_by(DATASYNC, SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_by(SYNC, SYS_fsync, fd);
}

int syncfs(int fd)
{
    return sync_by(SYNCFS, SYS_syncfs, fd);
}

/* The words for a status, the same on every platform. */
#include "os/os.h"

const char *os_status_text(enum os_status status)
{
    static const char *const text[] = {
        [OS_OK] = "success",
        [OS_AGAIN] = "not now",
        [OS_END] = "the other side has finished",
        [OS_SKIPPED] = "not tried",
        [OS_NOT_FOUND] = "not found",
        [OS_EXISTS] = "already there",
        [OS_DENIED] = "permission denied",
        [OS_NO_SPACE] = "no space left on the disk",
        [OS_QUOTA] = "disk quota exceeded",
        [OS_TOO_LARGE] = "too large",
        [OS_READ_ONLY] = "read-only file system",
        [OS_NOT_DIR] = "not a directory",
        [OS_IS_DIR] = "is a directory",
        [OS_IS_LINK] = "is a symbolic link",
        [OS_LOCKED] = "locked by another process",
        [OS_IN_USE] = "address in use",
        [OS_REFUSED] = "connection refused",
        [OS_RESET] = "connection broken",
        [OS_UNREACHABLE] = "host unreachable",
        [OS_TIMED_OUT] = "timed out",
        [OS_TOO_MANY] = "too many open files or processes",
        [OS_NO_MEMORY] = "out of memory",
        [OS_INVALID] = "invalid",
        [OS_UNSUPPORTED] = "not supported here",
        [OS_IO] = "input/output error",
    };
    return (size_t)status < sizeof text / sizeof *text && text[status] ? text[status] : "unknown status";
}

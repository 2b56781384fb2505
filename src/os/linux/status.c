#include "os/linux/linux.h"

#include <errno.h>

static const struct {
    int error;
    enum os_status status;
} known[] = {
    { 0, OS_OK },
    { EAGAIN, OS_AGAIN },
    { ENOENT, OS_NOT_FOUND },
    { EEXIST, OS_EXISTS },
    { ENOTEMPTY, OS_EXISTS },
    { EACCES, OS_DENIED },
    { EPERM, OS_DENIED },
    { ENOSPC, OS_NO_SPACE },
    { EDQUOT, OS_QUOTA },
    { EFBIG, OS_TOO_LARGE },
    { EMSGSIZE, OS_TOO_LARGE },
    { EOVERFLOW, OS_TOO_LARGE },
    { EROFS, OS_READ_ONLY },
    { ENOTDIR, OS_NOT_DIR },
    { EISDIR, OS_IS_DIR },
    { ELOOP, OS_IS_LINK },
    { EBUSY, OS_LOCKED },
    { EADDRINUSE, OS_IN_USE },
    { ECONNREFUSED, OS_REFUSED },
    { ECONNRESET, OS_RESET },
    { ECONNABORTED, OS_RESET },
    { EPIPE, OS_RESET },
    { ENOTCONN, OS_RESET },
    { EHOSTUNREACH, OS_UNREACHABLE },
    { EHOSTDOWN, OS_UNREACHABLE },
    { ENETUNREACH, OS_UNREACHABLE },
    { ENETDOWN, OS_UNREACHABLE },
    { EADDRNOTAVAIL, OS_UNREACHABLE },
    { EAFNOSUPPORT, OS_UNREACHABLE }, /* IPv6 on a machine without it */
    { ETIMEDOUT, OS_TIMED_OUT },
    { EMFILE, OS_TOO_MANY },
    { ENFILE, OS_TOO_MANY },
    { EMLINK, OS_TOO_MANY },
    { ENOLCK, OS_TOO_MANY },
    { ETOOMANYREFS, OS_TOO_MANY },
    { ENOMEM, OS_NO_MEMORY },
    { ENOBUFS, OS_NO_MEMORY },
    { EINVAL, OS_INVALID },
    { EBADF, OS_INVALID },
    { ENAMETOOLONG, OS_INVALID },
    { ESPIPE, OS_INVALID },
    { ENXIO, OS_INVALID }, /* a FIFO nobody reads, a device that is not there */
    { EOPNOTSUPP, OS_UNSUPPORTED },
    { ENOSYS, OS_UNSUPPORTED },
    { EXDEV, OS_UNSUPPORTED },
};

enum os_status os_linux_status(int error)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].error == error)
            return known[i].status;
    return OS_IO;
}

#include "os/linux/linux.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

void os_notify(struct os *os, uint16_t port, struct view text)
{
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons(port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)os;
    if (fd < 0)
        return;
    (void)!sendto(fd, text.at, text.len, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof to);
    close(fd);
}

#include "os/linux/linux.h"

#include <netinet/in.h>
#include <string.h>

socklen_t os_linux_to_sockaddr(const struct address *address, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (address_is_v4(address)) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)to;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(address->port);
        memcpy(&v4->sin_addr, address->ip + 12, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address->port);
    v6->sin6_scope_id = address->scope;
    memcpy(&v6->sin6_addr, address->ip, 16);
    return sizeof *v6;
}

struct address os_linux_from_sockaddr(const struct sockaddr_storage *from)
{
    struct address address = { .set = false };
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        address.set = true;
        address.port = ntohs(v4->sin_port);
        address.ip[10] = address.ip[11] = 0xff;
        memcpy(address.ip + 12, &v4->sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
        address.set = true;
        address.port = ntohs(v6->sin6_port);
        address.scope = v6->sin6_scope_id;
        memcpy(address.ip, &v6->sin6_addr, 16);
    }
    return address;
}

struct address os_linux_socket_name(int fd)
{
    struct sockaddr_storage name = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &len);
    return os_linux_from_sockaddr(&name);
}

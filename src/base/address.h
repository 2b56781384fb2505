/* IP addresses, ports and networks as values: no look-ups, no sockets.
 * IPv4 is kept as IPv6-mapped, so that ::ffff:10.0.0.1 and 10.0.0.1 are one address (H75). */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include "base/buffer.h"

struct address {
    uint8_t ip[16];
    uint32_t scope; /* interface index for link-local IPv6, else 0 */
    uint16_t port;
    bool set;
};

struct network {
    uint8_t ip[16];
    uint8_t bits; /* of the 128: 10.0.0.0/8 has 104 */
};

#define ADDRESS_TEXT_MAX 64 /* "[ffff:…%4294967295]:65535" fits */

bool address_is_v4(const struct address *a);
bool address_equal(const struct address *a, const struct address *b); /* IP, scope and port */
bool address_is_loopback(const struct address *a);
bool address_parse_ip(struct view text, struct address *a); /* "192.0.2.1", "::1", "fe80::1%3"; port stays */
/* "192.0.2.1:25", "[::1]:25", "*:25" (any address: ::), ":25". */
bool address_parse(struct view text, struct address *a);
void address_add_ip(struct buffer *to, const struct address *a);
void address_add(struct buffer *to, const struct address *a); /* with port, IPv6 in brackets */
bool network_parse(struct view text, struct network *n);      /* "10.0.0.0/8", "::1", host bits must be 0 */
bool network_has(const struct network *n, const struct address *a);

#endif

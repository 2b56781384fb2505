/* From what the DNS says about a domain to the list of addresses that its mail is offered to, in order (RFC 5321
 * section 5.1, RFC 7505). Pure: answers come in, a list comes out.
 *
 *     mail exchangers of a domain:  deliver_mx_take(), and for each host then deliver_mx_take_addresses() twice
 *     hosts that were configured:   deliver_mx_add_host() for each, and the same
 *     address literal:              deliver_mx_add_literal()
 *     in the end:                   deliver_mx_list()
 *
 * Trouble is never taken for absence: when a server did not answer, nobody knows that there is no such domain (H95). */
#ifndef DELIVER_MX_H
#define DELIVER_MX_H

#include "ipc/message.h"
#include "smtp/path.h"

/* More than anybody needs: RFC 5321 section 5.1 wants two addresses tried at least, and gives us the choice (H96). */
#define DELIVER_MX_HOSTS_MAX          16
#define DELIVER_MX_HOST_ADDRESSES_MAX 4 /* of one host; two of each family when it has both */
#define DELIVER_MX_TARGETS_MAX        (DELIVER_MX_HOSTS_MAX * DELIVER_MX_HOST_ADDRESSES_MAX)

enum deliver_mx_result {
    DELIVER_MX_OK,
    DELIVER_MX_NO_MAIL,   /* null MX (RFC 7505): the domain takes no mail. 556 5.1.10 */
    DELIVER_MX_NO_DOMAIN, /* sure that it does not exist, or has neither MX nor address. 550 5.1.2 */
    DELIVER_MX_LOOP,      /* we are its best mail exchanger. 554 5.4.6 */
    DELIVER_MX_TROUBLE,   /* somebody must answer first. 451 4.4.3 */
    DELIVER_MX_NO_HOST,   /* it has mail exchangers, none of which has an address now. 451 4.4.4 */
};

struct deliver_mx_host {
    char name[SMTP_DOMAIN_MAX + 1];
    uint16_t preference;
    uint16_t port;
    uint64_t order; /* among equal preferences */
    bool fixed;     /* its address was given: nothing to ask */
    bool trouble;   /* an answer about its addresses did not come */
    struct address v4[DELIVER_MX_HOST_ADDRESSES_MAX], v6[DELIVER_MX_HOST_ADDRESSES_MAX];
    uint8_t v4_count, v6_count;
};

struct deliver_mx {
    struct deliver_mx_host hosts[DELIVER_MX_HOSTS_MAX]; /* in order */
    size_t host_count;
    bool implicit; /* there is no MX: the domain is its own host */
};

struct deliver_mx_target {
    struct address address; /* with port */
    uint8_t host;           /* index */
};

void deliver_mx_init(struct deliver_mx *mx);
/* The answer to the question for MX records. own: our host name; hosts that are no better than we are left out. random:
 * decides the order among equals. OK: hosts[] are to be asked for. */
enum deliver_mx_result deliver_mx_take(struct deliver_mx *mx, struct view domain, uint16_t port, struct view own,
                                       uint64_t random, const struct ipc_resolved *answer);
/* A host by name, tried after those before it; address: its own, or NULL. false: too many, or no name. */
bool deliver_mx_add_host(struct deliver_mx *mx, struct view name, uint16_t port, const struct address *address);
bool deliver_mx_add_literal(struct deliver_mx *mx, struct view literal, uint16_t port); /* false: it is none */
/* The answer to the question for A (AAAA) records of host n. */
void deliver_mx_take_addresses(struct deliver_mx *mx, size_t n, enum os_dns_type type,
                               const struct ipc_resolved *answer);
/* Everything is answered: the addresses in order, each once. room: DELIVER_MX_TARGETS_MAX, 64 at most. */
enum deliver_mx_result deliver_mx_list(const struct deliver_mx *mx, struct deliver_mx_target *targets, size_t *count);

#endif

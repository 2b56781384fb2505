/* What lies in the spool of a host, read from a copy of its disk by somebody who is not of the server: of every letter
 * each recipient, those of expanded aliases too, and whether anything is still to be done for it. */
#ifndef SIM_STORED_H
#define SIM_STORED_H

#include "os/mem/os_mem.h"

#define SIM_NO_LETTER UINT32_MAX /* a message of the server itself */

struct sim_recipient {
    uint32_t letter;
    struct view path;
    bool live; /* no final event yet */
};

/* observer: a host of its own, without a server. false: the spool cannot be read. */
bool sim_stored(struct mem_host *observer, const struct mem_disk *disk,
                void (*on)(void *ctx, const struct sim_recipient *recipient), void *ctx);

#endif

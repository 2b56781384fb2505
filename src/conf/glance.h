/* What a program on the same machine must know of a configuration to hand mail to the server, without the rights to
 * read all of it: tables may be for the server's eyes only, and may be large. Nothing is checked here; what is not
 * understood is passed over. */
#ifndef CONF_GLANCE_H
#define CONF_GLANCE_H

#include "base/address.h"
#include "base/arena.h"

struct conf_glance {
    struct view hostname;  /* of the text or the arena; empty: not said in this file */
    struct address server; /* the first `listen` that can be reached over the loopback; not set: there is none */
};

/* The main file alone: what it includes is not read. */
void conf_glance(struct conf_glance *glance, struct view text, struct arena *arena);

#endif

#include "gonets/local_server.h"

#include <stdio.h>

#include "conf/glance.h"
#include "gonetsd/conf_file.h"

static void take(struct gonets_local_server *local, const struct conf_glance *glance)
{
    struct buffer server = { local->server, 0, sizeof local->server - 1, false };
    if (glance->hostname.len < sizeof local->hostname && smtp_domain_valid(glance->hostname, false))
        snprintf(local->hostname, sizeof local->hostname, "%.*s", VIEW_FORMAT(glance->hostname));
    if (!glance->server.set)
        return;
    address_add(&server, &glance->server);
    local->server[server.len] = '\0';
}

bool gonets_local_server(struct gonets_local_server *local, struct os *os, const char *file)
{
    struct conf_files files = { os, 0 };
    struct conf_source source = conf_files_source(&files);
    struct conf_glance glance;
    struct view text, error;
    struct arena arena;
    *local = (struct gonets_local_server){ .server = "127.0.0.1:25" };
    arena_init(&arena, 4096, 2 * (size_t)CONF_FILES_MAX);
    bool known = source.read(source.ctx, view_of(file), &arena, &text, &error);
    if (known) {
        conf_glance(&glance, text, &arena);
        take(local, &glance);
    }
    arena_reset(&arena);
    return known;
}

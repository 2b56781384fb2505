/* The mail server of this machine, for commands that any account may call. */
#ifndef GONETS_LOCAL_SERVER_H
#define GONETS_LOCAL_SERVER_H

#include "base/address.h"
#include "os/os.h"
#include "smtp/path.h"

struct gonets_local_server {
    char server[ADDRESS_TEXT_MAX];      /* where it listens, 127.0.0.1:25 if nothing says otherwise */
    char hostname[SMTP_DOMAIN_MAX + 1]; /* empty: not known */
};

/* By a look into its configuration. false: it cannot be read, these are the defaults. */
bool gonets_local_server(struct gonets_local_server *local, struct os *os, const char *file);

#endif

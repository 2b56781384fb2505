/* The roles, one file each. main.c holds the table that places them in processes. */
#ifndef GONETSD_ROLES_H
#define GONETSD_ROLES_H

#include "os/os.h"

void *smtpd_start(struct os *os, struct os_link *supervisor);
void smtpd_stop(void *role);
void *qmgr_start(struct os *os, struct os_link *supervisor);
void qmgr_stop(void *role);
void *auth_start(struct os *os, struct os_link *supervisor);
void auth_stop(void *role);
void *local_start(struct os *os, struct os_link *supervisor);
void local_stop(void *role);
void *smtp_start(struct os *os, struct os_link *supervisor);
void smtp_stop(void *role);
void *resolver_start(struct os *os, struct os_link *supervisor);
void resolver_stop(void *role);
void *mailbox_start(struct os *os, struct os_link *supervisor);
void mailbox_stop(void *role);

#endif

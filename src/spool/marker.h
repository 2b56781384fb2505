/* The marker file of a spool. */
#ifndef SPOOL_MARKER_H
#define SPOOL_MARKER_H

#include "spool/format.h"

/* Of the two copies the newer one that is sound. *result counts only with OS_OK. */
enum os_status marker_read(struct os *os, struct os_dir *dir, struct marker *marker, enum format_result *result);

#endif

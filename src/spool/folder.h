/* The names in a folder, in place. */
#ifndef SPOOL_FOLDER_H
#define SPOOL_FOLDER_H

#include "os/os.h"

/* Calls each(ctx, name) for every name; the folder may be changed meanwhile, since all names are taken first. name.at
 * is a C string too. False: the folder cannot be read, no memory, or each() said so, which ends it. */
bool folder_each(struct os *os, struct os_dir *dir, bool (*each)(void *ctx, struct view name), void *ctx);

#endif

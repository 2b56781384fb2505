/* For tests alone: data of other projects that lies beside this one, where there is any. */
#ifndef SMTP_SUITES_H
#define SMTP_SUITES_H

#include <stddef.h>

/* The whole file, with a NUL behind it, to be freed; NULL, and a line that says so, when there is none.
 * Looked for in $GONETS_SUITES, then beside the source tree. */
char *suite_read(const char *path, size_t *len);

#endif

/* Configuration files read through the platform, for conf_parse(): at once, for start-up and commands. */
#ifndef GONETSD_CONF_FILE_H
#define GONETSD_CONF_FILE_H

#include "conf/conf.h"
#include "os/os.h"

/* All files of a configuration together, in bytes. Printed, they take at most 3.5 times as much (a key of one character
 * and its line end become seven bytes), which is less than CONF_TEXT_MAX. */
#define CONF_FILES_MAX (16u << 20)

struct conf_files {
    struct os *os;
    uint64_t size; /* of those read so far */
};

/* Names are absolute or relative to the working directory. The text lies in the arena of the configuration. */
struct conf_source conf_files_source(struct conf_files *files);

#endif

/* Configuration files read through the platform, for conf_parse(): at once, for start-up and commands. */
#ifndef GONETSD_CONF_FILE_H
#define GONETSD_CONF_FILE_H

#include "conf/conf.h"
#include "os/os.h"

/* Names are absolute or relative to the working directory. The text lies in the arena of the configuration. */
struct conf_source conf_file_source(struct os *os);

#endif

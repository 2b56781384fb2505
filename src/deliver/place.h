/* Where a mailbox lies: the path template of an action, filled in for one recipient.
 *
 * A path has two parts. `base` must be there already and is never made: a home, or what the administrator wrote before
 * the first %{...}; so a disk that is not mounted, or a home not yet made, defers mail instead of hiding it under the
 * mount point. `rest` lies below it and is made when missing.
 *
 * What comes from the address is encoded so that two addresses never share a path and none leaves its folder (H35):
 * letters become small, every byte but letters, digits and "-_+=@." becomes %XX, as does a dot in front. */
#ifndef DELIVER_PLACE_H
#define DELIVER_PLACE_H

#include "base/buffer.h"
#include "smtp/path.h"

#define DELIVER_PATH_MAX 1024
#define DELIVER_NAME_MAX 200 /* one part of `rest`: room is left for ".lock" in NAME_MAX (255) */

struct deliver_names {
    struct view user; /* account */
    struct view home; /* of the account; empty: it has none */
    const struct smtp_path *recipient;
};

struct deliver_place {
    char base[DELIVER_PATH_MAX]; /* C strings; base empty: below the directory that the server was given */
    char rest[DELIVER_PATH_MAX]; /* no empty part, none that is "." or ".." */
};

enum deliver_place_result {
    DELIVER_PLACE_OK,
    DELIVER_PLACE_TOO_LONG, /* this recipient makes too long a name */
    DELIVER_PLACE_NO_HOME,
    DELIVER_PLACE_BAD,      /* the template is no good, whoever the recipient is */
};

enum deliver_place_result deliver_place_fill(struct deliver_place *place, struct view pattern,
                                             const struct deliver_names *names);

#endif

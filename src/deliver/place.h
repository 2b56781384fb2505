/* Where a mailbox lies: the path template of an action, filled in for one recipient, in two parts. `base` must be there
 * already and is never made: a home, or what the administrator wrote before the first %{...}. So a disk that is not
 * mounted, or a home not yet made, defers mail instead of hiding it under the mount point. `rest` lies below it and is
 * made when missing. How values are encoded so that each stays in its folder (H35): conf_expand(). */
#ifndef DELIVER_PLACE_H
#define DELIVER_PLACE_H

#include "conf/conf.h"

#define DELIVER_PATH_MAX 1024
#define DELIVER_NAME_MAX 200 /* one part of `rest`: ".lock" and the like still fit into a file name (255) */

struct deliver_place {
    char base[DELIVER_PATH_MAX]; /* C strings; base empty: below the directory that the server was given */
    char rest[DELIVER_PATH_MAX]; /* no part of it is empty, "." or ".." */
};

/* false: no such mailbox can be (see conf_expand), or the template is no good. */
bool deliver_place_fill(struct deliver_place *place, struct view pattern, const struct conf_values *values);
/* Takes the first part off *rest (the same rules); false: malformed. *last: it was the only one. */
bool deliver_place_part(struct view *rest, struct view *part, bool *last);

#endif

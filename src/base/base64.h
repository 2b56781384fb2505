/* Base64 of RFC 4648 section 4: strict on reading, no line ends. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buffer.h"

void base64_add(struct buffer *to, struct view bytes);
bool base64_decode(struct buffer *to,
                   struct view text); /* false: another byte, wrong padding, bits left over, no room */

#endif

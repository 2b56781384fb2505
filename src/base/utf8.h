/* UTF-8 as RFC 3629 has it: nothing overlong, no surrogates, nothing above U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/view.h"

size_t utf8_sequence(struct view text); /* bytes of the well-formed sequence beyond ASCII at the front; 0: none */
bool utf8_valid(struct view text);      /* ASCII, NUL too, and well-formed sequences */

#endif

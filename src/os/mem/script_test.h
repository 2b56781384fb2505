/* For tests of the disk: a little language of operations, and a tree as text.
 *
 * Commands are parted by ';', words by blanks; names begin at the root:
 *   w NAME OFFSET TEXT   write (made if missing)     commit NAME OFFSET TEXT   write and sync
 *   fsync NAME   fdatasync NAME   syncdir DIR   syncfs   cut NAME SIZE   fill NAME SIZE   own NAME USER
 *   ln NAME NAME   mv NAME NAME   rm NAME   mkdir NAME   rmdir NAME */
#ifndef OS_MEM_SCRIPT_TEST_H
#define OS_MEM_SCRIPT_TEST_H

#include "os/mem/os_mem.h"

/* Runs all of it; returns the first outcome that is not OS_OK. */
enum os_status script_run(struct os *os, const char *script);
/* "a=text b/ b/c=text" in order of names; zero bytes as '.', text over 40 bytes as "<size>". */
void script_tree(struct os *os, struct buffer *to);

#endif

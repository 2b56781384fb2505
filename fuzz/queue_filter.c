/* Filters: any text is one or is complained of, and matching it against an entry ends. */
#include "queue/filter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct queue_filter filter;
    char memory[512];
    struct buffer error = BUFFER_OF(memory);
    struct queue_entry entry = { .from = VIEW("a@b.example"), .to = VIEW("c@d.example"), .reason = VIEW("full"), .next_us = 5 };
    char *text = malloc(size ? size : 1);
    assert(text);
    if (size)
        memcpy(text, data, size);
    bool good = queue_filter_parse(&filter, text, size, &error);
    assert(good ? filter.count <= QUEUE_FILTER_WORDS_MAX : error.len > 0 && !error.full);
    if (good)
        queue_filter_matches(&filter, &entry, 1000);
    free(text);
    return 0;
}

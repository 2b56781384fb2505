#include "os/mem/content.h"

#include "os/mem/world.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096

struct page {
    unsigned refs;
    char at[PAGE];
};

struct pages {
    unsigned refs;
    size_t count;
    struct page *at[]; /* NULL: zeros */
};

static size_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? (size_t)a : (size_t)b;
}

static void drop_page(struct page *page)
{
    if (page && --page->refs == 0)
        free(page);
}

static void drop_pages(struct pages *pages)
{
    if (!pages || --pages->refs > 0)
        return;
    for (size_t i = 0; i < pages->count; i++)
        drop_page(pages->at[i]);
    free(pages);
}

void content_copy(struct content *to, const struct content *from)
{
    *to = *from;
    if (to->pages)
        to->pages->refs++;
}

void content_free(struct content *c)
{
    drop_pages(c->pages);
    *c = (struct content){ NULL, 0 };
}

/* A table of at least count pages that is ours alone. */
static void own_table(struct content *c, size_t count)
{
    size_t had = c->pages ? c->pages->count : 0;
    if (c->pages && c->pages->refs == 1 && had >= count)
        return;
    if (count < had)
        count = had;
    else if (count > had && count < had * 2)
        count = had * 2;
    struct pages *pages = mem_take(sizeof(*pages) + count * sizeof(pages->at[0]));
    pages->refs = 1;
    pages->count = count;
    for (size_t i = 0; i < had; i++) {
        pages->at[i] = c->pages->at[i];
        if (pages->at[i])
            pages->at[i]->refs++;
    }
    drop_pages(c->pages);
    c->pages = pages;
}

static char *own_page(struct content *c, size_t index)
{
    own_table(c, index + 1);
    struct page *old = c->pages->at[index];
    if (old && old->refs == 1)
        return old->at;
    struct page *page = mem_take(sizeof(*page));
    page->refs = 1;
    if (old)
        memcpy(page->at, old->at, PAGE);
    drop_page(old);
    c->pages->at[index] = page;
    return page->at;
}

void content_get(const struct content *c, uint64_t offset, void *to, size_t len)
{
    for (char *at = to; len > 0;) {
        size_t index = offset / PAGE, in_page = offset % PAGE, n = smaller(len, PAGE - in_page);
        const struct page *page = c->pages && index < c->pages->count ? c->pages->at[index] : NULL;
        if (page)
            memcpy(at, page->at + in_page, n);
        else
            memset(at, 0, n);
        at += n;
        offset += n;
        len -= n;
    }
}

size_t content_read(const struct content *c, uint64_t offset, void *to, size_t len)
{
    if (offset >= c->size)
        return 0;
    len = smaller(len, c->size - offset);
    content_get(c, offset, to, len);
    return len;
}

void content_put(struct content *c, uint64_t offset, const void *from, size_t len)
{
    for (const char *at = from; len > 0;) {
        size_t in_page = offset % PAGE, n = smaller(len, PAGE - in_page);
        memcpy(own_page(c, offset / PAGE) + in_page, at, n);
        at += n;
        offset += n;
        len -= n;
    }
}

void content_zero(struct content *c, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len, held = c->pages ? (uint64_t)c->pages->count * PAGE : 0;
    for (end = end < held ? end : held; offset < end;) {
        size_t index = offset / PAGE, in_page = offset % PAGE, n = smaller(end - offset, PAGE - in_page);
        if (c->pages->at[index] && n < PAGE) {
            memset(own_page(c, index) + in_page, 0, n);
        } else if (c->pages->at[index]) {
            own_table(c, 0);
            drop_page(c->pages->at[index]);
            c->pages->at[index] = NULL;
        }
        offset += n;
    }
}

void content_resize(struct content *c, uint64_t size)
{
    uint64_t old = c->size;
    c->size = size;
    if (size < old)
        content_zero(c, size, old - size);
}

void content_cut_tail(struct content *c)
{
    content_zero(c, c->size, UINT64_MAX - c->size);
}

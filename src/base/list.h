/* Intrusive doubly linked list with a head: the link lies in the member's own struct. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(head)                                                                                                \
    {                                                                                                                  \
        &(head), &(head)                                                                                               \
    }
#define list_entry(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))
#define list_each(link, head)          for (struct list *link = (head)->next; link != (head); link = link->next)
/* The member at hand may be removed. */
#define list_each_safe(link, head)                                                                                     \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);                                  \
         link = link##_next, link##_next = link->next)

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_insert_after(struct list *at, struct list *link)
{
    link->next = at->next;
    link->prev = at;
    at->next->prev = link;
    at->next = link;
}

static inline void list_append(struct list *head, struct list *link)
{
    list_insert_after(head->prev, link);
}

static inline void list_prepend(struct list *head, struct list *link)
{
    list_insert_after(head, link);
}

/* Removing twice does no harm: a removed link is a list of its own. */
static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = link;
}

/* The first link, taken off; NULL when the list is empty. */
static inline struct list *list_pop(struct list *head)
{
    struct list *link = head->next;
    if (link == head)
        return NULL;
    list_remove(link);
    return link;
}

/* Moves all of from to the end of to. */
static inline void list_move_all(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif

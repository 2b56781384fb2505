#include "queue/alias.h"

#include "conf/conf.h"
#include "smtp/path.h"

struct expansion {
    const struct queue_message *message;
    uint32_t ancestors[QUEUE_ALIAS_DEPTH_MAX + 1]; /* the alias itself first */
    unsigned depth;
    struct view domain; /* of addresses without one */
    struct arena *arena;
    struct map known;
    struct queue_alias *alias;
};

/* As a recipient is written after RCPT: unquoted where possible, domain in lower case. */
static struct view canonical(const struct expansion *x, const struct smtp_path *path)
{
    struct view domain = path->domain.len ? path->domain : x->domain;
    struct buffer text;
    size_t cap = path->local.len + domain.len + 1;
    char *memory = arena_alloc(x->arena, cap);
    if (!memory)
        return VIEW_NONE;
    buffer_init(&text, memory, cap);
    smtp_path_add_local(&text, path);
    buffer_add_char(&text, '@');
    for (size_t i = 0; i < domain.len; i++)
        buffer_add_char(&text, ascii_lower(domain.at[i]));
    return buffer_view(&text);
}

/* false: too deep. */
static bool find_ancestors(struct expansion *x, uint32_t number)
{
    for (uint32_t at = number; at != QUEUE_NO_PARENT; at = queue_parent(x->message, at)) {
        if (x->depth > QUEUE_ALIAS_DEPTH_MAX)
            return false;
        x->ancestors[x->depth++] = at;
    }
    return true;
}

static bool is_ancestor(const struct expansion *x, uint32_t number)
{
    for (unsigned i = 0; i < x->depth; i++)
        if (x->ancestors[i] == number)
            return true;
    return false;
}

/* Further up than the alias itself: that would go round for ever. */
static bool leads_back(const struct expansion *x, struct view path)
{
    for (unsigned i = 1; i < x->depth; i++)
        if (view_equal_nocase(queue_path(x->message, x->ancestors[i]), path))
            return true;
    return false;
}

static bool know(struct expansion *x, struct view path)
{
    if (path.len == 0 || map_find(&x->known, path))
        return true;
    struct map_item *item = arena_alloc(x->arena, sizeof *item);
    if (!item)
        return false;
    item->key = path;
    return map_add(&x->known, item);
}

static bool know_recipients(struct expansion *x)
{
    for (uint32_t i = 0; i < x->message->recipient_count; i++)
        if (!is_ancestor(x, i) && !know(x, queue_path(x->message, i)))
            return false;
    return true;
}

static enum queue_alias_result take(struct expansion *x, struct view item)
{
    struct smtp_path path;
    x->alias->bad = item;
    if (smtp_mailbox_parse(item, SMTP_PATH_BARE | SMTP_PATH_UTF8, &path) != SMTP_PATH_OK)
        return QUEUE_ALIAS_NO_ADDRESS;
    struct view whole = canonical(x, &path);
    if (!whole.at)
        return QUEUE_ALIAS_NO_MEMORY;
    if (leads_back(x, whole)) {
        x->alias->dropped++;
        return QUEUE_ALIAS_OK;
    }
    if (map_find(&x->known, whole))
        return QUEUE_ALIAS_OK;
    if (x->alias->count + x->message->promised >= QUEUE_ALIAS_MAX)
        return QUEUE_ALIAS_TOO_MANY;
    x->alias->paths[x->alias->count++] = whole;
    return know(x, whole) ? QUEUE_ALIAS_OK : QUEUE_ALIAS_NO_MEMORY;
}

static enum queue_alias_result take_all(struct expansion *x, struct view value)
{
    size_t max = 1;
    for (size_t i = 0; i < value.len; i++)
        max += value.at[i] == ',';
    if (max > QUEUE_ALIAS_MAX)
        return QUEUE_ALIAS_TOO_MANY;
    x->alias->paths = arena_alloc(x->arena, max * sizeof *x->alias->paths);
    if (!x->alias->paths || !know_recipients(x))
        return QUEUE_ALIAS_NO_MEMORY;
    enum queue_alias_result result = QUEUE_ALIAS_OK;
    for (struct view item; result == QUEUE_ALIAS_OK && conf_alias_next(&value, &item);)
        result = take(x, item);
    return result;
}

enum queue_alias_result queue_alias_expand(const struct queue_message *m, uint32_t number, struct view value,
                                           struct view domain, struct arena *arena, struct queue_alias *alias)
{
    struct expansion x = { .message = m, .domain = domain, .arena = arena, .alias = alias };
    x.known.seed[0] = get_u64(m->item.id.at + MAIL_ID_SIZE - 8); /* random, and unknown to who wrote the addresses */
    *alias = (struct queue_alias){ 0 };
    if (!find_ancestors(&x, number))
        return QUEUE_ALIAS_LOOP;
    enum queue_alias_result result = take_all(&x, value);
    map_free(&x.known);
    bool nobody = result == QUEUE_ALIAS_OK && alias->count == 0 && alias->dropped > 0;
    return nobody ? QUEUE_ALIAS_LOOP : result;
}

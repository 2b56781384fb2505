#include "mail/address_list.h"

#include "smtp/path.h"

static bool is_space(char c)
{
    return ascii_is_blank(c) || c == '\r' || c == '\n';
}

/* A quoted pair is one byte of the text, whatever it is. */
static size_t pair_size(struct view text)
{
    return text.at[0] == '\\' && text.len > 1 ? 2 : 1;
}

/* Comments nest (section 3.2.2): counted, not recursed. An open one goes on to the end. */
static void skip_comment(struct view *text)
{
    size_t depth = 0;
    do {
        depth += text->at[0] == '(';
        depth -= text->at[0] == ')';
        view_take(text, pair_size(*text));
    } while (depth && text->len);
}

static void skip_cfws(struct view *text)
{
    while (text->len && (is_space(text->at[0]) || text->at[0] == '('))
        if (text->at[0] == '(')
            skip_comment(text);
        else
            view_take(text, 1);
}

/* From `open` to `close`, both taken: a quoted string or a domain literal. A fold in it counts as its blank alone. */
static void take_enclosed(struct view *text, char close, struct buffer *to)
{
    buffer_add(to, view_take(text, 1));
    while (text->len && text->at[0] != close) {
        struct view taken = view_take(text, pair_size(*text));
        if (taken.at[0] != '\r' && taken.at[0] != '\n')
            buffer_add(to, taken);
    }
    buffer_add(to, view_take(text, 1));
}

/* What an element is made of, besides its mailbox. */
struct element {
    struct buffer *mailbox;
    bool angle;   /* it has brackets: what stood before them was a name, what stands behind them is wrong */
    bool closed;  /* they are closed */
    bool broken;  /* what is in the mailbox cannot be one */
    bool joining; /* the last thing was a dot or an @: a blank before the next does not part it */
    bool at;      /* there was an @: no name of a group */
    bool wrong;   /* the whole element, whatever follows */
};

/* An atom, a dot or an @, or something quoted. Two words side by side are a name or a mistake. */
static void take_word(struct element *e, struct view *text, bool apart)
{
    char c = text->at[0];
    bool joins = c == '.' || c == '@';
    e->broken |= e->closed || (e->mailbox->len && apart && !joins && !e->joining);
    e->joining = joins;
    e->at |= c == '@';
    if (c == '"')
        take_enclosed(text, '"', e->mailbox);
    else if (c == '[')
        take_enclosed(text, ']', e->mailbox);
    else
        buffer_add(e->mailbox, view_take(text, 1));
}

static void start_mailbox(struct element *e)
{
    buffer_clear(e->mailbox);
    e->broken = e->angle && e->closed;
    e->joining = false;
}

/* Everything up to a comma, a semicolon (the end of a group), or the end; neither is taken. */
static void take_element(struct element *e, struct view *text)
{
    bool apart = false;
    for (size_t before; text->len; apart = text->len != before) {
        char c = text->at[0];
        bool route = e->angle && !e->closed && e->mailbox->len && e->mailbox->at[0] == '@';
        if ((c == ',' && !route) || c == ';')
            return;
        if (c == '<') {
            start_mailbox(e);
            e->broken |= e->angle;
            e->angle = true;
            view_take(text, 1);
        } else if (c == '>') {
            e->broken |= !e->angle || e->closed;
            e->closed = true;
            view_take(text, 1);
        } else if (c == ':' && (route || !e->angle)) { /* the end of a route, or of a group's name */
            start_mailbox(e);
            e->wrong |= e->at && !route;
            view_take(text, 1);
        } else {
            take_word(e, text, apart);
        }
        before = text->len;
        skip_cfws(text);
    }
}

static bool is_mailbox(const struct element *e)
{
    struct smtp_path path;
    return !e->broken && !e->wrong && e->angle == e->closed && !e->mailbox->full &&
           smtp_mailbox_parse(buffer_view(e->mailbox), SMTP_PATH_BARE, &path) == SMTP_PATH_OK;
}

enum mail_address_result mail_address_next(struct mail_address_list *list, struct buffer *mailbox)
{
    struct element e = { .mailbox = mailbox };
    buffer_clear(mailbox);
    while (!mailbox->len && !mailbox->full && !e.angle && !e.broken && !e.wrong) {
        skip_cfws(&list->rest);
        if (!list->rest.len)
            return MAIL_ADDRESS_END;
        if (list->rest.at[0] == ',' || list->rest.at[0] == ';') {
            view_take(&list->rest, 1);
            continue;
        }
        list->word = list->rest;
        take_element(&e, &list->rest);
        list->word.len -= list->rest.len;
    }
    return is_mailbox(&e) ? MAIL_ADDRESS_ONE : MAIL_ADDRESS_BAD;
}

#include <stdlib.h>
#include <string.h>

#include "gonetsd/local.h"
#include "smtp/path.h"

struct account {
    struct map_item key;
    enum os_status status;
    struct os_user user;
    uint64_t until_us;
    char name[];
};

/* ---- accounts ---- */

void local_forget_accounts(struct local *local)
{
    for (struct map_item *item; (item = map_next(&local->accounts, NULL));) {
        map_remove(&local->accounts, item);
        free(map_entry(item, struct account, key));
    }
}

static void remember(struct local *local, struct view name, enum os_status status, const struct os_user *user)
{
    if (local->accounts.count >= LOCAL_ACCOUNTS_MAX)
        local_forget_accounts(local);
    struct account *a = calloc(1, sizeof *a + name.len);
    if (!a)
        return;
    memcpy(a->name, name.at, name.len);
    a->key.key = (struct view){ a->name, name.len };
    a->status = status;
    a->user = *user;
    a->until_us = os_now_us(local->os) + LOCAL_ACCOUNT_US;
    if (!map_add(&local->accounts, &a->key))
        free(a);
}

static enum os_status look_up(struct local *local, struct view name, struct os_user *user)
{
    struct map_item *item = map_find(&local->accounts, name);
    struct account *a = item ? map_entry(item, struct account, key) : NULL;
    if (a && a->until_us > os_now_us(local->os)) {
        *user = a->user;
        return a->status;
    }
    if (a) {
        map_remove(&local->accounts, item);
        free(a);
    }
    *user = (struct os_user){ 0 };
    enum os_status status = os_user_find(local->os, name, user);
    /* Only sure answers are kept: trouble is asked about again (H82). */
    if (name.len && (status == OS_OK || status == OS_NOT_FOUND))
        remember(local, name, status, user);
    return status;
}

/* The recipient's own account: as it is written, then in lower case. */
static enum os_status look_up_recipient(struct local *local, struct view name, struct os_user *user)
{
    char memory[SMTP_LOCAL_PART_MAX];
    struct buffer lower = BUFFER_OF(memory);
    enum os_status status = look_up(local, name, user);
    for (size_t i = 0; i < name.len; i++)
        buffer_add_char(&lower, ascii_lower(name.at[i]));
    return status == OS_NOT_FOUND ? look_up(local, buffer_view(&lower), user) : status;
}

/* ---- what is refused ---- */

static bool refuse(struct local_job *job, enum ipc_outcome outcome, unsigned code, unsigned subject, unsigned detail,
                   const char *text, struct view about)
{
    deliver_result_set(&job->result, outcome, code, subject, detail, "%s: %.*s", text, VIEW_FORMAT(about));
    return false;
}

/* A matter that the administrator has to put right: the mail waits. */
static bool misconfigured(struct local *local, struct local_job *job, const char *text, struct view about)
{
    refuse(job, IPC_DEFERRED, 451, 3, 5, text, about);
    event_note(&local->log, "alarm", deliver_result_text(&job->result));
    return false;
}

static bool find_account(struct local *local, struct local_job *job, const struct conf_action *action, struct view name,
                         struct os_user *user)
{
    bool own = action->user.len == 0;
    struct view who = own ? name : action->user;
    enum os_status status = own ? look_up_recipient(local, who, user) : look_up(local, who, user);
    if (status == OS_NOT_FOUND && own)
        return refuse(job, IPC_FAILED, 550, 1, 1, "no such account", who);
    if (status == OS_NOT_FOUND)
        return misconfigured(local, job, "the account of the mailboxes does not exist", who);
    if (status != OS_OK)
        return refuse(job, IPC_DEFERRED, 451, 3, 0, "the account cannot be looked up at the moment", who);
    /* Nothing is delivered as root, nor in its group (H156, H159). */
    if (user->user == 0 || user->group == 0)
        return misconfigured(local, job, "mail for an account with the rights of root is not delivered", who);
    return true;
}

/* ---- the place ---- */

static bool set_place(struct local_job *job, const struct deliver_place *place, struct view biff)
{
    job->base_len = strlen(place->base);
    job->rest_len = strlen(place->rest);
    job->biff_len = biff.len;
    job->text = malloc(job->base_len + job->rest_len + biff.len + 1);
    if (!job->text)
        return refuse(job, IPC_DEFERRED, 451, 3, 0, "no memory", VIEW("local"));
    memcpy(job->text, place->base, job->base_len);
    memcpy(job->text + job->base_len, place->rest, job->rest_len);
    if (biff.len)
        memcpy(job->text + job->base_len + job->rest_len, biff.at, biff.len);
    return true;
}

/* Terminals know the account; without root there is only the one that we are, whatever the recipient is called. */
static struct view biff_name(const struct conf_values *values)
{
    return values->user.len ? values->user : values->local;
}

/* With a mail directory, paths lie below it however they begin. */
static bool find_place(struct local *local, struct local_job *job, const struct conf_action *action,
                       const struct conf_values *values)
{
    struct deliver_place place;
    struct view pattern = action->path;
    while (local->mail_dir && view_starts(pattern, VIEW("/")))
        view_take(&pattern, 1);
    if (!local->mail_dir && !view_starts(pattern, VIEW("/")) && !view_starts(pattern, VIEW("%{home}/")))
        return misconfigured(local, job, "the path of the action does not begin with a slash", action->name);
    if (!deliver_place_fill(&place, pattern, values))
        return refuse(job, IPC_FAILED, 550, 1, 1, "no mailbox can have this name", values->local);
    return set_place(job, &place, action->biff && job->mbox ? biff_name(values) : VIEW_NONE);
}

static bool needs_account(struct local *local, const struct conf_action *action)
{
    return os_is_root(local->os) || action->user.len == 0;
}

static bool route_mailbox(struct local *local, struct local_job *job, const struct conf_action *action,
                          struct view path, char *user)
{
    struct smtp_path recipient;
    struct os_user account = { 0 };
    char memory[SMTP_LOCAL_PART_MAX];
    struct buffer name = BUFFER_OF(memory);
    if (smtp_mailbox_parse(path, SMTP_PATH_BARE | SMTP_PATH_UTF8, &recipient) != SMTP_PATH_OK ||
        !smtp_path_local_plain(&recipient, &name))
        return misconfigured(local, job, "not an address", path);
    if (needs_account(local, action) && !find_account(local, job, action, buffer_view(&name), &account))
        return false;
    bool root = os_is_root(local->os);
    job->mbox = action->kind == CONF_MBOX;
    job->owner = root ? account.user : UINT32_MAX;
    user[0] = 0;
    if (root)
        memcpy(user, account.name, sizeof account.name);
    const struct conf_values values = { buffer_view(&name), recipient.domain, view_of(account.name),
                                        view_of(account.home) };
    return find_place(local, job, action, &values);
}

bool local_route(struct local *local, struct local_job *job, struct view action_name, struct view path, char *user)
{
    const struct conf_action *action = conf_action_find(&local->role.conf, action_name);
    if (!action)
        return misconfigured(local, job, "the configuration has no such action any more", action_name);
    switch (action->kind) {
    case CONF_DISCARD:
        deliver_result_set(&job->result, IPC_DELIVERED, 250, 0, 0, "discarded by action %.*s",
                           VIEW_FORMAT(action_name));
        return false;
    case CONF_MAILDIR:
    case CONF_MBOX:
        return route_mailbox(local, job, action, path, user);
    default:
        return misconfigured(local, job, "not an action that delivers", action_name);
    }
}

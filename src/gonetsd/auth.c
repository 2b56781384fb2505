/* Role auth: knows the accounts. It alone asks the system's user database, which may be slow. */
#include <stdlib.h>

#include "gonetsd/role.h"
#include "gonetsd/roles.h"
#include "base/list.h"

struct auth {
    struct os *os;
    struct role role;
    struct list clients;
};

struct client {
    struct list link;
    struct auth *auth;
    struct ipc ipc;
    struct os_task free_task;
};

/* As it is written, then in lower case; an account that may get no mail does not exist here: nothing is delivered as
 * root (H156). */
static enum os_status find(struct auth *auth, struct view name)
{
    struct os_user user;
    char memory[64];
    struct buffer lower = BUFFER_OF(memory);
    enum os_status status = os_user_find(auth->os, name, &user);
    if (status == OS_NOT_FOUND && name.len <= sizeof memory) {
        for (size_t i = 0; i < name.len; i++)
            buffer_add_char(&lower, ascii_lower(name.at[i]));
        status = os_user_find(auth->os, buffer_view(&lower), &user);
    }
    if (status == OS_OK && user.user == 0)
        return OS_NOT_FOUND;
    return status == OS_OK || status == OS_NOT_FOUND ? status : OS_AGAIN;
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct client *client = ctx;
    char memory[32];
    struct buffer frame = BUFFER_OF(memory);
    struct ipc_lookup m;
    uint32_t instance;
    (void)handle;
    if (type == IPC_HELLO && role_check_hello(body, IPC_SMTPD, &instance))
        return;
    if (type != IPC_LOOKUP || !ipc_lookup_unpack(body, &m)) {
        ipc_end(&client->ipc);
        return;
    }
    ipc_found_pack(&frame, &(struct ipc_found){ m.ticket, (uint8_t)find(client->auth, m.name) });
    ipc_send(&client->ipc, buffer_view(&frame));
}

static void free_client(void *ctx)
{
    struct client *client = ctx;
    list_remove(&client->link);
    free(client);
}

static void on_gone(void *ctx)
{
    struct client *client = ctx;
    os_later(client->auth->os, &client->free_task);
}

static void on_handle(void *ctx, const struct ipc_handle *what, struct os_handle *handle)
{
    struct auth *auth = ctx;
    struct client *client;
    if (what->what != IPC_A_LINK || what->role != IPC_SMTPD || handle->kind != OS_HANDLE_LINK)
        return;
    client = calloc(1, sizeof *client);
    if (!client)
        return;
    handle->kind = OS_HANDLE_NONE;
    client->auth = auth;
    client->free_task = (struct os_task){ free_client, client, NULL, false };
    list_append(&auth->clients, &client->link);
    ipc_open(&client->ipc, auth->os, handle->link, &(struct ipc_owner){ client, on_frame, NULL, on_gone });
    role_say_hello(&client->ipc, IPC_AUTH, 0);
}

static void on_start(void *ctx)
{
    struct auth *auth = ctx;
    role_ready(&auth->role);
}

static void on_stop(void *ctx)
{
    struct auth *auth = ctx;
    os_stop(auth->os, 0);
}

void *auth_start(struct os *os, struct os_link *supervisor)
{
    struct auth *auth = calloc(1, sizeof *auth);
    if (!auth)
        return NULL;
    auth->os = os;
    list_init(&auth->clients);
    role_open(&auth->role, os, supervisor, IPC_AUTH,
              &(struct role_owner){ .ctx = auth, .handle = on_handle, .start = on_start, .stop = on_stop });
    return auth;
}

void auth_stop(void *role)
{
    struct auth *auth = role;
    for (struct list *link; (link = list_pop(&auth->clients));) {
        struct client *client = list_entry(link, struct client, link);
        ipc_close(&client->ipc);
        free(client);
    }
    role_close(&auth->role);
    free(auth);
}

#include "gonetsd/role.h"

#include <stdlib.h>
#include <string.h>

/* What the supervisor sends is whole: nothing is included from elsewhere. */
static bool read_nothing(void *ctx, struct view path, struct arena *arena, struct view *text, struct view *error)
{
    struct role *role = ctx;
    (void)arena;
    if (view_equal(path, VIEW("supervisor"))) {
        *text = (struct view){ role->text, role->text_len };
        return true;
    }
    *error = VIEW("not here");
    return false;
}

void role_say_hello(struct ipc *link, enum ipc_role me, uint32_t instance)
{
    char memory[16];
    struct buffer frame = BUFFER_OF(memory);
    ipc_hello_pack(&frame, &(struct ipc_hello){ IPC_VERSION, (uint8_t)me, instance });
    ipc_send(link, buffer_view(&frame));
}

bool role_check_hello(struct unpack *body, enum ipc_role who, uint32_t *instance)
{
    struct ipc_hello hello;
    if (!ipc_hello_unpack(body, &hello) || hello.version != IPC_VERSION || hello.role != who)
        return false;
    *instance = hello.instance;
    return true;
}

static bool take_config(struct role *role, struct unpack *body)
{
    struct ipc_config m;
    if (role->has_conf || !ipc_config_unpack(body, &m) || role->text_len + m.text.len > CONF_TEXT_MAX)
        return false;
    char *text = realloc(role->text, role->text_len + m.text.len + 1);
    if (!text)
        return false;
    role->text = text;
    if (m.text.len)
        memcpy(text + role->text_len, m.text.at, m.text.len);
    role->text_len += m.text.len;
    if (!m.last)
        return true;
    const struct conf_source source = { role, read_nothing };
    role->has_conf = conf_parse(&role->conf, VIEW("supervisor"), &source) == NULL;
    return role->has_conf;
}

static bool take_handle(struct role *role, struct unpack *body, struct os_handle *handle)
{
    struct ipc_handle m;
    if (!role->has_conf || !ipc_handle_unpack(body, &m) || handle->kind == OS_HANDLE_NONE)
        return false;
    if (m.what == IPC_A_LOCK && handle->kind == OS_HANDLE_FILE && !role->lock) {
        role->lock = handle->file;
        handle->kind = OS_HANDLE_NONE;
        return true;
    }
    role->owner.handle(role->owner.ctx, &m, handle);
    return true;
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct role *role = ctx;
    bool good = true;
    switch (type) {
    case IPC_HELLO:
        good = role_check_hello(body, IPC_SUPERVISOR, &role->instance);
        if (good)
            role_say_hello(&role->supervisor, role->me, role->instance);
        break;
    case IPC_CONFIG:
        good = take_config(role, body);
        break;
    case IPC_HANDLE:
        good = take_handle(role, body, handle);
        break;
    case IPC_START:
        good = role->has_conf && !role->started;
        role->started = true;
        if (good)
            role->owner.start(role->owner.ctx);
        break;
    case IPC_STOP:
        role->owner.stop(role->owner.ctx);
        break;
    default:
        good = false;
    }
    if (!good)
        ipc_end(&role->supervisor);
}

static void on_gone(void *ctx)
{
    struct role *role = ctx;
    os_stop(role->os, 1);
}

void role_open(struct role *role, struct os *os, struct os_link *supervisor, enum ipc_role me, const struct role_owner *owner)
{
    *role = (struct role){ .os = os, .owner = *owner, .me = me };
    ipc_open(&role->supervisor, os, supervisor, &(struct ipc_owner){ role, on_frame, NULL, on_gone });
}

void role_close(struct role *role)
{
    ipc_close(&role->supervisor);
    if (role->has_conf)
        conf_free(&role->conf);
    if (role->lock)
        os_file_close(role->lock);
    free(role->text);
}

void role_ready(struct role *role)
{
    char memory[1];
    struct buffer frame = BUFFER_OF(memory);
    ipc_type_pack(&frame, IPC_READY);
    ipc_send(&role->supervisor, buffer_view(&frame));
}

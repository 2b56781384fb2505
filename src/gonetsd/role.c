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

static struct generation *new_generation(struct role *role, uint64_t number)
{
    const struct conf_source source = { role, read_nothing };
    struct generation *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    *g = (struct generation){ .number = number, .holders = 1, .text = role->text };
    bool good = conf_parse(&g->conf, VIEW("supervisor"), &source) == NULL;
    role->text = NULL;
    role->text_len = 0;
    if (good)
        return g;
    generation_release(g);
    return NULL;
}

struct generation *role_hold(struct role *role)
{
    role->generation->holders++;
    return role->generation;
}

void generation_release(struct generation *g)
{
    if (!g || --g->holders)
        return;
    conf_free(&g->conf);
    free(g->text);
    free(g);
}

static bool take_config(struct role *role, struct unpack *body)
{
    struct ipc_config m;
    if (!ipc_config_unpack(body, &m) || role->text_len + m.text.len > CONF_TEXT_MAX)
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
    struct generation **place = role->started ? &role->next : &role->generation;
    generation_release(*place);
    *place = new_generation(role, m.generation);
    if (*place && !role->started)
        role->conf = role->generation->conf;
    return *place != NULL;
}

static void tell_reloaded(struct role *role)
{
    char memory[16];
    struct buffer frame = BUFFER_OF(memory);
    ipc_reloaded_pack(&frame, role->generation->number);
    ipc_send(&role->supervisor, buffer_view(&frame));
}

static bool start_work(struct role *role)
{
    if (!role->generation)
        return false;
    role->started = true;
    role->owner.start(role->owner.ctx);
    return true;
}

static bool take_next(struct role *role)
{
    struct generation *former = role->generation;
    if (!role->next)
        return false;
    role->generation = role->next;
    role->next = NULL;
    role->conf = role->generation->conf;
    if (role->owner.reloaded)
        role->owner.reloaded(role->owner.ctx);
    generation_release(former);
    tell_reloaded(role);
    return true;
}

static bool tell_counts(struct role *role)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    struct ipc_counts counts = { 0 };
    if (role->owner.count && role->generation)
        role->owner.count(role->owner.ctx, &counts);
    ipc_counts_pack(&frame, &counts);
    return ipc_send(&role->supervisor, buffer_view(&frame));
}

static bool take_handle(struct role *role, struct unpack *body, struct os_handle *handle)
{
    struct ipc_handle m;
    if (!role->generation || !ipc_handle_unpack(body, &m) || handle->kind == OS_HANDLE_NONE)
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
        good = role->started ? take_next(role) : start_work(role);
        break;
    case IPC_COUNT:
        good = tell_counts(role);
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

void role_open(struct role *role, struct os *os, struct os_link *supervisor, enum ipc_role me,
               const struct role_owner *owner)
{
    *role = (struct role){ .os = os, .owner = *owner, .me = me };
    ipc_open(&role->supervisor, os, supervisor, &(struct ipc_owner){ role, on_frame, NULL, on_gone });
}

void role_close(struct role *role)
{
    ipc_close(&role->supervisor);
    generation_release(role->generation);
    generation_release(role->next);
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

/* How processes come and go. */
#include "os/mem/handle.h"
#include "os/mem/link.h"
#include "os/mem/process.h"
#include "os/mem/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CODE_NO_START 69 /* start() gave NULL; as over os/linux */
#define CODE_KILLED   (-9)
#define START_US_MAX  2000
#define DEATH_US_MAX  1000 /* until a signal, or the news of an end, has come through */

struct os_child {
    struct list in_parent;
    struct os *parent;
    struct os *os; /* NULL: it has ended */
    uint64_t number;
    struct mem_event ended; /* in the parent's turn */
    int code;
    void (*on_exit)(void *ctx, int code);
    void *ctx;
};

static uint64_t soon(struct mem_world *world, uint64_t us_max)
{
    return world->now_us + mem_random_between(&world->random, 1, us_max);
}

/* ---- beginning ---- */

static void run_start(struct mem_event *event)
{
    struct os *os = list_entry(event, struct os, start);
    struct os_link *supervisor = os->supervisor;
    os->supervisor = NULL;
    mem_trace(os->world, os, "role starts", 0, 0);
    os->object = os->role->start(os, supervisor);
    if (os->object)
        return;
    os->stopping = true;
    os->code = CODE_NO_START;
}

static void run_death(struct mem_event *event)
{
    mem_process_kill(list_entry(event, struct os, death));
}

struct os *mem_process_new(struct mem_host *host)
{
    struct os *os = mem_take(sizeof(*os));
    os->host = host;
    os->world = host->world;
    os->number = ++host->world->process_count;
    os->handles_max = SIZE_MAX;
    os->start = (struct mem_event){ .os = os, .run = run_start };
    os->death = (struct mem_event){ .run = run_death }; /* in nobody's turn: it also reaches who is paused */
    mem_process_init_events(os);
    mem_random_seed(&os->random, mem_random_next(&host->world->random));
    list_init(&os->handles);
    list_init(&os->queues);
    list_init(&os->questions);
    list_init(&os->children);
    list_init(&os->held);
    list_append(&host->processes, &os->in_host);
    mem_trace(os->world, os, "process begins", 0, 0);
    return os;
}

void mem_process_set_user(struct os *os, uint32_t user, uint32_t group)
{
    os->user = user;
    os->group = group;
}

void mem_process_set_handles_max(struct os *os, size_t max)
{
    os->handles_max = max;
}

size_t mem_process_open_handles(const struct os *os)
{
    return os->handle_count;
}

void *mem_process_object(const struct os *os)
{
    return os->object;
}

void mem_host_set_roles(struct mem_host *host, const struct os_role *roles, size_t count)
{
    host->roles = roles;
    host->role_count = count;
}

static const struct os_role *find_role(const struct mem_host *host, const char *name)
{
    for (size_t i = 0; i < host->role_count; i++)
        if (strcmp(host->roles[i].name, name) == 0)
            return &host->roles[i];
    return NULL;
}

struct os *mem_process_start(struct mem_host *host, const char *role)
{
    struct os *os = mem_process_new(host);
    os->role = find_role(host, role);
    assert(os->role);
    mem_event_set(os->world, &os->start, os->world->now_us);
    return os;
}

struct os *mem_host_process(struct mem_host *host, const char *role, size_t nth)
{
    list_each(link, &host->processes)
    {
        struct os *os = list_entry(link, struct os, in_host);
        if (os->role && !os->cut && strcmp(os->role->name, role) == 0 && nth-- == 0)
            return os;
    }
    return NULL;
}

/* ---- children ---- */

static void run_ended(struct mem_event *event)
{
    struct os_child *child = list_entry(event, struct os_child, ended);
    list_remove(&child->in_parent);
    child->on_exit(child->ctx, child->code);
    free(child);
}

/* The one group that has no account of its name: as on Debian. */
#define MAIL_GROUP 8

static enum os_status set_account(struct os *parent, const char *name, const char *group, struct os_user *account)
{
    *account = (struct os_user){ .user = parent->user, .group = parent->group };
    if (!name)
        return OS_OK;
    enum os_status status = os_user_find(parent, view_of(name), account);
    if (status != OS_OK)
        return status;
    if (group && strcmp(group, "mail") != 0)
        return OS_NOT_FOUND;
    if (group)
        account->group = MAIL_GROUP;
    if (account->user == 0 || account->group == 0)
        return OS_DENIED;
    bool same = account->user == parent->user && account->group == parent->group;
    return os_is_root(parent) || same ? OS_OK : OS_DENIED;
}

enum os_status os_spawn(struct os *os, const struct os_spawn *what, struct os_link **link, struct os_child **child,
                        void (*on_exit)(void *ctx, int code), void *ctx)
{
    struct os_user account;
    const struct os_role *role = find_role(os->host, what->role);
    *link = NULL;
    *child = NULL;
    if (os->cut || mem_handles_full(os))
        return OS_TOO_MANY;
    enum os_status status = role ? set_account(os, what->user, what->group, &account) : OS_NOT_FOUND;
    if (status != OS_OK)
        return status;
    struct os *born = mem_process_new(os->host);
    struct os_child *birth = mem_take(sizeof(*birth));
    *birth = (struct os_child){ .parent = os, .os = born, .number = born->number, .on_exit = on_exit, .ctx = ctx };
    birth->ended = (struct mem_event){ .os = os, .run = run_ended };
    list_append(&os->children, &birth->in_parent);
    born->birth = birth;
    born->role = role;
    mem_process_set_user(born, account.user, account.group);
    born->handles_max = what->files_max ? what->files_max : SIZE_MAX;
    mem_link_pair(os, born, link, &born->supervisor);
    born->supervisor->ends_process = true;
    mem_event_set(os->world, &born->start, soon(os->world, START_US_MAX));
    *child = birth;
    return OS_OK;
}

void os_child_kill(struct os_child *child)
{
    if (child->os && !mem_event_waits(&child->os->death))
        mem_event_set(child->os->world, &child->os->death, soon(child->os->world, DEATH_US_MAX));
}

uint64_t os_child_number(struct os_child *child)
{
    return child->number;
}

/* ---- end ---- */

/* Children die with their parent: that is what the kernel is asked for at their birth (H142). */
static void let_children_die(struct os *os)
{
    list_each(link, &os->children)
    {
        struct os_child *child = list_entry(link, struct os_child, in_parent);
        mem_event_cancel(os->world, &child->ended);
        if (!child->os)
            continue;
        os_child_kill(child);
        child->os->birth = NULL;
        child->os = NULL;
    }
}

static void cut(struct os *os)
{
    os->cut = true;
    list_each(link, &os->handles)
    {
        struct handle *handle = list_entry(link, struct handle, in_process);
        handle->type->cut(handle);
    }
    mem_queues_cut(os);
    mem_questions_cut(os);
    let_children_die(os);
    struct mem_event *events[] = { &os->start, &os->alarm, &os->turn, &os->death, &os->signals[0], &os->signals[1] };
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        mem_event_cancel(os->world, events[i]);
}

static void tell_parent(struct os *os)
{
    struct os_child *birth = os->birth;
    if (!birth)
        return;
    birth->os = NULL;
    birth->code = os->code;
    mem_event_set(os->world, &birth->ended, soon(os->world, DEATH_US_MAX));
}

/* What the role frees is ours all the same after a crash, but it then reaches nobody any more. */
static void stop_role(struct os *os)
{
    void *object = os->object;
    os->object = NULL;
    if (object)
        os->role->stop(object);
}

void mem_process_end(struct os *os)
{
    if (!os->cut) {
        mem_trace(os->world, os, "ends", (uint64_t)os->code, 0);
        mem_queues_rest(os);
        stop_role(os);
        cut(os);
    }
    stop_role(os);
    tell_parent(os);
    list_each_safe(link, &os->handles) mem_handle_free(list_entry(link, struct handle, in_process));
    list_each_safe(link, &os->children) free(list_entry(link, struct os_child, in_parent));
    mem_queues_free(os);
    list_remove(&os->in_host);
    free(os);
}

void mem_process_kill(struct os *os)
{
    if (!os->cut) {
        mem_trace(os->world, os, "killed", 0, 0);
        os->code = CODE_KILLED;
        cut(os);
    }
    if (os->world->turn != os)
        mem_process_end(os);
}

/* ---- hosts ---- */

void mem_host_crash(struct mem_host *host, struct mem_choice choice)
{
    assert(!host->world->turn);
    host->off = true; /* so nobody outside is told */
    list_each_safe(link, &host->processes) mem_process_kill(list_entry(link, struct os, in_host));
    mem_disk_crash(host->disk, choice);
}

void mem_host_start(struct mem_host *host)
{
    host->off = false;
    host->booted_us = host->world->now_us;
}

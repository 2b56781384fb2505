#include "sim/host.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gonetsd/roles.h"
#include "gonetsd/supervisor.h"
#include "spool/spool.h"

#define CONFIG "/etc/gonets/gonets.conf"

const char *const sim_users[SIM_USERS] = { "alice", "bob", "carol" };

static const char config[] = "hostname " SIM_NAME "\n"
                             "listen *:25\n"
                             "workers 2\n"
                             "log text\n"
                             "segment 1M\n"
                             "spool /var/spool/gonets\n"
                             "limit message_size 2M\n"
                             "action inbox maildir %{home}/Maildir\n"
                             "match for domain example.org action inbox\n";

/* A killed process hears of no request any more, so what the spool and the marks free only then goes with it, as all
 * memory of a process does. That a tidy end leaves nothing behind is shown on real processes. The names are those of
 * the leak sanitizer. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);

const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}

const char *__lsan_default_suppressions(void)
{
    return "leak:src/spool/\nleak:src/gonetsd/jobs.c\nleak:src/gonetsd/marks.c\nleak:src/gonetsd/reports.c\n";
}

/* ---- the roles ---- */

static void *start_supervisor(struct os *os, struct os_link *link)
{
    static const struct supervisor_options options = { .config = CONFIG };
    int code;
    (void)link;
    return supervisor_new(os, &options, &code);
}

static void stop_supervisor(void *role)
{
    supervisor_free(role);
}

static const struct os_role roles[] = {
    { "supervisor", start_supervisor, stop_supervisor },
    { "smtpd", smtpd_start, smtpd_stop },
    { "qmgr", qmgr_start, qmgr_stop },
    { "auth", auth_start, auth_stop },
    { "local", local_start, local_stop },
    { "mailbox", mailbox_start, mailbox_stop },
    { "resolver", resolver_start, resolver_stop },
    { "smtp", smtp_start, smtp_stop },
};

/* ---- the disk ---- */

static const struct os_user accounts[] = {
    { 901, 901, "gonets-queue", "/" },    { 902, 902, "gonets-auth", "/" }, { 903, 903, "gonets-smtpd", "/" },
    { 904, 904, "gonets-resolver", "/" }, { 905, 905, "gonets-smtp", "/" },
};

static const struct os_user people[SIM_USERS] = {
    { 1001, 1001, "alice", "/home/alice" },
    { 1002, 1002, "bob", "/home/bob" },
    { 1003, 1003, "carol", "/home/carol" },
};

static const struct sim_site site_of_one = { "gonets", SIM_HOST_IP, config, people, SIM_USERS };

static void make_folder(struct os *os, struct os_dir *root, const char *path, unsigned mode)
{
    struct os_op op = { .kind = OS_MAKE_DIR, .dir = root, .name = path, .mode = mode };
    os_run_ops(os, &op, 1);
    assert(op.status == OS_OK);
}

static void write_config(struct os *os, struct os_dir *root, const char *text)
{
    struct os_file *file = NULL;
    struct os_slice slice = { text, strlen(text) };
    struct os_op ops[] = {
        { .kind = OS_OPEN,
          .dir = root,
          .name = CONFIG,
          .file = &file,
          .flags = OS_FOR_WRITE | OS_CREATE,
          .mode = 0644 },
        { .kind = OS_WRITE, .file = &file, .slices = &slice, .slice_count = 1 },
        { .kind = OS_CLOSE, .file = &file },
    };
    os_run_ops(os, ops, sizeof ops / sizeof ops[0]);
    assert(ops[1].status == OS_OK && ops[2].status == OS_OK);
}

static void make_spool(struct os *os)
{
    enum os_status status;
    struct os_dir *dir = os_dir_path(os, "/var/spool/gonets", &status);
    status = spool_create(os, dir);
    assert(status == OS_OK);
    os_dir_close(dir);
}

/* What an installation leaves behind, all of it durable. */
static void install(struct mem_host *host, const struct sim_site *site)
{
    enum os_status status;
    struct os *os = mem_process_new(host);
    struct os_dir *root = os_dir_path(os, "/", &status);
    make_folder(os, root, "etc", 0755);
    make_folder(os, root, "etc/gonets", 0755);
    make_folder(os, root, "var", 0755);
    make_folder(os, root, "var/spool", 0777);
    make_folder(os, root, "home", 0777);
    write_config(os, root, site->config);
    mem_process_set_user(os, accounts[0].user, accounts[0].group);
    make_folder(os, root, "var/spool/gonets", 0700);
    make_spool(os);
    for (size_t i = 0; i < site->people_count; i++) {
        mem_process_set_user(os, site->people[i].user, site->people[i].group);
        make_folder(os, root, site->people[i].home, 0755);
    }
    struct os_op sync = { .kind = OS_SYNC_FS, .dir = root };
    os_run_ops(os, &sync, 1);
    assert(sync.status == OS_OK);
    mem_process_kill(os);
}

struct mem_host *sim_host_new_at(struct mem_world *world, const struct sim_site *site, struct mem_disk *disk)
{
    struct mem_host *host = mem_host_new(world, site->name);
    mem_host_set_roles(host, roles, sizeof roles / sizeof roles[0]);
    mem_host_add_address(host, site->ip);
    for (size_t i = 0; i < sizeof accounts / sizeof accounts[0]; i++)
        mem_host_add_user(host, &accounts[i]);
    for (size_t i = 0; i < site->people_count; i++)
        mem_host_add_user(host, &site->people[i]);
    if (disk)
        mem_disk_free(mem_host_swap_disk(host, disk));
    else
        install(host, site);
    return host;
}

struct mem_host *sim_host_new(struct mem_world *world, struct mem_disk *disk)
{
    return sim_host_new_at(world, &site_of_one, disk);
}

void sim_host_boot(struct mem_host *host)
{
    mem_host_start(host);
    mem_process_start(host, "supervisor");
}

void sim_host_stop(struct mem_host *host)
{
    struct os *supervisor = mem_host_process(host, "supervisor", 0);
    if (supervisor)
        mem_process_signal(supervisor, OS_SIGNAL_STOP);
}

bool sim_host_runs(struct mem_host *host)
{
    return mem_host_process(host, "supervisor", 0) != NULL;
}

/* ---- mailboxes ---- */

struct count {
    const struct mem_disk *disk;
    struct sim_ledger *ledger;
    unsigned user;
    const char *folder;
    bool good;
};

static void count_file(void *ctx, const char *name)
{
    struct count *count = ctx;
    char path[512];
    size_t len = 0;
    struct buffer text = BUFFER_OF(path);
    buffer_addf(&text, "%s/%s", count->folder, name);
    buffer_add_char(&text, 0);
    char *file = mem_disk_read(count->disk, path, &len);
    count->good = count->good && file && sim_ledger_count(count->ledger, count->user, (struct view){ file, len });
    free(file);
}

bool sim_host_count(const struct mem_disk *disk, struct sim_ledger *ledger)
{
    sim_ledger_count_begin(ledger);
    struct count count = { disk, ledger, 0, NULL, true };
    for (; count.user < SIM_USERS; count.user++) {
        char path[64];
        struct buffer text = BUFFER_OF(path);
        buffer_addf(&text, "/home/%s/Maildir/new", sim_users[count.user]);
        buffer_add_char(&text, 0);
        count.folder = path;
        mem_disk_names(count.disk, path, count_file, &count);
    }
    return count.good;
}

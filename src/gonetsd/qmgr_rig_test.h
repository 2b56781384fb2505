/* A real qmgr in a simulated host. The test plays everybody around it: supervisor, a smtpd that stores messages, local,
 * and two smtp processes whose answers the test chooses. */
#ifndef GONETSD_QMGR_RIG_TEST_H
#define GONETSD_QMGR_RIG_TEST_H

#include "gonetsd/role.h"
#include "os/mem/os_mem.h"
#include "spool/spool.h"

#define RIG_SMTPS    2
#define RIG_SEEN_MAX 4096
#define RIG_S        UINT64_C(1000000)

/* One recipient of one job, as a deliverer saw it. */
struct rig_seen {
    enum ipc_role role;
    uint32_t instance, job, number;
    struct mail_id id;
    struct spool_place place;
    char action[32], domain[64], path[128];
    uint64_t at_us;
    bool kept;
    struct ipc_result result; /* outcome 0: not answered yet */
};

struct rig;
struct rig_deliverer {
    struct rig *rig;
    enum ipc_role role;
    uint32_t instance;
    struct ipc ipc;
    struct os_file *content[256];
    uint64_t segment[256]; /* of each; 0: free */
    uint32_t jobs;
};

struct rig {
    struct mem_world *world;
    struct mem_host *host;
    struct os *os;
    struct os_dir *spool;
    struct os_child *child;
    struct ipc supervisor, smtpd;
    struct spool_writer *writer;
    struct rig_deliverer local, smtp[RIG_SMTPS];
    const char *config;
    bool ready, silent; /* silent: no answers; rig_answer() gives them */
    unsigned stored;    /* messages that became durable */
    struct mail_id_maker ids;
    struct rig_seen *seen;
    size_t seen_count;
    /* Chooses the answer; result comes as "delivered". NULL: all is delivered. */
    void (*answer)(struct rig *rig, const struct rig_seen *seen, struct ipc_result *result);
    char text[256]; /* for answers */
};

void rig_open(struct rig *rig, const char *config);
typedef void rig_answer_by(struct rig *rig, const struct rig_seen *seen, struct ipc_result *result);
/* The same on a disk that a power cut left behind; the rig owns it. */
void rig_open_on(struct rig *rig, const char *config, struct mem_disk *disk, rig_answer_by *answer);
void rig_close(struct rig *rig);
struct mem_disk *rig_cut(struct rig *rig,
                         struct mem_choice choice); /* no power: everybody is gone, the rig is closed */
void rig_run(struct rig *rig, uint64_t us);
void rig_kill(struct rig *rig);                       /* kill -9 of qmgr; the others live on */
void rig_restart(struct rig *rig);                    /* the same if it runs, and a new one */
void rig_config(struct rig *rig, const char *config); /* a reload */
/* Stores a message; recipients separated by blanks. client: "192.0.2.9:25", or NULL: mail of our own. */
struct mail_id rig_store(struct rig *rig, const char *reverse_path, const char *client, const char *recipients,
                         unsigned received_count);
void rig_answer(struct rig *rig, struct rig_seen *seen); /* says its result, by rig->answer */
/* The nth attempt for that recipient; NULL: there was none. */
struct rig_seen *rig_find(struct rig *rig, const char *path, unsigned nth);
unsigned rig_count(const struct rig *rig, const char *path);
/* Its message as stored, with its envelope in front; to be freed. */
char *rig_content(struct rig *rig, const struct rig_seen *seen, size_t *len);
bool rig_has(struct view bytes, const char *text);
bool rig_logged(struct rig *rig, const char *text);
struct qmgr *rig_qmgr(struct rig *rig);

#endif

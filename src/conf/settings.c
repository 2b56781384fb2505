#include "conf/value.h"

#define K                        ((uint64_t)1 << 10)
#define M                        (K << 10)
#define G                        (M << 10)
#define SECOND                   ((uint64_t)1000000)
#define DAY                      (86400 * SECOND)
#define TEXT(member)             offsetof(struct conf, member)
#define NUMBER(member, min, max) offsetof(struct conf, member), min, max

/* clang-format off */
const struct conf_setting conf_settings[] = {
    /* the first, since it must be given */
    { "hostname",   CONF_DOMAIN,   TEXT(hostname),   .argument = "DOMAIN", .fixed = true },
    { "greeting",   CONF_GREETING, TEXT(greeting),   .argument = "\"WORDS\"" },
    { "postmaster", CONF_ADDRESS,  TEXT(postmaster), .argument = "LOCAL@DOMAIN" },
    { "user",       CONF_ACCOUNTS, TEXT(user),       .argument = "ACCOUNT", .initial = "gonets", .fixed = true },
    { "spool",      CONF_PATH,     TEXT(spool),      .argument = "PATH", .initial = "/var/spool/gonets", .fixed = true },
    { "segment",    CONF_SIZE,     NUMBER(segment_size, M, G), .step = 4 * K, .argument = "SIZE", .initial = "64M", .fixed = true },
    { "log",        CONF_LOG,      TEXT(log_text),   .argument = "text|json", .initial = "json" },
    { "workers",    CONF_COUNT,    NUMBER(workers, 0, 1024), .argument = "NUMBER", .initial = "0", .fixed = true },
};
const size_t conf_setting_count = sizeof conf_settings / sizeof *conf_settings;

const struct conf_setting conf_limits[] = {
    /* RFC 5321 section 4.5.3.1.7: at least 64K octets. */
    { "message_size", CONF_SIZE, NUMBER(limits.message_size_max, 64 * K, 1024 * G), .zero = true, .argument = "SIZE",
      .initial = "50M", .unit = "bytes of a message; 0: no limit", .help = "552, and the message is not taken" },
    /* RFC 5321 section 4.5.3.1.8: at least 100. */
    { "recipients", CONF_COUNT, NUMBER(limits.recipients_max, 100, 100000), .argument = "NUMBER",
      .initial = "1000", .unit = "recipients of a message", .help = "452 to each further recipient" },
    { "sessions", CONF_COUNT, NUMBER(limits.sessions_max, 1, 1000000), .argument = "NUMBER",
      .initial = "10000", .unit = "connections, each worker", .help = "421 to each further connection" },
    { "errors", CONF_COUNT, NUMBER(limits.errors_max, 1, 1000), .argument = "NUMBER",
      .initial = "20", .unit = "wrong commands of a connection", .help = "421, and the connection is closed" },
    /* RFC 5321 section 4.5.3.2.7: 5 minutes. */
    { "command_time", CONF_TIME, NUMBER(limits.command_us_max, SECOND, DAY), .argument = "TIME",
      .initial = "5m", .unit = "to wait for a command", .help = "421, and the connection is closed" },
    { "data_time", CONF_TIME, NUMBER(limits.data_us_max, SECOND, DAY), .argument = "TIME",
      .initial = "5m", .unit = "to wait for more of a message", .help = "421, and the connection is closed" },
    { "receive_memory", CONF_SIZE, NUMBER(limits.receive_memory_max, M, 1024 * G), .argument = "SIZE",
      .initial = "256M", .unit = "bytes of half-received mail, each worker", .help = "452 to new messages",
      .fixed = true },
    { "spool_free", CONF_SIZE, NUMBER(limits.spool_free_min, 0, 1024 * G), .argument = "SIZE",
      .initial = "64M", .unit = "bytes that stay free on the spool's disk", .help = "452 to new messages",
      .fixed = true },
    { "local_jobs", CONF_COUNT, NUMBER(limits.local_jobs_max, 1, 10000), .argument = "NUMBER",
      .initial = "256", .unit = "deliveries to mailboxes at a time", .help = "further ones wait in the spool",
      .fixed = true },
    { "relay_sessions", CONF_COUNT, NUMBER(limits.relay_sessions_max, 1, 100000), .argument = "NUMBER",
      .initial = "500", .unit = "outgoing connections, each worker", .help = "further mail waits in the spool" },
    { "relay_destination", CONF_COUNT, NUMBER(limits.relay_destination_max, 1, 10000), .argument = "NUMBER",
      .initial = "20", .unit = "connections to one destination", .help = "further mail waits in the spool" },
    { "relay_jobs", CONF_COUNT, NUMBER(limits.relay_jobs_max, 1, 1000000), .argument = "NUMBER",
      .initial = "10000", .unit = "recipients relayed at a time", .help = "further ones wait in the spool",
      .fixed = true },
    /* RFC 5321 section 6.3: at least 100. */
    { "hops", CONF_COUNT, NUMBER(limits.hops_max, 10, 1000), .argument = "NUMBER",
      .initial = "100", .unit = "Received fields of a message", .help = "it goes in a circle: 554, or a report" },
};
const size_t conf_limit_count = sizeof conf_limits / sizeof *conf_limits;
/* clang-format on */

#include "conf/value.h"

#include <string.h>

#define DOMAIN_MAX 253 /* RFC 1035 section 2.3.4: 255 octets on the wire */
#define LABEL_MAX  63

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first. */
static const struct unit sizes[] = { { "G", 1 << 30 }, { "M", 1 << 20 }, { "K", 1 << 10 }, { "", 1 }, { NULL, 0 } };
static const struct unit times[] = { { "d", 86400000000 }, { "h", 3600000000 }, { "m", 60000000 }, { "s", 1000000 },
                                     { "ms", 1000 },       { "us", 1 },         { NULL, 0 } };
static const struct unit counts[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *units_of(enum conf_type type)
{
    return type == CONF_SIZE ? sizes : type == CONF_TIME ? times : counts;
}

static bool parse_number(struct view text, const struct unit *units, uint64_t *number)
{
    size_t digits = 0;
    uint64_t n;
    while (digits < text.len && ascii_is_digit(text.at[digits]))
        digits++;
    if (!view_to_u64(view_slice(text, 0, digits), UINT64_MAX, &n))
        return false;
    struct view unit = view_slice(text, digits, text.len);
    for (; units->name; units++)
        if (view_equal(unit, view_of(units->name)))
            return !__builtin_mul_overflow(n, units->factor, number);
    return false;
}

bool conf_time_parse(struct view text, uint64_t *time_us)
{
    return parse_number(text, times, time_us);
}

void conf_number_add(struct buffer *to, enum conf_type type, uint64_t number)
{
    const struct unit *unit = units_of(type);
    while (unit[1].name && (number == 0 || number % unit->factor != 0))
        unit++;
    buffer_add_u64(to, number / unit->factor);
    buffer_add_text(to, unit->name);
}

static bool label_valid(struct view label)
{
    if (label.len == 0 || label.len > LABEL_MAX || label.at[0] == '-' || label.at[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++)
        if (!ascii_is_alnum(label.at[i]) && label.at[i] != '-')
            return false;
    return true;
}

const char *conf_domain_check(struct view text)
{
    uint64_t number;
    struct view rest = text, label = VIEW_NONE;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] > 127)
            return "is not ASCII: write it as xn--...";
    if (text.len && text.at[text.len - 1] == '.')
        return "is not a domain: write it without the last dot";
    if (text.len == 0 || text.len > DOMAIN_MAX)
        return "is not a domain";
    while (rest.len) {
        label = view_take_until(&rest, '.');
        if (!label_valid(label))
            return "is not a domain";
    }
    return view_to_u64(label, UINT64_MAX, &number) ? "is not a domain: it ends in a number" : NULL;
}

const char *conf_pattern_check(struct view text)
{
    return conf_domain_check(view_slice(text, view_starts(text, VIEW(".")), text.len));
}

/* RFC 5321 section 2.3.5: a name in the DNS, given whole. */
static const char *check_hostname(struct view text)
{
    const char *reason = conf_domain_check(text);
    if (!reason && !view_has(text, '.') && !view_equal_nocase(text, VIEW("localhost")))
        return "is not the full name of a host";
    return reason;
}

static const char *check_greeting(struct view text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_print(text.at[i]))
            return "has a character that is not printable ASCII";
    return text.len > 200 ? "is longer than 200 characters" : NULL;
}

const char *conf_path_check(struct view text)
{
    struct view rest = text;
    if (text.len == 0 || text.at[0] != '/')
        return "is not absolute: a path begins with /";
    if (text.len > CONF_PATH_MAX)
        return "is longer than 1024 bytes";
    while (rest.len) {
        struct view part = view_take_until(&rest, '/');
        if (view_equal(part, VIEW("..")) || view_equal(part, VIEW(".")))
            return "has . or .. as a component";
    }
    return NULL;
}

/* useradd(8): lower case, digits, - and _, no digit or - first. */
const char *conf_account_check(struct view text, size_t max)
{
    if (text.len == 0 || text.len > max || ascii_is_digit(text.at[0]) || text.at[0] == '-')
        return "is not the name of an account";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (!(ascii_is_alnum(c) && ascii_lower(c) == c) && c != '-' && c != '_')
            return "is not the name of an account";
    }
    return NULL;
}

const char *conf_name_check(struct view text)
{
    if (text.len == 0 || text.len > CONF_NAME_MAX)
        return "is not a name: 1 to 64 letters, digits, - and _";
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.at[i]) && text.at[i] != '-' && text.at[i] != '_')
            return "is not a name: 1 to 64 letters, digits, - and _";
    return NULL;
}

const char *conf_local_check(struct view text)
{
    if (text.len == 0 || text.len > 64) /* RFC 5321 section 4.5.3.1.1 */
        return "is not an address: write local@domain";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (!ascii_is_alnum(c) && (c == '\0' || !strchr("!#$%&'*+-/=?^_`{|}~.", c)))
            return "is not a plain address: write local@domain";
    }
    return NULL;
}

const char *conf_address_check(struct view text)
{
    size_t at = view_find_last(text, '@');
    if (at == 0 || at >= text.len || at > 64)
        return "is not a whole address: write local@domain";
    const char *bad = conf_local_check(view_slice(text, 0, at));
    return bad ? bad : conf_domain_check(view_slice(text, at + 1, text.len));
}

/* ---- templates ---- */

static const char *check_component(struct view part, bool first)
{
    size_t literal = 0, values = 0;
    if (view_equal(part, VIEW("..")) || view_equal(part, VIEW(".")))
        return "has . or .. as a component";
    while (part.len) {
        struct view plain = view_take(&part, view_find(part, '%'));
        literal += plain.len;
        if (part.len == 0)
            break;
        struct view word = view_take(&part, view_find(part, '}') + 1);
        if (view_equal(word, VIEW("%{home}"))) {
            if (!first || literal || values || part.len)
                return "has %{home} elsewhere than at its beginning, before a slash";
        } else if (!view_equal(word, VIEW("%{user}")) && !view_equal(word, VIEW("%{local}")) &&
                   !view_equal(word, VIEW("%{domain}")) && !view_equal(word, VIEW("%{address}"))) {
            return "has an unknown %: there are %{local} %{domain} %{address} %{user} %{home}";
        }
        values++;
    }
    if (values > 1)
        return "has two values in one component, where they could run together: use %{address}, or a slash between";
    if (literal + values == 0 && !first)
        return "has an empty component";
    if (literal > CONF_VALUE_MAX)
        return "has a component of more than 200 bytes";
    return values && literal > 55 ? "has more than 55 bytes beside a value in one component" : NULL;
}

const char *conf_template_check(struct view text)
{
    struct view rest = text;
    if (text.len > CONF_PATH_MAX)
        return "is longer than 1024 bytes";
    if (!view_starts(text, VIEW("/")) && !view_starts(text, VIEW("%{home}/")))
        return "is not absolute: it begins with / or %{home}/";
    for (bool first = true; rest.len; first = false) {
        const char *reason = check_component(view_take_until(&rest, '/'), first);
        if (reason)
            return reason;
    }
    return text.at[text.len - 1] == '/' ? "ends in a slash" : NULL;
}

/* ---- settings ---- */

static char *place(struct conf *conf, const struct conf_setting *setting)
{
    return (char *)conf + setting->offset;
}

uint64_t conf_setting_number(const struct conf *conf, const struct conf_setting *setting)
{
    uint64_t number;
    memcpy(&number, (const char *)conf + setting->offset, sizeof number);
    return number;
}

struct view conf_setting_text(const struct conf *conf, const struct conf_setting *setting)
{
    struct view text;
    if (setting->type == CONF_LOG)
        return conf->log_text ? VIEW("text") : VIEW("json");
    memcpy(&text, (const char *)conf + setting->offset, sizeof text);
    return text;
}

static const char *set_number(struct conf *conf, const struct conf_setting *setting, struct view text,
                              struct buffer *reason)
{
    uint64_t number;
    if (!parse_number(text, units_of(setting->type), &number))
        return setting->type == CONF_SIZE   ? "is not a size: write bytes, or K, M or G behind the number"
               : setting->type == CONF_TIME ? "is not a time: write us, ms, s, m, h or d behind the number"
                                            : "is not a number";
    bool in_range = number >= setting->min && number <= setting->max;
    if (!in_range && !(setting->zero && number == 0)) {
        buffer_add_text(reason, setting->zero ? "is out of range: 0, or " : "is out of range: ");
        conf_number_add(reason, setting->type, setting->min);
        buffer_add_text(reason, " to ");
        conf_number_add(reason, setting->type, setting->max);
        buffer_add(reason, (struct view){ "", 1 });
        return reason->at;
    }
    if (setting->step && number % setting->step)
        return "is not a multiple of 4K";
    memcpy(place(conf, setting), &number, sizeof number);
    return NULL;
}

static const char *set_log(struct conf *conf, struct view text)
{
    conf->log_text = view_equal(text, VIEW("text"));
    return conf->log_text || view_equal(text, VIEW("json")) ? NULL : "is neither text nor json";
}

static const char *check_text(enum conf_type type, struct view text)
{
    switch (type) {
    case CONF_DOMAIN:
        return check_hostname(text);
    case CONF_GREETING:
        return check_greeting(text);
    case CONF_ACCOUNTS:
        return conf_account_check(text, 24);
    case CONF_ADDRESS:
        return conf_address_check(text);
    default:
        return conf_path_check(text);
    }
}

const char *conf_setting_set(struct conf *conf, const struct conf_setting *setting, struct view text,
                             struct buffer *reason)
{
    if (setting->type >= CONF_COUNT)
        return set_number(conf, setting, text, reason);
    if (setting->type == CONF_LOG)
        return set_log(conf, text);
    const char *bad = check_text(setting->type, text);
    if (!bad)
        memcpy(place(conf, setting), &text, sizeof text);
    return bad;
}

static bool same_value(const struct conf *a, const struct conf *b, const struct conf_setting *setting)
{
    if (setting->type >= CONF_COUNT)
        return conf_setting_number(a, setting) == conf_setting_number(b, setting);
    return view_equal(conf_setting_text(a, setting), conf_setting_text(b, setting));
}

const char *conf_fixed_change(const struct conf *now, const struct conf *next)
{
    for (size_t i = 0; i < conf_setting_count; i++)
        if (conf_settings[i].fixed && !same_value(now, next, &conf_settings[i]))
            return conf_settings[i].name;
    for (size_t i = 0; i < conf_limit_count; i++)
        if (conf_limits[i].fixed && !same_value(now, next, &conf_limits[i]))
            return conf_limits[i].name;
    return NULL;
}

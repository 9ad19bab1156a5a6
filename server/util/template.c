#include "template.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_path.h"

#define PATH_LIMIT 8 /* names in {payload.a.b.c} */

enum part_kind { PART_TEXT, PART_TOPIC, PART_CHANNEL, PART_KEY, PART_USER, PART_PAYLOAD, PART_HEADER, PART_PARTITION };

struct part {
    enum part_kind kind;
    struct bytes text;              /* literal text, or a header's name; inside the template's copy */
    int index;                      /* of a topic's level or a channel's part; -1 the whole */
    struct bytes names[PATH_LIMIT]; /* payload */
    size_t name_count;
};

struct template
{
    char *text; /* parts point into it */
    unsigned fields;
    size_t part_count;
    struct part *parts;
};

/* What may follow the field's name after a dot. */
enum detail { DETAIL_NONE, DETAIL_INDEX, DETAIL_NAME, DETAIL_PATH };

static const struct field {
    const char *name;
    enum template_field flag;
    enum part_kind kind;
    enum detail detail;
    int last_index;
    const char *example;
} fields[] = {
    {"topic", TEMPLATE_TOPIC, PART_TOPIC, DETAIL_INDEX, 999, "{topic} or {topic.3}"},
    {"channel", TEMPLATE_CHANNEL, PART_CHANNEL, DETAIL_INDEX, 1, "{channel}, {channel.0} or {channel.1}"},
    {"key", TEMPLATE_KEY, PART_KEY, DETAIL_NONE, 0, "{key}"},
    {"user", TEMPLATE_USER, PART_USER, DETAIL_NONE, 0, "{user}"},
    {"payload", TEMPLATE_PAYLOAD, PART_PAYLOAD, DETAIL_PATH, 0,
     "{payload.NAME} or {payload.NAME.NAME}, 8 names at most"},
    {"header", TEMPLATE_HEADER, PART_HEADER, DETAIL_NAME, 0, "{header.NAME}"},
    {"partition", TEMPLATE_PARTITION, PART_PARTITION, DETAIL_NONE, 0, "{partition}"},
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)

struct parser {
    struct template *template;
    unsigned allowed;
    char *error;
    size_t error_size;
};

static int fail(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct parser *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->error, p->error_size, format, args);
    va_end(args);
    return -EINVAL;
}

static int fail_unknown(struct parser *p, struct bytes name)
{
    CLEANUP_BUF list = BUF_INIT;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].flag & p->allowed)
            buf_printf(&list, "%s{%s%s}", list.len ? ", " : "", fields[i].name,
                       fields[i].detail >= DETAIL_NAME ? ".NAME" : "");
    buf_append(&list, "", 1);
    return fail(p, "field {%.*s} is not known here, allowed: %s", (int)(name.len < 40 ? name.len : 40), name.data,
                list.data);
}

static struct part *add_part(struct parser *p, enum part_kind kind)
{
    struct template *t = p->template;
    t->parts = xrealloc(t->parts, (t->part_count + 1) * sizeof *t->parts);
    struct part *part = &t->parts[t->part_count++];
    *part = (struct part){.kind = kind, .index = -1};
    return part;
}

static void add_text(struct parser *p, const char *text, size_t len)
{
    if (len)
        add_part(p, PART_TEXT)->text = (struct bytes){text, len};
}

static bool parse_index(struct part *part, struct bytes text, int last_index)
{
    int index = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || i > 2)
            return false;
        index = index * 10 + (text.data[i] - '0');
    }
    part->index = index;
    return text.len > 0 && index <= last_index;
}

static bool parse_path(struct part *part, struct bytes text)
{
    while (part->name_count < PATH_LIMIT) {
        const char *dot = memchr(text.data, '.', text.len);
        size_t len = dot ? (size_t)(dot - text.data) : text.len;
        if (len == 0)
            return false;
        part->names[part->name_count++] = (struct bytes){text.data, len};
        if (!dot)
            return true;
        text = (struct bytes){dot + 1, text.len - len - 1};
    }
    return false;
}

/* `detail` is what follows the dot; data NULL: there is no dot. */
static bool parse_detail(struct part *part, const struct field *field, struct bytes detail)
{
    if (!detail.data)
        return field->detail == DETAIL_NONE || field->detail == DETAIL_INDEX;
    switch (field->detail) {
    case DETAIL_INDEX:
        return parse_index(part, detail, field->last_index);
    case DETAIL_NAME:
        part->text = detail;
        return detail.len > 0;
    case DETAIL_PATH:
        return parse_path(part, detail);
    default:
        return false;
    }
}

/* `text` is what stands between the braces. */
static int parse_field(struct parser *p, struct bytes text)
{
    const char *dot = memchr(text.data, '.', text.len);
    struct bytes name = {text.data, dot ? (size_t)(dot - text.data) : text.len};
    struct bytes detail = dot ? (struct bytes){dot + 1, text.len - name.len - 1} : BYTES_NULL;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (!bytes_eq_str(name, fields[i].name) || !(fields[i].flag & p->allowed))
            continue;
        if (!parse_detail(add_part(p, fields[i].kind), &fields[i], detail))
            return fail(p, "malformed field {%.*s}, allowed: %s", (int)(text.len < 80 ? text.len : 80), text.data,
                        fields[i].example);
        p->template->fields |= fields[i].flag;
        return 0;
    }
    return fail_unknown(p, name);
}

static int parse(struct parser *p)
{
    const char *text = p->template->text;
    for (;;) {
        size_t len = strcspn(text, "{}");
        add_text(p, text, len);
        text += len;
        if (!*text)
            return 0;
        if (text[0] == text[1]) { /* {{ and }} */
            add_text(p, text, 1);
            text += 2;
            continue;
        }
        const char *close = strchr(text, '}');
        if (*text == '}' || !close)
            return fail(p, "brace without its counterpart, allowed: {FIELD}, and {{ or }} for a brace");
        int r = parse_field(p, (struct bytes){text + 1, (size_t)(close - text - 1)});
        if (r < 0)
            return r;
        text = close + 1;
    }
}

struct template *template_parse(const char *text, unsigned allowed, char *error, size_t error_size)
{
    struct template *t = xcalloc(1, sizeof *t);
    t->text = xstrdup(text);
    struct parser p = {t, allowed, error, error_size};
    if (parse(&p) == 0)
        return t;
    template_free(t);
    return NULL;
}

void template_free(struct template *t)
{
    if (!t)
        return;
    free(t->parts);
    free(t->text);
    free(t);
}

unsigned template_fields(const struct template *t)
{
    return t->fields;
}

/* ---- expanding ---- */

static int append_present(struct buf *out, struct bytes value)
{
    if (!value.data)
        return -ENOENT;
    buf_append_bytes(out, value);
    return 0;
}

/* "/hfp/v2" has the levels "", "hfp" and "v2". */
static struct bytes topic_level(struct bytes topic, int index)
{
    if (!topic.data)
        return BYTES_NULL;
    for (;; index--) {
        const char *slash = topic.len ? memchr(topic.data, '/', topic.len) : NULL;
        size_t len = slash ? (size_t)(slash - topic.data) : topic.len;
        if (index == 0)
            return (struct bytes){topic.data, len};
        if (!slash)
            return BYTES_NULL;
        topic = (struct bytes){slash + 1, topic.len - len - 1};
    }
}

/* "chat:lobby" has the parts "chat" and "lobby"; "news" has "default" and "news". */
static struct bytes channel_part(struct bytes channel, int index)
{
    const char *colon = channel.len ? memchr(channel.data, ':', channel.len) : NULL;
    size_t len = colon ? (size_t)(colon - channel.data) : 0;
    if (!colon)
        return index == 0 ? BYTES_LIT("default") : channel;
    if (index == 0)
        return (struct bytes){channel.data, len};
    return (struct bytes){colon + 1, channel.len - len - 1};
}

static int append_payload(struct buf *out, const struct part *part, struct bytes payload)
{
    struct json_scalar value;
    int r = json_path_find(payload, part->names, part->name_count, &value);
    return r < 0 ? r : json_scalar_append(&value, out);
}

static int append_partition(struct buf *out, int32_t partition)
{
    char text[16];
    buf_append(out, text, (size_t)snprintf(text, sizeof text, "%d", partition));
    return 0;
}

static int append_part(struct buf *out, const struct part *part, const struct template_input *in)
{
    switch (part->kind) {
    case PART_TEXT:
        return append_present(out, part->text);
    case PART_TOPIC:
        return append_present(out, part->index < 0 ? in->topic : topic_level(in->topic, part->index));
    case PART_CHANNEL:
        return append_present(out, part->index < 0 ? in->channel : channel_part(in->channel, part->index));
    case PART_KEY:
        return append_present(out, in->key);
    case PART_USER:
        return append_present(out, in->user.len ? in->user : BYTES_NULL);
    case PART_PAYLOAD:
        return append_payload(out, part, in->payload);
    case PART_HEADER:
        return append_present(out, in->header ? in->header(in->header_arg, part->text) : BYTES_NULL);
    case PART_PARTITION:
        return append_partition(out, in->partition);
    }
    return -EINVAL;
}

int template_expand(const struct template *t, const struct template_input *in, struct buf *out)
{
    size_t start = out->len;
    for (size_t i = 0; i < t->part_count; i++) {
        int r = append_part(out, &t->parts[i], in);
        if (r < 0) {
            out->len = start;
            return r;
        }
    }
    return 0;
}

#include "presence.h"

#include <stdlib.h>
#include <uthash.h>

#include "hub/tags.h"

struct presence_entry {
    UT_hash_handle hh;
    struct presence_client client; /* its strings lie in `text` */
    char text[];
};

static void remove_entry(struct presence *p, struct presence_entry *e)
{
    HASH_DEL(p->entries, e);
    p->count--;
    p->listed -= !e->client.hidden;
    free(e);
}

void presence_done(struct presence *p)
{
    struct presence_entry *e, *next;
    HASH_ITER(hh, p->entries, e, next)
        remove_entry(p, e);
}

static struct presence_entry *find(const struct presence *p, const char *session)
{
    struct presence_entry *e;
    HASH_FIND(hh, p->entries, session, strlen(session), e);
    return e;
}

/* The first one from `e` on that is listed. */
static const struct presence_entry *listed(const struct presence_entry *e)
{
    while (e && e->client.hidden)
        e = e->hh.next;
    return e;
}

static size_t size_of(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

static const char *copy_to(char **at, const char *s)
{
    size_t size = size_of(s);
    if (!s)
        return NULL;
    char *copy = memcpy(*at, s, size);
    *at += size;
    return copy;
}

bool presence_join(struct presence *p, const struct presence_client *client)
{
    if (find(p, client->session))
        return false;
    struct presence_entry *e = xcalloc(1, sizeof *e + size_of(client->session) + size_of(client->user) +
                                              size_of(client->name) + size_of(client->conn_info) +
                                              size_of(client->chan_info));
    char *at = e->text;
    e->client = (struct presence_client){
        .session = copy_to(&at, client->session),
        .user = client->user ? copy_to(&at, client->user) : "",
        .name = copy_to(&at, client->name),
        .conn_info = copy_to(&at, client->conn_info),
        .chan_info = copy_to(&at, client->chan_info),
        .hidden = client->hidden,
        .silent = client->silent,
    };
    HASH_ADD_KEYPTR(hh, p->entries, e->client.session, strlen(e->client.session), e);
    p->count++;
    p->listed += !client->hidden;
    return true;
}

const struct presence_client *presence_find(const struct presence *p, const char *session)
{
    const struct presence_entry *e = find(p, session);
    return e ? &e->client : NULL;
}

void presence_leave(struct presence *p, const char *session)
{
    struct presence_entry *e = find(p, session);
    if (e)
        remove_entry(p, e);
}

void presence_each(const struct presence *p, void (*fn)(const struct presence_client *client, void *arg), void *arg)
{
    for (const struct presence_entry *e = listed(p->entries); e; e = listed(e->hh.next))
        fn(&e->client, arg);
}

static void write_entry(const struct presence_client *c, struct buf *out)
{
    buf_append_str(out, "\"session\":");
    buf_append_json_string(out, bytes_of(c->session));
    buf_append_str(out, ",\"user\":");
    buf_append_json_string(out, bytes_of(c->user));
    if (c->name) {
        buf_append_str(out, ",\"name\":");
        buf_append_json_string(out, bytes_of(c->name));
    }
}

void presence_write_entry(const struct presence *p, const char *session, struct buf *out)
{
    const struct presence_entry *e = find(p, session);
    if (e)
        write_entry(&e->client, out);
}

static void write_info(const struct presence_client *client, struct buf *out)
{
    buf_append_str(out, "{\"user\":");
    buf_append_json_string(out, bytes_of(client->user));
    buf_append_str(out, ",\"client\":");
    buf_append_json_string(out, bytes_of(client->session));
    if (client->conn_info) {
        buf_append_str(out, ",\"conn_info\":");
        json_append_line(out, bytes_of(client->conn_info));
    } else if (client->name) { /* given by a module */
        buf_append_str(out, ",\"conn_info\":{\"name\":");
        buf_append_json_string(out, bytes_of(client->name));
        buf_append_str(out, "}");
    }
    if (client->chan_info) {
        buf_append_str(out, ",\"chan_info\":");
        json_append_line(out, bytes_of(client->chan_info));
    }
    buf_append_str(out, "}");
}

void presence_write_info(const struct presence *p, const char *session, struct buf *out)
{
    const struct presence_entry *e = find(p, session);
    if (e)
        write_info(&e->client, out);
}

void presence_write(const struct presence *p, struct buf *out)
{
    const char *separator = "";
    buf_append_str(out, "[");
    for (const struct presence_entry *e = listed(p->entries); e; e = listed(e->hh.next)) {
        buf_append_str(out, separator);
        buf_append_str(out, "{");
        write_entry(&e->client, out);
        buf_append_str(out, "}");
        separator = ",";
    }
    buf_append_str(out, "]");
}

void presence_write_map(const struct presence *p, struct buf *out)
{
    const char *separator = "";
    buf_append_str(out, "{");
    for (const struct presence_entry *e = listed(p->entries); e; e = listed(e->hh.next)) {
        buf_append_str(out, separator);
        buf_append_json_string(out, bytes_of(e->client.session));
        buf_append_str(out, ":");
        write_info(&e->client, out);
        separator = ",";
    }
    buf_append_str(out, "}");
}

static int compare_users(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t presence_users(const struct presence *p)
{
    size_t n = 0, distinct = 0;
    const char **users = xmalloc((p->count + 1) * sizeof *users);
    for (const struct presence_entry *e = listed(p->entries); e; e = listed(e->hh.next))
        users[n++] = e->client.user;
    qsort(users, n, sizeof *users, compare_users);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(users[i - 1], users[i]) != 0)
            distinct++;
    free(users);
    return distinct;
}

#include "presence.h"

#include <stdlib.h>
#include <uthash.h>

struct presence_entry {
    UT_hash_handle hh;
    char *user, *name;
    char session[];
};

static void remove_entry(struct presence *p, struct presence_entry *e)
{
    HASH_DEL(p->entries, e);
    p->count--;
    free(e->user);
    free(e->name);
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

bool presence_join(struct presence *p, const char *session, const char *user, const char *name)
{
    size_t len = strlen(session);
    if (find(p, session))
        return false;
    struct presence_entry *e = xcalloc(1, sizeof *e + len + 1);
    memcpy(e->session, session, len);
    e->user = xstrdup(user);
    e->name = xstrdup(name);
    HASH_ADD_KEYPTR(hh, p->entries, e->session, len, e);
    p->count++;
    return true;
}

bool presence_has(const struct presence *p, const char *session)
{
    return find(p, session) != NULL;
}

void presence_leave(struct presence *p, const char *session)
{
    struct presence_entry *e = find(p, session);
    if (e)
        remove_entry(p, e);
}

static void write_entry(const struct presence_entry *e, struct buf *out)
{
    buf_append_str(out, "\"session\":");
    buf_append_json_string(out, bytes_of(e->session));
    buf_append_str(out, ",\"user\":");
    buf_append_json_string(out, bytes_of(e->user));
    if (e->name) {
        buf_append_str(out, ",\"name\":");
        buf_append_json_string(out, bytes_of(e->name));
    }
}

void presence_write_entry(const struct presence *p, const char *session, struct buf *out)
{
    const struct presence_entry *e = find(p, session);
    if (e)
        write_entry(e, out);
}

void presence_write(const struct presence *p, struct buf *out)
{
    const char *separator = "";
    buf_append_str(out, "[");
    for (struct presence_entry *e = p->entries; e; e = e->hh.next) {
        buf_append_str(out, separator);
        buf_append_str(out, "{");
        write_entry(e, out);
        buf_append_str(out, "}");
        separator = ",";
    }
    buf_append_str(out, "]");
}

static void write_info(const struct presence_entry *e, struct buf *out)
{
    buf_append_str(out, "{\"client\":");
    buf_append_json_string(out, bytes_of(e->session));
    buf_append_str(out, ",\"user\":");
    buf_append_json_string(out, bytes_of(e->user));
    buf_append_str(out, "}");
}

void presence_write_info(const struct presence *p, const char *session, struct buf *out)
{
    const struct presence_entry *e = find(p, session);
    if (e)
        write_info(e, out);
}

void presence_write_map(const struct presence *p, struct buf *out)
{
    const char *separator = "";
    buf_append_str(out, "{");
    for (struct presence_entry *e = p->entries; e; e = e->hh.next) {
        buf_append_str(out, separator);
        buf_append_json_string(out, bytes_of(e->session));
        buf_append_str(out, ":");
        write_info(e, out);
        separator = ",";
    }
    buf_append_str(out, "}");
}

static int compare_users(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t presence_users(const struct presence *p)
{
    size_t n = 0, distinct = 0;
    char **users = xmalloc(p->count * sizeof *users);
    for (struct presence_entry *e = p->entries; e; e = e->hh.next)
        users[n++] = e->user;
    qsort(users, n, sizeof *users, compare_users);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(users[i - 1], users[i]) != 0)
            distinct++;
    free(users);
    return distinct;
}

/* Who is subscribed to a channel: sessions of this node with their users.
 *
 * Part of a channel, hub thread only; kept where the namespace has presence or
 * join_leave, or a token says so for one subscription. */
#ifndef CRIER_HUB_PRESENCE_H
#define CRIER_HUB_PRESENCE_H

#include "util/bytes.h"

/* One of them, as views: presence keeps copies. */
struct presence_client {
    const char *session, *user;
    const char *name;                  /* shown on the typed wire; NULL none */
    const char *conn_info, *chan_info; /* raw JSON; NULL none */
    bool hidden; /* in no list */
    bool silent; /* others are not told that it comes and goes */
};

struct presence_entry;

struct presence {
    struct presence_entry *entries; /* hash by session id */
    size_t count;
    size_t listed; /* those that are not hidden */
};

void presence_done(struct presence *p);
/* True when the session was not there before. */
bool presence_join(struct presence *p, const struct presence_client *client);
/* NULL when it is not there; good until it leaves. */
const struct presence_client *presence_find(const struct presence *p, const char *session);
void presence_leave(struct presence *p, const char *session);
/* Those that are not hidden. `fn` must not change it. */
void presence_each(const struct presence *p, void (*fn)(const struct presence_client *client, void *arg), void *arg);
/* Appends `"session":..,"user":..,"name":..` of one that is there; the name only when it has one. */
void presence_write_entry(const struct presence *p, const char *session, struct buf *out);
/* Appends `{"user":..,"client":..,"conn_info":..,"chan_info":..}` of one that is there, on one line: a ClientInfo; the
 * infos only where there are. */
void presence_write_info(const struct presence *p, const char *session, struct buf *out);
/* Appends `[{"session":..,"user":..},...]`. */
void presence_write(const struct presence *p, struct buf *out);
/* Appends `{"SESSION":{ClientInfo},...}`, the shape of the channels wire and of the server API. */
void presence_write_map(const struct presence *p, struct buf *out);
/* Number of distinct users that are listed. */
size_t presence_users(const struct presence *p);

#endif

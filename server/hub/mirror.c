#include "mirror.h"

#include "hub/map.h"
#include "hub/sink.h"
#include "hub/source.h"
#include "util/clock.h"

/* NULL when there is none, or there are too many channels, or a broker keeps it: then others decide what is in it. */
static struct channel *mirror_of(struct channel *c, const char *prefix)
{
    CLEANUP_BUF name = BUF_INIT;
    enum crier_error error;
    if (!*prefix)
        return NULL;
    buf_append_str(&name, prefix);
    buf_append_bytes(&name, c->frame.name);
    if (source_of_channel(c->hub, buf_bytes(&name)) || sink_of_channel(c->hub->config, buf_bytes(&name)))
        return NULL;
    struct channel *mirror = hub_channel(c->hub, buf_bytes(&name), &error);
    if (!mirror || !namespace_is_map(mirror->ns))
        return NULL;
    source_find_numbering(mirror, NULL, "");
    return mirror;
}

static void change(struct channel *mirror, const char *key, struct bytes info, struct bytes payload)
{
    const struct publication_parts parts = {.offset = mirror->top + 1,
                                            .time_ms = clock_wall_ms(),
                                            .key = bytes_of(key),
                                            .info = info,
                                            .payload = payload};
    channel_append(mirror, publication_new(&parts));
}

void mirror_joined(struct channel *c, const struct presence_client *client)
{
    CLEANUP_BUF info = BUF_INIT;
    if (client->hidden)
        return;
    struct channel *clients = mirror_of(c, c->ns->presence_clients);
    struct channel *users = *client->user ? mirror_of(c, c->ns->presence_users) : NULL;
    if (clients) {
        presence_write_info(&c->presence, client->session, &info);
        change(clients, client->session, buf_bytes(&info), BYTES_LIT(""));
    }
    if (users && !keyed_renew(&users->keyed, bytes_of(client->user), clock_wall_ms()))
        change(users, client->user, BYTES_NULL, BYTES_LIT(""));
}

void mirror_left(struct channel *c, const struct presence_client *client)
{
    struct channel *clients = mirror_of(c, c->ns->presence_clients);
    if (clients && keyed_find(&clients->keyed, bytes_of(client->session)))
        change(clients, client->session, BYTES_NULL, BYTES_NULL);
}

struct renewal {
    struct channel *channel, *clients, *users;
    int64_t now_ms;
};

static void renew(const struct presence_client *client, void *arg)
{
    const struct renewal *r = arg;
    bool missing = r->clients && !keyed_renew(&r->clients->keyed, bytes_of(client->session), r->now_ms);
    missing |= r->users && *client->user && !keyed_renew(&r->users->keyed, bytes_of(client->user), r->now_ms);
    if (missing)
        mirror_joined(r->channel, client);
}

void mirrors_renew(struct hub *hub)
{
    struct channel *c, *next;
    HASH_ITER(hh, hub->channels, c, next)
    {
        if (c->presence.count == 0)
            continue;
        const struct renewal r = {.channel = c,
                                  .clients = mirror_of(c, c->ns->presence_clients),
                                  .users = mirror_of(c, c->ns->presence_users),
                                  .now_ms = clock_wall_ms()};
        if (r.clients || r.users)
            presence_each(&c->presence, renew, (void *)&r);
    }
}

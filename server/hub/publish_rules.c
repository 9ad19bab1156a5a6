#include "publish_rules.h"

#include <stdlib.h>

#include "hub/message_ids.h"
#include "hub/source.h"
#include "hub/tags.h"
#include "proto/json_scan.h"

/* JSON clients of the typed wire cannot send "no payload": in a keyed channel their null deletes the key. */
static void read_tombstone(struct hub_publish *p, const struct config_namespace *ns)
{
    if (ns->keyed && p->has_key && !p->map && bytes_eq_str(buf_bytes(&p->payload), "null"))
        p->tombstone = true;
}

static const char *check_key(const struct hub_publish *p, const struct config_namespace *ns)
{
    if (p->map && (!ns->keyed || ns->map == MAP_OFF))
        return "the channel is no map";
    if (p->map && p->key.len == 0)
        return "a change of a map needs a key";
    if (p->key_mode != KEY_ANY && (!p->has_key || !ns->keyed))
        return "conditions on a key need one, in a keyed channel";
    if (p->tombstone && !p->has_key)
        return "a removal needs a key";
    if (p->version && ns->keyed && ns->map == MAP_EPHEMERAL)
        return "ephemeral maps keep no versions";
    return NULL;
}

static const char *check_ids(const struct hub_publish *p)
{
    if (p->message_id && strlen(p->message_id) > MESSAGE_ID_MAX)
        return "the message id is too long";
    if (p->version_epoch && strlen(p->version_epoch) > VERSION_EPOCH_MAX)
        return "version_epoch is too long";
    return NULL;
}

static const char *check_tags(struct hub_publish *p)
{
    CLEANUP_BUF tags = BUF_INIT;
    if (!p->tags)
        return NULL;
    if (tags_append(&tags, bytes_of(p->tags)) < 0)
        return "tags have to be an object of strings, 32 at most";
    free(p->tags);
    p->tags = tags.len ? bytes_dup(buf_bytes(&tags)) : NULL;
    return NULL;
}

static const char *check_info(struct hub_publish *p)
{
    CLEANUP_BUF info = BUF_INIT;
    if (!p->info)
        return NULL;
    if (!json_is_value(bytes_of(p->info), JSON_DEPTH_DEFAULT) || *p->info != '{')
        return "the publisher's info has to be an object";
    json_append_line(&info, bytes_of(p->info));
    free(p->info);
    p->info = bytes_dup(buf_bytes(&info));
    return NULL;
}

enum crier_error publish_check(struct hub *hub, struct hub_publish *p, const struct sink *sink, const char **ret_detail)
{
    struct bytes channel = bytes_of(p->channel);
    const struct config_namespace *ns = config_namespace_of(hub->config, channel);
    *ret_detail = NULL;
    if (hub->draining)
        return CRIER_ERR_SHUTTING_DOWN;
    if (!channel_name_valid(hub->config, channel))
        return CRIER_ERR_BAD_REQUEST;
    if (!ns)
        return CRIER_ERR_UNKNOWN_CHANNEL;
    read_tombstone(p, ns);
    if ((*ret_detail = check_key(p, ns)) || (*ret_detail = check_ids(p)) || (*ret_detail = check_tags(p)) ||
        (*ret_detail = check_info(p)))
        return CRIER_ERR_BAD_REQUEST;
    if (!sink && source_of_channel(hub, channel))
        *ret_detail = "the channel is fed by a source and has no sink";
    if (sink && p->tags && !bridge_instance_can(sink->bridge, BRIDGE_HEADERS))
        *ret_detail = "the channel's broker has no headers, so tags cannot travel";
    return *ret_detail ? CRIER_ERR_NOT_AVAILABLE : CRIER_OK;
}

bool publish_is_conditional(const struct hub_publish *p)
{
    return p->version || p->key_mode != KEY_ANY || (p->map && p->tombstone);
}

static const struct version *version_of(const struct channel *c, const struct hub_publish *p)
{
    static const struct version none;
    if (!c->ns->keyed || !p->has_key)
        return &c->version;
    const struct version *of_key = keyed_version(&c->keyed, buf_bytes(&p->key));
    return of_key ? of_key : &none;
}

enum publish_suppressed publish_judge(const struct channel *c, const struct hub_publish *p, const struct sink *sink)
{
    if (p->version && !version_is_new(version_of(c, p), p->version, bytes_of(p->version_epoch ? p->version_epoch : "")))
        return SUPPRESSED_VERSION;
    bool exists = p->has_key && keyed_find(&c->keyed, buf_bytes(&p->key));
    if (p->key_mode == KEY_IF_NEW && exists)
        return SUPPRESSED_KEY_EXISTS;
    if (p->key_mode == KEY_IF_EXISTS && !exists)
        return SUPPRESSED_KEY_NOT_FOUND;
    /* What is on its way to a broker is not in the table yet, and may be removed all the same. */
    bool removes_nothing = p->map && p->tombstone && !exists && !sink;
    return removes_nothing ? SUPPRESSED_KEY_NOT_FOUND : NOT_SUPPRESSED;
}

static struct bytes epoch_of(const struct version *v)
{
    return bytes_of(v->epoch ? v->epoch : "");
}

void publish_take_version(struct hub *hub, const struct hub_publish *p, struct version *ret_before)
{
    struct channel *c = p->version ? hub_channel_find(hub, bytes_of(p->channel)) : NULL;
    if (!c || (c->ns->keyed && p->has_key))
        return;
    version_set(ret_before, c->version.number, epoch_of(&c->version));
    version_set(&c->version, p->version, bytes_of(p->version_epoch ? p->version_epoch : ""));
}

void publish_give_version_back(struct hub *hub, const struct hub_publish *p, const struct version *before)
{
    struct channel *c = p->version ? hub_channel_find(hub, bytes_of(p->channel)) : NULL;
    if (!c || c->version.number != p->version)
        return;
    version_done(&c->version);
    version_set(&c->version, before->number, epoch_of(before));
}

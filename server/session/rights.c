#include "rights.h"

#include "loop/engine.h"
#include "session/session.h"

/* What a namespace says about a right: the flag that gives it, and whether only subscribers have it. */
struct rule {
    bool given;
    bool subscribers_only;
};

static struct rule rule_of(const struct config_namespace *ns, enum right right)
{
    const struct rule rules[] = {
        [RIGHT_SUBSCRIBE] = {ns->subscribe, false},
        [RIGHT_PUBLISH] = {ns->publish, ns->publish_subscribed},
        [RIGHT_HISTORY] = {ns->subscribe && ns->read_history, false},
        [RIGHT_PRESENCE] = {ns->subscribe && ns->read_presence, false},
        [RIGHT_MAP_PUBLISH] = {ns->map_publish, ns->publish_subscribed},
        [RIGHT_MAP_REMOVE] = {ns->map_remove, ns->publish_subscribed},
    };
    return rules[right];
}

/* ---- names that say who ---- */

/* What follows the first sign for users in the rest of the name; data NULL without one.
 *     dialog:ann#ann,ben -> ann,ben      news -> none      dialog:x# -> "" : nobody */
static struct bytes user_list(const struct config_namespace *ns, struct bytes channel)
{
    struct bytes rest = config_channel_rest(ns, channel);
    size_t sign = strlen(ns->user_channels);
    const char *at = sign && rest.len ? memmem(rest.data, rest.len, ns->user_channels, sign) : NULL;
    if (!at)
        return BYTES_NULL;
    return (struct bytes){at + sign, (size_t)(rest.data + rest.len - at) - sign};
}

static bool is_listed(struct bytes list, const char *user)
{
    while (list.data && *user) {
        const char *comma = list.len ? memchr(list.data, ',', list.len) : NULL;
        size_t len = comma ? (size_t)(comma - list.data) : list.len;
        if (bytes_eq_str((struct bytes){list.data, len}, user))
            return true;
        list = comma ? (struct bytes){comma + 1, list.len - len - 1} : BYTES_NULL;
    }
    return false;
}

bool rights_restricted(const struct config_namespace *ns, struct bytes channel)
{
    return config_channel_needs_token(ns, channel) || user_list(ns, channel).data;
}

/* Who may not subscribe to such a channel may do nothing else with it: reading its history tells as much. */
static bool name_allows(const struct config_namespace *ns, const char *user, struct bytes channel, enum right right,
                        unsigned facts)
{
    struct bytes users = user_list(ns, channel);
    bool inside = right != RIGHT_SUBSCRIBE && (facts & RIGHT_SUBSCRIBED);
    if (inside || (facts & RIGHT_HAS_TOKEN))
        return true;
    return !config_channel_needs_token(ns, channel) && (!users.data || is_listed(users, user));
}

/* ---- deciding ---- */

static bool allowed(const struct config_namespace *ns, const char *user, struct bytes channel, enum right right,
                    unsigned facts)
{
    struct rule rule = rule_of(ns, right);
    if (!name_allows(ns, user, channel, right, facts))
        return false;
    /* A token is the subscription's permission whatever the namespace says. */
    if (right == RIGHT_SUBSCRIBE && (facts & RIGHT_HAS_TOKEN))
        return true;
    /* Who is subscribed, by a token or by the server, reads what every subscriber may read. */
    if (right == RIGHT_HISTORY && (facts & (RIGHT_SUBSCRIBED | RIGHT_HAS_TOKEN)))
        return ns->read_history;
    if (right == RIGHT_PRESENCE && (facts & (RIGHT_SUBSCRIBED | RIGHT_HAS_TOKEN)))
        return ns->read_presence;
    if (rule.subscribers_only && !(facts & RIGHT_SUBSCRIBED))
        return false;
    bool keyed_by_user = (right == RIGHT_MAP_PUBLISH || right == RIGHT_MAP_REMOVE) && ns->client_key == CLIENT_KEY_USER;
    return rule.given && (*user || (ns->anonymous && !keyed_by_user));
}

enum crier_error rights_of_user(const struct config *config, const struct config_namespace *ns, const char *user,
                                struct bytes channel, enum right right, unsigned facts)
{
    if (!ns)
        return CRIER_ERR_UNKNOWN_CHANNEL;
    if (!config_channel_fits(ns, channel))
        return CRIER_ERR_BAD_REQUEST;
    if (config->debug.insecure || allowed(ns, user, channel, right, facts))
        return CRIER_OK;
    return CRIER_ERR_PERMISSION_DENIED;
}

enum crier_error rights_check(const struct session *s, const struct config_namespace *ns, struct bytes channel,
                              enum right right, unsigned facts)
{
    return rights_of_user(s->loop->engine->config, ns, s->user, channel, right, facts);
}

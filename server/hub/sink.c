#include "sink.h"

#include <stdlib.h>

#include "hub/hub.h"

static bool matches(const char *pattern, struct bytes channel)
{
    size_t len = strlen(pattern);
    if (len && pattern[len - 1] == '*')
        return channel.len >= len - 1 && memcmp(channel.data, pattern, len - 1) == 0;
    return bytes_eq_str(channel, pattern);
}

const struct config_sink *sink_of_channel(const struct config *config, struct bytes channel)
{
    for (size_t i = 0; i < config->sink_count; i++)
        if (matches(config->sinks[i].channel, channel))
            return &config->sinks[i];
    return NULL;
}

struct sink *sinks_find(struct sink *sinks, size_t count, struct bytes channel)
{
    for (size_t i = 0; i < count; i++)
        if (matches(sinks[i].config->channel, channel))
            return &sinks[i];
    return NULL;
}

struct sink *sinks_new(struct hub *hub)
{
    const unsigned fields = TEMPLATE_CHANNEL | TEMPLATE_KEY | TEMPLATE_USER | TEMPLATE_PAYLOAD;
    struct sink *sinks = xcalloc(hub->config->sink_count, sizeof *sinks);
    char error[160]; /* the configuration has been checked already */

    for (size_t i = 0; i < hub->config->sink_count; i++) {
        const struct config_sink *config = &hub->config->sinks[i];
        sinks[i] = (struct sink){
            .config = config,
            .bridge = bridge_instance_find(hub, config->bridge),
            .topic = template_parse(config->topic, fields, error, sizeof error),
            .key = config->key && *config->key ? template_parse(config->key, fields, error, sizeof error) : NULL,
        };
    }
    return sinks;
}

void sinks_free(struct sink *sinks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        template_free(sinks[i].topic);
        template_free(sinks[i].key);
    }
    free(sinks);
}

/* Sources: records of a bridge's topic become publications of channels.
 *
 * Owned by the hub, hub thread only. A source knows the partitions that it reads: where it began, how far it got, and
 * the epoch under which their offsets are positions. */
#ifndef CRIER_HUB_SOURCE_H
#define CRIER_HUB_SOURCE_H

#include <uthash.h>

#include "bridges/bridge.h"
#include "hub/bridge_instance.h"
#include "hub/channel.h"
#include "hub/dead_letter.h"
#include "hub/transform.h"
#include "util/template.h"

struct hub;

struct partition {
    struct source *source;
    char *topic;
    int32_t number;
    char epoch[CHANNEL_EPOCH_SIZE];
    int64_t start;     /* first offset that this node read, or would read */
    int64_t last;      /* newest offset seen, start - 1 before the first */
    int64_t end;       /* one past the newest at the time of the assignment; -1 unknown */
    int64_t forgotten; /* highest floor of a channel that was dropped from memory; -1 none */
    int64_t lost;      /* highest history.lost of one; INT64_MIN none */
    bool started;      /* `start` is known */
    bool away;         /* shared mode: another member of the group may have had records meanwhile */
    UT_hash_handle hh; /* by epoch */
};

struct source {
    struct bridge_consumer consumer; /* first */
    struct hub *hub;
    struct bridge_instance *bridge;
    const struct config_source *config;
    struct template *channel, *key;
    struct template **tags;
    struct template *latitude, *longitude; /* both or none */
    const struct transform *transform;     /* NULL none */
    struct bridge_source_sub *sub;
    struct partition *partitions; /* hash by epoch */
    struct partition *recent;     /* of the last record: records of one partition come in runs */
    int32_t partition_count;
    enum bridge_start from;
    struct dead_letters letters;
    bool caught_up;
    uint64_t records, failed;
    struct buf scratch; /* channel name of the record at hand */
};

int source_init(struct source *s, struct hub *hub, const struct config_source *config, char *error, size_t error_size);
void source_done(struct source *s);
int source_subscribe(struct source *s, char *error, size_t error_size);
void source_set_paused(struct source *s, bool paused);

/* Source whose channel template could give this name, the most exact one of several; NULL for none. */
struct source *source_of_channel(struct hub *hub, struct bytes channel);
/* True when no channel of this source can have the broker's offsets as positions. */
bool source_numbers_here(const struct source *s);
/* The partition that a channel without records is tied to: the one of the client's epoch, or the only one; else NULL. */
struct partition *source_partition_for(struct source *s, const char *epoch);
/* A channel without records is tied to its partition as soon as that is known; `s` is its source, NULL for none, `epoch`
 * the one that a client named. Nothing happens to one that is numbered. */
void source_find_numbering(struct channel *c, struct source *s, const char *epoch);
/* Maps one record as the live path does. Returns 0 and a new reference, -ENOENT when the record is not for `channel`. */
int source_map_for(struct source *s, const struct bridge_record *r, struct bytes channel, struct publication **ret);

#endif

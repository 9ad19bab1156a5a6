/* Transforms: code of a module that decides what a source's record becomes, and clocks and metrics beside it.
 *
 * Registered on the main thread before the hub is made, constant from then on; run on the hub thread only. Views given
 * to a transform are valid during its call, views that it gives until its next call. */
#ifndef CRIER_HUB_TRANSFORM_H
#define CRIER_HUB_TRANSFORM_H

#include "bridges/bridge.h"

#define ORIGIN_TOPIC_HEADER "crier-topic" /* the topic in which a relay found the record */

struct hub;

struct transform_record {
    const struct bridge_record *record;
    struct bytes topic; /* the original one where a relay moved the record */
    bool replay;        /* part of the history that is read at start: state is rebuilt, nothing new happens */
    bool pure;          /* read again for a resume: nothing may change */
};

/* Preset by the source's templates. */
struct transform_result {
    struct bytes channel, key;
    struct bytes tags;    /* JSON object of strings, or empty: the source's own tags */
    struct bytes payload; /* data NULL: a tombstone */
    bool has_geo;
    int32_t latitude_e6, longitude_e6;
};

enum transform_verdict { TRANSFORM_TAKE, TRANSFORM_DROP, TRANSFORM_REFUSE };

struct transform {
    char *name;
    /* `ret_reason` of a refused record is static text for the dead letter. */
    enum transform_verdict (*fn)(void *arg, const struct transform_record *r, struct transform_result *out,
                                 const char **ret_reason);
    void *arg;
};

/* -EEXIST when the name is taken. */
int transform_register(const struct transform *t);
/* NULL when there is none. */
const struct transform *transform_find(const char *name);
/* Calls `fn` on the hub thread every `period_ms`, as exactly as the hub's sweep comes (200 ms). */
void transform_every(uint64_t period_ms, void (*fn)(void *arg), void *arg);
void transforms_tick(uint64_t now_ms);
/* Calls `fn` on the hub thread when /metrics is read; it appends lines. */
void transform_on_metrics(void (*fn)(struct buf *out, void *arg), void *arg);
void transforms_render(struct buf *out);
/* Forgets all of them. */
void transforms_done(void);

/* Hub thread: publishes on a channel that this node keeps itself. False when the name is not allowed, or a broker feeds
 * it. */
struct keep {
    struct bytes channel, key, tags, payload; /* payload data NULL: a tombstone */
};
bool hub_keep(struct hub *hub, const struct keep *k);

#endif

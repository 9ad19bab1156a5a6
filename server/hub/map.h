/* Map channels: a table of the newest publication of each key, read in pages, beside the stream of its changes.
 *
 * A keyed namespace makes its channels maps, unless it says map = "off". Calls are made and freed on the asking thread
 * and answered on the hub.
 *
 * A change is a publish with `map` set (publish.h): key, tombstone for a removal, key_mode, version. The stream is the
 * channel's history (history_call.h with `map` set). A subscriber reads the state in pages under the position of the first
 * page, then subscribes from that position: what changed meanwhile is in the answer. */
#ifndef CRIER_HUB_MAP_H
#define CRIER_HUB_MAP_H

#include "hub/hub.h"

struct hub_map_read {
    struct hub_call call; /* first */
    /* in */
    char *channel;
    enum frame_form form; /* FORM_ITEM_JSON, ... */
    int64_t limit;        /* entries at most; 0: only position and number of keys; -1: all */
    bool has_cursor;
    struct buf cursor;    /* key after which the page begins, in byte order */
    bool has_key;
    struct buf key;       /* only this one */
    bool has_revision;    /* position of the first page: entries that changed later are left out, the stream has them */
    char revision_epoch[CHANNEL_EPOCH_SIZE]; /* "": whatever epoch there is; another one than the map's is 112 */
    int64_t revision_offset;
    bool shifted;         /* revision_offset is one of the channels wire (or of the server API); 0: none, check the epoch only */
    const struct tag_filter *filter; /* entries that it does not want are left out; NULL none are. Lives until `done` */
    const struct geo_box *box;       /* the same: what is not in it; NULL the whole globe and what has no place */
    /* out */
    enum crier_error error; /* 102, 107: no map, 112 */
    const char *detail;     /* static; NULL: the table's text */
    enum map_mode mode;
    char epoch[CHANNEL_EPOCH_SIZE];
    int64_t position; /* of the map as it was read; under a revision that of the first page */
    int64_t top;      /* of the map now */
    int shift;        /* what the channels wire adds to offsets */
    bool unnumbered;  /* ephemeral: clients are told no offsets, only the epoch */
    bool more;        /* `next` is where the next page begins */
    struct buf next;
    size_t keys;      /* in the whole map */
    struct frame_block *block; /* NULL: no entries */
    void *arg, *arg2; /* the caller's */
};

struct hub_map_read *hub_map_read_new(struct inbox *origin, struct bytes channel,
                                      void (*done)(struct hub_call *call, void *owner));
void hub_map_read_free(struct hub_map_read *r);

/* Empties state and stream of a map that no broker feeds and begins a new epoch; its subscribers are told. */
struct hub_map_clear {
    struct hub_call call; /* first */
    char *channel;
    enum crier_error error; /* 102, 107: no map, 108: a broker keeps it */
    const char *detail;
    void *arg, *arg2; /* the caller's */
};

struct hub_map_clear *hub_map_clear_new(struct inbox *origin, struct bytes channel,
                                        void (*done)(struct hub_call *call, void *owner));
void hub_map_clear_free(struct hub_map_clear *c);

static inline bool namespace_is_map(const struct config_namespace *ns)
{
    return ns->keyed && ns->map != MAP_OFF;
}

/* Changes have offsets that clients may resume from. */
static inline bool map_is_streamed(const struct config_namespace *ns)
{
    return ns->map != MAP_EPHEMERAL;
}

#endif

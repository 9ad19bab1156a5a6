/* Publications as bytes ready for a socket: made once per form on the hub, shared by all loops.
 *
 * A form is one encoding of one wire. A block is an immutable run of frames with an atomic reference count; each frame
 * has a mark that says where it ends and which position a client has after it. */
#ifndef CRIER_HUB_FRAME_H
#define CRIER_HUB_FRAME_H

#include <stdatomic.h>

#include "publication.h"
#include "proto/channels.h"
#include "proto/tag_filter.h"
#include "proto/typed.h"

enum frame_form {
    FORM_TYPED_BINARY,   /* payload as it is */
    FORM_TYPED_PROTOBUF, /* binary, payload transcoded by the schema of its message type */
    FORM_TYPED_STRING,   /* text, payload as a string */
    FORM_TYPED_BODY,     /* the same, for clients whose word for it is `body` */
    FORM_TYPED_OBJECT,   /* text, payload as a JSON value */
    FORM_POLL,           /* `{"offset":..,"data":..},` for GET /channels/... */
    FORM_PAYLOAD_JSON,     /* the payload alone, for those who put envelopes around it later */
    FORM_PAYLOAD_PROTOBUF, /* the payload alone, transcoded */
    FORM_CHANNELS_JSON,    /* pushes of the channels wire in text frames */
    FORM_CHANNELS_PROTOBUF,
    FORM_CHANNELS_SSE,
    FORM_CHANNELS_LINES, /* HTTP stream */
    FORM_CHANNELS_LINES_PROTOBUF,
    FORM_CHANNELS_UNI,   /* unidirectional, text frames */
    FORM_CHANNELS_UNI_SSE,
    FORM_CHANNELS_UNI_LINES,
    FORM_CHANNELS_JSON_STRING, /* data as a string: what a subscription with deltas starts with */
    FORM_CHANNELS_SSE_STRING,
    FORM_CHANNELS_LINES_STRING,
    FORM_CHANNELS_JSON_DELTA, /* data as a delta against the publication before (of the key, where keyed), if that is shorter */
    FORM_CHANNELS_PROTOBUF_DELTA,
    FORM_CHANNELS_SSE_DELTA,
    FORM_CHANNELS_LINES_DELTA,
    FORM_CHANNELS_LINES_PROTOBUF_DELTA,
    FORM_ITEM_JSON, /* publications for replies of the channels wire; not framed */
    FORM_ITEM_STRING,
    FORM_ITEM_PROTOBUF,
    FORM_ITEM_DELTA, /* the first of each key in full, the others against the one before */
    FORM_ITEM_PROTOBUF_DELTA,
    FORM_COUNT,
    FORM_DEFLATED = 32, /* beside a form of WebSocket frames: the same frames, compressed where that pays */
};

static inline enum frame_form frame_form_plain(enum frame_form form)
{
    return (enum frame_form)(form & ~(unsigned)FORM_DEFLATED);
}

/* `form` as its frames are for a session that takes compressed ones, or does not. */
static inline enum frame_form frame_form_deflated(enum frame_form form, bool deflated)
{
    return deflated ? (enum frame_form)(form | FORM_DEFLATED) : form;
}

/* How the channels wire frames a form; false for forms of other wires and for items, which are not framed. */
bool frame_form_style(enum frame_form form, struct channels_style *ret);

/* Where a subscription with deltas begins: its data are strings already, but all in full. */
enum frame_form frame_form_before_deltas(enum frame_form form);
/* Where it goes from there; the same form where there are no deltas. */
enum frame_form frame_form_of_deltas(enum frame_form form);
/* Frames of this form may be deltas against the one before. */
bool frame_form_has_deltas(enum frame_form form);
/* The items that belong to a form of the channels wire. */
enum frame_form frame_form_items(enum frame_form form);

struct frame_mark {
    int64_t offset; /* of the publication; a notice repeats the one before it */
    uint32_t end;   /* in the block's bytes */
};

enum {
    FRAME_HAS_GEO = 1,
    FRAME_REMOVED = 2,    /* a tombstone */
    FRAME_JOIN_LEAVE = 4, /* a notice for those who asked for it */
    FRAME_NOT_JSON = 8,   /* an empty frame in place of what this form cannot carry: its subscribers are closed with 3506 */
    FRAME_WAS_PLACED = 16,  /* its key had a place before */
    FRAME_WAS_UNKNOWN = 32, /* nobody knows where its key was before */
    FRAME_RETAGGED = 64,    /* its key had, or may have had, other tags before */
};

/* What filters, views and tables on a loop look at; not part of the bytes that are sent. */
struct frame_meta {
    int32_t latitude_e6, longitude_e6; /* degrees * 1e6, where FRAME_HAS_GEO */
    int32_t was_latitude_e6, was_longitude_e6; /* where FRAME_WAS_PLACED */
    uint32_t key, key_len;             /* in meta_bytes */
    uint32_t tags, tags_len;           /* the same: a JSON object of strings, or nothing */
    uint8_t flags;
};

struct frame_block {
    atomic_uint refs;
    uint32_t count;
    size_t len;
    struct frame_mark *marks;
    struct frame_meta *metas; /* one a frame; NULL when no frame has anything to say */
    char *meta_bytes;
    size_t meta_len;
    char *bytes;
};

/* What is known of a frame beside its bytes. */
struct frame_facts {
    struct bytes key, tags; /* empty: none */
    int32_t latitude_e6, longitude_e6, was_latitude_e6, was_longitude_e6;
    uint8_t flags;
};

/* What one who holds what lies in a box, and nothing else, has to hear of a frame. */
enum frame_sight {
    FRAME_UNSEEN, /* nothing */
    FRAME_SEEN,   /* all of it */
    FRAME_GONE,   /* that its key is not there any more */
};
/* By place alone. */
enum frame_sight frame_sight(const struct frame_facts *f, const struct geo_box *box);
/* Of a frame that is not FRAME_UNSEEN, whose tags are not wanted. */
enum frame_sight frame_sight_unwanted(const struct frame_facts *f, const struct geo_box *box);

struct frame_block *frame_block_ref(struct frame_block *b);
void frame_block_unref(struct frame_block *b); /* accepts NULL */

struct frame_deflate;

/* What frames say of their channel. */
struct frame_channel {
    struct bytes name;
    uint32_t message_type;
    bool keyed; /* text frames name the key */
    uint8_t shift;      /* what the channels wire adds to offsets: 1 where the broker counts from 0 */
    bool delta_by_key;  /* deltas are against the one before of the same key */
    bool delta_always;  /* deltas of every publication, not only of those that ask for it */
    bool unnumbered;    /* clients of the channels wire are told no offsets: an ephemeral map */
    bool epoch_is_news; /* the next publication says the epoch on the channels wire */
    const char *epoch;
    struct frame_deflate *deflate; /* of the thread that makes the frames; NULL: none are compressed */
};

/* `f` NULL: everything. */
static inline bool filter_wants(const struct tag_filter *f, const struct publication *p)
{
    return !f || tag_filter_matches(f, publication_tags(p));
}

/* Collects frames; frame_builder_finish() freezes them. */
struct frame_builder {
    enum frame_form form;
    const struct frame_channel *channel;
    const struct tag_filter *filter; /* what it does not want is not added; NULL everything */
    const struct geo_box *box; /* of changes: what is not in it is not added, but a removal where it was in it; NULL none */
    bool unsure;               /* the client may hold what the entry before does not tell */
    bool unnumbered;           /* says no offsets */
    bool gone;                 /* the publication at hand goes in as the removal of its key */
    struct buf bytes;
    struct buf marks;
    struct buf metas; /* empty before the first frame that has something to say */
    struct buf meta_bytes;
    struct buf scratch;
    struct frame_deflate *deflate; /* where the form is compressed */
    struct delta_chain *chain; /* items: what the next one is a delta against; NULL where there are none */
    struct bytes delta;        /* of the publication at hand; data NULL: in full */
    uint32_t count;
};

/* Said between publications. Not for pollers and others who only want publications. */
struct frame_notice {
    uint32_t type;     /* control message of the typed wire */
    struct bytes json; /* its payload */
    struct bytes info; /* of who joins or leaves, for the channels wire; data NULL: it does not hear of this */
};

void frame_builder_init(struct frame_builder *b, enum frame_form form, const struct frame_channel *channel);
void frame_builder_add(struct frame_builder *b, struct publication *p);
/* As the delta, where the form has deltas and `delta.data` is not NULL. */
void frame_builder_add_delta(struct frame_builder *b, struct publication *p, struct bytes delta);
/* The removal of its key, on the channels wire. */
void frame_builder_add_removal(struct frame_builder *b, struct publication *p);
void frame_builder_add_notice(struct frame_builder *b, const struct frame_notice *n, int64_t offset);
/* Ends a frame that the caller appended to `bytes`. */
void frame_builder_mark(struct frame_builder *b, int64_t offset);
/* NULL when nothing was added. Leaves the builder empty. */
struct frame_block *frame_builder_finish(struct frame_builder *b);

/* Appends one typed control or reply message with its WebSocket header, in the form of the session. `member` ("name":value)
 * goes into the envelope of the text forms, beside the payload; data NULL: none. */
void frame_append_typed(struct buf *out, enum frame_form form, const struct typed_envelope *e, struct bytes payload,
                        struct bytes member);

/* Turns a JSON payload into protobuf by the schema of a message type; -ENOENT without schema. Set before threads start. */
typedef int (*frame_transcode_fn)(void *arg, uint32_t type, struct bytes json, struct buf *out);
void frame_set_transcoder(frame_transcode_fn fn, void *arg);

#endif

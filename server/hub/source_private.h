/* What the files of a source share. Hub thread only; the rules of source.h hold. */
#ifndef CRIER_HUB_SOURCE_PRIVATE_H
#define CRIER_HUB_SOURCE_PRIVATE_H

#include "hub/source.h"

/* source_partition.c */
/* NULL before its assignment. */
struct partition *source_find_partition(struct source *s, struct bytes topic, int32_t number);
void source_drop_partition(struct source *s, struct partition *p);
/* The first record that this node reads, or would read. A negative one says nothing. */
void source_begin_partition(struct partition *p, int64_t offset);
void source_on_assigned(struct bridge_consumer *consumer, struct bytes topic, int32_t number, int32_t partitions,
                        struct bytes epoch_seed, int64_t oldest, int64_t end);
/* True for a record that is offered again after a reconnect. */
bool source_seen_before(struct source *s, struct partition *p, int64_t offset);

/* source_map.c */
/* What the source's templates say of a record, and then its transform. The views are into `s->scratch` and `tags`, `key`
 * or into the record. */
enum transform_verdict source_map_record(struct source *s, const struct bridge_record *r, bool pure,
                                         struct transform_result *out, struct buf *key, struct buf *tags,
                                         const char **ret_reason);
/* A new reference. */
struct publication *source_make_publication(const struct transform_result *m, const struct bridge_record *r,
                                            int64_t offset);

#endif

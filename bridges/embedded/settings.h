/* Options of an embedded bridge, checked and completed with defaults.
 *
 * Filled by emb_settings_read(), emptied by emb_settings_done(). */
#ifndef CRIER_EMBEDDED_SETTINGS_H
#define CRIER_EMBEDDED_SETTINGS_H

#include "bridge.h"
#include "embedded/store.h"

struct settings {
    char *path;
    char *compact; /* comma list of topics, a trailing '*' matches any rest; "" none */
    int64_t partitions;
    int64_t retention_bytes, retention_ms;
    int64_t busy_timeout_ms, max_bytes;
    int64_t compact_lag_ms, tombstone_ms;
};

extern const char *const emb_settings_names[];

int emb_settings_read(const struct bridge_open *open, struct settings *ret_settings, char *error, size_t error_size);
void emb_settings_done(struct settings *s);
/* What a topic of this name gets. A compacted one keeps the newest record of each key for ever: no retention. */
struct store_policy emb_settings_policy(const struct settings *s, struct bytes topic);

#endif

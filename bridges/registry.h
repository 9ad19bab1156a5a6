/* Finds drivers by name: the embedded one in the binary, every other in a shared object that is loaded when asked for.
 *
 * Used while starting, by one thread; a loaded driver stays until the process ends. */
#ifndef CRIER_BRIDGE_REGISTRY_H
#define CRIER_BRIDGE_REGISTRY_H

#include "bridge.h"

struct bridge_known {
    const char *name;
    const char *summary;
    const char *package; /* Debian package that building it needs */
};

extern const struct bridge_known bridge_known_drivers[];
extern const size_t bridge_known_count;

/* `driver_dir` "" or NULL: drivers/ beside the binary, then the installed place. -ENOENT when there is no such file or
 * driver, -ELIBBAD when it cannot be used; `error` then has a reason of one line. */
CRIER_API int bridge_registry_find(const char *name, const char *driver_dir, const struct bridge_ops **ret_ops,
                                   char *error, size_t error_size);

/* One more driver that is linked in beside the embedded one: a program's own, e.g. a test double. */
CRIER_API void bridge_registry_add(const struct bridge_ops *ops);

/* The capabilities as words, "ordered acked ...", in the order of their bits. */
CRIER_API void bridge_caps_write(unsigned caps, struct buf *out);

#endif

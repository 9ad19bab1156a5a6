#include "registry.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

const struct bridge_known bridge_known_drivers[] = {
    {"embedded", "a durable topic log in one SQLite file, without a broker", "libsqlite3-dev"},
    {"kafka", "Apache Kafka by librdkafka", "librdkafka-dev"},
    {"mqtt", "MQTT 5 and 3.1.1 by paho", "libpaho-mqtt-dev"},
    {"rabbitmq", "RabbitMQ by librabbitmq", "librabbitmq-dev"},
    {"nats", "NATS and JetStream by libnats", "libnats-dev"},
    {"redis", "Redis Pub/Sub and Streams by hiredis", "libhiredis-dev"},
    {"pulsar", "Apache Pulsar by its WebSocket API", "libwebsockets-dev"},
    {"rocketmq", "Apache RocketMQ by its remoting protocol", "zlib1g-dev"},
};
const size_t bridge_known_count = sizeof bridge_known_drivers / sizeof *bridge_known_drivers;

static const struct bridge_ops *added;

static const char *const cap_names[] = {
    "ordered",    "replayable", "acked",     "keyed",    "pausable",   "headers",
    "positioned", "shared",     "wildcards", "retained", "tombstones",
};

void bridge_caps_write(unsigned caps, struct buf *out)
{
    size_t start = out->len;
    for (unsigned i = 0; i < sizeof cap_names / sizeof *cap_names; i++)
        if (caps & (1u << i))
            buf_printf(out, "%s%s", out->len > start ? " " : "", cap_names[i]);
}

static const struct bridge_known *find_known(const char *name)
{
    for (size_t i = 0; i < bridge_known_count; i++)
        if (strcmp(bridge_known_drivers[i].name, name) == 0)
            return &bridge_known_drivers[i];
    return NULL;
}

/* Folder of the running binary; false when the kernel does not tell. */
static bool binary_dir(char *out, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", out, size - 1);
    if (len <= 0)
        return false;
    out[len] = 0;
    *strrchr(out, '/') = 0;
    return true;
}

/* The path of the driver's file where it exists. */
static bool find_file(const char *name, const char *driver_dir, char *path, size_t size)
{
    char dir[PATH_MAX];
    if (driver_dir && driver_dir[0]) {
        snprintf(path, size, "%s/%s.so", driver_dir, name);
        return access(path, F_OK) == 0;
    }
    if (binary_dir(dir, sizeof dir)) {
        snprintf(path, size, "%s/drivers/%s.so", dir, name);
        if (access(path, F_OK) == 0)
            return true;
    }
    snprintf(path, size, "%s/%s.so", CRIER_DRIVER_DIR, name);
    return access(path, F_OK) == 0;
}

static int fail_missing(const char *name, const char *driver_dir, char *error, size_t error_size)
{
    const struct bridge_known *known = find_known(name);
    CLEANUP_BUF list = BUF_INIT;
    if (known && driver_dir && driver_dir[0]) {
        snprintf(error, error_size, "no %s.so in %s; building it needs %s", name, driver_dir, known->package);
        return -ENOENT;
    }
    if (known) {
        snprintf(error, error_size, "not in this build (it would need %s)", known->package);
        return -ENOENT;
    }
    for (size_t i = 0; i < bridge_known_count; i++)
        buf_printf(&list, "%s%s", i ? ", " : "", bridge_known_drivers[i].name);
    snprintf(error, error_size, "unknown driver \"%s\", allowed: %.*s", name, (int)list.len, list.data);
    return -ENOENT;
}

static int load(const char *path, const struct bridge_ops **ret_ops, char *error, size_t error_size)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        snprintf(error, error_size, "cannot be loaded: %s", dlerror());
        return -ELIBBAD;
    }
    bridge_entry_fn entry;
    *(void **)&entry = dlsym(object, BRIDGE_ENTRY);
    const struct bridge_ops *ops = entry ? entry() : NULL;
    if (!ops || ops->abi != BRIDGE_ABI) {
        snprintf(error, error_size,
                 ops ? "%s was built for another crier: its interface is %d, this one's is %d" : "%s is no driver",
                 path, ops ? ops->abi : 0, BRIDGE_ABI);
        dlclose(object);
        return -ELIBBAD;
    }
    *ret_ops = ops;
    return 0;
}

void bridge_registry_add(const struct bridge_ops *ops)
{
    added = ops;
}

int bridge_registry_find(const char *name, const char *driver_dir, const struct bridge_ops **ret_ops, char *error,
                         size_t error_size)
{
    char path[2 * PATH_MAX];
    const struct bridge_ops *const linked[] = {&bridge_embedded_ops, added};
    for (size_t i = 0; i < sizeof linked / sizeof *linked; i++) {
        if (linked[i] && strcmp(name, linked[i]->name) == 0) {
            *ret_ops = linked[i];
            return 0;
        }
    }
    if (strchr(name, '/') || !find_file(name, driver_dir, path, sizeof path))
        return fail_missing(name, driver_dir, error, error_size);
    return load(path, ret_ops, error, error_size);
}

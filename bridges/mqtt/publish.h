/* One publish on its way: from the hub to the library and back.
 *
 * It waits in `outgoing` until it is given to the library, then in `handed` until the library reports its end or its
 * client is gone; in the end it goes to the hub as mail and is freed there. Without
 * an attempt it was surely not sent; after one it may have been stored, so without an answer its outcome is unknown. */
#ifndef CRIER_BRIDGES_MQTT_PUBLISH_H
#define CRIER_BRIDGES_MQTT_PUBLISH_H

#include "driver.h"

enum publish_stage { PUBLISH_OUTGOING, PUBLISH_HANDED, PUBLISH_DONE };

struct publish {
    struct mail mail;
    struct bridge *bridge;
    TAILQ_ENTRY(publish) pending; /* hub thread */
    TAILQ_ENTRY(publish) entry;   /* outgoing or handed; under the lock */
    enum publish_stage stage;     /* under the lock */
    unsigned attempts;            /* under the lock: how often the library had it */
    bool answered;                /* under the lock: the hub has its answer */
    bool own, farewell;           /* status message of the driver; its last one */
    void *cookie;
    uint64_t deadline_ms;
    char *topic, *payload;
    size_t payload_len, size;
    int qos;
    bool retain;
    MQTTProperties properties;
    enum bridge_outcome outcome;
    char reason[96];
};

void publish_free(struct publish *p);
/* Under the lock, or before anyone else knows of `p`. */
void publish_conclude(struct publish *p, enum bridge_outcome outcome, const char *reason);

#endif

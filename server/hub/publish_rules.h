/* What a publish has to be to be accepted, and what its version and its key's conditions make of it.
 *
 * Pure decisions on the hub thread; the call stays its owner's. */
#ifndef CRIER_HUB_PUBLISH_RULES_H
#define CRIER_HUB_PUBLISH_RULES_H

#include "hub/publish.h"

/* Brings key, tags and info of a publish into the form in which they are kept. CRIER_OK, or why it is refused. */
enum crier_error publish_check(struct hub *hub, struct hub_publish *p, const struct sink *sink, const char **ret_detail);
/* True when something depends on the channel's present state. */
bool publish_is_conditional(const struct hub_publish *p);
/* Judged by what is in the channel: where a broker feeds it, by what came back from there so far. */
enum publish_suppressed publish_judge(const struct channel *c, const struct hub_publish *p, const struct sink *sink);

/* The version of a channel counts from now on, so that an older one that comes while this one is on its way is dropped;
 * those of keys count when they have come back from the broker. `*ret_before` is the caller's, to give back when the
 * publish was not stored. */
void publish_take_version(struct hub *hub, const struct hub_publish *p, struct version *ret_before);
void publish_give_version_back(struct hub *hub, const struct hub_publish *p, const struct version *before);

#endif

#include "version.h"

#include <stdlib.h>

void version_done(struct version *v)
{
    free(v->epoch);
    *v = (struct version){0};
}

static bool same_epoch(const struct version *v, struct bytes epoch)
{
    return bytes_eq_str(epoch, v->epoch ? v->epoch : "");
}

bool version_is_new(const struct version *v, uint64_t number, struct bytes epoch)
{
    return number > v->number || (epoch.len && !same_epoch(v, epoch));
}

void version_set(struct version *v, uint64_t number, struct bytes epoch)
{
    if (number == 0)
        return;
    v->number = number;
    if (same_epoch(v, epoch))
        return;
    free(v->epoch);
    v->epoch = epoch.len ? bytes_dup(epoch) : NULL;
}

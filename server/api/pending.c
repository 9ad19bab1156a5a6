#include "pending.h"

#include <stdlib.h>

static void on_abort(void *arg)
{
    struct pending *p = arg;
    p->request = NULL;
}

struct pending *pending_new(struct http_request *r)
{
    struct pending *p = xmalloc(sizeof *p);
    p->request = r;
    http_on_abort(r, on_abort, p);
    return p;
}

struct http_request *pending_take(struct pending *p)
{
    struct http_request *r = p->request;
    if (r)
        http_on_abort(r, NULL, NULL);
    free(p);
    return r;
}

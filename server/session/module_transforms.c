/* The calls of <crier/crier.h> for what runs on the hub thread: transforms of sources and clocks beside them. */
#include <errno.h>
#include <stdlib.h>

#include "hub/headers.h"
#include "hub/transform.h"
#include "loop/engine.h"
#include "session/modules.h"

static struct crier_bytes export_bytes(struct bytes b)
{
    return (struct crier_bytes){b.data, b.len};
}

static struct bytes import_bytes(struct crier_bytes b)
{
    return (struct bytes){b.data, b.len};
}

static struct crier_bytes header_of(const struct crier_record *r, const char *name)
{
    return export_bytes(record_header(r->impl, bytes_of(name)));
}

static enum transform_verdict run_transform(void *arg, const struct transform_record *r, struct transform_result *out,
                                            const char **ret_reason)
{
    static const enum transform_verdict verdicts[] = {
        [CRIER_TAKE] = TRANSFORM_TAKE, [CRIER_DROP] = TRANSFORM_DROP, [CRIER_REFUSE] = TRANSFORM_REFUSE};
    const struct module_transform *t = arg;
    const struct crier_record record = {
        .topic = export_bytes(r->topic),
        .key = export_bytes(r->record->key),
        .payload = export_bytes(r->record->payload),
        .partition = r->record->partition,
        .offset = r->record->offset,
        .time_ms = r->record->time_ms,
        .replay = r->replay,
        .pure = r->pure,
        .header = header_of,
        .impl = r->record,
    };
    struct crier_mapping m = {
        .channel = export_bytes(out->channel),
        .key = export_bytes(out->key),
        .tags = export_bytes(out->tags),
        .payload = export_bytes(out->payload),
        .has_geo = out->has_geo,
        .latitude_e6 = out->latitude_e6,
        .longitude_e6 = out->longitude_e6,
    };
    *ret_reason = "refused by the transform";
    modules_enter(t->module);
    enum crier_verdict verdict = t->fn(&record, &m, ret_reason, t->arg);
    *out = (struct transform_result){
        .channel = import_bytes(m.channel),
        .key = import_bytes(m.key),
        .tags = import_bytes(m.tags),
        .payload = import_bytes(m.payload),
        .has_geo = m.has_geo,
        .latitude_e6 = m.latitude_e6,
        .longitude_e6 = m.longitude_e6,
    };
    return verdicts[verdict];
}

int crier_transform(struct crier *c, const char *name, crier_transform_fn fn, void *arg)
{
    struct modules *m = c->engine->modules;
    struct module_transform *t = xmalloc(sizeof *t);
    *t = (struct module_transform){c, fn, arg};
    int r = transform_register(&(struct transform){.name = (char *)name, .fn = run_transform, .arg = t});
    if (r < 0) {
        free(t);
        return r;
    }
    m->transforms = xrealloc(m->transforms, (m->transform_count + 1) * sizeof *m->transforms);
    m->transforms[m->transform_count++] = t;
    return 0;
}

static void run_ticker(void *arg)
{
    const struct module_ticker *t = arg;
    modules_enter(t->module);
    t->fn(t->arg);
}

void crier_every(struct crier *c, unsigned period_ms, void (*fn)(void *arg), void *arg)
{
    struct modules *m = c->engine->modules;
    struct module_ticker *t = xmalloc(sizeof *t);
    *t = (struct module_ticker){c, fn, arg};
    transform_every(period_ms, run_ticker, t);
    m->tickers = xrealloc(m->tickers, (m->ticker_count + 1) * sizeof *m->tickers);
    m->tickers[m->ticker_count++] = t;
}

/* ---- metrics ---- */

static void run_collector(struct buf *out, void *arg)
{
    const struct module_collector *m = arg;
    modules_enter(m->module);
    m->fn((struct crier_out *)out, m->arg);
}

void crier_on_metrics(struct crier *c, crier_metrics_fn fn, void *arg)
{
    struct modules *m = c->engine->modules;
    struct module_collector *collector = xmalloc(sizeof *collector);
    *collector = (struct module_collector){c, fn, arg};
    transform_on_metrics(run_collector, collector);
    m->collectors = xrealloc(m->collectors, (m->collector_count + 1) * sizeof *m->collectors);
    m->collectors[m->collector_count++] = collector;
}

void crier_metric(struct crier_out *out, const char *name, const char *type, const char *help, const char *labels,
                  int64_t value)
{
    struct buf *text = (struct buf *)out;
    if (help)
        buf_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    buf_printf(text, "%s%s%s%s %lld\n", name, labels ? "{" : "", labels ? labels : "", labels ? "}" : "",
               (long long)value);
}

bool crier_keep(struct crier *c, const struct crier_publication *p)
{
    const struct keep k = {
        .channel = bytes_of(p->channel), .key = import_bytes(p->key), .payload = import_bytes(p->payload)};
    return hub_keep(c->engine->hub, &k);
}

void module_transforms_done(struct modules *m)
{
    transforms_done();
    for (size_t i = 0; i < m->transform_count; i++)
        free(m->transforms[i]);
    for (size_t i = 0; i < m->ticker_count; i++)
        free(m->tickers[i]);
    for (size_t i = 0; i < m->collector_count; i++)
        free(m->collectors[i]);
    free(m->transforms);
    free(m->tickers);
    free(m->collectors);
}

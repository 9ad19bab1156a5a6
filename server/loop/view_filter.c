#include <errno.h>
#include <stdlib.h>

#include "view_grid_private.h"

int grid_filter_get(struct grid *g, struct bytes json, struct grid_filter **ret, const char **ret_reason)
{
    struct tag_filter *compiled;
    struct grid_filter *f;
    int r = tag_filter_parse(json, CHANNELS_JSON, &compiled, ret_reason);
    if (r < 0)
        return r;
    struct bytes text = tag_filter_text(compiled);
    HASH_FIND(hh, g->filters, text.data, text.len, f);
    if (f) {
        tag_filter_free(compiled);
        f->refs++;
        *ret = f;
        return 0;
    }
    f = xcalloc(1, sizeof *f);
    *f = (struct grid_filter){.grid = g, .refs = 1, .compiled = compiled, .text = bytes_dup(text)};
    HASH_ADD_KEYPTR(hh, g->filters, f->text, text.len, f);
    *ret = f;
    return 0;
}

static void filter_free(struct grid_filter *f)
{
    HASH_DEL(f->grid->filters, f);
    tag_filter_free(f->compiled);
    free(f->verdicts);
    free(f->text);
    free(f);
}

void grid_filter_unref(struct grid_filter *f)
{
    if (f && --f->refs == 0)
        filter_free(f);
}

static uint32_t *verdict_of(struct grid_filter *f, uint32_t number)
{
    if (number >= f->verdict_count) {
        size_t count = (size_t)number + 32;
        f->verdicts = xrealloc(f->verdicts, count * sizeof *f->verdicts);
        memset(f->verdicts + f->verdict_count, 0, (count - f->verdict_count) * sizeof *f->verdicts);
        f->verdict_count = count;
    }
    return &f->verdicts[number];
}

bool grid_filter_shows(struct grid_filter *f, const struct grid_tags *tags)
{
    if (!f)
        return true;
    uint32_t *verdict = verdict_of(f, tags->number);
    if (*verdict >> 1 != tags->serial)
        *verdict = tags->serial << 1 | tag_filter_matches(f->compiled, (struct bytes){tags->text, tags->len});
    return *verdict & 1;
}

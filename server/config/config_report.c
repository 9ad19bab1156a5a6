#include "config_loader.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int place_line(const struct config_place *at)
{
    if (!at->node || at->node->override)
        return 0;
    return at->at_key && at->node->key_line ? at->node->key_line : at->node->line;
}

static int place_column(const struct config_place *at)
{
    return at->at_key && at->node->key_line ? at->node->key_column : at->node->column;
}

/* FILE:LINE:COL, or the override, or the file alone. */
static void append_place(struct buf *out, const struct config_loader *l, const struct config_place *at)
{
    if (at->node && at->node->override)
        buf_printf(out, "-s %s", at->node->override);
    else if (place_line(at))
        buf_printf(out, "%s:%d:%d", l->config->path, place_line(at), place_column(at));
    else
        buf_append_str(out, l->config->path);
    if (at->section[0] || at->key)
        buf_printf(out, " %s%s%s", at->section, at->section[0] && at->key ? "." : "", at->key ? at->key : "");
    buf_append_str(out, ": ");
}

static void add_report(struct config_reports *reports, const struct config_loader *l, const struct config_place *at,
                       const char *prefix, const char *format, va_list args) __attribute__((format(printf, 5, 0)));

static void add_report(struct config_reports *reports, const struct config_loader *l, const struct config_place *at,
                       const char *prefix, const char *format, va_list args)
{
    CLEANUP_BUF line = BUF_INIT;
    char what[1024];
    vsnprintf(what, sizeof what, format, args);
    append_place(&line, l, at);
    buf_printf(&line, "%s%s\n", prefix, what);
    buf_append(&line, "", 1);

    reports->items = xrealloc(reports->items, (reports->count + 1) * sizeof *reports->items);
    reports->items[reports->count] = (struct config_report){
        .line = at->node && at->node->override ? INT_MAX : place_line(at),
        .column = place_line(at) ? place_column(at) : 0,
        .sequence = reports->count,
        .text = buf_take(&line),
    };
    reports->count++;
}

void config_fault(struct config_loader *l, struct config_place at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_report(&l->faults, l, &at, "", format, args);
    va_end(args);
}

void config_note(struct config_loader *l, struct config_place at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_report(&l->notes, l, &at, "note: ", format, args);
    va_end(args);
}

static int compare_reports(const void *a, const void *b)
{
    const struct config_report *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

void config_reports_write(struct config_reports *reports, struct buf *out)
{
    if (reports->count)
        qsort(reports->items, reports->count, sizeof *reports->items, compare_reports);
    for (size_t i = 0; i < reports->count; i++) {
        buf_append_str(out, reports->items[i].text);
        free(reports->items[i].text);
    }
    free(reports->items);
    *reports = (struct config_reports){0};
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein distance; names longer than the row count as far away. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], a_len = strlen(a), b_len = strlen(b);
    if (a_len >= 64 || b_len >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *config_closest(const char *given, const char *const *names)
{
    const char *best = NULL;
    size_t best_distance = strlen(given) / 3 + 2;
    for (; *names; names++) {
        size_t d = distance(given, *names);
        if (d < best_distance && d < strlen(*names)) {
            best = *names;
            best_distance = d;
        }
    }
    return best;
}

#include "replay.h"

#include "hfp.h"
#include "run.h"
#include "util/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_BYTES 32
#define RETRY_MS  20
#define FLUSH_MS  20

struct replay {
    struct run run;
    double speed;
    bool has_first; /* of this file */
    int64_t first_ms;
    uint64_t file_start_ms, flushed_ms;
    int verdict;
};

static void output_flush(struct replay *p)
{
    p->flushed_ms = clock_mono_ms();
    if (p->run.output->ops->flush(p->run.output) == -EACCES)
        p->verdict = -EACCES;
}

static bool goes_on(const struct replay *p)
{
    return !p->verdict && !run_over(&p->run);
}

/* Each file has a clock of its own, which starts when its first line is sent. */
static void wait_for_turn(struct replay *p, int64_t time_ms)
{
    uint64_t now = clock_mono_ms();
    if (!p->has_first) {
        p->has_first = true;
        p->first_ms = time_ms;
        p->file_start_ms = now;
    }
    if (p->speed <= 0 || time_ms <= p->first_ms)
        return;
    uint64_t due = p->file_start_ms + (uint64_t)((double)(time_ms - p->first_ms) / p->speed);
    if (due > now) {
        output_flush(p);
        run_sleep_until(&p->run, due);
    }
}

static struct bytes vehicle_of(struct bytes topic, char key[KEY_BYTES])
{
    struct hfp_topic t;
    const char *reason;
    if (hfp_topic_parse(topic, &t, &reason) < 0)
        return BYTES_NULL;
    int n = snprintf(key, KEY_BYTES, "%.*s.%.*s", (int)t.operator_id.len, t.operator_id.data, (int)t.vehicle.len,
                     t.vehicle.data);
    return (struct bytes){key, (size_t)n};
}

/* Nothing is left out: while the server is away or busy, the line waits. */
static void send_line(struct replay *p, const struct replay_line *line)
{
    char key[KEY_BYTES];
    const struct output_message m = {line->topic, line->payload, vehicle_of(line->topic, key)};
    int r = -EAGAIN;
    while (goes_on(p) && (r = p->run.output->ops->send(p->run.output, &m)) == -EAGAIN)
        run_sleep_until(&p->run, clock_mono_ms() + RETRY_MS);
    if (r == -EACCES)
        p->verdict = r;
    if (r != 0)
        return;
    p->run.messages++;
    p->run.positions += memmem(line->topic.data, line->topic.len, "/vp/", 4) != NULL;
    if (clock_mono_ms() - p->flushed_ms >= FLUSH_MS)
        output_flush(p);
}

static void replay_stream(struct replay *p, FILE *f, const char *name)
{
    char *text = NULL;
    size_t capacity = 0, number = 0, bad = 0;
    p->has_first = false;
    for (ssize_t len; goes_on(p) && (len = getline(&text, &capacity, f)) > 0;) {
        struct replay_line line;
        number++;
        if (replay_line_parse((struct bytes){text, (size_t)len}, &line) < 0) {
            if (bad++ == 0)
                fprintf(stderr, "crier-hfp: %s:%zu: no time, topic and payload; left out\n", name, number);
            continue;
        }
        wait_for_turn(p, line.time_ms);
        send_line(p, &line);
    }
    if (bad > 1)
        fprintf(stderr, "crier-hfp: %s: %zu lines left out\n", name, bad);
    free(text);
}

static int replay_file(struct replay *p, const char *path)
{
    bool standard_input = strcmp(path, "-") == 0;
    FILE *f = standard_input ? stdin : fopen(path, "r");
    if (!f) {
        fprintf(stderr, "crier-hfp: %s: %s\n", path, strerror(errno));
        return TOOL_NO_INPUT;
    }
    replay_stream(p, f, path);
    if (!standard_input)
        fclose(f);
    return 0;
}

static int check_files(const struct tool_options *o)
{
    for (size_t i = 0; i < o->file_count; i++) {
        FILE *f = strcmp(o->files[i], "-") == 0 ? stdin : fopen(o->files[i], "r");
        if (!f) {
            fprintf(stderr, "crier-hfp: %s: %s\n", o->files[i], strerror(errno));
            return TOOL_NO_INPUT;
        }
        if (f != stdin)
            fclose(f);
    }
    return 0;
}

/* The last lines, too, wait for a server that is away. */
static void finish(struct replay *p)
{
    while (goes_on(p) && p->run.output->ops->flush(p->run.output) == -EAGAIN)
        run_sleep_until(&p->run, clock_mono_ms() + RETRY_MS);
}

int replay_run(const struct tool_options *o)
{
    struct replay p = {.speed = o->speed};
    int r = check_files(o);
    if (r == 0)
        r = run_begin(&p.run, o, true);
    if (r)
        return r;
    do
        for (size_t i = 0; r == 0 && i < o->file_count && goes_on(&p); i++)
            r = replay_file(&p, o->files[i]);
    while (r == 0 && o->loop && p.run.messages > 0 && goes_on(&p));
    finish(&p);
    int end = run_end(&p.run, p.verdict);
    return r ? r : end;
}

#include "city.h"

#include "city_message.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_BYTES    24
#define STEP_MAX_MS  10000 /* after a longer pause of the program the vehicles go on from where they are */
#define TWICE        0.02  /* shares of messages that the feed delivers more than once */
#define FOUR_TIMES   0.002
#define FIRST_NUMBER 101 /* of an operator's vehicles */
#define OPERATORS    256

struct member {
    struct city_vehicle vehicle;
    struct city_writer writer;
    char key[KEY_BYTES];
    int64_t time_ms; /* of its last step */
};

struct city {
    struct city_network *network;
    struct member *members;
    size_t count;
    unsigned next_number[OPERATORS];
    struct buf topic, payload;
};

/* One step of one vehicle. */
struct step {
    struct city *city;
    struct member *member;
    city_message_fn on_message;
    void *arg;
};

/* Vehicles of one mode of so many in all: shares add up exactly, whatever the number. */
static size_t vehicles_of(enum hfp_mode mode, size_t vehicles)
{
    int before = 0;
    for (int m = 0; m < (int)mode; m++)
        before += city_modes[m].permille;
    return (vehicles * (size_t)(before + city_modes[mode].permille) + 500) / 1000 -
           (vehicles * (size_t)before + 500) / 1000;
}

static double route_weight(const struct city_route *r, enum hfp_mode mode)
{
    return r->line->mode == mode ? fmax(r->path.length, 2000) : 0;
}

/* The route at a share of the mode's routes, each as wide as it is long. */
static size_t route_at(const struct city_network *n, enum hfp_mode mode, double share)
{
    double total = 0, sum = 0;
    size_t last = 0;
    for (size_t i = 0; i < n->count; i++)
        total += route_weight(&n->routes[i], mode);
    for (size_t i = 0; i < n->count && sum <= share * total; i++) {
        sum += route_weight(&n->routes[i], mode);
        last = i;
    }
    return last;
}

static void add_vehicle(struct city *c, enum hfp_mode mode, double share, const struct city_options *o)
{
    size_t route = route_at(c->network, mode, share);
    const struct city_line *line = c->network->routes[route].line;
    struct member *m = &c->members[c->count];
    unsigned operator_id = line->operators[line->operators[1] ? c->count % 2 : 0];
    unsigned number = FIRST_NUMBER + c->next_number[operator_id % OPERATORS]++;
    uint64_t random = o->seed * UINT64_C(0x2545f4914f6cdd1d) + c->count++;
    city_vehicle_init(&m->vehicle, c->network, route, operator_id, number, random, o->start_ms / 1000);
    m->time_ms = o->start_ms;
    snprintf(m->key, sizeof m->key, "%04u.%05u", operator_id, number);
}

struct city *city_new(const struct city_options *options, char *error, size_t error_size)
{
    struct city_network *network = city_network_new(error, error_size);
    if (!network)
        return NULL;
    struct city *c = xcalloc(1, sizeof *c);
    c->network = network;
    c->members = xcalloc(options->vehicles + 1, sizeof *c->members);
    for (int mode = 0; mode < HFP_MODE_OTHER; mode++) {
        size_t n = vehicles_of((enum hfp_mode)mode, options->vehicles);
        for (size_t i = 0; i < n; i++)
            add_vehicle(c, (enum hfp_mode)mode, ((double)i + 0.5) / (double)n, options);
    }
    return c;
}

void city_free(struct city *c)
{
    if (!c)
        return;
    city_network_free(c->network);
    free(c->members);
    buf_done(&c->topic);
    buf_done(&c->payload);
    free(c);
}

static int copies(struct city_vehicle *v)
{
    double chance = city_vehicle_random(v);
    return chance < FOUR_TIMES ? 4 : chance < FOUR_TIMES + TWICE ? 2 : 1;
}

static void send(const struct step *s, enum hfp_event event, int64_t time_ms)
{
    struct city *c = s->city;
    city_message_write(&s->member->writer, &s->member->vehicle, event, time_ms, &c->topic, &c->payload);
    struct city_message m = {event, s->member->key, buf_bytes(&c->topic), buf_bytes(&c->payload), false};
    for (int n = copies(&s->member->vehicle); n > 0; n--) {
        s->on_message(&m, s->arg);
        m.duplicate = true;
    }
}

static void on_event(const struct city_vehicle *v, enum hfp_event event, double after_s, void *arg)
{
    const struct step *s = arg;
    if (city_vehicle_mode(v)->events)
        send(s, event, s->member->time_ms + (int64_t)(after_s * 1000));
}

void city_step(struct city *c, size_t vehicle, int64_t time_ms, city_message_fn on_message, void *arg)
{
    struct member *m = &c->members[vehicle];
    struct step s = {c, m, on_message, arg};
    int64_t passed_ms = time_ms - m->time_ms;
    if (passed_ms > STEP_MAX_MS) {
        passed_ms = STEP_MAX_MS;
        m->time_ms = time_ms - STEP_MAX_MS;
    }
    if (passed_ms > 0)
        city_vehicle_advance(&m->vehicle, (double)passed_ms / 1000, time_ms / 1000, on_event, &s);
    m->time_ms = time_ms;
    send(&s, HFP_VP, time_ms);
}

const struct city_vehicle *city_vehicle(const struct city *c, size_t vehicle)
{
    return &c->members[vehicle].vehicle;
}

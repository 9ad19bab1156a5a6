#include "city_vehicle.h"

#include <math.h>

#define TICK_S          0.25 /* of the motion; steps are cut into such ticks */
#define CREEP           0.6  /* metres a second, the last metre up to a stop */
#define LIGHT_PER_METRE 6e-4 /* red lights, on streets */
#define DUE_METRES      180.0
#define ARRIVED_METRES  30.0
#define LATE_MAX_S      900.0
#define EARLY_MAX_S     120.0

/* splitmix64 */
double city_vehicle_random(struct city_vehicle *v)
{
    uint64_t z = v->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) / (double)(UINT64_C(1) << 53);
}

static double random_between(struct city_vehicle *v, double low, double high)
{
    return low + (high - low) * city_vehicle_random(v);
}

static bool chance(struct city_vehicle *v, double share)
{
    return city_vehicle_random(v) < share;
}

const struct city_route *city_vehicle_route(const struct city_vehicle *v)
{
    return &v->network->routes[v->route];
}

const struct city_mode *city_vehicle_mode(const struct city_vehicle *v)
{
    return &city_modes[city_vehicle_route(v)->line->mode];
}

void city_vehicle_position(const struct city_vehicle *v, double *ret_latitude, double *ret_longitude)
{
    city_point_degrees(city_path_point(&city_vehicle_route(v)->path, v->piece, v->at), ret_latitude, ret_longitude);
}

static void locate(struct city_vehicle *v)
{
    const struct city_path *path = &city_vehicle_route(v)->path;
    v->piece = city_path_piece(path, v->at, v->piece);
    v->heading = city_path_heading(path, v->piece);
}

static void enter(struct city_vehicle *v, enum city_phase phase, double seconds)
{
    v->phase = phase;
    v->left_s = seconds;
    v->acceleration = 0;
    if (phase != CITY_DRIVING && phase != CITY_WAITING)
        v->speed = 0;
}

static void aim_at_next_stop(struct city_vehicle *v)
{
    const struct city_route *r = city_vehicle_route(v);
    v->due = false;
    v->passes = v->stop + 1 < r->stop_count && chance(v, city_vehicle_mode(v)->pass_share);
}

static bool at_end(const struct city_vehicle *v)
{
    return v->stop + 1 >= city_vehicle_route(v)->stop_count;
}

static void load_passengers(struct city_vehicle *v)
{
    if (!v->counted)
        return;
    double changed = at_end(v) ? 0 : v->occupancy + random_between(v, -18, 20);
    v->occupancy = (int)fmin(fmax(changed, 0), 95);
}

/* ---- journeys ---- */

static void begin_journey(struct city_vehicle *v, int64_t now_s)
{
    v->route ^= 1;
    v->at = 0;
    v->piece = 0;
    v->stop = 0;
    v->passes = false;
    v->due = true;
    v->journey++;
    v->delay_s = random_between(v, -20, 0);
    v->journey_start_s = (now_s + (int64_t)v->left_s + 59) / 60 * 60;
    locate(v);
}

void city_vehicle_init(struct city_vehicle *v, const struct city_network *network, size_t route, unsigned operator_id,
                       unsigned number, uint64_t random, int64_t now_s)
{
    *v = (struct city_vehicle){
        .network = network, .route = route, .operator_id = operator_id, .number = number, .random = random};
    const struct city_route *r = city_vehicle_route(v);
    v->mood = random_between(v, 0.8, 1);
    v->at = random_between(v, 0, r->path.length * 0.98);
    v->odometer = v->at;
    v->delay_s = random_between(v, -240, 40);
    v->counted = city_vehicle_mode(v)->events && chance(v, 0.4);
    v->occupancy = v->counted ? (int)random_between(v, 0, 60) : 0;
    v->journey = 1 + (int)random_between(v, 0, 2000);
    v->journey_start_s = (now_s - (int64_t)(v->at / 6)) / 60 * 60;
    while (v->stop < r->stop_count && r->stops[v->stop].at <= v->at)
        v->stop++;
    aim_at_next_stop(v);
    locate(v);
    v->speed = r->path.limit[v->piece] * v->mood * random_between(v, 0, 1);
}

/* ---- standing ---- */

static void open_doors(struct city_vehicle *v, double after_s, city_event_fn on_event, void *arg)
{
    const struct city_mode *mode = city_vehicle_mode(v);
    enter(v, CITY_DOORS, random_between(v, mode->dwell_min_s, mode->dwell_max_s));
    v->at = city_vehicle_route(v)->stops[v->stop].at;
    locate(v);
    on_event(v, HFP_ARS, after_s, arg);
    on_event(v, HFP_DOO, after_s, arg);
    load_passengers(v);
}

static void leave_stop(struct city_vehicle *v, double after_s, city_event_fn on_event, void *arg)
{
    enter(v, CITY_DRIVING, 0);
    on_event(v, HFP_DEP, after_s, arg);
    v->stop++;
    aim_at_next_stop(v);
}

static void sign_in(struct city_vehicle *v, double after_s, int64_t now_s, city_event_fn on_event, void *arg)
{
    enter(v, CITY_PAUSE, random_between(v, 20, 120));
    begin_journey(v, now_s);
    on_event(v, HFP_VJA, after_s, arg);
}

static void end_phase(struct city_vehicle *v, double after_s, int64_t now_s, city_event_fn on_event, void *arg)
{
    switch (v->phase) {
    case CITY_DOORS:
        enter(v, CITY_READY, random_between(v, 1, 4));
        on_event(v, HFP_DOC, after_s, arg);
        if (!at_end(v))
            on_event(v, HFP_PDE, after_s, arg);
        return;
    case CITY_READY:
        if (!at_end(v)) {
            leave_stop(v, after_s, on_event, arg);
            return;
        }
        enter(v, CITY_ENDED, random_between(v, 5, 40));
        on_event(v, HFP_VJOUT, after_s, arg);
        return;
    case CITY_ENDED:
        if (city_vehicle_mode(v)->events && chance(v, 0.4))
            enter(v, CITY_DEADRUN, random_between(v, 60, 300));
        else
            sign_in(v, after_s, now_s, on_event, arg);
        return;
    case CITY_DEADRUN:
        sign_in(v, after_s, now_s, on_event, arg);
        return;
    case CITY_PAUSE:
        open_doors(v, after_s, on_event, arg);
        return;
    case CITY_WAITING:
    case CITY_DRIVING:
        enter(v, CITY_DRIVING, 0);
    }
}

/* ---- driving ---- */

/* Speed from which it can still stop at the next stop. */
static double stop_limit(const struct city_vehicle *v)
{
    if (v->passes)
        return INFINITY;
    double left = fmax(city_vehicle_route(v)->stops[v->stop].at - v->at, 0);
    return fmax(sqrt(2 * city_vehicle_mode(v)->brake * left), CREEP);
}

/* Not so near to a stop that it would come to stand behind it. */
static void meet_light(struct city_vehicle *v, double metres, double after_s, city_event_fn on_event, void *arg)
{
    const struct city_mode *mode = city_vehicle_mode(v);
    double to_stop = city_vehicle_route(v)->stops[v->stop].at - v->at;
    double braking = v->speed * v->speed / (2 * mode->brake);
    if (!mode->streets || to_stop < braking + 2 * ARRIVED_METRES || !chance(v, metres * LIGHT_PER_METRE))
        return;
    on_event(v, HFP_TLR, after_s, arg);
    on_event(v, HFP_TLA, after_s, arg);
    if (chance(v, 0.5))
        enter(v, CITY_WAITING, random_between(v, 8, 40));
}

static void near_stop(struct city_vehicle *v, double before, double after_s, city_event_fn on_event, void *arg)
{
    double stop = city_vehicle_route(v)->stops[v->stop].at;
    if (!v->due && stop - v->at < DUE_METRES) {
        v->due = true;
        on_event(v, HFP_DUE, after_s, arg);
    }
    if (stop - before >= ARRIVED_METRES && stop - v->at < ARRIVED_METRES)
        on_event(v, HFP_ARR, after_s, arg);
    if (v->passes && v->at >= stop) {
        on_event(v, HFP_PAS, after_s, arg);
        v->stop++;
        aim_at_next_stop(v);
    } else if (!v->passes && v->at >= stop - 0.5) {
        v->at = stop;
        open_doors(v, after_s, on_event, arg);
    }
}

static void drive(struct city_vehicle *v, double seconds, double after_s, city_event_fn on_event, void *arg)
{
    const struct city_mode *mode = city_vehicle_mode(v);
    const struct city_path *path = &city_vehicle_route(v)->path;
    double allowed = v->phase == CITY_WAITING ? 0 : fmin(path->limit[v->piece] * v->mood, stop_limit(v));
    double harder = v->phase == CITY_WAITING ? 1 : 2;
    double speed =
        fmin(fmax(allowed, v->speed - harder * mode->brake * seconds), v->speed + mode->accelerate * seconds);
    double before = v->at, metres = fmin((v->speed + speed) / 2 * seconds, path->length - v->at);
    v->acceleration = (speed - v->speed) / seconds;
    v->speed = speed;
    v->at += metres;
    v->odometer += metres;
    locate(v);
    near_stop(v, before, after_s, on_event, arg);
    if (v->phase == CITY_DRIVING)
        meet_light(v, metres, after_s, on_event, arg);
}

/* Delays wander and are made up for slowly. Now and then the satellites are lost. */
static void drift(struct city_vehicle *v, double seconds)
{
    double wander = random_between(v, -1, 1) * 2.2 * sqrt(seconds), home = (-60 - v->delay_s) * seconds / 900;
    v->delay_s = fmin(fmax(v->delay_s + wander + home, -LATE_MAX_S), EARLY_MAX_S);
    v->nofix_s = fmax(v->nofix_s - seconds, 0);
    v->odo_s = fmax(v->odo_s - seconds, 0);
    if (v->nofix_s == 0 && chance(v, seconds * 0.001))
        v->nofix_s = random_between(v, 3, 15);
    if (v->odo_s == 0 && chance(v, seconds * 0.001))
        v->odo_s = random_between(v, 5, 30);
    if (chance(v, seconds * 0.02))
        v->mood = random_between(v, 0.75, 1);
}

static void tick(struct city_vehicle *v, double seconds, double after_s, int64_t now_s, city_event_fn on_event,
                 void *arg)
{
    if (v->phase == CITY_DRIVING || v->speed > 0)
        drive(v, seconds, after_s, on_event, arg);
    if (v->phase == CITY_DRIVING)
        return;
    v->left_s -= seconds;
    if (v->left_s <= 0)
        end_phase(v, after_s, now_s, on_event, arg);
}

void city_vehicle_advance(struct city_vehicle *v, double seconds, int64_t now_s, city_event_fn on_event, void *arg)
{
    int ticks = (int)ceil(seconds / TICK_S);
    drift(v, seconds);
    for (int i = 1; i <= ticks; i++)
        tick(v, seconds / ticks, seconds * i / ticks, now_s, on_event, arg);
}

#include "channels_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "auth/auth.h"
#include "loop/engine.h"
#include "session/rights.h"
#include "util/clock.h"
#include "wire/hooks.h"

static int64_t now_s(void)
{
    return (int64_t)time(NULL);
}

/* ---- deadlines ---- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a == 0 || (b && b < a) ? b : a;
}

static uint64_t until_wall(int64_t at_s, uint64_t now_ms)
{
    int64_t left_s = at_s - now_s();
    return at_s ? now_ms + (left_s > 0 ? (uint64_t)left_s * 1000 : 0) + 1 : 0;
}

void channels_schedule(struct session *s)
{
    const struct channels_client *c = channels_client(s);
    uint64_t now = clock_mono_ms();
    uint64_t next = sooner(sooner(c->connect_by_ms, c->ping_at_ms), c->pong_by_ms);
    next = sooner(next, c->expire_at_s ? until_wall(c->expire_at_s + channels_grace_s(s), now) : 0);
    for (const struct channels_subscription *sub = c->subscriptions; sub; sub = sub->next)
        next = sooner(next, sub->expire_at_s ? until_wall(sub->expire_at_s + channels_grace_s(s), now) : 0);
    session_wake_in(s, next ? (next > now ? next - now : 1) : 0);
}

static void send_ping(struct session *s, uint64_t now_ms)
{
    struct channels_client *c = channels_client(s);
    const struct config_limits *limits = &s->loop->engine->config->limits;
    struct channels_out out;

    channels_out_begin(s, &out);
    channels_ping(&out.bytes, c->style.encoding);
    channels_out_send(s, &out);
    c->ping_at_ms = now_ms + (uint64_t)limits->ping_ms;
    if (!c->style.uni && c->pongs_expected++ == 0) /* the deadline is that of the first unanswered one */
        c->pong_by_ms = now_ms + (uint64_t)limits->pong_ms;
}

void channels_wake(struct session *s, uint64_t now_ms)
{
    struct channels_client *c = channels_client(s);
    if (c->connect_by_ms && now_ms >= c->connect_by_ms) {
        session_close(s, CHANNELS_CLOSE_STALE, "stale");
    } else if (c->pong_by_ms && now_ms >= c->pong_by_ms) {
        session_close(s, CHANNELS_CLOSE_NO_PONG, "no pong");
    } else if (c->expire_at_s && now_s() >= c->expire_at_s + channels_grace_s(s)) {
        session_close(s, CHANNELS_CLOSE_EXPIRED, "connection expired");
    } else {
        if (c->ping_at_ms && now_ms >= c->ping_at_ms)
            send_ping(s, now_ms);
        channels_subscriptions_expire(s, now_s());
        channels_schedule(s);
    }
}

void channels_handle_pong(struct session *s)
{
    struct channels_client *c = channels_client(s);
    if (c->pongs_expected == 0) {
        session_close(s, CHANNELS_CLOSE_BAD_REQUEST, "bad request");
        return;
    }
    const struct config_limits *limits = &s->loop->engine->config->limits;
    c->pongs_expected--;
    c->pong_by_ms = c->pongs_expected ? clock_mono_ms() + (uint64_t)limits->pong_ms : 0;
}

/* ---- tokens ---- */

/* As auth_verify(); a token of a channel is none of a session. */
static int verify(struct session *s, struct bytes token, struct auth_claims *claims)
{
    const char *reason = "no key is configured";
    int r = auth_verify(s->loop->engine->auth, token, now_s(), claims, &reason);
    if (r == 0 && claims->channel.data) {
        auth_claims_done(claims);
        reason = "it is the token of a channel";
        r = -EACCES;
    }
    if (r < 0)
        log_info("token refused", LOG_STR("address", channels_client(s)->remote_address), LOG_STR("reason", reason));
    return r;
}

static void take_claims(struct session *s, const struct auth_claims *claims)
{
    struct channels_client *c = channels_client(s);
    free(s->user);
    free(s->claims);
    free(s->info);
    s->user = xstrdup(claims->user);
    s->claims = xstrdup(claims->claims_json);
    s->info = claims->info.data ? bytes_dup(claims->info) : NULL;
    c->expire_at_s = s->loop->engine->config->debug.insecure ? 0 : claims->expires_at;
}

static uint32_t ttl_of(int64_t expire_at_s)
{
    int64_t left = expire_at_s - now_s();
    return left > 0 ? (uint32_t)left : 1;
}

/* ---- connect ---- */

/* False when the session was closed or answered. */
static bool authenticate(struct session *s, uint32_t id, struct bytes token, struct auth_claims *claims)
{
    const struct config *config = s->loop->engine->config;
    if (!token.len) {
        bool welcome = *s->user || config->auth.anonymous || config->debug.insecure;
        if (!welcome)
            session_close(s, CHANNELS_CLOSE_BAD_REQUEST, "bad request");
        return welcome;
    }
    int r = verify(s, token, claims);
    if (r == -EKEYEXPIRED && channels_client(s)->style.uni) {
        session_close(s, CHANNELS_CLOSE_EXPIRED, "connection expired");
    } else if (r == -EKEYEXPIRED) {
        channels_error(s, id, CRIER_ERR_TOKEN_EXPIRED, NULL);
        channels_client(s)->state = CHANNELS_ENDED;
    } else if (r < 0) {
        session_close(s, CHANNELS_CLOSE_INVALID_TOKEN, "invalid token");
    } else {
        take_claims(s, claims);
    }
    return r == 0;
}

static const struct channels_subscribe *asked_for(const struct channels_connect *request, struct bytes channel)
{
    for (size_t i = 0; i < request->sub_count; i++)
        if (bytes_eq(request->subs[i].channel, channel))
            return &request->subs[i];
    return NULL;
}

/* Channels that the token names, at the client's position where it has one. */
static void subscribe_token_channels(struct session *s, const struct channels_connect *request,
                                     const struct auth_claims *claims)
{
    for (size_t i = 0; i < claims->subscription_count && !s->closing; i++) {
        const struct auth_subscription *by = &claims->subscriptions[i];
        channels_subscribe_server_side(s, by->channel, asked_for(request, by->channel), by);
    }
}

/* A comma separates users: a user whose name has one would share the channel with others. */
static void subscribe_personal_channels(struct session *s, const struct channels_connect *request)
{
    const struct config *config = s->loop->engine->config;
    for (size_t i = 0; i < config->namespace_count && *s->user && !strchr(s->user, ',') && !s->closing; i++) {
        const struct config_namespace *ns = &config->namespaces[i];
        bool named = strcmp(ns->name, "default") != 0;
        CLEANUP_BUF name = BUF_INIT;
        if (!ns->personal)
            continue;
        buf_printf(&name, "%s%s%s%s", named ? ns->name : "", named ? ":" : "", ns->user_channels, s->user);
        struct bytes channel = buf_bytes(&name);
        if (config_namespace_of(config, channel) == ns && channel_name_valid(config, channel))
            channels_subscribe_server_side(s, channel, asked_for(request, channel), NULL);
    }
}

/* A unidirectional client asks for its channels here; what it may not have is passed over. */
static void subscribe_asked_channels(struct session *s, const struct channels_connect *request)
{
    const struct config *config = s->loop->engine->config;
    for (size_t i = 0; i < request->sub_count && !s->closing; i++) {
        struct bytes channel = request->subs[i].channel;
        const struct config_namespace *ns = config_namespace_of(config, channel);
        if (ns && channel_name_valid(config, channel) && rights_check(s, ns, channel, RIGHT_SUBSCRIBE, 0) == CRIER_OK)
            channels_subscribe_server_side(s, channel, &request->subs[i], NULL);
    }
}

static void write_connect(struct session *s, struct channels_connect_result *r, struct channels_out *out)
{
    const struct channels_client *c = channels_client(s);
    channels_out_begin(s, out);
    if (c->style.uni)
        channels_push_connect(&out->bytes, &c->style, r);
    else
        channels_reply_connect(&out->bytes, c->style.encoding, c->connect_id, r);
    channels_out_send(s, out);
}

static void send_connect(struct session *s)
{
    struct channels_client *c = channels_client(s);
    const struct engine *engine = s->loop->engine;
    struct channels_connect_result r = {
        .client = bytes_of(s->id),
        .version = BYTES_LIT("crier " CRIER_VERSION),
        .session = *c->secret ? bytes_of(c->secret) : BYTES_NULL,
        .node = *c->secret && !c->style.uni ? bytes_of(engine->hub->node_id) : BYTES_NULL,
        .expires = c->expire_at_s != 0,
        .ttl = c->expire_at_s ? ttl_of(c->expire_at_s) : 0,
        .ping_s = (uint32_t)((engine->config->limits.ping_ms + 999) / 1000),
        .pong = !c->style.uni,
    };
    CLEANUP_BUF subs = BUF_INIT;
    struct channels_out out;

    for (struct channels_subscription *sub = c->subscriptions; sub; sub = sub->next) {
        const struct channels_sub one = {.channel = bytes_of(sub->channel), .result = sub->result};
        if (!sub->in_connect)
            continue;
        sub->in_connect = false;
        buf_append(&subs, &one, sizeof one);
        r.sub_count++;
    }
    r.subs = (const struct channels_sub *)(const void *)subs.data;
    write_connect(s, &r, &out);
}

void channels_connect_progress(struct session *s)
{
    struct channels_client *c = channels_client(s);
    if (c->state != CHANNELS_CONNECTING || c->connect_waits || s->closing)
        return;
    const uint64_t ping_ms = (uint64_t)s->loop->engine->config->limits.ping_ms;

    c->state = CHANNELS_CONNECTED;
    c->connect_by_ms = 0;
    /* Clients that came together are not pinged together. */
    c->ping_at_ms = clock_mono_ms() + ping_ms / 2 + (uint64_t)random() % (ping_ms / 2 + 1);
    channels_schedule(s);
    send_connect(s);
    s->held = false;
    session_flush(s);
    hooks_open(s);
    channels_receive_held(s);
}

void channels_handle_connect(struct session *s, uint32_t id, const struct channels_connect *request)
{
    struct channels_client *c = channels_client(s);
    struct auth_claims claims = {0};

    c->state = CHANNELS_CONNECTING;
    s->held = true;
    c->connect_id = id;
    if (!authenticate(s, id, request->token, &claims))
        return;
    log_debug("client", LOG_STR("session", s->id), LOG_STR("user", s->user), LOG_BYTES("name", request->name));
    c->connect_waits = 1;
    subscribe_token_channels(s, request, &claims);
    subscribe_personal_channels(s, request);
    if (c->style.uni)
        subscribe_asked_channels(s, request);
    auth_claims_done(&claims);
    c->connect_waits--;
    channels_connect_progress(s);
}

/* ---- refresh ---- */

static void send_refreshed(struct session *s, uint32_t id)
{
    const struct channels_client *c = channels_client(s);
    const struct channels_refresh_result result = {
        .client = bytes_of(s->id),
        .version = BYTES_LIT("crier " CRIER_VERSION),
        .expires = c->expire_at_s != 0,
        .ttl = c->expire_at_s ? ttl_of(c->expire_at_s) : 0,
    };
    struct channels_out out;
    channels_out_begin(s, &out);
    channels_reply_refresh(&out.bytes, c->style.encoding, id, false, &result);
    channels_out_send(s, &out);
}

void channels_handle_refresh(struct session *s, uint32_t id, struct bytes token)
{
    struct auth_claims claims = {0};
    if (!token.len) {
        session_close(s, CHANNELS_CLOSE_BAD_REQUEST, "bad request");
        return;
    }
    int r = verify(s, token, &claims);
    if (r == -EKEYEXPIRED) {
        session_close(s, CHANNELS_CLOSE_EXPIRED, "connection expired");
    } else if (r < 0 || strcmp(claims.user, s->user) != 0) {
        session_close(s, CHANNELS_CLOSE_INVALID_TOKEN, "invalid token");
    } else {
        take_claims(s, &claims);
        channels_schedule(s);
        send_refreshed(s, id);
    }
    if (r == 0)
        auth_claims_done(&claims);
}

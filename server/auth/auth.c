#include "auth.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "auth/claims.h"
#include "auth/fetch.h"
#include "auth/jwt.h"
#include "util/clock.h"
#include "util/log.h"

#define FETCH_TIMEOUT_MS 5000
#define FIRST_WAIT_MS    3000  /* at start, for the first answer of jwks_url */
#define RETRY_MS         2000  /* after a failure */
#define UNKNOWN_WAIT_MS  10000 /* a token of an unknown key has the keys read again, at most so often */

struct auth {
    const struct config *config;
    struct key_set *fixed; /* of public_key_file; NULL none */
    pthread_mutex_t lock;  /* of what follows */
    pthread_cond_t changed;
    struct key_set *current; /* of jwks_file and jwks_url; NULL none so far */
    bool stopping, asked, tried;
    uint64_t read_ms;
    /* The reading thread, where there is something to read again. */
    bool threaded;
    pthread_t thread;
    int cancel_fd;
};

bool auth_enabled(const struct auth *a)
{
    const struct config_auth *c = &a->config->auth;
    return a->config->hmac_secret || a->fixed || c->jwks_file[0] || c->jwks_url[0];
}

/* ---- reading the keys ---- */

static int add_file(struct key_set *set, const char *path, bool pem, const char **ret_reason)
{
    CLEANUP_BUF text = BUF_INIT;
    int r = key_file_read(path, &text, ret_reason);
    if (r < 0)
        return r;
    return pem ? key_set_add_pem(set, buf_bytes(&text), ret_reason)
               : key_set_add_jwks(set, buf_bytes(&text), ret_reason);
}

static int add_url(const struct auth *a, struct key_set *set, char *error, size_t error_size)
{
    CLEANUP_BUF body = BUF_INIT;
    const char *reason;
    const struct fetch f = {a->config->auth.jwks_url, FETCH_TIMEOUT_MS, KEY_FILE_LIMIT, a->cancel_fd};
    int r = fetch_get(&f, &body, error, error_size);
    if (r == 0 && (r = key_set_add_jwks(set, buf_bytes(&body), &reason)) < 0)
        snprintf(error, error_size, "%s", reason);
    return r;
}

/* All of file and URL, or nothing: half a set would refuse good tokens. */
static int read_sets(const struct auth *a, struct key_set *set, char *error, size_t error_size)
{
    const struct config_auth *c = &a->config->auth;
    const char *reason;
    int r = 0;
    if (c->jwks_file[0] && (r = add_file(set, c->jwks_file, false, &reason)) < 0)
        snprintf(error, error_size, "%s: %s", c->jwks_file, reason);
    if (r == 0 && c->jwks_url[0]) {
        char why[200] = "";
        r = add_url(a, set, why, sizeof why);
        if (r < 0)
            snprintf(error, error_size, "%s: %s", c->jwks_url, why);
    }
    return r;
}

/* The old set stays until a new one is whole. */
static int read_again(struct auth *a, char *error, size_t error_size)
{
    struct key_set *set = key_set_new();
    int r = read_sets(a, set, error, error_size);
    pthread_mutex_lock(&a->lock);
    struct key_set *old = r == 0 ? a->current : set;
    if (r == 0)
        a->current = set;
    a->tried = true;
    a->asked = false;
    a->read_ms = clock_mono_ms();
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    key_set_unref(old);
    return r;
}

/* ---- reading them again ---- */

static struct timespec after(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static bool wait_until_due(struct auth *a, int64_t ms)
{
    struct timespec due = after(ms);
    pthread_mutex_lock(&a->lock);
    int r = 0;
    while (!a->stopping && !a->asked && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&a->changed, &a->lock, &due);
    bool go_on = !a->stopping;
    pthread_mutex_unlock(&a->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct auth *a = arg;
    int64_t refresh_ms = a->config->auth.jwks_refresh_ms;
    bool failed = false;
    do {
        char error[512] = "";
        bool failed_before = failed;
        failed = read_again(a, error, sizeof error) < 0;
        if (failed && !failed_before)
            log_warn("keys of tokens cannot be read", LOG_STR("reason", error));
        else if (!failed && failed_before)
            log_info("keys of tokens are read again");
    } while (wait_until_due(a, failed && refresh_ms > RETRY_MS ? RETRY_MS : refresh_ms));
    return NULL;
}

/* Tokens that come right after the start should find the keys. */
static void wait_for_first(struct auth *a)
{
    struct timespec due = after(FIRST_WAIT_MS);
    pthread_mutex_lock(&a->lock);
    while (!a->tried && pthread_cond_timedwait(&a->changed, &a->lock, &due) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&a->lock);
}

static int start_thread(struct auth *a, char *error, size_t error_size)
{
    a->cancel_fd = eventfd(0, EFD_CLOEXEC);
    int r = a->cancel_fd < 0 ? errno : pthread_create(&a->thread, NULL, run, a);
    if (r) {
        snprintf(error, error_size, "the thread that reads the keys of tokens: %s", strerror(r));
        return -r;
    }
    a->threaded = true;
    wait_for_first(a);
    return 0;
}

/* ---- life ---- */

static int read_first(struct auth *a, char *error, size_t error_size)
{
    const struct config_auth *c = &a->config->auth;
    const char *reason;
    if (c->public_key_file[0]) {
        a->fixed = key_set_new();
        if (add_file(a->fixed, c->public_key_file, true, &reason) < 0) {
            snprintf(error, error_size, "%s: %s", c->public_key_file, reason);
            return -EINVAL;
        }
    }
    return c->jwks_file[0] || c->jwks_url[0] ? start_thread(a, error, error_size) : 0;
}

struct auth *auth_new(const struct config *config, char *error, size_t error_size)
{
    struct auth *a = xcalloc(1, sizeof *a);
    pthread_condattr_t attributes;
    a->config = config;
    a->cancel_fd = -1;
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (read_first(a, error, error_size) == 0)
        return a;
    auth_free(a);
    return NULL;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    if (a->threaded) {
        pthread_mutex_lock(&a->lock);
        a->stopping = true;
        pthread_cond_broadcast(&a->changed);
        pthread_mutex_unlock(&a->lock);
        eventfd_write(a->cancel_fd, 1);
        pthread_join(a->thread, NULL);
    }
    if (a->cancel_fd >= 0)
        close(a->cancel_fd);
    key_set_unref(a->fixed);
    key_set_unref(a->current);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* ---- verifying ---- */

static struct key_set *take_current(struct auth *a)
{
    pthread_mutex_lock(&a->lock);
    struct key_set *set = a->current ? key_set_ref(a->current) : NULL;
    pthread_mutex_unlock(&a->lock);
    return set;
}

/* The issuer may have new keys: they are read before their time, but not as often as somebody sends nonsense. */
static void ask_for_keys(struct auth *a)
{
    pthread_mutex_lock(&a->lock);
    if (a->threaded && clock_mono_ms() >= a->read_ms + UNKNOWN_WAIT_MS) {
        a->asked = true;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->lock);
}

int auth_verify(struct auth *a, struct bytes token, int64_t now_s, struct auth_claims *ret, const char **ret_reason)
{
    CLEANUP_BUF claims = BUF_INIT;
    const char *reason = "no token";
    int r = -EACCES;
    if (token.len > 0 && token.len <= AUTH_TOKEN_LIMIT_BYTES) {
        struct key_set *current = take_current(a);
        const struct jwt_keys keys = {a->config->hmac_secret, {a->fixed, current}};
        r = jwt_verify(token, &keys, &claims, &reason);
        key_set_unref(current);
    }
    if (r < 0 && reason == JWT_UNKNOWN_KEY)
        ask_for_keys(a);
    if (r == 0)
        r = claims_read(&a->config->auth, buf_bytes(&claims), now_s, ret, &reason);
    if (r < 0)
        *ret_reason = reason;
    return r;
}

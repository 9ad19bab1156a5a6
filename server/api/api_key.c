#include "api_key.h"

#include <openssl/crypto.h>
#include <strings.h>

#include "loop/engine.h"

bool api_key_valid(const struct http_request *r)
{
    const struct config *config = loop_of_request(r)->engine->config;
    struct bytes authorization = http_header_get(r, "authorization");
    struct bytes given = http_header_get(r, "x-api-key");
    CLEANUP_BUF query = BUF_INIT;

    if (config->debug.insecure)
        return true;
    if (!config->api_key)
        return false;
    if (!given.data && authorization.len > 7 && strncasecmp(authorization.data, "apikey ", 7) == 0)
        given = (struct bytes){authorization.data + 7, authorization.len - 7};
    if (!given.data && http_query_get(r, "api_key", &query) == 0)
        given = buf_bytes(&query);
    return given.data && given.len == strlen(config->api_key) &&
           CRYPTO_memcmp(given.data, config->api_key, given.len) == 0;
}

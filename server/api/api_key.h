/* The key of the server API: X-API-Key, `Authorization: apikey KEY` or ?api_key=KEY. Loop threads. */
#ifndef CRIER_API_API_KEY_H
#define CRIER_API_API_KEY_H

#include "net/net.h"

/* True also under [debug] insecure. False when no key is configured. */
bool api_key_valid(const struct http_request *r);

#endif

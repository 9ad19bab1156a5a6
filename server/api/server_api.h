/* The server API: POST /api/{method} with an API key, in the request and reply shapes of the Centrifugo server API.
 *
 * Replies are 200 with {"result":{..}} or {"error":{code,message}}; /api/batch runs many at once. Loop threads. */
#ifndef CRIER_API_SERVER_API_H
#define CRIER_API_SERVER_API_H

#include "net/net.h"

void server_api(struct http_request *r, void *arg);

#endif

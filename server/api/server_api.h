/* The server API: POST /api/{method} with an API key, in the request and reply shapes of the Centrifugo server API.
 *
 * Replies are 200 with {"result":{..}} or {"error":{code,message}}; /api/batch runs many at once. Loop threads. */
#ifndef CRIER_API_SERVER_API_H
#define CRIER_API_SERVER_API_H

#include "net/net.h"

void server_api(struct http_request *r, void *arg);
/* POST /api: the older shape, which the Go library gocent speaks. Each line of the body is {"method","params"}, each of the
 * answer {"result"} or {"error"}, in the same order. */
void server_api_lines(struct http_request *r, void *arg);

#endif

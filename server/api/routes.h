/* All HTTP routes of the server itself. */
#ifndef CRIER_API_ROUTES_H
#define CRIER_API_ROUTES_H

#include "net/net.h"

extern const struct http_route api_routes[];
extern const size_t api_route_count;

#endif

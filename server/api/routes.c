#include "routes.h"

#include "api/status.h"

const struct http_route api_routes[] = {
    {.method = "GET", .pattern = "/healthz", .fn = status_healthz},
    {.method = "GET", .pattern = "/readyz", .fn = status_readyz},
    {.method = "GET", .pattern = "/metrics", .fn = status_metrics},
};

const size_t api_route_count = sizeof api_routes / sizeof *api_routes;

#include "routes.h"

#include "api/poll.h"
#include "api/server_api.h"
#include "api/status.h"

const struct http_route api_routes[] = {
    {.method = "GET", .pattern = "/healthz", .fn = status_healthz},
    {.method = "GET", .pattern = "/readyz", .fn = status_readyz},
    {.method = "GET", .pattern = "/metrics", .fn = status_metrics},
    {.method = "POST", .pattern = "/api", .fn = server_api_lines},
    {.method = "POST", .pattern = "/api/*", .fn = server_api},
    {.method = "GET", .pattern = "/channels/*", .fn = poll_get, .cors = true},
    {.method = "POST", .pattern = "/channels/*", .fn = poll_post, .cors = true},
};

const size_t api_route_count = sizeof api_routes / sizeof *api_routes;

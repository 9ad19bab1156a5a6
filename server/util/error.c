#include "error.h"

static const struct crier_error_info errors[] = {
    {CRIER_ERR_INTERNAL, 500, false, "internal server error"},
    {CRIER_ERR_UNAUTHORIZED, 401, false, "unauthorized"},
    {CRIER_ERR_UNKNOWN_CHANNEL, 404, false, "unknown channel"},
    {CRIER_ERR_PERMISSION_DENIED, 403, false, "permission denied"},
    {CRIER_ERR_METHOD_NOT_FOUND, 404, false, "method not found"},
    {CRIER_ERR_ALREADY_SUBSCRIBED, 409, false, "already subscribed"},
    {CRIER_ERR_LIMIT_EXCEEDED, 429, false, "limit exceeded"},
    {CRIER_ERR_BAD_REQUEST, 400, false, "bad request"},
    {CRIER_ERR_NOT_AVAILABLE, 404, false, "not available"},
    {CRIER_ERR_TOKEN_EXPIRED, 401, false, "token expired"},
    {CRIER_ERR_EXPIRED, 401, false, "expired"},
    {CRIER_ERR_TOO_MANY_REQUESTS, 429, true, "too many requests"},
    {CRIER_ERR_UNRECOVERABLE_POSITION, 416, false, "unrecoverable position"},
    {CRIER_ERR_CONCURRENT_PAGINATION, 409, true, "concurrent pagination"},
    {CRIER_ERR_UNKNOWN_OUTCOME, 504, true, "unknown: the broker did not answer in time, the message may have been stored"},
    {CRIER_ERR_BROKER_UNAVAILABLE, 503, true, "broker unavailable"},
    {CRIER_ERR_BROKER_REFUSED, 502, false, "refused by the broker"},
    {CRIER_ERR_TOO_LARGE, 413, false, "too large"},
    {CRIER_ERR_BUSY, 503, true, "busy"},
    {CRIER_ERR_UNDECODABLE, 400, false, "payload does not fit its codec"},
    {CRIER_ERR_SHUTTING_DOWN, 503, true, "shutting down"},
};

const struct crier_error_info *crier_error_info(enum crier_error code)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].code == code)
            return &errors[i];
    return &errors[0];
}

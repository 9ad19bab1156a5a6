/* What can go wrong for a client, in one table: protocol code, HTTP status, text, and whether a retry may help.
 *
 * Codes 100-112 are those of the channels protocol, so that every wire speaks of one failure with one number. */
#ifndef CRIER_UTIL_ERROR_H
#define CRIER_UTIL_ERROR_H

#include "bytes.h"

enum crier_error {
    CRIER_OK = 0,
    CRIER_ERR_INTERNAL = 100,
    CRIER_ERR_UNAUTHORIZED = 101,
    CRIER_ERR_UNKNOWN_CHANNEL = 102,
    CRIER_ERR_PERMISSION_DENIED = 103,
    CRIER_ERR_METHOD_NOT_FOUND = 104, /* unknown message type, method or REST call */
    CRIER_ERR_ALREADY_SUBSCRIBED = 105,
    CRIER_ERR_LIMIT_EXCEEDED = 106,
    CRIER_ERR_BAD_REQUEST = 107,
    CRIER_ERR_NOT_AVAILABLE = 108, /* the namespace or bridge does not offer this */
    CRIER_ERR_TOKEN_EXPIRED = 109,
    CRIER_ERR_EXPIRED = 110,
    CRIER_ERR_TOO_MANY_REQUESTS = 111,
    CRIER_ERR_UNRECOVERABLE_POSITION = 112,
    CRIER_ERR_CONCURRENT_PAGINATION = 113, /* one page at a time */
    CRIER_ERR_UNKNOWN_OUTCOME = 120,     /* the broker's acknowledgement did not come in time: it may have been stored */
    CRIER_ERR_BROKER_UNAVAILABLE = 121,  /* not stored; a retry is safe */
    CRIER_ERR_BROKER_REFUSED = 122,      /* not stored; a retry will fail again */
    CRIER_ERR_TOO_LARGE = 123,
    CRIER_ERR_BUSY = 124,                /* a queue is at its limit; a retry is safe */
    CRIER_ERR_UNDECODABLE = 125,         /* payload does not fit its codec */
    CRIER_ERR_SHUTTING_DOWN = 126,
};

struct crier_error_info {
    enum crier_error code;
    int http_status;
    bool temporary;
    const char *message;
};

/* Never NULL: an unknown code gives the entry of CRIER_ERR_INTERNAL. */
CRIER_API const struct crier_error_info *crier_error_info(enum crier_error code);

/* WebSocket close codes (RFC 6455, 7.4.1; 3000-4999 as the channels protocol uses them). */
enum {
    CLOSE_NORMAL = 1000,
    CLOSE_GOING_AWAY = 1001,
    CLOSE_PROTOCOL_ERROR = 1002,
    CLOSE_UNSUPPORTED = 1003,
    CLOSE_INVALID_DATA = 1007,
    CLOSE_POLICY = 1008,
    CLOSE_TOO_BIG = 1009,
    CLOSE_INTERNAL = 1011,
    CLOSE_RESTART = 1012,
    CLOSE_SHUTDOWN = 3001,
    CLOSE_EXPIRED = 3005,
    CLOSE_SLOW = 3008,
    CLOSE_FORCE = 3503,
    CLOSE_INAPPROPRIATE = 3506, /* a payload that the client's encoding cannot carry */
};

#endif

/* What the claims of a token mean for crier: user, times, and the channels that it is for. Pure functions. */
#ifndef CRIER_AUTH_CLAIMS_H
#define CRIER_AUTH_CLAIMS_H

#include "auth/auth.h"

/* `text` is the claims' JSON; the other arguments and results are those of auth_verify(). */
CRIER_API int claims_read(const struct config_auth *config, struct bytes text, int64_t now_s, struct auth_claims *ret,
                          const char **ret_reason);

#endif

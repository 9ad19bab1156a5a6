/* GET /channels/{channel}: plain and long polling from the loop's own frame log; POST publishes. Loop threads.
 *
 * ?since=EPOCH:OFFSET gives what came after that position, ?limit= at most so many, ?wait=SECONDS waits for something
 * new. The ETag is the position of the answer. */
#ifndef CRIER_API_POLL_H
#define CRIER_API_POLL_H

#include "net/net.h"

void poll_get(struct http_request *r, void *arg);
void poll_post(struct http_request *r, void *arg);

#endif

/* /healthz, /readyz and /metrics. Loop threads. */
#ifndef CRIER_API_STATUS_H
#define CRIER_API_STATUS_H

#include "net/net.h"

void status_healthz(struct http_request *r, void *arg);
/* 200 or 503 with the reasons. */
void status_readyz(struct http_request *r, void *arg);
void status_metrics(struct http_request *r, void *arg);

#endif

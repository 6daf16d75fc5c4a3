/* One webhook request from bytes to answer: verify, normalise, enqueue. */
#ifndef GUARD_RECEIVER_WEBHOOK_H
#define GUARD_RECEIVER_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base.h"

struct http_request;
struct intake;
struct keyspace;
struct handover;
struct sources;

/* Everything borrowed; must outlive it. */
struct intake *intake_new(struct sources *, const struct keyspace *, struct handover *);
/* Only when intake_pending() is 0, or after the Redis connection was freed. */
void intake_free(struct intake *);
DEFINE_OWNED(struct intake, intake_free)

/* True when the path is below /webhooks/; the request is then answered, now or later. */
bool intake_handle(struct intake *, struct http_request *);
/* Requests that wait for Redis. */
size_t intake_pending(const struct intake *);

#endif

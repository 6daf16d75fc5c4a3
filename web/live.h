/*
 * Server-sent events: what changed, to everybody who has the page open. One
 * connection follows the `feed` streams, and only while somebody listens.
 */
#ifndef GUARD_WEB_LIVE_H
#define GUARD_WEB_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/keys.h"

struct event_base;
struct http_request;
struct live;

/* Everything given must outlive it. watched(): the first listener came, or the last one left. */
int live_new(struct event_base *, const char *redis_url, int64_t redis_timeout_ms,
	     const struct keyspace *, void (*watched)(bool, void *arg), void *arg,
	     struct live **out, struct err *) MUST_CHECK;
void live_free(struct live *);
DEFINE_OWNED(struct live, live_free)

/*
 * A new listener is told the status at once, and `ready` as soon as every later change will
 * be told. One that comes back with Last-Event-ID is told what it missed, or `reset`.
 * `status`: one line of JSON.
 */
void live_handle(struct live *, struct http_request *, const char *status, size_t n);
/* Sends `event: status` to everybody. */
void live_status(struct live *, const char *text, size_t n);

#endif

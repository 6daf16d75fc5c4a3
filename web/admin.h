/*
 * Everything people and monitors look at: page, API, server-sent events,
 * /metrics and /status. It reads Redis, so any process of the region can serve it.
 */
#ifndef GUARD_WEB_ADMIN_H
#define GUARD_WEB_ADMIN_H

#include <stdbool.h>

#include "core/err.h"

struct event_base;
struct conf;
struct admin;
struct http_request;

/* Opens its own Redis connections; the base must outlive it. `role`: "start", "receiver",
 * "dispatcher". */
int admin_new(struct event_base *, const struct conf *, const char *role, struct admin **out,
	      struct err *) MUST_CHECK;
void admin_free(struct admin *);
DEFINE_OWNED(struct admin, admin_free)

/* True when the route is one of ours; the request is then answered, now or later. */
bool admin_handle(struct admin *, struct http_request *);

#endif

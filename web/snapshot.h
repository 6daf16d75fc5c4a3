/*
 * The state of the region in memory, refreshed on a timer, so that /status and
 * /metrics answer at once and a thousand scrapes cost Redis nothing.
 */
#ifndef GUARD_WEB_SNAPSHOT_H
#define GUARD_WEB_SNAPSHOT_H

#include <stdbool.h>

#include "core/keys.h"

struct batch_list;
struct buf;
struct event_base;
struct redis;
struct snapshot;

/* Everything given must outlive it. changed(): what /status says about the region is new. */
struct snapshot *snapshot_new(struct event_base *, struct redis *, struct batch_list *,
			      const struct keyspace *, const char *role, void (*changed)(void *arg),
			      void *arg) MUST_CHECK;
void snapshot_free(struct snapshot *);
DEFINE_OWNED(struct snapshot, snapshot_free)

/* Somebody is looking: refresh every second instead of every five. */
void snapshot_watched(struct snapshot *, bool);
/* Refresh now, because something was just changed. */
void snapshot_refresh(struct snapshot *);

void snapshot_status_json(const struct snapshot *, struct buf *);
/* The gauges that come from Redis. */
void snapshot_metrics(const struct snapshot *, struct buf *);

#endif

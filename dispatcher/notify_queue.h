/*
 * Messages that wait for their channel: a stream per partition and channel, worked off by the item
 * "deliver:CHANNEL" (docs/streams.md). One at a time, so a channel's pace and order are its own.
 */
#ifndef GUARD_DISPATCHER_NOTIFY_QUEUE_H
#define GUARD_DISPATCHER_NOTIFY_QUEUE_H

#include <stdint.h>

#include "core/redis.h"

struct engine;
struct json_object;
struct notify_channel;

enum { NOTIFY_QUEUE_MAX = 1000, NOTIFY_ID_MAX = 200, NOTIFY_SEEN_S = 35 * 24 * 3600 };

/*
 * Puts a notice into the queue of one channel, once for an id, however often it is asked for.
 * `item` is what a replay of its dead letter makes due; "": it cannot be replayed.
 * fn gets "ok", "seen" or "full", or an error: then ask again.
 */
void notify_put(struct engine *, unsigned partition, const struct notify_channel *, const char *id,
		const char *item, struct json_object *notice, redis_fn *fn, void *arg);

/*
 * For what is no plan's, such as an incident: tells every channel that wants the word. `id` names
 * the occasion; title, detail and by (whom) are for people, and may be "". Whoever must be sure
 * that it was told calls again until fn got no error, for each channel; it returns how many there
 * are.
 */
struct notify_event {
	const char *word, *id, *subject, *title, *detail, *by;
	int64_t repositories, at_ms;
};
unsigned notify_event(struct engine *, const struct notify_event *, redis_fn *fn, void *arg);

#endif

/*
 * Entries of one partition's stream that are recorded and acknowledged together, by one script.
 * An entry is acknowledged by the script that records what it means, or not at all.
 */
#ifndef GUARD_DISPATCHER_BATCH_H
#define GUARD_DISPATCHER_BATCH_H

#include <stdint.h>

#include "core/buf.h"
#include "core/keys.h"
#include "core/redis.h"

struct ci_event;

/* The script holds Redis up for as long as it runs: some milliseconds for so many. */
enum { BATCH_ENTRIES_MAX = 64 };

enum { BATCH_DURATIONS_MAX = 50 }; /* of runs that passed, kept per pipeline */

struct batch {
	struct buf packed;
	unsigned n;
};

struct batch_options {
	const char *group;
	int64_t diagnose_delay_ms; /* after a failure */
	int64_t stuck_ms;          /* after which a run is looked at; 0: none is */
};

void batch_init(struct batch *);
void batch_done(struct batch *);

/* Adding to a full one is a bug and aborts. Nothing is kept of the arguments. */
void batch_ack(struct batch *, const char *id);
void batch_record(struct batch *, const char *id, const struct ci_event *);

/* Sends what is in it and empties it. fn's reply is for the functions below. */
void batch_send(struct batch *, struct redis *, const struct keyspace *, unsigned partition,
		const struct batch_options *, redis_fn *fn, void *arg);

/* The script has made work due that need not wait for the next look. */
bool batch_woke(const struct redisReply *);
/* The n-th entry that it turned into a dead letter, because its run's key is taken; or NULL. */
const char *batch_dead(const struct redisReply *, size_t n);

#endif

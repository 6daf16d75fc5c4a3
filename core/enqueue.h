/*
 * Durable hand-over to the stream, for whoever has an event: dedupe and append in one script, so
 * a crash leaves no half of it.
 */
#ifndef GUARD_CORE_ENQUEUE_H
#define GUARD_CORE_ENQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/redis.h"

struct buf;
struct ci_event;
struct keyspace;

enum enqueue_result {
	ENQUEUE_ACCEPTED,  /* appended */
	ENQUEUE_DUPLICATE, /* this delivery is in the stream already */
	ENQUEUE_FAILED,    /* refused, or nobody knows: not to be acknowledged */
};

/* An entry is at most this long; names for people are cut further to make it fit. */
enum { ENQUEUE_ENTRY_BYTES_MAX = 1024 };

/* A body that cannot be read, for people to look at: entry of pg:{R:0}:dead. */
struct dead_webhook {
	const char *provider, *source, *topic, *delivery, *reason;
	const char *body; /* redacted, at most ENQUEUE_BODY_MAX */
	size_t body_len;
	int64_t at_ms;
};
enum { ENQUEUE_BODY_MAX = 64 << 10, ENQUEUE_RECORD_MAX = 96 << 10 };

/*
 * A record: what is handed over, as bytes that may also lie on disk for a while.
 * Appended to a buffer that has room for ENQUEUE_RECORD_MAX. May shorten names in the event.
 */
void enqueue_record(struct ci_event *, int64_t ttl_ms, struct buf *out);
void enqueue_record_dead(const struct dead_webhook *, struct buf *out);

/* fn gets the reply; hand it to enqueue_result(). ERR_INPUT: no record of this release. */
int enqueue_send(struct redis *, const struct keyspace *, const void *record, size_t n, redis_fn *,
		 void *arg, struct err *) MUST_CHECK;
/* An event that is not kept: may shorten names in it. */
void enqueue_event(struct redis *, const struct keyspace *, struct ci_event *, int64_t ttl_ms,
		   redis_fn *, void *arg);
/* Such a record becomes a dead letter of its own. */
void enqueue_unreadable(struct redis *, const struct keyspace *, const void *record, size_t n,
			const char *why, redis_fn *, void *arg);
/* *id: entry of this or of the first delivery, or why it failed. Borrowed from the reply. */
enum enqueue_result enqueue_result(const struct redisReply *, const char **id);

/*
 * How many dead letters of receivers are kept (up to a node of the stream more), and for how long;
 * the oldest go when another comes. For the whole process.
 */
void enqueue_dead_limits(int64_t max, int64_t keep_ms);
/* How many went for this one. */
int64_t enqueue_dropped(const struct redisReply *);

/* For people: the texts of a record, "event" or "dead letter" first. False when there are no more.
 */
struct enqueue_text {
	const char *data;
	size_t n;
};
bool enqueue_next_text(const void *record, size_t n, size_t *at, struct enqueue_text *out);

/*
 * Claims the region's data for this layout and number of partitions, or finds out what it
 * was made for. fn gets the reply; hand it to enqueue_layout().
 */
void enqueue_claim(struct redis *, const struct keyspace *, redis_fn *, void *arg);
/* ERR_TRANSIENT: no answer, claim again. ERR_CONFIG: made for another configuration; write nothing.
 */
int enqueue_layout(const struct redisReply *, const struct keyspace *, struct err *) MUST_CHECK;

/* Bytes of field names and values that the event takes in the stream. */
size_t enqueue_entry_bytes(const struct ci_event *);
/* Cuts what is only shown until the entry fits. */
void enqueue_fit(struct ci_event *);

#endif

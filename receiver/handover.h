/*
 * The way of a record from the receiver to Redis. An answer to the sender may
 * be given when fn says so, and not before: then Redis has the record, or the spool does.
 *
 * While Redis is away, slow, read-only or full, records go to the spool, and from there
 * to Redis in order when it is back; new ones line up behind them. What Redis has acknowledged
 * is kept for a moment and handed over again when another server, which may not have it, answers.
 */
#ifndef GUARD_RECEIVER_HANDOVER_H
#define GUARD_RECEIVER_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct conf;
struct event_base;
struct handover;
struct keyspace;

enum handover_result {
	HANDOVER_ACCEPTED,  /* Redis has it; detail: the id of the entry */
	HANDOVER_DUPLICATE, /* Redis has had it; detail: the id of the first */
	HANDOVER_SPOOLED,   /* on disk; detail: "" */
	HANDOVER_REFUSED,   /* nobody has it for certain; detail: why */
};
/* Exactly once per record, always from the loop. */
typedef void handover_fn(enum handover_result, const char *detail, void *arg);

struct handover_watch {
	void (*usable)(void *arg); /* records may be put; once */
	/* The data in Redis was made for another configuration: nothing is written any more. */
	void (*misfit)(const char *why, void *arg);
	void *arg;
};

/* Opens its own connection to redis.url and the spool of receiver.spool_dir. */
int handover_new(struct event_base *, const struct conf *, const struct keyspace *,
		 const struct handover_watch *, struct handover **out, struct err *) MUST_CHECK;
/* Records without an answer get none. What is in the spool stays there. */
void handover_free(struct handover *);
DEFINE_OWNED(struct handover, handover_free)

/* A record of core/enqueue.h; copied. */
void handover_put(struct handover *, const void *record, size_t n, handover_fn *, void *arg);

/* Nothing waits that Redis would take now: a good moment to end. */
bool handover_settled(const struct handover *);

/* Redis takes records, or the spool has room for some. */
bool handover_ready(const struct handover *);

#endif

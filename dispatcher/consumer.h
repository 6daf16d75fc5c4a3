/*
 * Reads the event streams as one consumer of the group: decode, record, ack.
 * An entry is acknowledged by the same script that records what it means.
 */
#ifndef GUARD_DISPATCHER_CONSUMER_H
#define GUARD_DISPATCHER_CONSUMER_H

#include <stdbool.h>

struct consumer;
struct engine;

/* Starts once the writer connection is up; `ready` is called at the first read. */
struct consumer *consumer_new(struct engine *, void (*ready)(void *arg), void *arg);
void consumer_free(struct consumer *);
/* This connection has answered, and the groups are there. */
bool consumer_prepared(const struct consumer *);
/* Stops reading and claiming; what is recorded already is answered for. */
void consumer_drain(struct consumer *);

/*
 * After the drain: takes our name off the group where nothing of ours is pending, so that
 * nobody waits for us. left(arg) follows in any case, from the loop.
 */
void consumer_leave(struct consumer *, void (*left)(void *arg), void *arg);

#endif

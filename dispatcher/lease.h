/*
 * A lease of the region, for what one process does at a time: pg:{R}:lease:NAME. Every holder
 * has a number higher than all before it; a script that compares the lease's value
 * changes nothing for one that lost it without noticing.
 */
#ifndef GUARD_DISPATCHER_LEASE_H
#define GUARD_DISPATCHER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base.h"
#include "core/keys.h"

struct engine;
struct lease;

/*
 * Tries from now on, and keeps what it got. changed() is called from the loop with true when it is
 * ours and with false when it may be somebody else's by now.
 */
struct lease *lease_new(struct engine *, const char *name, int64_t ms,
			void (*changed)(bool held, void *arg), void *arg) MUST_CHECK;
/* Somebody else may have it at once, if Redis hears of it. changed() is not called any more. */
void lease_release(struct lease *);
void lease_free(struct lease *);
DEFINE_OWNED(struct lease, lease_free)

bool lease_held(const struct lease *);
/* What the key holds while it is ours: "<process> <number>"; "" while it is not. */
const char *lease_value(const struct lease *);
void lease_key(const struct lease *, char out[static KEY_MAX]);

#endif

/* Commands that leave in one packet, with one function called after the last reply. */
#ifndef GUARD_WEB_BATCH_H
#define GUARD_WEB_BATCH_H

#include <sys/queue.h>

#include "core/base.h"

struct batch;
struct redis;
struct redis_cmd;
struct redisReply;
struct redis_script;

LIST_HEAD(batch_list, batch);

/* The reply is NULL when there was none. May add commands to the same batch. */
typedef void batch_fn(const struct redisReply *, void *arg, unsigned index);

/*
 * Once the last reply is in, done() is called, exactly once and never from inside batch_add();
 * whatever happens, `release` is called last with the same argument.
 */
struct batch *batch_new(struct batch_list *, struct redis *, void (*done)(void *arg),
			void (*release)(void *arg), void *arg) MUST_CHECK;
void batch_add(struct batch *, const struct redis_cmd *, batch_fn *, unsigned index);
void batch_add_script(struct batch *, struct redis_script *, const struct redis_cmd *, batch_fn *,
		      unsigned index);

/* After redis_free(): releases what will never be answered. */
void batch_drop_all(struct batch_list *);

#endif

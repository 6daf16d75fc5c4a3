/*
 * What strategies were worth: asked before a plan is made, told when it ended. In Redis per
 * strategy and per fingerprint or category (docs/streams.md); the arithmetic is ml/belief.h's.
 */
#ifndef GUARD_DISPATCHER_LEARN_H
#define GUARD_DISPATCHER_LEARN_H

#include "core/finding.h"
#include "core/keys.h"
#include "healers/healer.h"
#include "ml/belief.h"

struct redisReply;
struct task;

enum { LEARN_STRATEGIES_MAX = 32 };

/* What is expected of each strategy for one finding; in the order of healers[]. */
struct learned {
	struct learned_one {
		const struct healer *healer;
		double success; /* 0..1 */
		double seen; /* outcomes of this fingerprint that it rests on; old ones count less
			      */
	} of[LEARN_STRATEGIES_MAX];
	size_t n;
};

/*
 * Asks for what is known; `then` follows in any case, with what is assumed where Redis says
 * nothing. Lives in the task's arena.
 */
void learn_ask(struct task *, const struct finding *,
	       void (*then)(struct task *, const struct learned *));

/*
 * The task's plan ended so; results that prove nothing are left out. Counted once per plan.
 * excused: what it cost is counted, and nothing is learned from it.
 */
void learn_tell(struct task *, const char *result, bool excused);

/* The hash of a strategy, and one field of it as of now. */
void learn_key(const struct keyspace *, const char *strategy, char key[static KEY_MAX]);
struct tally_pair learn_pair(const struct redisReply *, int64_t now_ms);

#endif

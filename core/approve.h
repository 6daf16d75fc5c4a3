/* A person's yes or no to a plan that was only suggested; from the page and from the command. */
#ifndef GUARD_CORE_APPROVE_H
#define GUARD_CORE_APPROVE_H

#include <stdbool.h>

#include "core/keys.h"
#include "core/redis.h"

extern struct redis_script approve_script;

enum { APPROVE_KEYS = 6 };
struct approve {
	struct redis_cmd cmd;
	char keys[APPROVE_KEYS][KEY_MAX]; /* which cmd borrows */
};
/*
 * The command for the newest plan of a run, and only if it is `plan`, unless that is "". The texts
 * are borrowed until it is sent.
 * `who` is told to whoever looks, and proves nothing. The answer is {word, detail, plan, who}:
 * "approved" or "rejected" with the strategy, "none" when nothing is suggested, with the state of
 * the plan.
 */
void approve_cmd(struct approve *, const struct keyspace *, const char *run_ref, const char *plan,
		 const char *who, bool approve);

#endif

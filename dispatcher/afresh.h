/* Runs that were started in the place of a failed one: what is asked, and what became of it. */
#ifndef GUARD_DISPATCHER_AFRESH_H
#define GUARD_DISPATCHER_AFRESH_H

#include <stdbool.h>

struct api_afresh;
struct policy_answer;
struct provider_api;
struct task;

/* Started by a person or through the API, and so perhaps by us: by what an event says of it. */
bool afresh_by_hand(const char *trigger);
/* What to ask of the provider for the plan's run. Borrowed from the task and the policy, which
 * may be NULL when only looking. */
void afresh_wish(struct task *, const struct policy_answer *, struct api_afresh *out);
/* The outcome of the plan is that of another run. */
bool afresh_is_other(const struct task *, const struct provider_api *);

/* What the guard itself knows of that run. */
struct afresh_known {
	bool diagnosed;
	const char *category, *fingerprint; /* "" when it is not diagnosed */
};
void afresh_ask(struct task *, unsigned long long other_run,
		void (*then)(struct task *, const struct afresh_known *));

#endif

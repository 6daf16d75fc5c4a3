/* finding -> plan: what is worth doing, and why, in words. Pure: no I/O, no clock. */
#ifndef GUARD_DISPATCHER_DECIDE_H
#define GUARD_DISPATCHER_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base.h"

struct finding;
struct healer;
struct policy_answer;
struct provider_api;

/* What is known about the run besides the finding. */
struct decide_facts {
	uint64_t reruns;        /* made of this run already, by whomever */
	const char *conclusion; /* of the run */
	/* A failed or possibly dependent deploy or publish job; NULL: none; "": not all were seen.
	 */
	const char *deploy_job;
	const char *no_log_why; /* why the log could not be read; NULL: it was */
	const struct policy_answer *policy;
	const struct provider_api *provider; /* NULL: we have no access to it */
	bool observe;                        /* whatever the policy says, nothing is done */
};

/* How the reason begins of a plan that was made without a log; `status` looks for it. */
#define DECIDE_NO_LOG "the log could not be read: "

enum { DECIDE_REASON_MAX = 240 };
struct decision {
	const struct healer *healer;
	const char *mode; /* "act", "suggest" or "observe" */
	char reason[DECIDE_REASON_MAX];
};

void decide(const struct decide_facts *, const struct finding *, struct decision *out);

/* A name that says deploy, publish or release: such a job is never repeated without a person. */
bool decide_is_deploy(const char *job_name);

#endif

/* finding -> plan: what is worth doing, and why, in words. Pure: no I/O, no clock. */
#ifndef GUARD_DISPATCHER_DECIDE_H
#define GUARD_DISPATCHER_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base.h"

struct finding;
struct healer;
struct learned;
struct policy_answer;
struct provider_api;
struct toolbox;

/* What is known about the run besides the finding. */
struct decide_facts {
	uint64_t reruns;        /* made of this run already, by whomever */
	const char *conclusion; /* of the run */
	bool renewable;         /* somebody is configured who renews credentials */
	/* It is of a pull or merge request, and its failure is mended on the default branch. */
	bool mended_on_base;
	bool by_hand; /* it was started through the API, or by a person */
	/* A failed or possibly dependent deploy or publish job; NULL: none; "": not all were seen.
	 */
	const char *deploy_job;
	/* One that ran, whatever came of it: it would run again if all jobs did. */
	const char *deploy_ran;
	const char *no_log_why; /* why the log could not be read; NULL: it was */
	const char *doubt; /* why practice says that trying again is in vain; NULL: it is not */
	const struct policy_answer *policy;
	const struct provider_api *provider; /* NULL: we have no access to it */
	const struct toolbox *tools;         /* what can run here; NULL: all of it */
	bool observe;                        /* whatever the policy says, nothing is done */
	bool observe_local;                  /* the same for healers of this machine */
	const struct learned *learned;       /* NULL: nothing, what healers say of themselves */
	/* In minutes: what a heal saves a person; what the failed jobs took; what a minute of CI
	 * time is worth in minutes of a person. */
	double person_minutes, ci_minutes, ci_price;
	double ci_minutes_all; /* as ci_minutes, of all jobs */
	/* The first wait of a strategy that backs off, and the longest. */
	int64_t backoff_ms, backoff_max_ms;
};

/* How the reason begins of a plan that was made without a log; `status` looks for it. */
#define DECIDE_NO_LOG "the log could not be read: "

enum { DECIDE_REASON_MAX = 240 };
struct decision {
	const struct healer *healer;
	const char *mode; /* "act", "suggest" or "observe" */
	int64_t delay_ms; /* not before that */
	/* What is expected of it: that it helps, 0..1, for so many minutes of CI time; 0 of asking.
	 */
	double success, ci_minutes;
	char reason[DECIDE_REASON_MAX];
};

void decide(const struct decide_facts *, const struct finding *, struct decision *out);

/* A run that does not end: its job that is in progress for longest, and what is usual. */
struct decide_hang {
	const char *job;
	int64_t job_ms, usual_ms; /* 95 of 100 runs of the pipeline that passed took no longer */
	size_t passed;            /* that this rests on */
	bool act;                 /* false: whatever the policy says, it is only suggested */
};
/* Of the facts those about jobs are of the ones that began. */
void decide_hang(const struct decide_facts *, const struct decide_hang *, struct decision *out);

struct api_result;
/* The name of such a job that has begun, of a list of jobs or a build's stages; NULL: none. */
const char *decide_deploy_begun(const struct api_result *, bool steps_are_stages);
/* A name that says deploy, publish or release: such a job is never repeated without a person. */
bool decide_is_deploy(const char *job_name);

#endif

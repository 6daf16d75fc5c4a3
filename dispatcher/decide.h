/* finding -> plan: what is worth doing, and why, in words. Pure: no I/O, no clock. */
#ifndef GUARD_DISPATCHER_DECIDE_H
#define GUARD_DISPATCHER_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base.h"

struct finding;
struct healer;

struct decide_options {
	bool observe;            /* report only */
	const char *observe_why; /* "mode: observe" or "no provider token" */
	double min_confidence;   /* below: a person is asked */
	int64_t reruns_per_run;  /* attempts we may add to one run */
};

/* What is known about the run besides the finding. */
struct decide_facts {
	uint64_t reruns;        /* made of this run already, by whomever */
	const char *conclusion; /* of the run */
	/* A failed or possibly dependent deploy or publish job; NULL: none; "": not all were seen.
	 */
	const char *deploy_job;
	const char *no_log_why; /* why the log could not be read; NULL: it was */
};

/* How the reason begins of a plan that was made without a log; `status` looks for it. */
#define DECIDE_NO_LOG "the log could not be read: "

enum { DECIDE_REASON_MAX = 240 };
struct decision {
	const struct healer *healer;
	const char *mode; /* "act" or "observe" */
	char reason[DECIDE_REASON_MAX];
};

void decide(const struct decide_options *, const struct decide_facts *, const struct finding *,
	    struct decision *out);

/* A name that says deploy, publish or release: such a job is never repeated without a person. */
bool decide_is_deploy(const char *job_name);

#endif

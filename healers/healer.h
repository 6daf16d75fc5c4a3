/*
 * A healer is one way to repair a broken run: a const table and a file. It
 * acts through provider_api, returns at once, and ends in exactly one of ok,
 * temporary or permanent failure.
 */
#ifndef GUARD_HEALERS_HEALER_H
#define GUARD_HEALERS_HEALER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "healers/provider_api.h"

struct audit;
struct conf;
struct edit;
struct finding;
struct propose_rules;

/* How far a healer may reach. Policy compares this with what a repository allows. */
enum heal_risk {
	RISK_OBSERVE, /* reads and tells: asks a person */
	RISK_RETRY,   /* repeats work that already happened */
	RISK_CHANGE,  /* writes to the repository */
};

enum heal_status {
	HEAL_OK,       /* done, and the provider confirmed it */
	HEAL_STOPPING, /* the provider was told to end the run: look again */
	HEAL_WAIT,     /* already under way: somebody's re-run is running, watch that one */
	HEAL_TEMPFAIL, /* not done, trying later may help */
	HEAL_PERMFAIL, /* not done, trying again will not help */
};

enum { PROPOSAL_URL_MAX = 200 };
struct attempt;
typedef void attempt_done_fn(struct attempt *, enum heal_status, int64_t retry_after_ms,
			     const char *detail);

/*
 * One try. Owned by the dispatcher until `done`, which is called exactly once,
 * from the loop and never from within start(). Strings are borrowed from the owner.
 */
struct attempt {
	const struct healer *healer;
	const struct provider_api *provider;
	struct api *api; /* NULL for a healer that needs no provider */
	struct event_base *base;
	struct http_client *http; /* for what is no provider */
	const struct conf *conf;
	struct audit *audit;
	struct api_run run;
	const struct api_afresh *afresh; /* for a healer that starts another run */
	const char *problem; /* the sender's word for what failed: "stale_lock"; "" when none */
	const struct finding *finding;             /* NULL: it cannot be read any more */
	const char *pipeline, *branch, *sha, *url; /* of the run; "" when not known */
	const struct propose_rules *rules;
	bool found; /* set by the healer: it was proposed before, not by this plan */
	char proposal[PROPOSAL_URL_MAX]; /* set by the healer: what it proposed, or found proposed
					  */
	attempt_done_fn *done;
	void *arg;
	void *state; /* zeroed scratch of healer->state_size, freed by the owner */
};

/* A failure that a healer is for. */
struct heal_target {
	const char *category;    /* NULL ends the list; "*": any but unknown */
	const char *subcategory; /* NULL: any */
	double success;          /* how often it works, before anything was learned; 0..1 */
};

enum { HEALER_CALLS_MAX = 2 };

struct healer {
	const char *name;    /* stable: stored in plans and outcomes, learned from */
	const char *summary; /* one line for people */
	enum heal_risk risk;
	const struct heal_target *targets; /* NULL: never chosen for what failed */
	/* It only tries the same again, so it is of use for a transient failure alone. */
	bool repeats;
	/* It runs again what passed, too: a deployment among that is a person's decision. */
	bool repeats_all;
	/* Not at once: after a time that grows with every try of the run. */
	bool backs_off;
	/*
	 * It is for a run that is still going on. Of its two calls the first ends the run, and the
	 * second is made when it is over; each start() makes one of them.
	 */
	bool of_running;
	/* Begun anew it finds what it did before: an interrupted one needs no proof to go on. */
	bool resumes;
	/* It may take longer than a lease, and ends by itself at a time that is configured. */
	bool takes_long;
	/* Whatever the policy allows, a person is asked. */
	bool asks_always;
	/* It proposes what that makes of the repository's files; NULL: it does something else. */
	const struct edit *edit;
	/* It proposes what one of change_tools makes of a copy of the repository, or git. */
	bool in_tree;
	const char *does;    /* the title of that proposal, up to the name of the tool */
	const char *advice;  /* to who reads the proposal, a sentence */
	const char *in_vain; /* said where there is nothing to change */
	/*
	 * It starts another run in the place of this one, by that function of provider_api of the
	 * type api_afresh_fn; 0: none. The outcome is that of the other run.
	 */
	size_t afresh;
	/* It needs somebody who renews credentials: refresh_credentials_configured(). */
	bool wants_hook;
	/* It is for runs of a pull or merge request whose failure is mended on the default branch.
	 */
	bool of_proposals;
	/* It needs what the policy says under `larger_runner`. */
	bool wants_inputs;
	/* It works on repositories of this machine, and on nothing else (docs/git.md). */
	bool local;
	const char *because; /* after the category in a plan's reason */
	/*
	 * What is asked of the provider, in this order: HEALER_CALL of each, 0 after the last.
	 * Only the last one counts as the action; those before it may be repeated at will.
	 */
	size_t calls[HEALER_CALLS_MAX + 1];
	const char *did;       /* after the last: "the failed jobs run again" */
	bool acts_on_provider; /* false: nothing leaves this machine (escalate) */
	const char *done_as;   /* result of a plan whose healer awaits nothing: "escalated" */
	bool awaits; /* true: the outcome is known only when the next attempt of the run completes
		      */
	const char *scopes; /* token permissions it needs, for the docs: "actions: write" */
	size_t state_size;

	int (*start)(struct attempt *, struct err *) MUST_CHECK;
	/* May be called at any time before done; must not call it. */
	void (*cancel)(struct attempt *);
};

/* One of provider_api's functions: of the type api_act_fn, and for `afresh` api_afresh_fn. */
#define HEALER_CALL(member) offsetof(struct provider_api, member)

extern const struct healer healer_rerun_failed_jobs;
extern const struct healer healer_retry_with_backoff;
extern const struct healer healer_rerun_all;
extern const struct healer healer_rerun_larger_runner;
extern const struct healer healer_update_branch;
extern const struct healer healer_clear_cache_and_rerun;
extern const struct healer healer_refresh_credentials;
extern const struct healer healer_cancel_stuck_and_rerun;
extern const struct healer healer_bump_timeout;
extern const struct healer healer_use_mirror;
extern const struct healer healer_quarantine_test;
extern const struct healer healer_fix_lint;
extern const struct healer healer_refresh_lockfile;
extern const struct healer healer_update_snapshots;
extern const struct healer healer_revert_commit;
extern const struct healer healer_repair_local_git;
extern const struct healer healer_escalate;

/* All healers, NULL-terminated, and by name (NULL when unknown). */
extern const struct healer *const healers[];
const struct healer *healer_find(const char *name);
const char *heal_risk_name(enum heal_risk);
/* Whether what it does is to propose a change. */
bool healer_proposes(const struct healer *);
/* Whether it could do anything about that: a proposal needs more than a category. */
bool healer_fits(const struct healer *, const struct finding *, const struct propose_rules *);
/* Whether that provider has what the healer calls; NULL: none is known. */
bool healer_works_on(const struct healer *, const struct provider_api *);
/* What it is for that fits the finding best; NULL: it is not for that. */
const struct heal_target *healer_target(const struct healer *, const struct finding *);

#endif

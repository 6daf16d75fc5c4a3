/*
 * follow: what became of a proposal. The plan ended when it was opened; whether it was merged or
 * closed says how much such proposals are worth, and the page shows it.
 */
#include <string.h>

#include "core/conf.h"
#include "core/log.h"
#include "core/mem.h"
#include "dispatcher/breaker.h"
#include "dispatcher/learn.h"
#include "dispatcher/work.h"
#include "healers/change.h"

enum {
	RARELY_MS = 24 * 3600 * 1000,
	PATIENCE_DAYS = 30, /* the plan itself is kept somewhat longer */
};

struct follow {
	struct api *api;
	const struct provider_api *ops;
	char branch[CHANGE_BRANCH_MAX];
};

static void end(struct task *t)
{
	struct settle s = SETTLE_INIT;

	task_settle(t, &s);
}

/* The older, the more rarely. */
static void later(struct task *t)
{
	int64_t least = conf_int(t->e->conf, "change.follow");
	int64_t age = task_now_ms(t) - (int64_t)t->plan.sent_at_ms;
	struct settle s = SETTLE_INIT;

	s.again_ms = age < least ? least : age < RARELY_MS ? age : RARELY_MS;
	if (age < PATIENCE_DAYS * (int64_t)RARELY_MS)
		task_settle(t, &s);
	else
		end(t);
}

static void ended(struct task *t, const char *state)
{
	struct settle s = {
		.again_ms = -1,
		.feed = state,
		.plan_pairs = { "proposal_state", state },
		.run_pairs = { "proposal_state", state },
	};

	log_info("a proposal ended", KV("plan", t->plan.id), KV("repo", t->run.repo),
		 KV("proposal", t->plan.proposal), KV("state", state));
	learn_tell(t, state, false);
	task_settle(t, &s);
}

static void on_found(const struct api_result *r, void *arg)
{
	struct task *t = arg;

	t->call = NULL;
	if (r->fate == API_RETRY || r->fate == API_WAIT)
		breaker_retry(t, r->retry_after_ms, r->why, task_retry);
	else if (r->fate == API_REFUSED || strcmp(r->proposal.url, t->plan.proposal) != 0)
		end(t); /* nobody can tell any more */
	else if (r->proposal.state == PROPOSAL_OPEN)
		later(t);
	else
		ended(t, r->proposal.state == PROPOSAL_MERGED ? "merged" : "closed");
}

static void ask(struct task *t)
{
	struct follow *f = t->state;
	struct api_run run;

	run_api(&t->run, &run);
	t->call = f->ops->find_proposal(f->api, &run, f->branch, on_found, t);
}

static void follow_start(struct task *t)
{
	struct follow *f = t->state;
	struct err err;

	f->api = engine_provider(t->e, &t->run, &f->ops);
	if (!f->api || !f->ops->find_proposal || !*t->plan.proposal ||
	    change_branch(t->plan.strategy, t->plan.fingerprint, f->branch, &err) < 0)
		end(t);
	else
		breaker_ask(t, ask);
}

static void follow_cancel(struct task *t)
{
	struct follow *f = t->state;

	if (t->call)
		f->ops->cancel(TAKE(t->call));
}

const struct stage stage_follow = {
	.name = "follow",
	.has_plan = true,
	.only_tells = true,
	.state_size = sizeof(struct follow),
	.start = follow_start,
	.cancel = follow_cancel,
};

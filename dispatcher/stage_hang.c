/*
 * hang: a run that is in progress for long. Due when that may be too long for its pipeline; looks
 * again, or makes a plan that stops it. The end of the run takes the item away
 * (dispatcher/batch.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/conf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/redis.h"
#include "dispatcher/batch.h"
#include "dispatcher/breaker.h"
#include "dispatcher/decide.h"
#include "dispatcher/policy.h"
#include "dispatcher/work.h"

enum { PASSED_MIN = 5 }; /* fewer do not say what is usual */

struct hang {
	struct api *api;
	const struct provider_api *ops;
	int64_t usual_ms, limit_ms;
	size_t passed;
};

static void leave(struct task *t)
{
	struct settle nothing = SETTLE_INIT;

	task_settle(t, &nothing);
}

static void look_in(struct task *t, int64_t ms)
{
	struct settle later = SETTLE_INIT;

	later.again_ms = ms > 0 ? ms : t->e->opt.stuck_after_ms;
	task_settle(t, &later);
}

/* --- the plan --------------------------------------------------------------------- */

static void make_plan(struct task *t, const struct decide_hang *hang, const char *deploy_job)
{
	const struct hang *h = t->state;
	const char *generation = arena_printf(t->arena, "%" PRIu64, t->run.generation);
	struct policy_answer policy;
	struct decide_facts facts = {
		.reruns = run_reruns(&t->run),
		.deploy_job = deploy_job,
		.policy = &policy,
		.provider = h->ops,
		.observe = t->e->decide.observe,
	};
	struct settle s = { .again_ms = -1, .feed = "hangs", .run_pairs = { "hang", generation } };
	struct decision decision;
	struct finding f;
	size_t n = 0;

	finding_init(&f);
	f.category = "timeout";
	f.subcategory = "stuck";
	f.rule = "stuck";
	f.confidence = 1;
	engine_policy(t->e, &t->run, f.category, f.subcategory, "", task_now_ms(t), &policy);
	decide_hang(&facts, hang, &decision);
	task_plan(t, &f, "", &policy, &decision, &s);
	while (s.plan_pairs[n])
		n++;
	s.plan_pairs[n++] = "running";
	s.plan_pairs[n++] = "1";
	s.plan_pairs[n] = NULL;
	log_info("a run hangs", KV("run", t->ref), KV("repo", t->run.repo),
		 KV("strategy", decision.healer->name), KV("reason", decision.reason));
	task_settle(t, &s);
}

/* --- whether it hangs ---------------------------------------------------------------- */

static const struct api_job *longest(const struct api_result *r)
{
	const struct api_job *found = NULL;

	for (unsigned i = 0; i < r->n_jobs; i++) {
		const struct api_job *job = &r->jobs[i];

		if (strcmp(job->status, "in_progress") == 0 && job->started_at_ms > 0 &&
		    (!found || job->started_at_ms < found->started_at_ms))
			found = job;
	}
	return found;
}

static void on_jobs(const struct api_result *r, void *arg)
{
	struct task *t = arg;
	const struct hang *h = t->state;
	const struct api_job *job = longest(r);
	struct decide_hang hang = { .usual_ms = h->usual_ms,
				    .passed = h->passed,
				    .act = conf_bool(t->e->conf, "heal.stuck_act") };

	t->call = NULL;
	if (r->fate == API_RETRY || r->fate == API_WAIT) {
		breaker_retry(t, r->retry_after_ms, r->why, task_retry);
	} else if (r->fate == API_REFUSED) {
		leave(t);
	} else if (!job) {
		look_in(t, 0); /* it waits: for a machine, or for a person */
	} else if (task_now_ms(t) - job->started_at_ms < h->limit_ms) {
		look_in(t, h->limit_ms - (task_now_ms(t) - job->started_at_ms));
	} else {
		hang.job = job->name;
		hang.job_ms = task_now_ms(t) - job->started_at_ms;
		make_plan(t, &hang, decide_deploy_begun(r, h->ops->steps_are_stages));
	}
}

static void ask_jobs(struct task *t)
{
	struct hang *h = t->state;
	struct api_run run;

	run_api(&t->run, &run);
	t->call = h->ops->list_jobs(h->api, &run, on_jobs, t);
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void on_durations(const struct redisReply *reply, void *arg)
{
	struct task *t = arg;
	struct hang *h = t->state;
	int64_t ms[BATCH_DURATIONS_MAX], left;

	t->asked--;
	for (size_t i = 0; i < redis_len(reply) && h->passed < BATCH_DURATIONS_MAX; i++)
		ms[h->passed++] = redis_int(redis_at(reply, i), 0);
	if (h->passed < PASSED_MIN) {
		look_in(t, 0);
		return;
	}
	qsort(ms, h->passed, sizeof(*ms), by_size);
	h->usual_ms = ms[(h->passed * 95 + 99) / 100 - 1];
	h->limit_ms = h->usual_ms * t->e->opt.stuck_factor;
	if (h->limit_ms < t->e->opt.stuck_after_ms)
		h->limit_ms = t->e->opt.stuck_after_ms;
	left = (int64_t)t->run.began_ms + h->limit_ms - task_now_ms(t);
	h->api = engine_provider(t->e, &t->run, &h->ops);
	if (left > 0)
		look_in(t, left);
	else if (!h->api)
		leave(t);
	else
		breaker_ask(t, ask_jobs);
}

static void hang_start(struct task *t)
{
	char key[KEY_MAX], last[24], name[KEY_MAX];

	if (!t->e->opt.stuck_after_ms || t->run.rank != CI_RUNNING || !t->run.began_ms ||
	    t->run.hang == t->run.generation) {
		leave(t);
		return;
	}
	(void)snprintf(name, sizeof(name), "%.31s:%" PRIu64 ":%" PRIu64, t->run.source,
		       t->run.repo_id, t->run.pipeline_id);
	key_part_of(&t->e->ks, t->partition, "durations", name, key);
	(void)snprintf(last, sizeof(last), "%d", BATCH_DURATIONS_MAX - 1);
	t->asked++;
	redis_send_args(t->e->writer, on_durations, t, "LRANGE", key, "0", last, (char *)NULL);
}

static void hang_cancel(struct task *t)
{
	struct hang *h = t->state;

	if (t->call)
		h->ops->cancel(TAKE(t->call));
}

const struct stage stage_hang = {
	.name = "hang",
	.state_size = sizeof(struct hang),
	.start = hang_start,
	.cancel = hang_cancel,
};

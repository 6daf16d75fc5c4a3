/* await: did it work? Woken by the next completion of the run, or by heal_timeout. */
#include <inttypes.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "dispatcher/afresh.h"
#include "dispatcher/breaker.h"
#include "dispatcher/budget.h"
#include "dispatcher/incident.h"
#include "dispatcher/learn.h"
#include "dispatcher/work.h"

/* A failed attempt is compared once it is diagnosed; that wakes us, this is only the net below. */
enum {
	DIAGNOSIS_MS = 60 * 1000,
	DIAGNOSIS_MAX_MS = 3600 * 1000, /* since the run's last news */
	EVENT_TRIES = 2,
	OTHER_TRIES = 4,
	LOOK_MAX_MS = 60 * 1000,
};

struct await {
	struct api *api;
	const struct provider_api *ops;
	const char *result, *detail; /* judged so */
	uint64_t other;              /* the run in its place; 0: none so far */
};

/* That it failed again while the outage lasted says nothing about the strategy. */
static void on_ended(struct task *t, bool covered)
{
	struct await *a = t->state;

	learn_tell(t, a->result, covered && strcmp(a->result, "same_failure") == 0);
	task_outcome(t, a->result, a->detail);
}

/* An outage has many faces: another failure of the same category does not prove that it is over. */
static const char *said_of_incident(const struct task *t, const char *result)
{
	return strcmp(result, "different_failure") == 0 &&
			       strcmp(t->run.category, t->plan.category) == 0
		       ? "same_failure"
		       : result;
}

static void finish(struct task *t, const char *result, const char *detail)
{
	struct await *a = t->state;

	a->result = result;
	a->detail = detail;
	incident_ended(t, said_of_incident(t, result), on_ended);
}

/* What the next attempt says about the heal. */
static void judged(struct task *t, const char *result, const char *detail)
{
	budget_spent(t);
	finish(t, result, detail);
}

static void healed(struct task *t, const char *detail)
{
	metrics_observe_ms("heal_duration_seconds", "",
			   (double)(task_now_ms(t) - (int64_t)t->plan.created_at_ms));
	judged(t, "healed", detail);
}

static void judge(struct task *t, const char *conclusion)
{
	const struct run *r = &t->run;
	bool read = r->finding_generation > t->plan.generation;
	bool same = *r->fingerprint && strcmp(r->fingerprint, t->plan.fingerprint) == 0;

	if (strcmp(conclusion, "success") == 0) {
		healed(t, "the next attempt succeeded");
	} else if (!ci_conclusion_failed(conclusion)) {
		judged(t, "cancelled",
		       arena_printf(t->arena, "the next attempt ended as %s", conclusion));
	} else if (!read) {
		/* What is known of the run is still the failure that the plan was made for. */
		judged(t, "cancelled", "the next attempt failed, and was not diagnosed");
	} else if (same) {
		judged(t, "same_failure", "the next attempt failed for the same reason");
	} else {
		judged(t, "different_failure",
		       arena_printf(t->arena, "the next attempt failed with %s",
				    *r->category ? r->category : "something else"));
	}
}

/* Nobody waits longer for a diagnosis than for the re-run itself. */
static int64_t diagnosis_ms(const struct task *t)
{
	return t->e->opt.heal_timeout_ms < DIAGNOSIS_MS ? t->e->opt.heal_timeout_ms : DIAGNOSIS_MS;
}

/* No webhook told us; the provider has the last word. */
static void on_run(const struct api_result *r, void *arg)
{
	struct task *t = arg;

	t->call = NULL;
	if (r->fate == API_RETRY || r->fate == API_WAIT)
		breaker_retry(t, r->retry_after_ms, r->why, task_retry);
	else if (r->fate == API_OK && r->generation > t->plan.generation &&
		 strcmp(r->status, "completed") == 0 && !ci_conclusion_failed(r->conclusion))
		judge(t, r->conclusion);
	else if (r->fate == API_OK && r->generation > t->plan.generation &&
		 strcmp(r->status, "completed") == 0 && t->tries <= EVENT_TRIES)
		/* After a long pause its event is still in the stream, and will be diagnosed. */
		task_retry(t, diagnosis_ms(t), "it failed, and its event is not here yet");
	else
		finish(t, "timed_out",
		       arena_printf(t->arena, "no completion was reported in time; it is %s",
				    r->fate == API_OK ? r->status : r->why));
}

static void ask_run(struct task *t)
{
	struct await *a = t->state;
	struct api_run run;

	run_api(&t->run, &run);
	t->call = a->ops->get_run(a->api, &run, on_run, t);
}

/* --- another run in its place ------------------------------------------------------- */

static void other_failed(struct task *t, const struct afresh_known *known)
{
	struct await *a = t->state;

	if (!known->diagnosed && t->tries <= OTHER_TRIES)
		task_retry(t, diagnosis_ms(t) / OTHER_TRIES,
			   "the new run failed, and is not diagnosed yet");
	else if (!known->diagnosed)
		judged(t, "cancelled", "the new run failed, and was not diagnosed");
	else if (strcmp(known->fingerprint, t->plan.fingerprint) == 0)
		judged(t, "same_failure",
		       arena_printf(t->arena, "run %" PRIu64 " failed for the same reason",
				    a->other));
	else
		judged(t, "different_failure",
		       arena_printf(t->arena, "run %" PRIu64 " failed with %s", a->other,
				    *known->category ? known->category : "something else"));
}

/* More seldom with time: nobody tells that it ended, and most take minutes. */
static void look_later(struct task *t)
{
	int64_t age = task_now_ms(t) - (int64_t)t->plan.sent_at_ms, wait = age / 4;
	struct settle later = SETTLE_INIT;

	wait = wait < t->e->opt.settle_ms ? t->e->opt.settle_ms : wait;
	later.again_ms = wait < LOOK_MAX_MS ? wait : LOOK_MAX_MS;
	task_settle(t, &later);
}

static void on_other(const struct api_result *r, void *arg)
{
	struct task *t = arg;
	struct await *a = t->state;
	bool over = strcmp(r->status, "completed") == 0;
	bool late = task_now_ms(t) - (int64_t)t->plan.sent_at_ms > t->e->opt.heal_timeout_ms;

	t->call = NULL;
	a->other = r->other_run;
	if (r->fate == API_RETRY || r->fate == API_WAIT)
		breaker_retry(t, r->retry_after_ms, r->why, task_retry);
	else if (r->fate == API_REFUSED)
		finish(t, "timed_out", r->why);
	else if (a->other && over && ci_conclusion_failed(r->conclusion))
		afresh_ask(t, a->other, other_failed);
	else if (a->other && over && strcmp(r->conclusion, "success") == 0)
		healed(t,
		       arena_printf(t->arena, "run %" PRIu64 " in its place succeeded", a->other));
	else if (a->other && over)
		judged(t, "cancelled",
		       arena_printf(t->arena, "run %" PRIu64 " in its place ended as %s", a->other,
				    r->conclusion));
	else if (late)
		finish(t, "timed_out",
		       a->other ? arena_printf(t->arena,
					       "run %" PRIu64 " in its place is still going on",
					       a->other)
				: "no run in its place was seen");
	else
		look_later(t);
}

static void ask_other(struct task *t)
{
	struct await *a = t->state;
	struct api_afresh wish;
	struct api_run run;

	run_api(&t->run, &run);
	afresh_wish(t, NULL, &wish);
	t->call = a->ops->find_afresh(a->api, &run, &wish, on_other, t);
}

static void await_start(struct task *t)
{
	struct await *a = t->state;
	const struct run *r = &t->run;
	int64_t left = (int64_t)t->plan.sent_at_ms + t->e->opt.heal_timeout_ms - task_now_ms(t);
	struct settle later = SETTLE_INIT;

	if (strcmp(t->plan.state, "awaiting") != 0) {
		task_settle(t, &later);
		return;
	}
	a->api = engine_provider(t->e, r, &a->ops);
	if (a->api && afresh_is_other(t, a->ops)) {
		breaker_ask(t, ask_other);
		return;
	}
	/* It failed and was read. What somebody made of that since then says nothing about us. */
	if (r->finding_generation == t->plan.generation + 1) {
		judge(t, "failure");
		return;
	}
	if (r->generation > t->plan.generation && r->rank == CI_COMPLETED) {
		if (r->failed && r->finding_generation < r->generation &&
		    task_now_ms(t) - (int64_t)r->updated_at_ms < DIAGNOSIS_MAX_MS) {
			later.again_ms = diagnosis_ms(t);
			task_settle(t, &later);
			return;
		}
		judge(t, r->conclusion);
		return;
	}
	if (left > 0) {
		later.again_ms = left;
		task_settle(t, &later);
		return;
	}
	if (!a->api) {
		finish(t, "timed_out", "no completion was reported in time");
		return;
	}
	breaker_ask(t, ask_run);
}

static void await_cancel(struct task *t)
{
	struct await *a = t->state;

	if (t->call)
		a->ops->cancel(TAKE(t->call));
}

const struct stage stage_await = {
	.name = "await",
	.has_plan = true,
	.state_size = sizeof(struct await),
	.start = await_start,
	.cancel = await_cancel,
};

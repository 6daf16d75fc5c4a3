/*
 * act: carries a plan out, once. Order matters: ask the provider, uncached,
 * whether the run is still the failed generation the plan was made for; get
 * admitted; write `sent`; only then call. A plan found `sent` was interrupted
 * between that write and its end, and is sent again only when the provider
 * proves that the call did not arrive.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/audit.h"
#include "core/ci_event.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/afresh.h"
#include "dispatcher/base_watch.h"
#include "dispatcher/breaker.h"
#include "dispatcher/budget.h"
#include "dispatcher/decide.h"
#include "dispatcher/incident.h"
#include "dispatcher/policy.h"
#include "dispatcher/test_hooks.h"
#include "dispatcher/work.h"

enum {
	SENDS_MAX = 3,
	STOPS_MAX = 3,
	HELD_MS = 5000,            /* how often a held plan asks again */
	QUIET_MS = 10 * 60 * 1000, /* how often quiet hours are looked at again */
	STOP_LOOK_MS = 5000,       /* how often it is looked whether a run has stopped */
	WATCH_MS = 500,            /* how soon a call that waits for its turn hears of a stop */
};

struct act {
	struct api *api;
	const struct provider_api *ops;
	const struct healer *healer;
	struct policy_answer policy; /* as it is now */
	struct attempt attempt;
	struct api_afresh afresh;
	bool attempting;
	bool admitted;
	const char *result, *detail; /* finished so */
	bool over;                   /* of_running: the run has ended, so the second call is due */
	struct event *watch;         /* while attempting */
};

/*
 * KEYS stop budget inflight breaker minutes fleet incidents
 * ARGV plan per_hour concurrent hold_ms budget_ttl_s breaker_cap limit_field limit_cap
 *      minutes_per_day fleet_percent fleet_floor, what incident_args() adds
 * Asking again for the same plan costs nothing, so a crash between grant and
 * call does not eat the budget.
 */
static struct redis_script admit_script = {
	.name = "admit",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / "
		"1000) " INCIDENT_LUA
		"local known = redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 "
		"local wait = incident_ask(KEYS[7], ARGV[1], 12, known) "
		"if wait then return wait end "
		"local stop = redis.call('GET', KEYS[1]) "
		"if stop then return {'held', 'stopped: ' .. stop} end "
		"local b = redis.call('HMGET', KEYS[4], 'state', 'open_until_ms', "
		"'limited_until_ms', ARGV[7]) "
		"for i = 2, 4 do "
		"  local left = (tonumber(b[i]) or 0) - now "
		"  if left > 0 and left <= tonumber(ARGV[i == 2 and 6 or 8]) and "
		"      (i > 2 or b[1] == 'open') then "
		"    return {'down', left} "
		"  end "
		"end "
		"if not known and redis.call('SCARD', KEYS[2]) >= tonumber(ARGV[2]) then "
		"  return {'over', 'limit of ' .. ARGV[2] .. ' re-runs an hour for this pipeline "
		"is used up'} "
		"end "
		"local spent = tonumber(redis.call('GET', KEYS[5])) or 0 "
		"if ARGV[9] ~= '0' and spent >= tonumber(ARGV[9]) then "
		"  return {'over', 'limit of ' .. ARGV[9] .. ' minutes a day for re-runs of this "
		"repository is used up'} "
		"end "
		"local fleet = redis.call('HMGET', KEYS[6], 'reruns', 'failed') "
		"local reruns = tonumber(fleet[1]) or 0 "
		"if not known and ARGV[10] ~= '0' and reruns >= tonumber(ARGV[11]) and "
		"    reruns * 100 >= (tonumber(fleet[2]) or 0) * ARGV[10] then "
		"  return {'over', 'more than ' .. ARGV[10] .. ' % of the failed runs of this hour "
		"were run again already'} "
		"end "
		"redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now) "
		"if not redis.call('ZSCORE', KEYS[3], ARGV[1]) and "
		"    redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[3]) then "
		"  return {'held', ARGV[3] .. ' heals are being started already'} "
		"end "
		"incident_take(KEYS[7], ARGV[1], 12, known) "
		"if redis.call('SADD', KEYS[2], ARGV[1]) == 1 and ARGV[10] ~= '0' then "
		"  redis.call('HINCRBY', KEYS[6], 'reruns', 1) "
		"  redis.call('EXPIRE', KEYS[6], ARGV[5]) "
		"end "
		"redis.call('EXPIRE', KEYS[2], ARGV[5]) "
		"redis.call('ZADD', KEYS[3], now + ARGV[4], ARGV[1]) "
		"return {'granted', ''}",
};

static bool is_sent(const struct task *t)
{
	return strcmp(t->plan.state, "sent") == 0;
}

static void release(struct task *t)
{
	struct act *a = t->state;
	char inflight[KEY_MAX];

	if (!a->admitted)
		return;
	a->admitted = false;
	key_region(&t->e->ks, "budget:inflight", inflight);
	redis_send_args(t->e->writer, NULL, NULL, "ZREM", inflight, t->plan.id, (char *)NULL);
}

static void on_ended(struct task *t, bool covered)
{
	struct act *a = t->state;

	UNUSED(covered);
	task_outcome(t, a->result, a->detail);
}

static void finish(struct task *t, const char *result, const char *detail)
{
	struct act *a = t->state;

	release(t);
	a->result = result;
	a->detail = arena_strdup(t->arena, detail);
	t->plan.proposal = arena_strdup(t->arena, a->attempt.proposal);
	incident_ended(t, result, on_ended);
}

/* Of a plan whose call was certainly not applied. */
static void again(struct task *t, int64_t at_least_ms, const char *why)
{
	const struct plan *p = &t->plan;
	uint64_t since = p->due_at_ms > p->created_at_ms ? p->due_at_ms : p->created_at_ms;
	/* Time in which nobody could try does not count. */
	int64_t age = task_now_ms(t) - (int64_t)(since + p->held_ms);

	release(t);
	if (age > t->e->opt.give_up_ms)
		task_outcome(t, "gave_up", why);
	else
		task_retry(t, at_least_ms, why);
}

/* The provider does not say how the run is, and without that nothing is done. */
static void look_again(struct task *t, int64_t at_least_ms, const char *why)
{
	if (!is_sent(t))
		again(t, at_least_ms, why);
	else if (task_now_ms(t) - (int64_t)(t->plan.sent_at_ms + t->plan.held_ms) >
		 t->e->opt.give_up_ms)
		finish(t, "unknown", why);
	else
		task_retry(t, at_least_ms, why);
}

/* The provider has it: from here the next completion of the run decides. */
static void await_outcome(struct task *t, const char *detail)
{
	struct settle s = {
		.again_ms = -1,
		.feed = "sent",
		.next_item = arena_printf(t->arena, "await:%s", t->plan_id),
		.next_delay_ms = afresh_is_other(t, ((struct act *)t->state)->ops)
					 ? t->e->opt.settle_ms
					 : t->e->opt.heal_timeout_ms,
		.plan_pairs = { "state", "awaiting", "detail", detail },
		.run_pairs = { "plan_state", "awaiting" },
	};

	release(t);
	if (((struct act *)t->state)->healer->of_proposals)
		base_watch_tried(t);
	log_info("heal under way", KV("plan", t->plan.id), KV("repo", t->run.repo),
		 KV("strategy", t->plan.strategy), KV("detail", detail));
	task_settle(t, &s);
}

/* --- the call ------------------------------------------------------------- */

static void watch_again(struct task *t)
{
	struct act *a = t->state;
	struct timeval tv = clock_timeval(WATCH_MS);

	(void)evtimer_add(a->watch, &tv);
}

static void on_stop(const struct redisReply *reply, void *arg)
{
	struct task *t = arg;
	struct act *a = t->state;
	const char *why = redis_is_error(reply, NULL) ? NULL : redis_str(reply);

	t->asked--;
	if (!a->attempting)
		return;
	if (!why) {
		if (a->healer->takes_long)
			task_renew(t);
		watch_again(t);
		return;
	}
	/* As any interrupted call: if it had left already, the fence will see that. */
	a->healer->cancel(&a->attempt);
	a->attempting = false;
	release(t);
	task_retry(t, HELD_MS, arena_printf(t->arena, "stopped: %s", why));
}

/* Providers take calls that change something one after the other, so a granted one may wait. */
static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct task *t = arg;
	char stop[KEY_MAX];

	UNUSED(fd);
	UNUSED(what);
	key_region(&t->e->ks, "stop", stop);
	t->asked++;
	redis_send_args(t->e->writer, on_stop, t, "GET", stop, (char *)NULL);
}

static void watch(struct task *t)
{
	struct act *a = t->state;

	a->watch = evtimer_new(t->e->base, on_watch, t);
	if (!a->watch)
		abort();
	watch_again(t);
}

static void unwatch(struct act *a)
{
	if (a->watch)
		event_free(a->watch);
	a->watch = NULL;
}

static void tell_proposed(struct task *t)
{
	const struct act *a = t->state;

	finish(t, a->healer->done_as, a->detail);
}

/* What somebody was told of is not told again; what is new is looked at again, some day. */
static void proposed(struct task *t, const char *detail)
{
	struct act *a = t->state;
	struct settle s = {
		.next_item = arena_printf(t->arena, "follow:%s", t->plan_id),
		.next_delay_ms = conf_int(t->e->conf, "change.follow"),
	};

	a->detail = arena_strdup(t->arena, detail);
	t->quiet = a->attempt.found;
	if (a->attempt.found)
		tell_proposed(t);
	else
		task_step(t, &s, tell_proposed);
}

/* The run as the plan was made for it. */
static void planned_run(const struct task *t, struct api_run *out)
{
	run_api(&t->run, out);
	out->generation = t->plan.generation;
}

/* Of the failure that the plan was made for; NULL when the run failed otherwise since. */
static const struct finding *finding_of(struct task *t)
{
	struct finding *f = arena_alloc(t->arena, sizeof(*f));
	OWNED(json_putp) struct json_object *json = NULL;
	struct err err;

	if (json_parse(t->run.finding, strlen(t->run.finding), &json, &err) < 0 ||
	    finding_from_json(json, t->arena, f, &err) < 0 ||
	    strcmp(f->fingerprint, t->plan.fingerprint) != 0)
		return NULL;
	return f;
}

/* It runs again already: perhaps a person was faster than our call. */
static void on_whose(const struct api_result *r, void *arg)
{
	struct task *t = arg;
	struct act *a = t->state;

	t->call = NULL;
	if (r->fate == API_OK && r->generation > t->plan.generation && r->foreign)
		finish(t, "superseded", "somebody else re-ran it");
	else
		await_outcome(t, a->detail);
}

static void ask_whose(struct task *t, const char *why)
{
	struct act *a = t->state;
	struct api_run run;

	a->detail = arena_strdup(t->arena, why);
	planned_run(t, &run);
	t->call = a->ops->get_run(a->api, &run, on_whose, t);
}

static void acted(struct task *t, const char *why)
{
	const struct act *a = t->state;

	if (a->healer->awaits)
		await_outcome(t, why);
	else if (healer_proposes(a->healer))
		proposed(t, why);
	else
		finish(t, a->healer->done_as, t->plan.reason);
}

static void on_attempt(struct attempt *at, enum heal_status status, int64_t retry_after_ms,
		       const char *detail)
{
	struct task *t = at->arg;
	struct act *a = t->state;
	char why[200];

	a->attempting = false;
	unwatch(a);
	test_hook_kill("after_send");
	(void)text_copy(why, sizeof(why), detail, strlen(detail));
	switch (status) {
	case HEAL_WAIT:
		if (a->healer->awaits && a->healer->acts_on_provider)
			ask_whose(t, why);
		else
			acted(t, why);
		return;
	case HEAL_OK:
		acted(t, why);
		return;
	case HEAL_STOPPING:
	case HEAL_TEMPFAIL:
		/* The call may have arrived: let it show before anybody looks. */
		release(t);
		task_retry(t,
			   retry_after_ms > t->e->opt.settle_ms ? retry_after_ms
								: t->e->opt.settle_ms,
			   why);
		return;
	case HEAL_PERMFAIL:
		finish(t, "refused", why);
		return;
	}
}

static void call(struct task *t)
{
	struct act *a = t->state;
	struct err err;

	/* A process that was stopped and woke up late must not act on an old permission. */
	if (clock_mono_ms() - t->taken_at_ms > t->e->opt.lease_ms * 3 / 4) {
		again(t, -1, "woke up too late for the lease");
		return;
	}
	test_hook_kill("before_send");
	planned_run(t, &a->attempt.run);
	/* This one was counted before it was written. */
	a->attempt.run.tries = (unsigned)t->plan.sends;
	a->attempt.run.stopped = a->over;
	a->attempt.healer = a->healer;
	a->attempt.provider = a->ops;
	a->attempt.api = a->api;
	a->attempt.base = t->e->base;
	a->attempt.http = t->e->http;
	a->attempt.conf = t->e->conf;
	a->attempt.audit = t->e->audit;
	afresh_wish(t, &a->policy, &a->afresh);
	a->attempt.afresh = &a->afresh;
	a->attempt.problem = t->run.failure_reason;
	a->attempt.finding = finding_of(t);
	a->attempt.pipeline = t->run.pipeline;
	a->attempt.branch = t->run.branch;
	a->attempt.sha = t->run.sha;
	a->attempt.url = t->run.url;
	a->attempt.rules = &a->policy.change;
	a->attempt.done = on_attempt;
	a->attempt.arg = t;
	a->attempt.state = arena_alloc(t->arena, a->healer->state_size + 1);
	metrics_add("heal_attempts_total",
		    arena_printf(t->arena, "strategy=\"%s\"", a->healer->name), 1);
	if (a->healer->start(&a->attempt, &err) < 0) {
		finish(t, "refused", err.msg);
		return;
	}
	a->attempting = true;
	if (a->healer->risk != RISK_OBSERVE)
		watch(t);
}

static void write_sent(struct task *t)
{
	const struct act *a = t->state;
	struct settle s = {
		.plan_pairs = { "state", "sent", "sent_at_ms",
				arena_printf(t->arena, "%" PRId64, task_now_ms(t)), "sends",
				arena_printf(t->arena, "%" PRIu64, t->plan.sends + 1), "stopped",
				a->over ? "1" : "0" },
		/* Sending again what did not arrive is the same re-run. */
		.run_pairs = { "plan_state", "sent", "reruns",
			       arena_printf(t->arena, "%" PRIu64,
					    t->run.reruns +
						    (t->plan.sends == 0 && a->healer->awaits)) },
	};

	audit_write(t->e->audit, "sent", "plan", t->plan.id, "repo", t->run.repo, "strategy",
		    t->plan.strategy, "risk", heal_risk_name(a->healer->risk), "policy",
		    a->policy.rule, "reason", t->plan.reason, "asked_by", t->plan.asked_by,
		    (char *)NULL);
	task_step(t, &s, call);
}

/* --- permission ----------------------------------------------------------- */

static void held_too_long(struct task *t, const char *why)
{
	finish(t, "escalated", why);
}

static void on_admit(const struct redisReply *reply, void *arg)
{
	struct task *t = arg;
	struct act *a = t->state;
	const char *answer = redis_str(redis_at(reply, 0));
	const char *why = redis_str(redis_at(reply, 1));

	t->asked--;
	if (!answer) {
		task_retry(t, -1, redis_why(reply));
	} else if (strcmp(answer, "granted") == 0) {
		a->admitted = true;
		write_sent(t);
	} else if (strcmp(answer, "over") == 0) {
		finish(t, "escalated", why ? why : "over the limit");
	} else if (strcmp(answer, "down") == 0) {
		breaker_hold(t, redis_int(redis_at(reply, 1), 0), "the provider is left alone");
	} else if (strcmp(answer, "incident") == 0) {
		incident_hold(t, reply, held_too_long);
	} else {
		again(t, HELD_MS, why ? why : "held");
	}
}

static void admit(struct task *t)
{
	enum { STOP, PIPELINE, INFLIGHT, BREAKER, MINUTES, FLEET, INCIDENTS, N_KEYS };
	const struct act *a = t->state;
	bool rerun = a->healer->risk == RISK_RETRY;
	char keys[N_KEYS][KEY_MAX], limit[BREAKER_FIELD_MAX];
	struct redis_cmd cmd;

	key_region(&t->e->ks, "stop", keys[STOP]);
	budget_pipeline_key(t, keys[PIPELINE]);
	key_region(&t->e->ks, "budget:inflight", keys[INFLIGHT]);
	breaker_key(t, keys[BREAKER]);
	budget_minutes_key(t, keys[MINUTES]);
	budget_fleet_key(t, keys[FLEET]);
	incident_key(t->e, keys[INCIDENTS]);
	breaker_limit_field(t->run.installation, limit);
	redis_script_cmd(&cmd, &admit_script, N_KEYS);
	for (int i = 0; i < N_KEYS; i++)
		redis_arg(&cmd, keys[i]);
	redis_arg(&cmd, t->plan.id);
	redis_arg_i64(&cmd, a->policy.limits.per_pipeline_hour);
	redis_arg_i64(&cmd, t->e->opt.concurrent_heals);
	redis_arg_i64(&cmd, t->e->opt.lease_ms);
	redis_arg_i64(&cmd, BUDGET_HOUR_TTL_S);
	redis_arg_i64(&cmd, t->e->opt.breaker_cap_ms);
	redis_arg(&cmd, limit);
	redis_arg_i64(&cmd, API_LIMIT_MAX_MS);
	/* Limits of re-runs: of other heals there are only so many an hour. */
	redis_arg_i64(&cmd, rerun ? a->policy.limits.minutes_per_repo_day : 0);
	redis_arg_i64(&cmd, rerun ? policy_fleet_percent(t->e->policy) : 0);
	redis_arg_i64(&cmd, BUDGET_FLEET_FLOOR);
	incident_args(t, &cmd);
	t->asked++;
	redis_send_script(t->e->writer, &admit_script, &cmd, on_admit, t);
}

/* --- the fence ------------------------------------------------------------ */

/* A later generation exists, and we may have made it. */
static void perhaps_applied(struct task *t, const struct api_result *r)
{
	const struct act *a = t->state;

	if (r->foreign)
		finish(t, "superseded", "somebody else re-ran it");
	else if (r->unproven)
		finish(t, "unknown",
		       "the call was interrupted; it ran again since, but nothing says that we did "
		       "that");
	else if (a->ops->rerun_repeats && t->plan.sends < SENDS_MAX)
		admit(t); /* for what it did not get to */
	else
		await_outcome(t, "the interrupted call had arrived");
}

/* The run is as the plan left it, although a call may have been made. */
static void not_applied(struct task *t)
{
	const struct act *a = t->state;
	int64_t settled_in = (int64_t)t->plan.sent_at_ms + t->e->opt.settle_ms - task_now_ms(t);

	if (!is_sent(t)) {
		admit(t);
	} else if (settled_in > 0) {
		task_retry(t, settled_in,
			   "waiting for the provider to settle after an interrupted call");
	} else if (t->e->decide.observe) {
		finish(t, "gave_up", "the interrupted call had no effect, and now only observing");
	} else if (t->plan.sends >= SENDS_MAX + (a->over ? STOPS_MAX : 0)) {
		finish(t, "gave_up", "several calls had no effect");
	} else {
		log_warn("the interrupted call did not arrive, sending again",
			 KV("plan", t->plan.id));
		admit(t);
	}
}

/* --- ... of a run that is going on ----------------------------------------------- */

/* What deploys may be half way: nobody but a person knows what stopping it does. */
static void on_running_jobs(const struct api_result *r, void *arg)
{
	struct task *t = arg;
	const struct act *a = t->state;
	const char *deploy;

	t->call = NULL;
	if (r->fate == API_RETRY || r->fate == API_WAIT) {
		breaker_retry(t, r->retry_after_ms, r->why, look_again);
		return;
	}
	if (r->fate == API_REFUSED) {
		finish(t, "refused", r->why);
		return;
	}
	deploy = decide_deploy_begun(r, a->ops->steps_are_stages);
	if (deploy) {
		finish(t, "escalated",
		       arena_printf(t->arena,
				    "job \"%.80s\" deploys or publishes: stopping it is a person's "
				    "decision",
				    deploy));
		return;
	}
	admit(t);
}

static void stop_running(struct task *t)
{
	struct act *a = t->state;
	int64_t patience = (int64_t)t->plan.sent_at_ms + t->e->opt.stop_within_ms - task_now_ms(t);
	struct api_run run;

	if (is_sent(t) && patience > 0) {
		task_retry(t, patience < STOP_LOOK_MS ? patience : STOP_LOOK_MS,
			   "it is being stopped");
	} else if (t->plan.sends >= STOPS_MAX) {
		finish(t, "gave_up", "it was told to stop several times, and goes on");
	} else if (is_sent(t) || t->plan.forced) {
		admit(t);
	} else {
		planned_run(t, &run);
		t->call = a->ops->list_jobs(a->api, &run, on_running_jobs, t);
	}
}

/* Anybody may have stopped it, but only after we did is it for us to run it again. */
static void on_running_fence(struct task *t, const struct api_result *r)
{
	struct act *a = t->state;
	bool over = strcmp(r->status, "completed") == 0;

	a->over = (over || t->plan.stopped) && is_sent(t);
	if (r->generation > t->plan.generation && t->plan.stopped)
		perhaps_applied(t, r);
	else if (r->generation > t->plan.generation)
		finish(t, "superseded", "somebody else re-ran it");
	else if (r->generation < t->plan.generation)
		look_again(t, -1, "the provider does not know this attempt yet");
	else if (!over && t->plan.running && !is_sent(t) && strcmp(r->status, "in_progress") != 0)
		/* For an approval, say: then that is what it is for. */
		finish(t, "superseded",
		       arena_printf(t->arena, "it does not hang, it is %.40s", r->status));
	else if (!over)
		stop_running(t);
	else if (!is_sent(t) || strcmp(r->conclusion, "success") == 0)
		finish(t, "superseded", "it ended before it was stopped");
	else if (t->plan.stopped)
		not_applied(t);
	else
		admit(t);
}

static void on_fence(const struct api_result *r, void *arg)
{
	struct task *t = arg;
	const struct act *a = t->state;

	t->call = NULL;
	if (r->fate == API_OK && a->healer->of_running) {
		on_running_fence(t, r);
		return;
	}
	if (r->fate == API_RETRY || r->fate == API_WAIT)
		breaker_retry(t, r->retry_after_ms, r->why, look_again);
	else if (r->fate == API_OK && is_sent(t) && a->healer->resumes)
		not_applied(t);
	else if (r->fate == API_REFUSED)
		/* Nobody can say any more whether the interrupted call arrived. */
		finish(t, is_sent(t) ? "unknown" : "refused", r->why);
	else if (r->generation > t->plan.generation && is_sent(t))
		perhaps_applied(t, r);
	else if (r->generation > t->plan.generation)
		finish(t, "superseded", "somebody else re-ran it");
	else if (r->generation < t->plan.generation)
		look_again(t, -1, "the provider does not know this attempt yet");
	else if (strcmp(r->status, "completed") != 0)
		look_again(t, -1, "the run is not completed at the provider");
	else if (!ci_conclusion_failed(r->conclusion))
		finish(t, "superseded", "the run is not failed any more");
	else
		not_applied(t);
}

static void fence(struct task *t)
{
	struct act *a = t->state;
	struct api_run run;

	planned_run(t, &run);
	t->call = a->ops->get_run(a->api, &run, on_fence, t);
}

/* --- whether at all --------------------------------------------------------- */

static void would_have(struct task *t)
{
	task_outcome(
		t, "observed",
		strcmp(t->plan.strategy, healer_escalate.name) == 0
			? arena_printf(t->arena, "would have asked a person: %s", t->plan.reason)
			: arena_printf(t->arena, "would have chosen %s: %s", t->plan.strategy,
				       t->plan.reason));
}

/* A person decides: until then the plan lies there, and somebody else's re-run makes it void. */
static void suggest(struct task *t)
{
	int64_t left = (int64_t)t->plan.created_at_ms + t->e->opt.approve_ms - task_now_ms(t);
	struct settle s = {
		.again_ms = left,
		.feed = "suggested",
		.next_item = notify_item(t, "suggested"),
		.plan_pairs = { "state", "suggested", "mode", "suggest" },
		.run_pairs = { "plan_state", "suggested", "plan_mode", "suggest" },
	};

	if (t->run.generation > t->plan.generation ||
	    (t->plan.running && t->run.rank == CI_COMPLETED))
		task_outcome(t, "superseded", "the run went on before anybody approved it");
	else if (left <= 0)
		task_outcome(t, "expired", "nobody approved it in time");
	else
		task_settle(t, &s);
}

/*
 * The policy may have changed since the plan was made. What a person asked for needs no further
 * permission than that.
 */
static enum policy_mode mode_now(const struct task *t)
{
	const struct act *a = t->state;
	bool asked = *t->plan.asked_by != '\0';

	if (strcmp(t->plan.mode, "observe") == 0)
		return POLICY_OBSERVE;
	if (!asked && strcmp(t->plan.mode, "suggest") == 0)
		return POLICY_SUGGEST;
	if (asked || !a->healer || a->healer->risk == RISK_OBSERVE)
		return POLICY_ACT;
	if (a->policy.mode == POLICY_ACT &&
	    (a->healer->asks_always || a->healer->risk > a->policy.risk))
		return POLICY_SUGGEST;
	return a->policy.mode;
}

/* True: it ended, or waits. */
static bool held_back(struct task *t)
{
	enum policy_mode mode = mode_now(t);
	int64_t quiet_ms;

	if (strcmp(t->plan.answer, "rejected") == 0) {
		task_outcome(t, "rejected",
			     arena_printf(t->arena, "rejected by %s", t->plan.asked_by));
		return true;
	}
	if (mode == POLICY_OBSERVE) {
		would_have(t);
		return true;
	}
	if (mode == POLICY_SUGGEST) {
		suggest(t);
		return true;
	}
	quiet_ms = policy_quiet_ms(t->e->policy, task_now_ms(t));
	if (quiet_ms > 0 && !*t->plan.asked_by) {
		task_hold(t, quiet_ms < QUIET_MS ? quiet_ms : QUIET_MS, "quiet hours");
		return true;
	}
	return false;
}

static void ask_provider(struct task *t)
{
	breaker_ask(t, fence);
}

static void act_on_provider(struct task *t)
{
	struct act *a = t->state;

	/* What was begun is brought to its end, whatever was decided since. */
	if (!is_sent(t) && held_back(t))
		return;
	a->api = engine_provider(t->e, &t->run, &a->ops);
	if (!a->api)
		task_outcome(
			t, "refused",
			arena_printf(t->arena, "no token for %s is configured", t->run.source));
	else if (t->plan.held_ms > 0)
		incident_peek(t, ask_provider, held_too_long);
	else
		ask_provider(t);
}

/* Done twice it does nothing twice: what was interrupted is just done again. */
static void act_here(struct task *t)
{
	if (!is_sent(t) && held_back(t))
		return;
	if (!is_sent(t) && t->run.generation > t->plan.generation)
		task_outcome(t, "superseded", "it changed since the plan was made");
	else if (t->plan.sends >= SENDS_MAX)
		finish(t, "gave_up", "several tries came to no end");
	else
		admit(t);
}

static bool only_observing(const struct task *t)
{
	const struct act *a = t->state;

	return a->healer && a->healer->local ? t->e->decide.observe_local : t->e->decide.observe;
}

static void act_start(struct task *t)
{
	struct act *a = t->state;
	struct settle nothing = SETTLE_INIT;

	/* An item that somebody put back, by hand or from the dead letters. */
	if (strcmp(t->plan.state, "awaiting") == 0 || strcmp(t->plan.state, "done") == 0) {
		task_settle(t, &nothing);
		return;
	}
	a->healer = healer_find(t->plan.strategy);
	engine_policy(t->e, &t->run, t->plan.category, t->plan.subcategory, t->plan.fingerprint,
		      task_now_ms(t), &a->policy);
	if (strcmp(t->plan.mode, "observe") == 0)
		would_have(t);
	else if (only_observing(t) && !is_sent(t))
		task_outcome(t, "observed",
			     arena_printf(t->arena, "made to act, but now only observing: %s",
					  t->e->decide.observe_why));
	else if (!a->healer)
		task_outcome(t, "refused", "this release does not have that strategy");
	else if (a->healer->acts_on_provider)
		act_on_provider(t);
	else if (a->healer->local)
		act_here(t);
	else
		call(t);
}

static void act_cancel(struct task *t)
{
	struct act *a = t->state;

	if (t->call)
		a->ops->cancel(TAKE(t->call));
	if (a->attempting)
		a->healer->cancel(&a->attempt);
	a->attempting = false;
	unwatch(a);
}

const struct stage stage_act = {
	.name = "act",
	.has_plan = true,
	.state_size = sizeof(struct act),
	.start = act_start,
	.cancel = act_cancel,
};

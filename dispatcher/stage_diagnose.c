/* diagnose: run -> finding -> plan. Reads the failed jobs' logs and asks the detector, then
 * decides. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/text.h"
#include "dispatcher/afresh.h"
#include "dispatcher/base_watch.h"
#include "dispatcher/breaker.h"
#include "dispatcher/budget.h"
#include "dispatcher/cluster.h"
#include "dispatcher/codeowners.h"
#include "dispatcher/decide.h"
#include "dispatcher/detector.h"
#include "dispatcher/failure_reason.h"
#include "dispatcher/flake_ledger.h"
#include "dispatcher/git_finding.h"
#include "dispatcher/incident.h"
#include "dispatcher/incident_host.h"
#include "dispatcher/knowledge.h"
#include "dispatcher/learn.h"
#include "dispatcher/log_reader.h"
#include "dispatcher/owners.h"
#include "dispatcher/policy.h"
#include "dispatcher/trust.h"
#include "dispatcher/work.h"
#include "healers/refresh_credentials.h"

enum {
	JOBS_MAX = 16,
	EXCUSED_MAX = 20, /* attempts of a run that outages ended */
};

struct diagnose {
	struct api *api;
	const struct provider_api *ops;
	struct api_job jobs[JOBS_MAX]; /* failed ones, copied into the arena */
	unsigned n_jobs, at;
	struct log_reading *reading; /* the log of that job */
	bool whole;                  /* it is all there */
	struct finding best;
	bool has_best;
	struct flakes_failed failed; /* tests, of all jobs that were read */
	double failed_s;             /* what those jobs took */
	const char *no_log_why;
	const struct learned *learned;
	char host[INCIDENT_HOST_MAX + 1]; /* that the failure is about */
	const char *deploy_job;
	const char *deploy_ran;
	double ci_minutes;     /* that running again what failed takes */
	double ci_minutes_all; /* ... all jobs */
	bool mended_on_base;
	bool deploy_is_stage; /* of a build: the log may say that it was skipped */
};

static void next_log(struct task *t);

/* --- the end: finding and plan in one write ------------------------------- */

void task_plan(struct task *t, const struct finding *f, const char *host,
	       const struct policy_answer *policy, const struct decision *d, struct settle *s)
{
	struct arena *a = t->arena;
	int64_t now_ms = task_now_ms(t);
	const char *now = arena_printf(a, "%" PRId64, now_ms);
	const char *pairs[] = {
		"v",
		"1",
		"id",
		t->plan_id,
		"run",
		t->ref,
		"generation",
		arena_printf(a, "%" PRIu64, t->run.generation),
		"provider",
		t->run.provider,
		"reruns",
		arena_printf(a, "%" PRIu64, t->run.reruns),
		"strategy",
		d->healer->name,
		"risk",
		heal_risk_name(d->healer->risk),
		"mode",
		d->mode,
		"state",
		"planned",
		"reason",
		arena_strdup(a, d->reason),
		"category",
		f->category,
		"subcategory",
		f->subcategory,
		"policy",
		policy->rule,
		"fingerprint",
		f->fingerprint,
		"rule",
		f->rule,
		"confidence",
		arena_printf(a, "%.3f", f->confidence),
		"created_at_ms",
		now,
		"due_at_ms",
		arena_printf(a, "%" PRId64, now_ms + d->delay_ms),
		"sends",
		"0",
		"trace",
		t->run.trace,
		"host",
		host,
		"success",
		arena_printf(a, "%.3f", d->success),
		"ci_minutes",
		arena_printf(a, "%.0f", d->ci_minutes),
		NULL,
	};

	_Static_assert(sizeof(pairs) <= sizeof(s->plan_pairs), "a plan fits");
	(void)snprintf(t->plan_id, sizeof(t->plan_id), "%.130s:%" PRIu64, t->ref,
		       t->run.generation);
	memcpy(s->plan_pairs, pairs, sizeof(pairs));
	metrics_add("plans_total",
		    arena_printf(a, "strategy=\"%s\",mode=\"%s\"", d->healer->name, d->mode), 1);
	s->create_plan = true;
	s->next_item = arena_printf(a, "act:%s", t->plan_id);
	s->next_delay_ms = d->delay_ms;
}

/* Told to read it again, a person gets no second failure out of one. */
static void diagnosis_recorded(struct task *t)
{
	const struct diagnose *d = t->state;

	if (t->run.finding_generation < t->run.generation)
		cluster_count(t, &d->best);
}

static const struct finding *explained(struct task *t)
{
	struct diagnose *d = t->state;

	knowledge_complete(t->e->knowledge, t->arena, &d->best);
	return &d->best;
}

/* An attempt that an outage ended was no attempt to heal: the next one is not held against it. */
static uint64_t excuse(struct task *t, bool covered, uint64_t reruns)
{
	uint64_t excused = t->run.excused + (covered && reruns > t->run.excused);

	return excused > EXCUSED_MAX ? EXCUSED_MAX : excused;
}

static void on_noted(struct task *t, bool covered)
{
	struct diagnose *d = t->state;
	const struct finding *f = explained(t);
	OWNED(json_putp) struct json_object *json = finding_to_json(f);
	struct policy_answer policy;
	uint64_t reruns = run_reruns(&t->run), excused = excuse(t, covered, reruns);
	struct decide_facts facts = {
		.reruns = reruns - (excused < reruns ? excused : reruns),
		.conclusion = t->run.conclusion,
		.renewable = refresh_credentials_configured(t->e->conf),
		.mended_on_base = d->mended_on_base,
		.by_hand = afresh_by_hand(t->run.trigger),
		.deploy_job = d->deploy_job,
		.deploy_ran = d->deploy_ran,
		.no_log_why = d->no_log_why,
		.doubt = trust_doubt(t->e->trust, f, t->arena),
		.policy = &policy,
		.provider = d->ops,
		.tools = t->e->tools,
		.observe = t->e->decide.observe,
		.observe_local = t->e->decide.observe_local,
		.learned = d->learned,
		.person_minutes = (double)t->e->opt.person_minutes,
		.ci_minutes = d->ci_minutes,
		.ci_minutes_all = d->ci_minutes_all,
		.backoff_ms = t->e->opt.backoff_ms,
		.backoff_max_ms = t->e->opt.backoff_max_ms,
		.ci_price = (double)t->e->opt.ci_price_percent / 100,
	};
	const char *generation = arena_printf(t->arena, "%" PRIu64, t->run.generation);
	struct settle s = {
		.again_ms = -1,
		.feed = "diagnosed",
		.stat = arena_printf(t->arena, "findings:%s", f->category),
		.run_pairs = { "finding", arena_strdup(t->arena, json_text(json)),
			       "finding_generation", generation, "diagnosed", generation,
			       "fingerprint", f->fingerprint, "category", f->category, "deploy_ran",
			       d->deploy_ran ? d->deploy_ran : "", "excused",
			       arena_printf(t->arena, "%" PRIu64, excused) },
	};
	struct decision decision;

	engine_policy(t->e, &t->run, f->category, f->subcategory, f->fingerprint, task_now_ms(t),
		      &policy);
	decide(&facts, f, &decision);
	task_plan(t, f, d->host, &policy, &decision, &s);
	budget_failed(t);
	base_watch_failed(t, f);
	metrics_add("findings_total", arena_printf(t->arena, "category=\"%s\"", f->category), 1);
	log_info("diagnosed", KV("run", t->ref), KV("repo", t->run.repo),
		 KV("category", f->category), KV("rule", f->rule),
		 KV("strategy", decision.healer->name), KV("reason", decision.reason));
	t->recorded = diagnosis_recorded;
	task_settle(t, &s);
}

static void on_base(struct task *t, bool mended)
{
	struct diagnose *d = t->state;

	d->mended_on_base = mended;
	incident_host(&d->best, d->host);
	incident_note(t, &d->best, d->host, on_noted);
}

static void on_learned(struct task *t, const struct learned *learned)
{
	struct diagnose *d = t->state;

	d->learned = learned;
	base_watch_ask(t, &d->best, on_base);
}

static void conclude(struct task *t)
{
	learn_ask(t, &((struct diagnose *)t->state)->best, on_learned);
}

static void conclude_without_log(struct task *t, const char *why)
{
	struct diagnose *d = t->state;

	log_warn("a log could not be read", KV("run", t->ref), KV("repo", t->run.repo),
		 KV("why", why));
	d->no_log_why = arena_strdup(t->arena, why);
	if (!d->has_best) {
		finding_init(&d->best);
		d->has_best = true;
	}
	conclude(t);
}

/* What the event alone says. */
static bool known_from_event(struct task *t)
{
	struct diagnose *d = t->state;

	if (git_finding(&t->run, t->arena, &d->best)) {
		d->has_best = true;
		return true;
	}
	if (strcmp(t->run.conclusion, "startup_failure") != 0)
		return false;
	finding_init(&d->best);
	d->best.category = "config_error";
	d->best.subcategory = "workflow";
	d->best.confidence = 0.9;
	d->best.rule = "api/startup_failure";
	d->best.title = "The workflow file is not valid, so no job was started";
	d->has_best = true;
	return true;
}

/* --- logs ----------------------------------------------------------------- */

static const char *failed_step(const struct api_job *job)
{
	for (unsigned i = 0; i < job->n_steps; i++)
		if (ci_conclusion_failed(job->steps[i].conclusion))
			return job->steps[i].name;
	return NULL;
}

/* A declarative Pipeline lists the stages it left out after a failure as failed, too. */
static const char *stage_skipped(struct task *t, const char *stage)
{
	return arena_printf(t->arena, "Stage \"%.90s\" skipped due to earlier failure(s)", stage);
}

/* A re-run cannot help: sure of it, and so of the whole run, whatever its other jobs say. */
static bool lasts(const struct task *t, const struct finding *f)
{
	return strcmp(f->category, "unknown") != 0 && !f->transient &&
	       strcmp(f->rule, DETECT_BY_WORDS) != 0 &&
	       f->confidence * 100 >= (double)conf_int(t->e->conf, "heal.min_confidence");
}

static bool explains_better(const struct task *t, const struct finding *f, const struct finding *g)
{
	if (lasts(t, f) != lasts(t, g))
		return lasts(t, f);
	return finding_compare(f, g) < 0;
}

static void on_read(struct finding *f, bool skipped, void *arg)
{
	struct task *t = arg;
	struct diagnose *d = t->state;
	const struct api_job *job = &d->jobs[d->at];

	d->reading = NULL;
	failure_reason_weigh(job->failure_reason, t->arena, f);
	trust_weigh(t->e->trust, f);
	if (skipped)
		d->deploy_job = NULL;
	f->job = job->name;
	flakes_collect(&d->failed, f, d->whole);
	if (job->started_at_ms > 0 && job->completed_at_ms > job->started_at_ms)
		d->failed_s += (double)(job->completed_at_ms - job->started_at_ms) / 1000;
	metrics_observe_ms("check_duration_seconds", "", f->scan_ms);
	if (!d->has_best || explains_better(t, f, &d->best))
		d->best = *f;
	d->has_best = true;
	d->at++;
	next_log(t);
}

/* Of no log at all, what is known about the job is weighed. */
static void read_log(struct task *t, const struct api_result *r)
{
	struct diagnose *d = t->state;
	const struct api_job *job = &d->jobs[d->at];
	bool may_be_skipped = d->deploy_is_stage && d->deploy_job;
	struct tail_buf none = { 0 };
	struct detect_input in = {
		.skipped_lines = r->log_skipped_lines,
		.provider = t->run.provider,
		.job = job->name,
		.failed_step = failed_step(job),
		.conclusion = job->conclusion,
		/* Of stages it says nothing: much of a build happens outside of them. */
		.no_failed_step =
			!d->ops->steps_are_stages && job->n_steps > 0 && !failed_step(job),
	};

	d->whole = r->fate == API_OK && r->log_skipped_lines == 0;
	d->reading = log_reader_begin(t->e->logs, r->log_memory ? r->log_memory : &none, &in,
				      may_be_skipped ? stage_skipped(t, d->deploy_job) : NULL,
				      t->arena, on_read, t);
}

static void on_log(const struct api_result *r, void *arg)
{
	struct task *t = arg;
	struct diagnose *d = t->state;

	t->call = NULL;
	if (r->fate == API_RETRY || r->fate == API_WAIT) {
		breaker_retry(t, r->retry_after_ms, r->why, task_retry);
		return;
	}
	if (r->fate == API_REFUSED && !d->no_log_why)
		d->no_log_why = arena_strdup(t->arena, r->why);
	read_log(t, r);
}

static void on_known(struct task *t, const struct flake *known)
{
	struct diagnose *d = t->state;

	if (known && flakes_explain(&d->failed, known, t->arena, &d->best))
		metrics_add("flaky_failures_total", "", 1);
	conclude(t);
}

static void on_owners(struct task *t, const struct codeowners *owners)
{
	struct diagnose *d = t->state;
	size_t n = d->failed.n;
	const char **files = arena_alloc(t->arena, n * sizeof(*files));
	const char **names = arena_alloc(t->arena, n * sizeof(*names));
	struct flake_report report = { &d->failed, files, names, 0 };

	for (size_t i = 0; i < n; i++) {
		char file[FLAKES_FILE_MAX], owner[CODEOWNERS_OWNER_MAX] = "";

		if (flakes_file(d->failed.tests[i].name, d->failed.tests[i].framework, file) &&
		    owners)
			(void)codeowners_of(owners, file, owner);
		files[i] = arena_strdup(t->arena, file);
		names[i] = arena_strdup(t->arena, owner);
	}
	/* Where something else failed too, the time was not lost to tests. */
	if (d->failed.complete)
		report.lost_s = d->failed_s;
	flake_ledger_failed(t, &report, on_known);
}

static void all_read(struct task *t)
{
	struct diagnose *d = t->state;

	if (d->failed.n == 0 || !*t->run.sha)
		conclude(t);
	else
		owners_ask(t, d->api, d->ops, on_owners);
}

static void next_log(struct task *t)
{
	struct diagnose *d = t->state;
	struct api_run run;

	if (d->at >= d->n_jobs) {
		all_read(t);
		return;
	}
	run_api(&t->run, &run);
	t->call = d->ops->get_log(d->api, &run, &d->jobs[d->at], on_log, t);
}

/* --- jobs ----------------------------------------------------------------- */

static void copy_job(struct task *t, const struct api_job *from, struct api_job *to)
{
	*to = *from;
	to->name = arena_strdup(t->arena, from->name);
	to->stage = arena_strdup(t->arena, from->stage);
	to->failure_reason = arena_strdup(t->arena, from->failure_reason);
	to->status = arena_strdup(t->arena, from->status);
	to->conclusion = arena_strdup(t->arena, from->conclusion);
	to->runner = arena_strdup(t->arena, from->runner);
	for (unsigned i = 0; i < from->n_steps; i++) {
		to->steps[i].name = arena_strdup(t->arena, from->steps[i].name);
		to->steps[i].conclusion = arena_strdup(t->arena, from->steps[i].conclusion);
	}
}

/* What is run again: a job that was cancelled half way, or ran out of time, is among them. */
static bool would_repeat(const struct api_job *job)
{
	return ci_conclusion_failed(job->conclusion) || strcmp(job->conclusion, "cancelled") == 0;
}

/* As long as it took the last time; begun minutes are paid for, job by job. */
static double minutes_to_repeat(const struct api_result *r, bool all)
{
	int64_t minutes = 0;

	for (unsigned i = 0; i < r->n_jobs; i++) {
		const struct api_job *job = &r->jobs[i];

		if ((all || would_repeat(job)) && job->started_at_ms > 0 &&
		    job->completed_at_ms >= job->started_at_ms)
			minutes += (job->completed_at_ms - job->started_at_ms) / 60000 + 1;
	}
	return (double)minutes;
}

/*
 * A deploy job is in the way when it would be run again itself, or when it started although
 * something before it had failed: then it may depend on what we would re-run. "": one may be
 * among the jobs that were not read.
 */
static const char *deploy_in_the_way(struct task *t, const struct api_result *r)
{
	int64_t first_failure = INT64_MAX;

	for (unsigned i = 0; i < r->n_jobs; i++)
		if (would_repeat(&r->jobs[i]) && r->jobs[i].completed_at_ms < first_failure)
			first_failure = r->jobs[i].completed_at_ms;
	for (unsigned i = 0; i < r->n_jobs; i++) {
		const struct api_job *job = &r->jobs[i];
		bool ran = strcmp(job->conclusion, "skipped") != 0 && job->started_at_ms > 0;

		if ((decide_is_deploy(job->name) || decide_is_deploy(job->stage)) &&
		    (would_repeat(job) || (ran && job->started_at_ms >= first_failure)))
			return arena_strdup(t->arena, job->name);
	}
	return r->more_jobs ? "" : NULL;
}

/* One that running all jobs again would repeat. */
static const char *deploy_that_ran(struct task *t, const struct api_result *r)
{
	for (unsigned i = 0; i < r->n_jobs; i++) {
		const struct api_job *job = &r->jobs[i];

		if ((decide_is_deploy(job->name) || decide_is_deploy(job->stage)) &&
		    strcmp(job->conclusion, "skipped") != 0)
			return arena_strdup(t->arena, job->name);
	}
	return r->more_jobs ? "one of many that were not read" : NULL;
}

/* A build is repeated as a whole, with the stages that passed. */
static const char *deploy_stage(struct task *t, const struct api_result *r)
{
	for (unsigned i = 0; i < r->n_jobs; i++) {
		const struct api_job *job = &r->jobs[i];

		for (unsigned k = 0; k < job->n_steps; k++)
			if (decide_is_deploy(job->steps[k].name) &&
			    strcmp(job->steps[k].conclusion, "skipped") != 0)
				return arena_strdup(t->arena, job->steps[k].name);
	}
	return NULL;
}

static void look_for_deploy(struct task *t, const struct api_result *r)
{
	struct diagnose *d = t->state;

	d->deploy_job = deploy_in_the_way(t, r);
	d->deploy_ran = deploy_that_ran(t, r);
	if (d->deploy_job || !d->ops->steps_are_stages)
		return;
	d->deploy_job = deploy_stage(t, r);
	d->deploy_is_stage = d->deploy_job != NULL;
}

/* It runs again already, and what failed cannot be seen any more: its next end will tell. */
static void ran_on(struct task *t)
{
	struct settle s = {
		.again_ms = -1,
		.create_plan = true, /* ends the diagnosis, though with no plan */
		.run_pairs = { "diagnosed", arena_printf(t->arena, "%" PRIu64, t->run.generation) },
	};

	log_info("ran again before it was diagnosed", KV("run", t->ref), KV("repo", t->run.repo));
	task_settle(t, &s);
}

static void on_jobs(const struct api_result *r, void *arg)
{
	struct task *t = arg;
	struct diagnose *d = t->state;
	unsigned most = (unsigned)t->e->opt.diagnose_jobs;

	t->call = NULL;
	if (r->fate == API_RETRY || r->fate == API_WAIT) {
		breaker_retry(t, r->retry_after_ms, r->why, task_retry);
		return;
	}
	if (r->fate == API_REFUSED) {
		conclude_without_log(t, r->why);
		return;
	}
	look_for_deploy(t, r);
	d->ci_minutes = minutes_to_repeat(r, false);
	d->ci_minutes_all = minutes_to_repeat(r, true);
	d->failed.complete = !r->more_jobs;
	for (unsigned i = 0; i < r->n_jobs; i++) {
		if (!ci_conclusion_failed(r->jobs[i].conclusion))
			continue;
		if (d->n_jobs < most)
			copy_job(t, &r->jobs[i], &d->jobs[d->n_jobs++]);
		else
			d->failed.complete = false;
	}
	if (d->n_jobs == 0 && r->generation > t->run.generation)
		ran_on(t);
	else if (d->n_jobs == 0)
		conclude_without_log(t, "the run failed, but none of its jobs did");
	else
		next_log(t);
}

static void ask_jobs(struct task *t)
{
	struct diagnose *d = t->state;
	struct api_run run;

	run_api(&t->run, &run);
	t->call = d->ops->list_jobs(d->api, &run, on_jobs, t);
}

static void diagnose_start(struct task *t)
{
	struct diagnose *d = t->state;
	struct settle nothing = SETTLE_INIT;
	char why[80];

	if (!t->run.failed || t->run.rank < CI_COMPLETED || t->run.diagnosed >= t->run.generation) {
		/* Ends as a diagnosis: an event may say otherwise by now. */
		nothing.create_plan = true;
		task_settle(t, &nothing);
		return;
	}
	d->api = engine_provider(t->e, &t->run, &d->ops);
	if (known_from_event(t)) {
		conclude(t);
	} else if (!d->api) {
		conclude_without_log(
			t, arena_printf(t->arena, "no token for %s is configured", t->run.source));
	} else if (t->tries > t->e->opt.diagnose_tries) {
		(void)snprintf(why, sizeof(why), "%" PRId64 " tries did not succeed", t->tries - 1);
		conclude_without_log(t, why);
	} else {
		breaker_ask(t, ask_jobs);
	}
}

static void diagnose_cancel(struct task *t)
{
	struct diagnose *d = t->state;

	log_reading_cancel(TAKE(d->reading));
	if (t->call)
		d->ops->cancel(TAKE(t->call));
}

const struct stage stage_diagnose = {
	.name = "diagnose",
	.state_size = sizeof(struct diagnose),
	.start = diagnose_start,
	.cancel = diagnose_cancel,
};

/* /_sim: what the world shall do next, and the truth about what happened in it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/http_server.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/standard_webhooks.h"
#include "core/text.h"
#include "tests/simulator/control.h"
#include "tests/simulator/hooks.h"
#include "tests/simulator/js.h"
#include "tests/simulator/sim.h"

enum { ANSWER_MAX = 64 << 20, OUTAGE_MAX_MS = 24 * 3600 * 1000 };

/* --- answers -------------------------------------------------------------- */

void control_reply(struct http_request *http, int status, struct buf *b)
{
	(void)js_done(b);
	http_reply(http, status, "application/json", buf_text(b), b->len);
	buf_done(b);
}

void control_refuse(struct http_request *http, int status, const char *why)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "error", why);
	js_close(&b, '}');
	control_reply(http, status, &b);
}

static void reply_ok(struct http_request *http, int status, const char *key, int64_t value)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_i64(&b, key, value);
	js_close(&b, '}');
	control_reply(http, status, &b);
}

static void refuse_cause(struct http_request *http, const char *name)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_url(&b, "error", "no cause \"%.60s\"", name);
	js_open(&b, "causes", '[');
	for (size_t i = 0; i < n_causes; i++)
		js_str(&b, NULL, causes[i].id);
	js_close(&b, ']');
	js_close(&b, '}');
	control_reply(http, 400, &b);
}

/* --- the truth about a run ------------------------------------------------ */

static void put_ledger(struct buf *b, const struct run *r)
{
	js_i64(b, "rerun_accepted", r->rerun_accepted);
	js_i64(b, "rerun_refused", r->rerun_refused);
	js_i64(b, "rerun_by_person", r->rerun_by_person);
	js_i64(b, "rerun_all", r->rerun_all);
	js_i64(b, "caches", r->caches);
	js_i64(b, "cancels", r->cancels);
	js_i64(b, "log_reads", r->log_reads);
	js_i64(b, "webhooks", r->webhooks);
	js_i64(b, "webhooks_ok", r->webhooks_ok);
	js_i64(b, "webhooks_failed", r->webhooks_failed);
	js_i64(b, "webhooks_duplicate", r->webhooks_duplicate);
	js_i64(b, "first_failure_ms", r->first_failure_ms);
	js_i64(b, "first_rerun_ms", r->first_rerun_ms);
}

static void put_job(struct buf *b, const struct job *j)
{
	js_open(b, NULL, '{');
	js_u64(b, "id", j->id);
	js_str(b, "name", j->name);
	js_str(b, "status", state_name(j->state));
	js_str(b, "conclusion", j->conclusion);
	js_str(b, "cause", j->cause ? j->cause->id : NULL);
	js_bool(b, "carried", j->carried);
	js_close(b, '}');
}

static void put_attempts(struct buf *b, const struct run *r)
{
	js_open(b, "attempts", '[');
	for (unsigned i = 0; i < r->n_attempts; i++) {
		const struct attempt *a = r->attempts[i];

		js_open(b, NULL, '{');
		js_str(b, "status", state_name(a->state));
		js_str(b, "conclusion", a->conclusion);
		js_str(b, "actor", a->actor);
		js_open(b, "jobs", '[');
		for (unsigned k = 0; k < a->n_jobs; k++)
			put_job(b, &a->jobs[k]);
		js_close(b, ']');
		js_close(b, '}');
	}
	js_close(b, ']');
}

static void put_run(struct buf *b, const struct run *r, bool whole)
{
	const struct attempt *last = run_last(r);

	js_open(b, NULL, '{');
	js_u64(b, "id", r->id);
	js_str(b, "provider", flavour_name(r->flavour));
	js_str(b, "repo", r->repo->full_name);
	js_u64(b, "repo_id",
	       r->flavour == FLAVOUR_JENKINS
		       ? sha256_id(r->repo->full_name, strlen(r->repo->full_name))
		       : r->repo->id);
	js_u64(b, "generation",
	       r->flavour == FLAVOUR_GITLAB    ? gitlab_generation(r)
	       : r->flavour == FLAVOUR_JENKINS ? last->build
					       : r->n_attempts);
	js_str(b, "workflow", r->workflow->name);
	js_u64(b, "workflow_id", r->workflow->id);
	js_str(b, "branch", r->branch);
	js_str(b, "sha", r->sha);
	js_u64(b, "in_place_of", r->in_place_of);
	js_str(b, "inputs", r->inputs);
	js_str(b, "cause", r->cause ? r->cause->id : NULL);
	js_str(b, "category", r->cause ? r->cause->category : NULL);
	js_str(b, "subcategory", r->cause ? r->cause->subcategory : NULL);
	js_bool(b, "transient", r->cause && r->cause->transient);
	js_i64(b, "story", r->story);
	js_i64(b, "attempt", r->n_attempts);
	js_str(b, "status", state_name(last->state));
	js_str(b, "conclusion", last->conclusion);
	put_ledger(b, r);
	if (whole)
		put_attempts(b, r);
	js_close(b, '}');
}

static void reply_run(struct http_request *http, int status, const struct run *r)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	put_run(&b, r, true);
	control_reply(http, status, &b);
}

/* --- runs ----------------------------------------------------------------- */

static bool find_rule(const char *name, enum rerun_rule *out)
{
	static const char *const names[] = { "by_cause", "pass", "same", "different", "flaky" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) == 0) {
			*out = (enum rerun_rule)i;
			return true;
		}
	}
	return false;
}

static bool repo_name_ok(const char *s)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789-_.";
	size_t owner = strspn(s, allowed);
	size_t name = s[owner] == '/' ? strspn(s + owner + 1, allowed) : 0;

	return owner && name && !s[owner + 1 + name] && owner + name < 140;
}

/* "group/sub/project": GitLab and Jenkins have folders in folders. */
static bool path_ok(const char *s)
{
	const char *last = strrchr(s, '/');
	char copy[NAME_MAX_BYTES];

	if (!last || strlen(s) >= 140 || strstr(s, "//") || *s == '/')
		return false;
	(void)text_copy(copy, sizeof(copy), s, strlen(s));
	for (char *p = copy; p < copy + (last - s); p++)
		if (*p == '/')
			*p = '-';
	return repo_name_ok(copy);
}

static bool name_fits(enum flavour flavour, const char *name)
{
	return flavour == FLAVOUR_GITHUB ? repo_name_ok(name) : path_ok(name);
}

static const char *check_wish(const struct run_wish *w)
{
	if (w->repo && !name_fits(w->flavour, w->repo))
		return "repo is owner/name, of letters, digits, - _ and .";
	if (w->job_ms < -1 || w->job_ms > 3600 * 1000)
		return "job_ms is 0 to 3600000";
	if (w->age_ms < 0 || w->age_ms > INT64_C(366) * 86400 * 1000)
		return "age_ms is from 0 to a year";
	if (w->cause && w->passes)
		return "a run that passes has no cause";
	return NULL;
}

static void post_run(struct sim *sim, struct http_request *http, struct json_object *o)
{
	struct run_wish wish = {
		.repo = json_str(o, "repo", NULL),
		.workflow = json_str(o, "workflow", NULL),
		.cause = json_str(o, "cause", NULL),
		.different = json_str(o, "different", NULL),
		.branch = json_str(o, "branch", NULL),
		.failing_job = json_str(o, "failing_job", NULL),
		.job_ms = json_i64(o, "job_ms", -1),
		.age_ms = json_i64(o, "age_ms", 0),
		.story = json_i64(o, "story", 0),
		.silent = json_flag(o, "silent", false),
		.stubborn = json_flag(o, "stubborn", false),
		.logs_expired = json_flag(o, "logs_expired", false),
		.passes = json_flag(o, "passes", false),
		.proposal = (uint64_t)json_i64(o, "proposal", 0),
		.like = (uint64_t)json_i64(o, "like", 0),
	};
	const char *wrong = NULL;
	struct run *r;
	struct err err;

	if (!flavour_find(json_str(o, "provider", "github"), &wish.flavour))
		wrong = "provider is github, gitlab or jenkins";
	else
		wrong = check_wish(&wish);
	if (!find_rule(json_str(o, "rerun", "by_cause"), &wish.rule) ||
	    !find_rule(json_str(o, "afresh", "by_cause"), &wish.afresh))
		wrong = "rerun and afresh are by_cause, pass, same, different or flaky";
	if (wish.proposal)
		wish.event = EVENT_PULL;
	if (wrong)
		control_refuse(http, 400, wrong);
	else if (wish.cause && !cause_find(wish.cause))
		refuse_cause(http, wish.cause);
	else if (wish.different && !cause_find(wish.different))
		refuse_cause(http, wish.different);
	else if (world_create(sim->world, &wish, &r, &err) < 0)
		control_refuse(http, err.kind == ERR_INPUT ? 400 : 503, err.msg);
	else
		reply_run(http, 201, r);
}

static void get_runs(struct sim *sim, struct http_request *http)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_open(&b, "runs", '[');
	for (size_t i = world_first(sim->world); i < world_count(sim->world); i++)
		put_run(&b, world_at(sim->world, i), false);
	js_close(&b, ']');
	js_close(&b, '}');
	control_reply(http, 200, &b);
}

static void post_person_rerun(struct sim *sim, struct http_request *http, struct run *r,
			      struct json_object *o)
{
	static const char *const words[] = { "", "it is running", "it is older than a month",
					     "it ran too often", "nothing of it failed" };
	enum rerun_answer answer =
		sim_rerun(sim, r, json_flag(o, "only_failed", true), ACTOR_PERSON);

	if (answer == RERUN_ACCEPTED)
		reply_run(http, 201, r);
	else
		control_refuse(http, 409, words[answer]);
}

/* --- summary -------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void put_latency(struct buf *b, const struct sim *sim)
{
	size_t n = sim->n_latencies;
	OWNED(freep) int64_t *us = xcalloc(n + 1, sizeof(*us));
	static const struct {
		const char *name;
		double share;
	} rows[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "max", 1 } };

	memcpy(us, sim->latencies_us, n * sizeof(*us));
	qsort(us, n, sizeof(*us), by_size);
	js_open(b, "rerun_latency_ms", '{');
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t at = n ? (size_t)((double)(n - 1) * rows[i].share) : 0;

		buf_printf(b, "\"%s\":%.3f,", rows[i].name, (double)us[at] / 1000);
	}
	js_u64(b, "n", n);
	js_close(b, '}');
}

static void get_summary(struct sim *sim, struct http_request *http)
{
	struct totals t;
	struct buf b;

	sim_totals(sim, &t);
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_u64(&b, "runs", t.runs);
	js_u64(&b, "running", t.running);
	js_u64(&b, "passed", t.passed);
	js_u64(&b, "failed", t.failed);
	js_u64(&b, "transient", t.transient);
	js_u64(&b, "healed", t.healed);
	js_u64(&b, "rerun_accepted", t.rerun_accepted);
	js_u64(&b, "rerun_refused", t.rerun_refused);
	js_u64(&b, "rerun_by_person", t.rerun_by_person);
	js_u64(&b, "rerun_twice", t.rerun_twice);
	js_u64(&b, "webhooks", t.webhooks);
	js_u64(&b, "webhooks_ok", t.webhooks_ok);
	js_u64(&b, "webhooks_failed", t.webhooks_failed);
	js_u64(&b, "webhooks_duplicate", t.webhooks_duplicate);
	js_u64(&b, "webhooks_waiting",
	       hooks_waiting(sim->hooks) + hooks_waiting(sim->gitlab_hooks) +
		       hooks_waiting(sim->jenkins_hooks));
	js_u64(&b, "webhooks_not_sent", sim->hooks_untold);
	js_u64(&b, "webhooks_other", sim->hooks_other);
	js_u64(&b, "log_reads", t.log_reads);
	js_u64(&b, "log_auth_leaks", sim->auth_leaks);
	js_u64(&b, "api_requests", sim->api_requests);
	js_u64(&b, "faults_left", faults_left(&sim->faults));
	js_u64(&b, "renewals", sim->renewals);
	js_u64(&b, "checks", sim->checks);
	js_u64(&b, "checks_neutral", sim->checks_neutral);
	js_u64(&b, "checks_buttons", sim->checks_buttons);
	js_u64(&b, "statuses", sim->statuses);
	put_latency(&b, sim);
	js_close(&b, '}');
	control_reply(http, 200, &b);
}

/* --- trouble -------------------------------------------------------------- */

static void post_fault(struct sim *sim, struct http_request *http, struct json_object *o)
{
	struct err err;

	if (faults_add(&sim->faults, o, &err) < 0)
		control_refuse(http, 400, err.msg);
	else
		reply_ok(http, 201, "times", json_i64(o, "times", 1));
}

static void delete_faults(struct sim *sim, struct http_request *http)
{
	faults_clear(&sim->faults);
	http_reply(http, 204, NULL, NULL, 0);
}

static void post_outage(struct sim *sim, struct http_request *http, struct json_object *o)
{
	const char *name = json_str(o, "cause", json_str(o, "category", ""));
	int64_t ms = json_i64(o, "ms", 10000);

	if (!cause_find(name)) {
		refuse_cause(http, name);
	} else if (ms < 0 || ms > OUTAGE_MAX_MS) {
		control_refuse(http, 400, "ms is from 0 to a day");
	} else {
		world_outage(sim->world, cause_find(name), ms);
		reply_ok(http, 201, "ms", ms);
	}
}

static void post_repo(struct sim *sim, struct http_request *http, struct json_object *o)
{
	static const char *const words[] = { "write", "read", "none" };
	const char *name = json_str(o, "repo", ""), *access = json_str(o, "access", "write");
	enum flavour flavour = FLAVOUR_GITHUB;
	bool known = flavour_find(json_str(o, "provider", "github"), &flavour);
	const char *wrong;
	struct repo *r;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(words[i], access) != 0)
			continue;
		r = known && name_fits(flavour, name) ? world_repo(sim->world, name) : NULL;
		if (!r)
			break;
		r->seen_by |= 1U << flavour;
		r->access = (enum repo_access)i;
		wrong = control_repo_wish(sim, r, o);
		if (wrong) {
			control_refuse(http, 400, wrong);
			return;
		}
		reply_ok(http, 201, "repo_id", (int64_t)r->id);
		return;
	}
	control_refuse(
		http, 400,
		"repo is owner/name, access is write, read or none, provider github, gitlab or "
		"jenkins");
}

static void post_rate_limit(struct sim *sim, struct http_request *http, struct json_object *o)
{
	int64_t limit = json_i64(o, "limit", sim->opt.rate_limit);
	int64_t remaining = json_i64(o, "remaining", limit);
	int64_t reset_ms = json_i64(o, "reset_ms", 3600 * 1000);

	if (limit < 1 || remaining < 0 || remaining > limit || reset_ms < 0) {
		control_refuse(http, 400,
			       "limit is 1 or more, remaining at most that, reset_ms not negative");
		return;
	}
	access_set_budget(sim->access, limit, remaining, reset_ms);
	reply_ok(http, 201, "remaining", remaining);
}

/* As Standard Webhooks has it; any of several signatures will do. */
static bool signed_right(const struct sim *sim, const struct http_request *http)
{
	const char *id = http_request_header(http, "webhook-id");
	const char *at = http_request_header(http, "webhook-timestamp");
	const char *got = http_request_header(http, "webhook-signature");
	OWNED(freep) char *want = NULL;
	int64_t time_s;
	struct err err;

	return sim->renew_secret && id && at && got && text_to_i64(at, &time_s) &&
	       standard_webhooks_sign(sim->renew_secret, id, time_s, http->body, http->body_len,
				      &want, &err) == 0 &&
	       strstr(got, want);
}

/* Whoever looks after the credentials of a repository: from now on they are good. */
static void post_renew(struct sim *sim, struct http_request *http, struct json_object *o)
{
	struct repo *r = world_find_repo(sim->world, json_str(o, "data.repo", ""));
	struct fault *f = faults_take(&sim->faults, CALL_RENEW, 0);
	int status = f && f->kind == FAULT_STATUS ? f->status : 0;

	if (f)
		fault_put(f);
	if (!signed_right(sim, http)) {
		control_refuse(http, 401, "it is not signed, or wrongly");
	} else if (status) {
		control_refuse(http, status, "a fault");
	} else if (!r) {
		control_refuse(http, 404, "no such repository");
	} else {
		sim->renewals++;
		r->renewed_ms = clock_wall_ms();
		reply_ok(http, 200, "renewals", (int64_t)sim->renewals);
	}
}

/* --- webhooks ------------------------------------------------------------- */

static void post_redeliver(struct sim *sim, struct http_request *http, struct json_object *o)
{
	const char *guid = json_str(o, "guid", NULL);
	uint64_t run = (uint64_t)json_i64(o, "run", 0), last = hooks_last(sim->hooks);
	int64_t sent = 0;

	if (!guid && !run) {
		control_refuse(http, 400, "say run or guid");
		return;
	}
	for (uint64_t id = hooks_first(sim->hooks); id <= last; id++) {
		struct delivery *d = hooks_at(sim->hooks, id);

		/* Each GUID once, however often it was sent before. */
		if (!d || d->duplicate || d->redelivery || (guid && strcmp(d->guid, guid) != 0) ||
		    (run && d->run_id != run))
			continue;
		sent += hooks_redeliver(sim->hooks, d);
	}
	if (sent)
		reply_ok(http, 202, "sent", sent);
	else
		control_refuse(http, 404, "no such delivery is remembered");
}

static void post_webhook(struct sim *sim, struct http_request *http, struct json_object *o)
{
	const char *raw = json_str(o, "body", NULL);
	struct json_object *payload = json_at(o, "payload");
	struct hook_event e = {
		.event = json_str(o, "event", "workflow_run"),
		.action = json_str(payload, "action", ""),
		.secret = json_str(o, "secret", NULL),
	};
	char guid[GUID_MAX];
	struct buf b;

	e.body = raw ? raw : payload ? json_text(payload) : NULL;
	if (!e.body) {
		control_refuse(http, 400, "say payload (JSON) or body (text)");
		return;
	}
	if (strpbrk(e.event, "\r\n")) {
		control_refuse(http, 400, "event is one line");
		return;
	}
	e.len = strlen(e.body);
	if (!hooks_send(sim->hooks, &e, guid)) {
		control_refuse(http, 503, "there is no webhook URL, or too many wait");
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "guid", guid);
	js_close(&b, '}');
	control_reply(http, 202, &b);
}

static void post_hook(struct sim *sim, struct http_request *http, struct json_object *o)
{
	const char *url = json_str(o, "url", NULL);
	enum flavour flavour;

	if (!url || (*url && !text_starts(url, "http://") && !text_starts(url, "https://"))) {
		control_refuse(http, 400, "url is http or https, or empty for none");
		return;
	}
	if (!flavour_find(json_str(o, "provider", "github"), &flavour)) {
		control_refuse(http, 400, "provider is github, gitlab or jenkins");
		return;
	}
	hooks_set_url(sim_hooks(sim, flavour), url);
	if (flavour == FLAVOUR_GITHUB)
		sim_ping(sim);
	reply_ok(http, 201, "hook_id", 481516234);
}

static void get_deliveries(struct sim *sim, struct http_request *http)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_open(&b, "deliveries", '[');
	for (uint64_t id = hooks_first(sim->hooks); id <= hooks_last(sim->hooks); id++) {
		const struct delivery *d = hooks_at(sim->hooks, id);

		js_open(&b, NULL, '{');
		js_u64(&b, "id", d->id);
		js_str(&b, "guid", d->guid);
		js_str(&b, "event", d->event);
		js_str(&b, "action", d->action);
		js_u64(&b, "run", d->run_id);
		js_bool(&b, "over", d->over);
		js_i64(&b, "status", d->status);
		js_bool(&b, "duplicate", d->duplicate);
		js_bool(&b, "redelivery", d->redelivery);
		js_close(&b, '}');
	}
	js_close(&b, ']');
	js_close(&b, '}');
	control_reply(http, 200, &b);
}

/* --- routes --------------------------------------------------------------- */

static const struct {
	const char *path;
	void (*fn)(struct sim *, struct http_request *, struct json_object *);
} posts[] = {
	{ "/_sim/runs", post_run },
	{ "/_sim/faults", post_fault },
	{ "/_sim/outage", post_outage },
	{ "/_sim/repos", post_repo },
	{ "/_sim/commits", control_post_commit },
	{ "/_sim/pulls", control_post_pull },
	{ "/_sim/scopes", control_post_scopes },
	{ "/_sim/renew", post_renew },
	{ "/_sim/redeliver", post_redeliver },
	{ "/_sim/webhook", post_webhook },
	{ "/_sim/hook", post_hook },
	{ "/_sim/rate-limit", post_rate_limit },
};

static const struct {
	const char *path;
	void (*fn)(struct sim *, struct http_request *);
} gets[] = {
	{ "/_sim/runs", get_runs },
	{ "/_sim/summary", get_summary },
	{ "/_sim/deliveries", get_deliveries },
	{ "/_sim/repos", control_get_repo },
};

/* "/_sim/runs/123" and "/_sim/runs/123/rerun". */
static void serve_run(struct sim *sim, struct http_request *http, struct json_object *o)
{
	const char *at = http->path + strlen("/_sim/runs/");
	size_t n = strspn(at, "0123456789");
	char digits[24];
	uint64_t id;
	struct run *r = NULL;

	if (n && text_copy(digits, sizeof(digits), at, n) && text_to_u64(digits, &id))
		r = world_find(sim->world, id);
	at += n;
	if (!r)
		control_refuse(http, 404, "no such run");
	else if (!*at && strcmp(http->method, "GET") == 0)
		reply_run(http, 200, r);
	else if (strcmp(at, "/rerun") == 0 && strcmp(http->method, "POST") == 0)
		post_person_rerun(sim, http, r, o);
	else
		control_refuse(http, 404, "a run has GET and POST .../rerun");
}

static void serve_get(struct sim *sim, struct http_request *http)
{
	for (size_t i = 0; i < ARRAY_LEN(gets); i++) {
		if (strcmp(gets[i].path, http->path) == 0) {
			gets[i].fn(sim, http);
			return;
		}
	}
	control_refuse(http, 404,
		       "GET runs, runs/ID, summary, deliveries or repos?repo=OWNER/NAME");
}

static void serve_post(struct sim *sim, struct http_request *http, struct json_object *o)
{
	for (size_t i = 0; i < ARRAY_LEN(posts); i++) {
		if (strcmp(posts[i].path, http->path) == 0) {
			posts[i].fn(sim, http, o);
			return;
		}
	}
	control_refuse(
		http, 404,
		"POST runs, faults, outage, repos, commits, pulls, scopes, renew, redeliver, "
		"webhook, hook, "
		"rate-limit");
}

bool control_serve(struct sim *sim, struct http_request *http)
{
	OWNED(json_putp) struct json_object *o = NULL;
	bool get = strcmp(http->method, "GET") == 0;
	struct err err;

	if (!text_starts(http->path, "/_sim/"))
		return false;
	if (!http->peer_is_loopback) {
		control_refuse(http, 403, "from this machine only");
	} else if (http->body_len && json_parse(http->body, http->body_len, &o, &err) < 0) {
		control_refuse(http, 400, err.msg);
	} else if (o && !json_object_is_type(o, json_type_object)) {
		control_refuse(http, 400, "the body is a JSON object");
	} else if (text_starts(http->path, "/_sim/runs/")) {
		serve_run(sim, http, o);
	} else if (get) {
		serve_get(sim, http);
	} else if (strcmp(http->method, "DELETE") == 0 && strcmp(http->path, "/_sim/faults") == 0) {
		delete_faults(sim, http);
	} else if (strcmp(http->method, "POST") == 0) {
		serve_post(sim, http, o);
	} else {
		control_refuse(http, 405, "GET, POST, or DELETE /_sim/faults");
	}
	return true;
}

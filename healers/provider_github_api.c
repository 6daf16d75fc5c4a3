#include "healers/provider_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>
#include <openssl/crypto.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/http_client.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/tail_buf.h"
#include "core/text.h"
#include "healers/github_auth.h"
#include "healers/github_reply.h"
#include "healers/run_archive.h"

enum {
	PAGE_JOBS = 100, /* GitHub's maximum */
	JSON_MAX_BYTES = 8 << 20,
	LIMITS_MAX = 32,
	REDIRECTS_MAX = 5,
	LOG_TIMEOUT_FACTOR = 4,
	/* GitHub shows a log some seconds after its job ended. */
	FRESH_LOG_MS = 2 * 60 * 1000,
	FRESH_LOG_RETRY_MS = 15 * 1000,
	RESET_MAX_MS = 3600 * 1000,
};

enum ask { ASK_RUN, ASK_JOBS, ASK_LOG, ASK_ARCHIVE, ASK_RERUN };

/* Everybody who uses one installation's limit, or the token's, waits together. */
struct limit {
	uint64_t installation;
	int64_t until_ms; /* wall clock */
};

struct api {
	struct event_base *base;
	const struct conf *conf;
	struct http_client *http;
	struct github_auth *auth;
	struct http_origin origin;
	char *url; /* without a slash at its end */
	bool app;
	struct limit limits[LIMITS_MAX];

	struct api_call *calls;             /* all that have not reported */
	struct api_call *late, **late_tail; /* ended before anything was asked */
	struct event *deliver;

	struct api_call *queue, **queue_tail; /* writes, first come first served */
	struct api_call *writing;
	int64_t last_write_ms; /* monotonic */
	struct event *write_timer;
	bool closing;
	bool *freed;
};

struct api_call {
	struct api *api;
	struct api_call *next, **link;       /* in calls */
	struct api_call *in_next, **in_link; /* in queue or late */
	enum ask ask;
	api_fn *fn;
	void *arg;
	char *repo;
	struct api_run run;
	uint64_t job_id;
	char *job_name;
	int64_t job_ended_ms;
	unsigned page;

	struct github_wait *wait;
	struct http_call *http;
	char *authorization; /* as sent, to say which one was refused */
	bool refused_once, delivering;

	struct arena *arena; /* of the jobs' strings */
	struct api_job *jobs;
	struct api_result result;
};

static const char *need_of(enum ask ask)
{
	return ask == ASK_RERUN ? "actions: write" : "actions: read";
}

/* --- life of a call ----------------------------------------------------- */

static void start_writes(struct api *api);

static void list_remove(struct api_call *c)
{
	struct api *api = c->api;

	if (!c->in_link)
		return;
	*c->in_link = c->in_next;
	if (c->in_next)
		c->in_next->in_link = c->in_link;
	else if (api->queue_tail == &c->in_next)
		api->queue_tail = c->in_link;
	else if (api->late_tail == &c->in_next)
		api->late_tail = c->in_link;
	c->in_link = NULL;
	c->in_next = NULL;
}

static void list_append(struct api_call *c, struct api_call ***tail)
{
	c->in_link = *tail;
	**tail = c;
	*tail = &c->in_next;
}

/* From here on the api may die and the call does not notice. */
static void detach(struct api_call *c)
{
	struct api *api = c->api;

	list_remove(c);
	if (!c->link)
		return;
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->link = NULL;
	if (api->writing == c) {
		api->writing = NULL;
		start_writes(api);
	}
}

static void forget_authorization(struct api_call *c)
{
	if (c->authorization)
		OPENSSL_cleanse(c->authorization, strlen(c->authorization));
	free(c->authorization);
	c->authorization = NULL;
}

static void call_free(struct api_call *c)
{
	detach(c);
	github_auth_cancel(c->wait);
	http_call_cancel(c->http);
	forget_authorization(c);
	arena_free(c->arena);
	free(c->jobs);
	free(c->repo);
	free(c->job_name);
	free(c);
}

/* Only from a callback of the loop. */
static void report(struct api_call *c)
{
	detach(c);
	c->delivering = true;
	c->fn(&c->result, c->arg);
	call_free(c);
}

static void report_later(struct api_call *c)
{
	struct timeval now = { 0 };

	list_append(c, &c->api->late_tail);
	(void)evtimer_add(c->api->deliver, &now);
}

static void on_deliver(evutil_socket_t fd, short what, void *arg)
{
	struct api *api = arg;
	bool freed = false;
	size_t n = 0;

	UNUSED(fd);
	UNUSED(what);
	for (const struct api_call *c = api->late; c; c = c->in_next)
		n++;
	api->freed = &freed;
	for (; n && !freed && api->late; n--)
		report(api->late);
	if (!freed)
		api->freed = NULL;
}

/* --- rate limits -------------------------------------------------------- */

static uint64_t limit_key(const struct api_call *c)
{
	return c->api->app ? c->run.installation : 0;
}

/* True, and the result says so, when asking now would only annoy GitHub. */
static bool limited(struct api_call *c)
{
	const struct limit *limits = c->api->limits;
	int64_t left = 0;

	for (size_t i = 0; i < LIMITS_MAX; i++)
		if (limits[i].until_ms && limits[i].installation == limit_key(c))
			left = limits[i].until_ms - clock_wall_ms();
	if (left <= 0)
		return false;
	github_postpone(&c->result, 0, left, "rate limit of %s: nothing is asked before it ends",
			c->api->origin.host);
	return true;
}

static void limit_until(struct api_call *c, int64_t until_ms)
{
	struct limit *slot = &c->api->limits[0];

	for (struct limit *l = c->api->limits; l < c->api->limits + LIMITS_MAX; l++) {
		if (l->until_ms && l->installation == limit_key(c)) {
			slot = l;
			break;
		}
		if (l->until_ms < slot->until_ms)
			slot = l;
	}
	if (slot->installation == limit_key(c) && slot->until_ms > until_ms)
		return;
	*slot = (struct limit){ limit_key(c), until_ms };
}

static void note_limit(struct api_call *c, const struct http_reply *r)
{
	int64_t now = clock_wall_ms(), pause = -1;

	if (r->rate_remaining == 0 && r->rate_reset_at_ms > now)
		pause = r->rate_reset_at_ms - now;
	if (c->result.fate == API_RETRY && (r->status == 403 || r->status == 429) &&
	    c->result.retry_after_ms > pause)
		pause = c->result.retry_after_ms;
	if (pause <= 0)
		return;
	limit_until(c, now + (pause < RESET_MAX_MS ? pause : RESET_MAX_MS));
}

static bool from_api(const struct api *api, const struct http_reply *r)
{
	struct http_origin o;
	struct err err;

	return http_origin_of(r->final_url, &o, &err) < 0 ||
	       (strcmp(o.host, api->origin.host) == 0 && strcmp(o.port, api->origin.port) == 0);
}

static void count(const struct http_reply *r, void *arg)
{
	const struct api *api = arg;
	const char *host = from_api(api, r) ? api->origin.host : "log storage";
	char labels[320];

	if (r->status)
		(void)snprintf(labels, sizeof(labels), "host=\"%s\",code=\"%d\"", host, r->status);
	else
		(void)snprintf(labels, sizeof(labels), "host=\"%s\",code=\"none\"", host);
	metrics_add("provider_requests_total", labels, 1);
	if (r->rate_remaining >= 0) {
		(void)snprintf(labels, sizeof(labels), "host=\"%s\"", host);
		metrics_set("provider_rate_limit_remaining", labels, r->rate_remaining);
	}
}

/* --- reading answers ---------------------------------------------------- */

static void garbled(struct api_call *c, int status, const char *what)
{
	github_refuse(&c->result, status,
		      "%d: %s sent something else than %s: check github.api_url", status,
		      c->api->origin.host, what);
}

static bool read_run(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	int64_t generation = json_i64(o, "run_attempt", 0);

	if ((uint64_t)json_i64(o, "id", 0) != c->run.run_id || generation < 1) {
		garbled(c, r->status, "a workflow run");
		return false;
	}
	c->result.generation = (uint64_t)generation;
	c->result.status = json_str(o, "status", "");
	c->result.conclusion = json_str(o, "conclusion", "");
	return true;
}

static bool step_failed(const struct api_step *s)
{
	return strcmp(s->conclusion, "success") != 0 && strcmp(s->conclusion, "skipped") != 0;
}

static void read_steps(struct api_call *c, struct api_job *job, struct json_object *steps)
{
	size_t n =
		json_object_is_type(steps, json_type_array) ? json_object_array_length(steps) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(steps, i);
		struct api_step s = {
			.name = arena_strdup(c->arena, json_str(o, "name", "")),
			.conclusion = arena_strdup(c->arena, json_str(o, "conclusion", "")),
			.number = (unsigned)json_i64(o, "number", 0),
		};

		/* Past the limit only what went wrong is worth the last place. */
		if (job->n_steps < API_STEPS_MAX)
			job->steps[job->n_steps++] = s;
		else if (step_failed(&s) && !step_failed(&job->steps[API_STEPS_MAX - 1]))
			job->steps[API_STEPS_MAX - 1] = s;
	}
}

static int64_t time_at(struct json_object *o, const char *path)
{
	int64_t ms = text_iso8601_ms(json_str(o, path, ""));

	return ms > 0 ? ms : 0;
}

static void read_job(struct api_call *c, struct json_object *o)
{
	struct api_job *job = &c->jobs[c->result.n_jobs++];

	*job = (struct api_job){
		.id = (uint64_t)json_i64(o, "id", 0),
		.name = arena_strdup(c->arena, json_str(o, "name", "")),
		.status = arena_strdup(c->arena, json_str(o, "status", "")),
		.conclusion = arena_strdup(c->arena, json_str(o, "conclusion", "")),
		.started_at_ms = time_at(o, "started_at"),
		.completed_at_ms = time_at(o, "completed_at"),
		.runner = arena_strdup(c->arena, json_str(o, "runner_name", "")),
	};
	read_steps(c, job, json_at(o, "steps"));
}

/* True: this was the last page. */
static bool read_jobs(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct json_object *jobs = json_at(o, "jobs");
	int64_t total = json_i64(o, "total_count", 0);
	size_t n;

	if (!json_object_is_type(jobs, json_type_array)) {
		garbled(c, r->status, "a list of jobs");
		return true;
	}
	n = json_object_array_length(jobs);
	if (!c->arena)
		c->arena = arena_new();
	if (!c->jobs)
		c->jobs = xcalloc(API_JOBS_MAX, sizeof(c->jobs[0]));
	for (size_t i = 0; i < n; i++) {
		if (c->result.n_jobs == API_JOBS_MAX) {
			c->result.more_jobs = true;
			break;
		}
		read_job(c, json_object_array_get_idx(jobs, i));
	}
	c->result.jobs = c->jobs;
	if (n >= PAGE_JOBS && c->result.n_jobs < API_JOBS_MAX &&
	    (total <= 0 || (int64_t)c->result.n_jobs < total))
		return false;
	if (total > (int64_t)c->result.n_jobs && c->result.n_jobs == API_JOBS_MAX)
		c->result.more_jobs = true;
	return true;
}

/* --- one request -------------------------------------------------------- */

static void ask_token(struct api_call *c);

static void next_request(struct api_call *c)
{
	forget_authorization(c);
	ask_token(c);
}

static void take_archive(struct api_call *c, const struct http_reply *r)
{
	struct tail_buf log;
	struct err err = { 0 };

	tail_buf_init(&log, (size_t)conf_int(c->api->conf, "github.log_max"), true);
	if (run_archive_log(r->body, r->body_len, c->job_name, &log, &err) < 0) {
		github_refuse(&c->result, r->status, "%s", err.msg);
	} else {
		c->result.log = tail_buf_text(&log);
		c->result.log_len = log.len;
		c->result.log_skipped_lines = log.dropped_lines;
	}
	report(c);
	tail_buf_done(&log);
}

static void take_json(struct api_call *c, const struct http_reply *r)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err;

	if (json_parse(r->body, r->body_len, &o, &err) < 0) {
		garbled(c, r->status, "JSON");
	} else if (c->ask == ASK_RUN) {
		(void)read_run(c, r, o);
	} else if (!read_jobs(c, r, o)) {
		c->page++;
		next_request(c);
		return;
	}
	report(c);
}

static void take_answer(struct api_call *c, const struct http_reply *r)
{
	switch (c->ask) {
	case ASK_RUN:
	case ASK_JOBS:
		take_json(c, r);
		return;
	case ASK_LOG:
		c->result.log = r->body;
		c->result.log_len = r->body_len;
		c->result.log_skipped_lines = r->dropped_lines;
		report(c);
		return;
	case ASK_ARCHIVE:
		take_archive(c, r);
		return;
	case ASK_RERUN:
		report(c);
		return;
	}
}

/* The words and the fate that only logs have. */
static void judge_log(struct api_call *c, const struct http_reply *r)
{
	bool gone = r->status == 404 || r->status == 410;
	int64_t age = clock_wall_ms() - c->job_ended_ms;

	/* 404 may also mean "not yet"; 410 is final. */
	if (r->status == 404 && c->job_ended_ms && age < FRESH_LOG_MS) {
		github_postpone(&c->result, r->status, FRESH_LOG_RETRY_MS,
				"404: the log of a job that just ended is not there yet");
	} else if (gone) {
		github_refuse(&c->result, r->status,
			      "%d: the log is gone (expired or deleted), or the token lacks %s on "
			      "%s",
			      r->status, need_of(c->ask), c->repo);
	} else if (c->result.fate == API_REFUSED && !r->error && !from_api(c->api, r)) {
		/* A signed link that lapsed while we waited; a new one is a new request. */
		github_postpone(&c->result, r->status, -1,
				"%d: the storage of the logs refused its own link", r->status);
	}
}

static void on_reply(const struct http_reply *r, void *arg)
{
	struct api_call *c = arg;
	const struct github_ask ask = { c->api->origin.host, c->repo, need_of(c->ask) };

	c->http = NULL;
	count(r, c->api);
	github_reply_judge(r, &ask, clock_wall_ms(), &c->result);
	note_limit(c, r);
	if (c->result.fate == API_OK) {
		take_answer(c, r);
		return;
	}
	if (r->status == 401 && !c->refused_once && from_api(c->api, r) &&
	    github_auth_reject(c->api->auth, c->authorization)) {
		c->refused_once = true;
		next_request(c);
		return;
	}
	if (c->ask == ASK_LOG && (r->status == 404 || r->status == 410)) {
		c->ask = ASK_ARCHIVE;
		next_request(c);
		return;
	}
	if (c->ask == ASK_LOG || c->ask == ASK_ARCHIVE)
		judge_log(c, r);
	report(c);
}

static char *url_of(const struct api_call *c)
{
	OWNED(freep) char *runs = xasprintf("%s/repos/%s/actions", c->api->url, c->repo);
	uint64_t attempt = c->run.generation ? c->run.generation : 1;

	switch (c->ask) {
	case ASK_RUN:
		return xasprintf("%s/runs/%" PRIu64, runs, c->run.run_id);
	case ASK_JOBS:
		return xasprintf("%s/runs/%" PRIu64 "/attempts/%" PRIu64
				 "/jobs?per_page=%d&page=%u",
				 runs, c->run.run_id, attempt, PAGE_JOBS, c->page);
	case ASK_LOG:
		return xasprintf("%s/jobs/%" PRIu64 "/logs", runs, c->job_id);
	case ASK_ARCHIVE:
		return xasprintf("%s/runs/%" PRIu64 "/attempts/%" PRIu64 "/logs", runs,
				 c->run.run_id, attempt);
	case ASK_RERUN:
		break;
	}
	return xasprintf("%s/runs/%" PRIu64 "/rerun-failed-jobs", runs, c->run.run_id);
}

static void send_request(struct api_call *c)
{
	const struct conf *conf = c->api->conf;
	OWNED(freep) char *url = url_of(c);
	OWNED(freep)
	char *version = xasprintf("X-GitHub-Api-Version: %s", conf_str(conf, "github.api_version"));
	struct http_call_options o = {
		.method = c->ask == ASK_RERUN ? "POST" : "GET",
		.url = url,
		.headers = { "Accept: application/vnd.github+json", version,
			     "Cache-Control: no-cache" },
		.authorization = c->authorization,
		.timeout_ms = conf_int(conf, "github.timeout"),
		.max_body_bytes = JSON_MAX_BYTES,
		.max_redirects = REDIRECTS_MAX,
		.once = c->ask == ASK_RERUN,
	};

	if (c->ask == ASK_LOG || c->ask == ASK_ARCHIVE) {
		o.timeout_ms *= LOG_TIMEOUT_FACTOR;
		o.keep_tail = c->ask == ASK_LOG;
		o.max_body_bytes = (size_t)conf_int(conf, o.keep_tail ? "github.log_max"
								      : "github.archive_max");
	}
	if (c->ask == ASK_RERUN)
		c->api->last_write_ms = clock_mono_ms();
	c->http = http_call_start(c->api->http, &o, on_reply, c);
}

static void on_token(const char *authorization, const struct api_result *refusal, void *arg)
{
	struct api_call *c = arg;

	c->wait = NULL;
	if (!authorization) {
		c->result.fate = refusal->fate;
		c->result.http_status = refusal->http_status;
		c->result.retry_after_ms = refusal->retry_after_ms;
		memcpy(c->result.why, refusal->why, sizeof(c->result.why));
		report(c);
		return;
	}
	if (limited(c)) {
		report(c);
		return;
	}
	c->authorization = xstrdup(authorization);
	send_request(c);
}

static void ask_token(struct api_call *c)
{
	c->wait = github_auth_get(c->api->auth, &c->run, c->ask == ASK_RERUN, on_token, c);
}

/* --- writes, one after the other ---------------------------------------- */

static void start_writes(struct api *api)
{
	int64_t interval = conf_int(api->conf, "github.write_interval");
	int64_t wait = api->last_write_ms + interval - clock_mono_ms();
	struct timeval tv = clock_timeval(wait);

	if (api->writing || !api->queue || api->closing)
		return;
	if (wait > 0) {
		(void)evtimer_add(api->write_timer, &tv);
		return;
	}
	api->writing = api->queue;
	list_remove(api->writing);
	ask_token(api->writing);
}

static void on_write_timer(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	start_writes(arg);
}

/* --- the table ---------------------------------------------------------- */

/* The name goes into a path: nothing in it may mean something there. */
static bool repo_ok(const char *repo)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t owner = strspn(repo, allowed);
	const char *name = repo + owner + 1;
	size_t n;

	if (!owner || repo[owner] != '/' || strlen(repo) > 200)
		return false;
	n = strspn(name, allowed);
	if (!n || name[n])
		return false;
	return strspn(repo, ".") != owner && strspn(name, ".") != n;
}

static struct api_call *begin(struct api *api, enum ask ask, const struct api_run *run, api_fn *fn,
			      void *arg)
{
	struct api_call *c = xcalloc(1, sizeof(*c));

	c->api = api;
	c->ask = ask;
	c->fn = fn;
	c->arg = arg;
	c->repo = xstrdup(run->repo ? run->repo : "");
	c->run = *run;
	c->run.repo = c->repo;
	c->page = 1;
	c->result.retry_after_ms = -1;
	c->next = api->calls;
	c->link = &api->calls;
	if (c->next)
		c->next->link = &c->next;
	api->calls = c;
	return c;
}

static struct api_call *go(struct api_call *c)
{
	struct api *api = c->api;

	if (!repo_ok(c->repo)) {
		github_refuse(&c->result, 0, "the name of the repository is not one of GitHub's");
		report_later(c);
	} else if (c->ask == ASK_RERUN && conf_int(api->conf, "github.write_interval") > 0) {
		list_append(c, &api->queue_tail);
		start_writes(api);
	} else {
		ask_token(c);
	}
	return c;
}

static struct api_call *get_run(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	return go(begin(api, ASK_RUN, run, fn, arg));
}

static struct api_call *list_jobs(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	return go(begin(api, ASK_JOBS, run, fn, arg));
}

static struct api_call *get_log(struct api *api, const struct api_run *run,
				const struct api_job *job, api_fn *fn, void *arg)
{
	struct api_call *c = begin(api, ASK_LOG, run, fn, arg);

	c->job_id = job->id;
	c->job_name = xstrdup(job->name ? job->name : "");
	c->job_ended_ms = job->completed_at_ms;
	return go(c);
}

static struct api_call *rerun_failed_jobs(struct api *api, const struct api_run *run, api_fn *fn,
					  void *arg)
{
	return go(begin(api, ASK_RERUN, run, fn, arg));
}

static void cancel(struct api_call *c)
{
	if (c && !c->delivering)
		call_free(c);
}

static const char *host(const struct api *api)
{
	return api->origin.host;
}

static bool configured(const struct conf *conf)
{
	return conf_secret(conf, "github.token", 0) || conf_str(conf, "github.app_id");
}

static void api_close(struct api *api)
{
	if (!api)
		return;
	if (api->freed)
		*api->freed = true;
	api->closing = true;
	while (api->calls)
		call_free(api->calls);
	github_auth_free(api->auth);
	if (api->deliver)
		event_free(api->deliver);
	if (api->write_timer)
		event_free(api->write_timer);
	free(api->url);
	free(api);
}

DEFINE_OWNED(struct api, api_close)

static int check_url(struct api *api, const char *url, struct err *err)
{
	size_t n = strlen(url);

	if (http_origin_of(url, &api->origin, err) < 0)
		return err_wrap(err, "github.api_url");
	if (!api->origin.tls && !api->origin.loopback)
		return err_set(
			err, ERR_CONFIG,
			"github.api_url: a token must not travel over plain http: use https");
	if (strpbrk(url, "?#"))
		return err_set(err, ERR_CONFIG,
			       "github.api_url: no query or fragment belongs here");
	while (n && url[n - 1] == '/')
		n--;
	api->url = xstrndup(url, n);
	return 0;
}

static int api_open(struct event_base *base, const struct conf *conf, struct http_client *http,
		    struct api **out, struct err *err)
{
	OWNED(api_closep) struct api *api = xcalloc(1, sizeof(*api));
	struct github_auth_target target = { .seen = count, .arg = api };

	api->base = base;
	api->conf = conf;
	api->http = http;
	api->app = conf_str(conf, "github.app_id") != NULL;
	api->late_tail = &api->late;
	api->queue_tail = &api->queue;
	api->last_write_ms = INT64_MIN / 2;
	api->deliver = evtimer_new(base, on_deliver, api);
	api->write_timer = evtimer_new(base, on_write_timer, api);
	if (!api->deliver || !api->write_timer)
		abort();
	if (check_url(api, conf_str(conf, "github.api_url"), err) < 0) {
		err->kind = ERR_CONFIG;
		return -1;
	}
	target.api_url = api->url;
	target.host = api->origin.host;
	target.api_version = conf_str(conf, "github.api_version");
	if (github_auth_new(base, http, conf, &target, &api->auth, err) < 0)
		return -1;
	*out = TAKE(api);
	return 0;
}

const struct provider_api provider_api_github = {
	.name = "github",
	.configured = configured,
	.open = api_open,
	.close = api_close,
	.get_run = get_run,
	.list_jobs = list_jobs,
	.get_log = get_log,
	.rerun_failed_jobs = rerun_failed_jobs,
	.cancel = cancel,
	.host = host,
};

/*
 * GitLab's REST API. A run is a pipeline, and its generation is the highest job
 * id in it: a pipeline has no attempt, but a retried job gets a new and higher
 * id. A re-run retries the failed jobs one by one, by id; a job that was retried
 * cannot be retried again, so repeating the whole changes nothing.
 */
#include "healers/provider_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/ci_event.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/api_core.h"
#include "healers/gitlab_afresh.h"
#include "healers/gitlab_change.h"
#include "healers/gitlab_show.h"
#include "healers/gitlab_words.h"

enum {
	PAGE_MAX = 100, /* GitLab's maximum */
	PAGES_MAX = 20, /* a pipeline has at most some hundred jobs */
	RETRIES_MAX = 32,
	URL_MAX = 4096,
};

/* One call may be several requests, one after the other; `at` is the one under way. */
enum at {
	AT_PIPELINE,
	AT_JOBS,
	AT_TRACE,
	AT_FILE,
	AT_RETRY,
	AT_CANCEL,
	AT_PIPELINES,
	AT_PROJECTS,
	AT_REQUEST,
};

struct gitlab_call {
	struct api_call call;
	enum at at;
	uint64_t newest_job;
	char status[32];

	/* ASK_RERUN: what has to be retried. */
	uint64_t failed[RETRIES_MAX];
	unsigned n_failed, next, retried;
	bool too_many;

	const char *groups; /* ASK_REPOS: the rest of gitlab.groups */
};

static struct gitlab_call *gitlab_call(struct api_call *c)
{
	return (struct gitlab_call *)c;
}

static void request(struct api_call *c);

/* --- words ---------------------------------------------------------------- */

static const char *need_of(const struct api_call *c)
{
	if (c->request.need)
		return c->request.need;
	return c->writes ? "the scope api and the role Developer"
			 : "the scope read_api and the role Reporter";
}

/* --- reading answers ------------------------------------------------------ */

static void read_pipeline(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *status = json_str(o, "status", "");

	if ((uint64_t)json_i64(o, "id", 0) != c->run.run_id || !*status) {
		api_garbled(c, r->status, "a pipeline");
		api_report(c);
		return;
	}
	(void)text_copy(gitlab_call(c)->status, sizeof(gitlab_call(c)->status), status,
			strlen(status));
	gitlab_call(c)->at = AT_JOBS;
	request(c);
}

static int64_t time_at(struct json_object *o, const char *path)
{
	int64_t ms = text_iso8601_ms(json_str(o, path, ""));

	return ms > 0 ? ms : 0;
}

static void read_job(struct api_call *c, struct json_object *o)
{
	struct gitlab_word w = gitlab_translated(json_str(o, "status", ""));
	struct api_job *job = api_add_job(c);

	if (!job)
		return;
	/* A job that may fail does not fail its pipeline. */
	if (json_flag(o, "allow_failure", false) && strcmp(w.conclusion, "failure") == 0)
		w.conclusion = "neutral";
	*job = (struct api_job){
		.id = (uint64_t)json_i64(o, "id", 0),
		.name = arena_strdup(c->arena, json_str(o, "name", "")),
		.stage = arena_strdup(c->arena, json_str(o, "stage", "")),
		.status = arena_strdup(c->arena, w.status),
		.conclusion = w.conclusion,
		/* GitLab has one for jobs that did not fail, too. */
		.failure_reason =
			strcmp(w.conclusion, "failure") == 0
				? arena_strdup(c->arena, json_str(o, "failure_reason", ""))
				: "",
		.started_at_ms = time_at(o, "started_at"),
		.completed_at_ms = time_at(o, "finished_at"),
		.runner = arena_strdup(c->arena, json_str(o, "runner.description", "")),
	};
	if (strcmp(job->failure_reason, "job_execution_timeout") == 0)
		job->conclusion = "timed_out";
}

/* What failed in the generation that is to be re-run, and was not retried since. */
static void note_failed(struct gitlab_call *g, struct json_object *o)
{
	uint64_t id = (uint64_t)json_i64(o, "id", 0);
	const char *status = json_str(o, "status", "");
	bool again = strcmp(status, "failed") == 0 ||
		     (g->call.run.stopped && strcmp(status, "canceled") == 0);

	if (id > g->call.run.generation || !again || json_flag(o, "allow_failure", false))
		return;
	if (g->n_failed < RETRIES_MAX)
		g->failed[g->n_failed++] = id;
	else
		g->too_many = true;
}

static void report_run(struct api_call *c)
{
	struct gitlab_call *g = gitlab_call(c);
	struct gitlab_word w = gitlab_translated(g->status);

	c->result.generation = g->newest_job;
	c->result.status = w.status;
	c->result.conclusion = w.conclusion;
	c->result.ci_file = ".gitlab-ci.yml"; /* unless the project's settings say otherwise */
	api_report(c);
}

static void start_retries(struct api_call *c)
{
	struct gitlab_call *g = gitlab_call(c);

	if (g->too_many) {
		api_refuse(&c->result, 0, "more than %d jobs failed: not a case for re-runs",
			   RETRIES_MAX);
	} else if (!g->n_failed) {
		api_say(&c->result, API_WAIT, 0, -1, "nothing of it is failed any more");
	} else {
		g->at = AT_RETRY;
		request(c);
		return;
	}
	api_report(c);
}

static void read_jobs(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct gitlab_call *g = gitlab_call(c);
	size_t n;

	if (!json_object_is_type(o, json_type_array)) {
		api_garbled(c, r->status, "a list of jobs");
		api_report(c);
		return;
	}
	n = json_object_array_length(o);
	for (size_t i = 0; i < n; i++) {
		struct json_object *job = json_object_array_get_idx(o, i);
		uint64_t id = (uint64_t)json_i64(job, "id", 0);

		if (id > g->newest_job)
			g->newest_job = id;
		if (c->ask == ASK_JOBS)
			read_job(c, job);
		else if (c->ask == ASK_RERUN)
			note_failed(g, job);
	}
	if (n >= PAGE_MAX && c->page < PAGES_MAX) {
		c->page++;
		request(c);
	} else if (c->ask == ASK_RUN) {
		report_run(c);
	} else if (c->ask == ASK_RERUN) {
		start_retries(c);
	} else {
		c->result.generation = g->newest_job;
		api_report(c);
	}
}

/* --- lists for the monitor -------------------------------------------------- */

static void copy_text(char *out, size_t cap, const char *s)
{
	(void)text_copy(out, cap, s, strlen(s));
}

/* "refs/merge-requests/12/head" is what a merge request's pipeline runs for. */
static uint64_t merge_request_of(const char *ref)
{
	static const char prefix[] = "refs/merge-requests/";
	uint64_t n = 0;
	char digits[24];

	if (!text_starts(ref, prefix))
		return 0;
	ref += strlen(prefix);
	return text_copy(digits, sizeof(digits), ref, strspn(ref, "0123456789")) &&
			       text_to_u64(digits, &n)
		       ? n
		       : 0;
}

/* As its webhook would have told it; only the jobs have the generation. False: it is no pipeline.
 */
static bool read_event(const struct api_call *c, struct json_object *o, struct ci_event *ev)
{
	const char *word = json_str(o, "status", ""), *ref = json_str(o, "ref", "");
	int64_t id = json_i64(o, "id", 0);
	int64_t project = json_i64(o, "project_id", (int64_t)c->scan.repo_id);
	struct gitlab_word w = gitlab_translated(word);

	*ev = (struct ci_event){
		.kind = CI_RUN,
		.status = strcmp(w.status, "completed") == 0     ? CI_COMPLETED
			  : strcmp(w.status, "in_progress") == 0 ? CI_RUNNING
								 : CI_QUEUED,
		.repo_id = (uint64_t)project,
		.run_id = (uint64_t)id,
		.merge_request = merge_request_of(ref),
		.at_ms = time_at(o, "updated_at"),
	};
	copy_text(ev->provider, sizeof(ev->provider), "gitlab");
	copy_text(ev->topic, sizeof(ev->topic), "pipeline");
	copy_text(ev->action, sizeof(ev->action), word);
	copy_text(ev->conclusion, sizeof(ev->conclusion), w.conclusion);
	copy_text(ev->repo, sizeof(ev->repo), c->repo);
	copy_text(ev->pipeline, sizeof(ev->pipeline), json_str(o, "name", "pipeline"));
	copy_text(ev->branch, sizeof(ev->branch), ref);
	copy_text(ev->sha, sizeof(ev->sha), json_str(o, "sha", ""));
	copy_text(ev->trigger, sizeof(ev->trigger), json_str(o, "source", ""));
	copy_text(ev->url, sizeof(ev->url), json_str(o, "web_url", ""));
	return id > 0 && project > 0 && *word;
}

static void read_pipelines(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	size_t n = json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;

	if (!json_object_is_type(o, json_type_array))
		api_garbled(c, r->status, "a list of pipelines");
	c->result.etag = r->etag;
	c->result.more = n >= c->scan.page_size;
	for (size_t i = 0; i < n; i++) {
		struct ci_event ev, *room;

		if (!read_event(c, json_object_array_get_idx(o, i), &ev))
			continue;
		room = api_add_event(c, PAGE_MAX);
		if (room)
			*room = ev;
	}
	api_report(c);
}

/* True: there is another group to ask for. */
static bool next_group(struct gitlab_call *g)
{
	g->groups += strcspn(g->groups, ", ");
	g->groups += strspn(g->groups, ", ");
	g->call.page = 1;
	return *g->groups;
}

static void read_projects(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	size_t n = json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;
	bool asleep = false; /* from here on nothing happened for long: the liveliest came first */

	if (!json_object_is_type(o, json_type_array))
		api_garbled(c, r->status, "a list of projects");
	for (size_t i = 0; i < n && !asleep; i++) {
		struct json_object *one = json_object_array_get_idx(o, i);
		int64_t active = time_at(one, "last_activity_at");
		const char *name = json_str(one, "path_with_namespace", "");
		int64_t id = json_i64(one, "id", 0);
		struct api_repo *repo;

		asleep = active && active < c->scan.since_ms;
		repo = id > 0 && *name && !asleep ? api_add_repo(c) : NULL;
		if (repo)
			*repo = (struct api_repo){ .name = arena_strdup(c->arena, name),
						   .id = (uint64_t)id,
						   .state = "" };
	}
	c->page++;
	if (c->result.fate == API_OK && !c->result.more &&
	    ((n >= PAGE_MAX && !asleep) || next_group(gitlab_call(c))))
		request(c);
	else
		api_report(c);
}

static void take_json(struct api_call *c, const struct http_reply *r)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err;

	if (json_parse(r->body, r->body_len, &o, &err) < 0) {
		api_garbled(c, r->status, "JSON");
		api_report(c);
	} else if (gitlab_call(c)->at == AT_PIPELINE) {
		read_pipeline(c, r, o);
	} else if (gitlab_call(c)->at == AT_PIPELINES) {
		read_pipelines(c, r, o);
	} else if (gitlab_call(c)->at == AT_PROJECTS) {
		read_projects(c, r, o);
	} else {
		read_jobs(c, r, o);
	}
}

static bool log_is_fresh(const struct api_call *c)
{
	return c->job_ended_ms && clock_wall_ms() - c->job_ended_ms < API_FRESH_LOG_MS;
}

/* No trace is an empty one; so is one that was erased. */
static void take_trace(struct api_call *c, const struct http_reply *r)
{
	if (r->body_len) {
		c->result.log = r->body;
		c->result.log_len = r->body_len;
		c->result.log_memory = r->memory;
		c->result.log_skipped_lines = r->dropped_lines;
	} else if (log_is_fresh(c)) {
		api_postpone(&c->result, r->status, API_FRESH_LOG_RETRY_MS,
			     "the log of a job that just ended is not there yet");
	} else {
		api_refuse(&c->result, r->status, "the job left no log, or it was erased");
	}
	api_report(c);
}

/* --- retries -------------------------------------------------------------- */

/* One job is answered for: on to the next. */
static void next_retry(struct api_call *c)
{
	struct gitlab_call *g = gitlab_call(c);

	if (++g->next < g->n_failed) {
		request(c);
		return;
	}
	if (g->retried)
		api_say(&c->result, API_OK, 201, -1, "%s", "");
	else
		api_say(&c->result, API_WAIT, 403, -1, "the failed jobs were retried already");
	api_report(c);
}

static void take_answer(struct api_call *c, const struct http_reply *r)
{
	switch (gitlab_call(c)->at) {
	case AT_PIPELINE:
	case AT_JOBS:
	case AT_PIPELINES:
	case AT_PROJECTS:
		take_json(c, r);
		return;
	case AT_TRACE:
		take_trace(c, r);
		return;
	case AT_FILE:
		c->result.log = r->body;
		c->result.log_len = r->body_len;
		api_report(c);
		return;
	case AT_CANCEL:
		api_report(c);
		return;
	case AT_REQUEST:
		api_take(c, r);
		return;
	case AT_RETRY:
		gitlab_call(c)->retried++;
		next_retry(c);
		return;
	}
}

/* --- one request ---------------------------------------------------------- */

static const struct reply_row rows[] = {
	{ 401, "insufficient_scope", API_REFUSED, "the token has too small a scope", true },
	{ 403, "insufficient_scope", API_REFUSED, "the token has too small a scope", true },
	/* Said of a job that was retried before, and only of such a job by us. */
	{ 403, "not retryable", API_WAIT, "the job was retried already", false },
	{ 403, "maintenance", API_RETRY, "GitLab is read-only for now", false },
	{ 403, NULL, API_REFUSED, "the user of the token may not do this", true },
	{ 404, NULL, API_REFUSED, "not there, or hidden from this token", true },
	{ 301, NULL, API_REFUSED, "the address has moved: check gitlab.url", false },
};

static void judge_log(struct api_call *c, const struct http_reply *r)
{
	if (r->status == 404 && log_is_fresh(c))
		api_postpone(&c->result, r->status, API_FRESH_LOG_RETRY_MS,
			     "404: the log of a job that just ended is not there yet");
	else if (c->result.fate == API_REFUSED && !r->error && !api_from_origin(c->api, r))
		api_postpone(&c->result, r->status, -1,
			     "%d: the storage of the logs refused its own link", r->status);
}

static void on_reply(const struct http_reply *r, void *arg)
{
	struct api_call *c = arg;
	const struct reply_ask ask = { c->api->origin.host,
				       *c->repo ? c->repo : "its groups",
				       need_of(c),
				       "gitlab.url",
				       rows,
				       ARRAY_LEN(rows) };

	c->http = NULL;
	api_count(c->api, r);
	if (api_unchanged(c, r)) {
		api_report(c);
		return;
	}
	api_judge(r, &ask, clock_wall_ms(), &c->result);
	api_note_limit(c, r);
	if (c->result.fate == API_OK) {
		take_answer(c, r);
		return;
	}
	if (api_next_secret(c, r)) {
		request(c);
		return;
	}
	if (gitlab_call(c)->at == AT_RETRY && c->result.fate == API_WAIT) {
		next_retry(c);
		return;
	}
	if (gitlab_call(c)->at == AT_REQUEST) {
		api_take(c, r);
		return;
	}
	if (c->ask == ASK_LOG)
		judge_log(c, r);
	/* Some run again: what comes of that decides. */
	if (c->result.fate == API_REFUSED && gitlab_call(c)->retried)
		c->result.fate = API_WAIT;
	api_report(c);
}

static char *file_url(const char *project, const char *path, const char *sha)
{
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_printf(&b, "%s/repository/files/", project);
	api_put_encoded(&b, path, strlen(path));
	buf_printf(&b, "/raw?ref=%s", sha ? sha : "HEAD");
	return buf_take(&b);
}

/* By its number; one that is only configured by its path, which has to be one part of ours. */
static char *project_url(const struct api_call *c)
{
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_printf(&b, "%s/api/v4/projects/", c->api->url);
	if (c->run.repo_id)
		buf_printf(&b, "%" PRIu64, c->run.repo_id);
	else
		api_put_encoded(&b, c->repo, strlen(c->repo));
	return buf_take(&b);
}

/* By the hour, so that the address stays the same for an hour and its ETag is of use. */
static char *pipelines_url(const struct api_call *c, const char *project)
{
	char at[25];

	text_from_ms(at, c->scan.since_ms > 0 ? c->scan.since_ms : 0);
	return xasprintf("%s/pipelines?updated_after=%.13s:00:00Z&order_by=updated_at&sort=desc"
			 "&per_page=%u&page=%u",
			 project, at, c->scan.page_size, c->page);
}

/* Of the groups that are configured, else whatever the token's user is a member of. */
static char *projects_url(const struct gitlab_call *g)
{
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_printf(&b, "%s/api/v4/", g->call.api->url);
	if (*g->groups) {
		buf_puts(&b, "groups/");
		api_put_encoded(&b, g->groups, strcspn(g->groups, ", "));
		buf_puts(&b, "/projects?include_subgroups=true");
	} else {
		buf_puts(&b, "projects?membership=true");
	}
	buf_printf(&b,
		   "&archived=false&simple=true&order_by=last_activity_at&sort=desc"
		   "&per_page=%d&page=%u",
		   PAGE_MAX, g->call.page);
	return buf_take(&b);
}

static char *url_of(const struct api_call *c)
{
	const struct gitlab_call *g = (const struct gitlab_call *)c;
	OWNED(freep) char *project = project_url(c);

	switch (g->at) {
	case AT_PIPELINES:
		return pipelines_url(c, project);
	case AT_PROJECTS:
		return projects_url(g);
	case AT_PIPELINE:
		return xasprintf("%s/pipelines/%" PRIu64, project, c->run.run_id);
	case AT_JOBS:
		/* The latest of each name: what was retried is not among them. */
		return xasprintf("%s/pipelines/%" PRIu64 "/jobs?per_page=%d&page=%u", project,
				 c->run.run_id, PAGE_MAX, c->page);
	case AT_TRACE:
		return xasprintf("%s/jobs/%" PRIu64 "/trace", project, c->job_id);
	case AT_FILE:
		return file_url(project, c->file, c->file_sha);
	case AT_CANCEL:
		return xasprintf("%s/pipelines/%" PRIu64 "/cancel", project, c->run.run_id);
	case AT_REQUEST:
		if (*c->request.path == '~')
			return xasprintf("%s/api/v4%s", c->api->url, c->request.path + 1);
		return xasprintf("%s%s", project, c->request.path);
	case AT_RETRY:
		break;
	}
	return xasprintf("%s/jobs/%" PRIu64 "/retry", project, g->failed[g->next]);
}

static void request(struct api_call *c)
{
	const struct conf *conf = c->api->conf;
	enum at at = gitlab_call(c)->at;
	const char *method = at == AT_REQUEST                    ? c->request.method
			     : at == AT_RETRY || at == AT_CANCEL ? "POST"
								 : "GET";
	bool writes = strcmp(method, "GET") != 0;
	OWNED(freep) char *url = url_of(c), *known = api_if_news(c);
	OWNED(secret_freep) char *token = xasprintf("PRIVATE-TOKEN: %s", api_secret(c->api));
	struct http_call_options o = {
		.method = method,
		.url = url,
		.headers = { "Accept: application/json", "Cache-Control: no-cache" },
		.timeout_ms = conf_int(conf, "gitlab.timeout"),
		.max_body_bytes = API_JSON_MAX_BYTES,
		.once = writes,
	};

	if (gitlab_call(c)->at == AT_TRACE) {
		o.headers[0] = "Accept: text/plain";
		o.timeout_ms *= API_LOG_TIMEOUT_FACTOR;
		o.keep_tail = true;
		o.max_body_bytes = (size_t)conf_int(conf, "gitlab.log_max");
		o.max_redirects = API_REDIRECTS_MAX;
	}
	if (c->request.body) {
		o.body = c->request.body;
		o.body_len = strlen(o.body);
		o.headers[2] = "Content-Type: application/json";
	}
	if (gitlab_call(c)->at == AT_FILE) {
		o.headers[0] = "Accept: text/plain";
		o.max_body_bytes = API_FILE_MAX_BYTES;
	}
	if (known)
		o.headers[1] = known;
	api_authorize(c, token);
	o.authorization = c->authorization;
	if (writes)
		c->api->last_write_ms = clock_mono_ms();
	c->http = http_call_start(c->api->http, &o, on_reply, c);
}

/* --- the table ------------------------------------------------------------ */

static void start(struct api_call *c)
{
	static const enum at first[] = {
		[ASK_RUN] = AT_PIPELINE,   [ASK_JOBS] = AT_JOBS,     [ASK_LOG] = AT_TRACE,
		[ASK_FILE] = AT_FILE,      [ASK_RERUN] = AT_JOBS,    [ASK_RUNS] = AT_PIPELINES,
		[ASK_REPOS] = AT_PROJECTS, [ASK_CANCEL] = AT_CANCEL, [ASK_REQUEST] = AT_REQUEST,
	};
	const char *groups = conf_str(c->api->conf, "gitlab.groups");

	gitlab_call(c)->at = first[c->ask];
	gitlab_call(c)->groups = groups ? groups + strspn(groups, ", ") : "";
	if (api_limited(c))
		api_report_later(c);
	else
		request(c);
}

/* Paths use the project's number; the name is only for words, and for a first look. */
static bool fits(const struct api_call *c)
{
	if (c->ask == ASK_REPOS)
		return true;
	if (c->ask == ASK_RUNS)
		return c->run.repo_id || *c->repo;
	return c->run.repo_id && c->run.run_id;
}

static const struct api_kind kind = {
	.url_key = "gitlab.url",
	.token_key = "gitlab.token",
	.write_interval_key = "gitlab.write_interval",
	.call_size = sizeof(struct gitlab_call),
	.start = start,
	.fits = fits,
};

static bool configured(const struct conf *conf)
{
	return conf_secret(conf, "gitlab.token", 0) != NULL;
}

static int api_open(struct event_base *base, const struct conf *conf, struct http_client *http,
		    struct api **out, struct err *err)
{
	OWNED(api_closep) struct api *api = xcalloc(1, sizeof(*api));

	if (api_init(api, &kind, base, conf, http, err) < 0)
		return -1;
	if (!configured(conf))
		return err_set(err, ERR_CONFIG, "gitlab.token is not set");
	if (text_ends(api->url, "/api/v4"))
		return err_set(err, ERR_CONFIG,
			       "gitlab.url: the address of GitLab itself, without /api/v4");
	*out = TAKE(api);
	return 0;
}

const struct provider_api provider_api_gitlab = {
	.name = "gitlab",
	.rerun_repeats = true,
	.sources_key = "gitlab.sources",
	.configured = configured,
	.open = api_open,
	.close = api_close,
	.get_run = api_get_run,
	.list_jobs = api_list_jobs,
	.get_log = api_get_log,
	.get_file = api_get_file,
	.rerun_failed_jobs = api_rerun_failed_jobs,
	.cancel_run = api_cancel_run,
	.show = gitlab_show,
	.start_afresh = gitlab_start_afresh,
	.update_branch = gitlab_update_branch,
	.find_afresh = gitlab_find_afresh,
	.get_branch = gitlab_get_branch,
	.find_proposal = gitlab_find_proposal,
	.get_clone = gitlab_get_clone,
	.commit_files = gitlab_commit_files,
	.open_proposal = gitlab_open_proposal,
	.list_runs = api_list_runs,
	.list_repos = api_list_repos,
	.cancel = api_cancel,
	.host = api_host,
};

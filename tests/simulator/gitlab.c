/* GitLab's REST API and webhooks, as much of them as a guard of pipelines needs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/gitlab.h"
#include "tests/simulator/job_log.h"
#include "tests/simulator/js.h"
#include "tests/simulator/reply.h"

enum { PER_PAGE = 20, ANSWER_MAX = 16 << 20 };

/* --- the same world in GitLab's words --------------------------------------- */

static const char *status_of(enum state state, const char *conclusion)
{
	static const char *const pairs[][2] = {
		{ "success", "success" },
		{ "cancelled", "canceled" },
		{ "skipped", "skipped" },
	};

	if (state != STATE_COMPLETED)
		return state == STATE_RUNNING ? "running" : "pending";
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (conclusion && strcmp(pairs[i][0], conclusion) == 0)
			return pairs[i][1];
	return "failed";
}

static const char *gitlab_source(const struct run *r)
{
	static const char *const words[] = { "push", "api", "merge_request_event" };

	return words[r->event];
}

/* The webhook has one also when nothing failed. */
static const char *reason_of(const struct job *j)
{
	if (!j->cause || j->state != STATE_COMPLETED)
		return "unknown_failure";
	if (j->cause->no_failed_step)
		return "runner_system_failure";
	return strcmp(j->conclusion, "timed_out") == 0 ? "job_execution_timeout" : "script_failure";
}

/*
 * The world gives every job of an attempt an id. In GitLab a job that was not retried is the
 * same job, and one that was skipped is only set back.
 */
static uint64_t job_id(const struct run *r, unsigned attempt, unsigned i)
{
	while (attempt > 0) {
		const struct job *j = &r->attempts[attempt]->jobs[i];
		const struct job *before = &r->attempts[attempt - 1]->jobs[i];

		if (!j->carried && before->conclusion && strcmp(before->conclusion, "skipped") != 0)
			break;
		attempt--;
	}
	return r->attempts[attempt]->jobs[i].id;
}

uint64_t gitlab_generation(const struct run *r)
{
	uint64_t highest = 0;

	for (unsigned i = 0; i < run_last(r)->n_jobs; i++) {
		uint64_t id = job_id(r, r->n_attempts - 1, i);

		highest = id > highest ? id : highest;
	}
	return highest;
}

static const char *stage_of(const struct job *j)
{
	static const char *const names[] = { "report", "lint", "build", "test", "deploy", "none" };

	return names[j->kind];
}

static void put_runner(struct buf *b, const struct job *j)
{
	if (j->state == STATE_QUEUED) {
		js_null(b, "runner");
		return;
	}
	js_open(b, "runner", '{');
	js_u64(b, "id", 12);
	js_str(b, "description", "shared-runner-12");
	js_bool(b, "active", true);
	js_close(b, '}');
}

static void put_job(struct buf *b, const struct sim *sim, const struct run *r, unsigned i)
{
	const struct job *j = &run_last(r)->jobs[i];
	const char *status = status_of(j->state, j->conclusion);
	uint64_t id = job_id(r, r->n_attempts - 1, i);

	js_open(b, NULL, '{');
	js_u64(b, "id", id);
	js_str(b, "status", status);
	js_str(b, "stage", stage_of(j));
	js_str(b, "name", j->name);
	js_str(b, "ref", r->branch);
	js_bool(b, "tag", false);
	js_bool(b, "allow_failure", false);
	js_time(b, "created_at", j->created_ms);
	js_time(b, "started_at", j->started_ms);
	js_time(b, "finished_at", j->completed_ms);
	if (strcmp(status, "failed") == 0)
		js_str(b, "failure_reason", reason_of(j));
	js_open(b, "pipeline", '{');
	js_u64(b, "id", r->id);
	js_u64(b, "project_id", r->repo->id);
	js_str(b, "sha", r->sha);
	js_close(b, '}');
	put_runner(b, j);
	js_url(b, "web_url", "%s/%s/-/jobs/%" PRIu64, sim->url, r->repo->full_name, id);
	js_close(b, '}');
}

/* --- webhooks --------------------------------------------------------------- */

/* "2016-08-12 15:23:28 UTC": not ISO 8601. */
static void put_time(struct buf *b, const char *key, int64_t at_ms)
{
	char iso[25];

	if (!at_ms) {
		js_null(b, key);
		return;
	}
	text_from_ms(iso, at_ms);
	js_url(b, key, "%.10s %.8s UTC", iso, iso + 11);
}

static void put_project(struct buf *b, const struct sim *sim, const struct run *r)
{
	const char *name = strrchr(r->repo->full_name, '/');

	js_open(b, "project", '{');
	js_u64(b, "id", r->repo->id);
	js_str(b, "name", name ? name + 1 : r->repo->full_name);
	js_str(b, "path_with_namespace", r->repo->full_name);
	js_str(b, "default_branch", "main");
	js_url(b, "web_url", "%s/%s", sim->url, r->repo->full_name);
	js_close(b, '}');
}

static void put_user(struct buf *b, const struct attempt *a)
{
	js_open(b, "user", '{');
	js_u64(b, "id", 42);
	js_str(b, "name", a->actor);
	js_str(b, "username", a->actor);
	js_str(b, "email", "[REDACTED]");
	js_close(b, '}');
}

static void put_build(struct buf *b, const struct run *r, unsigned i)
{
	const struct job *j = &run_last(r)->jobs[i];
	const char *status = status_of(j->state, j->conclusion);

	js_open(b, NULL, '{');
	js_u64(b, "id", job_id(r, r->n_attempts - 1, i));
	js_str(b, "stage", stage_of(j));
	js_str(b, "name", j->name);
	js_str(b, "status", status);
	put_time(b, "created_at", j->created_ms);
	put_time(b, "started_at", j->started_ms);
	put_time(b, "finished_at", j->completed_ms);
	if (strcmp(status, "failed") == 0)
		js_str(b, "failure_reason", reason_of(j));
	js_bool(b, "manual", false);
	js_bool(b, "allow_failure", false);
	put_runner(b, j);
	js_close(b, '}');
}

static void put_pipeline(struct buf *b, const struct sim *sim, const struct run *r)
{
	const struct attempt *a = run_last(r);
	const char *status = status_of(a->state, a->conclusion);

	js_open(b, "object_attributes", '{');
	js_u64(b, "id", r->id);
	js_u64(b, "iid", r->number);
	js_null(b, "name");
	js_str(b, "ref", r->branch);
	js_bool(b, "tag", false);
	js_str(b, "sha", r->sha);
	js_str(b, "before_sha", "0000000000000000000000000000000000000000");
	js_str(b, "source", gitlab_source(r));
	js_str(b, "status", status);
	js_str(b, "detailed_status", strcmp(status, "success") == 0 ? "passed" : status);
	js_raw(b, "stages", "[\"lint\",\"build\",\"test\",\"report\"]");
	put_time(b, "created_at", r->created_ms);
	put_time(b, "finished_at", a->state == STATE_COMPLETED ? a->updated_ms : 0);
	js_i64(b, "duration", 3);
	/* What a person typed in; it is nobody's business here. */
	js_raw(b, "variables", "[{\"key\":\"DEPLOY_KEY\",\"value\":\"hunter2-sim\"}]");
	js_url(b, "url", "%s/%s/-/pipelines/%" PRIu64, sim->url, r->repo->full_name, r->id);
	js_close(b, '}');
}

static void put_merge_request(struct buf *b, const struct run *r)
{
	if (!r->proposal) {
		js_null(b, "merge_request");
		return;
	}
	js_open(b, "merge_request", '{');
	js_u64(b, "id", r->repo->id * 1000 + r->proposal);
	js_u64(b, "iid", r->proposal);
	js_str(b, "source_branch", r->branch);
	js_u64(b, "source_project_id", r->repo->id + r->of_fork);
	js_str(b, "target_branch", r->base);
	js_u64(b, "target_project_id", r->repo->id);
	js_str(b, "state", "opened");
	js_close(b, '}');
}

void gitlab_pipeline_hook(struct buf *b, const struct sim *sim, const struct run *r)
{
	const struct attempt *a = run_last(r);

	js_open(b, NULL, '{');
	js_str(b, "object_kind", "pipeline");
	put_pipeline(b, sim, r);
	put_merge_request(b, r);
	put_user(b, a);
	put_project(b, sim, r);
	js_open(b, "commit", '{');
	js_str(b, "id", r->sha);
	js_str(b, "message", r->title);
	js_close(b, '}');
	js_open(b, "builds", '[');
	for (unsigned i = a->n_jobs; i-- > 0;)
		put_build(b, r, i);
	js_close(b, ']');
	js_close(b, '}');
	(void)js_done(b);
}

void gitlab_job_hook(struct buf *b, const struct sim *sim, const struct run *r, const struct job *j)
{
	const struct attempt *a = run_last(r);

	js_open(b, NULL, '{');
	js_str(b, "object_kind", "build");
	js_str(b, "ref", r->branch);
	js_bool(b, "tag", false);
	js_str(b, "sha", r->sha);
	js_u64(b, "build_id", job_id(r, r->n_attempts - 1, (unsigned)(j - a->jobs)));
	js_str(b, "build_name", j->name);
	js_str(b, "build_stage", stage_of(j));
	js_str(b, "build_status", status_of(j->state, j->conclusion));
	put_time(b, "build_created_at", j->created_ms);
	put_time(b, "build_started_at", j->started_ms);
	put_time(b, "build_finished_at", j->completed_ms);
	js_bool(b, "build_allow_failure", false);
	js_str(b, "build_failure_reason", reason_of(j));
	js_u64(b, "pipeline_id", r->id);
	js_i64(b, "retries_count", 0);
	js_u64(b, "project_id", r->repo->id);
	js_str(b, "project_name", "Group / Name");
	put_user(b, a);
	/* The pipeline's id, whatever it is called. */
	js_open(b, "commit", '{');
	js_u64(b, "id", r->id);
	js_str(b, "sha", r->sha);
	js_close(b, '}');
	put_project(b, sim, r);
	js_close(b, '}');
	(void)js_done(b);
}

/* --- REST -------------------------------------------------------------------- */

void gitlab_refuse(struct ask *a, int status, const char *message)
{
	char body[256];

	(void)snprintf(body, sizeof(body), "{\"message\":\"%s\"}", message);
	ask_reply_json(a, status, body);
}

void gitlab_reply_pipeline(struct ask *a, int status, const struct run *r)
{
	const struct attempt *last = run_last(r);
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_u64(&b, "id", r->id);
	js_u64(&b, "iid", r->number);
	js_u64(&b, "project_id", r->repo->id);
	js_str(&b, "sha", r->sha);
	js_str(&b, "ref", r->branch);
	js_str(&b, "status", status_of(last->state, last->conclusion));
	js_str(&b, "source", gitlab_source(r));
	js_time(&b, "created_at", r->created_ms);
	js_time(&b, "updated_at", last->updated_ms);
	js_url(&b, "web_url", "%s/%s/-/pipelines/%" PRIu64, a->sim->url, r->repo->full_name, r->id);
	js_close(&b, '}');
	ask_reply_json(a, status, js_done(&b));
	buf_done(&b);
}

static void get_pipeline(struct ask *a, struct run *r, unsigned job)
{
	UNUSED(job);
	gitlab_reply_pipeline(a, 200, r);
}

/* Newest first. */
static void list_jobs(struct ask *a, struct run *r, unsigned job)
{
	struct page p = ask_page(a, PER_PAGE);
	uint64_t n = run_last(r)->n_jobs, from = (p.number - 1) * p.per_page;
	struct buf b;

	UNUSED(job);
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	for (uint64_t i = from; i < n && i < from + p.per_page; i++)
		put_job(&b, a->sim, r, (unsigned)(n - 1 - i));
	js_close(&b, ']');
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

static void get_job(struct ask *a, struct run *r, unsigned job)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	put_job(&b, a->sim, r, job);
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

/* Empty while there is none, and after it was erased. */
static void get_trace(struct ask *a, struct run *r, unsigned job)
{
	const struct job *j = &run_last(r)->jobs[job];
	struct buf b;

	buf_init(&b, JOB_LOG_MAX);
	r->log_reads++;
	if (j->state == STATE_COMPLETED && !r->logs_expired)
		job_log_write(&b, r, j, (unsigned)a->sim->opt.noise);
	ask_reply(a, 200, "text/plain", buf_text(&b), b.len);
	buf_done(&b);
}

static void retry_job(struct ask *a, struct run *r, unsigned job)
{
	const struct job *j = &run_last(r)->jobs[job];
	bool retryable = j->state == STATE_COMPLETED && !j->carried &&
			 strcmp(j->conclusion, "success") != 0 &&
			 strcmp(j->conclusion, "skipped") != 0 &&
			 a->ids[1] == job_id(r, r->n_attempts - 1, job);
	struct buf b;

	if (!retryable)
		r->rerun_refused++;
	if (!retryable || sim_rerun(a->sim, r, true, ACTOR_API) != RERUN_ACCEPTED) {
		gitlab_refuse(a, 403, "403 Forbidden  - Job is not retryable");
		return;
	}
	buf_init(&b, ANSWER_MAX);
	put_job(&b, a->sim, r, job);
	ask_reply_json(a, 201, js_done(&b));
	buf_done(&b);
}

/* --- lists --------------------------------------------------------------------- */

static int64_t updated_since(struct ask *a)
{
	char text[48];
	int64_t ms;

	if (!http_request_query(a->http, "updated_after", text, sizeof(text)))
		return 0;
	ms = text_iso8601_ms(text);
	return ms > 0 ? ms : 0;
}

/* With milliseconds, unlike its webhooks. */
static void put_exact_time(struct buf *b, const char *key, int64_t at_ms)
{
	char iso[25];

	text_from_ms(iso, at_ms);
	js_str(b, key, iso);
}

/* As in the list: it knows of no jobs. */
static void put_listed(struct buf *b, const struct sim *sim, const struct run *r)
{
	const struct attempt *last = run_last(r);

	js_open(b, NULL, '{');
	js_u64(b, "id", r->id);
	js_u64(b, "iid", r->number);
	js_u64(b, "project_id", r->repo->id);
	js_str(b, "sha", r->sha);
	js_str(b, "ref", r->branch);
	js_str(b, "status", status_of(last->state, last->conclusion));
	js_str(b, "source", gitlab_source(r));
	put_exact_time(b, "created_at", r->created_ms);
	put_exact_time(b, "updated_at", last->updated_ms);
	js_url(b, "web_url", "%s/%s/-/pipelines/%" PRIu64, sim->url, r->repo->full_name, r->id);
	js_null(b, "name");
	js_close(b, '}');
}

static int by_update(const void *a, const void *b)
{
	const struct run *x = *(struct run *const *)a, *y = *(struct run *const *)b;
	int64_t at = run_last(x)->updated_ms, bt = run_last(y)->updated_ms;

	return (at < bt) - (at > bt);
}

/* The list of one page as an answer with Link and ETag, which is counted like any other. */
static void reply_list(struct ask *a, const struct page *p, uint64_t total, struct buf *rows)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	buf_append(&b, buf_text(rows), rows->len);
	js_close(&b, ']');
	(void)js_done(&b);
	ask_link(a, p, total);
	ask_reply_cached(a, buf_text(&b), b.len, false);
	buf_done(&b);
	buf_done(rows);
}

/* What the query does not name passes. */
static bool passes(struct ask *a, const char *name, const char *value)
{
	char want[NAME_MAX_BYTES];

	return !http_request_query(a->http, name, want, sizeof(want)) || strcmp(want, value) == 0;
}

/* Those of a project, last changed first. */
static void list_pipelines(struct ask *a, struct run *none, unsigned job)
{
	struct world *w = a->sim->world;
	size_t most = world_count(w) - world_first(w), n = 0;
	OWNED(freep) struct run **runs = xcalloc(most + 1, sizeof(struct run *));
	struct page p = ask_page(a, PER_PAGE);
	uint64_t from = (p.number - 1) * p.per_page;
	int64_t since = updated_since(a);
	struct buf rows;

	UNUSED(none);
	UNUSED(job);
	for (size_t i = world_first(w); i < world_count(w); i++) {
		struct run *r = world_at(w, i);

		if (r->flavour == FLAVOUR_GITLAB && r->repo->id == a->ids[0] &&
		    run_last(r)->updated_ms >= since && passes(a, "sha", r->sha) &&
		    passes(a, "ref", r->branch) && passes(a, "source", gitlab_source(r)) &&
		    passes(a, "username", r->attempts[0]->actor))
			runs[n++] = r;
	}
	qsort(runs, n, sizeof(struct run *), by_update);
	buf_init(&rows, ANSWER_MAX);
	for (uint64_t i = from; i < n && i < from + p.per_page; i++)
		put_listed(&rows, a->sim, runs[i]);
	reply_list(a, &p, n, &rows);
}

static bool in_group(const struct repo *r, const char *group)
{
	size_t n = strlen(group);

	return !n || (strncmp(r->full_name, group, n) == 0 && r->full_name[n] == '/');
}

/* Of a group, or all that the token's user is a member of. */
static void list_projects(struct ask *a, struct run *none, unsigned job)
{
	struct page p = ask_page(a, PER_PAGE);
	uint64_t from = (p.number - 1) * p.per_page, seen = 0;
	const struct repo *r;
	struct buf rows;

	UNUSED(none);
	UNUSED(job);
	buf_init(&rows, ANSWER_MAX);
	for (size_t i = 0; (r = world_repo_at(a->sim->world, i)) != NULL; i++) {
		if (!repo_seen_by(r, FLAVOUR_GITLAB) || r->access == REPO_HIDDEN ||
		    !in_group(r, a->repo))
			continue;
		if (seen >= from && seen < from + p.per_page) {
			js_open(&rows, NULL, '{');
			js_u64(&rows, "id", r->id);
			js_str(&rows, "path_with_namespace", r->full_name);
			js_str(&rows, "default_branch", "main");
			js_close(&rows, '}');
		}
		seen++;
	}
	reply_list(a, &p, seen, &rows);
}

/* What is over stays so; the answer is the pipeline in any case. */
static void cancel_pipeline(struct ask *a, struct run *r, unsigned job)
{
	(void)run_cancel(r, false);
	get_pipeline(a, r, job);
}

static const struct gitlab_route routes[] = {
	{ "GET", PROJECT "/pipelines/{n}", CALL_GET_RUN, get_pipeline, ABOUT_PIPELINE, false },
	{ "GET", PROJECT "/pipelines/{n}/jobs", CALL_LIST_JOBS, list_jobs, ABOUT_PIPELINE, false },
	{ "GET", PROJECT "/jobs/{n}", CALL_OTHER, get_job, ABOUT_JOB, false },
	{ "GET", PROJECT "/jobs/{n}/trace", CALL_LOG, get_trace, ABOUT_JOB, false },
	{ "POST", PROJECT "/pipelines/{n}/cancel", CALL_CANCEL, cancel_pipeline, ABOUT_PIPELINE,
	  true },
	{ "POST", PROJECT "/jobs/{n}/retry", CALL_RERUN, retry_job, ABOUT_JOB, true },
	{ "GET", PROJECT "/pipelines", CALL_LIST_RUNS, list_pipelines, ABOUT_PROJECT, false },
	{ "GET", "/api/v4/projects/{p}/pipelines", CALL_LIST_RUNS, list_pipelines, ABOUT_PROJECT,
	  false },
	{ "GET", "/api/v4/projects", CALL_LIST_REPOS, list_projects, ABOUT_ALL, false },
	{ "GET", "/api/v4/groups/{p}/projects", CALL_LIST_REPOS, list_projects, ABOUT_ALL, false },
};

static bool fits(struct ask *a, const char *want)
{
	const char *path = a->http->path;
	unsigned n = 0;

	a->ids[0] = a->ids[1] = 0;
	a->repo[0] = a->rest[0] = '\0';
	while (*want) {
		if (text_starts(want, "{p}") || text_starts(want, "{f}")) {
			size_t rest = strlen(want + 3), len = strlen(path);
			bool file = want[1] == 'f';

			if (len <= rest ||
			    !text_copy(file ? a->rest : a->repo,
				       file ? sizeof(a->rest) : sizeof(a->repo), path, len - rest))
				return false;
			want += 3;
			path += len - rest;
		} else if (text_starts(want, "{n}")) {
			char digits[24];
			size_t len = strspn(path, "0123456789");

			if (n == ARRAY_LEN(a->ids) ||
			    !text_copy(digits, sizeof(digits), path, len) ||
			    !text_to_u64(digits, &a->ids[n++]))
				return false;
			want += 3;
			path += len;
		} else if (*want++ != *path++) {
			return false;
		}
	}
	return !*path;
}

static const struct gitlab_route *find_route(struct ask *a)
{
	const struct gitlab_route *const tables[] = { routes, gitlab_git_routes };
	const size_t sizes[] = { ARRAY_LEN(routes), n_gitlab_git_routes };

	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (size_t i = 0; i < sizes[t]; i++)
			if (strcmp(tables[t][i].method, a->http->method) == 0 &&
			    fits(a, tables[t][i].path))
				return &tables[t][i];
	return NULL;
}

/* The run, and for a job its place in it; a job that was retried is found by its old id too. */
static struct run *run_of(struct ask *a, const struct gitlab_route *route, unsigned *job)
{
	struct run *r;
	unsigned attempt;
	const struct job *j;

	*job = 0;
	if (route->about == ABOUT_PROJECT || route->about == ABOUT_ALL)
		return NULL;
	if (route->about == ABOUT_PIPELINE) {
		r = world_find(a->sim->world, a->ids[1]);
	} else {
		j = world_find_job(a->sim->world, a->ids[1], &r, &attempt);
		if (!j)
			return NULL;
		*job = (unsigned)(j - r->attempts[attempt - 1]->jobs);
	}
	return r && r->flavour == FLAVOUR_GITLAB && r->repo->id == a->ids[0] ? r : NULL;
}

static bool identify(struct ask *a)
{
	const char *token = http_request_header(a->http, "PRIVATE-TOKEN"), *why;
	OWNED(freep) char *line = token ? xasprintf("Bearer %s", token) : NULL;

	return access_identify(a->sim->access, line, &a->caller, &why) == 0;
}

/* What a list is of; it is there when it has a project, or needs none. */
static bool find_project(struct ask *a, const struct gitlab_route *route, const struct repo **out)
{
	if (route->about != ABOUT_PROJECT)
		return route->about == ABOUT_ALL;
	*out = *a->repo ? world_find_repo(a->sim->world, a->repo)
			: world_repo_by_id(a->sim->world, a->ids[0]);
	if (*out)
		a->ids[0] = (*out)->id;
	return *out && repo_seen_by(*out, FLAVOUR_GITLAB);
}

static void limit_headers(struct ask *a)
{
	const struct meter *m = a->caller.meter;
	const struct {
		const char *name;
		int64_t value;
	} rows[] = {
		{ "RateLimit-Limit", m->limit },
		{ "RateLimit-Observed", m->used },
		{ "RateLimit-Remaining", m->limit - m->used },
		{ "RateLimit-Reset", m->reset_ms / 1000 },
	};
	char text[24];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)snprintf(text, sizeof(text), "%" PRId64, rows[i].value);
		http_reply_header(a->http, rows[i].name, text);
	}
}

static void serve(struct ask *a)
{
	const struct gitlab_route *route = find_route(a);
	unsigned job = 0;
	struct run *r = route ? run_of(a, route, &job) : NULL;
	const struct repo *repo = r ? r->repo : NULL;
	bool found = r || (route && find_project(a, route, &repo)), taken;
	char wait[24];

	if (ask_fault(a, route ? route->call : CALL_OTHER, r ? r->id : 0))
		return;
	if (!identify(a)) {
		gitlab_refuse(a, 401, "401 Unauthorized");
		return;
	}
	taken = meter_take(a->caller.meter, clock_wall_ms());
	limit_headers(a);
	if (!taken) {
		(void)snprintf(wait, sizeof(wait), "%" PRId64,
			       (a->caller.meter->reset_ms - clock_wall_ms() + 999) / 1000);
		http_reply_header(a->http, "Retry-After", wait);
		ask_reply(a, 429, "text/plain", "Retry later\n", 12);
		return;
	}
	if (!found || (repo && repo->access == REPO_HIDDEN))
		gitlab_refuse(a, 404, route && !found ? "404 Not found" : "404 Project Not Found");
	else if (route->write && a->sim->gitlab_read_api)
		ask_reply_json(
			a, 403,
			"{\"error\":\"insufficient_scope\",\"error_description\":\"The request "
			"requires higher privileges than provided by the access token.\","
			"\"scope\":\"api\"}");
	else if (route->write && repo && repo->access != REPO_WRITE)
		gitlab_refuse(a, 403, "403 Forbidden");
	else
		route->serve(a, r, job);
}

bool gitlab_serve(struct sim *sim, struct http_request *http)
{
	if (!text_starts(http->path, "/api/v4/"))
		return false;
	sim->api_requests++;
	ask_start(ask_new(sim, http, serve), sim->opt.latency_ms);
	return true;
}

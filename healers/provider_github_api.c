#include "healers/provider_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "core/buf.h"
#include "core/ci_event.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/http_client.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/tail_buf.h"
#include "core/text.h"
#include "healers/api_core.h"
#include "healers/github_afresh.h"
#include "healers/github_auth.h"
#include "healers/github_change.h"
#include "healers/github_json.h"
#include "healers/github_reply.h"
#include "healers/run_archive.h"

enum {
	PAGE_MAX = 100, /* GitHub's maximum */
	HOOK_PAGES_MAX = 5,
	FILE_URL_MAX = 8 << 10,
	CACHES_MAX = 20,          /* deleted for one run */
	CACHE_USE_MS = 60 * 1000, /* a run may look for its caches before it says that it began */
};

struct github {
	struct api api;
	struct github_auth *auth;
	bool app;
};

struct github_call {
	struct api_call call;
	struct github_wait *wait;

	/* ASK_REPOS: the installations of the App are listed first, then what each can see. */
	uint64_t installations[PAGE_MAX];
	unsigned n_installations, at;
	bool listed;

	/* ASK_CLEAR: the run, then which caches it used, then the end of each. */
	char branch[200], pull[48]; /* as refs; pull: "" when it is for none */
	int64_t began_ms;
	uint64_t caches[CACHES_MAX];
	unsigned n_caches, deleted;

	const char *body, *sha; /* ASK_SHOW; in the arena */
	const char *actor;      /* ASK_RUN: who ran it again; in the arena */

	/* ASK_ARCHIVE: what it is unpacked from and into, a step in each turn of the loop. */
	struct tail_buf zip, log;
	struct run_archive *archive;
	struct event *turn;
};

static const char path_app[] = "~/app"; /* which an App asks in its own name */

static struct github_call *github_call(struct api_call *c)
{
	return (struct github_call *)c;
}

static struct github *github_of(const struct api_call *c)
{
	return (struct github *)c->api;
}

static const char *need_of(const struct api_call *c)
{
	if (c->request.need)
		return c->request.need;
	switch (c->ask) {
	case ASK_RUN:
	case ASK_JOBS:
	case ASK_LOG:
	case ASK_ARCHIVE:
	case ASK_RUNS:
	case ASK_REPOS:
	case ASK_CLEAR:
	case ASK_CACHES:
	case ASK_REQUEST: /* says it itself */
		break;
	case ASK_FILE:
		return "contents: read";
	case ASK_RERUN:
	case ASK_RERUN_ALL:
	case ASK_UNCACHE:
	case ASK_CANCEL:
		return "actions: write";
	case ASK_SHOW:
		return "checks: write, or of a token commit statuses: write";
	case ASK_HOOKS:
	case ASK_DELIVERIES:
		return "repository hooks: read";
	case ASK_REDELIVER:
		return "repository hooks: write";
	}
	return "actions: read";
}

/* What the token of an App must be for. */
static enum github_grant grant_of(const struct api_call *c)
{
	enum api_ask ask = c->ask;

	if (ask == ASK_SHOW)
		return GRANT_SHOW;
	if (ask == ASK_REQUEST && c->of_runs)
		return c->writes ? GRANT_ACT : GRANT_READ;
	if (ask == ASK_REQUEST || (ask == ASK_FILE && c->file_sha))
		return c->change.ci_files ? GRANT_CHANGE_CI : GRANT_CHANGE;
	return ask == ASK_RERUN || ask == ASK_RERUN_ALL || ask == ASK_CLEAR || ask == ASK_CACHES ||
			       ask == ASK_UNCACHE || ask == ASK_CANCEL
		       ? GRANT_ACT
		       : GRANT_READ;
}

/* An App's hook is no repository's, nor are its installations: it asks in its own name. */
static bool for_app(const struct api_call *c)
{
	if (c->ask == ASK_REPOS)
		return !((const struct github_call *)c)->listed;
	if (c->ask == ASK_REQUEST)
		return strcmp(c->request.path, path_app) == 0;
	return (c->ask == ASK_DELIVERIES || c->ask == ASK_REDELIVER) && !c->scan.hook;
}

static void drop(struct api_call *c)
{
	struct github_call *g = github_call(c);

	github_auth_cancel(g->wait);
	run_archive_free(g->archive);
	tail_buf_done(&g->zip);
	tail_buf_done(&g->log);
	if (g->turn)
		event_free(g->turn);
}

static void count(const struct http_reply *r, void *arg)
{
	api_count(arg, r);
}

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

static bool fits(const struct api_call *c)
{
	return c->ask == ASK_REPOS || repo_ok(c->repo);
}

/* --- reading answers ---------------------------------------------------- */

static bool read_run(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	int64_t generation = json_i64(o, "run_attempt", 0);

	if ((uint64_t)json_i64(o, "id", 0) != c->run.run_id || generation < 1) {
		api_garbled(c, r->status, "a workflow run");
		return false;
	}
	c->result.generation = (uint64_t)generation;
	c->result.status = json_str(o, "status", "");
	c->result.conclusion = json_str(o, "conclusion", "");
	c->result.ci_file = json_str(o, "path", NULL);
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

static void read_job(struct api_call *c, struct api_job *job, struct json_object *o)
{
	*job = (struct api_job){
		.id = (uint64_t)json_i64(o, "id", 0),
		.name = arena_strdup(c->arena, json_str(o, "name", "")),
		.status = arena_strdup(c->arena, json_str(o, "status", "")),
		.conclusion = arena_strdup(c->arena, json_str(o, "conclusion", "")),
		.started_at_ms = time_at(o, "started_at"),
		.completed_at_ms = time_at(o, "completed_at"),
		.runner = arena_strdup(c->arena, json_str(o, "runner_name", "")),
		.stage = "",
		.failure_reason = "",
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
		api_garbled(c, r->status, "a list of jobs");
		return true;
	}
	n = json_object_array_length(jobs);
	for (size_t i = 0; i < n; i++) {
		struct api_job *job = api_add_job(c);

		if (!job)
			break;
		read_job(c, job, json_object_array_get_idx(jobs, i));
	}
	if (n >= PAGE_MAX && c->result.n_jobs < API_JOBS_MAX &&
	    (total <= 0 || (int64_t)c->result.n_jobs < total))
		return false;
	if (total > (int64_t)c->result.n_jobs && c->result.n_jobs == API_JOBS_MAX)
		c->result.more_jobs = true;
	return true;
}

static void read_events(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct json_object *runs = json_at(o, "workflow_runs");
	size_t n;

	if (!json_object_is_type(runs, json_type_array)) {
		api_garbled(c, r->status, "a list of runs");
		return;
	}
	n = json_object_array_length(runs);
	c->result.more = n >= c->scan.page_size;
	for (size_t i = 0; i < n; i++) {
		struct json_object *run = json_object_array_get_idx(runs, i);
		struct ci_event ev, *room;

		if (!github_run_event(run, &ev) || !repo_ok(ev.repo))
			continue; /* of a kind that webhooks do not tell either */
		room = api_add_event(c, PAGE_MAX);
		if (room)
			*room = ev;
	}
}

/* True: there is another page. */
static bool read_hooks(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	size_t n = json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;
	unsigned had = c->result.n_hooks;
	struct api_hook *hooks = arena_alloc(c->arena, (had + n + 1) * sizeof(*hooks));

	if (!json_object_is_type(o, json_type_array))
		api_garbled(c, r->status, "a list of hooks");
	for (unsigned i = 0; i < had; i++)
		hooks[i] = c->result.hooks[i];
	for (size_t i = 0; i < n; i++)
		if (github_hook_read(json_object_array_get_idx(o, i), c->arena,
				     &hooks[c->result.n_hooks]))
			c->result.n_hooks++;
	c->result.hooks = hooks;
	/* The ETag of one page says nothing of the others. */
	if (c->page > 1)
		c->result.etag = "";
	return n >= PAGE_MAX && ++c->page <= HOOK_PAGES_MAX;
}

static void read_deliveries(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	size_t n = json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;
	struct api_delivery *list = arena_alloc(c->arena, (n + 1) * sizeof(*list));
	char cursor[API_CURSOR_MAX];

	if (!json_object_is_type(o, json_type_array))
		api_garbled(c, r->status, "a list of deliveries");
	for (size_t i = 0; i < n; i++)
		if (github_delivery_read(json_object_array_get_idx(o, i), c->arena,
					 &list[c->result.n_deliveries]))
			c->result.n_deliveries++;
	github_next_cursor(r->link, cursor, sizeof(cursor));
	c->result.deliveries = list;
	c->result.cursor = arena_strdup(c->arena, cursor);
	c->result.more = *cursor;
}

static void read_installations(struct api_call *c, const struct http_reply *r,
			       struct json_object *o)
{
	struct github_call *g = github_call(c);
	size_t n = json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;

	if (!json_object_is_type(o, json_type_array))
		api_garbled(c, r->status, "a list of installations");
	for (size_t i = 0; i < n && g->n_installations < PAGE_MAX; i++) {
		struct json_object *one = json_object_array_get_idx(o, i);
		int64_t id = json_i64(one, "id", 0);

		/* A suspended one gives no tokens. */
		if (id > 0 && !json_at(one, "suspended_at"))
			g->installations[g->n_installations++] = (uint64_t)id;
	}
	g->listed = true;
	c->run.installation = g->n_installations ? g->installations[0] : 0;
	c->result.more = n >= PAGE_MAX;
}

static void read_repo(struct api_call *c, struct json_object *o)
{
	const char *name = json_str(o, "full_name", "");
	int64_t id = json_i64(o, "id", 0);
	struct api_repo *repo;

	/* Nothing runs in an archive. */
	if (id <= 0 || !repo_ok(name) || json_flag(o, "archived", false))
		return;
	repo = api_add_repo(c);
	if (repo)
		*repo = (struct api_repo){ .name = arena_strdup(c->arena, name),
					   .id = (uint64_t)id,
					   .installation = c->run.installation,
					   .state = "" };
}

/* True: there is another page, or another installation. */
static bool read_repos(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct json_object *list = json_at(o, "repositories");
	struct github_call *g = github_call(c);
	size_t n;

	if (!g->listed) {
		read_installations(c, r, o);
		return g->n_installations > 0;
	}
	if (!json_object_is_type(list, json_type_array)) {
		api_garbled(c, r->status, "a list of repositories");
		return false;
	}
	n = json_object_array_length(list);
	for (size_t i = 0; i < n; i++)
		read_repo(c, json_object_array_get_idx(list, i));
	if (c->result.n_repos == c->scan.page_size) {
		c->result.more = true;
		return false;
	}
	c->page++;
	if (n >= PAGE_MAX)
		return true;
	c->page = 1;
	if (++g->at == g->n_installations)
		return false;
	c->run.installation = g->installations[g->at];
	return true;
}

/* --- one request -------------------------------------------------------- */

static void ask_token(struct api_call *c);

static void next_request(struct api_call *c)
{
	api_authorize(c, NULL);
	ask_token(c);
}

/* --- whose re-run it is ---------------------------------------------------- */

static void take_self(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *slug = json_str(o, "slug", "");
	char bot[80] = "";

	if (*slug)
		(void)snprintf(bot, sizeof(bot), "%.70s[bot]", slug);
	api_take_self(c, r, github_of(c)->app ? bot : json_str(o, "login", ""));
}

bool github_ask_self(struct api_call *c, void (*knowing)(struct api_call *),
		     struct api_request *request)
{
	c->of_runs = true;
	return api_ask_self(c, knowing, github_of(c)->app ? path_app : "~/user", take_self,
			    request);
}

static void compare_actor(struct api_call *c)
{
	c->result.foreign = api_is_foreign(c->api, github_call(c)->actor);
	api_report(c);
}

/* True: another answer is needed before it can be said. */
static bool ask_whose(struct api_call *c, struct json_object *o)
{
	const char *actor = json_str(o, "triggering_actor.login", "");
	struct api_request who;

	if (!*actor || !c->run.generation || c->result.generation <= c->run.generation)
		return false;
	if (!c->arena)
		c->arena = arena_new();
	github_call(c)->actor = arena_strdup(c->arena, actor);
	if (!github_ask_self(c, compare_actor, &who)) {
		c->result.foreign = api_is_foreign(c->api, actor);
		return false;
	}
	/* They belong to this answer, and the report comes after another. */
	c->result.status = arena_strdup(c->arena, c->result.status);
	c->result.conclusion = arena_strdup(c->arena, c->result.conclusion);
	c->result.ci_file = NULL;
	c->ask = ASK_REQUEST;
	api_request(c, &who);
	return true;
}

/* Roles of an organisation's own making are told as what they are made from, maintain as write. */
static void take_right(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *may = json_str(o, "permission", "");

	if (api_ended(c, r, *may, "a permission"))
		return;
	c->result.may_write = strcmp(may, "admin") == 0 || strcmp(may, "write") == 0;
	api_report(c);
}

static struct api_call *get_right(struct api *api, const struct api_run *run, const char *person,
				  api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_requests(api, run, fn, arg);
	struct buf b;

	buf_init(&b, FILE_URL_MAX);
	buf_puts(&b, "/collaborators/");
	api_put_encoded(&b, person, strlen(person));
	buf_puts(&b, "/permission");
	c->of_runs = true;
	c->request = (struct api_request){ .method = "GET",
					   .path = api_body(c, &b),
					   .need = "metadata: read",
					   .take = take_right };
	return api_submit(c);
}

/* --- the caches of a run ------------------------------------------------- */

/* What it could restore: of its own branch, of its pull request, of the default branch. */
static void read_reach(struct api_call *c, struct json_object *o)
{
	struct github_call *g = github_call(c);
	int64_t pull = json_i64(o, "pull_requests.0.number", 0);

	(void)snprintf(g->branch, sizeof(g->branch), "refs/heads/%.180s",
		       json_str(o, "head_branch", ""));
	g->began_ms = time_at(o, "run_started_at");
	if (pull > 0)
		(void)snprintf(g->pull, sizeof(g->pull), "refs/pull/%" PRId64 "/merge", pull);
	else if (text_starts(json_str(o, "event", ""), "pull_request"))
		(void)snprintf(g->pull, sizeof(g->pull), "refs/pull/");
}

static void take_used(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	if (!read_run(c, r, o)) {
		api_report(c);
		return;
	}
	if (c->result.generation != c->run.generation ||
	    strcmp(c->result.status, "completed") != 0) {
		api_say(&c->result, API_WAIT, r->status, -1, "the run is already running again");
		api_report(c);
		return;
	}
	read_reach(c, o);
	/* They belong to this answer, and the report comes after others. */
	c->result.status = c->result.conclusion = "";
	c->result.ci_file = NULL;
	c->ask = ASK_CACHES;
	next_request(c);
}

static bool used_by_run(const struct github_call *g, struct json_object *cache)
{
	const char *ref = json_str(cache, "ref", "");

	if (time_at(cache, "last_accessed_at") < g->began_ms - CACHE_USE_MS)
		return false;
	if (strcmp(ref, g->branch) == 0)
		return true;
	if (text_starts(ref, "refs/heads/"))
		return *g->call.default_branch &&
		       strcmp(ref + strlen("refs/heads/"), g->call.default_branch) == 0;
	/* Of a fork's pull request nobody says the number. */
	return *g->pull &&
	       (text_ends(g->pull, "/") ? text_starts(ref, g->pull) : strcmp(ref, g->pull) == 0);
}

static void next_cache(struct api_call *c)
{
	struct github_call *g = github_call(c);

	if (g->deleted < g->n_caches) {
		c->ask = ASK_UNCACHE;
		next_request(c);
		return;
	}
	c->result.etag = ""; /* it was of an earlier answer */
	if (!g->n_caches && !c->run.tries)
		api_refuse(&c->result, 0, "the run used no cache that could be deleted");
	else
		api_say(&c->result, API_OK, 204, -1, "%s", "");
	api_report(c);
}

static void take_caches(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct json_object *list = json_at(o, "actions_caches");
	struct github_call *g = github_call(c);
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	if (!json_object_is_type(list, json_type_array)) {
		api_garbled(c, r->status, "a list of caches");
		api_report(c);
		return;
	}
	for (size_t i = 0; i < n && g->n_caches < CACHES_MAX; i++) {
		struct json_object *cache = json_object_array_get_idx(list, i);
		int64_t id = json_i64(cache, "id", 0);

		if (id > 0 && used_by_run(g, cache))
			g->caches[g->n_caches++] = (uint64_t)id;
	}
	next_cache(c);
}

static void next_turn(struct github_call *g)
{
	struct timeval now = { 0 };

	(void)evtimer_add(g->turn, &now);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct github_call *g = arg;
	struct api_call *c = &g->call;
	struct err err = { 0 };
	int rc = run_archive_step(g->archive, &err);

	UNUSED(fd);
	UNUSED(what);
	if (rc > 0) {
		next_turn(g);
		return;
	}
	if (rc < 0) {
		api_refuse(&c->result, c->result.http_status, "%s", err.msg);
	} else {
		bool whole = g->log.dropped_bytes == 0;

		c->result.log = whole ? tail_buf_text(&g->log) : "";
		c->result.log_len = whole ? g->log.len : 0;
		c->result.log_memory = &g->log;
		c->result.log_skipped_lines = g->log.dropped_lines;
	}
	api_report(c);
}

static void take_archive(struct api_call *c, const struct http_reply *r)
{
	struct github_call *g = github_call(c);

	tail_buf_move(&g->zip, r->memory);
	tail_buf_init(&g->log, (size_t)conf_int(c->api->conf, "github.log_max"), true);
	g->archive = run_archive_new(tail_buf_text(&g->zip), g->zip.len, c->job_name, &g->log);
	g->turn = evtimer_new(c->api->base, on_turn, g);
	if (!g->turn)
		abort();
	next_turn(g);
}

static void take_json(struct api_call *c, const struct http_reply *r)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err;

	c->result.etag = r->etag;
	if (json_parse(r->body, r->body_len, &o, &err) < 0) {
		api_garbled(c, r->status, "JSON");
	} else if (c->ask == ASK_RUN) {
		if (read_run(c, r, o) && ask_whose(c, o))
			return;
	} else if (c->ask == ASK_CLEAR) {
		take_used(c, r, o);
		return;
	} else if (c->ask == ASK_CACHES) {
		take_caches(c, r, o);
		return;
	} else if (c->ask == ASK_RUNS) {
		read_events(c, r, o);
	} else if (c->ask == ASK_HOOKS) {
		if (read_hooks(c, r, o)) {
			next_request(c);
			return;
		}
	} else if (c->ask == ASK_DELIVERIES) {
		read_deliveries(c, r, o);
	} else if (c->ask == ASK_REPOS) {
		if (read_repos(c, r, o)) {
			next_request(c);
			return;
		}
	} else if (!read_jobs(c, r, o)) {
		c->page++;
		next_request(c);
		return;
	}
	api_report(c);
}

static void take_answer(struct api_call *c, const struct http_reply *r)
{
	switch (c->ask) {
	case ASK_RUN:
	case ASK_CLEAR:
	case ASK_CACHES:
	case ASK_JOBS:
	case ASK_RUNS:
	case ASK_REPOS:
	case ASK_HOOKS:
	case ASK_DELIVERIES:
		take_json(c, r);
		return;
	case ASK_UNCACHE:
		github_call(c)->deleted++;
		next_cache(c);
		return;
	case ASK_LOG:
	case ASK_FILE:
		c->result.log = r->body;
		c->result.log_len = r->body_len;
		c->result.log_memory = r->memory;
		c->result.log_skipped_lines = r->dropped_lines;
		api_report(c);
		return;
	case ASK_ARCHIVE:
		take_archive(c, r);
		return;
	case ASK_REQUEST:
		api_take(c, r);
		return;
	case ASK_RERUN:
	case ASK_RERUN_ALL:
	case ASK_CANCEL:
	case ASK_SHOW:
	case ASK_REDELIVER:
		api_report(c);
		return;
	}
}

/* The words and the fate that only logs have. */
static void judge_log(struct api_call *c, const struct http_reply *r)
{
	bool gone = r->status == 404 || r->status == 410;
	int64_t age = clock_wall_ms() - c->job_ended_ms;

	/* 404 may also mean "not yet"; 410 is final. */
	if (r->status == 404 && c->job_ended_ms && age < API_FRESH_LOG_MS) {
		api_postpone(&c->result, r->status, API_FRESH_LOG_RETRY_MS,
			     "404: the log of a job that just ended is not there yet");
	} else if (gone) {
		api_refuse(&c->result, r->status,
			   "%d: the log is gone (expired or deleted), or the token lacks %s on "
			   "%s",
			   r->status, need_of(c), c->repo);
	} else if (c->result.fate == API_REFUSED && !r->error && !api_from_origin(c->api, r)) {
		/* A signed link that lapsed while we waited; a new one is a new request. */
		api_postpone(&c->result, r->status, -1,
			     "%d: the storage of the logs refused its own link", r->status);
	}
}

static void on_reply(const struct http_reply *r, void *arg)
{
	struct api_call *c = arg;
	const struct github_ask ask = { c->api->origin.host,
					*c->repo ? c->repo : "the installation", need_of(c) };

	c->http = NULL;
	api_count(c->api, r);
	if (api_unchanged(c, r)) {
		api_report(c);
		return;
	}
	github_reply_judge(r, &ask, clock_wall_ms(), &c->result);
	api_note_limit(c, r);
	if (c->result.fate == API_OK) {
		take_answer(c, r);
		return;
	}
	if (r->status == 401 && !c->refused_once && api_from_origin(c->api, r) &&
	    github_auth_reject(github_of(c)->auth, c->authorization)) {
		c->refused_once = true;
		*c->api->self = '\0'; /* the next token may be another user's */
		next_request(c);
		return;
	}
	/* Somebody else was faster, or GitHub made room; or the run is over already. */
	if ((c->ask == ASK_UNCACHE && r->status == 404) ||
	    (c->ask == ASK_CANCEL && r->status == 409)) {
		api_say(&c->result, API_OK, r->status, -1, "%s", "");
		take_answer(c, r);
		return;
	}
	if (c->ask == ASK_LOG && (r->status == 404 || r->status == 410)) {
		c->ask = ASK_ARCHIVE;
		next_request(c);
		return;
	}
	if (c->ask == ASK_REQUEST) {
		api_take(c, r);
		return;
	}
	if (c->ask == ASK_LOG || c->ask == ASK_ARCHIVE)
		judge_log(c, r);
	api_report(c);
}

/* A day and an hour, so that the address stays the same for an hour and its ETag is of use. */
static char *runs_url(const struct api_call *c)
{
	int64_t hour = 3600 * 1000, since = c->scan.since_ms - c->scan.since_ms % hour;
	char at[25];

	text_from_ms(at, since > 0 ? since : 0);
	return xasprintf("%s/repos/%s/actions/runs?created=%%3E%%3D%.13s:00:00Z"
			 "&exclude_pull_requests=true&per_page=%u&page=%u",
			 c->api->url, c->repo, at, c->scan.page_size, c->page);
}

static char *hook_url(const struct api_call *c)
{
	const char *cursor = *c->scan.cursor ? "&cursor=" : "";
	OWNED(freep)
	char *hook = c->scan.hook ? xasprintf("%s/repos/%s/hooks/%" PRIu64, c->api->url, c->repo,
					      c->scan.hook)
				  : xasprintf("%s/app/hook", c->api->url);

	if (c->ask == ASK_REDELIVER)
		return xasprintf("%s/deliveries/%" PRIu64 "/attempts", hook, c->scan.delivery);
	return xasprintf("%s/deliveries?per_page=%d%s%s", hook, PAGE_MAX, cursor, c->scan.cursor);
}

static char *file_url(const struct api_call *c)
{
	struct buf b;

	buf_init(&b, FILE_URL_MAX);
	buf_printf(&b, "%s/repos/%s/contents/", c->api->url, c->repo);
	api_put_path(&b, c->file);
	if (c->file_sha)
		buf_printf(&b, "?ref=%s", c->file_sha);
	return buf_take(&b);
}

static char *url_of(const struct api_call *c)
{
	const struct github_call *g = (const struct github_call *)c;
	OWNED(freep) char *runs = xasprintf("%s/repos/%s/actions", c->api->url, c->repo);
	uint64_t attempt = c->run.generation ? c->run.generation : 1;

	switch (c->ask) {
	case ASK_RUN:
	case ASK_CLEAR:
		return xasprintf("%s/runs/%" PRIu64, runs, c->run.run_id);
	case ASK_CACHES:
		return xasprintf("%s/caches?sort=last_accessed_at&direction=desc&per_page=%d", runs,
				 PAGE_MAX);
	case ASK_CANCEL:
		/* By force, its clean-up steps are skipped, too. */
		return xasprintf("%s/runs/%" PRIu64 "/%s", runs, c->run.run_id,
				 c->run.tries < 2 ? "cancel" : "force-cancel");
	case ASK_UNCACHE:
		return xasprintf("%s/caches/%" PRIu64, runs, g->caches[g->deleted]);
	case ASK_JOBS:
		return xasprintf("%s/runs/%" PRIu64 "/attempts/%" PRIu64
				 "/jobs?per_page=%d&page=%u",
				 runs, c->run.run_id, attempt, PAGE_MAX, c->page);
	case ASK_LOG:
		return xasprintf("%s/jobs/%" PRIu64 "/logs", runs, c->job_id);
	case ASK_ARCHIVE:
		return xasprintf("%s/runs/%" PRIu64 "/attempts/%" PRIu64 "/logs", runs,
				 c->run.run_id, attempt);
	case ASK_FILE:
		return file_url(c);
	case ASK_REQUEST:
		if (*c->request.path == '~')
			return xasprintf("%s%s", c->api->url, c->request.path + 1);
		return xasprintf("%s/repos/%s%s", c->api->url, c->repo, c->request.path);
	case ASK_RUNS:
		return runs_url(c);
	case ASK_SHOW:
		if (github_of(c)->app)
			return xasprintf("%s/repos/%s/check-runs", c->api->url, c->repo);
		return xasprintf("%s/repos/%s/statuses/%s", c->api->url, c->repo, g->sha);
	case ASK_REPOS:
		return xasprintf("%s/%s?per_page=%d&page=%u", c->api->url,
				 for_app(c) ? "app/installations" : "installation/repositories",
				 PAGE_MAX, c->page);
	case ASK_HOOKS:
		return xasprintf("%s/repos/%s/hooks?per_page=%d&page=%u", c->api->url, c->repo,
				 PAGE_MAX, c->page);
	case ASK_DELIVERIES:
	case ASK_REDELIVER:
		return hook_url(c);
	case ASK_RERUN:
	case ASK_RERUN_ALL:
		break;
	}
	return xasprintf("%s/runs/%" PRIu64 "/%s", runs, c->run.run_id,
			 c->ask == ASK_RERUN ? "rerun-failed-jobs" : "rerun");
}

static const char *method_of(const struct api_call *c)
{
	enum api_ask ask = c->ask;

	if (ask == ASK_REQUEST)
		return c->request.method;
	if (ask == ASK_UNCACHE)
		return "DELETE";
	if (ask == ASK_RERUN || ask == ASK_RERUN_ALL || ask == ASK_CANCEL || ask == ASK_SHOW ||
	    ask == ASK_REDELIVER)
		return "POST";
	return "GET";
}

static void send_request(struct api_call *c)
{
	const struct conf *conf = c->api->conf;
	OWNED(freep) char *url = url_of(c);
	OWNED(freep)
	char *version = xasprintf("X-GitHub-Api-Version: %s", conf_str(conf, "github.api_version"));
	struct http_call_options o = {
		.method = method_of(c),
		.url = url,
		.headers = { "Accept: application/vnd.github+json", version,
			     "Cache-Control: no-cache" },
		.authorization = c->authorization,
		.timeout_ms = conf_int(conf, "github.timeout"),
		.max_body_bytes = API_JSON_MAX_BYTES,
		.max_redirects = API_REDIRECTS_MAX,
		.once = c->writes,
	};
	OWNED(freep) char *known = api_if_news(c);

	if (c->ask == ASK_LOG || c->ask == ASK_ARCHIVE) {
		o.timeout_ms *= API_LOG_TIMEOUT_FACTOR;
		o.keep_tail = c->ask == ASK_LOG;
		o.max_body_bytes = (size_t)conf_int(conf, o.keep_tail ? "github.log_max"
								      : "github.archive_max");
	}
	if (c->ask == ASK_SHOW || c->request.body) {
		o.body = c->request.body ? c->request.body : github_call(c)->body;
		o.body_len = strlen(o.body);
		o.headers[3] = "Content-Type: application/json";
	}
	if (c->ask == ASK_FILE) {
		o.headers[0] = "Accept: application/vnd.github.raw+json";
		o.max_body_bytes = API_FILE_MAX_BYTES;
	}
	if (known)
		o.headers[2] = known;
	if (c->writes)
		c->api->last_write_ms = clock_mono_ms();
	c->http = http_call_start(c->api->http, &o, on_reply, c);
}

static void on_token(const char *authorization, const struct api_result *refusal, void *arg)
{
	struct api_call *c = arg;

	github_call(c)->wait = NULL;
	if (!authorization) {
		c->result.fate = refusal->fate;
		c->result.http_status = refusal->http_status;
		c->result.retry_after_ms = refusal->retry_after_ms;
		memcpy(c->result.why, refusal->why, sizeof(c->result.why));
		api_report(c);
		return;
	}
	/* An App's installations each have a limit of their own. */
	c->limit_key = github_of(c)->app ? c->run.installation : 0;
	if (api_limited(c)) {
		api_report(c);
		return;
	}
	api_authorize(c, authorization);
	send_request(c);
}

static void ask_token(struct api_call *c)
{
	github_call(c)->wait = github_auth_get(github_of(c)->auth, for_app(c) ? NULL : &c->run,
					       grant_of(c), on_token, c);
}

/* --- the table ---------------------------------------------------------- */

/* GitHub sends us which button was pressed, and by whom. */
static void add_actions(struct json_object *o, const struct api_note *n)
{
	const char *const rows[][2] = { { "approve", n->approve }, { "reject", n->reject } };
	struct json_object *list;

	if (!*n->plan)
		return;
	list = json_object_new_array();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_object *action = json_object_new_object();

		json_add_str(action, "identifier", rows[i][0]);
		json_add_str(action, "label", rows[i][1]);
		json_add_str(action, "description", "Pipeline Guard");
		json_object_array_add(list, action);
	}
	json_add_str(o, "external_id", n->plan);
	json_add(o, "actions", list);
}

/* Neutral, where it is not good: what needs a person must not keep anybody from merging. */
static char *check_body(const struct api_note *n)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *output = json_object_new_object();

	json_add_str(o, "name", "Pipeline Guard");
	json_add_str(o, "head_sha", n->sha);
	json_add_str(o, "status", "completed");
	json_add_str(o, "conclusion", n->good ? "success" : "neutral");
	if (*n->url)
		json_add_str(o, "details_url", n->url);
	json_add_str(output, "title", n->title);
	json_add_str(output, "summary", n->summary);
	json_add(o, "output", output);
	add_actions(o, n);
	return xstrdup(json_text(o));
}

/* A status knows no neutral. */
static char *status_body(const struct api_note *n)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();

	json_add_str(o, "state", "success");
	json_add_str(o, "context", "Pipeline Guard");
	json_add_str(o, "description", n->brief);
	if (*n->url)
		json_add_str(o, "target_url", n->url);
	return xstrdup(json_text(o));
}

/*
 * Checks are for Apps; who has a token sets a status. GitHub shows the newest of one name, so one
 * that is sent twice is seen once.
 */
static struct api_call *show(struct api *api, const struct api_run *run, const struct api_note *n,
			     api_fn *fn, void *arg)
{
	const struct api_scan scan = { .repo = run->repo,
				       .repo_id = run->repo_id,
				       .installation = run->installation };
	struct api_call *c = api_begin_scan(api, ASK_SHOW, true, &scan, fn, arg);
	OWNED(freep) char *body = github_of(c)->app ? check_body(n) : status_body(n);

	github_call(c)->body = arena_strdup(c->arena, body);
	github_call(c)->sha = arena_strdup(c->arena, n->sha);
	if (api_is_commit(n->sha))
		return api_submit(c);
	api_refuse(&c->result, 0, "\"%.40s\" is no commit", n->sha);
	api_report_later(c);
	return c;
}

/* A token sees whatever its user sees, which is no list of what to look after. */
static struct api_call *list_repos(struct api *api, const struct api_scan *scan, api_fn *fn,
				   void *arg)
{
	struct api_call *c;

	if (((const struct github *)api)->app)
		return api_list_repos(api, scan, fn, arg);
	c = api_begin_scan(api, ASK_REPOS, false, scan, fn, arg);
	api_report_later(c);
	return c;
}

static bool own_hook(const struct api *api)
{
	return ((const struct github *)api)->app;
}

static struct api_call *list_hooks(struct api *api, const struct api_scan *scan, api_fn *fn,
				   void *arg)
{
	return api_submit(api_begin_scan(api, ASK_HOOKS, false, scan, fn, arg));
}

/* Of an App's own hook when none is named; what stands for a repository then is for refusals. */
static struct api_call *ask_hook(struct api *api, enum api_ask ask, const struct api_scan *scan,
				 api_fn *fn, void *arg)
{
	struct api_scan app = *scan;

	if (!scan->hook)
		app.repo = "app/hook";
	return api_submit(api_begin_scan(api, ask, ask == ASK_REDELIVER, &app, fn, arg));
}

static struct api_call *list_deliveries(struct api *api, const struct api_scan *scan, api_fn *fn,
					void *arg)
{
	return ask_hook(api, ASK_DELIVERIES, scan, fn, arg);
}

static struct api_call *redeliver(struct api *api, const struct api_scan *scan, api_fn *fn,
				  void *arg)
{
	return ask_hook(api, ASK_REDELIVER, scan, fn, arg);
}

static bool configured(const struct conf *conf)
{
	return conf_secret(conf, "github.token", 0) || conf_str(conf, "github.app_id");
}

static const struct api_kind kind = {
	.url_key = "github.api_url",
	.write_interval_key = "github.write_interval",
	.call_size = sizeof(struct github_call),
	.start = ask_token,
	.drop = drop,
	.fits = fits,
};

static void github_close(struct api *api)
{
	struct github *g = (struct github *)api;

	if (!api)
		return;
	api_done(api);
	github_auth_free(g->auth);
	free(g);
}

DEFINE_OWNED(struct api, github_close)

static int api_open(struct event_base *base, const struct conf *conf, struct http_client *http,
		    struct api **out, struct err *err)
{
	struct github *g = xcalloc(1, sizeof(*g));
	OWNED(github_closep) struct api *api = &g->api;
	struct github_auth_target target = { .seen = count, .arg = api };

	g->app = conf_str(conf, "github.app_id") != NULL;
	if (api_init(api, &kind, base, conf, http, err) < 0)
		return -1;
	target.api_url = api->url;
	target.host = api->origin.host;
	target.api_version = conf_str(conf, "github.api_version");
	if (github_auth_new(base, http, conf, &target, &g->auth, err) < 0)
		return -1;
	*out = TAKE(api);
	return 0;
}

const struct provider_api provider_api_github = {
	.name = "github",
	.counts_attempts = true,
	.unchanged_is_free = true,
	.configured = configured,
	.open = api_open,
	.close = github_close,
	.get_run = api_get_run,
	.list_jobs = api_list_jobs,
	.get_log = api_get_log,
	.get_file = api_get_file,
	.rerun_failed_jobs = api_rerun_failed_jobs,
	.rerun_all = api_rerun_all,
	.clear_caches = api_clear_caches,
	.cancel_run = api_cancel_run,
	.start_afresh = github_start_afresh,
	.update_branch = github_update_branch,
	.find_afresh = github_find_afresh,
	.show = show,
	.get_right = get_right,
	.get_branch = github_get_branch,
	.find_proposal = github_find_proposal,
	.get_clone = github_get_clone,
	.commit_files = github_commit_files,
	.open_proposal = github_open_proposal,
	.list_runs = api_list_runs,
	.list_repos = list_repos,
	.own_hook = own_hook,
	.list_hooks = list_hooks,
	.list_deliveries = list_deliveries,
	.redeliver = redeliver,
	.cancel = api_cancel,
	.host = api_host,
};

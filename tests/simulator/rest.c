/* GitHub's REST API, as much of it as a guard of pipelines needs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/http_server.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/hooks.h"
#include "tests/simulator/js.h"
#include "tests/simulator/reply.h"
#include "tests/simulator/rest.h"
#include "tests/simulator/storage.h"

enum { PER_PAGE = 30, ANSWER_MAX = 16 << 20, PATH_ID_MAX = 2, REPO_HOOK = 7 };

/* --- small things --------------------------------------------------------- */

void rest_not_found(struct ask *a)
{
	ask_refuse(a, 404, "Not Found", "rest");
}

void rest_invalid(struct ask *a, const char *resource, const char *field, const char *code,
		  const char *message)
{
	struct buf b;

	buf_init(&b, 4096);
	js_open(&b, NULL, '{');
	js_str(&b, "message", "Validation Failed");
	js_open(&b, "errors", '[');
	js_open(&b, NULL, '{');
	js_str(&b, "resource", resource);
	if (field)
		js_str(&b, "field", field);
	js_str(&b, "code", code);
	if (message)
		js_str(&b, "message", message);
	js_close(&b, '}');
	js_close(&b, ']');
	js_str(&b, "documentation_url", "https://docs.github.com/rest");
	js_str(&b, "status", "422");
	js_close(&b, '}');
	ask_reply_json(a, 422, js_done(&b));
	buf_done(&b);
}

bool rest_body(struct ask *a, struct json_object **out)
{
	struct err err;
	bool ok =
		!a->http->body_len || json_parse(a->http->body, a->http->body_len, out, &err) == 0;

	if (!a->http->body_len)
		*out = json_object_new_object();
	if (ok && json_object_is_type(*out, json_type_object))
		return true;
	ask_refuse(a, 400, "Problems parsing JSON", "rest");
	return false;
}

struct depot *rest_depot(struct ask *a)
{
	const struct repo *repo = world_find_repo(a->sim->world, a->repo);
	struct depot *d = repo ? forge_depot(a->sim->forge, repo, false) : NULL;

	if (!d)
		rest_not_found(a);
	return d;
}

/* The run of the path, in the repository of the path. Answers when there is none. */
static struct run *run_of(struct ask *a)
{
	struct run *r = world_find(a->sim->world, a->ids[0]);

	if (r && strcasecmp(r->repo->full_name, a->repo) == 0)
		return r;
	rest_not_found(a);
	return NULL;
}

/* --- runs and jobs -------------------------------------------------------- */

static void reply_run(struct ask *a, const struct run *r, unsigned attempt)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	github_run(&b, &a->sim->github, NULL, r, attempt);
	(void)js_done(&b);
	ask_reply_cached(a, buf_text(&b), b.len, true);
	buf_done(&b);
}

static void get_run(struct ask *a)
{
	const struct run *r = run_of(a);

	if (r)
		reply_run(a, r, r->n_attempts);
}

static void get_attempt(struct ask *a)
{
	const struct run *r = run_of(a);

	if (!r)
		return;
	if (a->ids[1] < 1 || a->ids[1] > r->n_attempts)
		rest_not_found(a);
	else
		reply_run(a, r, (unsigned)a->ids[1]);
}

static void reply_jobs(struct ask *a, const struct run *r, unsigned number)
{
	const struct attempt *at = run_attempt(r, number);
	struct page p = ask_page(a, PER_PAGE);
	uint64_t from = (p.number - 1) * p.per_page;
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_i64(&b, "total_count", at->n_jobs);
	js_open(&b, "jobs", '[');
	for (uint64_t i = from; i < at->n_jobs && i < from + p.per_page; i++)
		github_job(&b, &a->sim->github, NULL, r, &at->jobs[i], number);
	js_close(&b, ']');
	js_close(&b, '}');
	(void)js_done(&b);
	ask_link(a, &p, at->n_jobs);
	ask_reply_cached(a, buf_text(&b), b.len, true);
	buf_done(&b);
}

static void list_jobs(struct ask *a)
{
	const struct run *r = run_of(a);

	if (r)
		reply_jobs(a, r, r->n_attempts);
}

static void list_attempt_jobs(struct ask *a)
{
	const struct run *r = run_of(a);

	if (!r)
		return;
	if (a->ids[1] < 1 || a->ids[1] > r->n_attempts)
		rest_not_found(a);
	else
		reply_jobs(a, r, (unsigned)a->ids[1]);
}

/* False: answered. */
static bool job_of(struct ask *a, struct run **r, struct job **j, unsigned *attempt)
{
	*j = world_find_job(a->sim->world, a->ids[0], r, attempt);
	if (*j && strcasecmp((*r)->repo->full_name, a->repo) == 0)
		return true;
	rest_not_found(a);
	return false;
}

static void get_job(struct ask *a)
{
	struct run *r;
	struct job *j;
	unsigned attempt;
	struct buf b;

	if (!job_of(a, &r, &j, &attempt))
		return;
	buf_init(&b, ANSWER_MAX);
	github_job(&b, &a->sim->github, NULL, r, j, attempt);
	(void)js_done(&b);
	ask_reply_cached(a, buf_text(&b), b.len, true);
	buf_done(&b);
}

/* "created" of the query, where it says ">=TIME"; 0: all. */
static int64_t created_since(struct ask *a)
{
	char text[48];
	int64_t ms;

	if (!http_request_query(a->http, "created", text, sizeof(text)) || !text_starts(text, ">="))
		return 0;
	ms = text_iso8601_ms(text + 2);
	return ms > 0 ? ms : 0;
}

/* Of the query; "" asks for nothing. */
struct run_filter {
	int64_t since_ms;
	char status[24], event[32], branch[NAME_MAX_BYTES], sha[48];
};

static bool run_passes(const struct run *r, const struct run_filter *f)
{
	const struct attempt *last = run_last(r);

	if (r->created_ms < f->since_ms || (*f->branch && strcmp(f->branch, r->branch) != 0) ||
	    (*f->sha && strcmp(f->sha, r->sha) != 0) ||
	    (*f->event && strcmp(f->event, github_event(r)) != 0))
		return false;
	return !*f->status || strcmp(f->status, state_name(last->state)) == 0 ||
	       (last->conclusion && strcmp(f->status, last->conclusion) == 0);
}

static void list_runs(struct ask *a)
{
	struct world *w = a->sim->world;
	struct page p = ask_page(a, PER_PAGE);
	uint64_t skip = (p.number - 1) * p.per_page, seen = 0;
	struct run_filter f = { .since_ms = created_since(a) };
	struct buf b, rows;

	(void)http_request_query(a->http, "status", f.status, sizeof(f.status));
	(void)http_request_query(a->http, "event", f.event, sizeof(f.event));
	(void)http_request_query(a->http, "branch", f.branch, sizeof(f.branch));
	(void)http_request_query(a->http, "head_sha", f.sha, sizeof(f.sha));
	buf_init(&rows, ANSWER_MAX);
	for (size_t i = world_count(w); i-- > world_first(w);) {
		const struct run *r = world_at(w, i);

		if (strcasecmp(r->repo->full_name, a->repo) != 0 || !run_passes(r, &f))
			continue;
		if (seen >= skip && seen < skip + p.per_page)
			github_run(&rows, &a->sim->github, NULL, r, r->n_attempts);
		seen++;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_u64(&b, "total_count", seen);
	js_open(&b, "workflow_runs", '[');
	buf_append(&b, buf_text(&rows), rows.len);
	js_close(&b, ']');
	js_close(&b, '}');
	(void)js_done(&b);
	ask_link(a, &p, seen);
	ask_reply_cached(a, buf_text(&b), b.len, true);
	buf_done(&b);
	buf_done(&rows);
}

/* --- logs ----------------------------------------------------------------- */

static void redirect_to_log(struct ask *a, const struct run *r, unsigned attempt, uint64_t job)
{
	char url[512];

	storage_link(a->sim->storage, r->id, attempt, job, url);
	http_reply_header(a->http, "Location", url);
	ask_reply(a, 302, "text/html;charset=utf-8", NULL, 0);
}

static void get_job_log(struct ask *a)
{
	struct run *r;
	struct job *j;
	unsigned attempt;

	if (!job_of(a, &r, &j, &attempt))
		return;
	if (r->logs_expired)
		ask_refuse(a, 410, "Gone", "rest/actions/workflow-jobs");
	else if (j->state != STATE_COMPLETED || strcmp(j->conclusion, "skipped") == 0)
		rest_not_found(a);
	else
		redirect_to_log(a, r, attempt, j->id);
}

static void reply_run_log(struct ask *a, const struct run *r, uint64_t number)
{
	const struct attempt *at =
		number <= RUN_ATTEMPTS_MAX ? run_attempt(r, (unsigned)number) : NULL;

	if (r->logs_expired)
		ask_refuse(a, 410, "Gone", "rest/actions/workflow-runs");
	else if (!at || at->state != STATE_COMPLETED || !at->n_jobs)
		rest_not_found(a);
	else
		redirect_to_log(a, r, (unsigned)number, 0);
}

static void get_run_log(struct ask *a)
{
	const struct run *r = run_of(a);

	if (r)
		reply_run_log(a, r, r->n_attempts);
}

static void get_attempt_log(struct ask *a)
{
	const struct run *r = run_of(a);

	if (r)
		reply_run_log(a, r, a->ids[1]);
}

/* --- re-runs -------------------------------------------------------------- */

static void rerun(struct ask *a, bool only_failed)
{
	struct run *r = run_of(a);

	if (!r)
		return;
	switch (sim_rerun(a->sim, r, only_failed, ACTOR_API)) {
	case RERUN_ACCEPTED:
		ask_reply_json(a, 201, "{}");
		return;
	case RERUN_RUNNING:
		ask_refuse(a, 403, "The workflow run is already running",
			   "rest/actions/workflow-runs");
		return;
	case RERUN_TOO_OLD:
		ask_refuse(a, 403,
			   "Unable to retry this workflow run because it was created over a month "
			   "ago",
			   "rest/actions/workflow-runs");
		return;
	case RERUN_TOO_OFTEN:
		ask_refuse(a, 403, "This workflow run has been run again 50 times already",
			   "rest/actions/workflow-runs");
		return;
	case RERUN_NOTHING:
		ask_refuse(a, 403, "This workflow run cannot be retried",
			   "rest/actions/workflow-runs");
		return;
	}
}

static void rerun_failed_jobs(struct ask *a)
{
	rerun(a, true);
}

static void rerun_all(struct ask *a)
{
	rerun(a, false);
}

/* One job's own re-run takes the whole run with it here; it is refused just alike. */
static void rerun_job(struct ask *a)
{
	struct run *r;
	struct job *j;
	unsigned attempt;

	if (!job_of(a, &r, &j, &attempt))
		return;
	a->ids[0] = r->id;
	rerun(a, true);
}

static void cancel(struct ask *a, bool by_force)
{
	struct run *r = run_of(a);

	if (r && run_cancel(r, by_force))
		ask_reply_json(a, 202, "{}");
	else if (r)
		ask_refuse(a, 409, "Cannot cancel a workflow run that is completed.",
			   "rest/actions/workflow-runs");
}

static void cancel_run(struct ask *a)
{
	cancel(a, false);
}

static void force_cancel_run(struct ask *a)
{
	cancel(a, true);
}

/* --- caches ---------------------------------------------------------------- */

static void put_cache(struct buf *b, const struct cache *c)
{
	js_open(b, NULL, '{');
	js_u64(b, "id", c->id);
	js_str(b, "ref", c->ref);
	js_str(b, "key", c->key);
	js_str(b, "version", "73885106f58cc52a7df9ec4d4a5622a5614813162cb516c759a30af6bf56e6f0");
	js_time(b, "last_accessed_at", c->accessed_ms);
	js_time(b, "created_at", c->created_ms);
	js_u64(b, "size_in_bytes", 22052221);
	js_close(b, '}');
}

static void list_caches(struct ask *a)
{
	struct world *w = a->sim->world;
	struct page p = ask_page(a, PER_PAGE);
	uint64_t skip = (p.number - 1) * p.per_page, seen = 0;
	char ref[256] = "";
	struct buf b, rows;
	struct cache c;

	(void)http_request_query(a->http, "ref", ref, sizeof(ref));
	buf_init(&rows, ANSWER_MAX);
	for (size_t i = world_count(w); i-- > world_first(w);) {
		const struct run *r = world_at(w, i);

		for (unsigned k = 0; k < RUN_CACHES; k++) {
			if (strcasecmp(r->repo->full_name, a->repo) != 0 || !run_cache(r, k, &c) ||
			    (*ref && strcmp(ref, c.ref) != 0))
				continue;
			if (seen >= skip && seen < skip + p.per_page)
				put_cache(&rows, &c);
			seen++;
		}
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_u64(&b, "total_count", seen);
	js_open(&b, "actions_caches", '[');
	buf_append(&b, buf_text(&rows), rows.len);
	js_close(&b, ']');
	js_close(&b, '}');
	(void)js_done(&b);
	ask_link(a, &p, seen);
	ask_reply_cached(a, buf_text(&b), b.len, true);
	buf_done(&b);
	buf_done(&rows);
}

static void delete_cache(struct ask *a)
{
	const struct repo *repo = world_find_repo(a->sim->world, a->repo);

	if (world_delete_cache(a->sim->world, repo, a->ids[0]))
		ask_reply(a, 204, "application/json", NULL, 0);
	else
		rest_not_found(a);
}

/* --- the App -------------------------------------------------------------- */

/* Of a token, or of the installation itself (NULL). */
static void put_permissions(struct buf *b, const struct access *access, const struct grant *g)
{
	static const char *const words[] = { NULL, "read", "write" };

	js_open(b, "permissions", '{');
	js_str(b, "metadata", "read");
	for (unsigned i = SCOPE_NONE + 1; i < N_SCOPES; i++) {
		unsigned may = g ? g->may[i] : access_allowed(access, (enum scope)i);

		if (may)
			js_str(b, scope_names[i], words[may]);
	}
	js_close(b, '}');
}

static void put_installation(struct buf *b, const struct sim *sim, const char *owner)
{
	js_open(b, NULL, '{');
	js_u64(b, "id", ACCESS_INSTALLATION);
	js_str(b, "app_id", sim->opt.app_id);
	js_str(b, "app_slug", "pipeline-guard");
	js_str(b, "target_type", "Organization");
	js_url(b, "access_tokens_url", "%s/app/installations/%" PRIu64 "/access_tokens", sim->url,
	       ACCESS_INSTALLATION);
	js_str(b, "repository_selection", "all");
	put_permissions(b, sim->access, NULL);
	js_raw(b, "events", "[\"workflow_run\",\"workflow_job\"]");
	github_user(b, "account", owner);
	js_null(b, "suspended_at");
	js_close(b, '}');
}

/* Whose doing what the API is asked for is: world.c says the same of a re-run. */
static void get_user(struct ask *a)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "login", "pipeline-guard[bot]");
	js_str(&b, "type", "User");
	js_close(&b, '}');
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

/* The role has the organisation's own word for it, the permission what that comes to. */
static void get_right(struct ask *a)
{
	static const struct {
		const char *login, *role, *permission;
	} rows[] = {
		{ "olga-owner", "admin", "admin" },     { "max-maintainer", "maintain", "write" },
		{ "tina-triage", "triage", "read" },    { "rita-reader", "read", "read" },
		{ "cora-custom", "releaser", "write" }, { "nils-nobody", "none", "none" },
	};
	const char *role = world_knows(a->rest) ? "write" : NULL, *permission = role;
	char why[1100];
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcasecmp(rows[i].login, a->rest) == 0) {
			role = rows[i].role;
			permission = rows[i].permission;
		}
	}
	if (!role) {
		(void)snprintf(why, sizeof(why), "%s is not a user", a->rest);
		ask_refuse(a, 404, why, "rest/collaborators/collaborators");
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "permission", permission);
	js_str(&b, "role_name", role);
	js_open(&b, "user", '{');
	js_str(&b, "login", a->rest);
	js_str(&b, "type", "User");
	js_close(&b, '}');
	js_close(&b, '}');
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

static void get_app(struct ask *a)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "id", a->sim->opt.app_id);
	js_str(&b, "slug", "pipeline-guard");
	js_str(&b, "name", "Pipeline Guard");
	js_close(&b, '}');
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

static void get_installation(struct ask *a)
{
	char owner[NAME_MAX_BYTES];
	struct buf b;

	(void)text_copy(owner, sizeof(owner), a->repo, strcspn(a->repo, "/"));
	buf_init(&b, ANSWER_MAX);
	put_installation(&b, a->sim, owner);
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

static void list_installations(struct ask *a)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	put_installation(&b, a->sim, "octo");
	js_close(&b, ']');
	(void)js_done(&b);
	ask_reply_cached(a, buf_text(&b), b.len, true);
	buf_done(&b);
}

static bool grant_sees(const struct grant *g, const struct repo *r)
{
	bool sees = r->access != REPO_HIDDEN && (!g || !g->n_repos);

	for (unsigned i = 0; g && i < g->n_repos && r->access != REPO_HIDDEN; i++)
		sees = sees || g->repos[i] == r->id;
	return sees;
}

static void list_granted(struct ask *a)
{
	struct page p = ask_page(a, PER_PAGE);
	uint64_t skip = (p.number - 1) * p.per_page, seen = 0;
	const struct repo *r;
	struct buf b, rows;

	buf_init(&rows, ANSWER_MAX);
	for (size_t i = 0; (r = world_repo_at(a->sim->world, i)) != NULL; i++) {
		if (!repo_seen_by(r, FLAVOUR_GITHUB) || !grant_sees(a->caller.grant, r))
			continue;
		if (seen >= skip && seen < skip + p.per_page)
			github_repo(&rows, &a->sim->github, NULL, r, true);
		seen++;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_u64(&b, "total_count", seen);
	js_open(&b, "repositories", '[');
	buf_append(&b, buf_text(&rows), rows.len);
	js_close(&b, ']');
	js_close(&b, '}');
	(void)js_done(&b);
	ask_link(a, &p, seen);
	ask_reply_cached(a, buf_text(&b), b.len, true);
	buf_done(&b);
	buf_done(&rows);
}

/* Ids and names of the wish; false when one is not there. */
static bool granted_repos(struct sim *sim, struct json_object *wish, uint64_t *out, unsigned *n)
{
	static const char *const lists[] = { "repository_ids", "repositories" };

	*n = 0;
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct json_object *list = json_at(wish, lists[k]);
		size_t len = json_object_is_type(list, json_type_array)
				     ? json_object_array_length(list)
				     : 0;

		for (size_t i = 0; i < len && *n < GRANT_REPOS_MAX; i++) {
			struct json_object *item = json_object_array_get_idx(list, i);
			const struct repo *r = NULL;

			if (k == 0)
				r = world_repo_by_id(sim->world,
						     (uint64_t)json_object_get_int64(item));
			else
				r = world_repo_by_name(sim->world, json_object_get_string(item));
			if (!r || r->access == REPO_HIDDEN)
				return false;
			out[(*n)++] = r->id;
		}
	}
	return true;
}

/* All that the installation has, unless the wish names some. False: it has not all of those. */
static bool granted_scopes(const struct access *access, struct json_object *wish,
			   unsigned char out[static N_SCOPES])
{
	for (unsigned i = 0; i < N_SCOPES; i++) {
		const char *word = json_str(wish, scope_names[i], "");
		unsigned may = access_allowed(access, (enum scope)i);
		unsigned want = strcmp(word, "write") == 0 ? MAY_WRITE : *word ? MAY_READ : MAY_NOT;

		if (i != SCOPE_NONE && want > may)
			return false;
		out[i] = (unsigned char)(wish ? want : may);
	}
	return true;
}

static void make_token(struct ask *a)
{
	OWNED(json_putp) struct json_object *wish = NULL;
	uint64_t repos[GRANT_REPOS_MAX];
	unsigned n = 0;
	unsigned char may[N_SCOPES];
	const struct grant *g;
	struct err err;
	struct buf b;

	if (a->ids[0] != ACCESS_INSTALLATION) {
		rest_not_found(a);
		return;
	}
	if (a->http->body_len && json_parse(a->http->body, a->http->body_len, &wish, &err) < 0) {
		ask_refuse(a, 400, "Problems parsing JSON", "rest");
		return;
	}
	if (!granted_repos(a->sim, wish, repos, &n)) {
		ask_refuse(a, 422,
			   "There is at least one repository that does not exist or is not "
			   "accessible to the parent installation.",
			   "rest/apps/apps");
		return;
	}
	if (!granted_scopes(a->sim->access, json_at(wish, "permissions"), may)) {
		ask_refuse(a, 422,
			   "The permissions requested are not granted to this installation.",
			   "rest/apps/apps");
		return;
	}
	g = access_grant(a->sim->access, may, repos, n);
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "token", g->token);
	js_time(&b, "expires_at", g->expires_ms);
	put_permissions(&b, a->sim->access, g);
	js_str(&b, "repository_selection", n ? "selected" : "all");
	js_close(&b, '}');
	ask_reply_json(a, 201, js_done(&b));
	buf_done(&b);
}

/* --- deliveries ----------------------------------------------------------- */

static void put_delivery(struct buf *b, const struct sim *sim, const struct delivery *d)
{
	static const char *const words[] = { "OK", "Invalid HTTP Response: ", "failed to connect" };
	bool ok = d->status >= 200 && d->status < 300;

	js_open(b, NULL, '{');
	js_u64(b, "id", d->id);
	js_str(b, "guid", d->guid);
	js_time(b, "delivered_at", d->delivered_ms);
	js_bool(b, "redelivery", d->redelivery);
	buf_printf(b, "\"duration\":%.2f,", (double)d->took_us / 1e6);
	if (ok || !d->status)
		js_str(b, "status", words[ok ? 0 : 2]);
	else
		js_url(b, "status", "%s%d", words[1], d->status);
	js_i64(b, "status_code", d->status);
	js_str(b, "event", d->event);
	js_str(b, "action", *d->action ? d->action : NULL);
	if (sim->github.installation)
		js_u64(b, "installation_id", sim->github.installation);
	else
		js_null(b, "installation_id");
	js_u64(b, "repository_id", d->repo_id);
	js_null(b, "throttled_at");
	js_close(b, '}');
}

/* Every repository has one hook, with the same number. */
static void list_hooks(struct ask *a)
{
	const char *url = hooks_url(a->sim->hooks);
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	if (url && *url) {
		js_open(&b, NULL, '{');
		js_u64(&b, "id", REPO_HOOK);
		js_str(&b, "name", "web");
		js_bool(&b, "active", true);
		js_open(&b, "config", '{');
		js_str(&b, "url", url);
		js_str(&b, "content_type", "json");
		js_close(&b, '}');
		js_close(&b, '}');
	}
	js_close(&b, ']');
	(void)js_done(&b);
	ask_reply_cached(a, buf_text(&b), b.len, true);
	buf_done(&b);
}

/* Newest first; the cursor is the id that comes next. */
static void list_deliveries(struct ask *a)
{
	struct hooks *h = a->sim->hooks;
	uint64_t at = hooks_last(h), left = ask_page(a, PER_PAGE).per_page, cursor = 0;
	char text[32], link[700];
	struct buf b;

	if (http_request_query(a->http, "cursor", text, sizeof(text)) && text_to_u64(text, &cursor))
		at = cursor < at ? cursor : at;
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	for (; left && at >= hooks_first(h); at--) {
		const struct delivery *d = hooks_at(h, at);

		if (!d || !d->over || strcmp(d->event, "ping") == 0)
			continue;
		put_delivery(&b, a->sim, d);
		left--;
	}
	js_close(&b, ']');
	if (at >= hooks_first(h)) {
		(void)snprintf(link, sizeof(link),
			       "<%s%.300s?per_page=%" PRIu64 "&cursor=%" PRIu64 ">; rel=\"next\"",
			       a->sim->url, a->http->path, ask_page(a, PER_PAGE).per_page, at);
		http_reply_header(a->http, "Link", link);
	}
	(void)js_done(&b);
	ask_reply_cached(a, buf_text(&b), b.len, true);
	buf_done(&b);
}

/* The number is the last of the path: hook and delivery, or just the delivery. */
static void redeliver(struct ask *a)
{
	struct hooks *h = a->sim->hooks;
	struct delivery *d = hooks_at(h, a->ids[1] ? a->ids[1] : a->ids[0]);

	if (!d || !d->over)
		rest_not_found(a);
	else if (!hooks_redeliver(h, d))
		ask_refuse(a, 422, "The hook has no address", "rest");
	else
		ask_reply_json(a, 202, "{}");
}

/* --- about the API -------------------------------------------------------- */

static void put_budget(struct buf *b, const char *key, const struct meter *m)
{
	js_open(b, key, '{');
	js_i64(b, "limit", m->limit);
	js_i64(b, "used", m->used);
	js_i64(b, "remaining", m->limit - m->used);
	js_i64(b, "reset", m->reset_ms / 1000);
	js_close(b, '}');
}

static void get_rate_limit(struct ask *a)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_open(&b, "resources", '{');
	put_budget(&b, "core", a->caller.meter);
	js_close(&b, '}');
	put_budget(&b, "rate", a->caller.meter);
	js_close(&b, '}');
	ask_reply_json(a, 200, js_done(&b));
	buf_done(&b);
}

static void get_meta(struct ask *a)
{
	ask_reply_json(a, 200,
		       "{\"verifiable_password_authentication\":false,"
		       "\"hooks\":[\"127.0.0.0/8\",\"::1/128\"],\"actions\":[\"127.0.0.0/8\"]}");
}

static bool known_commit(const struct ask *a, const char *sha)
{
	for (size_t i = 0; i < world_count(a->sim->world); i++) {
		const struct run *r = world_at(a->sim->world, i);

		if (strcasecmp(r->repo->full_name, a->repo) == 0 && strcmp(r->sha, sha) == 0)
			return true;
	}
	return false;
}

/* Only an App may, and GitHub wants these of it. */
/* As long as GitHub takes them. */
static bool good_actions(struct json_object *list)
{
	static const struct {
		const char *name;
		size_t max;
	} rows[] = { { "label", 20 }, { "description", 40 }, { "identifier", 20 } };
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n * ARRAY_LEN(rows); i++) {
		struct json_object *one = json_object_array_get_idx(list, i / ARRAY_LEN(rows));
		const char *text = json_str(one, rows[i % ARRAY_LEN(rows)].name, "");

		if (!*text || strlen(text) > rows[i % ARRAY_LEN(rows)].max)
			return false;
	}
	return n <= 3;
}

static void create_check(struct ask *a)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err;

	if (a->caller.kind != CALLER_INSTALLATION) {
		ask_refuse(a, 403, "You must authenticate via a GitHub App.", "rest/checks/runs");
	} else if (json_parse(a->http->body, a->http->body_len, &o, &err) < 0 ||
		   !*json_str(o, "name", "") || !known_commit(a, json_str(o, "head_sha", "")) ||
		   !*json_str(o, "output.title", "") || !*json_str(o, "output.summary", "") ||
		   !good_actions(json_at(o, "actions"))) {
		ask_refuse(a, 422, "Invalid request.", "rest/checks/runs");
	} else {
		a->sim->checks++;
		a->sim->checks_buttons += json_at(o, "actions") && *json_str(o, "external_id", "");
		a->sim->checks_neutral += strcmp(json_str(o, "conclusion", ""), "neutral") == 0;
		ask_reply_json(a, 201, "{\"id\":1}");
	}
}

#define RUN REPO "/actions/runs/{n}"

static const struct route routes[] = {
	{ "GET", RUN, CALL_GET_RUN, get_run, false, false, SCOPE_ACTIONS },
	{ "GET", RUN "/attempts/{n}", CALL_GET_RUN, get_attempt, false, false, SCOPE_ACTIONS },
	{ "GET", RUN "/jobs", CALL_LIST_JOBS, list_jobs, false, false, SCOPE_ACTIONS },
	{ "GET", RUN "/attempts/{n}/jobs", CALL_LIST_JOBS, list_attempt_jobs, false, false,
	  SCOPE_ACTIONS },
	{ "GET", RUN "/logs", CALL_LOG, get_run_log, false, false, SCOPE_ACTIONS },
	{ "GET", RUN "/attempts/{n}/logs", CALL_LOG, get_attempt_log, false, false, SCOPE_ACTIONS },
	{ "POST", RUN "/rerun-failed-jobs", CALL_RERUN, rerun_failed_jobs, true, false,
	  SCOPE_ACTIONS },
	{ "POST", RUN "/cancel", CALL_CANCEL, cancel_run, true, false, SCOPE_ACTIONS },
	{ "POST", RUN "/force-cancel", CALL_CANCEL, force_cancel_run, true, false, SCOPE_ACTIONS },
	{ "POST", RUN "/rerun", CALL_RERUN, rerun_all, true, false, SCOPE_ACTIONS },
	{ "GET", REPO "/actions/jobs/{n}", CALL_OTHER, get_job, false, false, SCOPE_ACTIONS },
	{ "GET", REPO "/actions/jobs/{n}/logs", CALL_LOG, get_job_log, false, false,
	  SCOPE_ACTIONS },
	{ "POST", REPO "/actions/jobs/{n}/rerun", CALL_RERUN, rerun_job, true, false,
	  SCOPE_ACTIONS },
	{ "GET", REPO "/actions/caches", CALL_CACHES, list_caches, false, false, SCOPE_ACTIONS },
	{ "DELETE", REPO "/actions/caches/{n}", CALL_CACHES, delete_cache, true, false,
	  SCOPE_ACTIONS },
	{ "GET", REPO "/actions/runs", CALL_LIST_RUNS, list_runs, false, false, SCOPE_ACTIONS },
	{ "POST", REPO "/check-runs", CALL_OTHER, create_check, true, false, SCOPE_CHECKS },
	{ "GET", REPO "/hooks", CALL_HOOKS, list_hooks, false, false, SCOPE_NONE },
	{ "GET", REPO "/hooks/{n}/deliveries", CALL_HOOKS, list_deliveries, false, false,
	  SCOPE_NONE },
	{ "POST", REPO "/hooks/{n}/deliveries/{n}/attempts", CALL_HOOKS, redeliver, true, false,
	  SCOPE_NONE },
	{ "GET", "/app/hook/deliveries", CALL_HOOKS, list_deliveries, false, true, SCOPE_NONE },
	{ "POST", "/app/hook/deliveries/{n}/attempts", CALL_HOOKS, redeliver, true, true,
	  SCOPE_NONE },
	{ "GET", REPO "/collaborators/{p}/permission", CALL_RIGHT, get_right, false, false,
	  SCOPE_NONE },
	{ "GET", "/user", CALL_OTHER, get_user, false, false, SCOPE_NONE },
	{ "GET", "/app", CALL_OTHER, get_app, false, true, SCOPE_NONE },
	{ "GET", "/app/installations", CALL_LIST_REPOS, list_installations, false, true,
	  SCOPE_NONE },
	{ "GET", "/installation/repositories", CALL_LIST_REPOS, list_granted, false, false,
	  SCOPE_NONE },
	{ "GET", REPO "/installation", CALL_TOKEN, get_installation, false, true, SCOPE_NONE },
	{ "POST", "/app/installations/{n}/access_tokens", CALL_TOKEN, make_token, true, true,
	  SCOPE_NONE },
	{ "GET", "/rate_limit", CALL_OTHER, get_rate_limit, false, false, SCOPE_NONE },
	{ "GET", "/meta", CALL_OTHER, get_meta, false, false, SCOPE_NONE },
};

/* --- from request to route ------------------------------------------------ */

static bool take_number(const char **path, uint64_t *out)
{
	size_t n = strspn(*path, "0123456789");
	char text[24];

	if (!n || n >= sizeof(text))
		return false;
	(void)text_copy(text, sizeof(text), *path, n);
	*path += n;
	return text_to_u64(text, out);
}

static bool take_repo(const char **path, char out[static NAME_MAX_BYTES])
{
	size_t owner = strcspn(*path, "/"), n;

	if (!owner || (*path)[owner] != '/')
		return false;
	n = owner + 1 + strcspn(*path + owner + 1, "/");
	if (n == owner + 1 || n >= NAME_MAX_BYTES)
		return false;
	(void)text_copy(out, NAME_MAX_BYTES, *path, n);
	*path += n;
	return true;
}

/* All but what comes after it in the pattern. */
static bool take_rest(const char **path, const char *after, char out[static 1024])
{
	size_t len = strlen(*path), keep = strlen(after);

	if (len <= keep || !text_copy(out, 1024, *path, len - keep))
		return false;
	*path += len - keep;
	return true;
}

static bool fits(struct ask *a, const struct route *r)
{
	const char *want = r->path, *path = a->http->path;
	unsigned ids = 0;

	a->repo[0] = a->rest[0] = '\0';
	a->ids[0] = a->ids[1] = 0;
	while (*want) {
		if (text_starts(want, "{n}")) {
			if (ids == PATH_ID_MAX || !take_number(&path, &a->ids[ids++]))
				return false;
			want += 3;
		} else if (text_starts(want, "{p}")) {
			if (!take_rest(&path, want + 3, a->rest))
				return false;
			want += 3;
		} else if (text_starts(want, "{o}/{r}")) {
			if (!take_repo(&path, a->repo))
				return false;
			want += 7;
		} else if (*want++ != *path++) {
			return false;
		}
	}
	return !*path;
}

static const struct route *find_route(struct ask *a)
{
	const struct {
		const struct route *rows;
		size_t n;
	} tables[] = {
		{ routes, ARRAY_LEN(routes) },
		{ github_git_routes, n_github_git_routes },
		{ github_pull_routes, n_github_pull_routes },
		{ github_dispatch_routes, n_github_dispatch_routes },
	};

	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		const struct route *rows = tables[t].rows;

		for (size_t i = 0; i < tables[t].n; i++)
			if (strcmp(rows[i].method, a->http->method) == 0 && fits(a, &rows[i]))
				return &rows[i];
	}
	return NULL;
}

static uint64_t run_of_fault(const struct ask *a, const struct route *r)
{
	struct run *run = NULL;
	unsigned attempt;

	if (!strstr(r->path, "/jobs/{n}"))
		return strstr(r->path, "/runs/{n}") ? a->ids[0] : 0;
	(void)world_find_job(a->sim->world, a->ids[0], &run, &attempt);
	return run ? run->id : 0;
}

static void limit_headers(struct ask *a)
{
	const struct meter *m = a->caller.meter;
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRId64, m->limit);
	http_reply_header(a->http, "x-ratelimit-limit", text);
	(void)snprintf(text, sizeof(text), "%" PRId64, m->limit - m->used);
	http_reply_header(a->http, "x-ratelimit-remaining", text);
	(void)snprintf(text, sizeof(text), "%" PRId64, m->used);
	http_reply_header(a->http, "x-ratelimit-used", text);
	(void)snprintf(text, sizeof(text), "%" PRId64, m->reset_ms / 1000);
	http_reply_header(a->http, "x-ratelimit-reset", text);
	http_reply_header(a->http, "x-ratelimit-resource", "core");
}

/* True: the caller has used up a budget, and was told so. */
static bool limited(struct ask *a, const struct route *r)
{
	int64_t now = clock_wall_ms();

	if (strcmp(r->path, "/rate_limit") == 0)
		return false;
	if (!meter_take(a->caller.meter, now)) {
		limit_headers(a);
		ask_refuse(a, 403, "API rate limit exceeded for user ID 4815162.",
			   "rest/overview/rate-limits-for-the-rest-api");
		return true;
	}
	limit_headers(a);
	if (r->write && !r->app &&
	    !meter_take_write(a->caller.meter, now, a->sim->opt.write_limit)) {
		http_reply_header(a->http, "Retry-After", "60");
		ask_refuse(
			a, 403, "You have exceeded a secondary rate limit.",
			"rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits");
		return true;
	}
	return false;
}

/* A repository that the caller may not see does not exist for it. True: answered. */
static bool repo_refused(struct ask *a, const struct route *r)
{
	const struct repo *repo = *a->repo ? world_find_repo(a->sim->world, a->repo) : NULL;
	const struct grant *g = a->caller.grant;
	bool seen = repo && repo->access != REPO_HIDDEN;
	bool may = !g || !r->scope || g->may[r->scope] >= (r->write ? MAY_WRITE : MAY_READ);
	bool may_write = repo && repo->access == REPO_WRITE;

	if (!*a->repo)
		return false;
	if (seen && g && g->n_repos) {
		seen = false;
		for (unsigned i = 0; i < g->n_repos; i++)
			seen = seen || g->repos[i] == repo->id;
	}
	if (!seen) {
		rest_not_found(a);
	} else if (!may || (r->write && !may_write)) {
		ask_refuse(a, 403,
			   g ? "Resource not accessible by integration"
			     : "Resource not accessible by personal access token",
			   "rest/actions/workflow-runs");
	} else {
		return false;
	}
	return true;
}

static void serve(struct ask *a)
{
	const struct route *r = find_route(a);
	const char *why;

	a->of_github = true;
	if (ask_fault(a, r ? r->call : CALL_OTHER, r ? run_of_fault(a, r) : 0))
		return;
	if (access_identify(a->sim->access, http_request_header(a->http, "Authorization"),
			    &a->caller, &why) < 0) {
		ask_refuse(a, 401, why, "rest");
		return;
	}
	if (!r) {
		rest_not_found(a);
		return;
	}
	if (r->app != (a->caller.kind == CALLER_APP)) {
		ask_refuse(a, 401,
			   r->app ? "A JSON web token could not be decoded" : "Bad credentials",
			   "rest");
		return;
	}
	if (!limited(a, r) && !repo_refused(a, r))
		r->serve(a);
}

void rest_serve(struct sim *sim, struct http_request *http)
{
	char id[33], shown[40];

	sim->api_requests++;
	random_hex(id, 16);
	(void)snprintf(shown, sizeof(shown), "%.4s:%.6s:%.7s:%.7s:%.8s", id, id + 4, id + 10,
		       id + 17, id + 24);
	for (char *p = shown; *p; p++)
		*p = (char)(*p >= 'a' ? *p - 32 : *p);
	http_reply_header(http, "X-GitHub-Request-Id", shown);
	http_reply_header(http, "X-GitHub-Media-Type", "github.v3; format=json");
	ask_start(ask_new(sim, http, serve), sim->opt.latency_ms);
}

void rest_free(struct sim *sim)
{
	while (sim->asks)
		ask_free(sim->asks);
}

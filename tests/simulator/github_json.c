#include "tests/simulator/github_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/js.h"

enum { HOOK_ID = 481516234, APP_ID = 15368, RUNNER_GROUP = 2, A_YEAR_S = 31536000 };
#define REPO_BORN_MS  INT64_C(1609495200000) /* 2021-01-01 */
#define AVATAR_FORMAT "https://avatars.example.com/u/%" PRIu64 "?v=4"

void github_node_id(char out[static 64], const char *kind, uint64_t id)
{
	char plain[40];
	OWNED(freep) char *coded = NULL;
	int n = snprintf(plain, sizeof(plain), "%.12s%" PRIu64, kind, id);

	coded = base64_encode(plain, (size_t)n);
	(void)text_copy(out, 64, coded, strlen(coded));
}

static void put_node_id(struct buf *b, const char *kind, uint64_t id)
{
	char node[64];

	github_node_id(node, kind, id);
	js_str(b, "node_id", node);
}

static void put_user_urls(struct buf *b, const char *login)
{
	static const char *const parts[][2] = {
		{ "followers_url", "/followers" },
		{ "following_url", "/following{/other_user}" },
		{ "gists_url", "/gists{/gist_id}" },
		{ "starred_url", "/starred{/owner}{/repo}" },
		{ "subscriptions_url", "/subscriptions" },
		{ "organizations_url", "/orgs" },
		{ "repos_url", "/repos" },
		{ "events_url", "/events{/privacy}" },
		{ "received_events_url", "/received_events" },
	};

	js_url(b, "url", "https://api.github.example/users/%s", login);
	js_url(b, "html_url", "https://github.example/%s", login);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		js_url(b, parts[i][0], "https://api.github.example/users/%s%s", login, parts[i][1]);
}

static void put_account(struct buf *b, const char *key, const char *login, const char *type)
{
	uint64_t id = 1000000 + rng_hash(login) % 90000000;

	js_open(b, key, '{');
	js_str(b, "login", login);
	js_u64(b, "id", id);
	put_node_id(b, "04:User", id);
	js_url(b, "avatar_url", AVATAR_FORMAT, id);
	js_str(b, "gravatar_id", "");
	put_user_urls(b, login);
	js_str(b, "type", type);
	js_str(b, "user_view_type", "public");
	js_bool(b, "site_admin", false);
	js_close(b, '}');
}

void github_user(struct buf *b, const char *key, const char *login)
{
	put_account(b, key, login, text_ends(login, "[bot]") ? "Bot" : "User");
}

static void owner_of(const struct repo *r, char out[static NAME_MAX_BYTES])
{
	(void)text_copy(out, NAME_MAX_BYTES, r->full_name, strcspn(r->full_name, "/"));
}

/* --- repositories --------------------------------------------------------- */

static void put_repo_urls(struct buf *b, const char *base)
{
	static const char *const parts[][2] = {
		{ "forks_url", "/forks" },
		{ "keys_url", "/keys{/key_id}" },
		{ "collaborators_url", "/collaborators{/collaborator}" },
		{ "teams_url", "/teams" },
		{ "hooks_url", "/hooks" },
		{ "issue_events_url", "/issues/events{/number}" },
		{ "events_url", "/events" },
		{ "assignees_url", "/assignees{/user}" },
		{ "branches_url", "/branches{/branch}" },
		{ "tags_url", "/tags" },
		{ "blobs_url", "/git/blobs{/sha}" },
		{ "git_tags_url", "/git/tags{/sha}" },
		{ "git_refs_url", "/git/refs{/sha}" },
		{ "trees_url", "/git/trees{/sha}" },
		{ "statuses_url", "/statuses/{sha}" },
		{ "languages_url", "/languages" },
		{ "stargazers_url", "/stargazers" },
		{ "contributors_url", "/contributors" },
		{ "subscribers_url", "/subscribers" },
		{ "subscription_url", "/subscription" },
		{ "commits_url", "/commits{/sha}" },
		{ "git_commits_url", "/git/commits{/sha}" },
		{ "comments_url", "/comments{/number}" },
		{ "issue_comment_url", "/issues/comments{/number}" },
		{ "contents_url", "/contents/{+path}" },
		{ "compare_url", "/compare/{base}...{head}" },
		{ "merges_url", "/merges" },
		{ "archive_url", "/{archive_format}{/ref}" },
		{ "downloads_url", "/downloads" },
		{ "issues_url", "/issues{/number}" },
		{ "pulls_url", "/pulls{/number}" },
		{ "milestones_url", "/milestones{/number}" },
		{ "notifications_url", "/notifications{?since,all,participating}" },
		{ "labels_url", "/labels{/name}" },
		{ "releases_url", "/releases{/id}" },
		{ "deployments_url", "/deployments" },
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		js_url(b, parts[i][0], "%s%s", base, parts[i][1]);
}

static void put_repo_facts(struct buf *b, const struct github *g, const struct repo *r)
{
	js_time(b, "created_at", REPO_BORN_MS);
	js_time(b, "updated_at", REPO_BORN_MS + (int64_t)A_YEAR_S * 4000);
	js_time(b, "pushed_at", REPO_BORN_MS + (int64_t)A_YEAR_S * 4000);
	js_url(b, "git_url", "git://github.example/%s.git", r->full_name);
	js_url(b, "ssh_url", "git@github.example:%s.git", r->full_name);
	js_url(b, "clone_url", "%s/%s.git", g->web, r->full_name);
	js_url(b, "svn_url", "%s/%s", g->web, r->full_name);
	js_null(b, "homepage");
	js_u64(b, "size", r->size_kb ? r->size_kb : 504 + r->id % 9000);
	js_u64(b, "stargazers_count", r->id % 300);
	js_u64(b, "watchers_count", r->id % 300);
	js_str(b, "language", r->language);
	for (size_t i = 0; i < 4; i++) {
		static const char *const has[] = { "has_issues", "has_projects", "has_downloads",
						   "has_wiki" };

		js_bool(b, has[i], i != 3);
	}
	js_bool(b, "has_pages", false);
	js_bool(b, "has_discussions", false);
	js_i64(b, "forks_count", 3);
	js_null(b, "mirror_url");
	js_bool(b, "archived", false);
	js_bool(b, "disabled", false);
	js_i64(b, "open_issues_count", 7);
	js_open(b, "license", '{');
	js_str(b, "key", "apache-2.0");
	js_str(b, "name", "Apache License 2.0");
	js_str(b, "spdx_id", "Apache-2.0");
	js_str(b, "url", "https://api.github.example/licenses/apache-2.0");
	js_close(b, '}');
	js_bool(b, "allow_forking", true);
	js_bool(b, "is_template", false);
	js_bool(b, "web_commit_signoff_required", false);
	js_raw(b, "topics", "[]");
	js_str(b, "visibility", "private");
	js_i64(b, "forks", 3);
	js_i64(b, "open_issues", 7);
	js_u64(b, "watchers", r->id % 300);
	js_str(b, "default_branch", "main");
	js_raw(b, "custom_properties", "{}");
}

void github_repo(struct buf *b, const struct github *g, const char *key, const struct repo *r,
		 bool full)
{
	char owner[NAME_MAX_BYTES], base[1024];
	const char *slash = strchr(r->full_name, '/');

	owner_of(r, owner);
	(void)snprintf(base, sizeof(base), "%s/repos/%s", g->api, r->full_name);
	js_open(b, key, '{');
	js_u64(b, "id", r->id);
	put_node_id(b, "010:Repo", r->id);
	js_str(b, "name", slash ? slash + 1 : r->full_name);
	js_str(b, "full_name", r->full_name);
	js_bool(b, "private", true);
	put_account(b, "owner", owner, "Organization");
	js_url(b, "html_url", "%s/%s", g->web, r->full_name);
	js_str(b, "description", r->about);
	js_bool(b, "fork", false);
	js_str(b, "url", base);
	put_repo_urls(b, base);
	if (full)
		put_repo_facts(b, g, r);
	js_close(b, '}');
}

void github_fork(struct buf *b, const char *key, const struct repo *of)
{
	js_open(b, key, '{');
	js_u64(b, "id", of->id + 1);
	js_url(b, "full_name", "%s/%s", GITHUB_FORK_OWNER, strchr(of->full_name, '/') + 1);
	js_bool(b, "fork", true);
	js_close(b, '}');
}

/* --- runs and jobs -------------------------------------------------------- */

static void put_head_commit(struct buf *b, const struct run *r, const char *author)
{
	js_open(b, "head_commit", '{');
	js_str(b, "id", r->sha);
	js_url(b, "tree_id", "%.20s%.20s", r->sha + 20, r->sha);
	js_str(b, "message", r->title);
	js_time(b, "timestamp", r->created_ms - 4000);
	for (size_t i = 0; i < 2; i++) {
		js_open(b, i ? "committer" : "author", '{');
		js_str(b, "name", author);
		js_url(b, "email", "%s@users.noreply.example", author);
		js_close(b, '}');
	}
	js_close(b, '}');
}

static void put_run_urls(struct buf *b, const struct github *g, const struct run *r,
			 unsigned attempt)
{
	static const char *const parts[][2] = {
		{ "jobs_url", "/jobs" },           { "logs_url", "/logs" },
		{ "artifacts_url", "/artifacts" }, { "cancel_url", "/cancel" },
		{ "rerun_url", "/rerun" },
	};
	char base[1024];

	(void)snprintf(base, sizeof(base), "%s/repos/%s/actions/runs/%" PRIu64, g->api,
		       r->repo->full_name, r->id);
	js_str(b, "url", base);
	js_url(b, "html_url", "%s/%s/actions/runs/%" PRIu64, g->web, r->repo->full_name, r->id);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		js_url(b, parts[i][0], "%s%s", base, parts[i][1]);
	js_url(b, "check_suite_url", "%s/repos/%s/check-suites/%" PRIu64, g->api,
	       r->repo->full_name, r->check_suite);
	js_url(b, "workflow_url", "%s/repos/%s/actions/workflows/%" PRIu64, g->api,
	       r->repo->full_name, r->workflow->id);
	if (attempt > 1)
		js_url(b, "previous_attempt_url", "%s/attempts/%u", base, attempt - 1);
	else
		js_null(b, "previous_attempt_url");
}

const char *github_event(const struct run *r)
{
	static const char *const names[] = { "push", "workflow_dispatch", "pull_request" };

	return names[r->event];
}

/* The pull request that it is of, when that is not a fork's. */
static void put_pull_requests(struct buf *b, const struct github *g, const struct run *r)
{
	js_open(b, "pull_requests", '[');
	if (r->proposal && !r->of_fork) {
		js_open(b, NULL, '{');
		js_u64(b, "id", r->repo->id * 1000 + r->proposal);
		js_u64(b, "number", r->proposal);
		js_url(b, "url", "%s/repos/%s/pulls/%" PRIu64, g->api, r->repo->full_name,
		       r->proposal);
		js_open(b, "head", '{');
		js_str(b, "ref", r->branch);
		js_str(b, "sha", r->sha);
		js_close(b, '}');
		js_open(b, "base", '{');
		js_str(b, "ref", r->base);
		js_close(b, '}');
		js_close(b, '}');
	}
	js_close(b, ']');
}

void github_run(struct buf *b, const struct github *g, const char *key, const struct run *r,
		unsigned attempt)
{
	const struct attempt *a = run_attempt(r, attempt);
	const char *author = r->attempts[0]->actor;
	char node[64];

	js_open(b, key, '{');
	js_u64(b, "id", r->id);
	js_str(b, "name", r->workflow->name);
	put_node_id(b, "011:WorkflowRun", r->id);
	js_str(b, "head_branch", r->branch);
	js_str(b, "head_sha", r->sha);
	js_str(b, "path", r->workflow->path);
	js_str(b, "display_title", r->title);
	js_u64(b, "run_number", r->number);
	js_str(b, "event", github_event(r));
	js_str(b, "status", state_name(a->state));
	js_str(b, "conclusion", a->conclusion);
	js_u64(b, "workflow_id", r->workflow->id);
	js_u64(b, "check_suite_id", r->check_suite);
	github_node_id(node, "010:CheckSuite", r->check_suite);
	js_str(b, "check_suite_node_id", node);
	put_run_urls(b, g, r, attempt);
	put_pull_requests(b, g, r);
	js_time(b, "created_at", r->created_ms);
	js_time(b, "updated_at", a->updated_ms);
	github_user(b, "actor", author);
	js_i64(b, "run_attempt", attempt);
	js_raw(b, "referenced_workflows", "[]");
	js_time(b, "run_started_at", a->started_ms);
	github_user(b, "triggering_actor", a->actor);
	put_head_commit(b, r, author);
	github_repo(b, g, "repository", r->repo, false);
	if (r->of_fork)
		github_fork(b, "head_repository", r->repo);
	else
		github_repo(b, g, "head_repository", r->repo, false);
	js_close(b, '}');
}

static void put_steps(struct buf *b, const struct run *r, const struct job *j)
{
	struct step steps[JOB_STEPS_MAX];
	char names[256];
	unsigned n = job_steps(r, j, steps, names);

	js_open(b, "steps", '[');
	for (unsigned i = 0; i < n; i++) {
		js_open(b, NULL, '{');
		js_str(b, "name", steps[i].name);
		js_str(b, "status", steps[i].conclusion ? "completed" : "in_progress");
		js_str(b, "conclusion", steps[i].conclusion);
		js_i64(b, "number", i + 1);
		js_time(b, "started_at", steps[i].started_ms);
		js_time(b, "completed_at", steps[i].completed_ms);
		js_close(b, '}');
	}
	js_close(b, ']');
}

static void put_runner(struct buf *b, const struct job *j)
{
	uint64_t id = 1 + j->id % 40;

	if (j->state == STATE_QUEUED || (j->conclusion && strcmp(j->conclusion, "skipped") == 0)) {
		js_null(b, "runner_id");
		js_null(b, "runner_name");
		js_null(b, "runner_group_id");
		js_null(b, "runner_group_name");
		return;
	}
	js_u64(b, "runner_id", id);
	js_url(b, "runner_name", "GitHub Actions %" PRIu64, id);
	js_i64(b, "runner_group_id", RUNNER_GROUP);
	js_str(b, "runner_group_name", "GitHub Actions");
}

void github_job(struct buf *b, const struct github *g, const char *key, const struct run *r,
		const struct job *j, unsigned attempt)
{
	const char *repo = r->repo->full_name;

	js_open(b, key, '{');
	js_u64(b, "id", j->id);
	js_u64(b, "run_id", r->id);
	js_str(b, "workflow_name", r->workflow->name);
	js_str(b, "head_branch", r->branch);
	js_url(b, "run_url", "%s/repos/%s/actions/runs/%" PRIu64, g->api, repo, r->id);
	js_i64(b, "run_attempt", attempt);
	put_node_id(b, "008:CheckRun", j->id);
	js_str(b, "head_sha", r->sha);
	js_url(b, "url", "%s/repos/%s/actions/jobs/%" PRIu64, g->api, repo, j->id);
	js_url(b, "html_url", "%s/%s/actions/runs/%" PRIu64 "/job/%" PRIu64, g->web, repo, r->id,
	       j->id);
	js_str(b, "status", state_name(j->state));
	js_str(b, "conclusion", j->conclusion);
	js_time(b, "created_at", j->created_ms);
	js_time(b, "started_at", j->started_ms ? j->started_ms : j->created_ms);
	js_time(b, "completed_at", j->completed_ms);
	js_str(b, "name", j->name);
	put_steps(b, r, j);
	js_url(b, "check_run_url", "%s/repos/%s/check-runs/%" PRIu64, g->api, repo, j->id);
	js_raw(b, "labels", strstr(j->name, "macos") ? "[\"macos-14\"]" : "[\"ubuntu-22.04\"]");
	put_runner(b, j);
	js_close(b, '}');
}

void github_workflow(struct buf *b, const struct github *g, const char *key, const struct run *r)
{
	const struct workflow *w = r->workflow;

	js_open(b, key, '{');
	js_u64(b, "id", w->id);
	put_node_id(b, "008:Workflow", w->id);
	js_str(b, "name", w->name);
	js_str(b, "path", w->path);
	js_str(b, "state", "active");
	js_time(b, "created_at", REPO_BORN_MS);
	js_time(b, "updated_at", REPO_BORN_MS);
	js_url(b, "url", "%s/repos/%s/actions/workflows/%" PRIu64, g->api, r->repo->full_name,
	       w->id);
	js_url(b, "html_url", "%s/%s/blob/main/%s", g->web, r->repo->full_name, w->path);
	js_url(b, "badge_url", "%s/%s/workflows/%s/badge.svg", g->web, r->repo->full_name, w->name);
	js_close(b, '}');
}

/* --- webhooks ------------------------------------------------------------- */

static void put_organization(struct buf *b, const struct github *g, const struct repo *r)
{
	static const char *const parts[][2] = {
		{ "repos_url", "/repos" },
		{ "events_url", "/events" },
		{ "hooks_url", "/hooks" },
		{ "issues_url", "/issues" },
		{ "members_url", "/members{/member}" },
		{ "public_members_url", "/public_members{/member}" },
	};
	char owner[NAME_MAX_BYTES];
	uint64_t id;

	owner_of(r, owner);
	id = 1000000 + rng_hash(owner) % 90000000;
	js_open(b, "organization", '{');
	js_str(b, "login", owner);
	js_u64(b, "id", id);
	put_node_id(b, "012:Organization", id);
	js_url(b, "url", "%s/orgs/%s", g->api, owner);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		js_url(b, parts[i][0], "%s/orgs/%s%s", g->api, owner, parts[i][1]);
	js_url(b, "avatar_url", AVATAR_FORMAT, id);
	js_str(b, "description", "");
	js_close(b, '}');
}

/* What every webhook of a repository ends with. */
static void put_context(struct buf *b, const struct github *g, const struct run *r)
{
	github_repo(b, g, "repository", r->repo, true);
	put_organization(b, g, r->repo);
	github_user(b, "sender", run_last(r)->actor);
	if (g->installation) {
		js_open(b, "installation", '{');
		js_u64(b, "id", g->installation);
		put_node_id(b, "023:IntegrationInstallation", g->installation);
		js_close(b, '}');
	}
	js_close(b, '}');
	(void)js_done(b);
}

void payload_workflow_run(struct buf *b, const struct github *g, const struct run *r,
			  const char *action)
{
	js_open(b, NULL, '{');
	js_str(b, "action", action);
	github_run(b, g, "workflow_run", r, r->n_attempts);
	github_workflow(b, g, "workflow", r);
	put_context(b, g, r);
}

void payload_workflow_job(struct buf *b, const struct github *g, const struct run *r,
			  const struct job *j, const char *action)
{
	js_open(b, NULL, '{');
	js_str(b, "action", action);
	github_job(b, g, "workflow_job", r, j, r->n_attempts);
	put_context(b, g, r);
}

static void put_app(struct buf *b, const struct github *g)
{
	js_open(b, "app", '{');
	js_i64(b, "id", APP_ID);
	js_str(b, "slug", "github-actions");
	put_node_id(b, "03:App", APP_ID);
	js_str(b, "client_id", "Iv1.05c79e9ad1f6bdfa");
	put_account(b, "owner", "github", "Organization");
	js_str(b, "name", "GitHub Actions");
	js_str(b, "description", "Automate your workflow from idea to production");
	js_str(b, "external_url", "https://help.github.example/en/actions");
	js_url(b, "html_url", "%s/apps/github-actions", g->web);
	js_time(b, "created_at", REPO_BORN_MS);
	js_time(b, "updated_at", REPO_BORN_MS);
	js_raw(b, "permissions",
	       "{\"actions\":\"write\",\"administration\":\"read\",\"checks\":\"write\","
	       "\"contents\":\"write\",\"deployments\":\"write\",\"issues\":\"write\","
	       "\"metadata\":\"read\",\"packages\":\"write\",\"pages\":\"write\","
	       "\"pull_requests\":\"write\",\"statuses\":\"write\"}");
	js_raw(b, "events",
	       "[\"check_run\",\"check_suite\",\"create\",\"delete\",\"deployment\","
	       "\"deployment_status\",\"fork\",\"issues\",\"label\",\"page_build\",\"public\","
	       "\"pull_request\",\"push\",\"release\",\"repository\",\"repository_dispatch\","
	       "\"status\",\"watch\",\"workflow_dispatch\",\"workflow_run\"]");
	js_close(b, '}');
}

static void put_suite(struct buf *b, const struct github *g, const struct run *r)
{
	const struct attempt *a = run_last(r);
	const char *repo = r->repo->full_name;

	js_open(b, "check_suite", '{');
	js_u64(b, "id", r->check_suite);
	put_node_id(b, "010:CheckSuite", r->check_suite);
	js_str(b, "head_branch", r->branch);
	js_str(b, "head_sha", r->sha);
	js_str(b, "status", state_name(a->state));
	js_str(b, "conclusion", a->conclusion);
	js_url(b, "url", "%s/repos/%s/check-suites/%" PRIu64, g->api, repo, r->check_suite);
	js_url(b, "before", "%.20s%.20s", r->sha + 20, r->sha);
	js_str(b, "after", r->sha);
	js_raw(b, "pull_requests", "[]");
	put_app(b, g);
	js_time(b, "created_at", r->created_ms);
	js_time(b, "updated_at", a->updated_ms);
}

void payload_check_run(struct buf *b, const struct github *g, const struct run *r,
		       const struct job *j, const char *action)
{
	const char *repo = r->repo->full_name;

	js_open(b, NULL, '{');
	js_str(b, "action", action);
	js_open(b, "check_run", '{');
	js_u64(b, "id", j->id);
	js_str(b, "name", j->name);
	put_node_id(b, "008:CheckRun", j->id);
	js_str(b, "head_sha", r->sha);
	js_str(b, "external_id", "");
	js_url(b, "url", "%s/repos/%s/check-runs/%" PRIu64, g->api, repo, j->id);
	js_url(b, "html_url", "%s/%s/actions/runs/%" PRIu64 "/job/%" PRIu64, g->web, repo, r->id,
	       j->id);
	js_url(b, "details_url", "%s/%s/actions/runs/%" PRIu64 "/job/%" PRIu64, g->web, repo, r->id,
	       j->id);
	js_str(b, "status", state_name(j->state));
	js_str(b, "conclusion", j->conclusion);
	js_time(b, "started_at", j->started_ms ? j->started_ms : j->created_ms);
	js_time(b, "completed_at", j->completed_ms);
	js_open(b, "output", '{');
	js_null(b, "title");
	js_null(b, "summary");
	js_null(b, "text");
	js_i64(b, "annotations_count", conclusion_failed(j->conclusion));
	js_url(b, "annotations_url", "%s/repos/%s/check-runs/%" PRIu64 "/annotations", g->api, repo,
	       j->id);
	js_close(b, '}');
	put_suite(b, g, r);
	js_close(b, '}');
	put_app(b, g);
	js_raw(b, "pull_requests", "[]");
	js_close(b, '}');
	put_context(b, g, r);
}

void payload_check_suite(struct buf *b, const struct github *g, const struct run *r,
			 const char *action)
{
	js_open(b, NULL, '{');
	js_str(b, "action", action);
	put_suite(b, g, r);
	js_bool(b, "rerequestable", true);
	js_bool(b, "runs_rerequestable", false);
	js_i64(b, "latest_check_runs_count", run_last(r)->n_jobs);
	js_url(b, "check_runs_url", "%s/repos/%s/check-suites/%" PRIu64 "/check-runs", g->api,
	       r->repo->full_name, r->check_suite);
	put_head_commit(b, r, r->attempts[0]->actor);
	js_close(b, '}');
	put_context(b, g, r);
}

void payload_ping(struct buf *b, const struct github *g, const char *hook_url)
{
	js_open(b, NULL, '{');
	js_str(b, "zen", "Half of being done is knowing what was asked.");
	js_i64(b, "hook_id", HOOK_ID);
	js_open(b, "hook", '{');
	js_str(b, "type", g->installation ? "App" : "Organization");
	js_i64(b, "id", HOOK_ID);
	js_str(b, "name", "web");
	js_bool(b, "active", true);
	js_raw(b, "events", "[\"workflow_run\",\"workflow_job\"]");
	js_open(b, "config", '{');
	js_str(b, "content_type", "json");
	js_str(b, "insecure_ssl", "0");
	js_str(b, "secret", "********");
	js_str(b, "url", hook_url);
	js_close(b, '}');
	js_close(b, '}');
	js_close(b, '}');
	(void)js_done(b);
}

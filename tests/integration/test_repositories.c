/* The simulator's repositories: real git behind the API, and git itself over HTTP. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <git2.h>
#include <json-c/json.h>

#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "tests/integration/product.h"

#define REPO "/repos/octo/app"
#define AUTH "Authorization: Bearer " API_TOKEN "\r\n"

static struct answer ask(struct rig *r, const char *method, const char *path, const char *body)
{
	return http_ask(r, simulator_port(r), method, path, AUTH, body, strlen(body));
}

/* The member of an answer that has to have that status. */
static const char *got(struct rig *r, int status, const char *method, const char *path,
		       const char *body, const char *member)
{
	struct answer a = ask(r, method, path, body);

	if (a.status != status)
		fail_msg("%s %s: %d, not %d: %s", method, path, a.status, status,
			 a.body ? a.body : "");
	return member ? answer_str(&a, member) : "";
}

static void start(struct rig *r)
{
	(void)simulator_start(r, NULL);
	sim_post(r, "/_sim/repos", "{\"repo\":\"octo/app\",\"protected\":[\"main\"]}");
}

static const char *head_of(struct rig *r, const char *branch)
{
	return got(r, 200, "GET", rig_printf(r, REPO "/git/ref/heads/%s", branch), "",
		   "object.sha");
}

/* A commit with one new file on top of `parent`; nothing points to it yet. */
static const char *commit_on(struct rig *r, const char *parent, const char *file)
{
	const char *blob = got(r, 201, "POST", REPO "/git/blobs",
			       "{\"content\":\"aGVsbG8K\",\"encoding\":\"base64\"}", "sha");
	const char *base =
		got(r, 200, "GET", rig_printf(r, REPO "/git/commits/%s", parent), "", "tree.sha");
	const char *tree =
		got(r, 201, "POST", REPO "/git/trees",
		    rig_printf(r,
			       "{\"base_tree\":\"%s\",\"tree\":[{\"path\":\"%s\",\"mode\":"
			       "\"100644\",\"type\":\"blob\",\"sha\":\"%s\"}]}",
			       base, file, blob),
		    "sha");

	return got(r, 201, "POST", REPO "/git/commits",
		   rig_printf(r, "{\"message\":\"Add %s\",\"tree\":\"%s\",\"parents\":[\"%s\"]}",
			      file, tree, parent),
		   "sha");
}

static const char *ref_wish(struct rig *r, const char *branch, const char *sha)
{
	return rig_printf(r, "{\"ref\":\"refs/heads/%s\",\"sha\":\"%s\"}", branch, sha);
}

static const char *pull_wish(struct rig *r, const char *head)
{
	return rig_printf(r,
			  "{\"title\":\"A fix\",\"body\":\"Why\",\"head\":\"%s\","
			  "\"base\":\"main\"}",
			  head);
}

/* A commit of a person. */
static const char *person_commits(struct rig *r, const char *branch, const char *file,
				  const char *text)
{
	return got(r, 201, "POST", "/_sim/commits",
		   rig_printf(r,
			      "{\"repo\":\"octo/app\",\"branch\":\"%s\",\"files\":{\"%s\":\"%s\"}}",
			      branch, file, text),
		   "sha");
}

/* --- the git data API ------------------------------------------------------------ */

static void a_commit_is_made_of_its_parts(struct rig *r)
{
	const char *path, *main_sha, *made;
	struct answer raw;
	git_repository *git;
	git_object *o;

	start(r);
	main_sha = head_of(r, "main");
	made = commit_on(r, main_sha, "deep/down/hello.txt");
	got(r, 201, "POST", REPO "/git/refs", ref_wish(r, "pipeline-guard/fix", made), NULL);
	raw = http_ask(r, simulator_port(r), "GET",
		       REPO "/contents/deep/down/hello.txt?ref=pipeline-guard/fix",
		       AUTH "Accept: application/vnd.github.raw+json\r\n", "", 0);
	assert_int_equal(raw.status, 200);
	assert_memory_equal(raw.body, "hello\n", 6);
	/* It is really there. */
	path = got(r, 200, "GET", "/_sim/repos?repo=octo/app", "", "path");
	(void)git_libgit2_init();
	assert_int_equal(git_repository_open_bare(&git, path), 0);
	assert_int_equal(git_revparse_single(&o, git, "pipeline-guard/fix:deep/down/hello.txt"), 0);
	assert_string_equal(git_blob_rawcontent((git_blob *)o), "hello\n");
	git_object_free(o);
	assert_int_equal(git_revparse_single(&o, git, "pipeline-guard/fix^"), 0);
	assert_int_equal(git_oid_strcmp(git_object_id(o), main_sha), 0);
	git_object_free(o);
	git_repository_free(git);
	(void)git_libgit2_shutdown();
	assert_string_equal(head_of(r, "main"), main_sha);
}

static void what_does_not_fit_is_refused_like_github_does(struct rig *r)
{
#define NOWHERE "0123456789012345678901234567890123456789"
	static const struct row {
		const char *why, *method, *path, *body;
		int status;
		const char *says;
	} rows[] = {
		{ "a branch that is there", "POST", REPO "/git/refs",
		  "{\"ref\":\"refs/heads/main\",\"sha\":\"%s\"}", 422, "Reference already exists" },
		{ "a commit that is not", "POST", REPO "/git/refs",
		  "{\"ref\":\"refs/heads/x\",\"sha\":\"" NOWHERE "\"}", 422,
		  "Object does not exist" },
		{ "no full name", "POST", REPO "/git/refs", "{\"ref\":\"x\",\"sha\":\"%s\"}", 422,
		  "must start with 'refs/'" },
		{ "a name that git has no use for", "POST", REPO "/git/refs",
		  "{\"ref\":\"refs/heads/a..b\",\"sha\":\"%s\"}", 422, "not valid" },
		{ "no such tree", "POST", REPO "/git/commits",
		  "{\"message\":\"m\",\"tree\":\"" NOWHERE "\",\"parents\":[]}", 422,
		  "Tree SHA does not exist" },
		{ "no such base", "POST", REPO "/git/trees",
		  "{\"base_tree\":\"" NOWHERE "\",\"tree\":[{\"path\":\"a\",\"mode\":\"100644\","
		  "\"content\":\"x\"}]}",
		  422, "base_tree" },
		{ "a path out of the tree", "POST", REPO "/git/trees",
		  "{\"tree\":[{\"path\":\"../a\",\"mode\":\"100644\",\"content\":\"x\"}]}", 422,
		  "BadObjectState" },
		{ "git's own folder", "POST", REPO "/git/trees",
		  "{\"tree\":[{\"path\":\".git/config\",\"mode\":\"100644\",\"content\":\"x\"}]}",
		  422, "BadObjectState" },
		{ "nothing to delete", "POST", REPO "/git/trees",
		  "{\"tree\":[{\"path\":\"none\",\"mode\":\"100644\",\"sha\":null}]}", 422,
		  "BadObjectState" },
		{ "no such file", "GET", REPO "/contents/none", "", 404, "Not Found" },
		{ "no such branch", "GET", REPO "/branches/none", "", 404, "Branch not found" },
		{ "no such ref for a file", "GET", REPO "/contents/README.md?ref=none", "", 404,
		  "No commit found for the ref none" },
		{ "no such repository", "GET", "/repos/octo/none/branches/main", "", 404,
		  "Not Found" },
		{ "no JSON", "POST", REPO "/git/refs", "{", 400, "Problems parsing JSON" },
		{ "no such head", "POST", REPO "/pulls",
		  "{\"title\":\"t\",\"head\":\"none\",\"base\":\"main\"}", 422, "" },
		{ "nothing new", "POST", REPO "/pulls",
		  "{\"title\":\"t\",\"head\":\"main\",\"base\":\"main\"}", 422, "" },
		{ "a protected branch goes", "DELETE", REPO "/git/refs/heads/main", "", 422,
		  "protected" },
	};
	const char *sha;

	start(r);
	sha = head_of(r, "main");
	for (const struct row *row = rows; row < rows + ARRAY_LEN(rows); row++) {
		const char *at = strstr(row->body, "%s");
		const char *body = at ? rig_printf(r, "%.*s%s%s", (int)(at - row->body), row->body,
						   sha, at + 2)
				      : row->body;
		const char *says = got(r, row->status, row->method, row->path, body, "message");

		if (!strstr(says, row->says))
			fail_msg("%s: \"%s\" does not say \"%s\"", row->why, says, row->says);
	}
	assert_string_equal(head_of(r, "main"), sha);
}

static void an_empty_repository_has_no_place_for_a_commit(struct rig *r)
{
	(void)simulator_start(r, NULL);
	sim_post(r, "/_sim/repos", "{\"repo\":\"octo/app\",\"empty\":true}");
	got(r, 409, "POST", REPO "/git/blobs", "{\"content\":\"x\"}", NULL);
	got(r, 409, "GET", REPO "/git/ref/heads/main", "", NULL);
	got(r, 404, "GET", REPO "/contents/README.md", "", NULL);
	(void)person_commits(r, "main", "README.md", "hello");
	got(r, 201, "POST", REPO "/git/blobs", "{\"content\":\"x\"}", NULL);
}

/* --- pull requests ----------------------------------------------------------------- */

static void there_is_one_pull_request_for_a_branch(struct rig *r)
{
	struct answer twice, list;
	const char *sha;

	start(r);
	sha = commit_on(r, head_of(r, "main"), "fix");
	got(r, 201, "POST", REPO "/git/refs", ref_wish(r, "fix", sha), NULL);
	got(r, 201, "POST", REPO "/pulls", pull_wish(r, "fix"), NULL);
	twice = ask(r, "POST", REPO "/pulls", pull_wish(r, "octo:fix"));
	assert_int_equal(twice.status, 422);
	assert_non_null(strstr(twice.body, "A pull request already exists for octo:fix."));
	list = ask(r, "GET", REPO "/pulls?head=octo:fix", "");
	assert_int_equal(json_object_array_length(list.json), 1);
	assert_string_equal(answer_str(&list, "0.head.sha"), sha);
	list = ask(r, "GET", REPO "/pulls?head=octo:other", "");
	assert_int_equal(json_object_array_length(list.json), 0);
	list = ask(r, "GET", rig_printf(r, REPO "/commits/%s/pulls", sha), "");
	assert_int_equal(json_object_array_length(list.json), 1);
	got(r, 200, "POST", REPO "/issues/1/labels", "{\"labels\":[\"pipeline-guard\"]}", NULL);
	got(r, 201, "POST", REPO "/issues/1/comments", "{\"body\":\"Evidence\"}", NULL);
	assert_string_equal(
		got(r, 200, "GET", "/_sim/repos?repo=octo/app", "", "proposals.0.last_comment"),
		"Evidence");
	/* When that one is closed there may be another one. */
	got(r, 200, "PATCH", REPO "/pulls/1", "{\"state\":\"closed\"}", NULL);
	got(r, 201, "POST", REPO "/pulls", pull_wish(r, "fix"), NULL);
}

static void a_branch_is_brought_up_to_date(struct rig *r)
{
	const char *head;

	start(r);
	head = person_commits(r, "work", "src/new.py", "x = 1");
	got(r, 201, "POST", "/_sim/pulls", "{\"repo\":\"octo/app\",\"head\":\"work\"}", NULL);
#define UPDATE(sha) rig_printf(r, "{\"expected_head_sha\":\"%s\"}", (sha))
	assert_string_equal(
		got(r, 422, "PUT", REPO "/pulls/1/update-branch", UPDATE(head), "message"),
		"There are no new commits on the base branch.");
	(void)person_commits(r, "main", "src/other.py", "y = 2");
	assert_string_equal(got(r, 200, "GET", REPO "/pulls/1", "", "mergeable_state"), "behind");
	got(r, 422, "PUT", REPO "/pulls/1/update-branch", UPDATE(head_of(r, "main")), NULL);
	assert_string_equal(head_of(r, "work"), head);
	got(r, 202, "PUT", REPO "/pulls/1/update-branch", UPDATE(head), NULL);
	assert_string_not_equal(head_of(r, "work"), head);
	got(r, 200, "GET", REPO "/contents/src/other.py?ref=work", "", NULL);
	assert_string_equal(got(r, 200, "GET", REPO "/compare/main...work", "", "status"), "ahead");
	/* The same file on both sides. */
	(void)person_commits(r, "work", "src/both.py", "a = 1");
	(void)person_commits(r, "main", "src/both.py", "a = 2");
	assert_string_equal(got(r, 200, "GET", REPO "/pulls/1", "", "mergeable_state"), "dirty");
	assert_string_equal(got(r, 422, "PUT", REPO "/pulls/1/update-branch",
				UPDATE(head_of(r, "work")), "message"),
			    "merge conflict between base and head");
}

static void a_fork_is_somebody_elses(struct rig *r)
{
	const char *head, *wish;

	start(r);
	head = person_commits(r, "theirs", "src/new.py", "x = 1");
	got(r, 201, "POST", "/_sim/pulls",
	    "{\"repo\":\"octo/app\",\"head\":\"theirs\",\"of_fork\":true}", NULL);
	got(r, 404, "GET", REPO "/branches/theirs", "", NULL);
	assert_string_equal(got(r, 200, "GET", REPO "/pulls/1", "", "head.repo.full_name"),
			    "mallory/app");
	(void)person_commits(r, "main", "src/other.py", "y = 2");
	wish = rig_printf(r, "{\"expected_head_sha\":\"%s\"}", head);
	got(r, 403, "PUT", REPO "/pulls/1/update-branch", wish, NULL);
	assert_string_equal(got(r, 200, "GET", REPO "/pulls/1", "", "head.sha"), head);
}

static void only_who_may_write_writes(struct rig *r)
{
	const char *sha;

	start(r);
	sha = head_of(r, "main");
	sim_post(r, "/_sim/repos", "{\"repo\":\"octo/app\",\"access\":\"read\"}");
	got(r, 200, "GET", REPO "/contents/README.md", "", NULL);
	got(r, 403, "POST", REPO "/git/refs", ref_wish(r, "x", sha), NULL);
	got(r, 403, "POST", REPO "/pulls", pull_wish(r, "x"), NULL);
	sim_post(r, "/_sim/repos", "{\"repo\":\"octo/app\",\"access\":\"none\"}");
	got(r, 404, "GET", REPO "/contents/README.md", "", NULL);
	got(r, 404, "POST", REPO "/git/refs", ref_wish(r, "x", sha), NULL);
}

static void a_run_is_of_a_commit_that_is_there(struct rig *r)
{
	uint64_t run;
	const char *sha;

	start(r);
	sha = person_commits(r, "work", "a", "b");
	run = sim_run(r, "{\"repo\":\"octo/app\",\"branch\":\"work\",\"cause\":\"network_dns\"}");
	assert_string_equal(sim_word(r, run, "sha"), sha);
}

/* --- starting a workflow by hand --------------------------------------------------- */

#define DISPATCH REPO "/actions/workflows/ci.yml/dispatches"
#define SHORT_OF_MEMORY                                                                     \
	"{\"repo\":\"octo/app\",\"branch\":\"main\",\"workflow\":\"CI\",\"cause\":\"oom\"," \
	"\"provider\":\"%s\",\"job_ms\":0}"

/* The run that was made in the place of that one; 0: none. */
static uint64_t made_for(struct rig *r, uint64_t run)
{
	struct answer a = http_get(r, simulator_port(r), "/_sim/runs");
	struct json_object *list = json_at(a.json, "runs");

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if ((uint64_t)json_i64(o, "in_place_of", 0) == run)
			return (uint64_t)json_i64(o, "id", 0);
	}
	return 0;
}

static bool is_over(struct rig *r, uint64_t run)
{
	return strcmp(sim_word(r, run, "status"), "completed") == 0;
}

static void a_workflow_takes_the_inputs_that_it_has(struct rig *r)
{
	uint64_t run, again;
	struct answer list;

	start(r);
	run = sim_run(r, rig_printf(r, SHORT_OF_MEMORY, "github"));
	WAIT(r, is_over(r, run));
	assert_string_equal(got(r, 422, "POST", DISPATCH,
				"{\"ref\":\"main\",\"inputs\":{\"runner\":\"big\",\"x\":\"y\"}}",
				"message"),
			    "Unexpected inputs provided: [\"x\"]");
	got(r, 422, "POST", DISPATCH, "{\"ref\":\"none\"}", NULL);
	got(r, 422, "POST", REPO "/actions/workflows/nightly.yml/dispatches", "{\"ref\":\"main\"}",
	    NULL);
	got(r, 404, "POST", REPO "/actions/workflows/none.yml/dispatches", "{\"ref\":\"main\"}",
	    NULL);
	assert_int_equal(made_for(r, run), 0);
	got(r, 204, "POST",
	    rig_printf(r, REPO "/actions/workflows/%" PRId64 "/dispatches",
		       sim_number(r, run, "workflow_id")),
	    "{\"ref\":\"main\",\"inputs\":{\"runner\":\"big\"}}", NULL);
	again = made_for(r, run);
	assert_int_not_equal(again, 0);
	WAIT(r, is_over(r, again));
	assert_string_equal(sim_word(r, again, "conclusion"), "success");
	list = ask(r, "GET",
		   rig_printf(r, REPO "/actions/runs?event=workflow_dispatch&head_sha=%s",
			      sim_word(r, run, "sha")),
		   "");
	assert_int_equal(json_i64(list.json, "total_count", 0), 1);
}

/* --- GitLab ------------------------------------------------------------------------- */

static struct answer ask_gitlab(struct rig *r, const char *method, const char *path,
				const char *body)
{
	return http_ask(r, simulator_port(r), method, path, "PRIVATE-TOKEN: " API_TOKEN "\r\n",
			body, strlen(body));
}

static const char *got_gitlab(struct rig *r, int status, const char *method, const char *path,
			      const char *body, const char *member)
{
	struct answer a = ask_gitlab(r, method, path, body);

	if (a.status != status)
		fail_msg("%s %s: %d, not %d: %s", method, path, a.status, status,
			 a.body ? a.body : "");
	return member ? answer_str(&a, member) : "";
}

static const char *start_gitlab(struct rig *r)
{
	struct answer a;

	(void)simulator_start(r, NULL);
	a = http_post_json(
		r, simulator_port(r), "/_sim/repos",
		"{\"repo\":\"octo/app\",\"provider\":\"gitlab\",\"protected\":[\"main\"]}");
	return rig_printf(r, "/api/v4/projects/%" PRId64, json_i64(a.json, "repo_id", 0));
}

static void gitlab_commits_with_one_request(struct rig *r)
{
	const char *project = start_gitlab(r), *sha, *commits;
#define ACTIONS(from, what)                                                                       \
	"{\"branch\":\"fix\",\"commit_message\":\"Fix\"," from "\"actions\":[{\"action\":\"" what \
	"\",\"content\":\"aGVsbG8K\",\"encoding\":"                                               \
	"\"base64\",\"file_path\":\"README.md\"}]}"

	commits = rig_printf(r, "%s/repository/commits", project);
	sha = got_gitlab(r, 200, "GET", rig_printf(r, "%s/repository/branches/main", project), "",
			 "commit.id");
	got_gitlab(r, 400, "POST", commits, ACTIONS("", "update"), NULL);
	got_gitlab(r, 400, "POST", commits,
		   ACTIONS("\"start_sha\":\"0123456789012345678901234567890123456789\",", "update"),
		   NULL);
	assert_string_equal(got_gitlab(r, 400, "POST", commits,
				       ACTIONS("\"start_branch\":\"main\",", "create"), "message"),
			    "A file with this name already exists");
	got_gitlab(r, 404, "GET", rig_printf(r, "%s/repository/branches/fix", project), "", NULL);
	assert_string_equal(got_gitlab(r, 201, "POST", commits,
				       ACTIONS("\"start_branch\":\"main\",", "update"),
				       "parent_ids.0"),
			    sha);
	assert_non_null(
		strstr(got_gitlab(r, 400, "POST", commits,
				  ACTIONS("\"start_branch\":\"main\",", "update"), "message"),
		       "already exists"));
	got_gitlab(r, 403, "POST", commits,
		   "{\"branch\":\"main\",\"commit_message\":\"m\",\"actions\":[]}", NULL);
	assert_string_equal(
		ask_gitlab(r, "GET",
			   rig_printf(r, "%s/repository/files/README.md/raw?ref=fix", project), "")
			.body,
		"hello\n");
}

static void gitlab_rebases_a_merge_request(struct rig *r)
{
	const char *project = start_gitlab(r), *head, *request;

	head = person_commits(r, "work", "src/new.py", "x = 1");
	(void)person_commits(r, "main", "src/other.py", "y = 2");
	request = rig_printf(r, "%s/merge_requests", project);
#define REQUEST "{\"source_branch\":\"work\",\"target_branch\":\"main\",\"title\":\"t\"}"
	got_gitlab(r, 201, "POST", request, REQUEST, NULL);
	got_gitlab(r, 409, "POST", request, REQUEST, NULL);
	request = rig_printf(r, "%s/1", request);
	assert_string_equal(got_gitlab(r, 200, "GET", request, "", "detailed_merge_status"),
			    "need_rebase");
	got_gitlab(r, 202, "PUT", rig_printf(r, "%s/rebase", request), "", NULL);
	assert_string_equal(got_gitlab(r, 200, "GET", request, "", "detailed_merge_status"),
			    "mergeable");
	assert_string_not_equal(got_gitlab(r, 200, "GET", request, "", "sha"), head);
	got_gitlab(r, 201, "POST", rig_printf(r, "%s/notes", request), "{\"body\":\"b\"}", NULL);
	(void)person_commits(r, "work", "src/both.py", "a = 1");
	(void)person_commits(r, "main", "src/both.py", "a = 2");
	got_gitlab(r, 202, "PUT", rig_printf(r, "%s/rebase", request), "", NULL);
	assert_non_null(strstr(got_gitlab(r, 200, "GET", request, "", "merge_error"), "conflicts"));
}

static void a_token_that_only_reads_writes_nothing(struct rig *r)
{
	const char *project = start_gitlab(r), *branch;

	branch = rig_printf(r, "%s/repository/branches/main", project);
	sim_post(r, "/_sim/scopes", "{\"gitlab\":\"read_api\"}");
	got_gitlab(r, 200, "GET", branch, "", NULL);
	assert_string_equal(got_gitlab(r, 403, "POST", rig_printf(r, "%s/pipeline", project),
				       "{\"ref\":\"main\"}", "error"),
			    "insufficient_scope");
	sim_post(r, "/_sim/scopes", "{\"gitlab\":\"api\"}");
	got_gitlab(r, 201, "POST", rig_printf(r, "%s/pipeline", project), "{\"ref\":\"main\"}",
		   NULL);
}

static void gitlab_reverts_once(struct rig *r)
{
	const char *project = start_gitlab(r), *bad, *path;

	(void)person_commits(r, "work", "README.md", "good");
	bad = person_commits(r, "work", "README.md", "bad");
	path = rig_printf(r, "%s/repository/commits/%s/revert", project, bad);
	got_gitlab(r, 201, "POST", path, "{\"branch\":\"work\"}", NULL);
	assert_string_equal(
		ask_gitlab(r, "GET",
			   rig_printf(r, "%s/repository/files/README.md/raw?ref=work", project), "")
			.body,
		"good");
	got_gitlab(r, 400, "POST", path, "{\"branch\":\"work\"}", NULL);
	got_gitlab(r, 403, "POST", path, "{\"branch\":\"main\"}", NULL);
}

static void gitlab_makes_a_pipeline_by_hand(struct rig *r)
{
	const char *project = start_gitlab(r);
	uint64_t run = sim_run(r, rig_printf(r, SHORT_OF_MEMORY, "gitlab")), again;
	struct answer list;

	WAIT(r, is_over(r, run));
	got_gitlab(r, 400, "POST", rig_printf(r, "%s/pipeline", project), "{\"ref\":\"none\"}",
		   NULL);
	got_gitlab(r, 201, "POST", rig_printf(r, "%s/pipeline", project),
		   "{\"ref\":\"main\",\"variables\":[{\"key\":\"SIZE\",\"value\":\"big\"}]}", NULL);
	again = made_for(r, run);
	assert_non_null(strstr(sim_word(r, again, "inputs"), "big"));
	WAIT(r, is_over(r, again));
	assert_string_equal(sim_word(r, again, "conclusion"), "success");
	list = ask_gitlab(
		r, "GET",
		rig_printf(r, "%s/pipelines?source=api&sha=%s", project, sim_word(r, run, "sha")),
		"");
	assert_int_equal(json_object_array_length(list.json), 1);
}

/* --- Jenkins ------------------------------------------------------------------------ */

static int build_with(struct rig *r, const char *form)
{
	OWNED(freep) char *code = base64_encode("ci:" API_TOKEN, strlen("ci:" API_TOKEN));

	return http_ask(r, simulator_port(r), "POST", "/job/octo/job/app/buildWithParameters",
			rig_printf(r,
				   "Authorization: Basic %s\r\nContent-Type: "
				   "application/x-www-form-urlencoded\r\n",
				   code),
			form, strlen(form))
		.status;
}

static void jenkins_takes_the_parameters_that_the_job_has(struct rig *r)
{
	uint64_t run;

	start(r);
	run = sim_run(r, rig_printf(r, SHORT_OF_MEMORY, "jenkins"));
	WAIT(r, is_over(r, run));
	assert_int_equal(build_with(r, "AGENT=big"), 400);
	sim_post(r, "/_sim/repos",
		 "{\"repo\":\"octo/app\",\"provider\":\"jenkins\",\"parameters\":\"SIZE,AGENT\"}");
	assert_int_equal(build_with(r, "AGENT=big&NONE=x"), 302);
	assert_string_equal(sim_word(r, run, "inputs"), "AGENT=big");
	WAIT(r, is_over(r, run));
	assert_string_equal(sim_word(r, run, "conclusion"), "success");
}

/* --- git itself --------------------------------------------------------------------- */

/* The password is told in the environment: an address would stay in the clone, and in argv. */
static int git_here(struct rig *r, const char *password, const char *const *args)
{
	const char *argv[24] = { "git",         "-C", rig_path(r, "."),          "-c",
				 "user.name=a", "-c", "user.email=a@example.org" };
	const char *pair = rig_printf(r, "x-access-token:%s", password);
	OWNED(freep) char *code = base64_encode(pair, strlen(pair));
	const char *header = rig_printf(r, "GIT_CONFIG_VALUE_0=Authorization: Basic %s", code);
	struct proc *p;
	size_t n = 7;

	while (*args && n < ARRAY_LEN(argv) - 1)
		argv[n++] = *args++;
	p = proc_start(r, "git", argv,
		       LIST("GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=1",
			    "GIT_CONFIG_KEY_0=http.extraHeader", header));
	proc_may_die(p);
	return proc_wait(p, PATIENCE_MS);
}
#define git_clone(r, ...) git_here((r), API_TOKEN, LIST("-C", "clone", __VA_ARGS__))

static void git_clones_and_pushes_with_the_token(struct rig *r)
{
	const char *url, *head;
	OWNED(freep) char *big = xcalloc(1, (2 << 20) + 1);

	start(r);
	url = rig_printf(r, "%s/octo/app.git", simulator_url(r));
	assert_int_not_equal(git_here(r, "wrong", LIST("clone", "-q", url, "clone")), 0);
	assert_int_equal(git_here(r, API_TOKEN, LIST("clone", "-q", url, "clone")), 0);
	/* Larger than what git sends in one piece. */
	for (size_t i = 0; i < 2 << 20; i++)
		big[i] = (char)('a' + random_below(26));
	rig_write(r, "clone/big", big, 0644);
	assert_int_equal(git_clone(r, "add", "big"), 0);
	assert_int_equal(git_clone(r, "commit", "-qm", "Big"), 0);
	assert_int_equal(git_clone(r, "push", "-q", url, "HEAD:refs/heads/fix"), 0);
	head = head_of(r, "fix");
	assert_string_not_equal(head, head_of(r, "main"));
	assert_int_not_equal(git_clone(r, "push", "-q", url, "HEAD:main"), 0);
	assert_string_not_equal(head, head_of(r, "main"));
	sim_post(r, "/_sim/repos", "{\"repo\":\"octo/app\",\"access\":\"read\"}");
	assert_int_not_equal(git_clone(r, "push", "-q", url, "HEAD:refs/heads/more"), 0);
	assert_int_equal(git_clone(r, "fetch", "-q", url), 0);
	sim_post(r, "/_sim/repos", "{\"repo\":\"octo/app\",\"access\":\"none\"}");
	assert_int_not_equal(git_clone(r, "fetch", "-q", url), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_commit_is_made_of_its_parts),
		RIG_TEST(what_does_not_fit_is_refused_like_github_does),
		RIG_TEST(an_empty_repository_has_no_place_for_a_commit),
		RIG_TEST(there_is_one_pull_request_for_a_branch),
		RIG_TEST(a_branch_is_brought_up_to_date),
		RIG_TEST(a_fork_is_somebody_elses),
		RIG_TEST(only_who_may_write_writes),
		RIG_TEST(a_run_is_of_a_commit_that_is_there),
		RIG_TEST(a_workflow_takes_the_inputs_that_it_has),
		RIG_TEST(gitlab_commits_with_one_request),
		RIG_TEST(gitlab_rebases_a_merge_request),
		RIG_TEST(a_token_that_only_reads_writes_nothing),
		RIG_TEST(gitlab_reverts_once),
		RIG_TEST(gitlab_makes_a_pipeline_by_hand),
		RIG_TEST(jenkins_takes_the_parameters_that_the_job_has),
		RIG_TEST(git_clones_and_pushes_with_the_token),
	};

	return rig_main(tests);
}

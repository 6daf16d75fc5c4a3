/* What proposals ask of GitHub and GitLab. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "fake_api.h"
#include "healers/change.h"
#include "healers/healer.h"

#define BRANCH "pipeline-guard/bump_timeout-0123456789abcdef"
#define SHA    "1111111111111111111111111111111111111111"

static const struct api_run run = {
	.repo = "acme/shop", .repo_id = 5, .run_id = 7, .generation = 1
};

static struct change_file files[] = {
	{ .path = "tests/pytest.ini",
	  .before = "timeout = 30\n",
	  .n_before = 13,
	  .after = "timeout = 60 # \"x\"\n",
	  .n_after = 19 },
	{ .path = ".npmrc", .after = "registry=x\n", .n_after = 11 },
};
static const struct change two = { files, 2 };
static const char *const labels[] = { "ci", "pipeline guard" };
static const struct api_change change = {
	.branch = BRANCH,
	.onto = "main",
	.sha = SHA,
	.change = &two,
	.message = "Raise it\n\nSigned-off-by: G <g@x>\n",
	.author_name = "G",
	.author_email = "g@x",
	.title = "Raise \"it\"",
	.body = "because\n",
	.labels = labels,
	.n_labels = 2,
};

static int github(void **state)
{
	static const char *const sets[] = { "github.api_url=http://127.0.0.1:PORT/",
					    "github.timeout=400ms", "github.write_interval=0s",
					    NULL };

	return fake_api_setup(state, &provider_api_github, "PIPELINE_GUARD_GITHUB_TOKEN", "ghp_1",
			      sets);
}

static int gitlab(void **state)
{
	static const char *const sets[] = { "gitlab.url=http://127.0.0.1:PORT/git/",
					    "gitlab.timeout=400ms", NULL };

	return fake_api_setup(state, &provider_api_gitlab, "PIPELINE_GUARD_GITLAB_TOKEN", "glpat-1",
			      sets);
}

#define HAS(text, part)                                                      \
	do {                                                                 \
		if (!strstr((text), (part)))                                 \
			fail_msg("\"%s\" is not in \"%s\"", (part), (text)); \
	} while (0)

/* --- looking -------------------------------------------------------------------------------- */

static void github_tells_the_head_of_a_branch(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/repos/acme/shop/branches/feature/a%20b",
		    .status = 200,
		    .body = "{\"name\":\"feature/a b\",\"commit\":{\"sha\":\"aa\",\"commit\":"
			    "{\"message\":\"m\"},\"parents\":[{\"sha\":\"bb\"}]}}" });
	fake_api_branch(f, &run, "feature/a b", &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(s.branch, "aa bb m");
}

/* GitHub follows the new name of a branch, and that is another branch. */
static void a_branch_that_was_renamed_is_none(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/branches/old",
		    .status = 200,
		    .body = "{\"name\":\"new\",\"commit\":{\"sha\":\"aa\"}}" });
	fake_api_branch(f, &run, "old", &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(s.branch, "  ");
}

static void no_branch_is_an_answer(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET", .path = "/branches/", .status = 404 });
	fake_api_branch(f, &run, BRANCH, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(s.branch, "  ");
	SCRIPT(f, { .method = "GET", .path = "/branches/", .status = 403 });
	fake_api_branch(f, &run, BRANCH, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	SCRIPT(f, { .method = "GET", .path = "/branches/", .status = 502 });
	fake_api_branch(f, &run, BRANCH, &s);
	assert_int_equal(s.r.fate, API_RETRY);
	SCRIPT(f, { .method = "GET", .path = "/branches/", .status = 200, .body = "<html>" });
	fake_api_branch(f, &run, BRANCH, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
}

static void github_tells_what_became_of_a_proposal(void **state)
{
#define PULL(state_, more)                                                                  \
	"[{\"number\":1,\"html_url\":\"https://x/9\",\"state\":\"open\",\"head\":{\"ref\":" \
	"\"other\"}},{\"number\":2,\"html_url\":\"https://x/2\",\"state\":\"" state_        \
	"\",\"head\":{\"ref\":\"" BRANCH "\"}" more "}]"
	static const struct {
		const char *body;
		enum api_proposal_state state;
		int64_t at_ms;
	} rows[] = {
		{ PULL("open", ",\"closed_at\":null"), PROPOSAL_OPEN, -1 },
		{ PULL("closed", ",\"closed_at\":\"2026-01-01T00:00:01Z\",\"merged_at\":null"),
		  PROPOSAL_CLOSED, 1767225601000 },
		{ PULL("closed", ",\"closed_at\":\"2026-01-01T00:00:01Z\",\"merged_at\":"
				 "\"2026-01-01T00:00:00Z\""),
		  PROPOSAL_MERGED, 1767225600000 },
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_report s;

		SCRIPT(f,
		       { .method = "GET", .path = "/pulls?", .status = 200, .body = rows[i].body });
		fake_api_proposal(f, &run, BRANCH, &s);
		assert_case(s.r.fate == API_OK, rows[i].body);
		assert_case(s.r.proposal.state == rows[i].state, rows[i].body);
		assert_case(s.r.proposal.ended_at_ms == rows[i].at_ms, rows[i].body);
		assert_case(strcmp(s.url, "https://x/2") == 0, rows[i].body);
	}
	HAS(f->asked, "/pulls?state=all&");
	HAS(f->asked, "&head=acme:pipeline-guard%2Fbump_timeout-0123456789abcdef");
}

/* A stranger's, from a branch of a fork that is named like ours: it would be shown as ours. */
static void what_a_fork_proposes_is_not_ours(void **state)
{
	static const char *const github_says[] = {
		"[{\"html_url\":\"https://x/9\",\"state\":\"open\",\"head\":{\"ref\":\"" BRANCH
		"\",\"repo\":{\"id\":6}},\"base\":{\"repo\":{\"id\":5}}},",
		"[{\"html_url\":\"https://x/9\",\"state\":\"open\",\"head\":{\"ref\":\"" BRANCH
		"\",\"repo\":null},\"base\":{\"repo\":{\"id\":5}}},",
	};
	struct fake_api *f = *state;
	struct fake_report s;
	char body[1024];

	for (size_t i = 0; i < ARRAY_LEN(github_says); i++) {
		(void)snprintf(body, sizeof(body),
			       "%s{\"html_url\":\"https://x/2\",\"state\":\"closed\",\"head\":{"
			       "\"ref\":\"" BRANCH "\",\"repo\":{\"id\":5}},\"base\":{\"repo\":{"
			       "\"id\":5}}}]",
			       github_says[i]);
		SCRIPT(f, { .method = "GET", .path = "/pulls?", .status = 200, .body = body });
		fake_api_proposal(f, &run, BRANCH, &s);
		assert_string_equal(s.url, "https://x/2");
	}
}

static void what_a_fork_wants_merged_is_not_ours(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/merge_requests?",
		    .status = 200,
		    .body = "[{\"web_url\":\"https://x/9\",\"state\":\"opened\","
			    "\"source_project_id\":6,\"target_project_id\":5},"
			    "{\"web_url\":\"https://x/2\",\"state\":\"closed\","
			    "\"source_project_id\":5,\"target_project_id\":5}]" });
	fake_api_proposal(f, &run, BRANCH, &s);
	assert_string_equal(s.url, "https://x/2");
}

static void nothing_proposed_is_an_answer(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET", .path = "/pulls?", .status = 200, .body = "[]" },
	       { .method = "GET", .path = "/merge_requests?", .status = 200, .body = "[]" });
	fake_api_proposal(f, &run, BRANCH, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(s.url, "");
}

/* --- GitHub: objects, then the branch ----------------------------------------------------------
 */

#define ENTRY(path, mode, type) \
	"{\"path\":\"" path "\",\"mode\":\"" mode "\",\"type\":\"" type "\",\"sha\":\"s-" path "\"}"
#define BASE                                                                 \
	{                                                                    \
		.method = "GET", .path = "/git/commits/" SHA, .status = 200, \
		.body = "{\"tree\":{\"sha\":\"root\"}}"                      \
	}
#define ROOT(entries)                                                      \
	{                                                                  \
		.method = "GET", .path = "/git/trees/root", .status = 200, \
		.body = "{\"tree\":[" entries "]}"                         \
	}
#define FOLDER(entries)                                                       \
	{                                                                     \
		.method = "GET", .path = "/git/trees/s-tests", .status = 200, \
		.body = "{\"tree\":[" entries "]}"                            \
	}
#define MADE(what)                                                     \
	{                                                              \
		.method = "POST", .path = "/git/" what, .status = 201, \
		.body = "{\"sha\":\"new-" what "\"}"                   \
	}

static void github_makes_the_branch_last_and_keeps_modes(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, BASE, ROOT(ENTRY("tests", "040000", "tree")),
	       FOLDER(ENTRY("pytest.ini", "100755", "blob")), MADE("trees"), MADE("commits"),
	       MADE("refs"));
	fake_api_change(f, f->ops->commit_files, &run, &change, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(
		f->posts,
		"{\"base_tree\":\"root\",\"tree\":[{\"path\":\"tests/pytest.ini\",\"mode\":"
		"\"100755\",\"type\":\"blob\",\"content\":\"timeout = 60 # \\\"x\\\"\\n\"},{"
		"\"path\":\".npmrc\",\"mode\":\"100644\",\"type\":\"blob\",\"content\":"
		"\"registry=x\\n\"}]}\n"
		"{\"message\":\"Raise it\\n\\nSigned-off-by: G <g@x>\\n\",\"tree\":\"new-trees\","
		"\"parents\":[\"" SHA "\"],\"author\":{\"name\":\"G\",\"email\":\"g@x\"}}\n"
		"{\"ref\":\"refs/heads/" BRANCH "\",\"sha\":\"new-commits\"}\n");
}

static void github_never_writes_to_what_is_no_regular_file(void **state)
{
	static const char *const entries[] = {
		ENTRY("tests", "040000", "tree") "," ENTRY(".npmrc", "100644", "blob"),
		ENTRY("tests", "120000", "blob"),
		ENTRY("tests", "160000", "commit"),
		"",
	};
	static const char *const leaves[] = { ENTRY("pytest.ini", "100644", "blob"),
					      ENTRY("pytest.ini", "120000", "blob"), "" };
	struct fake_api *f = *state;
	struct fake_report s;

	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		char root[512];

		(void)snprintf(root, sizeof(root), "{\"tree\":[%s]}", entries[i]);
		SCRIPT(f, BASE,
		       { .method = "GET", .path = "/git/trees/root", .status = 200, .body = root },
		       FOLDER(ENTRY("pytest.ini", "100644", "blob")));
		fake_api_change(f, f->ops->commit_files, &run, &change, &s);
		assert_case(s.r.fate == API_REFUSED, entries[i]);
		assert_case(!*f->posts, entries[i]);
	}
	for (size_t i = 1; i < ARRAY_LEN(leaves); i++) {
		char folder[512];

		(void)snprintf(folder, sizeof(folder), "{\"tree\":[%s]}", leaves[i]);
		SCRIPT(f, BASE, ROOT(ENTRY("tests", "040000", "tree")),
		       { .method = "GET",
			 .path = "/git/trees/s-tests",
			 .status = 200,
			 .body = folder });
		fake_api_change(f, f->ops->commit_files, &run, &change, &s);
		assert_case(s.r.fate == API_REFUSED, leaves[i]);
		assert_case(!*f->posts, leaves[i]);
	}
	SCRIPT(f, BASE,
	       { .method = "GET",
		 .path = "/git/trees/root",
		 .status = 200,
		 .body = "{\"truncated\":true,\"tree\":[" ENTRY("tests", "040000", "tree") "]}" },
	       FOLDER(ENTRY("pytest.ini", "100644", "blob")), MADE("trees"), MADE("commits"),
	       MADE("refs"));
	fake_api_change(f, f->ops->commit_files, &run, &change, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
}

static void a_branch_that_is_there_is_left_alone(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, BASE, ROOT(ENTRY("tests", "040000", "tree")),
	       FOLDER(ENTRY("pytest.ini", "100644", "blob")), MADE("trees"), MADE("commits"),
	       { .method = "POST",
		 .path = "/git/refs",
		 .status = 422,
		 .body = "{\"message\":\"Reference already exists\"}" });
	fake_api_change(f, f->ops->commit_files, &run, &change, &s);
	assert_int_equal(s.r.fate, API_WAIT);
	assert_int_equal(fake_api_asked(f, "PATCH"), 0);
}

static void each_refusal_ends_it_there(void **state)
{
	static const struct {
		const char *path;
		unsigned posts;
	} rows[] = { { "/git/trees", 1 }, { "/git/commits", 2 }, { "/git/refs", 3 } };
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_report s;

		SCRIPT(f, BASE, ROOT(ENTRY("tests", "040000", "tree")),
		       FOLDER(ENTRY("pytest.ini", "100644", "blob")),
		       { .method = "POST",
			 .path = rows[i].path,
			 .status = 403,
			 .body = "{\"message\":\"Resource not accessible by integration\"}" },
		       MADE("trees"), MADE("commits"), MADE("refs"));
		fake_api_change(f, f->ops->commit_files, &run, &change, &s);
		assert_case(s.r.fate == API_REFUSED, rows[i].path);
		assert_case(strstr(s.r.why, "contents: write") != NULL, rows[i].path);
		assert_case(fake_api_asked(f, "POST") == rows[i].posts, rows[i].path);
	}
}

static void github_opens_and_labels_a_pull_request(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "POST",
		 .path = "/pulls",
		 .status = 201,
		 .body = "{\"number\":12,\"html_url\":\"https://x/12\",\"state\":\"open\"}" },
	       { .method = "POST", .path = "/issues/12/labels", .status = 403 });
	fake_api_change(f, f->ops->open_proposal, &run, &change, &s);
	assert_int_equal(s.r.fate, API_OK); /* without labels, but open */
	assert_string_equal(s.url, "https://x/12");
	assert_string_equal(f->posts,
			    "{\"title\":\"Raise \\\"it\\\"\",\"head\":\"" BRANCH
			    "\",\"base\":\"main\",\"body\":\"because\\n\",\"draft\":false}\n"
			    "{\"labels\":[\"ci\",\"pipeline guard\"]}\n");
	SCRIPT(f, { .method = "POST",
		    .path = "/pulls",
		    .status = 422,
		    .body = "{\"message\":\"Validation Failed\",\"errors\":[{\"message\":\"A pull "
			    "request already exists for acme:x.\"}]}" });
	fake_api_change(f, f->ops->open_proposal, &run, &change, &s);
	assert_int_equal(s.r.fate, API_WAIT);
	SCRIPT(f, { .method = "POST",
		    .path = "/pulls",
		    .status = 422,
		    .body = "{\"message\":\"Validation Failed\",\"errors\":[{\"message\":\"No "
			    "commits between main and x\"}]}" });
	fake_api_change(f, f->ops->open_proposal, &run, &change, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	HAS(s.r.why, "No commits between");
}

/* --- GitLab: one call ---------------------------------------------------------------------------
 */

static void gitlab_tells_the_head_of_a_branch(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/projects/5/repository/branches/feature%2Fa",
		    .status = 200,
		    .body = "{\"name\":\"feature/a\",\"commit\":{\"id\":\"aa\",\"message\":\"m\","
			    "\"parent_ids\":[\"bb\"]}}" });
	fake_api_branch(f, &run, "feature/a", &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(s.branch, "aa bb m");
}

static void gitlab_tells_what_became_of_a_proposal(void **state)
{
	static const struct {
		const char *body;
		enum api_proposal_state state;
		int64_t at_ms;
	} rows[] = {
		{ "[{\"web_url\":\"https://x/2\",\"state\":\"opened\"}]", PROPOSAL_OPEN, -1 },
		{ "[{\"web_url\":\"https://x/2\",\"state\":\"locked\"}]", PROPOSAL_OPEN, -1 },
		{ "[{\"web_url\":\"https://x/2\",\"state\":\"closed\",\"closed_at\":"
		  "\"2026-01-01T00:00:01.000Z\"}]",
		  PROPOSAL_CLOSED, 1767225601000 },
		{ "[{\"web_url\":\"https://x/2\",\"state\":\"merged\",\"merged_at\":"
		  "\"2026-01-01T00:00:00.000Z\"}]",
		  PROPOSAL_MERGED, 1767225600000 },
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_report s;

		SCRIPT(f, { .method = "GET",
			    .path = "/merge_requests?",
			    .status = 200,
			    .body = rows[i].body });
		fake_api_proposal(f, &run, BRANCH, &s);
		assert_case(s.r.fate == API_OK, rows[i].body);
		assert_case(s.r.proposal.state == rows[i].state, rows[i].body);
		assert_case(s.r.proposal.ended_at_ms == rows[i].at_ms, rows[i].body);
		assert_case(strcmp(s.url, "https://x/2") == 0, rows[i].body);
	}
	HAS(f->asked, "&source_branch=pipeline-guard%2Fbump_timeout-0123456789abcdef");
}

static void gitlab_commits_from_the_head_that_was_seen(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "POST",
		    .path = "/projects/5/repository/commits",
		    .status = 201,
		    .body = "{\"id\":\"cc\"}" });
	fake_api_change(f, f->ops->commit_files, &run, &change, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(
		f->posts,
		"{\"branch\":\"" BRANCH "\",\"start_sha\":\"" SHA "\",\"commit_message\":\"Raise "
		"it\\n\\nSigned-off-by: G <g@x>\\n\",\"author_name\":\"G\",\"author_email\":"
		"\"g@x\",\"actions\":[{\"action\":\"update\",\"file_path\":\"tests/pytest.ini\","
		"\"content\":\"timeout = 60 # \\\"x\\\"\\n\"},{\"action\":\"create\",\"file_path\":"
		"\".npmrc\",\"content\":\"registry=x\\n\"}]}\n");
	SCRIPT(f, { .method = "POST",
		    .path = "/repository/commits",
		    .status = 400,
		    .body = "{\"message\":\"A branch called 'x' already exists. Switch to that "
			    "branch in order to make changes\"}" });
	fake_api_change(f, f->ops->commit_files, &run, &change, &s);
	assert_int_equal(s.r.fate, API_WAIT);
	SCRIPT(f, { .method = "POST",
		    .path = "/repository/commits",
		    .status = 400,
		    .body = "{\"message\":\"You are not allowed to push into this branch\"}" });
	fake_api_change(f, f->ops->commit_files, &run, &change, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	HAS(s.r.why, "not allowed to push");
}

static void gitlab_opens_a_merge_request(void **state)
{
	struct api_change draft = change;
	struct fake_api *f = *state;
	struct fake_report s;

	draft.draft = true;
	SCRIPT(f, { .method = "POST",
		    .path = "/projects/5/merge_requests",
		    .status = 201,
		    .body = "{\"iid\":3,\"web_url\":\"https://x/3\",\"state\":\"opened\"}" });
	fake_api_change(f, f->ops->open_proposal, &run, &draft, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(s.url, "https://x/3");
	assert_string_equal(
		f->posts, "{\"source_branch\":\"" BRANCH "\",\"target_branch\":\"main\",\"title\":"
			  "\"Draft: Raise \\\"it\\\"\",\"description\":\"because\\n\",\"labels\":"
			  "\"ci,pipeline guard\",\"remove_source_branch\":true}\n");
	SCRIPT(f, { .method = "POST",
		    .path = "/merge_requests",
		    .status = 409,
		    .body = "{\"message\":[\"Another open merge request already exists for this "
			    "source branch: !3\"]}" });
	fake_api_change(f, f->ops->open_proposal, &run, &change, &s);
	assert_int_equal(s.r.fate, API_WAIT);
}

/* --- a copy -------------------------------------------------------------------------------------
 */

static void says_how_git_gets_in(void **state)
{
	struct fake_api *f = *state;
	bool is_github = f->ops == &provider_api_github;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET",
		 .path = "/repos/acme/shop",
		 .status = 200,
		 .body = "{\"clone_url\":\"https://github.example/acme/shop.git\",\"size\":3}" },
	       { .method = "GET",
		 .path = "/projects/5?statistics=true",
		 .status = 200,
		 .body = "{\"http_url_to_repo\":\"https://gitlab.example/acme/shop.git\","
			 "\"statistics\":{\"repository_size\":3072}}" });
	fake_api_act(f, HEALER_CALL(get_clone), &run, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(
		s.clone, is_github
				 ? "x-access-token:ghp_1@https://github.example/acme/shop.git 3072"
				 : "oauth2:glpat-1@https://gitlab.example/acme/shop.git 3072");
}

static void no_secret_goes_over_plain_http(void **state)
{
	static const char *const urls[] = { "http://github.example/a/b.git", "git@x:a/b.git",
					    "file:///etc", "https://u:p@x/a/b.git", "" };
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct fake_report s;
		char body[200];

		(void)snprintf(body, sizeof(body), "{\"clone_url\":\"%s\"}", urls[i]);
		SCRIPT(f, { .method = "GET", .path = "/repos/", .status = 200, .body = body });
		fake_api_act(f, HEALER_CALL(get_clone), &run, &s);
		assert_case(s.r.fate == API_REFUSED, urls[i]);
		assert_case(!*s.clone, urls[i]);
	}
}

static void a_provider_without_repositories_has_none_of_it(void **state)
{
	UNUSED(state);
	assert_null(provider_api_jenkins.get_branch);
	assert_null(provider_api_jenkins.find_proposal);
	assert_null(provider_api_jenkins.commit_files);
	assert_null(provider_api_jenkins.open_proposal);
}

/* --- who may answer ------------------------------------------------------------------------ */

static void only_who_may_write_may_answer(void **state)
{
	static const struct {
		const char *body;
		bool may;
	} rows[] = {
		{ "{\"permission\":\"admin\",\"role_name\":\"admin\"}", true },
		{ "{\"permission\":\"write\",\"role_name\":\"maintain\"}", true },
		{ "{\"permission\":\"write\",\"role_name\":\"releaser\"}", true },
		{ "{\"permission\":\"read\",\"role_name\":\"triage\"}", false },
		{ "{\"permission\":\"read\",\"role_name\":\"write\"}", false }, /* a name */
		{ "{\"permission\":\"none\",\"role_name\":\"none\"}", false },
		{ "{\"permission\":\"Write \"}", false },
	};
	struct fake_api *f = *state;
	struct fake_report s;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCRIPT(f, { .method = "GET",
			    .path = "/repos/acme/shop/collaborators/ada%2F..%3F/permission",
			    .status = 200,
			    .body = rows[i].body });
		fake_api_right(f, &run, "ada/..?", &s);
		assert_int_equal(s.r.fate, API_OK);
		assert_case(s.r.may_write == rows[i].may, rows[i].body);
	}
	SCRIPT(f, { .method = "GET", .path = "/permission", .status = 200, .body = "{}" });
	fake_api_right(f, &run, "ada", &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_false(s.r.may_write);
}

/* --- bringing a branch up to date ---------------------------------------------------------- */

static const struct api_afresh update = { .branch = "work",
					  .sha = SHA,
					  .head_repo = "acme/shop",
					  .base = "release",
					  .trigger = "pull_request",
					  .updated = true };

#define OF_BRANCH(number, ref, sha, repo, base)                                                  \
	"{\"number\":" number ",\"state\":\"open\",\"head\":{\"ref\":\"" ref "\",\"sha\":\"" sha \
	"\",\"repo\":{\"id\":5,\"full_name\":\"" repo "\"}},\"base\":{\"ref\":\"" base           \
	"\",\"repo\":{\"id\":5}}}"

/*
 * The first has another branch made from this one, the second is a stranger's of the same name,
 * the third is for another branch, the fourth went on.
 */
static void github_updates_the_pull_request_of_the_branch(void **state)
{
	/* clang-format off */
	static const char pulls[] = "["
		OF_BRANCH("1", "later", "aa", "acme/shop", "release") ","
		OF_BRANCH("2", "work", SHA, "eve/shop", "release") ","
		OF_BRANCH("3", "work", SHA, "acme/shop", "main") ","
		OF_BRANCH("4", "work", "bb", "acme/shop", "release") ","
		OF_BRANCH("5", "work", SHA, "Acme/shop", "release") "]";
	/* clang-format on */
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET", .path = "/commits/" SHA "/pulls", .status = 200, .body = pulls },
	       { .method = "GET",
		 .path = "/pulls/5",
		 .status = 200,
		 .body = OF_BRANCH("5", "work", SHA, "acme/shop", "release") },
	       { .method = "PUT", .path = "/pulls/5/update-branch", .status = 202, .body = "{}" });
	fake_api_afresh(f, f->ops->update_branch, &run, &update, &s);
	assert_int_equal(s.r.fate, API_OK);
}

static void github_updates_none_for_another_branch(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/commits/" SHA "/pulls",
		    .status = 200,
		    .body = "[" OF_BRANCH("3", "work", SHA, "acme/shop", "main") "]" });
	fake_api_afresh(f, f->ops->update_branch, &run, &update, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	HAS(s.r.why, "for the branch release");
}

#define REQUEST(iid, state, branch, project, base)                                               \
	"{\"iid\":" iid ",\"state\":\"" state "\",\"source_branch\":\"" branch                   \
	"\",\"source_project_id\":" project ",\"target_project_id\":5,\"target_branch\":\"" base \
	"\",\"sha\":\"" SHA "\"}"

static void gitlab_rebases_the_merge_request_of_the_branch(void **state)
{
	static const struct {
		const char *body, *says;
	} rows[] = {
		{ REQUEST("3", "merged", "work", "5", "release"), "not open any more" },
		{ REQUEST("3", "opened", "work", "5", "main"), "for another branch" },
	};
	struct fake_api *f = *state;
	struct fake_report s;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCRIPT(f,
		       { .method = "GET",
			 .path = "/commits/" SHA "/merge_requests",
			 .status = 200,
			 .body = "[" REQUEST("1", "opened", "later", "5", "release") "," REQUEST(
				 "2", "opened", "work", "6",
				 "release") "," REQUEST("3", "opened", "work", "5",
							"release") "]" },
		       { .method = "GET",
			 .path = "/merge_requests/3?",
			 .status = 200,
			 .body = rows[i].body });
		fake_api_afresh(f, f->ops->update_branch, &run, &update, &s);
		assert_int_equal(s.r.fate, API_REFUSED);
		HAS(s.r.why, rows[i].says);
	}
}

/* --- finding what was started -------------------------------------------------------------- */

#define NOW "\"created_at\":\"2026-11-26T05:00:00Z\""
#define RUN_OF(id, actor, repo, more)                                                              \
	"{\"id\":" id ",\"workflow_id\":9,\"head_branch\":\"work\",\"head_sha\":\"" more           \
	"\",\"status\":\"completed\",\"conclusion\":\"success\",\"actor\":{\"login\":\"" actor     \
	"\"},\"triggering_actor\":{\"login\":\"mira\"},\"head_repository\":{\"full_name\":\"" repo \
	"\"}," NOW "}"

static void find(struct fake_api *f, const struct api_afresh *wish, struct fake_report *out)
{
	struct api_afresh w = *wish;

	w.since_ms = 1795669200000;
	w.pipeline_id = 9;
	fake_api_afresh(f, f->ops->find_afresh, &run, &w, out);
}

static const struct api_afresh by_hand = {
	.branch = "work", .sha = SHA, .head_repo = "acme/shop", .base = "", .trigger = "push"
};

/* The newest is a person's, of the same minute. */
static void github_takes_for_ours_what_we_started(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET", .path = "/user", .status = 200, .body = "{\"login\":\"Guard\"}" },
	       { .method = "GET",
		 .path = "event=workflow_dispatch&head_sha=" SHA,
		 .status = 200,
		 .body = "{\"workflow_runs\":[" RUN_OF("12", "mira", "acme/shop", SHA) "," RUN_OF(
			 "11", "guard", "acme/shop", SHA) "]}" });
	for (int i = 0; i < 2; i++) {
		find(f, &by_hand, &s);
		assert_int_equal(s.r.fate, API_OK);
		assert_int_equal(s.r.other_run, 11);
	}
	assert_int_equal(fake_api_asked(f, "/user"), 1);
}

/* A token that may not know whose it is: then the newest counts, and it is not asked again. */
static void github_takes_the_newest_when_nobody_says_who_we_are(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET", .path = "/user", .status = 403, .body = "{}" },
	       { .method = "GET",
		 .path = "/actions/runs?",
		 .status = 200,
		 .body = "{\"workflow_runs\":[" RUN_OF("12", "mira", "acme/shop", SHA) "]}" });
	for (int i = 0; i < 2; i++) {
		find(f, &by_hand, &s);
		assert_int_equal(s.r.fate, API_OK);
		assert_int_equal(s.r.other_run, 12);
	}
	assert_int_equal(fake_api_asked(f, "/user"), 1);
}

static void a_fork_s_run_of_the_same_branch_is_none_of_ours(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET", .path = "/user", .status = 200, .body = "{\"login\":\"guard\"}" },
	       { .method = "GET",
		 .path = "event=pull_request&branch=work",
		 .status = 200,
		 .body = "{\"workflow_runs\":[" RUN_OF("13", "guard", "eve/shop", "cc") "," RUN_OF(
			 "11", "guard", "acme/shop", "bb") "," RUN_OF("10", "guard", "acme/shop",
								      SHA) "]}" });
	find(f, &update, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(s.r.other_run, 11);
}

/* GitLab leaves out the others' itself. */
static void gitlab_is_asked_for_what_we_started(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET",
		 .path = "/user",
		 .status = 200,
		 .body = "{\"username\":\"guard\"}" },
	       { .method = "GET",
		 .path = "source=api&per_page=20&sha=" SHA "&username=guard",
		 .status = 200,
		 .body = "[{\"id\":11,\"status\":\"success\"," NOW "}]" });
	for (int i = 0; i < 2; i++) {
		find(f, &by_hand, &s);
		assert_int_equal(s.r.fate, API_OK);
		assert_int_equal(s.r.other_run, 11);
	}
	assert_int_equal(fake_api_asked(f, "/user"), 1);
}

int main(void)
{
#define GITHUB(test) cmocka_unit_test_setup_teardown(test, github, fake_api_teardown)
#define GITLAB(test) cmocka_unit_test_setup_teardown(test, gitlab, fake_api_teardown)
	const struct CMUnitTest all[] = {
		GITHUB(github_tells_the_head_of_a_branch),
		GITHUB(a_branch_that_was_renamed_is_none),
		GITHUB(no_branch_is_an_answer),
		GITLAB(no_branch_is_an_answer),
		GITHUB(github_tells_what_became_of_a_proposal),
		GITHUB(nothing_proposed_is_an_answer),
		GITLAB(nothing_proposed_is_an_answer),
		GITHUB(what_a_fork_proposes_is_not_ours),
		GITLAB(what_a_fork_wants_merged_is_not_ours),
		GITHUB(github_makes_the_branch_last_and_keeps_modes),
		GITHUB(github_never_writes_to_what_is_no_regular_file),
		GITHUB(a_branch_that_is_there_is_left_alone),
		GITHUB(each_refusal_ends_it_there),
		GITHUB(github_opens_and_labels_a_pull_request),
		GITLAB(gitlab_tells_the_head_of_a_branch),
		GITLAB(gitlab_tells_what_became_of_a_proposal),
		GITLAB(gitlab_commits_from_the_head_that_was_seen),
		GITLAB(gitlab_opens_a_merge_request),
		GITHUB(says_how_git_gets_in),
		GITLAB(says_how_git_gets_in),
		GITHUB(no_secret_goes_over_plain_http),
		GITHUB(only_who_may_write_may_answer),
		GITHUB(github_updates_the_pull_request_of_the_branch),
		GITHUB(github_updates_none_for_another_branch),
		GITLAB(gitlab_rebases_the_merge_request_of_the_branch),
		GITHUB(github_takes_for_ours_what_we_started),
		GITHUB(github_takes_the_newest_when_nobody_says_who_we_are),
		GITHUB(a_fork_s_run_of_the_same_branch_is_none_of_ours),
		GITLAB(gitlab_is_asked_for_what_we_started),
		cmocka_unit_test(a_provider_without_repositories_has_none_of_it),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}

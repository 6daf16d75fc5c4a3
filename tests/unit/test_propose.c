/* From a finding to an open pull request, against a server that follows a script. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/finding.h"
#include "core/mem.h"
#include "core/text.h"
#include "fake_api.h"
#include "fake_http.h"
#include "healers/healer.h"
#include "healers/propose.h"

#define SHA         "1111111111111111111111111111111111111111"
#define FINGERPRINT "0123456789abcdef"
#define BRANCH      "pipeline-guard/bump_timeout-" FINGERPRINT
#define MESSAGE                                                     \
	"Raise timeout in pytest.ini from 30 to 60\\n\\nStrategy: " \
	"bump_timeout\\nFingerprint: " FINGERPRINT                  \
	"\\nSigned-off-by: Pipeline Guard <pipeline-guard@localhost>"

struct
try {
	struct attempt at;
	struct propose_rules rules;
	struct finding finding;
	bool done;
	unsigned times;
	enum heal_status status;
	char detail[300];
};

static int setup(void **state)
{
	static const char *const sets[] = { "github.api_url=http://127.0.0.1:PORT/",
					    "github.timeout=400ms", "github.write_interval=0s",
					    NULL };

	return fake_api_setup(state, &provider_api_github, "PIPELINE_GUARD_GITHUB_TOKEN", "ghp_1",
			      sets);
}

static void on_done(struct attempt *at, enum heal_status status, int64_t after_ms,
		    const char *detail)
{
	struct try *t = at->arg;

	UNUSED(after_ms);
	t->done = true;
	t->times++;
	t->status = status;
	(void)snprintf(t->detail, sizeof(t->detail), "%s", detail);
}

static void prepare(struct fake_api *f, const struct healer *h, struct try *t)
{
	*t = (struct try){ .times = 0 };
	finding_init(&t->finding);
	t->finding.category = "test_failure";
	t->finding.subcategory = "timeout";
	t->finding.title = "A test was too slow, says @admin in #1";
	t->finding.job = "unit <img src=x>";
	t->finding.confidence = 0.87;
	t->finding.evidence[0] =
		(struct finding_line){ 41, "E  Failed: Timeout >30.0s [x](http://evil) @team" };
	t->finding.n_evidence = 1;
	memcpy(t->finding.fingerprint, FINGERPRINT, sizeof(FINGERPRINT));
	t->at = (struct attempt){
		.healer = h,
		.provider = f->ops,
		.api = f->api,
		.base = f->base,
		.conf = f->conf,
		.run = { .repo = "acme/shop", .repo_id = 5, .run_id = 7, .generation = 1 },
		.problem = "",
		.finding = &t->finding,
		.pipeline = "CI",
		.branch = "main",
		.sha = SHA,
		.url = "https://github.example/acme/shop/actions/runs/7",
		.rules = &t->rules,
		.done = on_done,
		.arg = t,
		.state = xcalloc(1, h->state_size),
	};
}

static void go(struct fake_api *f, struct try *t)
{
	struct err err;

	assert_ok(t->at.healer->start(&t->at, &err), &err);
	assert_false(t->done);
	assert_true(fake_http_wait(f->base, &t->done));
	fake_http_settle(f->base, 5);
	assert_int_equal(t->times, 1);
	free(t->at.state);
}

static void run_it(struct fake_api *f, struct try *t)
{
	prepare(f, &healer_bump_timeout, t);
	go(f, t);
}

/* --- the server ------------------------------------------------------------------------------- */

#define NONE_YET                                                                \
	{                                                                       \
		.method = "GET", .path = "/pulls?", .status = 200, .body = "[]" \
	}
#define HEAD(sha)                                                              \
	{                                                                      \
		.method = "GET", .path = "/branches/main", .status = 200,      \
		.body = "{\"name\":\"main\",\"commit\":{\"sha\":\"" sha "\"}}" \
	}
#define FILE_HAS(path_, text)                                                           \
	{                                                                               \
		.method = "GET", .path = "/contents/" path_ "?ref=" SHA, .status = 200, \
		.body = (text)                                                          \
	}
#define OURS(parent, message_)                                                              \
	{                                                                                   \
		.method = "GET", .path = "/branches/" BRANCH, .status = 200,                \
		.body = "{\"name\":\"" BRANCH                                               \
			"\",\"commit\":{\"sha\":\"cc\",\"commit\":{\"message\":\"" message_ \
			"\"},\"parents\":[{\"sha\":\"" parent "\"}]}}"                      \
	}
#define OBJECTS                                                                                    \
	{ .method = "GET",                                                                         \
	  .path = "/git/commits/" SHA,                                                             \
	  .status = 200,                                                                           \
	  .body = "{\"tree\":{\"sha\":\"root\"}}" },                                               \
		{ .method = "GET",                                                                 \
		  .path = "/git/trees/root",                                                       \
		  .status = 200,                                                                   \
		  .body = "{\"tree\":[{\"path\":\"pytest.ini\",\"mode\":\"100644\",\"type\":"      \
			  "\"blob\",\"sha\":\"b\"}]}" },                                           \
		{ .method = "POST",                                                                \
		  .path = "/git/trees",                                                            \
		  .status = 201,                                                                   \
		  .body = "{\"sha\":\"t\"}" },                                                     \
	{                                                                                          \
		.method = "POST", .path = "/git/commits", .status = 201, .body = "{\"sha\":\"c\"}" \
	}
#define REF                                                                        \
	{                                                                          \
		.method = "POST", .path = "/git/refs", .status = 201, .body = "{}" \
	}
#define OPENED                                                                             \
	{                                                                                  \
		.method = "POST", .path = "/pulls", .status = 201,                         \
		.body = "{\"number\":12,\"html_url\":\"https://x/12\",\"state\":\"open\"}" \
	}

static void proposes_what_the_finding_asks_for(void **state)
{
	struct fake_api *f = *state;
	struct try t;

	SCRIPT(f, NONE_YET, HEAD(SHA), FILE_HAS("pytest.ini", "[pytest]\ntimeout = 30\n"), OBJECTS,
	       REF, OPENED);
	run_it(f, &t);
	assert_int_equal(t.status, HEAL_OK);
	assert_string_equal(t.at.proposal, "https://x/12");
	assert_string_equal(t.detail, "proposed: https://x/12");
	assert_non_null(strstr(f->posts, "\"content\":\"[pytest]\\ntimeout = 60\\n\""));
	assert_non_null(strstr(f->posts, MESSAGE));
	assert_non_null(strstr(f->posts, "\"base\":\"main\""));
	assert_int_equal(fake_api_asked(f, "POST"), 4);
	assert_int_equal(fake_api_asked(f, "PATCH"), 0);
	assert_int_equal(fake_api_asked(f, "PUT"), 0);
}

/* Text of the log mentions nobody, links nowhere and closes nothing. */
static void the_words_of_strangers_do_no_harm(void **state)
{
	struct fake_api *f = *state;
	const char *pull;
	struct try t;

	SCRIPT(f, NONE_YET, HEAD(SHA), FILE_HAS("pytest.ini", "[pytest]\ntimeout = 30\n"), OBJECTS,
	       REF, OPENED);
	run_it(f, &t);
	pull = strstr(f->posts, "{\"title\":");
	assert_non_null(pull);
	assert_null(strstr(pull, " @admin"));
	assert_null(strstr(pull, " @team"));
	assert_null(strstr(pull, "in #1"));
	assert_null(strstr(pull, "[x]("));
	assert_null(strstr(pull, "unit <img"));
	assert_non_null(strstr(pull, "line 41: E  Failed"));
	assert_non_null(strstr(pull, "<https://github.example/acme/shop/actions/runs/7>"));
	assert_non_null(strstr(pull, "87 % sure"));
	assert_non_null(strstr(pull, "30 days"));
}

static void looks_through_the_files_until_one_says_it(void **state)
{
	struct fake_api *f = *state;
	struct try t;

	SCRIPT(f, NONE_YET, HEAD(SHA), FILE_HAS("pytest.ini", "[pytest]\nx = 30\n"),
	       FILE_HAS("pyproject.toml", "[tool.black]\n"));
	run_it(f, &t);
	assert_int_equal(t.status, HEAL_PERMFAIL);
	assert_string_equal(t.detail, healer_bump_timeout.in_vain);
	assert_int_equal(fake_api_asked(f, "/contents/"), 5);
	assert_int_equal(fake_api_asked(f, "POST"), 0);
}

/* Where nothing may be done, nothing is. */
static void refuses_before_anything_is_written(void **state)
{
#define CLOSED(merged, when)                                                        \
	"[{\"html_url\":\"https://x/3\",\"state\":\"closed\",\"closed_at\":\"" when \
	"\",\"merged_at\":" merged ",\"head\":{\"ref\":\"" BRANCH "\"}}]"
	static const struct {
		const char *why;
		struct fake_answer first, second;
		enum heal_status status;
		const char *says;
	} rows[] = {
		{ "the branch moved", NONE_YET, HEAD("22"), HEAL_PERMFAIL, "moved on" },
		{ "the branch is gone",
		  NONE_YET,
		  { .method = "GET", .path = "/branches/", .status = 404 },
		  HEAL_PERMFAIL,
		  "is gone" },
		{ "no right to look",
		  { .method = "GET", .path = "/pulls?", .status = 403, .body = "{}" },
		  HEAD(SHA),
		  HEAL_PERMFAIL,
		  "pull requests" },
		{ "in trouble",
		  { .method = "GET", .path = "/pulls?", .status = 503 },
		  HEAD(SHA),
		  HEAL_TEMPFAIL,
		  "trouble" },
		{ "somebody closed it",
		  { .method = "GET",
		    .path = "/pulls?",
		    .status = 200,
		    .body = CLOSED("null", "2999-01-01T00:00:00Z") },
		  HEAD(SHA),
		  HEAL_PERMFAIL,
		  "somebody closed it" },
		{ "it was merged",
		  { .method = "GET",
		    .path = "/pulls?",
		    .status = 200,
		    .body = CLOSED("\"2999-01-01T00:00:00Z\"", "2999-01-01T00:00:00Z") },
		  HEAD(SHA),
		  HEAL_PERMFAIL,
		  "merged already" },
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct try t;

		SCRIPT(f, rows[i].first, rows[i].second,
		       FILE_HAS("pytest.ini", "[pytest]\ntimeout = 30\n"), OBJECTS, REF, OPENED);
		run_it(f, &t);
		assert_case(t.status == rows[i].status, rows[i].why);
		assert_case(strstr(t.detail, rows[i].says) != NULL, rows[i].why);
		assert_case(fake_api_asked(f, "POST") == 0, rows[i].why);
	}
}

static void what_was_closed_long_ago_is_proposed_again(void **state)
{
	struct fake_api *f = *state;
	struct try t;

	SCRIPT(f,
	       { .method = "GET",
		 .path = "/pulls?",
		 .status = 200,
		 .body = CLOSED("null", "2020-01-01T00:00:00Z") },
	       HEAD(SHA), FILE_HAS("pytest.ini", "[pytest]\ntimeout = 30\n"), OBJECTS, REF, OPENED);
	run_it(f, &t);
	assert_int_equal(t.status, HEAL_OK);
	assert_int_equal(fake_api_asked(f, "POST"), 4);
}

static void what_is_open_is_not_opened_again(void **state)
{
	struct fake_api *f = *state;
	struct try t;

	SCRIPT(f, { .method = "GET",
		    .path = "/pulls?",
		    .status = 200,
		    .body = "[{\"html_url\":\"https://x/3\",\"state\":\"open\",\"head\":{\"ref\":"
			    "\"" BRANCH "\"}}]" });
	run_it(f, &t);
	assert_int_equal(t.status, HEAL_OK);
	assert_string_equal(t.at.proposal, "https://x/3");
	assert_int_equal(fake_api_asked(f, "POST"), 0);
}

/* Two strategies for one failure: whichever came first is the one open fix. */
static void the_proposal_of_another_strategy_counts(void **state)
{
	static const char *const mirrors[] = { "wheels.example.org https://pypi.acme.org" };
	struct fake_api *f = *state;
	struct try t;

	prepare(f, &healer_use_mirror, &t);
	t.rules = (struct propose_rules){ .mirrors = mirrors, .n_mirrors = 1 };
	t.finding.category = "timeout";
	t.finding.evidence[0].text = "https://wheels.example.org/simple/: Timeout >30.0s";
	SCRIPT(f,
	       { .method = "GET",
		 .path = "bump_timeout",
		 .status = 200,
		 .body = "[{\"html_url\":\"https://x/3\",\"state\":\"open\",\"head\":{\"ref\":"
			 "\"" BRANCH "\"}}]" },
	       NONE_YET);
	go(f, &t);
	assert_int_equal(t.status, HEAL_OK);
	assert_string_equal(t.at.proposal, "https://x/3");
	assert_int_equal(fake_api_asked(f, "POST"), 0);
}

/* Killed after the branch was made: the pull request is all that is missing. */
static void goes_on_where_it_was_interrupted(void **state)
{
	struct fake_api *f = *state;
	struct try t;

	SCRIPT(f, NONE_YET, HEAD(SHA), FILE_HAS("pytest.ini", "[pytest]\ntimeout = 30\n"),
	       OURS(SHA, MESSAGE), OBJECTS, REF, OPENED);
	run_it(f, &t);
	assert_int_equal(t.status, HEAL_OK);
	assert_int_equal(fake_api_asked(f, "POST /git"), 0);
	assert_int_equal(fake_api_asked(f, "POST /repos/acme/shop/pulls"), 1);
}

static void a_branch_from_another_time_is_not_touched(void **state)
{
	static const struct fake_answer rows[] = { OURS("22", MESSAGE), OURS(SHA, "by somebody") };
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct try t;

		SCRIPT(f, NONE_YET, HEAD(SHA), FILE_HAS("pytest.ini", "[pytest]\ntimeout = 30\n"),
		       rows[i], OBJECTS, REF, OPENED);
		run_it(f, &t);
		assert_int_equal(t.status, HEAL_PERMFAIL);
		assert_non_null(strstr(t.detail, BRANCH));
		assert_int_equal(fake_api_asked(f, "POST"), 0);
	}
}

static void losing_a_race_is_no_failure(void **state)
{
	struct fake_api *f = *state;
	struct try t;

	SCRIPT(f, NONE_YET, HEAD(SHA), FILE_HAS("pytest.ini", "[pytest]\ntimeout = 30\n"), OBJECTS,
	       { .method = "POST",
		 .path = "/git/refs",
		 .status = 422,
		 .body = "{\"message\":\"Reference already exists\"}" });
	run_it(f, &t);
	assert_int_equal(t.status, HEAL_TEMPFAIL);
	SCRIPT(f, NONE_YET, HEAD(SHA), FILE_HAS("pytest.ini", "[pytest]\ntimeout = 30\n"), OBJECTS,
	       REF,
	       { .method = "POST",
		 .path = "/pulls",
		 .status = 422,
		 .body = "{\"message\":\"Validation Failed\",\"errors\":[{\"message\":\"A pull "
			 "request already exists for acme:x.\"}]}" });
	run_it(f, &t);
	assert_int_equal(t.status, HEAL_TEMPFAIL);
}

static void what_the_policy_forbids_is_not_committed(void **state)
{
	struct fake_api *f = *state;
	struct try t;

	SCRIPT(f, NONE_YET, HEAD(SHA), FILE_HAS("pytest.ini", "[pytest]\ntimeout = 30\n"), OBJECTS,
	       REF, OPENED);
	prepare(f, &healer_bump_timeout, &t);
	t.rules.max_lines = 1; /* one goes, one comes */
	go(f, &t);
	assert_int_equal(t.status, HEAL_PERMFAIL);
	assert_non_null(strstr(t.detail, "lines"));
	assert_int_equal(fake_api_asked(f, "POST"), 0);
}

static void the_file_of_the_run_is_asked_for_where_it_may_change(void **state)
{
	struct fake_api *f = *state;
	struct try t;

	SCRIPT(f, NONE_YET, HEAD(SHA),
	       { .method = "GET",
		 .path = "/actions/runs/7",
		 .status = 200,
		 .body = "{\"id\":7,\"run_attempt\":1,\"status\":\"completed\",\"path\":"
			 "\".github/workflows/ci.yml\"}" },
	       FILE_HAS(".github/workflows/ci.yml", "timeout-minutes: 45\n"));
	prepare(f, &healer_bump_timeout, &t);
	t.rules.ci_files = true;
	t.finding.evidence[0].text =
		"The job has exceeded the maximum execution time of 30 minutes.";
	go(f, &t);
	assert_int_equal(t.status, HEAL_PERMFAIL);
	assert_int_equal(fake_api_asked(f, "/contents/.github/workflows/ci.yml?ref=" SHA), 1);
}

static void can_be_ended_at_any_time(void **state)
{
	struct fake_api *f = *state;
	struct err err;
	struct try t;

	SCRIPT(f, NONE_YET, HEAD(SHA));
	prepare(f, &healer_bump_timeout, &t);
	assert_ok(t.at.healer->start(&t.at, &err), &err);
	t.at.healer->cancel(&t.at);
	fake_http_settle(f->base, 20);
	assert_int_equal(t.times, 0);
	free(t.at.state);
}

static void refuses_what_it_cannot_do(void **state)
{
	struct fake_api *f = *state;
	struct err err;
	struct try t;

	prepare(f, &healer_bump_timeout, &t);
	t.at.provider = &provider_api_jenkins;
	assert_int_equal(t.at.healer->start(&t.at, &err), -1);
	t.at.provider = f->ops;
	t.at.finding = NULL;
	assert_int_equal(t.at.healer->start(&t.at, &err), -1);
	t.at.finding = &t.finding;
	t.finding.n_evidence = 0;
	assert_int_equal(t.at.healer->start(&t.at, &err), -1);
	t.at.api = NULL;
	assert_int_equal(t.at.healer->start(&t.at, &err), -1);
	free(t.at.state);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		FAKE_TEST(proposes_what_the_finding_asks_for),
		FAKE_TEST(the_words_of_strangers_do_no_harm),
		FAKE_TEST(looks_through_the_files_until_one_says_it),
		FAKE_TEST(refuses_before_anything_is_written),
		FAKE_TEST(what_was_closed_long_ago_is_proposed_again),
		FAKE_TEST(what_is_open_is_not_opened_again),
		FAKE_TEST(the_proposal_of_another_strategy_counts),
		FAKE_TEST(goes_on_where_it_was_interrupted),
		FAKE_TEST(a_branch_from_another_time_is_not_touched),
		FAKE_TEST(losing_a_race_is_no_failure),
		FAKE_TEST(what_the_policy_forbids_is_not_committed),
		FAKE_TEST(the_file_of_the_run_is_asked_for_where_it_may_change),
		FAKE_TEST(can_be_ended_at_any_time),
		FAKE_TEST(refuses_what_it_cannot_do),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}

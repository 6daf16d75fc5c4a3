#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/text.h"
#include "fake_api.h"
#include "fake_http.h"

#define JOB_NAME "team a/app/main"
#define JOB_PATH "/ci/job/team%20a/job/app/job/main"
/* user:token */
#define BASIC_1 "Authorization: Basic Z3VhcmQ6dG9rLTE="
#define BASIC_2 "Authorization: Basic Z3VhcmQ6dG9rLTI="

#define OURS   "\"actions\":[{\"causes\":[{\"userId\":\"Guard\"}]}]"
#define THEIRS "\"actions\":[{},{\"causes\":[{\"shortDescription\":\"SCM change\"}]}]"
#define BY(class, more) \
	"\"actions\":[{\"causes\":[{\"userId\":\"guard\"},{\"_class\":\"" class "\"," more "}]}]"
#define WORDS(text)    "\"shortDescription\":\"" text "\""
#define BUILD(n, more) "{\"number\":" #n ",\"building\":false,\"result\":\"FAILURE\"," more "}"
#define JOB(queue, builds)                                                                      \
	"{\"_class\":\"org.jenkinsci.plugins.workflow.job.WorkflowJob\",\"nextBuildNumber\":9," \
	"\"inQueue\":" queue ",\"builds\":[" builds "]}"
#define RUN_OF(kind, more)                                                                 \
	"{\"_class\":\"" kind "\",\"number\":7,\"building\":false,\"result\":\"FAILURE\"," \
	"\"timestamp\":1764064800000,\"duration\":5000,\"builtOn\":\"agent-1\"" more "}"
#define PIPELINE_RUN(more) RUN_OF("org.jenkinsci.plugins.workflow.job.WorkflowRun", more)
#define FREESTYLE(more)    RUN_OF("hudson.model.FreeStyleBuild", more)

static struct api_run run7 = { .repo = JOB_NAME, .run_id = 1, .generation = 7 };
static const struct api_job job7 = { .id = 7, .name = JOB_NAME };

static int setup(void **state)
{
	static const char *const sets[] = { "jenkins.url=http://127.0.0.1:PORT/ci/",
					    "jenkins.user=guard", "jenkins.timeout=400ms", NULL };

	run7.repo_id = sha256_id(JOB_NAME, strlen(JOB_NAME));
	return fake_api_setup(state, &provider_api_jenkins, "PIPELINE_GUARD_JENKINS_TOKEN",
			      "tok-1,tok-2", sets);
}

/* --- the run ------------------------------------------------------------------ */

static void a_run_is_the_job_and_its_newest_build(void **state)
{
	static const struct {
		const char *why, *body;
		uint64_t generation;
		const char *status, *conclusion;
		bool unproven;
	} rows[] = {
		{ "unchanged", JOB("false", BUILD(7, THEIRS) "," BUILD(6, THEIRS)), 7, "completed",
		  "failure", false },
		{ "ours is queued",
		  "{\"inQueue\":true,\"nextBuildNumber\":8,\"queueItem\":{" OURS
		  "},\"builds\":[" BUILD(7, THEIRS) "]}",
		  8, "queued", "", false },
		{ "somebody's is queued",
		  "{\"inQueue\":true,\"nextBuildNumber\":8,\"queueItem\":{" THEIRS
		  "},\"builds\":[" BUILD(7, THEIRS) "]}",
		  8, "queued", "", true },
		{ "a later build is ours", JOB("false", BUILD(8, OURS) "," BUILD(7, THEIRS)), 8,
		  "completed", "failure", false },
		{ "a later one is not", JOB("false", BUILD(8, THEIRS) "," BUILD(7, OURS)), 8,
		  "completed", "failure", true },
		{ "ours and then another",
		  JOB("false", BUILD(9, THEIRS) "," BUILD(8, OURS) "," BUILD(7, THEIRS)), 9,
		  "completed", "failure", false },
		{ "ours, of this build",
		  JOB("false", BUILD(8, BY("cps.replay.ReplayCause", WORDS("Replayed #7")))), 8,
		  "completed", "failure", false },
		{ "ours, of an older one",
		  JOB("false", BUILD(8, BY("cps.replay.ReplayCause", WORDS("Replayed #6")))), 8,
		  "completed", "failure", true },
		{ "rebuilt by us",
		  JOB("false", BUILD(8, BY("rebuild.RebuildCause", "\"upstreamBuild\":7"))), 8,
		  "completed", "failure", false },
		{ "an older one rebuilt by us",
		  JOB("false", BUILD(8, BY("rebuild.RebuildCause", "\"upstreamBuild\":6"))), 8,
		  "completed", "failure", true },
		{ "started by the end of another job of that number",
		  JOB("false", BUILD(8, BY("Cause$UpstreamCause", "\"upstreamBuild\":3"))), 8,
		  "completed", "failure", false },
		/* It copies the user of the build, so it may have been its own idea. */
		{ "tried again by Naginator",
		  JOB("false", BUILD(8, BY("naginator.NaginatorCause",
					   WORDS("Started by Naginator after build #7")))),
		  8, "completed", "failure", true },
		{ "running", JOB("false", "{\"number\":7,\"building\":true,\"result\":null}"), 7,
		  "in_progress", "", false },
		{ "unstable", JOB("false", "{\"number\":7,\"result\":\"UNSTABLE\"}"), 7,
		  "completed", "failure", false },
		{ "aborted", JOB("false", "{\"number\":7,\"result\":\"ABORTED\"}"), 7, "completed",
		  "cancelled", false },
		{ "not built", JOB("false", "{\"number\":7,\"result\":\"NOT_BUILT\"}"), 7,
		  "completed", "skipped", false },
		{ "success", JOB("false", "{\"number\":7,\"result\":\"SUCCESS\"}"), 7, "completed",
		  "success", false },
		{ "no builds", JOB("false", ""), 0, "", "", false },
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_report s;

		SCRIPT(f, { .method = "GET",
			    .path = JOB_PATH "/api/json?tree=",
			    .status = 200,
			    .body = rows[i].body });
		fake_api_ask(f, FAKE_GET_RUN, &run7, NULL, &s);
		assert_case(s.r.fate == API_OK, rows[i].why);
		assert_case(s.r.generation == rows[i].generation, rows[i].why);
		assert_case(strcmp(s.status, rows[i].status) == 0, rows[i].why);
		assert_case(strcmp(s.conclusion, rows[i].conclusion) == 0, rows[i].why);
		assert_case(s.r.unproven == rows[i].unproven, rows[i].why);
		assert_non_null(strstr(f->head, "\r\n" BASIC_1 "\r\n"));
	}
}

static void refuses_what_is_no_job(void **state)
{
	static const struct {
		const char *body, *says;
	} rows[] = {
		{ "{\"_class\":\"org.jenkinsci.plugins.workflow.multibranch."
		  "WorkflowMultiBranchProject\",\"builds\":[]}",
		  "folder" },
		{ "{\"_class\":\"com.cloudbees.hudson.plugins.folder.Folder\"}", "folder" },
		{ "{\"_class\":\"jenkins.branch.OrganizationFolder\"}", "folder" },
		{ "{}", "jenkins.url" },
		{ "<html>", "jenkins.url" },
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_report s;

		SCRIPT(f, { .method = "GET", .path = "/", .status = 200, .body = rows[i].body });
		fake_api_ask(f, FAKE_GET_RUN, &run7, NULL, &s);
		assert_case(s.r.fate == API_REFUSED, rows[i].body);
		assert_case(strstr(s.r.why, rows[i].says) != NULL, rows[i].body);
	}
}

/* It goes into a path, and a name that was cut is another job's. */
static void refuses_names_that_are_not_the_jobs(void **state)
{
	static const char *const
		names[] = { "",      "a//b", "../x",
			    "a/./b", "a/",   "team a/app/main2" /* not what the id is of */ };
	struct fake_api *f = *state;

	SCRIPT(f, { .method = "GET", .path = "/", .status = 200 });
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct api_run run = run7;
		struct fake_report s;

		run.repo = names[i];
		if (i + 1 < ARRAY_LEN(names))
			run.repo_id = sha256_id(names[i], strlen(names[i]));
		fake_api_ask(f, FAKE_GET_RUN, &run, NULL, &s);
		assert_case(s.r.fate == API_REFUSED, names[i]);
	}
	assert_string_equal(f->asked, "");
}

static void every_status_has_its_fate(void **state)
{
	static const struct {
		int status;
		const char *headers;
		enum api_fate fate;
		const char *says;
	} rows[] = {
		{ 400, NULL, API_REFUSED, "400" },
		{ 403, NULL, API_REFUSED, "Job/Read" },
		{ 404, NULL, API_REFUSED, "404" },
		{ 302, "Location: /login?from=x\r\n", API_REFUSED, "redirect" },
		{ 429, "Retry-After: 5\r\n", API_RETRY, "rate limit" },
		{ 500, NULL, API_RETRY, "trouble" },
		{ 503, NULL, API_RETRY, "starting" },
		{ FAKE_DROPS, NULL, API_RETRY, "no answer" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		void *own = NULL;
		struct fake_report s;
		char name[16];

		(void)setup(&own);
		(void)snprintf(name, sizeof(name), "row %zu", i);
		SCRIPT((struct fake_api *)own, { .method = "GET",
						 .path = "/",
						 .status = rows[i].status,
						 .headers = rows[i].headers });
		fake_api_ask(own, FAKE_GET_RUN, &run7, NULL, &s);
		assert_case(s.r.fate == rows[i].fate, name);
		assert_case(strstr(s.r.why, rows[i].says) != NULL, name);
		(void)fake_api_teardown(&own);
	}
}

static void the_next_token_of_the_list_is_tried_once(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET", .path = "/", .status = 401, .times = 1 },
	       { .method = "GET",
		 .path = "/",
		 .status = 200,
		 .body = JOB("false", BUILD(7, THEIRS)) });
	fake_api_ask(f, FAKE_GET_RUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_non_null(strstr(f->head, "\r\n" BASIC_2 "\r\n"));
	SCRIPT(f, { .method = "GET", .path = "/", .status = 401 });
	fake_api_ask(f, FAKE_GET_RUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_int_equal(fake_api_asked(f, "GET"), 2);
}

/* --- the build, its stages, its log ------------------------------------------------ */

static void a_build_is_one_job_and_its_stages_are_steps(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET",
		 .path = JOB_PATH "/7/api/json",
		 .status = 200,
		 .body = PIPELINE_RUN("") },
	       { .method = "GET",
		 .path = JOB_PATH "/7/wfapi/describe",
		 .status = 200,
		 .body = "{\"stages\":[{\"name\":\"Build\",\"status\":\"SUCCESS\"},"
			 "{\"name\":\"Test\",\"status\":\"FAILED\"},"
			 "{\"name\":\"Deploy\",\"status\":\"NOT_EXECUTED\"}]}" });
	fake_api_ask(f, FAKE_LIST_JOBS, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(s.r.n_jobs, 1);
	assert_int_equal(s.jobs[0].id, 7);
	assert_int_equal(s.jobs[0].n_steps, 3);
	assert_string_equal(s.names[0], JOB_NAME);
	assert_string_equal(s.conclusions[0], "failure");
	assert_string_equal(s.steps[0], "success Build");
	assert_string_equal(s.steps[1], "failure Test");
	assert_string_equal(s.steps[2], "skipped Deploy");
	assert_true(s.jobs[0].completed_at_ms - s.jobs[0].started_at_ms == 5000);
}

static void stages_are_not_needed(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET", .path = "/7/api/json", .status = 200, .body = PIPELINE_RUN("") });
	fake_api_ask(f, FAKE_LIST_JOBS, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(s.jobs[0].n_steps, 0);
	/* Trouble is something else: then it is asked again. */
	SCRIPT(f,
	       { .method = "GET", .path = "/7/api/json", .status = 200, .body = PIPELINE_RUN("") },
	       { .method = "GET", .path = "/wfapi", .status = 503 });
	fake_api_ask(f, FAKE_LIST_JOBS, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_RETRY);
	SCRIPT(f, { .method = "GET", .path = "/7/api/json", .status = 200, .body = FREESTYLE("") });
	fake_api_ask(f, FAKE_LIST_JOBS, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(fake_api_asked(f, "wfapi"), 0);
}

static void an_unstable_build_failed_by_its_tests(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/7/api/json",
		    .status = 200,
		    .body = "{\"number\":7,\"result\":\"UNSTABLE\"}" });
	fake_api_ask(f, FAKE_LIST_JOBS, &run7, NULL, &s);
	assert_string_equal(s.conclusions[0], "failure");
	assert_string_equal(s.reasons[0], "unstable");
}

static void a_log_has_two_addresses(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET", .path = "/7/consoleText", .status = 200, .body = "one\n" });
	fake_api_ask(f, FAKE_GET_LOG, &run7, &job7, &s);
	assert_string_equal(s.log, "one\n");
	SCRIPT(f, { .method = "GET",
		    .path = "/7/logText/progressiveText?start=0",
		    .status = 200,
		    .body = "two\n" });
	fake_api_ask(f, FAKE_GET_LOG, &run7, &job7, &s);
	assert_string_equal(s.log, "two\n");
	SCRIPT(f, { .method = "GET", .path = "/nothing", .status = 200 });
	fake_api_ask(f, FAKE_GET_LOG, &run7, &job7, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
}

/* --- running it again ----------------------------------------------------------------- */

#define ACCEPTED "Location: http://ci/job/team/\r\n"
#define INFO(b)                                                                    \
	{                                                                          \
		.method = "GET", .path = "/7/api/json", .status = 200, .body = (b) \
	}

/* One way after the other while Jenkins says that it does not have it; never two that may act. */
static void takes_the_first_way_there_is(void **state)
{
	static const struct {
		const char *why, *build;
		struct fake_answer posts[4];
		enum api_fate fate;
		unsigned n_posts;
		const char *last;
	} rows[] = {
		{ "a pipeline is rebuilt",
		  PIPELINE_RUN(""),
		  { { "POST", "/7/replay/rebuild", 302, ACCEPTED, "", 0 } },
		  API_OK,
		  1,
		  "/7/replay/rebuild" },
		{ "an old pipeline plugin",
		  PIPELINE_RUN(""),
		  { { "POST", "/main/build", 201, "Location: /queue/item/3/\r\n", "", 0 } },
		  API_OK,
		  2,
		  "/main/build" },
		{ "Naginator",
		  FREESTYLE(""),
		  { { "POST", "/7/retry/", 302, ACCEPTED, "", 0 } },
		  API_OK,
		  1,
		  "/7/retry/" },
		{ "Rebuild",
		  FREESTYLE(""),
		  { { "POST", "/7/rebuild/?autorebuild=true", 302, ACCEPTED, "", 0 } },
		  API_OK,
		  2,
		  "/7/rebuild/" },
		{ "Rebuild wants a form",
		  FREESTYLE(""),
		  { { "POST", "/7/rebuild/", 302, "Location: parameterized\r\n", "", 0 },
		    { "POST", "/main/build", 201, NULL, "", 0 } },
		  API_OK,
		  3,
		  "/main/build" },
		{ "a way that only answers GET",
		  FREESTYLE(""),
		  { { "POST", "/7/retry/", 405, NULL, "", 0 },
		    { "POST", "/main/build", 201, NULL, "", 0 } },
		  API_OK,
		  3,
		  "/main/build" },
		{ "the answer is lost: it may have acted",
		  FREESTYLE(""),
		  { { "POST", "/7/retry/", FAKE_DROPS, NULL, "", 0 },
		    { "POST", "/main/build", 201, NULL, "", 0 } },
		  API_RETRY,
		  1,
		  "/7/retry/" },
		{ "a crash on the way: it may have acted",
		  FREESTYLE(""),
		  { { "POST", "/7/retry/", 500, NULL, "", 0 },
		    { "POST", "/main/build", 201, NULL, "", 0 } },
		  API_RETRY,
		  1,
		  "/7/retry/" },
		{ "a page that says nothing",
		  FREESTYLE(""),
		  { { "POST", "/7/retry/", 200, NULL, "<html>", 0 } },
		  API_RETRY,
		  1,
		  "/7/retry/" },
		{ "asked to log in",
		  PIPELINE_RUN(""),
		  { { "POST", "/7/replay/rebuild", 302, "Location: /login?from=x\r\n", "", 0 } },
		  API_REFUSED,
		  1,
		  "/7/replay/rebuild" },
		{ "not allowed",
		  PIPELINE_RUN(""),
		  { { "POST", "/7/replay/rebuild", 403, NULL, "missing the Job/Build", 0 },
		    { "POST", "/main/build", 201, NULL, "", 0 } },
		  API_REFUSED,
		  1,
		  "/7/replay/rebuild" },
		{ "disabled",
		  FREESTYLE(""),
		  { { "POST", "/main/build", 409, NULL, "", 0 } },
		  API_REFUSED,
		  3,
		  "/main/build" },
		{ "no way at all",
		  FREESTYLE(""),
		  { { .method = NULL } },
		  API_REFUSED,
		  3,
		  "/main/build" },
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_answer script[5] = { INFO(rows[i].build) };
		struct fake_report s;

		memcpy(script + 1, rows[i].posts, sizeof(rows[i].posts));
		fake_api_script(f, script, ARRAY_LEN(script));
		fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
		assert_case(s.r.fate == rows[i].fate, rows[i].why);
		assert_case(fake_api_asked(f, "POST") == rows[i].n_posts, rows[i].why);
		assert_case(strstr(f->post_head, rows[i].last) != NULL, rows[i].why);
	}
}

#define PARAMETERS(list) ",\"actions\":[{},{\"parameters\":[" list "]}]"

static void gives_the_same_parameters_again(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       INFO(FREESTYLE(PARAMETERS("{\"name\":\"TARGET\",\"value\":\"a b&c=ü\"},"
					 "{\"name\":\"FAST\",\"value\":true},"
					 "{\"name\":\"N\",\"value\":7}"))),
	       { .method = "POST", .path = "/main/buildWithParameters", .status = 201 });
	fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(f->body, "TARGET=a%20b%26c%3D%C3%BC&FAST=true&N=7");
	assert_non_null(strstr(f->post_head, "Content-Type: application/x-www-form-urlencoded"));
}

static void does_not_guess_parameters(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       INFO(PIPELINE_RUN(PARAMETERS("{\"_class\":\"hudson.model.PasswordParameterValue\","
					    "\"name\":\"KEY\"}"))));
	fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_non_null(strstr(s.r.why, "password"));
	assert_int_equal(fake_api_asked(f, "POST"), 0);
	/* Only Jenkins itself would have to be told; a plugin knows it. */
	SCRIPT(f, INFO(FREESTYLE(PARAMETERS("{\"name\":\"FILE\"}"))));
	fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_int_equal(fake_api_asked(f, "POST"), 2);
	assert_int_equal(fake_api_asked(f, "POST " JOB_PATH "/build"), 0);
}

static void with_a_password_a_crumb_and_its_session_are_sent(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, INFO(PIPELINE_RUN("")),
	       { .method = "GET",
		 .path = "/ci/crumbIssuer/api/json",
		 .status = 200,
		 .headers = "Set-Cookie: JSESSIONID.1a=node0x; Path=/; HttpOnly\r\n"
			    "Set-Cookie: other=2\r\n",
		 .body = "{\"crumb\":\"abc123\",\"crumbRequestField\":\"Jenkins-Crumb\"}" },
	       { .method = "POST",
		 .path = "/7/replay/rebuild",
		 .status = 403,
		 .body = "No valid crumb was included in the request",
		 .times = 1 },
	       { .method = "POST",
		 .path = "/7/replay/rebuild",
		 .status = 302,
		 .headers = ACCEPTED });
	fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_non_null(strstr(f->post_head, "\r\nJenkins-Crumb: abc123\r\n"));
	assert_non_null(strstr(f->post_head, "\r\nCookie: JSESSIONID.1a=node0x; other=2\r\n"));
	/* Once; it is not asked for again and again. */
	SCRIPT(f, INFO(PIPELINE_RUN("")),
	       { .method = "GET",
		 .path = "/crumbIssuer",
		 .status = 200,
		 .body = "{\"crumb\":\"abc123\"}" },
	       { .method = "POST",
		 .path = "/7/replay/rebuild",
		 .status = 403,
		 .body = "No valid crumb was included in the request" });
	fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_int_equal(fake_api_asked(f, "POST"), 2);
	assert_int_equal(fake_api_asked(f, "crumbIssuer"), 1);
}

static void a_build_that_runs_is_not_run_again(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, INFO("{\"number\":7,\"building\":true}"));
	fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_WAIT);
	SCRIPT(f, INFO("{\"number\":8}"));
	fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_int_equal(fake_api_asked(f, "POST"), 0);
}

#define TEST(fn) FAKE_TEST(fn)

/* --- lists for the monitor -------------------------------------------------------- */

#define GIT                                                                               \
	"\"actions\":[{},{\"lastBuiltRevision\":{\"SHA1\":\"abc\",\"branch\":[{\"name\":" \
	"\"refs/remotes/origin/main\"}]}}]"
#define LISTED(n, result, more)                       \
	"{\"number\":" #n ",\"url\":\"https://ci/" #n \
	"/\",\"timestamp\":1000,\"duration\":500,\"result\":" result "," more "}"

static void a_listed_build_is_what_its_notification_says(void **state)
{
	struct fake_api *f = *state;
	struct api_scan scan = { .repo = JOB_NAME, .page = 2, .page_size = 4 };
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = JOB_PATH "/api/json?tree=displayName,builds%5B",
		    .status = 200,
		    .body = "{\"displayName\":\"Main\",\"builds\":[" LISTED(
			    9, "null", "\"building\":true") "," LISTED(8, "\"UNSTABLE\"",
								       GIT) "," //
		    LISTED(7, "\"ABORTED\"", "\"actions\":[]") "," LISTED(6, "\"WHATEVER\"",
									  "\"actions\":[]") "]}" });
	fake_api_list(f, FAKE_RUNS, &scan, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(fake_api_asked(f, "%7B4,8%7D;"), 1);
	/* The last one has ended in a way that we cannot read. */
	assert_int_equal(s.r.n_events, 3);
	assert_true(s.r.more);
	assert_int_equal(s.events[0].status, CI_RUNNING);
	assert_int_equal(s.events[0].generation, 9);
	assert_int_equal(s.events[0].run_id, 1);
	assert_int_equal(s.events[0].repo_id, sha256_id(JOB_NAME, strlen(JOB_NAME)));
	assert_int_equal(s.events[0].at_ms, 1000);
	assert_string_equal(s.events[0].repo, JOB_NAME);
	assert_string_equal(s.events[0].pipeline, "Main");
	assert_string_equal(s.events[0].url, "https://ci/9/");
	assert_int_equal(s.events[1].status, CI_COMPLETED);
	assert_string_equal(s.events[1].conclusion, "failure");
	assert_string_equal(s.events[1].failure_reason, "unstable");
	assert_string_equal(s.events[1].action, "finalized");
	assert_string_equal(s.events[1].sha, "abc");
	assert_string_equal(s.events[1].branch, "main");
	assert_int_equal(s.events[1].at_ms, 1500);
	assert_string_equal(s.events[2].conclusion, "cancelled");
	/* Of another id than the name gives, it is not asked for. */
	scan.repo_id = 4711;
	fake_api_list(f, FAKE_RUNS, &scan, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	scan = (struct api_scan){ .repo = "a/../b", .page = 1, .page_size = 4 };
	fake_api_list(f, FAKE_RUNS, &scan, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_int_equal(fake_api_asked(f, "GET"), 1);
}

#define LAST(n, building) "\"lastBuild\":{\"number\":" #n ",\"building\":" building "}"

static void jobs_are_found_in_folders_of_folders(void **state)
{
	struct fake_api *f = *state;
	struct api_scan scan = { .page_size = 10 };
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/ci/api/json?tree=jobs%5BfullName",
		    .status = 200,
		    .body = "{\"jobs\":[{\"fullName\":\"top\"," LAST(
			    3, "true") "},{\"fullName\":\"never\",\"lastBuild\":null},"
				       "{\"fullName\":\"a\",\"jobs\":[{\"fullName\":\"a/b\","
				       "\"jobs\":[{\"fullName\":\"a/b/main%2Fx\"," LAST(
					       12, "false") "}]}]}]}" });
	fake_api_list(f, FAKE_REPOS, &scan, &s);
	assert_string_equal(s.repos, "top#3 running; a/b/main%2Fx#12; ");
	assert_false(s.r.more);
	scan.page_size = 1;
	fake_api_list(f, FAKE_REPOS, &scan, &s);
	assert_string_equal(s.repos, "top#3 running; ");
	assert_true(s.r.more);
	SCRIPT(f, { .method = "GET", .path = "/", .status = 200, .body = "{\"nothing\":1}" });
	fake_api_list(f, FAKE_REPOS, &scan, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_run_is_the_job_and_its_newest_build),
		TEST(refuses_what_is_no_job),
		TEST(refuses_names_that_are_not_the_jobs),
		cmocka_unit_test(every_status_has_its_fate),
		TEST(the_next_token_of_the_list_is_tried_once),
		TEST(a_build_is_one_job_and_its_stages_are_steps),
		TEST(stages_are_not_needed),
		TEST(an_unstable_build_failed_by_its_tests),
		TEST(a_log_has_two_addresses),
		TEST(takes_the_first_way_there_is),
		TEST(gives_the_same_parameters_again),
		TEST(does_not_guess_parameters),
		TEST(with_a_password_a_crumb_and_its_session_are_sent),
		TEST(a_build_that_runs_is_not_run_again),
		FAKE_TEST(a_listed_build_is_what_its_notification_says),
		FAKE_TEST(jobs_are_found_in_folders_of_folders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

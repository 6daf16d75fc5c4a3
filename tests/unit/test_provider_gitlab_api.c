#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/http_client.h"
#include "core/text.h"
#include "fake_api.h"
#include "fake_http.h"

#define PIPELINE(word) "{\"id\":7,\"status\":\"" word "\",\"sha\":\"abc\"}"
#define JOB(id, name, status, more)                                                               \
	"{\"id\":" #id ",\"name\":\"" name "\",\"stage\":\"test\",\"status\":\"" status "\"" more \
	"}"

static const struct api_run run7 = {
	.repo = "group/sub/app", .repo_id = 5, .run_id = 7, .generation = 30
};
static const struct api_job job30 = { .id = 30, .name = "unit" };

static int setup(void **state)
{
	static const char *const sets[] = { "gitlab.url=http://127.0.0.1:PORT/git/",
					    "gitlab.timeout=400ms", NULL };

	return fake_api_setup(state, &provider_api_gitlab, "PIPELINE_GUARD_GITLAB_TOKEN",
			      "glpat-1,glpat-2", sets);
}

/* --- the run ------------------------------------------------------------------ */

static void a_run_is_the_pipeline_and_its_newest_job(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET",
		 .path = "/jobs?",
		 .status = 200,
		 .body = "[" JOB(30, "unit", "failed", "") "," JOB(
			 41, "lint", "success", "") "," JOB(12, "build", "success", "") "]" },
	       { .method = "GET",
		 .path = "/pipelines/7",
		 .status = 200,
		 .body = PIPELINE("failed") });
	fake_api_ask(f, FAKE_GET_RUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(s.r.generation, 41);
	assert_string_equal(s.status, "completed");
	assert_string_equal(s.conclusion, "failure");
	assert_false(s.r.unproven);
	assert_string_equal(f->asked, "GET /git/api/v4/projects/5/pipelines/7; GET "
				      "/git/api/v4/projects/5/pipelines/7/"
				      "jobs?per_page=100&page=1; ");
	assert_non_null(strstr(f->head, "\r\nPRIVATE-TOKEN: glpat-1\r\n"));
	assert_null(strstr(f->head, "Authorization"));
}

static void translates_every_word_for_a_status(void **state)
{
	static const struct {
		const char *word, *status, *conclusion;
	} rows[] = {
		{ PIPELINE("success"), "completed", "success" },
		{ PIPELINE("failed"), "completed", "failure" },
		{ PIPELINE("canceled"), "completed", "cancelled" },
		{ PIPELINE("skipped"), "completed", "skipped" },
		{ PIPELINE("running"), "in_progress", "" },
		{ PIPELINE("canceling"), "in_progress", "" },
		{ PIPELINE("manual"), "waiting", "" },
		{ PIPELINE("pending"), "queued", "" },
		{ PIPELINE("created"), "queued", "" },
		{ PIPELINE("preparing"), "queued", "" },
		{ PIPELINE("waiting_for_resource"), "queued", "" },
		{ PIPELINE("scheduled"), "queued", "" },
		{ PIPELINE("a word of next year"), "queued", "" },
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_report s;

		SCRIPT(f, { .method = "GET", .path = "/jobs?", .status = 200, .body = "[]" },
		       { .method = "GET",
			 .path = "/pipelines/7",
			 .status = 200,
			 .body = rows[i].word });
		fake_api_ask(f, FAKE_GET_RUN, &run7, NULL, &s);
		assert_case(s.r.fate == API_OK, rows[i].word);
		assert_case(strcmp(s.status, rows[i].status) == 0, rows[i].word);
		assert_case(strcmp(s.conclusion, rows[i].conclusion) == 0, rows[i].word);
	}
}

static void does_not_believe_another_pipeline(void **state)
{
	static const char *const bodies[] = {
		"", "<html>", "[]", "{}", "{\"id\":8,\"status\":\"failed\"}", "{\"id\":7}"
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct fake_report s;

		SCRIPT(f, { .method = "GET",
			    .path = "/pipelines/7",
			    .status = 200,
			    .body = bodies[i] });
		fake_api_ask(f, FAKE_GET_RUN, &run7, NULL, &s);
		assert_case(s.r.fate == API_REFUSED, bodies[i]);
		assert_case(strstr(s.r.why, "gitlab.url") != NULL, bodies[i]);
	}
}

/* Every status, whatever is asked. */
static void every_status_has_its_fate(void **state)
{
	static const struct {
		int status;
		const char *headers, *body;
		enum api_fate fate;
		const char *says;
		int64_t after_ms;
	} rows[] = {
		{ 400, NULL, "", API_REFUSED, "400", -1 },
		{ 403, NULL, "{\"message\":\"403 Forbidden\"}", API_REFUSED, "role", -1 },
		{ 403, NULL, "{\"error\":\"insufficient_scope\"}", API_REFUSED, "scope", -1 },
		{ 403, NULL, "GitLab is in maintenance mode", API_RETRY, "read-only", -1 },
		{ 404, NULL, "{\"message\":\"404 Project Not Found\"}", API_REFUSED, "404", -1 },
		{ 410, NULL, "", API_REFUSED, "410", -1 },
		{ 429, "Retry-After: 7\r\n", "Retry later\n", API_RETRY, "rate limit", 7000 },
		{ 301, "Location: /x\r\n", "", API_REFUSED, "gitlab.url", -1 },
		{ 500, NULL, "", API_RETRY, "trouble", -1 },
		{ 502, NULL, "", API_RETRY, "trouble", -1 },
		{ 503, "Retry-After: 3\r\n", "", API_RETRY, "trouble", 3000 },
		{ FAKE_DROPS, NULL, "", API_RETRY, "no answer", -1 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		void *own = NULL; /* a limit would hold up what comes next */
		struct fake_report s;
		char name[16];

		(void)setup(&own);
		(void)snprintf(name, sizeof(name), "row %zu", i);
		SCRIPT((struct fake_api *)own, { .method = "GET",
						 .path = "/",
						 .status = rows[i].status,
						 .headers = rows[i].headers,
						 .body = rows[i].body });
		fake_api_ask(own, FAKE_GET_RUN, &run7, NULL, &s);
		assert_case(s.r.fate == rows[i].fate, name);
		assert_case(strstr(s.r.why, rows[i].says) != NULL, name);
		assert_case(s.r.retry_after_ms == rows[i].after_ms, name);
		(void)fake_api_teardown(&own);
	}
}

static void a_limit_stops_the_next_call_before_it_is_made(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET", .path = "/", .status = 429, .headers = "Retry-After: 60\r\n" });
	fake_api_ask(f, FAKE_GET_RUN, &run7, NULL, &s);
	fake_api_ask(f, FAKE_LIST_JOBS, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_RETRY);
	assert_true(s.r.retry_after_ms > 50000);
	assert_int_equal(fake_api_asked(f, "GET"), 1);
}

static void the_next_token_of_the_list_is_tried_once(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET",
		 .path = "/",
		 .status = 401,
		 .body = "{\"message\":\"401\"}",
		 .times = 1 },
	       { .method = "GET", .path = "/jobs?", .status = 200, .body = "[]" },
	       { .method = "GET",
		 .path = "/pipelines/7",
		 .status = 200,
		 .body = PIPELINE("success") });
	fake_api_ask(f, FAKE_GET_RUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_non_null(strstr(f->head, "PRIVATE-TOKEN: glpat-2"));
	SCRIPT(f, { .method = "GET", .path = "/", .status = 401 });
	fake_api_ask(f, FAKE_GET_RUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_int_equal(fake_api_asked(f, "GET"), 2);
	assert_null(strstr(s.r.why, "glpat"));
}

/* --- jobs and logs -------------------------------------------------------------- */

static void jobs_come_with_stage_and_reason(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET",
		 .path = "/jobs?",
		 .status = 200,
		 .body = "[" JOB(
			 30, "unit", "failed",
			 ",\"failure_reason\":\"runner_system_failure\","
			 "\"started_at\":\"2026-11-25T10:00:00.123Z\","
			 "\"finished_at\":\"2026-11-25T10:01:00Z\","
			 "\"runner\":{\"description\":\"shared-1\"}") "," JOB(31, "may fail",
									      "failed",
									      ",\"allow_failure\":"
									      "true,\"failure_"
									      "reason\":\"script_"
									      "failure\"") "," JOB(32,
												   "slow",
												   "failed",
												   ",\"failure_reason\":\"job_execution_timeout\"") "," JOB(33,
																			    "fine",
																			    "success",
																			    ",\"failure_reason\":\"unknown_failure\"") "]" });
	fake_api_ask(f, FAKE_LIST_JOBS, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(s.r.n_jobs, 4);
	assert_int_equal(s.r.generation, 33);
	assert_int_equal(s.jobs[0].id, 30);
	assert_string_equal(s.stages[0], "test");
	assert_string_equal(s.conclusions[0], "failure");
	assert_string_equal(s.reasons[0], "runner_system_failure");
	assert_true(s.jobs[0].completed_at_ms - s.jobs[0].started_at_ms == 59877);
	assert_string_equal(s.conclusions[1], "neutral");
	assert_string_equal(s.reasons[1], "");
	assert_string_equal(s.conclusions[2], "timed_out");
	/* GitLab has a reason for what did not fail, too. */
	assert_string_equal(s.conclusions[3], "success");
	assert_string_equal(s.reasons[3], "");
}

static void reads_all_pages_of_jobs(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;
	char page[8192] = "[";
	size_t n = 1;

	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(page + n, sizeof(page) - n,
				      "%s{\"id\":%d,\"name\":\"j\",\"status\":\"success\"}",
				      i ? "," : "", 500 - i);
	(void)snprintf(page + n, sizeof(page) - n, "]");
	SCRIPT(f, { .method = "GET", .path = "&page=1", .status = 200, .body = page },
	       { .method = "GET",
		 .path = "&page=2",
		 .status = 200,
		 .body = "[" JOB(600, "late", "failed", "") "]" });
	fake_api_ask(f, FAKE_LIST_JOBS, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(s.r.n_jobs, 101);
	assert_int_equal(s.r.generation, 600);
}

static void a_trace_is_plain_text(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/jobs/30/trace",
		    .status = 200,
		    .headers = "Content-Type: text/plain\r\n",
		    .body = "$ make\nfailed\n" });
	fake_api_ask(f, FAKE_GET_LOG, &run7, &job30, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(s.log, "$ make\nfailed\n");
}

static void a_file_is_asked_for_by_its_encoded_path(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/repository/files/docs%2FCODEOWNERS/raw?ref=HEAD",
		    .status = 200,
		    .headers = "Content-Type: text/plain\r\n",
		    .body = "* @all\n",
		    .times = 1 });
	fake_api_ask(f, FAKE_GET_FILE, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(s.log, "* @all\n");
	fake_api_ask(f, FAKE_GET_FILE, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_int_equal(s.r.http_status, 404);
}

/* '' is what GitLab says when there is none: not yet, or not any more. */
static void an_empty_trace_is_no_log(void **state)
{
	struct api_job fresh = job30;
	struct fake_api *f = *state;
	struct fake_report s;

	fresh.completed_at_ms = clock_wall_ms() - 1000;
	SCRIPT(f, { .method = "GET", .path = "/trace", .status = 200, .body = "" });
	fake_api_ask(f, FAKE_GET_LOG, &run7, &fresh, &s);
	assert_int_equal(s.r.fate, API_RETRY);
	assert_true(s.r.retry_after_ms > 0);
	fake_api_ask(f, FAKE_GET_LOG, &run7, &job30, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_non_null(strstr(s.r.why, "erased"));
	SCRIPT(f, { .method = "GET", .path = "/trace", .status = 404 });
	fake_api_ask(f, FAKE_GET_LOG, &run7, &fresh, &s);
	assert_int_equal(s.r.fate, API_RETRY);
	fake_api_ask(f, FAKE_GET_LOG, &run7, &job30, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
}

/* --- re-runs --------------------------------------------------------------------- */

#define FAILED_JOBS                                                                            \
	{                                                                                      \
		.method = "GET", .path = "/jobs?", .status = 200,                              \
		.body = "[" JOB(40, "newer", "failed", "") "," JOB(                            \
			30, "unit", "failed",                                                  \
			"") "," JOB(29, "lint", "failed",                                      \
				    "") "," JOB(28, "may fail", "failed",                      \
						",\"allow_failure\":true") "," JOB(27, "fine", \
										   "success",  \
										   "") "]"     \
	}
#define NOT_RETRYABLE "{\"message\":\"403 Forbidden  - Job is not retryable\"}"

static void retries_each_failed_job_of_that_generation(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, FAILED_JOBS,
	       { .method = "POST", .path = "/retry", .status = 201, .body = "{\"id\":50}" });
	fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(fake_api_asked(f, "POST"), 2);
	assert_int_equal(fake_api_asked(f, "POST /git/api/v4/projects/5/jobs/30/retry"), 1);
	assert_int_equal(fake_api_asked(f, "POST /git/api/v4/projects/5/jobs/29/retry"), 1);
}

static void every_answer_to_a_retry_has_its_fate(void **state)
{
	static const struct {
		const char *why;
		int first;
		const char *first_body;
		int second;
		const char *second_body;
		enum api_fate fate;
		unsigned posts;
	} rows[] = {
		{ "both", 201, "", 201, "", API_OK, 2 },
		{ "one was retried before", 403, NOT_RETRYABLE, 201, "", API_OK, 2 },
		{ "the other was", 201, "", 403, NOT_RETRYABLE, API_OK, 2 },
		{ "both were", 403, NOT_RETRYABLE, 403, NOT_RETRYABLE, API_WAIT, 2 },
		{ "may not", 403, "{\"message\":\"403 Forbidden\"}", 201, "", API_REFUSED, 1 },
		{ "one is refused after the other runs", 201, "", 403, "{}", API_WAIT, 2 },
		{ "the answer is lost", FAKE_DROPS, "", 201, "", API_RETRY, 1 },
		{ "the second answer is lost", 201, "", FAKE_DROPS, "", API_RETRY, 2 },
		{ "down", 503, "", 201, "", API_RETRY, 1 },
		{ "gone", 404, "", 201, "", API_REFUSED, 1 },
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_report s;

		SCRIPT(f, FAILED_JOBS,
		       { .method = "POST",
			 .path = "/retry",
			 .status = rows[i].first,
			 .body = rows[i].first_body,
			 .times = 1 },
		       { .method = "POST",
			 .path = "/retry",
			 .status = rows[i].second,
			 .body = rows[i].second_body });
		fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
		assert_case(s.r.fate == rows[i].fate, rows[i].why);
		assert_case(fake_api_asked(f, "POST") == rows[i].posts, rows[i].why);
	}
}

static void what_is_not_failed_any_more_is_left_alone(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/jobs?",
		    .status = 200,
		    .body = "[" JOB(40, "unit", "running", "") "]" });
	fake_api_ask(f, FAKE_RERUN, &run7, NULL, &s);
	assert_int_equal(s.r.fate, API_WAIT);
	assert_int_equal(fake_api_asked(f, "POST"), 0);
}

/* --- addresses ---------------------------------------------------------------------- */

static void refuses_addresses_that_cannot_be_right(void **state)
{
	static const struct conf_table *const tables[] = { &provider_api_conf };
	static const struct {
		const char *set, *says;
	} rows[] = {
		{ "gitlab.url=http://gitlab.example.com", "https" },
		{ "gitlab.url=https://gitlab.example.com/api/v4", "/api/v4" },
		{ "gitlab.url=https://gitlab.example.com/?a", "query" },
		{ "gitlab.url=ftp://gitlab.example.com", "gitlab.url" },
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
		struct api *api = NULL;
		struct err err = { 0 };

		(void)setenv("PIPELINE_GUARD_GITLAB_TOKEN", "glpat-1", 1);
		assert_ok(conf_load_env(conf, &err), &err);
		(void)unsetenv("PIPELINE_GUARD_GITLAB_TOKEN");
		assert_ok(conf_set(conf, rows[i].set, &err), &err);
		assert_int_equal(provider_api_gitlab.open(f->base, conf, f->http, &api, &err), -1);
		assert_int_equal(err.kind, ERR_CONFIG);
		assert_case(strstr(err.msg, rows[i].says) != NULL, rows[i].set);
		conf_free(conf);
	}
}

static void a_run_without_numbers_is_not_asked_for(void **state)
{
	const struct api_run nameless = { .repo = "a/b" };
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET", .path = "/", .status = 200 });
	fake_api_ask(f, FAKE_GET_RUN, &nameless, NULL, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_string_equal(f->asked, "");
}

/* --- lists for the monitor -------------------------------------------------------- */

#define LISTED(id, status, ref)                                                                 \
	"{\"id\":" #id ",\"iid\":3,\"project_id\":5,\"sha\":\"abc\",\"ref\":\"" ref             \
	"\",\"status\":\"" status "\",\"source\":\"push\",\"updated_at\":"                      \
	"\"2026-11-25T10:05:00.250Z\",\"web_url\":\"https://git/group/sub/app/-/pipelines/" #id \
	"\"}"

static const struct api_scan scan5 = { .repo = "group/sub/app",
				       .repo_id = 5,
				       .since_ms = 1764064800000, /* 2025-11-25T10:00 */
				       .page = 1,
				       .page_size = 2 };

static void a_listed_pipeline_is_what_its_webhook_says(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "/pipelines?",
		    .status = 200,
		    .headers = "ETag: W/\"one\"\r\n",
		    .body = "[" LISTED(9, "failed", "main") "," LISTED(
			    8, "running", "refs/merge-requests/12/head") "]" });
	fake_api_list(f, FAKE_RUNS, &scan5, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(f->asked, "GET /git/api/v4/projects/5/pipelines?updated_after="
				      "2025-11-25T10:00:00Z&order_by=updated_at&sort=desc"
				      "&per_page=2&page=1; ");
	assert_int_equal(s.r.n_events, 2);
	assert_true(s.r.more); /* a full page */
	assert_string_equal(s.etag, "W/\"one\"");
	assert_string_equal(s.events[0].provider, "gitlab");
	assert_string_equal(s.events[0].repo, "group/sub/app");
	assert_int_equal(s.events[0].kind, CI_RUN);
	assert_int_equal(s.events[0].status, CI_COMPLETED);
	assert_string_equal(s.events[0].conclusion, "failure");
	assert_string_equal(s.events[0].action, "failed");
	assert_string_equal(s.events[0].pipeline, "pipeline");
	assert_string_equal(s.events[0].branch, "main");
	assert_string_equal(s.events[0].sha, "abc");
	assert_string_equal(s.events[0].trigger, "push");
	assert_int_equal(s.events[0].repo_id, 5);
	assert_int_equal(s.events[0].run_id, 9);
	assert_int_equal(s.events[0].at_ms, 1795601100250);
	/* Only the jobs know it. */
	assert_int_equal(s.events[0].generation, 0);
	assert_int_equal(s.events[1].status, CI_RUNNING);
	assert_string_equal(s.events[1].conclusion, "");
	assert_int_equal(s.events[1].merge_request, 12);
}

static void a_list_that_is_the_same_is_not_read_again(void **state)
{
	static const struct {
		int status;
		const char *headers, *body;
		bool same;
	} rows[] = {
		{ 304, "", "", true },
		/* A server that sends ETags and does not compare them. */
		{ 200, "ETag: W/\"one\"\r\n", "[" LISTED(9, "failed", "main") "]", true },
		{ 200, "ETag: W/\"two\"\r\n", "[" LISTED(9, "failed", "main") "]", false },
		{ 200, "", "[" LISTED(9, "failed", "main") "]", false },
	};
	struct fake_api *f = *state;
	struct api_scan scan = scan5;

	scan.etag = "W/\"one\"";
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_report s;

		SCRIPT(f, { .method = "GET",
			    .path = "/pipelines?",
			    .status = rows[i].status,
			    .headers = rows[i].headers,
			    .body = rows[i].body });
		fake_api_list(f, FAKE_RUNS, &scan, &s);
		assert_int_equal(s.r.fate, API_OK);
		assert_int_equal(s.r.unchanged, rows[i].same);
		assert_int_equal(s.r.n_events, rows[i].same ? 0 : 1);
		assert_int_equal(s.r.http_status, rows[i].status);
		assert_non_null(strstr(f->head, "\r\nIf-None-Match: W/\"one\"\r\n"));
	}
}

static void a_project_without_a_number_is_asked_for_by_its_path(void **state)
{
	struct fake_api *f = *state;
	struct api_scan scan = scan5;
	struct fake_report s;

	scan.repo_id = 0;
	SCRIPT(f, { .method = "GET",
		    .path = "/pipelines?",
		    .status = 200,
		    .body = "[" LISTED(9, "success", "main") "]" });
	fake_api_list(f, FAKE_RUNS, &scan, &s);
	assert_int_equal(fake_api_asked(f, "/projects/group%2Fsub%2Fapp/pipelines?"), 1);
	assert_int_equal(s.events[0].repo_id, 5);
	assert_false(s.r.more);
	scan.repo = "";
	fake_api_list(f, FAKE_RUNS, &scan, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
}

/* A whole page of projects, numbered from 1. */
static const char *hundred_projects(char *out, size_t cap)
{
	size_t n = 0;

	for (int i = 1; i <= 100; i++)
		n += (size_t)snprintf(out + n, cap - n,
				      "%c{\"id\":%d,\"path_with_namespace\":\"g/p%d\"}",
				      i > 1 ? ',' : '[', i, i);
	(void)snprintf(out + n, cap - n, "]");
	return out;
}

static void projects_are_listed_to_their_end_or_to_the_most(void **state)
{
	struct fake_api *f = *state;
	struct api_scan scan = { .page_size = 150 };
	char page[8192];
	struct fake_report s;

	SCRIPT(f,
	       { .method = "GET",
		 .path = "&page=1",
		 .status = 200,
		 .body = hundred_projects(page, sizeof(page)) },
	       { .method = "GET",
		 .path = "&page=2",
		 .status = 200,
		 .body = "[{\"id\":900,\"path_with_namespace\":\"g/last\"},{\"id\":901}]" });
	fake_api_list(f, FAKE_REPOS, &scan, &s);
	assert_int_equal(s.r.n_repos, 101);
	assert_false(s.r.more);
	assert_int_equal(fake_api_asked(f, "/projects?membership=true&archived=false&"), 2);
	scan.page_size = 30;
	fake_api_list(f, FAKE_REPOS, &scan, &s);
	assert_int_equal(s.r.n_repos, 30);
	assert_true(s.r.more);
	assert_int_equal(fake_api_asked(f, "&page=1;"), 2);
}

/* Last active first, so that what follows one that sleeps sleeps as well. */
static void projects_that_sleep_are_not_listed(void **state)
{
	struct fake_api *f = *state;
	struct api_scan scan = { .page_size = 50, .since_ms = 1764064800000 }; /* 2025-11-25T10 */
	struct fake_report s;

	SCRIPT(f, { .method = "GET",
		    .path = "&page=1",
		    .status = 200,
		    .body = "[{\"id\":1,\"path_with_namespace\":\"a/awake\",\"last_activity_at\":"
			    "\"2025-11-25T10:00:01.000Z\"},{\"id\":2,\"path_with_namespace\":"
			    "\"a/asleep\",\"last_activity_at\":\"2025-11-25T09:59:59.000Z\"},"
			    "{\"id\":3,\"path_with_namespace\":\"a/too\"}]" });
	fake_api_list(f, FAKE_REPOS, &scan, &s);
	assert_string_equal(s.repos, "a/awake#; ");
	assert_false(s.r.more);
}

static void only_projects_of_the_groups_that_are_named(void **state)
{
	static const char *const sets[] = { "gitlab.url=http://127.0.0.1:PORT/git/",
					    "gitlab.timeout=400ms", "gitlab.groups=a/b, c", NULL };
	struct api_scan scan = { .page_size = 50 };
	struct fake_report s;
	void *own;
	struct fake_api *f;

	UNUSED(state);
	(void)fake_api_setup(&own, &provider_api_gitlab, "PIPELINE_GUARD_GITLAB_TOKEN", "glpat-1",
			     sets);
	f = own;
	SCRIPT(f,
	       { .method = "GET",
		 .path = "/groups/a%2Fb/projects?include_subgroups=true",
		 .status = 200,
		 .body = "[{\"id\":1,\"path_with_namespace\":\"a/b/x\"}]" },
	       { .method = "GET",
		 .path = "/groups/c/projects?",
		 .status = 200,
		 .body = "[{\"id\":2,\"path_with_namespace\":\"c/y\"}]" });
	fake_api_list(f, FAKE_REPOS, &scan, &s);
	assert_string_equal(s.repos, "a/b/x#; c/y#; ");
	/* One that is not there is said, and is not taken for an empty one. */
	SCRIPT(f, { .method = "GET", .path = "/groups/c/", .status = 200, .body = "[]" });
	fake_api_list(f, FAKE_REPOS, &scan, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	(void)fake_api_teardown(&own);
}

/* --- showing -------------------------------------------------------------------- */

#define SHA "0123456789012345678901234567890123456789"
#define NOTE(id, author, body) \
	"{\"id\":" #id ",\"body\":\"" body "\",\"author\":{\"id\":" #author "}}"
#define OF_12 "/git/api/v4/projects/5/merge_requests/12/notes"
#define LIST  "GET " OF_12 "?order_by=created_at&sort=desc&per_page=100&page=1; "

static const struct api_note note_of_run = {
	.sha = SHA,
	.title = "A heal waits for approval",
	.summary = "**Cause:** x",
	.brief = "A heal waits: x",
	.url = "https://guard.test/",
};

/* Ours is changed, whoever wrote what before it, and there is none more than one. */
static void there_is_one_note_of_a_merge_request(void **state)
{
	static const struct {
		const char *notes, *asked;
	} rows[] = {
		{ "[]", "GET /git/api/v4/user; " LIST "POST " OF_12 "; " },
		{ "[" NOTE(70, 9, "hello") "," NOTE(71, 8, "<!-- pipeline-guard --> mine") "]",
		  "GET /git/api/v4/user; " LIST "POST " OF_12 "; " },
		{ "[" NOTE(70, 8, "hello") "," NOTE(71, 9, "<!-- pipeline-guard --> old") "]",
		  "GET /git/api/v4/user; " LIST "PUT " OF_12 "/71; " },
	};
	struct fake_api *f = *state;
	struct api_run run = run7;

	run.merge_request = 12;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_report s;

		SCRIPT(f, { .method = "GET", .path = "/user", .status = 200, .body = "{\"id\":9}" },
		       { .method = "GET", .path = "/notes?", .status = 200, .body = rows[i].notes },
		       { .method = "POST", .path = "/notes", .status = 201, .body = "{}" },
		       { .method = "PUT", .path = "/notes/71", .status = 200, .body = "{}" });
		fake_api_show(f, &run, &note_of_run, &s);
		assert_int_equal(s.r.fate, API_OK);
		assert_string_equal(f->asked, rows[i].asked);
		assert_non_null(strstr(f->body, "<!-- pipeline-guard -->\\n**A heal waits for "
						"approval**"));
	}
}

static void a_pipeline_for_no_merge_request_gets_a_status(void **state)
{
	struct fake_api *f = *state;
	struct api_note note = note_of_run;
	struct fake_report s;

	SCRIPT(f, { .method = "POST", .path = "/statuses/" SHA, .status = 201, .body = "{}" });
	fake_api_show(f, &run7, &note, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(f->asked, "POST /git/api/v4/projects/5/statuses/" SHA "; ");
	assert_non_null(strstr(f->body, "\"state\":\"success\""));
	assert_non_null(strstr(f->body, "\"pipeline_id\":7"));
	assert_non_null(strstr(f->body, "A heal waits: x"));
	note.sha = "../../5/issues";
	f->asked[0] = '\0';
	fake_api_show(f, &run7, &note, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_string_equal(f->asked, "");
}

static void what_may_not_be_written_is_refused(void **state)
{
	struct fake_api *f = *state;
	struct api_run run = run7;
	struct fake_report s;

	run.merge_request = 12;
	SCRIPT(f, { .method = "GET", .path = "/user", .status = 200, .body = "{\"id\":9}" },
	       { .method = "GET", .path = "/notes?", .status = 200, .body = "{}" });
	fake_api_show(f, &run, &note_of_run, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	SCRIPT(f, { .method = "GET", .path = "/user", .status = 200, .body = "{\"id\":9}" },
	       { .method = "GET", .path = "/notes?", .status = 200, .body = "[]" },
	       { .method = "POST", .path = "/notes", .status = 403, .body = "{}" });
	fake_api_show(f, &run, &note_of_run, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_non_null(strstr(s.r.why, "may not"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAKE_TEST(a_run_is_the_pipeline_and_its_newest_job),
		FAKE_TEST(translates_every_word_for_a_status),
		FAKE_TEST(does_not_believe_another_pipeline),
		cmocka_unit_test(every_status_has_its_fate),
		FAKE_TEST(a_limit_stops_the_next_call_before_it_is_made),
		FAKE_TEST(the_next_token_of_the_list_is_tried_once),
		FAKE_TEST(jobs_come_with_stage_and_reason),
		FAKE_TEST(reads_all_pages_of_jobs),
		FAKE_TEST(a_trace_is_plain_text),
		FAKE_TEST(a_file_is_asked_for_by_its_encoded_path),
		FAKE_TEST(an_empty_trace_is_no_log),
		FAKE_TEST(retries_each_failed_job_of_that_generation),
		FAKE_TEST(every_answer_to_a_retry_has_its_fate),
		FAKE_TEST(what_is_not_failed_any_more_is_left_alone),
		FAKE_TEST(refuses_addresses_that_cannot_be_right),
		FAKE_TEST(a_run_without_numbers_is_not_asked_for),
		FAKE_TEST(a_listed_pipeline_is_what_its_webhook_says),
		FAKE_TEST(a_list_that_is_the_same_is_not_read_again),
		FAKE_TEST(a_project_without_a_number_is_asked_for_by_its_path),
		FAKE_TEST(projects_are_listed_to_their_end_or_to_the_most),
		FAKE_TEST(projects_that_sleep_are_not_listed),
		cmocka_unit_test(only_projects_of_the_groups_that_are_named),
		FAKE_TEST(there_is_one_note_of_a_merge_request),
		FAKE_TEST(a_pipeline_for_no_merge_request_gets_a_status),
		FAKE_TEST(what_may_not_be_written_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

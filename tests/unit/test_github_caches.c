/* Which caches are deleted before a run is repeated, and which are left alone. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "fake_api.h"
#include "fake_http.h"
#include "healers/healer.h"

static const struct api_run run7 = {
	.repo = "o/r", .repo_id = 5, .run_id = 7, .generation = 2, .default_branch = "main"
};

static int setup(void **state)
{
	static const char *const sets[] = { "github.api_url=http://127.0.0.1:PORT",
					    "github.timeout=400ms", "github.write_interval=0s",
					    NULL };

	return fake_api_setup(state, &provider_api_github, "PIPELINE_GUARD_GITHUB_TOKEN", "ghp_1",
			      sets);
}

#define BEGAN "2026-07-29T10:00:00Z"
#define RUN(attempt, status, event, pulls)                                           \
	"{\"id\":7,\"run_attempt\":" #attempt ",\"status\":\"" status                \
	"\",\"conclusion\":\"failure\",\"head_branch\":\"fix/a\",\"event\":\"" event \
	"\",\"run_started_at\":\"" BEGAN "\",\"pull_requests\":" pulls "}"
#define CACHE(id, ref, at) \
	"{\"id\":" #id ",\"ref\":\"" ref "\",\"key\":\"k\",\"last_accessed_at\":\"" at "\"}"
#define LIST(...) "{\"total_count\":9,\"actions_caches\":[" __VA_ARGS__ "]}"

static void ask(struct fake_api *f, const char *run, const char *caches, bool resumed,
		struct fake_report *out)
{
	struct api_run r = run7;

	r.tries = resumed;
	SCRIPT(f, { .method = "GET", .path = "/runs/7", .status = 200, .body = run },
	       { .method = "GET", .path = "/caches?", .status = 200, .body = caches },
	       { .method = "DELETE", .path = "/caches/3", .status = 404, .body = "{}" },
	       { .method = "DELETE", .path = "/caches/", .status = 204, .body = "" });
	f->asked[0] = '\0';
	fake_api_act(f, HEALER_CALL(clear_caches), &r, out);
}

static void only_what_the_run_could_use_and_did_is_deleted(void **state)
{
	static const struct {
		const char *why, *run, *cache;
		bool deleted;
	} rows[] = {
		{ "its branch", RUN(2, "completed", "push", "[]"),
		  CACHE(1, "refs/heads/fix/a", "2026-07-29T10:00:05.31Z"), true },
		{ "just before it said so", RUN(2, "completed", "push", "[]"),
		  CACHE(1, "refs/heads/fix/a", "2026-07-29T09:59:01Z"), true },
		{ "not since", RUN(2, "completed", "push", "[]"),
		  CACHE(1, "refs/heads/fix/a", "2026-07-29T09:58:59Z"), false },
		{ "the default branch", RUN(2, "completed", "push", "[]"),
		  CACHE(1, "refs/heads/main", BEGAN), true },
		{ "another branch", RUN(2, "completed", "push", "[]"),
		  CACHE(1, "refs/heads/fix/ab", BEGAN), false },
		{ "somebody's pull request", RUN(2, "completed", "push", "[]"),
		  CACHE(1, "refs/pull/12/merge", BEGAN), false },
		{ "its pull request", RUN(2, "completed", "pull_request", "[{\"number\":12}]"),
		  CACHE(1, "refs/pull/12/merge", BEGAN), true },
		{ "another one", RUN(2, "completed", "pull_request", "[{\"number\":12}]"),
		  CACHE(1, "refs/pull/121/merge", BEGAN), false },
		{ "a fork's, whose number is not told", RUN(2, "completed", "pull_request", "[]"),
		  CACHE(1, "refs/pull/121/merge", BEGAN), true },
		{ "no time", RUN(2, "completed", "push", "[]"),
		  "{\"id\":1,\"ref\":\"refs/heads/fix/a\"}", false },
	};
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char list[400];
		struct fake_report s;

		(void)snprintf(list, sizeof(list), LIST("%s"), rows[i].cache);
		ask(f, rows[i].run, list, false, &s);
		assert_case(s.r.fate == (rows[i].deleted ? API_OK : API_REFUSED), rows[i].why);
		assert_case(fake_api_asked(f, "DELETE") == rows[i].deleted, rows[i].why);
	}
}

static void they_are_deleted_one_by_one_by_their_numbers(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	/* One is gone already. */
	ask(f, RUN(2, "completed", "push", "[]"),
	    LIST(CACHE(2, "refs/heads/fix/a", BEGAN) "," CACHE(
		    3, "refs/heads/main", BEGAN) "," CACHE(4, "refs/heads/main", BEGAN)),
	    false, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(f->asked,
			    "GET /repos/o/r/actions/runs/7; "
			    "GET /repos/o/r/actions/caches?sort=last_accessed_at&direction=desc"
			    "&per_page=100; DELETE /repos/o/r/actions/caches/2; "
			    "DELETE /repos/o/r/actions/caches/3; "
			    "DELETE /repos/o/r/actions/caches/4; ");
}

static void nothing_to_delete_is_no_reason_to_repeat(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;

	ask(f, RUN(2, "completed", "push", "[]"), LIST(""), false, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_string_equal(s.r.why, "the run used no cache that could be deleted");
	/* An earlier try deleted them. */
	ask(f, RUN(2, "completed", "push", "[]"), LIST(""), true, &s);
	assert_int_equal(s.r.fate, API_OK);
}

static void a_run_that_went_on_keeps_its_caches(void **state)
{
	static const char *const runs[] = { RUN(3, "completed", "push", "[]"),
					    RUN(2, "in_progress", "push", "[]") };
	struct fake_api *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		struct fake_report s;

		ask(f, runs[i], LIST(CACHE(1, "refs/heads/main", BEGAN)), false, &s);
		assert_int_equal(s.r.fate, API_WAIT);
		assert_int_equal(fake_api_asked(f, "caches"), 0);
	}
}

static void there_is_a_most_and_garbage_is_told(void **state)
{
	struct fake_api *f = *state;
	struct fake_report s;
	char list[8000] = "";

	for (int i = 100; i < 130; i++) {
		size_t n = strlen(list);

		(void)snprintf(list + n, sizeof(list) - n,
			       "%s{\"id\":%d,\"ref\":\"refs/heads/main\",\"last_accessed_at\":"
			       "\"" BEGAN "\"}",
			       n ? "," : "{\"actions_caches\":[", i);
	}
	(void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "]}");
	ask(f, RUN(2, "completed", "push", "[]"), list, false, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(fake_api_asked(f, "DELETE"), 20);
	ask(f, RUN(2, "completed", "push", "[]"), "{\"caches\":[]}", false, &s);
	assert_true(s.r.fate != API_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAKE_TEST(only_what_the_run_could_use_and_did_is_deleted),
		FAKE_TEST(they_are_deleted_one_by_one_by_their_numbers),
		FAKE_TEST(nothing_to_delete_is_no_reason_to_repeat),
		FAKE_TEST(a_run_that_went_on_keeps_its_caches),
		FAKE_TEST(there_is_a_most_and_garbage_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

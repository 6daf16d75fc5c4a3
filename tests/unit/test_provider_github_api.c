#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>
#include <event2/event.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/http_client.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/tail_buf.h"
#include "core/text.h"
#include "fake_http.h"
#include "healers/healer_calls.h"
#include "healers/provider_api.h"
#include "tests/unit/metric_sum.h"

#define RUN_JSON                                                               \
	"{\"id\":7,\"run_attempt\":2,\"status\":\"completed\",\"conclusion\":" \
	"\"failure\"}"

struct world {
	struct event_base *base;
	struct http_client *http;
	struct fake_http *server, *storage;
	struct conf *conf;
	struct api *api;
	/* What the server answers with. */
	int status;
	const char *headers, *body;
	fake_http_fn *special; /* instead of the above */
	/* What it saw. */
	char method[16], path[512];
	char paths[1024]; /* all of them */
	char tokens[256];
	bool storage_got_token;
	int64_t at_ms[8];
};

/* What a call reported, copied. */
struct seen {
	bool done;
	unsigned times;
	struct api_result r;
	char status[32], conclusion[32];
	char *log;
	unsigned n_jobs;
	uint64_t last_job;
	char last_name[64], last_step[64];
	unsigned last_steps;
	struct api_call *cancel_me;
};

static const struct provider_api *const gh = &provider_api_github;
static const struct api_run run7 = { .repo = "o/r", .repo_id = 5, .run_id = 7, .generation = 2 };
static const struct api_job job9 = { .id = 9, .name = "build (ubuntu)" };

static void on_result(const struct api_result *r, void *arg)
{
	struct seen *s = arg;

	s->done = true;
	s->times++;
	s->r = *r;
	(void)snprintf(s->status, sizeof(s->status), "%s", r->status ? r->status : "");
	(void)snprintf(s->conclusion, sizeof(s->conclusion), "%s",
		       r->conclusion ? r->conclusion : "");
	if (r->log_skipped_lines) {
		assert_string_equal(r->log, "");
		s->r.log_len = r->log_memory->len;
		s->log = xcalloc(1, s->r.log_len + 1);
		(void)tail_buf_copy(r->log_memory, 0, s->log, s->r.log_len);
	} else if (r->log) {
		s->log = xmemdup(r->log, r->log_len + 1);
	}
	s->n_jobs = r->n_jobs;
	if (r->n_jobs) {
		const struct api_job *last = &r->jobs[r->n_jobs - 1];

		s->last_job = last->id;
		s->last_steps = last->n_steps;
		(void)snprintf(s->last_name, sizeof(s->last_name), "%s", last->name);
		if (last->n_steps)
			(void)snprintf(s->last_step, sizeof(s->last_step), "%s",
				       last->steps[last->n_steps - 1].name);
	}
	gh->cancel(s->cancel_me);
	s->cancel_me = NULL;
}

static void seen_done(struct seen *s)
{
	free(s->log);
}

static void serve(struct fake_request *r, void *arg)
{
	struct world *w = arg;
	const char *token = strstr(r->head, "Authorization: Bearer ");
	size_t n = strlen(w->paths), t = strlen(w->tokens);

	if (r->number <= ARRAY_LEN(w->at_ms))
		w->at_ms[r->number - 1] = clock_mono_ms();
	(void)snprintf(w->method, sizeof(w->method), "%s", r->method);
	(void)snprintf(w->path, sizeof(w->path), "%s", r->path);
	(void)snprintf(w->paths + n, sizeof(w->paths) - n, "%s ", r->path);
	if (token)
		(void)snprintf(w->tokens + t, sizeof(w->tokens) - t, "%.*s ",
			       (int)strcspn(token + 22, "\r\n"), token + 22);
	assert_true(fake_http_has(r, "Accept: application/vnd.github+json") ||
		    strstr(r->path, "/contents/"));
	assert_true(fake_http_has(r, "X-GitHub-Api-Version: 2022-11-28"));
	if (w->special)
		w->special(r, w);
	else if (w->status)
		fake_http_reply(r, w->status, w->headers ? w->headers : "", w->body);
}

static void serve_storage(struct fake_request *r, void *arg)
{
	struct world *w = arg;

	w->storage_got_token |= strstr(r->head, "Authorization") != NULL;
	if (strcmp(r->path, "/text") == 0)
		fake_http_reply(r, 200, "", "one\ntwo\n");
	else if (strcmp(r->path, "/lapsed") == 0)
		fake_http_reply(r, 403, "", "<Error/>");
	else
		fake_http_reply(r, 404, "", "<Error/>");
}

static const struct conf_table *const tables[] = { &provider_api_conf };

static void set(struct world *w, const char *assignment)
{
	struct err err = { 0 };

	assert_ok(conf_set(w->conf, assignment, &err), &err);
}

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct err err = { 0 };
	char url[80];

	w->base = event_base_new();
	w->http = http_client_new(w->base, "guard-test/1");
	w->server = fake_http_new(w->base, serve, w);
	w->storage = fake_http_new(w->base, serve_storage, w);
	(void)setenv("PIPELINE_GUARD_GITHUB_TOKEN", "tok-1,tok-2", 1);
	w->conf = conf_new(tables, ARRAY_LEN(tables));
	assert_ok(conf_load_env(w->conf, &err), &err);
	(void)unsetenv("PIPELINE_GUARD_GITHUB_TOKEN");
	(void)snprintf(url, sizeof(url), "github.api_url=http://127.0.0.1:%d/api/v3/",
		       fake_http_port(w->server));
	set(w, url);
	set(w, "github.write_interval=0s");
	set(w, "github.timeout=400ms");
	assert_ok(gh->open(w->base, w->conf, w->http, &w->api, &err), &err);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	gh->close(w->api);
	conf_free(w->conf);
	http_client_free(w->http);
	fake_http_free(w->server);
	fake_http_free(w->storage);
	event_base_free(w->base);
	free(w);
	return 0;
}

static void finish(struct world *w, struct seen *s)
{
	assert_false(s->done);
	assert_true(fake_http_wait(w->base, &s->done));
	assert_int_equal(s->times, 1);
}

static void ask_run(struct world *w, struct seen *s)
{
	(void)gh->get_run(w->api, &run7, on_result, s);
	finish(w, s);
}

static void rerun(struct world *w, struct seen *s)
{
	(void)gh->rerun_failed_jobs(w->api, &run7, on_result, s);
	finish(w, s);
}

/* --- runs and re-runs --------------------------------------------------- */

static void asks_for_the_run_past_every_cache(struct fake_request *r, void *arg)
{
	(void)arg;
	assert_true(fake_http_has(r, "Cache-Control: no-cache"));
	assert_true(fake_http_has(r, "Authorization: Bearer tok-1"));
	fake_http_reply(r, 200, "X-RateLimit-Remaining: 4711\r\n", RUN_JSON);
}

static void reads_a_run(void **state)
{
	struct world *w = *state;
	struct seen s = { 0 };

	w->special = asks_for_the_run_past_every_cache;
	ask_run(w, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(s.r.generation, 2);
	assert_string_equal(s.status, "completed");
	assert_string_equal(s.conclusion, "failure");
	assert_string_equal(w->path, "/api/v3/repos/o/r/actions/runs/7");
	assert_string_equal(gh->host(w->api), "127.0.0.1");
	assert_true(metric_sum("provider_requests_total", "host=\"127.0.0.1\",code=\"200\"") > 0);
	assert_int_equal(metric_sum("provider_rate_limit_remaining", "host=\"127.0.0.1\""), 4711);
}

/* Of the run what `body` says; of us, with `status`. */
static void tells_who(struct fake_request *r, void *arg)
{
	struct world *w = arg;

	if (!strstr(r->path, "/user"))
		fake_http_reply(r, 200, "", w->body);
	else if (w->status == 200)
		fake_http_reply(r, 200, "", "{\"login\":\"Guard\"}");
	else
		fake_http_reply(r, w->status, "", "{\"message\":\"no\"}");
}

static void says_whose_rerun_it_is(void **state)
{
#define BY(attempt, actor)                                                                       \
	"{\"id\":7,\"run_attempt\":" attempt ",\"status\":\"in_progress\",\"triggering_actor\":" \
	"{\"login\":\"" actor "\"}}"
	static const struct {
		const char *why, *body;
		int status;
		bool foreign;
		const char *paths; /* below the API's address */
	} rows[] = {
		{ "the attempt we know", BY("2", "mira"), 200, false, "/actions/runs/7 " },
		{ "not to be known now", BY("3", "mira"), 502, false, "/user " },
		{ "a person's", BY("3", "mira"), 200, true, "/user " },
		{ "ours", BY("3", "guard"), 200, false, "/actions/runs/7 " },
		{ "it does not say", "{\"id\":7,\"run_attempt\":3,\"status\":\"queued\"}", 200,
		  false, "/actions/runs/7 " },
		{ "we were asked for once", BY("3", "mira"), 403, true, "/actions/runs/7 " },
	};
	struct world *w = *state;

	w->special = tells_who;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen s = { 0 };
		size_t n = strlen(rows[i].paths);

		w->body = rows[i].body;
		w->status = rows[i].status;
		ask_run(w, &s);
		assert_case(s.r.fate == API_OK && s.r.generation >= 2, rows[i].why);
		assert_case(s.r.foreign == rows[i].foreign, rows[i].why);
		assert_case(*s.status != '\0', rows[i].why);
		assert_case(strcmp(w->paths + strlen(w->paths) - n, rows[i].paths) == 0,
			    rows[i].why);
	}
#undef BY
}

static void a_token_that_may_not_know_its_user_is_asked_once(void **state)
{
	struct world *w = *state;

	w->special = tells_who;
	w->body = "{\"id\":7,\"run_attempt\":3,\"triggering_actor\":{\"login\":\"mira\"}}";
	w->status = 403;
	for (int i = 0; i < 2; i++) {
		struct seen s = { 0 };

		ask_run(w, &s);
		assert_int_equal(s.r.fate, API_OK);
		assert_int_equal(s.r.generation, 3);
		assert_false(s.r.foreign);
	}
	assert_string_equal(strstr(w->paths, "/user "), "/user /api/v3/repos/o/r/actions/runs/7 ");
}

static void does_not_believe_another_run(void **state)
{
	static const struct {
		const char *body, *why;
	} rows[] = {
		{ "", "nothing" },
		{ "<html>sign in</html>", "a page for people" },
		{ "[]", "a list" },
		{ "{}", "no fields" },
		{ "{\"id\":8,\"run_attempt\":2}", "another id" },
		{ "{\"id\":7}", "no attempt" },
		{ "{\"id\":7,\"run_attempt\":0}", "attempt zero" },
		{ "{\"id\":\"7\",\"run_attempt\":\"2\"}", "text for numbers" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen s = { 0 };

		w->status = 200;
		w->body = rows[i].body;
		ask_run(w, &s);
		assert_case(s.r.fate == API_REFUSED, rows[i].why);
		assert_case(strstr(s.r.why, "github.api_url"), rows[i].why);
	}
}

static void reruns_the_failed_jobs(void **state)
{
	struct world *w = *state;
	struct seen s = { 0 };

	w->status = 201;
	w->body = "{}";
	rerun(w, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(w->method, "POST");
	assert_string_equal(w->path, "/api/v3/repos/o/r/actions/runs/7/rerun-failed-jobs");
}

/* Only an App may show checks. */
static void a_token_shows_a_status(void **state)
{
	struct api_note note = {
		.sha = "0123456789012345678901234567890123456789",
		.title = "Healed",
		.summary = "x",
		.brief = "Healed: x",
		.url = "",
	};
	struct world *w = *state;
	struct seen s = { 0 };

	w->status = 201;
	w->body = "{}";
	(void)gh->show(w->api, &run7, &note, on_result, &s);
	finish(w, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_string_equal(w->method, "POST");
	assert_string_equal(w->path, "/api/v3/repos/o/r/statuses/"
				     "0123456789012345678901234567890123456789");
	note.sha = "main/../x";
	w->path[0] = '\0';
	s = (struct seen){ 0 };
	(void)gh->show(w->api, &run7, &note, on_result, &s);
	finish(w, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_string_equal(w->path, "");
}

#define DOCS "\"documentation_url\":\"https://docs.github.com/rest/overview/"

static void turns_every_answer_into_a_fate(void **state)
{
	static const struct {
		int status;
		const char *headers, *body;
		enum api_fate fate;
		int64_t retry_ms; /* -2: any */
		const char *has, *why;
	} rows[] = {
		{ 201, "", "{}", API_OK, -1, "", "created" },
		{ 200, "", "", API_OK, -1, "", "fine too" },
		{ 403, "", "{\"message\":\"The workflow run is already running\"}", API_WAIT, -1,
		  "already running", "somebody was first" },
		{ 403, "X-RateLimit-Remaining: 0\r\n",
		  "{\"message\":\"This workflow is already running\"}", API_WAIT, -1,
		  "already running", "with the last call of the hour" },
		{ 403, "Retry-After: 30\r\n", "{}", API_RETRY, 30000, "rate limit", "told when" },
		{ 429, "Retry-After: 30\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1\r\n",
		  "{}", API_RETRY, 30000, "rate limit", "Retry-After comes first" },
		{ 429, "", "", API_RETRY, 60000, "rate limit", "no word: a minute" },
		{ 429, "Retry-After: 0\r\n", "", API_RETRY, 1000, "rate limit", "not at once" },
		{ 429, "Retry-After: 999999\r\n", "", API_RETRY, 3600000, "rate limit",
		  "not for days" },
		{ 403, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1\r\n", "{}", API_RETRY,
		  1000, "rate limit", "the reset is past" },
		{ 403, "", "{\"message\":\"You have exceeded a secondary rate limit.\"}", API_RETRY,
		  60000, "rate limit", "secondary, by its message" },
		{ 403, "", "{\"message\":\"x\"," DOCS "rate-limits#secondary-rate-limits\"}",
		  API_RETRY, 60000, "rate limit", "secondary, by its documentation" },
		{ 403, "", "{\"message\":\"x\"," DOCS "x#abuse-rate-limits\"}", API_RETRY, 60000,
		  "rate limit", "abuse, by its documentation" },
		{ 403, "", "{\"message\":\"You have triggered an abuse detection mechanism\"}",
		  API_RETRY, 60000, "rate limit", "abuse, by its message" },
		{ 403, "X-RateLimit-Remaining: 12\r\n",
		  "{\"message\":\"Resource not accessible by integration\"}", API_REFUSED, -1,
		  "lacks actions: write on o/r", "no permission" },
		{ 403, "", "not JSON", API_REFUSED, -1, "lacks actions: write", "no words" },
		{ 403, "", "{\"message\":\"This run was created over a month ago\"}", API_REFUSED,
		  -1, "too old", "an old run" },
		{ 403, "", "{\"message\":\"Resource protected by organization SAML\"}", API_REFUSED,
		  -1, "single sign-on", "SSO" },
		{ 403, "", "{\"message\":\"a\\nb\\u001b[31m\"}", API_REFUSED, -1, "a?b?[31m",
		  "hostile words" },
		{ 404, "", "{\"message\":\"Not Found\"}", API_REFUSED, -1, "actions: write",
		  "hidden" },
		{ 410, "", "", API_REFUSED, -1, "gone", "gone" },
		{ 422, "", "{\"message\":\"nope\"}", API_REFUSED, -1, "422: nope", "refused" },
		{ 301, "", "", API_REFUSED, -1, "redirect", "moved, but not where to" },
		{ 302, "Location: https://example.invalid/\r\n", "", API_REFUSED, -1, "redirect",
		  "a POST does not go elsewhere" },
		{ 418, "", "", API_REFUSED, -1, "418", "never heard of" },
		{ 500, "", "", API_RETRY, -1, "trouble", "down" },
		{ 503, "Retry-After: 5\r\n", "", API_RETRY, 5000, "trouble", "down for a while" },
		{ 0, "", "", API_RETRY, -1, "in time", "hangs" },
	};
	struct world *w = *state;
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen s = { 0 };

		w->status = rows[i].status;
		w->headers = rows[i].headers;
		w->body = rows[i].body;
		rerun(w, &s);
		if (s.r.fate != rows[i].fate || s.r.http_status != rows[i].status ||
		    s.r.retry_after_ms != rows[i].retry_ms || !strstr(s.r.why, rows[i].has))
			fail_msg("%s: %d %d %" PRId64 " \"%s\"", rows[i].why, s.r.fate,
				 s.r.http_status, s.r.retry_after_ms, s.r.why);
		assert_case(!strstr(s.r.why, "tok-"), rows[i].why);
		/* A rate limit would silence the next row. */
		gh->close(w->api);
		assert_ok(gh->open(w->base, w->conf, w->http, &w->api, &err), &err);
	}
}

static void a_refused_token_is_replaced_once(void **state)
{
	struct world *w = *state;
	struct seen s = { 0 };

	w->status = 401;
	w->body = "{\"message\":\"Bad credentials\"}";
	rerun(w, &s);
	assert_int_equal(s.r.fate, API_REFUSED);
	assert_non_null(strstr(s.r.why, "401"));
	assert_string_equal(w->tokens, "tok-1 tok-2 ");
}

static void names_that_are_no_repository_are_not_sent(void **state)
{
	static const char *const names[] = { "",           "o",     "o/",    "/r",     "o/r/x",
					     "o/..",       "../r",  "./r",   "o/.",    "o/r?",
					     "o/r#",       "o/r%2", "o/r x", "o\\r/x", "o/r\r\n",
					     "o/\xc3\xa4", "o//",   "//",    "o r/x" };
	struct world *w = *state;

	w->status = 200;
	w->body = RUN_JSON;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct api_run run = { .repo = names[i], .run_id = 7, .generation = 1 };
		struct seen s = { 0 };

		(void)gh->get_run(w->api, &run, on_result, &s);
		finish(w, &s);
		assert_case(s.r.fate == API_REFUSED, names[i]);
	}
	assert_int_equal(fake_http_requests(w->server), 0);
	for (size_t i = 0; i < 2; i++) {
		const struct api_run run = { .repo = i ? "a.b-c_d/..x" : ".o/r.", .run_id = 7 };
		struct seen s = { 0 };

		(void)gh->get_run(w->api, &run, on_result, &s);
		finish(w, &s);
		assert_int_equal(s.r.fate, API_OK);
	}
}

/* --- rate limits and writes --------------------------------------------- */

static void when_the_limit_is_used_up_nothing_is_asked(void **state)
{
	struct world *w = *state;
	struct seen first = { 0 }, second = { 0 };
	char headers[128];

	(void)snprintf(headers, sizeof(headers),
		       "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: %" PRId64 "\r\n",
		       clock_wall_ms() / 1000 + 100);
	w->status = 200;
	w->headers = headers;
	w->body = RUN_JSON;
	ask_run(w, &first);
	assert_int_equal(first.r.fate, API_OK); /* the answer itself is good */
	rerun(w, &second);
	assert_int_equal(second.r.fate, API_RETRY);
	assert_in_range(second.r.retry_after_ms, 95000, 100000);
	assert_non_null(strstr(second.r.why, "rate limit"));
	assert_int_equal(fake_http_requests(w->server), 1);
}

static void writes_keep_their_distance(void **state)
{
	struct world *w = *state;
	struct seen s[3] = { 0 }, read = { 0 };
	struct api_call *calls[3];
	int64_t began;

	set(w, "github.write_interval=1s");
	w->status = 201;
	w->body = RUN_JSON;
	began = clock_mono_ms();
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		calls[i] = gh->rerun_failed_jobs(w->api, &run7, on_result, &s[i]);
	/* Reads do not wait, and a cancelled write leaves no gap. */
	(void)gh->get_run(w->api, &run7, on_result, &read);
	gh->cancel(calls[1]);
	assert_true(fake_http_wait(w->base, &s[2].done));
	assert_int_equal(s[0].times, 1);
	assert_int_equal(s[1].times, 0);
	assert_int_equal(read.times, 1);
	assert_int_equal(fake_http_requests(w->server), 3);
	/* From where the first cannot have left yet: when it came is the machine's affair. */
	assert_in_range(w->at_ms[2] - began, 1000, 1990);
}

/* --- jobs --------------------------------------------------------------- */

static void many_jobs(struct fake_request *r, void *arg)
{
	struct world *w = arg;
	unsigned page = 0, total = (unsigned)w->status, n = 0;
	const char *at = strstr(r->path, "&page=");
	struct buf b;

	assert_non_null(at);
	(void)sscanf(at, "&page=%u", &page);
	buf_init(&b, 1 << 20);
	buf_printf(&b, "{\"total_count\":%u,\"jobs\":[", total);
	for (unsigned i = (page - 1) * 100; i < total && n < 100; i++, n++)
		buf_printf(&b,
			   "%s{\"id\":%u,\"name\":\"job %u\",\"status\":\"completed\","
			   "\"conclusion\":\"failure\",\"started_at\":\"2026-07-29T10:01:29Z\","
			   "\"completed_at\":null,\"runner_name\":null,\"steps\":[{\"name\":\"a\","
			   "\"number\":1,\"conclusion\":\"success\"}]}",
			   n ? "," : "", i + 1, i + 1);
	buf_puts(&b, "]}");
	fake_http_reply(r, 200, "", buf_text(&b));
	buf_done(&b);
}

static void lists_jobs_of_all_pages(void **state)
{
	static const struct {
		int total;
		unsigned n, requests;
		bool more;
		const char *why;
	} rows[] = {
		{ 0, 0, 1, false, "none" },
		{ 1, 1, 1, false, "one" },
		{ 99, 99, 1, false, "nearly a page" },
		{ 100, 100, 1, false, "exactly a page" },
		{ 101, 101, 2, false, "two pages" },
		{ API_JOBS_MAX, API_JOBS_MAX, 3, false, "as many as we take" },
		{ API_JOBS_MAX + 1, API_JOBS_MAX, 3, true, "one more" },
		{ 1000, API_JOBS_MAX, 3, true, "many more" },
	};
	struct world *w = *state;
	unsigned before = 0;

	w->special = many_jobs;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen s = { 0 };

		w->status = rows[i].total;
		(void)gh->list_jobs(w->api, &run7, on_result, &s);
		finish(w, &s);
		assert_case(s.r.fate == API_OK, rows[i].why);
		assert_case(s.n_jobs == rows[i].n, rows[i].why);
		assert_case(s.last_job == rows[i].n, rows[i].why);
		assert_case(s.r.more_jobs == rows[i].more, rows[i].why);
		assert_case(fake_http_requests(w->server) - before == rows[i].requests,
			    rows[i].why);
		before = fake_http_requests(w->server);
	}
	assert_string_equal(w->path,
			    "/api/v3/repos/o/r/actions/runs/7/attempts/2/jobs?per_page=100&page=3");
}

static void many_steps(struct fake_request *r, void *arg)
{
	struct buf b;

	(void)arg;
	buf_init(&b, 1 << 20);
	buf_puts(&b, "{\"total_count\":1,\"jobs\":[{\"id\":1,\"name\":\"j\",\"steps\":[");
	for (int i = 1; i <= 100; i++)
		buf_printf(&b, "%s{\"name\":\"step %d\",\"number\":%d,\"conclusion\":\"%s\"}",
			   i > 1 ? "," : "", i, i, i == 80 ? "failure" : "success");
	buf_puts(&b, "]}]}");
	fake_http_reply(r, 200, "", buf_text(&b));
	buf_done(&b);
}

static void of_too_many_steps_the_failed_one_stays(void **state)
{
	struct world *w = *state;
	struct seen s = { 0 };

	w->special = many_steps;
	(void)gh->list_jobs(w->api, &run7, on_result, &s);
	finish(w, &s);
	assert_int_equal(s.last_steps, API_STEPS_MAX);
	assert_string_equal(s.last_step, "step 80");
}

static void jobs_that_make_no_sense_are_refused_or_empty(void **state)
{
	static const struct {
		const char *body;
		enum api_fate fate;
		unsigned n;
		const char *why;
	} rows[] = {
		{ "{}", API_REFUSED, 0, "no jobs member" },
		{ "{\"jobs\":{}}", API_REFUSED, 0, "not a list" },
		{ "[]", API_REFUSED, 0, "only a list" },
		{ "{\"jobs\":[]}", API_OK, 0, "no total" },
		{ "{\"jobs\":[1,null,\"x\",{}]}", API_OK, 4, "jobs that are none" },
		{ "{\"jobs\":[{\"steps\":{\"a\":1}}]}", API_OK, 1, "steps that are none" },
	};
	struct world *w = *state;

	w->status = 200;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen s = { 0 };

		w->body = rows[i].body;
		(void)gh->list_jobs(w->api, &run7, on_result, &s);
		finish(w, &s);
		assert_case(s.r.fate == rows[i].fate, rows[i].why);
		assert_case(s.r.fate != API_OK || s.n_jobs == rows[i].n, rows[i].why);
	}
}

/* --- logs --------------------------------------------------------------- */

static char zip[65536];
static size_t zip_len;

static void make_zip(void)
{
	static const char text[] = "from the archive\n";
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();

	(void)archive_write_set_format_zip(a);
	(void)archive_write_open_memory(a, zip, sizeof(zip), &zip_len);
	archive_entry_set_pathname(e, "3_build (ubuntu).txt");
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_size(e, sizeof(text) - 1);
	(void)archive_write_header(a, e);
	(void)archive_write_data(a, text, sizeof(text) - 1);
	archive_entry_free(e);
	(void)archive_write_close(a);
	(void)archive_write_free(a);
}

/* `body` names the place in the storage that the job's log is at; `status` is the archive's. */
static void log_server(struct fake_request *r, void *arg)
{
	struct world *w = arg;
	char head[128];

	if (strstr(r->path, "/attempts/")) {
		assert_string_equal(r->path, "/api/v3/repos/o/r/actions/runs/7/attempts/2/logs");
		fake_http_reply_n(r, w->status, "", zip, w->status == 200 ? zip_len : 0);
		return;
	}
	assert_string_equal(r->path, "/api/v3/repos/o/r/actions/jobs/9/logs");
	if (w->body[0] != '/') {
		fake_http_reply(r, 404, "", "{}");
		return;
	}
	(void)snprintf(head, sizeof(head), "Location: http://127.0.0.1:%d%s\r\n",
		       fake_http_port(w->storage), w->body);
	fake_http_reply(r, 302, head, "");
}

static void fetches_the_log_or_the_archive(void **state)
{
	static const struct {
		const char *at;
		int archive;
		const char *job;
		int64_t age_ms; /* of the job's end; -1: unknown */
		enum api_fate fate;
		int64_t retry_ms;
		const char *log, *has, *why;
	} rows[] = {
		{ "/text", 0, "build (ubuntu)", -1, API_OK, -1, "one\ntwo\n", "", "plain text" },
		{ "gone", 200, "build (ubuntu)", -1, API_OK, -1, "from the archive\n", "",
		  "the archive" },
		{ "/gone", 200, "build (ubuntu)", -1, API_OK, -1, "from the archive\n", "",
		  "the link leads nowhere" },
		{ "gone", 200, "another", -1, API_REFUSED, -1, NULL, "no log of this job",
		  "not in the archive" },
		{ "gone", 404, "build (ubuntu)", -1, API_REFUSED, -1, NULL, "actions: read",
		  "both gone" },
		{ "gone", 404, "build (ubuntu)", 180000, API_REFUSED, -1, NULL, "expired",
		  "not there, and old enough" },
		{ "gone", 410, "build (ubuntu)", 60000, API_REFUSED, -1, NULL, "expired",
		  "gone is final" },
		{ "gone", 404, "build (ubuntu)", 60000, API_RETRY, 15000, NULL, "just ended",
		  "not there yet" },
		{ "gone", 500, "build (ubuntu)", -1, API_RETRY, -1, NULL, "trouble", "down" },
		{ "/lapsed", 0, "build (ubuntu)", -1, API_RETRY, -1, NULL, "storage",
		  "a link that lapsed" },
	};
	struct world *w = *state;

	make_zip();
	w->special = log_server;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(seen_done) struct seen s = { 0 };
		struct api_job job = job9;

		w->body = rows[i].at;
		w->status = rows[i].archive;
		job.name = rows[i].job;
		if (rows[i].age_ms >= 0)
			job.completed_at_ms = clock_wall_ms() - rows[i].age_ms;
		(void)gh->get_log(w->api, &run7, &job, on_result, &s);
		finish(w, &s);
		if (s.r.fate != rows[i].fate || s.r.retry_after_ms != rows[i].retry_ms ||
		    !strstr(s.r.why, rows[i].has))
			fail_msg("%s: %d %" PRId64 " \"%s\"", rows[i].why, s.r.fate,
				 s.r.retry_after_ms, s.r.why);
		if (rows[i].log)
			assert_string_equal(s.log, rows[i].log);
	}
	assert_false(w->storage_got_token);
}

static void file_server(struct fake_request *r, void *arg)
{
	struct world *w = arg;

	assert_string_equal(r->path, "/api/v3/repos/o/r/contents/.github/CODEOWNERS");
	assert_non_null(strstr(r->head, "Accept: application/vnd.github.raw+json"));
	fake_http_reply(r, w->status, "", w->status == 200 ? "* @all\n" : "{}");
}

static void a_file_comes_as_it_is(void **state)
{
	struct world *w = *state;
	OWNED(seen_done) struct seen there = { 0 }, not = { 0 };

	w->special = file_server;
	w->status = 200;
	(void)gh->get_file(w->api, &run7, NULL, ".github/CODEOWNERS", on_result, &there);
	finish(w, &there);
	assert_int_equal(there.r.fate, API_OK);
	assert_string_equal(there.log, "* @all\n");
	w->status = 404;
	(void)gh->get_file(w->api, &run7, NULL, ".github/CODEOWNERS", on_result, &not );
	finish(w, &not );
	assert_int_equal(not .r.fate, API_REFUSED);
	assert_int_equal(not .r.http_status, 404);
	assert_non_null(strstr(not .r.why, "contents: read"));
}

static void long_log(struct fake_request *r, void *arg)
{
	OWNED(freep) char *text = xmalloc(100001);

	(void)arg;
	for (int i = 0; i < 10000; i++)
		(void)snprintf(text + 10 * i, 11, "%09d\n", i);
	fake_http_reply(r, 200, "", text);
}

static void of_a_long_log_the_end_is_kept(void **state)
{
	struct world *w = *state;
	OWNED(seen_done) struct seen s = { 0 };

	set(w, "github.log_max=64k");
	w->special = long_log;
	(void)gh->get_log(w->api, &run7, &job9, on_result, &s);
	finish(w, &s);
	assert_int_equal(s.r.fate, API_OK);
	assert_int_equal(s.r.log_len, 65536);
	assert_int_equal(s.r.log_skipped_lines, 10000 - 6554);
	assert_string_equal(s.log + 65536 - 10, "000009999\n");
}

/* --- life times --------------------------------------------------------- */

static void a_cancelled_call_is_quiet(void **state)
{
	struct world *w = *state;
	struct seen a = { 0 }, b = { 0 }, bad = { 0 };
	const struct api_run nameless = { .repo = "x" };

	w->status = 200;
	w->body = RUN_JSON;
	gh->cancel(gh->get_run(w->api, &run7, on_result, &a));
	gh->cancel(NULL);
	/* One callback cancels another call that has ended as well. */
	(void)gh->get_run(w->api, &nameless, on_result, &bad);
	bad.cancel_me = gh->get_run(w->api, &nameless, on_result, &b);
	finish(w, &bad);
	fake_http_settle(w->base, 30);
	assert_int_equal(a.times + b.times, 0);
}

static void close_api(const struct api_result *r, void *arg)
{
	struct world *w = arg;

	(void)r;
	gh->close(w->api);
	w->api = NULL;
}

static void the_api_may_be_closed_in_a_callback(void **state)
{
	static const char *const repos[] = { "o/r", "x" };
	struct world *w = *state;
	struct err err = { 0 };

	w->status = 200;
	w->body = RUN_JSON;
	for (size_t i = 0; i < ARRAY_LEN(repos); i++) {
		const struct api_run run = { .repo = repos[i], .run_id = 7 };
		struct seen s = { 0 };

		(void)gh->get_run(w->api, &run, close_api, w);
		(void)gh->get_run(w->api, &run, on_result, &s);
		fake_http_settle(w->base, 50);
		assert_null(w->api);
		assert_case(s.times <= 1, repos[i]);
		assert_ok(gh->open(w->base, w->conf, w->http, &w->api, &err), &err);
	}
}

static void a_bad_address_is_refused_at_start(void **state)
{
	static const struct {
		const char *url;
		bool ok;
		const char *why;
	} rows[] = {
		{ "https://api.github.com", true, "github.com" },
		{ "https://ghes.example/api/v3", true, "GitHub Enterprise Server" },
		{ "http://localhost:3000", true, "a simulator" },
		{ "http://ghes.example/api/v3", false, "a token in the clear" },
		{ "https://u:p@ghes.example/", false, "credentials in it" },
		{ "https://ghes.example/?x=1", false, "a query" },
		{ "https://ghes.example/#x", false, "a fragment" },
		{ "ghes.example", false, "no scheme" },
		{ "ftp://ghes.example", false, "another scheme" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep) char *line = xasprintf("github.api_url=%s", rows[i].url);
		struct api *api = NULL;
		struct err err = { 0 };
		int rc;

		set(w, line);
		rc = gh->open(w->base, w->conf, w->http, &api, &err);
		assert_case((rc == 0) == rows[i].ok, rows[i].why);
		assert_case(rc == 0 || (err.kind == ERR_CONFIG && !strstr(err.msg, "u:p")),
			    rows[i].why);
		gh->close(api);
	}
}

/* --- healers ------------------------------------------------------------ */

struct healed {
	bool done;
	unsigned times;
	enum heal_status status;
	int64_t retry_after_ms;
	char detail[200];
};

static void on_healed(struct attempt *attempt, enum heal_status status, int64_t retry_after_ms,
		      const char *detail)
{
	struct healed *h = attempt->arg;

	h->done = true;
	h->times++;
	h->status = status;
	h->retry_after_ms = retry_after_ms;
	(void)snprintf(h->detail, sizeof(h->detail), "%s", detail);
	free(attempt->state);
	attempt->state = NULL;
}

static void heal(struct world *w, const struct healer *healer, struct api *api, bool cancel,
		 struct healed *h)
{
	struct attempt attempt = { .healer = healer,
				   .provider = gh,
				   .api = api,
				   .base = w->base,
				   .run = run7,
				   .done = on_healed,
				   .arg = h };
	struct err err = { 0 };

	attempt.state = xcalloc(1, healer->state_size);
	assert_ok(healer->start(&attempt, &err), &err);
	assert_false(h->done);
	if (cancel) {
		healer->cancel(&attempt);
		free(attempt.state);
		fake_http_settle(w->base, 30);
		return;
	}
	assert_true(fake_http_wait(w->base, &h->done));
	assert_int_equal(h->times, 1);
}

static void a_rerun_ends_in_one_of_four_ways(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum heal_status end;
		int64_t retry_ms;
	} rows[] = {
		{ 201, "{}", HEAL_OK, -1 },
		{ 403, "{\"message\":\"already running\"}", HEAL_WAIT, -1 },
		{ 502, "", HEAL_TEMPFAIL, -1 },
		{ 404, "", HEAL_PERMFAIL, -1 },
		{ 429, "", HEAL_TEMPFAIL, 60000 },
	};
	struct world *w = *state;
	struct healed quiet = { 0 };

	heal(w, &healer_rerun_failed_jobs, w->api, true, &quiet);
	assert_int_equal(quiet.times, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct healed h = { 0 };

		w->status = rows[i].status;
		w->body = rows[i].body;
		heal(w, &healer_rerun_failed_jobs, w->api, false, &h);
		assert_int_equal(h.status, rows[i].end);
		assert_int_equal(h.retry_after_ms, rows[i].retry_ms);
		assert_true(h.detail[0]);
	}
}

/* Every strategy goes to its own address; the words of the answers mean the same in all. */
static void each_strategy_calls_what_it_says(void **state)
{
	static const struct {
		const struct healer *healer;
		const char *path;
	} rows[] = {
		{ &healer_rerun_failed_jobs, "/api/v3/repos/o/r/actions/runs/7/rerun-failed-jobs" },
		{ &healer_retry_with_backoff,
		  "/api/v3/repos/o/r/actions/runs/7/rerun-failed-jobs" },
		{ &healer_rerun_all, "/api/v3/repos/o/r/actions/runs/7/rerun" },
	};
	struct world *w = *state;

	w->status = 201;
	w->body = "{}";
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct healed h = { 0 };

		heal(w, rows[i].healer, w->api, false, &h);
		assert_int_equal(h.status, HEAL_OK);
		assert_string_equal(w->method, "POST");
		assert_string_equal(w->path, rows[i].path);
		assert_string_equal(h.detail, rows[i].healer->did);
	}
}

/* What hangs is told to stop, then by force; that it is over already is as good. */
static void a_run_is_stopped_the_harder_the_more_often(void **state)
{
	static const struct {
		unsigned tries;
		int status;
		const char *path;
		enum heal_status end;
	} rows[] = {
		{ 0, 202, "/api/v3/repos/o/r/actions/runs/7/cancel", HEAL_STOPPING },
		{ 1, 202, "/api/v3/repos/o/r/actions/runs/7/cancel", HEAL_STOPPING },
		{ 2, 202, "/api/v3/repos/o/r/actions/runs/7/force-cancel", HEAL_STOPPING },
		{ 0, 409, "/api/v3/repos/o/r/actions/runs/7/cancel", HEAL_STOPPING },
		{ 0, 404, "/api/v3/repos/o/r/actions/runs/7/cancel", HEAL_PERMFAIL },
		{ 0, 500, "/api/v3/repos/o/r/actions/runs/7/cancel", HEAL_TEMPFAIL },
	};
	struct world *w = *state;

	w->body = "{}";
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct healed h = { 0 };
		struct attempt attempt = {
			.healer = &healer_cancel_stuck_and_rerun,
			.provider = gh,
			.api = w->api,
			.base = w->base,
			.run = run7,
			.done = on_healed,
			.arg = &h,
			.state = xcalloc(1, sizeof(struct healer_calls)),
		};
		struct err err = { 0 };

		attempt.run.tries = rows[i].tries;
		w->status = rows[i].status;
		assert_ok(attempt.healer->start(&attempt, &err), &err);
		assert_true(fake_http_wait(w->base, &h.done));
		assert_int_equal(h.status, rows[i].end);
		assert_string_equal(w->path, rows[i].path);
		assert_string_equal(w->method, "POST");
	}
}

static void a_strategy_is_refused_where_it_cannot_be(void **state)
{
	struct attempt attempt = { .healer = &healer_rerun_all,
				   .provider = &provider_api_gitlab,
				   .api = ((struct world *)*state)->api };
	struct err err = { 0 };

	assert_int_equal(healer_rerun_all.start(&attempt, &err), -1);
	assert_string_equal(err.msg, "rerun_all cannot be done with gitlab");
	assert_false(healer_works_on(&healer_rerun_all, &provider_api_gitlab));
	assert_true(healer_works_on(&healer_rerun_all, &provider_api_jenkins));
	assert_false(healer_works_on(&healer_rerun_all, NULL));
	assert_true(healer_works_on(&healer_escalate, NULL));
}

static void escalating_asks_nobody_but_a_person(void **state)
{
	struct world *w = *state;
	struct healed h = { 0 }, quiet = { 0 };

	heal(w, &healer_escalate, NULL, false, &h);
	assert_int_equal(h.status, HEAL_OK);
	heal(w, &healer_escalate, NULL, true, &quiet);
	assert_int_equal(quiet.times, 0);
	assert_int_equal(fake_http_requests(w->server), 0);
}

static void healers_are_found_by_name(void **state)
{
	struct attempt attempt = { .state = NULL };
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; healers[i]; i++)
		assert_ptr_equal(healer_find(healers[i]->name), healers[i]);
	assert_null(healer_find("rerun"));
	assert_string_equal(heal_risk_name(healer_escalate.risk), "observe");
	assert_string_equal(heal_risk_name(healer_rerun_failed_jobs.risk), "retry");
	assert_int_equal(healer_rerun_failed_jobs.start(&attempt, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_ptr_equal(provider_api_find("github"), gh);
	assert_null(provider_api_find("bitbucket"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(reads_a_run),
		T(says_whose_rerun_it_is),
		T(a_token_that_may_not_know_its_user_is_asked_once),
		T(does_not_believe_another_run),
		T(reruns_the_failed_jobs),
		T(a_token_shows_a_status),
		T(turns_every_answer_into_a_fate),
		T(a_refused_token_is_replaced_once),
		T(names_that_are_no_repository_are_not_sent),
		T(when_the_limit_is_used_up_nothing_is_asked),
		T(writes_keep_their_distance),
		T(lists_jobs_of_all_pages),
		T(of_too_many_steps_the_failed_one_stays),
		T(jobs_that_make_no_sense_are_refused_or_empty),
		T(fetches_the_log_or_the_archive),
		T(a_file_comes_as_it_is),
		T(of_a_long_log_the_end_is_kept),
		T(a_cancelled_call_is_quiet),
		T(the_api_may_be_closed_in_a_callback),
		T(a_bad_address_is_refused_at_start),
		T(a_rerun_ends_in_one_of_four_ways),
		T(each_strategy_calls_what_it_says),
		T(a_run_is_stopped_the_harder_the_more_often),
		T(a_strategy_is_refused_where_it_cannot_be),
		T(escalating_asks_nobody_but_a_person),
#undef T
		cmocka_unit_test(healers_are_found_by_name),
	};

	metrics_init(-1, 0);
	return cmocka_run_group_tests_name("provider_github_api", tests, NULL, NULL);
}

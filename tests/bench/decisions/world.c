/*
 * For ./dev bench decisions: plays a rival of the guard against the simulator, and keeps the books.
 *
 *   decisions_world watch URL RUNS SECONDS          until nothing happens any more, or so long
 *   decisions_world retry_twice|regex URL TOKEN RUNS SECONDS
 *
 * Rivals see a failure as soon as it is there and cost nothing themselves, which flatters them.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <json-c/json.h>

#include "core/base.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/mem.h"

enum { RUNS_MAX = 20000, BODY_MAX = 64 << 20, QUIET_MS = 4000, LOOK_MS = 100, TRIES = 2 };

/* What a job of the kind is usually told to look for before it retries. */
static const char usual[] =
	"(?i)connection (reset|refused|timed out)|timed? ?out|could not resolve|temporary failure|"
	"\\b50[234]\\b|\\b429\\b|too many requests|no space left|out of memory|\\bkilled\\b|"
	"network is unreachable|lost communication|flak(y|e)";

static CURL *curl;
static char auth[300];

static size_t keep(char *data, size_t size, size_t n, void *arg)
{
	buf_append(arg, data, size * n);
	return size * n;
}

/* Status of the answer, 0 when there was none. */
static long call(const char *method, const char *url, struct buf *out)
{
	struct curl_slist *headers = *auth ? curl_slist_append(NULL, auth) : NULL;
	long status = 0;

	buf_init(out, BODY_MAX);
	curl_easy_reset(curl);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	(void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
	if (curl_easy_perform(curl) == CURLE_OK)
		(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	return status;
}

static struct json_object *get_json(const char *url)
{
	OWNED(buf_done) struct buf body;
	struct json_object *o = NULL;
	struct err err;

	if (call("GET", url, &body) != 200 || json_parse(body.data, body.len, &o, &err) < 0) {
		fprintf(stderr, "decisions_world: no answer from %s\n", url);
		exit(2);
	}
	return o;
}

static struct json_object *member(struct json_object *o, const char *name)
{
	return json_object_object_get(o, name);
}

static bool is(struct json_object *o, const char *name, const char *value)
{
	return strcmp(json_str(o, name, ""), value) == 0;
}

/* --- rivals ------------------------------------------------------------------------- */

static bool log_says_retry(const char *base, struct json_object *run, const pcre2_code *usual_words)
{
	OWNED(json_putp) struct json_object *whole = NULL;
	struct json_object *attempts, *jobs;
	char url[400];
	bool found = false;

	(void)snprintf(url, sizeof(url), "%s/_sim/runs/%" PRId64, base, json_i64(run, "id", 0));
	whole = get_json(url);
	attempts = member(whole, "attempts");
	jobs = member(json_object_array_get_idx(attempts, json_object_array_length(attempts) - 1),
		      "jobs");
	for (size_t i = 0; i < json_object_array_length(jobs) && !found; i++) {
		OWNED(buf_done) struct buf log = { .data = NULL };
		struct json_object *job = json_object_array_get_idx(jobs, i);
		pcre2_match_data *data = pcre2_match_data_create(8, NULL);

		if (is(job, "conclusion", "failure")) {
			(void)snprintf(url, sizeof(url),
				       "%s/repos/%s/actions/jobs/%" PRId64 "/logs", base,
				       json_str(run, "repo", ""), json_i64(job, "id", 0));
			found = call("GET", url, &log) == 200 &&
				pcre2_match(usual_words, (PCRE2_SPTR)buf_text(&log), log.len, 0, 0,
					    data, NULL) >= 0;
		}
		pcre2_match_data_free(data);
	}
	return found;
}

static void rival(const char *base, const pcre2_code *usual_words, struct json_object *runs)
{
	for (size_t i = 0; i < json_object_array_length(runs); i++) {
		OWNED(buf_done) struct buf body = { .data = NULL };
		struct json_object *run = json_object_array_get_idx(runs, i);
		char url[400];

		if (!is(run, "status", "completed") || !is(run, "conclusion", "failure") ||
		    json_i64(run, "attempt", 1) > TRIES ||
		    (usual_words && !log_says_retry(base, run, usual_words)))
			continue;
		(void)snprintf(url, sizeof(url),
			       "%s/repos/%s/actions/runs/%" PRId64 "/rerun-failed-jobs", base,
			       json_str(run, "repo", ""), json_i64(run, "id", 0));
		(void)call("POST", url, &body);
	}
}

/* --- the books ----------------------------------------------------------------------- */

struct books {
	int64_t green_after_ms[RUNS_MAX];
	bool seen[RUNS_MAX];
	size_t n;
	int64_t times[RUNS_MAX]; /* of those that were healed */
};

static void note(struct books *b, struct json_object *runs)
{
	int64_t now = clock_wall_ms();

	b->n = json_object_array_length(runs) < RUNS_MAX ? json_object_array_length(runs)
							 : RUNS_MAX;
	for (size_t i = 0; i < b->n; i++) {
		struct json_object *run = json_object_array_get_idx(runs, i);

		if (b->seen[i] || !is(run, "conclusion", "success"))
			continue;
		b->seen[i] = true;
		b->green_after_ms[i] = now - json_i64(run, "first_failure_ms", now);
	}
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Jobs that ran again: all of them, and those in attempts that failed. */
static void count_jobs(struct json_object *whole, int64_t *again, int64_t *wasted)
{
	struct json_object *attempts = member(whole, "attempts");

	for (size_t i = 1; i < json_object_array_length(attempts); i++) {
		struct json_object *attempt = json_object_array_get_idx(attempts, i);
		struct json_object *jobs = member(attempt, "jobs");

		for (size_t k = 0; k < json_object_array_length(jobs); k++) {
			struct json_object *job = json_object_array_get_idx(jobs, k);

			if (json_flag(job, "carried", false) || is(job, "conclusion", "skipped"))
				continue;
			(*again)++;
			*wasted += !is(attempt, "conclusion", "success");
		}
	}
}

static void report(const char *base, struct books *b, struct json_object *runs)
{
	int64_t healed = 0, tried = 0, again = 0, wasted = 0;

	for (size_t i = 0; i < b->n; i++) {
		OWNED(json_putp) struct json_object *whole = NULL;
		struct json_object *run = json_object_array_get_idx(runs, i);
		char url[300];

		if (b->seen[i])
			b->times[healed++] = b->green_after_ms[i];
		if (json_i64(run, "attempt", 1) == 1)
			continue;
		tried++;
		(void)snprintf(url, sizeof(url), "%s/_sim/runs/%" PRId64, base,
			       json_i64(run, "id", 0));
		whole = get_json(url);
		count_jobs(whole, &again, &wasted);
	}
	qsort(b->times, (size_t)healed, sizeof(*b->times), by_size);
	printf("runs %zu healed %" PRId64 " tried %" PRId64 " jobs_again %" PRId64
	       " jobs_wasted %" PRId64 " green_p50_ms %" PRId64 " left_red %" PRId64 "\n",
	       b->n, healed, tried, again, wasted, healed ? b->times[healed / 2] : 0,
	       (int64_t)b->n - healed);
}

/* Nothing runs, and nothing changed for a while. */
static bool over(struct json_object *runs, size_t want, int64_t *since)
{
	static int64_t attempts = -1;
	int64_t now = clock_mono_ms(), sum = 0;
	bool all = json_object_array_length(runs) >= want;

	for (size_t i = 0; i < json_object_array_length(runs); i++) {
		struct json_object *run = json_object_array_get_idx(runs, i);

		sum += json_i64(run, "attempt", 1);
		all = all && is(run, "status", "completed");
	}
	if (!all || sum != attempts)
		*since = now;
	attempts = sum;
	return now - *since > QUIET_MS;
}

static pcre2_code *usual_code(void)
{
	int number;
	PCRE2_SIZE at;
	pcre2_code *code =
		pcre2_compile((PCRE2_SPTR)usual, PCRE2_ZERO_TERMINATED, 0, &number, &at, NULL);

	if (!code)
		abort();
	(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	return code;
}

int main(int argc, char **argv)
{
	bool watch = argc == 5 && strcmp(argv[1], "watch") == 0;
	bool plays =
		argc == 6 && (strcmp(argv[1], "retry_twice") == 0 || strcmp(argv[1], "regex") == 0);
	struct books *b = xcalloc(1, sizeof(*b));
	pcre2_code *words = plays && strcmp(argv[1], "regex") == 0 ? usual_code() : NULL;
	int64_t since, end;
	char url[300];
	size_t want;

	if (!watch && !plays) {
		fprintf(stderr,
			"usage: decisions_world watch URL RUNS SECONDS\n"
			"       decisions_world retry_twice|regex URL TOKEN RUNS SECONDS\n");
		return 2;
	}
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	curl = curl_easy_init();
	if (plays)
		(void)snprintf(auth, sizeof(auth), "Authorization: Bearer %.200s", argv[3]);
	want = strtoul(argv[argc - 2], NULL, 10);
	end = clock_mono_ms() + strtol(argv[argc - 1], NULL, 10) * 1000;
	since = clock_mono_ms();
	(void)snprintf(url, sizeof(url), "%.200s/_sim/runs", argv[2]);
	for (;;) {
		OWNED(json_putp) struct json_object *all = get_json(url);
		struct json_object *runs = member(all, "runs");

		note(b, runs);
		if (plays)
			rival(argv[2], words, runs);
		if (over(runs, want, &since) || clock_mono_ms() > end) {
			report(argv[2], b, runs);
			break;
		}
		(void)poll(NULL, 0, LOOK_MS);
	}
	pcre2_code_free(words);
	curl_easy_cleanup(curl);
	curl_global_cleanup();
	free(b);
	return 0;
}

#include "dispatcher/record.h"

#include <string.h>

#include <hiredis/hiredis.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/redis.h"
#include "tests/unit/unit.h"

/* A flat reply, as HGETALL gives it, of "name", "value", ..., NULL. */
static struct redisReply *hash(const char *const *fields)
{
	redisReader *reader = redisReaderCreate();
	OWNED(buf_done) struct buf wire;
	void *reply = NULL;
	size_t n = 0;

	while (fields[n])
		n++;
	buf_init(&wire, 1 << 16);
	buf_printf(&wire, "*%zu\r\n", n);
	for (size_t i = 0; i < n; i++)
		buf_printf(&wire, "$%zu\r\n%s\r\n", strlen(fields[i]), fields[i]);
	assert_int_equal(redisReaderFeed(reader, wire.data, wire.len), REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	redisReaderFree(reader);
	return reply;
}

static void reads_every_column_of_a_run(void **state)
{
	static const char *const fields[] = { "provider",
					      "p",
					      "source",
					      "s",
					      "repo",
					      "o/r",
					      "pipeline",
					      "pl",
					      "branch",
					      "b",
					      "default_branch",
					      "db",
					      "sha",
					      "sh",
					      "url",
					      "u",
					      "conclusion",
					      "c",
					      "trace",
					      "t",
					      "finding",
					      "{}",
					      "fingerprint",
					      "fp",
					      "category",
					      "ca",
					      "awaiting",
					      "aw",
					      "repo_id",
					      "1",
					      "run_id",
					      "2",
					      "pipeline_id",
					      "3",
					      "installation",
					      "4",
					      "generation",
					      "5",
					      "rank",
					      "6",
					      "diagnosed",
					      "7",
					      "finding_generation",
					      "8",
					      "failed",
					      "9",
					      "unknown",
					      "x",
					      NULL };
	OWNED(arena_freep) struct arena *arena = arena_new();
	OWNED(redis_reply_freep) struct redisReply *r = hash(fields);
	struct run run;
	struct api_run api;

	UNUSED(state);
	run_read(r, arena, &run);
	assert_string_equal(run.provider, "p");
	assert_string_equal(run.source, "s");
	assert_string_equal(run.repo, "o/r");
	assert_string_equal(run.pipeline, "pl");
	assert_string_equal(run.branch, "b");
	assert_string_equal(run.default_branch, "db");
	assert_string_equal(run.sha, "sh");
	assert_string_equal(run.url, "u");
	assert_string_equal(run.conclusion, "c");
	assert_string_equal(run.trace, "t");
	assert_string_equal(run.finding, "{}");
	assert_string_equal(run.fingerprint, "fp");
	assert_string_equal(run.category, "ca");
	assert_string_equal(run.awaiting, "aw");
	assert_int_equal(run.repo_id, 1);
	assert_int_equal(run.run_id, 2);
	assert_int_equal(run.pipeline_id, 3);
	assert_int_equal(run.installation, 4);
	assert_int_equal(run.generation, 5);
	assert_int_equal(run.rank, 6);
	assert_int_equal(run.diagnosed, 7);
	assert_int_equal(run.finding_generation, 8);
	assert_int_equal(run.failed, 9);
	run_api(&run, &api);
	assert_ptr_equal(api.repo, run.repo);
	assert_int_equal(api.repo_id, 1);
	assert_int_equal(api.run_id, 2);
	assert_int_equal(api.installation, 4);
	assert_int_equal(api.generation, 5);
}

static void reads_every_column_of_a_plan(void **state)
{
	static const char *const fields[] = {
		"id",         "i",  "run",           "r",   "strategy",    "s",
		"risk",       "k",  "mode",          "m",   "state",       "st",
		"reason",     "re", "category",      "c",   "fingerprint", "f",
		"rule",       "ru", "confidence",    "0.5", "trace",       "t",
		"generation", "1",  "created_at_ms", "2",   "sent_at_ms",  "3",
		"sends",      "4",  "reruns",        "5",   NULL
	};
	OWNED(arena_freep) struct arena *arena = arena_new();
	OWNED(redis_reply_freep) struct redisReply *r = hash(fields);
	struct plan plan;

	UNUSED(state);
	plan_read(r, arena, &plan);
	assert_string_equal(plan.id, "i");
	assert_string_equal(plan.run, "r");
	assert_string_equal(plan.strategy, "s");
	assert_string_equal(plan.risk, "k");
	assert_string_equal(plan.mode, "m");
	assert_string_equal(plan.state, "st");
	assert_string_equal(plan.reason, "re");
	assert_string_equal(plan.category, "c");
	assert_string_equal(plan.fingerprint, "f");
	assert_string_equal(plan.rule, "ru");
	assert_string_equal(plan.confidence, "0.5");
	assert_string_equal(plan.trace, "t");
	assert_int_equal(plan.generation, 1);
	assert_int_equal(plan.created_at_ms, 2);
	assert_int_equal(plan.sent_at_ms, 3);
	assert_int_equal(plan.sends, 4);
	assert_int_equal(plan.reruns, 5);
}

static void what_is_missing_or_odd_is_empty(void **state)
{
	static const char *const odd[] = { "repo_id",    "-1", "run_id", "x",
					   "generation", "",   "repo",   NULL };
	static const char *const none[] = { NULL };
	OWNED(arena_freep) struct arena *arena = arena_new();
	OWNED(redis_reply_freep) struct redisReply *a = hash(odd), *b = hash(none);
	const struct redisReply *replies[] = { a, b, NULL };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		struct run run;
		struct plan plan;

		memset(&run, 0xff, sizeof(run));
		memset(&plan, 0xff, sizeof(plan));
		run_read(replies[i], arena, &run);
		plan_read(replies[i], arena, &plan);
		assert_string_equal(run.repo, "");
		assert_string_equal(run.awaiting, "");
		assert_int_equal(run.repo_id + run.run_id + run.generation + run.failed, 0);
		assert_string_equal(plan.id, "");
		assert_int_equal(plan.sends + plan.generation, 0);
	}
}

/* The reply goes as soon as its callback returns. */
static void strings_outlive_the_reply(void **state)
{
	static const char *const fields[] = { "repo", "octo/hello", "id", "plan", NULL };
	OWNED(arena_freep) struct arena *arena = arena_new();
	struct redisReply *r = hash(fields);
	struct run run;
	struct plan plan;

	UNUSED(state);
	run_read(r, arena, &run);
	plan_read(r, arena, &plan);
	memset(r->element[1]->str, '#', r->element[1]->len);
	redis_reply_free(r);
	assert_string_equal(run.repo, "octo/hello");
	assert_string_equal(plan.id, "plan");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_every_column_of_a_run),
		cmocka_unit_test(reads_every_column_of_a_plan),
		cmocka_unit_test(what_is_missing_or_odd_is_empty),
		cmocka_unit_test(strings_outlive_the_reply),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}

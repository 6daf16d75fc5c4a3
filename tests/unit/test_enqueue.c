/* What needs a server is in tests/integration/test_redis.c. */
#include "core/enqueue.h"

#include <stdio.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "core/ci_event.h"
#include "core/keys.h"
#include "core/text.h"
#include "tests/unit/unit.h"

/* Every text as long as its field allows, with characters of two bytes. */
static void fill(char *out, size_t cap)
{
	size_t n = 0;

	for (; n + 2 < cap; n += 2)
		memcpy(out + n, "\xc3\xa9", 2);
	out[n] = '\0';
}

#define FILL(field) fill((field), sizeof(field))

static struct ci_event example(void)
{
	return (struct ci_event){
		.provider = "github",
		.source = "github",
		.delivery = "72d3162e-cc78-11e3-81ab-4c9367dc0958",
		.kind = CI_RUN,
		.topic = "workflow_run",
		.action = "completed",
		.status = CI_COMPLETED,
		.conclusion = "failure",
		.repo_id = 186853002,
		.repo = "octo/hello",
		.run_id = 30433642,
		.generation = 1,
		.pipeline = "CI",
		.branch = "main",
		.sha = "0123456789abcdef0123456789abcdef01234567",
		.url = "https://github.com/octo/hello/actions/runs/30433642",
		.at_ms = INT64_C(1785319289000),
	};
}

static void what_fits_is_left_alone(void **state)
{
	struct ci_event ev = example(), before = ev;

	UNUSED(state);
	assert_in_range(enqueue_entry_bytes(&ev), 200, ENQUEUE_ENTRY_BYTES_MAX);
	enqueue_fit(&ev);
	assert_memory_equal(&ev, &before, sizeof(ev));
}

/* The border: one byte more, and only the first cut is made. */
static void cuts_nothing_at_the_limit_and_least_first_above(void **state)
{
	UNUSED(state);
	for (size_t over = 0; over < 2; over++) {
		struct ci_event ev = example(), before;
		size_t room;

		memset(ev.job, 'j', sizeof(ev.job) - 1);
		memset(ev.pipeline, 'p', sizeof(ev.pipeline) - 1);
		memset(ev.branch, 'b', sizeof(ev.branch) - 1);
		memset(ev.default_branch, 'd', 40);
		memset(ev.trace, 't', 55);
		memset(ev.repo, 'r', 100);
		ev.repo[4] = '/';
		room = ENQUEUE_ENTRY_BYTES_MAX - enqueue_entry_bytes(&ev);
		assert_in_range(room, strlen("head_repo") + 1, sizeof(ev.head_repo) + 8);
		memset(ev.head_repo, 'h', room - strlen("head_repo") + over);
		assert_int_equal(enqueue_entry_bytes(&ev), ENQUEUE_ENTRY_BYTES_MAX + over);
		before = ev;
		enqueue_fit(&ev);
		assert_int_equal(strlen(ev.job), over ? 60 : sizeof(ev.job) - 1);
		memcpy(before.job, ev.job, sizeof(ev.job));
		assert_string_equal(ev.pipeline, before.pipeline);
		assert_string_equal(ev.url, before.url);
		assert_string_equal(ev.branch, before.branch);
	}
}

static void the_largest_event_fits_and_keeps_its_identity(void **state)
{
	struct ci_event ev = example();

	UNUSED(state);
	FILL(ev.topic);
	FILL(ev.action);
	FILL(ev.conclusion);
	FILL(ev.trigger);
	FILL(ev.default_branch);
	memset(ev.repo + 4, 'r', sizeof(ev.repo) - 5);
	ev.repo[4] = '/';
	memcpy(ev.head_repo, ev.repo, sizeof(ev.head_repo));
	ev.kind = CI_OTHER;
	ev.at_ms = ev.received_at_ms = INT64_C(9999999999999);
	ev.generation = INT64_MAX;
	FILL(ev.pipeline);
	FILL(ev.job);
	FILL(ev.branch);
	FILL(ev.actor);
	FILL(ev.url);
	memset(ev.delivery, 'd', sizeof(ev.delivery) - 1);
	memset(ev.source, 's', sizeof(ev.source) - 1);
	memset(ev.trace, 't', 55);
	ev.repo_id = ev.run_id = ev.job_id = ev.installation = ev.pipeline_id = INT64_MAX;
	assert_true(enqueue_entry_bytes(&ev) > ENQUEUE_ENTRY_BYTES_MAX);
	enqueue_fit(&ev);
	assert_in_range(enqueue_entry_bytes(&ev), 1, ENQUEUE_ENTRY_BYTES_MAX);
	assert_int_equal(strlen(ev.delivery), sizeof(ev.delivery) - 1);
	assert_int_equal(strlen(ev.source), sizeof(ev.source) - 1);
	assert_int_equal(strlen(ev.repo), sizeof(ev.repo) - 1);
	assert_string_equal(ev.head_repo, ev.repo);
	assert_string_equal(ev.sha, "0123456789abcdef0123456789abcdef01234567");
	assert_true(utf8_valid((const unsigned char *)ev.job, strlen(ev.job)));
	assert_true(utf8_valid((const unsigned char *)ev.pipeline, strlen(ev.pipeline)));
	assert_true(utf8_valid((const unsigned char *)ev.branch, strlen(ev.branch)));
}

static struct redisReply *parse(const char *text)
{
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;

	assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	redisReaderFree(reader);
	return reply;
}

/* Only what says so counts as stored: an event that is acknowledged by mistake is lost. */
static void only_a_clear_answer_is_an_acceptance(void **state)
{
	static const struct {
		const char *why, *wire; /* NULL: no reply */
		enum enqueue_result result;
		const char *id;
	} rows[] = {
		{ "appended", "*2\r\n:1\r\n$3\r\n1-0\r\n", ENQUEUE_ACCEPTED, "1-0" },
		{ "seen before", "*2\r\n:0\r\n$3\r\n1-0\r\n", ENQUEUE_DUPLICATE, "1-0" },
		{ "no answer", NULL, ENQUEUE_FAILED, "no connection, or no answer in time" },
		{ "an error", "-OOM command not allowed\r\n", ENQUEUE_FAILED,
		  "OOM command not allowed" },
		{ "nil", "$-1\r\n", ENQUEUE_FAILED, "unexpected kind of reply" },
		{ "a status", "+OK\r\n", ENQUEUE_FAILED, "unexpected kind of reply" },
		{ "an integer", ":1\r\n", ENQUEUE_FAILED, "unexpected kind of reply" },
		{ "an empty array", "*0\r\n", ENQUEUE_FAILED, "unexpected kind of reply" },
		{ "no id", "*1\r\n:1\r\n", ENQUEUE_FAILED, "unexpected kind of reply" },
		{ "an id that is nil", "*2\r\n:1\r\n$-1\r\n", ENQUEUE_FAILED,
		  "unexpected kind of reply" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(redis_reply_freep)
		struct redisReply *r = rows[i].wire ? parse(rows[i].wire) : NULL;
		const char *id = NULL;

		assert_case(enqueue_result(r, &id) == rows[i].result, rows[i].why);
		assert_case(id && strcmp(id, rows[i].id) == 0, rows[i].why);
	}
}

static void the_layout_has_to_be_ours(void **state)
{
	static const struct {
		const char *why, *wire;
		enum err_kind kind;
	} rows[] = {
		{ "ours", "*2\r\n$1\r\n1\r\n$1\r\n4\r\n", ERR_NONE },
		{ "other partitions", "*2\r\n$1\r\n1\r\n$1\r\n8\r\n", ERR_CONFIG },
		{ "a newer version", "*2\r\n$1\r\n2\r\n$1\r\n4\r\n", ERR_CONFIG },
		{ "no numbers", "*2\r\n$1\r\nx\r\n$1\r\ny\r\n", ERR_CONFIG },
		{ "nothing there", "*2\r\n$-1\r\n$-1\r\n", ERR_CONFIG },
		{ "a node of a cluster", "-MOVED 9 10.0.0.7:6379\r\n", ERR_CONFIG },
		{ "a cluster that is not up", "-CLUSTERDOWN The cluster is down\r\n", ERR_CONFIG },
		{ "what our script says of one", "-CLUSTER mode is on\r\n", ERR_CONFIG },
		{ "an error", "-LOADING Redis is loading\r\n", ERR_TRANSIENT },
		{ "no answer", NULL, ERR_TRANSIENT },
	};
	const struct keyspace ks = { "local", 4 };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(redis_reply_freep)
		struct redisReply *r = rows[i].wire ? parse(rows[i].wire) : NULL;
		struct err err = { 0 };

		assert_case(enqueue_layout(r, &ks, &err) == (rows[i].kind ? -1 : 0), rows[i].why);
		assert_case(err.kind == rows[i].kind, rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_is_left_alone),
		cmocka_unit_test(cuts_nothing_at_the_limit_and_least_first_above),
		cmocka_unit_test(the_largest_event_fits_and_keeps_its_identity),
		cmocka_unit_test(only_a_clear_answer_is_an_acceptance),
		cmocka_unit_test(the_layout_has_to_be_ours),
	};

	return cmocka_run_group_tests_name("enqueue", tests, NULL, NULL);
}

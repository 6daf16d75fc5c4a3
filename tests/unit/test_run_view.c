#include "web/run_view.h"

#include <string.h>

#include <hiredis/hiredis.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/redis.h"
#include "tests/unit/unit.h"

/* Of "name", "value", ..., NULL: flat, as HGETALL gives it; with an id, an entry of a stream. */
static struct redisReply *reply_of(const char *id, const char *const *fields)
{
	redisReader *reader = redisReaderCreate();
	OWNED(buf_done) struct buf wire;
	void *reply = NULL;
	size_t n = 0;

	while (fields[n])
		n++;
	buf_init(&wire, 1 << 16);
	if (id)
		buf_printf(&wire, "*2\r\n$%zu\r\n%s\r\n", strlen(id), id);
	buf_printf(&wire, "*%zu\r\n", n);
	for (size_t i = 0; i < n; i++)
		buf_printf(&wire, "$%zu\r\n%s\r\n", strlen(fields[i]), fields[i]);
	assert_int_equal(redisReaderFeed(reader, wire.data, wire.len), REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	redisReaderFree(reader);
	return reply;
}

static void a_generation_is_called_what_people_call_it(void **state)
{
	static const struct {
		const char *why, *provider, *generation;
		int64_t reruns;
		const char *text;
	} rows[] = {
		{ "GitHub counts itself", "github", "2", 0, "attempt 2" },
		{ "people's attempts count there too", "github", "3", 1, "attempt 3" },
		{ "the id of a job is no number for people", "gitlab", "55000000012", 0, "" },
		{ "but we know how often we tried", "gitlab", "55000000012", 1, "retry 1" },
		{ "an earlier one, and nobody knows", "gitlab", "55000000012", -1, "" },
		{ "Jenkins: the build", "jenkins", "57", 1, "build 57" },
		{ "the first build too", "jenkins", "1", 0, "build 1" },
		{ "a CDEvent has no attempts", "generic", "1", 0, "" },
		{ "from before plans said whose they are", "", "2", 0, "attempt 2" },
		{ "nothing is known", "github", "", 0, "" },
		{ "the greatest there is", "jenkins", "18446744073709551615", 0,
		  "build 18446744073709551615" },
	};
	char text[ATTEMPT_TEXT_MAX];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		run_view_attempt(rows[i].provider, rows[i].generation, rows[i].reruns, text);
		assert_case(strcmp(text, rows[i].text) == 0, rows[i].why);
	}
}

static void the_answer_says_it_in_words(void **state)
{
	static const char *const again[] = { "provider", "gitlab", "generation",         "812",
					     "reruns",   "1",      "finding_generation", "700",
					     NULL };
	static const char *const same[] = { "provider", "gitlab", "generation",         "812",
					    "reruns",   "1",      "finding_generation", "812",
					    NULL };
	static const char *const build[] = { "provider",           "jenkins", "generation", "57",
					     "finding_generation", "56",      NULL };
	static const struct {
		const char *why, *const *fields, *attempt, *finding;
	} rows[] = {
		{ "the finding's retry is not known", again, "retry 1", "-" },
		{ "the finding is of this retry", same, "retry 1", "retry 1" },
		{ "builds have a number always", build, "build 57", "build 56" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(redis_reply_freep) struct redisReply *hash = reply_of(NULL, rows[i].fields);
		OWNED(json_putp) struct json_object *run = run_view_json("s:1:1", hash);
		OWNED(json_putp) struct json_object *plan = run_view_plan_json(hash);

		assert_case(!strcmp(json_str(run, "attempt_text", "-"), rows[i].attempt),
			    rows[i].why);
		assert_case(!strcmp(json_str(run, "finding_attempt_text", "-"), rows[i].finding),
			    rows[i].why);
		assert_case(!strcmp(json_str(plan, "attempt_text", "-"), rows[i].attempt),
			    rows[i].why);
	}
}

static void outcomes_say_it_too(void **state)
{
	static const char *const fields[] = { "provider", "jenkins", "generation", "57", NULL };
	OWNED(redis_reply_freep) struct redisReply *entry = reply_of("5-0", fields);
	OWNED(json_putp) struct json_object *o = run_view_outcome_json(entry);

	UNUSED(state);
	assert_string_equal(json_str(o, "attempt_text", "-"), "build 57");
	assert_int_equal(json_i64(o, "attempt", 0), 57);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_generation_is_called_what_people_call_it),
		cmocka_unit_test(the_answer_says_it_in_words),
		cmocka_unit_test(outcomes_say_it_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "core/ci_event.h"

#include <string.h>

#include <hiredis/hiredis.h>

#include "core/mem.h"
#include "core/redis.h"
#include "unit.h"

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
		.generation = 2,
		.pipeline = "CI \"quoted\" \xc3\xa9",
		.at_ms = 1767225600123,
	};
}

/* The flat field list as a stream entry would give it back. */
static redisReply *reply_of(const struct redis_cmd *cmd)
{
	redisReply *r = xcalloc(1, sizeof(*r));

	r->type = REDIS_REPLY_ARRAY;
	r->elements = (size_t)cmd->argc;
	r->element = xcalloc(r->elements, sizeof(*r->element));
	for (size_t i = 0; i < r->elements; i++) {
		redisReply *s = xcalloc(1, sizeof(*s));

		s->type = REDIS_REPLY_STRING;
		s->str = xstrndup(cmd->argv[i], cmd->len[i]);
		s->len = cmd->len[i];
		r->element[i] = s;
	}
	return r;
}

static redisReply *encoded(const struct ci_event *ev)
{
	struct redis_cmd cmd;

	redis_cmd_init(&cmd);
	ci_event_encode(ev, &cmd);
	return reply_of(&cmd);
}

static void survives_the_stream_unchanged(void **state)
{
	struct ci_event in = example(), out;
	redisReply *r = encoded(&in);
	struct err err = { 0 };

	UNUSED(state);
	assert_ok(ci_event_decode(r, &out, &err), &err);
	assert_memory_equal(&in, &out, sizeof(in));
	freeReplyObject(r);
}

static void set_field(redisReply *r, const char *name, const char *value)
{
	for (size_t i = 0; i + 1 < r->elements; i += 2) {
		if (strcmp(r->element[i]->str, name) != 0)
			continue;
		if (!value) {
			r->element[i]->str[0] = '~';
			return;
		}
		free(r->element[i + 1]->str);
		r->element[i + 1]->str = xstrdup(value);
		r->element[i + 1]->len = strlen(value);
	}
}

static void refuses_entries_it_cannot_trust(void **state)
{
	static const char long_name[] =
		"0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789012345678901234567890123456789/"
		"0123456789";
	static const struct {
		const char *why, *field, *value, *says;
	} cases[] = {
		{ "not one of ours", "v", NULL, "no version" },
		{ "version is no number", "v", "one", "no version" },
		{ "from a newer release", "v", "2", "newer" },
		{ "no repository", "repo", NULL, "repo is missing" },
		{ "no run", "run_id", NULL, "run_id is missing" },
		{ "run is no number", "run_id", "12x", "not a number" },
		{ "negative run", "run_id", "-1", "not a number" },
		{ "beyond 63 bits", "run_id", "9223372036854775808", "not a number" },
		{ "beyond 64 bits", "repo_id", "184467440737095516150", "not a number" },
		{ "identity too long", "repo", long_name, "too long" },
		{ "time is no number", "at_ms", "soon", "not a number" },
		{ "separator in the source", "source", "a:b", "colon" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ci_event ev = example(), out;
		redisReply *r = encoded(&ev);
		struct err err = { 0 };

		set_field(r, cases[i].field, cases[i].value);
		assert_case(ci_event_decode(r, &out, &err) == -1, cases[i].why);
		assert_case(err.kind == ERR_INPUT, cases[i].why);
		assert_case(strstr(err.msg, cases[i].says) != NULL, err.msg);
		freeReplyObject(r);
	}
}

static void tolerates_what_it_does_not_know(void **state)
{
	struct ci_event ev = example(), out;
	redisReply *r = encoded(&ev);
	struct err err = { 0 };

	UNUSED(state);
	set_field(r, "kind", "from_the_future");
	set_field(r, "conclusion", "brand_new");
	assert_ok(ci_event_decode(r, &out, &err), &err);
	assert_int_equal(out.kind, CI_OTHER);
	assert_string_equal(out.conclusion, "brand_new");
	freeReplyObject(r);
}

static void decodes_anything_without_reading_past_it(void **state)
{
	struct ci_event out;
	struct err err = { 0 };
	redisReply nil = { .type = REDIS_REPLY_NIL };

	UNUSED(state);
	assert_int_equal(ci_event_decode(NULL, &out, &err), -1);
	assert_int_equal(ci_event_decode(&nil, &out, &err), -1);
}

static void fits_into_a_kibibyte(void **state)
{
	struct ci_event ev = example();
	struct redis_cmd cmd;
	size_t n = 0;

	UNUSED(state);
	memset(ev.pipeline, 'p', 40);
	memset(ev.branch, 'b', 60);
	memset(ev.sha, 'a', 40);
	memset(ev.url, 'u', 90);
	memset(ev.trace, 't', 55);
	memset(ev.head_repo, 'h', 40);
	memset(ev.job, 'j', 40);
	ev.pipeline_id = ev.job_id = ev.installation = 123456789012;
	redis_cmd_init(&cmd);
	ci_event_encode(&ev, &cmd);
	for (int i = 0; i < cmd.argc; i++)
		n += cmd.len[i];
	assert_in_range(n, 1, 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survives_the_stream_unchanged),
		cmocka_unit_test(refuses_entries_it_cannot_trust),
		cmocka_unit_test(tolerates_what_it_does_not_know),
		cmocka_unit_test(decodes_anything_without_reading_past_it),
		cmocka_unit_test(fits_into_a_kibibyte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

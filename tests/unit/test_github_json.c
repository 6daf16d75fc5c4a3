#include "healers/github_json.h"

#include <stdio.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/json.h"
#include "core/mem.h"
#include "healers/provider_api.h"
#include "unit.h"

#define REPOSITORY "\"repository\":{\"id\":5,\"full_name\":\"o/r\"}"

static struct json_object *parse(const char *text)
{
	struct json_object *o;
	struct err err;

	assert_ok(json_parse(text, strlen(text), &o, &err), &err);
	return o;
}

static void a_run_becomes_its_event(void **state)
{
	OWNED(json_putp)
	struct json_object *o = parse(
		"{\"id\":7,\"name\":\"CI\",\"run_attempt\":2,\"status\":\"completed\","
		"\"conclusion\":\"failure\",\"workflow_id\":9,\"event\":\"push\","
		"\"head_branch\":\"main\",\"head_sha\":"
		"\"0123456789abcdef0123456789abcdef01234567\","
		"\"html_url\":\"https://example.org/7\",\"updated_at\":\"2026-11-25T10:00:01Z\","
		"\"created_at\":\"2026-11-25T09:00:00Z\",\"triggering_actor\":{\"login\":\"ann\"},"
		"\"head_repository\":{\"full_name\":\"fork/r\"}," REPOSITORY "}");
	struct ci_event ev;

	UNUSED(state);
	assert_true(github_run_event(o, &ev));
	assert_string_equal(ev.provider, "github");
	assert_string_equal(ev.topic, "workflow_run");
	assert_string_equal(ev.action, "completed");
	assert_int_equal(ev.kind, CI_RUN);
	assert_int_equal(ev.status, CI_COMPLETED);
	assert_string_equal(ev.conclusion, "failure");
	assert_int_equal(ev.repo_id, 5);
	assert_int_equal(ev.run_id, 7);
	assert_int_equal(ev.generation, 2);
	assert_int_equal(ev.pipeline_id, 9);
	assert_string_equal(ev.repo, "o/r");
	assert_string_equal(ev.head_repo, "fork/r");
	assert_string_equal(ev.actor, "ann");
	assert_string_equal(ev.trigger, "push");
	assert_int_equal(ev.at_ms, INT64_C(1795600801000));
}

static void states_are_those_of_webhooks(void **state)
{
	static const struct {
		const char *status, *conclusion;
		bool usable;
		enum ci_status is;
	} cases[] = {
		{ "queued", "null", true, CI_QUEUED },
		{ "waiting", "null", true, CI_QUEUED },
		{ "in_progress", "null", true, CI_RUNNING },
		{ "completed", "\"success\"", true, CI_COMPLETED },
		{ "completed", "\"a_new_word\"", true, CI_COMPLETED },
		/* Between two moments: it will be one or the other soon. */
		{ "completed", "null", false, 0 },
		{ "in_progress", "\"failure\"", false, 0 },
		{ "a_new_word", "null", false, 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[200];
		struct ci_event ev;
		struct json_object *o;

		(void)snprintf(text, sizeof(text),
			       "{\"id\":7,\"status\":\"%s\",\"conclusion\":%s," REPOSITORY "}",
			       cases[i].status, cases[i].conclusion);
		o = parse(text);
		assert_int_equal(github_run_event(o, &ev), cases[i].usable);
		if (cases[i].usable)
			assert_int_equal(ev.status, cases[i].is);
		json_object_put(o);
	}
}

static void what_is_no_run_is_refused(void **state)
{
	static const char *const cases[] = {
		"{}",
		"[]",
		"null",
		"{\"id\":-7,\"status\":\"queued\"," REPOSITORY "}",
		"{\"id\":\"seven\",\"status\":\"queued\"," REPOSITORY "}",
		"{\"id\":7,\"status\":\"queued\"}",
		"{\"id\":7,\"status\":\"queued\",\"repository\":{\"id\":0,\"full_name\":\"o/r\"}}",
		"{\"id\":7,\"status\":\"queued\",\"repository\":{\"id\":5}}",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_object *o = parse(cases[i]);
		struct ci_event ev;

		assert_false(github_run_event(o, &ev));
		json_object_put(o);
	}
}

static void deliveries_and_hooks(void **state)
{
	struct arena *a = arena_new();
	struct json_object *ok =
		parse("{\"id\":1,\"guid\":\"g\",\"status\":\"OK\",\"status_code\":202,"
		      "\"delivered_at\":\"2026-11-25T10:00:01Z\"}");
	struct json_object *bad = parse("{\"id\":2,\"guid\":\"g\",\"status\":\"timed out\","
					"\"status_code\":504,\"redelivery\":true}");
	struct json_object *none = parse("{\"id\":3,\"guid\":\"\",\"status_code\":504}");
	struct json_object *hook =
		parse("{\"id\":4,\"config\":{\"url\":\"https://g/webhooks/github\"}}");
	struct api_delivery d;
	struct api_hook h;

	UNUSED(state);
	assert_true(github_delivery_read(ok, a, &d) && d.ok && !d.redelivery);
	assert_int_equal(d.at_ms, INT64_C(1795600801000));
	assert_true(github_delivery_read(bad, a, &d) && !d.ok && d.redelivery);
	assert_false(github_delivery_read(none, a, &d));
	assert_true(github_hook_read(hook, a, &h) && h.active);
	assert_string_equal(h.url, "https://g/webhooks/github");
	assert_false(github_hook_read(none, a, &h) && !h.id);
	json_object_put(ok);
	json_object_put(bad);
	json_object_put(none);
	json_object_put(hook);
	arena_free(a);
}

static void the_next_page_is_found(void **state)
{
	static const struct {
		const char *link, *cursor;
	} cases[] = {
		{ "", "" },
		{ "<https://h/d?per_page=9&cursor=v1_12>; rel=\"next\"", "v1_12" },
		{ "<https://h/d?cursor=a>; rel=\"prev\", <https://h/d?cursor=b>; rel=\"next\"",
		  "b" },
		{ "<https://h/d?cursor=b>; rel=\"next\", <https://h/d?cursor=a>; rel=\"prev\"",
		  "b" },
		{ "<https://h/d?cursor=a>; rel=\"prev\"", "" },
		{ "<https://h/d?page=2>; rel=\"next\"", "" },
		{ "<https://h/d?mycursor=2>; rel=\"next\"", "" },
		{ "<https://h/d?cursor=a b>; rel=\"next\"", "a" },
		{ "<https://h/d?cursor=a", "" },
		{ "rel=\"next\" <", "" },
	};
	char out[API_CURSOR_MAX], small[4];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		github_next_cursor(cases[i].link, out, sizeof(out));
		assert_string_equal(out, cases[i].cursor);
	}
	/* Half a cursor would be another place. */
	github_next_cursor("<https://h/d?cursor=abcd>; rel=\"next\"", small, sizeof(small));
	assert_string_equal(small, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_becomes_its_event),
		cmocka_unit_test(states_are_those_of_webhooks),
		cmocka_unit_test(what_is_no_run_is_refused),
		cmocka_unit_test(deliveries_and_hooks),
		cmocka_unit_test(the_next_page_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

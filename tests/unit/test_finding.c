#include "core/finding.h"

#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "tests/unit/unit.h"

static struct finding example(void)
{
	struct finding f;

	finding_init(&f);
	f.category = "network_failure";
	f.subcategory = "dns";
	f.confidence = 0.75;
	f.transient = true;
	f.rule = "net-dns";
	f.title = "A name could not be resolved";
	f.job = "build \"x\"";
	f.evidence[0] = (struct finding_line){ 17, "could not resolve host \xc3\xa9" };
	f.evidence[1] = (struct finding_line){ 1, "" };
	f.n_evidence = 2;
	f.failed_tests[0] = "suite/case";
	f.n_failed_tests = 1;
	f.alternatives[0].category = "timeout";
	f.alternatives[0].confidence = 0.125;
	f.n_alternatives = 1;
	f.suggestions[0] = "Try again";
	f.n_suggestions = 1;
	(void)snprintf(f.fingerprint, sizeof(f.fingerprint), "0123456789abcdef");
	f.scan_ms = 2.5;
	return f;
}

static void survives_json_unchanged(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	OWNED(json_putp) struct json_object *o = NULL, *again = NULL;
	struct finding in = example(), out;
	struct err err = { 0 };

	UNUSED(state);
	o = finding_to_json(&in);
	assert_ok(finding_from_json(o, a, &out, &err), &err);
	again = finding_to_json(&out);
	assert_string_equal(json_text(o), json_text(again));
	assert_int_equal(out.evidence[0].line, 17);
	assert_string_equal(out.evidence[0].text, in.evidence[0].text);
	assert_string_equal(out.job, in.job);
	assert_true(out.transient);
}

/* What outside programs read: docs and the contract of `detect --json`. */
static void has_the_members_of_the_contract(void **state)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct finding f;

	UNUSED(state);
	finding_init(&f);
	o = finding_to_json(&f);
	assert_string_equal(json_text(o),
			    "{\"category\":\"unknown\",\"subcategory\":\"\",\"confidence\":0.0,"
			    "\"transient\":false,\"rule\":\"\",\"title\":\"\",\"evidence\":[],"
			    "\"failed_tests\":[],\"fingerprint\":\"\",\"alternatives\":[],"
			    "\"suggestions\":[],\"scan_ms\":0.0}");
}

static void refuses_what_it_cannot_trust(void **state)
{
	static const struct {
		const char *why, *in, *says;
	} rows[] = {
		{ "no category", "{\"confidence\":0.5}", "category" },
		{ "a category that is not ours", "{\"category\":\"nope\",\"confidence\":0.5}",
		  "\"nope\" is not known" },
		{ "a category of another type", "{\"category\":7,\"confidence\":0.5}", "category" },
		{ "no confidence", "{\"category\":\"unknown\"}", "confidence" },
		{ "confidence as text", "{\"category\":\"unknown\",\"confidence\":\"1\"}",
		  "confidence" },
		{ "below 0", "{\"category\":\"unknown\",\"confidence\":-0.01}", "confidence" },
		{ "above 1", "{\"category\":\"unknown\",\"confidence\":1.01}", "confidence" },
		{ "no object", "[]", "category" },
		{ "nothing", "null", "category" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		OWNED(json_putp) struct json_object *o = NULL;
		struct finding out = { .title = "untouched" };
		struct err err = { 0 };

		assert_ok(json_parse(rows[i].in, strlen(rows[i].in), &o, &err), &err);
		assert_case(finding_from_json(o, a, &out, &err) == -1, rows[i].why);
		assert_case(err.kind == ERR_INPUT, rows[i].why);
		assert_case(strstr(err.msg, rows[i].says) != NULL, err.msg);
		assert_case(strcmp(out.title, "untouched") == 0, rows[i].why);
	}
}

static void tolerates_the_rest(void **state)
{
	static const char in[] =
		"{\"category\":\"timeout\",\"confidence\":1,\"from_the_future\":[1],"
		"\"evidence\":[7,{\"line\":-3,\"text\":\"x\"},{\"line\":\"4\"}],"
		"\"failed_tests\":[1,\"a\",null,\"b\"],\"alternatives\":{\"category\":\"timeout\"},"
		"\"suggestions\":\"none\",\"fingerprint\":\"0123456789abcdefTOOLONG\"}";
	OWNED(arena_freep) struct arena *a = arena_new();
	OWNED(json_putp) struct json_object *o = NULL;
	struct finding f;
	struct err err = { 0 };

	UNUSED(state);
	assert_ok(json_parse(in, strlen(in), &o, &err), &err);
	assert_ok(finding_from_json(o, a, &f, &err), &err);
	assert_int_equal(f.n_evidence, 3);
	assert_int_equal(f.evidence[0].line, 0);
	assert_string_equal(f.evidence[0].text, "");
	assert_int_equal(f.evidence[1].line, 0);
	assert_string_equal(f.evidence[1].text, "x");
	assert_int_equal(f.n_failed_tests, 2);
	assert_string_equal(f.failed_tests[1], "b");
	assert_int_equal(f.n_alternatives, 0);
	assert_int_equal(f.n_suggestions, 0);
	assert_string_equal(f.fingerprint, "0123456789abcdef");
	assert_string_equal(f.title, "");
	assert_false(f.transient);
}

/* A list of n copies of `item`. */
static void put_list(struct buf *b, const char *name, const char *item, size_t n)
{
	buf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s%s", i ? "," : "", item);
	buf_putc(b, ']');
}

static void reads_as_many_as_there_is_room_for(void **state)
{
	UNUSED(state);
	for (size_t over = 0; over < 2; over++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		OWNED(json_putp) struct json_object *o = NULL;
		OWNED(buf_done) struct buf b;
		struct finding f;
		struct err err = { 0 };

		buf_init(&b, 1 << 16);
		buf_puts(&b, "{\"category\":\"timeout\",\"confidence\":0");
		put_list(&b, "evidence", "{\"line\":1,\"text\":\"e\"}",
			 FINDING_EVIDENCE_MAX + over);
		put_list(&b, "failed_tests", "\"t\"", FINDING_TESTS_MAX + over);
		put_list(&b, "alternatives", "{\"category\":\"timeout\",\"confidence\":0.5}",
			 FINDING_ALTERNATIVES_MAX + over);
		put_list(&b, "suggestions", "\"s\"", FINDING_SUGGESTIONS_MAX + over);
		buf_putc(&b, '}');
		assert_ok(json_parse(b.data, b.len, &o, &err), &err);
		assert_ok(finding_from_json(o, a, &f, &err), &err);
		assert_int_equal(f.n_evidence, FINDING_EVIDENCE_MAX);
		assert_int_equal(f.n_failed_tests, FINDING_TESTS_MAX);
		assert_int_equal(f.n_alternatives, FINDING_ALTERNATIVES_MAX);
		assert_int_equal(f.n_suggestions, FINDING_SUGGESTIONS_MAX);
	}
}

static void categories_are_the_contract(void **state)
{
	static const char *const contract[] = {
		"dependency_failure",  "test_failure",       "build_failure",
		"lint_failure",        "deployment_failure", "timeout",
		"resource_exhaustion", "network_failure",    "rate_limit",
		"auth_failure",        "config_error",       "infrastructure_failure",
		"cache_corruption",    "scm_failure",        "unknown",
	};
	size_t n = 0;

	UNUSED(state);
	while (finding_categories[n])
		n++;
	assert_int_equal(n, ARRAY_LEN(contract));
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(finding_categories[i], contract[i]);
		assert_true(finding_category_known(contract[i]));
	}
	assert_false(finding_category_known(""));
	assert_false(finding_category_known("test"));
	assert_false(finding_category_known("Timeout"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survives_json_unchanged),
		cmocka_unit_test(has_the_members_of_the_contract),
		cmocka_unit_test(refuses_what_it_cannot_trust),
		cmocka_unit_test(tolerates_the_rest),
		cmocka_unit_test(reads_as_many_as_there_is_room_for),
		cmocka_unit_test(categories_are_the_contract),
	};

	return cmocka_run_group_tests_name("finding", tests, NULL, NULL);
}

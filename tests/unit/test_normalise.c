#include "receiver/normalise.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/text.h"
#include "receiver/json_dom.h"
#include "receiver/redact.h"
#include "tests/unit/unit.h"

struct thing {
	uint64_t id, other_id;
	char name[8], title[8], deep[8];
	int64_t at;
};

static const struct field fields[] = {
	FIELD("id", FIELD_ID, true, struct thing, id),
	FIELD("a.id", FIELD_ID, false, struct thing, other_id),
	FIELD("name", FIELD_NAME, false, struct thing, name),
	FIELD("title", FIELD_TEXT, false, struct thing, title),
	FIELD("a.b.c", FIELD_TEXT, false, struct thing, deep),
	FIELD("at", FIELD_TIME, false, struct thing, at),
};
static const struct field needed_text[] = {
	FIELD("a.b", FIELD_TEXT, true, struct thing, title),
};

static int run(const struct field *table, size_t n_fields, const char *json, size_t n,
	       struct thing *out, struct err *err)
{
	struct field_tree tree;

	*out = (struct thing){ 0 };
	*err = (struct err){ 0 };
	field_tree_init(&tree, table, n_fields);
	return normalise(&tree, json, n, out, err);
}

static void reads_fields_by_path(void **state)
{
	static const char json[] =
		"{\"x\":[{\"id\":9},[1]],\"a\":{\"id\":18,\"z\":{\"id\":3},\"b\":{\"c\":"
		"\"deep\\u00e4\"}},"
		"\"id\":9007199254740993,\"name\":\"seven77\",\"title\":\"longer than it may be\","
		"\"at\":\"2026-07-29T10:01:29Z\",\"title2\":{\"title\":\"no\"}}";
	struct thing t;
	struct err err;

	UNUSED(state);
	assert_ok(run(fields, ARRAY_LEN(fields), json, strlen(json), &t, &err), &err);
	assert_true(t.id == 9007199254740993u); /* beyond what a double keeps */
	assert_true(t.other_id == 18);
	assert_string_equal(t.name, "seven77");
	assert_string_equal(t.title, "longer ");
	assert_string_equal(t.deep, "deep\xc3\xa4");
	assert_true(t.at == 1785319289000);
}

struct listed {
	uint64_t highest, id;
	char reason[16], culprit[16];
	int64_t at;
};

static const struct field listed_fields[] = {
	FIELD("builds[].id", FIELD_MAX, false, struct listed, highest),
	FIELD("builds[].reason", FIELD_TEXT, false, struct listed, reason),
	FIELD("culprits[]", FIELD_TEXT, false, struct listed, culprit),
	FIELD("id", FIELD_NUM, true, struct listed, id),
	FIELD("at", FIELD_TIME, false, struct listed, at),
};

static int run_listed(const char *json, struct listed *out, struct err *err)
{
	struct field_tree tree;

	*out = (struct listed){ 0 };
	*err = (struct err){ 0 };
	field_tree_init(&tree, listed_fields, ARRAY_LEN(listed_fields));
	return normalise(&tree, json, strlen(json), out, err);
}

static void reads_what_is_in_arrays(void **state)
{
	static const struct {
		const char *why, *json;
		uint64_t highest;
		const char *reason, *culprit;
	} rows[] = {
		{ "the largest, wherever it stands",
		  "{\"builds\":[{\"id\":5},{\"x\":[{\"id\":99}],\"id\":9},{\"id\":7}],\"id\":1}", 9,
		  "", "" },
		{ "the first text",
		  "{\"id\":1,\"builds\":[{\"reason\":null},{\"reason\":\"a\"},"
		  "{\"reason\":\"b\"}],\"culprits\":[\"x\",\"y\"]}",
		  0, "a", "x" },
		{ "empty arrays", "{\"builds\":[],\"culprits\":[],\"id\":1}", 0, "", "" },
		{ "other things in the array",
		  "{\"builds\":[3,null,\"s\",[{\"id\":4}],{\"id\":2}],\"culprits\":[1,{"
		  "\"culprits\":\"n\"},"
		  "\"x\"],\"id\":1}",
		  2, "", "x" },
		{ "something else than an array",
		  "{\"builds\":{\"id\":4},\"culprits\":\"x\",\"id\":1}", 0, "", "" },
		{ "an object that calls itself one", "{\"builds\":{\"[]\":{\"id\":4}},\"id\":1}", 0,
		  "", "" },
		{ "the first of two arrays",
		  "{\"builds\":[{\"id\":2}],\"builds\":[{\"id\":4}],\"id\":1}", 2, "", "" },
		{ "the first of two keys in an element",
		  "{\"builds\":[{\"id\":2,\"id\":4}],\"id\":1}", 2, "", "" },
		{ "numbers as text, and what is none",
		  "{\"builds\":[{\"id\":\"12\"},{\"id\":\"x\"},{\"id\":-5},{\"id\":1.5},{\"id\":"
		  "true}],"
		  "\"id\":\"1\"}",
		  12, "", "" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct listed got;
		struct err err;

		if (run_listed(rows[i].json, &got, &err) < 0)
			fail_msg("row \"%s\": %s", rows[i].why, err.msg);
		assert_case(got.id == 1, rows[i].why);
		assert_case(got.highest == rows[i].highest, rows[i].why);
		assert_case(strcmp(got.reason, rows[i].reason) == 0, rows[i].why);
		assert_case(strcmp(got.culprit, rows[i].culprit) == 0, rows[i].why);
	}
}

static void numbers_may_be_text_where_the_table_says_so(void **state)
{
	static const struct {
		const char *json, *says; /* NULL: good */
	} rows[] = {
		{ "{\"id\":7}", NULL },
		{ "{\"id\":\"7\"}", NULL },
		{ "{\"id\":\"\"}", "id: is not a usable integer" },
		{ "{\"id\":\"7 \"}", "id: is not a usable integer" },
		{ "{\"id\":\"-7\"}", "id: is not a usable integer" },
		{ "{\"id\":\"9223372036854775808\"}", "id: is not a usable integer" },
		{ "{\"id\":7e2}", "id: is not a usable integer" },
		{ "{\"id\":null}", "id: is missing" },
		{ "{\"id\":[7]}", "id: has the wrong type" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct listed got;
		struct err err;
		int rc = run_listed(rows[i].json, &got, &err);

		assert_case(rows[i].says ? rc < 0 && strstr(err.msg, rows[i].says) != NULL
					 : rc == 0 && got.id == 7,
			    rows[i].json);
	}
}

static void times_need_not_be_iso(void **state)
{
	static const struct {
		const char *json;
		int64_t at;
	} rows[] = {
		{ "{\"id\":1,\"at\":\"2016-08-12 15:23:28 UTC\"}", 1471015408000 },
		{ "{\"id\":1,\"at\":\"2016-08-12 17:23:28 +0200\"}", 1471015408000 },
		{ "{\"id\":1,\"at\":\"2016-08-12T15:23:28.5Z\"}", 1471015408500 },
		{ "{\"id\":1,\"at\":\"2016-08-12 15:23:28\"}", 0 },
		{ "{\"id\":1,\"at\":\"2016-08-12 15:23:28 CEST\"}", 0 },
		{ "{\"id\":1,\"at\":1471015408}", 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct listed got;
		struct err err;

		assert_ok(run_listed(rows[i].json, &got, &err), &err);
		assert_case(got.at == rows[i].at, rows[i].json);
	}
}

static void first_of_duplicate_keys_wins(void **state)
{
	static const struct {
		const char *why, *json;
		unsigned id, other_id;
	} rows[] = {
		{ "a value", "{\"id\":1,\"id\":2}", 1, 0 },
		{ "an object: the second is not merged in", "{\"id\":1,\"a\":{},\"a\":{\"id\":5}}",
		  1, 0 },
		{ "null counts as the first", "{\"id\":1,\"a\":null,\"a\":{\"id\":5}}", 1, 0 },
		{ "an escaped spelling of the same key", "{\"id\":1,\"\\u0069d\":2}", 1, 0 },
		{ "not a duplicate: another level", "{\"a\":{\"id\":5},\"id\":1}", 1, 5 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct thing t;
		struct err err;

		if (run(fields, ARRAY_LEN(fields), rows[i].json, strlen(rows[i].json), &t, &err) <
		    0)
			fail_msg("row \"%s\": %s", rows[i].why, err.msg);
		assert_case(t.id == rows[i].id && t.other_id == rows[i].other_id, rows[i].why);
	}
}

static void refuses_what_is_malformed(void **state)
{
	static const struct {
		const char *why, *json, *says;
	} rows[] = {
		{ "nothing", "", "malformed" },
		{ "no JSON", "hello", "malformed" },
		{ "cut off", "{\"id\":1", "malformed" },
		{ "cut off in a string", "{\"id\":1,\"x\":\"ab", "malformed" },
		{ "something behind it", "{\"id\":1} {}", "malformed" },
		{ "a comment", "{/* */\"id\":1}", "malformed" },
		{ "a trailing comma", "{\"id\":1,}", "malformed" },
		{ "not UTF-8, in a value", "{\"id\":1,\"x\":\"\xff\"}", "malformed" },
		{ "not UTF-8, in a key", "{\"id\":1,\"\xc3\":1}", "malformed" },
		{ "a raw control character", "{\"id\":1,\"x\":\"a\nb\"}", "malformed" },
		{ "an array", "[1]", "id: is missing" },
		{ "a number", "1", "id: is missing" },
		{ "no id", "{}", "id: is missing" },
		{ "null id", "{\"id\":null}", "id: is missing" },
		{ "id in an array", "[{\"id\":1}]", "id: is missing" },
		{ "id as text", "{\"id\":\"1\"}", "id: is not a usable integer" },
		{ "id as an object", "{\"id\":{}}", "id: has the wrong type" },
		{ "id as an array", "{\"id\":[1]}", "id: has the wrong type" },
		{ "id as a truth", "{\"id\":true}", "id: has the wrong type" },
		{ "a negative id", "{\"id\":-1}", "id: is not a usable integer" },
		{ "a fraction", "{\"id\":1.5}", "id: is not a usable integer" },
		{ "an exponent", "{\"id\":1e3}", "id: is not a usable integer" },
		{ "2^63", "{\"id\":9223372036854775808}", "id: is not a usable integer" },
		{ "beyond 64 bits", "{\"id\":99999999999999999999}",
		  "id: is not a usable integer" },
		{ "thousands of digits",
		  "{\"id\":1111111111111111111111111111111111111111111111111111111111111111}",
		  "id: is not a usable integer" },
		{ "another id is checked as well", "{\"id\":1,\"a\":{\"id\":-2}}", "a.id: is not" },
		{ "a name that does not fit", "{\"id\":1,\"name\":\"eightchr\"}",
		  "name: is too long" },
		{ "NUL in a text", "{\"id\":1,\"title\":\"a\\u0000b\"}", "title: has a NUL" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct thing t;
		struct err err;
		int rc = run(fields, ARRAY_LEN(fields), rows[i].json, strlen(rows[i].json), &t,
			     &err);

		assert_case(rc == -1 && err.kind == ERR_INPUT, rows[i].why);
		if (!strstr(err.msg, rows[i].says))
			fail_msg("row \"%s\": said \"%s\"", rows[i].why, err.msg);
	}
}

/* JSON says nothing about these, and our parser refuses the whole document for one of them. */
static void mends_what_only_the_parser_minds(void **state)
{
	static const struct {
		const char *json, *title, *says; /* NULL: good */
	} rows[] = {
		{ "{\"id\":7,\"x\":99999999999999999999}", "", NULL },
		{ "{\"id\":7,\"x\":-9223372036854775809}", "", NULL },
		{ "{\"x\":[1e999,-1.5E+400,7],\"id\":7}", "", NULL },
		{ "{\"id\":7,\"x\":1e999,\"title\":\"1e999\"}", "1e999", NULL },
		{ "{\"id\":7,\"x\":1e999,\"title\":\"\\\"1e9\\\\\"}", "\"1e9\\", NULL },
		{ "{\"id\":7,\"x\":1e999,\"title\":\"\\ud83d\\ude00\"}", "\xf0\x9f\x98\x80", NULL },
		{ "{\"id\":7,\"title\":\"a\\ud83d\"}", "a?", NULL },
		{ "{\"id\":7,\"title\":\"\\uDC00b\"}", "?b", NULL },
		{ "{\"id\":7,\"title\":\"\\ud83d\\ud83d\\ude00\"}", "?\xf0\x9f\x98\x80", NULL },
		{ "{\"id\":7,\"\\ud83d\":1,\"x\":[\"\\ud83d\\u0041\"]}", "", NULL },
		{ "{\"id\":1e999}", "", "id: is not a usable integer" },
		{ "{\"id\":99999999999999999999,\"title\":\"\\ud83d\"}", "",
		  "id: is not a usable integer" },
		{ "{\"id\":7,\"x\":1e999,\"y\":01}", "", "malformed" },
		{ "{\"id\":7,\"x\":1e999,\"y\":1.}", "", "malformed" },
		{ "{\"id\":7,\"x\":1e999,\"y\":-}", "", "malformed" },
		{ "{\"id\":7,\"x\":1e999,\"y\":1e}", "", "malformed" },
		{ "{\"id\":7,\"x\":1e999,\"y\":1.e5}", "", "malformed" },
		{ "{\"id\":7,\"x\":1-1e999}", "", "malformed" },
		{ "1e999", "", "id: is missing" },
		{ "{\"id\":7,\"title\":\"\\ud83d\",\"y\":\"\\u12g4\"}", "", "malformed" },
		{ "{\"id\":7,\"title\":\"\\ud83d\",\"y\":\"\\", "", "malformed" },
		{ "{\"id\":7,\"title\":\"\\ud83", "", "malformed" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct thing t;
		struct err err;
		int rc = run(fields, ARRAY_LEN(fields), rows[i].json, strlen(rows[i].json), &t,
			     &err);

		if (rows[i].says)
			assert_case(rc < 0 && strstr(err.msg, rows[i].says), rows[i].json);
		else
			assert_case(rc == 0 && t.id == 7 && strcmp(t.title, rows[i].title) == 0,
				    rows[i].json);
	}
}

/* The largest that is accepted, dense with values, and then a usual one. */
static void reads_large_documents(void **state)
{
	static const char head[] = "{\"id\":7,\"x\":[1", tail[] = "]}";
	enum { BYTES = 25 << 20 };
	OWNED(freep) char *json = xmalloc(BYTES);
	size_t n = BYTES - strlen(head) - strlen(tail);
	struct mallinfo2 before, after;
	struct thing t;
	struct err err;

	UNUSED(state);
	n -= n % 2;
	(void)text_copy(json, BYTES, head, strlen(head));
	for (size_t i = 0; i < n; i++)
		json[strlen(head) + i] = i % 2 ? '1' : ',';
	memcpy(json + strlen(head) + n, tail, sizeof(tail) - 1);
	n += strlen(head) + strlen(tail);
	before = mallinfo2();
	assert_ok(run(fields, ARRAY_LEN(fields), json, n, &t, &err), &err);
	after = mallinfo2();
	assert_true(t.id == 7);
	assert_true(after.uordblks + after.hblkhd <= before.uordblks + before.hblkhd + (1 << 20));
	assert_ok(run(fields, ARRAY_LEN(fields), "{\"id\":8}", strlen("{\"id\":8}"), &t, &err),
		  &err);
	assert_true(t.id == 8);
}

static void wrong_types_matter_only_where_needed(void **state)
{
	static const struct {
		const char *why, *json;
		bool needed_ok, optional_ok;
	} rows[] = {
		{ "text", "{\"id\":1,\"a\":{\"b\":\"t\"}}", true, true },
		{ "a number for a text", "{\"id\":1,\"a\":{\"b\":5}}", false, true },
		{ "an array for a text", "{\"id\":1,\"a\":{\"b\":[\"t\"]}}", false, true },
		{ "an object for a text", "{\"id\":1,\"a\":{\"b\":{}}}", false, true },
		{ "a text on the way", "{\"id\":1,\"a\":\"b\"}", false, true },
		{ "an array on the way", "{\"id\":1,\"a\":[{\"b\":\"t\"}]}", false, true },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].json);
		struct thing t;
		struct err err;

		assert_case((run(needed_text, 1, rows[i].json, n, &t, &err) == 0) ==
				    rows[i].needed_ok,
			    rows[i].why);
		assert_case((run(fields, ARRAY_LEN(fields), rows[i].json, n, &t, &err) == 0) ==
				    rows[i].optional_ok,
			    rows[i].why);
	}
}

static void nest(struct buf *b, size_t depth, const char *open, const char *close)
{
	buf_puts(b, "{\"id\":1,\"x\":");
	for (size_t i = 1; i < depth; i++)
		buf_puts(b, open);
	buf_puts(b, "1");
	for (size_t i = 1; i < depth; i++)
		buf_puts(b, close);
	buf_puts(b, "}");
}

static void limits_nesting(void **state)
{
	static const struct {
		const char *why, *open, *close;
	} rows[] = { { "arrays", "[", "]" }, { "objects", "{\"k\":", "}" } };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t over = 0; over < 2; over++) {
			OWNED(buf_done) struct buf json;
			struct thing t;
			struct err err;
			int rc;

			buf_init(&json, 4096);
			nest(&json, JSON_DOM_DEPTH_MAX + over, rows[i].open, rows[i].close);
			rc = run(fields, ARRAY_LEN(fields), json.data, json.len, &t, &err);
			assert_case(rc == (over ? -1 : 0), rows[i].why);
			assert_case(!over || strstr(err.msg, "nested deeper"), rows[i].why);
		}
	}
}

static void redacts_what_may_be_secret(void **state)
{
	static const struct {
		const char *why, *in, *out;
	} rows[] = {
		{ "plain JSON stays", "{\"a\": [1, \"b c\"]}", "{\"a\": [1, \"b c\"]}" },
		{ "a token by its look", "x ghp_0123456789abcdefABCDEF0123456789abcd y",
		  "x [masked] y" },
		{ "the shortest key id", "AKIAIOSFODNN7EXAMPLE", "[masked]" },
		{ "one shorter is a word", "AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPL" },
		{ "a member named like a secret", "{\"api_token\" : \"short\",\"b\":\"c\"}",
		  "{\"api_token\" : \"[masked]\",\"b\":\"c\"}" },
		{ "upper case too", "{\"DB_PASSWORD\":\"pw\"}", "{\"DB_PASSWORD\":\"[masked]\"}" },
		{ "an escaped quote does not end it", "{\"secret\":\"a\\\"b\"}",
		  "{\"secret\":\"[masked]\"}" },
		{ "a secret that was cut off", "{\"secret\":\"abc", "{\"secret\":\"[masked]\"" },
		{ "a commit id is wanted", "\"0123456789abcdef0123456789abcdef01234567\"",
		  "\"0123456789abcdef0123456789abcdef01234567\"" },
		{ "an array element is no member's value", "[\"token\",\"b\"]",
		  "[\"token\",\"b\"]" },
		{ "nothing", "", "" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(buf_done) struct buf out;

		buf_init(&out, 1000);
		redact(rows[i].in, strlen(rows[i].in), &out);
		if (strcmp(buf_text(&out), rows[i].out) != 0)
			fail_msg("row \"%s\": got %s", rows[i].why, buf_text(&out));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_fields_by_path),
		cmocka_unit_test(reads_what_is_in_arrays),
		cmocka_unit_test(numbers_may_be_text_where_the_table_says_so),
		cmocka_unit_test(times_need_not_be_iso),
		cmocka_unit_test(first_of_duplicate_keys_wins),
		cmocka_unit_test(refuses_what_is_malformed),
		cmocka_unit_test(mends_what_only_the_parser_minds),
		cmocka_unit_test(reads_large_documents),
		cmocka_unit_test(wrong_types_matter_only_where_needed),
		cmocka_unit_test(limits_nesting),
		cmocka_unit_test(redacts_what_may_be_secret),
	};

	return cmocka_run_group_tests_name("normalise", tests, NULL, NULL);
}

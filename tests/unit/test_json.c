#include "core/json.h"

#include <math.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "tests/unit/unit.h"

static void reads_one_value_and_nothing_else(void **state)
{
	static const struct {
		const char *why, *in, *says; /* NULL: fine */
	} rows[] = {
		{ "object", "{\"a\":1}", NULL },
		{ "array", "[1,2]", NULL },
		{ "space around", " \t\r\n{} \t\r\n", NULL },
		{ "a bare number, which ends with the text", "12", NULL },
		{ "a bare number, then space", "12 ", NULL },
		{ "a bare string", "\"x\"", NULL },
		{ "null", "null", NULL },
		{ "true", "true", NULL },
		{ "escaped surrogates", "\"\\ud83d\\ude00\"", NULL },
		{ "a name beyond ASCII", "{\"\xc3\xa9\":1}", NULL },

		{ "nothing", "", "json:" },
		{ "space only", " ", "json:" },
		{ "cut off", "{\"a\":", "json:" },
		{ "cut off in a string", "{\"a\":\"b", "json:" },
		{ "cut off in a word", "tru", "json:" },
		{ "cut off in a number", "-", "json:" },
		{ "two values", "{} {}", "follows the value at byte 3" },
		{ "a comma behind", "{},", "follows the value at byte 2" },
		{ "a comma before the end", "[1,]", "json:" },
		{ "single quotes", "['a']", "json:" },
		{ "no quotes", "{a:1}", "json:" },
		{ "comments", "/* c */ {}", "json:" },
		{ "overlong UTF-8", "\"\xc0\xaf\"", "not UTF-8" },
		{ "a surrogate in UTF-8", "\"\xed\xa0\x80\"", "not UTF-8" },
		{ "hexadecimal", "0x10", "json:" },
		{ "upper case", "TRUE", "json:" },
		{ "leading zero", "[01]", "json:" },
		{ "not UTF-8", "\"\xff\"", "json:" },
		{ "an escape that is none", "\"\\\xc3\xa9\"", "json:" },
		{ "beyond ASCII outside of strings", "[\xc3\xa9]", "json:" },
		{ "garbage", "hello", "json:" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(json_putp) struct json_object *o = NULL;
		struct err err = { 0 };
		int rc = json_parse(rows[i].in, strlen(rows[i].in), &o, &err);

		assert_case(rc == (rows[i].says ? -1 : 0), rows[i].why);
		if (rows[i].says) {
			assert_case(err.kind == ERR_INPUT, rows[i].why);
			assert_case(strstr(err.msg, rows[i].says) != NULL, err.msg);
			assert_case(o == NULL, rows[i].why);
		}
	}
}

static void text_comes_out_as_it_went_in(void **state)
{
	static const char *const texts[] = {
		"\xc2\x80",
		"\xdf\xbf",
		"caf\xc3\xa9",
		"\xe0\xa0\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
		"\xe2\x82\xacx",
		"\x7f",
		"",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		OWNED(json_putp) struct json_object *o = NULL;
		OWNED(freep) char *in = xasprintf("{\"%s\":\"\\\\%s\"}", texts[i], texts[i]);
		OWNED(freep) char *want = xasprintf("\\%s", texts[i]);
		struct json_object *value;
		struct err err = { 0 };

		assert_ok(json_parse(in, strlen(in), &o, &err), &err);
		assert_true(json_object_object_get_ex(o, texts[i], &value));
		assert_string_equal(json_object_get_string(value), want);
	}
}

static void reads_no_further_than_told(void **state)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err = { 0 };
	/* No terminator: ASan sees a byte beyond. */
	static const char text[] = { '[', '1', ']' }, number[] = { '1', '2' };

	UNUSED(state);
	assert_ok(json_parse(text, sizeof(text), &o, &err), &err);
	json_putp(&o);
	o = NULL;
	assert_ok(json_parse(number, sizeof(number), &o, &err), &err);
	assert_int_equal(json_i64(o, "", 0), 12);
	json_putp(&o);
	o = NULL;
	assert_ok(json_parse("12345", 3, &o, &err), &err);
	assert_int_equal(json_i64(o, "", 0), 123);
	assert_int_equal(json_parse("{}\0{}", 5, &(struct json_object *){ NULL }, &err), -1);
}

static void limits_nesting(void **state)
{
	UNUSED(state);
	for (size_t depth = 31; depth <= 33; depth++) {
		OWNED(json_putp) struct json_object *o = NULL;
		OWNED(buf_done) struct buf b;
		struct err err = { 0 };

		buf_init(&b, 1000);
		for (size_t i = 0; i < depth; i++)
			buf_putc(&b, '[');
		for (size_t i = 0; i < depth; i++)
			buf_putc(&b, ']');
		assert_int_equal(json_parse(b.data, b.len, &o, &err), depth <= 32 ? 0 : -1);
	}
}

static struct json_object *parsed(const char *text)
{
	struct json_object *o = NULL;
	struct err err = { 0 };

	assert_ok(json_parse(text, strlen(text), &o, &err), &err);
	return o;
}

static void finds_by_path_and_type(void **state)
{
	OWNED(json_putp)
	struct json_object *o =
		parsed("{\"s\":\"text\",\"i\":-7,\"d\":1.5,\"t\":true,\"n\":null,\"big\":"
		       "9223372036854775807,"
		       "\"a\":[10,{\"b\":\"deep\"},[\"x\"]],\"o\":{\"\":\"empty\",\"p\":{\"q\":1}},"
		       "\"twice\":1,\"twice\":2}");

	UNUSED(state);
	assert_string_equal(json_str(o, "s", "-"), "text");
	assert_string_equal(json_str(o, "a.1.b", "-"), "deep");
	assert_string_equal(json_str(o, "a.2.0", "-"), "x");
	assert_int_equal(json_i64(o, "i", 0), -7);
	assert_int_equal(json_i64(o, "a.0", 0), 10);
	assert_int_equal(json_i64(o, "o.p.q", 0), 1);
	assert_true(json_i64(o, "big", 0) == INT64_MAX);
	assert_true(fabs(json_num(o, "d", 0) - 1.5) < 1e-9);
	assert_true(fabs(json_num(o, "i", 0) + 7) < 1e-9);
	assert_true(json_flag(o, "t", false));
	assert_ptr_equal(json_at(o, ""), o);
}

static void what_is_missing_or_of_another_type_is_the_default(void **state)
{
	static const struct {
		const char *why, *path;
	} rows[] = {
		{ "no such member", "z" },
		{ "null", "n" },
		{ "beyond null", "n.x" },
		{ "beyond a string", "s.x" },
		{ "beyond an array", "a.3" },
		{ "a name in an array", "a.b" },
		{ "a negative index", "a.-1" },
		{ "an index beyond 64 bits", "a.18446744073709551616" },
		{ "the largest index", "a.18446744073709551615" },
		{ "an object", "o" },
		{ "an array", "a" },
		{ "a name that is too long",
		  "0123456789012345678901234567890123456789012345678901234567890123" },
	};
	OWNED(json_putp)
	struct json_object *o =
		parsed("{\"s\":\"text\",\"n\":null,\"a\":[1,2,3],\"o\":{},"
		       "\"0123456789012345678901234567890123456789012345678901234567890123\":1}");

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_case(strcmp(json_str(o, rows[i].path, "-"), "-") == 0, rows[i].why);
		assert_case(json_i64(o, rows[i].path, 77) == 77, rows[i].why);
		assert_case(json_num(o, rows[i].path, 77) > 76.9, rows[i].why);
		assert_case(json_flag(o, rows[i].path, true), rows[i].why);
	}
	json_putp(&o);
	o = parsed("{\"a\":[NaN,-Infinity]}");
	assert_true(json_num(o, "a.0", 77) > 76.9);
	assert_true(json_num(o, "a.1", 77) > 76.9);
	json_putp(&o);
	o = parsed("{\"s\":\"1\",\"a\":[1]}");
	/* Types do not turn into each other: "1" is no number, 1 is no text and no truth. */
	assert_int_equal(json_i64(o, "s", 77), 77);
	assert_null(json_str(o, "a.0", NULL));
	assert_false(json_flag(o, "a.0", false));
	assert_null(json_at(NULL, "a"));
	assert_string_equal(json_str(NULL, "a", "-"), "-");
}

static void writes_compact_text(void **state)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();

	UNUSED(state);
	json_add_str(o, "url", "https://h/p");
	json_add_str(o, "none", NULL);
	json_add_str(o, "quote", "a\"b\n");
	json_add_i64(o, "n", INT64_MIN);
	json_add_num(o, "d", 0.5);
	json_add_bool(o, "t", true);
	json_add_num(o, "nan", (double)NAN);
	json_add_num(o, "inf", (double)-INFINITY);
	json_add(o, "null", NULL);
	assert_string_equal(json_text(o),
			    "{\"url\":\"https://h/p\",\"quote\":\"a\\\"b\\n\","
			    "\"n\":-9223372036854775808,\"d\":0.5,\"t\":true,\"nan\":null,"
			    "\"inf\":null,\"null\":null}");
}

static void numbers_have_no_tail_of_digits(void **state)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		{ 0.942, "0.942" },
		{ 0.95, "0.95" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 1, "1.0" },
		{ 0, "0.0" },
		{ -0.5, "-0.5" },
		{ 12345678, "12345678.0" },
		{ 1e300, "1e+300" },
		{ 5e-324, "4.94065645841247e-324" },
		{ -2.2250738585072014e-308, "-2.2250738585072014e-308" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(json_putp) struct json_object *o = json_new_num(rows[i].value);
		OWNED(json_putp) struct json_object *back = NULL;
		const char *text = json_text(o);
		struct err err;

		assert_string_equal(text, rows[i].text);
		assert_ok(json_parse(text, strlen(text), &back, &err), &err);
		assert_true(json_object_get_double(back) == rows[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_one_value_and_nothing_else),
		cmocka_unit_test(text_comes_out_as_it_went_in),
		cmocka_unit_test(numbers_have_no_tail_of_digits),
		cmocka_unit_test(reads_no_further_than_told),
		cmocka_unit_test(limits_nesting),
		cmocka_unit_test(finds_by_path_and_type),
		cmocka_unit_test(what_is_missing_or_of_another_type_is_the_default),
		cmocka_unit_test(writes_compact_text),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}

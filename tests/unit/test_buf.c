#include "core/buf.h"

#include <string.h>

#include "core/mem.h"
#include "tests/unit/unit.h"

static void is_empty_text_before_the_first_append(void **state)
{
	OWNED(buf_done) struct buf b;

	UNUSED(state);
	buf_init(&b, 10);
	assert_string_equal(buf_text(&b), "");
	buf_reset(&b);
	assert_string_equal(buf_text(&b), "");
	buf_append(&b, NULL, 0);
	assert_string_equal(buf_text(&b), "");
	assert_int_equal(b.len, 0);
}

static void keeps_everything_up_to_the_cap_and_nothing_beyond(void **state)
{
	static const struct {
		const char *why;
		size_t max, first, second, len;
		bool overflow;
	} rows[] = {
		{ "room to spare", 100, 10, 10, 20, false },
		{ "exactly full", 20, 10, 10, 20, false },
		{ "one too many drops the whole append", 19, 10, 10, 10, true },
		{ "full from the first", 10, 10, 0, 10, false },
		{ "too large from the first", 9, 10, 0, 0, true },
		{ "a small one after a large one is dropped too: no holes", 5, 6, 1, 0, true },
		{ "a cap of nothing", 0, 1, 0, 0, true },
		{ "nothing fits into nothing", 0, 0, 0, 0, false },
		{ "the first block is 64 bytes, terminator included", 1000, 63, 0, 63, false },
		{ "one more needs the next block", 1000, 64, 0, 64, false },
		{ "a size between two doublings", 100, 65, 35, 100, false },
		{ "one beyond it", 99, 65, 35, 65, true },
	};
	static const char bytes[128] = { 1 };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(buf_done) struct buf b;

		buf_init(&b, rows[i].max);
		buf_append(&b, bytes, rows[i].first);
		buf_append(&b, bytes, rows[i].second);
		assert_case(b.len == rows[i].len, rows[i].why);
		assert_case(b.overflow == rows[i].overflow, rows[i].why);
		assert_case(!b.data || b.data[b.len] == '\0', rows[i].why);
		assert_case(b.cap <= rows[i].max + 1, rows[i].why);
	}
}

/* A chain of appends is checked once at its end, so a later small one may not slip in. */
static void overflow_stays_until_the_reset(void **state)
{
	OWNED(buf_done) struct buf b;

	UNUSED(state);
	buf_init(&b, 4);
	buf_puts(&b, "abc");
	buf_puts(&b, "de");
	buf_putc(&b, 'f');
	buf_printf(&b, "%d", 1);
	assert_true(b.overflow);
	assert_string_equal(buf_text(&b), "abc");
	buf_reset(&b);
	assert_false(b.overflow);
	assert_string_equal(buf_text(&b), "");
	buf_puts(&b, "wxyz");
	assert_false(b.overflow);
	assert_string_equal(buf_text(&b), "wxyz");
}

static void formats_into_what_is_left(void **state)
{
	OWNED(buf_done) struct buf b;

	UNUSED(state);
	buf_init(&b, 10);
	buf_puts(&b, "ab");
	buf_printf(&b, "%s-%03d", "cd", 7);
	assert_string_equal(buf_text(&b), "abcd-007");
	buf_printf(&b, "%s", "");
	buf_printf(&b, "%s", "89");
	assert_string_equal(buf_text(&b), "abcd-00789");
	assert_false(b.overflow);
	buf_printf(&b, "%c", '!');
	assert_true(b.overflow);
	assert_string_equal(buf_text(&b), "abcd-00789");
}

static void keeps_bytes_that_are_no_text(void **state)
{
	OWNED(buf_done) struct buf b;

	UNUSED(state);
	buf_init(&b, 10);
	buf_append(&b, "a\0b\xff", 4);
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.data, "a\0b\xff", 5);
}

static void hands_its_memory_over(void **state)
{
	OWNED(buf_done) struct buf b;
	OWNED(freep) char *none = NULL, *some = NULL;

	UNUSED(state);
	buf_init(&b, 4);
	none = buf_take(&b);
	assert_string_equal(none, "");
	buf_puts(&b, "full");
	buf_putc(&b, '!');
	some = buf_take(&b);
	assert_string_equal(some, "full");
	/* Empty again, with the same cap and nothing to complain about. */
	assert_null(b.data);
	assert_false(b.overflow);
	buf_puts(&b, "12345");
	assert_true(b.overflow);
}

static void writes_json_strings(void **state)
{
	static const struct {
		const char *why, *in, *out;
	} rows[] = {
		{ "nothing", "", "\"\"" },
		{ "plain", "a b/c", "\"a b/c\"" },
		{ "quotes end strings", "a\"b", "\"a\\\"b\"" },
		{ "backslashes escape", "a\\b", "\"a\\\\b\"" },
		{ "short names, RFC 8259 section 7", "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
		{ "other controls", "\x01\x1f", "\"\\u0001\\u001f\"" },
		{ "ESC drives terminals", "\x1b[2J", "\"\\u001b[2J\"" },
		{ "DEL is legal in JSON and invisible", "\x7f", "\"\\u007f\"" },
		{ "space is the first that stays", " ", "\" \"" },
		{ "two, three and four bytes stay", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
		  "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"" },
		{ "C1 control CSI drives terminals", "\xc2\x9b", "\"\\u009b\"" },
		{ "first C1 control", "\xc2\x80", "\"\\u0080\"" },
		{ "last C1 control", "\xc2\x9f", "\"\\u009f\"" },
		{ "no-break space is text", "\xc2\xa0", "\"\xc2\xa0\"" },
		{ "NEL ends a line for some", "\xc2\x85", "\"\\u0085\"" },
		{ "line and paragraph separator do", "\xe2\x80\xa8\xe2\x80\xa9",
		  "\"\\u2028\\u2029\"" },
		{ "their neighbours do not", "\xe2\x80\xa7\xe2\x80\xaa",
		  "\"\xe2\x80\xa7\xe2\x80\xaa\"" },
		{ "the same end after another start", "\xe2\x81\xa8\xe3\x80\xa8",
		  "\"\xe2\x81\xa8\xe3\x80\xa8\"" },
		{ "a stray continuation", "a\x80z", "\"a\xef\xbf\xbdz\"" },
		{ "a sequence that is cut off", "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "cut off by text, which stays", "\xe2\x82z", "\"\xef\xbf\xbd\xef\xbf\xbdz\"" },
		{ "an overlong slash", "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "a surrogate", "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(buf_done) struct buf b;

		buf_init(&b, 100);
		buf_json(&b, rows[i].in, strlen(rows[i].in));
		if (strcmp(buf_text(&b), rows[i].out) != 0)
			fail_msg("row \"%s\": got %s", rows[i].why, buf_text(&b));
	}
}

static void json_has_a_length_not_an_end(void **state)
{
	OWNED(buf_done) struct buf b;

	UNUSED(state);
	buf_init(&b, 100);
	buf_json(&b, "a\0b", 3);
	assert_string_equal(buf_text(&b), "\"a\\u0000b\"");
	buf_reset(&b);
	buf_json(&b, "abc", 2);
	assert_string_equal(buf_text(&b), "\"ab\"");
	buf_reset(&b);
	/* The rest of the sequence is there, but not ours. */
	buf_json(&b, "a\xc3\xa9", 2);
	assert_string_equal(buf_text(&b), "\"a\xef\xbf\xbd\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_empty_text_before_the_first_append),
		cmocka_unit_test(keeps_everything_up_to_the_cap_and_nothing_beyond),
		cmocka_unit_test(overflow_stays_until_the_reset),
		cmocka_unit_test(formats_into_what_is_left),
		cmocka_unit_test(keeps_bytes_that_are_no_text),
		cmocka_unit_test(hands_its_memory_over),
		cmocka_unit_test(writes_json_strings),
		cmocka_unit_test(json_has_a_length_not_an_end),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}

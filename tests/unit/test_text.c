#include "core/text.h"

#include <string.h>

#include "tests/unit/unit.h"

/* Every first byte, and the borders of the second: RFC 3629 section 4 (UTF8-octets). */
static void knows_well_formed_utf8(void **state)
{
	static const struct {
		const char *why, *in;
		size_t len;
	} rows[] = {
		{ "ASCII", "a", 1 },
		{ "the last of ASCII", "\x7f", 1 },
		{ "a continuation alone", "\x80", 0 },
		{ "the last continuation", "\xbf", 0 },
		{ "overlong: C0", "\xc0\x80", 0 },
		{ "overlong: C1", "\xc1\xbf", 0 },
		{ "U+0080, the first of two", "\xc2\x80", 2 },
		{ "U+07FF, the last of two", "\xdf\xbf", 2 },
		{ "two, second too low", "\xc2\x7f", 0 },
		{ "two, second too high", "\xc2\xc0", 0 },
		{ "two, cut off", "\xc2", 0 },
		{ "overlong: three for U+07FF", "\xe0\x9f\xbf", 0 },
		{ "U+0800, the first of three", "\xe0\xa0\x80", 3 },
		{ "U+20AC", "\xe2\x82\xac", 3 },
		{ "U+D7FF, before the surrogates", "\xed\x9f\xbf", 3 },
		{ "U+D800, the first surrogate", "\xed\xa0\x80", 0 },
		{ "U+DFFF, the last surrogate", "\xed\xbf\xbf", 0 },
		{ "U+E000, after them", "\xee\x80\x80", 3 },
		{ "U+FFFF", "\xef\xbf\xbf", 3 },
		{ "three, third too low", "\xe2\x82\x7f", 0 },
		{ "three, third too high", "\xe2\x82\xc0", 0 },
		{ "three, cut off", "\xe2\x82", 0 },
		{ "overlong: four for U+FFFF", "\xf0\x8f\xbf\xbf", 0 },
		{ "U+10000, the first of four", "\xf0\x90\x80\x80", 4 },
		{ "U+10FFFF, the last", "\xf4\x8f\xbf\xbf", 4 },
		{ "U+110000 is none", "\xf4\x90\x80\x80", 0 },
		{ "F1, any second", "\xf1\x80\x80\x80", 4 },
		{ "four, fourth bad", "\xf1\x80\x80z", 0 },
		{ "four, cut off", "\xf1\x80\x80", 0 },
		{ "F5", "\xf5\x80\x80\x80", 0 },
		{ "FF", "\xff", 0 },
		{ "nothing", "", 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const unsigned char *s = (const unsigned char *)rows[i].in;
		size_t n = strlen(rows[i].in);

		assert_case(utf8_sequence(s, n) == rows[i].len, rows[i].why);
		assert_case(utf8_valid(s, n) == (rows[i].len == n), rows[i].why);
	}
}

/* The words of eight bytes that are looked at together must not hide a byte of the seams. */
static void finds_one_bad_byte_anywhere(void **state)
{
	unsigned char text[40];

	UNUSED(state);
	for (size_t n = 0; n <= sizeof(text); n++) {
		memset(text, 'a', sizeof(text));
		assert_true(utf8_valid(text, n));
		for (size_t at = 0; at < n; at++) {
			memset(text, 'a', sizeof(text));
			text[at] = 0x80;
			assert_false(utf8_valid(text, n));
			/* A sequence that ends with the text, and one that would go on. */
			text[at] = 0xc3;
			assert_false(utf8_valid(text, n));
			if (at + 1 < n) {
				text[at + 1] = 0xa9;
				assert_true(utf8_valid(text, n));
			}
		}
	}
	assert_true(utf8_valid((const unsigned char *)"a\0b", 3));
}

static void copies_what_fits_and_cuts_between_characters(void **state)
{
	static const struct {
		const char *why, *in;
		size_t cap;
		const char *out;
		bool whole;
	} rows[] = {
		{ "room to spare", "abc", 10, "abc", true },
		{ "exactly", "abc", 4, "abc", true },
		{ "one too many", "abc", 3, "ab", false },
		{ "nothing but the terminator", "abc", 1, "", false },
		{ "nothing of nothing", "", 1, "", true },
		{ "before a character of two", "a\xc3\xa9", 3, "a", false },
		{ "behind it", "a\xc3\xa9z", 4, "a\xc3\xa9", false },
		{ "before one of four, in its second byte", "a\xf0\x9f\x98\x80", 3, "a", false },
		{ "in its last byte", "a\xf0\x9f\x98\x80", 5, "a", false },
		{ "with all of it", "a\xf0\x9f\x98\x80", 6, "a\xf0\x9f\x98\x80", true },
		{ "only continuations leave nothing", "\x80\x80\x80\x80", 3, "", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[16] = "###############";

		assert_case(text_copy(out, rows[i].cap, rows[i].in, strlen(rows[i].in)) ==
				    rows[i].whole,
			    rows[i].why);
		assert_case(strcmp(out, rows[i].out) == 0, rows[i].why);
		assert_case(out[rows[i].cap] == '#', rows[i].why);
	}
	{
		char out[4];

		/* What stands behind the source is not looked at. */
		assert_true(text_copy(out, sizeof(out), "abc\x80", 3));
		assert_string_equal(out, "abc");
	}
}

static void reads_whole_numbers_only(void **state)
{
	static const struct {
		const char *why, *in;
		bool u, i;
		uint64_t v;
	} rows[] = {
		{ "zero", "0", true, true, 0 },
		{ "leading zeros", "007", true, true, 7 },
		{ "largest signed", "9223372036854775807", true, true, INT64_MAX },
		{ "one more is unsigned only", "9223372036854775808", true, false,
		  (uint64_t)INT64_MAX + 1 },
		{ "largest unsigned", "18446744073709551615", true, false, UINT64_MAX },
		{ "one more is none", "18446744073709551616", false, false, 0 },
		{ "far too large", "99999999999999999999999", false, false, 0 },
		{ "negative", "-5", false, true, (uint64_t)-5 },
		{ "smallest", "-9223372036854775808", false, true, (uint64_t)INT64_MIN },
		{ "one less", "-9223372036854775809", false, false, 0 },
		{ "nothing", "", false, false, 0 },
		{ "a sign alone", "-", false, false, 0 },
		{ "plus", "+5", false, false, 0 },
		{ "two signs", "--5", false, false, 0 },
		{ "blank in front", " 5", false, false, 0 },
		{ "blank behind", "5 ", false, false, 0 },
		{ "line end behind", "5\n", false, false, 0 },
		{ "hexadecimal", "0x10", false, false, 0 },
		{ "a fraction", "1.5", false, false, 0 },
		{ "an exponent", "1e3", false, false, 0 },
		{ "a word", "five", false, false, 0 },
	};

	UNUSED(state);
	for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
		uint64_t u = 77;
		int64_t i = 77;

		assert_case(text_to_u64(rows[k].in, &u) == rows[k].u, rows[k].why);
		assert_case(text_to_i64(rows[k].in, &i) == rows[k].i, rows[k].why);
		assert_case(u == (rows[k].u ? rows[k].v : 77), rows[k].why);
		assert_case(i == (rows[k].i ? (int64_t)rows[k].v : 77), rows[k].why);
	}
}

static void reads_times(void **state)
{
	static const struct {
		const char *why, *in;
		int64_t ms;
	} rows[] = {
		{ "the epoch", "1970-01-01T00:00:00Z", 0 },
		{ "RFC 3339 section 5.8, 1st example", "1985-04-12T23:20:50.52Z", 482196050520 },
		{ "2nd: an offset", "1996-12-19T16:39:57-08:00", 851042397000 },
		{ "3rd: a leap second", "1990-12-31T23:59:60Z", 662688000000 },
		{ "4th: the same with an offset", "1990-12-31T15:59:60-08:00", 662688000000 },
		{ "as GitHub writes it", "2026-07-29T10:01:29Z", 1785319289000 },
		{ "a day that exists in leap years", "2024-02-29T00:00:00Z", 1709164800000 },
		{ "milliseconds", "2026-07-29T10:01:29.007Z", 1785319289007 },
		{ "tenths", "2026-07-29T10:01:29.7Z", 1785319289700 },
		{ "what is below a millisecond is dropped", "2026-07-29T10:01:29.123999999Z",
		  1785319289123 },
		{ "an offset without a colon, as Jenkins writes it", "2026-07-29T12:01:29+0200",
		  1785319289000 },
		{ "half an hour", "2026-07-29T15:31:29+05:30", 1785319289000 },
		{ "the last second of a day", "2026-12-31T23:59:59Z", 1798761599000 },
		{ "the last of four digits", "9999-12-31T23:59:59Z", 253402300799000 },

		{ "before the epoch", "1969-12-31T23:59:59Z", -1 },
		{ "before it by its offset", "1970-01-01T00:30:00+01:00", -1 },
		{ "month 0", "2026-00-01T00:00:00Z", -1 },
		{ "month 13", "2026-13-01T00:00:00Z", -1 },
		{ "day 0", "2026-01-00T00:00:00Z", -1 },
		{ "day 32", "2026-01-32T00:00:00Z", -1 },
		{ "hour 24", "2026-01-01T24:00:00Z", -1 },
		{ "minute 60", "2026-01-01T00:60:00Z", -1 },
		{ "second 61", "2026-01-01T00:00:61Z", -1 },
		{ "offset of a day", "2026-01-01T00:00:00+24:00", -1 },
		{ "offset minutes", "2026-01-01T00:00:00+00:60", -1 },
		{ "no zone", "2026-01-01T00:00:00", -1 },
		{ "something behind the zone", "2026-01-01T00:00:00Zulu", -1 },
		{ "something behind the offset", "2026-01-01T00:00:00+01:000", -1 },
		{ "a dot without digits", "2026-01-01T00:00:00.Z", -1 },
		{ "a blank for the T", "2026-01-01 00:00:00Z", -1 },
		{ "lower case t", "2026-01-01t00:00:00Z", -1 },
		{ "a date only", "2026-01-01", -1 },
		{ "short digits", "2026-1-1T00:00:00Z", -1 },
		{ "other separators", "2026/01/01T00:00:00Z", -1 },
		{ "no second separator of the date", "2026-01T00:00:00Z", -1 },
		{ "no separator of the time", "2026-01-01T0000:00Z", -1 },
		{ "nor the second", "2026-01-01T00:0000Z", -1 },
		{ "a negative year", "-026-01-01T00:00:00Z", -1 },
		{ "nothing", "", -1 },
		{ "null", "null", -1 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (text_iso8601_ms(rows[i].in) != rows[i].ms)
			fail_msg("row \"%s\": got %lld", rows[i].why,
				 (long long)text_iso8601_ms(rows[i].in));
}

static void writes_times(void **state)
{
	static const struct {
		const char *why;
		int64_t ms;
		const char *out;
	} rows[] = {
		{ "the epoch", 0, "1970-01-01T00:00:00.000Z" },
		{ "milliseconds", 1785319289007, "2026-07-29T10:01:29.007Z" },
		{ "the last millisecond of a second", 1785319289999, "2026-07-29T10:01:29.999Z" },
		{ "the last that fits", 253402300799999, "9999-12-31T23:59:59.999Z" },
		{ "one later has a year too long", 253402300800000, "-" },
		{ "far later", INT64_MAX, "-" },
		{ "before the epoch", -1, "-" },
		{ "far before", INT64_MIN, "-" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[25];

		text_from_ms(out, rows[i].ms);
		assert_case(strcmp(out, rows[i].out) == 0, rows[i].why);
		if (out[0] != '-')
			assert_case(text_iso8601_ms(out) == rows[i].ms, rows[i].why);
	}
}

static void compares_starts_and_ends(void **state)
{
	UNUSED(state);
	assert_true(text_starts("abc", "ab"));
	assert_true(text_starts("abc", "abc"));
	assert_true(text_starts("abc", ""));
	assert_false(text_starts("ab", "abc"));
	assert_false(text_starts("xabc", "abc"));
	assert_true(text_ends("abc", "bc"));
	assert_true(text_ends("abc", "abc"));
	assert_true(text_ends("abc", ""));
	assert_false(text_ends("bc", "abc"));
	assert_false(text_ends("abcx", "abc"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_well_formed_utf8),
		cmocka_unit_test(finds_one_bad_byte_anywhere),
		cmocka_unit_test(copies_what_fits_and_cuts_between_characters),
		cmocka_unit_test(reads_whole_numbers_only),
		cmocka_unit_test(reads_times),
		cmocka_unit_test(writes_times),
		cmocka_unit_test(compares_starts_and_ends),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}

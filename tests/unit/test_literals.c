#include "dispatcher/literals.h"

#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "unit.h"

/* "a|b" for what a pattern needs, "" for nothing. */
static void needs(const char *regex, struct buf *out)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct literals found;

	out->len = 0;
	buf_puts(out, "");
	if (!literals_of(regex, a, &found))
		return;
	for (size_t i = 0; i < found.n; i++)
		buf_printf(out, "%s%.*s", i ? "|" : "", (int)found.at[i].len, found.at[i].text);
}

static void names_what_a_match_must_contain(void **state)
{
	static const struct {
		const char *regex, *needs;
	} rows[] = {
		{ "no rate", "no rate" },
		{ "No Rate", "no rate" },       /* in lower case */
		{ "^no rate$", "no rate" },     /* anchors are no bytes */
		{ "\\bno rate\\b", "no rate" }, /* neither are borders of words */
		{ "rate.{0,9}expired", "expired" },
		{ "cart|order", "cart|order" },
		{ "(cart|order) is empty", "cart is empty|order is empty" },
		{ "(?:no|bad) rate", "no rate|bad rate" },
		{ "(?<what>cart) lost", "cart lost" },
		{ "carts? lost", "carts lost|cart lost" },
		{ "car(?:ts)* lost", " lost" }, /* any number of times: what is beside it */
		{ "cart{2}s lost", "s lost" },  /* the run ends at a repeat */
		{ "cart(s|\\d+) lost", " lost" },
		{ "only (rates|\\d+)s", "only " }, /* a branch from its beginning */
		{ "rate[sd] lost", "rates lost|rated lost" },
		{ "rate[^s] lost", " lost" },
		{ "rate[0-2x] lost", "rate0 lost|rate1 lost|rate2 lost|ratex lost" },
		{ "rate[a-z] lost", " lost" },
		{ "no (overdrawn )?(rate|carts) for the shop",
		  "no overdrawn rate for th|no overdrawn carts for t|no rate for the shop|"
		  "no carts for the shop" },
		{ "rate\\.csv", "rate.csv" },
		{ "rate\\s+lost now", "lost now" },
		{ "rate(?! kept) lost", "rate lost" }, /* looking is not matching */
		{ "rate(?= lost) lo", "rate lo" },
		{ "rate (?!(\\d) of \\g{-1})\\d of", "rate " }, /* a group again, by its name */
		{ "(a|b)x lost\\g{1}x sold", "ax lost|bx lost" },
		{ "(?i)no rate", "no rate" },
		{ "error|fatal error", "error" }, /* who finds one finds the other */
		{ "rate x{a", "rate x{a" },       /* a brace that is no repeat */
	};
	OWNED(buf_done) struct buf got;

	UNUSED(state);
	buf_init(&got, 1 << 16);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		needs(rows[i].regex, &got);
		assert_string_equal(got.data, rows[i].needs);
	}
}

/* Nothing is said rather than something wrong. */
static void says_nothing_when_it_does_not_know(void **state)
{
	static const char *const rows[] = {
		"",
		"\\d+",
		"cart|\\d+",    /* one branch needs nothing */
		"(cart)?",      /* none at all will do */
		"(cart|)",      /* nor here */
		"(?x) no rate", /* blanks mean nothing */
		"\\Qcart\\E",
		"cart\\x41",
		"(*UCP)cart",
		"(?(1)cart|order)",
		"(?R)cart",
		"(?<a>cart)\\g<a>",
		"cart{,5}", /* a repeat to later versions, text to earlier ones */
		"cart(",
		"[cart",
	};
	OWNED(buf_done) struct buf got;

	UNUSED(state);
	buf_init(&got, 1 << 16);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		needs(rows[i], &got);
		assert_string_equal(got.data, "");
	}
}

/* A rarer one is taken, where there is a choice. */
static void common_words_are_not_chosen(void **state)
{
	OWNED(buf_done) struct buf got;

	UNUSED(state);
	buf_init(&got, 1 << 16);
	needs("error\\d+overdrawn", &got);
	assert_string_equal(got.data, "overdrawn");
	needs("overdrawn\\d+error", &got);
	assert_string_equal(got.data, "overdrawn");
}

/* What is too long, or has too many forms, is cut. */
static void sizes_are_bounded(void **state)
{
	OWNED(buf_done) struct buf got, regex;

	UNUSED(state);
	buf_init(&got, 1 << 16);
	buf_init(&regex, 1 << 16);
	for (int i = 0; i < 200; i++)
		buf_puts(&regex, "(a|b|c)");
	needs(regex.data, &got);
	assert_true(got.len < 1 << 12);
	regex.len = 0;
	for (int i = 0; i < 1000; i++)
		buf_puts(&regex, "(");
	needs(regex.data, &got);
	assert_string_equal(got.data, "");
}

static void knows_what_logs_are_full_of(void **state)
{
	static const struct {
		const char *bytes;
		bool everyday;
	} rows[] = {
		{ "[info]", true }, { "ttps:/", true },  { "------", true },
		{ "- - - ", true }, { "no rat", false }, { "[info}", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_case(is_everyday(rows[i].bytes) == rows[i].everyday, rows[i].bytes);
}

static void takes_what_logs_are_not_full_of(void **state)
{
	OWNED(buf_done) struct buf got;

	UNUSED(state);
	buf_init(&got, 1 << 16);
	needs("^get https://.{9}tax rates", &got);
	assert_string_equal(got.data, "tax rates");
	needs(" ------ -.{9}no rate", &got);
	assert_string_equal(got.data, "no rate");
}

static void knows_the_bytes_that_a_match_cannot_do_without(void **state)
{
	static const struct {
		const char *regex, *has, *lacks, *why;
	} rows[] = {
		{ "a\\.b", "b.a", "ab", "a full stop" },
		{ "no \\d+ rates", "on 7 seats, r", "no rates", "any digit" },
		{ "rate 7", "7: a, r, e, t", "rate 8", "this digit" },
		{ "TAX", "XAT", "tax", "capitals" },
		{ "(?i)TAX", "xat", "rate", "letters in any case" },
		{ "(tax|rate)!", "at!", "tax rate", "of alternatives what all have" },
		{ "tax(,|;)?", "xat", "rate", "what may be missing is not needed" },
		{ "x{0,3}y", "y", "x", "nor what may be there no times" },
		{ "(?=.*z)tax(?!q)", "xat", "zq", "nor what is only looked at" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		marks needed = marks_needed(rows[i].regex);

		assert_case(has_marks(marks_on(rows[i].has, strlen(rows[i].has)), needed),
			    rows[i].why);
		assert_case(!has_marks(marks_on(rows[i].lacks, strlen(rows[i].lacks)), needed),
			    rows[i].why);
	}
	assert_true(has_marks(marks_on("", 0), marks_needed("a(?<x>b)(?&x)"))); /* not understood */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_what_a_match_must_contain),
		cmocka_unit_test(says_nothing_when_it_does_not_know),
		cmocka_unit_test(common_words_are_not_chosen),
		cmocka_unit_test(sizes_are_bounded),
		cmocka_unit_test(knows_what_logs_are_full_of),
		cmocka_unit_test(knows_the_bytes_that_a_match_cannot_do_without),
		cmocka_unit_test(takes_what_logs_are_not_full_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "dispatcher/rule.h"

#include <string.h>

#include "core/mem.h"
#include "unit.h"

static pcre2_code *compile(const char *regex)
{
	PCRE2_SIZE at;
	int code;
	pcre2_code *out = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, PCRE2_DUPNAMES,
					&code, &at, NULL);

	assert_non_null(out);
	return out;
}

static void free_code(pcre2_code **code)
{
	pcre2_code_free(*code);
}

/* What a trigger may not end in: one callback per further byte of the line. */
static void open_ends_are_seen(void **state)
{
	static const struct {
		const char *regex;
		bool open;
	} cases[] = {
		{ "error: .+", true },
		{ "error: .*", true },
		{ "error: .*?", true },
		{ "error: .+?", true },
		{ "error: \\d{2,}", true },
		{ "error: [a-z]+", true },
		{ "error: (a|b+)", true },
		{ "error: (a+|b)", true },
		{ "(error|warning.*)", true },
		{ "error|warning.*", true },
		{ "warning.*|error", true },
		{ "error: (\\w+)", true },
		{ "error: (?:\\w+)", true },
		{ "error: (?<name>\\w+)", true },
		{ "error: \\w+(?=x)", true },
		{ "error: .", false },
		{ "error: .+x", false },
		{ "error: .+$", false },
		{ "error: \\w+\\b", false },
		{ "error: \\+", false },
		{ "error: \\*", false },
		{ "error: [+*]", false },
		{ "error: []+*]", false },
		{ "error: [^]+*]", false },
		{ "error: [[:alpha:]*]", false },
		{ "error: \\d{2,4}", false },
		{ "error: \\d{2}", false },
		{ "error: {,}", false },
		{ "error: (a|b)", false },
		{ "error: (a+|b+)x", false },
		{ "a+(?=x+)b", false },
		{ "a(?=x+)", false },
		{ "a(?!x+)", false },
		{ "a(?<!x)b", false },
		{ "error: a?", false },
		{ "error: (?", false }, /* not a pattern: compiling will say so */
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_case(pattern_has_open_end(cases[i].regex) == cases[i].open, cases[i].regex);
}

static void the_end_of_a_class_is_found(void **state)
{
	static const char *const classes[] = { "[a]",     "[]a]",         "[^]a]",       "[\\]a]",
					       "[a\\\\]", "[[:alpha:]a]", "[^[:digit:]]" };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		OWNED(freep) char *text = xasprintf("%srest]", classes[i]);

		assert_case(pattern_class_end(text) == strlen(classes[i]) - 1, classes[i]);
	}
	assert_int_equal(pattern_class_end("[never"), strlen("[never") - 1);
}

/* A rule that gave up must never look like one that did not match. */
static void giving_up_is_a_third_answer(void **state)
{
	static const char line[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!";
	OWNED(free_code) pcre2_code *bomb = compile("(a+)+$");
	OWNED(free_code) pcre2_code *plain = compile("a!$");
	OWNED(matcher_freep) struct matcher *small = matcher_new(1000);

	UNUSED(state);
	assert_int_equal(pattern_match(bomb, small, line, strlen(line)), RULE_GAVE_UP);
	assert_int_equal(pattern_match(plain, small, line, strlen(line)), RULE_HIT);
	assert_int_equal(pattern_match(plain, small, line, strlen(line) - 1), RULE_MISS);
	assert_int_equal(pattern_match(NULL, small, line, strlen(line)), RULE_MISS);
}

static void groups_are_read_by_name(void **state)
{
	static const char regex[] = "^(?:(?<suite>\\w+) > (?<test>\\w+)|(?<test>\\w+)\\(\\))( ?)";
	static const struct {
		const char *line, *suite, *test;
	} cases[] = {
		{ "Shop > adds", "Shop", "adds" },
		{ "adds()", NULL, "adds" },
	};
	OWNED(free_code) pcre2_code *code = compile(regex);
	OWNED(matcher_freep) struct matcher *m = matcher_new(RULE_MATCH_LIMIT);

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *line = cases[i].line, *at;
		size_t n;
		const char *suite = cases[i].suite;

		assert_int_equal(pattern_match(code, m, line, strlen(line)), RULE_HIT);
		assert_case(pattern_group(code, m, line, "suite", &at, &n) == (suite != NULL),
			    line);
		if (suite)
			assert_case(n == strlen(suite) && memcmp(at, suite, n) == 0, line);
		assert_true(pattern_group(code, m, line, "test", &at, &n));
		assert_case(n == strlen(cases[i].test) && memcmp(at, cases[i].test, n) == 0, line);
		assert_false(pattern_group(code, m, line, "nobody", &at, &n));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_ends_are_seen),
		cmocka_unit_test(the_end_of_a_class_is_found),
		cmocka_unit_test(giving_up_is_a_third_answer),
		cmocka_unit_test(groups_are_read_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

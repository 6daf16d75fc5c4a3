#include "dispatcher/rule_parts.h"

#include <string.h>

#include "core/buf.h"
#include "unit.h"

static void expect(const char *regex, const char *parts, const char *why)
{
	OWNED(rule_parts_done) struct rule_parts p;
	OWNED(buf_done) struct buf got;

	buf_init(&got, 1 << 16);
	rule_parts_init(&p, regex);
	for (size_t i = 0; i < p.n; i++)
		buf_printf(&got, "%s%s", i ? " ; " : "", p.at[i].regex);
	if (strcmp(buf_text(&got), parts) != 0)
		fail_msg("%s: %s became %s", why, regex, buf_text(&got));
}

static void a_pattern_is_cut_into_its_alternatives(void **state)
{
	static const struct {
		const char *regex, *parts, *why;
	} rows[] = {
		{ "no rate", "no rate", "one" },
		{ "no rate|^tax", "no rate ; ^tax", "without a group" },
		{ "(no rate|^tax)", "no rate ; ^tax", "in one group" },
		{ "(?:no rate|^tax)", "no rate ; ^tax", "that takes nothing" },
		{ "(?i)(no rate|^tax)", "(?i)no rate ; (?i)^tax", "in any case" },
		{ "(a(b|c)d|e)", "a(b|c)d ; e", "groups within stay" },
		{ "(a|b)(c|d)", "(a|b)(c|d)", "two groups are no alternatives" },
		{ "(a|b)|(c|d)", "(a|b) ; (c|d)", "two groups that are" },
		{ "(a|b)x", "(a|b)x", "what follows belongs to both" },
		{ "([|]|\\||\\(|[)])", "[|] ; \\| ; \\( ; [)]", "bars and brackets that are text" },
		{ "(a|b\\)", "(a|b\\)", "no end of a group" },
		{ "a\\)|b", "a\\) ; b", "a bracket that is text" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].regex, rows[i].parts, rows[i].why);
}

static void what_would_change_is_left_whole(void **state)
{
	static const struct {
		const char *regex, *why;
	} rows[] = {
		{ "(a(?i)b|c)", "the flag holds for c, too" },
		{ "(?s)(a|b)", "another flag" },
		{ "((x)a|\\1b)", "refers to a group" },
		{ "(a|b\\g1)", "the same" },
		{ "(?<n>a|b\\k<n>)", "by name" },
		{ "(a|b(?1))", "calls a group" },
		{ "(?|a|b)", "numbers anew" },
		{ "(a|b|)", "one that needs nothing" },
		{ "(|a)", "the same" },
		{ "a||b", "the same" },
		{ "(a|b\\K)", "moves the beginning" },
		{ "(a|\\Qb|c\\E)", "quotes" },
		{ "(*LIMIT_MATCH=9)(a|b)", "a verb" },
		{ "(?>a|ab)", "gives nothing back" },
		{ "(?!a|b)", "is not there" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].regex, rows[i].regex, rows[i].why);
}

static void too_many_are_left_whole(void **state)
{
	UNUSED(state);
	for (size_t n = RULE_PARTS_MAX; n <= RULE_PARTS_MAX + 1; n++) {
		OWNED(rule_parts_done) struct rule_parts p;
		OWNED(buf_done) struct buf regex;

		buf_init(&regex, 1 << 16);
		for (size_t i = 0; i < n; i++)
			buf_printf(&regex, "%sx%zu", i ? "|" : "", i);
		rule_parts_init(&p, buf_text(&regex));
		assert_int_equal(p.n, n > RULE_PARTS_MAX ? 1 : n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pattern_is_cut_into_its_alternatives),
		cmocka_unit_test(what_would_change_is_left_whole),
		cmocka_unit_test(too_many_are_left_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

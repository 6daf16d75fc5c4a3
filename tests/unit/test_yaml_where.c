#include "core/yaml_where.h"

#include <string.h>

#include "unit.h"

static const char text[] = "timezone: UTC\n"
			   "rules:\n"
			   "  - name: one\n"
			   "    when: { branch: [main, 'release/*'] }\n"
			   "  - name: two\n";

static void finds_what_a_path_names(void **state)
{
	static const struct {
		const char *path;
		unsigned line, column;
	} cases[] = {
		{ "", 1, 1 },
		{ "timezone", 1, 11 },
		{ "rules", 3, 3 },
		{ "rules[0]", 3, 5 },
		{ "rules[0].when.branch[1]", 4, 28 },
		{ "rules[1].name", 5, 11 },
		/* The front of it exists. */
		{ "rules[1].when.branch[0]", 5, 5 },
		{ "rules[7].name", 3, 3 },
		{ "timezone.of[0]", 1, 11 },
		{ "nothing", 1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct yaml_place at = { 0, 0 };

		assert_case(yaml_where(text, strlen(text), cases[i].path, &at), cases[i].path);
		assert_case(at.line == cases[i].line && at.column == cases[i].column,
			    cases[i].path);
	}
}

static void says_so_when_the_text_is_none(void **state)
{
	struct yaml_place at;

	(void)state;
	assert_false(yaml_where("a: [1", 5, "a", &at));
	assert_false(yaml_where("", 0, "a", &at));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_a_path_names),
		cmocka_unit_test(says_so_when_the_text_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

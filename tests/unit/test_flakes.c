#include "dispatcher/flakes.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "unit.h"

static struct finding finding_of(const char *category, const char *first, const char *second)
{
	struct finding f;

	finding_init(&f);
	f.category = category;
	f.confidence = 0.9;
	f.test_framework = "pytest";
	if (first)
		f.failed_tests[f.n_failed_tests++] = first;
	if (second)
		f.failed_tests[f.n_failed_tests++] = second;
	return f;
}

static void the_tests_of_all_jobs_are_collected_once(void **state)
{
	struct finding one = finding_of("test_failure", "a", "b");
	struct finding two = finding_of("test_failure", "b", "c");
	struct flakes_failed all = { .complete = true };

	UNUSED(state);
	flakes_collect(&all, &one, true);
	flakes_collect(&all, &two, true);
	assert_int_equal(all.n, 3);
	assert_string_equal(all.tests[2].name, "c");
	assert_string_equal(all.tests[2].framework, "pytest");
	assert_true(all.complete);
}

static void something_else_makes_them_incomplete(void **state)
{
	struct finding full = finding_of("test_failure", NULL, NULL);
	char names[FINDING_TESTS_MAX][8];
	struct row {
		const char *why;
		struct finding f;
		bool whole, complete;
	} rows[] = {
		{ "tests alone", finding_of("test_failure", "a", NULL), true, true },
		{ "another cause", finding_of("build_failure", "a", NULL), true, false },
		{ "no name", finding_of("test_failure", NULL, NULL), true, false },
		{ "half a log", finding_of("test_failure", "a", NULL), false, false },
		{ "more than fit", full, true, false },
	};

	UNUSED(state);
	for (size_t i = 0; i < FINDING_TESTS_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "t%zu", i);
		rows[4].f.failed_tests[rows[4].f.n_failed_tests++] = names[i];
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct flakes_failed all = { .complete = true };

		flakes_collect(&all, &rows[i].f, rows[i].whole);
		assert_case(all.complete == rows[i].complete, rows[i].why);
		assert_case(all.n <= FLAKES_PER_RUN_MAX, rows[i].why);
	}
}

static void names_say_which_file(void **state)
{
	static const struct {
		const char *name, *framework, *file;
	} cases[] = {
		{ "tests/test_tax.py::TestTax::test_rate[7]", "pytest", "tests/test_tax.py" },
		{ "tests/test_tax.py", "pytest", "" },
		{ "src/tax.test.ts > Tax > adds", "vitest", "src/tax.test.ts" },
		{ "tests/tax.spec.ts › Tax › adds", "playwright", "tests/tax.spec.ts" },
		{ "test/tax_test.dart: Tax adds", "dart", "test/tax_test.dart" },
		{ "features/tax.feature:Adds the rate", "behave", "features/tax.feature" },
		{ "t/tax.t::adds", "perl", "t/tax.t" },
		{ "Tax › adds the rate", "jest", "" },
		{ "tax::tests::adds", "cargo", "" },
		{ "test_rate (tests.test_tax.TaxTest)", "unittest", "tests/test_tax.py" },
		{ "test_rate (__main__.TaxTest)", "unittest", "" },
		{ "org.acme.TaxTest.adds", "junit", "src/test/java/org/acme/TaxTest.java" },
		{ "org.acme.TaxTest$Low.adds", "gradle", "src/test/java/org/acme/TaxTest.java" },
		{ "TaxTest.adds", "junit", "" },
		{ "org/../../etc.TaxTest.adds", "junit", "" },
		{ "TestTax/high", "go", "" },
		{ "", "", "" },
	};
	char file[FLAKES_FILE_MAX], longest[2 * FLAKES_FILE_MAX];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool found = flakes_file(cases[i].name, cases[i].framework, file);

		if (strcmp(file, cases[i].file) != 0 || found != (*cases[i].file != '\0'))
			fail_msg("%s: \"%s\"", cases[i].name, file);
	}
	memset(longest, 'a', sizeof(longest));
	memcpy(longest + sizeof(longest) - 7, ".T.a::b", 8 - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_false(flakes_file(longest, "junit", file));
	assert_false(flakes_file(longest, "pytest", file));
}

static void only_known_flakes_may_be_tried_again(void **state)
{
	static const struct flake flaky = { .name = "a",
					    .flaky = true,
					    .confidence = 0.8,
					    .failed_commits = 3,
					    .healed_commits = 3,
					    .owner = "" };
	static const struct flake less = { .name = "b",
					   .flaky = true,
					   .confidence = 0.5,
					   .failed_commits = 2,
					   .healed_commits = 1,
					   .owner = "@tax" };
	static const struct flake new = { .name = NULL };
	const struct row {
		const char *why;
		struct flake known[2];
		size_t n;
		bool complete, explains;
		double confidence;
	} rows[] = {
		{ "one", { flaky }, 1, true, true, 0.8 },
		{ "the least sure decides", { flaky, less }, 2, true, true, 0.5 },
		{ "whichever comes first", { less, flaky }, 2, true, true, 0.5 },
		{ "a new one among them", { flaky, new }, 2, true, false, 0 },
		{ "something else failed, too", { flaky }, 1, false, false, 0 },
		{ "no names", { flaky }, 0, true, false, 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		struct finding f = finding_of("test_failure", "a", "b");
		struct flakes_failed all = { .n = rows[i].n, .complete = rows[i].complete };
		bool explains = flakes_explain(&all, rows[i].known, a, &f);

		assert_case(explains == rows[i].explains, rows[i].why);
		assert_case(f.transient == explains, rows[i].why);
		assert_case((strcmp(f.subcategory, "flaky") == 0) == explains, rows[i].why);
		assert_case(!explains || f.confidence == rows[i].confidence, rows[i].why);
	}
}

static void the_finding_says_why(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	const struct flake known = { .name = "a",
				     .flaky = true,
				     .confidence = 0.5,
				     .failed_commits = 2,
				     .healed_commits = 1,
				     .owner = "@tax" };
	struct flakes_failed all = { .n = 1, .complete = true };
	struct finding f = finding_of("test_failure", "a", NULL);

	UNUSED(state);
	assert_true(flakes_explain(&all, &known, a, &f));
	assert_string_equal(f.title, "Only a test failed that is known to be flaky");
	assert_int_equal(f.n_suggestions, 2);
	assert_string_equal(f.suggestions[0],
			    "Run the failed jobs again: of 2 commits that a failed on, it passed "
			    "on 1 when it was run again.");
	assert_string_equal(f.suggestions[1], "Ask @tax to make it reliable.");
	f = finding_of("build_failure", "a", NULL);
	assert_false(flakes_explain(&all, &known, a, &f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tests_of_all_jobs_are_collected_once),
		cmocka_unit_test(something_else_makes_them_incomplete),
		cmocka_unit_test(names_say_which_file),
		cmocka_unit_test(only_known_flakes_may_be_tried_again),
		cmocka_unit_test(the_finding_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

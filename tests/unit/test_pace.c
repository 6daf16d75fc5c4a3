#include "dispatcher/pace.h"

#include "unit.h"

static const struct pace_limits usual = { 30000, 5000, 300000 };

static void a_table_of_what_is_known(void **state)
{
	static const struct {
		const char *why;
		struct pace_facts f;
		int64_t ms;
	} cases[] = {
		{ "nothing special", { .budget_left = -1 }, 30000 },
		{ "word was lost", { .gaps = 1, .budget_left = -1 }, 7500 },
		{ "a failure waited for us, but not below the least",
		  { .gaps = 1, .failing = 1, .budget_left = -1 },
		  5000 },
		{ "quiet, just not for long", { .quiet = 19, .budget_left = -1 }, 30000 },
		{ "quiet for long", { .quiet = 20, .budget_left = -1 }, 60000 },
		{ "quiet for ever: no rarer", { .quiet = 100000, .budget_left = -1 }, 60000 },
		{ "half of our hands are busy", { .load = 0.5, .budget_left = -1 }, 60000 },
		{ "all of them, and more than all", { .load = 7, .budget_left = -1 }, 90000 },
		{ "a load of nonsense", { .load = -3, .budget_left = -1 }, 30000 },
		{ "no answer", { .refused = 1, .budget_left = -1 }, 60000 },
		{ "none again", { .refused = 2, .budget_left = -1 }, 120000 },
		{ "none for a year: the most", { .refused = 1000000, .budget_left = -1 }, 300000 },
		{ "no answer counts before what was found earlier",
		  { .refused = 1, .gaps = 9, .failing = 9, .budget_left = -1 },
		  60000 },
		{ "they ask for more than the most",
		  { .refused = 1, .wait_ms = 900000, .budget_left = -1 },
		  900000 },
		{ "they ask for less than we would wait",
		  { .refused = 3, .wait_ms = 1000, .budget_left = -1 },
		  240000 },
		/* 10 calls of half of 100 within an hour: every 12 minutes. */
		{ "little is left",
		  { .calls = 10, .budget_left = 100, .budget_reset_ms = 3600000 },
		  720000 },
		{ "plenty is left",
		  { .calls = 10, .budget_left = 5000, .budget_reset_ms = 3600000 },
		  30000 },
		{ "not enough for one more check",
		  { .calls = 10, .budget_left = 19, .budget_reset_ms = 1800000 },
		  1800000 },
		{ "exactly enough for one",
		  { .calls = 10, .budget_left = 20, .budget_reset_ms = 1800000 },
		  1800000 },
		{ "nothing is left",
		  { .calls = 1, .budget_left = 0, .budget_reset_ms = 600000 },
		  600000 },
		{ "nothing is left, but confirming costs nothing",
		  { .calls = 0, .budget_left = 0, .budget_reset_ms = 600000 },
		  30000 },
		{ "the budget is new already",
		  { .calls = 10, .budget_left = 0, .budget_reset_ms = -5 },
		  30000 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (pace_next_ms(&usual, &cases[i].f) != cases[i].ms)
			fail_msg("%s: %lld ms, not %lld", cases[i].why,
				 (long long)pace_next_ms(&usual, &cases[i].f),
				 (long long)cases[i].ms);
}

static void never_outside_of_the_limits(void **state)
{
	static const struct pace_limits odd = { 1000, 2000, 1500 };
	struct pace_facts f = { .budget_left = -1 };

	UNUSED(state);
	/* Least over most: the least holds. */
	assert_int_equal(pace_next_ms(&odd, &f), 2000);
	for (f.refused = 0; f.refused < 40; f.refused++)
		for (f.gaps = 0; f.gaps < 3; f.gaps++)
			assert_in_range(pace_next_ms(&usual, &f), 5000, 300000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_of_what_is_known),
		cmocka_unit_test(never_outside_of_the_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

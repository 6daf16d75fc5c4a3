#include "ml/belief.h"

#include <math.h>
#include <stdbool.h>

#include "unit.h"

static bool near(double a, double b)
{
	return fabs(a - b) < 1e-9;
}

static void falls_back_to_what_is_less_special(void **state)
{
	static const struct {
		const char *why;
		double prior;
		struct tally_pair category, fingerprint;
		double mean;
	} cases[] = {
		{ "nothing seen", 0.7, { 0, 0 }, { 0, 0 }, 0.7 },
		{ "the category alone", 0.5, { 4, 0 }, { 0, 0 }, 0.75 },
		{ "the fingerprint on top of it", 0.5, { 4, 0 }, { 0, 4 }, 0.375 },
		{ "much seen outweighs the prior", 0.9, { 0, 0 }, { 0, 1000 }, 3.6 / 1004 },
		{ "never certain", 1.0, { 0, 0 }, { 0, 1 }, 0.8 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_case(
			near(belief_mean(cases[i].prior, &cases[i].category, &cases[i].fingerprint),
			     cases[i].mean),
			cases[i].why);
}

/* Quantiles of beta distributions, from summing their densities up. */
static void says_how_sure_it_is(void **state)
{
	static const struct {
		const char *why;
		double prior;
		struct tally_pair seen;
		double low, high;
	} cases[] = {
		{ "Beta(2, 2)", 0.5, { 0, 0 }, 0.1353503, 0.8646497 },
		{ "Beta(3, 2)", 0.5, { 1, 0 }, 0.2486046, 0.9023888 },
		{ "Beta(10, 10)", 0.5, { 8, 8 }, 0.3200865, 0.6799135 },
		{ "Beta(98, 6)", 0.5, { 96, 4 }, 0.9006434, 0.9743288 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		double low, high;

		belief_interval(cases[i].prior, &cases[i].seen, 0.9, &low, &high);
		if (fabs(low - cases[i].low) > 1e-4 || fabs(high - cases[i].high) > 1e-4)
			fail_msg("%s: %.7f to %.7f", cases[i].why, low, high);
	}
}

static void half_is_forgotten_after_a_half_life(void **state)
{
	enum { DAY_MS = 24 * 3600 * 1000 };

	(void)state;
	assert_true(near(belief_decay(0), 1));
	assert_true(near(belief_decay(-5), 1));
	assert_true(near(belief_decay((int64_t)BELIEF_HALF_LIFE_DAYS * DAY_MS), 0.5));
	assert_true(near(belief_decay(2 * (int64_t)BELIEF_HALF_LIFE_DAYS * DAY_MS), 0.25));
}

static void a_try_is_worth_what_it_saves_less_what_it_costs(void **state)
{
	(void)state;
	assert_true(near(belief_value(0.5, 20, 10, 0.1), 9));
	assert_true(belief_value(0.05, 20, 30, 0.1) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(falls_back_to_what_is_less_special),
		cmocka_unit_test(says_how_sure_it_is),
		cmocka_unit_test(half_is_forgotten_after_a_half_life),
		cmocka_unit_test(a_try_is_worth_what_it_saves_less_what_it_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

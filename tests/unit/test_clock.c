#include "core/clock.h"

#include "core/base.h"
#include "tests/unit/unit.h"

static void makes_timevals(void **state)
{
	static const struct {
		const char *why;
		int64_t ms, sec, usec;
	} rows[] = {
		{ "at once", 0, 0, 0 },
		{ "a millisecond", 1, 0, 1000 },
		{ "just below a second", 999, 0, 999000 },
		{ "a second", 1000, 1, 0 },
		{ "more", 61234, 61, 234000 },
		{ "overdue is at once", -1, 0, 0 },
		{ "long overdue too", INT64_MIN, 0, 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct timeval tv = clock_timeval(rows[i].ms);

		assert_case(tv.tv_sec == rows[i].sec && tv.tv_usec == rows[i].usec, rows[i].why);
	}
}

static void units_agree(void **state)
{
	int64_t us = clock_mono_us(), ms = clock_mono_ms(), us2 = clock_mono_us();

	UNUSED(state);
	assert_true(us / 1000 <= ms && ms <= us2 / 1000);
	assert_true(us <= us2);
	/* Written in 2026; a clock before that would be monotonic time by mistake. */
	assert_true(clock_wall_ms() > INT64_C(1767225600000));
	assert_true(clock_wall_ms() < INT64_C(253402300800000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_timevals),
		cmocka_unit_test(units_agree),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}

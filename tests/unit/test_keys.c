#include "core/keys.h"

#include <stdio.h>

#include "unit.h"

static const struct keyspace one = { "local", 1 };
static const struct keyspace many = { "eu", 16 };

static void names_are_the_documented_ones(void **state)
{
	char key[KEY_MAX];

	UNUSED(state);
	key_part(&one, 0, "events", key);
	assert_string_equal(key, "pg:{local:0}:events");
	key_part_of(&many, 7, "run", "github:1:2", key);
	assert_string_equal(key, "pg:{eu:7}:run:github:1:2");
	key_region(&many, "stop", key);
	assert_string_equal(key, "pg:{eu}:stop");
}

/* The partition is part of the data format: these values may never change. */
static void partitions_are_stable(void **state)
{
	UNUSED(state);
	assert_int_equal(key_partition(&one, "github", 186853002), 0);
	assert_int_equal(key_partition(&many, "github", 186853002),
			 key_partition(&many, "github", 186853002));
	assert_int_equal(key_partition(&many, "github", 1), 11);
	assert_int_equal(key_partition(&many, "github", 2), 14);
	assert_int_equal(key_partition(&many, "gitlab", 1), 3);
}

static void run_plan_and_repository_share_a_partition(void **state)
{
	UNUSED(state);
	for (uint64_t repo = 1; repo < 200; repo++) {
		char run[64], plan[96];
		unsigned p = key_partition(&many, "github", repo);

		(void)snprintf(run, sizeof(run), "github:%lu:30433642", (unsigned long)repo);
		(void)snprintf(plan, sizeof(plan), "%s:2", run);
		assert_int_equal(key_partition_of_ref(&many, run), p);
		assert_int_equal(key_partition_of_ref(&many, plan), p);
	}
}

static void repositories_spread_over_partitions(void **state)
{
	unsigned count[16] = { 0 };

	UNUSED(state);
	for (uint64_t repo = 1; repo <= 16000; repo++)
		count[key_partition(&many, "github", repo)]++;
	for (size_t i = 0; i < ARRAY_LEN(count); i++)
		assert_in_range(count[i], 700, 1300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_the_documented_ones),
		cmocka_unit_test(partitions_are_stable),
		cmocka_unit_test(run_plan_and_repository_share_a_partition),
		cmocka_unit_test(repositories_spread_over_partitions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

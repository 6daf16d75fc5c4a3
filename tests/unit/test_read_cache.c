#include "dispatcher/read_cache.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

enum { TTL_MS = 300000 };

static void what_was_stored_is_found(void **state)
{
	OWNED(read_cache_freep) struct read_cache *c = read_cache_new(8, TTL_MS);
	char longest[READ_CACHE_ETAG_MAX], over[READ_CACHE_ETAG_MAX + 1];
	uint32_t note = 9;

	UNUSED(state);
	assert_string_equal(read_cache_find(c, "a", 0, &note), "");
	assert_int_equal(note, 0);
	read_cache_store(c, "a", "W/\"1\"", 3, 0);
	read_cache_store(c, "b", "W/\"2\"", 0, 0);
	assert_string_equal(read_cache_find(c, "a", 1, &note), "W/\"1\"");
	assert_int_equal(note, 3);
	read_cache_store(c, "a", "W/\"3\"", 0, 0);
	assert_string_equal(read_cache_find(c, "a", 1, NULL), "W/\"3\"");
	assert_string_equal(read_cache_find(c, "b", 1, NULL), "W/\"2\"");
	read_cache_forget(c, "a");
	assert_string_equal(read_cache_find(c, "a", 1, NULL), "");
	/* One that does not fit is worth nothing, and replaces what was there. */
	memset(longest, 'e', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	memset(over, 'e', sizeof(over));
	over[sizeof(over) - 1] = '\0';
	read_cache_store(c, "b", longest, 0, 0);
	assert_string_equal(read_cache_find(c, "b", 1, NULL), longest);
	read_cache_store(c, "b", over, 0, 0);
	assert_string_equal(read_cache_find(c, "b", 1, NULL), "");
	read_cache_store(c, "a", "x", 0, 0);
	read_cache_clear(c);
	assert_string_equal(read_cache_find(c, "a", 1, NULL), "");
}

static void an_old_answer_is_read_in_full_once_it_was_of_use(void **state)
{
	OWNED(read_cache_freep) struct read_cache *c = read_cache_new(8, TTL_MS);

	UNUSED(state);
	read_cache_store(c, "often", "x", 0, 0);
	for (int i = 1; i <= 100; i++)
		assert_string_equal(read_cache_find(c, "often", (int64_t)i * TTL_MS / 100, NULL),
				    "x");
	assert_string_equal(read_cache_find(c, "often", TTL_MS + 1, NULL), "");
	/* Asked for once an hour, it lasts for nine of ten reads all the same. */
	read_cache_store(c, "rarely", "x", 0, 0);
	for (int i = 1; i <= 9; i++)
		assert_string_equal(read_cache_find(c, "rarely", i * INT64_C(3600000), NULL), "x");
	assert_string_equal(read_cache_find(c, "rarely", 10 * INT64_C(3600000), NULL), "");
}

static void places_are_limited(void **state)
{
	OWNED(read_cache_freep) struct read_cache *c = read_cache_new(4, TTL_MS);
	char address[16];
	int found = 0;

	UNUSED(state);
	for (int i = 0; i < 10; i++) {
		(void)snprintf(address, sizeof(address), "%d", i);
		read_cache_store(c, address, "x", 0, 0);
	}
	for (int i = 0; i < 10; i++) {
		(void)snprintf(address, sizeof(address), "%d", i);
		found += *read_cache_find(c, address, 1, NULL) != '\0';
	}
	assert_int_equal(found, 4);
	assert_string_equal(read_cache_find(c, "9", 1, NULL), "x");
}

static void the_rate_is_of_the_last_reads(void **state)
{
	OWNED(read_cache_freep) struct read_cache *c = read_cache_new(4, TTL_MS);

	UNUSED(state);
	assert_true(read_cache_hit_rate(c) < 0);
	read_cache_count(c, false);
	assert_true(read_cache_hit_rate(c) < 0.01);
	read_cache_count(c, true);
	assert_true(read_cache_hit_rate(c) > 0.49 && read_cache_hit_rate(c) < 0.51);
	for (int i = 0; i < 256; i++)
		read_cache_count(c, true);
	assert_true(read_cache_hit_rate(c) > 0.99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_stored_is_found),
		cmocka_unit_test(an_old_answer_is_read_in_full_once_it_was_of_use),
		cmocka_unit_test(places_are_limited),
		cmocka_unit_test(the_rate_is_of_the_last_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

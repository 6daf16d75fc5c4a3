#include "core/rule_trust.h"

#include <math.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "unit.h"

static const int64_t now_ms = INT64_C(1795600000000);

/* Quantiles of Beta(1 + right, 1 + wrong), from tables. */
static void the_bounds_are_those_of_the_posterior(void **state)
{
	static const struct {
		double right, wrong, mean, low, high;
	} rows[] = {
		{ 0, 0, 0.5, 0.05, 0.95 },
		{ 0, 8, 0.1, 0.005683, 0.283129 },
		{ 8, 0, 0.9, 0.716871, 0.994317 },
		{ 3, 3, 0.5, 0.225321, 0.774679 },
		{ 90, 10, 0.892157, 0.838115, 0.937690 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct trust t = { rows[i].right, rows[i].wrong };
		double low, high;

		trust_bounds(&t, &low, &high);
		assert_true(fabs(trust_mean(&t) - rows[i].mean) < 1e-5);
		if (fabs(low - rows[i].low) > 1e-3 || fabs(high - rows[i].high) > 1e-3)
			fail_msg("row %zu: %.6f to %.6f", i, low, high);
	}
}

static void only_what_keeps_being_wrong_is_demoted(void **state)
{
	static const struct {
		enum trust_kind kind;
		double right, wrong;
		bool demoted;
	} rows[] = {
		{ TRUST_CATEGORY, 0, 0, false },    { TRUST_CATEGORY, 0, 3, false },
		{ TRUST_CATEGORY, 0, 4, true },     { TRUST_CATEGORY, 4, 4, false },
		{ TRUST_CATEGORY, 1, 4, false },    { TRUST_CATEGORY, 2, 12, true },
		{ TRUST_TRANSIENT, 0, 7, false },   { TRUST_TRANSIENT, 0, 8, true },
		{ TRUST_TRANSIENT, 5, 8, false },   { TRUST_TRANSIENT, 1, 8, false },
		{ TRUST_TRANSIENT, 10, 100, true }, { TRUST_TRANSIENT, 40, 60, false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct trust t = { rows[i].right, rows[i].wrong };

		if (trust_is_demoted(rows[i].kind, &t) != rows[i].demoted)
			fail_msg("row %zu", i);
	}
}

static struct trust_book *read_fields(const char *const *texts, size_t n)
{
	redisReply parts[16], *at[16];
	redisReply whole = { .type = REDIS_REPLY_ARRAY, .elements = n, .element = at };

	for (size_t i = 0; i < n; i++) {
		char *text = (char *)(uintptr_t)texts[i];

		parts[i] = (redisReply){ .type = REDIS_REPLY_STRING,
					 .str = text,
					 .len = strlen(text) };
		at[i] = &parts[i];
	}
	return trust_book_read(&whole, now_ms);
}

static void old_answers_count_less(void **state)
{
	static const char *const fields[] = {
		"category:tax",      "4 2 1795600000000", "transient:tax",
		"0 8 1794390400000", "transient:vat",     "1 1 1795700000000",
	};
	OWNED(trust_book_freep) struct trust_book *book = read_fields(fields, ARRAY_LEN(fields));
	const struct trust_entry *tax = trust_book_find(book, "tax");
	const struct trust_entry *vat = trust_book_find(book, "vat");

	UNUSED(state);
	assert_int_equal(book->n, 2);
	assert_true(fabs(tax->trust[TRUST_CATEGORY].right - 4) < 1e-6);
	assert_true(fabs(tax->trust[TRUST_CATEGORY].wrong - 2) < 1e-6);
	assert_true(fabs(tax->trust[TRUST_TRANSIENT].wrong - 4) < 1e-6); /* 14 days ago */
	assert_true(fabs(vat->trust[TRUST_TRANSIENT].wrong - 1) < 1e-6); /* clocks differ */
	assert_null(trust_book_find(book, "nobody"));
	assert_null(trust_book_find(NULL, "tax"));
}

static void what_cannot_be_read_is_left_out(void **state)
{
	static const char *const fields[] = {
		"category:a",  "",           "category:b", "1 2",       "category:c",
		"x y z",       "category:d", "-1 2 3",     "nonsense",  "1 1 1",
		"transient:e", "1 nan 1",    "category:f", "1 1e300 1",
	};
	OWNED(trust_book_freep) struct trust_book *book = read_fields(fields, ARRAY_LEN(fields));

	UNUSED(state);
	for (size_t i = 0; i < book->n; i++)
		fail_msg("%s was read", book->at[i].rule);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bounds_are_those_of_the_posterior),
		cmocka_unit_test(only_what_keeps_being_wrong_is_demoted),
		cmocka_unit_test(old_answers_count_less),
		cmocka_unit_test(what_cannot_be_read_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

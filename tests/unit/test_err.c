#include "core/err.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static void setting_is_a_whole_error_path(void **state)
{
	struct err err = { 0 };

	UNUSED(state);
	assert_int_equal(err_set(&err, ERR_INPUT, "line %d: %s", 3, "odd"), -1);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_string_equal(err.msg, "line 3: odd");
	assert_int_equal(err_set(&err, ERR_BUG, "%s", ""), -1);
	assert_string_equal(err.msg, "");
}

static void wrapping_adds_context_and_keeps_the_kind(void **state)
{
	struct err err = { 0 };

	UNUSED(state);
	(void)err_set(&err, ERR_TRANSIENT, "refused");
	assert_int_equal(err_wrap(&err, "%s:%d", "host", 1), -1);
	assert_int_equal(err_wrap(&err, "job"), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_string_equal(err.msg, "job: host:1: refused");
}

/* Of a long chain the outermost context matters most: what is cut is the end. */
static void cuts_the_end_of_what_is_too_long(void **state)
{
	enum { MAX = sizeof(((struct err *)0)->msg) - 1 };
	static const struct {
		const char *why;
		size_t context, message, len;
		char last;
	} rows[] = {
		{ "fits exactly", 10, MAX - 12, MAX, 'm' },
		{ "one too many", 10, MAX - 11, MAX, 'm' },
		{ "one byte of the message is left", MAX - 3, 5, MAX, 'm' },
		{ "only the colon and the space fit", MAX - 2, 5, MAX, ' ' },
		{ "context for the whole message", MAX - 1, 5, MAX - 1, 'c' },
		{ "a context as long as it gets", MAX, 5, MAX, 'c' },
		{ "a context that is too long itself", MAX + 50, 5, MAX, 'c' },
	};
	char context[400], message[400];

	UNUSED(state);
	memset(context, 'c', sizeof(context));
	memset(message, 'm', sizeof(message));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct {
			struct err err;
			char guard[8];
		} s = { .guard = "intact" };
		size_t n;

		(void)err_set(&s.err, ERR_INPUT, "%.*s", (int)rows[i].message, message);
		(void)err_wrap(&s.err, "%.*s", (int)rows[i].context, context);
		n = strnlen(s.err.msg, sizeof(s.err.msg));
		assert_case(n == rows[i].len, rows[i].why);
		assert_case(s.err.msg[n - 1] == rows[i].last, rows[i].why);
		assert_case(s.err.msg[0] == 'c', rows[i].why);
		assert_case(strcmp(s.guard, "intact") == 0, rows[i].why);
	}
	{
		struct err err;

		(void)err_set(&err, ERR_INPUT, "%.*s", MAX + 1, message);
		assert_int_equal(strlen(err.msg), MAX);
	}
}

static void kinds_have_names(void **state)
{
	UNUSED(state);
	assert_string_equal(err_kind_name(ERR_NONE), "none");
	assert_string_equal(err_kind_name(ERR_TRANSIENT), "transient");
	assert_string_equal(err_kind_name(ERR_INPUT), "input");
	assert_string_equal(err_kind_name(ERR_CONFIG), "config");
	assert_string_equal(err_kind_name(ERR_BUG), "bug");
	assert_string_equal(err_kind_name((enum err_kind)99), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(setting_is_a_whole_error_path),
		cmocka_unit_test(wrapping_adds_context_and_keeps_the_kind),
		cmocka_unit_test(cuts_the_end_of_what_is_too_long),
		cmocka_unit_test(kinds_have_names),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}

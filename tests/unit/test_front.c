#include "dispatcher/front.h"

#include <string.h>

#include "core/mem.h"
#include "dispatcher/literals.h"
#include "unit.h"

/* Whether a match may begin as the line does, as far as both go. */
static bool may_begin(const char *regex, const char *line)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	const struct front *f = front_of(regex, a);
	size_t n = strlen(line), shortest = (size_t)__builtin_ctz(f->lengths);

	f = front_joined(a, f, front_any(a));
	for (size_t i = 0; i < n && i < FRONT_BYTES; i++)
		if (!byte_set_has(&f->places[i], (unsigned char)line[i]))
			return false;
	return n >= shortest;
}

static void says_how_a_line_may_begin(void **state)
{
	static const struct {
		const char *regex, *line;
		bool may;
	} rows[] = {
		{ "^tax", "tax: 7", true },
		{ "^tax", "ta", false }, /* too short */
		{ "^tax", "tex: 7", false },
		{ "^tax", "TAX: 7", false },
		{ "(?i)^tax", "TAX: 7", true },
		{ "^\\d{1,3}\\) ", "12) tax", true },
		{ "^\\d{1,3}\\) ", "123) ", true },
		{ "^\\d{1,3}\\) ", "12x) ", false },
		{ "^\\d{1,3}\\) ", "1", false },
		{ "^(no|bad) rate", "bad rate", true },
		{ "^(no|bad) rate", "no rate", true },
		{ "^(no|bad) rate", "nad rate", true }, /* places are kept apart */
		{ "^(no|bad) rate", "red rate", false },
		{ "^x?y", "y", true },
		{ "^x*y{2}", "xxyy", true },
		{ "^x*y{2}", "xzyy", false },
		{ "^x{3,}y", "xxy", false },
		{ "^x{3,}y", "xxxxxxxxxxxxxxxxxxxxy", true },
		{ "^x{20}y", "xxxxxxxxxxxxxxxxxxxxy", true },
		{ "^x{20}y", "xxxx", false },
		{ "^[^ x-z]+: ", "rate: ", true },
		{ "^[^ x-z]+: ", " rate: ", false },
		{ "^(?!q)(?=t)tax\\b", "tax", true }, /* looking takes no place */
		{ "^.\\.", "x.", true },
		{ "^.\\.", "\n.", false },
		{ "^a\\1x", "abcx", true },     /* anything */
		{ "^\\Qtax\\E", "rate", true }, /* not understood */
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_case(may_begin(rows[i].regex, rows[i].line) == rows[i].may, rows[i].line);
}

static void a_beginning_that_tells_more_counts_more(void **state)
{
	static const char *const rows[] = { "^.*", "^\\S{1,9}", "^\\d+: ", "^7: ", "^not ok 7: " };
	OWNED(arena_freep) struct arena *a = arena_new();
	unsigned last = 0;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned tells = front_tells(front_joined(a, front_of(rows[i], a), front_any(a)));

		assert_case(i == 0 ? tells == 0 : tells >= last, rows[i]);
		last = tells;
	}
	assert_true(last > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_how_a_line_may_begin),
		cmocka_unit_test(a_beginning_that_tells_more_counts_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "core/flake.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "unit.h"

#define MARK(result, greens, commit) \
	"[\"" result "\"," #greens ",\"" commit "\",1000,\"1.1\",6,\"main\"]"
#define RECORD(history)                                                                           \
	"{\"first_ms\":5,\"last_ms\":9,\"lost_s\":90,\"framework\":\"pytest\",\"file\":\"a.py\"," \
	"\"owner\":\"@tax\",\"history\":[" history "]}"

static struct flake read_one(const char *text, uint64_t greens, struct arena *a)
{
	struct flake f;

	if (!flake_read("t", text, greens, a, &f))
		fail_msg("not read: %s", text);
	return f;
}

static void a_test_that_fails_and_passes_on_one_commit_is_flaky(void **state)
{
	static const struct {
		const char *why, *text;
		uint64_t greens, runs;
		unsigned failures, failed, healed;
		double flips, confidence;
	} cases[] = {
		{ "failed once", RECORD(MARK("F", 3, "aa")), 3, 1, 1, 1, 0, 0, 0 },
		{ "mended by another commit", RECORD(MARK("F", 3, "aa") "," MARK("P", 4, "bb")), 4,
		  2, 1, 1, 0, 1, 0 },
		{ "healed", RECORD(MARK("F", 3, "aa") "," MARK("P", 4, "aa")), 4, 2, 1, 1, 1, 1,
		  2 / 3.0 },
		{ "healed, and many passes since",
		  RECORD(MARK("F", 3, "aa") "," MARK("P", 4, "aa")), 13, 11, 1, 1, 1, 0.1,
		  2 / 3.0 },
		{ "failed twice before it healed",
		  RECORD(MARK("F", 0, "aa") "," MARK("F", 0, "aa") "," MARK("P", 1, "aa")), 1, 3, 2,
		  1, 1, 0.5, 2 / 3.0 },
		{ "healed once of two",
		  RECORD(MARK("F", 0, "aa") "," MARK("P", 1, "aa") "," MARK("F", 5, "bb")), 5, 7, 2,
		  2, 1, 2 / 6.0, 0.5 },
		{ "passes of other commits between two failures",
		  RECORD(MARK("F", 0, "aa") "," MARK("F", 2, "bb")), 2, 4, 2, 2, 0, 2 / 3.0, 0 },
		{ "without a commit nothing is proved",
		  RECORD(MARK("F", 0, "") "," MARK("P", 1, "")), 1, 2, 1, 0, 0, 1, 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		struct flake f = read_one(cases[i].text, cases[i].greens, a);

		if (f.failures != cases[i].failures || f.runs != cases[i].runs ||
		    f.failed_commits != cases[i].failed || f.healed_commits != cases[i].healed ||
		    fabs(f.flip_rate - cases[i].flips) > 1e-9 ||
		    fabs(f.confidence - cases[i].confidence) > 1e-9 ||
		    f.flaky != (cases[i].healed > 0))
			fail_msg("row \"%s\": %u failures of %llu runs, %u of %u healed, %f, %f",
				 cases[i].why, f.failures, (unsigned long long)f.runs,
				 f.healed_commits, f.failed_commits, f.flip_rate, f.confidence);
	}
}

/* It has just failed there: how that ends is not known. */
static void the_commit_at_hand_does_not_count_against_it(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct flake f = read_one(
		RECORD(MARK("F", 0, "aa") "," MARK("P", 1, "aa") "," MARK("F", 1, "bb")), 1, a);

	UNUSED(state);
	assert_int_equal(f.failed_commits, 2);
	flake_judge(&f, "bb", 1);
	assert_int_equal(f.failed_commits, 1);
	assert_true(fabs(f.confidence - 2 / 3.0) < 1e-9);
	flake_judge(&f, "aa", 1);
	assert_int_equal(f.failed_commits, 2);
}

static void what_is_no_record_is_not_read(void **state)
{
	static const char *const texts[] = { "", "{}", "[]", "7", "{\"history\":7}", "x" };
	OWNED(arena_freep) struct arena *a = arena_new();
	struct flake f;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_case(!flake_read("t", texts[i], 0, a, &f), texts[i]);
	f = read_one("{\"history\":[7,[],[\"F\"],[null,1,\"a\",1],[\"F\",-1,\"a\",1],"
		     "[\"F\",1,null,1]]}",
		     9, a);
	assert_int_equal(f.n, 1);
	assert_string_equal(f.history[0].commit, "");
	assert_string_equal(f.owner, "");
}

static void the_history_is_bounded(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	char *text = arena_strdup(a, "");

	UNUSED(state);
	for (unsigned i = 0; i < FLAKE_HISTORY_MAX + 5; i++)
		text = arena_printf(a, "%s%s" MARK("F", 1, "aa"), text, i ? "," : "");
	assert_int_equal(read_one(arena_printf(a, RECORD("%s"), text), 1, a).n, FLAKE_HISTORY_MAX);
}

static void it_is_shown_as_json(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct flake f = read_one(RECORD(MARK("F", 3, "aa") "," MARK("P", 4, "aa")), 4, a);
	OWNED(json_putp) struct json_object *o = flake_to_json(&f);

	UNUSED(state);
	assert_string_equal(
		json_text(o),
		"{\"source\":\"\",\"repo\":\"\",\"pipeline\":\"\",\"test\":\"t\",\"framework\":"
		"\"pytest\",\"file\":\"a.py\",\"owner\":\"@tax\","
		"\"flaky\":true,\"confidence\":0.667,\"flip_rate\":1.0,\"failures\":1,\"runs\":2,"
		"\"failed_commits\":1,\"healed_commits\":1,\"lost_minutes\":1.5,\"first_ms\":5,"
		"\"last_ms\":9,\"history\":[{\"result\":\"fail\",\"commit\":\"aa\",\"at_ms\":1000},"
		"{\"result\":\"pass\",\"commit\":\"aa\",\"at_ms\":1000}]}");
}

static void the_worst_come_first(void **state)
{
	struct flake x = { .flaky = true, .lost_minutes = 1 }, y = { .lost_minutes = 5 };

	UNUSED(state);
	assert_true(flake_compare(&x, &y) < 0);
	y.flaky = true;
	assert_true(flake_compare(&x, &y) > 0);
	x.lost_minutes = 5;
	x.last_ms = 7;
	assert_true(flake_compare(&x, &y) < 0);
	y.last_ms = 7;
	assert_int_equal(flake_compare(&x, &y), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_test_that_fails_and_passes_on_one_commit_is_flaky),
		cmocka_unit_test(the_commit_at_hand_does_not_count_against_it),
		cmocka_unit_test(what_is_no_record_is_not_read),
		cmocka_unit_test(the_history_is_bounded),
		cmocka_unit_test(it_is_shown_as_json),
		cmocka_unit_test(the_worst_come_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

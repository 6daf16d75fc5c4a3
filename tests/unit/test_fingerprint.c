#include "dispatcher/fingerprint.h"

#include <string.h>

#include "unit.h"

static const char *of(const char *line, char out[static FINGERPRINT_HEX + 1])
{
	fingerprint_of("test_failure", &line, 1, out);
	return out;
}

static void the_same_failure_elsewhere_has_the_same_fingerprint(void **state)
{
	static const struct {
		const char *why, *one, *other;
	} cases[] = {
		{ "numbers", "expected 7 but was 8", "expected 70 but was 123" },
		{ "line and column", "tax.c:42:17: error: no rate", "tax.c:7:1: error: no rate" },
		{ "directories", "/home/ci/w/tax.c: no rate", "/builds/9/x/y/tax.c: no rate" },
		{ "windows directories", "C:\\w\\tax.c: no rate", "D:\\a\\b\\tax.c: no rate" },
		{ "times", "failed at 2026-03-01T10:11:12Z", "failed at 2025-12-31T23:59:59Z" },
		{ "durations", "gave up after 1.25 s", "gave up after 300 s" },
		{ "commits", "at 0123456789abcdef", "at fedcba9876543210fedcba98" },
		{ "addresses", "crash at 0x7ffdeadbeef0", "crash at 0x55aa" },
		{ "uuids", "id 123e4567-e89b-12d3-a456-426614174000 gone",
		  "id ffffffff-0000-4d4d-9a9a-0123456789ab gone" },
		{ "ports and hosts by number", "10.0.0.7:5432 refused",
		  "192.168.1.20:6379 refused" },
		{ "indentation", "  no   rate", "\tno rate" },
	};
	char a[FINGERPRINT_HEX + 1], b[FINGERPRINT_HEX + 1];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_case(strcmp(of(cases[i].one, a), of(cases[i].other, b)) == 0, cases[i].why);
}

static void different_failures_differ(void **state)
{
	static const struct {
		const char *why, *one, *other;
	} cases[] = {
		{ "files", "src/tax.c:1: error: x", "src/cart.c:1: error: x" },
		{ "messages", "tax.c:1: error: no rate", "tax.c:1: error: no price" },
		{ "hosts", "could not resolve repo.example.org",
		  "could not resolve git.example.org" },
		{ "tests", "ShopTest.addsTax", "ShopTest.addsRebate" },
		{ "a word that could be hex", "no facade", "no decade" },
	};
	char a[FINGERPRINT_HEX + 1], b[FINGERPRINT_HEX + 1];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_case(strcmp(of(cases[i].one, a), of(cases[i].other, b)) != 0, cases[i].why);
}

static void category_and_every_line_count(void **state)
{
	const char *ab[] = { "a", "b" }, *ac[] = { "a", "c" }, *joined[] = { "ab" };
	char one[FINGERPRINT_HEX + 1], other[FINGERPRINT_HEX + 1];

	UNUSED(state);
	fingerprint_of("test_failure", ab, 2, one);
	assert_int_equal(strlen(one), FINGERPRINT_HEX);
	assert_int_equal(strspn(one, "0123456789abcdef"), FINGERPRINT_HEX);
	fingerprint_of("build_failure", ab, 2, other);
	assert_string_not_equal(one, other);
	fingerprint_of("test_failure", ac, 2, other);
	assert_string_not_equal(one, other);
	fingerprint_of("test_failure", joined, 1, other);
	assert_string_not_equal(one, other);
}

/* One that changes with a version of ours would split every group: pinned. */
static void it_never_changes(void **state)
{
	char out[FINGERPRINT_HEX + 1], text[FINGERPRINT_LINE_MAX];

	UNUSED(state);
	(void)fingerprint_normalise("/w/tax.c:42:17: error: got 7 at 0x7f00, id 0123abcd", text);
	assert_string_equal(text, "tax.c:N: error: got N at H, id H");
	assert_string_equal(of("/w/tax.c:42:17: error: no rate", out), "347c486e1ff56a2c");
}

static void a_long_line_is_cut(void **state)
{
	char line[3 * FINGERPRINT_LINE_MAX], out[FINGERPRINT_LINE_MAX];

	UNUSED(state);
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(fingerprint_normalise(line, out), FINGERPRINT_LINE_MAX - 1);
	assert_int_equal(strlen(out), FINGERPRINT_LINE_MAX - 1);
	assert_int_equal(fingerprint_normalise("", out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_failure_elsewhere_has_the_same_fingerprint),
		cmocka_unit_test(different_failures_differ),
		cmocka_unit_test(category_and_every_line_count),
		cmocka_unit_test(it_never_changes),
		cmocka_unit_test(a_long_line_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

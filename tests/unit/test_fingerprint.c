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
		{ "units", "gave up after 1m 23s", "gave up after 45 seconds" },
		{ "sizes", "needs 12.5 GB here", "needs 980 MB here" },
		{ "shares", "93.4% of disk", "100 % of disk" },
		{ "months and days", "at Mon, 02 Jan 2026 10:00:00",
		  "at Tue, 13 Oct 2026 1:22:33" },
		{ "dates of logs", "Nov 25 10:00:01 ci tax: died", "Dec 1 23:59:59 ci tax: died" },
		{ "temporary folders", "cannot open /tmp/tmp.aB3xYz9QwE",
		  "cannot open /tmp/go-buildKx" },
		{ "files in them", "/tmp/tmp.aB3x/src/tax.c: no rate",
		  "/tmp/q9/src/tax.c: no rate" },
		{ "containers", "container 3f4a9c0b1d2e died", "container 0a1b2c3d4e5f died" },
		{ "pods", "pod web-7d4b9c6f58-x2k8p gone", "pod web-5c6d7e8f90-q9w1z gone" },
		{ "refs", "refs/heads/feature/tax not found", "refs/heads/fix-9 not found" },
		{ "branches", "fatal: Remote branch feature/tax not found",
		  "fatal: Remote branch fix-vat not found" },
		{ "quoted branches", "branch 'a/b' is behind", "branch 'main' is behind" },
		{ "ports", "listen tcp :43211: in use", "listen tcp :8080: in use" },
		{ "job numbers", "job #1234 of 99 failed", "job #7 of 8 failed" },
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
		{ "a word that could be a day", "sun is down", "mon is down" },
		{ "a word that begins as a unit", "got 3 messages", "got 3 samples" },
		{ "versions of words", "utf8 is wrong", "utf16le is wrong" },
		{ "files of one folder", "/tmp/x/tax.c: no", "/tmp/x/vat.c: no" },
		{ "commands", "branch of tax", "trunk of tax" },
		{ "packages", "cannot find log4j", "cannot find slf4j" },
	};
	char a[FINGERPRINT_HEX + 1], b[FINGERPRINT_HEX + 1];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_case(strcmp(of(cases[i].one, a), of(cases[i].other, b)) != 0, cases[i].why);
}

static void the_telling_line_is_the_last_that_speaks_of_trouble(void **state)
{
	static const struct {
		const char *why, *lines[4];
		size_t n, telling;
	} cases[] = {
		{ "one line", { "done" }, 1, 0 },
		{ "the trouble", { "error: no rate", "cleaning up", "bye" }, 3, 0 },
		{ "the last trouble", { "error: no rate", "ERROR: no tax", "bye" }, 3, 1 },
		{ "an exit status is none",
		  { "cannot pay", "Process completed with exit code 1.", "Error: exit status 1" },
		  3,
		  0 },
		{ "no trouble at all", { "cannot pay", "0 errors, 0 failures", "no error" }, 3, 0 },
		{ "a number of them", { "10 errors found", "bye" }, 2, 0 },
		{ "a name", { "cannot pay", "test handles_errors ... ok" }, 2, 0 },
		{ "nothing speaks of it", { "a", "b" }, 2, 1 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_case(fingerprint_telling(cases[i].lines, cases[i].n) == cases[i].telling,
			    cases[i].why);
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
		cmocka_unit_test(the_telling_line_is_the_last_that_speaks_of_trouble),
		cmocka_unit_test(category_and_every_line_count),
		cmocka_unit_test(it_never_changes),
		cmocka_unit_test(a_long_line_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

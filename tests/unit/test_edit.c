#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/finding.h"
#include "healers/edit.h"
#include "healers/propose.h"

static struct finding finding_of(const char *line, const char *test)
{
	struct finding f;

	finding_init(&f);
	f.evidence[0] = (struct finding_line){ 1, "make: *** [test] Error 1" };
	f.evidence[1] = (struct finding_line){ 2, line };
	f.n_evidence = 2;
	if (test) {
		f.failed_tests[0] = test;
		f.n_failed_tests = 1;
		f.test_framework = "pytest";
	}
	return f;
}

static void expect(const struct edit *edit, const struct edit_facts *facts, const char *path,
		   const char *before, const char *after, const char *what)
{
	const struct edit_file f = { path, before, before ? strlen(before) : 0 };
	struct edit_result r = { .what = "" };
	bool changed;

	buf_init(&r.text, 1 << 16);
	changed = edit->fits(facts) && edit->apply(facts, &f, &r);
	if (changed != (after != NULL))
		fail_msg("%s: \"%s\" became \"%s\"", path, before, buf_text(&r.text));
	if (after)
		assert_string_equal(buf_text(&r.text), after);
	if (after && what)
		assert_string_equal(r.what, what);
	buf_done(&r.text);
}

/* --- bump_timeout ---------------------------------------------------------------------------- */

static void raises_the_limit_that_the_log_names(void **state)
{
	static const struct {
		const char *line, *path, *before, *after, *what;
	} rows[] = {
		{ "E       Failed: Timeout >30.0s", "pytest.ini",
		  "[pytest]\nfaulthandler_timeout = 30\ntimeout = 30\n",
		  "[pytest]\nfaulthandler_timeout = 30\ntimeout = 60\n",
		  "Raise timeout in pytest.ini from 30 to 60" },
		{ "E  Failed: Timeout (>1.5s) from pytest-timeout.", "setup.cfg",
		  "[tool:pytest]\r\ntimeout=1.5\r\n", "[tool:pytest]\r\ntimeout=3\r\n", NULL },
		{ "thrown: \"Exceeded timeout of 5000 ms for a test.", "jest.config.js",
		  "module.exports = {\n  // testTimeout: 5000 is too little\n  testTimeout: "
		  "5000,\n}",
		  "module.exports = {\n  // testTimeout: 5000 is too little\n  testTimeout: "
		  "10000,\n}",
		  "Raise testTimeout in jest.config.js from 5000 to 10000" },
		{ "Exceeded timeout of 5000 ms for a hook", "package.json",
		  "{\"jest\":{\"testTimeout\": 5000}}", "{\"jest\":{\"testTimeout\": 10000}}",
		  NULL },
		{ "Error: Timeout of 2000ms exceeded. For async tests", ".mocharc.yml",
		  "timeout: 2000\n", "timeout: 4000\n", NULL },
		{ "Error: Timeout of 2000ms exceeded.", ".mocharc.yml", "timeout: '2s'\n",
		  "timeout: '4s'\n", NULL },
		{ "Error: Test timed out in 5000ms.", "vitest.config.ts",
		  "test: { testTimeout: 5000 }", "test: { testTimeout: 10000 }", NULL },
		{ "    Test timeout of 30000ms exceeded.", "playwright.config.ts",
		  "expect: { timeout: 5000 },\n timeout: 30000,",
		  "expect: { timeout: 5000 },\n "
		  "timeout: 60000,",
		  NULL },
		{ "CypressError: Timed out retrying after 4000ms: x", "cypress.config.js",
		  "defaultCommandTimeout: 4000,", "defaultCommandTimeout: 8000,", NULL },
		{ "panic: test timed out after 2m0s", "Makefile",
		  "test:\n\tgo test -timeout 2m ./...\n", "test:\n\tgo test -timeout 4m ./...\n",
		  "Raise -timeout in Makefile from 2 to 4" },
		{ "panic: test timed out after 30s", "Makefile", "\tgo test -timeout=30s ./...\n",
		  "\tgo test -timeout=60s ./...\n", NULL },
		{ "The job running on runner x has exceeded the maximum execution time of 30 "
		  "minutes.",
		  ".github/workflows/ci.yml", "    timeout-minutes: 30\n",
		  "    timeout-minutes: 60\n", NULL },
		{ "ERROR: Job failed: execution took longer than 1h0m0s seconds", ".gitlab-ci.yml",
		  "unit:\n  timeout: 1 hour\n", "unit:\n  timeout: 2 hour\n", NULL },
	};
	static const struct propose_rules rules = { .ci_files = true };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct finding f = finding_of(rows[i].line, NULL);
		const struct edit_facts facts = { &f, &rules, rows[i].path };

		expect(&edit_bump_timeout, &facts, rows[i].path, rows[i].before, rows[i].after,
		       rows[i].what);
	}
}

static void leaves_alone_what_it_is_not_sure_of(void **state)
{
	static const struct {
		const char *why, *line, *text;
	} rows[] = {
		{ "another number", "Failed: Timeout >30.0s", "timeout = 31\n" },
		{ "twice the same", "Failed: Timeout >30.0s", "timeout = 30\n[x]\ntimeout = 30\n" },
		{ "another key", "Failed: Timeout >30.0s", "session_timeout = 30\n" },
		{ "a longer key", "Failed: Timeout >30.0s", "timeout_method = 30\n" },
		{ "a comment", "Failed: Timeout >30.0s", "# timeout = 30\n" },
		{ "a comment of ini", "Failed: Timeout >30.0s", "; timeout = 30\n" },
		{ "a longer number", "Failed: Timeout >30.0s", "timeout = 300\n" },
		{ "an expression", "Failed: Timeout >30.0s", "timeout = 30x\n" },
		{ "no number at all", "Failed: Timeout >30.0s", "timeout = thirty\n" },
		{ "of parts", "panic: test timed out after 1m30s", "go test -timeout 1m30s\n" },
		{ "no file", "Failed: Timeout >30.0s", NULL },
		{ "an empty file", "Failed: Timeout >30.0s", "" },
		{ "over what is sane", "Failed: Timeout >3000.0s", "timeout = 3000\n" },
		{ "nothing exceeded", "AssertionError: timeout = 30", "timeout = 30\n" },
		{ "no number in the log", "Failed: Timeout >s", "timeout = 30\n" },
		{ "a huge number", "Failed: Timeout >99999999999999999999s", "timeout = 30\n" },
		{ "zero", "Failed: Timeout >0s", "timeout = 0\n" },
	};
	static const struct propose_rules rules = { 0 };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct finding f = finding_of(rows[i].line, NULL);
		const struct edit_facts facts = { &f, &rules, "" };

		expect(&edit_bump_timeout, &facts, rows[i].why, rows[i].text, NULL, NULL);
	}
}

static void limits_of_jobs_are_for_policies_that_allow_it(void **state)
{
	static const struct propose_rules no = { 0 }, yes = { .ci_files = true };
	struct finding f =
		finding_of("The job has exceeded the maximum execution time of 30 minutes.", NULL);
	char path[CHANGE_PATH_MAX];

	UNUSED(state);
	assert_false(edit_bump_timeout.fits(&(struct edit_facts){ &f, &no, "" }));
	assert_true(edit_bump_timeout.fits(&(struct edit_facts){ &f, &yes, "" }));
	assert_string_equal(
		edit_bump_timeout.file(&(struct edit_facts){ &f, &yes, ".github/workflows/a.yml" },
				       0, path),
		".github/workflows/a.yml");
	assert_string_equal(edit_bump_timeout.file(&(struct edit_facts){ &f, &yes, "" }, 0, path),
			    "");
	assert_null(edit_bump_timeout.file(&(struct edit_facts){ &f, &yes, "" }, 1, path));
}

/* --- use_mirror ---------------------------------------------------------------------------------
 */

static const char *const mirrors[] = { "packages.example.org https://npm.acme.org/npm",
				       "wheels.example.org https://pypi.acme.org/" };
static const struct propose_rules mirrored = { .mirrors = mirrors, .n_mirrors = 2 };

static void names_the_mirror_instead(void **state)
{
	static const struct {
		const char *line, *path, *before, *after;
	} rows[] = {
		{ "npm ERR! network request to https://packages.example.org/left-pad failed",
		  ".npmrc", "registry=https://packages.example.org/\nx=y\n",
		  "registry=https://npm.acme.org/npm/\nx=y\n" },
		{ "npm ERR! getaddrinfo ENOTFOUND packages.example.org", ".npmrc", NULL,
		  "registry=https://npm.acme.org/npm/\n" },
		{ "npm ERR! getaddrinfo ENOTFOUND packages.example.org.", ".npmrc",
		  "save-exact=true\n", "registry=https://npm.acme.org/npm/\nsave-exact=true\n" },
		{ "npm ERR! getaddrinfo ENOTFOUND packages.example.org", ".npmrc",
		  "registry=https://other.acme.org/\n", NULL },
		{ "npm ERR! getaddrinfo ENOTFOUND packages.example.org", ".yarnrc.yml",
		  "npmRegistryServer: \"https://packages.example.org\"\n",
		  "npmRegistryServer: \"https://npm.acme.org/npm\"\n" },
		{ "npm ERR! getaddrinfo ENOTFOUND packages.example.org", ".yarnrc.yml",
		  "a: https://packages.example.org:8443/\nb: xpackages.example.org\n"
		  "c: https://packages.example.org.evil.example/\n",
		  NULL },
		{ "Could not fetch URL https://wheels.example.org/simple/x/: timed out",
		  "requirements.txt", "requests==2\n",
		  "--index-url https://pypi.acme.org/simple\nrequests==2\n" },
		{ "Could not fetch URL https://wheels.example.org/simple/x/: timed out",
		  "requirements.txt",
		  "--index-url https://wheels.example.org/simple\nrequests==2\n",
		  "--index-url https://pypi.acme.org/simple\nrequests==2\n" },
		{ "Could not fetch URL https://wheels.example.org/simple/x/", "requirements.txt",
		  NULL, NULL },
		{ "could not resolve repo.maven.apache.org", "pom.xml",
		  "<url>https://packages.example.org</url>", NULL },
		{ "notpackages.example.org failed, and packages.example.org.acme.org, too",
		  ".npmrc", "registry=https://packages.example.org/\n", NULL },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct finding f = finding_of(rows[i].line, NULL);
		const struct edit_facts facts = { &f, &mirrored, "" };

		expect(&edit_use_mirror, &facts, rows[i].path, rows[i].before, rows[i].after, NULL);
	}
}

static void a_mirror_is_a_host_and_a_url(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "wheels.example.org https://pypi.acme.org", true },
		{ "wheels.example.org  http://10.0.0.7:8081/simple/", true },
		{ "wheels.example.org", false },
		{ "wheels.example.org pypi.acme.org", false },
		{ "https://wheels.example.org https://pypi.acme.org", false },
		{ "wheels.example.org ftp://pypi.acme.org", false },
		{ "wheels.example.org https://u:p@pypi.acme.org", false },
		{ "wheels.example.org https://pypi.acme.org/a b", false },
		{ "wheels.example.org https://pypi.acme.org/\"", false },
		{ "Wheels.example.org https://pypi.acme.org", false },
		{ " https://pypi.acme.org", false },
		{ "", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char host[MIRROR_HOST_MAX], url[MIRROR_URL_MAX];

		assert_case(propose_mirror(rows[i].text, host, url) == rows[i].good, rows[i].text);
	}
}

/* --- quarantine_test
 * ------------------------------------------------------------------------------ */

static void marks_the_one_flaky_test(void **state)
{
#define MARK "@pytest.mark.xfail(reason=\"flaky\", strict=False)\n"
	static const struct {
		const char *test, *before, *after;
	} rows[] = {
		{ "tests/test_a.py::test_x", "import pytest\n\ndef test_x():\n    pass\n",
		  "import pytest\n\n" MARK "def test_x():\n    pass\n" },
		{ "tests/test_a.py::TestA::test_x[1-2]",
		  "import pytest\nclass TestA:\n    @fast\n    async def test_x(self, a):\n",
		  "import pytest\nclass TestA:\n    @fast\n    " MARK
		  "    async def test_x(self, a):\n" },
		{ "tests/test_a.py::test_x", "import os\n\ndef test_x():\n    pass\n", NULL },
		{ "tests/test_a.py::test_x", "import pytest\ndef test_xy():\n", NULL },
		{ "tests/test_a.py::test_x",
		  "import pytest\nclass A:\n def test_x(s):\n  pass\nclass B:\n def test_x(s):\n",
		  NULL },
		{ "tests/test_a.py::test_x", "import pytest\n# def test_x():\n", NULL },
		{ "../test_a.py::test_x", "import pytest\ndef test_x():\n", NULL },
		{ "tests/test_a.sh::test_x", "import pytest\ndef test_x():\n", NULL },
		{ "tests/test_a.py::test_x`id`", "import pytest\ndef test_x():\n", NULL },
		{ "tests/test_a.py", "import pytest\ndef test_x():\n", NULL },
	};
	static const struct propose_rules yes = { .fewer_tests = true }, no = { 0 };
	struct finding two = finding_of("x", "tests/test_a.py::test_x");

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct finding f = finding_of("x", rows[i].test);
		const struct edit_facts facts = { &f, &yes, "" };

		expect(&edit_quarantine_test, &facts, rows[i].test, rows[i].before, rows[i].after,
		       NULL);
	}
	assert_false(edit_quarantine_test.fits(&(struct edit_facts){ &two, &no, "" }));
	two.failed_tests[two.n_failed_tests++] = "tests/test_b.py::test_y";
	assert_false(edit_quarantine_test.fits(&(struct edit_facts){ &two, &yes, "" }));
}

/* With its strict string checks the sanitizer reads to the end of a string at every step. */
#ifdef __SANITIZE_ADDRESS__
enum { LARGE = 16 << 10 };
#else
enum { LARGE = 1 << 20 };
#endif

/* One that takes the square of a file's length would hold up everybody for minutes. */
static void a_large_hostile_file_takes_no_time(void **state)
{
	static const struct propose_rules yes = { .fewer_tests = true };
	static const struct {
		const struct edit *edit;
		const char *begin, *again;
	} rows[] = {
		{ &edit_bump_timeout, "x # ", "timeout=30 " },
		{ &edit_bump_timeout, "", "timeout=31 " },
		{ &edit_quarantine_test, "import pytest\nx ", "def test_b(" },
		{ &edit_quarantine_test, "import pytest\n ", "import pytest" },
	};
	struct finding f = finding_of("Failed: Timeout >30.0s", "a/test_b.py::test_b");
	const struct edit_facts facts = { &f, &yes, "" };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		clock_t begin = clock();
		struct edit_result r = { .what = "" };
		struct buf text;

		buf_init(&text, 2 << 20);
		buf_puts(&text, rows[i].begin);
		while (text.len < LARGE)
			buf_puts(&text, rows[i].again);
		buf_init(&r.text, 2 << 20);
		assert_false(rows[i].edit->apply(
			&facts, &(struct edit_file){ "x", buf_text(&text), text.len }, &r));
		assert_in_range(clock() - begin, 0, CLOCKS_PER_SEC);
		buf_done(&r.text);
		buf_done(&text);
	}
}

/* Whatever is found and wherever: no edit names a path that no repository can have. */
static void candidates_are_paths(void **state)
{
	static const struct propose_rules all = {
		.ci_files = true, .fewer_tests = true, .mirrors = mirrors, .n_mirrors = 2
	};
	static const struct edit *const edits[] = { &edit_bump_timeout, &edit_use_mirror,
						    &edit_quarantine_test };
	struct finding f =
		finding_of("Failed: Timeout >30.0s at wheels.example.org", "a/test_b.py::test_c");
	const struct edit_facts facts = { &f, &all, "" };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		char path[CHANGE_PATH_MAX];
		unsigned n = 0;

		assert_true(edits[i]->fits(&facts));
		for (const char *p; (p = edits[i]->file(&facts, n, path)); n++)
			assert_true(change_path_ok(p));
		assert_in_range(n, 1, 32);
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(raises_the_limit_that_the_log_names),
		cmocka_unit_test(leaves_alone_what_it_is_not_sure_of),
		cmocka_unit_test(limits_of_jobs_are_for_policies_that_allow_it),
		cmocka_unit_test(names_the_mirror_instead),
		cmocka_unit_test(a_mirror_is_a_host_and_a_url),
		cmocka_unit_test(marks_the_one_flaky_test),
		cmocka_unit_test(a_large_hostile_file_takes_no_time),
		cmocka_unit_test(candidates_are_paths),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}

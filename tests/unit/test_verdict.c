#include "dispatcher/verdict.h"

#include <string.h>

#include "core/finding.h"
#include "core/mem.h"
#include "unit.h"

/* The rules that we ship: what they say together is what people see. */
static struct detector *detector;

static int load(void **state)
{
	struct err err;

	UNUSED(state);
	assert_ok(detector_new("conf/rules", NULL, &detector, &err), &err);
	return 0;
}

static int unload(void **state)
{
	UNUSED(state);
	detector_free(detector);
	return 0;
}

static struct finding reach(const char *log, struct detect_input in, struct arena *a)
{
	struct finding f;

	in.text = log;
	in.len = strlen(log);
	detector_scan(detector, &in, a, &f);
	return f;
}

#define T           "2026-03-01T10:11:12.1234567Z "
#define GITHUB_FAIL T "##[error]Process completed with exit code 1.\n"

struct expectation {
	const char *why, *log;
	const char *category, *subcategory; /* subcategory NULL: any */
	uint64_t line;                      /* that must be among the evidence; 0: any */
};

static void check(const struct expectation *e, const struct finding *f)
{
	bool shown = e->line == 0;

	if (strcmp(f->category, e->category) != 0)
		fail_msg("row \"%s\": %s by %s (%.2f)", e->why, f->category, f->rule,
			 f->confidence);
	if (e->subcategory && strcmp(f->subcategory, e->subcategory) != 0)
		fail_msg("row \"%s\": %s/%s by %s", e->why, f->category, f->subcategory, f->rule);
	for (size_t i = 0; i < f->n_evidence; i++)
		shown |= f->evidence[i].line == e->line;
	if (!shown)
		fail_msg("row \"%s\": line %llu is no evidence", e->why,
			 (unsigned long long)e->line);
	assert_case(f->n_evidence > 0 && *f->title, e->why);
}

static void causes_of_every_category_are_named(void **state)
{
	static const struct expectation cases[] = {
		{ "python package",
		  T "##[group]Run pip install -r requirements.txt\n" T "##[endgroup]\n" T
		    "ERROR: Could not find a version that satisfies the requirement tax==9.0\n" T
		    "ERROR: No matching distribution found for tax==9.0\n" GITHUB_FAIL,
		  "dependency_failure", NULL, 3 },
		{ "npm package",
		  "$ npm ci\nnpm ERR! code E404\n"
		  "npm ERR! 404 Not Found - GET https://registry.example.org/tax - Not found\n"
		  "ERROR: Job failed: exit code 1\n",
		  "dependency_failure", NULL, 0 },
		{ "pytest",
		  "tests/test_tax.py F.\n"
		  "FAILED tests/test_tax.py::test_rate - assert 7 == 8\n"
		  "==== 1 failed, 1 passed in 0.12s ====\nERROR: Job failed: exit code 1\n",
		  "test_failure", "assertion", 2 },
		{ "go",
		  "--- FAIL: TestRate (0.00s)\n    tax_test.go:7: got 7, want 8\nFAIL\n"
		  "exit status 1\nFAIL\texample.org/shop/tax\t0.003s\n",
		  "test_failure", NULL, 1 },
		{ "gcc",
		  "cc -c tax.c\ntax.c:7:9: error: 'rate' undeclared (first use in this function)\n"
		  "make: *** [Makefile:3: tax.o] Error 1\n",
		  "build_failure", "compile", 2 },
		{ "rustc",
		  "error[E0425]: cannot find value `rate` in this scope\n"
		  "error: could not compile `shop` due to previous error\n",
		  "build_failure", NULL, 1 },
		{ "typescript",
		  "src/tax.ts(7,9): error TS2304: Cannot find name 'rate'.\n"
		  "error Command failed with exit code 2.\n",
		  "build_failure", NULL, 1 },
		{ "javadoc",
		  "[INFO] BUILD FAILURE\n[ERROR] Failed to execute goal "
		  "org.apache.maven.plugins:maven-javadoc-plugin:3.6.0:jar (docs) on project shop: "
		  "MavenReportException: Error while generating Javadoc\n",
		  "build_failure", "docs", 2 },
		{ "checkstyle",
		  "[INFO] BUILD FAILURE\n[ERROR] Failed to execute goal "
		  "org.apache.maven.plugins:maven-checkstyle-plugin:3.3.0:check (style) on project "
		  "shop: You have 2 Checkstyle violations.\n",
		  "lint_failure", "style", 2 },
		{ "licence",
		  "[INFO] BUILD FAILURE\n[ERROR] Failed to execute goal "
		  "com.mycila:license-maven-plugin:4.1:check (default) on project shop: Some files "
		  "do "
		  "not have the expected license header\n",
		  "lint_failure", "license", 2 },
		{ "terraform",
		  "Error: creating EC2 Instance: operation error\n"
		  "Error: Process completed with exit code 1.\n"
		  "helm upgrade failed: UPGRADE FAILED: timed out waiting for the condition\n",
		  "deployment_failure", NULL, 0 },
		{ "job timeout",
		  T "##[error]The job running on runner GitHub Actions 3 has exceeded the maximum "
		    "execution time of 60 minutes.\n",
		  "timeout", "job", 1 },
		{ "memory",
		  "java.lang.OutOfMemoryError: Java heap space\nBuild step 'Execute shell' "
		  "marked build as failure\nFinished: FAILURE\n",
		  "resource_exhaustion", "oom", 1 },
		{ "disk", "write error: No space left on device\nFinished: FAILURE\n",
		  "resource_exhaustion", "disk_full", 1 },
		{ "dns", "curl: (6) Could not resolve host: repo.example.org\n" GITHUB_FAIL,
		  "network_failure", "dns", 1 },
		{ "connection", "npm ERR! code ECONNRESET\nnpm ERR! network aborted\n" GITHUB_FAIL,
		  "network_failure", "reset", 1 },
		{ "rate limit",
		  "toomanyrequests: You have reached your pull rate limit.\n" GITHUB_FAIL,
		  "rate_limit", NULL, 1 },
		{ "credentials",
		  "fatal: Authentication failed for "
		  "'https://git.example.org/shop.git/'\n" GITHUB_FAIL,
		  "auth_failure", NULL, 1 },
		{ "workflow file", "Invalid workflow file: .github/workflows/ci.yml#L7\n",
		  "config_error", NULL, 1 },
		{ "runner",
		  T "##[error]The runner has received a shutdown signal. This can happen when the "
		    "runner service is stopped.\n",
		  "infrastructure_failure", "runner_lost", 1 },
		{ "cache",
		  "Failed to restore cache entry: corrupt archive\ntar: Unexpected EOF in "
		  "archive\ngzip: stdin: invalid compressed data--crc error\n" GITHUB_FAIL,
		  "cache_corruption", NULL, 0 },
		{ "merge conflict",
		  "CONFLICT (content): Merge conflict in tax.c\nAutomatic merge failed; fix "
		  "conflicts "
		  "and then commit the result.\n" GITHUB_FAIL,
		  "scm_failure", "merge_conflict", 1 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		struct finding f = reach(cases[i].log, (struct detect_input){ .text = NULL }, a);

		check(&cases[i], &f);
		assert_case(f.confidence >= 0.5 && f.confidence < 1, cases[i].why);
	}
}

static void the_cause_beats_its_consequences(void **state)
{
	static const struct expectation cases[] = {
		{ "a compile error beats \"tests failed\"",
		  "tax.c:7:9: error: 'rate' undeclared\nmake: *** [tax.o] Error 1\n"
		  "FAIL: tests/tax.sh\n1 of 1 test failed\n",
		  "build_failure", "compile", 1 },
		{ "tests that do not compile are a build failure",
		  "[ERROR] COMPILATION ERROR :\n[ERROR] /w/TaxTest.java:[7,9] cannot find symbol\n"
		  "[ERROR] Failed to execute goal "
		  "org.apache.maven.plugins:maven-compiler-plugin:3.8:"
		  "testCompile (default-testCompile) on project shop: Compilation failure\n",
		  "build_failure", "compile", 1 },
		{ "the first failed step beats the ones after it",
		  T "##[group]Run make\n" T "tax.c:7:9: error: 'rate' undeclared\n" GITHUB_FAIL T
		    "##[group]Run ./upload-report\n" T
		    "curl: (6) Could not resolve host: report.example.org\n" GITHUB_FAIL,
		  "build_failure", "compile", 2 },
		{ "even when those use surer words",
		  T "##[group]Run make\n" T "tax.c:7:9: error: 'rate' undeclared\n" GITHUB_FAIL T
		    "##[group]Run pytest\n" T "=== 1 failed in 0.12s ===\n" GITHUB_FAIL,
		  "build_failure", "compile", 2 },
		{ "an error of the failed step beats a warning at the top",
		  T "##[group]Run pip install -r requirements.txt\n" T
		    "WARNING: Retrying after connection broken by 'ConnectTimeoutError': "
		    "/simple/tax/\n" T "Successfully installed tax-1.0\n" T
		    "##[group]Run pytest\n" T
		    "FAILED tests/test_tax.py::test_rate - assert 7 == 8\n" T
		    "=== 1 failed in 0.12s ===\n" GITHUB_FAIL,
		  "test_failure", NULL, 5 },
		{ "what ended well explains nothing",
		  "curl: (6) Could not resolve host: mirror.example.org\n"
		  "The command \"./fetch || ./fetch-again\" exited with 0.\n"
		  "tax.c:7:9: error: 'rate' undeclared\nThe command \"make\" exited with 2.\n"
		  "Done. Your build exited with 1.\n",
		  "build_failure", NULL, 3 },
		{ "an action that ends with an error and no status beats the steps after it",
		  T "##[group]Run actions/setup-node@v4\n" T "##[error]Unexpected HTTP response: "
		    "504\n" T "##[group]Run actions/upload-artifact@v4\n" T
		    "##[warning]No files were found with the provided path: logs/.\n",
		  "network_failure", NULL, 2 },
		{ "an exit status says better than a mark which step failed",
		  T "##[group]Run ./fetch\n" T "##[error]Unexpected HTTP response: 504\n" T
		    "##[group]Run make\n" T "tax.c:7:9: error: 'rate' undeclared\n" GITHUB_FAIL,
		  "build_failure", "compile", 4 },
		{ "an image cache that is empty is no image that is missing",
		  "  image cache not found on this host, downloading acme/base:9\n"
		  "tax.c:7:9: error: 'rate' undeclared\nCircleCI received exit code 2\n",
		  "build_failure", "compile", 2 },
		{ "in a step of a Dockerfile as anywhere",
		  "#12 4.567 tax.c:7:9: error: 'rate' undeclared\n"
		  "#12 ERROR: process \"/bin/sh -c make\" did not complete successfully: exit "
		  "code: "
		  "2\n",
		  "build_failure", "compile", 1 },
		{ "a key that was refused beats a repository that cannot be read",
		  "git@git.example.org: Permission denied (publickey).\n"
		  "fatal: Could not read from remote repository.\n"
		  "ERROR: Error cloning remote repo 'origin'\n",
		  "auth_failure", "ssh_key", 1 },
		{ "the name of a failed test is shown",
		  "There was 1 failure:\n\n1) Tests\\TaxTest::testRate\n"
		  "Failed asserting that 8 is 7.\n\nFAILURES!\nTests: 3, Assertions: 2, "
		  "Failures: 1.\n",
		  "test_failure", NULL, 3 },
		{ "a killed compiler ran out of memory",
		  "g++: fatal error: Killed signal terminated program cc1plus\n"
		  "make: *** [tax.o] Error 1\n",
		  "resource_exhaustion", "oom", 1 },
		{ "a dependency that is not there beats what it breaks",
		  "[ERROR] Failed to execute goal on project shop: Could not resolve dependencies "
		  "for "
		  "project org.acme:shop:jar:1.0: Could not find artifact org.acme:tax:jar:9.0 in "
		  "central\n[INFO] BUILD FAILURE\n",
		  "dependency_failure", NULL, 1 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		struct finding f = reach(cases[i].log, (struct detect_input){ .text = NULL }, a);

		check(&cases[i], &f);
	}
}

/* What healthy builds print, and a tool that looks for "error" would fall for. */
#define NOISE                                                                      \
	"Downloading https://repo.example.org/junit-connection-timeout-1.0.jar\n"  \
	"Setting up liberror-perl (0.17)\n"                                        \
	"test_connection_refused (tests.net.TestErrors) ... ok\n"                  \
	"[WARNING] Some tests are slow\n"                                          \
	"0 errors, 0 failures\n"                                                   \
	"Tests run: 12, Failures: 0, Errors: 0, Skipped: 2\n"                      \
	"tax.c:7:9: warning: unused variable 'n' [-Wunused-variable]\n"            \
	"=== 118 passed, 3 warnings in 12.34s ===\n"                               \
	"PASS tests/timeout.test.js\n"                                             \
	"curl: (7) Failed to connect to localhost port 8080: Connection refused\n" \
	"retrying in 1 s\n"

static void what_was_tried_again_yields(void **state)
{
	static const struct expectation cases[] = {
		{ "a later cause",
		  "error: RPC failed; curl 56 GnuTLS recv error (-54)\n"
		  "Waiting 12 seconds before trying again\nReceiving objects: 100% (12/12), done.\n"
		  "tax.c:7:9: error: 'rate' undeclared (first use in this function)\n" GITHUB_FAIL,
		  "build_failure", NULL, 4 },
		{ "the same line",
		  "warning: spurious network error (3 tries remaining): [28] Timeout\n"
		  "FAILED tests/test_tax.py::test_rate - assert 7 == 8\n" GITHUB_FAIL,
		  "test_failure", NULL, 2 },
		{ "in vain",
		  "curl: (6) Could not resolve host: repo.example.org\n"
		  "retrying\nmake: *** [Makefile:3: deps] Error 6\n" GITHUB_FAIL,
		  "network_failure", "dns", 1 },
		{ "and once more",
		  "curl: (6) Could not resolve host: repo.example.org\nretrying\n"
		  "curl: (6) Could not resolve host: repo.example.org\n\n\n\n\n"
		  "make: *** [Makefile:3: deps] Error 6\n" GITHUB_FAIL,
		  "network_failure", "dns", 3 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		struct finding f =
			reach(cases[i].log, (struct detect_input){ .provider = "github" }, a);

		check(&cases[i], &f);
	}
}

static void builds_that_passed_have_no_cause(void **state)
{
	static const char *const logs[] = {
		"",
		"\n\n\n",
		"Hello.\n",
		NOISE "Done. Your build exited with 0.\n",
		NOISE "Job succeeded\n",
		NOISE "Finished: SUCCESS\n",
		T "##[group]Run make test\n" NOISE T "##[group]Run ./deploy\n" T "done\n",
		NOISE "CircleCI received exit code 0\n",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		struct finding f = reach(logs[i], (struct detect_input){ .text = NULL }, a);

		if (strcmp(f.category, "unknown") != 0)
			fail_msg("log %zu: %s by %s", i, f.category, f.rule);
		assert_false(f.transient);
		assert_true(f.confidence < 0.001);
		assert_string_equal(f.rule, "");
	}
}

/* A wrong cause costs more than none; the last lines of the failed step are shown instead. */
static void unsure_is_unknown(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f =
		reach(T "##[group]Run ./reckon\n" T "preparing\n" T "it went wrong\n" GITHUB_FAIL T
			"##[group]Run ./tidy\n" T "tidied\n",
		      (struct detect_input){ .text = NULL }, a);

	UNUSED(state);
	assert_string_equal(f.category, "unknown");
	assert_true(f.n_evidence >= 2);
	assert_string_equal(f.evidence[f.n_evidence - 1].text, "it went wrong");
	assert_int_equal(f.evidence[f.n_evidence - 1].line, 3);
	assert_int_equal(strlen(f.fingerprint), 16);
}

/* What a command is for is a guess, and the last lines are what there is to show for it. */
static void a_command_without_a_known_word_is_guessed_from(void **state)
{
	static const struct {
		const char *command, *category;
	} cases[] = {
		{ T "##[group]Run npm test\n", "test_failure" },
		{ "$ tox -e lint\n", "lint_failure" },
		{ "+ make docs\n", "build_failure" },
		{ "$ pip install -r requirements.txt\n", "dependency_failure" },
		{ "$ kubectl apply -f shop.yaml\n", "deployment_failure" },
		{ "$ git fetch origin\n", "scm_failure" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		OWNED(freep)
		char *failed = xasprintf("%s" T "preparing\n" T "it went wrong\n" GITHUB_FAIL,
					 cases[i].command);
		OWNED(freep) char *open = xasprintf("%spreparing\n", cases[i].command);
		struct finding f = reach(failed, (struct detect_input){ .len = 0 }, a);

		assert_string_equal(f.category, cases[i].category);
		assert_true(f.confidence > 0.2 && f.confidence < 0.4 && !f.transient);
		assert_string_equal(f.evidence[f.n_evidence - 1].text, "it went wrong");
		assert_int_equal(f.n_alternatives, 1);
		f = reach(open, (struct detect_input){ .len = 0 }, a);
		assert_string_equal(f.category, "unknown");
	}
}

/* The command of the step that failed, not of one before or after it. */
static void the_command_is_that_of_the_failed_step(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = reach(T "##[group]Run npm ci\n" T "added 12 packages\n" T
				   "##[group]Run make docs\n" T "it went wrong\n" GITHUB_FAIL T
				   "##[group]Run npm test\n" T "tidied\n",
				 (struct detect_input){ .len = 0 }, a);

	UNUSED(state);
	assert_string_equal(f.category, "build_failure");
	assert_string_equal(f.subcategory, "docs");
	f = reach(T "##[group]Run npm ci\n" T "it went wrong\n" T "##[group]Run npm test\n" T
		    "tidied\n",
		  (struct detect_input){ .failed_step = "Run npm ci" }, a);
	assert_string_equal(f.category, "dependency_failure");
}

/* The first five are the ones that people read. */
static void the_deciding_line_is_among_few(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = reach("make: *** [a.o] Error 1\nmake: *** [b.o] Error 1\n"
				 "make: *** [c.o] Error 1\nmake: *** [d.o] Error 1\n"
				 "FAILED: e.o\nFAILED: f.o\nFAILED: g.o\n"
				 "a.c:2:1: error: y\n",
				 (struct detect_input){ .len = 0 }, a);

	UNUSED(state);
	assert_int_equal(f.n_evidence, 5);
	assert_int_equal(f.evidence[4].line, 8);
}

/* Repetitions leave room for what is said once, and for what else it may be. */
static void evidence_says_different_things(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = reach("a.c:1:1: error: x\na.c:2:1: error: x\na.c:3:1: error: x\n"
				 "a.c:4:1: error: x\na.c:5:1: error: z\n"
				 "make: *** [a.o] Error 1\nmake: *** [b.o] Error 1\n"
				 "Tests run: 12, Failures: 1, Errors: 0, Skipped: 2\n",
				 (struct detect_input){ .len = 0 }, a);
	static const uint64_t lines[] = { 1, 5, 6, 7, 8 };

	UNUSED(state);
	assert_string_equal(f.category, "build_failure");
	assert_int_equal(f.n_evidence, ARRAY_LEN(lines));
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_int_equal(f.evidence[i].line, lines[i]);
}

static void facts_of_the_provider_count(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f;

	UNUSED(state);
	f = reach("building\n", (struct detect_input){ .no_failed_step = true }, a);
	assert_string_equal(f.category, "infrastructure_failure");
	assert_string_equal(f.subcategory, "runner_lost");
	assert_true(f.transient);
	f = reach("building\n", (struct detect_input){ .conclusion = "timed_out" }, a);
	assert_string_equal(f.category, "timeout");
	f = reach("building\n", (struct detect_input){ .conclusion = "failure" }, a);
	assert_string_equal(f.category, "unknown");
}

static void the_failed_step_outranks_the_others(void **state)
{
	static const char log[] =
		T "##[group]Run make\n" T "tax.c:7:9: error: 'rate' undeclared\n" T
		  "##[group]Run pytest\n" T "FAILED tests/test_tax.py::test_rate - assert 7 == 8\n";
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f;

	UNUSED(state);
	f = reach(log, (struct detect_input){ .failed_step = "Run make" }, a);
	assert_string_equal(f.category, "build_failure");
	f = reach(log, (struct detect_input){ .failed_step = "Run pytest" }, a);
	assert_string_equal(f.category, "test_failure");
	assert_int_equal(f.n_failed_tests, 1);
	assert_string_equal(f.failed_tests[0], "tests/test_tax.py::test_rate");
	assert_string_equal(f.alternatives[0].category, "build_failure");
	assert_true(f.alternatives[0].confidence < f.confidence);
}

static void evidence_is_bounded_ordered_and_unique(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = reach("a.c:1:1: error: x\na.c:1:1: error: x\na.c:2:1: error: y\n"
				 "a.c:3:1: error: y\na.c:4:1: error: y\na.c:5:1: error: y\n"
				 "make: *** [a.o] Error 1\nmake: *** [all] Error 2\n",
				 (struct detect_input){ .skipped_lines = 100 }, a);

	UNUSED(state);
	assert_in_range(f.n_evidence, 2, FINDING_EVIDENCE_MAX);
	assert_int_equal(f.evidence[0].line, 101);
	for (size_t i = 1; i < f.n_evidence; i++) {
		assert_true(f.evidence[i].line > f.evidence[i - 1].line);
		assert_string_not_equal(f.evidence[i].text, f.evidence[i - 1].text);
	}
}

/* In the order of the log, whichever line decided. */
static void evidence_before_the_cause_comes_first(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = reach("make: *** [a.o] Error 1\na.c:2:1: error: y\n",
				 (struct detect_input){ .len = 0 }, a);

	UNUSED(state);
	assert_string_equal(f.subcategory, "compile");
	assert_int_equal(f.n_evidence, 2);
	assert_int_equal(f.evidence[0].line, 1);
	assert_int_equal(f.evidence[1].line, 2);
}

/* Jenkins says at the end that a stage failed; those after it were skipped. */
static void a_failed_part_without_a_reason_has_that_of_the_one_before(void **state)
{
	static const char log[] = "[Pipeline] { (Build)\ndial tcp 10.0.0.7:443: i/o timeout\n"
				  "[Pipeline] }\n[Pipeline] { (Deploy)\n"
				  "Stage \"Deploy\" skipped due to earlier failure(s)\n"
				  "ERROR: script returned exit code 2\nFinished: FAILURE\n";
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = reach(log, (struct detect_input){ .text = NULL }, a);

	UNUSED(state);
	assert_string_equal(f.category, "network_failure");
	assert_true(f.confidence >= 0.4); /* no guess */
}

static void equal_reasons_make_it_less_sure(void **state)
{
	static const char one[] = "make: entering\ntax.c:7:9: error: 'rate' undeclared\n";
	OWNED(freep)
	char *two = xasprintf("%scurl: (6) Could not resolve host: mirror.example.org\n"
			      "make: *** [tax.o] Error 1\n",
			      one);
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding sure = reach(one, (struct detect_input){ .text = NULL }, a);
	struct finding torn = reach(two, (struct detect_input){ .text = NULL }, a);

	UNUSED(state);
	assert_true(sure.confidence >= 0.9);
	assert_in_range((int)(torn.confidence * 100), 70, 89);
	assert_true(torn.n_alternatives > 0);
	assert_true(strcmp(torn.alternatives[0].category, torn.category) != 0);
}

static void the_same_failure_has_one_fingerprint(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding one, again, other;

	UNUSED(state);
	one = reach("/w/1/tax.c:7:9: error: 'rate' undeclared\n", (struct detect_input){ .len = 0 },
		    a);
	again = reach("noise\n/builds/2/tax.c:9:1: error: 'rate' undeclared\n",
		      (struct detect_input){ .len = 0 }, a);
	other = reach("/w/1/tax.c:7:9: error: 'price' undeclared\n",
		      (struct detect_input){ .len = 0 }, a);
	assert_string_equal(one.fingerprint, again.fingerprint);
	assert_string_not_equal(one.fingerprint, other.fingerprint);
}

static void the_better_of_two_findings_is_known_and_sure(void **state)
{
	struct finding known, surer, unknown;

	UNUSED(state);
	finding_init(&known);
	finding_init(&surer);
	finding_init(&unknown);
	known.category = surer.category = "timeout";
	known.confidence = 0.5;
	surer.confidence = 0.6;
	unknown.confidence = 0.9;
	assert_true(finding_compare(&known, &unknown) < 0);
	assert_true(finding_compare(&unknown, &known) > 0);
	assert_true(finding_compare(&surer, &known) < 0);
	assert_true(finding_compare(&known, &surer) > 0);
	assert_int_equal(finding_compare(&known, &known), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(causes_of_every_category_are_named),
		cmocka_unit_test(the_cause_beats_its_consequences),
		cmocka_unit_test(what_was_tried_again_yields),
		cmocka_unit_test(builds_that_passed_have_no_cause),
		cmocka_unit_test(unsure_is_unknown),
		cmocka_unit_test(a_command_without_a_known_word_is_guessed_from),
		cmocka_unit_test(the_command_is_that_of_the_failed_step),
		cmocka_unit_test(the_deciding_line_is_among_few),
		cmocka_unit_test(evidence_says_different_things),
		cmocka_unit_test(facts_of_the_provider_count),
		cmocka_unit_test(the_failed_step_outranks_the_others),
		cmocka_unit_test(evidence_is_bounded_ordered_and_unique),
		cmocka_unit_test(evidence_before_the_cause_comes_first),
		cmocka_unit_test(a_failed_part_without_a_reason_has_that_of_the_one_before),
		cmocka_unit_test(equal_reasons_make_it_less_sure),
		cmocka_unit_test(the_same_failure_has_one_fingerprint),
		cmocka_unit_test(the_better_of_two_findings_is_known_and_sure),
	};

	return cmocka_run_group_tests(tests, load, unload);
}

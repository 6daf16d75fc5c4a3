#include "healers/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "core/mem.h"
#include "unit.h"

/* In two parts, so that no scanner of this repository takes it for a real one. */
#define LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"

static const struct conf_table *const tables[] = { &change_conf };

static int try_change(const struct change_limits *limits, const char *set,
		      struct change_file *files, unsigned n, struct err *err)
{
	static const struct change_limits any = { 0 };
	OWNED(conf_freep) struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
	const struct change c = { files, n };

	*err = (struct err){ 0 };
	if (set)
		assert_ok(conf_set(conf, set, err), err);
	for (unsigned i = 0; i < n; i++) {
		files[i].n_before = files[i].before ? strlen(files[i].before) : 0;
		files[i].n_after = files[i].after ? strlen(files[i].after) : 0;
	}
	return change_check(conf, limits ? limits : &any, &c, err);
}

static int try_file(const char *set, const char *path, const char *before, const char *after,
		    struct err *err)
{
	struct change_file f = {
		.path = path, .deleted = !after, .before = before, .after = after
	};

	return try_change(NULL, set, &f, 1, err);
}

static void only_paths_that_mean_the_same_everywhere(void **state)
{
	static const struct {
		const char *path;
		bool ok;
	} rows[] = {
		{ "a", true },
		{ "src/main.c", true },
		{ ".github/labels.yml", true },
		{ "a..b", true },
		{ "...", true },
		{ ".gitignore", true },
		{ "dir/.gitkeep", true },
		{ "na\u00efve \u2603.txt", true },
		{ "gitx", true },
		{ "git~x", true },
		{ "", false },
		{ "/etc/passwd", false },
		{ "a//b", false },
		{ "a/", false },
		{ "../a", false },
		{ "a/../b", false },
		{ "a/./b", false },
		{ "..", false },
		{ ".git/config", false },
		{ ".git", false },
		{ "sub/.GIT/hooks/x", false },
		{ ".git./config", false },
		{ ".git /config", false },
		{ "GIT~1/config", false },
		{ ".g\u200cit/config", false },
		{ ".git::$INDEX_ALLOCATION/x", false },
		{ "a\\..\\b", false },
		{ "a\nb", false },
		{ "a\x1b[2J", false },
		{ "a\xff", false },
		{ "a\u202e", false },
	};
	char long_path[CHANGE_PATH_MAX + 2] = "";

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_case(change_path_ok(rows[i].path) == rows[i].ok, rows[i].path);
	for (size_t i = 0; i < CHANGE_PATH_MAX; i++)
		long_path[i] = i % 2 ? '/' : 'a';
	long_path[CHANGE_PATH_MAX - 1] = 'a';
	assert_true(change_path_ok(long_path));
	long_path[CHANGE_PATH_MAX] = 'a';
	assert_false(change_path_ok(long_path));
	memset(long_path, 'a', 256);
	long_path[256] = '\0';
	assert_false(change_path_ok(long_path));
	long_path[255] = '\0';
	assert_true(change_path_ok(long_path));
}

static void what_decides_is_left_alone(void **state)
{
	static const struct {
		const char *path, *unless; /* NULL: whatever is configured */
	} rows[] = {
		{ ".github/workflows/ci.yml", "change.ci_files=true" },
		{ ".GitHub/Workflows/ci.yml", "change.ci_files=true" },
		{ ".github/actions/setup/run.sh", "change.ci_files=true" },
		{ "action.yml", "change.ci_files=true" },
		{ ".gitlab-ci.yml", "change.ci_files=true" },
		{ "ci/build.gitlab-ci.yml", "change.ci_files=true" },
		{ "Jenkinsfile", "change.ci_files=true" },
		{ "deploy/Jenkinsfile.prod", "change.ci_files=true" },
		{ ".circleci/config.yml", "change.ci_files=true" },
		{ ".pre-commit-config.yaml", "change.ci_files=true" },
		{ "CODEOWNERS", NULL },
		{ ".github/CODEOWNERS", NULL },
		{ "docs/codeowners", NULL },
		{ ".gitmodules", NULL },
		{ "sub/.gitattributes", NULL },
	};
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_case(try_file(NULL, rows[i].path, "a\n", "b\n", &err) < 0, rows[i].path);
		assert_case(err.kind == ERR_INPUT && strstr(err.msg, rows[i].path), rows[i].path);
		if (rows[i].unless)
			assert_ok(try_file(rows[i].unless, rows[i].path, "a\n", "b\n", &err), &err);
		else
			assert_case(try_file("change.ci_files=true", rows[i].path, "a\n", "b\n",
					     &err) < 0,
				    rows[i].path);
	}
	assert_ok(try_file(NULL, "docs/workflows/ci.yml", "a\n", "b\n", &err), &err);
}

static void only_the_files_of_the_strategy(void **state)
{
	static const char *const paths[] = { "*.py", "web/*.js", NULL };
	static const struct change_limits limits = { .paths = paths };
	static const struct {
		const char *path;
		bool ok;
	} rows[] = {
		{ "a.py", true },        { "deep/down/a.py", true }, { "web/a/b.js", true },
		{ "other/a.js", false }, { "a.js", false },          { "a.pyc", false },
		{ "A.PY", false },
	};
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct change_file f = { .path = rows[i].path, .before = "a\n", .after = "b\n" };

		assert_case((try_change(&limits, NULL, &f, 1, &err) == 0) == rows[i].ok,
			    rows[i].path);
	}
}

static void no_test_goes(void **state)
{
	static const struct {
		const char *path, *before, *after;
		bool ok;
		const char *why;
	} rows[] = {
		{ "tests/test_a.py", "def test_a():\n", NULL, false, "deleted" },
		{ "a/b_test.go", "func TestA(t *testing.T) {}\n", NULL, false, "deleted" },
		{ "src/app.py", "x\n", NULL, true, "not a test" },
		{ "web/__tests__/__snapshots__/a.snap", "x\n", NULL, true, "not a test" },
		{ "test_a.py", "def test_a():\n\tpass\n", "def test_a():\n    pass\n", true,
		  "formatted" },
		{ "test_a.py", "def test_a():\n", "@pytest.mark.skip\ndef test_a():\n", false,
		  "skipped" },
		{ "test_a.py", "def test_a():\ndef test_b():\n", "def test_a():\n", false, "gone" },
		{ "test_a.py", "@pytest.mark.skip\ndef test_a():\n", "def test_a():\n", true,
		  "no longer skipped" },
		{ "a.test.js", "it('x', f)\n", "it.skip('x', f)\n", false, "skipped" },
		{ "a.test.js", "it ('x', f)\n", "it('x', f)\n", true, "a blank less" },
		{ "a.test.js", "it('x', f)\n", "xit ('x', f)\n", false, "skipped" },
		{ "a.test.js", "visit('x')\n", "exit('x')\n", true, "part of a word" },
		{ "a_test.go", "func TestA(t *testing.T) {\n",
		  "func TestA(t *testing.T) {\nt.Skip(\"\")\n", false, "skipped" },
		{ "query.cs", "a\n", "list.Skip(5)\n", true, "no test" },
		{ "src/lib.rs", "#[test]\nfn a() {}\n", "#[test]\n#[ignore]\nfn a() {}\n", false,
		  "skipped" },
		{ "src/lib.rs", "#[test]\nfn a() {}\n", "\n", false, "gone" },
		{ "tests/test_a.py", "assert x\nassert y\n", "assert x\n", false, "asks less" },
	};
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int rc = try_file(NULL, rows[i].path, rows[i].before, rows[i].after, &err);

		assert_case((rc == 0) == rows[i].ok, rows[i].why);
		assert_ok(try_file("change.fewer_tests=true", rows[i].path, rows[i].before,
				   rows[i].after, &err),
			  &err);
	}
}

static void no_secret_is_published(void **state)
{
	static const struct {
		const char *before, *after;
		bool ok;
		const char *why;
	} rows[] = {
		{ "", "key = ghp_" LETTERS "\n", false, "a token" },
		{ "x\n",
		  "x\nurl = https://kim:hunter2"
		  "@git.example.org/a\n",
		  false, "a URL" },
		{ "x\n",
		  "-----BEGIN RSA PRIVATE"
		  " KEY-----\n",
		  false, "a key" },
		{ "x\n", "DB_PASSWORD=" LETTERS "\n", false, "an assignment" },
		{ "x\n", "Authorization: Bearer " LETTERS "\n", false, "a header" },
		{ "a  = 'ghp_" LETTERS "'\n", "a = \"ghp_" LETTERS "\"\n", true,
		  "was there before" },
		{ "x\n", "token = next_token(parser, state2)\n", true, "a program" },
		{ "x\n", "token: str = field.value_or_default\n", true, "a program" },
		{ "x\n", "tiktoken==0.5.2\n", true, "a package" },
		{ "x\n",
		  "\"integrity\": \"sha512-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ+/==\"\n",
		  true, "a sum" },
		{ "x\n", "resolved \"git+ssh://git@github.com/a/b.git#" LETTERS "\"\n", true,
		  "a user alone" },
		{ "ghp_" LETTERS "\n", "\n", true, "taken out" },
	};
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int rc = try_file(NULL, "a.txt", rows[i].before, rows[i].after, &err);

		assert_case((rc == 0) == rows[i].ok, rows[i].why);
		if (rc < 0)
			assert_case(!strstr(err.msg, "ghp_") && !strstr(err.msg, "hunter2"),
				    rows[i].why);
	}
}

static void only_text(void **state)
{
	OWNED(conf_freep) struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
	const struct change_limits any = { 0 };
	struct change_file f = { .path = "a", .after = "a\0b", .n_after = 3 };
	const struct change c = { &f, 1 };
	struct err err;

	UNUSED(state);
	assert_int_equal(change_check(conf, &any, &c, &err), -1);
	f.n_after = 1;
	assert_ok(change_check(conf, &any, &c, &err), &err);
}

static void lines_are_counted_as_diff_does(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned n;
	} rows[] = {
		{ "", "", 0 },
		{ "a\n", "a\n", 0 },
		{ "", "a\nb\n", 2 },
		{ "a\nb\n", "", 2 },
		{ "a\nb\nc\n", "a\nx\nc\n", 2 },
		{ "a\nb\nc\n", "a\nc\n", 1 },
		{ "a\nb\nc\n", "c\na\nb\n", 2 },
		{ "a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n", 5 }, /* Myers' own */
		{ "a", "a\n", 2 },                                    /* no newline at the end */
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *a = rows[i].a, *b = rows[i].b;

		assert_int_equal(change_lines(a, strlen(a), b, strlen(b), 10), rows[i].n);
		assert_int_equal(change_lines(b, strlen(b), a, strlen(a), 10), rows[i].n);
		assert_int_equal(change_lines(a, strlen(a), b, strlen(b), rows[i].n), rows[i].n);
		if (rows[i].n)
			assert_int_equal(change_lines(a, strlen(a), b, strlen(b), rows[i].n - 1),
					 rows[i].n);
	}
}

/* A stranger's file costs no more than the limit says, whatever is in it. */
static void a_limit_of_lines_holds(void **state)
{
	enum { LINES = 300000 };
	OWNED(freep) char *a = xmalloc((size_t)LINES * 8 + 1);
	OWNED(freep) char *b = xmalloc((size_t)LINES * 8 + 1);
	struct change_file f = { .path = "a", .before = a, .after = b };
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < LINES; i++) {
		(void)snprintf(a + i * 8, 9, "%7zu\n", i % 3);
		(void)snprintf(b + i * 8, 9, "%7zu\n", i % 5);
	}
	assert_int_equal(change_lines(a, (size_t)LINES * 8, b, (size_t)LINES * 8, 2000), 2001);
	assert_int_equal(try_change(NULL, NULL, &f, 1, &err), -1);
	assert_non_null(strstr(err.msg, "change.max_lines"));
}

static void limits_hold_from_both_sides(void **state)
{
	static const struct change_limits two = { .max_files = 2, .max_lines = 4 };
	struct change_file files[3] = {
		{ .path = "a", .before = "a\n", .after = "b\n" },
		{ .path = "b", .before = "a\n", .after = "b\n" },
		{ .path = "c", .before = "a\n", .after = "b\n" },
	};
	struct err err;

	UNUSED(state);
	assert_int_equal(try_change(NULL, NULL, files, 0, &err), -1);
	assert_ok(try_change(&two, NULL, files, 2, &err), &err);
	assert_int_equal(try_change(&two, NULL, files, 3, &err), -1);
	assert_ok(try_change(NULL, NULL, files, 3, &err), &err);
	assert_int_equal(try_change(NULL, "change.max_files=2", files, 3, &err), -1);
	assert_int_equal(try_change(NULL, "change.max_lines=5", files, 3, &err), -1);
	assert_ok(try_change(NULL, "change.max_lines=6", files, 3, &err), &err);
	/* What is configured is an upper limit, whatever the strategy would like. */
	assert_int_equal(try_change(&two, "change.max_lines=3", files, 2, &err), -1);
	files[1].after = "b\nc\n";
	assert_int_equal(try_change(&two, NULL, files, 2, &err), -1);
}

static void a_branch_says_whose_it_is(void **state)
{
	char branch[CHANGE_BRANCH_MAX];
	struct err err;

	UNUSED(state);
	assert_ok(change_branch("fix_lint", "0123456789abcdef", branch, &err), &err);
	assert_string_equal(branch, "pipeline-guard/fix_lint-0123456789abcdef");
	assert_true(change_is_our_branch(branch));
	assert_int_equal(change_branch("fix_lint", "", branch, &err), -1);
	assert_int_equal(change_branch("fix_lint", "../main", branch, &err), -1);
	assert_int_equal(change_branch("a b", "0123", branch, &err), -1);
	assert_false(change_is_our_branch("main"));
	assert_false(change_is_our_branch("pipeline-guard/../main"));
	assert_false(change_is_our_branch("pipeline-guard/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_paths_that_mean_the_same_everywhere),
		cmocka_unit_test(what_decides_is_left_alone),
		cmocka_unit_test(only_the_files_of_the_strategy),
		cmocka_unit_test(no_test_goes),
		cmocka_unit_test(no_secret_is_published),
		cmocka_unit_test(only_text),
		cmocka_unit_test(lines_are_counted_as_diff_does),
		cmocka_unit_test(a_limit_of_lines_holds),
		cmocka_unit_test(limits_hold_from_both_sides),
		cmocka_unit_test(a_branch_says_whose_it_is),
	};

	return cmocka_run_group_tests_name("change_check", tests, NULL, NULL);
}

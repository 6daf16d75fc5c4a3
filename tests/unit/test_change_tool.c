#include "healers/change_tool.h"

#include <string.h>

#include "core/finding.h"
#include "healers/change.h"
#include "unit.h"

static void the_tool_that_complained_is_found(void **state)
{
	static const struct {
		const char *rule, *evidence, *job;
		const char *tool; /* NULL: none is known */
	} rows[] = {
		{ "python-format", "would reformat src/a.py", "lint", "black" },
		{ "python-lint",
		  "ERROR: /src/a.py Imports are incorrectly sorted and/or formatted.", "lint",
		  "isort" },
		{ "eslint", "\u2716 3 problems (3 errors, 0 warnings)", "lint", "eslint" },
		{ "lint-words", "[warn] Code style issues found in 2 files.", "lint", "prettier" },
		{ "style-lines",
		  "a.c:1:4: error: code should be clang-formatted "
		  "[-Wclang-format-violations]",
		  "lint", "clang-format" },
		{ "command-lint", "cargo fmt --check failed", "lint", "rustfmt" },
		{ "command-lint", "the job failed", "gofmt", "gofmt" },
		{ "lint-words", "blacklisted word in README", "lint", NULL },
		{ "mypy", "a.py:1: error: Name x is not defined", "types", NULL },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct change_tool *t;
		struct finding f;

		finding_init(&f);
		f.rule = rows[i].rule;
		f.job = rows[i].job;
		f.evidence[0].text = rows[i].evidence;
		f.n_evidence = 1;
		t = change_tool_for("fix_lint", &f);
		assert_case(rows[i].tool ? t && strcmp(t->name, rows[i].tool) == 0 : !t,
			    rows[i].evidence);
		assert_null(change_tool_for("rerun_all", &f));
	}
}

static void lock_files_are_named_by_who_complains(void **state)
{
	static const struct {
		const char *evidence, *tool;
	} rows[] = {
		{ "`npm ci` can only install packages when your package.json and "
		  "package-lock.json are in sync",
		  "npm" },
		{ "ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with \"frozen-lockfile\"", "pnpm" },
		{ "error: the lock file /src/Cargo.lock needs to be updated but --locked was "
		  "passed",
		  "cargo" },
		{ "missing go.sum entry for module providing package a.example/b", "go" },
		{ "error: failed to download from `a.example`: cargo gave up", NULL },
		{ "go: a.example/b@v1.2.3: unknown revision v1.2.3 in go.mod", NULL },
		{ "pnpm: command not found", NULL },
		{ "error Your lockfile needs to be updated, but yarn was run with "
		  "`--frozen-lockfile`.",
		  "yarn" },
		/* Of a later yarn, which is not for us. */
		{ "YN0028: The lockfile would have been modified by this install, which is "
		  "explicitly forbidden.",
		  NULL },
		{ "pyproject.toml changed significantly since poetry.lock was last generated. Run "
		  "`poetry lock` to fix the lock file.",
		  "poetry" },
		{ "- Required package \"x/c\" is not present in the lock file.", "composer" },
		{ "- The lock file is not up to date with the latest changes in composer.json, it "
		  "is recommended that you run `composer update`",
		  "composer" },
		{ "You are trying to install in deployment mode after changing", "bundler" },
		{ "The dependencies in your gemfile changed, but the lockfile can't be updated",
		  "bundler" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct change_tool *t;
		struct finding f;

		finding_init(&f);
		f.evidence[0].text = rows[i].evidence;
		f.n_evidence = 1;
		t = change_tool_for("refresh_lockfile", &f);
		assert_case(rows[i].tool ? t && strcmp(t->name, rows[i].tool) == 0 : !t,
			    rows[i].evidence);
	}
}

static void every_row_is_whole(void **state)
{
	char branch[CHANGE_BRANCH_MAX];
	struct err err;

	UNUSED(state);
	for (const struct change_tool *t = change_tools; t->name; t++) {
		assert_true(*t->words && t->needs[0] && t->paths[0] && t->commands[0].argv[0]);
		assert_ptr_equal(change_tool_find(t->strategy, t->name), t);
		assert_ok(change_branch(t->strategy, "0123456789abcdef", branch, &err), &err);
	}
	assert_null(change_tool_find("fix_lint", "sh"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tool_that_complained_is_found),
		cmocka_unit_test(lock_files_are_named_by_who_complains),
		cmocka_unit_test(every_row_is_whole),
	};

	return cmocka_run_group_tests_name("change_tool", tests, NULL, NULL);
}

#include "dispatcher/codeowners.h"

#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "unit.h"

static void globs(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool hit;
	} cases[] = {
		{ "tax.py", "tax.py", true },
		{ "tax.py", "tax.pyc", false },
		{ "*.py", "tax.py", true },
		{ "*.py", "shop/tax.py", false },
		{ "docs/*", "docs/a.md", true },
		{ "docs/*", "docs/a/b.md", false },
		{ "docs/**", "docs/a/b.md", true },
		{ "docs/**", "docs", false },
		{ "**/logs", "logs", true },
		{ "**/logs", "a/b/logs", true },
		{ "**/logs", "a/blogs", false },
		{ "a/**/b", "a/b", true },
		{ "a/**/b", "a/x/y/b", true },
		{ "a/**/b", "a/x/yb", false },
		{ "a/**/x*z/b", "a/xz/c/xyz/b", true },
		{ "t?x.py", "tax.py", true },
		{ "t?x", "t/x", false },
		{ "a**b", "axxb", true },
		{ "a**b", "a/b", false },
		{ "*a*b*c", "xaxbxc", true },
		{ "*a*b*c", "xaxcxb", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (codeowners_glob(cases[i].pattern, cases[i].path) != cases[i].hit)
			fail_msg("%s %s %s", cases[i].pattern, cases[i].hit ? "misses" : "hits",
				 cases[i].path);
}

struct row {
	const char *why, *path, *want;
};

static void check(const char *text, enum codeowners_dialect dialect, const struct row *rows,
		  size_t n)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	const struct codeowners *c = codeowners_parse(text, strlen(text), dialect, a);

	for (size_t i = 0; i < n; i++) {
		char owner[CODEOWNERS_OWNER_MAX];
		bool found = codeowners_of(c, rows[i].path, owner);

		if (strcmp(owner, rows[i].want) != 0 || found != (*rows[i].want != '\0'))
			fail_msg("row \"%s\": %s belongs to \"%s\"", rows[i].why, rows[i].path,
				 owner);
	}
}

static void github_takes_the_last_rule_that_matches(void **state)
{
	static const char text[] = "# who answers for what\n"
				   "*       @acme/all   # everything\n"
				   "\n"
				   "*.js    @js @acme/web\r\n"
				   "/build/logs/ @doctor\n"
				   "docs/*  docs@example.org\n"
				   "apps/   @octo\n"
				   "/apps/github\n"
				   "shop/tests @tests\n"
				   "with\\ space.py @space\n"
				   "!never.py @no\n"
				   "[Section] @section\n"
				   "/odd.py @\xff @\x1b[2J @good\n";
	static const struct row rows[] = {
		{ "the default", "tests/test_tax.py", "@acme/all" },
		{ "by its ending, at any depth", "web/src/tax.test.js", "@js @acme/web" },
		{ "below a folder at the root", "build/logs/a/b.txt", "@doctor" },
		{ "such a folder elsewhere", "x/build/logs/b.txt", "@acme/all" },
		{ "a file of a folder", "docs/a.md", "docs@example.org" },
		{ "but not deeper", "docs/a/b.md", "@acme/all" },
		{ "a folder anywhere", "lib/apps/x/y.py", "@octo" },
		{ "taken out again", "apps/github/a.py", "" },
		{ "a folder without a slash at its end", "shop/tests/a/b.py", "@tests" },
		{ "a slash within begins at the root", "x/shop/tests/b.py", "@acme/all" },
		{ "a space", "with space.py", "@space" },
		{ "what is no text is no owner", "odd.py", "@good" },
		{ "it has no negation", "never.py", "@acme/all" },
	};

	UNUSED(state);
	check(text, CODEOWNERS_GITHUB, rows, ARRAY_LEN(rows));
}

static void gitlab_has_sections(void **state)
{
	static const char text[] = "README.md @readme\n"
				   "internal/notes @notes\n"
				   "/config/ @ops\n"
				   "[Tests][2] @testers\n"
				   "*_test.py\n"
				   "/shop/ @shop\n"
				   "!/shop/free_test.py\n"
				   "^[Docs] @writers\n"
				   "docs/*\n"
				   "[TESTS]\n"
				   "late.py\n";
	static const struct row rows[] = {
		{ "a relative path is anywhere", "a/b/README.md", "@readme" },
		{ "of several parts, too", "docs/internal/notes", "@notes" },
		{ "no folder without a slash", "internal/notes/x", "" },
		{ "a folder", "config/a/b.yml", "@ops" },
		{ "the owner of the section", "a/tax_test.py", "@testers" },
		{ "the last rule of a section", "shop/tax_test.py", "@shop" },
		{ "exempt from a section", "shop/free_test.py", "" },
		{ "sections add up", "docs/README.md", "@readme @writers" },
		{ "a section goes on, in whatever case", "late.py", "@testers" },
	};

	UNUSED(state);
	check(text, CODEOWNERS_GITLAB, rows, ARRAY_LEN(rows));
}

static void what_a_stranger_writes_is_bounded(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	OWNED(buf_done) struct buf text;
	char owner[CODEOWNERS_OWNER_MAX];
	const struct codeowners *c;

	UNUSED(state);
	buf_init(&text, 4 << 20);
	for (unsigned i = 0; i < CODEOWNERS_RULES_MAX; i++)
		buf_printf(&text, "/f%u @o\n", i);
	buf_puts(&text, "/late @late\n");
	c = codeowners_parse(text.data, text.len, CODEOWNERS_GITHUB, a);
	assert_true(codeowners_of(c, "f1999", owner));
	assert_false(codeowners_of(c, "late", owner));

	buf_reset(&text);
	for (unsigned i = 0; i < 300; i++)
		buf_printf(&text, "[s%u]\nx @owner-number-%u\n", i, i);
	c = codeowners_parse(text.data, text.len, CODEOWNERS_GITLAB, a);
	assert_true(codeowners_of(c, "x", owner));
	assert_true(strlen(owner) < CODEOWNERS_OWNER_MAX);

	buf_reset(&text);
	for (unsigned i = 0; i < CODEOWNERS_PATTERN_MAX; i++)
		buf_putc(&text, 'a');
	buf_puts(&text, " @long\n* @all\n[\n[]\n^\n!\n/\n\\\n\\");
	c = codeowners_parse(text.data, text.len, CODEOWNERS_GITLAB, a);
	assert_true(codeowners_of(c, "aaa", owner));
	c = codeowners_parse("", 0, CODEOWNERS_GITHUB, a);
	assert_false(codeowners_of(c, "aaa", owner));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs),
		cmocka_unit_test(github_takes_the_last_rule_that_matches),
		cmocka_unit_test(gitlab_has_sections),
		cmocka_unit_test(what_a_stranger_writes_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

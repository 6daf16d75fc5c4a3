/*
 * quarantine_test: a test that is known to be flaky still runs, and its failure is no longer one of
 * the run. pytest has a mark for that; nothing is skipped.
 */
#include "healers/edit.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/finding.h"
#include "core/text.h"
#include "healers/propose.h"

enum { NAME_MAX_BYTES = 120 };

/* "tests/test_a.py::TestX::test_y[1-2]": its file and its function. */
static bool read_name(const struct edit_facts *facts, char path[static CHANGE_PATH_MAX],
		      char name[static NAME_MAX_BYTES])
{
	const struct finding *f = facts->finding;
	const char *test, *last = NULL;
	size_t n;

	if (f->n_failed_tests != 1 || strcmp(f->test_framework, "pytest") != 0)
		return false;
	test = f->failed_tests[0];
	for (const char *p = strstr(test, "::"); p; p = strstr(p + 2, "::"))
		last = p + 2;
	if (!last || !text_copy(path, CHANGE_PATH_MAX, test, (size_t)(strstr(test, "::") - test)))
		return false;
	n = strspn(last, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	return n && (!last[n] || last[n] == '[') && text_copy(name, NAME_MAX_BYTES, last, n) &&
	       text_ends(path, ".py") && change_path_ok(path);
}

static bool fits(const struct edit_facts *facts)
{
	char path[CHANGE_PATH_MAX], name[NAME_MAX_BYTES];

	return facts->rules->fewer_tests && read_name(facts, path, name);
}

static const char *file(const struct edit_facts *facts, unsigned i,
			char out[static CHANGE_PATH_MAX])
{
	char name[NAME_MAX_BYTES];

	return i == 0 && read_name(facts, out, name) ? out : NULL;
}

static bool begins_line(const char *text, const char *at)
{
	return at == text || at[-1] == '\n';
}

/* Of "def", when it is the first word there, or "async" is; NULL: it is not. */
static const char *line_of(const char *text, const char *at)
{
	static const char async[] = "async ";

	if ((size_t)(at - text) >= sizeof(async) - 1 &&
	    strncmp(at - (sizeof(async) - 1), async, sizeof(async) - 1) == 0)
		at -= sizeof(async) - 1;
	while (at > text && (at[-1] == ' ' || at[-1] == '\t'))
		at--;
	return begins_line(text, at) ? at : NULL;
}

/* The line of the only function of that name; NULL: there is none, or there are several. */
static const char *only_def(const char *text, const char *name)
{
	const char *found = NULL;
	size_t n = strlen(name);

	for (const char *at = strstr(text, "def "); at; at = strstr(at + 1, "def ")) {
		const char *line = strncmp(at + 4, name, n) == 0 && at[4 + n] == '('
					   ? line_of(text, at)
					   : NULL;

		if (line && found)
			return NULL;
		found = line ? line : found;
	}
	return found;
}

static bool imports_pytest(const char *text)
{
	static const char word[] = "import pytest";

	for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) {
		char next = at[sizeof(word) - 1];

		if (begins_line(text, at) && (!next || next == '\n' || next == '\r'))
			return true;
	}
	return false;
}

static bool apply(const struct edit_facts *facts, const struct edit_file *f,
		  struct edit_result *out)
{
	char path[CHANGE_PATH_MAX], name[NAME_MAX_BYTES];
	const char *line;

	if (!f->text || !read_name(facts, path, name) || !imports_pytest(f->text))
		return false;
	line = only_def(f->text, name);
	if (!line)
		return false;
	buf_append(&out->text, f->text, (size_t)(line - f->text));
	buf_append(&out->text, line, strspn(line, " \t"));
	buf_puts(&out->text, "@pytest.mark.xfail(reason=\"flaky\", strict=False)\n");
	buf_append(&out->text, line, f->n - (size_t)(line - f->text));
	(void)snprintf(out->what, sizeof(out->what), "Let %.80s fail without failing the run",
		       name);
	return true;
}

const struct edit edit_quarantine_test = {
	.fits = fits,
	.file = file,
	.apply = apply,
	.limits = { .max_files = 1, .max_lines = 1 },
};

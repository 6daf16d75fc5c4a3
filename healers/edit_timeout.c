/*
 * bump_timeout: the log says which limit was exceeded, and a file has exactly that limit in exactly
 * one place: there it is doubled. A limit that is nowhere written down is not made.
 */
#include "healers/edit.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/finding.h"
#include "core/text.h"
#include "healers/propose.h"

enum { FILES_MAX = 9, KEYS_MAX = 3, SAYS_MAX = 2 };
#define HOUR_MS 3600e3

/* A test runner, by what it says when a limit is over. */
static const struct tool {
	const char *says[SAYS_MAX]; /* what stands before the number in the log */
	double says_ms;             /* a number without a unit there, in ms */
	const char *keys[KEYS_MAX]; /* what stands before it in a file */
	double file_ms;
	const char *files[FILES_MAX]; /* "": the one the run was made by */
	double most_ms;               /* no limit is raised beyond that */
} tools[] = {
	/* pytest-timeout */
	{ { "Timeout >", "Timeout (>" },
	  1000,
	  { "timeout" },
	  1000,
	  { "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg" },
	  HOUR_MS },
	/* Jest */
	{ { "Exceeded timeout of ", "was not invoked within the " },
	  1,
	  { "testTimeout" },
	  1,
	  { "jest.config.js", "jest.config.ts", "jest.config.mjs", "jest.config.cjs",
	    "jest.config.json", "package.json" },
	  HOUR_MS },
	/* Mocha */
	{ { "Error: Timeout of " },
	  1,
	  { "timeout", "--timeout" },
	  1,
	  { ".mocharc.json", ".mocharc.yml", ".mocharc.yaml", ".mocharc.js", ".mocharc.cjs",
	    ".mocharc.jsonc", "test/mocha.opts", "package.json" },
	  HOUR_MS },
	/* Vitest */
	{ { "Test timed out in " },
	  1,
	  { "testTimeout" },
	  1,
	  { "vitest.config.ts", "vitest.config.js", "vitest.config.mts", "vitest.config.mjs",
	    "vite.config.ts", "vite.config.js" },
	  HOUR_MS },
	/* Playwright */
	{ { "Test timeout of " },
	  1,
	  { "timeout" },
	  1,
	  { "playwright.config.ts", "playwright.config.js", "playwright.config.mjs" },
	  HOUR_MS },
	/* Cypress */
	{ { "Timed out retrying after " },
	  1,
	  { "defaultCommandTimeout" },
	  1,
	  { "cypress.config.ts", "cypress.config.js", "cypress.config.mjs", "cypress.json" },
	  HOUR_MS },
	/* go test */
	{ { "test timed out after " },
	  1000,
	  { "-timeout", "--timeout", "-test.timeout" },
	  1000,
	  { "Makefile", "GNUmakefile", "makefile", "Taskfile.yml", "Taskfile.yaml", "magefile.go",
	    "justfile", ".justfile" },
	  HOUR_MS },
	/* A job of GitHub Actions */
	{ { "has exceeded the maximum execution time of " },
	  60e3,
	  { "timeout-minutes" },
	  60e3,
	  { "" },
	  6 * HOUR_MS },
	/* A job of GitLab CI */
	{ { "execution took longer than " }, 1000, { "timeout" }, 1000, { "" }, 6 * HOUR_MS },
};

/* --- numbers ------------------------------------------------------------------------------ */

static double unit_ms(const char *word, size_t n)
{
	static const struct {
		const char *word;
		double ms;
	} units[] = {
		{ "ms", 1 },       { "s", 1e3 },       { "sec", 1e3 },      { "secs", 1e3 },
		{ "second", 1e3 }, { "seconds", 1e3 }, { "m", 60e3 },       { "min", 60e3 },
		{ "mins", 60e3 },  { "minute", 60e3 }, { "minutes", 60e3 }, { "h", HOUR_MS },
		{ "hr", HOUR_MS }, { "hrs", HOUR_MS }, { "hour", HOUR_MS }, { "hours", HOUR_MS },
	};

	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strlen(units[i].word) == n && strncmp(units[i].word, word, n) == 0)
			return units[i].ms;
	return 0;
}

static size_t letters(const char *s)
{
	size_t n = 0;

	while (isalpha((unsigned char)s[n]))
		n++;
	return n;
}

struct number {
	size_t len; /* of its digits */
	double value, ms;
	bool more; /* "1h 30m": it has parts */
};

/* "30", "30.0", "10m0s", "2 minutes"; false: no number that we understand. */
static bool read_number(const char *s, double bare_ms, struct number *out)
{
	*out = (struct number){ .len = 0 };
	for (const char *at = s;;) {
		size_t digits = strspn(at, "0123456789."), gap, word;
		double value, ms;
		char copy[16];

		if (!digits || !isdigit((unsigned char)*at) ||
		    !text_copy(copy, sizeof(copy), at, digits))
			break;
		value = strtod(copy, NULL);
		gap = strspn(at + digits, " ");
		word = letters(at + digits + gap);
		ms = unit_ms(at + digits + gap, word);
		if (ms <= 0 && gap == 0 && word)
			return false; /* "30x" */
		if (!out->len) {
			out->len = digits;
			out->value = value;
		} else if (ms <= 0) {
			break; /* another number, of something else */
		} else if (value > 0) {
			out->more = true;
		}
		out->ms += value * (ms > 0 ? ms : bare_ms);
		if (ms <= 0)
			break;
		at += digits + gap + word;
		at += strspn(at, " ");
	}
	return out->len && out->ms > 0 && isfinite(out->ms);
}

/* --- the log -------------------------------------------------------------------------------- */

static bool said(const struct tool *tool, const char *line, double *ms)
{
	for (size_t i = 0; i < SAYS_MAX && tool->says[i]; i++) {
		const char *at = strstr(line, tool->says[i]);
		struct number n;

		if (!at || !read_number(at + strlen(tool->says[i]), tool->says_ms, &n))
			continue;
		*ms = n.ms;
		return true;
	}
	return false;
}

static const struct tool *tool_of(const struct edit_facts *facts, double *ms)
{
	const struct finding *f = facts->finding;

	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		for (size_t k = 0; k < f->n_evidence; k++)
			if (said(&tools[i], f->evidence[k].text, ms))
				return &tools[i];
	return NULL;
}

static bool fits(const struct edit_facts *facts)
{
	double ms;
	const struct tool *tool = tool_of(facts, &ms);

	return tool && 2 * ms <= tool->most_ms && (*tool->files[0] || facts->rules->ci_files);
}

static const char *file(const struct edit_facts *facts, unsigned i,
			char out[static CHANGE_PATH_MAX])
{
	double ms;
	const struct tool *tool = tool_of(facts, &ms);

	if (!tool || i == FILES_MAX || !tool->files[i])
		return NULL;
	(void)snprintf(out, CHANGE_PATH_MAX, "%s",
		       *tool->files[i] ? tool->files[i] : facts->ci_file);
	return out;
}

/* --- the file ------------------------------------------------------------------------------- */

static bool part_of_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

/* `key = 30`, `"key": 30`, `key(30)`, `-key 30`, `-key=30`: where the number begins; NULL: not so.
 */
static const char *value_after(const char *text, const char *at, size_t key)
{
	const char *p = at + key;

	if (at > text && part_of_name(at[-1]))
		return NULL;
	p += *p == '"' || *p == '\'';
	if (part_of_name(*p))
		return NULL;
	p += strspn(p, " \t");
	p += *p == '=' || *p == ':' || *p == '(';
	p += strspn(p, " \t\"'");
	return isdigit((unsigned char)*p) ? p : NULL;
}

/* Where a text was read to, and whether that is in a comment. */
struct reading {
	const char *text, *at;
	bool comment;
};

/* On to `to`, each byte once. A URL has slashes, too, but no limit after them. */
static bool in_comment(struct reading *r, const char *to)
{
	for (; r->at < to; r->at++) {
		const char *p = r->at;

		if (*p == '\n')
			r->comment = false;
		else if (*p == '#' || (p[0] == '/' && (p[1] == '/' || p[1] == '*')) ||
			 (*p == ';' && (p == r->text || p[-1] == '\n')))
			r->comment = true;
	}
	return r->comment;
}

struct place {
	const char *at;
	const char *key;
	struct number n;
	unsigned found;
};

static void find_places(const struct tool *tool, const char *text, double ms, struct place *out)
{
	for (size_t i = 0; i < KEYS_MAX && tool->keys[i]; i++) {
		struct reading read = { text, text, false };
		size_t key = strlen(tool->keys[i]);

		for (const char *at = strstr(text, tool->keys[i]); at;
		     at = strstr(at + 1, tool->keys[i])) {
			const char *value = value_after(text, at, key);
			struct number n;

			if (!value || in_comment(&read, at) ||
			    !read_number(value, tool->file_ms, &n) || fabs(n.ms - ms) > 0.5 ||
			    value == out->at)
				continue;
			*out = (struct place){ value, tool->keys[i], n, out->found + 1 };
		}
	}
}

static bool apply(const struct edit_facts *facts, const struct edit_file *f,
		  struct edit_result *out)
{
	double ms = 0;
	const struct tool *tool = tool_of(facts, &ms);
	struct place p = { 0 };
	char now[32];
	const char *after;

	if (!tool || !f->text)
		return false;
	find_places(tool, f->text, ms, &p);
	/* Of two that are the same nobody knows which one it was. */
	if (p.found != 1 || p.n.more)
		return false;
	after = p.at + p.n.len;
	(void)snprintf(now, sizeof(now), "%.10g", p.n.value * 2);
	buf_append(&out->text, f->text, (size_t)(p.at - f->text));
	buf_puts(&out->text, now);
	buf_append(&out->text, after, f->n - (size_t)(after - f->text));
	(void)snprintf(out->what, sizeof(out->what), "Raise %s in %.80s from %.*s to %s", p.key,
		       f->path, (int)p.n.len, p.at, now);
	return true;
}

const struct edit edit_bump_timeout = {
	.fits = fits,
	.file = file,
	.apply = apply,
	.limits = { .max_files = 1, .max_lines = 2 },
};

#include "healers/change.h"

#include <ctype.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/conf.h"
#include "core/mask.h"
#include "core/mem.h"
#include "core/neutralise.h"
#include "core/text.h"

enum {
	NAME_MAX_BYTES = 255,
	LINES_MAX = 20000, /* what `change.max_lines` may be: the comparison costs its square */
	LINES_OF_FILE = 400000, /* ... and memory of each line */
	SECRET_MIN = 12,
};

static const struct conf_option options[] = {
	{ "change.max_files", CONF_INT, "50", "1", "1000",
	  "A change that we propose to a repository touches at most so many files." },
	{ "change.max_lines", CONF_INT, "1000", "1", "20000",
	  "... and deletes and inserts at most so many lines." },
	{ "change.max_repository", CONF_SIZE, "512m", "1m", "16g",
	  "Of a larger repository no copy is made to run a program in: then a change is only "
	  "suggested." },
	{ "change.timeout", CONF_DURATION, "5m", "1s", "1h",
	  "Time for a copy of a repository, the program that mends it, and the push." },
	{ "change.folder", CONF_STR, "/var/tmp", NULL, NULL,
	  "Where copies of repositories are made; they are removed afterwards." },
	{ "change.network_hosts", CONF_STR, NULL, NULL, NULL,
	  "Hosts that such a program may talk to where it needs the network: a list of `host`, "
	  "`*.domain`, `host:port`; without a port 80 and 443. Unset: any public address." },
	{ "change.network_private", CONF_STR, NULL, NULL, NULL,
	  "... and hosts whose address need not be public: a registry of your own." },
	{ "change.ci_files", CONF_BOOL, "false", NULL, NULL,
	  "Proposed changes may touch the files that say what the CI server runs." },
	{ "change.fewer_tests", CONF_BOOL, "false", NULL, NULL,
	  "Proposed changes may delete tests or have them skipped." },
	{ "change.author_name", CONF_STR, "Pipeline Guard", NULL, NULL,
	  "Who is said to have made them, and signs off." },
	{ "change.author_email", CONF_STR, "pipeline-guard@localhost", NULL, NULL,
	  "Address of that author." },
	{ "change.follow", CONF_DURATION, "1h", "100ms", "1d",
	  "How soon it is first looked at what became of a proposal; then ever more rarely." },
	{ "change.again_after", CONF_DURATION, "30d", "0s", "3650d",
	  "For so long what somebody closed is not proposed again for the same failure." },
};

const struct conf_table change_conf = {
	.title = "Proposed changes",
	.options = options,
	.n = ARRAY_LEN(options),
};

/* What a CI server runs. Patterns as in change_limits.paths, letter case aside. */
static const char *const ci_files[] = {
	".github/workflows/*",
	".github/actions/*",
	"action.yml",
	"action.yaml",
	"*.gitlab-ci.yml",
	"*.gitlab-ci.yaml",
	".gitlab/ci/*",
	".gitlab-ci/*",
	"Jenkinsfile*",
	"*.jenkinsfile",
	".circleci/*",
	".travis.y*ml",
	"azure-pipelines*.y*ml",
	".azure-pipelines/*",
	"bitbucket-pipelines.yml",
	".buildkite/*",
	".drone.y*ml",
	".drone.star",
	".woodpecker.y*ml",
	".woodpecker/*",
	"appveyor.yml",
	".appveyor.yml",
	".cirrus.y*ml",
	".cirrus.star",
	".teamcity/*",
	".semaphore/*",
	".forgejo/workflows/*",
	".gitea/workflows/*",
	"cloudbuild.y*ml",
	"buildspec.y*ml",
	".pre-commit-config.yaml",
};

/* Who has to review, where submodules come from, what filters git runs: nobody's to change. */
static const char *const forbidden[] = {
	"CODEOWNERS", ".gitmodules", ".gitattributes", ".gitconfig", ".lfsconfig", ".mailmap",
};

static const char *const test_files[] = {
	"test_*.py",  "*_test.py",   "*_test.go",   "*.test.*",   "*.spec.*",  "*_spec.rb",
	"*_test.rb",  "*Test.java",  "*Tests.java", "*Test.kt",   "*Tests.kt", "*Tests.cs",
	"*Test.php",  "*_test.c",    "*_test.cc",   "*_test.cpp", "test_*.c",  "*Tests.swift",
	"*_test.exs", "*Spec.scala", "conftest.py", "*.bats",
};
static const char *const test_folders[] = {
	"test/*",   "tests/*",   "spec/*",   "specs/*",   "__tests__/*",
	"*/test/*", "*/tests/*", "*/spec/*", "*/specs/*", "*/__tests__/*",
};

/*
 * Words of test frameworks. A change may not have more of the first nor fewer of the second kind
 * than there were: so a formatter may move them about.
 */
static const char *const skips[] = {
	"@pytest.mark.skip",
	"pytest.skip(",
	"@pytest.mark.xfail",
	"pytest.xfail(",
	"@unittest.skip",
	"self.skipTest(",
	"unittest.expectedFailure",
	"@Disabled",
	"@Ignore",
	"[Ignore",
	"Skip=",
	"it.skip(",
	"test.skip(",
	"describe.skip(",
	"xit(",
	"xtest(",
	"xdescribe(",
	"it.only(",
	"test.only(",
	"describe.only(",
	"fit(",
	"fdescribe(",
	"it.todo(",
	"test.todo(",
	".Skip(",
	".SkipNow(",
	".Skipf(",
	"#[ignore",
	"GTEST_SKIP",
	"DISABLED_",
	"markTestSkipped(",
	"@tag :skip",
	"XCTSkip",
};
static const char *const tests[] = {
	"def test_",     "def test",       "it(",
	"test(",         "describe(",      "func Test",
	"func test",     "@Test",          "@ParameterizedTest",
	"#[test]",       "#[tokio::test]", "TEST(",
	"TEST_F(",       "TEST_P(",        "[Fact",
	"[Theory",       "[Test",          "[TestMethod",
	"function test", "@test",          "add_test(",
	"assert",
};

static int refuse(struct err *err, const char *path, const char *why)
{
	char shown[100];

	(void)text_copy(shown, sizeof(shown), path, strlen(path));
	for (char *p = shown; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	return err_set(err, ERR_INPUT, "%s: %s", shown, why);
}

/* --- paths ----------------------------------------------------------------------------------- */

/* As file systems that forgive read it: letter case, the dots and spaces at its end, 8.3 names. */
static bool reads_as_git(const char *part, size_t n)
{
	while (n > 1 && (part[n - 1] == '.' || part[n - 1] == ' '))
		n--;
	return (n == 4 && strncasecmp(part, ".git", 4) == 0) ||
	       (n == 5 && strncasecmp(part, "git~", 4) == 0 && isdigit((unsigned char)part[4]));
}

static bool part_ok(const char *part, size_t n)
{
	if (!n || n > NAME_MAX_BYTES || strncmp(part, "..", n) == 0 || reads_as_git(part, n))
		return false;
	/* Joiners are letters to some languages, and nothing at all to some file systems. */
	if (memmem(part, n, "\u200c", 3) || memmem(part, n, "\u200d", 3))
		return false;
	for (size_t i = 0, len; i < n; i += len)
		if (part[i] == '\\' || part[i] == ':' || neutralise_is_bad(part + i, n - i, &len))
			return false;
	return true;
}

bool change_path_ok(const char *path)
{
	size_t n;

	if (strlen(path) > CHANGE_PATH_MAX)
		return false;
	for (;; path += n + 1) {
		n = strcspn(path, "/");
		if (!part_ok(path, n))
			return false;
		if (!path[n])
			return true;
	}
}

static bool path_matches(const char *pattern, const char *path, int flags)
{
	const char *slash = strrchr(path, '/');

	if (!strchr(pattern, '/') && slash)
		path = slash + 1;
	return fnmatch(pattern, path, flags) == 0;
}

static bool is_one_of(const char *const *patterns, size_t n, const char *path, int flags)
{
	for (size_t i = 0; i < n; i++)
		if (path_matches(patterns[i], path, flags))
			return true;
	return false;
}
#define IS_ONE_OF(table, path, flags) is_one_of(table, ARRAY_LEN(table), path, flags)

bool change_is_ci_file(const char *path)
{
	return IS_ONE_OF(ci_files, path, FNM_CASEFOLD);
}

static bool fewer_tests(const struct conf *conf, const struct change_limits *limits)
{
	return limits->fewer_tests || conf_bool(conf, "change.fewer_tests");
}

bool change_path_in(const struct change_limits *limits, const char *path)
{
	size_t n = 0;

	while (limits->paths && limits->paths[n])
		n++;
	return !limits->paths || is_one_of(limits->paths, n, path, 0);
}

/* What a test compares its results with is not a test. */
static bool is_test(const char *path)
{
	return IS_ONE_OF(test_files, path, 0) ||
	       (IS_ONE_OF(test_folders, path, FNM_CASEFOLD) && !text_ends(path, ".snap"));
}

static int check_path(const struct conf *conf, const struct change_limits *limits,
		      const struct change_file *f, struct err *err)
{
	if (!change_path_ok(f->path))
		return refuse(err, f->path, "is no path that we would propose");
	if (IS_ONE_OF(forbidden, f->path, FNM_CASEFOLD))
		return refuse(err, f->path, "is never changed by us");
	if (change_is_ci_file(f->path) && !limits->ci_files && !conf_bool(conf, "change.ci_files"))
		return refuse(err, f->path, "says what the CI server runs (change.ci_files)");
	if (!change_path_in(limits, f->path))
		return refuse(err, f->path, "is none of the files that this strategy may change");
	if (f->deleted && is_test(f->path) && !fewer_tests(conf, limits))
		return refuse(err, f->path, "is a test and would be deleted (change.fewer_tests)");
	return 0;
}

/* --- lines ----------------------------------------------------------------------------------- */

struct line {
	const char *s;
	size_t n; /* with its end */
};

static struct line *lines_of(const char *s, size_t n, unsigned *count)
{
	struct line *lines;
	size_t have = 1;

	for (size_t i = 0; i < n; i++)
		have += s[i] == '\n';
	lines = xcalloc(have, sizeof(*lines));
	*count = 0;
	for (const char *end = s + n; s < end; s += lines[(*count)++].n) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));

		lines[*count] = (struct line){ s, nl ? (size_t)(nl - s) + 1 : (size_t)(end - s) };
	}
	return lines;
}

static bool same(const struct line *a, const struct line *b)
{
	return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}

/*
 * Myers' greedy way: reach[k] is how far one gets in `a` on the diagonal k with d deletions and
 * insertions. Ends at max, so time is at most max * (max + lines).
 */
static unsigned distance(const struct line *a, int n, const struct line *b, int m, int max)
{
	OWNED(freep) int *space = xcalloc((size_t)max * 2 + 3, sizeof(*space));
	int *reach = space + max + 1;

	for (int d = 0; d <= max; d++) {
		for (int k = -d; k <= d; k += 2) {
			bool down = k == -d || (k != d && reach[k - 1] < reach[k + 1]);
			int x = down ? reach[k + 1] : reach[k - 1] + 1;

			while (x < n && x - k >= 0 && x - k < m && same(&a[x], &b[x - k]))
				x++;
			reach[k] = x;
			if (x >= n && x - k >= m)
				return (unsigned)d;
		}
	}
	return (unsigned)max + 1;
}

static size_t count_newlines(const char *s, size_t n)
{
	size_t lines = 1;

	for (size_t i = 0; i < n && lines <= LINES_OF_FILE; i++)
		lines += s[i] == '\n';
	return lines;
}

unsigned change_lines(const char *before, size_t n_before, const char *after, size_t n_after,
		      unsigned max)
{
	OWNED(freep) struct line *a = NULL;
	OWNED(freep) struct line *b = NULL;
	unsigned n, m, from = 0;

	if (max > LINES_MAX)
		max = LINES_MAX;
	if (count_newlines(before, n_before) > LINES_OF_FILE ||
	    count_newlines(after, n_after) > LINES_OF_FILE)
		return max + 1;
	a = lines_of(before ? before : "", n_before, &n);
	b = lines_of(after ? after : "", n_after, &m);
	while (from < n && from < m && same(&a[from], &b[from]))
		from++;
	while (n > from && m > from && same(&a[n - 1], &b[m - 1])) {
		n--;
		m--;
	}
	return distance(a + from, (int)(n - from), b + from, (int)(m - from), (int)max);
}

/* --- content --------------------------------------------------------------------------------- */

/* Blanks before a parenthesis are taste: "it (" is "it(". Returns how much of s it takes. */
static size_t word_at(const char *s, size_t n, const char *word)
{
	size_t i = 0;

	for (; *word; word++, i++) {
		while (*word == '(' && i < n && s[i] == ' ')
			i++;
		if (i == n || s[i] != *word)
			return 0;
	}
	return i;
}

static unsigned count_words(const char *s, size_t n, const char *word)
{
	unsigned found = 0;
	size_t len;

	for (size_t i = 0; i < n; i += len ? len : 1) {
		const char *at = memchr(s + i, *word, n - i);

		if (!at)
			break;
		i = (size_t)(at - s);
		len = i && isalnum((unsigned char)*word) &&
				      (isalnum((unsigned char)s[i - 1]) || s[i - 1] == '_')
			      ? 0
			      : word_at(at, n - i, word);
		found += len > 0;
	}
	return found;
}

/* Elsewhere most of these words mean something else; only Rust has its tests in the sources. */
static int check_tests(const struct change_file *f, struct err *err)
{
	if (!is_test(f->path) && !text_ends(f->path, ".rs"))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(skips); i++)
		if (count_words(f->after, f->n_after, skips[i]) >
		    count_words(f->before, f->n_before, skips[i]))
			return refuse(err, f->path, "would skip a test (change.fewer_tests)");
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		if (count_words(f->after, f->n_after, tests[i]) <
		    count_words(f->before, f->n_before, tests[i]))
			return refuse(err, f->path, "would lose a test (change.fewer_tests)");
	return 0;
}

struct secrets {
	const struct change_file *f;
	bool found;
};

/* Letters and digits, and nothing that a name or an expression of a program has. */
static bool looks_random(const char *s, size_t n)
{
	bool letter = false, digit = false;

	for (size_t i = 0; i < n; i++) {
		letter |= isalpha((unsigned char)s[i]) != 0;
		digit |= isdigit((unsigned char)s[i]) != 0;
		if (!isalnum((unsigned char)s[i]) && !strchr("_-./+=", s[i]))
			return false;
	}
	return n >= SECRET_MIN && letter && digit;
}

static void on_secret(const char *secret, size_t n, bool sure, void *arg)
{
	struct secrets *s = arg;

	/* What was there before, is not published by us. */
	if ((sure || looks_random(secret, n)) &&
	    !(s->f->n_before && memmem(s->f->before, s->f->n_before, secret, n)))
		s->found = true;
}

static int check_secrets(const struct change_file *f, struct err *err)
{
	struct secrets s = { .f = f };
	const char *p = f->after, *end = p + f->n_after, *next;

	for (; p < end && !s.found; p = next + 1) {
		next = memchr(p, '\n', (size_t)(end - p));
		next = next ? next : end;
		mask_each(p, (size_t)(next - p), on_secret, &s);
	}
	return s.found ? refuse(err, f->path, "what is new looks like a secret") : 0;
}

static int check_content(const struct conf *conf, const struct change_limits *limits,
			 const struct change_file *f, struct err *err)
{
	if (!f->n_after)
		return 0;
	if (memchr(f->after, '\0', f->n_after))
		return refuse(err, f->path, "is not text");
	if (check_secrets(f, err) < 0)
		return -1;
	return fewer_tests(conf, limits) ? 0 : check_tests(f, err);
}

/* --- all of it ------------------------------------------------------------------------------- */

static unsigned least(unsigned limit, int64_t configured)
{
	return limit && limit < configured ? limit : (unsigned)configured;
}

static int check_lines(const struct change *c, unsigned max, struct err *err)
{
	unsigned left = max, lines;

	for (unsigned i = 0; i < c->n; i++) {
		const struct change_file *f = &c->files[i];

		lines = change_lines(f->before, f->n_before, f->after, f->n_after, left);
		if (lines > left)
			return err_set(err, ERR_INPUT,
				       "more than %u lines differ (change.max_lines)", max);
		left -= lines;
	}
	return 0;
}

int change_check(const struct conf *conf, const struct change_limits *limits,
		 const struct change *c, struct err *err)
{
	unsigned max_files = least(limits->max_files, conf_int(conf, "change.max_files"));
	size_t bytes = 0;

	if (!c->n)
		return err_set(err, ERR_INPUT, "nothing would change");
	if (c->n > max_files)
		return err_set(err, ERR_INPUT, "%u files differ, and %u may (change.max_files)",
			       c->n, max_files);
	for (unsigned i = 0; i < c->n; i++) {
		const struct change_file *f = &c->files[i];

		bytes += f->n_after;
		if (bytes > CHANGE_BYTES_MAX)
			return err_set(err, ERR_INPUT, "it is over %d MiB", CHANGE_BYTES_MAX >> 20);
		if (check_path(conf, limits, f, err) < 0 || check_content(conf, limits, f, err) < 0)
			return -1;
	}
	return check_lines(c, least(limits->max_lines, conf_int(conf, "change.max_lines")), err);
}

/* --- its branch ------------------------------------------------------------------------------ */

static const char prefix[] = "pipeline-guard/";

static bool is_word(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return n && n < 64 && !s[n];
}

int change_branch(const char *strategy, const char *fingerprint, char out[static CHANGE_BRANCH_MAX],
		  struct err *err)
{
	if (!is_word(strategy) || !is_word(fingerprint))
		return err_set(err, ERR_INPUT, "no branch can be named for that finding");
	(void)snprintf(out, CHANGE_BRANCH_MAX, "%s%.63s-%.63s", prefix, strategy, fingerprint);
	return 0;
}

bool change_is_our_branch(const char *branch)
{
	return text_starts(branch, prefix) && change_path_ok(branch);
}

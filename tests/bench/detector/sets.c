#include "sets.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

enum { FILE_MAX = 64 << 20, LINE_MAX_BYTES = 4 << 20, HELD_OUT_PERCENT = 40 };

static void closep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

/*
 * The same on every machine. The word in front draws the lots: change it when the part held out
 * has been looked at too often, and tune only on what it leaves.
 */
static bool is_held_out(const char *project, uint64_t seed)
{
	OWNED(freep) char *lot = xasprintf("linden %s", project);
	uint64_t h = 14695981039346656037ULL ^ seed;

	for (const char *p = lot; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211ULL;
	return (h >> 20) % 100 < HELD_OUT_PERCENT;
}

static struct sample *add(struct samples *all, const char *set, const char *project,
			  const char *want)
{
	struct sample *s;

	if (all->n == all->cap) {
		all->cap = all->cap ? 2 * all->cap : 256;
		all->at = xrealloc(all->at, all->cap * sizeof(*all->at));
	}
	s = &all->at[all->n++];
	*s = (struct sample){ .set = set, .project = xstrdup(project), .want = want };
	s->held_out = is_held_out(project, all->seed);
	return s;
}

static void add_test(struct sample *s, const char *name)
{
	for (size_t i = 0; i < s->n_tests; i++)
		if (strcmp(s->tests[i], name) == 0)
			return;
	if (s->n_tests < CASE_TESTS_MAX)
		s->tests[s->n_tests++] = xstrdup(name);
}

/* One that people or another tool point at. */
static void add_line(struct sample *s, const char *line)
{
	if (*line && s->n_lines < CASE_LINES_MAX)
		s->lines[s->n_lines++] = xstrdup(line);
}

void samples_done(struct samples *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct sample *s = &all->at[i];

		for (size_t k = 0; k < s->n_tests; k++)
			free(s->tests[k]);
		for (size_t k = 0; k < s->n_lines; k++)
			free(s->lines[k]);
		free(s->project);
		free(s->path);
		free(s->text);
	}
	free(all->at);
}

static char *slurp(const char *path, size_t *len)
{
	OWNED(closep) FILE *f = fopen(path, "re");
	char *text;

	if (!f)
		return NULL;
	text = xmalloc(FILE_MAX);
	*len = fread(text, 1, FILE_MAX - 1, f);
	text[*len] = '\0';
	return xrealloc(text, *len + 1);
}

static void archive_freep(struct archive **a)
{
	if (*a)
		(void)archive_read_free(*a);
}

/* What is in a compressed file. */
static char *unpack(const char *path, size_t *len)
{
	OWNED(archive_freep) struct archive *a = archive_read_new();
	struct archive_entry *entry;
	OWNED(freep) char *text = xmalloc(FILE_MAX);
	la_ssize_t n;

	(void)archive_read_support_filter_gzip(a);
	(void)archive_read_support_format_raw(a);
	if (archive_read_open_filename(a, path, 64 << 10) != ARCHIVE_OK ||
	    archive_read_next_header(a, &entry) != ARCHIVE_OK)
		return NULL;
	for (*len = 0; (n = archive_read_data(a, text + *len, FILE_MAX - 1 - *len)) > 0;)
		*len += (size_t)n;
	text[*len] = '\0';
	return n < 0 ? NULL : xrealloc(TAKE(text), *len + 1);
}

bool sample_read(struct sample *s)
{
	if (!s->text && s->path && text_ends(s->path, ".gz"))
		s->text = unpack(s->path, &s->len);
	if (!s->text && s->path)
		s->text = slurp(s->path, &s->len);
	return s->text != NULL;
}

void sample_forget(struct sample *s)
{
	if (!s->path)
		return;
	free(s->text);
	s->text = NULL;
}

/* ---- ci_logs_dev: a table of labels, a folder of failed and one of passed logs ------------- */

static const char *category_of_label(const char *label)
{
	static const struct {
		const char *label, *category;
	} map[] = {
		{ "Compilation", "build_failure" },   { "Test", "test_failure" },
		{ "Checkstyle", "lint_failure" },     { "License", "lint_failure" },
		{ "Documentation", "build_failure" }, { "Missing library", "dependency_failure" },
		{ "Unable to clone", "scm_failure" },
	};

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (strcmp(map[i].label, label) == 0)
			return map[i].category;
	return NULL;
}

/* Cuts the next field off a line of a table. */
static char *field(char **rest)
{
	char *start = *rest, *tab = strchr(start, '\t');

	if (tab)
		*tab = '\0';
	*rest = tab ? tab + 1 : start + strlen(start);
	return start;
}

static bool load_ci_logs(const char *root, struct samples *all)
{
	OWNED(freep) char *table = xasprintf("%s/labels.tsv", root);
	OWNED(closep) FILE *f = fopen(table, "re");
	char line[1024];

	if (!f || !fgets(line, sizeof(line), f))
		return false;
	while (fgets(line, sizeof(line), f)) {
		char *rest = line, *id, *label, *project, *paired;
		struct sample *s;

		line[strcspn(line, "\n")] = '\0';
		id = field(&rest);
		label = field(&rest);
		project = field(&rest);
		(void)field(&rest);
		paired = field(&rest);
		if (*paired) {
			s = add(all, "ci_logs_dev", project, "");
			s->path = xasprintf("%s/passing/%s.log", root, id);
		}
		if (*field(&rest) || !category_of_label(label))
			continue;
		s = add(all, "ci_logs_dev", project, category_of_label(label));
		s->path = xasprintf("%s/failing/%s.log", root, id);
	}
	return true;
}

/* ---- sets that are one JSON object per line ------------------------------------------------- */

typedef void read_row_fn(const char *root, struct json_object *, struct samples *);

static bool load_rows(const char *root, const char *name, struct samples *all, read_row_fn *read)
{
	OWNED(freep) char *path = xasprintf("%s/%s", root, name);
	OWNED(freep) char *line = xmalloc(LINE_MAX_BYTES);
	OWNED(closep) FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (fgets(line, LINE_MAX_BYTES, f)) {
		OWNED(json_putp) struct json_object *row = NULL;
		struct err err;

		if (json_parse(line, strlen(line), &row, &err) == 0)
			read(root, row, all);
	}
	return true;
}

static void read_travis(const char *root, struct json_object *row, struct samples *all)
{
	struct json_object *tests = json_at(row, "tests_failed");
	size_t n_tests =
		json_object_is_type(tests, json_type_array) ? json_object_array_length(tests) : 0;
	const char *log = json_str(row, "log", "");
	const char *repo = json_str(row, "repo", "");
	bool ok = strcmp(json_str(row, "status", ""), "ok") == 0;
	struct sample *s = add(all, "travis_logs_dev", *repo ? repo : log, ok ? "" : NULL);

	s->path = xasprintf("%s/%s", root, log);
	if (n_tests > 0)
		s->want = "test_failure";
	/* Of some logs only the number of failed tests is known. */
	s->tests_known = n_tests > 0 || json_i64(row, "num_t_failed", -1) == 0;
	for (size_t i = 0; i < n_tests; i++)
		add_test(s, json_object_get_string(json_object_array_get_idx(tests, i)));
}

static bool load_travis(const char *root, struct samples *all)
{
	return load_rows(root, "travis_expected.jsonl", all, read_travis);
}

static void read_kernelci(const char *root, struct json_object *row, struct samples *all)
{
	const char *type = json_str(row, "expected.errors.0.error_type", "");
	const char *log = json_str(row, "log", "");
	const char *want = NULL;
	struct sample *s;

	if (text_starts(type, "kbuild."))
		want = "build_failure";
	else if (strcmp(type, "linux.kernel.panic") == 0)
		want = "test_failure";
	s = add(all, "kernelci_logspec", log, want);
	s->path = xasprintf("%s/%s", root, log);
	if (want)
		add_line(s, json_str(row, "expected.errors.0.error_summary", ""));
}

static bool load_kernelci(const char *root, struct samples *all)
{
	return load_rows(root, "expected.jsonl", all, read_kernelci);
}

/* Pieces of logs; what people of that project called them. */
static void read_reliability(const char *root, struct json_object *row, struct samples *all)
{
	static const struct {
		const char *type, *category;
	} map[] = {
		{ "JS_TEST_FAILURE", "test_failure" },
		{ "JENKINS_FAILURE", "infrastructure_failure" },
		{ "GIT_FAILURE", "scm_failure" },
	};
	const char *type = json_str(row, "type", ""), *text = json_str(row, "snippet", "");
	struct sample *s;

	UNUSED(root);
	for (size_t i = 0; i < ARRAY_LEN(map); i++) {
		if (strcmp(map[i].type, type) != 0)
			continue;
		s = add(all, "nodejs_reliability", json_str(row, "reason", ""), map[i].category);
		s->len = strlen(text);
		s->text = xmemdup(text, s->len + 1);
	}
}

static bool load_reliability(const char *root, struct samples *all)
{
	return load_rows(root, "failure_snippets.jsonl", all, read_reliability);
}

/* ---- treeherder: logs with the lines that its parser shows to people ------------------------ */

static void read_view(const char *root, const char *name, struct samples *all)
{
	OWNED(freep) char *path = xasprintf("%s/logs/%s", root, name);
	OWNED(json_putp) struct json_object *view = NULL;
	OWNED(freep) char *text = NULL;
	struct json_object *errors;
	struct sample *s;
	struct err err;
	size_t len = 0;

	text = slurp(path, &len);
	if (!text || json_parse(text, len, &view, &err) < 0)
		return;
	errors = json_at(view, "errors");
	s = add(all, "treeherder", name, NULL);
	s->path = xasprintf("%s/logs/%.*s.log.gz", root, (int)strcspn(name, "."), name);
	for (size_t i = 0; errors && i < json_object_array_length(errors); i++)
		add_line(s, json_str(json_object_array_get_idx(errors, i), "line", ""));
}

static bool load_treeherder(const char *root, struct samples *all)
{
	OWNED(freep) char *logs = xasprintf("%s/logs", root);
	struct dirent **names;
	int n = scandir(logs, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (text_ends(names[i]->d_name, ".logview.json"))
			read_view(root, names[i]->d_name, all);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return n >= 0;
}

/* ---- sets with so few logs that what their publishers say of each is listed here ------------ */

struct known {
	const char *project, *log, *category, *line;
};

static bool load_known(const char *set, const char *root, struct samples *all,
		       const struct known *logs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		OWNED(freep) char *path = xasprintf("%s/%s", root, logs[i].log);
		OWNED(closep) FILE *f = fopen(path, "re");
		struct sample *s;

		if (!f)
			return false;
		s = add(all, set, logs[i].project, logs[i].category);
		s->path = TAKE(path);
		add_line(s, logs[i].line);
	}
	return true;
}

/* Builds of packages. Two say less than a category (a source that is gone, a patch that is not
 * there), and of two the log is missing. */
static bool load_logdetective(const char *root, struct samples *all)
{
	static const struct known logs[] = {
		{ "gstreamer1-plugins-bad-free",
		  "data/03588217-1fe3-4b5c-bbae-895d383251da/builder-live.log",
		  "dependency_failure", "pkgconfig(mjpegtools) >= 2.0.0" },
		{ "clang-built-eln", "data/0bcfc3d6-3b97-4dde-a2b4-1ae8dd378180/builder-live.log",
		  "dependency_failure", "clang = 13.0.0" },
		{ "siril", "data/21ad14e5-f01f-4f88-ae60-eea095478e45/build.log", "build_failure",
		  "gf_estimate_kernel" },
		{ "python-boto3", "data/3b668dda-5516-498f-a0c4-fa13903e7ca7/root.log",
		  "dependency_failure", "python3dist(botocore)" },
		{ "dolphin-emu", "data/449ca0a3-a264-4f86-a3ec-b0a7b0af9b4d/build.log",
		  "build_failure", "MsgHandler.h" },
		{ "tiff", "data/b638a5ca-9315-41ad-9db9-0484ce29743a/build.log", "build_failure",
		  "TIFFErrorExtR" },
		{ "rubygem-actiontext",
		  "data/bd0afcc7-1395-4275-a906-84df79a84452/builder-live.log", "test_failure",
		  "to_model" },
	};

	return load_known("logdetective", root, all, logs, ARRAY_LEN(logs));
}

/* Builds in Jenkins, with what a tool of that project said of them. */
static bool load_node_ci(const char *root, struct samples *all)
{
	static const struct known logs[] = {
		{ "git-failure-1",
		  "git-failure-1/node-test-commit-linuxone-label=rhel72-s390x-2220.txt",
		  "scm_failure", "ERROR: Error fetching remote repo 'origin'" },
		{ "git-failure-2", "git-failure-2/console.txt", "scm_failure",
		  "Changes not staged for commit:" },
		{ "js-flake-1", "js-flake-1/node-test-commit-linux-nodes=debian9-64-19446.txt",
		  "test_failure", "not ok 2178 sequential/test-inspector-port-zero-cluster" },
		{ "no-compiler-error",
		  "no-compiler-error/node-test-commit-osx-nodes=osx1010-19307.txt", "build_failure",
		  "ERROR: No acceptable C compiler found!" },
	};

	return load_known("node_ci_jenkins_fixtures", root, all, logs, ARRAY_LEN(logs));
}

/*
 * What compilers and style tools print, by the tool that printed it. Mostly warnings, which deserve
 * no answer; where there is a word of errors, it should be of the kind of the tool.
 */
static const char *category_of_tool(const char *parsers)
{
	static const char *const lint[] = {
		"Pylint",  "PerlCritic", "CppLint",    "ClangTidy",   "CodeChecker", "Black",
		"RuboCop", "RfLint",     "PuppetLint", "OeLintAdv",   "Pep8",        "GoLint",
		"GoVet",   "Flawfinder", "Foodcritic", "AnsibleLint", "CargoClippy",
	};
	static const char *const other[] = {
		"P4",       "Robocopy",      "Nix",     "DrMemory",    "AquaScanner,",
		"Invalids", "CodeGenerator", "JsonLog", "CodeAnalysis"
	};

	for (size_t i = 0; i < ARRAY_LEN(other); i++)
		if (text_starts(parsers, other[i]))
			return NULL;
	for (size_t i = 0; i < ARRAY_LEN(lint); i++)
		if (text_starts(parsers, lint[i]))
			return "lint_failure";
	return "build_failure";
}

static bool load_consoles(const char *root, struct samples *all)
{
	OWNED(freep) char *table = xasprintf("%s/labels.tsv", root);
	OWNED(closep) FILE *f = fopen(table, "re");
	char line[2048];

	if (!f || !fgets(line, sizeof(line), f))
		return false;
	while (fgets(line, sizeof(line), f)) {
		char *rest = line, *log, *parsers;
		struct sample *s;

		line[strcspn(line, "\n")] = '\0';
		log = field(&rest);
		parsers = field(&rest);
		if (!category_of_tool(parsers))
			continue;
		s = add(all, "analysis_model_console", parsers, category_of_tool(parsers));
		s->path = xasprintf("%s/logs/%s", root, log);
		if (!sample_read(s) || !strcasestr(s->text, "error"))
			s->want = NULL;
		sample_forget(s);
	}
	return true;
}

/* To add a set: write a loader, list it here. */
static const struct set {
	const char *name;
	bool (*load)(const char *root, struct samples *);
} sets[] = {
	{ "ci_logs_dev", load_ci_logs },
	{ "travis_logs_dev", load_travis },
	{ "kernelci_logspec", load_kernelci },
	{ "nodejs_reliability", load_reliability },
	{ "treeherder", load_treeherder },
	{ "logdetective", load_logdetective },
	{ "node_ci_jenkins_fixtures", load_node_ci },
	{ "analysis_model_console", load_consoles },
};

void sets_load(const char *root, uint64_t seed, struct samples *all)
{
	all->seed = seed;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		OWNED(freep) char *dir = xasprintf("%s/%s", root, sets[i].name);

		if (!sets[i].load(dir, all))
			(void)fprintf(stderr, "skipped: %s is not in %s\n", sets[i].name, root);
	}
}

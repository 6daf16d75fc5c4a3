/*
 * One log of every test framework, as its reporter writes it and as CI systems store it, and the
 * names that must come out.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/finding.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/detector.h"
#include "unit.h"

#define FOLDER "tests/unit/frameworks"

enum { FILE_MAX = 1 << 16 };

static void read_file(const char *name, const char *ending, struct buf *out)
{
	char path[300], piece[4096];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), FOLDER "/%s%s", name, ending);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s cannot be read", path);
	buf_init(out, FILE_MAX);
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_append(out, piece, n);
	buf_puts(out, "");
	(void)fclose(f);
}

static bool is_line_of(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n')
		if (strncmp(at, line, n) == 0 && (at[n] == '\n' || !at[n]))
			return true;
	return false;
}

/* The file of what is wanted: the framework, then one name per line. Returns what is wrong. */
static unsigned compare(const char *name, const char *want, const struct finding *f)
{
	size_t first = strcspn(want, "\n"), wanted = 0;
	unsigned wrong = 0;

	if (strlen(f->test_framework) != first || memcmp(f->test_framework, want, first) != 0) {
		print_message("%s: framework %s\n", name, f->test_framework);
		wrong++;
	}
	for (size_t i = 0; i < f->n_failed_tests; i++)
		if (!is_line_of(want + first + 1, f->failed_tests[i])) {
			print_message("%s: + %s\n", name, f->failed_tests[i]);
			wrong++;
		}
	for (const char *at = want + first + 1; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		bool found = false;

		wanted++;
		for (size_t i = 0; i < f->n_failed_tests; i++)
			found |= strlen(f->failed_tests[i]) == strcspn(at, "\n") &&
				 text_starts(at, f->failed_tests[i]);
		if (!found) {
			print_message("%s: - %.*s\n", name, (int)strcspn(at, "\n"), at);
			wrong++;
		}
	}
	if (strcmp(f->category, "test_failure") != 0 || wanted != f->n_failed_tests) {
		print_message("%s: %s by %s, %zu names\n", name, f->category, f->rule,
			      f->n_failed_tests);
		wrong++;
	}
	return wrong;
}

/* The same lines as a CI system stores them. */
static const struct dressing {
	const char *name, *before, *after;
} dressings[] = {
	{ "as it is", "", "\n" },
	{ "GitHub", "2026-03-01T10:11:12.1234567Z ", "\n" },
	{ "GitLab", "2026-03-01T10:11:12.123456Z 01O ", "\n" },
	{ "Jenkins", "[2026-03-01T10:11:12.123Z] ", "\n" },
	{ "a terminal", "", "\r\n" },
	{ "in colour", "\x1b[31m", "\x1b[0m\n" },
};

static void dress(const char *log, const struct dressing *as, struct buf *out)
{
	buf_init(out, 4 * FILE_MAX);
	while (*log) {
		size_t n = strcspn(log, "\n");

		buf_puts(out, as->before);
		buf_append(out, log, n);
		buf_puts(out, as->after);
		log += n + (log[n] == '\n');
	}
}

static unsigned check(const struct detector *d, const char *name)
{
	OWNED(buf_done) struct buf log, want;
	unsigned wrong = 0;

	read_file(name, ".log", &log);
	read_file(name, ".want", &want);
	for (size_t i = 0; i < ARRAY_LEN(dressings); i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		OWNED(buf_done) struct buf dressed;
		struct detect_input in = { .text = NULL };
		unsigned before = wrong;
		struct finding f;

		dress(log.data, &dressings[i], &dressed);
		in.text = dressed.data;
		in.len = dressed.len;
		detector_scan(d, &in, a, &f);
		wrong += compare(name, want.data, &f);
		if (wrong > before)
			print_message("^ %s\n", dressings[i].name);
	}
	return wrong;
}

static void every_framework_names_its_failed_tests(void **state)
{
	OWNED(detector_freep) struct detector *d = NULL;
	struct dirent **names;
	unsigned wrong = 0, logs = 0;
	struct err err;
	int n;

	UNUSED(state);
	assert_ok(detector_new("conf/rules", NULL, &d, &err), &err);
	n = scandir(FOLDER, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char *end = strrchr(names[i]->d_name, '.');

		if (end && strcmp(end, ".log") == 0) {
			*end = '\0';
			wrong += check(d, names[i]->d_name);
			logs++;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	assert_true(logs > 0);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_framework_names_its_failed_tests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

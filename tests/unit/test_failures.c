/* What tools print when they fail, inside what CI systems print around it: failures.txt. */
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/finding.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/detector.h"
#include "unit.h"

enum { LINE_BYTES = 2000, LOG_BYTES = 64 << 10 };

#define T "2026-03-01T10:11:12.1234567Z "

/* Healthy words before the failure, and how each CI system ends; @ is the command. */
static const struct system {
	const char *name, *before, *stamp, *after;
} systems[] = {
	{ "github",
	  T "Current runner version: '2.311.0'\n" T "##[group]Run acme/setup\n" T "##[endgroup]\n" T
	    "Retrying after connection reset by peer\n" T "Setup done\n" T "##[group]Run %s\n" T
	    "%s\n" T "shell: /usr/bin/bash -e {0}\n" T "##[endgroup]\n",
	  T,
	  T "##[error]Process completed with exit code 1.\n" T "##[group]Run ./tidy\n" T
	    "tidied\n" },
	{ "gitlab",
	  "Running with gitlab-runner 16.5.0 (853330f9)\nPreparing the \"docker\" executor\n"
	  "section_start:1700000000:step_script\r\033[0KExecuting \"step_script\" stage\n"
	  "$ ./prepare\n0 errors, 0 warnings\n$ @\n",
	  "",
	  "section_end:1700000009:step_script\r\033[0K\nCleaning up project directory\n"
	  "ERROR: Job failed: exit code 1\n" },
	{ "jenkins",
	  "Started by user kim\nRunning on ci-7 in /home/ci/workspace/shop\n[Pipeline] {\n"
	  "[Pipeline] stage\n[Pipeline] { (Build)\n[Pipeline] sh\n+ ./prepare\nprepared\n+ @\n",
	  "",
	  "[Pipeline] }\n[Pipeline] // stage\n[Pipeline] End of Pipeline\n"
	  "ERROR: script returned exit code 1\nFinished: FAILURE\n" },
	{ "travis",
	  "travis_fold:start:install\r\033[0K$ ./prepare\nprepared\n"
	  "travis_fold:end:install\r\033[0K$ @\n",
	  "", "The command \"./run\" exited with 1.\nDone. Your build exited with 1.\n" },
};

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

struct failure {
	unsigned at; /* line of the file, for messages */
	char category[80], subcategory[80], system[40], command[300];
	struct buf output;
};

static void put(struct buf *log, const char *text, const char *command)
{
	for (; *text; text++)
		if (*text == '@')
			buf_puts(log, command);
		else
			buf_putc(log, *text);
}

/* True when the detector says what the file says. */
static bool is_named(const struct failure *f, const struct system *s)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	OWNED(buf_done) struct buf log;
	const char *output = buf_text(&f->output);
	struct detect_input in = { .provider = s->name };
	struct finding found;
	bool right, shown = false;

	buf_init(&log, LOG_BYTES);
	put(&log, s->before, f->command);
	for (const char *line = output, *end; (end = strchr(line, '\n')); line = end + 1)
		buf_printf(&log, "%s%.*s\n", s->stamp, (int)(end - line), line);
	put(&log, s->after, f->command);
	in.text = log.data;
	in.len = log.len;
	detector_scan(detector, &in, a, &found);
	right = strcmp(found.category, f->category) == 0 &&
		(!*f->subcategory || strcmp(found.subcategory, f->subcategory) == 0);
	for (size_t i = 0; i < found.n_evidence; i++)
		shown |= strstr(output, found.evidence[i].text) != NULL;
	if (!right || !shown || found.confidence < 0.4)
		print_error("failures.txt:%u (%s, %s): %s/%s %.2f by %s%s\n", f->at, s->name,
			    f->category, found.category, found.subcategory, found.confidence,
			    found.rule, shown ? "" : ", and shows none of its lines");
	return right && shown && found.confidence >= 0.4;
}

static unsigned check(struct failure *f)
{
	unsigned wrong = 0;

	if (!f->at)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(systems); i++)
		if (strcmp(f->system, "any") == 0 || strcmp(f->system, systems[i].name) == 0)
			wrong += !is_named(f, &systems[i]);
	buf_reset(&f->output);
	return wrong;
}

static void closep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

static void every_failure_is_named_in_every_system(void **state)
{
	OWNED(closep) FILE *file = fopen("tests/unit/failures.txt", "re");
	struct failure f = { .at = 0 };
	unsigned at = 0, wrong = 0, n = 0;
	char line[LINE_BYTES];

	UNUSED(state);
	assert_non_null(file);
	buf_init(&f.output, LOG_BYTES);
	while (fgets(line, sizeof(line), file)) {
		at++;
		if (line[0] == '#' && !f.at)
			continue;
		if (!text_starts(line, "== ")) {
			buf_puts(&f.output, line);
			continue;
		}
		wrong += check(&f);
		f.at = at;
		f.subcategory[0] = '\0';
		if (sscanf(line, "== %79[a-z_]/%79[a-z_] | %39s | %299[^\n]", f.category,
			   f.subcategory, f.system, f.command) != 4)
			assert_int_equal(sscanf(line, "== %79s | %39s | %299[^\n]", f.category,
						f.system, f.command),
					 3);
		n++;
	}
	wrong += check(&f);
	buf_done(&f.output);
	assert_true(n > 100);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_failure_is_named_in_every_system),
	};

	return cmocka_run_group_tests(tests, load, unload);
}

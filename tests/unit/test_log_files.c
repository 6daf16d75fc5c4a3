#include "cli/log_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "unit.h"

/* Folders end in a slash. */
static const char *const tree[] = {
	"green/", "green/a.log", "green/test_failure/", "green/test_failure/b.log",
	"red/",   "red/c.log",   "red/timeout/",        "red/timeout/d.log",
	"misc/",  "misc/e.log",  "rate_limit/",         "rate_limit/f.log",
	".git/",  ".git/g.log",
};

static char dir[64];

static int make(void **state)
{
	char path[200];

	UNUSED(state);
	(void)snprintf(dir, sizeof(dir), "/tmp/guard-logs-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(tree); i++) {
		FILE *f;

		(void)snprintf(path, sizeof(path), "%s/%s", dir, tree[i]);
		if (path[strlen(path) - 1] == '/') {
			if (mkdir(path, 0700) < 0)
				return -1;
			continue;
		}
		f = fopen(path, "we");
		if (!f || fclose(f) != 0)
			return -1;
	}
	return 0;
}

static int drop(void **state)
{
	char path[200];

	UNUSED(state);
	for (size_t i = ARRAY_LEN(tree); i-- > 0;) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, tree[i]);
		if (remove(path) != 0)
			return -1;
	}
	return rmdir(dir);
}

static void says(const struct log_files *files, const char *end, const char *label)
{
	for (size_t i = 0; i < files->n; i++) {
		size_t n = strlen(files->at[i].path), m = strlen(end);

		if (n < m || strcmp(files->at[i].path + n - m, end) != 0)
			continue;
		if (label ? !files->at[i].label || strcmp(files->at[i].label, label) != 0
			  : files->at[i].label != NULL)
			fail_msg("%s is called %s", end,
				 files->at[i].label ? files->at[i].label : "nothing");
		return;
	}
	fail_msg("%s was not found", end);
}

static void folders_say_what_a_log_is(void **state)
{
	OWNED(log_files_freep) struct log_files *files = NULL;
	struct err err;

	UNUSED(state);
	assert_ok(log_files_find(dir, &files, &err), &err);
	assert_int_equal(files->n, 6);
	assert_int_equal(files->unlabelled, 1);
	says(files, "green/a.log", "green");
	says(files, "green/test_failure/b.log", "green");
	says(files, "red/c.log", "red");
	says(files, "red/timeout/d.log", "timeout");
	says(files, "misc/e.log", NULL);
	says(files, "rate_limit/f.log", "rate_limit");
}

static void a_table_says_it_row_by_row(void **state)
{
	static const struct {
		const char *why, *text, *end, *label, *fault;
	} rows[] = {
		{ "plain", "path,category\nx.log,timeout\n", "/x.log", "timeout", NULL },
		{ "other columns, other order", "id,category,path\n1,green,y.log\n", "/y.log",
		  "green", NULL },
		{ "quoted", "path,category\r\n\"a,\"\"b\"\".log\",\"red\"\r\n", "/a,\"b\".log",
		  "red", NULL },
		{ "absolute", "path,category\n/nowhere/z.log,passed\n", "/nowhere/z.log", "green",
		  NULL },
		{ "no label", "path,category\nx.log,\n", "/x.log", NULL, NULL },
		{ "no heading", "x.log,timeout\n", NULL, NULL, "columns path and category" },
		{ "no such category", "path,category\nx.log,weather\n", NULL, NULL,
		  "t.csv:2: \"weather\" is no category" },
		{ "no path", "path,category\n,timeout\n", NULL, NULL, "t.csv:2: no path" },
		{ "nothing", "path,category\n", NULL, NULL, "no logs there" },
	};
	char path[200];

	UNUSED(state);
	(void)snprintf(path, sizeof(path), "%s/t.csv", dir);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(log_files_freep) struct log_files *files = NULL;
		FILE *f = fopen(path, "we");
		struct err err;
		int rc;

		assert_non_null(f);
		assert_true(fputs(rows[i].text, f) >= 0);
		assert_int_equal(fclose(f), 0);
		rc = log_files_find(path, &files, &err);
		assert_case((rc == 0) == !rows[i].fault, rows[i].why);
		if (rows[i].fault)
			assert_case(strstr(err.msg, rows[i].fault), rows[i].why);
		else
			says(files, rows[i].end, rows[i].label);
	}
	assert_int_equal(unlink(path), 0);
}

static void what_is_not_there_is_said(void **state)
{
	OWNED(log_files_freep) struct log_files *files = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(log_files_find("/nonexistent/logs", &files, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folders_say_what_a_log_is),
		cmocka_unit_test(a_table_says_it_row_by_row),
		cmocka_unit_test(what_is_not_there_is_said),
	};

	return cmocka_run_group_tests(tests, make, drop);
}

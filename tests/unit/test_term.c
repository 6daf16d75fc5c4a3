#include "cli/term.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "unit.h"

static void ages_are_short(void **state)
{
	static const struct {
		int64_t at_ms;
		const char *text;
	} rows[] = {
		{ 1000000000, "0 s" },
		{ 1000000000 + 5000, "0 s" }, /* clocks differ */
		{ 1000000000 - 119999, "119 s" },
		{ 1000000000 - 120000, "2 min" },
		{ 1000000000 - 7199999, "119 min" },
		{ 1000000000 - 7200000, "2 h" },
		{ 1000000000 - 172799999, "47 h" },
		{ 1000000000 - 172800000, "2 d" },
		{ 0, "11 d" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char age[24];

		term_age(age, rows[i].at_ms, 1000000000);
		assert_string_equal(age, rows[i].text);
	}
}

/* What is printed on standard output meanwhile goes to a file. */
static char *printed(const struct table *t)
{
	char path[] = "/tmp/guard-test-term-XXXXXX", *text = xcalloc(1, 4096);
	int fd = mkstemp(path), saved = dup(STDOUT_FILENO);

	assert_true(fd >= 0 && saved >= 0);
	(void)unlink(path);
	(void)fflush(stdout);
	assert_true(dup2(fd, STDOUT_FILENO) >= 0);
	table_print(t);
	(void)fflush(stdout);
	assert_true(dup2(saved, STDOUT_FILENO) >= 0);
	assert_true(pread(fd, text, 4095, 0) >= 0);
	(void)close(fd);
	(void)close(saved);
	return text;
}

static void columns_are_as_wide_as_they_must_be(void **state)
{
	static const char *const headings[] = { "ID", "WHAT", "WHY", NULL };
	static const char *const cells[] = {
		"1",  "Grüße", "first",
		"22", NULL,    "a last cell that is long is not cut at all, whatever",
	};
	OWNED(table_freep) struct table *t = table_new(headings);
	OWNED(freep) char *text = NULL;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		table_cell(t, cells[i]);
	assert_int_equal(table_rows(t), 2);
	text = printed(t);
	assert_string_equal(text,
			    "ID  WHAT   WHY\n"
			    "1   Grüße  first\n"
			    "22         a last cell that is long is not cut at all, whatever\n");
}

static void wide_cells_are_cut_between_characters(void **state)
{
	static const char *const headings[] = { "A", "B", NULL };
	OWNED(table_freep) struct table *t = table_new(headings);
	OWNED(freep) char *text = NULL;
	char wide[2 * 60 + 1] = "";

	UNUSED(state);
	for (size_t i = 0; i < 60; i++)
		(void)snprintf(wide + 2 * i, 3, "ü");
	table_cell(t, wide);
	table_cell(t, "b");
	table_cell(t, "\033[31m");
	table_cell(t, "c");
	text = printed(t);
	/* 44 columns, the last of them the ellipsis. */
	assert_non_null(strstr(text, "ü…  b\n"));
	assert_null(strstr(text, "\033"));
	assert_non_null(strstr(text, "?[31m "));
	assert_int_equal(strcspn(strchr(text, '\n') + 1, "b"), 43 * 2 + strlen("…  "));
}

static void no_colour_without_a_terminal(void **state)
{
	UNUSED(state);
	assert_int_equal(setenv("TERM", "xterm", 1), 0);
	assert_string_equal(isatty(STDOUT_FILENO) ? "" : term_paint("healed"), "");
	assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
	assert_string_equal(term_paint("healed"), "");
	assert_string_equal(term_bold(), "");
	assert_string_equal(term_plain(), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ages_are_short),
		cmocka_unit_test(columns_are_as_wide_as_they_must_be),
		cmocka_unit_test(wide_cells_are_cut_between_characters),
		cmocka_unit_test(no_colour_without_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

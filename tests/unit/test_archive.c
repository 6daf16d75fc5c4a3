#include "unit.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "core/mem.h"
#include "healers/run_archive.h"

struct zip {
	struct archive *a;
	char *data;
	size_t len;
};

static void zip_begin(struct zip *z, size_t cap)
{
	/* For names in UTF-8; what we test runs in the plain locale, as our daemons do. */
	(void)setlocale(LC_ALL, "C.UTF-8");
	z->len = 0;
	z->data = xmalloc(cap);
	z->a = archive_write_new();
	assert_int_equal(archive_write_set_format_zip(z->a), ARCHIVE_OK);
	assert_int_equal(archive_write_set_options(z->a, "zip:hdrcharset=UTF-8"), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(z->a, z->data, cap, &z->len), ARCHIVE_OK);
}

static void zip_entry(struct zip *z, const char *name, size_t size)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)size);
	assert_int_equal(archive_write_header(z->a, e), ARCHIVE_OK);
	archive_entry_free(e);
}

static void zip_add(struct zip *z, const char *name, const char *text)
{
	zip_entry(z, name, strlen(text));
	if (text[0])
		assert_int_equal(archive_write_data(z->a, text, strlen(text)), strlen(text));
}

static void zip_end(struct zip *z)
{
	assert_int_equal(archive_write_close(z->a), ARCHIVE_OK);
	archive_write_free(z->a);
	(void)setlocale(LC_ALL, "C");
}

static void zip_done(struct zip *z)
{
	free(z->data);
}

#define JOB90                                                       \
	"A job whose name is so long that the archive's file name " \
	"is cut off after ninety characters, as it does"
#define JOB90_CUT \
	"A job whose name is so long that the archive's file name is cut off after ninety c"

/* All steps; their number goes to *steps. */
static int unpack_in(const void *zip, size_t n, const char *job, struct tail_buf *out,
		     unsigned *steps, struct err *err)
{
	OWNED(run_archive_freep) struct run_archive *r = run_archive_new(zip, n, job, out);
	int rc;

	*steps = 0;
	while ((rc = run_archive_step(r, err)) > 0)
		++*steps;
	return rc;
}

static int unpack(const void *zip, size_t n, const char *job, struct tail_buf *out, struct err *err)
{
	unsigned steps;

	return unpack_in(zip, n, job, out, &steps, err);
}

static void finds_the_file_of_the_job(void **state)
{
	static const struct {
		const char *job, *text, *why;
	} rows[] = {
		{ "build", "whole build\n", "the file of the whole job" },
		{ "build (ubuntu, 18)", "matrix\n", "a matrix job" },
		{ "lint", "set up\nnine\nten\n", "only steps: in the order of their numbers" },
		{ "caller / callee", "called\n", "a slash is left out" },
		{ "deploy: prod", "deployed\n", "a colon too" },
		{ "w\xc3\xa4hle", "umlaut\n", "not only ASCII" },
		{ JOB90, "cut\n", "a name that was cut" },
		{ "emptied", "", "an empty log is a log" },
		{ "nothing here", NULL, "no such job" },
		{ "", NULL, "no name" },
		{ "///", NULL, "a name of which nothing is left" },
		{ "A job", NULL, "a mere beginning of a name" },
		{ "build and more", NULL, "a short name was not cut" },
		{ "evil", NULL, "a name with a path is not a top-level file" },
		{ "notes", NULL, "files of other kinds do not count" },
	};
	OWNED(zip_done) struct zip z;

	(void)state;
	zip_begin(&z, 1 << 20);
	zip_add(&z, "lint/10_ten.txt", "ten\n");
	zip_add(&z, "lint/1_Set up job.txt", "set up\n");
	zip_add(&z, "lint/9_nine.txt", "nine\n");
	zip_add(&z, "build/1_Set up job.txt", "step of build\n");
	zip_add(&z, "0_build.txt", "whole build\n");
	zip_add(&z, "1_build (ubuntu, 18).txt", "matrix\n");
	zip_add(&z, "2_caller  callee.txt", "called\n");
	zip_add(&z, "3_deploy prod.txt", "deployed\n");
	zip_add(&z, "4_w\xc3\xa4hle.txt", "umlaut\n");
	zip_add(&z, "5_" JOB90_CUT ".txt", "cut\n");
	zip_add(&z, "6_emptied.txt", "");
	zip_add(&z, "../../evil.txt", "outside\n");
	zip_add(&z, "7_notes.md", "notes\n");
	zip_add(&z, "notes.txt", "notes\n");
	zip_end(&z);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(tail_buf_done) struct tail_buf out;
		struct err err = { 0 };
		int rc;

		tail_buf_init(&out, 4096, true);
		rc = unpack(z.data, z.len, rows[i].job, &out, &err);
		assert_case((rc == 0) == (rows[i].text != NULL), rows[i].why);
		assert_case(rc == 0 || err.kind == ERR_INPUT, rows[i].why);
		if (rc == 0 && strcmp(tail_buf_text(&out), rows[i].text) != 0)
			fail_msg("%s: %s", rows[i].why, tail_buf_text(&out));
	}
}

static void keeps_the_end_of_a_long_log(void **state)
{
	OWNED(zip_done) struct zip z;
	OWNED(tail_buf_done) struct tail_buf out;
	OWNED(freep) char *text = xmalloc(200000 + 1);
	struct err err = { 0 };

	(void)state;
	for (int i = 0; i < 20000; i++)
		(void)snprintf(text + 10 * i, 11, "%09d\n", i);
	zip_begin(&z, 1 << 20);
	zip_add(&z, "job/1_first.txt", "first\n");
	zip_add(&z, "job/2_second.txt", text);
	zip_add(&z, "job/3_third.txt", "third\n");
	zip_end(&z);
	tail_buf_init(&out, 100, true);
	assert_ok(unpack(z.data, z.len, "job", &out, &err), &err);
	assert_int_equal(out.len, 100);
	assert_int_equal(out.dropped_bytes, 6 + 200000 + 6 - 100);
	assert_int_equal(out.dropped_lines, 1 + 20000 + 1 - 11);
	assert_string_equal(tail_buf_text(&out) + 84, "000019999\nthird\n");
}

static void without_keeping_the_tail_too_long_is_an_error(void **state)
{
	OWNED(zip_done) struct zip z;
	OWNED(tail_buf_done) struct tail_buf fits, over;
	struct err err = { 0 };

	(void)state;
	zip_begin(&z, 1 << 16);
	zip_add(&z, "0_job.txt", "12345");
	zip_end(&z);
	tail_buf_init(&fits, 5, false);
	assert_ok(unpack(z.data, z.len, "job", &fits, &err), &err);
	tail_buf_init(&over, 4, false);
	assert_int_equal(unpack(z.data, z.len, "job", &over, &err), -1);
}

/* Zeros pack a thousand to one. */
static void zip_zeros(struct zip *z, const char *name, size_t size)
{
	OWNED(freep) char *zeros = xcalloc(1, 1 << 20);

	zip_entry(z, name, size);
	for (size_t at = 0; at < size; at += 1 << 20) {
		size_t n = size - at < 1 << 20 ? size - at : 1 << 20;

		assert_int_equal(archive_write_data(z->a, zeros, n), n);
	}
}

static void refuses_to_unpack_a_bomb(void **state)
{
	static const struct {
		size_t first, second;
		bool ok;
		const char *why;
	} rows[] = {
		{ ARCHIVE_UNPACKED_MAX, 0, true, "exactly the limit" },
		{ ARCHIVE_UNPACKED_MAX + 1, 0, false, "one byte more" },
		{ ARCHIVE_UNPACKED_MAX / 2, ARCHIVE_UNPACKED_MAX / 2 + 1, false,
		  "one byte more over two files" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(zip_done) struct zip z;
		OWNED(tail_buf_done) struct tail_buf out;
		struct err err = { 0 };

		zip_begin(&z, 1 << 20);
		zip_zeros(&z, "job/1_a.txt", rows[i].first);
		if (rows[i].second)
			zip_zeros(&z, "job/2_b.txt", rows[i].second);
		zip_end(&z);
		tail_buf_init(&out, 1000, true);
		assert_case((unpack(z.data, z.len, "job", &out, &err) == 0) == rows[i].ok,
			    rows[i].why);
	}
}

static void no_step_takes_long(void **state)
{
	OWNED(zip_done) struct zip z;
	OWNED(tail_buf_done) struct tail_buf out;
	struct run_archive *r;
	struct err err = { 0 };
	unsigned steps;

	(void)state;
	zip_begin(&z, 1 << 20);
	zip_zeros(&z, "job/1_a.txt", ARCHIVE_UNPACKED_MAX / 2);
	zip_zeros(&z, "job/2_b.txt", ARCHIVE_UNPACKED_MAX / 2);
	zip_end(&z);
	tail_buf_init(&out, ARCHIVE_UNPACKED_MAX, true);
	assert_ok(unpack_in(z.data, z.len, "job", &out, &steps, &err), &err);
	assert_int_equal(out.len, ARCHIVE_UNPACKED_MAX);
	/* Unpacked, and then put one after the other. */
	assert_true(steps >= 2 * ARCHIVE_UNPACKED_MAX / ARCHIVE_STEP_BYTES);
	/* It may end anywhere. */
	for (unsigned end = 0; end < 5; end++) {
		tail_buf_done(&out);
		tail_buf_init(&out, 1000, true);
		r = run_archive_new(z.data, z.len, "job", &out);
		for (unsigned i = 0; i < end; i++)
			assert_int_equal(run_archive_step(r, &err), 1);
		run_archive_free(r);
	}
}

static void refuses_too_many_entries(void **state)
{
	(void)state;
	for (int extra = 0; extra < 2; extra++) {
		OWNED(zip_done) struct zip z;
		OWNED(tail_buf_done) struct tail_buf out;
		struct err err = { 0 };
		char name[32];

		zip_begin(&z, 16 << 20);
		zip_add(&z, "0_job.txt", "here\n");
		for (int i = 1; i < ARCHIVE_ENTRIES_MAX + extra; i++) {
			(void)snprintf(name, sizeof(name), "d/%d_x.txt", i);
			zip_add(&z, name, "");
		}
		zip_end(&z);
		tail_buf_init(&out, 1000, true);
		assert_int_equal(unpack(z.data, z.len, "job", &out, &err), -extra);
	}
}

static void survives_what_is_no_archive(void **state)
{
	OWNED(zip_done) struct zip z;

	(void)state;
	zip_begin(&z, 1 << 16);
	zip_add(&z, "0_job.txt", "here is some text that is packed, packed, packed\n");
	zip_end(&z);
	/* Cut anywhere, or with one byte changed: an error or the log, never a crash. */
	for (size_t cut = 0; cut < z.len; cut++) {
		OWNED(freep) char *part = xmemdup(z.data, cut);
		OWNED(tail_buf_done) struct tail_buf out;
		struct err err = { 0 };

		tail_buf_init(&out, 1000, true);
		assert_int_equal(unpack(part, cut, "job", &out, &err), -1);
		assert_int_equal(err.kind, ERR_INPUT);
	}
	for (size_t at = 0; at < z.len; at++) {
		OWNED(freep) char *copy = xmemdup(z.data, z.len);
		OWNED(tail_buf_done) struct tail_buf out;
		struct err err = { 0 };

		copy[at] ^= 0x55;
		tail_buf_init(&out, 1000, true);
		(void)!unpack(copy, z.len, "job", &out, &err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_file_of_the_job),
		cmocka_unit_test(keeps_the_end_of_a_long_log),
		cmocka_unit_test(without_keeping_the_tail_too_long_is_an_error),
		cmocka_unit_test(refuses_to_unpack_a_bomb),
		cmocka_unit_test(no_step_takes_long),
		cmocka_unit_test(refuses_too_many_entries),
		cmocka_unit_test(survives_what_is_no_archive),
	};

	return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}

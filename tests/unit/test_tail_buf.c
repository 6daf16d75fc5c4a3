#include "core/tail_buf.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/unit/unit.h"

enum { BLOCK = 16 << 10 }; /* what it starts with */

static void without_the_tail_what_does_not_fit_is_refused_whole(void **state)
{
	static const struct {
		const char *why;
		size_t max, first, second, len;
		bool fits;
	} rows[] = {
		{ "room to spare", 10, 4, 4, 8, true },
		{ "exactly full", 8, 4, 4, 8, true },
		{ "one too many", 7, 4, 4, 4, false },
		{ "nothing into a full one", 4, 4, 0, 4, true },
		{ "a cap of nothing", 0, 0, 1, 0, false },
		{ "beyond the first block", 3 * BLOCK, BLOCK, BLOCK + 1, 2 * BLOCK + 1, true },
		{ "beyond the first block and the cap", 2 * BLOCK, BLOCK, BLOCK + 1, BLOCK, false },
	};
	OWNED(freep) char *bytes = xmalloc(2 * BLOCK);

	UNUSED(state);
	memset(bytes, 'x', 2 * BLOCK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(tail_buf_done) struct tail_buf t;

		tail_buf_init(&t, rows[i].max, false);
		assert_case(tail_buf_put(&t, bytes, rows[i].first), rows[i].why);
		assert_case(tail_buf_put(&t, bytes, rows[i].second) == rows[i].fits, rows[i].why);
		assert_case(t.over == !rows[i].fits, rows[i].why);
		assert_case(t.len == rows[i].len, rows[i].why);
		assert_case(t.cap <= rows[i].max, rows[i].why);
		assert_case(strlen(tail_buf_text(&t)) == rows[i].len, rows[i].why);
		assert_case(t.dropped_bytes == 0 && t.dropped_lines == 0, rows[i].why);
	}
}

static void with_the_tail_the_last_bytes_are_kept(void **state)
{
	static const struct {
		const char *why;
		size_t max;
		const char *puts[4];
		const char *text;
		uint64_t bytes, lines;
	} rows[] = {
		{ "no more than fits", 6, { "a\nb", "c\nd" }, "a\nbc\nd", 0, 0 },
		{ "one byte", 5, { "a\nb", "c\nd" }, "\nbc\nd", 1, 0 },
		{ "its line end is the second", 4, { "a\nb", "c\nd" }, "bc\nd", 2, 1 },
		{ "a piece larger than everything", 3, { "a\n", "b\nc\nd\ne" }, "d\ne", 6, 3 },
		{ "a piece as large as everything", 3, { "a\n", "b\nc" }, "b\nc", 2, 1 },
		{ "round and round", 2, { "1\n2", "\n3\n", "4", "\n" }, "4\n", 6, 3 },
		{ "one byte of memory", 1, { "\n\n", "\n", "x", "y" }, "y", 4, 3 },
		{ "no memory at all", 0, { "a\n", "\nb" }, "", 4, 2 },
		{ "nothing", 4, { "", "" }, "", 0, 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(tail_buf_done) struct tail_buf t;

		tail_buf_init(&t, rows[i].max, true);
		for (size_t k = 0; k < 4 && rows[i].puts[k]; k++)
			assert_case(tail_buf_put(&t, rows[i].puts[k], strlen(rows[i].puts[k])),
				    rows[i].why);
		assert_case(strcmp(tail_buf_text(&t), rows[i].text) == 0, rows[i].why);
		assert_case(t.dropped_bytes == rows[i].bytes, rows[i].why);
		assert_case(t.dropped_lines == rows[i].lines, rows[i].why);
		assert_case(!t.over, rows[i].why);
	}
}

/* xorshift: the same operations on every machine. */
static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static uint64_t newlines(const char *s, size_t n)
{
	uint64_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += s[i] == '\n';
	return count;
}

/* Two pieces at most, and any part of it in one copy. */
static void check_pieces(const struct tail_buf *t, const char *want)
{
	char copy[400];
	size_t n = 0, at = t->len / 3;

	for (unsigned pieces = 0; at < t->len; at += n, pieces++) {
		const char *piece = tail_buf_piece(t, at, &n);

		assert_true(n > 0 && pieces < 2);
		assert_memory_equal(piece, want + at, n);
	}
	assert_int_equal(at, t->len);
	n = tail_buf_copy(t, t->len / 2, copy, t->len / 4);
	assert_int_equal(n, t->len / 4);
	assert_memory_equal(copy, want + t->len / 2, n);
	assert_int_equal(tail_buf_copy(t, t->len / 2, copy, sizeof(copy)), t->len - t->len / 2);
}

/* The model keeps everything that was ever put, and looks at its end. */
static void check_against_model(uint32_t seed)
{
	size_t max = 1 + next(&seed) % 300, total = 0;
	OWNED(freep) char *all = xmalloc(64000);
	OWNED(tail_buf_done) struct tail_buf t;

	tail_buf_init(&t, max, true);
	for (int op = 0; op < 150; op++) {
		size_t n = next(&seed) % 4 ? next(&seed) % 20 : next(&seed) % 400;
		uint32_t what = next(&seed) % 16;
		size_t dropped;

		if (what == 0) {
			tail_buf_reset(&t);
			total = 0;
		} else {
			for (size_t i = 0; i < n; i++)
				all[total + i] =
					next(&seed) % 5 ? (char)('a' + next(&seed) % 26) : '\n';
			assert_true(tail_buf_put(&t, all + total, n));
			total += n;
		}
		dropped = total > max ? total - max : 0;
		assert_int_equal(t.len, total - dropped);
		assert_int_equal(t.dropped_bytes, dropped);
		assert_int_equal(t.dropped_lines, newlines(all, dropped));
		check_pieces(&t, all + dropped);
		/* Looking turns the ring; not looking must work as well. */
		if (what < 6) {
			assert_memory_equal(tail_buf_text(&t), all + dropped, t.len);
			assert_int_equal(tail_buf_text(&t)[t.len], '\0');
		}
	}
}

static void counts_exactly_what_it_dropped(void **state)
{
	UNUSED(state);
	for (uint32_t seed = 1; seed <= 400; seed++)
		check_against_model(seed * 2654435761u);
}

static void a_reset_forgets_the_text_and_the_counts(void **state)
{
	OWNED(tail_buf_done) struct tail_buf t;

	UNUSED(state);
	tail_buf_init(&t, 3, true);
	(void)tail_buf_put(&t, "a\nbcd", 5);
	tail_buf_reset(&t);
	assert_string_equal(tail_buf_text(&t), "");
	assert_int_equal(t.dropped_bytes + t.dropped_lines, 0);
	tail_buf_done(&t);
	tail_buf_init(&t, 1, false);
	assert_false(tail_buf_put(&t, "ab", 2));
	tail_buf_reset(&t);
	assert_false(t.over);
	assert_true(tail_buf_put(&t, "a", 1));
}

static void may_be_finished_twice(void **state)
{
	struct tail_buf t;

	UNUSED(state);
	tail_buf_init(&t, 3, true);
	tail_buf_done(&t);
	tail_buf_init(&t, 3, true);
	(void)tail_buf_put(&t, "a", 1);
	tail_buf_done(&t);
	assert_null(t.data);
	tail_buf_done(&t);
}

/* The linker sends the module's calls here, so that memory can be looked at before it goes. */
void __real_free(void *);
void __wrap_free(void *);
static struct {
	const void *watched;
	size_t n;
	unsigned freed, dirty;
} watch;

void __wrap_free(void *p)
{
	if (p && p == watch.watched) {
		const char *bytes = p;

		watch.freed++;
		for (size_t i = 0; i < watch.n; i++)
			watch.dirty += bytes[i] != '\0';
	}
	__real_free(p);
}

static void wipes_what_it_gives_back(void **state)
{
	OWNED(freep) char *secret = xmalloc(BLOCK);
	struct tail_buf t;

	UNUSED(state);
	memset(secret, 's', BLOCK);
	tail_buf_init(&t, 10 * BLOCK, false);
	assert_true(tail_buf_put(&t, secret, BLOCK));
	watch.watched = t.data;
	watch.n = BLOCK;
	/* Grows: the first block goes. */
	assert_true(tail_buf_put(&t, secret, BLOCK));
	assert_int_equal(watch.freed, 1);
	assert_int_equal(watch.dirty, 0);
	watch.watched = t.data;
	watch.n = (size_t)2 * BLOCK;
	tail_buf_done(&t);
	watch.watched = NULL;
	assert_int_equal(watch.freed, 2);
	assert_int_equal(watch.dirty, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_the_tail_what_does_not_fit_is_refused_whole),
		cmocka_unit_test(with_the_tail_the_last_bytes_are_kept),
		cmocka_unit_test(counts_exactly_what_it_dropped),
		cmocka_unit_test(a_reset_forgets_the_text_and_the_counts),
		cmocka_unit_test(may_be_finished_twice),
		cmocka_unit_test(wipes_what_it_gives_back),
	};

	return cmocka_run_group_tests_name("tail_buf", tests, NULL, NULL);
}

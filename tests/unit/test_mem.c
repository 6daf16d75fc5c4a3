#include "core/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static void copies_are_terminated_and_bounded(void **state)
{
	static const struct {
		const char *why, *in;
		size_t max;
		const char *out;
	} rows[] = {
		{ "shorter than the bound", "abc", 10, "abc" },
		{ "as long as the bound", "abc", 3, "abc" },
		{ "longer", "abc", 2, "ab" },
		{ "bound of nothing", "abc", 0, "" },
		{ "nothing", "", 5, "" },
	};
	static const char no_end[3] = { 'x', 'y', 'z' };
	OWNED(freep) char *unterminated = xstrndup(no_end, 3);

	UNUSED(state);
	assert_string_equal(unterminated, "xyz");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep) char *s = xstrndup(rows[i].in, rows[i].max);

		assert_case(strcmp(s, rows[i].out) == 0, rows[i].why);
	}
}

static void nothing_is_memory_too(void **state)
{
	OWNED(freep) void *a = xmalloc(0);
	OWNED(freep) void *b = xcalloc(0, 8);
	OWNED(freep) void *c = xmemdup(NULL, 0);
	OWNED(freep) void *d = xrealloc(xmalloc(5), 0);
	OWNED(freep) char *e = xasprintf("%s", "");

	UNUSED(state);
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	assert_non_null(d);
	assert_string_equal(e, "");
}

static void what_it_returns_holds_what_was_asked(void **state)
{
	OWNED(freep) char *copy = xmemdup("a\0b", 3);
	OWNED(freep) char *text = xasprintf("%s-%d", "x", 42);
	OWNED(freep) int *zero = xcalloc(100, sizeof(int));

	UNUSED(state);
	assert_memory_equal(copy, "a\0b", 3);
	assert_string_equal(text, "x-42");
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(zero[i], 0);
}

static void taking_leaves_nothing_to_release(void **state)
{
	OWNED(freep) char *mine = xstrdup("x");
	OWNED(freep) char *yours = TAKE(mine);

	UNUSED(state);
	assert_null(mine);
	assert_string_equal(yours, "x");
}

static void arena_memory_is_aligned_zeroed_and_apart(void **state)
{
	static const size_t sizes[] = { 1,    2,    7,    8,     15, 16,   17, 100, 3,
					1000, 4095, 4096, 4097,  5,  9000, 1,  0,   31,
					4080, 16,   1,    65536, 33, 4032, 48, 64,  1 };
	OWNED(arena_freep) struct arena *a = arena_new();
	unsigned char *p[ARRAY_LEN(sizes)];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		p[i] = arena_alloc(a, sizes[i]);
		assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(p[i][k], 0);
		memset(p[i], (int)i + 1, sizes[i]);
	}
	/* Nobody wrote into somebody else's. */
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(p[i][k], i + 1);
}

static void arena_holds_large_and_many_things(void **state)
{
	enum { LARGE = 8 << 20, MANY = 20000 };
	OWNED(arena_freep) struct arena *a = arena_new();
	unsigned char *large = arena_alloc(a, LARGE);
	char **strings = arena_alloc(a, MANY * sizeof(*strings));

	UNUSED(state);
	memset(large, 0xa5, LARGE);
	for (int i = 0; i < MANY; i++)
		strings[i] = arena_printf(a, "%d", i);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(strtol(strings[i], NULL, 10), i);
	assert_int_equal(large[0], 0xa5);
	assert_int_equal(large[LARGE - 1], 0xa5);
}

static void arena_copies_strings(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();

	UNUSED(state);
	assert_null(arena_strdup(a, NULL));
	assert_string_equal(arena_strdup(a, ""), "");
	assert_string_equal(arena_strdup(a, "abc"), "abc");
	assert_string_equal(arena_strndup(a, "abc", 2), "ab");
	assert_string_equal(arena_strndup(a, NULL, 0), "");
	assert_memory_equal(arena_strndup(a, "a\0b", 3), "a\0b", 4);
	assert_string_equal(arena_printf(a, "%s", ""), "");
	arena_free(NULL);
}

static void too_much(void)
{
	OWNED(freep) void *p = xmalloc((size_t)1 << 40);

	(void)fprintf(stderr, "%p\n", p);
}

static void too_many(void)
{
	OWNED(freep) void *p = xcalloc(SIZE_MAX / 4, 8);

	(void)fprintf(stderr, "%p\n", p);
}

static void more(void)
{
	OWNED(freep) void *p = xrealloc(xmalloc(1), (size_t)1 << 40);

	(void)fprintf(stderr, "%p\n", p);
}

static void arena_too_much(void)
{
	OWNED(arena_freep) struct arena *a = arena_new();

	(void)fprintf(stderr, "%p\n", arena_alloc(a, SIZE_MAX - 7));
}

/* Crash-only: going on without memory is the one thing it must not do. */
static void running_out_of_memory_ends_the_process(void **state)
{
	static const struct {
		const char *why;
		void (*fn)(void);
	} rows[] = {
		{ "malloc", too_much },
		{ "calloc whose product overflows", too_many },
		{ "realloc", more },
		{ "arena whose size would wrap", arena_too_much },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int status = 0;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			const struct rlimit none = { 0, 0 };

			(void)setrlimit(RLIMIT_CORE, &none);
			(void)!freopen("/dev/null", "w", stderr);
			rows[i].fn();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		/* A sanitizer ends it with a status of its own. */
		assert_case(WIFSIGNALED(status) || WEXITSTATUS(status) != 0, rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_are_terminated_and_bounded),
		cmocka_unit_test(nothing_is_memory_too),
		cmocka_unit_test(what_it_returns_holds_what_was_asked),
		cmocka_unit_test(taking_leaves_nothing_to_release),
		cmocka_unit_test(arena_memory_is_aligned_zeroed_and_apart),
		cmocka_unit_test(arena_holds_large_and_many_things),
		cmocka_unit_test(arena_copies_strings),
		cmocka_unit_test(running_out_of_memory_ends_the_process),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}

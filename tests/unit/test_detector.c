#include "dispatcher/detector.h"

#include <sys/resource.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/rule_set.h"
#include "unit.h"

static struct detector *new_detector(void)
{
	struct detector *d = NULL;
	struct err err;

	assert_ok(detector_new("conf/rules", NULL, &d, &err), &err);
	return d;
}

/* Everything that a finding says, but for how long it took. */
static char *answer(const struct detector *d, const char *log, size_t n, size_t piece)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct detect_input in = { .text = NULL };
	OWNED(detect_scan_freep) struct detect_scan *s = detect_scan_new(d, &in);
	OWNED(json_putp) struct json_object *o = NULL;
	struct finding f;

	for (size_t at = 0; at < n; at += piece)
		detect_scan_feed(s, log + at, n - at < piece ? n - at : piece);
	detect_scan_end(s, a, &f);
	f.scan_ms = 0;
	o = finding_to_json(&f);
	return xstrdup(json_text(o));
}

/* Every sample of every rule: lines of all tools in one log, in an order that depends on `step`. */
static void samples(struct buf *log, size_t step)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	struct err err;

	assert_ok(rule_set_load("conf/rules", &set, &err), &err);
	for (size_t i = 0; i < set->n; i++) {
		const struct rule_spec *spec = set->rules[(i * step) % set->n].spec;

		for (unsigned k = 0; k < spec->positive_count; k++)
			buf_printf(log, "%s\n", spec->positive[k]);
		for (unsigned k = 0; k < spec->negative_count; k++)
			buf_printf(log, "\033[1m%s\033[0m\r\n", spec->negative[k]);
	}
}

typedef void each_fn(const char *text, size_t n, void *arg);

static void each_file(const char *dir, each_fn *fn, void *arg)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		OWNED(freep) char *path = xasprintf("%s/%s", dir, names[i]->d_name);
		FILE *f = names[i]->d_name[0] == '.' ? NULL : fopen(path, "re");
		OWNED(freep) char *text = xmalloc(1 << 20);

		if (f) {
			size_t len = fread(text, 1, 1 << 20, f);

			(void)fclose(f);
			fn(text, len, arg);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

struct pair {
	struct detector *fast, *slow;
	unsigned logs;
};

static void compare(const char *text, size_t n, void *arg)
{
	struct pair *p = arg;
	OWNED(freep) char *one = answer(p->fast, text, n, n + 1);
	OWNED(freep) char *other = answer(p->slow, text, n, n + 1);

	assert_string_equal(one, other);
	p->logs++;
}

static void both_engines_give_the_same_answers(void **state)
{
	OWNED(detector_freep) struct detector *fast = new_detector();
	OWNED(detector_freep) struct detector *slow = new_detector();
	struct pair p = { .fast = fast, .slow = slow };

	UNUSED(state);
	detector_use_pcre2_only(slow);
	assert_false(detector_is_one_pass(slow));
	for (size_t step = 1; step < 12; step += 2) {
		OWNED(buf_done) struct buf log;

		buf_init(&log, 1 << 20);
		samples(&log, step);
		compare(log.data, log.len, &p);
	}
	each_file("tests/fuzz/corpus/joblog", compare, &p);
	assert_true(p.logs > 10);
}

static void pieces_do_not_matter(void **state)
{
	OWNED(detector_freep) struct detector *d = new_detector();
	OWNED(buf_done) struct buf log;
	OWNED(freep) char *whole = NULL;

	UNUSED(state);
	buf_init(&log, 1 << 20);
	samples(&log, 7);
	whole = answer(d, log.data, log.len, log.len);
	for (size_t piece = 1; piece < 300; piece = 3 * piece + 1) {
		OWNED(freep) char *got = answer(d, log.data, log.len, piece);

		assert_string_equal(got, whole);
	}
}

static void a_scan_does_not_leave_traces_for_the_next(void **state)
{
	static const char log[] = "tax.c:7:9: error: 'rate' undeclared\n";
	OWNED(detector_freep) struct detector *d = new_detector();
	OWNED(freep) char *first = answer(d, log, strlen(log), 1000);
	OWNED(freep) char *empty = answer(d, "", 0, 1);
	OWNED(freep) char *again = answer(d, log, strlen(log), 1000);

	UNUSED(state);
	assert_string_equal(first, again);
	assert_non_null(strstr(empty, "\"unknown\""));
}

/* One buffer over and over: what is kept of a log does not grow with it. */
static void a_large_log_needs_no_memory(void **state)
{
	/* Without the one-pass engine every rule is a candidate on every line of a block. */
	enum { TIMES = 150, ALLOWED_KIB = 24 << 10 };
	OWNED(detector_freep) struct detector *d = new_detector();
	struct detect_input in = { .text = NULL };
	OWNED(detect_scan_freep) struct detect_scan *s = detect_scan_new(d, &in);
	OWNED(arena_freep) struct arena *a = arena_new();
	OWNED(buf_done) struct buf log;
	struct rusage before, after;
	struct finding f;

	UNUSED(state);
	buf_init(&log, 1 << 20);
	samples(&log, 5);
	for (unsigned i = 0; i < 8; i++)
		detect_scan_feed(s, log.data, log.len);
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	for (unsigned i = 0; i < TIMES; i++)
		detect_scan_feed(s, log.data, log.len);
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
	detect_scan_end(s, a, &f);
	assert_true(after.ru_maxrss - before.ru_maxrss < ALLOWED_KIB);
}

/* What every answer has to be, whatever was read. */
static void assert_harmless(const char *json)
{
	assert_true(utf8_valid((const unsigned char *)json, strlen(json)));
	assert_null(strstr(json, "\\u00"));
	for (const char *s = json; *s; s++)
		assert_true((unsigned char)*s >= ' ' && *s != '\x7f');
}

/* The same from both engines, in one piece and in pieces; the answer is the caller's. */
static char *answer_of_all(const struct pair *p, const char *log, size_t n)
{
	char *whole = answer(p->fast, log, n, n + 1);
	OWNED(freep) char *slow = answer(p->slow, log, n, n + 1);
	OWNED(freep) char *pieces = answer(p->fast, log, n, 4093);

	assert_string_equal(whole, slow);
	assert_string_equal(whole, pieces);
	assert_harmless(whole);
	return whole;
}

static void bad_input_hides_nothing(void **state)
{
	static const char cause[] = "\ntax.c:7:9: error: 'rate' undeclared\n"
				    "make: *** [tax.o] Error 1";
#define TEXT(s) (s), sizeof(s) - 1
	static const struct {
		const char *text;
		size_t n, times;
		const char *what;
	} rows[] = {
		{ TEXT(""), 0, "nothing" },
		{ TEXT("\0"), 100000, "NULs" },
		{ TEXT("a\0b\n"), 30000, "NULs in lines" },
		{ TEXT("\xff\xc0\x80\xed\xa0\x80"), 30000, "invalid UTF-8" },
		{ TEXT("\xe2\x80"), 70000, "UTF-8 that never ends" },
		{ TEXT("x"), 2 << 20, "a line of two megabytes" },
		{ TEXT("error: "), 200000, "one of words that rules look for" },
		{ TEXT("\n"), 100000, "empty lines" },
		{ TEXT("\r"), 100000, "carriage returns" },
		{ TEXT("50 %\r"), 50000, "progress" },
		{ TEXT("\033[31m\033]0;title\007\033[2J"), 20000, "escapes" },
		{ TEXT("\033["), 70000, "escapes that never end" },
		{ TEXT("\033]0;"), 50000, "titles that never end" },
		{ TEXT("##[group]\n::group::\n"), 10000, "groups that never end" },
		{ TEXT("((((((((((((((((((((\n"), 5000, "brackets" },
		{ TEXT("a.b.c.d:1:1: e.f.g.h:1:1: "), 10000, "places" },
		{ TEXT("        1) x::x#x (x.x) [x] -> x:1:1: \n"), 5000, "what tests look like" },
		{ TEXT("\xe2\x80\xae\xe2\x80\x8b\n"), 20000, "text that turns around" },
	};
	OWNED(detector_freep) struct detector *fast = new_detector();
	OWNED(detector_freep) struct detector *slow = new_detector();
	struct pair p = { .fast = fast, .slow = slow };

	UNUSED(state);
	detector_use_pcre2_only(slow);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(buf_done) struct buf log;
		OWNED(freep) char *before = NULL;

		buf_init(&log, 8 << 20);
		for (size_t k = 0; k < rows[i].times; k++)
			buf_append(&log, rows[i].text, rows[i].n);
		free(answer_of_all(&p, log.len ? log.data : "", log.len));
		buf_puts(&log, cause);
		before = answer_of_all(&p, log.data, log.len);
		if (!strstr(before, "\"category\":\"build_failure\"") ||
		    !strstr(before, "tax.c:7:9"))
			fail_msg("after %s: %s", rows[i].what, before);
	}
#undef TEXT
	assert_int_equal(detector_gave_up(fast), 0);
}

static void names_of_tests_are_harmless(void **state)
{
	static const char log[] =
		"FAIL: test_\033[2Jrate (tests.Tax\xff\xe2\x80\xae)\n"
		"--- FAIL: Test\0Rate/\x1b]8;;http://x\x07@all (0.00s)\n"
		"FAILED tests/test_tax.py::test_rate[\23331m-password=hunter2hunter2] - x\n"
		"  \u2022 x\n1) <script>alert(1)</script>(org.acme.Tax)\n";
	OWNED(detector_freep) struct detector *fast = new_detector();
	OWNED(detector_freep) struct detector *slow = new_detector();
	struct pair p = { .fast = fast, .slow = slow };
	OWNED(freep) char *got = NULL;

	UNUSED(state);
	detector_use_pcre2_only(slow);
	got = answer_of_all(&p, log, sizeof(log) - 1);
	assert_non_null(strstr(got, "\"failed_tests\":[\""));
	assert_null(strstr(got, "hunter2"));
}

static void a_log_may_be_cut_anywhere(void **state)
{
	OWNED(detector_freep) struct detector *fast = new_detector();
	OWNED(detector_freep) struct detector *slow = new_detector();
	struct pair p = { .fast = fast, .slow = slow };
	OWNED(buf_done) struct buf log;

	UNUSED(state);
	detector_use_pcre2_only(slow);
	buf_init(&log, 1 << 20);
	samples(&log, 3);
	for (size_t i = 1; i < 24; i++) {
		size_t at = log.len * i / 24 + i;

		/* That both engines and all pieces agree is asserted in there. */
		free(answer_of_all(&p, log.data, at));
		free(answer_of_all(&p, log.data + at, log.len - at));
	}
}

static void bad_rules_are_refused_whole(void **state)
{
	struct detector *d = NULL;
	struct err err = { .kind = ERR_NONE };

	UNUSED(state);
	assert_int_equal(detector_new("tests/unit", NULL, &d, &err), -1);
	assert_null(d);
	assert_int_equal(err.kind, ERR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_engines_give_the_same_answers),
		cmocka_unit_test(pieces_do_not_matter),
		cmocka_unit_test(a_scan_does_not_leave_traces_for_the_next),
		cmocka_unit_test(a_large_log_needs_no_memory),
		cmocka_unit_test(bad_input_hides_nothing),
		cmocka_unit_test(names_of_tests_are_harmless),
		cmocka_unit_test(a_log_may_be_cut_anywhere),
		cmocka_unit_test(bad_rules_are_refused_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

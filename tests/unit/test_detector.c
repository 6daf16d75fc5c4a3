#include "dispatcher/detector.h"

#include <sys/resource.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/mem.h"
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
		cmocka_unit_test(bad_rules_are_refused_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

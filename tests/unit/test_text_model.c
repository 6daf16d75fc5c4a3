#include "ml/text_model.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "ml/exp_plain.h"
#include "ml/text_features.h"
#include "ml/text_train.h"
#include "unit.h"

/* ---- features ------------------------------------------------------------------------------ */

static size_t buckets_of(const char *line, uint32_t *out)
{
	struct text_feature f[TEXT_FEATURES_MAX];
	size_t n = text_features(&line, 1, f);

	for (size_t i = 0; i < n; i++)
		out[i] = f[i].bucket;
	return n;
}

static void what_differs_between_runs_is_folded(void **state)
{
	static const struct {
		const char *why, *a, *b;
		bool same;
	} cases[] = {
		{ "numbers", "took 17 ms", "took 9081 ms", true },
		{ "case", "Error: Lost", "error: lost", true },
		{ "punctuation", "error: lost", "[error] lost!", true },
		{ "digests say nothing, nor do their neighbours", "at 4f9a8b7c6d now",
		  "at e09182736455 now", true },
		{ "names over 31 bytes", "in abcdefghijklmnopqrstuvwxyzabcdef end",
		  "in zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz end", true },
		{ "other words", "error: lost", "error: found", false },
		{ "the order of words", "not found", "found not", false },
	};
	uint32_t a[64], b[64];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = buckets_of(cases[i].a, a), m = buckets_of(cases[i].b, b);
		bool same = n == m && memcmp(a, b, n * sizeof(*a)) == 0;

		assert_case(n > 0 && same == cases[i].same, cases[i].why);
	}
}

static void features_are_bounded(void **state)
{
	struct text_feature *f = xcalloc(TEXT_FEATURES_MAX, sizeof(*f));
	const char *lines[TEXT_LINES_MAX + 1];
	char words[TEXT_LINES_MAX + 1][TEXT_LINE_BYTES_MAX + 8];
	size_t n;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		for (size_t k = 0; k < sizeof(words[i]) - 1; k++)
			words[i][k] = k % 2 ? ' ' : (char)('a' + (i + k * 7) % 26);
		words[i][sizeof(words[i]) - 1] = '\0';
		lines[i] = words[i];
	}
	n = text_features(lines, ARRAY_LEN(lines), f);
	assert_true(n > 0 && n <= TEXT_FEATURES_MAX);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		words[i][3] = '\0';
	n = text_features(lines, ARRAY_LEN(lines), f);
	assert_int_equal(n, 3 * TEXT_LINES_MAX); /* two words and their pair */
	for (size_t i = 0; i < n; i++) {
		assert_true(f[i].line < TEXT_LINES_MAX);
		assert_true(f[i].bucket < 1 << TEXT_BUCKET_BITS);
		assert_true(i == 0 || f[i - 1].bucket <= f[i].bucket);
	}
	free(f);
}

static void exp_is_exact_enough(void **state)
{
	UNUSED(state);
	for (int i = 0; i < 1890; i++) {
		double x = -0.37 * i;

		assert_true(fabs(exp_plain(x) / exp(x) - 1) < 1e-11);
	}
	assert_true(exp_plain(-701) >= 0 && exp_plain(-701) <= 0);
	assert_true(exp_plain(-(double)NAN) >= 0 && exp_plain(-(double)NAN) <= 0);
}

/* ---- learning ------------------------------------------------------------------------------ */

static void no_progress(unsigned done, unsigned of, void *arg)
{
	UNUSED(done);
	UNUSED(of);
	UNUSED(arg);
}

static void add_one(struct text_samples *all, const char *class, uint64_t project, bool scored,
		    const char *line, const char *last)
{
	const char *lines[] = { "building shop", line, last };
	struct text_sample s = {
		.class = (unsigned)text_samples_class(all, class),
		.project = project << 17,
		.scored = scored,
		.weight = 1,
	};
	struct err err;

	assert_ok(text_samples_add(all, lines, ARRAY_LEN(lines), &s, &err), &err);
}

static void add(struct text_samples *all, const char *class, uint64_t project, const char *line,
		const char *last)
{
	add_one(all, class, project, true, line, last);
}

/* Ten projects with two kinds of failures, and one that passes; one rare kind. */
static void fill(struct text_samples *all)
{
	for (uint64_t project = 1; project <= 10; project++) {
		add(all, "test_failure", project, "assertion failed in the suite", "make: stop");
		add(all, "build_failure", project, "undefined reference to symbol", "make: stop");
		add(all, TEXT_PASSED, project, "all green and well", "done");
	}
	add(all, "timeout", 11, "took too long to answer", "make: stop");
}

static struct text_model *trained(struct text_report *report)
{
	OWNED(text_samples_done) struct text_samples all = { .n = 0 };
	struct text_model *m = NULL;
	struct err err;

	fill(&all);
	assert_ok(text_train(&all, no_progress, NULL, &m, report, &err), &err);
	return m;
}

static void it_learns_to_tell_failures_apart(void **state)
{
	static const struct {
		const char *line, *class;
		bool sure;
	} cases[] = {
		{ "the assertion failed", "test_failure", true },
		{ "undefined symbol", "build_failure", true },
		{ "green and well", TEXT_PASSED, false },
	};
	struct text_report report;
	OWNED(text_model_freep) struct text_model *m = trained(&report);

	UNUSED(state);
	assert_int_equal(report.logs, 21);
	assert_int_equal(report.right, 20); /* nothing was like the one of its kind */
	assert_int_equal(report.passed, 10);
	assert_int_equal(report.alarms, 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *lines[] = { "something else", cases[i].line };
		struct text_opinion o;

		text_model_ask(m, lines, ARRAY_LEN(lines), &o);
		assert_string_equal(o.best[0].class, cases[i].class);
		assert_int_equal(o.sure, cases[i].sure);
		assert_true(o.best[0].probability <= 1 &&
			    o.best[0].probability >= o.best[1].probability);
		assert_true(o.n_reasons == 1 && o.reasons[0] == 1);
	}
}

static void words_it_never_saw_decide_nothing(void **state)
{
	const char *lines[] = { "zebra quartz", "" };
	struct text_report report;
	OWNED(text_model_freep) struct text_model *m = trained(&report);
	struct text_opinion o;

	UNUSED(state);
	text_model_ask(m, lines, ARRAY_LEN(lines), &o);
	assert_false(o.sure);
	assert_int_equal(o.n_reasons, 0);
	text_model_ask(m, lines, 0, &o);
	assert_false(o.sure);
}

static void a_class_speaks_only_when_logs_showed_that_it_may(void **state)
{
	struct text_report report;
	OWNED(text_model_freep) struct text_model *m = trained(&report);

	UNUSED(state);
	assert_true(text_model_knows(m, "test_failure"));
	assert_true(text_model_knows(m, "build_failure"));
	assert_false(text_model_knows(m, "timeout")); /* one log of one project */
	assert_false(text_model_knows(m, TEXT_PASSED));
	assert_false(text_model_knows(m, "network_failure"));
}

/* What was learned elsewhere is right in logs of two projects, or of one more. */
static void two_projects_are_too_few(void **state)
{
	UNUSED(state);
	for (uint64_t more = 0; more < 2; more++) {
		OWNED(text_samples_done) struct text_samples all = { .n = 0 };
		OWNED(text_model_freep) struct text_model *m = NULL;
		struct text_report report;
		struct err err;

		fill(&all);
		for (uint64_t project = 21; project < 29; project++)
			add_one(&all, "rate_limit", project, false, "slow down please", "slow");
		for (uint64_t project = 31; project < 33 + more; project++)
			add(&all, "rate_limit", project, "slow down please", "slow");
		assert_ok(text_train(&all, no_progress, NULL, &m, &report, &err), &err);
		assert_int_equal(text_model_knows(m, "rate_limit"), more);
	}
}

/* Whatever a file says: that nothing failed is no category. */
static void passed_is_never_said(void **state)
{
	const char *lines[] = { "all green and well" };
	struct text_report report;
	OWNED(text_model_freep) struct text_model *m = trained(&report);
	struct text_opinion o;

	UNUSED(state);
	for (unsigned c = 0; c < m->n_classes; c++)
		m->threshold[c] = 0;
	text_model_ask(m, lines, 1, &o);
	assert_string_equal(o.best[0].class, TEXT_PASSED);
	assert_false(o.sure);
}

static void the_same_samples_give_the_same_bytes(void **state)
{
	struct text_report report;
	OWNED(text_model_freep) struct text_model *a = trained(&report);
	OWNED(text_model_freep) struct text_model *b = trained(&report);
	size_t n, m;
	OWNED(freep) unsigned char *x = text_model_bytes(a, &n);
	OWNED(freep) unsigned char *y = text_model_bytes(b, &m);

	UNUSED(state);
	assert_int_equal(n, m);
	assert_memory_equal(x, y, n);
}

static void names_of_one_project_are_not_learned(void **state)
{
	OWNED(text_samples_done) struct text_samples all = { .n = 0 };
	OWNED(text_model_freep) struct text_model *m = NULL;
	const char *lines[] = { "zebra" };
	struct text_report report;
	struct text_opinion o;
	struct err err;

	UNUSED(state);
	fill(&all);
	for (unsigned i = 0; i < 20; i++)
		add(&all, "test_failure", 12, "zebra", "zebra");
	assert_ok(text_train(&all, no_progress, NULL, &m, &report, &err), &err);
	text_model_ask(m, lines, 1, &o);
	assert_int_equal(o.n_reasons, 0);
}

static void one_class_is_nothing_to_learn(void **state)
{
	OWNED(text_samples_done) struct text_samples all = { .n = 0 };
	struct text_model *m = NULL;
	struct text_report report;
	struct err err;

	UNUSED(state);
	add(&all, "test_failure", 1, "a", "b");
	assert_int_equal(text_train(&all, no_progress, NULL, &m, &report, &err), -1);
	assert_null(m);
	assert_int_equal(text_samples_class(&all, "unknown"), -1);
	assert_int_equal(text_samples_class(&all, "bad mood"), -1);
}

/* ---- the file ------------------------------------------------------------------------------ */

static void a_file_is_read_as_it_was_written(void **state)
{
	struct text_report report;
	OWNED(text_model_freep) struct text_model *m = trained(&report);
	OWNED(text_model_freep) struct text_model *again = NULL;
	size_t n, k;
	OWNED(freep) unsigned char *bytes = text_model_bytes(m, &n);
	OWNED(freep) unsigned char *other = NULL;
	struct err err;

	UNUSED(state);
	assert_ok(text_model_parse(bytes, n, &again, &err), &err);
	other = text_model_bytes(again, &k);
	assert_int_equal(n, k);
	assert_memory_equal(bytes, other, n);
}

static void every_changed_or_missing_byte_is_noticed(void **state)
{
	struct text_report report;
	OWNED(text_model_freep) struct text_model *m = trained(&report);
	struct text_model *out = NULL;
	size_t n;
	OWNED(freep) unsigned char *bytes = text_model_bytes(m, &n);
	struct err err = { .kind = ERR_NONE };

	UNUSED(state);
	for (size_t i = 0; i < n; i++) {
		bytes[i] ^= 1;
		assert_int_equal(text_model_parse(bytes, n, &out, &err), -1);
		bytes[i] ^= 1;
		assert_int_equal(text_model_parse(bytes, i, &out, &err), -1);
	}
	assert_null(out);
	assert_int_equal(err.kind, ERR_CONFIG);
}

/* As a hostile file would: with a checksum that fits. */
static void a_file_that_makes_no_sense_is_refused(void **state)
{
	enum { CLASSES = 8, ROWS = 12, TEMPERATURE = 16, NAME = 52, BIAS = 84 };
	static const struct {
		const char *why;
		size_t at;
		uint32_t value;
	} cases[] = {
		{ "another version", 4, 9 },
		{ "no classes", CLASSES, 0 },
		{ "too many classes", CLASSES, 200 },
		{ "more rows than bytes", ROWS, 16384 },
		{ "a number of rows that wraps", ROWS, 0xffffffff },
		{ "a temperature of nothing", TEMPERATURE, 0 },
		{ "a temperature that is no number", TEMPERATURE, 0x7fc00000 },
		{ "a class that is no category", NAME, 0x41414141 },
		{ "an infinite bias", BIAS, 0x7f800000 },
	};
	struct text_report report;
	OWNED(text_model_freep) struct text_model *m = trained(&report);
	struct text_model *out = NULL;
	size_t n;
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(freep) unsigned char *bytes = text_model_bytes(m, &n);

		memcpy(bytes + cases[i].at, &cases[i].value, sizeof(cases[i].value));
		sha256(bytes, n - SHA256_BYTES, bytes + n - SHA256_BYTES);
		assert_case(text_model_parse(bytes, n, &out, &err) == -1, cases[i].why);
	}
	assert_null(out);
}

static void the_shipped_model_loads_and_is_small(void **state)
{
	OWNED(text_model_freep) struct text_model *m = NULL;
	struct err err;
	size_t n;
	unsigned char *bytes;

	UNUSED(state);
	assert_ok(text_model_load("conf/models/text.model", &m, &err), &err);
	bytes = text_model_bytes(m, &n);
	free(bytes);
	assert_true(n < 300 << 10);
	assert_true(text_model_knows(m, "test_failure"));
	assert_int_equal(text_model_load("conf/rules", &m, &err), -1);
	assert_int_equal(text_model_load("conf/none", &m, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_differs_between_runs_is_folded),
		cmocka_unit_test(features_are_bounded),
		cmocka_unit_test(exp_is_exact_enough),
		cmocka_unit_test(it_learns_to_tell_failures_apart),
		cmocka_unit_test(words_it_never_saw_decide_nothing),
		cmocka_unit_test(a_class_speaks_only_when_logs_showed_that_it_may),
		cmocka_unit_test(two_projects_are_too_few),
		cmocka_unit_test(passed_is_never_said),
		cmocka_unit_test(the_same_samples_give_the_same_bytes),
		cmocka_unit_test(names_of_one_project_are_not_learned),
		cmocka_unit_test(one_class_is_nothing_to_learn),
		cmocka_unit_test(a_file_is_read_as_it_was_written),
		cmocka_unit_test(every_changed_or_missing_byte_is_noticed),
		cmocka_unit_test(a_file_that_makes_no_sense_is_refused),
		cmocka_unit_test(the_shipped_model_loads_and_is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

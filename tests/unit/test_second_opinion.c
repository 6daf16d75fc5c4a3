#include "dispatcher/second_opinion.h"

#include <stdio.h>
#include <string.h>

#include "core/finding.h"
#include "core/mem.h"
#include "ml/text_model.h"
#include "unit.h"

/* The rules that we ship, and their model. */
static struct detector *detector;

static const char *const shipped = "conf/models/text.model";

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

static struct finding reach(const char *model, const char *log, struct arena *a)
{
	struct detect_input in = { .text = log, .len = strlen(log) };
	struct finding f;
	struct err err;

	assert_ok(detector_load_model(detector, model, &err), &err);
	detector_scan(detector, &in, a, &f);
	return f;
}

/* A tool that no rule knows, which speaks of tests. */
static const char strange[] = "starting the checker of ours\n"
			      "zorgcheck: looking at 12 things\n"
			      "of the tests run so far there were some failures, no errors\n"
			      "the assertion expected one but was another\n"
			      "results of the individual test are in the reports of the suite\n"
			      "zorgcheck exits now\n";

static void words_name_what_no_rule_knows(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding plain = reach("", strange, a), f = reach(shipped, strange, a);

	UNUSED(state);
	assert_string_equal(plain.category, "unknown");
	assert_string_equal(f.category, "test_failure");
	assert_string_equal(f.rule, DETECT_BY_WORDS);
	assert_false(f.transient);
	assert_true(f.confidence >= 0.5 && f.confidence <= 0.95);
	assert_true(f.n_evidence >= 1 && f.n_evidence <= TEXT_REASONS);
	for (size_t i = 0; i < f.n_evidence; i++)
		assert_in_range(f.evidence[i].line, 1, 6);
	assert_string_equal(f.fingerprint, plain.fingerprint); /* it stays the same unknown */
}

static void a_log_that_passed_is_let_alone(void **state)
{
	OWNED(freep) char *log = xasprintf("%sDone. Your build exited with 0.\n", strange);
	OWNED(freep) char *unmarked = xasprintf("##[group]Run check\n%s", strange);
	OWNED(freep) char *marked = xasprintf("%s##[error]failed\n", unmarked);
	OWNED(arena_freep) struct arena *a = arena_new();

	UNUSED(state);
	assert_string_equal(reach(shipped, log, a).category, "unknown");
	assert_string_equal(reach(shipped, unmarked, a).category, "unknown");
	assert_string_equal(reach(shipped, marked, a).category, "test_failure");
	assert_string_equal(reach(shipped, "", a).category, "unknown");
	assert_string_equal(reach(shipped, "all is well\n", a).category, "unknown");
}

static void what_did_not_pass_is_guessed_at(void **state)
{
	static const char words[] = "zorg begins, for the zorg registry proxy and its server host\n"
				    "zorg could connect server host connection proxy\n";
	OWNED(freep) char *failed = xasprintf("%sERROR: Job failed: exit code 1\n", words);
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = reach(shipped, failed, a);

	UNUSED(state);
	assert_string_not_equal(f.category, "unknown");
	assert_string_equal(f.rule, DETECT_BY_WORDS);
	assert_true(f.confidence < 0.4);
	assert_false(f.transient);
	assert_string_equal(f.evidence[f.n_evidence - 1].text,
			    "zorg could connect server host connection proxy");
	assert_string_equal(reach(shipped, words, a).category, f.category);
	assert_true(reach(shipped, words, a).confidence < 0.4);
}

static void a_sure_rule_is_believed(void **state)
{
	OWNED(freep)
	char *log = xasprintf("%scurl: (6) Could not resolve host: tax.example.org\n"
			      "ERROR: Job failed: exit code 6\n",
			      strange);
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = reach(shipped, log, a), plain = reach("", log, a);

	UNUSED(state);
	assert_string_equal(f.category, "network_failure");
	assert_string_equal(f.rule, plain.rule);
	assert_true(f.transient);
}

/* What the model never was shown, it does not overrule; nor what may pass by itself. */
static void what_it_cannot_know_stays(void **state)
{
	static const struct {
		const char *category;
		double confidence;
		bool transient, stays;
	} cases[] = {
		{ "lint_failure", 0.6, false, false },
		{ "lint_failure", 0.6, true, true },
		{ "lint_failure", 0.8, false, true },
		{ "rate_limit", 0.6, false, true },
	};
	OWNED(text_model_freep) struct text_model *m = NULL;
	struct scan *s = xcalloc(1, sizeof(*s));
	struct err err;

	UNUSED(state);
	assert_ok(text_model_load(shipped, &m, &err), &err);
	for (const char *at = strange; *at; at += strcspn(at, "\n") + 1) {
		(void)snprintf(s->tail.text[s->tail.n], sizeof(s->tail.text[0]), "%.*s",
			       (int)strcspn(at, "\n"), at);
		s->tail.line[s->tail.n] = s->tail.n + 1;
		s->tail.n++;
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		struct finding f;

		finding_init(&f);
		f.category = cases[i].category;
		f.confidence = cases[i].confidence;
		f.transient = cases[i].transient;
		second_opinion(m, s, a, &f);
		assert_int_equal(strcmp(f.category, cases[i].category) == 0, cases[i].stays);
		if (cases[i].stays)
			continue;
		assert_string_equal(f.alternatives[0].category, cases[i].category);
		assert_int_equal(f.n_alternatives, 1);
	}
	free(s);
}

static void a_rule_explains_a_run_better_than_words(void **state)
{
	struct finding words, rule;

	UNUSED(state);
	finding_init(&words);
	finding_init(&rule);
	words.category = "test_failure";
	words.rule = DETECT_BY_WORDS;
	words.confidence = 0.95;
	rule.category = "network_failure";
	rule.rule = "dns";
	rule.confidence = 0.6;
	assert_true(finding_compare(&rule, &words) < 0);
	assert_true(finding_compare(&words, &rule) > 0);
	rule.category = "unknown";
	assert_true(finding_compare(&words, &rule) < 0);
}

static void a_model_that_is_named_must_be_there(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct err err;

	UNUSED(state);
	assert_string_equal(reach(shipped, strange, a).category, "test_failure");
	assert_string_equal(reach(NULL, strange, a).category, "test_failure");
	assert_string_equal(reach("", strange, a).category, "unknown");
	assert_int_equal(detector_load_model(detector, "conf/none", &err), -1);
	assert_non_null(strstr(err.msg, "conf/none"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_name_what_no_rule_knows),
		cmocka_unit_test(a_log_that_passed_is_let_alone),
		cmocka_unit_test(what_did_not_pass_is_guessed_at),
		cmocka_unit_test(a_sure_rule_is_believed),
		cmocka_unit_test(what_it_cannot_know_stays),
		cmocka_unit_test(a_rule_explains_a_run_better_than_words),
		cmocka_unit_test(a_model_that_is_named_must_be_there),
	};

	return cmocka_run_group_tests(tests, load, unload);
}

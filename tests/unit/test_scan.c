#include "dispatcher/scan.h"

#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "dispatcher/log_clean.h"
#include "unit.h"

static const char yaml[] =
	"rules:\n"
	"  - {id: no-rate, category: build_failure, confidence: 0.9, title: x, regex: 'no rate',\n"
	"     positive: [no rate], negative: [rate]}\n"
	"  - {id: ended-badly, class: step_failed, regex: '^exit [1-9]', positive: [exit 1],\n"
	"     negative: [exit 0]}\n"
	"  - {id: ended-well, class: step_passed, regex: '^exit 0', positive: [exit 0],\n"
	"     negative: [exit 1]}\n"
	"  - {id: all-well, class: log_passed, regex: '^all is well$', positive: [all is well],\n"
	"     negative: [all]}\n"
	"  - {id: harmless, class: benign, regex: '^expected: ', positive: ['expected: x'],\n"
	"     negative: [x]}\n"
	"  - {id: one-line, class: test, regex: '^FAIL \\S', capture: '^FAIL (?<test>\\S+)',\n"
	"     positive: [FAIL a], negative: [PASS a]}\n"
	"  - {id: with-suite, class: test, regex: '^BAD \\S', separator: '::',\n"
	"     capture: '^BAD (?:(?<suite>\\w+)/)?(?<test>\\w+)', follow: '^in (?<suite>\\S+)',\n"
	"     positive: [BAD a], negative: [GOOD a]}\n"
	"  - {id: on-lines, class: test, regex: '^\\d\\) \\S',\n"
	"     capture: '^\\d\\) (?:(?<test>.*\\S):|(?<begin>.*\\S))$',\n"
	"     follow: '^  (?:(?<last>\\S.*):|(?<more>\\S.*))$', positive: ['1) a'], negative: "
	"[a]}\n"
	"  - {id: banner, class: test, regex: '^={9}$', capture: '^(?<open>=+)$', framework: "
	"shop,\n"
	"     follow: '^(?:(?<failed>at \\S+)|=+$|(?<more>\\w.*))$', positive: ['========='],\n"
	"     negative: ['==']}\n"
	"  - {id: bomb, category: build_failure, confidence: 0.9, title: x,\n"
	"     regex: 'xxx', positive: [xxx], negative: [x]}\n";

struct fixture {
	struct rule_set *rules;
	struct matcher *matcher;
	struct prefilter *prefilter;
	struct scan *scan;
};

static void fixture_done(struct fixture *f)
{
	scan_free(f->scan);
	prefilter_free(f->prefilter);
	matcher_free(f->matcher);
	rule_set_free(f->rules);
}

static void free_clean(struct log_clean **c)
{
	log_clean_free(*c);
}

static void scan_cleaned(struct fixture *f, struct log_clean *c)
{
	size_t len, n_lines, n;
	const char *text = log_clean_text(c, &len);
	const struct clean_line *lines = log_clean_lines(c, &n_lines);
	const struct candidate *found = prefilter_scan(f->prefilter, text, len, lines, n_lines, &n);

	scan_block(f->scan, text, lines, n_lines, found, n);
	log_clean_reset(c);
}

/* A bomb that the proof at load did not foresee. */
static void arm(struct rule_set *set)
{
	struct rule *r = &set->rules[set->n - 1];
	PCRE2_SIZE at;
	int code;

	pcre2_code_free(r->code);
	r->code =
		pcre2_compile((PCRE2_SPTR) "(x+x+)+$", PCRE2_ZERO_TERMINATED, 0, &code, &at, NULL);
	assert_non_null(r->code);
}

static void scan_log(struct fixture *f, const char *log, const char *failed_step)
{
	OWNED(free_clean) struct log_clean *c = log_clean_new(0);
	struct err err;
	size_t n = strlen(log);

	assert_ok(rule_set_parse("shop.yaml", yaml, strlen(yaml), &f->rules, &err), &err);
	arm(f->rules);
	f->matcher = matcher_new(5000);
	f->prefilter = prefilter_new(f->rules, false);
	f->scan = scan_new(f->rules, f->matcher, failed_step);
	for (size_t at = 0; at < n;) {
		at += log_clean_feed(c, log + at, n - at);
		if (at < n)
			scan_cleaned(f, c);
	}
	log_clean_end(c);
	scan_cleaned(f, c);
	scan_end(f->scan);
}

static const struct tally *tally_of(const struct fixture *f, const char *id)
{
	for (size_t i = 0; i < f->rules->n; i++)
		if (strcmp(f->rules->rules[i].spec->id, id) == 0)
			return &f->scan->tallies[i];
	fail_msg("no rule %s", id);
	return NULL;
}

static enum part_state part_of(const struct fixture *f, const struct hit *h)
{
	return f->scan->parts[h->part];
}

static void a_hit_belongs_to_the_part_that_its_step_ended(void **state)
{
	OWNED(fixture_done) struct fixture f = { .rules = NULL };
	const struct tally *t;

	UNUSED(state);
	scan_log(&f, "no rate 1\nexit 0\nno rate 2\nexit 2\nno rate 3\n", NULL);
	t = tally_of(&f, "no-rate");
	assert_int_equal(t->count, 3);
	assert_int_equal(t->n_hits, 3);
	assert_int_equal(t->hits[1].line, 3);
	assert_int_equal(part_of(&f, &t->hits[0]), PART_PASSED);
	assert_int_equal(part_of(&f, &t->hits[1]), PART_FAILED);
	assert_int_equal(part_of(&f, &t->hits[2]), PART_OPEN);
	assert_true(f.scan->any_failed && f.scan->any_passed && !f.scan->any_step);
}

/* The API knows which step failed; the log shows where it begins. */
static void the_failed_step_is_known_by_name(void **state)
{
	static const char log[] =
		"##[group]Run make\nno rate 1\n##[group]Run make test\nno rate 2\n";
	static const char *const names[] = { "Run make test", "make test" };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		OWNED(fixture_done) struct fixture f = { .rules = NULL };
		const struct tally *t;

		scan_log(&f, log, names[i]);
		t = tally_of(&f, "no-rate");
		assert_int_equal(part_of(&f, &t->hits[0]), PART_OPEN);
		assert_int_equal(part_of(&f, &t->hits[1]), PART_FAILED);
		assert_true(f.scan->any_step && f.scan->any_github_step && !f.scan->any_marked);
	}
}

static void the_last_word_decides_whether_all_is_well(void **state)
{
	static const struct {
		const char *log;
		bool passed;
	} cases[] = {
		{ "exit 1\nall is well\n", true },
		{ "all is well\nexit 1\n", false },
		{ "no rate\n", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(fixture_done) struct fixture f = { .rules = NULL };

		scan_log(&f, cases[i].log, NULL);
		assert_case(f.scan->log_passed == cases[i].passed, cases[i].log);
	}
}

static void commands_and_harmless_lines_are_not_asked(void **state)
{
	OWNED(fixture_done) struct fixture f = { .rules = NULL };

	UNUSED(state);
	scan_log(&f, "$ echo no rate\n+ echo no rate\n##[group]no rate\nexpected: no rate\n", NULL);
	assert_int_equal(tally_of(&f, "no-rate")->count, 0);
}

/* Counted all, kept few: of one part and together. Newer parts push out older ones that passed. */
static void hits_are_bounded(void **state)
{
	OWNED(fixture_done) struct fixture f = { .rules = NULL };
	OWNED(buf_done) struct buf log;
	const struct tally *t;

	UNUSED(state);
	buf_init(&log, 1 << 20);
	for (unsigned part = 0; part < 20; part++) {
		for (unsigned i = 0; i < 10; i++)
			buf_printf(&log, "no rate %u\n", part);
		buf_puts(&log, "exit 0\n");
	}
	buf_puts(&log, "no rate at the end\nexit 1\n");
	scan_log(&f, log.data, NULL);
	t = tally_of(&f, "no-rate");
	assert_int_equal(t->count, 201);
	assert_int_equal(t->n_hits, HITS_KEPT);
	for (unsigned i = 0; i < t->n_hits; i++) {
		unsigned here = 0;

		for (unsigned k = 0; k < t->n_hits; k++)
			here += t->hits[k].part == t->hits[i].part;
		assert_true(here <= HITS_PER_PART);
	}
	for (unsigned i = 0; i < t->n_hits; i++)
		if (strcmp(t->hits[i].text, "no rate at the end") == 0)
			return;
	fail_msg("the hit that matters was pushed out");
}

static void evidence_is_masked(void **state)
{
	OWNED(fixture_done) struct fixture f = { .rules = NULL };

	UNUSED(state);
	scan_log(&f, "no rate, password=correct-horse\n", NULL);
	assert_string_equal(tally_of(&f, "no-rate")->hits[0].text, "no rate, password=[masked]");
	assert_null(strstr(f.scan->tail.text[0], "horse"));
}

static void failed_tests_get_their_names(void **state)
{
	static const struct {
		const char *why, *log, *want;
	} cases[] = {
		{ "on one line", "FAIL a\nFAIL b\n", "a|b|" },
		{ "named twice", "FAIL a\nFAIL a\n", "a|" },
		{ "the fuller name wins, whichever is first", "FAIL x.Tax.adds\nFAIL Tax.adds\n",
		  "x.Tax.adds|" },
		{ "the fuller name wins, later", "FAIL Tax.adds\nFAIL x.Tax.adds\n",
		  "x.Tax.adds|" },
		{ "an ending in common is not enough", "FAIL Tax.adds\nFAIL XTax.adds\n",
		  "Tax.adds|XTax.adds|" },
		{ "parameters left out in a summary", "FAIL Tax.adds[7]\nFAIL Tax.adds\n",
		  "Tax.adds[7]|" },
		{ "parameters differ", "FAIL a[1]\nFAIL a[2]\n", "a[1]|a[2]|" },
		{ "suite on the line", "BAD Tax/adds\n", "Tax::adds|" },
		{ "suite on a later line", "BAD adds\nwhatever\nin tax.py\n", "tax.py::adds|" },
		{ "both", "BAD Tax/adds\nin tax.py\nin cart.py\n", "tax.py::Tax::adds|" },
		{ "the next test ends the search", "BAD a\nBAD b\nin tax.py\n", "a|tax.py::b|" },
		{ "over lines", "1) Tax\n  with rebate\n  adds:\n", "Tax with rebate adds|" },
		{ "at once", "1) Tax adds:\n  more:\n", "Tax adds|" },
		{ "never finished", "1) Tax\nother\n  adds:\n", "" },
		{ "under a banner, which is none of it",
		  "=========\nadds\ntax\n=========\nat x:7\n", "adds tax|" },
		{ "under a banner that means something else",
		  "=========\nadds\n=========\n!\nat x:7\n", "" },
		{ "under a banner without a name", "=========\nat x:7\n", "" },
		{ "secrets in a name", "FAIL token=correct-horse\n", "token=[masked]|" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWNED(fixture_done) struct fixture f = { .rules = NULL };
		OWNED(buf_done) struct buf names;

		scan_log(&f, cases[i].log, NULL);
		buf_init(&names, 4096);
		buf_puts(&names, "");
		for (size_t k = 0; k < f.scan->n_tests; k++)
			buf_printf(&names, "%s|", f.scan->tests[k].name);
		if (strcmp(names.len ? names.data : "", cases[i].want) != 0)
			fail_msg("row \"%s\": %s", cases[i].why, names.data);
	}
}

/* The rule that names it first need not say whose format it is. */
static void a_failed_test_has_a_framework(void **state)
{
	OWNED(fixture_done) struct fixture f = { .rules = NULL };

	UNUSED(state);
	scan_log(&f, "FAIL adds\nFAIL b\n=========\nadds\nat x:7\n", NULL);
	assert_int_equal(f.scan->n_tests, 2);
	assert_string_equal(f.scan->tests[0].framework, "shop");
	assert_null(f.scan->tests[1].framework);
}

/* A retry that failed as well: what was forgiven once is not for ever. */
static void a_test_belongs_to_the_part_that_named_it_last(void **state)
{
	OWNED(fixture_done) struct fixture f = { .rules = NULL };

	UNUSED(state);
	scan_log(&f, "FAIL a\nFAIL b\nexit 0\nFAIL a\nexit 1\n", NULL);
	assert_int_equal(f.scan->n_tests, 2);
	assert_int_equal(f.scan->parts[f.scan->tests[0].part], PART_FAILED);
	assert_int_equal(f.scan->parts[f.scan->tests[1].part], PART_PASSED);
}

static void the_search_for_a_suite_ends(void **state)
{
	UNUSED(state);
	for (unsigned lines = FOLLOW_LINES - 1; lines <= FOLLOW_LINES; lines++) {
		OWNED(fixture_done) struct fixture f = { .rules = NULL };
		OWNED(buf_done) struct buf log;

		buf_init(&log, 1 << 16);
		buf_puts(&log, "BAD adds\n");
		for (unsigned i = 0; i < lines; i++)
			buf_puts(&log, "x\n");
		buf_puts(&log, "in tax.py\n");
		scan_log(&f, log.data, NULL);
		assert_string_equal(f.scan->tests[0].name,
				    lines < FOLLOW_LINES ? "tax.py::adds" : "adds");
	}
}

static void failed_tests_are_bounded(void **state)
{
	OWNED(fixture_done) struct fixture f = { .rules = NULL };
	OWNED(buf_done) struct buf log;

	UNUSED(state);
	buf_init(&log, 1 << 20);
	for (unsigned i = 0; i < TESTS_KEPT + 5; i++)
		buf_printf(&log, "FAIL test%u\nBAD also%u\n", i, i);
	scan_log(&f, log.data, NULL);
	assert_int_equal(f.scan->n_tests, TESTS_KEPT);
}

/* Visible, and soon left out, so that it cannot hold up the rest of the log. */
static void a_rule_that_gives_up_is_counted_and_left_out(void **state)
{
	OWNED(fixture_done) struct fixture f = { .rules = NULL };
	OWNED(buf_done) struct buf log;

	UNUSED(state);
	buf_init(&log, 1 << 20);
	for (unsigned i = 0; i < GAVE_UP_MAX + 5; i++)
		buf_puts(&log, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: no rate\n");
	scan_log(&f, log.data, NULL);
	assert_int_equal(tally_of(&f, "bomb")->gave_up, GAVE_UP_MAX);
	assert_int_equal(tally_of(&f, "bomb")->count, 0);
	assert_int_equal(tally_of(&f, "no-rate")->count, GAVE_UP_MAX + 5);
}

/* The last lines, and the last lines before the first failed step ended. */
static void last_words_are_kept(void **state)
{
	OWNED(fixture_done) struct fixture f = { .rules = NULL };

	UNUSED(state);
	scan_log(&f, "1\n2\n3\n4\n5\n6\n7\nexit 1\ncleanup\nexit 3\nbye\n", NULL);
	assert_int_equal(f.scan->last_words.n, 7);
	assert_string_equal(f.scan->last_words.text[6], "7");
	assert_int_equal(f.scan->last_words.line[6], 7);
	assert_int_equal(f.scan->tail.n, 11);
	assert_string_equal(f.scan->tail.text[10], "bye");
	assert_int_equal(f.scan->tail.line[10], 11);
}

static void further_parts_count_as_the_last(void **state)
{
	OWNED(fixture_done) struct fixture f = { .rules = NULL };
	OWNED(buf_done) struct buf log;

	UNUSED(state);
	buf_init(&log, 1 << 20);
	for (unsigned i = 0; i < PARTS_MAX + 10; i++)
		buf_puts(&log, "exit 0\n");
	buf_puts(&log, "no rate\nexit 1\n");
	scan_log(&f, log.data, NULL);
	assert_int_equal(f.scan->part, PARTS_MAX - 1);
	assert_true(f.scan->any_failed);
}

/* A log is scanned in blocks; what came last may be in two of them. */
static void last_words_go_over_the_border_of_blocks(void **state)
{
	enum { LINES = CLEAN_LINES_MAX + 3 };
	OWNED(fixture_done) struct fixture f = { .rules = NULL };
	OWNED(buf_done) struct buf log;

	UNUSED(state);
	buf_init(&log, 1 << 20);
	for (unsigned i = 1; i <= LINES; i++)
		buf_printf(&log, "%u\n", i);
	buf_puts(&log, "exit 1\nbye\n");
	scan_log(&f, log.data, NULL);
	assert_int_equal(f.scan->last_words.n, TAIL_LINES);
	for (unsigned i = 0; i < TAIL_LINES; i++)
		assert_int_equal(f.scan->last_words.line[i], LINES - TAIL_LINES + 1 + i);
	assert_string_equal(f.scan->last_words.text[TAIL_LINES - 1], "8195");
	assert_int_equal(f.scan->tail.n, TAIL_LINES);
	assert_int_equal(f.scan->tail.line[TAIL_LINES - 1], LINES + 2);
	assert_int_equal(f.scan->tail.line[0], LINES + 3 - TAIL_LINES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hit_belongs_to_the_part_that_its_step_ended),
		cmocka_unit_test(the_failed_step_is_known_by_name),
		cmocka_unit_test(the_last_word_decides_whether_all_is_well),
		cmocka_unit_test(commands_and_harmless_lines_are_not_asked),
		cmocka_unit_test(hits_are_bounded),
		cmocka_unit_test(evidence_is_masked),
		cmocka_unit_test(failed_tests_get_their_names),
		cmocka_unit_test(a_failed_test_has_a_framework),
		cmocka_unit_test(a_test_belongs_to_the_part_that_named_it_last),
		cmocka_unit_test(the_search_for_a_suite_ends),
		cmocka_unit_test(failed_tests_are_bounded),
		cmocka_unit_test(a_rule_that_gives_up_is_counted_and_left_out),
		cmocka_unit_test(last_words_are_kept),
		cmocka_unit_test(last_words_go_over_the_border_of_blocks),
		cmocka_unit_test(further_parts_count_as_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

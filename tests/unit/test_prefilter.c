#include "dispatcher/prefilter.h"

#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "dispatcher/trigger.h"
#include "unit.h"

/* Patterns that are awkward in different ways for an engine that looks for all at once. */
static const char yaml[] = "rules:\n"
#define RULE(id, regex, yes, no)                                                              \
	"  - {id: " id ", category: build_failure, confidence: 0.9, title: x, regex: '" regex \
	"', positive: ['" yes "'], negative: ['" no "']}\n"
	RULE("plain", "error: no rate", "error: no rate",
	     "no") RULE("begin", "^FAIL:", "FAIL: x",
			" FAIL: x") RULE("end", "failed$", "it failed",
					 "failed it") RULE("whole", "^done$", "done", "done.")
		RULE("case", "(?i)timed OUT", "TIMED out", "time") RULE(
			"counted", "a\\d{2,40}b{3}", "a1234bbb",
			"a1b") RULE("word", "\\brate\\b", "no rate!",
				    "prorate") RULE("ahead", "tax(?! free)", "tax due", "tax free")
			RULE("behind", "(?<!no )cart", "my cart",
			     "no cart") RULE("back", "(\\w{2,4})-\\1", "ab-ab",
					     "ab-cd") RULE("dot", "x.{0,300}y", "x to y", "y to x")
				RULE("class", "[[:digit:]]{3}-[^a-z]{2}", "123-45",
				     "12-ab") RULE("tiny", "^a\\d?$", "a1", "b")
					RULE("utf8", "✗ [a-z]", "✗ x", "✓ x")
#undef RULE
						"  - {id: facts, category: timeout, confidence: "
						"0.5, title: x, requires: [timed_out]}\n";

static struct rule_set *load(void)
{
	struct rule_set *set = NULL;
	struct err err;

	assert_ok(rule_set_parse("shop.yaml", yaml, strlen(yaml), &set, &err), &err);
	return set;
}

/* A block of lines as the cleaner hands them over. */
struct block {
	struct buf text;
	struct clean_line lines[400];
	size_t n;
};

static void add_line(struct block *b, const char *line)
{
	assert_true(b->n < ARRAY_LEN(b->lines));
	b->lines[b->n] = (struct clean_line){
		.number = b->n + 1,
		.start = (uint32_t)b->text.len,
		.len = (uint16_t)strlen(line),
	};
	b->n++;
	buf_printf(&b->text, "%s\n", line);
}

static void block_done(struct block *b)
{
	buf_done(&b->text);
}

static void fill(struct block *b, const struct rule_set *set)
{
	memset(b, 0, sizeof(*b));
	buf_init(&b->text, 1 << 20);
	for (size_t i = 0; i < set->n; i++) {
		const struct rule_spec *spec = set->rules[i].spec;

		if (!spec->regex)
			continue;
		for (int twice = 0; twice < 2; twice++) {
			OWNED(freep)
			char *both = xasprintf("%s %s", spec->positive[0], spec->positive[0]);

			add_line(b, spec->positive[0]);
			add_line(b, spec->negative[0]);
			add_line(b, both);
			add_line(b, "");
		}
	}
	add_line(b, "error:");
	add_line(b, " no rate");
	add_line(b, "error: no rate");
}

/* "line:rule " for every candidate that really matches. */
static void confirmed(struct prefilter *p, const struct rule_set *set, const struct block *b,
		      struct buf *out)
{
	OWNED(matcher_freep) struct matcher *m = matcher_new(RULE_MATCH_LIMIT);
	size_t n;
	const struct candidate *c =
		prefilter_scan(p, b->text.data, b->text.len, b->lines, b->n, &n);

	for (size_t i = 0; i < n; i++) {
		const struct clean_line *l = &b->lines[c[i].line];

		if (i)
			assert_true(c[i].line > c[i - 1].line ||
				    (c[i].line == c[i - 1].line &&
				     part_id(c[i].rule, c[i].part) >
					     part_id(c[i - 1].rule, c[i - 1].part)));
		if (pattern_match(rule_part_code(&set->rules[c[i].rule], c[i].part), m,
				  b->text.data + l->start, l->len) == RULE_HIT)
			buf_printf(out, "%u:%s ", c[i].line + 1, set->rules[c[i].rule].spec->id);
	}
}

static void one_pass_finds_what_rule_by_rule_finds(void **state)
{
	OWNED(rule_set_freep) struct rule_set *set = load();
	OWNED(prefilter_freep) struct prefilter *fast = prefilter_new(set, true);
	OWNED(prefilter_freep) struct prefilter *slow = prefilter_new(set, false);
	OWNED(block_done) struct block b;
	OWNED(buf_done) struct buf one, other;

	UNUSED(state);
	buf_init(&one, 1 << 20);
	buf_init(&other, 1 << 20);
	fill(&b, set);
	assert_false(prefilter_is_one_pass(slow));
	for (int again = 0; again < 2; again++) {
		confirmed(fast, set, &b, &one);
		confirmed(slow, set, &b, &other);
	}
	assert_string_equal(one.data, other.data);
	assert_non_null(strstr(one.data, "1:plain "));
	assert_non_null(strstr(one.data, ":back "));
	assert_non_null(strstr(one.data, ":utf8 "));
}

struct found {
	const struct candidate *at;
	size_t n, next;
};

/* One of the parts that would be asked about the line, in order, says yes. */
static bool is_found(struct found *f, const struct matcher *m, const struct rule_set *set,
		     const struct block *b, uint32_t line, uint32_t rule)
{
	const struct clean_line *l = &b->lines[line];
	bool hit = false;

	while (f->next < f->n && (f->at[f->next].line < line ||
				  (f->at[f->next].line == line && f->at[f->next].rule < rule)))
		f->next++;
	for (; !hit && f->next < f->n && f->at[f->next].line == line && f->at[f->next].rule == rule;
	     f->next++)
		hit = pattern_match(rule_part_code(&set->rules[rule], f->at[f->next].part), m,
				    b->text.data + l->start, l->len) == RULE_HIT;
	return hit;
}

/* Asks every rule about every line: each hit has to be among the candidates. */
static void expect_all_hits(struct prefilter *p, const struct rule_set *set, const struct block *b)
{
	OWNED(matcher_freep) struct matcher *m = matcher_new(RULE_MATCH_LIMIT);
	struct found f = { .n = 0 };

	f.at = prefilter_scan(p, b->text.data, b->text.len, b->lines, b->n, &f.n);
	for (uint32_t i = 0; i < b->n; i++)
		for (uint32_t k = 0; k < set->n; k++) {
			const char *line = b->text.data + b->lines[i].start;
			const struct rule *r = &set->rules[k];

			if (r->spec->class == RULE_BENIGN ||
			    pattern_match(r->code, m, line, b->lines[i].len) != RULE_HIT)
				continue;
			if (!is_found(&f, m, set, b, i, k))
				fail_msg("%s is not asked about %.*s", r->spec->id, b->lines[i].len,
					 line);
		}
}

/* The shipped rules' samples, wherever in the text and in the line they are. */
static void no_hit_is_missed(void **state)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	OWNED(prefilter_freep) struct prefilter *fast = NULL;
	OWNED(prefilter_freep) struct prefilter *slow = NULL;
	struct err err;

	UNUSED(state);
	assert_ok(rule_set_load("conf/rules", &set, &err), &err);
	fast = prefilter_new(set, true);
	slow = prefilter_new(set, false);
	for (size_t i = 0; i < set->n; i++) {
		const struct rule_spec *spec = set->rules[i].spec;
		OWNED(block_done) struct block b = { .n = 0 };

		buf_init(&b.text, 1 << 20);
		for (unsigned k = 0; k < spec->positive_count; k++)
			for (int pad = 0; pad < 8; pad++) {
				OWNED(freep) char *later = NULL;

				later = xasprintf("%.*s%s", pad, "  x y z: ", spec->positive[k]);
				add_line(&b, spec->positive[k]);
				add_line(&b, later);
			}
		expect_all_hits(fast, set, &b);
		expect_all_hits(slow, set, &b);
	}
}

/* Bytes at random out of few, so that short patterns are hit in every place. */
static void no_hit_is_missed_in_noise(void **state)
{
	static const char bytes[] = "ab13-xyrte \xe2\x9c\x97:";
	OWNED(rule_set_freep) struct rule_set *set = load();
	OWNED(prefilter_freep) struct prefilter *fast = prefilter_new(set, true);
	OWNED(prefilter_freep) struct prefilter *slow = prefilter_new(set, false);
	uint32_t seed = 7;

	UNUSED(state);
	for (int round = 0; round < 200; round++) {
		OWNED(block_done) struct block b = { .n = 0 };

		buf_init(&b.text, 1 << 20);
		for (int i = 0; i < 20; i++) {
			char line[40] = "";
			size_t n = 0;

			for (; n < 1 + seed % 38; n++) {
				seed = seed * 1664525 + 1013904223;
				line[n] = bytes[(seed >> 16) % (sizeof(bytes) - 1)];
			}
			add_line(&b, line);
		}
		expect_all_hits(fast, set, &b);
		expect_all_hits(slow, set, &b);
	}
}

/* A pattern must not see over the end of its line. */
static void a_line_ends_where_it_ends(void **state)
{
	static const char joined[] =
		"rules:\n"
		"  - {id: spaces, category: build_failure, confidence: 0.9, title: x,\n"
		"     regex: 'error:\\s{1,9}no', positive: ['error: no'], negative: ['no']}\n"
		"  - {id: not, category: build_failure, confidence: 0.9, title: x,\n"
		"     regex: 'b[^x]c', positive: ['b c'], negative: ['no']}\n";
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	OWNED(prefilter_freep) struct prefilter *p = NULL;
	OWNED(block_done) struct block b = { .n = 0 };
	OWNED(buf_done) struct buf out;
	struct err err;

	UNUSED(state);
	assert_ok(rule_set_parse("shop.yaml", joined, strlen(joined), &set, &err), &err);
	p = prefilter_new(set, true);
	buf_init(&b.text, 4096);
	buf_init(&out, 4096);
	add_line(&b, "error:");
	add_line(&b, "no");
	add_line(&b, "b");
	add_line(&b, "c");
	confirmed(p, set, &b, &out);
	assert_int_equal(out.len, 0);
}

static void nothing_is_found_in_nothing(void **state)
{
	OWNED(rule_set_freep) struct rule_set *set = load();
	OWNED(prefilter_freep) struct prefilter *p = prefilter_new(set, true);
	size_t n = 1;

	UNUSED(state);
	(void)prefilter_scan(p, "", 0, NULL, 0, &n);
	assert_int_equal(n, 0);
}

/* Left out means asked on every line: each one costs. */
static void no_rule_that_we_ship_is_asked_on_every_line(void **state)
{
	static const bool hyperscan[] = { true, false };
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	struct err err;

	UNUSED(state);
	assert_ok(rule_set_load("conf/rules", &set, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(hyperscan); i++) {
		OWNED(prefilter_freep) struct prefilter *p = prefilter_new(set, hyperscan[i]);

		assert_int_equal(prefilter_left_out(p), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_pass_finds_what_rule_by_rule_finds),
		cmocka_unit_test(no_hit_is_missed),
		cmocka_unit_test(no_hit_is_missed_in_noise),
		cmocka_unit_test(a_line_ends_where_it_ends),
		cmocka_unit_test(nothing_is_found_in_nothing),
		cmocka_unit_test(no_rule_that_we_ship_is_asked_on_every_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

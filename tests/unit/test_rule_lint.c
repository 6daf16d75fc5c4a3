#include "dispatcher/rule_lint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "dispatcher/detector.h"
#include "dispatcher/rule_set.h"
#include "unit.h"

#define RULE(id, more, regex, positive)                                                         \
	"  - id: " id "\n    category: build_failure\n    confidence: 0.9\n    title: t\n" more \
	"    regex: '" regex "'\n    positive: ['" positive "']\n    negative: ['fine']\n"
#define TOLD "    suggestions: [Do it.]\n    link: https://example.org\n"
#define CONFIG                                                                                \
	"  - id: sure\n    category: config_error\n    confidence: 0.99\n    title: t\n" TOLD \
	"    regex: '^shop: no such'\n    positive: ['shop: no such']\n    negative: ['x']\n"
#define BENIGN                                                       \
	"  - id: quiet\n    class: benign\n    regex: '^shop: ok'\n" \
	"    positive: ['shop: ok']\n    negative: ['x']\n"

struct told {
	char text[2000];
};

static void tell(enum lint_level level, const char *check, const struct rule *r, const char *what,
		 void *arg)
{
	struct told *t = arg;
	size_t n = strlen(t->text);

	(void)snprintf(t->text + n, sizeof(t->text) - n, "%s %s %s: %s\n",
		       level == LINT_PROBLEM ? "problem" : "note", check, r->spec->id, what);
}

static void lint(const char *yaml, struct told *told)
{
	char dir[] = "/tmp/guard-lint-XXXXXX", path[64];
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	OWNED(detector_freep) struct detector *d = NULL;
	struct err err;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a.yaml", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fprintf(f, "rules:\n%s", yaml) > 0);
	assert_int_equal(fclose(f), 0);
	assert_ok(rule_set_load(dir, &set, &err), &err);
	assert_ok(detector_new(dir, NULL, &d, &err), &err);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	*told = (struct told){ .text = "" };
	rule_lint(set, d, tell, told);
}

static void finds_what_is_weak(void **state)
{
	static const struct {
		const char *why, *yaml, *says; /* NULL: nothing */
	} rows[] = {
		{ "in order", RULE("tax", TOLD, "^tax: no rate", "tax: no rate"), NULL },
		{ "no advice", RULE("tax", "    link: https://example.org\n", "^tax: x", "tax: x"),
		  "note suggestions tax" },
		{ "no link", RULE("tax", "    suggestions: [Do it.]\n", "^tax: x", "tax: x"),
		  "note link tax" },
		{ "nothing rare to look for", RULE("tax", TOLD, "^[A-Z]{3,9} [0-9]{1,4}", "ABC 12"),
		  "note literal tax" },
		{ "bounded, and felt all the same",
		  RULE("tax", TOLD, "(a[a-z ]{0,20}){3}z?[!?]", "aaaaa!"),
		  "problem slow tax: regex" },
		{ "the same regex twice",
		  RULE("tax", TOLD, "^tax: x", "tax: x") RULE("vat", TOLD, "^tax: x", "tax: x"),
		  "problem duplicate vat: has the regex of rule tax" },
		{ "a surer rule says otherwise",
		  RULE("tax", TOLD, "^shop: no such tax", "shop: no such tax") CONFIG,
		  "problem overlap tax: rule sure calls positive sample 1 config_error" },
		{ "a consequence may lose",
		  RULE("tax", TOLD "    class: consequence\n", "^shop: no such tax",
		       "shop: no such tax") CONFIG,
		  "note overlap tax" },
		{ "never looked at",
		  RULE("tax", TOLD, "^shop: ok [(]not[)]", "shop: ok (not)") BENIGN,
		  "problem shadowed tax: can never hit" },
	};
	struct told told;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		lint(rows[i].yaml, &told);
		if (rows[i].says ? !strstr(told.text, rows[i].says) : *told.text)
			fail_msg("%s:\n%s", rows[i].why, told.text);
	}
}

static void knows_the_text_that_is_always_there(void **state)
{
	static const struct {
		const char *regex;
		size_t len;
	} rows[] = {
		{ "^tax: no rate$", 12 },
		{ "^tax(es)?: \\d", 3 },
		{ "(abc|de)f", 2 },
		{ "abc|", 0 },
		{ "a|bcd", 1 },
		{ "[abc]de", 2 },
		{ "ab?cd", 2 },
		{ "abc+de", 3 },
		{ "a\\.b\\d", 3 },
		{ "(?i)tax", 3 },
		{ "(?!taxes)ab", 2 },
		{ "(?<test>tax){2}", 3 },
		{ "(tax)*ab", 2 },
		{ "x{0,3}", 0 },
		{ "((((", 0 },
		{ "[", 0 },
		{ "(?", 0 },
		{ "\\", 1 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_case(pattern_literal_len(rows[i].regex) == rows[i].len, rows[i].regex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_is_weak),
		cmocka_unit_test(knows_the_text_that_is_always_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

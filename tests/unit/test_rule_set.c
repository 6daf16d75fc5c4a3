#include "dispatcher/rule_set.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/finding.h"
#include "core/mem.h"
#include "dispatcher/detector.h"
#include "unit.h"

/* A rule that is in order, up to its samples. */
#define HEAD                            \
	"rules:\n"                      \
	"  - id: tax\n"                 \
	"    category: build_failure\n" \
	"    confidence: 0.9\n"         \
	"    title: The tax does not build\n"
#define SAMPLES                              \
	"    positive: ['error: no rate']\n" \
	"    negative: ['no error']\n"

static int parse(const char *yaml, struct rule_set **out, struct err *err)
{
	return rule_set_parse("shop.yaml", yaml, strlen(yaml), out, err);
}

static void a_rule_is_read_as_written(void **state)
{
	static const char yaml[] = "rules:\n"
				   "  - id: tax\n"
				   "    class: hint\n"
				   "    category: network_failure\n"
				   "    subcategory: dns\n"
				   "    confidence: 0.75\n"
				   "    transient: true\n"
				   "    requires: [github, timed_out]\n"
				   "    title: No rate\n"
				   "    link: https://example.org/tax\n"
				   "    regex: '^error: no rate'\n"
				   "    capture: 'no (?<test>\\w+)'\n"
				   "    follow: '^ (?<suite>\\w+)'\n"
				   "    separator: '::'\n"
				   "    suggestions: [Ask again., Or pay.]\n" SAMPLES;
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	const struct rule_spec *spec;
	struct err err;

	UNUSED(state);
	assert_ok(parse(yaml, &set, &err), &err);
	assert_int_equal(set->n, 1);
	spec = set->rules[0].spec;
	assert_string_equal(spec->id, "tax");
	assert_int_equal(spec->class, RULE_HINT);
	assert_string_equal(spec->category, "network_failure");
	assert_string_equal(spec->subcategory, "dns");
	assert_true(spec->confidence > 0.749 && spec->confidence < 0.751);
	assert_true(spec->transient);
	assert_int_equal(spec->requires, FACT_GITHUB | FACT_TIMED_OUT);
	assert_string_equal(spec->link, "https://example.org/tax");
	assert_string_equal(spec->separator, "::");
	assert_int_equal(spec->suggestions_count, 2);
	assert_non_null(set->rules[0].code);
	assert_non_null(set->rules[0].capture);
	assert_non_null(set->rules[0].follow);
}

static void a_bad_rule_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *why, *yaml, *place, *says;
	} cases[] = {
		/* Of an unknown key libcyaml says where the field before it was. */
		{ "unknown key", HEAD "    regexp: 'x'\n", "line: 5", "regexp" },
		{ "unknown class", HEAD "    class: guess\n", "line: 6", "class" },
		{ "unknown fact", HEAD "    requires: [circleci]\n", "line: 6", "requires" },
		{ "wrong type", HEAD "    transient: perhaps\n", "line: ", "transient" },
		{ "not YAML", "rules: [\n", "line: ", "" },
		{ "empty", "", "", "no rules" },
		{ "only a comment", "# rules\n", "", "no rules" },
		{ "no rules", "{}\n", "", "rules" },
		{ "no id", "rules:\n  - category: build_failure\n", "line: 2", "id" },
		{ "unknown category",
		  "rules:\n  - id: tax\n    category: weather\n    confidence: 0.9\n    title: x\n"
		  "    regex: 'error: no rate'\n" SAMPLES,
		  "shop.yaml:2", "category \"weather\"" },
		{ "confidence above one",
		  "rules:\n  - id: tax\n    category: build_failure\n    confidence: 1.1\n"
		  "    title: x\n    regex: 'error: no rate'\n" SAMPLES,
		  "shop.yaml:2", "confidence" },
		{ "neither regex nor facts", HEAD, "shop.yaml:2", "needs a regex" },
		{ "no samples", HEAD "    regex: 'error'\n", "shop.yaml:2", "sample" },
		{ "a command without samples", HEAD "    command: 'make'\n", "shop.yaml:2",
		  "sample" },
		{ "a command that misses its sample", HEAD "    command: '^[$] make'\n" SAMPLES,
		  "shop.yaml:2", "misses its positive sample 1" },
		{ "a command that any step has", HEAD "    command: '(error:)?'\n" SAMPLES,
		  "shop.yaml:2", "empty" },
		{ "positive sample fails", HEAD "    regex: '^warning:'\n" SAMPLES, "shop.yaml:2",
		  "misses its positive sample 1" },
		{ "negative sample fails", HEAD "    regex: 'error'\n" SAMPLES, "shop.yaml:2",
		  "hits its negative sample 1" },
		{ "captures nothing",
		  HEAD "    regex: '^error:'\n    capture: 'x(?<test>y)'\n" SAMPLES, "shop.yaml:2",
		  "captures nothing" },
		{ "follow without capture", HEAD "    regex: '^error:'\n    follow: 'x'\n" SAMPLES,
		  "shop.yaml:2", "follow" },
		{ "does not compile", HEAD "    regex: '^error:('\n" SAMPLES, "shop.yaml:2",
		  "at offset 8" },
		{ "capture does not compile",
		  HEAD "    regex: '^error:'\n    capture: '['\n" SAMPLES, "shop.yaml:2",
		  "at offset" },
		{ "open quantifier", HEAD "    regex: 'error: .+'\n" SAMPLES, "shop.yaml:2",
		  "open quantifier" },
		{ "empty line", HEAD "    regex: '(error:)?'\n" SAMPLES, "shop.yaml:2",
		  "empty line" },
		{ "absolute anchors", HEAD "    regex: '\\Aerror:'\n" SAMPLES, "shop.yaml:2",
		  "begins at ^" },
		{ "exponential", HEAD "    regex: '^(error: |(\\w+\\s?)+:$)'\n" SAMPLES,
		  "shop.yaml:2", "backtracks" },
		{ "cubic", HEAD "    regex: '(error: |a.*a.*a.*a.*:$)'\n" SAMPLES, "shop.yaml:2",
		  "backtracks" },
		{ "used twice, quoted, in another place of the file",
		  HEAD
		  "    regex: '^error:'\n" SAMPLES
		  "\n  # again\n  - category: build_failure\n    id: 'tax'\n    confidence: 0.9\n"
		  "    title: x\n    regex: '^error:'\n" SAMPLES,
		  "shop.yaml:12", "used twice" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rule_set *set = NULL;
		struct err err = { .kind = ERR_NONE };

		if (parse(cases[i].yaml, &set, &err) == 0)
			fail_msg("row \"%s\" was taken", cases[i].why);
		assert_null(set);
		assert_int_equal(err.kind, ERR_CONFIG);
		if (!strstr(err.msg, "shop.yaml") || !strstr(err.msg, cases[i].place) ||
		    !strstr(err.msg, cases[i].says))
			fail_msg("row \"%s\": %s", cases[i].why, err.msg);
	}
}

/* From both sides: what is quadratic on a line is bounded by the line, and allowed. */
static void a_quadratic_rule_is_taken(void **state)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	struct err err;

	UNUSED(state);
	assert_ok(parse(HEAD "    regex: '(error: |a.*b$)'\n" SAMPLES, &set, &err), &err);
}

static void a_directory_without_rules_is_refused(void **state)
{
	struct rule_set *set = NULL;
	struct err err = { .kind = ERR_NONE };

	UNUSED(state);
	assert_int_equal(rule_set_load("docs/adr", &set, &err), -1);
	assert_non_null(strstr(err.msg, "no rules there"));
	assert_int_equal(rule_set_load("no/such/place", &set, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
}

/* Short enough for one line of the page. */
static bool is_a_sentence(const char *text)
{
	size_t len = strlen(text);

	return len > 8 && len <= 160 && text[len - 1] == '.';
}

/* Loading proves the samples; here is what a reader of conf/rules may rely on besides. */
struct told {
	char text[600];
};

static void tell(const char *file, unsigned line, const char *what, void *arg)
{
	struct told *t = arg;
	size_t n = strlen(t->text);

	(void)snprintf(t->text + n, sizeof(t->text) - n, "%s:%u %s\n", file, line, what);
}

static void put_file(const char *dir, const char *name, const char *text)
{
	OWNED(freep) char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void drop_file(const char *dir, const char *name)
{
	OWNED(freep) char *path = xasprintf("%s/%s", dir, name);

	assert_int_equal(unlink(path), 0);
}

static void a_check_names_every_fault_and_keeps_the_rest(void **state)
{
	char dir[] = "/tmp/guard-rules-XXXXXX";
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	struct told told = { .text = "" };
	struct err err;

	UNUSED(state);
	assert_non_null(mkdtemp(dir));
	put_file(dir, "a.yaml",
		 HEAD "    regex: 'error: no rate'\n" SAMPLES "  - id: vat\n"
		      "    category: build_failure\n    confidence: 0.9\n    title: t\n"
		      "    regex: 'nothing'\n" SAMPLES);
	put_file(dir, "b.yaml", "rules: [\n");
	put_file(dir, "c.yaml", HEAD "    regex: 'error'\n" SAMPLES);
	assert_ok(rule_set_check(dir, tell, &told, &set, &err), &err);
	assert_int_equal(set->n, 1);
	assert_string_equal(set->rules[0].spec->id, "tax");
	assert_string_equal(set->rules[0].file, "a.yaml");
	assert_int_equal(set->rules[0].line, 2);
	assert_non_null(strstr(told.text, "a.yaml:9 rule vat: misses its positive sample 1"));
	assert_non_null(strstr(told.text, "b.yaml:0 b.yaml: "));
	assert_non_null(strstr(told.text, "c.yaml:2 rule tax: the id is used twice"));
	drop_file(dir, "a.yaml");
	drop_file(dir, "b.yaml");
	drop_file(dir, "c.yaml");
	assert_int_equal(rmdir(dir), 0);
}

static bool load_cached(const char *dir, const char *cache, bool *proven)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	struct err err;

	if (rule_set_load_cached(dir, cache, &set, &err) < 0)
		return false;
	assert_int_equal(set->n, 1);
	*proven = set->proven;
	return true;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	UNUSED(st);
	UNUSED(kind);
	UNUSED(ftw);
	return remove(path);
}

/* Only what was proven to the byte is taken without a proof. */
static void a_proof_is_kept_for_the_very_same_files(void **state)
{
	static const char good[] = HEAD "    regex: '^error:'\n" SAMPLES;
	static const char bad[] = HEAD "    regex: '^warning:'\n" SAMPLES;
	char dir[] = "/tmp/guard-rules-XXXXXX";
	OWNED(freep) char *cache = NULL;
	bool proven;

	UNUSED(state);
	assert_non_null(mkdtemp(dir));
	cache = xasprintf("%s/cache", dir);
	put_file(dir, "a.yaml", good);
	assert_true(load_cached(dir, NULL, &proven) && !proven);
	assert_true(load_cached(dir, cache, &proven) && !proven);
	assert_true(load_cached(dir, cache, &proven) && proven);
	put_file(dir, "a.yaml", bad);
	assert_false(load_cached(dir, cache, &proven));
	assert_false(load_cached(dir, cache, &proven));
	put_file(dir, "a.yaml", good);
	assert_true(load_cached(dir, cache, &proven) && proven);
	drop_file(dir, "a.yaml");
	put_file(dir, "b.yaml", good);
	assert_true(load_cached(dir, cache, &proven) && !proven);
	assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void the_rules_that_we_ship_are_in_order(void **state)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	bool seen[32] = { false };
	struct err err;

	UNUSED(state);
	assert_ok(rule_set_load("conf/rules", &set, &err), &err);
	assert_true(set->n >= 60);
	for (size_t i = 0; i < set->n; i++) {
		const struct rule_spec *spec = set->rules[i].spec;

		for (size_t k = 0; spec->category && finding_categories[k]; k++)
			seen[k] |= strcmp(spec->category, finding_categories[k]) == 0;
		/* That a tool lost its server: how, a general rule says of the same line. */
		if (spec->category && spec->class != RULE_TEST &&
		    strcmp(spec->category, "network_failure") != 0)
			assert_case(spec->subcategory != NULL, spec->id);
		/* A diagnosis without a word on what to do is half of one. */
		if (spec->class <= RULE_HINT)
			assert_case(spec->suggestions_count > 0, spec->id);
		for (unsigned j = 0; j < spec->suggestions_count; j++)
			assert_case(is_a_sentence(spec->suggestions[j]), spec->suggestions[j]);
	}
	for (size_t k = 0; finding_categories[k]; k++)
		if (strcmp(finding_categories[k], "unknown") != 0)
			assert_case(seen[k], finding_categories[k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_is_read_as_written),
		cmocka_unit_test(a_bad_rule_is_refused_with_its_place),
		cmocka_unit_test(a_quadratic_rule_is_taken),
		cmocka_unit_test(a_directory_without_rules_is_refused),
		cmocka_unit_test(a_check_names_every_fault_and_keeps_the_rest),
		cmocka_unit_test(a_proof_is_kept_for_the_very_same_files),
		cmocka_unit_test(the_rules_that_we_ship_are_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

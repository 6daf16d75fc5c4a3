#include "dispatcher/knowledge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/finding.h"
#include "core/mem.h"
#include "dispatcher/detector.h"
#include "dispatcher/rule_set.h"
#include "unit.h"

static const char *const languages[] = { "en", "de" };

static struct knowledge *load(const char *language)
{
	struct knowledge *k;
	struct err err;

	assert_ok(knowledge_load("conf/knowledge", language, &k, &err), &err);
	return k;
}

static void every_category_and_subcategory_is_explained_in_every_language(void **state)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	struct err err;

	UNUSED(state);
	assert_ok(rule_set_load("conf/rules", &set, &err), &err);
	for (size_t l = 0; l < ARRAY_LEN(languages); l++) {
		OWNED(knowledge_freep) struct knowledge *k = load(languages[l]);

		for (size_t i = 0; finding_categories[i]; i++)
			if (!knowledge_find(k, finding_categories[i], ""))
				fail_msg("conf/knowledge/%s.yaml: %s", languages[l],
					 finding_categories[i]);
		for (size_t i = 0; i < set->n; i++) {
			const struct rule_spec *s = set->rules[i].spec;

			if (rule_class_says_why(s->class) && s->subcategory &&
			    !knowledge_find(k, s->category, s->subcategory))
				fail_msg("conf/knowledge/%s.yaml: %s/%s, of rule %s", languages[l],
					 s->category, s->subcategory, s->id);
		}
	}
}

static void all_languages_know_the_same(void **state)
{
	OWNED(knowledge_freep) struct knowledge *en = load("en"), *de = load("de");
	const struct knowledge_entry *e, *other;

	UNUSED(state);
	for (size_t i = 0; (e = knowledge_at(en, i)); i++) {
		other = knowledge_at(de, i);
		assert_non_null(other);
		assert_string_equal(e->category, other->category);
		assert_string_equal(e->subcategory ? e->subcategory : "",
				    other->subcategory ? other->subcategory : "");
		assert_int_equal(e->advice_count, other->advice_count);
		assert_string_not_equal(e->title, other->title);
	}
	assert_null(knowledge_at(de, 100000));
}

static void what_a_rule_says_goes_first(void **state)
{
	OWNED(knowledge_freep) struct knowledge *k = load("de_AT.UTF-8");
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f;

	UNUSED(state);
	finding_init(&f);
	f.category = "network_failure";
	f.subcategory = "dns";
	f.rule = "tax";
	f.title = "The tax service is gone";
	f.link = "https://example.org/tax";
	f.suggestions[f.n_suggestions++] = "Ask the tax office.";
	knowledge_complete(k, a, &f);
	assert_string_equal(f.title, "The tax service is gone");
	assert_string_equal(f.link, "https://example.org/tax");
	assert_int_equal(f.n_suggestions, 1);
	assert_string_equal(f.suggestions[0], "Ask the tax office.");
	assert_string_equal(f.category_title, "Der Name eines Servers ließ sich nicht auflösen");
}

static void what_it_leaves_open_is_filled_in(void **state)
{
	OWNED(knowledge_freep) struct knowledge *k = load("en");
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f;

	UNUSED(state);
	finding_init(&f);
	f.category = "network_failure";
	f.subcategory = "nobody_knows_this_one";
	f.rule = "tax";
	f.title = "The tax service is gone";
	knowledge_complete(k, a, &f);
	assert_string_equal(f.title, "The tax service is gone");
	assert_string_equal(f.category_title, "The network failed");
	assert_string_equal(f.link, "docs/causes.md#network_failure");
	assert_int_equal(f.n_suggestions, 1);

	finding_init(&f);
	knowledge_complete(k, a, &f);
	assert_string_equal(f.title, "The cause is not known");
	assert_int_equal(f.n_suggestions, 2);
}

static void a_bad_file_is_refused(void **state)
{
	static const struct {
		const char *why, *yaml;
	} rows[] = {
		{ "no such category",
		  "causes:\n  - category: weather\n    title: t\n    do: [d]\n" },
		{ "no title", "causes:\n  - category: timeout\n    do: [d]\n" },
		{ "nothing to do", "causes:\n  - category: timeout\n    title: t\n" },
		{ "twice", "causes:\n  - category: timeout\n    title: t\n    do: [d]\n"
			   "  - category: timeout\n    title: u\n    do: [d]\n" },
		{ "unknown key",
		  "causes:\n  - category: timeout\n    title: t\n    do: [d]\n    x: y\n" },
		{ "empty", "# nothing\n" },
	};
	char dir[] = "/tmp/guard-knowledge-XXXXXX", path[64];

	UNUSED(state);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/en.yaml", dir);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct knowledge *k = NULL;
		FILE *f = fopen(path, "we");
		struct err err;

		assert_non_null(f);
		assert_true(fputs(rows[i].yaml, f) >= 0);
		assert_int_equal(fclose(f), 0);
		assert_case(knowledge_load(dir, "en", &k, &err) < 0, rows[i].why);
		assert_case(err.kind == ERR_CONFIG && strstr(err.msg, "en.yaml"), err.msg);
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void a_language_is_a_word(void **state)
{
	static const char *const wrong[] = { "", "C", "../en", "en/x", "e", "english", "EN" };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		OWNED(knowledge_freep) struct knowledge *k = NULL;
		struct err err;

		assert_case(knowledge_load("conf/knowledge", wrong[i], &k, &err) < 0, wrong[i]);
		assert_case(knowledge_load_or_english(wrong[i], &k, &err) == 0, wrong[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_category_and_subcategory_is_explained_in_every_language),
		cmocka_unit_test(all_languages_know_the_same),
		cmocka_unit_test(what_a_rule_says_goes_first),
		cmocka_unit_test(what_it_leaves_open_is_filled_in),
		cmocka_unit_test(a_bad_file_is_refused),
		cmocka_unit_test(a_language_is_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* rules causes: what is said of every cause, and docs/causes.md. */
#include <stdio.h>
#include <string.h>

#include "cli/rules.h"
#include "cli/term.h"
#include "core/json.h"
#include "dispatcher/knowledge.h"

static struct json_object *entry_json(const struct knowledge_entry *e)
{
	struct json_object *o = json_object_new_object(), *advice = json_object_new_array();

	json_add_str(o, "category", e->category);
	json_add_str(o, "subcategory", e->subcategory);
	json_add_str(o, "title", e->title);
	for (unsigned i = 0; i < e->advice_count; i++)
		json_object_array_add(advice, json_object_new_string(e->advice[i]));
	json_add(o, "do", advice);
	json_add_str(o, "link", e->link);
	return o;
}

static void put_json(const struct knowledge *k)
{
	OWNED(json_putp) struct json_object *list = json_object_new_array();
	const struct knowledge_entry *e;

	for (size_t i = 0; (e = knowledge_at(k, i)); i++)
		json_object_array_add(list, entry_json(e));
	(void)puts(json_text(list));
}

static void put_advice(const struct knowledge_entry *e)
{
	for (unsigned i = 0; i < e->advice_count; i++)
		printf("%s%s", i ? " " : "", e->advice[i]);
}

static void put_markdown(const struct knowledge *k)
{
	const struct knowledge_entry *e;

	printf("# Causes\n\n"
	       "What the guard says of a failure when the rule that found it says nothing more "
	       "precise. Made by `pipeline-guard rules causes --markdown` from "
	       "`conf/knowledge/en.yaml`; [rules.md](rules.md#knowledge) says how it is used.\n");
	for (size_t i = 0; (e = knowledge_at(k, i)); i++) {
		if (e->subcategory) {
			printf("| `%s` | %s | ", e->subcategory, e->title);
			put_advice(e);
			printf(" |\n");
			continue;
		}
		printf("\n## %s\n\n%s. ", e->category, e->title);
		put_advice(e);
		printf("\n");
		if (knowledge_at(k, i + 1) && knowledge_at(k, i + 1)->subcategory)
			printf("\n| subcategory | what happened | what to do |\n|---|---|---|\n");
	}
}

static void put_text(const struct knowledge *k)
{
	static const char *const headings[] = { "cause", "what happened", "what to do", NULL };
	OWNED(table_freep) struct table *t = table_new(headings);
	const struct knowledge_entry *e;
	char name[96];

	for (size_t i = 0; (e = knowledge_at(k, i)); i++) {
		(void)snprintf(name, sizeof(name), "%s%s%s", e->category, e->subcategory ? "/" : "",
			       e->subcategory ? e->subcategory : "");
		table_cell(t, name);
		table_cell(t, e->title);
		table_cell(t, e->advice[0]);
	}
	table_print(t);
}

int rules_causes(const struct rules_request *r, struct err *err)
{
	OWNED(knowledge_freep) struct knowledge *k = NULL;

	if (r->lang ? knowledge_load(NULL, r->lang, &k, err) < 0
		    : knowledge_load_or_english(r->markdown ? NULL : cli_language(NULL), &k, err) <
			      0)
		return -1;
	if (r->cli->json)
		put_json(k);
	else if (r->markdown)
		put_markdown(k);
	else
		put_text(k);
	return CLI_OK;
}

#include "dispatcher/knowledge.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/finding.h"
#include "core/mem.h"
#include "dispatcher/detector.h"
#include "dispatcher/yaml_complaint.h"

enum { ENTRIES_MAX = 1000, LOCALE_MAX = 8, PATH_BYTES = 700 };

/* Where a cause is explained that has no link of its own. */
#define PAGE "docs/causes.md#"

struct knowledge {
	struct knowledge_entry *causes;
	unsigned causes_count;
};

static const cyaml_schema_value_t advice_value = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 300),
};

#define TEXT(key, flags, member, max) \
	CYAML_FIELD_STRING_PTR(key, flags, struct knowledge_entry, member, 1, max)

static const cyaml_schema_field_t entry_fields[] = {
	TEXT("category", CYAML_FLAG_DEFAULT, category, 40),
	TEXT("subcategory", CYAML_FLAG_OPTIONAL, subcategory, 40),
	TEXT("title", CYAML_FLAG_DEFAULT, title, 160),
	CYAML_FIELD_SEQUENCE("do", CYAML_FLAG_POINTER, struct knowledge_entry, advice,
			     &advice_value, 1, FINDING_SUGGESTIONS_MAX),
	TEXT("link", CYAML_FLAG_OPTIONAL, link, 300),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t entry_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct knowledge_entry, entry_fields),
};

static const cyaml_schema_field_t file_fields[] = {
	CYAML_FIELD_SEQUENCE("causes", CYAML_FLAG_POINTER, struct knowledge, causes, &entry_value,
			     1, ENTRIES_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t file_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct knowledge, file_fields),
};

void knowledge_free(struct knowledge *k)
{
	cyaml_config_t config = yaml_config(NULL);

	if (k)
		(void)cyaml_free(&config, &file_value, k, 0);
}

/* "de_AT.UTF-8" is "de". */
static int language_of(const char *locale, char out[static LOCALE_MAX], struct err *err)
{
	size_t n = 0;

	while (islower((unsigned char)locale[n]))
		n++;
	if (n < 2 || n > 3 || (locale[n] && !strchr("_-.@", locale[n])))
		return err_set(err, ERR_CONFIG, "\"%.30s\" is no language, such as en or de",
			       locale);
	memcpy(out, locale, n);
	out[n] = '\0';
	return 0;
}

static int check(const struct knowledge *k, const char *path, struct err *err)
{
	for (unsigned i = 0; i < k->causes_count; i++) {
		const struct knowledge_entry *e = &k->causes[i];
		const char *sub = e->subcategory ? e->subcategory : "";

		if (!finding_category_known(e->category))
			return err_set(err, ERR_CONFIG, "%s: category \"%s\" is not known", path,
				       e->category);
		if (knowledge_find(k, e->category, sub) != e)
			return err_set(err, ERR_CONFIG, "%s: %s/%s is there twice", path,
				       e->category, sub);
	}
	return 0;
}

int knowledge_load(const char *dir, const char *locale, struct knowledge **out, struct err *err)
{
	OWNED(knowledge_freep) struct knowledge *k = NULL;
	char language[LOCALE_MAX], path[PATH_BYTES], shipped[PATH_BYTES];
	struct yaml_complaint why = { .text = "" };
	cyaml_config_t config = yaml_config(&why);
	cyaml_err_t rc;

	if (language_of(locale, language, err) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%.600s/%s.yaml",
		       dir ? dir : detector_shipped("knowledge", shipped, sizeof(shipped)),
		       language);
	if (access(path, R_OK) < 0)
		return err_set(err, ERR_CONFIG, "nothing is known in \"%s\": %s: %s", language,
			       path, strerror(errno));
	rc = cyaml_load_file(path, &config, &file_value, (cyaml_data_t **)&k, NULL);
	if (rc != CYAML_OK || !k)
		return err_set(err, ERR_CONFIG, "%s: %s", path,
			       *why.text ? why.text : cyaml_strerror(rc));
	if (check(k, path, err) < 0)
		return -1;
	*out = TAKE(k);
	return 0;
}

int knowledge_load_or_english(const char *locale, struct knowledge **out, struct err *err)
{
	if (locale && knowledge_load(NULL, locale, out, err) == 0)
		return 0;
	return knowledge_load(NULL, "en", out, err);
}

const struct knowledge_entry *knowledge_at(const struct knowledge *k, size_t i)
{
	return i < k->causes_count ? &k->causes[i] : NULL;
}

const struct knowledge_entry *knowledge_find(const struct knowledge *k, const char *category,
					     const char *subcategory)
{
	for (unsigned i = 0; i < k->causes_count; i++) {
		const struct knowledge_entry *e = &k->causes[i];

		if (strcmp(e->category, category) == 0 &&
		    strcmp(e->subcategory ? e->subcategory : "", subcategory) == 0)
			return e;
	}
	return NULL;
}

void knowledge_complete(const struct knowledge *k, struct arena *a, struct finding *f)
{
	const struct knowledge_entry *e = knowledge_find(k, f->category, f->subcategory);

	if (!e)
		e = knowledge_find(k, f->category, "");
	if (!e)
		return;
	f->category_title = arena_strdup(a, e->title);
	if (!*f->title || strcmp(f->category, "unknown") == 0)
		f->title = f->category_title;
	if (!*f->link)
		f->link = e->link ? arena_strdup(a, e->link)
				  : arena_printf(a, PAGE "%s", f->category);
	if (f->n_suggestions)
		return;
	for (; f->n_suggestions < e->advice_count; f->n_suggestions++)
		f->suggestions[f->n_suggestions] = arena_strdup(a, e->advice[f->n_suggestions]);
}

#include "core/finding.h"

#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

const char *const finding_categories[] = {
	"dependency_failure",
	"test_failure",
	"build_failure",
	"lint_failure",
	"deployment_failure",
	"timeout",
	"resource_exhaustion",
	"network_failure",
	"rate_limit",
	"auth_failure",
	"config_error",
	"infrastructure_failure",
	"cache_corruption",
	"scm_failure",
	"unknown",
	NULL,
};

void finding_init(struct finding *f)
{
	*f = (struct finding){
		.category = "unknown",
		.subcategory = "",
		.rule = "",
		.title = "",
		.category_title = "",
		.link = "",
		.job = "",
		.test_framework = "",
	};
}

bool finding_category_known(const char *category)
{
	for (size_t i = 0; finding_categories[i]; i++)
		if (strcmp(finding_categories[i], category) == 0)
			return true;
	return false;
}

static struct json_object *list_of(const char *const *items, size_t n)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(list, json_object_new_string(items[i]));
	return list;
}

static struct json_object *evidence_to_json(const struct finding *f)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < f->n_evidence; i++) {
		struct json_object *line = json_object_new_object();

		json_add_i64(line, "line", (int64_t)f->evidence[i].line);
		json_add_str(line, "text", f->evidence[i].text);
		json_object_array_add(list, line);
	}
	return list;
}

static struct json_object *alternatives_to_json(const struct finding *f)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < f->n_alternatives; i++) {
		struct json_object *other = json_object_new_object();

		json_add_str(other, "category", f->alternatives[i].category);
		json_add_num(other, "confidence", f->alternatives[i].confidence);
		json_object_array_add(list, other);
	}
	return list;
}

struct json_object *finding_to_json(const struct finding *f)
{
	struct json_object *o = json_object_new_object();

	json_add_str(o, "category", f->category);
	json_add_str(o, "subcategory", f->subcategory);
	json_add_num(o, "confidence", f->confidence);
	json_add_bool(o, "transient", f->transient);
	json_add_str(o, "rule", f->rule);
	json_add_str(o, "title", f->title);
	if (*f->category_title)
		json_add_str(o, "category_title", f->category_title);
	if (*f->link)
		json_add_str(o, "link", f->link);
	if (f->job && *f->job)
		json_add_str(o, "job", f->job);
	json_add(o, "evidence", evidence_to_json(f));
	json_add(o, "failed_tests", list_of(f->failed_tests, f->n_failed_tests));
	if (f->test_framework && *f->test_framework)
		json_add_str(o, "test_framework", f->test_framework);
	json_add_str(o, "fingerprint", f->fingerprint);
	json_add(o, "alternatives", alternatives_to_json(f));
	json_add(o, "suggestions", list_of(f->suggestions, f->n_suggestions));
	json_add_num(o, "scan_ms", f->scan_ms);
	return o;
}

static const char *copy_str(struct json_object *o, const char *key, struct arena *a)
{
	return arena_strdup(a, json_str(o, key, ""));
}

static size_t read_list(struct json_object *o, const char *key, struct arena *a, const char **out,
			size_t max)
{
	struct json_object *list = json_at(o, key);
	size_t n = 0;

	if (!json_object_is_type(list, json_type_array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list) && n < max; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (json_object_is_type(item, json_type_string))
			out[n++] = arena_strdup(a, json_object_get_string(item));
	}
	return n;
}

static void read_evidence(struct json_object *o, struct arena *a, struct finding *f)
{
	struct json_object *list = json_at(o, "evidence");

	if (!json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		int64_t line = json_i64(item, "line", 0);

		if (f->n_evidence == FINDING_EVIDENCE_MAX)
			return;
		f->evidence[f->n_evidence].line = line > 0 ? (uint64_t)line : 0;
		f->evidence[f->n_evidence++].text = copy_str(item, "text", a);
	}
}

static void read_alternatives(struct json_object *o, struct arena *a, struct finding *f)
{
	struct json_object *list = json_at(o, "alternatives");

	if (!json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (f->n_alternatives == FINDING_ALTERNATIVES_MAX)
			return;
		f->alternatives[f->n_alternatives].category = copy_str(item, "category", a);
		f->alternatives[f->n_alternatives++].confidence = json_num(item, "confidence", 0);
	}
}

int finding_from_json(struct json_object *o, struct arena *a, struct finding *out, struct err *err)
{
	const char *category = json_str(o, "category", "");
	double confidence = json_num(o, "confidence", -1);
	struct finding f;

	if (!finding_category_known(category))
		return err_set(err, ERR_INPUT, "finding: category \"%s\" is not known", category);
	if (!(confidence >= 0 && confidence <= 1))
		return err_set(err, ERR_INPUT, "finding: confidence is not within 0 and 1");

	finding_init(&f);
	f.category = arena_strdup(a, category);
	f.subcategory = copy_str(o, "subcategory", a);
	f.confidence = confidence;
	f.transient = json_flag(o, "transient", false);
	f.rule = copy_str(o, "rule", a);
	f.title = copy_str(o, "title", a);
	f.category_title = copy_str(o, "category_title", a);
	f.link = copy_str(o, "link", a);
	f.job = copy_str(o, "job", a);
	read_evidence(o, a, &f);
	f.n_failed_tests =
		read_list(o, "failed_tests", a, f.failed_tests, ARRAY_LEN(f.failed_tests));
	f.test_framework = copy_str(o, "test_framework", a);
	read_alternatives(o, a, &f);
	f.n_suggestions = read_list(o, "suggestions", a, f.suggestions, ARRAY_LEN(f.suggestions));
	(void)text_copy(f.fingerprint, sizeof(f.fingerprint), json_str(o, "fingerprint", ""),
			strlen(json_str(o, "fingerprint", "")));
	f.scan_ms = json_num(o, "scan_ms", 0);
	*out = f;
	return 0;
}

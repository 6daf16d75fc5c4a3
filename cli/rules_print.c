/* rules list, show, test, lint: what is known from the rules alone. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/rules.h"
#include "cli/term.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/rule_trust.h"
#include "dispatcher/detector.h"
#include "dispatcher/rule_lint.h"
#include "dispatcher/rule_set.h"

/* --- reading ----------------------------------------------------------------------- */

struct faults {
	struct json_object *list; /* NULL: they are printed */
	size_t n;
};

static void on_fault(const char *file, unsigned line, const char *what, void *arg)
{
	struct faults *f = arg;
	struct json_object *o;

	f->n++;
	if (!f->list) {
		if (line)
			printf("%s:%u: %s\n", file, line, what);
		else
			printf("%s\n", what);
		return;
	}
	o = json_object_new_object();
	json_add_str(o, "file", file);
	json_add_i64(o, "line", line);
	json_add_str(o, "what", what);
	json_object_array_add(f->list, o);
}

struct first_fault {
	char text[400];
};

static void keep_first(const char *file, unsigned line, const char *what, void *arg)
{
	struct first_fault *first = arg;

	if (*first->text)
		return;
	if (line)
		(void)snprintf(first->text, sizeof(first->text), "%s:%u: %s", file, line, what);
	else
		(void)snprintf(first->text, sizeof(first->text), "%s", what);
}

int rules_read(const struct rules_request *r, struct rule_set **out, struct err *err)
{
	struct first_fault first = { .text = "" };

	if (rule_set_check(r->dir, keep_first, &first, out, err) < 0)
		return -1;
	if (!*first.text)
		return 0;
	rule_set_free(*out);
	*out = NULL;
	return err_set(err, ERR_CONFIG, "%s (`rules test` lists every fault)", first.text);
}

/* --- list and show ------------------------------------------------------------------- */

static struct json_object *texts_json(char *const *texts, unsigned n)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < n; i++)
		json_object_array_add(list, json_object_new_string(texts[i]));
	return list;
}

/* How often it was right: "83 % of 12", with a mark when it is not believed any more. */
static void practice_text(enum trust_kind kind, const struct trust_entry *e, char out[static 64])
{
	struct trust t = e ? e->trust[kind] : (struct trust){ 0 };
	double n = t.right + t.wrong;

	if (n < 0.05)
		(void)snprintf(out, 64, "-");
	else
		(void)snprintf(out, 64, "%.0f %% of %.1f%s", 100 * t.right / n, n,
			       trust_is_demoted(kind, &t) ? ", demoted" : "");
}

static struct json_object *practice_json(enum trust_kind kind, const struct trust *t)
{
	struct json_object *o = json_object_new_object();
	double low, high;

	trust_bounds(t, &low, &high);
	json_add_num(o, "right", round(t->right * 100) / 100);
	json_add_num(o, "wrong", round(t->wrong * 100) / 100);
	json_add_num(o, "mean", round(trust_mean(t) * 1000) / 1000);
	json_add_num(o, "low", round(low * 1000) / 1000);
	json_add_num(o, "high", round(high * 1000) / 1000);
	json_add_bool(o, "demoted", trust_is_demoted(kind, t));
	return o;
}

static void add_practice(struct json_object *o, const struct trust_entry *e)
{
	struct json_object *live;

	if (!e)
		return;
	live = json_object_new_object();
	json_add(live, "category", practice_json(TRUST_CATEGORY, &e->trust[TRUST_CATEGORY]));
	json_add(live, "transient", practice_json(TRUST_TRANSIENT, &e->trust[TRUST_TRANSIENT]));
	json_add(o, "live", live);
}

static struct json_object *rule_json(const struct rule *rule, const struct trust_book *book,
				     bool whole)
{
	const struct rule_spec *s = rule->spec;
	struct json_object *o = json_object_new_object();

	json_add_str(o, "id", s->id);
	json_add_str(o, "class", rule_class_name(s->class));
	json_add_str(o, "category", s->category);
	json_add_str(o, "subcategory", s->subcategory);
	if (rule_class_says_why(s->class)) {
		json_add_num(o, "confidence", s->confidence);
		json_add_bool(o, "transient", s->transient);
	}
	json_add_str(o, "title", s->title);
	json_add_str(o, "file", rule->file);
	json_add_i64(o, "line", rule->line);
	add_practice(o, trust_book_find(book, s->id));
	if (!whole)
		return o;
	json_add_str(o, "regex", s->regex);
	json_add_str(o, "capture", s->capture);
	json_add_str(o, "follow", s->follow);
	json_add(o, "positive", texts_json(s->positive, s->positive_count));
	json_add(o, "negative", texts_json(s->negative, s->negative_count));
	json_add(o, "suggestions", texts_json(s->suggestions, s->suggestions_count));
	json_add_str(o, "link", s->link);
	return o;
}

static void category_text(const struct rule_spec *s, char out[static 96])
{
	(void)snprintf(out, 96, "%s%s%s", s->category ? s->category : "", s->subcategory ? "/" : "",
		       s->subcategory ? s->subcategory : "");
}

static void list_table(const struct rule_set *set, const struct trust_book *book)
{
	static const char *const headings[] = { "rule",           "category",  "class",
						"sure",           "transient", "cause right",
						"re-runs helped", NULL };
	OWNED(table_freep) struct table *t = table_new(headings);
	char text[96];

	for (size_t i = 0; i < set->n; i++) {
		const struct rule_spec *s = set->rules[i].spec;
		bool why = rule_class_says_why(s->class);

		table_cell(t, s->id);
		category_text(s, text);
		table_cell(t, text);
		table_cell(t, rule_class_name(s->class));
		(void)snprintf(text, sizeof(text), "%.2f", s->confidence);
		table_cell(t, why ? text : "");
		table_cell(t, s->transient ? "yes" : "");
		practice_text(TRUST_CATEGORY, trust_book_find(book, s->id), text);
		table_cell(t, why ? text : "");
		practice_text(TRUST_TRANSIENT, trust_book_find(book, s->id), text);
		table_cell(t, s->transient ? text : "");
	}
	table_print(t);
}

int rules_list(const struct rules_request *r, struct err *err)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	OWNED(json_putp) struct json_object *list = NULL;
	OWNED(trust_book_freep) struct trust_book *book = NULL;

	if (rules_read(r, &set, err) < 0)
		return -1;
	book = rules_practice(r);
	if (!r->cli->json) {
		list_table(set, book);
		return CLI_OK;
	}
	list = json_object_new_array();
	for (size_t i = 0; i < set->n; i++)
		json_object_array_add(list, rule_json(&set->rules[i], book, false));
	(void)puts(json_text(list));
	return CLI_OK;
}

static void put(const char *name, const char *text)
{
	if (!text)
		return;
	(void)printf("  %-12s ", name);
	term_put(text);
	(void)putchar('\n');
}

static void put_all(const char *name, char *const *texts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put(i ? "" : name, texts[i]);
}

static void show_text(const struct rule *rule, const struct trust_book *book)
{
	const struct rule_spec *s = rule->spec;
	char text[96];

	(void)printf("%s (%s:%u)\n", s->id, rule->file, rule->line);
	put("title", s->title);
	put("class", rule_class_name(s->class));
	if (rule_class_says_why(s->class)) {
		category_text(s, text);
		put("category", text);
		(void)snprintf(text, sizeof(text), "%.2f", s->confidence);
		put("confidence", text);
		put("transient", s->transient ? "yes: trying again can help" : "no");
		practice_text(TRUST_CATEGORY, trust_book_find(book, s->id), text);
		put("cause right", text);
		practice_text(TRUST_TRANSIENT, trust_book_find(book, s->id), text);
		put("re-runs help", s->transient ? text : NULL);
	}
	put("regex", s->regex);
	put("capture", s->capture);
	put("follow", s->follow);
	put_all("positive", s->positive, s->positive_count);
	put_all("negative", s->negative, s->negative_count);
	put_all("what to do", s->suggestions, s->suggestions_count);
	put("link", s->link);
}

int rules_show(const struct rules_request *r, struct err *err)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	OWNED(json_putp) struct json_object *o = NULL;
	OWNED(trust_book_freep) struct trust_book *book = NULL;

	if (rules_read(r, &set, err) < 0)
		return -1;
	book = rules_practice(r);
	for (size_t i = 0; i < set->n; i++) {
		if (strcmp(set->rules[i].spec->id, r->subject) != 0)
			continue;
		if (r->cli->json) {
			o = rule_json(&set->rules[i], book, true);
			(void)puts(json_text(o));
		} else {
			show_text(&set->rules[i], book);
		}
		return CLI_OK;
	}
	return err_set(err, ERR_INPUT, "there is no rule \"%.64s\"", r->subject);
}

/* --- test ---------------------------------------------------------------------------- */

static void count_samples(const struct rule_set *set, size_t *rules, size_t *samples)
{
	*rules = set->n;
	*samples = 0;
	for (size_t i = 0; i < set->n; i++)
		*samples += set->rules[i].spec->positive_count + set->rules[i].spec->negative_count;
}

int rules_test(const struct rules_request *r, struct err *err)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	OWNED(json_putp) struct json_object *o = NULL;
	const char *dir = r->subject ? r->subject : r->dir;
	struct faults faults = { .list = NULL };
	size_t rules, samples;

	if (r->cli->json)
		faults.list = json_object_new_array();
	if (rule_set_check(dir, on_fault, &faults, &set, err) < 0) {
		json_object_put(faults.list);
		return -1;
	}
	count_samples(set, &rules, &samples);
	if (r->cli->json) {
		o = json_object_new_object();
		json_add_str(o, "dir", dir);
		json_add_i64(o, "rules", (int64_t)rules);
		json_add_i64(o, "samples", (int64_t)samples);
		json_add(o, "faults", faults.list);
		(void)puts(json_text(o));
	} else {
		printf("%zu rules are well, %zu samples say what they should; %zu fault%s\n", rules,
		       samples, faults.n, faults.n == 1 ? "" : "s");
	}
	return faults.n || rules == 0 ? CLI_NO : CLI_OK;
}

/* --- lint ---------------------------------------------------------------------------- */

struct lint_output {
	struct json_object *list; /* NULL: text */
	bool notes;               /* print them too */
	size_t problems, n_notes;
};

static void on_lint(enum lint_level level, const char *check, const struct rule *rule,
		    const char *what, void *arg)
{
	struct lint_output *out = arg;
	struct json_object *o;

	out->problems += level == LINT_PROBLEM;
	out->n_notes += level == LINT_NOTE;
	if (level == LINT_NOTE && !out->notes)
		return;
	if (!out->list) {
		printf("%s:%u: %s: rule %s: %s [%s]\n", rule->file, rule->line,
		       level == LINT_PROBLEM ? "problem" : "note", rule->spec->id, what, check);
		return;
	}
	o = json_object_new_object();
	json_add_str(o, "level", level == LINT_PROBLEM ? "problem" : "note");
	json_add_str(o, "check", check);
	json_add_str(o, "rule", rule->spec->id);
	json_add_str(o, "file", rule->file);
	json_add_i64(o, "line", rule->line);
	json_add_str(o, "what", what);
	json_object_array_add(out->list, o);
}

int rules_lint(const struct rules_request *r, struct err *err)
{
	OWNED(rule_set_freep) struct rule_set *set = NULL;
	OWNED(detector_freep) struct detector *d = NULL;
	OWNED(json_putp) struct json_object *o = NULL;
	struct lint_output out = { .notes = r->all || r->cli->json };
	struct rules_request where = *r;

	if (r->subject)
		where.dir = r->subject;
	if (rules_read(&where, &set, err) < 0 || rules_detector(&where, &d, err) < 0)
		return -1;
	if (r->cli->json)
		out.list = json_object_new_array();
	rule_lint(set, d, on_lint, &out);
	if (r->cli->json) {
		o = json_object_new_object();
		json_add_str(o, "dir", where.dir);
		json_add_i64(o, "rules", (int64_t)set->n);
		json_add_i64(o, "problems", (int64_t)out.problems);
		json_add_i64(o, "notes", (int64_t)out.n_notes);
		json_add(o, "findings", out.list);
		(void)puts(json_text(o));
	} else {
		printf("%zu rules: %zu problem%s, %zu note%s%s\n", set->n, out.problems,
		       out.problems == 1 ? "" : "s", out.n_notes, out.n_notes == 1 ? "" : "s",
		       out.n_notes && !r->all ? " (--all shows them)" : "");
	}
	return out.problems ? CLI_NO : CLI_OK;
}

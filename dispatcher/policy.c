#include "dispatcher/policy.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/finding.h"
#include "core/mem.h"
#include "core/neutralise.h"
#include "core/text.h"
#include "core/yaml_where.h"
#include "dispatcher/policy_time.h"
#include "dispatcher/yaml_complaint.h"

/* --- the file, as it is written --------------------------------------------- */

struct list {
	char **items;
	unsigned n;
};

enum { INPUTS_MAX = 10 };

enum predicate {
	WHEN_PROVIDER,
	WHEN_REPO,
	WHEN_BRANCH,
	WHEN_PIPELINE,
	WHEN_EVENT,
	WHEN_CATEGORY,
	WHEN_FINGERPRINT,
	WHEN_TIME,
	PREDICATES
};

struct change_row {
	int64_t *max_files, *max_lines;
	int64_t ci_files, fewer_tests, draft; /* 0: not said, else the value + 1 */
	struct list labels, mirrors;
};

struct choice {
	int64_t mode, risk; /* 0: not said, else the value + 1 */
	struct list strategies, larger_runner;
	struct change_row *change;
	int64_t *min_confidence, *reruns_per_run, *per_pipeline_hour, *minutes_per_repo_day;
};

struct rule_row {
	char *name;
	struct when {
		struct list lists[PREDICATES];
	} * when;
	struct choice choice;
};

struct policy_file {
	char *timezone;
	struct list quiet_hours;
	int64_t *fleet_percent;
	struct choice *defaults;
	struct rule_row *rules;
	unsigned n_rules;
};

static const cyaml_strval_t modes[] = {
	{ "observe", POLICY_OBSERVE + 1 },
	{ "suggest", POLICY_SUGGEST + 1 },
	{ "act", POLICY_ACT + 1 },
};

static const cyaml_strval_t risks[] = {
	{ "observe", RISK_OBSERVE + 1 },
	{ "retry", RISK_RETRY + 1 },
	{ "change", RISK_CHANGE + 1 },
};

static const cyaml_strval_t flags[] = {
	{ "false", false + 1 },
	{ "true", true + 1 },
};

static const cyaml_schema_value_t word_value = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 200),
};

/* A list in a struct: where its items are and how many. */
/* NOLINTBEGIN(bugprone-macro-parentheses): members cannot be in parentheses */
#define LIST(key_, strct, member)                                                              \
	{                                                                                      \
		.key = (key_), .data_offset = offsetof(strct, member.items),                   \
		.count_offset = offsetof(strct, member.n), .count_size = sizeof(unsigned),     \
		.value = {                                                                     \
			CYAML_VALUE_SEQUENCE(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *, \
					     &word_value, 1, POLICY_LIST_MAX),                 \
		},                                                                             \
	}
#define CHOICE_ROWS(strct, at)                                                                     \
	CYAML_FIELD_ENUM("mode", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, strct, at mode, modes,   \
			 ARRAY_LEN(modes)),                                                        \
		CYAML_FIELD_ENUM("risk", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, strct, at risk,  \
				 risks, ARRAY_LEN(risks)),                                         \
		LIST("strategies", strct, at strategies),                                          \
		LIST("larger_runner", strct, at larger_runner),                                    \
		CYAML_FIELD_MAPPING_PTR("change", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, strct, \
					at change, change_fields),                                 \
		CYAML_FIELD_INT_PTR("min_confidence", CYAML_FLAG_OPTIONAL, strct,                  \
				    at min_confidence),                                            \
		CYAML_FIELD_INT_PTR("reruns_per_run", CYAML_FLAG_OPTIONAL, strct,                  \
				    at reruns_per_run),                                            \
		CYAML_FIELD_INT_PTR("per_pipeline_hour", CYAML_FLAG_OPTIONAL, strct,               \
				    at per_pipeline_hour),                                         \
		CYAML_FIELD_INT_PTR("minutes_per_repo_day", CYAML_FLAG_OPTIONAL, strct,            \
				    at minutes_per_repo_day)
/* NOLINTEND(bugprone-macro-parentheses) */

/* The library's own flags take any text for true. */
#define FLAG(member)                                                                          \
	CYAML_FIELD_ENUM(#member, CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, struct change_row, \
			 member, flags, ARRAY_LEN(flags))

static const cyaml_schema_field_t change_fields[] = {
	CYAML_FIELD_INT_PTR("max_files", CYAML_FLAG_OPTIONAL, struct change_row, max_files),
	CYAML_FIELD_INT_PTR("max_lines", CYAML_FLAG_OPTIONAL, struct change_row, max_lines),
	FLAG(ci_files),
	FLAG(fewer_tests),
	FLAG(draft),
	LIST("labels", struct change_row, labels),
	LIST("mirrors", struct change_row, mirrors),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t choice_fields[] = {
	CHOICE_ROWS(struct choice, ),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t when_fields[] = {
	LIST("provider", struct when, lists[WHEN_PROVIDER]),
	LIST("repo", struct when, lists[WHEN_REPO]),
	LIST("branch", struct when, lists[WHEN_BRANCH]),
	LIST("pipeline", struct when, lists[WHEN_PIPELINE]),
	LIST("event", struct when, lists[WHEN_EVENT]),
	LIST("category", struct when, lists[WHEN_CATEGORY]),
	LIST("fingerprint", struct when, lists[WHEN_FINGERPRINT]),
	LIST("time", struct when, lists[WHEN_TIME]),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t rule_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_DEFAULT, struct rule_row, name, 1,
			       POLICY_NAME_MAX),
	CYAML_FIELD_MAPPING_PTR("when", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct rule_row,
				when, when_fields),
	CHOICE_ROWS(struct rule_row, choice.),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t rule_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct rule_row, rule_fields),
};

static const cyaml_schema_field_t file_fields[] = {
	CYAML_FIELD_STRING_PTR("timezone", CYAML_FLAG_OPTIONAL, struct policy_file, timezone, 1,
			       64),
	LIST("quiet_hours", struct policy_file, quiet_hours),
	CYAML_FIELD_INT_PTR("fleet_percent", CYAML_FLAG_OPTIONAL, struct policy_file,
			    fleet_percent),
	CYAML_FIELD_MAPPING_PTR("defaults", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				struct policy_file, defaults, choice_fields),
	CYAML_FIELD_SEQUENCE_COUNT("rules", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				   struct policy_file, rules, n_rules, &rule_value, 0,
				   POLICY_RULES_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t file_value = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct policy_file, file_fields),
};

struct policy {
	struct policy_file *file; /* NULL: nothing but the base */
	struct policy_answer defaults;
	struct week_time quiet[POLICY_LIST_MAX];
	struct ready {
		struct policy_answer answer;
		struct week_time times[POLICY_LIST_MAX];
	} * rules; /* as file->rules */
};

void policy_free(struct policy *p)
{
	cyaml_config_t config = yaml_config(NULL);

	if (!p)
		return;
	(void)cyaml_free(&config, &file_value, p->file, 0);
	free(p->rules);
	free(p);
}

/* --- what makes no sense ------------------------------------------------------ */

/* While a file is read: where in it the fault is. */
struct reading {
	const char *name, *yaml;
	size_t n;
	char path[80];
	struct err *err;
};

static int fault(struct reading *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static int fault(struct reading *r, const char *fmt, ...)
{
	struct yaml_place at = { 1, 1 };
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)yaml_where(r->yaml, r->n, r->path, &at);
	return err_set(r->err, ERR_CONFIG, "%s:%u:%u: %s", r->name, at.line, at.column, text);
}

static bool has_wildcard(const char *pattern)
{
	return strpbrk(pattern, "*?[\\") != NULL;
}

static bool provider_known(const char *name)
{
	return strcmp(name, "git") == 0 || strcmp(name, "generic") == 0 ||
	       provider_api_find(name) != NULL;
}

/* "network_failure", "network_failure/dns", "network_failure/" and a pattern. */
static bool category_possible(const char *text)
{
	char category[40];

	if (!text_copy(category, sizeof(category), text, strcspn(text, "/")))
		return false;
	return has_wildcard(category) || finding_category_known(category);
}

static bool fingerprint_possible(const char *text)
{
	return strlen(text) <= 16 && strspn(text, "0123456789abcdef*?[]-") == strlen(text);
}

static const struct predicate_row {
	const char *key, *what;
	bool (*possible)(const char *); /* NULL: any text */
	int fold;                       /* FNM_CASEFOLD: case does not matter there */
} predicates[PREDICATES] = {
	[WHEN_PROVIDER] = { "provider", "a provider: github, gitlab, jenkins, git or generic",
			    provider_known, 0 },
	[WHEN_REPO] = { "repo", NULL, NULL, FNM_CASEFOLD },
	[WHEN_BRANCH] = { "branch", NULL, NULL, 0 },
	[WHEN_PIPELINE] = { "pipeline", NULL, NULL, 0 },
	[WHEN_EVENT] = { "event", NULL, NULL, 0 },
	[WHEN_CATEGORY] = { "category", "a category (see docs/rules.md)", category_possible, 0 },
	[WHEN_FINGERPRINT] = { "fingerprint", "a fingerprint: up to 16 hex digits",
			       fingerprint_possible, 0 },
	[WHEN_TIME] = { "time", NULL, NULL, 0 },
};

static int check_list(struct reading *r, const struct list *list, const struct predicate_row *row)
{
	size_t base = strlen(r->path);

	for (unsigned i = 0; i < list->n; i++) {
		const char *text = list->items[i];
		bool negated = *text == '!';

		(void)snprintf(r->path + base, sizeof(r->path) - base, ".%s[%u]", row->key, i);
		if (row->possible && !row->possible(text + negated))
			return fault(r, "\"%.60s\" is not %s", text, row->what);
		for (unsigned k = 0; k < i; k++)
			if (strcmp(list->items[k] + (*list->items[k] == '!'), text + negated) == 0)
				return fault(r,
					     "\"%.60s\" is said twice, or at once wanted and "
					     "excluded",
					     text);
		r->path[base] = '\0';
	}
	return 0;
}

static int read_times(struct reading *r, const struct list *list, const char *key,
		      struct week_time *out)
{
	size_t base = strlen(r->path);

	for (unsigned i = 0; i < list->n; i++) {
		(void)snprintf(r->path + base, sizeof(r->path) - base, "%s%s[%u]", base ? "." : "",
			       key, i);
		if (!week_time_parse(list->items[i], &out[i]))
			return fault(r,
				     "\"%.60s\" is no time of the week, such as \"Mon-Fri "
				     "08:00-18:00\", \"Sat,Sun\" or \"22:00-06:00\"",
				     list->items[i]);
		r->path[base] = '\0';
	}
	return 0;
}

static int check_strategies(struct reading *r, const struct list *list)
{
	size_t base = strlen(r->path);

	for (unsigned i = 0; i < list->n; i++) {
		(void)snprintf(r->path + base, sizeof(r->path) - base, "%sstrategies[%u]",
			       base ? "." : "", i);
		if (!healer_find(list->items[i]))
			return fault(r, "\"%.60s\" is no strategy of this release", list->items[i]);
		r->path[base] = '\0';
	}
	return 0;
}

/* "NAME=value", each name once. */
static int check_inputs(struct reading *r, const struct list *list)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_-";
	size_t base = strlen(r->path);

	(void)snprintf(r->path + base, sizeof(r->path) - base, "%slarger_runner", base ? "." : "");
	if (list->n > INPUTS_MAX)
		return fault(r, "at most %d inputs: GitHub takes no more", INPUTS_MAX);
	for (unsigned i = 0; i < list->n; i++) {
		size_t end = strlen(r->path), n = strspn(list->items[i], allowed);

		(void)snprintf(r->path + end, sizeof(r->path) - end, "[%u]", i);
		if (!n || list->items[i][n] != '=' || !list->items[i][n + 1])
			return fault(r, "\"%.60s\" is not NAME=value", list->items[i]);
		for (unsigned k = 0; k < i; k++)
			if (strncmp(list->items[k], list->items[i], n + 1) == 0)
				return fault(r, "\"%.*s\" is said twice", (int)n, list->items[i]);
		r->path[end] = '\0';
	}
	r->path[base] = '\0';
	return 0;
}

static const struct number_row {
	const char *key;
	size_t from, to; /* in struct choice, in struct policy_limits */
	int64_t max;
} numbers[] = {
#define N(field, max_)                                                                         \
	{                                                                                      \
#field, offsetof(struct choice, field), offsetof(struct policy_limits, field), \
			max_                                                                   \
	}
	N(min_confidence, 100),
	N(reruns_per_run, 10),
	N(per_pipeline_hour, 1000),
	N(minutes_per_repo_day, 100000),
#undef N
};

/* The same in what a rule says of changes. */
static int number_of_change(struct reading *r, const char *key, const int64_t *said, int64_t max,
			    int64_t *out)
{
	size_t base = strlen(r->path);

	if (!said)
		return 0;
	(void)snprintf(r->path + base, sizeof(r->path) - base, ".%s", key);
	if (*said < 1 || *said > max)
		return fault(r, "%s is from 1 to %lld", key, (long long)max);
	r->path[base] = '\0';
	*out = *said;
	return 0;
}

static int check_change_list(struct reading *r, const char *key, const struct list *list,
			     bool (*good)(const char *), const char *what)
{
	size_t base = strlen(r->path);

	for (unsigned i = 0; i < list->n; i++) {
		(void)snprintf(r->path + base, sizeof(r->path) - base, ".%s[%u]", key, i);
		if (!good(list->items[i]))
			return fault(r, "\"%.60s\" is not %s", list->items[i], what);
		r->path[base] = '\0';
	}
	return 0;
}

static bool is_mirror(const char *text)
{
	char host[MIRROR_HOST_MAX], url[MIRROR_URL_MAX];

	return propose_mirror(text, host, url);
}

/* GitLab takes several in one text with commas between them. */
static bool is_label(const char *text)
{
	size_t n;

	for (; *text; text += n)
		if (neutralise_is_bad(text, strlen(text), &n) || *text == ',')
			return false;
	return true;
}

static void take_flag(int64_t said, bool *out)
{
	if (said)
		*out = said - 1;
}

static int take_change(struct reading *r, const struct change_row *c, struct propose_rules *out)
{
	if (number_of_change(r, "max_files", c->max_files, 1000, &out->max_files) < 0 ||
	    number_of_change(r, "max_lines", c->max_lines, 20000, &out->max_lines) < 0 ||
	    check_change_list(r, "labels", &c->labels, is_label, "a label: text without commas") <
		    0 ||
	    check_change_list(r, "mirrors", &c->mirrors, is_mirror,
			      "a host and the URL of its mirror") < 0)
		return -1;
	take_flag(c->ci_files, &out->ci_files);
	take_flag(c->fewer_tests, &out->fewer_tests);
	take_flag(c->draft, &out->draft);
	if (c->labels.n) {
		out->labels = (const char *const *)c->labels.items;
		out->n_labels = c->labels.n;
	}
	if (c->mirrors.n) {
		out->mirrors = (const char *const *)c->mirrors.items;
		out->n_mirrors = c->mirrors.n;
	}
	return 0;
}

/* What a choice says replaces what `out` says. */
static int take_choice(struct reading *r, const struct choice *c, struct policy_answer *out)
{
	size_t base = strlen(r->path);

	if (check_strategies(r, &c->strategies) < 0 || check_inputs(r, &c->larger_runner) < 0)
		return -1;
	if (c->change) {
		(void)snprintf(r->path + base, sizeof(r->path) - base, "%schange", base ? "." : "");
		if (take_change(r, c->change, &out->change) < 0)
			return -1;
		r->path[base] = '\0';
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		const int64_t *said;

		memcpy(&said, (const char *)c + numbers[i].from, sizeof(said));
		if (!said)
			continue;
		(void)snprintf(r->path + base, sizeof(r->path) - base, "%s%s", base ? "." : "",
			       numbers[i].key);
		if (*said < 0 || *said > numbers[i].max)
			return fault(r, "%s is from 0 to %lld", numbers[i].key,
				     (long long)numbers[i].max);
		r->path[base] = '\0';
		memcpy((char *)&out->limits + numbers[i].to, said, sizeof(*said));
	}
	if (c->mode)
		out->mode = (enum policy_mode)(c->mode - 1);
	if (c->risk)
		out->risk = (enum heal_risk)(c->risk - 1);
	if (c->strategies.n) {
		out->strategies = (const char *const *)c->strategies.items;
		out->n_strategies = c->strategies.n;
	}
	if (c->larger_runner.n) {
		out->larger_runner = (const char *const *)c->larger_runner.items;
		out->n_larger_runner = c->larger_runner.n;
	}
	return 0;
}

static bool excludes(const struct list *list)
{
	for (unsigned i = 0; i < list->n; i++)
		if (*list->items[i] == '!')
			return true;
	return false;
}

/* Every value of `list` is one of `others`, or what one of their patterns stands for. */
static bool list_within(const struct list *list, const struct list *others, int fold)
{
	if (excludes(list) || excludes(others))
		return false;
	for (unsigned i = 0; i < list->n; i++) {
		bool found = false;

		for (unsigned k = 0; k < others->n && !found; k++)
			found = strcmp(others->items[k], list->items[i]) == 0 ||
				(!has_wildcard(list->items[i]) &&
				 fnmatch(others->items[k], list->items[i], fold) == 0);
		if (!found)
			return false;
	}
	return true;
}

/* Whatever run the later rule is for, the earlier one has taken. */
static bool always_beaten(const struct rule_row *later, const struct rule_row *earlier)
{
	for (size_t p = 0; p < PREDICATES && earlier->when; p++) {
		const struct list *theirs = &earlier->when->lists[p];

		if (theirs->n == 0)
			continue;
		if (!later->when || later->when->lists[p].n == 0 ||
		    !list_within(&later->when->lists[p], theirs, predicates[p].fold))
			return false;
	}
	return true;
}

static int check_against_earlier(struct reading *r, const struct policy_file *f, unsigned i)
{
	for (unsigned k = 0; k < i; k++) {
		if (strcmp(f->rules[k].name, f->rules[i].name) == 0)
			return fault(r, "the name \"%s\" is used twice", f->rules[i].name);
		if (always_beaten(&f->rules[i], &f->rules[k]))
			return fault(r,
				     "rule \"%s\" can never apply: \"%s\" comes first and takes "
				     "every run of it",
				     f->rules[i].name, f->rules[k].name);
	}
	return 0;
}

static int read_rule(struct reading *r, struct policy *p, unsigned i)
{
	const struct rule_row *row = &p->file->rules[i];
	struct ready *to = &p->rules[i];

	to->answer = p->defaults;
	to->answer.rule = row->name;
	(void)snprintf(r->path, sizeof(r->path), "rules[%u]", i);
	if (take_choice(r, &row->choice, &to->answer) < 0 ||
	    check_against_earlier(r, p->file, i) < 0)
		return -1;
	(void)snprintf(r->path, sizeof(r->path), "rules[%u].when", i);
	for (size_t k = 0; k < PREDICATES && row->when; k++)
		if (k == WHEN_TIME
			    ? read_times(r, &row->when->lists[k], predicates[k].key, to->times) < 0
			    : check_list(r, &row->when->lists[k], &predicates[k]) < 0)
			return -1;
	return 0;
}

/* glibc takes every name for a zone and reads UTC when it knows none. */
static int read_timezone(struct reading *r, const char *zone)
{
	char path[128];

	if (!zone)
		return 0;
	(void)snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", zone);
	(void)snprintf(r->path, sizeof(r->path), "timezone");
	if (strstr(zone, "..") || (strcmp(zone, "UTC") != 0 && access(path, R_OK) < 0))
		return fault(r, "\"%s\" is no time zone of this machine (package tzdata)", zone);
	if (setenv("TZ", zone, 1) < 0)
		return fault(r, "%s", strerror(errno));
	tzset();
	return 0;
}

static bool always_quiet(const struct policy *p)
{
	for (unsigned m = 0; m < WEEK_MINUTES; m++) {
		bool quiet = false;

		for (unsigned i = 0; i < p->file->quiet_hours.n && !quiet; i++)
			quiet = week_time_has(&p->quiet[i], m);
		if (!quiet)
			return false;
	}
	return true;
}

static int read_file(struct reading *r, struct policy *p)
{
	const struct policy_file *f = p->file;

	if (f->defaults) {
		(void)snprintf(r->path, sizeof(r->path), "defaults");
		if (take_choice(r, f->defaults, &p->defaults) < 0)
			return -1;
	}
	r->path[0] = '\0';
	if (read_times(r, &f->quiet_hours, "quiet_hours", p->quiet) < 0)
		return -1;
	(void)snprintf(r->path, sizeof(r->path), "quiet_hours");
	if (always_quiet(p))
		return fault(r, "it is always quiet: say `mode: observe` instead");
	(void)snprintf(r->path, sizeof(r->path), "fleet_percent");
	if (f->fleet_percent && (*f->fleet_percent < 0 || *f->fleet_percent > 100))
		return fault(r, "fleet_percent is from 0 (no limit) to 100");
	p->rules = xcalloc(f->n_rules + 1, sizeof(*p->rules));
	for (unsigned i = 0; i < f->n_rules; i++)
		if (read_rule(r, p, i) < 0)
			return -1;
	return read_timezone(r, f->timezone);
}

int policy_parse(const char *name, const char *yaml, size_t n, const struct policy_answer *base,
		 struct policy **out, struct err *err)
{
	OWNED(policy_freep) struct policy *p = xcalloc(1, sizeof(*p));
	struct reading r = { .name = name, .yaml = yaml, .n = n, .err = err };
	struct yaml_complaint why = { .text = "" };
	cyaml_config_t config = yaml_config(&why);
	cyaml_err_t rc;

	p->defaults = *base;
	p->defaults.rule = "defaults";
	rc = cyaml_load_data((const uint8_t *)yaml, n, &config, &file_value,
			     (cyaml_data_t **)&p->file, NULL);
	if (rc != CYAML_OK)
		return err_set(err, ERR_CONFIG, "%s: %s", name,
			       why.text[0] ? why.text : cyaml_strerror(rc));
	/* Nothing but comments is a policy that says nothing. */
	if (p->file && read_file(&r, p) < 0)
		return -1;
	*out = TAKE(p);
	return 0;
}

void policy_base(const struct conf *conf, struct policy_answer *out)
{
	*out = (struct policy_answer){
		.rule = "defaults",
		.mode = POLICY_ACT,
		.risk = RISK_RETRY,
		.limits = {
			.min_confidence = conf_int(conf, "heal.min_confidence"),
			.reruns_per_run = conf_int(conf, "heal.reruns_per_run"),
			.per_pipeline_hour = conf_int(conf, "heal.per_pipeline_hour"),
			.minutes_per_repo_day = conf_int(conf, "heal.minutes_per_repo_day"),
		},
	};
}

static void closep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

int policy_load(const char *path, const struct policy_answer *base, struct policy **out,
		struct err *err)
{
	OWNED(closep) FILE *f = NULL;
	OWNED(freep) char *text = NULL;
	size_t n;

	if (!path)
		return policy_parse("policy", "", 0, base, out, err);
	text = xmalloc(POLICY_BYTES_MAX);
	f = fopen(path, "re");
	if (!f)
		return err_set(err, ERR_CONFIG, "policy_file: %s: %s", path, strerror(errno));
	n = fread(text, 1, POLICY_BYTES_MAX, f);
	if (ferror(f) || n == POLICY_BYTES_MAX)
		return err_set(err, ERR_CONFIG,
			       "policy_file: %s: unreadable or larger than %d "
			       "bytes",
			       path, POLICY_BYTES_MAX - 1);
	return policy_parse(path, text, n, base, out, err);
}

/* --- asking ----------------------------------------------------------------------- */

/* One of the wanted ones, if there are any, and none of the excluded ones ("!..."). */
static bool list_fits(const struct list *list, const char *text, int fold)
{
	bool wanted = false, any = false;

	for (unsigned i = 0; i < list->n; i++) {
		if (*list->items[i] == '!') {
			if (fnmatch(list->items[i] + 1, text, fold) == 0)
				return false;
			continue;
		}
		any = true;
		wanted = wanted || fnmatch(list->items[i], text, fold) == 0;
	}
	return wanted || !any;
}

static bool category_fits(const struct list *list, const struct policy_case *c)
{
	char whole[100];
	bool wanted = false, any = false;

	(void)snprintf(whole, sizeof(whole), "%s/%s", c->category, c->subcategory);
	for (unsigned i = 0; i < list->n; i++) {
		bool negated = *list->items[i] == '!';
		const char *pattern = list->items[i] + negated;
		bool fits = fnmatch(pattern, strchr(pattern, '/') ? whole : c->category, 0) == 0;

		if (negated && fits)
			return false;
		any = any || !negated;
		wanted = wanted || (!negated && fits);
	}
	return wanted || !any;
}

static bool time_fits(const struct list *list, const struct week_time *times, int64_t now_ms)
{
	unsigned minute = week_minute(now_ms);

	for (unsigned i = 0; i < list->n; i++)
		if (week_time_has(&times[i], minute))
			return true;
	return false;
}

static bool applies(const struct rule_row *row, const struct ready *ready,
		    const struct policy_case *c)
{
	const char *texts[PREDICATES] = {
		[WHEN_PROVIDER] = c->provider, [WHEN_REPO] = c->repo,
		[WHEN_BRANCH] = c->branch,     [WHEN_PIPELINE] = c->pipeline,
		[WHEN_EVENT] = c->event,       [WHEN_FINGERPRINT] = c->fingerprint,
	};

	for (size_t p = 0; p < PREDICATES && row->when; p++) {
		const struct list *list = &row->when->lists[p];
		bool fits;

		if (list->n == 0)
			continue;
		if (p == WHEN_TIME)
			fits = time_fits(list, ready->times, c->now_ms);
		else if (p == WHEN_CATEGORY)
			fits = category_fits(list, c);
		else
			fits = list_fits(list, texts[p], predicates[p].fold);
		if (!fits)
			return false;
	}
	return true;
}

void policy_ask(const struct policy *p, const struct policy_case *c, struct policy_answer *out)
{
	for (unsigned i = 0; p->file && i < p->file->n_rules; i++) {
		if (applies(&p->file->rules[i], &p->rules[i], c)) {
			*out = p->rules[i].answer;
			return;
		}
	}
	*out = p->defaults;
}

bool policy_allows(const struct policy_answer *a, const char *strategy)
{
	if (!a->strategies)
		return true;
	for (unsigned i = 0; i < a->n_strategies; i++)
		if (strcmp(a->strategies[i], strategy) == 0)
			return true;
	return false;
}

static bool is_quiet(const struct policy *p, unsigned minute)
{
	for (unsigned i = 0; p->file && i < p->file->quiet_hours.n; i++)
		if (week_time_has(&p->quiet[i], minute % WEEK_MINUTES))
			return true;
	return false;
}

int64_t policy_quiet_ms(const struct policy *p, int64_t now_ms)
{
	unsigned now = week_minute(now_ms), minutes = 0;

	while (minutes < WEEK_MINUTES && is_quiet(p, now + minutes))
		minutes++;
	return minutes ? minutes * 60000LL - now_ms % 60000 : 0;
}

int64_t policy_fleet_percent(const struct policy *p)
{
	return p->file && p->file->fleet_percent ? *p->file->fleet_percent : 0;
}

const char *policy_rule(const struct policy *p, size_t i, struct policy_answer *out)
{
	if (!p->file || i >= p->file->n_rules)
		return NULL;
	*out = p->rules[i].answer;
	return p->file->rules[i].name;
}

void policy_defaults(const struct policy *p, struct policy_answer *out)
{
	*out = p->defaults;
}

const char *policy_mode_name(enum policy_mode mode)
{
	static const char *const names[] = { "observe", "suggest", "act" };

	return names[mode];
}

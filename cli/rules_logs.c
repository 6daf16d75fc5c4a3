/* rules backtest, coverage, next: what the rules make of many saved logs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/log_files.h"
#include "cli/rules.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/detector.h"
#include "dispatcher/fingerprint.h"
#include "dispatcher/rule_report.h"
#include "dispatcher/rule_set.h"

enum { PROGRESS_MS = 200 };

typedef void log_fn(const struct log_file *, const struct detect_scan *, const struct finding *,
		    void *arg);

/* --- one log after the other -------------------------------------------------------- */

struct progress {
	bool shown;
	int64_t next_ms;
};

static void show_progress(struct progress *p, size_t done, size_t n)
{
	int64_t now = clock_mono_ms();

	if (!p->shown || now < p->next_ms)
		return;
	p->next_ms = now + PROGRESS_MS;
	(void)fprintf(stderr, "\r%zu of %zu logs", done, n);
	(void)fflush(stderr);
}

static void end_progress(const struct progress *p)
{
	if (p->shown)
		(void)fprintf(stderr, "\r\033[K");
}

/* How many could not be read; each is named on standard error. */
static size_t scan_logs(const struct detector *d, const struct log_files *files, log_fn *fn,
			void *arg)
{
	struct progress progress = { .shown = isatty(STDERR_FILENO) };
	size_t unread = 0;

	for (size_t i = 0; i < files->n; i++) {
		OWNED(arena_freep) struct arena *a = arena_new();
		const struct detect_input in = { .text = NULL };
		OWNED(detect_scan_freep) struct detect_scan *scan = detect_scan_new(d, &in);
		struct finding f;
		struct err err;

		show_progress(&progress, i, files->n);
		if (log_file_feed(files->at[i].path, scan, &err) < 0) {
			end_progress(&progress);
			(void)fprintf(stderr, "pipeline-guard rules: %s\n", err.msg);
			unread++;
			continue;
		}
		detect_scan_end(scan, a, &f);
		fn(&files->at[i], scan, &f, arg);
	}
	end_progress(&progress);
	return unread;
}

static void add_to_report(const struct log_file *log, const struct detect_scan *scan,
			  const struct finding *f, void *arg)
{
	rule_report_add(arg, log->label, scan, f);
}

static int make_report(const struct rules_request *r, bool labels, struct detector **d,
		       struct rule_report **out, size_t *unread, struct err *err)
{
	OWNED(log_files_freep) struct log_files *files = NULL;

	if (log_files_find(r->subject, &files, err) < 0)
		return -1;
	if (labels && files->unlabelled == files->n)
		return err_set(err, ERR_CONFIG,
			       "%s: no log there has a label: put them into folders named green, "
			       "red or after a category",
			       r->subject);
	if (labels && files->unlabelled)
		(void)fprintf(stderr, "pipeline-guard rules: %zu logs have no label\n",
			      files->unlabelled);
	if (rules_detector(r, d, err) < 0)
		return -1;
	*out = rule_report_new(*d);
	*unread = scan_logs(*d, files, add_to_report, *out);
	return 0;
}

/* --- shared output ------------------------------------------------------------------- */

static void percent(uint64_t part, uint64_t whole, char out[static 32])
{
	if (whole)
		(void)snprintf(out, 32, "%.1f %%", 100.0 * (double)part / (double)whole);
	else
		(void)text_copy(out, 32, "-", 1);
}

static void cell_u64(struct table *t, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, n);
	table_cell(t, text);
}

static double round4(double x)
{
	return (double)(int64_t)(x * 10000 + 0.5) / 10000;
}

static void add_precision(struct json_object *o, const struct rule_score *s)
{
	struct interval in = wilson_interval(s->right, s->right + s->wrong);

	json_add_i64(o, "right", (int64_t)s->right);
	json_add_i64(o, "wrong", (int64_t)s->wrong);
	json_add_i64(o, "false_alarms", (int64_t)s->false_alarms);
	if (s->right + s->wrong == 0)
		return;
	json_add_num(o, "precision", round4((double)s->right / (double)(s->right + s->wrong)));
	json_add_num(o, "low", round4(in.low));
	json_add_num(o, "high", round4(in.high));
}

static struct json_object *scores_json(const struct rule_report *report)
{
	const struct rule_set *set = detector_rules(report->detector);
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < set->n; i++) {
		const struct rule_score *s = &report->rules[i];
		struct json_object *o = json_object_new_object();

		json_add_str(o, "id", set->rules[i].spec->id);
		json_add_str(o, "category", set->rules[i].spec->category);
		json_add_str(o, "class", rule_class_name(set->rules[i].spec->class));
		json_add_i64(o, "hits", (int64_t)s->hits);
		json_add_i64(o, "wins", (int64_t)s->wins);
		add_precision(o, s);
		json_object_array_add(list, o);
	}
	return list;
}

/* Indices of the rules that count here, those with most to say first. */
struct order {
	const struct rule_report *report;
	size_t *index;
	size_t n;
};

static int by_wins(const void *a, const void *b, void *arg)
{
	const struct rule_report *report = arg;
	size_t i = *(const size_t *)a, k = *(const size_t *)b;
	const struct rule_score *x = &report->rules[i], *y = &report->rules[k];

	if (x->wins != y->wins)
		return x->wins > y->wins ? -1 : 1;
	if (x->hits != y->hits)
		return x->hits > y->hits ? -1 : 1;
	return (i > k) - (i < k);
}

static void sort_rules(struct rule_report *report, bool all, struct order *o)
{
	size_t n = detector_rules(report->detector)->n;

	*o = (struct order){ .report = report, .index = xcalloc(n, sizeof(*o->index)) };
	for (size_t i = 0; i < n; i++)
		if (all || report->rules[i].wins)
			o->index[o->n++] = i;
	qsort_r(o->index, o->n, sizeof(*o->index), by_wins, report);
}

/* --- backtest ------------------------------------------------------------------------ */

static void precision_text(const struct rule_score *s, char out[static 48])
{
	uint64_t n = s->right + s->wrong;
	struct interval in = wilson_interval(s->right, n);

	if (n)
		(void)snprintf(out, 48, "%.1f %% (%.0f to %.0f)",
			       100 * (double)s->right / (double)n, 100 * in.low, 100 * in.high);
	else
		(void)text_copy(out, 48, "-", 1);
}

static void backtest_table(struct rule_report *report, bool all)
{
	static const char *const headings[] = { "rule",  "hits",         "wins",      "right",
						"wrong", "false alarms", "precision", NULL };
	OWNED(table_freep) struct table *t = table_new(headings);
	const struct rule_set *set = detector_rules(report->detector);
	struct order order;
	char text[48];

	sort_rules(report, all, &order);
	for (size_t i = 0; i < order.n; i++) {
		const struct rule_score *s = &report->rules[order.index[i]];

		table_cell(t, set->rules[order.index[i]].spec->id);
		cell_u64(t, s->hits);
		cell_u64(t, s->wins);
		cell_u64(t, s->right);
		cell_u64(t, s->wrong);
		cell_u64(t, s->false_alarms);
		precision_text(s, text);
		table_cell(t, text);
	}
	free(order.index);
	table_print(t);
	precision_text(&report->total, text);
	printf("\n%" PRIu64 " logs: %" PRIu64 " failed, of which %" PRIu64
	       " stayed unknown; %" PRIu64 " passed, with %" PRIu64 " false alarm%s\n"
	       "precision of all answers: %s\n",
	       report->logs, report->logs - report->green, report->unknown, report->green,
	       report->total.false_alarms, report->total.false_alarms == 1 ? "" : "s", text);
}

static void backtest_json(const struct rule_report *report)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();

	json_add_i64(o, "logs", (int64_t)report->logs);
	json_add_i64(o, "labelled", (int64_t)report->labelled);
	json_add_i64(o, "red", (int64_t)(report->logs - report->green));
	json_add_i64(o, "green", (int64_t)report->green);
	json_add_i64(o, "unknown", (int64_t)report->unknown);
	json_add_i64(o, "wins", (int64_t)report->total.wins);
	add_precision(o, &report->total);
	json_add(o, "rules", scores_json(report));
	(void)puts(json_text(o));
}

/* Rules of which the whole interval is below what is asked for. */
static size_t name_the_bad(const struct rule_report *report, int64_t min_percent)
{
	const struct rule_set *set = detector_rules(report->detector);
	size_t bad = 0;

	for (size_t i = 0; min_percent >= 0 && i < set->n; i++) {
		const struct rule_score *s = &report->rules[i];
		struct interval in = wilson_interval(s->right, s->right + s->wrong);

		if (in.high * 100 >= (double)min_percent)
			continue;
		bad++;
		(void)fprintf(stderr,
			      "pipeline-guard rules: %s is right in %" PRIu64 " of %" PRIu64
			      " logs\n",
			      set->rules[i].spec->id, s->right, s->right + s->wrong);
	}
	return bad;
}

int rules_backtest(const struct rules_request *r, struct err *err)
{
	OWNED(detector_freep) struct detector *d = NULL;
	OWNED(rule_report_freep) struct rule_report *report = NULL;
	size_t unread;

	if (make_report(r, true, &d, &report, &unread, err) < 0)
		return -1;
	if (r->cli->json)
		backtest_json(report);
	else
		backtest_table(report, r->all);
	if (unread)
		return CLI_UNREACHABLE;
	return name_the_bad(report, r->min_precision) ? CLI_NO : CLI_OK;
}

/* --- coverage ------------------------------------------------------------------------ */

static void coverage_text(struct rule_report *report, bool all)
{
	static const char *const by_rule[] = { "rule", "fired in", "decided", "share", NULL };
	static const char *const by_category[] = { "category", "decided", "share",
						   "labelled", "found",   NULL };
	OWNED(table_freep) struct table *rules = table_new(by_rule);
	OWNED(table_freep) struct table *categories = table_new(by_category);
	const struct rule_set *set = detector_rules(report->detector);
	uint64_t failed = report->logs - report->green;
	struct order order;
	char text[32];

	sort_rules(report, all, &order);
	for (size_t i = 0; i < order.n; i++) {
		table_cell(rules, set->rules[order.index[i]].spec->id);
		cell_u64(rules, report->rules[order.index[i]].hits);
		cell_u64(rules, report->rules[order.index[i]].wins);
		percent(report->rules[order.index[i]].wins, report->total.wins, text);
		table_cell(rules, text);
	}
	free(order.index);
	for (size_t i = 0; i + 1 < REPORT_CATEGORIES; i++) {
		table_cell(categories, finding_categories[i]);
		cell_u64(categories, report->categories[i].decided);
		percent(report->categories[i].decided, report->total.wins, text);
		table_cell(categories, text);
		cell_u64(categories, report->categories[i].labelled);
		cell_u64(categories, report->categories[i].found);
	}
	table_print(rules);
	(void)putchar('\n');
	table_print(categories);
	percent(report->unknown, failed, text);
	printf("\n%" PRIu64 " failed logs, %" PRIu64 " of them unknown (%s)\n", failed,
	       report->unknown, text);
}

static struct json_object *categories_json(const struct rule_report *report)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i + 1 < REPORT_CATEGORIES; i++) {
		struct json_object *c = json_object_new_object();

		json_add_i64(c, "decided", (int64_t)report->categories[i].decided);
		json_add_i64(c, "labelled", (int64_t)report->categories[i].labelled);
		json_add_i64(c, "found", (int64_t)report->categories[i].found);
		json_add(o, finding_categories[i], c);
	}
	return o;
}

static void coverage_json(const struct rule_report *report)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	uint64_t failed = report->logs - report->green;

	json_add_i64(o, "logs", (int64_t)report->logs);
	json_add_i64(o, "failed", (int64_t)failed);
	json_add_i64(o, "decided", (int64_t)report->total.wins);
	json_add_i64(o, "unknown", (int64_t)report->unknown);
	if (failed)
		json_add_num(o, "unknown_share", round4((double)report->unknown / (double)failed));
	json_add(o, "categories", categories_json(report));
	json_add(o, "rules", scores_json(report));
	(void)puts(json_text(o));
}

int rules_coverage(const struct rules_request *r, struct err *err)
{
	OWNED(detector_freep) struct detector *d = NULL;
	OWNED(rule_report_freep) struct rule_report *report = NULL;
	size_t unread;

	if (make_report(r, false, &d, &report, &unread, err) < 0)
		return -1;
	if (r->cli->json)
		coverage_json(report);
	else
		coverage_text(report, r->all);
	return unread ? CLI_UNREACHABLE : CLI_OK;
}

/* --- next ---------------------------------------------------------------------------- */

enum { CLUSTERS_MAX = 20000 };

struct cluster {
	char fingerprint[sizeof(((struct finding *)0)->fingerprint)];
	uint64_t count;
	const struct log_file *first;
	char *example;
};

struct clusters {
	struct cluster *at;
	size_t n;
	uint64_t logs, unknown, beyond; /* beyond: unknown ones that found no room */
};

/* The line that the fingerprint was made of. */
static const char *example_of(const struct finding *f)
{
	const char *lines[FINDING_EVIDENCE_MAX];

	for (size_t i = 0; i < f->n_evidence; i++)
		lines[i] = f->evidence[i].text;
	return f->n_evidence ? lines[fingerprint_telling(lines, f->n_evidence)] : "";
}

static void add_unknown(const struct log_file *log, const struct detect_scan *scan,
			const struct finding *f, void *arg)
{
	struct clusters *c = arg;
	UNUSED(scan);
	if (log->label && strcmp(log->label, LABEL_GREEN) == 0)
		return;
	c->logs++;
	if (strcmp(f->category, "unknown") != 0)
		return;
	c->unknown++;
	for (size_t i = 0; i < c->n; i++) {
		if (strcmp(c->at[i].fingerprint, f->fingerprint) == 0) {
			c->at[i].count++;
			return;
		}
	}
	if (c->n == CLUSTERS_MAX) {
		c->beyond++;
		return;
	}
	c->at[c->n] =
		(struct cluster){ .count = 1, .first = log, .example = xstrdup(example_of(f)) };
	memcpy(c->at[c->n++].fingerprint, f->fingerprint, sizeof(f->fingerprint));
}

static int by_count(const void *a, const void *b)
{
	const struct cluster *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return strcmp(x->fingerprint, y->fingerprint);
}

static void next_json(const struct clusters *c, size_t n)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		struct json_object *row = json_object_new_object();

		json_add_str(row, "fingerprint", c->at[i].fingerprint);
		json_add_i64(row, "count", (int64_t)c->at[i].count);
		json_add_str(row, "file", c->at[i].first->path);
		json_add_str(row, "example", c->at[i].example);
		json_object_array_add(list, row);
	}
	json_add_i64(o, "logs", (int64_t)c->logs);
	json_add_i64(o, "unknown", (int64_t)c->unknown);
	json_add(o, "clusters", list);
	(void)puts(json_text(o));
}

static void next_table(const struct clusters *c, size_t n)
{
	static const char *const headings[] = { "logs", "fingerprint", "first in", "what it says",
						NULL };
	OWNED(table_freep) struct table *t = table_new(headings);

	for (size_t i = 0; i < n; i++) {
		const char *slash = strrchr(c->at[i].first->path, '/');

		cell_u64(t, c->at[i].count);
		table_cell(t, c->at[i].fingerprint);
		table_cell(t, slash ? slash + 1 : c->at[i].first->path);
		table_cell(t, c->at[i].example);
	}
	table_print(t);
	printf("\n%" PRIu64 " of %" PRIu64 " failed logs are unknown, in %zu kinds\n", c->unknown,
	       c->logs, c->n);
	if (c->beyond)
		printf("%" PRIu64 " more were not sorted: there are too many kinds\n", c->beyond);
}

int rules_next(const struct rules_request *r, struct err *err)
{
	OWNED(log_files_freep) struct log_files *files = NULL;
	OWNED(detector_freep) struct detector *d = NULL;
	struct clusters c = { .at = NULL };
	size_t unread, n;

	if (!r->subject)
		return rules_next_seen(r, err);
	if (log_files_find(r->subject, &files, err) < 0 || rules_detector(r, &d, err) < 0)
		return -1;
	c.at = xcalloc(CLUSTERS_MAX, sizeof(*c.at));
	unread = scan_logs(d, files, add_unknown, &c);
	qsort(c.at, c.n, sizeof(*c.at), by_count);
	n = (uint64_t)r->limit < c.n ? (size_t)r->limit : c.n;
	if (r->cli->json)
		next_json(&c, n);
	else
		next_table(&c, n);
	for (size_t i = 0; i < c.n; i++)
		free(c.at[i].example);
	free(c.at);
	return unread ? CLI_UNREACHABLE : CLI_OK;
}

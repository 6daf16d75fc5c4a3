#include "dispatcher/detector.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/metrics.h"
#include "dispatcher/log_clean.h"
#include "dispatcher/prefilter.h"
#include "dispatcher/scan.h"
#include "dispatcher/second_opinion.h"
#include "dispatcher/verdict.h"
#include "ml/text_model.h"

struct detector {
	struct rule_set *rules;
	struct matcher *matcher;
	struct prefilter *prefilter;
	struct text_model *model; /* NULL: no second opinion */
	uint64_t *gave_up;        /* allocated apart: counted while the detector is const */
};

struct detect_scan {
	const struct detector *detector;
	struct detect_input input;
	struct log_clean *clean;
	struct scan *scan;
	double spent_ms;
};

int detector_new(const char *rules_dir, const char *cache_folder, struct detector **out,
		 struct err *err)
{
	OWNED(detector_freep) struct detector *d = xcalloc(1, sizeof(*d));

	d->gave_up = xcalloc(1, sizeof(*d->gave_up));
	if (rule_set_load_cached(rules_dir ? rules_dir : detector_rules_dir(), cache_folder,
				 &d->rules, err) < 0)
		return -1;
	d->matcher = matcher_new(RULE_MATCH_LIMIT);
	d->prefilter = prefilter_new_cached(d->rules, cache_folder);
	*out = TAKE(d);
	return 0;
}

void detector_free(struct detector *d)
{
	if (!d)
		return;
	text_model_free(d->model);
	prefilter_free(d->prefilter);
	matcher_free(d->matcher);
	rule_set_free(d->rules);
	free(d->gave_up);
	free(d);
}

const char *detector_shipped(const char *name, char *out, size_t cap)
{
	static const char *const places[] = { "conf", "../share/pipeline-guard" };
	char self[500];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; slash && i < ARRAY_LEN(places); i++) {
		(void)snprintf(out, cap, "%s/%s/%s", self, places[i], name);
		if (access(out, R_OK) == 0)
			return out;
	}
	(void)snprintf(out, cap, "%s/%s", GUARD_CONF_DIR, name);
	return out;
}

const char *detector_rules_dir(void)
{
	static char found[600];

	return detector_shipped("rules", found, sizeof(found));
}

int detector_load_model(struct detector *d, const char *path, struct err *err)
{
	OWNED(freep) char *built_in = xasprintf("%s/../models/text.model", detector_rules_dir());
	bool none = path ? !*path : access(built_in, F_OK) < 0;
	struct text_model *m = NULL;

	if (!none && text_model_load(path ? path : built_in, &m, err) < 0)
		return -1;
	text_model_free(d->model);
	d->model = m;
	return 0;
}

size_t detector_rule_count(const struct detector *d)
{
	return d->rules->n;
}

const struct rule_set *detector_rules(const struct detector *d)
{
	return d->rules;
}

uint64_t detector_gave_up(const struct detector *d)
{
	return *d->gave_up;
}

bool detector_is_one_pass(const struct detector *d)
{
	return prefilter_is_one_pass(d->prefilter);
}

bool detector_is_from_cache(const struct detector *d)
{
	return prefilter_is_from_cache(d->prefilter);
}

void detector_use_pcre2_only(struct detector *d)
{
	prefilter_free(d->prefilter);
	d->prefilter = prefilter_new(d->rules, false);
}

static double now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

struct detect_scan *detect_scan_new(const struct detector *d, const struct detect_input *in)
{
	struct detect_scan *s = xcalloc(1, sizeof(*s));

	s->detector = d;
	s->input = *in;
	s->clean = log_clean_new(in->skipped_lines);
	s->scan = scan_new(d->rules, d->matcher, in->failed_step);
	return s;
}

void detect_scan_free(struct detect_scan *s)
{
	if (!s)
		return;
	scan_free(s->scan);
	log_clean_free(s->clean);
	free(s);
}

static void scan_cleaned(struct detect_scan *s)
{
	size_t len, n_lines, n;
	const char *text = log_clean_text(s->clean, &len);
	const struct clean_line *lines = log_clean_lines(s->clean, &n_lines);
	const struct candidate *candidates;

	if (n_lines == 0)
		return;
	candidates = prefilter_scan(s->detector->prefilter, text, len, lines, n_lines, &n);
	scan_block(s->scan, text, lines, n_lines, candidates, n);
	log_clean_reset(s->clean);
}

void detect_scan_feed(struct detect_scan *s, const char *data, size_t n)
{
	double began = now_ms();

	while (n) {
		size_t taken = log_clean_feed(s->clean, data, n);

		data += taken;
		n -= taken;
		if (n)
			scan_cleaned(s);
	}
	s->spent_ms += now_ms() - began;
}

double detect_scan_ms(const struct detect_scan *s)
{
	return s->spent_ms;
}

/* Giving up is never silent: a rule that did is counted by name. */
static void count_gave_up(const struct detect_scan *s)
{
	const struct rule_set *rules = s->detector->rules;
	char label[RULE_ID_MAX + 16];

	for (size_t i = 0; i < rules->n; i++) {
		unsigned n = s->scan->tallies[i].gave_up;

		if (!n)
			continue;
		*s->detector->gave_up += n;
		(void)snprintf(label, sizeof(label), "rule=\"%s\"", rules->rules[i].spec->id);
		metrics_add("regex_gave_up_total", label, n);
	}
}

void detect_scan_end(struct detect_scan *s, struct arena *a, struct finding *out)
{
	double began = now_ms();

	log_clean_end(s->clean);
	scan_cleaned(s);
	scan_end(s->scan);
	count_gave_up(s);
	verdict_reach(s->scan, &s->input, a, out);
	if (s->detector->model)
		second_opinion(s->detector->model, s->scan, a, out);
	out->scan_ms = (double)(int64_t)((s->spent_ms + now_ms() - began) * 1000) / 1000;
}

uint64_t detect_scan_count(const struct detect_scan *s, size_t rule)
{
	return s->scan->tallies[rule].count;
}

size_t detect_scan_words(const struct detect_scan *s, const char *lines[static DETECT_WORDS_MAX])
{
	return second_opinion_words(s->scan, lines);
}

void detector_scan(const struct detector *d, const struct detect_input *in, struct arena *a,
		   struct finding *out)
{
	OWNED(detect_scan_freep) struct detect_scan *s = detect_scan_new(d, in);

	if (in->len)
		detect_scan_feed(s, in->text, in->len);
	detect_scan_end(s, a, out);
}

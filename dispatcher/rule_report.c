#include "dispatcher/rule_report.h"

#include <math.h>
#include <string.h>

#include "core/finding.h"
#include "core/mem.h"
#include "dispatcher/detector.h"
#include "dispatcher/rule_set.h"

struct rule_report *rule_report_new(const struct detector *d)
{
	struct rule_report *r = xcalloc(1, sizeof(*r));

	r->detector = d;
	r->rules = xcalloc(detector_rules(d)->n, sizeof(*r->rules));
	return r;
}

void rule_report_free(struct rule_report *r)
{
	if (!r)
		return;
	free(r->rules);
	free(r);
}

static size_t category_index(const char *category)
{
	size_t i = 0;

	while (finding_categories[i] && strcmp(finding_categories[i], category) != 0)
		i++;
	return i < REPORT_CATEGORIES ? i : REPORT_CATEGORIES - 1;
}

static struct rule_score *winner_of(const struct rule_report *r, const struct finding *f)
{
	const struct rule_set *set = detector_rules(r->detector);

	for (size_t i = 0; *f->rule && i < set->n; i++)
		if (strcmp(set->rules[i].spec->id, f->rule) == 0)
			return &r->rules[i];
	return NULL;
}

static void judge(struct rule_score *s, const char *label, const struct finding *f)
{
	bool green = strcmp(label, LABEL_GREEN) == 0;
	bool right = !green && (strcmp(label, LABEL_RED) == 0 || strcmp(label, f->category) == 0);

	s->right += right;
	s->wrong += !right;
	s->false_alarms += green;
}

void rule_report_add(struct rule_report *r, const char *label, const struct detect_scan *scan,
		     const struct finding *f)
{
	struct rule_score *winner = winner_of(r, f);
	bool green = label && strcmp(label, LABEL_GREEN) == 0;

	r->logs++;
	r->green += green;
	for (size_t i = 0; i < detector_rules(r->detector)->n; i++)
		r->rules[i].hits += detect_scan_count(scan, i) > 0;
	r->unknown += !winner && !green;
	if (winner) {
		winner->wins++;
		r->total.wins++;
		r->categories[category_index(f->category)].decided++;
	}
	if (!label)
		return;
	r->labelled++;
	if (winner) {
		judge(winner, label, f);
		judge(&r->total, label, f);
	}
	if (!green && strcmp(label, LABEL_RED) != 0) {
		size_t want = category_index(label);

		r->categories[want].labelled++;
		r->categories[want].found += strcmp(label, f->category) == 0;
	}
}

struct interval wilson_interval(uint64_t hits, uint64_t n)
{
	static const double z = 1.959964;
	double share, centre, half;

	if (n == 0)
		return (struct interval){ 0, 1 };
	share = (double)hits / (double)n;
	centre = share + z * z / (2 * (double)n);
	half = z * sqrt(share * (1 - share) / (double)n + z * z / (4 * (double)n * (double)n));
	return (struct interval){
		.low = hits == 0 ? 0 : (centre - half) / (1 + z * z / (double)n),
		.high = hits == n ? 1 : (centre + half) / (1 + z * z / (double)n),
	};
}

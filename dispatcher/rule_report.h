/*
 * How good the rules are on many logs: what each one hit, decided, and got right. For
 * `rules backtest` and `rules coverage`; no I/O.
 */
#ifndef GUARD_DISPATCHER_RULE_REPORT_H
#define GUARD_DISPATCHER_RULE_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "core/base.h"

struct detect_scan;
struct detector;
struct finding;
struct json_object;

/* What is known about a log before it is read; besides a category. */
#define LABEL_GREEN "green" /* the job passed: whoever finds a cause is wrong */
#define LABEL_RED   "red"   /* the job failed, of an unknown cause */

enum { REPORT_CATEGORIES = 15 }; /* as finding_categories */

struct rule_score {
	uint64_t hits;         /* logs in which it hit a line */
	uint64_t wins;         /* logs that it decided */
	uint64_t right, wrong; /* of those, with a label */
	uint64_t false_alarms; /* the wrong ones of jobs that passed */
};

struct rule_report {
	const struct detector *detector;
	struct rule_score *rules; /* in the order of the detector's rules */
	struct rule_score total;  /* hits is not used */
	uint64_t logs, green, labelled;
	uint64_t unknown; /* failed, and no rule said why */
	struct {
		uint64_t labelled; /* logs that are of this category */
		uint64_t found;    /* of those, named so */
		uint64_t decided;  /* logs that were called so */
	} categories[REPORT_CATEGORIES];
};

struct rule_report *rule_report_new(const struct detector *);
void rule_report_free(struct rule_report *);
DEFINE_OWNED(struct rule_report, rule_report_free)

/* label: a category, one of the words above, or NULL when nothing is known. */
void rule_report_add(struct rule_report *, const char *label, const struct detect_scan *,
		     const struct finding *);

/* The 95 % interval of a share (Wilson); 0 to 1 when n is 0. */
struct interval {
	double low, high;
};
struct interval wilson_interval(uint64_t hits, uint64_t n);

#endif

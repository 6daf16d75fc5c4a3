#include "dispatcher/rule_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/finding.h"
#include "core/mem.h"
#include "dispatcher/detector.h"
#include "unit.h"

static const char rules[] = "rules:\n"
			    "  - id: tax\n"
			    "    category: network_failure\n"
			    "    confidence: 0.9\n"
			    "    title: t\n"
			    "    regex: '^tax: timed out'\n"
			    "    positive: ['tax: timed out']\n"
			    "    negative: ['tax: paid']\n"
			    "  - id: rate\n"
			    "    class: hint\n"
			    "    category: config_error\n"
			    "    confidence: 0.5\n"
			    "    title: t\n"
			    "    regex: '^rate: none'\n"
			    "    positive: ['rate: none']\n"
			    "    negative: ['rate: 19']\n";

static struct detector *detector(void)
{
	char dir[] = "/tmp/guard-report-XXXXXX", path[64];
	struct detector *d;
	struct err err;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a.yaml", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(rules, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_ok(detector_new(dir, NULL, &d, &err), &err);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	return d;
}

static void add(struct rule_report *r, const char *label, const char *log)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	const struct detect_input in = { .text = NULL };
	OWNED(detect_scan_freep) struct detect_scan *s = detect_scan_new(r->detector, &in);
	struct finding f;

	detect_scan_feed(s, log, strlen(log));
	detect_scan_end(s, a, &f);
	rule_report_add(r, label, s, &f);
}

static void counts_what_each_rule_hit_and_decided(void **state)
{
	OWNED(detector_freep) struct detector *d = detector();
	OWNED(rule_report_freep) struct rule_report *r = rule_report_new(d);
	const struct rule_score *tax = &r->rules[0], *rate = &r->rules[1];

	UNUSED(state);
	add(r, "network_failure", "tax: timed out\nrate: none\n"); /* right; the hint only hit */
	add(r, "config_error", "tax: timed out\n");                /* wrong */
	add(r, LABEL_RED, "tax: timed out\n");                     /* failed, so right */
	add(r, LABEL_GREEN, "tax: timed out\n");                   /* false alarm */
	add(r, LABEL_GREEN, "all is well\n");
	add(r, "config_error", "nobody knows\n");
	add(r, NULL, "tax: timed out\n"); /* decided; right or wrong is not known */

	assert_int_equal(r->logs, 7);
	assert_int_equal(r->green, 2);
	assert_int_equal(r->labelled, 6);
	assert_int_equal(r->unknown, 1);
	assert_int_equal(tax->hits, 5);
	assert_int_equal(tax->wins, 5);
	assert_int_equal(tax->right, 2);
	assert_int_equal(tax->wrong, 2);
	assert_int_equal(tax->false_alarms, 1);
	assert_int_equal(rate->hits, 1);
	assert_int_equal(rate->wins, 0);
	assert_int_equal(r->total.wins, 5);
	assert_int_equal(r->total.right, 2);
	assert_int_equal(r->total.wrong, 2);
	for (size_t i = 0; i < REPORT_CATEGORIES; i++) {
		bool network = strcmp(finding_categories[i], "network_failure") == 0;
		bool config = strcmp(finding_categories[i], "config_error") == 0;

		assert_int_equal(r->categories[i].decided, network ? 5 : 0);
		assert_int_equal(r->categories[i].labelled, network ? 1 : config ? 2 : 0);
		assert_int_equal(r->categories[i].found, network ? 1 : 0);
	}
	assert_null(finding_categories[REPORT_CATEGORIES]);
}

/* Against published values. */
static void the_interval_is_wilsons(void **state)
{
	static const struct {
		uint64_t hits, n;
		double low, high;
	} rows[] = {
		{ 0, 0, 0, 1 },
		{ 0, 10, 0, 0.2775 },
		{ 10, 10, 0.7225, 1 },
		{ 1, 10, 0.0179, 0.4042 },
		{ 81, 263, 0.2553, 0.3662 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct interval in = wilson_interval(rows[i].hits, rows[i].n);

		assert_true(fabs(in.low - rows[i].low) < 0.0001);
		assert_true(fabs(in.high - rows[i].high) < 0.0001);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_what_each_rule_hit_and_decided),
		cmocka_unit_test(the_interval_is_wilsons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a scrape says: one series, or all of a name added up when labels is NULL. */
#ifndef GUARD_TESTS_METRIC_SUM_H
#define GUARD_TESTS_METRIC_SUM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/metrics.h"

static inline bool metric_is(const char *series, const char *labels)
{
	size_t n = labels ? strlen(labels) : 0;

	if (!labels)
		return *series == ' ' || *series == '{';
	if (!n)
		return *series == ' ';
	return *series == '{' && strncmp(series + 1, labels, n) == 0 && series[n + 1] == '}';
}

static inline int64_t metric_sum(const char *name, const char *labels)
{
	OWNED(buf_done) struct buf text;
	size_t n = strlen(name);
	int64_t sum = 0;

	buf_init(&text, 1 << 20);
	metrics_render(&text);
	for (const char *at = buf_text(&text); (at = strstr(at, "\npipeline_guard_"));) {
		at += strlen("\npipeline_guard_");
		if (strncmp(at, name, n) == 0 && metric_is(at + n, labels))
			sum += strtoll(strrchr(strndupa(at, strcspn(at, "\n")), ' '), NULL, 10);
	}
	return sum;
}

#endif

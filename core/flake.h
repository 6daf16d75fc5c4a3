/*
 * flake: what is remembered of one test of one pipeline. Written by the dispatcher into the
 * ledger (docs/flakes.md), read by whoever shows it.
 */
#ifndef GUARD_CORE_FLAKE_H
#define GUARD_CORE_FLAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct arena;
struct json_object;
struct redisReply;

enum {
	FLAKE_HISTORY_MAX = 20,     /* marks kept of one test */
	FLAKE_TESTS_MAX = 200,      /* tests kept of one pipeline */
	FLAKE_PIPELINES_MAX = 1000, /* ledgers kept in a partition */
	FLAKE_COMMIT_MAX = 13,      /* the first twelve digits, terminated */
};

/* One result that matters: every failure, and the first pass after it. */
struct flake_mark {
	bool failed;
	uint64_t greens; /* runs of the pipeline that had passed until then */
	int64_t at_ms;
	const char *commit; /* FLAKE_COMMIT_MAX - 1 bytes of it */
};

/* Strings belong to the arena that it was read into; missing ones are "". */
struct flake {
	const char *name, *framework, *file, *owner;
	const char *source, *repo, *pipeline; /* only of a whole ledger */
	int64_t first_ms, last_ms;
	double lost_minutes;
	struct flake_mark history[FLAKE_HISTORY_MAX]; /* oldest first */
	size_t n;

	/* What follows from it, within the history. */
	unsigned failures;
	uint64_t runs;           /* failures, and passes of the pipeline since the first of them */
	double flip_rate;        /* of two runs that follow each other: how often they differ */
	unsigned failed_commits; /* commits that it failed on */
	unsigned healed_commits; /* ... and passed on, too */
	bool flaky;
	double confidence; /* that it passes when it failed and is tried again; 0: not flaky */
};

/*
 * `text` is the ledger's JSON of that test, `greens` the pipeline's count now. False: that is
 * no such thing.
 */
bool flake_read(const char *name, const char *text, uint64_t greens, struct arena *,
		struct flake *out);
/* Counts again, as if it were not known what `commit` ends with. "": counts all. */
void flake_judge(struct flake *, const char *commit, uint64_t greens);
/*
 * All tests of a ledger, as HGETALL gives it: at most `max`; returns how many. What is no record is
 * left out.
 */
size_t flake_read_ledger(const struct redisReply *, struct arena *, struct flake *out, size_t max);
/* As shown by the API and `stats --flakes --json`. New reference. */
struct json_object *flake_to_json(const struct flake *);

/* Flaky ones first, then by minutes lost, then the newest. For qsort. */
int flake_compare(const void *, const void *);

#endif

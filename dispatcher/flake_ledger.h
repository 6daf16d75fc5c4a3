/*
 * The ledger of flaky tests in Redis (docs/flakes.md): per pipeline and test, when it failed
 * and passed, on which commit.
 */
#ifndef GUARD_DISPATCHER_FLAKE_LEDGER_H
#define GUARD_DISPATCHER_FLAKE_LEDGER_H

#include "core/keys.h"
#include "dispatcher/flakes.h"

struct ci_event;
struct redis;
struct task;

/* What an attempt that failed has to say. Borrowed during the call. */
struct flake_report {
	const struct flakes_failed *failed;
	const char *const *files, *const *owners; /* one per test */
	double lost_s;                            /* what the attempt took */
};

/*
 * Writes the failed tests of the task's run down, once per attempt however often it is called,
 * and reads what was known of them: then(), with one record per test, or with NULL when Redis
 * did not answer. Judged without the commit at hand.
 */
void flake_ledger_failed(struct task *, const struct flake_report *,
			 void (*then)(struct task *, const struct flake *known));

/*
 * Runs that passed: what failed on their commits before has passed now. Collected over a batch of
 * entries, and sent before it is recorded: entries that come again change nothing.
 */
enum { FLAKE_GREENS_MAX = 64, FLAKE_BRANCH_MAX = 60, FLAKE_SOURCE_MAX = 96 };
struct flake_greens {
	size_t n;
	struct green {
		char source[FLAKE_SOURCE_MAX], branch[FLAKE_BRANCH_MAX], commit[FLAKE_COMMIT_MAX];
		uint64_t repo_id, pipeline_id, run_id, generation;
	} at[FLAKE_GREENS_MAX];
};

/* Anything else than a success of a known commit is ignored. */
void flake_greens_add(struct flake_greens *, const struct ci_event *);
/* Empties it. */
void flake_greens_send(struct flake_greens *, struct redis *, const struct keyspace *,
		       unsigned partition);

#endif

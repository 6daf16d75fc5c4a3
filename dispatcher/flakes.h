/* What the ledger of flaky tests says about a failure. Pure: the ledger itself is flake_ledger. */
#ifndef GUARD_DISPATCHER_FLAKES_H
#define GUARD_DISPATCHER_FLAKES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/finding.h"
#include "core/flake.h"

struct arena;

enum {
	FLAKES_PER_RUN_MAX = 50, /* more failed tests than that are no flakes */
	FLAKES_FILE_MAX = 300,
};

/* Tests that failed in one attempt of a run, over all its jobs; each once. */
struct flakes_failed {
	struct {
		const char *name, *framework;
	} tests[FLAKES_PER_RUN_MAX];
	size_t n;
	bool complete; /* they are all that went wrong: nothing else failed, and no name is missing
			*/
};

/* What one job says, which was read from its beginning or not. */
void flakes_collect(struct flakes_failed *, const struct finding *, bool whole_log);

/* The file that a test is in, as far as its name tells: "tests/test_tax.py". False: it does not. */
bool flakes_file(const char *name, const char *framework, char out[static FLAKES_FILE_MAX]);

/*
 * `known` are the ledger's records of the failed tests, judged without the commit at hand. When
 * every one is flaky, says so in the finding, which may then be tried again. True: it was.
 */
bool flakes_explain(const struct flakes_failed *, const struct flake *known, struct arena *,
		    struct finding *);

#endif

/* What `stats` is asked for; each mode is a function, in its own file unless it is short. */
#ifndef GUARD_CLI_STATS_H
#define GUARD_CLI_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct cli;

struct stats_request {
	bool all;
	const char *repo; /* NULL: of all repositories */
	int64_t limit, days;
};

/* Exit status, or -1. What heals were worth, per strategy and category. */
int stats_heals(const struct cli *, const struct stats_request *, struct err *) MUST_CHECK;
/* What would have been done where the guard only observed. */
int stats_observe(const struct cli *, const struct stats_request *, struct err *) MUST_CHECK;

#endif

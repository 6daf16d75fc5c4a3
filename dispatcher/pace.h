/* How soon to look again: pure, so that a table can test it. No clock, no chance. */
#ifndef GUARD_DISPATCHER_PACE_H
#define GUARD_DISPATCHER_PACE_H

#include <stdint.h>

struct pace_limits {
	int64_t base_ms, min_ms, max_ms;
};

/* What is known after a check. */
struct pace_facts {
	double load;     /* of this process: 0 idle, 1 all hands busy */
	int64_t gaps;    /* found by this check: word did not reach us */
	int64_t failing; /* of those, runs that failed */
	int64_t quiet;   /* checks in a row that found nothing */
	int64_t refused; /* checks in a row that got no answer */
	int64_t wait_ms; /* what the other side asked for; 0: nothing */
	/* Calls that counted against a budget, what is left of it (-1: not known) and for how
	 * long. */
	int64_t calls, budget_left, budget_reset_ms;
};

/* Between min and max, unless the other side, or what is left of its budget, wants more. */
int64_t pace_next_ms(const struct pace_limits *, const struct pace_facts *);

#endif

/*
 * How likely a strategy works, from what it did before: a Beta posterior over a failure's
 * fingerprint, which falls back to its category, and that to what is assumed of the strategy.
 * Pure: no I/O.
 *
 * With a prior mean m worth k observations, after g good and b bad ones the mean is
 * (k m + g) / (k + g + b), the mean of Beta(k m + g, k (1 - m) + b).
 */
#ifndef GUARD_ML_BELIEF_H
#define GUARD_ML_BELIEF_H

#include <stdint.h>

/* What was seen; fractions, because old outcomes count less. */
struct tally_pair {
	double good, bad;
};

enum {
	BELIEF_PRIOR_WORTH = 4, /* observations that an assumption is worth */
	BELIEF_HALF_LIFE_DAYS = 45,
};

/* Expected success, 0..1. */
double belief_mean(double prior, const struct tally_pair *category,
		   const struct tally_pair *fingerprint);

/* What is left of it for a failure that so many tries did not heal: each is one against it. */
double belief_after(double success, uint64_t failed);

/*
 * Where the chance lies with that probability (0.9: it is below `low` in one of twenty cases, and
 * above `high` in as many), after what was seen of a category.
 */
void belief_interval(double prior, const struct tally_pair *seen, double probability, double *low,
		     double *high);

/* The share of an observation that still counts after so long. */
double belief_decay(int64_t age_ms);

/*
 * What trying is worth, in minutes of a person's time: success saves `person_minutes`, and
 * `ci_minutes` are spent in any case, of which one costs as much as `ci_price` minutes of a person.
 */
double belief_value(double success, double person_minutes, double ci_minutes, double ci_price);

#endif

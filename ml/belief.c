#include "ml/belief.h"

#include <math.h>

static double update(double mean, const struct tally_pair *seen)
{
	return (BELIEF_PRIOR_WORTH * mean + seen->good) /
	       (BELIEF_PRIOR_WORTH + seen->good + seen->bad);
}

double belief_mean(double prior, const struct tally_pair *category,
		   const struct tally_pair *fingerprint)
{
	return update(update(prior, category), fingerprint);
}

double belief_after(double success, uint64_t failed)
{
	return update(success, &(struct tally_pair){ 0, (double)failed });
}

double belief_decay(int64_t age_ms)
{
	double days = age_ms > 0 ? (double)age_ms / (24.0 * 3600 * 1000) : 0;

	return exp2(-days / BELIEF_HALF_LIFE_DAYS);
}

double belief_value(double success, double person_minutes, double ci_minutes, double ci_price)
{
	return success * person_minutes - ci_minutes * ci_price;
}

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

/* The continued fraction of the incomplete beta function, by Lentz' method. */
static double beta_fraction(double a, double b, double x)
{
	enum { TERMS_MAX = 300 };
	static const double tiny = 1e-300;
	double c = 1, d = 1 / fmax(tiny, 1 - (a + b) * x / (a + 1)), f = d;

	for (int m = 1; m < TERMS_MAX; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		double step;

		d = 1 / (1 + even * d);
		c = 1 + even / c;
		f *= c * d;
		d = 1 / (1 + odd * d);
		c = 1 + odd / c;
		step = c * d;
		f *= step;
		if (fabs(step - 1) < 1e-12)
			break;
	}
	return f;
}

/* The probability that Beta(a, b) is below x. */
static double beta_below(double a, double b, double x)
{
	double front;

	if (x <= 0 || x >= 1)
		return x <= 0 ? 0 : 1;
	front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
	return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
					 : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

static double beta_quantile(double a, double b, double share)
{
	enum { HALVINGS = 50 };
	double low = 0, high = 1;

	for (int i = 0; i < HALVINGS; i++) {
		double x = (low + high) / 2;

		if (beta_below(a, b, x) < share)
			low = x;
		else
			high = x;
	}
	return (low + high) / 2;
}

void belief_interval(double prior, const struct tally_pair *seen, double probability, double *low,
		     double *high)
{
	/* Nothing is certain, whatever is assumed. */
	double m = fmin(fmax(prior, 0.01), 0.99);
	double a = BELIEF_PRIOR_WORTH * m + seen->good;
	double b = BELIEF_PRIOR_WORTH * (1 - m) + seen->bad;

	*low = beta_quantile(a, b, (1 - probability) / 2);
	*high = beta_quantile(a, b, (1 + probability) / 2);
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

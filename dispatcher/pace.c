#include "dispatcher/pace.h"

enum {
	GAP_FACTOR = 4,     /* word gets lost: look that much more often */
	FAILING_FACTOR = 8, /* ... and what it was about waits for us */
	QUIET_AFTER = 20,   /* checks that found nothing before they become rarer */
	QUIET_FACTOR_MAX = 2,
	LOAD_FACTOR = 2,
	BACKOFF_MAX = 10,
	/* Of what is left of a budget at most this part is ours: healing needs some, and so do
	 * people. */
	BUDGET_SHARE = 2,
};

static int64_t clamp(int64_t v, int64_t min, int64_t max)
{
	if (v < min)
		return min;
	return v < max ? v : max;
}

static int64_t wanted_ms(const struct pace_limits *l, const struct pace_facts *f)
{
	int64_t ms = l->base_ms;

	if (f->refused > 0) {
		for (int64_t i = 0; i < f->refused && i < BACKOFF_MAX && ms < l->max_ms; i++)
			ms *= 2;
		return ms;
	}
	if (f->failing > 0)
		return ms / FAILING_FACTOR;
	if (f->gaps > 0)
		return ms / GAP_FACTOR;
	return ms * clamp(1 + f->quiet / QUIET_AFTER, 1, QUIET_FACTOR_MAX);
}

/* Spreads what we may spend over the time until there is a new budget. */
static int64_t affordable_ms(const struct pace_facts *f)
{
	int64_t ours = f->budget_left / BUDGET_SHARE;

	if (f->budget_left < 0 || f->calls <= 0 || f->budget_reset_ms <= 0)
		return 0;
	if (ours < f->calls)
		return f->budget_reset_ms;
	return f->budget_reset_ms * f->calls / ours;
}

int64_t pace_next_ms(const struct pace_limits *l, const struct pace_facts *f)
{
	double load = f->load < 0 ? 0 : f->load > 1 ? 1 : f->load;
	int64_t ms = wanted_ms(l, f), least = affordable_ms(f);

	ms = clamp(ms + (int64_t)((double)ms * load * LOAD_FACTOR), l->min_ms, l->max_ms);
	if (ms < least)
		ms = least;
	return ms < f->wait_ms ? f->wait_ms : ms;
}

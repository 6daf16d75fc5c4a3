/* Runs the failed jobs of a run, and what depends on them, once more: one call for the whole run.
 */
#include "healers/healer.h"

struct state {
	struct api_call *call;
};

static void on_result(const struct api_result *r, void *arg)
{
	struct attempt *attempt = arg;
	struct state *s = attempt->state;

	s->call = NULL;
	switch (r->fate) {
	case API_OK:
		attempt->done(attempt, HEAL_OK, -1, "the failed jobs run again");
		return;
	case API_WAIT:
		attempt->done(attempt, HEAL_WAIT, -1, r->why);
		return;
	case API_RETRY:
		attempt->done(attempt, HEAL_TEMPFAIL, r->retry_after_ms, r->why);
		return;
	case API_REFUSED:
		attempt->done(attempt, HEAL_PERMFAIL, -1, r->why);
		return;
	}
}

static int start(struct attempt *attempt, struct err *err)
{
	struct state *s = attempt->state;

	if (!attempt->api)
		return err_set(err, ERR_CONFIG, "no access to the provider is configured");
	s->call = attempt->provider->rerun_failed_jobs(attempt->api, &attempt->run, on_result,
						       attempt);
	return 0;
}

static void cancel(struct attempt *attempt)
{
	struct state *s = attempt->state;

	if (s->call)
		attempt->provider->cancel(s->call);
	s->call = NULL;
}

static const struct heal_target targets[] = {
	{ "*", NULL, 0.7 },
	{ NULL, NULL, 0 },
};

const struct healer healer_rerun_failed_jobs = {
	.name = "rerun_failed_jobs",
	.summary = "Runs the failed jobs, and those that depend on them, once more.",
	.risk = RISK_RETRY,
	.targets = targets,
	.repeats = true,
	.because = "is usually gone on the next try",
	.acts_on_provider = true,
	.awaits = true,
	.scopes = "actions: write",
	.state_size = sizeof(struct state),
	.start = start,
	.cancel = cancel,
};

/* The same re-run, later: for what has to pass first, as a limit or an outage does. */
#include "healers/healer_calls.h"

static const struct heal_target targets[] = {
	{ "rate_limit", NULL, 0.75 },
	{ "infrastructure_failure", "provider", 0.65 },
	/* A server that is in trouble; a line that broke is back at once. */
	{ "network_failure", "server_error", 0.65 },
	{ "network_failure", "service", 0.65 },
	{ NULL, NULL, 0 },
};

const struct healer healer_retry_with_backoff = {
	.name = "retry_with_backoff",
	.summary = "Runs the failed jobs once more after a while, which grows with every try.",
	.risk = RISK_RETRY,
	.targets = targets,
	.repeats = true,
	.backs_off = true,
	.because = "is usually over after a while",
	.calls = { HEALER_CALL(rerun_failed_jobs) },
	.did = "the failed jobs run again",
	.acts_on_provider = true,
	.awaits = true,
	.scopes = "actions: write",
	.state_size = sizeof(struct healer_calls),
	.start = healer_calls_start,
	.cancel = healer_calls_cancel,
};

/* Runs the failed jobs of a run, and what depends on them, once more: one call for the whole run.
 */
#include "healers/healer_calls.h"

static const struct heal_target targets[] = {
	{ "*", NULL, 0.7 },
	{ "rate_limit", NULL, 0.4 },
	{ "network_failure", "server_error", 0.5 },
	{ "network_failure", "service", 0.5 },
	{ "infrastructure_failure", "provider", 0.5 },
	{ "infrastructure_failure", "artifact", 0.2 },
	{ NULL, NULL, 0 },
};

const struct healer healer_rerun_failed_jobs = {
	.name = "rerun_failed_jobs",
	.summary = "Runs the failed jobs, and those that depend on them, once more.",
	.risk = RISK_RETRY,
	.targets = targets,
	.repeats = true,
	.because = "is usually gone on the next try",
	.calls = { HEALER_CALL(rerun_failed_jobs) },
	.did = "the failed jobs run again",
	.acts_on_provider = true,
	.awaits = true,
	.scopes = "actions: write",
	.state_size = sizeof(struct healer_calls),
	.start = healer_calls_start,
	.cancel = healer_calls_cancel,
};

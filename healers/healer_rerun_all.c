/* Runs all jobs of a run again, where the failed ones need what earlier ones made anew. */
#include "healers/healer_calls.h"

static const struct heal_target targets[] = {
	{ "infrastructure_failure", "artifact", 0.8 },
	{ NULL, NULL, 0 },
};

const struct healer healer_rerun_all = {
	.name = "rerun_all",
	.summary = "Runs all jobs once more, also those that passed.",
	.risk = RISK_RETRY,
	.targets = targets,
	.repeats = true,
	.repeats_all = true,
	.because = "needs what earlier jobs make",
	.calls = { HEALER_CALL(rerun_all) },
	.did = "all jobs run again",
	.acts_on_provider = true,
	.awaits = true,
	.scopes = "actions: write",
	.state_size = sizeof(struct healer_calls),
	.start = healer_calls_start,
	.cancel = healer_calls_cancel,
};

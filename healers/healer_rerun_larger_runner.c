/* Memory, disk or time were short: the same again where there is more of them. */
#include "healers/healer_afresh.h"

static const struct heal_target targets[] = {
	{ "resource_exhaustion", "oom", 0.6 },
	{ "resource_exhaustion", "disk_full", 0.6 },
	{ "timeout", NULL, 0.4 },
	{ NULL, NULL, 0 },
};

const struct healer healer_rerun_larger_runner = {
	.name = "rerun_larger_runner",
	.summary = "Starts the same once more with the inputs that the policy has for a larger "
		   "runner.",
	.risk = RISK_RETRY,
	.targets = targets,
	.repeats_all = true,
	.because = "may pass on a larger runner",
	.afresh = HEALER_CALL(start_afresh),
	.wants_inputs = true,
	.did = "the same was started with the inputs of a larger runner",
	.acts_on_provider = true,
	.awaits = true,
	.scopes = "actions: write",
	.state_size = sizeof(struct healer_afresh),
	.start = healer_afresh_start,
	.cancel = healer_afresh_cancel,
};

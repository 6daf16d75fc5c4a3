/* A damaged cache fails every run that unpacks it, until somebody deletes it. */
#include "healers/healer_calls.h"

/* What does not have the checksum that a lock file names may be an attack: that is for a person. */
static const struct heal_target targets[] = {
	{ "cache_corruption", "archive", 0.75 },
	{ "cache_corruption", "build_cache", 0.7 },
	{ "cache_corruption", "tool_cache", 0.7 },
	{ NULL, NULL, 0 },
};

const struct healer healer_clear_cache_and_rerun = {
	.name = "clear_cache_and_rerun",
	.summary = "Deletes the caches that the run used, then runs the failed jobs once more.",
	.risk = RISK_RETRY,
	.targets = targets,
	.because = "is gone when the cache is made anew",
	.calls = { HEALER_CALL(clear_caches), HEALER_CALL(rerun_failed_jobs) },
	.did = "the caches are deleted, and the failed jobs run again",
	.acts_on_provider = true,
	.awaits = true,
	.scopes = "actions: write",
	.state_size = sizeof(struct healer_calls),
	.start = healer_calls_start,
	.cancel = healer_calls_cancel,
};

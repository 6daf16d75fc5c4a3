/* A run that does not end by itself: it is stopped, and when it is over, run again. */
#include "healers/healer_calls.h"

const struct healer healer_cancel_stuck_and_rerun = {
	.name = "cancel_stuck_and_rerun",
	.summary = "Stops a run that hangs, and runs what did not pass once more.",
	.risk = RISK_RETRY,
	.of_running = true,
	.because = "does not end",
	.calls = { HEALER_CALL(cancel_run), HEALER_CALL(rerun_failed_jobs) },
	.did = "it was stopped, and runs again",
	.acts_on_provider = true,
	.awaits = true,
	.scopes = "actions: write",
	.state_size = sizeof(struct healer_calls),
	.start = healer_calls_start,
	.cancel = healer_calls_cancel,
};

/* What failed on the branch that it is for too, and is mended there, is mended once it has that. */
#include "healers/healer_afresh.h"

static const struct heal_target targets[] = {
	{ "*", NULL, 0.7 },
	{ NULL, NULL, 0 },
};

const struct healer healer_update_branch = {
	.name = "update_branch",
	.summary = "Brings the branch of a pull or merge request up to date with the branch that "
		   "it is for.",
	.risk = RISK_CHANGE,
	.targets = targets,
	.of_proposals = true,
	.because = "was on the branch that this is for too, and is mended there",
	.afresh = HEALER_CALL(update_branch),
	.did = "the branch is brought up to date",
	.acts_on_provider = true,
	.awaits = true,
	.scopes = "contents: write, pull requests: write",
	.state_size = sizeof(struct healer_afresh),
	.start = healer_afresh_start,
	.cancel = healer_afresh_cancel,
};

#include "healers/healer.h"

#include <string.h>

#include "core/finding.h"
#include "healers/change_tool.h"
#include "healers/edit.h"
#include "healers/healer_afresh.h"
#include "healers/healer_calls.h"

const struct healer *const healers[] = {
	/* clang-format off */
	&healer_rerun_failed_jobs,
	&healer_retry_with_backoff,
	&healer_rerun_all,
	&healer_rerun_larger_runner,
	&healer_update_branch,
	&healer_clear_cache_and_rerun,
	&healer_refresh_credentials,
	&healer_cancel_stuck_and_rerun,
	&healer_bump_timeout,
	&healer_use_mirror,
	&healer_quarantine_test,
	&healer_fix_lint,
	&healer_refresh_lockfile,
	&healer_update_snapshots,
	&healer_revert_commit,
	&healer_repair_local_git,
	&healer_escalate,
	NULL,
	/* clang-format on */
};

const struct healer *healer_find(const char *name)
{
	for (size_t i = 0; healers[i]; i++)
		if (strcmp(healers[i]->name, name) == 0)
			return healers[i];
	return NULL;
}

const char *heal_risk_name(enum heal_risk risk)
{
	switch (risk) {
	case RISK_OBSERVE:
		return "observe";
	case RISK_RETRY:
		return "retry";
	case RISK_CHANGE:
		return "change";
	}
	return "?";
}

bool healer_proposes(const struct healer *h)
{
	return h->edit || h->in_tree;
}

bool healer_fits(const struct healer *h, const struct finding *f, const struct propose_rules *rules)
{
	if (h->edit)
		return h->edit->fits(&(struct edit_facts){ f, rules, "" });
	return !h->in_tree || !h->targets || change_tool_for(h->name, f);
}

bool healer_works_on(const struct healer *h, const struct provider_api *provider)
{
	if (healer_proposes(h) && !(provider && provider->open_proposal))
		return false;
	for (const size_t *call = h->calls; *call; call++)
		if (!provider || !healer_call(provider, *call))
			return false;
	return !h->afresh || (provider && healer_afresh_call(provider, h->afresh));
}

/* A named category beats "*", and a named subcategory beats both. */
static int closeness(const struct heal_target *t, const struct finding *f)
{
	if (t->subcategory && strcmp(t->subcategory, f->subcategory) != 0)
		return 0;
	if (strcmp(t->category, "*") == 0)
		return strcmp(f->category, "unknown") != 0;
	if (strcmp(t->category, f->category) != 0)
		return 0;
	return t->subcategory ? 3 : 2;
}

const struct heal_target *healer_target(const struct healer *h, const struct finding *f)
{
	const struct heal_target *best = NULL;

	for (const struct heal_target *t = h->targets; t && t->category; t++)
		if (closeness(t, f) > (best ? closeness(best, f) : 0))
			best = t;
	return best;
}

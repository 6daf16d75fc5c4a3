#include "healers/healer.h"

#include <string.h>

const struct healer *const healers[] = {
	&healer_rerun_failed_jobs,
	&healer_escalate,
	NULL,
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

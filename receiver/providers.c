#include <string.h>
#include <strings.h>

#include "core/ci_event.h"
#include "core/text.h"
#include "receiver/provider.h"

/* To add a provider: write provider_<name>.c, declare it in provider.h, list it here. */
static const struct provider *const providers[] = {
	&provider_github,
	&provider_gitlab,
	&provider_jenkins,
	&provider_generic,
};

const struct provider *provider_find(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		if (strlen(providers[i]->name) == n && memcmp(providers[i]->name, name, n) == 0)
			return providers[i];
	return NULL;
}

const struct provider *provider_at(size_t i)
{
	return i < ARRAY_LEN(providers) ? providers[i] : NULL;
}

const char *word_find(const struct word *rows, const char *theirs)
{
	for (; rows->theirs; rows++)
		if (strcasecmp(rows->theirs, theirs) == 0)
			return rows->ours;
	return NULL;
}

unsigned provider_unknown_values(const struct ci_event *ev)
{
	static const char *const known[] = { "success", "failure",         "cancelled",
					     "skipped", "neutral",         "timed_out",
					     "stale",   "action_required", "startup_failure" };

	if (ev->kind == CI_OTHER)
		return 0;
	if (ev->status != CI_COMPLETED)
		return ev->status == CI_STATUS_UNKNOWN;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(known[i], ev->conclusion) == 0)
			return 0;
	return 1;
}

void provider_default(char *dst, size_t cap, const char *src)
{
	if (!*dst)
		(void)text_copy(dst, cap, src, strlen(src));
}

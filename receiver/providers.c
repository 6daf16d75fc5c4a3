#include <string.h>

#include "receiver/provider.h"

/* To add a provider: write provider_<name>.c, declare it in provider.h, list it here. */
static const struct provider *const providers[] = {
	&provider_github,
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

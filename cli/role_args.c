#include "cli/role_args.h"

#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "core/mem.h"
#include "core/text.h"

static void take(struct role_args *a, char *arg)
{
	if (a->n == ROLE_ARGS_MAX - 1)
		abort();
	a->argv[a->n++] = arg;
}

void role_add(struct role_args *a, const char *arg)
{
	take(a, xstrdup(arg));
}

void role_set(struct role_args *a, const char *key, const char *value)
{
	role_add(a, "--set");
	take(a, xasprintf("%s=%s", key, value));
}

static const char hidden[] = "redis.url=";

const char *role_hidden_url(const struct cli *cli)
{
	const char *url = NULL;

	for (char **set = cli->sets; *set; set++)
		if (text_starts(*set, hidden))
			url = *set + strlen(hidden);
	return url;
}

void role_begin(struct role_args *a, const char *exe, const char *role, const struct cli *cli)
{
	role_add(a, exe);
	role_add(a, role);
	if (cli->config_file) {
		role_add(a, "--config");
		role_add(a, cli->config_file);
	}
	for (char **set = cli->sets; *set; set++) {
		if (text_starts(*set, hidden))
			continue;
		role_add(a, "--set");
		role_add(a, *set);
	}
}

void role_args_done(struct role_args *a)
{
	for (unsigned i = 0; i < a->n; i++)
		free(a->argv[i]);
	a->n = 0;
}

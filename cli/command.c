#include "cli/command.h"

#include <stdio.h>
#include <string.h>

/* One below the other: the list grows. */
/* clang-format off */
const struct command *const commands[] = {
	&cmd_start,
	&cmd_receiver,
	&cmd_dispatcher,
	&cmd_status,
	&cmd_monitor,
	&cmd_logs,
	&cmd_stats,
	&cmd_detect,
	&cmd_rules,
	&cmd_audit,
	&cmd_spool,
	&cmd_heal,
	&cmd_policy,
	&cmd_notify,
	&cmd_incident,
	&cmd_replay,
	&cmd_train,
	&cmd_git_watch,
	&cmd_git_repair,
	&cmd_git_hook,
	&cmd_change_tree,
	&cmd_config,
	&cmd_doctor,
	&cmd_simulate,
	&cmd_version,
	&cmd_help,
	NULL,
};
/* clang-format on */

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

enum { NAME_MAX_LEN = 16 };

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters have to be added, dropped, changed or swapped with their neighbour. */
static size_t distance(const char *a, const char *b)
{
	size_t d[NAME_MAX_LEN + 1][NAME_MAX_LEN + 1] = { { 0 } };
	size_t n = strlen(a), m = strlen(b);

	for (size_t i = 0; i <= n; i++) {
		for (size_t k = 0; k <= m; k++) {
			size_t *at = &d[i][k];

			if (i == 0 || k == 0) {
				*at = i + k;
				continue;
			}
			*at = least(least(d[i - 1][k], d[i][k - 1]) + 1,
				    d[i - 1][k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				*at = least(*at, d[i - 2][k - 2] + 1);
		}
	}
	return d[n][m];
}

const struct command *command_nearest(const char *name)
{
	const struct command *best = NULL;
	size_t len = strlen(name), best_at = 3;

	if (len < 2 || len > NAME_MAX_LEN)
		return NULL;
	for (const struct command *const *c = commands; *c; c++) {
		/* "conf" means config; two letters wrong of three mean nothing. */
		size_t at = strncmp((*c)->name, name, len) == 0 ? 0 : distance((*c)->name, name);

		if (at < best_at && at < len - 1) {
			best = *c;
			best_at = at;
		}
	}
	return best;
}

int command_unknown(const char *name)
{
	const struct command *near = command_nearest(name);

	fprintf(stderr, "pipeline-guard: there is no command \"%.40s\"", name);
	if (near)
		fprintf(stderr, "; did you mean \"%s\"?", near->name);
	fprintf(stderr, "\n\"pipeline-guard help\" lists them.\n");
	return CLI_USAGE;
}

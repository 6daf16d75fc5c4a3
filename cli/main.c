/* pipeline-guard: one executable, many subcommands. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

const struct command *const commands[] = {
	&cmd_start, &cmd_receiver, &cmd_dispatcher, &cmd_status,   &cmd_logs,    &cmd_detect,
	&cmd_heal,  &cmd_config,   &cmd_replay,     &cmd_simulate, &cmd_version, &cmd_help,
	NULL,
};

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

int main(int argc, char **argv)
{
	const struct command *cmd;
	const char *name = argc > 1 ? argv[1] : "help";

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	else if (strcmp(name, "--version") == 0)
		name = "version";
	cmd = command_find(name);
	if (!cmd) {
		fprintf(stderr,
			"pipeline-guard: there is no command \"%s\"; \"pipeline-guard help\" lists "
			"them\n",
			name);
		return CLI_USAGE;
	}
	return cmd->run(argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
}

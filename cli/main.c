/* pipeline-guard: one executable, many subcommands. */
#include <string.h>

#include "cli/command.h"
#include "healers/sandbox.h"

int main(int argc, char **argv)
{
	const struct command *cmd;
	const char *name = argc > 1 ? argv[1] : "help";

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	else if (strcmp(name, "--version") == 0)
		name = "version";
	else if (strcmp(name, SANDBOX_STAGE) == 0)
		return sandbox_stage_main(argc - 1, argv + 1);
	cmd = command_find(name);
	if (!cmd)
		return command_unknown(name);
	return cmd->run(argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
}

#include <stdio.h>
#include <string.h>

#include "cli/command.h"

static const char intro[] =
	"Pipeline Guard watches CI/CD pipelines, says why runs fail, and repairs what is safe.\n"
	"\n"
	"usage: pipeline-guard COMMAND [options]\n"
	"\n";

static const char *const titles[GROUPS] = {
	[GROUP_RUN] = "Run it",
	[GROUP_LOOK] = "See what goes on",
	[GROUP_ACT] = "Step in",
	[GROUP_OTHER] = "Set it up, try it out",
};

static const char outro[] =
	"\n"
	"\"pipeline-guard COMMAND --help\" explains one. Start with \"pipeline-guard start\".\n"
	"Exit status: 0 success, 1 the answer is no, 2 usage or configuration, 3 could not\n"
	"reach what it needs.\n";

static int run(int argc, char **argv)
{
	const struct command *cmd = argc > 1 ? command_find(argv[1]) : NULL;
	char help[] = "--help", *args[] = { argc > 1 ? argv[1] : NULL, help, NULL };

	if (cmd && cmd != &cmd_help)
		return cmd->run(2, args);
	if (argc > 1 && !cmd && argv[1][0] != '-')
		return command_unknown(argv[1]);
	(void)fputs(intro, stdout);
	for (size_t g = 0; g < GROUPS; g++) {
		printf("%s%s:\n", g ? "\n" : "", titles[g]);
		for (const struct command *const *c = commands; *c; c++)
			if ((*c)->group == g)
				printf("  %-12s %s\n", (*c)->name, (*c)->summary);
	}
	(void)fputs(outro, stdout);
	return CLI_OK;
}

const struct command cmd_help = {
	.name = "help",
	.group = GROUP_OTHER,
	.summary = "this list, or the help of one command",
	.usage = "usage: pipeline-guard help [COMMAND]\n",
	.run = run,
};

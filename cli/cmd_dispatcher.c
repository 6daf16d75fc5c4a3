#include "cli/command.h"
#include "dispatcher/dispatcher.h"

static const struct cli_option own[] = {
	{ .name = "observe",
	  .key = "mode",
	  .value = "observe",
	  .help = "report what would be done, and do nothing" },
	{ .name = "admin-listen",
	  .argument = "ADDRESS",
	  .key = "admin_listen",
	  .help = "address for page, API and metrics; \"none\" switches them off" },
	{ .name = NULL },
};

static int run(int argc, char **argv)
{
	struct cli cli;
	int status = cli_begin(&cmd_dispatcher, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = dispatcher_run(cli.conf);
	cli_end(&cli);
	return status;
}

const struct command cmd_dispatcher = {
	.name = "dispatcher",
	.group = GROUP_RUN,
	.summary = "diagnose and heal (one role; needs redis.url)",
	.usage = "usage: pipeline-guard dispatcher [options]\n\n"
		 "Reads events, finds the cause of failures and acts on it. Any number may run;\n"
		 "they share the work. Prints one line when it consumes.\n",
	.run = run,
};

#include "cli/command.h"
#include "receiver/receiver.h"

static const struct cli_option own[] = {
	{ .name = "listen",
	  .argument = "ADDRESS",
	  .key = "listen",
	  .help = "address for webhooks and probes; port 0 picks one" },
	{ .name = "admin-listen",
	  .argument = "ADDRESS",
	  .key = "admin_listen",
	  .help = "address for page, API and metrics; \"none\" switches them off" },
	{ .name = NULL },
};

static int run(int argc, char **argv)
{
	struct cli cli;
	int status = cli_begin(&cmd_receiver, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = receiver_run(cli.conf);
	cli_end(&cli);
	return status;
}

const struct command cmd_receiver = {
	.name = "receiver",
	.group = GROUP_RUN,
	.summary = "take webhooks in (one role; needs redis.url)",
	.usage =
		"usage: pipeline-guard receiver [options]\n\n"
		"Verifies webhooks, normalises them and writes them to the stream. Any number may\n"
		"run; they share nothing but Redis. Prints one line when it serves.\n",
	.run = run,
};

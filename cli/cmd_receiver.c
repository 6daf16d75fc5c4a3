#include <stdio.h>

#include "cli/command.h"
#include "cli/data_dir.h"
#include "cli/workers.h"
#include "core/conf.h"
#include "core/process.h"
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
	{ .name = "workers",
	  .argument = "N",
	  .key = "receiver.workers",
	  .help = "processes behind the one socket; default 1" },
	{ .name = NULL },
};

/* Beside the other things that are kept, unless it is said. */
static int choose_spool(struct conf *conf, struct err *err)
{
	char folder[DATA_PATH_MAX], setting[DATA_PATH_MAX + 32];

	if (conf_int(conf, "receiver.spool_max") == 0)
		return 0;
	if (data_dir_spool(conf, folder, err) < 0)
		return -1;
	(void)snprintf(setting, sizeof(setting), "receiver.spool_dir=%s", folder);
	return conf_set(conf, setting, err);
}

/* What systemd opened for us comes before what is configured. */
static int take_sockets(struct conf *conf, struct err *err)
{
	static const char *const keys[] = { "listen", "admin_listen" };
	unsigned n = process_listen_fds();

	for (unsigned i = 0; i < n && i < ARRAY_LEN(keys); i++) {
		char setting[64];

		(void)snprintf(setting, sizeof(setting), "%s=fd:%u", keys[i],
			       PROCESS_LISTEN_FD + i);
		if (conf_set(conf, setting, err) < 0)
			return -1;
	}
	return 0;
}

static int run(int argc, char **argv)
{
	struct cli cli;
	struct err err;
	int status = cli_begin(&cmd_receiver, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	if (choose_spool(cli.conf, &err) < 0 || take_sockets(cli.conf, &err) < 0)
		status = cli_fail(&cmd_receiver, &err);
	else if (conf_int(cli.conf, "receiver.workers") > 1)
		status = workers_run(&cli);
	else
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
		"run; they share nothing but Redis. Prints one line when it serves.\n"
		"SIGTERM answers what is under way and ends; SIGHUP reads secrets and certificate\n"
		"again (with --workers: replaces the workers by new ones, no connection is "
		"lost).\n",
	.run = run,
};

/* simulate: hands over to the CI simulator, which is no part of this executable. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/simulator.h"

static int run(int argc, char **argv)
{
	char path[4096];
	struct err err;

	UNUSED(argc);
	if (simulator_find(path, sizeof(path), &err) < 0)
		return cli_fail(&cmd_simulate, &err);
	/* Its options are its own: --help too. */
	argv[0] = path;
	(void)execv(path, argv);
	fprintf(stderr, "pipeline-guard simulate: cannot run %s: %s\n", path, strerror(errno));
	return CLI_UNREACHABLE;
}

const struct command cmd_simulate = {
	.name = "simulate",
	.group = GROUP_OTHER,
	.summary = "run the CI simulator, for demos and tests",
	.usage = "usage: pipeline-guard simulate [options of the simulator]\n",
	.run = run,
};

/* The CI simulator: a world whose failures have known causes, behind real HTTP. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "core/log.h"
#include "core/mem.h"
#include "tests/simulator/sim.h"

enum { EXIT_USAGE = 2 };

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	(void)event_base_loopbreak(arg);
}

static struct event *stop_on(struct event_base *base, int number)
{
	struct event *ev = evsignal_new(base, number, on_signal, base);

	if (!ev || event_add(ev, NULL) < 0)
		abort();
	return ev;
}

int main(int argc, char **argv)
{
	struct options opt;
	struct event_base *base;
	struct event *term, *interrupt;
	struct sim *sim;
	struct err err;

	log_init("simulator", LEVEL_INFO, true);
	if (options_parse(&opt, argc, argv, &err) < 0) {
		fprintf(stderr, "pipeline-guard-simulator: %s\n", err.msg);
		return EXIT_USAGE;
	}
	if (opt.help) {
		options_help();
		return EXIT_SUCCESS;
	}
	base = event_base_new();
	if (!base)
		abort();
	if (sim_new(base, &opt, &sim, &err) < 0) {
		fprintf(stderr, "pipeline-guard-simulator: %s\n", err.msg);
		event_base_free(base);
		return EXIT_USAGE;
	}
	term = stop_on(base, SIGTERM);
	interrupt = stop_on(base, SIGINT);
	printf("simulator ready %s\n", sim->url);
	(void)fflush(stdout);
	(void)event_base_dispatch(base);
	sim_free(sim);
	event_free(term);
	event_free(interrupt);
	event_base_free(base);
	return EXIT_SUCCESS;
}

/* What the simulator can be told on its command line. */
#ifndef GUARD_TESTS_OPTIONS_H
#define GUARD_TESTS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct options {
	const char *listen, *webhook_url, *secret_file, *token_file;
	const char *app_id, *app_key_file;
	const char *gitlab_webhook_url, *gitlab_secret_file, *gitlab_signing_file;
	const char *jenkins_webhook_url, *jenkins_secret_file, *jenkins_plugins;
	const char *providers;
	const char *events, *cause, *repositories, *renew_secret_file;
	int64_t seed, job_ms, count, rate_limit, write_limit, noise, latency_ms, keep;
	int64_t link_ms, app_token_ms, jenkins_retries, delay_ms;
	double jitter, pass_rate, transient_rate, heal_rate, flaky_rate, rate, duplicate, reorder;
	bool demo, ghosts, help, jenkins_freestyle;
};

int options_parse(struct options *, int argc, char **argv, struct err *) MUST_CHECK;
void options_help(void);

#endif

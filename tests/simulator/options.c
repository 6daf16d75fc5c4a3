#include "tests/simulator/options.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

enum kind { TEXT, WHOLE, SHARE, PER_SECOND, SWITCH, YES };

#define ROW(name, kind, member, low, high, arg, help)                              \
	{                                                                          \
		name, kind, offsetof(struct options, member), low, high, arg, help \
	}

static const struct row {
	const char *name;
	enum kind kind;
	size_t at;
	double low, high;
	const char *arg, *help;
} rows[] = {
	ROW("listen", TEXT, listen, 0, 0, "ADDRESS", "where to serve (127.0.0.1:0)"),
	ROW("webhook-url", TEXT, webhook_url, 0, 0, "URL", "where webhooks go; none without it"),
	ROW("secret-file", TEXT, secret_file, 0, 0, "FILE", "secret that webhooks are signed with"),
	ROW("token-file", TEXT, token_file, 0, 0, "FILE",
	    "token of the API; made up and written when missing"),
	ROW("gitlab-webhook-url", TEXT, gitlab_webhook_url, 0, 0, "URL",
	    "where GitLab's webhooks go"),
	ROW("gitlab-secret-file", TEXT, gitlab_secret_file, 0, 0, "FILE", "their X-Gitlab-Token"),
	ROW("gitlab-signing-file", TEXT, gitlab_signing_file, 0, 0, "FILE",
	    "their signing token, whsec_..."),
	ROW("jenkins-webhook-url", TEXT, jenkins_webhook_url, 0, 0, "URL",
	    "where Jenkins' notifications go"),
	ROW("jenkins-secret-file", TEXT, jenkins_secret_file, 0, 0, "FILE", "their password"),
	ROW("jenkins-retries", WHOLE, jenkins_retries, 0, 10, "N",
	    "copies that follow a notification without an answer (0)"),
	ROW("jenkins-plugins", TEXT, jenkins_plugins, 0, 0, "LIST",
	    "ways to run a build again: replay, naginator, rebuild (replay)"),
	ROW("jenkins-freestyle", YES, jenkins_freestyle, 0, 0, NULL,
	    "its jobs are no Pipelines, so there is no replay and there are no stages"),
	ROW("app-id", TEXT, app_id, 0, 0, "ID", "be asked by this GitHub App"),
	ROW("app-public-key-file", TEXT, app_key_file, 0, 0, "FILE", "the App's public key (PEM)"),
	ROW("app-token-ms", WHOLE, app_token_ms, 1, 3.6e6, "N",
	    "how long an installation token lives (3600000)"),
	ROW("events", TEXT, events, 0, 0, "LIST",
	    "subscribed events (workflow_run,workflow_job), or all"),
	ROW("seed", WHOLE, seed, 0, 9e15, "N", "the same seed makes the same world (1)"),
	ROW("job-ms", WHOLE, job_ms, 0, 3.6e6, "N", "how long a stage of jobs takes (1000)"),
	ROW("jitter", SHARE, jitter, 0, 1, "P", "how much that varies (0)"),
	ROW("pass-rate", SHARE, pass_rate, 0, 1, "P", "runs that pass at first (0)"),
	ROW("transient-rate", SHARE, transient_rate, 0, 1, "P",
	    "share of failures whose cause is transient (as they come; 0.6 in a demo)"),
	ROW("heal-rate", SHARE, heal_rate, 0, 1, "P",
	    "transient failures that pass when run again (1)"),
	ROW("flaky-rate", SHARE, flaky_rate, 0, 1, "P", "flaky ones that do (0.5)"),
	ROW("demo", YES, demo, 0, 0, NULL, "a lively mix of runs, for ever"),
	ROW("rate", PER_SECOND, rate, 0, 1000, "N", "make so many failing runs per second"),
	ROW("providers", TEXT, providers, 0, 0, "LIST",
	    "whose runs they are, in turn: github, gitlab, jenkins (github)"),
	ROW("count", WHOLE, count, 0, 1e9, "N", "stop making them after so many (0: never)"),
	ROW("cause", TEXT, cause, 0, 0, "NAME", "why they fail; by chance without it"),
	ROW("duplicate", SHARE, duplicate, 0, 1, "P", "webhooks sent twice (0)"),
	ROW("reorder", SHARE, reorder, 0, 1, "P", "webhooks sent late, out of order (0)"),
	ROW("delay-ms", WHOLE, delay_ms, 0, 60000, "N",
	    "how long every webhook is on its way at least (0); late ones up to half a second "
	    "more"),
	ROW("ghosts", SWITCH, ghosts, 0, 0, "on|off",
	    "after a re-run tell again of jobs that were not run again (on)"),
	ROW("rate-limit", WHOLE, rate_limit, 1, 1e9, "N", "requests per hour (1000000)"),
	ROW("write-limit", WHOLE, write_limit, 0, 1e9, "N",
	    "writes per minute, the secondary limit (0: none)"),
	ROW("noise", WHOLE, noise, 0, 200000, "N", "ordinary lines per log (40)"),
	ROW("latency-ms", WHOLE, latency_ms, 0, 60000, "N", "how long the API thinks (0)"),
	ROW("link-ms", WHOLE, link_ms, 1, 3.6e6, "N", "how long a link to a log works (60000)"),
	ROW("repositories", TEXT, repositories, 0, 0, "DIR",
	    "git repositories of all that runs, from their first run on; without it only of those "
	    "that are asked for, in a temporary folder"),
	ROW("renew-secret-file", TEXT, renew_secret_file, 0, 0, "FILE",
	    "key that requests to /_sim/renew are signed with, whsec_..."),
	ROW("keep", WHOLE, keep, 1, 20000, "N",
	    "runs to remember; the oldest is forgotten (20000; 1000 in a demo)"),
	ROW("help", YES, help, 0, 0, NULL, "this text"),
};

static int take_number(const struct row *r, void *member, const char *value, struct err *err)
{
	char *end;
	double x = strtod(value, &end);

	if (end == value || *end || !isfinite(x) || x < r->low || x > r->high ||
	    (r->kind == WHOLE && x != floor(x)))
		return err_set(err, ERR_CONFIG, "--%s wants a%s number from %g to %g", r->name,
			       r->kind == WHOLE ? " whole" : "", r->low, r->high);
	if (r->kind == WHOLE)
		*(int64_t *)member = (int64_t)x;
	else
		*(double *)member = x;
	return 0;
}

static int take_value(struct options *o, const struct row *r, const char *value, struct err *err)
{
	void *member = (char *)o + r->at;

	switch (r->kind) {
	case TEXT:
		*(const char **)member = value;
		return 0;
	case WHOLE:
	case SHARE:
	case PER_SECOND:
		return take_number(r, member, value, err);
	case SWITCH:
		if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
			return err_set(err, ERR_CONFIG, "--%s wants on or off", r->name);
		*(bool *)member = value[1] == 'n';
		return 0;
	case YES:
		break;
	}
	*(bool *)member = true;
	return 0;
}

static const struct row *find(const char *arg)
{
	size_t n = strcspn(arg, "=");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strlen(rows[i].name) == n && strncmp(rows[i].name, arg, n) == 0)
			return &rows[i];
	return NULL;
}

static void defaults(struct options *o, bool demo)
{
	*o = (struct options){
		.listen = "127.0.0.1:0",
		.events = "workflow_run,workflow_job",
		.jenkins_plugins = "replay",
		.providers = "github",
		.seed = 1,
		.job_ms = demo ? 1500 : 1000,
		.jitter = demo ? 0.4 : 0,
		.pass_rate = demo ? 0.6 : 0,
		.transient_rate = demo ? 0.6 : 0,
		.heal_rate = demo ? 0.9 : 1,
		.flaky_rate = 0.5,
		.ghosts = true,
		.rate_limit = demo ? 5000 : 1000000,
		.noise = demo ? 120 : 40,
		.link_ms = 60000,
		.app_token_ms = 3600 * 1000,
		.keep = demo ? 1000 : 20000,
	};
}

int options_parse(struct options *o, int argc, char **argv, struct err *err)
{
	bool demo = false;

	for (int i = 1; i < argc; i++)
		demo = demo || strcmp(argv[i], "--demo") == 0;
	defaults(o, demo);
	for (int i = 1; i < argc; i++) {
		const struct row *r = text_starts(argv[i], "--") ? find(argv[i] + 2) : NULL;
		const char *value = r ? strchr(argv[i], '=') : NULL;

		if (!r)
			return err_set(err, ERR_CONFIG, "what is \"%.60s\"? See --help", argv[i]);
		if (r->kind == YES && value)
			return err_set(err, ERR_CONFIG, "--%s takes no value", r->name);
		if (value)
			value++;
		else if (r->kind != YES && i + 1 < argc)
			value = argv[++i];
		if (r->kind != YES && !value)
			return err_set(err, ERR_CONFIG, "--%s wants %s", r->name, r->arg);
		if (take_value(o, r, value, err) < 0)
			return -1;
	}
	if (!o->app_id != !o->app_key_file)
		return err_set(err, ERR_CONFIG,
			       "--app-id and --app-public-key-file belong together");
	return 0;
}

void options_help(void)
{
	printf("usage: pipeline-guard-simulator [options]\n\n"
	       "A CI server on loopback whose runs fail for known causes. It prints its address,\n"
	       "sends signed webhooks, answers GitHub's API, and keeps the truth at /_sim.\n\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char left[48];

		(void)snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].arg ? " " : "",
			       rows[i].arg ? rows[i].arg : "");
		printf("  %-28s %s\n", left, rows[i].help);
	}
}

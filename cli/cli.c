/* What all subcommands share: options, configuration, errors. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "core/audit.h"
#include "core/conf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/settings.h"
#include "core/text.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/monitor.h"
#include "dispatcher/notify.h"
#include "healers/change.h"
#include "healers/provider_api.h"
#include "healers/security.h"
#include "receiver/receiver.h"
#include "receiver/source.h"

enum { OWN_MAX = 32, SETS_MAX = 64 };

/* Every table of options there is; `config` and the manual follow this order. */
static const struct conf_table *const tables[] = {
	&settings_conf,     &audit_conf,      &receiver_conf, &sources_conf,
	&provider_api_conf, &dispatcher_conf, &monitor_conf,  &notifications_conf,
	&notify_conf,       &security_conf,   &change_conf,
};

static const struct cli_option common[] = {
	{ .name = "config", .argument = "FILE", .help = "read this configuration file" },
	{ .name = "set", .argument = "KEY=VALUE", .help = "set one option; may be repeated" },
	{ .name = "json", .help = "print the result as JSON" },
	{ .name = "log-level",
	  .argument = "LEVEL",
	  .key = "log_level",
	  .help = "error, warn, info or debug" },
	{ .name = "log-format", .argument = "FORMAT", .key = "log_format", .help = "json or text" },
	{ .name = "help", .help = "print this" },
	{ .name = NULL },
};

static void print_options(const struct cli_option *o)
{
	char left[64];

	for (; o && o->name; o++) {
		(void)snprintf(left, sizeof(left), "--%s%s%s", o->name, o->argument ? " " : "",
			       o->argument ? o->argument : "");
		printf("  %-24s %s\n", left, o->help);
	}
}

void cli_print_usage(const struct command *cmd, const struct cli_option *own)
{
	printf("%s\n", cmd->usage);
	if (own && own->name) {
		printf("Options:\n");
		print_options(own);
		printf("\n");
	}
	printf("Common options:\n");
	print_options(common);
}

int cli_fail(const struct command *cmd, const struct err *err)
{
	fprintf(stderr, "pipeline-guard %s: %s\n", cmd->name, err->msg);
	switch (err->kind) {
	case ERR_CONFIG:
		return CLI_USAGE;
	case ERR_INPUT:
		return CLI_NO;
	case ERR_TRANSIENT:
	case ERR_BUG:
	case ERR_NONE:
		break;
	}
	return CLI_UNREACHABLE;
}

static int bad_usage(const struct command *cmd, const char *what, const char *problem)
{
	fprintf(stderr, "pipeline-guard %s: %s%s\nTry \"pipeline-guard help %s\".\n", cmd->name,
		what, problem, cmd->name);
	return CLI_USAGE;
}

/* Key options are remembered: they are applied after file and environment. */
static int take_option(const struct command *cmd, struct cli *cli, const struct cli_option *o,
		       const char *argument, size_t *n_sets)
{
	if (o->flag) {
		*o->flag = true;
	} else if (o->text) {
		*o->text = argument;
	} else if (o->number) {
		if (!text_to_i64(argument, o->number) || *o->number < 0)
			return bad_usage(cmd, argument, " is not a whole number");
	} else if (o->key || strcmp(o->name, "set") == 0) {
		if (*n_sets == SETS_MAX)
			return bad_usage(cmd, "too many settings", "");
		cli->sets[(*n_sets)++] =
			o->key ? xasprintf("%s=%s", o->key, o->value ? o->value : argument)
			       : xstrdup(argument);
	} else if (strcmp(o->name, "json") == 0) {
		cli->json = true;
	} else if (strcmp(o->name, "config") == 0) {
		cli->config_file = argument;
	}
	return -1;
}

static int parse(const struct command *cmd, const struct cli_option *own, int argc, char **argv,
		 struct cli *cli)
{
	const struct cli_option *rows[OWN_MAX + ARRAY_LEN(common)];
	struct option longs[OWN_MAX + ARRAY_LEN(common) + 1] = { { 0 } };
	size_t n = 0, n_sets = 0;
	int at, status;

	for (; own && own->name && n < OWN_MAX; own++)
		rows[n++] = own;
	for (const struct cli_option *o = common; o->name; o++)
		rows[n++] = o;
	for (size_t i = 0; i < n; i++)
		longs[i] = (struct option){ rows[i]->name,
					    rows[i]->argument ? required_argument : no_argument,
					    NULL, (int)i + 256 };
	optind = 1;
	opterr = 0;
	for (;;) {
		int c = getopt_long(argc, argv, ":", longs, &at);

		if (c == -1)
			break;
		if (c == ':')
			return bad_usage(cmd, argv[optind - 1], " needs a value");
		if (c < 256) {
			char letter[] = { '-', (char)optopt, '\0' };

			/* A long one has been stepped over; of letters, which one is wrong. */
			return bad_usage(cmd,
					 optopt > 0 && optopt < 256 ? letter : argv[optind - 1],
					 " is not an option");
		}
		if (strcmp(rows[c - 256]->name, "help") == 0)
			return CLI_OK;
		status = take_option(cmd, cli, rows[c - 256], optarg, &n_sets);
		if (status >= 0)
			return status;
	}
	cli->argc = argc - optind;
	cli->argv = argv + optind;
	return -1;
}

/* Other users can read argv; core/conf refuses what it knows to be secret. */
static bool shows_password(const char *assignment)
{
	return text_starts(assignment, "redis.url=redis") && strchr(assignment, '@');
}

static int load(struct cli *cli, struct err *err)
{
	const char *file = cli->config_file ? cli->config_file : getenv("PIPELINE_GUARD_CONFIG");

	if (file && *file && conf_load_file(cli->conf, file, err) < 0)
		return -1;
	if (conf_load_env(cli->conf, err) < 0)
		return -1;
	for (char **s = cli->sets; *s; s++) {
		if (shows_password(*s))
			return err_set(err, ERR_CONFIG,
				       "a password on the command line can be read by others: use "
				       "PIPELINE_GUARD_REDIS_URL or the configuration file");
		if (conf_set(cli->conf, *s, err) < 0)
			return -1;
	}
	return 0;
}

static int set_log_up(const struct command *cmd, const struct cli *cli, struct err *err)
{
	const char *format = conf_str(cli->conf, "log_format");
	enum log_level level;

	if (!log_level_from_text(conf_str(cli->conf, "log_level"), &level))
		return err_set(err, ERR_CONFIG,
			       "log_level: \"%s\" is none of error, warn, info, debug",
			       conf_str(cli->conf, "log_level"));
	if (strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
		return err_set(err, ERR_CONFIG, "log_format: \"%s\" is neither json nor text",
			       format);
	log_init(cmd->name, level, strcmp(format, "text") == 0);
	return 0;
}

int cli_begin(const struct command *cmd, const struct cli_option *own, int argc, char **argv,
	      struct cli *cli)
{
	struct err err;
	int status;

	*cli = (struct cli){ .sets = xcalloc(SETS_MAX + 1, sizeof(char *)) };
	status = parse(cmd, own, argc, argv, cli);
	if (status == CLI_OK)
		cli_print_usage(cmd, own);
	if (status >= 0) {
		cli_end(cli);
		return status;
	}
	cli->conf = conf_new(tables, ARRAY_LEN(tables));
	if (load(cli, &err) < 0 || set_log_up(cmd, cli, &err) < 0) {
		cli_end(cli);
		return cli_fail(cmd, &err);
	}
	return -1;
}

const char *cli_language(const char *asked)
{
	static const char *const names[] = { "LC_ALL", "LC_MESSAGES", "LANG" };

	for (size_t i = 0; !asked && i < ARRAY_LEN(names); i++) {
		asked = getenv(names[i]);
		if (asked && !*asked)
			asked = NULL;
	}
	return asked;
}

void cli_end(struct cli *cli)
{
	for (char **s = cli->sets; s && *s; s++)
		free(*s);
	free(cli->sets);
	conf_free(cli->conf);
	*cli = (struct cli){ 0 };
}

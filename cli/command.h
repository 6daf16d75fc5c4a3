/* Subcommands of pipeline-guard: one file each, one row in main.c. */
#ifndef GUARD_CLI_COMMAND_H
#define GUARD_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct conf;

/* Exit status of every subcommand (docs/cli.md). */
enum cli_exit { CLI_OK = 0, CLI_NO = 1, CLI_USAGE = 2, CLI_UNREACHABLE = 3 };

/* Headings of `help`; what is in none of them is for other commands to run. */
enum command_group { GROUP_RUN, GROUP_LOOK, GROUP_ACT, GROUP_OTHER, GROUPS, GROUP_NONE = GROUPS };

struct command {
	const char *name;
	enum command_group group;
	const char *summary; /* for the list in `help` */
	const char *usage;   /* whole text of `help NAME`; options of cli_options are added */
	/* argv[0] is the name of the command. */
	int (*run)(int argc, char **argv);
};

extern const struct command cmd_audit;
extern const struct command cmd_change_tree;
extern const struct command cmd_config;
extern const struct command cmd_detect;
extern const struct command cmd_doctor;
extern const struct command cmd_dispatcher;
extern const struct command cmd_git_hook;
extern const struct command cmd_git_repair;
extern const struct command cmd_git_watch;
extern const struct command cmd_heal;
extern const struct command cmd_help;
extern const struct command cmd_incident;
extern const struct command cmd_logs;
extern const struct command cmd_monitor;
extern const struct command cmd_notify;
extern const struct command cmd_policy;
extern const struct command cmd_receiver;
extern const struct command cmd_replay;
extern const struct command cmd_rules;
extern const struct command cmd_simulate;
extern const struct command cmd_spool;
extern const struct command cmd_start;
extern const struct command cmd_stats;
extern const struct command cmd_status;
extern const struct command cmd_train;
extern const struct command cmd_version;

/* What dispatcher/decide.c says of a run that deploys or publishes: `heal` asks for --force then.
 */
extern const char heal_deploy_words[];

/* All commands in the order of `help`, NULL-terminated. */
extern const struct command *const commands[];
const struct command *command_find(const char *name);
/* The one that was probably meant; NULL when nothing is near. */
const struct command *command_nearest(const char *name);
/* Says that there is no such command, and which is near. Returns CLI_USAGE. */
int command_unknown(const char *name);

/*
 * What an option does: fills a flag, a text or a number of the command, or
 * sets a configuration key (to `value` when the option has no argument).
 */
struct cli_option {
	const char *name;     /* "listen" for --listen */
	const char *argument; /* "ADDRESS"; NULL: none */
	const char *help;
	bool *flag;
	const char **text;
	int64_t *number;
	const char *key, *value;
};

struct cli {
	struct conf *conf; /* file, environment and options applied */
	bool json;
	bool verbose;
	const char *config_file; /* NULL: none was given */
	char **sets;             /* the --set assignments, for children; NULL-terminated */
	int argc;                /* what is left after the options */
	char **argv;
};

/*
 * Parses the common options and `own` (ends with a NULL name), loads the
 * configuration and sets the log up. Returns -1 to go on, else the exit
 * status (--help, or an error that was printed).
 */
int cli_begin(const struct command *, const struct cli_option *own, int argc, char **argv,
	      struct cli *cli) MUST_CHECK;
void cli_end(struct cli *);

/* Prints "pipeline-guard NAME: message" and returns the exit status that fits the kind. */
int cli_fail(const struct command *, const struct err *);

/* The language asked for, else that of the environment; NULL: none is set. */
const char *cli_language(const char *asked);

/* Help of one command, options included. */
void cli_print_usage(const struct command *, const struct cli_option *own);

#endif

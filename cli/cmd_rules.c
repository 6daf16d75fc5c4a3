/* rules: what the diagnosis rules are, whether they are well, and how good they are. */
#include <stdio.h>
#include <string.h>

#include "cli/rules.h"
#include "dispatcher/detector.h"
#include "dispatcher/rule_cache.h"

enum { LIMIT_DEFAULT = 20 };

static const struct subcommand {
	const char *name;
	const char *subject; /* NULL: none */
	bool needed;
	rules_fn *run;
} subcommands[] = {
	/* clang-format off */
	{ "list", NULL, false, rules_list },
	{ "show", "ID", true, rules_show },
	{ "test", "DIR", false, rules_test },
	{ "lint", "DIR", false, rules_lint },
	{ "causes", NULL, false, rules_causes },
	{ "backtest", "LOGS", true, rules_backtest },
	{ "coverage", "LOGS", true, rules_coverage },
	{ "next", "LOGS", false, rules_next },
	{ "confirm", "RUN", true, rules_confirm },
	{ "reject", "RUN", true, rules_reject },
	/* clang-format on */
};

static const char usage[] =
	"usage: pipeline-guard rules SUBCOMMAND [options]\n"
	"\n"
	"The rules that say why a build failed: what they are, whether they are well, how good\n"
	"they are. docs/rules.md says how to write one.\n"
	"\n"
	"  list             every rule: what it says, and how sure\n"
	"  show ID          one rule with all that belongs to it\n"
	"  test [DIR]       load a folder of rules and name every fault in it, with file and line\n"
	"  lint [DIR]       what is weak: slow, duplicate, overlapping or shadowed rules, missing\n"
	"                   texts. --all shows the notes too\n"
	"  causes           what is said of each cause when its rule says nothing itself\n"
	"  backtest LOGS    how often each rule is right on saved logs with labels\n"
	"  coverage LOGS    which rules fire and decide, and how much stays unknown\n"
	"  next [LOGS]      what to write rules for: failures that recur and have no name;\n"
	"                   without LOGS those that the guard saw\n"
	"  confirm RUN      the cause that was named for this run is right\n"
	"  reject RUN       it is wrong; a rule that keeps being wrong is trusted less\n"
	"\n"
	"LOGS is a folder or a table. In a folder, the folders on the way to a log say what it "
	"is:\n"
	"`green` or `passed`, `red` or `failed`, or a category such as network_failure (also "
	"within\n"
	"red). A table is a CSV file with the columns path and category. A log that is only known\n"
	"to be red counts as right whenever a rule names a cause.\n"
	"\n"
	"Exit status: 0 done; 1 a fault or problem was found, or a rule is below --min-precision;\n"
	"2 wrong usage or rules that do not load; 3 a log could not be read, or no guard was "
	"reached.\n";

int rules_detector(const struct rules_request *r, struct detector **out, struct err *err)
{
	char cache[RULE_CACHE_PATH_MAX];

	return detector_new(r->dir, rule_cache_folder(NULL, cache) ? cache : NULL, out, err);
}

static const struct subcommand *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
		if (strcmp(subcommands[i].name, name) == 0)
			return &subcommands[i];
	return NULL;
}

static int dispatch(const struct cli *cli, struct rules_request *r, struct err *err)
{
	const struct subcommand *sub;

	if (cli->argc == 0)
		return err_set(err, ERR_CONFIG,
			       "which subcommand? \"pipeline-guard help rules\" lists them");
	sub = find(cli->argv[0]);
	if (!sub)
		return err_set(err, ERR_CONFIG,
			       "there is no subcommand \"%.40s\": \"pipeline-guard help rules\" "
			       "lists them",
			       cli->argv[0]);
	if (cli->argc > (sub->subject ? 2 : 1))
		return err_set(err, ERR_CONFIG, "%s takes %s", sub->name,
			       sub->subject ? "one thing only" : "nothing more");
	if (sub->needed && cli->argc < 2)
		return err_set(err, ERR_CONFIG, "%s needs %s", sub->name, sub->subject);
	r->subject = cli->argc > 1 ? cli->argv[1] : NULL;
	if (!r->dir)
		r->dir = detector_rules_dir();
	return sub->run(r, err);
}

static int run(int argc, char **argv)
{
	struct cli cli;
	struct rules_request r = { .cli = &cli, .limit = LIMIT_DEFAULT, .min_precision = -1 };
	const struct cli_option own[] = {
		{ .name = "rules",
		  .argument = "DIR",
		  .text = &r.dir,
		  .help = "rules other than the built-in ones" },
		{ .name = "all", .flag = &r.all, .help = "lint: notes too; backtest: every rule" },
		{ .name = "limit",
		  .argument = "N",
		  .number = &r.limit,
		  .help = "so many rows at most (20)" },
		{ .name = "min-precision",
		  .argument = "PERCENT",
		  .number = &r.min_precision,
		  .help = "backtest: exit 1 when a rule is surely less often right" },
		{ .name = "lang",
		  .argument = "LANGUAGE",
		  .text = &r.lang,
		  .help = "causes: en or de; default that of LANG" },
		{ .name = "markdown", .flag = &r.markdown, .help = "causes: print docs/causes.md" },
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "where `start` keeps its data" },
		{ .name = NULL },
	};
	struct err err = { .kind = ERR_NONE };
	int status = cli_begin(&cmd_rules, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = dispatch(&cli, &r, &err);
	if (status < 0)
		status = cli_fail(&cmd_rules, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_rules = {
	.name = "rules",
	.group = GROUP_LOOK,
	.summary = "the diagnosis rules: list, test, lint, and how good they are",
	.usage = usage,
	.run = run,
};

/* The subcommands of `rules`, each in one file with its like. */
#ifndef GUARD_CLI_RULES_H
#define GUARD_CLI_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/command.h"

struct detector;
struct rule_set;

struct rules_request {
	const struct cli *cli;
	const char *subject; /* what follows the subcommand; NULL: nothing */
	const char *dir;     /* of the rules */
	int64_t limit;
	int64_t min_precision; /* per cent; -1: none is asked for */
	bool all, markdown;
	const char *lang; /* NULL: none was asked for */
};

/* Exit status, or -1 with err. */
typedef int rules_fn(const struct rules_request *, struct err *);

rules_fn rules_list, rules_show, rules_test, rules_lint, rules_causes;
rules_fn rules_backtest, rules_coverage, rules_next;
rules_fn rules_confirm, rules_reject;

/* What practice says of the rules; NULL where no guard can be asked, which is no error. */
struct trust_book;
struct trust_book *rules_practice(const struct rules_request *);
/* `next` without logs: what the guard saw. */
rules_fn rules_next_seen;

/* The rules that load, with their places; a fault in one of them is an error. */
int rules_read(const struct rules_request *, struct rule_set **out, struct err *) MUST_CHECK;
int rules_detector(const struct rules_request *, struct detector **out, struct err *) MUST_CHECK;

#endif

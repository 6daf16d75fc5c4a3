/*
 * The security auditor: what a command is worth in points, before it is run (docs/sandbox.md). It
 * decides whether to run it at all; healers/sandbox.h sees to it that a wrong decision costs
 * little.
 */
#ifndef GUARD_HEALERS_SECURITY_H
#define GUARD_HEALERS_SECURITY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct conf;
struct conf_table;

/* security.threshold, security.commands */
extern const struct conf_table security_conf;

/* Borrowed. Nothing here is ever given to a shell. */
struct security_command {
	const char *const *argv; /* argv[0] is the name of a program, without a folder */
	const char *cwd;         /* absolute: all that it may work on */
	bool network;            /* the strategy declares that it needs it */
};

enum { SECURITY_REASONS_MAX = 6, SECURITY_SCORE_MAX = 100 };
struct security_reason {
	const char *check; /* stable: "path_escape" */
	unsigned weight;   /* taken off the score */
	char detail[120];
};

struct security_verdict {
	bool allowed;           /* the score is not below the threshold */
	unsigned score;         /* 0..100 */
	char program[PATH_MAX]; /* where it was found; "" when it was not */
	char cwd[PATH_MAX];     /* without symbolic links; "" when it is no folder */
	unsigned n_reasons;     /* the first SECURITY_REASONS_MAX are kept, all count */
	struct security_reason reasons[SECURITY_REASONS_MAX];
};

/* Looks at the files that arguments name, so it may block for as long as that takes. */
void security_check(const struct conf *, const struct security_command *,
		    struct security_verdict *out);
/* "path_escape: ../x (-60), ..." or "nothing to object to". */
void security_say(const struct security_verdict *, char *out, size_t cap);

/*
 * A URL that a stranger may have chosen: http or https without a user, a host that is not plainly
 * inside, a port as servers have them. What its name resolves to is seen only when connecting:
 * http_call_options.may_connect.
 */
int security_check_url(const char *url, struct err *) MUST_CHECK;

#endif

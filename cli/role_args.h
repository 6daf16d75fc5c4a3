/* The command line of a child that runs one role: what was said to us, then what only we know. */
#ifndef GUARD_CLI_ROLE_ARGS_H
#define GUARD_CLI_ROLE_ARGS_H

#include "core/base.h"

struct cli;

enum { ROLE_ARGS_MAX = 96 };

/* Zeroed before its first use; strings are owned. More than fit is a bug and aborts. */
struct role_args {
	char *argv[ROLE_ARGS_MAX]; /* NULL-terminated */
	unsigned n;
};

/* `role`: the subcommand. redis.url is left out: it may hold a password, and argv is public. */
void role_begin(struct role_args *, const char *exe, const char *role, const struct cli *);
void role_add(struct role_args *, const char *arg);
void role_set(struct role_args *, const char *key, const char *value);
/* What role_begin() left out: redis.url as --set gave it last; NULL: not at all. Borrowed. */
const char *role_hidden_url(const struct cli *);
void role_args_done(struct role_args *);

#endif

/* Error value: what the caller should do about a failure, and what happened. */
#ifndef GUARD_CORE_ERR_H
#define GUARD_CORE_ERR_H

#include "core/base.h"

/*
 * What the caller should DO, not where the failure came from. The dispatcher
 * turns the kind into a fate for the work item:
 *
 *   ERR_TRANSIENT -> try again with backoff
 *   ERR_INPUT     -> settle it: dead letter, or a finding that says so
 *   ERR_CONFIG    -> refuse to start (or to reload)
 *   ERR_BUG       -> log, count, dead-letter; somebody must look
 */
enum err_kind {
	ERR_NONE = 0,
	ERR_TRANSIENT,
	ERR_INPUT,
	ERR_CONFIG,
	ERR_BUG,
};

/* Lives on the caller's stack; reporting an error never allocates. */
struct err {
	enum err_kind kind;
	char msg[240];
};

/*
 * Both have the value -1, so that `return err_set(...)` is a whole error path.
 * They are macros to let compilers and analyzers see that -1 at every call.
 */
#define err_set(err, kind, ...) (err_format((err), (kind), __VA_ARGS__), -1)
#define err_wrap(err, ...)      (err_prefix((err), __VA_ARGS__), -1)

void err_format(struct err *, enum err_kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " in front of the message; keeps the kind. */
void err_prefix(struct err *, const char *fmt, ...) PRINTF_LIKE(2, 3);

const char *err_kind_name(enum err_kind);

#endif

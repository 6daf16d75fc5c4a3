/*
 * Runs a program of ours beside the event loop: fork and exec, its output collected, ended at its
 * deadline with everything it started. For what blocks.
 */
#ifndef GUARD_CORE_CHILD_H
#define GUARD_CORE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct child;
struct event_base;

struct child_end {
	const char *out; /* what it wrote, terminated; borrowed during the callback */
	size_t n;
	int status; /* of exit, or 256 + the signal that ended it */
	bool late;  /* ended by us, at its deadline */
	bool over;  /* ended by us, because it wrote more than it may */
};
typedef void child_fn(const struct child_end *, void *arg);

/*
 * argv[0] is the path; NULL ends the list. Standard input is empty, standard error is ours, and
 * of the environment only what is no secret. fn is called once, from the loop.
 */
int child_start(struct event_base *, const char *const *argv, int64_t timeout_ms, size_t max_out,
		child_fn *, void *arg, struct child **out, struct err *) MUST_CHECK;
/* The same with a descriptor of the caller's, who closes it, as its standard input. */
int child_start_on(struct event_base *, const char *const *argv, int in_fd, int64_t timeout_ms,
		   size_t max_out, child_fn *, void *arg, struct child **out,
		   struct err *) MUST_CHECK;
/* The same with something on its standard input: for what must be in no argv, as a password. */
int child_start_fed(struct event_base *, const char *const *argv, const void *input, size_t n,
		    int64_t timeout_ms, size_t max_out, child_fn *, void *arg, struct child **out,
		    struct err *) MUST_CHECK;
/* Ends it now; fn is not called any more. NULL is fine. */
void child_cancel(struct child *);

/* The path of this executable. */
int child_self(char *out, size_t cap, struct err *) MUST_CHECK;

#endif

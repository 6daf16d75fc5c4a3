/*
 * What is wrong with a local git repository: only looks, changes nothing. Blocks, and reads what a
 * crash may have left behind, so it runs in a process of its own (docs/adr/0015).
 */
#ifndef GUARD_DISPATCHER_GIT_LOOK_H
#define GUARD_DISPATCHER_GIT_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base.h"

struct git_look_options {
	int64_t now_ms, settle_ms; /* what is younger may still be somebody's work in hand */
	bool quick;                /* leave objects alone */
};

struct git_facts {
	char branch[120]; /* "" when HEAD is detached or unborn */
	char sha[41];     /* of HEAD, "" when there is none */
	bool bare;
};

/* Borrowed during the call. */
struct git_found {
	const char *problem; /* "stale_lock", ...; the list is in dispatcher/git_finding.c */
	const char *subject; /* which of them: file, branch, object; "" when there is only one */
	const char *detail;  /* for people */
};
typedef void git_found_fn(const struct git_found *, void *arg);

/* Calls the function for each problem. A path that is no repository is one, too. */
void git_look(const char *path, const struct git_look_options *, struct git_facts *, git_found_fn *,
	      void *arg);

#endif

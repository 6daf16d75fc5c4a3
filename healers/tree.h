/*
 * Makes a change in a scratch copy of a repository and pushes it as a new branch: by a program in
 * the sandbox, or by taking a commit back. Blocks for as long as that takes, so it is for a
 * process of its own: `pipeline-guard change-tree` (healers/change_tree.h starts it).
 *
 * Of the repository nothing is trusted: no hooks, no submodules, no filters, no settings; the
 * program sees the files and not the git folder.
 */
#ifndef GUARD_HEALERS_TREE_H
#define GUARD_HEALERS_TREE_H

#include <stdbool.h>
#include <stdint.h>

struct change_tool;
struct conf;
struct security_verdict;

struct tree_request {
	const char *url;             /* http, https, or the path of a repository on this machine */
	const char *user, *password; /* NULL: none is needed */
	const char *branch, *sha;    /* of the run: the branch has to be there still */
	const char *new_branch;      /* change_is_our_branch() */
	const char *message;         /* of the commit, sign-off and all */
	const struct change_tool *tool; /* NULL: `sha` is taken back */
	unsigned max_files, max_lines;  /* 0: as configured; the smaller one counts */
	bool ci_files, fewer_tests;     /* allowed, also where the configuration does not */
	int64_t deadline_ms;            /* on the clock of clock_mono_ms(): no program runs on */
};

enum tree_result {
	TREE_PUSHED,
	TREE_EXISTS,    /* that branch is there already: an earlier try got so far */
	TREE_NOTHING,   /* the program had nothing to change, or is not for this repository */
	TREE_STALE,     /* the branch is somewhere else by now */
	TREE_TOO_LARGE, /* the repository is over change.max_repository */
	TREE_REFUSED,   /* change_check() says no, or the commit cannot be taken back */
	TREE_BLOCKED,   /* the auditor says no, or the program is not installed */
	TREE_NO_SANDBOX,
	TREE_TOOL_FAILED,
	TREE_DENIED,      /* the server does not let us */
	TREE_UNREACHABLE, /* ... or does not answer: trying later may help */
	TREE_BROKEN,      /* the repository, or this machine */
};
/* "pushed", "too_large", ... */
const char *tree_result_name(enum tree_result);

struct tree_end {
	enum tree_result result;
	char commit[41]; /* of TREE_PUSHED and TREE_EXISTS */
	unsigned n_files, n_lines;
	char detail[300]; /* for people; masked */
	/* What programs asked of the network and did not get; masked, "" nothing. */
	char refused[400];
};

/* For the audit: each command before it is run, or is not. */
typedef void tree_command_fn(const char *command, const struct security_verdict *, void *arg);

/* Removes what a killed one left behind in change.folder, of this user alone. Blocks, too. */
void tree_sweep(const struct conf *);

void tree_change(const struct conf *, const struct tree_request *, tree_command_fn *, void *arg,
		 struct tree_end *out);

#endif

/*
 * A change that we propose to a repository: files as they are and as they shall be. Whoever made
 * it - a table of edits, a formatter in its sandbox, a revert - it passes here before anybody sees
 * it.
 */
#ifndef GUARD_HEALERS_CHANGE_H
#define GUARD_HEALERS_CHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct conf;
struct conf_table;

/* change.max_files, change.author_name, ... */
extern const struct conf_table change_conf;

struct change_file {
	const char *path; /* from the root of the repository, with slashes */
	bool deleted, executable;
	const char *before, *after; /* NULL: the file is new, or deleted; need not be terminated */
	size_t n_before, n_after;
};

struct change {
	struct change_file *files;
	unsigned n;
};

/* What a strategy may do at most; the configuration may allow less. */
struct change_limits {
	/*
	 * Patterns of fnmatch() in which `*` matches slashes, too; NULL ends the list, and no list
	 * means any path. One without a slash is for the last part of a path: "*.py".
	 */
	const char *const *paths;
	unsigned max_files, max_lines; /* 0: as configured */
	bool ci_files, fewer_tests;    /* allowed, also where the configuration does not */
};

enum {
	CHANGE_PATH_MAX = 1024,
	CHANGE_BYTES_MAX = 8 << 20, /* of all the files as they shall be */
};

/*
 * Whether it may be proposed at all: within its limits of files and of lines that differ; only
 * text, only regular files with names that are the same on every system, none inside `.git`;
 * nothing outside the strategy's paths; none of the files that decide what a CI server runs, where
 * submodules come from, what filters git runs and who has to review; no test deleted, skipped or
 * taken out; no secret in what is new. ERR_INPUT says which file and why, and never quotes
 * content.
 */
int change_check(const struct conf *, const struct change_limits *, const struct change *,
		 struct err *) MUST_CHECK;

/*
 * Whether it is a path that a repository can have and that means the same to every system: parts
 * that are neither empty nor "." nor "..", nothing that reads as ".git", valid UTF-8 without
 * characters that are not seen, no backslash, no colon.
 */
bool change_path_ok(const char *path);
/* Whether the limits let the strategy change it. */
bool change_path_in(const struct change_limits *, const char *path);
/* Whether it is one of the files that decide what a CI server runs. */
bool change_is_ci_file(const char *path);

/*
 * How many lines have to be deleted or inserted to get from one to the other, as diff counts; more
 * than max gives max + 1.
 */
unsigned change_lines(const char *before, size_t n_before, const char *after, size_t n_after,
		      unsigned max);

enum { CHANGE_BRANCH_MAX = 144 };
/*
 * "pipeline-guard/<strategy>-<fingerprint>": the same change has the same branch, so that there is
 * one. Strategy: a healer's name; fingerprint: a finding's.
 */
int change_branch(const char *strategy, const char *fingerprint, char out[static CHANGE_BRANCH_MAX],
		  struct err *) MUST_CHECK;
bool change_is_our_branch(const char *branch);

#endif

/* Between the files of healers/tree*.c. */
#ifndef GUARD_HEALERS_TREE_WORK_H
#define GUARD_HEALERS_TREE_WORK_H

#include <limits.h>
#include <sys/stat.h>

#include <git2.h>

#include "core/base.h"
#include "healers/change.h"
#include "healers/tree.h"

/* A regular file of the commit, as it was written to the scratch copy. */
struct tree_file {
	const char *path;
	git_oid id;
	bool executable;
	struct stat st;
};

struct tree {
	const struct conf *conf;
	const struct tree_request *req;
	tree_command_fn *fn;
	void *arg;
	struct tree_end *end;
	struct arena *arena;

	char scratch[PATH_MAX], work[PATH_MAX]; /* work: below scratch, what a program sees */
	int lock, work_fd;                      /* of scratch, of work; -1 */

	git_repository *repo; /* bare; also below scratch */
	git_odb *odb;
	git_oid head;
	git_commit *commit; /* head */
	git_tree *tree;     /* its files */
	int64_t bytes;      /* taken by them */
	size_t n_entries;   /* with folders, links and submodules */
	struct tree_file *files;
	size_t n_files, cap_files;

	struct change change;
	unsigned cap_change;
	size_t held; /* bytes of what differs, before and after */
};

/* Ends it: -1, so that `return tree_stop(...)` is a whole path. */
int tree_stop(struct tree *, enum tree_result, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* ... because libgit2 failed at `doing`. */
int tree_git_stop(struct tree *, enum tree_result, const char *doing);

/* tree_scratch.c: a folder that is removed at the end, also that of one who was killed. */
int tree_scratch_open(struct tree *) MUST_CHECK;
void tree_scratch_close(struct tree *);

/* tree_remote.c */
int tree_fetch(struct tree *) MUST_CHECK;
int tree_push(struct tree *, const git_oid *commit) MUST_CHECK;

/* tree_files.c */
int tree_checkout(struct tree *) MUST_CHECK;
int tree_collect(struct tree *) MUST_CHECK; /* what the program did */
int tree_revert(struct tree *) MUST_CHECK;
int tree_commit(struct tree *, git_oid *out) MUST_CHECK;

/* tree_tool.c */
int tree_run_tool(struct tree *) MUST_CHECK;

#endif

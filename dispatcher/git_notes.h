/* Notes that the wrapper of git hooks leaves (conf/hooks/git-hook.sh): how each run of one ended.
 */
#ifndef GUARD_DISPATCHER_GIT_NOTES_H
#define GUARD_DISPATCHER_GIT_NOTES_H

#include <stdint.h>

#include "core/err.h"

/* hook "": the file is no note, and whoever looks after them should remove it. */
struct git_note {
	const char *hook, *sha, *file; /* file: with its path */
	int64_t at_ms, status, seconds;
};
typedef void git_note_fn(const struct git_note *, void *arg);

/* The oldest ones first, at most 100; nothing is removed. */
void git_notes(const char *gitdir, git_note_fn *, void *arg);

/* Where the repository at `path` keeps its data, ending in a slash; its hooks' folder. */
int git_folder(const char *path, char *out, size_t cap, struct err *) MUST_CHECK;
int git_hooks_folder(const char *path, char *out, size_t cap, struct err *) MUST_CHECK;

#endif

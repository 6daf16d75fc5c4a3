/*
 * Puts objects that are lost or damaged back into a local git repository, from a remote of it that
 * is on this machine, and references from their own history. Blocks, as git_look() does.
 */
#ifndef GUARD_DISPATCHER_GIT_RESTORE_H
#define GUARD_DISPATCHER_GIT_RESTORE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct git_restored {
	size_t read;     /* objects that references need */
	size_t restored; /* of them */
	size_t lost;     /* that no remote has */
	char first[41];  /* of the lost ones */
	bool in_pack;    /* of the restored ones: it is damaged in a pack, which is still there */
	size_t sources;  /* remotes that could be asked */
};

/*
 * Reads all that any reference needs. A damaged file of an object is moved to
 * `pipeline-guard-damaged` in the git folder, never deleted.
 */
int git_restore_objects(const char *path, struct git_restored *out, struct err *) MUST_CHECK;

/*
 * Sets a branch or tag that cannot be read, or names what is not there, to where its log says it
 * was last, else to where its remote has it; `said` says which. That of a remote is removed: the
 * next fetch brings it.
 */
int git_restore_ref(const char *path, const char *ref, char *said, size_t cap,
		    struct err *) MUST_CHECK;

#endif

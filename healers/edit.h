/*
 * Changes to a repository that need no tool: what a finding says is looked up in a file, and a
 * few bytes of that are written anew. Pure: no I/O. An edit that is not sure of the place leaves
 * everything as it is.
 */
#ifndef GUARD_HEALERS_EDIT_H
#define GUARD_HEALERS_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "healers/change.h"

struct finding;
struct propose_rules;

/* What an edit goes by. Borrowed. */
struct edit_facts {
	const struct finding *finding;
	const struct propose_rules *rules;
	const char
		*ci_file; /* what the run was made by: ".github/workflows/ci.yml"; "": not known */
};

enum { EDIT_WHAT_MAX = 160 };
struct edit_file {
	const char *path;
	const char *text; /* terminated; NULL: there is no such file */
	size_t n;
};
struct edit_result {
	struct buf text;          /* the whole file as it shall be */
	char what[EDIT_WHAT_MAX]; /* "Raise `timeout` in pytest.ini from 30 to 60": a title */
};

struct edit {
	/* Whether it can be of use at all, before any file was read. */
	bool (*fits)(const struct edit_facts *);
	/* The i-th file worth looking into, "" for one to pass over; NULL after the last. */
	const char *(*file)(const struct edit_facts *, unsigned i,
			    char out[static CHANGE_PATH_MAX]);
	/* False: there is nothing to do in that one, or it is not clear where. */
	bool (*apply)(const struct edit_facts *, const struct edit_file *, struct edit_result *);
	/* Every file in which there is something to do; else the first one. */
	bool every_file;
	struct change_limits limits;
};

extern const struct edit edit_bump_timeout;
extern const struct edit edit_use_mirror;
extern const struct edit edit_quarantine_test;

#endif

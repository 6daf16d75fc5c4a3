/*
 * Programs that mend a repository: which one for what failed, how it is called, what it may
 * change. They run in a scratch copy, in the sandbox, when the auditor lets them (healers/tree.h).
 */
#ifndef GUARD_HEALERS_CHANGE_TOOL_H
#define GUARD_HEALERS_CHANGE_TOOL_H

#include <stdbool.h>
#include <stddef.h>

struct finding;

enum { CHANGE_TOOL_COMMANDS_MAX = 2 };

struct change_tool {
	const char *strategy, *name;
	const char *words; /* of findings that it is for, separated by "|" */
	/* One of these patterns has to fit something at the top of the repository. */
	const char *const *needs;
	struct change_command {
		const char *const *argv; /* NULL: no further command */
		/* These files are named at the end, a few dozen at a time; NULL: it finds them. */
		const char *const *files;
		bool network;
		int ok_until; /* exit statuses 0 to this are no failure */
		/* "NAME=VALUE", before what the repository's own settings say; NULL: none. */
		const char *const *env;
		bool or_next; /* the next command is for when this one fails, and only then */
	} commands[CHANGE_TOOL_COMMANDS_MAX];
	const char *const *paths; /* may be changed, as in change_limits; all else is put back */
	bool adds;                /* may create and delete those, too */
	bool home;                /* needs room for what it fetches */
	/* Patterns of whole paths: settings that bring code or name programs; NULL: none. */
	const char *const *not_with;
};

/* All of them; ends with a NULL name. */
extern const struct change_tool change_tools[];
/* By its name, or NULL. */
const struct change_tool *change_tool_find(const char *strategy, const char *name);
/* The one that the finding speaks of; NULL: none is known for it. */
const struct change_tool *change_tool_for(const char *strategy, const struct finding *);

#endif

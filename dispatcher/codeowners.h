/*
 * CODEOWNERS of GitHub and GitLab: who answers for a file. Pure; nothing is kept of the text
 * but what its arena holds.
 */
#ifndef GUARD_DISPATCHER_CODEOWNERS_H
#define GUARD_DISPATCHER_CODEOWNERS_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct codeowners;

enum {
	CODEOWNERS_BYTES_MAX = 256 << 10, /* what is behind that is not read */
	CODEOWNERS_RULES_MAX = 2000,
	CODEOWNERS_PATTERN_MAX = 256, /* a rule with a longer one is left out */
	CODEOWNERS_OWNER_MAX = 160,   /* bytes, terminator included */
};

/* Which of the two readings: sections, relative patterns and folders differ. */
enum codeowners_dialect { CODEOWNERS_GITHUB, CODEOWNERS_GITLAB };

struct codeowners *codeowners_parse(const char *text, size_t n, enum codeowners_dialect,
				    struct arena *);
/* "@acme/tax @joe" of a path without a leading slash; false, and "", when nobody is named. */
bool codeowners_of(const struct codeowners *, const char *path,
		   char out[static CODEOWNERS_OWNER_MAX]);

/* `pattern` without its leading slash, against the whole path: `*` and `?` stop at a slash. */
bool codeowners_glob(const char *pattern, const char *path);

#endif

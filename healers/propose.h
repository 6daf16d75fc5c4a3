/*
 * Heals that propose a change: a commit on a branch of ours, and a pull or merge request that says
 * why. Each row of propose_rows.c is a healer. What is there already is found again, so a try that
 * was interrupted is just begun anew (docs/changes.md).
 */
#ifndef GUARD_HEALERS_PROPOSE_H
#define GUARD_HEALERS_PROPOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct attempt;

/* What the policy says of them. Texts belong to the policy. */
struct propose_rules {
	int64_t max_files, max_lines; /* 0: as configured; the smaller one counts */
	bool ci_files, fewer_tests;   /* allowed, also where the configuration does not */
	bool draft;
	const char *const *labels;
	unsigned n_labels;
	const char *const *mirrors; /* "packages.example.org https://npm.example.org" */
	unsigned n_mirrors;
};

/* "HOST URL" apart; false: it is none. Whole URLs are http or https, without a slash at the end. */
enum { MIRROR_HOST_MAX = 256, MIRROR_URL_MAX = 256 };
bool propose_mirror(const char *text, char host[static MIRROR_HOST_MAX],
		    char url[static MIRROR_URL_MAX]);

int propose_start(struct attempt *, struct err *) MUST_CHECK;
void propose_cancel(struct attempt *);
enum { PROPOSE_STATE_BYTES = 8 << 10 }; /* of the healers' state_size */

#endif

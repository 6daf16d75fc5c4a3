/* What a provider itself says about why a job failed, as evidence beside the log. */
#ifndef GUARD_DISPATCHER_FAILURE_REASON_H
#define GUARD_DISPATCHER_FAILURE_REASON_H

#include <stdbool.h>

#include "core/base.h"

struct arena;
struct finding;

/*
 * Puts what the reason says in place of what was found in the log when it is the surer of the
 * two; the lines of evidence stay. Only for jobs that failed: GitLab has a reason for others,
 * too. Unknown reasons, and "", change nothing.
 */
void failure_reason_weigh(const char *reason, struct arena *, struct finding *);

#endif

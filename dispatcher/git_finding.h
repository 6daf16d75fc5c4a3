/* What a problem of a local git repository means, and what a person can do about it. */
#ifndef GUARD_DISPATCHER_GIT_FINDING_H
#define GUARD_DISPATCHER_GIT_FINDING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base.h"

struct arena;
struct ci_event;
struct finding;
struct run;

/* Words of git_look() and of hooks, as they are in the events' failure_reason. */
bool git_problem_known(const char *problem);

/* What monitor_git.c says about a problem, in the columns of an event. */
struct git_problem {
	const char *host, *path, *problem, *subject, *detail;
	const char *branch, *sha;
};
/* The event's identity and texts; its state, generation and delivery are the caller's. */
void git_event(const struct git_problem *, struct ci_event *out);

/* False: the run is none of git's. Texts live in the arena. */
bool git_finding(const struct run *, struct arena *, struct finding *out);

#endif

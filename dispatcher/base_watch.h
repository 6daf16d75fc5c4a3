/*
 * What failed on a branch, and whether it passes there since: then a proposal for that branch that
 * fails in the same way is only behind. In pg:{R:P}:base:<source>:<repository>:<branch>.
 */
#ifndef GUARD_DISPATCHER_BASE_WATCH_H
#define GUARD_DISPATCHER_BASE_WATCH_H

#include <stdbool.h>

struct ci_event;
struct engine;
struct finding;
struct run;
struct task;

/* The branch that the run's proposal is for: the default one where the provider does not say. */
const char *base_watch_base(const struct run *);
/* A run that passed; one of a proposal is ignored. */
void base_watch_passed(struct engine *, unsigned partition, const struct ci_event *);
/* A diagnosed run: unless it is of a proposal, it is remembered. */
void base_watch_failed(struct task *, const struct finding *);
/*
 * Whether the run of the task is of a proposal, and its failure was on the branch that this is for
 * too and is mended there. False also when that was tried for this branch already, or Redis did not
 * answer.
 */
void base_watch_ask(struct task *, const struct finding *,
		    void (*then)(struct task *, bool mended));
/* The branch was brought up to date because of the plan's failure. */
void base_watch_tried(struct task *);

#endif

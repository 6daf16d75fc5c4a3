/*
 * What failed on the default branch of a repository, and whether it passes there since: then a
 * proposal that fails in the same way is only behind. In pg:{R:P}:base:<source>:<repository>.
 */
#ifndef GUARD_DISPATCHER_BASE_WATCH_H
#define GUARD_DISPATCHER_BASE_WATCH_H

#include <stdbool.h>

struct ci_event;
struct engine;
struct finding;
struct task;

/* A run that passed; anything else than one of a default branch is ignored. */
void base_watch_passed(struct engine *, unsigned partition, const struct ci_event *);
/* A diagnosed run: of the default branch it is remembered. */
void base_watch_failed(struct task *, const struct finding *);
/*
 * Whether the run of the task is of a proposal, and its failure was on the default branch too and
 * is mended there. False also when that was tried for this branch already, or Redis did not answer.
 */
void base_watch_ask(struct task *, const struct finding *,
		    void (*then)(struct task *, bool mended));
/* The branch was brought up to date because of the plan's failure. */
void base_watch_tried(struct task *);

#endif

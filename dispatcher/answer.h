/*
 * A button of a check of ours was pressed. That it came from GitHub was verified when it was
 * received; who pressed it counts only if GitHub says that they may write to the repository.
 */
#ifndef GUARD_DISPATCHER_ANSWER_H
#define GUARD_DISPATCHER_ANSWER_H

struct answers;
struct ci_event;
struct engine;

/* Of an engine that outlives it. Freed after its providers, who may be asked. */
struct answers *answers_new(struct engine *);
void answers_free(struct answers *); /* NULL is fine */

/* Approves or rejects the plan, once; what is not for a plan of that repository is refused. */
void answer_take(struct answers *, const struct ci_event *);

#endif

/*
 * A button of a check of ours: GitHub shows it to those who may write to the repository, and says
 * who pressed it. That it came from GitHub was verified when it was received.
 */
#ifndef GUARD_DISPATCHER_ANSWER_H
#define GUARD_DISPATCHER_ANSWER_H

struct ci_event;
struct engine;

/* Approves or rejects the plan, once; what is not for a plan of that repository is refused. */
void answer_take(struct engine *, const struct ci_event *);

#endif

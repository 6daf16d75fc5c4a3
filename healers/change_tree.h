/*
 * Starts `pipeline-guard change-tree`, which makes a change in a copy of a repository and pushes
 * it (healers/tree.h), and hears what came of it.
 */
#ifndef GUARD_HEALERS_CHANGE_TREE_H
#define GUARD_HEALERS_CHANGE_TREE_H

#include "core/err.h"
#include "healers/tree.h"

struct attempt;
struct change_tree;
struct child;
struct event_base;

typedef void change_tree_fn(const struct tree_end *, void *arg);

/*
 * fn is called once, from the loop, unless this fails. The request is copied; its password is in
 * nobody's argv or environment. Doing it again is safe: the branch is made once (TREE_EXISTS).
 */
int change_tree_start(struct attempt *, const struct tree_request *, change_tree_fn *, void *arg,
		      struct change_tree **out, struct err *) MUST_CHECK;
/*
 * Removes what a killed one left behind. Nobody hears of it: *child is NULL again when it is over,
 * and until then for child_cancel().
 */
int change_tree_sweep(struct event_base *, const struct conf *, struct child **child,
		      struct err *) MUST_CHECK;
/* Ends it now; fn is not called any more. NULL is fine. */
void change_tree_cancel(struct change_tree *);

#endif

/* What the guard itself found out: failures that were gone when it had them run again. */
#ifndef GUARD_CLI_TRAIN_OUTCOMES_H
#define GUARD_CLI_TRAIN_OUTCOMES_H

#include "core/base.h"
#include "core/err.h"

struct conf;
struct finding;

/* The finding is the healed run's; `repo` may be "". Returns -1 to end, with the error set. */
typedef int train_outcome_fn(const struct finding *, const char *repo, void *arg, struct err *);

/*
 * The newest outcomes in Redis that confirm what a rule said: it was transient, and the run
 * was healed by running it again. Findings of a text model are left out: it does not teach itself.
 */
int train_outcomes(struct conf *, train_outcome_fn *, void *arg, struct err *) MUST_CHECK;

#endif

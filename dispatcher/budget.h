/* How much the guard may do: what is counted per pipeline, repository and region. */
#ifndef GUARD_DISPATCHER_BUDGET_H
#define GUARD_DISPATCHER_BUDGET_H

#include "core/keys.h"

struct task;

/*
 * Keys of the current hour or day, by Redis' clock: a set of plans, minutes of CI time, and a
 * hash of `failed` runs and `reruns`.
 */
void budget_pipeline_key(const struct task *, char out[static KEY_MAX]);
void budget_minutes_key(const struct task *, char out[static KEY_MAX]);
void budget_fleet_key(const struct task *, char out[static KEY_MAX]);

/* A run failed and was diagnosed. At most once lost or repeated by a crash: a brake, no ledger. */
void budget_failed(struct task *);
/* The re-run of the task's plan ended. */
void budget_spent(struct task *);

enum {
	BUDGET_HOUR_TTL_S = 2 * 3600,
	BUDGET_DAY_TTL_S = 2 * 24 * 3600,
	/* Whatever the share of re-runs, so many an hour are fine. */
	BUDGET_FLEET_FLOOR = 10,
};

#endif

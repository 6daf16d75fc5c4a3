/*
 * What practice says of the rules (core/rule_trust.h): read now and then, asked on every
 * diagnosis, and told of every re-run that ended. Never waits.
 */
#ifndef GUARD_DISPATCHER_TRUST_H
#define GUARD_DISPATCHER_TRUST_H

#include <stdbool.h>

#include "core/base.h"

struct arena;
struct engine;
struct finding;
struct task;
struct trust_watch;

struct trust_watch *trust_new(struct engine *);
void trust_free(struct trust_watch *);

/* A rule that people keep calling wrong is less sure than it says. */
void trust_weigh(const struct trust_watch *, struct finding *);
/* Why a finding that calls itself transient is not worth a re-run; NULL when it is. */
const char *trust_doubt(const struct trust_watch *, const struct finding *, struct arena *);

/* The plan of the task ended so: whether its rule was right that trying again helps. */
void trust_learn(const struct task *, const char *result);

#endif

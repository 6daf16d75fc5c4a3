/* Weighs everything that the rules hit in one log and says why it failed. */
#ifndef GUARD_DISPATCHER_VERDICT_H
#define GUARD_DISPATCHER_VERDICT_H

#include "dispatcher/detector.h"
#include "dispatcher/scan.h"

/* Facts of the input as bits of enum rule_fact. */
uint32_t verdict_facts(const struct detect_input *);

/* Strings of *out live in the arena. */
void verdict_reach(const struct scan *, const struct detect_input *, struct arena *,
		   struct finding *out);

#endif

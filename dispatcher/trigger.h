/*
 * Finds the bytes that rules cannot do without, for all rules in one look at the text.
 * What it costs grows with the text and hardly with the number of rules; most lines
 * of a log end here.
 */
#ifndef GUARD_DISPATCHER_TRIGGER_H
#define GUARD_DISPATCHER_TRIGGER_H

#include "dispatcher/literals.h"
#include "dispatcher/log_clean.h"
#include "dispatcher/rule_set.h"

struct trigger;

/* Benign rules are left out. The set must outlive it. */
struct trigger *trigger_new(const struct rule_set *);
void trigger_free(struct trigger *);

/* A part of a rule, which is asked by itself. */
static inline uint32_t part_id(size_t rule, size_t part)
{
	return (uint32_t)(rule * RULE_PARTS_MAX + part);
}

/* Parts that have neither such bytes nor a fixed beginning: any line may be one for them. */
const uint32_t *trigger_unknown(const struct trigger *, size_t *n);

/* The short ones of the literals, which somebody else may look for: NULL after the last. */
const struct literal *trigger_short(const struct trigger *, size_t i);

typedef void trigger_found_fn(void *arg, size_t line, uint32_t part);

/* Calls for every line that may be one for a part; more than once, and in any order. */
void trigger_scan(struct trigger *, const char *text, size_t len, const struct clean_line *,
		  size_t n_lines, bool without_short, trigger_found_fn *, void *arg);
/* The same for a short literal that was found elsewhere. */
void trigger_found(const struct trigger *, size_t i, size_t line, trigger_found_fn *, void *arg);

#endif

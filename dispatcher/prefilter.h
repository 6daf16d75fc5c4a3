/*
 * Which rules are worth asking on which line: those whose indispensable bytes are there
 * (trigger.h). Hyperscan looks for what is too short to be told apart by sampling, and
 * for rules that need no such bytes; without it the trigger does more, and the latter are
 * candidates everywhere. Either way PCRE2 decides afterwards, so the answers are the same.
 * Benign rules are never candidates: they are asked about lines that another rule hit.
 */
#ifndef GUARD_DISPATCHER_PREFILTER_H
#define GUARD_DISPATCHER_PREFILTER_H

#include "dispatcher/log_clean.h"
#include "dispatcher/rule_set.h"

struct prefilter;

struct candidate {
	uint32_t line; /* index into the block's lines */
	uint16_t rule; /* index into the set */
	uint16_t part; /* of it: the alternative to ask */
};

/* Never fails: rules that the engine cannot take are candidates everywhere. */
struct prefilter *prefilter_new(const struct rule_set *, bool hyperscan);
/* The same in one pass, compiled only when the folder has not got it; see rule_cache.h. */
struct prefilter *prefilter_new_cached(const struct rule_set *, const char *folder);
void prefilter_free(struct prefilter *);
DEFINE_OWNED(struct prefilter, prefilter_free)

/* True when this build and this machine can do it in one pass. */
bool prefilter_is_one_pass(const struct prefilter *);
/* True when nothing had to be compiled. */
bool prefilter_is_from_cache(const struct prefilter *);
/* Rules that cost a match on every line. */
size_t prefilter_left_out(const struct prefilter *);

/* Of a block of log_clean. Candidates in order of line, rule and part, without repeats; borrowed
 * until the next call. */
const struct candidate *prefilter_scan(struct prefilter *, const char *text, size_t len,
				       const struct clean_line *, size_t n_lines, size_t *n);

#endif

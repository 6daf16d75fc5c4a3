/*
 * How often each rule was right in practice. Two questions are kept apart: did it name the
 * cause, which people say, and did trying again help, which the next attempt says. Old answers
 * count less: half after TRUST_HALF_LIFE_MS. In Redis: docs/streams.md, `rules`.
 */
#ifndef GUARD_CORE_RULE_TRUST_H
#define GUARD_CORE_RULE_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base.h"

struct redis_script;
struct redis_cmd;
struct redisReply;

enum trust_kind { TRUST_CATEGORY, TRUST_TRANSIENT, TRUST_KINDS };

#define TRUST_HALF_LIFE_MS INT64_C(1209600000) /* 14 days */

struct trust {
	double right, wrong;
};

/* Of the Beta posterior that begins with one right and one wrong answer. */
double trust_mean(const struct trust *);
/* Where the share is with 90 % certainty. */
void trust_bounds(const struct trust *, double *low, double *high);
/*
 * Keeps being wrong: with 95 % certainty it is right in less than half of the answers, or, where
 * trying again is the question, in less than 30 %. Four or eight wrong answers in a row do.
 */
bool trust_is_demoted(enum trust_kind, const struct trust *);

struct trust_entry {
	char rule[65];
	struct trust trust[TRUST_KINDS];
};

struct trust_book {
	struct trust_entry *at;
	size_t n, cap;
};

void trust_book_free(struct trust_book *);
DEFINE_OWNED(struct trust_book, trust_book_free)
/* From HGETALL of the key `rules`, as of now. What cannot be read is left out. */
struct trust_book *trust_book_read(const struct redisReply *, int64_t now_ms);
/* NULL when nothing was ever said of it. */
const struct trust_entry *trust_book_find(const struct trust_book *, const char *rule);

/* One answer. The command borrows the texts until it is sent. */
void trust_note_cmd(struct redis_cmd *, const char *rules_key, enum trust_kind, const char *rule,
		    bool right);
extern struct redis_script trust_note_script;

/*
 * The word of a person over the newest finding of a run, once for each attempt. Marks the run, and
 * answers {"ok", rule}, whereupon the answer is to be noted, or {"no run"}, {"no rule"},
 * {"already"}.
 */
void trust_feedback_cmd(struct redis_cmd *, const char *run_key, bool right);
extern struct redis_script trust_feedback_script;

#endif

/* What is wrong or weak with rules that load: for the people who write them. */
#ifndef GUARD_DISPATCHER_RULE_LINT_H
#define GUARD_DISPATCHER_RULE_LINT_H

#include <stdbool.h>

struct detector;
struct rule;
struct rule_set;

enum lint_level {
	LINT_PROBLEM, /* the rule does not do what it is for, or costs too much */
	LINT_NOTE,    /* worth a look */
};

/* `check` is a short word: slow, duplicate, overlap, shadowed, literal, suggestions, link. */
typedef void lint_fn(enum lint_level, const char *check, const struct rule *, const char *what,
		     void *arg);

/* The detector has the same rules; what each sample's line means is asked of it. */
void rule_lint(const struct rule_set *, const struct detector *, lint_fn *, void *arg);

#endif

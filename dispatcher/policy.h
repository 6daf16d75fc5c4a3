/*
 * What may be done about which run: conf/policy.yaml. Rules are asked in their
 * order and the first whose predicates all hold decides; what it does not say
 * comes from `defaults`. Immutable after it was read; asking does no I/O.
 */
#ifndef GUARD_DISPATCHER_POLICY_H
#define GUARD_DISPATCHER_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "healers/healer.h"
#include "healers/propose.h"

/* In the order of how much they allow. */
enum policy_mode {
	POLICY_OBSERVE, /* say what would be done */
	POLICY_SUGGEST, /* put it to a person, who approves it or not */
	POLICY_ACT,
};
const char *policy_mode_name(enum policy_mode);

enum {
	POLICY_BYTES_MAX = 1 << 20,
	POLICY_RULES_MAX = 500,
	POLICY_LIST_MAX = 100,
	POLICY_NAME_MAX = 80,
};

/* About whom the policy is asked. Texts are borrowed and "" when not known. */
struct policy_case {
	const char *provider, *repo, *branch, *pipeline, *event;
	const char *category, *subcategory, *fingerprint;
	int64_t now_ms;
};

/* Numbers that limit, in the units of their names. */
struct policy_limits {
	int64_t min_confidence;       /* percent below which a person is asked */
	int64_t reruns_per_run;       /* attempts that may be added to one run */
	int64_t per_pipeline_hour;    /* heals of one pipeline within an hour */
	int64_t minutes_per_repo_day; /* of CI time that re-runs of one repository take; 0: any */
};

struct policy_answer {
	const char *rule; /* its name, "defaults" when none applied; belongs to the policy */
	enum policy_mode mode;
	enum heal_risk risk; /* what is riskier is only suggested */
	struct policy_limits limits;
	const char *const *strategies; /* allowed ones; NULL: all */
	unsigned n_strategies;
	struct propose_rules change;
	/* "name=value": what a run is started with that takes a larger runner. */
	const char *const *larger_runner;
	unsigned n_larger_runner;
};

struct conf;
struct policy;

/* What holds without a policy: heal.* of the configuration. */
void policy_base(const struct conf *, struct policy_answer *out);

/*
 * From the text of a file; `name` is for messages, which say line and column. Refused is also what
 * cannot ever apply: a value that no run has, a rule that an earlier one always beats.
 * `base` is what holds where neither rule nor defaults say anything.
 */
int policy_parse(const char *name, const char *yaml, size_t n, const struct policy_answer *base,
		 struct policy **out, struct err *) MUST_CHECK;
/* The same of a file; path NULL gives a policy of `base` alone. */
int policy_load(const char *path, const struct policy_answer *base, struct policy **out,
		struct err *) MUST_CHECK;
void policy_free(struct policy *);
DEFINE_OWNED(struct policy, policy_free)

void policy_ask(const struct policy *, const struct policy_case *, struct policy_answer *out);
bool policy_allows(const struct policy_answer *, const char *strategy);

/* For how long nothing may be started because of quiet hours; 0: now is none. */
int64_t policy_quiet_ms(const struct policy *, int64_t now_ms);
/* Percent of the runs that ended in the last hour that may be re-run; 0: no such limit. */
int64_t policy_fleet_percent(const struct policy *);

/* For `policy show`: the i-th rule, NULL past the end, and what it would answer. */
const char *policy_rule(const struct policy *, size_t i, struct policy_answer *out);
/* What holds for a run that no rule is for. */
void policy_defaults(const struct policy *, struct policy_answer *out);

#endif

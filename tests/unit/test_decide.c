#include "dispatcher/decide.h"

#include <string.h>

#include "core/finding.h"
#include "dispatcher/detector.h"
#include "dispatcher/learn.h"
#include "dispatcher/policy.h"
#include "healers/healer.h"
#include "healers/toolbox.h"
#include "unit.h"

static const struct policy_answer acting = {
	.rule = "defaults",
	.mode = POLICY_ACT,
	.risk = RISK_RETRY,
	.limits = { .min_confidence = 60, .reruns_per_run = 1, .per_pipeline_hour = 10 },
};

static void first_row_that_applies_decides(void **state)
{
	static const struct {
		const char *why;
		const char *category;
		bool transient;
		double confidence;
		struct decide_facts facts;
		const char *strategy, *reason;
	} cases[] = {
		{ "sure and transient",
		  "network_failure",
		  true,
		  0.9,
		  { .reruns = 0, .conclusion = "failure", .deploy_job = NULL, .no_log_why = NULL },
		  "rerun_failed_jobs",
		  "network failure is usually gone" },
		{ "practice says it is in vain",
		  "network_failure",
		  true,
		  0.9,
		  { .conclusion = "failure", .doubt = "lately it did not help" },
		  "escalate",
		  "lately it did not help" },
		{ "exactly as sure as asked for",
		  "network_failure",
		  true,
		  0.6,
		  { .reruns = 0, .conclusion = "failure", .deploy_job = NULL, .no_log_why = NULL },
		  "rerun_failed_jobs",
		  "60 %" },
		{ "just not sure enough",
		  "network_failure",
		  true,
		  0.59,
		  { .reruns = 0, .conclusion = "failure", .deploy_job = NULL, .no_log_why = NULL },
		  "escalate",
		  "only 59 %" },
		{ "deterministic",
		  "build_failure",
		  false,
		  0.99,
		  { .reruns = 0, .conclusion = "failure", .deploy_job = NULL, .no_log_why = NULL },
		  "escalate",
		  "build failure: it will fail again without a change" },
		{ "second attempt",
		  "network_failure",
		  true,
		  0.9,
		  { .reruns = 1, .conclusion = "failure", .deploy_job = NULL, .no_log_why = NULL },
		  "escalate",
		  "no more than 1 re-run per run" },
		{ "deploy job in the way",
		  "network_failure",
		  true,
		  0.9,
		  { .reruns = 0,
		    .conclusion = "failure",
		    .deploy_job = "Deploy to prod",
		    .no_log_why = NULL },
		  "escalate",
		  "person's decision" },
		{ "unknown cause",
		  "unknown",
		  false,
		  0,
		  { .reruns = 0, .conclusion = "failure", .deploy_job = NULL, .no_log_why = NULL },
		  "escalate",
		  "no known cause" },
		{ "unreadable log",
		  "unknown",
		  false,
		  0,
		  { .reruns = 0,
		    .conclusion = "failure",
		    .deploy_job = NULL,
		    .no_log_why = "410: expired" },
		  "escalate",
		  "410: expired" },
		{ "API facts suffice without a log",
		  "infrastructure_failure",
		  true,
		  0.8,
		  { .reruns = 0, .conclusion = "failure", .deploy_job = NULL, .no_log_why = "404" },
		  "rerun_failed_jobs",
		  "usually gone" },
		{ "invalid workflow",
		  "config_error",
		  false,
		  0.9,
		  { .reruns = 0,
		    .conclusion = "startup_failure",
		    .deploy_job = NULL,
		    .no_log_why = NULL },
		  "escalate",
		  "could not start" },
		{ "waits for approval",
		  "network_failure",
		  true,
		  0.9,
		  { .reruns = 0,
		    .conclusion = "action_required",
		    .deploy_job = NULL,
		    .no_log_why = NULL },
		  "escalate",
		  "approval" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct decide_facts facts = cases[i].facts;
		struct finding f;
		struct decision d;

		facts.policy = &acting;
		facts.provider = &provider_api_github;
		facts.person_minutes = 15;
		finding_init(&f);
		f.category = cases[i].category;
		f.transient = cases[i].transient;
		f.confidence = cases[i].confidence;
		decide(&facts, &f, &d);
		assert_case(strcmp(d.healer->name, cases[i].strategy) == 0, cases[i].why);
		assert_case(strstr(d.reason, cases[i].reason) != NULL, d.reason);
		assert_case(strcmp(d.mode, "act") == 0, cases[i].why);
	}
}

/* A sure and transient finding under a policy. */
static struct decision decided(const struct policy_answer *policy, bool observe)
{
	struct decide_facts facts = {
		.conclusion = "failure",
		.policy = policy,
		.provider = &provider_api_github,
		.observe = observe,
		.person_minutes = 15,

	};
	struct finding f;
	struct decision d;

	finding_init(&f);
	f.category = "network_failure";
	f.transient = true;
	f.confidence = 0.9;
	decide(&facts, &f, &d);
	return d;
}

static void a_larger_runner_needs_a_policy_and_is_tried_once(void **state)
{
	static const char *const inputs[] = { "runner=large" };
	struct policy_answer with = acting;
	const struct row {
		const char *why;
		const struct policy_answer *policy;
		uint64_t reruns;
		bool by_hand;
		const char *deployed, *strategy, *reason;
	} rows[] = {
		{ "nothing says how", &acting, 0, false, NULL, "escalate", "fail again" },
		{ "the policy does", &with, 0, false, NULL, "rerun_larger_runner",
		  "may pass on a larger runner" },
		{ "perhaps it is one already", &with, 0, true, NULL, "escalate",
		  "started by hand" },
		{ "it was repeated already", &with, 1, false, NULL, "escalate", "1 re-run" },
		{ "it repeats what passed", &with, 0, false, "publish", "escalate",
		  "would repeat \"publish\"" },
	};

	UNUSED(state);
	with.larger_runner = inputs;
	with.n_larger_runner = 1;
	with.limits.reruns_per_run = 3;
	for (const struct row *row = rows; row < rows + ARRAY_LEN(rows); row++) {
		const struct decide_facts facts = {
			.conclusion = "failure",
			.policy = row->policy,
			.provider = &provider_api_github,
			.reruns = row->reruns,
			.by_hand = row->by_hand,
			.deploy_ran = row->deployed,
			.person_minutes = 15,
		};
		struct finding f;
		struct decision d;

		finding_init(&f);
		f.category = "resource_exhaustion";
		f.subcategory = "oom";
		f.confidence = 0.9;
		decide(&facts, &f, &d);
		assert_case(strcmp(d.healer->name, row->strategy) == 0, row->why);
		assert_case(strstr(d.reason, row->reason) != NULL, d.reason);
	}
}

static void credentials_are_renewed_where_somebody_does_that(void **state)
{
	static const struct row {
		const char *subcategory;
		bool renewable;
		const char *strategy;
	} rows[] = {
		{ "token", true, "refresh_credentials" },
		{ "token", false, "escalate" },
		{ "permission", true, "escalate" }, /* which no renewal grants */
		{ "ssh_key", true, "escalate" },
	};

	UNUSED(state);
	for (const struct row *row = rows; row < rows + ARRAY_LEN(rows); row++) {
		const struct decide_facts facts = {
			.conclusion = "failure",
			.policy = &acting,
			.provider = &provider_api_github,
			.renewable = row->renewable,
			.person_minutes = 15,
		};
		struct finding f;
		struct decision d;

		finding_init(&f);
		f.category = "auth_failure";
		f.subcategory = row->subcategory;
		f.confidence = 0.9;
		decide(&facts, &f, &d);
		assert_case(strcmp(d.healer->name, row->strategy) == 0, row->subcategory);
	}
}

static void what_is_mended_on_the_base_needs_an_update(void **state)
{
	static const struct row {
		const char *why;
		bool mended, transient;
		const struct provider_api *provider;
		const char *strategy, *mode;
	} rows[] = {
		{ "mended", true, false, &provider_api_github, "update_branch", "suggest" },
		{ "not mended", false, false, &provider_api_github, "escalate", "act" },
		{ "it comes and goes", true, true, &provider_api_github, "rerun_failed_jobs",
		  "act" },
		{ "GitLab can", true, false, &provider_api_gitlab, "update_branch", "suggest" },
		{ "Jenkins has no proposals", true, false, &provider_api_jenkins, "escalate",
		  "act" },
	};

	UNUSED(state);
	for (const struct row *row = rows; row < rows + ARRAY_LEN(rows); row++) {
		const struct decide_facts facts = {
			.conclusion = "failure",
			.policy = &acting,
			.provider = row->provider,
			.mended_on_base = row->mended,
			.person_minutes = 15,
		};
		struct finding f;
		struct decision d;

		finding_init(&f);
		f.category = row->transient ? "network_failure" : "build_failure";
		f.transient = row->transient;
		f.confidence = 0.9;
		decide(&facts, &f, &d);
		assert_case(strcmp(d.healer->name, row->strategy) == 0, row->why);
		assert_case(strcmp(d.mode, row->mode) == 0, row->why);
	}
}

static void the_policy_says_the_mode_and_what_is_allowed(void **state)
{
	static const char *const others[] = { "escalate" };
	struct policy_answer suggesting = acting, cautious = acting, few = acting, none = acting;
	struct decision d;

	UNUSED(state);
	d = decided(&acting, true);
	assert_string_equal(d.mode, "observe");
	assert_string_equal(d.healer->name, "rerun_failed_jobs");

	suggesting.mode = POLICY_SUGGEST;
	d = decided(&suggesting, false);
	assert_string_equal(d.mode, "suggest");
	assert_string_equal(d.healer->name, "rerun_failed_jobs");
	assert_string_equal(decided(&suggesting, true).mode, "observe");

	cautious.risk = RISK_OBSERVE;
	assert_string_equal(decided(&cautious, false).mode, "suggest");

	few.rule = "few";
	few.strategies = others;
	few.n_strategies = 1;
	d = decided(&few, false);
	assert_string_equal(d.healer->name, "escalate");
	assert_non_null(strstr(d.reason, "policy (few)"));

	/* Telling a person needs nobody's approval. */
	none = suggesting;
	none.limits.reruns_per_run = 0;
	d = decided(&none, false);
	assert_string_equal(d.healer->name, "escalate");
	assert_string_equal(d.mode, "act");
}

static void what_never_helps_or_costs_too_much_is_not_tried(void **state)
{
	static const struct {
		const char *why;
		double success, seen, ci_minutes;
		const char *strategy, *reason;
	} cases[] = {
		{ "cheap and likely", 0.7, 0, 5, "rerun_failed_jobs", "(90 % sure)" },
		{ "learned", 0.8, 12, 5, "rerun_failed_jobs", "helps in 80 % of such failures" },
		{ "it never helped", 0.02, 40, 5, "escalate", "helps in 2 %" },
		{ "hours for a small chance", 0.3, 3, 120, "escalate", "would cost more" },
		{ "hours for a good chance", 0.9, 3, 120, "rerun_failed_jobs", "90 %" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct learned learned = { .of = { { &healer_rerun_failed_jobs, cases[i].success,
						     cases[i].seen } },
					   .n = 1 };
		struct decide_facts facts = {
			.conclusion = "failure",
			.policy = &acting,
			.provider = &provider_api_github,
			.learned = &learned,
			.person_minutes = 15,
			.ci_minutes = cases[i].ci_minutes,
			.ci_price = 0.1,
		};
		struct finding f;
		struct decision d;

		finding_init(&f);
		f.category = "timeout";
		f.transient = true;
		f.confidence = 0.9;
		decide(&facts, &f, &d);
		assert_case(strcmp(d.healer->name, cases[i].strategy) == 0, cases[i].why);
		assert_case(strstr(d.reason, cases[i].reason) != NULL, d.reason);
	}
}

/* Each one that failed says that the next one fails, too. */
static void a_run_that_failed_again_is_worth_less(void **state)
{
	static const struct {
		uint64_t reruns;
		const char *strategy;
	} cases[] = { { 0, "rerun_failed_jobs" }, { 1, "rerun_failed_jobs" }, { 2, "escalate" } };
	struct policy_answer often = acting;
	struct decision d;

	UNUSED(state);
	often.limits.reruns_per_run = 10;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct decide_facts facts = {
			.reruns = cases[i].reruns,
			.conclusion = "failure",
			.policy = &often,
			.provider = &provider_api_github,
			.person_minutes = 15,
			.ci_minutes = 80, /* as much as 8 minutes of a person, so 53 % have to do */
			.ci_price = 0.1,
		};
		struct finding f;

		finding_init(&f);
		f.category = "network_failure";
		f.transient = true;
		f.confidence = 0.9;
		decide(&facts, &f, &d);
		assert_string_equal(d.healer->name, cases[i].strategy);
	}
}

static void what_hangs_is_stopped_where_all_agree(void **state)
{
	static const char *const others[] = { "rerun_failed_jobs" };
	struct policy_answer suggesting = acting, cautious = acting, few = acting;
	const struct {
		const char *why;
		const struct policy_answer *policy;
		const struct provider_api *provider;
		uint64_t reruns;
		const char *deploy_job;
		bool observe, act;
		const char *strategy, *mode, *reason;
	} cases[] = {
		{ "allowed", &acting, &provider_api_github, 0, NULL, false, true,
		  "cancel_stuck_and_rerun", "act",
		  "job \"build\" is in progress for 95 min; of 20 runs that passed 95 % took at "
		  "most "
		  "12 min" },
		{ "only when told to act", &acting, &provider_api_jenkins, 0, NULL, false, false,
		  "cancel_stuck_and_rerun", "suggest", "95 min" },
		{ "the policy suggests", &suggesting, &provider_api_gitlab, 0, NULL, false, true,
		  "cancel_stuck_and_rerun", "suggest", "" },
		{ "the policy allows no re-runs by themselves", &cautious, &provider_api_gitlab, 0,
		  NULL, false, true, "cancel_stuck_and_rerun", "suggest", "" },
		{ "observing", &acting, &provider_api_github, 0, NULL, true, true,
		  "cancel_stuck_and_rerun", "observe", "" },
		{ "another strategy", &few, &provider_api_github, 0, NULL, false, true, "escalate",
		  "act", "does not let it be stopped" },
		{ "no provider", &acting, NULL, 0, NULL, false, true, "escalate", "act",
		  "cannot be stopped from here" },
		{ "it hung before", &acting, &provider_api_github, 1, NULL, false, true, "escalate",
		  "act", "no more than 1 re-run per run" },
		{ "half of a deployment", &acting, &provider_api_github, 0, "ship", false, true,
		  "escalate", "act", "\"ship\" deploys or publishes" },
	};
	const struct decide_hang hang = {
		.job = "build", .job_ms = 95 * 60000, .usual_ms = 11 * 60000 + 1, .passed = 20
	};

	UNUSED(state);
	suggesting.mode = POLICY_SUGGEST;
	cautious.risk = RISK_OBSERVE;
	few.strategies = others;
	few.n_strategies = 1;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct decide_facts facts = { .policy = cases[i].policy,
					      .provider = cases[i].provider,
					      .reruns = cases[i].reruns,
					      .deploy_job = cases[i].deploy_job,
					      .observe = cases[i].observe };
		struct decide_hang h = hang;
		struct decision d;

		h.act = cases[i].act;
		decide_hang(&facts, &h, &d);
		assert_case(strcmp(d.healer->name, cases[i].strategy) == 0, cases[i].why);
		assert_case(strcmp(d.mode, cases[i].mode) == 0, cases[i].why);
		assert_case(strstr(d.reason, cases[i].reason) != NULL, d.reason);
	}
}

struct line {
	const char *why, *category, *subcategory, *evidence;
	const struct provider_api *provider;
	uint64_t reruns;
	const char *deploy_ran, *strategy, *reason;
	int64_t delay_ms;
};

static void chosen_for(const struct line *c, struct decision *d)
{
	struct policy_answer often = acting;
	struct decide_facts facts = {
		.reruns = c->reruns,
		.conclusion = "failure",
		.deploy_ran = c->deploy_ran,
		.policy = &often,
		.provider = c->provider,
		.person_minutes = 15,
		.backoff_ms = 60000,
		.backoff_max_ms = 600000,
	};
	struct finding f;

	often.limits.reruns_per_run = 10;
	finding_init(&f);
	f.category = c->category;
	f.subcategory = c->subcategory;
	f.transient = true;
	f.confidence = 0.9;
	if (c->evidence) {
		f.evidence[0].text = c->evidence;
		f.n_evidence = 1;
	}
	decide(&facts, &f, d);
}

static void what_fits_the_failure_best_is_chosen(void **state)
{
#define GH &provider_api_github
#define GL &provider_api_gitlab
	static const struct line cases[] = {
		{ "a broken line", "network_failure", "reset", NULL, GH, 0, NULL,
		  "rerun_failed_jobs", "next try", 0 },
		{ "a limit has to pass", "rate_limit", "registry", NULL, GH, 0, NULL,
		  "retry_with_backoff", "over after a while", 60000 },
		{ "longer with every try", "rate_limit", "registry", NULL, GL, 2, NULL,
		  "retry_with_backoff", "; 2 re-runs did not help, the next one follows in 4 min",
		  240000 },
		{ "in seconds", "rate_limit", "registry", NULL, GL, 0, NULL, "retry_with_backoff",
		  "sure); the re-run follows in 60 s", 60000 },
		{ "what a try did not end lasts", "network_failure", "reset", NULL, GH, 1, NULL,
		  "rerun_failed_jobs", "; 1 re-run did not help, the next one follows in 60 s",
		  60000 },
		{ "and is left alone for longer", "network_failure", "reset", NULL, GH, 2, NULL,
		  "rerun_failed_jobs", "2 re-runs", 120000 },
		{ "but not for ever", "rate_limit", "registry", NULL, GH, 9, NULL,
		  "retry_with_backoff", "", 600000 },
		{ "as the log asks for", "rate_limit", "registry", "HTTP 429, Retry-After: 120", GH,
		  0, NULL, "retry_with_backoff", "", 120000 },
		{ "in minutes", "rate_limit", "registry", "please try again in 7 minutes", GH, 0,
		  NULL, "retry_with_backoff", "", 420000 },
		{ "within bounds", "rate_limit", "registry", "retry after 99999s", GH, 0, NULL,
		  "retry_with_backoff", "", 600000 },
		{ "not less than ours", "rate_limit", "registry", "Retry after 250ms", GH, 0, NULL,
		  "retry_with_backoff", "", 60000 },
		{ "an artifact expired", "infrastructure_failure", "artifact", NULL, GH, 0, NULL,
		  "rerun_all", "earlier jobs", 0 },
		{ "GitLab has no such thing", "infrastructure_failure", "artifact", NULL, GL, 0,
		  NULL, "rerun_failed_jobs", "", 0 },
		{ "what it would repeat", "infrastructure_failure", "artifact", NULL, GH, 0,
		  "deploy", "rerun_failed_jobs", "", 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct decision d;

		chosen_for(&cases[i], &d);
		assert_case(strcmp(d.healer->name, cases[i].strategy) == 0, cases[i].why);
		assert_case(strstr(d.reason, cases[i].reason) != NULL, d.reason);
		assert_case(d.delay_ms == cases[i].delay_ms, cases[i].why);
	}
}

/* What passed would be run again, and one of it is a deployment. */
/* A change is for a person, unless the policy says otherwise; what may be done now goes first. */
static void a_change_is_proposed_where_that_can_help(void **state)
{
	static const struct {
		const char *why, *line;
		const struct provider_api *provider;
		enum heal_risk risk;
		bool transient;
		uint64_t reruns;
		const char *strategy, *mode;
	} rows[] = {
		{ "suggested", "E  Failed: Timeout >30.0s", &provider_api_github, RISK_RETRY, false,
		  0, "bump_timeout", "suggest" },
		{ "allowed", "E  Failed: Timeout >30.0s", &provider_api_gitlab, RISK_CHANGE, false,
		  0, "bump_timeout", "act" },
		{ "no limit is named", "it was too slow", &provider_api_github, RISK_CHANGE, false,
		  0, "escalate", "act" },
		{ "no repositories there", "E  Failed: Timeout >30.0s", &provider_api_jenkins,
		  RISK_CHANGE, false, 0, "escalate", "act" },
		{ "a re-run may be done now", "E  Failed: Timeout >30.0s", &provider_api_github,
		  RISK_RETRY, true, 0, "rerun_failed_jobs", "act" },
		{ "it was re-run", "E  Failed: Timeout >30.0s", &provider_api_github, RISK_RETRY,
		  true, 1, "bump_timeout", "suggest" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy_answer policy = acting;
		/* Whatever it is worth, a suggestion comes after what may be done. */
		struct learned learned = { .of = { { &healer_bump_timeout, 0.95, 9 },
						   { &healer_rerun_failed_jobs, 0.5, 9 } },
					   .n = 2 };
		struct decide_facts facts = {
			.learned = &learned,
			.reruns = rows[i].reruns,
			.conclusion = "failure",
			.policy = &policy,
			.provider = rows[i].provider,
			.person_minutes = 15,
		};
		struct finding f;
		struct decision d;

		policy.risk = rows[i].risk;
		finding_init(&f);
		f.category = "timeout";
		f.subcategory = "test";
		f.transient = rows[i].transient;
		f.confidence = 0.9;
		f.evidence[0] = (struct finding_line){ 1, rows[i].line };
		f.n_evidence = 1;
		decide(&facts, &f, &d);
		assert_case(strcmp(d.healer->name, rows[i].strategy) == 0, rows[i].why);
		assert_case(strcmp(d.mode, rows[i].mode) == 0, rows[i].why);
	}
}

static void quarantine_is_never_decided_without_a_person(void **state)
{
	struct policy_answer policy = acting;
	struct decide_facts facts = {
		.reruns = 1,
		.conclusion = "failure",
		.policy = &policy,
		.provider = &provider_api_github,
		.person_minutes = 15,
	};
	struct finding f;
	struct decision d;

	UNUSED(state);
	policy.risk = RISK_CHANGE;
	finding_init(&f);
	f.category = "test_failure";
	f.subcategory = "flaky";
	f.transient = true;
	f.confidence = 0.9;
	f.failed_tests[0] = "tests/test_a.py::test_b";
	f.n_failed_tests = 1;
	f.test_framework = "pytest";
	decide(&facts, &f, &d);
	assert_string_equal(d.healer->name, "escalate"); /* fewer_tests is not allowed */
	policy.change.fewer_tests = true;
	decide(&facts, &f, &d);
	assert_string_equal(d.healer->name, "quarantine_test");
	assert_string_equal(d.mode, "suggest");
}

/* A snapshot that is wrong would be right from then on. */
static void snapshots_are_never_decided_without_a_person(void **state)
{
	static const struct {
		const char *line, *strategy, *mode;
	} rows[] = {
		{ " \u203a 1 snapshot failed.", "update_snapshots", "suggest" },
		{ "Expected: 3, Received: 4", "escalate", "act" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy_answer policy = acting;
		struct decide_facts facts = {
			.conclusion = "failure",
			.policy = &policy,
			.provider = &provider_api_github,
			.person_minutes = 15,
		};
		struct finding f;
		struct decision d;

		policy.risk = RISK_CHANGE;
		finding_init(&f);
		f.category = "test_failure";
		f.subcategory = "assertion";
		f.confidence = 0.9;
		f.evidence[0] = (struct finding_line){ 1, rows[i].line };
		f.n_evidence = 1;
		decide(&facts, &f, &d);
		assert_string_equal(d.healer->name, rows[i].strategy);
		assert_string_equal(d.mode, rows[i].mode);
	}
}

static void what_cannot_run_here_is_not_suggested(void **state)
{
#define FOUND(why, black)                                                                        \
	"{\"sandbox\":{\"why\":\"" why "\"},\"programs\":[{\"name\":\"black\",\"path\":\"" black \
	"\"}]}"
	static const struct {
		const char *found, *strategy, *reason;
	} rows[] = {
		{ FOUND("", "/usr/bin/black"), "fix_lint", "" },
		{ FOUND("", ""), "escalate",
		  "lint failure: fix_lint cannot run here: black is not installed" },
		{ FOUND("sandbox_unavailable: no bwrap", "/usr/bin/black"), "escalate",
		  "fix_lint cannot run here: sandbox_unavailable: no bwrap" },
	};
#undef FOUND
	OWNED(toolbox_freep) struct toolbox *tools = toolbox_new();
	struct policy_answer policy = acting;
	const struct decide_facts facts = { .conclusion = "failure",
					    .policy = &policy,
					    .provider = &provider_api_github,
					    .tools = tools,
					    .person_minutes = 15 };
	struct decision d;
	struct finding f;
	struct err err;

	UNUSED(state);
	finding_init(&f);
	f.category = "lint_failure";
	f.confidence = 0.9;
	f.evidence[0] = (struct finding_line){ 1, "would reformat src/a.py" };
	f.n_evidence = 1;
	decide(&facts, &f, &d);
	assert_string_equal(d.healer->name, "fix_lint");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_ok(toolbox_take(tools, rows[i].found, strlen(rows[i].found), &err), &err);
		decide(&facts, &f, &d);
		assert_string_equal(d.healer->name, rows[i].strategy);
		assert_non_null(strstr(d.reason, rows[i].reason));
	}
	/* Nonsense changes nothing. */
	assert_int_equal(toolbox_take(tools, "[]", 2, &err), -1);
	assert_int_equal(toolbox_take(tools, "", 0, &err), -1);
	decide(&facts, &f, &d);
	assert_string_equal(d.healer->name, "escalate");
}

/* Locks are removed without git; what git has to do takes the sandbox. */
static void a_repair_that_git_makes_takes_the_sandbox(void **state)
{
	static const char none[] =
		"{\"sandbox\":{\"why\":\"sandbox_unavailable\"},\"programs\":[]}";
	OWNED(toolbox_freep) struct toolbox *tools = toolbox_new();
	struct finding f;
	struct err err;

	UNUSED(state);
	finding_init(&f);
	f.category = "scm_failure";
	f.subcategory = "interrupted";
	assert_null(toolbox_lacks(NULL, &healer_repair_local_git, &f));
	assert_null(toolbox_lacks(tools, &healer_repair_local_git, &f));
	assert_ok(toolbox_take(tools, none, sizeof(none) - 1, &err), &err);
	assert_string_equal(toolbox_lacks(tools, &healer_repair_local_git, &f),
			    "sandbox_unavailable");
	f.subcategory = "stale_lock";
	assert_null(toolbox_lacks(tools, &healer_repair_local_git, &f));
	assert_null(toolbox_lacks(tools, &healer_revert_commit, &f));
}

static void all_jobs_are_not_repeated_when_one_deployed(void **state)
{
	static const char *const only[] = { "rerun_all" };
	struct policy_answer policy = acting;
	struct decide_facts facts = { .conclusion = "failure",
				      .policy = &policy,
				      .provider = GH,
				      .deploy_ran = "ship to prod",
				      .person_minutes = 15 };
	struct decision d;
	struct finding f;

	UNUSED(state);
	policy.strategies = only;
	policy.n_strategies = 1;
	finding_init(&f);
	f.category = "infrastructure_failure";
	f.subcategory = "artifact";
	f.transient = true;
	f.confidence = 0.9;
	decide(&facts, &f, &d);
	assert_string_equal(d.healer->name, "escalate");
	assert_non_null(strstr(d.reason, "\"ship to prod\", which deploys or publishes"));
	facts.deploy_ran = NULL;
	decide(&facts, &f, &d);
	assert_string_equal(d.healer->name, "rerun_all");
}

/* What is only suggested is done when a person approves it. */
static void nobody_waits_for_a_suggestion(void **state)
{
	struct policy_answer suggesting = acting;
	struct decide_facts facts = { .conclusion = "failure",
				      .policy = &suggesting,
				      .provider = GH,
				      .person_minutes = 15,
				      .backoff_ms = 60000,
				      .backoff_max_ms = 600000 };
	struct decision d;
	struct finding f;

	UNUSED(state);
	suggesting.mode = POLICY_SUGGEST;
	finding_init(&f);
	f.category = "rate_limit";
	f.transient = true;
	f.confidence = 0.9;
	decide(&facts, &f, &d);
	assert_string_equal(d.healer->name, "retry_with_backoff");
	assert_string_equal(d.mode, "suggest");
	assert_int_equal(d.delay_ms, 0);
}

static void tells_deploy_jobs_by_name(void **state)
{
	static const struct {
		const char *name;
		bool deploy;
	} cases[] = {
		{ "deploy", true },
		{ "Deploy to production", true },
		{ "docs / publish", true },
		{ "Deployment (eu-west-1)", true },
		{ "release", true },
		{ "Release to npm", true },
		{ "promote-canary", true },
		{ "test (release)", false },
		{ "build, ubuntu, Release", false },
		{ "undeployed things", false },
		{ "redeploy", true },
		{ "buildAndDeploy", true },
		{ "ci / release", true },
		{ "ci / test (release)", false },
		{ "\xf0\x9f\x9a\x80 Release", true },
		{ "build release notes", false },
		{ "unit tests", false },
		{ "", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_case(decide_is_deploy(cases[i].name) == cases[i].deploy, cases[i].name);
}

/* Not even if it were transient, which a text model never says. */
static void words_alone_are_no_reason_to_act(void **state)
{
	struct decide_facts facts = { .policy = &acting, .conclusion = "failure" };
	struct decision d;
	struct finding f;

	UNUSED(state);
	finding_init(&f);
	f.category = "network_failure";
	f.transient = true;
	f.confidence = 0.95;
	f.rule = DETECT_BY_WORDS;
	decide(&facts, &f, &d);
	assert_string_equal(d.healer->name, "escalate");
	assert_string_equal(d.reason, "no rule is sure, only the words say network failure");
}

/* It writes to a repository, and needs no provider's token to be proposed. */
static void what_is_wrong_with_a_local_repository_may_be_repaired(void **state)
{
	static const struct {
		const char *why, *rule, *subcategory;
		bool observe, observe_local;
		enum heal_risk risk;
		const char *strategy, *mode;
	} rows[] = {
		{ "suggested", "git/stale_lock", "stale_lock", false, false, RISK_RETRY,
		  "repair_local_git", "suggest" },
		{ "allowed", "git/interrupted", "interrupted", false, false, RISK_CHANGE,
		  "repair_local_git", "act" },
		{ "without a token", "git/stale_lock", "stale_lock", true, false, RISK_RETRY,
		  "repair_local_git", "suggest" },
		{ "only watching", "git/stale_lock", "stale_lock", true, true, RISK_CHANGE,
		  "repair_local_git", "observe" },
		{ "nothing repairs that", "git/behind", "behind", false, false, RISK_CHANGE,
		  "escalate", "act" },
		{ "a log that speaks of a lock", "scm/lock", "stale_lock", false, false,
		  RISK_CHANGE, "escalate", "act" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy_answer policy = acting;
		const struct decide_facts facts = { .policy = &policy,
						    .conclusion = "failure",
						    .observe = rows[i].observe,
						    .observe_local = rows[i].observe_local,
						    .person_minutes = 10 };
		struct decision d;
		struct finding f;

		policy.risk = rows[i].risk;
		finding_init(&f);
		f.category = "scm_failure";
		f.subcategory = rows[i].subcategory;
		f.confidence = 0.95;
		f.rule = rows[i].rule;
		decide(&facts, &f, &d);
		assert_case(strcmp(d.healer->name, rows[i].strategy) == 0, rows[i].why);
		assert_case(strcmp(d.mode, rows[i].mode) == 0, rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_alone_are_no_reason_to_act),
		cmocka_unit_test(first_row_that_applies_decides),
		cmocka_unit_test(a_larger_runner_needs_a_policy_and_is_tried_once),
		cmocka_unit_test(credentials_are_renewed_where_somebody_does_that),
		cmocka_unit_test(what_is_mended_on_the_base_needs_an_update),
		cmocka_unit_test(the_policy_says_the_mode_and_what_is_allowed),
		cmocka_unit_test(what_never_helps_or_costs_too_much_is_not_tried),
		cmocka_unit_test(a_run_that_failed_again_is_worth_less),
		cmocka_unit_test(what_hangs_is_stopped_where_all_agree),
		cmocka_unit_test(what_fits_the_failure_best_is_chosen),
		cmocka_unit_test(a_change_is_proposed_where_that_can_help),
		cmocka_unit_test(quarantine_is_never_decided_without_a_person),
		cmocka_unit_test(snapshots_are_never_decided_without_a_person),
		cmocka_unit_test(what_cannot_run_here_is_not_suggested),
		cmocka_unit_test(a_repair_that_git_makes_takes_the_sandbox),
		cmocka_unit_test(all_jobs_are_not_repeated_when_one_deployed),
		cmocka_unit_test(nobody_waits_for_a_suggestion),
		cmocka_unit_test(what_is_wrong_with_a_local_repository_may_be_repaired),
		cmocka_unit_test(tells_deploy_jobs_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "dispatcher/decide.h"

#include <string.h>

#include "core/finding.h"
#include "healers/healer.h"
#include "unit.h"

static const struct decide_options acting = { .min_confidence = 0.6, .reruns_per_run = 1 };

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
		  { 0, "failure", NULL, NULL },
		  "rerun_failed_jobs",
		  "network failure is usually gone" },
		{ "exactly as sure as asked for",
		  "network_failure",
		  true,
		  0.6,
		  { 0, "failure", NULL, NULL },
		  "rerun_failed_jobs",
		  "60 %" },
		{ "just not sure enough",
		  "network_failure",
		  true,
		  0.59,
		  { 0, "failure", NULL, NULL },
		  "escalate",
		  "only 59 %" },
		{ "deterministic",
		  "build_failure",
		  false,
		  0.99,
		  { 0, "failure", NULL, NULL },
		  "escalate",
		  "build failure: it will fail again without a change" },
		{ "second attempt",
		  "network_failure",
		  true,
		  0.9,
		  { 1, "failure", NULL, NULL },
		  "escalate",
		  "no more than 1 re-run per run" },
		{ "deploy job in the way",
		  "network_failure",
		  true,
		  0.9,
		  { 0, "failure", "Deploy to prod", NULL },
		  "escalate",
		  "person's decision" },
		{ "unknown cause",
		  "unknown",
		  false,
		  0,
		  { 0, "failure", NULL, NULL },
		  "escalate",
		  "no known cause" },
		{ "unreadable log",
		  "unknown",
		  false,
		  0,
		  { 0, "failure", NULL, "410: expired" },
		  "escalate",
		  "410: expired" },
		{ "API facts suffice without a log",
		  "infrastructure_failure",
		  true,
		  0.8,
		  { 0, "failure", NULL, "404" },
		  "rerun_failed_jobs",
		  "usually gone" },
		{ "invalid workflow",
		  "config_error",
		  false,
		  0.9,
		  { 0, "startup_failure", NULL, NULL },
		  "escalate",
		  "could not start" },
		{ "waits for approval",
		  "network_failure",
		  true,
		  0.9,
		  { 0, "action_required", NULL, NULL },
		  "escalate",
		  "approval" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct finding f;
		struct decision d;

		finding_init(&f);
		f.category = cases[i].category;
		f.transient = cases[i].transient;
		f.confidence = cases[i].confidence;
		decide(&acting, &cases[i].facts, &f, &d);
		assert_case(strcmp(d.healer->name, cases[i].strategy) == 0, cases[i].why);
		assert_case(strstr(d.reason, cases[i].reason) != NULL, d.reason);
		assert_case(strcmp(d.mode, "act") == 0, cases[i].why);
	}
}

static void observing_changes_the_mode_and_nothing_else(void **state)
{
	struct decide_options observing = acting;
	struct decide_facts facts = { 0, "failure", NULL, NULL };
	struct finding f;
	struct decision d;

	UNUSED(state);
	observing.observe = true;
	finding_init(&f);
	f.category = "network_failure";
	f.transient = true;
	f.confidence = 0.9;
	decide(&observing, &facts, &f, &d);
	assert_string_equal(d.mode, "observe");
	assert_string_equal(d.healer->name, "rerun_failed_jobs");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_row_that_applies_decides),
		cmocka_unit_test(observing_changes_the_mode_and_nothing_else),
		cmocka_unit_test(tells_deploy_jobs_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

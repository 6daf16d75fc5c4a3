#include "unit.h"

#include <string.h>

#include "core/finding.h"
#include "core/mem.h"
#include "dispatcher/failure_reason.h"

static struct finding found(const char *category, double confidence)
{
	struct finding f;

	finding_init(&f);
	f.category = category;
	f.confidence = confidence;
	f.rule = "net-dns";
	f.evidence[0].text = "could not resolve host";
	f.n_evidence = 1;
	return f;
}

static void a_surer_reason_takes_the_place_of_a_guess(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = found("unknown", 0);

	UNUSED(state);
	failure_reason_weigh("runner_system_failure", a, &f);
	assert_string_equal(f.category, "infrastructure_failure");
	assert_true(f.transient);
	assert_string_equal(f.rule, "api/runner_system_failure");
	assert_int_equal(f.n_evidence, 1);
	assert_int_equal(strlen(f.fingerprint), 16);
	f = found("test_failure", 0.4);
	failure_reason_weigh("ci_quota_exceeded", a, &f);
	assert_string_equal(f.category, "resource_exhaustion");
	assert_false(f.transient);
}

static void a_log_that_is_surer_keeps_its_word(void **state)
{
	OWNED(arena_freep) struct arena *a = arena_new();
	struct finding f = found("network_failure", 0.96);

	UNUSED(state);
	failure_reason_weigh("runner_system_failure", a, &f);
	assert_string_equal(f.category, "network_failure");
	assert_string_equal(f.rule, "net-dns");
}

static void reasons_that_say_nothing_change_nothing(void **state)
{
	static const char *const reasons[] = { "", "script_failure", "unknown_failure",
					       "a reason of next year" };
	OWNED(arena_freep) struct arena *a = arena_new();

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		struct finding f = found("unknown", 0);

		failure_reason_weigh(reasons[i], a, &f);
		assert_case(strcmp(f.category, "unknown") == 0, reasons[i]);
	}
}

/* Every category must be one that the contract has. */
static void every_reason_has_a_known_category(void **state)
{
	static const char *const reasons[] = {
		"runner_system_failure",
		"stuck_or_timeout_failure",
		"stuck_pending_failure",
		"job_execution_timeout",
		"api_failure",
		"scheduler_failure",
		"data_integrity_failure",
		"runner_unsupported",
		"no_matching_runner",
		"missing_dependency_failure",
		"ci_quota_exceeded",
		"trace_size_exceeded",
		"archived_failure",
		"user_blocked",
		"unmet_prerequisites",
		"environment_creation_failure",
		"forward_deployment_failure",
		"unstable",
	};
	OWNED(arena_freep) struct arena *a = arena_new();

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		struct finding f = found("unknown", 0);

		failure_reason_weigh(reasons[i], a, &f);
		assert_case(strcmp(f.category, "unknown") != 0, reasons[i]);
		assert_case(finding_category_known(f.category), reasons[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_surer_reason_takes_the_place_of_a_guess),
		cmocka_unit_test(a_log_that_is_surer_keeps_its_word),
		cmocka_unit_test(reasons_that_say_nothing_change_nothing),
		cmocka_unit_test(every_reason_has_a_known_category),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Credentials of a pipeline are renewed by a hook, and what failed runs again: once. */
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "tests/integration/product.h"

#define SECRET   "whsec_cmVuZXctY3JlZGVudGlhbHMtb2YtdGhlLXRlc3Rz"
#define QUICK    "dispatcher.lease=1500ms", "dispatcher.claim_idle=500ms", "heal.settle=300ms"
#define KNOWN(r) rules_only((r), "markers.yaml", "auth.yaml", "cloud.yaml", NULL)

/* What its re-run says without new credentials: the same. */
#define EXPIRED "{\"cause\":\"auth_denied\",\"story\":3,\"repo\":\"octo/app\",\"job_ms\":20}"

static void start_world(struct rig *r)
{
	rig_write(r, "renew-secret", SECRET "\n", 0600);
	rig_hide(r, SECRET, "renew-secret");
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, "--renew-secret-file", rig_path(r, "renew-secret"), NULL);
	rig_write(r, "renew-url", rig_printf(r, "%s/_sim/renew\n", simulator_url(r)), 0600);
}

static struct proc *dispatcher(struct rig *r, const char *name, const char *crash)
{
	return dispatcher_start_list(
		r, name, crash,
		LIST(rig_printf(r, "heal.refresh_url_file=%s", rig_path(r, "renew-url")),
		     rig_printf(r, "heal.refresh_secret_file=%s", rig_path(r, "renew-secret")),
		     QUICK, "heal.give_up=3s", KNOWN(r)));
}

static const char *result_of(struct rig *r, uint64_t run, const char *result)
{
	const char *got = plan_result(r, run, 1);

	if (strcmp(got, result) != 0)
		fail_msg("%s, not %s (%s; %s)", got, result, plan_field(r, run, 1, "reason"),
			 plan_field(r, run, 1, "detail"));
	assert_int_equal(outcomes_of(r, run, 1), 1);
	return plan_field(r, run, 1, "detail");
}

static void they_are_renewed_and_it_runs_again(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher(r, "dispatcher", NULL);
	run = sim_run(r, EXPIRED);
	(void)result_of(r, run, "healed");
	assert_string_equal(plan_field(r, run, 1, "strategy"), "refresh_credentials");
	assert_int_equal(sim_total(r, "renewals"), 1);
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
}

static void nobody_is_asked_who_is_not_configured(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher_start(r, "dispatcher", QUICK, KNOWN(r), NULL);
	run = sim_run(r, EXPIRED);
	(void)result_of(r, run, "escalated");
	assert_int_equal(sim_total(r, "renewals"), 0);
}

static void a_hook_in_trouble_is_asked_again(struct rig *r)
{
	uint64_t run;

	start_world(r);
	sim_fault(r, "{\"call\":\"renew\",\"status\":503,\"times\":1}");
	(void)dispatcher(r, "dispatcher", NULL);
	run = sim_run(r, EXPIRED);
	(void)result_of(r, run, "healed");
	assert_int_equal(sim_total(r, "renewals"), 1);
}

static void a_hook_that_says_no_is_the_end(struct rig *r)
{
	uint64_t run;

	start_world(r);
	sim_fault(r, "{\"call\":\"renew\",\"status\":403,\"times\":100}");
	(void)dispatcher(r, "dispatcher", NULL);
	run = sim_run(r, EXPIRED);
	assert_non_null(strstr(result_of(r, run, "refused"), "403"));
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 0);
}

/* The hook may hear of it twice, by the same name; the run is repeated once. */
static void it_runs_again_once_whoever_is_killed(struct rig *r)
{
	static const char *const points[] = { "before_send", "after_send" };

	start_world(r);
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		struct proc *d = dispatcher(r, "doomed", points[i]);
		uint64_t run = sim_run(r, rig_printf(r,
						     "{\"cause\":\"auth_denied\",\"story\":3,"
						     "\"repo\":\"octo/app%zu\",\"job_ms\":20}",
						     i));

		assert_int_equal(proc_wait(d, PATIENCE_MS), 256 + SIGKILL);
		d = dispatcher(r, "heir", NULL);
		(void)result_of(r, run, "healed");
		assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
		assert_int_equal(proc_stop(d), 0);
	}
}

/* What is wrong with the configuration is said at the start. */
static void half_a_configuration_is_refused(struct rig *r)
{
	struct proc *p;

	start_world(r);
	p = guard_start(r, "half", LIST("dispatcher"),
			LIST(rig_printf(r, "PIPELINE_GUARD_HEAL_REFRESH_URL_FILE=%s",
					rig_path(r, "renew-url")),
			     rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r))));
	proc_may_die(p);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 2);
	assert_non_null(strstr(proc_output(p), "belong together"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(they_are_renewed_and_it_runs_again),
		RIG_TEST(nobody_is_asked_who_is_not_configured),
		RIG_TEST(a_hook_in_trouble_is_asked_again),
		RIG_TEST(a_hook_that_says_no_is_the_end),
		RIG_TEST(it_runs_again_once_whoever_is_killed),
		RIG_TEST(half_a_configuration_is_refused),
	};

	return rig_main(tests);
}

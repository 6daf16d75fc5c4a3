/* Policy, approval and budgets with real processes and the simulated GitHub's ledger. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "tests/integration/product.h"

static const char transient[] = "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}";

static struct proc *start_with_policy(struct rig *r, const char *yaml, const char *set)
{
	rig_write(r, "policy.yaml", yaml, 0600);
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	return dispatcher_start(
		r, "dispatcher", rules_only(r, "markers.yaml", "network.yaml", NULL),
		rig_printf(r, "policy_file=%s", rig_path(r, "policy.yaml")), set, NULL);
}

static int64_t reruns(struct rig *r, uint64_t run)
{
	return sim_number(r, run, "rerun_accepted") + sim_number(r, run, "rerun_refused");
}

static bool is_in_state(struct rig *r, uint64_t run, const char *state)
{
	return strcmp(plan_field(r, run, 1, "state"), state) == 0;
}

/* Exit status of `pipeline-guard policy ...`, and what it printed. */
static int policy(struct rig *r, const char **out, const char *part, const char *argument)
{
	const char *env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)), NULL };
	struct proc *p = guard_start(r, "policy", LIST("policy", "--json", part, argument), env);
	int status = proc_wait(p, PATIENCE_MS);

	*out = proc_output(p);
	return status;
}

/* For people: who starts a larger runner with what is not only for programs to read. */
static void what_a_policy_allows_is_shown(struct rig *r)
{
	struct proc *p;

	rig_write(r, "policy.yaml",
		  "rules:\n  - name: big\n    when: { repo: [acme/engine] }\n"
		  "    larger_runner: ['runner=xl', 'disk=500']\n",
		  0600);
	p = guard_start(r, "show", LIST("policy", "show", rig_path(r, "policy.yaml")), NULL);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 0);
	assert_non_null(strstr(proc_output(p), "Larger runner of big: runner=xl disk=500\n"));
}

static int heal(struct rig *r, const char *flag, uint64_t run)
{
	const char *env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)), NULL };

	return proc_wait(
		guard_start(r, "heal", LIST("heal", flag, rig_printf(r, "%" PRIu64, run)), env),
		PATIENCE_MS);
}

static void a_suggestion_waits_for_a_person_and_is_carried_out_once(struct rig *r)
{
	uint64_t run;

	(void)start_with_policy(r, "defaults: { mode: suggest }\n", "heal.approve_within=1h");
	run = sim_run(r, transient);
	WAIT(r, is_in_state(r, run, "suggested"));
	assert_string_equal(plan_field(r, run, 1, "strategy"), "rerun_failed_jobs");
	assert_string_equal(plan_field(r, run, 1, "policy"), "defaults");
	assert_true(STAYS_FALSE(r, reruns(r, run) > 0, 300));
	assert_int_equal(heal(r, "--approve", run), 0);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(reruns(r, run), 1);
	/* There is nothing left to approve. */
	assert_int_equal(heal(r, "--approve", run), 1);
	assert_int_equal(reruns(r, run), 1);
}

static void what_was_rejected_is_never_done(struct rig *r)
{
	uint64_t run;

	(void)start_with_policy(r, "defaults: { mode: suggest }\n", NULL);
	run = sim_run(r, transient);
	WAIT(r, is_in_state(r, run, "suggested"));
	assert_int_equal(heal(r, "--reject", run), 0);
	assert_string_equal(plan_result(r, run, 1), "rejected");
	assert_int_equal(reruns(r, run), 0);
}

static void what_nobody_approves_expires(struct rig *r)
{
	uint64_t run;

	(void)start_with_policy(r, "defaults: { mode: suggest }\n", "heal.approve_within=1s");
	run = sim_run(r, transient);
	assert_string_equal(plan_result(r, run, 1), "expired");
	assert_int_equal(reruns(r, run), 0);
}

static void rules_decide_by_branch_and_a_bad_file_changes_nothing(struct rig *r)
{
	struct proc *d =
		start_with_policy(r,
				  "rules:\n"
				  "  - { name: hands off, when: { repo: ['*'] }, mode: observe }\n",
				  NULL);
	uint64_t first, second, third;

	first = sim_run(r, transient);
	assert_string_equal(plan_result(r, first, 1), "observed");
	assert_string_equal(plan_field(r, first, 1, "policy"), "hands off");

	rig_write(r, "policy.yaml", "rules: [{ name: x, when: { repo: [a] }, mode: dance }]\n",
		  0600);
	proc_signal(d, SIGHUP);
	WAIT(r, strstr(proc_output(d), "policy not reloaded"));
	second = sim_run(r, transient);
	assert_string_equal(plan_result(r, second, 1), "observed");

	rig_write(r, "policy.yaml", "defaults: { mode: act }\n", 0600);
	proc_signal(d, SIGHUP);
	WAIT(r, strstr(proc_output(d), "policy reloaded"));
	third = sim_run(r, transient);
	assert_string_equal(plan_result(r, third, 1), "healed");
	assert_int_equal(reruns(r, first) + reruns(r, second), 0);
}

static void the_minutes_of_a_repository_are_limited(struct rig *r)
{
	static const char same_repo[] = "{\"cause\":\"network_dns\",\"rerun\":\"pass\","
					"\"repo\":\"aurora-labs/checkout\"}";
	uint64_t first, second;

	(void)start_with_policy(r, "defaults: { minutes_per_repo_day: 1 }\n", NULL);
	first = sim_run(r, same_repo);
	assert_string_equal(plan_result(r, first, 1), "healed");
	/* Begun minutes count. */
	second = sim_run(r, same_repo);
	assert_string_equal(plan_result(r, second, 1), "escalated");
	assert_non_null(strstr(plan_field(r, second, 1, "detail"), "1 minutes a day"));
	assert_int_equal(reruns(r, second), 0);
}

static void only_a_share_of_the_failures_is_run_again(struct rig *r)
{
	enum { FLOOR = 10, RUNS = FLOOR + 3 };
	uint64_t runs[RUNS];
	unsigned healed = 0;

	(void)start_with_policy(r, "fleet_percent: 1\n", NULL);
	for (unsigned i = 0; i < RUNS; i++) {
		runs[i] = sim_run(r, transient);
		healed += strcmp(plan_result(r, runs[i], 1), "healed") == 0;
	}
	assert_int_equal(healed, FLOOR);
	assert_non_null(strstr(plan_field(r, runs[RUNS - 1], 1, "detail"), "more than 1 %"));
}

static void a_policy_is_tried_on_the_past_and_the_switch_thrown(struct rig *r)
{
	const char *out;
	struct json_object *o, *total;
	uint64_t runs[2];

	(void)start_with_policy(r, "defaults: { mode: act }\n", NULL);
	runs[0] = sim_run(r, transient);
	runs[1] = sim_run(r, "{\"cause\":\"build_compile\"}");
	plans_done(r, runs, 2);
	rig_write(r, "other.yaml", "defaults: { mode: suggest }\n", 0600);
	assert_int_equal(policy(r, &out, "test", rig_path(r, "other.yaml")), 0);
	o = rig_json(r, out, strlen(out));
	total = json_object_object_get(o, "total");
	assert_int_equal(json_i64(total, "plans", 0), 2);
	assert_int_equal(json_i64(total, "healed", 0), 1);
	assert_int_equal(json_i64(total, "healed_lost", 0), 1);
	assert_int_equal(json_i64(total, "would_suggest", 0), 1);
	assert_int_equal(json_i64(total, "would_ask", 0), 1);
	assert_int_equal(json_i64(total, "would_act", 0), 0);
	rig_write(r, "same.yaml", "defaults: { mode: act }\n", 0600);
	assert_int_equal(policy(r, &out, "test", rig_path(r, "same.yaml")), 0);
	o = rig_json(r, out, strlen(out));
	assert_int_equal(json_i64(o, "total.would_act", 0), 1);
	assert_true(json_num(o, "total.would_heal", 0) > 0.69);
	assert_true(json_num(o, "total.would_take_ci_minutes", 0) >= 1);
	assert_true(json_num(o, "total.would_save_person_minutes", 0) > 10);

	assert_int_equal(policy(r, &out, "stop", "release freeze"), 0);
	assert_string_equal(redis_text_of(r, "GET pg:{local}:stop"), "release freeze");
	assert_int_equal(policy(r, &out, "stop", "again"), 1);
	assert_int_equal(policy(r, &out, "go", NULL), 0);
	assert_int_equal(policy(r, &out, "go", NULL), 1);
	assert_string_equal(redis_text_of(r, "GET pg:{local}:stop"), "");
	rig_write(r, "bad.yaml", "rules:\n  - name: x\n    strategies: [y]\n", 0600);
	assert_int_equal(policy(r, &out, "check", rig_path(r, "bad.yaml")), 1);
	assert_non_null(strstr(out, "bad.yaml:3:18"));
}

static struct json_object *stats(struct rig *r, int status, const char *mode)
{
	const char *env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)), NULL };
	struct proc *p = guard_start(r, "stats", LIST("stats", mode, "--json"), env);

	assert_int_equal(proc_wait(p, PATIENCE_MS), status);
	return rig_json(r, proc_output(p), strlen(proc_output(p)));
}

static struct json_object *first_of(struct json_object *o, const char *list)
{
	return json_object_array_get_idx(json_at(o, list), 0);
}

static void what_heals_were_worth_is_shown(struct rig *r)
{
	struct json_object *o, *row;
	uint64_t run;

	(void)start_with_policy(r, "defaults: { mode: act }\n", NULL);
	o = stats(r, 1, "--heals");
	assert_int_equal(json_i64(o, "total.tries", -1), 0);
	run = sim_run(r, transient);
	assert_string_equal(plan_result(r, run, 1), "healed");
	WAIT(r, redis_int_of(r, "EVAL %s 0", "return #redis.call('KEYS', 'pg:{local}:value:*')"));
	o = stats(r, 0, "--heals");
	assert_int_equal(json_i64(o, "days", 0), 30);
	row = first_of(o, "heals");
	assert_string_equal(json_str(row, "strategy", ""), "rerun_failed_jobs");
	assert_string_equal(json_str(row, "category", ""), "network_failure");
	assert_int_equal(json_i64(row, "tries", 0), 1);
	assert_int_equal(json_i64(row, "healed", 0), 1);
	assert_int_equal(json_i64(row, "ci_minutes_spent", 0), 1);
	assert_int_equal(json_i64(row, "person_minutes_saved", 0), 15);
	/* (4 x 0.7 + 1) / 5 */
	assert_true(json_num(row, "success", 0) > 0.759 && json_num(row, "success", 0) < 0.761);
	assert_true(json_num(row, "success_low", 0) < 0.5);
	assert_true(json_num(row, "success_high", 0) > 0.9);
	assert_int_equal(json_i64(o, "total.healed", 0), 1);
}

static void what_was_only_observed_is_summed_up(struct rig *r)
{
	struct json_object *o, *row;
	uint64_t runs[3];

	(void)start_with_policy(r, "defaults: { mode: observe }\n", NULL);
	(void)stats(r, 1, "--observe");
	runs[0] = sim_run(r, transient);
	runs[1] = sim_run(r, transient);
	runs[2] = sim_run(r, "{\"cause\":\"build_compile\"}");
	plans_done(r, runs, 3);
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", runs[1]), "{}");
	WAIT(r, strcmp(run_field(r, runs[1], "conclusion"), "success") == 0);
	o = stats(r, 0, "--observe");
	assert_int_equal(json_i64(o, "failures", 0), 3);
	assert_int_equal(json_i64(o, "would_ask", 0), 1);
	row = first_of(o, "would_do");
	assert_string_equal(json_str(row, "strategy", ""), "rerun_failed_jobs");
	assert_int_equal(json_i64(row, "failures", 0), 2);
	assert_true(json_num(row, "would_heal", 0) > 1.39 && json_num(row, "would_heal", 0) < 1.41);
	assert_int_equal(json_i64(row, "risky", -1), 0);
	assert_int_equal(json_i64(row, "people_reran", 0), 1);
	assert_int_equal(json_i64(row, "people_passed", 0), 1);
	assert_true(json_num(o, "total.ci_minutes", 0) >= 2);
	assert_true(json_num(o, "total.person_minutes_saved", 0) > 20);
}

/* The same failure, again and again, that no re-run helps. */
static void what_never_helped_is_not_tried_any_more(struct rig *r)
{
	static const char lasting[] = "{\"cause\":\"network_dns\",\"rerun\":\"same\","
				      "\"repo\":\"aurora-labs/checkout\"}";
	enum { MOST = 40 };
	const char *result = "";
	uint64_t run = 0;
	int tried = 0;

	(void)start_with_policy(r, "defaults: { mode: act }\n", "heal.ci_price=400");
	for (; tried < MOST; tried++) {
		run = sim_run(r, lasting);
		result = plan_result(r, run, 1);
		if (strcmp(result, "same_failure") != 0)
			break;
	}
	assert_string_equal(result, "escalated");
	assert_true(tried > 3 && tried < MOST);
	assert_non_null(strstr(plan_field(r, run, 1, "reason"), "would cost more"));
	assert_int_equal(reruns(r, run), 0);
	assert_string_equal(redis_text_of(r, "EVAL %s 0",
					  "local k = redis.call('KEYS', 'pg:{local}:value:*')[1] "
					  "return redis.call('HGET', k, 'ci_minutes_spent')"),
			    rig_printf(r, "%d", tried));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(what_a_policy_allows_is_shown),
		RIG_TEST(a_suggestion_waits_for_a_person_and_is_carried_out_once),
		RIG_TEST(what_was_rejected_is_never_done),
		RIG_TEST(what_nobody_approves_expires),
		RIG_TEST(rules_decide_by_branch_and_a_bad_file_changes_nothing),
		RIG_TEST(the_minutes_of_a_repository_are_limited),
		RIG_TEST(a_policy_is_tried_on_the_past_and_the_switch_thrown),
		RIG_TEST(what_heals_were_worth_is_shown),
		RIG_TEST(what_was_only_observed_is_summed_up),
		RIG_TEST(what_never_helped_is_not_tried_any_more),
		RIG_TEST(only_a_share_of_the_failures_is_run_again),
	};

	return rig_main(tests);
}

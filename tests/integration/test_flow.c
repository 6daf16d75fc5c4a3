/*
 * The main job, end to end: a simulated GitHub sends signed webhooks of failures with known
 * causes, and its ledger says what the guard did about them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "core/json.h"
#include "tests/integration/product.h"

/* Enough for what the network does; loading them all takes long under a sanitizer. */
static const char *few_rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", "network.yaml", NULL);
}

static void start_with(struct rig *r, const char *set)
{
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", set, NULL);
}

static void start_few(struct rig *r)
{
	start_with(r, few_rules(r));
}

static void start_all(struct rig *r)
{
	start_with(r, NULL);
}

static int64_t rerun_calls(struct rig *r, uint64_t run)
{
	return sim_number(r, run, "rerun_accepted") + sim_number(r, run, "rerun_refused");
}

static void idle(struct rig *r)
{
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
}

/* --- what heals ------------------------------------------------------------------------- */

static void a_transient_failure_is_healed_by_one_rerun(struct rig *r)
{
	struct json_object *finding;
	uint64_t run;

	start_all(r);
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(rerun_calls(r, run), 1);
	assert_int_equal(outcomes_of(r, run, 1), 1);
	assert_string_equal(run_field(r, run, "category"), sim_word(r, run, "category"));
	assert_string_equal(run_field(r, run, "strategy"), "rerun_failed_jobs");
	assert_string_equal(run_field(r, run, "outcome"), "healed");
	assert_string_equal(run_field(r, run, "generation"), "2");
	assert_string_equal(run_field(r, run, "conclusion"), "success");
	assert_string_equal(plan_field(r, run, 1, "sends"), "1");
	finding = rig_json(r, run_field(r, run, "finding"), strlen(run_field(r, run, "finding")));
	assert_true(json_i64(finding, "evidence.0.line", 0) > 0);
	assert_true(*json_str(finding, "evidence.0.text", "") != '\0');
	assert_true(*json_str(finding, "job", "") != '\0');
	/* From the webhook to the outcome it is one trace. */
	assert_string_equal(redis_last_field(r, OUTCOMES, "trace"), plan_field(r, run, 1, "trace"));
	idle(r);
	assert_int_equal(redis_int_of(r, "ZCARD pg:{local}:budget:inflight"), 0);
}

static void webhooks_told_again_change_nothing(struct rig *r)
{
	uint64_t run, other;

	start_few(r);
	run = sim_run(r, "{\"cause\":\"network_reset\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "healed");
	for (int i = 0; i < 3; i++)
		sim_post(r, "/_sim/redeliver", rig_printf(r, "{\"run\":%" PRIu64 "}", run));
	other = sim_run(r, "{\"cause\":\"network_reset\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, other, 1), "healed");
	idle(r);
	assert_int_equal(rerun_calls(r, run), 1);
	assert_int_equal(outcomes_of(r, run, 1), 1);
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 2);
}

/* As `replay` may do with a dead letter, or a person with redis-cli. */
static void work_put_back_changes_no_finished_plan(struct rig *r)
{
	const char *plan;
	uint64_t run;

	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "heal.per_pipeline_hour=0", NULL);
	/* Over its limit, so it could still be re-run. */
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "escalated");
	plan = rig_printf(r, "github:%" PRId64 ":%" PRIu64 ":1", sim_number(r, run, "repo_id"),
			  run);
	(void)redis_do(r, "ZADD %s 1 act:%s", DUE, plan);
	idle(r);
	(void)redis_do(r, "ZADD %s 1 await:%s", DUE, plan);
	idle(r);
	assert_int_equal(outcomes_of(r, run, 1), 1);
	assert_string_equal(plan_field(r, run, 1, "result"), "escalated");
	assert_int_equal(rerun_calls(r, run), 0);
}

/* The receiver is dead when the re-run ends, so no webhook tells; the provider is asked. */
static void a_lost_completion_is_asked_for(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL);
	uint64_t run;

	(void)simulator_start(r, "--job-ms", "700", NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "heal.timeout=6s", NULL);
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "awaiting") == 0);
	proc_kill(receiver);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(rerun_calls(r, run), 1);
}

/* Value of a series of the dispatcher; 0 when it is not there yet. */
static int64_t measured(struct rig *r, int port, const char *series)
{
	const char *at = strstr(http_get(r, port, "/metrics").body, series);

	return at ? strtoll(at + strlen(series), NULL, 10) : 0;
}

/* A log of some 20 MB is read while the dispatcher answers others. */
static void a_large_log_holds_nothing_up(struct rig *r)
{
	static const char slices[] = "\npipeline_guard_log_slice_seconds_count ";
	struct proc *dispatcher;
	int64_t n = 0, before = 0, patience;
	unsigned seen = 0;
	uint64_t run;
	int port;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, "--noise", "200000", NULL);
	dispatcher = dispatcher_start(r, "dispatcher", few_rules(r), "github.log_max=64m",
				      "admin_listen=127.0.0.1:0", NULL);
	port = port_of(strchr(proc_line(dispatcher, "dispatcher ready "), ' '));
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	patience = clock_mono_ms() + PATIENCE_MS;
	while ((n = measured(r, port, slices)) < 200) {
		assert_true(clock_mono_ms() < patience);
		assert_int_equal(http_get(r, port, "/health").status, 200);
		seen += n > before;
		before = n;
	}
	/* In one piece there would be nothing between none and all. */
	assert_true(seen > 2);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_string_equal(run_field(r, run, "category"), sim_word(r, run, "category"));
}

/* --- what does not --------------------------------------------------------------------------- */

static void what_fails_for_good_is_left_to_people(struct rig *r)
{
	static const struct {
		const char *run, *reason, *also;
	} rows[] = {
		{ "{\"cause\":\"build_compile\"}", "will fail again without a change", NULL },
		{ "{\"cause\":\"unknown_exit\"}", "no known cause", "only the words say" },
		{ "{\"cause\":\"startup_failure\"}", "definition has to change", NULL },
		{ "{\"cause\":\"deploy_rollout\"}", "deploys or publishes", NULL },
		{ "{\"cause\":\"network_dns\",\"workflow\":\"Release\","
		  "\"failing_job\":\"deploy to production\"}",
		  "deploys or publishes", NULL },
		{ "{\"cause\":\"network_dns\",\"logs_expired\":true}", "could not be read", NULL },
	};

	start_all(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t run = sim_run(r, rows[i].run);
		const char *reason;

		assert_case(strcmp(plan_result(r, run, 1), "escalated") == 0, rows[i].run);
		reason = run_field(r, run, "plan_reason");
		if (!strstr(reason, rows[i].reason) &&
		    !(rows[i].also && strstr(reason, rows[i].also)))
			fail_msg("%s: \"%s\" does not say %s", rows[i].run, reason, rows[i].reason);
		assert_case(rerun_calls(r, run) == 0, rows[i].run);
		assert_case(outcomes_of(r, run, 1) == 1, rows[i].run);
	}
}

static void what_a_tool_can_mend_is_suggested(struct rig *r)
{
	uint64_t run;

	start_all(r);
	run = sim_run(r, "{\"cause\":\"lint_style\"}");
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "suggested") == 0);
	assert_string_equal(plan_field(r, run, 1, "strategy"), "fix_lint");
	assert_int_equal(rerun_calls(r, run), 0);
}

static void runs_that_did_not_fail_are_left_alone(struct rig *r)
{
	uint64_t passed, cancelled;

	start_few(r);
	passed = sim_run(r, "{\"passes\":true}");
	cancelled = sim_run(r, "{\"cause\":\"cancelled\"}");
	WAIT(r, strcmp(run_field(r, passed, "status"), "completed") == 0);
	WAIT(r, strcmp(run_field(r, cancelled, "status"), "completed") == 0);
	idle(r);
	assert_int_equal(rerun_calls(r, passed) + rerun_calls(r, cancelled), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 0);
}

static void the_same_failure_again_is_not_run_a_third_time(struct rig *r)
{
	uint64_t run;

	start_few(r);
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"same\"}");
	assert_string_equal(plan_result(r, run, 1), "same_failure");
	assert_string_equal(plan_result(r, run, 2), "escalated");
	assert_non_null(strstr(plan_field(r, run, 2, "reason"), "no more than 1 re-run"));
	idle(r);
	assert_int_equal(rerun_calls(r, run), 1);
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 2);
	/* The newest plan speaks for the run. */
	assert_string_equal(run_field(r, run, "outcome"), "escalated");
}

static void another_failure_is_told_apart(struct rig *r)
{
	uint64_t run;

	start_all(r);
	run = sim_run(r, "{\"cause\":\"network_dns\",\"different\":\"build_compile\","
			 "\"rerun\":\"different\"}");
	assert_string_equal(plan_result(r, run, 1), "different_failure");
	assert_string_equal(plan_result(r, run, 2), "escalated");
	assert_string_equal(run_field(r, run, "category"), "build_failure");
	assert_int_equal(rerun_calls(r, run), 1);
}

static void a_person_who_was_faster_is_respected(struct rig *r)
{
	uint64_t run;

	start_few(r);
	/* The guard cannot look at the run, so it cannot act on it either. */
	sim_fault(r, "{\"call\":\"get_run\",\"kind\":\"status\",\"status\":503,\"times\":100000}");
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "leased") == 0);
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run), "{}");
	sim_no_faults(r);
	assert_string_equal(plan_result(r, run, 1), "superseded");
	WAIT(r, strcmp(run_field(r, run, "conclusion"), "success") == 0);
	assert_int_equal(rerun_calls(r, run), 0);
	assert_int_equal(sim_number(r, run, "rerun_by_person"), 1);
}

/* A plan of a dispatcher whose clock is ahead of everybody's: it is not old, but new. */
static void clocks_that_differ_make_no_plan_old(struct rig *r)
{
	const char *plan;
	uint64_t run;

	start_few(r);
	(void)redis_do(r, "SET pg:{local}:stop %s", "release freeze");
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "leased") == 0);
	plan = rig_printf(r, "github:%" PRId64 ":%" PRIu64 ":1", sim_number(r, run, "repo_id"),
			  run);
	(void)redis_do(r, "HSET pg:{local:0}:plan:%s created_at_ms %lld", plan,
		       (long long)clock_wall_ms() + 3600 * 1000);
	/* Held until it asks again; as soon as it is held a second time its age was looked at. */
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 1);
	(void)redis_do(r, "ZADD %s XX 1 act:%s", DUE, plan);
	WAIT(r, strtod(redis_text_of(r, "ZSCORE %s act:%s", DUE, plan), NULL) > 1);
	(void)redis_do(r, "DEL pg:{local}:stop");
	(void)redis_do(r, "ZADD %s XX 1 act:%s", DUE, plan);
	assert_string_equal(plan_result(r, run, 1), "healed");
}

/* --- jobs ------------------------------------------------------------------------------- */

/* A run that failed for a reason that a re-run helps against, before anybody looks at it. */
static uint64_t unseen_run(struct rig *r, const char *wish)
{
	uint64_t run = sim_run(r, wish);

	WAIT(r, strcmp(sim_word(r, run, "status"), "completed") == 0);
	return run;
}

static int64_t failed_job(struct rig *r, uint64_t run)
{
	for (unsigned i = 0; i < 8; i++)
		if (strcmp(sim_word(r, run, rig_printf(r, "attempts.0.jobs.%u.conclusion", i)),
			   "failure") == 0)
			return sim_number(r, run, rig_printf(r, "attempts.0.jobs.%u.id", i));
	fail_msg("no job failed");
	return 0;
}

#define JOB_FAILED                                                            \
	"{\"id\":%" PRId64 ",\"name\":\"%s\",\"status\":\"completed\","       \
	"\"conclusion\":\"failure\",\"started_at\":\"2026-11-25T10:00:00Z\"," \
	"\"completed_at\":\"2026-11-25T10:01:00Z\",\"steps\":[]}"
#define JOB_OTHER                                                                            \
	"{\"id\":%u,\"name\":\"%s\",\"status\":\"completed\",\"conclusion\":\"%s\","         \
	"\"started_at\":\"2026-11-25T09:00:00Z\",\"completed_at\":\"2026-11-25T10:02:00Z\"," \
	"\"steps\":[]}"

/* From now on these are the jobs of every run. */
static void jobs_are(struct rig *r, unsigned total, const char *jobs)
{
	OWNED(buf_done) struct buf fault, body;

	buf_init(&body, 1 << 20);
	buf_init(&fault, 1 << 20);
	buf_printf(&body, "{\"total_count\":%u,\"jobs\":[%s]}", total, jobs);
	buf_puts(&fault, "{\"call\":\"list_jobs\",\"kind\":\"status\",\"status\":200,"
			 "\"times\":1000,\"body\":");
	buf_json(&fault, buf_text(&body), body.len);
	buf_puts(&fault, "}");
	sim_fault(r, buf_text(&fault));
}

static void is_left_to_a_person(struct rig *r, uint64_t run, const char *reason)
{
	(void)dispatcher_start(r, "dispatcher", NULL);
	assert_string_equal(plan_result(r, run, 1), "escalated");
	if (!strstr(run_field(r, run, "plan_reason"), reason))
		fail_msg("\"%s\" does not say %s", run_field(r, run, "plan_reason"), reason);
	assert_int_equal(rerun_calls(r, run), 0);
}

static void more_jobs_than_can_be_seen_may_deploy(struct rig *r)
{
	OWNED(buf_done) struct buf jobs;
	uint64_t run;

	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	run = unseen_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	buf_init(&jobs, 1 << 20);
	buf_printf(&jobs, JOB_FAILED, failed_job(r, run), "build");
	for (unsigned i = 0; i < 256; i++)
		buf_printf(&jobs, "," JOB_OTHER, 1000 + i, "test", "success");
	jobs_are(r, 300, buf_text(&jobs));
	is_left_to_a_person(r, run, "deploys or publishes");
}

static void a_deploy_job_that_was_cut_off_is_not_repeated(struct rig *r)
{
	uint64_t run;

	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	run = unseen_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	jobs_are(r, 2,
		 rig_printf(r, JOB_FAILED "," JOB_OTHER, failed_job(r, run), "build", 1000,
			    "deploy to eu", "cancelled"));
	is_left_to_a_person(r, run, "deploys or publishes");
}

static void one_job_that_failed_for_good_is_enough(struct rig *r)
{
	uint64_t run, other;

	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	run = unseen_run(r,
			 "{\"repo\":\"acme/shop\",\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	other = unseen_run(r, "{\"repo\":\"acme/shop\",\"cause\":\"config_env\",\"silent\":true}");
	jobs_are(r, 2,
		 rig_printf(r, JOB_FAILED "," JOB_FAILED, failed_job(r, run), "build",
			    failed_job(r, other), "check"));
	is_left_to_a_person(r, run, "will fail again");
}

/* --- limits ------------------------------------------------------------------------------ */

static void observing_only_tells(struct rig *r)
{
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "mode=observe", NULL);
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "observed");
	assert_non_null(strstr(plan_field(r, run, 1, "detail"), "rerun_failed_jobs"));
	assert_string_equal(redis_text_of(r, "HGET pg:{local}:meta mode"), "observe");
	idle(r);
	assert_int_equal(rerun_calls(r, run), 0);
	assert_int_equal(sim_total(r, "rerun_accepted"), 0);
	assert_int_equal(sim_total(r, "rerun_refused"), 0);
}

static void the_kill_switch_holds_and_lets_go(struct rig *r)
{
	uint64_t run;

	start_few(r);
	(void)redis_do(r, "SET pg:{local}:stop %s", "release freeze");
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "leased") == 0);
	assert_true(STAYS_FALSE(r, rerun_calls(r, run) > 0, 500));
	(void)redis_do(r, "DEL pg:{local}:stop");
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(rerun_calls(r, run), 1);
}

/* Calls leave one after the other; one that waits for its turn has its permission already. */
static void the_kill_switch_reaches_a_call_that_waits(struct rig *r)
{
	uint64_t first, second;

	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "github.write_interval=3s", NULL);
	first = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, first, 1), "healed");
	second = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	WAIT(r, strcmp(plan_field(r, second, 1, "state"), "sent") == 0);
	(void)redis_do(r, "SET pg:{local}:stop %s", "release freeze");
	assert_true(STAYS_FALSE(r, rerun_calls(r, second) > 0, 4000));
	(void)redis_do(r, "DEL pg:{local}:stop");
	assert_string_equal(plan_result(r, second, 1), "healed");
	assert_int_equal(rerun_calls(r, second), 1);
}

/* Redis answers after the task's time is over, and out of order: it did not know the script. */
static void an_answer_after_the_deadline_finds_its_task(struct rig *r)
{
	uint64_t run;

	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "dispatcher.lease=800ms", NULL);
	sim_fault(r, "{\"call\":\"get_run\",\"kind\":\"slow\",\"ms\":450,\"times\":1}");
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "leased") == 0);
	(void)redis_do(r, "CLIENT PAUSE 900 ALL");
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(rerun_calls(r, run), 1);
}

static void a_pipeline_has_a_budget(struct rig *r)
{
	static const char wish[] = "{\"repo\":\"acme/shop\",\"workflow\":\"CI\","
				   "\"cause\":\"network_dns\",\"rerun\":\"pass\"}";
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "heal.per_pipeline_hour=2", NULL);
	for (int i = 0; i < 2; i++)
		assert_string_equal(plan_result(r, sim_run(r, wish), 1), "healed");
	run = sim_run(r, wish);
	assert_string_equal(plan_result(r, run, 1), "escalated");
	assert_non_null(strstr(plan_field(r, run, 1, "detail"), "used up"));
	assert_int_equal(rerun_calls(r, run), 0);
}

static void drain_finishes_what_is_in_flight(struct rig *r)
{
	struct proc *dispatcher;
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	dispatcher = dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	sim_fault(r, "{\"call\":\"log\",\"kind\":\"slow\",\"ms\":1000,\"times\":1}");
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	/* The work that was taken, and the counter of epochs. */
	WAIT(r, redis_int_of(r, "HLEN pg:{local:0}:work") == 2);
	assert_int_equal(proc_stop(dispatcher), 0);
	assert_string_equal(plan_field(r, run, 1, "state"), "planned");
	(void)dispatcher_start(r, "heir", few_rules(r), NULL);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
}

/* --- the App ------------------------------------------------------------------------------ */

static void heals_as_an_app(struct rig *r)
{
	uint64_t run;

	app_keys(r);
	(void)receiver_start(r, NULL);
	/* Tokens that live so short that a new one is needed in between. */
	(void)simulator_start(r, "--app-id", "4711", "--app-public-key-file",
			      rig_path(r, "app.pub"), "--app-token-ms", "1500", NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "github.app_id=4711",
			       rig_printf(r, "github.app_key_file=%s", rig_path(r, "app.pem")),
			       NULL);
	for (int i = 0; i < 3; i++) {
		run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
		assert_string_equal(plan_result(r, run, 1), "healed");
		assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
	}
	/* Its answer is lost; that it was ours says who GitHub says that we are. */
	sim_fault(r, "{\"call\":\"rerun\",\"kind\":\"apply_then_drop\"}");
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
}

/* --- many ------------------------------------------------------------------------------------ */

static void a_burst_loses_nothing_and_does_nothing_twice(struct rig *r)
{
	enum { N = 200 };
	static const char *const causes[] = { "network_dns",    "network_reset", "build_compile",
					      "test_assertion", "runner_lost",   "network_503",
					      "test_flaky",     "lint_style" };
	uint64_t *runs = rig_alloc(r, N * sizeof(*runs));

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, "--duplicate", "0.3", "--reorder", "0.3", "--ghosts", "on",
			      "--seed", "7", NULL);
	/* What a formatter could mend is only suggested, and nobody answers. */
	(void)dispatcher_start(r, "a", "heal.concurrent=1000", "heal.approve_within=1s", NULL);
	(void)dispatcher_start(r, "b", "heal.concurrent=1000", "heal.approve_within=1s", NULL);
	for (int i = 0; i < N; i++)
		runs[i] = sim_run(r, rig_printf(r, "{\"cause\":\"%s\"}",
						causes[(size_t)i % ARRAY_LEN(causes)]));
	plans_done(r, runs, N);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
	assert_true(sim_total(r, "rerun_accepted") > N / 4);
	assert_true(sim_total(r, "healed") > N / 8);
	assert_int_equal(sim_total(r, "webhooks_failed"), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
	for (int i = 0; i < N; i++)
		assert_int_equal(outcomes_of(r, runs[i], 1), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_transient_failure_is_healed_by_one_rerun),
		RIG_TEST(webhooks_told_again_change_nothing),
		RIG_TEST(work_put_back_changes_no_finished_plan),
		RIG_TEST(a_lost_completion_is_asked_for),
		RIG_TEST(a_large_log_holds_nothing_up),
		RIG_TEST(what_fails_for_good_is_left_to_people),
		RIG_TEST(what_a_tool_can_mend_is_suggested),
		RIG_TEST(runs_that_did_not_fail_are_left_alone),
		RIG_TEST(the_same_failure_again_is_not_run_a_third_time),
		RIG_TEST(another_failure_is_told_apart),
		RIG_TEST(a_person_who_was_faster_is_respected),
		RIG_TEST(clocks_that_differ_make_no_plan_old),
		RIG_TEST(more_jobs_than_can_be_seen_may_deploy),
		RIG_TEST(a_deploy_job_that_was_cut_off_is_not_repeated),
		RIG_TEST(one_job_that_failed_for_good_is_enough),
		RIG_TEST(observing_only_tells),
		RIG_TEST(the_kill_switch_holds_and_lets_go),
		RIG_TEST(the_kill_switch_reaches_a_call_that_waits),
		RIG_TEST(an_answer_after_the_deadline_finds_its_task),
		RIG_TEST(a_pipeline_has_a_budget),
		RIG_TEST(drain_finishes_what_is_in_flight),
		RIG_TEST(heals_as_an_app),
		RIG_TEST(a_burst_loses_nothing_and_does_nothing_twice),
	};

	return rig_main(tests);
}

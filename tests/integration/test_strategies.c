/* What each strategy does at the provider, whoever is killed meanwhile, and what it leaves alone.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/product.h"

/* Work of a dead dispatcher is due again when its lease ends. */
#define QUICK "dispatcher.lease=1500ms", "dispatcher.claim_idle=500ms"

static const char *rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", "network.yaml", "ci_systems.yaml", "limits.yaml",
			  "cache.yaml", NULL);
}

#define dispatcher(r, name, ...) dispatcher_start((r), (name), QUICK, rules(r), __VA_ARGS__)

static void start_world(struct rig *r)
{
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
}

static int64_t plan_number(struct rig *r, uint64_t run, const char *field)
{
	return strtoll(plan_field(r, run, 1, field), NULL, 10);
}

static int64_t accepted(struct rig *r, uint64_t run)
{
	return sim_number(r, run, "rerun_accepted");
}

static bool in_state(struct rig *r, uint64_t run, const char *state)
{
	return strcmp(plan_field(r, run, 1, "state"), state) == 0;
}

static void healed_once_by(struct rig *r, uint64_t run, const char *strategy)
{
	const char *result = plan_result(r, run, 1);

	if (strcmp(result, "healed") != 0)
		fail_msg("%s (%s; %s)", result, plan_field(r, run, 1, "reason"),
			 plan_field(r, run, 1, "detail"));
	assert_string_equal(plan_field(r, run, 1, "strategy"), strategy);
	assert_int_equal(accepted(r, run), 1);
	assert_int_equal(outcomes_of(r, run, 1), 1);
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
}

static uint64_t killed_at(struct rig *r, const char *point, const char *wish)
{
	struct proc *doomed;
	uint64_t run;

	start_world(r);
	doomed = dispatcher_start_doomed(r, "doomed", point, QUICK, rules(r), NULL);
	run = sim_run(r, wish);
	assert_int_equal(proc_wait(doomed, PATIENCE_MS), 256 + SIGKILL);
	assert_true(in_state(r, run, "sent"));
	return run;
}

/* --- retry_with_backoff --------------------------------------------------------------------- */

#define LIMITED "{\"cause\":\"rate_limit_docker\",\"rerun\":\"pass\"}"

/* The wait is in Redis, not in a process. */
static void a_limit_is_given_time_whoever_dies_meanwhile(struct rig *r)
{
	struct proc *first;
	uint64_t run;

	start_world(r);
	first = dispatcher(r, "first", "heal.backoff=3s", NULL);
	run = sim_run(r, LIMITED);
	WAIT(r, in_state(r, run, "planned"));
	assert_int_equal(plan_number(r, run, "due_at_ms") - plan_number(r, run, "created_at_ms"),
			 3000);
	proc_kill(first);
	(void)dispatcher(r, "heir", "heal.backoff=3s", NULL);
	healed_once_by(r, run, "retry_with_backoff");
	assert_true(sim_number(r, run, "first_rerun_ms") >= plan_number(r, run, "due_at_ms"));
}

/* Age counts from when it was due, or a long wait would be given up before its end. */
static void waiting_makes_no_plan_old(struct rig *r)
{
	uint64_t run;

	start_world(r);
	sim_fault(r, "{\"call\":\"get_run\",\"kind\":\"status\",\"status\":503,\"times\":1}");
	(void)dispatcher(r, "dispatcher", "heal.backoff=2s", "heal.give_up=1500ms", NULL);
	run = sim_run(r, LIMITED);
	healed_once_by(r, run, "retry_with_backoff");
}

static void a_person_who_runs_it_again_meanwhile_is_respected(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher(r, "dispatcher", "heal.backoff=3s", NULL);
	run = sim_run(r, LIMITED);
	WAIT(r, in_state(r, run, "planned"));
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run), "{}");
	assert_string_equal(plan_result(r, run, 1), "superseded");
	assert_int_equal(accepted(r, run), 0);
}

/* --- whose re-run is it? -----------------------------------------------------------------------
 */

static void by_a_person(struct rig *r, uint64_t run)
{
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run), "{}");
	WAIT(r, sim_number(r, run, "rerun_by_person") == 1);
}

#define SLOW "{\"cause\":\"network_dns\",\"rerun\":\"pass\",\"job_ms\":1500}"

/* Between what is written and the call, the guard dies and a person runs it again. */
static void a_person_is_faster_than_a_call_that_was_interrupted(struct rig *r)
{
	uint64_t run = killed_at(r, "before_send", SLOW);

	by_a_person(r, run);
	(void)dispatcher(r, "heir", NULL);
	assert_string_equal(plan_result(r, run, 1), "superseded");
	assert_int_equal(accepted(r, run), 0);
}

/* The call waits for its turn, and is told that the run is going on. */
static void a_person_is_faster_than_a_call_that_waits(struct rig *r)
{
	uint64_t run, other;

	start_world(r);
	(void)dispatcher(r, "dispatcher", "github.write_interval=4s", NULL);
	other = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	WAIT(r, accepted(r, other) == 1);
	run = sim_run(r, SLOW);
	WAIT(r, in_state(r, run, "sent"));
	by_a_person(r, run);
	assert_string_equal(plan_result(r, run, 1), "superseded");
	assert_int_equal(accepted(r, run), 0);
	assert_string_equal(plan_result(r, other, 1), "healed");
}

/* --- rerun_all ------------------------------------------------------------------------------ */

#define GONE "{\"cause\":\"artifact_gone\",\"rerun\":\"pass\",\"workflow\":\"CI\"}"

static void what_earlier_jobs_made_is_made_again(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher(r, "dispatcher", NULL);
	run = sim_run(r, GONE);
	healed_once_by(r, run, "rerun_all");
	assert_int_equal(sim_number(r, run, "rerun_all"), 1);
}

static void rerun_all_is_sent_once_whoever_is_killed(struct rig *r)
{
	uint64_t run = killed_at(r, "after_send", GONE);

	(void)dispatcher(r, "heir", NULL);
	healed_once_by(r, run, "rerun_all");
	assert_int_equal(sim_number(r, run, "rerun_refused"), 0);
}

static void rerun_all_that_did_not_leave_is_sent_again(struct rig *r)
{
	uint64_t run = killed_at(r, "before_send", GONE);

	(void)dispatcher(r, "heir", NULL);
	healed_once_by(r, run, "rerun_all");
	assert_string_equal(plan_field(r, run, 1, "sends"), "2");
}

/* --- clear_cache_and_rerun ------------------------------------------------------------------ */

#define DAMAGED "{\"cause\":\"cache_corrupt\",\"workflow\":\"CI\"}"

/* Two of the four that the repository has; those it did not use are there still. */
static void cleared_and_healed(struct rig *r, uint64_t run)
{
	healed_once_by(r, run, "clear_cache_and_rerun");
	assert_int_equal(sim_number(r, run, "caches"), 12);
}

static void a_damaged_cache_is_deleted_and_made_anew(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher(r, "dispatcher", NULL);
	run = sim_run(r, DAMAGED);
	cleared_and_healed(r, run);
}

static void killed_before_anything_was_deleted(struct rig *r)
{
	uint64_t run = killed_at(r, "before_send", DAMAGED);

	assert_int_equal(sim_number(r, run, "caches"), 15);
	(void)dispatcher(r, "heir", NULL);
	cleared_and_healed(r, run);
}

static void killed_when_all_was_done(struct rig *r)
{
	uint64_t run = killed_at(r, "after_send", DAMAGED);

	(void)dispatcher(r, "heir", NULL);
	cleared_and_healed(r, run);
	assert_string_equal(plan_field(r, run, 1, "sends"), "1");
}

/* The caches are gone, the run was not repeated: that there is none left is no reason to stop. */
static void killed_between_the_caches_and_the_rerun(struct rig *r)
{
	struct proc *doomed;
	uint64_t run;

	start_world(r);
	sim_fault(r, "{\"call\":\"rerun\",\"kind\":\"hang\",\"times\":1}");
	doomed = dispatcher(r, "doomed", NULL);
	run = sim_run(r, DAMAGED);
	sim_faults_happened(r);
	assert_int_equal(sim_number(r, run, "caches"), 12);
	proc_kill(doomed);
	assert_int_equal(accepted(r, run), 0);
	(void)dispatcher(r, "heir", NULL);
	cleared_and_healed(r, run);
	assert_string_equal(plan_field(r, run, 1, "sends"), "2");
}

/* The token may read: nothing is deleted, nothing is run, and the text says what it lacks. */
static void without_the_right_nothing_happens(struct rig *r)
{
	uint64_t run;

	start_world(r);
	sim_post(r, "/_sim/repos", "{\"repo\":\"acme/shop\",\"access\":\"read\"}");
	(void)dispatcher(r, "dispatcher", NULL);
	run = sim_run(r, "{\"cause\":\"cache_corrupt\",\"repo\":\"acme/shop\"}");
	assert_string_equal(plan_result(r, run, 1), "refused");
	assert_non_null(strstr(plan_field(r, run, 1, "detail"), "actions: write"));
	assert_int_equal(sim_number(r, run, "caches"), 15);
	assert_int_equal(sim_number(r, run, "attempt"), 1);
}

/* --- cancel_stuck_and_rerun ----------------------------------------------------------------- */

#define HANGS   "\"passes\":true,\"job_ms\":3000000,\"workflow\":\"CI\""
#define STOPPED QUICK, "heal.stop_within=1s"

static uint64_t hanging(struct rig *r, const char *more)
{
	uint64_t run = sim_run(r, rig_printf(r, "{" HANGS "%s}", more));

	WAIT(r, *run_field(r, run, "generation"));
	return run;
}

/* Exit status of the command; the run by its number. */
static int ask_to_stop(struct rig *r, uint64_t run, const char *option)
{
	return heal_asked(r, "--strategy", "cancel_stuck_and_rerun", rig_printf(r, "%" PRIu64, run),
			  option, NULL);
}

static void what_hangs_is_stopped_and_run_again(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher_start(r, "dispatcher", STOPPED, rules(r), NULL);
	run = hanging(r, "");
	assert_int_equal(ask_to_stop(r, run, NULL), 0);
	healed_once_by(r, run, "cancel_stuck_and_rerun");
	assert_int_equal(sim_number(r, run, "cancels"), 1);
	/* It is over now. */
	assert_int_equal(ask_to_stop(r, run, NULL), 1);
}

/* The provider accepts, and nothing happens: it is told again, then harder. */
static void what_does_not_stop_is_stopped_by_force(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher_start(r, "dispatcher", STOPPED, rules(r), NULL);
	run = hanging(r, ",\"stubborn\":true");
	assert_int_equal(ask_to_stop(r, run, NULL), 0);
	healed_once_by(r, run, "cancel_stuck_and_rerun");
	assert_int_equal(sim_number(r, run, "cancels"), 3);
}

static void a_run_is_stopped_and_repeated_once_whoever_is_killed(struct rig *r)
{
	static const char *const points[] = { "before_send", "after_send" };

	start_world(r);
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		struct proc *p =
			dispatcher_start_doomed(r, "doomed", points[i], STOPPED, rules(r), NULL);
		uint64_t run = hanging(r, "");

		assert_int_equal(ask_to_stop(r, run, NULL), 0);
		assert_int_equal(proc_wait(p, PATIENCE_MS), 256 + SIGKILL);
		p = dispatcher_start(r, "heir", STOPPED, rules(r), NULL);
		healed_once_by(r, run, "cancel_stuck_and_rerun");
		assert_int_equal(sim_number(r, run, "cancels"), 1);
		assert_int_equal(proc_stop(p), 0);
	}
}

/* Between the two calls: it was stopped, and the re-run did not arrive. */
static void killed_between_the_stop_and_the_rerun(struct rig *r)
{
	struct proc *doomed;
	uint64_t run;

	start_world(r);
	sim_fault(r, "{\"call\":\"rerun\",\"kind\":\"hang\",\"times\":1}");
	doomed = dispatcher_start(r, "doomed", STOPPED, rules(r), NULL);
	run = hanging(r, "");
	assert_int_equal(ask_to_stop(r, run, NULL), 0);
	sim_faults_happened(r);
	assert_string_equal(plan_field(r, run, 1, "stopped"), "1");
	proc_kill(doomed);
	(void)dispatcher_start(r, "heir", STOPPED, rules(r), NULL);
	healed_once_by(r, run, "cancel_stuck_and_rerun");
}

/* What a person repeats while it is being stopped is theirs. */
static void a_person_repeats_it_while_it_is_stopped(struct rig *r)
{
	struct proc *doomed;
	uint64_t run;

	start_world(r);
	doomed = dispatcher_start_doomed(r, "doomed", "after_send", STOPPED, rules(r), NULL);
	run = hanging(r, "");
	assert_int_equal(ask_to_stop(r, run, NULL), 0);
	assert_int_equal(proc_wait(doomed, PATIENCE_MS), 256 + SIGKILL);
	WAIT(r, strcmp(sim_word(r, run, "conclusion"), "cancelled") == 0);
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run), "{}");
	(void)dispatcher_start(r, "heir", STOPPED, rules(r), NULL);
	assert_string_equal(plan_result(r, run, 1), "superseded");
	assert_int_equal(accepted(r, run), 0);
}

static void what_deploys_is_not_stopped_without_force(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher_start(r, "dispatcher", STOPPED, rules(r), NULL);
	run = sim_run(r, "{\"passes\":true,\"job_ms\":700,\"workflow\":\"Release\"}");
	WAIT(r, strcmp(sim_word(r, run, "attempts.0.jobs.2.status"), "in_progress") == 0);
	assert_int_equal(ask_to_stop(r, run, NULL), 0);
	assert_string_equal(plan_result(r, run, 1), "escalated");
	assert_non_null(strstr(plan_field(r, run, 1, "detail"), "deploy to production"));
	assert_int_equal(sim_number(r, run, "cancels"), 0);
}

/* --- ... and nobody has to ask ---------------------------------------------------------------- */

#define LOOKING STOPPED, "heal.stuck_after=1s"
#define REPO    "\"repo\":\"aurora-labs/checkout\",\"workflow\":\"CI\""
enum { USUAL = 5 };

static void usual_runs(struct rig *r, int job_ms)
{
	for (int i = 0; i < USUAL; i++)
		(void)sim_run(r, rig_printf(r, "{\"passes\":true,\"job_ms\":%d," REPO "}", job_ms));
	WAIT(r, redis_int_of(r, "EVAL %s 0",
			     "local k = redis.call('KEYS', 'pg:{local:0}:durations:*')[1] "
			     "return k and redis.call('LLEN', k) or 0") == USUAL);
}

static uint64_t hangs_there(struct rig *r)
{
	return sim_run(r, "{\"passes\":true,\"job_ms\":20000," REPO "}");
}

static void a_run_that_hangs_is_noticed(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher_start(r, "dispatcher", LOOKING, "heal.stuck_act=true", rules(r), NULL);
	usual_runs(r, 20);
	run = hangs_there(r);
	healed_once_by(r, run, "cancel_stuck_and_rerun");
	assert_int_equal(sim_number(r, run, "cancels"), 1);
	assert_non_null(strstr(plan_field(r, run, 1, "reason"), "\" is in progress for "));
	assert_string_equal(plan_field(r, run, 1, "asked_by"), "");
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
}

static void by_itself_that_is_only_suggested(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher_start(r, "dispatcher", LOOKING, rules(r), NULL);
	usual_runs(r, 20);
	run = hangs_there(r);
	WAIT(r, in_state(r, run, "suggested"));
	assert_int_equal(sim_number(r, run, "cancels"), 0);
	assert_int_equal(heal_asked(r, "--approve", rig_printf(r, "%" PRIu64, run), NULL), 0);
	healed_once_by(r, run, "cancel_stuck_and_rerun");
}

/* It went on after all, and failed: that is another question, and has its own plan. */
static void what_hung_and_failed_is_healed_as_a_failure(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher_start(r, "dispatcher", LOOKING, rules(r), NULL);
	usual_runs(r, 20);
	run = sim_run(r, "{\"cause\":\"network_dns\",\"job_ms\":7000,\"rerun\":\"pass\"," REPO "}");
	WAIT(r, in_state(r, run, "suggested"));
	WAIT(r, strcmp(plan_field(r, run, 1, "strategy"), "rerun_failed_jobs") == 0);
	assert_string_equal(plan_field(r, run, 1, "running"), "");
	assert_string_equal(run_field(r, run, "planned"), "1");
	WAIT_MS(r, in_state(r, run, "done"), 2 * PATIENCE_MS);
	assert_string_equal(plan_field(r, run, 1, "result"), "healed");
	assert_int_equal(accepted(r, run), 1);
}

static void a_suggestion_is_void_when_the_run_passes(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher_start(r, "dispatcher", LOOKING, rules(r), NULL);
	usual_runs(r, 20);
	run = sim_run(r, "{\"passes\":true,\"job_ms\":5000," REPO "}");
	WAIT(r, in_state(r, run, "suggested"));
	WAIT_MS(r, in_state(r, run, "done"), 2 * PATIENCE_MS);
	assert_string_equal(plan_field(r, run, 1, "result"), "superseded");
	assert_int_equal(accepted(r, run), 0);
}

static void what_is_usually_slow_does_not_hang(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher_start(r, "dispatcher", LOOKING, "heal.stuck_act=true", rules(r), NULL);
	usual_runs(r, 900);
	run = sim_run(r, "{\"passes\":true,\"job_ms\":2200," REPO "}");
	WAIT(r, strcmp(run_field(r, run, "conclusion"), "success") == 0);
	assert_int_equal(sim_number(r, run, "cancels"), 0);
	assert_string_equal(run_field(r, run, "hang"), "");
	assert_string_equal(run_field(r, run, "plan"), "");
}

static void what_is_usual_has_to_be_known(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher_start(r, "dispatcher", LOOKING, "heal.stuck_act=true", rules(r), NULL);
	run = hangs_there(r);
	WAIT(r, *run_field(r, run, "began_ms"));
	assert_true(STAYS_FALSE(r, *run_field(r, run, "hang") != '\0', 3000));
	assert_int_equal(redis_int_of(r, "ZCARD %s", DUE), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_limit_is_given_time_whoever_dies_meanwhile),
		RIG_TEST(waiting_makes_no_plan_old),
		RIG_TEST(a_person_who_runs_it_again_meanwhile_is_respected),
		RIG_TEST(what_earlier_jobs_made_is_made_again),
		RIG_TEST(rerun_all_is_sent_once_whoever_is_killed),
		RIG_TEST(a_person_is_faster_than_a_call_that_was_interrupted),
		RIG_TEST(a_person_is_faster_than_a_call_that_waits),
		RIG_TEST(rerun_all_that_did_not_leave_is_sent_again),
		RIG_TEST(a_damaged_cache_is_deleted_and_made_anew),
		RIG_TEST(killed_before_anything_was_deleted),
		RIG_TEST(killed_when_all_was_done),
		RIG_TEST(killed_between_the_caches_and_the_rerun),
		RIG_TEST(without_the_right_nothing_happens),
		RIG_TEST(what_hangs_is_stopped_and_run_again),
		RIG_TEST(what_does_not_stop_is_stopped_by_force),
		RIG_TEST(a_run_is_stopped_and_repeated_once_whoever_is_killed),
		RIG_TEST(killed_between_the_stop_and_the_rerun),
		RIG_TEST(a_person_repeats_it_while_it_is_stopped),
		RIG_TEST(what_deploys_is_not_stopped_without_force),
		RIG_TEST(a_run_that_hangs_is_noticed),
		RIG_TEST(by_itself_that_is_only_suggested),
		RIG_TEST(what_hung_and_failed_is_healed_as_a_failure),
		RIG_TEST(a_suggestion_is_void_when_the_run_passes),
		RIG_TEST(what_is_usually_slow_does_not_hang),
		RIG_TEST(what_is_usual_has_to_be_known),
	};

	return rig_main(tests);
}

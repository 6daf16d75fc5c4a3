/*
 * The promise that matters most: nothing accepted is lost and no action is taken twice, whoever
 * is killed and whenever.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/product.h"

#define HEALABLE "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}"

/* Work of a dead dispatcher is due again when its lease ends. */
#define QUICK "dispatcher.lease=1500ms", "dispatcher.claim_idle=500ms"

static const char *rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", "network.yaml", NULL);
}

static int64_t accepted(struct rig *r, uint64_t run)
{
	return sim_number(r, run, "rerun_accepted");
}

static bool sent(struct rig *r, uint64_t run)
{
	return strcmp(plan_field(r, run, 1, "state"), "sent") == 0;
}

/* One re-run, whatever happened, and everybody agrees that it healed. */
static void healed_once(struct rig *r, uint64_t run)
{
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(accepted(r, run), 1);
	assert_int_equal(sim_number(r, run, "attempt"), 2);
	assert_int_equal(outcomes_of(r, run, 1), 1);
	assert_string_equal(run_field(r, run, "outcome"), "healed");
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
}

/* --- at the worst moments ------------------------------------------------------------------- */

static uint64_t killed_at(struct rig *r, const char *point)
{
	struct proc *doomed;
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	doomed = dispatcher_start_doomed(r, "doomed", point, QUICK, rules(r), NULL);
	run = sim_run(r, HEALABLE);
	assert_int_equal(proc_wait(doomed, PATIENCE_MS), 256 + SIGKILL);
	assert_true(sent(r, run));
	return run;
}

static void killed_just_before_the_call_left(struct rig *r)
{
	uint64_t run = killed_at(r, "before_send");

	assert_int_equal(accepted(r, run), 0);
	(void)dispatcher_start(r, "heir", QUICK, rules(r), NULL);
	healed_once(r, run);
	assert_string_equal(plan_field(r, run, 1, "sends"), "2");
	assert_int_equal(sim_number(r, run, "rerun_refused"), 0);
}

static void killed_just_after_the_call_was_answered(struct rig *r)
{
	uint64_t run = killed_at(r, "after_send");

	assert_int_equal(accepted(r, run), 1);
	(void)dispatcher_start(r, "heir", QUICK, rules(r), NULL);
	healed_once(r, run);
	assert_string_equal(plan_field(r, run, 1, "sends"), "1");
	assert_int_equal(sim_number(r, run, "rerun_refused"), 0);
}

/* The same with the re-run's completion told before anybody looks again. */
static void killed_after_the_call_and_it_healed_meanwhile(struct rig *r)
{
	uint64_t run = killed_at(r, "after_send");

	WAIT(r, strcmp(sim_word(r, run, "conclusion"), "success") == 0);
	(void)dispatcher_start(r, "heir", QUICK, rules(r), NULL);
	healed_once(r, run);
	assert_string_equal(plan_field(r, run, 1, "sends"), "1");
}

/* A call that was made may not show yet, so nobody calls again before `heal.settle` is over. */
static void what_was_sent_is_given_time_to_show(struct rig *r)
{
	uint64_t run = killed_at(r, "before_send");
	int64_t sent_at_ms = 0;

	assert_int_equal(sscanf(plan_field(r, run, 1, "sent_at_ms"), "%" SCNd64, &sent_at_ms), 1);
	(void)dispatcher_start(r, "heir", QUICK, "heal.settle=5s", rules(r), NULL);
	healed_once(r, run);
	assert_true(sim_number(r, run, "first_rerun_ms") >= sent_at_ms + 5000);
}

static void killed_twice_before_the_call(struct rig *r)
{
	uint64_t run = killed_at(r, "before_send");
	struct proc *doomed =
		dispatcher_start_doomed(r, "doomed", "before_send", QUICK, rules(r), NULL);

	assert_int_equal(proc_wait(doomed, PATIENCE_MS), 256 + SIGKILL);
	assert_int_equal(accepted(r, run), 0);
	(void)dispatcher_start(r, "heir", QUICK, rules(r), NULL);
	healed_once(r, run);
	assert_string_equal(plan_field(r, run, 1, "sends"), "3");
}

static void killed_while_the_call_hangs(struct rig *r)
{
	struct proc *doomed;
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	doomed = dispatcher_start(r, "doomed", QUICK, rules(r), NULL);
	sim_fault(r, "{\"call\":\"rerun\",\"kind\":\"hang\",\"times\":1}");
	run = sim_run(r, HEALABLE);
	sim_faults_happened(r);
	assert_true(sent(r, run));
	proc_kill(doomed);
	(void)dispatcher_start(r, "heir", QUICK, rules(r), NULL);
	healed_once(r, run);
}

/* The call may have arrived, and nobody can tell: to say that it had no effect would be a guess. */
static void what_nobody_can_tell_is_unknown(struct rig *r)
{
	static const char *const faults[] = {
		"{\"call\":\"get_run\",\"kind\":\"status\",\"status\":503,\"times\":100000}",
		"{\"call\":\"get_run\",\"kind\":\"status\",\"status\":404,\"times\":100000}",
	};

	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct proc *p =
			dispatcher_start_doomed(r, "doomed", "after_send", QUICK, rules(r), NULL);
		uint64_t run = sim_run(r, HEALABLE);

		assert_int_equal(proc_wait(p, PATIENCE_MS), 256 + SIGKILL);
		sim_fault(r, faults[i]);
		p = dispatcher_start(r, "heir", QUICK, "heal.give_up=1s", rules(r), NULL);
		assert_case(strcmp(plan_result(r, run, 1), "unknown") == 0, faults[i]);
		assert_int_equal(accepted(r, run), 1);
		sim_no_faults(r);
		assert_int_equal(proc_stop(p), 0);
	}
}

/* Nobody was there for days: the re-run's end and the plan's time limit are found together. */
static void judges_what_happened_while_nobody_was_there(struct rig *r)
{
	struct proc *p;
	const char *plan;
	uint64_t run;

	(void)receiver_start(r, NULL);
	simulator_start(r, "--job-ms", "500", NULL);
	p = dispatcher_start(r, "dispatcher", QUICK,
			     rules_only(r, "markers.yaml", "network.yaml", "c_cpp.yaml", NULL),
			     NULL);
	run = sim_run(r, "{\"cause\":\"network_dns\",\"different\":\"build_compile\","
			 "\"rerun\":\"different\"}");
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "awaiting") == 0);
	assert_int_equal(proc_stop(p), 0);
	WAIT(r, sim_number(r, run, "attempt") == 2 &&
			strcmp(sim_word(r, run, "status"), "completed") == 0);
	plan = rig_printf(r, "github:%" PRId64 ":%" PRIu64 ":1", sim_number(r, run, "repo_id"),
			  run);
	(void)redis_do(r, "HSET pg:{local:0}:plan:%s sent_at_ms %lld", plan,
		       (long long)clock_wall_ms() - 5LL * 86400 * 1000);
	(void)redis_do(r, "ZADD %s 1 await:%s", DUE, plan);
	(void)dispatcher_start(r, "dispatcher", QUICK, rules(r), NULL);
	assert_string_equal(plan_result(r, run, 1), "different_failure");
	assert_int_equal(outcomes_of(r, run, 1), 1);
}

/* --- the answer is lost ------------------------------------------------------------------------
 */

static void a_call_whose_answer_is_lost_is_not_repeated(struct rig *r)
{
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", QUICK, rules(r), NULL);
	sim_fault(r, "{\"call\":\"rerun\",\"kind\":\"apply_then_drop\",\"times\":1}");
	run = sim_run(r, HEALABLE);
	healed_once(r, run);
	assert_string_equal(plan_field(r, run, 1, "sends"), "1");
	/* Nobody below us repeats it either: libcurl would, on a connection it used before. */
	assert_int_equal(sim_number(r, run, "rerun_refused"), 0);
}

static void a_call_that_never_arrived_is_repeated(struct rig *r)
{
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", QUICK, rules(r), NULL);
	sim_fault(r, "{\"call\":\"rerun\",\"kind\":\"drop\",\"times\":1}");
	run = sim_run(r, HEALABLE);
	healed_once(r, run);
	assert_string_equal(plan_field(r, run, 1, "sends"), "2");
}

/* It wakes up with the permission to call in its pocket, and somebody else has called. */
static void a_dispatcher_stopped_in_the_middle_does_not_call_late(struct rig *r)
{
	struct proc *sleeper;
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	sleeper = dispatcher_start(r, "sleeper", QUICK, rules(r), NULL);
	sim_fault(r, "{\"call\":\"get_run\",\"kind\":\"slow\",\"ms\":400,\"times\":1}");
	run = sim_run(r, HEALABLE);
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "leased") == 0);
	proc_signal(sleeper, SIGSTOP);
	(void)dispatcher_start(r, "heir", QUICK, rules(r), NULL);
	WAIT(r, accepted(r, run) == 1);
	proc_signal(sleeper, SIGCONT);
	healed_once(r, run);
	assert_int_equal(sim_number(r, run, "rerun_refused"), 0);
}

/* --- at any moment -----------------------------------------------------------------------------
 */

enum { STREAM_RUNS = 60, KILLS = 6 };

static unsigned next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void pass(struct rig *r, unsigned ms)
{
	assert_true(STAYS_FALSE(r, false, ms));
}

static int64_t outcomes_audited(struct rig *r)
{
	return redis_int_of(
		r, "EVAL %s 1 pg:{local}:audit",
		"local n = 0 "
		"for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do "
		"  for i = 1, #e[2], 2 do "
		"    if e[2][i] == 'what' and e[2][i + 1] == 'outcome' then n = n + 1 end "
		"  end "
		"end "
		"return n");
}

/* What was learned too late ends a plan that somebody else has ended. */
static void an_outcome_that_did_not_count_is_not_audited(struct rig *r)
{
	struct proc *d;
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	d = dispatcher_start(r, "dispatcher", rules(r), "dispatcher.lease=60s", NULL);
	sim_fault(r, "{\"call\":\"get_run\",\"kind\":\"slow\",\"ms\":1500,\"times\":1}");
	run = sim_run(r, HEALABLE);
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "leased") == 0);
	pass(r, 300); /* the question is on its way */
	/* As if the lease had ended: it is taken again, and the answer comes for the first one. */
	(void)redis_do(r, "ZADD %s XX 0 act:%s:1", DUE,
		       run_key(r, run) + strlen("pg:{local:0}:run:"));
	healed_once(r, run);
	WAIT(r, strstr(proc_output(d), "lease lost"));
	assert_int_equal(proc_stop(d), 0);
	assert_int_equal(outcomes_audited(r), 1);
}

static void each_has_one_outcome(struct rig *r, const uint64_t *runs, size_t n)
{
	plans_done(r, runs, n);
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
	for (size_t i = 0; i < n; i++) {
		const char *result = plan_result(r, runs[i], 1);

		if (outcomes_of(r, runs[i], 1) != 1 || accepted(r, runs[i]) > 1 ||
		    strcmp(result, "healed") != 0)
			fail_msg("run %" PRIu64 ": %s, %u outcomes, %" PRId64 " re-runs", runs[i],
				 result, outcomes_of(r, runs[i], 1), accepted(r, runs[i]));
	}
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

static void dispatchers_killed_at_random_lose_nothing(struct rig *r)
{
	uint64_t *runs = rig_alloc(r, STREAM_RUNS * sizeof(*runs));
	struct proc *dispatcher;
	uint32_t seed = 20261125;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, "--duplicate", "0.2", "--reorder", "0.2", NULL);
	dispatcher = dispatcher_start(r, "dispatcher", QUICK, rules(r), NULL);
	for (int i = 0; i < STREAM_RUNS; i++) {
		runs[i] = sim_run(r, HEALABLE);
		pass(r, next_random(&seed) % 20);
		if (i % (STREAM_RUNS / KILLS) == 5) {
			pass(r, next_random(&seed) % 150);
			proc_kill(dispatcher);
			dispatcher = dispatcher_start(r, "dispatcher", QUICK, rules(r), NULL);
		}
	}
	each_has_one_outcome(r, runs, STREAM_RUNS);
}

/* GitHub does not send again by itself; a person (or, later, the monitor) asks for redelivery. */
static void redeliver_what_was_refused(struct rig *r, const uint64_t *runs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sim_number(r, runs[i], "webhooks_failed") > 0)
			sim_post(r, "/_sim/redeliver",
				 rig_printf(r, "{\"run\":%" PRIu64 "}", runs[i]));
}

static bool all_over(struct rig *r, const uint64_t *runs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(sim_word(r, runs[i], "status"), "completed") != 0)
			return false;
	return true;
}

static void redis_killed_in_the_middle_loses_nothing(struct rig *r)
{
	uint64_t *runs = rig_alloc(r, STREAM_RUNS * sizeof(*runs));
	uint32_t seed = 4711;

	(void)receiver_start(r, "redis.timeout=500ms", NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "a", QUICK, "redis.timeout=500ms", rules(r), NULL);
	(void)dispatcher_start(r, "b", QUICK, "redis.timeout=500ms", rules(r), NULL);
	for (int i = 0; i < STREAM_RUNS; i++) {
		runs[i] = sim_run(r, HEALABLE);
		pass(r, next_random(&seed) % 20);
		if (i % (STREAM_RUNS / 3) == 10) {
			redis_kill(r);
			pass(r, next_random(&seed) % 150);
			redis_start(r);
		}
	}
	WAIT(r, http_get(r, receiver_port(r), "/ready").status == 200);
	WAIT(r, all_over(r, runs, STREAM_RUNS));
	redeliver_what_was_refused(r, runs, STREAM_RUNS);
	/* Re-runs made after that may still have their own webhooks lost; there are none. */
	each_has_one_outcome(r, runs, STREAM_RUNS);
}

static void receivers_killed_at_random_lose_nothing(struct rig *r)
{
	uint64_t *runs = rig_alloc(r, STREAM_RUNS * sizeof(*runs));
	struct proc *receiver = receiver_start(r, NULL);
	uint32_t seed = 99;

	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", QUICK, "heal.timeout=5s", rules(r), NULL);
	for (int i = 0; i < STREAM_RUNS; i++) {
		runs[i] = sim_run(r, HEALABLE);
		pass(r, next_random(&seed) % 20);
		if (i % (STREAM_RUNS / KILLS) == 5) {
			proc_kill(receiver);
			receiver = receiver_start(r, NULL);
		}
	}
	WAIT(r, all_over(r, runs, STREAM_RUNS));
	redeliver_what_was_refused(r, runs, STREAM_RUNS);
	each_has_one_outcome(r, runs, STREAM_RUNS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(killed_just_before_the_call_left),
		RIG_TEST(killed_just_after_the_call_was_answered),
		RIG_TEST(killed_after_the_call_and_it_healed_meanwhile),
		RIG_TEST(what_was_sent_is_given_time_to_show),
		RIG_TEST(killed_twice_before_the_call),
		RIG_TEST(killed_while_the_call_hangs),
		RIG_TEST(what_nobody_can_tell_is_unknown),
		RIG_TEST(judges_what_happened_while_nobody_was_there),
		RIG_TEST(a_call_whose_answer_is_lost_is_not_repeated),
		RIG_TEST(a_call_that_never_arrived_is_repeated),
		RIG_TEST(a_dispatcher_stopped_in_the_middle_does_not_call_late),
		RIG_TEST(an_outcome_that_did_not_count_is_not_audited),
		RIG_TEST(dispatchers_killed_at_random_lose_nothing),
		RIG_TEST(redis_killed_in_the_middle_loses_nothing),
		RIG_TEST(receivers_killed_at_random_lose_nothing),
	};

	return rig_main(tests);
}

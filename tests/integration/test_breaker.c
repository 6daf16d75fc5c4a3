/* One breaker per provider host, for all dispatchers: few calls while it is down, and nothing is
 * given up because of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/product.h"

#define HEALABLE "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}"
#define BREAKER  "pg:{local}:breaker:127.0.0.1"
#define DOWN     "{\"call\":\"any\",\"kind\":\"status\",\"status\":503,\"times\":1000000}"

static const char *few_rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", "network.yaml", NULL);
}

static void world_start(struct rig *r)
{
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
}

static int64_t calls(struct rig *r)
{
	return sim_total(r, "api_requests");
}

static const char *breaker(struct rig *r, const char *field)
{
	return redis_text_of(r, "HGET " BREAKER " %s", field);
}

static bool is_state(struct rig *r, const char *state)
{
	return strcmp(breaker(r, "state"), state) == 0;
}

static const char *told(struct rig *r, const char *path)
{
	return http_get(r, receiver_admin_port(r), path).body;
}

static void all_healed(struct rig *r, const uint64_t *runs, size_t n)
{
	plans_done(r, runs, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(plan_result(r, runs[i], 1), "healed");
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

static void make_runs(struct rig *r, uint64_t *runs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		runs[i] = sim_run(r, HEALABLE);
}

static void an_outage_costs_few_calls_and_no_run(struct rig *r)
{
	enum { N = 20 };
	uint64_t runs[N];

	world_start(r);
	for (int i = 0; i < 3; i++)
		(void)dispatcher_start(r, rig_printf(r, "dispatcher-%d", i), few_rules(r),
				       "diagnose.tries=3", NULL);
	sim_fault(r, DOWN);
	make_runs(r, runs, N);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == N);
	WAIT(r, is_state(r, "open"));
	WAIT(r,
	     strstr(told(r, "/status"), "\"providers\":[{\"host\":\"127.0.0.1\",\"breaker\":\"") &&
		     !strstr(told(r, "/status"), "\"breaker\":\"closed\""));
	WAIT(r, strstr(told(r, "/metrics"), "breaker_state{host=\"127.0.0.1\"}"));
	/* Each run asked once or twice before it was open, then it is a probe now and then. */
	assert_true(STAYS_FALSE(r, calls(r) > 3 * N, 4000));
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 0);
	sim_no_faults(r);
	all_healed(r, runs, N);
	assert_true(is_state(r, "closed"));
}

static void an_outage_does_not_age_a_plan(struct rig *r)
{
	uint64_t run;

	world_start(r);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "breaker.failures=2",
			       "heal.give_up=3s", NULL);
	sim_fault(r, "{\"call\":\"get_run\",\"kind\":\"status\",\"status\":502,"
		     "\"times\":1000000}");
	run = sim_run(r, HEALABLE);
	WAIT(r, is_state(r, "open"));
	assert_true(STAYS_FALSE(r, redis_int_of(r, "XLEN %s", OUTCOMES) > 0, 5000));
	assert_string_not_equal(plan_field(r, run, 1, "held_ms"), "");
	sim_no_faults(r);
	/* Older than heal.give_up by the clock, but not by what could be tried. */
	sim_fault(r, "{\"call\":\"rerun\",\"kind\":\"status\",\"status\":503}");
	all_healed(r, &run, 1);
}

static void half_open_lets_one_probe_through_whoever_dies(struct rig *r)
{
	enum { N = 10 };
	struct proc *p[3];
	uint64_t runs[N];

	world_start(r);
	for (int i = 0; i < 3; i++)
		p[i] = dispatcher_start(r, rig_printf(r, "dispatcher-%d", i), few_rules(r),
					"github.timeout=30s", "dispatcher.lease=12s", NULL);
	(void)redis_do(r, "HSET " BREAKER " state open opened 1 open_until_ms 1 since_ms 1");
	sim_fault(r, "{\"call\":\"any\",\"kind\":\"hang\",\"ms\":60000,\"times\":1000}");
	make_runs(r, runs, N);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == N && calls(r) == 1);
	assert_true(STAYS_FALSE(r, calls(r) > 1, 1500));
	assert_true(is_state(r, "half_open"));
	for (int i = 0; i < 3; i++) {
		proc_may_die(p[i]);
		proc_kill(p[i]);
	}
	sim_no_faults(r);
	(void)dispatcher_start(r, "successor", few_rules(r), "dispatcher.lease=12s", NULL);
	/* The probe is out, as far as anybody knows, until its lease ends. */
	assert_true(STAYS_FALSE(r, calls(r) > 1, 1500));
	assert_true(is_state(r, "half_open"));
	WAIT_MS(r, calls(r) > 1, 2 * PATIENCE_MS);
	plans_done(r, runs, N);
	all_healed(r, runs, N);
}

static void a_limit_is_everybodys(struct rig *r)
{
	uint64_t run;

	world_start(r);
	(void)dispatcher_start(r, "a", few_rules(r), NULL);
	sim_fault(r, "{\"call\":\"list_jobs\",\"kind\":\"status\",\"status\":429,"
		     "\"headers\":{\"Retry-After\":\"2\"}}");
	run = sim_run(r, HEALABLE);
	WAIT(r, *breaker(r, "limited_until_ms"));
	/* Another process, which has had no answer itself. */
	(void)redis_do(r, "HSET " BREAKER " limited_until_ms %lld",
		       (long long)(clock_wall_ms() + 10000));
	WAIT(r, strstr(told(r, "/status"), "\"limited_until\":1"));
	(void)dispatcher_start(r, "b", few_rules(r), NULL);
	assert_true(STAYS_FALSE(r, calls(r) > 1, 1500));
	all_healed(r, &run, 1);
	assert_false(is_state(r, "open"));
}

/* The last call that is left is the one that asks about the run: then it is not even tried. */
static void a_limit_holds_the_call_itself(struct rig *r)
{
	uint64_t run;

	world_start(r);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	sim_post(r, "/_sim/rate-limit", "{\"limit\":5000,\"remaining\":3,\"reset_ms\":5000}");
	run = sim_run(r, HEALABLE);
	WAIT(r, *plan_field(r, run, 1, "held_ms"));
	assert_string_not_equal(breaker(r, "limited_until_ms"), "");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 0);
	all_healed(r, &run, 1);
	assert_string_equal(plan_field(r, run, 1, "sends"), "1");
}

static void a_forgetful_redis_closes_it(struct rig *r)
{
	uint64_t run;

	world_start(r);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "breaker.open_cap=1h", NULL);
	(void)redis_do(r, "HSET " BREAKER " state open opened 1 open_until_ms %lld",
		       (long long)(clock_wall_ms() + 3000000));
	run = sim_run(r, HEALABLE);
	WAIT(r, strcmp(sim_word(r, run, "status"), "completed") == 0);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 1);
	assert_true(STAYS_FALSE(r, calls(r) > 0, 500));
	(void)redis_do(r, "FLUSHALL");
	run = sim_run(r, HEALABLE);
	all_healed(r, &run, 1);
	/* Nor does it believe an end that nobody can have set. */
	(void)redis_do(r, "HSET " BREAKER " state open opened 1 open_until_ms %lld",
		       (long long)(clock_wall_ms() + 36000000));
	run = sim_run(r, HEALABLE);
	all_healed(r, &run, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(an_outage_costs_few_calls_and_no_run),
		RIG_TEST(an_outage_does_not_age_a_plan),
		RIG_TEST(half_open_lets_one_probe_through_whoever_dies),
		RIG_TEST(a_limit_is_everybodys),
		RIG_TEST(a_limit_holds_the_call_itself),
		RIG_TEST(a_forgetful_redis_closes_it),
	};

	return rig_main(tests);
}

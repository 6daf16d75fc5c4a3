/* The ledger of flaky tests, from the log of a failure to a re-run that it allows. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/redis.h"
#include "dispatcher/flake_ledger.h"
#include "tests/integration/product.h"

#define INDEX  "pg:{local:0}:flakes"
#define TEST   "tests/test_tax.py::test_rate"
#define OTHER  "tests/test_cart.py::test_sum"
#define LOG(t) "FAILED " t " - assert 8 == 7\\n===== 1 failed in 0.12s =====\\n"
/* One repository and one pipeline, whatever the simulator would choose. */
#define RUN(rest) \
	"{\"repo\":\"acme/shop\",\"branch\":\"main\",\"cause\":\"test_assertion\"," rest "}"

static void start_all(struct rig *r)
{
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", "heal.min_confidence=60",
			       rules_only(r, "markers.yaml", "python.yaml", NULL), NULL);
}

/* Every log says from now on that this test failed. */
static void all_logs_say(struct rig *r, const char *log)
{
	sim_no_faults(r);
	sim_fault(r, rig_printf(r,
				"{\"call\":\"log_file\",\"kind\":\"status\",\"status\":200,"
				"\"times\":100000,\"body\":\"%s\"}",
				log));
}

static const char *ledger(struct rig *r)
{
	const char *identity = redis_str(redis_at(redis_do(r, "ZRANGE %s 0 0", INDEX), 0));

	assert_non_null(identity);
	return rig_printf(r, INDEX ":%s", identity);
}

static struct json_object *record_of(struct rig *r, const char *test)
{
	const char *text = redis_text_of(r, "HGET %s %s", ledger(r), test);

	return rig_json(r, text, strlen(text));
}

static size_t marks_of(struct rig *r, const char *test)
{
	return json_object_array_length(json_at(record_of(r, test), "history"));
}

static void person_reruns(struct rig *r, uint64_t run)
{
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run), "{}");
}

static const char *finding_word(struct rig *r, uint64_t run, const char *member)
{
	const char *text = run_field(r, run, "finding");

	return json_str(rig_json(r, text, strlen(text)), member, "");
}

static void a_test_that_healed_once_is_run_again_next_time(struct rig *r)
{
	uint64_t run;

	start_all(r);
	all_logs_say(r, LOG(TEST));
	/* Long enough for a clock that shows seconds. */
	run = sim_run(r, RUN("\"rerun\":\"pass\",\"job_ms\":1100"));
	/* Nothing is known of it yet: it would fail again, and a person is asked. */
	assert_string_equal(plan_result(r, run, 1), "escalated");
	assert_string_equal(finding_word(r, run, "subcategory"), "assertion");
	assert_int_equal(marks_of(r, TEST), 1);
	person_reruns(r, run);
	WAIT(r, marks_of(r, TEST) == 2);
	assert_true(json_num(record_of(r, TEST), "lost_s", 0) > 0);
	assert_string_equal(json_str(record_of(r, TEST), "framework", ""), "pytest");
	assert_string_equal(json_str(record_of(r, TEST), "file", ""), "tests/test_tax.py");

	run = sim_run(r, RUN("\"rerun\":\"pass\""));
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_string_equal(finding_word(r, run, "subcategory"), "flaky");
	WAIT(r, marks_of(r, TEST) == 4);
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
}

static void a_new_test_among_them_is_left_to_people(struct rig *r)
{
	uint64_t run;

	start_all(r);
	all_logs_say(r, LOG(TEST));
	run = sim_run(r, RUN("\"rerun\":\"pass\""));
	assert_string_equal(plan_result(r, run, 1), "escalated");
	person_reruns(r, run);
	WAIT(r, marks_of(r, TEST) == 2);
	all_logs_say(r, "FAILED " OTHER " - assert 8 == 7\\n" LOG(TEST));
	run = sim_run(r, RUN("\"rerun\":\"pass\""));
	assert_string_equal(plan_result(r, run, 1), "escalated");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 0);
	assert_int_equal(marks_of(r, OTHER), 1);
	assert_int_equal(marks_of(r, TEST), 3);
}

static void owners_come_from_the_repository(struct rig *r)
{
	uint64_t run;

	start_all(r);
	all_logs_say(r, LOG(TEST));
	sim_fault(r, "{\"call\":\"git\",\"kind\":\"status\",\"status\":404,\"times\":1}");
	sim_fault(r, "{\"call\":\"git\",\"kind\":\"status\",\"status\":200,\"times\":1,"
		     "\"body\":\"* @acme/all\\n/tests/ @acme/tax\\n\"}");
	run = sim_run(r, RUN("\"rerun\":\"same\""));
	assert_string_equal(plan_result(r, run, 1), "escalated");
	assert_string_equal(json_str(record_of(r, TEST), "owner", ""), "@acme/tax");
	/* Asked for once, not with every failure. */
	sim_fault(r, "{\"call\":\"git\",\"kind\":\"status\",\"status\":200,\"times\":1,"
		     "\"body\":\"* @nobody\\n\"}");
	run = sim_run(r, RUN("\"rerun\":\"same\""));
	assert_string_equal(plan_result(r, run, 1), "escalated");
	assert_int_equal(marks_of(r, TEST), 2);
	assert_string_equal(json_str(record_of(r, TEST), "owner", ""), "@acme/tax");
}

static void trouble_with_owners_holds_nothing_up(struct rig *r)
{
	static const char *const faults[] = {
		"{\"call\":\"git\",\"kind\":\"status\",\"status\":403,\"times\":9}",
		"{\"call\":\"git\",\"kind\":\"status\",\"status\":503,\"times\":9}",
		"{\"call\":\"git\",\"kind\":\"drop\",\"times\":9}",
	};

	start_all(r);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		uint64_t run;

		all_logs_say(r, LOG(TEST));
		sim_fault(r, faults[i]);
		run = sim_run(r, rig_printf(r,
					    "{\"repo\":\"acme/shop%zu\",\"rerun\":\"same\","
					    "\"cause\":\"test_assertion\"}",
					    i));
		assert_string_equal(plan_result(r, run, 1), "escalated");
		assert_string_equal(finding_word(r, run, "category"), "test_failure");
	}
	assert_int_equal(redis_int_of(r, "ZCARD %s", INDEX), 3);
}

/* Tests in the hundreds are no flakes, and old ones make room. */
static void the_ledger_is_bounded(struct rig *r)
{
	const char *log = "";

	start_all(r);
	for (unsigned run = 0; run < 6; run++) {
		uint64_t id;

		log = "";
		for (unsigned i = 0; i < FLAKES_PER_RUN_MAX + 5; i++)
			log = rig_printf(r, "%sFAILED tests/test_r%u.py::test_%u - no\\n", log, run,
					 i);
		all_logs_say(r, rig_printf(r, "%s===== 55 failed in 0.12s =====\\n", log));
		id = sim_run(r, RUN("\"rerun\":\"same\""));
		assert_string_equal(plan_result(r, id, 1), "escalated");
	}
	assert_true(redis_int_of(r, "HLEN %s", ledger(r)) <= FLAKE_TESTS_MAX + 3);
	assert_true(redis_int_of(r, "HLEN %s", ledger(r)) >= FLAKE_TESTS_MAX);
	assert_int_equal(redis_int_of(r, "HEXISTS %s tests/test_r0.py::test_0", ledger(r)), 0);
	assert_int_equal(redis_int_of(r, "HEXISTS %s tests/test_r5.py::test_0", ledger(r)), 1);
	assert_true(redis_int_of(r, "TTL %s", ledger(r)) > 89 * 24 * 3600);
	assert_true(redis_int_of(r, "TTL %s", INDEX) > 89 * 24 * 3600);
}

/* Entries that come again, and a diagnosis whose worker died after it had written. */
static void what_is_told_again_counts_once(struct rig *r)
{
	static const char again[] =
		"for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do "
		"redis.call('XADD', KEYS[1], '*', unpack(e[2])) end "
		"return 1";
	const char *key;
	uint64_t run;

	start_all(r);
	all_logs_say(r, LOG(TEST));
	run = sim_run(r, RUN("\"rerun\":\"pass\""));
	assert_string_equal(plan_result(r, run, 1), "escalated");
	key = run_key(r, run);
	(void)redis_do(r, "HDEL %s diagnosed", key);
	(void)redis_do(r, "ZADD %s 0 diagnose:%s", DUE, strstr(key, "github:"));
	WAIT(r, strcmp(redis_text_of(r, "HGET %s diagnosed", key), "1") == 0);
	assert_int_equal(marks_of(r, TEST), 1);
	person_reruns(r, run);
	WAIT(r, marks_of(r, TEST) == 2);
	(void)redis_do(r, "EVAL %s 1 %s", again, EVENTS);
	/* Comes after all of that. */
	run = sim_run(r, "{\"repo\":\"acme/shop\",\"workflow\":\"CI\",\"passes\":true}");
	WAIT(r, strcmp(run_field(r, run, "conclusion"), "success") == 0);
	assert_string_equal(redis_text_of(r, "HGET %s #greens", ledger(r)), "2");
	assert_int_equal(marks_of(r, TEST), 2);
}

static struct json_object *stats(struct rig *r, int want, const char *option)
{
	const char *const args[] = { "stats", "--flakes", "--json", option, NULL };
	const char *const env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)),
				    NULL };
	struct proc *p = guard_start(r, "stats", args, env);
	const char *out;

	assert_int_equal(proc_wait(p, PATIENCE_MS), want);
	out = proc_output(p);
	return rig_json(r, out, strlen(out));
}

/* By the command and by the API alike. */
static void flaky_tests_are_shown(struct rig *r)
{
	struct answer a;
	uint64_t run;

	start_all(r);
	assert_int_equal(json_i64(stats(r, 1, NULL), "tests", -1), 0);
	all_logs_say(r, "FAILED " OTHER " - assert 8 == 7\\n" LOG(TEST));
	run = sim_run(r, RUN("\"rerun\":\"same\""));
	assert_string_equal(plan_result(r, run, 1), "escalated");
	assert_int_equal(json_i64(stats(r, 1, NULL), "tests", -1), 0);
	assert_int_equal(json_i64(stats(r, 0, "--all"), "tests", -1), 2);

	all_logs_say(r, LOG(TEST));
	run = sim_run(r, RUN("\"rerun\":\"pass\""));
	assert_string_equal(plan_result(r, run, 1), "escalated");
	person_reruns(r, run);
	WAIT(r, marks_of(r, TEST) == 3);
	assert_string_equal(json_str(stats(r, 0, NULL), "flakes.0.test", ""), TEST);
	assert_string_equal(json_str(stats(r, 0, NULL), "flakes.0.repo", ""), "acme/shop");
	assert_int_equal(json_i64(stats(r, 1, "--repo=acme/other"), "tests", -1), 0);
	a = http_get(r, receiver_admin_port(r), "/api/v1/flakes");
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_str(&a, "flakes.0.test"), TEST);
	assert_int_equal(json_i64(a.json, "tests", -1), 1);
	assert_int_equal(json_i64(a.json, "flakes.0.healed_commits", -1), 1);
	a = http_get(r, receiver_admin_port(r), "/api/v1/flakes?all=1&limit=1");
	assert_int_equal(json_i64(a.json, "tests", -1), 2);
	assert_string_equal(answer_str(&a, "flakes.1.test"), "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_test_that_healed_once_is_run_again_next_time),
		RIG_TEST(a_new_test_among_them_is_left_to_people),
		RIG_TEST(owners_come_from_the_repository),
		RIG_TEST(trouble_with_owners_holds_nothing_up),
		RIG_TEST(the_ledger_is_bounded),
		RIG_TEST(what_is_told_again_counts_once),
		RIG_TEST(flaky_tests_are_shown),
	};

	return rig_main(tests);
}

/* What no webhook told is found and healed; one dispatcher looks, and another one when it dies. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "core/json.h"
#include "tests/integration/product.h"

#define REPO    "octo/monitored"
#define LOOK_AT "monitor.repositories=octo/monitored"
#define STATUS  "pg:{local}:monitor"
#define LEASE   "pg:{local}:lease:monitor"

/* Quick, but with as much patience for webhooks as a test likes to give. */
#define QUICK                                                                                \
	"monitor.enabled=true", "monitor.check_interval=200ms", "monitor.min_interval=50ms", \
		"monitor.grace=0s", "monitor.lease=1500ms"

static const char *few_rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", "network.yaml", NULL);
}

static int64_t source_number(struct rig *r, const char *source, const char *member)
{
	const char *text = redis_text_of(r, "HGET %s %s", STATUS, source);

	return *text ? json_i64(rig_json(r, text, strlen(text)), member, -1) : -1;
}

static double source_real(struct rig *r, const char *source, const char *member)
{
	const char *text = redis_text_of(r, "HGET %s %s", STATUS, source);

	return *text ? json_num(rig_json(r, text, strlen(text)), member, -1) : -1;
}

static const char *source_word(struct rig *r, const char *source, const char *member)
{
	const char *text = redis_text_of(r, "HGET %s %s", STATUS, source);

	return *text ? json_str(rig_json(r, text, strlen(text)), member, "") : "";
}

static bool checked(struct rig *r, const char *source, int64_t times)
{
	return source_number(r, source, "checks") >= times;
}

/* --- runs ------------------------------------------------------------------------------ */

static void a_silent_failure_is_found_and_healed(struct rig *r)
{
	uint64_t run, passed;

	simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK, NULL);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"cause\":\"network_dns\",\"rerun\":\"pass\","
			 "\"silent\":true}");
	passed = sim_run(r, "{\"repo\":\"" REPO "\",\"passes\":true,\"silent\":true}");
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
	assert_int_equal(sim_number(r, run, "webhooks"), 0);
	assert_string_equal(run_field(r, run, "generation"), "2");
	WAIT(r, strcmp(run_field(r, passed, "conclusion"), "success") == 0);
	assert_true(source_number(r, "github", "gaps") >= 3);
	/* As a webhook would have said it. */
	assert_string_equal(run_field(r, run, "repo"), REPO);
	assert_string_equal(run_field(r, run, "provider"), "github");
	assert_true(strlen(run_field(r, run, "sha")) == 40);
	assert_true(*run_field(r, run, "pipeline") && *run_field(r, run, "url"));
}

static void word_that_came_by_webhook_is_not_told_again(struct rig *r)
{
	int64_t entries;
	uint64_t run;

	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	/* Patient enough for every webhook, so nothing is missing. */
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK, "monitor.grace=3s",
			       NULL);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "healed");
	entries = redis_int_of(r, "XLEN %s", EVENTS);
	/* The grace is over, and the list was read in full once more: then the ETag is kept. */
	WAIT(r, source_real(r, "github", "cache_hit_rate") > 0.5);
	assert_int_equal(source_number(r, "github", "gaps"), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", EVENTS), entries);
	assert_int_equal(outcomes_of(r, run, 1), 1);
}

static void what_is_young_is_left_to_its_webhook(struct rig *r)
{
	uint64_t run;

	simulator_start(r, NULL);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"passes\":true,\"silent\":true}");
	WAIT(r, strcmp(sim_word(r, run, "status"), "completed") == 0);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK, "monitor.grace=10m",
			       NULL);
	WAIT(r, checked(r, "github", 5));
	assert_int_equal(redis_int_of(r, "XLEN %s", EVENTS), 0);
}

static void a_repository_that_events_came_from_is_looked_at(struct rig *r)
{
	const char *dns = "{\"repo\":\"octo/heard\",\"cause\":\"network_dns\",\"rerun\":\"pass\"}";
	const char *silent_dns = "{\"repo\":\"octo/heard\",\"cause\":\"network_dns\","
				 "\"rerun\":\"pass\",\"silent\":true}";
	struct proc *first;
	uint64_t run;

	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	/* With some patience: what is too young now must not be forgotten. */
	first = dispatcher_start(r, "first", few_rules(r), QUICK, "monitor.grace=1s", NULL);
	run = sim_run(r, dns);
	assert_string_equal(plan_result(r, run, 1), "healed");
	run = sim_run(r, silent_dns);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(source_number(r, "github", "repositories"), 1);
	assert_int_equal(redis_int_of(r, "HLEN pg:{local}:monitor:repos:github"), 1);
	/* Also by the next one, when the runs themselves are long gone. */
	assert_int_equal(proc_stop(first), 0);
	(void)redis_do(r, "DEL pg:{local:0}:runs");
	run = sim_run(r, silent_dns);
	(void)dispatcher_start(r, "second", few_rules(r), QUICK, NULL);
	assert_string_equal(plan_result(r, run, 1), "healed");
}

/* Before the guard knew of the repository: nobody asked it to dig that up. */
static void old_failures_are_left_in_peace(struct rig *r)
{
	uint64_t old, recent;

	simulator_start(r, NULL);
	old = sim_run(r, "{\"repo\":\"octo/monitored\",\"cause\":\"network_dns\",\"silent\":true,"
			 "\"age_ms\":14400000}");
	recent = sim_run(r, "{\"repo\":\"octo/monitored\",\"cause\":\"network_dns\","
			    "\"rerun\":\"pass\",\"silent\":true}");
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK, NULL);
	assert_string_equal(plan_result(r, recent, 1), "healed");
	assert_string_equal(run_field(r, old, "status"), "");
	assert_int_equal(sim_number(r, old, "rerun_accepted"), 0);
}

/* Its webhooks came until it was running; its end did not. */
static void the_end_that_nobody_told_is_found(struct rig *r)
{
	struct run_hook hook = {
		.attempt = 1, .repo = REPO, .action = "in_progress", .status = "in_progress"
	};
	uint64_t run;

	(void)receiver_start(r, NULL);
	simulator_start(r, NULL);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"cause\":\"network_dns\",\"rerun\":\"pass\","
			 "\"silent\":true}");
	hook.run_id = run;
	hook.repo_id = (uint64_t)sim_number(r, run, "repo_id");
	assert_int_equal(
		webhook_post_text(r, "workflow_run", "by-hand-1", run_body(r, &hook)).status, 202);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK, NULL);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(outcomes_of(r, run, 1), 1);
}

static void all_pages_are_read(struct rig *r)
{
	enum { RUNS = 25 };
	uint64_t runs[RUNS];

	simulator_start(r, NULL);
	for (size_t i = 0; i < RUNS; i++)
		runs[i] = sim_run(r, "{\"repo\":\"" REPO "\",\"passes\":true,\"silent\":true}");
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK,
			       "monitor.batch_size=10", NULL);
	for (size_t i = 0; i < RUNS; i++)
		WAIT(r, strcmp(run_field(r, runs[i], "conclusion"), "success") == 0);
}

/* --- cache, faults --------------------------------------------------------------------- */

static void in_the_steady_state_most_reads_are_spared(struct rig *r)
{
	simulator_start(r, NULL);
	(void)sim_run(r, "{\"repo\":\"" REPO "\",\"passes\":true,\"silent\":true}");
	(void)sim_run(r, "{\"repo\":\"octo/other\",\"passes\":true,\"silent\":true}");
	(void)dispatcher_start(r, "dispatcher", few_rules(r),
			       "monitor.repositories=octo/monitored,octo/other", QUICK,
			       "monitor.cache_ttl=1s", NULL);
	WAIT(r, checked(r, "github", 60));
	assert_true(source_real(r, "github", "cache_hit_rate") > 0.8);
}

static void a_provider_in_trouble_is_left_alone_for_longer(struct rig *r)
{
	uint64_t run;

	simulator_start(r, NULL);
	sim_fault(r, "{\"call\":\"list_runs\",\"kind\":\"status\",\"status\":502,\"times\":4}");
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"cause\":\"network_dns\",\"rerun\":\"pass\","
			 "\"silent\":true}");
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK, NULL);
	WAIT(r, source_number(r, "github", "refusals") >= 3);
	assert_true(source_number(r, "github", "interval_ms") >= 800);
	assert_true(strstr(source_word(r, "github", "why"), "trouble") != NULL);
	assert_string_equal(plan_result(r, run, 1), "healed");
	WAIT(r, json_flag(rig_json(r, redis_text_of(r, "HGET %s github", STATUS),
				   strlen(redis_text_of(r, "HGET %s github", STATUS))),
			  "healthy", false));
}

static void a_breaker_that_is_open_is_respected(struct rig *r)
{
	const char *breaker = "pg:{local}:breaker:127.0.0.1";
	uint64_t run;

	simulator_start(r, NULL);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"passes\":true,\"silent\":true}");
	(void)redis_do(r, "HSET %s state open open_until_ms %lld", breaker,
		       (long long)clock_wall_ms() + 600000);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK, NULL);
	WAIT(r, strstr(source_word(r, "github", "why"), "left alone") != NULL);
	assert_int_equal(source_number(r, "github", "checks"), 0);
	(void)redis_do(r, "DEL %s", breaker);
	WAIT(r, strcmp(run_field(r, run, "conclusion"), "success") == 0);
	WAIT(r, !*source_word(r, "github", "why"));
}

static void a_hidden_repository_does_not_hide_the_others(struct rig *r)
{
	uint64_t run;

	simulator_start(r, NULL);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"cause\":\"network_dns\",\"rerun\":\"pass\","
			 "\"silent\":true}");
	(void)dispatcher_start(r, "dispatcher", few_rules(r),
			       "monitor.repositories=octo/not-there,octo/monitored", QUICK, NULL);
	assert_string_equal(plan_result(r, run, 1), "healed");
}

/* --- one at a time --------------------------------------------------------------------- */

static bool leads(struct rig *r, const struct proc *p)
{
	const char *value = redis_text_of(r, "GET %s", LEASE);

	return strstr(value, rig_printf(r, "-%d-", (int)proc_pid(p))) != NULL;
}

static void another_one_takes_over_when_the_monitor_dies(struct rig *r)
{
	struct proc *p[2], *leader, *other;
	int64_t killed_at;
	uint64_t run;

	simulator_start(r, NULL);
	p[0] = dispatcher_start(r, "one", few_rules(r), LOOK_AT, QUICK, NULL);
	p[1] = dispatcher_start(r, "two", few_rules(r), LOOK_AT, QUICK, NULL);
	WAIT(r, checked(r, "github", 3));
	leader = leads(r, p[0]) ? p[0] : p[1];
	other = leader == p[0] ? p[1] : p[0];
	assert_true(leads(r, leader) && !leads(r, other));
	/* Two of them, and one looks. */
	assert_true(strstr(proc_output(leader), "lease taken") != NULL);
	assert_true(strstr(proc_output(other), "lease taken") == NULL);
	proc_may_die(leader);
	proc_kill(leader);
	killed_at = clock_mono_ms();
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"cause\":\"network_dns\",\"rerun\":\"pass\","
			 "\"silent\":true}");
	WAIT(r, leads(r, other));
	/* Lease time and one turn; the rest is the patience of a slow machine. */
	assert_true(clock_mono_ms() - killed_at < 1500 + 500 + 1500);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
}

static void a_drain_hands_the_lease_on(struct rig *r)
{
	struct proc *one, *two;

	simulator_start(r, NULL);
	one = dispatcher_start(r, "one", few_rules(r), LOOK_AT, QUICK, "monitor.lease=10m", NULL);
	WAIT(r, leads(r, one));
	two = dispatcher_start(r, "two", few_rules(r), LOOK_AT, QUICK, NULL);
	assert_int_equal(proc_stop(one), 0);
	WAIT(r, leads(r, two));
}

static void somebody_elses_lease_is_respected(struct rig *r)
{
	struct proc *one;

	simulator_start(r, NULL);
	(void)redis_do(r, "SET %s somebody PX 600000", LEASE);
	one = dispatcher_start(r, "one", few_rules(r), LOOK_AT, QUICK, NULL);
	assert_true(STAYS_FALSE(r, checked(r, "github", 1), 1000));
	(void)redis_do(r, "DEL %s", LEASE);
	WAIT(r, leads(r, one) && checked(r, "github", 1));
}

/* --- deliveries ------------------------------------------------------------------------ */

static void a_failed_delivery_is_asked_for_again_once(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL);
	int64_t had, checks;
	uint64_t run;

	simulator_start(r, NULL);
	/* Nobody listens: GitHub notes that its deliveries failed. */
	assert_int_equal(proc_stop(receiver), 0);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	WAIT(r, sim_number(r, run, "webhooks_failed") >= 3);
	(void)receiver_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK,
			       "github.write_interval=0s", NULL);
	WAIT(r, source_number(r, "github-deliveries", "redeliveries") >= 3);
	assert_string_equal(plan_result(r, run, 1), "healed");
	WAIT(r, sim_number(r, run, "webhooks_ok") > 0);
	WAIT(r, source_number(r, "github-deliveries", "failed_deliveries") == 0);
	had = source_number(r, "github-deliveries", "redeliveries");
	assert_int_equal(redis_int_of(r, "ZCARD pg:{local}:monitor:asked"), had);
	checks = source_number(r, "github-deliveries", "checks");
	WAIT(r, checked(r, "github-deliveries", checks + 5));
	assert_int_equal(source_number(r, "github-deliveries", "redeliveries"), had);
}

static void an_app_asks_about_its_own_hook(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL);
	uint64_t run;

	app_keys(r);
	simulator_start(r, "--app-id", "4711", "--app-public-key-file", rig_path(r, "app.pub"),
			NULL);
	assert_int_equal(proc_stop(receiver), 0);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	WAIT(r, sim_number(r, run, "webhooks_failed") >= 3);
	(void)receiver_start(r, NULL);
	/* It knows of no repository: there is one list for all. */
	(void)dispatcher_start(r, "dispatcher", few_rules(r), QUICK, "github.app_id=4711",
			       rig_printf(r, "github.app_key_file=%s", rig_path(r, "app.pem")),
			       NULL);
	assert_string_equal(plan_result(r, run, 1), "healed");
	WAIT(r, source_number(r, "github-deliveries", "redeliveries") >= 1);
	/* Known by its events now, it is looked at with the App's token. */
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"passes\":true,\"silent\":true}");
	WAIT(r, strcmp(run_field(r, run, "conclusion"), "success") == 0);
}

/* Nobody named it, and no event ever came from it. */
static void an_app_finds_the_repositories_it_is_installed_on(struct rig *r)
{
	enum { REPOS = 120 }; /* two pages */
	uint64_t run, last = 0;

	app_keys(r);
	simulator_start(r, "--app-id", "4711", "--app-public-key-file", rig_path(r, "app.pub"),
			NULL);
	for (int i = 0; i < REPOS; i++)
		sim_post(r, "/_sim/repos", rig_printf(r, "{\"repo\":\"octo/r%d\"}", i));
	run = sim_run(r, "{\"repo\":\"octo/r7\",\"cause\":\"network_dns\",\"rerun\":\"pass\","
			 "\"silent\":true}");
	last = sim_run(r, "{\"repo\":\"octo/r119\",\"passes\":true,\"silent\":true}");
	(void)dispatcher_start(r, "dispatcher", few_rules(r), QUICK, "github.app_id=4711",
			       rig_printf(r, "github.app_key_file=%s", rig_path(r, "app.pem")),
			       NULL);
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
	WAIT(r, strcmp(run_field(r, last, "conclusion"), "success") == 0);
	assert_int_equal(source_number(r, "github", "repositories"), REPOS);
}

/* What a person can see is no list of what the guard shall look after. */
static void a_plain_token_finds_nothing_by_itself(struct rig *r)
{
	uint64_t run;

	simulator_start(r, NULL);
	run = sim_run(r, "{\"repo\":\"octo/mine\",\"passes\":true,\"silent\":true}");
	(void)dispatcher_start(r, "dispatcher", few_rules(r), QUICK, NULL);
	WAIT(r, checked(r, "github", 5));
	assert_int_equal(source_number(r, "github", "repositories"), 0);
	assert_string_equal(run_field(r, run, "status"), "");
}

static void another_monitor_does_not_ask_for_it_again(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL), *first;
	uint64_t run;

	simulator_start(r, NULL);
	assert_int_equal(proc_stop(receiver), 0);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"passes\":true}");
	WAIT(r, sim_number(r, run, "webhooks_failed") >= 3);
	/* Still nobody listens. */
	first = dispatcher_start(r, "first", few_rules(r), LOOK_AT, QUICK, NULL);
	WAIT(r, source_number(r, "github-deliveries", "redeliveries") >= 3);
	proc_may_die(first);
	proc_kill(first);
	(void)redis_do(r, "DEL %s", STATUS);
	(void)dispatcher_start(r, "second", few_rules(r), LOOK_AT, QUICK, NULL);
	WAIT(r, checked(r, "github-deliveries", 5));
	assert_true(source_number(r, "github-deliveries", "failed_deliveries") >= 3);
	assert_int_equal(source_number(r, "github-deliveries", "redeliveries"), 0);
}

static void an_observer_asks_for_nothing(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL);
	uint64_t run;

	simulator_start(r, NULL);
	assert_int_equal(proc_stop(receiver), 0);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"passes\":true}");
	WAIT(r, sim_number(r, run, "webhooks_failed") >= 3);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK, "mode=observe", NULL);
	WAIT(r, strstr(source_word(r, "github-deliveries", "why"), "observe") != NULL);
	WAIT(r, checked(r, "github-deliveries", 5));
	assert_int_equal(source_number(r, "github-deliveries", "redeliveries"), 0);
	/* It looks all the same. */
	WAIT(r, strcmp(run_field(r, run, "conclusion"), "success") == 0);
}

static void without_the_permission_deliveries_are_left_alone(struct rig *r)
{
	struct proc *p;
	const char *first;

	simulator_start(r, NULL);
	(void)sim_run(r, "{\"repo\":\"" REPO "\",\"passes\":true,\"silent\":true}");
	sim_fault(r, "{\"call\":\"hooks\",\"kind\":\"status\",\"status\":404,\"times\":100000}");
	p = dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK, NULL);
	WAIT(r, strstr(source_word(r, "github-deliveries", "why"), "repository hooks") != NULL);
	WAIT(r, checked(r, "github-deliveries", 10));
	first = strstr(proc_output(p), "failed deliveries are not looked for");
	assert_non_null(first);
	assert_null(strstr(first + 1, "failed deliveries are not looked for"));
	/* The runs are found all the same. */
	assert_true(source_number(r, "github", "gaps") >= 1);
	/* Asked for by a person, it looks again. */
	sim_no_faults(r);
	(void)redis_do(r, "SADD pg:{local}:monitor:wanted github-deliveries");
	WAIT(r, !*source_word(r, "github-deliveries", "why"));
}

/* --- what people see ------------------------------------------------------------------- */

static const char *monitor_says(struct rig *r, const char *arg, const char *value, int status)
{
	const char *args[] = { "monitor", "--set", NULL, arg, value, NULL };
	struct proc *p;

	args[2] = rig_printf(r, "redis.url=%s", redis_url(r));
	p = guard_start(r, "monitor", args, NULL);
	assert_int_equal(proc_wait(p, PATIENCE_MS), status);
	return proc_output(p);
}

static void people_see_it_and_can_ask_for_a_check(struct rig *r)
{
	struct json_object *o;
	struct answer a;
	const char *text;
	uint64_t run;

	(void)monitor_says(r, NULL, NULL, 1); /* nothing was looked at yet */
	simulator_start(r, NULL);
	(void)receiver_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), LOOK_AT, QUICK,
			       "monitor.check_interval=1h", "monitor.max_interval=1h", NULL);
	WAIT(r, checked(r, "github", 1));
	assert_true(source_number(r, "github", "next_check_ms") >
		    source_number(r, "github", "last_check_ms") + 3000000);
	run = sim_run(r, "{\"repo\":\"" REPO "\",\"passes\":true,\"silent\":true}");
	WAIT(r, strcmp(sim_word(r, run, "status"), "completed") == 0);
	text = monitor_says(r, "--check", "github", 0);
	assert_true(strstr(text, "The monitor is ") != NULL && strstr(text, "github") != NULL);
	WAIT(r, strcmp(run_field(r, run, "conclusion"), "success") == 0);
	text = monitor_says(r, "--json", NULL, 0);
	o = rig_json(r, text, strlen(text));
	assert_true(json_i64(o, "sources.github.gaps", 0) >= 1);
	assert_true(*json_str(o, "leader", "") != '\0');
	(void)monitor_says(r, "--check", "nonsense", 1);
	WAIT(r, (a = http_get(r, receiver_admin_port(r), "/status")).status == 200 &&
			json_i64(a.json, "monitor.sources.github.gaps", 0) >= 1);
	assert_string_equal(answer_str(&a, "monitor.leader"), json_str(o, "leader", ""));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_silent_failure_is_found_and_healed),
		RIG_TEST(word_that_came_by_webhook_is_not_told_again),
		RIG_TEST(what_is_young_is_left_to_its_webhook),
		RIG_TEST(a_repository_that_events_came_from_is_looked_at),
		RIG_TEST(old_failures_are_left_in_peace),
		RIG_TEST(the_end_that_nobody_told_is_found),
		RIG_TEST(all_pages_are_read),
		RIG_TEST(in_the_steady_state_most_reads_are_spared),
		RIG_TEST(a_provider_in_trouble_is_left_alone_for_longer),
		RIG_TEST(a_breaker_that_is_open_is_respected),
		RIG_TEST(a_hidden_repository_does_not_hide_the_others),
		RIG_TEST(another_one_takes_over_when_the_monitor_dies),
		RIG_TEST(a_drain_hands_the_lease_on),
		RIG_TEST(somebody_elses_lease_is_respected),
		RIG_TEST(a_failed_delivery_is_asked_for_again_once),
		RIG_TEST(an_app_asks_about_its_own_hook),
		RIG_TEST(an_app_finds_the_repositories_it_is_installed_on),
		RIG_TEST(a_plain_token_finds_nothing_by_itself),
		RIG_TEST(another_monitor_does_not_ask_for_it_again),
		RIG_TEST(an_observer_asks_for_nothing),
		RIG_TEST(without_the_permission_deliveries_are_left_alone),
		RIG_TEST(people_see_it_and_can_ask_for_a_check),
	};

	return rig_main(tests);
}

/* The incident brake: an outage over many repositories costs one canary per interval, and no run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "tests/integration/product.h"

#define INCIDENTS "pg:{local}:incidents"
#define STOP      "pg:{local}:stop"
#define TOKEN     "admin-token-of-the-incident-tests"

enum { RUNS = 8, PROBE_MS = 1000, CAP_MS = 2000, RELEASE_MS = 1000 };

#define SETTINGS                                                                 \
	"incident.enabled=true", "incident.repositories=5", "incident.probe=1s", \
		"incident.probe_cap=2s", "incident.release_per_minute=60", "incident.quiet=8s"

static void world_start(struct rig *r)
{
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
}

static const char *few_rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", "network.yaml", "runners.yaml", NULL);
}

static struct proc *start(struct rig *r, const char *name)
{
	return dispatcher_start(r, name, few_rules(r), SETTINGS, NULL);
}

static uint64_t alike(struct rig *r, unsigned repo, const char *rerun)
{
	return sim_run(r, rig_printf(r,
				     "{\"cause\":\"runner_shutdown\",\"story\":1,\"rerun\":\"%s\","
				     "\"repo\":\"aurora-labs/service-%u\"}",
				     rerun, repo));
}

static void make_runs(struct rig *r, uint64_t runs[static RUNS])
{
	for (unsigned i = 0; i < RUNS; i++)
		runs[i] = alike(r, i, "pass");
}

static void outage(struct rig *r, int64_t ms)
{
	sim_post(r, "/_sim/outage",
		 rig_printf(r, "{\"cause\":\"runner_shutdown\",\"ms\":%" PRId64 "}", ms));
}

static int64_t reruns(struct rig *r)
{
	return sim_total(r, "rerun_accepted");
}

static int64_t incidents(struct rig *r)
{
	return redis_int_of(r, "HLEN " INCIDENTS);
}

/* Of the only incident. */
static const char *what(struct rig *r, const char *member)
{
	return redis_text_of(r, "EVAL %s 1 " INCIDENTS " %s",
			     "local v = redis.call('HVALS', KEYS[1])[1] "
			     "return v and tostring(cjson.decode(v)[ARGV[1]]) or ''",
			     member);
}

static int64_t audited(struct rig *r, const char *word)
{
	return redis_int_of(r, "EVAL %s 1 pg:{local}:audit %s",
			    "local n = 0 "
			    "for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do "
			    "  for _, v in ipairs(e[2]) do "
			    "    if string.find(v, ARGV[1], 1, true) then n = n + 1 break end "
			    "  end "
			    "end "
			    "return n",
			    word);
}

/* A run may be tried for several attempts, but each plan once. */
static void none_twice(struct rig *r)
{
	WAIT(r, redis_int_of(r, "XLEN %s", OUTCOMES) == reruns(r));
	assert_int_equal(sim_total(r, "rerun_refused"), 0);
}

static bool all_healed(struct rig *r, const uint64_t *runs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(run_field(r, runs[i], "outcome"), "healed") != 0)
			return false;
	return true;
}

/* At least so long between one re-run and the next; how many there were. */
static int64_t watch(struct rig *r, int64_t for_ms, int64_t gap_ms)
{
	int64_t end = clock_mono_ms() + for_ms, last_ms = 0, first = reruns(r), known = first;

	while (clock_mono_ms() < end) {
		int64_t n = reruns(r), now = clock_mono_ms();

		if (n > known) {
			assert_int_equal(n, known + 1);
			if (last_ms && now - last_ms < gap_ms)
				fail_msg("%d ms after the one before", (int)(now - last_ms));
			known = n;
			last_ms = now;
		}
		rig_tick(r);
	}
	return known - first;
}

static void an_outage_is_one_incident(struct rig *r)
{
	uint64_t runs[RUNS];
	int64_t begun, before, probes;

	world_start(r);
	(void)start(r, "a");
	(void)start(r, "b");
	outage(r, 3600 * 1000);
	/* So that all of them are held from the first. */
	(void)redis_do(r, "SET " STOP " wait");
	make_runs(r, runs);
	WAIT(r,
	     redis_int_of(r, "ZCARD %s", DUE) == RUNS && strcmp(what(r, "repositories"), "8") == 0);
	assert_int_equal(incidents(r), 1);
	WAIT(r, audited(r, "incident_opened") == 1);
	(void)redis_do(r, "DEL " STOP);
	probes = watch(r, 12000, CAP_MS - 200);
	assert_in_range(probes, 2, 6);
	assert_int_equal(incidents(r), 1);
	WAIT(r, strstr(http_get(r, receiver_admin_port(r), "/status").body,
		       "\"incidents\":[{\"subject\":\"fp:") ||
			strstr(http_get(r, receiver_admin_port(r), "/status").body,
			       "\"incident_open\":1"));
	WAIT(r, strstr(http_get(r, receiver_admin_port(r), "/metrics").body,
		       "pipeline_guard_incident_open 1"));
	outage(r, 0);
	WAIT(r, strcmp(what(r, "state"), "releasing") == 0);
	before = reruns(r);
	begun = clock_mono_ms();
	while (!all_healed(r, runs, RUNS)) {
		assert_true(reruns(r) - before <= (clock_mono_ms() - begun) / RELEASE_MS + 1);
		if (clock_mono_ms() - begun > 2 * PATIENCE_MS)
			fail_msg("not all were healed");
		rig_tick(r);
	}
	assert_int_equal(reruns(r) - before, RUNS - 1);
	none_twice(r);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
	WAIT(r, incidents(r) == 0);
	WAIT(r, audited(r, "incident_opened") == 1);
	WAIT(r, audited(r, "incident_released") == 1);
	WAIT(r, audited(r, "incident_closed") == 1);
}

/* Run again before it was noticed: that is not held against it. */
static void what_was_tried_in_vain_is_healed_afterwards(struct rig *r)
{
	uint64_t runs[RUNS];

	world_start(r);
	(void)start(r, "dispatcher");
	outage(r, 3600 * 1000);
	/* Runs again, and takes its time, while the others fail. */
	runs[0] = sim_run(r, "{\"cause\":\"runner_shutdown\",\"story\":1,\"rerun\":\"pass\","
			     "\"job_ms\":4000,\"repo\":\"aurora-labs/service-0\"}");
	WAIT(r, reruns(r) == 1);
	for (unsigned i = 1; i < RUNS; i++)
		runs[i] = alike(r, i, "pass");
	WAIT(r, incidents(r) == 1);
	WAIT(r, strcmp(run_field(r, runs[0], "excused"), "1") == 0);
	outage(r, 0);
	WAIT_MS(r, all_healed(r, runs, RUNS), 2 * PATIENCE_MS);
	none_twice(r);
	/* Nor against the strategy: nothing bad is known of it. */
	assert_non_null(strstr(redis_text_of(r, "HGET pg:{local}:learn:rerun_failed_jobs %s",
					     run_field(r, runs[0], "fingerprint")),
			       " 0.0000 "));
}

static void a_crash_with_the_canary_costs_nothing(struct rig *r)
{
	uint64_t runs[RUNS];
	struct proc *p;

	world_start(r);
	p = start(r, "first");
	outage(r, 3600 * 1000);
	(void)redis_do(r, "SET " STOP " wait");
	make_runs(r, runs);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == RUNS && incidents(r) == 1);
	assert_int_equal(proc_stop(p), 0);
	(void)redis_do(r, "DEL " STOP);
	/* Dies when the canary is written as sent, and before the call. */
	p = dispatcher_start_doomed(r, "doomed", "before_send", few_rules(r), SETTINGS,
				    "incident.probe_cap=10m", NULL);
	WAIT(r, !proc_running(p));
	assert_string_not_equal(what(r, "canary"), "");
	assert_int_equal(reruns(r), 0);
	outage(r, 0);
	(void)dispatcher_start(r, "heir", few_rules(r), SETTINGS, "incident.probe_cap=10m", NULL);
	WAIT(r, reruns(r) == 1);
	assert_string_equal(what(r, "probes"), "1");
	WAIT_MS(r, all_healed(r, runs, RUNS), 2 * PATIENCE_MS);
	assert_int_equal(reruns(r), RUNS);
	none_twice(r);
}

/* Its plan is gone, and nobody will ever tell how it went. */
static void a_lost_canary_frees_its_place(struct rig *r)
{
	uint64_t run;

	world_start(r);
	(void)redis_do(
		r, "HSET " INCIDENTS " category:infrastructure_failure %s",
		rig_printf(r,
			   "{\"subject\":\"category:infrastructure_failure\",\"state\":\"open\","
			   "\"by\":\"x\",\"reason\":\"\",\"opened_ms\":1,\"since_ms\":1,"
			   "\"last_ms\":%" PRId64 ",\"repositories\":9,\"probes\":1,"
			   "\"probe_ms\":1000,\"next_probe_ms\":1,\"canary\":\"gone\","
			   "\"canary_until_ms\":%" PRId64 ",\"released\":0}",
			   clock_wall_ms(), clock_wall_ms() + 6000));
	(void)start(r, "dispatcher");
	run = alike(r, 1, "pass");
	WAIT(r, *plan_field(r, run, 1, "held_ms"));
	assert_true(STAYS_FALSE(r, reruns(r) > 0, 1500));
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_string_equal(what(r, "probes"), "2");
}

/* --- by hand ------------------------------------------------------------------------------ */

static int incident(struct rig *r, const char **out, const char *word, const char *subject,
		    const char *more)
{
	const char *env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)), NULL };
	struct proc *p =
		guard_start(r, "incident", LIST("incident", "--json", word, subject, more), env);
	int status = proc_wait(p, PATIENCE_MS);

	*out = proc_output(p);
	return status;
}

static int post(struct rig *r, const char *word, const char *json)
{
	return http_ask(r, receiver_admin_port(r), "POST",
			rig_printf(r, "/api/v1/incidents/%s", word),
			"Authorization: Bearer " TOKEN "\r\nContent-Type: application/json\r\n",
			json, strlen(json))
		.status;
}

static void people_open_extend_and_close_them(struct rig *r)
{
	static const char runners[] = "category:infrastructure_failure";
	const char *out;
	uint64_t held, other;

	world_start(r);
	(void)start(r, "dispatcher");
	assert_int_equal(incident(r, &out, "open", "registry", NULL), 2);
	assert_int_equal(incident(r, &out, "close", runners, NULL), 1);
	assert_int_equal(incident(r, &out, "open", runners, "--for=1h"), 0);
	assert_int_equal(incident(r, &out, "open", runners, NULL), 1);
	assert_int_equal(incident(r, &out, "extend", runners, "--for=2h"), 0);
	held = alike(r, 1, "pass");
	other = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, other, 1), "healed");
	WAIT(r, *plan_field(r, held, 1, "held_ms"));
	assert_int_equal(sim_number(r, held, "rerun_accepted"), 0);
	assert_int_equal(incident(r, &out, "list", NULL, NULL), 0);
	assert_non_null(strstr(out, "\"subject\":\"category:infrastructure_failure\""));
	assert_non_null(strstr(out, "\"until_ms\":"));
	/* Bit by bit at first, then it is over. */
	assert_int_equal(incident(r, &out, "close", runners, NULL), 0);
	assert_non_null(strstr(out, "released"));
	WAIT(r, strcmp(run_field(r, held, "outcome"), "healed") == 0);
	assert_int_equal(incident(r, &out, "close", runners, NULL), 0);
	assert_non_null(strstr(out, "closed"));
	assert_int_equal(incidents(r), 0);
	WAIT(r, audited(r, "incident_extended") == 1);
}

static void the_api_does_the_same(struct rig *r)
{
	rig_write(r, "admin-token", TOKEN "\n", 0600);
	(void)receiver_start(r, rig_printf(r, "admin_token_file=%s", rig_path(r, "admin-token")),
			     NULL);
	assert_int_equal(post(r, "open", "{\"subject\":\"host:a.example.org\",\"for\":\"2h\"}"),
			 200);
	assert_int_equal(post(r, "open", "{\"subject\":\"host:a.example.org\"}"), 409);
	assert_int_equal(post(r, "open", "{\"subject\":\"a.example.org\"}"), 400);
	assert_int_equal(post(r, "open", "{\"subject\":\"host:b\",\"for\":\"soon\"}"), 400);
	assert_int_equal(post(r, "open", ""), 400);
	assert_int_equal(post(r, "explode", "{}"), 404);
	assert_int_equal(post(r, "extend", "{\"subject\":\"host:a.example.org\"}"), 200);
	WAIT(r, strstr(http_get(r, receiver_admin_port(r), "/status").body, "host:a.example.org"));
	assert_int_equal(post(r, "close", "{\"subject\":\"host:a.example.org\",\"now\":true}"),
			 200);
	assert_int_equal(post(r, "close", "{\"subject\":\"host:a.example.org\"}"), 404);
	assert_int_equal(incidents(r), 0);
	assert_int_equal(http_post_json(r, receiver_admin_port(r), "/api/v1/incidents/open",
					"{\"subject\":\"host:c\"}")
				 .status,
			 401);
}

static void what_fails_again_after_the_release_is_held_again(struct rig *r)
{
	const char *out;

	world_start(r);
	(void)start(r, "dispatcher");
	assert_int_equal(incident(r, &out, "open", "category:infrastructure_failure", NULL), 0);
	assert_int_equal(incident(r, &out, "close", "category:infrastructure_failure", NULL), 0);
	(void)alike(r, 1, "same");
	WAIT(r, strcmp(what(r, "state"), "open") == 0);
	WAIT(r, audited(r, "incident_reopened") == 1);
}

static uint64_t in_repo(struct rig *r, const char *cause, unsigned repo)
{
	return sim_run(r, rig_printf(r,
				     "{\"cause\":\"%s\",\"rerun\":\"pass\","
				     "\"repo\":\"aurora-labs/host-%u\"}",
				     cause, repo));
}

/* With many logs of one host, whatever the tool says. */
static void a_failing_host_is_noticed(struct rig *r)
{
	enum { MANY = 20 };

	world_start(r);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), SETTINGS, "incident.share=0", NULL);
	(void)redis_do(r, "SET " STOP " wait");
	for (unsigned i = 0; i < MANY; i++)
		(void)in_repo(r, "network_dns", i);
	WAIT(r, redis_int_of(r, "EVAL %s 1 " INCIDENTS,
			     "local n = 0 "
			     "for _, k in ipairs(redis.call('HKEYS', KEYS[1])) do "
			     "  if string.sub(k, 1, 5) == 'host:' then n = n + 1 end "
			     "end "
			     "return n") > 0);
}

static void another_face_of_it_releases_nothing(struct rig *r)
{
	const char *out;
	uint64_t run;

	world_start(r);
	(void)start(r, "dispatcher");
	assert_int_equal(incident(r, &out, "open", "category:network_failure", "--for=100ms"), 0);
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"different\","
			 "\"different\":\"network_reset\"}");
	assert_string_equal(plan_result(r, run, 1), "different_failure");
	assert_string_equal(what(r, "state"), "open");
	assert_string_equal(what(r, "probes"), "1");
}

/* Four hosts and three tools: what they have in common is the kind of failure. */
static void an_outage_with_many_faces_is_one_incident(struct rig *r)
{
	uint64_t runs[RUNS];

	world_start(r);
	(void)start(r, "dispatcher");
	(void)redis_do(r, "SET " STOP " wait");
	for (unsigned i = 0; i < RUNS; i++)
		runs[i] = in_repo(r, "network_dns", i);
	WAIT(r,
	     redis_int_of(r, "ZCARD %s", DUE) == RUNS && strcmp(what(r, "repositories"), "8") == 0);
	assert_int_equal(incidents(r), 1);
	assert_string_equal(what(r, "subject"), "category:network_failure/dns");
	(void)redis_do(r, "DEL " STOP);
	/* One of them is the canary, and then the others go. */
	WAIT_MS(r, all_healed(r, runs, RUNS), 2 * PATIENCE_MS);
	none_twice(r);
	assert_int_equal(audited(r, "incident_opened"), 1);
}

/* As many repositories fail of the network, and a lot more for reasons of their own. */
static void ordinary_failures_are_no_incident(struct rig *r)
{
	static const char *const usual[] = { "build_compile", "lint_style", "test_assertion",
					     "network_dns" };
	enum { EACH = 6, N = EACH * ARRAY_LEN(usual) };
	uint64_t runs[N];

	world_start(r);
	/* What a formatter could mend is only suggested, and nobody answers. */
	(void)dispatcher_start(r, "dispatcher", SETTINGS, "heal.approve_within=1s", NULL);
	for (unsigned i = 0; i < N; i++)
		runs[i] = in_repo(r, usual[i % ARRAY_LEN(usual)], i);
	/* What a tool may mend is suggested, and waits. */
	for (unsigned i = 0; i < N; i++)
		WAIT(r, *run_field(r, runs[i], "outcome") ||
				strcmp(run_field(r, runs[i], "plan_state"), "suggested") == 0);
	for (unsigned i = ARRAY_LEN(usual) - 1; i < N; i += ARRAY_LEN(usual))
		assert_string_equal(run_field(r, runs[i], "outcome"), "healed");
	assert_int_equal(redis_int_of(r, "ZCARD pg:{local}:incident:seen:*"), N);
	assert_int_equal(audited(r, "incident_opened"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(an_outage_is_one_incident),
		RIG_TEST(what_was_tried_in_vain_is_healed_afterwards),
		RIG_TEST(a_crash_with_the_canary_costs_nothing),
		RIG_TEST(a_lost_canary_frees_its_place),
		RIG_TEST(people_open_extend_and_close_them),
		RIG_TEST(the_api_does_the_same),
		RIG_TEST(what_fails_again_after_the_release_is_held_again),
		RIG_TEST(a_failing_host_is_noticed),
		RIG_TEST(another_face_of_it_releases_nothing),
		RIG_TEST(an_outage_with_many_faces_is_one_incident),
		RIG_TEST(ordinary_failures_are_no_incident),
	};

	return rig_main(tests);
}

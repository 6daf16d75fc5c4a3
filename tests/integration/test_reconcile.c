/*
 * GitLab's pipelines and Jenkins' builds that no webhook told are found and healed, and what was
 * told changes nothing when it is found again. What there is to look at is found, too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "tests/integration/product.h"

#define STATUS   "pg:{local}:monitor"
#define HEALABLE "\"cause\":\"network_dns\",\"rerun\":\"pass\""
#define SILENT   HEALABLE ",\"silent\":true"
#define STEADY   "\"passes\":true,\"silent\":true"

static const char *const providers[] = { "gitlab", "jenkins" };
static const char *const repos[] = { "harbour/sea/quill", "harbour/apps/atlas" };

#define EACH for (size_t i = 0; i < ARRAY_LEN(providers); i++)

#define QUICK                                                                                \
	"monitor.enabled=true", "monitor.check_interval=200ms", "monitor.min_interval=50ms", \
		"monitor.grace=0s", "monitor.lease=1500ms", "dispatcher.lease=1500ms",       \
		"dispatcher.claim_idle=500ms"

/* With credentials for all three; `...` are more settings. */
#define START(r, name, ...)                                                                \
	dispatcher_start(                                                                  \
		(r), (name), rig_printf((r), "gitlab.url=%s", simulator_url(r)),           \
		rig_printf((r), "gitlab.token_file=%s", rig_path((r), "token")),           \
		rig_printf((r), "jenkins.url=%s", simulator_url(r)), "jenkins.user=guard", \
		rig_printf((r), "jenkins.token_file=%s", rig_path((r), "token")),          \
		"gitlab.timeout=2s", "jenkins.timeout=2s",                                 \
		rules_only((r), "markers.yaml", "network.yaml", NULL), QUICK, ##__VA_ARGS__, NULL)

static struct json_object *source(struct rig *r, const char *name)
{
	const char *text = redis_text_of(r, "HGET %s %s", STATUS, name);

	return *text ? rig_json(r, text, strlen(text)) : NULL;
}

static int64_t number(struct rig *r, const char *name, const char *member)
{
	return json_i64(source(r, name), member, -1);
}

static const char *why(struct rig *r, const char *name)
{
	return json_str(source(r, name), "why", "");
}

static void wait_checks(struct rig *r, const char *name, int64_t more)
{
	int64_t until = number(r, name, "checks") + more;

	WAIT(r, number(r, name, "checks") >= until);
}

static uint64_t make(struct rig *r, size_t i, const char *wish)
{
	return sim_run(r, rig_printf(r, "{\"provider\":\"%s\",\"repo\":\"%s\",%s}", providers[i],
				     repos[i], wish));
}

static uint64_t generation(struct rig *r, uint64_t run)
{
	return (uint64_t)sim_number(r, run, "generation");
}

static bool is_over(struct rig *r, uint64_t run)
{
	return strcmp(sim_word(r, run, "status"), "completed") == 0;
}

/* The first build or the jobs of the first try, and the run is over. */
static uint64_t first_end(struct rig *r, uint64_t run)
{
	WAIT(r, is_over(r, run));
	return generation(r, run);
}

static void healed_once(struct rig *r, uint64_t run, uint64_t first, const char *provider)
{
	const char *result = plan_result(r, run, first);

	if (strcmp(result, "healed") != 0)
		fail_msg("%s: %s (%s)", provider, result, plan_field(r, run, first, "reason"));
	assert_case(sim_number(r, run, "rerun_accepted") == 1, provider);
	assert_case(sim_number(r, run, "attempt") == 2, provider);
	assert_case(outcomes_of(r, run, first) == 1, provider);
}

/* --- found --------------------------------------------------------------------------- */

/* Of a stage that takes long enough for the state between to be seen. */
#define SLOW ",\"job_ms\":500"

static void a_silent_failure_is_found_and_healed_once(struct rig *r)
{
	uint64_t run[ARRAY_LEN(providers)], first[ARRAY_LEN(providers)];

	simulator_start(r, NULL);
	EACH
	{
		run[i] = make(r, i, SILENT SLOW);
		first[i] = first_end(r, run[i]);
	}
	(void)START(r, "dispatcher");
	EACH
	{
		healed_once(r, run[i], first[i], providers[i]);
		assert_case(sim_number(r, run[i], "webhooks") == 0, providers[i]);
		WAIT(r, strcmp(run_field(r, run[i], "conclusion"), "success") == 0);
		/* As its webhook would have told it. */
		assert_string_equal(run_field(r, run[i], "provider"), providers[i]);
		assert_string_equal(run_field(r, run[i], "source"), providers[i]);
		assert_string_equal(run_field(r, run[i], "repo"), repos[i]);
		assert_string_equal(run_field(r, run[i], "sha"), sim_word(r, run[i], "sha"));
		assert_string_equal(run_field(r, run[i], "branch"), sim_word(r, run[i], "branch"));
		assert_string_equal(run_field(r, run[i], "generation"),
				    rig_printf(r, "%" PRIu64, generation(r, run[i])));
		assert_case(*run_field(r, run[i], "url") && *run_field(r, run[i], "pipeline"),
			    providers[i]);
		assert_case(number(r, providers[i], "gaps") >= 2, providers[i]);
	}
}

/* --- told and found -------------------------------------------------------------------- */

#define GITLAB_TOKEN   "gitlab-token-of-the-integration-tests"
#define JENKINS_SECRET "jenkins-password-of-the-integration-tests"

static const char *secret(struct rig *r, const char *name, const char *text)
{
	rig_write(r, name, rig_printf(r, "%s\n", text), 0600);
	rig_hide(r, text, name);
	return rig_path(r, name);
}

/* Receiver and simulator; `...` are more arguments of the simulator. */
#define START_WORLD(r, ...) start_world((r), LIST(__VA_ARGS__))
static void start_world(struct rig *r, const char *const *more)
{
	const char *token = secret(r, "gitlab-token", GITLAB_TOKEN);
	const char *password = secret(r, "jenkins-secret", JENKINS_SECRET), *url;
	const char *args[24] = { "--gitlab-secret-file", token, "--jenkins-secret-file", password };
	size_t n = 4;

	(void)receiver_start(r, rig_printf(r, "gitlab.webhook_token_file=%s", token),
			     rig_printf(r, "jenkins.webhook_token_file=%s", password), NULL);
	url = rig_printf(r, "http://127.0.0.1:%d/webhooks", receiver_port(r));
	args[n++] = "--gitlab-webhook-url";
	args[n++] = rig_printf(r, "%s/gitlab", url);
	args[n++] = "--jenkins-webhook-url";
	args[n++] = rig_printf(r, "%s/jenkins", url);
	while (*more)
		args[n++] = *more++;
	(void)simulator_start_list(r, args);
}

static void told_and_found_at_once_is_one_thing(struct rig *r)
{
	enum { RUNS = 4 };
	uint64_t run[ARRAY_LEN(providers)][RUNS];

	/* Twice, late, and in any order. */
	START_WORLD(r, "--duplicate", "0.5", "--reorder", "0.5");
	(void)START(r, "dispatcher");
	/* Jenkins' run is the job: each in a job of its own. */
	for (size_t k = 0; k < RUNS; k++)
		EACH run[i][k] =
			sim_run(r, rig_printf(r,
					      "{\"provider\":\"%s\",\"repo\":\"%s-%zu\"," HEALABLE
					      ",\"job_ms\":200}",
					      providers[i], repos[i], k));
	for (size_t k = 0; k < RUNS; k++) {
		EACH
		{
			uint64_t first;

			WAIT(r, sim_number(r, run[i][k], "attempt") == 2 && is_over(r, run[i][k]));
			first = strcmp(providers[i], "jenkins") == 0
					? 1
					: strtoull(run_field(r, run[i][k], "planned"), NULL, 10);
			healed_once(r, run[i][k], first, providers[i]);
		}
	}
	assert_int_equal(sim_total(r, "rerun_twice"), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

static void what_was_told_is_not_told_again(struct rig *r)
{
	uint64_t run[ARRAY_LEN(providers)];
	int64_t entries;

	START_WORLD(r, NULL);
	EACH
	{
		run[i] = make(r, i, HEALABLE SLOW);
		(void)first_end(r, run[i]);
	}
	(void)START(r, "dispatcher", "monitor.grace=3s");
	EACH WAIT(r, strcmp(run_field(r, run[i], "conclusion"), "success") == 0);
	entries = redis_int_of(r, "XLEN %s", EVENTS);
	/* Everything is older than the grace when the lists are the same as before. */
	EACH WAIT(r, json_num(source(r, providers[i]), "cache_hit_rate", 0) > 0.6);
	EACH wait_checks(r, providers[i], 3);
	EACH assert_int_equal(number(r, providers[i], "gaps"), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", EVENTS), entries);
}

static void the_end_that_nobody_told_is_found(struct rig *r)
{
	uint64_t run[ARRAY_LEN(providers)], first;

	START_WORLD(r, NULL);
	(void)START(r, "dispatcher", "monitor.check_interval=1h", "monitor.max_interval=1h");
	EACH wait_checks(r, providers[i], 0);
	EACH
	{
		run[i] = make(r, i, HEALABLE ",\"job_ms\":1000");
		WAIT(r, strcmp(run_field(r, run[i], "rank"), "2") == 0);
		sim_post(r, "/_sim/hook",
			 rig_printf(r, "{\"provider\":\"%s\",\"url\":\"\"}", providers[i]));
		first = first_end(r, run[i]);
		assert_string_equal(run_field(r, run[i], "rank"), "2");
		(void)redis_do(r, "SADD pg:{local}:monitor:wanted %s", providers[i]);
		WAIT(r, strcmp(sim_word(r, run[i], "conclusion"), "success") == 0);
		(void)redis_do(r, "SADD pg:{local}:monitor:wanted %s", providers[i]);
		healed_once(r, run[i], first, providers[i]);
	}
}

/* A pipeline that was over, and is over again: its jobs have other ids, its job another build. */
static void somebodys_rerun_is_found(struct rig *r)
{
	uint64_t run[ARRAY_LEN(providers)], first[ARRAY_LEN(providers)];

	simulator_start(r, NULL);
	EACH
	{
		run[i] = make(r, i, STEADY ",\"job_ms\":400");
		first[i] = first_end(r, run[i]);
	}
	(void)START(r, "dispatcher");
	EACH WAIT(r, strcmp(run_field(r, run[i], "generation"),
			    rig_printf(r, "%" PRIu64, first[i])) == 0);
	EACH sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run[i]),
		      "{\"only_failed\":false}");
	EACH
	{
		uint64_t again;

		WAIT(r, sim_number(r, run[i], "attempt") == 2 && is_over(r, run[i]));
		again = generation(r, run[i]);
		assert_true(again > first[i]);
		WAIT(r, strcmp(run_field(r, run[i], "generation"),
			       rig_printf(r, "%" PRIu64, again)) == 0 &&
				strcmp(run_field(r, run[i], "rank"), "3") == 0);
	}
}

/*
 * Failed when it was listed, and running when its jobs were: what is known of it then is not that
 * the retry failed.
 */
static void a_retry_between_two_answers_is_not_a_failure(struct rig *r)
{
	uint64_t run, first, again;
	int64_t asked;

	simulator_start(r, NULL);
	run = make(r, 0,
		   "\"cause\":\"network_dns\",\"rerun\":\"pass\",\"silent\":true,"
		   "\"job_ms\":2500");
	first = first_end(r, run);
	sim_fault(r, "{\"call\":\"list_jobs\",\"kind\":\"slow\",\"ms\":1000}");
	asked = sim_total(r, "api_requests");
	(void)START(r, "dispatcher", "jenkins.folders=none", "gitlab.timeout=5s");
	/* The projects, their pipelines, the jobs of this one; and Jenkins' folder. */
	WAIT(r, sim_total(r, "api_requests") >= asked + 4);
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run), "{}");
	again = generation(r, run);
	assert_true(again > first);
	WAIT(r, strcmp(run_field(r, run, "generation"), rig_printf(r, "%" PRIu64, again)) == 0);
	assert_string_equal(run_field(r, run, "rank"), "2");
	WAIT(r, strcmp(run_field(r, run, "conclusion"), "success") == 0);
	assert_string_equal(plan_field(r, run, again, "state"), "");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 0);
}

static void all_pages_are_read(struct rig *r)
{
	enum { RUNS = 25 };
	uint64_t run[RUNS];

	simulator_start(r, NULL);
	for (size_t k = 0; k < RUNS; k++)
		run[k] = make(r, 0, STEADY);
	for (size_t k = 0; k < RUNS; k++)
		(void)first_end(r, run[k]);
	(void)START(r, "dispatcher", "monitor.batch_size=10");
	for (size_t k = 0; k < RUNS; k++)
		WAIT(r, strcmp(run_field(r, run[k], "conclusion"), "success") == 0);
}

/* --- Jenkins' ways to run a build again ------------------------------------------------- */

static void heals_in_this_way(struct rig *r, const char *const *args)
{
	uint64_t run;

	start_world(r, args);
	(void)START(r, "dispatcher");
	run = make(r, 1, HEALABLE SLOW);
	healed_once(r, run, 1, "jenkins");
	assert_string_equal(run_field(r, run, "conclusion"), "success");
}

static void by_naginator(struct rig *r)
{
	heals_in_this_way(r, LIST("--jenkins-freestyle", "--jenkins-plugins", "naginator,rebuild"));
}

static void by_rebuild(struct rig *r)
{
	heals_in_this_way(r, LIST("--jenkins-freestyle", "--jenkins-plugins", "rebuild"));
}

static void by_jenkins_itself(struct rig *r)
{
	heals_in_this_way(r, LIST("--jenkins-plugins", "none"));
}

/* --- what there is to look at ---------------------------------------------------------- */

static uint64_t quiet_run(struct rig *r, const char *provider, const char *repo)
{
	uint64_t run = sim_run(r, rig_printf(r, "{\"provider\":\"%s\",\"repo\":\"%s\"," STEADY "}",
					     provider, repo));

	(void)first_end(r, run);
	return run;
}

static bool is_known(struct rig *r, uint64_t run)
{
	return strcmp(run_field(r, run, "conclusion"), "success") == 0;
}

static void only_the_groups_and_folders_that_were_named(struct rig *r)
{
	uint64_t in[ARRAY_LEN(providers)], out[ARRAY_LEN(providers)];

	simulator_start(r, NULL);
	EACH
	{
		in[i] = quiet_run(r, providers[i], "fleet/ships/brig");
		out[i] = quiet_run(r, providers[i], "fleet-b/brig");
	}
	(void)START(r, "dispatcher", "gitlab.groups=nowhere/at-all,fleet/ships",
		    "jenkins.folders=fleet");
	EACH
	{
		WAIT(r, is_known(r, in[i]));
		wait_checks(r, providers[i], 3);
		assert_case(!is_known(r, out[i]), providers[i]);
	}
}

static void a_list_that_is_too_long_is_cut(struct rig *r)
{
	struct proc *p;

	simulator_start(r, NULL);
	EACH for (int k = 0; k < 5; k++)(void)
		quiet_run(r, providers[i], rig_printf(r, "%s-%d", repos[i], k));
	p = START(r, "dispatcher", "monitor.discover_max=3");
	EACH
	{
		wait_checks(r, providers[i], 3);
		assert_int_equal(number(r, providers[i], "repositories"), 3);
	}
	assert_non_null(strstr(proc_output(p), "more to look at than monitor.discover_max"));
}

static void nothing_is_looked_for_when_that_is_off(struct rig *r)
{
	uint64_t run[ARRAY_LEN(providers)];

	simulator_start(r, NULL);
	EACH run[i] = quiet_run(r, providers[i], repos[i]);
	(void)START(r, "dispatcher", "monitor.discover=0s");
	EACH
	{
		wait_checks(r, providers[i], 3);
		assert_int_equal(number(r, providers[i], "repositories"), 0);
		assert_case(!is_known(r, run[i]), providers[i]);
	}
}

/* By their names alone: the number of a GitLab project is learned from its pipelines. */
static void what_is_configured_is_looked_at(struct rig *r)
{
	uint64_t run[ARRAY_LEN(providers)];

	simulator_start(r, NULL);
	EACH run[i] = quiet_run(r, providers[i], repos[i]);
	(void)START(r, "dispatcher", "monitor.discover=0s",
		    "monitor.repositories=gitlab:harbour/sea/quill,jenkins:harbour/apps/atlas");
	EACH WAIT(r, is_known(r, run[i]));
}

/* Two sources of one server: which of them would have told it is anybody's guess. */
static void a_project_of_two_sources_is_not_guessed(struct rig *r)
{
	uint64_t run;

	simulator_start(r, NULL);
	run = quiet_run(r, "gitlab", repos[0]);
	(void)START(r, "dispatcher", "gitlab.sources=gitlab,gitlab-too");
	wait_checks(r, "gitlab", 3);
	assert_int_equal(number(r, "gitlab", "repositories"), 0);
	assert_false(is_known(r, run));
}

/* Numbers of one GitLab mean something else on another. */
static void what_another_server_told_is_not_looked_up_here(struct rig *r)
{
	uint64_t run;

	simulator_start(r, NULL);
	run = quiet_run(r, "gitlab", repos[0]);
	(void)redis_do(r,
		       "XADD %s * v 1 provider gitlab source elsewhere delivery d1 kind run topic "
		       "pipeline status running repo_id %lld repo %s run_id 1 generation 1 at_ms "
		       "%lld",
		       EVENTS, (long long)sim_number(r, run, "repo_id"), repos[0],
		       (long long)clock_wall_ms());
	(void)START(r, "dispatcher", "monitor.discover=0s");
	WAIT(r, redis_int_of(r, "ZCARD pg:{local:0}:runs") == 1);
	wait_checks(r, "gitlab", 3);
	assert_int_equal(number(r, "gitlab", "repositories"), 0);
	assert_false(is_known(r, run));
}

static void a_list_that_is_refused_does_not_hide_what_is_known(struct rig *r)
{
	uint64_t run[ARRAY_LEN(providers)];
	struct proc *p;
	const char *line;

	simulator_start(r, NULL);
	EACH run[i] = quiet_run(r, providers[i], repos[i]);
	sim_fault(r,
		  "{\"call\":\"list_repos\",\"kind\":\"status\",\"status\":403,\"times\":99999}");
	p = START(r, "dispatcher",
		  "monitor.repositories=gitlab:harbour/sea/quill,jenkins:harbour/apps/atlas");
	EACH WAIT(r, is_known(r, run[i]));
	EACH wait_checks(r, providers[i], 5);
	/* Said once for each. */
	line = strstr(proc_output(p), "cannot be listed");
	assert_non_null(line);
	line = strstr(line + 1, "cannot be listed");
	assert_non_null(line);
	assert_null(strstr(line + 1, "cannot be listed"));
}

/* --- cost and trouble -------------------------------------------------------------------- */

static void in_the_steady_state_most_reads_are_spared(struct rig *r)
{
	enum { JOBS = 6, ROUNDS = 12 };
	int64_t before, checks[ARRAY_LEN(providers)], asked, wanted = 0;

	simulator_start(r, NULL);
	for (int k = 0; k < JOBS; k++)
		EACH(void) quiet_run(r, providers[i], rig_printf(r, "%s-%d", repos[i], k));
	(void)START(r, "dispatcher", "monitor.cache_ttl=2s");
	EACH wait_checks(r, providers[i], 4);
	before = sim_total(r, "api_requests");
	EACH checks[i] = number(r, providers[i], "checks");
	EACH wait_checks(r, providers[i], ROUNDS);
	asked = sim_total(r, "api_requests") - before;
	EACH wanted += (number(r, providers[i], "checks") - checks[i]) * JOBS;
	EACH assert_case(json_num(source(r, providers[i]), "cache_hit_rate", 0) > 0.8,
			 providers[i]);
	/* GitLab is asked, and confirms; Jenkins says in one answer that nothing happened. */
	if (asked > wanted * 3 / 4)
		fail_msg("%" PRId64 " requests for %" PRId64 " looks", asked, wanted);
}

static void a_limit_told_to_one_is_kept_by_all(struct rig *r)
{
	int64_t asked;

	simulator_start(r, NULL);
	(void)quiet_run(r, "gitlab", repos[0]);
	sim_fault(r, "{\"call\":\"list_repos\",\"kind\":\"rate_limit\",\"ms\":600000}");
	(void)START(r, "dispatcher", "monitor.discover=10m", "jenkins.folders=none");
	WAIT(r, strstr(why(r, "gitlab"), "limit") != NULL);
	WAIT(r, redis_int_of(r, "HEXISTS pg:{local}:breaker:127.0.0.1 limited_until_ms") == 1);
	asked = sim_total(r, "api_requests");
	(void)START(r, "another");
	assert_true(STAYS_FALSE(r, sim_total(r, "api_requests") > asked, 1500));
}

/* What is left of the hour has to last for it. */
static void a_budget_that_runs_low_makes_checks_rare(struct rig *r)
{
	simulator_start(r, NULL);
	(void)quiet_run(r, "gitlab", repos[0]);
	(void)START(r, "dispatcher", "monitor.repositories=gitlab:harbour/sea/quill");
	wait_checks(r, "gitlab", 3);
	assert_true(number(r, "gitlab", "interval_ms") <= 500);
	sim_post(r, "/_sim/rate-limit", "{\"limit\":2000,\"remaining\":200,\"reset_ms\":600000}");
	/* A tenth of it, and half of that is ours: a check in 6 s, or in 12 s with two requests. */
	WAIT(r, number(r, "gitlab", "interval_ms") >= 5000);
	assert_true(number(r, "gitlab", "budget_left") <= 200);
}

/* Healing comes first: who has all hands full looks a third as often. */
static void a_busy_dispatcher_checks_less_often(struct rig *r)
{
	simulator_start(r, NULL);
	(void)make(r, 0, SILENT);
	sim_fault(r, "{\"call\":\"log\",\"kind\":\"slow\",\"ms\":6000}");
	(void)START(r, "dispatcher", "dispatcher.concurrency=1", "gitlab.timeout=10s");
	/* Quiet alone makes it 400. */
	WAIT(r, number(r, "gitlab", "interval_ms") >= 600);
}

static void a_server_in_trouble_is_left_alone_for_longer(struct rig *r)
{
	uint64_t run[ARRAY_LEN(providers)];

	simulator_start(r, NULL);
	EACH run[i] = quiet_run(r, providers[i], repos[i]);
	sim_fault(r, "{\"call\":\"list_runs\",\"kind\":\"status\",\"status\":502,\"times\":8}");
	(void)START(r, "dispatcher");
	EACH WAIT(r, number(r, providers[i], "refusals") >= 2);
	EACH WAIT(r, is_known(r, run[i]));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_silent_failure_is_found_and_healed_once),
		RIG_TEST(told_and_found_at_once_is_one_thing),
		RIG_TEST(what_was_told_is_not_told_again),
		RIG_TEST(the_end_that_nobody_told_is_found),
		RIG_TEST(somebodys_rerun_is_found),
		RIG_TEST(a_retry_between_two_answers_is_not_a_failure),
		RIG_TEST(all_pages_are_read),
		RIG_TEST(by_naginator),
		RIG_TEST(by_rebuild),
		RIG_TEST(by_jenkins_itself),
		RIG_TEST(only_the_groups_and_folders_that_were_named),
		RIG_TEST(a_list_that_is_too_long_is_cut),
		RIG_TEST(nothing_is_looked_for_when_that_is_off),
		RIG_TEST(what_is_configured_is_looked_at),
		RIG_TEST(a_project_of_two_sources_is_not_guessed),
		RIG_TEST(what_another_server_told_is_not_looked_up_here),
		RIG_TEST(a_list_that_is_refused_does_not_hide_what_is_known),
		RIG_TEST(in_the_steady_state_most_reads_are_spared),
		RIG_TEST(a_limit_told_to_one_is_kept_by_all),
		RIG_TEST(a_budget_that_runs_low_makes_checks_rare),
		RIG_TEST(a_busy_dispatcher_checks_less_often),
		RIG_TEST(a_server_in_trouble_is_left_alone_for_longer),
	};

	return rig_main(tests);
}

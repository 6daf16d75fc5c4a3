/*
 * GitLab and Jenkins from a failed run to its outcome: the same promises as for GitHub, kept with
 * what these two can tell.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "tests/integration/product.h"

#define QUICK "dispatcher.lease=1500ms", "dispatcher.claim_idle=500ms"

static const char *const providers[] = { "gitlab", "jenkins" };

/* Both at once: each test is about both of them. */
struct both {
	uint64_t run[ARRAY_LEN(providers)];
	uint64_t first[ARRAY_LEN(providers)]; /* generation that failed */
};

#define DISPATCHER(r, ...)                                                                   \
	LIST(rig_printf((r), "gitlab.url=%s", simulator_url(r)),                             \
	     rig_printf((r), "gitlab.token_file=%s", rig_path((r), "token")),                \
	     rig_printf((r), "jenkins.url=%s", simulator_url(r)), "jenkins.user=guard",      \
	     rig_printf((r), "jenkins.token_file=%s", rig_path((r), "token")),               \
	     "gitlab.timeout=2s", "jenkins.timeout=2s", QUICK,                               \
	     rules_only((r), "markers.yaml", "network.yaml", "c_cpp.yaml", "languages.yaml", \
			"javascript.yaml", "java.yaml", "python.yaml", NULL),                \
	     __VA_ARGS__)

#define GITLAB_TOKEN   "gitlab-token-of-the-integration-tests"
#define GITLAB_SIGNING "whsec_Z2l0bGFiLXNpZ25pbmctdG9rZW4tb2YtdGhlLXRlc3Q="
#define JENKINS_SECRET "jenkins-password-of-the-integration-tests"

static const char *secret(struct rig *r, const char *name, const char *text)
{
	rig_write(r, name, rig_printf(r, "%s\n", text), 0600);
	rig_hide(r, text, name);
	return rig_path(r, name);
}

/* Receiver and simulator, with secrets on both sides. */
static void start_world(struct rig *r)
{
	const char *token = secret(r, "gitlab-token", GITLAB_TOKEN);
	const char *signing = secret(r, "gitlab-signing", GITLAB_SIGNING);
	const char *jenkins = secret(r, "jenkins-secret", JENKINS_SECRET), *url;

	(void)receiver_start(r, rig_printf(r, "gitlab.webhook_token_file=%s", token),
			     rig_printf(r, "gitlab.signing_token_file=%s", signing),
			     rig_printf(r, "jenkins.webhook_token_file=%s", jenkins), NULL);
	url = rig_printf(r, "http://127.0.0.1:%d/webhooks", receiver_port(r));
	simulator_start(r, "--gitlab-webhook-url", rig_printf(r, "%s/gitlab", url),
			"--gitlab-secret-file", token, "--gitlab-signing-file", signing,
			"--jenkins-webhook-url", rig_printf(r, "%s/jenkins", url),
			"--jenkins-secret-file", jenkins, "--duplicate", "0.3", NULL);
}

static struct proc *start_dispatcher(struct rig *r, const char *name, const char *crash)
{
	return dispatcher_start_list(r, name, crash, DISPATCHER(r, "heal.concurrent=20"));
}

/* --- what a receiver tells, or we in its place
 * ------------------------------------------------------------ */

static uint64_t generation(struct rig *r, uint64_t run)
{
	return (uint64_t)sim_number(r, run, "generation");
}

static bool is_over(struct rig *r, uint64_t run)
{
	return strcmp(sim_word(r, run, "status"), "completed") == 0;
}

static void tell_as(struct rig *r, uint64_t run, const char *source, const char *status,
		    const char *conclusion)
{
	const char *provider = sim_word(r, run, "provider");
	static unsigned n;

	(void)redis_do(r,
		       "XADD %s * v 1 provider %s source %s delivery d%lld kind run topic run "
		       "action %s status %s conclusion %s repo_id %lld repo %s run_id %lld "
		       "generation %lld pipeline ci branch main sha %s at_ms %lld "
		       "received_at_ms %lld",
		       EVENTS, provider, source, (long long)++n, status, status,
		       *conclusion ? conclusion : "-", (long long)sim_number(r, run, "repo_id"),
		       sim_word(r, run, "repo"),
		       strcmp(provider, "jenkins") == 0 ? 1LL : (long long)run,
		       (long long)generation(r, run), sim_word(r, run, "sha"),
		       (long long)clock_wall_ms(), (long long)clock_wall_ms());
}

static void tell_of(struct rig *r, uint64_t run, int merge_request)
{
	static unsigned n;

	(void)redis_do(
		r,
		"XADD %s * v 1 provider gitlab source gitlab delivery m%lld kind run topic run "
		"action completed status completed conclusion failure repo_id %lld repo %s "
		"run_id %lld generation %lld pipeline ci branch main sha %s "
		"merge_request %lld at_ms %lld received_at_ms %lld",
		EVENTS, (long long)++n, (long long)sim_number(r, run, "repo_id"),
		sim_word(r, run, "repo"), (long long)run, (long long)generation(r, run),
		sim_word(r, run, "sha"), (long long)merge_request, (long long)clock_wall_ms(),
		(long long)clock_wall_ms());
}

static void tell(struct rig *r, uint64_t run, const char *status, const char *conclusion)
{
	tell_as(r, run, sim_word(r, run, "provider"), status, conclusion);
}

static void wait_end(struct rig *r, uint64_t run, int n)
{
	WAIT(r, sim_number(r, run, "attempt") == n && is_over(r, run));
}

static void fail_both(struct rig *r, struct both *b, const char *wish)
{
	static const char *const repos[] = { "harbour/sea/quill", "harbour/apps/atlas" };

	for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
		b->run[i] = sim_run(r, rig_printf(r, "{\"provider\":\"%s\",\"repo\":\"%s\",%s}",
						  providers[i], repos[i], wish));
		wait_end(r, b->run[i], 1);
		b->first[i] = generation(r, b->run[i]);
	}
}

#define HEALABLE "\"cause\":\"network_dns\",\"rerun\":\"pass\""
#define EACH     for (size_t i = 0; i < ARRAY_LEN(providers); i++)

static int64_t accepted(struct rig *r, uint64_t run)
{
	return sim_number(r, run, "rerun_accepted");
}

static const char *state(struct rig *r, const struct both *b, size_t i)
{
	return plan_field(r, b->run[i], b->first[i], "state");
}

static void healed_once(struct rig *r, const struct both *b, size_t i)
{
	const char *result = plan_result(r, b->run[i], b->first[i]);

	if (strcmp(result, "healed") != 0)
		fail_msg("%s: %s (%s; %s)", providers[i], result,
			 plan_field(r, b->run[i], b->first[i], "reason"),
			 plan_field(r, b->run[i], b->first[i], "detail"));
	assert_case(accepted(r, b->run[i]) == 1, providers[i]);
	assert_case(sim_number(r, b->run[i], "attempt") == 2, providers[i]);
	assert_case(outcomes_of(r, b->run[i], b->first[i]) == 1, providers[i]);
	assert_case(strcmp(run_field(r, b->run[i], "outcome"), "healed") == 0, providers[i]);
	assert_case(sim_total(r, "rerun_twice") == 0, providers[i]);
	assert_case(strcmp(plan_field(r, b->run[i], b->first[i], "provider"), providers[i]) == 0,
		    providers[i]);
	assert_case(strcmp(plan_field(r, b->run[i], b->first[i], "reruns"), "0") == 0,
		    providers[i]);
}

/* --- stopping what hangs ------------------------------------------------------------------- */

static void what_hangs_is_stopped_and_run_again(struct rig *r)
{
	static const char *const repos[] = { "harbour/sea/quill", "harbour/apps/atlas" };
	struct both b;

	start_world(r);
	(void)dispatcher_start_list(r, "dispatcher", NULL, DISPATCHER(r, "heal.stop_within=5s"));
	EACH
	{
		const char *ref;

		b.run[i] = sim_run(r, rig_printf(r,
						 "{\"provider\":\"%s\",\"repo\":\"%s\","
						 "\"passes\":true,\"job_ms\":20000}",
						 providers[i], repos[i]));
		WAIT(r, strcmp(run_field(r, b.run[i], "rank"), "2") == 0);
		b.first[i] = (uint64_t)strtoull(run_field(r, b.run[i], "generation"), NULL, 10);
		ref = strstr(run_key(r, b.run[i]), ":run:") + strlen(":run:");
		assert_int_equal(heal_asked(r, "--strategy", "cancel_stuck_and_rerun", ref, NULL),
				 0);
		healed_once(r, &b, i);
		assert_int_equal(sim_number(r, b.run[i], "cancels"), 1);
	}
}

static void what_hangs_is_noticed(struct rig *r)
{
	static const char *const repos[] = { "harbour/sea/quill", "harbour/apps/atlas" };
	enum { USUAL = 5 };
	struct both b;

	start_world(r);
	(void)dispatcher_start_list(
		r, "dispatcher", NULL,
		DISPATCHER(r, "heal.stop_within=5s", "heal.stuck_after=1s", "heal.stuck_act=true"));
	EACH
	{
		for (int k = 0; k < USUAL; k++) {
			b.run[i] = sim_run(r, rig_printf(r,
							 "{\"provider\":\"%s\",\"repo\":\"%s\","
							 "\"passes\":true,\"job_ms\":20}",
							 providers[i], repos[i]));
			WAIT(r, redis_int_of(r, "EVAL %s 0 %s",
					     "local k = redis.call('KEYS', ARGV[1])[1] "
					     "return k and redis.call('LLEN', k) or 0",
					     rig_printf(r, "pg:{local:0}:durations:%s:*",
							providers[i])) == k + 1);
		}
		b.run[i] = sim_run(r, rig_printf(r,
						 "{\"provider\":\"%s\",\"repo\":\"%s\","
						 "\"passes\":true,\"job_ms\":20000}",
						 providers[i], repos[i]));
		WAIT(r, strcmp(run_field(r, b.run[i], "rank"), "2") == 0);
		b.first[i] = (uint64_t)strtoull(run_field(r, b.run[i], "generation"), NULL, 10);
		healed_once(r, &b, i);
		assert_int_equal(sim_number(r, b.run[i], "cancels"), 1);
	}
}

/* --- the usual ways ------------------------------------------------------------------------ */

static void a_transient_failure_is_healed_by_one_rerun(struct rig *r)
{
	struct both b;

	start_world(r);
	(void)start_dispatcher(r, "dispatcher", NULL);
	fail_both(r, &b, HEALABLE ",\"job_ms\":400"); /* time to look */
	EACH
	{
		WAIT(r, strcmp(state(r, &b, i), "awaiting") == 0);
		assert_case(strcmp(run_field(r, b.run[i], "reruns"), "1") == 0, providers[i]);
		wait_end(r, b.run[i], 2);
		assert_true(generation(r, b.run[i]) > b.first[i]);
		assert_case(sim_number(r, b.run[i], "webhooks_failed") == 0, providers[i]);
		healed_once(r, &b, i);
		assert_case(strcmp(run_field(r, b.run[i], "category"), "network_failure") == 0,
			    providers[i]);
		assert_case(strcmp(run_field(r, b.run[i], "planned"),
				   rig_printf(r, "%" PRIu64, b.first[i])) == 0,
			    providers[i]);
		/* It succeeded: the next failure may be re-run again. */
		assert_case(strcmp(run_field(r, b.run[i], "reruns"), "") == 0, providers[i]);
	}
}

static void a_failure_that_stays_is_left_to_a_person(struct rig *r)
{
	struct both b;

	start_world(r);
	(void)start_dispatcher(r, "dispatcher", NULL);
	fail_both(r, &b, "\"cause\":\"build_compile\"");
	EACH
	{
		assert_string_equal(plan_result(r, b.run[i], b.first[i]), "escalated");
		assert_int_equal(accepted(r, b.run[i]), 0);
		assert_string_equal(run_field(r, b.run[i], "category"), "build_failure");
	}
}

static void a_second_failure_is_not_rerun_again(struct rig *r)
{
	struct both b;

	start_world(r);
	(void)start_dispatcher(r, "dispatcher", NULL);
	fail_both(r, &b, "\"cause\":\"network_dns\",\"rerun\":\"same\"");
	EACH
	{
		wait_end(r, b.run[i], 2);
		assert_string_equal(plan_result(r, b.run[i], b.first[i]), "same_failure");
		assert_string_equal(plan_result(r, b.run[i], generation(r, b.run[i])), "escalated");
		assert_non_null(strstr(plan_field(r, b.run[i], generation(r, b.run[i]), "reason"),
				       "no more than 1 re-run"));
		assert_int_equal(accepted(r, b.run[i]), 1);
	}
}

/* Its item waits for the next try: what stopped it was seen, and nobody is at it. */
static bool is_held(struct rig *r, const struct both *b, size_t i)
{
	const char *work =
		redis_text_of(r, "HGET pg:{local:0}:work act:%s", run_field(r, b->run[i], "plan"));

	return strncmp(work, "0 ", 2) == 0;
}

static void somebody_else_was_faster(struct rig *r)
{
	struct both b;

	start_world(r);
	(void)redis_do(r, "SET pg:{local}:stop test");
	(void)start_dispatcher(r, "dispatcher", NULL);
	fail_both(r, &b, HEALABLE);
	EACH
	{
		WAIT(r, is_held(r, &b, i));
		sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", b.run[i]), "{}");
	}
	(void)redis_do(r, "DEL pg:{local}:stop");
	EACH
	{
		assert_string_equal(plan_result(r, b.run[i], b.first[i]), "superseded");
		assert_int_equal(accepted(r, b.run[i]), 0);
	}
}

/* GitLab shows only the latest jobs: those that failed are gone from its list. */
static void gitlab_ran_on_before_anybody_looked(struct rig *r)
{
	uint64_t run, first;

	simulator_start(r, NULL);
	run = sim_run(r, "{\"provider\":\"gitlab\"," HEALABLE "}");
	wait_end(r, run, 1);
	tell(r, run, "completed", "failure");
	first = generation(r, run);
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run), "{}");
	wait_end(r, run, 2);
	(void)start_dispatcher(r, "dispatcher", NULL);
	WAIT(r, strcmp(run_field(r, run, "diagnosed"), rig_printf(r, "%" PRIu64, first)) == 0);
	assert_string_equal(plan_field(r, run, first, "state"), "");
	tell(r, run, "completed", "success");
	WAIT(r, strcmp(run_field(r, run, "failed"), "0") == 0);
	assert_int_equal(accepted(r, run), 0);
}

/* A build is repeated as a whole, and so is a job of GitLab in the stage "deploy". */
static void a_deployment_is_not_repeated(struct rig *r)
{
	struct both b;

	start_world(r);
	(void)start_dispatcher(r, "dispatcher", NULL);
	fail_both(r, &b,
		  "\"workflow\":\"Release\",\"failing_job\":\"deploy to production\","
		  "\"cause\":\"network_dns\",\"rerun\":\"pass\"");
	EACH
	{
		assert_string_equal(plan_result(r, b.run[i], b.first[i]), "escalated");
		assert_non_null(strstr(plan_field(r, b.run[i], b.first[i], "reason"), "deploys"));
		assert_int_equal(accepted(r, b.run[i]), 0);
	}
}

/* One that did not begin is not in the way, though Jenkins lists its stage as failed. */
static void a_deployment_that_did_not_begin_is_not_in_the_way(struct rig *r)
{
	struct both b;

	start_world(r);
	(void)start_dispatcher(r, "dispatcher", NULL);
	fail_both(r, &b,
		  "\"workflow\":\"Release\",\"failing_job\":\"test\","
		  "\"cause\":\"network_dns\",\"rerun\":\"pass\"");
	EACH
	{
		wait_end(r, b.run[i], 2);
		healed_once(r, &b, i);
	}
}

/* Another GitLab's numbers, and another Jenkins' names, may be the same. */
static void a_source_of_another_server_is_only_recorded(struct rig *r)
{
	start_world(r);
	(void)start_dispatcher(r, "dispatcher", NULL);
	EACH
	{
		uint64_t run =
			sim_run(r, rig_printf(r,
					      "{\"provider\":\"%s\",\"repo\":\"x/y\"," HEALABLE
					      ",\"silent\":true}",
					      providers[i]));
		const char *plan =
			rig_printf(r, "pg:{local:0}:plan:other:%lld:%lld:%lld",
				   (long long)sim_number(r, run, "repo_id"),
				   i ? 1LL : (long long)run, (long long)generation(r, run));

		wait_end(r, run, 1);
		tell_as(r, run, "other", "completed", "failure");
		WAIT(r, strcmp(redis_text_of(r, "HGET %s state", plan), "done") == 0);
		assert_string_equal(redis_text_of(r, "HGET %s result", plan), "escalated");
		assert_int_equal(accepted(r, run), 0);
		assert_int_equal(sim_number(r, run, "log_reads"), 0);
	}
}

/* A runner that is lost leaves a log without a cause; GitLab says what it was. */
static void gitlab_says_that_the_runner_failed(struct rig *r)
{
	uint64_t run, first;

	start_world(r);
	(void)start_dispatcher(r, "dispatcher", NULL);
	run = sim_run(r, "{\"provider\":\"gitlab\",\"cause\":\"runner_lost\",\"rerun\":\"pass\"}");
	wait_end(r, run, 1);
	first = generation(r, run);
	wait_end(r, run, 2);
	assert_string_equal(plan_result(r, run, first), "healed");
	assert_string_equal(run_field(r, run, "category"), "infrastructure_failure");
	assert_string_equal(plan_field(r, run, first, "rule"), "api/runner_system_failure");
}

static struct answer gitlab(struct rig *r, const char *method, const char *path, const char *body)
{
	return http_ask(r, simulator_port(r), method, rig_printf(r, "/api/v4/projects/%s", path),
			"PRIVATE-TOKEN: " API_TOKEN "\r\nContent-Type: application/json\r\n", body,
			strlen(body));
}

/* Two pipelines of one merge request share its note; one for none gets a status. */
static void gitlab_shows_it_on_the_run(struct rig *r)
{
	uint64_t runs[3];
	struct answer notes;
	const char *project;

	(void)simulator_start(r, NULL);
	(void)dispatcher_start_list(r, "dispatcher", NULL, DISPATCHER(r, "notify.run.events=all"));
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		runs[i] = sim_run(r, "{\"provider\":\"gitlab\",\"repo\":\"harbour/sea/quill\","
				     "\"cause\":\"test_assertion\"}");
		wait_end(r, runs[i], 1);
	}
	project = rig_printf(r, "%" PRId64, sim_number(r, runs[0], "repo_id"));
	assert_int_equal(gitlab(r, "POST", rig_printf(r, "%s/repository/commits", project),
				"{\"branch\":\"work\",\"start_branch\":\"main\","
				"\"commit_message\":\"m\",\"actions\":[{\"action\":\"create\","
				"\"file_path\":\"a.txt\",\"content\":\"a\"}]}")
				 .status,
			 201);
	assert_int_equal(gitlab(r, "POST", rig_printf(r, "%s/merge_requests", project),
				"{\"source_branch\":\"work\",\"target_branch\":\"main\","
				"\"title\":\"t\"}")
				 .status,
			 201);
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		tell_of(r, runs[i], i < 2 ? 1 : 0);
		assert_string_equal(plan_result(r, runs[i], generation(r, runs[i])), "escalated");
		WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
	}
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
	assert_int_equal(sim_total(r, "statuses"), 1);
	notes = gitlab(r, "GET", rig_printf(r, "%s/merge_requests/1/notes", project), "");
	assert_int_equal(json_object_array_length(notes.json), 1);
	assert_int_equal(json_i64(notes.json, "0.id", 0), 1001);
	assert_non_null(strstr(json_str(notes.json, "0.body", ""), "**A person is needed**"));
}

/* --- at the worst moments -------------------------------------------------------------------- */

static void killed_at(struct rig *r, const char *point, int64_t calls)
{
	static const char *const repos[] = { "one/app", "two/app" };

	start_world(r);
	EACH
	{
		struct both b = { .run = { 0 } };
		struct proc *heir, *doomed = start_dispatcher(r, "doomed", point);

		b.run[i] = sim_run(r, rig_printf(r, "{\"provider\":\"%s\",\"repo\":\"%s\",%s}",
						 providers[i], repos[i], HEALABLE));
		wait_end(r, b.run[i], 1);
		b.first[i] = generation(r, b.run[i]);
		assert_int_equal(proc_wait(doomed, PATIENCE_MS), 256 + SIGKILL);
		assert_string_equal(state(r, &b, i), "sent");
		assert_case(accepted(r, b.run[i]) == calls, providers[i]);
		heir = start_dispatcher(r, "heir", NULL);
		wait_end(r, b.run[i], 2);
		healed_once(r, &b, i);
		assert_int_equal(proc_stop(heir), 0);
	}
}

static void killed_just_before_the_call_left(struct rig *r)
{
	killed_at(r, "before_send", 0);
}

static void killed_just_after_the_call_was_answered(struct rig *r)
{
	killed_at(r, "after_send", 1);
}

static void a_call_whose_answer_is_lost_acts_once(struct rig *r)
{
	struct both b;

	start_world(r);
	(void)start_dispatcher(r, "dispatcher", NULL);
	sim_fault(r, "{\"call\":\"rerun\",\"kind\":\"apply_then_drop\",\"times\":2}");
	fail_both(r, &b, HEALABLE);
	EACH
	{
		wait_end(r, b.run[i], 2);
		healed_once(r, &b, i);
	}
}

static void a_call_that_never_arrived_is_repeated(struct rig *r)
{
	struct both b;

	start_world(r);
	(void)start_dispatcher(r, "dispatcher", NULL);
	sim_fault(r, "{\"call\":\"rerun\",\"kind\":\"drop\",\"times\":2}");
	fail_both(r, &b, HEALABLE);
	EACH
	{
		wait_end(r, b.run[i], 2);
		healed_once(r, &b, i);
	}
}

/* Of Jenkins nobody can say then whose build that is; a person is asked, and nothing repeated. */
static void another_build_after_an_interrupted_call_proves_nothing(struct rig *r)
{
	struct proc *doomed;
	uint64_t run, first;

	start_world(r);
	doomed = start_dispatcher(r, "doomed", "before_send");
	run = sim_run(r, "{\"provider\":\"jenkins\",\"repo\":\"team/app\"," HEALABLE "}");
	wait_end(r, run, 1);
	first = generation(r, run);
	assert_int_equal(proc_wait(doomed, PATIENCE_MS), 256 + SIGKILL);
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run), "{}");
	(void)start_dispatcher(r, "heir", NULL);
	assert_string_equal(plan_result(r, run, first), "unknown");
	assert_int_equal(accepted(r, run), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(what_hangs_is_stopped_and_run_again),
		RIG_TEST(what_hangs_is_noticed),
		RIG_TEST(a_transient_failure_is_healed_by_one_rerun),
		RIG_TEST(a_failure_that_stays_is_left_to_a_person),
		RIG_TEST(a_second_failure_is_not_rerun_again),
		RIG_TEST(somebody_else_was_faster),
		RIG_TEST(a_deployment_is_not_repeated),
		RIG_TEST(a_deployment_that_did_not_begin_is_not_in_the_way),
		RIG_TEST(a_source_of_another_server_is_only_recorded),
		RIG_TEST(gitlab_ran_on_before_anybody_looked),
		RIG_TEST(gitlab_says_that_the_runner_failed),
		RIG_TEST(gitlab_shows_it_on_the_run),
		RIG_TEST(killed_just_before_the_call_left),
		RIG_TEST(killed_just_after_the_call_was_answered),
		RIG_TEST(a_call_whose_answer_is_lost_acts_once),
		RIG_TEST(a_call_that_never_arrived_is_repeated),
		RIG_TEST(another_build_after_an_interrupted_call_proves_nothing),
	};

	return rig_main(tests);
}

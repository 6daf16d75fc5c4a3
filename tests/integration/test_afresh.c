/* Another run in the place of a failed one: made once, followed to its end, on each provider. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "core/json.h"
#include "tests/integration/product.h"

#define OOM(more)                                                                           \
	"{\"cause\":\"oom\",\"repo\":\"octo/app\",\"branch\":\"main\",\"workflow\":\"CI\"," \
	"\"job_ms\":50" more "}"

/* Of each run of the test, as it was when the test first asked: before it was run again. */
static struct {
	uint64_t run, generation;
} first[64];
static size_t n_first;

static uint64_t first_generation(struct rig *r, uint64_t run)
{
	for (size_t i = 0; i < n_first; i++)
		if (first[i].run == run)
			return first[i].generation;
	first[n_first].run = run;
	first[n_first].generation = (uint64_t)sim_number(r, run, "generation");
	return first[n_first++].generation;
}

#define QUICK "dispatcher.lease=1500ms", "dispatcher.claim_idle=500ms", "heal.settle=300ms"

static const char *rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", "limits.yaml", "c_cpp.yaml", "compilers.yaml",
			  "languages.yaml", NULL);
}

/* The servers as the guard is told of them. */
static const char *const *servers(struct rig *r)
{
	static const char *list[12];
	size_t n = 0;

	list[n++] = rig_printf(r, "gitlab.url=%s", simulator_url(r));
	list[n++] = rig_printf(r, "gitlab.token_file=%s", rig_path(r, "token"));
	list[n++] = rig_printf(r, "jenkins.url=%s", simulator_url(r));
	list[n++] = "jenkins.user=ci";
	list[n++] = rig_printf(r, "jenkins.token_file=%s", rig_path(r, "token"));
	list[n++] = rig_printf(r, "policy_file=%s", rig_path(r, "policy.yaml"));
	list[n++] = "dispatcher.lease=1500ms";
	list[n++] = "dispatcher.claim_idle=500ms";
	list[n++] = "heal.settle=300ms";
	list[n++] = rules(r);
	list[n] = NULL;
	return list;
}

static void start_world(struct rig *r, const char *policy)
{
	const char *url;

	n_first = 0;
	rig_write(r, "policy.yaml", policy, 0644);
	rig_write(r, "hook-token", "hook-token-of-the-tests", 0600);
	rig_write(r, "jenkins-secret", "jenkins-secret-of-the-tests", 0600);
	(void)receiver_start(
		r, rig_printf(r, "gitlab.webhook_token_file=%s", rig_path(r, "hook-token")),
		rig_printf(r, "jenkins.webhook_token_file=%s", rig_path(r, "jenkins-secret")),
		NULL);
	url = rig_printf(r, "http://127.0.0.1:%d/webhooks", receiver_port(r));
	(void)simulator_start(r, "--gitlab-webhook-url", rig_printf(r, "%s/gitlab", url),
			      "--gitlab-secret-file", rig_path(r, "hook-token"),
			      "--jenkins-webhook-url", rig_printf(r, "%s/jenkins", url),
			      "--jenkins-secret-file", rig_path(r, "jenkins-secret"), NULL);
	sim_post(r, "/_sim/repos",
		 "{\"repo\":\"octo/app\",\"git\":true,\"parameters\":\"runner\"}");
}

/* GitHub's has that input, a Jenkins job that parameter; GitLab takes any variable. */
#define LARGER "defaults:\n  larger_runner: ['runner=ubuntu-latest-16-cores']\n"

static struct proc *dispatcher(struct rig *r, const char *name)
{
	return dispatcher_start_list(r, name, NULL, servers(r));
}

/* All that were started in the place of another one. */
static unsigned made(struct rig *r)
{
	struct answer a = http_get(r, simulator_port(r), "/_sim/runs");
	struct json_object *list = json_at(a.json, "runs");
	unsigned n = 0;

	for (size_t i = 0; i < json_object_array_length(list); i++)
		n += json_i64(json_object_array_get_idx(list, i), "in_place_of", 0) != 0;
	return n;
}

/* Those in the place of that one; the last of them in `out`. */
static unsigned made_for(struct rig *r, uint64_t run, uint64_t *out)
{
	struct answer a = http_get(r, simulator_port(r), "/_sim/runs");
	struct json_object *list = json_at(a.json, "runs");
	unsigned n = 0;

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if ((uint64_t)json_i64(o, "in_place_of", 0) != run)
			continue;
		*out = (uint64_t)json_i64(o, "id", 0);
		n++;
	}
	return n;
}

/* Of the plan of its first failure, which ends so; the detail. */
static const char *result_of(struct rig *r, uint64_t run, const char *result)
{
	uint64_t generation = first_generation(r, run);
	const char *got = plan_result(r, run, generation);

	if (strcmp(got, result) != 0)
		fail_msg("%s, not %s (%s; %s)", got, result,
			 plan_field(r, run, generation, "reason"),
			 plan_field(r, run, generation, "detail"));
	assert_int_equal(outcomes_of(r, run, generation), 1);
	return plan_field(r, run, generation, "detail");
}

/* --- rerun_larger_runner ------------------------------------------------------------ */

static void each_provider_starts_it_with_inputs(struct rig *r)
{
	static const char *const wishes[] = { OOM(""), OOM(",\"provider\":\"gitlab\"") };

	start_world(r, LARGER);
	(void)dispatcher(r, "dispatcher");
	for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
		uint64_t run = sim_run(r, wishes[i]), other = 0;
		const char *detail = result_of(r, run, "healed");

		assert_string_equal(plan_field(r, run, first_generation(r, run), "strategy"),
				    "rerun_larger_runner");
		assert_int_equal(made_for(r, run, &other), 1);
		assert_non_null(strstr(sim_word(r, other, "inputs"), "ubuntu-latest-16-cores"));
		assert_non_null(strstr(detail, rig_printf(r, "%" PRIu64, other)));
		assert_int_equal(sim_number(r, run, "rerun_accepted"), 0);
	}
}

/* Its builds are all of one job: the next one is the outcome. */
static void jenkins_builds_it_with_parameters(struct rig *r)
{
	uint64_t run;

	start_world(r, LARGER);
	(void)dispatcher(r, "dispatcher");
	run = sim_run(r, OOM(",\"provider\":\"jenkins\""));
	(void)result_of(r, run, "healed");
	assert_string_equal(sim_word(r, run, "inputs"), "runner=ubuntu-latest-16-cores");
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 1);
}

static void without_inputs_in_the_policy_a_person_is_asked(struct rig *r)
{
	uint64_t run, other;

	start_world(r, "defaults:\n  mode: act\n");
	(void)dispatcher(r, "dispatcher");
	run = sim_run(r, OOM(""));
	(void)result_of(r, run, "escalated");
	assert_int_equal(made_for(r, run, &other), 0);
}

/* The provider says which name it does not know. */
static void inputs_that_nobody_takes_are_refused(struct rig *r)
{
	static const struct {
		const char *wish, *says;
	} rows[] = {
		{ OOM(""), "Unexpected inputs provided: [\"machine\"]" },
		{ OOM(",\"provider\":\"jenkins\""), "no parameter \"machine\"" },
	};
	uint64_t other;

	start_world(r, "defaults:\n  larger_runner: ['machine=large']\n");
	(void)dispatcher(r, "dispatcher");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t run = sim_run(r, rows[i].wish);

		assert_non_null(strstr(result_of(r, run, "refused"), rows[i].says));
		assert_int_equal(made_for(r, run, &other), 0);
		assert_int_equal(sim_number(r, run, "rerun_accepted"), 0);
	}
}

/* The run that was made is a failed run like any other, but no reason to make one more. */
static void a_larger_one_that_fails_too_is_the_end(struct rig *r)
{
	uint64_t run, other = 0, third;

	start_world(r, LARGER);
	(void)dispatcher(r, "dispatcher");
	run = sim_run(r, OOM(",\"afresh\":\"same\""));
	(void)result_of(r, run, "same_failure");
	assert_int_equal(made_for(r, run, &other), 1);
	(void)result_of(r, other, "escalated");
	assert_non_null(strstr(plan_field(r, other, first_generation(r, other), "reason"),
			       "started by hand"));
	assert_int_equal(made_for(r, other, &third), 0);
}

static void a_branch_that_went_on_has_its_own_run(struct rig *r)
{
	static const char *const wishes[] = { OOM(""), OOM(",\"provider\":\"gitlab\"") };
	uint64_t other;

	start_world(r, LARGER);
	for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
		uint64_t run = sim_run(r, wishes[i]);
		struct proc *d;

		sim_post(r, "/_sim/commits",
			 rig_printf(r, "{\"repo\":\"octo/app\",\"files\":{\"f%zu\":\"x\"}}", i));
		(void)sim_run(r, "{\"passes\":true,\"repo\":\"octo/app\",\"branch\":\"main\"}");
		d = dispatcher(r, "dispatcher");
		assert_non_null(strstr(result_of(r, run, "refused"), "went on"));
		assert_int_equal(made_for(r, run, &other), 0);
		assert_int_equal(proc_stop(d), 0);
	}
}

/* Whoever dies when: it is made once. */
static void it_is_made_once_whoever_is_killed(struct rig *r)
{
	static const char *const points[] = { "before_send", "after_send" };
	static const char *const wishes[] = { OOM(""), OOM(",\"provider\":\"gitlab\""),
					      OOM(",\"provider\":\"jenkins\"") };

	start_world(r, LARGER);
	for (size_t p = 0; p < ARRAY_LEN(points); p++) {
		for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
			bool jenkins = i == 2;
			struct proc *d = dispatcher_start_list(r, "doomed", points[p], servers(r));
			unsigned before = made(r);
			uint64_t run, generation;

			sim_post(r, "/_sim/commits",
				 rig_printf(r,
					    "{\"repo\":\"octo/app\",\"files\":{\"%zu%zu\":\"x\"}}",
					    p, i));
			run = sim_run(r, wishes[i]);
			generation = (uint64_t)sim_number(r, run, "generation");

			assert_int_equal(proc_wait(d, PATIENCE_MS), 256 + SIGKILL);
			d = dispatcher(r, "heir");
			assert_string_equal(plan_result(r, run, generation), "healed");
			assert_int_equal(jenkins ? sim_number(r, run, "rerun_accepted")
						 : made(r) - before,
					 1);
			assert_int_equal(proc_stop(d), 0);
		}
	}
}

/* Of a call without an answer it is looked first what it did. */
static void trouble_at_the_provider_makes_no_second_run(struct rig *r)
{
	static const struct row {
		const char *why, *fault, *result;
		unsigned made;
	} rows[] = {
		{ "down for a moment", "\"status\":503,\"times\":1", "healed", 1 },
		{ "hung up, and nothing done", "\"kind\":\"drop\"", "healed", 1 },
		{ "hung up, and it was done", "\"kind\":\"apply_then_drop\"", "healed", 1 },
		{ "limited", "\"kind\":\"secondary_limit\",\"ms\":1000", "healed", 1 },
		{ "not allowed", "\"status\":403,\"times\":9", "refused", 0 },
		{ "not there", "\"status\":404,\"times\":9", "refused", 0 },
	};
	static const char *const wishes[] = { OOM(""), OOM(",\"provider\":\"gitlab\"") };
	unsigned n = 0;

	start_world(r, LARGER);
	(void)dispatcher(r, "dispatcher");
	for (const struct row *row = rows; row < rows + ARRAY_LEN(rows); row++) {
		for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
			unsigned before = made(r);
			uint64_t run;

			/* What was started for another commit is nobody's answer. */
			sim_post(r, "/_sim/commits",
				 rig_printf(r, "{\"repo\":\"octo/app\",\"files\":{\"%u\":\"x\"}}",
					    n++));
			sim_no_faults(r);
			sim_fault(r, rig_printf(r, "{\"call\":\"dispatch\",%s}", row->fault));
			run = sim_run(r, wishes[i]);
			(void)result_of(r, run, row->result);
			if (made(r) - before != row->made)
				fail_msg("%s: %u runs were made", row->why, made(r) - before);
		}
	}
}

/* --- update_branch ------------------------------------------------------------------------- */

#define CHANGES "defaults:\n  risk: change\n"

/* What fails alike everywhere. */
#define BROKEN "\"cause\":\"build_compile\",\"story\":1,\"job_ms\":20,\"workflow\":\"CI\""

static uint64_t run_on(struct rig *r, const char *provider, const char *branch, const char *more)
{
	return sim_run(
		r, rig_printf(r, "{\"provider\":\"%s\",\"repo\":\"octo/%s\",\"branch\":\"%s\",%s}",
			      provider, provider, branch, more));
}

static const char *commit_to(struct rig *r, const char *provider, const char *branch,
			     const char *file)
{
	struct answer a = http_post_json(
		r, simulator_port(r), "/_sim/commits",
		rig_printf(r, "{\"repo\":\"octo/%s\",\"branch\":\"%s\",\"files\":{\"%s\":\"%s\"}}",
			   provider, branch, file, branch));

	assert_int_equal(a.status, 201);
	return answer_str(&a, "sha");
}

static const char *head_of(struct rig *r, const char *provider)
{
	struct answer a =
		http_get(r, simulator_port(r), rig_printf(r, "/_sim/repos?repo=octo/%s", provider));

	return answer_str(&a, "proposals.0.sha");
}

/* A branch from the base with one commit, proposed; then the base breaks. */
static uint64_t propose_for(struct rig *r, const char *provider, const char *base, const char *more)
{
	uint64_t broken;

	sim_post(r, "/_sim/repos",
		 rig_printf(r, "{\"repo\":\"octo/%s\",\"provider\":\"%s\",\"git\":true}", provider,
			    provider));
	(void)commit_to(r, provider, base, "src/old.py");
	(void)commit_to(r, provider, "work", "src/new.py");
	sim_post(r, "/_sim/pulls",
		 rig_printf(r, "{\"repo\":\"octo/%s\",\"head\":\"work\",\"base\":\"%s\"%s}",
			    provider, base, more));
	broken = run_on(r, provider, base, BROKEN);
	(void)plan_result(r, broken, first_generation(r, broken));
	return broken;
}

static uint64_t propose(struct rig *r, const char *provider, const char *more)
{
	return propose_for(r, provider, "main", more);
}

/* ... and is mended. */
static void mend_on(struct rig *r, const char *provider, const char *branch, const char *file)
{
	uint64_t good;

	(void)commit_to(r, provider, branch, file);
	good = run_on(r, provider, branch, "\"passes\":true,\"workflow\":\"CI\",\"job_ms\":20");
	WAIT(r, strcmp(run_field(r, good, "conclusion"), "success") == 0);
}

static void mend(struct rig *r, const char *provider, const char *file)
{
	mend_on(r, provider, "main", file);
}

static uint64_t proposal_fails(struct rig *r, const char *provider, uint64_t like)
{
	return run_on(r, provider, "work",
		      rig_printf(r, BROKEN ",\"proposal\":1,\"afresh\":\"pass\",\"like\":%" PRIu64,
				 like));
}

static const char *const with_proposals[] = { "github", "gitlab" };

static void a_branch_gets_what_was_mended(struct rig *r)
{
	start_world(r, CHANGES);
	(void)dispatcher(r, "dispatcher");
	for (size_t i = 0; i < ARRAY_LEN(with_proposals); i++) {
		const char *provider = with_proposals[i], *before;
		uint64_t run, broken, other = 0;

		broken = propose(r, provider, "");
		mend(r, provider, "src/fix.py");
		before = head_of(r, provider);
		run = proposal_fails(r, provider, broken);
		(void)result_of(r, run, "healed");
		assert_string_equal(plan_field(r, run, first_generation(r, run), "strategy"),
				    "update_branch");
		assert_string_not_equal(head_of(r, provider), before);
		assert_int_equal(made_for(r, run, &other), 1);
		/* Once: what fails alike after that is no matter of the branch. */
		run = proposal_fails(r, provider, broken);
		(void)result_of(r, run, "escalated");
	}
}

/* Where it is for another branch than the default one, that branch counts, and no other. */
static void the_branch_that_it_is_for_counts(struct rig *r)
{
	start_world(r, CHANGES);
	(void)dispatcher(r, "dispatcher");
	for (size_t i = 0; i < ARRAY_LEN(with_proposals); i++) {
		const char *provider = with_proposals[i], *before;
		uint64_t run, broken, other = 0;

		broken = propose_for(r, provider, "release", "");
		mend(r, provider, "src/elsewhere.py");
		before = head_of(r, provider);
		run = proposal_fails(r, provider, broken);
		(void)result_of(r, run, "escalated");
		assert_string_equal(head_of(r, provider), before);
		mend_on(r, provider, "release", "src/fix.py");
		run = proposal_fails(r, provider, broken);
		(void)result_of(r, run, "healed");
		assert_string_equal(plan_field(r, run, first_generation(r, run), "strategy"),
				    "update_branch");
		assert_string_not_equal(head_of(r, provider), before);
		assert_int_equal(made_for(r, run, &other), 1);
	}
}

static void what_is_not_mended_is_left_alone(struct rig *r)
{
	uint64_t run, broken;
	const char *before;

	start_world(r, CHANGES);
	(void)dispatcher(r, "dispatcher");
	broken = propose(r, "github", "");
	before = head_of(r, "github");
	run = proposal_fails(r, "github", broken);
	(void)result_of(r, run, "escalated");
	assert_string_equal(head_of(r, "github"), before);
}

static void a_person_is_asked_unless_the_policy_says_otherwise(struct rig *r)
{
	uint64_t run, broken;

	start_world(r, "defaults:\n  mode: act\n");
	(void)dispatcher(r, "dispatcher");
	broken = propose(r, "github", "");
	mend(r, "github", "src/fix.py");
	run = proposal_fails(r, "github", broken);
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "suggested") == 0);
	assert_int_equal(made(r), 0);
	assert_int_equal(heal_asked(r, "--approve", rig_printf(r, "%" PRIu64, run)), 0);
	(void)result_of(r, run, "healed");
}

static void refused_for(struct rig *r, const char *proposal, const char *file, const char *says)
{
	start_world(r, CHANGES);
	(void)dispatcher(r, "dispatcher");
	for (size_t i = 0; i < ARRAY_LEN(with_proposals); i++) {
		const char *provider = with_proposals[i], *before, *detail;
		uint64_t broken = propose(r, provider, proposal), run;

		mend(r, provider, file);
		before = head_of(r, provider);
		run = proposal_fails(r, provider, broken);
		detail = result_of(r, run, "refused");
		if (!strstr(detail, says))
			fail_msg("\"%s\" does not say %s", detail, says);
		assert_string_equal(head_of(r, provider), before);
	}
}

static void a_branch_of_a_fork_is_its_owners(struct rig *r)
{
	refused_for(r, ",\"of_fork\":true", "src/fix.py", "in a fork");
}

static void what_both_changed_is_left_to_a_person(struct rig *r)
{
	refused_for(r, "", "src/new.py", "both branches changed the same");
}

static void a_branch_is_updated_once_whoever_is_killed(struct rig *r)
{
	start_world(r, CHANGES);
	for (size_t i = 0; i < ARRAY_LEN(with_proposals); i++) {
		const char *provider = with_proposals[i];
		struct proc *d;
		uint64_t run, broken, other = 0;

		d = dispatcher(r, "first");
		broken = propose(r, provider, "");
		mend(r, provider, "src/fix.py");
		assert_int_equal(proc_stop(d), 0);
		d = dispatcher_start_list(r, "doomed", "after_send", servers(r));
		run = proposal_fails(r, provider, broken);
		assert_int_equal(proc_wait(d, PATIENCE_MS), 256 + SIGKILL);
		d = dispatcher(r, "heir");
		(void)result_of(r, run, "healed");
		assert_int_equal(made_for(r, run, &other), 1);
		assert_int_equal(proc_stop(d), 0);
	}
}

/* --- with a GitHub App ------------------------------------------------------------------------ */

/* Its tokens are for what is done and no more; what it was not allowed is named. */
static void an_app_asks_for_what_it_needs(struct rig *r)
{
	uint64_t run, broken;
	const char *detail;

	app_keys(r);
	rig_write(r, "policy.yaml", "defaults:\n  risk: change\n  larger_runner: ['runner=big']\n",
		  0644);
	n_first = 0;
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, "--app-id", "4711", "--app-public-key-file",
			      rig_path(r, "app.pub"), NULL);
	sim_post(r, "/_sim/repos", "{\"repo\":\"octo/app\",\"git\":true}");
	(void)dispatcher_start(r, "dispatcher", "github.app_id=4711",
			       rig_printf(r, "github.app_key_file=%s", rig_path(r, "app.pem")),
			       rig_printf(r, "policy_file=%s", rig_path(r, "policy.yaml")), QUICK,
			       rules(r), NULL);
	run = sim_run(r, OOM(""));
	(void)result_of(r, run, "healed");
	assert_int_equal(made(r), 1);
	broken = propose(r, "github", "");
	mend(r, "github", "src/fix.py");
	sim_post(r, "/_sim/scopes", "{\"pull_requests\":\"read\"}");
	run = proposal_fails(r, "github", broken);
	detail = result_of(r, run, "refused");
	if (!strstr(detail, "pull requests: write"))
		fail_msg("\"%s\" does not say what is missing", detail);
	sim_post(r, "/_sim/scopes", "{\"pull_requests\":\"write\"}");
	run = proposal_fails(r, "github", broken);
	(void)result_of(r, run, "healed");
	assert_int_equal(made(r), 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(each_provider_starts_it_with_inputs),
		RIG_TEST(jenkins_builds_it_with_parameters),
		RIG_TEST(without_inputs_in_the_policy_a_person_is_asked),
		RIG_TEST(inputs_that_nobody_takes_are_refused),
		RIG_TEST(a_larger_one_that_fails_too_is_the_end),
		RIG_TEST(a_branch_that_went_on_has_its_own_run),
		RIG_TEST(it_is_made_once_whoever_is_killed),
		RIG_TEST(trouble_at_the_provider_makes_no_second_run),
		RIG_TEST(a_branch_gets_what_was_mended),
		RIG_TEST(the_branch_that_it_is_for_counts),
		RIG_TEST(what_is_not_mended_is_left_alone),
		RIG_TEST(a_person_is_asked_unless_the_policy_says_otherwise),
		RIG_TEST(a_branch_of_a_fork_is_its_owners),
		RIG_TEST(what_both_changed_is_left_to_a_person),
		RIG_TEST(a_branch_is_updated_once_whoever_is_killed),
		RIG_TEST(an_app_asks_for_what_it_needs),
	};

	return rig_main(tests);
}

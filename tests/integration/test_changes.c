/* From a failed run to a pull request in a real repository, whoever is killed meanwhile. */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "core/json.h"
#include "tests/integration/product.h"

/* Work of a dead dispatcher is due again when its lease ends. */
#define QUICK "dispatcher.lease=1500ms", "dispatcher.claim_idle=500ms", "github.write_interval=0s"
#define REPO  "acme/web-shop"
#define SLOW  "{\"cause\":\"timeout_test\",\"repo\":\"" REPO "\",\"story\":1}"

static const char allowed[] = "defaults: { risk: change, change: { labels: [ci] } }\n";

static const char *rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", "ci_systems.yaml", "limits.yaml", "tests.yaml",
			  "python.yaml", "linters.yaml", "c_cpp.yaml", "packages.yaml",
			  "javascript.yaml", NULL);
}

static const char *policy(struct rig *r, const char *text)
{
	rig_write(r, "policy.yaml", text, 0600);
	return rig_printf(r, "policy_file=%s", rig_path(r, "policy.yaml"));
}

#define dispatcher(r, name, text, ...) \
	dispatcher_start((r), (name), QUICK, rules(r), policy((r), (text)), __VA_ARGS__)

static void commit(struct rig *r, const char *path, const char *text)
{
	sim_post(r, "/_sim/commits",
		 rig_printf(r,
			    "{\"repo\":\"" REPO "\",\"branch\":\"main\",\"message\":\"m\","
			    "\"files\":{\"%s\":\"%s\"}}",
			    path, text));
}

static void add_repository(struct rig *r, const char *provider)
{
	sim_post(r, "/_sim/repos",
		 rig_printf(r,
			    "{\"repo\":\"" REPO "\",\"provider\":\"%s\",\"access\":\"write\","
			    "\"git\":true}",
			    provider));
	commit(r, "pytest.ini", "[pytest]\\ntimeout = 30\\n");
}

static void start_world(struct rig *r)
{
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	add_repository(r, "github");
}

/* --- what became of the repository ------------------------------------------------------------ */

static struct json_object *truth(struct rig *r)
{
	struct answer a = http_get(r, simulator_port(r), "/_sim/repos?repo=" REPO);

	assert_int_equal(a.status, 200);
	return a.json;
}

static size_t proposals(struct rig *r)
{
	return json_object_array_length(json_at(truth(r), "proposals"));
}

static const char *proposal(struct rig *r, const char *member)
{
	return json_str(truth(r), rig_printf(r, "proposals.0.%s", member), "");
}

static unsigned our_branches(struct rig *r)
{
	unsigned n = 0;

	json_object_object_foreach(json_at(truth(r), "branches"), name, sha)
	{
		UNUSED(sha);
		n += strncmp(name, "pipeline-guard/", 15) == 0;
	}
	return n;
}

static const char *main_sha(struct rig *r)
{
	return json_str(truth(r), "branches.main", "");
}

static const char *git(struct rig *r, const char *what)
{
	const char *argv[] = { "/bin/sh", "-c",
			       rig_printf(r, "cd %s && git -c safe.directory=* %s",
					  json_str(truth(r), "path", ""), what),
			       NULL };
	struct proc *p = proc_start(r, "git", argv, NULL);

	assert_int_equal(proc_wait(p, PATIENCE_MS), 0);
	return proc_output(p);
}

static void is_proposed(struct rig *r, uint64_t run, uint64_t generation)
{
	if (strcmp(plan_result(r, run, generation), "proposed") != 0)
		fail_msg("%s: %s", plan_field(r, run, generation, "result"),
			 plan_field(r, run, generation, "detail"));
}

/* --- tests --------------------------------------------------------------------------------------
 */

static void a_change_is_proposed_and_nothing_else_is_touched(struct rig *r)
{
	const char *before, *branch, *url;
	uint64_t run;

	start_world(r);
	before = main_sha(r);
	(void)dispatcher(r, "dispatcher", allowed, NULL);
	run = sim_run(r, SLOW);
	is_proposed(r, run, 1);
	assert_string_equal(plan_field(r, run, 1, "strategy"), "bump_timeout");
	url = plan_field(r, run, 1, "proposal");
	assert_non_null(strstr(url, "/pull/1"));
	assert_string_equal(run_field(r, run, "proposal"), url);
	assert_string_equal(redis_last_field(r, OUTCOMES, "proposal"), url);
	assert_int_equal(outcomes_of(r, run, 1), 1);
	assert_int_equal(sim_number(r, run, "rerun_accepted"), 0);

	assert_int_equal(proposals(r), 1);
	assert_int_equal(our_branches(r), 1);
	assert_string_equal(main_sha(r), before);
	assert_string_equal(proposal(r, "base"), "main");
	assert_string_equal(proposal(r, "labels.0"), "ci");
	assert_non_null(strstr(proposal(r, "body"), "Timeout"));
	branch = proposal(r, "head");
	assert_string_equal(branch, rig_printf(r, "pipeline-guard/bump_timeout-%s",
					       plan_field(r, run, 1, "fingerprint")));
	assert_non_null(strstr(git(r, rig_printf(r, "diff main %s", branch)),
			       "\n-timeout = 30\n+timeout = 60\n"));
	assert_non_null(strstr(git(r, rig_printf(r, "log -1 --format=%%an%%n%%b %s", branch)),
			       "Signed-off-by: Pipeline Guard <pipeline-guard@localhost>"));
}

static void without_a_policy_a_person_is_asked_first(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher(r, "dispatcher", "{}\n", NULL);
	run = sim_run(r, SLOW);
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "suggested") == 0);
	assert_int_equal(our_branches(r), 0);
	assert_int_equal(heal_asked(r, "--approve", rig_printf(r, "%" PRIu64, run), NULL), 0);
	is_proposed(r, run, 1);
	assert_int_equal(proposals(r), 1);
}

/* Killed with kill -9 when the branch is there and the pull request is not. */
static void one_branch_and_one_proposal_whoever_is_killed(struct rig *r)
{
	struct proc *doomed;
	uint64_t run;

	start_world(r);
	/* The first question about pull requests is whether there is one. */
	sim_fault(r, "{\"call\":\"pulls\",\"kind\":\"slow\",\"ms\":1}");
	sim_fault(r, "{\"call\":\"pulls\",\"kind\":\"hang\"}");
	doomed = dispatcher(r, "doomed", allowed, NULL);
	run = sim_run(r, SLOW);
	WAIT(r, our_branches(r) == 1);
	assert_int_equal(proposals(r), 0);
	proc_kill(doomed);
	sim_no_faults(r);
	(void)dispatcher(r, "heir", allowed, "heal.settle=200ms", NULL);
	is_proposed(r, run, 1);
	assert_int_equal(proposals(r), 1);
	assert_int_equal(our_branches(r), 1);
	assert_int_equal(outcomes_of(r, run, 1), 1);
}

/* The branch is there, so the proposal follows, although somebody ran it again meanwhile. */
static void what_was_begun_is_ended_whoever_runs_it_again(struct rig *r)
{
	struct proc *doomed;
	uint64_t run;

	start_world(r);
	sim_fault(r, "{\"call\":\"pulls\",\"kind\":\"slow\",\"ms\":1}");
	sim_fault(r, "{\"call\":\"pulls\",\"kind\":\"hang\"}");
	doomed = dispatcher(r, "doomed", allowed, NULL);
	run = sim_run(r, SLOW);
	WAIT(r, our_branches(r) == 1);
	proc_kill(doomed);
	sim_no_faults(r);
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run), "{}");
	WAIT(r, sim_number(r, run, "attempt") == 2 &&
			strcmp(sim_word(r, run, "status"), "completed") == 0);
	(void)dispatcher(r, "heir", allowed, "heal.settle=200ms", NULL);
	is_proposed(r, run, 1);
	is_proposed(r, run, 2);
	assert_int_equal(proposals(r), 1);
	assert_int_equal(our_branches(r), 1);
}

/* The answer got lost: what was asked for is there, and is found. */
static void an_answer_that_gets_lost_makes_no_second_one(struct rig *r)
{
	uint64_t run;

	start_world(r);
	sim_fault(r, "{\"call\":\"pulls\",\"kind\":\"slow\",\"ms\":1}");
	sim_fault(r, "{\"call\":\"pulls\",\"kind\":\"apply_then_drop\"}");
	(void)dispatcher(r, "dispatcher", allowed, "heal.settle=200ms", NULL);
	run = sim_run(r, SLOW);
	is_proposed(r, run, 1);
	assert_int_equal(proposals(r), 1);
	assert_int_equal(our_branches(r), 1);
}

/* Killed after the pull request was opened, and before that was written. */
static void what_was_done_before_the_kill_is_found_again(struct rig *r)
{
	struct proc *doomed;
	uint64_t run;

	start_world(r);
	doomed = dispatcher_start_doomed(r, "doomed", "after_send", QUICK, rules(r),
					 policy(r, allowed), NULL);
	run = sim_run(r, SLOW);
	assert_int_equal(proc_wait(doomed, PATIENCE_MS), 256 + SIGKILL);
	assert_int_equal(proposals(r), 1);
	(void)dispatcher(r, "heir", allowed, "heal.settle=200ms", NULL);
	is_proposed(r, run, 1);
	assert_non_null(strstr(plan_field(r, run, 1, "proposal"), "/pull/1"));
	assert_int_equal(proposals(r), 1);
	assert_int_equal(our_branches(r), 1);
}

static void nothing_is_proposed_to_a_branch_that_moved(struct rig *r)
{
	struct proc *d;
	uint64_t run;

	start_world(r);
	d = dispatcher(r, "dispatcher", "{}\n", NULL);
	run = sim_run(r, SLOW);
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "suggested") == 0);
	commit(r, "README", "news\\n");
	assert_int_equal(heal_asked(r, "--approve", rig_printf(r, "%" PRIu64, run), NULL), 0);
	assert_string_equal(plan_result(r, run, 1), "refused");
	assert_non_null(strstr(plan_field(r, run, 1, "detail"), "moved on"));
	assert_int_equal(our_branches(r), 0);
	UNUSED(d);
}

static void a_protected_branch_is_only_proposed_to(struct rig *r)
{
	const char *before;
	uint64_t run;

	start_world(r);
	sim_post(r, "/_sim/repos",
		 "{\"repo\":\"" REPO "\",\"access\":\"write\",\"protected\":[\"main\"]}");
	before = main_sha(r);
	(void)dispatcher(r, "dispatcher", allowed, NULL);
	run = sim_run(r, SLOW);
	is_proposed(r, run, 1);
	assert_string_equal(main_sha(r), before);
	assert_int_equal(proposals(r), 1);
}

static void close_proposal(struct rig *r)
{
	struct answer a =
		http_ask(r, simulator_port(r), "PATCH", "/repos/" REPO "/pulls/1",
			 "Authorization: Bearer " API_TOKEN "\r\n", "{\"state\":\"closed\"}", 18);

	assert_int_equal(a.status, 200);
}

/* The same failure again: the open proposal is the answer, and once somebody closed it, none is. */
static void one_open_fix_for_a_failure_and_none_against_a_person(struct rig *r)
{
	uint64_t first, second, third;

	start_world(r);
	(void)dispatcher(r, "dispatcher", allowed, NULL);
	first = sim_run(r, SLOW);
	is_proposed(r, first, 1);
	second = sim_run(r, SLOW);
	is_proposed(r, second, 1);
	assert_non_null(strstr(plan_field(r, second, 1, "detail"), "proposed already"));
	assert_string_equal(plan_field(r, second, 1, "proposal"),
			    plan_field(r, first, 1, "proposal"));
	assert_int_equal(proposals(r), 1);

	close_proposal(r);
	third = sim_run(r, SLOW);
	assert_string_equal(plan_result(r, third, 1), "refused");
	assert_non_null(strstr(plan_field(r, third, 1, "detail"), "somebody closed it"));
	assert_int_equal(proposals(r), 1);
	assert_int_equal(our_branches(r), 1);
}

static void what_became_of_it_is_learned_from(struct rig *r)
{
	uint64_t run;

	start_world(r);
	(void)dispatcher(r, "dispatcher", allowed, "change.follow=100ms", NULL);
	run = sim_run(r, SLOW);
	is_proposed(r, run, 1);
	/* It is looked at again and again while it is open. */
	WAIT(r, redis_int_of(r, "EXISTS pg:{local}:learn:bump_timeout") == 0 &&
			sim_total(r, "api_requests") > 20);
	close_proposal(r);
	WAIT(r, strcmp(plan_field(r, run, 1, "proposal_state"), "closed") == 0);
	assert_string_equal(run_field(r, run, "proposal_state"), "closed");
	assert_int_equal(redis_int_of(r, "EXISTS pg:{local}:learn:bump_timeout"), 1);
	assert_int_equal(outcomes_of(r, run, 1), 1);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
}

static void a_token_without_the_right_says_which(struct rig *r)
{
	uint64_t run;

	start_world(r);
	sim_post(r, "/_sim/repos", "{\"repo\":\"" REPO "\",\"access\":\"read\"}");
	(void)dispatcher(r, "dispatcher", allowed, NULL);
	run = sim_run(r, SLOW);
	assert_string_equal(plan_result(r, run, 1), "refused");
	assert_non_null(strstr(plan_field(r, run, 1, "detail"), "contents: write"));
	assert_int_equal(our_branches(r), 0);
}

/* An App asks for a token that may do just that. */
static void an_app_proposes_too(struct rig *r)
{
	uint64_t run;

	app_keys(r);
	(void)receiver_start(r, NULL);
	(void)simulator_start(r, "--app-id", "4711", "--app-public-key-file",
			      rig_path(r, "app.pub"), NULL);
	add_repository(r, "github");
	(void)dispatcher(r, "dispatcher", allowed, "github.app_id=4711",
			 rig_printf(r, "github.app_key_file=%s", rig_path(r, "app.pem")), NULL);
	run = sim_run(r, SLOW);
	is_proposed(r, run, 1);
	assert_int_equal(proposals(r), 1);
	assert_string_equal(proposal(r, "labels.0"), "ci");
}

/* The first record of that kind: " field value field value ..." */
static const char *on_record(struct rig *r, const char *what)
{
	const struct redisReply *all = redis_do(r, "XRANGE pg:{local}:audit - +");
	const char *wanted = rig_printf(r, " what %s ", what);

	for (size_t i = 0; i < all->elements; i++) {
		const struct redisReply *pairs = all->element[i]->element[1];
		const char *text = "";

		for (size_t k = 0; k < pairs->elements; k++)
			text = rig_printf(r, "%s %s", text, pairs->element[k]->str);
		if (strstr(text, wanted))
			return text;
	}
	fail_msg("there is no record of %s", what);
	return "";
}

/* --- made in a copy --------------------------------------------------------------------------- */

#define UGLY "{\"cause\":\"lint_format\",\"repo\":\"" REPO "\",\"story\":1}"

static void start_ugly_world(struct rig *r)
{
	start_world(r);
	commit(r, ".clang-format", "BasedOnStyle: LLVM\\n");
	commit(r, "src/main.c", "int  main(void) {return 0;}\\n");
}

/* How the plan ended; skips the test where the copy cannot be worked on. */
static const char *result_in_copy(struct rig *r, uint64_t run)
{
	const char *result = plan_result(r, run, 1), *detail = plan_field(r, run, 1, "detail");
	const char *reason = plan_field(r, run, 1, "reason");

	if (strstr(reason, "cannot run here"))
		rig_skip(r, reason);
	if (strstr(detail, "sandbox_unavailable") || strstr(detail, "blocked: "))
		rig_skip(r, detail);
	return result;
}

static void is_mended(struct rig *r, uint64_t run)
{
	const char *result = result_in_copy(r, run), *detail = plan_field(r, run, 1, "detail");

	if (strcmp(result, "proposed") != 0)
		fail_msg("%s: %s", result, detail);
}

static void a_formatter_is_run_and_the_rest_is_the_same(struct rig *r)
{
	const char *before, *branch;
	uint64_t run;

	start_ugly_world(r);
	before = main_sha(r);
	(void)dispatcher(r, "dispatcher", allowed, NULL);
	run = sim_run(r, UGLY);
	is_mended(r, run);
	assert_string_equal(plan_field(r, run, 1, "strategy"), "fix_lint");
	assert_string_equal(main_sha(r), before);
	assert_int_equal(proposals(r), 1);
	assert_string_equal(proposal(r, "title"), "Tidy up with clang-format");
	assert_non_null(strstr(proposal(r, "body"), "1 file, 2 lines"));
	branch = proposal(r, "head");
	assert_non_null(strstr(git(r, rig_printf(r, "diff main %s", branch)),
			       "+int main(void) { return 0; }\n"));
	assert_non_null(strstr(git(r, rig_printf(r, "log -1 --format=%%an%%n%%b %s", branch)),
			       "Signed-off-by: Pipeline Guard <pipeline-guard@localhost>"));
}

/* Where a tool goes the repository decides, and it may want to see what is inside. */
static void a_tool_that_is_led_inside_is_on_record(struct rig *r)
{
	const char *record;
	uint64_t run;

	if (access("/usr/bin/npm", X_OK) < 0)
		rig_skip(r, "npm is not installed");
	start_world(r);
	commit(r, "package.json",
	       "{\\\"name\\\":\\\"a\\\",\\\"version\\\":\\\"1.0.0\\\",\\\"dependencies\\\":"
	       "{\\\"b\\\":\\\"http://169.254.169.254/b.tgz\\\"}}");
	commit(r, "package-lock.json",
	       "{\\\"name\\\":\\\"a\\\",\\\"lockfileVersion\\\":3,\\\"packages\\\":{}}");
	(void)dispatcher(r, "dispatcher", allowed, NULL);
	run = sim_run(r, "{\"cause\":\"lockfile_stale\",\"repo\":\"" REPO "\"}");
	assert_string_equal(plan_result(r, run, 1), "refused");
	assert_string_equal(plan_field(r, run, 1, "strategy"), "refresh_lockfile");
	if (strstr(plan_field(r, run, 1, "detail"), "sandbox_unavailable"))
		rig_skip(r, "this host has no sandbox");
	assert_non_null(strstr(plan_field(r, run, 1, "detail"), "169.254.169.254 is link-local"));
	record = on_record(r, "network");
	assert_non_null(strstr(record, " strategy refresh_lockfile tool npm verdict refused why "
				       "169.254.169.254 is link-local"));
	assert_int_equal(our_branches(r), 0);
}

static void a_pushed_branch_gets_its_proposal_whoever_is_killed(struct rig *r)
{
	struct proc *doomed;
	uint64_t run;

	start_ugly_world(r);
	sim_fault(r, "{\"call\":\"pulls\",\"kind\":\"slow\",\"ms\":1}");
	sim_fault(r, "{\"call\":\"pulls\",\"kind\":\"hang\"}");
	doomed = dispatcher(r, "doomed", allowed, NULL);
	run = sim_run(r, UGLY);
	WAIT(r, our_branches(r) == 1 || strcmp(plan_field(r, run, 1, "state"), "done") == 0);
	if (our_branches(r) == 0)
		is_mended(r, run);
	proc_kill(doomed);
	sim_no_faults(r);
	(void)dispatcher(r, "heir", allowed, "heal.settle=200ms", NULL);
	is_mended(r, run);
	assert_int_equal(proposals(r), 1);
	assert_int_equal(our_branches(r), 1);
	assert_int_equal(outcomes_of(r, run, 1), 1);
}

/* Longer than a lease: it is renewed for as long as the push takes. */
static void work_outlasts_its_lease(struct rig *r)
{
	uint64_t run;

	start_ugly_world(r);
	sim_fault(r, "{\"call\":\"push\",\"kind\":\"slow\",\"ms\":3000}");
	(void)dispatcher(r, "dispatcher", allowed, NULL);
	run = sim_run(r, UGLY);
	is_mended(r, run);
	assert_string_equal(plan_field(r, run, 1, "sends"), "1");
	assert_int_equal(proposals(r), 1);
}

static void what_cannot_be_made_says_why(struct rig *r)
{
	uint64_t run;

	start_ugly_world(r);
	sim_post(r, "/_sim/repos", "{\"repo\":\"" REPO "\",\"access\":\"write\",\"size\":614400}");
	(void)dispatcher(r, "dispatcher", allowed, NULL);
	run = sim_run(r, UGLY);
	assert_string_equal(result_in_copy(r, run), "refused");
	assert_non_null(strstr(plan_field(r, run, 1, "detail"), "too_large"));

	sim_post(r, "/_sim/repos", "{\"repo\":\"" REPO "\",\"access\":\"write\",\"size\":1}");
	commit(r, "src/main.c", "int main(void) { return 0; }\\n");
	run = sim_run(r, UGLY);
	assert_string_equal(result_in_copy(r, run), "refused");
	assert_non_null(strstr(plan_field(r, run, 1, "detail"), "nothing"));
	assert_int_equal(our_branches(r), 0);
}

/* Nobody is asked to approve what could not be done. */
static void what_cannot_run_here_is_left_to_a_person(struct rig *r)
{
	struct proc *p;
	uint64_t run;

	start_ugly_world(r);
	p = dispatcher(r, "dispatcher", allowed, "change.folder=/proc/none", NULL);
	WAIT(r, strstr(proc_output(p), "strategies that run programs cannot work here"));
	run = sim_run(r, UGLY);
	assert_string_equal(plan_result(r, run, 1), "escalated");
	assert_non_null(strstr(plan_field(r, run, 1, "reason"),
			       "fix_lint cannot run here: sandbox_unavailable: no folder"));
	assert_int_equal(our_branches(r), 0);
}

/* Where Jest is not installed: does with one snapshot what it does. */
static const char stand_in_for_jest[] =
	"if (!process.argv.includes('-u')) process.exit(1);\\n"
	"require('fs').writeFileSync('__snapshots__/greet.test.js.snap', "
	"'exports[`greets 1`] = `\\\"hello\\\"`;\\\\n');\\n";

static const char *installed_jest(void)
{
	static const char *const paths[] = { "/usr/bin/jest", "/usr/local/bin/jest" };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (access(paths[i], X_OK) == 0)
			return "jest";
	return NULL;
}

/* A test that expects what is not so any more; `npm test` runs nothing else. */
static void start_world_of_snapshots(struct rig *r)
{
	const char *jest = installed_jest();

	start_world(r);
	commit(r, "package.json",
	       rig_printf(r,
			  "{\\\"name\\\":\\\"web-shop\\\",\\\"version\\\":\\\"1.0.0\\\","
			  "\\\"scripts\\\":{\\\"test\\\":\\\"%s\\\"}}",
			  jest ? jest : "node stand-in-for-jest.js"));
	commit(r, "package-lock.json",
	       "{\\\"name\\\":\\\"web-shop\\\",\\\"version\\\":\\\"1.0.0\\\","
	       "\\\"lockfileVersion\\\":3,\\\"packages\\\":{\\\"\\\":{\\\"name\\\":\\\"web-"
	       "shop\\\","
	       "\\\"version\\\":\\\"1.0.0\\\"}}}");
	if (!jest)
		commit(r, "stand-in-for-jest.js", stand_in_for_jest);
	commit(r, "greet.test.js",
	       "test('greets', () => {\\n  expect('hello').toMatchSnapshot();\\n});\\n");
	commit(r, "__snapshots__/greet.test.js.snap",
	       "// Jest Snapshot v1, https://goo.gl/fbAQLP\\n\\n"
	       "exports[`greets 1`] = `\\\"hallo\\\"`;\\n");
}

/* Whatever the policy allows: what the code does now is what it should do, a person has to say. */
static void snapshots_are_renewed_once_a_person_says_so(struct rig *r)
{
	const char *before, *branch;
	uint64_t run;

	if (access("/usr/bin/npm", X_OK) != 0)
		rig_skip(r, "npm is not installed");
	start_world_of_snapshots(r);
	before = main_sha(r);
	(void)dispatcher(r, "dispatcher", allowed, NULL);
	run = sim_run(r, "{\"cause\":\"test_snapshot\",\"repo\":\"" REPO "\"}");
	WAIT(r, strcmp(plan_field(r, run, 1, "state"), "suggested") == 0 ||
			strcmp(plan_field(r, run, 1, "state"), "done") == 0);
	if (strcmp(plan_field(r, run, 1, "state"), "done") == 0)
		is_mended(r, run);
	assert_string_equal(plan_field(r, run, 1, "state"), "suggested");
	assert_string_equal(plan_field(r, run, 1, "strategy"), "update_snapshots");
	assert_int_equal(our_branches(r), 0);
	assert_int_equal(heal_asked(r, "--approve", rig_printf(r, "%" PRIu64, run), NULL), 0);
	is_mended(r, run);
	assert_string_equal(main_sha(r), before);
	assert_int_equal(proposals(r), 1);
	assert_string_equal(proposal(r, "title"), "Renew snapshots with npm");
	branch = proposal(r, "head");
	assert_string_equal(git(r, rig_printf(r, "diff --name-only main %s", branch)),
			    "__snapshots__/greet.test.js.snap\n");
	assert_non_null(strstr(git(r, rig_printf(r, "diff main %s", branch)),
			       "-exports[`greets 1`] = `\"hallo\"`;\n"
			       "+exports[`greets 1`] = `\"hello\"`;\n"));
}

static void a_person_has_a_commit_taken_back(struct rig *r)
{
	const char *id;
	uint64_t run;

	start_world(r);
	commit(r, "src/app.py", "broken\\n");
	(void)dispatcher(r, "dispatcher", "{}\n", NULL);
	run = sim_run(r, "{\"cause\":\"build_compile\",\"repo\":\"" REPO "\"}");
	assert_string_equal(plan_result(r, run, 1), "escalated");
	id = rig_printf(r, "%" PRIu64, run);
	assert_int_equal(heal_asked(r, "--strategy", "revert_commit", id, NULL), 0);
	WAIT(r, strcmp(plan_field(r, run, 1, "strategy"), "revert_commit") == 0);
	is_mended(r, run);
	assert_int_equal(proposals(r), 1);
	assert_non_null(strstr(git(r, rig_printf(r, "diff --stat main %s", proposal(r, "head"))),
			       "src/app.py"));
}

/* --- GitLab --------------------------------------------------------------------------------------
 */

#define GITLAB_SECRET "gitlab-secret-of-the-integration-tests"
#define SLOW_IN_GITLAB \
	"{\"provider\":\"gitlab\",\"cause\":\"timeout_test\",\"repo\":\"" REPO "\",\"story\":1}"

static void start_gitlab(struct rig *r)
{
	const char *secret = rig_path(r, "gitlab-secret");

	rig_write(r, "gitlab-secret", GITLAB_SECRET "\n", 0600);
	(void)receiver_start(r, rig_printf(r, "gitlab.webhook_token_file=%s", secret), NULL);
	simulator_start(r, "--gitlab-webhook-url",
			rig_printf(r, "http://127.0.0.1:%d/webhooks/gitlab", receiver_port(r)),
			"--gitlab-secret-file", secret, NULL);
	add_repository(r, "gitlab");
}

#define IN_GITLAB(r)                                        \
	rig_printf((r), "gitlab.url=%s", simulator_url(r)), \
		rig_printf((r), "gitlab.token_file=%s", rig_path((r), "token"))

static uint64_t first_generation(struct rig *r, uint64_t run)
{
	WAIT(r, strcmp(sim_word(r, run, "status"), "completed") == 0);
	return (uint64_t)sim_number(r, run, "generation");
}

static const char *left(struct rig *r, const char *name)
{
	return rig_printf(r, "%s/%s", rig_path(r, "copies"), name);
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void give(const char *path)
{
	enum { NOBODY = 65534 };

	assert_int_equal(lchown(path, geteuid() ? geteuid() : NOBODY, getegid()), 0);
}

/* What a killed one left behind goes at the next start, and nothing else. */
static void copies_of_the_dead_are_removed(struct rig *r)
{
	const char *dead = left(r, "pipeline-guard-change-dead00");
	const char *alive = left(r, "pipeline-guard-change-alive0");
	const char *file = left(r, "pipeline-guard-change-file00");
	const char *link = left(r, "pipeline-guard-change-link00");
	const char *other = left(r, "pipeline-guard-changed");
	int lock;

	start_world(r);
	assert_int_equal(chmod(rig_path(r, "."), 0755), 0);
	assert_int_equal(mkdir(rig_path(r, "copies"), 0777) | chmod(rig_path(r, "copies"), 0777),
			 0);
	assert_int_equal(mkdir(rig_path(r, "kept"), 0755), 0);
	rig_write(r, "kept/file", "x", 0644);
	assert_int_equal(mkdir(dead, 0700) | mkdir(alive, 0700) | mkdir(other, 0700), 0);
	assert_int_equal(mkdir(rig_printf(r, "%s/work", dead), 0500), 0);
	assert_int_equal(symlink(rig_path(r, "kept"), rig_printf(r, "%s/link", dead)), 0);
	assert_int_equal(symlink(rig_path(r, "kept"), link), 0);
	rig_write(r, "copies/pipeline-guard-change-file00", "x", 0644);
	give(rig_printf(r, "%s/work", dead));
	give(rig_printf(r, "%s/link", dead));
	give(dead);
	give(alive);
	give(other);
	give(link);
	lock = open(alive, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
	(void)dispatcher(r, "dispatcher", allowed,
			 rig_printf(r, "change.folder=%s", rig_path(r, "copies")), NULL);
	WAIT(r, !is_there(dead));
	assert_true(is_there(alive) && is_there(file) && is_there(link) && is_there(other));
	assert_true(is_there(rig_path(r, "kept/file")));
	(void)close(lock);
}

static void gitlab_gets_a_merge_request(struct rig *r)
{
	const char *before, *branch;
	uint64_t run, generation;

	start_gitlab(r);
	before = main_sha(r);
	(void)dispatcher(r, "dispatcher", allowed, IN_GITLAB(r), NULL);
	run = sim_run(r, SLOW_IN_GITLAB);
	generation = first_generation(r, run);
	is_proposed(r, run, generation);
	assert_non_null(strstr(plan_field(r, run, generation, "proposal"), "/merge_requests/"));
	assert_int_equal(proposals(r), 1);
	assert_int_equal(our_branches(r), 1);
	assert_string_equal(main_sha(r), before);
	assert_string_equal(proposal(r, "labels.0"), "ci");
	branch = proposal(r, "head");
	assert_non_null(strstr(git(r, rig_printf(r, "diff main %s", branch)),
			       "\n-timeout = 30\n+timeout = 60\n"));
}

static void gitlab_gets_one_whoever_is_killed(struct rig *r)
{
	struct proc *doomed;
	uint64_t run, generation;

	start_gitlab(r);
	sim_fault(r, "{\"call\":\"pulls\",\"kind\":\"slow\",\"ms\":1}");
	sim_fault(r, "{\"call\":\"pulls\",\"kind\":\"hang\"}");
	doomed = dispatcher(r, "doomed", allowed, IN_GITLAB(r), NULL);
	run = sim_run(r, SLOW_IN_GITLAB);
	generation = first_generation(r, run);
	WAIT(r, our_branches(r) == 1);
	assert_int_equal(proposals(r), 0);
	proc_kill(doomed);
	sim_no_faults(r);
	(void)dispatcher(r, "heir", allowed, "heal.settle=200ms", IN_GITLAB(r), NULL);
	is_proposed(r, run, generation);
	assert_int_equal(proposals(r), 1);
	assert_int_equal(our_branches(r), 1);
	assert_int_equal(outcomes_of(r, run, generation), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_change_is_proposed_and_nothing_else_is_touched),
		RIG_TEST(without_a_policy_a_person_is_asked_first),
		RIG_TEST(one_branch_and_one_proposal_whoever_is_killed),
		RIG_TEST(what_was_begun_is_ended_whoever_runs_it_again),
		RIG_TEST(an_answer_that_gets_lost_makes_no_second_one),
		RIG_TEST(what_was_done_before_the_kill_is_found_again),
		RIG_TEST(nothing_is_proposed_to_a_branch_that_moved),
		RIG_TEST(a_protected_branch_is_only_proposed_to),
		RIG_TEST(one_open_fix_for_a_failure_and_none_against_a_person),
		RIG_TEST(what_became_of_it_is_learned_from),
		RIG_TEST(a_token_without_the_right_says_which),
		RIG_TEST(an_app_proposes_too),
		RIG_TEST(a_formatter_is_run_and_the_rest_is_the_same),
		RIG_TEST(a_tool_that_is_led_inside_is_on_record),
		RIG_TEST(a_pushed_branch_gets_its_proposal_whoever_is_killed),
		RIG_TEST(work_outlasts_its_lease),
		RIG_TEST(what_cannot_be_made_says_why),
		RIG_TEST(what_cannot_run_here_is_left_to_a_person),
		RIG_TEST(snapshots_are_renewed_once_a_person_says_so),
		RIG_TEST(a_person_has_a_commit_taken_back),
		RIG_TEST(copies_of_the_dead_are_removed),
		RIG_TEST(gitlab_gets_a_merge_request),
		RIG_TEST(gitlab_gets_one_whoever_is_killed),
	};

	return rig_main(tests);
}

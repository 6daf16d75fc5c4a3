#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/ci_event.h"
#include "core/enqueue.h"
#include "core/mem.h"
#include "core/redis.h"
#include "receiver/provider.h"
#include "tests/unit/unit.h"

static void knows_which_events_it_uses(void **state)
{
	static const char *const used[] = { "workflow_run", "workflow_job", "check_run",
					    "check_suite" };
	static const char *const ignored[] = { "ping", "push", "workflow_runs", "", "WORKFLOW_RUN",
					       /* of an App, an organisation, a sponsor */
					       "installation", "installation_repositories",
					       "github_app_authorization", "organization",
					       "membership", "meta", "security_advisory" };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(used); i++)
		assert_case(!provider_github.ignores(used[i]), used[i]);
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		assert_case(provider_github.ignores(ignored[i]), ignored[i]);
	assert_string_equal(provider_github.ignores("ping"), "ping");
}

static int parse(const char *topic, const char *json, struct ci_event *ev, struct err *err)
{
	*err = (struct err){ 0 };
	return provider_github.normalise(topic, json, strlen(json), ev, err);
}

#define REPO                                                                         \
	"\"repository\":{\"id\":186853002,\"full_name\":\"Codertocat/Hello-World\"," \
	"\"default_branch\":\"main\"}"

static void reads_a_workflow_run(void **state)
{
	static const char json[] =
		"{\"action\":\"completed\",\"workflow_run\":{\"id\":30433642,\"name\":\"CI\","
		"\"head_branch\":\"fix\",\"head_sha\":\"acb5820ced9479c074f688cc328bf03f341a511d\","
		"\"event\":\"push\",\"status\":\"completed\",\"conclusion\":\"startup_failure\","
		"\"workflow_id\":159038,\"run_attempt\":3,\"html_url\":\"https://github.com/o/r\","
		"\"created_at\":\"2020-01-22T19:33:08Z\",\"updated_at\":\"2020-01-22T19:40:00Z\","
		"\"actor\":{\"login\":\"first\"},\"triggering_actor\":{\"login\":\"second\"},"
		"\"repository\":{\"id\":1,\"full_name\":\"not/this\"},"
		"\"head_repository\":{\"full_name\":\"fork/Hello-World\"}}," REPO
		",\"workflow\":{\"name\":\"other\"},\"installation\":{\"id\":5}}";
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse("workflow_run", json, &ev, &err), &err);
	assert_string_equal(ev.provider, "github");
	assert_string_equal(ev.topic, "workflow_run");
	assert_string_equal(ev.action, "completed");
	assert_int_equal(ev.kind, CI_RUN);
	assert_int_equal(ev.status, CI_COMPLETED);
	assert_string_equal(ev.conclusion, "startup_failure");
	assert_int_equal(ev.repo_id, 186853002);
	assert_string_equal(ev.repo, "Codertocat/Hello-World");
	assert_int_equal(ev.run_id, 30433642);
	assert_int_equal(ev.generation, 3);
	assert_int_equal(ev.installation, 5);
	assert_int_equal(ev.pipeline_id, 159038);
	assert_string_equal(ev.pipeline, "CI");
	assert_string_equal(ev.branch, "fix");
	assert_string_equal(ev.default_branch, "main");
	assert_string_equal(ev.sha, "acb5820ced9479c074f688cc328bf03f341a511d");
	assert_string_equal(ev.trigger, "push");
	assert_string_equal(ev.actor, "second");
	assert_string_equal(ev.head_repo, "fork/Hello-World");
	assert_string_equal(ev.url, "https://github.com/o/r");
	assert_true(ev.at_ms == 1579722000000);
}

static void reads_a_workflow_job(void **state)
{
	static const char json[] =
		"{\"action\":\"completed\",\"workflow_job\":{\"id\":7,\"run_id\":8,\"run_attempt\":"
		"2,"
		"\"name\":\"build\",\"workflow_name\":\"CI\",\"status\":\"completed\","
		"\"conclusion\":\"failure\",\"started_at\":\"2020-01-22T19:33:08Z\","
		"\"completed_at\":\"2020-01-22T19:40:00Z\",\"head_branch\":null}," REPO
		",\"sender\":{\"login\":\"who\"}}";
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse("workflow_job", json, &ev, &err), &err);
	assert_int_equal(ev.kind, CI_JOB);
	assert_int_equal(ev.job_id, 7);
	assert_int_equal(ev.run_id, 8);
	assert_int_equal(ev.generation, 2);
	assert_string_equal(ev.job, "build");
	assert_string_equal(ev.pipeline, "CI");
	assert_string_equal(ev.branch, "");
	assert_string_equal(ev.actor, "who");
	assert_true(ev.at_ms == 1579722000000);
}

static void reads_checks(void **state)
{
	static const char run[] = "{\"action\":\"created\",\"check_run\":{\"id\":4,\"name\":"
				  "\"lint\",\"status\":\"queued\","
				  "\"conclusion\":null,\"started_at\":\"2020-01-22T19:40:00Z\","
				  "\"check_suite\":{\"id\":118578147,\"head_branch\":\"b\"},"
				  "\"app\":{\"name\":\"A\"}}," REPO "}";
	static const char suite[] =
		"{\"action\":\"completed\",\"check_suite\":{\"id\":118578147,\"head_branch\":\"b\","
		"\"status\":\"completed\",\"conclusion\":\"success\","
		"\"updated_at\":\"2020-01-22T19:40:00Z\"}," REPO "}";
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse("check_run", run, &ev, &err), &err);
	assert_int_equal(ev.kind, CI_CHECK);
	assert_int_equal(ev.status, CI_QUEUED);
	assert_int_equal(ev.job_id, 4);
	assert_int_equal(ev.run_id, 118578147);
	assert_int_equal(ev.generation, 1);
	assert_string_equal(ev.job, "lint");
	assert_true(ev.at_ms == 1579722000000);
	assert_ok(parse("check_suite", suite, &ev, &err), &err);
	assert_int_equal(ev.kind, CI_CHECK);
	assert_int_equal(ev.status, CI_COMPLETED);
	assert_int_equal(ev.run_id, 118578147);
	assert_string_equal(ev.conclusion, "success");
}

static void maps_states(void **state)
{
	static const struct {
		const char *why, *action, *status, *conclusion;
		enum ci_status expect;
	} rows[] = {
		{ "requested", "requested", "\"requested\"", "null", CI_QUEUED },
		{ "requested, queued meanwhile", "requested", "\"queued\"", "null", CI_QUEUED },
		{ "waiting for approval", "requested", "\"waiting\"", "null", CI_QUEUED },
		{ "pending", "requested", "\"pending\"", "null", CI_QUEUED },
		{ "running", "in_progress", "\"in_progress\"", "null", CI_RUNNING },
		{ "the action says so, the snapshot is older", "completed", "\"in_progress\"",
		  "\"failure\"", CI_COMPLETED },
		{ "the snapshot is newer than the action", "in_progress", "\"completed\"",
		  "\"failure\"", CI_COMPLETED },
		{ "completed without a conclusion is not", "in_progress", "\"completed\"", "null",
		  CI_RUNNING },
		{ "no status", "in_progress", "null", "null", CI_RUNNING },
		{ "a conclusion of the future", "completed", "\"completed\"", "\"on_fire\"",
		  CI_COMPLETED },
		{ "words of the future", "frozen", "\"frozen\"", "null", CI_STATUS_UNKNOWN },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ci_event ev;
		struct err err;
		char json[512];

		(void)snprintf(json, sizeof(json),
			       "{\"action\":\"%s\",\"workflow_run\":{\"id\":1,\"status\":%s,"
			       "\"conclusion\":%s}," REPO "}",
			       rows[i].action, rows[i].status, rows[i].conclusion);
		if (parse("workflow_run", json, &ev, &err) < 0)
			fail_msg("row \"%s\": %s", rows[i].why, err.msg);
		assert_case(ev.status == rows[i].expect, rows[i].why);
		assert_case(ev.generation == 1, rows[i].why);
	}
}

static void refuses_malformed_events(void **state)
{
	static const struct {
		const char *why, *json;
	} rows[] = {
		{ "no action", "{\"workflow_run\":{\"id\":1}," REPO "}" },
		{ "no run", "{\"action\":\"completed\"," REPO "}" },
		{ "run is null", "{\"action\":\"completed\",\"workflow_run\":null," REPO "}" },
		{ "no repository", "{\"action\":\"completed\",\"workflow_run\":{\"id\":1}}" },
		{ "run id 0", "{\"action\":\"completed\",\"workflow_run\":{\"id\":0}," REPO "}" },
		{ "attempt is text", "{\"action\":\"completed\",\"workflow_run\":{\"id\":1,\"run_"
				     "attempt\":\"1\"}," REPO "}" },
		{ "a path instead of a name",
		  "{\"action\":\"completed\",\"workflow_run\":{\"id\":1},"
		  "\"repository\":{\"id\":1,\"full_name\":\"../../admin\"}}" },
		{ "a name that is a path", "{\"action\":\"completed\",\"workflow_run\":{\"id\":1},"
					   "\"repository\":{\"id\":1,\"full_name\":\"o/..\"}}" },
		{ "a query in a name", "{\"action\":\"completed\",\"workflow_run\":{\"id\":1},"
				       "\"repository\":{\"id\":1,\"full_name\":\"o/r?x\"}}" },
		{ "no owner", "{\"action\":\"completed\",\"workflow_run\":{\"id\":1},"
			      "\"repository\":{\"id\":1,\"full_name\":\"r\"}}" },
		{ "no name", "{\"action\":\"completed\",\"workflow_run\":{\"id\":1},"
			     "\"repository\":{\"id\":1,\"full_name\":\"o/\"}}" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ci_event ev = { .run_id = 77 };
		struct err err;

		assert_case(parse("workflow_run", rows[i].json, &ev, &err) == -1, rows[i].why);
		assert_case(err.kind == ERR_INPUT && *err.msg, rows[i].why);
		assert_case(ev.run_id == 77, rows[i].why); /* written only on success */
	}
}

/* All names as long as GitHub allows, and ids of today's length. */
static void long_names_fit_the_entry(void **state)
{
	struct ci_event ev = { .provider = "github",
			       .source = "github",
			       .delivery = "72d3162e-cc78-11e3-81ab-4c9367dc0958",
			       .kind = CI_JOB,
			       .topic = "workflow_job",
			       .action = "in_progress",
			       .status = CI_COMPLETED,
			       .conclusion = "startup_failure",
			       .repo_id = 1186853002,
			       .run_id = 30433642123,
			       .generation = 12,
			       .job_id = 30433642124,
			       .installation = 12345678,
			       .pipeline_id = 159038123,
			       .sha = "acb5820ced9479c074f688cc328bf03f341a511d",
			       .trigger = "pull_request_target",
			       .at_ms = 1785319289000,
			       .received_at_ms = 1785319289000,
			       .trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };

	UNUSED(state);
	memset(ev.repo, 'r', sizeof(ev.repo) - 1);
	memset(ev.head_repo, 'h', sizeof(ev.head_repo) - 1);
	memset(ev.pipeline, 'p', sizeof(ev.pipeline) - 1);
	memset(ev.job, 'j', sizeof(ev.job) - 1);
	memset(ev.branch, 'b', sizeof(ev.branch) - 1);
	memset(ev.default_branch, 'd', sizeof(ev.default_branch) - 1);
	memset(ev.actor, 'a', sizeof(ev.actor) - 1);
	memset(ev.url, 'u', sizeof(ev.url) - 1);
	assert_true(enqueue_entry_bytes(&ev) > ENQUEUE_ENTRY_BYTES_MAX);
	enqueue_fit(&ev);
	assert_true(enqueue_entry_bytes(&ev) <= ENQUEUE_ENTRY_BYTES_MAX);
	/* Identities are never cut. */
	assert_int_equal(strlen(ev.repo), sizeof(ev.repo) - 1);
	assert_int_equal(strlen(ev.head_repo), sizeof(ev.head_repo) - 1);
	assert_int_equal(strlen(ev.sha), 40);
}

/* What no sender does, but nothing forbids: everything at its longest. */
static void anything_fits_the_entry(void **state)
{
	struct ci_event ev;

	UNUSED(state);
	memset(&ev, 'x', sizeof(ev));
#define END(member) ev.member[sizeof(ev.member) - 1] = '\0'
	END(provider);
	END(source);
	END(delivery);
	END(topic);
	END(action);
	END(conclusion);
	END(failure_reason);
	END(repo);
	END(pipeline);
	END(job);
	END(branch);
	END(default_branch);
	END(base);
	END(sha);
	END(trigger);
	END(plan);
	END(answer);
	END(actor);
	END(head_repo);
	END(url);
	END(trace);
#undef END
	ev.kind = CI_OTHER;
	ev.status = CI_COMPLETED;
	ev.repo_id = ev.run_id = ev.generation = ev.job_id = ev.installation = INT64_MAX;
	ev.pipeline_id = ev.parent_run = ev.merge_request = INT64_MAX;
	ev.at_ms = ev.received_at_ms = INT64_MAX;
	enqueue_fit(&ev);
	assert_in_range(enqueue_entry_bytes(&ev), 1, ENQUEUE_ENTRY_BYTES_MAX);
	assert_int_equal(strlen(ev.repo), sizeof(ev.repo) - 1);
}

static void providers_are_found_by_name(void **state)
{
	UNUSED(state);
	assert_ptr_equal(provider_find("github/x", 6), &provider_github);
	assert_null(provider_find("github", 5));
	assert_ptr_equal(provider_find("gitlab", 6), &provider_gitlab);
	assert_null(provider_find("gitea", 5));
}

/* Of other actions its maker's own name for it is of no use to us. */
static void a_button_that_was_pressed_names_its_plan(void **state)
{
	static const char format[] =
		"{\"action\":\"%s\",\"requested_action\":{\"identifier\":\"approve\"},"
		"\"check_run\":{\"id\":4,\"name\":\"Pipeline Guard\",\"status\":\"completed\","
		"\"external_id\":\"github:5:6:1\",\"check_suite\":{\"id\":7},"
		"\"app\":{\"id\":4711,\"name\":\"guard\"}},"
		"\"repository\":{\"id\":5,\"full_name\":\"o/r\"},\"sender\":{\"login\":\"ada\"}}";
	OWNED(freep) char *pressed = xasprintf(format, "requested_action");
	OWNED(freep) char *made = xasprintf(format, "completed");
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse("check_run", pressed, &ev, &err), &err);
	assert_int_equal(ev.kind, CI_CHECK);
	assert_string_equal(ev.plan, "github:5:6:1");
	assert_string_equal(ev.answer, "approve");
	assert_string_equal(ev.actor, "ada");
	assert_int_equal(ev.pipeline_id, 4711);
	assert_ok(parse("check_run", made, &ev, &err), &err);
	assert_string_equal(ev.plan, "");
	assert_string_equal(ev.answer, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_which_events_it_uses),
		cmocka_unit_test(reads_a_workflow_run),
		cmocka_unit_test(reads_a_workflow_job),
		cmocka_unit_test(reads_checks),
		cmocka_unit_test(maps_states),
		cmocka_unit_test(refuses_malformed_events),
		cmocka_unit_test(long_names_fit_the_entry),
		cmocka_unit_test(anything_fits_the_entry),
		cmocka_unit_test(providers_are_found_by_name),
		cmocka_unit_test(a_button_that_was_pressed_names_its_plan),
	};

	return cmocka_run_group_tests_name("provider_github", tests, NULL, NULL);
}

#include <stdio.h>
#include <string.h>

#include "core/ci_event.h"
#include "receiver/provider.h"
#include "tests/unit/unit.h"

static int parse(const char *topic, const char *json, struct ci_event *ev, struct err *err)
{
	*err = (struct err){ 0 };
	*ev = (struct ci_event){ 0 };
	return provider_gitlab.normalise(topic, json, strlen(json), ev, err);
}

static void knows_which_events_it_uses(void **state)
{
	static const char *const used[] = { "Pipeline Hook", "Job Hook", "Push Hook",
					    "Merge Request Hook" };
	static const char *const ignored[] = { "Tag Push Hook",  "Note Hook",     "Issue Hook",
					       "System Hook",    "Release Hook",  "Deployment Hook",
					       "Wiki Page Hook", "pipeline hook", "" };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(used); i++)
		assert_case(!provider_gitlab.ignores(used[i]), used[i]);
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		assert_case(provider_gitlab.ignores(ignored[i]), ignored[i]);
}

#define PROJECT                                                                                   \
	"\"project\":{\"id\":42,\"name\":\"Api\",\"web_url\":\"https://gl.example.com/shop/back/" \
	"api\","                                                                                  \
	"\"path_with_namespace\":\"shop/back/api\",\"default_branch\":\"main\"}"

static void reads_a_pipeline(void **state)
{
	static const char json[] =
		"{\"object_kind\":\"pipeline\",\"object_attributes\":{\"id\":1001,\"iid\":7,"
		"\"name\":\"nightly\",\"ref\":\"feature/x\",\"tag\":false,"
		"\"sha\":\"acb5820ced9479c074f688cc328bf03f341a511d\",\"source\":\"merge_request_"
		"event\","
		"\"status\":\"failed\",\"detailed_status\":\"failed\",\"stages\":[\"build\"],"
		"\"created_at\":\"2016-08-12 15:23:28 UTC\",\"finished_at\":\"2016-08-12 15:26:29 "
		"UTC\","
		"\"duration\":63,\"variables\":[{\"key\":\"DEPLOY_TOKEN\",\"value\":\"hunter2\"}],"
		"\"url\":\"https://gl.example.com/shop/back/api/-/pipelines/1001\"},"
		"\"merge_request\":{\"id\":9001,\"iid\":12,\"source_branch\":\"feature/x\"},"
		"\"user\":{\"name\":\"Ada\",\"username\":\"ada\"}," PROJECT ","
		"\"source_pipeline\":{\"project\":{\"id\":41},\"pipeline_id\":990,\"job_id\":3401},"
		"\"commit\":{\"id\":\"acb5820ced9479c074f688cc328bf03f341a511d\"},"
		"\"builds\":[{\"id\":380,\"name\":\"a\",\"status\":\"success\",\"failure_reason\":"
		"null},"
		"{\"id\":382,\"name\":\"c\",\"status\":\"failed\",\"failure_reason\":"
		"\"runner_system_failure\",\"runner\":{\"id\":999999}},{\"id\":381,\"name\":\"b\"}]"
		"}";
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse("Pipeline Hook", json, &ev, &err), &err);
	assert_string_equal(ev.provider, "gitlab");
	assert_string_equal(ev.topic, "pipeline");
	assert_string_equal(ev.action, "failed");
	assert_int_equal(ev.kind, CI_RUN);
	assert_int_equal(ev.status, CI_COMPLETED);
	assert_string_equal(ev.conclusion, "failure");
	assert_string_equal(ev.failure_reason, "runner_system_failure");
	assert_int_equal(ev.repo_id, 42);
	assert_string_equal(ev.repo, "shop/back/api");
	assert_int_equal(ev.run_id, 1001);
	assert_int_equal(ev.generation, 382); /* the highest job, not the last and not a runner */
	assert_int_equal(ev.job_id, 0);
	assert_int_equal(ev.parent_run, 990);
	assert_int_equal(ev.merge_request, 12);
	assert_string_equal(ev.pipeline, "nightly");
	assert_string_equal(ev.branch, "feature/x");
	assert_string_equal(ev.default_branch, "main");
	assert_string_equal(ev.sha, "acb5820ced9479c074f688cc328bf03f341a511d");
	assert_string_equal(ev.trigger, "merge_request_event");
	assert_string_equal(ev.actor, "ada");
	assert_string_equal(ev.url, "https://gl.example.com/shop/back/api/-/pipelines/1001");
	assert_int_equal(ev.at_ms, 1471015589000);
	assert_string_equal(ev.delivery, ""); /* the headers say it */
	/* Nothing of `variables` is kept anywhere. */
	assert_null(memmem(&ev, sizeof(ev), "hunter2", 7));
	assert_null(memmem(&ev, sizeof(ev), "DEPLOY_TOKEN", 12));
}

/* As older and newer servers send it, with facts that surprise. */
static void reads_a_job(void **state)
{
	static const char old[] =
		"{\"object_kind\":\"build\",\"ref\":\"main\",\"sha\":"
		"\"2293ada6b400935a1378653304eaf6221e0fdb8f\","
		"\"build_id\":1977,\"build_name\":\"test\",\"build_stage\":\"test\",\"build_"
		"status\":\"success\","
		"\"build_failure_reason\":\"unknown_failure\",\"build_started_at\":\"2016-08-12 "
		"15:23:28 UTC\","
		"\"build_finished_at\":\"2016-08-12 15:26:29 UTC\",\"project_id\":380,"
		"\"project_name\":\"Shop / Back / Api\",\"user\":{\"id\":3,\"name\":\"Ada L\"},"
		"\"commit\":{\"id\":2366,\"sha\":\"2293ada6b400935a1378653304eaf6221e0fdb8f\"},"
		"\"repository\":{\"homepage\":\"https://gl.example.com/shop/back/api\"},"
		"\"retries_count\":4}";
	static const char new[] =
		"{\"object_kind\":\"build\",\"ref\":\"main\",\"build_id\":1977,\"build_name\":"
		"\"test\","
		"\"build_status\":\"failed\",\"build_failure_reason\":\"script_failure\","
		"\"build_finished_at\":\"2016-08-12 15:26:29 UTC\","
		"\"build_finished_at_iso\":\"2016-08-12T15:26:29.250Z\",\"pipeline_id\":2366,"
		"\"project_id\":42,\"project_name\":\"Shop / Back / "
		"Api\",\"user\":{\"username\":\"ada\",\"name\":\"Ada L\"},"
		"\"commit\":{\"id\":2366}," PROJECT "}";
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse("Job Hook", old, &ev, &err), &err);
	assert_int_equal(ev.kind, CI_JOB);
	assert_string_equal(ev.topic, "build");
	assert_string_equal(ev.conclusion, "success");
	assert_string_equal(ev.failure_reason, ""); /* set on success too, and wrong then */
	assert_int_equal(ev.run_id, 2366);          /* what is called commit.id */
	assert_int_equal(ev.job_id, 1977);
	assert_int_equal(ev.generation, 1977);
	assert_string_equal(ev.repo, "shop/back/api");
	assert_string_equal(ev.actor, "Ada L");
	assert_string_equal(ev.job, "test");
	assert_string_equal(ev.url, "https://gl.example.com/shop/back/api/-/jobs/1977");
	assert_int_equal(ev.at_ms, 1471015589000);

	assert_ok(parse("Job Hook", new, &ev, &err), &err);
	assert_string_equal(ev.conclusion, "failure");
	assert_string_equal(ev.failure_reason, "script_failure");
	assert_int_equal(ev.run_id, 2366);
	assert_string_equal(ev.repo, "shop/back/api");
	assert_string_equal(ev.actor, "ada");
	assert_int_equal(ev.at_ms, 1471015589250);
}

static void a_job_without_a_path_is_named_by_number(void **state)
{
	static const struct {
		const char *repository, *repo;
	} rows[] = {
		{ "\"x\":1", "projects/380" },
		{ "\"homepage\":\"https://gl.example.com/\"", "projects/380" },
		{ "\"homepage\":\"https://gl.example.com/a/../b\"", "projects/380" },
		{ "\"homepage\":\"https://gl.example.com/a/b?c\"", "projects/380" },
		{ "\"homepage\":\"a/b\"", "projects/380" },
		{ "\"homepage\":\"http://gl.example.com:3005/a/b\"", "a/b" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char json[400];
		struct ci_event ev;
		struct err err;

		(void)snprintf(
			json, sizeof(json),
			"{\"build_id\":1,\"pipeline_id\":2,\"project_id\":380,\"project_name\":"
			"\"A / B\",\"build_status\":\"running\",\"repository\":{%s}}",
			rows[i].repository);
		assert_ok(parse("Job Hook", json, &ev, &err), &err);
		assert_string_equal(ev.repo, rows[i].repo);
	}
}

static void reads_a_push(void **state)
{
	static const char json[] =
		"{\"object_kind\":\"push\",\"before\":\"95790bf891e76fee5e1747ab589903a6a1f80f22\","
		"\"after\":\"da1560886d4f094c3e6c9ef40349f7d38b5d27d7\",\"ref\":\"refs/heads/"
		"feature/x\","
		"\"user_name\":\"Ada L\",\"user_username\":\"ada\",\"project_id\":42," PROJECT
		",\"commits\":[{\"id\":\"x\",\"message\":\"m\"}]}";
	struct ci_event ev, other;
	struct err err;

	UNUSED(state);
	assert_ok(parse("Push Hook", json, &ev, &err), &err);
	assert_int_equal(ev.kind, CI_OTHER); /* no run, so nothing is planned for it */
	assert_string_equal(ev.topic, "push");
	assert_string_equal(ev.branch, "feature/x");
	assert_string_equal(ev.sha, "da1560886d4f094c3e6c9ef40349f7d38b5d27d7");
	assert_string_equal(ev.actor, "ada");
	assert_true(ev.run_id && ev.run_id <= INT64_MAX);
	assert_int_equal(ev.generation, 1);
	assert_ok(parse("Push Hook", json, &other, &err), &err);
	assert_true(other.run_id == ev.run_id);
}

static void reads_a_merge_request(void **state)
{
	static const char json[] =
		"{\"object_kind\":\"merge_request\",\"user\":{\"username\":\"ada\"}," PROJECT
		",\"object_attributes\":{\"id\":99,\"iid\":12,\"target_branch\":\"main\","
		"\"source_branch\":\"fix\",\"action\":\"update\",\"updated_at\":\"2013-12-03T17:23:"
		"34Z\","
		"\"url\":\"https://gl.example.com/shop/back/api/-/merge_requests/12\","
		"\"source\":{\"path_with_namespace\":\"ada/api\"},"
		"\"last_commit\":{\"id\":\"da1560886d4f094c3e6c9ef40349f7d38b5d27d7\"}}}";
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse("Merge Request Hook", json, &ev, &err), &err);
	assert_int_equal(ev.kind, CI_OTHER);
	assert_string_equal(ev.topic, "merge_request");
	assert_string_equal(ev.action, "update");
	assert_int_equal(ev.run_id, 99);
	assert_int_equal(ev.merge_request, 12);
	assert_string_equal(ev.branch, "fix");
	assert_string_equal(ev.head_repo, "ada/api");
	assert_string_equal(ev.sha, "da1560886d4f094c3e6c9ef40349f7d38b5d27d7");
	assert_int_equal(ev.at_ms, 1386091414000);
}

static void maps_states(void **state)
{
	static const struct {
		const char *attributes;
		enum ci_status status;
		const char *conclusion;
		unsigned unknown;
	} rows[] = {
		{ "\"status\":\"created\"", CI_QUEUED, "", 0 },
		{ "\"status\":\"waiting_for_resource\"", CI_QUEUED, "", 0 },
		{ "\"status\":\"preparing\"", CI_QUEUED, "", 0 },
		{ "\"status\":\"pending\"", CI_QUEUED, "", 0 },
		{ "\"status\":\"scheduled\"", CI_QUEUED, "", 0 },
		{ "\"status\":\"manual\",\"detailed_status\":\"blocked\"", CI_QUEUED, "", 0 },
		{ "\"status\":\"running\"", CI_RUNNING, "", 0 },
		{ "\"status\":\"canceling\"", CI_RUNNING, "", 0 },
		{ "\"status\":\"success\",\"detailed_status\":\"passed\"", CI_COMPLETED, "success",
		  0 },
		{ "\"status\":\"failed\"", CI_COMPLETED, "failure", 0 },
		{ "\"status\":\"canceled\"", CI_COMPLETED, "cancelled", 0 },
		{ "\"status\":\"skipped\"", CI_COMPLETED, "skipped", 0 },
		{ "\"detailed_status\":\"passed\"", CI_COMPLETED, "success", 0 },
		{ "\"detailed_status\":\"blocked\"", CI_QUEUED, "", 0 },
		{ "\"status\":\"meditating\"", CI_STATUS_UNKNOWN, "", 1 },
		{ "\"status\":5", CI_STATUS_UNKNOWN, "", 1 },
		{ "\"status\":null", CI_STATUS_UNKNOWN, "", 1 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char json[600];
		struct ci_event ev;
		struct err err;

		(void)snprintf(json, sizeof(json),
			       "{\"object_attributes\":{\"id\":1,%s}," PROJECT "}",
			       rows[i].attributes);
		assert_ok(parse("Pipeline Hook", json, &ev, &err), &err);
		assert_case(ev.status == rows[i].status, rows[i].attributes);
		assert_case(strcmp(ev.conclusion, rows[i].conclusion) == 0, rows[i].attributes);
		assert_case(provider_unknown_values(&ev) == rows[i].unknown, rows[i].attributes);
		assert_case(ev.generation == 1, "no builds yet");
		assert_case(strcmp(ev.url, "https://gl.example.com/shop/back/api/-/pipelines/1") ==
				    0,
			    "made from the project");
	}
}

/* A payload template of somebody's own may turn everything into text. */
static void tolerates_numbers_as_text(void **state)
{
	static const char json[] =
		"{\"object_attributes\":{\"id\":\"1001\",\"status\":\"failed\"},\"project\":{"
		"\"id\":\"42\","
		"\"path_with_namespace\":\"a/b\"},\"builds\":[{\"id\":\"7\"},{\"id\":\"9\"}],"
		"\"merge_request\":\"none\",\"user\":\"ada\"}";
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse("Pipeline Hook", json, &ev, &err), &err);
	assert_int_equal(ev.run_id, 1001);
	assert_int_equal(ev.repo_id, 42);
	assert_int_equal(ev.generation, 9);
	assert_int_equal(ev.merge_request, 0);
}

static void refuses_malformed_events(void **state)
{
	static const struct {
		const char *topic, *json, *says;
	} rows[] = {
		{ "Pipeline Hook", "{", "malformed" },
		{ "Pipeline Hook", "{\"text\":\"build failed\"}", "is missing" },
		{ "Pipeline Hook", "{\"object_attributes\":{\"id\":1}}", "project.id: is missing" },
		{ "Pipeline Hook", "{\"object_attributes\":{\"id\":\"x\"}," PROJECT "}",
		  "object_attributes.id: is not a usable integer" },
		{ "Pipeline Hook", "{\"object_attributes\":{\"id\":0}," PROJECT "}", "an id is" },
		{ "Pipeline Hook",
		  "{\"object_attributes\":{\"id\":1},\"project\":{\"id\":1,\"path_with_namespace\":"
		  "\"a/../b\"}}",
		  "no usable path" },
		{ "Pipeline Hook",
		  "{\"object_attributes\":{\"id\":1},\"project\":{\"id\":1,\"path_with_namespace\":"
		  "\"alone\"}}",
		  "no usable path" },
		{ "Pipeline Hook",
		  "{\"object_attributes\":{\"id\":1},\"project\":{\"id\":1,\"path_with_namespace\":"
		  "\"a//b\"}}",
		  "no usable path" },
		{ "Pipeline Hook",
		  "{\"object_attributes\":{\"id\":1},\"project\":{\"id\":1,\"path_with_namespace\":"
		  "\"a/b c\"}}",
		  "no usable path" },
		{ "Pipeline Hook",
		  "{\"object_kind\":\"build\",\"object_attributes\":{\"id\":1}," PROJECT "}",
		  "object_kind" },
		{ "Job Hook", "{\"build_id\":1,\"project_id\":2}", "an id is missing" },
		{ "Job Hook", "{\"project_id\":2,\"pipeline_id\":3}", "build_id: is missing" },
		{ "Push Hook", "{\"project_id\":42," PROJECT "}", "after: is missing" },
		{ "Merge Request Hook", "{\"object_attributes\":{\"id\":1}," PROJECT "}",
		  "iid: is missing" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ci_event ev;
		struct err err;

		assert_case(parse(rows[i].topic, rows[i].json, &ev, &err) == -1, rows[i].json);
		if (err.kind != ERR_INPUT || !strstr(err.msg, rows[i].says))
			fail_msg("row \"%s\": said \"%s\"", rows[i].json, err.msg);
		assert_case(!ev.run_id && !*ev.repo, "nothing is written");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_which_events_it_uses),
		cmocka_unit_test(reads_a_pipeline),
		cmocka_unit_test(reads_a_job),
		cmocka_unit_test(a_job_without_a_path_is_named_by_number),
		cmocka_unit_test(reads_a_push),
		cmocka_unit_test(reads_a_merge_request),
		cmocka_unit_test(maps_states),
		cmocka_unit_test(tolerates_numbers_as_text),
		cmocka_unit_test(refuses_malformed_events),
	};

	return cmocka_run_group_tests_name("provider_gitlab", tests, NULL, NULL);
}

#include <stdio.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/crypto.h"
#include "receiver/provider.h"
#include "tests/unit/unit.h"

static int parse(const char *json, struct ci_event *ev, struct err *err)
{
	*err = (struct err){ 0 };
	*ev = (struct ci_event){ 0 };
	return provider_generic.normalise("", json, strlen(json), ev, err);
}

#define CONTEXT(type)                                                                        \
	"\"context\":{\"version\":\"0.4.1\",\"id\":\"271069a8-fc18\",\"source\":\"/ci/team/" \
	"app\",\"type\":\"" type "\",\"timestamp\":\"2026-07-29T10:01:29.763Z\"}"
#define FINISHED "dev.cdevents.pipelinerun.finished.0.2.0"

static void reads_a_pipeline_run(void **state)
{
	static const char json[] =
		"{" CONTEXT(FINISHED) ",\"subject\":{\"id\":\"run-81\",\"source\":\"/ci/team/app\","
				      "\"type\":\"pipelineRun\",\"content\":{\"pipelineName\":"
				      "\"deploy\",\"outcome\":\"failure\","
				      "\"errors\":\"token hunter2 was "
				      "refused\",\"url\":\"https://ci.example.com/runs/81\"}},"
				      "\"customData\":{\"secret\":\"hunter2\"}}";
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse(json, &ev, &err), &err);
	assert_string_equal(ev.provider, "generic");
	assert_string_equal(ev.topic, "pipelinerun");
	assert_string_equal(ev.action, "finished");
	assert_int_equal(ev.kind, CI_RUN);
	assert_int_equal(ev.status, CI_COMPLETED);
	assert_string_equal(ev.conclusion, "failure");
	assert_string_equal(ev.failure_reason, "");
	assert_string_equal(ev.repo, "/ci/team/app");
	assert_true(ev.repo_id == sha256_id("/ci/team/app", 12));
	assert_true(ev.run_id == sha256_id("/ci/team/app\nrun-81", 19));
	assert_true(ev.pipeline_id == sha256_id("deploy", 6));
	assert_int_equal(ev.generation, 1);
	assert_string_equal(ev.pipeline, "deploy");
	assert_string_equal(ev.url, "https://ci.example.com/runs/81");
	assert_int_equal(ev.at_ms, 1785319289763);
	assert_true(strncmp(ev.delivery, "event-", 6) == 0);
	assert_null(memmem(&ev, sizeof(ev), "hunter2", 7));
}

/* The structured mode of CloudEvents puts the same thing into "data". */
static void reads_it_inside_a_cloudevent(void **state)
{
	static const char bare[] =
		"{" CONTEXT(FINISHED) ",\"subject\":{\"id\":\"run-81\",\"content\":"
				      "{\"outcome\":\"success\"}}}";
	static const char wrapped[] =
		"{\"specversion\":\"1.0\",\"id\":\"other\",\"source\":\"/"
		"other\",\"type\":\"" FINISHED
		"\",\"datacontenttype\":\"application/json\",\"data\":{" CONTEXT(
			FINISHED) ",\"subject\":{\"id\":\"run-81\",\"content\":{\"outcome\":"
				  "\"success\"}}}}";
	struct ci_event a, b;
	struct err err;

	UNUSED(state);
	assert_ok(parse(bare, &a, &err), &err);
	assert_ok(parse(wrapped, &b, &err), &err);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_string_equal(a.conclusion, "success");
}

static void reads_a_task_run(void **state)
{
	static const char json[] = "{" CONTEXT(
		"dev.cdevents.taskrun.started.0.2.0") ",\"subject\":{\"id\":\"task-3\","
						      "\"content\":{\"taskName\":\"unit "
						      "tests\",\"pipelineRun\":{\"id\":\"run-81\"}}"
						      "}}";
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse(json, &ev, &err), &err);
	assert_int_equal(ev.kind, CI_JOB);
	assert_int_equal(ev.status, CI_RUNNING);
	assert_string_equal(ev.job, "unit tests");
	assert_true(ev.run_id == sha256_id("/ci/team/app\nrun-81", 19)); /* the same as above */
	assert_true(ev.job_id == sha256_id("/ci/team/app\ntask-3", 19));
}

static void knows_what_it_can_use(void **state)
{
	static const struct {
		const char *type;
		int rc;
		enum ci_kind kind;
		enum ci_status status;
	} rows[] = {
		{ "dev.cdevents.pipelinerun.queued.0.1.1", 0, CI_RUN, CI_QUEUED },
		{ "dev.cdevents.pipelinerun.started.0.3.0", 0, CI_RUN, CI_RUNNING },
		{ "dev.cdevents.pipelinerun.finished.0.3.0-draft", 0, CI_RUN, CI_COMPLETED },
		{ "dev.cdevents.taskrun.started.0.1.1", 0, CI_JOB, CI_RUNNING },
		{ "dev.cdevents.taskrun.finished.1.0.0", 0, CI_JOB, CI_COMPLETED },
		{ "dev.cdevents.pipelinerun.paused.0.1.0", NORMALISE_IGNORED, CI_OTHER, 0 },
		{ "dev.cdevents.change.merged.0.1.2", NORMALISE_IGNORED, CI_OTHER, 0 },
		{ "com.example.something", NORMALISE_IGNORED, CI_OTHER, 0 },
		{ "", -1, CI_OTHER, 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char json[400];
		struct ci_event ev;
		struct err err;
		int rc;

		(void)snprintf(json, sizeof(json),
			       "{\"context\":{\"type\":\"%s\",\"id\":\"1\",\"source\":\"/"
			       "s\"},\"subject\":{"
			       "\"id\":\"x\"}}",
			       rows[i].type);
		rc = parse(json, &ev, &err);
		assert_case(rc == rows[i].rc, rows[i].type);
		assert_case(rc || (ev.kind == rows[i].kind && ev.status == rows[i].status),
			    rows[i].type);
		assert_case(rc != NORMALISE_IGNORED || strcmp(err.msg, "event not used") == 0,
			    rows[i].type);
	}
}

static void knows_the_outcomes(void **state)
{
	static const struct {
		const char *outcome, *conclusion, *reason;
		unsigned unknown;
	} rows[] = {
		{ "success", "success", "", 0 },    { "failure", "failure", "", 0 },
		{ "error", "failure", "error", 0 }, { "cancel", "cancelled", "", 0 },
		{ "exploded", "exploded", "", 1 },  { "", "", "", 1 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char json[400];
		struct ci_event ev;
		struct err err;

		(void)snprintf(json, sizeof(json),
			       "{" CONTEXT(FINISHED) ",\"subject\":{\"id\":\"x\",\"content\":{"
						     "\"outcome\":\"%s\"}}}",
			       rows[i].outcome);
		assert_ok(parse(json, &ev, &err), &err);
		assert_case(strcmp(ev.conclusion, rows[i].conclusion) == 0, rows[i].outcome);
		assert_case(strcmp(ev.failure_reason, rows[i].reason) == 0, rows[i].outcome);
		assert_case(provider_unknown_values(&ev) == rows[i].unknown, rows[i].outcome);
	}
}

/* An id is unique within its source only, for deliveries as for runs. */
static void ids_belong_to_their_source(void **state)
{
	static const char format[] =
		"{\"context\":{\"type\":\"" FINISHED "\",\"id\":\"1\",\"source\":\"%s\"},"
		"\"subject\":{\"id\":\"%s\"}}";
	struct ci_event a, b;
	struct err err;
	char json[300];

	UNUSED(state);
	(void)snprintf(json, sizeof(json), format, "/one", "r");
	assert_ok(parse(json, &a, &err), &err);
	(void)snprintf(json, sizeof(json), format, "/two", "r");
	assert_ok(parse(json, &b, &err), &err);
	assert_true(a.repo_id != b.repo_id && a.run_id != b.run_id);
	assert_string_not_equal(a.delivery, b.delivery);
}

static void refuses_malformed_events(void **state)
{
	static const struct {
		const char *json, *says;
	} rows[] = {
		{ "[]", "context.type is missing" },
		{ "{\"hello\":1}", "context.type is missing" },
		{ "{" CONTEXT(FINISHED) "}", "subject.id is missing" },
		{ "{\"context\":{\"type\":\"" FINISHED "\"},\"subject\":{\"id\":\"x\"}}",
		  "context.source is missing" },
		{ "{" CONTEXT(FINISHED) ",", "malformed" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ci_event ev;
		struct err err;

		assert_case(parse(rows[i].json, &ev, &err) == -1, rows[i].json);
		if (err.kind != ERR_INPUT || !strstr(err.msg, rows[i].says))
			fail_msg("row \"%s\": said \"%s\"", rows[i].json, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_pipeline_run),
		cmocka_unit_test(reads_it_inside_a_cloudevent),
		cmocka_unit_test(reads_a_task_run),
		cmocka_unit_test(knows_what_it_can_use),
		cmocka_unit_test(knows_the_outcomes),
		cmocka_unit_test(ids_belong_to_their_source),
		cmocka_unit_test(refuses_malformed_events),
	};

	return cmocka_run_group_tests_name("provider_generic", tests, NULL, NULL);
}

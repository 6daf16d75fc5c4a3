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
	return provider_jenkins.normalise("", json, strlen(json), ev, err);
}

static void reads_a_finished_build(void **state)
{
	static const char json[] =
		"{\"name\":\"api\",\"display_name\":\"Api\",\"url\":\"job/shop/job/back%20end/job/"
		"api/\","
		"\"build\":{\"full_url\":\"https://ci.example.com/jenkins/job/shop/job/back%20end/"
		"job/api/18/\","
		"\"number\":18,\"queue_id\":77,\"timestamp\":1785319289123,\"duration\":61000,"
		"\"phase\":\"FINALIZED\",\"status\":\"FAILURE\","
		"\"url\":\"job/shop/job/back%20end/job/api/18/"
		"\",\"scm\":{\"url\":\"git@example.com:x.git\","
		"\"branch\":\"origin/"
		"main\",\"commit\":\"acb5820ced9479c074f688cc328bf03f341a511d\","
		"\"changes\":[],\"culprits\":[\"ada\"]},\"parameters\":{\"PASSWORD\":\"hunter2\"},"
		"\"log\":\"line with hunter2\\nexit 1\\n\",\"notes\":\"hunter2\","
		"\"test_summary\":{\"total\":3,\"failed\":1,\"failed_tests\":[{\"name\":\"t\"}]},"
		"\"artifacts\":{}}}";
	struct ci_event ev;
	struct err err;

	UNUSED(state);
	assert_ok(parse(json, &ev, &err), &err);
	assert_string_equal(ev.provider, "jenkins");
	assert_string_equal(ev.topic, "build");
	assert_string_equal(ev.action, "finalized");
	assert_int_equal(ev.kind, CI_RUN);
	assert_int_equal(ev.status, CI_COMPLETED);
	assert_string_equal(ev.conclusion, "failure");
	assert_string_equal(ev.failure_reason, "");
	assert_string_equal(ev.repo, "shop/back end/api");
	assert_true(ev.repo_id == sha256_id("shop/back end/api", 17));
	assert_int_equal(ev.run_id, 1);
	assert_int_equal(ev.generation, 18);
	assert_string_equal(ev.pipeline, "Api");
	assert_string_equal(ev.branch, "main");
	assert_string_equal(ev.sha, "acb5820ced9479c074f688cc328bf03f341a511d");
	assert_string_equal(ev.url,
			    "https://ci.example.com/jenkins/job/shop/job/back%20end/job/api/18/");
	assert_int_equal(ev.at_ms, 1785319289123);
	/* Log, parameters and notes are looked at by nobody. */
	assert_null(memmem(&ev, sizeof(ev), "hunter2", 7));
}

static void knows_the_phases(void **state)
{
	static const struct {
		const char *build;
		enum ci_status status;
		const char *conclusion, *reason;
		unsigned unknown;
	} rows[] = {
		{ "\"phase\":\"QUEUED\"", CI_QUEUED, "", "", 0 },
		{ "\"phase\":\"STARTED\"", CI_RUNNING, "", "", 0 },
		/* The log is still open, and what it says may change. */
		{ "\"phase\":\"COMPLETED\",\"status\":\"FAILURE\"", CI_RUNNING, "", "", 0 },
		{ "\"phase\":\"FINALIZED\",\"status\":\"SUCCESS\"", CI_COMPLETED, "success", "",
		  0 },
		{ "\"phase\":\"FINALIZED\",\"status\":\"FAILURE\"", CI_COMPLETED, "failure", "",
		  0 },
		{ "\"phase\":\"FINALIZED\",\"status\":\"UNSTABLE\"", CI_COMPLETED, "failure",
		  "unstable", 0 },
		{ "\"phase\":\"FINALIZED\",\"status\":\"ABORTED\"", CI_COMPLETED, "cancelled", "",
		  0 },
		{ "\"phase\":\"FINALIZED\",\"status\":\"NOT_BUILT\"", CI_COMPLETED, "skipped", "",
		  0 },
		{ "\"phase\":\"manual\",\"status\":\"SUCCESS\"", CI_RUNNING, "", "", 0 },
		{ "\"phase\":\"FINALIZED\"", CI_COMPLETED, "", "", 1 },
		{ "\"phase\":\"FINALIZED\",\"status\":\"MELTED\"", CI_COMPLETED, "MELTED", "", 1 },
		{ "\"phase\":\"DREAMING\"", CI_STATUS_UNKNOWN, "", "", 1 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char json[300];
		struct ci_event ev;
		struct err err;

		(void)snprintf(json, sizeof(json),
			       "{\"name\":\"a\",\"url\":\"job/a/\",\"build\":{\"number\":1,%s}}",
			       rows[i].build);
		assert_ok(parse(json, &ev, &err), &err);
		assert_case(ev.status == rows[i].status, rows[i].build);
		assert_case(strcmp(ev.conclusion, rows[i].conclusion) == 0, rows[i].build);
		assert_case(strcmp(ev.failure_reason, rows[i].reason) == 0, rows[i].build);
		assert_case(provider_unknown_values(&ev) == rows[i].unknown, rows[i].build);
	}
}

static void names_a_job_by_its_path(void **state)
{
	static const struct {
		const char *why, *where, *repo; /* NULL: refused */
	} rows[] = {
		{ "the job's own url", "\"url\":\"job/a/job/b/\",\"build\":{", "a/b" },
		{ "without a slash at the end", "\"url\":\"job/a/job/b\",\"build\":{", "a/b" },
		{ "a job at the top", "\"url\":\"job/a/\",\"build\":{", "a" },
		{ "the name is only the leaf",
		  "\"name\":\"b\",\"url\":\"job/a/job/b/\",\"build\":{", "a/b" },
		{ "no url but full_url", "\"build\":{\"full_url\":\"https://ci/x/job/a/job/b/7/\",",
		  "a/b" },
		{ "no full_url: the server does not know its address",
		  "\"build\":{\"url\":\"job/a/job/b/7/\",", "a/b" },
		{ "an absolute url", "\"url\":\"https://ci.example.com/job/a/\",\"build\":{", "a" },
		{ "a host that looks like a path", "\"url\":\"https://job/job/a/\",\"build\":{",
		  "a" },
		{ "a leading slash", "\"url\":\"/job/a/\",\"build\":{", "a" },
		{ "through a view", "\"url\":\"view/all/job/a/\",\"build\":{", "a" },
		{ "a job called job", "\"url\":\"job/job/job/job/\",\"build\":{", "job/job" },
		{ "a branch with a slash in its name",
		  "\"url\":\"job/a/job/feature%252Fx/\",\"build\":{", "a/feature%2Fx" },
		{ "not ASCII", "\"url\":\"job/caf%C3%A9/\",\"build\":{", "caf\xc3\xa9" },
		{ "no url that names a job, but another that does",
		  "\"url\":\"queue/item/7/\",\"build\":{\"url\":\"job/a/7/\",", "a" },
		{ "none at all", "\"name\":\"a\",\"build\":{", NULL },
		{ "no job in it", "\"url\":\"view/all/\",\"build\":{", NULL },
		{ "an empty name", "\"url\":\"job//\",\"build\":{", NULL },
		{ "upwards", "\"url\":\"job/a/job/../\",\"build\":{", NULL },
		{ "upwards, encoded", "\"url\":\"job/%2e%2e/\",\"build\":{", NULL },
		{ "a bad escape", "\"url\":\"job/a%zz/\",\"build\":{", NULL },
		{ "a control character", "\"url\":\"job/a%0Ab/\",\"build\":{", NULL },
		{ "not UTF-8", "\"url\":\"job/a%FF/\",\"build\":{", NULL },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char json[400];
		struct ci_event ev;
		struct err err;
		int rc;

		(void)snprintf(json, sizeof(json), "{%s\"number\":7,\"phase\":\"STARTED\"}}",
			       rows[i].where);
		rc = parse(json, &ev, &err);
		assert_case((rc == 0) == (rows[i].repo != NULL), rows[i].why);
		if (rc == 0)
			assert_case(strcmp(ev.repo, rows[i].repo) == 0, rows[i].why);
		else
			assert_case(err.kind == ERR_INPUT, rows[i].why);
	}
}

static void full_url_and_url_are_the_same_job(void **state)
{
	struct ci_event a, b;
	struct err err;

	UNUSED(state);
	assert_ok(parse("{\"url\":\"job/a/job/b/\",\"build\":{\"number\":7,\"phase\":\"STARTED\"}}",
			&a, &err),
		  &err);
	assert_ok(parse("{\"build\":{\"full_url\":\"https://ci/job/a/job/b/7/\",\"number\":7,"
			"\"phase\":\"STARTED\"}}",
			&b, &err),
		  &err);
	assert_true(a.repo_id == b.repo_id && a.repo_id && a.repo_id <= INT64_MAX);
	assert_string_equal(a.delivery, b.delivery);
}

/* The plugin repeats notifications, and has no id for them. */
static void copies_have_the_same_delivery(void **state)
{
	static const char first[] =
		"{\"url\":\"job/a/\",\"build\":{\"number\":7,\"phase\":\"FINALIZED\","
		"\"status\":\"FAILURE\",\"timestamp\":1785319289123}}";
	static const struct {
		const char *why, *json;
		bool same;
	} rows[] = {
		{ "sent again", first, true },
		{ "with another log",
		  "{\"url\":\"job/a/"
		  "\",\"build\":{\"number\":7,\"phase\":\"FINALIZED\",\"status\":\"FAILURE\","
		  "\"timestamp\":1785319289123,\"log\":\"x\"}}",
		  true },
		{ "another build",
		  "{\"url\":\"job/a/"
		  "\",\"build\":{\"number\":8,\"phase\":\"FINALIZED\",\"status\":\"FAILURE\","
		  "\"timestamp\":1785319289123}}",
		  false },
		{ "another job",
		  "{\"url\":\"job/b/"
		  "\",\"build\":{\"number\":7,\"phase\":\"FINALIZED\",\"status\":\"FAILURE\","
		  "\"timestamp\":1785319289123}}",
		  false },
		{ "another phase",
		  "{\"url\":\"job/a/"
		  "\",\"build\":{\"number\":7,\"phase\":\"COMPLETED\",\"status\":\"FAILURE\","
		  "\"timestamp\":1785319289123}}",
		  false },
		{ "another status",
		  "{\"url\":\"job/a/"
		  "\",\"build\":{\"number\":7,\"phase\":\"FINALIZED\",\"status\":\"SUCCESS\","
		  "\"timestamp\":1785319289123}}",
		  false },
		{ "another time",
		  "{\"url\":\"job/a/"
		  "\",\"build\":{\"number\":7,\"phase\":\"FINALIZED\",\"status\":\"FAILURE\","
		  "\"timestamp\":1785319289124}}",
		  false },
	};
	struct ci_event a, b;
	struct err err;

	UNUSED(state);
	assert_ok(parse(first, &a, &err), &err);
	assert_true(strlen(a.delivery) > 20);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_ok(parse(rows[i].json, &b, &err), &err);
		assert_case((strcmp(a.delivery, b.delivery) == 0) == rows[i].same, rows[i].why);
	}
}

static void a_long_path_is_cut_but_its_identity_is_not(void **state)
{
	char json[700], folder[201];
	struct ci_event a, b;
	struct err err;

	UNUSED(state);
	memset(folder, 'f', 200);
	folder[200] = '\0';
	(void)snprintf(json, sizeof(json),
		       "{\"url\":\"job/%s/job/a/\",\"build\":{\"number\":7,\"phase\":\"STARTED\"}}",
		       folder);
	assert_ok(parse(json, &a, &err), &err);
	(void)snprintf(json, sizeof(json),
		       "{\"url\":\"job/%s/job/b/\",\"build\":{\"number\":7,\"phase\":\"STARTED\"}}",
		       folder);
	assert_ok(parse(json, &b, &err), &err);
	assert_string_equal(a.repo, b.repo);
	assert_int_equal(strlen(a.repo), sizeof(a.repo) - 1);
	assert_true(a.repo_id != b.repo_id);
}

static void refuses_malformed_events(void **state)
{
	static const struct {
		const char *json, *says;
	} rows[] = {
		{ "", "malformed" },
		{ "<?xml version=\"1.0\"?><job><name>a</name></job>", "malformed" },
		{ "{\"url\":\"job/a/\"}", "is missing" },
		{ "{\"url\":\"job/a/\",\"build\":{\"number\":1}}", "build.phase: is missing" },
		{ "{\"url\":\"job/a/\",\"build\":{\"phase\":\"STARTED\"}}",
		  "build.number: is missing" },
		{ "{\"url\":\"job/a/\",\"build\":{\"phase\":\"STARTED\",\"number\":0}}",
		  "number is 0" },
		{ "{\"url\":\"job/a/\",\"build\":{\"phase\":\"STARTED\",\"number\":-1}}",
		  "not a usable integer" },
		{ "{\"url\":\"job/a/\",\"build\":{\"phase\":7,\"number\":1}}", "wrong type" },
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
		cmocka_unit_test(reads_a_finished_build),
		cmocka_unit_test(knows_the_phases),
		cmocka_unit_test(names_a_job_by_its_path),
		cmocka_unit_test(full_url_and_url_are_the_same_job),
		cmocka_unit_test(copies_have_the_same_delivery),
		cmocka_unit_test(a_long_path_is_cut_but_its_identity_is_not),
		cmocka_unit_test(refuses_malformed_events),
	};

	return cmocka_run_group_tests_name("provider_jenkins", tests, NULL, NULL);
}

/* The simulated world by itself: logs, life of a run, payloads, archives, options. */
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <string.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/run_archive.h"
#include "tests/simulator/github_json.h"
#include "tests/simulator/job_log.h"
#include "tests/simulator/options.h"
#include "tests/simulator/run_zip.h"
#include "tests/simulator/world.h"

enum { TOLD_MAX = 4096, DEADLINE_MS = 20000, LOG_LINES = 30 };

/* What the world told, as words: "run requested", "job lint queued", "ghost build completed". */
struct fixture {
	struct event_base *base;
	struct world *world;
	char told[TOLD_MAX][64];
	size_t n_told, forgotten;
};

static void on_run(const struct run *r, const char *action, void *arg)
{
	struct fixture *f = arg;

	UNUSED(r);
	assert_true(f->n_told < TOLD_MAX);
	(void)snprintf(f->told[f->n_told++], 64, "run %s", action);
}

static void on_job(const struct run *r, const struct job *j, const char *action, bool ghost,
		   void *arg)
{
	struct fixture *f = arg;

	UNUSED(r);
	assert_true(f->n_told < TOLD_MAX);
	(void)snprintf(f->told[f->n_told++], 64, "%s %.30s %s", ghost ? "ghost" : "job", j->name,
		       action);
}

static void on_forgotten(const struct run *r, void *arg)
{
	UNUSED(r);
	((struct fixture *)arg)->forgotten++;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	const struct world_options opt = {
		.seed = 7, .job_ms = 1, .heal_rate = 1, .flaky_rate = 0, .runs_max = 4
	};
	const struct world_watch watch = { on_run, on_job, on_forgotten, NULL, f };

	f->base = event_base_new();
	f->world = world_new(f->base, &opt, &watch);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	world_free(f->world);
	event_base_free(f->base);
	free(f);
	return 0;
}

static struct run *create(struct fixture *f, const struct run_wish *wish)
{
	struct run *r = NULL;
	struct err err = { 0 };

	assert_ok(world_create(f->world, wish, &r, &err), &err);
	return r;
}

/* Until the last attempt is over. */
static void settle(struct fixture *f, const struct run *r)
{
	int64_t until = clock_mono_ms() + DEADLINE_MS;

	while (run_last(r)->state != STATE_COMPLETED) {
		assert_true(clock_mono_ms() < until);
		assert_true(event_base_loop(f->base, EVLOOP_ONCE) >= 0);
	}
}

static struct run *settled(struct fixture *f, const struct run_wish *wish)
{
	struct run *r = create(f, wish);

	settle(f, r);
	return r;
}

static struct job *failed_job(const struct run *r, unsigned attempt)
{
	struct attempt *a = run_attempt(r, attempt);

	for (unsigned i = 0; i < a->n_jobs; i++)
		if (a->jobs[i].cause)
			return &a->jobs[i];
	fail_msg("no job of attempt %u failed", attempt);
	return NULL;
}

/* --- logs ----------------------------------------------------------------- */

static void one_job_has_one_log(void **state)
{
	struct fixture *f = *state;
	const struct run *r = settled(f, &(struct run_wish){ .cause = "network_dns" });
	struct buf a, b;

	buf_init(&a, JOB_LOG_MAX);
	buf_init(&b, JOB_LOG_MAX);
	job_log_write(&a, r, failed_job(r, 1), LOG_LINES);
	job_log_write(&b, r, failed_job(r, 1), LOG_LINES);
	assert_string_equal(buf_text(&a), buf_text(&b));
	buf_reset(&b);
	job_log_write(&b, r, failed_job(r, 1), LOG_LINES + 10);
	assert_true(b.len > a.len);
	buf_done(&a);
	buf_done(&b);
}

/* What a story says of the run itself stays; addresses, numbers and times do not. */
static void another_attempt_fails_alike_with_other_numbers(void **state)
{
	struct fixture *f = *state;
	struct run *r =
		settled(f, &(struct run_wish){ .cause = "test_assertion", .rule = RERUN_SAME });
	struct buf a, b;
	const char *line;

	assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_ACCEPTED);
	settle(f, r);
	r->story = 0;
	failed_job(r, 1)->story = failed_job(r, 2)->story = 0;
	buf_init(&a, JOB_LOG_MAX);
	buf_init(&b, JOB_LOG_MAX);
	job_log_write(&a, r, failed_job(r, 1), LOG_LINES);
	job_log_write(&b, r, failed_job(r, 2), LOG_LINES);
	assert_string_not_equal(buf_text(&a), buf_text(&b));
	line = strstr(buf_text(&a), "FAILED tests/");
	assert_non_null(line);
	assert_memory_equal(line, strstr(buf_text(&b), "FAILED tests/"), strcspn(line, "\n"));
	/* How long it took is another matter. */
	line = strstr(buf_text(&a), "1 failed, ");
	assert_non_null(line);
	assert_memory_not_equal(line, strstr(buf_text(&b), "1 failed, "), strcspn(line, "\n"));
	buf_done(&a);
	buf_done(&b);
}

/* "{name}" that no list knows would end up in a log as it is. */
static bool has_placeholder(const char *s)
{
	while ((s = strchr(s, '{'))) {
		size_t n = strcspn(s, "}\n"), letters = 0;

		for (size_t i = 1; i < n; i++)
			letters += s[i] == '~' || (s[i] >= 'a' && s[i] <= 'z');
		if (s[n] == '}' && n > 2 && letters == n - 1)
			return true;
		s++;
	}
	return false;
}

static void every_story_is_filled_in(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < n_causes; i++) {
		struct run *r;
		struct job *j;

		assert_case(cause_find(causes[i].id) == &causes[i], causes[i].id);
		assert_case(cause_stories(&causes[i]) > 0, causes[i].id);
		if (causes[i].place == IN_NO_JOB)
			continue;
		r = settled(f, &(struct run_wish){ .cause = causes[i].id });
		j = failed_job(r, 1);
		for (j->story = 0; j->story < cause_stories(&causes[i]); j->story++) {
			struct step steps[JOB_STEPS_MAX];
			char names[256];
			struct buf b;

			buf_init(&b, JOB_LOG_MAX);
			job_log_write(&b, r, j, LOG_LINES);
			assert_case(!b.overflow && b.len > 2000, causes[i].id);
			assert_case(!has_placeholder(buf_text(&b)), causes[i].id);
			assert_case(job_steps(r, j, steps, names) >= 4, causes[i].id);
			assert_case(!has_placeholder(names), causes[i].id);
			buf_done(&b);
		}
	}
	assert_null(cause_find("bad luck"));
}

/* --- life of a run -------------------------------------------------------- */

static void assert_told(const struct fixture *f, size_t from, const char *const *want, size_t n)
{
	assert_int_equal(f->n_told - from, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(f->told[from + i], want[i]);
}

static void a_failing_run_goes_through_its_states(void **state)
{
	static const char *const want[] = {
		"run requested",
		"job lint queued",
		"job build queued",
		"run in_progress",
		"job lint in_progress",
		"job build in_progress",
		"job lint completed",
		"job build completed",
		"job test (ubuntu-22.04) completed",
		"job test (macos-14) completed",
		"job report completed",
		"run completed",
	};
	struct fixture *f = *state;
	const struct run *r =
		settled(f, &(struct run_wish){ .cause = "build_compile", .repo = "acme/app" });
	const struct attempt *a = run_last(r);

	assert_told(f, 0, want, ARRAY_LEN(want));
	assert_string_equal(a->conclusion, "failure");
	assert_string_equal(a->jobs[0].conclusion, "success");
	assert_string_equal(a->jobs[1].conclusion, "failure");
	assert_string_equal(a->jobs[2].conclusion, "skipped");
	assert_true(r->first_failure_ms > 0);
	assert_int_equal(r->first_rerun_ms, 0);
}

static void a_rerun_takes_only_what_failed(void **state)
{
	static const char *const want[] = {
		"job build queued",
		"ghost lint completed",
		"run in_progress",
		"job build in_progress",
		"job build completed",
		"job test (ubuntu-22.04) queued",
		"job test (macos-14) queued",
		"job test (ubuntu-22.04) in_progress",
		"job test (macos-14) in_progress",
		"job test (ubuntu-22.04) completed",
		"job test (macos-14) completed",
		"job report queued",
		"job report in_progress",
		"job report completed",
		"run completed",
	};
	struct fixture *f = *state;
	struct run *r = settled(
		f,
		&(struct run_wish){ .cause = "network_dns", .failing_job = "build", .job_ms = 20 });
	int64_t created = r->created_ms, started = run_last(r)->started_ms;
	size_t from = f->n_told;

	assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_ACCEPTED);
	assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_RUNNING);
	settle(f, r);
	assert_told(f, from, want, ARRAY_LEN(want));
	assert_string_equal(run_last(r)->conclusion, "success");
	assert_true(run_last(r)->jobs[0].carried);
	assert_int_equal(r->n_attempts, 2);
	assert_int_equal(r->rerun_accepted, 1);
	assert_int_equal(r->rerun_refused, 1);
	assert_true(r->created_ms == created && run_last(r)->started_ms > started);
	assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_NOTHING);
	assert_int_equal(run_rerun(r, false, ACTOR_PERSON), RERUN_ACCEPTED);
	assert_int_equal(r->rerun_accepted, 1);
	assert_int_equal(r->rerun_by_person, 1);
}

static void rules_decide_how_a_rerun_ends(void **state)
{
	static const struct {
		const char *cause;
		enum rerun_rule rule;
		const char *conclusion, *next_cause;
	} rows[] = {
		{ "network_dns", RERUN_BY_CAUSE, "success", NULL },
		{ "test_assertion", RERUN_BY_CAUSE, "failure", "test_assertion" },
		{ "network_dns", RERUN_SAME, "failure", "network_dns" },
		{ "test_assertion", RERUN_PASS, "success", NULL },
		{ "network_dns", RERUN_DIFFERENT, "failure", "oom" },
		{ "test_flaky", RERUN_BY_CAUSE, "failure", "test_flaky" }, /* flaky_rate is 0 */
		{ "timeout_job", RERUN_SAME, "timed_out", "timeout_job" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct run *r = settled(f, &(struct run_wish){ .cause = rows[i].cause,
							       .rule = rows[i].rule,
							       .different = "oom" });

		assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_ACCEPTED);
		settle(f, r);
		assert_case(strcmp(run_last(r)->conclusion, rows[i].conclusion) == 0,
			    rows[i].cause);
		if (rows[i].next_cause)
			assert_case(strcmp(failed_job(r, 2)->cause->id, rows[i].next_cause) == 0,
				    rows[i].cause);
	}
}

static void refuses_what_github_refuses(void **state)
{
	struct fixture *f = *state;
	struct run *r = settled(f, &(struct run_wish){ .cause = "network_dns",
						       .age_ms = INT64_C(31) * 86400 * 1000 });

	assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_TOO_OLD);
	r = settled(f, &(struct run_wish){ .cause = "network_dns",
					   .age_ms = INT64_C(29) * 86400 * 1000,
					   .rule = RERUN_SAME });
	for (unsigned i = 0; i < RUN_ATTEMPTS_MAX - 1; i++) {
		assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_ACCEPTED);
		settle(f, r);
	}
	assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_TOO_OFTEN);
	assert_int_equal(r->rerun_accepted, 50);
	r = settled(f, &(struct run_wish){ .cause = "startup_failure" });
	assert_string_equal(run_last(r)->conclusion, "startup_failure");
	assert_int_equal(run_last(r)->n_jobs, 0);
	assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_NOTHING);
}

static void an_outage_fails_everything_while_it_lasts(void **state)
{
	struct fixture *f = *state;
	struct run *r;

	world_outage(f->world, cause_find("network_503"), 3600 * 1000);
	r = settled(f, &(struct run_wish){ .rule = RERUN_PASS });
	assert_string_equal(r->cause->id, "network_503");
	assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_ACCEPTED);
	settle(f, r);
	assert_string_equal(run_last(r)->conclusion, "failure");
	world_outage(f->world, NULL, 0);
	assert_int_equal(run_rerun(r, true, ACTOR_API), RERUN_ACCEPTED);
	settle(f, r);
	assert_string_equal(run_last(r)->conclusion, "success");
}

static void the_oldest_run_is_forgotten(void **state)
{
	struct fixture *f = *state;
	uint64_t first = settled(f, &(struct run_wish){ .passes = true })->id;
	struct run *r = NULL;
	struct err err;

	for (unsigned i = 0; i < 3; i++)
		(void)settled(f, &(struct run_wish){ .passes = true });
	assert_non_null(world_find(f->world, first));
	r = create(f, &(struct run_wish){ .passes = true, .job_ms = 60000 });
	assert_null(world_find(f->world, first));
	assert_int_equal(f->forgotten, 1);
	assert_ptr_equal(world_find(f->world, r->id), r);
	for (unsigned i = 0; i < 3; i++)
		(void)settled(f, &(struct run_wish){ .passes = true });
	/* Only runs that are over make room. */
	assert_int_equal(world_create(f->world, &(struct run_wish){ .passes = true }, &r, &err),
			 -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
}

/* --- what is told --------------------------------------------------------- */

static struct json_object *parsed(struct buf *b)
{
	struct json_object *o = NULL;
	struct err err = { 0 };

	assert_false(b->overflow);
	assert_ok(json_parse(buf_text(b), b->len, &o, &err), &err);
	buf_done(b);
	return o;
}

static void assert_members(struct json_object *o, const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_case(json_at(o, paths[i]) != NULL, paths[i]);
}

static void payloads_have_what_receivers_read(void **state)
{
	static const char *const run[] = {
		"action",
		"workflow_run.id",
		"workflow_run.name",
		"workflow_run.run_attempt",
		"workflow_run.workflow_id",
		"workflow_run.status",
		"workflow_run.conclusion",
		"workflow_run.head_branch",
		"workflow_run.head_sha",
		"workflow_run.event",
		"workflow_run.actor.login",
		"workflow_run.triggering_actor.login",
		"workflow_run.head_repository.full_name",
		"workflow_run.html_url",
		"workflow_run.created_at",
		"workflow_run.updated_at",
		"workflow_run.run_started_at",
		"workflow_run.pull_requests",
		"workflow_run.jobs_url",
		"workflow_run.head_commit.message",
		"workflow.name",
		"repository.id",
		"repository.full_name",
		"repository.default_branch",
		"organization.login",
		"sender.login",
		"installation.id",
	};
	static const char *const job[] = {
		"workflow_job.id",
		"workflow_job.run_id",
		"workflow_job.run_attempt",
		"workflow_job.name",
		"workflow_job.workflow_name",
		"workflow_job.conclusion",
		"workflow_job.head_branch",
		"workflow_job.head_sha",
		"workflow_job.html_url",
		"workflow_job.status",
		"workflow_job.created_at",
		"workflow_job.started_at",
		"workflow_job.completed_at",
		"workflow_job.steps.0.name",
		"workflow_job.runner_name",
		"workflow_job.labels.0",
		"repository.id",
	};
	static const char *const check_run[] = {
		"check_run.id",
		"check_run.check_suite.id",
		"check_run.check_suite.head_branch",
		"check_run.name",
		"check_run.app.name",
		"check_run.conclusion",
		"check_run.head_sha",
		"check_run.html_url",
		"check_run.status",
		"check_run.started_at",
		"check_run.completed_at",
		"repository.full_name",
	};
	static const char *const check_suite[] = {
		"check_suite.id",          "check_suite.app.name",   "check_suite.conclusion",
		"check_suite.head_branch", "check_suite.head_sha",   "check_suite.status",
		"check_suite.created_at",  "check_suite.updated_at", "repository.full_name",
	};
	const struct github g = { "http://127.0.0.1:1", "http://127.0.0.1:1", 77 };
	struct fixture *f = *state;
	const struct run *r = settled(f, &(struct run_wish){ .cause = "build_compile" });
	const struct job *j = failed_job(r, 1);

	for (unsigned i = 0; i < 4; i++) {
		OWNED(json_putp) struct json_object *o = NULL;
		struct buf b;

		buf_init(&b, PAYLOAD_MAX);
		if (i == 0)
			payload_workflow_run(&b, &g, r, "completed");
		else if (i == 1)
			payload_workflow_job(&b, &g, r, j, "completed");
		else if (i == 2)
			payload_check_run(&b, &g, r, j, "completed");
		else
			payload_check_suite(&b, &g, r, "completed");
		assert_in_range(b.len, 7000, 24000);
		o = parsed(&b);
		if (i == 0)
			assert_members(o, run, ARRAY_LEN(run));
		else if (i == 1)
			assert_members(o, job, ARRAY_LEN(job));
		else if (i == 2)
			assert_members(o, check_run, ARRAY_LEN(check_run));
		else
			assert_members(o, check_suite, ARRAY_LEN(check_suite));
	}
}

static void hostile_names_stay_inside_their_strings(void **state)
{
	const struct github g = { "http://127.0.0.1:1", "http://127.0.0.1:1", 0 };
	static const char name[] = "\"},{\\\n\x01 build";
	struct fixture *f = *state;
	const struct run *r = settled(
		f, &(struct run_wish){ .cause = "oom", .failing_job = name, .branch = name });
	OWNED(json_putp) struct json_object *o = NULL;
	struct buf b;

	buf_init(&b, PAYLOAD_MAX);
	payload_workflow_job(&b, &g, r, failed_job(r, 1), "completed");
	o = parsed(&b);
	assert_string_equal(json_str(o, "workflow_job.name", ""), name);
	assert_string_equal(json_str(o, "workflow_job.head_branch", ""), name);
	assert_null(json_at(o, "installation"));
}

static int unpack(const struct buf *zip, const char *job, struct tail_buf *out, struct err *err)
{
	OWNED(run_archive_freep)
	struct run_archive *r = run_archive_new(buf_text(zip), zip->len, job, out);
	int rc;

	while ((rc = run_archive_step(r, err)) > 0)
		continue;
	return rc;
}

static void the_archive_holds_the_log_of_each_job(void **state)
{
	struct fixture *f = *state;
	const struct run *r = settled(
		f, &(struct run_wish){ .cause = "test_crash", .failing_job = "test (macos-14)" });
	const struct job *j = failed_job(r, 1);
	struct tail_buf out;
	struct buf zip, log;
	struct err err = { 0 };

	buf_init(&zip, RUN_ZIP_MAX);
	buf_init(&log, JOB_LOG_MAX);
	run_zip_write(&zip, r, 1, LOG_LINES);
	job_log_write(&log, r, j, LOG_LINES);
	tail_buf_init(&out, 1 << 20, true);
	assert_ok(unpack(&zip, j->name, &out, &err), &err);
	assert_string_equal(tail_buf_text(&out), buf_text(&log));
	tail_buf_done(&out);
	/* Skipped jobs left no log. */
	tail_buf_init(&out, 1 << 20, true);
	assert_int_equal(unpack(&zip, "report", &out, &err), -1);
	tail_buf_done(&out);
	/* The steps of a job have files too, all of them in order. */
	assert_non_null(memmem(zip.data, zip.len, "test (macos-14)/1_Set up job.txt", 32));
	assert_non_null(memmem(zip.data, zip.len, "test (macos-14)/3_Run .scriptsprepare.sh.txt",
			       sizeof("test (macos-14)/3_Run .scriptsprepare.sh.txt") - 1));
	assert_non_null(memmem(zip.data, zip.len, "test (macos-14)/4_Run ctest", 27));
	buf_done(&zip);
	buf_done(&log);
}

/* --- options -------------------------------------------------------------- */

static void options_are_checked(void **state)
{
	static const struct {
		char arg[24];
		const char *value, *why; /* NULL: none; fine */
	} rows[] = {
		{ "--seed", "12", NULL },
		{ "--heal-rate=0.5", NULL, NULL },
		{ "--demo", NULL, NULL },
		{ "--ghosts", "off", NULL },
		{ "--heal-rate", "1.5", "from 0 to 1" },
		{ "--heal-rate", "nan", "from 0 to 1" },
		{ "--job-ms", "1.5", "whole number" },
		{ "--job-ms", "", "whole number" },
		{ "--ghosts", "maybe", "on or off" },
		{ "--demo=yes", NULL, "no value" },
		{ "--seed", NULL, "wants N" },
		{ "--app-id", "5", "belong together" },
		{ "--loud", NULL, "--help" },
		{ "loud", NULL, "--help" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char name[] = "simulator", arg[24], value[16];
		char *argv[] = { name, arg, value };
		struct options o;
		struct err err = { 0 };
		int rc;

		memcpy(arg, rows[i].arg, sizeof(arg));
		(void)snprintf(value, sizeof(value), "%s", rows[i].value ? rows[i].value : "");
		rc = options_parse(&o, rows[i].value ? 3 : 2, argv, &err);

		assert_case((rc == 0) == !rows[i].why, rows[i].arg);
		if (rows[i].why)
			assert_case(strstr(err.msg, rows[i].why) != NULL, err.msg);
	}
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(one_job_has_one_log),
		TEST(another_attempt_fails_alike_with_other_numbers),
		TEST(every_story_is_filled_in),
		TEST(a_failing_run_goes_through_its_states),
		TEST(a_rerun_takes_only_what_failed),
		TEST(rules_decide_how_a_rerun_ends),
		TEST(refuses_what_github_refuses),
		TEST(an_outage_fails_everything_while_it_lasts),
		TEST(the_oldest_run_is_forgotten),
		TEST(payloads_have_what_receivers_read),
		TEST(hostile_names_stay_inside_their_strings),
		TEST(the_archive_holds_the_log_of_each_job),
		cmocka_unit_test(options_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

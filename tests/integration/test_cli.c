/* The commands against a real Redis and real daemons: what they print, and their exit status. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "core/json.h"
#include "tests/integration/product.h"

#define META "pg:{local}:meta"
#define FEED "pg:{local:0}:feed"
#define RUNS "pg:{local:0}:runs"
#define WORK "pg:{local:0}:work"
#define REF  "github:186853002:30433642"
#define RUN  "pg:{local:0}:run:" REF
#define PLAN "pg:{local:0}:plan:" REF ":1"
#define ACT  "act:" REF ":1"

enum { ARGS_MAX = 16 };

/* --- running a command ------------------------------------------------------------- */

static struct proc *command(struct rig *r, const char *const *args)
{
	const char *env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)), NULL };

	return guard_start(r, "command", args, env);
}

/* Exit status of `pipeline-guard ...`, closed by NULL; what it printed, both outputs together. */
static int guard(struct rig *r, const char **out, ...) __attribute__((sentinel));

static int guard(struct rig *r, const char **out, ...)
{
	const char *args[ARGS_MAX] = { NULL }, *arg;
	struct proc *p;
	size_t n = 0;
	va_list ap;
	int status;

	va_start(ap, out);
	while ((arg = va_arg(ap, const char *))) {
		assert_true(n < ARGS_MAX - 1);
		args[n++] = arg;
	}
	va_end(ap);
	p = command(r, args);
	status = proc_wait(p, PATIENCE_MS);
	*out = proc_output(p);
	return status;
}

static void says(const char *out, const char *words)
{
	if (!strstr(out, words))
		fail_msg("\"%s\" is not in:\n%s", words, out);
}

static bool ends_with(struct rig *r, int status, const char *name, const char *arg)
{
	const char *out;

	return guard(r, &out, name, arg, NULL) == status;
}

static struct json_object *status_json(struct rig *r, int status)
{
	const char *out;

	assert_int_equal(
		guard(r, &out, "status", "--json", "--set", "dispatcher.claim_idle=2s", NULL),
		status);
	return rig_json(r, out, strlen(out));
}

/* --- a region without daemons ------------------------------------------------------ */

static void seed_run(struct rig *r, const char *conclusion)
{
	(void)redis_do(r, "HSET %s v 1 partitions 1 mode act mode_why test", META);
	(void)redis_do(r, "DEL %s %s %s %s", RUN, PLAN, DUE, WORK);
	(void)redis_do(
		r,
		"HSET %s v 1 source github provider github repo_id 186853002 repo acme/shop "
		"run_id 30433642 pipeline Build branch main generation 1 rank 3 status "
		"completed conclusion %s failed %s diagnosed 1 updated_at_ms 1700000000000 "
		"category build_failure url https://github.com/acme/shop/actions/runs/30433642",
		RUN, conclusion, strcmp(conclusion, "failure") == 0 ? "1" : "0");
	(void)redis_do(
		r, "HSET %s finding %s finding_generation 1", RUN,
		"{\"category\":\"build_failure\",\"subcategory\":\"compile\",\"confidence\":0.9,"
		"\"transient\":false,\"rule\":\"gcc-error\",\"title\":\"The\\u001b[2J code does "
		"not "
		"compile\",\"evidence\":[{\"line\":12,\"text\":\"a.c:1: error: x\"}],"
		"\"fingerprint\":\"0123456789abcdef\"}");
	(void)redis_do(r, "ZADD %s 1700000000000 %s", RUNS, REF);
}

static void seed_plan(struct rig *r, const char *state, const char *result, const char *sends,
		      int64_t sent_at_ms, const char *reason)
{
	(void)redis_do(
		r,
		"HSET %s v 1 id " REF ":1 run " REF " generation 1 strategy escalate risk observe "
		"mode observe state %s result %s detail d sends %s sent_at_ms %lld reason %s "
		"created_at_ms 1 category build_failure fingerprint 0123456789abcdef",
		PLAN, state, result, sends, (long long)sent_at_ms, reason);
	(void)redis_do(r, "HSET %s plan " REF ":1 plan_state %s outcome %s plan_reason %s", RUN,
		       state, result, reason);
}

/* --- train --------------------------------------------------------------------------- */

/* A table of twelve logs of six projects. */
static const char *write_labels(struct rig *r)
{
	const char *table = rig_printf(r, "path,category,project\n");

	rig_write(r, "tests.log", "the assertion failed in a suite\nmake: stop\n", 0600);
	rig_write(r, "links.log", "an undefined reference to a symbol\nmake: stop\n", 0600);
	for (int i = 0; i < 6; i++)
		table = rig_printf(r, "%stests.log,test_failure,p%d\nlinks.log,build_failure,p%d\n",
				   table, i, i);
	rig_write(r, "labels.csv", table, 0600);
	return rig_path(r, "labels.csv");
}

static void train_learns_from_labels_and_healed_runs(struct rig *r)
{
	static const char *const outcomes[] = { "healed", "same_failure" };
	const char *labels = write_labels(r), *model = rig_path(r, "text.model"), *out;

	seed_run(r, "failure");
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
		(void)redis_do(r,
			       "XADD pg:{local:0}:outcomes * run %s result %s category "
			       "network_failure",
			       REF, outcomes[i]);
	assert_int_equal(
		guard(r, &out, "train", "--text", labels, "--out", model, "--outcomes", NULL), 0);
	says(out, "learned from 12 logs with labels, 0 more that a rule is sure of, 0 healed runs");
	says(out, "validated by project: 12 logs, 100.0 % right");
	(void)redis_do(r, "HSET %s finding %s", RUN,
		       "{\"category\":\"network_failure\",\"confidence\":0.9,\"transient\":true,"
		       "\"rule\":\"dns\",\"evidence\":[{\"line\":1,\"text\":\"no such host\"}]}");
	assert_int_equal(guard(r, &out, "train", "--text", labels, "--out", model, "--outcomes",
			       "--json", NULL),
			 0);
	says(out, "\"healed\":1");
	says(out, "\"accuracy\":1");
	rig_write(r, "new.log", "the assertion failed in some suite\n", 0600);
	assert_int_equal(
		guard(r, &out, "detect", "--text-model", model, rig_path(r, "new.log"), NULL), 0);
	says(out, "test_failure");
	says(out, "(text-model)");
}

static bool same_bytes(const char *a, const char *b)
{
	FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
	int byte, other;

	assert_non_null(x);
	assert_non_null(y);
	do {
		byte = getc(x);
		other = getc(y);
	} while (byte == other && byte != EOF);
	(void)fclose(x);
	(void)fclose(y);
	return byte == other;
}

/* Nobody's projects: each log is one, and where the folder lies says nothing. */
static void train_learns_the_same_anywhere(struct rig *r)
{
	static const char *const places[] = { "here", "there" };
	const char *out, *models[ARRAY_LEN(places)];

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const char *folder = rig_path(r, places[i]);

		assert_int_equal(mkdir(folder, 0700), 0);
		assert_int_equal(mkdir(rig_printf(r, "%s/test_failure", folder), 0700), 0);
		assert_int_equal(mkdir(rig_printf(r, "%s/build_failure", folder), 0700), 0);
		for (int k = 0; k < 12; k++)
			rig_write(r,
				  rig_printf(r, "%s/%s/%d.log", places[i],
					     k % 2 ? "test_failure" : "build_failure", k),
				  rig_printf(r, "step %c %s\n", 'a' + k % 5,
					     k % 2 ? "an assertion failed" : "undefined symbol"),
				  0600);
		models[i] = rig_path(r, rig_printf(r, "%s.model", places[i]));
		assert_int_equal(
			guard(r, &out, "train", "--text", folder, "--out", models[i], NULL), 0);
		says(out, "learned from 12 logs with labels");
	}
	assert_true(same_bytes(models[0], models[1]));
}

static void train_says_what_is_wrong(struct rig *r)
{
	const char *labels = write_labels(r), *model = rig_path(r, "none.model"), *out;

	assert_int_equal(guard(r, &out, "train", "--out", model, NULL), 2);
	says(out, "--text");
	assert_int_equal(guard(r, &out, "train", "--text", labels, NULL), 2);
	says(out, "--out");
	assert_int_equal(guard(r, &out, "train", "--text", "/nowhere", "--out", model, NULL), 3);
	rig_write(r, "bad.csv", "path,category\ntests.log,mood\n", 0600);
	assert_int_equal(
		guard(r, &out, "train", "--text", rig_path(r, "bad.csv"), "--out", model, NULL), 2);
	says(out, "bad.csv:2: \"mood\" is no category");
	assert_int_equal(guard(r, &out, "train", "--text", labels, "--out", "/nowhere/x", NULL), 3);
	assert_int_equal(guard(r, &out, "detect", "--text-model", labels, labels, NULL), 2);
	says(out, "no text model");
}

static void without_redis_the_answer_is_3(struct rig *r)
{
	static const char *const names[] = { "status", "logs", "replay" };
	const char *out;

	redis_kill(r);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(guard(r, &out, names[i], NULL), 3);
		says(out, "cannot reach Redis");
	}
	assert_int_equal(guard(r, &out, "heal", REF, NULL), 3);
	redis_start(r);
}

static void wrong_usage_is_2(struct rig *r)
{
	static const char *const rows[][5] = {
		{ "nonsense" },
		{ "status", "a", "b" },
		{ "status", "--nope" },
		{ "status", "not-a-run" },
		{ "logs", "word" },
		{ "heal" },
		{ "heal", "--strategy", "escalate", REF },
		{ "heal", "--strategy", "magic", REF },
		{ "replay", "--all", "1-1" },
		{ "replay", "x" },
		{ "replay", "--discard" },
		{ "replay", "--webhook", "/nonexistent" },
		{ "replay", "7/1-1" },
	};
	const char *out;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct proc *p = command(r, rows[i]);

		assert_case(proc_wait(p, PATIENCE_MS) == 2, rows[i][0]);
	}
	assert_int_equal(guard(r, &out, "stauts", NULL), 2);
	says(out, "did you mean \"status\"");
}

/* It needs no Redis, and no folder to copy into means no sandbox. */
static void doctor_says_what_is_missing(struct rig *r)
{
	const char *out;
	struct json_object *o;
	int status = guard(r, &out, "doctor", "--json", NULL);

	o = rig_json(r, out, strlen(out));
	assert_int_equal(status, json_flag(o, "sandbox.works", false) ? 0 : 1);
	assert_string_equal(json_str(o, "programs.0.name", ""), "git");
	assert_non_null(json_at(o, "programs.10.path"));
	assert_int_equal(guard(r, &out, "doctor", "--set", "change.folder=/proc/none", NULL), 1);
	says(out, "sandbox: sandbox_unavailable: no folder can be made in change.folder");
	says(out, "program");
	assert_int_equal(guard(r, &out, "doctor", "what", NULL), 2);
}

static void every_command_explains_itself(struct rig *r)
{
	static const char *const names[] = { "start",  "receiver", "dispatcher", "status",
					     "logs",   "detect",   "heal",       "config",
					     "replay", "rules",    "version",    "help" };
	const char *out;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(guard(r, &out, "help", names[i], NULL), 0);
		says(out, i + 1 < ARRAY_LEN(names) ? "usage: pipeline-guard" : "Run it:");
		says(out, names[i]);
	}
}

/* --- status ------------------------------------------------------------------------ */

static void an_empty_region_needs_a_dispatcher(struct rig *r)
{
	const char *out;
	struct json_object *o = status_json(r, 1);

	assert_false(json_flag(o, "ok", true));
	assert_int_equal(json_object_array_length(json_at(o, "problems")), 1);
	assert_int_equal(guard(r, &out, "status", NULL), 1);
	says(out, "no dispatcher has run here yet");
	assert_null(strchr(out, '\033'));
}

/* Waiting for events is no silence, however long it takes. */
static void a_quiet_dispatcher_is_alive(struct rig *r)
{
	struct proc *d = dispatcher_start(r, "dispatcher", NULL);

	assert_true(STAYS_FALSE(r, !json_flag(status_json(r, 0), "ok", false), 4000));
	assert_true(json_flag(status_json(r, 0), "dispatchers.0.alive", false));
	proc_kill(d);
	WAIT(r, ends_with(r, 1, "status", "--set=dispatcher.claim_idle=2s"));
	assert_false(json_flag(status_json(r, 1), "dispatchers.0.alive", true));
}

static void a_dead_letter_needs_a_person(struct rig *r)
{
	struct json_object *o;

	(void)dispatcher_start(r, "dispatcher", NULL);
	(void)status_json(r, 0);
	(void)redis_do(r, "XADD %s * v 1 reason broken item act:x at_ms 1", DEAD);
	o = status_json(r, 1);
	assert_int_equal(json_i64(o, "dead", 0), 1);
	says(json_str(o, "problems.0", ""), "1 dead letter:");
}

static void overdue_work_needs_a_person(struct rig *r)
{
	struct json_object *o;
	const char *out;

	seed_run(r, "success");
	/* One that was just heard of, and takes nothing. */
	(void)redis_do(r, "XGROUP CREATE %s dispatchers 0 MKSTREAM", EVENTS);
	(void)redis_do(r, "XREADGROUP GROUP dispatchers stuck STREAMS %s 0", EVENTS);
	(void)redis_do(r, "ZADD %s %lld await:" REF ":1", DUE,
		       (long long)clock_wall_ms() - 6 * 60 * 1000);
	assert_int_equal(
		guard(r, &out, "status", "--json", "--set", "dispatcher.claim_idle=1h", NULL), 1);
	o = rig_json(r, out, strlen(out));
	says(json_str(o, "problems.0", ""), "overdue for 6 min");
	assert_int_equal(json_i64(o, "due.now", 0), 1);
	(void)redis_do(r, "DEL %s", DUE);
	assert_int_equal(guard(r, &out, "status", "--set", "dispatcher.claim_idle=1h", NULL), 0);
}

static void the_stop_switch_is_only_said(struct rig *r)
{
	struct json_object *o;

	(void)dispatcher_start(r, "dispatcher", NULL);
	(void)redis_do(r, "SET pg:{local}:stop freeze");
	o = status_json(r, 0);
	assert_string_equal(json_str(o, "stop", ""), "freeze");
	says(json_str(o, "notes.0", ""), "stopped by hand");
}

static void a_token_that_ended_is_said(struct rig *r)
{
	struct json_object *o;

	(void)dispatcher_start(r, "dispatcher", NULL);
	seed_run(r, "failure");
	(void)redis_do(r, "HSET %s plan_reason %s", RUN, "the log could not be read: 401: no");
	o = status_json(r, 0);
	says(json_str(o, "notes.0", ""), "of the newest run that failed the log could not be read");
	/* The next one could be read. */
	(void)redis_do(r, "HSET %s plan_reason %s", RUN, "build failure: again");
	o = status_json(r, 0);
	assert_string_equal(json_str(o, "notes.0", ""), "");
}

static void a_run_is_found_by_any_of_its_names(struct rig *r)
{
	const char *const names[] = {
		REF,
		rig_printf(r, "%s:1", REF),
		"30433642",
		"https://github.com/acme/shop/actions/runs/30433642",
		"https://github.com/acme/shop/actions/runs/30433642/attempts/2",
		"https://github.com/acme/shop/actions/runs/30433642?pr=1",
	};
	struct json_object *o;
	const char *out;

	seed_run(r, "failure");
	seed_plan(r, "done", "escalated", "0", 0, "will fail again");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(guard(r, &out, "status", names[i], NULL), 0);
		says(out, "acme/shop: Build");
		says(out, "a.c:1: error: x");
		says(out, "will fail again");
		says(out, "The?[2J code does not compile");
		assert_null(strchr(out, '\033'));
	}
	assert_int_equal(guard(r, &out, "status", "--json", "30433642", NULL), 0);
	o = rig_json(r, out, strlen(out));
	assert_string_equal(json_str(o, "ref", ""), REF);
	assert_string_equal(json_str(o, "state", ""), "needs_you");
	assert_string_equal(json_str(o, "finding.rule", ""), "gcc-error");
	assert_string_equal(json_str(o, "plan.result", ""), "escalated");
	o = status_json(r, 1);
	assert_string_equal(json_str(o, "runs.0.ref", ""), REF);

	assert_int_equal(guard(r, &out, "status", "30433643", NULL), 1);
	assert_int_equal(guard(r, &out, "status", "github:1:30433642", NULL), 1);
	(void)redis_do(r, "ZADD %s 1700000000001 ghes:5:30433642", RUNS);
	assert_int_equal(guard(r, &out, "status", "30433642", NULL), 1);
	says(out, "2 runs have the number");
}

/* A job's id is no attempt, and a build is a build: in status, logs, and for programs. */
static void attempts_have_the_names_of_their_provider(struct rig *r)
{
	static const struct {
		const char *provider, *generation, *reruns, *line, *feed, *outcome;
	} rows[] = {
		{ "github", "2", "0", "  attempt      2\n", "attempt 2: failure",
		  "escalate for attempt 2: why" },
		{ "gitlab", "55000000012", "1", "  retry        1\n", "retry 1: failure",
		  "escalate for retry 1: why" },
		{ "gitlab", "55000000013", "0", NULL, "  failure", "escalate: why" },
		{ "jenkins", "57", "0", "  build        57\n", "build 57: failure",
		  "escalate for build 57: why" },
	};
	const char *out;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *g = rows[i].generation;

		seed_run(r, "failure");
		(void)redis_do(r, "DEL %s %s", FEED, OUTCOMES);
		(void)redis_do(r, "HSET %s provider %s generation %s reruns %s", RUN,
			       rows[i].provider, g, rows[i].reruns);
		(void)redis_do(r, "XADD %s 100-1 run " REF " what %s", FEED,
			       rig_printf(r, "attempt %s", g));
		(void)redis_do(r,
			       "XADD %s 300-1 run " REF " repo acme/shop pipeline Build generation "
			       "%s provider %s reruns %s strategy escalate result escalated "
			       "detail why",
			       OUTCOMES, g, rows[i].provider, rows[i].reruns);
		assert_int_equal(guard(r, &out, "status", REF, NULL), 0);
		if (rows[i].line)
			says(out, rows[i].line);
		else
			assert_null(strstr(out, g));
		assert_int_equal(guard(r, &out, "logs", NULL), 0);
		says(out, rows[i].feed);
		says(out, rows[i].outcome);
		assert_true(strcmp(rows[i].provider, "gitlab") != 0 || !strstr(out, g));
	}
}

/* --- logs -------------------------------------------------------------------------- */

static void logs_tell_the_story_in_order(struct rig *r)
{
	const char *out, *attempt, *diagnosed, *outcome;

	seed_run(r, "failure");
	(void)redis_do(r, "XADD %s 100-1 run " REF " what %s", FEED, "attempt 1");
	(void)redis_do(r, "XADD %s 150-1 run " REF " what %s", FEED, "attempt 1");
	(void)redis_do(r, "XADD %s 200-1 run " REF " what diagnosed", FEED);
	(void)redis_do(r, "XADD %s 300-1 run " REF " what escalated", FEED);
	(void)redis_do(r,
		       "XADD %s 300-1 run " REF " repo acme/shop pipeline Build plan " REF
		       ":1 generation 1 strategy escalate result escalated detail why",
		       OUTCOMES);
	assert_int_equal(guard(r, &out, "logs", NULL), 0);
	attempt = strstr(out, "attempt 1: failure");
	diagnosed = strstr(out, "compile (build_failure, 90 %)");
	outcome = strstr(out, "escalate for attempt 1: why");
	assert_true(attempt && diagnosed && outcome && attempt < diagnosed && diagnosed < outcome);
	assert_null(strstr(attempt + 1, "attempt 1: failure"));
	assert_null(strchr(out, '\033'));

	assert_int_equal(
		guard(r, &out, "logs", "--json", "--lines", "1", "--run", "30433642", NULL), 0);
	for (const char *line = out; *line; line = strchr(line, '\n') + 1) {
		struct json_object *o = rig_json(r, line, strcspn(line, "\n"));

		assert_string_equal(json_str(o, "run", ""), REF);
	}
	assert_int_equal(guard(r, &out, "logs", "--run", "5", NULL), 1);
}

static void logs_follow(struct rig *r)
{
	static const char *const args[] = {
		"logs", "--follow", "--lines", "0", "--json", "--set", "redis.timeout=500ms", NULL
	};
	struct proc *p;

	seed_run(r, "failure");
	(void)redis_do(r, "XADD %s 100-1 run " REF " what old", FEED);
	p = command(r, args);
	/* Entries until one is seen: it may still be connecting. */
	WAIT(r, redis_do(r, "XADD %s * run " REF " what diagnosed", FEED) &&
			strstr(proc_output(p), "\"what\":\"diagnosed\""));
	(void)redis_do(
		r, "XADD %s * run " REF " repo acme/shop strategy rerun_failed_jobs result healed",
		OUTCOMES);
	WAIT(r, strstr(proc_output(p), "\"what\":\"healed\""));
	/* It survives a Redis that comes back. */
	redis_kill(r);
	WAIT(r, strstr(proc_output(p), "waiting for it"));
	assert_true(STAYS_FALSE(r, !proc_running(p), 2000));
	redis_start(r);
	WAIT(r, redis_do(r, "XADD %s * run " REF " repo acme/shop strategy s result refused",
			 OUTCOMES) &&
			strstr(proc_output(p), "\"what\":\"refused\""));
	proc_kill(p);
}

/* --- heal -------------------------------------------------------------------------- */

static void heal_keeps_the_promises(struct rig *r)
{
	const int64_t now = clock_wall_ms();
	const struct {
		const char *state, *result, *sends, *reason, *option, *says;
		int64_t sent_at_ms;
		int status;
	} rows[] = {
		{ "planned", "", "0", "r", NULL, "under way; it is planned", 0, 1 },
		{ "leased", "", "0", "r", NULL, "under way; it is leased", 0, 1 },
		{ "sent", "", "1", "r", NULL, "under way; it is sent", now, 1 },
		{ "awaiting", "", "1", "r", NULL, "under way; it is awaiting", now, 1 },
		{ "done", "healed", "1", "r", NULL, "nothing is done twice", 1, 1 },
		{ "done", "same_failure", "1", "r", "--force", "nothing is done twice", 1, 1 },
		{ "done", "timed_out", "1", "r", "--force", "nothing is done twice", 1, 1 },
		{ "done", "unknown", "1", "r", "--force", "nothing is done twice", 1, 1 },
		{ "done", "superseded", "0", "r", NULL, "nothing is done twice", 0, 1 },
		{ "done", "refused", "1", "r", "--force", "too recent", now, 1 },
		{ "done", "escalated", "0", "job \"x\" deploys or publishes: ...", NULL,
		  "not without --force", 0, 1 },
		{ "done", "escalated", "0", "r", "--dry-run", "would be done", 0, 0 },
		{ "done", "escalated", "0", "r", NULL, "a heal is asked for", 0, 0 },
		{ "done", "observed", "0", "r", NULL, "a heal is asked for", 0, 0 },
		{ "done", "gave_up", "0", "r", NULL, "a heal is asked for", 0, 0 },
		{ "done", "refused", "1", "r", NULL, "a heal is asked for", 1, 0 },
		{ "done", "escalated", "0", "job \"x\" deploys or publishes: ...", "--force",
		  "a heal is asked for", 0, 0 },
	};
	const char *out;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *why = rig_printf(r, "row %zu: %s", i, rows[i].says);
		bool written = rows[i].status == 0 && !strstr(rows[i].says, "would");

		seed_run(r, "failure");
		seed_plan(r, rows[i].state, rows[i].result, rows[i].sends, rows[i].sent_at_ms,
			  rows[i].reason);
		assert_case(guard(r, &out, "heal", REF, rows[i].option, NULL) == rows[i].status,
			    why);
		says(out, rows[i].says);
		assert_case(strcmp(redis_text_of(r, "HGET %s state", PLAN),
				   written ? "planned" : rows[i].state) == 0,
			    why);
		assert_case(redis_int_of(r, "ZCARD %s", DUE) == written, why);
		assert_case(redis_int_of(r, "EXISTS %s", WORK) == 0, why);
	}
	/* As it stands after the last row. */
	assert_string_equal(redis_text_of(r, "HGET %s strategy", PLAN), "rerun_failed_jobs");
	assert_string_equal(redis_text_of(r, "HGET %s mode", PLAN), "act");
	assert_string_equal(redis_text_of(r, "HGET %s sends", PLAN), "0");
	/* Its age begins anew, or it would be given up at once. */
	assert_true(strtoll(redis_text_of(r, "HGET %s created_at_ms", PLAN), NULL, 10) >= now);
	says(redis_text_of(r, "HGET %s decided", PLAN), "deploys or publishes");
	says(redis_text_of(r, "HGET %s plan_reason", RUN), "asked for by ");
	assert_string_equal(redis_text_of(r, "ZSCORE %s " ACT, DUE),
			    redis_text_of(r, "HGET %s due_at_ms", PLAN));
	/* That it deploys is not forgotten when it is asked for again. */
	(void)redis_do(r, "HSET %s state done result gave_up", PLAN);
	(void)redis_do(r, "DEL %s", DUE);
	assert_int_equal(guard(r, &out, "heal", REF, NULL), 1);
	says(out, "not without --force");
}

static void heal_leaves_other_runs_alone(struct rig *r)
{
	const char *out;

	seed_run(r, "success");
	seed_plan(r, "done", "escalated", "0", 0, "r");
	assert_int_equal(guard(r, &out, "heal", REF, NULL), 1);
	says(out, "did not fail: it is success");
	assert_int_equal(guard(r, &out, "heal", "github:1:2", NULL), 1);

	seed_run(r, "failure");
	seed_plan(r, "done", "escalated", "0", 0, "r");
	(void)redis_do(r, "HSET %s mode observe mode_why %s", META, "mode: observe");
	assert_int_equal(guard(r, &out, "heal", REF, NULL), 1);
	says(out, "would not act: mode observe");
	assert_int_equal(redis_int_of(r, "ZCARD %s", DUE), 0);
}

static void heal_can_ask_for_a_diagnosis(struct rig *r)
{
	struct json_object *o;
	const char *out;

	/* No plan (any more): that is all there is to ask for. */
	seed_run(r, "failure");
	assert_int_equal(guard(r, &out, "heal", "--json", REF, NULL), 0);
	o = rig_json(r, out, strlen(out));
	assert_string_equal(json_str(o, "answer", ""), "diagnose");
	assert_true(json_flag(o, "accepted", false));
	assert_true(redis_int_of(r, "EXISTS %s", DUE));
	assert_string_equal(redis_text_of(r, "HGET %s diagnosed", RUN), "0");
	assert_int_equal(redis_int_of(r, "EXISTS %s", PLAN), 0);

	/* Under way: its epoch is somebody's. */
	(void)redis_do(r, "HSET %s diagnose:" REF " %s", WORK, "7 1 0");
	assert_int_equal(guard(r, &out, "heal", REF, NULL), 1);
	says(out, "being diagnosed right now");
	assert_string_equal(redis_text_of(r, "HGET %s diagnose:" REF, WORK), "7 1 0");

	seed_run(r, "failure");
	seed_plan(r, "done", "healed", "1", 1, "r");
	assert_int_equal(guard(r, &out, "heal", "--diagnose", REF, NULL), 0);
	assert_string_equal(redis_text_of(r, "HGET %s result", PLAN), "healed");
}

static int64_t reruns(struct rig *r, uint64_t run)
{
	return sim_number(r, run, "rerun_accepted");
}

static const char *last_detail(struct rig *r)
{
	return redis_last_field(r, OUTCOMES, "detail");
}

static void heal_heals_once(struct rig *r)
{
	const char *out, *id;
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", NULL);
	run = sim_run(r, "{\"cause\":\"build_compile\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "escalated");
	assert_int_equal(reruns(r, run), 0);

	id = rig_printf(r, "%" PRIu64, run);
	assert_int_equal(guard(r, &out, "heal", id, NULL), 0);
	/* Impatient, and not alone. */
	(void)guard(r, &out, "heal", id, NULL);
	WAIT(r, strcmp(plan_field(r, run, 1, "result"), "healed") == 0);
	assert_int_equal(reruns(r, run), 1);
	says(plan_field(r, run, 1, "reason"), "asked for by ");
	assert_int_equal(guard(r, &out, "heal", id, NULL), 1);
	assert_int_equal(guard(r, &out, "logs", "--run", id, NULL), 0);
	says(out, "healed");
	assert_int_equal(guard(r, &out, "status", NULL), 0);
}

static void heal_never_overtakes_a_person(struct rig *r)
{
	const char *out;
	uint64_t run;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", NULL);
	run = sim_run(r, "{\"cause\":\"build_compile\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "escalated");
	(void)redis_do(r, "SET pg:{local}:stop freeze");
	assert_int_equal(guard(r, &out, "heal", rig_printf(r, "%" PRIu64, run), NULL), 0);
	says(out, "stop switch is on");
	sim_post(r, rig_printf(r, "/_sim/runs/%" PRIu64 "/rerun", run), "{}");
	WAIT(r, strcmp(run_field(r, run, "generation"), "2") == 0);
	(void)redis_do(r, "DEL pg:{local}:stop");
	WAIT(r, strcmp(plan_field(r, run, 1, "result"), "superseded") == 0);
	says(last_detail(r), "somebody else");
	assert_int_equal(reruns(r, run), 0);
}

/* --- replay ------------------------------------------------------------------------ */

static void replay_lists_what_is_dead(struct rig *r)
{
	struct json_object *o;
	const char *out, *second;

	assert_int_equal(guard(r, &out, "replay", NULL), 0);
	says(out, "No dead letters.");
	(void)redis_do(r, "XADD %s 5-0 v 1 reason %s event %s at_ms 5", DEAD, "bad\033[2J",
		       "{\"repo\":\"acme/shop\",\"run_id\":\"7\"}");
	(void)redis_do(r, "XADD %s 6-0 v 1 reason lost item " ACT " at_ms 6", DEAD);
	(void)redis_do(r,
		       "XADD %s 7-0 reason malformed source github topic workflow_run delivery d-1 "
		       "body {",
		       DEAD);
	assert_int_equal(guard(r, &out, "replay", "--list", NULL), 0);
	says(out, "acme/shop run 7");
	says(out, ACT);
	says(out, "delivery d-1");
	assert_null(strchr(out, '\033'));
	assert_int_equal(guard(r, &out, "replay", "--json", NULL), 0);
	o = rig_json(r, out, strcspn(out, "\n"));
	assert_string_equal(json_str(o, "id", ""), "5-0");
	assert_string_equal(json_str(o, "kind", ""), "event");
	second = strchr(out, '\n') + 1;
	o = rig_json(r, second, strcspn(second, "\n"));
	assert_string_equal(json_str(o, "kind", ""), "work");
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 3);
}

static void replay_puts_back_each_kind(struct rig *r)
{
	const char *out;

	(void)redis_do(r, "XADD %s 5-0 v 1 reason r event %s", DEAD,
		       "{\"v\":\"1\",\"repo\":\"acme/shop\"}");
	(void)redis_do(r, "XADD %s 6-0 v 1 reason r item " ACT, DEAD);
	(void)redis_do(r, "XADD %s 7-0 reason r delivery d-1 body {", DEAD);
	(void)redis_do(r, "XADD %s 8-0 v 1 reason r event %s", DEAD, "[broken");
	(void)redis_do(r, "HSET %s " ACT " %s", WORK, "0 9 6");

	assert_int_equal(guard(r, &out, "replay", "5-0", "6-0", NULL), 0);
	assert_string_equal(redis_last_field(r, EVENTS, "repo"), "acme/shop");
	assert_string_equal(redis_last_field(r, EVENTS, "v"), "1");
	assert_true(redis_int_of(r, "ZCARD %s", DUE) == 1);
	assert_int_equal(redis_int_of(r, "HEXISTS %s " ACT, WORK), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 2);

	assert_int_equal(guard(r, &out, "replay", "5-0", NULL), 1);
	says(out, "is no dead letter");
	assert_int_equal(guard(r, &out, "replay", "--all", NULL), 1);
	says(out, "quarantined webhook");
	says(out, "not readable");
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 2);
	assert_int_equal(redis_int_of(r, "XLEN %s", EVENTS), 1);
	assert_int_equal(guard(r, &out, "replay", "--discard", "--all", NULL), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", EVENTS), 1);
}

/* Work that is due again by itself, and held, stays with whoever holds it. */
static void replay_takes_nothing_away(struct rig *r)
{
	const char *out;

	(void)redis_do(r, "XADD %s 6-0 v 1 reason r item " ACT, DEAD);
	(void)redis_do(r, "ZADD %s 99999999999999 " ACT, DUE);
	(void)redis_do(r, "HSET %s " ACT " %s", WORK, "4 1 0");
	assert_int_equal(guard(r, &out, "replay", "6-0", NULL), 0);
	assert_string_equal(redis_text_of(r, "HGET %s " ACT, WORK), "4 1 0");
	assert_string_equal(redis_text_of(r, "ZSCORE %s " ACT, DUE), "99999999999999");
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

static void a_replayed_event_is_processed(struct rig *r)
{
	const char *out;

	(void)dispatcher_start(r, "dispatcher", NULL);
	(void)redis_do(r,
		       "XADD %s * v 1 provider github source github delivery d-9 kind run status "
		       "completed conclusion failure repo_id 186853002 repo acme/shop run_id x "
		       "generation 1",
		       EVENTS);
	WAIT(r, redis_int_of(r, "XLEN %s", DEAD) == 1);
	/* What was wrong is put right by hand here; in life by a release that understands it. */
	(void)redis_do(r, "DEL %s", DEAD);
	(void)redis_do(
		r, "XADD %s * v 1 reason r event %s", DEAD,
		"{\"v\":\"1\",\"provider\":\"github\",\"source\":\"github\",\"delivery\":\"d-9\","
		"\"kind\":\"run\",\"status\":\"completed\",\"conclusion\":\"failure\","
		"\"repo_id\":\"186853002\",\"repo\":\"acme/shop\",\"run_id\":\"30433642\","
		"\"generation\":\"1\"}");
	assert_int_equal(guard(r, &out, "replay", "--all", NULL), 0);
	WAIT(r, strcmp(redis_text_of(r, "HGET %s repo", RUN), "acme/shop") == 0);
}

static void replay_sends_a_saved_webhook(struct rig *r)
{
	const char *out, *url;

	(void)receiver_start(r, NULL);
	rig_write(r, "hook.json", run_body(r, &(struct run_hook){ .run_id = 77 }), 0600);
	rig_write(r, "other", "another secret\n", 0600);
	url = rig_printf(r, "http://127.0.0.1:%d/webhooks/github", receiver_port(r));
	assert_int_equal(guard(r, &out, "replay", "--webhook", rig_path(r, "hook.json"), "--event",
			       "workflow_run", "--url", url, "--secret-file", rig_path(r, "secret"),
			       NULL),
			 0);
	says(out, "202 ");
	says(out, "accepted");
	assert_string_equal(redis_last_field(r, EVENTS, "run_id"), "77");
	assert_int_equal(guard(r, &out, "replay", "--webhook", rig_path(r, "hook.json"), "--event",
			       "workflow_run", "--url", url, "--secret-file", rig_path(r, "other"),
			       NULL),
			 1);
	says(out, "401 ");
	assert_int_equal(guard(r, &out, "replay", "--webhook", rig_path(r, "hook.json"), "--event",
			       "workflow_run", "--url", "http://127.0.0.1:1/", "--secret-file",
			       rig_path(r, "secret"), NULL),
			 3);
}

/* By each provider's own way to prove it; `secret` is what the receiver has, `event` the sender's.
 */
static void replay_sends_as_any_provider(struct rig *r)
{
	static const char gitlab[] =
		"{\"object_kind\":\"pipeline\",\"object_attributes\":{\"id\":31,\"ref\":\"main\","
		"\"status\":\"failed\"},\"project\":{\"id\":42,\"path_with_namespace\":\"shop/"
		"api\"},"
		"\"builds\":[{\"id\":380}]}";
	static const char jenkins[] =
		"{\"name\":\"api\",\"url\":\"job/shop/job/api/\",\"build\":{\"number\":18,"
		"\"phase\":\"FINALIZED\",\"status\":\"FAILURE\",\"timestamp\":1785319289123}}";
	static const char cdevent[] =
		"{\"context\":{\"id\":\"27\",\"source\":\"/ci/team\",\"type\":"
		"\"dev.cdevents.pipelinerun.finished.0.2.0\",\"timestamp\":\"2026-07-29T10:01:"
		"29Z\"},"
		"\"subject\":{\"id\":\"run-81\",\"content\":{\"outcome\":\"failure\"}}}";
	static const struct {
		const char *why, *provider, *key, *secret, *body;
	} rows[] = {
		{ "GitLab with a secret token", "gitlab", "gitlab.webhook_token",
		  "gitlab-token-of-this-test", gitlab },
		{ "GitLab with a signing token", "gitlab", "gitlab.signing_token",
		  "whsec_c2lnbmluZyBrZXkgb2YgMjQgYnl0ZXMu", gitlab },
		{ "Jenkins, signed", "jenkins", "jenkins.webhook_token",
		  "jenkins-secret-of-this-test", jenkins },
		{ "a CDEvent", "generic", "generic.webhook_secret",
		  "whsec_Z2VuZXJpYyBrZXkgb2YgMjQgYnl0ZXMhIQ==", cdevent },
	};
	const char *out, *sets[ARRAY_LEN(rows) + 1] = { NULL };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *name = rig_printf(r, "secret-%zu", i);

		rig_write(r, name, rows[i].secret, 0600);
		rig_hide(r, rows[i].secret, name);
		sets[i] = rig_printf(r, "%s_file=%s", rows[i].key, rig_path(r, name));
	}
	(void)receiver_start(r, sets[0], sets[1], sets[2], sets[3], NULL);
	rig_write(r, "other", "whsec_YW5vdGhlciBrZXkgb2YgMjQgYnl0ZXMu\n", 0600);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *url = rig_printf(r, "http://127.0.0.1:%d/webhooks/%s", receiver_port(r),
					     rows[i].provider);

		rig_write(r, "hook.json", rows[i].body, 0600);
		/* Configured, in a file, and the wrong one. */
		assert_case(guard(r, &out, "replay", "--webhook", rig_path(r, "hook.json"),
				  "--provider", rows[i].provider, "--url", url, "--set", sets[i],
				  NULL) == 0,
			    rows[i].why);
		says(out, "202 ");
		says(out, "accepted");
		assert_string_equal(redis_last_field(r, EVENTS, "source"), rows[i].provider);
		assert_case(guard(r, &out, "replay", "--webhook", rig_path(r, "hook.json"),
				  "--provider", rows[i].provider, "--url", url, "--secret-file",
				  rig_path(r, rig_printf(r, "secret-%zu", i)), NULL) == 0,
			    rows[i].why);
		assert_case(guard(r, &out, "replay", "--webhook", rig_path(r, "hook.json"),
				  "--provider", rows[i].provider, "--url", url, "--secret-file",
				  rig_path(r, "other"), NULL) == 1,
			    rows[i].why);
		says(out, "401 ");
	}
	assert_int_equal(guard(r, &out, "replay", "--webhook", rig_path(r, "hook.json"),
			       "--provider", "jenkins", NULL),
			 2);
	says(out, "no webhook secret of jenkins");
	assert_int_equal(guard(r, &out, "replay", "--webhook", rig_path(r, "hook.json"),
			       "--provider", "svn", "--secret-file", rig_path(r, "other"), NULL),
			 2);
	says(out, "not \"svn\"");
}

/* --- start ------------------------------------------------------------------------ */

/* "cmdline", "environ" or the like of a process; words end with line ends. */
static const char *proc_file(struct rig *r, pid_t pid, const char *name)
{
	static char text[64 << 10];
	int fd = open(rig_printf(r, "/proc/%d/%s", (int)pid, name), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		(void)close(fd);
	for (ssize_t i = 0; i < n; i++)
		if (!text[i])
			text[i] = '\n';
	text[n > 0 ? n : 0] = '\0';
	return rig_text(r, text, strlen(text));
}

/* The child that was started with this word. */
static pid_t child_of(struct rig *r, pid_t parent, const char *word)
{
	const char *list = proc_file(r, parent, rig_printf(r, "task/%d/children", (int)parent));

	for (char *end; *list; list = end) {
		pid_t pid = (pid_t)strtol(list, &end, 10);

		if (end == list)
			break;
		if (strstr(proc_file(r, pid, "cmdline"), word))
			return pid;
	}
	fail_msg("no child has %s in its arguments", word);
	return 0;
}

static void start_runs_everything(struct rig *r)
{
	const char *args[] = { "start",      "--listen",          "127.0.0.1:0",
			       "--data-dir", rig_path(r, "data"), NULL };
	const char *env[] = { "PIPELINE_GUARD_REDIS_URL=", NULL };
	struct proc *p = guard_start(r, "start", args, env);
	const char *url = proc_line(p, "guard ready "), *secret;
	pid_t receiver = child_of(r, proc_pid(p), "\nreceiver\n");

	secret = rig_read(r, rig_path(r, "data/github-webhook-secret"));
	assert_non_null(secret);
	secret = rig_text(r, secret, 64);
	rig_hide(r, secret, "data/github-webhook-secret");
	assert_null(strstr(proc_file(r, receiver, "cmdline"), secret));
	says(proc_output(p), rig_printf(r, "%s/webhooks/github   secret: cat %s", url,
					rig_path(r, "data/github-webhook-secret")));
	says(proc_output(p),
	     rig_printf(r,
			"%s/webhooks/gitlab   401 until PIPELINE_GUARD_GITLAB_WEBHOOK_TOKEN_FILE",
			url));
	says(proc_output(p), "/webhooks/jenkins  401 until PIPELINE_GUARD_JENKINS_WEBHOOK_TOKEN");
	rig_write(r, "hook.json", run_body(r, &(struct run_hook){ .run_id = 77 }), 0600);
	p = guard_start(r, "command",
			(const char *[]){ "replay", "--webhook", rig_path(r, "hook.json"),
					  "--event", "workflow_run", "--data-dir",
					  rig_path(r, "data"), "--url",
					  rig_printf(r, "%s/webhooks/github", url), NULL },
			env);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 0);
	says(proc_output(p), "accepted");
	p = guard_start(r, "command",
			(const char *[]){ "status", "--data-dir", rig_path(r, "data"), NULL }, env);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 0);
	says(proc_output(p), "1 of 1 alive");
}

/* A Redis URL may hold a password: not in argv. Each role sees the secrets that it needs. */
static void start_tells_children_only_what_they_need(struct rig *r)
{
	static const char *const roles[] = { "\nreceiver\n", "\ndispatcher\n" };
	const char *url = rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r));
	const char *args[] = { "start",      "--listen",          "127.0.0.1:0",
			       "--data-dir", rig_path(r, "data"), NULL };
	/* "the-token" is for dispatchers, "the-secret" for receivers. */
	const char *env[] = {
		url,
		"PIPELINE_GUARD_GITHUB_TOKEN=the-token-of-this-test",
		"PIPELINE_GUARD_GITLAB_TOKEN=the-token-of-gitlab",
		"PIPELINE_GUARD_JENKINS_URL=https://ci.example.com",
		"PIPELINE_GUARD_JENKINS_USER=guard",
		"PIPELINE_GUARD_JENKINS_TOKEN=the-token-of-jenkins",
		"PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET=the-secret-of-this-test",
		"PIPELINE_GUARD_GITLAB_WEBHOOK_TOKEN=the-secret-of-gitlab",
		"PIPELINE_GUARD_GITLAB_SIGNING_TOKEN=whsec_dGhlLXNlY3JldC10b2tlbi1vZi1naXRsYWI=",
		"PIPELINE_GUARD_JENKINS_WEBHOOK_TOKEN=the-secret-of-jenkins",
		"PIPELINE_GUARD_GENERIC_WEBHOOK_SECRET=whsec_dGhlLXNlY3JldC1vZi1nZW5lcmljLi4u",
		"PIPELINE_GUARD_SOURCES_FARM_PROVIDER=jenkins",
		"PIPELINE_GUARD_SOURCES_FARM_SECRET=the-secret-of-farm",
		NULL
	};
	static const char *const tokens[] = { "the-token-of-this-test", "the-token-of-gitlab",
					      "the-token-of-jenkins" };
	static const char *const secrets[] = {
		"the-secret-of-this-test", "the-secret-of-gitlab", "the-secret-of-jenkins",
		"the-secret-of-farm",      "SIGNING_TOKEN",        "GENERIC_WEBHOOK_SECRET"
	};
	struct proc *p = guard_start(r, "start", args, env);

	(void)proc_line(p, "guard ready ");
	assert_null(strstr(proc_output(p), "401 until"));
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		pid_t pid = child_of(r, proc_pid(p), roles[i]);
		const char *known = proc_file(r, pid, "environ");

		assert_null(strstr(proc_file(r, pid, "cmdline"), redis_url(r)));
		says(known, url);
		for (size_t k = 0; k < ARRAY_LEN(tokens); k++)
			assert_case(!strstr(known, tokens[k]) == (i == 0), tokens[k]);
		for (size_t k = 0; k < ARRAY_LEN(secrets); k++)
			assert_case(!strstr(known, secrets[k]) == (i == 1), secrets[k]);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(train_learns_from_labels_and_healed_runs),
		RIG_TEST(train_learns_the_same_anywhere),
		RIG_TEST(train_says_what_is_wrong),
		RIG_TEST(without_redis_the_answer_is_3),
		RIG_TEST(wrong_usage_is_2),
		RIG_TEST(doctor_says_what_is_missing),
		RIG_TEST(every_command_explains_itself),
		RIG_TEST(an_empty_region_needs_a_dispatcher),
		RIG_TEST(a_quiet_dispatcher_is_alive),
		RIG_TEST(a_dead_letter_needs_a_person),
		RIG_TEST(overdue_work_needs_a_person),
		RIG_TEST(the_stop_switch_is_only_said),
		RIG_TEST(a_token_that_ended_is_said),
		RIG_TEST(a_run_is_found_by_any_of_its_names),
		RIG_TEST(logs_tell_the_story_in_order),
		RIG_TEST(attempts_have_the_names_of_their_provider),
		RIG_TEST(logs_follow),
		RIG_TEST(heal_keeps_the_promises),
		RIG_TEST(heal_leaves_other_runs_alone),
		RIG_TEST(heal_can_ask_for_a_diagnosis),
		RIG_TEST(heal_heals_once),
		RIG_TEST(heal_never_overtakes_a_person),
		RIG_TEST(replay_lists_what_is_dead),
		RIG_TEST(replay_puts_back_each_kind),
		RIG_TEST(replay_takes_nothing_away),
		RIG_TEST(a_replayed_event_is_processed),
		RIG_TEST(replay_sends_a_saved_webhook),
		RIG_TEST(replay_sends_as_any_provider),
		RIG_TEST(start_runs_everything),
		RIG_TEST(start_tells_children_only_what_they_need),
	};

	return rig_main(tests);
}

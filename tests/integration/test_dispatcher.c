/* The dispatcher at its stream: entries good and bad, dispatchers that die, a Redis that forgets.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "tests/integration/product.h"

enum { FIELDS_MAX = 64 };

/* A failed run as the receiver writes it. */
static const char *const sound[][2] = {
	{ "v", "1" },
	{ "provider", "github" },
	{ "source", "github" },
	{ "delivery", "d-1" },
	{ "kind", "run" },
	{ "topic", "workflow_run" },
	{ "action", "completed" },
	{ "status", "completed" },
	{ "conclusion", "failure" },
	{ "repo_id", "501" },
	{ "repo", "acme/shop" },
	{ "run_id", "1001" },
	{ "generation", "1" },
	{ "at_ms", "1795600000000" },
	{ "received_at_ms", "1795600000100" },
	{ "trace", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
};

/* Adds one with a field changed (value NULL: left out), or more added. Returns its id. */
static const char *entry_add(struct rig *r, const char *field, const char *value)
{
	const char *argv[FIELDS_MAX] = { "XADD", EVENTS, "*" };
	size_t n = 3;
	bool done = !field;

	for (size_t i = 0; i < ARRAY_LEN(sound); i++) {
		const char *v = sound[i][1];

		if (field && strcmp(sound[i][0], field) == 0) {
			v = value;
			done = true;
		}
		if (v) {
			argv[n++] = sound[i][0];
			argv[n++] = v;
		}
	}
	if (!done) {
		argv[n++] = field;
		argv[n++] = value;
	}
	return rig_printf(r, "%s", redis_do_argv(r, argv)->str);
}

static const char *run_of(struct rig *r, const char *run_id, const char *field)
{
	return redis_text_of(r, "HGET pg:{local:0}:run:github:501:%s %s", run_id, field);
}

/* There are no logs here. */
static const char *few_rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", NULL);
}

static bool recorded(struct rig *r, const char *run_id)
{
	return strcmp(run_of(r, run_id, "repo"), "acme/shop") == 0;
}

static int64_t pending(struct rig *r)
{
	return redis_do(r, "XPENDING %s dispatchers", EVENTS)->element[0]->integer;
}

/* --- entries ------------------------------------------------------------------------------ */

static void an_entry_becomes_a_run_a_plan_and_an_outcome(struct rig *r)
{
	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	(void)entry_add(r, NULL, NULL);
	WAIT(r, strcmp(run_of(r, "1001", "outcome"), "observed") == 0);
	assert_string_equal(run_of(r, "1001", "plan"), "github:501:1001:1");
	assert_string_equal(run_of(r, "1001", "plan_mode"), "observe");
	assert_string_equal(run_of(r, "1001", "diagnosed"), "1");
	assert_string_equal(run_of(r, "1001", "trace"),
			    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	assert_string_equal(redis_last_field(r, OUTCOMES, "result"), "observed");
	assert_int_equal(pending(r), 0);
	assert_int_equal(redis_int_of(r, "ZCARD %s", DUE), 0);
	assert_int_equal(redis_int_of(r, "HLEN pg:{local:0}:work"), 1); /* the epoch counter */
	assert_in_range(redis_int_of(r, "TTL pg:{local:0}:run:github:501:1001"), 34 * 86400,
			35 * 86400);
	assert_in_range(redis_int_of(r, "TTL pg:{local:0}:plan:github:501:1001:1"), 34 * 86400,
			35 * 86400);
	assert_string_equal(redis_text_of(r, "HGET pg:{local}:meta mode"), "observe");
}

static void what_it_cannot_read_is_a_dead_letter_with_the_reason(struct rig *r)
{
	const struct {
		const char *why, *field, *value, *reason;
	} rows[] = {
		{ "no version", "v", NULL, "no version" },
		{ "version is a word", "v", "one", "no version" },
		{ "a newer release wrote it", "v", "2", "newer than this release" },
		{ "version 0", "v", "0", "newer than this release" },
		{ "no provider", "provider", NULL, "provider is missing" },
		{ "no source", "source", NULL, "source is missing" },
		{ "source with a colon", "source", "git:hub", "colon" },
		{ "no delivery", "delivery", NULL, "delivery is missing" },
		{ "no kind", "kind", NULL, "kind is missing" },
		{ "no status", "status", NULL, "status is missing" },
		{ "no repository", "repo", NULL, "repo is missing" },
		{ "repository too long", "repo", rig_printf(r, "acme/%0300d", 1),
		  "repo is too long" },
		{ "no run", "run_id", NULL, "run_id is missing" },
		{ "run is a word", "run_id", "last", "run_id is not a number" },
		{ "run is negative", "run_id", "-5", "run_id is not a number" },
		{ "run is out of range", "run_id", "18446744073709551616",
		  "run_id is not a number" },
		{ "run with a blank", "run_id", "10 01", "run_id is not a number" },
		{ "no attempt", "generation", NULL, "generation is missing" },
		{ "attempt is empty", "generation", "", "generation is not a number" },
		{ "time is a word", "at_ms", "noon", "at_ms is not a number" },
	};
	const char *argv[] = {
		"XADD", EVENTS, "*", "somebody", "else's", "entry", "\xff\"{}", NULL
	};
	const char *event;

	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *id = entry_add(r, rows[i].field, rows[i].value);

		WAIT(r, redis_int_of(r, "XLEN %s", DEAD) == (int64_t)i + 1);
		if (!strstr(redis_last_field(r, DEAD, "reason"), rows[i].reason))
			fail_msg("%s: \"%s\" does not say %s", rows[i].why,
				 redis_last_field(r, DEAD, "reason"), rows[i].reason);
		assert_string_equal(redis_last_field(r, DEAD, "entry"), id);
	}
	/* What it was is kept for `replay`. */
	event = redis_last_field(r, DEAD, "event");
	assert_non_null(strstr(event, "\"at_ms\":\"noon\""));
	(void)redis_do_argv(r, argv);
	WAIT(r, redis_int_of(r, "XLEN %s", DEAD) == (int64_t)ARRAY_LEN(rows) + 1);
	WAIT(r, pending(r) == 0);
	assert_int_equal(redis_int_of(r, "EXISTS pg:{local:0}:run:github:501:1001"), 0);

	(void)entry_add(r, NULL, NULL);
	WAIT(r, recorded(r, "1001"));
}

/* A source's name goes into keys and items; only a colon would mean something there. */
static void names_mean_nothing_in_keys(struct rig *r)
{
	static const char *const names[] = { "{local}",     "}{",           "a b\n* [x]?",
					     "%d(.-)\\'\"", "\xff\xfe\x01", "await" };

	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)entry_add(r, "source", names[i]);
		WAIT(r, strcmp(redis_text_of(r, "HGET pg:{local:0}:plan:%s:501:1001:1 result",
					     names[i]),
			       "observed") == 0);
	}
	WAIT(r, pending(r) == 0 && redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
	assert_int_equal(redis_int_of(r, "HLEN pg:{local:0}:work"), 1);
}

/* They go through another encoding on their way to the run. */
static void texts_arrive_as_they_were(struct rig *r)
{
	static const char *const rows[][2] = {
		{ "actor", "" },
		{ "trigger", "a word" },
		{ "default_branch", "31 bytes long, no more, no less" },
		{ "pipeline", "32 bytes long, one is added here" },
		{ "branch", "\xc3\xa9t\xc3\xa9/\xe2\x82\xac \"q\" \\ {x} %s\x01\x7f" },
		{ "url", "https://ci.example/a-group/with/many/levels/so/that/it/is/longer/than/"
			 "one/hundred/and/twenty-eight/bytes/-/pipelines/1234567890123456789" },
		{ "installation", "9223372036854775807" },
	};
	const char *argv[FIELDS_MAX] = { "XADD", EVENTS, "*" };
	size_t n = 3;

	for (size_t i = 0; i < ARRAY_LEN(sound) + ARRAY_LEN(rows); i++) {
		const char *const *pair =
			i < ARRAY_LEN(sound) ? sound[i] : rows[i - ARRAY_LEN(sound)];

		argv[n++] = pair[0];
		argv[n++] = pair[1];
	}
	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	(void)redis_do_argv(r, argv);
	WAIT(r, recorded(r, "1001"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(run_of(r, "1001", rows[i][0]), rows[i][1]);
}

static void every_partition_is_served(struct rig *r)
{
	enum { PARTITIONS = 3, RUNS = 20 };

	(void)dispatcher_start(r, "dispatcher", few_rules(r), "partitions=3",
			       "dispatcher.concurrency=1", NULL);
	for (int i = 0; i < RUNS * PARTITIONS; i++)
		(void)redis_do(r,
			       "XADD pg:{local:%d}:events * v 1 provider github source github "
			       "delivery d kind run repo_id 501 repo acme/shop run_id %d "
			       "generation 1 status completed conclusion failure",
			       i % PARTITIONS, 1000 + i);
	for (int p = 0; p < PARTITIONS; p++)
		WAIT(r, redis_int_of(r, "XLEN pg:{local:%d}:outcomes", p) == RUNS);
}

static void what_it_does_not_know_is_no_error(struct rig *r)
{
	static const char *const rows[][2] = {
		{ "future_field", "whatever" },
		{ "kind", "job" },
		{ "kind", "check" },
		{ "kind", "deployment" },
		{ "status", "dreaming" },
		{ "conclusion", "neverheardof" },
		{ "conclusion", NULL },
	};

	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		(void)entry_add(r, rows[i][0], rows[i][1]);
	(void)entry_add(r, "run_id", "1002");
	WAIT(r, recorded(r, "1002"));
	WAIT(r, pending(r) == 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
	/* Only what is about the run itself makes one. */
	assert_true(recorded(r, "1001"));
}

/* --- order --------------------------------------------------------------------------------- */

static void entry_of_run(struct rig *r, const char *run_id, const char *generation,
			 const char *status, const char *conclusion, const char *at_ms)
{
	const char *argv[] = { "XADD",      EVENTS,
			       "*",         "v",
			       "1",         "provider",
			       "github",    "source",
			       "github",    "delivery",
			       "d",         "kind",
			       "run",       "repo_id",
			       "501",       "repo",
			       "acme/shop", "run_id",
			       run_id,      "status",
			       status,      "generation",
			       generation,  "at_ms",
			       at_ms,       *conclusion ? "conclusion" : NULL,
			       conclusion,  NULL };

	(void)redis_do_argv(r, argv);
}

static void entry_of(struct rig *r, const char *generation, const char *status,
		     const char *conclusion, const char *at_ms)
{
	entry_of_run(r, "1001", generation, status, conclusion, at_ms);
}

static void state_only_moves_forward(struct rig *r)
{
	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	entry_of(r, "2", "completed", "success", "3000");
	entry_of(r, "2", "completed", "success", "3000"); /* repeated */
	entry_of(r, "2", "running", "", "9500");          /* sent earlier, come later */
	entry_of(r, "1", "completed", "failure", "9000"); /* of an older attempt */
	entry_of(r, "2", "completed", "failure", "2000"); /* older news of the same state */
	(void)entry_add(r, "run_id", "1002");
	WAIT(r, strcmp(run_of(r, "1002", "outcome"), "observed") == 0);
	assert_string_equal(run_of(r, "1001", "generation"), "2");
	assert_string_equal(run_of(r, "1001", "conclusion"), "success");
	assert_string_equal(run_of(r, "1001", "status"), "completed");
	assert_string_equal(run_of(r, "1001", "failed"), "0");
	assert_int_equal(redis_int_of(r, "EXISTS pg:{local:0}:plan:github:501:1001:1"), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 1);
}

/* The same failure told five times, also while it is being worked on: one plan, one outcome. */
static void one_plan_for_one_attempt(struct rig *r)
{
	(void)dispatcher_start(r, "a", few_rules(r), NULL);
	(void)dispatcher_start(r, "b", few_rules(r), NULL);
	for (int i = 0; i < 5; i++)
		entry_of(r, "1", "completed", "failure", rig_printf(r, "%d", 1000 + i));
	(void)entry_add(r, "run_id", "1002");
	WAIT(r, strcmp(run_of(r, "1002", "outcome"), "observed") == 0);
	WAIT(r, strcmp(run_of(r, "1001", "outcome"), "observed") == 0);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 2);
}

/* Each is re-run while its diagnosis is under way: what is told then is diagnosed, too. */
static void a_failure_told_during_a_diagnosis_is_diagnosed(struct rig *r)
{
	enum { RUNS = 300 };
	static const char *const states[][3] = { { "1", "completed", "failure" },
						 { "2", "running", "" },
						 { "2", "completed", "failure" } };

	(void)dispatcher_start(r, "a", few_rules(r), NULL);
	(void)dispatcher_start(r, "b", few_rules(r), NULL);
	for (int i = 0; i < RUNS; i++)
		for (size_t s = 0; s < ARRAY_LEN(states); s++)
			entry_of_run(r, rig_printf(r, "%d", 5000 + i), states[s][0], states[s][1],
				     states[s][2], rig_printf(r, "%d", 1000 + (int)s));
	for (int i = 0; i < RUNS; i++)
		WAIT(r, strcmp(run_of(r, rig_printf(r, "%d", 5000 + i), "diagnosed"), "2") == 0);
}

/* A plan that waits, of a run that a person has gone on with in the meantime. */
static void the_next_attempt_decides_and_no_later_one(struct rig *r)
{
	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	entry_of(r, "3", "running", "", "3000");
	WAIT(r, strcmp(run_of(r, "1001", "generation"), "3") == 0);
	(void)redis_do(r, "HSET pg:{local:0}:run:github:501:1001 finding_generation 2 diagnosed 2 "
			  "fingerprint abc category network_failure plan github:501:1001:1");
	(void)redis_do(r, "HSET pg:{local:0}:plan:github:501:1001:1 v 1 id github:501:1001:1 "
			  "run github:501:1001 generation 1 strategy rerun_failed_jobs mode act "
			  "state awaiting fingerprint abc sent_at_ms 9999999999999");
	(void)redis_do(r, "ZADD %s 1 await:github:501:1001:1", DUE);
	WAIT(r, redis_int_of(r, "XLEN %s", OUTCOMES) == 1);
	assert_string_equal(redis_last_field(r, OUTCOMES, "result"), "same_failure");
}

/* Its hash is gone (expired, or deleted by a person) and the event is read again. */
static void a_run_that_was_forgotten_is_not_healed_again(struct rig *r)
{
	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	(void)entry_add(r, NULL, NULL);
	WAIT(r, strcmp(run_of(r, "1001", "outcome"), "observed") == 0);
	assert_int_equal(redis_int_of(r, "DEL pg:{local:0}:run:github:501:1001"), 1);
	(void)entry_add(r, NULL, NULL);
	WAIT(r, strcmp(run_of(r, "1001", "diagnosed"), "1") == 0);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 1);
}

/* --- dispatchers that die --------------------------------------------------------------------- */

/* Delivered to somebody who is not there (any more). */
static void orphan(struct rig *r, const char *id, int deliveries)
{
	(void)redis_do(r, "XREADGROUP GROUP dispatchers gone COUNT 10 STREAMS %s >", EVENTS);
	(void)redis_do(r, "XCLAIM %s dispatchers gone 0 %s RETRYCOUNT %d", EVENTS, id, deliveries);
}

static void entries_of_a_dead_dispatcher_are_taken_over(struct rig *r)
{
	(void)redis_do(r, "XGROUP CREATE %s dispatchers 0 MKSTREAM", EVENTS);
	orphan(r, entry_add(r, NULL, NULL), 1);
	assert_int_equal(pending(r), 1);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "dispatcher.claim_idle=300ms", NULL);
	WAIT(r, recorded(r, "1001"));
	WAIT(r, pending(r) == 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

static void an_entry_that_kills_everybody_becomes_a_dead_letter(struct rig *r)
{
	const char *poison, *limit;

	(void)redis_do(r, "XGROUP CREATE %s dispatchers 0 MKSTREAM", EVENTS);
	poison = entry_add(r, NULL, NULL);
	limit = entry_add(r, "run_id", "1002");
	orphan(r, poison, 4);
	orphan(r, limit, 3);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "dispatcher.claim_idle=300ms",
			       "dispatcher.max_deliveries=3", NULL);
	WAIT(r, redis_int_of(r, "XLEN %s", DEAD) == 1);
	assert_string_equal(redis_last_field(r, DEAD, "entry"), poison);
	assert_non_null(strstr(redis_last_field(r, DEAD, "reason"), "too often"));
	WAIT(r, recorded(r, "1002"));
	WAIT(r, pending(r) == 0);
	assert_false(recorded(r, "1001"));
}

static void a_stopped_dispatcher_changes_nothing_when_it_wakes_up(struct rig *r)
{
	struct proc *a =
		dispatcher_start(r, "a", few_rules(r), "dispatcher.claim_idle=400ms", NULL);

	proc_signal(a, SIGSTOP);
	for (int i = 0; i < 20; i++)
		(void)entry_add(r, "run_id", rig_printf(r, "%d", 2000 + i));
	(void)dispatcher_start(r, "b", few_rules(r), "dispatcher.claim_idle=400ms", NULL);
	WAIT(r, redis_int_of(r, "XLEN %s", OUTCOMES) == 20);
	proc_signal(a, SIGCONT);
	(void)entry_add(r, "run_id", "3000");
	WAIT(r, strcmp(run_of(r, "3000", "outcome"), "observed") == 0);
	WAIT(r, pending(r) == 0 && redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 21);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

static void work_nobody_knows_is_buried(struct rig *r)
{
	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	(void)redis_do(r, "ZADD %s 1 compost:github:501:1001", DUE);
	WAIT(r, redis_int_of(r, "XLEN %s", DEAD) == 1);
	assert_string_equal(redis_last_field(r, DEAD, "item"), "compost:github:501:1001");
	(void)redis_do(r, "ZADD %s 1 act:github:501:1001:1", DUE);
	WAIT(r, redis_int_of(r, "XLEN %s", DEAD) == 2);
	(void)redis_do(r, "ZADD %s 1 diagnose:", DUE);
	WAIT(r, redis_int_of(r, "XLEN %s", DEAD) == 3);
	assert_int_equal(redis_int_of(r, "ZCARD %s", DUE), 0);
}

/* A take that is answered after the signal brings work that is still ours. */
static void work_taken_while_draining_is_ended(struct rig *r)
{
	struct proc *p = dispatcher_start(r, "dispatcher", few_rules(r), NULL);

	(void)redis_do(r, "ZADD %s %lld act:github:501:1001:1", DUE,
		       (long long)clock_wall_ms() + 200);
	(void)redis_do(r, "CLIENT PAUSE 700 ALL");
	assert_true(STAYS_FALSE(r, !proc_running(p), 300));
	assert_int_equal(proc_stop(p), 0);
	assert_int_equal(redis_int_of(r, "HEXISTS pg:{local:0}:work act:github:501:1001:1"), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 1);
}

/* --- a Redis that forgets or dies ------------------------------------------------------------- */

static void a_destroyed_group_is_made_again(struct rig *r)
{
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "dispatcher.claim_idle=400ms", NULL);
	(void)entry_add(r, NULL, NULL);
	WAIT(r, recorded(r, "1001"));
	assert_int_equal(redis_int_of(r, "XGROUP DESTROY %s dispatchers", EVENTS), 1);
	(void)entry_add(r, "run_id", "1002");
	WAIT(r, recorded(r, "1002"));
	assert_int_equal(redis_int_of(r, "DEL %s", EVENTS), 1);
	(void)entry_add(r, "run_id", "1003");
	WAIT(r, recorded(r, "1003"));
	/* Read again from the start, and nothing done again. */
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 3);
}

static void flushed_scripts_are_loaded_again(struct rig *r)
{
	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	for (int i = 0; i < 5; i++) {
		const char *id = rig_printf(r, "%d", 1000 + i);

		(void)redis_do(r, "SCRIPT FLUSH");
		(void)entry_add(r, "run_id", id);
		WAIT(r, strcmp(run_of(r, id, "outcome"), "observed") == 0);
	}
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 5);
}

static void goes_on_after_redis_was_killed(struct rig *r)
{
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "dispatcher.claim_idle=400ms",
			       "redis.timeout=500ms", NULL);
	for (int i = 0; i < 40; i++) {
		(void)entry_add(r, "run_id", rig_printf(r, "%d", 1000 + i));
		if (i % 20 == 10) {
			redis_kill(r);
			redis_start(r);
		}
	}
	WAIT(r, redis_int_of(r, "XLEN %s", OUTCOMES) == 40);
	WAIT(r, redis_int_of(r, "ZCARD %s", DUE) == 0 && pending(r) == 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", OUTCOMES), 40);
}

static void processed_entries_are_trimmed_and_pending_ones_are_not(struct rig *r)
{
	const char *id;

	(void)redis_do(r, "XGROUP CREATE %s dispatchers 0 MKSTREAM", EVENTS);
	/* Whole nodes of a stream are dropped, 100 entries by default. */
	(void)redis_do(r, "CONFIG SET stream-node-max-entries 5");
	id = entry_add(r, "run_id", "999");
	orphan(r, id, 1);
	for (int i = 0; i < 50; i++)
		(void)entry_add(r, "run_id", rig_printf(r, "%d", 1000 + i));
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "dispatcher.keep_events=0s",
			       "dispatcher.claim_idle=600ms", NULL);
	WAIT(r, recorded(r, "1049"));
	WAIT(r, recorded(r, "999"));
	WAIT(r, redis_int_of(r, "XLEN %s", EVENTS) < 20);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
}

static void dead_letters_are_trimmed_by_number_and_age(struct rig *r)
{
	(void)redis_do(r, "CONFIG SET stream-node-max-entries 5");
	for (int i = 1; i <= 10; i++) /* in 1970 */
		(void)redis_do(r, "XADD %s %d-0 reason old", DEAD, i);
	for (int i = 0; i < 40; i++)
		(void)redis_do(r, "XADD %s * reason new n %d", DEAD, i);
	(void)dispatcher_start(r, "dispatcher", few_rules(r), "dispatcher.claim_idle=600ms", NULL);
	WAIT(r, redis_int_of(r, "XLEN %s", DEAD) == 40);
	(void)dispatcher_start(r, "another", few_rules(r), "dispatcher.claim_idle=600ms",
			       "dead_letters.max=12", NULL);
	WAIT(r, redis_int_of(r, "XLEN %s", DEAD) < 17);
	assert_in_range(redis_int_of(r, "XLEN %s", DEAD), 12, 16);
	assert_string_equal(redis_last_field(r, DEAD, "n"), "39");
}

/* Nothing would ever come past it, or it would be tried for ever. */
static void an_entry_that_cannot_be_recorded_is_a_dead_letter(struct rig *r)
{
	const char *id;

	(void)dispatcher_start(r, "dispatcher", few_rules(r), NULL);
	(void)redis_do(r, "SET pg:{local:0}:run:github:501:1001 somebody's");
	id = entry_add(r, NULL, NULL);
	WAIT(r, redis_int_of(r, "XLEN %s", DEAD) == 1);
	assert_string_equal(redis_last_field(r, DEAD, "entry"), id);
	assert_non_null(strstr(redis_last_field(r, DEAD, "reason"), "something else"));
	assert_non_null(strstr(redis_last_field(r, DEAD, "event"), "\"repo\":\"acme"));
	(void)entry_add(r, "run_id", "1002");
	WAIT(r, recorded(r, "1002"));
	WAIT(r, pending(r) == 0);
}

static bool says(struct proc *p, const char *text)
{
	return strstr(proc_output(p), text) != NULL;
}

/* As a Redis does that is still loading its data, or is a replica yet. */
static void waits_for_a_redis_that_is_not_ready(struct rig *r)
{
	const char *url = rig_printf(r, "redis.url=%s", redis_url(r));
	const char *args[] = { "dispatcher",        "--set", url,          "--set",
			       "admin_listen=none", "--set", few_rules(r), NULL };
	struct proc *p;

	(void)redis_do(r, "SET pg:{local}:meta loading");
	p = guard_start(r, "dispatcher", args, NULL);
	WAIT(r, says(p, "redis is not ready"));
	(void)redis_do(r, "DEL pg:{local}:meta");
	(void)proc_line(p, "dispatcher ready ");
	assert_int_equal(proc_stop(p), 0);
}

static void leaves_a_redis_that_became_a_replica(struct rig *r)
{
	struct proc *p = dispatcher_start(r, "dispatcher", few_rules(r),
					  "dispatcher.claim_idle=300ms", NULL);

	(void)redis_do(r, "REPLICAOF 127.0.0.1 1");
	WAIT(r, says(p, "the server turned read-only"));
	(void)redis_do(r, "REPLICAOF NO ONE");
	(void)entry_add(r, NULL, NULL);
	WAIT(r, strcmp(run_of(r, "1001", "outcome"), "observed") == 0);
}

/* --- refusing to start, and ending ---------------------------------------------------------- */

static void refuses_data_of_another_layout(struct rig *r)
{
	static const char *const rows[][2] = { { "2", "1" }, { "1", "4" }, { "x", "1" } };
	const char *url = rig_printf(r, "redis.url=%s", redis_url(r));
	const char *args[] = { "dispatcher",        "--set", url,          "--set",
			       "admin_listen=none", "--set", few_rules(r), NULL };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct proc *p;

		(void)redis_do(r, "HSET pg:{local}:meta v %s partitions %s", rows[i][0],
			       rows[i][1]);
		(void)entry_add(r, NULL, NULL);
		p = guard_start(r, "dispatcher", args, NULL);
		assert_int_equal(proc_wait(p, PATIENCE_MS), 2);
		assert_non_null(strstr(proc_output(p), "refusing to start"));
		assert_int_equal(redis_int_of(r, "EXISTS pg:{local:0}:runs"), 0);
	}
}

static void refuses_settings_that_make_no_sense(struct rig *r)
{
	static const char *const rows[] = {
		"mode=sometimes",
		"rules_dir=/nowhere/at/all",
		"heal.settle=soon",
		"no.such=key",
		"github.api_url=http://example.org",
		"heal.min_confidence=101",
		"region=No Capitals",
		"dispatcher.lease=1ms",
	};
	const char *url = rig_printf(r, "redis.url=%s", redis_url(r)), *token;

	rig_write(r, "t", API_TOKEN, 0600);
	token = rig_printf(r, "github.token_file=%s", rig_path(r, "t"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *args[] = { "dispatcher", "--set", url,     "--set", "admin_listen=none",
				       "--set",      token,   "--set", rows[i], NULL };
		struct proc *p = guard_start(r, "dispatcher", args, NULL);
		int status = proc_wait(p, PATIENCE_MS);

		if (status != 2)
			fail_msg("%s: exit status %d", rows[i], status);
	}
}

static void waits_for_a_redis_that_comes_later(struct rig *r)
{
	const char *url = rig_printf(r, "redis.url=%s", redis_url(r));
	const char *args[] = { "dispatcher",        "--set", url,          "--set",
			       "admin_listen=none", "--set", few_rules(r), NULL };
	struct proc *p;

	redis_kill(r);
	p = guard_start(r, "dispatcher", args, NULL);
	assert_true(STAYS_FALSE(r, strstr(proc_output(p), "dispatcher ready"), 300));
	redis_start(r);
	(void)proc_line(p, "dispatcher ready ");
	assert_int_equal(proc_stop(p), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(an_entry_becomes_a_run_a_plan_and_an_outcome),
		RIG_TEST(what_it_cannot_read_is_a_dead_letter_with_the_reason),
		RIG_TEST(names_mean_nothing_in_keys),
		RIG_TEST(texts_arrive_as_they_were),
		RIG_TEST(every_partition_is_served),
		RIG_TEST(what_it_does_not_know_is_no_error),
		RIG_TEST(state_only_moves_forward),
		RIG_TEST(one_plan_for_one_attempt),
		RIG_TEST(a_failure_told_during_a_diagnosis_is_diagnosed),
		RIG_TEST(the_next_attempt_decides_and_no_later_one),
		RIG_TEST(a_run_that_was_forgotten_is_not_healed_again),
		RIG_TEST(entries_of_a_dead_dispatcher_are_taken_over),
		RIG_TEST(an_entry_that_kills_everybody_becomes_a_dead_letter),
		RIG_TEST(a_stopped_dispatcher_changes_nothing_when_it_wakes_up),
		RIG_TEST(work_nobody_knows_is_buried),
		RIG_TEST(work_taken_while_draining_is_ended),
		RIG_TEST(a_destroyed_group_is_made_again),
		RIG_TEST(flushed_scripts_are_loaded_again),
		RIG_TEST(goes_on_after_redis_was_killed),
		RIG_TEST(processed_entries_are_trimmed_and_pending_ones_are_not),
		RIG_TEST(dead_letters_are_trimmed_by_number_and_age),
		RIG_TEST(an_entry_that_cannot_be_recorded_is_a_dead_letter),
		RIG_TEST(waits_for_a_redis_that_is_not_ready),
		RIG_TEST(leaves_a_redis_that_became_a_replica),
		RIG_TEST(refuses_data_of_another_layout),
		RIG_TEST(refuses_settings_that_make_no_sense),
		RIG_TEST(waits_for_a_redis_that_comes_later),
	};

	return rig_main(tests);
}

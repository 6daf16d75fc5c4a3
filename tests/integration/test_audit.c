/* The audit log of real processes: complete, in order, and any tampering is found where it is. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <hiredis/hiredis.h>

#include "core/json.h"
#include "tests/integration/product.h"

#define AUDIT "pg:{local}:audit"

static const char transient[] = "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}";

static const char *key_set(struct rig *r)
{
	rig_write(r, "audit-key", "a key that only the tests know, and the guard", 0600);
	return rig_printf(r, "audit.key_file=%s", rig_path(r, "audit-key"));
}

static const char *dir_set(struct rig *r)
{
	return rig_printf(r, "audit.dir=%s", rig_path(r, "audit"));
}

static struct proc *start_audited(struct rig *r)
{
	(void)receiver_start(r, key_set(r), dir_set(r), NULL);
	(void)simulator_start(r, NULL);
	return dispatcher_start(r, "dispatcher",
				rules_only(r, "markers.yaml", "network.yaml", NULL), key_set(r),
				dir_set(r), NULL);
}

/* Exit status of `audit verify`, and its JSON. */
static int verify(struct rig *r, struct json_object **out, const char *option, const char *value)
{
	const char *env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)), NULL };
	struct proc *p = guard_start(
		r, "audit", LIST("audit", "--json", "--set", key_set(r), "verify", option, value),
		env);
	int status = proc_wait(p, PATIENCE_MS);
	const char *text = proc_output(p);

	*out = rig_json(r, text, strlen(text));
	return status;
}

static const char *fault_of(struct json_object *o, size_t i, const char *member)
{
	return json_str(json_object_array_get_idx(json_object_object_get(o, "list"), i), member,
			"");
}

/* The id of the i-th record. */
static const char *id_at(struct rig *r, size_t i)
{
	struct redisReply *all = redis_do(r, "XRANGE " AUDIT " - +");

	assert_true(all->elements > i);
	return rig_printf(r, "%s", all->element[i]->element[0]->str);
}

static void everything_that_was_done_is_recorded(struct rig *r)
{
	struct json_object *o;
	uint64_t run;

	(void)start_audited(r);
	run = sim_run(r, transient);
	assert_string_equal(plan_result(r, run, 1), "healed");
	WAIT(r, redis_int_of(r, "XLEN " AUDIT) == 2);
	assert_string_equal(redis_last_field(r, AUDIT, "what"), "outcome");
	assert_string_equal(redis_last_field(r, AUDIT, "result"), "healed");
	assert_int_equal(verify(r, &o, "--files", rig_path(r, "audit")), 0);
	assert_int_equal(json_i64(o, "records", 0), 2);
	assert_true(json_flag(o, "keyed", false));
}

/* Whoever can write to the log could have made them. */
static void records_without_a_key_prove_nothing(struct rig *r)
{
	struct json_object *o;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", rules_only(r, "markers.yaml", "network.yaml", NULL),
			       NULL);
	assert_string_equal(plan_result(r, sim_run(r, transient), 1), "healed");
	WAIT(r, redis_int_of(r, "XLEN " AUDIT) == 2);
	assert_int_equal(verify(r, &o, NULL, NULL), 2);
	assert_int_equal(json_i64(o, "without_key", 0), 2);
	assert_int_equal(json_i64(o, "faults", -1), 0);
	(void)redis_do(r, "XDEL " AUDIT " %s", id_at(r, 0));
	assert_int_equal(verify(r, &o, NULL, NULL), 1);
}

static void three_healed(struct rig *r)
{
	(void)start_audited(r);
	for (int i = 0; i < 3; i++)
		assert_string_equal(plan_result(r, sim_run(r, transient), 1), "healed");
	WAIT(r, redis_int_of(r, "XLEN " AUDIT) == 6);
}

static void a_record_that_was_taken_out_is_found(struct rig *r)
{
	struct json_object *o;

	three_healed(r);
	(void)redis_do(r, "XDEL " AUDIT " %s", id_at(r, 2));
	assert_int_equal(verify(r, &o, NULL, NULL), 1);
	assert_int_equal(json_i64(o, "faults", 0), 1);
	assert_string_equal(fault_of(o, 0, "where"), id_at(r, 2));
	assert_non_null(strstr(fault_of(o, 0, "fault"), "missing"));
}

/* The last record again, with another result, as somebody would who covers something up. */
static void a_record_that_was_changed_is_found(struct rig *r)
{
	struct json_object *o;
	struct redisReply *all, *fields;
	const char *argv[64] = { "XADD", AUDIT, "*" };
	size_t n = 3;

	three_healed(r);
	all = redis_do(r, "XREVRANGE " AUDIT " + - COUNT 1");
	fields = all->element[0]->element[1];
	for (size_t i = 0; i < fields->elements; i++)
		argv[n++] = i && strcmp(fields->element[i - 1]->str, "result") == 0
				    ? "observed"
				    : rig_printf(r, "%s", fields->element[i]->str);
	(void)redis_do(r, "XDEL " AUDIT " %s",
		       rig_printf(r, "%s", all->element[0]->element[0]->str));
	(void)redis_do_argv(r, argv);
	assert_int_equal(verify(r, &o, NULL, NULL), 1);
	assert_non_null(strstr(fault_of(o, 0, "fault"), "changed"));
	assert_string_equal(fault_of(o, 0, "where"), id_at(r, 5));
}

static void an_end_that_was_cut_off_is_found(struct rig *r)
{
	struct json_object *o;

	three_healed(r);
	(void)redis_do(r, "XDEL " AUDIT " %s", id_at(r, 5));
	assert_int_equal(verify(r, &o, NULL, NULL), 1);
	/* And when its head was forged with it, by what is kept elsewhere. */
	(void)redis_do(r, "DEL " AUDIT ":heads");
	assert_int_equal(verify(r, &o, NULL, NULL), 0);
	assert_int_equal(verify(r, &o, "--files", rig_path(r, "audit")), 1);
	assert_non_null(strstr(fault_of(o, 0, "fault"), "not in Redis"));
}

static void anchors_in_the_log_show_it_too(struct rig *r)
{
	struct json_object *o;
	struct proc *d;

	(void)receiver_start(r, NULL);
	(void)simulator_start(r, NULL);
	d = dispatcher_start(r, "dispatcher", rules_only(r, "markers.yaml", "network.yaml", NULL),
			     key_set(r), NULL);
	assert_string_equal(plan_result(r, sim_run(r, transient), 1), "healed");
	WAIT(r, redis_int_of(r, "XLEN " AUDIT) == 2);
	assert_int_equal(proc_stop(d), 0);
	rig_write(r, "anchors", proc_output(d), 0600);
	assert_int_equal(verify(r, &o, "--anchors", rig_path(r, "anchors")), 0);
	(void)redis_do(r, "DEL " AUDIT " " AUDIT ":heads");
	assert_int_equal(verify(r, &o, NULL, NULL), 0);
	assert_int_equal(verify(r, &o, "--anchors", rig_path(r, "anchors")), 1);
}

static void what_was_trimmed_is_told_from_what_was_taken_out(struct rig *r)
{
	enum { MAX = 10, RUNS = 8 };
	struct json_object *o;

	(void)receiver_start(r, key_set(r), dir_set(r), NULL);
	(void)simulator_start(r, NULL);
	(void)dispatcher_start(r, "dispatcher", rules_only(r, "markers.yaml", "network.yaml", NULL),
			       key_set(r), dir_set(r), "audit.max=10",
			       "dispatcher.claim_idle=200ms", NULL);
	for (int i = 0; i < RUNS; i++)
		assert_string_equal(plan_result(r, sim_run(r, transient), 1), "healed");
	WAIT(r, redis_int_of(r, "XLEN " AUDIT) <= MAX &&
			redis_int_of(r, "EXISTS " AUDIT ":heads") == 1 &&
			verify(r, &o, NULL, NULL) == 0);
	assert_int_equal(verify(r, &o, "--files", rig_path(r, "audit")), 0);
	/* The same again, by somebody who says nothing of it. */
	(void)redis_do(r, "XDEL " AUDIT " %s", id_at(r, 0));
	assert_int_equal(verify(r, &o, NULL, NULL), 1);
	assert_string_equal(fault_of(o, 0, "where"), id_at(r, 0));
	assert_non_null(strstr(fault_of(o, 0, "fault"), "missing"));
	/* And all of them, with their heads: the files still know. */
	(void)redis_do(r, "DEL " AUDIT " " AUDIT ":heads");
	assert_int_equal(verify(r, &o, NULL, NULL), 0);
	assert_int_equal(verify(r, &o, "--files", rig_path(r, "audit")), 1);
}

static void records_wait_for_a_redis_that_was_killed(struct rig *r)
{
	struct json_object *o;

	three_healed(r);
	redis_kill(r);
	redis_start(r);
	assert_string_equal(plan_result(r, sim_run(r, transient), 1), "healed");
	WAIT(r, redis_int_of(r, "XLEN " AUDIT) == 8);
	assert_int_equal(verify(r, &o, "--files", rig_path(r, "audit")), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(everything_that_was_done_is_recorded),
		RIG_TEST(records_without_a_key_prove_nothing),
		RIG_TEST(a_record_that_was_taken_out_is_found),
		RIG_TEST(a_record_that_was_changed_is_found),
		RIG_TEST(an_end_that_was_cut_off_is_found),
		RIG_TEST(anchors_in_the_log_show_it_too),
		RIG_TEST(what_was_trimmed_is_told_from_what_was_taken_out),
		RIG_TEST(records_wait_for_a_redis_that_was_killed),
	};

	return rig_main(tests);
}

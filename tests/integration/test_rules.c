/* `pipeline-guard rules`: what it prints, and its exit status. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/json.h"
#include "tests/integration/product.h"

enum { ARGS_MAX = 16 };

/* Exit status of `pipeline-guard rules ...`, closed by NULL, and what it printed. */
static int rules(struct rig *r, const char **out, ...) __attribute__((sentinel));

static int rules(struct rig *r, const char **out, ...)
{
	const char *args[ARGS_MAX] = { "rules" }, *arg;
	const char *env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)), NULL };
	struct proc *p;
	size_t n = 1;
	va_list ap;
	int status;

	va_start(ap, out);
	while ((arg = va_arg(ap, const char *))) {
		assert_true(n < ARGS_MAX - 1);
		args[n++] = arg;
	}
	va_end(ap);
	p = guard_start(r, "command", args, env);
	status = proc_wait(p, PATIENCE_MS);
	*out = proc_output(p);
	return status;
}

static void says(const char *out, const char *words)
{
	if (!strstr(out, words))
		fail_msg("\"%s\" is not in:\n%s", words, out);
}

static struct json_object *json(struct rig *r, const char *out)
{
	return rig_json(r, out, strlen(out));
}

static void folder(struct rig *r, const char *name)
{
	assert_int_equal(mkdir(rig_path(r, name), 0700), 0);
}

#define RULE(id, regex, positive)                                                            \
	"  - id: " id "\n    category: network_failure\n    confidence: 0.9\n    title: t\n" \
	"    transient: true\n    regex: '" regex "'\n    positive: ['" positive "']\n"      \
	"    negative: ['fine']\n    suggestions: [Do.]\n    link: https://example.org\n"

static const char *rules_folder(struct rig *r, const char *more)
{
	folder(r, "rules");
	rig_write(r, "rules/a.yaml",
		  rig_printf(r, "rules:\n%s%s", RULE("tax", "^tax: timed out", "tax: timed out"),
			     more),
		  0600);
	return rig_path(r, "rules");
}

static void faults_have_their_place(struct rig *r)
{
	const char *dir = rules_folder(r, RULE("vat", "^vat: x", "vat: y")), *out;
	struct json_object *o;

	assert_int_equal(rules(r, &out, "test", dir, NULL), 1);
	says(out, "a.yaml:12: rule vat: misses its positive sample 1");
	says(out, "1 rules are well, 2 samples say what they should; 1 fault");
	assert_int_equal(rules(r, &out, "test", dir, "--json", NULL), 1);
	o = json(r, out);
	assert_int_equal(json_i64(o, "faults.0.line", 0), 12);
	assert_int_equal(json_i64(o, "rules", 0), 1);
	/* What needs the rules does not go on without one of them. */
	assert_int_equal(rules(r, &out, "list", "--rules", dir, NULL), 2);
	says(out, "a.yaml:12");
	assert_int_equal(rules(r, &out, "test", NULL), 0);
}

static void the_rules_are_listed_and_shown(struct rig *r)
{
	const char *dir = rules_folder(r, ""), *out;
	struct json_object *o;

	assert_int_equal(rules(r, &out, "list", "--rules", dir, NULL), 0);
	says(out, "network_failure");
	assert_int_equal(rules(r, &out, "list", "--rules", dir, "--json", NULL), 0);
	o = json(r, out);
	assert_int_equal(json_object_array_length(o), 1);
	assert_int_equal(rules(r, &out, "show", "tax", "--rules", dir, NULL), 0);
	says(out, "tax (a.yaml:2)");
	says(out, "yes: trying again can help");
	assert_int_equal(rules(r, &out, "show", "tax", "--rules", dir, "--json", NULL), 0);
	assert_string_equal(json_str(json(r, out), "regex", ""), "^tax: timed out");
	assert_int_equal(rules(r, &out, "show", "nobody", "--rules", dir, NULL), 1);
	assert_int_equal(rules(r, &out, "lint", dir, NULL), 0);
}

/* Two that are right, a false alarm, one of another cause, two of a kind that has no rule. */
static void logs_folder(struct rig *r)
{
	static const char *const logs[][2] = {
		{ "logs/network_failure/a.log", "tax: timed out\n" },
		{ "logs/red/b.log", "tax: timed out\n" },
		{ "logs/green/c.log", "tax: timed out\n" },
		{ "logs/green/d.log", "well\n" },
		{ "logs/timeout/e.log", "tax: timed out\n" },
		{ "logs/red/f.log", "the shop 17 burnt down\n" },
		{ "logs/red/g.log", "the shop 4 burnt down\n" },
	};

	folder(r, "logs");
	folder(r, "logs/network_failure");
	folder(r, "logs/red");
	folder(r, "logs/green");
	folder(r, "logs/timeout");
	for (size_t i = 0; i < ARRAY_LEN(logs); i++)
		rig_write(r, logs[i][0], logs[i][1], 0600);
}

static void logs_say_how_good_the_rules_are(struct rig *r)
{
	const char *dir = rules_folder(r, ""), *logs = rig_path(r, "logs"), *out;
	struct json_object *o;

	logs_folder(r);
	assert_int_equal(rules(r, &out, "backtest", logs, "--rules", dir, "--json", NULL), 0);
	o = json(r, out);
	assert_int_equal(json_i64(o, "logs", 0), 7);
	assert_int_equal(json_i64(o, "green", 0), 2);
	assert_int_equal(json_i64(o, "unknown", 0), 2);
	assert_string_equal(json_str(o, "rules.0.id", ""), "tax");
	assert_int_equal(json_i64(o, "rules.0.hits", 0), 4);
	assert_int_equal(json_i64(o, "rules.0.right", 0), 2);
	assert_int_equal(json_i64(o, "rules.0.wrong", 0), 2);
	assert_int_equal(json_i64(o, "rules.0.false_alarms", 0), 1);
	assert_true(json_num(o, "rules.0.precision", 0) == 0.5);
	assert_int_equal(rules(r, &out, "backtest", logs, "--rules", dir, NULL), 0);
	says(out, "50.0 % (15 to 85)");

	assert_int_equal(
		rules(r, &out, "backtest", logs, "--rules", dir, "--min-precision", "80", NULL), 0);
	assert_int_equal(
		rules(r, &out, "backtest", logs, "--rules", dir, "--min-precision", "90", NULL), 1);
	says(out, "tax is right in 2 of 4 logs");

	assert_int_equal(rules(r, &out, "coverage", logs, "--rules", dir, "--json", NULL), 0);
	o = json(r, out);
	assert_int_equal(json_i64(o, "failed", 0), 5);
	assert_true(json_num(o, "unknown_share", 0) == 0.4);
	assert_int_equal(json_i64(o, "categories.network_failure.decided", 0), 4);
	assert_int_equal(json_i64(o, "categories.timeout.labelled", 0), 1);
	assert_int_equal(rules(r, &out, "coverage", logs, "--rules", dir, NULL), 0);
	says(out, "5 failed logs, 2 of them unknown (40.0 %)");
}

static void unnamed_failures_are_next(struct rig *r)
{
	const char *dir = rules_folder(r, ""), *logs = rig_path(r, "logs"), *out;
	struct json_object *o;

	logs_folder(r);
	assert_int_equal(rules(r, &out, "next", logs, "--rules", dir, "--json", NULL), 0);
	o = json(r, out);
	assert_int_equal(json_object_array_length(json_at(o, "clusters")), 1);
	assert_int_equal(json_i64(o, "clusters.0.count", 0), 2);
	assert_string_equal(json_str(o, "clusters.0.example", ""), "the shop 17 burnt down");
	assert_int_equal(rules(r, &out, "next", logs, "--rules", dir, NULL), 0);
	says(out, "2 of 5 failed logs are unknown, in 1 kinds");
}

static void wrong_usage_is_2_and_nothing_there_is_3(struct rig *r)
{
	const char *out;

	assert_int_equal(rules(r, &out, NULL), 2);
	assert_int_equal(rules(r, &out, "dance", NULL), 2);
	assert_int_equal(rules(r, &out, "show", NULL), 2);
	assert_int_equal(rules(r, &out, "list", "x", NULL), 2);
	assert_int_equal(rules(r, &out, "backtest", "a", "b", NULL), 2);
	assert_int_equal(rules(r, &out, "test", rig_path(r, "nowhere"), NULL), 2);
	assert_int_equal(rules(r, &out, "backtest", rig_path(r, "nowhere"), NULL), 3);
	folder(r, "plain");
	rig_write(r, "plain/a.log", "x\n", 0600);
	assert_int_equal(rules(r, &out, "backtest", rig_path(r, "plain"), NULL), 2);
	says(out, "no log there has a label");
}

/* --- practice ------------------------------------------------------------------------------ */

#define RULES "pg:{local}:rules"
#define TOKEN "admin-token-of-the-rules-test"

static struct proc *start(struct rig *r)
{
	rig_write(r, "admin-token", TOKEN, 0600);
	rig_hide(r, TOKEN, "admin-token");
	(void)receiver_start(r, rig_printf(r, "admin_token_file=%s", rig_path(r, "admin-token")),
			     NULL);
	(void)simulator_start(r, NULL);
	return dispatcher_start(r, "dispatcher",
				rules_only(r, "markers.yaml", "network.yaml", NULL),
				"rules.trust_refresh=50ms", NULL);
}

static int64_t reruns(struct rig *r, uint64_t run)
{
	return sim_number(r, run, "rerun_accepted") + sim_number(r, run, "rerun_refused");
}

static void a_rule_that_is_wrong_too_often_causes_no_reruns(struct rig *r)
{
	struct proc *d = start(r);
	const char *out, *rule, *field, *answers;
	uint64_t run;

	/* What every re-run that ended says is counted. */
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"same\"}");
	assert_string_equal(plan_result(r, run, 1), "same_failure");
	rule = plan_field(r, run, 1, "rule");
	field = rig_printf(r, "transient:%s", rule);
	WAIT(r, strncmp(redis_text_of(r, "HGET %s %s", RULES, field), "0.0000 1.0000 ", 14) == 0);
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "healed");
	WAIT(r, strncmp(redis_text_of(r, "HGET %s %s", RULES, field), "1.0000 ", 7) == 0);

	/* Many more in vain. */
	answers = rig_printf(r, "1 %d %lld", 14, (long long)clock_wall_ms());
	(void)redis_do(r, "HSET %s %s %s", RULES, field, answers);
	WAIT(r, strstr(proc_output(d), "a rule keeps being wrong"));
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "escalated");
	says(plan_field(r, run, 1, "reason"), "lately it did in about 1 of 15 cases");
	assert_int_equal(reruns(r, run), 0);
	assert_int_equal(rules(r, &out, "list", NULL), 0);
	says(out, "7 % of 15.0, demoted");
	assert_int_equal(rules(r, &out, "show", rule, "--json", NULL), 0);
	assert_true(json_flag(json(r, out), "live.transient.demoted", false));

	/* It is said once, and it is not for ever. */
	assert_null(strstr(strstr(proc_output(d), "a rule keeps being wrong") + 1,
			   "a rule keeps being wrong"));
	(void)redis_do(r, "HSET %s %s %s", RULES, field,
		       rig_printf(r, "9 11 %lld", (long long)clock_wall_ms()));
	WAIT(r, strstr(proc_output(d), "a rule is trusted again"));
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "healed");
}

static struct answer feedback(struct rig *r, const char *ref, const char *right)
{
	const char *body = rig_printf(r, "{\"run\":\"%s\",\"right\":%s}", ref, right);

	return http_ask(r, receiver_admin_port(r), "POST", "/api/v1/feedback",
			"Authorization: Bearer " TOKEN "\r\n", body, strlen(body));
}

static void people_say_whether_a_cause_is_right(struct rig *r)
{
	struct proc *d = start(r);
	const char *out, *ref, *field;
	struct answer a;
	uint64_t run, other;

	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	other = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "healed");
	assert_string_equal(plan_result(r, other, 1), "healed");
	field = rig_printf(r, "category:%s", plan_field(r, run, 1, "rule"));
	ref = plan_field(r, run, 1, "run");
	assert_int_equal(rules(r, &out, "reject", ref, "--json", NULL), 0);
	assert_false(json_flag(json(r, out), "right", true));
	assert_int_equal(rules(r, &out, "confirm", ref, NULL), 1);
	says(out, "judged this diagnosis already");
	ref = plan_field(r, other, 1, "run");
	a = feedback(r, ref, "false");
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_str(&a, "run"), ref);
	assert_int_equal(feedback(r, ref, "false").status, 409);
	assert_int_equal(feedback(r, "github:1:2", "true").status, 404);
	assert_int_equal(feedback(r, ref, "7").status, 400);
	assert_int_equal(rules(r, &out, "reject", "github:1:2", NULL), 1);
	assert_true(strncmp(redis_text_of(r, "HGET %s %s", RULES, field), "0.0000 ", 7) == 0);
	says(redis_text_of(r, "HGET %s %s", RULES, field), " 2.0000 ");

	/* A rule whose causes are wrong is not sure enough to act upon. */
	(void)redis_do(r, "HSET %s %s %s", RULES, field,
		       rig_printf(r, "0 6 %lld", (long long)clock_wall_ms()));
	WAIT(r, strstr(proc_output(d), "its causes are less trusted"));
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "escalated");
	says(plan_field(r, run, 1, "reason"), "% sure of network failure");
	assert_int_equal(reruns(r, run), 0);
}

static int64_t times(struct rig *r, const char *fingerprint)
{
	return strtoll(redis_text_of(r, "HGET pg:{local}:cluster:%s count", fingerprint), NULL, 10);
}

static void failures_of_one_kind_are_counted(struct rig *r)
{
	const char *out, *fingerprint;
	struct json_object *o;
	struct answer a;
	uint64_t run;

	(void)start(r);
	run = sim_run(r, "{\"cause\":\"unknown_exit\",\"rerun\":\"same\"}");
	assert_string_equal(plan_result(r, run, 1), "escalated");
	fingerprint = run_field(r, run, "fingerprint");
	WAIT(r, times(r, fingerprint) == 1);
	sim_post(r, rig_printf(r, "/_sim/runs/%llu/rerun", (unsigned long long)run), "{}");
	assert_string_equal(plan_result(r, run, 2), "escalated");
	assert_string_equal(run_field(r, run, "fingerprint"), fingerprint);
	WAIT(r, times(r, fingerprint) == 2);
	assert_int_equal(redis_int_of(r, "ZCARD pg:{local}:clusters"), 1);
	assert_in_range(redis_int_of(r, "TTL pg:{local}:cluster:%s", fingerprint), 34 * 86400,
			35 * 86400);
	assert_int_equal(rules(r, &out, "next", "--json", NULL), 0);
	o = json(r, out);
	assert_int_equal(json_i64(o, "clusters.0.count", 0), 2);
	assert_true(*json_str(o, "clusters.0.example", "") != '\0');
	assert_true(json_i64(o, "clusters.0.first_seen_ms", 0) > 0);
	assert_string_equal(json_str(o, "clusters.0.fingerprint", ""), fingerprint);
	assert_int_equal(rules(r, &out, "next", NULL), 0);
	says(out, fingerprint);
	a = http_get(r, receiver_admin_port(r), "/api/v1/clusters?limit=5");
	assert_int_equal(a.status, 200);
	assert_int_equal(json_i64(a.json, "clusters.0.count", 0), 2);
	assert_string_equal(json_str(a.json, "clusters.0.repositories.0", ""),
			    run_field(r, run, "repo"));

	/* To read the logs again is no second failure. */
	(void)redis_do(r, "ZADD %s 1 diagnose:%s", DUE, plan_field(r, run, 1, "run"));
	(void)redis_do(r, "HDEL %s diagnosed", run_key(r, run));
	WAIT(r, strcmp(run_field(r, run, "diagnosed"), "2") == 0);
	assert_int_equal(times(r, fingerprint), 2);

	/* One that has a name is no rule to write. */
	run = sim_run(r, "{\"cause\":\"network_dns\",\"rerun\":\"pass\"}");
	assert_string_equal(plan_result(r, run, 1), "healed");
	WAIT(r, times(r, run_field(r, run, "fingerprint")) == 1);
	assert_int_equal(rules(r, &out, "next", "--json", NULL), 0);
	assert_int_equal(json_object_array_length(json_at(json(r, out), "clusters")), 1);
}

static void the_clusters_stay_few(struct rig *r)
{
	uint64_t run;

	(void)redis_do(
		r, "EVAL %s 0",
		"for i = 1, 2100 do "
		"redis.call('ZADD', 'pg:{local}:clusters', redis.call('TIME')[1] * 1000 - i, "
		"'f' .. i) "
		"redis.call('HSET', 'pg:{local}:cluster:f' .. i, 'count', 1) end");
	(void)start(r);
	run = sim_run(r, "{\"cause\":\"unknown_exit\"}");
	assert_string_equal(plan_result(r, run, 1), "escalated");
	WAIT(r, redis_int_of(r, "ZCARD pg:{local}:clusters") == 2000);
	assert_int_equal(redis_int_of(r, "EXISTS pg:{local}:cluster:f2100"), 0);
	assert_int_equal(redis_int_of(r, "EXISTS pg:{local}:cluster:f1"), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(faults_have_their_place),
		RIG_TEST(the_rules_are_listed_and_shown),
		RIG_TEST(logs_say_how_good_the_rules_are),
		RIG_TEST(unnamed_failures_are_next),
		RIG_TEST(a_rule_that_is_wrong_too_often_causes_no_reruns),
		RIG_TEST(people_say_whether_a_cause_is_right),
		RIG_TEST(failures_of_one_kind_are_counted),
		RIG_TEST(the_clusters_stay_few),
		RIG_TEST(wrong_usage_is_2_and_nothing_there_is_3),
	};

	return rig_main(tests);
}

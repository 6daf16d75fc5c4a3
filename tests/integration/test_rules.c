/* `pipeline-guard rules`: what it prints, and its exit status. */
#include <stdarg.h>
#include <stdio.h>
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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(faults_have_their_place),
		RIG_TEST(the_rules_are_listed_and_shown),
		RIG_TEST(logs_say_how_good_the_rules_are),
		RIG_TEST(unnamed_failures_are_next),
		RIG_TEST(wrong_usage_is_2_and_nothing_there_is_3),
	};

	return rig_main(tests);
}

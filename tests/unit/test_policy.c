#include "dispatcher/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dispatcher/policy_time.h"
#include "unit.h"

static const struct policy_answer base = {
	.mode = POLICY_ACT,
	.risk = RISK_RETRY,
	.limits = { 60, 1, 10, 0 },
};

static struct policy *parse(const char *yaml)
{
	struct policy *p = NULL;
	struct err err;

	assert_ok(policy_parse("policy.yaml", yaml, strlen(yaml), &base, &p, &err), &err);
	return p;
}

/* A Wednesday, 12:00 UTC. */
enum { NOON = 1700049600 };

static const struct policy_case ordinary = {
	.provider = "github",
	.repo = "acme/shop",
	.branch = "main",
	.pipeline = "CI",
	.event = "push",
	.category = "network_failure",
	.subcategory = "dns",
	.fingerprint = "0123456789abcdef",
	.now_ms = NOON * 1000LL,
};

static void first_rule_that_applies_decides(void **state)
{
	static const char *const holds[] = {
		"provider: [github]",
		"provider: [gitlab, github]",
		"repo: ['acme/*']",
		"repo: ['ACME/Shop']",
		"repo: ['*', '!acme/other']",
		"repo: ['!acme/other']",
		"branch: [main]",
		"pipeline: ['C?']",
		"event: [push]",
		"category: [network_failure]",
		"category: ['network_failure/dns']",
		"category: ['network_failure/*']",
		"category: ['*', '!test_failure']",
		"fingerprint: ['0123*']",
		"time: ['Wed']",
		"time: ['11:59-12:01']",
		"provider: [github], branch: [main]",
	};
	static const char *const fails[] = {
		"provider: [gitlab]",
		"repo: ['acme/*', '!acme/shop']",
		"repo: [shop]",
		"branch: [Main]",
		"category: [test_failure]",
		"category: ['network_failure/tls']",
		"fingerprint: ['1*']",
		"time: ['Thu']",
		"time: ['12:01-11:59']",
		"provider: [github], branch: [release]",
	};
	char yaml[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(holds) + ARRAY_LEN(fails); i++) {
		bool want = i < ARRAY_LEN(holds);
		const char *when = want ? holds[i] : fails[i - ARRAY_LEN(holds)];
		struct policy_answer a;
		struct policy *p;

		(void)snprintf(yaml, sizeof(yaml),
			       "timezone: UTC\n"
			       "rules:\n"
			       "  - { name: asked, when: { %s }, mode: suggest }\n"
			       "  - { name: rest, mode: observe }\n",
			       when);
		p = parse(yaml);
		policy_ask(p, &ordinary, &a);
		assert_case(strcmp(a.rule, want ? "asked" : "rest") == 0, when);
		assert_case(a.mode == (want ? POLICY_SUGGEST : POLICY_OBSERVE), when);
		policy_free(p);
	}
}

static void what_a_rule_does_not_say_comes_from_the_defaults(void **state)
{
	struct policy *p = parse("defaults: { risk: change, reruns_per_run: 2 }\n"
				 "rules:\n"
				 "  - name: few\n"
				 "    when: { branch: [main] }\n"
				 "    reruns_per_run: 0\n"
				 "    strategies: [rerun_failed_jobs]\n");
	struct policy_case other = ordinary;
	struct policy_answer a;

	(void)state;
	policy_ask(p, &ordinary, &a);
	assert_int_equal(a.mode, POLICY_ACT);
	assert_int_equal(a.risk, RISK_CHANGE);
	assert_int_equal(a.limits.reruns_per_run, 0);
	assert_int_equal(a.limits.per_pipeline_hour, 10);
	assert_true(policy_allows(&a, "rerun_failed_jobs"));
	assert_false(policy_allows(&a, "escalate"));
	other.branch = "feature";
	policy_ask(p, &other, &a);
	assert_string_equal(a.rule, "defaults");
	assert_int_equal(a.limits.reruns_per_run, 2);
	assert_true(policy_allows(&a, "escalate"));
	policy_free(p);
}

static void says_what_may_be_proposed(void **state)
{
	OWNED(policy_freep)
	struct policy *p = parse("defaults:\n"
				 "  change: { max_files: 3, labels: [ci, bot], draft: true }\n"
				 "rules:\n"
				 "  - name: mirrored\n"
				 "    when: { repo: ['acme/*'] }\n"
				 "    change:\n"
				 "      draft: false\n"
				 "      ci_files: true\n"
				 "      mirrors: [npm.example.org https://npm.acme.org]\n");
	struct policy_answer a, other;

	(void)state;
	policy_ask(p, &ordinary, &a);
	assert_int_equal(a.change.max_files, 3);
	assert_int_equal(a.change.max_lines, 0);
	assert_int_equal(a.change.n_labels, 2);
	assert_string_equal(a.change.labels[1], "bot");
	assert_false(a.change.draft);
	assert_true(a.change.ci_files);
	assert_false(a.change.fewer_tests);
	assert_int_equal(a.change.n_mirrors, 1);
	assert_string_equal(a.change.mirrors[0], "npm.example.org https://npm.acme.org");
	policy_defaults(p, &other);
	assert_true(other.change.draft);
	assert_false(other.change.ci_files);
	assert_int_equal(other.change.n_mirrors, 0);
}

static void without_a_file_the_base_holds(void **state)
{
	struct policy *p = NULL;
	struct policy_answer a;
	struct err err;

	(void)state;
	assert_ok(policy_load(NULL, &base, &p, &err), &err);
	policy_ask(p, &ordinary, &a);
	assert_int_equal(a.mode, POLICY_ACT);
	assert_int_equal(a.limits.min_confidence, 60);
	assert_int_equal(policy_quiet_ms(p, ordinary.now_ms), 0);
	policy_free(p);
}

static void refuses_what_makes_no_sense_and_says_where(void **state)
{
	static const struct {
		const char *yaml, *says;
	} cases[] = {
		{ "rules: [{ name: a, whne: {} }]", "whne" },
		{ "rules: [{ name: a, mode: maybe }]", "mode" },
		{ "rules: [{ mode: act }]", "name" },
		{ "rules:\n  - name: a\n    when: { provider: [githob] }\n",
		  ":3:24: \"githob\" is not a provider" },
		{ "rules:\n  - name: a\n    when: { category: [network] }\n",
		  ":3:24: \"network\" is not a category" },
		{ "rules:\n  - name: a\n    when: { branch: [x, '!x'] }\n",
		  ":3:25: \"!x\" is said twice, or at once" },
		{ "rules:\n  - name: a\n    when: { time: ['25:00-26:00'] }\n",
		  ":3:20: \"25:00-26:00\" is no time" },
		{ "rules:\n  - name: a\n    when: { fingerprint: [xyz] }\n", ":3:27:" },
		{ "rules:\n  - name: a\n    strategies: [pray]\n",
		  ":3:18: \"pray\" is no strategy" },
		{ "defaults:\n  reruns_per_run: 11\n", ":2:19: reruns_per_run is from 0 to 10" },
		{ "defaults:\n  min_confidence: -1\n", ":2:19: min_confidence" },
		{ "fleet_percent: 101", ":1:16: fleet_percent" },
		{ "quiet_hours: ['00:00-24:00']", "always quiet" },
		{ "quiet_hours: [now]", ":1:15: \"now\" is no time" },
		{ "timezone: Mars/Olympus", ":1:11: \"Mars/Olympus\" is no time zone" },
		{ "timezone: ../../etc/passwd", "no time zone" },
		{ "rules:\n  - { name: a, when: { branch: [x] } }\n"
		  "  - { name: a, when: { branch: [y] } }\n",
		  ":3:5: the name \"a\" is used twice" },
		{ "rules:\n  - name: all\n  - { name: b, when: { branch: [y] } }\n",
		  ":3:5: rule \"b\" can never apply: \"all\"" },
		{ "rules:\n  - { name: a, when: { branch: ['r*'] } }\n"
		  "  - { name: b, when: { branch: [r1, r2], event: [push] } }\n",
		  ":3:5: rule \"b\" can never apply: \"a\"" },
		{ "rules: &a [*a]", "line: 1" },
		{ "defaults:\n  larger_runner: [big]\n", ":2:19: \"big\" is not NAME=value" },
		{ "defaults:\n  larger_runner: ['a b=c']\n", ":2:19: \"a b=c\" is not NAME=value" },
		{ "defaults:\n  larger_runner: ['a=']\n", ":2:19: \"a=\" is not NAME=value" },
		{ "rules:\n  - name: a\n    larger_runner: ['a=1', 'a=2']\n",
		  ":3:28: \"a\" is said twice" },
		{ "defaults:\n  larger_runner: [a=1, b=1, c=1, d=1, e=1, f=1, g=1, h=1, i=1, j=1, "
		  "k=1]\n",
		  "at most 10 inputs" },
		{ "defaults:\n  change: { max_flies: 1 }\n", "max_flies" },
		{ "defaults:\n  change: { draft: perhaps }\n", "draft" },
		{ "defaults:\n  change:\n    max_files: 0\n", ":3:16: max_files is from 1" },
		{ "rules:\n  - name: a\n    change: { max_lines: 20001 }\n",
		  ":3:26: max_lines is from 1 to 20000" },
		{ "rules:\n  - name: a\n    change: { labels: [ci, 'a,b'] }\n",
		  ":3:28: \"a,b\" is not a label" },
		{ "defaults:\n  change:\n    mirrors:\n      - npm.example.org\n",
		  ":4:9: \"npm.example.org\" is not a host and the URL" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct policy *p = NULL;
		struct err err = { 0 };

		assert_case(policy_parse("p.yaml", cases[i].yaml, strlen(cases[i].yaml), &base, &p,
					 &err) == -1,
			    cases[i].yaml);
		if (!strstr(err.msg, cases[i].says) && !strcasestr(err.msg, cases[i].says))
			fail_msg("%s: says %s", cases[i].yaml, err.msg);
		assert_int_equal(err.kind, ERR_CONFIG);
	}
}

static void a_narrower_rule_may_come_first(void **state)
{
	(void)state;
	policy_free(parse("rules:\n  - { name: a, when: { branch: [r1] } }\n"
			  "  - { name: b, when: { branch: ['r*', '!r2'] } }\n"
			  "  - { name: c, when: { branch: [r2] } }\n"));
}

static void knows_times_of_the_week(void **state)
{
	static const struct {
		const char *text;
		unsigned day, minute;
		bool in;
	} cases[] = {
		{ "22:00-06:00", 0, 0, true }, /* Saturday's night */
		{ "22:00-06:00", 3, 22 * 60, true },
		{ "22:00-06:00", 3, 6 * 60, false },
		{ "Fri 22:00-06:00", 6, 5 * 60, true },
		{ "Fri 22:00-06:00", 5, 5 * 60, false },
		{ "Sat 22:00-06:00", 0, 5 * 60, true }, /* over the end of the week */
		{ "Mon-Fri", 5, 1439, true },
		{ "Mon-Fri", 6, 0, false },
		{ "Sat-Mon", 0, 1, true },
		{ "Sat-Mon", 2, 1, false },
		{ "Sat,Sun 12:00-24:00", 0, 1439, true },
		{ "Sat,Sun 12:00-24:00", 1, 0, false },
	};
	static const char *const none[] = {
		"",
		"Monday",
		"Mon-",
		"Mon 1:00-2:00",
		"24:00-01:00",
		"10:00-10:00",
		"10:60-11:00",
		"10:00",
		"10:00-",
		"10:00-25:00",
		"Mon, Tue",
		"10:00-11:00 x",
		"Mon  10:00-11:00",
	};
	struct week_time t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_case(week_time_parse(cases[i].text, &t), cases[i].text);
		assert_case(week_time_has(&t, cases[i].day * 1440 + cases[i].minute) == cases[i].in,
			    cases[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_case(!week_time_parse(none[i], &t), none[i]);
}

static void says_how_long_it_stays_quiet(void **state)
{
	struct policy *p = parse("timezone: UTC\nquiet_hours: ['11:00-13:00', '13:00-13:30']\n");

	(void)state;
	assert_int_equal(policy_quiet_ms(p, ordinary.now_ms), 90 * 60000);
	assert_int_equal(policy_quiet_ms(p, ordinary.now_ms + 1500), 90 * 60000 - 1500);
	assert_int_equal(policy_quiet_ms(p, ordinary.now_ms + 90 * 60000), 0);
	assert_int_equal(policy_quiet_ms(p, ordinary.now_ms - 60 * 60000 - 1), 0);
	policy_free(p);
}

static void times_are_those_of_the_zone(void **state)
{
	struct policy *p = parse("timezone: America/New_York\n"
				 "rules: [{ name: morning, when: { time: ['07:00-07:01'] } }]\n");
	struct policy_answer a;

	(void)state;
	policy_ask(p, &ordinary, &a);
	assert_string_equal(a.rule, "morning");
	policy_free(p);
	policy_free(parse("timezone: UTC\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_rule_that_applies_decides),
		cmocka_unit_test(what_a_rule_does_not_say_comes_from_the_defaults),
		cmocka_unit_test(says_what_may_be_proposed),
		cmocka_unit_test(without_a_file_the_base_holds),
		cmocka_unit_test(refuses_what_makes_no_sense_and_says_where),
		cmocka_unit_test(a_narrower_rule_may_come_first),
		cmocka_unit_test(knows_times_of_the_week),
		cmocka_unit_test(says_how_long_it_stays_quiet),
		cmocka_unit_test(times_are_those_of_the_zone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

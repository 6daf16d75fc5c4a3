#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/query.h"
#include "core/conf.h"
#include "core/finding.h"
#include "core/mem.h"
#include "dispatcher/decide.h"
#include "dispatcher/policy.h"
#include "unit.h"

enum { WORDS_MAX = 10 };

static bool flag;
static const char *text;
static int64_t number;

static const struct cli_option own[] = {
	{ .name = "loud", .flag = &flag, .help = "a flag" },
	{ .name = "name", .argument = "TEXT", .text = &text, .help = "a text" },
	{ .name = "runs", .argument = "N", .number = &number, .help = "a number" },
	{ .name = "listen", .argument = "ADDRESS", .key = "listen", .help = "sets a key" },
	{ .name = "observe", .key = "mode", .value = "observe", .help = "sets a key to a value" },
	{ .name = NULL },
};

static const struct command cmd = { .name = "try", .summary = "s", .usage = "usage: try\n" };

/* getopt moves the words around, so they are copied. What is left of them is in cli->argv. */
static int begin(const char *const *words, struct cli *cli)
{
	static char copies[WORDS_MAX][128];
	static char *argv[WORDS_MAX + 2];
	int argc = 1;

	memset(argv, 0, sizeof(argv));
	argv[0] = copies[0];
	(void)snprintf(copies[0], sizeof(copies[0]), "try");
	for (; words[argc - 1] && argc < WORDS_MAX; argc++) {
		(void)snprintf(copies[argc], sizeof(copies[argc]), "%s", words[argc - 1]);
		argv[argc] = copies[argc];
	}
	flag = false;
	text = NULL;
	number = -1;
	return cli_begin(&cmd, own, argc, argv, cli);
}

static void options_do_what_they_say(void **state)
{
	struct cli cli;

	UNUSED(state);
	assert_int_equal(begin((const char *[]){ "--loud", "--name", "Ada", "--runs=12", "--json",
						 "--listen", "127.0.0.1:1", "--observe", NULL },
			       &cli),
			 -1);
	assert_true(flag && cli.json);
	assert_string_equal(text, "Ada");
	assert_int_equal(number, 12);
	assert_string_equal(conf_str(cli.conf, "listen"), "127.0.0.1:1");
	assert_string_equal(conf_str(cli.conf, "mode"), "observe");
	assert_int_equal(cli.argc, 0);
	cli_end(&cli);
}

static void words_may_stand_anywhere(void **state)
{
	struct cli cli;

	UNUSED(state);
	assert_int_equal(begin((const char *[]){ "one", "--loud", "--", "--json", NULL }, &cli),
			 -1);
	assert_true(flag);
	assert_false(cli.json);
	assert_int_equal(cli.argc, 2);
	assert_string_equal(cli.argv[0], "one");
	assert_string_equal(cli.argv[1], "--json");
	cli_end(&cli);
}

static void wrong_usage_ends_with_2(void **state)
{
	static const struct {
		const char *words[4], *why;
	} rows[] = {
		{ { "--nope" }, "unknown option" },
		{ { "-x" }, "there are no short ones" },
		{ { "-xy" }, "nor several" },
		{ { "--name" }, "value is missing" },
		{ { "--loud=yes" }, "a flag has no value" },
		{ { "--runs", "many" }, "not a number" },
		{ { "--runs", "-1" }, "negative" },
		{ { "--runs", "9223372036854775808" }, "too large" },
		{ { "--runs", "" }, "empty" },
		{ { "--set", "region" }, "not an assignment" },
		{ { "--set", "nope=1" }, "unknown key" },
		{ { "--set", "partitions=0" }, "out of range" },
		{ { "--set", "github.token=abc" }, "argv is public" },
		{ { "--set", "redis.url=redis://:password@host" }, "a password in a URL too" },
		{ { "--config", "/nonexistent/guard.yaml" }, "no such file" },
		{ { "--log-level", "loud" }, "no such level" },
		{ { "--log-format", "xml" }, "no such format" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cli cli;

		assert_case(begin(rows[i].words, &cli) == CLI_USAGE, rows[i].why);
	}
}

static void help_wins_over_what_follows(void **state)
{
	struct cli cli;

	UNUSED(state);
	assert_int_equal(begin((const char *[]){ "--help", "--nope", NULL }, &cli), CLI_OK);
}

static void later_wins(void **state)
{
	char path[] = "/tmp/guard-test-cli-XXXXXX";
	int fd = mkstemp(path);
	static const char yaml[] = "region: file\nlisten: 127.0.0.1:2\nlog_level: warn\n";
	struct cli cli;

	UNUSED(state);
	assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
	(void)close(fd);
	assert_int_equal(setenv("PIPELINE_GUARD_CONFIG", path, 1), 0);
	assert_int_equal(setenv("PIPELINE_GUARD_REGION", "env", 1), 0);
	assert_int_equal(setenv("PIPELINE_GUARD_LISTEN", "127.0.0.1:3", 1), 0);
	assert_int_equal(begin((const char *[]){ "--set", "listen=127.0.0.1:4", NULL }, &cli), -1);
	assert_string_equal(conf_str(cli.conf, "log_level"), "warn");
	assert_string_equal(conf_str(cli.conf, "region"), "env");
	assert_string_equal(conf_str(cli.conf, "listen"), "127.0.0.1:4");
	assert_string_equal(cli.sets[0], "listen=127.0.0.1:4");
	assert_null(cli.sets[1]);
	cli_end(&cli);
	(void)unlink(path);
	(void)unsetenv("PIPELINE_GUARD_CONFIG");
	(void)unsetenv("PIPELINE_GUARD_REGION");
	(void)unsetenv("PIPELINE_GUARD_LISTEN");
}

static void errors_end_with_the_status_that_fits(void **state)
{
	static const struct {
		enum err_kind kind;
		int status;
	} rows[] = {
		{ ERR_CONFIG, CLI_USAGE },
		{ ERR_INPUT, CLI_NO },
		{ ERR_TRANSIENT, CLI_UNREACHABLE },
		{ ERR_BUG, CLI_UNREACHABLE },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err;

		err_format(&err, rows[i].kind, "as it should be in this test");
		assert_int_equal(cli_fail(&cmd, &err), rows[i].status);
	}
}

/* --- commands ---------------------------------------------------------------------- */

static void every_command_has_a_heading_and_words(void **state)
{
	UNUSED(state);
	for (const struct command *const *c = commands; *c; c++) {
		const char *usage = (*c)->usage ? (*c)->usage : "";

		assert_case((*c)->group <= GROUP_NONE, (*c)->name);
		assert_case((*c)->summary && (*c)->run, (*c)->name);
		assert_case(strncmp(usage, "usage: pipeline-guard ", 22) == 0, (*c)->name);
		assert_ptr_equal(command_find((*c)->name), *c);
	}
}

static void a_slip_of_the_pen_is_understood(void **state)
{
	static const struct {
		const char *typed, *meant;
	} rows[] = {
		{ "stauts", "status" }, { "statu", "status" },
		{ "conf", "config" },   { "reply", "replay" },
		{ "log", "logs" },      { "halp", "help" },
		{ "sart", "start" },    { "dispacher", "dispatcher" },
		{ "zzz", NULL },        { "", NULL },
		{ "x", NULL },          { "a-very-long-word-that-is-none", NULL },
		{ "hi", NULL },         { "lot", NULL },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct command *near = command_nearest(rows[i].typed);

		assert_case((near == NULL) == (rows[i].meant == NULL), rows[i].typed);
		if (near && rows[i].meant)
			assert_string_equal(near->name, rows[i].meant);
	}
}

static void heal_knows_the_reason_of_a_deployment(void **state)
{
	const struct policy_answer policy = { .rule = "defaults", .mode = POLICY_ACT };
	const struct decide_facts facts = { .conclusion = "failure",
					    .deploy_job = "ship it",
					    .policy = &policy };
	struct decision decision;
	struct finding f;

	UNUSED(state);
	finding_init(&f);
	decide(&facts, &f, &decision);
	assert_non_null(strstr(decision.reason, heal_deploy_words));
}

/* --- what is typed for a run ------------------------------------------------------- */

static void references_have_three_parts(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} rows[] = {
		{ "github:186853002:30433642", true },
		{ "ghes-2:1:2", true },
		{ "", false },
		{ "github", false },
		{ "github:1", false },
		{ "github:1:", false },
		{ "github::2", false },
		{ ":1:2", false },
		{ "github:1:2:3", false },
		{ "github:a:2", false },
		{ "github:1:2x", false },
		{ "30433642", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_case(query_is_ref(rows[i].text) == rows[i].is, rows[i].text);
}

static void entry_ids_tell_the_time(void **state)
{
	UNUSED(state);
	assert_int_equal(query_id_ms("1700000000000-0"), 1700000000000);
	assert_int_equal(query_id_ms("1700000000000-18446744073709551615"), 1700000000000);
	assert_int_equal(query_id_ms("0-1"), 0);
	assert_int_equal(query_id_ms(NULL), 0);
	assert_int_equal(query_id_ms(""), 0);
	assert_int_equal(query_id_ms("-1"), 0);
	assert_int_equal(query_id_ms("x-1"), 0);
	assert_int_equal(query_id_ms("99999999999999999999999999-1"), 0);
}

static void urls_are_shown_without_passwords(void **state)
{
	static const struct {
		const char *url, *shown;
	} rows[] = {
		{ "unix:///run/redis@home/r.sock", "unix:///run/redis@home/r.sock" },
		{ "redis://host:6379/1", "redis://host:6379/1" },
		{ "redis://user:pass@host:6379/1", "redis://host:6379/1" },
		{ "redis://:p@ss@host", "redis://host" },
		{ "rediss://u:p@host", "rediss://host" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char shown[256];

		query_url_shown(rows[i].url, shown);
		assert_string_equal(shown, rows[i].shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_do_what_they_say),
		cmocka_unit_test(words_may_stand_anywhere),
		cmocka_unit_test(wrong_usage_ends_with_2),
		cmocka_unit_test(help_wins_over_what_follows),
		cmocka_unit_test(later_wins),
		cmocka_unit_test(errors_end_with_the_status_that_fits),
		cmocka_unit_test(every_command_has_a_heading_and_words),
		cmocka_unit_test(a_slip_of_the_pen_is_understood),
		cmocka_unit_test(heal_knows_the_reason_of_a_deployment),
		cmocka_unit_test(references_have_three_parts),
		cmocka_unit_test(entry_ids_tell_the_time),
		cmocka_unit_test(urls_are_shown_without_passwords),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

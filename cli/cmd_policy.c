/* policy: what may be healed how, checked, tried on the past, and stopped as a whole. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/run_print.h"
#include "cli/term.h"
#include "core/conf.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/decide.h"
#include "dispatcher/policy.h"

static const char usage[] =
	"usage: pipeline-guard policy [options] COMMAND [ARGUMENT]\n"
	"\n"
	"  show            the rules in their order, with what each one allows\n"
	"  check [FILE]    whether a file would be taken; says line and column of what is wrong\n"
	"  test [FILE]     what a policy would have done about the failures that are on record\n"
	"  stop REASON     the stop switch: nothing acts from now on, in the whole region\n"
	"  go              acting is allowed again\n"
	"\n"
	"Without FILE it is policy_file of the configuration. A dispatcher reads it when it "
	"starts\n"
	"and on SIGHUP; a file with a fault is refused whole, and the old policy stays.\n"
	"\n"
	"Exit status: 0 yes, 1 no (a file that is refused, a switch that was set already), 2 "
	"usage,\n"
	"3 Redis cannot be reached.\n";

/* --- show and check ------------------------------------------------------------- */

static int load(const struct cli *cli, const char *path, struct policy **out, struct err *err)
{
	struct policy_answer base;

	policy_base(cli->conf, &base);
	return policy_load(path ? path : conf_str(cli->conf, "policy_file"), &base, out, err);
}

static void strategies_text(const struct policy_answer *a, char out[static 200])
{
	size_t n = 0;

	(void)snprintf(out, 200, "all");
	for (unsigned i = 0; i < a->n_strategies && n < 200; i++)
		n += (size_t)snprintf(out + n, 200 - n, "%s%s", i ? " " : "", a->strategies[i]);
}

static void put_number(struct table *t, int64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, n);
	table_cell(t, text);
}

static void put_row(struct table *t, const char *name, const struct policy_answer *a)
{
	char text[200];

	table_cell(t, name);
	table_cell(t, policy_mode_name(a->mode));
	table_cell(t, heal_risk_name(a->risk));
	put_number(t, a->limits.min_confidence);
	put_number(t, a->limits.reruns_per_run);
	put_number(t, a->limits.per_pipeline_hour);
	put_number(t, a->limits.minutes_per_repo_day);
	strategies_text(a, text);
	table_cell(t, text);
}

static void add_list(struct json_object *o, const char *key, const char *const *items, unsigned n)
{
	struct json_object *list;

	if (!n)
		return;
	list = json_object_new_array();
	for (unsigned i = 0; i < n; i++)
		json_object_array_add(list, json_object_new_string(items[i]));
	json_add(o, key, list);
}

static struct json_object *answer_json(const char *name, const struct policy_answer *a)
{
	struct json_object *o = json_object_new_object();

	json_add_str(o, "rule", name);
	json_add_str(o, "mode", policy_mode_name(a->mode));
	json_add_str(o, "risk", heal_risk_name(a->risk));
	json_add_i64(o, "min_confidence", a->limits.min_confidence);
	json_add_i64(o, "reruns_per_run", a->limits.reruns_per_run);
	json_add_i64(o, "per_pipeline_hour", a->limits.per_pipeline_hour);
	json_add_i64(o, "minutes_per_repo_day", a->limits.minutes_per_repo_day);
	add_list(o, "strategies", a->strategies, a->n_strategies);
	add_list(o, "larger_runner", a->larger_runner, a->n_larger_runner);
	return o;
}

/* Few rules have it, so it is no column. */
static void say_larger_runner(const char *name, const struct policy_answer *a)
{
	if (!a->n_larger_runner)
		return;
	printf("\nLarger runner of ");
	term_put(name);
	printf(":");
	for (unsigned i = 0; i < a->n_larger_runner; i++) {
		printf(" ");
		term_put(a->larger_runner[i]);
	}
	printf("\n");
}

static void show_people(const struct policy *p, const struct table *t)
{
	struct policy_answer a;
	const char *name;

	table_print(t);
	for (size_t i = 0; (name = policy_rule(p, i, &a)); i++)
		say_larger_runner(name, &a);
	policy_defaults(p, &a);
	say_larger_runner("(otherwise)", &a);
}

static int cmd_show(const struct cli *cli, const char *argument, struct err *err)
{
	static const char *const headings[] = { "rule",    "mode",       "risk",
						"sure %",  "reruns",     "per hour",
						"minutes", "strategies", NULL };
	OWNED(policy_freep) struct policy *p = NULL;
	OWNED(table_freep) struct table *t = NULL;
	OWNED(json_putp) struct json_object *list = json_object_new_array();
	struct policy_answer a;
	const char *name;

	if (load(cli, argument, &p, err) < 0)
		return -1;
	t = table_new(headings);
	for (size_t i = 0; (name = policy_rule(p, i, &a)); i++) {
		put_row(t, name, &a);
		json_object_array_add(list, answer_json(name, &a));
	}
	policy_defaults(p, &a);
	put_row(t, "(otherwise)", &a);
	json_object_array_add(list, answer_json("defaults", &a));
	if (cli->json)
		printf("%s\n", json_text(list));
	else
		show_people(p, t);
	return CLI_OK;
}

static int cmd_check(const struct cli *cli, const char *argument, struct err *err)
{
	OWNED(policy_freep) struct policy *p = NULL;
	const char *path = argument ? argument : conf_str(cli->conf, "policy_file");
	struct policy_answer a;
	size_t n = 0;

	if (!path)
		return err_set(err, ERR_CONFIG,
			       "which file? Name one; policy_file is not configured");
	if (load(cli, argument, &p, err) < 0) {
		fprintf(stderr, "pipeline-guard policy: %s\n", err->msg);
		return CLI_NO;
	}
	while (policy_rule(p, n, &a))
		n++;
	if (!cli->json) {
		term_put(path);
		printf(": good, %zu rule%s\n", n, n == 1 ? "" : "s");
	} else {
		OWNED(json_putp) struct json_object *o = json_object_new_object();

		json_add_str(o, "file", path);
		json_add_bool(o, "good", true);
		json_add_i64(o, "rules", (int64_t)n);
		printf("%s\n", json_text(o));
	}
	return CLI_OK;
}

/* --- test: the past under another policy ------------------------------------------ */

enum { TEST_ENTRIES_MAX = 2000, CATEGORIES_MAX = 16 };

struct trial {
	const char *category;
	int64_t plans, acted, healed;
	int64_t would_act, would_suggest, would_observe, would_ask;
	int64_t healed_lost;     /* were healed, and would not be tried */
	int64_t newly_tried;     /* were not tried, and would be */
	int64_t minutes, spared; /* of re-runs that were made; of those that would not be */
	int64_t risky;           /* would act with a change, or less than 80 % sure */
	/* Expected where it would act: how many heal, and what that takes. */
	double would_heal, ci_minutes;
};

struct trials {
	struct trial rows[CATEGORIES_MAX];
	size_t n;
	struct trial all;
};

static struct trial *trial_of(struct trials *t, const char *category)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->rows[i].category, category) == 0)
			return &t->rows[i];
	for (size_t i = 0; finding_categories[i]; i++) {
		if (strcmp(finding_categories[i], category) == 0 && t->n < CATEGORIES_MAX) {
			t->rows[t->n].category = finding_categories[i];
			return &t->rows[t->n++];
		}
	}
	return NULL;
}

static const char *text_of(const struct redisReply *fields, const char *name)
{
	const char *text = redis_field(fields, name);

	return text ? text : "";
}

static int64_t number_of(const struct redisReply *fields, const char *name)
{
	return strtoll(text_of(fields, name), NULL, 10);
}

/*
 * The finding of a finished plan. Of a later attempt the run tells nothing any more, so what the
 * plan itself says has to do: whoever chose a re-run took it for transient.
 */
static void finding_of(const struct redisReply *run, const struct redisReply *o,
		       struct arena *arena, struct finding *out)
{
	OWNED(json_putp) struct json_object *json = NULL;
	const char *text = text_of(run, "finding");
	struct err ignored;

	if (number_of(run, "finding_generation") == number_of(o, "generation") &&
	    json_parse(text, strlen(text), &json, &ignored) == 0 &&
	    finding_from_json(json, arena, out, &ignored) == 0)
		return;
	finding_init(out);
	out->category = text_of(o, "category");
	out->rule = text_of(o, "rule");
	out->confidence = strtod(text_of(o, "confidence"), NULL);
	out->transient = strcmp(text_of(o, "strategy"), healer_escalate.name) != 0;
	(void)text_copy(out->fingerprint, sizeof(out->fingerprint), text_of(o, "fingerprint"),
			strlen(text_of(o, "fingerprint")));
}

static void count(struct trial *t, const struct redisReply *o, const struct decision *d,
		  double confidence)
{
	int64_t sent = number_of(o, "sent_at_ms"), done = number_of(o, "done_at_ms");
	bool acted = sent > 0, healed = strcmp(text_of(o, "result"), "healed") == 0;
	bool asks = d->healer == &healer_escalate;
	bool acts = !asks && strcmp(d->mode, "act") == 0;
	int64_t minutes = acted && done > sent ? (done - sent + 59999) / 60000 : 0;

	t->plans++;
	t->acted += acted;
	t->healed += healed;
	t->minutes += minutes;
	t->would_act += acts;
	t->would_ask += asks;
	t->would_suggest += !asks && strcmp(d->mode, "suggest") == 0;
	t->would_observe += !asks && strcmp(d->mode, "observe") == 0;
	t->healed_lost += healed && !acts;
	t->newly_tried += !acted && acts;
	t->spared += acts ? 0 : minutes;
	t->would_heal += acts ? d->success : 0;
	t->ci_minutes += acts ? d->ci_minutes : 0;
	t->risky += acts && (d->healer->risk == RISK_CHANGE || confidence < 0.8);
}

/* What was learned since then says nothing about what would have been decided. */
static void try_entry(const struct policy *policy, const struct conf *conf,
		      const struct redisReply *o, const struct redisReply *run, struct trials *out)
{
	OWNED(arena_freep) struct arena *arena = arena_new();
	const char *reason = text_of(run, "plan_reason");
	struct trial *row = trial_of(out, text_of(o, "category"));
	struct policy_answer answer;
	struct finding f;
	struct decision d;
	struct policy_case c = {
		.provider = text_of(o, "provider"),
		.repo = text_of(o, "repo"),
		.branch = text_of(o, "branch"),
		.pipeline = text_of(o, "pipeline"),
		.event = text_of(run, "trigger"),
		.category = text_of(o, "category"),
		.fingerprint = text_of(o, "fingerprint"),
		.now_ms = number_of(o, "created_at_ms"),
	};
	struct decide_facts facts = {
		.reruns = (uint64_t)number_of(o, "reruns"),
		.conclusion = "failure",
		.deploy_job = strstr(reason, heal_deploy_words) ? "a job" : NULL,
		.policy = &answer,
		.provider = provider_api_find(text_of(o, "provider")),
		.person_minutes = (double)conf_int(conf, "heal.person_minutes"),
		.ci_minutes = strtod(text_of(o, "ci_minutes"), NULL),
		.ci_minutes_all = strtod(text_of(o, "ci_minutes"), NULL),
		.ci_price = (double)conf_int(conf, "heal.ci_price") / 100,
	};

	finding_of(run, o, arena, &f);
	c.subcategory = f.subcategory;
	policy_ask(policy, &c, &answer);
	decide(&facts, &f, &d);
	count(&out->all, o, &d, f.confidence);
	if (row)
		count(row, o, &d, f.confidence);
}

static int try_partition(struct query *q, unsigned partition, const struct policy *policy,
			 const struct conf *conf, struct trials *out, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *entries = NULL;
	char key[KEY_MAX], most[24];

	key_part(&q->ks, partition, "outcomes", key);
	(void)snprintf(most, sizeof(most), "%d", TEST_ENTRIES_MAX);
	if (query_ask(q, &entries, err, "XREVRANGE", key, "+", "-", "COUNT", most, (char *)NULL) <
	    0)
		return -1;
	for (size_t i = 0; i < redis_len(entries); i++) {
		OWNED(redis_reply_freep) struct redisReply *run = NULL;
		const struct redisReply *o = redis_at(redis_at(entries, i), 1);

		key_part_of(&q->ks, partition, "run", text_of(o, "run"), key);
		if (query_ask(q, &run, err, "HGETALL", key, (char *)NULL) < 0)
			return -1;
		try_entry(policy, conf, o, run, out);
	}
	return 0;
}

static const struct {
	const char *name;
	size_t offset;
} trial_numbers[] = {
#define N(field)                                      \
	{                                             \
#field, offsetof(struct trial, field) \
	}
	N(plans),         N(acted),         N(healed),    N(would_act),
	N(would_suggest), N(would_observe), N(would_ask), N(healed_lost),
	N(newly_tried),   N(minutes),       N(spared),    N(risky),
#undef N
};

static int64_t trial_number(const struct trial *t, size_t i)
{
	int64_t v;

	memcpy(&v, (const char *)t + trial_numbers[i].offset, sizeof(v));
	return v;
}

static void trials_json(const struct trials *t, double person_minutes)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *rows = json_object_new_object();

	for (size_t i = 0; i <= t->n; i++) {
		const struct trial *row = i < t->n ? &t->rows[i] : &t->all;
		struct json_object *r = json_object_new_object();

		for (size_t k = 0; k < ARRAY_LEN(trial_numbers); k++)
			json_add_i64(r, trial_numbers[k].name, trial_number(row, k));
		json_add(r, "would_heal", json_new_num(row->would_heal));
		json_add(r, "would_take_ci_minutes", json_new_num(row->ci_minutes));
		json_add(r, "would_save_person_minutes",
			 json_new_num(row->would_heal * person_minutes));
		json_add(i < t->n ? rows : o, i < t->n ? row->category : "total", r);
	}
	json_add(o, "categories", rows);
	printf("%s\n", json_text(o));
}

static void trials_people(const struct trials *t, double person_minutes)
{
	static const char *const headings[] = { "category", "failures", "tried", "healed", "act",
						"suggest",  "observe",  "ask",   NULL };
	OWNED(table_freep) struct table *table = table_new(headings);
	const struct trial *all = &t->all;

	for (size_t i = 0; i <= t->n; i++) {
		const struct trial *row = i < t->n ? &t->rows[i] : all;

		table_cell(table, i < t->n ? row->category : "all");
		for (size_t k = 0; k < 7; k++)
			put_number(table, trial_number(row, k));
	}
	table_print(table);
	printf("\nOf %" PRId64 " re-runs that were made, %" PRId64 " healed and %" PRId64
	       " minutes of CI time were used.\n",
	       all->acted, all->healed, all->minutes);
	printf("With this policy %" PRId64 " of the healed ones would not have been tried, and "
	       "%" PRId64 " minutes not used.\n",
	       all->healed_lost, all->spared);
	printf("%" PRId64 " that were not tried would be. Of the %" PRId64 " it would act on about "
	       "%.0f would heal, which takes %.0f\nminutes of CI time and saves people %.0f.\n",
	       all->newly_tried, all->would_act, all->would_heal, all->ci_minutes,
	       all->would_heal * person_minutes);
	printf("%" PRId64 " would act by changing something, or less than 80 %% sure.\n",
	       all->risky);
}

static int cmd_test(const struct cli *cli, const char *argument, struct err *err)
{
	OWNED(policy_freep) struct policy *p = NULL;
	OWNED(query_closep) struct query *q = NULL;
	double person_minutes = (double)conf_int(cli->conf, "heal.person_minutes");
	struct trials t = { .n = 0 };

	if (load(cli, argument, &p, err) < 0 || query_open(cli->conf, &q, err) < 0)
		return -1;
	for (unsigned i = 0; i < q->ks.partitions; i++)
		if (try_partition(q, i, p, cli->conf, &t, err) < 0)
			return -1;
	if (cli->json)
		trials_json(&t, person_minutes);
	else if (t.all.plans)
		trials_people(&t, person_minutes);
	else
		printf("Nothing is on record yet: no plan was finished.\n");
	return CLI_OK;
}

/* --- the stop switch ----------------------------------------------------------------- */

static int answer_switch(const struct cli *cli, bool stopped, bool changed, const char *why)
{
	if (cli->json) {
		OWNED(json_putp) struct json_object *o = json_object_new_object();

		json_add_bool(o, "stopped", stopped);
		json_add_bool(o, "changed", changed);
		json_add_str(o, "reason", why);
		printf("%s\n", json_text(o));
	} else if (stopped) {
		printf("Nothing acts%s: ", changed ? " from now on" : ", as before");
		term_put(why);
		printf("\n");
	} else {
		printf("Acting is allowed%s.\n", changed ? " again" : ", as before");
	}
	return changed ? CLI_OK : CLI_NO;
}

static int cmd_stop(const struct cli *cli, const char *reason, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char was[200], key[KEY_MAX], user[TERM_USER_MAX];

	if (!reason || !*reason)
		return err_set(err, ERR_CONFIG, "say why: pipeline-guard policy stop REASON");
	if (query_open(cli->conf, &q, err) < 0 || query_stop(q, was, err) < 0)
		return -1;
	term_user(user);
	key_region(&q->ks, "stop", key);
	if (query_ask(q, &reply, err, "SET", key, reason, (char *)NULL) < 0)
		return -1;
	if (query_audit(q, cli->conf, err, "stopped",
			(const char *[]){ "reason", reason, "by", user, NULL }) < 0)
		return -1;
	return answer_switch(cli, true, !*was, reason);
}

static int cmd_go(const struct cli *cli, const char *argument, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char was[200], key[KEY_MAX], user[TERM_USER_MAX];

	if (argument)
		return err_set(err, ERR_CONFIG, "policy go takes nothing more");
	if (query_open(cli->conf, &q, err) < 0 || query_stop(q, was, err) < 0)
		return -1;
	term_user(user);
	key_region(&q->ks, "stop", key);
	if (query_ask(q, &reply, err, "DEL", key, (char *)NULL) < 0)
		return -1;
	if (query_audit(q, cli->conf, err, "released",
			(const char *[]){ "reason", was, "by", user, NULL }) < 0)
		return -1;
	return answer_switch(cli, false, *was != '\0', was);
}

/* --- the command ------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int (*run)(const struct cli *, const char *argument, struct err *);
} parts[] = {
	{ "show", cmd_show }, { "check", cmd_check }, { "test", cmd_test },
	{ "stop", cmd_stop }, { "go", cmd_go },
};

static int dispatch(const struct cli *cli, struct err *err)
{
	const char *name = cli->argc ? cli->argv[0] : "show";

	if (cli->argc > 2)
		return err_set(err, ERR_CONFIG, "too many words; a reason goes in quotes");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (strcmp(parts[i].name, name) == 0)
			return parts[i].run(cli, cli->argc > 1 ? cli->argv[1] : NULL, err);
	return err_set(err, ERR_CONFIG, "there is no policy %.40s: show, check, test, stop or go",
		       name);
}

static int run(int argc, char **argv)
{
	const struct cli_option own[] = {
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "where `start` keeps its data" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_policy, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = dispatch(&cli, &err);
	if (status < 0)
		status = cli_fail(&cmd_policy, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_policy = {
	.name = "policy",
	.group = GROUP_ACT,
	.summary = "what may be healed how: show, check, test; stop and go",
	.usage = usage,
	.run = run,
};

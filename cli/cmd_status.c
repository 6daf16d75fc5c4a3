/* status: is the guard well, what does it do, and what is the matter with one run. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/run_print.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/decide.h"
#include "web/run_view.h"

enum {
	RUNS_MAX = 1000,
	DISPATCHERS_MAX = 64,
	FINDINGS_MAX = 24, /* problems and notes */
	OVERDUE_MS = 5 * 60 * 1000,
	WATCH_MS = 2000,
};

static const char usage[] =
	"usage: pipeline-guard status [options] [RUN]\n"
	"\n"
	"Without RUN: what is running, what is waiting, and the latest runs. RUN is a\n"
	"reference as the list shows it, the provider's run number, or the address of the run's\n"
	"page; then everything known about that run is shown: cause with evidence, plan, outcome.\n"
	"\n"
	"  pipeline-guard status\n"
	"  pipeline-guard status --watch\n"
	"  pipeline-guard status 30433642\n"
	"  pipeline-guard status https://github.com/acme/shop/actions/runs/30433642\n"
	"\n"
	"Exit status: 0 all is well, 1 the guard needs a person (no dispatcher, dead letters,\n"
	"overdue work) or does not know the run, 3 Redis cannot be reached. A run that failed, or\n"
	"that waits for a person, does not change it.\n";

struct dispatcher {
	char name[96];
	int64_t idle_ms, pending;
	bool alive;
};

struct listed {
	char ref[QUERY_REF_MAX];
	int64_t at_ms;
	struct redisReply *run;
};

struct region {
	int64_t now_ms, lag, pending, due_now, due_later, overdue_ms, dead, incidents;
	char stop[200];
	struct dispatcher dispatchers[DISPATCHERS_MAX];
	size_t n_dispatchers, n_alive;
	struct json_object *outcomes, *findings; /* of today: name -> number */
	struct listed *runs;
	size_t n_runs;
	char *problems[FINDINGS_MAX], *notes[FINDINGS_MAX];
	size_t n_problems, n_notes;
};

static void region_free(struct region *r)
{
	for (size_t i = 0; i < r->n_runs; i++)
		redis_reply_free(r->runs[i].run);
	free(r->runs);
	for (size_t i = 0; i < FINDINGS_MAX; i++) {
		free(r->problems[i]);
		free(r->notes[i]);
	}
	json_putp(&r->outcomes);
	json_putp(&r->findings);
	free(r);
}
DEFINE_OWNED(struct region, region_free)

/* --- asking ------------------------------------------------------------------------ */

/*
 * KEYS events due dead stats of the day; ARGV group.
 * Returns {now, groups, consumers, due now, due later, oldest due, dead, today's counters}.
 */
static struct redis_script look_script = {
	.name = "look",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"local function ask(...) "
		"  local r = redis.pcall(...) "
		"  if r.err then return {} end "
		"  return r "
		"end "
		"local today = redis.call('HGETALL', KEYS[4]) "
		"local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES') "
		"local due_now = redis.call('ZCOUNT', KEYS[2], '-inf', now) "
		"return {now, ask('XINFO', 'GROUPS', KEYS[1]), "
		"  ask('XINFO', 'CONSUMERS', KEYS[1], ARGV[1]), due_now, "
		"  redis.call('ZCARD', KEYS[2]) - due_now, first[2] or tostring(now), "
		"  redis.call('XLEN', KEYS[3]), today}",
};

static void add_dispatcher(struct region *r, const struct redisReply *info, int64_t silent_ms)
{
	const char *name = redis_field(info, "name");
	int64_t idle = -1, pending = 0;
	struct dispatcher *d = r->dispatchers;

	for (size_t i = 0; i + 1 < redis_len(info); i += 2) {
		const char *field = redis_str(redis_at(info, i));

		if (field && strcmp(field, "idle") == 0)
			idle = redis_int(redis_at(info, i + 1), -1);
		else if (field && strcmp(field, "pending") == 0)
			pending = redis_int(redis_at(info, i + 1), 0);
	}
	if (!name)
		return;
	while (d < r->dispatchers + r->n_dispatchers && strcmp(d->name, name) != 0)
		d++;
	if (d == r->dispatchers + DISPATCHERS_MAX)
		return;
	if (d == r->dispatchers + r->n_dispatchers) {
		(void)text_copy(d->name, sizeof(d->name), name, strlen(name));
		d->idle_ms = idle;
		r->n_dispatchers++;
	}
	if (idle < d->idle_ms)
		d->idle_ms = idle;
	d->pending += pending;
	r->n_alive -= d->alive;
	d->alive = d->idle_ms >= 0 && d->idle_ms <= silent_ms;
	r->n_alive += d->alive;
}

static int64_t number_in(const struct redisReply *info, const char *name)
{
	for (size_t i = 0; i + 1 < redis_len(info); i += 2) {
		const char *field = redis_str(redis_at(info, i));

		if (field && strcmp(field, name) == 0)
			return redis_int(redis_at(info, i + 1), 0);
	}
	return 0;
}

static void count_up(struct json_object *counters, const char *name, int64_t n)
{
	json_add_i64(counters, name, json_i64(counters, name, 0) + n);
}

static void take_counters(struct region *r, const struct redisReply *today)
{
	for (size_t i = 0; i + 1 < redis_len(today); i += 2) {
		const char *name = redis_str(redis_at(today, i));
		int64_t n = redis_int(redis_at(today, i + 1), 0);

		if (name && text_starts(name, "outcomes:"))
			count_up(r->outcomes, name + strlen("outcomes:"), n);
		else if (name && text_starts(name, "findings:"))
			count_up(r->findings, name + strlen("findings:"), n);
	}
}

static int look_at_partition(struct query *q, unsigned partition, int64_t silent_ms,
			     struct region *r, struct err *err)
{
	static const char *const names[] = { "events", "due", "dead", "stats" };
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char key[ARRAY_LEN(names)][KEY_MAX], day[25];
	struct redis_cmd cmd;
	int64_t overdue;

	redis_script_cmd(&cmd, &look_script, ARRAY_LEN(names));
	text_from_ms(day, clock_wall_ms());
	day[strlen("2026-01-31")] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (i < ARRAY_LEN(names) - 1)
			key_part(&q->ks, partition, names[i], key[i]);
		else
			key_part_of(&q->ks, partition, names[i], day, key[i]);
		redis_arg(&cmd, key[i]);
	}
	redis_arg(&cmd, "dispatchers");
	if (query_script(q, &look_script, &cmd, &reply, err) < 0)
		return -1;
	r->now_ms = redis_int(redis_at(reply, 0), clock_wall_ms());
	for (size_t i = 0; i < redis_len(redis_at(reply, 1)); i++) {
		r->pending += number_in(redis_at(redis_at(reply, 1), i), "pending");
		r->lag += number_in(redis_at(redis_at(reply, 1), i), "lag");
	}
	for (size_t i = 0; i < redis_len(redis_at(reply, 2)); i++)
		add_dispatcher(r, redis_at(redis_at(reply, 2), i), silent_ms);
	r->due_now += redis_int(redis_at(reply, 3), 0);
	r->due_later += redis_int(redis_at(reply, 4), 0);
	overdue = r->now_ms - redis_int(redis_at(reply, 5), r->now_ms);
	if (overdue > r->overdue_ms)
		r->overdue_ms = overdue;
	r->dead += redis_int(redis_at(reply, 6), 0);
	take_counters(r, redis_at(reply, 7));
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	return (x->at_ms < y->at_ms) - (x->at_ms > y->at_ms);
}

static int list_runs(struct query *q, unsigned partition, int64_t most, struct region *r,
		     struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char key[KEY_MAX], last[24];

	if (most == 0)
		return 0;
	key_part(&q->ks, partition, "runs", key);
	(void)snprintf(last, sizeof(last), "%" PRId64, most - 1);
	if (query_ask(q, &reply, err, "ZREVRANGE", key, "0", last, "WITHSCORES", (char *)NULL) < 0)
		return -1;
	r->runs = xrealloc(r->runs, (r->n_runs + redis_len(reply) / 2 + 1) * sizeof(*r->runs));
	for (size_t i = 0; i + 1 < redis_len(reply); i += 2) {
		const char *ref = redis_str(redis_at(reply, i));
		struct listed *l = &r->runs[r->n_runs];

		*l = (struct listed){ .at_ms = redis_int(redis_at(reply, i + 1), 0) };
		if (ref && text_copy(l->ref, sizeof(l->ref), ref, strlen(ref)))
			r->n_runs++;
	}
	return 0;
}

/* The index may name a run that has expired since. */
static int load_runs(struct query *q, int64_t most, struct region *r, struct err *err)
{
	size_t kept = 0;

	if (r->n_runs)
		qsort(r->runs, r->n_runs, sizeof(*r->runs), newest_first);
	if (r->n_runs > (size_t)most)
		r->n_runs = (size_t)most;
	for (size_t i = 0; i < r->n_runs; i++) {
		struct listed l = r->runs[i];

		if (run_load(q, l.ref, &l.run, err) < 0 && err->kind != ERR_INPUT)
			return -1;
		if (l.run)
			r->runs[kept++] = l;
	}
	r->n_runs = kept;
	return 0;
}

/* --- judging ----------------------------------------------------------------------- */

static void problem(struct region *r, char *text)
{
	if (r->n_problems == FINDINGS_MAX)
		free(text);
	else
		r->problems[r->n_problems++] = text;
}

static void note(struct region *r, char *text)
{
	if (r->n_notes == FINDINGS_MAX)
		free(text);
	else
		r->notes[r->n_notes++] = text;
}

/* A token that ended shows only here: runs come in, and none of them says why it failed. */
static void judge_logs(struct region *r)
{
	for (size_t i = 0; i < r->n_runs; i++) {
		const char *why = run_field(r->runs[i].run, "plan_reason");

		if (!*why)
			continue;
		if (text_starts(why, DECIDE_NO_LOG))
			note(r, xasprintf("of the newest run that failed %s", why));
		return;
	}
}

static void judge(const struct query *q, struct region *r)
{
	int64_t unknown = json_i64(r->outcomes, "unknown", 0);

	if (r->n_alive == 0)
		problem(r,
			q->used && r->n_dispatchers
				? xasprintf("no dispatcher is running: nothing is diagnosed; "
					    "%" PRId64 " events and %" PRId64
					    " pieces of work wait",
					    r->lag + r->pending, r->due_now)
				: xstrdup("no dispatcher has run here yet: `pipeline-guard start` "
					  "or `pipeline-guard dispatcher`"));
	else if (r->overdue_ms > OVERDUE_MS)
		problem(r, xasprintf("work is overdue for %" PRId64
				     " min although a dispatcher runs: see its log",
				     r->overdue_ms / 60000));
	if (r->dead)
		problem(r, xasprintf("%" PRId64 " dead letter%s: `pipeline-guard replay --list`",
				     r->dead, r->dead == 1 ? "" : "s"));
	if (*r->stop)
		note(r, xasprintf("stopped by hand, nothing acts: %s", r->stop));
	if (r->incidents)
		note(r, xasprintf("%" PRId64
				  " incident%s: what fails of %s is held, see `pipeline-guard "
				  "incident`",
				  r->incidents, r->incidents == 1 ? "" : "s",
				  r->incidents == 1 ? "it" : "them"));
	if (unknown)
		note(r, xasprintf("%" PRId64
				  " re-run%s today may or may not have been started: look at "
				  "the runs with the outcome \"unknown\"",
				  unknown, unknown == 1 ? "" : "s"));
	if (strcmp(q->mode, "observe") == 0)
		note(r, xasprintf("mode observe: %s", q->mode_why));
	judge_logs(r);
}

static int count_incidents(struct query *q, struct region *r, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char key[KEY_MAX];

	key_region(&q->ks, "incidents", key);
	if (query_ask(q, &reply, err, "HLEN", key, (char *)NULL) < 0)
		return -1;
	r->incidents = redis_int(reply, 0);
	return 0;
}

static int gather(struct query *q, const struct conf *conf, int64_t most, struct region **out,
		  struct err *err)
{
	OWNED(region_freep) struct region *r = xcalloc(1, sizeof(*r));
	int64_t silent_ms = conf_int(conf, "dispatcher.claim_idle");

	r->outcomes = json_object_new_object();
	r->findings = json_object_new_object();
	for (unsigned p = 0; p < q->ks.partitions; p++)
		if (look_at_partition(q, p, silent_ms, r, err) < 0 ||
		    list_runs(q, p, most, r, err) < 0)
			return -1;
	if (query_stop(q, r->stop, err) < 0 || count_incidents(q, r, err) < 0 ||
	    load_runs(q, most, r, err) < 0)
		return -1;
	judge(q, r);
	*out = TAKE(r);
	return 0;
}

/* --- printing ---------------------------------------------------------------------- */

static void add_to(struct json_object *array, struct json_object *item)
{
	if (json_object_array_add(array, item) < 0)
		json_object_put(item);
}

static struct json_object *dispatchers_json(const struct region *r)
{
	struct json_object *all = json_object_new_array();

	for (size_t i = 0; i < r->n_dispatchers; i++) {
		const struct dispatcher *d = &r->dispatchers[i];
		struct json_object *o = json_object_new_object();

		json_add_str(o, "name", d->name);
		json_add_bool(o, "alive", d->alive);
		json_add_i64(o, "idle_ms", d->idle_ms);
		json_add_i64(o, "pending", d->pending);
		add_to(all, o);
	}
	return all;
}

static struct json_object *texts_json(char *const *texts, size_t n)
{
	struct json_object *all = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		add_to(all, json_object_new_string(texts[i]));
	return all;
}

static void print_json(const struct query *q, const struct region *r)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *runs = json_object_new_array(), *due = json_object_new_object();

	json_add_bool(o, "ok", r->n_problems == 0);
	json_add(o, "problems", texts_json(r->problems, r->n_problems));
	json_add(o, "notes", texts_json(r->notes, r->n_notes));
	json_add_str(o, "region", q->ks.region);
	json_add_str(o, "redis", q->where);
	json_add_str(o, "mode", q->mode);
	json_add_str(o, "mode_why", q->mode_why);
	json_add_str(o, "stop", *r->stop ? r->stop : NULL);
	json_add_i64(o, "incidents", r->incidents);
	json_add(o, "dispatchers", dispatchers_json(r));
	json_add_i64(o, "lag", r->lag);
	json_add_i64(o, "pending", r->pending);
	json_add_i64(due, "now", r->due_now);
	json_add_i64(due, "later", r->due_later);
	json_add_i64(due, "overdue_ms", r->overdue_ms);
	json_add(o, "due", due);
	json_add_i64(o, "dead", r->dead);
	json_add(o, "outcomes_today", json_object_get(r->outcomes));
	json_add(o, "findings_today", json_object_get(r->findings));
	for (size_t i = 0; i < r->n_runs; i++)
		add_to(runs, run_view_json(r->runs[i].ref, r->runs[i].run));
	json_add(o, "runs", runs);
	printf("%s\n", json_text(o));
}

static void print_counters(const char *label, struct json_object *counters)
{
	bool any = false;

	printf("  %-12s", label);
	json_object_object_foreach(counters, name, value)
	{
		printf("%s ", any ? "," : "");
		term_put(name);
		printf(" %" PRId64, json_object_get_int64(value));
		any = true;
	}
	printf("%s\n", any ? "" : " none");
}

static void print_runs(const struct region *r)
{
	static const char *const headings[] = { "AGE", "STATE",   "REPOSITORY", "PIPELINE",
						"RUN", "ATTEMPT", "WHY",        NULL };
	OWNED(table_freep) struct table *t = table_new(headings);

	for (size_t i = 0; i < r->n_runs; i++) {
		const struct redisReply *run = r->runs[i].run;
		char age[24], attempt[ATTEMPT_TEXT_MAX];

		term_age(age, r->runs[i].at_ms, r->now_ms);
		run_view_attempt_of(run, attempt);
		table_cell(t, age);
		table_cell(t, run_view_state(run));
		table_cell(t, run_field(run, "repo"));
		table_cell(t, run_field(run, "pipeline"));
		table_cell(t, r->runs[i].ref);
		table_cell(t, attempt);
		table_cell(t, run_why(run));
	}
	printf("\n");
	table_print(t);
}

static void print_people(const struct query *q, const struct region *r)
{
	char oldest[24];

	for (size_t i = 0; i < r->n_problems; i++) {
		printf("%s! ", term_paint("dead"));
		term_put(r->problems[i]);
		printf("%s\n", term_plain());
	}
	for (size_t i = 0; i < r->n_notes; i++) {
		printf("%s* ", term_paint("escalated"));
		term_put(r->notes[i]);
		printf("%s\n", term_plain());
	}
	if (r->n_problems + r->n_notes == 0)
		printf("%sAll is well.%s\n", term_paint("healed"), term_plain());
	term_age(oldest, r->now_ms - r->overdue_ms, r->now_ms);
	printf("\n  %-12s %s at %s\n", "region", q->ks.region, q->where);
	printf("  %-12s %s: %s\n", "mode", q->mode, q->mode_why);
	printf("  %-12s %zu of %zu alive\n", "dispatchers", r->n_alive, r->n_dispatchers);
	for (size_t i = 0; i < r->n_dispatchers; i++) {
		printf("  %-12s ", "");
		term_put(r->dispatchers[i].name);
		printf("%s\n", r->dispatchers[i].alive ? "" : " (silent)");
	}
	printf("  %-12s %" PRId64 " waiting, %" PRId64 " being recorded\n", "events", r->lag,
	       r->pending);
	printf("  %-12s %" PRId64 " due%s%s, %" PRId64 " later or under way\n", "work", r->due_now,
	       r->overdue_ms > 0 ? ", the oldest since " : "", r->overdue_ms > 0 ? oldest : "",
	       r->due_later);
	printf("  %-12s %" PRId64 "\n", "dead letters", r->dead);
	print_counters("causes", r->findings);
	print_counters("outcomes", r->outcomes);
	printf("  %-12s (both since midnight UTC)\n", "");
	if (r->n_runs)
		print_runs(r);
}

/* --- one run, one region ----------------------------------------------------------- */

static int show_run(struct query *q, const char *what, bool json, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *run = NULL, *plan = NULL;
	char ref[QUERY_REF_MAX], key[KEY_MAX];

	if (query_find_run(q, what, ref, err) < 0 || run_load(q, ref, &run, err) < 0)
		return -1;
	key_part_of(&q->ks, key_partition_of_ref(&q->ks, ref), "plan", run_field(run, "plan"), key);
	if (*run_field(run, "plan") && query_ask(q, &plan, err, "HGETALL", key, (char *)NULL) < 0)
		return -1;
	if (json) {
		OWNED(json_putp) struct json_object *o = run_view_json(ref, run);

		if (redis_len(plan) > 0)
			json_add(o, "plan", run_view_plan_json(plan));
		printf("%s\n", json_text(o));
	} else {
		run_print(ref, run, plan);
	}
	return CLI_OK;
}

static int show_region(struct query *q, const struct cli *cli, int64_t most, struct err *err)
{
	OWNED(region_freep) struct region *r = NULL;

	if (gather(q, cli->conf, most, &r, err) < 0)
		return -1;
	if (cli->json)
		print_json(q, r);
	else
		print_people(q, r);
	return r->n_problems ? CLI_NO : CLI_OK;
}

static int show(const struct cli *cli, int64_t most, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;

	if (query_open(cli->conf, &q, err) < 0)
		return -1;
	return cli->argc ? show_run(q, cli->argv[0], cli->json, err)
			 : show_region(q, cli, most, err);
}

/* Opens anew each time: Redis may come and go meanwhile, and that is what one watches for. */
static void NO_RETURN watch(const struct cli *cli, int64_t most)
{
	struct err err;

	for (;;) {
		if (term_colour())
			printf("\033[H\033[2J");
		if (show(cli, most, &err) < 0)
			printf("%s\n", err.msg);
		(void)fflush(stdout);
		term_pause(WATCH_MS);
	}
}

static int run(int argc, char **argv)
{
	bool watching = false;
	int64_t most = 10;
	const struct cli_option own[] = {
		{ .name = "runs",
		  .argument = "N",
		  .number = &most,
		  .help = "how many of the latest runs to list; default 10" },
		{ .name = "watch", .flag = &watching, .help = "again every two seconds" },
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "where `start` keeps its data" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_status, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	if (cli.argc > 1)
		err_format(&err, ERR_CONFIG, "one run at a time");
	else if (most > RUNS_MAX)
		err_format(&err, ERR_CONFIG, "--runs: %d at most", RUNS_MAX);
	else if (watching)
		watch(&cli, most);
	else
		status = show(&cli, most, &err);
	if (status < 0)
		status = cli_fail(&cmd_status, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_status = {
	.name = "status",
	.group = GROUP_LOOK,
	.summary = "is it well, what does it do; or everything about one run",
	.usage = usage,
	.run = run,
};

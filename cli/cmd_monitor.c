/* monitor: who looks for what no webhook told, how it fares, and "look now". */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"

static const char usage[] =
	"usage: pipeline-guard monitor [options]\n"
	"\n"
	"Webhooks go missing. One dispatcher of the region therefore asks every source itself "
	"what\n"
	"is new, and has failed deliveries sent again where it may. This shows its sources: when\n"
	"they were looked at and will be, what was found, and how many reads the cache spared.\n"
	"\n"
	"  pipeline-guard monitor\n"
	"  pipeline-guard monitor --check github\n"
	"\n"
	"Exit status: 0 all sources answer, 1 one does not or there is none, 3 no Redis, or no\n"
	"check in time.\n";

enum { SOURCES_MAX = 64, CHECK_WAIT_MS = 60000, CHECK_POLL_MS = 100 };

struct seen {
	char name[96];
	struct json_object *o;
};

struct look {
	struct seen sources[SOURCES_MAX];
	size_t n;
	char leader[160];
};

static void look_done(struct look *l)
{
	for (size_t i = 0; i < l->n; i++)
		json_object_put(l->sources[i].o);
	l->n = 0;
}

static int look(struct query *q, struct look *out, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *all = NULL, *lease = NULL;
	char status[KEY_MAX], key[KEY_MAX];
	const char *leader;

	key_region(&q->ks, "monitor", status);
	key_region(&q->ks, "lease:monitor", key);
	if (query_ask(q, &all, err, "HGETALL", status, (char *)NULL) < 0 ||
	    query_ask(q, &lease, err, "GET", key, (char *)NULL) < 0)
		return -1;
	leader = redis_str(lease);
	(void)text_copy(out->leader, sizeof(out->leader), leader ? leader : "",
			leader ? strcspn(leader, " ") : 0);
	for (size_t i = 0; i + 1 < redis_len(all) && out->n < SOURCES_MAX; i += 2) {
		const char *name = redis_str(redis_at(all, i));
		const struct redisReply *value = redis_at(all, i + 1);
		struct seen *s = &out->sources[out->n];
		struct err ignored;

		if (!name || !redis_str(value) ||
		    json_parse(redis_str(value), redis_len(value), &s->o, &ignored) < 0)
			continue;
		(void)text_copy(s->name, sizeof(s->name), name, strlen(name));
		out->n++;
	}
	return 0;
}

/* --- showing ------------------------------------------------------------------ */

static void put_number(struct table *t, int64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, n);
	table_cell(t, text);
}

static void put_last(struct table *t, int64_t at_ms, int64_t now_ms)
{
	char age[24], text[40] = "not yet";

	if (at_ms > 0) {
		term_age(age, at_ms, now_ms);
		(void)snprintf(text, sizeof(text), "%s ago", age);
	}
	table_cell(t, text);
}

static void put_next(struct table *t, struct json_object *source, int64_t now_ms)
{
	int64_t at = json_i64(source, "next_check_ms", 0);
	int64_t every = json_i64(source, "interval_ms", 0);
	char left[24], interval[24], text[80];

	term_age(left, at > now_ms ? 2 * now_ms - at : now_ms, now_ms);
	term_age(interval, now_ms - every, now_ms);
	(void)snprintf(text, sizeof(text), "in %s, every %s", left, interval);
	table_cell(t, every ? text : "");
}

static void put_rate(struct table *t, double rate)
{
	char text[24] = "";

	if (rate >= 0)
		(void)snprintf(text, sizeof(text), "%.0f %%", rate * 100);
	table_cell(t, text);
}

static void put_source(struct table *t, const struct seen *s, int64_t now_ms)
{
	table_cell(t, s->name);
	if (json_flag(s->o, "off", false))
		table_cell(t, "off");
	else
		table_cell(t, json_flag(s->o, "healthy", false) ? "ok" : "no answer");
	put_last(t, json_i64(s->o, "last_check_ms", 0), now_ms);
	put_next(t, s->o, now_ms);
	put_rate(t, json_num(s->o, "cache_hit_rate", -1));
	put_number(t, json_i64(s->o, "gaps", 0));
	put_number(t, json_i64(s->o, "redeliveries", 0));
	table_cell(t, json_str(s->o, "why", ""));
}

static void print_people(const struct look *l)
{
	static const char *const headings[] = { "source", "state", "checked",     "next", "every",
						"spared", "found", "asked again", "note", NULL };
	OWNED(table_freep) struct table *t = table_new(headings);
	int64_t now = clock_wall_ms();

	if (*l->leader) {
		printf("The monitor is ");
		term_put(l->leader);
		printf(".\n\n");
	} else {
		printf("No dispatcher is the monitor now.\n\n");
	}
	for (size_t i = 0; i < l->n; i++)
		put_source(t, &l->sources[i], now);
	if (l->n)
		table_print(t);
	else
		printf("No source was looked at yet: none is configured, or no dispatcher runs.\n");
}

static void print_json(struct look *l)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *sources = json_object_new_object();

	json_add_str(o, "leader", l->leader);
	for (size_t i = 0; i < l->n; i++)
		json_add(sources, l->sources[i].name, json_object_get(l->sources[i].o));
	json_add(o, "sources", sources);
	printf("%s\n", json_text(o));
}

/* --- checking -------------------------------------------------------------------- */

static int64_t checks_of(const struct look *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->sources[i].name, name) == 0)
			return json_i64(l->sources[i].o, "checks", 0);
	return -1;
}

static int check_now(struct query *q, const char *name, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	int64_t had, end = clock_mono_ms() + CHECK_WAIT_MS, now;
	struct look l = { .n = 0 };
	char wanted[KEY_MAX];

	if (look(q, &l, err) < 0)
		return -1;
	had = checks_of(&l, name);
	look_done(&l);
	if (had < 0)
		return err_set(err, ERR_INPUT, "there is no source \"%.60s\"", name);
	key_region(&q->ks, "monitor:wanted", wanted);
	if (query_ask(q, &reply, err, "SADD", wanted, name, (char *)NULL) < 0)
		return -1;
	do {
		query_wait(q, CHECK_POLL_MS);
		if (look(q, &l, err) < 0)
			return -1;
		now = checks_of(&l, name);
		look_done(&l);
		/* A new monitor counts from 0. */
	} while (now == had && clock_mono_ms() < end);
	if (now == had)
		return err_set(err, ERR_TRANSIENT, "%s was not checked within %d s", name,
			       CHECK_WAIT_MS / 1000);
	return 0;
}

static int show(const struct cli *cli, const char *check, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	struct look l = { .n = 0 };
	bool well;

	if (query_open(cli->conf, &q, err) < 0 || (check && check_now(q, check, err) < 0) ||
	    look(q, &l, err) < 0)
		return -1;
	well = l.n > 0;
	for (size_t i = 0; i < l.n; i++)
		well = well && json_flag(l.sources[i].o, "healthy", false);
	if (cli->json)
		print_json(&l);
	else
		print_people(&l);
	look_done(&l);
	return well ? CLI_OK : CLI_NO;
}

static int run(int argc, char **argv)
{
	const char *check = NULL;
	const struct cli_option own[] = {
		{ .name = "check",
		  .argument = "SOURCE",
		  .text = &check,
		  .help = "look now, and wait until it is done" },
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "where `start` keeps its data" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_monitor, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	status = show(&cli, check, &err);
	if (status < 0)
		status = cli_fail(&cmd_monitor, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_monitor = {
	.name = "monitor",
	.group = GROUP_LOOK,
	.summary = "show who looks for lost webhooks, and what was found",
	.usage = usage,
	.run = run,
};

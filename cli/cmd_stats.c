/* stats: what many runs say together. One mode per option; each is a row of the table below. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/stats.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/flake.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/value.h"

static const char usage[] =
	"usage: pipeline-guard stats MODE [options]\n"
	"\n"
	"What many runs say together.\n"
	"\n"
	"  pipeline-guard stats --flakes              tests that failed and passed on one commit\n"
	"  pipeline-guard stats --flakes --all        all tests that failed lately\n"
	"  pipeline-guard stats --flakes --repo acme/shop --json\n"
	"  pipeline-guard stats --heals --days 7      what heals brought, per strategy and "
	"category\n"
	"  pipeline-guard stats --observe             what would have been done, had it been "
	"allowed\n"
	"\n"
	"Exit status: 0 it was shown, 1 there is none, 2 no mode or several, 3 no Redis.\n";

/* --- flakes ------------------------------------------------------------------- */

struct flakes {
	struct arena *arena;
	struct flake *at;
	size_t n, cap;
};

static void flakes_done(struct flakes *f)
{
	free(f->at);
	arena_free(f->arena);
}

static void add_ledger(struct flakes *all, const struct redisReply *ledger,
		       const struct stats_request *r)
{
	size_t n;

	if (all->cap - all->n < FLAKE_TESTS_MAX) {
		all->cap = 2 * all->cap + FLAKE_TESTS_MAX;
		all->at = xrealloc(all->at, all->cap * sizeof(*all->at));
	}
	n = flake_read_ledger(ledger, all->arena, all->at + all->n, FLAKE_TESTS_MAX);
	for (size_t i = all->n; n; i++, n--) {
		const struct flake *f = &all->at[i];

		if ((r->all || f->flaky) && (!r->repo || strcmp(r->repo, f->repo) == 0))
			all->at[all->n++] = *f;
	}
}

static int read_partition(struct query *q, unsigned partition, const struct stats_request *r,
			  struct flakes *all, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *index = NULL;
	char key[KEY_MAX];

	key_part(&q->ks, partition, "flakes", key);
	if (query_ask(q, &index, err, "ZREVRANGE", key, "0", "-1", (char *)NULL) < 0)
		return -1;
	for (size_t i = 0; i < redis_len(index) && i < FLAKE_PIPELINES_MAX; i++) {
		OWNED(redis_reply_freep) struct redisReply *ledger = NULL;
		const char *identity = redis_str(redis_at(index, i));

		if (!identity || strlen(identity) > KEY_MAX / 2)
			continue;
		key_part_of(&q->ks, partition, "flakes", identity, key);
		if (query_ask(q, &ledger, err, "HGETALL", key, (char *)NULL) < 0)
			return -1;
		add_ledger(all, ledger, r);
	}
	return 0;
}

static void put_percent(struct table *t, double share)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%.0f %%", share * 100);
	table_cell(t, text);
}

static void put_flake(struct table *t, const struct flake *f, int64_t now_ms)
{
	char text[64], age[24];

	table_cell(t, f->repo);
	table_cell(t, f->pipeline);
	table_cell(t, f->name);
	(void)snprintf(text, sizeof(text), "%u of %u", f->healed_commits, f->failed_commits);
	table_cell(t, text);
	put_percent(t, f->flip_rate);
	(void)snprintf(text, sizeof(text), "%.1f", f->lost_minutes);
	table_cell(t, text);
	table_cell(t, f->owner);
	term_age(age, f->last_ms, now_ms);
	(void)snprintf(text, sizeof(text), "%s ago", age);
	table_cell(t, text);
}

static void print_flakes(const struct flakes *all, size_t shown)
{
	static const char *const headings[] = { "repository", "pipeline", "test", "healed", "flips",
						"minutes",    "owner",    "last", NULL };
	OWNED(table_freep) struct table *t = table_new(headings);
	int64_t now = clock_wall_ms();

	if (!all->n) {
		printf("No such test is known.\n");
		return;
	}
	for (size_t i = 0; i < shown; i++)
		put_flake(t, &all->at[i], now);
	table_print(t);
	if (shown < all->n)
		printf("\n%zu more: --limit\n", all->n - shown);
}

static void print_flakes_json(const struct flakes *all, size_t shown)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < shown; i++)
		json_object_array_add(list, flake_to_json(&all->at[i]));
	json_add(o, "flakes", list);
	json_add_i64(o, "tests", (int64_t)all->n);
	printf("%s\n", json_text(o));
}

static int show_flakes(const struct cli *cli, const struct stats_request *r, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	OWNED(flakes_done) struct flakes all = { .arena = arena_new() };
	size_t shown;

	if (query_open(cli->conf, &q, err) < 0)
		return -1;
	for (unsigned p = 0; p < q->ks.partitions; p++)
		if (read_partition(q, p, r, &all, err) < 0)
			return -1;
	if (all.n)
		qsort(all.at, all.n, sizeof(*all.at), flake_compare);
	shown = all.n < (size_t)r->limit ? all.n : (size_t)r->limit;
	if (cli->json)
		print_flakes_json(&all, shown);
	else
		print_flakes(&all, shown);
	return all.n ? CLI_OK : CLI_NO;
}

/* --- modes -------------------------------------------------------------------- */

static int run(int argc, char **argv)
{
	struct stats_request r = { .limit = 50, .days = 30 };
	bool flakes = false, heals = false, observe = false;
	const struct cli_option own[] = {
		{ .name = "flakes", .flag = &flakes, .help = "tests that are flaky" },
		{ .name = "heals", .flag = &heals, .help = "what heals were worth" },
		{ .name = "observe",
		  .flag = &observe,
		  .help = "what would have been done in mode observe" },
		{ .name = "days",
		  .argument = "N",
		  .number = &r.days,
		  .help = "of the last N days (30); --heals and --observe" },
		{ .name = "all", .flag = &r.all, .help = "and those that only failed so far" },
		{ .name = "repo",
		  .argument = "NAME",
		  .text = &r.repo,
		  .help = "of this repository only" },
		{ .name = "limit",
		  .argument = "N",
		  .number = &r.limit,
		  .help = "show at most so many (50)" },
		{ .name = "data-dir",
		  .argument = "DIR",
		  .key = "data_dir",
		  .help = "where `start` keeps its data" },
		{ .name = NULL },
	};
	const struct {
		const bool *wanted;
		int (*show)(const struct cli *, const struct stats_request *, struct err *);
	} modes[] = {
		{ &flakes, show_flakes },
		{ &heals, stats_heals },
		{ &observe, stats_observe },
	}, *mode = NULL;
	unsigned n = 0;
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_stats, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (*modes[i].wanted) {
			mode = &modes[i];
			n++;
		}
	}
	if (n != 1)
		status = err_set(&err, ERR_CONFIG,
				 "say what to show: one of --flakes, --heals, --observe");
	else if (r.limit < 1)
		status = err_set(&err, ERR_CONFIG, "--limit is at least 1");
	else if (r.days < 1 || r.days > VALUE_DAYS_MAX)
		status = err_set(&err, ERR_CONFIG, "--days is from 1 to %d", VALUE_DAYS_MAX);
	else
		status = mode->show(&cli, &r, &err);
	if (status < 0)
		status = cli_fail(&cmd_stats, &err);
	cli_end(&cli);
	return status;
}

const struct command cmd_stats = {
	.name = "stats",
	.group = GROUP_LOOK,
	.summary = "show what many runs say together: flaky tests, what heals were worth",
	.usage = usage,
	.run = run,
};

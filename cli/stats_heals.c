/* stats --heals: what was tried, what it brought, and how sure the guard is of it by now. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/stats.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/value.h"
#include "dispatcher/learn.h"
#include "healers/healer.h"
#include "ml/belief.h"

enum { ROWS_MAX = 400 };

struct row {
	const struct healer *healer;
	const char *category;
	struct value value;
	double success, low, high;
};

struct heals {
	struct row rows[ROWS_MAX];
	size_t n;
	struct value all;
};

static const char *category_known(const char *name)
{
	for (size_t i = 0; finding_categories[i]; i++)
		if (strcmp(finding_categories[i], name) == 0)
			return finding_categories[i];
	return NULL;
}

/* A strategy or a category of another release is only in the sum. */
static struct value *value_of(struct heals *h, const char *strategy, const char *category)
{
	const struct healer *healer = healer_find(strategy);
	const char *known = category_known(category);

	if (!healer || !known)
		return NULL;
	for (size_t i = 0; i < h->n; i++)
		if (h->rows[i].healer == healer && h->rows[i].category == known)
			return &h->rows[i].value;
	if (h->n == ROWS_MAX)
		return NULL;
	h->rows[h->n] = (struct row){ .healer = healer, .category = known };
	return &h->rows[h->n++].value;
}

/* "<name>" or "<strategy> <category> <name>". */
static void add_field(struct heals *h, const char *field, int64_t n)
{
	char strategy[64] = "", category[64] = "", name[64];
	struct value *to = &h->all;

	if (sscanf(field, "%63s %63s %63s", strategy, category, name) == 3)
		to = value_of(h, strategy, category);
	else
		(void)snprintf(name, sizeof(name), "%s", field);
	for (size_t i = 0; to && i < VALUE_N; i++)
		if (strcmp(value_names[i], name) == 0)
			to->of[i] += n;
}

static int read_day(struct query *q, int64_t day, struct heals *h, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *fields = NULL;
	char key[KEY_MAX];

	value_key(&q->ks, day, key);
	if (query_ask(q, &fields, err, "HGETALL", key, (char *)NULL) < 0)
		return -1;
	for (size_t i = 0; i + 1 < redis_len(fields); i += 2) {
		const char *field = redis_str(redis_at(fields, i));
		const char *n = redis_str(redis_at(fields, i + 1));

		if (field && n)
			add_field(h, field, strtoll(n, NULL, 10));
	}
	return 0;
}

/* Of the whole category: what a single failure is thought of is in the reason of its plan. */
static int read_belief(struct query *q, struct row *row, int64_t now_ms, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	const struct heal_target *target;
	struct tally_pair seen;
	struct finding f;
	char key[KEY_MAX], field[64];

	finding_init(&f);
	f.category = row->category;
	target = healer_target(row->healer, &f);
	learn_key(&q->ks, row->healer->name, key);
	(void)snprintf(field, sizeof(field), "category %.40s", row->category);
	if (query_ask(q, &reply, err, "HGET", key, field, (char *)NULL) < 0)
		return -1;
	seen = learn_pair(reply, now_ms);
	row->success =
		belief_mean(target ? target->success : 0.5, &seen, &(struct tally_pair){ 0 });
	belief_interval(target ? target->success : 0.5, &seen, 0.9, &row->low, &row->high);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int64_t more = y->value.of[VALUE_TRIES] - x->value.of[VALUE_TRIES];
	int by_name = strcmp(x->healer->name, y->healer->name);

	if (more)
		return more > 0 ? 1 : -1;
	return by_name ? by_name : strcmp(x->category, y->category);
}

static void add_value(struct json_object *o, const struct value *v)
{
	for (size_t i = 0; i < VALUE_N; i++)
		json_add_i64(o, value_names[i], v->of[i]);
}

static void print_json(const struct heals *h, int64_t days)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct json_object *all = json_object_new_object();

	for (size_t i = 0; i < h->n; i++) {
		const struct row *row = &h->rows[i];
		struct json_object *r = json_object_new_object();

		json_add_str(r, "strategy", row->healer->name);
		json_add_str(r, "category", row->category);
		add_value(r, &row->value);
		json_add(r, "success", json_new_num(row->success));
		json_add(r, "success_low", json_new_num(row->low));
		json_add(r, "success_high", json_new_num(row->high));
		json_object_array_add(list, r);
	}
	add_value(all, &h->all);
	json_add_i64(o, "days", days);
	json_add(o, "heals", list);
	json_add(o, "total", all);
	printf("%s\n", json_text(o));
}

static void put(struct table *t, int64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, n);
	table_cell(t, text);
}

static void print_people(const struct heals *h, int64_t days)
{
	static const char *const headings[] = { "strategy", "category",  "tries",
						"healed",   "will work", "CI min",
						"saved",    "masked",    NULL };
	OWNED(table_freep) struct table *t = table_new(headings);
	const int64_t *all = h->all.of;

	for (size_t i = 0; i < h->n; i++) {
		const struct row *row = &h->rows[i];
		char text[48];

		table_cell(t, row->healer->name);
		table_cell(t, row->category);
		put(t, row->value.of[VALUE_TRIES]);
		put(t, row->value.of[VALUE_HEALED]);
		(void)snprintf(text, sizeof(text), "%.0f %% (%.0f to %.0f)", row->success * 100,
			       row->low * 100, row->high * 100);
		table_cell(t, text);
		put(t, row->value.of[VALUE_SPENT]);
		put(t, row->value.of[VALUE_SAVED]);
		put(t, row->value.of[VALUE_MASKED]);
	}
	table_print(t);
	printf("\nIn %" PRId64 " days %" PRId64 " of %" PRId64 " tries healed. They took %" PRId64
	       " minutes of CI time and saved people %" PRId64 ".\n",
	       days, all[VALUE_HEALED], all[VALUE_TRIES], all[VALUE_SPENT], all[VALUE_SAVED]);
	printf("%" PRId64
	       " of them passed over a flaky test, which is still there: stats --flakes\n",
	       all[VALUE_MASKED]);
}

int stats_heals(const struct cli *cli, const struct stats_request *r, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	struct heals h = { .n = 0 };
	int64_t now = clock_wall_ms(), today = now / VALUE_DAY_MS;

	if (query_open(cli->conf, &q, err) < 0)
		return -1;
	for (int64_t day = today - r->days + 1; day <= today; day++)
		if (read_day(q, day, &h, err) < 0)
			return -1;
	for (size_t i = 0; i < h.n; i++)
		if (read_belief(q, &h.rows[i], now, err) < 0)
			return -1;
	qsort(h.rows, h.n, sizeof(*h.rows), compare);
	if (cli->json)
		print_json(&h, r->days);
	else if (h.all.of[VALUE_TRIES])
		print_people(&h, r->days);
	else
		printf("No heal has ended in %" PRId64 " days.\n", r->days);
	return h.all.of[VALUE_TRIES] ? CLI_OK : CLI_NO;
}

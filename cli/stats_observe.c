/*
 * stats --observe: what would have been done in mode observe, what may be expected of it, and what
 * became of the same failures when people ran them again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/query.h"
#include "cli/stats.h"
#include "cli/term.h"
#include "core/ci_event.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/text.h"
#include "core/value.h"
#include "healers/healer.h"

enum { ENTRIES_MAX = 2000, ROWS_MAX = 400 };

struct row {
	const struct healer *healer;
	const char *category;
	int64_t failures, risky, people_reran, people_passed;
	double heals, ci_minutes; /* expected */
};

struct seen {
	struct row rows[ROWS_MAX]; /* that something would have been done about */
	size_t n;
	int64_t failures, asked;
};

static const char *text_of(const struct redisReply *fields, const char *name)
{
	const char *text = redis_field(fields, name);

	return text ? text : "";
}

static struct row *row_of(struct seen *s, const struct healer *healer, const char *category)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->rows[i].healer == healer && strcmp(s->rows[i].category, category) == 0)
			return &s->rows[i];
	for (size_t i = 0; finding_categories[i] && s->n < ROWS_MAX; i++)
		if (strcmp(finding_categories[i], category) == 0) {
			s->rows[s->n] =
				(struct row){ .healer = healer, .category = finding_categories[i] };
			return &s->rows[s->n++];
		}
	return NULL;
}

/* The next attempt of the run, which was not ours. */
struct later {
	bool reran, passed;
};

static int look_later(struct query *q, unsigned partition, const struct redisReply *o,
		      struct later *out, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *run = NULL;
	uint64_t then = 0, now = 0;
	const char *generation;
	char key[KEY_MAX];

	*out = (struct later){ false, false };
	key_part_of(&q->ks, partition, "run", text_of(o, "run"), key);
	if (query_ask(q, &run, err, "HMGET", key, "generation", "conclusion", (char *)NULL) < 0)
		return -1;
	generation = redis_str(redis_at(run, 0));
	/* Each build of a Jenkins job is another generation of it, whatever it builds. */
	if (strcmp(text_of(o, "provider"), "jenkins") == 0 || !generation ||
	    !text_to_u64(generation, &now) || !text_to_u64(text_of(o, "generation"), &then) ||
	    now <= then)
		return 0;
	out->reran = true;
	generation = redis_str(redis_at(run, 1));
	out->passed = generation && strcmp(generation, "success") == 0;
	return 0;
}

static void count(struct row *row, const struct redisReply *o, const struct later *later)
{
	row->failures++;
	row->risky +=
		row->healer->risk == RISK_CHANGE || strtod(text_of(o, "confidence"), NULL) < 0.8;
	row->people_reran += later->reran;
	row->people_passed += later->passed;
	row->heals += strtod(text_of(o, "success"), NULL);
	row->ci_minutes += strtod(text_of(o, "ci_minutes"), NULL);
}

static int add_entry(struct query *q, unsigned partition, const struct redisReply *o,
		     struct seen *s, struct err *err)
{
	const struct healer *healer = healer_find(text_of(o, "strategy"));
	struct row *row;
	struct later later;

	if (strcmp(text_of(o, "result"), "observed") != 0 || !healer)
		return 0;
	s->failures++;
	if (healer == &healer_escalate) {
		s->asked++;
		return 0;
	}
	if (look_later(q, partition, o, &later, err) < 0)
		return -1;
	row = row_of(s, healer, text_of(o, "category"));
	if (row)
		count(row, o, &later);
	return 0;
}

static int read_partition(struct query *q, unsigned partition, int64_t since_ms, struct seen *s,
			  struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *entries = NULL;
	char key[KEY_MAX], most[24], since[24];

	key_part(&q->ks, partition, "outcomes", key);
	(void)snprintf(most, sizeof(most), "%d", ENTRIES_MAX);
	(void)snprintf(since, sizeof(since), "%" PRId64, since_ms);
	if (query_ask(q, &entries, err, "XREVRANGE", key, "+", since, "COUNT", most, (char *)NULL) <
	    0)
		return -1;
	for (size_t i = 0; i < redis_len(entries); i++)
		if (add_entry(q, partition, redis_at(redis_at(entries, i), 1), s, err) < 0)
			return -1;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->failures != y->failures)
		return x->failures < y->failures ? 1 : -1;
	return strcmp(x->category, y->category);
}

static struct row sum(const struct seen *s)
{
	struct row all = { .category = "all" };

	for (size_t i = 0; i < s->n; i++) {
		const struct row *row = &s->rows[i];

		all.failures += row->failures;
		all.risky += row->risky;
		all.people_reran += row->people_reran;
		all.people_passed += row->people_passed;
		all.heals += row->heals;
		all.ci_minutes += row->ci_minutes;
	}
	return all;
}

/* --- showing -------------------------------------------------------------------------- */

static struct json_object *row_json(const struct row *row, double person_minutes)
{
	struct json_object *o = json_object_new_object();

	if (row->healer) {
		json_add_str(o, "strategy", row->healer->name);
		json_add_str(o, "category", row->category);
	}
	json_add_i64(o, "failures", row->failures);
	json_add(o, "would_heal", json_new_num(row->heals));
	json_add(o, "ci_minutes", json_new_num(row->ci_minutes));
	json_add(o, "person_minutes_saved", json_new_num(row->heals * person_minutes));
	json_add_i64(o, "risky", row->risky);
	json_add_i64(o, "people_reran", row->people_reran);
	json_add_i64(o, "people_passed", row->people_passed);
	return o;
}

static void print_json(const struct seen *s, int64_t days, double person_minutes)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct row all = sum(s);

	for (size_t i = 0; i < s->n; i++)
		json_object_array_add(list, row_json(&s->rows[i], person_minutes));
	json_add_i64(o, "days", days);
	json_add_i64(o, "failures", s->failures);
	json_add_i64(o, "would_ask", s->asked);
	json_add(o, "would_do", list);
	json_add(o, "total", row_json(&all, person_minutes));
	printf("%s\n", json_text(o));
}

static void put(struct table *t, double n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%.0f", n);
	table_cell(t, text);
}

static void put_row(struct table *t, const struct row *row)
{
	table_cell(t, row->healer ? row->healer->name : "");
	table_cell(t, row->category);
	put(t, (double)row->failures);
	put(t, row->heals);
	put(t, row->ci_minutes);
	put(t, (double)row->risky);
	put(t, (double)row->people_reran);
	put(t, (double)row->people_passed);
}

static void print_people(const struct seen *s, int64_t days, double person_minutes)
{
	static const char *const headings[] = { "would do",      "category", "failures",
						"would heal",    "CI min",   "risky",
						"people re-ran", "passed",   NULL };
	OWNED(table_freep) struct table *t = table_new(headings);
	struct row all = sum(s);

	for (size_t i = 0; i < s->n; i++)
		put_row(t, &s->rows[i]);
	put_row(t, &all);
	table_print(t);
	printf("\nIn %" PRId64 " days %" PRId64 " failures were only observed. %" PRId64
	       " of them would have been left to a person.\n",
	       days, s->failures, s->asked);
	printf("Of the other %" PRId64 " some %.0f would have healed: %.0f minutes of CI time, and "
	       "%.0f minutes of people saved.\n",
	       all.failures, all.heals, all.ci_minutes, all.heals * person_minutes);
	printf("%" PRId64 " would have changed something, or been done less than 80 %% sure.\n",
	       all.risky);
	printf("People ran %" PRId64 " of them again, and %" PRId64 " passed.\n", all.people_reran,
	       all.people_passed);
}

int stats_observe(const struct cli *cli, const struct stats_request *r, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	double person_minutes = (double)conf_int(cli->conf, "heal.person_minutes");
	int64_t since_ms = clock_wall_ms() - r->days * VALUE_DAY_MS;
	struct seen s = { .n = 0 };

	if (query_open(cli->conf, &q, err) < 0)
		return -1;
	for (unsigned p = 0; p < q->ks.partitions; p++)
		if (read_partition(q, p, since_ms, &s, err) < 0)
			return -1;
	qsort(s.rows, s.n, sizeof(*s.rows), compare);
	if (cli->json)
		print_json(&s, r->days, person_minutes);
	else if (s.failures)
		print_people(&s, r->days, person_minutes);
	else
		printf("Nothing was only observed in %" PRId64 " days.\n", r->days);
	return s.failures ? CLI_OK : CLI_NO;
}

/* rules next, confirm, reject, and the live columns of list: what the guard has seen. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/query.h"
#include "cli/rules.h"
#include "cli/term.h"
#include "core/clock.h"
#include "core/cluster_view.h"
#include "core/json.h"
#include "core/rule_trust.h"
#include "dispatcher/detector.h"

enum { CLUSTERS_READ = 2000 };

/* --- practice -------------------------------------------------------------------------- */

struct trust_book *rules_practice(const struct rules_request *r)
{
	OWNED(query_closep) struct query *q = NULL;
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char key[KEY_MAX];
	struct err err;

	if (query_open(r->cli->conf, &q, &err) < 0)
		return NULL;
	key_region(&q->ks, "rules", key);
	if (query_ask(q, &reply, &err, "HGETALL", key, (char *)NULL) < 0)
		return NULL;
	return trust_book_read(reply, clock_wall_ms());
}

/* --- next -------------------------------------------------------------------------------- */

/* What only a look at the words says has no rule yet. */
static bool has_no_rule(struct json_object *cluster)
{
	return strcmp(json_str(cluster, "category", ""), "unknown") == 0 ||
	       strcmp(json_str(cluster, "rule", ""), DETECT_BY_WORDS) == 0;
}

static int read_cluster(struct query *q, const char *fingerprint, struct json_object *list,
			struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char name[96], key[KEY_MAX];
	struct json_object *o;

	(void)snprintf(name, sizeof(name), "cluster:%.64s", fingerprint);
	key_region(&q->ks, name, key);
	if (query_ask(q, &reply, err, "HGETALL", key, (char *)NULL) < 0)
		return -1;
	o = cluster_json(fingerprint, reply);
	if (o && has_no_rule(o))
		json_object_array_add(list, o);
	else
		json_object_put(o);
	return 0;
}

static int by_count(const void *a, const void *b)
{
	int64_t x = json_i64(*(struct json_object *const *)a, "count", 0);
	int64_t y = json_i64(*(struct json_object *const *)b, "count", 0);

	return (y > x) - (y < x);
}

static int read_unknown(struct query *q, struct json_object *list, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	char key[KEY_MAX], last[24];

	key_region(&q->ks, "clusters", key);
	(void)snprintf(last, sizeof(last), "%d", CLUSTERS_READ - 1);
	if (query_ask(q, &reply, err, "ZREVRANGE", key, "0", last, (char *)NULL) < 0)
		return -1;
	for (size_t i = 0; i < redis_len(reply); i++) {
		const char *fingerprint = redis_str(redis_at(reply, i));

		if (fingerprint && read_cluster(q, fingerprint, list, err) < 0)
			return -1;
	}
	json_object_array_sort(list, by_count);
	return 0;
}

static void seen_table(struct json_object *list, size_t n)
{
	static const char *const headings[] = { "times",       "repositories", "last seen",
						"fingerprint", "what it says", NULL };
	OWNED(table_freep) struct table *t = table_new(headings);
	char text[32];

	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		(void)snprintf(text, sizeof(text), "%" PRId64, json_i64(o, "count", 0));
		table_cell(t, text);
		(void)snprintf(text, sizeof(text), "%zu%s",
			       (size_t)json_object_array_length(json_at(o, "repositories")),
			       json_flag(o, "more_repositories", false) ? " or more" : "");
		table_cell(t, text);
		term_age(text, json_i64(o, "last_seen_ms", 0), clock_wall_ms());
		table_cell(t, text);
		table_cell(t, json_str(o, "fingerprint", ""));
		table_cell(t, json_str(o, "example", ""));
	}
	if (n)
		table_print(t);
	else
		printf("No failure without a name was seen in the last 35 days.\n");
}

int rules_next_seen(const struct rules_request *r, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	size_t n;

	json_add(o, "clusters", list);
	if (query_open(r->cli->conf, &q, err) < 0 || read_unknown(q, list, err) < 0)
		return -1;
	n = json_object_array_length(list);
	if (n > (uint64_t)r->limit) {
		(void)json_object_array_del_idx(list, (size_t)r->limit, n - (size_t)r->limit);
		n = (size_t)r->limit;
	}
	if (r->cli->json)
		(void)puts(json_text(o));
	else
		seen_table(list, n);
	return CLI_OK;
}

/* --- confirm and reject -------------------------------------------------------------------- */

static int note(struct query *q, const char *rule, bool right, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	struct redis_cmd cmd;
	char key[KEY_MAX];

	key_region(&q->ks, "rules", key);
	trust_note_cmd(&cmd, key, TRUST_CATEGORY, rule, right);
	return query_script(q, &trust_note_script, &cmd, &reply, err);
}

/* The rule whose answer was judged; *out is the whole reply. */
static int mark(struct query *q, const char *ref, bool right, struct redisReply **out,
		struct err *err)
{
	struct redis_cmd cmd;
	char key[KEY_MAX];
	const char *answer;

	key_part_of(&q->ks, key_partition_of_ref(&q->ks, ref), "run", ref, key);
	trust_feedback_cmd(&cmd, key, right);
	if (query_script(q, &trust_feedback_script, &cmd, out, err) < 0)
		return -1;
	answer = redis_str(redis_at(*out, 0));
	if (answer && strcmp(answer, "ok") == 0)
		return 0;
	if (answer && strcmp(answer, "already") == 0)
		return err_set(err, ERR_INPUT, "somebody has judged this diagnosis already");
	if (answer && strcmp(answer, "no rule") == 0)
		return err_set(err, ERR_INPUT, "no rule named a cause for %s", ref);
	return err_set(err, ERR_INPUT, "%s has no diagnosis", ref);
}

static int judge(const struct rules_request *r, bool right, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	char ref[QUERY_REF_MAX];
	const char *rule;

	if (query_open(r->cli->conf, &q, err) < 0 || query_find_run(q, r->subject, ref, err) < 0 ||
	    mark(q, ref, right, &reply, err) < 0)
		return -1;
	rule = redis_str(redis_at(reply, 1));
	if (!rule || note(q, rule, right, err) < 0)
		return -1;
	if (!r->cli->json) {
		printf("Rule %s was %s about %s.\n", rule, right ? "right" : "wrong", ref);
		return CLI_OK;
	}
	json_add_str(o, "run", ref);
	json_add_str(o, "rule", rule);
	json_add_bool(o, "right", right);
	(void)puts(json_text(o));
	return CLI_OK;
}

int rules_confirm(const struct rules_request *r, struct err *err)
{
	return judge(r, true, err);
}

int rules_reject(const struct rules_request *r, struct err *err)
{
	return judge(r, false, err);
}

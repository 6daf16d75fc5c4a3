#include "cli/train_outcomes.h"

#include <stdio.h>
#include <string.h>

#include "cli/query.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/keys.h"
#include "core/mem.h"
#include "core/redis.h"
#include "dispatcher/detector.h"

/* Per partition. */
#define OUTCOMES_MAX "5000"

struct reader {
	struct query *q;
	unsigned partition;
	train_outcome_fn *fn;
	void *arg;
};

static bool confirmed(const struct finding *f, const struct redisReply *outcome)
{
	const char *category = redis_field(outcome, "category");

	return f->transient && f->n_evidence && category && strcmp(category, f->category) == 0 &&
	       strcmp(f->rule, DETECT_BY_WORDS) != 0;
}

/* A run that is gone, or whose finding another release wrote, teaches nothing. */
static int read_run(struct reader *r, const struct redisReply *outcome, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	OWNED(json_putp) struct json_object *o = NULL;
	OWNED(arena_freep) struct arena *a = arena_new();
	const char *ref = redis_field(outcome, "run"), *result = redis_field(outcome, "result");
	const char *text, *repo;
	char key[KEY_MAX];
	struct finding f;
	struct err ignored;

	if (!ref || !result || strcmp(result, "healed") != 0)
		return 0;
	key_part_of(&r->q->ks, r->partition, "run", ref, key);
	if (query_ask(r->q, &reply, err, "HMGET", key, "finding", "repo", (char *)NULL) < 0)
		return -1;
	text = redis_str(redis_at(reply, 0));
	repo = redis_str(redis_at(reply, 1));
	if (!text || json_parse(text, strlen(text), &o, &ignored) < 0 ||
	    finding_from_json(o, a, &f, &ignored) < 0 || !confirmed(&f, outcome))
		return 0;
	return r->fn(&f, repo ? repo : "", r->arg, err);
}

static int read_partition(struct reader *r, struct err *err)
{
	OWNED(redis_reply_freep) struct redisReply *reply = NULL;
	const struct redisReply *entry;
	char key[KEY_MAX];

	key_part(&r->q->ks, r->partition, "outcomes", key);
	if (query_ask(r->q, &reply, err, "XREVRANGE", key, "+", "-", "COUNT", OUTCOMES_MAX,
		      (char *)NULL) < 0)
		return -1;
	for (size_t i = 0; (entry = redis_at(reply, i)); i++)
		if (read_run(r, redis_at(entry, 1), err) < 0)
			return -1;
	return 0;
}

int train_outcomes(struct conf *conf, train_outcome_fn *fn, void *arg, struct err *err)
{
	OWNED(query_closep) struct query *q = NULL;
	struct reader r = { .fn = fn, .arg = arg };

	if (query_open(conf, &q, err) < 0)
		return -1;
	r.q = q;
	for (; r.partition < q->ks.partitions; r.partition++)
		if (read_partition(&r, err) < 0)
			return -1;
	return 0;
}

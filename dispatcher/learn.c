#include "dispatcher/learn.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/redis.h"
#include "core/value.h"
#include "dispatcher/work.h"
#include "ml/belief.h"

enum {
	TOLD_TTL_S = 7 * 24 * 3600,
	LEARN_TTL_S = 400 * 24 * 3600,
	FINGERPRINTS_MAX = 20000, /* per strategy; the one that was not heard of for longest goes */
};

/*
 * KEYS told hash seen value
 * ARGV 1 good 2 bad 3 fingerprint 4 category 5 half life ms 6 ttl 7 told ttl 8 most 9 strategy,
 *      then what VALUE_NAMES counts
 *
 * A field of the hash is "<good> <bad> <ms>", as of that moment: what was there is worth less by
 * now. `seen` orders fingerprints by when they were heard of last.
 */
static struct redis_script tell_script = {
	.name = "learn",
	.body = "if not redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[7]) then return 0 end "
		"local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"local function add(field) "
		"  local g, b, at = string.match(redis.call('HGET', KEYS[2], field) or '', "
		"    '^(%S+) (%S+) (%d+)$') "
		"  local w = at and 2 ^ (-math.max(0, now - at) / ARGV[5]) or 0 "
		"  redis.call('HSET', KEYS[2], field, string.format('%.4f %.4f %.0f', "
		"    (tonumber(g) or 0) * w + ARGV[1], (tonumber(b) or 0) * w + ARGV[2], now)) "
		"end "
		"if ARGV[1] ~= '0' or ARGV[2] ~= '0' then "
		"  add('category ' .. ARGV[4]) "
		"  if ARGV[3] ~= '' then "
		"    add(ARGV[3]) "
		"    redis.call('ZADD', KEYS[3], now, ARGV[3]) "
		"    local over = redis.call('ZCARD', KEYS[3]) - ARGV[8] "
		"    if over > 0 then "
		"      for _, old in ipairs(redis.call('ZRANGE', KEYS[3], 0, over - 1)) do "
		"        redis.call('HDEL', KEYS[2], old) "
		"        redis.call('ZREM', KEYS[3], old) "
		"      end "
		"    end "
		"  end "
		"  redis.call('EXPIRE', KEYS[2], ARGV[6]) "
		"  redis.call('EXPIRE', KEYS[3], ARGV[6]) "
		"end "
		"for i, name in ipairs({" VALUE_NAMES "}) do "
		"  redis.call('HINCRBY', KEYS[4], name, ARGV[9 + i]) "
		"  redis.call('HINCRBY', KEYS[4], ARGV[9] .. ' ' .. ARGV[4] .. ' ' .. name, "
		"    ARGV[9 + i]) "
		"end "
		"redis.call('EXPIRE', KEYS[4], ARGV[6]) "
		"return 1",
};

void learn_key(const struct keyspace *ks, const char *strategy, char key[static KEY_MAX])
{
	char name[100];

	(void)snprintf(name, sizeof(name), "learn:%.80s", strategy);
	key_region(ks, name, key);
}

/* --- asking ------------------------------------------------------------------------ */

struct question {
	struct task *task;
	void (*then)(struct task *, const struct learned *);
	struct learned learned;
	struct each {
		struct question *question;
		struct learned_one *one;
		double prior;
	} each[LEARN_STRATEGIES_MAX];
	size_t open;
};

struct tally_pair learn_pair(const struct redisReply *reply, int64_t now_ms)
{
	const char *text = redis_str(reply);
	struct tally_pair p = { 0, 0 };
	char *end;
	double decay;

	if (!text || redis_is_error(reply, NULL))
		return p;
	p.good = strtod(text, &end);
	p.bad = strtod(end, &end);
	decay = belief_decay(now_ms - strtoll(end, NULL, 10));
	p.good = p.good > 0 ? p.good * decay : 0;
	p.bad = p.bad > 0 ? p.bad * decay : 0;
	return p;
}

static void on_known(const struct redisReply *reply, void *arg)
{
	struct each *e = arg;
	struct question *q = e->question;
	struct task *t = q->task;
	int64_t now = task_now_ms(t);
	struct tally_pair category = learn_pair(redis_at(reply, 0), now);
	struct tally_pair fingerprint = learn_pair(redis_at(reply, 1), now);

	t->asked--;
	e->one->success = belief_mean(e->prior, &category, &fingerprint);
	e->one->seen = fingerprint.good + fingerprint.bad;
	if (--q->open == 0)
		q->then(t, &q->learned);
}

static void ask_one(struct question *q, size_t i, const char *category, const char *fingerprint)
{
	struct task *t = q->task;
	char key[KEY_MAX];

	learn_key(&t->e->ks, q->learned.of[i].healer->name, key);
	t->asked++;
	redis_send_args(t->e->writer, on_known, &q->each[i], "HMGET", key, category,
			*fingerprint ? fingerprint : "-", (char *)NULL);
}

void learn_ask(struct task *t, const struct finding *f,
	       void (*then)(struct task *, const struct learned *))
{
	struct question *q = arena_alloc(t->arena, sizeof(*q));
	char category[64];

	q->task = t;
	q->then = then;
	for (size_t i = 0; healers[i] && q->learned.n < LEARN_STRATEGIES_MAX; i++) {
		const struct heal_target *target = healer_target(healers[i], f);
		struct learned_one *one = &q->learned.of[q->learned.n];

		if (!target)
			continue;
		*one = (struct learned_one){ healers[i], target->success, 0 };
		q->each[q->learned.n++] = (struct each){ q, one, target->success };
	}
	q->open = q->learned.n;
	if (q->open == 0) {
		then(t, &q->learned);
		return;
	}
	(void)snprintf(category, sizeof(category), "category %.40s", f->category);
	for (size_t i = 0; i < q->learned.n; i++)
		ask_one(q, i, category, f->fingerprint);
}

/* --- telling ----------------------------------------------------------------------- */

/* A different failure says that the first one was gone, too; anything else says nothing. */
static const struct lesson {
	const char *result, *good, *bad;
} lessons[] = {
	{ "healed", "1", "0" },       { "different_failure", "1", "0" },
	{ "same_failure", "0", "1" }, { "merged", "1", "0" }, /* of what was proposed */
	{ "closed", "0", "1" },
};

static const struct lesson *lesson_of(const char *result)
{
	for (size_t i = 0; i < ARRAY_LEN(lessons); i++)
		if (strcmp(lessons[i].result, result) == 0)
			return &lessons[i];
	return NULL;
}

static int64_t minutes_spent(const struct task *t)
{
	int64_t ms = task_now_ms(t) - (int64_t)t->plan.sent_at_ms;

	/* Nothing ran for as long as a proposal waited. */
	return t->plan.sent_at_ms && ms > 0 && !*t->plan.proposal ? (ms + 59999) / 60000 : 0;
}

void learn_tell(struct task *t, const char *result, bool excused)
{
	enum { TOLD, HASH, SEEN, VALUE, N_KEYS };
	const struct lesson *lesson = lesson_of(result);
	bool healed = strcmp(result, "healed") == 0 || strcmp(result, "merged") == 0;
	char keys[N_KEYS][KEY_MAX], seen[160];
	struct redis_cmd cmd;

	if (!lesson)
		return;
	(void)snprintf(seen, sizeof(seen), "learn:told:%.140s", t->plan.id);
	key_region(&t->e->ks, seen, keys[TOLD]);
	learn_key(&t->e->ks, t->plan.strategy, keys[HASH]);
	(void)snprintf(seen, sizeof(seen), "learn:%.80s:seen", t->plan.strategy);
	key_region(&t->e->ks, seen, keys[SEEN]);
	value_key(&t->e->ks, task_now_ms(t) / VALUE_DAY_MS, keys[VALUE]);
	redis_script_cmd(&cmd, &tell_script, N_KEYS);
	for (int i = 0; i < N_KEYS; i++)
		redis_arg(&cmd, keys[i]);
	redis_arg(&cmd, lesson->good);
	redis_arg(&cmd, excused ? "0" : lesson->bad);
	redis_arg(&cmd, t->plan.fingerprint);
	redis_arg(&cmd, t->plan.category);
	redis_arg_i64(&cmd, (int64_t)BELIEF_HALF_LIFE_DAYS * VALUE_DAY_MS);
	redis_arg_i64(&cmd, LEARN_TTL_S);
	redis_arg_i64(&cmd, TOLD_TTL_S);
	redis_arg_i64(&cmd, FINGERPRINTS_MAX);
	redis_arg(&cmd, t->plan.strategy);
	redis_arg(&cmd, "1");
	redis_arg(&cmd, healed ? "1" : "0");
	redis_arg_i64(&cmd, minutes_spent(t));
	redis_arg_i64(&cmd, healed ? t->e->opt.person_minutes : 0);
	redis_arg(&cmd, healed && strcmp(t->plan.subcategory, "flaky") == 0 ? "1" : "0");
	redis_send_script(t->e->writer, &tell_script, &cmd, NULL, NULL);
}

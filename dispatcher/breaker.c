#include "dispatcher/breaker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/redis.h"
#include "dispatcher/engine.h"
#include "dispatcher/work.h"

enum {
	TTL_MS = 3600 * 1000, /* at least; a state nobody writes to is no state */
	HOSTS_MAX = 64,
	JITTER_MAX_MS = 10 * 1000,
	/* A run that is the only one to fail looks like an outage: not for ever. */
	HELD_MAX_MS = 24 * 3600 * 1000,
};

#define NOW "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "

/*
 * KEYS breaker breakers
 * ARGV 1 host, 2 news, 3 failures, 4 window_ms, 5 open_ms, 6 cap_ms, 7 jitter (0..1000),
 *      8 limit field, 9 limit_ms, 10 ttl_ms, 11 most hosts
 * Opens after so many failures within the window if they are two thirds of what came back since
 * the first of them: one run or one route that fails is not an outage. While it is open what
 * arrives late proves nothing. Returns what became of it: "opened", "closed" or "".
 */
static struct redis_script learn_script = {
	.name = "breaker_learn",
	.body = NOW
	"local news = ARGV[2] "
	"if news == 'ok' and redis.call('EXISTS', KEYS[1]) == 0 then return '' end "
	"local h = redis.call('HMGET', KEYS[1], 'state', 'window_ms', 'failures', 'answers', "
	"'opened', ARGV[8]) "
	"local state, said = h[1] or 'closed', '' "
	"local function open(times) "
	"  local wait = math.min(ARGV[5] * 2 ^ math.min(times - 1, 30), tonumber(ARGV[6])) "
	"  wait = math.floor(wait / 2 + wait / 2 * ARGV[7] / 1000) "
	"  redis.call('HDEL', KEYS[1], 'window_ms', 'failures', 'answers', 'probe', "
	"'probe_until_ms') "
	"  redis.call('HSET', KEYS[1], 'state', 'open', 'opened', times, 'open_until_ms', now + "
	"wait) "
	"end "
	"if news == 'limited' then "
	"  if now + ARGV[9] <= (tonumber(h[6]) or 0) then return '' end "
	"  redis.call('HSET', KEYS[1], ARGV[8], now + ARGV[9]) "
	"elseif state == 'open' then return '' "
	"elseif news == 'ok' and state == 'half_open' then "
	"  redis.call('HDEL', KEYS[1], 'opened', 'open_until_ms', 'probe', 'probe_until_ms') "
	"  redis.call('HSET', KEYS[1], 'state', 'closed', 'since_ms', now) "
	"  said = 'closed' "
	"elseif news == 'ok' then "
	"  if not h[3] then return '' end "
	"  redis.call('HINCRBY', KEYS[1], 'answers', 1) "
	"elseif state == 'half_open' then open((tonumber(h[5]) or 0) + 1) "
	"else "
	"  local began, failures, answers = tonumber(h[2]) or 0, tonumber(h[3]) or 0, "
	"tonumber(h[4]) or 0 "
	"  if now < began or now - began > tonumber(ARGV[4]) then "
	"    began, failures, answers = now, 0, 0 "
	"  end "
	"  failures = failures + 1 "
	"  if failures >= tonumber(ARGV[3]) and failures >= 2 * answers then "
	"    open(1) "
	"    redis.call('HSET', KEYS[1], 'since_ms', now) "
	"    said = 'opened' "
	"  else "
	"    redis.call('HSET', KEYS[1], 'window_ms', began, 'failures', failures, 'answers', "
	"answers) "
	"  end "
	"end "
	"redis.call('PEXPIRE', KEYS[1], ARGV[10]) "
	"if redis.call('SCARD', KEYS[2]) < tonumber(ARGV[11]) then "
	"  redis.call('SADD', KEYS[2], ARGV[1]) "
	"end "
	"redis.call('PEXPIRE', KEYS[2], ARGV[10]) "
	"return said",
};

/*
 * KEYS breaker
 * ARGV 1 who, 2 how long a probe may take, 3 "peek" (grants no probe), 4 limit field, 5 cap_ms,
 *      6 how long to wait while somebody else probes, 7 longest limit
 * Returns {"go" | "probe" | "limited" | "down", for how long}. An end that is further away than it
 * can have been set comes from a clock that jumped, and is not believed.
 */
static struct redis_script ask_script = {
	.name = "breaker_ask",
	.body = NOW
	"local h = redis.call('HMGET', KEYS[1], 'state', 'open_until_ms', 'probe', "
	"'probe_until_ms', 'limited_until_ms', ARGV[4]) "
	"local function left(at, most) "
	"  local n = (tonumber(at) or 0) - now "
	"  if n < 0 or n > tonumber(most) then return 0 end "
	"  return n "
	"end "
	"local limited = math.max(left(h[5], ARGV[7]), left(h[6], ARGV[7])) "
	"if limited > 0 then return {'limited', limited} end "
	"if (h[1] or 'closed') == 'closed' then return {'go', 0} end "
	"local open = h[1] == 'open' and left(h[2], ARGV[5]) or 0 "
	"if open > 0 then return {'down', open} end "
	"if ARGV[3] == 'peek' or (h[1] == 'half_open' and h[3] ~= ARGV[1] and "
	"    left(h[4], ARGV[2]) > 0) then "
	"  return {'down', tonumber(ARGV[6])} "
	"end "
	"redis.call('HSET', KEYS[1], 'state', 'half_open', 'probe', ARGV[1], 'probe_until_ms', "
	"now + ARGV[2]) "
	"return {'probe', 0}",
};

static const char *host_of(const struct task *t)
{
	const struct provider_api *ops;
	struct api *api = engine_provider(t->e, &t->run, &ops);

	return api ? ops->host(api) : "";
}

static void key_of_host(const struct engine *e, const char *host, char key[static KEY_MAX])
{
	char name[KEY_MAX / 2];

	(void)snprintf(name, sizeof(name), "breaker:%.100s", host);
	key_region(&e->ks, name, key);
}

void breaker_key(const struct task *t, char key[static KEY_MAX])
{
	key_of_host(t->e, host_of(t), key);
}

void breaker_limit_field(uint64_t limit_key, char out[static BREAKER_FIELD_MAX])
{
	if (limit_key)
		(void)snprintf(out, BREAKER_FIELD_MAX, "limited_until_ms:%" PRIu64, limit_key);
	else
		(void)snprintf(out, BREAKER_FIELD_MAX, "limited_until_ms");
}

/* --- learning --------------------------------------------------------------- */

/* Providers live in the configuration, so their names outlive the question. */
static void on_learned(const struct redisReply *reply, void *arg)
{
	const char *said = redis_str(reply), *host = arg;

	if (!said || redis_is_error(reply, NULL))
		return; /* whoever asks next will learn the same */
	if (strcmp(said, "opened") == 0)
		log_warn("provider does not answer: it is left alone but for a probe now and then",
			 KV("host", host));
	else if (strcmp(said, "closed") == 0)
		log_info("provider answers again", KV("host", host));
}

void breaker_observe(void *engine, const char *host, enum api_news news, uint64_t limit_key,
		     int64_t for_ms)
{
	static const char *const words[] = { "ok", "failed", "limited" };
	char key[KEY_MAX], hosts[KEY_MAX], field[BREAKER_FIELD_MAX];
	struct engine *e = engine;
	int64_t ttl = 2 * (e->opt.breaker_cap_ms + e->opt.breaker_window_ms);
	struct redis_cmd cmd;

	key_of_host(e, host, key);
	key_region(&e->ks, "breakers", hosts);
	breaker_limit_field(limit_key, field);
	redis_script_cmd(&cmd, &learn_script, 2);
	redis_arg(&cmd, key);
	redis_arg(&cmd, hosts);
	redis_arg(&cmd, host);
	redis_arg(&cmd, words[news]);
	redis_arg_i64(&cmd, e->opt.breaker_failures);
	redis_arg_i64(&cmd, e->opt.breaker_window_ms);
	redis_arg_i64(&cmd, e->opt.breaker_open_ms);
	redis_arg_i64(&cmd, e->opt.breaker_cap_ms);
	redis_arg_i64(&cmd, random_below(1001));
	redis_arg(&cmd, field);
	redis_arg_i64(&cmd, for_ms);
	redis_arg_i64(&cmd, ttl > TTL_MS ? ttl : TTL_MS);
	redis_arg_i64(&cmd, HOSTS_MAX);
	redis_send_script(e->writer, &learn_script, &cmd, on_learned, (void *)(uintptr_t)host);
}

/* --- asking ----------------------------------------------------------------- */

static bool held_too_long(const struct task *t)
{
	if (t->stage->has_plan)
		return t->plan.held_ms > HELD_MAX_MS;
	return task_now_ms(t) - (int64_t)t->run.at_ms > HELD_MAX_MS;
}

void breaker_hold(struct task *t, int64_t left_ms, const char *why)
{
	int64_t jitter = t->e->opt.breaker_open_ms + left_ms / 4;

	/* They must not all come back in the same moment. */
	if (jitter > JITTER_MAX_MS)
		jitter = JITTER_MAX_MS;
	task_hold(t, left_ms + 1 + random_below((unsigned)jitter), why);
}

static void on_asked(const struct redisReply *reply, void *arg)
{
	struct task *t = arg;
	const char *answer = redis_str(redis_at(reply, 0));
	int64_t left = redis_int(redis_at(reply, 1), 0);

	t->asked--;
	if (!answer)
		task_retry(t, -1, redis_why(reply));
	else if (!held_too_long(t) && strcmp(answer, "limited") == 0)
		breaker_hold(t, left, "the provider's rate limit is used up");
	else if (!held_too_long(t) && strcmp(answer, "down") == 0)
		breaker_hold(t, left, "the provider does not answer");
	else if (t->breaker.retry)
		t->breaker.retry(t, t->breaker.at_least_ms, t->breaker.why);
	else
		t->breaker.go(t);
}

static void ask(struct task *t, const char *peek)
{
	char key[KEY_MAX], field[BREAKER_FIELD_MAX], who[ITEM_MAX + 24];
	const struct engine_options *opt = &t->e->opt;
	struct redis_cmd cmd;

	breaker_key(t, key);
	breaker_limit_field(t->run.installation, field);
	(void)snprintf(who, sizeof(who), "%s %" PRId64, t->item, t->epoch);
	redis_script_cmd(&cmd, &ask_script, 1);
	redis_arg(&cmd, key);
	redis_arg(&cmd, who);
	redis_arg_i64(&cmd, opt->lease_ms);
	redis_arg(&cmd, peek);
	redis_arg(&cmd, field);
	redis_arg_i64(&cmd, opt->breaker_cap_ms);
	redis_arg_i64(&cmd, opt->breaker_open_ms);
	redis_arg_i64(&cmd, API_LIMIT_MAX_MS);
	t->asked++;
	redis_send_script(t->e->writer, &ask_script, &cmd, on_asked, t);
}

void breaker_ask(struct task *t, void (*go)(struct task *))
{
	t->breaker.go = go;
	t->breaker.retry = NULL;
	ask(t, "");
}

/* What the failed call had to say was sent before, so the answer knows of it. */
void breaker_retry(struct task *t, int64_t at_least_ms, const char *why,
		   void (*retry)(struct task *, int64_t, const char *))
{
	t->breaker.retry = retry;
	t->breaker.at_least_ms = at_least_ms;
	t->breaker.why = arena_strdup(t->arena, why);
	ask(t, "peek");
}

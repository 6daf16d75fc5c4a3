#include "dispatcher/work.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "core/audit.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/consumer.h"
#include "dispatcher/notify.h"
#include "dispatcher/trust.h"

enum {
	TAKE_MAX = 32,
	ASKED_MS = 50,
	PLAN_TTL_S = 35 * 24 * 3600,
};

/* In the order the work flows. */
static const struct stage *const stages[] = { &stage_hang,   &stage_diagnose, &stage_act,
					      &stage_await,  &stage_follow,   &stage_notify,
					      &stage_deliver };

struct work {
	struct engine *e;
	struct event *poll;
	struct take {
		struct work *work;
		bool busy;    /* a take is on its way */
		bool again;   /* work came up meanwhile, which it may have missed */
		int64_t room; /* ... for so many */
	} * takes;            /* per partition */
	unsigned first;       /* the partition that is served first; they take turns */
	struct task *tasks;
	size_t n_tasks;
	void (*idle)(void *);
	void *idle_arg;
};

/* --- scripts -------------------------------------------------------------- */

#define NOW "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "

/*
 * KEYS due work; ARGV max lease_ms run_prefix plan_prefix.
 * Returns {item, epoch, tries, lost, run, plan, now}... The lease is the new score: an item whose
 * worker dies is simply due again. Run and plan come along, and a planned plan becomes
 * leased here: where every write waits for the disk, another round trip would be another wait.
 * Their keys are known only here; they have the hash tag of the others.
 */
static struct redis_script take_script = {
	.name = "take",
	.body = NOW "local function hash(key) "
		    "  local h = redis.pcall('HGETALL', key) "
		    "  return h.err and {} or h "
		    "end "
		    "local out = {} "
		    "for _, item in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, "
		    "'LIMIT', 0, ARGV[1])) do "
		    "  local was = redis.call('HGET', KEYS[2], item) or '0 0 0' "
		    "  local held, tries, lost = string.match(was, '^(%d+) (%d+) (%d+)$') "
		    "  tries = (tonumber(tries) or 0) + 1 "
		    "  lost = (tonumber(lost) or 0) + ((held and held ~= '0') and 1 or 0) "
		    "  local epoch = redis.call('HINCRBY', KEYS[2], '#', 1) "
		    "  redis.call('HSET', KEYS[2], item, epoch .. ' ' .. tries .. ' ' .. lost) "
		    "  redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], item) "
		    "  local stage, id = string.match(item, '^(%a+):(.+)$') "
		    "  local run, plan = {}, {} "
		    "  if stage == 'diagnose' or stage == 'hang' then "
		    "    run = hash(ARGV[3] .. id) "
		    "  elseif stage == 'act' or stage == 'await' or stage == 'follow' or stage == "
		    "'notify' then "
		    "    local key = ARGV[4] .. id "
		    "    if redis.pcall('HGET', key, 'state') == 'planned' then "
		    "      redis.call('HSET', key, 'state', 'leased', 'epoch', epoch) "
		    "    end "
		    "    plan = hash(key) "
		    "    run = hash(ARGV[3] .. (string.match(id, '^(.*):') or id)) "
		    "  end "
		    "  out[#out + 1] = {item, epoch, tries, lost, run, plan, now} "
		    "end "
		    "return out",
};

/*
 * KEYS due work run runs feed outcomes stats plan
 * ARGV 1 item, 2 epoch, 3 ref, 4 generation, 5 mode, 6 again_ms, 7 next item, 8 its delay,
 *      9 feed word, 10 ttl_s, 11 stat, 12 plan id, 13..15 lengths of plan, run and outcome, pairs
 * A plan about a run that was going on, of which nothing was sent, makes room for one about its
 * failure. Mode "settle" ends the work on the item, "hold" takes back the try, "step" keeps it
 * leased, "create" ends a diagnosis: a plan is made only if the run is still in that generation and
 * has none for it, a plan that waits for this generation is made due, and a failure that is not
 * diagnosed yet is next. What an event asked for while the item was held is never put off or
 * dropped by its end.
 */
static struct redis_script settle_script = {
	.name = "settle",
	.body = NOW
	"local w = redis.call('HGET', KEYS[2], ARGV[1]) "
	"if not w or string.match(w, '^%d+') ~= ARGV[2] then return 'stale' end "
	"local at = 16 "
	"local function take(n) "
	"  local out = {} "
	"  for i = 1, n do out[i] = ARGV[at + i - 1] end "
	"  at = at + n "
	"  return out "
	"end "
	"local plan, run, outcome = take(tonumber(ARGV[13])), take(tonumber(ARGV[14])), "
	"  take(tonumber(ARGV[15])) "
	"local generation, mode, next_item = tonumber(ARGV[4]), ARGV[5], ARGV[7] "
	"local cur = redis.call('HMGET', KEYS[3], 'generation', 'rank', 'failed', 'awaiting', "
	"'plan', 'finding_generation') "
	"local newer = (tonumber(cur[1]) or 0) > generation "
	"local awaiting = cur[4] or '' "
	"if mode == 'create' then "
	"  local old = redis.call('HMGET', KEYS[8], 'id', 'running', 'sends') "
	"  local void = old[2] == '1' and (tonumber(old[3]) or 0) == 0 and cur[2] == '3' "
	"  if newer or (old[1] and not void) then plan, next_item = {}, '' "
	"  elseif #plan > 0 then "
	"    redis.call('DEL', KEYS[8]) "
	"    local before = redis.call('HGET', KEYS[3], 'planned') or '' "
	"    before = string.match(before, '%d+ %d+ %d+ %d+ %d+ %d+ %d+$') or before "
	"    for _, v in ipairs({'plan', ARGV[12], 'plan_state', 'planned', 'outcome', '', "
	"'planned', "
	"        void and before or before == '' and ARGV[4] or before .. ' ' .. ARGV[4]}) do "
	"      run[#run + 1] = v "
	"    end "
	"    for i = 1, #plan, 2 do "
	"      if plan[i] == 'strategy' then run[#run + 1] = 'strategy' run[#run + 1] = plan[i + "
	"1] end "
	"      if plan[i] == 'mode' then run[#run + 1] = 'plan_mode' run[#run + 1] = plan[i + 1] "
	"end "
	"      if plan[i] == 'reason' then run[#run + 1] = 'plan_reason' run[#run + 1] = plan[i + "
	"1] end "
	"    end "
	"  end "
	/* A finished older plan must not speak for the run any more. */
	"elseif cur[5] ~= ARGV[12] then run = {} end "
	"if #outcome > 0 then "
	"  redis.call('XADD', KEYS[6], '*', unpack(outcome)) "
	"  if awaiting == ARGV[12] then run[#run + 1] = 'awaiting' run[#run + 1] = '' end "
	"end "
	"if #plan > 0 then "
	"  redis.call('HSET', KEYS[8], unpack(plan)) "
	"  redis.call('EXPIRE', KEYS[8], ARGV[10]) "
	"end "
	"if next_item ~= '' then "
	"  local delay = ARGV[8] "
	"  if string.sub(next_item, 1, 6) == 'await:' then "
	"    run[#run + 1] = 'awaiting' run[#run + 1] = ARGV[12] "
	/* What it waits for is here already, so no event will wake it. */
	"    if newer and cur[2] == '3' then delay = 0 end "
	"  end "
	"  redis.call('ZADD', KEYS[1], now + delay, next_item) "
	/* Whoever holds it, for what was known before, must not end it for what is known now. */
	"  redis.call('HDEL', KEYS[2], next_item) "
	"end "
	"if #run > 0 and redis.call('EXISTS', KEYS[3]) == 1 then "
	"  redis.call('HSET', KEYS[3], 'updated_at_ms', now, unpack(run)) "
	"  redis.call('ZADD', KEYS[4], now, ARGV[3]) "
	"end "
	"if mode == 'create' and awaiting ~= '' and "
	"    generation > (tonumber(string.match(awaiting, ':(%d+)$')) or 0) then "
	"  redis.call('ZADD', KEYS[1], 'XX', now, 'await:' .. awaiting) "
	"end "
	"local again = tonumber(ARGV[6]) "
	"if again > 0 and string.sub(ARGV[1], 1, 6) == 'await:' and newer and cur[2] == '3' and "
	"    (cur[3] ~= '1' or (tonumber(cur[6]) or 0) >= tonumber(cur[1])) then "
	"  again = 0 "
	"end "
	"if mode == 'create' and string.sub(ARGV[1], 1, 9) == 'diagnose:' and cur[2] == '3' and "
	"    cur[3] == '1' and (tonumber(redis.call('HGET', KEYS[3], 'diagnosed')) or 0) < "
	"tonumber(cur[1]) then "
	"  redis.call('ZADD', KEYS[1], now, ARGV[1]) "
	"  redis.call('HDEL', KEYS[2], ARGV[1]) "
	"elseif mode ~= 'step' and again >= 0 then "
	"  redis.call('ZADD', KEYS[1], now + again, ARGV[1]) "
	"  local tries, lost = string.match(w, '(%d+) (%d+)$') "
	"  if mode == 'hold' then tries = math.max(tries - 1, 0) end "
	"  redis.call('HSET', KEYS[2], ARGV[1], '0 ' .. tries .. ' ' .. lost) "
	"elseif mode ~= 'step' then "
	"  redis.call('ZREM', KEYS[1], ARGV[1]) "
	"  redis.call('HDEL', KEYS[2], ARGV[1]) "
	"end "
	"if ARGV[11] ~= '' then "
	"  redis.call('HINCRBY', KEYS[7], ARGV[11], 1) "
	"  redis.call('EXPIRE', KEYS[7], ARGV[10]) "
	"end "
	"if ARGV[9] ~= '' then "
	"  redis.call('XADD', KEYS[5], 'MAXLEN', '~', 1000, '*', 'run', ARGV[3], 'what', ARGV[9]) "
	"end "
	"return 'ok'",
};

/* KEYS due work; ARGV item epoch lease_ms. */
static struct redis_script renew_script = {
	.name = "renew",
	.body = NOW "local w = redis.call('HGET', KEYS[2], ARGV[1]) "
		    "if not w or string.match(w, '^%d+') ~= ARGV[2] then return 'stale' end "
		    "redis.call('ZADD', KEYS[1], 'XX', now + ARGV[3], ARGV[1]) "
		    "return 'ok'",
};

/* KEYS due work dead; ARGV item epoch reason. */
static struct redis_script bury_script = {
	.name = "bury",
	.body = NOW "local w = redis.call('HGET', KEYS[2], ARGV[1]) "
		    "if not w or string.match(w, '^%d+') ~= ARGV[2] then return 'stale' end "
		    "redis.call('XADD', KEYS[3], '*', 'v', 1, 'reason', ARGV[3], 'item', ARGV[1], "
		    "'at_ms', now) "
		    "redis.call('ZREM', KEYS[1], ARGV[1]) "
		    "redis.call('HDEL', KEYS[2], ARGV[1]) "
		    "return 'ok'",
};

/* --- tasks ---------------------------------------------------------------- */

static bool taking(const struct work *w)
{
	for (unsigned p = 0; p < w->e->ks.partitions; p++)
		if (w->takes[p].busy)
			return true;
	return false;
}

/* What a take on its way brings is ours to end, too. */
static bool told_idle(struct work *w)
{
	void (*idle)(void *) = w->idle;

	if (!idle || w->n_tasks || taking(w))
		return false;
	w->idle = NULL;
	idle(w->idle_arg);
	return true;
}

static void task_end(struct task *t)
{
	struct work *w = t->e->work;

	if (t->stage->cancel)
		t->stage->cancel(t);
	if (t->deadline)
		event_free(t->deadline);
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	w->n_tasks--;
	arena_free(t->arena);
	free(t);
	if (!told_idle(w))
		work_kick(w);
}

static bool settled_ok(const struct task *t, const struct redisReply *reply)
{
	const char *answer = redis_str(reply);

	if (redis_is_error(reply, NULL) || !answer) {
		log_warn("could not settle; it is due again when the lease ends",
			 KV("item", t->item), KV("why", redis_why(reply)));
		return false;
	}
	if (strcmp(answer, "stale") == 0) {
		log_warn("lease lost: somebody else works on it", KV("item", t->item));
		return false;
	}
	return true;
}

static void on_settled(const struct redisReply *reply, void *arg)
{
	struct task *t = arg;

	if (settled_ok(t, reply) && t->recorded)
		t->recorded(t);
	task_end(t);
}

/* From here only on_settled() follows. */
static void last_words(struct task *t)
{
	t->settling = true;
	(void)evtimer_del(t->deadline);
}

void task_end_by(struct task *t, struct redis_script *script, const struct redis_cmd *cmd)
{
	last_words(t);
	redis_send_script(t->e->writer, script, cmd, on_settled, t);
}

static int count_pairs(const char *const *pairs)
{
	int n = 0;

	while (pairs[n])
		n++;
	return n;
}

static void add_pairs(struct redis_cmd *cmd, const char *const *pairs)
{
	for (; *pairs; pairs++)
		redis_arg(cmd, *pairs);
}

static void send_settle(struct task *t, const struct settle *s, const char *mode, redis_fn *fn)
{
	enum { N_KEYS = 8 };
	static const char *const names[] = { "due",  "work",     NULL,    "runs",
					     "feed", "outcomes", "stats", NULL };
	char key[N_KEYS][KEY_MAX], day[25];
	struct redis_cmd cmd;

	text_from_ms(day, clock_wall_ms());
	day[strlen("2026-01-31")] = '\0';

	redis_script_cmd(&cmd, &settle_script, N_KEYS);
	for (size_t i = 0; i < N_KEYS; i++) {
		if (i == 6)
			key_part_of(&t->e->ks, t->partition, names[i], day, key[i]);
		else if (names[i])
			key_part(&t->e->ks, t->partition, names[i], key[i]);
		else if (i == 2)
			key_part_of(&t->e->ks, t->partition, "run", t->ref, key[i]);
		else
			key_part_of(&t->e->ks, t->partition, "plan", t->plan_id, key[i]);
		redis_arg(&cmd, key[i]);
	}
	redis_arg(&cmd, t->item);
	redis_arg_i64(&cmd, t->epoch);
	redis_arg(&cmd, t->ref);
	redis_arg_i64(&cmd, (int64_t)(t->stage->has_plan ? t->plan.generation : t->run.generation));
	redis_arg(&cmd, mode);
	redis_arg_i64(&cmd, s->again_ms);
	redis_arg(&cmd, s->next_item);
	redis_arg_i64(&cmd, s->next_delay_ms);
	redis_arg(&cmd, s->feed);
	redis_arg_i64(&cmd, PLAN_TTL_S);
	redis_arg(&cmd, s->stat);
	redis_arg(&cmd, t->plan_id);
	redis_arg_i64(&cmd, count_pairs(s->plan_pairs));
	redis_arg_i64(&cmd, count_pairs(s->run_pairs));
	redis_arg_i64(&cmd, count_pairs(s->outcome_pairs));
	add_pairs(&cmd, s->plan_pairs);
	add_pairs(&cmd, s->run_pairs);
	add_pairs(&cmd, s->outcome_pairs);
	redis_send_script(t->e->writer, &settle_script, &cmd, fn, t);
}

void task_settle(struct task *t, const struct settle *s)
{
	last_words(t);
	send_settle(t, s, s->create_plan ? "create" : "settle", on_settled);
}

void task_retry(struct task *t, int64_t at_least_ms, const char *why)
{
	struct settle s = SETTLE_INIT;

	s.again_ms = engine_backoff_ms(t->e, t->tries, at_least_ms);
	log_info("will try again", KV("item", t->item), KV("try", t->tries), KV("why", why),
		 KV("in_ms", s.again_ms));
	task_settle(t, &s);
}

void task_hold(struct task *t, int64_t ms, const char *why)
{
	struct settle s = SETTLE_INIT;

	s.again_ms = ms;
	if (t->stage->has_plan) {
		s.plan_pairs[0] = "held_ms";
		s.plan_pairs[1] =
			arena_printf(t->arena, "%" PRIu64, t->plan.held_ms + (uint64_t)ms);
	}
	log_debug("held", KV("item", t->item), KV("why", why), KV("in_ms", ms));
	last_words(t);
	send_settle(t, &s, "hold", on_settled);
}

static void on_stepped(const struct redisReply *reply, void *arg)
{
	struct task *t = arg;

	t->asked--;
	if (settled_ok(t, reply))
		t->stepped(t);
	else
		task_end(t);
}

void task_step(struct task *t, const struct settle *s, void (*then)(struct task *))
{
	t->stepped = then;
	t->asked++;
	send_settle(t, s, "step", on_stepped);
}

/* Only by whoever's end it was that counted: a lease that was lost has nothing to report. */
static void outcome_recorded(struct task *t)
{
	const struct plan *p = &t->plan;

	audit_write(t->e->audit, "outcome", "plan", p->id, "repo", t->run.repo, "strategy",
		    p->strategy, "mode", p->mode, "result", t->result, "detail", t->detail,
		    "proposal", p->proposal, (char *)NULL);
	log_info("plan finished", KV("plan", p->id), KV("repo", t->run.repo),
		 KV("strategy", p->strategy), KV("result", t->result), KV("detail", t->detail));
	trust_learn(t, t->result);
}

const char *notify_item(struct task *t, const char *word)
{
	return notify_wants(t->e->notify, word, t->run.repo)
		       ? arena_printf(t->arena, "notify:%s", t->plan_id)
		       : NULL;
}

void task_outcome(struct task *t, const char *result, const char *detail)
{
	const struct plan *p = &t->plan;
	const struct run *r = &t->run;
	char now[24], generation[24], reruns[24], created[24], sent[24], stat[64];
	struct settle s = {
		.again_ms = -1,
		.feed = result,
		.stat = stat,
		.plan_pairs = { "state", "done", "result", result, "detail", detail, "proposal",
				p->proposal, "done_at_ms", now },
		.run_pairs = { "plan_state", "done", "outcome", result, "outcome_detail", detail,
			       "proposal", p->proposal, "proposal_state", "", "outcome_at_ms",
			       now },
		.outcome_pairs = { "v",
				   "1",
				   "plan",
				   p->id,
				   "run",
				   t->ref,
				   "source",
				   r->source,
				   "repo",
				   r->repo,
				   "pipeline",
				   r->pipeline,
				   "branch",
				   r->branch,
				   "generation",
				   generation,
				   "provider",
				   r->provider,
				   "reruns",
				   reruns,
				   "strategy",
				   p->strategy,
				   "mode",
				   p->mode,
				   "result",
				   result,
				   "detail",
				   detail,
				   "proposal",
				   p->proposal,
				   "category",
				   p->category,
				   "fingerprint",
				   p->fingerprint,
				   "rule",
				   p->rule,
				   "confidence",
				   p->confidence,
				   "success",
				   p->success,
				   "ci_minutes",
				   p->ci_minutes,
				   "created_at_ms",
				   created,
				   "sent_at_ms",
				   sent,
				   "done_at_ms",
				   now,
				   "trace",
				   p->trace },
	};

	(void)snprintf(now, sizeof(now), "%" PRId64, task_now_ms(t));
	(void)snprintf(generation, sizeof(generation), "%" PRIu64, p->generation);
	(void)snprintf(reruns, sizeof(reruns), "%" PRIu64, p->reruns);
	(void)snprintf(created, sizeof(created), "%" PRIu64, p->created_at_ms);
	(void)snprintf(sent, sizeof(sent), "%" PRIu64, p->sent_at_ms);
	(void)snprintf(stat, sizeof(stat), "outcomes:%s", result);
	s.next_item = t->quiet ? NULL : notify_item(t, result);
	t->result = result;
	t->detail = arena_strdup(t->arena, detail);
	t->recorded = outcome_recorded;
	task_settle(t, &s);
}

static void on_renewed(const struct redisReply *reply, void *arg)
{
	struct task *t = arg;
	struct timeval tv;

	t->asked--;
	if (t->settling || !settled_ok(t, reply))
		return;
	t->taken_at_ms = t->renewed_at_ms;
	tv = clock_timeval(t->taken_at_ms + t->e->opt.lease_ms * 3 / 4 - clock_mono_ms());
	(void)evtimer_add(t->deadline, &tv);
}

void task_renew(struct task *t)
{
	static const char *const names[] = { "due", "work" };
	int64_t now = clock_mono_ms(), third = t->e->opt.lease_ms / 3;
	char key[ARRAY_LEN(names)][KEY_MAX];
	struct redis_cmd cmd;

	if (now - t->taken_at_ms < third || now - t->renewed_at_ms < third)
		return;
	t->renewed_at_ms = now;
	redis_script_cmd(&cmd, &renew_script, ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		key_part(&t->e->ks, t->partition, names[i], key[i]);
		redis_arg(&cmd, key[i]);
	}
	redis_arg(&cmd, t->item);
	redis_arg_i64(&cmd, t->epoch);
	redis_arg_i64(&cmd, t->e->opt.lease_ms);
	t->asked++;
	redis_send_script(t->e->writer, &renew_script, &cmd, on_renewed, t);
}

static void bury(struct task *t, const char *reason)
{
	static const char *const names[] = { "due", "work", "dead" };
	char key[ARRAY_LEN(names)][KEY_MAX];
	struct redis_cmd cmd;

	log_error("dead letter", KV("item", t->item), KV("reason", reason));
	metrics_add("dead_letter_total", "", 1);
	redis_script_cmd(&cmd, &bury_script, ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		key_part(&t->e->ks, t->partition, names[i], key[i]);
		redis_arg(&cmd, key[i]);
	}
	redis_arg(&cmd, t->item);
	redis_arg_i64(&cmd, t->epoch);
	redis_arg(&cmd, reason);
	task_end_by(t, &bury_script, &cmd);
}

/* The stage took too long: give the item back while the lease is still ours. */
static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct task *t = arg;
	struct timeval soon = clock_timeval(ASKED_MS);

	UNUSED(fd);
	UNUSED(what);
	/* An answer that comes after the end would find nobody; Redis has its own time limit. */
	if (t->asked) {
		(void)evtimer_add(t->deadline, &soon);
		return;
	}
	if (t->stage->cancel)
		t->stage->cancel(t);
	task_retry(t, -1, "took longer than its lease allows");
}

/* With its run and plan as they were when it was taken. */
static void start(struct task *t, const struct redisReply *run, const struct redisReply *plan)
{
	char why[80];

	run_read(run, t->arena, &t->run);
	plan_read(plan, t->arena, &t->plan);
	if (!t->stage->alone && (!*t->run.repo || (t->stage->has_plan && !*t->plan.id))) {
		bury(t, "its run or plan is not in Redis any more");
		return;
	}
	if (t->lost > t->e->opt.max_deliveries) {
		(void)snprintf(why, sizeof(why), "%" PRId64 " workers died or stalled over it",
			       t->lost);
		if (t->stage->has_plan && !t->stage->only_tells)
			task_outcome(t, "unknown", why);
		else
			bury(t, why);
		return;
	}
	t->stage->start(t);
}

static const struct stage *stage_of(const char *item, const char **subject)
{
	for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
		size_t n = strlen(stages[i]->name);

		if (strncmp(item, stages[i]->name, n) == 0 && item[n] == ':') {
			*subject = item + n + 1;
			return stages[i];
		}
	}
	return NULL;
}

/* Not one of ours, or from a newer release: it must not come back every lease. */
static const struct stage stage_foreign = { .name = "foreign" };

static void set_subject(struct task *t, const char *subject)
{
	size_t n = strlen(subject);

	if (t->stage->has_plan) {
		const char *colon = strrchr(subject, ':');

		(void)text_copy(t->plan_id, sizeof(t->plan_id), subject, n);
		n = colon ? (size_t)(colon - subject) : n;
	}
	(void)text_copy(t->ref, sizeof(t->ref), subject, n);
}

static void task_begin(struct work *w, unsigned partition, const struct redisReply *row)
{
	const char *item = redis_str(redis_at(row, 0)), *subject = "";
	struct timeval tv = clock_timeval(w->e->opt.lease_ms * 3 / 4);
	struct task *t = xcalloc(1, sizeof(*t));

	t->e = w->e;
	t->arena = arena_new();
	t->partition = partition;
	t->stage = stage_of(item, &subject);
	if (!t->stage)
		t->stage = &stage_foreign;
	(void)text_copy(t->item, sizeof(t->item), item, strlen(item));
	set_subject(t, subject);
	t->epoch = redis_int(redis_at(row, 1), 0);
	t->tries = redis_int(redis_at(row, 2), 1);
	t->lost = redis_int(redis_at(row, 3), 0);
	t->redis_ms = redis_int(redis_at(row, 6), 0);
	t->taken_at_ms = t->loaded_at_ms = clock_mono_ms();
	t->state = arena_alloc(t->arena, t->stage->state_size + 1);
	t->deadline = evtimer_new(w->e->base, on_deadline, t);
	if (!t->deadline)
		abort();
	t->next = w->tasks;
	t->prev = &w->tasks;
	if (t->next)
		t->next->prev = &t->next;
	w->tasks = t;
	w->n_tasks++;
	if (t->stage == &stage_foreign) {
		bury(t, "unknown kind of work");
		return;
	}
	(void)evtimer_add(t->deadline, &tv);
	start(t, redis_at(row, 4), redis_at(row, 5));
}

/* --- taking --------------------------------------------------------------- */

static void on_taken(const struct redisReply *reply, void *arg)
{
	struct take *take = arg;
	struct work *w = take->work;

	take->busy = false;
	take->room = 0;
	if (redis_is_error(reply, NULL) && reply)
		log_warn("could not take work", KV("why", redis_why(reply)));
	for (size_t i = 0; i < redis_len(reply); i++)
		if (redis_str(redis_at(redis_at(reply, i), 0)))
			task_begin(w, (unsigned)(take - w->takes), redis_at(reply, i));
	/* A full hand means that there may be more. */
	if (!told_idle(w) && (redis_len(reply) == TAKE_MAX || take->again))
		work_kick(w);
	take->again = false;
}

static void take_from(struct work *w, unsigned partition, int64_t room)
{
	char due[KEY_MAX], key[KEY_MAX], run[KEY_MAX], plan[KEY_MAX];
	struct take *take = &w->takes[partition];
	struct redis_cmd cmd;

	take->work = w;
	take->busy = true;
	take->room = room < TAKE_MAX ? room : TAKE_MAX;
	key_part(&w->e->ks, partition, "due", due);
	key_part(&w->e->ks, partition, "work", key);
	key_part_of(&w->e->ks, partition, "run", "", run);
	key_part_of(&w->e->ks, partition, "plan", "", plan);
	redis_script_cmd(&cmd, &take_script, 2);
	redis_arg(&cmd, due);
	redis_arg(&cmd, key);
	redis_arg_i64(&cmd, take->room);
	redis_arg_i64(&cmd, w->e->opt.lease_ms);
	redis_arg(&cmd, run);
	redis_arg(&cmd, plan);
	redis_send_script(w->e->writer, &take_script, &cmd, on_taken, take);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct work *w = arg;
	struct timeval again = clock_timeval(w->e->opt.poll_ms);
	int64_t room = w->e->opt.concurrency - (int64_t)w->n_tasks;

	UNUSED(fd);
	UNUSED(what);
	if (w->e->draining)
		return;
	(void)evtimer_add(w->poll, &again);
	/*
	 * Through a connection that leads nowhere, work would be taken when somebody hears of it at
	 * last, by nobody, and count as lost by a worker.
	 */
	if (!redis_connected(w->e->writer) || !consumer_prepared(w->e->consumer))
		return;
	for (unsigned p = 0; p < w->e->ks.partitions; p++)
		room -= w->takes[p].room;
	for (unsigned i = 0; i < w->e->ks.partitions; i++) {
		unsigned p = (w->first + i) % w->e->ks.partitions;

		if (w->takes[p].busy) {
			w->takes[p].again = true;
		} else if (room > 0) {
			take_from(w, p, room);
			room -= w->takes[p].room;
		}
	}
	w->first++;
}

struct work *work_new(struct engine *e)
{
	struct work *w = xcalloc(1, sizeof(*w));

	w->e = e;
	w->takes = xcalloc(e->ks.partitions, sizeof(*w->takes));
	w->poll = evtimer_new(e->base, on_poll, w);
	if (!w->poll)
		abort();
	work_kick(w);
	return w;
}

void work_free(struct work *w)
{
	struct task *t, *next;

	if (!w)
		return;
	for (t = w->tasks; t; t = next) {
		next = t->next;
		if (t->stage->cancel)
			t->stage->cancel(t);
		event_free(t->deadline);
		arena_free(t->arena);
		free(t);
	}
	event_free(w->poll);
	free(w->takes);
	free(w);
}

void work_kick(struct work *w)
{
	struct timeval now = { 0 };

	if (!w->e->draining)
		(void)evtimer_add(w->poll, &now);
}

size_t work_running(const struct work *w)
{
	return w->n_tasks;
}

void work_drain(struct work *w, void (*idle)(void *), void *arg)
{
	(void)evtimer_del(w->poll);
	w->idle = idle;
	w->idle_arg = arg;
	(void)told_idle(w);
}

int64_t task_now_ms(const struct task *t)
{
	return t->redis_ms + clock_mono_ms() - t->loaded_at_ms;
}

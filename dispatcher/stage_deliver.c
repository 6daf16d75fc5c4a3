/*
 * deliver: works off the queue of one channel, under the lease of its item, so one message at a
 * time and in order. At least once: what was sent and not taken out of the queue is sent again,
 * with the same id.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/notify.h"
#include "dispatcher/notify_queue.h"
#include "dispatcher/test_hooks.h"
#include "dispatcher/work.h"

enum {
	MINUTE_MS = 60 * 1000,
	PACE_TTL_S = 24 * 3600,
	UNKNOWN_MS = 5000, /* how often a channel is looked for that is not configured here */
};

struct delivery {
	const struct notify_channel *channel; /* NULL: not configured here */
	struct http_call *http;
	const struct provider_api *ops; /* of t->call */
	struct json_object *notices[NOTIFY_DIGEST_MAX];
	const char *ids[NOTIFY_DIGEST_MAX], *names[NOTIFY_DIGEST_MAX]; /* in the stream; of the
									 notice */
	size_t n;
	int64_t waiting;               /* in all */
	int64_t minute_ms, sent, late; /* the pace, see docs/streams.md */
};

/*
 * KEYS queue pace; ARGV max.
 * Returns {entries, waiting, minute_ms, sent, late}.
 */
static struct redis_script look_script = {
	.name = "notify_look",
	.body = "local p = redis.call('HMGET', KEYS[2], 'minute_ms', 'sent', 'late') "
		"return {redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1]), "
		"redis.call('XLEN', KEYS[1]), p[1] or '0', p[2] or '0', p[3] or '0'}",
};

/*
 * KEYS due work queue pace dead; ARGV 1 item, 2 epoch, 3 told_prefix, 4 delay_ms, 5 minute_ms,
 *      6 sent, 7 late, 8 ttl_s, 9 reason, ids...
 * Takes the ids out of the queue: delivered, or with a reason into the dead letters, and then
 * they may be put in again. What is left is due after the delay.
 */
static struct redis_script end_script = {
	.name = "notify_end",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"local w = redis.call('HGET', KEYS[2], ARGV[1]) "
		"if not w or string.match(w, '^%d+') ~= ARGV[2] then return 'stale' end "
		"for i = 10, #ARGV do "
		"  local found = ARGV[9] ~= '' and redis.call('XRANGE', KEYS[3], ARGV[i], "
		"ARGV[i])[1] "
		"  if found then "
		"    local f = {} "
		"    for j = 1, #found[2], 2 do f[found[2][j]] = found[2][j + 1] end "
		"    local dead = {'v', 1, 'reason', ARGV[9], 'notice', f['notice'] or '', "
		"'at_ms', now} "
		"    if (f['item'] or '') ~= '' then dead[9] = 'item' dead[10] = f['item'] end "
		"    redis.call('XADD', KEYS[5], '*', unpack(dead)) "
		"    redis.call('DEL', ARGV[3] .. (f['id'] or '')) "
		"  end "
		"  redis.call('XDEL', KEYS[3], ARGV[i]) "
		"end "
		"redis.call('HSET', KEYS[4], 'minute_ms', ARGV[5], 'sent', ARGV[6], 'late', "
		"ARGV[7]) "
		"redis.call('EXPIRE', KEYS[4], ARGV[8]) "
		"if redis.call('XLEN', KEYS[3]) == 0 then "
		"  redis.call('DEL', KEYS[3]) "
		"  redis.call('ZREM', KEYS[1], ARGV[1]) "
		"  redis.call('HDEL', KEYS[2], ARGV[1]) "
		"else "
		"  redis.call('ZADD', KEYS[1], now + ARGV[4], ARGV[1]) "
		"  redis.call('HSET', KEYS[2], ARGV[1], '0 0 0') "
		"end "
		"return 'ok'",
};

static void count(const struct task *t, const char *result, size_t n)
{
	metrics_add("notifications_total",
		    arena_printf(t->arena, "channel=\"%s\",result=\"%s\"", t->ref, result),
		    (int64_t)n);
}

/* `reason`: they become dead letters, else they were delivered. */
static void end_with(struct task *t, const char *const *ids, size_t n, const char *reason,
		     int64_t delay_ms)
{
	enum { DUE, WORK, QUEUE, PACE, DEAD, N_KEYS };
	const struct delivery *d = t->state;
	char keys[N_KEYS][KEY_MAX], told[KEY_MAX];
	struct redis_cmd cmd;

	key_part(&t->e->ks, t->partition, "due", keys[DUE]);
	key_part(&t->e->ks, t->partition, "work", keys[WORK]);
	key_part_of(&t->e->ks, t->partition, "notify", t->ref, keys[QUEUE]);
	key_part_of(&t->e->ks, t->partition, "pace", t->ref, keys[PACE]);
	key_part(&t->e->ks, t->partition, "dead", keys[DEAD]);
	key_part_of(&t->e->ks, t->partition, "told", arena_printf(t->arena, "%s:", t->ref), told);
	redis_script_cmd(&cmd, &end_script, N_KEYS);
	for (int i = 0; i < N_KEYS; i++)
		redis_arg(&cmd, keys[i]);
	redis_arg(&cmd, t->item);
	redis_arg_i64(&cmd, t->epoch);
	redis_arg(&cmd, told);
	redis_arg_i64(&cmd, delay_ms);
	redis_arg_i64(&cmd, d->minute_ms);
	redis_arg_i64(&cmd, d->sent);
	redis_arg_i64(&cmd, d->late);
	redis_arg_i64(&cmd, PACE_TTL_S);
	redis_arg(&cmd, reason);
	for (size_t i = 0; i < n; i++)
		redis_arg(&cmd, ids[i]);
	task_end_by(t, &end_script, &cmd);
}

/* When the next one may follow. */
static int64_t next_ms(const struct task *t)
{
	const struct delivery *d = t->state;

	return d->channel && d->channel->digest_ms > 0 ? d->channel->digest_ms : 0;
}

static void delivered(struct task *t)
{
	struct delivery *d = t->state;

	test_hook_kill("after_notify");
	d->sent++;
	d->late = 0;
	count(t, "delivered", d->n);
	log_info("told", KV("channel", t->ref), KV("messages", (int64_t)d->n));
	end_with(t, d->ids, d->n, "", next_ms(t));
}

static void give_up(struct task *t, size_t n, const char *why)
{
	struct delivery *d = t->state;

	count(t, "dead", n);
	metrics_add("dead_letter_total", "", (int64_t)n);
	log_error("a message could not be delivered", KV("channel", t->ref),
		  KV("messages", (int64_t)n), KV("why", why));
	end_with(t, d->ids, n, arena_printf(t->arena, "notify.%s: %s", t->ref, why), next_ms(t));
}

/* The oldest are first. */
static size_t too_old(const struct task *t)
{
	const struct delivery *d = t->state;
	int64_t limit = task_now_ms(t) - notify_give_up_ms(t->e->notify);
	size_t n = 0;

	while (n < d->n && strtoll(d->ids[n], NULL, 10) < limit)
		n++;
	return n;
}

static void later(struct task *t, int64_t at_least_ms, const char *why)
{
	size_t old = too_old(t);

	if (old) {
		give_up(t, old, why);
		return;
	}
	count(t, "retried", 1);
	task_retry(t, at_least_ms, why);
}

static void on_answer(const struct http_reply *reply, void *arg)
{
	struct task *t = arg;
	struct delivery *d = t->state;
	char why[160];

	d->http = NULL;
	switch (notify_judge(reply, why)) {
	case NOTIFY_DELIVERED:
		delivered(t);
		return;
	case NOTIFY_RETRY:
		later(t, reply->retry_after_ms, arena_strdup(t->arena, why));
		return;
	case NOTIFY_REFUSED:
		give_up(t, d->n, arena_strdup(t->arena, why));
		return;
	}
}

/* False: this minute is used up, and what waits then follows as one message. */
static bool in_pace(struct task *t)
{
	struct delivery *d = t->state;
	int64_t now = task_now_ms(t), limit = d->channel->per_minute / t->e->ks.partitions;

	if (now - d->minute_ms >= MINUTE_MS || now < d->minute_ms) {
		d->minute_ms = now;
		d->sent = 0;
	}
	if (d->sent < (limit ? limit : 1))
		return true;
	d->late = 1;
	count(t, "throttled", 1);
	end_with(t, NULL, 0, "", d->minute_ms + MINUTE_MS - now);
	return false;
}

/* Of what was told, the same again has the same name, whoever sends it. */
static const char *message_id(struct task *t)
{
	const struct delivery *d = t->state;
	unsigned char hash[SHA256_BYTES];
	char hex[SHA256_HEX + 1];
	const char *all = t->ref;

	for (size_t i = 0; i < d->n; i++)
		all = arena_printf(t->arena, "%s %s", all, d->names[i]);
	sha256(all, strlen(all), hash);
	hex_encode(hash, sizeof(hash), hex);
	return arena_printf(t->arena, "pg_%.32s", hex);
}

static void on_shown(const struct api_result *r, void *arg)
{
	struct task *t = arg;

	t->call = NULL;
	if (r->fate == API_OK)
		delivered(t);
	else if (r->fate == API_REFUSED)
		give_up(t, 1, arena_strdup(t->arena, r->why));
	else
		later(t, r->retry_after_ms, arena_strdup(t->arena, r->why));
}

static void show_on_run(struct task *t)
{
	struct delivery *d = t->state;
	struct json_object *notice = d->notices[0];
	OWNED(json_putp)
	struct json_object *o = notify_format(t->e->notify, d->channel, d->notices, 1, 0);
	struct api *api = engine_api(t->e, json_str(notice, "provider", ""), &d->ops);
	const struct api_run run = {
		.repo = json_str(notice, "repo", ""),
		.repo_id = (uint64_t)json_i64(notice, "repo_id", 0),
		.run_id = (uint64_t)json_i64(notice, "run_id", 0),
		.installation = (uint64_t)json_i64(notice, "installation", 0),
		.merge_request = (uint64_t)json_i64(notice, "merge_request", 0),
	};
	const struct api_note note = {
		.sha = json_str(notice, "sha", ""),
		.title = json_str(o, "title", ""),
		.summary = json_str(o, "summary", ""),
		.brief = json_str(o, "brief", ""),
		.url = json_str(o, "url", ""),
		.good = json_flag(o, "good", false),
		.plan = json_str(o, "answers", ""),
		.approve = json_str(o, "approve", ""),
		.reject = json_str(o, "reject", ""),
	};

	/* Of another provider, or of no run: there is nowhere to show it. */
	if (!api || !d->ops->show || !*note.sha ||
	    !engine_serves(t->e, d->ops, json_str(notice, "source", ""))) {
		count(t, "skipped", 1);
		end_with(t, d->ids, 1, "", 0);
		return;
	}
	t->call = d->ops->show(api, &run, &note, on_shown, t);
}

static void send_them(struct task *t)
{
	struct delivery *d = t->state;

	if (!d->channel) {
		size_t old = too_old(t);

		if (old)
			give_up(t, old, "this channel is not configured");
		else
			task_hold(t, UNKNOWN_MS, "this channel is not configured here");
		return;
	}
	if (!in_pace(t))
		return;
	if (d->channel->type->on_run || (!d->late && d->channel->digest_ms == 0))
		d->n = 1;
	test_hook_kill("before_notify");
	if (d->channel->type->on_run) {
		show_on_run(t);
		return;
	}
	d->http = notify_send(t->e->notify, d->channel, t->e->http, d->notices, d->n,
			      (uint64_t)(d->waiting - (int64_t)d->n), message_id(t), on_answer, t);
}

static bool add_entry(struct task *t, const struct redisReply *entry)
{
	struct delivery *d = t->state;
	const char *text = redis_field(redis_at(entry, 1), "notice");
	const char *name = redis_field(redis_at(entry, 1), "id");
	struct err err;

	d->ids[d->n] = arena_strdup(t->arena, redis_str(redis_at(entry, 0)));
	d->names[d->n] = arena_strdup(t->arena, name ? name : "");
	if (!text || json_parse(text, strlen(text), &d->notices[d->n], &err) < 0)
		return false;
	d->n++;
	return true;
}

static void on_look(const struct redisReply *reply, void *arg)
{
	struct task *t = arg;
	struct delivery *d = t->state;
	const struct redisReply *entries = redis_at(reply, 0);

	t->asked--;
	if (redis_is_error(reply, NULL)) {
		task_retry(t, -1, redis_why(reply));
		return;
	}
	d->waiting = redis_int(redis_at(reply, 1), 0);
	d->minute_ms = redis_int(redis_at(reply, 2), 0);
	d->sent = redis_int(redis_at(reply, 3), 0);
	d->late = redis_int(redis_at(reply, 4), 0);
	for (size_t i = 0; i < redis_len(entries); i++) {
		if (add_entry(t, redis_at(entries, i)))
			continue;
		/* After those before it. */
		if (d->n == 0) {
			d->n = 1;
			give_up(t, 1, "its notice is not readable");
			return;
		}
		break;
	}
	if (d->n == 0)
		end_with(t, NULL, 0, "", 0);
	else
		send_them(t);
}

static void deliver_start(struct task *t)
{
	struct delivery *d = t->state;
	char queue[KEY_MAX], pace[KEY_MAX];
	struct redis_cmd cmd;

	d->channel = notify_channel_find(t->e->notify, t->ref);
	key_part_of(&t->e->ks, t->partition, "notify", t->ref, queue);
	key_part_of(&t->e->ks, t->partition, "pace", t->ref, pace);
	redis_script_cmd(&cmd, &look_script, 2);
	redis_arg(&cmd, queue);
	redis_arg(&cmd, pace);
	redis_arg_i64(&cmd, NOTIFY_DIGEST_MAX);
	t->asked++;
	redis_send_script(t->e->writer, &look_script, &cmd, on_look, t);
}

static void deliver_cancel(struct task *t)
{
	struct delivery *d = t->state;

	if (d->http)
		http_call_cancel(TAKE(d->http));
	if (t->call)
		d->ops->cancel(TAKE(t->call));
	for (size_t i = 0; i < NOTIFY_DIGEST_MAX; i++)
		if (d->notices[i])
			json_object_put(TAKE(d->notices[i]));
}

const struct stage stage_deliver = {
	.name = "deliver",
	.alone = true,
	.only_tells = true,
	.state_size = sizeof(struct delivery),
	.start = deliver_start,
	.cancel = deliver_cancel,
};

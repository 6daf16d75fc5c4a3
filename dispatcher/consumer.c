#include "dispatcher/consumer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/audit_trim.h"
#include "core/ci_event.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/answer.h"
#include "dispatcher/base_watch.h"
#include "dispatcher/batch.h"
#include "dispatcher/engine.h"
#include "dispatcher/flake_ledger.h"
#include "dispatcher/incident.h"
#include "dispatcher/incident_news.h"
#include "dispatcher/work.h"

#define GROUP "dispatchers"

enum {
	BLOCK_MS = 1000,
	CLAIM_MAX = 100,
	STUMBLE_MS = 500,
	LOOK_MS = 500, /* entries of a dead dispatcher are taken over so soon after claim_idle */
	CONSUMER_IDLE_MS = 3600 * 1000,
};

struct consumer {
	struct engine *e;
	void (*ready)(void *);
	void *ready_arg;
	struct event *chores;
	int64_t tidied_at_ms;
	bool prepared;  /* groups exist, meta checked */
	bool own_first; /* read what was delivered to us before going on with new entries */
	bool reading;
	bool stumbled;      /* a record failed: do not read on at once */
	unsigned preparing; /* answers outstanding */
	unsigned leaving;   /* the same, at the end */
	void (*left)(void *);
	void *left_arg;
	struct batch batch;
	struct flake_greens greens; /* of the same entries */
	size_t unsettled;           /* scripts about entries that are not answered yet */
	struct slot {
		struct consumer *c;
		unsigned partition;
	} * slots; /* one per partition: what a callback gets */
};

/* --- scripts -------------------------------------------------------------- */

/*
 * KEYS meta; ARGV version partitions mode why. Returns {version, partitions} as stored.
 * The mode is there for the page, which is served by other processes.
 */
static struct redis_script meta_script = {
	.name = "meta",
	.body = REDIS_REFUSES_CLUSTER
	"redis.call('HSETNX', KEYS[1], 'v', ARGV[1]) "
	"redis.call('HSETNX', KEYS[1], 'partitions', ARGV[2]) "
	"redis.call('HSET', KEYS[1], 'mode', ARGV[3], 'mode_why', ARGV[4]) "
	"return redis.call('HMGET', KEYS[1], 'v', 'partitions')",
};

/* KEYS events; ARGV group. A group that was lost starts again at 0: repeats are harmless, gaps are
 * not. */
static struct redis_script group_script = {
	.name = "group",
	.body = "local r = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM') "
		"if r.err and not string.find(r.err, 'BUSYGROUP') then return r end "
		"return 'ok'",
};

/* KEYS events dead; ARGV group entry reason event. */
static struct redis_script dead_script = {
	.name = "dead",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"redis.call('XADD', KEYS[2], '*', 'v', 1, 'reason', ARGV[3], 'entry', ARGV[2], "
		"  'event', ARGV[4], 'at_ms', now) "
		"redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) "
		"return 'ok'",
};

/*
 * KEYS events outcomes dead; ARGV group keep_ms me consumer_idle_ms keep_outcomes_ms dead_max
 * dead_keep_ms. Returns how many dead letters went. Of events it drops only what
 * every reader of the group is done with and what is older than keep_ms; forgets consumers that
 * have nothing pending and were not heard of for long.
 */
static struct redis_script chores_script = {
	.name = "chores",
	.body = "local t = redis.call('TIME') "
		"local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"local keep = now - ARGV[2] "
		"redis.call('XTRIM', KEYS[2], 'MINID', '~', string.format('%.0f', now - ARGV[5])) "
		"local dropped = redis.call('XTRIM', KEYS[3], 'MAXLEN', '~', ARGV[6]) + "
		"  redis.call('XTRIM', KEYS[3], 'MINID', '~', string.format('%.0f', now - "
		"ARGV[7])) "
		"local last "
		"for _, g in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do "
		"  local info = {} "
		"  for i = 1, #g, 2 do info[g[i]] = g[i + 1] end "
		"  local at = tonumber(string.match(info['last-delivered-id'], '^%d+')) "
		"  if not last or at < last then last = at end "
		"  local pending = redis.call('XPENDING', KEYS[1], info['name']) "
		"  if pending[1] > 0 then "
		"    local oldest = tonumber(string.match(pending[2], '^%d+')) "
		"    if oldest < last then last = oldest end "
		"  end "
		"end "
		"if last then "
		"  if keep < last then last = keep end "
		"  redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', last)) "
		"end "
		"for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do "
		"  local info = {} "
		"  for i = 1, #c, 2 do info[c[i]] = c[i + 1] end "
		"  if info['name'] ~= ARGV[3] and info['pending'] == 0 and "
		"      info['idle'] > tonumber(ARGV[4]) then "
		"    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], info['name']) "
		"  end "
		"end "
		/* To Redis before 7.2 a reader that waits is silent; looking at our own entries
		 * beyond the last one is not, and delivers nothing. */
		"redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[3], 'COUNT', 1, 'STREAMS', "
		"KEYS[1], '9999999999999-0') "
		"return dropped",
};

/* KEYS events; ARGV group me. */
static struct redis_script leave_script = {
	.name = "leave",
	.body = "for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do "
		"  local info = {} "
		"  for i = 1, #c, 2 do info[c[i]] = c[i + 1] end "
		"  if info['name'] == ARGV[2] and info['pending'] == 0 then "
		"    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) "
		"  end "
		"end "
		"return 'ok'",
};

static void read_next(struct consumer *);

/* --- one entry ------------------------------------------------------------ */

/* The entries of this batch are answered for. After a failure the group still has them: not at once
 * again. */
static void entries_settled(struct consumer *c)
{
	struct timeval pause = clock_timeval(STUMBLE_MS);

	if (c->stumbled && !c->e->draining)
		(void)evtimer_add(c->chores, &pause);
	else
		read_next(c);
	c->own_first |= c->stumbled;
	c->stumbled = false;
}

static void say_dead(const struct redisReply *reply)
{
	const char *id;

	for (size_t i = 0; (id = batch_dead(reply, i)); i++) {
		log_error("dead letter", KV("entry", id),
			  KV("reason", "the key of its run holds something else"));
		metrics_add("dead_letter_total", "", 1);
	}
}

static void on_recorded(const struct redisReply *reply, void *arg)
{
	struct consumer *c = arg;

	c->unsettled--;
	if (redis_is_error(reply, NULL)) {
		log_warn("could not record; the entry stays pending", KV("why", redis_why(reply)));
		c->stumbled = true;
	} else {
		say_dead(reply);
		if (batch_woke(reply))
			work_kick(c->e->work);
	}
	if (c->unsettled == 0)
		entries_settled(c);
}

static char *fields_as_json(const struct redisReply *fields)
{
	struct json_object *o = json_object_new_object();
	char *text;

	for (size_t i = 0; i + 1 < redis_len(fields); i += 2) {
		const char *name = redis_str(redis_at(fields, i));
		const char *value = redis_str(redis_at(fields, i + 1));

		if (name && value)
			json_add_str(o, name, value);
	}
	text = xstrdup(json_text(o));
	json_object_put(o);
	return text;
}

static void bury(struct consumer *c, unsigned partition, const char *id,
		 const struct redisReply *fields, const char *reason)
{
	OWNED(freep) char *event = fields_as_json(fields);
	char events[KEY_MAX], dead[KEY_MAX];
	struct redis_cmd cmd;

	log_error("dead letter", KV("entry", id), KV("reason", reason));
	metrics_add("dead_letter_total", "", 1);
	key_part(&c->e->ks, partition, "events", events);
	key_part(&c->e->ks, partition, "dead", dead);
	redis_script_cmd(&cmd, &dead_script, 2);
	redis_arg(&cmd, events);
	redis_arg(&cmd, dead);
	redis_arg(&cmd, GROUP);
	redis_arg(&cmd, id);
	redis_arg(&cmd, reason);
	redis_arg(&cmd, event);
	c->unsettled++;
	redis_send_script(c->e->writer, &dead_script, &cmd, on_recorded, c);
}

static void send_batch(struct consumer *c, unsigned partition)
{
	const struct batch_options options = { GROUP, c->e->opt.diagnose_delay_ms,
					       c->e->opt.stuck_after_ms };

	if (c->batch.n == 0)
		return;
	flake_greens_send(&c->greens, c->e->writer, &c->e->ks, partition);
	c->unsettled++;
	batch_send(&c->batch, c->e->writer, &c->e->ks, partition, &options, on_recorded, c);
}

static void record(struct consumer *c, unsigned partition, const char *id,
		   const struct ci_event *ev)
{
	base_watch_passed(c->e, partition, ev);
	batch_record(&c->batch, id, ev);
	flake_greens_add(&c->greens, ev);
}

/* Whoever lost it on its way presses again: it is still suggested then. */
static void take_answer(struct consumer *c, const char *id, const struct ci_event *ev)
{
	answer_take(c->e->answers, ev);
	batch_ack(&c->batch, id);
}

/* Else jobs and checks tell nothing that the run's own events do not. */
static void take_entry(struct consumer *c, unsigned partition, const struct redisReply *entry)
{
	const char *id = redis_str(redis_at(entry, 0));
	const struct redisReply *fields = redis_at(entry, 1);
	struct ci_event ev;
	struct err err;

	if (!id)
		return;
	/* A pending entry that was trimmed away comes back without fields. */
	if (redis_len(fields) == 0)
		batch_ack(&c->batch, id);
	else if (ci_event_decode(fields, &ev, &err) < 0)
		bury(c, partition, id, fields, err.msg);
	else if (ev.kind == CI_CHECK && *ev.answer)
		take_answer(c, id, &ev);
	else if (ev.kind == CI_RUN && ev.status != CI_STATUS_UNKNOWN)
		record(c, partition, id, &ev);
	else
		batch_ack(&c->batch, id);
	if (c->batch.n == BATCH_ENTRIES_MAX)
		send_batch(c, partition);
}

static size_t take_entries(struct consumer *c, unsigned partition, const struct redisReply *entries)
{
	size_t n = redis_len(entries);

	for (size_t i = 0; i < n; i++)
		take_entry(c, partition, redis_at(entries, i));
	send_batch(c, partition);
	return n;
}

/* --- reading -------------------------------------------------------------- */

static bool partition_of_key(struct consumer *c, const char *key, unsigned *out)
{
	char mine[KEY_MAX];

	for (unsigned p = 0; key && p < c->e->ks.partitions; p++) {
		key_part(&c->e->ks, p, "events", mine);
		if (strcmp(mine, key) == 0) {
			*out = p;
			return true;
		}
	}
	return false;
}

static void prepare(struct consumer *);

static void on_entries(const struct redisReply *reply, void *arg)
{
	struct consumer *c = arg;
	size_t n = 0;

	c->reading = false;
	if (redis_is_error(reply, NULL)) {
		/* Lost connection: on_state() starts again. A lost group or stream: made anew. */
		if (reply) {
			log_warn("reading events failed", KV("why", redis_why(reply)));
			c->prepared = false;
		}
		c->own_first = true;
		return;
	}
	for (size_t i = 0; i < redis_len(reply); i++) {
		const struct redisReply *stream = redis_at(reply, i);
		const struct redisReply *entries = redis_at(stream, 1);
		unsigned p;

		if (!partition_of_key(c, redis_str(redis_at(stream, 0)), &p))
			continue;
		n += take_entries(c, p, entries);
	}
	if (n == 0)
		c->own_first = false;
	if (c->unsettled == 0)
		read_next(c);
}

/* The next batch is asked for when the last one is recorded: that is the back-pressure. */
static void read_next(struct consumer *c)
{
	enum { PARTITIONS_MAX = 32 };
	char key[PARTITIONS_MAX][KEY_MAX];
	struct redis_cmd cmd;
	unsigned n = c->e->ks.partitions;

	if (!c->prepared || c->reading || c->e->draining || c->unsettled ||
	    !redis_connected(c->e->reader) || n > PARTITIONS_MAX)
		return;
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "XREADGROUP");
	redis_arg(&cmd, "GROUP");
	redis_arg(&cmd, GROUP);
	redis_arg(&cmd, c->e->name);
	redis_arg(&cmd, "COUNT");
	redis_arg_i64(&cmd, c->e->opt.batch);
	if (!c->own_first) {
		redis_arg(&cmd, "BLOCK");
		redis_arg_i64(&cmd, BLOCK_MS);
	}
	redis_arg(&cmd, "STREAMS");
	for (unsigned p = 0; p < n; p++) {
		key_part(&c->e->ks, p, "events", key[p]);
		redis_arg(&cmd, key[p]);
	}
	for (unsigned p = 0; p < n; p++)
		redis_arg(&cmd, c->own_first ? "0" : ">");
	c->reading = true;
	redis_send(c->e->reader, &cmd, on_entries, c);
}

/* --- orphans -------------------------------------------------------------- */

static void on_claimed(const struct redisReply *reply, void *arg)
{
	struct slot *slot = arg;

	(void)take_entries(slot->c, slot->partition, reply);
}

static void on_poison(const struct redisReply *reply, void *arg)
{
	struct slot *slot = arg;

	for (size_t i = 0; i < redis_len(reply); i++) {
		const struct redisReply *entry = redis_at(reply, i);

		if (redis_str(redis_at(entry, 0)))
			bury(slot->c, slot->partition, redis_str(redis_at(entry, 0)),
			     redis_at(entry, 1), "delivered too often without being recorded");
	}
}

static void look_for_orphans(struct consumer *, unsigned partition);

/* XPENDING rows are [id, consumer, idle_ms, deliveries]. XCLAIM hands each to one of all who try.
 */
static void on_orphans(const struct redisReply *reply, void *arg)
{
	struct slot *slot = arg;
	struct consumer *c = slot->c;
	struct redis_cmd good, poison, *cmd;
	char events[KEY_MAX];

	key_part(&c->e->ks, slot->partition, "events", events);
	for (cmd = &good;; cmd = &poison) {
		redis_cmd_init(cmd);
		redis_arg(cmd, "XCLAIM");
		redis_arg(cmd, events);
		redis_arg(cmd, GROUP);
		redis_arg(cmd, c->e->name);
		redis_arg_i64(cmd, c->e->opt.claim_idle_ms);
		if (cmd == &poison)
			break;
	}
	for (size_t i = 0; i < redis_len(reply) && i < CLAIM_MAX; i++) {
		const struct redisReply *row = redis_at(reply, i);
		bool often = redis_int(redis_at(row, 3), 0) > c->e->opt.max_deliveries;

		if (redis_str(redis_at(row, 0)))
			redis_arg(often ? &poison : &good, redis_str(redis_at(row, 0)));
	}
	if (poison.argc > 5)
		redis_send(c->e->writer, &poison, on_poison, slot);
	if (good.argc > 5) {
		log_info("claiming entries of a dispatcher that went away",
			 KV("entries", good.argc - 5));
		redis_send(c->e->writer, &good, on_claimed, slot);
	}
	/* Those are not idle any more when this is answered. */
	if (redis_len(reply) == CLAIM_MAX)
		look_for_orphans(c, slot->partition);
}

static void look_for_orphans(struct consumer *c, unsigned partition)
{
	char events[KEY_MAX];
	struct redis_cmd cmd;

	key_part(&c->e->ks, partition, "events", events);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "XPENDING");
	redis_arg(&cmd, events);
	redis_arg(&cmd, GROUP);
	redis_arg(&cmd, "IDLE");
	redis_arg_i64(&cmd, c->e->opt.claim_idle_ms);
	redis_arg(&cmd, "-");
	redis_arg(&cmd, "+");
	redis_arg_i64(&cmd, CLAIM_MAX);
	redis_send(c->e->writer, &cmd, on_orphans, &c->slots[partition]);
}

static void on_tidied(const struct redisReply *reply, void *arg)
{
	int64_t dropped = redis_int(reply, 0);

	UNUSED(arg);
	if (!dropped)
		return;
	metrics_add("dead_letters_dropped_total", "", dropped);
	log_warn("dead letters were dropped: too many or too old", KV("letters", dropped));
}

static void tidy(struct consumer *c, unsigned partition)
{
	char events[KEY_MAX], outcomes[KEY_MAX], dead[KEY_MAX];
	struct redis_cmd cmd;

	key_part(&c->e->ks, partition, "events", events);
	key_part(&c->e->ks, partition, "outcomes", outcomes);
	key_part(&c->e->ks, partition, "dead", dead);
	redis_script_cmd(&cmd, &chores_script, 3);
	redis_arg(&cmd, events);
	redis_arg(&cmd, outcomes);
	redis_arg(&cmd, dead);
	redis_arg(&cmd, GROUP);
	redis_arg_i64(&cmd, c->e->opt.keep_events_ms);
	redis_arg(&cmd, c->e->name);
	redis_arg_i64(&cmd, CONSUMER_IDLE_MS);
	redis_arg_i64(&cmd, c->e->opt.keep_outcomes_ms);
	redis_arg_i64(&cmd, c->e->opt.dead_max);
	redis_arg_i64(&cmd, c->e->opt.dead_keep_ms);
	redis_send_script(c->e->writer, &chores_script, &cmd, on_tidied, NULL);
}

static int64_t look_ms(const struct consumer *c)
{
	return c->e->opt.claim_idle_ms / 2 < LOOK_MS ? c->e->opt.claim_idle_ms / 2 : LOOK_MS;
}

static void on_chores(evutil_socket_t fd, short what, void *arg)
{
	struct consumer *c = arg;
	struct timeval again = clock_timeval(look_ms(c));
	int64_t now = clock_mono_ms();
	bool tidies = now - c->tidied_at_ms >= c->e->opt.claim_idle_ms / 2;

	UNUSED(fd);
	UNUSED(what);
	if (c->e->draining)
		return;
	(void)evtimer_add(c->chores, &again);
	if (!redis_connected(c->e->writer))
		return;
	if (!c->prepared) {
		prepare(c);
		return;
	}
	for (unsigned p = 0; p < c->e->ks.partitions; p++) {
		look_for_orphans(c, p);
		if (tidies)
			tidy(c, p);
	}
	incident_news_tell(c->e);
	if (tidies) {
		incident_sweep(c->e);
		audit_trim_run(c->e->audit_trim);
		c->tidied_at_ms = now;
	}
	read_next(c);
}

/* --- life ----------------------------------------------------------------- */

static void prepared(struct consumer *c)
{
	struct timeval soon = clock_timeval(look_ms(c));

	c->prepared = true;
	(void)evtimer_add(c->chores, &soon);
	if (c->ready) {
		c->ready(c->ready_arg);
		c->ready = NULL;
	}
	work_kick(c->e->work);
	read_next(c);
}

/* It may be loading its data, or be a replica yet. */
static void prepare_later(struct consumer *c)
{
	struct timeval pause = clock_timeval(STUMBLE_MS);

	c->preparing = 0;
	if (!c->e->draining)
		(void)evtimer_add(c->chores, &pause);
}

static void on_group(const struct redisReply *reply, void *arg)
{
	struct consumer *c = arg;

	if (redis_is_error(reply, NULL)) {
		if (reply)
			log_error("cannot make the consumer group", KV("why", redis_why(reply)));
		prepare_later(c);
		return;
	}
	if (c->preparing && --c->preparing == 0)
		prepared(c);
}

static void on_meta(const struct redisReply *reply, void *arg)
{
	struct consumer *c = arg;
	int64_t v = redis_int(redis_at(reply, 0), -1), n = redis_int(redis_at(reply, 1), -1);
	char events[KEY_MAX];
	struct redis_cmd cmd;

	if (redis_is_cluster(reply)) {
		log_error("refusing to start", KV("why", REDIS_CLUSTER_WHY));
		(void)event_base_loopexit(c->e->base, NULL);
		return;
	}
	if (redis_is_error(reply, NULL)) {
		if (reply)
			log_warn("redis is not ready", KV("why", redis_why(reply)));
		prepare_later(c);
		return;
	}
	if (v != CI_EVENT_VERSION || n != c->e->ks.partitions) {
		log_error("the data in Redis belongs to another configuration: refusing to start",
			  KV("stored_version", v), KV("stored_partitions", n),
			  KV("configured_partitions", c->e->ks.partitions));
		(void)event_base_loopexit(c->e->base, NULL);
		return;
	}
	c->preparing = c->e->ks.partitions;
	for (unsigned p = 0; p < c->e->ks.partitions; p++) {
		key_part(&c->e->ks, p, "events", events);
		redis_script_cmd(&cmd, &group_script, 1);
		redis_arg(&cmd, events);
		redis_arg(&cmd, GROUP);
		redis_send_script(c->e->writer, &group_script, &cmd, on_group, c);
	}
}

static void prepare(struct consumer *c)
{
	char meta[KEY_MAX];
	struct redis_cmd cmd;

	if (c->preparing)
		return;
	c->preparing = 1;
	c->own_first = true;
	key_region(&c->e->ks, "meta", meta);
	redis_script_cmd(&cmd, &meta_script, 1);
	redis_arg(&cmd, meta);
	redis_arg_i64(&cmd, CI_EVENT_VERSION);
	redis_arg_i64(&cmd, c->e->ks.partitions);
	redis_arg(&cmd, c->e->decide.observe ? "observe" : "act");
	redis_arg(&cmd, c->e->decide.observe_why);
	redis_send_script(c->e->writer, &meta_script, &cmd, on_meta, c);
}

static void on_writer(bool up, void *arg)
{
	struct consumer *c = arg;

	if (up) {
		log_info("connected to redis");
		prepare(c);
	} else {
		c->prepared = false;
		c->preparing = 0;
		log_warn("lost redis", KV("why", redis_problem(c->e->writer)));
	}
}

static void on_reader(bool up, void *arg)
{
	struct consumer *c = arg;

	c->own_first = true;
	if (up)
		read_next(c);
}

struct consumer *consumer_new(struct engine *e, void (*ready)(void *), void *arg)
{
	struct consumer *c = xcalloc(1, sizeof(*c));

	c->e = e;
	c->ready = ready;
	c->ready_arg = arg;
	c->own_first = true;
	batch_init(&c->batch);
	c->slots = xcalloc(e->ks.partitions, sizeof(*c->slots));
	for (unsigned p = 0; p < e->ks.partitions; p++)
		c->slots[p] = (struct slot){ c, p };
	c->chores = evtimer_new(e->base, on_chores, c);
	if (!c->chores)
		abort();
	redis_on_state(e->writer, on_writer, c);
	redis_on_state(e->reader, on_reader, c);
	return c;
}

void consumer_free(struct consumer *c)
{
	if (!c)
		return;
	event_free(c->chores);
	batch_done(&c->batch);
	free(c->slots);
	free(c);
}

bool consumer_prepared(const struct consumer *c)
{
	return c->prepared;
}

void consumer_drain(struct consumer *c)
{
	(void)evtimer_del(c->chores);
}

static void on_left(const struct redisReply *reply, void *arg)
{
	struct consumer *c = arg;

	UNUSED(reply);
	if (--c->leaving == 0)
		c->left(c->left_arg);
}

void consumer_leave(struct consumer *c, void (*left)(void *), void *arg)
{
	char events[KEY_MAX];
	struct redis_cmd cmd;

	if (c->leaving)
		return;
	c->left = left;
	c->left_arg = arg;
	for (unsigned p = 0; p < c->e->ks.partitions; p++) {
		key_part(&c->e->ks, p, "events", events);
		redis_script_cmd(&cmd, &leave_script, 1);
		redis_arg(&cmd, events);
		redis_arg(&cmd, GROUP);
		redis_arg(&cmd, c->e->name);
		c->leaving++;
		redis_send_script(c->e->writer, &leave_script, &cmd, on_left, c);
	}
}

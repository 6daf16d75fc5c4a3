#include "web/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/finding.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"
#include "core/value.h"
#include "version.h"
#include "web/batch.h"

enum {
	REFRESH_MS = 5000,
	REFRESH_WATCHED_MS = 1000,
	RUNS_LOOKED_AT = 2000, /* per partition; a run costs the script about a microsecond */
	RUNS_WINDOW_MS = 24 * 3600 * 1000,
	CONSUMERS_MAX = 64,
	CONSUMER_ALIVE_MS = 15000, /* a dispatcher reads every second, or is busy with one log */
	CATEGORIES_MAX = 24,
	PROVIDERS_MAX = 16,
	INCIDENTS_SHOWN = 20, /* the newest */
};

static const char *const results[] = { "healed",    "same_failure", "different_failure",
				       "timed_out", "cancelled",    "escalated",
				       "observed",  "superseded",   "refused",
				       "gave_up",   "unknown",      "proposed" };
enum { RESULT_HEALED, RESULT_SAME, RESULT_DIFFERENT, RESULT_TIMED_OUT };

/* Sums over the partitions; -1 is "not known". */
struct counts {
	int64_t lag, pending, events, due, overdue, dead;
	int64_t runs, active, failed, healing, needs_you;
	int64_t result[ARRAY_LEN(results)];
	int64_t category[CATEGORIES_MAX];
	struct value value; /* of the heals that ended today */
};

struct consumer_seen {
	char name[64];
	int64_t idle_ms, pending;
};

struct provider_seen {
	char host[101], breaker[12];
	int64_t since_ms, limited_until_ms; /* 0: none */
};

struct region {
	int64_t at_ms; /* 0: never read */
	struct counts n;
	struct consumer_seen consumer[CONSUMERS_MAX];
	size_t n_consumers;
	char leader[160], monitor[16 << 10]; /* of the monitor; a JSON object, or "" */
	struct provider_seen provider[PROVIDERS_MAX];
	size_t n_providers;
	char incidents[24 << 10]; /* a JSON array, or "" */
	size_t n_incidents;
	bool stopped;
	char stop[201], mode[16], mode_why[201], day[11];
};

struct snapshot {
	struct event_base *base;
	struct redis *redis;
	struct batch_list *batches;
	const struct keyspace *ks;
	const char *role;
	void (*changed)(void *);
	void *arg;
	struct event *tick;
	struct region now;
	int64_t started_at_ms;
	bool refreshing, again, watched;
};

/* One refresh in flight: read into a copy, and shown only when all of it is there. */
struct refresh {
	struct snapshot *s;
	struct region region;
	bool failed;
};

/*
 * KEYS runs; ARGV prefix of run keys, since_ms, runs looked at. The same rules as run_view_state(),
 * counted where the data is.
 */
static struct redis_script count_script = {
	.name = "count",
	.body = "local refs = redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', ARGV[2], 'LIMIT', 0, "
		"ARGV[3]) "
		"local active, failed, healing, needs = 0, 0, 0, 0 "
		"for _, ref in ipairs(refs) do "
		"  local r = redis.call('HMGET', ARGV[1] .. ref, 'rank', 'failed', 'awaiting', "
		"    'generation', 'diagnosed', 'plan', 'plan_state', 'outcome', 'strategy') "
		"  local open = (r[3] or '') ~= '' "
		"  if r[1] then "
		"    if (tonumber(r[1]) or 0) < 3 then "
		"      active = active + 1 "
		"      if open then healing = healing + 1 end "
		"    elseif r[2] == '1' then "
		"      failed = failed + 1 "
		"      if (tonumber(r[5]) or 0) >= (tonumber(r[4]) or 0) and (r[6] or '') ~= '' "
		"then "
		"        if r[7] == 'suggested' then needs = needs + 1 "
		"        elseif r[7] ~= 'done' then healing = healing + 1 "
		"        elseif r[8] == 'observed' then "
		"          if r[9] == 'escalate' then needs = needs + 1 end "
		"        elseif r[8] ~= 'superseded' and r[8] ~= 'cancelled' then needs = needs + "
		"1 "
		"        end "
		"      end "
		"    elseif open then healing = healing + 1 "
		"    end "
		"  end "
		"end "
		"return {#refs, active, failed, healing, needs}",
};

/* KEYS breakers; ARGV prefix of breaker keys. Limits of single installations are not told. */
static const char providers_script[] =
	"local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
	"local out = {} "
	"local hosts = redis.call('SMEMBERS', KEYS[1]) "
	"table.sort(hosts) "
	"for _, host in ipairs(hosts) do "
	"  local h = redis.call('HMGET', ARGV[1] .. host, 'state', 'since_ms', "
	"'limited_until_ms') "
	"  local limited = tonumber(h[3]) or 0 "
	"  if limited < now then limited = 0 end "
	"  if h[1] or limited > 0 then "
	"    out[#out + 1] = {host, h[1] or 'closed', tonumber(h[2]) or 0, limited} "
	"  end "
	"end "
	"return out";

/* --- reading -------------------------------------------------------------------- */

static void add_if_known(int64_t *sum, int64_t n)
{
	*sum = *sum < 0 || n < 0 ? -1 : *sum + n;
}

static bool usable(struct refresh *f, const struct redisReply *reply)
{
	if (!redis_is_error(reply, NULL))
		return true;
	/* Before the first event there is nothing to count: that is an answer too. */
	if (!redis_is_error(reply, "ERR no such key") && !redis_is_error(reply, "NOGROUP"))
		f->failed = true;
	return false;
}

static void on_groups(const struct redisReply *reply, void *arg, unsigned index)
{
	struct refresh *f = arg;

	UNUSED(index);
	if (!usable(f, reply))
		return;
	for (size_t i = 0; i < redis_len(reply); i++) {
		const struct redisReply *group = redis_at(reply, i);
		const char *name = redis_field(group, "name");

		if (!name || strcmp(name, "dispatchers") != 0)
			continue;
		for (size_t j = 0; j + 1 < redis_len(group); j += 2) {
			const char *what = redis_str(redis_at(group, j));
			const struct redisReply *value = redis_at(group, j + 1);

			/* Redis does not know the lag after entries were deleted: nil. */
			if (what && strcmp(what, "lag") == 0)
				add_if_known(&f->region.n.lag, redis_int(value, -1));
			else if (what && strcmp(what, "pending") == 0)
				add_if_known(&f->region.n.pending, redis_int(value, -1));
		}
	}
}

static int64_t int_field(const struct redisReply *list, const char *name)
{
	for (size_t i = 0; i + 1 < redis_len(list); i += 2) {
		const char *what = redis_str(redis_at(list, i));

		if (what && strcmp(what, name) == 0)
			return redis_int(redis_at(list, i + 1), 0);
	}
	return 0;
}

/* A dispatcher reads all partitions under one name; it is as alive as its freshest sign. */
static void see_consumer(struct region *r, const char *name, int64_t idle_ms, int64_t pending)
{
	struct consumer_seen *c = r->consumer;

	while (c < r->consumer + r->n_consumers && strcmp(c->name, name) != 0)
		c++;
	if (c == r->consumer + CONSUMERS_MAX)
		return;
	if (c == r->consumer + r->n_consumers) {
		(void)text_copy(c->name, sizeof(c->name), name, strlen(name));
		c->idle_ms = idle_ms;
		c->pending = 0;
		r->n_consumers++;
	}
	if (idle_ms < c->idle_ms)
		c->idle_ms = idle_ms;
	c->pending += pending;
}

static void on_consumers(const struct redisReply *reply, void *arg, unsigned index)
{
	struct refresh *f = arg;

	UNUSED(index);
	if (!usable(f, reply))
		return;
	for (size_t i = 0; i < redis_len(reply); i++) {
		const struct redisReply *one = redis_at(reply, i);
		const char *name = redis_field(one, "name");

		if (name)
			see_consumer(&f->region, name, int_field(one, "idle"),
				     int_field(one, "pending"));
	}
}

/* Offsets in struct counts of the replies that are one number. */
static void on_number(const struct redisReply *reply, void *arg, unsigned offset)
{
	struct refresh *f = arg;
	int64_t *sum = (int64_t *)(void *)((char *)&f->region.n + offset);

	if (usable(f, reply))
		*sum += redis_int(reply, 0);
}

static void on_counted(const struct redisReply *reply, void *arg, unsigned index)
{
	struct refresh *f = arg;
	struct counts *n = &f->region.n;
	int64_t *const to[] = { &n->runs, &n->active, &n->failed, &n->healing, &n->needs_you };

	UNUSED(index);
	if (!usable(f, reply))
		return;
	for (size_t i = 0; i < ARRAY_LEN(to); i++)
		*to[i] += redis_int(redis_at(reply, i), 0);
}

static void on_stats(const struct redisReply *reply, void *arg, unsigned index)
{
	struct refresh *f = arg;

	UNUSED(index);
	if (!usable(f, reply))
		return;
	for (size_t i = 0; i < redis_len(reply); i++) {
		int64_t n = redis_int(redis_at(reply, i), 0);

		if (i < ARRAY_LEN(results))
			f->region.n.result[i] += n;
		else if (i - ARRAY_LEN(results) < CATEGORIES_MAX)
			f->region.n.category[i - ARRAY_LEN(results)] += n;
	}
}

static void copy_text(char *out, size_t cap, const struct redisReply *reply)
{
	const char *text = redis_str(reply);

	(void)text_copy(out, cap, text ? text : "", text ? strlen(text) : 0);
}

static void on_meta(const struct redisReply *reply, void *arg, unsigned index)
{
	struct refresh *f = arg;

	UNUSED(index);
	if (!usable(f, reply))
		return;
	copy_text(f->region.mode, sizeof(f->region.mode), redis_at(reply, 0));
	copy_text(f->region.mode_why, sizeof(f->region.mode_why), redis_at(reply, 1));
}

static void on_stop(const struct redisReply *reply, void *arg, unsigned index)
{
	struct refresh *f = arg;

	UNUSED(index);
	if (!usable(f, reply))
		return;
	f->region.stopped = redis_str(reply) != NULL;
	copy_text(f->region.stop, sizeof(f->region.stop), reply);
}

static void on_providers(const struct redisReply *reply, void *arg, unsigned index)
{
	struct refresh *f = arg;
	struct region *r = &f->region;

	UNUSED(index);
	if (!usable(f, reply))
		return;
	for (size_t i = 0; i < redis_len(reply) && r->n_providers < PROVIDERS_MAX; i++) {
		const struct redisReply *row = redis_at(reply, i);
		struct provider_seen *p = &r->provider[r->n_providers++];

		copy_text(p->host, sizeof(p->host), redis_at(row, 0));
		copy_text(p->breaker, sizeof(p->breaker), redis_at(row, 1));
		p->since_ms = redis_int(redis_at(row, 2), 0);
		p->limited_until_ms = redis_int(redis_at(row, 3), 0);
	}
}

static int newest_opened_first(const void *a, const void *b)
{
	int64_t x = json_i64(*(struct json_object *const *)a, "opened_ms", 0);
	int64_t y = json_i64(*(struct json_object *const *)b, "opened_ms", 0);

	return (y > x) - (y < x);
}

static void on_incidents(const struct redisReply *reply, void *arg, unsigned index)
{
	OWNED(json_putp) struct json_object *list = json_object_new_array();
	struct refresh *f = arg;
	const char *text;

	UNUSED(index);
	if (!usable(f, reply))
		return;
	for (size_t i = 0; i < redis_len(reply); i++) {
		const struct redisReply *value = redis_at(reply, i);
		struct json_object *one;
		struct err err;

		if (redis_str(value) &&
		    json_parse(redis_str(value), redis_len(value), &one, &err) == 0)
			json_object_array_add(list, one);
	}
	f->region.n_incidents = json_object_array_length(list);
	json_object_array_sort(list, newest_opened_first);
	if (f->region.n_incidents > INCIDENTS_SHOWN)
		(void)json_object_array_del_idx(list, INCIDENTS_SHOWN,
						f->region.n_incidents - INCIDENTS_SHOWN);
	text = json_text(list);
	if (strlen(text) < sizeof(f->region.incidents))
		(void)text_copy(f->region.incidents, sizeof(f->region.incidents), text,
				strlen(text));
}

static void on_leader(const struct redisReply *reply, void *arg, unsigned index)
{
	struct refresh *f = arg;
	const char *value = redis_str(reply);

	UNUSED(index);
	if (usable(f, reply) && value)
		(void)text_copy(f->region.leader, sizeof(f->region.leader), value,
				strcspn(value, " "));
}

/* Each source of the monitor says itself how it fares. */
static void on_monitor(const struct redisReply *reply, void *arg, unsigned index)
{
	OWNED(json_putp) struct json_object *all = json_object_new_object();
	struct refresh *f = arg;
	const char *text;

	UNUSED(index);
	if (!usable(f, reply))
		return;
	for (size_t i = 0; i + 1 < redis_len(reply); i += 2) {
		const struct redisReply *value = redis_at(reply, i + 1);
		const char *name = redis_str(redis_at(reply, i));
		struct json_object *one;
		struct err err;

		if (name && redis_str(value) &&
		    json_parse(redis_str(value), redis_len(value), &one, &err) == 0)
			json_add(all, name, one);
	}
	text = json_text(all);
	if (strlen(text) < sizeof(f->region.monitor))
		(void)text_copy(f->region.monitor, sizeof(f->region.monitor), text, strlen(text));
}

/* --- asking ---------------------------------------------------------------------- */

static void ask(struct batch *b, batch_fn *fn, unsigned index, const char *const *args, size_t n)
{
	struct redis_cmd cmd;

	redis_cmd_init(&cmd);
	for (size_t i = 0; i < n; i++)
		redis_arg(&cmd, args[i]);
	batch_add(b, &cmd, fn, index);
}
#define ASK(b, fn, index, ...)                                        \
	ask((b), (fn), (index), (const char *const[]){ __VA_ARGS__ }, \
	    ARRAY_LEN(((const char *const[]){ __VA_ARGS__ })))

static void ask_stats(struct batch *b, const struct keyspace *ks, unsigned p, const char *day)
{
	char names[ARRAY_LEN(results) + CATEGORIES_MAX][80], key[KEY_MAX];
	struct redis_cmd cmd;
	size_t n = 0;

	redis_cmd_init(&cmd);
	redis_arg(&cmd, "HMGET");
	key_part_of(ks, p, "stats", day, key);
	redis_arg(&cmd, key);
	for (size_t i = 0; i < ARRAY_LEN(results); i++)
		(void)snprintf(names[n++], sizeof(names[0]), "outcomes:%s", results[i]);
	for (size_t i = 0; i < CATEGORIES_MAX && finding_categories[i]; i++)
		(void)snprintf(names[n++], sizeof(names[0]), "findings:%s", finding_categories[i]);
	for (size_t i = 0; i < n; i++)
		redis_arg(&cmd, names[i]);
	batch_add(b, &cmd, on_stats, 0);
}

static void on_value(const struct redisReply *reply, void *arg, unsigned index)
{
	struct refresh *f = arg;

	UNUSED(index);
	for (size_t i = 0; usable(f, reply) && i < VALUE_N; i++)
		f->region.n.value.of[i] = redis_int(redis_at(reply, i), 0);
}

static void ask_value(struct batch *b, const struct keyspace *ks)
{
	char key[KEY_MAX];
	struct redis_cmd cmd;

	value_key(ks, clock_wall_ms() / VALUE_DAY_MS, key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "HMGET");
	redis_arg(&cmd, key);
	for (size_t i = 0; i < VALUE_N; i++)
		redis_arg(&cmd, value_names[i]);
	batch_add(b, &cmd, on_value, 0);
}

static void ask_counts(struct snapshot *s, struct batch *b, unsigned p)
{
	char runs[KEY_MAX], prefix[KEY_MAX], since[24], max[24];

	key_part(s->ks, p, "runs", runs);
	key_part_of(s->ks, p, "run", "", prefix);
	(void)snprintf(since, sizeof(since), "%" PRId64, clock_wall_ms() - RUNS_WINDOW_MS);
	(void)snprintf(max, sizeof(max), "%d", RUNS_LOOKED_AT);
	/* EVAL, not EVALSHA: no round trip to learn that the server forgot it. */
	ASK(b, on_counted, 0, "EVAL", count_script.body, "1", runs, prefix, since, max);
}

static void ask_partition(struct snapshot *s, struct batch *b, unsigned p, const char *day)
{
	char events[KEY_MAX], due[KEY_MAX], dead[KEY_MAX], now[24];

	key_part(s->ks, p, "events", events);
	key_part(s->ks, p, "due", due);
	key_part(s->ks, p, "dead", dead);
	(void)snprintf(now, sizeof(now), "%" PRId64, clock_wall_ms());
	ASK(b, on_groups, 0, "XINFO", "GROUPS", events);
	ASK(b, on_consumers, 0, "XINFO", "CONSUMERS", events, "dispatchers");
	ASK(b, on_number, offsetof(struct counts, events), "XLEN", events);
	ASK(b, on_number, offsetof(struct counts, due), "ZCARD", due);
	ASK(b, on_number, offsetof(struct counts, overdue), "ZCOUNT", due, "-inf", now);
	ASK(b, on_number, offsetof(struct counts, dead), "XLEN", dead);
	ask_stats(b, s->ks, p, day);
	ask_counts(s, b, p);
}

static void wait_for_next(struct snapshot *s)
{
	struct timeval tv = clock_timeval(s->watched ? REFRESH_WATCHED_MS : REFRESH_MS);

	(void)evtimer_add(s->tick, &tv);
}

static void on_read(void *arg)
{
	struct refresh *f = arg;
	struct snapshot *s = f->s;

	s->refreshing = false;
	if (!f->failed) {
		f->region.at_ms = clock_wall_ms();
		s->now = f->region;
	}
	wait_for_next(s);
	s->changed(s->arg);
	if (s->again)
		snapshot_refresh(s);
}

void snapshot_refresh(struct snapshot *s)
{
	char meta[KEY_MAX], stop[KEY_MAX], breakers[KEY_MAX], prefix[KEY_MAX], now[25];
	char lease[KEY_MAX], monitor[KEY_MAX], incidents[KEY_MAX];
	struct refresh *f;
	struct batch *b;

	s->again = s->refreshing;
	if (s->refreshing)
		return;
	s->refreshing = true;
	f = xcalloc(1, sizeof(*f));
	f->s = s;
	text_from_ms(now, clock_wall_ms());
	(void)text_copy(f->region.day, sizeof(f->region.day), now, 10);
	b = batch_new(s->batches, s->redis, on_read, free, f);
	key_region(s->ks, "meta", meta);
	key_region(s->ks, "stop", stop);
	ASK(b, on_meta, 0, "HMGET", meta, "mode", "mode_why");
	ASK(b, on_stop, 0, "GET", stop);
	key_region(s->ks, "breakers", breakers);
	key_region(s->ks, "breaker:", prefix);
	ASK(b, on_providers, 0, "EVAL", providers_script, "1", breakers, prefix);
	key_region(s->ks, "lease:monitor", lease);
	key_region(s->ks, "monitor", monitor);
	key_region(s->ks, "incidents", incidents);
	ASK(b, on_incidents, 0, "HVALS", incidents);
	ASK(b, on_leader, 0, "GET", lease);
	ASK(b, on_monitor, 0, "HGETALL", monitor);
	for (unsigned p = 0; p < s->ks->partitions; p++)
		ask_partition(s, b, p, f->region.day);
	ask_value(b, s->ks);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	snapshot_refresh(arg);
}

/* --- life ------------------------------------------------------------------------- */

struct snapshot *snapshot_new(struct event_base *base, struct redis *redis,
			      struct batch_list *batches, const struct keyspace *ks,
			      const char *role, void (*changed)(void *), void *arg)
{
	struct snapshot *s = xcalloc(1, sizeof(*s));
	struct timeval soon = { 0 };

	s->base = base;
	s->redis = redis;
	s->batches = batches;
	s->ks = ks;
	s->role = role;
	s->changed = changed;
	s->arg = arg;
	s->started_at_ms = clock_wall_ms();
	s->tick = evtimer_new(base, on_tick, s);
	if (!s->tick)
		abort();
	(void)evtimer_add(s->tick, &soon);
	return s;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	event_free(s->tick);
	free(s);
}

void snapshot_watched(struct snapshot *s, bool watched)
{
	if (watched && !s->watched) {
		s->watched = true;
		snapshot_refresh(s);
	}
	s->watched = watched;
}

/* --- showing ------------------------------------------------------------------------ */

static void add_known(struct json_object *o, const char *key, const struct region *r, int64_t n)
{
	json_add(o, key, r->at_ms && n >= 0 ? json_object_new_int64(n) : NULL);
}

/* Healed share of what ended one way or the other; -1 when nothing did. */
static double success_rate(const struct counts *n)
{
	int64_t all = n->result[RESULT_HEALED] + n->result[RESULT_SAME] +
		      n->result[RESULT_DIFFERENT] + n->result[RESULT_TIMED_OUT];

	return all ? (double)n->result[RESULT_HEALED] / (double)all : -1;
}

static struct json_object *today_json(const struct region *r)
{
	struct json_object *o = json_object_new_object();
	struct json_object *outcomes = json_object_new_object();
	struct json_object *findings = json_object_new_object();
	struct json_object *value = json_object_new_object();
	double rate = success_rate(&r->n);

	json_add_str(o, "day", r->day);
	for (size_t i = 0; i < ARRAY_LEN(results); i++)
		add_known(outcomes, results[i], r, r->n.result[i]);
	for (size_t i = 0; i < CATEGORIES_MAX && finding_categories[i]; i++)
		if (r->n.category[i])
			json_add_i64(findings, finding_categories[i], r->n.category[i]);
	json_add(o, "outcomes", outcomes);
	json_add(o, "findings", findings);
	for (size_t i = 0; i < VALUE_N; i++)
		json_add_i64(value, value_names[i], r->n.value.of[i]);
	json_add(o, "value", value);
	json_add(o, "heal_success_rate", rate < 0 ? NULL : json_new_num(rate));
	return o;
}

static struct json_object *dispatchers_json(const struct region *r)
{
	struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	int64_t alive = 0;

	for (size_t i = 0; i < r->n_consumers; i++) {
		const struct consumer_seen *c = &r->consumer[i];
		struct json_object *one = json_object_new_object();

		json_add_str(one, "name", c->name);
		json_add_i64(one, "idle_ms", c->idle_ms);
		json_add_i64(one, "pending", c->pending);
		json_add_bool(one, "alive", c->idle_ms < CONSUMER_ALIVE_MS);
		alive += c->idle_ms < CONSUMER_ALIVE_MS;
		json_object_array_add(list, one);
	}
	add_known(o, "alive", r, alive);
	json_add(o, "seen", list);
	return o;
}

static struct json_object *redis_json(const struct snapshot *s)
{
	struct json_object *o = json_object_new_object();
	bool up = redis_connected(s->redis);

	json_add_bool(o, "connected", up);
	json_add_str(o, "problem", up ? "" : redis_problem(s->redis));
	json_add(o, "read_at_ms", s->now.at_ms ? json_object_new_int64(s->now.at_ms) : NULL);
	return o;
}

static struct json_object *stop_json(const struct region *r)
{
	struct json_object *o = json_object_new_object();

	json_add_bool(o, "stopped", r->stopped);
	json_add_str(o, "reason", r->stop);
	return o;
}

static struct json_object *runs_json(const struct region *r)
{
	struct json_object *o = json_object_new_object();

	add_known(o, "last_24h", r, r->n.runs);
	add_known(o, "active", r, r->n.active);
	add_known(o, "failed", r, r->n.failed);
	add_known(o, "healing", r, r->n.healing);
	add_known(o, "needs_you", r, r->n.needs_you);
	return o;
}

static struct json_object *providers_json(const struct region *r)
{
	struct json_object *list = json_object_new_array();

	for (const struct provider_seen *p = r->provider; p < r->provider + r->n_providers; p++) {
		struct json_object *o = json_object_new_object();

		json_add_str(o, "host", p->host);
		json_add_str(o, "breaker", p->breaker);
		json_add(o, "since", p->since_ms ? json_object_new_int64(p->since_ms) : NULL);
		json_add(o, "limited_until",
			 p->limited_until_ms ? json_object_new_int64(p->limited_until_ms) : NULL);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *incidents_json(const struct region *r)
{
	struct json_object *list = NULL;
	struct err err;

	if (!*r->incidents || json_parse(r->incidents, strlen(r->incidents), &list, &err) < 0)
		list = json_object_new_array();
	return list;
}

static struct json_object *monitor_json(const struct region *r)
{
	struct json_object *o = json_object_new_object(), *sources = NULL;
	struct err err;

	json_add_str(o, "leader", r->leader);
	if (!*r->monitor || json_parse(r->monitor, strlen(r->monitor), &sources, &err) < 0)
		sources = json_object_new_object();
	json_add(o, "sources", sources);
	return o;
}

void snapshot_status_json(const struct snapshot *s, struct buf *out)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	const struct region *r = &s->now;

	json_add_str(o, "version", GUARD_VERSION);
	json_add_str(o, "role", s->role);
	json_add_str(o, "region", s->ks->region);
	json_add_i64(o, "partitions", s->ks->partitions);
	json_add_i64(o, "pid", getpid());
	json_add_i64(o, "now_ms", clock_wall_ms());
	json_add_i64(o, "uptime_ms", clock_wall_ms() - s->started_at_ms);
	json_add_str(o, "mode", *r->mode ? r->mode : "unknown");
	if (!r->at_ms)
		json_add_str(o, "mode_why", "Redis was not read yet");
	else if (!*r->mode)
		json_add_str(o, "mode_why", "no dispatcher has run here yet");
	else
		json_add_str(o, "mode_why", r->mode_why);
	json_add(o, "stop", stop_json(r));
	json_add(o, "redis", redis_json(s));
	json_add(o, "providers", providers_json(r));
	json_add(o, "incidents", incidents_json(r));
	add_known(o, "incident_open", r, (int64_t)r->n_incidents);
	json_add(o, "dispatchers", dispatchers_json(r));
	add_known(o, "lag", r, r->n.lag);
	add_known(o, "pending", r, r->n.pending);
	add_known(o, "events", r, r->n.events);
	add_known(o, "due", r, r->n.due);
	add_known(o, "overdue", r, r->n.overdue);
	add_known(o, "dead_letters", r, r->n.dead);
	json_add(o, "runs", runs_json(r));
	json_add(o, "monitor", monitor_json(r));
	json_add(o, "today", today_json(r));
	buf_puts(out, json_text(o));
	buf_putc(out, '\n');
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
	buf_printf(out,
		   "# HELP pipeline_guard_%s %s\n# TYPE pipeline_guard_%s gauge\n"
		   "pipeline_guard_%s ",
		   name, help, name, name);
	if (value < 0)
		buf_puts(out, "NaN\n");
	else
		buf_printf(out, "%.10g\n", value);
}

static void breaker_gauges(struct buf *out, const struct region *r)
{
	if (!r->n_providers)
		return;
	buf_puts(out, "# HELP pipeline_guard_breaker_state Circuit breaker of a provider host: "
		      "0 closed, 1 open, 2 half-open.\n"
		      "# TYPE pipeline_guard_breaker_state gauge\n");
	for (const struct provider_seen *p = r->provider; p < r->provider + r->n_providers; p++)
		buf_printf(out, "pipeline_guard_breaker_state{host=\"%s\"} %d\n", p->host,
			   strcmp(p->breaker, "open") == 0        ? 1
			   : strcmp(p->breaker, "half_open") == 0 ? 2
								  : 0);
}

void snapshot_metrics(const struct snapshot *s, struct buf *out)
{
	const struct region *r = &s->now;
	bool known = r->at_ms && redis_connected(s->redis);

	buf_printf(out,
		   "# HELP pipeline_guard_region_up 1 when the region's Redis answers.\n"
		   "# TYPE pipeline_guard_region_up gauge\n"
		   "pipeline_guard_region_up{region=\"%s\"} %d\n",
		   s->ks->region, known);
	/* An old number would look like a quiet system. */
	if (!known)
		return;
	breaker_gauges(out, r);
	gauge(out, "incident_open", "Incidents that hold plans back.", (double)r->n_incidents);
	gauge(out, "stream_lag", "Events not yet read by the dispatchers.", (double)r->n.lag);
	gauge(out, "stream_pending", "Events read but not yet recorded.", (double)r->n.pending);
	gauge(out, "active_pipelines", "Runs of the last 24 hours that are queued or running.",
	      (double)r->n.active);
	gauge(out, "failed_pipelines", "Runs of the last 24 hours whose latest attempt failed.",
	      (double)r->n.failed);
	gauge(out, "heal_success_rate",
	      "Healed share of the heals that ended today (UTC); NaN before the first.",
	      success_rate(&r->n));
}

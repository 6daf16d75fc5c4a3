#include "core/audit_trim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit.h"
#include "core/audit_chain.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/keys.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"

enum {
	CHUNK = 200,     /* records that are looked at, and go, at a time */
	CHUNKS_MAX = 50, /* the rest goes the next time */
	LEASE_MS = 10 * 1000,
	OF_NAME = 8,
	ID_BYTES = 48,
};

struct audit_trim {
	struct audit *audit;
	struct redis *redis;
	const struct conf *conf;
	char stream[KEY_MAX], heads[KEY_MAX], lease[KEY_MAX];
	int64_t keep_from_ms;
	unsigned chunks; /* 0: none under way */
};

/*
 * KEYS stream lease; ARGV me lease_ms max chunk
 * Returns {records over the cap, the oldest}; nothing when another one is at it.
 */
static struct redis_script look_script = {
	.name = "audit_trim_look",
	.body = "if redis.call('GET', KEYS[2]) ~= ARGV[1] and "
		"    not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {} "
		"end "
		"return {redis.call('XLEN', KEYS[1]) - ARGV[3], "
		"redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[4])}",
};

/*
 * KEYS stream heads; ARGV first_id writer seq oldest_ms
 * Only once the records that tell it are there. Heads of writers that were silent for so long go,
 * too.
 */
static struct redis_script trim_script = {
	.name = "audit_trim",
	.body = "local head = redis.call('HGET', KEYS[2], ARGV[2]) "
		"if tonumber(head and string.match(head, '^%d+') or 0) < tonumber(ARGV[3]) then "
		"  return 'early' "
		"end "
		"redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1]) "
		"local all = redis.call('HGETALL', KEYS[2]) "
		"for i = 1, #all, 2 do "
		"  if tonumber(string.match(all[i + 1], '%d+$')) < tonumber(ARGV[4]) then "
		"    redis.call('HDEL', KEYS[2], all[i]) "
		"  end "
		"end "
		"return 'ok'",
};

/* --- what went of each writer ---------------------------------------------------------- */

struct gone {
	struct audit_through *of;
	size_t n;
};

static void note(struct gone *g, const struct audit_through *t)
{
	for (size_t i = 0; i < g->n; i++) {
		if (strcmp(g->of[i].writer, t->writer) != 0)
			continue;
		if (t->seq > g->of[i].seq)
			g->of[i] = *t;
		return;
	}
	g->of[g->n++] = *t;
}

static bool read_record(const struct redisReply *fields, struct audit_record *r, const char **mac)
{
	*mac = NULL;
	r->n = 0;
	for (size_t i = 0; i + 1 < redis_len(fields); i += 2) {
		const char *name = redis_str(redis_at(fields, i));
		const char *value = redis_str(redis_at(fields, i + 1));

		if (!name || !value || r->n == AUDIT_FIELDS_MAX)
			return false;
		if (strcmp(name, "mac") == 0)
			*mac = value;
		else
			r->pairs[r->n++] = (struct audit_pair){ name, value };
	}
	return *mac != NULL;
}

/* What was not made by a guard is vouched for by nobody: `verify` goes on missing it. */
static bool is_genuine(const struct audit_trim *t, const struct audit_record *r, const char *mac,
		       bool keyed)
{
	const char *keys[AUDIT_KEYS_MAX];
	size_t n = 0;

	while (n < AUDIT_KEYS_MAX - 1 && conf_secret(t->conf, "audit.key", n)) {
		keys[n] = conf_secret(t->conf, "audit.key", n);
		n++;
	}
	if (n == 0 || !keyed)
		keys[n++] = "";
	return audit_genuine(r, mac, keys, n);
}

/*
 * The writer of the record, and those that an older `trimmed` told of: they may still go on writing
 * when that one is gone.
 */
static void note_record(const struct audit_trim *t, struct gone *g, const struct redisReply *fields)
{
	struct audit_record r;
	struct audit_through through;
	const char *mac;

	if (!read_record(fields, &r, &mac) || !is_genuine(t, &r, mac, false))
		return;
	if (audit_through_of(&r, mac, &through))
		note(g, &through);
	if (!is_genuine(t, &r, mac, true))
		return; /* anybody could have written it */
	for (size_t i = 0; i < r.n; i++)
		if (audit_through_read(&r, i, &through) && through.at_ms >= t->keep_from_ms)
			note(g, &through);
}

/* --- one chunk ------------------------------------------------------------------------- */

static void look(struct audit_trim *t);

static void write_trimmed(struct audit_trim *t, const struct gone *g, size_t first,
			  const char *before, size_t records)
{
	char values[AUDIT_THROUGH_MAX][AUDIT_VALUE_MAX], names[AUDIT_THROUGH_MAX][OF_NAME];
	const char *pairs[2 * AUDIT_THROUGH_MAX + 5];
	char count[24];
	size_t n = 0;

	(void)snprintf(count, sizeof(count), "%zu", records);
	pairs[n++] = "before";
	pairs[n++] = before;
	pairs[n++] = "records";
	pairs[n++] = count;
	for (size_t i = 0; i < AUDIT_THROUGH_MAX && first + i < g->n; i++) {
		(void)snprintf(names[i], OF_NAME, "of%zu", i + 1);
		audit_through_write(&g->of[first + i], values[i]);
		pairs[n++] = names[i];
		pairs[n++] = values[i];
	}
	pairs[n] = NULL;
	audit_write_pairs(t->audit, "trimmed", pairs);
}

static void on_trimmed(const struct redisReply *reply, void *arg)
{
	struct audit_trim *t = arg;
	const char *word = redis_str(reply);

	if (!word || strcmp(word, "ok") != 0 || ++t->chunks > CHUNKS_MAX)
		t->chunks = 0;
	else
		look(t);
}

/* The id after that one. */
static bool next_id(const char *id, char out[static ID_BYTES])
{
	const char *dash = strchr(id, '-');
	uint64_t n;

	if (!dash || !text_to_u64(dash + 1, &n) || n == UINT64_MAX)
		return false;
	(void)snprintf(out, ID_BYTES, "%.*s-%" PRIu64, (int)(dash - id), id, n + 1);
	return true;
}

static void trim(struct audit_trim *t, const struct gone *g, size_t records, const char *last)
{
	char first[ID_BYTES];
	const char *writer;
	struct redis_cmd cmd;
	uint64_t seq;

	if (!next_id(last, first)) {
		t->chunks = 0;
		return;
	}
	for (size_t i = 0; i < g->n || i == 0; i += AUDIT_THROUGH_MAX)
		write_trimmed(t, g, i, first, records);
	writer = audit_position(t->audit, &seq);
	redis_script_cmd(&cmd, &trim_script, 2);
	redis_arg(&cmd, t->stream);
	redis_arg(&cmd, t->heads);
	redis_arg(&cmd, first);
	redis_arg(&cmd, writer);
	redis_arg_i64(&cmd, (int64_t)seq);
	redis_arg_i64(&cmd, t->keep_from_ms);
	redis_send_script(t->redis, &trim_script, &cmd, on_trimmed, t);
}

static void on_look(const struct redisReply *reply, void *arg)
{
	struct audit_trim *t = arg;
	int64_t over = redis_int(redis_at(reply, 0), 0);
	/* Some more than has to, so that what tells it does not have to be told the next time. */
	int64_t go = over > 0 ? over + conf_int(t->conf, "audit.max") / 10 : 0;
	const struct redisReply *all = redis_at(reply, 1);
	OWNED(freep)
	struct audit_through *room = xcalloc((size_t)CHUNK * (AUDIT_FIELDS_MAX + 1), sizeof(*room));
	struct gone g = { .of = room };
	const char *last = NULL;
	size_t n = 0;

	for (; n < redis_len(all) && n < CHUNK; n++) {
		const char *id = redis_str(redis_at(redis_at(all, n), 0));

		if (!id || ((int64_t)n >= go && strtoll(id, NULL, 10) >= t->keep_from_ms))
			break;
		note_record(t, &g, redis_at(redis_at(all, n), 1));
		last = id;
	}
	if (n > 0)
		trim(t, &g, n, last);
	else
		t->chunks = 0;
}

static void look(struct audit_trim *t)
{
	struct redis_cmd cmd;
	uint64_t seq;

	t->keep_from_ms = clock_wall_ms() - conf_int(t->conf, "audit.keep");
	redis_script_cmd(&cmd, &look_script, 2);
	redis_arg(&cmd, t->stream);
	redis_arg(&cmd, t->lease);
	redis_arg(&cmd, audit_position(t->audit, &seq));
	redis_arg_i64(&cmd, LEASE_MS);
	redis_arg_i64(&cmd, conf_int(t->conf, "audit.max"));
	redis_arg_i64(&cmd, CHUNK);
	redis_send_script(t->redis, &look_script, &cmd, on_look, t);
}

void audit_trim_run(struct audit_trim *t)
{
	/* What is told has to be there before anything goes. */
	if (t->chunks || audit_waiting(t->audit))
		return;
	t->chunks = 1;
	look(t);
}

struct audit_trim *audit_trim_new(struct audit *audit, struct redis *redis,
				  const struct keyspace *ks, const struct conf *conf)
{
	struct audit_trim *t = xcalloc(1, sizeof(*t));

	t->audit = audit;
	t->redis = redis;
	t->conf = conf;
	key_region(ks, "audit", t->stream);
	key_region(ks, "audit:heads", t->heads);
	key_region(ks, "lease:audit", t->lease);
	return t;
}

void audit_trim_free(struct audit_trim *t)
{
	free(t);
}

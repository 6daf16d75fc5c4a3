#include "core/enqueue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/ci_event.h"
#include "core/crypto.h"
#include "core/keys.h"
#include "core/mem.h"
#include "core/text.h"

/*
 * XADD first, SET last: scripts are not rolled back, and an entry without its
 * mark is a duplicate later, a mark without its entry would be a lost event.
 * A mark that cannot be read or written costs no event either: one of another type is
 * replaced, and an entry that has been added is accepted, else every retry would add another.
 */
#define APPEND_ONCE(first_field)                                                 \
	"local id = redis.pcall('GET', KEYS[2])\n"                               \
	"if type(id) == 'string' then return {0, id} end\n"                      \
	"if id and not string.find(id.err, '^WRONGTYPE') then return id end\n"   \
	"id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, " first_field "))\n" \
	"redis.pcall('SET', KEYS[2], id, 'PX', ARGV[1])\n"

static struct redis_script append_once = {
	.name = "append_once",
	.body = APPEND_ONCE("2") "return {1, id}\n",
};

/* Whole nodes of the stream go at once, so trimming costs the same however long it is. */
static struct redis_script append_dead = {
	.name = "append_dead",
	.body = APPEND_ONCE(
		"4") "local t = redis.call('TIME')\n"
		     "local oldest = string.format('%.0f', t[1] * 1000 - ARGV[3])\n"
		     "local dropped = redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[2]) + "
		     "  redis.call('XTRIM', KEYS[1], 'MINID', '~', oldest)\n"
		     "return {1, id, dropped}\n",
};

static struct {
	int64_t max, keep_ms;
} dead_limits = { 2000, 35ll * 24 * 3600 * 1000 };

void enqueue_dead_limits(int64_t max, int64_t keep_ms)
{
	dead_limits.max = max;
	dead_limits.keep_ms = keep_ms;
}

static struct redis_script claim = {
	.name = "claim",
	.body = REDIS_REFUSES_CLUSTER "redis.call('HSETNX', KEYS[1], 'v', ARGV[1])\n"
				      "redis.call('HSETNX', KEYS[1], 'partitions', ARGV[2])\n"
				      "return redis.call('HMGET', KEYS[1], 'v', 'partitions')\n",
};

void enqueue_claim(struct redis *redis, const struct keyspace *ks, redis_fn *fn, void *arg)
{
	struct redis_cmd cmd;
	char meta[KEY_MAX];

	key_region(ks, "meta", meta);
	redis_script_cmd(&cmd, &claim, 1);
	redis_arg(&cmd, meta);
	redis_arg_i64(&cmd, CI_EVENT_VERSION);
	redis_arg_i64(&cmd, ks->partitions);
	redis_send_script(redis, &claim, &cmd, fn, arg);
}

int enqueue_layout(const struct redisReply *reply, const struct keyspace *ks, struct err *err)
{
	int64_t v = redis_int(redis_at(reply, 0), 0), n = redis_int(redis_at(reply, 1), 0);

	if (redis_is_cluster(reply))
		return err_set(err, ERR_CONFIG, REDIS_CLUSTER_WHY);
	if (redis_is_error(reply, NULL))
		return err_set(err, ERR_TRANSIENT, "%s", redis_why(reply));
	if (v != CI_EVENT_VERSION || n != ks->partitions)
		return err_set(err, ERR_CONFIG,
			       "the data in Redis has version %lld and %lld partitions, configured "
			       "are %d and %u",
			       (long long)v, (long long)n, CI_EVENT_VERSION, ks->partitions);
	return 0;
}

/* Encodes the event; bytes of it. */
static size_t encode(const struct ci_event *ev, struct redis_cmd *cmd)
{
	size_t n = 0;

	redis_cmd_init(cmd);
	ci_event_encode(ev, cmd);
	for (int i = 0; i < cmd->argc; i++)
		n += cmd->len[i];
	return n;
}

size_t enqueue_entry_bytes(const struct ci_event *ev)
{
	struct redis_cmd cmd;

	return encode(ev, &cmd);
}

void enqueue_fit(struct ci_event *ev)
{
	struct {
		char *text;
		size_t keep;
	} cuts[] = {
		{ ev->job, 60 },      { ev->pipeline, 60 }, { ev->url, 0 },
		{ ev->actor, 20 },    { ev->job, 20 },      { ev->pipeline, 20 },
		{ ev->base, 0 },      { ev->branch, 60 },   { ev->actor, 0 },
		{ ev->job, 0 },       { ev->pipeline, 0 },  { ev->default_branch, 20 },
		{ ev->head_repo, 0 }, { ev->branch, 20 },   { ev->failure_reason, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cuts) && enqueue_entry_bytes(ev) > ENQUEUE_ENTRY_BYTES_MAX;
	     i++) {
		char full[sizeof(ev->url)];

		(void)snprintf(full, sizeof(full), "%s", cuts[i].text);
		(void)text_copy(cuts[i].text, cuts[i].keep + 1, full, strlen(full));
	}
}

/* --- records ------------------------------------------------------------------ */

/*
 * A record is a list of texts, each with its length in front (4 bytes, little-endian):
 * what it is, then for an event its source, delivery, repository and ttl in ms, then names and
 * values of the entry.
 */
static const char event_kind[] = "event/1";
static const char dead_kind[] = "dead/1";
enum { LENGTH_BYTES = 4, EVENT_HEAD = 5 };
static const uint64_t TTL_MAX_MS = 366ull * 24 * 3600 * 1000;
static const int64_t DEAD_TTL_MS = 72ll * 3600 * 1000; /* that long it may be sent again */

static void add_text(struct buf *out, const char *s, size_t n)
{
	unsigned char length[LENGTH_BYTES];

	for (size_t i = 0; i < LENGTH_BYTES; i++)
		length[i] = (unsigned char)(n >> (8 * i));
	buf_append(out, length, sizeof(length));
	buf_append(out, s, n);
}

static void add_string(struct buf *out, const char *s)
{
	s = s ? s : "";
	add_text(out, s, strlen(s));
}

bool enqueue_next_text(const void *record, size_t n, size_t *at, struct enqueue_text *out)
{
	const unsigned char *p = (const unsigned char *)record + *at;
	size_t len = 0;

	if (n - *at < LENGTH_BYTES)
		return false;
	for (size_t i = LENGTH_BYTES; i-- > 0;)
		len = len << 8 | p[i];
	if (len > n - *at - LENGTH_BYTES)
		return false;
	*out = (struct enqueue_text){ (const char *)p + LENGTH_BYTES, len };
	*at += LENGTH_BYTES + len;
	return true;
}

void enqueue_record(struct ci_event *ev, int64_t ttl_ms, struct buf *out)
{
	struct redis_cmd cmd;
	char number[24];

	if (encode(ev, &cmd) > ENQUEUE_ENTRY_BYTES_MAX) {
		enqueue_fit(ev);
		(void)encode(ev, &cmd);
	}
	add_string(out, event_kind);
	add_string(out, ev->source);
	add_string(out, ev->delivery);
	(void)snprintf(number, sizeof(number), "%" PRIu64, ev->repo_id);
	add_string(out, number);
	(void)snprintf(number, sizeof(number), "%" PRId64, ttl_ms);
	add_string(out, number);
	for (int i = 0; i < cmd.argc; i++)
		add_text(out, cmd.argv[i], cmd.len[i]);
}

void enqueue_record_dead(const struct dead_webhook *dead, struct buf *out)
{
	const char *const pairs[] = { "reason",   dead->reason,  "provider", dead->provider,
				      "source",   dead->source,  "topic",    dead->topic,
				      "delivery", dead->delivery };
	char at_ms[24];

	add_string(out, dead_kind);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		add_string(out, pairs[i]);
	(void)snprintf(at_ms, sizeof(at_ms), "%" PRId64, dead->at_ms);
	add_string(out, "at_ms");
	add_string(out, at_ms);
	add_string(out, "body");
	add_text(out, dead->body, dead->body_len);
}

/* The texts of a record; -1 when it is none, or has too many. */
static int read_texts(const void *record, size_t n, struct enqueue_text *out, int max)
{
	size_t at = 0;
	int count = 0;

	while (at < n && count < max && enqueue_next_text(record, n, &at, &out[count]))
		count++;
	return at == n ? count : -1;
}

static bool text_is(const struct enqueue_text *t, const char *s)
{
	return t->n == strlen(s) && memcmp(t->data, s, t->n) == 0;
}

static bool text_number(const struct enqueue_text *t, uint64_t *out)
{
	char digits[24];

	return text_copy(digits, sizeof(digits), t->data, t->n) && text_to_u64(digits, out);
}

static int send_event(struct redis *redis, const struct keyspace *ks, const struct enqueue_text *t,
		      int n, redis_fn *fn, void *arg, struct err *err)
{
	char events[KEY_MAX], seen[KEY_MAX], source[32], who[128];
	uint64_t repo_id, ttl_ms;
	struct redis_cmd cmd;
	unsigned partition;

	if (n < EVENT_HEAD + 2 || (n - EVENT_HEAD) % 2 || !text_number(&t[3], &repo_id) ||
	    !text_number(&t[4], &ttl_ms) || ttl_ms < 1 || ttl_ms > TTL_MAX_MS ||
	    !text_copy(source, sizeof(source), t[1].data, t[1].n) || t[2].n > 64)
		return err_set(err, ERR_INPUT, "an event that cannot be read");
	partition = key_partition(ks, source, repo_id);
	(void)snprintf(who, sizeof(who), "%s:%.*s", source, (int)t[2].n, t[2].data);
	key_part(ks, partition, "events", events);
	key_part_of(ks, partition, "seen", who, seen);
	redis_script_cmd(&cmd, &append_once, 2);
	redis_arg(&cmd, events);
	redis_arg(&cmd, seen);
	redis_arg_i64(&cmd, (int64_t)ttl_ms);
	for (int i = EVENT_HEAD; i < n; i++)
		redis_arg_n(&cmd, t[i].data, t[i].n);
	redis_send_script(redis, &append_once, &cmd, fn, arg);
	return 0;
}

/* What a record is known by when it is sent again: its bytes, with the time it was made at. */
static void record_key(const struct keyspace *ks, const void *record, size_t n,
		       char out[static KEY_MAX])
{
	unsigned char digest[SHA256_BYTES];
	char hex[SHA256_HEX + 1];

	sha256(record, n, digest);
	hex_encode(digest, sizeof(digest), hex);
	hex[40] = '\0';
	key_part_of(ks, 0, "seen-dead", hex, out);
}

/* t: name and value in turn. */
static void send_dead(struct redis *redis, const struct keyspace *ks, const void *record, size_t n,
		      const struct enqueue_text *t, int count, redis_fn *fn, void *arg)
{
	char key[KEY_MAX], seen[KEY_MAX];
	struct redis_cmd cmd;

	key_part(ks, 0, "dead", key);
	record_key(ks, record, n, seen);
	redis_script_cmd(&cmd, &append_dead, 2);
	redis_arg(&cmd, key);
	redis_arg(&cmd, seen);
	redis_arg_i64(&cmd, DEAD_TTL_MS);
	redis_arg_i64(&cmd, dead_limits.max);
	redis_arg_i64(&cmd, dead_limits.keep_ms);
	for (int i = 0; i < count; i++)
		redis_arg_n(&cmd, t[i].data, t[i].n);
	redis_send_script(redis, &append_dead, &cmd, fn, arg);
}

int enqueue_send(struct redis *redis, const struct keyspace *ks, const void *record, size_t n,
		 redis_fn *fn, void *arg, struct err *err)
{
	enum { TEXTS_MAX = REDIS_ARGS_MAX - 8 };
	struct enqueue_text t[TEXTS_MAX];
	int count = read_texts(record, n, t, TEXTS_MAX);

	if (count >= 1 && text_is(&t[0], event_kind))
		return send_event(redis, ks, t, count, fn, arg, err);
	if (count < 3 || count % 2 == 0 || !text_is(&t[0], dead_kind))
		return err_set(err, ERR_INPUT, "not a record of this release");
	send_dead(redis, ks, record, n, t + 1, count - 1, fn, arg);
	return 0;
}

void enqueue_event(struct redis *redis, const struct keyspace *ks, struct ci_event *ev,
		   int64_t ttl_ms, redis_fn *fn, void *arg)
{
	OWNED(buf_done) struct buf record;
	struct err err;

	buf_init(&record, ENQUEUE_RECORD_MAX);
	enqueue_record(ev, ttl_ms, &record);
	if (enqueue_send(redis, ks, buf_text(&record), record.len, fn, arg, &err) < 0)
		abort(); /* we made it ourselves */
}

void enqueue_unreadable(struct redis *redis, const struct keyspace *ks, const void *record,
			size_t n, const char *why, redis_fn *fn, void *arg)
{
	OWNED(freep) char *body = base64_encode(record, n);
	const char *const pairs[] = { "reason", why, "body_base64", body };
	struct enqueue_text t[ARRAY_LEN(pairs)];

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		t[i] = (struct enqueue_text){ pairs[i], strlen(pairs[i]) };
	send_dead(redis, ks, record, n, t, ARRAY_LEN(pairs), fn, arg);
}

enum enqueue_result enqueue_result(const struct redisReply *reply, const char **id)
{
	*id = redis_str(redis_at(reply, 1));
	if (redis_is_error(reply, NULL) || !*id) {
		*id = redis_why(reply);
		return ENQUEUE_FAILED;
	}
	return redis_int(redis_at(reply, 0), 0) == 1 ? ENQUEUE_ACCEPTED : ENQUEUE_DUPLICATE;
}

int64_t enqueue_dropped(const struct redisReply *reply)
{
	return redis_int(redis_at(reply, 2), 0);
}

#include "receiver/enqueue.h"

#include <stdio.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/keys.h"
#include "core/text.h"

/*
 * XADD first, SET last: scripts are not rolled back, and an entry without its
 * mark is a duplicate later, a mark without its entry would be a lost event.
 */
static struct redis_script append_once = {
	.name = "append_once",
	.body = "local id = redis.call('GET', KEYS[2])\n"
		"if id then return {0, id} end\n"
		"id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))\n"
		"redis.call('SET', KEYS[2], id, 'PX', ARGV[1])\n"
		"return {1, id}\n",
};

static struct redis_script claim = {
	.name = "claim",
	.body = "redis.call('HSETNX', KEYS[1], 'v', ARGV[1])\n"
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

	if (redis_is_error(reply, NULL))
		return err_set(err, ERR_TRANSIENT, "%s", redis_why(reply));
	if (v != CI_EVENT_VERSION || n != ks->partitions)
		return err_set(err, ERR_CONFIG,
			       "the data in Redis has version %lld and %lld partitions, configured "
			       "are %d and %u",
			       (long long)v, (long long)n, CI_EVENT_VERSION, ks->partitions);
	return 0;
}

size_t enqueue_entry_bytes(const struct ci_event *ev)
{
	struct redis_cmd cmd;
	size_t n = 0;

	redis_cmd_init(&cmd);
	ci_event_encode(ev, &cmd);
	for (int i = 0; i < cmd.argc; i++)
		n += cmd.len[i];
	return n;
}

void enqueue_fit(struct ci_event *ev)
{
	struct {
		char *text;
		size_t keep;
	} cuts[] = {
		{ ev->job, 60 },    { ev->pipeline, 60 },
		{ ev->url, 0 },     { ev->actor, 20 },
		{ ev->job, 20 },    { ev->pipeline, 20 },
		{ ev->branch, 60 }, { ev->default_branch, 20 },
		{ ev->actor, 0 },   { ev->head_repo, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cuts) && enqueue_entry_bytes(ev) > ENQUEUE_ENTRY_BYTES_MAX;
	     i++) {
		char full[sizeof(ev->url)];

		(void)snprintf(full, sizeof(full), "%s", cuts[i].text);
		(void)text_copy(cuts[i].text, cuts[i].keep + 1, full, strlen(full));
	}
}

void enqueue_event(struct redis *redis, const struct keyspace *ks, struct ci_event *ev,
		   int64_t ttl_ms, redis_fn *fn, void *arg)
{
	unsigned partition = key_partition(ks, ev->source, ev->repo_id);
	char events[KEY_MAX], seen[KEY_MAX], who[sizeof(ev->source) + sizeof(ev->delivery)];
	struct redis_cmd cmd;

	enqueue_fit(ev);
	(void)snprintf(who, sizeof(who), "%s:%s", ev->source, ev->delivery);
	key_part(ks, partition, "events", events);
	key_part_of(ks, partition, "seen", who, seen);
	redis_script_cmd(&cmd, &append_once, 2);
	redis_arg(&cmd, events);
	redis_arg(&cmd, seen);
	redis_arg_i64(&cmd, ttl_ms);
	ci_event_encode(ev, &cmd);
	redis_send_script(redis, &append_once, &cmd, fn, arg);
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

void enqueue_dead(struct redis *redis, const struct keyspace *ks, const struct dead_webhook *dead,
		  redis_fn *fn, void *arg)
{
	const struct {
		const char *name, *value;
	} fields[] = {
		{ "reason", dead->reason },     { "provider", dead->provider },
		{ "source", dead->source },     { "topic", dead->topic },
		{ "delivery", dead->delivery },
	};
	struct redis_cmd cmd;
	char key[KEY_MAX];

	key_part(ks, 0, "dead", key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "XADD");
	redis_arg(&cmd, key);
	redis_arg(&cmd, "*");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		redis_arg(&cmd, fields[i].name);
		redis_arg(&cmd, fields[i].value);
	}
	redis_arg(&cmd, "at_ms");
	redis_arg_i64(&cmd, dead->at_ms);
	redis_arg(&cmd, "body");
	redis_arg_n(&cmd, dead->body, dead->body_len);
	redis_send(redis, &cmd, fn, arg);
}

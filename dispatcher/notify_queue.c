#include "dispatcher/notify_queue.h"

#include <stdio.h>

#include "core/json.h"
#include "core/keys.h"
#include "dispatcher/engine.h"
#include "dispatcher/notify.h"

/*
 * KEYS due queue seen dead; ARGV item delay_ms max ttl_s id replay_item notice reason_when_full.
 * Added first, seen last. A channel that waits for its time is left to wait.
 */
static struct redis_script put_script = {
	.name = "notify_put",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"if redis.call('EXISTS', KEYS[3]) == 1 then return 'seen' end "
		"local full = redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[3]) "
		"if full then "
		"  local dead = {'v', 1, 'reason', ARGV[8], 'notice', ARGV[7], 'at_ms', now} "
		"  if ARGV[6] ~= '' then dead[9] = 'item' dead[10] = ARGV[6] end "
		"  redis.call('XADD', KEYS[4], '*', unpack(dead)) "
		"else "
		"  redis.call('XADD', KEYS[2], '*', 'id', ARGV[5], 'item', ARGV[6], 'notice', "
		"ARGV[7]) "
		"end "
		"redis.call('ZADD', KEYS[1], 'NX', now + ARGV[2], ARGV[1]) "
		"if not full then redis.call('SET', KEYS[3], 1, 'EX', ARGV[4]) end "
		"return full and 'full' or 'ok'",
};

void notify_put(struct engine *e, unsigned partition, const struct notify_channel *c,
		const char *id, const char *item, struct json_object *notice, redis_fn *fn,
		void *arg)
{
	enum { DUE, QUEUE, SEEN, DEAD, N_KEYS };
	char keys[N_KEYS][KEY_MAX], deliver[64], seen[NOTIFY_ID_MAX + 64];
	struct redis_cmd cmd;

	(void)snprintf(deliver, sizeof(deliver), "deliver:%s", c->name);
	(void)snprintf(seen, sizeof(seen), "%s:%s", c->name, id);
	key_part(&e->ks, partition, "due", keys[DUE]);
	key_part_of(&e->ks, partition, "notify", c->name, keys[QUEUE]);
	key_part_of(&e->ks, partition, "told", seen, keys[SEEN]);
	key_part(&e->ks, partition, "dead", keys[DEAD]);
	redis_script_cmd(&cmd, &put_script, N_KEYS);
	for (int i = 0; i < N_KEYS; i++)
		redis_arg(&cmd, keys[i]);
	redis_arg(&cmd, deliver);
	redis_arg_i64(&cmd, c->digest_ms);
	redis_arg_i64(&cmd, NOTIFY_QUEUE_MAX);
	redis_arg_i64(&cmd, NOTIFY_SEEN_S);
	redis_arg(&cmd, id);
	redis_arg(&cmd, item);
	redis_arg(&cmd, json_text(notice));
	redis_arg(&cmd, "too many messages wait for their channel");
	redis_send_script(e->writer, &put_script, &cmd, fn, arg);
}

unsigned notify_event(struct engine *e, const struct notify_event *ev, redis_fn *fn, void *arg)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	const struct notify_channel *c;
	unsigned told = 0;

	json_add_i64(o, "v", 1);
	json_add_str(o, "word", ev->word);
	json_add_str(o, "subject", ev->subject);
	json_add_str(o, "title", ev->title);
	json_add_str(o, "detail", ev->detail);
	if (ev->repositories > 0)
		json_add_i64(o, "repositories", ev->repositories);
	if (*ev->by)
		json_add_str(o, "by", ev->by);
	json_add_i64(o, "at_ms", ev->at_ms);
	for (size_t i = 0; (c = notify_channel_at(e->notify, i)); i++) {
		if (!notify_channel_wants(e->notify, c, ev->word, ""))
			continue;
		notify_put(e, 0, c, ev->id, "", o, fn, arg);
		told++;
	}
	return told;
}

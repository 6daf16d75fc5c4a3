#include "core/approve.h"

/*
 * KEYS due work run runs feed plan-prefix
 * ARGV 1 ref, 2 who, 3 what ("approved", "rejected"), 4 plan or ''
 *
 * The plan's name is known here only from the run's hash; all keys share one hash tag. An approved
 * plan goes the usual way from its start: the provider is asked, and limits hold. A rejected one
 * is due at once, and ends.
 */
struct redis_script approve_script = {
	.name = "approve",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"local id = redis.call('HGET', KEYS[3], 'plan') "
		"if not id or (ARGV[4] ~= '' and ARGV[4] ~= id) then return {'none', ''} end "
		"local key = KEYS[6] .. id "
		"local p = redis.call('HMGET', key, 'state', 'strategy') "
		"if p[1] ~= 'suggested' then return {'none', p[1] or ''} end "
		"local yes = ARGV[3] == 'approved' "
		"redis.call('HSET', key, 'state', 'planned', 'asked_by', ARGV[2], 'answer', "
		"  ARGV[3], 'created_at_ms', now, 'due_at_ms', now) "
		"if yes then redis.call('HSET', key, 'mode', 'act') end "
		"redis.call('HSET', KEYS[3], 'plan_state', 'planned', 'updated_at_ms', now) "
		"if yes then redis.call('HSET', KEYS[3], 'plan_mode', 'act') end "
		"redis.call('ZADD', KEYS[1], now, 'act:' .. id) "
		"redis.call('HDEL', KEYS[2], 'act:' .. id) "
		"redis.call('ZADD', KEYS[4], now, ARGV[1]) "
		"redis.call('XADD', KEYS[5], 'MAXLEN', '~', 1000, '*', 'run', ARGV[1], 'what', "
		"  ARGV[3]) "
		"return {ARGV[3], p[2] or '', id, ARGV[2]}",
};

void approve_cmd(struct approve *a, const struct keyspace *ks, const char *run_ref,
		 const char *plan, const char *who, bool approve)
{
	static const struct {
		const char *name, *rest; /* rest NULL: there is one per partition */
	} keys[APPROVE_KEYS] = {
		{ "due", NULL },  { "work", NULL }, { "run", "" },
		{ "runs", NULL }, { "feed", NULL }, { "plan", "" },
	};
	enum { RUN = 2 };
	unsigned partition = key_partition_of_ref(ks, run_ref);

	redis_script_cmd(&a->cmd, &approve_script, APPROVE_KEYS);
	for (int i = 0; i < APPROVE_KEYS; i++) {
		if (keys[i].rest)
			key_part_of(ks, partition, keys[i].name, i == RUN ? run_ref : "",
				    a->keys[i]);
		else
			key_part(ks, partition, keys[i].name, a->keys[i]);
		redis_arg(&a->cmd, a->keys[i]);
	}
	redis_arg(&a->cmd, run_ref);
	redis_arg(&a->cmd, who);
	redis_arg(&a->cmd, approve ? "approved" : "rejected");
	redis_arg(&a->cmd, plan);
}

#include "dispatcher/batch.h"

#include <stdlib.h>
#include <string.h>

#include "core/ci_event.h"

enum {
	RUN_TTL_S = 35 * 24 * 3600,
	RUNS_KEEP = 10000,
	DURATIONS_TTL_S = 90 * 24 * 3600,
	/* An event is about a kibibyte; the names of its fields come on top. */
	PACKED_MAX = BATCH_ENTRIES_MAX * 4096,
};

/*
 * KEYS events due runs feed dead work
 * ARGV 1 group, 2 prefix of run keys, 3 ttl_s, 4 delay_ms, 5 runs kept, 6 entries, 7 stuck_ms,
 *      8 prefix of durations, 9 durations kept, 10 their ttl_s
 * An entry is {id} when it is only acknowledged, or
 *   {id, ref, generation, rank, at_ms, failed, succeeded, sha, pipeline, field, value, ...}
 * State moves forward only, by (generation, rank, at). Re-runs are counted anew after a success,
 * and for another commit: a Jenkins job has both. An entry whose run cannot be written is a dead
 * letter: nothing else would ever come past it. The run's own hash is written last, since an
 * entry that moved nothing is not looked at again. Where runs that hang are looked for (stuck_ms),
 * one that begins is looked at after a while, and how long those that pass take is kept.
 * Returns {work is due now, dead entries}.
 * The keys of the runs are known only here; they have the hash tag of the others.
 */
static struct redis_script record_script = {
	.name = "record",
	.body = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
		"now = string.format('%.0f', now) "
		"local ids, dead, due, moved = {}, {}, 0, false "
		"local function bury(id, why) "
		"  local event, fields = {}, redis.call('XRANGE', KEYS[1], id, id)[1] "
		"  for i = 1, fields and #fields[2] or 0, 2 do "
		"    event[fields[2][i]] = fields[2][i + 1] "
		"  end "
		"  redis.call('XADD', KEYS[5], '*', 'v', 1, 'reason', why, 'entry', id, "
		"    'event', cjson.encode(event), 'at_ms', now) "
		"  dead[#dead + 1] = id "
		"end "
		"local function hang(ref, generation, r, e, cur, began) "
		"  if r == 2 then "
		"    redis.call('ZADD', KEYS[2], 'NX', now + ARGV[7], 'hang:' .. ref) "
		"  elseif r == 3 then "
		"    redis.call('ZREM', KEYS[2], 'hang:' .. ref) "
		"    redis.call('HDEL', KEYS[6], 'hang:' .. ref) "
		/* What was suggested about it is void now. */
		"    if cur[10] == generation then "
		"      redis.call('ZADD', KEYS[2], 'XX', now, 'act:' .. ref .. ':' .. generation) "
		"      due = 1 "
		"    end "
		"    if e[7] == '1' and began ~= '' and tonumber(e[5]) >= tonumber(began) then "
		"      local key = ARGV[8] .. string.match(ref, '^(.*):') .. ':' .. e[9] "
		"      redis.call('LPUSH', key, string.format('%.0f', e[5] - began)) "
		"      redis.call('LTRIM', key, 0, ARGV[9] - 1) "
		"      redis.call('EXPIRE', key, ARGV[10]) "
		"    end "
		"  end "
		"end "
		"local function record(e, key, cur) "
		"  local ref, generation, sha = e[2], e[3], e[8] "
		"  local g, r, a = tonumber(generation), tonumber(e[4]), tonumber(e[5]) "
		"  local cg, cr = tonumber(cur[1]) or 0, tonumber(cur[2]) or 0 "
		"  if g < cg or (g == cg and (r < cr or (r == cr and "
		"      a <= (tonumber(cur[3]) or 0)))) then return end "
		"  moved = true "
		"  if e[6] == '1' and g > (tonumber(cur[4]) or 0) then "
		"    redis.call('ZADD', KEYS[2], 'NX', now + ARGV[4], 'diagnose:' .. ref) "
		"    due = 1 "
		"  end "
		"  local awaiting = cur[5] or '' "
		"  if r == 3 and e[6] == '0' and awaiting ~= '' and "
		"      g > (tonumber(string.match(awaiting, ':(%d+)$')) or 0) then "
		"    redis.call('ZADD', KEYS[2], 'XX', now, 'await:' .. awaiting) "
		"    due = 1 "
		"  end "
		"  local began = g == cg and cur[9] or '' "
		"  if r == 2 and (g > cg or cr < 2) then began = e[5] end "
		"  if ARGV[7] ~= '0' then hang(ref, generation, r, e, cur, cr == 2 and began or "
		"'') end "
		"  redis.call('ZADD', KEYS[3], now, ref) "
		"  redis.call('XADD', KEYS[4], '*', 'run', ref, 'what', 'attempt ' .. generation) "
		"  if cur[7] and (e[7] == '1' or (sha ~= '' and (cur[6] or '') ~= '' and "
		"      cur[6] ~= sha)) then "
		"    redis.call('HDEL', key, 'reruns', 'excused') "
		"  end "
		"  redis.call('HSET', key, 'generation', generation, 'rank', e[4], 'at_ms', e[5], "
		"    'failed', e[6], 'updated_at_ms', now, 'first_seen_ms', cur[8] or now, "
		"    'sha', sha, 'began_ms', began, unpack(e, 10)) "
		"  redis.call('EXPIRE', key, ARGV[3]) "
		"end "
		"for _, e in ipairs(cmsgpack.unpack(ARGV[6])) do "
		"  ids[#ids + 1] = e[1] "
		"  if e[2] then "
		"    local key = ARGV[2] .. e[2] "
		"    local cur = redis.pcall('HMGET', key, 'generation', 'rank', 'at_ms', "
		"      'diagnosed', 'awaiting', 'sha', 'reruns', 'first_seen_ms', 'began_ms', "
		"      'hang') "
		"    if cur.err then bury(e[1], 'the key of its run holds something else: ' .. "
		"cur.err) "
		"    else record(e, key, cur) end "
		"  end "
		"end "
		"if moved then "
		"  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[5])) "
		"  redis.call('XTRIM', KEYS[4], 'MAXLEN', '~', 1000) "
		"end "
		"redis.call('XACK', KEYS[1], ARGV[1], unpack(ids)) "
		"return {due, dead}",
};

/* --- MessagePack, as cmsgpack in Redis reads it -------------------------------------------- */

static void put_head(struct buf *b, unsigned char kind, size_t n)
{
	const unsigned char head[] = { kind, (unsigned char)(n >> 8), (unsigned char)n };

	buf_append(b, head, sizeof(head));
}

static void put_array(struct buf *b, size_t n)
{
	put_head(b, 0xdc, n);
}

static void put_text_n(struct buf *b, const char *s, size_t n)
{
	if (n < 32)
		buf_putc(b, (char)(0xa0 | n));
	else
		put_head(b, 0xda, n);
	buf_append(b, s, n);
}

static void put_text(struct buf *b, const char *s)
{
	put_text_n(b, s, strlen(s));
}

/* Numbers go as text: Lua's would lose digits. None of ours is negative. */
static void put_number(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put_text_n(b, digits + i, sizeof(digits) - i);
}

/* --- entries ----------------------------------------------------------------------------- */

void batch_init(struct batch *b)
{
	buf_init(&b->packed, PACKED_MAX);
	b->n = 0;
}

void batch_done(struct batch *b)
{
	buf_done(&b->packed);
}

static void begin(struct batch *b, size_t members, const char *id)
{
	if (b->n == BATCH_ENTRIES_MAX)
		abort();
	if (b->n++ == 0)
		put_array(&b->packed, 0); /* their number is known when it is sent */
	put_array(&b->packed, members);
	put_text(&b->packed, id);
}

void batch_ack(struct batch *b, const char *id)
{
	begin(b, 1, id);
}

void batch_record(struct batch *b, const char *id, const struct ci_event *ev)
{
	const struct {
		const char *name, *value;
	} texts[] = {
		{ "source", ev->source },
		{ "provider", ev->provider },
		{ "repo", ev->repo },
		{ "pipeline", ev->pipeline },
		{ "branch", ev->branch },
		{ "default_branch", ev->default_branch },
		{ "base", ev->base },
		{ "trigger", ev->trigger },
		{ "actor", ev->actor },
		{ "head_repo", ev->head_repo },
		{ "url", ev->url },
		{ "trace", ev->trace },
		{ "status", ci_status_name(ev->status) },
		{ "conclusion", ev->conclusion },
		{ "failure_reason", ev->failure_reason },
	};
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		{ "v", CI_EVENT_VERSION },
		{ "repo_id", ev->repo_id },
		{ "run_id", ev->run_id },
		{ "pipeline_id", ev->pipeline_id },
		{ "installation", ev->installation },
		{ "merge_request", ev->merge_request },
	};
	enum { FIRST = 9, NAME_AND_VALUE = 2 };
	bool over = ev->status == CI_COMPLETED;
	int64_t at_ms = ev->at_ms ? ev->at_ms : ev->received_at_ms;
	char ref[RUN_REF_MAX];

	ci_event_run_ref(ev, ref);
	begin(b, FIRST + NAME_AND_VALUE * (ARRAY_LEN(texts) + ARRAY_LEN(numbers)), id);
	put_text(&b->packed, ref);
	put_number(&b->packed, ev->generation);
	put_number(&b->packed, (uint64_t)ev->status);
	put_number(&b->packed, at_ms > 0 ? (uint64_t)at_ms : 0);
	put_text(&b->packed, over && ci_conclusion_failed(ev->conclusion) ? "1" : "0");
	put_text(&b->packed, over && strcmp(ev->conclusion, "success") == 0 ? "1" : "0");
	put_text(&b->packed, ev->sha);
	put_number(&b->packed, ev->pipeline_id);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		put_text(&b->packed, numbers[i].name);
		put_number(&b->packed, numbers[i].value);
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		put_text(&b->packed, texts[i].name);
		put_text(&b->packed, texts[i].value);
	}
}

void batch_send(struct batch *b, struct redis *redis, const struct keyspace *ks, unsigned partition,
		const struct batch_options *o, redis_fn *fn, void *arg)
{
	static const char *const names[] = { "events", "due", "runs", "feed", "dead", "work" };
	char key[ARRAY_LEN(names)][KEY_MAX], run[KEY_MAX], durations[KEY_MAX];
	struct redis_cmd cmd;

	if (b->packed.overflow)
		abort();
	b->packed.data[1] = (char)(b->n >> 8);
	b->packed.data[2] = (char)b->n;
	redis_script_cmd(&cmd, &record_script, ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		key_part(ks, partition, names[i], key[i]);
		redis_arg(&cmd, key[i]);
	}
	key_part_of(ks, partition, "run", "", run);
	redis_arg(&cmd, o->group);
	redis_arg(&cmd, run);
	redis_arg_i64(&cmd, RUN_TTL_S);
	redis_arg_i64(&cmd, o->diagnose_delay_ms);
	redis_arg_i64(&cmd, RUNS_KEEP);
	redis_arg_n(&cmd, b->packed.data, b->packed.len);
	key_part_of(ks, partition, "durations", "", durations);
	redis_arg_i64(&cmd, o->stuck_ms);
	redis_arg(&cmd, durations);
	redis_arg_i64(&cmd, BATCH_DURATIONS_MAX);
	redis_arg_i64(&cmd, DURATIONS_TTL_S);
	redis_send_script(redis, &record_script, &cmd, fn, arg);
	buf_reset(&b->packed);
	b->n = 0;
}

bool batch_woke(const struct redisReply *reply)
{
	return redis_int(redis_at(reply, 0), 0) != 0;
}

const char *batch_dead(const struct redisReply *reply, size_t n)
{
	return redis_str(redis_at(redis_at(reply, 1), n));
}

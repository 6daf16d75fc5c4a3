#include "dispatcher/flake_ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/work.h"

enum {
	LEDGER_TTL_S = 90 * 24 * 3600,
	GREENS_KEPT = 20, /* runs that were counted as passed, so that none counts twice */
	BRANCH_MAX = FLAKE_BRANCH_MAX,
	IDENTITY_MAX = 160,
	ATTEMPT_MAX = 48,
};

/*
 * Fields of a ledger that begin with # are the pipeline's, all others tests. A mark is {F or P,
 * greens, commit, ms, attempt, seconds, branch}. Nothing happens twice for one attempt.
 */
#define LEDGER                                                                             \
	"local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "  \
	"local function read(raw) "                                                        \
	"  local ok, r = pcall(cjson.decode, raw or '') "                                  \
	"  if ok and type(r) == 'table' and type(r.history) == 'table' then return r end " \
	"  return {first_ms = now, lost_s = 0, history = {}} "                             \
	"end "                                                                             \
	"local function add(r, kept, mark) "                                               \
	"  table.insert(r.history, mark) "                                                 \
	"  while #r.history > tonumber(kept) do table.remove(r.history, 1) end "           \
	"  r.last, r.last_ms = mark[1], now "                                              \
	"end "

/*
 * KEYS ledger index; ARGV 1 identity, 2 commit, 3 branch, 4 attempt, 5 seconds lost per test,
 * 6 ttl_s, 7 tests kept, 8 marks kept, 9 pipelines kept, 10 about the pipeline, 11 JSON: per
 * test {name, framework, file, owner}. Returns {greens, what was known per test...}.
 */
static struct redis_script failed_script = {
	.name = "flakes-failed",
	.body = LEDGER
	"local L = KEYS[1] "
	"local greens = tonumber(redis.call('HGET', L, '#greens')) or 0 "
	"local out = {greens} "
	"for _, test in ipairs(cjson.decode(ARGV[11])) do "
	"  local raw = redis.call('HGET', L, test[1]) "
	"  local r, known = read(raw), false "
	"  out[#out + 1] = raw or '' "
	"  for _, m in ipairs(r.history) do known = known or (m[1] == 'F' and m[5] == ARGV[4]) end "
	"  if not known then "
	"    add(r, ARGV[8], {'F', greens, ARGV[2], now, ARGV[4], tonumber(ARGV[5]), ARGV[3]}) "
	"  end "
	"  for k, field in ipairs({'framework', 'file', 'owner'}) do "
	"    if test[k + 1] ~= '' then r[field] = test[k + 1] end "
	"  end "
	"  redis.call('HSET', L, test[1], cjson.encode(r)) "
	"end "
	"redis.call('HSET', L, '#about', ARGV[10]) "
	/* The oldest go when there are too many; three fields are the pipeline's. */
	"if redis.call('HLEN', L) > 3 + tonumber(ARGV[7]) then "
	"  local all, ages = redis.call('HGETALL', L), {} "
	"  for i = 1, #all, 2 do "
	"    if string.sub(all[i], 1, 1) ~= '#' then "
	"      ages[#ages + 1] = {read(all[i + 1]).last_ms or 0, all[i]} "
	"    end "
	"  end "
	"  table.sort(ages, function(a, b) "
	"    return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) "
	"  end) "
	"  for i = 1, #ages - tonumber(ARGV[7]) do redis.call('HDEL', L, ages[i][2]) end "
	"end "
	"redis.call('EXPIRE', L, ARGV[6]) "
	"redis.call('ZADD', KEYS[2], now, ARGV[1]) "
	"redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[9])) "
	"redis.call('EXPIRE', KEYS[2], ARGV[6]) "
	"return out",
};

/*
 * KEYS index, a ledger per run; ARGV 1 ttl_s, 2 marks kept, 3 attempts kept, 4 JSON: per run
 * {identity, commit, branch, attempt}. A pass is written where it follows a failure on the same
 * commit, or on the same branch: of another branch it proves nothing. The first proves the test
 * flaky, and that the attempts which it failed in on that commit were lost.
 */
static struct redis_script passed_script = {
	.name = "flakes-passed",
	.body = LEDGER
	"local function pass(L, commit, branch, attempt) "
	"  if redis.call('EXISTS', L) == 0 then return false end "
	"  local seen = redis.call('HGET', L, '#seen') or ' ' "
	"  if string.find(seen, ' ' .. attempt .. ' ', 1, true) then return false end "
	"  seen = seen .. attempt .. ' ' "
	"  if select(2, string.gsub(seen, '%S+', '')) > tonumber(ARGV[3]) then "
	"    seen = string.gsub(seen, '^ %S+', '', 1) "
	"  end "
	"  redis.call('HSET', L, '#seen', seen) "
	"  local greens, changed = redis.call('HINCRBY', L, '#greens', 1), false "
	"  local all = redis.call('HGETALL', L) "
	"  for i = 1, #all, 2 do "
	"    local name, raw = all[i], all[i + 1] "
	"    if string.sub(name, 1, 1) ~= '#' and (string.find(raw, commit, 1, true) or "
	"        string.find(raw, '\"last\":\"F\"', 1, true)) then "
	"      local r = read(raw) "
	"      local failed, passed, lost, last = false, false, 0, r.history[#r.history] "
	"      for _, m in ipairs(r.history) do "
	"        if m[3] == commit and m[1] == 'F' then failed = true lost = lost + m[6] end "
	"        if m[3] == commit and m[1] == 'P' then passed = true end "
	"      end "
	"      local proof = failed and not passed "
	"      if proof then r.lost_s = (r.lost_s or 0) + lost end "
	"      if proof or (not failed and last and last[1] == 'F' and last[7] == branch) then "
	"        add(r, ARGV[2], {'P', greens, commit, now, attempt, 0, branch}) "
	"        redis.call('HSET', L, name, cjson.encode(r)) "
	"        changed = true "
	"      end "
	"    end "
	"  end "
	"  redis.call('EXPIRE', L, ARGV[1]) "
	"  return changed "
	"end "
	"for i, run in ipairs(cjson.decode(ARGV[4])) do "
	"  if pass(KEYS[i + 1], run[2], run[3], run[4]) then "
	"    redis.call('ZADD', KEYS[1], now, run[1]) "
	"  end "
	"end "
	"return 'ok'",
};

/* Whose run, of which commit. Texts that are too long are cut, the same way every time. */
struct about {
	const char *source, *branch, *sha;
	uint64_t repo_id, pipeline_id, run_id, generation;
};

struct names {
	char ledger[KEY_MAX], identity[IDENTITY_MAX], commit[FLAKE_COMMIT_MAX], branch[BRANCH_MAX],
		attempt[ATTEMPT_MAX];
};

static void name(const struct keyspace *ks, unsigned partition, const struct about *w,
		 struct names *out)
{
	(void)snprintf(out->identity, sizeof(out->identity), "%.90s:%" PRIu64 ":%" PRIu64,
		       w->source, w->repo_id, w->pipeline_id);
	(void)text_copy(out->commit, sizeof(out->commit), w->sha, strlen(w->sha));
	(void)text_copy(out->branch, sizeof(out->branch), w->branch, strlen(w->branch));
	(void)snprintf(out->attempt, sizeof(out->attempt), "%" PRIu64 ".%" PRIu64, w->run_id,
		       w->generation);
	key_part_of(ks, partition, "flakes", out->identity, out->ledger);
}

static struct json_object *list_of(const char *const *texts, size_t n)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(list, json_object_new_string(texts[i]));
	return list;
}

/* --- failed --------------------------------------------------------------- */

struct asked {
	struct task *task;
	const struct flakes_failed *failed;
	const char *commit;
	void (*then)(struct task *, const struct flake *);
};

static void on_failed(const struct redisReply *reply, void *arg)
{
	struct asked *q = arg;
	struct task *t = q->task;
	size_t n = q->failed->n;
	struct flake *known = arena_alloc(t->arena, (n + 1) * sizeof(*known));
	uint64_t greens = (uint64_t)redis_int(redis_at(reply, 0), 0);

	t->asked--;
	if (redis_is_error(reply, NULL)) {
		log_warn("the ledger of flaky tests cannot be written", KV("run", t->ref),
			 KV("why", redis_why(reply)));
		q->then(t, NULL);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const char *text = redis_str(redis_at(reply, i + 1));

		if (text && flake_read(q->failed->tests[i].name, text, greens, t->arena, &known[i]))
			flake_judge(&known[i], q->commit, greens);
	}
	q->then(t, known);
}

/* One argument, however many tests there are. */
static const char *tests_of(const struct flake_report *r, struct arena *a)
{
	OWNED(json_putp) struct json_object *all = json_object_new_array();

	for (size_t i = 0; i < r->failed->n; i++) {
		const char *const texts[] = { r->failed->tests[i].name,
					      r->failed->tests[i].framework, r->files[i],
					      r->owners[i] };

		json_object_array_add(all, list_of(texts, ARRAY_LEN(texts)));
	}
	return arena_strdup(a, json_text(all));
}

static const char *shown(const struct run *run, struct arena *a)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();

	json_add_str(o, "source", run->source);
	json_add_str(o, "repo", run->repo);
	json_add_str(o, "pipeline", run->pipeline);
	return arena_strdup(a, json_text(o));
}

void flake_ledger_failed(struct task *t, const struct flake_report *r,
			 void (*then)(struct task *, const struct flake *))
{
	const struct run *run = &t->run;
	const struct about about = { run->source,      run->branch, run->sha,       run->repo_id,
				     run->pipeline_id, run->run_id, run->generation };
	struct asked *q = arena_alloc(t->arena, sizeof(*q));
	struct names *names = arena_alloc(t->arena, sizeof(*names));
	char index[KEY_MAX], lost[32];
	struct redis_cmd cmd;

	name(&t->e->ks, t->partition, &about, names);
	key_part(&t->e->ks, t->partition, "flakes", index);
	(void)snprintf(lost, sizeof(lost), "%.1f",
		       r->lost_s / (double)(r->failed->n ? r->failed->n : 1));
	*q = (struct asked){ t, r->failed, names->commit, then };
	redis_script_cmd(&cmd, &failed_script, 2);
	redis_arg(&cmd, names->ledger);
	redis_arg(&cmd, index);
	redis_arg(&cmd, names->identity);
	redis_arg(&cmd, names->commit);
	redis_arg(&cmd, names->branch);
	redis_arg(&cmd, names->attempt);
	redis_arg(&cmd, lost);
	redis_arg_i64(&cmd, LEDGER_TTL_S);
	redis_arg_i64(&cmd, FLAKE_TESTS_MAX);
	redis_arg_i64(&cmd, FLAKE_HISTORY_MAX);
	redis_arg_i64(&cmd, FLAKE_PIPELINES_MAX);
	redis_arg(&cmd, shown(run, t->arena));
	redis_arg(&cmd, tests_of(r, t->arena));
	t->asked++;
	redis_send_script(t->e->writer, &failed_script, &cmd, on_failed, q);
}

/* --- passed --------------------------------------------------------------- */

void flake_greens_add(struct flake_greens *g, const struct ci_event *ev)
{
	struct green *one = &g->at[g->n];

	if (!*ev->sha || strcmp(ev->conclusion, "success") != 0 || ev->status != CI_COMPLETED ||
	    g->n == FLAKE_GREENS_MAX)
		return;
	(void)text_copy(one->source, sizeof(one->source), ev->source, strlen(ev->source));
	(void)text_copy(one->branch, sizeof(one->branch), ev->branch, strlen(ev->branch));
	(void)text_copy(one->commit, sizeof(one->commit), ev->sha, strlen(ev->sha));
	one->repo_id = ev->repo_id;
	one->pipeline_id = ev->pipeline_id;
	one->run_id = ev->run_id;
	one->generation = ev->generation;
	g->n++;
}

static void on_passed(const struct redisReply *reply, void *arg)
{
	UNUSED(arg);
	/* Without a reply the entries come again, and their passes with them. */
	if (reply && redis_is_error(reply, NULL))
		log_warn("the ledger of flaky tests cannot be written",
			 KV("why", redis_why(reply)));
}

void flake_greens_send(struct flake_greens *g, struct redis *redis, const struct keyspace *ks,
		       unsigned partition)
{
	OWNED(json_putp) struct json_object *runs = json_object_new_array();
	struct names names[FLAKE_GREENS_MAX];
	char index[KEY_MAX];
	struct redis_cmd cmd;

	if (g->n == 0)
		return;
	key_part(ks, partition, "flakes", index);
	redis_script_cmd(&cmd, &passed_script, (int)g->n + 1);
	redis_arg(&cmd, index);
	for (size_t i = 0; i < g->n; i++) {
		const struct green *one = &g->at[i];
		const struct about about = { one->source,    one->branch,      one->commit,
					     one->repo_id,   one->pipeline_id, one->run_id,
					     one->generation };
		const char *const texts[] = { names[i].identity, names[i].commit, names[i].branch,
					      names[i].attempt };

		name(ks, partition, &about, &names[i]);
		json_object_array_add(runs, list_of(texts, ARRAY_LEN(texts)));
		redis_arg(&cmd, names[i].ledger);
	}
	redis_arg_i64(&cmd, LEDGER_TTL_S);
	redis_arg_i64(&cmd, FLAKE_HISTORY_MAX);
	redis_arg_i64(&cmd, GREENS_KEPT);
	redis_arg(&cmd, json_text(runs));
	redis_send_script(redis, &passed_script, &cmd, on_passed, NULL);
	g->n = 0;
}

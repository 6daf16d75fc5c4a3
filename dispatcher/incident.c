#include "dispatcher/incident.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/audit.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/finding.h"
#include "core/log.h"
#include "core/mem.h"
#include "dispatcher/incident_host.h"
#include "dispatcher/incident_news.h"
#include "dispatcher/work.h"

enum {
	SEEN_MAX = 1000, /* repositories remembered per subject */
	HOLD_MIN_MS = 100,
	HOLD_MAX_MS = 30 * 1000,
	HELD_MAX_MS = 24 * 3600 * 1000,
	MINUTE_MS = 60 * 1000,
	N_SUBJECTS = 4,
};

#define NOW "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "

/*
 * KEYS incidents, news, seen of whatever failed, seen per subject that can open one
 * ARGV 1 window_ms, 2 repositories (0: opens none), 3 probe_ms, 4 most, 5 repository, 6 title,
 *      7 most seen, 8 share, 9 which of KEYS is a kind of failure (0: none), subjects: first those
 *      of KEYS
 * Returns {subject of an incident or '', whether it is new, repositories}. What counted for one
 * incident does not count for another. A kind of failure happens everywhere now and then: it has to
 * be that share, in percent, of the repositories where anything failed.
 */
static struct redis_script note_script = {
	.name = "incident_note",
	.body = NOW INCIDENT_LUA INCIDENT_NEWS_LUA
	"local function see(key) "
	"  redis.call('ZADD', key, now, ARGV[5]) "
	"  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - ARGV[1]) "
	"  redis.call('ZREMRANGEBYRANK', key, 0, -1 - tonumber(ARGV[7])) "
	"  redis.call('PEXPIRE', key, ARGV[1]) "
	"  return redis.call('ZCARD', key) "
	"end "
	"see(KEYS[3]) "
	"for i = 10, #ARGV do "
	"  local r, key = incident_read(KEYS[1], ARGV[i]), KEYS[i - 6] "
	"  if r then "
	"    r.last_ms = now "
	"    if key then r.repositories = math.max(r.repositories, see(key)) end "
	"    incident_save(KEYS[1], ARGV[i], r) "
	"    return {ARGV[i], 0, r.repositories} "
	"  end "
	"end "
	"local first "
	"for i = 4, #KEYS do "
	"  local n, least = see(KEYS[i]), tonumber(ARGV[2]) "
	"  if i == tonumber(ARGV[9]) then "
	/* Of the same time, where more failed than are remembered. */
	"    local oldest = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES') "
	"    n = redis.call('ZCOUNT', KEYS[i], oldest[2], '+inf') "
	"    least = math.max(least, redis.call('ZCARD', KEYS[3]) * ARGV[8] / 100) "
	"  end "
	"  if not first and ARGV[2] ~= '0' and n >= least and "
	"      redis.call('HLEN', KEYS[1]) < tonumber(ARGV[4]) then first = {i, n} end "
	"end "
	"if not first then return {'', 0, 0} end "
	"for i = 4, #KEYS do if i ~= first[1] then redis.call('DEL', KEYS[i]) end end "
	"local subject = ARGV[first[1] + 6] "
	"local r = {subject = subject, state = 'open', by = 'dispatcher', "
	"  reason = ARGV[6], opened_ms = now, since_ms = now, last_ms = now, "
	"  repositories = first[2], probes = 0, probe_ms = tonumber(ARGV[3]), "
	"  next_probe_ms = now + ARGV[3], canary = '', canary_until_ms = 0, released = 0} "
	"incident_save(KEYS[1], subject, r) "
	"incident_news(KEYS[2], 'opened', r, 'dispatcher', ARGV[6]) "
	"return {subject, 1, first[2]}",
};

/* KEYS incidents; ARGV plan, what incident_args() adds. */
static struct redis_script peek_script = {
	.name = "incident_peek",
	.body = NOW INCIDENT_LUA "return incident_ask(KEYS[1], ARGV[1], 2, false) or {'go'}",
};

/*
 * KEYS incidents news; ARGV 1 plan, 2 result, 3 sent_at_ms, 4 probe_ms, 5 probe_cap, 6 prefix of
 * seen, subjects Returns {subject of an incident or '', "released", "reopened" or ''}. While it is
 * open only canaries are sent, so whatever was sent since then and passed proves as much as the
 * last one.
 */
static struct redis_script ended_script = {
	.name = "incident_ended",
	.body = NOW INCIDENT_LUA INCIDENT_NEWS_LUA
	"local covered, said, sent = '', '', tonumber(ARGV[3]) "
	"local gone = ARGV[2] == 'healed' or ARGV[2] == 'different_failure' "
	"for i = 7, #ARGV do "
	"  local r = incident_read(KEYS[1], ARGV[i]) "
	"  if r then "
	"    covered = ARGV[i] "
	"    if r.state == 'open' and gone and (r.canary == ARGV[1] or sent > r.since_ms) then "
	"      r.state, r.released_ms, r.next_release_ms = 'releasing', now, now "
	"      r.last_ms, r.canary, r.until_ms = now, '', 0 "
	"      redis.call('DEL', ARGV[6] .. ARGV[i]) "
	"      said = 'released' "
	"      incident_news(KEYS[2], said, r, 'dispatcher', '') "
	"    elseif r.state == 'open' and r.canary == ARGV[1] then "
	"      if ARGV[2] == 'same_failure' then "
	"        r.probe_ms = math.min(math.max(r.probe_ms * 2, tonumber(ARGV[4])), "
	"          tonumber(ARGV[5])) "
	"        r.last_ms = now "
	"      end "
	"      r.canary, r.next_probe_ms = '', now + "
	"        (sent > 0 and math.max(r.probe_ms, tonumber(ARGV[4])) or 0) "
	"    elseif r.state == 'releasing' and ARGV[2] == 'same_failure' and "
	"        sent >= r.released_ms then "
	"      r.state, r.since_ms, r.last_ms, r.probe_ms = 'open', now, now, tonumber(ARGV[4]) "
	"      r.next_probe_ms = now + r.probe_ms "
	"      said = 'reopened' "
	"      incident_news(KEYS[2], said, r, 'dispatcher', '') "
	"    end "
	"    incident_save(KEYS[1], ARGV[i], r) "
	"  end "
	"end "
	"return {covered, said}",
};

/*
 * KEYS incidents news; ARGV 1 quiet_ms, 2 prefix of seen. Returns subject and JSON of each
 * that ended: nothing failed of it for so long, and what waited was let go; or nothing waits.
 */
static struct redis_script sweep_script = {
	.name = "incident_sweep",
	.body = NOW INCIDENT_NEWS_LUA
	"local out = {} "
	"local all = redis.call('HGETALL', KEYS[1]) "
	"for i = 1, #all, 2 do "
	"  local ok, r = pcall(cjson.decode, all[i + 1]) "
	"  local over = not ok or type(r) ~= 'table' or not r.last_ms "
	"  if over then "
	"  elseif r.state == 'releasing' then over = now - r.last_ms > tonumber(ARGV[1]) "
	"  elseif r.canary == '' or r.canary_until_ms < now then "
	"    over = now - math.max(r.last_ms, r.asked_ms or 0, r.until_ms or 0, "
	"      r.next_probe_ms) > tonumber(ARGV[1]) "
	"  end "
	"  if over then "
	"    redis.call('HDEL', KEYS[1], all[i]) "
	"    redis.call('DEL', ARGV[2] .. all[i]) "
	"    out[#out + 1] = all[i] "
	"    if not ok or type(r) ~= 'table' then r = {} end "
	"    r.subject = all[i] "
	"    incident_news(KEYS[2], 'closed', r, 'dispatcher', '') "
	"    out[#out + 1] = r.repositories or 0 "
	"  end "
	"end "
	"return out",
};

void incident_key(const struct engine *e, char key[static KEY_MAX])
{
	key_region(&e->ks, "incidents", key);
}

static void seen_key(const struct engine *e, const char *subject, char key[static KEY_MAX])
{
	char name[INCIDENT_SUBJECT_MAX + 24];

	(void)snprintf(name, sizeof(name), "incident:seen:%.139s", subject);
	key_region(&e->ks, name, key);
}

/* In the order in which they are blamed: a host says more than the words of one tool. */
struct subjects {
	const char *of[N_SUBJECTS];
	int n, counted; /* the first ones can open an incident */
	int kind;       /* the last of those, when it is a kind of failure; -1: none is */
};

static void subjects_of(struct arena *a, const char *host, const char *fingerprint,
			const char *category, const char *subcategory, struct subjects *out)
{
	*out = (struct subjects){ .kind = -1 };
	if (*host)
		out->of[out->n++] = arena_printf(a, "host:%.100s", host);
	if (*fingerprint)
		out->of[out->n++] = arena_printf(a, "fp:%.32s", fingerprint);
	if (*subcategory && incident_of_others(category))
		out->kind = out->n;
	out->counted = out->n + (out->kind >= 0);
	out->of[out->n++] = arena_printf(a, "category:%.40s/%.40s", category, subcategory);
	out->of[out->n++] = arena_printf(a, "category:%.40s", category);
}

static void plan_subjects(const struct task *t, struct subjects *out)
{
	subjects_of(t->arena, t->plan.host, t->plan.fingerprint, t->plan.category,
		    t->plan.subcategory, out);
}

static void add_subjects(struct redis_cmd *cmd, const struct subjects *s)
{
	for (int i = 0; i < s->n; i++)
		redis_arg(cmd, s->of[i]);
}

/* One question at a time per task: who goes on with the answer. */
struct asked {
	struct task *task;
	void (*then)(struct task *, bool covered);
	void (*go)(struct task *);
	void (*ended)(struct task *, const char *why);
	const char *title;
};

static struct asked *asked_new(struct task *t)
{
	struct asked *q = arena_alloc(t->arena, sizeof(*q));

	q->task = t;
	t->asked++;
	return q;
}

/* --- seeing it come ------------------------------------------------------------- */

static void tell_opened(struct task *t, const char *subject, int64_t repositories,
			const char *title)
{
	char n[24];

	(void)snprintf(n, sizeof(n), "%" PRId64, repositories);
	log_warn("incident: what fails of it is held, but for a canary now and then",
		 KV("subject", subject), KV("repositories", repositories), KV("what", title));
	audit_write(t->e->audit, "incident_opened", "subject", subject, "repositories", n, "reason",
		    title, (char *)NULL);
	incident_news_tell(t->e);
}

static void on_noted(const struct redisReply *reply, void *arg)
{
	struct asked *q = arg;
	const char *subject = redis_str(redis_at(reply, 0));

	q->task->asked--;
	if (redis_is_error(reply, NULL) || !subject)
		subject = "";
	else if (redis_int(redis_at(reply, 1), 0))
		tell_opened(q->task, subject, redis_int(redis_at(reply, 2), 0), q->title);
	q->then(q->task, *subject != '\0');
}

void incident_note(struct task *t, const struct finding *f, const char *host,
		   void (*then)(struct task *, bool covered))
{
	enum { INCIDENTS, NEWS, ANY, SUBJECTS, N_KEYS = SUBJECTS + N_SUBJECTS };
	const struct engine_options *opt = &t->e->opt;
	char keys[N_KEYS][KEY_MAX], repo[160];
	struct subjects s = { .kind = -1 };
	struct redis_cmd cmd;
	struct asked *q = asked_new(t);

	q->then = then;
	q->title = f->title;
	if (f->transient)
		subjects_of(t->arena, host, f->fingerprint, f->category, f->subcategory, &s);
	if (s.kind >= 0 && !opt->incident_share) {
		s.counted--;
		s.kind = -1;
	}
	(void)snprintf(repo, sizeof(repo), "%.100s:%" PRIu64, t->run.source, t->run.repo_id);
	incident_key(t->e, keys[INCIDENTS]);
	incident_news_key(&t->e->ks, keys[NEWS]);
	seen_key(t->e, "*", keys[ANY]);
	for (int i = 0; i < s.counted; i++)
		seen_key(t->e, s.of[i], keys[SUBJECTS + i]);
	redis_script_cmd(&cmd, &note_script, SUBJECTS + s.counted);
	for (int i = 0; i < SUBJECTS + s.counted; i++)
		redis_arg(&cmd, keys[i]);
	redis_arg_i64(&cmd, opt->incident_window_ms);
	redis_arg_i64(&cmd,
		      conf_bool(t->e->conf, "incident.enabled") ? opt->incident_repositories : 0);
	redis_arg_i64(&cmd, opt->incident_probe_ms);
	redis_arg_i64(&cmd, INCIDENTS_MAX);
	redis_arg(&cmd, repo);
	redis_arg(&cmd, f->title);
	redis_arg_i64(&cmd, SEEN_MAX);
	redis_arg_i64(&cmd, opt->incident_share);
	/* Lua counts from one. */
	redis_arg_i64(&cmd, s.kind < 0 ? 0 : SUBJECTS + s.kind + 1);
	add_subjects(&cmd, &s);
	redis_send_script(t->e->writer, &note_script, &cmd, on_noted, q);
}

/* --- holding --------------------------------------------------------------------- */

/* How often a held plan asks again at least. */
static int64_t hold_ms(const struct engine *e)
{
	int64_t hold = e->opt.incident_probe_ms / 4;

	if (hold < HOLD_MIN_MS)
		return HOLD_MIN_MS;
	return hold < HOLD_MAX_MS ? hold : HOLD_MAX_MS;
}

void incident_args(const struct task *t, struct redis_cmd *cmd)
{
	const struct engine_options *opt = &t->e->opt;
	struct subjects s;

	redis_arg_i64(cmd, hold_ms(t->e));
	redis_arg_i64(cmd, opt->incident_probe_cap_ms);
	redis_arg_i64(cmd, MINUTE_MS / opt->incident_release_per_minute);
	plan_subjects(t, &s);
	add_subjects(cmd, &s);
}

void incident_hold(struct task *t, const struct redisReply *reply,
		   void (*ended)(struct task *, const char *why))
{
	int64_t left = redis_int(redis_at(reply, 1), HOLD_MIN_MS);
	const char *why = redis_str(redis_at(reply, 2));

	if (t->plan.held_ms > HELD_MAX_MS)
		ended(t, arena_printf(t->arena, "held for a day: %s", why ? why : "an incident"));
	else
		/* They must not all come back in the same moment. */
		task_hold(t, left + 1 + random_below((unsigned)(left / 4 + 1)),
			  why ? why : "an incident");
}

static void on_peeked(const struct redisReply *reply, void *arg)
{
	struct asked *q = arg;
	const char *answer = redis_str(redis_at(reply, 0));

	q->task->asked--;
	if (!answer)
		task_retry(q->task, -1, redis_why(reply));
	else if (strcmp(answer, "incident") == 0)
		incident_hold(q->task, reply, q->ended);
	else
		q->go(q->task);
}

void incident_peek(struct task *t, void (*go)(struct task *),
		   void (*ended)(struct task *, const char *why))
{
	struct asked *q = asked_new(t);
	char key[KEY_MAX];
	struct redis_cmd cmd;

	q->go = go;
	q->ended = ended;
	incident_key(t->e, key);
	redis_script_cmd(&cmd, &peek_script, 1);
	redis_arg(&cmd, key);
	redis_arg(&cmd, t->plan.id);
	incident_args(t, &cmd);
	redis_send_script(t->e->writer, &peek_script, &cmd, on_peeked, q);
}

/* --- letting go -------------------------------------------------------------------- */

static void on_ended(const struct redisReply *reply, void *arg)
{
	struct asked *q = arg;
	struct task *t = q->task;
	const char *subject = redis_str(redis_at(reply, 0)), *said = redis_str(redis_at(reply, 1));

	t->asked--;
	if (redis_is_error(reply, NULL) || !subject || !said)
		subject = said = "";
	if (*said) {
		log_warn("incident: the canary has told", KV("subject", subject), KV("now", said),
			 KV("plan", t->plan.id));
		audit_write(t->e->audit, arena_printf(t->arena, "incident_%s", said), "subject",
			    subject, "plan", t->plan.id, (char *)NULL);
		incident_news_tell(t->e);
	}
	q->then(t, *subject != '\0');
}

void incident_ended(struct task *t, const char *result, void (*then)(struct task *, bool covered))
{
	char key[KEY_MAX], news[KEY_MAX], seen[KEY_MAX];
	struct subjects s;
	struct redis_cmd cmd;
	struct asked *q = asked_new(t);

	q->then = then;
	incident_key(t->e, key);
	incident_news_key(&t->e->ks, news);
	seen_key(t->e, "", seen);
	plan_subjects(t, &s);
	redis_script_cmd(&cmd, &ended_script, 2);
	redis_arg(&cmd, key);
	redis_arg(&cmd, news);
	redis_arg(&cmd, t->plan.id);
	redis_arg(&cmd, result);
	redis_arg_i64(&cmd, (int64_t)t->plan.sent_at_ms);
	redis_arg_i64(&cmd, t->e->opt.incident_probe_ms);
	redis_arg_i64(&cmd, t->e->opt.incident_probe_cap_ms);
	redis_arg(&cmd, seen);
	add_subjects(&cmd, &s);
	redis_send_script(t->e->writer, &ended_script, &cmd, on_ended, q);
}

static void on_swept(const struct redisReply *reply, void *arg)
{
	struct engine *e = arg;

	if (redis_is_error(reply, NULL))
		return; /* whoever is next will do it */
	for (size_t i = 0; i + 1 < redis_len(reply); i += 2) {
		const char *subject = redis_str(redis_at(reply, i));

		if (!subject)
			continue;
		log_warn("incident: over", KV("subject", subject),
			 KV("repositories", redis_int(redis_at(reply, i + 1), 0)));
		audit_write(e->audit, "incident_closed", "subject", subject, "reason",
			    "nothing failed of it any more", (char *)NULL);
	}
}

void incident_sweep(struct engine *e)
{
	int64_t quiet = e->opt.incident_quiet_ms, idle = 4 * hold_ms(e);
	char key[KEY_MAX], news[KEY_MAX], seen[KEY_MAX];
	struct redis_cmd cmd;

	incident_key(e, key);
	incident_news_key(&e->ks, news);
	seen_key(e, "", seen);
	redis_script_cmd(&cmd, &sweep_script, 2);
	redis_arg(&cmd, key);
	redis_arg(&cmd, news);
	redis_arg_i64(&cmd, quiet > idle ? quiet : idle);
	redis_arg(&cmd, seen);
	redis_send_script(e->writer, &sweep_script, &cmd, on_swept, e);
}

#include "dispatcher/base_watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ci_event.h"
#include "core/finding.h"
#include "core/mem.h"
#include "core/redis.h"
#include "core/text.h"
#include "dispatcher/work.h"

enum { KEEP_S = 14 * 24 * 3600, KEPT_MAX = 500, MEMBER_MAX = 200, REST_MAX = 240 };

/*
 * KEYS base; ARGV at_ms keep_s kept, failed, fingerprint, passed. One sorted set by time: when the
 * pipeline failed last and passed last, when each fingerprint was seen. So a pass has only to
 * change what is there.
 */
static struct redis_script failed_script = {
	.name = "base-failed",
	.body = "redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[4]) "
		"redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[5]) "
		"redis.call('ZADD', KEYS[1], 'NX', ARGV[1] - 1, ARGV[6]) "
		"redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - ARGV[2] * 1000) "
		"redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3]) "
		"redis.call('EXPIRE', KEYS[1], ARGV[2]) "
		"return 'ok'",
};

static void key_of(const struct engine *e, unsigned partition, const char *source, uint64_t repo,
		   const char *branch, char out[static KEY_MAX])
{
	char rest[REST_MAX];

	(void)snprintf(rest, sizeof(rest), "%.40s:%" PRIu64 ":%.120s", source, repo, branch);
	key_part_of(&e->ks, partition, "base", rest, out);
}

static void member(char out[static MEMBER_MAX], uint64_t pipeline, const char *what, const char *of,
		   const char *branch)
{
	(void)snprintf(out, MEMBER_MAX, "%" PRIu64 ":%s%s%.20s%s%.100s", pipeline, what,
		       *of ? ":" : "", of, *branch ? ":" : "", branch);
}

/* A fork's branch may have the same name. */
static bool of_proposal(const char *trigger)
{
	return text_starts(trigger, "pull_request") || text_starts(trigger, "merge_request") ||
	       text_starts(trigger, "external_pull_request");
}

/* Any branch may be one that something is proposed for. */
static bool of_base(const char *branch, const char *trigger)
{
	return *branch && !of_proposal(trigger);
}

/* GitHub does not tell it of what a fork proposes; then it is seen when the provider is asked. */
const char *base_watch_base(const struct run *r)
{
	return *r->base ? r->base : r->default_branch;
}

void base_watch_passed(struct engine *e, unsigned partition, const struct ci_event *ev)
{
	char key[KEY_MAX], passed[MEMBER_MAX], at[24];

	if (ev->status != CI_COMPLETED || strcmp(ev->conclusion, "success") != 0 ||
	    !of_base(ev->branch, ev->trigger))
		return;
	key_of(e, partition, ev->source, ev->repo_id, ev->branch, key);
	member(passed, ev->pipeline_id, "passed", "", "");
	(void)snprintf(at, sizeof(at), "%" PRIu64, (uint64_t)ev->at_ms);
	redis_send_args(e->writer, NULL, NULL, "ZADD", key, "XX", "GT", at, passed, (char *)NULL);
}

void base_watch_failed(struct task *t, const struct finding *f)
{
	const struct run *r = &t->run;
	char key[KEY_MAX], names[3][MEMBER_MAX];
	struct redis_cmd cmd;

	if (!of_base(r->branch, r->trigger) || !*f->fingerprint)
		return;
	key_of(t->e, t->partition, r->source, r->repo_id, r->branch, key);
	member(names[0], r->pipeline_id, "failed", "", "");
	member(names[1], r->pipeline_id, "of", f->fingerprint, "");
	member(names[2], r->pipeline_id, "passed", "", "");
	redis_script_cmd(&cmd, &failed_script, 1);
	redis_arg(&cmd, key);
	redis_arg_i64(&cmd, (int64_t)r->at_ms);
	redis_arg_i64(&cmd, KEEP_S);
	redis_arg_i64(&cmd, KEPT_MAX);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		redis_arg(&cmd, names[i]);
	redis_send_script(t->e->writer, &failed_script, &cmd, NULL, NULL);
}

struct asked {
	struct task *t;
	void (*then)(struct task *, bool mended);
};

static double score(const struct redisReply *reply, size_t i)
{
	const char *text = redis_str(redis_at(reply, i));

	return text ? strtod(text, NULL) : 0;
}

static void on_scores(const struct redisReply *reply, void *arg)
{
	struct asked *q = arg;
	/* Times of events are whole seconds, and a pass that counts was told after the failure. */
	double failed = score(reply, 0), passed = score(reply, 1), of = score(reply, 2);

	q->t->asked--;
	q->then(q->t, of > 0 && passed >= failed && score(reply, 3) <= 0);
}

void base_watch_ask(struct task *t, const struct finding *f, void (*then)(struct task *, bool))
{
	const struct run *r = &t->run;
	char key[KEY_MAX], names[4][MEMBER_MAX];
	struct asked *q;

	if (!of_proposal(r->trigger) || !*f->fingerprint || !*base_watch_base(r)) {
		then(t, false);
		return;
	}
	q = arena_alloc(t->arena, sizeof(*q));
	*q = (struct asked){ t, then };
	key_of(t->e, t->partition, r->source, r->repo_id, base_watch_base(r), key);
	member(names[0], r->pipeline_id, "failed", "", "");
	member(names[1], r->pipeline_id, "passed", "", "");
	member(names[2], r->pipeline_id, "of", f->fingerprint, "");
	member(names[3], r->pipeline_id, "tried", f->fingerprint, r->branch);
	t->asked++;
	redis_send_args(t->e->writer, on_scores, q, "ZMSCORE", key, names[0], names[1], names[2],
			names[3], (char *)NULL);
}

void base_watch_tried(struct task *t)
{
	const struct run *r = &t->run;
	char key[KEY_MAX], tried[MEMBER_MAX], at[24];

	key_of(t->e, t->partition, r->source, r->repo_id, base_watch_base(r), key);
	member(tried, r->pipeline_id, "tried", t->plan.fingerprint, r->branch);
	(void)snprintf(at, sizeof(at), "%" PRId64, task_now_ms(t));
	redis_send_args(t->e->writer, NULL, NULL, "ZADD", key, at, tried, (char *)NULL);
}

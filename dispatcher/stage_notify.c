/*
 * notify: a plan ended or waits for a person. Puts what is to say into the queues of the channels
 * that want to hear it; asking twice for the same word is harmless.
 */
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/redis.h"
#include "dispatcher/notify.h"
#include "dispatcher/notify_queue.h"
#include "dispatcher/work.h"

struct telling {
	bool failed;
};

static void end(struct task *t)
{
	const struct telling *s = t->state;
	struct settle done = SETTLE_INIT;

	if (s->failed)
		task_retry(t, -1, "a queue of messages could not be written");
	else
		task_settle(t, &done);
}

static void on_put(const struct redisReply *reply, void *arg)
{
	struct task *t = arg;
	struct telling *s = t->state;

	s->failed = s->failed || redis_is_error(reply, NULL);
	if (--t->asked == 0)
		end(t);
}

/* What there is to tell of the plan as it is now; "": nothing. */
static const char *word_of(const struct plan *p)
{
	if (strcmp(p->state, "done") == 0)
		return p->result;
	return strcmp(p->state, "suggested") == 0 ? p->state : "";
}

static void notify_start(struct task *t)
{
	const char *word = word_of(&t->plan), *id;
	const struct notify_channel *c;
	OWNED(json_putp)
	struct json_object *notice = notify_notice(&t->run, &t->plan, word, task_now_ms(t));
	/* So long an answer is of use. */
	if (strcmp(word, "suggested") == 0)
		json_add_i64(notice, "answer_until_ms",
			     (int64_t)t->plan.created_at_ms + t->e->opt.approve_ms);
	id = arena_printf(t->arena, "%s:%s", t->plan_id, word);
	for (size_t i = 0; (c = notify_channel_at(t->e->notify, i)); i++) {
		if (!notify_channel_wants(t->e->notify, c, word, t->run.repo))
			continue;
		t->asked++;
		notify_put(t->e, t->partition, c, id, t->item, notice, on_put, t);
	}
	if (!t->asked)
		end(t);
}

const struct stage stage_notify = {
	.name = "notify",
	.has_plan = true,
	.only_tells = true,
	.state_size = sizeof(struct telling),
	.start = notify_start,
};

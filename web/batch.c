#include "web/batch.h"

#include "core/mem.h"
#include "core/redis.h"

struct batch {
	LIST_ENTRY(batch) all;
	TAILQ_HEAD(, ask) asks;
	struct redis *redis;
	size_t open;
	void (*done)(void *);
	void (*release)(void *);
	void *arg;
};

/* Lives as long as its batch: a connection that was freed never calls back. */
struct ask {
	TAILQ_ENTRY(ask) next;
	struct batch *batch;
	batch_fn *fn;
	unsigned index;
};

struct batch *batch_new(struct batch_list *list, struct redis *redis, void (*done)(void *),
			void (*release)(void *), void *arg)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	TAILQ_INIT(&b->asks);
	b->redis = redis;
	b->done = done;
	b->release = release;
	b->arg = arg;
	LIST_INSERT_HEAD(list, b, all);
	return b;
}

static void batch_free(struct batch *b)
{
	struct ask *a;

	while ((a = TAILQ_FIRST(&b->asks))) {
		TAILQ_REMOVE(&b->asks, a, next);
		free(a);
	}
	LIST_REMOVE(b, all);
	if (b->release)
		b->release(b->arg);
	free(b);
}

static void on_reply(const struct redisReply *reply, void *arg)
{
	struct ask *a = arg;
	struct batch *b = a->batch;

	a->fn(reply, b->arg, a->index);
	if (--b->open)
		return;
	b->done(b->arg);
	batch_free(b);
}

static struct ask *ask_new(struct batch *b, batch_fn *fn, unsigned index)
{
	struct ask *a = xcalloc(1, sizeof(*a));

	a->batch = b;
	a->fn = fn;
	a->index = index;
	TAILQ_INSERT_TAIL(&b->asks, a, next);
	b->open++;
	return a;
}

void batch_add(struct batch *b, const struct redis_cmd *cmd, batch_fn *fn, unsigned index)
{
	redis_send(b->redis, cmd, on_reply, ask_new(b, fn, index));
}

void batch_add_script(struct batch *b, struct redis_script *script, const struct redis_cmd *cmd,
		      batch_fn *fn, unsigned index)
{
	redis_send_script(b->redis, script, cmd, on_reply, ask_new(b, fn, index));
}

void batch_drop_all(struct batch_list *list)
{
	while (!LIST_EMPTY(list))
		batch_free(LIST_FIRST(list));
}

#include "dispatcher/afresh.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/redis.h"
#include "dispatcher/base_watch.h"
#include "dispatcher/policy.h"
#include "dispatcher/work.h"

bool afresh_by_hand(const char *trigger)
{
	/* GitHub's word, and GitLab's: for the API, for a person, for another project. */
	static const char *const words[] = { "workflow_dispatch", "repository_dispatch", "api",
					     "web", "trigger" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], trigger) == 0)
			return true;
	return false;
}

void afresh_wish(struct task *t, const struct policy_answer *policy, struct api_afresh *out)
{
	const struct healer *healer = healer_find(t->plan.strategy);

	*out = (struct api_afresh){
		.branch = t->run.branch,
		.sha = t->run.sha,
		.pipeline_id = t->run.pipeline_id,
		.trigger = t->run.trigger,
		.head_repo = t->run.head_repo,
		.base = base_watch_base(&t->run),
		.inputs = policy ? policy->larger_runner : NULL,
		.n_inputs = policy ? policy->n_larger_runner : 0,
		.since_ms = (int64_t)t->plan.created_at_ms,
		.updated = healer && healer->of_proposals,
	};
}

bool afresh_is_other(const struct task *t, const struct provider_api *ops)
{
	const struct healer *h = healer_find(t->plan.strategy);

	return h && h->afresh && ops && ops->find_afresh;
}

struct asked {
	struct task *t;
	void (*then)(struct task *, const struct afresh_known *);
};

static void on_hash(const struct redisReply *reply, void *arg)
{
	struct asked *q = arg;
	struct task *t = q->t;
	const char *diagnosed = redis_str(redis_at(reply, 0));
	const char *category = redis_str(redis_at(reply, 1));
	const char *print = redis_str(redis_at(reply, 2));
	const struct afresh_known known = {
		.diagnosed = diagnosed && strcmp(diagnosed, "0") != 0,
		.category = arena_strdup(t->arena, category ? category : ""),
		.fingerprint = arena_strdup(t->arena, print ? print : ""),
	};

	t->asked--;
	q->then(t, &known);
}

/* In the same repository, so in the same partition. */
void afresh_ask(struct task *t, unsigned long long other_run,
		void (*then)(struct task *, const struct afresh_known *))
{
	struct asked *q = arena_alloc(t->arena, sizeof(*q));
	const char *colon = strrchr(t->ref, ':');
	char key[KEY_MAX], ref[ITEM_MAX];

	*q = (struct asked){ t, then };
	(void)snprintf(ref, sizeof(ref), "%.*s:%llu", (int)(colon ? colon - t->ref : 0), t->ref,
		       other_run);
	key_part_of(&t->e->ks, t->partition, "run", ref, key);
	t->asked++;
	redis_send_args(t->e->writer, on_hash, q, "HMGET", key, "finding_generation", "category",
			"fingerprint", (char *)NULL);
}

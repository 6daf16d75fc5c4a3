#include "dispatcher/budget.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/redis.h"
#include "dispatcher/policy.h"
#include "dispatcher/work.h"

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS, MINUTE_MS = 60 * 1000 };

void budget_pipeline_key(const struct task *t, char out[static KEY_MAX])
{
	char name[160];

	(void)snprintf(name, sizeof(name), "budget:pipeline:%s:%" PRIu64 ":%" PRIu64 ":%" PRId64,
		       t->run.source, t->run.repo_id, t->run.pipeline_id, task_now_ms(t) / HOUR_MS);
	key_region(&t->e->ks, name, out);
}

void budget_minutes_key(const struct task *t, char out[static KEY_MAX])
{
	char name[160];

	(void)snprintf(name, sizeof(name), "budget:minutes:%s:%" PRIu64 ":%" PRId64, t->run.source,
		       t->run.repo_id, task_now_ms(t) / DAY_MS);
	key_region(&t->e->ks, name, out);
}

void budget_fleet_key(const struct task *t, char out[static KEY_MAX])
{
	char name[64];

	(void)snprintf(name, sizeof(name), "budget:fleet:%" PRId64, task_now_ms(t) / HOUR_MS);
	key_region(&t->e->ks, name, out);
}

static void add(struct task *t, const char *key, const char *field, int64_t by, int ttl_s)
{
	char number[24], ttl[24];

	(void)snprintf(number, sizeof(number), "%" PRId64, by);
	(void)snprintf(ttl, sizeof(ttl), "%d", ttl_s);
	if (field)
		redis_send_args(t->e->writer, NULL, NULL, "HINCRBY", key, field, number,
				(char *)NULL);
	else
		redis_send_args(t->e->writer, NULL, NULL, "INCRBY", key, number, (char *)NULL);
	redis_send_args(t->e->writer, NULL, NULL, "EXPIRE", key, ttl, (char *)NULL);
}

void budget_failed(struct task *t)
{
	char key[KEY_MAX];

	if (policy_fleet_percent(t->e->policy) == 0)
		return;
	budget_fleet_key(t, key);
	add(t, key, "failed", 1, BUDGET_HOUR_TTL_S);
}

void budget_spent(struct task *t)
{
	int64_t ms = task_now_ms(t) - (int64_t)t->plan.sent_at_ms;
	char key[KEY_MAX];

	if (t->plan.sent_at_ms == 0 || ms <= 0)
		return;
	budget_minutes_key(t, key);
	add(t, key, NULL, (ms + MINUTE_MS - 1) / MINUTE_MS, BUDGET_DAY_TTL_S);
}

/*
 * A circuit breaker per provider host, shared by all dispatchers of the region through Redis: a
 * provider that does not answer, or limits us, is asked by nobody but one probe at a time
 * (docs/adr/0014-breaker.md). Work that waits for it is held: that costs it no tries.
 */
#ifndef GUARD_DISPATCHER_BREAKER_H
#define GUARD_DISPATCHER_BREAKER_H

#include <stdint.h>

#include "core/keys.h"
#include "healers/provider_api.h"

struct engine;
struct redis_cmd;
struct redisReply;
struct task;

/* Every reply of a provider; give it to api_watch() with the engine. */
void breaker_observe(void *engine, const char *host, enum api_news, uint64_t limit_key,
		     int64_t for_ms);

/*
 * Before a task asks the provider of its run: go(task) follows when it may. Else the task is held,
 * and starts anew later.
 */
void breaker_ask(struct task *, void (*go)(struct task *));
/*
 * After a call failed that may be tried again: held when the whole provider is in trouble,
 * otherwise retry(task, at_least_ms, why) follows.
 */
void breaker_retry(struct task *, int64_t at_least_ms, const char *why,
		   void (*retry)(struct task *, int64_t at_least_ms, const char *why));

/* For scripts that ask by themselves: the key of the run's provider, and the field of its limit. */
enum { BREAKER_FIELD_MAX = 48 };
void breaker_key(const struct task *, char key[static KEY_MAX]);
void breaker_limit_field(uint64_t limit_key, char out[static BREAKER_FIELD_MAX]);
/* Holds the task: the provider will not be asked for so long. */
void breaker_hold(struct task *, int64_t left_ms, const char *why);

#endif

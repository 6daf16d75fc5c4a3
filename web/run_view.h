/* What the API says about a run, a plan, an outcome and a dead letter: JSON from Redis' hashes. */
#ifndef GUARD_WEB_RUN_VIEW_H
#define GUARD_WEB_RUN_VIEW_H

#include <stdbool.h>

struct json_object;
struct redisReply;

/*
 * One word for where a run stands: "queued", "running", "passed", "ended" (cancelled, skipped,
 * or re-run by somebody else), "diagnosing", "healing", "healed", "observed", "needs_you".
 */
const char *run_view_state(const struct redisReply *hash);
bool run_view_state_known(const char *state);

/* New references. `hash` is a flat [name, value, ...] list; NULL when the hash is empty. */
struct json_object *run_view_json(const char *ref, const struct redisReply *hash);
struct json_object *run_view_plan_json(const struct redisReply *hash);
/* `entry` is a stream entry: [id, [name, value, ...]]. */
struct json_object *run_view_outcome_json(const struct redisReply *entry);
struct json_object *run_view_dead_json(const struct redisReply *entry);

#endif

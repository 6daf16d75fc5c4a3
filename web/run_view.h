/* What the API says about a run, a plan, an outcome and a dead letter: JSON from Redis' hashes. */
#ifndef GUARD_WEB_RUN_VIEW_H
#define GUARD_WEB_RUN_VIEW_H

#include <stdbool.h>
#include <stdint.h>

struct json_object;
struct redisReply;

/*
 * One word for where a run stands: "queued", "running", "passed", "ended" (cancelled, skipped,
 * or re-run by somebody else), "diagnosing", "healing", "healed", "observed", "needs_you".
 */
const char *run_view_state(const struct redisReply *hash);
bool run_view_state_known(const char *state);

/*
 * What people call a generation: "attempt 2" (GitHub), "build 57" (Jenkins), "retry 1" (GitLab,
 * where it is the id of a job and says nothing); "" when there is nothing to say. `reruns`: how
 * often the guard had run it again by then; -1: not known. `generation` is decimal.
 */
enum { ATTEMPT_TEXT_MAX = 40 };
void run_view_attempt(const char *provider, const char *generation, int64_t reruns,
		      char out[static ATTEMPT_TEXT_MAX]);
/* Of a hash with `provider`, `generation` and `reruns`: a run, a plan, an outcome. */
void run_view_attempt_of(const struct redisReply *hash, char out[static ATTEMPT_TEXT_MAX]);

/* New references. `hash` is a flat [name, value, ...] list; NULL when the hash is empty. */
struct json_object *run_view_json(const char *ref, const struct redisReply *hash);
struct json_object *run_view_plan_json(const struct redisReply *hash);
/* `entry` is a stream entry: [id, [name, value, ...]]. */
struct json_object *run_view_outcome_json(const struct redisReply *entry);
struct json_object *run_view_dead_json(const struct redisReply *entry);

#endif

/* One run as people and programs see it: what failed, why, what was intended, what came of it. */
#ifndef GUARD_CLI_RUN_VIEW_H
#define GUARD_CLI_RUN_VIEW_H

#include <stdint.h>

#include "core/err.h"

struct json_object;
struct query;
struct redisReply;

/* HGETALL of the run; ERR_INPUT when Redis does not know it (any more). */
int run_view_load(struct query *, const char *ref, struct redisReply **out,
		  struct err *) MUST_CHECK;

/* A field of it, "" when missing; borrowed. */
const char *run_field(const struct redisReply *run, const char *name);
int64_t run_number_field(const struct redisReply *run, const char *name);

/* One word for where it stands: "healed", "awaiting", "diagnosing", "failure", "running", ... */
const char *run_state(const struct redisReply *run);
/* One sentence for why it stands there; "" when there is nothing to say. Borrowed. */
const char *run_why(const struct redisReply *run);

/* The line of a run in a list. New reference. */
struct json_object *run_row_json(const char *ref, const struct redisReply *run);

/* Everything about it, plan included; the plan's reply may be NULL or empty. */
void run_view_print(const char *ref, const struct redisReply *run, const struct redisReply *plan);
struct json_object *run_view_json(const char *ref, const struct redisReply *run,
				  const struct redisReply *plan);

#endif

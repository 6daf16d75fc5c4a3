/* One run for people: what failed, why, what was intended, what came of it. */
#ifndef GUARD_CLI_RUN_PRINT_H
#define GUARD_CLI_RUN_PRINT_H

#include <stdint.h>

#include "core/err.h"

struct query;
struct redisReply;

/* HGETALL of the run; ERR_INPUT when Redis does not know it (any more). */
int run_load(struct query *, const char *ref, struct redisReply **out, struct err *) MUST_CHECK;

/* A field of it, "" when missing; borrowed. */
const char *run_field(const struct redisReply *run, const char *name);
int64_t run_number(const struct redisReply *run, const char *name);

/* One sentence for why it stands where it does; "" when there is nothing to say. Borrowed. */
const char *run_why(const struct redisReply *run);

/* Everything about it, plan included; the plan's reply may be NULL or empty. */
void run_print(const char *ref, const struct redisReply *run, const struct redisReply *plan);

#endif

/* What harness.c, client.c and product.c know of a rig; tests do not. */
#ifndef GUARD_TESTS_RIG_H
#define GUARD_TESTS_RIG_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/integration/harness.h"

struct arena;
struct redisContext;

struct rig {
	rig_test_fn *fn;
	bool passed;
	struct arena *arena;
	char folder[96];
	struct kept {
		struct kept *next;
		struct json_object *json;
	} * kept;
	struct hidden {
		struct hidden *next;
		const char *text, *name;
	} * hidden;
	struct proc *procs;

	const char *redis_socket, *redis_dir;
	struct proc *redis_proc;
	struct redisContext *redis;
	struct redisReply *reply;

	const char *secret_file, *token_file; /* NULL until written */
	int receiver_port, receiver_admin_port, simulator_port;
};

/* NULL when it is none. */
struct json_object *rig_try_json(struct rig *, const char *text, size_t n);

#endif

/*
 * Bytes of a Redis connection: hiredis' reader, then everything of ours that takes what it
 * made apart. Whatever the reply is, nothing reads past it, and what is taken is in order.
 */
#include <inttypes.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "core/ci_event.h"
#include "core/enqueue.h"
#include "core/keys.h"
#include "core/mem.h"
#include "core/redis.h"
#include "dispatcher/record.h"
#include "tests/fuzz/fuzz.h"

static void walk(const struct redisReply *reply, int depth)
{
	size_t n = redis_len(reply);
	const char *s = redis_str(reply);

	FUZZ_ASSERT(depth < 16);
	FUZZ_ASSERT(!s || strlen(s) <= n);
	FUZZ_ASSERT(*redis_why(reply) || redis_is_error(reply, NULL));
	FUZZ_ASSERT(!redis_at(reply, n));
	FUZZ_ASSERT(redis_int(reply, 7) == redis_int(reply, 7));
	for (size_t i = 0; i < n && redis_at(reply, 0); i++)
		walk(redis_at(reply, i), depth + 1);
}

#define TERMINATED(a) (memchr((a), '\0', sizeof(a)) != NULL)

/* An event that was decoded can be named, put into keys and encoded again. */
static void check_event(const struct redisReply *reply)
{
	const struct keyspace ks = { "local", 4 };
	struct ci_event ev;
	struct err err = { 0 };
	struct redis_cmd cmd;
	char ref[RUN_REF_MAX], key[KEY_MAX];

	if (ci_event_decode(reply, &ev, &err) < 0) {
		FUZZ_ASSERT(err.kind == ERR_INPUT && *err.msg);
		return;
	}
	FUZZ_ASSERT(TERMINATED(ev.provider) && TERMINATED(ev.source) && TERMINATED(ev.delivery) &&
		    TERMINATED(ev.repo) && TERMINATED(ev.job) && TERMINATED(ev.sha));
	FUZZ_ASSERT(!strchr(ev.source, ':') && ev.run_id <= INT64_MAX && ev.repo_id <= INT64_MAX);
	ci_event_run_ref(&ev, ref);
	FUZZ_ASSERT(key_partition_of_ref(&ks, ref) == key_partition(&ks, ev.source, ev.repo_id));
	key_part_of(&ks, 0, "run", ref, key);
	redis_cmd_init(&cmd);
	ci_event_encode(&ev, &cmd);
	enqueue_fit(&ev);
	FUZZ_ASSERT(*ci_kind_name(ev.kind) && *ci_status_name(ev.status));
}

static void check_records(const struct redisReply *reply)
{
	OWNED(arena_freep) struct arena *arena = arena_new();
	struct run run;
	struct plan plan;
	struct api_run api;

	run_read(reply, arena, &run);
	plan_read(reply, arena, &plan);
	run_api(&run, &api);
	FUZZ_ASSERT(run.repo && run.finding && run.awaiting && api.repo == run.repo);
	FUZZ_ASSERT(plan.id && plan.run && plan.state && plan.trace);
}

static void check_enqueue(const struct redisReply *reply)
{
	const struct keyspace ks = { "local", 1 };
	const char *id = NULL;
	enum enqueue_result got = enqueue_result(reply, &id);
	struct err err = { 0 };

	FUZZ_ASSERT(id && (got == ENQUEUE_FAILED || redis_str(redis_at(reply, 1)) == id ||
			   redis_str(reply) == id));
	if (enqueue_layout(reply, &ks, &err) < 0)
		FUZZ_ASSERT(err.kind == ERR_TRANSIENT || err.kind == ERR_CONFIG);
}

/* hiredis allocates what an array announces; a Redis that lies so is beyond this target. */
static int announces_too_much(const uint8_t *data, size_t size)
{
	size_t digits = 0;

	for (size_t i = 0; i < size; i++) {
		digits = data[i] >= '0' && data[i] <= '9' ? digits + 1 : 0;
		if (digits > 4)
			return memchr(data, '*', size) != NULL;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	redisReader *reader;
	void *reply = NULL;

	if (announces_too_much(data, size))
		return 0;
	reader = redisReaderCreate();
	FUZZ_ASSERT(reader);
	/* At most 16 KiB at a time, as the connection feeds it. */
	for (size_t at = 0; at < size; at += 16384) {
		size_t n = size - at < 16384 ? size - at : 16384;

		if (redisReaderFeed(reader, (const char *)data + at, n) != REDIS_OK)
			break;
		while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
			walk(reply, 0);
			check_event(reply);
			check_records(reply);
			check_enqueue(reply);
			redis_reply_free(reply);
			reply = NULL;
		}
	}
	redisReaderFree(reader);
	walk(NULL, 0);
	return 0;
}

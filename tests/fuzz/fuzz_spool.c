/*
 * A segment file of the spool, and a record of it: what is on disk may be damaged in any way.
 * Every byte is part of a record, damage, or a record that was cut off at the end; what is
 * found is what was written; and whatever it is, handing it to Redis does not go beyond it.
 */
#include <string.h>

#include <event2/event.h>

#include "core/buf.h"
#include "core/enqueue.h"
#include "core/keys.h"
#include "core/mem.h"
#include "core/redis.h"
#include "receiver/spool_segment.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 64 << 10 };

static struct redis *redis;

static void on_reply(const struct redisReply *reply, void *arg)
{
	UNUSED(reply);
	UNUSED(arg);
}

static void check_record(const char *data, size_t n)
{
	static const struct keyspace ks = { "local", 4 };
	struct enqueue_text t;
	size_t at = 0, was = 0;
	struct err err = { 0 };

	while (enqueue_next_text(data, n, &at, &t)) {
		FUZZ_ASSERT(at > was && at <= n && t.data >= data && t.data + t.n == data + at);
		was = at;
	}
	if (enqueue_send(redis, &ks, data, n, on_reply, NULL, &err) < 0) {
		FUZZ_ASSERT(err.kind == ERR_INPUT && *err.msg);
		enqueue_unreadable(redis, &ks, data, n, err.msg, on_reply, NULL);
	}
}

/* Framed again it is byte for byte what lies there. */
static void check_frame(const struct spool_record *r, const char *there)
{
	OWNED(buf_done) struct buf again;

	buf_init(&again, SPOOL_RECORD_MAX + SEGMENT_RECORD_HEAD);
	segment_frame(&again, r->data, r->n, r->at_ms);
	FUZZ_ASSERT(again.len == SEGMENT_RECORD_HEAD + r->n);
	FUZZ_ASSERT(memcmp(again.data, there, again.len) == 0);
}

static size_t walk(const char *data, size_t n)
{
	size_t at = 0, end = 0, whole = 0, found = 0;
	uint64_t damaged = 0;
	struct spool_record r;

	while (segment_next(data, n, &at, &r, &damaged)) {
		FUZZ_ASSERT(at > end && at <= n && r.data + r.n == data + at);
		check_frame(&r, data + at - r.n - SEGMENT_RECORD_HEAD);
		check_record(r.data, r.n);
		whole += r.n + SEGMENT_RECORD_HEAD;
		end = at;
		found++;
		FUZZ_ASSERT(whole + damaged == end);
	}
	FUZZ_ASSERT(at == n);
	/* Left over is at most one that was cut off, right behind the last one. */
	FUZZ_ASSERT(whole + damaged == n ||
		    (whole + damaged == end &&
		     memcmp(data + end, "PGR1", n - end < 4 ? n - end : 4) == 0));
	return found;
}

/* The input as records of a file, of which one byte is flipped: the others are found. */
static void damage_one(const char *data, size_t n)
{
	OWNED(buf_done) struct buf file;
	size_t third = n / 3, hit;

	buf_init(&file, INPUT_MAX + 4 * SEGMENT_RECORD_HEAD);
	segment_frame(&file, data, third, 1);
	segment_frame(&file, data + third, third, 2);
	segment_frame(&file, data + 2 * third, n - 2 * third, 3);
	FUZZ_ASSERT(walk(file.data, file.len) == 3);
	hit = ((size_t)(unsigned char)data[0] << 8 | (unsigned char)data[n - 1]) % file.len;
	file.data[hit] ^= 1;
	/* What it was made of may hold whole records, which are found in a damaged one. */
	FUZZ_ASSERT(walk(file.data, file.len) >= 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_base *base;
	struct err err;

	if (size > INPUT_MAX)
		return 0;
	if (!base)
		base = event_base_new();
	/* Never connected: it keeps what it is given until it goes. */
	FUZZ_ASSERT(base && redis_new(base, "unix:///nonexistent", 1000, &redis, &err) == 0);
	(void)walk((const char *)data, size);
	check_record((const char *)data, size);
	if (size)
		damage_one((const char *)data, size);
	redis_free(redis);
	return 0;
}

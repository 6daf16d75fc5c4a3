/*
 * What providers said at last, by address: the ETag that makes the next question cheap. An entry
 * is used until it is older than its time, and then only for as long as nine in ten
 * reads would be spared by it, so rare questions profit too; after that the answer is read in full,
 * whatever a provider thinks of its own ETags and whatever Redis forgot meanwhile.
 */
#ifndef GUARD_DISPATCHER_READ_CACHE_H
#define GUARD_DISPATCHER_READ_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base.h"

enum { READ_CACHE_ETAG_MAX = 128 };

struct read_cache;

struct read_cache *read_cache_new(size_t max_entries, int64_t ttl_ms) MUST_CHECK;
void read_cache_free(struct read_cache *);
DEFINE_OWNED(struct read_cache, read_cache_free)
/* Nothing is known any more; the hit rate stays. */
void read_cache_clear(struct read_cache *);

/* The ETag to ask with, "" for none. `note` is what was kept with it. */
const char *read_cache_find(struct read_cache *, const char *address, int64_t now_ms,
			    uint32_t *note);
/* What came back, once everything in it is safe. An ETag that is "" or too long is not kept. */
void read_cache_store(struct read_cache *, const char *address, const char *etag, uint32_t note,
		      int64_t now_ms);
void read_cache_forget(struct read_cache *, const char *address);

/* Every answered read is one of the two. */
void read_cache_count(struct read_cache *, bool hit);
/* Of the last reads, at most 256; -1 before the first. */
double read_cache_hit_rate(const struct read_cache *);

#endif

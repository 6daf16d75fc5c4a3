#include "dispatcher/read_cache.h"

#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/mem.h"

enum { WINDOW = 256, USES_AT_LEAST = 9 };

struct entry {
	uint64_t id; /* of the address; 0: free */
	int64_t stored_ms;
	uint32_t uses, note;
	char etag[READ_CACHE_ETAG_MAX];
};

struct read_cache {
	size_t max, hand;
	int64_t ttl_ms;
	struct entry *entries;
	bool hit[WINDOW];
	size_t reads; /* of all time */
};

struct read_cache *read_cache_new(size_t max_entries, int64_t ttl_ms)
{
	struct read_cache *c = xcalloc(1, sizeof(*c));

	c->max = max_entries;
	c->ttl_ms = ttl_ms;
	c->entries = xcalloc(max_entries, sizeof(*c->entries));
	return c;
}

void read_cache_free(struct read_cache *c)
{
	if (!c)
		return;
	free(c->entries);
	free(c);
}

void read_cache_clear(struct read_cache *c)
{
	memset(c->entries, 0, c->max * sizeof(*c->entries));
}

/* A few hundred entries, each asked for every half minute: a walk is cheap enough. */
static struct entry *find(struct read_cache *c, const char *address)
{
	uint64_t id = sha256_id(address, strlen(address));

	for (size_t i = 0; i < c->max; i++)
		if (c->entries[i].id == id)
			return &c->entries[i];
	return NULL;
}

const char *read_cache_find(struct read_cache *c, const char *address, int64_t now_ms,
			    uint32_t *note)
{
	struct entry *e = find(c, address);

	if (note)
		*note = 0;
	if (!e)
		return "";
	if (now_ms - e->stored_ms > c->ttl_ms && e->uses >= USES_AT_LEAST) {
		e->id = 0;
		return "";
	}
	e->uses++;
	if (note)
		*note = e->note;
	return e->etag;
}

void read_cache_store(struct read_cache *c, const char *address, const char *etag, uint32_t note,
		      int64_t now_ms)
{
	struct entry *e = find(c, address);

	if (!*etag || strlen(etag) >= sizeof(e->etag)) {
		if (e)
			e->id = 0;
		return;
	}
	for (size_t i = 0; !e && i < c->max; i++)
		if (!c->entries[i].id)
			e = &c->entries[i];
	if (!e) {
		c->hand = c->hand < c->max ? c->hand : 0;
		e = &c->entries[c->hand++];
	}
	*e = (struct entry){ .id = sha256_id(address, strlen(address)),
			     .stored_ms = now_ms,
			     .note = note };
	memcpy(e->etag, etag, strlen(etag));
}

void read_cache_forget(struct read_cache *c, const char *address)
{
	struct entry *e = find(c, address);

	if (e)
		e->id = 0;
}

void read_cache_count(struct read_cache *c, bool hit)
{
	c->hit[c->reads++ % WINDOW] = hit;
}

double read_cache_hit_rate(const struct read_cache *c)
{
	size_t n = c->reads < WINDOW ? c->reads : WINDOW, hits = 0;

	for (size_t i = 0; i < n; i++)
		hits += c->hit[i];
	return n ? (double)hits / (double)n : -1;
}

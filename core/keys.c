#include "core/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void checked(int n)
{
	if (n < 0 || n >= KEY_MAX)
		abort();
}

void key_part(const struct keyspace *ks, unsigned partition, const char *name,
	      char out[static KEY_MAX])
{
	checked(snprintf(out, KEY_MAX, "pg:{%s:%u}:%s", ks->region, partition, name));
}

void key_part_of(const struct keyspace *ks, unsigned partition, const char *name, const char *rest,
		 char out[static KEY_MAX])
{
	checked(snprintf(out, KEY_MAX, "pg:{%s:%u}:%s:%s", ks->region, partition, name, rest));
}

void key_region(const struct keyspace *ks, const char *name, char out[static KEY_MAX])
{
	checked(snprintf(out, KEY_MAX, "pg:{%s}:%s", ks->region, name));
}

/* FNV-1a, 64 bits (draft-eastlake-fnv): small, well spread, and fixed for ever by the data. */
static uint64_t fnv1a(uint64_t h, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
	return h;
}

static unsigned partition_of(const struct keyspace *ks, const char *identity, size_t n)
{
	return ks->partitions > 1
		       ? (unsigned)(fnv1a(0xcbf29ce484222325u, identity, n) % ks->partitions)
		       : 0;
}

unsigned key_partition(const struct keyspace *ks, const char *source, uint64_t repo_id)
{
	char identity[96];
	int n = snprintf(identity, sizeof(identity), "%s:%" PRIu64, source, repo_id);

	if (n < 0 || (size_t)n >= sizeof(identity))
		abort();
	return partition_of(ks, identity, (size_t)n);
}

unsigned key_partition_of_ref(const struct keyspace *ks, const char *ref)
{
	const char *colon = strchr(ref, ':');

	if (colon)
		colon = strchr(colon + 1, ':');
	return partition_of(ks, ref, colon ? (size_t)(colon - ref) : strlen(ref));
}

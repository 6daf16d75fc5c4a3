#include "core/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By hand: a webhook takes several keys, and printf was a thirtieth of its time. */
static void join(char out[static KEY_MAX], const char *const *parts, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		size_t more = strlen(parts[i]);

		if (more >= KEY_MAX - len)
			abort();
		memcpy(out + len, parts[i], more);
		len += more;
	}
	out[len] = '\0';
}

enum { DIGITS_MAX = 12 };

static const char *digits_of(unsigned v, char out[static DIGITS_MAX])
{
	char *p = out + DIGITS_MAX - 1;

	*p = '\0';
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return p;
}

void key_part(const struct keyspace *ks, unsigned partition, const char *name,
	      char out[static KEY_MAX])
{
	char digits[DIGITS_MAX];
	const char *const parts[] = { "pg:{", ks->region, ":", digits_of(partition, digits),
				      "}:",   name };

	join(out, parts, ARRAY_LEN(parts));
}

void key_part_of(const struct keyspace *ks, unsigned partition, const char *name, const char *rest,
		 char out[static KEY_MAX])
{
	char digits[DIGITS_MAX];
	const char *const parts[] = { "pg:{", ks->region, ":", digits_of(partition, digits),
				      "}:",   name,       ":", rest };

	join(out, parts, ARRAY_LEN(parts));
}

void key_region(const struct keyspace *ks, const char *name, char out[static KEY_MAX])
{
	const char *const parts[] = { "pg:{", ks->region, "}:", name };

	join(out, parts, ARRAY_LEN(parts));
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
	int n;

	if (ks->partitions <= 1)
		return 0;
	n = snprintf(identity, sizeof(identity), "%s:%" PRIu64, source, repo_id);

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

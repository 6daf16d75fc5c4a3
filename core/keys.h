/* Names of Redis keys (docs/streams.md). Everything that changes together shares
 * {REGION:PARTITION}. */
#ifndef GUARD_CORE_KEYS_H
#define GUARD_CORE_KEYS_H

#include <stdint.h>

#include "core/base.h"

enum { KEY_MAX = 320 };

struct keyspace {
	char region[32];
	unsigned partitions; /* at least 1 */
};

/* "pg:{R:P}:NAME" and "pg:{R:P}:NAME:REST". Identities are capped, so they always fit. */
void key_part(const struct keyspace *, unsigned partition, const char *name,
	      char out[static KEY_MAX]);
void key_part_of(const struct keyspace *, unsigned partition, const char *name, const char *rest,
		 char out[static KEY_MAX]);
/* "pg:{R}:NAME": region-wide. */
void key_region(const struct keyspace *, const char *name, char out[static KEY_MAX]);

/* Partition of a repository: stable over releases, part of the data format. */
unsigned key_partition(const struct keyspace *, const char *source, uint64_t repo_id);
/* The same from a run reference "source:repo:run" or a plan id "source:repo:run:generation". */
unsigned key_partition_of_ref(const struct keyspace *, const char *ref);

#endif

/*
 * Compiled patterns on disk, because compiling them takes most of a second. What is
 * read back is executed as it stands, so only a file that nobody else can have written
 * is looked at; one that does not fit in every byte is as good as none.
 */
#ifndef GUARD_DISPATCHER_RULE_CACHE_H
#define GUARD_DISPATCHER_RULE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base.h"
#include "core/crypto.h"

enum {
	RULE_CACHE_PATH_MAX = 1024,
	RULE_CACHE_BYTES_MAX = 64 << 20,
	/* A folder holds this many sets; another one takes the place of one of them. */
	RULE_CACHE_SLOTS = 8,
};

/* One entry: what the engine compiled, and the rules that it could not take. */
struct rule_cache_entry {
	const char *data; /* aligned for any type */
	size_t n;
	const uint32_t *left_out;
	size_t n_left_out;
	void *memory; /* owns both */
};

/*
 * The folder `cache` of data_dir, else $XDG_CACHE_HOME/pipeline-guard, else
 * ~/.cache/pipeline-guard. False when there is none. Does not touch the disk.
 */
bool rule_cache_folder(const char *data_dir, char out[static RULE_CACHE_PATH_MAX]);

/* False when there is no entry of that key that can be trusted. */
bool rule_cache_read(const char *folder, const unsigned char key[static SHA256_BYTES],
		     struct rule_cache_entry *out) MUST_CHECK;
/* Makes the folder (0700) when it is missing; false when it could not be kept. */
bool rule_cache_write(const char *folder, const unsigned char key[static SHA256_BYTES],
		      const struct rule_cache_entry *entry);
void rule_cache_entry_done(struct rule_cache_entry *); /* also fits OWNED() */

#endif

/*
 * Records that vouch for each other: each one of a writer is numbered, names the MAC of the one
 * before it, and has one of its own, HMAC-SHA256 over all of its fields. Changing, leaving out or
 * moving one breaks what follows. Pure: no I/O.
 */
#ifndef GUARD_CORE_AUDIT_CHAIN_H
#define GUARD_CORE_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/crypto.h"

enum {
	AUDIT_FIELDS_MAX = 24,
	AUDIT_VALUE_MAX = 400, /* bytes kept of one value */
	AUDIT_MAC_HEX = 2 * SHA256_BYTES,
	AUDIT_KEY_ID_HEX = 8,
	AUDIT_KEYS_MAX = 8,
	AUDIT_WRITER_MAX = 100,
	AUDIT_THROUGH_MAX = 14, /* told by one record */
};

struct audit_pair {
	const char *name, *value;
};

/* In the order in which they are stored; "mac" is not among them. */
struct audit_record {
	struct audit_pair pairs[AUDIT_FIELDS_MAX];
	size_t n;
};

/* NULL when it is not there. */
const char *audit_field(const struct audit_record *, const char *name);

/* What a key is called in records; tells nothing about it. */
void audit_key_id(const char *key, char out[static AUDIT_KEY_ID_HEX + 1]);
void audit_mac(const char *key, const struct audit_record *, char out[static AUDIT_MAC_HEX + 1]);

/* --- trimming ------------------------------------------------------------------ */

/* The last record of a writer that was trimmed, as a record `trimmed` tells it. */
struct audit_through {
	char writer[AUDIT_WRITER_MAX], mac[AUDIT_MAC_HEX + 1], key[AUDIT_KEY_ID_HEX + 1];
	uint64_t seq;
	int64_t at_ms;
};
/* False: the record is not whole. */
bool audit_through_of(const struct audit_record *, const char *mac, struct audit_through *);
void audit_through_write(const struct audit_through *, char out[static AUDIT_VALUE_MAX]);
/* What the i-th field of a record tells of it; false: nothing. */
bool audit_through_read(const struct audit_record *, size_t i, struct audit_through *);

/* --- checking ---------------------------------------------------------------- */

enum audit_fault {
	AUDIT_GOOD,
	AUDIT_REPEATED, /* the same record once more, unchanged: harmless */
	AUDIT_CHANGED,  /* its MAC is wrong */
	AUDIT_NO_KEY,   /* made with a key that we do not have */
	AUDIT_MISSING,  /* records before it are missing */
	AUDIT_MOVED,    /* it belongs before the last one */
	AUDIT_FOREIGN,  /* it does not follow the one before it */
};

/* Made with one of the keys, and unchanged. */
bool audit_genuine(const struct audit_record *, const char *mac, const char *const *keys,
		   size_t n_keys);

/* What is known of one writer so far; zero it first. */
struct audit_check {
	uint64_t seq;
	char mac[AUDIT_MAC_HEX + 1];
};

/*
 * The next record that was read of a writer. Goes on after a fault, so that every fault is found
 * once. A first record with a number over 1 is AUDIT_MISSING, too: only the caller knows whether
 * what came before was trimmed.
 */
enum audit_fault audit_check(struct audit_check *, const struct audit_record *, const char *mac,
			     const char *const *keys, size_t n_keys);

#endif

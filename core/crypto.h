/* Digests, MACs and encodings over OpenSSL; nothing here is our own cryptography. */
#ifndef GUARD_CORE_CRYPTO_H
#define GUARD_CORE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/base.h"

enum { SHA256_BYTES = 32, SHA256_HEX = 64 };

void sha256(const void *data, size_t n, unsigned char out[static SHA256_BYTES]);
void hmac_sha256(const void *key, size_t key_len, const void *data, size_t n,
		 unsigned char out[static SHA256_BYTES]);

/* The same over several pieces, as if they were one. */
struct bytes {
	const void *data;
	size_t n;
};
void hmac_sha256_of(const void *key, size_t key_len, const struct bytes *pieces, size_t n_pieces,
		    unsigned char out[static SHA256_BYTES]);

/* 63 bits of SHA-256, never 0: a stable number for what others name by text. */
uint64_t sha256_id(const void *data, size_t n);

enum { ED25519_KEY_BYTES = 32, ED25519_SIGNATURE_BYTES = 64 };
bool ed25519_verify(const unsigned char key[static ED25519_KEY_BYTES],
		    const unsigned char signature[static ED25519_SIGNATURE_BYTES], const void *data,
		    size_t n);

/* 40 lower-case hex digits, terminated. For identifiers that others define by SHA-1, never for
 * trust. */
void sha1_hex(const void *data, size_t n, char out[static 41]);

/* Constant time in the contents; lengths may be learned. */
bool secret_equal(const void *a, size_t a_len, const void *b, size_t b_len);

/* A secret is wiped before its memory is anybody's again; NULL is fine. */
void secret_free(char *s);
static inline void secret_freep(char **s)
{
	secret_free(*s);
}

/* Lower-case hex, terminated: out has 2*n+1 bytes. */
void hex_encode(const void *data, size_t n, char *out);
/* Exactly 2*n hex digits, either case; false otherwise. */
bool hex_decode(const char *hex, size_t hex_len, unsigned char *out, size_t n);

/* Standard alphabet with padding; malloc'ed, terminated. */
char *base64_encode(const void *data, size_t n) ALLOCATES;
/* URL alphabet without padding (RFC 4648 section 5), as JWT wants it. */
char *base64url_encode(const void *data, size_t n) ALLOCATES;

/* Standard alphabet, padding complete or left out; false when it is neither or does not fit. */
bool base64_decode(const char *s, size_t n, unsigned char *out, size_t cap, size_t *len);

/* Aborts if the system has no randomness, as all of these. */
void random_bytes(void *out, size_t n);
/* n random bytes as 2*n hex digits, terminated. */
void random_hex(char *out, size_t n);
/* Uniform in [0, below); for jitter, not for secrets. */
unsigned random_below(unsigned below);

#endif

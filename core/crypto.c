#include "core/crypto.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "core/mem.h"

/* Fetched once: EVP_sha256() looks the implementation up again at every use in OpenSSL 3. */
static const EVP_MD *sha256_md(void)
{
	static EVP_MD *md;

	if (!md)
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!md)
		abort();
	return md;
}

void sha256(const void *data, size_t n, unsigned char out[static SHA256_BYTES])
{
	if (EVP_Digest(data, n, out, NULL, sha256_md(), NULL) != 1)
		abort();
}

void sha1_hex(const void *data, size_t n, char out[static 41])
{
	unsigned char md[20];

	if (EVP_Digest(data, n, md, NULL, EVP_sha1(), NULL) != 1)
		abort();
	hex_encode(md, sizeof(md), out);
}

/* Made once: HMAC() would look algorithm and digest up by name for each webhook. */
static EVP_MAC_CTX *hmac_ctx(void)
{
	static EVP_MAC_CTX *ctx;
	static char digest[] = "SHA256";
	const OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string("digest", digest, 0),
				      OSSL_PARAM_construct_end() };
	EVP_MAC *mac;

	if (ctx)
		return ctx;
	mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
	if (!ctx || EVP_MAC_CTX_set_params(ctx, params) != 1)
		abort();
	EVP_MAC_free(mac);
	return ctx;
}

void hmac_sha256_of(const void *key, size_t key_len, const struct bytes *pieces, size_t n_pieces,
		    unsigned char out[static SHA256_BYTES])
{
	EVP_MAC_CTX *ctx = hmac_ctx();
	size_t len = 0;

	if (EVP_MAC_init(ctx, key, key_len, NULL) != 1)
		abort();
	for (size_t i = 0; i < n_pieces; i++)
		if (pieces[i].n && EVP_MAC_update(ctx, pieces[i].data, pieces[i].n) != 1)
			abort();
	if (EVP_MAC_final(ctx, out, &len, SHA256_BYTES) != 1 || len != SHA256_BYTES)
		abort();
}

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t n,
		 unsigned char out[static SHA256_BYTES])
{
	hmac_sha256_of(key, key_len, &(struct bytes){ data, n }, 1, out);
}

uint64_t sha256_id(const void *data, size_t n)
{
	unsigned char digest[SHA256_BYTES];
	uint64_t id = 0;

	sha256(data, n, digest);
	for (size_t i = 0; i < 8; i++)
		id = id << 8 | digest[i];
	id &= INT64_MAX;
	return id ? id : 1;
}

bool ed25519_verify(const unsigned char key[static ED25519_KEY_BYTES],
		    const unsigned char signature[static ED25519_SIGNATURE_BYTES], const void *data,
		    size_t n)
{
	EVP_PKEY *pkey =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_KEY_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good;

	if (!ctx)
		abort();
	good = pkey && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
	       EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE_BYTES, data, n) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good;
}

void secret_free(char *s)
{
	if (s)
		OPENSSL_cleanse(s, strlen(s));
	free(s);
}

bool secret_equal(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0;
}

void hex_encode(const void *data, size_t n, char *out)
{
	static const char digit[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digit[p[i] >> 4];
		out[2 * i + 1] = digit[p[i] & 15];
	}
	out[2 * n] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(const char *hex, size_t hex_len, unsigned char *out, size_t n)
{
	if (hex_len != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(hex[2 * i]), lo = hex_value(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		out[i] = (unsigned char)(hi << 4 | lo);
	}
	return true;
}

char *base64_encode(const void *data, size_t n)
{
	char *out = xmalloc((n + 2) / 3 * 4 + 1);

	(void)EVP_EncodeBlock((unsigned char *)out, data, (int)n);
	return out;
}

char *base64url_encode(const void *data, size_t n)
{
	char *out = base64_encode(data, n);

	for (char *p = out; *p; p++) {
		if (*p == '+')
			*p = '-';
		else if (*p == '/')
			*p = '_';
		else if (*p == '=') {
			*p = '\0';
			break;
		}
	}
	return out;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

bool base64_decode(const char *s, size_t n, unsigned char *out, size_t cap, size_t *len)
{
	size_t padded = n, left, k = 0;
	uint32_t word = 0;

	while (n && padded - n < 2 && s[n - 1] == '=')
		n--;
	left = n % 4;
	if (left == 1 || (padded != n && padded % 4) || n / 4 * 3 + (left ? left - 1 : 0) > cap)
		return false;
	for (size_t i = 0; i < n; i++) {
		int v = base64_value(s[i]);

		if (v < 0)
			return false;
		word = word << 6 | (uint32_t)v;
		if (i % 4 == 0)
			continue;
		/* The bits beyond the last whole byte stay in `word`. */
		out[k++] = (unsigned char)(word >> (6 - 2 * (i % 4)));
	}
	/* A second spelling of the same bytes is not accepted. */
	if ((left == 2 && (word & 15)) || (left == 3 && (word & 3)))
		return false;
	*len = k;
	return true;
}

void random_bytes(void *out, size_t n)
{
	/* Beyond 256 bytes a signal may cut it short. */
	for (size_t got = 0; got < n;) {
		ssize_t more = getrandom((char *)out + got, n - got, 0);

		if (more < 0 && errno != EINTR)
			abort();
		got += more > 0 ? (size_t)more : 0;
	}
}

void random_hex(char *out, size_t n)
{
	unsigned char raw[64];

	if (n > sizeof(raw))
		abort();
	random_bytes(raw, n);
	hex_encode(raw, n, out);
	OPENSSL_cleanse(raw, sizeof(raw));
}

unsigned random_below(unsigned below)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return below ? (unsigned)(v % below) : 0;
}

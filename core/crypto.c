#include "core/crypto.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

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

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t n,
		 unsigned char out[static SHA256_BYTES])
{
	unsigned len = SHA256_BYTES;

	if (!HMAC(sha256_md(), key, (int)key_len, data, n, out, &len))
		abort();
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

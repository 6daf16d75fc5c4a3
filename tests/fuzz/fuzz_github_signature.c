/* First line: the header; the rest: the body. Nobody guesses an HMAC, so nothing verifies but the
 * real one. */
#include "core/crypto.h"
#include "core/mem.h"
#include "receiver/auth.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/hooks.h"

static const char secret[] = "It's a Secret to Everybody";

static struct auth *auth_with_secret(void)
{
	static struct auth a;
	struct err err;

	if (!a.n_keys)
		FUZZ_ASSERT(auth_init(&a, "github-hmac", &err) == 0 &&
			    auth_add_secret(&a, secret, false, &err) == 0);
	return &a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
	size_t n = nl ? (size_t)(nl - data) : size;
	OWNED(freep) char *header = n ? xstrndup((const char *)data, n) : xstrdup("");
	struct hook_header headers[] = { { "x-hub-signature-256", header }, { NULL, NULL } };
	struct webhook hook = hook_of(headers, NULL, 0);
	const struct auth none = { 0 };
	unsigned char mac[SHA256_BYTES];
	char right[7 + SHA256_HEX + 1] = "sha256=";

	hook.body = nl ? (const char *)nl + 1 : NULL;
	hook.body_len = nl ? size - n - 1 : 0;
	hmac_sha256(secret, strlen(secret), hook.body ? hook.body : "", hook.body_len, mac);
	hex_encode(mac, sizeof(mac), right + 7);
	FUZZ_ASSERT((auth_verify(auth_with_secret(), &hook) != NULL) ==
		    (strncmp(header, right, 7) == 0 && strcasecmp(header + 7, right + 7) == 0));
	FUZZ_ASSERT(!auth_verify(&none, &hook));
	headers[0].value = right;
	FUZZ_ASSERT(auth_verify(auth_with_secret(), &hook));
	headers[0].name = "x-hub-signature";
	FUZZ_ASSERT(!auth_verify(auth_with_secret(), &hook));
	return 0;
}

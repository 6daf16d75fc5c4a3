/* First line: the header; the rest: the body. Nobody guesses an HMAC, so nothing verifies but the
 * real one. */
#include <string.h>
#include <strings.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "receiver/provider.h"
#include "tests/fuzz/fuzz.h"

static const char secret[] = "It's a Secret to Everybody";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
	size_t n = nl ? (size_t)(nl - data) : size;
	OWNED(freep) char *header = n ? xstrndup((const char *)data, n) : xstrdup("");
	struct webhook hook = { .signature = header,
				.body = nl ? (const char *)nl + 1 : NULL,
				.body_len = nl ? size - n - 1 : 0 };
	unsigned char mac[SHA256_BYTES];
	char right[7 + SHA256_HEX + 1] = "sha256=";

	hmac_sha256(secret, strlen(secret), hook.body ? hook.body : "", hook.body_len, mac);
	hex_encode(mac, sizeof(mac), right + 7);
	FUZZ_ASSERT(provider_github.verify(&hook, secret) ==
		    (strncmp(header, right, 7) == 0 && strcasecmp(header + 7, right + 7) == 0));
	FUZZ_ASSERT(!provider_github.verify(&hook, ""));
	hook.signature = right;
	FUZZ_ASSERT(provider_github.verify(&hook, secret));
	hook.signature = NULL;
	FUZZ_ASSERT(!provider_github.verify(&hook, secret));
	return 0;
}

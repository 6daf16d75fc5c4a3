#include "core/standard_webhooks.h"

#include <inttypes.h>
#include <string.h>

#include <openssl/crypto.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "core/text.h"

enum { KEY_BYTES_MAX = 256 };

static int read_key(const char *secret, unsigned char key[static KEY_BYTES_MAX], size_t *n,
		    struct err *err)
{
	const char *text = secret + (text_starts(secret, "whsec_") ? strlen("whsec_") : 0);

	if (!text_starts(secret, "whpk_") &&
	    base64_decode(text, strlen(text), key, KEY_BYTES_MAX, n) && *n > 0)
		return 0;
	return err_set(err, ERR_CONFIG,
		       "to sign as Standard Webhooks has it, it takes a key that starts with "
		       "whsec_");
}

int standard_webhooks_check(const char *secret, struct err *err)
{
	unsigned char key[KEY_BYTES_MAX];
	size_t n = 0;
	int rc = read_key(secret, key, &n, err);

	OPENSSL_cleanse(key, sizeof(key));
	return rc;
}

int standard_webhooks_sign(const char *secret, const char *id, int64_t time_s, const void *body,
			   size_t n, char **signature, struct err *err)
{
	OWNED(freep) char *time = xasprintf("%" PRId64, time_s);
	OWNED(freep) char *encoded = NULL;
	unsigned char key[KEY_BYTES_MAX], mac[SHA256_BYTES];
	const struct bytes pieces[] = {
		{ id, strlen(id) }, { ".", 1 }, { time, strlen(time) }, { ".", 1 }, { body, n }
	};
	size_t key_len = 0;

	if (read_key(secret, key, &key_len, err) < 0)
		return -1;
	hmac_sha256_of(key, key_len, pieces, ARRAY_LEN(pieces), mac);
	OPENSSL_cleanse(key, sizeof(key));
	encoded = base64_encode(mac, sizeof(mac));
	*signature = xasprintf("v1,%s", encoded);
	return 0;
}

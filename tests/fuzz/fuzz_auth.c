/*
 * Headers ("Name: value" lines), an empty line, a body: as a source with every way to
 * authenticate sees it. Whatever passes must really hold the secret, as found out in another
 * way than the verifier's.
 */
#include <openssl/evp.h>

#include "core/buf.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "receiver/address.h"
#include "receiver/auth.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/hooks.h"

enum { HEADERS_MAX = 16 };

static const char token[] = "key", key[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		  public_key[] = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
static const int64_t now_ms = INT64_C(1614265330) * 1000;

static const struct auth *auth_all(void)
{
	static struct auth a;
	struct err err;

	if (a.n_keys)
		return &a;
	FUZZ_ASSERT(auth_init(&a,
			      "standard-webhooks, gitlab-token, hmac, bearer, basic, secret-path",
			      &err) == 0);
	FUZZ_ASSERT(auth_add_secret(&a, token, false, &err) == 0 &&
		    auth_add_secret(&a, key, false, &err) == 0 &&
		    auth_add_secret(&a, public_key, false, &err) == 0);
	a.tolerance_ms = 300000;
	(void)strncpy(a.header, "X-Hub-Signature-256", sizeof(a.header) - 1);
	return &a;
}

static const char *text_of(const struct webhook *hook, const char *name)
{
	const char *s = webhook_header(hook, name, 0);

	FUZZ_ASSERT(s && !webhook_header(hook, name, 1));
	return s;
}

/* "v1,<mac>" is somewhere in the list, or there is a signature that only the owner can make. */
static void check_standard(const struct webhook *hook)
{
	OWNED(buf_done) struct buf all;
	const char *list = text_of(hook, "webhook-signature");
	unsigned char secret[64], mac[SHA256_BYTES];
	char want[64] = "v1,";
	int n;

	buf_init(&all, 1 << 20);
	buf_printf(&all, "%s.%s.", text_of(hook, "webhook-id"), text_of(hook, "webhook-timestamp"));
	buf_append(&all, hook->body, hook->body_len);
	n = EVP_DecodeBlock(secret, (const unsigned char *)key + 6, (int)strlen(key) - 6);
	hmac_sha256(secret, (size_t)n, all.data, all.len, mac);
	(void)EVP_EncodeBlock((unsigned char *)want + 3, mac, sizeof(mac));
	want[3 + 43] = '\0'; /* the padding may be left out */
	FUZZ_ASSERT(strstr(list, want) || strstr(list, "v1a,"));
}

static void check_pass(const struct webhook *hook, const char *scheme)
{
	unsigned char mac[SHA256_BYTES];
	char hex[SHA256_HEX + 1], base64[64];

	if (strcmp(scheme, "standard-webhooks") == 0) {
		check_standard(hook);
	} else if (strcmp(scheme, "gitlab-token") == 0) {
		FUZZ_ASSERT(strcmp(text_of(hook, "X-Gitlab-Token"), token) == 0);
	} else if (strcmp(scheme, "hmac") == 0) {
		const char *sent = text_of(hook, "X-Hub-Signature-256");

		hmac_sha256(token, strlen(token), hook->body, hook->body_len, mac);
		hex_encode(mac, sizeof(mac), hex);
		(void)EVP_EncodeBlock((unsigned char *)base64, mac, sizeof(mac));
		base64[43] = '\0';
		FUZZ_ASSERT(strcasestr(sent, hex) || strstr(sent, base64));
	} else if (strcmp(scheme, "bearer") == 0) {
		FUZZ_ASSERT(strcmp(strrchr(text_of(hook, "Authorization"), ' ') + 1, token) == 0);
	} else if (strcmp(scheme, "basic") == 0) {
		FUZZ_ASSERT(strlen(text_of(hook, "Authorization")) > strlen("Basic "));
	} else {
		FUZZ_ASSERT(strcmp(hook->path_secret, token) == 0);
	}
}

/* Cuts the text into headers; returns what is left for the body. */
static char *split(char *text, struct hook_header *headers)
{
	size_t n = 0;

	while (*text && *text != '\n') {
		char *end = strchrnul(text, '\n'), *colon = memchr(text, ':', (size_t)(end - text));
		bool last = !*end;

		*end = '\0';
		if (colon && n < HEADERS_MAX) {
			*colon = '\0';
			headers[n++] = (struct hook_header){ text, colon + 1 + (colon[1] == ' ') };
		}
		text = last ? end : end + 1;
	}
	return *text ? text + 1 : text;
}

static const char *forwarded(const void *hook, size_t i)
{
	return webhook_header(hook, "X-Forwarded-For", i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNED(freep) char *text = size ? xstrndup((const char *)data, size) : xstrdup("");
	struct hook_header headers[HEADERS_MAX + 1] = { { NULL, NULL } };
	const struct auth none = { 0 };
	const char *body = split(text, headers);
	struct webhook hook = hook_of(headers, body, now_ms);
	struct address_list trusted = { 0 };
	struct address client;
	struct err err;
	const struct auth_scheme *passed;

	hook.path_secret = webhook_header(&hook, "Path-Secret", 0);
	passed = auth_verify(auth_all(), &hook);
	if (passed)
		check_pass(&hook, passed->name);
	FUZZ_ASSERT(!auth_verify(&none, &hook));
	FUZZ_ASSERT(address_list_parse("10.0.0.0/8", &trusted, &err) == 0);
	(void)address_of_client("10.0.0.1", &trusted, forwarded, &hook, &client);
	address_list_done(&trusted);
	/* Any text as a configuration: good, or a reason. */
	if (address_list_parse(body, &trusted, &err) == 0)
		address_list_done(&trusted);
	else
		FUZZ_ASSERT(err.kind == ERR_CONFIG && *err.msg);
	if (auth_check_secret(body, &err) < 0)
		FUZZ_ASSERT(err.kind == ERR_CONFIG);
	return 0;
}

#include "receiver/auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "core/text.h"
#include "receiver/provider.h"

enum {
	BASE64_OF_SHA256 = 44,
	SIGNATURES_MAX = 8, /* in one header: each costs us a verification */
	SIGNING_KEY_MIN = 16,
};

static const char standard_id[] = "webhook-id", standard_time[] = "webhook-timestamp",
		  standard_signature[] = "webhook-signature", authorization[] = "Authorization";

/* --- headers --------------------------------------------------------------- */

/* The header's only value; NULL when it is missing, empty, or there are two to choose from. */
static const char *only_header(const struct webhook *hook, const char *name)
{
	const char *value = webhook_header(hook, name, 0);

	return value && *value && !webhook_header(hook, name, 1) ? value : NULL;
}

static bool header_present(const struct webhook *hook, const char *name)
{
	return webhook_header(hook, name, 0) != NULL;
}

static const void *body_of(const struct webhook *hook)
{
	return hook->body ? hook->body : "";
}

static bool has_key(const struct auth *a, unsigned kinds)
{
	for (size_t i = 0; i < a->n_keys; i++)
		if (a->keys[i].kind & kinds)
			return true;
	return false;
}

/* Seconds since 1970, within the tolerance of now. */
static bool time_ok(const struct auth *a, const struct webhook *hook, const char *seconds)
{
	uint64_t s;
	int64_t off;

	if (!text_to_u64(seconds, &s) || s > INT64_MAX / 1000)
		return false;
	off = hook->now_ms - (int64_t)s * 1000;
	return off <= a->tolerance_ms && off >= -a->tolerance_ms;
}

/* All of them are tried, also after one has matched: the time says nothing about which. */
static bool is_text_key(const struct auth *a, const char *sent)
{
	unsigned matches = 0;

	for (size_t i = 0; i < a->n_keys; i++)
		if (a->keys[i].kind == AUTH_TEXT)
			matches += secret_equal(sent, strlen(sent), a->keys[i].bytes, a->keys[i].n);
	return matches != 0;
}

/* --- github-hmac, hmac ----------------------------------------------------- */

static bool hmac_matches(const struct auth *a, const unsigned char sent[static SHA256_BYTES],
			 const struct webhook *hook, const char *time)
{
	const struct bytes pieces[] = { { time, time ? strlen(time) : 0 },
					{ ".", time != NULL },
					{ body_of(hook), hook->body_len } };
	unsigned matches = 0;

	for (size_t i = 0; i < a->n_keys; i++) {
		unsigned char ours[SHA256_BYTES];

		if (a->keys[i].kind != AUTH_TEXT)
			continue;
		if (time)
			hmac_sha256_of(a->keys[i].bytes, a->keys[i].n, pieces, ARRAY_LEN(pieces),
				       ours);
		else
			hmac_sha256(a->keys[i].bytes, a->keys[i].n, body_of(hook), hook->body_len,
				    ours);
		matches += secret_equal(sent, SHA256_BYTES, ours, sizeof(ours));
	}
	return matches != 0;
}

static bool github_present(const struct auth *a, const struct webhook *hook)
{
	UNUSED(a);
	return header_present(hook, "X-Hub-Signature-256");
}

static bool github_verify(const struct auth *a, const struct webhook *hook)
{
	static const char scheme[] = "sha256=";
	const char *sent = only_header(hook, "X-Hub-Signature-256");
	unsigned char mac[SHA256_BYTES];

	return sent && text_starts(sent, scheme) &&
	       hex_decode(sent + strlen(scheme), strlen(sent) - strlen(scheme), mac, sizeof(mac)) &&
	       hmac_matches(a, mac, hook, NULL);
}

static bool hmac_present(const struct auth *a, const struct webhook *hook)
{
	return header_present(hook, a->header);
}

/* Hex and base64 of 32 bytes differ in length, so there is nothing to configure. */
static bool decode_mac(const char *text, unsigned char mac[static SHA256_BYTES])
{
	size_t n = strlen(text), len;

	if (n == SHA256_HEX)
		return hex_decode(text, n, mac, SHA256_BYTES);
	return base64_decode(text, n, mac, SHA256_BYTES, &len) && len == SHA256_BYTES;
}

static bool hmac_verify(const struct auth *a, const struct webhook *hook)
{
	static const char usual[] = "sha256=";
	const char *sent = only_header(hook, a->header);
	const char *time = *a->timestamp ? only_header(hook, a->timestamp) : NULL;
	const char *prefix = *a->prefix ? a->prefix : usual;
	unsigned char mac[SHA256_BYTES];

	if (!sent || (*a->timestamp && (!time || !time_ok(a, hook, time))))
		return false;
	if (text_starts(sent, prefix))
		sent += strlen(prefix);
	else if (*a->prefix)
		return false;
	return decode_mac(sent, mac) && hmac_matches(a, mac, hook, time);
}

/* --- standard-webhooks ----------------------------------------------------- */

static bool standard_present(const struct auth *a, const struct webhook *hook)
{
	UNUSED(a);
	return header_present(hook, standard_signature);
}

/* One "v1,<base64>" of the list against every key; `n` without the version. */
static unsigned v1_matches(const struct auth *a, const char *sent, size_t n,
			   const struct bytes *signed_bytes, size_t n_pieces)
{
	unsigned matches = 0;

	for (size_t i = 0; i < a->n_keys; i++) {
		unsigned char ours[SHA256_BYTES], theirs[SHA256_BYTES];
		size_t len = 0;

		if (a->keys[i].kind != AUTH_BYTES)
			continue;
		hmac_sha256_of(a->keys[i].bytes, a->keys[i].n, signed_bytes, n_pieces, ours);
		if (base64_decode(sent, n, theirs, sizeof(theirs), &len))
			matches += secret_equal(theirs, len, ours, sizeof(ours));
	}
	return matches;
}

static unsigned v1a_matches(const struct auth *a, const char *sent, size_t n, const char *message,
			    size_t message_len)
{
	unsigned char theirs[ED25519_SIGNATURE_BYTES];
	unsigned matches = 0;
	size_t len = 0;

	if (!base64_decode(sent, n, theirs, sizeof(theirs), &len) || len != sizeof(theirs))
		return 0;
	for (size_t i = 0; i < a->n_keys; i++)
		if (a->keys[i].kind == AUTH_ED25519)
			matches += ed25519_verify(a->keys[i].bytes, theirs, message, message_len);
	return matches;
}

/* id.time.body in one piece, which Ed25519 needs. */
static char *join(const struct bytes *pieces, size_t n_pieces, size_t *len)
{
	size_t n = 0, at = 0;
	char *out;

	for (size_t i = 0; i < n_pieces; i++)
		n += pieces[i].n;
	out = xmalloc(n + 1);
	for (size_t i = 0; i < n_pieces; i++) {
		if (pieces[i].n)
			memcpy(out + at, pieces[i].data, pieces[i].n);
		at += pieces[i].n;
	}
	*len = n;
	return out;
}

/* How many signatures of a list match; too many of them match nothing. */
static unsigned signature_list_matches(const struct auth *a, const char *list,
				       const struct bytes *pieces, size_t n_pieces)
{
	OWNED(freep) char *message = NULL;
	unsigned matches = 0;
	size_t message_len = 0, seen = 0;

	if (has_key(a, AUTH_ED25519))
		message = join(pieces, n_pieces, &message_len);
	for (const char *s = list + strspn(list, " "); *s; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");

		if (++seen > SIGNATURES_MAX)
			return 0;
		if (n > 3 && text_starts(s, "v1,"))
			matches += v1_matches(a, s + 3, n - 3, pieces, n_pieces);
		else if (n > 4 && text_starts(s, "v1a,") && message)
			matches += v1a_matches(a, s + 4, n - 4, message, message_len);
		s += n;
	}
	return matches;
}

static bool standard_verify(const struct auth *a, const struct webhook *hook)
{
	const char *id = only_header(hook, standard_id), *time = only_header(hook, standard_time),
		   *list = only_header(hook, standard_signature);
	const struct bytes pieces[] = { { id, id ? strlen(id) : 0 },
					{ ".", 1 },
					{ time, time ? strlen(time) : 0 },
					{ ".", 1 },
					{ body_of(hook), hook->body_len } };

	return id && time && list && time_ok(a, hook, time) &&
	       signature_list_matches(a, list, pieces, ARRAY_LEN(pieces)) != 0;
}

/* --- tokens ---------------------------------------------------------------- */

static bool gitlab_present(const struct auth *a, const struct webhook *hook)
{
	UNUSED(a);
	return header_present(hook, "X-Gitlab-Token");
}

static bool gitlab_verify(const struct auth *a, const struct webhook *hook)
{
	const char *sent = only_header(hook, "X-Gitlab-Token");

	return sent && is_text_key(a, sent);
}

/* What follows "Bearer " or "Basic "; NULL when it is not that. */
static const char *credentials(const struct webhook *hook, const char *scheme)
{
	const char *value = webhook_header(hook, authorization, 0);
	size_t n = strlen(scheme);

	if (!value || strncasecmp(value, scheme, n) != 0 || value[n] != ' ')
		return NULL;
	return value + n + strspn(value + n, " ");
}

static bool bearer_present(const struct auth *a, const struct webhook *hook)
{
	UNUSED(a);
	return credentials(hook, "Bearer") != NULL;
}

static bool bearer_verify(const struct auth *a, const struct webhook *hook)
{
	return only_header(hook, authorization) && is_text_key(a, credentials(hook, "Bearer"));
}

static bool basic_present(const struct auth *a, const struct webhook *hook)
{
	UNUSED(a);
	return credentials(hook, "Basic") != NULL;
}

static bool basic_verify(const struct auth *a, const struct webhook *hook)
{
	const char *sent = credentials(hook, "Basic");
	unsigned char plain[512];
	size_t n = 0, user;
	const char *colon;
	bool user_ok, password_ok;

	if (!only_header(hook, authorization) ||
	    !base64_decode(sent, strlen(sent), plain, sizeof(plain) - 1, &n) ||
	    memchr(plain, '\0', n))
		return false;
	plain[n] = '\0';
	colon = strchr((const char *)plain, ':');
	if (!colon)
		return false;
	user = (size_t)(colon - (const char *)plain);
	user_ok = !*a->user || secret_equal(plain, user, a->user, strlen(a->user));
	password_ok = is_text_key(a, colon + 1);
	OPENSSL_cleanse(plain, sizeof(plain));
	return user_ok && password_ok;
}

static bool path_present(const struct auth *a, const struct webhook *hook)
{
	UNUSED(a);
	return hook->path_secret != NULL;
}

static bool path_verify(const struct auth *a, const struct webhook *hook)
{
	return is_text_key(a, hook->path_secret);
}

/* --- the table ------------------------------------------------------------- */

static const struct auth_scheme schemes[] = {
	{ "github-hmac", AUTH_TEXT, NULL, github_present, github_verify },
	{ "standard-webhooks", AUTH_BYTES | AUTH_ED25519, NULL, standard_present, standard_verify },
	{ "gitlab-token", AUTH_TEXT, NULL, gitlab_present, gitlab_verify },
	{ "hmac", AUTH_TEXT, NULL, hmac_present, hmac_verify },
	{ "bearer", AUTH_TEXT, "Bearer", bearer_present, bearer_verify },
	{ "basic", AUTH_TEXT, "Basic realm=\"pipeline-guard\"", basic_present, basic_verify },
	{ "secret-path", AUTH_TEXT, NULL, path_present, path_verify },
};

bool auth_signs_id(const struct auth_scheme *s)
{
	return s->verify == standard_verify;
}

const struct auth_scheme *auth_verify(const struct auth *a, const struct webhook *hook)
{
	for (size_t i = 0; i < a->n_schemes; i++) {
		const struct auth_scheme *s = a->schemes[i];

		if (has_key(a, s->kinds) && s->present(a, hook))
			return s->verify(a, hook) ? s : NULL;
	}
	return NULL;
}

bool auth_uses(const struct auth *a, const char *scheme)
{
	for (size_t i = 0; i < a->n_schemes; i++)
		if (strcmp(a->schemes[i]->name, scheme) == 0)
			return true;
	return false;
}

/* --- configuration --------------------------------------------------------- */

static const struct auth_scheme *scheme_find(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (strlen(schemes[i].name) == n && memcmp(schemes[i].name, name, n) == 0)
			return &schemes[i];
	return NULL;
}

int auth_init(struct auth *a, const char *names, struct err *err)
{
	static const char separators[] = ", \t";

	*a = (struct auth){ 0 };
	for (const char *p = names + strspn(names, separators); *p; p += strspn(p, separators)) {
		size_t n = strcspn(p, separators);
		const struct auth_scheme *s = scheme_find(p, n);

		if (!s)
			return err_set(err, ERR_CONFIG,
				       "\"%.*s\" is none of github-hmac, standard-webhooks, "
				       "gitlab-token, hmac, bearer, basic, secret-path",
				       (int)(n < 40 ? n : 40), p);
		if (auth_uses(a, s->name) || a->n_schemes == AUTH_SCHEMES_MAX)
			return err_set(err, ERR_CONFIG, "%s is given twice", s->name);
		a->schemes[a->n_schemes++] = s;
		p += n;
	}
	return a->n_schemes ? 0 : err_set(err, ERR_CONFIG, "no way to authenticate is given");
}

int auth_check_schemes(const char *names, struct err *err)
{
	struct auth a;

	return auth_init(&a, names, err);
}

static int add_key(struct auth *a, enum auth_key_kind kind, const void *bytes, size_t n,
		   struct err *err)
{
	struct auth_key *k = &a->keys[a->n_keys];

	if (a->n_keys == AUTH_KEYS_MAX)
		return err_set(err, ERR_CONFIG, "too many secrets");
	*k = (struct auth_key){ .kind = kind, .n = n, .bytes = xcalloc(1, n + 1) };
	memcpy(k->bytes, bytes, n);
	a->n_keys++;
	return 0;
}

/* "whsec_..." or "whpk_..." -> kind and decoded bytes; 0 when it is neither. */
static int decode_key(const char *secret, unsigned char *bytes, size_t cap, size_t *n,
		      struct err *err)
{
	bool secret_key = text_starts(secret, "whsec_"), public_key = text_starts(secret, "whpk_");
	const char *text = secret + (secret_key ? strlen("whsec_") : strlen("whpk_"));

	if (!secret_key && !public_key)
		return 0;
	if (!base64_decode(text, strlen(text), bytes, cap, n) ||
	    (secret_key && *n < SIGNING_KEY_MIN) || (public_key && *n != ED25519_KEY_BYTES))
		return err_set(err, ERR_CONFIG,
			       "a secret starts like a key of Standard Webhooks "
			       "but is none: copy it again");
	return secret_key ? AUTH_BYTES : AUTH_ED25519;
}

int auth_check_secret(const char *secret, struct err *err)
{
	unsigned char bytes[256];
	size_t n;
	int kind = decode_key(secret, bytes, sizeof(bytes), &n, err);

	OPENSSL_cleanse(bytes, sizeof(bytes));
	return kind < 0 ? -1 : 0;
}

/*
 * A signing key without its prefix is base64 to some programs and plain text to others:
 * both keys are tried, and neither is easier to guess than the secret.
 */
static int add_unmarked_key(struct auth *a, const char *secret, struct err *err)
{
	unsigned char bytes[256];
	size_t n;
	int rc = 0;

	if (base64_decode(secret, strlen(secret), bytes, sizeof(bytes), &n) && n >= SIGNING_KEY_MIN)
		rc = add_key(a, AUTH_BYTES, bytes, n, err);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return rc < 0 ? -1 : add_key(a, AUTH_BYTES, secret, strlen(secret), err);
}

int auth_add_secret(struct auth *a, const char *secret, bool signing, struct err *err)
{
	bool only_signing = a->n_schemes == 1 && !(a->schemes[0]->kinds & AUTH_TEXT);
	unsigned char bytes[256];
	size_t n = 0;
	int kind, rc;

	kind = auth_uses(a, "standard-webhooks") ? decode_key(secret, bytes, sizeof(bytes), &n, err)
						 : 0;
	if (kind < 0)
		return -1;
	if (kind)
		rc = add_key(a, (enum auth_key_kind)kind, bytes, n, err);
	else if (signing || only_signing)
		rc = add_unmarked_key(a, secret, err);
	else
		rc = add_key(a, AUTH_TEXT, secret, strlen(secret), err);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return rc;
}

void auth_done(struct auth *a)
{
	for (size_t i = 0; i < a->n_keys; i++) {
		OPENSSL_cleanse(a->keys[i].bytes, a->keys[i].n);
		free(a->keys[i].bytes);
	}
	*a = (struct auth){ 0 };
}

/*
 * Who may send: the ways a sender proves that it knows a secret of its source.
 * Everything here looks at raw bytes, before anything is parsed, in time that
 * does not depend on how much was right, and answers yes or no without a reason.
 */
#ifndef GUARD_RECEIVER_AUTH_H
#define GUARD_RECEIVER_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct auth;
struct webhook;

enum auth_key_kind {
	AUTH_TEXT = 1,    /* a password, a token, the text of an HMAC key */
	AUTH_BYTES = 2,   /* an HMAC key of Standard Webhooks, decoded */
	AUTH_ED25519 = 4, /* a public key of Standard Webhooks */
};

/* One way; the table is in auth.c. */
struct auth_scheme {
	const char *name;
	unsigned kinds;        /* of keys that it can use */
	const char *challenge; /* for WWW-Authenticate; NULL: there is no such scheme in HTTP */
	/* Whether the request tries this way; verify() is only called then. */
	bool (*present)(const struct auth *, const struct webhook *);
	bool (*verify)(const struct auth *, const struct webhook *) MUST_CHECK;
};

struct auth_key {
	enum auth_key_kind kind;
	size_t n;
	unsigned char *bytes; /* terminated when it is text */
};

enum { AUTH_SCHEMES_MAX = 8, AUTH_KEYS_MAX = 24 };

/* How one source authenticates its sender. */
struct auth {
	const struct auth_scheme *schemes[AUTH_SCHEMES_MAX]; /* the first that is present decides */
	size_t n_schemes;
	struct auth_key keys[AUTH_KEYS_MAX];
	size_t n_keys;
	char header[64];      /* hmac: where the signature is */
	char prefix[32];      /* hmac: what stands before it; "": "sha256=" may */
	char timestamp[64];   /* hmac: header with the time that is signed too; "": none */
	char user[128];       /* basic: "": anybody who knows the password */
	int64_t tolerance_ms; /* how old or new a signed time may be */
};

/* Of "bearer, basic"; ERR_CONFIG names the one that there is not. */
int auth_init(struct auth *, const char *names, struct err *) MUST_CHECK;
/*
 * A secret of any scheme: whsec_ and whpk_ are keys of Standard Webhooks, anything else
 * is text. `signing`: it is a key of Standard Webhooks even without whsec_.
 */
int auth_add_secret(struct auth *, const char *secret, bool signing, struct err *) MUST_CHECK;
void auth_done(struct auth *);

/* Says what is wrong with the form of a secret, without quoting it. */
int auth_check_secret(const char *secret, struct err *) MUST_CHECK;
int auth_check_schemes(const char *names, struct err *) MUST_CHECK;
bool auth_uses(const struct auth *, const char *scheme);

/* The scheme that the webhook passed, NULL when none: then it is not to be believed. */
const struct auth_scheme *auth_verify(const struct auth *, const struct webhook *) MUST_CHECK;
/* That scheme signed the delivery's id, so no other id of the request counts. */
bool auth_signs_id(const struct auth_scheme *);

#endif

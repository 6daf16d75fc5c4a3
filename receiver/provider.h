/* The CI systems we accept webhooks from: one table each, listed in providers.c. */
#ifndef GUARD_RECEIVER_PROVIDER_H
#define GUARD_RECEIVER_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct ci_event;

/* The i-th header of that name, in any case; NULL when there are not that many. */
typedef const char *webhook_header_fn(const void *headers, const char *name, size_t i);

/* One delivery as it arrived. Everything is borrowed and valid until the request was answered. */
struct webhook {
	webhook_header_fn *header;
	const void *headers;
	const char *path_secret; /* /webhooks/PROVIDER/SOURCE/SECRET; NULL when there is none */
	const char *body;        /* the raw bytes that were signed; NULL when empty */
	size_t body_len;
	int64_t now_ms; /* when it arrived */
};

static inline const char *webhook_header(const struct webhook *hook, const char *name, size_t i)
{
	return hook->header(hook->headers, name, i);
}

/* What of the contract's options a provider's default source takes its secrets from. */
struct provider_secret {
	const char *key;
	bool signing; /* a key of Standard Webhooks even without "whsec_" */
};

enum {
	NORMALISED = 0,
	NORMALISE_IGNORED = 1, /* of no use to us; err->msg says why */
};

/*
 * Everything the receiver knows about a provider; the HTTP code never mentions
 * one by name. All functions are pure: no I/O, no logging.
 */
struct provider {
	const char *name; /* "github"; also the path: POST /webhooks/github */

	/* Where the sender says what the event is; NULL: in the body, and topics are "". */
	const char *topic_header;
	/* Headers with the id that a redelivery keeps, best first; NULL ends the list early. */
	const char *delivery_headers[2];
	const char *auth; /* how its sources authenticate unless they are told otherwise */
	struct provider_secret secrets[2];
	const char *dedupe_ttl_key; /* how long an id is remembered; NULL: PROVIDER_DEDUPE_TTL_MS */
	bool takes_form;            /* also payload=... in a form */
	const char *type_hint;      /* what to do when the content type is none of ours; or NULL */

	/* Why events of this topic (never NULL) are of no use to us; NULL when they are, or when
	 * only the body can tell. */
	const char *(*ignores)(const char *topic);
	/*
	 * Fills everything but source, received_at_ms and trace; `delivery` only when it can
	 * be made of the body. `json` is the body, or what the sender wrapped in it. Returns
	 * NORMALISED, NORMALISE_IGNORED or -1; ERR_INPUT: malformed.
	 */
	int (*normalise)(const char *topic, const char *json, size_t n, struct ci_event *out,
			 struct err *) MUST_CHECK;
};

enum { PROVIDER_DEDUPE_TTL_MS = 72 * 3600 * 1000 };

extern const struct provider provider_github, provider_gitlab, provider_jenkins, provider_generic;

/* NULL when there is none of that name (n bytes). */
const struct provider *provider_find(const char *name, size_t n);
/* For tables over all of them; NULL past the end. */
const struct provider *provider_at(size_t i);

/* --- what the files of the family share --- */

/* A sender's word and ours for it; `rows` ends with a NULL word. Any case; NULL: unknown. */
struct word {
	const char *theirs, *ours;
};
const char *word_find(const struct word *rows, const char *theirs);

/* Copies src, cut to fit, when dst is empty. */
void provider_default(char *dst, size_t cap, const char *src);

/*
 * Values that we do not know: a state, or a conclusion of a completed event. They are
 * tolerated and counted.
 */
unsigned provider_unknown_values(const struct ci_event *);

#endif

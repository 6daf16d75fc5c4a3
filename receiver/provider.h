/* The CI systems we accept webhooks from: one table each, listed in providers.c. */
#ifndef GUARD_RECEIVER_PROVIDER_H
#define GUARD_RECEIVER_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct ci_event;

/*
 * One delivery as it arrived. Everything is borrowed and valid until the
 * request was answered. A header that the sender left out is NULL.
 */
struct webhook {
	const char *signature;
	const char *topic;
	const char *delivery;
	const char *body; /* the raw bytes that were signed */
	size_t body_len;
};

/*
 * Everything the receiver knows about a provider; the HTTP code never mentions
 * one by name. All functions are pure: no I/O, no logging. verify() looks at raw
 * bytes only and runs before anything is parsed.
 */
struct provider {
	const char *name; /* "github"; also the path: POST /webhooks/github */

	/* Where the sender puts each part of struct webhook. */
	const char *signature_header, *topic_header, *delivery_header;
	/* Configuration keys: the secrets, and how long a delivery id is remembered. */
	const char *secret_key, *dedupe_ttl_key;

	bool (*verify)(const struct webhook *, const char *secret) MUST_CHECK;
	/* Why events of this topic (never NULL) are of no use to us; NULL when they are. */
	const char *(*ignores)(const char *topic);
	/*
	 * Fills everything but source, delivery, received_at_ms and trace. `json` is the
	 * body, or what the sender wrapped in it. ERR_INPUT: malformed.
	 */
	int (*normalise)(const char *topic, const char *json, size_t n, struct ci_event *out,
			 struct err *) MUST_CHECK;
};

extern const struct provider provider_github;

/* NULL when there is none of that name (n bytes). */
const struct provider *provider_find(const char *name, size_t n);
/* For tables over all of them; NULL past the end. */
const struct provider *provider_at(size_t i);

#endif

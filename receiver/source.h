/*
 * Sources: the places that may send us webhooks, each with a provider, secrets
 * and limits of its own. One per provider is always there; more are named under
 * `sources:` in the configuration.
 */
#ifndef GUARD_RECEIVER_SOURCE_H
#define GUARD_RECEIVER_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/conf.h"
#include "receiver/address.h"
#include "receiver/auth.h"

struct metric;
struct provider;

extern const struct conf_table sources_conf;

/* What became of a webhook; also the label of its metric. */
enum webhook_result {
	RESULT_ACCEPTED,
	RESULT_DUPLICATE,
	RESULT_IGNORED,
	RESULT_QUARANTINED,
	RESULT_UNAUTHORIZED,
	RESULT_REFUSED,
	RESULT_LIMITED,
	RESULT_UNAVAILABLE,
	RESULT_COUNT,
};
const char *webhook_result_name(enum webhook_result);

/* Something that is logged once in a while, with how often it happened. */
struct quiet {
	int64_t times, logged_ms;
};

/* Lets `per_s` through on average and `burst` at once; per_s 0: everything. */
struct bucket {
	int64_t per_s, burst;
	int64_t level; /* thousandths */
	int64_t at_ms; /* when that was so; 0: never used */
};
/* 0: go on; otherwise the ms until one may. */
int64_t bucket_take(struct bucket *, int64_t now_ms);

struct source {
	char name[32];
	const struct provider *provider;
	struct auth auth; /* without keys nothing is believed */
	struct address_list allow;
	size_t max_body;
	int64_t dedupe_ttl_ms;
	struct bucket rate;
	/* Of the intake; made at first use. */
	struct metric *received[RESULT_COUNT], *unknown;
	struct quiet refused, unavailable;
};

struct sources;

/* ERR_CONFIG names the option, and where it was given. */
int sources_new(const struct conf *, struct sources **out, struct err *) MUST_CHECK;
void sources_free(struct sources *);
DEFINE_OWNED(struct sources, sources_free)
/* Takes the secrets over from the conf again; on failure those of before stay, all of them. */
int sources_reload_secrets(struct sources *, const struct conf *, struct err *) MUST_CHECK;

/* NULL past the end; the order is that of the providers, then of the configuration. */
struct source *sources_at(struct sources *, size_t i);
/* Proxies whose X-Forwarded-For is believed. */
const struct address_list *sources_trusted(const struct sources *);
/*
 * The source of "/webhooks/PROVIDER[/SOURCE[/SECRET]]", percent-decoded; NULL when there is
 * none. *secret: NULL when the path has none. Borrowed from the path.
 */
struct source *sources_find(struct sources *, const char *path, const char **secret);
/* Largest body that a request for this path may have, for the HTTP server. */
size_t sources_max_body(const char *path, void *sources);

#endif

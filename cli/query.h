/*
 * What commands ask Redis, one question after the other. Finds the private
 * Redis of a running `start` when none is configured.
 */
#ifndef GUARD_CLI_QUERY_H
#define GUARD_CLI_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/keys.h"
#include "core/redis.h"

struct conf;
struct event_base;

struct query {
	struct event_base *base;
	struct redis *redis;
	struct keyspace ks; /* partitions as the data says, not the configuration */
	char where[256];    /* for people; without a password */
	char mode[16], mode_why[120];
	bool used; /* the region has data */
};

/* For a private Redis conf gets the audit settings of its `start`, unless it has its own. */
int query_open(struct conf *, struct query **out, struct err *) MUST_CHECK;
void query_close(struct query *);
DEFINE_OWNED(struct query, query_close)

int query_send(struct query *, const struct redis_cmd *, struct redisReply **out,
	       struct err *) MUST_CHECK;
/* The same from a NULL-terminated list of strings. */
int query_ask(struct query *, struct redisReply **out, struct err *, ...)
	__attribute__((sentinel)) MUST_CHECK;
/* A script; NOSCRIPT is taken care of. */
int query_script(struct query *, struct redis_script *, const struct redis_cmd *,
		 struct redisReply **out, struct err *) MUST_CHECK;

/* Lets the loop run for so long. */
void query_wait(struct query *, int64_t ms);

/* Wall clock of an entry id "1700000000000-0"; 0 when it is none. */
int64_t query_id_ms(const char *id);

/* "source:repository id:run id". */
bool query_is_ref(const char *text);

enum { QUERY_REF_MAX = 160 };
/*
 * Which run is meant: a reference, a plan, the provider's run id, or the address of
 * the run's page. ERR_INPUT when there is none, or several.
 */
int query_find_run(struct query *, const char *what, char ref[static QUERY_REF_MAX],
		   struct err *) MUST_CHECK;

/* The stop switch: why nothing acts, "" when it is off. */
int query_stop(struct query *, char why[static 200], struct err *) MUST_CHECK;

/*
 * Records in the audit log what the command did, and waits until it is there. The pairs are
 * "field", "value", ..., NULL.
 */
int query_audit(struct query *, const struct conf *, struct err *, const char *what,
		const char *const *pairs) MUST_CHECK;

/* A Redis URL as it may be shown: without user and password. */
void query_url_shown(const char *url, char out[static 256]);

#endif

/*
 * Incidents: what fails in many repositories at once (docs/incidents.md). One field of the hash
 * pg:{R}:incidents per subject, with what is known as JSON. Dispatchers open and end them by
 * themselves; here is what a person orders, from the page's API and from the command.
 */
#ifndef GUARD_CORE_INCIDENT_H
#define GUARD_CORE_INCIDENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/keys.h"
#include "core/redis.h"

enum {
	INCIDENT_SUBJECT_MAX = 140,
	INCIDENT_HOST_MAX = 100,
	INCIDENTS_MAX = 100, /* at the same time */
	INCIDENT_FOR_MS = 3600 * 1000,
	INCIDENT_FOR_MAX_MS = 7 * 24 * 3600 * 1000,
};

/* `by` of what no person did. */
#define INCIDENT_BY_ITSELF "dispatcher"

/* What plans can have in common: "fp:FINGERPRINT", "host:NAME", "category:NAME[/SUBCATEGORY]". */
int incident_subject_check(const char *subject, struct err *) MUST_CHECK;

struct incident_order {
	const char *word; /* "open", "extend" or "close" */
	const char *subject, *reason, *by;
	int64_t for_ms; /* open, extend: nothing is tried before; 0: INCIDENT_FOR_MS */
	bool now;       /* close: what waits goes at once, not bit by bit */
};

/*
 * What changed is put into the stream pg:{R}:incident:news by the script that changes it, so that
 * exactly one tells it and a crash loses nothing; dispatchers hand it to the channels of
 * notifications. Wants `now`; `r` is the incident as it is stored.
 */
#define INCIDENT_NEWS_LUA                                                                       \
	"local function incident_news(key, word, r, by, reason) "                               \
	"  redis.call('XADD', key, 'MAXLEN', '~', 1000, '*', 'v', 1, 'word', word, 'subject', " \
	"    r.subject or '', 'opened_ms', r.opened_ms or 0, 'repositories', "                  \
	"    r.repositories or 0, 'by', by, 'reason', reason, 'at_ms', now) "                   \
	"end "
void incident_news_key(const struct keyspace *, char key[static KEY_MAX]);

extern struct redis_script incident_order_script;

struct incident_cmd {
	struct redis_cmd cmd;
	char key[KEY_MAX], seen[KEY_MAX], news[KEY_MAX]; /* which cmd borrows */
};
/*
 * The texts of the order are borrowed until it is sent. The answer is a word: "opened",
 * "extended", "released", "closed"; or "exists", "none", "full" when nothing was changed.
 */
void incident_cmd(struct incident_cmd *, const struct keyspace *, const struct incident_order *);
/* "2h" into for_ms, "" into 0; refuses what is longer than INCIDENT_FOR_MAX_MS. */
int incident_for(const char *duration, int64_t *for_ms, struct err *) MUST_CHECK;
/* What to say when nothing was changed; NULL for a word that says it was. */
const char *incident_refusal(const char *word);

#endif

/*
 * Addresses that answer a suggestion: "approve this plan, until then", signed with approve.key.
 * Whoever has one may do just that, and once: a plan that was answered is suggested no more.
 */
#ifndef GUARD_CORE_APPROVE_LINK_H
#define GUARD_CORE_APPROVE_LINK_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct conf;
struct http_request;

enum { APPROVE_PLAN_MAX = 160, APPROVE_CHANNEL_MAX = 80 };

#define APPROVE_LINK_PATH "/answer"

struct approve_link {
	char plan[APPROVE_PLAN_MAX];
	char channel[APPROVE_CHANNEL_MAX]; /* that it was given to */
	bool approve;                      /* else reject */
	int64_t until_s;
};

/* "answer?plan=...": what follows the address of the page, and its slash. */
void approve_link_put(const char *key, const struct approve_link *, struct buf *out);

enum approve_link_fate {
	APPROVE_LINK_GOOD,
	APPROVE_LINK_WRONG, /* not signed with a key of ours, or not whole */
	APPROVE_LINK_EXPIRED,
};
/* What the query of a request says. Nothing of `out` is to be believed unless it is good. */
enum approve_link_fate approve_link_read(const struct conf *, const struct http_request *,
					 int64_t now_s, struct approve_link *out);

#endif

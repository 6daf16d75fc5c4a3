/* How an answer leaves when it is meant to go wrong, or to be late. */
#ifndef GUARD_TESTS_REPLY_H
#define GUARD_TESTS_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/simulator/sim.h"

/* A request on its way to its handler. */
struct ask {
	struct sim *sim;
	struct http_request *http;
	struct fault *fault;
	struct caller caller;
	bool of_github; /* its ways of saying no */
	void (*serve)(struct ask *);
	struct event *timer; /* while it waits */
	struct ask *next, **link;

	/* From the path. */
	const void *route;
	char repo[NAME_MAX_BYTES];
	char rest[1024]; /* any text of it */
	uint64_t ids[2];
};

struct ask *ask_new(struct sim *, struct http_request *, void (*serve)(struct ask *));
/* After ms, or at once. */
void ask_start(struct ask *, int64_t ms);
void ask_free(struct ask *);

/* Takes the fault for this call, if one is due; true when that was the whole answer. */
bool ask_fault(struct ask *, enum call, uint64_t run);

/* Answers, or does what the fault makes of it; the ask is gone. */
void ask_reply(struct ask *, int status, const char *type, const char *body, size_t n);
/* With an ETag; a reader who has this version already gets 304, which costs nothing when `free`. */
void ask_reply_cached(struct ask *, const char *json, size_t n, bool free);
void ask_reply_json(struct ask *, int status, const char *json);
/* "per_page" and "page" of the query. */
struct page {
	uint64_t per_page, number; /* number from 1 */
};
struct page ask_page(struct ask *, uint64_t otherwise);
/* Link: prev, next, last, first. */
void ask_link(struct ask *, const struct page *, uint64_t total);
/* GitHub's {"message","documentation_url"}. */
void ask_refuse(struct ask *, int status, const char *message, const char *page);

#endif

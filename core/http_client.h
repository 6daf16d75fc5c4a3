/*
 * Outgoing HTTP: libcurl's multi interface on the event loop. One callback per
 * call, exactly once, always from the loop. Redirects are followed by us, so
 * that credentials never reach another host.
 */
#ifndef GUARD_CORE_HTTP_CLIENT_H
#define GUARD_CORE_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct event_base;
struct http_client;
struct tail_buf;
struct http_call;
struct sockaddr;

struct http_client *http_client_new(struct event_base *, const char *user_agent);
/* Running calls are cancelled. */
void http_client_free(struct http_client *);
DEFINE_OWNED(struct http_client, http_client_free)

enum { HTTP_HEADERS_MAX = 12 };
struct http_call_options {
	const char *method; /* "GET", "POST", ... */
	const char *url;    /* http or https only */
	/* "Name: value"; borrowed during http_call_start() only. Sent to the first host. */
	const char *headers[HTTP_HEADERS_MAX];
	/* "Authorization: ..."; dropped as soon as a redirect changes scheme, host or port. */
	const char *authorization;
	const char *body;
	size_t body_len;
	int64_t timeout_ms;     /* whole call, redirects included; 0: 30 s */
	size_t max_body_bytes;  /* 0: 4 MiB */
	bool keep_tail;         /* over the cap: keep the last bytes instead of failing */
	unsigned max_redirects; /* 0: a 3xx is the answer */
	/*
	 * On a connection of its own: when a kept one breaks before any answer, libcurl sends
	 * the request again by itself, and for a call that acts that may be the second time.
	 */
	bool once;
	/*
	 * Not NULL: asked before each connection, also of redirects, with the address that the name
	 * has at that moment; false refuses it. For URLs that strangers may have chosen:
	 * net_is_public of core/net_scope.h. Such a call goes through no proxy and shares no
	 * connection.
	 */
	bool (*may_connect)(const struct sockaddr *, void *arg);
	void *may_connect_arg; /* must live as long as the call */
};

/*
 * Borrowed, valid during the callback. status 0: no answer, see error. A status
 * together with an error is an answer of no use: the body is over the cap, or
 * it is a redirect that must not be followed (docs/adr/0005). An error never
 * holds a header value; final_url may be a signed link, so it is not for logs.
 */
struct http_reply {
	int status;
	const char *error; /* NULL when there was a whole answer */
	const char *body;  /* terminated, never NULL */
	size_t body_len;
	/*
	 * Of the body, which may be moved away, then the last to use. A good answer that lost its
	 * front is only there, to be read piece by piece, and its body is "".
	 */
	struct tail_buf *memory;
	uint64_t dropped_bytes;   /* with keep_tail: how many were cut off the front */
	uint64_t dropped_lines;   /* ... and the newlines among them */
	const char *content_type; /* "" when absent */
	const char *etag;         /* "" when absent */
	const char *link;         /* Link, as it was sent; "" when absent */
	const char *location;     /* "" when absent; may be relative, and is not for logs */
	const char *cookies;      /* "a=1; b=2" as a Cookie header has it; "" when absent; secret */
	int64_t retry_after_ms;   /* from Retry-After (seconds or date); -1 when absent */
	int64_t rate_remaining;   /* x-ratelimit-remaining or RateLimit-Remaining; -1 when absent */
	int64_t rate_reset_at_ms; /* from x-ratelimit-reset, RateLimit-Reset (s); -1 when absent */
	const char *final_url;
};
typedef void http_done_fn(const struct http_reply *, void *arg);

/* Never NULL: what cannot even start is reported through fn, later, with status 0. */
struct http_call *http_call_start(struct http_client *, const struct http_call_options *,
				  http_done_fn *, void *arg);
/* fn is not called any more; NULL is fine. For a call that has not reported yet. */
void http_call_cancel(struct http_call *);

/*
 * Retry-After, as seconds or as an HTTP date: ms from now_ms (wall clock), 0 for
 * a date gone by, a week at most; -1 when it is neither.
 */
int64_t http_retry_after_ms(const char *value, int64_t now_ms);

/* What an http or https URL without user info says; ERR_INPUT for anything else. */
struct http_origin {
	bool tls;
	bool loopback;  /* localhost, 127.0.0.0/8 or ::1, by its spelling */
	char host[256]; /* lower case; an IPv6 address keeps its brackets */
	char port[6];
};
int http_origin_of(const char *url, struct http_origin *out, struct err *) MUST_CHECK;

#endif

/*
 * One HTTP/1.x request at a time out of a stream of bytes. No sockets in here:
 * the server feeds it, and so do the fuzzers. The protocol itself is the work of
 * llhttp or http_parser (docs/adr/0003); caps, framing rules and decoding are ours.
 */
#ifndef GUARD_CORE_HTTP_PARSE_H
#define GUARD_CORE_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base.h"

struct http_parse;
struct http_request;

enum http_parse_result {
	HTTP_PARSE_MORE, /* all bytes taken, the request goes on */
	HTTP_PARSE_DONE, /* complete; the bytes after it were not taken */
	HTTP_PARSE_FAIL, /* answer http_parse_status() and close */
};

struct http_parse_limits {
	size_t max_header_bytes; /* 431 above */
	size_t max_body_bytes;   /* 413 above */
	/* What is allowed of that for a path (decoded); NULL: all of it. */
	size_t (*max_body_of)(const char *path, void *arg);
	void *arg;
	/* Bytes that the bodies of all parsers may still take together; 503 when it runs out. */
	size_t *body_budget;
};

/* The limits are copied, the budget is shared and must outlive the parser. */
struct http_parse *http_parse_new(const struct http_parse_limits *);
void http_parse_free(struct http_parse *);
DEFINE_OWNED(struct http_parse, http_parse_free)

/* After DONE or FAIL: http_parse_reset() first. */
enum http_parse_result http_parse_feed(struct http_parse *, const char *data, size_t n,
				       size_t *used);
/* Forgets the request and everything that http_parse_request() pointed at. */
void http_parse_reset(struct http_parse *);

/* After FAIL: what to answer. */
int http_parse_status(const struct http_parse *);
/* True once per request: the client waits for "100 Continue" before it sends the body. */
bool http_parse_wants_continue(struct http_parse *);

/* After DONE. Fills method, path, query, body and body_len; borrowed until the reset. */
void http_parse_request(const struct http_parse *, struct http_request *);
/* i-th header of that name, case-insensitive; NULL when there are not that many. */
const char *http_parse_header(const struct http_parse *, const char *name, size_t i);
bool http_parse_keep_alive(const struct http_parse *);
bool http_parse_is_head(const struct http_parse *);
bool http_parse_is_http10(const struct http_parse *);

/*
 * Decodes %XX (and + when `form`) into out, terminated. False for a bad escape,
 * a NUL, or when it does not fit.
 */
bool http_percent_decode(const char *s, size_t n, bool form, char *out, size_t cap);

#endif

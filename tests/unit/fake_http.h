/* A loopback server that answers with exactly the bytes a test gives it, good HTTP or not. */
#ifndef GUARD_TESTS_FAKE_HTTP_H
#define GUARD_TESTS_FAKE_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct fake_http;

/* Valid during the handler; `head` is request line and headers, terminated. */
struct fake_request {
	struct fake_http *server;
	struct bufferevent *bev;
	char method[16], path[512];
	const char *head;
	const char *body;
	unsigned number; /* 1, 2, ... over all connections */
	bool reset;      /* set by the handler: close with a reset after what was sent */
	bool close;      /* ... or orderly */
};
typedef void fake_http_fn(struct fake_request *, void *arg);

struct fake_http *fake_http_new(struct event_base *, fake_http_fn *, void *arg);
void fake_http_free(struct fake_http *);
int fake_http_port(const struct fake_http *);
unsigned fake_http_connections(const struct fake_http *); /* accepted so far */
unsigned fake_http_requests(const struct fake_http *);

/* Raw bytes; a handler that sends nothing hangs. */
void fake_http_send(struct fake_request *, const void *data, size_t n);
/* A whole answer; `headers` are lines that end in \r\n, or "". */
void fake_http_reply(struct fake_request *, int status, const char *headers, const char *body);
void fake_http_reply_n(struct fake_request *, int status, const char *headers, const void *body,
		       size_t n);
/* Whether the request has this header line (case as sent by libcurl). */
bool fake_http_has(const struct fake_request *, const char *line);

/* Runs the loop until *flag, at most 10 s; false when it did not come. */
bool fake_http_wait(struct event_base *, const bool *flag);
/* Runs the loop for what is already under way and ms more, for "nothing may happen" tests. */
void fake_http_settle(struct event_base *, int ms);

#endif

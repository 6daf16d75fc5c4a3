/*
 * HTTP/1.1 server on the event loop: libevent events for the sockets, a
 * maintained parser package for the protocol (docs/adr/0003), caps and
 * deadlines on everything a stranger controls. One handler gets every request.
 */
#ifndef GUARD_CORE_HTTP_SERVER_H
#define GUARD_CORE_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct event_base;
struct http_server;
struct tls;

struct http_limits {
	size_t max_body_bytes;      /* 413 above */
	size_t max_header_bytes;    /* request line and headers together; 431 above */
	int64_t request_timeout_ms; /* first byte to last byte of one request; 408, then closed */
	int64_t idle_timeout_ms;    /* keep-alive connection without a request */
	unsigned max_connections;   /* beyond: accepting pauses until one closes */
	/* A smaller cap for a path, asked before the body is read; NULL: none. */
	size_t (*max_body_of)(const char *path, void *arg);
	void *arg;
};
#define HTTP_LIMITS_DEFAULT                                   \
	((struct http_limits){ .max_body_bytes = 25u << 20,   \
			       .max_header_bytes = 32u << 10, \
			       .request_timeout_ms = 30000,   \
			       .idle_timeout_ms = 75000,      \
			       .max_connections = 1024 })

/*
 * A complete request, read-only for the handler; valid until it was answered.
 * If the peer goes away first the answer is dropped without a word, so a
 * handler that answers later needs no cancel path.
 */
struct http_request {
	const char *method; /* "GET" */
	const char *path;   /* percent-decoded, without query; always starts with '/' */
	const char *query;  /* raw, "" when there is none */
	const char *body;   /* not terminated; NULL when empty */
	size_t body_len;
	const char *peer; /* "127.0.0.1" or "unix" */
	bool peer_is_loopback;
	char trace[56]; /* for the handler: W3C traceparent of what it makes of the request */
};

typedef void http_handler_fn(struct http_request *, void *arg);

/*
 * `address`: "127.0.0.1:8080", "[::1]:0" (port 0: any), "unix:/path"; or "fd:N", a
 * listening socket that was inherited.
 */
int http_server_new(struct event_base *, const char *address, const struct http_limits *,
		    http_handler_fn *, void *arg, struct http_server **out,
		    struct err *) MUST_CHECK;
/* Connections from now on are TLS. Borrowed; may be reloaded meanwhile. */
void http_server_tls(struct http_server *, const struct tls *);
/*
 * Stops accepting. Open requests may still be answered; a connection without its first request
 * gets a moment for it; those that wait for another one are closed.
 */
void http_server_drain(struct http_server *);
size_t http_server_connections(const struct http_server *);
void http_server_free(struct http_server *);
DEFINE_OWNED(struct http_server, http_server_free)

/* "127.0.0.1:40123": the address bound, with the real port. */
const char *http_server_address(const struct http_server *);
/* Creates just the listening socket (close-on-exec off), for handing to children. -1 on error. */
int http_listen(const char *address, char bound[static 128], struct err *) MUST_CHECK;

/* First header of that name, case-insensitive; NULL when absent. */
const char *http_request_header(const struct http_request *, const char *name);
size_t http_request_header_count(const struct http_request *, const char *name);
/* The i-th of them; NULL when there are not that many. */
const char *http_request_header_at(const struct http_request *, const char *name, size_t i);
/* Percent-decoded value of ?name=; false when absent or longer than cap. */
bool http_request_query(const struct http_request *, const char *name, char *out, size_t cap);

/* Headers of the answer, before http_reply(). At most 16; both strings are copied. */
void http_reply_header(struct http_request *, const char *name, const char *value);
/* Answers, exactly once per request, now or later; copies body. type NULL: no Content-Type. */
void http_reply(struct http_request *, int status, const char *type, const char *body, size_t n);
void http_reply_text(struct http_request *, int status, const char *type, const char *body);
/* Instead of an answer: closes the connection without a word. */
void http_drop(struct http_request *);

/*
 * A long answer, such as server-sent events. closed() is called once, from the
 * loop, when the peer went away or the server is freed, and the stream is gone then.
 */
struct http_stream;
struct http_stream *http_reply_stream(struct http_request *, int status, const char *type,
				      void (*closed)(void *arg), void *arg);
void http_stream_write(struct http_stream *, const char *data, size_t n);
size_t http_stream_backlog(const struct http_stream *); /* bytes not yet taken by the peer */
void http_stream_end(struct http_stream *);             /* finishes; closed() is not called */

#endif

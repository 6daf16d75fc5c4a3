#include "core/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "tests/unit/unit.h"

enum { DEADLINE_MS = 10000, LATE_MAX = 8 };

/* A server, what its handler saw, and requests that it has not answered yet. */
struct fixture {
	struct event_base *base;
	struct http_server *server;
	struct buf seen; /* "METHOD path?query body-length\n" per request */
	struct http_request *late[LATE_MAX];
	size_t n_late;
	struct http_stream *stream;
	int closed;
	int n_requests;
};

static void on_stream_closed(void *arg)
{
	struct fixture *f = arg;

	f->closed++;
	f->stream = NULL;
}

static void handler(struct http_request *req, void *arg)
{
	struct fixture *f = arg;
	char name[16];

	f->n_requests++;
	buf_printf(&f->seen, "%s %s?%s %zu\n", req->method, req->path, req->query, req->body_len);
	if (strcmp(req->path, "/late") == 0) {
		assert_true(f->n_late < LATE_MAX);
		f->late[f->n_late++] = req;
	} else if (strcmp(req->path, "/stream") == 0) {
		f->stream = http_reply_stream(req, 200, "text/event-stream", on_stream_closed, f);
	} else if (strcmp(req->path, "/echo") == 0) {
		http_reply_header(req, "X-Peer", req->peer);
		http_reply_header(req, "X-Split", "a\r\nInjected: 1");
		http_reply(req, 200, "text/plain", req->body, req->body_len);
	} else if (strcmp(req->path, "/name") == 0) {
		bool ok = http_request_query(req, "name", name, sizeof(name));

		http_reply_text(req, ok ? 200 : 400, NULL, ok ? name : "no");
	} else {
		http_reply_text(req, 202, "application/json", "{}");
	}
}

static void start(struct fixture *f, const char *address, const struct http_limits *limits)
{
	struct err err = { 0 };

	*f = (struct fixture){ 0 };
	buf_init(&f->seen, 1 << 20);
	f->base = event_base_new();
	assert_non_null(f->base);
	assert_ok(http_server_new(f->base, address, limits, handler, f, &f->server, &err), &err);
}

static void start_default(struct fixture *f)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;

	start(f, "127.0.0.1:0", &limits);
}

static void stop(struct fixture *f)
{
	http_server_free(f->server);
	event_base_free(f->base);
	buf_done(&f->seen);
}

/* One look at the loop without waiting longer than a moment. */
static void spin(struct fixture *f)
{
	struct timeval tv = { .tv_usec = 2000 };

	(void)event_base_loopexit(f->base, &tv);
	(void)event_base_loop(f->base, EVLOOP_ONCE);
}

static int dial(const struct fixture *f)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	const char *address = http_server_address(f->server);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	sin.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void put(struct fixture *f, int fd, const char *data, size_t n)
{
	int64_t end = clock_mono_ms() + DEADLINE_MS;

	while (n) {
		ssize_t rc = send(fd, data, n, MSG_NOSIGNAL);

		if (rc > 0) {
			data += rc;
			n -= (size_t)rc;
		} else {
			assert_int_equal(errno, EAGAIN);
			assert_true(clock_mono_ms() < end);
			spin(f);
		}
	}
}

static void say(struct fixture *f, int fd, const char *text)
{
	put(f, fd, text, strlen(text));
}

/* Takes what is there into `got`; true at the end of the connection. */
static bool take(int fd, struct buf *got)
{
	char data[4096];
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		buf_append(got, data, (size_t)n);
	return n == 0 || (errno != EAGAIN && errno != EINTR);
}

/* Runs the loop until the peer has `text` (NULL: until the connection ends). */
static bool wait_for(struct fixture *f, int fd, struct buf *got, const char *text)
{
	int64_t end = clock_mono_ms() + DEADLINE_MS;

	while (clock_mono_ms() < end) {
		bool over = take(fd, got);

		if (text ? strstr(buf_text(got), text) != NULL : over)
			return true;
		if (over)
			return false;
		spin(f);
	}
	return false;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *s = text; (s = strstr(s, what)); s += strlen(what))
		n++;
	return n;
}

static bool wait_answers(struct fixture *f, int fd, struct buf *got, size_t n)
{
	int64_t end = clock_mono_ms() + DEADLINE_MS;

	while (count(buf_text(got), "HTTP/1.1 ") < n && clock_mono_ms() < end) {
		spin(f);
		(void)take(fd, got);
	}
	return count(buf_text(got), "HTTP/1.1 ") == n;
}

static void answers_or_refuses(void **state)
{
	static const struct {
		const char *why, *request, *answer, *seen;
	} rows[] = {
		{ "a plain request", "GET /a/b?x=1 HTTP/1.1\r\nHost: h\r\n\r\n",
		  "HTTP/1.1 202 Accepted\r\n", "GET /a/b?x=1 0\n" },
		{ "no Date header is a broken server", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		  " GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		  "GET /? 0\n" },
		{ "a body", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
		  "Content-Length: 5\r\nX-Peer: 127.0.0.1\r\n", "POST /echo? 5\n" },
		{ "the handler cannot be made to inject a header",
		  "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
		  "X-Split: a  Injected: 1\r\n\r\nhello", "POST /echo? 5\n" },
		{ "a chunked body, with an extension and a trailer",
		  "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
		  "\r\n\r\nhello world", "POST /echo? 11\n" },
		{ "HEAD has the length and no body", "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n",
		  "Content-Length: 2\r\n\r\n", "HEAD /x? 0\n" },
		{ "absolute URI", "GET http://h:80/p%20q?z=%20 HTTP/1.1\r\nHost: h\r\n\r\n",
		  "HTTP/1.1 202", "GET /p q?z=%20 0\n" },
		{ "absolute URI without a path", "GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\n",
		  "HTTP/1.1 202", "GET /?q 0\n" },
		{ "the asterisk is the root", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
		  "HTTP/1.1 202", "OPTIONS /? 0\n" },
		{ "empty lines before a request", "\r\n\r\nGET /e HTTP/1.1\r\nHost: h\r\n\r\n",
		  "HTTP/1.1 202", "GET /e? 0\n" },
		{ "a query value is decoded",
		  "GET /name?x=1&name=a%2Bb+c HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\na+b c", NULL },
		{ "a query value that does not fit",
		  "GET /name?name=0123456789abcdef HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400",
		  NULL },
		{ "an upgrade is not offered",
		  "GET /u HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		  "HTTP/1.1 202", "GET /u? 0\n" },
		{ "an upgrade with a body keeps its body",
		  "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: "
		  "h2c\r\nContent-Length: 3\r\n\r\nabc",
		  "\r\n\r\nabc", "POST /echo? 3\n" },

		{ "garbage", "hello there\r\n\r\n", "HTTP/1.1 400", "" },
		{ "NUL in the path", "GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "" },
		{ "bad escape", "GET /a%zz HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "" },
		{ "cut escape", "GET /a%4 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "" },
		{ "a fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "" },
		{ "no Host in HTTP/1.1", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "" },
		{ "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400", "" },
		{ "two lengths",
		  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		  "HTTP/1.1 400", "" },
		{ "two equal lengths",
		  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
		  "HTTP/1.1 400", "" },
		{ "a list of lengths",
		  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na", "HTTP/1.1 400",
		  "" },
		{ "a negative length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\na",
		  "HTTP/1.1 400", "" },
		{ "a length beyond 64 bits",
		  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\na",
		  "HTTP/1.1 400", "" },
		{ "length and chunks, the smuggler's pair",
		  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n0\r\n\r\n",
		  "HTTP/1.1 400", "" },
		{ "chunks and length, the other way round",
		  "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: "
		  "5\r\n\r\n0\r\n\r\n",
		  "HTTP/1.1 400", "" },
		{ "a coding we do not know",
		  "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 400",
		  "" },
		{ "two codings",
		  "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		  "HTTP/1.1 400", "" },
		{ "chunks in HTTP/1.0",
		  "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400",
		  "" },
		{ "a broken chunk size",
		  "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		  "HTTP/1.1 400", "" },
		{ "a tunnel", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405", "" },
		{ "HTTP/2 in the clear", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505", "" },
		{ "an expectation we do not know",
		  "POST / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n",
		  "HTTP/1.1 417", "" },
		{ "a body over the cap",
		  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 26214401\r\n\r\n", "HTTP/1.1 413",
		  "" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(buf_done) struct buf got;
		struct fixture f;
		int fd;

		buf_init(&got, 1 << 20);
		start_default(&f);
		fd = dial(&f);
		say(&f, fd, rows[i].request);
		if (!wait_for(&f, fd, &got, rows[i].answer))
			fail_msg("row \"%s\": no \"%s\" in:\n%s", rows[i].why, rows[i].answer,
				 buf_text(&got));
		assert_case(!rows[i].seen || strcmp(buf_text(&f.seen), rows[i].seen) == 0,
			    rows[i].why);
		/* What was refused must also end the connection: nobody knows where the next
		 * request starts. */
		if (rows[i].seen && !*rows[i].seen) {
			assert_case(strstr(buf_text(&got), "Connection: close\r\n"), rows[i].why);
			assert_case(wait_for(&f, fd, &got, NULL), rows[i].why);
		}
		(void)close(fd);
		stop(&f);
	}
}

static void takes_requests_byte_by_byte(void **state)
{
	static const char request[] =
		"POST /echo?q HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Long:  v \r\n"
		"Content-Length: 3\r\n\r\nabc";
	OWNED(buf_done) struct buf got;
	struct fixture f;
	int fd;

	UNUSED(state);
	buf_init(&got, 1 << 20);
	start_default(&f);
	fd = dial(&f);
	for (size_t i = 0; i + 1 < sizeof(request); i++) {
		put(&f, fd, request + i, 1);
		spin(&f);
	}
	assert_true(wait_for(&f, fd, &got, "\r\n\r\nabc"));
	assert_string_equal(buf_text(&f.seen), "POST /echo?q 3\n");
	(void)close(fd);
	stop(&f);
}

static void finds_headers(void **state)
{
	OWNED(buf_done) struct buf got;
	struct fixture f;
	int fd;

	UNUSED(state);
	buf_init(&got, 1 << 20);
	start_default(&f);
	fd = dial(&f);
	say(&f, fd,
	    "GET /late HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2 \t\r\nX-Empty:\r\nX-B:   b "
	    "c\r\n\r\n");
	while (!f.n_late)
		spin(&f);
	assert_string_equal(http_request_header(f.late[0], "x-A"), "1");
	assert_int_equal(http_request_header_count(f.late[0], "X-A"), 2);
	assert_string_equal(http_request_header(f.late[0], "X-Empty"), "");
	assert_string_equal(http_request_header(f.late[0], "X-B"), "b c");
	assert_null(http_request_header(f.late[0], "X"));
	assert_true(f.late[0]->peer_is_loopback);
	http_reply_text(f.late[0], 200, NULL, "");
	assert_true(wait_for(&f, fd, &got, "Content-Length: 0\r\n\r\n"));
	(void)close(fd);
	stop(&f);
}

static void keeps_header_size_within_its_limit(void **state)
{
	static const struct {
		const char *why;
		size_t fill;
		const char *answer;
	} rows[] = {
		{ "just below", 1024 - 64, "HTTP/1.1 202" },
		{ "just above", 1024, "HTTP/1.1 431" },
		{ "far above", 60000, "HTTP/1.1 431" },
		{ "above what the parser itself allows", 200000, "HTTP/1.1 431" },
	};
	struct http_limits limits = HTTP_LIMITS_DEFAULT;

	UNUSED(state);
	limits.max_header_bytes = 1024;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(buf_done) struct buf got, request;
		struct fixture f;
		int fd;

		buf_init(&got, 1 << 20);
		buf_init(&request, 1 << 20);
		buf_puts(&request, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
		for (size_t k = 0; k < rows[i].fill; k++)
			buf_putc(&request, 'x');
		buf_puts(&request, "\r\n\r\n");
		start(&f, "127.0.0.1:0", &limits);
		fd = dial(&f);
		put(&f, fd, request.data, request.len);
		assert_case(wait_for(&f, fd, &got, rows[i].answer), rows[i].why);
		(void)close(fd);
		stop(&f);
	}
}

static void keeps_header_count_within_its_limit(void **state)
{
	OWNED(buf_done) struct buf got, request;
	struct fixture f;
	int fd;

	UNUSED(state);
	buf_init(&got, 1 << 20);
	buf_init(&request, 1 << 20);
	buf_puts(&request, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < 100; i++)
		buf_printf(&request, "X-%d: 1\r\n", i);
	buf_puts(&request, "\r\n");
	start_default(&f);
	fd = dial(&f);
	put(&f, fd, request.data, request.len);
	assert_true(wait_for(&f, fd, &got, "HTTP/1.1 431"));
	(void)close(fd);
	stop(&f);
}

/* Also a body that comes in chunks, and one as large as allowed. */
static void keeps_body_size_within_its_limit(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;

	UNUSED(state);
	limits.max_body_bytes = 100000;
	for (size_t extra = 0; extra < 2; extra++) {
		for (int chunked = 0; chunked < 2; chunked++) {
			OWNED(buf_done) struct buf got, request;
			size_t n = limits.max_body_bytes + extra;
			struct fixture f;
			int fd;

			buf_init(&got, 1 << 20);
			buf_init(&request, 1 << 20);
			buf_puts(&request, "POST /x HTTP/1.1\r\nHost: h\r\n");
			if (chunked)
				buf_printf(&request, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
					   n);
			else
				buf_printf(&request, "Content-Length: %zu\r\n\r\n", n);
			for (size_t k = 0; k < n; k++)
				buf_putc(&request, 'b');
			if (chunked)
				buf_puts(&request, "\r\n0\r\n\r\n");
			start(&f, "127.0.0.1:0", &limits);
			fd = dial(&f);
			put(&f, fd, request.data, request.len);
			assert_true(
				wait_for(&f, fd, &got, extra ? "HTTP/1.1 413" : "HTTP/1.1 202"));
			assert_int_equal(f.n_requests, extra ? 0 : 1);
			(void)close(fd);
			stop(&f);
		}
	}
}

/* Eight bodies of the largest size may be held at a time, whoever sends them. */
static void bounds_the_memory_of_all_bodies(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	OWNED(buf_done) struct buf got;
	struct fixture f;
	int fds[9], again;

	UNUSED(state);
	limits.max_body_bytes = 1000;
	buf_init(&got, 1 << 20);
	start(&f, "127.0.0.1:0", &limits);
	for (size_t i = 0; i < 9; i++) {
		fds[i] = dial(&f);
		say(&f, fds[i], "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nx");
		if (i < 8)
			spin(&f);
	}
	assert_true(wait_for(&f, fds[8], &got, "HTTP/1.1 503"));
	for (size_t i = 0; i < 9; i++)
		(void)close(fds[i]);
	while (http_server_connections(f.server))
		spin(&f);
	buf_reset(&got);
	again = dial(&f);
	say(&f, again, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
	assert_true(wait_for(&f, again, &got, "HTTP/1.1 202"));
	(void)close(again);
	stop(&f);
}

static void keeps_connections_alive_as_asked(void **state)
{
	static const struct {
		const char *why, *request;
		bool alive;
	} rows[] = {
		{ "1.1 by default", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", true },
		{ "1.1 close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false },
		{ "1.0 by default", "GET / HTTP/1.0\r\n\r\n", false },
		{ "1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(buf_done) struct buf got;
		struct fixture f;
		int fd;

		buf_init(&got, 1 << 20);
		start_default(&f);
		fd = dial(&f);
		say(&f, fd, rows[i].request);
		assert_case(wait_for(&f, fd, &got, "\r\n\r\n{}"), rows[i].why);
		if (rows[i].alive) {
			say(&f, fd, rows[i].request);
			assert_case(wait_answers(&f, fd, &got, 2), rows[i].why);
		} else {
			assert_case(wait_for(&f, fd, &got, NULL), rows[i].why);
			assert_case(strstr(buf_text(&got), "Connection: close"), rows[i].why);
		}
		(void)close(fd);
		stop(&f);
	}
}

static void answers_pipelined_requests_in_order(void **state)
{
	OWNED(buf_done) struct buf got;
	struct fixture f;
	int fd;

	UNUSED(state);
	buf_init(&got, 1 << 20);
	start_default(&f);
	fd = dial(&f);
	say(&f, fd,
	    "GET /late HTTP/1.1\r\nHost: h\r\n\r\n"
	    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\ntwo"
	    "GET /late HTTP/1.1\r\nHost: h\r\n\r\n"
	    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nfo");
	while (!f.n_late)
		spin(&f);
	/* The second is complete, and yet nobody has seen it: one request at a time. */
	for (int i = 0; i < 5; i++)
		spin(&f);
	assert_int_equal(f.n_requests, 1);
	http_reply_text(f.late[0], 200, NULL, "one");
	assert_int_equal(f.n_requests, 1);
	while (f.n_late < 2)
		spin(&f);
	assert_int_equal(f.n_requests, 3);
	http_reply_text(f.late[1], 200, NULL, "three");
	say(&f, fd, "ur");
	assert_true(wait_for(&f, fd, &got, "four"));
	assert_true(strstr(buf_text(&got), "one") < strstr(buf_text(&got), "two"));
	assert_true(strstr(buf_text(&got), "two") < strstr(buf_text(&got), "three"));
	assert_int_equal(count(buf_text(&got), "HTTP/1.1 200 OK\r\n"), 4);
	(void)close(fd);
	stop(&f);
}

/* More of them than we are willing to keep: reading pauses, nothing is lost. */
static void survives_a_flood_of_pipelined_requests(void **state)
{
	static const char request[] = "GET /late HTTP/1.1\r\nHost: h\r\n\r\n";
	enum { MANY = 8000 };
	OWNED(buf_done) struct buf got, flood;
	struct fixture f;
	size_t answered = 0, sent = 0;
	int fd;

	UNUSED(state);
	buf_init(&got, 8 << 20);
	buf_init(&flood, 8 << 20);
	for (int i = 0; i < MANY; i++)
		buf_puts(&flood, request);
	start_default(&f);
	fd = dial(&f);
	while (answered < MANY) {
		ssize_t rc = sent < flood.len
				     ? send(fd, flood.data + sent, flood.len - sent, MSG_NOSIGNAL)
				     : 0;

		sent += rc > 0 ? (size_t)rc : 0;
		(void)event_base_loop(f.base, EVLOOP_NONBLOCK);
		if (f.n_late) {
			f.n_late = 0;
			answered++;
			http_reply_text(f.late[0], 200, NULL, "");
		}
		(void)take(fd, &got);
	}
	assert_true(wait_answers(&f, fd, &got, MANY));
	(void)close(fd);
	stop(&f);
}

static void sends_100_continue(void **state)
{
	OWNED(buf_done) struct buf got;
	struct fixture f;
	int fd;

	UNUSED(state);
	buf_init(&got, 1 << 20);
	start_default(&f);
	fd = dial(&f);
	say(&f, fd,
	    "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	assert_true(wait_for(&f, fd, &got, "HTTP/1.1 100 Continue\r\n\r\n"));
	assert_int_equal(f.n_requests, 0);
	say(&f, fd, "ok");
	assert_true(wait_for(&f, fd, &got, "\r\n\r\nok"));
	(void)close(fd);

	buf_reset(&got);
	fd = dial(&f);
	say(&f, fd,
	    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
	    "99999999\r\n\r\n");
	assert_true(wait_for(&f, fd, &got, "HTTP/1.1 413"));
	assert_null(strstr(buf_text(&got), "100 Continue"));
	(void)close(fd);
	stop(&f);
}

static void request_outlives_its_peer(void **state)
{
	struct linger reset = { .l_onoff = 1 };
	struct fixture f;
	int fd;

	UNUSED(state);
	start_default(&f);
	fd = dial(&f);
	say(&f, fd,
	    "POST /late HTTP/1.1\r\nHost: h\r\nX-A: still here\r\nContent-Length: 3\r\n\r\nabc");
	while (!f.n_late)
		spin(&f);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	(void)close(fd);
	while (http_server_connections(f.server))
		spin(&f);
	assert_memory_equal(f.late[0]->body, "abc", 3);
	assert_string_equal(http_request_header(f.late[0], "X-A"), "still here");
	http_reply_text(f.late[0], 200, NULL, "nobody listens");
	spin(&f);
	stop(&f);
}

/* `printf ... | nc` closes its side at once and still wants the answer. */
static void answers_a_half_closed_peer(void **state)
{
	OWNED(buf_done) struct buf got;
	struct fixture f;
	int fd;

	UNUSED(state);
	buf_init(&got, 1 << 20);
	start_default(&f);
	fd = dial(&f);
	say(&f, fd, "GET /late HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n");
	(void)shutdown(fd, SHUT_WR);
	while (!f.n_late)
		spin(&f);
	spin(&f);
	http_reply_text(f.late[0], 200, NULL, "late");
	assert_true(wait_for(&f, fd, &got, NULL));
	assert_int_equal(count(buf_text(&got), "HTTP/1.1 "), 2);
	assert_non_null(strstr(buf_text(&got), "late"));
	(void)close(fd);
	stop(&f);
}

/* Larger than any socket buffer: the rest is sent as the peer takes it. */
static void sends_large_answers(void **state)
{
	enum { SIZE = 8 << 20 };
	OWNED(freep) char *body = xmalloc(SIZE);
	OWNED(buf_done) struct buf got;
	struct fixture f;
	size_t head;
	int fd;

	UNUSED(state);
	for (size_t i = 0; i < SIZE; i++)
		body[i] = (char)('a' + i % 23);
	buf_init(&got, 2 * SIZE);
	start_default(&f);
	fd = dial(&f);
	say(&f, fd, "GET /late HTTP/1.1\r\nHost: h\r\n\r\nGET /after HTTP/1.1\r\nHost: h\r\n\r\n");
	while (!f.n_late)
		spin(&f);
	http_reply(f.late[0], 200, NULL, body, SIZE);
	for (int i = 0; i < 3; i++)
		spin(&f);
	assert_int_equal(f.n_requests, 1);
	assert_true(wait_for(&f, fd, &got, "HTTP/1.1 202"));
	head = (size_t)(strstr(got.data, "\r\n\r\n") + 4 - got.data);
	assert_memory_equal(got.data + head, body, SIZE);
	(void)close(fd);
	stop(&f);
}

static void enforces_deadlines(void **state)
{
	static const struct {
		const char *why, *sent, *answer;
	} rows[] = {
		{ "nothing was sent: no answer either", "", NULL },
		{ "half a head", "GET / HT", "HTTP/1.1 408" },
		{ "half a body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc",
		  "HTTP/1.1 408" },
		{ "idle after a request", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 202" },
	};
	struct http_limits limits = HTTP_LIMITS_DEFAULT;

	UNUSED(state);
	limits.request_timeout_ms = 40;
	limits.idle_timeout_ms = 40;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(buf_done) struct buf got;
		struct fixture f;
		int64_t t0;
		int fd;

		buf_init(&got, 1 << 20);
		start(&f, "127.0.0.1:0", &limits);
		fd = dial(&f);
		t0 = clock_mono_ms();
		say(&f, fd, rows[i].sent);
		assert_case(wait_for(&f, fd, &got, NULL), rows[i].why);
		assert_case(clock_mono_ms() - t0 >= 40, rows[i].why);
		if (rows[i].answer)
			assert_case(strstr(buf_text(&got), rows[i].answer), rows[i].why);
		else
			assert_case(got.len == 0, rows[i].why);
		(void)close(fd);
		stop(&f);
	}
}

/* The deadline is for the whole request: a byte now and then does not extend it. */
static void slow_loris_gains_nothing(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	OWNED(buf_done) struct buf got;
	struct fixture f;
	bool over = false;
	int64_t t0;
	int fd;

	UNUSED(state);
	limits.request_timeout_ms = 60;
	buf_init(&got, 1 << 20);
	start(&f, "127.0.0.1:0", &limits);
	fd = dial(&f);
	t0 = clock_mono_ms();
	say(&f, fd, "GET / HTTP/1.1\r\nX: ");
	while (!over && clock_mono_ms() - t0 < DEADLINE_MS) {
		(void)send(fd, "x", 1, MSG_NOSIGNAL);
		spin(&f);
		over = take(fd, &got);
	}
	assert_true(over);
	assert_true(clock_mono_ms() - t0 < 5000);
	assert_non_null(strstr(buf_text(&got), "HTTP/1.1 408"));
	(void)close(fd);
	stop(&f);
}

static void pauses_accepting_at_the_cap(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	OWNED(buf_done) struct buf got;
	struct fixture f;
	int fds[3];

	UNUSED(state);
	limits.max_connections = 2;
	buf_init(&got, 1 << 20);
	start(&f, "127.0.0.1:0", &limits);
	for (size_t i = 0; i < 3; i++) {
		fds[i] = dial(&f);
		say(&f, fds[i], "GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
	}
	for (int i = 0; i < 10; i++)
		spin(&f);
	assert_int_equal(http_server_connections(f.server), 2);
	assert_int_equal(f.n_late, 2);
	http_reply_text(f.late[0], 200, NULL, "");
	(void)close(fds[0]);
	while (f.n_late < 3)
		spin(&f);
	http_reply_text(f.late[2], 200, NULL, "third");
	assert_true(wait_for(&f, fds[2], &got, "third"));
	http_reply_text(f.late[1], 200, NULL, "");
	(void)close(fds[1]);
	(void)close(fds[2]);
	stop(&f);
}

/* Idle keep-alive connections give way when others wait. */
static void idle_connections_make_room(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	OWNED(buf_done) struct buf got;
	struct fixture f;
	int idle, next;

	UNUSED(state);
	limits.max_connections = 1;
	limits.request_timeout_ms = 400;
	buf_init(&got, 1 << 20);
	start(&f, "127.0.0.1:0", &limits);
	idle = dial(&f);
	spin(&f);
	next = dial(&f);
	say(&f, next, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(wait_for(&f, next, &got, "HTTP/1.1 202"));
	(void)close(idle);
	(void)close(next);
	stop(&f);
}

static void drains(void **state)
{
	OWNED(buf_done) struct buf got, idle_got;
	struct fixture f;
	int busy, idle, asked, queued;

	UNUSED(state);
	buf_init(&got, 1 << 20);
	buf_init(&idle_got, 1 << 20);
	start_default(&f);
	idle = dial(&f);
	asked = dial(&f);
	busy = dial(&f);
	say(&f, busy, "GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
	while (!f.n_late)
		spin(&f);
	queued = dial(&f);
	say(&f, queued, "GET /queued HTTP/1.1\r\nHost: h\r\n\r\n");
	say(&f, asked, "GET /asked HTTP/1.1\r\nHost: h\r\n\r\n");
	http_server_drain(f.server);
	assert_true(wait_for(&f, idle, &idle_got, NULL));
	assert_int_equal(idle_got.len, 0);
	/* Sent before the drain: served, whether accepted already or not. */
	assert_true(wait_for(&f, asked, &idle_got, NULL));
	assert_true(wait_for(&f, queued, &idle_got, NULL));
	assert_int_equal(count(buf_text(&idle_got), "HTTP/1.1 202"), 2);
	http_reply_text(f.late[0], 200, NULL, "done");
	assert_true(wait_for(&f, busy, &got, NULL));
	assert_non_null(strstr(buf_text(&got), "Connection: close"));
	assert_int_equal(http_server_connections(f.server), 0);
	(void)close(busy);
	(void)close(idle);
	(void)close(asked);
	(void)close(queued);
	stop(&f);
}

/* Between two requests anybody may be hung up on; before the first one nobody expects that. */
static void drains_without_dropping_who_has_just_come(void **state)
{
	OWNED(buf_done) struct buf got, kept_got;
	struct fixture f;
	int fresh, kept;

	UNUSED(state);
	buf_init(&got, 1 << 20);
	buf_init(&kept_got, 1 << 20);
	start_default(&f);
	fresh = dial(&f);
	kept = dial(&f);
	say(&f, kept, "GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(wait_answers(&f, kept, &kept_got, 1));
	assert_int_equal(http_server_connections(f.server), 2);
	http_server_drain(f.server);
	assert_int_equal(http_server_connections(f.server), 1);
	say(&f, fresh, "GET /fresh HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(wait_for(&f, fresh, &got, NULL));
	assert_int_equal(count(buf_text(&got), "HTTP/1.1 202"), 1);
	assert_non_null(strstr(buf_text(&got), "Connection: close"));
	assert_int_equal(http_server_connections(f.server), 0);
	(void)close(fresh);
	(void)close(kept);
	stop(&f);
}

static void streams(void **state)
{
	OWNED(buf_done) struct buf got;
	struct fixture f;
	int fd;

	UNUSED(state);
	buf_init(&got, 1 << 20);
	start_default(&f);
	fd = dial(&f);
	say(&f, fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	while (!f.stream)
		spin(&f);
	http_stream_write(f.stream, "data: 1\n\n", 9);
	assert_true(wait_for(&f, fd, &got, "data: 1"));
	assert_non_null(strstr(buf_text(&got), "Content-Type: text/event-stream\r\n"));
	assert_null(strstr(buf_text(&got), "Content-Length"));
	http_stream_write(f.stream, "data: 2\n\n", 9);
	http_stream_end(f.stream);
	assert_true(wait_for(&f, fd, &got, NULL));
	assert_non_null(strstr(buf_text(&got), "data: 2"));
	assert_int_equal(f.closed, 0);
	(void)close(fd);
	stop(&f);
	assert_int_equal(f.closed, 0);
}

static void stream_reports_its_backlog_and_its_end(void **state)
{
	OWNED(freep) char *chunk = xcalloc(1, 1 << 20);
	struct fixture f;
	int fd;

	UNUSED(state);
	start_default(&f);
	fd = dial(&f);
	say(&f, fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	while (!f.stream)
		spin(&f);
	for (int i = 0; i < 16; i++)
		http_stream_write(f.stream, chunk, 1 << 20);
	assert_true(http_stream_backlog(f.stream) > 1 << 20);
	(void)close(fd);
	assert_int_equal(f.closed, 0);
	while (!f.closed)
		spin(&f);
	assert_int_equal(f.closed, 1);
	stop(&f);
	assert_int_equal(f.closed, 1);
}

static void freeing_the_server_closes_streams(void **state)
{
	struct fixture f;
	int fd;

	UNUSED(state);
	start_default(&f);
	fd = dial(&f);
	say(&f, fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	while (!f.stream)
		spin(&f);
	stop(&f);
	assert_int_equal(f.closed, 1);
	(void)close(fd);
}

static void listens_on_unix_sockets_and_inherited_ones(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/guard-http-XXXXXX";
	OWNED(buf_done) struct buf got;
	char address[140], bound[128];
	struct err err = { 0 };
	struct fixture f;
	int fd, listener;

	UNUSED(state);
	buf_init(&got, 1 << 20);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", dir);
	(void)snprintf(address, sizeof(address), "unix:%s", sun.sun_path);
	start(&f, address, &limits);
	assert_string_equal(http_server_address(f.server), address);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	say(&f, fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nu");
	assert_true(wait_for(&f, fd, &got, "X-Peer: unix\r\n"));
	(void)close(fd);
	stop(&f);
	assert_int_equal(access(sun.sun_path, F_OK), -1);
	(void)rmdir(dir);

	listener = http_listen("127.0.0.1:0", bound, &err);
	assert_true(listener >= 0);
	assert_int_equal(fcntl(listener, F_GETFD) & FD_CLOEXEC, 0);
	(void)snprintf(address, sizeof(address), "fd:%d", listener);
	start(&f, address, &limits);
	assert_string_equal(http_server_address(f.server), bound);
	buf_reset(&got);
	fd = dial(&f);
	say(&f, fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(wait_for(&f, fd, &got, "HTTP/1.1 202"));
	(void)close(fd);
	stop(&f);
}

static void refuses_addresses_it_cannot_listen_on(void **state)
{
	static const char *const rows[] = {
		"",     "8080",     "127.0.0.1", "127.0.0.1:",     "1:2:3",         "fd:x",
		"fd:0", "fd:99999", "unix:",     "127.0.0.1:http", "203.0.113.1:1", "[::1:80"
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		char bound[128];

		assert_case(http_listen(rows[i], bound, &err) == -1, rows[i]);
		assert_case(err.kind == ERR_CONFIG && *err.msg, rows[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_or_refuses),
		cmocka_unit_test(takes_requests_byte_by_byte),
		cmocka_unit_test(finds_headers),
		cmocka_unit_test(keeps_header_size_within_its_limit),
		cmocka_unit_test(keeps_header_count_within_its_limit),
		cmocka_unit_test(keeps_body_size_within_its_limit),
		cmocka_unit_test(bounds_the_memory_of_all_bodies),
		cmocka_unit_test(keeps_connections_alive_as_asked),
		cmocka_unit_test(answers_pipelined_requests_in_order),
		cmocka_unit_test(survives_a_flood_of_pipelined_requests),
		cmocka_unit_test(sends_100_continue),
		cmocka_unit_test(request_outlives_its_peer),
		cmocka_unit_test(answers_a_half_closed_peer),
		cmocka_unit_test(sends_large_answers),
		cmocka_unit_test(enforces_deadlines),
		cmocka_unit_test(slow_loris_gains_nothing),
		cmocka_unit_test(pauses_accepting_at_the_cap),
		cmocka_unit_test(idle_connections_make_room),
		cmocka_unit_test(drains),
		cmocka_unit_test(drains_without_dropping_who_has_just_come),
		cmocka_unit_test(streams),
		cmocka_unit_test(stream_reports_its_backlog_and_its_end),
		cmocka_unit_test(freeing_the_server_closes_streams),
		cmocka_unit_test(listens_on_unix_sockets_and_inherited_ones),
		cmocka_unit_test(refuses_addresses_it_cannot_listen_on),
	};

	return cmocka_run_group_tests_name("http_server", tests, NULL, NULL);
}

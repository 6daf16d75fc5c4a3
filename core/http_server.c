#include "core/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/http_parse.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "core/tls.h"

enum {
	READ_MAX = 64 << 10,    /* per wake-up of a connection */
	STASH_PAUSE = 64 << 10, /* pipelined bytes after which we stop reading */
	REPLY_HEADERS_MAX = 16,
	REPLY_HEAD_MAX = 8 << 10,
	ACCEPTS_PER_TURN = 16, /* the other workers on this socket want some too */
	ACCEPTS_AT_DRAIN = 256,
	LINGER_MS = 2000,
	FIRST_WORD_MS = 2000,   /* at a drain, for those who have just come */
	CROWDED_IDLE_MS = 1000, /* how long an idle connection may keep others out */
	SWEEP_MIN_MS = 10,
	SWEEP_MAX_MS = 1000,
	BODIES_AT_CAP = 8, /* bodies of the largest size that memory is kept for */
};

/* BUSY with fd -1: the peer went away, the handler has yet to answer. */
enum conn_state {
	CONN_IDLE, /* nothing of the next request has come */
	CONN_READING,
	CONN_BUSY,     /* the handler has the request */
	CONN_STREAM,   /* the handler has a stream */
	CONN_FLUSHING, /* answered; the socket takes no more at the moment */
	CONN_LINGER,   /* refused; reads on for a while, a reset would overtake the answer */
	CONN_DEAD,     /* freed in the next turn of the loop */
};

struct conn;

struct http_stream {
	struct conn *conn;
	void (*closed)(void *arg); /* NULL: nobody is to be told (any more) */
	void *arg;
};

struct conn {
	struct http_request req; /* first: a request is found again by its address */
	struct http_server *server;
	TAILQ_ENTRY(conn) all;
	STAILQ_ENTRY(conn) turn;
	bool in_turn;
	int fd;
	struct tls_conn *tls; /* NULL: in the clear */
	enum conn_state state;
	struct event read_ev, write_ev;
	bool reading, eof, close_after;
	bool asked; /* a request has come: this one may be hung up on between two of them */
	struct http_parse *parse;
	struct buf stash; /* bytes after the request at hand */
	size_t stash_at;
	struct evbuffer *out; /* NULL until a send fell short */
	struct buf reply_head;
	unsigned n_reply_headers;
	struct http_stream stream;
	int64_t deadline_ms; /* 0: none */
	int64_t since_ms;    /* idle since */
	char peer[INET6_ADDRSTRLEN];
};

struct http_server {
	struct event_base *base;
	struct http_limits limits;
	http_handler_fn *handler;
	void *arg;
	const struct tls *tls;
	int fd;
	bool accepting, draining;
	struct event listen_ev, sweep_ev, turn_ev;
	TAILQ_HEAD(, conn) conns;
	STAILQ_HEAD(, conn) turn;
	size_t n_open;
	size_t body_budget;
	time_t date_at;
	char date[40];
	char address[128];
	char unix_path[108]; /* "" unless we made it */
	char scratch[READ_MAX];
};

static void conn_dispatch(struct conn *);

/* --- addresses --- */

static int listen_unix(const char *path, struct err *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	int fd;

	if (!text_copy(sun.sun_path, sizeof(sun.sun_path), path, strlen(path)) || !*path)
		return err_set(err, ERR_CONFIG, "listen unix:%s: the path is empty or too long",
			       path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, ERR_CONFIG, "socket: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, SOMAXCONN) < 0) {
		(void)err_set(err, ERR_CONFIG, "listen unix:%s: %s", path, strerror(errno));
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* "host:port", "[v6]:port", ":port" */
static int split_address(const char *address, char host[static 128], const char **port)
{
	const char *colon = strrchr(address, ':');
	size_t n;

	if (!colon || !colon[1])
		return -1;
	n = (size_t)(colon - address);
	if (n >= 2 && address[0] == '[' && colon[-1] == ']') {
		address++;
		n -= 2;
	} else if (memchr(address, ':', n)) {
		return -1;
	}
	*port = colon + 1;
	return text_copy(host, 128, address, n) ? 0 : -1;
}

/* After a crash the children of the last process may hold the address for a moment longer. */
static int bind_patiently(int fd, const struct addrinfo *ai)
{
	enum { TRIES = 20, PAUSE_MS = 50 };

	for (int i = 1; bind(fd, ai->ai_addr, ai->ai_addrlen) < 0; i++) {
		if (errno != EADDRINUSE || i == TRIES)
			return -1;
		(void)poll(NULL, 0, PAUSE_MS);
	}
	return 0;
}

static int listen_tcp(const char *address, struct err *err)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	const char *port;
	char host[128];
	int rc, fd = -1, on = 1;

	if (split_address(address, host, &port) < 0)
		return err_set(err, ERR_CONFIG, "listen \"%s\": not an address like 127.0.0.1:8080",
			       address);
	rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
	if (rc)
		return err_set(err, ERR_CONFIG, "listen \"%s\": %s", address, gai_strerror(rc));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind_patiently(fd, found) < 0 || listen(fd, SOMAXCONN) < 0) {
		(void)err_set(err, ERR_CONFIG, "listen \"%s\": %s", address, strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

/* An inherited socket; it keeps its blocking peers' flags but ours has to be non-blocking. */
static int listen_inherited(const char *number, struct err *err)
{
	int listening = 0;
	socklen_t len = sizeof(listening);
	uint64_t fd;

	if (!text_to_u64(number, &fd) || fd > INT32_MAX)
		return err_set(err, ERR_CONFIG, "listen \"fd:%s\": not a number", number);
	if (getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
		return err_set(err, ERR_CONFIG, "listen \"fd:%s\": not a listening socket", number);
	if (evutil_make_socket_nonblocking((int)fd) < 0)
		return err_set(err, ERR_CONFIG, "listen \"fd:%s\": %s", number, strerror(errno));
	return (int)fd;
}

static const char *ip_text(const struct sockaddr_storage *ss, char *out, socklen_t cap,
			   unsigned *port, bool *loopback)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)ss;
	struct in_addr mapped;

	if (ss->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		*port = ntohs(v6->sin6_port);
		*loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
		return inet_ntop(AF_INET6, &v6->sin6_addr, out, cap);
	}
	if (ss->ss_family == AF_INET6) {
		memcpy(&mapped, v6->sin6_addr.s6_addr + 12, sizeof(mapped));
		*port = ntohs(v6->sin6_port);
	} else {
		mapped = v4->sin_addr;
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): it is zeroed */
		*port = ntohs(v4->sin_port);
	}
	*loopback = ntohl(mapped.s_addr) >> 24 == 127;
	return inet_ntop(AF_INET, &mapped, out, cap);
}

static void bound_address(int fd, char out[static 128])
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	char ip[INET6_ADDRSTRLEN];
	unsigned port;
	bool loopback;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0) {
		(void)snprintf(out, 128, "?");
	} else if (ss.ss_family == AF_UNIX) {
		(void)snprintf(out, 128, "unix:%.107s", ((struct sockaddr_un *)&ss)->sun_path);
	} else {
		(void)ip_text(&ss, ip, sizeof(ip), &port, &loopback);
		(void)snprintf(out, 128, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, port);
	}
}

int http_listen(const char *address, char bound[static 128], struct err *err)
{
	int fd;

	if (text_starts(address, "unix:"))
		fd = listen_unix(address + strlen("unix:"), err);
	else if (text_starts(address, "fd:"))
		fd = listen_inherited(address + strlen("fd:"), err);
	else
		fd = listen_tcp(address, err);
	if (fd >= 0)
		bound_address(fd, bound);
	return fd;
}

/* --- connections --- */

static void conn_in_turn(struct conn *c)
{
	if (c->in_turn)
		return;
	c->in_turn = true;
	STAILQ_INSERT_TAIL(&c->server->turn, c, turn);
	event_active(&c->server->turn_ev, EV_TIMEOUT, 0);
}

static void accept_again(struct http_server *s)
{
	if (!s->accepting && !s->draining && s->n_open < s->limits.max_connections) {
		(void)event_add(&s->listen_ev, NULL);
		s->accepting = true;
	}
}

static void accept_pause(struct http_server *s)
{
	if (s->accepting)
		(void)event_del(&s->listen_ev);
	s->accepting = false;
}

/* Closes the socket now; the object goes in the next turn, or when the handler has answered. */
static void conn_close(struct conn *c)
{
	if (c->fd >= 0) {
		(void)event_del(&c->read_ev);
		(void)event_del(&c->write_ev);
		tls_conn_free(TAKE(c->tls));
		(void)close(c->fd);
		c->fd = -1;
		c->server->n_open--;
		accept_again(c->server);
	}
	c->deadline_ms = 0;
	if (c->state == CONN_BUSY)
		return;
	c->state = CONN_DEAD;
	conn_in_turn(c);
}

static void conn_free(struct conn *c)
{
	struct http_server *s = c->server;

	if (c->fd >= 0) {
		(void)event_del(&c->read_ev);
		(void)event_del(&c->write_ev);
		tls_conn_free(TAKE(c->tls));
		(void)close(c->fd);
		s->n_open--;
	}
	TAILQ_REMOVE(&s->conns, c, all);
	http_parse_free(c->parse);
	if (c->out)
		evbuffer_free(c->out);
	buf_done(&c->stash);
	buf_done(&c->reply_head);
	free(c);
}

static void conn_read_more(struct conn *c)
{
	if (c->reading || c->eof || c->fd < 0)
		return;
	(void)event_add(&c->read_ev, NULL);
	c->reading = true;
	if (c->tls && tls_pending(c->tls))
		event_active(&c->read_ev, EV_READ, 0);
}

static void conn_read_no_more(struct conn *c)
{
	if (c->reading)
		(void)event_del(&c->read_ev);
	c->reading = false;
}

static void conn_idle(struct conn *c)
{
	struct http_server *s = c->server;

	c->since_ms = clock_mono_ms();
	c->deadline_ms = c->since_ms + s->limits.idle_timeout_ms;
	c->state = CONN_IDLE;
	if (c->stash_at < c->stash.len)
		conn_in_turn(c);
	else if (c->eof || s->draining)
		conn_close(c);
	else
		conn_read_more(c);
}

/* The whole answer is with the kernel. */
static void conn_answered(struct conn *c)
{
	if (!c->close_after) {
		conn_idle(c);
	} else if (c->state == CONN_LINGER && !c->eof) {
		(void)shutdown(c->fd, SHUT_WR);
		c->deadline_ms = clock_mono_ms() + LINGER_MS;
		conn_read_more(c);
	} else {
		conn_close(c);
	}
}

/* As recv() and sendmsg() do, through TLS where there is some. */
static ssize_t conn_recv(struct conn *c, char *data, size_t n)
{
	return c->tls ? tls_read(c->tls, data, n) : recv(c->fd, data, n, 0);
}

static ssize_t conn_sendmsg(struct conn *c, const struct msghdr *msg)
{
	size_t sent = 0;

	if (!c->tls)
		return sendmsg(c->fd, msg, MSG_NOSIGNAL);
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		const struct iovec *v = &msg->msg_iov[i];
		ssize_t rc = v->iov_len ? tls_write(c->tls, v->iov_base, v->iov_len) : 0;

		if (rc < 0)
			return sent ? (ssize_t)sent : -1;
		sent += (size_t)rc;
		if ((size_t)rc < v->iov_len)
			break;
	}
	return (ssize_t)sent;
}

/* False when the peer is gone. Whatever does not fit now waits in `out`. */
static bool conn_send(struct conn *c, struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };
	size_t sent = 0;

	if (!c->out || !evbuffer_get_length(c->out)) {
		ssize_t rc;

		do
			rc = conn_sendmsg(c, &msg);
		while (rc < 0 && errno == EINTR);
		if (rc < 0 && errno != EAGAIN)
			return false;
		sent = rc > 0 ? (size_t)rc : 0;
	}
	for (int i = 0; i < n; i++) {
		size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;

		sent -= skip;
		if (skip == iov[i].iov_len)
			continue;
		if (!c->out)
			c->out = evbuffer_new();
		(void)evbuffer_add(c->out, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
	}
	if (c->out && evbuffer_get_length(c->out))
		(void)event_add(&c->write_ev, NULL);
	return true;
}

static bool conn_flushed(const struct conn *c)
{
	return !c->out || !evbuffer_get_length(c->out);
}

static void on_readable(evutil_socket_t, short, void *);

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct evbuffer_iovec vec[8];
	struct msghdr msg = { .msg_iov = vec };
	ssize_t rc;
	int n;

	if (conn_flushed(c)) { /* it was TLS that waited, in the middle of reading */
		(void)event_del(&c->write_ev);
		on_readable(fd, what, c);
		return;
	}
	n = evbuffer_peek(c->out, -1, NULL, vec, ARRAY_LEN(vec));
	msg.msg_iovlen = (size_t)n < ARRAY_LEN(vec) ? (size_t)n : ARRAY_LEN(vec);
	rc = conn_sendmsg(c, &msg);
	if (rc < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_close(c);
		return;
	}
	(void)evbuffer_drain(c->out, (size_t)rc);
	if (c->state == CONN_FLUSHING || c->state == CONN_LINGER)
		c->deadline_ms = clock_mono_ms() + c->server->limits.request_timeout_ms;
	if (!conn_flushed(c))
		return;
	(void)event_del(&c->write_ev);
	if (c->state == CONN_FLUSHING || c->state == CONN_LINGER)
		conn_answered(c);
}

static const char *status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} rows[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].status == status)
			return rows[i].text;
	return "Status";
}

static const char *date_now(struct http_server *s)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != s->date_at && gmtime_r(&now, &tm)) {
		static const char days[] = "SunMonTueWedThuFriSat";
		static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

		(void)snprintf(s->date, sizeof(s->date), "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
			       days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon,
			       tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
		s->date_at = now;
	}
	return s->date;
}

/* Writes status line and headers; `length` < 0: the end of the connection ends the body. */
static void head_write(struct conn *c, struct buf *head, int status, const char *type,
		       int64_t length)
{
	buf_printf(head, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, status_text(status),
		   date_now(c->server));
	if (type)
		buf_printf(head, "Content-Type: %s\r\n", type);
	if (length >= 0 && status != 204 && status != 304)
		buf_printf(head, "Content-Length: %lld\r\n", (long long)length);
	if (c->close_after)
		buf_puts(head, "Connection: close\r\n");
	else if (http_parse_is_http10(c->parse))
		buf_puts(head, "Connection: keep-alive\r\n");
	buf_append(head, buf_text(&c->reply_head), c->reply_head.len);
	buf_puts(head, "\r\n");
}

/* Sends the answer and moves the connection on, to `next` as long as it is not all sent. */
static void conn_reply(struct conn *c, enum conn_state next, int status, const char *type,
		       const char *body, size_t n)
{
	OWNED(buf_done) struct buf head;
	bool headless = status == 204 || status == 304;
	struct iovec iov[2];
	bool alive, with_body;

	with_body = n && !headless && !(next == CONN_FLUSHING && http_parse_is_head(c->parse));
	buf_init(&head, REPLY_HEAD_MAX + 1024);
	head_write(c, &head, status, type, (int64_t)n);
	iov[0] = (struct iovec){ head.data, head.len };
	iov[1] = (struct iovec){ (void *)(uintptr_t)body, n };
	alive = conn_send(c, iov, with_body ? 2 : 1);
	http_parse_reset(c->parse);
	buf_reset(&c->reply_head);
	c->n_reply_headers = 0;
	c->state = next;
	c->deadline_ms = clock_mono_ms() + c->server->limits.request_timeout_ms;
	if (!alive)
		conn_close(c);
	else if (conn_flushed(c))
		conn_answered(c);
}

/* An answer of our own to something that is no request; the connection ends with it. */
static void conn_refuse(struct conn *c, int status)
{
	char body[96];
	int n = snprintf(body, sizeof(body), "{\"error\":\"%s\"}\n", status_text(status));

	c->close_after = true;
	buf_done(&c->stash);
	c->stash_at = 0;
	conn_reply(c, CONN_LINGER, status, "application/json", body, (size_t)n);
}

static void conn_continue(struct conn *c)
{
	static char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec iov = { line, sizeof(line) - 1 };

	if (!conn_send(c, &iov, 1))
		conn_close(c);
}

/* Feeds requests to the handler until one is not answered at once; returns the bytes taken. */
static size_t conn_consume(struct conn *c, const char *data, size_t n)
{
	size_t at = 0;

	while (at < n && (c->state == CONN_IDLE || c->state == CONN_READING)) {
		enum http_parse_result got;
		size_t used = 0;

		if (c->state == CONN_IDLE) {
			c->state = CONN_READING;
			c->deadline_ms = clock_mono_ms() + c->server->limits.request_timeout_ms;
		}
		got = http_parse_feed(c->parse, data + at, n - at, &used);
		at += used;
		if (got == HTTP_PARSE_DONE)
			conn_dispatch(c);
		else if (got == HTTP_PARSE_FAIL)
			conn_refuse(c, http_parse_status(c->parse));
		else if (http_parse_wants_continue(c->parse))
			conn_continue(c);
	}
	return c->state == CONN_DEAD || c->state == CONN_LINGER ? n : at;
}

static void conn_dispatch(struct conn *c)
{
	struct http_server *s = c->server;

	c->state = CONN_BUSY;
	c->asked = true;
	c->deadline_ms = 0;
	c->close_after = !http_parse_keep_alive(c->parse);
	c->req.trace[0] = '\0';
	http_parse_request(c->parse, &c->req);
	s->handler(&c->req, s->arg);
}

static void stash_add(struct conn *c, const char *data, size_t n)
{
	if (c->stash_at) {
		memmove(c->stash.data, c->stash.data + c->stash_at, c->stash.len - c->stash_at);
		c->stash.len -= c->stash_at;
		c->stash_at = 0;
	}
	buf_append(&c->stash, data, n);
	if (c->stash.len >= STASH_PAUSE)
		conn_read_no_more(c);
}

/* The next request is (partly) here already. */
static void conn_serve(struct conn *c)
{
	c->stash_at += conn_consume(c, c->stash.data + c->stash_at, c->stash.len - c->stash_at);
	if (c->stash_at >= c->stash.len) {
		buf_reset(&c->stash);
		c->stash_at = 0;
	}
	if (c->state != CONN_IDLE && c->state != CONN_READING)
		return;
	if (c->eof)
		conn_close(c);
	else
		conn_read_more(c);
}

static void conn_eof(struct conn *c)
{
	conn_read_no_more(c);
	c->eof = true;
	/* Half-closed while we work or write: the answer is still wanted. */
	if (c->state == CONN_BUSY || c->state == CONN_FLUSHING)
		return;
	if (c->state == CONN_LINGER && !conn_flushed(c))
		return;
	if (c->state != CONN_IDLE || c->stash_at >= c->stash.len)
		conn_close(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	char *data = c->server->scratch;
	ssize_t got = conn_recv(c, data, READ_MAX);
	size_t n, used = 0;

	UNUSED(fd);
	UNUSED(what);
	if (got == 0) {
		conn_eof(c);
		return;
	}
	if (got < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_close(c);
		else if (c->tls && tls_wants_write(c->tls))
			(void)event_add(&c->write_ev, NULL);
		return;
	}
	n = (size_t)got;
	if (c->tls && tls_pending(c->tls))
		event_active(&c->read_ev, EV_READ, 0);
	if (c->state == CONN_LINGER || c->state == CONN_STREAM)
		return;
	if (c->stash_at >= c->stash.len)
		used = conn_consume(c, data, n);
	if (used < n)
		stash_add(c, data + used, n - used);
}

/* --- accepting --- */

static void conn_new(struct http_server *s, int fd, const struct sockaddr_storage *ss)
{
	struct http_parse_limits limits = { .max_header_bytes = s->limits.max_header_bytes,
					    .max_body_bytes = s->limits.max_body_bytes,
					    .max_body_of = s->limits.max_body_of,
					    .arg = s->limits.arg,
					    .body_budget = &s->body_budget };
	struct conn *c = xcalloc(1, sizeof(*c));
	unsigned port;
	int on = 1;

	c->server = s;
	c->fd = fd;
	c->parse = http_parse_new(&limits);
	c->req.peer = c->peer;
	if (ss->ss_family == AF_UNIX) {
		(void)text_copy(c->peer, sizeof(c->peer), "unix", 4);
		c->req.peer_is_loopback = true;
	} else {
		(void)ip_text(ss, c->peer, sizeof(c->peer), &port, &c->req.peer_is_loopback);
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	if (s->tls) {
		c->tls = tls_accept(s->tls, fd);
		if (!c->tls)
			abort();
	}
	buf_init(&c->stash, STASH_PAUSE + READ_MAX);
	buf_init(&c->reply_head, REPLY_HEAD_MAX);
	c->stream.conn = c;
	(void)event_assign(&c->read_ev, s->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	(void)event_assign(&c->write_ev, s->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
	TAILQ_INSERT_TAIL(&s->conns, c, all);
	s->n_open++;
	c->since_ms = clock_mono_ms();
	c->deadline_ms = c->since_ms + s->limits.idle_timeout_ms;
	conn_read_more(c);
}

static int64_t sweep_period(const struct http_server *s)
{
	int64_t ms = s->limits.request_timeout_ms < s->limits.idle_timeout_ms
			     ? s->limits.request_timeout_ms
			     : s->limits.idle_timeout_ms;

	ms /= 8;
	if (ms < SWEEP_MIN_MS)
		return SWEEP_MIN_MS;
	return ms > SWEEP_MAX_MS ? SWEEP_MAX_MS : ms;
}

static void sweep_soon(struct http_server *s)
{
	struct timeval tv = clock_timeval(sweep_period(s));

	if (!event_pending(&s->sweep_ev, EV_TIMEOUT, NULL))
		(void)event_add(&s->sweep_ev, &tv);
}

static bool accept_one(struct http_server *s)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	int fd = accept4(s->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		conn_new(s, fd, &ss);
		sweep_soon(s);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		log_warn("cannot accept a connection, waiting", KV("error", strerror(errno)));
		accept_pause(s);
		sweep_soon(s);
	}
	return errno == ECONNABORTED || errno == EINTR;
}

static void on_connection(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;

	UNUSED(fd);
	UNUSED(what);
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		if (s->n_open >= s->limits.max_connections) {
			accept_pause(s);
			return;
		}
		if (!accept_one(s))
			return;
	}
}

static void conn_expire(struct conn *c, int64_t now, bool crowded)
{
	if (c->state == CONN_IDLE && crowded && now - c->since_ms >= CROWDED_IDLE_MS)
		conn_close(c);
	else if (!c->deadline_ms || now < c->deadline_ms)
		return;
	else if (c->state == CONN_READING)
		conn_refuse(c, 408);
	else
		conn_close(c);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	bool crowded = s->n_open >= s->limits.max_connections;
	int64_t now = clock_mono_ms();
	struct conn *c;

	UNUSED(fd);
	UNUSED(what);
	TAILQ_FOREACH(c, &s->conns, all)
	conn_expire(c, now, crowded);
	accept_again(s);
	if (!TAILQ_EMPTY(&s->conns))
		sweep_soon(s);
}

/* What must not happen inside a callback of the connection: freeing it, starting its next request.
 */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	STAILQ_HEAD(, conn) now = STAILQ_HEAD_INITIALIZER(now);
	struct conn *c;

	UNUSED(fd);
	UNUSED(what);
	STAILQ_CONCAT(&now, &s->turn);
	while ((c = STAILQ_FIRST(&now))) {
		STAILQ_REMOVE_HEAD(&now, turn);
		c->in_turn = false;
		if (c->state == CONN_IDLE) {
			conn_serve(c);
		} else if (c->state == CONN_DEAD) {
			if (c->stream.closed)
				c->stream.closed(c->stream.arg);
			conn_free(c);
		}
	}
}

/* --- public --- */

int http_server_new(struct event_base *base, const char *address, const struct http_limits *limits,
		    http_handler_fn *handler, void *arg, struct http_server **out, struct err *err)
{
	char bound[128];
	struct http_server *s;
	int fd = http_listen(address, bound, err);

	if (fd < 0)
		return -1;
	(void)evutil_make_socket_closeonexec(fd);
	s = xcalloc(1, sizeof(*s));
	s->base = base;
	s->limits = *limits;
	s->handler = handler;
	s->arg = arg;
	s->fd = fd;
	s->body_budget = limits->max_body_bytes * BODIES_AT_CAP;
	TAILQ_INIT(&s->conns);
	STAILQ_INIT(&s->turn);
	(void)text_copy(s->address, sizeof(s->address), bound, strlen(bound));
	if (text_starts(address, "unix:"))
		(void)text_copy(s->unix_path, sizeof(s->unix_path), address + 5,
				strlen(address + 5));
	(void)event_assign(&s->listen_ev, base, fd, EV_READ | EV_PERSIST, on_connection, s);
	(void)event_assign(&s->sweep_ev, base, -1, 0, on_sweep, s);
	(void)event_assign(&s->turn_ev, base, -1, 0, on_turn, s);
	accept_again(s);
	*out = s;
	return 0;
}

void http_server_tls(struct http_server *s, const struct tls *tls)
{
	s->tls = tls;
}

/* Nothing on the wire that we have not read. */
static bool conn_is_quiet(const struct conn *c)
{
	char byte;

	if (c->tls && tls_pending(c->tls))
		return false;
	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/* It was told "connected", perhaps in this moment; its request, or its handshake, is on the way. */
static void conn_wait_for_first_word(struct conn *c)
{
	int64_t until_ms = clock_mono_ms() + FIRST_WORD_MS;

	if (until_ms < c->deadline_ms)
		c->deadline_ms = until_ms;
}

static void conn_drain(struct conn *c)
{
	if (c->fd < 0)
		return;
	if (c->state == CONN_IDLE && !c->asked)
		conn_wait_for_first_word(c);
	else if (c->state == CONN_STREAM ||
		 (c->state == CONN_IDLE && !c->in_turn && conn_is_quiet(c)))
		conn_close(c);
}

void http_server_drain(struct http_server *s)
{
	struct conn *c;

	if (s->draining)
		return;
	/* Whoever was told "connected" is served; closing the socket would reset them. */
	for (int i = 0; i < ACCEPTS_AT_DRAIN && s->n_open < s->limits.max_connections; i++)
		if (!accept_one(s))
			break;
	accept_pause(s);
	s->draining = true;
	(void)close(s->fd);
	s->fd = -1;
	TAILQ_FOREACH(c, &s->conns, all)
	conn_drain(c);
}

size_t http_server_connections(const struct http_server *s)
{
	return s->n_open;
}

void http_server_free(struct http_server *s)
{
	struct conn *c;

	if (!s)
		return;
	accept_pause(s);
	s->draining = true;
	while ((c = TAILQ_FIRST(&s->conns))) {
		if (c->stream.closed)
			c->stream.closed(c->stream.arg);
		conn_free(c);
	}
	(void)event_del(&s->sweep_ev);
	(void)event_del(&s->turn_ev);
	if (s->fd >= 0)
		(void)close(s->fd);
	if (*s->unix_path)
		(void)unlink(s->unix_path);
	free(s);
}

const char *http_server_address(const struct http_server *s)
{
	return s->address;
}

static struct conn *conn_of(const struct http_request *req)
{
	return (struct conn *)(uintptr_t)req;
}

const char *http_request_header(const struct http_request *req, const char *name)
{
	return http_parse_header(conn_of(req)->parse, name, 0);
}

const char *http_request_header_at(const struct http_request *req, const char *name, size_t i)
{
	return http_parse_header(conn_of(req)->parse, name, i);
}

size_t http_request_header_count(const struct http_request *req, const char *name)
{
	size_t n = 0;

	while (http_parse_header(conn_of(req)->parse, name, n))
		n++;
	return n;
}

bool http_request_query(const struct http_request *req, const char *name, char *out, size_t cap)
{
	size_t len = strlen(name);
	const char *s = req->query;

	while (*s) {
		size_t n = strcspn(s, "&");

		if (n > len && s[len] == '=' && strncmp(s, name, len) == 0)
			return http_percent_decode(s + len + 1, n - len - 1, true, out, cap);
		s += n;
		s += *s == '&';
	}
	return false;
}

void http_reply_header(struct http_request *req, const char *name, const char *value)
{
	struct conn *c = conn_of(req);
	size_t before = c->reply_head.len;

	if (c->n_reply_headers++ >= REPLY_HEADERS_MAX)
		return;
	buf_printf(&c->reply_head, "%s: %s", name, value);
	if (c->reply_head.overflow)
		return;
	/* Nobody gets to write a header line of their own. */
	for (size_t i = before; i < c->reply_head.len; i++)
		if ((unsigned char)c->reply_head.data[i] < ' ')
			c->reply_head.data[i] = ' ';
	buf_puts(&c->reply_head, "\r\n");
}

/* Whoever was BUSY is answered now; false when there is nobody left to hear it. */
static bool conn_take_answer(struct conn *c)
{
	if (c->state != CONN_BUSY) {
		log_error("a request was answered twice");
		abort();
	}
	if (c->fd < 0) {
		c->state = CONN_DEAD;
		conn_in_turn(c);
		return false;
	}
	if (c->server->draining || (c->eof && c->stash_at >= c->stash.len))
		c->close_after = true;
	return true;
}

void http_reply(struct http_request *req, int status, const char *type, const char *body, size_t n)
{
	struct conn *c = conn_of(req);

	if (conn_take_answer(c))
		conn_reply(c, CONN_FLUSHING, status, type, body, n);
}

void http_reply_text(struct http_request *req, int status, const char *type, const char *body)
{
	http_reply(req, status, type, body, strlen(body));
}

void http_drop(struct http_request *req)
{
	struct conn *c = conn_of(req);

	if (!conn_take_answer(c))
		return;
	c->state = CONN_FLUSHING;
	conn_close(c);
}

struct http_stream *http_reply_stream(struct http_request *req, int status, const char *type,
				      void (*closed)(void *arg), void *arg)
{
	struct conn *c = conn_of(req);
	OWNED(buf_done) struct buf head;
	struct iovec iov;

	c->stream.closed = closed;
	c->stream.arg = arg;
	if (!conn_take_answer(c))
		return &c->stream;
	c->close_after = true;
	buf_init(&head, REPLY_HEAD_MAX + 1024);
	head_write(c, &head, status, type, -1);
	iov = (struct iovec){ head.data, head.len };
	c->state = CONN_STREAM;
	if (!conn_send(c, &iov, 1) || c->eof || c->server->draining)
		conn_close(c);
	return &c->stream;
}

void http_stream_write(struct http_stream *stream, const char *data, size_t n)
{
	struct conn *c = stream->conn;
	struct iovec iov = { (void *)(uintptr_t)data, n };

	if (c->state == CONN_STREAM && n && !conn_send(c, &iov, 1))
		conn_close(c);
}

size_t http_stream_backlog(const struct http_stream *stream)
{
	return stream->conn->out ? evbuffer_get_length(stream->conn->out) : 0;
}

void http_stream_end(struct http_stream *stream)
{
	struct conn *c = stream->conn;

	stream->closed = NULL;
	if (c->state != CONN_STREAM)
		return;
	c->state = CONN_FLUSHING;
	c->deadline_ms = clock_mono_ms() + c->server->limits.request_timeout_ms;
	if (conn_flushed(c))
		conn_answered(c);
}

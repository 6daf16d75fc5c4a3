#include "fake_http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "core/clock.h"
#include "core/mem.h"

struct peer {
	struct peer *next;
	struct fake_http *server;
	struct bufferevent *bev;
};

struct fake_http {
	struct event_base *base;
	struct evconnlistener *listener;
	fake_http_fn *fn;
	void *arg;
	int port;
	unsigned connections, requests;
	struct peer *peers;
};

static void peer_free(struct peer *p)
{
	for (struct peer **at = &p->server->peers; *at; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			break;
		}
	}
	bufferevent_free(p->bev);
	free(p);
}

static size_t body_length(const char *head)
{
	const char *line = strcasestr(head, "\r\nContent-Length:");

	return line ? strtoul(line + 17, NULL, 10) : 0;
}

static void reset_now(struct bufferevent *bev)
{
	struct linger none = { .l_onoff = 1, .l_linger = 0 };
	evutil_socket_t fd = bufferevent_getfd(bev);
	struct evbuffer *out = bufferevent_get_output(bev);

	while (evbuffer_get_length(out) && evbuffer_write(out, fd) > 0)
		continue;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

static void on_sent(struct bufferevent *bev, void *arg)
{
	(void)bev;
	peer_free(arg);
}

/* False when the peer is gone. */
static bool serve(struct peer *p, size_t head_len, size_t body_len)
{
	struct evbuffer *in = bufferevent_get_input(p->bev);
	struct fake_request r = { .server = p->server, .bev = p->bev };
	OWNED(freep) char *text = xcalloc(1, head_len + body_len + 2);

	(void)evbuffer_remove(in, text, head_len);
	(void)evbuffer_remove(in, text + head_len + 1, body_len);
	r.head = text;
	r.body = text + head_len + 1;
	r.number = ++p->server->requests;
	if (sscanf(text, "%15s %511s", r.method, r.path) != 2)
		abort();
	p->server->fn(&r, p->server->arg);
	if (r.reset) {
		reset_now(p->bev);
		peer_free(p);
		return false;
	}
	if (r.close)
		bufferevent_setcb(p->bev, NULL, on_sent, NULL, p);
	return !r.close;
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct peer *p = arg;
	struct evbuffer *in = bufferevent_get_input(bev);

	for (;;) {
		struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
		size_t head_len, body_len, have = evbuffer_get_length(in);
		OWNED(freep) char *head = NULL;

		if (end.pos < 0)
			return;
		head_len = (size_t)end.pos + 4;
		head = xcalloc(1, head_len + 1);
		(void)evbuffer_copyout(in, head, head_len);
		body_len = body_length(head);
		if (have < head_len + body_len || !serve(p, head_len, body_len))
			return;
	}
}

static void on_gone(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	peer_free(arg);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
		      void *arg)
{
	struct fake_http *s = arg;
	struct peer *p = xcalloc(1, sizeof(*p));

	(void)l;
	(void)sa;
	(void)len;
	s->connections++;
	p->server = s;
	p->bev = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!p->bev)
		abort();
	p->next = s->peers;
	s->peers = p;
	bufferevent_setcb(p->bev, on_read, NULL, on_gone, p);
	(void)bufferevent_enable(p->bev, EV_READ | EV_WRITE);
}

struct fake_http *fake_http_new(struct event_base *base, fake_http_fn *fn, void *arg)
{
	struct fake_http *s = xcalloc(1, sizeof(*s));
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->base = base;
	s->fn = fn;
	s->arg = arg;
	s->listener = evconnlistener_new_bind(base, on_accept, s,
					      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 64,
					      (struct sockaddr *)&in, sizeof(in));
	if (!s->listener ||
	    getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *)&in, &len) < 0)
		abort();
	s->port = ntohs(in.sin_port);
	return s;
}

void fake_http_free(struct fake_http *s)
{
	while (s->peers)
		peer_free(s->peers);
	evconnlistener_free(s->listener);
	free(s);
}

int fake_http_port(const struct fake_http *s)
{
	return s->port;
}

unsigned fake_http_connections(const struct fake_http *s)
{
	return s->connections;
}

unsigned fake_http_requests(const struct fake_http *s)
{
	return s->requests;
}

void fake_http_send(struct fake_request *r, const void *data, size_t n)
{
	(void)bufferevent_write(r->bev, data, n);
}

void fake_http_reply_n(struct fake_request *r, int status, const char *headers, const void *body,
		       size_t n)
{
	OWNED(freep)
	char *head =
		xasprintf("HTTP/1.1 %d Said\r\n%sContent-Length: %zu\r\n\r\n", status, headers, n);

	fake_http_send(r, head, strlen(head));
	if (n)
		fake_http_send(r, body, n);
}

void fake_http_reply(struct fake_request *r, int status, const char *headers, const char *body)
{
	fake_http_reply_n(r, status, headers, body, strlen(body));
}

bool fake_http_has(const struct fake_request *r, const char *line)
{
	OWNED(freep) char *whole = xasprintf("\r\n%s\r\n", line);

	return strstr(r->head, whole) != NULL;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void run(struct event_base *base, const bool *flag, int64_t until)
{
	struct timeval tick = { .tv_usec = 5000 };
	struct event *ev = event_new(base, -1, EV_PERSIST, on_tick, NULL);

	if (!ev)
		abort();
	(void)event_add(ev, &tick);
	while ((!flag || !*flag) && clock_mono_ms() < until)
		(void)event_base_loop(base, EVLOOP_ONCE);
	event_free(ev);
}

bool fake_http_wait(struct event_base *base, const bool *flag)
{
	run(base, flag, clock_mono_ms() + 10000);
	return *flag;
}

void fake_http_settle(struct event_base *base, int ms)
{
	run(base, NULL, clock_mono_ms() + ms);
}

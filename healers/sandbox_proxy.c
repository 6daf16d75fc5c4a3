#include "healers/sandbox_proxy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/http_client.h"
#include "core/mem.h"
#include "core/net_scope.h"
#include "core/process.h"
#include "core/resolve.h"
#include "core/text.h"
#include "healers/sandbox.h"
#include "healers/security.h"

enum {
	LINKS_MAX = 64,            /* at a time: package managers open some 20 */
	LINKS_EVER_MAX = 20000,    /* one for each package, where nothing is kept open */
	HEAD_MAX = 16 << 10,       /* of a request */
	ON_THE_WAY_MAX = 64 << 10, /* bytes of one direction that nobody takes */
	IDLE_MS = 60000,
	LINGER_MS = 1000,
	SAID_MAX = 400,
};

/* One connection of the command, and where it leads. */
struct link {
	TAILQ_ENTRY(link) next;
	struct sandbox_proxy *p;
	struct bufferevent *in, *out; /* out NULL: not that far */
	struct resolve *resolve;
	struct event *idle;
	struct http_origin to;
	bool anywhere; /* its address need not be public */
	char *head;    /* of the request, for the server; NULL: a tunnel */
	bool connected;
	bool ends; /* as soon as `in` has what it is to get */
};

struct sandbox_proxy {
	struct event_base *base;
	struct event *offered;
	int offer; /* -1: it came */
	struct evconnlistener *listener;
	char *hosts, *inside;
	int64_t bytes_left, bytes_max;
	TAILQ_HEAD(link_list, link) links;
	unsigned n_links, n_ever;
	char said[SAID_MAX];
};

static void say(struct sandbox_proxy *p, const char *what)
{
	size_t n = strlen(p->said);

	if (!strstr(p->said, what) && n + strlen(what) + 3 < sizeof(p->said))
		(void)snprintf(p->said + n, sizeof(p->said) - n, "%s%s", n ? ", " : "", what);
}

static void link_free(struct link *l)
{
	struct sandbox_proxy *p = l->p;

	TAILQ_REMOVE(&p->links, l, next);
	if (p->n_links-- == LINKS_MAX && p->listener)
		(void)evconnlistener_enable(p->listener);
	resolve_free(l->resolve);
	event_free(l->idle);
	bufferevent_free(l->in);
	if (l->out)
		bufferevent_free(l->out);
	free(l->head);
	free(l);
}

static void close_all(struct sandbox_proxy *p)
{
	struct link *l;

	if (p->listener)
		evconnlistener_free(TAKE(p->listener));
	while ((l = TAILQ_FIRST(&p->links)))
		link_free(l);
}

static void stays(struct link *l)
{
	struct timeval tv = clock_timeval(IDLE_MS);

	(void)evtimer_add(l->idle, &tv);
}

static void on_in_event(struct bufferevent *bev, short what, void *arg)
{
	UNUSED(bev);
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		link_free(arg);
}

static void on_too_late(struct bufferevent *bev, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(bev);

	UNUSED(arg);
	(void)evbuffer_drain(input, evbuffer_get_length(input));
}

/* With something unread, closing would reset the connection, and what was written would be lost. */
static void end_now(struct link *l)
{
	struct timeval tv = clock_timeval(LINGER_MS);

	if (l->out)
		bufferevent_free(TAKE(l->out));
	(void)shutdown(bufferevent_getfd(l->in), SHUT_WR);
	bufferevent_setcb(l->in, on_too_late, NULL, on_in_event, l);
	(void)bufferevent_enable(l->in, EV_READ);
	(void)evtimer_add(l->idle, &tv);
}

static void end_when_written(struct link *l)
{
	l->ends = true;
	(void)bufferevent_disable(l->in, EV_READ);
	if (evbuffer_get_length(bufferevent_get_output(l->in)) == 0)
		end_now(l);
}

static void answer(struct link *l, const char *status, const char *why)
{
	(void)evbuffer_add_printf(bufferevent_get_output(l->in),
				  "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: "
				  "%zu\r\nConnection: close\r\n\r\npipeline-guard: %s\n",
				  status, strlen(why) + strlen("pipeline-guard: \n"), why);
	end_when_written(l);
}

static void no_way(struct link *l, const char *why)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "%.60s: %.80s", l->to.host, why);
	answer(l, "502 Bad Gateway", text);
}

static void refuse(struct link *l, const char *why)
{
	say(l->p, why);
	answer(l, "403 Forbidden", why);
}

/* --- who may be talked to -------------------------------------------------------------------- */

/* "*.example.org", "example.org", "[::1]:8080"; without a port the two of the web are meant. */
static bool fits(const char *entry, size_t n, const struct http_origin *to)
{
	const char *colon = memrchr(entry, ':', n), *bracket = memrchr(entry, ']', n);
	size_t host = colon && colon > bracket ? (size_t)(colon - entry) : n;
	const char *port = entry + host + 1, *name = to->host;
	size_t len = strlen(to->host);

	if (host < n
		    ? strlen(to->port) != n - host - 1 || strncmp(to->port, port, n - host - 1) != 0
		    : strcmp(to->port, "80") != 0 && strcmp(to->port, "443") != 0)
		return false;
	if (host > 1 && entry[0] == '*' && entry[1] == '.') {
		entry++;
		host--;
		if (len <= host)
			return false;
		name += len - host;
		len = host;
	}
	return len == host && strncasecmp(name, entry, len) == 0;
}

static bool listed(const char *list, const struct http_origin *to)
{
	size_t n;

	for (; *list; list += n) {
		list += strspn(list, ", ");
		n = strcspn(list, ", ");
		if (n && fits(list, n, to))
			return true;
	}
	return false;
}

static int judge(struct link *l, const char *url, struct err *err)
{
	const struct sandbox_proxy *p = l->p;

	if (http_origin_of(url, &l->to, err) < 0)
		return -1;
	l->anywhere = listed(p->inside, &l->to);
	if (l->anywhere)
		return 0;
	if (*p->hosts && !listed(p->hosts, &l->to))
		return err_set(err, ERR_INPUT, "%.60s:%s is not on the list", l->to.host,
			       l->to.port);
	return security_check_url(url, err);
}

/* --- the connection to it --------------------------------------------------------------------- */

/* False: too much went over it, and l is gone with all others. */
static bool move(struct link *l, struct bufferevent *from, struct bufferevent *to)
{
	struct evbuffer *source = bufferevent_get_input(from);
	struct sandbox_proxy *p = l->p;
	char why[64];

	p->bytes_left -= (int64_t)evbuffer_get_length(source);
	if (p->bytes_left < 0) {
		(void)snprintf(why, sizeof(why), "more than %" PRId64 " bytes", p->bytes_max);
		say(p, why);
		close_all(p);
		return false;
	}
	(void)evbuffer_add_buffer(bufferevent_get_output(to), source);
	stays(l);
	return true;
}

/* What was read waits in `from`, which then stops reading, while `to` does not take it. */
static void pass_on(struct link *l, struct bufferevent *from, struct bufferevent *to)
{
	if (evbuffer_get_length(bufferevent_get_output(to)) < ON_THE_WAY_MAX)
		(void)move(l, from, to);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct link *l = arg;

	pass_on(l, bev, bev == l->in ? l->out : l->in);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct link *l = arg;

	if (l->ends) {
		if (bev == l->in)
			end_now(l);
	} else if (l->out) {
		pass_on(l, bev == l->in ? l->out : l->in, bev);
	}
}

static void begin(struct link *l)
{
	if (l->head)
		(void)bufferevent_write(l->out, l->head, strlen(l->head));
	else
		(void)evbuffer_add_printf(bufferevent_get_output(l->in),
					  "HTTP/1.1 200 Connection established\r\n\r\n");
	bufferevent_setcb(l->in, on_read, on_written, on_in_event, l);
	(void)bufferevent_enable(l->out, EV_READ);
	(void)bufferevent_enable(l->in, EV_READ);
	l->connected = true;
	(void)move(l, l->in, l->out); /* what came with the request */
}

static void on_out_event(struct bufferevent *bev, short what, void *arg)
{
	struct link *l = arg;

	if (l->ends)
		return;
	if (what & BEV_EVENT_CONNECTED)
		begin(l);
	else if (!l->connected)
		no_way(l, evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
	else if (move(l, bev, l->in))
		end_when_written(l);
}

static void on_resolved(const struct sockaddr *addr, socklen_t len, const char *why, void *arg)
{
	struct link *l = arg;
	const char *scope = addr ? net_not_public(addr) : NULL;
	char text[160];

	if (addr && !scope && net_is_own(addr))
		scope = "of this machine";
	if (!addr) {
		no_way(l, why);
		return;
	}
	if (scope && !l->anywhere) {
		(void)snprintf(text, sizeof(text), "%.60s has an address that is %s", l->to.host,
			       scope);
		refuse(l, text);
		return;
	}
	l->out = bufferevent_socket_new(l->p->base, -1,
					BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!l->out)
		abort();
	bufferevent_setcb(l->out, on_read, on_written, on_out_event, l);
	bufferevent_setwatermark(l->out, EV_READ, 0, ON_THE_WAY_MAX);
	if (bufferevent_socket_connect(l->out, addr, (int)len) < 0)
		no_way(l, strerror(errno));
	else
		resolve_free(TAKE(l->resolve));
}

/* --- the request ----------------------------------------------------------------------------- */

/* Those that are between the two of us, and the one that says where it goes. */
static bool is_kept(const char *field)
{
	static const char *const dropped[] = { "Host:",       "Connection:", "Proxy-",
					       "Keep-Alive:", "TE:",         "Upgrade:" };

	for (size_t i = 0; i < ARRAY_LEN(dropped); i++)
		if (strncasecmp(field, dropped[i], strlen(dropped[i])) == 0)
			return false;
	return true;
}

/* Lines that end in CR LF, each of text, none a continuation. */
static bool is_head(const char *head, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)head[i];

		if (c == '\r' ? head[i + 1] != '\n'
		    : c == '\n'
			    ? !i || head[i - 1] != '\r' || head[i + 1] == ' ' || head[i + 1] == '\t'
			    : (c < ' ' && c != '\t') || c == 127)
			return false;
	}
	return true;
}

/* For one request and no other: where the next one goes nobody would have looked at. */
static char *head_for_server(const struct link *l, const char *method, const char *path,
			     const char *fields)
{
	struct buf b;
	size_t n;

	buf_init(&b, 2 * HEAD_MAX);
	buf_printf(&b, "%s %s%s HTTP/1.1\r\nHost: %s", method, *path == '/' ? "" : "/", path,
		   l->to.host);
	if (strcmp(l->to.port, "80") != 0)
		buf_printf(&b, ":%s", l->to.port);
	buf_puts(&b, "\r\nConnection: close\r\n");
	for (; *fields; fields += n) {
		n = strcspn(fields, "\n") + 1;
		if (is_kept(fields))
			buf_append(&b, fields, n);
	}
	return buf_take(&b);
}

/* "CONNECT host:443 HTTP/1.1" or "GET http://host/path HTTP/1.1"; -1: neither. */
static int read_head(struct link *l, char *head, struct err *err)
{
	char *target = strchr(head, ' '), *end = strstr(head, "\r\n"), *version;
	OWNED(freep) char *url = NULL;

	*end = '\0';
	version = target ? strchr(target + 1, ' ') : NULL;
	if (!version || !text_starts(version, " HTTP/1."))
		return err_set(err, ERR_INPUT, "is no request of HTTP/1");
	*target++ = *version = '\0';
	if (strcmp(head, "CONNECT") == 0) {
		if (strpbrk(target, "/?#"))
			return err_set(err, ERR_INPUT, "CONNECT takes a host and a port");
		url = xasprintf("https://%s/", target);
		return judge(l, url, err);
	}
	if (strncasecmp(target, "http://", 7) != 0)
		return err_set(err, ERR_INPUT, "only http:// and CONNECT");
	if (judge(l, target, err) < 0)
		return -1;
	target += 7 + strcspn(target + 7, "/?");
	l->head = head_for_server(l, head, target, end + 2);
	return 0;
}

static void look_up(struct link *l)
{
	char host[sizeof(l->to.host)];
	const char *name = l->to.host;
	uint64_t port = 0;

	if (*name == '[') {
		(void)text_copy(host, sizeof(host), name + 1, strlen(name) - 2);
		name = host;
	}
	(void)!text_to_u64(l->to.port, &port);
	(void)bufferevent_disable(l->in, EV_READ);
	l->resolve = resolve_new(l->p->base, name, (int)port, on_resolved, l);
}

static void on_head(struct bufferevent *bev, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
	OWNED(freep) char *head = NULL;
	struct link *l = arg;
	struct err err;
	size_t n;

	if (end.pos < 0) {
		if (evbuffer_get_length(input) >= HEAD_MAX)
			answer(l, "431 Request Header Fields Too Large", "the request is too long");
		return;
	}
	n = (size_t)end.pos + 4;
	head = xmalloc(n + 1);
	(void)evbuffer_remove(input, head, n);
	head[n] = '\0';
	if (!is_head(head, n))
		answer(l, "400 Bad Request", "the request is malformed");
	else if (read_head(l, head, &err) < 0)
		refuse(l, err.msg);
	else
		look_up(l);
}

/* --- connections ----------------------------------------------------------------------------- */

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	link_free(arg);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
		      int len, void *arg)
{
	struct sandbox_proxy *p = arg;
	struct link *l;

	UNUSED(from);
	UNUSED(len);
	if (p->n_ever++ == LINKS_EVER_MAX) {
		(void)close(fd);
		say(p, "too many connections");
		close_all(p);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->p = p;
	l->in = bufferevent_socket_new(p->base, fd, BEV_OPT_CLOSE_ON_FREE);
	l->idle = evtimer_new(p->base, on_idle, l);
	if (!l->in || !l->idle)
		abort();
	TAILQ_INSERT_TAIL(&p->links, l, next);
	if (++p->n_links == LINKS_MAX)
		(void)evconnlistener_disable(listener); /* others wait in there */
	bufferevent_setcb(l->in, on_head, on_written, on_in_event, l);
	bufferevent_setwatermark(l->in, EV_READ, 0, ON_THE_WAY_MAX);
	(void)bufferevent_enable(l->in, EV_READ);
	stays(l);
}

/* One message, with one descriptor, from our own stage before it becomes the command. */
static void on_offer(evutil_socket_t fd, short what, void *arg)
{
	struct sandbox_proxy *p = arg;
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec io = { &byte, 1 };
	struct msghdr m = { .msg_iov = &io,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	const struct cmsghdr *c = recvmsg(fd, &m, MSG_CMSG_CLOEXEC) > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	int listener;

	UNUSED(what);
	event_free(TAKE(p->offered));
	(void)close(p->offer);
	p->offer = -1;
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(listener)))
		return;
	memcpy(&listener, CMSG_DATA(c), sizeof(listener));
	(void)evutil_make_socket_nonblocking(listener);
	p->listener = evconnlistener_new(
		p->base, on_accept, p, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, listener);
	if (!p->listener)
		abort();
}

bool sandbox_proxy_offer(int over, int listener)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec io = { &(char){ 0 }, 1 };
	const struct msghdr m = { .msg_iov = &io,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &listener, sizeof(listener));
	return sendmsg(over, &m, 0) == 1;
}

struct sandbox_proxy *sandbox_proxy_new(struct event_base *base, const struct sandbox_network *net,
					int *offer, struct err *err)
{
	struct sandbox_proxy *p;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		(void)err_set(err, ERR_TRANSIENT, "socketpair: %s", strerror(errno));
		return NULL;
	}
	process_ignore_sigpipe();
	p = xcalloc(1, sizeof(*p));
	TAILQ_INIT(&p->links);
	p->base = base;
	p->hosts = xstrdup(net->hosts ? net->hosts : "");
	p->inside = xstrdup(net->inside ? net->inside : "");
	p->bytes_left = p->bytes_max = net->max_bytes;
	p->offer = ends[0];
	*offer = ends[1];
	p->offered = event_new(base, p->offer, EV_READ, on_offer, p);
	if (!p->offered || event_add(p->offered, NULL) < 0)
		abort();
	return p;
}

void sandbox_proxy_free(struct sandbox_proxy *p)
{
	if (!p)
		return;
	close_all(p);
	if (p->offered)
		event_free(p->offered);
	if (p->offer >= 0)
		(void)close(p->offer);
	free(p->hosts);
	free(p->inside);
	free(p);
}

const char *sandbox_proxy_refused(const struct sandbox_proxy *p)
{
	return p->said;
}

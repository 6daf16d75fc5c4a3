/*
 * What the proxy lets through, and in which words. All of it in a network namespace of its own,
 * whose loopback has public addresses: one card's, one only by its route, as the rest of the world
 * has them.
 */
#include "healers/sandbox_proxy.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/resolve.h"
#include "core/text.h"
#include "healers/sandbox.h"
#include "unit.h"

#define FAR "8.8.8.8"
#define OWN "8.8.4.4"
enum { PATIENCE_MS = 20000, MUCH = 3 << 20, NO_NAMESPACE = 77 };

/* --- a world of its own ------------------------------------------------------------------------
 */

static bool route_to(const char *ip)
{
	struct {
		struct nlmsghdr head;
		struct rtmsg route;
		struct rtattr dst;
		struct in_addr to;
		struct rtattr out;
		unsigned card;
	} m = {
		.head = { .nlmsg_len = sizeof(m),
			  .nlmsg_type = RTM_NEWROUTE,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK },
		.route = { .rtm_family = AF_INET,
			   .rtm_dst_len = 32,
			   .rtm_table = RT_TABLE_LOCAL,
			   .rtm_protocol = RTPROT_STATIC,
			   .rtm_scope = RT_SCOPE_HOST,
			   .rtm_type = RTN_LOCAL },
		.dst = { .rta_len = RTA_LENGTH(sizeof(m.to)), .rta_type = RTA_DST },
		.out = { .rta_len = RTA_LENGTH(sizeof(m.card)), .rta_type = RTA_OIF },
		.card = if_nametoindex("lo"),
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr err;
	} answer = { .err.error = -1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	bool ok = inet_pton(AF_INET, ip, &m.to) == 1 && send(fd, &m, sizeof(m), 0) > 0 &&
		  recv(fd, &answer, sizeof(answer), 0) > 0 && answer.err.error == 0;

	(void)close(fd);
	return ok;
}

static bool be_at(const char *name, const char *ip)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct ifreq r = { .ifr_flags = 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	(void)inet_pton(AF_INET, ip, &at.sin_addr);
	(void)text_copy(r.ifr_name, sizeof(r.ifr_name), name, strlen(name));
	memcpy(&r.ifr_addr, &at, sizeof(at));
	ok = ioctl(fd, SIOCSIFADDR, &r) == 0 && ioctl(fd, SIOCGIFFLAGS, &r) == 0;
	r.ifr_flags |= IFF_UP;
	ok = ok && ioctl(fd, SIOCSIFFLAGS, &r) == 0;
	(void)close(fd);
	return ok;
}

static bool leave_for_a_world_of_our_own(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 && be_at("lo", "127.0.0.1") &&
	       be_at("lo:0", OWN) && route_to(FAR);
}

static int listen_at(uint32_t ip, char port[static 8])
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip) };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	(void)snprintf(port, 8, "%u", (unsigned)ntohs(at.sin_port));
	return fd;
}

/* --- a server, and who asks the proxy for it -----------------------------------------------------
 */

struct world {
	struct event_base *base;
	char server_port[8], proxy_port[8];
	struct evconnlistener *server;
	struct bufferevent *served, *client;
	struct sandbox_proxy *proxy;
	struct buf got, answer;        /* by the server, by the client */
	size_t say_after, say;         /* so many bytes got, so many to send */
	bool server_gone, client_gone; /* saw the end of it */
};

static void on_served(struct bufferevent *bev, void *arg)
{
	struct world *w = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	OWNED(freep) char *much = NULL;
	size_t n = evbuffer_get_length(in);

	buf_append(&w->got, evbuffer_pullup(in, -1), n);
	(void)evbuffer_drain(in, n);
	if (w->got.len < w->say_after || !w->say)
		return;
	much = xmalloc(w->say);
	memset(much, 'x', w->say);
	(void)bufferevent_write(bev, much, w->say);
	w->say = 0;
}

static void on_all_said(struct bufferevent *bev, void *arg)
{
	struct world *w = arg;

	(void)shutdown(bufferevent_getfd(bev), SHUT_WR);
	UNUSED(w);
}

static void on_server_event(struct bufferevent *bev, short what, void *arg)
{
	struct world *w = arg;

	UNUSED(bev);
	w->server_gone = (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int len,
		      void *arg)
{
	struct world *w = arg;

	UNUSED(l);
	UNUSED(from);
	UNUSED(len);
	assert_null(w->served);
	w->served = bufferevent_socket_new(w->base, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(w->served, on_served, on_all_said, on_server_event, w);
	(void)bufferevent_enable(w->served, EV_READ);
}

static void on_answer(struct bufferevent *bev, void *arg)
{
	struct world *w = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t n = evbuffer_get_length(in);

	buf_append(&w->answer, evbuffer_pullup(in, -1), n);
	(void)evbuffer_drain(in, n);
}

static void on_client_event(struct bufferevent *bev, short what, void *arg)
{
	struct world *w = arg;

	UNUSED(bev);
	w->client_gone = (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0;
}

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->base = event_base_new();
	buf_init(&w->got, 2 * MUCH);
	buf_init(&w->answer, 2 * MUCH);
	w->server = evconnlistener_new(w->base, on_accept, w, LEV_OPT_CLOSE_ON_FREE, 0,
				       listen_at(INADDR_ANY, w->server_port));
	w->say = 3;
	*state = w;
	return 0;
}

static void hang_up(struct world *w)
{
	if (w->client)
		bufferevent_free(TAKE(w->client));
	if (w->served)
		bufferevent_free(TAKE(w->served));
	sandbox_proxy_free(TAKE(w->proxy));
	w->server_gone = w->client_gone = false;
	buf_reset(&w->got);
	buf_reset(&w->answer);
}

static int teardown(void **state)
{
	struct world *w = *state;

	hang_up(w);
	evconnlistener_free(w->server);
	buf_done(&w->got);
	buf_done(&w->answer);
	event_base_free(w->base);
	free(w);
	return 0;
}

static void open_proxy(struct world *w, const struct sandbox_network *network)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int over, listener = listen_at(INADDR_LOOPBACK, w->proxy_port);
	struct err err;

	w->proxy = sandbox_proxy_new(w->base, network, &over, &err);
	assert_ok(w->proxy ? 0 : -1, &err);
	assert_true(sandbox_proxy_offer(over, listener));
	(void)close(over);
	(void)close(listener);
	to.sin_port = htons((uint16_t)strtoul(w->proxy_port, NULL, 10));
	w->client = bufferevent_socket_new(w->base, -1, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(w->client, on_answer, NULL, on_client_event, w);
	(void)bufferevent_enable(w->client, EV_READ);
	assert_int_equal(bufferevent_socket_connect(w->client, (struct sockaddr *)&to, sizeof(to)),
			 0);
}

#define LOOP_UNTIL(w, condition)                                                                  \
	do {                                                                                      \
		int64_t end_ = clock_mono_ms() + PATIENCE_MS;                                     \
		while (!(condition)) {                                                            \
			if (clock_mono_ms() > end_)                                               \
				fail_msg("not seen: %s; got \"%.200s\", answer "                  \
					 "\"%.200s\", refused \"%s\"",                            \
					 #condition, buf_text(&(w)->got), buf_text(&(w)->answer), \
					 sandbox_proxy_refused((w)->proxy));                      \
			(void)event_base_loop((w)->base, EVLOOP_ONCE);                            \
		}                                                                                 \
	} while (0)

static const struct sandbox_network any = { .max_bytes = INT64_C(1) << 40 };

/* Until the proxy closes. */
static void ask(struct world *w, const struct sandbox_network *network, const char *request)
{
	open_proxy(w, network);
	(void)bufferevent_write(w->client, request, strlen(request));
	LOOP_UNTIL(w, w->client_gone);
}

/* --- tests
 * ---------------------------------------------------------------------------------------- */

static void a_public_address_is_reached(void **state)
{
	struct world *w = *state;
	OWNED(freep)
	char *get = xasprintf("GET http://" FAR ":%s/ HTTP/1.1\r\n\r\n", w->server_port);
	OWNED(freep)
	char *tunnel = xasprintf("CONNECT " FAR ":%s HTTP/1.1\r\n\r\nabc", w->server_port);

	ask(w, &any, get);
	assert_string_equal(buf_text(&w->answer), "xxx");
	hang_up(w);
	w->say = 3;
	w->say_after = 3;
	ask(w, &any, tunnel);
	assert_string_equal(buf_text(&w->got), "abc");
	assert_string_equal(buf_text(&w->answer), "HTTP/1.1 200 Connection established\r\n\r\nxxx");
	assert_string_equal(sandbox_proxy_refused(w->proxy), "");
}

/* A service that listens there trusts in a firewall in front of the machine. */
static void one_of_this_machine_is_not(void **state)
{
	struct world *w = *state;
	OWNED(freep)
	char *tunnel = xasprintf("CONNECT " OWN ":%s HTTP/1.1\r\n\r\n", w->server_port);

	ask(w, &any, tunnel);
	assert_true(text_starts(buf_text(&w->answer), "HTTP/1.1 403 "));
	assert_string_equal(sandbox_proxy_refused(w->proxy),
			    OWN " has an address that is of this machine");
	assert_null(w->served);
}

static void the_server_gets_what_is_for_it(void **state)
{
	struct world *w = *state;
	OWNED(freep)
	char *request =
		xasprintf("POST http://" FAR ":%s?q=1 HTTP/1.1\r\nHost: else.example.org\r\n"
			  "Accept: */*\r\nConnection: keep-alive\r\nProxy-Connection: "
			  "keep-alive\r\nproxy-authorization: Basic YTpi\r\nTE: x\r\n"
			  "Content-Length: 2\r\n\r\nhi",
			  w->server_port);
	OWNED(freep)
	char *expected = xasprintf("POST /?q=1 HTTP/1.1\r\nHost: " FAR
				   ":%s\r\nConnection: close\r\nAccept: */*\r\n"
				   "Content-Length: 2\r\n\r\nhi",
				   w->server_port);

	w->say_after = strlen(expected);
	ask(w, &any, request);
	assert_string_equal(buf_text(&w->got), expected);
}

static void what_is_no_request_is_refused(void **state)
{
	static const struct {
		const char *request, *status;
	} rows[] = {
		{ "\r\n\r\n", "403" },
		{ "hello\r\n\r\n", "403" },
		{ "GET / HTTP/1.1\r\n\r\n", "403" },
		{ "GET https://" FAR "/ HTTP/1.1\r\n\r\n", "403" },
		{ "GET ftp://" FAR "/ HTTP/1.1\r\n\r\n", "403" },
		{ "GET http://a@" FAR "/ HTTP/1.1\r\n\r\n", "403" },
		{ "GET http://" FAR ":22/ HTTP/1.1\r\n\r\n", "403" },
		{ "GET http://" FAR "/ HTTP/2\r\n\r\n", "403" },
		{ "CONNECT " FAR ":22 HTTP/1.1\r\n\r\n", "403" },
		{ "CONNECT " FAR ":99999 HTTP/1.1\r\n\r\n", "403" },
		{ "CONNECT http://" FAR "/ HTTP/1.1\r\n\r\n", "403" },
		{ "CONNECT  HTTP/1.1\r\n\r\n", "403" },
		{ "GET http://" FAR "/ HTTP/1.1\nHost: x\n\r\n\r\n", "400" },
		{ "GET http://" FAR "/ HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "400" },
		{ "GET http://" FAR "/ HTTP/1.1\r\nA: b\rc\r\n\r\n", "400" },
		{ "GET http://" FAR "/\x01 HTTP/1.1\r\n\r\n", "400" },
	};
	OWNED(freep) char *endless = xmalloc((17 << 10) + 1);
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask(w, &any, rows[i].request);
		assert_case(strncmp(buf_text(&w->answer) + 9, rows[i].status, 3) == 0,
			    rows[i].request);
		assert_null(w->served);
		hang_up(w);
	}
	memset(endless, 'a', 17 << 10);
	endless[17 << 10] = '\0';
	ask(w, &any, endless);
	assert_true(text_starts(buf_text(&w->answer), "HTTP/1.1 431 "));
}

static void who_does_not_answer_is_said_so(void **state)
{
	struct world *w = *state;
	char port[8];
	OWNED(freep) char *tunnel = NULL;

	(void)close(listen_at(INADDR_ANY, port));
	tunnel = xasprintf("CONNECT " FAR ":%s HTTP/1.1\r\n\r\n", port);
	ask(w, &any, tunnel);
	assert_true(text_starts(buf_text(&w->answer), "HTTP/1.1 502 "));
	assert_non_null(strstr(buf_text(&w->answer), FAR ": Connection refused"));
	hang_up(w);
	resolve_ask("127.0.0.1:9"); /* nobody there */
	ask(w, &any, "CONNECT registry.example.org:443 HTTP/1.1\r\n\r\n");
	resolve_ask(NULL);
	assert_true(text_starts(buf_text(&w->answer), "HTTP/1.1 502 "));
	/* That is no violation. */
	assert_string_equal(sandbox_proxy_refused(w->proxy), "");
}

/* More than any buffer on the way, both ways at once. */
static void much_goes_through_whole(void **state)
{
	struct world *w = *state;
	OWNED(freep) char *much = xmalloc(MUCH);
	OWNED(freep)
	char *tunnel = xasprintf("CONNECT " FAR ":%s HTTP/1.1\r\n\r\n", w->server_port);
	const size_t established = strlen("HTTP/1.1 200 Connection established\r\n\r\n");

	for (size_t i = 0; i < MUCH; i++)
		much[i] = (char)('a' + i % 23);
	w->say = MUCH;
	w->say_after = 1;
	open_proxy(w, &any);
	(void)bufferevent_write(w->client, tunnel, strlen(tunnel));
	(void)bufferevent_write(w->client, much, MUCH);
	LOOP_UNTIL(w, w->client_gone);
	/* The server is done, and with it the connection: whole, though there was more to say. */
	assert_int_equal(w->answer.len, established + MUCH);
	assert_true(w->got.len > 0);
	assert_memory_equal(w->got.data, much, w->got.len);
}

static void more_than_the_limit_does_not(void **state)
{
	static const struct sandbox_network little = { .max_bytes = 100000 };
	struct world *w = *state;
	OWNED(freep)
	char *get = xasprintf("GET http://" FAR ":%s/ HTTP/1.1\r\n\r\n", w->server_port);

	w->say = 90000;
	ask(w, &little, get);
	assert_int_equal(w->answer.len, 90000);
	assert_string_equal(sandbox_proxy_refused(w->proxy), "");
	hang_up(w);
	w->say = MUCH;
	ask(w, &little, get);
	assert_true(w->answer.len <= 100000);
	assert_string_equal(sandbox_proxy_refused(w->proxy), "more than 100000 bytes");
	LOOP_UNTIL(w, w->server_gone);
}

static void who_leaves_takes_the_connection_along(void **state)
{
	struct world *w = *state;
	OWNED(freep)
	char *tunnel = xasprintf("CONNECT " FAR ":%s HTTP/1.1\r\n\r\nabc", w->server_port);

	w->say = 0;
	open_proxy(w, &any);
	(void)bufferevent_write(w->client, tunnel, strlen(tunnel));
	LOOP_UNTIL(w, w->got.len == 3);
	bufferevent_free(TAKE(w->client));
	LOOP_UNTIL(w, w->server_gone);
}

/* The stage failed before it came to that. */
static void without_a_socket_there_is_nothing(void **state)
{
	struct world *w = *state;
	struct err err;
	int over;

	w->proxy = sandbox_proxy_new(w->base, &any, &over, &err);
	assert_non_null(w->proxy);
	(void)close(over);
	(void)event_base_loop(w->base, EVLOOP_NONBLOCK);
	assert_string_equal(sandbox_proxy_refused(w->proxy), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_public_address_is_reached),       T(one_of_this_machine_is_not),
		T(the_server_gets_what_is_for_it),    T(what_is_no_request_is_refused),
		T(who_does_not_answer_is_said_so),    T(much_goes_through_whole),
		T(more_than_the_limit_does_not),      T(who_leaves_takes_the_connection_along),
		T(without_a_socket_there_is_nothing),
#undef T
	};

	if (!leave_for_a_world_of_our_own()) {
		printf("skipped: this host gives no network namespaces\n");
		return NO_NAMESPACE;
	}
	return cmocka_run_group_tests_name("sandbox_proxy", tests, NULL, NULL);
}

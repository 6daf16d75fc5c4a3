#include "core/resolve.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ares.h>
#include <event2/event.h>

#include "core/mem.h"

enum {
	SOCKETS_MAX = 16, /* of the few that a lookup has open at a time */
	TRY_MS = 1000,
	TRIES = 3,
};

struct resolve {
	struct event_base *base;
	resolve_fn *fn;
	void *arg;
	ares_channel channel;
	struct event *timer;
	struct event *sockets[SOCKETS_MAX];
	bool done;
	int status;
	struct sockaddr_storage addr;
	socklen_t len;
};

static const char *server_of_tests;

void resolve_ask(const char *server)
{
	server_of_tests = server;
}

/* Nothing of r may be touched after this. */
static void tell(struct resolve *r)
{
	r->fn(r->len ? (const struct sockaddr *)&r->addr : NULL, r->len,
	      r->len ? "" : ares_strerror(r->status), r->arg);
}

/* When c-ares wants to be asked again; at once when there is something to tell. */
static void arm(struct resolve *r)
{
	struct timeval most = { .tv_sec = TRY_MS / 1000 }, tv = { 0 };

	if (!r->done)
		tv = *ares_timeout(r->channel, &most, &tv);
	(void)evtimer_add(r->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct resolve *r = arg;

	UNUSED(fd);
	UNUSED(what);
	if (!r->done)
		ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	if (r->done)
		tell(r);
	else
		arm(r);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolve *r = arg;

	ares_process_fd(r->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
			what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	arm(r);
}

static struct event **socket_event(struct resolve *r, ares_socket_t fd)
{
	struct event **unused = NULL;

	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		if (r->sockets[i] && event_get_fd(r->sockets[i]) == fd)
			return &r->sockets[i];
		if (!r->sockets[i])
			unused = &r->sockets[i];
	}
	return unused;
}

/* It tells what to watch a socket for; nothing before it is closed. */
static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolve *r = arg;
	struct event **at = socket_event(r, fd);
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

	if (!at)
		return; /* it will look like a silent server */
	if (*at)
		event_free(TAKE(*at));
	if (!what)
		return;
	*at = event_new(r->base, fd, (short)(what | EV_PERSIST), on_socket, r);
	if (!*at || event_add(*at, NULL) < 0)
		abort();
}

static void on_found(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct resolve *r = arg;
	const struct ares_addrinfo_node *first = found ? found->nodes : NULL;

	UNUSED(timeouts);
	r->done = true;
	r->status = status == ARES_SUCCESS ? ARES_ENODATA : status;
	if (first && (size_t)first->ai_addrlen <= sizeof(r->addr)) {
		memcpy(&r->addr, first->ai_addr, (size_t)first->ai_addrlen);
		r->len = (socklen_t)first->ai_addrlen;
	}
	if (found)
		ares_freeaddrinfo(found);
}

/* Some versions of c-ares ask a name server for the address of 127.0.0.1. */
static bool is_number(struct resolve *r, const char *host, int port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
		r->len = sizeof(in);
		memcpy(&r->addr, &in, sizeof(in));
	} else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
		r->len = sizeof(in6);
		memcpy(&r->addr, &in6, sizeof(in6));
	}
	r->done = r->len != 0;
	return r->done;
}

struct resolve *resolve_new(struct event_base *base, const char *host, int port, resolve_fn *fn,
			    void *arg)
{
	struct resolve *r = xcalloc(1, sizeof(*r));
	struct ares_options options = { .timeout = TRY_MS,
					.tries = TRIES,
					.sock_state_cb = on_sock_state,
					.sock_state_cb_data = r };
	const struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NUMERICSERV,
						   .ai_family = AF_UNSPEC,
						   .ai_socktype = SOCK_STREAM };
	char service[16];

	*r = (struct resolve){ .base = base, .fn = fn, .arg = arg };
	r->timer = evtimer_new(base, on_timer, r);
	if (!r->timer || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
	    ares_init_options(&r->channel, &options,
			      ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) !=
		    ARES_SUCCESS ||
	    (server_of_tests &&
	     ares_set_servers_ports_csv(r->channel, server_of_tests) != ARES_SUCCESS))
		abort();
	(void)snprintf(service, sizeof(service), "%d", port);
	if (!is_number(r, host, port))
		ares_getaddrinfo(r->channel, host, service, &hints, on_found, r);
	arm(r);
	return r;
}

void resolve_free(struct resolve *r)
{
	if (!r)
		return;
	ares_destroy(r->channel);
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		if (r->sockets[i])
			event_free(r->sockets[i]);
	event_free(r->timer);
	ares_library_cleanup();
	free(r);
}

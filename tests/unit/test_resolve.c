#include "core/resolve.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/clock.h"
#include "tests/unit/unit.h"

enum { PATIENCE_MS = 10000 };

struct found {
	struct event_base *base;
	struct sockaddr_storage addr;
	socklen_t len;
	unsigned times;
};

static void on_found(const struct sockaddr *addr, socklen_t len, const char *why, void *arg)
{
	struct found *f = arg;

	UNUSED(why);
	f->times++;
	f->len = addr ? len : 0;
	if (addr)
		memcpy(&f->addr, addr, len);
	(void)event_base_loopbreak(f->base);
}

static void look_up(struct found *f, const char *host)
{
	struct timeval patience = clock_timeval(PATIENCE_MS);
	struct resolve *r;

	*f = (struct found){ .base = event_base_new() };
	r = resolve_new(f->base, host, 6379, on_found, f);
	assert_int_equal(f->times, 0); /* never before the loop */
	(void)event_base_loopexit(f->base, &patience);
	(void)event_base_dispatch(f->base);
	assert_int_equal(f->times, 1);
	resolve_free(r);
	event_base_free(f->base);
}

/* One that takes questions, answers none, and is looked at for whether it got any. */
static int silent_name_server(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static char where[32];
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	(void)snprintf(where, sizeof(where), "127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
	resolve_ask(where);
	return fd;
}

static void numbers_need_no_name_server(void **state)
{
	static const char *const rows[] = { "127.0.0.1", "10.1.2.3", "::1", "fe80::1" };
	int fd = silent_name_server();
	struct found f;
	char byte, text[INET6_ADDRSTRLEN];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		bool four = strchr(rows[i], '.') != NULL;

		look_up(&f, rows[i]);
		assert_int_equal(f.len, four ? sizeof(in) : sizeof(in6));
		memcpy(&in, &f.addr, sizeof(in));
		memcpy(&in6, &f.addr, sizeof(in6));
		assert_int_equal(ntohs(four ? in.sin_port : in6.sin6_port), 6379);
		assert_string_equal(inet_ntop(f.addr.ss_family,
					      four ? (void *)&in.sin_addr : &in6.sin6_addr, text,
					      sizeof(text)),
				    rows[i]);
	}
	assert_true(recv(fd, &byte, 1, 0) < 0);
	resolve_ask(NULL);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_need_no_name_server),
	};

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}

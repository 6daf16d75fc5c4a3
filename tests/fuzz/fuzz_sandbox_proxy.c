/* What a program in the sandbox says to the proxy: a refusal, silence, or a way to loopback's
 * port 1. */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/mem.h"
#include "healers/sandbox.h"
#include "healers/sandbox_proxy.h"
#include "tests/fuzz/fuzz.h"

enum { ROUNDS = 1000, TAKES = 10000 /* connections of one proxy, which has a limit */ };

static struct event_base *base;
static struct sandbox_proxy *proxy;
static struct sockaddr_un at;
static socklen_t at_len;

/* As the inner stage of the sandbox does it, of another family. */
static void offer(int over)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	at_len = sizeof(at.sun_family);
	FUZZ_ASSERT(bind(fd, (struct sockaddr *)&at, at_len) == 0 && listen(fd, 8) == 0);
	at_len = sizeof(at);
	FUZZ_ASSERT(getsockname(fd, (struct sockaddr *)&at, &at_len) == 0);
	FUZZ_ASSERT(sandbox_proxy_offer(over, fd));
	(void)close(fd);
	(void)close(over);
}

/* No name is looked up: none is on the list. */
static void start(void)
{
	static const struct sandbox_network network = { .hosts = "none.invalid:1",
							.inside = "127.0.0.1:1, [::1]:1",
							.max_bytes = INT64_MAX };
	struct err err;
	int over;

	sandbox_proxy_free(proxy);
	if (!base)
		base = event_base_new();
	proxy = sandbox_proxy_new(base, &network, &over, &err);
	FUZZ_ASSERT(base && proxy);
	offer(over);
	(void)event_base_loop(base, EVLOOP_ONCE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned taken;
	char answer[4096];
	ssize_t n = 0, got;
	int fd;

	if (taken++ % TAKES == 0)
		start();
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_ASSERT(connect(fd, (struct sockaddr *)&at, at_len) == 0);
	(void)send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < ROUNDS; i++) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		got = recv(fd, answer + n, sizeof(answer) - (size_t)n, MSG_DONTWAIT);
		if (got == 0 || n == sizeof(answer))
			break;
		n += got > 0 ? got : 0;
	}
	(void)close(fd);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	FUZZ_ASSERT(!n || (n > 12 && memcmp(answer, "HTTP/1.1 ", 9) == 0 &&
			   (answer[9] == '4' || answer[9] == '5')));
	FUZZ_ASSERT(strlen(sandbox_proxy_refused(proxy)) < 400);
	return 0;
}

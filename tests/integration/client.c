#include "tests/integration/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/json.h"
#include "core/mem.h"
#include "tests/integration/rig.h"

enum { ANSWER_MAX_BYTES = 64 << 20 };

struct dialog {
	struct rig *rig;
	int fd;
	struct buf in; /* freed by dialog_close(); a test that fails leaks it, and ends */
	bool eof;
};

int port_of(const char *url)
{
	const char *colon = strrchr(url, ':');
	long port = colon ? strtol(colon + 1, NULL, 10) : 0;

	if (port < 1 || port > 65535)
		fail_msg("no port in \"%s\"", url);
	return (int)port;
}

struct dialog *dialog_open(struct rig *r, int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	struct dialog *d = rig_alloc(r, sizeof(*d));
	int on = 1;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	d->rig = r;
	d->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	buf_init(&d->in, ANSWER_MAX_BYTES);
	(void)setsockopt(d->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	(void)setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(d->fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		fail_msg("connect to port %d: %s", port, strerror(errno));
	return d;
}

void dialog_close(struct dialog *d)
{
	(void)close(d->fd);
	buf_done(&d->in);
}

bool dialog_send(struct dialog *d, const void *data, size_t n)
{
	const char *at = data;

	while (n) {
		ssize_t sent = send(d->fd, at, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		at += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* False: nothing came until `end`, or the connection is over. */
static bool more(struct dialog *d, int64_t end)
{
	struct pollfd p = { .fd = d->fd, .events = POLLIN };
	int64_t left = end - clock_mono_ms();
	char chunk[16384];
	ssize_t n;

	if (d->eof || left <= 0 || poll(&p, 1, (int)left) <= 0)
		return false;
	n = recv(d->fd, chunk, sizeof(chunk), 0);
	if (n <= 0) {
		d->eof = true;
		return false;
	}
	buf_append(&d->in, chunk, (size_t)n);
	return true;
}

/* Takes n bytes off the front. */
static void forget(struct dialog *d, size_t n)
{
	OWNED(freep) char *rest = xmemdup(d->in.data + n, d->in.len - n + 1);
	size_t left = d->in.len - n;

	buf_reset(&d->in);
	buf_append(&d->in, rest, left);
}

static const char *header(const char *head, const char *name)
{
	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, name, strlen(name)) == 0)
			return line + 2 + strlen(name);
	return NULL;
}

/* Whole length of the answer at the front; 0: not all there yet. */
static size_t answer_length(struct dialog *d, size_t *head_len)
{
	const char *end = d->in.len ? strstr(d->in.data, "\r\n\r\n") : NULL;
	const char *length;
	OWNED(freep) char *head = NULL;
	size_t want;

	if (!end)
		return 0;
	*head_len = (size_t)(end - d->in.data) + 4;
	head = xstrndup(d->in.data, *head_len);
	length = header(head, "Content-Length:");
	if (!length && strncmp(head, "HTTP/1.1 1", 10) == 0)
		return *head_len; /* "100 Continue" */
	if (!length)
		return d->eof ? d->in.len : 0;
	want = *head_len + strtoul(length, NULL, 10);
	return d->in.len >= want ? want : 0;
}

struct answer dialog_answer(struct dialog *d, int ms)
{
	int64_t end = clock_mono_ms() + ms;
	struct answer a = { .head = "", .body = "" };
	size_t n, head_len = 0;

	while (!(n = answer_length(d, &head_len)) && more(d, end))
		continue;
	n = n ? n : answer_length(d, &head_len);
	if (!n)
		return a;
	a.head = rig_text(d->rig, d->in.data, head_len);
	a.body_len = n - head_len;
	a.body = rig_text(d->rig, d->in.data + head_len, a.body_len);
	if (sscanf(a.head, "HTTP/1.1 %3d", &a.status) != 1)
		fail_msg("no HTTP answer: %.200s", a.head);
	a.json = a.body_len && strchr("{[", *a.body) ? rig_try_json(d->rig, a.body, a.body_len)
						     : NULL;
	forget(d, n);
	return a;
}

bool dialog_closed(struct dialog *d, int ms)
{
	int64_t end = clock_mono_ms() + ms;
	size_t had = d->in.len;

	while (more(d, end))
		continue;
	return d->eof && d->in.len == had;
}

struct answer http_ask(struct rig *r, int port, const char *method, const char *path,
		       const char *headers, const void *body, size_t n)
{
	struct dialog *d = dialog_open(r, port);
	const char *head = rig_printf(r,
				      "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s"
				      "Content-Length: %zu\r\nConnection: close\r\n\r\n",
				      method, path, port, headers, n);
	struct answer a;

	/* A server may answer and close before it has read everything, so errors are no news. */
	if (dialog_send(d, head, strlen(head)))
		(void)dialog_send(d, n ? body : "", n);
	a = dialog_answer(d, PATIENCE_MS);
	dialog_close(d);
	return a;
}

struct answer http_get(struct rig *r, int port, const char *path)
{
	return http_ask(r, port, "GET", path, "", NULL, 0);
}

struct answer http_post_json(struct rig *r, int port, const char *path, const char *json)
{
	return http_ask(r, port, "POST", path, "Content-Type: application/json\r\n", json,
			strlen(json));
}

const char *answer_str(const struct answer *a, const char *path)
{
	return a->json ? json_str(a->json, path, "") : "";
}

#include "core/http_client.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <openssl/crypto.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "core/tail_buf.h"
#include "core/text.h"

enum {
	TIMEOUT_DEFAULT_MS = 30000,
	CONNECT_TIMEOUT_MS = 10000,
	BODY_DEFAULT_BYTES = 4 << 20,
	HEADER_BYTES_MAX = 256 << 10,
	LOCATION_MAX = 8192,
	LINK_MAX = 2048,
	IDLE_CONNECTIONS_MAX = 16,
	ERROR_MAX = 320,
};
#define RETRY_AFTER_MAX_MS (INT64_C(7) * 24 * 3600 * 1000)

struct socket_watch {
	struct socket_watch *next, **link;
	struct event *ev;
};

struct http_client {
	struct event_base *base;
	CURLM *multi;
	char *user_agent;
	struct event *timer;   /* libcurl's only timer */
	struct event *deliver; /* runs callbacks one turn after the call ended */
	struct socket_watch *watches;
	struct http_call *running;
	struct http_call *finished, **finished_tail;
	bool *freed; /* set when the client dies inside a callback */
};

/* What the headers of the current hop said. */
struct answer_head {
	size_t bytes;
	bool body_began; /* what comes later is a trailer, and ignored */
	char location[LOCATION_MAX];
	char content_type[128];
	char etag[256], link[LINK_MAX];
	char cookies[1024];
	int64_t retry_after_ms, rate_remaining, rate_reset_at_ms;
};

struct http_call {
	struct http_client *client;
	struct http_call *next, **link; /* in running or finished */
	http_done_fn *fn;
	void *arg;

	CURL *easy;
	struct curl_slist *headers; /* of the first origin; wiped and dropped with it */
	bool in_multi, delivering, once;
	bool refused; /* an address, by may_connect */
	bool (*may_connect)(const struct sockaddr *, void *);
	void *may_connect_arg;
	char method[16];
	char *url;
	char *body;
	size_t body_len;
	unsigned redirects_left;
	int64_t deadline_ms;

	struct answer_head head;
	struct tail_buf body_in;
	int status;
	char curl_error[CURL_ERROR_SIZE];
	char error[ERROR_MAX];
};

/* --- small parsers ------------------------------------------------------ */

int64_t http_retry_after_ms(const char *value, int64_t now_ms)
{
	size_t n = strspn(value, "0123456789");
	uint64_t seconds;
	time_t at;
	int64_t ms;

	if (n && !value[n]) {
		if (n > 9 || !text_to_u64(value, &seconds))
			return RETRY_AFTER_MAX_MS;
		ms = (int64_t)seconds * 1000;
		return ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
	}
	/* All three HTTP date forms begin with the day's name; curl_getdate() knows more forms. */
	if (!isalpha((unsigned char)value[0]) || strnlen(value, 64) == 64)
		return -1;
	at = curl_getdate(value, NULL);
	if (at < 0)
		return -1;
	if ((int64_t)at > INT64_MAX / 1000)
		return RETRY_AFTER_MAX_MS;
	ms = (int64_t)at * 1000 - now_ms;
	if (ms < 0)
		return 0;
	return ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
}

static bool is_loopback(const char *host)
{
	unsigned a[4];
	char end;

	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	/* NOLINTNEXTLINE(cert-err34-c): three digits cannot overflow */
	return sscanf(host, "%3u.%3u.%3u.%3u%c", &a[0], &a[1], &a[2], &a[3], &end) == 4 &&
	       a[0] == 127;
}

static void curl_url_cleanupp(CURLU **u)
{
	curl_url_cleanup(*u);
}

static void curl_freep(char **s)
{
	curl_free(*s);
}

static bool url_part(CURLU *u, CURLUPart part, char *out, size_t cap)
{
	OWNED(curl_freep) char *text = NULL;

	if (curl_url_get(u, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK || !text)
		return false;
	return text_copy(out, cap, text, strlen(text));
}

static int origin_from_parts(CURLU *u, struct http_origin *out, struct err *err)
{
	struct http_origin o = { 0 };
	char scheme[16];

	if (!url_part(u, CURLUPART_SCHEME, scheme, sizeof(scheme)) ||
	    (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return err_set(err, ERR_INPUT, "the URL is neither http nor https");
	if (!url_part(u, CURLUPART_HOST, o.host, sizeof(o.host)) ||
	    !url_part(u, CURLUPART_PORT, o.port, sizeof(o.port)))
		return err_set(err, ERR_INPUT, "the URL has no usable host and port");
	for (char *p = o.host; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	o.tls = strcmp(scheme, "https") == 0;
	o.loopback = is_loopback(o.host);
	*out = o;
	return 0;
}

int http_origin_of(const char *url, struct http_origin *out, struct err *err)
{
	OWNED(curl_url_cleanupp) CURLU *u = curl_url();

	if (!u)
		abort();
	/* User info would be sent as a second kind of credential, past our own rules. */
	if (curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK)
		return err_set(err, ERR_INPUT, "the URL is malformed, or holds a user name");
	return origin_from_parts(u, out, err);
}

static bool origin_equal(const struct http_origin *a, const struct http_origin *b)
{
	return a->tls == b->tls && strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

static bool is_token(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return n && !s[n];
}

/* --- callbacks of libcurl during a transfer ----------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;

	call->head.body_began = true;
	return tail_buf_put(&call->body_in, p, size * n) ? size * n : 0;
}

static void head_reset(struct answer_head *h)
{
	h->body_began = false;
	h->location[0] = h->content_type[0] = h->etag[0] = h->link[0] = h->cookies[0] = '\0';
	h->retry_after_ms = h->rate_remaining = h->rate_reset_at_ms = -1;
}

static void keep_text(char *out, size_t cap, const char *value)
{
	/* The first one wins, and half of one is worth nothing. */
	if (!out[0] && strlen(value) < cap)
		(void)text_copy(out, cap, value, strlen(value));
}

static void keep_number(int64_t *out, const char *value)
{
	uint64_t v;

	if (*out < 0 && strlen(value) <= 12 && text_to_u64(value, &v))
		*out = (int64_t)v;
}

/* What a Cookie header would send back: without attributes; one that does not fit is left out. */
static void keep_cookie(struct answer_head *h, const char *value)
{
	size_t have = strlen(h->cookies), n = strcspn(value, ";");

	if (!n || have + n + 3 > sizeof(h->cookies))
		return;
	if (have)
		have += text_copy(h->cookies + have, sizeof(h->cookies) - have, "; ", 2) ? 2 : 0;
	(void)text_copy(h->cookies + have, sizeof(h->cookies) - have, value, n);
}

static void keep_header(struct answer_head *h, const char *name, const char *value)
{
	if (strcasecmp(name, "location") == 0) {
		keep_text(h->location, sizeof(h->location), value);
	} else if (strcasecmp(name, "content-type") == 0) {
		keep_text(h->content_type, sizeof(h->content_type), value);
	} else if (strcasecmp(name, "etag") == 0) {
		keep_text(h->etag, sizeof(h->etag), value);
	} else if (strcasecmp(name, "link") == 0) {
		keep_text(h->link, sizeof(h->link), value);
	} else if (strcasecmp(name, "set-cookie") == 0) {
		keep_cookie(h, value);
	} else if (strcasecmp(name, "retry-after") == 0) {
		if (h->retry_after_ms < 0)
			h->retry_after_ms = http_retry_after_ms(value, clock_wall_ms());
	} else if (strcasecmp(name, "x-ratelimit-remaining") == 0 ||
		   strcasecmp(name, "ratelimit-remaining") == 0) {
		keep_number(&h->rate_remaining, value);
	} else if (strcasecmp(name, "x-ratelimit-reset") == 0 ||
		   strcasecmp(name, "ratelimit-reset") == 0) {
		int64_t at = -1;

		keep_number(&at, value);
		if (at >= 0)
			h->rate_reset_at_ms = at * 1000;
	}
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;
	char line[LOCATION_MAX + 64];
	char *colon, *value;
	size_t len = size * n;

	call->head.bytes += len;
	if (call->head.bytes > HEADER_BYTES_MAX)
		return 0;
	if (len >= 5 && strncasecmp(p, "HTTP/", 5) == 0) {
		head_reset(&call->head);
		return len;
	}
	if (call->head.body_began || len >= sizeof(line) || memchr(p, '\0', len))
		return len;
	memcpy(line, p, len);
	line[len] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	colon = strchr(line, ':');
	if (!colon)
		return len;
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " \t");
	for (size_t end = strlen(value); end && strchr(" \t", value[end - 1]); end--)
		value[end - 1] = '\0';
	keep_header(&call->head, line, value);
	return len;
}

/* --- lists -------------------------------------------------------------- */

static void unlink_call(struct http_call *call)
{
	struct http_client *c = call->client;

	if (!call->link)
		return;
	*call->link = call->next;
	if (call->next)
		call->next->link = call->link;
	else if (c->finished_tail == &call->next)
		c->finished_tail = call->link;
	call->link = NULL;
	call->next = NULL;
}

static void link_running(struct http_call *call)
{
	struct http_client *c = call->client;

	call->next = c->running;
	call->link = &c->running;
	if (call->next)
		call->next->link = &call->next;
	c->running = call;
}

static void link_finished(struct http_call *call)
{
	struct http_client *c = call->client;
	struct timeval now = { 0 };

	unlink_call(call);
	call->link = c->finished_tail;
	*c->finished_tail = call;
	c->finished_tail = &call->next;
	(void)evtimer_add(c->deliver, &now);
}

static void drop_headers(struct http_call *call)
{
	for (struct curl_slist *h = call->headers; h; h = h->next)
		OPENSSL_cleanse(h->data, strlen(h->data));
	curl_slist_free_all(call->headers);
	call->headers = NULL;
}

static void leave_multi(struct http_call *call)
{
	if (call->in_multi)
		(void)curl_multi_remove_handle(call->client->multi, call->easy);
	call->in_multi = false;
}

static void call_free(struct http_call *call)
{
	unlink_call(call);
	leave_multi(call);
	curl_easy_cleanup(call->easy);
	drop_headers(call);
	if (call->body)
		OPENSSL_cleanse(call->body, call->body_len);
	free(call->body);
	secret_free(call->url); /* the address of a chat channel is one */
	OPENSSL_cleanse(call->head.cookies, sizeof(call->head.cookies));
	tail_buf_done(&call->body_in);
	free(call);
}

/* --- one hop ------------------------------------------------------------ */

static void add_header(struct http_call *call, const char *line)
{
	struct curl_slist *list = curl_slist_append(call->headers, line);

	if (!list)
		abort();
	call->headers = list;
}

static void set_method(struct http_call *call)
{
	if (strcmp(call->method, "HEAD") == 0) {
		(void)curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (strcmp(call->method, "GET") == 0)
		return;
	/* Without a body this still says Content-Length: 0, which a POST must. */
	(void)curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->body ? call->body : "");
	(void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
	(void)curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static void set_safety(CURL *easy, const struct http_origin *origin)
{
	const char *ca = getenv("SSL_CERT_FILE");

	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	(void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (ca && ca[0])
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
	/* A proxy cannot reach our loopback, whatever the environment says. */
	if (origin->loopback)
		(void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Else a call that ends while its name is being resolved joins the resolver's thread. */
	(void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

static curl_socket_t on_connect(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct http_call *call = arg;

	if (purpose != CURLSOCKTYPE_IPCXN || !call->may_connect(&to->addr, call->may_connect_arg)) {
		call->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static void set_guard(struct http_call *call)
{
	CURL *easy = call->easy;

	call->refused = false;
	if (!call->may_connect)
		return;
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_connect);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
	/* A proxy would connect for us, and a kept connection was never asked about. */
	(void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
}

static bool start_hop(struct http_call *call, const struct http_origin *origin)
{
	int64_t left = call->deadline_ms - clock_mono_ms();
	CURL *easy = call->easy;

	if (left <= 0) {
		(void)snprintf(call->error, sizeof(call->error), "no answer in time");
		return false;
	}
	curl_easy_reset(easy);
	head_reset(&call->head);
	call->head.bytes = 0;
	tail_buf_reset(&call->body_in);
	call->status = 0;
	call->curl_error[0] = '\0';
	set_safety(easy, origin);
	set_method(call);
	(void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)call->once);
	set_guard(call);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_error);
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, call->client->user_agent);
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)left);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
	if (curl_easy_setopt(easy, CURLOPT_URL, call->url) != CURLE_OK)
		abort();
	if (curl_multi_add_handle(call->client->multi, easy) != CURLM_OK) {
		(void)snprintf(call->error, sizeof(call->error), "libcurl refused the call");
		return false;
	}
	call->in_multi = true;
	return true;
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The absolute target; ERR_INPUT when it must not be followed. */
static int resolve_target(const struct http_call *call, char **url, struct http_origin *target,
			  struct err *err)
{
	OWNED(curl_url_cleanupp) CURLU *u = curl_url();
	OWNED(curl_freep) char *text = NULL;
	struct http_origin from;

	if (!u || curl_url_set(u, CURLUPART_URL, call->url, 0) != CURLUE_OK)
		return err_set(err, ERR_BUG, "own URL is malformed");
	if (origin_from_parts(u, &from, err) < 0)
		return -1;
	if (curl_url_set(u, CURLUPART_URL, call->head.location, CURLU_DISALLOW_USER) != CURLUE_OK ||
	    origin_from_parts(u, target, err) < 0)
		return err_set(err, ERR_INPUT, "to no http or https URL we can use");
	if (from.tls && !target->tls)
		return err_set(err, ERR_INPUT, "from https to http");
	if (!from.loopback && target->loopback)
		return err_set(err, ERR_INPUT, "to our own loopback");
	if (strcmp(call->method, "GET") != 0 && strcmp(call->method, "HEAD") != 0) {
		if (!origin_equal(&from, target))
			return err_set(err, ERR_INPUT, "of a %s to another server", call->method);
		if (call->status == 301 || call->status == 302)
			return err_set(err, ERR_INPUT, "of a %s that would become a GET",
				       call->method);
	}
	if (curl_url_get(u, CURLUPART_URL, &text, 0) != CURLUE_OK || !text)
		return err_set(err, ERR_INPUT, "to no http or https URL we can use");
	*url = xstrdup(text);
	return 0;
}

/* True: the next hop is under way. */
static bool follow(struct http_call *call)
{
	OWNED(freep) char *url = NULL;
	struct http_origin from, target;
	struct err err = { 0 };

	if (!is_redirect(call->status) || !call->head.location[0] || !call->redirects_left)
		return false;
	if (resolve_target(call, &url, &target, &err) < 0 ||
	    http_origin_of(call->url, &from, &err) < 0) {
		(void)snprintf(call->error, sizeof(call->error), "refused a redirect %s", err.msg);
		return false;
	}
	/* Gone for good: a later hop back to the first server does not bring them back. */
	if (!origin_equal(&from, &target))
		drop_headers(call);
	if (call->status == 303 && strcmp(call->method, "HEAD") != 0)
		(void)text_copy(call->method, sizeof(call->method), "GET", 3);
	call->redirects_left--;
	free(call->url);
	call->url = TAKE(url);
	return start_hop(call, &target);
}

static void say_why(struct http_call *call, CURLcode code)
{
	const char *text = call->curl_error[0] ? call->curl_error : curl_easy_strerror(code);

	if (call->body_in.over) {
		(void)snprintf(call->error, sizeof(call->error), "the answer is over %zu bytes",
			       call->body_in.max);
		return;
	}
	call->status = 0;
	if (call->refused)
		text = "the address is not one that may be connected to";
	else if (call->head.bytes > HEADER_BYTES_MAX)
		text = "the headers of the answer are too large";
	else if (code == CURLE_OPERATION_TIMEDOUT)
		text = "no answer in time";
	(void)snprintf(call->error, sizeof(call->error), "%s", text);
}

static void hop_ended(struct http_call *call, CURLcode code)
{
	long status = 0;

	leave_multi(call);
	(void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	call->status = (int)status;
	if (code != CURLE_OK)
		say_why(call, code);
	else if (follow(call))
		return;
	link_finished(call);
}

static void reap(struct http_client *c)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(c->multi, &left))) {
		struct http_call *call = NULL;
		CURLcode code = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
		hop_ended(call, code);
	}
}

/* --- libcurl on libevent ------------------------------------------------ */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *c = arg;
	int running;

	UNUSED(fd);
	UNUSED(what);
	(void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(c);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *c = arg;
	int mask = 0, running;

	if (what & EV_READ)
		mask |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		mask |= CURL_CSELECT_OUT;
	(void)curl_multi_socket_action(c->multi, fd, mask, &running);
	reap(c);
}

/* 0 is a timer too: libcurl must not be called from within this callback. */
static int on_timer_wish(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_client *c = arg;
	struct timeval tv = clock_timeval(timeout_ms);

	UNUSED(multi);
	if (timeout_ms < 0)
		(void)evtimer_del(c->timer);
	else
		(void)evtimer_add(c->timer, &tv);
	return 0;
}

static void watch_free(struct socket_watch *w)
{
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	if (w->ev)
		event_free(w->ev);
	free(w);
}

static int on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *arg, void *watch)
{
	struct http_client *c = arg;
	struct socket_watch *w = watch;
	short events = EV_PERSIST;

	UNUSED(easy);
	if (what == CURL_POLL_REMOVE) {
		if (w)
			watch_free(w);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EV_READ;
	if (what & CURL_POLL_OUT)
		events |= EV_WRITE;
	if (!w) {
		w = xcalloc(1, sizeof(*w));
		w->next = c->watches;
		w->link = &c->watches;
		if (w->next)
			w->next->link = &w->next;
		c->watches = w;
		(void)curl_multi_assign(c->multi, fd, w);
	} else {
		event_free(w->ev);
	}
	w->ev = event_new(c->base, fd, events, on_socket, c);
	if (!w->ev || event_add(w->ev, NULL) < 0)
		abort();
	return 0;
}

/* --- delivering --------------------------------------------------------- */

static void report(struct http_call *call)
{
	/* To turn a long log into one piece would hold up the loop. */
	bool long_log = call->body_in.dropped_bytes && call->status / 100 == 2;
	const struct http_reply reply = {
		.status = call->status,
		.error = call->error[0] ? call->error : NULL,
		.body = long_log ? "" : tail_buf_text(&call->body_in),
		.body_len = long_log ? 0 : call->body_in.len,
		.memory = &call->body_in,
		.dropped_bytes = call->body_in.dropped_bytes,
		.dropped_lines = call->body_in.dropped_lines,
		.content_type = call->head.content_type,
		.etag = call->head.etag,
		.link = call->head.link,
		.location = call->head.location,
		.cookies = call->head.cookies,
		.retry_after_ms = call->head.retry_after_ms,
		.rate_remaining = call->head.rate_remaining,
		.rate_reset_at_ms = call->head.rate_reset_at_ms,
		.final_url = call->url,
	};

	call->fn(&reply, call->arg);
}

/* Only what is finished now: a callback that starts a hopeless call must not starve the loop. */
static void on_deliver(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *c = arg;
	size_t n = 0;
	bool freed = false;

	UNUSED(fd);
	UNUSED(what);
	for (const struct http_call *p = c->finished; p; p = p->next)
		n++;
	c->freed = &freed;
	for (; n && c->finished; n--) {
		struct http_call *call = c->finished;

		unlink_call(call);
		call->delivering = true;
		report(call);
		call_free(call);
		if (freed)
			return;
	}
	c->freed = NULL;
	if (c->finished) {
		struct timeval now = { 0 };

		(void)evtimer_add(c->deliver, &now);
	}
}

/* --- public ------------------------------------------------------------- */

struct http_client *http_client_new(struct event_base *base, const char *user_agent)
{
	static bool ready;
	struct http_client *c = xcalloc(1, sizeof(*c));

	if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
	ready = true;
	c->base = base;
	c->user_agent = xstrdup(user_agent);
	c->finished_tail = &c->finished;
	c->multi = curl_multi_init();
	c->timer = evtimer_new(base, on_timer, c);
	c->deliver = evtimer_new(base, on_deliver, c);
	if (!c->multi || !c->timer || !c->deliver)
		abort();
	(void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish);
	(void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	(void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
	(void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	(void)curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS_MAX);
	return c;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	if (c->freed)
		*c->freed = true;
	while (c->running)
		call_free(c->running);
	while (c->finished)
		call_free(c->finished);
	/* Closing idle connections still calls back, so the events go last. */
	(void)curl_multi_cleanup(c->multi);
	while (c->watches)
		watch_free(c->watches);
	event_free(c->timer);
	event_free(c->deliver);
	free(c->user_agent);
	free(c);
}

static bool header_ok(const char *line)
{
	return strchr(line, ':') && !strpbrk(line, "\r\n") && line[0] != ':';
}

static int take_headers(struct http_call *call, const struct http_call_options *o, struct err *err)
{
	bool typed = false;

	for (size_t i = 0; i < HTTP_HEADERS_MAX && o->headers[i]; i++) {
		if (!header_ok(o->headers[i]))
			return err_set(err, ERR_BUG, "header %zu is malformed", i + 1);
		typed |= strncasecmp(o->headers[i], "content-type:", 13) == 0;
		add_header(call, o->headers[i]);
	}
	if (o->authorization) {
		if (!header_ok(o->authorization))
			return err_set(err, ERR_CONFIG, "the credential has a line break in it");
		add_header(call, o->authorization);
	}
	add_header(call, "Expect:"); /* no second round trip before a body is sent */
	if (!typed)
		add_header(call, "Content-Type:"); /* libcurl would claim a form */
	return 0;
}

static int take_options(struct http_call *call, const struct http_call_options *o,
			struct http_origin *origin, struct err *err)
{
	const char *method = o->method ? o->method : "GET";

	call->url = xstrdup(o->url ? o->url : "");
	if (!is_token(method) || strlen(method) >= sizeof(call->method))
		return err_set(err, ERR_BUG, "method is malformed");
	(void)text_copy(call->method, sizeof(call->method), method, strlen(method));
	if (o->body_len) {
		call->body = xmemdup(o->body, o->body_len);
		call->body_len = o->body_len;
	}
	if (http_origin_of(call->url, origin, err) < 0)
		return -1;
	return take_headers(call, o, err);
}

struct http_call *http_call_start(struct http_client *c, const struct http_call_options *o,
				  http_done_fn *fn, void *arg)
{
	struct http_call *call = xcalloc(1, sizeof(*call));
	struct http_origin origin;
	struct err err = { 0 };

	call->client = c;
	call->fn = fn;
	call->arg = arg;
	call->once = o->once;
	call->may_connect = o->may_connect;
	call->may_connect_arg = o->may_connect_arg;
	call->redirects_left = o->max_redirects;
	call->deadline_ms =
		clock_mono_ms() + (o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_DEFAULT_MS);
	tail_buf_init(&call->body_in, o->max_body_bytes ? o->max_body_bytes : BODY_DEFAULT_BYTES,
		      o->keep_tail);
	head_reset(&call->head);
	call->easy = curl_easy_init();
	if (!call->easy)
		abort();
	link_running(call);
	if (take_options(call, o, &origin, &err) < 0) {
		(void)snprintf(call->error, sizeof(call->error), "%s", err.msg);
		link_finished(call);
	} else if (!start_hop(call, &origin)) {
		link_finished(call);
	}
	return call;
}

void http_call_cancel(struct http_call *call)
{
	if (call && !call->delivering)
		call_free(call);
}

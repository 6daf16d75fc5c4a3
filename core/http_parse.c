#include "core/http_parse.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "core/text.h"

/* What differs between the two parser packages; the callbacks below serve both. */
#ifdef GUARD_HAVE_LLHTTP
#include <llhttp.h>

enum { WIRE_PAUSE = HPE_PAUSED };
typedef llhttp_t wire;
typedef llhttp_settings_t wire_settings;

static void wire_init(wire *w, const wire_settings *settings)
{
	llhttp_init(w, HTTP_REQUEST, settings);
}

static size_t wire_execute(wire *w, const wire_settings *settings, const char *data, size_t n)
{
	const char *stop;

	UNUSED(settings);
	if (llhttp_execute(w, data, n) == HPE_OK)
		return n;
	stop = llhttp_get_error_pos(w);
	return stop >= data && stop <= data + n ? (size_t)(stop - data) : n;
}

static bool wire_failed(const wire *w)
{
	return llhttp_get_errno(w) != HPE_OK && llhttp_get_errno(w) != HPE_PAUSED;
}

static bool wire_head_too_large(const wire *w)
{
	UNUSED(w);
	return false;
}

static const char *wire_method(const wire *w)
{
	return llhttp_method_name((llhttp_method_t)w->method);
}

static bool wire_keep_alive(const wire *w)
{
	return llhttp_should_keep_alive(w);
}
#else
#include <http_parser.h>

enum { WIRE_PAUSE = 0 };
typedef http_parser wire;
typedef http_parser_settings wire_settings;

static void wire_init(wire *w, const wire_settings *settings)
{
	UNUSED(settings);
	http_parser_init(w, HTTP_REQUEST);
}

static size_t wire_execute(wire *w, const wire_settings *settings, const char *data, size_t n)
{
	return http_parser_execute(w, settings, data, n);
}

static bool wire_failed(const wire *w)
{
	return HTTP_PARSER_ERRNO(w) != HPE_OK && HTTP_PARSER_ERRNO(w) != HPE_PAUSED;
}

static bool wire_head_too_large(const wire *w)
{
	return HTTP_PARSER_ERRNO(w) == HPE_HEADER_OVERFLOW;
}

static const char *wire_method(const wire *w)
{
	return http_method_str((enum http_method)w->method);
}

static bool wire_keep_alive(const wire *w)
{
	return http_should_keep_alive(w);
}
#endif

/* A chunked body starts with this much and doubles. */
enum { HEADERS_MAX = 100, CHUNKED_START = 16 << 10 };

/* Offsets into `head`, which moves while it grows. */
struct header {
	uint32_t name, value;
	uint16_t name_len;
	bool has_value;
};

struct http_parse {
	wire wire;
	struct http_parse_limits limits;
	struct buf head;   /* target, then names and values, each terminated */
	size_t wire_bytes; /* of the head as sent, padding included */
	size_t text_bytes; /* of target, names and values, with their separators */
	struct header headers[HEADERS_MAX];
	size_t n_headers;
	char *path; /* decoded, in `target` */
	const char *query;
	char *target;
	char *body;
	size_t body_len, body_cap, body_max;
	int status;
	bool target_seen, head_done, done, keep_alive, wants_continue;
};

static int fail(struct http_parse *p, int status)
{
	p->status = status;
	return -1;
}

/* Also for heads that come in one piece: `wire_bytes` is known only after the fact. */
static int keep(struct http_parse *p, const char *at, size_t n)
{
	p->text_bytes += n;
	buf_append(&p->head, at, n);
	return p->head.overflow || p->text_bytes > p->limits.max_header_bytes ? fail(p, 431) : 0;
}

static int on_url(wire *w, const char *at, size_t n)
{
	struct http_parse *p = w->data;

	p->target_seen = true;
	return keep(p, at, n);
}

static int on_header_field(wire *w, const char *at, size_t n)
{
	struct http_parse *p = w->data;
	struct header *h = p->n_headers ? &p->headers[p->n_headers - 1] : NULL;

	if (p->head_done)
		return 0; /* a trailer: nobody here reads those */
	if (!h || h->has_value) {
		if (p->n_headers == HEADERS_MAX)
			return fail(p, 431);
		h = &p->headers[p->n_headers++];
		buf_putc(&p->head, '\0');
		*h = (struct header){ .name = (uint32_t)p->head.len };
		p->text_bytes += strlen(": \r\n");
	}
	return keep(p, at, n);
}

static int on_header_value(wire *w, const char *at, size_t n)
{
	struct http_parse *p = w->data;
	struct header *h;

	if (p->head_done)
		return 0;
	if (!p->n_headers)
		return fail(p, 400);
	h = &p->headers[p->n_headers - 1];
	if (!h->has_value) {
		size_t len = p->head.len - h->name;

		if (len > UINT16_MAX)
			return fail(p, 431);
		h->name_len = (uint16_t)len;
		buf_putc(&p->head, '\0');
		h->value = (uint32_t)p->head.len;
		h->has_value = true;
	}
	return keep(p, at, n);
}

static void trim_values(struct http_parse *p)
{
	for (size_t i = 0; i < p->n_headers; i++) {
		char *v = p->head.data + p->headers[i].value;
		size_t n = strlen(v);

		while (n && (v[n - 1] == ' ' || v[n - 1] == '\t'))
			v[--n] = '\0';
	}
}

/* Splits the target into a decoded path and a raw query. */
static int split_target(struct http_parse *p)
{
	const char *s = p->head.data, *path = s, *query, *end;
	size_t n;

	if (strcmp(s, "*") == 0)
		path = "/";
	else if (*s != '/') {
		path = strstr(s, "://");
		if (!path)
			return fail(p, 400);
		path += 3;
		path += strcspn(path, "/?");
	}
	if (strchr(path, '#'))
		return fail(p, 400);
	query = strchr(path, '?');
	end = query ? query : path + strlen(path);
	n = (size_t)(end - path);
	p->target = xmalloc(strlen(path) + 3);
	p->path = p->target;
	if (!n)
		memcpy(p->path, "/", 2);
	else if (!http_percent_decode(path, n, false, p->path, n + 1))
		return fail(p, 400);
	n = strlen(p->path) + 1;
	query = query ? query + 1 : "";
	memcpy(p->target + n, query, strlen(query) + 1);
	p->query = p->target + n;
	return 0;
}

static int reserve_body(struct http_parse *p, size_t cap)
{
	size_t more = cap - p->body_cap;

	if (cap > p->body_max)
		return fail(p, 413);
	if (more > *p->limits.body_budget)
		return fail(p, 503);
	*p->limits.body_budget -= more;
	p->body = xrealloc(p->body, cap);
	p->body_cap = cap;
	return 0;
}

/* Framing has to be beyond doubt: whoever sits in front of us may read it differently. */
static int check_framing(struct http_parse *p)
{
	const char *length = http_parse_header(p, "Content-Length", 0);
	const char *coding = http_parse_header(p, "Transfer-Encoding", 0);
	uint64_t n = 0;

	if (length && (coding || http_parse_header(p, "Content-Length", 1)))
		return fail(p, 400);
	if (coding && (strcasecmp(coding, "chunked") != 0 || http_parse_is_http10(p) ||
		       http_parse_header(p, "Transfer-Encoding", 1)))
		return fail(p, 400);
	if (length && !text_to_u64(length, &n))
		return fail(p, 400);
	if (n > p->body_max)
		return fail(p, 413);
	return n ? reserve_body(p, (size_t)n) : 0;
}

static int check_head(struct http_parse *p)
{
	const char *expect = http_parse_header(p, "Expect", 0);

	if (p->wire.http_major != 1)
		return fail(p, 505);
	if (strcmp(wire_method(&p->wire), "CONNECT") == 0)
		return fail(p, 405);
	if (http_parse_header(p, "Host", 1) ||
	    (!http_parse_is_http10(p) && !http_parse_header(p, "Host", 0)))
		return fail(p, 400);
	if (split_target(p) < 0)
		return -1;
	p->body_max = p->limits.max_body_bytes;
	if (p->limits.max_body_of) {
		size_t allowed = p->limits.max_body_of(p->path, p->limits.arg);

		p->body_max = allowed < p->body_max ? allowed : p->body_max;
	}
	if (check_framing(p) < 0)
		return -1;
	if (expect && !http_parse_is_http10(p)) {
		if (strcasecmp(expect, "100-continue") != 0)
			return fail(p, 417);
		p->wants_continue = p->body_cap || http_parse_header(p, "Transfer-Encoding", 0);
	}
	return 0;
}

static int on_headers_complete(wire *w)
{
	struct http_parse *p = w->data;

	if (!p->target_seen)
		return fail(p, 400);
	buf_putc(&p->head, '\0');
	if (p->head.overflow)
		return fail(p, 431);
	trim_values(p);
	p->head_done = true;
	if (check_head(p) < 0)
		return -1;
	/* We upgrade to nothing, so such a request is a plain one. */
	w->upgrade = 0;
	return 0;
}

static int on_body(wire *w, const char *at, size_t n)
{
	struct http_parse *p = w->data;

	if (n > p->body_cap - p->body_len) {
		size_t cap = p->body_cap ? p->body_cap : CHUNKED_START;

		if (n > p->body_max - p->body_len)
			return fail(p, 413);
		while (cap < p->body_len + n)
			cap *= 2;
		if (cap > p->body_max)
			cap = p->body_max;
		if (reserve_body(p, cap) < 0)
			return -1;
	}
	memcpy(p->body + p->body_len, at, n);
	p->body_len += n;
	p->wants_continue = false;
	return 0;
}

static int on_message_complete(wire *w)
{
	struct http_parse *p = w->data;

	p->done = true;
	p->keep_alive = wire_keep_alive(w);
#ifndef GUARD_HAVE_LLHTTP
	http_parser_pause(w, 1);
#endif
	return WIRE_PAUSE;
}

static const wire_settings *callbacks(void)
{
	static const wire_settings settings = {
		.on_url = on_url,
		.on_header_field = on_header_field,
		.on_header_value = on_header_value,
		.on_headers_complete = on_headers_complete,
		.on_body = on_body,
		.on_message_complete = on_message_complete,
	};

	return &settings;
}

struct http_parse *http_parse_new(const struct http_parse_limits *limits)
{
	struct http_parse *p = xcalloc(1, sizeof(*p));

	p->limits = *limits;
	/* With room for the terminators. */
	buf_init(&p->head, limits->max_header_bytes + 2 * HEADERS_MAX);
	http_parse_reset(p);
	return p;
}

void http_parse_free(struct http_parse *p)
{
	if (!p)
		return;
	*p->limits.body_budget += p->body_cap;
	free(p->body);
	free(p->target);
	buf_done(&p->head);
	free(p);
}

void http_parse_reset(struct http_parse *p)
{
	*p->limits.body_budget += p->body_cap;
	free(TAKE(p->body));
	free(TAKE(p->target));
	p->body_len = p->body_cap = 0;
	p->wire_bytes = p->text_bytes = p->n_headers = 0;
	p->path = NULL;
	p->query = NULL;
	p->status = 0;
	p->target_seen = p->head_done = p->done = p->keep_alive = p->wants_continue = false;
	buf_reset(&p->head);
	wire_init(&p->wire, callbacks());
	p->wire.data = p;
}

enum http_parse_result http_parse_feed(struct http_parse *p, const char *data, size_t n,
				       size_t *used)
{
	bool in_head = !p->head_done;

	*used = wire_execute(&p->wire, callbacks(), data, n);
	if (in_head)
		p->wire_bytes += *used;
	if (p->done)
		return HTTP_PARSE_DONE;
	if (wire_failed(&p->wire)) {
		if (!p->status)
			p->status = wire_head_too_large(&p->wire) ? 431 : 400;
		return HTTP_PARSE_FAIL;
	}
	if (!p->head_done && p->wire_bytes > p->limits.max_header_bytes) {
		p->status = 431;
		return HTTP_PARSE_FAIL;
	}
	return HTTP_PARSE_MORE;
}

int http_parse_status(const struct http_parse *p)
{
	return p->status;
}

bool http_parse_wants_continue(struct http_parse *p)
{
	bool wants = p->wants_continue;

	p->wants_continue = false;
	return wants;
}

void http_parse_request(const struct http_parse *p, struct http_request *req)
{
	req->method = wire_method(&p->wire);
	req->path = p->path;
	req->query = p->query;
	req->body = p->body_len ? p->body : NULL;
	req->body_len = p->body_len;
}

const char *http_parse_header(const struct http_parse *p, const char *name, size_t i)
{
	size_t n = strlen(name);

	for (size_t k = 0; k < p->n_headers; k++) {
		const struct header *h = &p->headers[k];

		if (h->has_value && h->name_len == n &&
		    strncasecmp(p->head.data + h->name, name, n) == 0 && i-- == 0)
			return p->head.data + h->value;
	}
	return NULL;
}

bool http_parse_keep_alive(const struct http_parse *p)
{
	return p->keep_alive;
}

bool http_parse_is_head(const struct http_parse *p)
{
	return strcmp(wire_method(&p->wire), "HEAD") == 0;
}

bool http_parse_is_http10(const struct http_parse *p)
{
	return p->wire.http_major == 1 && p->wire.http_minor == 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_percent_decode(const char *s, size_t n, bool form, char *out, size_t cap)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		int c = (unsigned char)s[i];

		if (c == '+' && form) {
			c = ' ';
		} else if (c == '%') {
			int hi = n - i > 2 ? hex_digit(s[i + 1]) : -1;
			int lo = n - i > 2 ? hex_digit(s[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return false;
			c = hi << 4 | lo;
			i += 2;
		}
		if (!c || len + 1 >= cap)
			return false;
		out[len++] = (char)c;
	}
	out[len] = '\0';
	return true;
}

#include "tests/simulator/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/js.h"

enum { HANG_MS = 120 * 1000, SLOW_MS = 3000, LIMIT_MS = 60000, PER_PAGE_MAX = 100 };
#define JSON_TYPE "application/json; charset=utf-8"

struct ask *ask_new(struct sim *sim, struct http_request *http, void (*serve)(struct ask *))
{
	struct ask *a = xcalloc(1, sizeof(*a));

	a->sim = sim;
	a->http = http;
	a->serve = serve;
	a->next = sim->asks;
	a->link = &sim->asks;
	if (a->next)
		a->next->link = &a->next;
	sim->asks = a;
	return a;
}

void ask_free(struct ask *a)
{
	*a->link = a->next;
	if (a->next)
		a->next->link = a->link;
	if (a->timer)
		event_free(a->timer);
	fault_put(a->fault);
	free(a);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct ask *a = arg;

	UNUSED(fd);
	UNUSED(what);
	a->serve(a);
}

void ask_start(struct ask *a, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	if (ms <= 0) {
		a->serve(a);
		return;
	}
	if (a->timer)
		event_free(a->timer);
	a->timer = evtimer_new(a->sim->base, on_time, a);
	if (!a->timer)
		abort();
	(void)evtimer_add(a->timer, &tv);
}

static void drop(struct ask *a)
{
	http_drop(a->http);
	ask_free(a);
}

/* Promises the whole and sends half. */
static void truncate_body(struct ask *a, int status, const char *type, const char *body, size_t n)
{
	char length[32];
	struct http_stream *s;

	(void)snprintf(length, sizeof(length), "%zu", n ? n : 1000);
	http_reply_header(a->http, "Content-Length", length);
	s = http_reply_stream(a->http, status, type, NULL, NULL);
	http_stream_write(s, body, n / 2);
	http_stream_end(s);
	ask_free(a);
}

static void fault_headers(struct ask *a)
{
	for (unsigned i = 0; i < a->fault->n_headers; i++)
		http_reply_header(a->http, a->fault->headers[i].name, a->fault->headers[i].value);
}

static void status_fault(struct ask *a)
{
	const struct fault *f = a->fault;
	char body[160];

	fault_headers(a);
	(void)snprintf(body, sizeof(body), "{\"message\":\"Answer %d was asked for\"}", f->status);
	http_reply_text(a->http, f->status, JSON_TYPE, f->body ? f->body : body);
	ask_free(a);
}

static void garbage_fault(struct ask *a)
{
	const char *body = a->fault->body ? a->fault->body
					  : "<!doctype html><title>Sign in</title>\n{\"id\": tru";

	fault_headers(a);
	http_reply_text(a->http, 200, JSON_TYPE, body);
	ask_free(a);
}

static void redirect_fault(struct ask *a)
{
	int status = a->fault->status >= 300 && a->fault->status < 400 ? a->fault->status : 302;

	http_reply_header(a->http, "Location", a->fault->location);
	http_reply(a->http, status, NULL, NULL, 0);
	ask_free(a);
}

/* GitLab's own limit; in front of Jenkins a proxy has one. */
static void other_limit_fault(struct ask *a, int64_t ms)
{
	char wait[32], at[32];

	(void)snprintf(wait, sizeof(wait), "%" PRId64, (ms + 999) / 1000);
	(void)snprintf(at, sizeof(at), "%" PRId64, (clock_wall_ms() + ms + 999) / 1000);
	http_reply_header(a->http, "Retry-After", wait);
	if (text_starts(a->http->path, "/api/v4/")) {
		http_reply_header(a->http, "RateLimit-Remaining", "0");
		http_reply_header(a->http, "RateLimit-Reset", at);
	}
	ask_reply(a, 429, "text/plain", "Retry later\n", strlen("Retry later\n"));
}

static void limit_fault(struct ask *a, bool primary)
{
	int64_t ms = a->fault->ms >= 0 ? a->fault->ms : LIMIT_MS;
	char value[32];

	if (!a->of_github) {
		other_limit_fault(a, ms);
		return;
	}
	if (primary) {
		(void)snprintf(value, sizeof(value), "%" PRId64,
			       (clock_wall_ms() + ms + 999) / 1000);
		http_reply_header(a->http, "x-ratelimit-remaining", "0");
		http_reply_header(a->http, "x-ratelimit-reset", value);
		ask_refuse(a, 403, "API rate limit exceeded for user ID 4815162.",
			   "rest/overview/rate-limits-for-the-rest-api");
		return;
	}
	(void)snprintf(value, sizeof(value), "%" PRId64, (ms + 999) / 1000);
	http_reply_header(a->http, "Retry-After", value);
	ask_refuse(a, 403,
		   "You have exceeded a secondary rate limit. Please wait a few minutes before you "
		   "try again.",
		   "rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits");
}

bool ask_fault(struct ask *a, enum call call, uint64_t run)
{
	/* A slow answer comes here twice. */
	if (a->fault)
		return false;
	a->fault = faults_take(&a->sim->faults, call, run);
	if (!a->fault)
		return false;
	switch (a->fault->kind) {
	case FAULT_STATUS:
		status_fault(a);
		return true;
	case FAULT_HANG:
		a->serve = drop;
		ask_start(a, a->fault->ms > 0 ? a->fault->ms : HANG_MS);
		return true;
	case FAULT_DROP:
		drop(a);
		return true;
	case FAULT_GARBAGE:
		garbage_fault(a);
		return true;
	case FAULT_REDIRECT:
		redirect_fault(a);
		return true;
	case FAULT_SLOW:
		ask_start(a, a->fault->ms > 0 ? a->fault->ms : SLOW_MS);
		return true;
	case FAULT_PRIMARY_LIMIT:
	case FAULT_SECONDARY_LIMIT:
		limit_fault(a, a->fault->kind == FAULT_PRIMARY_LIMIT);
		return true;
	case FAULT_APPLY_THEN_DROP:
	case FAULT_TRUNCATE:
	case FAULT_TRUNCATED_ZIP:
		break;
	}
	return false;
}

void ask_reply(struct ask *a, int status, const char *type, const char *body, size_t n)
{
	enum fault_kind kind = a->fault ? a->fault->kind : FAULT_STATUS;

	if (kind == FAULT_APPLY_THEN_DROP) {
		drop(a);
		return;
	}
	if (kind == FAULT_TRUNCATE) {
		truncate_body(a, status, type, body, n);
		return;
	}
	if (kind == FAULT_TRUNCATED_ZIP)
		n /= 2;
	http_reply(a->http, status, type, body, n);
	ask_free(a);
}

void ask_reply_json(struct ask *a, int status, const char *json)
{
	ask_reply(a, status, JSON_TYPE, json, strlen(json));
}

void ask_refuse(struct ask *a, int status, const char *message, const char *page)
{
	char body[1024];
	struct buf b;

	buf_init(&b, sizeof(body));
	js_open(&b, NULL, '{');
	js_str(&b, "message", message);
	js_url(&b, "documentation_url", "https://docs.github.com/%s", page);
	js_url(&b, "status", "%d", status);
	js_close(&b, '}');
	(void)snprintf(body, sizeof(body), "%s", js_done(&b));
	buf_done(&b);
	ask_reply_json(a, status, body);
}

/* --- lists ------------------------------------------------------------------ */

void ask_reply_cached(struct ask *a, const char *json, size_t n, bool free)
{
	const char *have = http_request_header(a->http, "If-None-Match");
	unsigned char digest[SHA256_BYTES];
	char hex[SHA256_HEX + 1], etag[SHA256_HEX + 8];

	sha256(json, n, digest);
	hex_encode(digest, sizeof(digest), hex);
	(void)snprintf(etag, sizeof(etag), "W/\"%s\"", hex);
	http_reply_header(a->http, "ETag", etag);
	http_reply_header(a->http, "Cache-Control", "private, max-age=60, s-maxage=60");
	if (have && strstr(have, hex)) {
		if (free && a->caller.meter->used)
			a->caller.meter->used--;
		ask_reply(a, 304, NULL, NULL, 0);
		return;
	}
	ask_reply(a, 200, "application/json; charset=utf-8", json, n);
}

struct page ask_page(struct ask *a, uint64_t otherwise)
{
	struct page p = { otherwise, 1 };
	char text[24];
	uint64_t n;

	if (http_request_query(a->http, "per_page", text, sizeof(text)) && text_to_u64(text, &n) &&
	    n)
		p.per_page = n < PER_PAGE_MAX ? n : PER_PAGE_MAX;
	if (http_request_query(a->http, "page", text, sizeof(text)) && text_to_u64(text, &n) && n)
		p.number = n < 1000000 ? n : 1000000;
	return p;
}

static void add_link(struct buf *b, struct ask *a, const struct page *p, uint64_t to,
		     const char *rel)
{
	buf_printf(b, "%s<%s%s?per_page=%" PRIu64 "&page=%" PRIu64 ">; rel=\"%s\"",
		   b->len ? ", " : "", a->sim->url, a->http->path, p->per_page, to, rel);
}

void ask_link(struct ask *a, const struct page *p, uint64_t total)
{
	uint64_t last = (total + p->per_page - 1) / p->per_page;
	struct buf b;

	buf_init(&b, 4096);
	if (p->number > 1)
		add_link(&b, a, p, p->number - 1, "prev");
	if (p->number < last) {
		add_link(&b, a, p, p->number + 1, "next");
		add_link(&b, a, p, last, "last");
	}
	if (p->number > 1)
		add_link(&b, a, p, 1, "first");
	if (b.len)
		http_reply_header(a->http, "Link", buf_text(&b));
	buf_done(&b);
}

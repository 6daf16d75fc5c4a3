#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/http_client.h"
#include "core/mem.h"
#include "core/net_scope.h"
#include "core/tail_buf.h"
#include "fake_http.h"

struct world {
	struct event_base *base;
	struct http_client *client;
	struct fake_http *a, *b;
	fake_http_fn *on_a, *on_b;
	char url[64]; /* http://127.0.0.1:PORT of a */
};

/* What one call reported, copied. */
struct seen {
	bool done;
	unsigned times;
	int status;
	char error[320], etag[64], type[64], final_url[256];
	char *body;
	size_t body_len;
	uint64_t dropped_bytes, dropped_lines;
	int64_t retry_after_ms, rate_remaining, rate_reset_at_ms;
	struct http_call *cancel_me;
};

static void on_done(const struct http_reply *r, void *arg)
{
	struct seen *s = arg;

	s->done = true;
	s->times++;
	s->status = r->status;
	(void)snprintf(s->error, sizeof(s->error), "%s", r->error ? r->error : "");
	(void)snprintf(s->etag, sizeof(s->etag), "%s", r->etag);
	(void)snprintf(s->type, sizeof(s->type), "%s", r->content_type);
	(void)snprintf(s->final_url, sizeof(s->final_url), "%s", r->final_url);
	free(s->body);
	assert_int_equal(r->body[r->body_len], '\0');
	s->body_len = r->memory->len;
	s->body = xcalloc(1, s->body_len + 1);
	(void)tail_buf_copy(r->memory, 0, s->body, s->body_len);
	if (r->dropped_bytes)
		assert_string_equal(r->body, "");
	else
		assert_memory_equal(r->body, s->body, s->body_len + 1);
	s->dropped_bytes = r->dropped_bytes;
	s->dropped_lines = r->dropped_lines;
	s->retry_after_ms = r->retry_after_ms;
	s->rate_remaining = r->rate_remaining;
	s->rate_reset_at_ms = r->rate_reset_at_ms;
	http_call_cancel(s->cancel_me);
	s->cancel_me = NULL;
}

static void route_a(struct fake_request *r, void *arg)
{
	((struct world *)arg)->on_a(r, arg);
}

static void route_b(struct fake_request *r, void *arg)
{
	((struct world *)arg)->on_b(r, arg);
}

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->base = event_base_new();
	w->client = http_client_new(w->base, "guard-test/1");
	w->a = fake_http_new(w->base, route_a, w);
	w->b = fake_http_new(w->base, route_b, w);
	(void)snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d", fake_http_port(w->a));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	http_client_free(w->client);
	fake_http_free(w->a);
	fake_http_free(w->b);
	event_base_free(w->base);
	free(w);
	return 0;
}

static void get(struct world *w, const struct http_call_options *o, struct seen *s)
{
	(void)http_call_start(w->client, o, on_done, s);
	assert_false(s->done);
	assert_true(fake_http_wait(w->base, &s->done));
	assert_int_equal(s->times, 1);
}

static void seen_done(struct seen *s)
{
	free(s->body);
}

/* --- connections -------------------------------------------------------- */

static void answer_the_first(struct fake_request *r, void *arg)
{
	UNUSED(arg);
	if (r->number == 1)
		fake_http_reply(r, 200, "", "kept");
	else
		r->reset = true;
}

/* When a kept connection breaks libcurl tries again by itself; what acts must not act twice. */
static void what_happens_once_is_not_sent_on_a_kept_connection(void **state)
{
	struct world *w = *state;
	OWNED(seen_done) struct seen first = { 0 };
	OWNED(seen_done) struct seen second = { 0 };

	w->on_a = answer_the_first;
	get(w, &(struct http_call_options){ .method = "GET", .url = w->url }, &first);
	assert_int_equal(first.status, 200);
	get(w, &(struct http_call_options){ .method = "POST", .url = w->url, .once = true },
	    &second);
	assert_int_equal(second.status, 0);
	assert_int_equal(fake_http_requests(w->a), 2);
}

/* --- plain answers ------------------------------------------------------ */

static void echo(struct fake_request *r, void *arg)
{
	(void)arg;
	fake_http_reply(r, 200,
			"Content-Type: text/x\r\nETag: \"e1\"\r\nRetry-After: 7\r\n"
			"X-RateLimit-Remaining: 41\r\nx-ratelimit-reset: 1700000000\r\n",
			r->body[0] ? r->body : r->head);
}

static void answers_with_what_the_headers_said(void **state)
{
	struct world *w = *state;
	OWNED(seen_done) struct seen s = { 0 };

	w->on_a = echo;
	get(w,
	    &(struct http_call_options){ .url = w->url,
					 .headers = { "X-One: 1" },
					 .authorization = "Authorization: Bearer t" },
	    &s);
	assert_int_equal(s.status, 200);
	assert_string_equal(s.error, "");
	assert_string_equal(s.type, "text/x");
	assert_string_equal(s.etag, "\"e1\"");
	assert_int_equal(s.retry_after_ms, 7000);
	assert_int_equal(s.rate_remaining, 41);
	assert_int_equal(s.rate_reset_at_ms, INT64_C(1700000000000));
	assert_non_null(strstr(s.body, "X-One: 1\r\n"));
	assert_non_null(strstr(s.body, "Authorization: Bearer t\r\n"));
	assert_non_null(strstr(s.body, "User-Agent: guard-test/1\r\n"));
}

static void posts_a_body_and_an_empty_one(void **state)
{
	struct world *w = *state;
	OWNED(seen_done) struct seen s = { 0 }, empty = { 0 };

	w->on_a = echo;
	get(w,
	    &(struct http_call_options){
		    .method = "POST", .url = w->url, .body = "a\0b", .body_len = 3 },
	    &s);
	assert_string_equal(s.body, "a");
	get(w, &(struct http_call_options){ .method = "POST", .url = w->url }, &empty);
	assert_non_null(strstr(empty.body, "POST / "));
	assert_non_null(strstr(empty.body, "Content-Length: 0\r\n"));
	assert_null(strstr(empty.body, "Content-Type"));
}

static void reuses_the_connection(void **state)
{
	struct world *w = *state;

	w->on_a = echo;
	for (int i = 0; i < 3; i++) {
		OWNED(seen_done) struct seen s = { 0 };

		get(w, &(struct http_call_options){ .url = w->url }, &s);
		assert_int_equal(s.status, 200);
	}
	assert_int_equal(fake_http_connections(w->a), 1);
}

static void what_cannot_start_is_reported_later(void **state)
{
	static const struct {
		const char *url, *header, *authorization, *method, *error_has, *why;
	} rows[] = {
		{ "ftp://127.0.0.1/", NULL, NULL, "GET", "neither http", "another scheme" },
		{ "file:///etc/passwd", NULL, NULL, "GET", "neither http", "a file" },
		{ "http://user:secret@127.0.0.1/", NULL, NULL, "GET", "user name", "credentials" },
		{ "not a url", NULL, NULL, "GET", "malformed", "nonsense" },
		{ "", NULL, NULL, "GET", "malformed", "nothing" },
		{ NULL, NULL, NULL, "GET", "malformed", "no URL" },
		{ "http://127.0.0.1:1/", "A: b\r\nC: d", NULL, "GET", "header 1", "injection" },
		{ "http://127.0.0.1:1/", "no colon", NULL, "GET", "header 1", "not a header" },
		{ "http://127.0.0.1:1/", NULL, "A: secret\nB: c", "GET", "credential",
		  "injection by a credential" },
		{ "http://127.0.0.1:1/", NULL, NULL, "GET /x\r\n", "method", "method injection" },
		{ "http://127.0.0.1:1/", NULL, NULL, "GET", "connect", "nobody listens" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(seen_done) struct seen s = { 0 };

		get(w,
		    &(struct http_call_options){ .url = rows[i].url,
						 .method = rows[i].method,
						 .headers = { rows[i].header },
						 .authorization = rows[i].authorization },
		    &s);
		assert_case(s.status == 0, rows[i].why);
		if (!strstr(s.error, rows[i].error_has))
			fail_msg("%s: \"%s\"", rows[i].why, s.error);
		assert_case(!strstr(s.error, "secret"), rows[i].why);
	}
}

/* --- hostile answers ---------------------------------------------------- */

static void raw_by_path(struct fake_request *r, void *arg)
{
	(void)arg;
	if (strcmp(r->path, "/garbage") == 0) {
		fake_http_send(r, "\x16\x03\x01 hello, I am not HTTP\r\n\r\n", 28);
		r->close = true;
	} else if (strcmp(r->path, "/reset") == 0) {
		fake_http_send(r, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", 44);
		r->reset = true;
	} else if (strcmp(r->path, "/reset-at-once") == 0) {
		r->reset = true;
	} else if (strcmp(r->path, "/nul") == 0) {
		fake_http_reply_n(r, 200, "X-A: b\r\n", "a\0b\0", 4);
	} else if (strcmp(r->path, "/nul-header") == 0) {
		fake_http_send(r, "HTTP/1.1 200 OK\r\nETag: a\0b\r\nContent-Length: 0\r\n\r\n", 49);
	} else if (strstr(r->path, "flood")) {
		char line[400];
		int n = snprintf(line, sizeof(line), "X-Flood: %0380d\r\n", 0);

		fake_http_send(r, "HTTP/1.1 200 OK\r\n", 17);
		/* Between our cap and those of libcurl: 300 KB, and 5000 headers in newer ones. */
		for (int i = 0; i < (strcmp(r->path, "/flood") == 0 ? 720 : 600); i++)
			fake_http_send(r, line, (size_t)n);
		fake_http_send(r, "Content-Length: 0\r\n\r\n", 21);
	} else if (strcmp(r->path, "/hundred") == 0) {
		fake_http_send(r, "HTTP/1.1 103 Early\r\nETag: early\r\n\r\n", 35);
		fake_http_reply(r, 200, "ETag: late\r\n", "ok");
	}
}

static void survives_bad_answers(void **state)
{
	static const struct {
		const char *path;
		int status;
		const char *error_has, *why;
	} rows[] = {
		{ "/garbage", 0, "HTTP/0.9", "not HTTP at all" },
		{ "/reset", 0, "", "half a body is no answer" },
		{ "/reset-at-once", 0, "", "no answer" },
		{ "/nul", 200, "", "zero bytes are data" },
		{ "/nul-header", 0, "", "zero bytes in a header" },
		{ "/flood", 0, "headers", "over the header cap" },
		{ "/nearly-a-flood", 200, "", "under the header cap" },
		{ "/hundred", 200, "", "an interim answer is not the answer" },
		{ "/hang", 0, "in time", "the deadline ends it" },
	};
	struct world *w = *state;

	w->on_a = raw_by_path;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(seen_done) struct seen s = { 0 };
		OWNED(freep) char *url = xasprintf("%s%s", w->url, rows[i].path);
		int64_t begun = clock_mono_ms();

		get(w, &(struct http_call_options){ .url = url, .timeout_ms = 300 }, &s);
		if (s.status != rows[i].status || !strstr(s.error, rows[i].error_has))
			fail_msg("%s: %d \"%s\"", rows[i].why, s.status, s.error);
		assert_case((s.status == 0) == (s.error[0] != '\0'), rows[i].why);
		assert_case(clock_mono_ms() - begun < 2000, rows[i].why);
		if (strcmp(rows[i].path, "/nul") == 0)
			assert_memory_equal(s.body, "a\0b\0", 4);
		if (strcmp(rows[i].path, "/hundred") == 0)
			assert_string_equal(s.etag, "late");
	}
}

/* 1000 numbered lines of 10 bytes. */
static void lines(struct fake_request *r, void *arg)
{
	static char text[10001];

	(void)arg;
	for (int i = 0; i < 1000; i++)
		(void)snprintf(text + 10 * i, 11, "line %04d\n", i);
	fake_http_reply_n(r, 200, "", text, 10000);
}

static void over_the_cap_fails_or_keeps_the_tail(void **state)
{
	static const struct {
		size_t max;
		bool keep_tail;
		bool fails;
		size_t len;
		uint64_t bytes, lines;
		const char *first, *why;
	} rows[] = {
		{ 10000, false, false, 10000, 0, 0, "line 0000\n", "exactly the cap" },
		{ 9999, false, true, 0, 0, 0, "", "one byte over" },
		{ 10000, true, false, 10000, 0, 0, "line 0000\n", "the tail is everything" },
		{ 9999, true, false, 9999, 1, 0, "ine 0000\n", "one byte cut" },
		{ 9990, true, false, 9990, 10, 1, "line 0001\n", "one line cut" },
		{ 20, true, false, 20, 9980, 998, "line 0998\n", "only the end" },
		{ 7, true, false, 7, 9993, 999, "e 0999\n", "less than a line" },
		{ 1, true, false, 1, 9999, 999, "\n", "one byte" },
	};
	struct world *w = *state;

	w->on_a = lines;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(seen_done) struct seen s = { 0 };

		get(w,
		    &(struct http_call_options){ .url = w->url,
						 .max_body_bytes = rows[i].max,
						 .keep_tail = rows[i].keep_tail },
		    &s);
		assert_case(s.status == 200, rows[i].why);
		assert_case((s.error[0] != '\0') == rows[i].fails, rows[i].why);
		if (rows[i].fails)
			continue;
		assert_case(s.body_len == rows[i].len, rows[i].why);
		assert_case(s.dropped_bytes == rows[i].bytes, rows[i].why);
		assert_case(s.dropped_lines == rows[i].lines, rows[i].why);
		assert_case(strncmp(s.body, rows[i].first, strlen(rows[i].first)) == 0,
			    rows[i].why);
		assert_case(s.body[s.body_len - 1] == '\n', rows[i].why);
	}
}

/* Pieces arrive one by one, so that the ring wraps at odd places. */
static void pieces(struct fake_request *r, void *arg)
{
	char text[64];

	(void)arg;
	fake_http_send(r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 47);
	for (int i = 0; i < 5000; i++) {
		int n = snprintf(text, sizeof(text), "d\r\nline %07d\n\r\n", i);

		fake_http_send(r, text, (size_t)n);
	}
	fake_http_send(r, "0\r\n\r\n", 5);
}

static void the_ring_wraps_many_times(void **state)
{
	struct world *w = *state;
	OWNED(seen_done) struct seen s = { 0 };

	w->on_a = pieces;
	get(w,
	    &(struct http_call_options){ .url = w->url, .max_body_bytes = 100, .keep_tail = true },
	    &s);
	assert_int_equal(s.body_len, 100);
	assert_string_equal(s.body + 9, "line 0004993\nline 0004994\nline 0004995\n"
					"line 0004996\nline 0004997\nline 0004998\n"
					"line 0004999\n");
	assert_int_equal(s.dropped_bytes, 5000 * 13 - 100);
	assert_int_equal(s.dropped_lines, 4992);
}

/* --- redirects ---------------------------------------------------------- */

static void redirect_by_path(struct fake_request *r, void *arg)
{
	struct world *w = arg;
	char head[256];
	int status = 302;

	if (sscanf(r->path, "/other/%d", &status) == 1) {
		(void)snprintf(head, sizeof(head), "Location: http://127.0.0.1:%d/b\r\n",
			       fake_http_port(w->b));
		fake_http_reply(r, status, head, "moved");
	} else if (sscanf(r->path, "/same/%d", &status) == 1) {
		fake_http_reply(r, status, "Location: ../end\r\n", "moved");
	} else if (strcmp(r->path, "/loop") == 0) {
		fake_http_reply(r, 302, "Location: /loop\r\n", "moved");
	} else if (strcmp(r->path, "/ftp") == 0) {
		fake_http_reply(r, 302, "Location: ftp://127.0.0.1/x\r\n", "moved");
	} else if (strcmp(r->path, "/userinfo") == 0) {
		fake_http_reply(r, 302, "Location: http://u:p@127.0.0.1/x\r\n", "moved");
	} else if (strcmp(r->path, "/bounce") == 0) {
		(void)snprintf(head, sizeof(head), "Location: http://127.0.0.1:%d/back\r\n",
			       fake_http_port(w->b));
		fake_http_reply(r, 302, head, "");
	} else if (strcmp(r->path, "/back") == 0) {
		(void)snprintf(head, sizeof(head), "Location: %s/end\r\n", w->url);
		fake_http_reply(r, 302, head, "");
	} else if (strcmp(r->path, "/slow") == 0) {
		fake_http_reply(r, 302, "Location: /hang\r\n", "");
	} else if (strcmp(r->path, "/hang") != 0) {
		fake_http_reply(r, 200, "", r->head);
	}
}

static void redirects_carry_credentials_only_within_one_origin(void **state)
{
	static const struct {
		const char *method, *path;
		int status;
		const char *error_has, *has, *lacks, *why;
	} rows[] = {
		{ "GET", "/same/302", 200, "", "Authorization: Bearer t", "", "same server" },
		{ "GET", "/other/302", 200, "", "GET /b ", "Authorization", "another port" },
		{ "GET", "/other/302", 200, "", "GET /b ", "X-One", "headers stay behind too" },
		{ "GET", "/other/307", 200, "", "GET /b ", "Authorization", "307" },
		{ "GET", "/other/301", 200, "", "GET /b ", "Authorization", "301" },
		{ "GET", "/bounce", 200, "", "GET /end ", "Authorization", "and back again" },
		{ "POST", "/same/307", 200, "", "POST /end ", "", "307 repeats the POST" },
		{ "POST", "/same/308", 200, "", "Content-Length: 2", "", "with its body" },
		{ "POST", "/same/303", 200, "", "GET /end ", "", "303 becomes a GET" },
		{ "POST", "/same/302", 302, "become a GET", "moved", "", "302 would change it" },
		{ "POST", "/other/307", 307, "another server", "moved", "", "POST elsewhere" },
		{ "GET", "/ftp", 302, "no http", "moved", "", "another scheme" },
		{ "GET", "/userinfo", 302, "no http", "moved", "", "credentials of theirs" },
		{ "GET", "/loop", 302, "", "moved", "", "the limit ends a loop" },
		{ "GET", "/slow", 0, "in time", "", "", "one deadline for all hops" },
	};
	struct world *w = *state;

	w->on_a = w->on_b = redirect_by_path;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(seen_done) struct seen s = { 0 };
		OWNED(freep) char *url = xasprintf("%s%s", w->url, rows[i].path);

		get(w,
		    &(struct http_call_options){ .method = rows[i].method,
						 .url = url,
						 .headers = { "X-One: 1" },
						 .authorization = "Authorization: Bearer t",
						 .body = "{}",
						 .body_len = rows[i].method[0] == 'P' ? 2 : 0,
						 .timeout_ms = 400,
						 .max_redirects = 3 },
		    &s);
		if (s.status != rows[i].status || !strstr(s.error, rows[i].error_has))
			fail_msg("%s: %d \"%s\"", rows[i].why, s.status, s.error);
		assert_case(strstr(s.body, rows[i].has), rows[i].why);
		assert_case(!rows[i].lacks[0] || !strstr(s.body, rows[i].lacks), rows[i].why);
	}
}

static void without_redirects_a_3xx_is_the_answer(void **state)
{
	struct world *w = *state;
	OWNED(seen_done) struct seen s = { 0 };
	OWNED(freep) char *url = xasprintf("%s/same/302", w->url);

	w->on_a = redirect_by_path;
	get(w, &(struct http_call_options){ .url = url }, &s);
	assert_int_equal(s.status, 302);
	assert_string_equal(s.error, "");
	assert_int_equal(fake_http_requests(w->a), 1);
}

/* --- life times --------------------------------------------------------- */

struct gate {
	int port; /* the only one that may be connected to; 0: by the rule of strangers */
	unsigned asked;
};

static bool gate_opens(const struct sockaddr *sa, void *arg)
{
	struct sockaddr_in in;
	struct gate *g = arg;

	g->asked++;
	memcpy(&in, sa, sizeof(in));
	return g->port ? ntohs(in.sin_port) == g->port : net_is_public(sa, NULL);
}

static void answer_ok(struct fake_request *r, void *arg)
{
	(void)arg;
	fake_http_reply(r, 200, "", "ok");
}

static void to_b(struct fake_request *r, void *arg)
{
	struct world *w = arg;
	char header[96];

	(void)snprintf(header, sizeof(header), "Location: http://localhost:%d/\r\n",
		       fake_http_port(w->b));
	fake_http_reply(r, 302, header, "");
}

static int status_of(struct world *w, const struct http_call_options *o, const char *error)
{
	OWNED(seen_done) struct seen s = { 0 };

	get(w, o, &s);
	assert_string_equal(s.error, error);
	return s.status;
}

#define NOT_THERE "the address is not one that may be connected to"

static void addresses_of_strangers_are_asked_about(void **state)
{
	struct world *w = *state;
	struct gate gate = { .port = fake_http_port(w->a) };
	struct http_call_options o = { .url = w->url,
				       .max_redirects = 3,
				       .may_connect = gate_opens,
				       .may_connect_arg = &gate };
	char name[64];

	w->on_a = w->on_b = answer_ok;
	assert_int_equal(status_of(w, &o, ""), 200);
	/* Each time anew: a connection that was kept might be another's. */
	assert_int_equal(status_of(w, &o, ""), 200);
	assert_int_equal(gate.asked, 2);
	/* A redirect is asked about, too. */
	w->on_a = to_b;
	assert_int_equal(status_of(w, &o, NOT_THERE), 0);
	/* By the address, whatever the name says, and not over a connection that others left. */
	gate.port = 0;
	(void)snprintf(name, sizeof(name), "http://localhost:%d/", fake_http_port(w->b));
	o.url = name;
	o.may_connect = NULL;
	assert_int_equal(status_of(w, &o, ""), 200);
	o.may_connect = gate_opens;
	assert_int_equal(status_of(w, &o, NOT_THERE), 0);
	assert_int_equal(fake_http_requests(w->b), 1);
}

static void a_cancelled_call_never_reports(void **state)
{
	struct world *w = *state;
	OWNED(seen_done) struct seen first = { 0 }, second = { 0 }, bad = { 0 };

	w->on_a = echo;
	/* Both end in the same turn; the first callback cancels the second. */
	(void)http_call_start(w->client, &(struct http_call_options){ .url = "bad" }, on_done,
			      &first);
	first.cancel_me = http_call_start(w->client, &(struct http_call_options){ .url = "bad" },
					  on_done, &second);
	assert_true(fake_http_wait(w->base, &first.done));
	fake_http_settle(w->base, 20);
	assert_int_equal(second.times, 0);

	http_call_cancel(http_call_start(w->client, &(struct http_call_options){ .url = w->url },
					 on_done, &bad));
	http_call_cancel(NULL);
	fake_http_settle(w->base, 50);
	assert_int_equal(bad.times, 0);
}

static void cancels_a_call_that_waits_for_its_answer(void **state)
{
	struct world *w = *state;
	OWNED(seen_done) struct seen hang = { 0 }, s = { 0 };
	OWNED(freep) char *url = xasprintf("%s/hang", w->url);

	w->on_a = redirect_by_path;
	s.cancel_me = http_call_start(w->client, &(struct http_call_options){ .url = url }, on_done,
				      &hang);
	get(w, &(struct http_call_options){ .url = w->url }, &s);
	fake_http_settle(w->base, 20);
	assert_int_equal(hang.times, 0);
}

static void free_client(const struct http_reply *r, void *arg)
{
	struct world *w = arg;

	(void)r;
	http_client_free(w->client);
	w->client = NULL;
}

static void the_client_may_die_in_a_callback(void **state)
{
	struct world *w = *state;
	OWNED(seen_done) struct seen s = { 0 };

	w->on_a = redirect_by_path;
	(void)http_call_start(w->client, &(struct http_call_options){ .url = "bad" }, free_client,
			      w);
	(void)http_call_start(w->client, &(struct http_call_options){ .url = w->url }, on_done, &s);
	fake_http_settle(w->base, 50);
	assert_null(w->client);
	assert_int_equal(s.times, 0);
}

/* --- parsers ------------------------------------------------------------ */

static void reads_retry_after_in_all_its_forms(void **state)
{
	const int64_t now = INT64_C(784111777000); /* Sun, 06 Nov 1994 08:49:37 GMT */
	const int64_t week = INT64_C(7) * 24 * 3600 * 1000;
	const struct {
		const char *value;
		int64_t ms;
		const char *why;
	} rows[] = {
		{ "0", 0, "now" },
		{ "120", 120000, "seconds" },
		{ "0099", 99000, "leading zeros" },
		{ "604800", week, "a week" },
		{ "604801", week, "over a week" },
		{ "99999999999999999999", week, "a huge number" },
		{ "Sun, 06 Nov 1994 08:49:47 GMT", 10000, "the preferred date" },
		{ "Sunday, 06-Nov-94 08:49:47 GMT", 10000, "RFC 850" },
		{ "Sun Nov  6 08:49:47 1994", 10000, "asctime" },
		{ "Sun, 06 Nov 1994 08:49:36 GMT", 0, "gone by" },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", week, "far away" },
		{ "", -1, "empty" },
		{ "-5", -1, "negative" },
		{ "1.5", -1, "a fraction" },
		{ "5 apples", -1, "words after it" },
		{ "soon", -1, "a word" },
		{ "Sun, 99 Nov 1994 08:49:47 GMT", -1, "no such day" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ms = http_retry_after_ms(rows[i].value, now);

		if (ms != rows[i].ms)
			fail_msg("%s: %lld", rows[i].why, (long long)ms);
	}
}

static void knows_origins(void **state)
{
	static const struct {
		const char *url;
		bool ok, tls, loopback;
		const char *host, *port, *why;
	} rows[] = {
		{ "https://API.GitHub.com/x", true, true, false, "api.github.com", "443",
		  "lower case, default port" },
		{ "http://127.0.0.1:81", true, false, true, "127.0.0.1", "81", "loopback" },
		{ "http://127.1/", true, false, true, "127.0.0.1", "80", "short spelling" },
		{ "http://[::1]:8080/", true, false, true, "[::1]", "8080", "IPv6 loopback" },
		{ "http://localhost/", true, false, true, "localhost", "80", "by name" },
		{ "http://127.0.0.1.evil.example/", true, false, false, "127.0.0.1.evil.example",
		  "80", "only looks like it" },
		{ "http://128.0.0.1/", true, false, false, "128.0.0.1", "80", "next to it" },
		{ "http://u@h/", false, false, false, "", "", "user info" },
		{ "gopher://h/", false, false, false, "", "", "scheme" },
		{ "http://", false, false, false, "", "", "no host" },
		{ "h", false, false, false, "", "", "no scheme" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_origin o = { 0 };
		struct err err = { 0 };

		assert_case((http_origin_of(rows[i].url, &o, &err) == 0) == rows[i].ok,
			    rows[i].why);
		assert_case(o.tls == rows[i].tls && o.loopback == rows[i].loopback, rows[i].why);
		assert_case(strcmp(o.host, rows[i].host) == 0, rows[i].why);
		assert_case(strcmp(o.port, rows[i].port) == 0, rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(what_happens_once_is_not_sent_on_a_kept_connection),
		T(answers_with_what_the_headers_said),
		T(posts_a_body_and_an_empty_one),
		T(reuses_the_connection),
		T(what_cannot_start_is_reported_later),
		T(survives_bad_answers),
		T(over_the_cap_fails_or_keeps_the_tail),
		T(the_ring_wraps_many_times),
		T(redirects_carry_credentials_only_within_one_origin),
		T(without_redirects_a_3xx_is_the_answer),
		T(addresses_of_strangers_are_asked_about),
		T(a_cancelled_call_never_reports),
		T(cancels_a_call_that_waits_for_its_answer),
		T(the_client_may_die_in_a_callback),
#undef T
		cmocka_unit_test(reads_retry_after_in_all_its_forms),
		cmocka_unit_test(knows_origins),
	};

	return cmocka_run_group_tests_name("http_client", tests, NULL, NULL);
}

/* Without sockets; the answers to the same requests are in test_http_server.c. */
#include "core/http_parse.h"

#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "tests/unit/unit.h"

enum { HEAD_MAX = 1024, BODY_MAX = 100, BUDGET = 250 };

struct fixture {
	size_t budget;
	struct http_parse *p;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	const struct http_parse_limits limits = { .max_header_bytes = HEAD_MAX,
						  .max_body_bytes = BODY_MAX,
						  .body_budget = &f->budget };

	f->budget = BUDGET;
	f->p = http_parse_new(&limits);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	size_t left;

	http_parse_free(f->p);
	left = f->budget;
	free(f);
	return left == BUDGET ? 0 : -1; /* what was taken came back */
}

/* All of it, in pieces of `piece`. */
static enum http_parse_result feed(struct http_parse *p, const char *text, size_t n, size_t piece,
				   size_t *used)
{
	enum http_parse_result got = HTTP_PARSE_MORE;

	*used = 0;
	while (*used < n && got == HTTP_PARSE_MORE) {
		size_t give = n - *used < piece ? n - *used : piece, took;

		got = http_parse_feed(p, text + *used, give, &took);
		*used += took;
	}
	return got;
}

static enum http_parse_result feed_text(struct fixture *f, const char *text)
{
	size_t used;

	return feed(f->p, text, strlen(text), strlen(text), &used);
}

static void reads_one_request_and_leaves_the_next(void **state)
{
	static const char text[] =
		"POST /a%20b?x=%31 HTTP/1.1\r\nHost: h\r\nX-A:  one \t\r\nx-a: two\r\n"
		"Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n";
	static const size_t pieces[] = { 1, 2, 7, 1000 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct http_request req = { 0 };
		size_t used;

		assert_int_equal(feed(f->p, text, strlen(text), pieces[i], &used), HTTP_PARSE_DONE);
		assert_string_equal(text + used, "GET / HTTP/1.1\r\n");
		http_parse_request(f->p, &req);
		assert_string_equal(req.method, "POST");
		assert_string_equal(req.path, "/a b");
		assert_string_equal(req.query, "x=%31");
		assert_int_equal(req.body_len, 5);
		assert_memory_equal(req.body, "hello", 5);
		assert_string_equal(http_parse_header(f->p, "X-A", 0), "one");
		assert_string_equal(http_parse_header(f->p, "X-a", 1), "two");
		assert_null(http_parse_header(f->p, "X-A", 2));
		assert_null(http_parse_header(f->p, "X", 0));
		assert_true(http_parse_keep_alive(f->p));
		assert_false(http_parse_is_head(f->p));
		assert_false(http_parse_is_http10(f->p));
		http_parse_reset(f->p);
		assert_int_equal(f->budget, BUDGET);
		assert_null(http_parse_header(f->p, "X-A", 0));
	}
}

static void connection_and_version_are_told(void **state)
{
	static const struct {
		const char *why, *text;
		bool keep, head, old;
	} rows[] = {
		{ "HTTP/1.1 stays", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", true, false, false },
		{ "unless told", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false,
		  false, false },
		{ "HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n", false, false, true },
		{ "unless told", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, false,
		  true },
		{ "HEAD", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", true, true, false },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_case(feed_text(f, rows[i].text) == HTTP_PARSE_DONE, rows[i].why);
		assert_case(http_parse_keep_alive(f->p) == rows[i].keep, rows[i].why);
		assert_case(http_parse_is_head(f->p) == rows[i].head, rows[i].why);
		assert_case(http_parse_is_http10(f->p) == rows[i].old, rows[i].why);
		http_parse_reset(f->p);
	}
}

/* "GET /xxx... HTTP/1.1" with `n` headers "a: b", a target of `target` bytes. */
static void put_head(struct buf *b, size_t target, size_t n)
{
	buf_puts(b, "GET /");
	for (size_t i = 1; i < target; i++)
		buf_putc(b, 'x');
	buf_puts(b, " HTTP/1.1\r\nHost: h\r\n");
	for (size_t i = 1; i < n; i++)
		buf_puts(b, "a: b\r\n");
	buf_puts(b, "\r\n");
}

static void a_head_has_limits(void **state)
{
	static const struct {
		const char *why;
		size_t target, headers;
		int status; /* 0: fine */
	} rows[] = {
		{ "small", 1, 1, 0 },
		{ "a hundred headers", 1, 100, 0 },
		{ "one more", 1, 101, 431 },
		{ "a target that leaves room for Host", 1015, 1, 0 },
		{ "one byte more", 1016, 1, 431 },
		{ "far more", 100000, 1, 431 },
	};
	static const size_t pieces[] = { 1000000, 1 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			OWNED(buf_done) struct buf b;
			enum http_parse_result got;
			size_t used;

			/* In small pieces the bytes on the wire count, and there are more of them.
			 */
			if (k && !rows[i].status && rows[i].target > 1)
				continue;
			buf_init(&b, 1 << 20);
			put_head(&b, rows[i].target, rows[i].headers);
			got = feed(f->p, b.data, b.len, pieces[k], &used);
			assert_case(got == (rows[i].status ? HTTP_PARSE_FAIL : HTTP_PARSE_DONE),
				    rows[i].why);
			assert_case(http_parse_status(f->p) == rows[i].status, rows[i].why);
			http_parse_reset(f->p);
		}
	}
}

static void a_body_has_limits(void **state)
{
	static const struct {
		const char *why;
		size_t n;
		bool chunked;
		int status;
	} rows[] = {
		{ "nothing", 0, false, 0 },
		{ "exactly the cap", BODY_MAX, false, 0 },
		{ "one more, told in advance", BODY_MAX + 1, false, 413 },
		{ "no chunk", 0, true, 0 },
		{ "chunks up to the cap", BODY_MAX, true, 0 },
		{ "one byte more", BODY_MAX + 1, true, 413 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(buf_done) struct buf b;
		struct http_request req = { 0 };
		enum http_parse_result got;
		size_t used;

		buf_init(&b, 1 << 16);
		buf_puts(&b, "POST / HTTP/1.1\r\nHost: h\r\n");
		if (rows[i].chunked)
			buf_puts(&b, "Transfer-Encoding: chunked\r\n\r\n");
		else
			buf_printf(&b, "Content-Length: %zu\r\n\r\n", rows[i].n);
		for (size_t k = 0; k < rows[i].n; k++)
			buf_puts(&b, rows[i].chunked ? "1\r\nx\r\n" : "x");
		if (rows[i].chunked)
			buf_puts(&b, "0\r\n\r\n");
		got = feed(f->p, b.data, b.len, 10, &used);
		assert_case(got == (rows[i].status ? HTTP_PARSE_FAIL : HTTP_PARSE_DONE),
			    rows[i].why);
		assert_case(http_parse_status(f->p) == rows[i].status, rows[i].why);
		if (!rows[i].status) {
			http_parse_request(f->p, &req);
			assert_case(req.body_len == rows[i].n, rows[i].why);
			assert_case((req.body != NULL) == (rows[i].n > 0), rows[i].why);
		}
		http_parse_reset(f->p);
		assert_case(f->budget == BUDGET, rows[i].why);
	}
}

/* Many bodies within their own cap must not take all memory together. */
static void bodies_share_a_budget(void **state)
{
	static const char head[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n";
	static const char small[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n";
	struct fixture *f = *state;
	const struct http_parse_limits limits = { .max_header_bytes = HEAD_MAX,
						  .max_body_bytes = BODY_MAX,
						  .body_budget = &f->budget };
	OWNED(http_parse_freep) struct http_parse *second = http_parse_new(&limits);
	OWNED(http_parse_freep) struct http_parse *third = http_parse_new(&limits);
	size_t used;

	assert_int_equal(feed_text(f, head), HTTP_PARSE_MORE);
	assert_int_equal(feed(second, head, strlen(head), 1000, &used), HTTP_PARSE_MORE);
	assert_int_equal(f->budget, BUDGET - 200);
	assert_int_equal(feed(third, head, strlen(head), 1000, &used), HTTP_PARSE_FAIL);
	assert_int_equal(http_parse_status(third), 503);
	http_parse_reset(third);
	assert_int_equal(feed(third, small, strlen(small), 1000, &used), HTTP_PARSE_MORE);
	assert_int_equal(f->budget, 0);
	http_parse_reset(second);
	http_parse_reset(third);
	assert_int_equal(feed(third, head, strlen(head), 1000, &used), HTTP_PARSE_MORE);
}

static void continue_is_wanted_once_and_only_before_the_body(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed_text(f, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
				      "Content-Length: 2\r\n\r\n"),
			 HTTP_PARSE_MORE);
	assert_true(http_parse_wants_continue(f->p));
	assert_false(http_parse_wants_continue(f->p));
	assert_int_equal(feed_text(f, "ab"), HTTP_PARSE_DONE);
	http_parse_reset(f->p);
	/* The body came along. */
	assert_int_equal(feed_text(f, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n"
				      "Content-Length: 2\r\n\r\na"),
			 HTTP_PARSE_MORE);
	assert_false(http_parse_wants_continue(f->p));
	http_parse_reset(f->p);
	/* There is none. */
	assert_int_equal(feed_text(f, "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n"),
			 HTTP_PARSE_DONE);
	assert_false(http_parse_wants_continue(f->p));
	http_parse_reset(f->p);
	assert_int_equal(feed_text(f, "POST / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n"
				      "Content-Length: 2\r\n\r\n"),
			 HTTP_PARSE_FAIL);
	assert_int_equal(http_parse_status(f->p), 417);
	http_parse_reset(f->p);
	assert_int_equal(
		feed_text(f, "POST / HTTP/1.0\r\nExpect: tea\r\nContent-Length: 1\r\n\r\na"),
		HTTP_PARSE_DONE);
}

/* Whoever checked the headers before us did not see what comes behind the body. */
static void a_trailer_is_no_header(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		feed_text(f, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
			     "1\r\na\r\n0\r\nX-Signature: forged\r\nX-B: c\r\n\r\n"),
		HTTP_PARSE_DONE);
	assert_null(http_parse_header(f->p, "X-Signature", 0));
	assert_null(http_parse_header(f->p, "X-B", 0));
	assert_string_equal(http_parse_header(f->p, "Host", 0), "h");
}

/* Framing that a proxy may read in another way (RFC 9112 section 6). */
static void doubtful_framing_is_refused(void **state)
{
	static const struct {
		const char *why, *headers;
		int status;
	} rows[] = {
		{ "length and coding", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400 },
		{ "coding and length", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", 400 },
		{ "two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		  400 },
		{ "another coding", "Transfer-Encoding: gzip\r\n", 400 },
		{ "a list of codings", "Transfer-Encoding: gzip, chunked\r\n", 400 },
		{ "a length with a sign", "Content-Length: +1\r\n", 400 },
		{ "a length in hex", "Content-Length: 0x1\r\n", 400 },
		{ "an empty length", "Content-Length:\r\n", 400 },
		{ "a length beyond 63 bits", "Content-Length: 18446744073709551615\r\n", 413 },
		{ "two hosts", "Host: g\r\n", 400 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep)
		char *text =
			xasprintf("POST / HTTP/1.1\r\nHost: h\r\n%s\r\n0\r\n\r\n", rows[i].headers);

		assert_case(feed_text(f, text) == HTTP_PARSE_FAIL, rows[i].why);
		assert_case(http_parse_status(f->p) == 400 ||
				    http_parse_status(f->p) == rows[i].status,
			    rows[i].why);
		http_parse_reset(f->p);
	}
}

static void percent_codes_are_decoded(void **state)
{
	static const struct {
		const char *why, *in;
		bool form, ok;
		const char *out;
	} rows[] = {
		{ "plain", "abc", false, true, "abc" },
		{ "both cases", "%2f%2F", false, true, "//" },
		{ "a percent sign", "%25", false, true, "%" },
		{ "once, not twice", "%2541", false, true, "%41" },
		{ "plus stays", "a+b", false, true, "a+b" },
		{ "plus is a blank in forms", "a+b%2B", true, true, "a b+" },
		{ "a byte beyond ASCII", "%FF", false, true, "\xff" },
		{ "NUL", "a%00b", false, false, NULL },
		{ "cut off", "%4", false, false, NULL },
		{ "cut off at once", "%", false, false, NULL },
		{ "first is no digit", "%g1", false, false, NULL },
		{ "second is no digit", "%1g", false, false, NULL },
		{ "a sign is no digit", "%-1", false, false, NULL },
		{ "before A", "%@1", false, false, NULL },
		{ "nothing", "", false, true, "" },
	};
	char out[8];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool ok = http_percent_decode(rows[i].in, strlen(rows[i].in), rows[i].form, out,
					      sizeof(out));

		assert_case(ok == rows[i].ok, rows[i].why);
		assert_case(!ok || strcmp(out, rows[i].out) == 0, rows[i].why);
	}
	assert_true(http_percent_decode("1234567", 7, false, out, sizeof(out)));
	assert_false(http_percent_decode("12345678", 8, false, out, sizeof(out)));
	assert_true(http_percent_decode("%31%32", 6, false, out, 3));
	/* What stands behind the given length is not looked at. */
	assert_false(http_percent_decode("%41", 2, false, out, sizeof(out)));
}

#define PARSE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARSE_TEST(reads_one_request_and_leaves_the_next),
		PARSE_TEST(connection_and_version_are_told),
		PARSE_TEST(a_head_has_limits),
		PARSE_TEST(a_body_has_limits),
		PARSE_TEST(bodies_share_a_budget),
		PARSE_TEST(continue_is_wanted_once_and_only_before_the_body),
		PARSE_TEST(a_trailer_is_no_header),
		PARSE_TEST(doubtful_framing_is_refused),
		PARSE_TEST(percent_codes_are_decoded),
	};

	return cmocka_run_group_tests_name("http_parse", tests, NULL, NULL);
}

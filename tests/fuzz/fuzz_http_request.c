/*
 * Bytes of a connection. However they are cut into pieces, the same requests must come
 * out and the same refusal: a front proxy and we must never see different borders.
 */
#include <string.h>

#include "core/buf.h"
#include "core/http_parse.h"
#include "core/http_server.h"
#include "tests/fuzz/fuzz.h"

enum { HEAD_MAX = 2048, BODY_MAX = 4096, BUDGET = 3 * BODY_MAX };

static void describe(struct http_parse *p, struct buf *out)
{
	struct http_request req = { 0 };
	const char *host = http_parse_header(p, "host", 0);

	http_parse_request(p, &req);
	FUZZ_ASSERT(req.path[0] == '/' && req.query && req.method && *req.method);
	FUZZ_ASSERT(req.body_len <= BODY_MAX && (req.body != NULL) == (req.body_len > 0));
	FUZZ_ASSERT(host || http_parse_is_http10(p));
	buf_printf(out, "%s %s?%s %d %zu ", req.method, req.path, req.query,
		   http_parse_keep_alive(p), req.body_len);
	buf_append(out, req.body, req.body_len);
	buf_puts(out, "\n");
}

/* All requests in the bytes, fed `piece` at a time, in words. */
static void parse_all(const char *data, size_t n, size_t piece, struct buf *out)
{
	size_t budget = BUDGET;
	struct http_parse_limits limits = { .max_header_bytes = HEAD_MAX,
					    .max_body_bytes = BODY_MAX,
					    .body_budget = &budget };
	OWNED(http_parse_freep) struct http_parse *p = http_parse_new(&limits);
	size_t at = 0;

	while (at < n) {
		size_t give = n - at < piece ? n - at : piece, used = 0;
		enum http_parse_result got = http_parse_feed(p, data + at, give, &used);

		FUZZ_ASSERT(used <= give);
		at += used;
		if (got == HTTP_PARSE_FAIL) {
			int status = http_parse_status(p);

			FUZZ_ASSERT(status >= 400 && status <= 505);
			/* How large a head was is seen earlier in small pieces: 400 or 431 then. */
			buf_puts(out, "refused\n");
			return;
		}
		(void)http_parse_wants_continue(p);
		if (got == HTTP_PARSE_DONE) {
			describe(p, out);
			http_parse_reset(p);
			FUZZ_ASSERT(budget == BUDGET);
		} else {
			FUZZ_ASSERT(used == give);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = { 1, 7, 1000 };
	OWNED(buf_done) struct buf whole;

	buf_init(&whole, 1 << 20);
	/* Beyond this a head may be refused for its padding in pieces only. */
	if (size > HEAD_MAX)
		return 0;
	parse_all((const char *)data, size, size ? size : 1, &whole);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		OWNED(buf_done) struct buf cut;

		buf_init(&cut, 1 << 20);
		parse_all((const char *)data, size, pieces[i], &cut);
		FUZZ_ASSERT(cut.len == whole.len &&
			    memcmp(buf_text(&cut), buf_text(&whole), whole.len) == 0);
	}
	return 0;
}

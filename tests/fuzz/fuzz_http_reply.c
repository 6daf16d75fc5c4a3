/*
 * A provider's answer: first byte which status, second which headers, the rest the body. Any
 * answer has one fate with words that can be shown; a body is JSON to json-c and to us alike.
 */
#include <string.h>

#include "core/finding.h"
#include "core/http_client.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/github_reply.h"
#include "tests/fuzz/fuzz.h"

static const int64_t now_ms = INT64_C(1785319289000);

static void check_verdict(const struct http_reply *reply)
{
	static const struct github_ask ask = { "api.github.com", "octo/hello", "actions: write" };
	struct api_result out = { 0 };

	github_reply_judge(reply, &ask, now_ms, &out);
	FUZZ_ASSERT(out.http_status == reply->status && out.retry_after_ms >= -1);
	FUZZ_ASSERT(out.retry_after_ms <= INT64_C(7) * 24 * 3600 * 1000);
	FUZZ_ASSERT(memchr(out.why, '\0', sizeof(out.why)) && (*out.why || out.fate == API_OK));
	FUZZ_ASSERT(utf8_valid((const unsigned char *)out.why, strlen(out.why)));
	for (const char *p = out.why; *p; p++)
		FUZZ_ASSERT((unsigned char)*p >= 0x20 && *p != 0x7f);
	FUZZ_ASSERT(out.fate != API_OK || (reply->status >= 200 && reply->status < 300));
}

/* A finding that was read can be written, and reads as the same again. */
static void check_finding(struct json_object *o)
{
	OWNED(arena_freep) struct arena *arena = arena_new();
	OWNED(json_putp) struct json_object *first = NULL, *second = NULL, *parsed = NULL;
	struct finding f, again;
	struct err err = { 0 };

	if (finding_from_json(o, arena, &f, &err) < 0) {
		FUZZ_ASSERT(err.kind == ERR_INPUT);
		return;
	}
	FUZZ_ASSERT(f.confidence >= 0 && f.confidence <= 1 && finding_category_known(f.category));
	first = finding_to_json(&f);
	FUZZ_ASSERT(json_parse(json_text(first), strlen(json_text(first)), &parsed, &err) == 0);
	FUZZ_ASSERT(finding_from_json(parsed, arena, &again, &err) == 0);
	second = finding_to_json(&again);
	FUZZ_ASSERT(strcmp(json_text(first), json_text(second)) == 0);
}

static void check_json(const char *body, size_t n)
{
	static const char *const paths[] = { "",    "a",  "a.0", "jobs.0.steps.1.name",
					     "0.0", "..", "a." };
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err = { 0 };

	if (json_parse(body, n, &o, &err) < 0) {
		FUZZ_ASSERT(err.kind == ERR_INPUT && *err.msg && !o);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		double v = json_num(o, paths[i], 7);

		FUZZ_ASSERT(v - v == 0); /* finite */
		FUZZ_ASSERT(json_str(o, paths[i], "-"));
		FUZZ_ASSERT(json_i64(o, paths[i], 7) == json_i64(o, paths[i], 7));
		(void)json_flag(o, paths[i], false);
	}
	check_finding(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = { 0,   200, 201, 204, 301, 302, 400, 401, 403, 404,
					408, 410, 422, 429, 500, 502, 503, 304, 999 };
	OWNED(freep) char *body = NULL;
	struct http_reply reply = { .retry_after_ms = -1,
				    .rate_remaining = -1,
				    .rate_reset_at_ms = -1,
				    .content_type = "",
				    .etag = "",
				    .final_url = "" };

	if (size < 2)
		return 0;
	body = xcalloc(1, size - 1);
	memcpy(body, data + 2, size - 2);
	reply.status = statuses[data[0] % ARRAY_LEN(statuses)];
	reply.body = body;
	reply.body_len = size - 2;
	if (data[1] & 1)
		reply.retry_after_ms = (int64_t)(data[1] >> 4) * 1000;
	if (data[1] & 2)
		reply.rate_remaining = data[1] >> 7;
	if (data[1] & 4)
		reply.rate_reset_at_ms = data[1] & 64 ? INT64_MAX : now_ms + data[1];
	if (data[1] & 8)
		reply.error = "the body is over the cap";
	check_verdict(&reply);
	check_json(body, size - 2);
	return 0;
}

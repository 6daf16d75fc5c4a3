/* The receiver in front of a real Redis: what each webhook is answered, and what is stored after.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "core/mem.h"
#include "tests/integration/product.h"

#define SEEN "pg:{local:0}:seen:github:%s"

static int64_t events(struct rig *r)
{
	return redis_int_of(r, "XLEN %s", EVENTS);
}

static int64_t dead(struct rig *r)
{
	return redis_int_of(r, "XLEN %s", DEAD);
}

static int64_t seen_ttl_s(struct rig *r, const char *delivery)
{
	return redis_int_of(r, "TTL " SEEN, delivery);
}

static const char *good_body(struct rig *r)
{
	return run_body(r, &(struct run_hook){ 0 });
}

/* --- the ordinary ones ------------------------------------------------------------------ */

static void accepts_an_event_once(struct rig *r)
{
	struct answer first, second;
	struct proc *receiver = receiver_start(r, NULL);
	const char *id;

	first = webhook_post_text(r, "workflow_run", "d-1", good_body(r));
	assert_int_equal(first.status, 202);
	assert_string_equal(answer_str(&first, "status"), "accepted");
	assert_string_equal(answer_str(&first, "region"), "local");
	id = answer_str(&first, "id");
	assert_int_equal(events(r), 1);
	assert_string_equal(redis_text_of(r, "GET " SEEN, "d-1"), id);
	assert_in_range(seen_ttl_s(r, "d-1"), 71 * 3600, 72 * 3600);
	assert_string_equal(redis_last_field(r, EVENTS, "run_id"), "1001");
	assert_string_equal(redis_last_field(r, EVENTS, "status"), "completed");
	assert_string_equal(redis_last_field(r, EVENTS, "conclusion"), "failure");
	assert_string_equal(redis_last_field(r, EVENTS, "delivery"), "d-1");
	assert_int_equal(strlen(redis_last_field(r, EVENTS, "trace")), 55);

	second = webhook_post_text(r, "workflow_run", "d-1", good_body(r));
	assert_int_equal(second.status, 202);
	assert_string_equal(answer_str(&second, "status"), "duplicate");
	assert_string_equal(answer_str(&second, "id"), id);
	assert_int_equal(events(r), 1);
	assert_int_equal(dead(r), 0);
	assert_int_equal(proc_stop(receiver), 0);
}

static void the_body_names_a_delivery_without_a_usable_id(struct rig *r)
{
	static const char *const ids[] = { NULL, "", "spaces and {braces}" };

	(void)receiver_start(r, NULL);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct answer a = webhook_post_text(r, "workflow_run", ids[i], good_body(r));

		assert_int_equal(a.status, 202);
		assert_string_equal(answer_str(&a, "status"), i ? "duplicate" : "accepted");
	}
	assert_int_equal(events(r), 1);
}

/* --- who is let in ---------------------------------------------------------------------- */

static void refuses_what_is_not_signed(struct rig *r)
{
	const char *body = good_body(r), *good, *wrong, *other;
	size_t n = strlen(body);

	good = signature_line(r, WEBHOOK_SECRET, body, n);
	wrong = signature_line(r, "somebody else's secret", body, n);
	other = signature_line(r, WEBHOOK_SECRET, body, n - 1);

	const struct {
		const char *why, *signature;
	} rows[] = {
		{ "none", "" },
		{ "another secret", wrong },
		{ "of another body", other },
		{ "two, one of them right", rig_printf(r, "%s%s", good, wrong) },
		{ "two that are the same", rig_printf(r, "%s%s", good, good) },
		{ "the old kind",
		  "X-Hub-Signature: sha1=0000000000000000000000000000000000000000\r\n" },
		{ "cut off", rig_printf(r, "%.60s\r\n", good) },
		{ "one digit too many", rig_printf(r, "%.*s0\r\n", (int)strlen(good) - 2, good) },
		{ "empty", "X-Hub-Signature-256:\r\n" },
		{ "no hex",
		  "X-Hub-Signature-256: sha256=zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
		  "zzzzzzzzzzzzzzzzz\r\n" },
	};

	(void)receiver_start(r, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *headers = rig_printf(
			r,
			"Content-Type: application/json\r\nX-GitHub-Event: workflow_run\r\n"
			"X-GitHub-Delivery: s-%zu\r\n%s",
			i, rows[i].signature);
		struct answer a =
			http_ask(r, receiver_port(r), "POST", "/webhooks/github", headers, body, n);

		assert_case(a.status == 401, rows[i].why);
		/* It never says which part was wrong. */
		assert_case(strcmp(a.body, "{\"status\":\"unauthorized\"}\n") == 0, rows[i].why);
	}
	assert_int_equal(events(r), 0);
	assert_int_equal(dead(r), 0);
	assert_int_equal(redis_int_of(r, "EXISTS " SEEN, "s-0"), 0);
}

static void every_secret_of_a_rotation_is_good(struct rig *r)
{
	const char *body = good_body(r);
	static const char *const secrets[] = { "old-secret", "new-secret", "forgotten-secret" };

	rig_write(r, "rotation", "old-secret\nnew-secret\n", 0600);
	(void)receiver_start(
		r, rig_printf(r, "github.webhook_secret_file=%s", rig_path(r, "rotation")), NULL);
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		const char *headers = rig_printf(
			r,
			"Content-Type: application/json\r\nX-GitHub-Event: workflow_run\r\n"
			"X-GitHub-Delivery: r-%zu\r\n%s",
			i, signature_line(r, secrets[i], body, strlen(body)));
		struct answer a = http_ask(r, receiver_port(r), "POST", "/webhooks/github", headers,
					   body, strlen(body));

		assert_case(a.status == (i < 2 ? 202 : 401), secrets[i]);
	}
}

static void there_is_no_open_mode(struct rig *r)
{
	const char *body = good_body(r);
	const char *args[] = { "receiver",
			       "--set",
			       rig_printf(r, "redis.url=%s", redis_url(r)),
			       "--set",
			       "listen=127.0.0.1:0",
			       "--set",
			       "admin_listen=none",
			       NULL };
	struct proc *p = guard_start(r, "receiver", args, NULL);
	int port = port_of(proc_line(p, "receiver ready "));
	const char *const signatures[] = { "", signature_line(r, "", body, strlen(body)) };

	for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
		const char *headers = rig_printf(
			r, "Content-Type: application/json\r\nX-GitHub-Event: workflow_run\r\n%s",
			signatures[i]);

		assert_int_equal(
			http_ask(r, port, "POST", "/webhooks/github", headers, body, strlen(body))
				.status,
			401);
	}
	assert_int_equal(events(r), 0);
}

/* --- what is said about each --------------------------------------------------------------- */

static void other_requests_are_refused_before_their_body_is_read(struct rig *r)
{
	static const char json[] = "Content-Type: application/json\r\n";
	static const struct {
		const char *why, *method, *path, *headers;
		int status;
	} rows[] = {
		{ "no content type", "POST", "/webhooks/github", "", 415 },
		{ "text", "POST", "/webhooks/github", "Content-Type: text/plain\r\n", 415 },
		{ "xml", "POST", "/webhooks/github", "Content-Type: application/xml\r\n", 415 },
		{ "longer type", "POST", "/webhooks/github", "Content-Type: application/jsonp\r\n",
		  415 },
		{ "GET", "GET", "/webhooks/github", json, 405 },
		{ "DELETE", "DELETE", "/webhooks/github", json, 405 },
		{ "unknown provider", "POST", "/webhooks/nobody", json, 404 },
		{ "unknown source", "POST", "/webhooks/github/other", json, 404 },
		{ "no provider", "POST", "/webhooks/", json, 404 },
		{ "elsewhere", "POST", "/", json, 404 },
		{ "climbing", "POST", "/webhooks/../webhooks/gitlab", json, 404 },
	};

	(void)receiver_start(r, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a = http_ask(r, receiver_port(r), rows[i].method, rows[i].path,
					   rows[i].headers, "{}", 2);

		if (a.status != rows[i].status)
			fail_msg("%s: %d, not %d", rows[i].why, a.status, rows[i].status);
	}
	assert_int_equal(events(r), 0);
}

static void form_encoding_and_charsets_are_fine(struct rig *r)
{
	const char *body = good_body(r);
	OWNED(buf_done) struct buf form;
	const char *headers;
	struct answer a;

	buf_init(&form, 1 << 20);
	buf_puts(&form, "payload=");
	for (const char *p = body; *p; p++)
		buf_printf(&form, "%%%02X", (unsigned char)*p);
	(void)receiver_start(r, NULL);
	headers = rig_printf(r,
			     "Content-Type: application/x-www-form-urlencoded\r\n"
			     "X-GitHub-Event: workflow_run\r\nX-GitHub-Delivery: f-1\r\n%s",
			     signature_line(r, WEBHOOK_SECRET, form.data, form.len));
	a = http_ask(r, receiver_port(r), "POST", "/webhooks/github", headers, form.data, form.len);
	assert_int_equal(a.status, 202);
	assert_string_equal(answer_str(&a, "status"), "accepted");
	headers = rig_printf(r,
			     "content-type: Application/JSON; charset=utf-8\r\n"
			     "x-github-event: workflow_run\r\nx-github-delivery: f-2\r\n%s",
			     signature_line(r, WEBHOOK_SECRET, body, strlen(body)));
	a = http_ask(r, receiver_port(r), "POST", "/webhooks/github/github", headers, body,
		     strlen(body));
	assert_string_equal(answer_str(&a, "status"), "accepted");
	assert_int_equal(events(r), 2);
	assert_string_equal(redis_last_field(r, EVENTS, "repo"), "acme/shop");
}

static void ping_and_foreign_events_are_ignored(struct rig *r)
{
	static const char *const topics[] = { "push", "issues",       "deployment_status",
					      "star", "WORKFLOW_RUN", "workflow_run2" };
	struct answer a;

	(void)receiver_start(r, NULL);
	a = webhook_post_text(r, "ping", "p-1", "{\"zen\":\"Keep it logically awesome.\"}");
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_str(&a, "status"), "ignored");
	assert_string_equal(answer_str(&a, "reason"), "ping");
	for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
		a = webhook_post_text(r, topics[i], "p-2", "{\"not\":");
		assert_case(a.status == 200, topics[i]);
		assert_case(strcmp(answer_str(&a, "status"), "ignored") == 0, topics[i]);
		assert_case(*answer_str(&a, "reason"), topics[i]);
	}
	assert_int_equal(events(r), 0);
	assert_int_equal(dead(r), 0);
	assert_int_equal(redis_int_of(r, "EXISTS " SEEN, "p-1"), 0);
}

static const char *nested(struct rig *r, unsigned depth)
{
	OWNED(buf_done) struct buf text;
	const char *good = good_body(r);

	buf_init(&text, 1 << 20);
	buf_puts(&text, "{\"deep\":");
	for (unsigned i = 0; i < depth; i++)
		buf_putc(&text, '[');
	for (unsigned i = 0; i < depth; i++)
		buf_putc(&text, ']');
	buf_printf(&text, ",%s", good + 1);
	return rig_text(r, text.data, text.len);
}

/* The body with the first `from` replaced. */
static const char *with(struct rig *r, const char *from, const char *to)
{
	const char *body = good_body(r), *at = strstr(body, from);

	assert_non_null(at);
	return rig_printf(r, "%.*s%s%s", (int)(at - body), body, to, at + strlen(from));
}

static void malformed_events_are_quarantined(struct rig *r)
{
	const char *good = good_body(r);
	const struct {
		const char *why, *body, *reason;
	} rows[] = {
		{ "truncated", rig_text(r, good, strlen(good) - 10), "malformed" },
		{ "empty", "", "malformed" },
		{ "no JSON", "hello", "malformed" },
		{ "two values", rig_printf(r, "%s{}", good), "malformed" },
		{ "an array", "[]", "missing" },
		{ "null", "null", "" },
		{ "id is text", with(r, "\"id\":1001", "\"id\":\"1001\""), "workflow_run.id" },
		{ "id is negative", with(r, "\"id\":1001", "\"id\":-1"), "workflow_run.id" },
		{ "id is a fraction", with(r, "\"id\":1001", "\"id\":1001.5"), "workflow_run.id" },
		{ "id is 0", with(r, "\"id\":1001", "\"id\":0"), "id is 0" },
		{ "id beyond 63 bits", with(r, "\"id\":1001", "\"id\":9223372036854775808"),
		  "workflow_run.id" },
		{ "id of 400 digits", with(r, "\"id\":1001", rig_printf(r, "\"id\":1%0400d", 0)),
		  "workflow_run.id" },
		{ "no id", with(r, "\"id\":1001,", ""), "workflow_run.id" },
		{ "no repository", with(r, "\"repository\"", "\"depository\""), "repository" },
		{ "repository is a list", with(r, "\"repository\":{", "\"repository\":[],\"x\":{"),
		  "repository" },
		{ "name climbs", with(r, "\"full_name\":\"acme/shop", "\"full_name\":\"../shop"),
		  "full_name" },
		{ "name with a query",
		  with(r, "\"full_name\":\"acme/shop", "\"full_name\":\"acme/shop?x="),
		  "full_name" },
		{ "name without owner",
		  with(r, "\"full_name\":\"acme/shop", "\"full_name\":\"shop"), "full_name" },
		{ "name too long",
		  with(r, "\"full_name\":\"acme/shop",
		       rig_printf(r, "\"full_name\":\"acme/%0200d", 7)),
		  "full_name" },
		{ "invalid UTF-8",
		  with(r, "\"head_branch\":\"main\"", "\"head_branch\":\"ma\xff\""), "malformed" },
		{ "a lone surrogate byte", with(r, "\"main\"", "\"\xed\xa0\x80\""), "UTF-8" },
		{ "nested over the cap", nested(r, 65), "nested deeper" },
		{ "a control character", with(r, "\"main\"", "\"ma\nin\""), "malformed" },
	};

	(void)receiver_start(r, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *delivery = rig_printf(r, "q-%zu", i), *reason;
		struct answer a = webhook_post_text(r, "workflow_run", delivery, rows[i].body);

		if (a.status != 202 || strcmp(answer_str(&a, "status"), "quarantined") != 0)
			fail_msg("%s: %d %s", rows[i].why, a.status, a.body);
		assert_case(dead(r) == (int64_t)i + 1, rows[i].why);
		reason = redis_last_field(r, DEAD, "reason");
		if (!strstr(reason, rows[i].reason))
			fail_msg("%s: \"%s\" does not say %s", rows[i].why, reason, rows[i].reason);
		assert_string_equal(redis_last_field(r, DEAD, "delivery"), delivery);
	}
	assert_int_equal(events(r), 0);
	/* It may be delivered again once the sender is repaired. */
	assert_int_equal(redis_int_of(r, "EXISTS " SEEN, "q-1"), 0);
}

static void only_so_many_dead_letters_are_kept(struct rig *r)
{
	(void)redis_do(r, "CONFIG SET stream-node-max-entries 5");
	(void)receiver_start(r, "dead_letters.max=10", NULL);
	for (int i = 0; i < 30; i++)
		(void)webhook_post_text(r, "workflow_run", rig_printf(r, "d-%d", i),
					rig_printf(r, "no JSON %d", i));
	assert_in_range(dead(r), 10, 14);
	assert_string_equal(redis_last_field(r, DEAD, "delivery"), "d-29");
	assert_non_null(strstr(http_get(r, receiver_admin_port(r), "/metrics").body,
			       rig_printf(r, "pipeline_guard_dead_letters_dropped_total %d\n",
					  (int)(30 - dead(r)))));
}

static void an_event_without_its_name_is_quarantined(struct rig *r)
{
	const char *body = good_body(r);
	const char *headers =
		rig_printf(r, "Content-Type: application/json\r\nX-GitHub-Delivery: n-1\r\n%s",
			   signature_line(r, WEBHOOK_SECRET, body, strlen(body)));
	struct answer a;

	(void)receiver_start(r, NULL);
	a = http_ask(r, receiver_port(r), "POST", "/webhooks/github", headers, body, strlen(body));
	assert_int_equal(a.status, 202);
	assert_string_equal(answer_str(&a, "status"), "quarantined");
	assert_int_equal(dead(r), 1);
}

static void odd_but_sound_events_are_accepted(struct rig *r)
{
	const struct {
		const char *why, *body, *field, *value;
	} rows[] = {
		{ "the largest id", with(r, "\"id\":1001", "\"id\":9223372036854775807"), "run_id",
		  "9223372036854775807" },
		{ "first of two keys", with(r, "\"id\":1001", "\"id\":1001,\"id\":6"), "run_id",
		  "1001" },
		{ "unknown conclusion",
		  run_body(r, &(struct run_hook){ .conclusion = "neverheardof" }), "conclusion",
		  "neverheardof" },
		{ "startup failure",
		  run_body(r, &(struct run_hook){ .conclusion = "startup_failure" }), "conclusion",
		  "startup_failure" },
		{ "no conclusion",
		  run_body(r, &(struct run_hook){ .conclusion = "",
						  .status = "in_progress",
						  .action = "in_progress" }),
		  "status", "running" },
		{ "nested up to the cap", nested(r, 63), "run_id", "1001" },
		{ "hostile name",
		  run_body(
			  r,
			  &(struct run_hook){ .name = "\r\n*1\r\n$8\r\nFLUSHALL\r\n\x1b[31m<script>"
						      "'\"; {x} %s%n ${jndi:x}" }),
		  "pipeline",
		  "\r\n*1\r\n$8\r\nFLUSHALL\r\n\x1b[31m<script>'\"; {x} %s%n ${jndi:x}" },
		{ "wrong type where it does not matter",
		  with(r, "\"head_branch\":\"main\"", "\"head_branch\":[1,{}]"), "repo",
		  "acme/shop" },
		{ "unknown fields", with(r, "{", "{\"future\":{\"a\":[true,null,1e999]},"),
		  "run_id", "1001" },
	};

	(void)receiver_start(r, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a = webhook_post_text(r, "workflow_run", rig_printf(r, "a-%zu", i),
						    rows[i].body);

		if (a.status != 202 || strcmp(answer_str(&a, "status"), "accepted") != 0)
			fail_msg("%s: %d %s: %s", rows[i].why, a.status, a.body,
				 redis_last_field(r, DEAD, "reason"));
		assert_case(events(r) == (int64_t)i + 1, rows[i].why);
		assert_string_equal(redis_last_field(r, EVENTS, rows[i].field), rows[i].value);
	}
	assert_int_equal(dead(r), 0);
}

/* Long names do not make long entries. */
static void an_entry_stays_small(struct rig *r)
{
	const char *huge = rig_printf(r, "%03000d", 1);
	redisReply *all, *fields;
	size_t bytes = 0;
	struct answer a;

	(void)receiver_start(r, NULL);
	a = webhook_post_text(r, "workflow_run", "big-1",
			      run_body(r, &(struct run_hook){ .name = huge }));
	assert_string_equal(answer_str(&a, "status"), "accepted");
	assert_in_range(strlen(redis_last_field(r, EVENTS, "pipeline")), 1, 120);
	all = redis_do(r, "XRANGE %s - +", EVENTS);
	fields = all->element[0]->element[1];
	for (size_t i = 0; i < fields->elements; i++)
		bytes += fields->element[i]->len;
	assert_in_range(bytes, 100, 1024);
}

static void quarantined_bodies_are_redacted_and_capped(struct rig *r)
{
	const char *body = rig_printf(r,
				      "{\"token\":\"ghs_16C7e42F292c6912E7710c838347Ae178B4a\","
				      "\"filler\":\"%0100000d\"",
				      3);
	const char *kept;

	(void)receiver_start(r, NULL);
	(void)webhook_post_text(r, "workflow_run", "c-1", body);
	kept = redis_last_field(r, DEAD, "body");
	assert_in_range(strlen(kept), 1, 64 << 10);
	assert_null(strstr(kept, "ghs_16C7"));
	assert_int_equal(rig_grep(r, "ghs_16C7", NULL), 0);
}

/* --- sizes and slowness ------------------------------------------------------------------ */

static void a_body_over_the_cap_is_413(struct rig *r)
{
	const char *good = good_body(r);
	const char *fits = rig_printf(r, "%s%*s", good, (int)(4096 - strlen(good)), "");
	struct dialog *d;
	struct answer a;

	(void)receiver_start(r, "receiver.max_body=4k", NULL);
	a = webhook_post(r, "workflow_run", "l-1", fits, 4096);
	assert_string_equal(answer_str(&a, "status"), "accepted");
	a = webhook_post(r, "workflow_run", "l-2", rig_printf(r, "%s ", fits), 4097);
	assert_int_equal(a.status, 413);
	/* The length alone is enough: nobody waits for 25 MB that are refused anyway. */
	d = dialog_open(r, receiver_port(r));
	(void)dialog_send(d,
			  "POST /webhooks/github HTTP/1.1\r\nHost: x\r\n"
			  "Content-Length: 99999999999\r\n\r\n",
			  72);
	assert_int_equal(dialog_answer(d, PATIENCE_MS).status, 413);
	dialog_close(d);
	d = dialog_open(r, receiver_port(r));
	(void)dialog_send(d,
			  "POST /webhooks/github HTTP/1.1\r\nHost: x\r\n"
			  "Transfer-Encoding: chunked\r\n\r\n2000\r\n",
			  77);
	(void)dialog_send(d, fits, 4096);
	(void)dialog_send(d, fits, 4096);
	assert_int_equal(dialog_answer(d, PATIENCE_MS).status, 413);
	dialog_close(d);
	assert_int_equal(events(r), 1);
}

static void a_slow_sender_is_not_waited_for_forever(struct rig *r)
{
	struct dialog *slow, *idle;
	struct answer a;

	(void)receiver_start(r, "receiver.request_timeout=400ms", "receiver.idle_timeout=400ms",
			     NULL);
	slow = dialog_open(r, receiver_port(r));
	idle = dialog_open(r, receiver_port(r));
	(void)dialog_send(slow,
			  "POST /webhooks/github HTTP/1.1\r\nHost: x\r\n"
			  "Content-Length: 100\r\n\r\n{",
			  65);
	a = webhook_post_text(r, "workflow_run", "w-1", good_body(r));
	assert_string_equal(answer_str(&a, "status"), "accepted");
	a = dialog_answer(slow, PATIENCE_MS);
	assert_int_equal(a.status, 408);
	assert_true(dialog_closed(slow, PATIENCE_MS));
	assert_true(dialog_closed(idle, PATIENCE_MS));
	dialog_close(slow);
	dialog_close(idle);
	assert_int_equal(events(r), 1);
}

static const char *whole_request(struct rig *r, const char *delivery)
{
	const char *body = good_body(r);

	return rig_printf(r,
			  "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: "
			  "application/json\r\nX-GitHub-Event: workflow_run\r\n"
			  "X-GitHub-Delivery: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
			  delivery, signature_line(r, WEBHOOK_SECRET, body, strlen(body)),
			  strlen(body), body);
}

static void a_body_may_come_in_single_bytes(struct rig *r)
{
	const char *request = whole_request(r, "b-1");
	struct dialog *d;
	struct answer a;

	(void)receiver_start(r, NULL);
	d = dialog_open(r, receiver_port(r));
	for (const char *p = request; *p; p++)
		assert_true(dialog_send(d, p, 1));
	a = dialog_answer(d, PATIENCE_MS);
	assert_int_equal(a.status, 202);
	assert_string_equal(answer_str(&a, "status"), "accepted");
	dialog_close(d);
}

static void pipelined_requests_are_answered_in_order(struct rig *r)
{
	enum { N = 20 };
	OWNED(buf_done) struct buf all;
	struct dialog *d;

	buf_init(&all, 1 << 20);
	for (int i = 0; i < N; i++)
		buf_puts(&all, whole_request(r, rig_printf(r, "pipe-%d", i)));
	(void)receiver_start(r, NULL);
	d = dialog_open(r, receiver_port(r));
	assert_true(dialog_send(d, all.data, all.len));
	for (int i = 0; i < N; i++) {
		const char *id = rig_printf(r, "pipe-%d", i);
		struct answer a = dialog_answer(d, PATIENCE_MS);

		assert_int_equal(a.status, 202);
		assert_string_equal(answer_str(&a, "id"), redis_text_of(r, "GET " SEEN, id));
	}
	dialog_close(d);
	assert_int_equal(events(r), N);
}

static void nonsense_is_400_and_the_next_one_is_served(struct rig *r)
{
	static const char *const nonsense[] = {
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
		 "Transfer-Encoding: chunked\r\n\r\nhello"),
		"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
		"\r\n\r\n\r\nnonsense\r\n\r\n",
	};
	struct answer a;

	(void)receiver_start(r, NULL);
	for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
		struct dialog *d = dialog_open(r, receiver_port(r));

		(void)dialog_send(d, nonsense[i], strlen(nonsense[i]));
		assert_case(dialog_answer(d, PATIENCE_MS).status == 400, nonsense[i]);
		assert_case(dialog_closed(d, PATIENCE_MS), nonsense[i]);
		dialog_close(d);
	}
	a = webhook_post_text(r, "workflow_run", "ok-1", good_body(r));
	assert_string_equal(answer_str(&a, "status"), "accepted");
}

/* --- Redis away, receiver away -------------------------------------------------------------- */

static bool ready(struct rig *r)
{
	return http_get(r, receiver_port(r), "/ready").status == 200;
}

static void nothing_is_accepted_while_redis_is_away(struct rig *r)
{
	struct answer a;

	(void)receiver_start(r, "redis.timeout=300ms", "receiver.spool_max=0", NULL);
	a = webhook_post_text(r, "workflow_run", "u-1", good_body(r));
	assert_string_equal(answer_str(&a, "status"), "accepted");
	redis_kill(r);
	a = webhook_post_text(r, "workflow_run", "u-2", good_body(r));
	assert_int_equal(a.status, 503);
	assert_string_equal(answer_str(&a, "status"), "unavailable");
	assert_non_null(strcasestr(a.head, "\r\nRetry-After: "));
	WAIT(r, !ready(r));
	assert_int_equal(http_get(r, receiver_port(r), "/health").status, 200);

	redis_start(r);
	WAIT(r, ready(r));
	assert_int_equal(events(r), 1);
	/* GitHub delivers both again: one is known, the other was never taken. */
	a = webhook_post_text(r, "workflow_run", "u-1", good_body(r));
	assert_string_equal(answer_str(&a, "status"), "duplicate");
	a = webhook_post_text(r, "workflow_run", "u-2", good_body(r));
	assert_string_equal(answer_str(&a, "status"), "accepted");
	assert_int_equal(events(r), 2);
}

static void a_redis_that_hangs_is_a_503_too(struct rig *r)
{
	struct answer a;

	(void)receiver_start(r, "redis.timeout=300ms", "receiver.spool_max=0", NULL);
	proc_signal(redis_proc(r), SIGSTOP);
	a = webhook_post_text(r, "workflow_run", "h-1", good_body(r));
	proc_signal(redis_proc(r), SIGCONT);
	assert_int_equal(a.status, 503);
	/* It may have arrived after all: the redelivery says so, and there is only one. */
	WAIT(r, ready(r));
	a = webhook_post_text(r, "workflow_run", "h-1", good_body(r));
	assert_int_equal(a.status, 202);
	assert_int_equal(events(r), 1);
}

/* The receiver dies after Redis took the event and before the sender heard of it. */
static void a_receiver_killed_before_its_answer_loses_nothing(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL);
	struct answer a;
	struct dialog *d = dialog_open(r, receiver_port(r));
	const char *request = whole_request(r, "k-1");

	/* Redis knows the script now, so that one command is all it needs. */
	(void)webhook_post_text(r, "workflow_run", "k-0", good_body(r));
	/* Redis gets the command and acts on it once the receiver can no longer answer. */
	proc_signal(redis_proc(r), SIGSTOP);
	assert_true(dialog_send(d, request, strlen(request)));
	assert_false(dialog_closed(d, 300));
	proc_signal(receiver, SIGSTOP);
	proc_signal(redis_proc(r), SIGCONT);
	WAIT(r, events(r) == 2);
	proc_kill(receiver);
	assert_int_equal(dialog_answer(d, PATIENCE_MS).status, 0);
	dialog_close(d);

	(void)receiver_start(r, NULL);
	a = webhook_post_text(r, "workflow_run", "k-1", good_body(r));
	assert_int_equal(a.status, 202);
	assert_string_equal(answer_str(&a, "status"), "duplicate");
	assert_int_equal(events(r), 2);
}

static void what_was_accepted_survives_kill_9_of_redis(struct rig *r)
{
	enum { N = 30 };

	(void)receiver_start(r, NULL);
	for (int i = 0; i < N; i++) {
		struct answer a = webhook_post_text(r, "workflow_run", rig_printf(r, "v-%d", i),
						    good_body(r));

		assert_string_equal(answer_str(&a, "status"), "accepted");
	}
	redis_kill(r);
	redis_start(r);
	assert_int_equal(events(r), N);
}

static void drain_answers_what_it_has_and_exits_0(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL);
	struct dialog *d = dialog_open(r, receiver_port(r));
	const char *request = whole_request(r, "z-1");
	struct answer a;

	proc_signal(redis_proc(r), SIGSTOP);
	assert_true(dialog_send(d, request, strlen(request)));
	assert_false(dialog_closed(d, 200));
	proc_signal(receiver, SIGTERM);
	assert_false(dialog_closed(d, 200));
	proc_signal(redis_proc(r), SIGCONT);
	a = dialog_answer(d, PATIENCE_MS);
	assert_string_equal(answer_str(&a, "status"), "accepted");
	assert_int_equal(proc_wait(receiver, PATIENCE_MS), 0);
	dialog_close(d);
	assert_int_equal(events(r), 1);
}

/* --- probes ------------------------------------------------------------------------------ */

static void probes_and_metrics(struct rig *r)
{
	struct answer a;
	struct proc *receiver = receiver_start(r, NULL);

	assert_int_equal(http_get(r, receiver_port(r), "/health").status, 200);
	assert_int_equal(http_get(r, receiver_port(r), "/ready").status, 200);
	assert_int_equal(http_ask(r, receiver_port(r), "POST", "/health", "", "", 0).status, 405);
	assert_int_equal(http_get(r, receiver_port(r), "/metrics").status, 404);
	(void)webhook_post_text(r, "workflow_run", "m-1", good_body(r));
	(void)webhook_post_text(r, "workflow_run", "m-1", good_body(r));
	(void)webhook_post_text(r, "workflow_run", "m-2", "{");
	(void)webhook_post_text(r, "ping", "m-3", "{}");
	a = http_get(r, receiver_admin_port(r), "/metrics");
	assert_int_equal(a.status, 200);

	static const char *const lines[] = {
		"pipeline_guard_webhooks_received_total{source=\"github\",result=\"accepted\"} 1\n",
		"pipeline_guard_webhooks_received_total{source=\"github\",result=\"duplicate\"} "
		"1\n",
		"pipeline_guard_webhooks_received_total{source=\"github\",result=\"quarantined\"} "
		"1\n",
		"pipeline_guard_webhooks_received_total{source=\"github\",result=\"ignored\"} 1\n",
		"pipeline_guard_events_enqueued_total 1\n",
		"pipeline_guard_dead_letter_total 1\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_case(strstr(a.body, lines[i]), lines[i]);
	assert_int_equal(proc_stop(receiver), 0);
}

/* --- refusing to start ------------------------------------------------------------------- */

static void refuses_data_of_another_layout(struct rig *r)
{
	struct proc *p;
	const char *secret;

	(void)redis_do(r, "HSET pg:{local}:meta v 1 partitions 4");
	rig_write(r, "s", WEBHOOK_SECRET, 0600);
	secret = rig_printf(r, "github.webhook_secret_file=%s", rig_path(r, "s"));

	const char *args[] = { "receiver",
			       "--set",
			       rig_printf(r, "redis.url=%s", redis_url(r)),
			       "--set",
			       secret,
			       "--set",
			       "listen=127.0.0.1:0",
			       "--set",
			       "admin_listen=none",
			       NULL };
	p = guard_start(r, "receiver", args, NULL);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 2);
	assert_non_null(strstr(proc_output(p), "4 partitions"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(accepts_an_event_once),
		RIG_TEST(the_body_names_a_delivery_without_a_usable_id),
		RIG_TEST(refuses_what_is_not_signed),
		RIG_TEST(every_secret_of_a_rotation_is_good),
		RIG_TEST(there_is_no_open_mode),
		RIG_TEST(other_requests_are_refused_before_their_body_is_read),
		RIG_TEST(form_encoding_and_charsets_are_fine),
		RIG_TEST(ping_and_foreign_events_are_ignored),
		RIG_TEST(malformed_events_are_quarantined),
		RIG_TEST(only_so_many_dead_letters_are_kept),
		RIG_TEST(an_event_without_its_name_is_quarantined),
		RIG_TEST(odd_but_sound_events_are_accepted),
		RIG_TEST(an_entry_stays_small),
		RIG_TEST(quarantined_bodies_are_redacted_and_capped),
		RIG_TEST(a_body_over_the_cap_is_413),
		RIG_TEST(a_slow_sender_is_not_waited_for_forever),
		RIG_TEST(a_body_may_come_in_single_bytes),
		RIG_TEST(pipelined_requests_are_answered_in_order),
		RIG_TEST(nonsense_is_400_and_the_next_one_is_served),
		RIG_TEST(nothing_is_accepted_while_redis_is_away),
		RIG_TEST(a_redis_that_hangs_is_a_503_too),
		RIG_TEST(a_receiver_killed_before_its_answer_loses_nothing),
		RIG_TEST(what_was_accepted_survives_kill_9_of_redis),
		RIG_TEST(drain_answers_what_it_has_and_exits_0),
		RIG_TEST(probes_and_metrics),
		RIG_TEST(refuses_data_of_another_layout),
	};

	return rig_main(tests);
}

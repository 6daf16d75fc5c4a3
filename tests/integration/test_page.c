/* Page, API, live stream, /status and /metrics, as a browser and a monitor meet them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/integration/product.h"

#define TOKEN  "admin-token-of-the-integration-tests"
#define BEARER "Authorization: Bearer " TOKEN "\r\n"
#define RUNS   "pg:{local:0}:runs"
#define RUN    "pg:{local:0}:run:"
#define FEED   "pg:{local:0}:feed"
#define STOP   "pg:{local}:stop"

static const char csp[] =
	"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
	"frame-ancestors 'none'\r\n";

/* --- a browser, nearly --------------------------------------------------------------- */

/* One connection whose bytes are looked at as they come. */
struct wire {
	int fd;
	struct buf in;
	bool eof;
};

static struct wire *wire_open(struct rig *r, int port, const char *request)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct wire *w = rig_alloc(r, sizeof(*w));

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	buf_init(&w->in, 16 << 20);
	if (connect(w->fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		fail_msg("cannot connect to port %d", port);
	assert_int_equal(send(w->fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	return w;
}

static void wire_close(struct wire *w)
{
	(void)close(w->fd);
	buf_done(&w->in);
}

static const char *wire_read(struct wire *w)
{
	char chunk[16384];
	ssize_t n;

	while ((n = recv(w->fd, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0)
		buf_append(&w->in, chunk, (size_t)n);
	w->eof = w->eof || n == 0;
	return buf_text(&w->in);
}

static bool wire_has(struct wire *w, const char *text)
{
	return strstr(wire_read(w), text) != NULL;
}

static bool wire_ended(struct wire *w)
{
	(void)wire_read(w);
	return w->eof;
}

static unsigned wire_count(struct wire *w, const char *text)
{
	unsigned n = 0;

	for (const char *at = wire_read(w); (at = strstr(at, text)); at += strlen(text))
		n++;
	return n;
}

/* The whole answer as text; every header is given. */
static const char *ask(struct rig *r, int port, const char *method, const char *path,
		       const char *headers)
{
	struct wire *w = wire_open(r, port,
				   rig_printf(r, "%s %s HTTP/1.1\r\n%sConnection: close\r\n\r\n",
					      method, path, headers));
	const char *all;

	WAIT(r, wire_ended(w));
	all = rig_text(r, w->in.data ? w->in.data : "", w->in.len);
	wire_close(w);
	return all;
}

static int status_of(const char *answer)
{
	int status = 0;

	(void)sscanf(answer, "HTTP/1.1 %3d", &status);
	return status;
}

static const char *last_id_of(struct rig *r, struct wire *w)
{
	const char *id = "";

	for (const char *at = wire_read(w); (at = strstr(at, "\nid: ")); at++)
		id = at + strlen("\nid: ");
	assert_true(*id);
	return rig_text(r, id, strcspn(id, "\n"));
}

static struct wire *listen_to(struct rig *r, int port, const char *last_id)
{
	struct wire *w = wire_open(
		r, port,
		rig_printf(r, "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n%s%s%s\r\n",
			   last_id ? "Last-Event-ID: " : "", last_id ? last_id : "",
			   last_id ? "\r\n" : ""));

	WAIT(r, wire_has(w, "event: status\n"));
	if (!last_id)
		WAIT(r, wire_has(w, "event: ready\n"));
	return w;
}

/* --- data ------------------------------------------------------------------------------- */

static void put_run(struct rig *r, const char *ref, int64_t at_ms, const char *const *fields)
{
	const char *argv[64] = { "HSET",       rig_printf(r, RUN "%s", ref),
				 "repo",       "octo/shop",
				 "generation", "1" };
	size_t n = 6;

	for (; *fields; fields++)
		argv[n++] = *fields;
	(void)redis_do_argv(r, argv);
	(void)redis_do(r, "ZADD " RUNS " %lld %s", (long long)at_ms, ref);
}
#define PUT_RUN(r, ref, at_ms, ...) \
	put_run((r), (ref), (at_ms), (const char *const[]){ __VA_ARGS__, NULL })

/* Every state the page knows, with the fields that make it. */
static const struct state_case {
	const char *state;
	const char *fields[18];
} states[] = {
	{ "queued", { "rank", "1" } },
	{ "running", { "rank", "2" } },
	{ "passed", { "rank", "3", "conclusion", "success", "failed", "0" } },
	{ "ended", { "rank", "3", "conclusion", "cancelled", "failed", "0" } },
	{ "diagnosing", { "rank", "3", "conclusion", "failure", "failed", "1" } },
	{ "healing",
	  { "rank", "3", "failed", "1", "diagnosed", "1", "plan", "p:1", "plan_state", "sent" } },
	{ "healed",
	  { "rank", "3", "conclusion", "success", "failed", "0", "plan", "p:1", "plan_state",
	    "done", "outcome", "healed" } },
	{ "observed",
	  { "rank", "3", "failed", "1", "diagnosed", "1", "plan", "p:1", "plan_state", "done",
	    "outcome", "observed", "strategy", "rerun_failed_jobs" } },
	{ "needs_you",
	  { "rank", "3", "failed", "1", "diagnosed", "1", "plan", "p:1", "plan_state", "done",
	    "outcome", "escalated", "strategy", "escalate" } },
	{ "needs_you",
	  { "rank", "3", "failed", "1", "diagnosed", "1", "plan", "p:1", "plan_state", "suggested",
	    "strategy", "rerun_failed_jobs" } },
};

static const char *state_ref(struct rig *r, size_t i)
{
	return rig_printf(r, "github:7:%zu", 100 + i);
}

static void put_all_states(struct rig *r)
{
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		put_run(r, state_ref(r, i), clock_wall_ms() + (int64_t)i, states[i].fields);
}

static struct json_object *status_json(struct rig *r, int port)
{
	struct answer a = http_get(r, port, "/status");

	assert_int_equal(a.status, 200);
	assert_non_null(a.json);
	return a.json;
}

static int64_t status_number(struct rig *r, int port, const char *path)
{
	return json_i64(status_json(r, port), path, -1);
}

static size_t list_length(const struct answer *a, const char *name)
{
	struct json_object *list = json_at(a->json, name);

	assert_non_null(list);
	return json_object_array_length(list);
}

/* --- routes ------------------------------------------------------------------------------- */

static void every_answer_carries_the_security_headers(struct rig *r)
{
	static const char *const paths[] = {
		"/",       "/assets/page.css", "/assets/page.js",  "/favicon.ico", "/metrics",
		"/status", "/api/v1/runs",     "/api/v1/outcomes", "/api/v1/dead"
	};
	struct proc *receiver = receiver_start(r, NULL);
	int port = receiver_admin_port(r);

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		const char *get = ask(r, port, "GET", paths[i], "Host: localhost\r\n");
		const char *head = ask(r, port, "HEAD", paths[i], "Host: localhost\r\n");
		const char *post = ask(r, port, "POST", paths[i], "Host: localhost\r\n");

		assert_case(status_of(get) == 200, paths[i]);
		assert_case(strstr(get, csp) != NULL, paths[i]);
		assert_case(strstr(get, "X-Content-Type-Options: nosniff\r\n") != NULL, paths[i]);
		assert_case(strstr(get, "Referrer-Policy: no-referrer\r\n") != NULL, paths[i]);
		assert_case(status_of(head) == 200, paths[i]);
		assert_case(text_ends(head, "\r\n\r\n"), "HEAD has no body");
		assert_case(status_of(post) == 405, paths[i]);
		assert_case(strstr(post, "Allow: GET, HEAD\r\n") != NULL, paths[i]);
	}
	assert_int_equal(http_get(r, port, "/assets/").status, 404);
	assert_int_equal(http_get(r, port, "/assets/../page.c").status, 404);
	assert_int_equal(http_get(r, port, "/api/v1/other").status, 404);
	assert_int_equal(proc_stop(receiver), 0);
}

static void the_page_names_nothing_outside_and_nothing_inline(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL);
	struct answer page = http_get(r, receiver_admin_port(r), "/");

	assert_null(strstr(page.body, "http://"));
	assert_null(strstr(page.body, "https://"));
	assert_null(strstr(page.body, "<style"));
	assert_null(strstr(page.body, "style="));
	assert_null(strstr(page.body, "onclick"));
	assert_null(strstr(page.body, "<script>"));
	page = http_get(r, receiver_admin_port(r), "/assets/page.js");
	assert_null(strstr(page.body, "innerHTML"));
	assert_null(strstr(page.body, "insertAdjacentHTML"));
	assert_null(strstr(page.body, "document.write"));
	assert_int_equal(proc_stop(receiver), 0);
}

static void a_known_file_is_not_sent_again(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL);
	int port = receiver_admin_port(r);
	const char *first = ask(r, port, "GET", "/assets/page.js", "Host: localhost\r\n");
	const char *tag = strstr(first, "ETag: ");
	const char *again;

	assert_non_null(tag);
	tag = rig_text(r, tag + 6, strcspn(tag + 6, "\r"));
	again = ask(r, port, "GET", "/assets/page.js",
		    rig_printf(r, "Host: localhost\r\nIf-None-Match: %s\r\n", tag));
	assert_int_equal(status_of(again), 304);
	assert_true(text_ends(again, "\r\n\r\n"));
	again = ask(r, port, "GET", "/assets/page.js",
		    "Host: localhost\r\nIf-None-Match: \"other\"\r\n");
	assert_int_equal(status_of(again), 200);
	assert_int_equal(proc_stop(receiver), 0);
}

/* --- who may -------------------------------------------------------------------------------- */

struct access_case {
	const char *method, *path, *headers;
	int status;
	const char *why;
};

static void check_access(struct rig *r, int port, const struct access_case *rows, size_t n)
{
	for (const struct access_case *c = rows; c < rows + n; c++) {
		const char *answer = ask(r, port, c->method, c->path, c->headers);

		if (status_of(answer) != c->status)
			fail_msg("\"%s\": %d instead of %d", c->why, status_of(answer), c->status);
		assert_case(c->status != 401 || strstr(answer, "\r\nWWW-Authenticate: "), c->why);
	}
}

static void without_a_token_only_this_machine_looks_and_nobody_changes(struct rig *r)
{
	static const struct access_case rows[] = {
		{ "GET", "/status", "Host: localhost:9090\r\n", 200, "by name" },
		{ "GET", "/status", "Host: 127.0.0.1\r\n", 200, "by address" },
		{ "GET", "/status", "Host: [::1]:9090\r\n", 200, "by IPv6 address" },
		{ "GET", "/status", "Host: guard.localhost\r\n", 200, "a name under localhost" },
		{ "GET", "/status", "Host: rebind.example\r\n", 401, "DNS rebinding" },
		{ "GET", "/", "Host: rebind.example\r\n", 401, "DNS rebinding, page" },
		{ "GET", "/status", "Host: localhost.example\r\n", 401, "looks like it" },
		{ "GET", "/status", "Host: 127.0.0.1.example\r\n", 401, "looks like it too" },
		{ "GET", "/status", "Host: notlocalhost\r\n", 401, "ends like it" },
		{ "GET", "/status", "Host: localhost\r\nX-Forwarded-For: 10.1.2.3\r\n", 401,
		  "through a proxy on this machine" },
		{ "GET", "/status", "Host: localhost\r\n" BEARER, 200, "a token nobody asked for" },
		{ "POST", "/api/v1/stop", "Host: localhost\r\n", 403, "no token is configured" },
		{ "POST", "/api/v1/stop", "Host: localhost\r\nAuthorization: Bearer \r\n", 403,
		  "the empty token" },
		{ "GET", "/health", "Host: rebind.example\r\n", 200, "probes are for everybody" },
	};
	struct proc *receiver = receiver_start(r, NULL);

	check_access(r, receiver_admin_port(r), rows, ARRAY_LEN(rows));
	assert_non_null(strstr(
		ask(r, receiver_admin_port(r), "POST", "/api/v1/stop", "Host: localhost\r\n"),
		"PIPELINE_GUARD_ADMIN_TOKEN"));
	assert_int_equal(redis_int_of(r, "EXISTS " STOP), 0);
	assert_int_equal(proc_stop(receiver), 0);
}

static struct proc *receiver_with_token(struct rig *r, const char *admin_listen)
{
	rig_write(r, "admin-token", "older-token-during-rotation," TOKEN "\n", 0600);
	return receiver_start(r, rig_printf(r, "admin_token_file=%s", rig_path(r, "admin-token")),
			      admin_listen ? admin_listen : "region=local", NULL);
}

static void changing_needs_the_token_and_no_other_site(struct rig *r)
{
	OWNED(freep) char *good = base64_encode("x:" TOKEN, strlen("x:" TOKEN));
	OWNED(freep) char *bad = base64_encode("x:" TOKEN "x", strlen("x:" TOKEN "x"));
	const char *basic =
		rig_printf(r, "Host: rebind.example\r\nAuthorization: Basic %s\r\n", good);
	const char *basic_bad =
		rig_printf(r, "Host: rebind.example\r\nAuthorization: Basic %s\r\n", bad);
	const struct access_case rows[] = {
		{ "GET", "/status", "Host: localhost\r\n", 200, "looking from here is free" },
		{ "GET", "/status", "Host: guard.example\r\n", 401, "no token" },
		{ "GET", "/status", "Host: guard.example\r\n" BEARER, 200, "bearer" },
		{ "GET", "/status",
		  "Host: guard.example\r\nAuthorization: bearer older-token-during-rotation\r\n",
		  200, "the older one, another case of the scheme" },
		{ "GET", "/status", "Host: guard.example\r\nAuthorization: Bearer admin\r\n", 401,
		  "the beginning of it" },
		{ "GET", "/status", basic, 200, "basic, as a browser does" },
		{ "GET", "/status", basic_bad, 401, "basic, wrong" },
		{ "GET", "/status", "Host: a.example\r\nAuthorization: Basic !!!!\r\n", 401,
		  "basic, no base64" },
		{ "GET", "/status", "Host: a.example\r\nAuthorization: Basic\r\n", 401,
		  "basic, nothing" },
		{ "POST", "/api/v1/stop", "Host: localhost\r\n", 401, "changing is never free" },
		{ "POST", "/api/v1/stop", basic, 401, "a browser would send basic by itself" },
		{ "POST", "/api/v1/stop",
		  "Host: localhost\r\nOrigin: http://evil.example\r\n" BEARER, 403, "other site" },
		{ "POST", "/api/v1/stop", "Host: localhost\r\nOrigin: null\r\n" BEARER, 403,
		  "a site without a name" },
		{ "POST", "/api/v1/stop",
		  "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n" BEARER, 403,
		  "the browser says so" },
		{ "GET", "/api/v1/stop", "Host: localhost\r\n" BEARER, 405,
		  "a link stops nothing" },
	};
	struct proc *receiver = receiver_with_token(r, NULL);

	check_access(r, receiver_admin_port(r), rows, ARRAY_LEN(rows));
	assert_int_equal(redis_int_of(r, "EXISTS " STOP), 0);
	assert_int_equal(status_of(ask(r, receiver_admin_port(r), "POST", "/api/v1/stop",
				       "Host: localhost:80\r\nOrigin: http://localhost:80\r\n"
				       "Sec-Fetch-Site: same-origin\r\n" BEARER)),
			 200);
	assert_int_equal(redis_int_of(r, "EXISTS " STOP), 1);
	assert_null(strstr(proc_output(receiver), TOKEN));
	assert_int_equal(proc_stop(receiver), 0);
}

static void an_open_listener_asks_everybody(struct rig *r)
{
	static const struct access_case rows[] = {
		{ "GET", "/status", "Host: localhost\r\n", 401, "even from this machine" },
		{ "GET", "/", "Host: localhost\r\n", 401, "page" },
		{ "GET", "/metrics", "Host: localhost\r\n", 401, "metrics" },
		{ "GET", "/api/v1/stream", "Host: localhost\r\n", 401, "stream" },
		{ "GET", "/metrics", "Host: localhost\r\n" BEARER, 200, "with the token" },
		{ "GET", "/health", "Host: localhost\r\n", 200, "probe" },
		{ "GET", "/ready", "Host: localhost\r\n", 200, "probe" },
	};
	struct proc *receiver = receiver_with_token(r, "admin_listen=0.0.0.0:0");

	check_access(r, receiver_admin_port(r), rows, ARRAY_LEN(rows));
	assert_int_equal(proc_stop(receiver), 0);
}

/* --- runs ------------------------------------------------------------------------------------ */

static void every_state_has_its_word_and_is_counted_alike(struct rig *r)
{
	struct proc *receiver;
	struct answer a;
	int port;

	put_all_states(r);
	receiver = receiver_start(r, NULL);
	port = receiver_admin_port(r);
	a = http_get(r, port, "/api/v1/runs");
	assert_int_equal(list_length(&a, "runs"), ARRAY_LEN(states));
	/* Newest first. */
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		assert_string_equal(
			answer_str(&a, rig_printf(r, "runs.%zu.state", ARRAY_LEN(states) - 1 - i)),
			states[i].state);
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		size_t newest = i, n = 0;

		for (size_t k = 0; k < ARRAY_LEN(states); k++) {
			if (strcmp(states[k].state, states[i].state) != 0)
				continue;
			newest = k;
			n++;
		}
		a = http_get(r, port, rig_printf(r, "/api/v1/runs?state=%s", states[i].state));
		assert_case(list_length(&a, "runs") == n, states[i].state);
		assert_string_equal(answer_str(&a, "runs.0.ref"), state_ref(r, newest));
	}
	WAIT(r, status_number(r, port, "runs.last_24h") == (int64_t)ARRAY_LEN(states));
	assert_int_equal(status_number(r, port, "runs.active"), 2);
	assert_int_equal(status_number(r, port, "runs.failed"), 5);
	assert_int_equal(status_number(r, port, "runs.healing"), 1);
	assert_int_equal(status_number(r, port, "runs.needs_you"), 2);
	assert_int_equal(proc_stop(receiver), 0);
}

static void limits_hold_on_both_sides(struct rig *r)
{
	struct proc *receiver;
	struct answer a;
	int port;

	for (unsigned i = 0; i < 250; i++)
		PUT_RUN(r, rig_printf(r, "github:7:%u", 1000 + i), 1000 + i, "rank", "2");
	receiver = receiver_start(r, NULL);
	port = receiver_admin_port(r);
	a = http_get(r, port, "/api/v1/runs");
	assert_int_equal(list_length(&a, "runs"), 50);
	assert_string_equal(answer_str(&a, "runs.0.ref"), "github:7:1249");
	a = http_get(r, port, "/api/v1/runs?limit=200");
	assert_int_equal(list_length(&a, "runs"), 200);
	a = http_get(r, port, "/api/v1/runs?limit=201");
	assert_int_equal(list_length(&a, "runs"), 200);
	a = http_get(r, port, "/api/v1/runs?limit=1");
	assert_int_equal(list_length(&a, "runs"), 1);
	assert_int_equal(http_get(r, port, "/api/v1/runs?limit=0").status, 400);
	assert_int_equal(http_get(r, port, "/api/v1/runs?limit=-1").status, 400);
	assert_int_equal(http_get(r, port, "/api/v1/runs?limit=x").status, 400);
	assert_int_equal(http_get(r, port, "/api/v1/runs?state=nonsense").status, 400);
	a = http_get(r, port,
		     "/api/v1/runs?refs=github:7:1003,nonsense,github:7:1%2C,github%3A7%3A1001");
	assert_int_equal(list_length(&a, "runs"), 2);
	a = http_get(r, port, "/api/v1/runs?refs=");
	assert_int_equal(list_length(&a, "runs"), 0);
	assert_int_equal(proc_stop(receiver), 0);
}

static void one_run_comes_with_its_plans(struct rig *r)
{
	static const char *const none[] = { "",           "x",         ":::",
					    "github:7:2", "a%20b:1:2", "github:7:1%0d%0aX-Evil:1" };
	struct proc *receiver;
	struct answer a;
	int port;

	PUT_RUN(r, "github:7:1", 5, "rank", "3", "failed", "1", "generation", "2", "repo_id",
		"18446744073709551615", "finding", "{\"category\":\"network_failure\"}");
	(void)redis_do(r, "HSET pg:{local:0}:plan:github:7:1:1 id github:7:1:1 generation 1 result "
			  "same_failure confidence 0.93 sent_at_ms 77");
	(void)redis_do(r, "HSET pg:{local:0}:plan:github:7:1:2 id github:7:1:2 generation 2");
	receiver = receiver_start(r, NULL);
	port = receiver_admin_port(r);
	a = http_get(r, port, "/api/v1/runs/github:7:1");
	assert_int_equal(a.status, 200);
	assert_string_equal(answer_str(&a, "repo_id"), "18446744073709551615");
	assert_string_equal(answer_str(&a, "finding.category"), "network_failure");
	assert_int_equal(list_length(&a, "plans"), 2);
	assert_string_equal(answer_str(&a, "plans.0.result"), "same_failure");
	assert_int_equal(json_i64(a.json, "plans.0.sent_at_ms", 0), 77);
	assert_string_equal(answer_str(&a, "plans.1.id"), "github:7:1:2");
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		const char *answer = ask(r, port, "GET", rig_printf(r, "/api/v1/runs/%s", none[i]),
					 "Host: localhost\r\n");

		assert_case(status_of(answer) == 404, none[i]);
		assert_case(!strstr(answer, "X-Evil"), none[i]);
	}
	assert_int_equal(proc_stop(receiver), 0);
}

static void hostile_text_stays_text(struct rig *r)
{
	static const char evil[] =
		"</script><img src=x onerror=alert(1)>\"\\\r\n\t\x01\xe2\x80\xae";
	struct proc *receiver;
	struct answer a;
	const char *raw;
	int port;

	PUT_RUN(r, "github:7:1", 3, "rank", "3", "branch", evil, "actor", "\xff\xc0\xaf!");
	PUT_RUN(r, "github:7:2", 2, "rank", "banana", "generation", "-7", "finding", "{\"cat");
	PUT_RUN(r, "github:7:3", 1, "rank", "3", "finding", "[[[[]]]]", "updated_at_ms",
		"99999999999999999999");
	receiver = receiver_start(r, NULL);
	port = receiver_admin_port(r);
	raw = ask(r, port, "GET", "/api/v1/runs", "Host: localhost\r\n");
	assert_non_null(strstr(raw, "Content-Type: application/json\r\n"));
	a = http_get(r, port, "/api/v1/runs");
	assert_true(utf8_valid((const unsigned char *)a.body, a.body_len));
	assert_int_equal(list_length(&a, "runs"), 3);
	assert_string_equal(answer_str(&a, "runs.0.branch"), evil);
	assert_string_equal(answer_str(&a, "runs.0.actor"),
			    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!");
	assert_null(json_at(a.json, "runs.1.finding"));
	assert_null(json_at(a.json, "runs.2.finding"));
	assert_null(json_at(a.json, "runs.2.updated_at_ms"));
	assert_int_equal(http_get(r, port, "/api/v1/runs/github:7:2").status, 200);
	assert_int_equal(proc_stop(receiver), 0);
}

static void outcomes_and_dead_letters_come_newest_first(struct rig *r)
{
	struct proc *receiver;
	struct answer a;
	int port;

	for (int i = 1; i <= 3; i++) {
		(void)redis_do(r, "XADD %s %lld-0 run github:7:%lld result healed", OUTCOMES,
			       (long long)i, (long long)i);
		(void)redis_do(r, "XADD %s %lld-0 reason why%lld event {}", DEAD, (long long)i,
			       (long long)i);
	}
	receiver = receiver_start(r, NULL);
	port = receiver_admin_port(r);
	a = http_get(r, port, "/api/v1/outcomes?limit=2");
	assert_int_equal(list_length(&a, "outcomes"), 2);
	assert_string_equal(answer_str(&a, "outcomes.0.run"), "github:7:3");
	assert_string_equal(answer_str(&a, "outcomes.1.id"), "2-0");
	a = http_get(r, port, "/api/v1/dead");
	assert_int_equal(list_length(&a, "dead"), 3);
	assert_string_equal(answer_str(&a, "dead.0.reason"), "why3");
	WAIT(r, status_number(r, port, "dead_letters") == 3);
	assert_int_equal(proc_stop(receiver), 0);
}

static void partitions_are_shown_as_one(struct rig *r)
{
	struct proc *receiver = receiver_start(r, "partitions=3", NULL);
	int port = receiver_admin_port(r);
	struct wire *w = listen_to(r, port, NULL);
	struct answer a;

	for (long long p = 0; p < 3; p++) {
		/* Any partition may list any reference; where it is read follows from its name. */
		(void)redis_do(r, "ZADD pg:{local:%lld}:runs %lld github:%lld:1", p, 10 + p, p);
		for (long long q = 0; q < 3; q++)
			(void)redis_do(r, "HSET pg:{local:%lld}:run:github:%lld:1 rank 2", q, p);
		(void)redis_do(r, "XADD pg:{local:%lld}:feed * run github:%lld:1 what new", p, p);
		(void)redis_do(r, "XADD pg:{local:%lld}:outcomes %lld-0 run r%lld", p, 10 + p, p);
	}
	a = http_get(r, port, "/api/v1/runs");
	assert_int_equal(list_length(&a, "runs"), 3);
	assert_string_equal(answer_str(&a, "runs.0.ref"), "github:2:1");
	assert_string_equal(answer_str(&a, "runs.2.ref"), "github:0:1");
	a = http_get(r, port, "/api/v1/outcomes?limit=2");
	assert_int_equal(list_length(&a, "outcomes"), 2);
	assert_string_equal(answer_str(&a, "outcomes.0.run"), "r2");
	WAIT(r,
	     wire_has(w, "github:0:1") && wire_has(w, "github:1:1") && wire_has(w, "github:2:1"));
	wire_close(w);
	assert_int_equal(proc_stop(receiver), 0);
}

/* --- kill switch --------------------------------------------------------------------------------
 */

static void the_stop_switch_is_set_shown_and_released(struct rig *r)
{
	static const char body[] = "{\"reason\":\"release freeze\"}";
	struct proc *receiver = receiver_with_token(r, NULL);
	int port = receiver_admin_port(r);
	struct answer a;

	a = http_ask(r, port, "POST", "/api/v1/stop", BEARER, body, strlen(body));
	assert_int_equal(a.status, 200);
	assert_string_equal(redis_text_of(r, "GET " STOP), "release freeze");
	WAIT(r, json_flag(status_json(r, port), "stop.stopped", false));
	assert_string_equal(json_str(status_json(r, port), "stop.reason", ""), "release freeze");
	WAIT(r, strstr(proc_output(receiver), "stop switch changed"));
	assert_int_equal(http_ask(r, port, "POST", "/api/v1/stop", BEARER, "{\"rea", 6).status,
			 400);
	a = http_ask(r, port, "POST", "/api/v1/go", BEARER, "", 0);
	assert_int_equal(a.status, 200);
	assert_int_equal(redis_int_of(r, "EXISTS " STOP), 0);
	WAIT(r, !json_flag(status_json(r, port), "stop.stopped", true));
	assert_int_equal(proc_stop(receiver), 0);
}

/* --- stream
 * ---------------------------------------------------------------------------------------- */

static void feed_add(struct rig *r, const char *run, const char *what)
{
	(void)redis_do(r, "XADD " FEED " * run %s what %s", run, what);
}

static void changes_are_told_and_resumed(struct rig *r)
{
	struct proc *receiver;
	struct wire *first, *second;
	const char *id;
	int port;

	feed_add(r, "github:7:1", "old");
	receiver = receiver_start(r, NULL);
	port = receiver_admin_port(r);
	first = listen_to(r, port, NULL);
	feed_add(r, "github:7:2", "diagnosed");
	WAIT(r, wire_has(first, "{\"run\":\"github:7:2\",\"what\":\"diagnosed\"}"));
	/* What was before it came is on the page already. */
	assert_false(wire_has(first, "github:7:1"));
	assert_true(wire_has(first, "event: runs\n"));
	id = last_id_of(r, first);
	wire_close(first);

	feed_add(r, "github:7:3", "sent");
	second = listen_to(r, port, id);
	WAIT(r, wire_has(second, "github:7:3"));
	assert_false(wire_has(second, "github:7:2"));
	feed_add(r, "github:7:4", "\"},{\n\nevent: evil\n\n");
	WAIT(r, wire_has(second, "github:7:4"));
	assert_false(wire_has(second, "\nevent: evil"));
	wire_close(second);
	/* A restart forgets nothing: the stream is in Redis. */
	assert_int_equal(proc_stop(receiver), 0);
	receiver = receiver_start(r, NULL);
	second = listen_to(r, receiver_admin_port(r), id);
	WAIT(r, wire_has(second, "github:7:3") && wire_has(second, "github:7:4"));
	wire_close(second);
	assert_int_equal(proc_stop(receiver), 0);
}

static void many_changes_of_one_run_are_one(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL);
	struct wire *w = listen_to(r, receiver_admin_port(r), NULL);

	(void)redis_do(r, "EVAL %s 1 " FEED,
		       "for i = 1, 50 do redis.call('XADD', KEYS[1], '*', 'run', 'github:7:9', "
		       "'what', 'n' .. i) end");
	WAIT(r, wire_has(w, "\"what\":\"n50\""));
	assert_int_equal(wire_count(w, "github:7:9"), 1);
	wire_close(w);
	assert_int_equal(proc_stop(receiver), 0);
}

static void who_missed_too_much_starts_over(struct rig *r)
{
	struct proc *receiver;
	struct wire *w;

	(void)redis_do(r, "EVAL %s 1 " FEED,
		       "for i = 1, 1100 do redis.call('XADD', KEYS[1], '*', 'run', 'github:7:' .. "
		       "i, 'what', 'x') end redis.call('XTRIM', KEYS[1], 'MAXLEN', 1000)");
	receiver = receiver_start(r, NULL);
	w = listen_to(r, receiver_admin_port(r), "1-0");
	WAIT(r, wire_has(w, "event: reset\n"));
	assert_false(wire_has(w, "event: runs\n"));
	/* And goes on from there. */
	feed_add(r, "github:7:5000", "x");
	WAIT(r, wire_has(w, "github:7:5000"));
	assert_false(wire_has(w, "\"github:7:1099\""));
	wire_close(w);
	assert_int_equal(proc_stop(receiver), 0);
}

static void only_so_many_pages_are_open(struct rig *r)
{
	enum { MOST = 64 };
	struct proc *receiver = receiver_start(r, NULL);
	struct wire *open[MOST];
	const char *refused;
	int port = receiver_admin_port(r);

	for (size_t i = 0; i < MOST; i++)
		open[i] = listen_to(r, port, NULL);
	refused = ask(r, port, "GET", "/api/v1/stream", "Host: localhost\r\n");
	assert_int_equal(status_of(refused), 503);
	assert_non_null(strstr(refused, "Retry-After: "));
	wire_close(open[0]);
	/* One left, so one may come. */
	WAIT(r, status_of(ask(r, port, "HEAD", "/api/v1/stream", "Host: localhost\r\n")) == 200);
	open[0] = listen_to(r, port, NULL);
	feed_add(r, "github:7:1", "x");
	for (size_t i = 0; i < MOST; i++) {
		WAIT(r, wire_has(open[i], "github:7:1"));
		wire_close(open[i]);
	}
	assert_int_equal(proc_stop(receiver), 0);
}

/* --- status and metrics
 * ------------------------------------------------------------------------------- */

static void what_it_says_without_redis_and_after(struct rig *r)
{
	struct proc *receiver = receiver_start(r, NULL);
	int port = receiver_admin_port(r);
	struct wire *w;

	PUT_RUN(r, "github:7:1", 5, "rank", "2");
	w = listen_to(r, port, NULL);
	WAIT(r, json_flag(status_json(r, port), "redis.connected", false));
	redis_kill(r);
	WAIT(r, !json_flag(status_json(r, port), "redis.connected", true));
	assert_string_not_equal(json_str(status_json(r, port), "redis.problem", ""), "");
	assert_int_equal(http_get(r, port, "/api/v1/runs").status, 503);
	assert_int_equal(http_get(r, port, "/api/v1/dead").status, 503);
	assert_non_null(strstr(http_get(r, port, "/metrics").body,
			       "pipeline_guard_region_up{region=\"local\"} 0\n"));
	assert_null(strstr(http_get(r, port, "/metrics").body, "stream_lag"));
	WAIT(r, wire_has(w, "\"connected\":false"));
	redis_start(r);
	WAIT(r, http_get(r, port, "/api/v1/runs").status == 200);
	WAIT(r, strstr(http_get(r, port, "/metrics").body, "pipeline_guard_stream_lag 0\n"));
	/* The open page is told what happens from here on. */
	WAIT(r, (feed_add(r, "github:7:2", "again"), wire_has(w, "github:7:2")));
	wire_close(w);
	assert_int_equal(proc_stop(receiver), 0);
}

static void counters_come_from_the_stream_and_the_day(struct rig *r)
{
	char day[25];
	struct proc *receiver;
	struct json_object *s;
	const char *entry;
	int port;

	text_from_ms(day, clock_wall_ms());
	(void)redis_do(r, "XGROUP CREATE %s dispatchers 0 MKSTREAM", EVENTS);
	for (int i = 0; i < 5; i++)
		(void)redis_do(r, "XADD %s * v 1", EVENTS);
	(void)redis_do(r, "XREADGROUP GROUP dispatchers one COUNT 2 STREAMS %s >", EVENTS);
	(void)redis_do(r, "ZADD %s 1 diagnose:a 99999999999999 act:b", DUE);
	(void)redis_do(r, "HSET pg:{local}:meta v 1 partitions 1 mode observe mode_why because");
	(void)redis_do(r, "HSET pg:{local:0}:stats:%s outcomes:healed 3 outcomes:same_failure 1",
		       rig_text(r, day, 10));
	(void)redis_do(r, "HSET pg:{local:0}:stats:2001-01-01 outcomes:healed 1000");
	(void)redis_do(r, "HSET pg:{local}:value:%d tries 4 person_minutes_saved 45",
		       (int)(clock_wall_ms() / (24 * 3600 * 1000)));
	receiver = receiver_start(r, NULL);
	port = receiver_admin_port(r);
	WAIT(r, status_number(r, port, "lag") == 3);
	s = status_json(r, port);
	assert_int_equal(json_i64(s, "pending", -1), 2);
	assert_int_equal(json_i64(s, "events", -1), 5);
	assert_int_equal(json_i64(s, "due", -1), 2);
	assert_int_equal(json_i64(s, "overdue", -1), 1);
	assert_int_equal(json_i64(s, "dispatchers.alive", -1), 1);
	assert_string_equal(json_str(s, "mode", ""), "observe");
	assert_string_equal(json_str(s, "mode_why", ""), "because");
	assert_int_equal(json_i64(s, "today.outcomes.healed", -1), 3);
	assert_true(json_num(s, "today.heal_success_rate", 0) > 0.749 &&
		    json_num(s, "today.heal_success_rate", 0) < 0.751);
	assert_int_equal(json_i64(s, "today.value.tries", -1), 4);
	assert_int_equal(json_i64(s, "today.value.person_minutes_saved", -1), 45);
	assert_int_equal(json_i64(s, "today.value.flakes_masked", -1), 0);
	assert_non_null(strstr(http_get(r, port, "/metrics").body,
			       "pipeline_guard_heal_success_rate 0.75\n"));
	/* Redis does not know the lag behind an entry that was deleted: neither do we. */
	entry = redis_do(r, "XREVRANGE %s + - COUNT 2", EVENTS)->element[1]->element[0]->str;
	entry = rig_text(r, entry, strlen(entry));
	(void)redis_do(r, "XDEL %s %s", EVENTS, entry);
	WAIT(r, !json_at(status_json(r, port), "lag"));
	assert_non_null(
		strstr(http_get(r, port, "/metrics").body, "pipeline_guard_stream_lag NaN\n"));
	assert_int_equal(proc_stop(receiver), 0);
}

static void every_metric_is_in_the_manual(struct rig *r)
{
	const char *manual = rig_read(r, "docs/api.md");
	struct proc *receiver = receiver_start(r, NULL);
	const char *at;

	WAIT(r, status_number(r, receiver_admin_port(r), "lag") == 0);
	at = http_get(r, receiver_admin_port(r), "/metrics").body;
	assert_non_null(manual);
	while ((at = strstr(at, "# TYPE pipeline_guard_"))) {
		const char *name = at + strlen("# TYPE pipeline_guard_");

		name = rig_text(r, name, strcspn(name, " "));
		assert_case(strstr(manual, rig_printf(r, "`%s", name)) != NULL, name);
		at++;
	}
	assert_int_equal(proc_stop(receiver), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest page_tests[] = {
		RIG_TEST(every_answer_carries_the_security_headers),
		RIG_TEST(the_page_names_nothing_outside_and_nothing_inline),
		RIG_TEST(a_known_file_is_not_sent_again),
		RIG_TEST(without_a_token_only_this_machine_looks_and_nobody_changes),
		RIG_TEST(changing_needs_the_token_and_no_other_site),
		RIG_TEST(an_open_listener_asks_everybody),
		RIG_TEST(every_state_has_its_word_and_is_counted_alike),
		RIG_TEST(limits_hold_on_both_sides),
		RIG_TEST(one_run_comes_with_its_plans),
		RIG_TEST(hostile_text_stays_text),
		RIG_TEST(outcomes_and_dead_letters_come_newest_first),
		RIG_TEST(partitions_are_shown_as_one),
		RIG_TEST(the_stop_switch_is_set_shown_and_released),
		RIG_TEST(changes_are_told_and_resumed),
		RIG_TEST(many_changes_of_one_run_are_one),
		RIG_TEST(who_missed_too_much_starts_over),
		RIG_TEST(only_so_many_pages_are_open),
		RIG_TEST(what_it_says_without_redis_and_after),
		RIG_TEST(counters_come_from_the_stream_and_the_day),
		RIG_TEST(every_metric_is_in_the_manual),
	};

	return rig_main(page_tests);
}

/*
 * Every sender, as it really sends, against a real receiver: who gets in, by which proof, under
 * which limits, and over HTTP as odd as it gets.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "tests/integration/product.h"

#define GITLAB_TOKEN   "gitlab-token-of-the-integration-tests"
#define SIGNING_KEY    "signing key of 24 bytes."
#define SIGNING_SECRET "whsec_c2lnbmluZyBrZXkgb2YgMjQgYnl0ZXMu"
#define JENKINS_SECRET "jenkins-secret-of-the-integration-tests"
#define PATH_SECRET    "path-secret-of-the-integration-tests"

#define JSON "Content-Type: application/json\r\n"

static const char pipeline[] =
	"{\"object_kind\":\"pipeline\",\"object_attributes\":{\"id\":31,\"ref\":\"main\","
	"\"status\":"
	"\"failed\",\"source\":\"push\",\"variables\":[{\"key\":\"K\",\"value\":\"" PATH_SECRET
	"\"}]},"
	"\"project\":{\"id\":42,\"path_with_namespace\":\"shop/api\"},\"builds\":[{\"id\":380}]}";
static const char build[] = "{\"name\":\"api\",\"url\":\"job/shop/job/api/"
			    "\",\"build\":{\"number\":18,\"phase\":\"FINALIZED\","
			    "\"status\":\"FAILURE\",\"timestamp\":1785319289123,\"log\":\"x\"}}";
static const char cdevent[] =
	"{\"context\":{\"id\":\"271069a8\",\"source\":\"/ci/team\",\"type\":"
	"\"dev.cdevents.pipelinerun.finished.0.2.0\",\"timestamp\":\"2026-07-29T10:01:29Z\"},"
	"\"subject\":{\"id\":\"run-81\",\"content\":{\"pipelineName\":\"deploy\",\"outcome\":"
	"\"failure\"}}}";

static const char *secret_set(struct rig *r, const char *key, const char *name, const char *text)
{
	rig_write(r, name, text, 0600);
	rig_hide(r, text, name);
	return rig_printf(r, "%s_file=%s", key, rig_path(r, name));
}

/* A receiver with a secret for everybody, some sources more, and its log at debug. */
static struct proc *start(struct rig *r)
{
	const char *jenkins = secret_set(r, "jenkins.webhook_token", "jenkins", JENKINS_SECRET);
	const char *file = strchr(jenkins, '=');

	return receiver_start(
		r, jenkins, rig_printf(r, "sources.near.secret_file%s", file),
		rig_printf(r, "sources.far.secret_file%s", file),
		rig_printf(r, "sources.small.secret_file%s", file),
		rig_printf(r, "sources.slow.secret_file%s", file),
		secret_set(r, "gitlab.webhook_token", "gitlab", GITLAB_TOKEN),
		secret_set(r, "gitlab.signing_token", "signing", SIGNING_SECRET),
		rig_printf(r, "generic.webhook_secret_file=%s", rig_path(r, "signing")),
		secret_set(r, "sources.farm.secret", "path", PATH_SECRET),
		"sources.farm.provider=jenkins", "sources.farm.auth=secret-path",
		"sources.near.provider=jenkins", "sources.near.allow=127.0.0.0/8",
		"sources.far.provider=jenkins", "sources.far.allow=192.0.2.0/24",
		"sources.small.provider=jenkins", "sources.small.max_body=1k",
		"sources.slow.provider=jenkins", "sources.slow.rate=1", "sources.slow.burst=2",
		"sources.slow.dedupe_ttl=1h", "log_level=debug",
		"receiver.trusted_proxies=127.0.0.1", NULL);
}

static struct answer post(struct rig *r, const char *path, const char *headers, const char *body)
{
	return http_ask(r, receiver_port(r), "POST", path, headers, body, strlen(body));
}

/* The three headers of Standard Webhooks. */
static const char *standard(struct rig *r, const char *id, int64_t at_s, const char *body)
{
	const char *message = rig_printf(r, "%s.%lld.%s", id, (long long)at_s, body);
	unsigned char mac[SHA256_BYTES];
	OWNED(freep) char *base64 = NULL;

	hmac_sha256(SIGNING_KEY, strlen(SIGNING_KEY), message, strlen(message), mac);
	base64 = base64_encode(mac, sizeof(mac));
	return rig_printf(
		r, "webhook-id: %s\r\nwebhook-timestamp: %lld\r\nwebhook-signature: v1,%s\r\n", id,
		(long long)at_s, base64);
}

static const char *basic(struct rig *r, const char *user)
{
	const char *plain = rig_printf(r, "%s:%s", user, JENKINS_SECRET);
	OWNED(freep) char *base64 = base64_encode(plain, strlen(plain));

	return rig_printf(r, "Authorization: Basic %s\r\n", base64);
}

static int64_t now_s(void)
{
	return clock_wall_ms() / 1000;
}

static int64_t events(struct rig *r)
{
	return redis_int_of(r, "XLEN %s", EVENTS);
}

#define BEARER "Authorization: Bearer " JENKINS_SECRET "\r\n"

static void every_sender_gets_in(struct rig *r)
{
	const struct {
		const char *why, *path, *headers, *body, *source, *repo;
	} rows[] = {
		{ "GitLab by token", "/webhooks/gitlab",
		  JSON "X-Gitlab-Event: Pipeline Hook\r\nX-Gitlab-Token: " GITLAB_TOKEN
		       "\r\nIdempotency-Key: k-1\r\n",
		  pipeline, "gitlab", "shop/api" },
		{ "GitLab by signature", "/webhooks/gitlab",
		  rig_printf(r, JSON "X-Gitlab-Event: Pipeline Hook\r\n%s",
			     standard(r, "k-2", now_s(), pipeline)),
		  pipeline, "gitlab", "shop/api" },
		{ "Jenkins by bearer token", "/webhooks/jenkins", JSON BEARER, build, "jenkins",
		  "shop/api" },
		{ "a source of its own", "/webhooks/jenkins/near",
		  rig_printf(r, "Content-Type: application/json;charset=UTF-8\r\n%s",
			     basic(r, "jenkins")),
		  build, "near", "shop/api" },
		{ "Jenkins by HMAC", "/webhooks/jenkins/slow",
		  rig_printf(r, JSON "%s", signature_line(r, JENKINS_SECRET, build, strlen(build))),
		  build, "slow", "shop/api" },
		{ "Jenkins by a secret path", "/webhooks/jenkins/farm/" PATH_SECRET, JSON, build,
		  "farm", "shop/api" },
		{ "CDEvents", "/webhooks/generic",
		  rig_printf(r, "Content-Type: application/cloudevents+json\r\n%s",
			     standard(r, "k-3", now_s(), cdevent)),
		  cdevent, "generic", "/ci/team" },
	};

	(void)start(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a = post(r, rows[i].path, rows[i].headers, rows[i].body);

		assert_case(a.status == 202, rows[i].why);
		assert_case(strcmp(answer_str(&a, "status"), "accepted") == 0, rows[i].why);
		assert_string_equal(redis_last_field(r, EVENTS, "source"), rows[i].source);
		assert_string_equal(redis_last_field(r, EVENTS, "repo"), rows[i].repo);
		assert_string_equal(redis_last_field(r, EVENTS, "status"), "completed");
		assert_string_equal(redis_last_field(r, EVENTS, "conclusion"), "failure");
	}
	assert_int_equal(events(r), ARRAY_LEN(rows));
	/* The generation of a pipeline is its highest job. */
	assert_string_equal(redis_text_of(r, "GET pg:{local:0}:seen:gitlab:k-2")[0] ? "seen" : "",
			    "seen");
}

static void nobody_else_does(struct rig *r)
{
	const struct {
		const char *why, *path, *headers;
		int status;
	} rows[] = {
		{ "no token", "/webhooks/gitlab", JSON "X-Gitlab-Event: Pipeline Hook\r\n", 401 },
		{ "the token of another source", "/webhooks/gitlab",
		  JSON "X-Gitlab-Token: " JENKINS_SECRET "\r\n", 401 },
		{ "an old signature", "/webhooks/gitlab",
		  rig_printf(r, JSON "%s", standard(r, "k-1", now_s() - 400, build)), 401 },
		{ "a signature from the future", "/webhooks/gitlab",
		  rig_printf(r, JSON "%s", standard(r, "k-1", now_s() + 400, build)), 401 },
		{ "two tokens", "/webhooks/gitlab",
		  JSON "X-Gitlab-Token: " GITLAB_TOKEN "\r\nX-Gitlab-Token: x\r\n", 401 },
		{ "a wrong secret path", "/webhooks/jenkins/farm/path-secret", JSON, 401 },
		{ "no secret path", "/webhooks/jenkins/farm", JSON, 401 },
		{ "a secret path where there is none", "/webhooks/jenkins/near/x", JSON, 404 },
		{ "a bearer token where the path counts", "/webhooks/jenkins/farm", JSON BEARER,
		  401 },
		{ "another provider's source", "/webhooks/gitlab/farm", JSON, 404 },
		{ "unknown", "/webhooks/jenkins/nowhere", JSON BEARER, 404 },
		{ "another address", "/webhooks/jenkins/far", JSON BEARER, 403 },
		{ "a proxy says: another address", "/webhooks/jenkins/near",
		  JSON BEARER "X-Forwarded-For: 192.0.2.9\r\n", 403 },
		{ "the stranger himself says: a good one", "/webhooks/jenkins/far",
		  JSON BEARER "X-Forwarded-For: 192.0.2.9, 203.0.113.1\r\n", 403 },
		{ "a proxy says nonsense", "/webhooks/jenkins/far",
		  JSON BEARER "X-Forwarded-For: 192.0.2.9 junk\r\n", 403 },
	};
	struct answer a;

	(void)start(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		a = post(r, rows[i].path, rows[i].headers, build);
		if (a.status != rows[i].status)
			fail_msg("row \"%s\": %d %s", rows[i].why, a.status, a.body);
	}
	assert_int_equal(events(r), 0);
	assert_int_equal(redis_int_of(r, "XLEN %s", DEAD), 0);
	a = post(r, "/webhooks/jenkins", JSON, build);
	assert_non_null(strstr(a.head, "WWW-Authenticate: Basic realm="));
	/* And the right address, as the proxy says it. */
	a = post(r, "/webhooks/jenkins/far", JSON BEARER "X-Forwarded-For: 1.2.3.4, 192.0.2.9\r\n",
		 build);
	assert_int_equal(a.status, 202);
}

/* Whatever the sender repeats, and whoever replays it, is taken once. */
static void copies_are_duplicates(struct rig *r)
{
	const char *signed_at = standard(r, "k-1", now_s(), pipeline);
	const struct {
		const char *why, *path, *headers, *body, *status;
	} rows[] = {
		{ "Jenkins", "/webhooks/jenkins", JSON BEARER, build, "accepted" },
		{ "its retry loop", "/webhooks/jenkins", JSON BEARER, build, "duplicate" },
		{ "the same notification with other bytes", "/webhooks/jenkins", JSON BEARER,
		  rig_printf(r, " %s", build), "duplicate" },
		{ "GitLab", "/webhooks/gitlab",
		  rig_printf(r, JSON "X-Gitlab-Event: Pipeline Hook\r\nIdempotency-Key: k-1\r\n%s",
			     signed_at),
		  pipeline, "accepted" },
		{ "replayed under another key: the signed id counts", "/webhooks/gitlab",
		  rig_printf(r, JSON "X-Gitlab-Event: Pipeline Hook\r\nIdempotency-Key: k-9\r\n%s",
			     signed_at),
		  pipeline, "duplicate" },
		{ "GitLab by token, without a key", "/webhooks/gitlab",
		  JSON "X-Gitlab-Event: Pipeline Hook\r\nX-Gitlab-Token: " GITLAB_TOKEN
		       "\r\nX-Gitlab-Event-UUID: u-1\r\n",
		  pipeline, "accepted" },
		{ "the same body; the event's UUID is not its id", "/webhooks/gitlab",
		  JSON "X-Gitlab-Event: Pipeline Hook\r\nX-Gitlab-Token: " GITLAB_TOKEN
		       "\r\nX-Gitlab-Event-UUID: u-2\r\n",
		  pipeline, "duplicate" },
		{ "another source is another world", "/webhooks/jenkins/near", JSON BEARER, build,
		  "accepted" },
	};

	(void)start(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a = post(r, rows[i].path, rows[i].headers, rows[i].body);

		assert_case(strcmp(answer_str(&a, "status"), rows[i].status) == 0, rows[i].why);
	}
}

static void what_cannot_be_used_has_its_answer(struct rig *r)
{
	static const char foreign[] =
		"{\"context\":{\"id\":\"1\",\"source\":\"/s\",\"type\":"
		"\"dev.cdevents.change.merged.0.1.2\"},\"subject\":{\"id\":\"c\"}}";
	static const char odd[] =
		"{\"url\":\"job/a/\",\"build\":{\"number\":1,\"phase\":\"DREAMING\"}}";
	const struct {
		const char *why, *path, *headers, *body;
		int status;
		const char *says;
	} rows[] = {
		{ "an event that is not used", "/webhooks/gitlab",
		  JSON "X-Gitlab-Event: Note Hook\r\nX-Gitlab-Token: " GITLAB_TOKEN "\r\n", "{}",
		  200, "event not used" },
		{ "a CDEvent that is not used", "/webhooks/generic",
		  rig_printf(r, JSON "%s", standard(r, "f-1", now_s(), foreign)), foreign, 200,
		  "event not used" },
		{ "a template of somebody's own: 4xx would switch the hook off", "/webhooks/gitlab",
		  JSON "X-Gitlab-Event: Pipeline Hook\r\nX-Gitlab-Token: " GITLAB_TOKEN "\r\n",
		  "{\"text\":\"failed\"}", 202, "quarantined" },
		{ "no name of the event", "/webhooks/gitlab",
		  JSON "X-Gitlab-Token: " GITLAB_TOKEN "\r\n", "{}", 202, "quarantined" },
		{ "a phase from the future", "/webhooks/jenkins", JSON BEARER, odd, 202,
		  "accepted" },
		{ "XML", "/webhooks/jenkins",
		  "Content-Type: application/xml;charset=UTF-8\r\n" BEARER, "<job/>", 415,
		  "format of the Notification plugin to JSON" },
		{ "packed", "/webhooks/jenkins", JSON BEARER "Content-Encoding: gzip\r\n",
		  "\x1f\x8b", 415, "Content-Encoding" },
		{ "not packed, and says so", "/webhooks/jenkins",
		  JSON BEARER "Content-Encoding: identity\r\n", build, 202, "accepted" },
		{ "a form, which only GitHub sends", "/webhooks/jenkins",
		  "Content-Type: application/x-www-form-urlencoded\r\n" BEARER, "payload=%7B%7D",
		  415, "refused" },
		{ "two content types", "/webhooks/jenkins",
		  JSON "Content-Type: text/plain\r\n" BEARER, build, 415, "refused" },
	};
	struct answer a;

	(void)start(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		a = post(r, rows[i].path, rows[i].headers, rows[i].body);
		if (a.status != rows[i].status || !strstr(a.body, rows[i].says))
			fail_msg("row \"%s\": %d %s", rows[i].why, a.status, a.body);
	}
	a = http_get(r, receiver_admin_port(r), "/metrics");
	assert_non_null(strstr(
		a.body, "pipeline_guard_events_unknown_values_total{source=\"jenkins\"} 1\n"));
}

static void a_source_has_limits(struct rig *r)
{
	const char *large = rig_printf(r, "%s%*s", build, (int)(1025 - strlen(build)), "");
	struct dialog *d;
	struct answer a;

	(void)start(r);
	a = post(r, "/webhooks/jenkins/small", JSON BEARER, large);
	assert_int_equal(a.status, 413);
	a = post(r, "/webhooks/jenkins/near", JSON BEARER, large);
	assert_int_equal(a.status, 202);
	large = rig_text(r, large, 1024);
	a = post(r, "/webhooks/jenkins/small", JSON BEARER, large);
	assert_int_equal(a.status, 202);
	/* Refused before the body was sent: no "100 Continue" comes. */
	d = dialog_open(r, receiver_port(r));
	static const char head[] = "POST /webhooks/jenkins/small HTTP/1.1\r\nHost: x\r\n"
				   "Expect: 100-continue\r\nContent-Length: 1025\r\n\r\n";
	assert_true(dialog_send(d, head, strlen(head)));
	assert_int_equal(dialog_answer(d, PATIENCE_MS).status, 413);
	dialog_close(d);

	/* Strangers use up nothing. */
	for (int i = 0; i < 5; i++)
		assert_int_equal(post(r, "/webhooks/jenkins/slow", JSON, build).status, 401);
	a = post(r, "/webhooks/jenkins/slow", JSON BEARER, build);
	assert_int_equal(a.status, 202);
	assert_in_range(redis_int_of(r, "TTL pg:{local:0}:seen:slow:%s",
				     redis_last_field(r, EVENTS, "delivery")),
			3500, 3600);
	for (int i = 0; i < 100 && a.status == 202; i++)
		a = post(r, "/webhooks/jenkins/slow", JSON BEARER, build);
	assert_int_equal(a.status, 429);
	assert_non_null(strstr(a.head, "Retry-After: 1\r\n"));
	a = http_get(r, receiver_admin_port(r), "/metrics");
	assert_non_null(
		strstr(a.body, "webhooks_received_total{source=\"slow\",result=\"limited\"}"));
}

/* Whatever a client or a proxy may make of the request, it is the same webhook. */
static void http_may_be_odd(struct rig *r)
{
	const size_t n = strlen(build);
	const struct {
		const char *why, *request;
		int status;
	} rows[] = {
		{ "chunked",
		  rig_printf(
			  r,
			  "POST /webhooks/jenkins HTTP/1.1\r\nHost: x\r\n" JSON BEARER
			  "Transfer-Encoding: chunked\r\n\r\n5\r\n%.5s\r\n%zx\r\n%s\r\n0\r\n\r\n",
			  build, n - 5, build + 5),
		  202 },
		{ "HTTP/1.0",
		  rig_printf(r,
			     "POST /webhooks/jenkins HTTP/1.0\r\n" JSON BEARER
			     "Content-Length: %zu\r\n\r\n%s",
			     n, build),
		  202 },
		{ "an absolute address",
		  rig_printf(
			  r,
			  "POST http://ci.example.com/webhooks/jenkins HTTP/1.1\r\nHost: x\r\n" JSON
				  BEARER "Content-Length: %zu\r\n\r\n%s",
			  n, build),
		  202 },
		{ "a percent-encoded source",
		  rig_printf(r,
			     "POST /webhooks/jenkins/n%%65%%61r HTTP/1.1\r\nHost: x\r\n" JSON BEARER
			     "Content-Length: %zu\r\n\r\n%s",
			     n, build),
		  202 },
		{ "a query, which nobody reads",
		  rig_printf(r,
			     "POST /webhooks/jenkins?token=x HTTP/1.1\r\nHost: x\r\n" JSON BEARER
			     "Content-Length: %zu\r\n\r\n%s",
			     n, build),
		  202 },
		{ "names and values in other case",
		  rig_printf(r,
			     "POST /webhooks/jenkins HTTP/1.1\r\nhOST: x\r\ncontent-TYPE: "
			     "Application/JSON\r\nAUTHORIZATION: bearer " JENKINS_SECRET
			     "\r\nCONTENT-length:%zu\r\n\r\n%s",
			     n, build),
		  202 },
		{ "a bad escape in the source",
		  rig_printf(r,
			     "POST /webhooks/jenkins/%%zz HTTP/1.1\r\nHost: x\r\n" JSON BEARER
			     "Content-Length: %zu\r\n\r\n%s",
			     n, build),
		  400 },
		{ "two lengths",
		  rig_printf(r,
			     "POST /webhooks/jenkins HTTP/1.1\r\nHost: x\r\n" JSON BEARER
			     "Content-Length: %zu\r\nContent-Length: 2\r\n\r\n%s",
			     n, build),
		  400 },
		{ "a length and chunks",
		  rig_printf(r,
			     "POST /webhooks/jenkins HTTP/1.1\r\nHost: x\r\n" JSON BEARER
			     "Content-Length: %zu\r\nTransfer-Encoding: chunked\r\n\r\n%s",
			     n, build),
		  400 },
		{ "packed chunks",
		  rig_printf(r,
			     "POST /webhooks/jenkins HTTP/1.1\r\nHost: x\r\n" JSON BEARER
			     "Transfer-Encoding: gzip, chunked\r\n\r\n%s",
			     build),
		  400 },
	};
	struct dialog *d;

	(void)start(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a;

		d = dialog_open(r, receiver_port(r));
		assert_true(dialog_send(d, rows[i].request, strlen(rows[i].request)));
		a = dialog_answer(d, PATIENCE_MS);
		if (a.status != rows[i].status)
			fail_msg("row \"%s\": %d %s", rows[i].why, a.status, a.body);
		dialog_close(d);
	}
	/* "100 Continue" first, then two requests in one packet, answered in order. */
	d = dialog_open(r, receiver_port(r));
	const char *head = rig_printf(r,
				      "POST /webhooks/jenkins HTTP/1.1\r\nHost: x\r\n" JSON BEARER
				      "Expect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
				      n);
	const char *rest = rig_printf(r,
				      "%sPOST /webhooks/nobody HTTP/1.1\r\nHost: x\r\n"
				      "Content-Length: 0\r\n\r\n",
				      build);
	assert_true(dialog_send(d, head, strlen(head)));
	assert_int_equal(dialog_answer(d, PATIENCE_MS).status, 100);
	assert_true(dialog_send(d, rest, strlen(rest)));
	assert_int_equal(dialog_answer(d, PATIENCE_MS).status, 202);
	assert_int_equal(dialog_answer(d, PATIENCE_MS).status, 404);
	dialog_close(d);
	/* One for the default source, one for the other. */
	assert_int_equal(events(r), 2);
}

static int status_by_path(struct rig *r, const char *secret)
{
	return post(r, rig_printf(r, "/webhooks/jenkins/farm/%s", secret), JSON, build).status;
}

static void a_secret_changes_while_it_runs(struct rig *r)
{
	struct proc *p = start(r);

	assert_int_equal(status_by_path(r, PATH_SECRET), 202);
	assert_int_equal(status_by_path(r, "a-later-secret"), 401);
	rig_write(r, "path", "a-later-secret," PATH_SECRET, 0600);
	proc_signal(p, SIGHUP);
	WAIT(r, status_by_path(r, "a-later-secret") == 202);
	assert_int_equal(status_by_path(r, PATH_SECRET), 202);
	rig_write(r, "path", "a-later-secret", 0600);
	proc_signal(p, SIGHUP);
	WAIT(r, status_by_path(r, PATH_SECRET) == 401);
	/* A bad one changes nothing. */
	rig_write(r, "path", "whsec_cut", 0600);
	proc_signal(p, SIGHUP);
	WAIT(r, strstr(proc_output(p), "secrets not reloaded"));
	assert_int_equal(status_by_path(r, "a-later-secret"), 202);
}

/* One line for each, with the trace that went into the stream; the rig looks for secrets in it. */
static void the_log_at_debug_has_a_line_for_each(struct rig *r)
{
	static const char traceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	struct proc *p = start(r);
	const char *log;

	(void)post(r, "/webhooks/jenkins/farm/" PATH_SECRET,
		   rig_printf(r, JSON "traceparent: %s\r\n", traceparent), build);
	(void)post(r, "/webhooks/jenkins/farm/wrong", JSON, build);
	(void)post(r, "/webhooks/gitlab",
		   JSON "X-Gitlab-Event: Pipeline Hook\r\nX-Gitlab-Token: " GITLAB_TOKEN "\r\n",
		   pipeline);
	assert_int_equal(proc_stop(p), 0);
	log = proc_output(p);
	assert_non_null(strstr(log, traceparent));
	assert_non_null(strstr(log, "\"result\":\"accepted\",\"status\":202"));
	assert_non_null(
		strstr(log, "\"source\":\"farm\",\"result\":\"unauthorized\",\"status\":401"));
}

/* GitLab's example payloads, when they are beside the checkout. */
static void takes_published_gitlab_payloads(struct rig *r)
{
	static const char folder[] = "../shared/data/webhooks/go_playground/gitlab";
	static const struct {
		const char *file, *topic, *status;
	} rows[] = {
		{ "pipeline-event.json", "Pipeline Hook", "accepted" },
		{ "job-event.json", "Job Hook", "accepted" },
		{ "build-event.json", "Job Hook", "accepted" },
		{ "push-event.json", "Push Hook", "accepted" },
		{ "merge-request-event.json", "Merge Request Hook", "accepted" },
		{ "tag-event.json", "Tag Push Hook", "ignored" },
		{ "system-push-event.json", "System Hook", "ignored" },
		{ "deployment-event.json", "Deployment Hook", "ignored" },
	};
	DIR *dir = opendir(folder);

	if (!dir)
		rig_skip(r, rig_printf(r, "no example payloads in %s", folder));
	(void)closedir(dir);
	(void)start(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *body = rig_read(r, rig_printf(r, "%s/%s", folder, rows[i].file));
		struct answer a;

		assert_non_null(body);
		a = post(r, "/webhooks/gitlab",
			 rig_printf(r,
				    JSON "X-Gitlab-Event: %s\r\nX-Gitlab-Token: " GITLAB_TOKEN
					 "\r\n",
				    rows[i].topic),
			 body);
		if (strcmp(answer_str(&a, "status"), rows[i].status) != 0)
			fail_msg("%s: %d %s", rows[i].file, a.status, a.body);
	}
}

static bool have(const char *program)
{
	static const char *const folders[] = { "/usr/bin", "/bin", "/usr/local/bin" };
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folders[i], program);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

/* What the manual tells people to run. */
static void the_examples_work(struct rig *r)
{
	static const char *const argv[] = { "docs/examples/send-build.sh", "UNSTABLE", NULL };
	static const char *const event_argv[] = {
		"docs/examples/send-cdevent.sh", "finished", "run-81", "deploy", "failure", NULL
	};
	const char *url;
	struct proc *p;

	if (!have("curl") || !have("perl"))
		rig_skip(r, "the examples need curl and perl");
	(void)start(r);
	url = rig_printf(r, "GUARD_URL=http://127.0.0.1:%d/webhooks", receiver_port(r));

	const char *env[] = { rig_printf(r, "%s/jenkins", url),
			      rig_printf(r, "GUARD_KEY=%s", JENKINS_SECRET),
			      "BUILD_NUMBER=7",
			      "BUILD_URL=http://ci/job/a%20b/7/",
			      "JOB_BASE_NAME=a \"b\"",
			      "GIT_BRANCH=origin/main",
			      NULL };
	p = proc_start(r, "send-build", argv, env);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 0);
	assert_string_equal(redis_last_field(r, EVENTS, "repo"), "a b");
	assert_string_equal(redis_last_field(r, EVENTS, "generation"), "7");
	assert_string_equal(redis_last_field(r, EVENTS, "branch"), "main");
	assert_string_equal(redis_last_field(r, EVENTS, "conclusion"), "failure");
	assert_string_equal(redis_last_field(r, EVENTS, "failure_reason"), "unstable");

	const char *event_env[] = { rig_printf(r, "%s/generic", url),
				    rig_printf(r, "GUARD_KEY=%s", SIGNING_SECRET),
				    "GUARD_SOURCE=/ci/team", NULL };
	p = proc_start(r, "send-cdevent", event_argv, event_env);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 0);
	assert_string_equal(redis_last_field(r, EVENTS, "repo"), "/ci/team");
	assert_string_equal(redis_last_field(r, EVENTS, "conclusion"), "failure");
	assert_int_equal(events(r), 2);

	env[1] = "GUARD_KEY=not the key";
	p = proc_start(r, "send-badly", argv, env);
	proc_may_die(p);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 22); /* what curl says of a 401 */
}

static void a_bad_source_is_refused_at_start(struct rig *r)
{
	const char *argv[] = { "config", "--check", "--config", rig_path(r, "bad.yaml"), NULL };
	struct proc *p;

	rig_write(r, "bad.yaml", "sources:\n  x:\n    provider: gitea\n", 0600);
	p = guard_start(r, "config", argv, NULL);
	proc_may_die(p);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 2);
	assert_non_null(strstr(proc_output(p), "bad.yaml:3:15: sources.x.provider: \"gitea\""));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(every_sender_gets_in),
		RIG_TEST(nobody_else_does),
		RIG_TEST(copies_are_duplicates),
		RIG_TEST(what_cannot_be_used_has_its_answer),
		RIG_TEST(a_source_has_limits),
		RIG_TEST(http_may_be_odd),
		RIG_TEST(a_secret_changes_while_it_runs),
		RIG_TEST(the_log_at_debug_has_a_line_for_each),
		RIG_TEST(takes_published_gitlab_payloads),
		RIG_TEST(the_examples_work),
		RIG_TEST(a_bad_source_is_refused_at_start),
	};

	return rig_main(tests);
}

#include "web/admin.h"

#include <stdlib.h>
#include <string.h>

#include "core/approve_link.h"
#include "core/audit.h"
#include "core/buf.h"
#include "core/conf.h"
#include "core/http_server.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/redis.h"
#include "core/settings.h"
#include "core/text.h"
#include "web/access.h"
#include "web/answer.h"
#include "web/api.h"
#include "web/live.h"
#include "web/page.h"
#include "web/snapshot.h"

enum { STATUS_MAX = 64 << 10, METRICS_MAX = 4 << 20 };

struct admin {
	struct keyspace ks;
	struct access access;
	struct redis *redis;
	struct audit *audit;
	struct batch_list batches;
	struct api api;
	struct answers answers;
	struct snapshot *snapshot;
	struct live *live;
};

/* One line of JSON, without its end. */
static void status_line(const struct admin *a, struct buf *out)
{
	buf_init(out, STATUS_MAX);
	snapshot_status_json(a->snapshot, out);
	if (out->len)
		out->len--;
}

/* --- routes ---------------------------------------------------------------- */

static void get_metrics(struct admin *a, struct http_request *req, const char *rest)
{
	OWNED(buf_done) struct buf text;

	UNUSED(rest);
	buf_init(&text, METRICS_MAX);
	metrics_render(&text);
	snapshot_metrics(a->snapshot, &text);
	http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", buf_text(&text), text.len);
}

static void get_status(struct admin *a, struct http_request *req, const char *rest)
{
	OWNED(buf_done) struct buf text;

	UNUSED(rest);
	buf_init(&text, STATUS_MAX);
	snapshot_status_json(a->snapshot, &text);
	http_reply_header(req, "Cache-Control", "no-store");
	http_reply(req, 200, "application/json", buf_text(&text), text.len);
}

static void get_runs(struct admin *a, struct http_request *req, const char *rest)
{
	UNUSED(rest);
	api_runs(&a->api, req);
}

static void get_run(struct admin *a, struct http_request *req, const char *rest)
{
	api_run(&a->api, req, rest);
}

static void get_outcomes(struct admin *a, struct http_request *req, const char *rest)
{
	UNUSED(rest);
	api_outcomes(&a->api, req);
}

static void get_dead(struct admin *a, struct http_request *req, const char *rest)
{
	UNUSED(rest);
	api_dead(&a->api, req);
}

static void get_flakes(struct admin *a, struct http_request *req, const char *rest)
{
	UNUSED(rest);
	api_flakes(&a->api, req);
}

static void get_clusters(struct admin *a, struct http_request *req, const char *rest)
{
	UNUSED(rest);
	api_clusters(&a->api, req);
}

static void post_feedback(struct admin *a, struct http_request *req, const char *rest)
{
	UNUSED(rest);
	api_feedback(&a->api, req);
}

static void get_stream(struct admin *a, struct http_request *req, const char *rest)
{
	OWNED(buf_done) struct buf text;

	UNUSED(rest);
	status_line(a, &text);
	live_handle(a->live, req, text.data, text.len);
}

static void post_stop(struct admin *a, struct http_request *req, const char *rest)
{
	UNUSED(rest);
	api_stop(&a->api, req);
}

static void post_go(struct admin *a, struct http_request *req, const char *rest)
{
	UNUSED(rest);
	api_go(&a->api, req);
}

static void post_incident(struct admin *a, struct http_request *req, const char *rest)
{
	api_incident(&a->api, req, rest);
}

static void post_approve(struct admin *a, struct http_request *req, const char *rest)
{
	api_approve(&a->api, req, rest);
}

static void post_reject(struct admin *a, struct http_request *req, const char *rest)
{
	api_reject(&a->api, req, rest);
}

static void get_page(struct admin *a, struct http_request *req, const char *rest)
{
	UNUSED(a);
	UNUSED(rest);
	if (!page_handle(req))
		http_reply_text(req, 404, "application/json", "{\"error\":\"not found\"}\n");
}

/* A path that ends in '/' stands for everything below it; "/" itself only for itself. */
static const struct route {
	const char *path;
	bool changes; /* POST with the admin token; else GET and HEAD */
	void (*handle)(struct admin *, struct http_request *, const char *rest);
} routes[] = {
	{ "/", false, get_page },
	{ "/assets/", false, get_page },
	{ "/favicon.ico", false, get_page },
	{ "/metrics", false, get_metrics },
	{ "/status", false, get_status },
	{ "/api/v1/runs", false, get_runs },
	{ "/api/v1/runs/", false, get_run },
	{ "/api/v1/outcomes", false, get_outcomes },
	{ "/api/v1/dead", false, get_dead },
	{ "/api/v1/flakes", false, get_flakes },
	{ "/api/v1/clusters", false, get_clusters },
	{ "/api/v1/stream", false, get_stream },
	{ "/api/v1/stop", true, post_stop },
	{ "/api/v1/go", true, post_go },
	{ "/api/v1/incidents/", true, post_incident },
	{ "/api/v1/approve/", true, post_approve },
	{ "/api/v1/reject/", true, post_reject },
	{ "/api/v1/feedback", true, post_feedback },
};

static const struct route *route_find(const char *path, const char **rest)
{
	for (const struct route *r = routes; r < routes + ARRAY_LEN(routes); r++) {
		size_t n = strlen(r->path);

		*rest = path + n;
		if (strcmp(r->path, path) == 0)
			return n > 1 && r->path[n - 1] == '/' ? NULL : r;
		if (n > 1 && r->path[n - 1] == '/' && strncmp(r->path, path, n) == 0)
			return r;
	}
	return NULL;
}

static const char page_policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static void add_headers(struct http_request *req)
{
	static const char *const headers[][2] = {
		{ "X-Content-Type-Options", "nosniff" },
		{ "Referrer-Policy", "no-referrer" },
		{ "X-Frame-Options", "DENY" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
		{ "Cross-Origin-Opener-Policy", "same-origin" },
	};

	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		http_reply_header(req, headers[i][0], headers[i][1]);
}

static bool method_fits(const struct route *r, const char *method)
{
	if (r->changes)
		return strcmp(method, "POST") == 0;
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* The link is the permission, and its page has a form. */
static void answer_link(struct admin *a, struct http_request *req)
{
	static const char *const methods[] = { "GET", "HEAD", "POST" };

	add_headers(req);
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (strcmp(methods[i], req->method) == 0) {
			answer_handle(&a->answers, req);
			return;
		}
	}
	http_reply_header(req, "Allow", "GET, HEAD, POST");
	http_reply_text(req, 405, "application/json", "{\"error\":\"method not allowed\"}\n");
}

bool admin_handle(struct admin *a, struct http_request *req)
{
	const char *rest;
	const struct route *r;

	if (strcmp(req->path, APPROVE_LINK_PATH) == 0) {
		answer_link(a, req);
		return true;
	}
	r = route_find(req->path, &rest);
	if (!r)
		return false;
	add_headers(req);
	http_reply_header(req, "Content-Security-Policy", page_policy);
	if (!access_allows(&a->access, req, r->changes))
		return true;
	if (method_fits(r, req->method)) {
		r->handle(a, req, rest);
		return true;
	}
	http_reply_header(req, "Allow", r->changes ? "POST" : "GET, HEAD");
	http_reply_text(req, 405, "application/json", "{\"error\":\"method not allowed\"}\n");
	return true;
}

/* --- life -------------------------------------------------------------------- */

static void on_snapshot(void *arg)
{
	struct admin *a = arg;
	OWNED(buf_done) struct buf text;

	status_line(a, &text);
	live_status(a->live, text.data, text.len);
}

static void on_watched(bool watched, void *arg)
{
	struct admin *a = arg;

	snapshot_watched(a->snapshot, watched);
}

/* What is shown must not be older than it has to be, and a loss is told at once. */
static void on_redis_state(bool up, void *arg)
{
	struct admin *a = arg;

	UNUSED(up);
	snapshot_refresh(a->snapshot);
}

static void on_switched(void *arg)
{
	struct admin *a = arg;

	snapshot_refresh(a->snapshot);
}

int admin_new(struct event_base *base, const struct conf *conf, const char *role,
	      struct admin **out, struct err *err)
{
	OWNED(admin_freep) struct admin *a = xcalloc(1, sizeof(*a));
	int64_t timeout_ms = conf_int(conf, "redis.timeout");
	const char *url;

	LIST_INIT(&a->batches);
	access_init(&a->access, conf);
	if (settings_keyspace(conf, &a->ks, err) < 0 || settings_redis_url(conf, &url, err) < 0 ||
	    redis_new(base, url, timeout_ms, &a->redis, err) < 0)
		return err_wrap(err, "admin");
	a->audit = audit_new(base, a->redis, &a->ks, conf, role);
	a->api = (struct api){ .redis = a->redis,
			       .ks = &a->ks,
			       .batches = &a->batches,
			       .audit = a->audit,
			       .switched = on_switched,
			       .arg = a };
	a->answers = (struct answers){ .conf = conf,
				       .ks = &a->ks,
				       .redis = a->redis,
				       .batches = &a->batches,
				       .audit = a->audit };
	a->snapshot = snapshot_new(base, a->redis, &a->batches, &a->ks, role, on_snapshot, a);
	redis_on_state(a->redis, on_redis_state, a);
	if (live_new(base, url, timeout_ms, &a->ks, on_watched, a, &a->live, err) < 0)
		return err_wrap(err, "admin");
	*out = TAKE(a);
	return 0;
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	live_free(a->live);
	if (a->audit)
		audit_anchor(a->audit);
	audit_free(a->audit);
	redis_free(a->redis);
	batch_drop_all(&a->batches);
	snapshot_free(a->snapshot);
	free(a);
}

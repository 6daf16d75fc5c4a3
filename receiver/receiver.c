#include "receiver/receiver.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/http_server.h"
#include "core/log.h"
#include "core/redis.h"
#include "core/settings.h"
#include "core/text.h"
#include "receiver/enqueue.h"
#include "receiver/provider.h"
#include "receiver/source.h"
#include "receiver/webhook.h"
#include "web/admin.h"

enum { EXIT_DONE = 0, EXIT_CONFIG = 2, DRAIN_TICK_MS = 10, CLAIM_TICK_MS = 200 };

static const char default_admin[] = "127.0.0.1:9090";

static const struct conf_option options[] = {
	{ "github.webhook_secret", CONF_SECRET, NULL, NULL, NULL,
	  "Secrets of GitHub webhooks, several during rotation; without one every delivery is "
	  "refused." },
	{ "github.dedupe_ttl", CONF_DURATION, "72h", "1m", "30d",
	  "How long a delivery id is remembered; at least the sender's redelivery window (GHES: "
	  "8d)." },
	{ "gitlab.webhook_token", CONF_SECRET, NULL, NULL, NULL,
	  "Secret tokens of GitLab webhooks (X-Gitlab-Token)." },
	{ "gitlab.signing_token", CONF_SECRET, NULL, NULL, NULL,
	  "Signing tokens of GitLab webhooks (whsec_...); where a delivery is signed, only that "
	  "counts." },
	{ "jenkins.webhook_token", CONF_SECRET, NULL, NULL, NULL,
	  "For Jenkins: bearer token, password of HTTP Basic, or key of an HMAC signature." },
	{ "generic.webhook_secret", CONF_SECRET, NULL, NULL, NULL,
	  "For anything that signs by Standard Webhooks (whsec_..., whpk_...)." },
	{ "receiver.trusted_proxies", CONF_STR, NULL, NULL, NULL,
	  "Addresses and blocks of the proxies whose X-Forwarded-For is believed; \"unix\": a unix "
	  "socket." },
	{ "receiver.max_body", CONF_SIZE, "25m", "1k", "100m",
	  "Largest webhook body; GitHub sends at most 25 MB." },
	{ "receiver.max_connections", CONF_INT, "1024", "1", "65536",
	  "Open connections of one worker; beyond, new ones wait." },
	{ "receiver.request_timeout", CONF_DURATION, "30s", "100ms", "10m",
	  "From the first to the last byte of one request." },
	{ "receiver.idle_timeout", CONF_DURATION, "75s", "100ms", "1h",
	  "How long a kept-alive connection may be silent." },
};

static int check_option(const char *key, const char *text, struct err *err)
{
	struct address_list list = { 0 };

	if (text_starts(key, "gitlab.") || text_starts(key, "generic."))
		return auth_check_secret(text, err);
	if (strcmp(key, "receiver.trusted_proxies") != 0)
		return 0;
	if (address_list_parse(text, &list, err) < 0)
		return -1;
	address_list_done(&list);
	return 0;
}

const struct conf_table receiver_conf = {
	.title = "Receiver",
	.options = options,
	.n = ARRAY_LEN(options),
	.check = check_option,
};

struct receiver {
	const struct conf *conf;
	struct keyspace ks;
	struct event_base *base;
	struct redis *redis;
	struct sources *sources;
	struct intake *intake;
	struct admin *admin;
	struct http_server *server;
	struct http_server *admin_server; /* NULL: none, or `server` serves its routes too */
	bool admin_shared;
	struct event *sigterm, *sigint, *drain_tick, *claim_tick;
	bool claimed; /* the data in Redis is ours to write */
	bool claiming;
	int64_t serve_at_ms;    /* at the latest */
	int64_t drain_until_ms; /* 0: not draining */
	int status;
};

/* --- routes --- */

static void reply_ready(struct receiver *r, struct http_request *req)
{
	if (r->drain_until_ms)
		http_reply_text(req, 503, "application/json", "{\"status\":\"draining\"}\n");
	else if (!r->claimed || !redis_connected(r->redis))
		http_reply_text(req, 503, "application/json",
				"{\"status\":\"redis unreachable\"}\n");
	else
		http_reply_text(req, 200, "application/json", "{\"status\":\"ready\"}\n");
}

static bool is_read(const struct http_request *req)
{
	return strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0;
}

static bool probe_handle(struct receiver *r, struct http_request *req)
{
	bool health = strcmp(req->path, "/health") == 0;

	if (!health && strcmp(req->path, "/ready") != 0)
		return false;
	if (!is_read(req)) {
		http_reply_header(req, "Allow", "GET, HEAD");
		http_reply_text(req, 405, "application/json", "{\"status\":\"refused\"}\n");
	} else if (health) {
		http_reply_text(req, 200, "application/json", "{\"status\":\"ok\"}\n");
	} else {
		reply_ready(r, req);
	}
	return true;
}

static void reply_not_found(struct http_request *req)
{
	http_reply_text(req, 404, "application/json", "{\"error\":\"not found\"}\n");
}

static void on_request(struct http_request *req, void *arg)
{
	struct receiver *r = arg;

	if (intake_handle(r->intake, req) || probe_handle(r, req))
		return;
	if (!r->admin_shared || !admin_handle(r->admin, req))
		reply_not_found(req);
}

static void on_admin_request(struct http_request *req, void *arg)
{
	struct receiver *r = arg;

	if (!probe_handle(r, req) && !admin_handle(r->admin, req))
		reply_not_found(req);
}

/* --- life --- */

static void on_drain_tick(evutil_socket_t fd, short what, void *arg)
{
	struct receiver *r = arg;
	struct timeval tv = clock_timeval(DRAIN_TICK_MS);
	size_t open = r->server ? http_server_connections(r->server) : 0;

	UNUSED(fd);
	UNUSED(what);
	if (intake_pending(r->intake) == 0 && open == 0) {
		(void)event_base_loopbreak(r->base);
	} else if (clock_mono_ms() >= r->drain_until_ms) {
		log_warn("drain timeout", KV("connections", open),
			 KV("pending", intake_pending(r->intake)));
		(void)event_base_loopbreak(r->base);
	} else {
		(void)event_add(r->drain_tick, &tv);
	}
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct receiver *r = arg;

	UNUSED(what);
	if (r->drain_until_ms) {
		(void)event_base_loopbreak(r->base);
		return;
	}
	log_info("draining", KV("signal", sig));
	r->drain_until_ms = clock_mono_ms() + conf_int(r->conf, "drain_timeout") + 1;
	if (r->server)
		http_server_drain(r->server);
	if (r->admin_server)
		http_server_drain(r->admin_server);
	on_drain_tick(-1, 0, r);
}

static int listen_all(struct receiver *r, struct err *err)
{
	const char *listen = conf_str(r->conf, "listen");
	const char *admin = conf_str(r->conf, "admin_listen");
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	struct http_limits admin_limits = HTTP_LIMITS_DEFAULT;

	limits.max_body_bytes = (size_t)conf_int(r->conf, "receiver.max_body");
	limits.max_connections = (unsigned)conf_int(r->conf, "receiver.max_connections");
	limits.request_timeout_ms = conf_int(r->conf, "receiver.request_timeout");
	limits.idle_timeout_ms = conf_int(r->conf, "receiver.idle_timeout");
	limits.max_body_of = sources_max_body;
	limits.arg = r->sources;
	if (http_server_new(r->base, listen, &limits, on_request, r, &r->server, err) < 0)
		return -1;
	if (!admin)
		admin = default_admin;
	r->admin_shared = strcmp(admin, listen) == 0;
	if (r->admin_shared || strcmp(admin, "none") == 0)
		return 0;
	admin_limits.max_body_bytes = 64 << 10;
	if (http_server_new(r->base, admin, &admin_limits, on_admin_request, r, &r->admin_server,
			    err) < 0)
		return err_wrap(err, "admin_listen");
	return 0;
}

static void print_address(const char *what, const struct http_server *server)
{
	const char *address = http_server_address(server);

	printf(text_starts(address, "unix:") ? "%s %s" : "%s http://%s", what, address);
}

static void stop_with(struct receiver *r, const char *why)
{
	log_error("receiver cannot start", KV("error", why));
	r->status = EXIT_CONFIG;
	if (r->base)
		(void)event_base_loopbreak(r->base);
}

/* A source that somebody wrote down wants webhooks, and without any secret nobody gets in. */
static void warn_about_secrets(const struct receiver *r)
{
	const struct source *s;
	size_t with = 0;

	for (size_t i = 0; (s = sources_at(r->sources, i)); i++) {
		with += s->auth.n_keys > 0;
		if (!s->auth.n_keys && strcmp(s->name, s->provider->name) != 0)
			log_warn("a source has no secret: its deliveries will be refused",
				 KV("source", s->name));
	}
	if (!with)
		log_warn("no webhook secret is set: every delivery will be refused",
			 KV("key", "github.webhook_secret"));
}

/*
 * Only now: whoever connects before Redis is there waits in the socket's queue
 * for a moment, instead of getting a 503 that no sender repeats.
 */
static void serve(struct receiver *r)
{
	struct err err = { 0 };

	if (r->server || r->drain_until_ms)
		return;
	if (listen_all(r, &err) < 0) {
		stop_with(r, err.msg);
		return;
	}
	warn_about_secrets(r);
	print_address("receiver ready", r->server);
	if (r->admin_server)
		print_address(" admin", r->admin_server);
	printf("\n");
	(void)fflush(stdout);
}

static void on_claimed(const struct redisReply *reply, void *arg)
{
	struct receiver *r = arg;
	struct err err = { 0 };

	r->claiming = false;
	if (enqueue_layout(reply, &r->ks, &err) == 0) {
		r->claimed = true;
		intake_open(r->intake);
		serve(r);
	} else if (err.kind == ERR_CONFIG) {
		stop_with(r, err.msg);
	}
}

static void claim(struct receiver *r)
{
	if (r->claiming || !redis_connected(r->redis))
		return;
	r->claiming = true;
	enqueue_claim(r->redis, &r->ks, on_claimed, r);
}

/* Runs until the claim has succeeded. */
static void on_claim_tick(evutil_socket_t fd, short what, void *arg)
{
	struct receiver *r = arg;
	struct timeval tv = clock_timeval(CLAIM_TICK_MS);

	UNUSED(fd);
	UNUSED(what);
	if (clock_mono_ms() >= r->serve_at_ms)
		serve(r);
	if (r->claimed)
		return;
	claim(r);
	(void)event_add(r->claim_tick, &tv);
}

static void on_redis_state(bool up, void *arg)
{
	struct receiver *r = arg;

	if (up) {
		log_info("redis connected");
		claim(r); /* also when it came back: it may be another one */
	} else {
		log_warn("redis connection lost");
	}
}

static int receiver_open(struct receiver *r, struct err *err)
{
	const char *url;

	if (settings_keyspace(r->conf, &r->ks, err) < 0 ||
	    settings_redis_url(r->conf, &url, err) < 0 ||
	    sources_new(r->conf, &r->sources, err) < 0)
		return -1;
	r->base = event_base_new();
	if (!r->base)
		return err_set(err, ERR_BUG, "no event loop");
	if (redis_new(r->base, url, conf_int(r->conf, "redis.timeout"), &r->redis, err) < 0)
		return -1;
	redis_on_state(r->redis, on_redis_state, r);
	r->intake = intake_new(r->sources, &r->ks, r->redis);
	if (admin_new(r->base, r->conf, "receiver", &r->admin, err) < 0)
		return -1;
	r->sigterm = evsignal_new(r->base, SIGTERM, on_signal, r);
	r->sigint = evsignal_new(r->base, SIGINT, on_signal, r);
	r->drain_tick = evtimer_new(r->base, on_drain_tick, r);
	r->claim_tick = evtimer_new(r->base, on_claim_tick, r);
	if (!r->sigterm || !r->sigint || !r->drain_tick || !r->claim_tick ||
	    event_add(r->sigterm, NULL) < 0 || event_add(r->sigint, NULL) < 0)
		return err_set(err, ERR_BUG, "cannot watch signals");
	r->serve_at_ms = clock_mono_ms() + conf_int(r->conf, "redis.timeout");
	on_claim_tick(-1, 0, r);
	return 0;
}

/* The connections go first: after that nobody calls back into what they used. */
static void receiver_close(struct receiver *r)
{
	struct event *const events[] = { r->sigterm, r->sigint, r->drain_tick, r->claim_tick };

	redis_free(r->redis);
	http_server_free(r->admin_server);
	http_server_free(r->server);
	admin_free(r->admin);
	intake_free(r->intake);
	sources_free(r->sources);
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (events[i])
			event_free(events[i]);
	if (r->base)
		event_base_free(r->base);
}

int receiver_run(const struct conf *conf)
{
	struct receiver r = { .conf = conf, .status = EXIT_DONE };
	struct err err = { 0 };

	if (receiver_open(&r, &err) < 0) {
		stop_with(&r, err.msg);
	} else {
		(void)event_base_dispatch(r.base);
		log_info("receiver stopped");
	}
	receiver_close(&r);
	return r.status;
}

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
#include "core/process.h"
#include "core/settings.h"
#include "core/text.h"
#include "core/tls.h"
#include "receiver/handover.h"
#include "receiver/provider.h"
#include "receiver/source.h"
#include "receiver/webhook.h"
#include "web/admin.h"

enum { EXIT_DONE = 0, EXIT_CONFIG = 2, DRAIN_TICK_MS = 10, ADMIN_CONNECTIONS_MAX = 128 };

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
	{ "receiver.workers", CONF_INT, "1", "1", "30",
	  "Processes that take webhooks in, behind one listening socket." },
	{ "receiver.max_connections", CONF_INT, "1024", "1", "65536",
	  "Open connections of one worker; beyond, new ones wait." },
	{ "receiver.request_timeout", CONF_DURATION, "30s", "100ms", "10m",
	  "From the first to the last byte of one request." },
	{ "receiver.spool_dir", CONF_STR, NULL, NULL, NULL,
	  "Where events wait on disk while Redis does not take them; default `spool` in "
	  "data_dir." },
	{ "receiver.spool_max", CONF_SIZE, "1g", "0", "1024g",
	  "Most bytes there, per worker; 0: no spool, senders get 503 while Redis is away." },
	{ "receiver.resend_window", CONF_DURATION, "30s", "0s", "10m",
	  "What was acknowledged within this time is sent again when another Redis answers." },
	{ "receiver.resend_max", CONF_SIZE, "32m", "0", "1g",
	  "Most memory for that, per worker; what is older goes first." },
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
	struct conf *conf;
	struct keyspace ks;
	struct event_base *base;
	struct handover *handover;
	struct sources *sources;
	struct intake *intake;
	struct admin *admin;
	struct http_server *server;
	struct http_server *admin_server; /* NULL: none, or `server` serves its routes too */
	bool admin_shared;
	struct tls *tls; /* NULL: in the clear */
	struct event *sigterm, *sigint, *sighup, *drain_tick;
	int64_t drain_until_ms; /* 0: not draining */
	int status;
};

/* --- routes --- */

static void reply_ready(struct receiver *r, struct http_request *req)
{
	if (r->drain_until_ms)
		http_reply_text(req, 503, "application/json", "{\"status\":\"draining\"}\n");
	else if (!handover_ready(r->handover))
		http_reply_text(req, 503, "application/json",
				"{\"status\":\"neither redis nor the spool takes events\"}\n");
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
	if (intake_pending(r->intake) == 0 && open == 0 && handover_settled(r->handover)) {
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
	process_notify("STOPPING=1");
	r->drain_until_ms = clock_mono_ms() + conf_int(r->conf, "drain_timeout") + 1;
	if (r->server)
		http_server_drain(r->server);
	if (r->admin_server)
		http_server_drain(r->admin_server);
	on_drain_tick(-1, 0, r);
}

/* A bad file is refused, and what was read before stays in use. */
static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
	struct receiver *r = arg;
	struct err err;

	UNUSED(sig);
	UNUSED(what);
	if (conf_reload_secrets(r->conf, &err) < 0 ||
	    sources_reload_secrets(r->sources, r->conf, &err) < 0)
		log_error("secrets not reloaded", KV("why", err.msg));
	else if (r->tls && tls_reload(r->tls, &err) < 0)
		log_error("certificate not reloaded", KV("why", err.msg));
	else
		log_info("secrets and certificate reloaded");
}

/*
 * What is left for the spool, Redis, files that are read again. Strangers must not be able to
 * take the last descriptor: then nothing could be written down any more.
 */
static unsigned connections_max(const struct conf *conf)
{
	enum { OTHERS = 48 + ADMIN_CONNECTIONS_MAX, AT_LEAST = 8 };
	unsigned wanted = (unsigned)conf_int(conf, "receiver.max_connections");
	unsigned files = process_files_max();
	unsigned most = files > OTHERS + AT_LEAST ? files - OTHERS : AT_LEAST;

	if (wanted <= most)
		return wanted;
	log_warn("fewer connections than receiver.max_connections: raise the limit of open files",
		 KV("connections", most), KV("files", files));
	return most;
}

static int listen_all(struct receiver *r, struct err *err)
{
	const char *listen = conf_str(r->conf, "listen");
	const char *admin = conf_str(r->conf, "admin_listen");
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	struct http_limits admin_limits = HTTP_LIMITS_DEFAULT;

	limits.max_body_bytes = (size_t)conf_int(r->conf, "receiver.max_body");
	limits.max_connections = connections_max(r->conf);
	limits.request_timeout_ms = conf_int(r->conf, "receiver.request_timeout");
	limits.idle_timeout_ms = conf_int(r->conf, "receiver.idle_timeout");
	limits.max_body_of = sources_max_body;
	limits.arg = r->sources;
	if (http_server_new(r->base, listen, &limits, on_request, r, &r->server, err) < 0)
		return -1;
	http_server_tls(r->server, r->tls);
	if (!admin)
		admin = default_admin;
	r->admin_shared = strcmp(admin, listen) == 0;
	if (r->admin_shared || strcmp(admin, "none") == 0)
		return 0;
	admin_limits.max_body_bytes = 64 << 10;
	admin_limits.max_connections = ADMIN_CONNECTIONS_MAX;
	if (http_server_new(r->base, admin, &admin_limits, on_admin_request, r, &r->admin_server,
			    err) < 0)
		return err_wrap(err, "admin_listen");
	http_server_tls(r->admin_server, r->tls);
	return 0;
}

static void print_address(const struct receiver *r, const char *what,
			  const struct http_server *server)
{
	const char *address = http_server_address(server);
	const char *scheme = text_starts(address, "unix:") ? "" : r->tls ? "https://" : "http://";

	printf("%s %s%s", what, scheme, address);
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

static void serve(void *arg)
{
	struct receiver *r = arg;
	struct err err = { 0 };

	if (r->server || r->drain_until_ms)
		return;
	if (listen_all(r, &err) < 0) {
		stop_with(r, err.msg);
		return;
	}
	warn_about_secrets(r);
	print_address(r, "receiver ready", r->server);
	if (r->admin_server)
		print_address(r, " admin", r->admin_server);
	printf("\n");
	(void)fflush(stdout);
	process_notify("READY=1");
}

static void on_misfit(const char *why, void *arg)
{
	stop_with(arg, why);
}

static int receiver_open(struct receiver *r, struct err *err)
{
	const struct handover_watch watch = { serve, on_misfit, r };

	if (settings_keyspace(r->conf, &r->ks, err) < 0 ||
	    settings_tls(r->conf, &r->tls, err) < 0 || sources_new(r->conf, &r->sources, err) < 0)
		return -1;
	r->base = event_base_new();
	if (!r->base)
		return err_set(err, ERR_BUG, "no event loop");
	if (handover_new(r->base, r->conf, &r->ks, &watch, &r->handover, err) < 0)
		return -1;
	r->intake = intake_new(r->sources, &r->ks, r->handover);
	if (admin_new(r->base, r->conf, "receiver", &r->admin, err) < 0)
		return -1;
	r->sigterm = evsignal_new(r->base, SIGTERM, on_signal, r);
	r->sigint = evsignal_new(r->base, SIGINT, on_signal, r);
	r->sighup = evsignal_new(r->base, SIGHUP, on_hangup, r);
	r->drain_tick = evtimer_new(r->base, on_drain_tick, r);
	if (!r->sigterm || !r->sigint || !r->sighup || !r->drain_tick ||
	    event_add(r->sigterm, NULL) < 0 || event_add(r->sigint, NULL) < 0 ||
	    event_add(r->sighup, NULL) < 0)
		return err_set(err, ERR_BUG, "cannot watch signals");
	return 0;
}

/* The connections go first: after that nobody calls back into what they used. */
static void receiver_close(struct receiver *r)
{
	struct event *const events[] = { r->sigterm, r->sigint, r->sighup, r->drain_tick };

	handover_free(r->handover);
	http_server_free(r->admin_server);
	http_server_free(r->server);
	admin_free(r->admin);
	intake_free(r->intake);
	sources_free(r->sources);
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (events[i])
			event_free(events[i]);
	tls_free(r->tls);
	if (!r->base)
		return;
	/* A connection with a callback under way goes when that has come. */
	(void)event_base_loop(r->base, EVLOOP_NONBLOCK);
	event_base_free(r->base);
}

int receiver_run(struct conf *conf)
{
	struct receiver r = { .conf = conf, .status = EXIT_DONE };
	struct err err = { 0 };

	process_daemon();
	if (receiver_open(&r, &err) < 0) {
		stop_with(&r, err.msg);
	} else {
		(void)event_base_dispatch(r.base);
		log_info("receiver stopped");
	}
	receiver_close(&r);
	return r.status;
}

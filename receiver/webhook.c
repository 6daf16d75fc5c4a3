#include "receiver/webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "core/buf.h"
#include "core/ci_event.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/http_parse.h"
#include "core/http_server.h"
#include "core/keys.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/text.h"
#include "receiver/enqueue.h"
#include "receiver/handover.h"
#include "receiver/provider.h"
#include "receiver/redact.h"

enum {
	SOURCES_MAX = 8,
	TRACE_BYTES = 24,
	TRACES_AHEAD = 64,
	QUIET_MS = 10000, /* one line per problem and period: strangers must not fill the log */
};

static const char json_type[] = "application/json";

enum result {
	RESULT_ACCEPTED,
	RESULT_DUPLICATE,
	RESULT_IGNORED,
	RESULT_QUARANTINED,
	RESULT_UNAUTHORIZED,
	RESULT_REFUSED,
	RESULT_UNAVAILABLE,
	RESULT_COUNT,
};

static const char *const result_names[] = {
	"accepted", "duplicate", "ignored", "quarantined", "unauthorized", "refused", "unavailable",
};

/* Something that is logged once per QUIET_MS, with how often it happened. */
struct quiet {
	int64_t times, logged_ms;
};

/* A provider with its own secrets; one per provider until sources are configurable. */
struct source {
	char name[32];
	const struct provider *provider;
	int64_t dedupe_ttl_ms;
	struct metric *received[RESULT_COUNT];
	struct quiet refused, unavailable;
};

struct intake {
	const struct conf *conf;
	const struct keyspace *ks;
	struct handover *handover;
	struct buf record; /* of the webhook at hand */
	struct source sources[SOURCES_MAX];
	size_t n_sources;
	struct metric *duration, *enqueued, *duplicate;
	/* Randomness for trace ids to come: asking for it costs a system call. */
	unsigned char traces[TRACES_AHEAD][TRACE_BYTES];
	size_t n_traces;
	LIST_HEAD(, delivery) pending;
	size_t n_pending;
};

/* A webhook that waits for its record to be safe. */
struct delivery {
	struct intake *intake;
	bool quarantined;
	struct source *source;
	struct http_request *req;
	LIST_ENTRY(delivery) link;
	int64_t started_us;
	char id[64]; /* the sender's: what the answer names while there is no entry */
};

struct intake *intake_new(const struct conf *conf, const struct keyspace *ks,
			  struct handover *handover)
{
	struct intake *in = xcalloc(1, sizeof(*in));
	const struct provider *p;

	in->conf = conf;
	in->ks = ks;
	in->handover = handover;
	buf_init(&in->record, ENQUEUE_RECORD_MAX);
	LIST_INIT(&in->pending);
	while (in->n_sources < SOURCES_MAX && (p = provider_at(in->n_sources))) {
		struct source *s = &in->sources[in->n_sources++];

		(void)text_copy(s->name, sizeof(s->name), p->name, strlen(p->name));
		s->provider = p;
		s->dedupe_ttl_ms = conf_int(conf, p->dedupe_ttl_key);
		s->refused.logged_ms = s->unavailable.logged_ms = -QUIET_MS;
		for (size_t i = 0; i < RESULT_COUNT; i++) {
			char labels[96];

			(void)snprintf(labels, sizeof(labels), "source=\"%s\",result=\"%s\"",
				       s->name, result_names[i]);
			s->received[i] = metrics_handle("webhooks_received_total", labels);
		}
	}
	in->duration = metrics_handle("webhook_duration_seconds", "");
	in->enqueued = metrics_handle("events_enqueued_total", "");
	in->duplicate = metrics_handle("events_duplicate_total", "");
	return in;
}

void intake_free(struct intake *in)
{
	struct delivery *d;

	if (!in)
		return;
	while ((d = LIST_FIRST(&in->pending))) {
		LIST_REMOVE(d, link);
		free(d);
	}
	buf_done(&in->record);
	free(in);
}

size_t intake_pending(const struct intake *in)
{
	return in->n_pending;
}

/* --- answers --- */

static void answer(struct intake *in, struct source *s, struct http_request *req,
		   int64_t started_us, enum result result, int status, const char *body)
{
	metric_add(s->received[result], 1);
	metric_observe_ms(in->duration, (double)(clock_mono_us() - started_us) / 1000.0);
	http_reply_text(req, status, json_type, body);
}

/* How often it happened since the last line; 0: say nothing now. */
static int64_t quiet_count(struct quiet *q)
{
	int64_t now = clock_mono_ms(), times = ++q->times;

	if (now - q->logged_ms < QUIET_MS)
		return 0;
	*q = (struct quiet){ .logged_ms = now };
	return times;
}

static void answer_unavailable(struct delivery *d, const char *why)
{
	int64_t times = quiet_count(&d->source->unavailable);

	if (times)
		log_error("webhook not accepted: neither Redis nor the spool took it",
			  KV("source", d->source->name), KV("error", why), KV("times", times));
	http_reply_header(d->req, "Retry-After", "5");
	answer(d->intake, d->source, d->req, d->started_us, RESULT_UNAVAILABLE, 503,
	       "{\"status\":\"unavailable\"}\n");
}

static struct delivery *delivery_new(struct intake *in, struct source *s, struct http_request *req,
				     int64_t started_us)
{
	struct delivery *d = xmalloc(sizeof(*d));

	*d = (struct delivery){ .intake = in, .source = s, .req = req, .started_us = started_us };
	LIST_INSERT_HEAD(&in->pending, d, link);
	in->n_pending++;
	return d;
}

static void delivery_free(struct delivery *d)
{
	LIST_REMOVE(d, link);
	d->intake->n_pending--;
	free(d);
}

static void answer_quarantined(struct delivery *d)
{
	metrics_add("dead_letter_total", "", 1);
	answer(d->intake, d->source, d->req, d->started_us, RESULT_QUARANTINED, 202,
	       "{\"status\":\"quarantined\"}\n");
}

static void answer_taken(struct delivery *d, enum handover_result result, const char *id)
{
	struct intake *in = d->intake;
	bool duplicate = result == HANDOVER_DUPLICATE;
	char body[160];

	metric_add(duplicate ? in->duplicate : in->enqueued, 1);
	(void)snprintf(body, sizeof(body),
		       "{\"id\":\"%.64s\",\"status\":\"%s\",\"region\":\"%s\"}\n",
		       result == HANDOVER_SPOOLED ? d->id : id,
		       duplicate ? "duplicate" : "accepted", in->ks->region);
	answer(in, d->source, d->req, d->started_us, duplicate ? RESULT_DUPLICATE : RESULT_ACCEPTED,
	       202, body);
}

static void on_handed_over(enum handover_result result, const char *detail, void *arg)
{
	struct delivery *d = arg;

	if (result == HANDOVER_REFUSED)
		answer_unavailable(d, detail);
	else if (d->quarantined)
		answer_quarantined(d);
	else
		answer_taken(d, result, detail);
	delivery_free(d);
}

/* --- one request --- */

/*
 * The sender's id when it is one; else made from the body, so that a signed event
 * is neither refused for its header nor taken twice.
 */
static void delivery_id(const struct webhook *hook, char out[static 64])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.:";
	unsigned char digest[SHA256_BYTES];
	char hex[SHA256_HEX + 1];
	size_t n = hook->delivery ? strlen(hook->delivery) : 0;

	if (n && n < 64 && strspn(hook->delivery, allowed) == n) {
		(void)text_copy(out, 64, hook->delivery, n);
		return;
	}
	sha256(hook->body ? hook->body : "", hook->body_len, digest);
	hex_encode(digest, sizeof(digest), hex);
	(void)snprintf(out, 64, "sha256-%.40s", hex);
}

static bool hex_field(const char *s, size_t n, bool nonzero)
{
	return strspn(s, "0123456789abcdef") >= n && (!nonzero || strspn(s, "0") < n);
}

/* 00-<32 hex>-<16 hex>-<2 hex>; the ids may not be all zero. */
static bool traceparent_ok(const char *s)
{
	return s && strlen(s) == 55 && text_starts(s, "00-") && hex_field(s + 3, 32, true) &&
	       s[35] == '-' && hex_field(s + 36, 16, true) && s[52] == '-' &&
	       hex_field(s + 53, 2, false);
}

static void trace_of(struct intake *in, const struct http_request *req, char out[static 56])
{
	const char *sent = http_request_header(req, "traceparent");
	char id[2 * TRACE_BYTES + 1];

	if (traceparent_ok(sent)) {
		(void)text_copy(out, 56, sent, 55);
		return;
	}
	if (in->n_traces == 0) {
		random_bytes(in->traces, sizeof(in->traces));
		in->n_traces = TRACES_AHEAD;
	}
	hex_encode(in->traces[--in->n_traces], TRACE_BYTES, id);
	(void)snprintf(out, 56, "00-%.32s-%.16s-01", id, id + 32);
}

/* Every secret is tried, also after one has matched: the time says nothing about which. */
static bool verified(const struct intake *in, const struct source *s, const struct webhook *hook,
		     const struct http_request *req)
{
	unsigned matches = 0;
	const char *secret;

	for (size_t i = 0; (secret = conf_secret(in->conf, s->provider->secret_key, i)); i++)
		matches += s->provider->verify(hook, secret);
	return matches && http_request_header_count(req, s->provider->signature_header) == 1;
}

static void refuse_unsigned(struct intake *in, struct source *s, struct http_request *req,
			    int64_t started_us)
{
	const char *secret = conf_secret(in->conf, s->provider->secret_key, 0);
	int64_t times = quiet_count(&s->refused);

	if (times)
		log_warn("webhook refused: not signed with a secret of this source",
			 KV("source", s->name), KV("peer", req->peer), KV("times", times),
			 KV("secrets", secret ? "set" : "none"));
	answer(in, s, req, started_us, RESULT_UNAUTHORIZED, 401, "{\"status\":\"unauthorized\"}\n");
}

static void quarantine(struct intake *in, struct source *s, struct http_request *req,
		       int64_t started_us, const struct webhook *hook, const char *reason)
{
	OWNED(buf_done) struct buf body;
	struct dead_webhook dead = { .provider = s->provider->name,
				     .source = s->name,
				     .topic = hook->topic,
				     .reason = reason,
				     .at_ms = clock_wall_ms() };
	size_t n = hook->body_len < ENQUEUE_BODY_MAX ? hook->body_len : ENQUEUE_BODY_MAX;
	struct delivery *d;
	char id[64];

	delivery_id(hook, id);
	buf_init(&body, ENQUEUE_BODY_MAX);
	redact(hook->body ? hook->body : "", n, &body);
	dead.delivery = id;
	dead.body = buf_text(&body);
	dead.body_len = body.len;
	log_warn("webhook quarantined", KV("source", s->name), KV("delivery", id),
		 KV("reason", reason));
	d = delivery_new(in, s, req, started_us);
	d->quarantined = true;
	buf_reset(&in->record);
	enqueue_record_dead(&dead, &in->record);
	handover_put(in->handover, in->record.data, in->record.len, on_handed_over, d);
}

enum body_kind { BODY_OTHER, BODY_JSON, BODY_FORM };

static enum body_kind body_kind(const struct http_request *req)
{
	const char *type = http_request_header(req, "Content-Type");
	size_t n;

	if (!type)
		return BODY_OTHER;
	n = strcspn(type, "; \t");
	if (n == strlen(json_type) && strncasecmp(type, json_type, n) == 0)
		return BODY_JSON;
	if (n == strlen("application/x-www-form-urlencoded") &&
	    strncasecmp(type, "application/x-www-form-urlencoded", n) == 0)
		return BODY_FORM;
	return BODY_OTHER;
}

/* The JSON in payload=..., which is how GitHub sends it when a hook is set to form encoding. */
static char *form_payload(const char *s, size_t n)
{
	static const char name[] = "payload=";
	const size_t name_len = sizeof(name) - 1;

	while (n) {
		const char *end = memchr(s, '&', n);
		size_t len = end ? (size_t)(end - s) : n;

		if (len >= name_len && memcmp(s, name, name_len) == 0) {
			OWNED(freep) char *out = xmalloc(len + 1);

			if (!http_percent_decode(s + name_len, len - name_len, true, out, len + 1))
				return NULL;
			return TAKE(out);
		}
		s += len + (end != NULL);
		n -= len + (end != NULL);
	}
	return NULL;
}

static void take_event(struct intake *in, struct source *s, struct http_request *req,
		       int64_t started_us, const struct webhook *hook)
{
	OWNED(freep) char *payload = NULL;
	const char *json = hook->body ? hook->body : "";
	size_t n = hook->body_len;
	struct err err = { 0 };
	struct delivery *d;
	struct ci_event ev;

	if (body_kind(req) == BODY_FORM) {
		payload = form_payload(json, n);
		json = payload ? payload : "";
		n = strlen(json);
	}
	if (s->provider->normalise(hook->topic, json, n, &ev, &err) < 0) {
		quarantine(in, s, req, started_us, hook, err.msg);
		return;
	}
	(void)text_copy(ev.source, sizeof(ev.source), s->name, strlen(s->name));
	delivery_id(hook, ev.delivery);
	trace_of(in, req, ev.trace);
	ev.received_at_ms = clock_wall_ms();
	d = delivery_new(in, s, req, started_us);
	(void)text_copy(d->id, sizeof(d->id), ev.delivery, strlen(ev.delivery));
	buf_reset(&in->record);
	enqueue_record(&ev, s->dedupe_ttl_ms, &in->record);
	handover_put(in->handover, in->record.data, in->record.len, on_handed_over, d);
}

static void take_webhook(struct intake *in, struct source *s, struct http_request *req)
{
	const struct provider *p = s->provider;
	int64_t started_us = clock_mono_us();
	struct webhook hook = { .signature = http_request_header(req, p->signature_header),
				.topic = http_request_header(req, p->topic_header),
				.delivery = http_request_header(req, p->delivery_header),
				.body = req->body,
				.body_len = req->body_len };
	const char *reason;
	char body[96];

	if (body_kind(req) == BODY_OTHER) {
		answer(in, s, req, started_us, RESULT_REFUSED, 415,
		       "{\"status\":\"refused\",\"reason\":\"content type\"}\n");
		return;
	}
	if (!verified(in, s, &hook, req)) {
		refuse_unsigned(in, s, req, started_us);
		return;
	}
	if (!hook.topic || !*hook.topic) {
		quarantine(in, s, req, started_us, &hook,
			   "the header that names the event is missing");
		return;
	}
	reason = p->ignores(hook.topic);
	if (reason) {
		(void)snprintf(body, sizeof(body), "{\"status\":\"ignored\",\"reason\":\"%s\"}\n",
			       reason);
		answer(in, s, req, started_us, RESULT_IGNORED, 200, body);
		return;
	}
	take_event(in, s, req, started_us, &hook);
}

/* "github" or "github/SOURCE"; NULL when there is no such source. */
static struct source *source_of(struct intake *in, const char *path)
{
	size_t n = strcspn(path, "/");
	const struct provider *p = provider_find(path, n);
	const char *name = path[n] ? path + n + 1 : path;

	for (size_t i = 0; p && i < in->n_sources; i++)
		if (in->sources[i].provider == p && strcmp(in->sources[i].name, name) == 0)
			return &in->sources[i];
	return NULL;
}

bool intake_handle(struct intake *in, struct http_request *req)
{
	static const char prefix[] = "/webhooks/";
	struct source *s;

	if (!text_starts(req->path, prefix))
		return false;
	s = source_of(in, req->path + strlen(prefix));
	if (!s) {
		metrics_add("webhooks_received_total", "source=\"\",result=\"refused\"", 1);
		http_reply_text(req, 404, json_type,
				"{\"status\":\"refused\",\"reason\":\"unknown source\"}\n");
	} else if (strcmp(req->method, "POST") != 0) {
		http_reply_header(req, "Allow", "POST");
		answer(in, s, req, clock_mono_us(), RESULT_REFUSED, 405,
		       "{\"status\":\"refused\",\"reason\":\"method\"}\n");
	} else {
		take_webhook(in, s, req);
	}
	return true;
}

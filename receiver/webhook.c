#include "receiver/webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "core/buf.h"
#include "core/ci_event.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "core/enqueue.h"
#include "core/http_parse.h"
#include "core/http_server.h"
#include "core/keys.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/text.h"
#include "receiver/handover.h"
#include "receiver/provider.h"
#include "receiver/redact.h"
#include "receiver/source.h"

enum {
	TRACE_BYTES = 24,
	TRACES_AHEAD = 64,
	QUIET_MS = 10000, /* one line per problem and period: strangers must not fill the log */
};

static const char json_type[] = "application/json";

struct intake {
	const struct keyspace *ks;
	struct handover *handover;
	struct buf record; /* of the webhook at hand */
	struct sources *sources;
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

static struct metric *received(struct source *s, enum webhook_result result)
{
	char labels[96];

	if (!s->received[result]) {
		(void)snprintf(labels, sizeof(labels), "source=\"%s\",result=\"%s\"", s->name,
			       webhook_result_name(result));
		s->received[result] = metrics_handle("webhooks_received_total", labels);
	}
	return s->received[result];
}

struct intake *intake_new(struct sources *sources, const struct keyspace *ks,
			  struct handover *handover)
{
	struct intake *in = xcalloc(1, sizeof(*in));
	struct source *s;

	in->ks = ks;
	in->handover = handover;
	buf_init(&in->record, ENQUEUE_RECORD_MAX);
	in->sources = sources;
	LIST_INIT(&in->pending);
	/* Zeros are worth showing where webhooks are expected. */
	for (size_t i = 0; (s = sources_at(sources, i)); i++)
		for (unsigned r = 0; s->auth.n_keys && r < RESULT_COUNT; r++)
			(void)received(s, (enum webhook_result)r);
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

/* The access log; nothing of the request that could be a secret, so not its path. */
static void log_webhook(const struct source *s, const struct http_request *req, int64_t us,
			enum webhook_result result, int status)
{
	log_debug("webhook", KV("source", s->name), KV("result", webhook_result_name(result)),
		  KV("status", status), KV("bytes", req->body_len), KV("us", us),
		  KV("trace", req->trace), KV("peer", req->peer));
}

static void answer(struct intake *in, struct source *s, struct http_request *req,
		   int64_t started_us, enum webhook_result result, int status, const char *body)
{
	int64_t us = clock_mono_us() - started_us;

	metric_add(received(s, result), 1);
	metric_observe_ms(in->duration, (double)us / 1000.0);
	if (log_enabled(LEVEL_DEBUG))
		log_webhook(s, req, us, result, status);
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

static bool usable_id(const char *id)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.:";
	size_t n = id ? strlen(id) : 0;

	return n && n < 64 && strspn(id, allowed) == n;
}

enum body_kind { BODY_OTHER, BODY_JSON, BODY_FORM };

/* One request on its way through; everything borrowed. */
struct visit {
	struct source *source;
	struct http_request *req;
	struct webhook hook;
	const struct auth_scheme *proof; /* what the sender showed */
	const char *topic;
	enum body_kind kind;
	int64_t started_us;
};

/*
 * The sender's id when it is one; else what the provider made of the event; else made from
 * the body, so that a signed event is neither refused for its header nor taken twice. An id that
 * was signed goes before any that was not.
 */
static void delivery_id(const struct visit *v, const char *of_event, char out[static 64])
{
	const char *const *names = v->source->provider->delivery_headers;
	const char *id = auth_signs_id(v->proof) ? http_request_header(v->req, "webhook-id") : NULL;
	unsigned char digest[SHA256_BYTES];
	char hex[SHA256_HEX + 1];

	for (size_t i = 0; !id && i < ARRAY_LEN(v->source->provider->delivery_headers); i++)
		id = names[i] ? http_request_header(v->req, names[i]) : NULL;
	if (!usable_id(id))
		id = usable_id(of_event) ? of_event : NULL;
	if (id) {
		(void)text_copy(out, 64, id, strlen(id));
		return;
	}
	sha256(v->hook.body ? v->hook.body : "", v->hook.body_len, digest);
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

static void set_trace(struct intake *in, struct http_request *req)
{
	const char *sent = http_request_header(req, "traceparent");
	char id[2 * TRACE_BYTES + 1];

	if (*req->trace)
		return;
	if (traceparent_ok(sent)) {
		(void)text_copy(req->trace, sizeof(req->trace), sent, 55);
		return;
	}
	if (in->n_traces == 0) {
		random_bytes(in->traces, sizeof(in->traces));
		in->n_traces = TRACES_AHEAD;
	}
	hex_encode(in->traces[--in->n_traces], TRACE_BYTES, id);
	(void)snprintf(req->trace, sizeof(req->trace), "00-%.32s-%.16s-01", id, id + 32);
}

/* --- refusals --- */

static void refuse(struct intake *in, const struct visit *v, enum webhook_result result, int status,
		   const char *reason)
{
	char body[sizeof(((struct err *)0)->msg) + 64];

	(void)snprintf(body, sizeof(body), "{\"status\":\"%s\",\"reason\":\"%s\"}\n",
		       result == RESULT_IGNORED ? "ignored" : "refused", reason);
	answer(in, v->source, v->req, v->started_us, result, status, body);
}

static void refuse_unsigned(struct intake *in, const struct visit *v)
{
	struct source *s = v->source;
	int64_t times = quiet_count(&s->refused);

	if (times)
		log_warn("webhook refused: not signed with a secret of this source",
			 KV("source", s->name), KV("peer", v->req->peer), KV("times", times),
			 KV("secrets", s->auth.n_keys ? "set" : "none"));
	for (size_t i = 0; i < s->auth.n_schemes; i++)
		if (s->auth.schemes[i]->challenge)
			http_reply_header(v->req, "WWW-Authenticate",
					  s->auth.schemes[i]->challenge);
	answer(in, s, v->req, v->started_us, RESULT_UNAUTHORIZED, 401,
	       "{\"status\":\"unauthorized\"}\n");
}

static const char *forwarded_line(const void *req, size_t i)
{
	return http_request_header_at(req, "X-Forwarded-For", i);
}

static bool address_allowed(const struct intake *in, const struct visit *v)
{
	const struct address_list *allow = &v->source->allow;
	struct address client;

	if (!allow->n)
		return true;
	return address_of_client(v->req->peer, sources_trusted(in->sources), forwarded_line, v->req,
				 &client) &&
	       address_list_has(allow, &client);
}

static void refuse_address(struct intake *in, const struct visit *v)
{
	int64_t times = quiet_count(&v->source->refused);

	if (times)
		log_warn("webhook refused: the sender's address is not in the source's list",
			 KV("source", v->source->name), KV("peer", v->req->peer),
			 KV("times", times));
	refuse(in, v, RESULT_REFUSED, 403, "address");
}

/* Counted after the signature, so that strangers cannot use up what a sender may. */
static bool limited(struct intake *in, const struct visit *v)
{
	int64_t wait_ms = bucket_take(&v->source->rate, clock_mono_ms());
	char seconds[24];

	if (!wait_ms)
		return false;
	(void)snprintf(seconds, sizeof(seconds), "%lld", (long long)(wait_ms + 999) / 1000);
	http_reply_header(v->req, "Retry-After", seconds);
	refuse(in, v, RESULT_LIMITED, 429, "rate");
	return true;
}

static void quarantine(struct intake *in, const struct visit *v, const char *reason)
{
	OWNED(buf_done) struct buf body;
	struct dead_webhook dead = { .provider = v->source->provider->name,
				     .source = v->source->name,
				     .topic = v->topic,
				     .reason = reason,
				     .at_ms = v->hook.now_ms };
	size_t n = v->hook.body_len < ENQUEUE_BODY_MAX ? v->hook.body_len : ENQUEUE_BODY_MAX;
	struct delivery *d;
	char id[64];

	delivery_id(v, NULL, id);
	buf_init(&body, ENQUEUE_BODY_MAX);
	redact(v->hook.body ? v->hook.body : "", n, &body);
	dead.delivery = id;
	dead.body = buf_text(&body);
	dead.body_len = body.len;
	log_warn("webhook quarantined", KV("source", v->source->name), KV("delivery", id),
		 KV("reason", reason));
	d = delivery_new(in, v->source, v->req, v->started_us);
	d->quarantined = true;
	buf_reset(&in->record);
	enqueue_record_dead(&dead, &in->record);
	handover_put(in->handover, in->record.data, in->record.len, on_handed_over, d);
}

/* --- the body --- */

static bool is_type(const char *sent, size_t n, const char *expected)
{
	return n == strlen(expected) && strncasecmp(sent, expected, n) == 0;
}

static enum body_kind body_kind(const struct visit *v)
{
	const char *sent = http_request_header(v->req, "Content-Type");
	size_t n;

	if (!sent || http_request_header_at(v->req, "Content-Type", 1))
		return BODY_OTHER;
	n = strcspn(sent, "; \t");
	if (is_type(sent, n, json_type) || is_type(sent, n, "application/cloudevents+json"))
		return BODY_JSON;
	if (v->source->provider->takes_form &&
	    is_type(sent, n, "application/x-www-form-urlencoded"))
		return BODY_FORM;
	return BODY_OTHER;
}

/* NULL when it can be read; otherwise the reason for 415. */
static const char *unreadable(const struct visit *v)
{
	const char *coding = http_request_header(v->req, "Content-Encoding");
	const char *hint = v->source->provider->type_hint;

	if (coding && strcasecmp(coding, "identity") != 0)
		return "Content-Encoding: send the body as it is";
	if (v->kind == BODY_OTHER)
		return hint ? hint : "content type";
	return NULL;
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

static void count_unknown_values(struct source *s, const struct ci_event *ev)
{
	unsigned n = provider_unknown_values(ev);
	char labels[64];

	if (!n)
		return;
	if (!s->unknown) {
		(void)snprintf(labels, sizeof(labels), "source=\"%s\"", s->name);
		s->unknown = metrics_handle("events_unknown_values_total", labels);
	}
	metric_add(s->unknown, n);
}

static void take_event(struct intake *in, const struct visit *v)
{
	OWNED(freep) char *payload = NULL;
	const char *json = v->hook.body ? v->hook.body : "";
	size_t n = v->hook.body_len;
	struct source *s = v->source;
	struct err err = { 0 };
	struct delivery *d;
	struct ci_event ev;
	char id[64];
	int rc;

	if (v->kind == BODY_FORM) {
		payload = form_payload(json, n);
		json = payload ? payload : "";
		n = strlen(json);
	}
	rc = s->provider->normalise(v->topic, json, n, &ev, &err);
	if (rc < 0) {
		quarantine(in, v, err.msg);
		return;
	}
	if (rc == NORMALISE_IGNORED) {
		refuse(in, v, RESULT_IGNORED, 200, err.msg);
		return;
	}
	count_unknown_values(s, &ev);
	(void)text_copy(ev.source, sizeof(ev.source), s->name, strlen(s->name));
	delivery_id(v, ev.delivery, id);
	(void)text_copy(ev.delivery, sizeof(ev.delivery), id, strlen(id));
	set_trace(in, v->req);
	(void)text_copy(ev.trace, sizeof(ev.trace), v->req->trace, strlen(v->req->trace));
	ev.received_at_ms = v->hook.now_ms;
	d = delivery_new(in, s, v->req, v->started_us);
	(void)text_copy(d->id, sizeof(d->id), id, strlen(id));
	buf_reset(&in->record);
	enqueue_record(&ev, s->dedupe_ttl_ms, &in->record);
	handover_put(in->handover, in->record.data, in->record.len, on_handed_over, d);
}

/* It is known by now who sent it. */
static void take_verified(struct intake *in, struct visit *v)
{
	const struct provider *p = v->source->provider;
	const char *reason;

	if (limited(in, v))
		return;
	v->topic = p->topic_header ? http_request_header(v->req, p->topic_header) : "";
	if (!v->topic || (p->topic_header && !*v->topic)) {
		quarantine(in, v, "the header that names the event is missing");
		return;
	}
	reason = p->ignores(v->topic);
	if (reason)
		refuse(in, v, RESULT_IGNORED, 200, reason);
	else
		take_event(in, v);
}

static const char *header_of(const void *req, const char *name, size_t i)
{
	return http_request_header_at(req, name, i);
}

static void take_webhook(struct intake *in, struct source *s, struct http_request *req,
			 const char *path_secret)
{
	struct visit v = { .source = s,
			   .req = req,
			   .hook = { .header = header_of,
				     .headers = req,
				     .path_secret = path_secret,
				     .body = req->body,
				     .body_len = req->body_len,
				     .now_ms = clock_wall_ms() },
			   .started_us = clock_mono_us() };
	const char *reason;

	if (log_enabled(LEVEL_DEBUG))
		set_trace(in, req);
	if (!address_allowed(in, &v)) {
		refuse_address(in, &v);
		return;
	}
	if (strcmp(req->method, "POST") != 0) {
		http_reply_header(req, "Allow", "POST");
		refuse(in, &v, RESULT_REFUSED, 405, "method");
		return;
	}
	v.kind = body_kind(&v);
	reason = unreadable(&v);
	if (reason) {
		refuse(in, &v, RESULT_REFUSED, 415, reason);
		return;
	}
	v.proof = auth_verify(&s->auth, &v.hook);
	if (v.proof)
		take_verified(in, &v);
	else
		refuse_unsigned(in, &v);
}

bool intake_handle(struct intake *in, struct http_request *req)
{
	const char *secret;
	struct source *s;

	if (!text_starts(req->path, "/webhooks/"))
		return false;
	s = sources_find(in->sources, req->path, &secret);
	if (s) {
		take_webhook(in, s, req, secret);
		return true;
	}
	metrics_add("webhooks_received_total", "source=\"\",result=\"refused\"", 1);
	http_reply_text(req, 404, json_type,
			"{\"status\":\"refused\",\"reason\":\"unknown source\"}\n");
	return true;
}

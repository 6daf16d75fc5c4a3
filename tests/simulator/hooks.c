#include "tests/simulator/hooks.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <openssl/hmac.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/http_client.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/rng.h"

enum {
	LANES = 64, /* runs whose webhooks leave side by side */
	LOG_MAX = 20000,
	BACKLOG_MAX = 256 << 20,
	TIMEOUT_MS = 10000,
	LATE_MIN_MS = 20,
	LATE_SPREAD_MS = 480,
};

struct hook_body {
	unsigned users;
	size_t len;
	char *secret; /* NULL: the hook's own */
	char data[];
};

struct lane {
	struct delivery *first, **tail;
	struct http_call *call;
};

struct hooks {
	struct event_base *base;
	struct hook_options opt;
	struct hook_watch watch;
	struct http_client *http;
	struct rng rng;
	char *url;
	struct lane lanes[LANES];
	struct delivery *log[LOG_MAX]; /* a ring */
	uint64_t first, next;          /* ids in it */
	size_t bytes, waiting;
};

static void body_put(struct hooks *h, struct hook_body *b)
{
	if (--b->users)
		return;
	h->bytes -= b->len;
	free(b->secret);
	free(b);
}

static void delivery_free(struct delivery *d)
{
	if (d->timer)
		event_free(d->timer);
	body_put(d->hooks, d->body);
	free(d);
}

/* The oldest ones that are over are forgotten; false when that does not help. */
static bool make_room(struct hooks *h)
{
	while (h->first < h->next &&
	       (h->next - h->first >= LOG_MAX || h->bytes > h->opt.bytes_max)) {
		struct delivery *d = h->log[h->first % LOG_MAX];

		if (!d->over)
			break;
		h->log[h->first++ % LOG_MAX] = NULL;
		delivery_free(d);
	}
	return h->next - h->first < LOG_MAX && h->bytes < BACKLOG_MAX;
}

static void make_guid(char out[static GUID_MAX])
{
	char hex[33];

	random_hex(hex, 16);
	hex[12] = '4';
	(void)snprintf(out, GUID_MAX, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		       hex + 20);
}

static void sign(const struct delivery *d, char sha256[static 192], char sha1[static 192])
{
	const char *key = d->body->secret ? d->body->secret : d->hooks->opt.secret;
	unsigned char mac[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned n = 0;

	hmac_sha256(key, strlen(key), d->body->data, d->body->len, mac);
	hex_encode(mac, SHA256_BYTES, hex);
	(void)snprintf(sha256, 192, "X-Hub-Signature-256: sha256=%s", hex);
	if (!HMAC(EVP_sha1(), key, (int)strlen(key), (const unsigned char *)d->body->data,
		  d->body->len, mac, &n))
		abort();
	hex_encode(mac, n, hex);
	(void)snprintf(sha1, 192, "X-Hub-Signature: sha1=%s", hex);
}

static struct lane *lane_of(struct hooks *h, const struct delivery *d)
{
	return &h->lanes[(d->run_id ? d->run_id : rng_hash(d->guid)) % LANES];
}

static void lane_go(struct hooks *h, struct lane *lane);
static struct delivery *repeat(struct hooks *, const struct delivery *old);
static void leave_late(struct delivery *);

static void finish(struct delivery *d, int status)
{
	d->status = status;
	d->took_us = clock_mono_us() - d->began_us;
	d->over = true;
	d->hooks->waiting--;
	d->hooks->watch.over(d, d->hooks->watch.arg);
}

/* The plugin's mistake: all of the tries that are configured, whether one got through or not. */
static void try_again(struct hooks *h, const struct delivery *old)
{
	struct hook_body *body = old->body;

	body->users++;
	for (int64_t i = 0; i < h->opt.retries && make_room(h); i++) {
		struct delivery *d = repeat(h, old);

		d->retry = d->duplicate = true;
		leave_late(d);
	}
	body_put(h, body);
}

static void on_answer(const struct http_reply *r, void *arg)
{
	struct lane *lane = arg;
	struct delivery *d = lane->first;
	struct hooks *h = d->hooks;

	lane->call = NULL;
	lane->first = d->next;
	if (!lane->first)
		lane->tail = &lane->first;
	finish(d, r->status);
	if (r->status == 0 && !d->retry)
		try_again(h, d);
	lane_go(h, lane);
}

/* --- what is said in front of a body --------------------------------------- */

enum { HEADERS_MAX = 10, HEADER_BYTES = 256 };
struct head {
	char lines[HEADERS_MAX][HEADER_BYTES];
	size_t n;
};

static void add(struct head *head, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add(struct head *head, const char *fmt, ...)
{
	char *line = head->lines[head->n];
	va_list ap;

	if (head->n == HEADERS_MAX)
		abort();
	head->n++;
	va_start(ap, fmt);
	(void)vsnprintf(line, HEADER_BYTES, fmt, ap);
	va_end(ap);
}

static void github_head(const struct delivery *d, struct head *head)
{
	char sha256[192], sha1[192];

	add(head, "X-GitHub-Hook-ID: 481516234");
	add(head, "X-GitHub-Hook-Installation-Target-ID: 38302899");
	add(head, "X-GitHub-Event: %s", d->event);
	add(head, "X-GitHub-Delivery: %s", d->guid);
	add(head, "X-GitHub-Hook-Installation-Target-Type: %s", d->hooks->opt.target_type);
	if (!d->body->secret && !d->hooks->opt.secret)
		return;
	sign(d, sha256, sha1);
	add(head, "%s", sha1);
	add(head, "%s", sha256);
}

/* Standard Webhooks: HMAC over "id.timestamp.body" with the decoded rest of whsec_... */
static void gitlab_signature(const struct delivery *d, const char *key, struct head *head)
{
	int64_t now = clock_wall_ms() / 1000;
	unsigned char raw[512], mac[SHA256_BYTES];
	OWNED(freep) char *text = NULL, *signature = NULL;
	size_t n = strlen(key), head_len, raw_len = 0;

	text = xasprintf("%s.%" PRId64 ".%.*s", d->guid, now, (int)d->body->len, d->body->data);
	head_len = strlen(text);
	if (!base64_decode(key + strlen("whsec_"), n - strlen("whsec_"), raw, sizeof(raw),
			   &raw_len))
		abort();
	hmac_sha256(raw, raw_len, text, head_len, mac);
	signature = base64_encode(mac, sizeof(mac));
	add(head, "webhook-id: %s", d->guid);
	add(head, "webhook-timestamp: %" PRId64, now);
	add(head, "webhook-signature: v1,%s", signature);
}

/* The event's UUID is another one each time, and says nothing. */
static void gitlab_head(const struct delivery *d, struct head *head)
{
	const char *token = d->body->secret ? d->body->secret : d->hooks->opt.secret;
	char uuid[GUID_MAX];

	make_guid(uuid);
	add(head, "X-Gitlab-Event: %s", d->event);
	add(head, "X-Gitlab-Instance: %s", d->hooks->opt.instance);
	add(head, "X-Gitlab-Webhook-UUID: 8f1a2b3c-4d5e-4f60-8172-93a4b5c6d7e8");
	add(head, "X-Gitlab-Event-UUID: %s", uuid);
	add(head, "Idempotency-Key: %s", d->guid);
	if (token)
		add(head, "X-Gitlab-Token: %s", token);
	if (d->hooks->opt.signing)
		gitlab_signature(d, d->hooks->opt.signing, head);
}

/* From the user info of the URL; no event and no id. */
static void jenkins_head(const struct delivery *d, struct head *head)
{
	const char *secret = d->body->secret ? d->body->secret : d->hooks->opt.secret;
	OWNED(freep) char *pair = NULL, *basic = NULL;

	if (!secret)
		return;
	pair = xasprintf("jenkins:%s", secret);
	basic = base64_encode(pair, strlen(pair));
	add(head, "Authorization: Basic %s", basic);
}

static void lane_go(struct hooks *h, struct lane *lane)
{
	static void (*const writers[])(const struct delivery *, struct head *) = {
		[FLAVOUR_GITHUB] = github_head,
		[FLAVOUR_GITLAB] = gitlab_head,
		[FLAVOUR_JENKINS] = jenkins_head,
	};
	struct delivery *d = lane->first;
	struct head head = { .n = 0 };
	struct http_call_options o = {
		.method = "POST",
		.url = h->url ? h->url : "",
		.headers = { "Accept: */*", "Content-Type: application/json" },
		.timeout_ms = TIMEOUT_MS,
		.max_body_bytes = 64 << 10,
	};

	if (lane->call || !d)
		return;
	writers[h->opt.flavour](d, &head);
	for (size_t i = 0; i < head.n; i++)
		o.headers[2 + i] = head.lines[i];
	o.body = d->body->data;
	o.body_len = d->body->len;
	d->delivered_ms = clock_wall_ms();
	d->began_us = clock_mono_us();
	h->watch.leaves(d, h->watch.arg);
	lane->call = http_call_start(h->http, &o, on_answer, lane);
}

static void into_lane(struct delivery *d)
{
	struct lane *lane = lane_of(d->hooks, d);

	d->next = NULL;
	*lane->tail = d;
	lane->tail = &d->next;
	lane_go(d->hooks, lane);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	into_lane(arg);
}

static struct delivery *enter(struct hooks *h, struct hook_body *body)
{
	struct delivery *d = xcalloc(1, sizeof(*d));

	d->hooks = h;
	d->body = body;
	body->users++;
	d->id = h->next;
	h->log[h->next++ % LOG_MAX] = d;
	h->waiting++;
	return d;
}

static void leave_in(struct delivery *d, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);

	d->timer = evtimer_new(d->hooks->base, on_late, d);
	if (!d->timer)
		abort();
	(void)evtimer_add(d->timer, &tv);
}

static void leave_late(struct delivery *d)
{
	leave_in(d, d->hooks->opt.delay_ms + LATE_MIN_MS +
			    (int64_t)rng_below(&d->hooks->rng, LATE_SPREAD_MS));
}

static struct delivery *repeat(struct hooks *h, const struct delivery *old)
{
	struct delivery *d = enter(h, old->body);

	memcpy(d->guid, old->guid, sizeof(d->guid));
	memcpy(d->event, old->event, sizeof(d->event));
	memcpy(d->action, old->action, sizeof(d->action));
	d->run_id = old->run_id;
	d->repo_id = old->repo_id;
	d->failed_run = old->failed_run;
	return d;
}

bool hooks_send(struct hooks *h, const struct hook_event *e, char guid[static GUID_MAX])
{
	struct hook_body *body;
	struct delivery *d, *twin;

	if (!h->url || !make_room(h))
		return false;
	body = xcalloc(1, sizeof(*body) + e->len + 1);
	memcpy(body->data, e->body, e->len);
	body->len = e->len;
	body->secret = e->secret ? xstrdup(e->secret) : NULL;
	h->bytes += e->len;
	d = enter(h, body);
	make_guid(d->guid);
	memcpy(guid, d->guid, GUID_MAX);
	(void)text_copy(d->event, sizeof(d->event), e->event, strlen(e->event));
	(void)text_copy(d->action, sizeof(d->action), e->action, strlen(e->action));
	d->run_id = e->run_id;
	d->repo_id = e->repo_id;
	d->failed_run = e->failed_run;
	if (rng_chance(&h->rng, h->opt.duplicate) && make_room(h)) {
		twin = repeat(h, d);
		twin->duplicate = true;
		leave_late(twin);
	}
	if (rng_chance(&h->rng, h->opt.reorder))
		leave_late(d);
	else if (h->opt.delay_ms)
		leave_in(d, h->opt.delay_ms);
	else
		into_lane(d);
	return true;
}

bool hooks_redeliver(struct hooks *h, struct delivery *old)
{
	const struct delivery copy = *old;
	bool room;

	if (!h->url)
		return false;
	/* The room may be the old one's own. */
	copy.body->users++;
	room = make_room(h);
	if (room) {
		struct delivery *d = repeat(h, &copy);

		d->redelivery = true;
		into_lane(d);
	}
	body_put(h, copy.body);
	return room;
}

uint64_t hooks_first(const struct hooks *h)
{
	return h->first;
}

uint64_t hooks_last(const struct hooks *h)
{
	return h->next - 1;
}

struct delivery *hooks_at(struct hooks *h, uint64_t id)
{
	return id >= h->first && id < h->next ? h->log[id % LOG_MAX] : NULL;
}

size_t hooks_waiting(const struct hooks *h)
{
	return h->waiting;
}

void hooks_set_url(struct hooks *h, const char *url)
{
	free(h->url);
	h->url = url && *url ? xstrdup(url) : NULL;
}

const char *hooks_url(const struct hooks *h)
{
	return h->url;
}

struct hooks *hooks_new(struct event_base *base, const struct hook_options *opt,
			const struct hook_watch *watch)
{
	static const char *const agents[] = { "GitHub-Hookshot/5f1e0c7", "GitLab/17.5.1-ee",
					      "Java/17.0.13" };
	struct hooks *h = xcalloc(1, sizeof(*h));

	h->base = base;
	h->opt = *opt;
	h->watch = *watch;
	h->http = http_client_new(base, agents[opt->flavour]);
	rng_seed(&h->rng, opt->seed, 9);
	h->first = h->next = 1;
	for (size_t i = 0; i < LANES; i++)
		h->lanes[i].tail = &h->lanes[i].first;
	return h;
}

void hooks_free(struct hooks *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < LANES; i++)
		http_call_cancel(h->lanes[i].call);
	for (; h->first < h->next; h->first++)
		delivery_free(h->log[h->first % LOG_MAX]);
	http_client_free(h->http);
	free(h->url);
	free(h);
}

#include "web/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/approve.h"
#include "core/approve_link.h"
#include "core/audit.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/http_server.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/neutralise.h"
#include "core/redis.h"
#include "core/text.h"

enum {
	OPEN_MAX = 16, /* requests that wait for Redis; more are told to come back */
	PAGE_MAX = 32 << 10,
	TEXT_MAX = 500,
	WHO_MAX = 120,
	NONCE_BYTES = 16,
};

struct visit {
	struct answers *answers;
	struct http_request *req;
	struct approve_link link;
	struct batch *batch;
	char ref[APPROVE_PLAN_MAX], who[WHO_MAX];
	bool failed;
	char state[16], strategy[40], reason[TEXT_MAX], repo[TEXT_MAX], pipeline[TEXT_MAX],
		branch[TEXT_MAX];
	char word[16]; /* what came of the answer; "": none was given */
};

/* --- the page --------------------------------------------------------------------------- */

static void put_html(struct buf *out, const char *text)
{
	static const struct {
		char c;
		const char *entity;
	} rows[] = {
		{ '&', "&amp;" },  { '<', "&lt;" },   { '>', "&gt;" },
		{ '"', "&quot;" }, { '\'', "&#39;" },
	};
	OWNED(buf_done) struct buf clean;

	buf_init(&clean, PAGE_MAX);
	neutralise_text(&clean, text);
	for (const char *p = buf_text(&clean); *p; p++) {
		const char *entity = NULL;

		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			if (rows[i].c == *p)
				entity = rows[i].entity;
		if (entity)
			buf_puts(out, entity);
		else
			buf_putc(out, *p);
	}
}

static void put_row(struct buf *out, const char *label, const char *text)
{
	if (!*text)
		return;
	buf_printf(out, "<dt>%s</dt><dd>", label);
	put_html(out, text);
	buf_puts(out, "</dd>");
}

static void put_plan(struct buf *out, const struct visit *v)
{
	if (!v || !*v->repo)
		return;
	buf_puts(out, "<dl>");
	put_row(out, "Repository", v->repo);
	put_row(out, "Pipeline", v->pipeline);
	put_row(out, "Branch", v->branch);
	put_row(out, "Strategy", v->strategy);
	put_row(out, "Reason", v->reason);
	buf_puts(out, "</dl>");
}

/* `button`: NULL when there is nothing to press. */
static void reply_page(struct http_request *req, int status, const char *said,
		       const struct visit *v, const char *button)
{
	OWNED(buf_done) struct buf page, policy;
	char nonce[2 * NONCE_BYTES + 1];

	random_hex(nonce, NONCE_BYTES);
	buf_init(&page, PAGE_MAX);
	buf_init(&policy, PAGE_MAX);
	buf_printf(&policy,
		   "default-src 'none'; style-src 'nonce-%s'; base-uri 'none'; form-action 'self'; "
		   "frame-ancestors 'none'",
		   nonce);
	buf_printf(&page,
		   "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
		   "<meta name=\"viewport\" content=\"width=device-width\">"
		   "<meta name=\"robots\" content=\"noindex\"><title>Pipeline Guard</title>"
		   "<style nonce=\"%s\">body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;"
		   "margin:3rem auto;padding:0 1rem;color-scheme:light dark}dt{font-weight:600}"
		   "dd{margin:0 0 .5rem;overflow-wrap:anywhere}button{font:inherit;padding:.5rem "
		   "1.5rem}</style></head><body><main><h1>Pipeline Guard</h1><p>",
		   nonce);
	put_html(&page, said);
	buf_puts(&page, "</p>");
	put_plan(&page, v);
	if (button)
		buf_printf(&page, "<form method=\"post\"><button>%s</button></form>", button);
	buf_puts(&page, "</main></body></html>\n");
	http_reply_header(req, "Content-Security-Policy", buf_text(&policy));
	http_reply_header(req, "Cache-Control", "no-store");
	http_reply(req, status, "text/html; charset=utf-8", buf_text(&page), page.len);
}

/* --- what Redis says -------------------------------------------------------------------- */

static void take(char *out, size_t cap, const struct redisReply *reply, size_t i)
{
	const char *text = redis_str(redis_at(reply, i));

	(void)text_copy(out, cap, text ? text : "", text ? strlen(text) : 0);
}

static void on_plan(const struct redisReply *reply, void *arg, unsigned index)
{
	struct visit *v = arg;

	UNUSED(index);
	v->failed = v->failed || redis_is_error(reply, NULL);
	take(v->state, sizeof(v->state), reply, 0);
	take(v->strategy, sizeof(v->strategy), reply, 1);
	take(v->reason, sizeof(v->reason), reply, 2);
}

static void on_run(const struct redisReply *reply, void *arg, unsigned index)
{
	struct visit *v = arg;

	UNUSED(index);
	v->failed = v->failed || redis_is_error(reply, NULL);
	take(v->repo, sizeof(v->repo), reply, 0);
	take(v->pipeline, sizeof(v->pipeline), reply, 1);
	take(v->branch, sizeof(v->branch), reply, 2);
}

static void on_answered(const struct redisReply *reply, void *arg, unsigned index)
{
	struct visit *v = arg;

	UNUSED(index);
	v->failed = v->failed || redis_is_error(reply, NULL);
	take(v->word, sizeof(v->word), reply, 0);
	if (strcmp(v->word, "none") != 0)
		take(v->strategy, sizeof(v->strategy), reply, 1);
}

/* --- answering --------------------------------------------------------------------------- */

static void show(struct visit *v)
{
	if (!*v->state)
		reply_page(v->req, 404, "There is no such plan any more.", NULL, NULL);
	else if (strcmp(v->state, "suggested") != 0)
		reply_page(v->req, 409, "Nothing waits for an answer there any more.", v, NULL);
	else if (v->link.approve)
		reply_page(v->req, 200, "A heal is suggested. Approve it?", v, "Approve");
	else
		reply_page(v->req, 200, "A heal is suggested. Reject it?", v, "Reject");
}

/* Who it was is known only as far as this: to whom the link was given, and from where it came. */
static void record(const struct visit *v)
{
	const char *forwarded = http_request_header(v->req, "X-Forwarded-For");

	log_info("a suggestion was answered", KV("answer", v->word), KV("plan", v->link.plan),
		 KV("by", v->who), KV("peer", v->req->peer));
	audit_write(v->answers->audit, v->word, "plan", v->link.plan, "run", v->ref, "strategy",
		    v->strategy, "by", v->who, "peer", v->req->peer, "forwarded_for",
		    forwarded ? forwarded : "", (char *)NULL);
}

static void done(void *arg)
{
	struct visit *v = arg;

	if (v->failed) {
		reply_page(v->req, 503, "Redis does not answer: nothing was changed.", NULL, NULL);
	} else if (!*v->word) {
		show(v);
	} else if (strcmp(v->word, "none") == 0) {
		reply_page(v->req, 409, "Nothing waits for an answer there any more.", v, NULL);
	} else {
		record(v);
		reply_page(v->req, 200,
			   v->link.approve ? "Approved: it is carried out within the limits."
					   : "Rejected: nothing is done.",
			   v, NULL);
	}
}

static void release(void *arg)
{
	struct visit *v = arg;

	v->answers->open--;
	free(v);
}

static void ask(struct visit *v)
{
	const struct keyspace *ks = v->answers->ks;
	unsigned partition = key_partition_of_ref(ks, v->ref);
	char key[KEY_MAX];
	struct redis_cmd cmd;

	key_part_of(ks, partition, "plan", v->link.plan, key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "HMGET");
	redis_arg(&cmd, key);
	redis_arg(&cmd, "state");
	redis_arg(&cmd, "strategy");
	redis_arg(&cmd, "reason");
	batch_add(v->batch, &cmd, on_plan, 0);
	key_part_of(ks, partition, "run", v->ref, key);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "HMGET");
	redis_arg(&cmd, key);
	redis_arg(&cmd, "repo");
	redis_arg(&cmd, "pipeline");
	redis_arg(&cmd, "branch");
	batch_add(v->batch, &cmd, on_run, 0);
}

static void begin(struct answers *a, struct http_request *req, const struct approve_link *link)
{
	const char *colon = strrchr(link->plan, ':');
	struct approve answer;
	struct visit *v;

	if (a->open >= OPEN_MAX) {
		http_reply_header(req, "Retry-After", "1");
		reply_page(req, 503, "Too many requests wait for Redis.", NULL, NULL);
		return;
	}
	v = xcalloc(1, sizeof(*v));
	v->answers = a;
	v->req = req;
	v->link = *link;
	a->open++;
	/* A plan is named after its run. */
	(void)text_copy(v->ref, sizeof(v->ref), link->plan,
			colon ? (size_t)(colon - link->plan) : strlen(link->plan));
	(void)snprintf(v->who, sizeof(v->who), "a link of channel %s", link->channel);
	v->batch = batch_new(a->batches, a->redis, done, release, v);
	ask(v);
	if (strcmp(req->method, "POST") != 0)
		return;
	approve_cmd(&answer, a->ks, v->ref, link->plan, v->who, link->approve);
	batch_add_script(v->batch, &approve_script, &answer.cmd, on_answered, 0);
}

void answer_handle(struct answers *a, struct http_request *req)
{
	struct approve_link link;

	if (!conf_secret(a->conf, "approve.key", 0)) {
		reply_page(req, 404, "No links are made here: approve.key is not set.", NULL, NULL);
		return;
	}
	switch (approve_link_read(a->conf, req, clock_wall_ms() / 1000, &link)) {
	case APPROVE_LINK_GOOD:
		begin(a, req, &link);
		return;
	case APPROVE_LINK_EXPIRED:
		reply_page(req, 410, "This link has expired. Answer on the page.", NULL, NULL);
		return;
	case APPROVE_LINK_WRONG:
		metrics_add("security_violations_total", "reason=\"answer_link\"", 1);
		reply_page(req, 403, "This link is not whole, or not one of ours.", NULL, NULL);
		return;
	}
}

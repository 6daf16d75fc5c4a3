/*
 * A token of the pipeline has expired. Whoever looks after it is asked to renew it, by a signed
 * request to an address of the operator's; then what failed runs again. Our own tokens are no
 * matter of this: those of an App are renewed by github_auth.c.
 */
#include "healers/healer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/finding.h"
#include "core/http_client.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/standard_webhooks.h"
#include "core/text.h"
#include "healers/healer_calls.h"
#include "healers/refresh_credentials.h"

enum { SIGNATURES_MAX = 5, ANSWER_MAX = 16 << 10, ID_MAX = 200 };

/* The scratch of the re-run comes first. */
struct state {
	struct healer_calls calls;
	struct http_call *hook;
};

bool refresh_credentials_configured(const struct conf *conf)
{
	return conf_secret(conf, "heal.refresh_url", 0) != NULL;
}

int refresh_credentials_check(const struct conf *conf, struct err *err)
{
	const char *url = conf_secret(conf, "heal.refresh_url", 0);
	const char *secret = conf_secret(conf, "heal.refresh_secret", 0);
	struct http_origin origin;
	struct err why;

	if (!url && !secret)
		return 0;
	if (!url || !secret)
		return err_set(err, ERR_CONFIG,
			       "heal.refresh_url and heal.refresh_secret belong together: the "
			       "request is signed");
	/* The address may hold a key, so it is not quoted. */
	if (http_origin_of(url, &origin, &why) < 0 || (!origin.tls && !origin.loopback))
		return err_set(err, ERR_CONFIG,
			       "heal.refresh_url is an https address; plain http only on loopback");
	for (size_t i = 0; i < SIGNATURES_MAX; i++) {
		secret = conf_secret(conf, "heal.refresh_secret", i);
		if (secret && standard_webhooks_check(secret, &why) < 0)
			return err_set(err, ERR_CONFIG, "heal.refresh_secret: %s", why.msg);
	}
	return 0;
}

static void on_answer(const struct http_reply *r, void *arg)
{
	struct attempt *at = arg;
	struct state *s = at->state;
	struct err err;
	char why[160];
	int status = r->status;

	s->hook = NULL;
	if (status / 100 == 2) {
		if (healer_calls_start(at, &err) < 0)
			at->done(at, HEAL_PERMFAIL, -1, err.msg);
		return;
	}
	if (status)
		(void)snprintf(why, sizeof(why), "not renewed: the hook answered %d", status);
	else
		(void)snprintf(why, sizeof(why), "not renewed: %.120s", r->error);
	if (!status || status == 408 || status == 425 || status == 429 || status >= 500)
		at->done(at, HEAL_TEMPFAIL, r->retry_after_ms, why);
	else
		at->done(at, HEAL_PERMFAIL, -1, why);
}

static struct json_object *request_of(const struct attempt *at)
{
	struct json_object *o = json_object_new_object(), *data = json_object_new_object();
	const struct finding *f = at->finding;
	char now[25];

	text_from_ms(now, clock_wall_ms());
	json_add_str(o, "type", "pipeline_guard.refresh_credentials");
	json_add_str(o, "timestamp", now);
	json_add_str(data, "provider", at->provider->name);
	json_add_str(data, "repo", at->run.repo);
	json_add_i64(data, "repo_id", (int64_t)at->run.repo_id);
	json_add_i64(data, "run_id", (int64_t)at->run.run_id);
	json_add_i64(data, "generation", (int64_t)at->run.generation);
	json_add_str(data, "pipeline", at->pipeline);
	json_add_str(data, "branch", at->branch);
	json_add_str(data, "url", at->url);
	if (f) {
		json_add_str(data, "category", f->category);
		json_add_str(data, "subcategory", f->subcategory);
		json_add_str(data, "rule", f->rule);
		json_add_str(data, "fingerprint", f->fingerprint);
	}
	json_add(o, "data", data);
	return o;
}

/* By each secret of a rotation, one after the other. NULL: none of them can sign. */
static char *signatures_of(const struct conf *conf, const char *id, int64_t now_s, const char *body)
{
	char *all = NULL;

	for (size_t i = 0; i < SIGNATURES_MAX; i++) {
		const char *secret = conf_secret(conf, "heal.refresh_secret", i);
		OWNED(freep) char *one = NULL;
		char *more;
		struct err err;

		if (!secret ||
		    standard_webhooks_sign(secret, id, now_s, body, strlen(body), &one, &err) < 0)
			continue;
		more = xasprintf("%s%s%s", all ? all : "webhook-signature: ", all ? " " : "", one);
		free(all);
		all = more;
	}
	return all;
}

/* One name for all tries of a plan, so that the other side can tell them from a second wish. */
static int start(struct attempt *at, struct err *err)
{
	OWNED(json_putp) struct json_object *o = NULL;
	OWNED(freep) char *signatures = NULL;
	const char *body;
	char id[ID_MAX], id_line[ID_MAX + 16], time_line[48];
	int64_t now_s = clock_wall_ms() / 1000;
	struct state *s = at->state;
	struct http_call_options opt = { .method = "POST" };

	if (!refresh_credentials_configured(at->conf))
		return err_set(err, ERR_CONFIG,
			       "heal.refresh_url is not set: nobody is known who could renew them");
	if (refresh_credentials_check(at->conf, err) < 0)
		return -1;
	o = request_of(at);
	body = json_text(o);
	(void)snprintf(id, sizeof(id), "refresh_%.20s_%" PRIu64 "_%" PRIu64 "_%" PRIu64,
		       at->provider->name, at->run.repo_id, at->run.run_id, at->run.generation);
	signatures = signatures_of(at->conf, id, now_s, body);
	(void)snprintf(id_line, sizeof(id_line), "webhook-id: %s", id);
	(void)snprintf(time_line, sizeof(time_line), "webhook-timestamp: %" PRId64, now_s);
	opt.url = conf_secret(at->conf, "heal.refresh_url", 0);
	opt.headers[0] = "Content-Type: application/json";
	opt.headers[1] = id_line;
	opt.headers[2] = time_line;
	opt.headers[3] = signatures;
	opt.body = body;
	opt.body_len = strlen(body);
	opt.timeout_ms = conf_int(at->conf, "heal.refresh_timeout");
	opt.max_body_bytes = ANSWER_MAX;
	opt.keep_tail = true;
	s->hook = http_call_start(at->http, &opt, on_answer, at);
	return 0;
}

static void cancel(struct attempt *at)
{
	struct state *s = at->state;

	http_call_cancel(s->hook);
	s->hook = NULL;
	healer_calls_cancel(at);
}

/* What somebody may not do, or a key that was never there, no renewal changes. */
static const struct heal_target targets[] = {
	{ "auth_failure", "token", 0.6 }, { "auth_failure", "registry", 0.5 },
	{ "auth_failure", "cloud", 0.5 }, { "auth_failure", "http", 0.4 },
	{ "auth_failure", "git", 0.4 },   { NULL, NULL, 0 },
};

const struct healer healer_refresh_credentials = {
	.name = "refresh_credentials",
	.summary = "Has the credentials of the pipeline renewed, then runs the failed jobs once "
		   "more.",
	.risk = RISK_RETRY,
	.targets = targets,
	.wants_hook = true,
	.because = "may pass with credentials that were renewed",
	.calls = { HEALER_CALL(rerun_failed_jobs) },
	.did = "the credentials were renewed, and the failed jobs run again",
	.acts_on_provider = true,
	.awaits = true,
	.scopes = "actions: write",
	.state_size = sizeof(struct state),
	.start = start,
	.cancel = cancel,
};

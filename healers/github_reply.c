#include "healers/github_reply.h"

#include <string.h>

#include "core/http_client.h"
#include "core/json.h"
#include "core/text.h"
#include "healers/api_core.h"

enum { MESSAGE_MAX = 90 };

struct complaint {
	char message[MESSAGE_MAX + 1];
	char about[200]; /* documentation_url */
};

static void read_complaint(const struct http_reply *r, struct complaint *out)
{
	OWNED(json_putp) struct json_object *o = NULL;
	struct err err;
	const char *message, *about;

	*out = (struct complaint){ 0 };
	if (json_parse(r->body, r->body_len, &o, &err) < 0)
		return;
	message = json_str(o, "message", "");
	/* "Validation Failed" says less than what failed. */
	if (r->status == 422)
		message = json_str(o, "errors.0.message", message);
	about = json_str(o, "documentation_url", "");
	(void)text_copy(out->message, sizeof(out->message), message, strlen(message));
	(void)text_copy(out->about, sizeof(out->about), about, strlen(about));
}

static bool says_limited(const struct complaint *c)
{
	static const char *const words[] = { "rate limit", "abuse detection" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasestr(c->message, words[i]))
			return true;
	return text_ends(c->about, "secondary-rate-limits") ||
	       text_ends(c->about, "#abuse-rate-limits");
}

/* 403 means five things; the order is from the most to the least certain. */
static void judge_forbidden(const struct http_reply *r, const struct github_ask *ask,
			    int64_t now_ms, struct api_result *out)
{
	struct complaint c;

	read_complaint(r, &c);
	if (r->status == 403 && strcasestr(c.message, "already running")) {
		api_say(out, API_WAIT, r->status, -1, "the run is already running again");
		return;
	}
	if (r->status == 429 || r->retry_after_ms >= 0 || r->rate_remaining == 0 ||
	    says_limited(&c)) {
		api_postpone(out, r->status, api_limit_pause(r, now_ms), "%d: rate limit of %s",
			     r->status, ask->host);
		return;
	}
	if (strcasestr(c.message, "month") || strcasestr(c.message, "too old"))
		api_refuse(out, r->status,
			   "403: the run is too old, GitHub keeps runs re-runnable "
			   "for a month");
	else if (strcasestr(c.message, "saml"))
		api_refuse(out, r->status,
			   "403: the token is not authorised for the organisation's "
			   "single sign-on: authorise it in the token's settings");
	else if (!c.message[0] || strcasestr(c.message, "not accessible") ||
		 strcasestr(c.message, "admin rights"))
		api_refuse(out, r->status, "403: the token lacks %s on %s", ask->need, ask->repo);
	else
		api_refuse(out, r->status, "403: %s (needs %s on %s)", c.message, ask->need,
			   ask->repo);
}

static void judge_refusal(const struct http_reply *r, const struct github_ask *ask,
			  struct api_result *out)
{
	struct complaint c;

	read_complaint(r, &c);
	if (r->status == 401)
		api_refuse(out, r->status,
			   "401: %s does not know this token: it is wrong, expired or revoked",
			   ask->host);
	else if (r->status == 404)
		api_refuse(out, r->status,
			   "404: not there, or hidden from this token: it needs %s on %s",
			   ask->need, ask->repo);
	else if (r->status == 410)
		api_refuse(out, r->status, "410: gone for good: expired, or deleted");
	else
		api_refuse(out, r->status, "%d: %s", r->status,
			   c.message[0] ? c.message : "an answer we do not expect");
}

void github_reply_judge(const struct http_reply *r, const struct github_ask *ask, int64_t now_ms,
			struct api_result *out)
{
	int s = r->status;

	if (!s) {
		api_postpone(out, r->status, -1, "no answer from %s: %s", ask->host,
			     r->error ? r->error : "?");
	} else if (r->error) {
		api_refuse(out, r->status, "%d: %s", s, r->error);
	} else if (s >= 200 && s < 300) {
		api_say(out, API_OK, s, -1, "%s", "");
	} else if (s >= 300 && s < 400) {
		api_refuse(out, r->status, "%d: unexpected redirect: check github.api_url", s);
	} else if (s == 403 || s == 429) {
		judge_forbidden(r, ask, now_ms, out);
	} else if (s == 408 || s >= 500) {
		api_postpone(out, s, r->retry_after_ms, "%d: %s is in trouble", s, ask->host);
	} else {
		judge_refusal(r, ask, out);
	}
}

#include "dispatcher/notify.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/net_scope.h"
#include "core/standard_webhooks.h"
#include "core/text.h"
#include "dispatcher/knowledge.h"
#include "dispatcher/notify_text.h"
#include "dispatcher/record.h"
#include "healers/provider_api.h"

enum {
	CHANNELS_MAX = 16,
	KEY_BYTES = 96,
	LIST_ITEM_MAX = 200,
	EVIDENCE_SHOWN = 4,
	TESTS_KEPT = 10,
	ANSWER_MAX = 4096,
};

static const char section[] = "notify";

/* --- options -------------------------------------------------------------------------- */

static const struct conf_option channel_options[] = {
	{ "type", CONF_STR, NULL, NULL, NULL,
	  "slack, teams, generic or run; may be left out when NAME is one of these." },
	{ "url", CONF_SECRET, NULL, NULL, NULL,
	  "Address of the incoming webhook; whoever knows it can write there. Plain http only on "
	  "loopback." },
	{ "private", CONF_BOOL, "false", NULL, NULL,
	  "The address may lead into your own network, or through the proxy of the environment; "
	  "without it only public addresses are connected to, directly." },
	{ "secret", CONF_SECRET, NULL, NULL, NULL,
	  "generic: key that messages are signed with (whsec_...); with several, by each." },
	{ "events", CONF_STR, "needs_person, healed", NULL, NULL,
	  "What is told: a list of needs_person, all, and single words such as healed, suggested, "
	  "escalated, incident." },
	{ "repos", CONF_STR, NULL, NULL, NULL,
	  "Only of these repositories: a list of patterns with *, !PATTERN excludes; default: "
	  "all." },
	{ "min_severity", CONF_STR, "info", NULL, NULL,
	  "Least severity: info, warning, critical." },
	{ "approve_links", CONF_BOOL, "true", NULL, NULL,
	  "slack, teams, generic: messages about suggestions have links that approve or reject; "
	  "whoever reads the channel can use them. It takes approve.key and "
	  "notifications.page_url." },
	{ "locale", CONF_STR, NULL, NULL, NULL, "Language, en or de; default: that of `locale`." },
	{ "digest", CONF_DURATION, "0s", "0s", "7d",
	  "Collect messages for so long and send them as one; 0s: each by itself." },
	{ "per_minute", CONF_INT, "10", "1", "600",
	  "Most messages a minute; what comes beyond follows as one." },
	{ "timeout", CONF_DURATION, "10s", "100ms", "30s", "How long an answer may take." },
};

static int check_language(const char *text, struct err *err)
{
	unsigned language;

	return notify_language(text, &language)
		       ? 0
		       : err_set(err, ERR_CONFIG, "\"%.20s\" is neither en nor de", text);
}

static int check_severity(const char *text, struct err *err)
{
	enum notify_severity severity;

	return notify_severity_find(text, &severity)
		       ? 0
		       : err_set(err, ERR_CONFIG, "\"%.20s\" is none of info, warning, critical",
				 text);
}

static const struct notify_type *const types[] = { &notify_slack, &notify_teams, &notify_generic,
						   &notify_run };

static const struct notify_type *type_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strcmp(types[i]->name, name) == 0)
			return types[i];
	return NULL;
}

static int check_type(const char *text, struct err *err)
{
	return type_find(text) ? 0
			       : err_set(err, ERR_CONFIG,
					 "\"%.20s\" is none of slack, teams, generic, run", text);
}

/* Never quotes it. */
static int check_url(const char *text, struct err *err)
{
	struct http_origin origin;

	if (http_origin_of(text, &origin, err) < 0) {
		err->kind = ERR_CONFIG;
		return -1;
	}
	if (!origin.tls && !origin.loopback)
		return err_set(err, ERR_CONFIG, "plain http is only for loopback: use https");
	return 0;
}

/* Items are separated by commas and spaces. False past the last. */
static bool next_item(const char **list, char item[static LIST_ITEM_MAX])
{
	const char *p = *list + strspn(*list, ", ");
	size_t n = strcspn(p, ", ");

	(void)text_copy(item, LIST_ITEM_MAX, p, n);
	*list = p + n;
	return n > 0;
}

static int check_events(const char *text, struct err *err)
{
	char item[LIST_ITEM_MAX];

	while (next_item(&text, item))
		if (strcmp(item, "needs_person") != 0 && strcmp(item, "all") != 0 &&
		    !notify_word_find(item))
			return err_set(err, ERR_CONFIG,
				       "\"%.40s\" is nothing that is told; docs/notifications.md "
				       "has the list",
				       item);
	return 0;
}

static int check_option(const char *key, const char *text, struct err *err)
{
	static const struct {
		const char *key;
		int (*check)(const char *text, struct err *err);
	} rows[] = {
		{ "type", check_type },
		{ "url", check_url },
		{ "secret", standard_webhooks_check },
		{ "events", check_events },
		{ "min_severity", check_severity },
		{ "locale", check_language },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].key, key) == 0)
			return rows[i].check(text, err);
	return 0;
}

const struct conf_table notify_conf = {
	.title = "Channels of notifications",
	.options = channel_options,
	.n = ARRAY_LEN(channel_options),
	.section = section,
	.check = check_option,
};

static const struct conf_option common_options[] = {
	{ "notifications.page_url", CONF_STR, NULL, NULL, NULL,
	  "Address of the status page as people reach it: where the button of a message leads." },
	{ "notifications.give_up", CONF_DURATION, "6h", "1s", "7d",
	  "Age at which a message that a channel does not take is a dead letter." },
};

static int check_common(const char *key, const char *text, struct err *err)
{
	struct http_origin origin;

	if (strcmp(key, "notifications.page_url") != 0 || http_origin_of(text, &origin, err) == 0)
		return 0;
	err->kind = ERR_CONFIG;
	return -1;
}

const struct conf_table notifications_conf = {
	.title = "Notifications",
	.options = common_options,
	.n = ARRAY_LEN(common_options),
	.check = check_common,
};

/* --- channels ------------------------------------------------------------------------- */

struct channel {
	struct notify_channel shown;
	enum notify_severity least;
	struct knowledge *knowledge;
};

struct notify {
	const struct conf *conf;
	struct channel channels[CHANNELS_MAX];
	size_t n;
	const char *page_url;
};

static const char *key_of(const char *name, const char *key, char out[static KEY_BYTES])
{
	(void)snprintf(out, KEY_BYTES, "%s.%s.%s", section, name, key);
	return out;
}

static const struct channel *channel_of(const struct notify *n, const struct notify_channel *c)
{
	for (size_t i = 0; i < n->n; i++)
		if (&n->channels[i].shown == c)
			return &n->channels[i];
	abort();
}

const char *notify_option(const struct notify *n, const struct notify_channel *c, const char *key)
{
	char path[KEY_BYTES];
	const char *text = conf_str(n->conf, key_of(c->name, key, path));

	return text ? text : "";
}

static const char *url_of(const struct notify *n, const struct notify_channel *c)
{
	char path[KEY_BYTES];

	return conf_secret(n->conf, key_of(c->name, "url", path), 0);
}

static const char *secret_of(const struct notify *n, const struct notify_channel *c, size_t i)
{
	char path[KEY_BYTES];

	return conf_secret(n->conf, key_of(c->name, "secret", path), i);
}

static const char *locale_of(const struct notify *n, const struct notify_channel *c)
{
	const char *locale = notify_option(n, c, "locale");

	return *locale ? locale : conf_str(n->conf, "locale");
}

static int load_knowledge(const struct notify *n, const struct notify_channel *c,
			  struct knowledge **out, struct err *err)
{
	return knowledge_load(conf_str(n->conf, "knowledge_dir"), locale_of(n, c), out, err);
}

static bool any_provider(const struct conf *conf)
{
	for (size_t i = 0; provider_apis[i]; i++)
		if (provider_apis[i]->show && provider_apis[i]->configured(conf))
			return true;
	return false;
}

static int open_channel(struct notify *n, const char *name, struct err *err)
{
	struct channel *c = &n->channels[n->n++];
	char path[KEY_BYTES];
	const char *type;

	c->shown.name = name;
	type = notify_option(n, &c->shown, "type");
	c->shown.type = type_find(*type ? type : name);
	if (!c->shown.type)
		return err_set(err, ERR_CONFIG,
			       "notify.%s.type: set it to slack, teams, generic or run", name);
	if (c->shown.type->on_run && !any_provider(n->conf))
		return err_set(err, ERR_CONFIG,
			       "notify.%s: there is no provider to show it: none is configured",
			       name);
	if (!c->shown.type->on_run && !url_of(n, &c->shown))
		return err_set(err, ERR_CONFIG, "notify.%s.url is not set", name);
	if (c->shown.type->signs && !secret_of(n, &c->shown, 0))
		return err_set(err, ERR_CONFIG,
			       "notify.%s.secret is not set: messages of this type are signed",
			       name);
	(void)notify_severity_find(notify_option(n, &c->shown, "min_severity"), &c->least);
	(void)notify_language(locale_of(n, &c->shown), &c->shown.language);
	c->shown.digest_ms = conf_int(n->conf, key_of(name, "digest", path));
	c->shown.per_minute = conf_int(n->conf, key_of(name, "per_minute", path));
	/* Whoever sees a run could use them. */
	c->shown.approve_links =
		!c->shown.type->on_run && conf_bool(n->conf, key_of(name, "approve_links", path));
	c->shown.timeout_ms = conf_int(n->conf, key_of(name, "timeout", path));
	return load_knowledge(n, &c->shown, &c->knowledge, err);
}

int notify_new(const struct conf *conf, struct notify **out, struct err *err)
{
	OWNED(notify_freep) struct notify *n = xcalloc(1, sizeof(*n));
	const char *name;

	n->conf = conf;
	n->page_url = conf_str(conf, "notifications.page_url");
	if (!n->page_url)
		n->page_url = "";
	for (size_t i = 0; (name = conf_section_name(conf, section, i)); i++) {
		if (n->n == CHANNELS_MAX)
			return err_set(err, ERR_CONFIG, "%s: more than %d channels", section,
				       CHANNELS_MAX);
		if (open_channel(n, name, err) < 0)
			return -1;
	}
	*out = TAKE(n);
	return 0;
}

void notify_free(struct notify *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->n; i++)
		knowledge_free(n->channels[i].knowledge);
	free(n);
}

int notify_reload(struct notify *n, struct err *err)
{
	struct knowledge *fresh[CHANNELS_MAX] = { NULL };
	size_t read = 0;
	int rc = 0;

	while (rc == 0 && read < n->n) {
		rc = load_knowledge(n, &n->channels[read].shown, &fresh[read], err);
		read += rc == 0;
	}
	for (size_t i = 0; i < read; i++) {
		struct knowledge **old = &n->channels[i].knowledge;

		knowledge_free(rc == 0 ? *old : fresh[i]);
		if (rc == 0)
			*old = fresh[i];
	}
	return rc;
}

const struct notify_channel *notify_channel_at(const struct notify *n, size_t i)
{
	return i < n->n ? &n->channels[i].shown : NULL;
}

const struct notify_channel *notify_channel_find(const struct notify *n, const char *name)
{
	for (size_t i = 0; i < n->n; i++)
		if (strcmp(n->channels[i].shown.name, name) == 0)
			return &n->channels[i].shown;
	return NULL;
}

int64_t notify_give_up_ms(const struct notify *n)
{
	return conf_int(n->conf, "notifications.give_up");
}

static bool events_have(const char *list, const struct notify_word *w)
{
	char item[LIST_ITEM_MAX];

	while (next_item(&list, item))
		if (strcmp(item, "all") == 0 || strcmp(item, w->word) == 0 ||
		    (w->person && strcmp(item, "needs_person") == 0))
			return true;
	return false;
}

static bool repos_have(const char *list, const char *repo)
{
	char item[LIST_ITEM_MAX];
	bool any = false, wanted = false;

	while (next_item(&list, item)) {
		bool excludes = *item == '!';
		bool fits = fnmatch(item + excludes, repo, FNM_CASEFOLD) == 0;

		if (excludes && fits)
			return false;
		any = any || !excludes;
		wanted = wanted || (!excludes && fits);
	}
	return wanted || !any;
}

bool notify_channel_wants(const struct notify *n, const struct notify_channel *c, const char *word,
			  const char *repo)
{
	const struct notify_word *w = notify_word_find(word);
	const struct notify_word *lead = w ? notify_word_lead(w) : NULL;
	const char *events = notify_option(n, c, "events");

	return w && lead->severity >= channel_of(n, c)->least &&
	       (events_have(events, w) || events_have(events, lead)) &&
	       (!*repo || repos_have(notify_option(n, c, "repos"), repo));
}

bool notify_wants(const struct notify *n, const char *word, const char *repo)
{
	for (size_t i = 0; i < n->n; i++)
		if (notify_channel_wants(n, &n->channels[i].shown, word, repo))
			return true;
	return false;
}

void notify_host(const struct notify *n, const struct notify_channel *c, char out[static 256])
{
	const char *url = url_of(n, c);
	struct http_origin origin = { .host = "" };
	struct err err;

	if (url && http_origin_of(url, &origin, &err) < 0)
		origin.host[0] = '\0';
	(void)text_copy(out, 256, origin.host, strlen(origin.host));
}

/* --- notices -------------------------------------------------------------------------- */

/* The first of a list, each of them a new reference. */
static struct json_object *first_of(struct json_object *list, size_t max)
{
	struct json_object *out = json_object_new_array();
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n && i < max; i++)
		json_object_array_add(out, json_object_get(json_object_array_get_idx(list, i)));
	return out;
}

static void add_finding(struct json_object *o, const char *text)
{
	OWNED(json_putp) struct json_object *finding = NULL;
	struct json_object *tests;
	struct err err;

	if (!*text || json_parse(text, strlen(text), &finding, &err) < 0)
		return;
	tests = json_at(finding, "failed_tests");
	json_add_str(o, "category", json_str(finding, "category", NULL));
	json_add_str(o, "subcategory", json_str(finding, "subcategory", ""));
	json_add_str(o, "title", json_str(finding, "title", ""));
	json_add_num(o, "confidence", json_num(finding, "confidence", 0));
	json_add_str(o, "job", json_str(finding, "job", NULL));
	json_add(o, "evidence", first_of(json_at(finding, "evidence"), EVIDENCE_SHOWN));
	json_add(o, "failed_tests", first_of(tests, TESTS_KEPT));
	if (json_object_is_type(tests, json_type_array))
		json_add_i64(o, "failed_tests_count", (int64_t)json_object_array_length(tests));
}

struct json_object *notify_notice(const struct run *r, const struct plan *p, const char *word,
				  int64_t now_ms)
{
	struct json_object *o = json_object_new_object();

	json_add_i64(o, "v", 1);
	json_add_str(o, "word", word);
	json_add_str(o, "plan", p->id);
	json_add_str(o, "run", p->run);
	json_add_str(o, "provider", r->provider);
	json_add_str(o, "source", r->source);
	json_add_str(o, "repo", r->repo);
	json_add_i64(o, "repo_id", (int64_t)r->repo_id);
	if (r->run_id)
		json_add_i64(o, "run_id", (int64_t)r->run_id);
	if (r->installation)
		json_add_i64(o, "installation", (int64_t)r->installation);
	if (r->merge_request)
		json_add_i64(o, "merge_request", (int64_t)r->merge_request);
	json_add_str(o, "pipeline", r->pipeline);
	json_add_str(o, "branch", r->branch);
	json_add_str(o, "sha", r->sha);
	json_add_str(o, "url", r->url);
	json_add_str(o, "category", p->category);
	/* Of a re-run that failed, too: that is what a person has to look at. */
	if (r->finding_generation >= p->generation)
		add_finding(o, r->finding);
	json_add_str(o, "strategy", p->strategy);
	json_add_str(o, "detail", *p->detail ? p->detail : p->reason);
	if (*p->proposal)
		json_add_str(o, "proposal", p->proposal);
	json_add_i64(o, "at_ms", now_ms);
	return o;
}

struct json_object *notify_sample(int64_t now_ms)
{
	static const char finding[] =
		"{\"subcategory\":\"dns\",\"title\":\"A host name could not be resolved\","
		"\"confidence\":0.9,\"evidence\":[{\"line\":212,\"text\":\"npm ERR! getaddrinfo "
		"EAI_AGAIN registry.example.com\"}],\"failed_tests\":[]}";
	const struct run r = {
		.provider = "github",
		.source = "github",
		.repo = "example/shop",
		.pipeline = "build",
		.branch = "main",
		.sha = "",
		.url = "https://ci.example.com/example/shop/runs/1",
		.finding = finding,
	};
	const struct plan p = {
		.proposal = "",
		.id = "github:1:1:1",
		.run = "github:1:1",
		.category = "network_failure",
		.strategy = "rerun_failed_jobs",
		.detail = "nothing failed: somebody ran `pipeline-guard notify test`",
		.reason = "",
	};

	return notify_notice(&r, &p, "test", now_ms);
}

/* --- sending -------------------------------------------------------------------------- */

/* By each secret, so that the receiver may take its time with a new one. */
static char *signatures(const struct notify *n, const struct notify_channel *c, const char *id,
			int64_t now_s, const char *body)
{
	OWNED(buf_done) struct buf all;
	const char *secret;
	struct err err;

	buf_init(&all, ANSWER_MAX);
	for (size_t i = 0; (secret = secret_of(n, c, i)); i++) {
		OWNED(freep) char *one = NULL;

		/* Looked at when it was read. */
		if (standard_webhooks_sign(secret, id, now_s, body, strlen(body), &one, &err) == 0)
			buf_printf(&all, "%s%s", all.len ? " " : "", one);
	}
	return xstrdup(buf_text(&all));
}

struct json_object *notify_format(const struct notify *n, const struct notify_channel *c,
				  struct json_object *const *notices, size_t count, uint64_t more)
{
	const struct notify_view view = {
		.language = c->language,
		.knowledge = channel_of(n, c)->knowledge,
		.page_url = n->page_url,
		.channel = c->name,
		.link_key = c->approve_links ? conf_secret(n->conf, "approve.key", 0) : NULL,
		.link_valid_ms = conf_int(n->conf, "approve.links_valid"),
		.buttons = conf_bool(n->conf, "approve.buttons"),
		.notices = notices,
		.n = count,
		.more = more,
		.at_ms = clock_wall_ms(),
	};

	return c->type->format(&view);
}

/*
 * Who can set a channel, or the name server it is looked up with, must not make us talk to what is
 * inside. What is spelled as loopback was meant.
 */
static bool may_go_inside(const struct notify *n, const struct notify_channel *c, const char *url)
{
	struct http_origin origin;
	char path[KEY_BYTES];
	struct err err;

	return conf_bool(n->conf, key_of(c->name, "private", path)) ||
	       (http_origin_of(url, &origin, &err) == 0 && origin.loopback);
}

struct http_call *notify_send(const struct notify *n, const struct notify_channel *c,
			      struct http_client *http, struct json_object *const *notices,
			      size_t count, uint64_t more, const char *id, http_done_fn *fn,
			      void *arg)
{
	OWNED(json_putp) struct json_object *o = notify_format(n, c, notices, count, more);
	OWNED(freep) char *signature = NULL;
	OWNED(freep) char *signature_line = NULL;
	char id_line[64], time_line[48];
	const char *url = url_of(n, c), *body = json_text(o);
	int64_t now_s = clock_wall_ms() / 1000;
	struct http_call_options opt = {
		.method = "POST",
		.url = url ? url : "",
		.headers = { "Content-Type: application/json" },
		.body = body,
		.body_len = strlen(body),
		.timeout_ms = c->timeout_ms,
		.max_body_bytes = ANSWER_MAX,
		.keep_tail = true,
	};

	if (!may_go_inside(n, c, opt.url))
		opt.may_connect = net_is_public;
	if (c->type->signs) {
		signature = signatures(n, c, id, now_s, body);
		signature_line = xasprintf("webhook-signature: %s", signature);
		(void)snprintf(id_line, sizeof(id_line), "webhook-id: %s", id);
		(void)snprintf(time_line, sizeof(time_line), "webhook-timestamp: %" PRId64, now_s);
		opt.headers[1] = id_line;
		opt.headers[2] = time_line;
		opt.headers[3] = signature_line;
	}
	return http_call_start(http, &opt, fn, arg);
}

/* "no_service", "invalid_blocks": only if it can hold nothing of an address. */
static bool is_plain_word(const char *body)
{
	size_t n = strspn(body, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_ ");

	return n > 0 && n <= 60 && !body[n];
}

enum notify_fate notify_judge(const struct http_reply *reply, char why[static 160])
{
	int status = reply->status;

	if (status == 0) {
		(void)snprintf(why, 160, "no answer: %.120s", reply->error ? reply->error : "");
		return NOTIFY_RETRY;
	}
	(void)snprintf(why, 160, "answered %d%s%s", status, is_plain_word(reply->body) ? ": " : "",
		       is_plain_word(reply->body) ? reply->body : "");
	if (status / 100 == 2)
		return NOTIFY_DELIVERED;
	if (status / 100 == 3)
		(void)snprintf(why, 160,
			       "answered %d: a redirect is not followed, the address is "
			       "another one now",
			       status);
	return status == 408 || status == 425 || status == 429 || status >= 500 ? NOTIFY_RETRY
										: NOTIFY_REFUSED;
}

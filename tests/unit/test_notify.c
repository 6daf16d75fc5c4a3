/* What channels are sent: whole bodies, and that a stranger's text does nothing in them. */
#include "dispatcher/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/settings.h"
#include "dispatcher/notify_text.h"
#include "dispatcher/record.h"
#include "unit.h"

/* Everything a log, a branch or a test can try, and what must not come of it. */
#define HOSTILE                                                                            \
	"<!channel> @here <@U123> `code` *b* [x](http://evil.test) <b>hi</b> \033[31mred " \
	"\xe2\x80\xae"                                                                     \
	"txt"

static const struct conf_table *const tables[] = { &settings_conf, &provider_api_conf,
						   &notifications_conf, &notify_conf };

static struct json_object *notice_of(const char *word, const char *text)
{
	OWNED(json_putp) struct json_object *finding = json_object_new_object();
	struct json_object *list = json_object_new_array(), *line = json_object_new_object();
	struct json_object *tests = json_object_new_array();
	struct run r = {
		.provider = "github",
		.source = "github",
		.repo = text,
		.repo_id = 1,
		.installation = 9,
		.pipeline = text,
		.branch = text,
		.sha = "",
		.url = "https://ci.test/runs/1",
	};
	struct plan p = {
		.proposal = "",
		.id = "github:1:2:3",
		.run = "github:1:2",
		.category = "network_failure",
		.strategy = "rerun_failed_jobs",
		.detail = text,
		.reason = "",
	};

	json_add_str(line, "text", text);
	json_add_i64(line, "line", 7);
	json_object_array_add(list, line);
	json_object_array_add(tests, json_object_new_string(text));
	json_add_str(finding, "category", "network_failure");
	json_add_str(finding, "subcategory", "dns");
	json_add_num(finding, "confidence", 0.9);
	json_add_str(finding, "title", text);
	json_add(finding, "evidence", list);
	json_add(finding, "failed_tests", tests);
	r.finding = json_text(finding);
	return notify_notice(&r, &p, word, 1700000000000);
}

static char *body_of(const struct notify_type *type, struct json_object *const *notices, size_t n,
		     unsigned language)
{
	const struct notify_view v = {
		.language = language,
		.page_url = "https://guard.test/",
		.notices = notices,
		.n = n,
		.more = n > 1 ? 4 : 0,
		.at_ms = 1700000000000,
	};
	OWNED(json_putp) struct json_object *o = type->format(&v);

	return xstrdup(json_text(o));
}

/* As the same JSON, whatever its layout. */
static void same_as_file(const char *body, const char *name)
{
	OWNED(json_putp) struct json_object *want = NULL, *got = json_tokener_parse(body);
	char path[120];

	(void)snprintf(path, sizeof(path), "tests/unit/notifications/%s", name);
	want = json_object_from_file(path);
	if (want && json_object_equal(want, got))
		return;
	/* Longer than cmocka's messages may be. */
	fprintf(stderr, "%s\n",
		json_object_to_json_string_ext(got, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
	fail_msg("%s is not what is sent", path);
}

static char *body_of_one(const struct notify_type *type, const char *word, const char *text,
			 unsigned language)
{
	OWNED(json_putp) struct json_object *notice = notice_of(word, text);

	return body_of(type, &notice, 1, language);
}

/* Whole bodies, as files that a person can read and paste into a preview. */
static void a_channel_gets_this(void **state)
{
	static const struct {
		const struct notify_type *type;
		const char *word;
		unsigned language;
		const char *file;
	} rows[] = {
		{ &notify_slack, "escalated", NOTIFY_ENGLISH, "slack.json" },
		{ &notify_slack, "healed", NOTIFY_GERMAN, "slack_de.json" },
		{ &notify_teams, "suggested", NOTIFY_ENGLISH, "teams.json" },
		{ &notify_teams, "unknown", NOTIFY_GERMAN, "teams_de.json" },
		{ &notify_generic, "healed", NOTIFY_ENGLISH, "generic.json" },
		{ &notify_run, "escalated", NOTIFY_ENGLISH, "run.json" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *body = body_of_one(rows[i].type, rows[i].word, "web-shop", rows[i].language);

		same_as_file(body, rows[i].file);
		free(body);
	}
}

/* One each, for whoever gets the message, and until there is nothing to answer any more. */
static void a_suggestion_has_links_that_answer(void **state)
{
	static const struct {
		const struct notify_type *type;
		const char *key, *page_url;
		int64_t until_ms;
		bool links;
	} rows[] = {
		{ &notify_slack, "a key", "https://guard.test/", 1700000009000, true },
		{ &notify_teams, "a key", "https://guard.test", 1700000009000, true },
		{ &notify_generic, "a key", "https://guard.test", 1700000009000, true },
		{ &notify_slack, NULL, "https://guard.test/", 1700000009000, false },
		{ &notify_slack, "a key", "", 1700000009000, false },
		{ &notify_slack, "a key", "https://guard.test/", 1700000000000, false },
		{ &notify_run, "a key", "https://guard.test/", 1700000009000, false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(json_putp) struct json_object *notice = notice_of("suggested", "shop");
		const struct notify_view v = {
			.page_url = rows[i].page_url,
			.channel = "oncall",
			.link_key = rows[i].key,
			.link_valid_ms = 5000,
			.notices = &notice,
			.n = 1,
			.at_ms = 1700000000000,
		};
		OWNED(json_putp) struct json_object *o = NULL;
		const char *text;

		json_add_i64(notice, "answer_until_ms", rows[i].until_ms);
		o = rows[i].type->format(&v);
		text = json_text(o);
		for (int yes = 0; yes < 2; yes++)
			if (rows[i].links !=
			    (strstr(text,
				    yes ? "https://guard.test/answer?do=approve&channel=oncall"
					  "&plan=github:1:2:3&until=1700000005&mac="
					: "https://guard.test/answer?do=reject&") != NULL))
				fail_msg("%zu: %s", i, text);
	}
}

static void a_digest_is_this(void **state)
{
	static const struct {
		const struct notify_type *type;
		const char *file;
	} rows[] = {
		{ &notify_slack, "slack_digest.json" },
		{ &notify_teams, "teams_digest.json" },
		{ &notify_generic, "generic_digest.json" },
	};
	struct json_object *notices[] = { notice_of("healed", "web-shop"),
					  notice_of("gave_up", "backend") };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *body = body_of(rows[i].type, notices, 2, NOTIFY_ENGLISH);

		same_as_file(body, rows[i].file);
		free(body);
	}
	json_object_put(notices[0]);
	json_object_put(notices[1]);
}

/* Of every text in the body, however deep. */
static void each_text(struct json_object *o, void (*fn)(const char *key, const char *text),
		      const char *key)
{
	if (json_object_is_type(o, json_type_string))
		fn(key, json_object_get_string(o));
	else if (json_object_is_type(o, json_type_array))
		for (size_t i = 0; i < json_object_array_length(o); i++)
			each_text(json_object_array_get_idx(o, i), fn, key);
	else if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, k, value) each_text(value, fn, k);
	}
}

static void shows_no_control(const char *key, const char *text)
{
	UNUSED(key);
	assert_null(strchr(text, '\033'));
	assert_null(strstr(text, "\xe2\x80\xae"));
}

static void slack_notifies_nobody(const char *key, const char *text)
{
	shows_no_control(key, text);
	assert_null(strstr(text, "<!"));
	assert_null(strstr(text, "<@"));
	assert_null(strstr(text, "<b>"));
	assert_null(strstr(text, "@here"));
}

static void markdown_does_nothing(const char *key, const char *text)
{
	shows_no_control(key, text);
	assert_null(strstr(text, "@here"));
	assert_null(strstr(text, "](http"));
	assert_null(strstr(text, " <b>"));
}

/* Hostile text is in elements of type TextRun, which have no markup. */
static void teams_marks_up_our_words_only(struct json_object *card)
{
	struct json_object *body = json_at(card, "attachments.0.content.body");

	for (size_t i = 0; i < json_object_array_length(body); i++) {
		struct json_object *o = json_object_array_get_idx(body, i);

		if (strcmp(json_str(o, "type", ""), "TextBlock") == 0)
			assert_null(strstr(json_str(o, "text", ""), "evil"));
		else
			assert_string_equal(json_str(o, "type", ""), "RichTextBlock");
	}
	each_text(card, shows_no_control, "");
}

static void hostile_text_does_nothing(void **state)
{
	static const struct notify_type *const types[] = { &notify_slack, &notify_teams,
							   &notify_generic, &notify_run };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		OWNED(json_putp) struct json_object *o = NULL;
		struct err err;
		char *body = body_of_one(types[i], "escalated", HOSTILE, NOTIFY_ENGLISH);

		assert_ok(json_parse(body, strlen(body), &o, &err), &err);
		assert_non_null(strstr(body, "evil"));
		free(body);
		if (types[i] == &notify_slack)
			each_text(o, slack_notifies_nobody, "");
		else if (types[i] == &notify_run)
			each_text(o, markdown_does_nothing, "");
		else if (types[i] == &notify_teams)
			teams_marks_up_our_words_only(o);
		else
			each_text(o, shows_no_control, "");
	}
}

/* Slack's limits, with text that grows most when it is escaped. */
static void whole_sections_fit(struct json_object *o)
{
	struct json_object *blocks = json_at(o, "blocks");

	assert_true(json_object_array_length(blocks) <= 50);
	for (size_t i = 0; i < json_object_array_length(blocks); i++) {
		const char *text = json_str(json_object_array_get_idx(blocks, i), "text.text", "");

		if (strlen(text) > 3000)
			fail_msg("%zu bytes: %.200s", strlen(text), text);
	}
}

/* What channels take, and of the texts those that grow most: escaped for Slack, in JSON. */
static void fits(struct json_object *const *notices, size_t n)
{
	OWNED(json_putp) struct json_object *o = NULL;
	char *slack = body_of(&notify_slack, notices, n, NOTIFY_ENGLISH);
	char *teams = body_of(&notify_teams, notices, n, NOTIFY_ENGLISH);

	o = json_tokener_parse(slack);
	assert_non_null(o);
	whole_sections_fit(o);
	if (strlen(teams) > 28 * 1024)
		fail_msg("a card of %zu bytes for %zu", strlen(teams), n);
	free(slack);
	free(teams);
}

static void what_is_long_is_cut(void **state)
{
	static const char letters[] = "&\"a";
	struct json_object *notices[NOTIFY_DIGEST_MAX];
	char text[3001];

	UNUSED(state);
	text[sizeof(text) - 1] = '\0';
	for (const char *letter = letters; *letter; letter++) {
		memset(text, *letter, sizeof(text) - 1);
		for (size_t i = 0; i < NOTIFY_DIGEST_MAX; i++)
			notices[i] = notice_of("escalated", text);
		fits(notices, 1);
		fits(notices, NOTIFY_DIGEST_MAX);
		for (size_t i = 0; i < NOTIFY_DIGEST_MAX; i++)
			json_object_put(notices[i]);
	}
}

/* Whatever the channel: who hears of a proposal can get to it, and only to a web address. */
static void a_proposal_is_one_click_away(void **state)
{
	static const char good[] = "https://forge.test/acme/shop/pull/12";
	static const struct notify_type *const types[] = { &notify_slack, &notify_teams,
							   &notify_generic, &notify_run };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		OWNED(json_putp) struct json_object *notice = notice_of("proposed", "shop");
		OWNED(freep) char *body = NULL, *bad = NULL;

		json_add_str(notice, "proposal", good);
		body = body_of(types[i], &notice, 1, NOTIFY_ENGLISH);
		assert_case(strstr(body, good) != NULL, types[i]->name);
		json_add_str(notice, "proposal", "javascript:alert(1)");
		bad = body_of(types[i], &notice, 1, NOTIFY_ENGLISH);
		assert_case(strstr(bad, "javascript") == NULL, types[i]->name);
	}
}

static void only_web_addresses_become_buttons(void **state)
{
	static const struct {
		const char *url;
		bool good;
	} rows[] = {
		{ "https://ci.test/runs/1?a=b&c=d", true },
		{ "http://ci.test/", true },
		{ "javascript:alert(1)", false },
		{ "https://user:secret@ci.test/", false },
		{ "https://ci.test/|<!channel>", false },
		{ "https://ci.test/a b", false },
		{ "", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(json_putp) struct json_object *o = json_object_new_object();

		json_add_str(o, "url", rows[i].url);
		assert_case((notify_run_url(o) != NULL) == rows[i].good, rows[i].url);
	}
}

/* --- configuration -------------------------------------------------------------------- */

static struct conf *conf_of(const char *yaml, struct err *err)
{
	char path[] = "/tmp/test_notify.XXXXXX";
	struct conf *conf = conf_new(tables, ARRAY_LEN(tables));
	FILE *f = fdopen(mkstemp(path), "w");
	int rc;

	assert_non_null(f);
	assert_true(fputs(yaml, f) >= 0);
	assert_int_equal(fclose(f), 0);
	rc = conf_load_file(conf, path, err);
	(void)remove(path);
	if (rc == 0)
		return conf;
	conf_free(conf);
	return NULL;
}

static void a_wrong_channel_is_refused(void **state)
{
	static const struct {
		const char *yaml, *says;
	} rows[] = {
		{ "notify:\n  slack:\n    events: healed\n", "notify.slack.url is not set" },
		{ "notify:\n  team:\n    url: https://x.test/\n", "notify.team.type: set it to" },
		{ "notify:\n  team:\n    type: pager\n", "none of slack, teams, generic, run" },
		{ "notify:\n  slack:\n    url: http://x.test/hookPath\n",
		  "plain http is only for loopback" },
		{ "notify:\n  slack:\n    url: gopher://x.test/hookPath\n", "notify.slack.url" },
		{ "notify:\n  generic:\n    url: https://x.test/\n", "secret is not set" },
		{ "notify:\n  run:\n    locale: de\n", "no provider to show it" },
		{ "notify:\n  generic:\n    secret: hookPath!\n", "whsec_" },
		{ "notify:\n  slack:\n    events: healed, helaed\n", "\"helaed\" is nothing" },
		{ "notify:\n  slack:\n    min_severity: high\n", "none of info" },
		{ "notify:\n  slack:\n    locale: fr\n", "neither en nor de" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(notify_freep) struct notify *n = NULL;
		struct err err = { 0 };
		OWNED(conf_freep) struct conf *conf = conf_of(rows[i].yaml, &err);

		assert_case(!conf || notify_new(conf, &n, &err) < 0, rows[i].says);
		if (!strstr(err.msg, rows[i].says) || strstr(err.msg, "hookPath"))
			fail_msg("%s: %s", rows[i].yaml, err.msg);
		assert_int_equal(err.kind, ERR_CONFIG);
	}
}

static void a_channel_wants_what_is_configured(void **state)
{
	static const struct {
		const char *options, *word, *repo;
		bool wants;
	} rows[] = {
		{ "", "healed", "a/b", true },
		{ "", "escalated", "a/b", true },
		{ "", "incident", "", true },
		{ "", "observed", "a/b", false },
		{ "", "no such word", "a/b", false },
		{ "events: all", "observed", "a/b", true },
		{ "events: needs_person", "healed", "a/b", false },
		{ "events: 'gave_up,unknown'", "unknown", "a/b", true },
		{ "min_severity: warning", "healed", "a/b", false },
		{ "min_severity: critical", "escalated", "a/b", false },
		{ "min_severity: critical", "unknown", "a/b", true },
		{ "repos: 'a/*'", "healed", "A/b", true },
		{ "repos: 'a/*'", "healed", "b/a", false },
		{ "repos: '!a/secret'", "healed", "a/b", true },
		{ "repos: '!a/secret'", "healed", "a/secret", false },
		{ "repos: 'a/*'", "incident", "", true },
		/* Who was told that it began is told that it is over. */
		{ "", "incident_closed", "", true },
		{ "min_severity: critical", "incident_released", "", true },
		{ "events: incident", "incident_extended", "", true },
		{ "events: healed", "incident_closed", "", false },
		{ "events: incident_closed", "incident_closed", "", true },
		{ "events: incident_closed", "incident", "", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(notify_freep) struct notify *n = NULL;
		OWNED(conf_freep) struct conf *conf = NULL;
		struct err err = { 0 };
		char yaml[300];

		(void)snprintf(yaml, sizeof(yaml),
			       "notify:\n  slack:\n    url: https://x.test/\n    %s\n",
			       rows[i].options);
		conf = conf_of(yaml, &err);
		if (!conf)
			fail_msg("%s", err.msg);
		assert_ok(notify_new(conf, &n, &err), &err);
		if (notify_wants(n, rows[i].word, rows[i].repo) != rows[i].wants)
			fail_msg("%s: %s of %s", rows[i].options, rows[i].word, rows[i].repo);
	}
}

static void an_answer_has_one_meaning(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum notify_fate fate;
		const char *why;
	} rows[] = {
		{ 0, "", NOTIFY_RETRY, "no answer: away" },
		{ 200, "ok", NOTIFY_DELIVERED, "answered 200: ok" },
		{ 202, "", NOTIFY_DELIVERED, "answered 202" },
		{ 400, "invalid_blocks", NOTIFY_REFUSED, "answered 400: invalid_blocks" },
		{ 404, "/services/T0/B0/x", NOTIFY_REFUSED, "answered 404" },
		{ 408, "", NOTIFY_RETRY, "answered 408" },
		{ 429, "", NOTIFY_RETRY, "answered 429" },
		{ 500, "", NOTIFY_RETRY, "answered 500" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct http_reply reply = { .status = rows[i].status,
						  .body = rows[i].body,
						  .error = rows[i].status ? NULL : "away" };
		char why[160];

		assert_case(notify_judge(&reply, why) == rows[i].fate, rows[i].why);
		assert_string_equal(why, rows[i].why);
	}
}

static void every_word_is_said_in_every_language(void **state)
{
	UNUSED(state);
	for (const struct notify_word *w = notify_words; w->word; w++)
		for (unsigned l = 0; l < NOTIFY_LANGUAGES; l++)
			assert_case(w->text[l] && *w->text[l], w->word);
	for (int i = 0; i < LABELS; i++)
		for (unsigned l = 0; l < NOTIFY_LANGUAGES; l++)
			assert_true(*notify_label(l, (enum notify_label)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_channel_gets_this),
		cmocka_unit_test(a_suggestion_has_links_that_answer),
		cmocka_unit_test(a_digest_is_this),
		cmocka_unit_test(hostile_text_does_nothing),
		cmocka_unit_test(what_is_long_is_cut),
		cmocka_unit_test(a_proposal_is_one_click_away),
		cmocka_unit_test(only_web_addresses_become_buttons),
		cmocka_unit_test(a_wrong_channel_is_refused),
		cmocka_unit_test(a_channel_wants_what_is_configured),
		cmocka_unit_test(an_answer_has_one_meaning),
		cmocka_unit_test(every_word_is_said_in_every_language),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

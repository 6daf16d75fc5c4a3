#include "dispatcher/notify_text.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "core/approve_link.h"
#include "core/buf.h"
#include "core/json.h"
#include "core/text.h"
#include "dispatcher/knowledge.h"

enum { TESTS_SHOWN = 5, URL_MAX = 2000 };

const struct notify_word notify_words[] = {
	{ "healed", false, NOTIFY_INFO, { "Healed", "Geheilt" } },
	{ "suggested",
	  true,
	  NOTIFY_WARNING,
	  { "A heal waits for approval", "Eine Heilung wartet auf Zustimmung" } },
	{ "proposed",
	  true,
	  NOTIFY_WARNING,
	  { "A change is proposed: please review it",
	    "Eine Änderung ist vorgeschlagen: bitte ansehen" } },
	{ "escalated",
	  true,
	  NOTIFY_WARNING,
	  { "A person is needed", "Ein Mensch wird gebraucht" } },
	{ "same_failure",
	  true,
	  NOTIFY_WARNING,
	  { "Failed again for the same reason", "Wieder aus demselben Grund gescheitert" } },
	{ "different_failure",
	  true,
	  NOTIFY_WARNING,
	  { "Failed again for another reason", "Aus einem anderen Grund wieder gescheitert" } },
	{ "refused",
	  true,
	  NOTIFY_WARNING,
	  { "The provider refused the heal", "Der Anbieter hat die Heilung verweigert" } },
	{ "gave_up", true, NOTIFY_WARNING, { "Gave up", "Aufgegeben" } },
	{ "timed_out",
	  true,
	  NOTIFY_WARNING,
	  { "The re-run never ended", "Die Wiederholung ging nie zu Ende" } },
	{ "expired",
	  true,
	  NOTIFY_WARNING,
	  { "Nobody approved the heal in time",
	    "Niemand hat der Heilung rechtzeitig zugestimmt" } },
	{ "unknown",
	  true,
	  NOTIFY_CRITICAL,
	  { "Unclear whether the heal was carried out",
	    "Unklar, ob die Heilung ausgeführt wurde" } },
	{ "incident",
	  true,
	  NOTIFY_CRITICAL,
	  { "Many pipelines fail at once", "Viele Pipelines scheitern zugleich" } },
	{ "incident_extended",
	  false,
	  NOTIFY_INFO,
	  { "An outage: nothing is tried for a while", "Ausfall: Vorerst wird nichts versucht" } },
	{ "incident_released",
	  false,
	  NOTIFY_INFO,
	  { "An outage ends: what waits goes bit by bit",
	    "Ein Ausfall endet: Was wartet, geht nach und nach weiter" } },
	{ "incident_closed",
	  false,
	  NOTIFY_INFO,
	  { "An outage is over", "Ein Ausfall ist vorbei" } },
	{ "cancelled", false, NOTIFY_INFO, { "The heal was cancelled", "Heilung abgebrochen" } },
	{ "rejected", false, NOTIFY_INFO, { "The heal was rejected", "Heilung abgelehnt" } },
	{ "superseded",
	  false,
	  NOTIFY_INFO,
	  { "Somebody else ran it again", "Jemand anders hat es wiederholt" } },
	{ "observed", false, NOTIFY_INFO, { "Only observed", "Nur beobachtet" } },
	{ "test",
	  true,
	  NOTIFY_CRITICAL,
	  { "This is a test of Pipeline Guard", "Dies ist ein Test von Pipeline Guard" } },
	{ NULL, true, NOTIFY_WARNING, { "News of a run", "Neues von einem Lauf" } },
};

static const char *const labels[LABELS][NOTIFY_LANGUAGES] = {
	[LABEL_BRANCH] = { "Branch", "Branch" },
	[LABEL_CAUSE] = { "Cause", "Ursache" },
	[LABEL_STRATEGY] = { "Strategy", "Strategie" },
	[LABEL_RESULT] = { "Details", "Einzelheiten" },
	[LABEL_FAILED_TESTS] = { "Failed tests", "Gescheiterte Tests" },
	[LABEL_SURE] = { "sure", "sicher" },
	[LABEL_OPEN_RUN] = { "Open the run", "Lauf öffnen" },
	[LABEL_OPEN_PROPOSAL] = { "Open the proposal", "Vorschlag öffnen" },
	[LABEL_OPEN_PAGE] = { "Open Pipeline Guard", "Pipeline Guard öffnen" },
	[LABEL_DIGEST] = { "messages", "Meldungen" },
	[LABEL_MORE] = { "more", "weitere" },
	[LABEL_APPROVE] = { "Approve", "Zustimmen" },
	[LABEL_REJECT] = { "Reject", "Ablehnen" },
	[LABEL_REPOSITORIES] = { "Repositories", "Repositories" },
	[LABEL_BY] = { "By", "Von" },
};

const char *const notify_severities[] = { "info", "warning", "critical", NULL };

const struct notify_word *notify_word_find(const char *word)
{
	for (const struct notify_word *w = notify_words; w->word; w++)
		if (strcmp(w->word, word) == 0)
			return w;
	return NULL;
}

const struct notify_word *notify_word_lead(const struct notify_word *w)
{
	return text_starts(w->word, "incident_") ? notify_word_find("incident") : w;
}

const struct notify_word *notify_word_of(struct json_object *notice)
{
	const char *word = json_str(notice, "word", "");
	const struct notify_word *w = notify_words;

	while (w->word && strcmp(w->word, word) != 0)
		w++;
	return w;
}

bool notify_severity_find(const char *text, enum notify_severity *out)
{
	for (int i = 0; notify_severities[i]; i++) {
		if (strcmp(notify_severities[i], text) == 0) {
			*out = (enum notify_severity)i;
			return true;
		}
	}
	return false;
}

bool notify_language(const char *locale, unsigned *out)
{
	static const char *const names[] = { "en", "de" };

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (strncasecmp(locale, names[i], 2) == 0 && strchr("_-.@", locale[2])) {
			*out = i;
			return true;
		}
	}
	*out = NOTIFY_ENGLISH;
	return false;
}

const char *notify_label(unsigned language, enum notify_label label)
{
	return labels[label][language];
}

static const struct knowledge_entry *known(const struct notify_view *v, struct json_object *notice)
{
	const char *category = json_str(notice, "category", "");
	const struct knowledge_entry *e = NULL;

	if (!v->knowledge || !*category)
		return NULL;
	e = knowledge_find(v->knowledge, category, json_str(notice, "subcategory", ""));
	return e ? e : knowledge_find(v->knowledge, category, "");
}

void notify_category(const struct notify_view *v, struct json_object *notice, struct buf *out)
{
	const struct knowledge_entry *e = known(v, notice);

	buf_puts(out, e ? e->title : json_str(notice, "category", ""));
}

void notify_cause(const struct notify_view *v, struct json_object *notice, struct buf *out)
{
	const char *category = json_str(notice, "category", "");
	const char *title = json_str(notice, "title", "");
	const struct knowledge_entry *e = known(v, notice);
	double sure = json_num(notice, "confidence", 0);

	if (e)
		buf_puts(out, e->title);
	else if (!*title)
		buf_puts(out, category);
	if (*title && (!e || strcmp(title, e->title) != 0))
		buf_printf(out, "%s%s", e ? ": " : "", title);
	if (sure > 0)
		buf_printf(out, " (%.0f %% %s)", sure * 100, notify_label(v->language, LABEL_SURE));
}

void notify_repositories(struct json_object *notice, struct buf *out)
{
	int64_t n = json_i64(notice, "repositories", 0);

	if (n > 0)
		buf_printf(out, "%" PRId64, n);
}

void notify_failed_tests(const struct notify_view *v, struct json_object *notice, struct buf *out)
{
	struct json_object *tests = json_at(notice, "failed_tests");
	size_t n =
		json_object_is_type(tests, json_type_array) ? json_object_array_length(tests) : 0;
	int64_t all = json_i64(notice, "failed_tests_count", (int64_t)n);
	size_t shown = n < TESTS_SHOWN ? n : TESTS_SHOWN;

	for (size_t i = 0; i < shown; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(tests, i));

		buf_printf(out, "%s%.150s", i ? ", " : "", name ? name : "");
	}
	if (all > (int64_t)shown)
		buf_printf(out, ", … %" PRId64 " %s", all - (int64_t)shown,
			   notify_label(v->language, LABEL_MORE));
}

static const char *url_of(struct json_object *notice, const char *member)
{
	const char *url = json_str(notice, member, "");
	struct http_origin origin;
	struct err err;

	if (strlen(url) > URL_MAX || http_origin_of(url, &origin, &err) < 0)
		return NULL;
	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f ||
		    strchr("\"<>\\^`{|}", *p))
			return NULL;
	return url;
}

const char *notify_run_url(struct json_object *notice)
{
	return url_of(notice, "url");
}

const char *notify_proposal_url(struct json_object *notice)
{
	return url_of(notice, "proposal");
}

bool notify_answer_url(const struct notify_view *v, struct json_object *notice, bool approve,
		       struct buf *out)
{
	const char *plan = json_str(notice, "plan", "");
	int64_t until_ms = json_i64(notice, "answer_until_ms", 0);
	size_t n = strlen(v->page_url);
	struct approve_link link = { .approve = approve };

	if (until_ms > v->at_ms + v->link_valid_ms)
		until_ms = v->at_ms + v->link_valid_ms;
	link.until_s = until_ms / 1000;
	if (!v->link_key || !n || !*plan || until_ms <= v->at_ms ||
	    !text_copy(link.plan, sizeof(link.plan), plan, strlen(plan)) ||
	    !text_copy(link.channel, sizeof(link.channel), v->channel, strlen(v->channel)))
		return false;
	buf_printf(out, "%s%s", v->page_url, v->page_url[n - 1] == '/' ? "" : "/");
	approve_link_put(v->link_key, &link, out);
	return true;
}

void notify_digest_title(const struct notify_view *v, struct buf *out)
{
	buf_printf(out, "Pipeline Guard: %zu %s", v->n, notify_label(v->language, LABEL_DIGEST));
	if (v->more)
		buf_printf(out, " (+ %" PRIu64 " %s)", v->more,
			   notify_label(v->language, LABEL_MORE));
}

/*
 * Microsoft Teams: an Adaptive Card through a Workflows webhook. Strangers' text is only in
 * TextRun elements, which know neither Markdown nor mentions; the TextBlocks are our own words.
 */
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/neutralise.h"
#include "core/text.h"
#include "dispatcher/notify_text.h"

/* Teams takes 28 KB: 20 rows of a digest, or one notice with its evidence, stay well below. */
enum { FIELD_MAX = 400, DIGEST_NAME_MAX = 90, DIGEST_CAUSE_MAX = 160, SCRATCH_MAX = 16 << 10 };

static const char *const colours[] = { "Good", "Warning", "Attention" };

/* At most `max` bytes of it, and no more than FIELD_MAX. */
static struct json_object *run_of(const char *text, size_t max, bool bold, bool code)
{
	struct json_object *o = json_object_new_object();
	OWNED(buf_done) struct buf clean;
	char cut[FIELD_MAX];
	bool whole;

	buf_init(&clean, SCRATCH_MAX);
	whole = text_copy(cut, max < sizeof(cut) ? max : sizeof(cut), text, strlen(text));
	neutralise_text(&clean, cut);
	if (!whole)
		buf_puts(&clean, "…");
	json_add_str(o, "type", "TextRun");
	json_add_str(o, "text", buf_text(&clean));
	if (bold)
		json_add_str(o, "weight", "Bolder");
	if (code)
		json_add_str(o, "fontType", "Monospace");
	return o;
}

/* A line of text runs at the end of the body. */
static struct json_object *add_line(struct json_object *body)
{
	struct json_object *line = json_object_new_object(), *inlines = json_object_new_array();

	json_add_str(line, "type", "RichTextBlock");
	json_add(line, "inlines", inlines);
	json_object_array_add(body, line);
	return inlines;
}

static void add_labelled(struct json_object *body, const struct notify_view *v,
			 enum notify_label label, const char *text, size_t max)
{
	struct json_object *line;
	char head[80];

	if (!*text)
		return;
	(void)snprintf(head, sizeof(head), "%s: ", notify_label(v->language, label));
	line = add_line(body);
	json_object_array_add(line, run_of(head, FIELD_MAX, true, false));
	json_object_array_add(line, run_of(text, max, false, false));
}

static void add_title(struct json_object *body, const char *text, const char *colour)
{
	struct json_object *o = json_object_new_object();

	json_add_str(o, "type", "TextBlock");
	json_add_str(o, "text", text);
	json_add_str(o, "weight", "Bolder");
	json_add_str(o, "size", "Medium");
	json_add_bool(o, "wrap", true);
	if (colour)
		json_add_str(o, "color", colour);
	json_object_array_add(body, o);
}

static void add_where(struct json_object *line, struct json_object *notice, size_t max)
{
	static const char *const fields[] = { "subject", "repo", "pipeline", "branch" };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *text = json_str(notice, fields[i], "");

		if (!*text)
			continue;
		if (json_object_array_length(line))
			json_object_array_add(line, run_of(" · ", FIELD_MAX, false, false));
		json_object_array_add(line, run_of(text, max, i < 2, false));
	}
}

static void add_cause(struct json_object *body, const struct notify_view *v,
		      struct json_object *notice, size_t max)
{
	OWNED(buf_done) struct buf cause;

	buf_init(&cause, SCRATCH_MAX);
	notify_cause(v, notice, &cause);
	add_labelled(body, v, LABEL_CAUSE, buf_text(&cause), max);
}

static void format_one(struct json_object *body, const struct notify_view *v,
		       struct json_object *notice)
{
	const struct notify_word *w = notify_word_of(notice);
	struct json_object *lines = json_at(notice, "evidence");
	size_t n =
		json_object_is_type(lines, json_type_array) ? json_object_array_length(lines) : 0;
	OWNED(buf_done) struct buf tests, repositories;

	buf_init(&tests, SCRATCH_MAX);
	buf_init(&repositories, SCRATCH_MAX);
	add_title(body, w->text[v->language], colours[w->severity]);
	add_where(add_line(body), notice, FIELD_MAX);
	add_cause(body, v, notice, FIELD_MAX);
	add_labelled(body, v, LABEL_STRATEGY, json_str(notice, "strategy", ""), FIELD_MAX);
	add_labelled(body, v, LABEL_RESULT, json_str(notice, "detail", ""), FIELD_MAX);
	notify_failed_tests(v, notice, &tests);
	add_labelled(body, v, LABEL_FAILED_TESTS, buf_text(&tests), FIELD_MAX);
	notify_repositories(notice, &repositories);
	add_labelled(body, v, LABEL_REPOSITORIES, buf_text(&repositories), FIELD_MAX);
	add_labelled(body, v, LABEL_BY, json_str(notice, "by", ""), FIELD_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_str(json_object_array_get_idx(lines, i), "text", "");

		json_object_array_add(add_line(body), run_of(text, FIELD_MAX, false, true));
	}
}

static void format_digest(struct json_object *body, const struct notify_view *v)
{
	OWNED(buf_done) struct buf title;

	buf_init(&title, SCRATCH_MAX);
	notify_digest_title(v, &title);
	add_title(body, buf_text(&title), NULL);
	for (size_t i = 0; i < v->n; i++) {
		const struct notify_word *w = notify_word_of(v->notices[i]);
		struct json_object *line = add_line(body);

		add_where(line, v->notices[i], DIGEST_NAME_MAX);
		json_object_array_add(line, run_of(": ", FIELD_MAX, false, false));
		json_object_array_add(line, run_of(w->text[v->language], FIELD_MAX, false, false));
		add_cause(body, v, v->notices[i], DIGEST_CAUSE_MAX);
	}
}

static void add_action(struct json_object *list, const char *label, const char *url)
{
	struct json_object *o;

	if (!url || !*url)
		return;
	o = json_object_new_object();
	json_add_str(o, "type", "Action.OpenUrl");
	json_add_str(o, "title", label);
	json_add_str(o, "url", url);
	json_object_array_add(list, o);
}

static void add_answer(struct json_object *list, const struct notify_view *v, bool approve)
{
	OWNED(buf_done) struct buf url;

	buf_init(&url, SCRATCH_MAX);
	if (notify_answer_url(v, v->notices[0], approve, &url))
		add_action(list, notify_label(v->language, approve ? LABEL_APPROVE : LABEL_REJECT),
			   buf_text(&url));
}

static struct json_object *format(const struct notify_view *v)
{
	struct json_object *message = json_object_new_object();
	struct json_object *attachment = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct json_object *card = json_object_new_object();
	struct json_object *body = json_object_new_array();
	struct json_object *actions = json_object_new_array();

	if (v->n == 1)
		format_one(body, v, v->notices[0]);
	else
		format_digest(body, v);
	if (v->n == 1) {
		add_answer(actions, v, true);
		add_answer(actions, v, false);
		add_action(actions, notify_label(v->language, LABEL_OPEN_PROPOSAL),
			   notify_proposal_url(v->notices[0]));
		add_action(actions, notify_label(v->language, LABEL_OPEN_RUN),
			   notify_run_url(v->notices[0]));
	}
	add_action(actions, notify_label(v->language, LABEL_OPEN_PAGE), v->page_url);
	json_add_str(card, "$schema", "http://adaptivecards.io/schemas/adaptive-card.json");
	json_add_str(card, "type", "AdaptiveCard");
	json_add_str(card, "version", "1.4");
	json_add(card, "body", body);
	json_add(card, "actions", actions);
	json_add_str(attachment, "contentType", "application/vnd.microsoft.card.adaptive");
	json_add(attachment, "content", card);
	json_object_array_add(list, attachment);
	json_add_str(message, "type", "message");
	json_add(message, "attachments", list);
	return message;
}

const struct notify_type notify_teams = { .name = "teams", .format = format };

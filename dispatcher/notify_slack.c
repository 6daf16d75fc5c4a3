/*
 * Slack: Block Kit through an incoming webhook. Strangers' text stands between backticks and is
 * escaped; `verbatim` keeps Slack from making links and mentions of what is left.
 */
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/neutralise.h"
#include "core/text.h"
#include "dispatcher/notify_text.h"

/* Slack refuses a section of over 3,000 characters: three names and four lines have to fit. */
enum {
	SECTION_MAX = 2900,
	NAME_MAX_BYTES = 250,
	LINE_MAX_BYTES = 450,
	TEXT_MAX = 2000,
	LINK_MAX = 500,
	SCRATCH_MAX = 16 << 10,
};

static const char *const marks[] = { ":white_check_mark:", ":warning:", ":rotating_light:" };

/* At most so many bytes of what a stranger wrote, escaped. */
static void put(struct buf *out, const char *text, size_t max)
{
	OWNED(buf_done) struct buf clean;
	char cut[TEXT_MAX];
	size_t n = strlen(text);
	bool whole = text_copy(cut, sizeof(cut), text, n);

	buf_init(&clean, SCRATCH_MAX);
	neutralise_slack(&clean, cut);
	/* Cut before it is escaped: half of an entity would be shown as one. */
	while (clean.len > max) {
		n = strlen(cut);
		whole = text_copy(cut, n - n / 4, text, n);
		buf_reset(&clean);
		neutralise_slack(&clean, cut);
	}
	buf_append(out, buf_text(&clean), clean.len);
	if (!whole)
		buf_puts(out, "…");
}

static void put_code(struct buf *out, const char *text)
{
	if (!*text)
		return;
	buf_putc(out, '`');
	put(out, text, NAME_MAX_BYTES);
	buf_putc(out, '`');
}

static void add_section(struct json_object *blocks, const struct buf *text)
{
	struct json_object *section = json_object_new_object(), *o = json_object_new_object();

	json_add_str(o, "type", "mrkdwn");
	json_add_str(o, "text", buf_text(text));
	json_add_bool(o, "verbatim", true);
	json_add_str(section, "type", "section");
	json_add(section, "text", o);
	json_object_array_add(blocks, section);
}

static void add_button(struct json_object *list, const char *id, const char *label,
		       const char *style, const char *url)
{
	struct json_object *button = json_object_new_object(), *text = json_object_new_object();

	json_add_str(text, "type", "plain_text");
	json_add_str(text, "text", label);
	json_add_str(button, "type", "button");
	json_add_str(button, "action_id", id);
	json_add(button, "text", text);
	json_add_str(button, "url", url);
	if (style)
		json_add_str(button, "style", style);
	json_object_array_add(list, button);
}

/* What a suggestion waits for. */
static void add_answers(struct json_object *list, const struct notify_view *v,
			struct json_object *notice)
{
	static const struct {
		const char *id, *style;
		enum notify_label label;
		bool approve;
	} rows[] = {
		{ "approve", "primary", LABEL_APPROVE, true },
		{ "reject", "danger", LABEL_REJECT, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(buf_done) struct buf url;

		buf_init(&url, SCRATCH_MAX);
		if (notify_answer_url(v, notice, rows[i].approve, &url))
			add_button(list, rows[i].id, notify_label(v->language, rows[i].label),
				   rows[i].style, buf_text(&url));
	}
}

/* `notice`: the only one, or NULL. */
static void add_buttons(struct json_object *blocks, const struct notify_view *v,
			struct json_object *notice)
{
	const char *run = notice ? notify_run_url(notice) : NULL;
	const char *proposal = notice ? notify_proposal_url(notice) : NULL;
	struct json_object *actions, *list;

	if (!run && !proposal && !*v->page_url)
		return;
	actions = json_object_new_object();
	list = json_object_new_array();
	if (notice)
		add_answers(list, v, notice);
	if (proposal)
		add_button(list, "proposal", notify_label(v->language, LABEL_OPEN_PROPOSAL), NULL,
			   proposal);
	if (run)
		add_button(list, "run", notify_label(v->language, LABEL_OPEN_RUN), NULL, run);
	if (*v->page_url)
		add_button(list, "page", notify_label(v->language, LABEL_OPEN_PAGE), NULL,
			   v->page_url);
	json_add_str(actions, "type", "actions");
	json_add(actions, "elements", list);
	json_object_array_add(blocks, actions);
}

/* What happened, and to what: one line. */
static void put_headline(struct buf *out, const struct notify_view *v, struct json_object *notice)
{
	const struct notify_word *w = notify_word_of(notice);
	const char *branch = json_str(notice, "branch", "");

	buf_printf(out, "%s *%s* ", marks[w->severity], w->text[v->language]);
	put_code(out, json_str(notice, "subject", ""));
	put_code(out, json_str(notice, "repo", ""));
	if (*json_str(notice, "pipeline", "")) {
		buf_putc(out, ' ');
		put_code(out, json_str(notice, "pipeline", ""));
	}
	if (*branch) {
		buf_printf(out, " %s ", notify_label(v->language, LABEL_BRANCH));
		put_code(out, branch);
	}
}

static void put_line(struct buf *out, const struct notify_view *v, enum notify_label label,
		     const char *text)
{
	if (!*text)
		return;
	buf_printf(out, "\n*%s:* ", notify_label(v->language, label));
	put(out, text, LINE_MAX_BYTES);
}

/* As many lines as there is room for. */
static void put_evidence(struct buf *out, struct json_object *notice)
{
	struct json_object *lines = json_at(notice, "evidence");
	size_t n =
		json_object_is_type(lines, json_type_array) ? json_object_array_length(lines) : 0;

	for (size_t i = 0; i < n; i++) {
		OWNED(buf_done) struct buf line;

		buf_init(&line, SCRATCH_MAX);
		put(&line, json_str(json_object_array_get_idx(lines, i), "text", ""),
		    2 * LINE_MAX_BYTES);
		if (out->len + line.len > SECTION_MAX - 20)
			break;
		buf_printf(out, "%s%s", i ? "\n" : "```\n", buf_text(&line));
	}
	if (out->len)
		buf_puts(out, "\n```");
}

static void format_one(struct json_object *blocks, const struct notify_view *v,
		       struct json_object *notice)
{
	OWNED(buf_done) struct buf text, cause, tests, evidence, repositories;

	buf_init(&text, SCRATCH_MAX);
	buf_init(&cause, SCRATCH_MAX);
	buf_init(&tests, SCRATCH_MAX);
	buf_init(&evidence, SCRATCH_MAX);
	buf_init(&repositories, SCRATCH_MAX);
	put_headline(&text, v, notice);
	notify_cause(v, notice, &cause);
	notify_failed_tests(v, notice, &tests);
	put_line(&text, v, LABEL_CAUSE, buf_text(&cause));
	put_line(&text, v, LABEL_STRATEGY, json_str(notice, "strategy", ""));
	put_line(&text, v, LABEL_RESULT, json_str(notice, "detail", ""));
	put_line(&text, v, LABEL_FAILED_TESTS, buf_text(&tests));
	notify_repositories(notice, &repositories);
	put_line(&text, v, LABEL_REPOSITORIES, buf_text(&repositories));
	put_line(&text, v, LABEL_BY, json_str(notice, "by", ""));
	add_section(blocks, &text);
	put_evidence(&evidence, notice);
	if (evidence.len)
		add_section(blocks, &evidence);
	add_buttons(blocks, v, notice);
}

static void format_digest(struct json_object *blocks, const struct notify_view *v)
{
	for (size_t i = 0; i < v->n; i++) {
		OWNED(buf_done) struct buf line, cause;
		const char *url = notify_run_url(v->notices[i]);

		buf_init(&line, SCRATCH_MAX);
		buf_init(&cause, SCRATCH_MAX);
		put_headline(&line, v, v->notices[i]);
		notify_cause(v, v->notices[i], &cause);
		put_line(&line, v, LABEL_CAUSE, buf_text(&cause));
		/* Its characters were looked at; only this one has a meaning here. */
		if (url && strlen(url) < LINK_MAX && !strchr(url, '&'))
			buf_printf(&line, " <%s|%s>", url,
				   notify_label(v->language, LABEL_OPEN_RUN));
		add_section(blocks, &line);
	}
	add_buttons(blocks, v, NULL);
}

static struct json_object *format(const struct notify_view *v)
{
	struct json_object *o = json_object_new_object(), *blocks = json_object_new_array();
	OWNED(buf_done) struct buf title;

	/* Shown where there are no blocks: in a pop-up, and to screen readers. */
	buf_init(&title, SCRATCH_MAX);
	if (v->n == 1) {
		buf_puts(&title, "Pipeline Guard: ");
		put_headline(&title, v, v->notices[0]);
		format_one(blocks, v, v->notices[0]);
	} else {
		notify_digest_title(v, &title);
		add_section(blocks, &title);
		format_digest(blocks, v);
	}
	json_add_str(o, "text", buf_text(&title));
	json_add(o, "blocks", blocks);
	json_add_bool(o, "unfurl_links", false);
	json_add_bool(o, "unfurl_media", false);
	return o;
}

const struct notify_type notify_slack = { .name = "slack", .format = format };

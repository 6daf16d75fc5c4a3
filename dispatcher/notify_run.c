/* Beside the commit of the run, or its merge request: a title, Markdown, and a line of text. */
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/neutralise.h"
#include "core/text.h"
#include "dispatcher/notify_text.h"

enum { SCRATCH_MAX = 16 << 10, LINE_MAX_BYTES = 400, BRIEF_MAX = 140 };

static void put(struct buf *out, const char *text)
{
	char cut[LINE_MAX_BYTES];
	bool whole = text_copy(cut, sizeof(cut), text, strlen(text));

	neutralise_markdown(out, cut);
	if (!whole)
		buf_puts(out, "…");
}

static void put_line(struct buf *out, const struct notify_view *v, enum notify_label label,
		     const char *text)
{
	if (!*text)
		return;
	buf_printf(out, "**%s:** ", notify_label(v->language, label));
	put(out, text);
	buf_puts(out, "\n\n");
}

/* GitHub takes 140 characters. It is shown as it is, so a stranger's words are left out. */
static void put_brief(struct json_object *o, const struct notify_view *v,
		      struct json_object *notice)
{
	OWNED(buf_done) struct buf whole;
	char cut[BRIEF_MAX];

	buf_init(&whole, SCRATCH_MAX);
	buf_printf(&whole, "%s: ", notify_word_of(notice)->text[v->language]);
	notify_category(v, notice, &whole);
	(void)text_copy(cut, sizeof(cut), buf_text(&whole), whole.len);
	json_add_str(o, "brief", cut);
}

static struct json_object *format(const struct notify_view *v)
{
	struct json_object *o = json_object_new_object(), *notice = v->notices[0];
	struct json_object *lines = json_at(notice, "evidence");
	size_t n =
		json_object_is_type(lines, json_type_array) ? json_object_array_length(lines) : 0;
	const struct notify_word *w = notify_word_of(notice);
	const char *proposal = notify_proposal_url(notice);
	OWNED(buf_done) struct buf text, cause, tests;

	buf_init(&text, SCRATCH_MAX);
	buf_init(&cause, SCRATCH_MAX);
	buf_init(&tests, SCRATCH_MAX);
	notify_cause(v, notice, &cause);
	notify_failed_tests(v, notice, &tests);
	put_line(&text, v, LABEL_CAUSE, buf_text(&cause));
	put_line(&text, v, LABEL_STRATEGY, json_str(notice, "strategy", ""));
	put_line(&text, v, LABEL_RESULT, json_str(notice, "detail", ""));
	put_line(&text, v, LABEL_FAILED_TESTS, buf_text(&tests));
	if (proposal)
		buf_printf(&text, "<%s>\n\n", proposal);
	for (size_t i = 0; i < n; i++) {
		buf_puts(&text, "> ");
		put(&text, json_str(json_object_array_get_idx(lines, i), "text", ""));
		buf_puts(&text, "\n>\n");
	}
	json_add_str(o, "title", w->text[v->language]);
	json_add_str(o, "summary", buf_text(&text));
	put_brief(o, v, notice);
	json_add_str(o, "url", *v->page_url ? v->page_url : "");
	json_add_bool(o, "good", !w->person);
	if (v->buttons && json_i64(notice, "answer_until_ms", 0)) {
		json_add_str(o, "answers", json_str(notice, "plan", ""));
		json_add_str(o, "approve", notify_label(v->language, LABEL_APPROVE));
		json_add_str(o, "reject", notify_label(v->language, LABEL_REJECT));
	}
	return o;
}

const struct notify_type notify_run = { .name = "run", .on_run = true, .format = format };

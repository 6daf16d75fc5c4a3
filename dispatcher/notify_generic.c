/*
 * Anything that takes JSON: type, timestamp and data as Standard Webhooks has them, signed in
 * notify.c. The fields are those of schemas/notice.schema.json.
 */
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/neutralise.h"
#include "core/text.h"
#include "dispatcher/notify_text.h"

static struct json_object *clean_text(const char *text)
{
	OWNED(buf_done) struct buf out;

	buf_init(&out, NOTIFY_NOTICE_MAX_BYTES);
	neutralise_text(&out, text);
	return json_object_new_string(buf_text(&out));
}

/* The same with every text cleaned; numbers keep their types. Depth is ours. */
static struct json_object *clean(struct json_object *o)
{
	struct json_object *out;

	if (json_object_is_type(o, json_type_string))
		return clean_text(json_object_get_string(o));
	if (json_object_is_type(o, json_type_array)) {
		out = json_object_new_array();
		for (size_t i = 0; i < json_object_array_length(o); i++)
			json_object_array_add(out, clean(json_object_array_get_idx(o, i)));
		return out;
	}
	if (!json_object_is_type(o, json_type_object))
		return json_object_get(o);
	out = json_object_new_object();
	json_object_object_foreach(o, key, value) json_add(out, key, clean(value));
	return out;
}

static void add_answer(struct json_object *o, const char *name, const struct notify_view *v,
		       struct json_object *notice, bool approve)
{
	OWNED(buf_done) struct buf url;

	buf_init(&url, NOTIFY_NOTICE_MAX_BYTES);
	if (notify_answer_url(v, notice, approve, &url))
		json_add_str(o, name, buf_text(&url));
}

static struct json_object *one(const struct notify_view *v, struct json_object *notice)
{
	struct json_object *o = clean(notice);
	const struct notify_word *w = notify_word_of(notice);

	json_add_str(o, "text", w->text[v->language]);
	json_add_str(o, "severity", notify_severities[w->severity]);
	json_add_bool(o, "needs_person", w->person);
	if (!notify_run_url(notice))
		json_object_object_del(o, "url");
	if (!notify_proposal_url(notice))
		json_object_object_del(o, "proposal");
	if (*v->page_url)
		json_add_str(o, "page_url", v->page_url);
	add_answer(o, "approve_url", v, notice, true);
	add_answer(o, "reject_url", v, notice, false);
	return o;
}

static struct json_object *format(const struct notify_view *v)
{
	struct json_object *o = json_object_new_object(), *data;
	char at[25], *type;

	text_from_ms(at, v->at_ms);
	if (v->n == 1) {
		const char *word = json_str(v->notices[0], "word", "news");

		data = one(v, v->notices[0]);
		type = xasprintf("pipeline_guard.%.40s", word);
	} else {
		struct json_object *list = json_object_new_array();

		data = json_object_new_object();
		for (size_t i = 0; i < v->n; i++)
			json_object_array_add(list, one(v, v->notices[i]));
		json_add(data, "notices", list);
		json_add_i64(data, "more", (int64_t)v->more);
		type = xstrdup("pipeline_guard.digest");
	}
	json_add_str(o, "type", type);
	json_add_str(o, "timestamp", at);
	json_add(o, "data", data);
	free(type);
	return o;
}

const struct notify_type notify_generic = { .name = "generic", .signs = true, .format = format };

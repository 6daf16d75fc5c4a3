#include "healers/gitlab_show.h"

#include <inttypes.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/api_core.h"

enum {
	PAGE = 100,
	PAGES_MAX = 5, /* older than these, our note is written anew */
	BODY_MAX = 64 << 10,
};

static const char need[] = "the scope api and the role Developer";

/* At the start of our note, where nobody sees it. */
static const char mark[] = "<!-- pipeline-guard -->";

struct showing {
	const char *body;
	uint64_t me;
	unsigned page;
};

static void ask_notes(struct api_call *c);

static void take_shown(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	if (!api_ended(c, r, o != NULL, "a note or a status"))
		api_report(c);
}

/* The one that is there is changed; 0: there is none. */
static void write_note(struct api_call *c, uint64_t id)
{
	const struct showing *s = c->work;
	struct api_request next = { "POST", NULL, s->body, need, take_shown };

	next.path =
		arena_printf(c->arena, "/merge_requests/%" PRIu64 "/notes", c->run.merge_request);
	if (id) {
		next.method = "PUT";
		next.path = arena_printf(c->arena, "%s/%" PRIu64, next.path, id);
	}
	api_request(c, &next);
}

/* Somebody else may have copied the mark: only what we wrote is ours to change. */
static void take_notes(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct showing *s = c->work;
	uint64_t ours = 0;
	size_t n;

	if (api_ended(c, r, json_object_is_type(o, json_type_array), "a list of notes"))
		return;
	n = json_object_array_length(o);
	for (size_t i = 0; i < n && !ours; i++) {
		struct json_object *one = json_object_array_get_idx(o, i);

		if ((uint64_t)json_i64(one, "author.id", 0) == s->me &&
		    text_starts(json_str(one, "body", ""), mark))
			ours = (uint64_t)json_i64(one, "id", 0);
	}
	if (ours || n < PAGE || ++s->page > PAGES_MAX)
		write_note(c, ours);
	else
		ask_notes(c);
}

static void ask_notes(struct api_call *c)
{
	const struct showing *s = c->work;
	const struct api_request next = {
		"GET",
		arena_printf(c->arena,
			     "/merge_requests/%" PRIu64
			     "/notes?order_by=created_at&sort=desc&per_page=%d&page=%u",
			     c->run.merge_request, PAGE, s->page),
		NULL, need, take_notes
	};

	api_request(c, &next);
}

static void take_me(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct showing *s = c->work;

	s->me = (uint64_t)json_i64(o, "id", 0);
	if (!api_ended(c, r, s->me > 0, "a user"))
		ask_notes(c);
}

static const char *note_body(struct api_call *c, const struct api_note *n)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	OWNED(buf_done) struct buf text;

	buf_init(&text, BODY_MAX);
	buf_printf(&text, "%s\n**%s**\n\n%s\n", mark, n->title, n->summary);
	if (*n->url)
		buf_printf(&text, "\n[Pipeline Guard](%s)\n", n->url);
	json_add_str(o, "body", buf_text(&text));
	return arena_strdup(c->arena, json_text(o));
}

/* A job of its own in the pipeline. It never fails nor holds it: nobody is kept from merging. */
static const char *status_body(struct api_call *c, const struct api_note *n)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();

	json_add_str(o, "state", "success");
	json_add_str(o, "name", "Pipeline Guard");
	json_add_str(o, "description", n->brief);
	json_add_i64(o, "pipeline_id", (int64_t)c->run.run_id);
	if (*n->url)
		json_add_str(o, "target_url", n->url);
	return arena_strdup(c->arena, json_text(o));
}

struct api_call *gitlab_show(struct api *api, const struct api_run *run, const struct api_note *n,
			     api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_requests(api, run, fn, arg);
	struct showing *s = arena_alloc(c->arena, sizeof(*s));

	c->writes = true;
	c->work = s;
	s->page = 1;
	if (!api_is_commit(n->sha)) {
		api_refuse(&c->result, 0, "\"%.40s\" is no commit", n->sha);
		api_report_later(c);
		return c;
	}
	if (run->merge_request) {
		s->body = note_body(c, n);
		c->request = (struct api_request){ "GET", "~/user", NULL, need, take_me };
	} else {
		c->request = (struct api_request){ "POST",
						   arena_printf(c->arena, "/statuses/%s", n->sha),
						   status_body(c, n), need, take_shown };
	}
	return api_submit(c);
}

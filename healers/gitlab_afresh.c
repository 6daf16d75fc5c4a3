/*
 * A pipeline with variables is made at a branch, so it is looked first whether that is still where
 * the failed one was. It is a new pipeline, and the newest of its commit that the API made.
 */
#include "healers/gitlab_afresh.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/api_core.h"
#include "healers/gitlab_words.h"

enum { URL_MAX = 4096, BODY_MAX = 64 << 10, LIST_MAX = 20, OURS_AND_THEIRS_MS = 60 * 1000 };

static const char need_read[] = "the scope read_api and the role Reporter";
static const char need_write[] = "the scope api and the role Developer";

/* --- starting one ------------------------------------------------------------------------ */

static void take_started(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *why = json_str(o, "message.base.0", json_str(o, "message", ""));

	if (c->result.fate == API_REFUSED && r->status == 400 && *why)
		api_refuse(&c->result, r->status, "400: %.150s", why);
	api_report(c);
}

static const char *wish_of(struct api_call *c)
{
	const struct api_afresh *wish = c->work;
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_putc(&b, '{');
	api_put_member(&b, "ref", wish->branch);
	buf_puts(&b, ",\"variables\":[");
	for (unsigned i = 0; i < wish->n_inputs; i++) {
		const char *name, *value;

		api_input(c, wish->inputs[i], &name, &value);
		buf_puts(&b, i ? ",{" : "{");
		api_put_member(&b, "key", name);
		buf_putc(&b, ',');
		api_put_member(&b, "value", value);
		buf_putc(&b, '}');
	}
	buf_puts(&b, "]}");
	return api_body(c, &b);
}

static void take_branch(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const struct api_afresh *wish = c->work;
	const char *sha = json_str(o, "commit.id", "");

	if (r->status == 404) {
		api_refuse(&c->result, r->status, "the branch is not there, or in a fork");
		api_report(c);
		return;
	}
	if (api_ended(c, r, *sha, "a branch"))
		return;
	if (strcmp(sha, wish->sha) != 0) {
		api_refuse(&c->result, 0, "the branch went on since, and its newer run counts");
		api_report(c);
		return;
	}
	api_request(c, &(struct api_request){ .method = "POST",
					      .path = "/pipeline",
					      .body = wish_of(c),
					      .need = need_write,
					      .take = take_started });
}

struct api_call *gitlab_start_afresh(struct api *api, const struct api_run *run,
				     const struct api_afresh *wish, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_afresh(api, true, run, wish, fn, arg);
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_puts(&b, "/repository/branches/");
	api_put_encoded(&b, wish->branch, strlen(wish->branch));
	c->request = (struct api_request){
		.method = "GET", .path = api_body(c, &b), .need = need_read, .take = take_branch
	};
	return api_submit(c);
}

/* --- finding it --------------------------------------------------------------------------- */

/* The highest number is the newest. */
static void take_list(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const struct api_afresh *wish = c->work;

	if (api_ended(c, r, json_object_is_type(o, json_type_array), "a list of pipelines"))
		return;
	c->result.status = c->result.conclusion = "";
	for (size_t i = 0; i < json_object_array_length(o); i++) {
		struct json_object *one = json_object_array_get_idx(o, i);
		uint64_t id = (uint64_t)json_i64(one, "id", 0);
		int64_t at = text_iso8601_ms(json_str(one, "created_at", ""));

		struct gitlab_word w = gitlab_translated(json_str(one, "status", ""));

		/* Two clocks. */
		if (at < wish->since_ms - OURS_AND_THEIRS_MS || id == c->run.run_id ||
		    id <= c->result.other_run)
			continue;
		c->result.other_run = id;
		c->result.status = arena_strdup(c->arena, w.status);
		c->result.conclusion = w.conclusion;
	}
	api_report(c);
}

struct api_call *gitlab_find_afresh(struct api *api, const struct api_run *run,
				    const struct api_afresh *wish, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_afresh(api, false, run, wish, fn, arg);
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_printf(&b, "/pipelines?source=api&per_page=%d&sha=", LIST_MAX);
	api_put_encoded(&b, wish->sha, strlen(wish->sha));
	c->request = (struct api_request){
		.method = "GET", .path = api_body(c, &b), .need = need_read, .take = take_list
	};
	return api_submit(c);
}

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

static const char *branch_path(struct api_call *c)
{
	const struct api_afresh *wish = c->work;
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_puts(&b, "/repository/branches/");
	api_put_encoded(&b, wish->branch, strlen(wish->branch));
	return api_body(c, &b);
}

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
		api_end_refused(c, API_WENT_ON);
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

	c->request = (struct api_request){
		.method = "GET", .path = branch_path(c), .need = need_read, .take = take_branch
	};
	return api_submit(c);
}

/* --- bringing a branch up to date ---------------------------------------------------------- */

static const char *request_path(struct api_call *c, const char *below)
{
	return arena_printf(c->arena, "/merge_requests/%" PRIu64 "%s", c->run.merge_request, below);
}

/* The rebase goes on by itself; a conflict is found at once, as a rule. */
static void take_rebased(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *why = json_str(o, "merge_error", "");

	if (c->result.fate == API_OK && *why && !json_flag(o, "rebase_in_progress", false))
		api_refuse(&c->result, 0, "%.180s", why);
	else if (c->result.fate == API_REFUSED)
		/* That it was asked for is certain. */
		api_say(&c->result, API_OK, r->status, -1, "%s", "");
	api_report(c);
}

static void take_accepted(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *why = json_str(o, "message", "");

	if (c->result.fate == API_REFUSED && *why)
		api_refuse(&c->result, r->status, "%d: %.150s", r->status, why);
	if (c->result.fate != API_OK) {
		api_report(c);
		return;
	}
	api_request(c, &(struct api_request){
			       .method = "GET",
			       .path = request_path(c, "?include_rebase_in_progress=true"),
			       .need = need_read,
			       .take = take_rebased,
		       });
}

static void take_request(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const struct api_afresh *wish = c->work;
	bool ours = json_i64(o, "source_project_id", 0) == json_i64(o, "target_project_id", -1);

	if (api_ended(c, r, json_i64(o, "iid", 0) > 0, "a merge request"))
		return;
	if (strcmp(json_str(o, "state", ""), "opened") != 0)
		api_end_refused(c, "the merge request is not open any more");
	else if (*wish->base && strcmp(json_str(o, "target_branch", ""), wish->base) != 0)
		api_end_refused(
			c, "the merge request is for another branch than the one that was mended");
	else if (strcmp(json_str(o, "sha", ""), wish->sha) != 0)
		api_end_went_on(c);
	else if (!ours && !json_flag(o, "allow_maintainer_to_push", false))
		api_end_refused(c,
				"the branch is in a fork whose owner does not let us write to it");
	else if (json_i64(o, "diverged_commits_count", 1) == 0)
		api_end_refused(c, "the branch is up to date already");
	else if (json_flag(o, "has_conflicts", false))
		api_end_refused(c, "both branches changed the same: a person has to merge them");
	else
		api_request(c, &(struct api_request){ .method = "PUT",
						      .path = request_path(c, "/rebase"),
						      .body = "{}",
						      .need = need_write,
						      .take = take_accepted });
}

static void ask_request(struct api_call *c)
{
	api_request(c, &(struct api_request){
			       .method = "GET",
			       .path = request_path(c, "?include_diverged_commits_count=true"),
			       .need = need_read,
			       .take = take_request,
		       });
}

/*
 * Others contain the commit, too: those of branches that were made from this one, or of the same
 * name in a fork.
 */
static void take_requests(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const struct api_afresh *wish = c->work;

	if (api_ended(c, r, json_object_is_type(o, json_type_array), "a list of merge requests"))
		return;
	for (size_t i = 0; i < json_object_array_length(o) && !c->run.merge_request; i++) {
		struct json_object *one = json_object_array_get_idx(o, i);

		if (strcmp(json_str(one, "state", ""), "opened") == 0 &&
		    strcmp(json_str(one, "source_branch", ""), wish->branch) == 0 &&
		    (uint64_t)json_i64(one, "source_project_id", 0) == c->run.repo_id)
			c->run.merge_request = (uint64_t)json_i64(one, "iid", 0);
	}
	if (c->run.merge_request)
		ask_request(c);
	else
		api_end_refused(c, "there is no open merge request of that commit");
}

struct api_call *gitlab_update_branch(struct api *api, const struct api_run *run,
				      const struct api_afresh *wish, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_afresh(api, true, run, wish, fn, arg);
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_puts(&b, "/repository/commits/");
	api_put_encoded(&b, wish->sha, strlen(wish->sha));
	buf_puts(&b, "/merge_requests");
	c->request = (struct api_request){
		.method = "GET", .path = api_body(c, &b), .need = need_read, .take = take_requests
	};
	if (run->merge_request) {
		c->request.path = request_path(c, "?include_diverged_commits_count=true");
		c->request.take = take_request;
	}
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

static struct api_request list_of(struct api_call *c, const char *source, const char *sha)
{
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_printf(&b, "/pipelines?%sper_page=%d&sha=", source, LIST_MAX);
	api_put_encoded(&b, sha, strlen(sha));
	if (*c->api->self) {
		buf_puts(&b, "&username=");
		api_put_encoded(&b, c->api->self, strlen(c->api->self));
	}
	return (struct api_request){
		.method = "GET", .path = api_body(c, &b), .need = need_read, .take = take_list
	};
}

/* Pipelines of a merge request are at another reference than its branch, but of its commit. */
static void take_new_head(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const struct api_afresh *wish = c->work;
	const char *sha = json_str(o, "commit.id", json_str(o, "sha", ""));
	struct api_request list;

	if (api_ended(c, r, *sha, "a branch"))
		return;
	c->result.status = c->result.conclusion = "";
	if (strcmp(sha, wish->sha) == 0) {
		api_report(c);
		return;
	}
	list = list_of(c, "", sha);
	api_request(c, &list);
}

static struct api_request first_of(struct api_call *c)
{
	const struct api_afresh *wish = c->work;

	if (!wish->updated)
		return list_of(c, "source=api&", wish->sha);
	return (struct api_request){
		.method = "GET",
		.path = c->run.merge_request ? request_path(c, "") : branch_path(c),
		.need = need_read,
		.take = take_new_head,
	};
}

static void ask_first(struct api_call *c)
{
	const struct api_request first = first_of(c);

	api_request(c, &first);
}

static void take_self(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	api_take_self(c, r, json_str(o, "username", ""));
}

struct api_call *gitlab_find_afresh(struct api *api, const struct api_run *run,
				    const struct api_afresh *wish, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_afresh(api, false, run, wish, fn, arg);

	if (!api_ask_self(c, ask_first, "~/user", take_self, &c->request))
		c->request = first_of(c);
	return api_submit(c);
}

/*
 * A workflow is started by hand at a branch, not at a commit. So it is looked first whether the
 * branch is still where the failed run was, and whether it is a branch of this repository at all.
 * GitHub does not say which run it made: it is the newest one that was started so for that commit.
 */
#include "healers/github_afresh.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/api_core.h"

enum { URL_MAX = 4096, BODY_MAX = 64 << 10, LIST_MAX = 20, OURS_AND_THEIRS_MS = 60 * 1000 };

static const char need_read[] = "actions: read";
static const char need_write[] = "actions: write";

/* --- starting one ------------------------------------------------------------------------ */

static void take_started(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *why = json_str(o, "message", "");

	if (c->result.fate == API_REFUSED && r->status == 422 && *why)
		api_refuse(&c->result, r->status, "422: %.150s", why);
	api_report(c);
}

static const char *wish_of(struct api_call *c)
{
	const struct api_afresh *wish = c->work;
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_putc(&b, '{');
	api_put_member(&b, "ref", wish->branch);
	buf_puts(&b, ",\"inputs\":{");
	for (unsigned i = 0; i < wish->n_inputs; i++) {
		const char *name, *value;

		api_input(c, wish->inputs[i], &name, &value);
		if (i)
			buf_putc(&b, ',');
		buf_json(&b, name, strlen(name));
		buf_putc(&b, ':');
		buf_json(&b, value, strlen(value));
	}
	buf_puts(&b, "}}");
	return api_body(c, &b);
}

/* The newest run of the branch is of the commit that it is at. */
static void take_newest(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const struct api_afresh *wish = c->work;
	struct json_object *list = json_at(o, "workflow_runs");

	if (api_ended(c, r, json_object_is_type(list, json_type_array), "a list of runs"))
		return;
	if (strcmp(json_str(o, "workflow_runs.0.head_sha", ""), wish->sha) != 0) {
		api_end_refused(c, API_WENT_ON);
		return;
	}
	api_request(c, &(struct api_request){
			       .method = "POST",
			       .path = arena_printf(c->arena,
						    "/actions/workflows/%" PRIu64 "/dispatches",
						    wish->pipeline_id),
			       .body = wish_of(c),
			       .need = need_write,
			       .take = take_started,
		       });
}

static void take_run(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct api_afresh *wish = c->work;
	int64_t home = json_i64(o, "repository.id", 0), head = json_i64(o, "head_repository.id", 0);
	struct buf b;

	if (api_ended(c, r, json_i64(o, "workflow_id", 0) > 0 && home > 0, "a workflow run"))
		return;
	if (home != head) {
		api_end_refused(c, "the branch is in a fork, where nothing is started");
		return;
	}
	if (!*wish->branch) {
		api_end_refused(c, "the run is of no branch");
		return;
	}
	wish->pipeline_id = (uint64_t)json_i64(o, "workflow_id", 0);
	buf_init(&b, URL_MAX);
	buf_puts(&b, "/actions/runs?per_page=1&exclude_pull_requests=true&branch=");
	api_put_encoded(&b, wish->branch, strlen(wish->branch));
	api_request(c, &(struct api_request){ .method = "GET",
					      .path = api_body(c, &b),
					      .need = need_read,
					      .take = take_newest });
}

struct api_call *github_start_afresh(struct api *api, const struct api_run *run,
				     const struct api_afresh *wish, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_afresh(api, true, run, wish, fn, arg);

	c->of_runs = true;
	c->request = (struct api_request){
		.method = "GET",
		.path = arena_printf(c->arena, "/actions/runs/%" PRIu64, run->run_id),
		.need = need_read,
		.take = take_run,
	};
	return api_submit(c);
}

/* --- bringing a branch up to date ---------------------------------------------------------- */

static const char need_change[] = "contents: write and pull requests: write";

/* True: that is how the pull request is left, and it was reported. */
static bool refused(struct api_call *c, struct json_object *pull)
{
	const struct api_afresh *wish = c->work;
	bool ours = json_i64(pull, "head.repo.id", 0) == json_i64(pull, "base.repo.id", -1);

	if (strcmp(json_str(pull, "state", ""), "open") != 0)
		api_end_refused(c, "the pull request is not open any more");
	else if (strcmp(json_str(pull, "head.sha", ""), wish->sha) != 0)
		api_end_went_on(c);
	else if (!ours && !json_flag(pull, "maintainer_can_modify", false))
		api_end_refused(c,
				"the branch is in a fork whose owner does not let us write to it");
	else if (strcmp(json_str(pull, "mergeable_state", ""), "dirty") == 0)
		api_end_refused(c, "both branches changed the same: a person has to merge them");
	else
		return false;
	return true;
}

static void take_updated(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	if (c->result.fate == API_REFUSED && r->status == 422 && strcasestr(r->body, "head sha"))
		api_end_went_on(c);
	else
		take_started(c, r, o);
}

static void take_pull(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const struct api_afresh *wish = c->work;
	int64_t number = json_i64(o, "number", 0);
	struct buf b;

	if (api_ended(c, r, number > 0, "a pull request") || refused(c, o))
		return;
	buf_init(&b, BODY_MAX);
	buf_putc(&b, '{');
	api_put_member(&b, "expected_head_sha", wish->sha);
	buf_putc(&b, '}');
	api_request(c, &(struct api_request){
			       .method = "PUT",
			       .path = arena_printf(c->arena, "/pulls/%" PRId64 "/update-branch",
						    number),
			       .body = api_body(c, &b),
			       .need = need_change,
			       .take = take_updated,
		       });
}

/* Another repository has a branch of the same name. */
static bool is_of_branch(const struct api_afresh *wish, const char *branch, const char *repo)
{
	return strcmp(branch, wish->branch) == 0 &&
	       (!*wish->head_repo || strcasecmp(repo, wish->head_repo) == 0);
}

/* Others contain the commit, too: those of branches that were made from this one. */
static void take_pulls(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const struct api_afresh *wish = c->work;
	int64_t number = 0;

	if (api_ended(c, r, json_object_is_type(o, json_type_array), "a list of pull requests"))
		return;
	for (size_t i = 0; i < json_object_array_length(o); i++) {
		struct json_object *one = json_object_array_get_idx(o, i);

		if (strcmp(json_str(one, "state", ""), "open") == 0 &&
		    is_of_branch(wish, json_str(one, "head.ref", ""),
				 json_str(one, "head.repo.full_name", "")) &&
		    (!*wish->base || strcmp(json_str(one, "base.ref", ""), wish->base) == 0) &&
		    (!number || strcmp(json_str(one, "head.sha", ""), wish->sha) == 0))
			number = json_i64(one, "number", 0);
	}
	if (number <= 0) {
		api_refuse(&c->result, 0,
			   "there is no open pull request of that commit for the branch %.80s",
			   wish->base);
		api_report(c);
		return;
	}
	api_request(c, &(struct api_request){
			       .method = "GET",
			       .path = arena_printf(c->arena, "/pulls/%" PRId64, number),
			       .need = need_change,
			       .take = take_pull,
		       });
}

struct api_call *github_update_branch(struct api *api, const struct api_run *run,
				      const struct api_afresh *wish, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_afresh(api, true, run, wish, fn, arg);
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_puts(&b, "/commits/");
	api_put_encoded(&b, wish->sha, strlen(wish->sha));
	buf_puts(&b, "/pulls");
	c->request = (struct api_request){
		.method = "GET", .path = api_body(c, &b), .need = need_change, .take = take_pulls
	};
	return api_submit(c);
}

/* --- finding it --------------------------------------------------------------------------- */

static bool is_it(const struct api_call *c, struct json_object *run)
{
	const struct api_afresh *wish = c->work;
	int64_t at = text_iso8601_ms(json_str(run, "created_at", ""));
	uint64_t workflow = (uint64_t)json_i64(run, "workflow_id", 0);

	if (wish->updated && (strcmp(json_str(run, "head_sha", ""), wish->sha) == 0 ||
			      !is_of_branch(wish, json_str(run, "head_branch", ""),
					    json_str(run, "head_repository.full_name", ""))))
		return false;
	/* Whoever runs it again is its triggering actor. */
	if (api_is_foreign(c->api, json_str(run, "actor.login", "")))
		return false;
	/* Two clocks. */
	return at >= wish->since_ms - OURS_AND_THEIRS_MS &&
	       (uint64_t)json_i64(run, "id", 0) != c->run.run_id &&
	       (!wish->pipeline_id || workflow == wish->pipeline_id);
}

/* Newest first. */
static void take_list(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct json_object *list = json_at(o, "workflow_runs");

	if (api_ended(c, r, json_object_is_type(list, json_type_array), "a list of runs"))
		return;
	c->result.status = c->result.conclusion = "";
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *run = json_object_array_get_idx(list, i);

		if (!is_it(c, run))
			continue;
		c->result.other_run = (uint64_t)json_i64(run, "id", 0);
		c->result.status = arena_strdup(c->arena, json_str(run, "status", ""));
		c->result.conclusion = arena_strdup(c->arena, json_str(run, "conclusion", ""));
		break;
	}
	api_report(c);
}

static struct api_request list_of(struct api_call *c)
{
	const struct api_afresh *wish = c->work;
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_printf(&b, "/actions/runs?exclude_pull_requests=true&per_page=%d&event=", LIST_MAX);
	if (wish->updated) {
		api_put_encoded(&b, wish->trigger, strlen(wish->trigger));
		buf_puts(&b, "&branch=");
		api_put_encoded(&b, wish->branch, strlen(wish->branch));
	} else {
		buf_puts(&b, "workflow_dispatch&head_sha=");
		api_put_encoded(&b, wish->sha, strlen(wish->sha));
	}
	return (struct api_request){
		.method = "GET", .path = api_body(c, &b), .need = need_read, .take = take_list
	};
}

static void ask_list(struct api_call *c)
{
	const struct api_request list = list_of(c);

	api_request(c, &list);
}

struct api_call *github_find_afresh(struct api *api, const struct api_run *run,
				    const struct api_afresh *wish, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_afresh(api, false, run, wish, fn, arg);

	c->of_runs = true;
	if (!github_ask_self(c, ask_list, &c->request))
		c->request = list_of(c);
	return api_submit(c);
}

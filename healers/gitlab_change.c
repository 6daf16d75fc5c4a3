/* A change goes in as one call, which makes the branch and the commit on it or nothing. */
#include "healers/gitlab_change.h"

#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/api_core.h"
#include "healers/change.h"

enum { URL_MAX = 4096, BODY_MAX = 32 << 20 };

static const char need_read[] = "the scope read_api and the role Reporter";
static const char need_write[] = "the scope api and the role Developer";

/* What GitLab says itself is worth more than the number of its answer. */
static void say_why(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *why = json_str(o, "message", json_str(o, "message.0", ""));

	if (c->result.fate == API_REFUSED && (r->status == 400 || r->status == 409) && *why)
		api_refuse(&c->result, r->status, "%d: %.150s", r->status, why);
}

static bool there_already(struct api_call *c, const struct http_reply *r)
{
	if ((r->status != 400 && r->status != 409) || !strcasestr(r->body, "already exists"))
		return false;
	api_end_there(c, r);
	return true;
}

/* --- looking ----------------------------------------------------------------------------- */

static void take_branch(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct api_branch *b = &c->result.branch;

	if (r->status == 404) {
		api_end_nothing(c, r);
		return;
	}
	if (api_ended(c, r, *json_str(o, "commit.id", ""), "a branch"))
		return;
	b->sha = api_text(c, o, "commit.id");
	b->parent = api_text(c, o, "commit.parent_ids.0");
	b->message = api_text(c, o, "commit.message");
	api_report(c);
}

struct api_call *gitlab_get_branch(struct api *api, const struct api_run *run, const char *branch,
				   api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_requests(api, run, fn, arg);
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_puts(&b, "/repository/branches/");
	api_put_encoded(&b, branch, strlen(branch));
	c->request = (struct api_request){ "GET", api_body(c, &b), NULL, need_read, take_branch };
	return api_submit(c);
}

static void read_proposal(struct api_call *c, struct json_object *o)
{
	static const struct {
		const char *word;
		enum api_proposal_state state;
	} states[] = {
		{ "merged", PROPOSAL_MERGED }, { "closed", PROPOSAL_CLOSED },
		/* "opened", and "locked" while it is being merged. */
	};
	const char *merged = json_str(o, "merged_at", ""), *closed = json_str(o, "closed_at", "");
	struct api_proposal *p = &c->result.proposal;

	p->url = api_text(c, o, "web_url");
	p->state = PROPOSAL_OPEN;
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (strcmp(json_str(o, "state", ""), states[i].word) == 0)
			p->state = states[i].state;
	p->ended_at_ms = text_iso8601_ms(*merged ? merged : closed);
}

static void take_proposals(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	if (api_ended(c, r, json_object_is_type(o, json_type_array), "a list of merge requests"))
		return;
	/* Newest first. Anybody may name a branch of a fork like ours and ask to have it merged. */
	for (size_t i = 0; i < json_object_array_length(o) && !*c->result.proposal.url; i++) {
		struct json_object *one = json_object_array_get_idx(o, i);

		if (json_i64(one, "source_project_id", 0) == json_i64(one, "target_project_id", 0))
			read_proposal(c, one);
	}
	api_report(c);
}

struct api_call *gitlab_find_proposal(struct api *api, const struct api_run *run,
				      const char *branch, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_requests(api, run, fn, arg);
	struct buf b;

	buf_init(&b, URL_MAX);
	buf_puts(&b, "/merge_requests?state=all&order_by=created_at&sort=desc&per_page=20"
		     "&source_branch=");
	api_put_encoded(&b, branch, strlen(branch));
	c->request =
		(struct api_request){ "GET", api_body(c, &b), NULL, need_read, take_proposals };
	return api_submit(c);
}

static void take_project(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *url = json_str(o, "http_url_to_repo", "");

	if (api_ended(c, r, *url, "a project"))
		return;
	(void)api_clone(c, url, "oauth2", json_i64(o, "statistics.repository_size", 0));
	api_report(c);
}

struct api_call *gitlab_get_clone(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_requests(api, run, fn, arg);

	c->request =
		(struct api_request){ "GET", "?statistics=true", NULL, need_read, take_project };
	return api_submit(c);
}

/* --- one commit on a new branch ------------------------------------------------------------ */

static void take_commit(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	if (there_already(c, r))
		return;
	say_why(c, r, o);
	if (!api_ended(c, r, *json_str(o, "id", ""), "a commit"))
		api_report(c);
}

static void put_action(struct buf *b, const struct change_file *f)
{
	buf_puts(b, "{\"action\":");
	buf_puts(b, f->deleted ? "\"delete\"," : f->before ? "\"update\"," : "\"create\",");
	api_put_member(b, "file_path", f->path);
	if (!f->deleted) {
		buf_puts(b, ",\"content\":");
		buf_json(b, f->after, f->n_after);
	}
	/* An update keeps the mode. */
	if (!f->before && f->executable)
		buf_puts(b, ",\"execute_filemode\":true");
	buf_putc(b, '}');
}

struct api_call *gitlab_commit_files(struct api *api, const struct api_run *run,
				     const struct api_change *change, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_change(api, run, change, fn, arg);
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_putc(&b, '{');
	api_put_member(&b, "branch", change->branch);
	buf_putc(&b, ',');
	api_put_member(&b, "start_sha", change->sha);
	buf_putc(&b, ',');
	api_put_member(&b, "commit_message", change->message);
	buf_putc(&b, ',');
	api_put_member(&b, "author_name", change->author_name);
	buf_putc(&b, ',');
	api_put_member(&b, "author_email", change->author_email);
	buf_puts(&b, ",\"actions\":[");
	for (unsigned i = 0; i < change->change->n; i++) {
		buf_puts(&b, i ? "," : "");
		put_action(&b, &change->change->files[i]);
	}
	buf_puts(&b, "]}");
	c->request = (struct api_request){ "POST", "/repository/commits", api_body(c, &b),
					   need_write, take_commit };
	return api_submit(c);
}

/* --- the merge request ----------------------------------------------------------------------- */

static void take_opened(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	if (there_already(c, r))
		return;
	say_why(c, r, o);
	if (api_ended(c, r, *json_str(o, "web_url", ""), "a merge request"))
		return;
	read_proposal(c, o);
	api_report(c);
}

struct api_call *gitlab_open_proposal(struct api *api, const struct api_run *run,
				      const struct api_change *change, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_change(api, run, change, fn, arg);
	const char *title =
		arena_printf(c->arena, "%s%s", change->draft ? "Draft: " : "", change->title);
	const char *labels = "";
	struct buf b;

	for (unsigned i = 0; i < change->n_labels; i++)
		labels = arena_printf(c->arena, "%s%s%s", labels, i ? "," : "", change->labels[i]);
	buf_init(&b, BODY_MAX);
	buf_putc(&b, '{');
	api_put_member(&b, "source_branch", change->branch);
	buf_putc(&b, ',');
	api_put_member(&b, "target_branch", change->onto);
	buf_putc(&b, ',');
	api_put_member(&b, "title", title);
	buf_putc(&b, ',');
	api_put_member(&b, "description", change->body);
	buf_putc(&b, ',');
	api_put_member(&b, "labels", labels);
	buf_puts(&b, ",\"remove_source_branch\":true}");
	c->request = (struct api_request){ "POST", "/merge_requests", api_body(c, &b), need_write,
					   take_opened };
	return api_submit(c);
}

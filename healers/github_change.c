/*
 * A change goes in as git objects, which nobody sees: the tree of the commit it rests on with some
 * files replaced, a commit of that, and last the branch. So an interrupted one leaves nothing but
 * what is cleared away some day.
 */
#include "healers/github_change.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/api_core.h"
#include "healers/change.h"

enum { URL_MAX = 4096, BODY_MAX = 32 << 20 };

static const char need_read[] = "contents: read and pull requests: read";
static const char need_write[] = "contents: write and pull requests: write";

static bool is_array(struct json_object *o)
{
	return json_object_is_type(o, json_type_array);
}

static void post(struct api_call *c, const char *path, struct buf *b,
		 void (*take)(struct api_call *, const struct http_reply *, struct json_object *))
{
	struct api_request r = { "POST", path, api_body(c, b), need_write, take };

	if (r.body) {
		api_request(c, &r);
		return;
	}
	api_end_refused(c, "the change is too large to be sent");
}

/* 422 of something that is there already: whoever made it, it is not made again. */
static bool there_already(struct api_call *c, const struct http_reply *r)
{
	if (r->status != 422 || !strcasestr(r->body, "already exists"))
		return false;
	api_end_there(c, r);
	return true;
}

/* --- looking ----------------------------------------------------------------------------- */

/* Of a branch that was renamed GitHub tells the new one. */
static void take_branch(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct api_branch *b = &c->result.branch;

	if (r->status == 404) {
		api_end_nothing(c, r);
		return;
	}
	if (api_ended(c, r, *json_str(o, "commit.sha", ""), "a branch"))
		return;
	if (strcmp(json_str(o, "name", ""), c->change.branch) == 0) {
		b->sha = api_text(c, o, "commit.sha");
		b->parent = api_text(c, o, "commit.parents.0.sha");
		b->message = api_text(c, o, "commit.commit.message");
	}
	api_report(c);
}

struct api_call *github_get_branch(struct api *api, const struct api_run *run, const char *branch,
				   api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_requests(api, run, fn, arg);
	struct buf b;

	c->change.branch = arena_strdup(c->arena, branch);
	buf_init(&b, URL_MAX);
	buf_puts(&b, "/branches/");
	api_put_path(&b, branch);
	c->request = (struct api_request){ "GET", api_body(c, &b), NULL, need_read, take_branch };
	return api_submit(c);
}

static void read_proposal(struct api_call *c, struct json_object *o)
{
	const char *merged = json_str(o, "merged_at", ""), *closed = json_str(o, "closed_at", "");

	c->result.proposal = (struct api_proposal){
		.url = api_text(c, o, "html_url"),
		.state = *merged                                         ? PROPOSAL_MERGED
			 : strcmp(json_str(o, "state", ""), "open") == 0 ? PROPOSAL_OPEN
									 : PROPOSAL_CLOSED,
		.ended_at_ms = text_iso8601_ms(*merged ? merged : closed),
	};
}

/* Anybody may name a branch of a fork like ours and ask to have it pulled. */
static bool is_of_our_branch(const struct api_call *c, struct json_object *o)
{
	return strcmp(json_str(o, "head.ref", ""), c->change.branch) == 0 &&
	       json_i64(o, "head.repo.id", 0) == json_i64(o, "base.repo.id", 0);
}

/* The list is of our branch, when GitHub takes the filter for one. */
static void take_proposals(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	if (api_ended(c, r, is_array(o), "a list of pull requests"))
		return;
	for (size_t i = 0; i < json_object_array_length(o) && !*c->result.proposal.url; i++) {
		struct json_object *one = json_object_array_get_idx(o, i);

		if (is_of_our_branch(c, one))
			read_proposal(c, one);
	}
	api_report(c);
}

struct api_call *github_find_proposal(struct api *api, const struct api_run *run,
				      const char *branch, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_requests(api, run, fn, arg);
	struct buf b;

	c->change.branch = arena_strdup(c->arena, branch);
	buf_init(&b, URL_MAX);
	buf_puts(&b, "/pulls?state=all&sort=created&direction=desc&per_page=5&head=");
	api_put_encoded(&b, run->repo, strcspn(run->repo, "/"));
	buf_putc(&b, ':');
	api_put_encoded(&b, branch, strlen(branch));
	c->request =
		(struct api_request){ "GET", api_body(c, &b), NULL, need_read, take_proposals };
	return api_submit(c);
}

static void take_repo(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *url = json_str(o, "clone_url", "");

	if (api_ended(c, r, *url, "a repository"))
		return;
	(void)api_clone(c, url, "x-access-token", json_i64(o, "size", 0) * 1024);
	api_report(c);
}

struct api_call *github_get_clone(struct api *api, const struct api_run *run, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_requests(api, run, fn, arg);

	c->request = (struct api_request){ "GET", "", NULL, need_read, take_repo };
	return api_submit(c);
}

/* --- one commit on a new branch ------------------------------------------------------------ */

struct commit {
	const char *tree;   /* of the commit it rests on */
	unsigned file;      /* whose way down the tree is walked */
	const char *left;   /* of its path */
	const char **modes; /* of each: as it is, so that it stays that way */
};

static void take_ref(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	UNUSED(o);
	if (!there_already(c, r))
		api_report(c);
}

static void take_new_commit(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *sha = json_str(o, "sha", "");
	struct buf b;

	if (api_ended(c, r, *sha, "a commit"))
		return;
	buf_init(&b, URL_MAX);
	buf_puts(&b, "{\"ref\":\"refs/heads/");
	buf_puts(&b, c->change.branch); /* ours: it needs no escapes */
	buf_puts(&b, "\",\"sha\":");
	buf_json(&b, sha, strlen(sha));
	buf_putc(&b, '}');
	post(c, "/git/refs", &b, take_ref);
}

static void take_new_tree(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	const char *sha = json_str(o, "sha", "");
	const struct api_change *ch = &c->change;
	struct buf b;

	if (api_ended(c, r, *sha, "a tree"))
		return;
	buf_init(&b, BODY_MAX);
	buf_putc(&b, '{');
	api_put_member(&b, "message", ch->message);
	buf_putc(&b, ',');
	api_put_member(&b, "tree", sha);
	buf_puts(&b, ",\"parents\":[");
	buf_json(&b, ch->sha, strlen(ch->sha));
	buf_puts(&b, "],\"author\":{");
	api_put_member(&b, "name", ch->author_name);
	buf_putc(&b, ',');
	api_put_member(&b, "email", ch->author_email);
	buf_puts(&b, "}}");
	post(c, "/git/commits", &b, take_new_commit);
}

static void make_tree(struct api_call *c)
{
	const struct change *change = c->change.change;
	const struct commit *w = c->work;
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_putc(&b, '{');
	api_put_member(&b, "base_tree", w->tree);
	buf_puts(&b, ",\"tree\":[");
	for (unsigned i = 0; i < change->n; i++) {
		const struct change_file *f = &change->files[i];

		buf_puts(&b, i ? ",{" : "{");
		api_put_member(&b, "path", f->path);
		buf_printf(&b, ",\"mode\":\"%s\",\"type\":\"blob\",", w->modes[i]);
		buf_puts(&b, f->deleted ? "\"sha\":null" : "\"content\":");
		if (!f->deleted)
			buf_json(&b, f->after, f->n_after);
		buf_putc(&b, '}');
	}
	buf_puts(&b, "]}");
	post(c, "/git/trees", &b, take_new_tree);
}

static void walk(struct api_call *c, const char *tree);

static void next_file(struct api_call *c)
{
	struct commit *w = c->work;

	if (++w->file == c->change.change->n) {
		make_tree(c);
		return;
	}
	w->left = c->change.change->files[w->file].path;
	walk(c, w->tree);
}

static struct json_object *entry_of(struct json_object *tree, const char *name, size_t n)
{
	for (size_t i = 0; i < json_object_array_length(tree); i++) {
		struct json_object *o = json_object_array_get_idx(tree, i);
		const char *path = json_str(o, "path", "");

		if (strlen(path) == n && strncmp(path, name, n) == 0)
			return o;
	}
	return NULL;
}

static void no_file(struct api_call *c, const char *why)
{
	api_refuse(&c->result, 0, "%.100s %s",
		   c->change.change->files[((struct commit *)c->work)->file].path, why);
	api_report(c);
}

/* A link or a submodule would become a file. */
static void found_entry(struct api_call *c, struct json_object *entry)
{
	struct commit *w = c->work;
	const char *mode = json_str(entry, "mode", "");
	bool is_file = strcmp(mode, "100644") == 0 || strcmp(mode, "100755") == 0;
	const struct change_file *f = &c->change.change->files[w->file];

	if (f->before ? !is_file : entry != NULL) {
		no_file(c, f->before ? "is no regular file there" : "is there already");
		return;
	}
	w->modes[w->file] = entry           ? arena_strdup(c->arena, mode)
			    : f->executable ? "100755"
					    : "100644";
	next_file(c);
}

static void take_tree(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct commit *w = c->work;
	size_t n = strcspn(w->left, "/");
	struct json_object *entry, *tree = json_at(o, "tree");

	if (api_ended(c, r, is_array(tree) && !json_flag(o, "truncated", false), "a whole tree"))
		return;
	entry = entry_of(tree, w->left, n);
	if (!w->left[n]) {
		found_entry(c, entry);
	} else if (!entry) {
		w->left += strlen(w->left); /* a new folder: nothing is in it */
		found_entry(c, NULL);
	} else if (strcmp(json_str(entry, "type", ""), "tree") != 0) {
		no_file(c, "is below something that is no folder");
	} else {
		w->left += n + 1;
		walk(c, json_str(entry, "sha", ""));
	}
}

static void walk(struct api_call *c, const char *tree)
{
	const struct api_request next = {
		"GET", arena_printf(c->arena, "/git/trees/%.64s", tree), NULL, need_read, take_tree,
	};

	api_request(c, &next);
}

static void take_base(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	struct commit *w = c->work;

	if (api_ended(c, r, *json_str(o, "tree.sha", ""), "a commit"))
		return;
	w->tree = api_text(c, o, "tree.sha");
	w->left = c->change.change->files[0].path;
	walk(c, w->tree);
}

struct api_call *github_commit_files(struct api *api, const struct api_run *run,
				     const struct api_change *change, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_change(api, run, change, fn, arg);
	struct commit *w = arena_alloc(c->arena, sizeof(*w));

	w->modes = arena_alloc(c->arena, change->change->n * sizeof(*w->modes));
	c->work = w;
	c->request = (struct api_request){
		"GET",     arena_printf(c->arena, "/git/commits/%.64s", change->sha),
		NULL,      need_write,
		take_base,
	};
	return api_submit(c);
}

/* --- the pull request ------------------------------------------------------------------------ */

/* It is open, whatever became of its labels. */
static void take_labels(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	UNUSED(o);
	api_say(&c->result, API_OK, r->status, -1, "%s", "");
	api_report(c);
}

static void take_opened(struct api_call *c, const struct http_reply *r, struct json_object *o)
{
	int64_t number = json_i64(o, "number", 0);
	struct buf b;

	if (there_already(c, r) || api_ended(c, r, *json_str(o, "html_url", ""), "a pull request"))
		return;
	read_proposal(c, o);
	if (!c->change.n_labels || number <= 0) {
		api_report(c);
		return;
	}
	buf_init(&b, BODY_MAX);
	buf_puts(&b, "{\"labels\":[");
	for (unsigned i = 0; i < c->change.n_labels; i++) {
		buf_puts(&b, i ? "," : "");
		buf_json(&b, c->change.labels[i], strlen(c->change.labels[i]));
	}
	buf_puts(&b, "]}");
	post(c, arena_printf(c->arena, "/issues/%" PRId64 "/labels", number), &b, take_labels);
}

struct api_call *github_open_proposal(struct api *api, const struct api_run *run,
				      const struct api_change *change, api_fn *fn, void *arg)
{
	struct api_call *c = api_begin_change(api, run, change, fn, arg);
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_putc(&b, '{');
	api_put_member(&b, "title", change->title);
	buf_putc(&b, ',');
	api_put_member(&b, "head", change->branch);
	buf_putc(&b, ',');
	api_put_member(&b, "base", change->onto);
	buf_putc(&b, ',');
	api_put_member(&b, "body", change->body);
	buf_printf(&b, ",\"draft\":%s}", change->draft ? "true" : "false");
	c->request =
		(struct api_request){ "POST", "/pulls", api_body(c, &b), need_write, take_opened };
	return api_submit(c);
}

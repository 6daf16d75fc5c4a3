/* GitLab's REST API about what is in a repository, merge requests, and pipelines by hand. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/http_server.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/gitlab.h"
#include "tests/simulator/js.h"
#include "tests/simulator/reply.h"

enum { ANSWER_MAX = 64 << 20, EDITS_MAX = 1000, PER_PAGE = 20, TITLE_MAX = 255 };
enum { ACCESS_READ = 20, ACCESS_WRITE = 30 };

/* --- small things ------------------------------------------------------------------ */

static void reply(struct ask *a, int status, struct buf *b)
{
	(void)js_done(b);
	ask_reply(a, status, "application/json", buf_text(b), b->len);
	buf_done(b);
}

/* NULL: answered. */
static struct depot *depot_of(struct ask *a)
{
	const struct repo *r = world_repo_by_id(a->sim->world, a->ids[0]);
	struct depot *d = r ? forge_depot(a->sim->forge, r, false) : NULL;

	if (!d)
		gitlab_refuse(a, 404, "404 Project Not Found");
	return d;
}

static bool body_of(struct ask *a, struct json_object **out)
{
	struct err err;
	bool ok =
		!a->http->body_len || json_parse(a->http->body, a->http->body_len, out, &err) == 0;

	if (!a->http->body_len)
		*out = json_object_new_object();
	if (ok && json_object_is_type(*out, json_type_object))
		return true;
	ask_reply_json(a, 400, "{\"error\":\"body is not a JSON object\"}");
	return false;
}

static void missing(struct ask *a, const char *what)
{
	char body[160];

	(void)snprintf(body, sizeof(body), "{\"error\":\"%s is missing\"}", what);
	ask_reply_json(a, 400, body);
}

static void put_id(struct buf *b, const char *key, const git_oid *id)
{
	char hex[GIT_OID_HEXSZ + 1];

	js_str(b, key, git_oid_tostr(hex, sizeof(hex), id));
}

/* --- the project and its branches ---------------------------------------------------- */

static void get_project(struct ask *a, struct run *none, unsigned unused)
{
	const struct repo *r = world_repo_by_id(a->sim->world, a->ids[0]);
	const char *name = strrchr(r->full_name, '/');
	char flag[8] = "";
	struct buf b;

	UNUSED(none);
	UNUSED(unused);
	(void)http_request_query(a->http, "statistics", flag, sizeof(flag));
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_u64(&b, "id", r->id);
	js_str(&b, "name", name ? name + 1 : r->full_name);
	js_str(&b, "path_with_namespace", r->full_name);
	js_str(&b, "default_branch", FORGE_DEFAULT_BRANCH);
	js_bool(&b, "archived", false);
	js_url(&b, "web_url", "%s/%s", a->sim->url, r->full_name);
	js_url(&b, "http_url_to_repo", "%s/%s.git", a->sim->url, r->full_name);
	js_str(&b, "ci_config_path", "");
	if (strcmp(flag, "true") == 0) {
		js_open(&b, "statistics", '{');
		js_u64(&b, "repository_size",
		       (r->size_kb ? r->size_kb : 504 + r->id % 9000) * 1024);
		js_close(&b, '}');
	}
	js_open(&b, "permissions", '{');
	js_open(&b, "project_access", '{');
	js_i64(&b, "access_level", r->access == REPO_WRITE ? ACCESS_WRITE : ACCESS_READ);
	js_close(&b, '}');
	js_null(&b, "group_access");
	js_close(&b, '}');
	js_close(&b, '}');
	reply(a, 200, &b);
}

static void put_commit(struct buf *b, const struct ask *a, const char *key, git_commit *c)
{
	char hex[GIT_OID_HEXSZ + 1];

	(void)git_oid_tostr(hex, sizeof(hex), git_commit_id(c));
	js_open(b, key, '{');
	js_str(b, "id", hex);
	js_url(b, "short_id", "%.8s", hex);
	js_str(b, "title", git_commit_summary(c));
	js_str(b, "message", git_commit_message(c));
	js_str(b, "author_name", git_commit_author(c)->name);
	js_str(b, "author_email", git_commit_author(c)->email);
	js_time(b, "created_at", git_commit_time(c) * 1000);
	js_time(b, "committed_date", git_commit_time(c) * 1000);
	js_open(b, "parent_ids", '[');
	for (unsigned i = 0; i < git_commit_parentcount(c); i++)
		put_id(b, NULL, git_commit_parent_id(c, i));
	js_close(b, ']');
	js_url(b, "web_url", "%s/projects/%" PRIu64 "/commit/%s", a->sim->url, a->ids[0], hex);
	js_close(b, '}');
}

static void reply_commit(struct ask *a, const struct depot *d, const git_oid *id, int status)
{
	git_commit *c = NULL;
	struct buf b;

	if (git_commit_lookup(&c, d->git, id) < 0) {
		gitlab_refuse(a, 404, "404 Commit Not Found");
		return;
	}
	buf_init(&b, ANSWER_MAX);
	put_commit(&b, a, NULL, c);
	reply(a, status, &b);
	git_commit_free(c);
}

static void get_commit(struct ask *a, struct run *none, unsigned unused)
{
	const struct depot *d = depot_of(a);
	git_oid id;

	UNUSED(none);
	UNUSED(unused);
	if (!d)
		return;
	if (depot_resolve(d, a->rest, &id))
		reply_commit(a, d, &id, 200);
	else
		gitlab_refuse(a, 404, "404 Commit Not Found");
}

static void get_branch(struct ask *a, struct run *none, unsigned unused)
{
	const struct depot *d = depot_of(a);
	git_commit *c = NULL;
	git_oid id;
	struct buf b;

	UNUSED(none);
	UNUSED(unused);
	if (!d)
		return;
	if (!depot_branch(d, a->rest, &id) || git_commit_lookup(&c, d->git, &id) < 0) {
		gitlab_refuse(a, 404, "404 Branch Not Found");
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "name", a->rest);
	put_commit(&b, a, "commit", c);
	js_bool(&b, "merged", false);
	js_bool(&b, "protected", depot_protects(d, a->rest));
	js_bool(&b, "default", strcmp(a->rest, FORGE_DEFAULT_BRANCH) == 0);
	js_bool(&b, "can_push", d->repo->access == REPO_WRITE && !depot_protects(d, a->rest));
	js_close(&b, '}');
	reply(a, 200, &b);
	git_commit_free(c);
}

static void get_merge_base(struct ask *a, struct run *none, unsigned unused)
{
	const struct depot *d = depot_of(a);
	char refs[2][NAME_MAX_BYTES] = { "", "" };
	const char *at;
	git_oid ids[2], common;

	UNUSED(none);
	UNUSED(unused);
	if (!d)
		return;
	/* "refs[]" twice: by hand, because a name is asked for once elsewhere. */
	at = a->http->query;
	for (size_t i = 0; i < ARRAY_LEN(refs) && (at = strchr(at, '=')) != NULL; i++, at++)
		(void)text_copy(refs[i], sizeof(refs[i]), at + 1, strcspn(at + 1, "&"));
	if (depot_resolve(d, refs[0], &ids[0]) && depot_resolve(d, refs[1], &ids[1]) &&
	    git_merge_base(&common, d->git, &ids[0], &ids[1]) == 0)
		reply_commit(a, d, &common, 200);
	else
		gitlab_refuse(a, 400, "Could not find ref");
}

/* --- files -------------------------------------------------------------------------- */

/* NULL: answered. */
static git_blob *file_of(struct ask *a, const struct depot *d)
{
	char ref[NAME_MAX_BYTES] = FORGE_DEFAULT_BRANCH;
	git_tree_entry *e = NULL;
	git_tree *tree = NULL;
	git_blob *blob = NULL;
	git_oid commit, root;

	(void)http_request_query(a->http, "ref", ref, sizeof(ref));
	if (strcmp(ref, "HEAD") == 0)
		(void)snprintf(ref, sizeof(ref), "%s", FORGE_DEFAULT_BRANCH);
	if (!depot_resolve(d, ref, &commit) || depot_tree_of(d, &commit, &root) < 0 ||
	    git_tree_lookup(&tree, d->git, &root) < 0)
		gitlab_refuse(a, 404, "404 Commit Not Found");
	else if (git_tree_entry_bypath(&e, tree, a->rest) < 0 ||
		 git_blob_lookup(&blob, d->git, git_tree_entry_id(e)) < 0)
		gitlab_refuse(a, 404, "404 File Not Found");
	git_tree_entry_free(e);
	git_tree_free(tree);
	return blob;
}

static void get_raw_file(struct ask *a, struct run *none, unsigned unused)
{
	const struct depot *d = depot_of(a);
	git_blob *blob = d ? file_of(a, d) : NULL;

	UNUSED(none);
	UNUSED(unused);
	if (!blob)
		return;
	ask_reply(a, 200, "text/plain; charset=utf-8", git_blob_rawcontent(blob),
		  (size_t)git_blob_rawsize(blob));
	git_blob_free(blob);
}

/* --- commits ------------------------------------------------------------------------- */

static bool there(const struct depot *d, const git_oid *tree_id, const char *path,
		  struct depot_edit *out)
{
	git_tree_entry *e = NULL;
	git_tree *tree = NULL;
	bool found = git_tree_lookup(&tree, d->git, tree_id) == 0 &&
		     git_tree_entry_bypath(&e, tree, path) == 0;

	if (found) {
		out->blob = *git_tree_entry_id(e);
		out->mode = git_tree_entry_filemode(e);
	}
	git_tree_entry_free(e);
	git_tree_free(tree);
	return found;
}

static bool take_content(struct depot *d, struct json_object *o, git_oid *out)
{
	const char *text = json_str(o, "content", "");
	size_t n = strlen(text);
	OWNED(freep) unsigned char *plain = NULL;

	if (strcmp(json_str(o, "encoding", "text"), "base64") == 0) {
		plain = xmalloc(n + 1);
		if (!base64_decode(text, n, plain, n + 1, &n))
			return false;
	}
	return depot_blob(d, plain ? (const char *)plain : text, n, out) == 0;
}

/* One action. What is wrong with it, else NULL. */
static const char *take_action(struct depot *d, const git_oid *tree, struct json_object *o,
			       struct depot_edit *out)
{
	const char *action = json_str(o, "action", "");
	struct depot_edit old = { .mode = 0 };
	bool found, create = strcmp(action, "create") == 0;

	out->path = json_str(o, "file_path", "");
	found = there(d, tree, out->path, &old);
	if (create && found)
		return "A file with this name already exists";
	if (!create && !found)
		return "A file with this name doesn't exist";
	out->blob = old.blob;
	out->mode = create ? GIT_FILEMODE_BLOB : old.mode;
	if (json_flag(o, "execute_filemode", false))
		out->mode = GIT_FILEMODE_BLOB_EXECUTABLE;
	if (strcmp(action, "delete") == 0) {
		out->mode = 0;
		return NULL;
	}
	if (strcmp(action, "chmod") == 0)
		return NULL;
	if (!create && strcmp(action, "update") != 0)
		return "actions[action] does not have a valid value";
	return take_content(d, o, &out->blob) ? NULL : "content is not what its encoding says";
}

/* Where it begins: the branch itself, or a new one. What is wrong, else NULL. */
static const char *start_of(const struct depot *d, struct json_object *o, git_oid *out)
{
	static char why[NAME_MAX_BYTES + 120];
	const char *branch = json_str(o, "branch", ""), *from = json_str(o, "start_sha", NULL);
	git_oid unused;

	if (!from)
		from = json_str(o, "start_branch", NULL);
	if (!from)
		return depot_branch(d, branch, out)
			       ? NULL
			       : "You can only create or edit files when you are on a branch";
	if (depot_branch(d, branch, &unused)) {
		(void)snprintf(
			why, sizeof(why),
			"A branch called '%s' already exists. Switch to that branch in order "
			"to make changes",
			branch);
		return why;
	}
	return depot_resolve(d, from, out) ? NULL : "Cannot find start_sha";
}

static const char *commit_actions(struct depot *d, struct json_object *o, git_oid *made)
{
	const struct depot_person who = {
		.name = json_str(o, "author_name", "pipeline-guard"),
		.email = json_str(o, "author_email", "pipeline-guard@noreply.example"),
	};
	struct json_object *list = json_at(o, "actions");
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	OWNED(freep) struct depot_edit *edits = xcalloc(n + 1, sizeof(*edits));
	const char *why;
	git_oid start, base, tree;

	why = start_of(d, o, &start);
	if (!why && (n > EDITS_MAX || depot_tree_of(d, &start, &base) < 0))
		why = "too many actions";
	for (size_t i = 0; i < n && !why; i++)
		why = take_action(d, &base, json_object_array_get_idx(list, i), &edits[i]);
	if (why)
		return why;
	if (depot_tree(d, &base, edits, n, &tree) < 0)
		return "path cannot be there";
	if (depot_commit(d, &tree, &start, 1, json_str(o, "commit_message", ""), &who, made) < 0 ||
	    depot_move_branch(d, json_str(o, "branch", ""), made) < 0)
		return "Branch name is invalid";
	return NULL;
}

static void create_commit(struct ask *a, struct run *none, unsigned unused)
{
	struct depot *d = depot_of(a);
	OWNED(json_putp) struct json_object *o = NULL;
	const char *why;
	git_oid made;

	UNUSED(none);
	UNUSED(unused);
	if (!d || !body_of(a, &o))
		return;
	if (!*json_str(o, "branch", "") || !*json_str(o, "commit_message", "")) {
		missing(a, *json_str(o, "branch", "") ? "commit_message" : "branch");
		return;
	}
	if (depot_protects(d, json_str(o, "branch", ""))) {
		gitlab_refuse(a, 403,
			      "403 Forbidden  - You are not allowed to push into this branch");
		return;
	}
	why = commit_actions(d, o, &made);
	if (why)
		gitlab_refuse(a, 400, why);
	else
		reply_commit(a, d, &made, 201);
}

static void revert_commit(struct ask *a, struct run *none, unsigned unused)
{
	static const char sorry[] =
		"Sorry, we cannot revert this commit automatically. This commit may already have "
		"been reverted, or a more recent commit may have updated some of its content.";
	struct depot *d = depot_of(a);
	OWNED(json_putp) struct json_object *o = NULL;
	const char *branch;
	git_oid id, tip, made;

	UNUSED(none);
	UNUSED(unused);
	if (!d || !body_of(a, &o))
		return;
	branch = json_str(o, "branch", "");
	if (!*branch)
		missing(a, "branch");
	else if (!depot_resolve(d, a->rest, &id))
		gitlab_refuse(a, 404, "404 Commit Not Found");
	else if (!depot_branch(d, branch, &tip))
		gitlab_refuse(a, 404, "404 Branch Not Found");
	else if (depot_protects(d, branch))
		gitlab_refuse(a, 403,
			      "403 Forbidden  - You are not allowed to push into this branch");
	else if (depot_revert(d, &tip, &id, &made) != MERGE_DONE ||
		 depot_move_branch(d, branch, &made) < 0)
		gitlab_refuse(a, 400, sorry);
	else
		reply_commit(a, d, &made, 201);
}

/* --- merge requests -------------------------------------------------------------------- */

static const char *merge_status(struct depot *d, const struct proposal *p, const git_oid *head,
				const git_oid *base)
{
	git_oid merged;
	size_t ahead, behind;

	if (p->closed)
		return "not_open";
	if (depot_merge(d, base, head, "try", &merged) == MERGE_CONFLICT)
		return "conflict";
	return depot_apart(d, head, base, &ahead, &behind) == 0 && behind ? "need_rebase"
									  : "mergeable";
}

static void put_merge_request(struct buf *b, const struct ask *a, struct depot *d,
			      const struct proposal *p)
{
	git_oid head, base;
	size_t ahead = 0, behind = 0;
	bool known = proposal_head(d, p, &head) && depot_branch(d, p->base, &base) &&
		     depot_apart(d, &head, &base, &ahead, &behind) == 0;

	js_open(b, NULL, '{');
	js_u64(b, "id", d->repo->id * 1000 + p->number);
	js_u64(b, "iid", p->number);
	js_u64(b, "project_id", d->repo->id);
	js_u64(b, "source_project_id", d->repo->id + p->of_fork);
	js_u64(b, "target_project_id", d->repo->id);
	js_str(b, "title", p->title);
	js_str(b, "description", p->body);
	js_str(b, "state", p->closed ? "closed" : "opened");
	js_bool(b, "draft", p->draft);
	js_time(b, "created_at", p->created_ms);
	js_time(b, "updated_at", p->updated_ms);
	js_str(b, "source_branch", p->head);
	js_str(b, "target_branch", p->base);
	js_open(b, "labels", '[');
	for (unsigned i = 0; i < p->n_labels; i++)
		js_str(b, NULL, p->labels[i]);
	js_close(b, ']');
	if (known)
		put_id(b, "sha", &head);
	js_str(b, "detailed_merge_status", known ? merge_status(d, p, &head, &base) : "checking");
	js_bool(b, "has_conflicts",
		known && strcmp(merge_status(d, p, &head, &base), "conflict") == 0);
	js_u64(b, "diverged_commits_count", behind);
	js_bool(b, "rebase_in_progress", false);
	js_str(b, "merge_error", p->trouble ? p->trouble : NULL);
	js_bool(b, "allow_maintainer_to_push", p->of_fork && p->may_be_ours);
	js_url(b, "web_url", "%s/%s/-/merge_requests/%" PRIu64, a->sim->url, d->repo->full_name,
	       p->number);
	js_close(b, '}');
}

/* NULL: answered. */
static struct proposal *request_of(struct ask *a, struct depot **d)
{
	struct proposal *p;

	*d = depot_of(a);
	if (!*d)
		return NULL;
	p = depot_proposal(*d, a->ids[1]);
	if (!p)
		gitlab_refuse(a, 404, "404 Not found");
	return p;
}

static void reply_request(struct ask *a, struct depot *d, const struct proposal *p, int status)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	put_merge_request(&b, a, d, p);
	reply(a, status, &b);
}

static void get_request(struct ask *a, struct run *none, unsigned unused)
{
	struct depot *d;
	const struct proposal *p = request_of(a, &d);

	UNUSED(none);
	UNUSED(unused);
	if (p)
		reply_request(a, d, p, 200);
}

static void list_requests(struct ask *a, struct run *none, unsigned unused)
{
	struct page page = ask_page(a, PER_PAGE);
	struct depot *d = depot_of(a);
	uint64_t skip = (page.number - 1) * page.per_page, seen = 0;
	char state[16] = "", source[NAME_MAX_BYTES] = "", target[NAME_MAX_BYTES] = "";
	struct buf b;

	UNUSED(none);
	UNUSED(unused);
	if (!d)
		return;
	(void)http_request_query(a->http, "state", state, sizeof(state));
	(void)http_request_query(a->http, "source_branch", source, sizeof(source));
	(void)http_request_query(a->http, "target_branch", target, sizeof(target));
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	for (unsigned i = d->n_proposals; i-- > 0;) {
		const struct proposal *p = d->proposals[i];

		if ((*source && strcmp(source, p->head) != 0) ||
		    (*target && strcmp(target, p->base) != 0) ||
		    (*state && strcmp(state, "all") != 0 &&
		     strcmp(state, p->closed ? "closed" : "opened") != 0))
			continue;
		if (seen >= skip && seen < skip + page.per_page)
			put_merge_request(&b, a, d, p);
		seen++;
	}
	js_close(&b, ']');
	ask_link(a, &page, seen);
	reply(a, 200, &b);
}

static void add_labels(struct proposal *p, const char *list)
{
	while (*list && p->n_labels < PROPOSAL_LABELS_MAX) {
		size_t n = strcspn(list, ",");

		if (n)
			(void)text_copy(p->labels[p->n_labels++], sizeof(p->labels[0]), list, n);
		list += n + (list[n] == ',');
	}
}

static const struct proposal *open_already(const struct depot *d, const char *head)
{
	for (unsigned i = 0; i < d->n_proposals; i++)
		if (!d->proposals[i]->closed && !d->proposals[i]->of_fork &&
		    strcmp(d->proposals[i]->head, head) == 0)
			return d->proposals[i];
	return NULL;
}

static void create_request(struct ask *a, struct run *none, unsigned unused)
{
	struct depot *d = depot_of(a);
	OWNED(json_putp) struct json_object *o = NULL;
	const struct proposal *other;
	const char *head, *base, *title, *body;
	struct proposal *p;
	char why[160];
	git_oid id;

	UNUSED(none);
	UNUSED(unused);
	if (!d || !body_of(a, &o))
		return;
	head = json_str(o, "source_branch", "");
	base = json_str(o, "target_branch", "");
	title = json_str(o, "title", "");
	body = json_str(o, "description", "");
	other = open_already(d, head);
	if (!*head || !*base || !*title) {
		missing(a, !*head ? "source_branch" : !*base ? "target_branch" : "title");
		return;
	}
	if (other) {
		(void)snprintf(why, sizeof(why),
			       "{\"message\":[\"Another open merge request already exists for this "
			       "source branch: !%" PRIu64 "\"]}",
			       other->number);
		ask_reply_json(a, 409, why);
		return;
	}
	if (strcmp(head, base) == 0 || strlen(title) > TITLE_MAX ||
	    strlen(body) > PROPOSAL_TEXT_MAX || !depot_branch(d, head, &id) ||
	    !depot_branch(d, base, &id)) {
		ask_reply_json(a, 400,
			       "{\"message\":[\"You can't use same project/branch for "
			       "source and target, or one is not there\"]}");
		return;
	}
	p = depot_propose(d, head, base);
	if (!p) {
		gitlab_refuse(a, 400, "too many");
		return;
	}
	p->title = xstrdup(title);
	p->body = xstrdup(body);
	p->draft = text_starts(title, "Draft: ");
	add_labels(p, json_str(o, "labels", ""));
	(void)snprintf(p->author, sizeof(p->author), "pipeline-guard");
	reply_request(a, d, p, 201);
}

static void add_note(struct ask *a, struct run *none, unsigned unused)
{
	struct depot *d;
	struct proposal *p = request_of(a, &d);
	OWNED(json_putp) struct json_object *o = NULL;
	const char *body;
	struct buf b;

	UNUSED(none);
	UNUSED(unused);
	if (!p || !body_of(a, &o))
		return;
	body = json_str(o, "body", "");
	if (!*body) {
		missing(a, "body");
		return;
	}
	free(p->last_comment);
	p->last_comment = xstrdup(body);
	p->n_comments++;
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_u64(&b, "id", p->number * 1000 + p->n_comments);
	js_str(&b, "body", body);
	js_close(&b, '}');
	reply(a, 201, &b);
}

/* Done when the answer is there; what went wrong is in merge_error, as one looks again. */
static void rebase(struct ask *a, struct run *none, unsigned unused)
{
	struct depot *d;
	struct proposal *p = request_of(a, &d);
	git_oid head, base, made;

	UNUSED(none);
	UNUSED(unused);
	if (!p)
		return;
	if (p->closed || !proposal_head(d, p, &head) || !depot_branch(d, p->base, &base)) {
		gitlab_refuse(a, 403, "403 Forbidden  - Source branch does not exist");
		return;
	}
	if ((p->of_fork && !p->may_be_ours) || depot_protects(d, p->head)) {
		gitlab_refuse(a, 403,
			      p->of_fork ? "403 Forbidden  - Cannot push to source branch"
					 : "403 Forbidden  - Source branch is protected from force "
					   "push");
		return;
	}
	p->trouble = NULL;
	switch (depot_rebase(d, &head, &base, &made)) {
	case MERGE_CONFLICT:
		p->trouble = "Rebase failed: Rebase locally, resolve all conflicts, then push the "
			     "branch.";
		break;
	case MERGE_DONE:
		if (proposal_move(d, p, &made) == 0)
			sim_branch_moved(a->sim, d->repo, FLAVOUR_GITLAB, p->head);
		break;
	case MERGE_NOTHING:
		break;
	}
	p->updated_ms = clock_wall_ms();
	ask_reply_json(a, 202, "{\"rebase_in_progress\":true}");
}

static void list_requests_of_commit(struct ask *a, struct run *none, unsigned unused)
{
	struct depot *d = depot_of(a);
	git_oid id, head;
	struct buf b;

	UNUSED(none);
	UNUSED(unused);
	if (!d)
		return;
	if (!depot_resolve(d, a->rest, &id)) {
		gitlab_refuse(a, 404, "404 Commit Not Found");
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	for (unsigned i = 0; i < d->n_proposals; i++)
		if (proposal_head(d, d->proposals[i], &head) && git_oid_equal(&head, &id))
			put_merge_request(&b, a, d, d->proposals[i]);
	js_close(&b, ']');
	reply(a, 200, &b);
}

/* --- a pipeline by hand ------------------------------------------------------------------ */

static void create_pipeline(struct ask *a, struct run *none, unsigned unused)
{
	struct depot *d = depot_of(a);
	OWNED(json_putp) struct json_object *o = NULL;
	struct json_object *variables;
	const struct run *like;
	const char *branch, *inputs;
	struct run_wish wish = {
		.flavour = FLAVOUR_GITLAB, .event = EVENT_DISPATCH, .job_ms = -1, .passes = true
	};
	struct run *r;
	struct err err;
	git_oid id;
	int ret;

	UNUSED(none);
	UNUSED(unused);
	if (!d || !body_of(a, &o))
		return;
	branch = json_str(o, "ref", "");
	variables = json_at(o, "variables");
	if (!depot_branch(d, branch, &id)) {
		ask_reply_json(a, 400, "{\"message\":{\"base\":[\"Reference not found\"]}}");
		return;
	}
	inputs = variables ? json_text(variables) : "[]";
	like = world_newest(a->sim->world, d->repo, FLAVOUR_GITLAB, branch, NULL);
	wish.repo = d->repo->full_name;
	wish.branch = branch;
	wish.inputs = inputs;
	ret = like ? world_run_again(a->sim->world, like, EVENT_DISPATCH, inputs, &r, &err)
		   : world_create(a->sim->world, &wish, &r, &err);
	if (ret < 0)
		gitlab_refuse(a, 500, "500 Internal Server Error");
	else
		gitlab_reply_pipeline(a, 201, r);
}

/* Who our token is. */
static void get_user(struct ask *a, struct run *none, unsigned unused)
{
	UNUSED(none);
	UNUSED(unused);
	ask_reply_json(a, 200, "{\"id\":9,\"username\":\"pipeline-guard\",\"state\":\"active\"}");
}

static void put_note(struct buf *b, const struct proposal *p)
{
	js_open(b, NULL, '{');
	js_u64(b, "id", p->number * 1000 + p->n_comments);
	js_str(b, "body", p->last_comment);
	js_open(b, "author", '{');
	js_u64(b, "id", 9);
	js_str(b, "username", "pipeline-guard");
	js_close(b, '}');
	js_close(b, '}');
}

/* Only the newest is kept. */
static void list_notes(struct ask *a, struct run *none, unsigned unused)
{
	struct depot *d;
	const struct proposal *p = request_of(a, &d);
	struct buf b;

	UNUSED(none);
	UNUSED(unused);
	if (!p)
		return;
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	if (p->last_comment)
		put_note(&b, p);
	js_close(&b, ']');
	reply(a, 200, &b);
}

static void edit_note(struct ask *a, struct run *none, unsigned unused)
{
	struct depot *d;
	struct proposal *p = request_of(a, &d);
	OWNED(json_putp) struct json_object *o = NULL;
	struct buf b;
	uint64_t id;

	UNUSED(none);
	UNUSED(unused);
	if (!p || !body_of(a, &o))
		return;
	if (!p->last_comment || !text_to_u64(a->rest, &id) ||
	    id != p->number * 1000 + p->n_comments) {
		gitlab_refuse(a, 404, "404 Note Not Found");
		return;
	}
	if (!*json_str(o, "body", "")) {
		missing(a, "body");
		return;
	}
	free(p->last_comment);
	p->last_comment = xstrdup(json_str(o, "body", ""));
	buf_init(&b, ANSWER_MAX);
	put_note(&b, p);
	reply(a, 200, &b);
}

/* A job of somebody else in the pipeline: of the commit it has to be. */
static void create_status(struct ask *a, struct run *none, unsigned unused)
{
	static const char *const states[] = { "pending", "running", "success", "failed",
					      "canceled" };
	OWNED(json_putp) struct json_object *o = NULL;
	const struct run *r;
	bool known = false;

	UNUSED(none);
	UNUSED(unused);
	if (!body_of(a, &o))
		return;
	r = world_find(a->sim->world, (uint64_t)json_i64(o, "pipeline_id", 0));
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		known = known || strcmp(states[i], json_str(o, "state", "")) == 0;
	if (!known || strlen(json_str(o, "description", "")) > 255) {
		gitlab_refuse(a, 400, "state does not have a valid value");
	} else if (!r || r->repo->id != a->ids[0] || strcmp(r->sha, a->rest) != 0) {
		gitlab_refuse(a, 404, "404 Commit Not Found");
	} else {
		a->sim->statuses++;
		ask_reply_json(a, 201, "{\"id\":1}");
	}
}

#define GIT      PROJECT "/repository"
#define REQUESTS PROJECT "/merge_requests"

const struct gitlab_route gitlab_git_routes[] = {
	{ "GET", PROJECT, CALL_GIT, get_project, ABOUT_PROJECT, false },
	{ "GET", GIT "/branches/{f}", CALL_GIT, get_branch, ABOUT_PROJECT, false },
	{ "GET", GIT "/merge_base", CALL_GIT, get_merge_base, ABOUT_PROJECT, false },
	{ "GET", GIT "/files/{f}/raw", CALL_GIT, get_raw_file, ABOUT_PROJECT, false },
	{ "POST", GIT "/commits", CALL_GIT, create_commit, ABOUT_PROJECT, true },
	{ "POST", GIT "/commits/{f}/revert", CALL_GIT, revert_commit, ABOUT_PROJECT, true },
	{ "GET", GIT "/commits/{f}/merge_requests", CALL_PULLS, list_requests_of_commit,
	  ABOUT_PROJECT, false },
	{ "GET", GIT "/commits/{f}", CALL_GIT, get_commit, ABOUT_PROJECT, false },
	{ "GET", REQUESTS, CALL_PULLS, list_requests, ABOUT_PROJECT, false },
	{ "POST", REQUESTS, CALL_PULLS, create_request, ABOUT_PROJECT, true },
	{ "GET", REQUESTS "/{n}", CALL_PULLS, get_request, ABOUT_PROJECT, false },
	{ "PUT", REQUESTS "/{n}/rebase", CALL_PULLS, rebase, ABOUT_PROJECT, true },
	{ "POST", REQUESTS "/{n}/notes", CALL_PULLS, add_note, ABOUT_PROJECT, true },
	{ "GET", REQUESTS "/{n}/notes", CALL_PULLS, list_notes, ABOUT_PROJECT, false },
	{ "PUT", REQUESTS "/{n}/notes/{f}", CALL_PULLS, edit_note, ABOUT_PROJECT, true },
	{ "POST", PROJECT "/statuses/{f}", CALL_OTHER, create_status, ABOUT_PROJECT, true },
	{ "GET", "/api/v4/user", CALL_OTHER, get_user, ABOUT_ALL, false },
	{ "POST", PROJECT "/pipeline", CALL_DISPATCH, create_pipeline, ABOUT_PROJECT, true },
};
const size_t n_gitlab_git_routes = ARRAY_LEN(gitlab_git_routes);

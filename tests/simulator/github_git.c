/* GitHub's REST API about what is in a repository: files, branches, and git's own objects. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/http_server.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/js.h"
#include "tests/simulator/reply.h"
#include "tests/simulator/rest.h"

enum { ANSWER_MAX = 64 << 20, BLOB_MAX = 40 << 20, EDITS_MAX = 1000, MESSAGE_MAX = 65536 };
enum { PARENTS_MAX = 2 };

static bool hex_of(const char *hex, git_oid *out)
{
	return strlen(hex) == GIT_OID_HEXSZ && git_oid_fromstr(out, hex) == 0;
}

static void put_sha(struct buf *b, const char *key, const git_oid *id)
{
	char hex[GIT_OID_HEXSZ + 1];

	js_str(b, key, git_oid_tostr(hex, sizeof(hex), id));
}

/* "sha" and "url" of an object. */
static void put_object(struct buf *b, const struct ask *a, const char *kind, const git_oid *id)
{
	char hex[GIT_OID_HEXSZ + 1];

	put_sha(b, "sha", id);
	js_url(b, "url", "%s/repos/%s/git/%s/%s", a->sim->url, a->repo, kind,
	       git_oid_tostr(hex, sizeof(hex), id));
}

static void reply(struct ask *a, int status, struct buf *b)
{
	(void)js_done(b);
	if (status == 200)
		ask_reply_cached(a, buf_text(b), b->len, true);
	else
		ask_reply(a, status, "application/json; charset=utf-8", buf_text(b), b->len);
	buf_done(b);
}

/* NULL: answered, also when nothing was ever committed. */
static struct depot *filled(struct ask *a)
{
	struct depot *d = rest_depot(a);

	if (!d || !depot_is_empty(d))
		return d;
	ask_refuse(a, 409, "Git Repository is empty.", "rest/git");
	return NULL;
}

/* --- the repository ----------------------------------------------------------- */

static void get_repo(struct ask *a)
{
	const struct repo *r = world_find_repo(a->sim->world, a->repo);
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	github_repo(&b, &a->sim->github, NULL, r, true);
	/* One more member before its end. */
	b.len -= strlen("},");
	buf_putc(&b, ',');
	js_open(&b, "permissions", '{');
	js_bool(&b, "admin", false);
	js_bool(&b, "maintain", false);
	js_bool(&b, "push", r->access == REPO_WRITE);
	js_bool(&b, "triage", r->access == REPO_WRITE);
	js_bool(&b, "pull", true);
	js_close(&b, '}');
	js_close(&b, '}');
	reply(a, 200, &b);
}

static void put_commit_sha(struct buf *b, const struct ask *a, const git_oid *id)
{
	char hex[GIT_OID_HEXSZ + 1];

	put_sha(b, "sha", id);
	js_url(b, "url", "%s/repos/%s/commits/%s", a->sim->url, a->repo,
	       git_oid_tostr(hex, sizeof(hex), id));
}

static void put_commit_head(struct buf *b, const struct ask *a, const struct depot *d,
			    const git_oid *id)
{
	git_commit *c = NULL;

	js_open(b, "commit", '{');
	put_commit_sha(b, a, id);
	if (git_commit_lookup(&c, d->git, id) == 0) {
		js_open(b, "commit", '{');
		js_str(b, "message", git_commit_message(c));
		js_close(b, '}');
		js_open(b, "parents", '[');
		for (unsigned i = 0; i < git_commit_parentcount(c); i++) {
			js_open(b, NULL, '{');
			put_commit_sha(b, a, git_commit_parent_id(c, i));
			js_close(b, '}');
		}
		js_close(b, ']');
	}
	git_commit_free(c);
	js_close(b, '}');
}

static void get_branch(struct ask *a)
{
	struct depot *d = rest_depot(a);
	git_oid id;
	struct buf b;

	if (!d)
		return;
	if (!depot_branch(d, a->rest, &id)) {
		ask_refuse(a, 404, "Branch not found", "rest/branches/branches#get-a-branch");
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "name", a->rest);
	put_commit_head(&b, a, d, &id);
	js_bool(&b, "protected", depot_protects(d, a->rest));
	js_url(&b, "protection_url", "%s/repos/%s/branches/%s/protection", a->sim->url, a->repo,
	       a->rest);
	js_close(&b, '}');
	reply(a, 200, &b);
}

/* --- files -------------------------------------------------------------------- */

/* GitHub breaks the lines of its base64. */
static void put_content(struct buf *b, const void *data, size_t n)
{
	enum { LINE = 60 };
	OWNED(freep) char *code = base64_encode(data, n);
	size_t len = strlen(code);
	struct buf lines;

	buf_init(&lines, ANSWER_MAX);
	for (size_t i = 0; i < len; i += LINE) {
		buf_append(&lines, code + i, len - i < LINE ? len - i : LINE);
		buf_putc(&lines, '\n');
	}
	js_str(b, "content", buf_text(&lines));
	js_str(b, "encoding", "base64");
	buf_done(&lines);
}

static void put_file_head(struct buf *b, const struct ask *a, const char *path, const char *type,
			  const git_oid *id)
{
	const char *name = strrchr(path, '/');

	js_str(b, "type", type);
	js_str(b, "name", name ? name + 1 : path);
	js_str(b, "path", path);
	put_sha(b, "sha", id);
	js_url(b, "url", "%s/repos/%s/contents/%s", a->sim->url, a->repo, path);
}

static void reply_file(struct ask *a, const git_blob *blob, bool link)
{
	const char *accept = http_request_header(a->http, "Accept");
	size_t n = (size_t)git_blob_rawsize(blob);
	struct buf b;

	if (accept && strstr(accept, "raw")) {
		ask_reply(a, 200, "application/vnd.github.raw+json; charset=utf-8",
			  git_blob_rawcontent(blob), n);
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	put_file_head(&b, a, a->rest, link ? "symlink" : "file", git_blob_id(blob));
	js_u64(&b, "size", n);
	if (link)
		js_url(&b, "target", "%.*s", (int)n, (const char *)git_blob_rawcontent(blob));
	else
		put_content(&b, git_blob_rawcontent(blob), n);
	js_close(&b, '}');
	reply(a, 200, &b);
}

static void reply_folder(struct ask *a, const git_tree *tree)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '[');
	for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *e = git_tree_entry_byindex(tree, i);
		OWNED(freep) char *path = xasprintf("%s/%s", a->rest, git_tree_entry_name(e));

		js_open(&b, NULL, '{');
		put_file_head(&b, a, path,
			      git_tree_entry_type(e) == GIT_OBJECT_TREE     ? "dir"
			      : git_tree_entry_type(e) == GIT_OBJECT_COMMIT ? "submodule"
									    : "file",
			      git_tree_entry_id(e));
		js_close(&b, '}');
	}
	js_close(&b, ']');
	reply(a, 200, &b);
}

static void reply_entry(struct ask *a, const struct depot *d, const git_tree_entry *e)
{
	git_object *o = NULL;

	if (git_tree_entry_to_object(&o, d->git, e) < 0)
		rest_not_found(a);
	else if (git_object_type(o) == GIT_OBJECT_TREE)
		reply_folder(a, (const git_tree *)o);
	else
		reply_file(a, (const git_blob *)o, git_tree_entry_filemode(e) == GIT_FILEMODE_LINK);
	git_object_free(o);
}

static void get_contents(struct ask *a)
{
	struct depot *d = rest_depot(a);
	char ref[NAME_MAX_BYTES] = FORGE_DEFAULT_BRANCH, why[NAME_MAX_BYTES + 40];
	git_tree_entry *e = NULL;
	git_tree *tree = NULL;
	git_oid commit, root;

	if (!d)
		return;
	(void)http_request_query(a->http, "ref", ref, sizeof(ref));
	if (depot_is_empty(d)) {
		ask_refuse(a, 404, "This repository is empty.", "rest/repos/contents");
	} else if (!depot_resolve(d, ref, &commit) || depot_tree_of(d, &commit, &root) < 0 ||
		   git_tree_lookup(&tree, d->git, &root) < 0) {
		(void)snprintf(why, sizeof(why), "No commit found for the ref %s", ref);
		ask_refuse(a, 404, why, "rest/repos/contents#get-repository-content");
	} else if (git_tree_entry_bypath(&e, tree, a->rest) < 0) {
		rest_not_found(a);
	} else {
		reply_entry(a, d, e);
	}
	git_tree_entry_free(e);
	git_tree_free(tree);
}

/* --- references --------------------------------------------------------------- */

static void put_ref(struct buf *b, const struct ask *a, const char *name, const git_oid *id)
{
	js_open(b, NULL, '{');
	js_str(b, "ref", name);
	js_url(b, "url", "%s/repos/%s/git/%s", a->sim->url, a->repo, name);
	js_open(b, "object", '{');
	js_str(b, "type", "commit");
	put_object(b, a, "commits", id);
	js_close(b, '}');
	js_close(b, '}');
}

static void get_ref(struct ask *a)
{
	OWNED(freep) char *name = xasprintf("refs/%s", a->rest);
	struct depot *d = filled(a);
	git_oid id;
	struct buf b;

	if (!d)
		return;
	if (git_reference_name_to_id(&id, d->git, name) < 0) {
		rest_not_found(a);
		return;
	}
	buf_init(&b, ANSWER_MAX);
	put_ref(&b, a, name, &id);
	reply(a, 200, &b);
}

static void create_ref(struct ask *a)
{
	static const char docs[] = "rest/git/refs#create-a-reference";
	struct depot *d = filled(a);
	OWNED(json_putp) struct json_object *o = NULL;
	const char *name;
	git_oid id;
	struct buf b;

	if (!d || !rest_body(a, &o))
		return;
	name = json_str(o, "ref", "");
	if (!text_starts(name, "refs/") || !strchr(name + strlen("refs/"), '/')) {
		ask_refuse(a, 422,
			   "Reference name must start with 'refs/' and have at least two slashes.",
			   docs);
		return;
	}
	if (!hex_of(json_str(o, "sha", ""), &id) || !depot_has(d, &id, GIT_OBJECT_COMMIT)) {
		ask_refuse(a, 422, "Object does not exist", docs);
		return;
	}
	switch (depot_create_ref(d, name, &id)) {
	case REF_MADE:
		buf_init(&b, ANSWER_MAX);
		put_ref(&b, a, name, &id);
		reply(a, 201, &b);
		return;
	case REF_EXISTS:
		ask_refuse(a, 422, "Reference already exists", docs);
		return;
	case REF_BAD:
		ask_refuse(a, 422, "Reference name is not valid", docs);
		return;
	}
}

static void delete_ref(struct ask *a)
{
	static const char docs[] = "rest/git/refs#delete-a-reference";
	struct depot *d = filled(a);

	if (!d)
		return;
	if (depot_protects(d, a->rest))
		ask_refuse(a, 422, "Cannot delete a protected branch", docs);
	else if (depot_delete_branch(d, a->rest))
		ask_reply(a, 204, NULL, NULL, 0);
	else
		ask_refuse(a, 422, "Reference does not exist", docs);
}

/* --- commits ------------------------------------------------------------------ */

static void put_person(struct buf *b, const char *key, const git_signature *who)
{
	js_open(b, key, '{');
	js_str(b, "name", who->name);
	js_str(b, "email", who->email);
	js_time(b, "date", who->when.time * 1000);
	js_close(b, '}');
}

static void put_commit(struct buf *b, const struct ask *a, const git_commit *c)
{
	js_open(b, NULL, '{');
	put_object(b, a, "commits", git_commit_id(c));
	put_person(b, "author", git_commit_author(c));
	put_person(b, "committer", git_commit_committer(c));
	js_str(b, "message", git_commit_message(c));
	js_open(b, "tree", '{');
	put_object(b, a, "trees", git_commit_tree_id(c));
	js_close(b, '}');
	js_open(b, "parents", '[');
	for (unsigned i = 0; i < git_commit_parentcount(c); i++) {
		js_open(b, NULL, '{');
		put_object(b, a, "commits", git_commit_parent_id(c, i));
		js_close(b, '}');
	}
	js_close(b, ']');
	js_raw(b, "verification",
	       "{\"verified\":false,\"reason\":\"unsigned\",\"signature\":null,\"payload\":null}");
	js_close(b, '}');
}

static void reply_commit(struct ask *a, const struct depot *d, const git_oid *id, int status)
{
	git_commit *c = NULL;
	struct buf b;

	if (git_commit_lookup(&c, d->git, id) < 0) {
		rest_not_found(a);
		return;
	}
	buf_init(&b, ANSWER_MAX);
	put_commit(&b, a, c);
	reply(a, status, &b);
	git_commit_free(c);
}

static void get_commit(struct ask *a)
{
	struct depot *d = filled(a);
	git_oid id;

	if (!d)
		return;
	if (hex_of(a->rest, &id))
		reply_commit(a, d, &id, 200);
	else
		rest_not_found(a);
}

/* Who it is by, unless somebody else is named: the token's own account. */
static struct depot_person person_of(struct json_object *o)
{
	const char *at = json_str(o, "date", "");
	int64_t ms = *at ? text_iso8601_ms(at) : 0;

	return (struct depot_person){
		.name = json_str(o, "name", "pipeline-guard[bot]"),
		.email = json_str(o, "email", "pipeline-guard[bot]@users.noreply.example"),
		.at_s = ms > 0 ? ms / 1000 : 0,
	};
}

/* False: one of them is no commit. */
static bool take_parents(const struct depot *d, struct json_object *list, git_oid *out, size_t *n)
{
	*n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	if (*n > PARENTS_MAX)
		return false;
	for (size_t i = 0; i < *n; i++) {
		const char *hex = json_object_get_string(json_object_array_get_idx(list, i));

		if (!hex || !hex_of(hex, &out[i]) || !depot_has(d, &out[i], GIT_OBJECT_COMMIT))
			return false;
	}
	return true;
}

static void create_commit(struct ask *a)
{
	static const char docs[] = "rest/git/commits#create-a-commit";
	struct depot *d = filled(a);
	OWNED(json_putp) struct json_object *o = NULL;
	git_oid tree, made, parents[PARENTS_MAX];
	struct depot_person who;
	const char *message;
	size_t n;

	if (!d || !rest_body(a, &o))
		return;
	message = json_str(o, "message", "");
	who = person_of(json_at(o, "author"));
	if (!*message || strlen(message) > MESSAGE_MAX)
		ask_refuse(a, 422, "Invalid request.\n\n\"message\" wasn't supplied.", docs);
	else if (!hex_of(json_str(o, "tree", ""), &tree) || !depot_has(d, &tree, GIT_OBJECT_TREE))
		ask_refuse(a, 422, "Tree SHA does not exist", docs);
	else if (!take_parents(d, json_at(o, "parents"), parents, &n))
		ask_refuse(a, 422, "Parent SHA does not exist or is not a commit object", docs);
	else if (depot_commit(d, &tree, parents, n, message, &who, &made) < 0)
		ask_refuse(a, 422, "Invalid request.", docs);
	else
		reply_commit(a, d, &made, 201);
}

/* --- blobs and trees ---------------------------------------------------------- */

static void put_entry(struct buf *b, const struct ask *a, const git_tree_entry *e)
{
	git_object_t type = git_tree_entry_type(e);
	char mode[12];

	js_open(b, NULL, '{');
	js_str(b, "path", git_tree_entry_name(e));
	(void)snprintf(mode, sizeof(mode), "%06o", (unsigned)git_tree_entry_filemode(e));
	js_str(b, "mode", mode);
	js_str(b, "type", git_object_type2string(type));
	put_object(b, a, type == GIT_OBJECT_TREE ? "trees" : "blobs", git_tree_entry_id(e));
	js_close(b, '}');
}

static void get_tree(struct ask *a)
{
	struct depot *d = filled(a);
	git_tree *tree = NULL;
	struct buf b;
	git_oid id;

	if (!d)
		return;
	if (!hex_of(a->rest, &id) || git_tree_lookup(&tree, d->git, &id) < 0) {
		rest_not_found(a);
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	put_object(&b, a, "trees", &id);
	js_open(&b, "tree", '[');
	for (size_t i = 0; i < git_tree_entrycount(tree); i++)
		put_entry(&b, a, git_tree_entry_byindex(tree, i));
	js_close(&b, ']');
	js_bool(&b, "truncated", false);
	js_close(&b, '}');
	git_tree_free(tree);
	reply(a, 200, &b);
}

static void create_blob(struct ask *a)
{
	struct depot *d = filled(a);
	OWNED(json_putp) struct json_object *o = NULL;
	OWNED(freep) unsigned char *plain = NULL;
	const char *text;
	size_t n;
	git_oid id;
	struct buf b;

	if (!d || !rest_body(a, &o))
		return;
	text = json_str(o, "content", "");
	n = strlen(text);
	if (strcmp(json_str(o, "encoding", "utf-8"), "base64") == 0) {
		plain = xmalloc(n + 1);
		if (!base64_decode(text, n, plain, n + 1, &n)) {
			rest_invalid(a, "Blob", "content", "invalid", NULL);
			return;
		}
	}
	if (n > BLOB_MAX || depot_blob(d, plain ? (const char *)plain : text, n, &id) < 0) {
		rest_invalid(a, "Blob", "data", "too_large", NULL);
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	put_object(&b, a, "blobs", &id);
	js_close(&b, '}');
	reply(a, 201, &b);
}

static git_filemode_t mode_of(const char *text)
{
	static const struct {
		const char *text;
		git_filemode_t mode;
	} rows[] = {
		{ "100644", GIT_FILEMODE_BLOB },
		{ "100755", GIT_FILEMODE_BLOB_EXECUTABLE },
		{ "120000", GIT_FILEMODE_LINK },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].text, text) == 0)
			return rows[i].mode;
	return 0;
}

/* One entry of the wish. What is wrong with it, else NULL. */
static const char *take_entry(struct depot *d, struct json_object *o, struct depot_edit *out)
{
	const char *content = json_str(o, "content", NULL), *sha = json_str(o, "sha", NULL);

	out->path = json_str(o, "path", "");
	out->mode = mode_of(json_str(o, "mode", ""));
	if (!out->mode)
		return "Must supply a valid tree.mode";
	if (content && sha)
		return "Must supply either tree.sha or tree.content";
	if (content)
		return depot_blob(d, content, strlen(content), &out->blob) < 0 ? "Invalid request."
									       : NULL;
	/* "sha": null deletes it. */
	if (!sha)
		out->mode = 0;
	else if (!hex_of(sha, &out->blob) || !depot_has(d, &out->blob, GIT_OBJECT_BLOB))
		return "tree.sha is not a valid blob";
	return NULL;
}

static bool touches_workflows(const struct depot_edit *edits, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text_starts(edits[i].path, ".github/workflows/"))
			return true;
	return false;
}

static bool may_touch_workflows(const struct ask *a)
{
	const struct grant *g = a->caller.grant;

	return !g || g->may[SCOPE_WORKFLOWS] == MAY_WRITE;
}

static void create_tree(struct ask *a)
{
	static const char docs[] = "rest/git/trees#create-a-tree";
	struct depot *d = filled(a);
	OWNED(json_putp) struct json_object *o = NULL;
	OWNED(freep) struct depot_edit *edits = NULL;
	struct json_object *list;
	const char *why = NULL, *base_hex;
	size_t n;
	git_oid base, made;
	struct buf b;

	if (!d || !rest_body(a, &o))
		return;
	list = json_at(o, "tree");
	n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	base_hex = json_str(o, "base_tree", NULL);
	if (!n || n > EDITS_MAX)
		why = "Invalid tree info";
	else if (base_hex && (!hex_of(base_hex, &base) || !depot_has(d, &base, GIT_OBJECT_TREE)))
		why = "base_tree is not a valid tree oid";
	edits = xcalloc(n + 1, sizeof(*edits));
	for (size_t i = 0; i < n && !why; i++)
		why = take_entry(d, json_object_array_get_idx(list, i), &edits[i]);
	if (!why && touches_workflows(edits, n) && !may_touch_workflows(a)) {
		ask_refuse(a, 403, "Resource not accessible by integration", docs);
		return;
	}
	if (!why && depot_tree(d, base_hex ? &base : NULL, edits, n, &made) < 0)
		why = "GitRPC::BadObjectState";
	if (why) {
		ask_refuse(a, 422, why, docs);
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	put_object(&b, a, "trees", &made);
	js_bool(&b, "truncated", false);
	js_close(&b, '}');
	reply(a, 201, &b);
}

/* --- comparing ---------------------------------------------------------------- */

static void get_compare(struct ask *a)
{
	static const char *const words[] = { "identical", "ahead", "behind", "diverged" };
	char *dots = strstr(a->rest, "...");
	struct depot *d = rest_depot(a);
	git_oid base, head, common;
	size_t ahead, behind;
	struct buf b;

	if (!d)
		return;
	if (dots)
		*dots = '\0';
	if (!dots || !depot_resolve(d, a->rest, &base) || !depot_resolve(d, dots + 3, &head) ||
	    depot_apart(d, &head, &base, &ahead, &behind) < 0 ||
	    git_merge_base(&common, d->git, &base, &head) < 0) {
		rest_not_found(a);
		return;
	}
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "status", words[(ahead > 0) + 2 * (behind > 0)]);
	js_u64(&b, "ahead_by", ahead);
	js_u64(&b, "behind_by", behind);
	js_u64(&b, "total_commits", ahead);
	js_open(&b, "merge_base_commit", '{');
	put_object(&b, a, "commits", &common);
	js_close(&b, '}');
	js_close(&b, '}');
	reply(a, 200, &b);
}

#define GIT REPO "/git"

const struct route github_git_routes[] = {
	{ "GET", REPO, CALL_GIT, get_repo, false, false, SCOPE_NONE },
	{ "GET", REPO "/branches/{p}", CALL_GIT, get_branch, false, false, SCOPE_CONTENTS },
	{ "GET", REPO "/contents/{p}", CALL_GIT, get_contents, false, false, SCOPE_CONTENTS },
	{ "GET", REPO "/compare/{p}", CALL_GIT, get_compare, false, false, SCOPE_CONTENTS },
	{ "GET", GIT "/ref/{p}", CALL_GIT, get_ref, false, false, SCOPE_CONTENTS },
	{ "GET", GIT "/commits/{p}", CALL_GIT, get_commit, false, false, SCOPE_CONTENTS },
	{ "GET", GIT "/trees/{p}", CALL_GIT, get_tree, false, false, SCOPE_CONTENTS },
	{ "POST", GIT "/blobs", CALL_GIT, create_blob, true, false, SCOPE_CONTENTS },
	{ "POST", GIT "/trees", CALL_GIT, create_tree, true, false, SCOPE_CONTENTS },
	{ "POST", GIT "/commits", CALL_GIT, create_commit, true, false, SCOPE_CONTENTS },
	{ "POST", GIT "/refs", CALL_GIT, create_ref, true, false, SCOPE_CONTENTS },
	{ "DELETE", GIT "/refs/heads/{p}", CALL_GIT, delete_ref, true, false, SCOPE_CONTENTS },
};
const size_t n_github_git_routes = ARRAY_LEN(github_git_routes);

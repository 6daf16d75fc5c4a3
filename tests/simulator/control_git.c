/* /_sim about git: commits and pull requests of people, and the truth about a repository. */
#include "tests/simulator/control.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/http_server.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/js.h"
#include "tests/simulator/sim.h"

enum { ANSWER_MAX = 64 << 20, FILES_MAX = 1000, SIZE_KB_MAX = 1 << 30 };
#define PERSON "mira-k"

/* NULL: refused. */
static struct depot *depot_of(struct sim *sim, struct http_request *http, const char *name)
{
	const struct repo *r = world_find_repo(sim->world, name);
	struct depot *d = r ? forge_depot(sim->forge, r, false) : NULL;

	if (!r)
		control_refuse(http, 404, "no such repository: POST /_sim/repos makes one");
	else if (!d)
		control_refuse(http, 400, "git has no place for a repository of that name");
	return d;
}

static void reply_sha(struct http_request *http, const git_oid *id)
{
	char hex[GIT_OID_HEXSZ + 1];
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_str(&b, "sha", git_oid_tostr(hex, sizeof(hex), id));
	js_close(&b, '}');
	control_reply(http, 201, &b);
}

/* --- commits ------------------------------------------------------------------- */

/* {"path": "text", "gone": null}: how many; -1: too many, or one is neither. */
static int take_files(struct depot *d, struct json_object *files,
		      struct depot_edit out[static FILES_MAX])
{
	int n = 0;

	json_object_object_foreach(files, path, text)
	{
		if (n == FILES_MAX || (text && !json_object_is_type(text, json_type_string)))
			return -1;
		out[n] = (struct depot_edit){ .path = path };
		if (text) {
			out[n].mode = GIT_FILEMODE_BLOB;
			if (depot_blob(d, json_object_get_string(text),
				       (size_t)json_object_get_string_len(text), &out[n].blob) < 0)
				return -1;
		}
		n++;
	}
	return n;
}

/* On a branch that is there, on a new one from `from`, or as the first of all. */
static const char *commit_files(struct depot *d, struct json_object *o, git_oid *made)
{
	static const struct depot_person person = { PERSON, PERSON "@users.noreply.example", 0 };
	OWNED(freep) struct depot_edit *edits = xcalloc(FILES_MAX, sizeof(*edits));
	const char *branch = json_str(o, "branch", FORGE_DEFAULT_BRANCH);
	const char *from = json_str(o, "from", FORGE_DEFAULT_BRANCH);
	struct json_object *files = json_at(o, "files");
	git_oid parent, base, tree;
	bool first = depot_is_empty(d);
	int n;

	if (!json_object_is_type(files, json_type_object))
		return "files is {\"path\": \"text\", \"path of one that goes\": null}";
	if (!first && !depot_branch(d, branch, &parent) && !depot_resolve(d, from, &parent))
		return "from is a branch or a commit";
	n = take_files(d, files, edits);
	if (n < 0)
		return "files are texts, or null, and not more than a thousand";
	if ((!first && depot_tree_of(d, &parent, &base) < 0) ||
	    depot_tree(d, first ? NULL : &base, edits, (size_t)n, &tree) < 0)
		return "one of the files cannot be there, or is not there to be deleted";
	if (depot_commit(d, &tree, &parent, !first, json_str(o, "message", "Work\n"), &person,
			 made) < 0 ||
	    depot_move_branch(d, branch, made) < 0)
		return "git takes no such commit, or no branch of that name";
	return NULL;
}

void control_post_commit(struct sim *sim, struct http_request *http, struct json_object *o)
{
	struct depot *d = depot_of(sim, http, json_str(o, "repo", ""));
	const char *wrong;
	git_oid made;

	if (!d)
		return;
	wrong = commit_files(d, o, &made);
	if (wrong)
		control_refuse(http, 400, wrong);
	else
		reply_sha(http, &made);
}

/* --- proposals ------------------------------------------------------------------- */

static void put_proposal(struct buf *b, const struct depot *d, const struct proposal *p)
{
	char hex[GIT_OID_HEXSZ + 1];
	git_oid id;

	js_open(b, NULL, '{');
	js_u64(b, "number", p->number);
	js_str(b, "head", p->head);
	js_str(b, "base", p->base);
	js_str(b, "sha", proposal_head(d, p, &id) ? git_oid_tostr(hex, sizeof(hex), &id) : NULL);
	js_str(b, "title", p->title);
	js_str(b, "body", p->body);
	js_str(b, "author", p->author);
	js_bool(b, "closed", p->closed);
	js_bool(b, "of_fork", p->of_fork);
	js_open(b, "labels", '[');
	for (unsigned i = 0; i < p->n_labels; i++)
		js_str(b, NULL, p->labels[i]);
	js_close(b, ']');
	js_i64(b, "comments", p->n_comments);
	js_str(b, "last_comment", p->last_comment);
	js_close(b, '}');
}

/* The branch of a fork is no branch here. */
static const char *propose(struct depot *d, struct json_object *o, struct proposal **out)
{
	const char *head = json_str(o, "head", "");
	const char *base = json_str(o, "base", FORGE_DEFAULT_BRANCH);
	bool of_fork = json_flag(o, "of_fork", false);
	git_oid at, unused;
	struct proposal *p;

	if (!depot_branch(d, head, &at) || !depot_branch(d, base, &unused))
		return "head and base are branches that are there";
	p = depot_propose(d, head, base);
	if (!p)
		return "there are too many";
	p->of_fork = of_fork;
	p->may_be_ours = json_flag(o, "maintainer_can_modify", false);
	p->title = xstrdup(json_str(o, "title", "Work"));
	p->body = xstrdup("");
	(void)text_copy(p->author, sizeof(p->author), PERSON, strlen(PERSON));
	if (of_fork && (proposal_move(d, p, &at) < 0 || !depot_delete_branch(d, head)))
		return "git takes no such branch";
	*out = p;
	return NULL;
}

void control_post_pull(struct sim *sim, struct http_request *http, struct json_object *o)
{
	struct depot *d = depot_of(sim, http, json_str(o, "repo", ""));
	struct proposal *p = NULL;
	const char *wrong;
	struct buf b;

	if (!d)
		return;
	wrong = propose(d, o, &p);
	if (wrong) {
		control_refuse(http, 400, wrong);
		return;
	}
	buf_init(&b, ANSWER_MAX);
	put_proposal(&b, d, p);
	control_reply(http, 201, &b);
}

/* --- the truth ------------------------------------------------------------------- */

static void put_branches(struct buf *b, const struct depot *d)
{
	git_branch_iterator *it = NULL;
	git_reference *ref;
	git_branch_t type;
	char hex[GIT_OID_HEXSZ + 1];

	js_open(b, "branches", '{');
	if (git_branch_iterator_new(&it, d->git, GIT_BRANCH_LOCAL) < 0)
		it = NULL;
	while (it && git_branch_next(&ref, &type, it) == 0) {
		const char *name = git_reference_shorthand(ref);
		const git_oid *id = git_reference_target(ref);

		buf_json(b, name, strlen(name));
		buf_putc(b, ':');
		js_str(b, NULL, id ? git_oid_tostr(hex, sizeof(hex), id) : NULL);
		git_reference_free(ref);
	}
	git_branch_iterator_free(it);
	js_close(b, '}');
}

/* ?repo=o/n */
void control_get_repo(struct sim *sim, struct http_request *http)
{
	char name[NAME_MAX_BYTES] = "";
	struct depot *d;
	struct buf b;

	(void)http_request_query(http, "repo", name, sizeof(name));
	d = depot_of(sim, http, name);
	if (!d)
		return;
	buf_init(&b, ANSWER_MAX);
	js_open(&b, NULL, '{');
	js_u64(&b, "id", d->repo->id);
	js_str(&b, "path", d->path);
	put_branches(&b, d);
	js_open(&b, "proposals", '[');
	for (unsigned i = 0; i < d->n_proposals; i++)
		put_proposal(&b, d, d->proposals[i]);
	js_close(&b, ']');
	js_close(&b, '}');
	control_reply(http, 200, &b);
}

const char *control_repo_wish(struct sim *sim, struct repo *r, struct json_object *o)
{
	struct json_object *list = json_at(o, "protected");
	const char *parameters = json_str(o, "parameters", r->parameters);
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	int64_t size = json_i64(o, "size", 0);
	bool empty = json_flag(o, "empty", false), git = n || empty || json_flag(o, "git", false);
	struct depot *d = git ? forge_depot(sim->forge, r, empty) : NULL;
	struct err err;

	if (size < 0 || size > SIZE_KB_MAX)
		return "size is in KiB";
	if (git && !d)
		return "git has no place for a repository of that name";
	r->size_kb = (uint64_t)size;
	(void)text_copy(r->parameters, sizeof(r->parameters), parameters, strlen(parameters));
	for (size_t i = 0; i < n; i++) {
		const char *branch = json_object_get_string(json_object_array_get_idx(list, i));

		if (!branch || depot_protect(d, branch, &err) < 0)
			return "protected is a list of a few branches";
	}
	return NULL;
}

/* {"contents":"read","workflows":"none"}: what the App's installation may, from now on; and
 * {"gitlab":"read_api"}: what GitLab's token is for. */
void control_post_scopes(struct sim *sim, struct http_request *http, struct json_object *o)
{
	static const char *const words[] = { "none", "read", "write" };
	const char *gitlab = json_str(o, "gitlab", "");
	unsigned known = strcmp(gitlab, "api") == 0 || strcmp(gitlab, "read_api") == 0;

	if (known)
		sim->gitlab_read_api = strcmp(gitlab, "read_api") == 0;
	for (unsigned i = SCOPE_NONE + 1; i < N_SCOPES; i++) {
		const char *word = json_str(o, scope_names[i], "");

		for (unsigned k = 0; k < ARRAY_LEN(words); k++) {
			if (strcmp(word, words[k]) != 0)
				continue;
			access_allow(sim->access, (enum scope)i, (enum leave)k);
			known++;
		}
	}
	if (!known || known != (unsigned)json_object_object_length(o)) {
		control_refuse(http, 400,
			       "say none, read or write for actions, checks, contents, "
			       "pull_requests, issues or workflows; api or read_api for gitlab");
		return;
	}
	http_reply(http, 204, NULL, NULL, 0);
}

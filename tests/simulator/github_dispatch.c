/* GitHub's REST API: a workflow is started by hand, with the inputs that its file has. */
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/http_server.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "tests/simulator/js.h"
#include "tests/simulator/reply.h"
#include "tests/simulator/rest.h"

enum { FILE_MAX = 1 << 20, WHY_MAX = 300 };
#define DOCS "rest/actions/workflows#create-a-workflow-dispatch-event"

/* --- what the file says ----------------------------------------------------------- */

struct line {
	const char *text;
	size_t n;
	int indent; /* -1: nothing in it */
};

static const char *next_line(const char *at, const char *end, struct line *out)
{
	const char *stop = memchr(at, '\n', (size_t)(end - at));
	const char *to = stop ? stop : end;

	out->text = at;
	while (out->text < to && *out->text == ' ')
		out->text++;
	out->n = (size_t)(to - out->text);
	out->indent = out->n && *out->text != '#' ? (int)(out->text - at) : -1;
	return stop ? stop + 1 : end;
}

static bool is_key(const struct line *l, const char *key)
{
	size_t n = strlen(key);

	return l->n > n && strncmp(l->text, key, n) == 0 && l->text[n] == ':';
}

/* Members of the mapping "workflow_dispatch: inputs:", as far as block style goes. */
struct reading {
	int dispatch, inputs, member; /* their indents; -1: not there */
};

static bool is_input(struct reading *r, const struct line *l)
{
	if (l->indent < 0)
		return false;
	if (r->dispatch >= 0 && l->indent <= r->dispatch)
		r->dispatch = r->inputs = r->member = -1;
	if (is_key(l, "workflow_dispatch")) {
		r->dispatch = l->indent;
	} else if (r->dispatch >= 0 && is_key(l, "inputs")) {
		r->inputs = l->indent;
	} else if (r->inputs >= 0 && l->indent > r->inputs) {
		if (r->member < 0)
			r->member = l->indent;
		return l->indent == r->member;
	}
	return false;
}

/* False: it is not started by hand. */
static bool started_by_hand(const char *text, size_t n)
{
	const char *at = text, *end = text + n;
	struct line l;

	while (at < end) {
		at = next_line(at, end, &l);
		if (l.indent > 0 && is_key(&l, "workflow_dispatch"))
			return true;
	}
	return false;
}

static bool has_input(const char *text, size_t n, const char *name)
{
	struct reading r = { -1, -1, -1 };
	const char *at = text, *end = text + n;
	struct line l;

	while (at < end) {
		at = next_line(at, end, &l);
		if (is_input(&r, &l) && is_key(&l, name))
			return true;
	}
	return false;
}

/* --- the request -------------------------------------------------------------------- */

/* By the number or the name of its file; the name of the file at the reference in `out`. */
static bool find_file(const struct ask *a, const struct repo *repo, char out[static NAME_MAX_BYTES])
{
	uint64_t id;

	if (!text_to_u64(a->rest, &id)) {
		(void)snprintf(out, NAME_MAX_BYTES, ".github/workflows/%.160s", a->rest);
		return true;
	}
	for (size_t i = world_count(a->sim->world); i-- > world_first(a->sim->world);) {
		const struct run *r = world_at(a->sim->world, i);

		if (r->repo == repo && r->workflow->id == id) {
			(void)snprintf(out, NAME_MAX_BYTES, "%s", r->workflow->path);
			return true;
		}
	}
	return false;
}

static bool read_file(struct depot *d, const git_oid *commit, const char *path, struct buf *out)
{
	git_tree_entry *e = NULL;
	git_tree *tree = NULL;
	git_blob *blob = NULL;
	git_oid root;
	bool found = depot_tree_of(d, commit, &root) == 0 &&
		     git_tree_lookup(&tree, d->git, &root) == 0 &&
		     git_tree_entry_bypath(&e, tree, path) == 0 &&
		     git_blob_lookup(&blob, d->git, git_tree_entry_id(e)) == 0;

	if (found)
		buf_append(out, git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
	git_blob_free(blob);
	git_tree_entry_free(e);
	git_tree_free(tree);
	return found;
}

/* What is wrong with them in `why`; false: nothing. */
static bool unexpected(struct json_object *inputs, const struct buf *file, char why[static WHY_MAX])
{
	struct buf names;

	if (!inputs)
		return false;
	buf_init(&names, WHY_MAX / 2);
	json_object_object_foreach(inputs, name, value)
	{
		UNUSED(value);
		if (!has_input(buf_text(file), file->len, name))
			buf_printf(&names, "%s\"%s\"", names.len ? ", " : "", name);
	}
	(void)snprintf(why, WHY_MAX, "Unexpected inputs provided: [%s]", buf_text(&names));
	buf_done(&names);
	return strcmp(why, "Unexpected inputs provided: []") != 0;
}

/* Like the newest run of that branch, or else of another one. */
static void run_it(struct ask *a, const struct repo *repo, const char *branch, const char *file,
		   struct json_object *inputs)
{
	const struct run *like = world_newest(a->sim->world, repo, FLAVOUR_GITHUB, branch, file);
	const struct run_wish wish = { .repo = repo->full_name,
				       .branch = branch,
				       .event = EVENT_DISPATCH,
				       .inputs = inputs ? json_text(inputs) : "{}",
				       .job_ms = -1,
				       .passes = true };
	struct err err;
	struct run *r;
	int ret = like ? world_run_again(a->sim->world, like, EVENT_DISPATCH, wish.inputs, &r, &err)
		       : world_create(a->sim->world, &wish, &r, &err);

	if (ret < 0)
		ask_refuse(a, 500, err.msg, DOCS);
	else
		ask_reply(a, 204, NULL, NULL, 0);
}

static const char *branch_of(const char *ref)
{
	return text_starts(ref, "refs/heads/") ? ref + strlen("refs/heads/") : ref;
}

static void dispatch(struct ask *a)
{
	struct depot *d = rest_depot(a);
	OWNED(json_putp) struct json_object *o = NULL;
	char file[NAME_MAX_BYTES], why[WHY_MAX];
	const char *branch;
	git_oid id;
	struct buf text;

	if (!d || !rest_body(a, &o))
		return;
	branch = branch_of(json_str(o, "ref", ""));
	buf_init(&text, FILE_MAX);
	(void)snprintf(why, sizeof(why), "No ref found for: %.200s", branch);
	if (!find_file(a, d->repo, file)) {
		rest_not_found(a);
	} else if (!depot_branch(d, branch, &id)) {
		ask_refuse(a, 422, why, DOCS);
	} else if (!read_file(d, &id, file, &text)) {
		rest_not_found(a);
	} else if (!started_by_hand(buf_text(&text), text.len)) {
		ask_refuse(a, 422, "Workflow does not have 'workflow_dispatch' trigger", DOCS);
	} else if (unexpected(json_at(o, "inputs"), &text, why)) {
		ask_refuse(a, 422, why, DOCS);
	} else {
		run_it(a, d->repo, branch, file, json_at(o, "inputs"));
	}
	buf_done(&text);
}

const struct route github_dispatch_routes[] = {
	{ "POST", REPO "/actions/workflows/{p}/dispatches", CALL_DISPATCH, dispatch, true, false,
	  SCOPE_ACTIONS },
};
const size_t n_github_dispatch_routes = ARRAY_LEN(github_dispatch_routes);

#include "tests/simulator/forge.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/text.h"

enum { PARENTS_MAX = 2, REBASE_MAX = 1000 };

struct forge {
	char dir[DEPOT_PATH_MAX / 2];
	bool temporary;
	struct depot *depots;
};

DEFINE_OWNED(git_tree, git_tree_free)
DEFINE_OWNED(git_commit, git_commit_free)
DEFINE_OWNED(git_reference, git_reference_free)
DEFINE_OWNED(git_object, git_object_free)
DEFINE_OWNED(git_signature, git_signature_free)
DEFINE_OWNED(git_index, git_index_free)
DEFINE_OWNED(git_revwalk, git_revwalk_free)
DEFINE_OWNED(git_tree_entry, git_tree_entry_free)

/* --- objects ---------------------------------------------------------------- */

bool depot_has(const struct depot *d, const git_oid *id, git_object_t type)
{
	OWNED(git_object_freep) git_object *o = NULL;

	return git_object_lookup(&o, d->git, id, type) == 0;
}

bool depot_branch(const struct depot *d, const char *name, git_oid *out)
{
	OWNED(freep) char *full = xasprintf("refs/heads/%s", name);

	return git_reference_name_to_id(out, d->git, full) == 0;
}

bool depot_resolve(const struct depot *d, const char *name, git_oid *out)
{
	if (depot_branch(d, name, out))
		return true;
	if (text_starts(name, "refs/"))
		return git_reference_name_to_id(out, d->git, name) == 0;
	return strlen(name) == GIT_OID_HEXSZ && git_oid_fromstr(out, name) == 0 &&
	       depot_has(d, out, GIT_OBJECT_COMMIT);
}

bool depot_is_empty(const struct depot *d)
{
	return git_repository_head_unborn(d->git) != 0;
}

int depot_blob(struct depot *d, const void *data, size_t n, git_oid *out)
{
	return git_blob_create_from_buffer(out, d->git, data, n) < 0 ? -1 : 0;
}

int depot_tree_of(const struct depot *d, const git_oid *commit, git_oid *out)
{
	OWNED(git_commit_freep) git_commit *c = NULL;

	if (git_commit_lookup(&c, d->git, commit) < 0)
		return -1;
	git_oid_cpy(out, git_commit_tree_id(c));
	return 0;
}

static bool in_tree(const git_tree *t, const char *path)
{
	OWNED(git_tree_entry_freep) git_tree_entry *e = NULL;

	return t && git_tree_entry_bypath(&e, t, path) == 0;
}

int depot_tree(struct depot *d, const git_oid *base, const struct depot_edit *edits, size_t n,
	       git_oid *out)
{
	OWNED(freep) git_tree_update *updates = xcalloc(n + 1, sizeof(*updates));
	OWNED(git_tree_freep) git_tree *from = NULL;
	git_oid nothing;

	/* libgit2 wants a tree to begin with. */
	if (!base) {
		git_treebuilder *b;

		if (git_treebuilder_new(&b, d->git, NULL) < 0)
			return -1;
		if (git_treebuilder_write(&nothing, b) < 0)
			abort();
		git_treebuilder_free(b);
		base = &nothing;
	}
	if (git_tree_lookup(&from, d->git, base) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!edits[i].mode && !in_tree(from, edits[i].path))
			return -1;
		updates[i] = (git_tree_update){
			.action = edits[i].mode ? GIT_TREE_UPDATE_UPSERT : GIT_TREE_UPDATE_REMOVE,
			.id = edits[i].blob,
			.filemode = edits[i].mode ? edits[i].mode : GIT_FILEMODE_BLOB,
			.path = edits[i].path,
		};
	}
	return git_tree_create_updated(out, d->git, from, n, updates) < 0 ? -1 : 0;
}

static int make_commit(struct depot *d, const git_oid *tree, const git_oid *parents, size_t n,
		       const char *message, const git_signature *author,
		       const git_signature *committer, git_oid *out)
{
	OWNED(git_tree_freep) git_tree *t = NULL;
	git_commit *found[PARENTS_MAX] = { NULL };
	const git_commit *list[PARENTS_MAX] = { NULL };
	int ret = n > PARENTS_MAX ? -1 : git_tree_lookup(&t, d->git, tree);

	for (size_t i = 0; i < n && ret == 0; i++) {
		ret = git_commit_lookup(&found[i], d->git, &parents[i]);
		list[i] = found[i];
	}
	if (ret == 0)
		ret = git_commit_create(out, d->git, NULL, author, committer, NULL, message, t, n,
					list);
	for (size_t i = 0; i < PARENTS_MAX; i++)
		git_commit_free(found[i]);
	return ret < 0 ? -1 : 0;
}

int depot_commit(struct depot *d, const git_oid *tree, const git_oid *parents, size_t n_parents,
		 const char *message, const struct depot_person *author, git_oid *out)
{
	OWNED(git_signature_freep) git_signature *who = NULL;
	int64_t at_s = author->at_s ? author->at_s : clock_wall_ms() / 1000;

	if (git_signature_new(&who, author->name, author->email, at_s, 0) < 0)
		return -1;
	return make_commit(d, tree, parents, n_parents, message, who, who, out);
}

/* --- references ------------------------------------------------------------- */

enum ref_made depot_create_ref(struct depot *d, const char *full_name, const git_oid *id)
{
	OWNED(git_reference_freep) git_reference *ref = NULL;
	int ret = git_reference_create(&ref, d->git, full_name, id, 0, NULL);

	return ret == 0 ? REF_MADE : ret == GIT_EEXISTS ? REF_EXISTS : REF_BAD;
}

int depot_move_branch(struct depot *d, const char *name, const git_oid *id)
{
	OWNED(freep) char *full = xasprintf("refs/heads/%s", name);
	OWNED(git_reference_freep) git_reference *ref = NULL;

	return git_reference_create(&ref, d->git, full, id, 1, NULL) < 0 ? -1 : 0;
}

bool depot_delete_branch(struct depot *d, const char *name)
{
	OWNED(freep) char *full = xasprintf("refs/heads/%s", name);
	OWNED(git_reference_freep) git_reference *ref = NULL;

	return git_reference_lookup(&ref, d->git, full) == 0 && git_reference_delete(ref) == 0;
}

bool depot_protects(const struct depot *d, const char *branch)
{
	for (unsigned i = 0; i < d->n_protected; i++)
		if (strcmp(d->protected_branches[i], branch) == 0)
			return true;
	return false;
}

static int write_file(const char *path, const char *text, mode_t mode, struct err *err)
{
	FILE *f = fopen(path, "we");
	bool ok;

	if (!f)
		return err_set(err, ERR_CONFIG, "cannot write %s: %s", path, strerror(errno));
	ok = fputs(text, f) >= 0;
	ok = fclose(f) == 0 && ok;
	if (!ok || chmod(path, mode) < 0)
		return err_set(err, ERR_CONFIG, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

/* What a push meets: the list is a file beside the hook that reads it. */
int depot_protect(struct depot *d, const char *branch, struct err *err)
{
	static const char hook[] =
		"#!/bin/sh\n"
		"grep -qxF \"$1\" \"$GIT_DIR/protected-refs\" || exit 0\n"
		"echo \"error: GH006: Protected branch update failed for $1.\" >&2\n"
		"exit 1\n";
	OWNED(freep) char *list = xasprintf("%s/protected-refs", d->path);
	OWNED(freep) char *folder = xasprintf("%s/hooks", d->path);
	OWNED(freep) char *script = xasprintf("%s/update", folder);
	OWNED(freep) char *lines = xstrdup("");

	if (depot_protects(d, branch))
		return 0;
	if (d->n_protected == DEPOT_PROTECTED_MAX)
		return err_set(err, ERR_INPUT, "at most %d protected branches",
			       DEPOT_PROTECTED_MAX);
	(void)text_copy(d->protected_branches[d->n_protected++], NAME_MAX_BYTES, branch,
			strlen(branch));
	for (unsigned i = 0; i < d->n_protected; i++) {
		char *more = xasprintf("%srefs/heads/%s\n", lines, d->protected_branches[i]);

		free(lines);
		lines = more;
	}
	(void)mkdir(folder, 0755);
	if (write_file(list, lines, 0644, err) < 0)
		return -1;
	return write_file(script, hook, 0755, err);
}

/* --- histories -------------------------------------------------------------- */

int depot_apart(const struct depot *d, const git_oid *head, const git_oid *base, size_t *ahead,
		size_t *behind)
{
	return git_graph_ahead_behind(ahead, behind, d->git, head, base) < 0 ? -1 : 0;
}

/* The tree of an index without conflicts. */
static enum merge_end index_tree(struct depot *d, git_index *index, git_oid *out)
{
	if (git_index_has_conflicts(index) || git_index_write_tree_to(out, index, d->git) < 0)
		return MERGE_CONFLICT;
	return MERGE_DONE;
}

enum merge_end depot_merge(struct depot *d, const git_oid *onto, const git_oid *from,
			   const char *message, git_oid *out)
{
	static const struct depot_person us = { "CI", "ci@example.org", 0 };
	OWNED(git_commit_freep) git_commit *a = NULL;
	OWNED(git_commit_freep) git_commit *b = NULL;
	OWNED(git_index_freep) git_index *index = NULL;
	const git_oid parents[PARENTS_MAX] = { *onto, *from };
	size_t ahead = 0, behind = 0;
	git_oid tree;

	if (git_graph_ahead_behind(&ahead, &behind, d->git, onto, from) < 0 || behind == 0)
		return MERGE_NOTHING;
	if (git_commit_lookup(&a, d->git, onto) < 0 || git_commit_lookup(&b, d->git, from) < 0 ||
	    git_merge_commits(&index, d->git, a, b, NULL) < 0 ||
	    index_tree(d, index, &tree) != MERGE_DONE)
		return MERGE_CONFLICT;
	return depot_commit(d, &tree, parents, PARENTS_MAX, message, &us, out) < 0 ? MERGE_CONFLICT
										   : MERGE_DONE;
}

/* One commit anew, on top of *tip. */
static enum merge_end pick(struct depot *d, const git_oid *id, git_oid *tip)
{
	OWNED(git_commit_freep) git_commit *c = NULL;
	OWNED(git_commit_freep) git_commit *onto = NULL;
	OWNED(git_index_freep) git_index *index = NULL;
	git_oid tree, made;

	if (git_commit_lookup(&c, d->git, id) < 0 || git_commit_lookup(&onto, d->git, tip) < 0 ||
	    git_cherrypick_commit(&index, d->git, c, onto, 0, NULL) < 0 ||
	    index_tree(d, index, &tree) != MERGE_DONE ||
	    make_commit(d, &tree, tip, 1, git_commit_message(c), git_commit_author(c),
			git_commit_committer(c), &made) < 0)
		return MERGE_CONFLICT;
	git_oid_cpy(tip, &made);
	return MERGE_DONE;
}

enum merge_end depot_rebase(struct depot *d, const git_oid *head, const git_oid *onto, git_oid *out)
{
	OWNED(git_revwalk_freep) git_revwalk *walk = NULL;
	size_t ahead = 0, behind = 0;
	git_oid id, tip = *onto;

	if (git_graph_ahead_behind(&ahead, &behind, d->git, head, onto) < 0 || behind == 0)
		return MERGE_NOTHING;
	if (ahead > REBASE_MAX || git_revwalk_new(&walk, d->git) < 0 ||
	    git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE) < 0 ||
	    git_revwalk_push(walk, head) < 0 || git_revwalk_hide(walk, onto) < 0)
		return MERGE_CONFLICT;
	while (git_revwalk_next(&id, walk) == 0)
		if (pick(d, &id, &tip) != MERGE_DONE)
			return MERGE_CONFLICT;
	git_oid_cpy(out, &tip);
	return MERGE_DONE;
}

enum merge_end depot_revert(struct depot *d, const git_oid *onto, const git_oid *commit,
			    git_oid *out)
{
	static const struct depot_person us = { "CI", "ci@example.org", 0 };
	OWNED(git_commit_freep) git_commit *c = NULL;
	OWNED(git_commit_freep) git_commit *tip = NULL;
	OWNED(git_index_freep) git_index *index = NULL;
	OWNED(freep) char *message = NULL;
	char hex[GIT_OID_HEXSZ + 1];
	git_oid tree;

	if (git_commit_lookup(&c, d->git, commit) < 0 || git_commit_lookup(&tip, d->git, onto) < 0)
		return MERGE_NOTHING;
	/* Of a merge, what it brought to its first parent. */
	if (git_revert_commit(&index, d->git, c, tip, git_commit_parentcount(c) > 1, NULL) < 0 ||
	    index_tree(d, index, &tree) != MERGE_DONE)
		return MERGE_CONFLICT;
	if (git_oid_equal(&tree, git_commit_tree_id(tip)))
		return MERGE_NOTHING;
	message = xasprintf("Revert \"%.200s\"\n\nThis reverts commit %s.\n", git_commit_summary(c),
			    git_oid_tostr(hex, sizeof(hex), commit));
	return depot_commit(d, &tree, onto, 1, message, &us, out) < 0 ? MERGE_CONFLICT : MERGE_DONE;
}

/* --- proposals -------------------------------------------------------------- */

struct proposal *depot_proposal(const struct depot *d, uint64_t number)
{
	return number >= 1 && number <= d->n_proposals ? d->proposals[number - 1] : NULL;
}

struct proposal *depot_propose(struct depot *d, const char *head, const char *base)
{
	struct proposal *p;

	if (d->n_proposals == PROPOSALS_MAX)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	(void)text_copy(p->head, sizeof(p->head), head, strlen(head));
	(void)text_copy(p->base, sizeof(p->base), base, strlen(base));
	p->created_ms = p->updated_ms = clock_wall_ms();
	d->proposals[d->n_proposals++] = p;
	p->number = d->n_proposals;
	return p;
}

static void proposal_ref(const struct proposal *p, char out[static NAME_MAX_BYTES + 32])
{
	if (p->of_fork)
		(void)snprintf(out, NAME_MAX_BYTES + 32, "refs/pull/%" PRIu64 "/head", p->number);
	else
		(void)snprintf(out, NAME_MAX_BYTES + 32, "refs/heads/%s", p->head);
}

bool proposal_head(const struct depot *d, const struct proposal *p, git_oid *out)
{
	char ref[NAME_MAX_BYTES + 32];

	proposal_ref(p, ref);
	return git_reference_name_to_id(out, d->git, ref) == 0;
}

int proposal_move(struct depot *d, const struct proposal *p, const git_oid *id)
{
	OWNED(git_reference_freep) git_reference *ref = NULL;
	char name[NAME_MAX_BYTES + 32];

	proposal_ref(p, name);
	return git_reference_create(&ref, d->git, name, id, 1, NULL) < 0 ? -1 : 0;
}

/* --- making them ------------------------------------------------------------- */

static const char workflow_text[] = "name: CI\n"
				    "on:\n"
				    "  push:\n"
				    "  pull_request:\n"
				    "  workflow_dispatch:\n"
				    "    inputs:\n"
				    "      runner:\n"
				    "        default: ubuntu-22.04\n"
				    "jobs:\n"
				    "  build:\n"
				    "    runs-on: ${{ inputs.runner || 'ubuntu-22.04' }}\n"
				    "    steps:\n"
				    "      - uses: actions/checkout@v4\n"
				    "      - run: make check\n";
static const struct {
	const char *path, *text;
} first_files[] = {
	{ ".github/workflows/ci.yml", workflow_text },
	{ ".github/workflows/nightly.yml",
	  "name: Nightly\non:\n  schedule:\n    - cron: '0 3 * * *'\n" },
	{ ".github/workflows/release.yml", "name: Release\non:\n  push:\n    tags: ['v*']\n" },
	{ ".gitlab-ci.yml", "build:\n  script: make check\n" },
	{ "Jenkinsfile", "pipeline { agent any }\n" },
	{ "README.md", "What this is, and how to build it.\n" },
	{ "src/app.py", "def total(prices):\n    return sum(prices)\n" },
	{ "tests/test_app.py", "from src.app import total\n\n\ndef test_total():\n"
			       "    assert total([1, 2]) == 3\n" },
};

/* The same in every world, as the ids of the repositories are. */
static int first_commit(struct depot *d)
{
	static const struct depot_person founder = { "mira-k", "mira-k@users.noreply.example",
						     1609495200 };
	struct depot_edit edits[ARRAY_LEN(first_files)];
	git_oid tree, commit;

	for (size_t i = 0; i < ARRAY_LEN(first_files); i++) {
		edits[i] = (struct depot_edit){ .path = first_files[i].path,
						.mode = GIT_FILEMODE_BLOB };
		if (depot_blob(d, first_files[i].text, strlen(first_files[i].text),
			       &edits[i].blob) < 0)
			return -1;
	}
	if (depot_tree(d, NULL, edits, ARRAY_LEN(edits), &tree) < 0 ||
	    depot_commit(d, &tree, NULL, 0, "First commit\n", &founder, &commit) < 0)
		return -1;
	return depot_move_branch(d, FORGE_DEFAULT_BRANCH, &commit);
}

struct depot *forge_find(struct forge *f, const struct repo *repo)
{
	for (struct depot *d = f->depots; d; d = d->next)
		if (d->repo == repo)
			return d;
	return NULL;
}

static void depot_free(struct depot *d)
{
	for (unsigned i = 0; i < d->n_proposals; i++) {
		free(d->proposals[i]->title);
		free(d->proposals[i]->body);
		free(d->proposals[i]->last_comment);
		free(d->proposals[i]);
	}
	git_repository_free(d->git);
	free(d);
}

/* "../x" is a name that the API allows, but no place for a folder. */
static bool path_is_safe(const char *name)
{
	for (const char *at = name; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (*at == '.')
			return false;
	}
	return true;
}

/* One that lies there already, in a folder that outlives us, is taken as it is. */
static int open_git(struct depot *d)
{
	git_repository_init_options opt;

	if (git_repository_open_bare(&d->git, d->path) == 0)
		return 1;
	(void)git_repository_init_options_init(&opt, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
	opt.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH;
	opt.initial_head = FORGE_DEFAULT_BRANCH;
	return git_repository_init_ext(&d->git, d->path, &opt);
}

/* Only when somebody asks: most simulators never do, and some are killed. */
static bool make_dir(struct forge *f)
{
	const char *tmp = getenv("TMPDIR");

	if (*f->dir)
		return true;
	(void)snprintf(f->dir, sizeof(f->dir), "%s/simulator-git-XXXXXX",
		       tmp && *tmp ? tmp : "/tmp");
	if (mkdtemp(f->dir))
		return true;
	f->dir[0] = '\0';
	return false;
}

struct depot *forge_depot(struct forge *f, const struct repo *repo, bool empty)
{
	struct depot *d = forge_find(f, repo);
	int found;

	if (d)
		return d;
	if (!path_is_safe(repo->full_name) || !make_dir(f))
		return NULL;
	d = xcalloc(1, sizeof(*d));
	d->repo = repo;
	(void)snprintf(d->path, sizeof(d->path), "%s/%s.git", f->dir, repo->full_name);
	found = open_git(d);
	if (found < 0 || (found == 0 && !empty && first_commit(d) < 0)) {
		depot_free(d);
		return NULL;
	}
	d->next = f->depots;
	f->depots = d;
	return d;
}

/* --- beginning and end -------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	UNUSED(st);
	UNUSED(kind);
	UNUSED(where);
	(void)remove(path);
	return 0;
}

int forge_new(const char *dir, struct forge **out, struct err *err)
{
	struct forge *f = xcalloc(1, sizeof(*f));

	f->temporary = !dir;
	if (dir && ((mkdir(dir, 0755) < 0 && errno != EEXIST) ||
		    !text_copy(f->dir, sizeof(f->dir), dir, strlen(dir)))) {
		(void)err_set(err, ERR_CONFIG, "cannot make %s: %s", dir, strerror(errno));
		free(f);
		return -1;
	}
	(void)git_libgit2_init();
	*out = f;
	return 0;
}

void forge_free(struct forge *f)
{
	enum { OPEN_MAX_DIRS = 16 };

	if (!f)
		return;
	while (f->depots) {
		struct depot *d = f->depots;

		f->depots = d->next;
		depot_free(d);
	}
	if (f->temporary && *f->dir)
		(void)nftw(f->dir, remove_one, OPEN_MAX_DIRS, FTW_DEPTH | FTW_PHYS);
	(void)git_libgit2_shutdown();
	free(f);
}

const char *forge_dir(const struct forge *f)
{
	return f->dir;
}

bool forge_has_all(const struct forge *f)
{
	return !f->temporary;
}

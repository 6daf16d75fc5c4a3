#include "dispatcher/git_restore.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <git2.h>

#include "core/mem.h"
#include "core/text.h"

enum { SOURCES_MAX = 8, OBJECTS_MAX = 4 << 20, LOOSE_FIRST = 100 };
#define DAMAGED "pipeline-guard-damaged"

/* Every object once. */
struct seen {
	git_oid *ids;
	bool *used;
	size_t n, cap;
};

struct restore {
	git_repository *repo;
	git_odb *odb, *loose; /* loose: the same, without packs, to write to */
	git_odb *sources[SOURCES_MAX];
	struct git_restored *out;
	struct seen seen;
	git_oid *todo;
	size_t n_todo, cap_todo;
	const char *fault; /* NULL, or why it ends */
};

static const char *git_why(void)
{
	const git_error *e = git_error_last();

	return e && e->message ? e->message : "no reason given";
}

/* --- what was read -------------------------------------------------------------------------------
 */

static size_t slot_of(const struct seen *s, const git_oid *id)
{
	uint64_t hash;
	size_t at;

	memcpy(&hash, id->id, sizeof(hash));
	for (at = hash & (s->cap - 1); s->used[at] && !git_oid_equal(&s->ids[at], id);)
		at = (at + 1) & (s->cap - 1);
	return at;
}

static void grow(struct seen *s)
{
	struct seen old = *s;

	s->cap = old.cap ? old.cap * 2 : 1024;
	s->ids = xcalloc(s->cap, sizeof(*s->ids));
	s->used = xcalloc(s->cap, sizeof(*s->used));
	for (size_t i = 0; i < old.cap; i++) {
		if (old.used[i]) {
			size_t at = slot_of(s, &old.ids[i]);

			s->ids[at] = old.ids[i];
			s->used[at] = true;
		}
	}
	free(old.ids);
	free(old.used);
}

static void want(struct restore *r, const git_oid *id)
{
	size_t at;

	if (r->seen.n * 2 >= r->seen.cap)
		grow(&r->seen);
	at = slot_of(&r->seen, id);
	if (r->seen.used[at])
		return;
	if (r->seen.n == OBJECTS_MAX) {
		r->fault = "it has too many objects";
		return;
	}
	r->seen.ids[at] = *id;
	r->seen.used[at] = true;
	r->seen.n++;
	if (r->n_todo == r->cap_todo) {
		r->cap_todo = r->cap_todo ? r->cap_todo * 2 : 256;
		r->todo = xrealloc(r->todo, r->cap_todo * sizeof(*r->todo));
	}
	r->todo[r->n_todo++] = *id;
}

/* --- one object
 * ------------------------------------------------------------------------------------ */

/* Out of git's way, where a person can look at it. A damaged pack stays: it has others in it. */
static void set_aside(struct restore *r, const git_oid *id)
{
	const char *gitdir = git_repository_path(r->repo);
	char hex[GIT_OID_HEXSZ + 1];
	OWNED(freep) char *folder = xasprintf("%s" DAMAGED, gitdir);
	OWNED(freep) char *from = NULL;
	OWNED(freep) char *to = NULL;

	git_oid_tostr(hex, sizeof(hex), id);
	from = xasprintf("%sobjects/%.2s/%s", gitdir, hex, hex + 2);
	to = xasprintf("%s/%s", folder, hex);
	if (access(from, F_OK) != 0)
		r->out->in_pack |= git_odb_exists(r->odb, id);
	else if (mkdir(folder, 0700) == 0 || errno == EEXIST)
		(void)rename(from, to);
}

/* What is written has the name that its content gives it, whoever it came from. */
static bool put_back(struct restore *r, const git_oid *id)
{
	git_odb_object *object = NULL;
	git_oid written;
	bool ok = false;

	for (size_t i = 0; i < r->out->sources && !ok; i++) {
		if (git_odb_read(&object, r->sources[i], id) < 0)
			continue;
		set_aside(r, id);
		ok = git_odb_write(&written, r->loose, git_odb_object_data(object),
				   git_odb_object_size(object), git_odb_object_type(object)) == 0 &&
		     git_oid_equal(&written, id) && git_odb_refresh(r->odb) == 0;
		git_odb_object_free(object);
		object = NULL;
	}
	return ok;
}

static void want_parts(struct restore *r, git_odb_object *o)
{
	const git_oid *id = git_odb_object_id(o);
	git_commit *commit = NULL;
	git_tree *tree = NULL;
	git_tag *tag = NULL;

	if (git_odb_object_type(o) == GIT_OBJECT_COMMIT &&
	    git_commit_lookup(&commit, r->repo, id) == 0) {
		want(r, git_commit_tree_id(commit));
		for (unsigned i = 0; i < git_commit_parentcount(commit); i++)
			want(r, git_commit_parent_id(commit, i));
	} else if (git_odb_object_type(o) == GIT_OBJECT_TREE &&
		   git_tree_lookup(&tree, r->repo, id) == 0) {
		for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
			const git_tree_entry *e = git_tree_entry_byindex(tree, i);

			if (git_tree_entry_type(e) != GIT_OBJECT_COMMIT)
				want(r, git_tree_entry_id(e));
		}
	} else if (git_odb_object_type(o) == GIT_OBJECT_TAG &&
		   git_tag_lookup(&tag, r->repo, id) == 0) {
		want(r, git_tag_target_id(tag));
	}
	git_commit_free(commit);
	git_tree_free(tree);
	git_tag_free(tag);
}

static void read_one(struct restore *r, const git_oid *id)
{
	git_odb_object *object = NULL;

	r->out->read++;
	if (git_odb_read(&object, r->odb, id) < 0) {
		if (!put_back(r, id) || git_odb_read(&object, r->odb, id) < 0) {
			if (!r->out->lost++)
				git_oid_tostr(r->out->first, sizeof(r->out->first), id);
			return;
		}
		r->out->restored++;
	}
	want_parts(r, object);
	git_odb_object_free(object);
}

/* --- where from
 * -------------------------------------------------------------------------------------- */

static const char *path_of(const char *url)
{
	if (!url)
		return NULL;
	if (text_starts(url, "file://"))
		url += strlen("file://");
	return url[0] == '/' ? url : NULL;
}

/* Usually another user's; nothing of it is run, and an object is what its name says or none. */
static void add_source(struct restore *r, const char *path)
{
	git_repository *repo = NULL;

	if (r->out->sources == SOURCES_MAX)
		return;
	(void)git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	(void)git_repository_open(&repo, path);
	(void)git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 1);
	if (repo && git_repository_odb(&r->sources[r->out->sources], repo) == 0)
		r->out->sources++;
	git_repository_free(repo);
}

/* Not by git_remote_list(): that of libgit2 1.5 leaks for each setting that is not a remote's. */
static int find_sources(struct restore *r)
{
	git_config *config = NULL;
	git_config_iterator *it = NULL;
	git_config_entry *e;

	if (git_repository_config_snapshot(&config, r->repo) < 0)
		return -1;
	if (git_config_iterator_new(&it, config) == 0)
		while (git_config_next(&e, it) == 0)
			if (text_starts(e->name, "remote.") && text_ends(e->name, ".url") &&
			    path_of(e->value))
				add_source(r, path_of(e->value));
	git_config_iterator_free(it);
	git_config_free(config);
	return 0;
}

static int open_loose(struct restore *r)
{
	OWNED(freep) char *folder = xasprintf("%sobjects", git_repository_path(r->repo));
	git_odb_backend *backend = NULL;

	if (git_odb_new(&r->loose) < 0 || git_odb_backend_loose(&backend, folder, -1, 1, 0, 0) < 0)
		return -1;
	return git_odb_add_backend(r->loose, backend, 1);
}

/* --- all of it
 * --------------------------------------------------------------------------------------- */

static int on_ref(git_reference *ref, void *arg)
{
	if (git_reference_target(ref))
		want(arg, git_reference_target(ref));
	git_reference_free(ref);
	return 0;
}

static void read_all(struct restore *r)
{
	git_oid head;

	if (git_reference_foreach(r->repo, on_ref, r) < 0)
		r->fault = "its references cannot be listed";
	if (git_reference_name_to_id(&head, r->repo, "HEAD") == 0)
		want(r, &head);
	while (r->n_todo && !r->fault) {
		const git_oid id = r->todo[--r->n_todo];

		read_one(r, &id);
	}
}

static int run(struct restore *r, const char *path, struct err *err)
{
	if (git_repository_open(&r->repo, path) < 0 || git_repository_odb(&r->odb, r->repo) < 0 ||
	    open_loose(r) < 0 || find_sources(r) < 0)
		return err_set(err, ERR_INPUT, "%.180s", git_why());
	if (git_repository_is_shallow(r->repo))
		return err_set(err, ERR_INPUT, "its history is cut off on purpose (shallow)");
	read_all(r);
	return r->fault ? err_set(err, ERR_INPUT, "%s", r->fault) : 0;
}

int git_restore_objects(const char *path, struct git_restored *out, struct err *err)
{
	struct restore r = { .out = out };
	int rc;

	*out = (struct git_restored){ 0 };
	if (git_libgit2_init() < 0)
		return err_set(err, ERR_BUG, "libgit2: %.150s", git_why());
	/* What was put back counts, and not the same in a damaged pack. */
	(void)git_libgit2_opts(GIT_OPT_SET_ODB_LOOSE_PRIORITY, LOOSE_FIRST);
	rc = run(&r, path, err);
	for (size_t i = 0; i < out->sources; i++)
		git_odb_free(r.sources[i]);
	git_odb_free(r.loose);
	git_odb_free(r.odb);
	git_repository_free(r.repo);
	free(r.seen.ids);
	free(r.seen.used);
	free(r.todo);
	(void)git_libgit2_shutdown();
	return rc;
}

/* --- references
 * ---------------------------------------------------------------------------------------- */

static bool has_commit(git_repository *repo, const git_oid *id)
{
	git_commit *commit = NULL;
	bool ok = git_commit_lookup(&commit, repo, id) == 0;

	git_commit_free(commit);
	return ok;
}

static bool has_object(git_repository *repo, const git_oid *id)
{
	git_object *object = NULL;
	bool ok = git_object_lookup(&object, repo, id, GIT_OBJECT_ANY) == 0;

	git_object_free(object);
	return ok;
}

static bool from_log(git_repository *repo, const char *ref, git_oid *out)
{
	git_reflog *log = NULL;
	bool found = false;

	if (git_reflog_read(&log, repo, ref) < 0)
		return false;
	for (size_t i = 0; i < git_reflog_entrycount(log) && !found; i++) {
		const git_oid *id = git_reflog_entry_id_new(git_reflog_entry_byindex(log, i));

		found = !git_oid_is_zero(id) && has_commit(repo, id);
		if (found)
			*out = *id;
	}
	git_reflog_free(log);
	return found;
}

static bool from_remote(git_repository *repo, const char *ref, git_oid *out)
{
	static const char heads[] = "refs/heads/";
	OWNED(freep) char *name = NULL;

	if (!text_starts(ref, heads))
		return false;
	name = xasprintf("refs/remotes/origin/%s", ref + strlen(heads));
	return git_reference_name_to_id(out, repo, name) == 0 && has_commit(repo, out);
}

static int set_ref(git_repository *repo, const char *ref, char *said, size_t cap, struct err *err)
{
	OWNED(freep) char *file = xasprintf("%s%s", git_repository_path(repo), ref);
	git_reference *made = NULL;
	const char *whence = "its log";
	git_oid id;
	int rc;

	if (git_reference_name_to_id(&id, repo, ref) == 0 && has_object(repo, &id)) {
		(void)snprintf(said, cap, "%.100s names what is there", ref);
		return 0;
	}
	if (text_starts(ref, "refs/remotes/")) {
		(void)snprintf(said, cap, "removed %.150s: the next fetch brings it", ref);
		return unlink(file) == 0
			       ? 0
			       : err_set(err, ERR_INPUT, "%.150s: %s", ref, strerror(errno));
	}
	if (!from_log(repo, ref, &id)) {
		whence = "its remote";
		if (!from_remote(repo, ref, &id))
			return err_set(err, ERR_INPUT,
				       "neither its log nor its remote says where %.150s was", ref);
	}
	/* libgit2 compares with what is there, which it cannot read. */
	(void)unlink(file);
	rc = git_reference_create(&made, repo, ref, &id, true, "pipeline-guard: restored");
	git_reference_free(made);
	if (rc < 0)
		return err_set(err, ERR_INPUT, "%.180s", git_why());
	(void)snprintf(said, cap, "%.100s is where %s says: %.10s", ref, whence,
		       git_oid_tostr_s(&id));
	return 0;
}

int git_restore_ref(const char *path, const char *ref, char *said, size_t cap, struct err *err)
{
	git_repository *repo = NULL;
	git_reference *head = NULL;
	int rc;

	if (git_libgit2_init() < 0)
		return err_set(err, ERR_BUG, "libgit2: %.150s", git_why());
	if (git_repository_open(&repo, path) < 0)
		rc = err_set(err, ERR_INPUT, "%.180s", git_why());
	/* HEAD is as good as the branch that it names. */
	else if (strcmp(ref, "HEAD") == 0 && git_reference_lookup(&head, repo, ref) == 0 &&
		 git_reference_symbolic_target(head))
		rc = set_ref(repo, git_reference_symbolic_target(head), said, cap, err);
	else if (!text_starts(ref, "refs/") || strstr(ref, ".."))
		rc = err_set(err, ERR_INPUT, "%.100s is left to a person", ref);
	else
		rc = set_ref(repo, ref, said, cap, err);
	git_reference_free(head);
	git_repository_free(repo);
	(void)git_libgit2_shutdown();
	return rc;
}

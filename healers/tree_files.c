/* Files: written for the program, read after it, and put into a commit. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/change_tool.h"
#include "healers/sandbox.h"
#include "healers/tree_work.h"

enum {
	ENTRIES_MAX = 200000,
	CHANGED_MAX = 1001, /* one more than change.max_files may be */
	DEPTH_MAX = 64,
};

static const char lfs_pointer[] = "version https://git-lfs.github.com/spec/";

/* --- what is there ---------------------------------------------------------------------------- */

static int add_file(struct tree *t, const char *path, const git_tree_entry *e)
{
	struct tree_file *f;
	git_object_t type;
	size_t len;

	if (git_odb_read_header(&len, &type, t->odb, git_tree_entry_id(e)) < 0)
		return tree_git_stop(t, TREE_BROKEN, git_tree_entry_name(e));
	t->bytes += (int64_t)len;
	if (t->bytes > conf_int(t->conf, "change.max_repository"))
		return tree_stop(t, TREE_TOO_LARGE,
				 "its files are over %" PRId64 " MiB (change.max_repository)",
				 conf_int(t->conf, "change.max_repository") >> 20);
	if (git_tree_entry_filemode(e) == GIT_FILEMODE_LINK)
		return 0;
	if (t->n_files == t->cap_files) {
		t->cap_files = t->cap_files ? t->cap_files * 2 : 256;
		t->files = xrealloc(t->files, t->cap_files * sizeof(*t->files));
	}
	f = &t->files[t->n_files++];
	*f = (struct tree_file){
		.path = path,
		.id = *git_tree_entry_id(e),
		.executable = git_tree_entry_filemode(e) == GIT_FILEMODE_BLOB_EXECUTABLE,
	};
	return 0;
}

/* Whatever it is: what a link of that name leads to is read, too. */
static bool stands_in_the_way(const struct tree *t, const char *path)
{
	const char *const *p = t->req->tool->not_with;

	while (p && *p && fnmatch(*p, path, 0) != 0)
		p++;
	return p && *p;
}

static int on_entry(const char *root, const git_tree_entry *e, void *arg)
{
	struct tree *t = arg;
	const char *path;

	if (strlen(root) > CHANGE_PATH_MAX)
		return tree_stop(t, TREE_REFUSED, "a path of it is too long");
	/* Each takes its place on the disk, empty or not. */
	if (t->n_entries++ == ENTRIES_MAX)
		return tree_stop(t, TREE_TOO_LARGE, "it has more than %d files and folders",
				 ENTRIES_MAX);
	path = arena_printf(t->arena, "%s%s", root, git_tree_entry_name(e));
	if (stands_in_the_way(t, path))
		return tree_stop(t, TREE_REFUSED,
				 "it has %.100s, which may name programs that %s runs with the "
				 "network",
				 path, t->req->tool->name);
	/* Submodules are not fetched. */
	return git_tree_entry_type(e) == GIT_OBJECT_BLOB ? add_file(t, path, e) : 0;
}

int tree_checkout(struct tree *t)
{
	git_checkout_options o;
	int rc;

	rc = git_tree_walk(t->tree, GIT_TREEWALK_PRE, on_entry, t);
	if (rc < 0)
		return *t->end->detail ? -1 : tree_git_stop(t, TREE_BROKEN, "its files");
	(void)git_checkout_options_init(&o, GIT_CHECKOUT_OPTIONS_VERSION);
	o.checkout_strategy =
		GIT_CHECKOUT_FORCE | GIT_CHECKOUT_DONT_UPDATE_INDEX | GIT_CHECKOUT_DONT_WRITE_INDEX;
	o.disable_filters = true;
	o.target_directory = t->work;
	if (git_checkout_tree(t->repo, (const git_object *)t->tree, &o) < 0)
		return tree_git_stop(t, TREE_REFUSED, "it cannot be checked out");
	for (size_t i = 0; i < t->n_files; i++)
		if (fstatat(t->work_fd, t->files[i].path, &t->files[i].st, AT_SYMLINK_NOFOLLOW) < 0)
			return tree_stop(t, TREE_REFUSED, "%.150s cannot be checked out: %s",
					 t->files[i].path, strerror(errno));
	return 0;
}

/* --- what the program did -----------------------------------------------------------------------
 */

static int add_change(struct tree *t, const struct change_file *f)
{
	if (t->change.n == CHANGED_MAX)
		return tree_stop(t, TREE_REFUSED, "more than %d files differ", CHANGED_MAX - 1);
	if (t->change.n == t->cap_change) {
		t->cap_change = t->cap_change ? t->cap_change * 2 : 16;
		t->change.files =
			xrealloc(t->change.files, t->cap_change * sizeof(*t->change.files));
	}
	t->change.files[t->change.n++] = *f;
	return 0;
}

/* Before it is taken: of files with holes a thousand are made at no cost. */
static int take_room(struct tree *t, const char *path, size_t n)
{
	if (n > CHANGE_BYTES_MAX)
		return tree_stop(t, TREE_REFUSED, "%.150s is over %d MiB", path,
				 CHANGE_BYTES_MAX >> 20);
	t->held += n;
	return t->held <= 2 * (size_t)CHANGE_BYTES_MAX
		       ? 0
		       : tree_stop(t, TREE_REFUSED, "what differs is over %d MiB",
				   CHANGE_BYTES_MAX >> 20);
}

static int read_blob(struct tree *t, const char *path, const git_oid *id, const char **out,
		     size_t *n)
{
	git_blob *blob = NULL;
	int rc;

	if (git_blob_lookup(&blob, t->repo, id) < 0)
		return tree_git_stop(t, TREE_BROKEN, path);
	*n = (size_t)git_blob_rawsize(blob);
	rc = take_room(t, path, *n);
	if (rc == 0)
		*out = arena_strndup(t->arena, git_blob_rawcontent(blob), *n);
	git_blob_free(blob);
	return rc;
}

/* No link on the way to it nor it: the program may have put one there. -1: none, or no file. */
static int open_inside(const struct tree *t, const char *path, struct stat *st)
{
	struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	int fd = (int)syscall(SYS_openat2, t->work_fd, path, &how, sizeof(how));

	if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))) {
		(void)close(fd);
		errno = ELOOP;
		return -1;
	}
	return fd;
}

static int read_file(struct tree *t, const char *path, const char **out, size_t *n)
{
	struct stat st;
	int fd = open_inside(t, path, &st);
	char *data;
	ssize_t got = 0;
	size_t have = 0;

	if (fd < 0)
		return tree_stop(t, TREE_REFUSED, "%.150s is no file any more", path);
	if (take_room(t, path, (size_t)st.st_size) < 0) {
		(void)close(fd);
		return -1;
	}
	data = arena_alloc(t->arena, (size_t)st.st_size + 1);
	while (have < (size_t)st.st_size &&
	       (got = read(fd, data + have, (size_t)st.st_size - have)) > 0)
		have += (size_t)got;
	(void)close(fd);
	*out = data;
	*n = have;
	return got < 0 ? tree_stop(t, TREE_BROKEN, "%.150s: %s", path, strerror(errno)) : 0;
}

static bool path_allowed(const struct tree *t, const char *path)
{
	const struct change_limits limits = { .paths = t->req->tool->paths };

	return change_path_in(&limits, path);
}

/* Of the time of a change nobody but the kernel decides. */
static bool untouched(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int collect_file(struct tree *t, const struct tree_file *f)
{
	struct change_file c = { .path = f->path, .executable = f->executable };
	struct stat st;
	git_oid id;

	if (fstatat(t->work_fd, f->path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		c.deleted = true;
		if (!t->req->tool->adds)
			return tree_stop(t, TREE_REFUSED, "%.150s was deleted", f->path);
	} else if (untouched(&st, &f->st)) {
		return 0;
	} else if (read_file(t, f->path, &c.after, &c.n_after) < 0) {
		return -1;
	} else if (git_odb_hash(&id, c.after, c.n_after, GIT_OBJECT_BLOB) == 0 &&
		   git_oid_equal(&id, &f->id)) {
		t->held -= (size_t)st.st_size;
		return 0;
	}
	if (read_blob(t, f->path, &f->id, &c.before, &c.n_before) < 0)
		return -1;
	if (text_starts(c.before, lfs_pointer))
		return tree_stop(t, TREE_REFUSED, "%.150s is a pointer of Git LFS", f->path);
	return add_change(t, &c);
}

static bool is_known(const struct tree *t, const char *path)
{
	git_tree_entry *e = NULL;
	bool known = git_tree_entry_bypath(&e, t->tree, path) == 0;

	git_tree_entry_free(e);
	return known;
}

static int collect_new(struct tree *t, int folder, const char *root, unsigned depth);

static int collect_entry(struct tree *t, int folder, const char *root, const struct dirent *e,
			 unsigned depth)
{
	struct change_file c = { .path = arena_printf(t->arena, "%s%s", root, e->d_name) };
	int fd;

	if (e->d_type == DT_DIR) {
		if (!depth || strcmp(e->d_name, "node_modules") == 0 ||
		    strcmp(e->d_name, SANDBOX_HOME) == 0)
			return 0;
		fd = openat(folder, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		return fd < 0 ? 0
			      : collect_new(t, fd, arena_printf(t->arena, "%s/", c.path),
					    depth - 1);
	}
	if (e->d_type != DT_REG || !path_allowed(t, c.path) || is_known(t, c.path))
		return 0;
	return read_file(t, c.path, &c.after, &c.n_after) < 0 ? -1 : add_change(t, &c);
}

static int collect_new(struct tree *t, int folder, const char *root, unsigned depth)
{
	DIR *dir = fdopendir(folder);
	const struct dirent *e;
	int rc = 0;

	while (dir && rc == 0 && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = collect_entry(t, folder, root, e, depth);
	if (dir)
		(void)closedir(dir);
	else
		(void)close(folder);
	return rc;
}

int tree_collect(struct tree *t)
{
	for (size_t i = 0; i < t->n_files; i++)
		if (path_allowed(t, t->files[i].path) && collect_file(t, &t->files[i]) < 0)
			return -1;
	if (!t->req->tool->adds)
		return 0;
	return collect_new(t, openat(t->work_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "",
			   DEPTH_MAX);
}

/* --- taking a commit back ------------------------------------------------------------------------
 */

static bool is_file(const git_diff_file *f)
{
	return !f->mode || f->mode == GIT_FILEMODE_BLOB || f->mode == GIT_FILEMODE_BLOB_EXECUTABLE;
}

static int add_delta(struct tree *t, const git_diff_delta *d)
{
	struct change_file c = {
		.path = arena_strdup(t->arena, d->new_file.path),
		.deleted = d->status == GIT_DELTA_DELETED,
		.executable = d->new_file.mode == GIT_FILEMODE_BLOB_EXECUTABLE,
	};

	if (!is_file(&d->old_file) || !is_file(&d->new_file))
		return tree_stop(t, TREE_REFUSED, "%.150s is a link or a submodule", c.path);
	if (d->status != GIT_DELTA_ADDED &&
	    read_blob(t, c.path, &d->old_file.id, &c.before, &c.n_before) < 0)
		return -1;
	if (d->status != GIT_DELTA_DELETED &&
	    read_blob(t, c.path, &d->new_file.id, &c.after, &c.n_after) < 0)
		return -1;
	return add_change(t, &c);
}

/* The branch is at the commit still, so what was before it is what its parent has. */
int tree_revert(struct tree *t)
{
	git_diff_options o;
	git_commit *parent = NULL;
	git_tree *before = NULL;
	git_diff *diff = NULL;
	int rc = 0;

	(void)git_diff_options_init(&o, GIT_DIFF_OPTIONS_VERSION);
	o.flags = GIT_DIFF_INCLUDE_TYPECHANGE;
	if (!git_commit_parentcount(t->commit))
		return tree_stop(t, TREE_REFUSED, "it is the first commit");
	if (git_commit_parent(&parent, t->commit, 0) < 0 || git_commit_tree(&before, parent) < 0 ||
	    git_diff_tree_to_tree(&diff, t->repo, t->tree, before, &o) < 0)
		rc = tree_git_stop(t, TREE_BROKEN, "the commit before");
	for (size_t i = 0; rc == 0 && i < git_diff_num_deltas(diff); i++)
		rc = add_delta(t, git_diff_get_delta(diff, i));
	git_diff_free(diff);
	git_tree_free(before);
	git_commit_free(parent);
	return rc;
}

/* --- the commit ----------------------------------------------------------------------------------
 */

static int make_tree(struct tree *t, git_oid *out)
{
	OWNED(freep)
	git_tree_update *updates = xcalloc(t->change.n, sizeof(*updates));
	unsigned max = (unsigned)conf_int(t->conf, "change.max_lines");

	for (unsigned i = 0; i < t->change.n; i++) {
		const struct change_file *f = &t->change.files[i];
		git_tree_update *u = &updates[i];

		u->path = f->path;
		u->action = f->deleted ? GIT_TREE_UPDATE_REMOVE : GIT_TREE_UPDATE_UPSERT;
		u->filemode = f->executable ? GIT_FILEMODE_BLOB_EXECUTABLE : GIT_FILEMODE_BLOB;
		if (!f->deleted &&
		    git_blob_create_from_buffer(&u->id, t->repo, f->after, f->n_after) < 0)
			return tree_git_stop(t, TREE_BROKEN, f->path);
		t->end->n_lines += change_lines(f->before, f->n_before, f->after, f->n_after, max);
	}
	t->end->n_files = t->change.n;
	if (git_tree_create_updated(out, t->repo, t->tree, t->change.n, updates) < 0)
		return tree_git_stop(t, TREE_BROKEN, "the new tree");
	return 0;
}

int tree_commit(struct tree *t, git_oid *out)
{
	const char *name = conf_str(t->conf, "change.author_name");
	const char *email = conf_str(t->conf, "change.author_email");
	const git_commit *parents[] = { t->commit };
	git_signature *who = NULL;
	git_tree *tree = NULL;
	git_oid id;
	int rc = 0;

	if (make_tree(t, &id) < 0)
		return -1;
	if (git_tree_lookup(&tree, t->repo, &id) < 0 || git_signature_now(&who, name, email) < 0 ||
	    git_commit_create(out, t->repo, NULL, who, who, "UTF-8", t->req->message, tree, 1,
			      parents) < 0)
		rc = tree_git_stop(t, TREE_BROKEN, "the commit");
	git_signature_free(who);
	git_tree_free(tree);
	return rc;
}

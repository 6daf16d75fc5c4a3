#include "dispatcher/git_look.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <git2.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "core/mem.h"
#include "core/text.h"

enum {
	DEPTH_MAX = 16,
	FILES_MAX = 200000,  /* directory entries looked at per repository */
	OBJECTS_MAX = 50000, /* of the tree of HEAD */
	COMMITS_MAX = 1000,
	BRANCHES_MAX = 500,
	READ_MAX = 1 << 20,        /* a larger blob is only looked up */
	READ_TOTAL_MAX = 64 << 20, /* ... and so is what comes after so many bytes */
	REPORTS_MAX = 50,          /* of one repository: the rest would say no more */
};

struct look {
	git_repository *repo;
	const char *gitdir; /* ends in a slash */
	const struct git_look_options *opt;
	git_found_fn *fn;
	void *arg;
	unsigned reports;
	size_t files, objects, bytes;
};

static void report(struct look *l, const char *problem, const char *subject, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static void report(struct look *l, const char *problem, const char *subject, const char *fmt, ...)
{
	struct git_found f = { .problem = problem, .subject = subject };
	char detail[200];
	va_list ap;

	if (l->reports++ >= REPORTS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	f.detail = detail;
	l->fn(&f, l->arg);
}

static const char *git_why(void)
{
	const git_error *e = git_error_last();

	return e && e->message ? e->message : "no reason given";
}

static int64_t age_ms(const struct look *l, const struct stat *st)
{
	return l->opt->now_ms -
	       ((int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000);
}

static void say_age(char out[static 32], int64_t ms)
{
	int64_t s = ms / 1000;

	if (s < 120)
		(void)snprintf(out, 32, "%" PRId64 " s", s);
	else if (s < 7200)
		(void)snprintf(out, 32, "%" PRId64 " min", s / 60);
	else
		(void)snprintf(out, 32, "%" PRId64 " h", s / 3600);
}

/* --- locks ------------------------------------------------------------------ */

static bool link_is(const char *link, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	if (n <= 0)
		return false;
	target[n] = '\0';
	return strcmp(target, path) == 0;
}

/* A process has the file open. */
static bool holds(const char *pid, const char *path)
{
	char name[PATH_MAX], link[PATH_MAX];
	DIR *dir;
	const struct dirent *e;
	bool found = false;

	(void)snprintf(name, sizeof(name), "/proc/%s/fd", pid);
	dir = opendir(name);
	if (!dir)
		return false;
	while (!found && (e = readdir(dir))) {
		(void)snprintf(link, sizeof(link), "/proc/%.20s/fd/%.255s", pid, e->d_name);
		found = e->d_name[0] != '.' && link_is(link, path);
	}
	(void)closedir(dir);
	return found;
}

/* A git that was started in there: it closes a lock file long before it removes it. */
static bool works_in(const char *pid, const char *folder)
{
	char name[64], comm[32] = "", cwd[PATH_MAX];
	size_t n = strlen(folder);
	ssize_t got;
	int fd;

	(void)snprintf(name, sizeof(name), "/proc/%.20s/comm", pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, comm, sizeof(comm) - 1);
	(void)close(fd);
	if (got < 3 || strncmp(comm, "git", 3) != 0)
		return false;
	(void)snprintf(name, sizeof(name), "/proc/%.20s/cwd", pid);
	got = readlink(name, cwd, sizeof(cwd) - 1);
	if (got <= 0)
		return false;
	cwd[got] = '\0';
	while (n && folder[n - 1] == '/')
		n--;
	return strncmp(cwd, folder, n) == 0 && (cwd[n] == '\0' || cwd[n] == '/');
}

static bool lock_is_alive(const struct look *l, const char *path)
{
	const char *work = git_repository_workdir(l->repo);
	DIR *dir = opendir("/proc");
	const struct dirent *e;
	bool alive = false;

	if (!dir)
		return false;
	while (!alive && (e = readdir(dir)))
		if (e->d_name[strspn(e->d_name, "0123456789")] == '\0')
			alive = holds(e->d_name, path) || works_in(e->d_name, l->gitdir) ||
				(work && works_in(e->d_name, work));
	(void)closedir(dir);
	return alive;
}

static void look_at_lock(struct look *l, const char *path, const struct stat *st)
{
	int64_t age = age_ms(l, st);
	char real[PATH_MAX], old[32];

	if (age < l->opt->settle_ms || !realpath(path, real) || lock_is_alive(l, real))
		return;
	say_age(old, age);
	report(l, "stale_lock", path + strlen(l->gitdir),
	       "%s is %s old and no process works with it", path + strlen(l->gitdir), old);
}

/* Files that are locks, and loose objects without a byte in them. */
static void look_at_file(struct look *l, const char *path, bool is_object)
{
	struct stat st;

	if (!text_ends(path, ".lock") && !is_object)
		return;
	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (text_ends(path, ".lock"))
		look_at_lock(l, path, &st);
	else if (st.st_size == 0)
		report(l, "corrupt", path + strlen(l->gitdir),
		       "%s has no content, as after a crash", path + strlen(l->gitdir));
}

static bool is_hex(const char *s, size_t n)
{
	return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

static void walk_files(struct look *l, const char *folder, unsigned depth, bool objects)
{
	char path[PATH_MAX];
	const struct dirent *e;
	DIR *dir = opendir(folder);

	if (!dir)
		return;
	while ((e = readdir(dir)) && l->files++ < FILES_MAX) {
		int n = snprintf(path, sizeof(path), "%s%s", folder, e->d_name);

		if (e->d_name[0] == '.' || n < 0 || n + 1 >= (int)sizeof(path))
			continue;
		if (e->d_type != DT_DIR) {
			look_at_file(l, path, objects && is_hex(e->d_name, 38));
		} else if (depth && (!objects || is_hex(e->d_name, 2))) {
			path[n] = '/';
			path[n + 1] = '\0';
			walk_files(l, path, depth - 1, objects);
		}
	}
	(void)closedir(dir);
}

static void look_at_files(struct look *l)
{
	static const struct {
		const char *folder;
		unsigned depth;
		bool objects;
	} places[] = {
		{ "", 0, false },
		{ "refs/", DEPTH_MAX, false },
		{ "worktrees/", 1, false },
		{ "objects/", 1, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (places[i].objects && l->opt->quick)
			continue;
		OWNED(freep) char *folder = xasprintf("%s%s", l->gitdir, places[i].folder);

		walk_files(l, folder, places[i].depth, places[i].objects);
	}
}

/* git leaves it behind when it could not clean up, and does not try again while it is there. */
static void look_at_gc(struct look *l)
{
	OWNED(freep) char *path = xasprintf("%sgc.log", l->gitdir);
	struct stat st;
	char old[32];

	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || !st.st_size ||
	    age_ms(l, &st) < l->opt->settle_ms)
		return;
	say_age(old, age_ms(l, &st));
	report(l, "gc_failed", "gc.log", "git could not clean up %s ago, and does not try again",
	       old);
}

/* --- work that was begun ------------------------------------------------------ */

static const struct operation {
	int state;
	const char *word, *file; /* file: as old as the operation */
} operations[] = {
	{ GIT_REPOSITORY_STATE_MERGE, "merge", "MERGE_HEAD" },
	{ GIT_REPOSITORY_STATE_REVERT, "revert", "REVERT_HEAD" },
	{ GIT_REPOSITORY_STATE_REVERT_SEQUENCE, "revert", "REVERT_HEAD" },
	{ GIT_REPOSITORY_STATE_CHERRYPICK, "cherry-pick", "CHERRY_PICK_HEAD" },
	{ GIT_REPOSITORY_STATE_CHERRYPICK_SEQUENCE, "cherry-pick", "CHERRY_PICK_HEAD" },
	{ GIT_REPOSITORY_STATE_BISECT, "bisect", "BISECT_LOG" },
	{ GIT_REPOSITORY_STATE_REBASE, "rebase", "rebase-apply" },
	{ GIT_REPOSITORY_STATE_REBASE_INTERACTIVE, "rebase", "rebase-merge" },
	{ GIT_REPOSITORY_STATE_REBASE_MERGE, "rebase", "rebase-merge" },
	{ GIT_REPOSITORY_STATE_APPLY_MAILBOX, "am", "rebase-apply" },
	{ GIT_REPOSITORY_STATE_APPLY_MAILBOX_OR_REBASE, "rebase or am", "rebase-apply" },
};

static bool settled(const struct look *l, const char *file, int64_t *age)
{
	OWNED(freep) char *path = xasprintf("%s%s", l->gitdir, file);
	struct stat st;

	if (lstat(path, &st) < 0)
		return false;
	*age = age_ms(l, &st);
	return *age >= l->opt->settle_ms;
}

/* True: something is under way, finished or not. */
static bool look_at_operation(struct look *l)
{
	int state = git_repository_state(l->repo);
	int64_t age;
	char old[32];

	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		const struct operation *op = &operations[i];

		if (op->state != state)
			continue;
		if (settled(l, op->file, &age)) {
			say_age(old, age);
			report(l, "interrupted", op->word, "a %s was begun %s ago and not ended",
			       op->word, old);
		}
		return true;
	}
	return false;
}

static void look_at_index(struct look *l)
{
	git_index *index = NULL;
	git_index_conflict_iterator *it = NULL;
	const git_index_entry *base, *ours, *theirs;
	const char *first = NULL;
	int64_t age;
	size_t n = 0;

	if (git_repository_is_bare(l->repo))
		return;
	if (git_repository_index(&index, l->repo) < 0) {
		report(l, "bad_index", "index", "the index cannot be read: %.120s", git_why());
		return;
	}
	if (git_index_has_conflicts(index) && settled(l, "index", &age) &&
	    git_index_conflict_iterator_new(&it, index) == 0) {
		while (git_index_conflict_next(&base, &ours, &theirs, it) == 0 && ++n)
			first = first ? first : (ours ? ours : theirs ? theirs : base)->path;
		if (first)
			report(l, "conflicts", "", "%zu file%s with conflicts, the first is %.100s",
			       n, n == 1 ? "" : "s", first);
		git_index_conflict_iterator_free(it);
	}
	git_index_free(index);
}

/* --- branches ------------------------------------------------------------------- */

/* libgit2 1.5 forgets what PCRE2 made for each setting that is none of a remote's. */
static int find_upstream(git_reference **out, git_reference *branch)
{
	int rc;

#ifdef __SANITIZE_ADDRESS__
	__lsan_disable();
#endif
	rc = git_branch_upstream(out, branch);
#ifdef __SANITIZE_ADDRESS__
	__lsan_enable();
#endif
	return rc;
}

static void look_at_branch(struct look *l, git_reference *branch)
{
	git_reference *upstream = NULL;
	const char *name = NULL, *from = NULL;
	const git_oid *a = git_reference_target(branch), *b;
	size_t ahead = 0, behind = 0;

	if (!a || git_branch_name(&name, branch) < 0 || find_upstream(&upstream, branch) < 0)
		return;
	b = git_reference_target(upstream);
	if (b && git_branch_name(&from, upstream) == 0 &&
	    git_graph_ahead_behind(&ahead, &behind, l->repo, a, b) == 0 && behind) {
		if (ahead)
			report(l, "diverged", name, "%.60s is %zu ahead of and %zu behind %.60s",
			       name, ahead, behind, from);
		else
			report(l, "behind", name, "%.60s is %zu behind %.60s", name, behind, from);
	}
	git_reference_free(upstream);
}

static void look_at_branches(struct look *l)
{
	git_branch_iterator *it = NULL;
	git_reference *branch = NULL;
	git_branch_t type;

	if (git_branch_iterator_new(&it, l->repo, GIT_BRANCH_LOCAL) < 0)
		return;
	for (size_t n = 0; n < BRANCHES_MAX && git_branch_next(&branch, &type, it) == 0; n++) {
		look_at_branch(l, branch);
		git_reference_free(branch);
	}
	git_branch_iterator_free(it);
}

static void look_at_ref(struct look *l, const char *name)
{
	git_reference *ref = NULL;
	git_object *object = NULL;
	git_reference *direct = NULL;

	if (git_reference_lookup(&ref, l->repo, name) < 0) {
		report(l, "bad_ref", name, "%.80s cannot be read: %.80s", name, git_why());
		return;
	}
	/* A symbolic one may name a branch that has no commit yet. */
	if (git_reference_resolve(&direct, ref) == 0 &&
	    git_object_lookup(&object, l->repo, git_reference_target(direct), GIT_OBJECT_ANY) < 0)
		report(l, "bad_ref", name, "%.80s names an object that cannot be read: %.60s", name,
		       git_why());
	git_object_free(object);
	git_reference_free(direct);
	git_reference_free(ref);
}

/* By file, because libgit2 leaves out what it cannot read. */
static void walk_refs(struct look *l, const char *folder, unsigned depth)
{
	OWNED(freep) char *full = xasprintf("%s%s", l->gitdir, folder);
	const struct dirent *e;
	DIR *dir = opendir(full);

	if (!dir)
		return;
	while ((e = readdir(dir)) && l->files++ < FILES_MAX) {
		OWNED(freep) char *name = xasprintf("%s%s", folder, e->d_name);
		OWNED(freep) char *below = xasprintf("%s/", name);

		if (e->d_name[0] == '.' || text_ends(name, ".lock"))
			continue;
		if (e->d_type == DT_DIR && depth)
			walk_refs(l, below, depth - 1);
		else if (e->d_type == DT_REG)
			look_at_ref(l, name);
	}
	(void)closedir(dir);
}

/* --- objects ---------------------------------------------------------------------- */

static void corrupt(struct look *l, const git_oid *id, const char *what)
{
	char hex[GIT_OID_HEXSZ + 1];

	git_oid_tostr(hex, sizeof(hex), id);
	report(l, "corrupt", hex, "%s %.10s, which HEAD needs, cannot be read: %.80s", what, hex,
	       git_why());
}

static void look_at_blob(struct look *l, git_odb *odb, const git_oid *id)
{
	git_odb_object *object = NULL;
	git_object_t type;
	size_t len = 0;

	/* A header is enough to know that it is there; reading also proves its hash. */
	if (git_odb_read_header(&len, &type, odb, id) < 0) {
		corrupt(l, id, "file");
		return;
	}
	if (len > READ_MAX || l->bytes + len > READ_TOTAL_MAX)
		return;
	l->bytes += len;
	if (git_odb_read(&object, odb, id) < 0)
		corrupt(l, id, "file");
	git_odb_object_free(object);
}

static void look_at_tree(struct look *l, git_odb *odb, const git_oid *id, unsigned depth)
{
	git_tree *tree = NULL;

	if (git_tree_lookup(&tree, l->repo, id) < 0) {
		corrupt(l, id, "folder");
		return;
	}
	for (size_t i = 0; i < git_tree_entrycount(tree) && l->objects++ < OBJECTS_MAX; i++) {
		const git_tree_entry *e = git_tree_entry_byindex(tree, i);

		if (git_tree_entry_type(e) == GIT_OBJECT_BLOB)
			look_at_blob(l, odb, git_tree_entry_id(e));
		else if (git_tree_entry_type(e) == GIT_OBJECT_TREE && depth)
			look_at_tree(l, odb, git_tree_entry_id(e), depth - 1);
	}
	git_tree_free(tree);
}

/* The commit itself is there; a shallow clone ends somewhere on purpose. */
static void look_at_history(struct look *l, const git_oid *head)
{
	git_revwalk *walk = NULL;
	git_oid id;
	int rc = 0;

	if (git_repository_is_shallow(l->repo) || git_revwalk_new(&walk, l->repo) < 0)
		return;
	if (git_revwalk_push(walk, head) == 0)
		for (int n = 0; n < COMMITS_MAX && rc == 0; n++)
			rc = git_revwalk_next(&id, walk);
	if (rc < 0 && rc != GIT_ITEROVER)
		report(l, "corrupt", "history", "the history of HEAD cannot be read: %.100s",
		       git_why());
	git_revwalk_free(walk);
}

static void look_at_objects(struct look *l, const git_oid *head)
{
	enum { TREE_DEPTH_MAX = 64 };
	git_commit *commit = NULL;
	git_odb *odb = NULL;

	if (git_commit_lookup(&commit, l->repo, head) < 0) {
		corrupt(l, head, "commit");
		return;
	}
	if (git_repository_odb(&odb, l->repo) == 0) {
		look_at_tree(l, odb, git_commit_tree_id(commit), TREE_DEPTH_MAX);
		git_odb_free(odb);
	}
	git_commit_free(commit);
	look_at_history(l, head);
}

/* --- HEAD --------------------------------------------------------------------------- */

static void look_at_head(struct look *l, bool under_way, struct git_facts *facts)
{
	git_reference *head = NULL;
	const git_oid *id;
	int rc = git_repository_head(&head, l->repo);

	if (rc == GIT_EUNBORNBRANCH)
		return;
	if (rc < 0) {
		report(l, "bad_ref", "HEAD", "HEAD cannot be read: %.120s", git_why());
		return;
	}
	id = git_reference_target(head);
	git_oid_tostr(facts->sha, sizeof(facts->sha), id);
	if (git_reference_is_branch(head))
		(void)text_copy(facts->branch, sizeof(facts->branch), git_reference_shorthand(head),
				strlen(git_reference_shorthand(head)));
	else if (!under_way)
		report(l, "detached_head", "", "HEAD is at %.10s and on no branch", facts->sha);
	if (!l->opt->quick)
		look_at_objects(l, id);
	git_reference_free(head);
}

void git_look(const char *path, const struct git_look_options *opt, struct git_facts *facts,
	      git_found_fn *fn, void *arg)
{
	struct look l = { .opt = opt, .fn = fn, .arg = arg };
	bool under_way;

	*facts = (struct git_facts){ 0 };
	if (git_libgit2_init() < 0) {
		report(&l, "unreadable", "", "libgit2: %.150s", git_why());
		return;
	}
	if (git_repository_open(&l.repo, path) < 0) {
		report(&l, "unreadable", "", "%.180s", git_why());
	} else {
		l.gitdir = git_repository_path(l.repo);
		facts->bare = git_repository_is_bare(l.repo);
		look_at_files(&l);
		look_at_gc(&l);
		under_way = look_at_operation(&l);
		look_at_index(&l);
		look_at_head(&l, under_way, facts);
		walk_refs(&l, "refs/", DEPTH_MAX);
		look_at_branches(&l);
		git_repository_free(l.repo);
	}
	(void)git_libgit2_shutdown();
}

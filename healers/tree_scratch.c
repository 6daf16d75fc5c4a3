/*
 * The scratch folder. A lock on it says that its owner lives: whoever starts next removes what
 * those left behind who did not get to that.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/tree_work.h"

#define PREFIX "pipeline-guard-change-"

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int open_folder(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* False: it is a folder with something in it. */
static bool removed(int at, const char *name)
{
	return unlinkat(at, name, 0) == 0 || unlinkat(at, name, AT_REMOVEDIR) == 0;
}

/* The program may have taken the rights away that moving and emptying it takes. */
static bool open_up(int folder, const char *name)
{
	return fchmodat(folder, name, 0700, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Folders with something in them move up to the top, however deep they are. */
static void empty_out(int top, int folder, unsigned *moved)
{
	const struct dirent *e;
	char name[32];
	DIR *dir = fdopendir(folder);

	if (!dir) {
		(void)close(folder);
		return;
	}
	while ((e = readdir(dir))) {
		if (is_dots(e->d_name) || removed(folder, e->d_name))
			continue;
		(void)snprintf(name, sizeof(name), "~%u", (*moved)++);
		if (open_up(folder, e->d_name))
			(void)renameat(folder, e->d_name, top, name);
	}
	(void)closedir(dir);
}

/* One pass over what is at the top; true: there is more to do. */
static bool remove_some(int top, unsigned *moved)
{
	const struct dirent *e;
	int fd = open_folder(top, "."), inner;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	bool more = false;

	while (dir && (e = readdir(dir))) {
		if (is_dots(e->d_name) || removed(top, e->d_name))
			continue;
		if (!open_up(top, e->d_name))
			continue;
		inner = open_folder(top, e->d_name);
		if (inner < 0)
			continue;
		empty_out(top, inner, moved);
		more |= removed(top, e->d_name);
	}
	if (dir)
		(void)closedir(dir);
	return more;
}

static void remove_all(int parent, const char *name, int folder)
{
	unsigned moved = 0;

	while (remove_some(folder, &moved))
		;
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

static void remove_if_dead(int parent, const char *name)
{
	int fd = open_folder(parent, name);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
		remove_all(parent, name, fd);
	(void)close(fd);
}

void tree_sweep(const struct conf *conf)
{
	const char *folder = conf_str(conf, "change.folder");
	DIR *dir = opendir(folder);
	const struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (text_starts(e->d_name, PREFIX))
			remove_if_dead(dirfd(dir), e->d_name);
	if (dir)
		(void)closedir(dir);
}

/* Locked, and still there: before it was locked nobody knew that its owner lives. */
static bool is_ours(int fd, const char *path)
{
	struct stat open, there;

	return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &open) == 0 &&
	       stat(path, &there) == 0 && open.st_ino == there.st_ino &&
	       open.st_dev == there.st_dev;
}

static int make_scratch(struct tree *t, const char *folder)
{
	enum { TRIES = 3 };
	char made[PATH_MAX - 16];

	for (int i = 0; i < TRIES; i++) {
		(void)snprintf(made, sizeof(made), "%s/" PREFIX "XXXXXX", folder);
		/* Without symbolic links: the sandbox wants it so. */
		if (!mkdtemp(made) || !realpath(made, t->scratch))
			break;
		t->lock = open(t->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (t->lock >= 0 && is_ours(t->lock, t->scratch))
			return 0;
		if (t->lock >= 0)
			(void)close(t->lock);
		t->lock = -1;
	}
	return tree_stop(t, TREE_BROKEN, "no scratch folder in %s (change.folder): %s", folder,
			 strerror(errno));
}

int tree_scratch_open(struct tree *t)
{
	tree_sweep(t->conf);
	if (make_scratch(t, conf_str(t->conf, "change.folder")) < 0)
		return -1;
	if (snprintf(t->work, sizeof(t->work), "%s/work", t->scratch) >= (int)sizeof(t->work) ||
	    mkdir(t->work, 0700) < 0)
		return tree_stop(t, TREE_BROKEN, "%.200s: %s", t->work, strerror(errno));
	t->work_fd = open(t->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return t->work_fd < 0 ? tree_stop(t, TREE_BROKEN, "%.200s: %s", t->work, strerror(errno))
			      : 0;
}

void tree_scratch_close(struct tree *t)
{
	if (t->work_fd >= 0)
		(void)close(t->work_fd);
	if (t->lock < 0)
		return;
	remove_all(AT_FDCWD, t->scratch, t->lock);
	(void)close(t->lock);
}

#include "receiver/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "core/mem.h"
#include "core/text.h"
#include "receiver/spool_segment.h"

enum {
	PATH_MAX_BYTES = 1024,
	NAME_BYTES = 64,
	PENDING_MAX = 16 << 20, /* appended in one turn of the loop */
	AHEAD_MAX = 256,        /* records read and not released */
	LOCK_TRIES = 8,
};

static const char folder_prefix[] = "w-";
static const char aside_prefix[] = "damaged-";
static const char segment_suffix[] = ".seg";

struct segment {
	char name[NAME_BYTES];
	uint64_t bytes;
};

struct spool {
	char dir[PATH_MAX_BYTES], own[PATH_MAX_BYTES];
	char writer[16];
	int dir_fd, own_fd, lock_fd;
	uint64_t max_bytes, bytes, damaged;

	struct buf pending; /* framed, not yet written */
	int fd;             /* the segment being written, -1: none */
	struct segment active;
	int64_t last_ms;
	unsigned counter;
	bool folder_synced;

	struct segment *sealed; /* oldest first */
	size_t n_sealed, cap_sealed;

	char *data; /* the loaded segment: sealed[0] */
	size_t n, at;
	uint64_t damaged_here;
	struct place {
		size_t at;            /* behind a record */
		uint64_t damaged;     /* bytes lost in the segment up to there */
	} released, ahead[AHEAD_MAX]; /* records that were read and not released */
	size_t n_ahead;
};

static int join(char out[static PATH_MAX_BYTES], const char *dir, const char *name)
{
	int n = snprintf(out, PATH_MAX_BYTES, "%s/%s", dir, name);

	return n < 0 || n >= PATH_MAX_BYTES ? -1 : 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* --- folders and locks -------------------------------------------------------- */

/* The name of what was made in there has to survive a power cut. */
static int sync_parent(const char *path)
{
	char parent[PATH_MAX_BYTES];
	const char *slash = strrchr(path, '/');
	int fd, rc;

	(void)text_copy(parent, sizeof(parent), path, slash ? (size_t)(slash - path) : 0);
	fd = open(*parent ? parent : slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) /* one may make folders where one may not look */
		return errno == EACCES ? 0 : -1;
	rc = fsync(fd);
	close_fd(&fd);
	return rc;
}

static int make_folder(const char *path)
{
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -1;
	return sync_parent(path);
}

static int make_folders(const char *path, struct err *err)
{
	char part[PATH_MAX_BYTES];

	if (!*path || !text_copy(part, sizeof(part), path, strlen(path)))
		return err_set(err, ERR_CONFIG, "spool: the path is empty or too long");
	for (char *p = part + 1;; p++) {
		char was = *p;

		if (was && was != '/')
			continue;
		*p = '\0';
		if (make_folder(part) < 0)
			return err_set(err, ERR_CONFIG, "spool: cannot make %.160s: %s", part,
				       strerror(errno));
		*p = was;
		if (!was)
			return 0;
	}
}

/*
 * The lock of a writer's folder, or -1: it is held, or gone. Whoever removes a folder holds
 * its lock, so a lock that was waited for may belong to a file without a name.
 */
static int lock_folder(const char *folder, bool create)
{
	char path[PATH_MAX_BYTES];
	struct stat by_name, by_fd;
	int fd;

	if (join(path, folder, "lock") < 0)
		return -1;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &by_fd) == 0 &&
	    stat(path, &by_name) == 0 && by_name.st_ino == by_fd.st_ino)
		return fd;
	(void)close(fd);
	return -1;
}

static int make_own_folder(struct spool *s, struct err *err)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		char name[NAME_BYTES];

		random_hex(s->writer, 6);
		(void)snprintf(name, sizeof(name), "%s%s", folder_prefix, s->writer);
		if (join(s->own, s->dir, name) < 0)
			return err_set(err, ERR_CONFIG, "spool: the path is too long");
		if (mkdir(s->own, 0700) < 0 && errno != EEXIST)
			return err_set(err, ERR_CONFIG, "spool: cannot make %.160s: %s", s->own,
				       strerror(errno));
		s->lock_fd = lock_folder(s->own, true);
		if (s->lock_fd < 0)
			continue; /* somebody took it for dead in that moment */
		s->own_fd = open(s->own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (s->own_fd >= 0)
			return 0;
		close_fd(&s->lock_fd);
	}
	return err_set(err, ERR_CONFIG, "spool: cannot lock a folder in %.160s: %s", s->dir,
		       strerror(errno));
}

/* Whoever else can write here can forge events, which have passed every check. */
static int check_folder(const struct spool *s, struct err *err)
{
	struct stat st;

	if (fstat(s->dir_fd, &st) < 0)
		return err_set(err, ERR_CONFIG, "spool: %.160s: %s", s->dir, strerror(errno));
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, ERR_CONFIG, "spool: %.160s belongs to another user", s->dir);
	if (st.st_mode & S_IWOTH)
		return err_set(err, ERR_CONFIG, "spool: everybody can write into %.140s: chmod o-w",
			       s->dir);
	return 0;
}

static int open_folders(struct spool *s, struct err *err)
{
	if (make_folders(s->dir, err) < 0)
		return -1;
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return err_set(err, ERR_CONFIG, "spool: cannot open %.160s: %s", s->dir,
			       strerror(errno));
	if (check_folder(s, err) < 0)
		return -1;
	return make_own_folder(s, err);
}

/* Somebody removed them. */
static int open_folders_again(struct spool *s, struct err *err)
{
	close_fd(&s->lock_fd);
	close_fd(&s->own_fd);
	close_fd(&s->dir_fd);
	s->folder_synced = false;
	if (open_folders(s, err) == 0)
		return 0;
	err->kind = ERR_TRANSIENT;
	return -1;
}

int spool_open(const char *dir, uint64_t max_bytes, struct spool **out, struct err *err)
{
	OWNED(spool_closep) struct spool *s = xcalloc(1, sizeof(*s));

	s->dir_fd = s->own_fd = s->lock_fd = s->fd = -1;
	s->max_bytes = max_bytes;
	buf_init(&s->pending, PENDING_MAX);
	if (!text_copy(s->dir, sizeof(s->dir), dir, strlen(dir)))
		return err_set(err, ERR_CONFIG, "spool: the path is too long");
	if (open_folders(s, err) < 0)
		return -1;
	*out = TAKE(s);
	return 0;
}

void spool_close(struct spool *s)
{
	char lock[PATH_MAX_BYTES];

	if (!s)
		return;
	close_fd(&s->fd);
	/* An empty folder goes away; one that holds something waits for a successor. */
	if (s->lock_fd >= 0 && s->n_sealed == 0 && !*s->active.name &&
	    join(lock, s->own, "lock") == 0) {
		(void)unlink(lock);
		(void)rmdir(s->own);
	}
	close_fd(&s->lock_fd);
	close_fd(&s->own_fd);
	close_fd(&s->dir_fd);
	buf_done(&s->pending);
	free(s->sealed);
	free(s->data);
	free(s);
}

/* --- writing -------------------------------------------------------------------- */

static void push_sealed(struct spool *s, const struct segment *seg)
{
	if (s->n_sealed == s->cap_sealed) {
		s->cap_sealed = s->cap_sealed ? 2 * s->cap_sealed : 16;
		s->sealed = xrealloc(s->sealed, s->cap_sealed * sizeof(*s->sealed));
	}
	s->sealed[s->n_sealed++] = *seg;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct segment *)a)->name, ((const struct segment *)b)->name);
}

/* By age; the one that is being read stays in front. */
static void sort_sealed(struct spool *s)
{
	size_t first = s->data ? 1 : 0;

	if (s->n_sealed > first + 1)
		qsort(s->sealed + first, s->n_sealed - first, sizeof(*s->sealed), by_name);
}

/* What was written goes to the readers; the next sync begins a new file. */
static void seal(struct spool *s)
{
	close_fd(&s->fd);
	if (*s->active.name) {
		push_sealed(s, &s->active);
		sort_sealed(s);
	}
	s->active = (struct segment){ .bytes = 0 };
}

/* Names sort by age, also when the clock goes back. */
static void name_segment(struct spool *s, char out[static NAME_BYTES])
{
	int64_t now = clock_wall_ms();

	if (now > s->last_ms)
		s->last_ms = now;
	(void)snprintf(out, NAME_BYTES, "%013" PRId64 "-%08u-%s%s", s->last_ms, s->counter++,
		       s->writer, segment_suffix);
}

static int begin_segment(struct spool *s, struct err *err)
{
	static const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	char name[NAME_BYTES];

	name_segment(s, name);
	s->fd = openat(s->own_fd, name, flags, 0600);
	if (s->fd < 0 && (errno == ENOENT || s->own_fd < 0)) {
		if (open_folders_again(s, err) < 0)
			return -1;
		s->fd = openat(s->own_fd, name, flags, 0600);
	}
	if (s->fd < 0)
		return err_set(err, ERR_TRANSIENT, "spool: cannot make a file in %.160s: %s",
			       s->own, strerror(errno));
	(void)text_copy(s->active.name, sizeof(s->active.name), name, strlen(name));
	s->active.bytes = 0;
	return 0;
}

static int write_all(int fd, const char *p, size_t n, off_t at)
{
	while (n) {
		ssize_t done = pwrite(fd, p, n, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		p += done;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

/* The name of a new file must survive too, and of the folder that holds it. */
static int sync_folders(struct spool *s)
{
	if (fsync(s->own_fd) < 0)
		return -1;
	if (!s->folder_synced && fsync(s->dir_fd) < 0)
		return -1;
	s->folder_synced = true;
	return 0;
}

/* What is written to a file that somebody has removed is not kept. */
static int check_linked(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (st.st_nlink == 0) {
		errno = ENOENT;
		return -1;
	}
	return 0;
}

static int write_pending(struct spool *s)
{
	bool begun = s->active.bytes == 0;
	off_t at = (off_t)s->active.bytes;

	if (begun && write_all(s->fd, SEGMENT_MAGIC, SEGMENT_MAGIC_BYTES, 0) < 0)
		return -1;
	if (begun)
		at = SEGMENT_MAGIC_BYTES;
	if (write_all(s->fd, s->pending.data, s->pending.len, at) < 0 || fdatasync(s->fd) < 0 ||
	    check_linked(s->fd) < 0)
		return -1;
	if (begun && sync_folders(s) < 0)
		return -1;
	s->bytes += (uint64_t)at + s->pending.len - s->active.bytes;
	s->active.bytes = (uint64_t)at + s->pending.len;
	return 0;
}

/*
 * Takes back what was half written. After a failed sync nobody knows what the file
 * holds beyond its synced part, so it is not written to again; its readers check every record.
 */
static void give_up_write(struct spool *s)
{
	if (s->active.bytes == 0) {
		close_fd(&s->fd);
		(void)unlinkat(s->own_fd, s->active.name, 0);
		s->active.name[0] = '\0';
		return;
	}
	/* It may fail too: then readers meet a record that was answered 503, which does no harm. */
	(void)!ftruncate(s->fd, (off_t)s->active.bytes);
	seal(s);
}

static int append(struct spool *s, const void *record, size_t n, uint64_t max_bytes,
		  struct err *err)
{
	size_t framed = n + SEGMENT_RECORD_HEAD;

	if (n > SPOOL_RECORD_MAX)
		return err_set(err, ERR_BUG, "spool: a record of %zu bytes", n);
	if (s->bytes + s->pending.len + framed > max_bytes || s->pending.len + framed > PENDING_MAX)
		return err_set(err, ERR_TRANSIENT,
			       "spool: full, %" PRIu64 " of %" PRIu64 " bytes are used",
			       s->bytes + s->pending.len, s->max_bytes);
	segment_frame(&s->pending, record, n, clock_wall_ms());
	return 0;
}

int spool_append(struct spool *s, const void *record, size_t n, struct err *err)
{
	return append(s, record, n, s->max_bytes, err);
}

int spool_put_back(struct spool *s, const void *record, size_t n, struct err *err)
{
	return append(s, record, n, UINT64_MAX, err);
}

static int write_group(struct spool *s, struct err *err)
{
	if (s->fd < 0 && begin_segment(s, err) < 0)
		return -1;
	if (write_pending(s) == 0)
		return 0;
	(void)err_set(err, ERR_TRANSIENT, "spool: cannot write to %.160s: %s", s->own,
		      strerror(errno));
	give_up_write(s);
	return -1;
}

int spool_sync(struct spool *s, struct err *err)
{
	int status;

	if (s->pending.len == 0)
		return 0;
	if (s->active.bytes >= SPOOL_SEGMENT_BYTES)
		seal(s);
	/* A group may be larger than a segment should be; readers take twice that. */
	if (s->active.bytes + s->pending.len > 2 * SPOOL_SEGMENT_BYTES - SEGMENT_MAGIC_BYTES)
		seal(s);
	status = write_group(s, err);
	/* It may have been that file, and not the disk: nobody repeats what we refuse. */
	if (status < 0)
		status = write_group(s, err);
	buf_reset(&s->pending);
	return status;
}

/* --- reading -------------------------------------------------------------------- */

/* Kept for people, and out of the way. */
static void set_aside(struct spool *s, const char *name)
{
	char aside[NAME_BYTES + sizeof(aside_prefix)];

	(void)snprintf(aside, sizeof(aside), "%s%s", aside_prefix, name);
	(void)renameat(s->own_fd, name, s->dir_fd, aside);
}

/* The oldest segment has been read to its end. */
static void drop_oldest(struct spool *s)
{
	struct segment *seg = &s->sealed[0];

	if (s->damaged_here)
		set_aside(s, seg->name);
	else
		(void)unlinkat(s->own_fd, seg->name, 0);
	s->damaged += s->damaged_here;
	s->bytes -= seg->bytes < s->bytes ? seg->bytes : s->bytes;
	s->n_sealed--;
	memmove(&s->sealed[0], &s->sealed[1], s->n_sealed * sizeof(*s->sealed));
	free(s->data);
	s->data = NULL;
	s->n = s->at = s->n_ahead = 0;
	s->damaged_here = 0;
}

static bool load_oldest(struct spool *s)
{
	char path[PATH_MAX_BYTES];
	struct err err;

	while (!s->data) {
		if (s->n_sealed == 0)
			seal(s);
		if (s->n_sealed == 0 || join(path, s->own, s->sealed[0].name) < 0)
			return false;
		if (segment_read(path, &s->data, &s->n, &err) < 0) {
			if (err.kind == ERR_TRANSIENT)
				return false; /* later; nothing overtakes it */
			s->damaged_here = s->sealed[0].bytes;
			drop_oldest(s);
			continue;
		}
		s->at = s->n < SEGMENT_MAGIC_BYTES ? s->n : SEGMENT_MAGIC_BYTES;
		s->released = (struct place){ .at = s->at };
	}
	return true;
}

bool spool_next(struct spool *s, struct spool_record *out)
{
	while (load_oldest(s)) {
		if (s->n_ahead == AHEAD_MAX)
			return false;
		if (segment_next(s->data, s->n, &s->at, out, &s->damaged_here)) {
			s->ahead[s->n_ahead++] = (struct place){ s->at, s->damaged_here };
			return true;
		}
		if (s->n_ahead)
			return false; /* the next segment comes when this one is done with */
		drop_oldest(s);
	}
	return false;
}

void spool_release(struct spool *s, size_t n)
{
	if (n == 0 || n > s->n_ahead)
		return;
	s->released = s->ahead[n - 1];
	s->n_ahead -= n;
	memmove(&s->ahead[0], &s->ahead[n], s->n_ahead * sizeof(s->ahead[0]));
	if (s->n_ahead == 0 && s->released.at == s->n)
		drop_oldest(s);
}

void spool_rewind(struct spool *s)
{
	s->at = s->released.at;
	s->damaged_here = s->released.damaged;
	s->n_ahead = 0;
}

bool spool_empty(const struct spool *s)
{
	return s->n_sealed == 0 && s->active.bytes == 0;
}

bool spool_more(const struct spool *s)
{
	return s->n_sealed > 1 || s->active.bytes || s->at < s->n;
}

uint64_t spool_bytes(const struct spool *s)
{
	return s->bytes;
}

bool spool_has_room(const struct spool *s)
{
	return s->bytes + s->pending.len + SPOOL_RECORD_MAX + SEGMENT_RECORD_HEAD <= s->max_bytes;
}

uint64_t spool_damaged(const struct spool *s)
{
	return s->damaged + s->damaged_here;
}

/* --- adoption ------------------------------------------------------------------- */

static bool is_segment(const char *name)
{
	return name[0] != '.' && text_ends(name, segment_suffix) && strlen(name) < NAME_BYTES;
}

static bool of_this_layout(int folder_fd, const char *name)
{
	char magic[SEGMENT_MAGIC_BYTES];
	int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, magic, sizeof(magic));

	close_fd(&fd);
	/* Shorter than its magic: it was cut off at birth, and holds nothing. */
	return n >= 0 && memcmp(magic, SEGMENT_MAGIC, (size_t)n) == 0;
}

/* What we write from now on is younger, whatever the clock says. */
static void note_age(struct spool *s, const char *name)
{
	int64_t ms = strtoll(name, NULL, 10);

	if (ms >= s->last_ms && ms < INT64_MAX)
		s->last_ms = ms + 1;
}

static size_t take_segments(struct spool *s, const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	size_t taken = 0;

	while (d && (e = readdir(d))) {
		struct segment seg = { .bytes = 0 };
		struct stat st;

		if (!is_segment(e->d_name) || !of_this_layout(dirfd(d), e->d_name) ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode) || renameat(dirfd(d), e->d_name, s->own_fd, e->d_name) < 0)
			continue;
		(void)text_copy(seg.name, sizeof(seg.name), e->d_name, strlen(e->d_name));
		seg.bytes = (uint64_t)st.st_size;
		s->bytes += seg.bytes;
		push_sealed(s, &seg);
		note_age(s, seg.name);
		taken++;
	}
	if (d)
		(void)closedir(d);
	return taken;
}

size_t spool_adopt(struct spool *s)
{
	DIR *d = opendir(s->dir);
	struct dirent *e;
	size_t taken = 0;

	while (d && (e = readdir(d))) {
		char folder[PATH_MAX_BYTES], lock[PATH_MAX_BYTES];
		int fd;

		if (!text_starts(e->d_name, folder_prefix) || join(folder, s->dir, e->d_name) < 0 ||
		    strcmp(folder, s->own) == 0 || join(lock, folder, "lock") < 0)
			continue;
		fd = lock_folder(folder, true);
		if (fd < 0)
			continue;
		taken += take_segments(s, folder);
		/* rmdir() refuses while something of another layout is in there; then the
		 * lock stays as well. */
		(void)unlink(lock);
		if (rmdir(folder) < 0 && errno != ENOENT)
			(void)close(open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
		(void)close(fd);
	}
	if (d)
		(void)closedir(d);
	sort_sealed(s);
	if (taken)
		(void)sync_folders(s);
	return taken;
}

/* --- for people ------------------------------------------------------------------- */

static void look_at(const char *path, struct spool_segment *seg, spool_segment_fn *fn,
		    spool_record_fn *each, void *arg)
{
	OWNED(freep) char *data = NULL;
	size_t n = 0, at = SEGMENT_MAGIC_BYTES;
	struct spool_record r;
	struct err err;

	seg->path = path;
	if (segment_read(path, &data, &n, &err) < 0)
		return; /* drained meanwhile */
	seg->bytes = n;
	while (at < n && segment_next(data, n, &at, &r, &seg->damaged_bytes)) {
		if (seg->records++ == 0)
			seg->oldest_ms = r.at_ms;
		seg->newest_ms = r.at_ms;
		if (each)
			each(&r, arg);
	}
	fn(seg, arg);
}

static void look_into(const char *folder, spool_segment_fn *fn, spool_record_fn *each, void *arg)
{
	struct dirent **names = NULL;
	int n = scandir(folder, &names, NULL, alphasort), fd = lock_folder(folder, false);

	for (int i = 0; i < n; i++) {
		struct spool_segment seg = { .alive = fd < 0 };
		char path[PATH_MAX_BYTES];

		if (is_segment(names[i]->d_name) && join(path, folder, names[i]->d_name) == 0)
			look_at(path, &seg, fn, each, arg);
		free(names[i]);
	}
	free(names);
	close_fd(&fd);
}

int spool_look(const char *dir, spool_segment_fn *fn, spool_record_fn *each, void *arg,
	       struct err *err)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, NULL, alphasort);

	if (n < 0)
		return err_set(err, ERR_TRANSIENT, "cannot read %.160s: %s", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		struct spool_segment seg = { .set_aside = true };
		char path[PATH_MAX_BYTES];

		if (join(path, dir, names[i]->d_name) < 0)
			;
		else if (text_starts(names[i]->d_name, folder_prefix))
			look_into(path, fn, each, arg);
		else if (text_starts(names[i]->d_name, aside_prefix))
			look_at(path, &seg, fn, each, arg);
		free(names[i]);
	}
	free(names);
	return 0;
}

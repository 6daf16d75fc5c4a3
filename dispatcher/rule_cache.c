#include "dispatcher/rule_cache.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/text.h"

/*
 * A file: this head, the left-out rules, the compiled patterns at the next multiple of
 * its size, and the SHA-256 of all that. Numbers are as this machine has them: the key
 * says which machine that is.
 */
struct head {
	char magic[8];
	unsigned char key[SHA256_BYTES];
	uint64_t n, n_left_out;
	char pad[8];
};

static const char magic[8] = "PGRULES1";

static_assert(sizeof(struct head) == 64, "the head's layout is a file format");

enum { LEFT_OUT_MAX = 1 << 20, NAME_MAX_BYTES = 32 };

/* Where the patterns begin. */
static size_t data_at(uint64_t n_left_out)
{
	size_t unit = sizeof(struct head);

	return unit + (n_left_out * sizeof(uint32_t) + unit - 1) / unit * unit;
}

bool rule_cache_folder(const char *data_dir, char out[static RULE_CACHE_PATH_MAX])
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (data_dir)
		n = snprintf(out, RULE_CACHE_PATH_MAX, "%s/cache", data_dir);
	else if (xdg && xdg[0] == '/')
		n = snprintf(out, RULE_CACHE_PATH_MAX, "%s/pipeline-guard", xdg);
	else if (home && home[0] == '/')
		n = snprintf(out, RULE_CACHE_PATH_MAX, "%s/.cache/pipeline-guard", home);
	else
		return false;
	return n > 0 && n < RULE_CACHE_PATH_MAX;
}

static void closep(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static bool only_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* -1 when it is not there, or when somebody else could put something into it. */
static int open_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && only_ours(&st))
		return fd;
	(void)close(fd);
	return -1;
}

static int make_folder(const char *folder)
{
	char parent[RULE_CACHE_PATH_MAX];
	char *slash;

	if (mkdir(folder, 0700) < 0 && errno == ENOENT &&
	    text_copy(parent, sizeof(parent), folder, strlen(folder))) {
		slash = strrchr(parent, '/');
		if (slash)
			*slash = '\0';
		(void)mkdir(parent, 0700);
		(void)mkdir(folder, 0700);
	}
	return open_folder(folder);
}

static void slot_name(const unsigned char *key, char out[static NAME_MAX_BYTES])
{
	(void)snprintf(out, NAME_MAX_BYTES, "rules-%u.cache", key[0] % RULE_CACHE_SLOTS);
}

static bool read_all(int fd, char *data, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t more = read(fd, data + got, n - got);

		if (more < 0 && errno == EINTR)
			continue;
		if (more <= 0)
			return false;
		got += (size_t)more;
	}
	return true;
}

/* The bytes of a file of ours; NULL when there is none. */
static char *read_file(int folder, const char *name, size_t *n)
{
	OWNED(closep)
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	OWNED(freep) char *data = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !only_ours(&st) ||
	    st.st_size < (off_t)(sizeof(struct head) + SHA256_BYTES) ||
	    st.st_size > RULE_CACHE_BYTES_MAX)
		return NULL;
	*n = (size_t)st.st_size;
	data = xmalloc(*n);
	return read_all(fd, data, *n) ? TAKE(data) : NULL;
}

static bool fits(const char *data, size_t n, const unsigned char *key, struct head *head)
{
	unsigned char sum[SHA256_BYTES];

	memcpy(head, data, sizeof(*head));
	if (memcmp(head->magic, magic, sizeof(magic)) != 0 ||
	    memcmp(head->key, key, sizeof(head->key)) != 0 || head->n > RULE_CACHE_BYTES_MAX ||
	    head->n_left_out > LEFT_OUT_MAX ||
	    data_at(head->n_left_out) + head->n + sizeof(sum) != n)
		return false;
	sha256(data, n - sizeof(sum), sum);
	return memcmp(data + n - sizeof(sum), sum, sizeof(sum)) == 0;
}

bool rule_cache_read(const char *folder, const unsigned char key[static SHA256_BYTES],
		     struct rule_cache_entry *out)
{
	OWNED(closep) int dir = open_folder(folder);
	OWNED(freep) char *file = NULL;
	struct head head;
	char name[NAME_MAX_BYTES];
	size_t n = 0;

	slot_name(key, name);
	file = dir < 0 ? NULL : read_file(dir, name, &n);
	if (!file || !fits(file, n, key, &head))
		return false;
	*out = (struct rule_cache_entry){
		.data = file + data_at(head.n_left_out),
		.n = head.n,
		.left_out = (const uint32_t *)(const void *)(file + sizeof(head)),
		.n_left_out = head.n_left_out,
	};
	out->memory = TAKE(file);
	return true;
}

void rule_cache_entry_done(struct rule_cache_entry *entry)
{
	free(entry->memory);
	*entry = (struct rule_cache_entry){ .data = NULL };
}

static char *new_file(const unsigned char *key, const struct rule_cache_entry *e, size_t *n)
{
	struct head head = { .n = e->n, .n_left_out = e->n_left_out };
	size_t at = data_at(e->n_left_out), end = at + e->n;
	char *file;

	if (e->n_left_out > LEFT_OUT_MAX || e->n > RULE_CACHE_BYTES_MAX - at - SHA256_BYTES)
		return NULL;
	*n = end + SHA256_BYTES;
	file = xcalloc(1, *n);
	memcpy(head.magic, magic, sizeof(magic));
	memcpy(head.key, key, sizeof(head.key));
	memcpy(file, &head, sizeof(head));
	if (e->n_left_out)
		memcpy(file + sizeof(head), e->left_out, e->n_left_out * sizeof(uint32_t));
	memcpy(file + at, e->data, e->n);
	sha256(file, end, (unsigned char *)file + end);
	return file;
}

static bool write_all(int fd, const char *data, size_t n)
{
	for (size_t put = 0; put < n;) {
		ssize_t more = write(fd, data + put, n - put);

		if (more < 0 && errno == EINTR)
			continue;
		if (more <= 0)
			return false;
		put += (size_t)more;
	}
	return true;
}

/* What a power cut leaves half written does not fit its sum: no need to wait for the disk. */
bool rule_cache_write(const char *folder, const unsigned char key[static SHA256_BYTES],
		      const struct rule_cache_entry *entry)
{
	OWNED(closep) int dir = make_folder(folder);
	OWNED(closep) int fd = -1;
	OWNED(freep) char *file = NULL;
	char name[NAME_MAX_BYTES], fresh[NAME_MAX_BYTES];
	size_t n = 0;

	file = dir < 0 ? NULL : new_file(key, entry, &n);
	if (!file)
		return false;
	slot_name(key, name);
	/* Several may write at once: each its own file, and the last one stays. */
	(void)snprintf(fresh, sizeof(fresh), "new-%d", (int)getpid());
	(void)unlinkat(dir, fresh, 0);
	fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	if (write_all(fd, file, n) && renameat(dir, fresh, dir, name) == 0)
		return true;
	(void)unlinkat(dir, fresh, 0);
	return false;
}

/*
 * The spool when the system below it fails, or when its process dies, at any single call: what was
 * synced is read in the end, in order; and a sync that succeeded has made everything durable
 * that a power cut could take away.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "receiver/spool.h"
#include "tests/unit/unit.h"

enum { RECORDS = 24, CALLS_MAX = 400, DIRTY_MAX = 32, BIG = 1 << 30 };

static char dir[64];

/* What happens at which call; 0: nothing. */
static struct {
	unsigned at, calls, times; /* `times` calls fail from the at-th on */
	int error;                 /* 0: the process dies there */
	bool after;                /* it dies when the call has been made */
	bool short_write;
} fault;

static bool hit(void)
{
	fault.calls++;
	if (!fault.at || fault.calls < fault.at || fault.calls >= fault.at + fault.times)
		return false;
	if (!fault.error && !fault.after)
		_exit(9);
	errno = fault.error;
	return fault.error != 0;
}

static void made(void)
{
	if (fault.at && fault.calls == fault.at && !fault.error && fault.after)
		_exit(9);
}

/* --- what a power cut would take away ---------------------------------------------------- */

static char dirty[DIRTY_MAX][256];
static size_t n_dirty;

static void path_of(int fd, char out[static 256])
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, 255);
	out[n > 0 ? n : 0] = '\0';
}

static void clean(int fd)
{
	char path[256];

	path_of(fd, path);
	for (size_t i = 0; i < n_dirty; i++)
		if (strcmp(dirty[i], path) == 0)
			memcpy(dirty[i--], dirty[--n_dirty], sizeof(dirty[0]));
}

static void soil(const char *path)
{
	for (size_t i = 0; i < n_dirty; i++)
		if (strcmp(dirty[i], path) == 0)
			return;
	assert_true(n_dirty < DIRTY_MAX);
	(void)snprintf(dirty[n_dirty++], sizeof(dirty[0]), "%s", path);
}

static void soil_fd(int fd)
{
	char path[256];

	path_of(fd, path);
	soil(path);
}

static void soil_parent(const char *path)
{
	char parent[256];
	const char *slash = strrchr(path, '/');

	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	soil(parent);
}

/* --- the calls ------------------------------------------------------------------------------ */

int __real_open64(const char *path, int flags, ...);
int __real_openat64(int at, const char *path, int flags, ...);
ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t at);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_ftruncate64(int fd, off_t n);
int __real_unlinkat(int at, const char *path, int flags);
int __real_renameat(int from, const char *path, int to, const char *name);
int __real_mkdir(const char *path, mode_t mode);
int __real_flock(int fd, int what);

int __wrap_open64(const char *path, int flags, mode_t mode);
int __wrap_openat64(int at, const char *path, int flags, mode_t mode);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_ftruncate64(int fd, off_t n);
int __wrap_unlinkat(int at, const char *path, int flags);
int __wrap_renameat(int from, const char *path, int to, const char *name);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_flock(int fd, int what);

int __wrap_open64(const char *path, int flags, mode_t mode)
{
	/* Of a disk that cannot be read nothing can be promised. */
	int fd = hit() && fault.error != EIO ? -1 : __real_open64(path, flags, mode);

	made();
	return fd;
}

int __wrap_openat64(int at, const char *path, int flags, mode_t mode)
{
	int fd = hit() ? -1 : __real_openat64(at, path, flags, mode);

	if (fd >= 0 && flags & O_CREAT)
		soil_fd(at);
	made();
	return fd;
}

ssize_t __wrap_read(int fd, void *p, size_t n)
{
	ssize_t got = hit() && fault.error != EIO ? -1 : __real_read(fd, p, n);

	made();
	return got;
}

ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at)
{
	ssize_t done;

	if (hit()) {
		if (!fault.short_write || n < 2)
			return -1;
		n /= 2; /* the rest meets the next call */
	}
	done = __real_pwrite64(fd, p, n, at);
	if (done > 0)
		soil_fd(fd);
	made();
	return done;
}

int __wrap_fdatasync(int fd)
{
	int rc = hit() ? -1 : __real_fdatasync(fd);

	if (rc == 0)
		clean(fd);
	made();
	return rc;
}

int __wrap_fsync(int fd)
{
	int rc = hit() ? -1 : __real_fsync(fd);

	if (rc == 0)
		clean(fd);
	made();
	return rc;
}

int __wrap_ftruncate64(int fd, off_t n)
{
	int rc = hit() ? -1 : __real_ftruncate64(fd, n);

	made();
	return rc;
}

int __wrap_unlinkat(int at, const char *path, int flags)
{
	int rc = hit() ? -1 : __real_unlinkat(at, path, flags);

	made();
	return rc;
}

int __wrap_renameat(int from, const char *path, int to, const char *name)
{
	int rc = hit() ? -1 : __real_renameat(from, path, to, name);

	if (rc == 0)
		soil_fd(to);
	made();
	return rc;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
	int rc = hit() ? -1 : __real_mkdir(path, mode);

	if (rc == 0)
		soil_parent(path);
	made();
	return rc;
}

int __wrap_flock(int fd, int what)
{
	int rc = hit() ? -1 : __real_flock(fd, what);

	made();
	return rc;
}

/* --- a life of a spool ------------------------------------------------------------------------ */

/* In shared pages: it outlives a process that dies. */
struct ledger {
	bool acked[RECORDS];
	unsigned given[RECORDS];
	int last; /* the newest record that was given for the first time */
	bool out_of_order;
};

static struct ledger *ledger;

static void note_given(const struct spool_record *r)
{
	int i = r->n < 8 ? (int)strtol(r->data + 1, NULL, 10) : -1;

	assert_in_range(i, 0, RECORDS - 1);
	/* One that was refused, and could not be taken back, may come at any time. */
	if (ledger->given[i]++ == 0 && ledger->acked[i]) {
		ledger->out_of_order |= i < ledger->last;
		ledger->last = i;
	}
}

static void take(struct spool *s, size_t most)
{
	struct spool_record r;
	size_t n = 0;

	while (n < most && spool_next(s, &r)) {
		note_given(&r);
		n++;
	}
	spool_release(s, n);
	if (most > RECORDS)
		return;
	/* Read, and not safe elsewhere: read again. */
	(void)spool_next(s, &r);
	spool_rewind(s);
}

static void write_some(struct spool *s, int from, int to)
{
	struct err err;

	for (int i = from; i < to; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "r%d", i);
		if (spool_append(s, text, strlen(text) + 1, &err) == 0 && spool_sync(s, &err) == 0)
			ledger->acked[i] = true;
	}
}

/* Of two processes: the second one adopts what the first one left. */
static void live(void)
{
	struct spool *s = NULL;
	struct err err;

	if (spool_open(dir, BIG, &s, &err) == 0) {
		write_some(s, 0, 6);
		take(s, 2);
		write_some(s, 6, 8);
		take(s, 5);
		write_some(s, 8, 14);
		spool_close(TAKE(s));
	}
	if (spool_open(dir, BIG, &s, &err) == 0) {
		(void)spool_adopt(s);
		write_some(s, 14, 20);
		take(s, 4);
		write_some(s, 20, RECORDS);
		spool_close(TAKE(s));
	}
}

static void read_the_rest(void)
{
	OWNED(spool_closep) struct spool *s = NULL;
	struct err err;

	memset(&fault, 0, sizeof(fault));
	assert_ok(spool_open(dir, BIG, &s, &err), &err);
	(void)spool_adopt(s);
	for (int i = 0; i < 8 && !spool_empty(s); i++)
		take(s, 2 * RECORDS);
	assert_true(spool_empty(s));
	assert_int_equal(spool_damaged(s), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	UNUSED(st);
	UNUSED(type);
	return ftw->level ? remove(path) : 0;
}

static void begin(void)
{
	memset(&fault, 0, sizeof(fault));
	memset(ledger, 0, sizeof(*ledger));
	n_dirty = 0;
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void check(unsigned at)
{
	for (int i = 0; i < RECORDS; i++)
		if (ledger->acked[i] && !ledger->given[i])
			fail_msg("record %d is lost, call %u", i, at);
	if (ledger->out_of_order)
		fail_msg("out of order, call %u", at);
}

/* --- tests --------------------------------------------------------------------------------------
 */

static int set_up(void **state)
{
	/* In memory when possible: thousands of syncs take long on a disk. */
	const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	UNUSED(state);
	(void)snprintf(dir, sizeof(dir), "%s/guard-faults-XXXXXX", root);
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return mkdtemp(dir) && ledger != MAP_FAILED ? 0 : -1;
}

static int tear_down(void **state)
{
	UNUSED(state);
	begin();
	(void)munmap(ledger, sizeof(*ledger));
	return rmdir(dir);
}

/* The count of calls says when there is nothing more to break. */
static void with_errors(int error, unsigned times, bool short_write)
{
	unsigned at = 0, calls;

	do {
		begin();
		fault.at = ++at;
		fault.times = times;
		fault.error = error;
		fault.short_write = short_write;
		live();
		calls = fault.calls;
		read_the_rest();
		check(at);
	} while (at < calls && at < CALLS_MAX);
	assert_in_range(calls, 50, CALLS_MAX - 1);
}

static void survives_any_call_that_fails_once(void **state)
{
	UNUSED(state);
	with_errors(ENOSPC, 1, false);
	with_errors(EIO, 1, false);
	with_errors(EMFILE, 1, false);
	with_errors(EINTR, 1, false);
}

static void survives_calls_that_go_on_failing(void **state)
{
	UNUSED(state);
	with_errors(ENOSPC, 4, false);
	with_errors(EROFS, 9, false);
	with_errors(ENOMEM, 30, false);
}

static void survives_short_writes(void **state)
{
	UNUSED(state);
	with_errors(ENOSPC, 1, true);
	with_errors(ENOSPC, 3, true);
}

static void with_deaths(bool after)
{
	int status = -1;

	for (unsigned at = 1; at < CALLS_MAX; at++) {
		pid_t pid;

		begin();
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			fault.at = at;
			fault.times = 1;
			fault.after = after;
			live();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		read_the_rest();
		check(at);
		if (WEXITSTATUS(status) == 0)
			break;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void survives_death_before_any_call(void **state)
{
	UNUSED(state);
	with_deaths(false);
}

static void survives_death_after_any_call(void **state)
{
	UNUSED(state);
	with_deaths(true);
}

static void expect_all_durable(const char *when)
{
	if (n_dirty)
		fail_msg("%s: not synced: %s", when, dirty[0]);
}

static void a_power_cut_takes_nothing_that_was_synced(void **state)
{
	OWNED(spool_closep) struct spool *a = NULL;
	OWNED(spool_closep) struct spool *b = NULL;
	char deep[128];
	struct err err;

	UNUSED(state);
	begin();
	(void)snprintf(deep, sizeof(deep), "%s/made/by/us", dir);
	assert_ok(spool_open(deep, BIG, &a, &err), &err);
	for (int i = 0; i < 3; i++) {
		assert_ok(spool_append(a, "x", 1, &err), &err);
		assert_ok(spool_sync(a, &err), &err);
		expect_all_durable("after a sync");
		if (i == 1)
			take(a, 0); /* the next one begins a file */
	}
	spool_close(TAKE(a));
	assert_ok(spool_open(deep, BIG, &b, &err), &err);
	assert_int_equal(spool_adopt(b), 2);
	expect_all_durable("after an adoption");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(survives_any_call_that_fails_once),
		T(survives_calls_that_go_on_failing),
		T(survives_short_writes),
		T(survives_death_before_any_call),
		T(survives_death_after_any_call),
		T(a_power_cut_takes_nothing_that_was_synced),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

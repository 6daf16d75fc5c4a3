#include "core/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"

enum { REAP_MS = 5, CHUNK = 16 << 10 };

struct child {
	pid_t pid;
	int fd; /* -1: it closed its output */
	struct buf out;
	struct event *readable, *deadline, *reap;
	child_fn *fn;
	void *arg;
	bool late;
};

static void child_free(struct child *c)
{
	if (c->readable)
		event_free(c->readable);
	if (c->deadline)
		event_free(c->deadline);
	if (c->reap)
		event_free(c->reap);
	if (c->fd >= 0)
		(void)close(c->fd);
	buf_done(&c->out);
	free(c);
}

static void finish(struct child *c, int status)
{
	const struct child_end end = {
		.out = buf_text(&c->out),
		.n = c->out.len,
		.status = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status),
		.late = c->late,
		.over = c->out.overflow,
	};

	c->fn(&end, c->arg);
	child_free(c);
}

/* It is over when its output is and it was waited for; the group dies with it. */
static void try_reap(struct child *c)
{
	struct timeval soon = clock_timeval(REAP_MS);
	int status;

	if (waitpid(c->pid, &status, WNOHANG) != c->pid) {
		(void)evtimer_add(c->reap, &soon);
		return;
	}
	(void)kill(-c->pid, SIGKILL);
	finish(c, status);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	try_reap(arg);
}

static void output_over(struct child *c)
{
	event_free(c->readable);
	c->readable = NULL;
	(void)close(c->fd);
	c->fd = -1;
	try_reap(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	char chunk[CHUNK];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	UNUSED(what);
	if (n > 0) {
		buf_append(&c->out, chunk, (size_t)n);
		if (!c->out.overflow)
			return;
		(void)kill(-c->pid, SIGKILL);
	} else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	output_over(c);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;

	UNUSED(fd);
	UNUSED(what);
	c->late = true;
	(void)kill(-c->pid, SIGKILL);
	if (c->readable)
		output_over(c);
}

int child_self(char *out, size_t cap, struct err *err)
{
	ssize_t n = readlink("/proc/self/exe", out, cap - 1);

	if (n <= 0)
		return err_set(err, ERR_TRANSIENT, "cannot read /proc/self/exe");
	out[n] = '\0';
	return 0;
}

/* What it may know of our environment: no secrets are among this. */
static void keep_environment(char *out[static 8])
{
	static const char *const names[] = { "HOME", "PATH",          "LANG",
					     "TZ",   "SSL_CERT_FILE", "ASAN_OPTIONS" };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (getenv(names[i]))
			out[n++] = xasprintf("%s=%s", names[i], getenv(names[i]));
	out[n] = NULL;
}

/* Its own group, the usual signals, nothing of ours open. in_fd -1: nothing to read. */
static int spawn(const char *const *argv, int in_fd, int out_fd, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	char *env[8];
	int rc;

	keep_environment(env);
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (posix_spawn_file_actions_init(&files) || posix_spawnattr_init(&attr))
		abort();
	rc = (in_fd < 0 ? posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0)
			: posix_spawn_file_actions_adddup2(&files, in_fd, 0)) ||
	     posix_spawn_file_actions_adddup2(&files, out_fd, 1) ||
	     posix_spawnattr_setpgroup(&attr, 0) || posix_spawnattr_setsigmask(&attr, &none) ||
	     posix_spawnattr_setsigdefault(&attr, &all) ||
	     posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						     POSIX_SPAWN_SETSIGDEF);
	if (rc)
		abort();
	/* POSIX takes strings that it promises not to change. */
	rc = posix_spawn(pid, argv[0], &files, &attr, (char *const *)(uintptr_t)argv, env);
	for (char **e = env; *e; e++)
		free(*e);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&attr);
	return rc;
}

/* A file in memory: it can be read at leisure, and there is no writing that could block. */
static int input_file(const void *input, size_t n, struct err *err)
{
	int fd = memfd_create("input", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, input, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	(void)err_set(err, ERR_TRANSIENT, "memory for a child's input: %s", strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

int child_start_on(struct event_base *base, const char *const *argv, int in_fd, int64_t timeout_ms,
		   size_t max_out, child_fn *fn, void *arg, struct child **out, struct err *err)
{
	struct timeval tv = clock_timeval(timeout_ms);
	struct child *c;
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, ERR_TRANSIENT, "pipe: %s", strerror(errno));
	c = xcalloc(1, sizeof(*c));
	c->fd = ends[0];
	c->fn = fn;
	c->arg = arg;
	buf_init(&c->out, max_out);
	rc = spawn(argv, in_fd, ends[1], &c->pid);
	(void)close(ends[1]);
	if (rc) {
		child_free(c);
		return err_set(err, ERR_TRANSIENT, "cannot run %s: %s", argv[0], strerror(rc));
	}
	(void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
	c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->deadline = evtimer_new(base, on_deadline, c);
	c->reap = evtimer_new(base, on_reap, c);
	if (!c->readable || !c->deadline || !c->reap)
		abort();
	(void)event_add(c->readable, NULL);
	(void)evtimer_add(c->deadline, &tv);
	*out = c;
	return 0;
}

int child_start(struct event_base *base, const char *const *argv, int64_t timeout_ms,
		size_t max_out, child_fn *fn, void *arg, struct child **out, struct err *err)
{
	return child_start_on(base, argv, -1, timeout_ms, max_out, fn, arg, out, err);
}

int child_start_fed(struct event_base *base, const char *const *argv, const void *input, size_t n,
		    int64_t timeout_ms, size_t max_out, child_fn *fn, void *arg, struct child **out,
		    struct err *err)
{
	int fd = input_file(input, n, err), rc;

	if (fd < 0)
		return -1;
	rc = child_start_on(base, argv, fd, timeout_ms, max_out, fn, arg, out, err);
	(void)close(fd);
	return rc;
}

void child_cancel(struct child *c)
{
	int status;

	if (!c)
		return;
	(void)kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	child_free(c);
}

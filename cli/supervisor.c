#include "cli/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/text.h"

enum {
	CHILDREN_MAX = 80,
	LINE_BYTES = 512,
	BACKOFF_FIRST_MS = 100,
	BACKOFF_LAST_MS = 30000,
	STABLE_MS = 10000, /* up so long: the next failure is a new story */
	LATE_MS = 3000,    /* on top of the drain time, before SIGKILL */
};

struct child {
	struct supervisor *s;
	bool used;
	struct child *replaces; /* it is told to drain when we are ready */
	bool retiring;          /* being replaced: its end is expected */
	unsigned generation;
	struct child_spec spec;
	void (*ready)(const char *, void *);
	void *arg;
	pid_t pid; /* 0: not running */
	int out;
	struct event *readable, *restart;
	char line[LINE_BYTES];
	size_t line_len;
	int64_t started_at_ms, backoff_ms;
	bool was_ready, terminated;
};

struct supervisor {
	struct event_base *base;
	int metrics_fd;
	int64_t drain_ms;
	void (*finished)(int, void *);
	void *arg;
	struct child child[CHILDREN_MAX];
	size_t n;
	struct event *sigchld, *too_late;
	bool stopping;
	bool renew_again; /* asked while a renewal was under way */
	int status;
};

static void stop_next(struct supervisor *);

/* One generation after the other: three would share two slots of the metrics. */
static bool renewing(const struct supervisor *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->child[i].used && (s->child[i].retiring || s->child[i].replaces))
			return true;
	return false;
}

/* The place is free for another; its process is gone. */
static void release(struct child *c)
{
	struct supervisor *s = c->s;

	(void)evtimer_del(c->restart);
	c->used = c->retiring = false;
	c->replaces = NULL;
	if (!s->renew_again || renewing(s))
		return;
	s->renew_again = false;
	supervisor_renew(s);
}

/* --- starting --------------------------------------------------------------- */

static void keep_open(int fd)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, 0);
}

/* Names are in front of '='; unsetenv() moves the rest up. */
static void hide(const char *prefix)
{
	for (char **e = environ; *e;) {
		char name[128];

		if (text_starts(*e, prefix) &&
		    text_copy(name, sizeof(name), *e, strcspn(*e, "=")) && unsetenv(name) == 0)
			continue;
		e++;
	}
}

/* Old and new write apart. */
static unsigned metrics_slot(const struct child *c)
{
	return 2 * c->spec.metrics_slot + c->generation % 2;
}

/* In the new process. Only calls that are safe after fork. */
static void NO_RETURN become(const struct child *c, int out, pid_t parent)
{
	char fd[16], slot[16];

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
	(void)dup2(out, STDOUT_FILENO);
	(void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	keep_open(c->spec.pass_fd);
	keep_open(c->spec.pass_fd2);
	keep_open(c->s->metrics_fd);
	for (const char *const *h = c->spec.hide; h && *h; h++)
		hide(*h);
	(void)unsetenv("NOTIFY_SOCKET"); /* we speak for the service */
	(void)snprintf(fd, sizeof(fd), "%d", c->s->metrics_fd);
	(void)snprintf(slot, sizeof(slot), "%u", metrics_slot(c));
	if (c->s->metrics_fd >= 0) {
		(void)setenv("PIPELINE_GUARD_METRICS_FD", fd, 1);
		(void)setenv("PIPELINE_GUARD_METRICS_SLOT", slot, 1);
	}
	(void)execv(c->spec.argv[0], c->spec.argv);
	_exit(127);
}

static void retire(struct child *old)
{
	struct timeval tv = clock_timeval(old->s->drain_ms + LATE_MS);

	old->retiring = true;
	if (!old->pid) {
		release(old);
		return;
	}
	old->terminated = true; /* a second signal would mean: at once */
	(void)kill(old->pid, SIGTERM);
	(void)evtimer_add(old->restart, &tv); /* its patience, now */
}

static void is_ready(struct child *c, const char *line)
{
	c->was_ready = true;
	c->backoff_ms = BACKOFF_FIRST_MS;
	if (c->replaces)
		retire(TAKE(c->replaces));
	else if (c->generation == 0)
		c->ready(line, c->arg);
}

static void take_line(struct child *c)
{
	size_t n = strlen(c->spec.name);

	c->line[c->line_len] = '\0';
	if (strncmp(c->line, c->spec.name, n) != 0 || !text_starts(c->line + n, " ready") ||
	    c->was_ready)
		return;
	is_ready(c, c->line + n + strlen(" ready"));
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	char chunk[1024];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	UNUSED(what);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			(void)event_del(c->readable);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (chunk[i] == '\n') {
			take_line(c);
			c->line_len = 0;
		} else if (c->line_len < LINE_BYTES - 1) {
			c->line[c->line_len++] = chunk[i];
		}
	}
}

static int spawn(struct child *c, struct err *err)
{
	pid_t parent = getpid();
	int fds[2];

	if (access(c->spec.argv[0], X_OK) != 0)
		return err_set(err, ERR_TRANSIENT, "%s: %s is not executable", c->spec.name,
			       c->spec.argv[0]);
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(err, ERR_TRANSIENT, "pipe: %s", strerror(errno));
	c->pid = fork();
	if (c->pid == 0)
		become(c, fds[1], parent);
	(void)close(fds[1]);
	if (c->pid < 0) {
		c->pid = 0;
		(void)close(fds[0]);
		return err_set(err, ERR_TRANSIENT, "fork: %s", strerror(errno));
	}
	c->out = fds[0];
	c->line_len = 0;
	c->started_at_ms = clock_mono_ms();
	c->readable = event_new(c->s->base, fds[0], EV_READ | EV_PERSIST, on_output, c);
	if (!c->readable || event_add(c->readable, NULL) < 0)
		abort();
	log_debug("started", KV("child", c->spec.name), KV("pid", (int)c->pid));
	if (c->spec.ready_at_once && !c->was_ready)
		is_ready(c, "");
	return 0;
}

static void restart_later(struct child *c)
{
	struct timeval tv = clock_timeval(c->backoff_ms);

	c->backoff_ms = c->backoff_ms * 2 < BACKOFF_LAST_MS ? c->backoff_ms * 2 : BACKOFF_LAST_MS;
	(void)evtimer_add(c->restart, &tv);
}

static void on_restart(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	struct err err;

	UNUSED(fd);
	UNUSED(what);
	if (c->retiring) {
		log_error("it did not drain in time", KV("child", c->spec.name));
		(void)kill(c->pid, SIGKILL);
	} else if (!c->s->stopping && !c->pid && spawn(c, &err) < 0) {
		log_error("cannot start again", KV("child", c->spec.name), KV("why", err.msg));
		restart_later(c);
	}
}

/* --- ends ------------------------------------------------------------------- */

static void forget(struct child *c)
{
	event_free(c->readable);
	(void)close(c->out);
	c->readable = NULL;
	c->pid = 0;
	metrics_area_forget_gauges(c->s->metrics_fd, metrics_slot(c));
}

static void died(struct child *c, int wait_status)
{
	int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;

	forget(c);
	if (c->s->stopping) {
		stop_next(c->s);
		return;
	}
	if (c->retiring) {
		log_info("replaced", KV("child", c->spec.name));
		release(c); /* may begin the next renewal */
		return;
	}
	if (c->replaces) {
		log_error("the new one did not come up: the old one stays",
			  KV("child", c->spec.name), KV("status", code));
		release(c);
		return;
	}
	if (WIFSIGNALED(wait_status))
		log_error("a child was killed", KV("child", c->spec.name),
			  KV("signal", WTERMSIG(wait_status)));
	else
		log_error("a child ended", KV("child", c->spec.name), KV("status", code));
	/* It never came up and says that its configuration is wrong: trying again is no use. */
	if (!c->was_ready && (code == 2 || code == 127)) {
		c->s->status = 2;
		supervisor_stop(c->s);
		return;
	}
	if (clock_mono_ms() - c->started_at_ms > STABLE_MS)
		c->backoff_ms = BACKOFF_FIRST_MS;
	restart_later(c);
}

static void on_sigchld(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *s = arg;

	UNUSED(sig);
	UNUSED(what);
	for (size_t i = 0; i < s->n; i++) {
		struct child *c = &s->child[i];
		int status;

		if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid)
			died(c, status);
	}
}

static bool terminate(struct supervisor *s, bool outlives)
{
	bool any = false;

	for (size_t i = 0; i < s->n; i++) {
		struct child *c = &s->child[i];

		if (!c->pid || c->spec.outlives != outlives)
			continue;
		any = true;
		if (!c->terminated)
			(void)kill(c->pid, SIGTERM);
		c->terminated = true;
	}
	return any;
}

/* First everybody, then those whom the others need until their end. */
static void stop_next(struct supervisor *s)
{
	if (terminate(s, false) || terminate(s, true))
		return;
	(void)evtimer_del(s->too_late);
	s->finished(s->status, s->arg);
}

static void on_too_late(evutil_socket_t fd, short what, void *arg)
{
	UNUSED(fd);
	UNUSED(what);
	supervisor_signal_all(arg, SIGKILL);
}

void supervisor_stop(struct supervisor *s)
{
	struct timeval tv = clock_timeval(s->drain_ms + LATE_MS);

	if (s->stopping) {
		supervisor_signal_all(s, SIGKILL);
		return;
	}
	s->stopping = true;
	for (size_t i = 0; i < s->n; i++)
		(void)evtimer_del(s->child[i].restart);
	(void)evtimer_add(s->too_late, &tv);
	stop_next(s);
}

void supervisor_signal_all(struct supervisor *s, int sig)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->child[i].pid)
			(void)kill(s->child[i].pid, sig);
}

/* --- life ------------------------------------------------------------------- */

struct supervisor *supervisor_new(struct event_base *base, int metrics_fd, int64_t drain_ms,
				  void (*finished)(int, void *), void *arg)
{
	struct supervisor *s = xcalloc(1, sizeof(*s));

	s->base = base;
	s->metrics_fd = metrics_fd;
	s->drain_ms = drain_ms;
	s->finished = finished;
	s->arg = arg;
	s->sigchld = evsignal_new(base, SIGCHLD, on_sigchld, s);
	s->too_late = evtimer_new(base, on_too_late, s);
	if (!s->sigchld || !s->too_late || evsignal_add(s->sigchld, NULL) < 0)
		abort();
	return s;
}

void supervisor_free(struct supervisor *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		if (s->child[i].pid)
			forget(&s->child[i]);
		event_free(s->child[i].restart);
	}
	event_free(s->sigchld);
	event_free(s->too_late);
	free(s);
}

static struct child *free_place(struct supervisor *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->child[i].used)
			return &s->child[i];
	return s->n < CHILDREN_MAX ? &s->child[s->n++] : NULL;
}

static struct child *child_new(struct supervisor *s, const struct child_spec *spec)
{
	struct child *c = free_place(s);
	struct event *restart = c ? c->restart : NULL;

	if (!c)
		return NULL;
	*c = (struct child){ .s = s, .used = true, .spec = *spec, .backoff_ms = BACKOFF_FIRST_MS };
	c->restart = restart ? restart : evtimer_new(s->base, on_restart, c);
	if (!c->restart)
		abort();
	return c;
}

int supervisor_add(struct supervisor *s, const struct child_spec *spec,
		   void (*ready)(const char *, void *), void *arg, struct err *err)
{
	struct child *c = child_new(s, spec);

	if (!c)
		return err_set(err, ERR_BUG, "too many children");
	c->ready = ready;
	c->arg = arg;
	return spawn(c, err);
}

static void renew(struct child *old)
{
	struct child *c = child_new(old->s, &old->spec);
	struct err err;

	if (!c)
		return;
	c->replaces = old;
	c->generation = old->generation + 1;
	if (spawn(c, &err) < 0) {
		log_error("cannot start the new one: the old one stays", KV("why", err.msg));
		release(c);
	}
}

/* Those that are starting may have read what was true before: they go, and others come. */
static void give_up_renewal(struct supervisor *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct child *c = &s->child[i];

		if (!c->used || !c->replaces)
			continue;
		c->replaces = NULL;
		retire(c);
	}
}

void supervisor_renew(struct supervisor *s)
{
	size_t n = s->n;

	if (s->stopping)
		return;
	if (renewing(s)) {
		s->renew_again = true;
		give_up_renewal(s);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct child *c = &s->child[i];

		if (c->used && c->spec.renewable && c->was_ready)
			renew(c);
	}
}

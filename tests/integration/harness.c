#include "tests/integration/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "core/json.h"
#include "core/mem.h"
#include "tests/integration/rig.h"

enum {
	TICK_MS = 3,
	TAIL_BYTES = 6000,
	FILE_MAX_BYTES = 256 << 20,
	NAMES_MAX = 16,
};

struct proc {
	struct rig *rig;
	struct proc *next;
	const char *name, *log;
	pid_t pid;
	off_t log_from; /* where the output of this start begins */
	bool ended, may_die;
	int status; /* exit status or 256 + signal, once ended */
};

/* --- texts and files -------------------------------------------------------------------- */

const char *rig_printf(struct rig *r, const char *fmt, ...)
{
	OWNED(freep) char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	return arena_strdup(r->arena, text);
}

const char *rig_text(struct rig *r, const char *s, size_t n)
{
	return arena_strndup(r->arena, s, n);
}

void *rig_alloc(struct rig *r, size_t n)
{
	return arena_alloc(r->arena, n);
}

struct json_object *rig_try_json(struct rig *r, const char *text, size_t n)
{
	struct kept *k;
	struct err err;
	struct json_object *o;

	if (json_parse(text, n, &o, &err) < 0)
		return NULL;
	k = arena_alloc(r->arena, sizeof(*k));
	k->json = o;
	k->next = r->kept;
	r->kept = k;
	return o;
}

struct json_object *rig_json(struct rig *r, const char *text, size_t n)
{
	struct json_object *o = rig_try_json(r, text, n);

	if (!o)
		fail_msg("this is no JSON: %.*s", (int)(n < 400 ? n : 400), text);
	return o;
}

const char *rig_path(struct rig *r, const char *name)
{
	return rig_printf(r, "%s/%s", r->folder, name);
}

void rig_write(struct rig *r, const char *name, const char *text, mode_t mode)
{
	int fd = open(rig_path(r, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	size_t n = strlen(text);

	if (fd < 0 || write(fd, text, n) != (ssize_t)n || close(fd) < 0)
		fail_msg("cannot write %s: %s", name, strerror(errno));
}

static bool read_into(const char *path, off_t from, struct buf *out)
{
	char chunk[16384];
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (lseek(fd, from, SEEK_SET) == from)
		while ((n = read(fd, chunk, sizeof(chunk))) > 0)
			buf_append(out, chunk, (size_t)n);
	(void)close(fd);
	return n == 0;
}

const char *rig_read(struct rig *r, const char *path)
{
	OWNED(buf_done) struct buf text;

	buf_init(&text, FILE_MAX_BYTES);
	if (!read_into(path, 0, &text))
		return NULL;
	return arena_strndup(r->arena, buf_text(&text), text.len);
}

/* nftw() has no argument for its callback. */
static struct {
	const char *folder, *text;
	const char *const *except;
	unsigned found;
} search;

static int search_file(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	OWNED(buf_done) struct buf text;

	UNUSED(ftw);
	if (kind != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	for (const char *const *e = search.except; e && *e; e++)
		if (strcmp(path + strlen(search.folder) + 1, *e) == 0)
			return 0;
	buf_init(&text, FILE_MAX_BYTES);
	if (read_into(path, 0, &text) && text.len &&
	    memmem(text.data, text.len, search.text, strlen(search.text))) {
		print_message("\"%.8s...\" is in %s\n", search.text, path);
		search.found++;
	}
	return 0;
}

unsigned rig_grep(struct rig *r, const char *text, const char *const *except)
{
	search.folder = r->folder;
	search.text = text;
	search.except = except;
	search.found = 0;
	(void)nftw(r->folder, search_file, 8, FTW_PHYS);
	search.except = NULL;
	return search.found;
}

void rig_hide(struct rig *r, const char *text, const char *name)
{
	struct hidden *h = arena_alloc(r->arena, sizeof(*h));

	h->text = arena_strdup(r->arena, text);
	h->name = arena_strdup(r->arena, name);
	h->next = r->hidden;
	r->hidden = h;
}

/* --- processes ------------------------------------------------------------------------------ */

static void NO_RETURN become(const struct proc *p, const char *const *argv, const char *const *env,
			     pid_t parent)
{
	int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || log < 0 || null < 0)
		_exit(126);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(log, STDOUT_FILENO);
	(void)dup2(log, STDERR_FILENO);
	(void)close_range(3, ~0U, 0);
	for (; env && *env; env++)
		(void)putenv((char *)(uintptr_t)*env);
	(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

struct proc *proc_start(struct rig *r, const char *name, const char *const *argv,
			const char *const *env)
{
	struct proc *p = arena_alloc(r->arena, sizeof(*p));
	pid_t parent = getpid();
	struct stat st;

	p->rig = r;
	p->name = arena_strdup(r->arena, name);
	p->log = rig_printf(r, "%s/%s.log", r->folder, name);
	p->log_from = stat(p->log, &st) == 0 ? st.st_size : 0;
	p->next = r->procs;
	p->pid = fork();
	if (p->pid == 0)
		become(p, argv, env, parent);
	if (p->pid < 0)
		fail_msg("fork: %s", strerror(errno));
	r->procs = p;
	return p;
}

static void reap(struct proc *p, int flags)
{
	int status;

	if (p->ended || waitpid(p->pid, &status, flags) != p->pid)
		return;
	p->ended = true;
	p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void rig_tick(struct rig *r)
{
	for (struct proc *p = r->procs; p; p = p->next) {
		reap(p, WNOHANG);
		if (p->ended && !p->may_die)
			fail_msg("%s died unexpectedly: status %d", p->name, p->status);
	}
	(void)poll(NULL, 0, TICK_MS);
}

const char *proc_output(struct proc *p)
{
	OWNED(buf_done) struct buf text;

	buf_init(&text, FILE_MAX_BYTES);
	(void)read_into(p->log, p->log_from, &text);
	return arena_strndup(p->rig->arena, buf_text(&text), text.len);
}

const char *proc_line(struct proc *p, const char *prefix)
{
	const char *found = NULL;
	size_t n = strlen(prefix);

	for (int64_t end = clock_mono_ms() + PATIENCE_MS; !found;) {
		OWNED(buf_done) struct buf text;
		const char *line, *stop;

		buf_init(&text, FILE_MAX_BYTES);
		(void)read_into(p->log, p->log_from, &text);
		for (line = buf_text(&text); (stop = strchr(line, '\n')); line = stop + 1) {
			if (strncmp(line, prefix, n) == 0) {
				found = arena_strndup(p->rig->arena, line + n,
						      (size_t)(stop - line) - n);
				break;
			}
		}
		if (!found && clock_mono_ms() > end)
			fail_msg("%s does not print \"%s\"", p->name, prefix);
		if (!found)
			rig_tick(p->rig);
	}
	return found;
}

pid_t proc_pid(const struct proc *p)
{
	return p->pid;
}

bool proc_running(struct proc *p)
{
	reap(p, WNOHANG);
	return !p->ended;
}

void proc_may_die(struct proc *p)
{
	p->may_die = true;
}

void proc_signal(struct proc *p, int sig)
{
	if (!p->ended)
		(void)kill(p->pid, sig);
}

int proc_wait(struct proc *p, int ms)
{
	p->may_die = true;
	WAIT_MS(p->rig, !proc_running(p), ms);
	return p->status;
}

void proc_kill(struct proc *p)
{
	p->may_die = true;
	proc_signal(p, SIGKILL);
	reap(p, 0);
}

int proc_stop(struct proc *p)
{
	proc_signal(p, SIGTERM);
	return proc_wait(p, PATIENCE_MS);
}

/* --- redis ------------------------------------------------------------------------------ */

static bool redis_answers(struct rig *r)
{
	struct timeval soon = { .tv_sec = 5 };
	redisReply *reply;
	bool up;

	if (r->redis)
		redisFree(r->redis);
	r->redis = redisConnectUnixWithTimeout(r->redis_socket, soon);
	if (!r->redis || r->redis->err || redisSetTimeout(r->redis, soon) != REDIS_OK)
		return false;
	reply = redisCommand(r->redis, "PING");
	up = reply && reply->type == REDIS_REPLY_STATUS;
	if (reply)
		freeReplyObject(reply);
	return up;
}

void redis_start(struct rig *r)
{
	const char *const argv[] = { "redis-server",
				     "--port",
				     "0",
				     "--unixsocket",
				     r->redis_socket,
				     "--dir",
				     r->redis_dir,
				     "--save",
				     "",
				     "--appendonly",
				     "yes",
				     "--appendfsync",
				     "always",
				     "--stop-writes-on-bgsave-error",
				     "no",
				     NULL };

	r->redis_proc = proc_start(r, "redis", argv, NULL);
	WAIT(r, redis_answers(r));
}

void redis_kill(struct rig *r)
{
	proc_kill(r->redis_proc);
}

struct proc *redis_proc(struct rig *r)
{
	return r->redis_proc;
}

void redis_use(struct rig *r, const char *socket)
{
	r->redis_socket = arena_strdup(r->arena, socket);
	WAIT(r, redis_answers(r));
}

const char *redis_url(struct rig *r)
{
	return rig_printf(r, "unix://%s", r->redis_socket);
}

static redisReply *redis_ask(struct rig *r, const char *fmt, va_list ap)
{
	if (r->reply)
		freeReplyObject(r->reply);
	r->reply = r->redis ? redisvCommand(r->redis, fmt, ap) : NULL;
	if (!r->reply) {
		fail_msg("redis does not answer: %s", fmt);
		abort();
	}
	if (r->reply->type == REDIS_REPLY_ERROR)
		fail_msg("redis: %s: %s", fmt, r->reply->str);
	return r->reply;
}

struct redisReply *redis_do(struct rig *r, const char *fmt, ...)
{
	redisReply *reply;
	va_list ap;

	va_start(ap, fmt);
	reply = redis_ask(r, fmt, ap);
	va_end(ap);
	return reply;
}

struct redisReply *redis_do_argv(struct rig *r, const char *const *argv)
{
	int n = 0;

	while (argv[n])
		n++;
	if (r->reply)
		freeReplyObject(r->reply);
	r->reply = redisCommandArgv(r->redis, n, (const char **)(uintptr_t)argv, NULL);
	if (!r->reply || r->reply->type == REDIS_REPLY_ERROR)
		fail_msg("redis: %s: %s", argv[0], r->reply ? r->reply->str : "no answer");
	return r->reply;
}

int64_t redis_int_of(struct rig *r, const char *fmt, ...)
{
	redisReply *reply;
	va_list ap;

	va_start(ap, fmt);
	reply = redis_ask(r, fmt, ap);
	va_end(ap);
	assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
	return reply->integer;
}

const char *redis_text_of(struct rig *r, const char *fmt, ...)
{
	redisReply *reply;
	va_list ap;

	va_start(ap, fmt);
	reply = redis_ask(r, fmt, ap);
	va_end(ap);
	if (reply->type == REDIS_REPLY_NIL)
		return "";
	assert_true(reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS);
	return arena_strndup(r->arena, reply->str, reply->len);
}

const char *redis_last_field(struct rig *r, const char *stream, const char *field)
{
	redisReply *reply = redis_do(r, "XREVRANGE %s + - COUNT 1", stream), *fields;

	if (reply->elements != 1)
		return "";
	fields = reply->element[0]->element[1];
	for (size_t i = 0; i + 1 < fields->elements; i += 2)
		if (strcmp(fields->element[i]->str, field) == 0)
			return arena_strndup(r->arena, fields->element[i + 1]->str,
					     fields->element[i + 1]->len);
	return "";
}

/* --- life ------------------------------------------------------------------------------ */

int rig_open(void **state)
{
	const struct rig_case *c = *state;
	struct rig *r = xcalloc(1, sizeof(*r));
	const char *tmp = getenv("TMPDIR");

	r->fn = c->fn;
	r->arena = arena_new();
	/* Short: a socket's path has at most 107 bytes. */
	if (!tmp || strlen(tmp) > 60)
		tmp = "/tmp";
	(void)snprintf(r->folder, sizeof(r->folder), "%s/guard-XXXXXX", tmp);
	*state = r;
	if (!mkdtemp(r->folder))
		return -1;
	r->redis_socket = rig_path(r, "redis.sock");
	r->redis_dir = rig_path(r, "redis");
	return mkdir(r->redis_dir, 0700);
}

static void check_hidden(struct rig *r)
{
	for (struct hidden *h = r->hidden; h; h = h->next) {
		const char *const except[] = { h->name, NULL };

		if (rig_grep(r, h->text, except))
			fail_msg("a secret is where it should not be");
		for (struct proc *p = r->procs; p; p = p->next) {
			OWNED(buf_done) struct buf argv;

			buf_init(&argv, 1 << 20);
			(void)read_into(rig_printf(r, "/proc/%d/cmdline", (int)p->pid), 0, &argv);
			if (argv.len && memmem(argv.data, argv.len, h->text, strlen(h->text)))
				fail_msg("a secret is in the arguments of %s", p->name);
		}
	}
}

static void end_well(struct rig *r)
{
	check_hidden(r);
	/* The newest first: a dispatcher needs what was started before it to finish. */
	for (struct proc *p = r->procs; p; p = p->next) {
		int status = p->may_die || p->ended ? 0 : proc_stop(p);

		if (status)
			fail_msg("%s ended with status %d", p->name, status);
	}
}

void rig_run(void **state)
{
	struct rig *r = *state;

	redis_start(r);
	r->fn(r);
	rig_tick(r);
	end_well(r);
	r->passed = true;
}

static unsigned n_skipped;

void rig_skip(struct rig *r, const char *why)
{
	print_message("skipped: %s\n", why);
	n_skipped++;
	r->passed = true;
	skip();
	abort();
}

static void print_tail(const char *name, const char *path)
{
	OWNED(buf_done) struct buf text;
	size_t from;

	buf_init(&text, FILE_MAX_BYTES);
	if (!read_into(path, 0, &text) || text.len == 0)
		return;
	from = text.len > TAIL_BYTES ? text.len - TAIL_BYTES : 0;
	/* print_message() cuts at 1 KiB. */
	printf("--- end of %s\n%s\n", name, text.data + from);
}

static void print_logs(const struct rig *r)
{
	DIR *dir = opendir(r->folder);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		OWNED(freep) char *path = xasprintf("%s/%s", r->folder, e->d_name);
		size_t n = strlen(e->d_name);

		if (n > 4 && strcmp(e->d_name + n - 4, ".log") == 0)
			print_tail(e->d_name, path);
	}
	if (dir)
		(void)closedir(dir);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	UNUSED(st);
	UNUSED(kind);
	UNUSED(ftw);
	return remove(path);
}

int rig_close(void **state)
{
	struct rig *r = *state;

	for (struct proc *p = r->procs; p; p = p->next)
		proc_kill(p);
	if (!r->passed)
		print_logs(r);
	if (r->passed || !getenv("GUARD_KEEP"))
		(void)nftw(r->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	else
		print_message("kept: %s\n", r->folder);
	if (r->reply)
		freeReplyObject(r->reply);
	if (r->redis)
		redisFree(r->redis);
	for (struct kept *k = r->kept; k; k = k->next)
		json_object_put(k->json);
	arena_free(r->arena);
	free(r);
	return 0;
}

static bool redis_installed(void)
{
	static const char *const places[] = { "/usr/bin/redis-server",
					      "/usr/local/bin/redis-server" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], X_OK) == 0)
			return true;
	return false;
}

/* By the arguments: "NAME" only these, "-NAME" without those. */
static bool is_wanted(const char *test, int argc, char **argv)
{
	bool only = false, named = false;

	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-' && fnmatch(argv[i] + 1, test, 0) == 0)
			return false;
		if (argv[i][0] != '-') {
			only = true;
			named |= fnmatch(argv[i], test, 0) == 0;
		}
	}
	return named || !only;
}

int rig_main_n(const struct CMUnitTest *tests, size_t n, const char *name, int argc, char **argv)
{
	OWNED(freep) struct CMUnitTest *wanted = xcalloc(n, sizeof(*wanted));
	size_t n_wanted = 0;
	int failed;

	if (!redis_installed() || !getenv("GUARD_BIN") || !getenv("GUARD_SIMULATOR")) {
		print_message("skipped: needs redis-server, GUARD_BIN and GUARD_SIMULATOR\n");
		return EXIT_SKIP;
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < n; i++)
		if (is_wanted(tests[i].name, argc, argv))
			wanted[n_wanted++] = tests[i];
	failed = _cmocka_run_group_tests(name, wanted, n_wanted, NULL, NULL);
	/* What was skipped altogether must not count as passed. */
	return !failed && n_wanted && n_skipped == n_wanted ? EXIT_SKIP : failed;
}

/*
 * Commands that try to get out of the sandbox, or to take the machine with them. This executable
 * is all three: the test, the stages of the sandbox, and inside it the one who tries.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/sandbox.h"
#include "tests/unit/unit.h"

#define INSIDE "/run/guard"
enum {
	PATIENCE_MS = 60000,
	NOBODY = 65534,
	PROCESSES = 40,
	OUTPUT = 64 << 10,
	SKIP = 77,
};

/* AddressSanitizer, which the one who tries is built with, wants all the addresses there are. */
#ifdef __SANITIZE_ADDRESS__
#define MEMORY (INT64_C(1) << 60)
#else
#define MEMORY (INT64_C(512) << 20)
#endif

/* --- who tries ------------------------------------------------------------------------------ */

static int try_connect(const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 ? 0 : errno;
}

/* Each child forks on, too: as a bomb does. */
static int try_fork(void)
{
	unsigned n = 0;
	pid_t pid;

	while ((pid = fork()) >= 0 && n < 100000) {
		if (pid == 0 && n > PROCESSES)
			break;
		n++;
	}
	if (pid < 0) {
		printf("forked %u\n", n);
		(void)fflush(stdout);
	}
	(void)pause();
	return 0;
}

static int try_memory(void)
{
	enum { STEP = 16 << 20 };
	size_t had = 0;

	while (had < (size_t)4 * (size_t)MEMORY &&
	       mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		       MAP_FAILED)
		had += STEP;
	printf("%zu\n", had >> 20);
	(void)fflush(stdout);
	return 0;
}

static int try_call(const char *name, const char *arg)
{
	long rc = 0;
	char letter = 'x';

	if (strcmp(name, "ptrace") == 0)
		rc = ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	else if (strcmp(name, "mount") == 0)
		rc = mount("none", "/tmp", "tmpfs", 0, "");
	else if (strcmp(name, "unshare") == 0)
		rc = unshare(CLONE_NEWUSER);
	else if (strcmp(name, "clone") == 0)
		rc = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0L);
	else if (strcmp(name, "setuid") == 0)
		rc = syscall(SYS_setuid, 0);
	else if (strcmp(name, "setresuid") == 0)
		rc = syscall(SYS_setresuid, 0, 0, 0);
	else if (strcmp(name, "setresgid") == 0)
		rc = syscall(SYS_setresgid, getgid(), -1, -1);
	else if (strcmp(name, "stay") == 0)
		rc = setresuid((uid_t)-1, getuid(), (uid_t)-1);
	else if (strcmp(name, "keyring") == 0)
		rc = syscall(SYS_add_key, "user", "k", "v", 1L, -3L);
	else if (strcmp(name, "bpf") == 0)
		rc = syscall(SYS_bpf, 0, NULL, 0L);
	else if (strcmp(name, "userfaultfd") == 0)
		rc = syscall(SYS_userfaultfd, 0);
	else if (strcmp(name, "io_uring") == 0)
		rc = syscall(SYS_io_uring_setup, 1L, NULL);
	else if (strcmp(name, "vsock") == 0)
		rc = socket(AF_VSOCK, SOCK_STREAM, 0);
	else if (strcmp(name, "tiocsti") == 0)
		rc = ioctl(STDIN_FILENO, TIOCSTI, &letter);
	else if (strcmp(name, "chmod") == 0)
		rc = chmod("file", S_ISUID | 0755);
	else if (strcmp(name, "signal") == 0)
		rc = kill((pid_t)strtol(arg, NULL, 10), 0);
	else
		return 99;
	return rc < 0 ? errno : 0;
}

static int try_out(int argc, char **argv)
{
	const char *what = argv[0], *arg = argc > 1 ? argv[1] : "";

	if (strcmp(what, "connect") == 0)
		return try_connect(arg);
	if (strcmp(what, "fork") == 0)
		return try_fork();
	if (strcmp(what, "memory") == 0)
		return try_memory();
	return try_call(what, arg);
}

/* --- the test's world ----------------------------------------------------------------------- */

struct world {
	struct event_base *base;
	char top[64], folder[96]; /* top belongs to us, folder to nobody */
	enum sandbox_fate fate;
	int status;
	char *out;
	unsigned times;
};

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->base = event_base_new();
	(void)snprintf(w->top, sizeof(w->top), "/dev/shm/guard-sandbox-XXXXXX");
	assert_non_null(mkdtemp(w->top));
	(void)snprintf(w->folder, sizeof(w->folder), "%s/in", w->top);
	assert_int_equal(mkdir(w->folder, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chmod(w->top, 0755), 0);
		assert_int_equal(chown(w->folder, NOBODY, NOBODY), 0);
	}
	*state = w;
	return 0;
}

static void remove_all(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *e;

	while (dir && (e = readdir(dir))) {
		OWNED(freep) char *path = xasprintf("%s/%s", folder, e->d_name);

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlink(path) < 0)
			remove_all(path);
	}
	if (dir)
		(void)closedir(dir);
	(void)rmdir(folder);
}

static int teardown(void **state)
{
	struct world *w = *state;

	remove_all(w->top);
	event_base_free(w->base);
	free(w->out);
	free(w);
	return 0;
}

static void on_end(const struct sandbox_end *e, void *arg)
{
	struct world *w = arg;

	w->times++;
	w->fate = e->fate;
	w->status = e->status;
	free(w->out);
	w->out = xmemdup(e->out, e->n + 1);
	(void)event_base_loopbreak(w->base);
}

static struct sandbox_options usual(const struct world *w, const char *const *argv)
{
	return (struct sandbox_options){
		.argv = argv,
		.folder = w->folder,
		.timeout_ms = PATIENCE_MS,
		.max_output = OUTPUT,
		.max_disk_bytes = INT64_C(1) << 40,
		.max_files = INT64_C(1) << 40,
		.max_file_bytes = 16 << 20,
		.max_memory_bytes = MEMORY,
		.max_processes = PROCESSES,
	};
}

static void run(struct world *w, const struct sandbox_options *o)
{
	struct timeval patience = clock_timeval(2 * PATIENCE_MS);
	struct sandbox *s;
	struct err err;

	w->times = 0;
	assert_ok(sandbox_start(w->base, o, on_end, w, &s, &err), &err);
	(void)event_base_loopexit(w->base, &patience);
	(void)event_base_dispatch(w->base);
	assert_int_equal(w->times, 1);
}

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void sh(struct world *w, const char *script)
{
	const struct sandbox_options o = usual(w, ARGV("/bin/sh", "-c", script));

	run(w, &o);
}

static int attempt(struct world *w, const char *what, const char *arg)
{
	const struct sandbox_options o = usual(w, ARGV(INSIDE, "try", what, arg));

	run(w, &o);
	assert_int_equal(w->fate, SANDBOX_EXITED);
	return w->status;
}

/* Somebody on this machine has that in its command line. */
static bool is_running(const char *word)
{
	DIR *dir = opendir("/proc");
	const struct dirent *e;
	bool found = false;

	assert_non_null(dir);
	while (!found && (e = readdir(dir))) {
		char path[300], line[4096];
		ssize_t n;
		int fd;

		(void)snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, line, sizeof(line));
		found = n > 0 && memmem(line, (size_t)n, word, strlen(word));
		(void)close(fd);
	}
	(void)closedir(dir);
	return found;
}

/* The kernel ends them right after the first of them, but not at once. */
static void nothing_is_left(const char *word)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;

	while (is_running(word)) {
		if (clock_mono_ms() > end)
			fail_msg("a process with %s in its command line is left", word);
		(void)poll(NULL, 0, 5);
	}
}

/* --- tests ---------------------------------------------------------------------------------- */

static void a_command_works_in_its_folder(void **state)
{
	struct world *w = *state;
	struct rlimit files;

	sh(w, "echo hello > file && cat file && echo there >&2 && pwd && exit 3");
	assert_int_equal(w->fate, SANDBOX_EXITED);
	assert_int_equal(w->status, 3);
	assert_non_null(strstr(w->out, "hello\nthere\n/dev/shm/"));
	/* As many files as a package manager has open at once, where this machine allows it. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	sh(w, "ulimit -n");
	assert_int_equal(strtol(w->out, NULL, 10), files.rlim_max < 4096 ? files.rlim_max : 4096);
	sh(w, "id -u; kill -9 $$");
	assert_string_equal(w->out, geteuid() == 0 ? "65534\n" : w->out);
	assert_true(w->status == 128 + SIGKILL || w->status == 256 + SIGKILL);
}

static void nothing_of_the_host_is_seen(void **state)
{
	struct world *w = *state;

	assert_int_equal(setenv("GUARD_TEST_SECRET", "hunter2", 1), 0);
	/* This one our own processes get. */
	assert_int_equal(setenv("TZ", "Mars/Olympus", 1), 0);
	sh(w, "env; cat /etc/shadow /etc/passwd; ls /root /home /work /var; ls -A ..; ls "
	      "/proc/1/root; "
	      "cat /proc/1/environ | tr '\\0' '\\n'; true");
	assert_int_equal(w->status, 0);
	assert_null(strstr(w->out, "hunter2"));
	assert_null(strstr(w->out, "Mars/Olympus"));
	assert_null(strstr(w->out, "root:"));
	assert_non_null(strstr(w->out, "/etc/shadow: No such file"));
	assert_non_null(strstr(w->out, "'/home': No such file"));
	sh(w, "ls /proc | grep -c '^[0-9]'");
	assert_true(strtol(w->out, NULL, 10) < 8);
}

static void nothing_is_written_outside(void **state)
{
	/* Some are a file of the sandbox's own, which goes with it. */
	static const struct {
		const char *path;
		bool own;
	} targets[] = {
		{ "../out", true },
		{ "link", true },
		{ "/dev/shm/out", true },
		{ "/usr/out", false },
		{ "/etc/out", false },
		{ "/out", false },
		{ "/dev/out", false },
		{ "/run/guard", false },
		{ "/proc/sys/kernel/core_pattern", false },
	};
	struct world *w = *state;
	char outside[128];

	(void)snprintf(outside, sizeof(outside), "%s/out", w->top);
	assert_int_equal(chmod(w->top, 0777), 0);
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		char script[256];

		(void)snprintf(script, sizeof(script), "ln -sf %s link; echo x > %s", outside,
			       targets[i].path);
		sh(w, script);
		assert_int_equal(w->fate, SANDBOX_EXITED);
		assert_case(targets[i].own || w->status != 0, targets[i].path);
		assert_case(access(outside, F_OK) < 0, targets[i].path);
		assert_case(access("/dev/shm/out", F_OK) < 0, targets[i].path);
	}
}

static void system_calls_that_break_out_are_refused(void **state)
{
	static const char *const calls[] = { "setresuid", "setresgid",   "ptrace",   "mount",
					     "unshare",   "clone",       "setuid",   "keyring",
					     "bpf",       "userfaultfd", "io_uring", "vsock",
					     "tiocsti",   "chmod" };
	struct world *w = *state;
	char pid[16];

	sh(w, "touch file");
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		int got = attempt(w, calls[i], "");

		if (got != EPERM)
			fail_msg("%s: %s", calls[i], strerror(got));
	}
	/* make has posix_spawn() do that before every command. */
	assert_int_equal(attempt(w, "stay", ""), 0);
	(void)snprintf(pid, sizeof(pid), "%d", getpid());
	assert_int_equal(attempt(w, "signal", pid), ESRCH);
}

static int listen_somewhere(char port[static 8])
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	(void)snprintf(port, 8, "%u", (unsigned)ntohs(at.sin_port));
	return fd;
}

static void there_is_no_network_unless_declared(void **state)
{
	struct world *w = *state;
	struct sandbox_options o;
	char port[8];
	int fd = listen_somewhere(port);

	assert_int_equal(attempt(w, "connect", port), ECONNREFUSED);
	o = usual(w, ARGV(INSIDE, "try", "connect", port));
	o.network = true;
	run(w, &o);
	assert_int_equal(w->status, 0);
	(void)close(fd);
}

static void a_fork_bomb_ends(void **state)
{
	struct world *w = *state;
	const struct sandbox_options o = {
		.argv = ARGV(INSIDE, "try", "fork", w->top),
		.folder = w->folder,
		.timeout_ms = 5000,
		.max_output = OUTPUT,
		.max_disk_bytes = INT64_C(1) << 40,
		.max_files = INT64_C(1) << 40,
		.max_file_bytes = 1 << 20,
		.max_memory_bytes = MEMORY,
		.max_processes = PROCESSES,
	};

	run(w, &o);
	assert_int_equal(w->fate, SANDBOX_LATE);
	assert_true(text_starts(w->out, "forked "));
	assert_true(strtol(w->out + 7, NULL, 10) < PROCESSES);
	nothing_is_left(w->top);
}

static void memory_ends(void **state)
{
	struct world *w = *state;
	long mib;

	if (MEMORY >> 50)
		skip();
	assert_int_equal(attempt(w, "memory", ""), 0);
	mib = strtol(w->out, NULL, 10);
	assert_true(mib > 0 && mib < MEMORY >> 20);
}

static void the_disk_is_not_filled(void **state)
{
	struct world *w = *state;
	struct sandbox_options o;

	/* One file, the sandbox's own /tmp, and many files. */
	sh(w, "head -c 17M /dev/zero > big");
	assert_int_not_equal(w->status, 0);
	sh(w, "for i in 1 2 3 4 5 6; do head -c 15M /dev/zero > /tmp/$i || exit 7; done");
	assert_int_equal(w->status, 7);
	o = usual(w, ARGV("/bin/sh", "-c",
			  "i=0; while :; do head -c 1M /dev/zero > f$i; i=$((i+1)); done"));
	o.max_disk_bytes = 8 << 20;
	run(w, &o);
	assert_int_equal(w->fate, SANDBOX_DISK);
	nothing_is_left(w->folder);
}

/* Empty files take no bytes, and no one else can make any when there are too many. */
static void nor_are_all_its_files_taken(void **state)
{
	struct world *w = *state;
	struct sandbox_options o =
		usual(w, ARGV("/bin/sh", "-c", "i=0; while :; do : >f$i; i=$((i+1)); done"));
	struct statvfs st;

	if (statvfs(w->folder, &st) < 0 || !st.f_files)
		skip();
	o.max_files = 1000;
	o.timeout_ms = 5000;
	run(w, &o);
	assert_int_equal(w->fate, SANDBOX_DISK);
	nothing_is_left(w->folder);
}

static void who_never_stops_is_stopped(void **state)
{
	struct world *w = *state;
	struct sandbox_options o = usual(w, ARGV("/usr/bin/yes", w->top));
	OWNED(freep)
	char *script = xasprintf("setsid sh -c 'while :; do sleep 1; done' %s & "
				 "echo begun; trap '' TERM; while :; do sleep 1; done",
				 w->top);

	run(w, &o);
	assert_int_equal(w->fate, SANDBOX_TALKATIVE);
	assert_true(strlen(w->out) <= OUTPUT);
	nothing_is_left(w->top);
	o = usual(w, ARGV("/bin/sh", "-c", script));
	o.timeout_ms = 3000;
	run(w, &o);
	assert_int_equal(w->fate, SANDBOX_LATE);
	assert_string_equal(w->out, "begun\n");
	nothing_is_left(w->top);
}

static void what_stays_behind_ends_with_the_command(void **state)
{
	struct world *w = *state;
	OWNED(freep)
	char *script = xasprintf("setsid sh -c 'while :; do sleep 1; done' %s & exit 0", w->top);

	sh(w, script);
	assert_int_equal(w->fate, SANDBOX_EXITED);
	nothing_is_left(w->top);
}

static void one_that_was_cancelled_is_not_heard_of(void **state)
{
	struct world *w = *state;
	const struct sandbox_options o = usual(w, ARGV("/usr/bin/yes", w->top));
	struct sandbox *s;
	struct err err;

	assert_ok(sandbox_start(w->base, &o, on_end, w, &s, &err), &err);
	(void)event_base_loop(w->base, EVLOOP_ONCE);
	sandbox_cancel(s);
	nothing_is_left(w->top);
	assert_int_equal(w->times, 0);
}

static void root_runs_nothing(void **state)
{
	struct world *w = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(w->folder, 0, 0), 0);
	sh(w, "echo ran");
	assert_int_equal(w->fate, SANDBOX_UNAVAILABLE);
	assert_non_null(strstr(w->out, "never run as root"));
}

static void where_a_part_is_missing_nothing_runs(void **state)
{
	struct world *w = *state;
	struct sandbox_options o = usual(w, ARGV("/bin/echo", "ran"));

	o.folder = "/dev/shm/guard-is-not-there";
	run(w, &o);
	assert_int_equal(w->fate, SANDBOX_UNAVAILABLE);
	assert_null(strstr(w->out, "ran\n"));
	assert_true(*w->out);
}

static bool sandbox_is_there(void)
{
	void *state;
	struct world *w;
	bool there;

	(void)setup(&state);
	w = state;
	sh(w, "true");
	there = w->fate == SANDBOX_EXITED && w->status == 0;
	if (!there)
		printf("skipped: %s: %s\n", sandbox_fate_name(w->fate), w->out);
	(void)teardown(&state);
	return there;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_command_works_in_its_folder),
		T(nothing_of_the_host_is_seen),
		T(nothing_is_written_outside),
		T(system_calls_that_break_out_are_refused),
		T(there_is_no_network_unless_declared),
		T(a_fork_bomb_ends),
		T(memory_ends),
		T(the_disk_is_not_filled),
		T(nor_are_all_its_files_taken),
		T(who_never_stops_is_stopped),
		T(what_stays_behind_ends_with_the_command),
		T(one_that_was_cancelled_is_not_heard_of),
		T(root_runs_nothing),
		T(where_a_part_is_missing_nothing_runs),
#undef T
	};

	if (argc > 1 && strcmp(argv[1], SANDBOX_STAGE) == 0)
		return sandbox_stage_main(argc - 1, argv + 1);
	if (argc > 2 && strcmp(argv[1], "try") == 0)
		_exit(try_out(argc - 2, argv + 2)); /* no search for leaks: that takes ptrace */
	if (!sandbox_is_there())
		return SKIP;
	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}

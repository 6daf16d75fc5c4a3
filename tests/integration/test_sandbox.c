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
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/resolve.h"
#include "core/text.h"
#include "healers/sandbox.h"
#include "tests/unit/fake_http.h"
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

static struct sockaddr_in address(const char *ip, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };

	(void)inet_pton(AF_INET, ip, &to.sin_addr);
	return to;
}

static int try_connect(const char *ip, const char *port)
{
	struct sockaddr_in to = address(ip, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 ? 0 : errno;
}

/* Says that to the proxy, and prints what it answers until it closes. */
static int try_ask(const char *request)
{
	struct sockaddr_in to = address("127.0.0.1", "3128");
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char answer[4096];
	ssize_t n;

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return errno;
	if (write(fd, request, strlen(request)) < 0)
		return errno;
	while ((n = read(fd, answer, sizeof(answer))) > 0)
		(void)!write(STDOUT_FILENO, answer, (size_t)n);
	return n < 0 ? errno : 0;
}

/* One that was connected asks, and one that was answered stays open. */
static unsigned step(struct pollfd *p, const char *request)
{
	if (p->revents & POLLOUT) {
		(void)!send(p->fd, request, strlen(request), MSG_NOSIGNAL);
		p->events = POLLIN;
		return 0;
	}
	if (p->revents)
		p->fd = -1;
	return p->revents != 0;
}

/* As many connections as there can be, each with a question, until no more is answered. */
static int try_flood(const char *request)
{
	enum { MANY = 150, WAIT_MS = 2000 };
	struct sockaddr_in to = address("127.0.0.1", "3128");
	struct pollfd fds[MANY];
	unsigned answered = 0;

	for (unsigned i = 0; i < MANY; i++) {
		fds[i] = (struct pollfd){ socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), POLLOUT,
					  0 };
		if (connect(fds[i].fd, (struct sockaddr *)&to, sizeof(to)) < 0 &&
		    errno != EINPROGRESS)
			return errno;
	}
	while (poll(fds, MANY, WAIT_MS) > 0)
		for (unsigned i = 0; i < MANY; i++)
			answered += step(&fds[i], request);
	printf("%u\n", answered);
	(void)fflush(stdout);
	return 0;
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
		return try_connect("127.0.0.1", arg);
	if (strcmp(what, "reach") == 0)
		return try_connect(arg, "80");
	if (strcmp(what, "ask") == 0)
		return try_ask(arg);
	if (strcmp(what, "flood") == 0)
		return try_flood(arg);
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
	char *out, *refused;
	unsigned times;
	struct fake_http *server;
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
	if (w->server)
		fake_http_free(w->server);
	event_base_free(w->base);
	free(w->out);
	free(w->refused);
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
	free(w->refused);
	w->refused = xstrdup(e->refused);
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

/* --- the network ---------------------------------------------------------------------------- */

static void on_request(struct fake_request *r, void *arg)
{
	char there[128];

	UNUSED(arg);
	if (text_starts(r->path, "/away")) {
		(void)snprintf(there, sizeof(there), "Location: http://127.0.0.1:%u/\r\n",
			       fake_http_port(r->server) + 1);
		fake_http_reply(r, 302, there, "");
	} else if (strcmp(r->path, "/silent") != 0) {
		fake_http_reply(r, 200, "", "served");
	}
	r->close = true;
}

/* Ours, on the loopback of this machine. */
static const char *serve(struct world *w, fake_http_fn *fn)
{
	static char at[32];

	w->server = fake_http_new(w->base, fn, NULL);
	(void)snprintf(at, sizeof(at), "127.0.0.1:%d", fake_http_port(w->server));
	return at;
}

static void run_with_network(struct world *w, const struct sandbox_network *network,
			     const char *const *argv)
{
	struct sandbox_options o = usual(w, argv);

	o.network = network;
	run(w, &o);
}

static void ask(struct world *w, const struct sandbox_network *network, const char *request)
{
	run_with_network(w, network, ARGV(INSIDE, "try", "ask", request));
	assert_int_equal(w->fate, SANDBOX_EXITED);
}

enum { ENOUGH = 1 << 20 };

/* With the network as without: what is in there has no way but the proxy. */
static void no_address_is_reached_from_inside(void **state)
{
	static const struct sandbox_network network = { .max_bytes = ENOUGH };
	static const char *const far[] = { "169.254.169.254", "10.0.0.1", "192.168.0.1",
					   "192.0.2.1" };
	struct world *w = *state;
	const char *port = strchr(serve(w, on_request), ':') + 1;

	assert_int_equal(attempt(w, "connect", port), ECONNREFUSED);
	assert_int_equal(attempt(w, "connect", "3128"), ECONNREFUSED);
	run_with_network(w, &network, ARGV(INSIDE, "try", "connect", port));
	assert_int_equal(w->status, ECONNREFUSED);
	for (size_t i = 0; i < ARRAY_LEN(far); i++) {
		assert_int_equal(attempt(w, "reach", far[i]), ENETUNREACH);
		run_with_network(w, &network, ARGV(INSIDE, "try", "reach", far[i]));
		assert_int_equal(w->status, ENETUNREACH);
	}
	/* No name is looked up in there either. */
	run_with_network(w, &network, ARGV("/usr/bin/getent", "hosts", "localhost.example.org"));
	assert_int_equal(w->status, 2);
	assert_int_equal(fake_http_connections(w->server), 0);
}

static void the_proxy_leads_where_it_may(void **state)
{
	struct world *w = *state;
	const char *at = serve(w, on_request);
	const struct sandbox_network network = { .inside = at, .max_bytes = ENOUGH };
	OWNED(freep) char *get = xasprintf("GET http://%s/ HTTP/1.1\r\n\r\n", at);
	OWNED(freep)
	char *tunnel = xasprintf("CONNECT %s HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", at);

	ask(w, &network, get);
	assert_non_null(strstr(w->out, "HTTP/1.1 200 Said\r\n"));
	assert_non_null(strstr(w->out, "served"));
	ask(w, &network, tunnel);
	assert_non_null(strstr(w->out, "HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200"));
	assert_string_equal(w->refused, "");
}

/* Answers every question for an address with the same one. */
struct name_server {
	int fd;
	struct event *event;
	unsigned char ip[4];
};

static void on_question(evutil_socket_t fd, short what, void *arg)
{
	const struct name_server *s = arg;
	unsigned char m[512];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, m, sizeof(m) - 16, 0, (struct sockaddr *)&from, &len), end;
	const unsigned char head[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4 };

	UNUSED(what);
	if (n < 17)
		return;
	for (end = 12; end < n - 5 && m[end]; end += m[end] + 1)
		continue;
	end += 5;
	m[2] = 0x81;
	m[3] = 0x80;
	m[7] = m[end - 3] == 1; /* A; of AAAA there is none */
	m[9] = m[11] = 0;
	if (m[7]) {
		memcpy(m + end, head, sizeof(head));
		memcpy(m + end + sizeof(head), s->ip, sizeof(s->ip));
		end += sizeof(head) + sizeof(s->ip);
	}
	(void)sendto(fd, m, (size_t)end, 0, (struct sockaddr *)&from, len);
}

static void answer_names(struct world *w, struct name_server *s, const char *ip)
{
	struct sockaddr_in at = address("127.0.0.1", "0");
	static char where[32];
	socklen_t n = sizeof(at);

	assert_int_equal(inet_pton(AF_INET, ip, s->ip), 1);
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &n), 0);
	(void)snprintf(where, sizeof(where), "127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
	resolve_ask(where);
	s->event = event_new(w->base, s->fd, EV_READ | EV_PERSIST, on_question, s);
	assert_int_equal(event_add(s->event, NULL), 0);
}

static void stop_answering(struct name_server *s)
{
	resolve_ask(NULL);
	event_free(s->event);
	(void)close(s->fd);
}

/* Whatever they resolve to, no connection is made: nothing leaves this machine. */
static void what_is_not_public_is_refused(void **state)
{
	static const struct {
		const char *to, *ip, *why;
	} rows[] = {
		{ "169.254.169.254:80", "0.0.0.0", "169.254.169.254 is link-local" },
		{ "10.0.0.1:443", "0.0.0.0", "10.0.0.1 is private" },
		{ "127.0.0.1:8080", "0.0.0.0", "127.0.0.1 is loopback" },
		{ "localhost:8080", "0.0.0.0", "localhost is loopback" },
		{ "2130706433:8080", "0.0.0.0", "is loopback" },
		{ "0x7f.1:8080", "0.0.0.0", "is loopback" },
		{ "[::1]:8080", "0.0.0.0", "[::1] is loopback" },
		{ "[::ffff:10.0.0.1]:8080", "0.0.0.0", "is private" },
		{ "[fd00:ec2::254]:80", "0.0.0.0", "is private" },
		{ "localhost.:8080", "127.0.0.1", "that is loopback" },
		{ "registry.example.org:443", "10.1.2.3", "address that is private" },
		{ "registry.example.org:443", "169.254.169.254", "address that is link-local" },
		{ "registry.example.org:443", "0.0.0.0", "address that is unspecified" },
		{ "registry.example.org:22", "10.1.2.3", "is no port of a web server" },
		{ "ann:secret@registry.example.org:443", "10.1.2.3", "holds a user name" },
	};
	static const struct sandbox_network network = { .max_bytes = ENOUGH };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(freep) char *get = xasprintf("GET http://%s/ HTTP/1.1\r\n\r\n", rows[i].to);
		OWNED(freep) char *tunnel = xasprintf("CONNECT %s HTTP/1.1\r\n\r\n", rows[i].to);
		struct name_server names;

		answer_names(w, &names, rows[i].ip);
		ask(w, &network, get);
		assert_case(strstr(w->out, "HTTP/1.1 403 "), rows[i].to);
		assert_case(strstr(w->refused, rows[i].why), w->refused);
		ask(w, &network, tunnel);
		assert_case(strstr(w->out, "HTTP/1.1 403 "), rows[i].to);
		assert_case(strstr(w->refused, rows[i].why), w->refused);
		stop_answering(&names);
	}
}

static void a_list_of_hosts_is_kept_to(void **state)
{
	static const struct {
		const char *hosts, *to;
		bool may;
	} rows[] = {
		/* To be allowed means: looked up, and the address found to be inside. */
		{ "", "a.example.org:443", true },
		{ "a.example.org", "a.example.org:443", true },
		{ "a.example.org", "A.EXAMPLE.org:80", true },
		{ "a.example.org", "a.example.org:8080", false },
		{ "a.example.org:8080", "a.example.org:8080", true },
		{ "a.example.org:8080", "a.example.org:443", false },
		{ "x.org, *.example.org", "a.example.org:443", true },
		{ "x.org,*.example.org", "b.a.example.org:443", true },
		{ "*.example.org", "example.org:443", false },
		{ "*.example.org", "badexample.org:443", false },
		{ "example.org", "a.example.org:443", false },
		{ "example.org", "example.org.evil.org:443", false },
	};
	struct world *w = *state;
	struct name_server names;

	answer_names(w, &names, "10.0.0.1");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct sandbox_network network = { .hosts = rows[i].hosts,
							 .max_bytes = ENOUGH };
		OWNED(freep) char *tunnel = xasprintf("CONNECT %s HTTP/1.1\r\n\r\n", rows[i].to);

		ask(w, &network, tunnel);
		assert_case(strstr(w->refused, rows[i].may ? "has an address that is private"
							   : "is not on the list"),
			    rows[i].to);
	}
	stop_answering(&names);
}

/* Whoever is allowed cannot send it on to who is not. */
static void nor_does_a_redirect_lead_inside(void **state)
{
	struct world *w = *state;
	const char *at = serve(w, on_request);
	const struct sandbox_network network = { .inside = at, .max_bytes = ENOUGH };
	OWNED(freep) char *url = xasprintf("http://%s/away", at);

	if (access("/usr/bin/curl", X_OK) < 0)
		skip();
	run_with_network(w, &network, ARGV("/usr/bin/curl", "-sS", "-L", url));
	assert_int_equal(fake_http_requests(w->server), 1);
	assert_non_null(strstr(w->out, "127.0.0.1 is loopback"));
	assert_string_equal(w->refused, "127.0.0.1 is loopback");
}

static void on_any(struct fake_request *r, void *arg)
{
	UNUSED(arg);
	fake_http_reply(r, 404, "", "");
	r->close = true;
}

/* Each has its own idea of how to be told. What reaches the server came over the proxy. */
static void package_managers_ask_the_proxy(void **state)
{
	static const struct {
		const char *program, *script; /* $0: the registry's address */
	} rows[] = {
		{ "/usr/bin/curl", "curl -s $0" },
		{ "/usr/bin/git", "git ls-remote $0/b.git" },
		{ "/usr/bin/npm", "npm view b --registry $0 --fetch-retries=0" },
		{ "/usr/bin/pnpm", "pnpm view b --registry $0 --fetch-retries=0" },
		{ "/usr/bin/yarnpkg", "yarnpkg info b --registry $0" },
		{ "/usr/bin/pip3", "pip3 download --retries 0 --trusted-host registry.example.org "
				   "--index-url $0 b" },
		{ "/usr/bin/go",
		  "GOFLAGS=-mod=mod GONOSUMDB=* GOPROXY=$0 GOCACHE=/tmp/c GOPATH=/tmp/g "
		  "go mod download b.example.org/b@v1.0.0" },
		{ "/usr/bin/cargo",
		  "printf '[package]\nname = \"a\"\nversion = \"1.0.0\"\n[lib]\npath = \"a.rs\"\n"
		  "[dependencies]\nb = { git = \"%s/b.git\" }\n' $0 >Cargo.toml; touch a.rs; "
		  "cargo generate-lockfile" },
		{ "/usr/bin/bundle", "printf 'source \"%s\"\ngem \"b\"\n' $0 >Gemfile; "
				     "bundle lock --retry 0" },
		{ "/usr/bin/composer",
		  "printf '{\"repositories\": [{\"type\": \"composer\", \"url\": \"%s\"}], "
		  "\"config\": {\"secure-http\": false}, \"require\": {\"b/b\": \"1.0\"}}' "
		  "$0 >composer.json; composer update --no-install --no-plugins" },
		{ "/usr/bin/poetry",
		  "printf '[tool.poetry]\nname = \"a\"\nversion = \"1.0.0\"\ndescription = \"\"\n"
		  "authors = []\n[tool.poetry.dependencies]\npython = \"*\"\nb = \"1.0\"\n"
		  "[[tool.poetry.source]]\nname = \"r\"\nurl = \"%s\"\ndefault = true\n' "
		  "$0 >pyproject.toml; PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring "
		  "poetry lock --no-interaction" },
	};
	struct world *w = *state;
	const char *port = strchr(serve(w, on_any), ':') + 1;
	OWNED(freep) char *at = xasprintf("registry.example.org:%s", port);
	OWNED(freep) char *url = xasprintf("http://%s", at);
	const struct sandbox_network network = { .inside = at, .max_bytes = ENOUGH };
	struct name_server names;

	answer_names(w, &names, "127.0.0.1");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned before = fake_http_requests(w->server);
		struct sandbox_options o = usual(w, ARGV("/bin/sh", "-c", rows[i].script, url));

		if (access(rows[i].program, X_OK) < 0) {
			printf("skipped: %s is not installed\n", rows[i].program);
			continue;
		}
		o.network = &network;
		o.max_memory_bytes = INT64_C(1) << 60;
		o.max_processes = 128;
		run(w, &o);
		if (fake_http_requests(w->server) == before)
			fail_msg("%s did not ask the proxy: %s: %s", rows[i].program,
				 sandbox_fate_name(w->fate), w->out);
		printf("%s asked the proxy\n", rows[i].program);
	}
	stop_answering(&names);
}

static void a_flood_of_connections_is_bounded(void **state)
{
	struct world *w = *state;
	const char *at = serve(w, on_request);
	const struct sandbox_network network = { .inside = at, .max_bytes = ENOUGH };
	OWNED(freep) char *get = xasprintf("GET http://%s/ HTTP/1.1\r\n\r\n", at);
	OWNED(freep) char *silent = xasprintf("CONNECT %s HTTP/1.1\r\n\r\n", at);

	/* Those that end make room. */
	run_with_network(w, &network, ARGV(INSIDE, "try", "flood", get));
	assert_string_equal(w->out, "150\n");
	run_with_network(w, &network, ARGV(INSIDE, "try", "flood", silent));
	assert_in_range(strtoul(w->out, NULL, 10), 1, 64);
}

static void on_endless(struct fake_request *r, void *arg)
{
	static const char much[64 << 10];

	UNUSED(arg);
	for (int i = 0; i < 1000; i++)
		fake_http_send(r, much, sizeof(much));
}

static void an_endless_answer_is_cut_off(void **state)
{
	struct world *w = *state;
	const char *at = serve(w, on_endless);
	const struct sandbox_network network = { .inside = at, .max_bytes = OUTPUT / 2 };
	OWNED(freep) char *get = xasprintf("GET http://%s/ HTTP/1.1\r\n\r\n", at);

	ask(w, &network, get);
	assert_string_equal(w->refused, "more than 32768 bytes");
	assert_true(strlen(w->out) <= OUTPUT / 2);
}

/* Role of a process that is killed while its command runs. */
static int hold(const char *folder, const char *word)
{
	static const struct sandbox_network network = { .max_bytes = ENOUGH };
	OWNED(freep)
	char *script = xasprintf("touch begun; while :; do sleep 1; done # %s", word);
	struct event_base *base = event_base_new();
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct world w = { .base = base };
	struct sandbox_options o;
	struct sandbox *s;
	struct err err;

	(void)snprintf(w.folder, sizeof(w.folder), "%s", folder);
	o = usual(&w, argv);
	o.network = &network;
	if (sandbox_start(base, &o, on_end, &w, &s, &err) < 0)
		return 1;
	(void)event_base_dispatch(base);
	return 0;
}

static void nothing_is_left_of_one_that_was_killed(void **state)
{
	struct world *w = *state;
	int64_t end = clock_mono_ms() + PATIENCE_MS;
	char begun[128], self[PATH_MAX];
	pid_t pid = fork();

	if (pid == 0) {
		ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

		self[n > 0 ? n : 0] = '\0';
		(void)execl(self, self, "hold", w->folder, w->top, (char *)NULL);
		_exit(1);
	}
	(void)snprintf(begun, sizeof(begun), "%s/begun", w->folder);
	while (access(begun, F_OK) < 0) {
		assert_true(clock_mono_ms() < end);
		(void)poll(NULL, 0, 5);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	nothing_is_left(w->top);
}

/* --- limits ---------------------------------------------------------------------------------- */

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
		T(no_address_is_reached_from_inside),
		T(the_proxy_leads_where_it_may),
		T(what_is_not_public_is_refused),
		T(a_list_of_hosts_is_kept_to),
		T(nor_does_a_redirect_lead_inside),
		T(package_managers_ask_the_proxy),
		T(a_flood_of_connections_is_bounded),
		T(an_endless_answer_is_cut_off),
		T(nothing_is_left_of_one_that_was_killed),
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
	if (argc > 3 && strcmp(argv[1], "hold") == 0)
		return hold(argv[2], argv[3]);
	if (!sandbox_is_there())
		return SKIP;
	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}

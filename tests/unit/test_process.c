#include "core/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* --- what the service manager is told ---------------------------------------------------- */

/* A manager's socket; path[0] '@': an abstract name. */
static int manager(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	size_t n = strlen(path);

	assert_true(fd >= 0 && n < sizeof(un.sun_path));
	memcpy(un.sun_path, path, n);
	if (path[0] == '@')
		un.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&un,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
			 0);
	return fd;
}

static void is_told(const char *path)
{
	char got[64] = "";
	int fd = manager(path);

	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	process_notify("READY=1");
	assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), strlen("READY=1"));
	assert_string_equal(got, "READY=1");
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	(void)close(fd);
}

static void tells_a_socket_with_a_name(void **state)
{
	char folder[] = "/tmp/guard-notify-XXXXXX", path[64];

	UNUSED(state);
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/notify", folder);
	is_told(path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void tells_an_abstract_socket(void **state)
{
	char path[64];

	UNUSED(state);
	(void)snprintf(path, sizeof(path), "@guard-notify-%d", (int)getpid());
	is_told(path);
}

/* None of these is a reason to fail, or to leave a descriptor open. */
static void a_manager_that_is_not_there_is_no_failure(void **state)
{
	static char too_long[200];
	const char *const paths[] = { NULL,     "",         "/",
				      "@",      "relative", "/nonexistent/notify",
				      too_long, "/dev/null" };
	int before = dup(0), after;

	UNUSED(state);
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[0] = '/';
	(void)close(before);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		if (paths[i])
			assert_int_equal(setenv("NOTIFY_SOCKET", paths[i], 1), 0);
		process_notify("READY=1");
		(void)unsetenv("NOTIFY_SOCKET");
	}
	after = dup(0);
	(void)close(after);
	assert_int_equal(after, before);
}

/* --- sockets that were opened for us ------------------------------------------------------- */

static void says_how_many_sockets_it_got(void **state)
{
	static const struct {
		const char *why, *pid, *fds;
		unsigned n;
	} rows[] = {
		{ "two for us", "ME", "2", 2 },
		{ "none", "ME", "0", 0 },
		{ "for another process: it was started by one that got them", "1", "2", 0 },
		{ "nobody says for whom", NULL, "2", 0 },
		{ "nobody says how many", "ME", NULL, 0 },
		{ "a count that is none", "ME", "two", 0 },
		{ "a negative count", "ME", "-1", 0 },
		{ "more than anybody has", "ME", "4294967299", 0 },
		{ "a pid that is none", "me", "2", 0 },
	};
	char me[24];

	UNUSED(state);
	(void)snprintf(me, sizeof(me), "%d", (int)getpid());
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool mine = rows[i].pid && strcmp(rows[i].pid, "ME") == 0;

		(void)unsetenv("LISTEN_PID");
		(void)unsetenv("LISTEN_FDS");
		if (rows[i].pid)
			(void)setenv("LISTEN_PID", mine ? me : rows[i].pid, 1);
		if (rows[i].fds)
			(void)setenv("LISTEN_FDS", rows[i].fds, 1);
		assert_case(process_listen_fds() == rows[i].n, rows[i].why);
		if (rows[i].n)
			assert_case(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID"), rows[i].why);
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
}

/* In a process of its own, for descriptor 3 may be in use here. */
static void children_do_not_inherit_them(void **state)
{
	int status;
	pid_t pid = fork();

	UNUSED(state);
	if (pid == 0) {
		char me[24];

		(void)snprintf(me, sizeof(me), "%d", (int)getpid());
		(void)dup2(0, PROCESS_LISTEN_FD);
		(void)dup2(0, PROCESS_LISTEN_FD + 1);
		(void)setenv("LISTEN_PID", me, 1);
		(void)setenv("LISTEN_FDS", "2", 1);
		(void)setenv("LISTEN_FDNAMES", "a:b", 1);
		_exit(process_listen_fds() == 2 && !getenv("LISTEN_FDNAMES") &&
				      fcntl(PROCESS_LISTEN_FD, F_GETFD) == FD_CLOEXEC &&
				      fcntl(PROCESS_LISTEN_FD + 1, F_GETFD) == FD_CLOEXEC
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void lets_it_have_the_descriptors_it_may_have(void **state)
{
	int status;
	pid_t pid = fork();

	UNUSED(state);
	if (pid == 0) {
		struct rlimit want = { .rlim_cur = 50, .rlim_max = 200 };

		if (setrlimit(RLIMIT_NOFILE, &want) < 0)
			_exit(2);
		process_daemon();
		_exit(process_files_max() == 200 && getrlimit(RLIMIT_NOFILE, &want) == 0 &&
				      want.rlim_cur == 200
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_a_socket_with_a_name),
		cmocka_unit_test(tells_an_abstract_socket),
		cmocka_unit_test(a_manager_that_is_not_there_is_no_failure),
		cmocka_unit_test(says_how_many_sockets_it_got),
		cmocka_unit_test(children_do_not_inherit_them),
		cmocka_unit_test(lets_it_have_the_descriptors_it_may_have),
	};

	return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}

/* A server that says what the test wants; a real one is in tests/integration/test_redis.c. */
#include "core/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "tests/unit/unit.h"

enum { DEADLINE_MS = 10000, PATIENT = 60000 };

struct fixture {
	struct event_base *base;
	struct redis *r;
	char dir[40], path[60], url[80];
	int listener, peer;
	unsigned accepted;
	struct buf got;  /* what the server read from this peer */
	struct buf seen; /* "NAME=REPLY\n" per callback */
	struct buf states;
};

/* One command and what came of it. */
struct ask {
	struct fixture *f;
	const char *name;
	bool frees;
};

static void on_reply(const struct redisReply *reply, void *arg)
{
	const struct ask *ask = arg;

	buf_printf(&ask->f->seen, "%s=%s\n", ask->name,
		   !reply                       ? "(none)"
		   : redis_str(reply)           ? redis_str(reply)
		   : redis_len(reply)           ? "(array)"
		   : redis_int(reply, -1) == -1 ? "(other)"
						: "(integer)");
	if (ask->frees) {
		redis_free(ask->f->r);
		ask->f->r = NULL;
	}
}

static void on_state(bool up, void *arg)
{
	struct fixture *f = arg;

	buf_puts(&f->states, up ? "up " : "down ");
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/guard-redis-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	(void)snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	(void)snprintf(f->url, sizeof(f->url), "unix://%s", f->path);
	memcpy(un.sun_path, f->path, strlen(f->path) + 1);
	f->peer = -1;
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&un, sizeof(un)) < 0 ||
	    listen(f->listener, 16) < 0)
		return -1;
	f->base = event_base_new();
	buf_init(&f->got, 4 << 20);
	buf_init(&f->seen, 1 << 20);
	buf_init(&f->states, 4096);
	*state = f;
	return f->base ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	redis_free(f->r);
	event_base_free(f->base);
	if (f->peer >= 0)
		(void)close(f->peer);
	if (f->listener >= 0)
		(void)close(f->listener);
	(void)unlink(f->path);
	(void)rmdir(f->dir);
	buf_done(&f->got);
	buf_done(&f->seen);
	buf_done(&f->states);
	free(f);
	return 0;
}

static void open_redis(struct fixture *f, int64_t timeout_ms)
{
	struct err err = { 0 };

	assert_ok(redis_new(f->base, f->url, timeout_ms, &f->r, &err), &err);
	redis_on_state(f->r, on_state, f);
}

/* One look at the loop and at the server's end. */
static void spin(struct fixture *f)
{
	struct timeval tv = { .tv_usec = 2000 };
	char data[8192];
	ssize_t n;

	(void)event_base_loopexit(f->base, &tv);
	(void)event_base_loop(f->base, EVLOOP_ONCE);
	while (f->peer >= 0 && (n = recv(f->peer, data, sizeof(data), MSG_DONTWAIT)) > 0)
		buf_append(&f->got, data, (size_t)n);
}

#define WAIT_FOR(f, cond)                                          \
	do {                                                       \
		int64_t end_ = clock_mono_ms() + DEADLINE_MS;      \
		while (!(cond)) {                                  \
			if (clock_mono_ms() > end_)                \
				fail_msg("in vain for %s", #cond); \
			spin(f);                                   \
		}                                                  \
	} while (0)

static bool try_accept(struct fixture *f)
{
	int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return false;
	if (f->peer >= 0)
		(void)close(f->peer);
	f->peer = fd;
	f->accepted++;
	buf_reset(&f->got);
	return true;
}

static void connected(struct fixture *f)
{
	WAIT_FOR(f, try_accept(f));
	WAIT_FOR(f, redis_connected(f->r));
}

static void hang_up(struct fixture *f)
{
	(void)close(f->peer);
	f->peer = -1;
}

static void say(struct fixture *f, const char *text)
{
	assert_int_equal(send(f->peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

#define assert_seen(f, text)                                       \
	do {                                                       \
		WAIT_FOR(f, (f)->seen.len >= strlen(text));        \
		spin(f);                                           \
		assert_string_equal(buf_text(&(f)->seen), (text)); \
	} while (0)

static void understands_urls(void **state)
{
	static const struct {
		const char *why, *url, *says; /* NULL: fine */
	} rows[] = {
		{ "socket", "unix:///run/redis.sock", NULL },
		{ "a relative socket", "unix://sock", NULL },
		{ "host", "redis://localhost", NULL },
		{ "host and slash", "redis://localhost/", NULL },
		{ "port", "redis://localhost:1", NULL },
		{ "the last port", "redis://localhost:65535", NULL },
		{ "database", "redis://localhost/3", NULL },
		{ "everything", "redis://user:p@ss:word@localhost:6380/15", NULL },
		{ "password without user", "redis://:secret@localhost", NULL },

		{ "nothing", "", "expected unix:///path" },
		{ "TLS is not there yet", "rediss://localhost", "expected unix:///path" },
		{ "no scheme", "localhost:6379", "expected unix:///path" },
		{ "no host", "redis://", "no host" },
		{ "no host but a port", "redis://:6379", "no host" },
		{ "port 0", "redis://localhost:0", "bad port" },
		{ "a port too large", "redis://localhost:65536", "bad port" },
		{ "an empty port", "redis://localhost:", "bad port" },
		{ "a port that is none", "redis://localhost:six", "bad port" },
		{ "a database that is none", "redis://localhost/x", "bad database" },
		{ "a database too large", "redis://localhost/10001", "bad database" },
		{ "a user without a password", "redis://hunter2@localhost", "user:password@" },
		{ "an IPv6 address", "redis://[::1]:6379", "host name for IPv6" },
		{ "no path", "unix://", "1 to 107 bytes" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(redis_freep) struct redis *r = NULL;
		struct err err = { 0 };
		int rc = redis_new(f->base, rows[i].url, PATIENT, &r, &err);

		assert_case(rc == (rows[i].says ? -1 : 0), rows[i].why);
		if (rows[i].says) {
			assert_case(err.kind == ERR_CONFIG, rows[i].why);
			assert_case(strstr(err.msg, rows[i].says) != NULL, err.msg);
			assert_case(!strstr(err.msg, "hunter2"), err.msg);
		}
	}
}

static void a_socket_path_is_as_long_as_the_system_allows(void **state)
{
	struct fixture *f = *state;

	for (size_t len = 107; len <= 108; len++) {
		OWNED(redis_freep) struct redis *r = NULL;
		char url[128] = "unix://";
		struct err err = { 0 };

		memset(url + 7, 'x', len);
		assert_int_equal(redis_new(f->base, url, PATIENT, &r, &err), len == 107 ? 0 : -1);
	}
}

static void replies_come_in_the_order_of_the_commands(void **state)
{
	static const char replies[] =
		"+A\r\n-ERR no\r\n$3\r\nccc\r\n:4\r\n*1\r\n$1\r\nx\r\n$-1\r\n";
	static const char *const names[] = { "a", "b", "c", "d", "e", "f" };
	struct fixture *f = *state;
	struct ask asks[ARRAY_LEN(names)];

	open_redis(f, PATIENT);
	connected(f);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		asks[i] = (struct ask){ f, names[i], false };
		redis_send_args(f->r, on_reply, &asks[i], "ECHO", names[i], NULL);
	}
	WAIT_FOR(f, f->got.len >= 6 * strlen("*2\r\n$4\r\nECHO\r\n$1\r\na\r\n"));
	/* Byte by byte: a reply is whole or it is not there. */
	for (const char *s = replies; *s; s++) {
		char one[2] = { *s, '\0' };

		say(f, one);
		spin(f);
	}
	assert_seen(f, "a=A\nb=ERR no\nc=ccc\nd=(integer)\ne=(array)\nf=(other)\n");
	assert_string_equal(buf_text(&f->states), "up ");
}

static void the_commands_of_one_turn_leave_together(void **state)
{
	struct fixture *f = *state;
	char data[4096];
	ssize_t n;

	open_redis(f, PATIENT);
	connected(f);
	for (int i = 0; i < 10; i++)
		redis_send_args(f->r, NULL, NULL, "PING", NULL);
	/* Nothing is written from within; then all of it at once. */
	assert_int_equal(recv(f->peer, data, sizeof(data), MSG_DONTWAIT), -1);
	do {
		(void)event_base_loop(f->base, EVLOOP_ONCE);
		n = recv(f->peer, data, sizeof(data), MSG_DONTWAIT);
	} while (n < 0);
	assert_int_equal(n, 10 * strlen("*1\r\n$4\r\nPING\r\n"));
}

static void arguments_may_hold_any_bytes(void **state)
{
	struct fixture *f = *state;
	struct redis_cmd cmd;

	open_redis(f, PATIENT);
	connected(f);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "SET");
	redis_arg_n(&cmd, "a\0\r\n", 4);
	redis_arg(&cmd, NULL);
	redis_arg_i64(&cmd, INT64_MIN);
	redis_send(f->r, &cmd, NULL, NULL);
	WAIT_FOR(f, f->got.len >= 56);
	assert_memory_equal(
		f->got.data,
		"*4\r\n$3\r\nSET\r\n$4\r\na\0\r\n\r\n$0\r\n\r\n$20\r\n-9223372036854775808"
		"\r\n",
		f->got.len);
}

/* After a failover the old master goes on answering, and would for ever. */
static void a_server_that_turned_read_only_is_left(void **state)
{
	struct fixture *f = *state;
	struct ask a = { f, "a", false }, b = { f, "b", false };

	open_redis(f, PATIENT);
	connected(f);
	redis_send_args(f->r, on_reply, &a, "SET", "k", "v", NULL);
	redis_send_args(f->r, on_reply, &b, "SET", "k", "v", NULL);
	WAIT_FOR(f, f->got.len >= 2 * strlen("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"));
	say(f, "-READONLY You can't write against a read only replica.\r\n");
	assert_seen(f, "a=READONLY You can't write against a read only replica.\nb=(none)\n");
	assert_string_equal(redis_problem(f->r), "the server turned read-only");
	connected(f);
	assert_string_equal(buf_text(&f->states), "up down up ");
}

static void a_lost_connection_answers_everything_once_with_nothing(void **state)
{
	struct fixture *f = *state;
	struct ask a = { f, "a", false }, b = { f, "b", false }, c = { f, "c", false };

	open_redis(f, PATIENT);
	connected(f);
	redis_send_args(f->r, on_reply, &a, "PING", NULL);
	redis_send_args(f->r, on_reply, &b, "PING", NULL);
	redis_send_args(f->r, NULL, NULL, "PING", NULL);
	WAIT_FOR(f, f->got.len >= 30);
	say(f, "+A\r\n$10\r\nhalf");
	hang_up(f);
	assert_seen(f, "a=A\nb=(none)\n");
	assert_false(redis_connected(f->r));
	assert_string_equal(buf_text(&f->states), "up down ");
	assert_string_equal(redis_problem(f->r), "closed by the server");
	/* Half a reply of the old connection is not the start of one on the new. */
	connected(f);
	redis_send_args(f->r, on_reply, &c, "PING", NULL);
	WAIT_FOR(f, f->got.len >= 14);
	say(f, "+C\r\n");
	assert_seen(f, "a=A\nb=(none)\nc=C\n");
	assert_string_equal(buf_text(&f->states), "up down up ");
}

static void while_down_a_command_is_refused_in_the_next_turn(void **state)
{
	struct fixture *f = *state;
	struct ask a = { f, "a", false }, b = { f, "b", false };

	open_redis(f, PATIENT);
	redis_send_args(f->r, on_reply, &a, "PING", NULL);
	redis_send_args(f->r, on_reply, &b, "PING", NULL);
	redis_send_args(f->r, NULL, NULL, "PING", NULL);
	assert_string_equal(buf_text(&f->seen), "");
	assert_seen(f, "a=(none)\nb=(none)\n");
	/* And is never sent. */
	connected(f);
	spin(f);
	assert_int_equal(f->got.len, 0);
}

static void a_reply_that_is_late_is_none(void **state)
{
	struct fixture *f = *state;
	struct ask a = { f, "a", false }, b = { f, "b", false };

	open_redis(f, 60);
	connected(f);
	redis_send_args(f->r, on_reply, &a, "PING", NULL);
	redis_send_args(f->r, on_reply, &b, "PING", NULL);
	assert_seen(f, "a=(none)\nb=(none)\n");
	assert_string_equal(redis_problem(f->r), "no reply in time");
	assert_string_equal(buf_text(&f->states), "up down ");
	connected(f);
}

/* The clock of a command starts with the command, not with the reply before it. */
static void an_idle_connection_stays(void **state)
{
	struct fixture *f = *state;
	struct ask a = { f, "a", false };
	int64_t until;

	open_redis(f, 60);
	connected(f);
	redis_send_args(f->r, on_reply, &a, "PING", NULL);
	WAIT_FOR(f, f->got.len >= 14);
	say(f, "+A\r\n");
	assert_seen(f, "a=A\n");
	until = clock_mono_ms() + 200;
	while (clock_mono_ms() < until)
		spin(f);
	assert_true(redis_connected(f->r));
	assert_string_equal(buf_text(&f->states), "up ");
}

static void what_is_not_the_protocol_ends_the_connection(void **state)
{
	static const struct {
		const char *why, *text, *problem;
	} rows[] = {
		{ "another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n",
		  "not the Redis protocol" },
		{ "no type", "\r\n", "not the Redis protocol" },
		{ "a length that is none", "$x\r\n", "not the Redis protocol" },
		{ "a negative length", "$-2\r\nxx\r\n", "not the Redis protocol" },
		{ "a count that is none", "*x\r\n", "not the Redis protocol" },
#if HIREDIS_MAJOR < 1 /* later readers go as deep as they are sent */
		{ "an array in an array without end",
		  "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
		  "not the Redis protocol" },
#endif
		{ "a bad reply behind a good one", "+A\r\n?\r\n", "not the Redis protocol" },
		{ "a reply nobody asked for", "+A\r\n+B\r\n", "a reply nobody asked for" },
		{ "a refusal nobody asked for", "+A\r\n-ERR max number of clients reached\r\n",
		  "ERR max number of clients reached" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ask a = { f, "a", false };

		redis_free(f->r);
		buf_reset(&f->seen);
		buf_reset(&f->states);
		open_redis(f, PATIENT);
		connected(f);
		redis_send_args(f->r, on_reply, &a, "PING", NULL);
		WAIT_FOR(f, f->got.len >= 14);
		say(f, rows[i].text);
		WAIT_FOR(f, !redis_connected(f->r));
		assert_case(strcmp(redis_problem(f->r), rows[i].problem) == 0, redis_problem(f->r));
		assert_case(strcmp(buf_text(&f->seen),
				   rows[i].text[0] == '+' ? "a=A\n" : "a=(none)\n") == 0,
			    rows[i].why);
		assert_case(strcmp(buf_text(&f->states), "up down ") == 0, rows[i].why);
	}
}

static void nested_arrays_are_read(void **state)
{
	struct fixture *f = *state;
	struct ask a = { f, "a", false };

	open_redis(f, PATIENT);
	connected(f);
	redis_send_args(f->r, on_reply, &a, "PING", NULL);
	WAIT_FOR(f, f->got.len >= 14);
	say(f, "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n");
	assert_seen(f, "a=(array)\n");
}

static void on_large(const struct redisReply *reply, void *arg)
{
	struct fixture *f = arg;

	buf_printf(&f->seen, "%zu %d\n", redis_len(reply),
		   redis_str(reply) && strspn(redis_str(reply), "x") == redis_len(reply));
}

static void large_replies_arrive_whole(void **state)
{
	enum { N = 1 << 20 };
	struct fixture *f = *state;
	OWNED(buf_done) struct buf text;
	size_t at = 0;

	buf_init(&text, 2 * N);
	buf_printf(&text, "$%d\r\n", N);
	for (int i = 0; i < N; i++)
		buf_putc(&text, 'x');
	buf_puts(&text, "\r\n");
	open_redis(f, PATIENT);
	connected(f);
	redis_send_args(f->r, on_large, f, "GET", "x", NULL);
	while (at < text.len) {
		ssize_t n =
			send(f->peer, text.data + at, text.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		assert_true(n > 0 || errno == EAGAIN);
		at += n > 0 ? (size_t)n : 0;
		spin(f);
	}
	assert_seen(f, "1048576 1\n");
}

/* --- AUTH and SELECT -------------------------------------------------------- */

#define AUTH   "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$2\r\npw\r\n"
#define SELECT "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"

/* A server on loopback, since a socket's URL has no place for a password. */
static void listen_on_loopback(struct fixture *f)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);

	(void)close(f->listener);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(f->listener >= 0);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(f->listener, 16), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&sin, &len), 0);
	(void)snprintf(f->url, sizeof(f->url), "redis://u:pw@127.0.0.1:%u/3", ntohs(sin.sin_port));
}

static void auth_and_select_come_before_everything(void **state)
{
	struct fixture *f = *state;
	struct ask early = { f, "early", false }, a = { f, "a", false };

	listen_on_loopback(f);
	open_redis(f, PATIENT);
	WAIT_FOR(f, try_accept(f));
	WAIT_FOR(f, f->got.len >= strlen(AUTH SELECT));
	assert_string_equal(buf_text(&f->got), AUTH SELECT);
	/* Not before both are accepted: it would run without rights or in another database. */
	redis_send_args(f->r, on_reply, &early, "PING", NULL);
	assert_seen(f, "early=(none)\n");
	say(f, "+OK\r\n");
	spin(f);
	spin(f);
	assert_false(redis_connected(f->r));
	say(f, "+OK\r\n");
	WAIT_FOR(f, redis_connected(f->r));
	assert_string_equal(buf_text(&f->states), "up ");
	redis_send_args(f->r, on_reply, &a, "PING", NULL);
	WAIT_FOR(f, f->got.len >= strlen(AUTH SELECT "*1\r\n$4\r\nPING\r\n"));
	say(f, "+A\r\n");
	assert_seen(f, "early=(none)\na=A\n");
}

static void a_refused_hello_is_no_connection(void **state)
{
	static const struct {
		const char *why, *replies, *problem;
	} rows[] = {
		{ "wrong password", "-WRONGPASS invalid username-password pair\r\n",
		  "WRONGPASS invalid username-password pair" },
		{ "both refused: the first says why", "-WRONGPASS no\r\n-NOAUTH no\r\n",
		  "WRONGPASS no" },
		{ "no such database", "+OK\r\n-ERR DB index is out of range\r\n",
		  "ERR DB index is out of range" },
		{ "gone in between", "+OK\r\n", "closed by the server" },
	};
	struct fixture *f = *state;

	listen_on_loopback(f);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		redis_free(f->r);
		buf_reset(&f->states);
		open_redis(f, PATIENT);
		WAIT_FOR(f, try_accept(f));
		WAIT_FOR(f, f->got.len >= strlen(AUTH SELECT));
		say(f, rows[i].replies);
		if (strcmp(rows[i].problem, "closed by the server") == 0)
			hang_up(f);
		WAIT_FOR(f, *redis_problem(f->r));
		assert_case(strcmp(redis_problem(f->r), rows[i].problem) == 0, redis_problem(f->r));
		assert_case(!redis_connected(f->r), rows[i].why);
		assert_case(strcmp(buf_text(&f->states), "") == 0, rows[i].why);
	}
}

/* AUTH was accepted, so the server is well; only the pause keeps us from asking at once. */
static void a_refused_database_is_not_hammered(void **state)
{
	struct fixture *f = *state;
	int64_t until, start;

	listen_on_loopback(f);
	open_redis(f, PATIENT);
	start = clock_mono_ms();
	until = start + 300;
	while (clock_mono_ms() < until) {
		if (try_accept(f))
			say(f, "+OK\r\n-ERR DB index is out of range\r\n");
		spin(f);
	}
	assert_in_range(f->accepted, 1, 2 + (unsigned)(clock_mono_ms() - start) / 25);
}

static void a_hello_without_an_answer_is_given_up(void **state)
{
	struct fixture *f = *state;

	listen_on_loopback(f);
	open_redis(f, PATIENT);
	WAIT_FOR(f, try_accept(f));
	WAIT_FOR(f, *redis_problem(f->r));
	assert_string_equal(redis_problem(f->r), "connecting took too long");
	assert_string_equal(buf_text(&f->states), "");
}

/* --- coming back ------------------------------------------------------------ */

/* Each pause is at least 25 ms, so this is a bound, not a measurement. */
static void a_server_that_only_hangs_up_is_not_hammered(void **state)
{
	static const char *const says[] = { "", "-ERR max number of clients reached\r\n" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(says); i++) {
		int64_t until, start = clock_mono_ms();

		redis_free(f->r);
		open_redis(f, PATIENT);
		f->accepted = 0;
		until = start + 300;
		while (clock_mono_ms() < until) {
			if (try_accept(f)) {
				(void)!send(f->peer, says[i], strlen(says[i]), MSG_NOSIGNAL);
				hang_up(f);
			}
			spin(f);
		}
		assert_in_range(f->accepted, 1, 2 + (unsigned)(clock_mono_ms() - start) / 25);
	}
}

static void connects_when_the_server_appears(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct fixture *f = *state;

	(void)close(f->listener);
	(void)unlink(f->path);
	open_redis(f, PATIENT);
	WAIT_FOR(f, *redis_problem(f->r));
	assert_string_equal(redis_problem(f->r), strerror(ENOENT));
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(un.sun_path, f->path, strlen(f->path) + 1);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(f->listener, 16), 0);
	connected(f);
	assert_string_equal(buf_text(&f->states), "up ");
}

/* --- freeing ---------------------------------------------------------------- */

static void freeing_drops_what_is_outstanding(void **state)
{
	struct fixture *f = *state;
	struct ask a = { f, "a", false };

	open_redis(f, PATIENT);
	redis_send_args(f->r, on_reply, &a, "PING", NULL);
	redis_free(f->r);
	open_redis(f, PATIENT);
	connected(f);
	redis_send_args(f->r, on_reply, &a, "PING", NULL);
	WAIT_FOR(f, f->got.len >= 14);
	redis_free(f->r);
	f->r = NULL;
	(void)send(f->peer, "+A\r\n", 4, MSG_NOSIGNAL);
	for (int i = 0; i < 5; i++)
		spin(f);
	assert_string_equal(buf_text(&f->seen), "");
	assert_string_equal(buf_text(&f->states), "up ");
	redis_free(NULL);
}

/* The first callback frees; those behind it must not come, and ASan watches. */
static void freeing_inside_a_callback_is_the_end(void **state)
{
	static const struct {
		const char *why, *reply; /* NULL: refused while down; "": hang up */
		const char *seen;
	} rows[] = {
		{ "with a reply, another behind it", "+A\r\n+B\r\n", "a=A\n" },
		{ "with a loss", "", "a=(none)\n" },
		{ "with garbage", "?\r\n", "a=(none)\n" },
		{ "with a refusal", NULL, "a=(none)\n" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ask a = { f, "a", true }, b = { f, "b", false };

		buf_reset(&f->seen);
		open_redis(f, PATIENT);
		if (rows[i].reply)
			connected(f);
		redis_send_args(f->r, on_reply, &a, "PING", NULL);
		redis_send_args(f->r, on_reply, &b, "PING", NULL);
		if (rows[i].reply) {
			WAIT_FOR(f, f->got.len >= 28);
			say(f, rows[i].reply);
		}
		if (rows[i].reply && !*rows[i].reply)
			hang_up(f);
		WAIT_FOR(f, !f->r);
		for (int k = 0; k < 5; k++)
			spin(f);
		assert_case(strcmp(buf_text(&f->seen), rows[i].seen) == 0, rows[i].why);
	}
}

static void free_when_up(bool up, void *arg)
{
	struct fixture *f = arg;

	if (up) {
		redis_free(f->r);
		f->r = NULL;
	}
}

static void free_when_down(bool up, void *arg)
{
	free_when_up(!up, arg);
}

static void freeing_inside_a_change_of_state_is_the_end(void **state)
{
	struct fixture *f = *state;
	struct ask a = { f, "a", false };

	open_redis(f, PATIENT);
	redis_on_state(f->r, free_when_up, f);
	WAIT_FOR(f, !f->r);
	WAIT_FOR(f, try_accept(f));
	open_redis(f, PATIENT);
	redis_on_state(f->r, free_when_down, f);
	connected(f);
	redis_send_args(f->r, on_reply, &a, "PING", NULL);
	hang_up(f);
	WAIT_FOR(f, !f->r);
	spin(f);
	assert_string_equal(buf_text(&f->seen), "");
}

/* Written before the loop has seen the end: an error, not SIGPIPE. Seen by the test not dying. */
static void writing_to_a_server_that_is_gone_is_a_loss(void **state)
{
	struct fixture *f = *state;
	struct ask a = { f, "a", false };

	open_redis(f, PATIENT);
	connected(f);
	hang_up(f);
	redis_send_args(f->r, on_reply, &a, "PING", NULL);
	assert_seen(f, "a=(none)\n");
	assert_string_equal(buf_text(&f->states), "up down ");
}

static void on_pipe(int sig)
{
	UNUSED(sig);
}

static void somebody_elses_handler_stays(void **state)
{
	const struct sigaction mine = { .sa_handler = on_pipe };
	struct fixture *f = *state;
	struct sigaction before, after;

	assert_int_equal(sigaction(SIGPIPE, &mine, &before), 0);
	open_redis(f, PATIENT);
	assert_int_equal(sigaction(SIGPIPE, &before, &after), 0);
	assert_ptr_equal(after.sa_handler, on_pipe);
}

/* --- scripts ---------------------------------------------------------------- */

static void an_unknown_script_is_sent_with_its_body(void **state)
{
	static struct redis_script script = { .name = "one", .body = "return 1" };
	/* SHA-1 of the body, as Redis names it. */
	static const char first[] = "*5\r\n$7\r\nEVALSHA\r\n$"
				    "40\r\ne0e1f9fabfc9d4800c877a703b823ac0578ff8db\r\n$1\r\n1\r\n"
				    "$3\r\nkey\r\n$4\r\na\r\nb\r\n*1\r\n$4\r\nPING\r\n";
	static const char second[] =
		"*5\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$3\r\nkey\r\n$4\r\na\r\nb\r\n";
	struct fixture *f = *state;
	struct ask a = { f, "script", false }, b = { f, "ping", false };
	struct redis_cmd cmd;

	open_redis(f, PATIENT);
	connected(f);
	redis_script_cmd(&cmd, &script, 1);
	redis_arg(&cmd, "key");
	redis_arg(&cmd, "a\r\nb");
	redis_send_script(f->r, &script, &cmd, on_reply, &a);
	redis_send_args(f->r, on_reply, &b, "PING", NULL);
	WAIT_FOR(f, f->got.len >= strlen(first));
	assert_string_equal(buf_text(&f->got), first);
	buf_reset(&f->got);
	say(f, "-NOSCRIPT No matching script.\r\n+PONG\r\n");
	WAIT_FOR(f, f->got.len >= strlen(second));
	assert_string_equal(buf_text(&f->got), second);
	assert_seen(f, "ping=PONG\n");
	/* NOSCRIPT again would be strange, but is not tried for ever. */
	say(f, "-NOSCRIPT still not\r\n");
	assert_seen(f, "ping=PONG\nscript=NOSCRIPT still not\n");
}

static void an_error_of_a_script_is_its_reply(void **state)
{
	static struct redis_script script = { .name = "one", .body = "return 1" };
	struct fixture *f = *state;
	struct ask a = { f, "script", false }, b = { f, "lost", false };
	struct redis_cmd cmd;

	open_redis(f, PATIENT);
	connected(f);
	redis_script_cmd(&cmd, &script, 0);
	redis_send_script(f->r, &script, &cmd, on_reply, &a);
	redis_send_script(f->r, &script, &cmd, on_reply, &b);
	WAIT_FOR(f, f->got.len > 100);
	say(f, "-ERR user_script:1: wrong\r\n");
	assert_seen(f, "script=ERR user_script:1: wrong\n");
	hang_up(f);
	assert_seen(f, "script=ERR user_script:1: wrong\nlost=(none)\n");
}

/* --- accessors and limits --------------------------------------------------- */

static struct redisReply *parse(const char *text)
{
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;

	assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	redisReaderFree(reader);
	return reply;
}

static void accessors_accept_any_reply(void **state)
{
	static const struct {
		const char *why, *wire; /* NULL: no reply */
		const char *str;
		size_t len;
		int64_t number; /* -7: the default */
		bool error;
		const char *says;
	} rows[] = {
		{ "none", NULL, NULL, 0, -7, true, "no connection" },
		{ "nil", "$-1\r\n", NULL, 0, -7, false, "unexpected kind" },
		{ "string", "$3\r\nabc\r\n", "abc", 3, -7, false, "unexpected kind" },
		{ "empty string", "$0\r\n\r\n", "", 0, -7, false, "unexpected kind" },
		{ "decimal string", "$2\r\n-5\r\n", "-5", 2, -5, false, "unexpected kind" },
		{ "status", "+OK\r\n", "OK", 2, -7, false, "unexpected kind" },
		{ "a status of digits is no number", "+5\r\n", "5", 1, -7, false, "unexpected" },
		{ "integer", ":42\r\n", NULL, 0, 42, false, "unexpected kind" },
		{ "negative integer", ":-42\r\n", NULL, 0, -42, false, "unexpected kind" },
		{ "error", "-ERR no\r\n", "ERR no", 6, -7, true, "ERR no" },
		{ "array", "*2\r\n:1\r\n:2\r\n", NULL, 2, -7, false, "unexpected kind" },
		{ "empty array", "*0\r\n", NULL, 0, -7, false, "unexpected kind" },
		{ "nil array", "*-1\r\n", NULL, 0, -7, false, "unexpected kind" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWNED(redis_reply_freep)
		struct redisReply *r = rows[i].wire ? parse(rows[i].wire) : NULL;
		const char *s = redis_str(r);

		assert_case(rows[i].str ? s && strcmp(s, rows[i].str) == 0 : !s, rows[i].why);
		assert_case(redis_len(r) == rows[i].len, rows[i].why);
		assert_case(redis_int(r, -7) == rows[i].number, rows[i].why);
		assert_case(redis_is_error(r, NULL) == rows[i].error, rows[i].why);
		assert_case(redis_is_error(r, "ERR") == (rows[i].wire && rows[i].error),
			    rows[i].why);
		assert_case(!redis_is_error(r, "NOSCRIPT"), rows[i].why);
		assert_case(strstr(redis_why(r), rows[i].says) != NULL, rows[i].why);
		assert_case(!redis_at(r, rows[i].len), rows[i].why);
		assert_case(!redis_at(r, SIZE_MAX), rows[i].why);
		assert_case(!redis_field(r, "x"), rows[i].why);
	}
}

static void fields_are_found_by_name(void **state)
{
	OWNED(redis_reply_freep)
	struct redisReply *r = parse(
		"*9\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n:2\r\n:7\r\n$1\r\nx\r\n$1\r\na\r\n$1\r\n2"
		"\r\n$1\r\nz\r\n");

	UNUSED(state);
	assert_string_equal(redis_field(r, "a"), "1"); /* the first */
	assert_null(redis_field(r, "b"));              /* no text */
	assert_null(redis_field(r, "x"));              /* a value, not a name */
	assert_null(redis_field(r, "z"));              /* a name without a value */
	assert_null(redis_field(r, "1"));
}

static void too_many_arguments(void)
{
	struct redis_cmd cmd;

	redis_cmd_init(&cmd);
	for (int i = 0; i <= REDIS_ARGS_MAX; i++)
		redis_arg(&cmd, "x");
}

static void too_many_numbers(void)
{
	struct redis_cmd cmd;

	redis_cmd_init(&cmd);
	for (int i = 0; i <= REDIS_NUMBERS_MAX; i++)
		redis_arg_i64(&cmd, i);
}

static void a_command_over_its_limits_is_a_bug(void **state)
{
	void (*const fns[])(void) = { too_many_arguments, too_many_numbers };
	struct redis_cmd cmd;

	UNUSED(state);
	redis_cmd_init(&cmd);
	for (int i = 0; i < REDIS_ARGS_MAX; i++)
		redis_arg(&cmd, "x");
	redis_cmd_init(&cmd);
	for (int i = 0; i < REDIS_NUMBERS_MAX; i++)
		redis_arg_i64(&cmd, i);
	assert_string_equal(cmd.argv[REDIS_NUMBERS_MAX - 1], "23");
	for (size_t i = 0; i < ARRAY_LEN(fns); i++) {
		int status = 0;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			const struct rlimit none = { 0, 0 };

			(void)setrlimit(RLIMIT_CORE, &none);
			fns[i]();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
}

static void a_call_without_a_server_says_so(void **state)
{
	struct fixture *f = *state;
	struct redisReply *reply = NULL;
	struct redis_cmd cmd;
	struct err err = { 0 };

	(void)unlink(f->path);
	open_redis(f, 60);
	redis_cmd_init(&cmd);
	redis_arg(&cmd, "PING");
	assert_int_equal(redis_call(f->r, &cmd, &reply, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_string_equal(err.msg, "redis: no connection, or no answer in time: No such file or "
				     "directory");
	assert_null(reply);
}

#define REDIS_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REDIS_TEST(understands_urls),
		REDIS_TEST(a_socket_path_is_as_long_as_the_system_allows),
		REDIS_TEST(replies_come_in_the_order_of_the_commands),
		REDIS_TEST(the_commands_of_one_turn_leave_together),
		REDIS_TEST(arguments_may_hold_any_bytes),
		REDIS_TEST(a_server_that_turned_read_only_is_left),
		REDIS_TEST(a_lost_connection_answers_everything_once_with_nothing),
		REDIS_TEST(while_down_a_command_is_refused_in_the_next_turn),
		REDIS_TEST(a_reply_that_is_late_is_none),
		REDIS_TEST(an_idle_connection_stays),
		REDIS_TEST(what_is_not_the_protocol_ends_the_connection),
		REDIS_TEST(nested_arrays_are_read),
		REDIS_TEST(large_replies_arrive_whole),
		REDIS_TEST(auth_and_select_come_before_everything),
		REDIS_TEST(a_refused_hello_is_no_connection),
		REDIS_TEST(a_refused_database_is_not_hammered),
		REDIS_TEST(a_hello_without_an_answer_is_given_up),
		REDIS_TEST(a_server_that_only_hangs_up_is_not_hammered),
		REDIS_TEST(connects_when_the_server_appears),
		REDIS_TEST(freeing_drops_what_is_outstanding),
		REDIS_TEST(freeing_inside_a_callback_is_the_end),
		REDIS_TEST(freeing_inside_a_change_of_state_is_the_end),
		REDIS_TEST(writing_to_a_server_that_is_gone_is_a_loss),
		REDIS_TEST(somebody_elses_handler_stays),
		REDIS_TEST(an_unknown_script_is_sent_with_its_body),
		REDIS_TEST(an_error_of_a_script_is_its_reply),
		REDIS_TEST(accessors_accept_any_reply),
		REDIS_TEST(fields_are_found_by_name),
		REDIS_TEST(a_command_over_its_limits_is_a_bug),
		REDIS_TEST(a_call_without_a_server_says_so),
	};

	return cmocka_run_group_tests_name("redis", tests, NULL, NULL);
}

/*
 * Several processes behind one socket: they may be replaced and killed under load,
 * and speak for each other in /metrics.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "core/mem.h"
#include "tests/integration/product.h"

enum { CLIENTS = 3, POSTS = 250 };

static int64_t events(struct rig *r)
{
	return redis_int_of(r, "XLEN %s", EVENTS);
}

static int64_t accepted(struct rig *r)
{
	struct answer a = http_get(r, receiver_admin_port(r), "/metrics");
	const char *at = strstr(a.body, "webhooks_received_total{source=\"github\",result="
					"\"accepted\"} ");

	return at ? strtoll(strchr(at, ' '), NULL, 10) : 0;
}

/* Pids of the processes whose parent is the receiver. */
static unsigned workers(struct rig *r, struct proc *p, pid_t out[static 16])
{
	const char *path =
		rig_printf(r, "/proc/%d/task/%d/children", (int)proc_pid(p), (int)proc_pid(p));
	const char *text = rig_read(r, path);
	unsigned n = 0;

	while (text && *text && n < 16) {
		char *end;

		out[n] = (pid_t)strtol(text, &end, 10);
		if (end == text)
			break;
		text = end;
		n++;
	}
	return n;
}

/* --- clients, in processes of their own ------------------------------------------------ */

/* One webhook on a connection of its own; its status, 0 when the connection was lost. */
static int post_once(int port, const char *request, size_t n)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), status = 0;
	char answer[1024];
	ssize_t got;

	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 &&
	    send(fd, request, n, MSG_NOSIGNAL) == (ssize_t)n &&
	    (got = recv(fd, answer, sizeof(answer) - 1, 0)) > 12) {
		answer[got] = '\0';
		status = (int)strtol(answer + 9, NULL, 10);
	}
	(void)close(fd);
	return status;
}

static const char *request_of(struct rig *r, int client, int i)
{
	const char *body = run_body(r, &(struct run_hook){ .run_id = 7 });
	size_t n = strlen(body);

	return rig_printf(r,
			  "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
			  "Content-Type: application/json\r\nX-GitHub-Event: workflow_run\r\n"
			  "X-GitHub-Delivery: w-%d-%d\r\n%sContent-Length: %zu\r\n\r\n%s",
			  client, i, signature_line(r, WEBHOOK_SECRET, body, n), n, body);
}

/* Its exit status is how many were not accepted. */
static pid_t client_start(struct rig *r, int client)
{
	int port = receiver_port(r), failed = 0;
	pid_t pid = fork();

	if (pid)
		return pid;
	for (int i = 0; i < POSTS; i++) {
		const char *request = request_of(r, client, i);

		failed += post_once(port, request, strlen(request)) != 202;
	}
	_exit(failed < 100 ? failed : 100);
}

static int clients_end(const pid_t *pids)
{
	int failed = 0, status;

	for (int i = 0; i < CLIENTS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		failed += WEXITSTATUS(status);
	}
	return failed;
}

static void load_start(struct rig *r, pid_t *pids)
{
	for (int i = 0; i < CLIENTS; i++) {
		pids[i] = client_start(r, i);
		assert_true(pids[i] > 0);
	}
}

static bool all_new(const pid_t *was, unsigned n_was, const pid_t *now, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < n_was; k++)
			if (now[i] == was[k])
				return false;
	return n == n_was;
}

static bool renewed(struct rig *r, struct proc *p, const pid_t *was, unsigned n_was)
{
	pid_t now[16];
	unsigned n = workers(r, p, now);

	return all_new(was, n_was, now, n);
}

/* One that receiver_port() knows. */
static int free_port(struct rig *r)
{
	assert_int_equal(proc_stop(receiver_start(r, NULL)), 0);
	return receiver_port(r);
}

/* --- tests ------------------------------------------------------------------------------- */

static void workers_are_replaced_without_losing_a_connection(struct rig *r)
{
	struct proc *p = receiver_start(r, "receiver.workers=3", NULL);
	pid_t clients[CLIENTS], was[16];

	load_start(r, clients);
	for (int round = 0; round < 3; round++) {
		int64_t before = events(r);
		unsigned n = workers(r, p, was);

		assert_int_equal(n, 3);
		WAIT(r, events(r) > before + 20 || events(r) == (int64_t)CLIENTS * POSTS);
		proc_signal(p, SIGHUP);
		WAIT(r, renewed(r, p, was, n));
	}
	assert_int_equal(clients_end(clients), 0);
	assert_int_equal(events(r), CLIENTS * POSTS);
	/* The counters of those who left still count. */
	assert_int_equal(accepted(r), CLIENTS * POSTS);
	assert_int_equal(proc_stop(p), 0);
}

static void a_killed_worker_costs_what_it_had_in_hand(struct rig *r)
{
	struct proc *p = receiver_start(r, "receiver.workers=3", NULL);
	pid_t clients[CLIENTS], now[16];
	int failed;

	load_start(r, clients);
	for (int round = 0; round < 3; round++) {
		int64_t before = events(r);

		WAIT(r, events(r) > before + 20 || events(r) >= (int64_t)CLIENTS * POSTS - 20);
		WAIT(r, workers(r, p, now) == 3);
		(void)kill(now[round % 3], SIGKILL);
	}
	failed = clients_end(clients);
	/* Each client waits for one answer at a time. */
	assert_in_range(failed, 0, 3 * CLIENTS);
	assert_true(events(r) >= CLIENTS * POSTS - failed);
	WAIT(r, workers(r, p, now) == 3);
	assert_int_equal(proc_stop(p), 0);
}

static bool is_stopped(struct rig *r, pid_t pid)
{
	const char *stat = rig_read(r, rig_printf(r, "/proc/%d/stat", (int)pid));
	const char *name_end = stat ? strrchr(stat, ')') : NULL;

	return name_end && strncmp(name_end, ") T", 3) == 0;
}

/* One that is stuck takes nothing with it: the others answer, with its counters too. */
static void a_stopped_worker_is_spoken_for(struct rig *r)
{
	struct proc *p = receiver_start(r, "receiver.workers=3", NULL);
	pid_t all[16];
	enum { POSTED = 30 };

	WAIT(r, workers(r, p, all) == 3);
	for (int i = 0; i < POSTED; i++) {
		const char *request = request_of(r, 0, i);

		assert_int_equal(post_once(receiver_port(r), request, strlen(request)), 202);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(kill(all[i], SIGSTOP), 0);
		WAIT(r, is_stopped(r, all[i]));
		for (int ask = 0; ask < 10; ask++) {
			assert_int_equal(accepted(r), POSTED);
			assert_int_equal(http_get(r, receiver_admin_port(r), "/status").status,
					 200);
		}
		assert_int_equal(kill(all[i], SIGCONT), 0);
	}
	assert_int_equal(proc_stop(p), 0);
}

static void a_bad_secret_file_leaves_the_old_workers_in_place(struct rig *r)
{
	const char *secret = rig_path(r, "rotated");
	struct proc *p;
	pid_t was[16] = { 0 }, now[16] = { 0 };
	struct answer a;

	rig_write(r, "rotated", WEBHOOK_SECRET, 0600);
	p = receiver_start(r, "receiver.workers=2",
			   rig_printf(r, "github.webhook_secret_file=%s", secret), NULL);
	assert_int_equal(workers(r, p, was), 2);
	rig_write(r, "rotated", "", 0600);
	proc_signal(p, SIGHUP);
	WAIT(r, strstr(proc_output(p), "the old one stays"));
	WAIT(r, workers(r, p, now) == 2);
	assert_false(all_new(was, 2, now, 2));
	a = webhook_post_text(r, "workflow_run", "still",
			      run_body(r, &(struct run_hook){ .run_id = 7 }));
	assert_int_equal(a.status, 202);
}

static void one_process_reads_its_secrets_again(struct rig *r)
{
	const char *body = run_body(r, &(struct run_hook){ .run_id = 7 });
	struct proc *p;

	rig_write(r, "rotated", "an old secret that nobody signs with", 0600);
	p = receiver_start(
		r, rig_printf(r, "github.webhook_secret_file=%s", rig_path(r, "rotated")), NULL);
	assert_int_equal(webhook_post_text(r, "workflow_run", "s-1", body).status, 401);
	rig_write(r, "rotated", "an old secret that nobody signs with," WEBHOOK_SECRET, 0600);
	proc_signal(p, SIGHUP);
	WAIT(r, webhook_post_text(r, "workflow_run", "s-2", body).status == 202);
	/* An empty file is refused: the secrets stay. */
	rig_write(r, "rotated", "", 0600);
	proc_signal(p, SIGHUP);
	WAIT(r, strstr(proc_output(p), "secrets not reloaded"));
	assert_int_equal(webhook_post_text(r, "workflow_run", "s-3", body).status, 202);
	assert_int_equal(proc_stop(p), 0);
}

static void two_spools_do_not_meet(struct rig *r)
{
	struct proc *p = receiver_start(r, "receiver.workers=2", "redis.timeout=300ms", NULL);
	pid_t clients[CLIENTS];

	redis_kill(r);
	load_start(r, clients);
	assert_int_equal(clients_end(clients), 0);
	redis_start(r);
	WAIT(r, events(r) == (int64_t)CLIENTS * POSTS);
	assert_int_equal(proc_stop(p), 0);
}

/* Gone, or waiting for somebody to ask how it ended. */
static bool has_ended(struct rig *r, pid_t pid)
{
	const char *stat = rig_read(r, rig_printf(r, "/proc/%d/stat", (int)pid));

	return !stat || strstr(stat, ") Z ");
}

/* Nobody would restart or renew them. */
static void workers_end_with_their_supervisor(struct rig *r)
{
	struct proc *p = receiver_start(r, "receiver.workers=2", NULL);
	pid_t pids[16] = { 0 };

	assert_int_equal(workers(r, p, pids), 2);
	proc_kill(p);
	WAIT(r, has_ended(r, pids[0]) && has_ended(r, pids[1]));
}

static void write_config(struct rig *r, const char *url)
{
	rig_write(r, "guard.yaml",
		  rig_printf(r,
			     "redis:\n  url: %s\n  timeout: 300ms\n"
			     "receiver:\n  workers: 2\n  spool_dir: %s\n"
			     "github:\n  webhook_secret_file: %s\n",
			     url, rig_path(r, "spool"), rig_path(r, "secret")),
		  0600);
}

/* What the file says is what new workers do, redis.url too. */
static void new_workers_read_the_file_again(struct rig *r)
{
	const char *const args[] = { "receiver",
				     "--config",
				     rig_path(r, "guard.yaml"),
				     "--listen",
				     rig_printf(r, "127.0.0.1:%d", free_port(r)),
				     "--admin-listen",
				     "none",
				     NULL };
	const char *body = run_body(r, &(struct run_hook){ .run_id = 7 });
	struct proc *p;
	pid_t was[16] = { 0 };

	write_config(r, redis_url(r));
	p = guard_start(r, "by-file", args, NULL);
	(void)proc_line(p, "receiver ready ");
	assert_int_equal(webhook_post_text(r, "workflow_run", "c-1", body).status, 202);
	assert_int_equal(events(r), 1);
	write_config(r, "unix:///nonexistent/redis.sock");
	assert_int_equal(workers(r, p, was), 2);
	proc_signal(p, SIGHUP);
	WAIT(r, renewed(r, p, was, 2));
	assert_int_equal(webhook_post_text(r, "workflow_run", "c-2", body).status, 202);
	assert_int_equal(events(r), 1);
	write_config(r, redis_url(r));
	proc_signal(p, SIGHUP);
	WAIT(r, events(r) == 2);
	assert_int_equal(proc_stop(p), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(workers_are_replaced_without_losing_a_connection),
		RIG_TEST(a_killed_worker_costs_what_it_had_in_hand),
		RIG_TEST(a_stopped_worker_is_spoken_for),
		RIG_TEST(a_bad_secret_file_leaves_the_old_workers_in_place),
		RIG_TEST(one_process_reads_its_secrets_again),
		RIG_TEST(two_spools_do_not_meet),
		RIG_TEST(workers_end_with_their_supervisor),
		RIG_TEST(new_workers_read_the_file_again),
	};

	return rig_main(tests);
}

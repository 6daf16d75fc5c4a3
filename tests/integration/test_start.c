/* `start`: everything on one machine, as a newcomer runs it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/text.h"
#include "tests/integration/product.h"

static struct proc *start(struct rig *r, const char *name, const char *data, const char *extra)
{
	const char *args[] = {
		"start", "--data-dir", data, "--listen", "127.0.0.1:0", extra, NULL
	};

	return guard_start(r, name, args, NULL);
}

static const char *data_dir(struct rig *r)
{
	return rig_path(r, "data");
}

/* The child of that role, by its arguments; 0: none. */
static pid_t child_of(struct rig *r, pid_t parent, const char *role)
{
	const char *list =
		rig_read(r, rig_printf(r, "/proc/%d/task/%d/children", (int)parent, (int)parent));
	char *end;

	for (const char *at = list ? list : ""; *at; at = *end == ' ' ? end + 1 : end) {
		long pid = strtol(at, &end, 10);
		const char *argv;
		size_t name;

		if (end == at)
			break;
		argv = rig_read(r, rig_printf(r, "/proc/%ld/cmdline", pid));
		name = argv ? strlen(argv) + 1 : 0;
		if (argv && (strcmp(argv + name, role) == 0 || strstr(argv, role)))
			return (pid_t)pid;
	}
	return 0;
}

static mode_t mode_of(struct rig *r, const char *name)
{
	struct stat st;

	if (stat(rig_printf(r, "%s/%s", data_dir(r), name), &st) < 0)
		fail_msg("there is no %s", name);
	return st.st_mode & 0777;
}

/* A webhook signed with the secret that `start` made. */
static struct answer post(struct rig *r, int port, const char *delivery)
{
	const char *body = run_body(r, &(struct run_hook){ 0 });
	const char *file = rig_printf(r, "%s/github-webhook-secret", data_dir(r));
	const char *text = rig_read(r, file), *secret, *headers;

	assert_non_null(text);
	secret = rig_text(r, text, strcspn(text, "\n"));
	assert_int_equal(strlen(secret), 64);
	headers = rig_printf(r,
			     "Content-Type: application/json\r\nX-GitHub-Event: workflow_run\r\n"
			     "X-GitHub-Delivery: %s\r\n%s",
			     delivery, signature_line(r, secret, body, strlen(body)));
	return http_ask(r, port, "POST", "/webhooks/github", headers, body, strlen(body));
}

static void runs_everything_and_says_what_to_paste_where(struct rig *r)
{
	struct proc *p = start(r, "start", data_dir(r), NULL);
	int port = port_of(proc_line(p, "guard ready "));
	const char *said = proc_output(p), *secret;
	struct answer a;

	assert_non_null(strstr(said, rig_printf(r, "http://127.0.0.1:%d/webhooks/github ", port)));
	assert_non_null(strstr(said, rig_printf(r, "http://127.0.0.1:%d/\n", port)));
	assert_non_null(strstr(said, rig_printf(r, "%s/github-webhook-secret\n", data_dir(r))));
	assert_non_null(strstr(said, "observe: no provider token is configured\n"));
	assert_int_equal(mode_of(r, "github-webhook-secret"), 0600);
	assert_int_equal(mode_of(r, ""), 0700);
	assert_int_equal(mode_of(r, "redis.sock"), 0700);

	a = post(r, port, "s-1");
	assert_string_equal(answer_str(&a, "status"), "accepted");
	assert_int_equal(http_get(r, port, "/ready").status, 200);
	assert_int_equal(http_get(r, port, "/metrics").status, 200);
	redis_use(r, rig_printf(r, "%s/redis.sock", data_dir(r)));
	WAIT(r, redis_int_of(r, "XLEN %s", OUTCOMES) == 1);
	assert_string_equal(redis_last_field(r, OUTCOMES, "result"), "observed");

	secret = rig_read(r, rig_printf(r, "%s/github-webhook-secret", data_dir(r)));
	rig_hide(r, rig_text(r, secret, 64), "data/github-webhook-secret");
	assert_int_equal(proc_stop(p), 0);
}

/* What the page's button sends. */
static int go_with(struct rig *r, int port, const char *token)
{
	return http_ask(r, port, "POST", "/api/v1/go",
			rig_printf(r, "Authorization: Bearer %s\r\n", token), "{}", 2)
		.status;
}

static void off_loopback_the_page_wants_the_token_that_was_made(struct rig *r)
{
	const char *args[] = { "start", "--data-dir", data_dir(r), "--listen", "0.0.0.0:0", NULL };
	struct proc *p = guard_start(r, "start", args, NULL);
	int port = port_of(proc_line(p, "guard ready "));
	const char *file = rig_printf(r, "%s/admin-token", data_dir(r)), *token;

	assert_non_null(strstr(proc_output(p), rig_printf(r, "cat %s   # password", file)));
	/* An address that nobody can open is no address to paste. */
	assert_null(strstr(proc_output(p), rig_printf(r, "0.0.0.0:%d/", port)));
	assert_int_equal(mode_of(r, "admin-token"), 0600);
	token = rig_text(r, rig_read(r, file), 64);
	rig_hide(r, token, "data/admin-token");

	assert_int_equal(http_get(r, port, "/ready").status, 200);
	assert_int_equal(http_get(r, port, "/status").status, 401);
	assert_int_equal(go_with(r, port, "something-else"), 401);
	assert_int_equal(go_with(r, port, token), 200);
	assert_int_equal(proc_stop(p), 0);

	/* One token, whatever the listener; and the next start keeps it. */
	p = start(r, "again", data_dir(r), NULL);
	port = port_of(proc_line(p, "guard ready "));
	assert_int_equal(http_get(r, port, "/status").status, 200);
	assert_int_equal(go_with(r, port, token), 200);
	assert_int_equal(proc_stop(p), 0);
}

static void a_configured_admin_token_is_the_only_one(struct rig *r)
{
	const char *args[] = {
		"start", "--data-dir", data_dir(r), "--listen", "127.0.0.1:0", NULL
	};
	const char *env[] = { "PIPELINE_GUARD_ADMIN_TOKEN=the-token-of-this-test", NULL };
	struct proc *p = guard_start(r, "start", args, env);
	int port = port_of(proc_line(p, "guard ready "));

	assert_int_equal(access(rig_printf(r, "%s/admin-token", data_dir(r)), F_OK), -1);
	assert_int_equal(go_with(r, port, "the-token-of-this-test"), 200);
	assert_int_equal(proc_stop(p), 0);
}

static void a_child_that_dies_is_started_again(struct rig *r)
{
	struct proc *p = start(r, "start", data_dir(r), NULL);
	int port = port_of(proc_line(p, "guard ready "));
	static const char *const roles[] = { "receiver", "dispatcher", "redis-server" };

	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		pid_t was = child_of(r, proc_pid(p), roles[i]), now;

		assert_case(was > 0, roles[i]);
		assert_int_equal(kill(was, SIGKILL), 0);
		WAIT(r, (now = child_of(r, proc_pid(p), roles[i])) > 0 && now != was);
	}
	redis_use(r, rig_printf(r, "%s/redis.sock", data_dir(r)));
	WAIT(r, http_get(r, port, "/ready").status == 200);
	assert_string_equal(answer_str(&(struct answer[]){ post(r, port, "c-1") }[0], "status"),
			    "accepted");
	WAIT(r, redis_int_of(r, "XLEN %s", OUTCOMES) == 1);
	assert_int_equal(proc_stop(p), 0);
}

static void nobody_is_turned_away_while_the_receiver_restarts(struct rig *r)
{
	struct proc *p = start(r, "start", data_dir(r), NULL);
	int port = port_of(proc_line(p, "guard ready "));
	pid_t was = child_of(r, proc_pid(p), "receiver");
	struct answer a;

	assert_int_equal(kill(was, SIGKILL), 0);
	/* The listening socket is the supervisor's: who comes now waits for the next receiver. */
	WAIT(r, kill(was, 0) < 0);
	a = post(r, port, "n-1");
	assert_int_equal(a.status, 202);
	assert_int_equal(proc_stop(p), 0);
}

static void a_second_one_on_the_same_data_is_refused(struct rig *r)
{
	struct proc *first = start(r, "start", data_dir(r), NULL), *second;
	int port = port_of(proc_line(first, "guard ready "));

	second = start(r, "second", data_dir(r), NULL);
	assert_int_equal(proc_wait(second, PATIENCE_MS), 3);
	assert_non_null(strstr(proc_output(second), "in use by another"));
	assert_int_equal(http_get(r, port, "/ready").status, 200);
	assert_int_equal(proc_stop(first), 0);
}

static void data_and_secret_survive_a_restart(struct rig *r)
{
	struct proc *p = start(r, "start", data_dir(r), NULL);
	const char *file = rig_printf(r, "%s/github-webhook-secret", data_dir(r)), *secret;
	struct answer a = post(r, port_of(proc_line(p, "guard ready ")), "d-1");

	assert_string_equal(answer_str(&a, "status"), "accepted");
	secret = rig_read(r, file);
	assert_int_equal(proc_stop(p), 0);
	p = start(r, "again", data_dir(r), NULL);
	a = post(r, port_of(proc_line(p, "guard ready ")), "d-1");
	assert_string_equal(answer_str(&a, "status"), "duplicate");
	assert_string_equal(rig_read(r, file), secret);
	assert_int_equal(proc_stop(p), 0);
}

static void nothing_is_left_running(struct rig *r)
{
	struct proc *p = start(r, "start", data_dir(r), NULL);
	static const char *const roles[] = { "receiver", "dispatcher", "redis-server" };
	pid_t children[ARRAY_LEN(roles)];

	(void)proc_line(p, "guard ready ");
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		children[i] = child_of(r, proc_pid(p), roles[i]);
	/* Also when it had no time to say good-bye. */
	proc_kill(p);
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		WAIT(r, kill(children[i], 0) < 0);
}

static void the_demo_heals_something(struct rig *r)
{
	const char *args[] = { "start", "--demo", "--listen", "127.0.0.1:0", NULL };
	const char *env[] = {
		rig_printf(r, "XDG_STATE_HOME=%s", rig_path(r, "state")),
		rig_printf(r, "PIPELINE_GUARD_SIMULATOR=%s", getenv("GUARD_SIMULATOR")), NULL
	};
	struct proc *p = guard_start(r, "demo", args, env);
	bool healed = false;

	(void)proc_line(p, "guard ready ");
	redis_use(r, rig_path(r, "state/pipeline-guard-demo/redis.sock"));
	WAIT_MS(r,
		healed || (healed = strcmp(redis_last_field(r, OUTCOMES, "result"), "healed") == 0),
		60000);
	assert_int_equal(proc_stop(p), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(runs_everything_and_says_what_to_paste_where),
		RIG_TEST(off_loopback_the_page_wants_the_token_that_was_made),
		RIG_TEST(a_configured_admin_token_is_the_only_one),
		RIG_TEST(a_child_that_dies_is_started_again),
		RIG_TEST(nobody_is_turned_away_while_the_receiver_restarts),
		RIG_TEST(a_second_one_on_the_same_data_is_refused),
		RIG_TEST(data_and_secret_survive_a_restart),
		RIG_TEST(nothing_is_left_running),
		RIG_TEST(the_demo_heals_something),
	};

	return rig_main(tests);
}

/* Children are shells: they are there, and can be made to behave in any way. */
#include "cli/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "unit.h"

/* Nothing may depend on the drain time passing. */
enum { PATIENCE_MS = 20000, DRAIN_MS = 10 * PATIENCE_MS };

struct world {
	struct event_base *base;
	struct supervisor *s;
	char folder[64];
	int ready, status; /* status -1: not finished */
	char line[128];
};

static void on_finished(int status, void *arg)
{
	struct world *w = arg;

	w->status = status;
}

static void on_ready(const char *line, void *arg)
{
	struct world *w = arg;

	w->ready++;
	(void)snprintf(w->line, sizeof(w->line), "%s", line);
}

static int set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	(void)snprintf(w->folder, sizeof(w->folder), "/tmp/guard-test-sup-XXXXXX");
	/* Whoever reads from the pipe waits for ever. */
	if (!mkdtemp(w->folder) || chdir(w->folder) < 0 || mkfifo("pipe", 0600) < 0 ||
	    mkfifo("gate", 0600) < 0)
		return -1;
	log_init("test", LEVEL_ERROR, false);
	w->base = event_base_new();
	w->status = -1;
	w->s = supervisor_new(w->base, -1, DRAIN_MS, on_finished, w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	supervisor_free(w->s);
	event_base_free(w->base);
	(void)unlink("notes");
	(void)unlink("pipe");
	(void)unlink("gate");
	(void)unlink("slow");
	if (chdir("/") < 0 || rmdir(w->folder) < 0)
		return -1;
	free(w);
	return 0;
}

static void turn(struct world *w)
{
	struct timeval tv = clock_timeval(20);

	assert_int_equal(event_base_loopexit(w->base, &tv), 0);
	assert_true(event_base_dispatch(w->base) >= 0);
}

#define WAIT_FOR(w, cond)                                           \
	do {                                                        \
		int64_t end_ = clock_mono_ms() + PATIENCE_MS;       \
		while (!(cond)) {                                   \
			if (clock_mono_ms() > end_)                 \
				fail_msg("in vain for: %s", #cond); \
			turn(w);                                    \
		}                                                   \
	} while (0)

/* What the children wrote down. */
static const char *notes(void)
{
	static char text[512];
	int fd = open("notes", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		(void)close(fd);
	return text;
}

static size_t times(const char *word)
{
	size_t n = 0;

	for (const char *p = notes(); (p = strstr(p, word)); p++)
		n++;
	return n;
}

struct shell {
	char *argv[4];
	struct child_spec spec;
};

static void shell(struct shell *sh, const char *name, const char *script)
{
	static char exe[] = "/bin/sh", option[] = "-c";

	*sh = (struct shell){ .argv = { exe, option, xstrdup(script), NULL },
			      .spec = { .name = name, .pass_fd = -1, .pass_fd2 = -1 } };
	sh->spec.argv = sh->argv;
}

static void shell_free(struct shell *sh)
{
	free(sh->argv[2]);
}

static void start(struct world *w, struct shell *sh)
{
	struct err err;

	assert_ok(supervisor_add(w->s, &sh->spec, on_ready, w, &err), &err);
}

static void stop(struct world *w)
{
	supervisor_stop(w->s);
	WAIT_FOR(w, w->status >= 0);
}

static void starts_again_what_ends(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;

	shell(&sh, "one", "echo went >>notes; echo 'one ready at port 7'; exit 1");
	start(w, &sh);
	WAIT_FOR(w, times("went") >= 3);
	/* Only the first time it is news. */
	assert_int_equal(w->ready, 1);
	assert_string_equal(w->line, " at port 7");
	assert_int_equal(w->status, -1);
	stop(w);
	assert_int_equal(w->status, 0);
}

static void starts_again_what_was_killed(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;

	shell(&sh, "one", "echo went >>notes; kill -9 $$");
	start(w, &sh);
	WAIT_FOR(w, times("went") >= 2);
	stop(w);
}

static void waits_longer_each_time(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;
	int64_t began_ms = clock_mono_ms();

	shell(&sh, "one", "echo went >>notes; exit 1");
	start(w, &sh);
	WAIT_FOR(w, times("went") >= 5);
	/* 100 + 200 + 400 + 800 ms lie between; a busy machine only makes it more. */
	assert_true(clock_mono_ms() - began_ms >= 1500);
	stop(w);
}

static void ends_everything(struct world *w, const char *script)
{
	OWNED(shell_free) struct shell good, bad;

	shell(&good, "good", "echo good ready; read -r x <>pipe");
	shell(&bad, "bad", script);
	start(w, &good);
	WAIT_FOR(w, w->ready == 1);
	start(w, &bad);
	WAIT_FOR(w, w->status >= 0);
	assert_int_equal(w->status, 2);
}

static void a_refused_configuration_ends_everything(void **state)
{
	ends_everything(*state, "exit 2");
}

static void a_program_that_is_not_there_ends_everything(void **state)
{
	ends_everything(*state, "exec /nonexistent/program");
}

static void one_that_was_up_may_end_with_2(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;

	shell(&sh, "one", "echo one ready; echo went >>notes; exit 2");
	start(w, &sh);
	WAIT_FOR(w, times("went") >= 2);
	assert_int_equal(w->status, -1);
	stop(w);
}

static void open_gate(void)
{
	int fd = open("gate", O_RDWR | O_CLOEXEC);

	assert_int_equal(write(fd, "\n", 1), 1);
	(void)close(fd);
}

static void those_the_others_need_stop_last(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell store, user;

	shell(&store, "store",
	      "trap 'echo store ends >>notes; exit 0' TERM; echo store ready; "
	      "while :; do read -r x <>pipe || :; done");
	shell(&user, "user",
	      "trap 'read -r x <>gate; echo user ends >>notes; exit 0' TERM; echo user ready; "
	      "while :; do read -r x <>pipe || :; done");
	store.spec.outlives = true;
	start(w, &store);
	start(w, &user);
	WAIT_FOR(w, w->ready == 2);
	supervisor_stop(w->s);
	for (int i = 0; i < 10; i++)
		turn(w);
	assert_string_equal(notes(), "");
	open_gate();
	WAIT_FOR(w, w->status >= 0);
	assert_string_equal(notes(), "user ends\nstore ends\n");
	assert_int_equal(w->status, 0);
}

static void a_second_stop_does_not_wait(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;

	shell(&sh, "deaf", "trap '' TERM; echo deaf ready; read -r x <>pipe");
	start(w, &sh);
	WAIT_FOR(w, w->ready == 1);
	supervisor_stop(w->s);
	turn(w);
	assert_int_equal(w->status, -1);
	supervisor_stop(w->s);
	WAIT_FOR(w, w->status >= 0);
}

static void a_child_does_not_see_what_is_hidden(void **state)
{
	static const char *const hide[] = { "GUARD_TEST_SECRET", NULL };
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;

	assert_int_equal(setenv("GUARD_TEST_SECRET", "a", 1), 0);
	assert_int_equal(setenv("GUARD_TEST_SECRET_FILE", "b", 1), 0);
	assert_int_equal(setenv("GUARD_TEST_OTHER", "c", 1), 0);
	shell(&sh, "one",
	      "echo \"one ready [$GUARD_TEST_SECRET$GUARD_TEST_SECRET_FILE$GUARD_TEST_OTHER]\"");
	sh.spec.hide = hide;
	start(w, &sh);
	WAIT_FOR(w, w->ready == 1);
	assert_string_equal(w->line, " [c]");
	stop(w);
}

/* One for each generation: it is told to end, waits at the gate, and goes. */
static const char steady[] =
	"trap 'echo term >>notes; trap \"echo twice >>notes\" TERM; read -r x <>gate; "
	"echo gone >>notes; exit 0' TERM; echo new >>notes; [ -e slow ] || echo one ready; "
	"while :; do read -r x <>pipe || :; done";

static void start_steady(struct world *w, struct shell *sh)
{
	shell(sh, "one", steady);
	sh->spec.renewable = true;
	start(w, sh);
	WAIT_FOR(w, w->ready == 1);
}

static void let_go(struct world *w, size_t n)
{
	while (times("gone") < n) {
		open_gate();
		turn(w);
	}
}

static void end_steady(struct world *w, size_t n)
{
	supervisor_stop(w->s);
	let_go(w, n);
	WAIT_FOR(w, w->status >= 0);
	assert_int_equal(times("twice"), 0);
}

static void a_new_one_takes_over(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;

	start_steady(w, &sh);
	supervisor_renew(w->s);
	WAIT_FOR(w, times("term") == 1);
	assert_int_equal(times("new"), 2);
	let_go(w, 1);
	end_steady(w, 2);
	assert_int_equal(w->ready, 1);
}

/* The second signal would make it drop what it has in hand. */
static void one_that_drains_is_not_told_again(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;

	start_steady(w, &sh);
	supervisor_renew(w->s);
	WAIT_FOR(w, times("term") == 1);
	supervisor_stop(w->s);
	WAIT_FOR(w, times("term") == 2);
	for (int i = 0; i < 5; i++)
		turn(w);
	assert_int_equal(times("twice"), 0);
	let_go(w, 2);
	WAIT_FOR(w, w->status >= 0);
}

/* The time it has is short here; the supervisor adds three seconds. */
static void one_that_does_not_drain_is_killed(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;

	supervisor_free(w->s);
	w->s = supervisor_new(w->base, -1, 1, on_finished, w);
	shell(&sh, "one", "trap '' TERM; echo new >>notes; echo one ready; read -r x <>pipe");
	sh.spec.renewable = true;
	start(w, &sh);
	WAIT_FOR(w, w->ready == 1);
	supervisor_renew(w->s);
	WAIT_FOR(w, times("new") == 2);
	/* A third one comes only when the first one is gone. */
	supervisor_renew(w->s);
	WAIT_FOR(w, times("new") == 3);
	supervisor_stop(w->s);
	supervisor_stop(w->s);
	WAIT_FOR(w, w->status >= 0);
}

/* What changed after the new one had read it is not forgotten, and no third one runs meanwhile. */
static void asked_while_the_old_one_drains_renews_again(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;

	start_steady(w, &sh);
	supervisor_renew(w->s);
	WAIT_FOR(w, times("term") == 1);
	supervisor_renew(w->s);
	supervisor_renew(w->s);
	for (int i = 0; i < 5; i++)
		turn(w);
	assert_int_equal(times("new"), 2);
	let_go(w, 1);
	WAIT_FOR(w, times("new") == 3 && times("term") == 2);
	let_go(w, 2);
	end_steady(w, 3);
	assert_int_equal(times("new"), 3);
}

static void asked_while_the_new_one_starts_begins_anew(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;
	int fd;

	start_steady(w, &sh);
	fd = open("slow", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	(void)close(fd);
	supervisor_renew(w->s);
	WAIT_FOR(w, times("new") == 2);
	(void)unlink("slow");
	supervisor_renew(w->s);
	WAIT_FOR(w, times("term") == 1);
	let_go(w, 1); /* the slow one */
	WAIT_FOR(w, times("new") == 3 && times("term") == 2);
	let_go(w, 2);
	end_steady(w, 3);
}

/* Else its "I am stopping" would be taken for ours. */
static void a_child_does_not_speak_to_the_service_manager(void **state)
{
	struct world *w = *state;
	OWNED(shell_free) struct shell sh;

	assert_int_equal(setenv("NOTIFY_SOCKET", "/nonexistent", 1), 0);
	shell(&sh, "one", "echo \"one ready [$NOTIFY_SOCKET]\"");
	start(w, &sh);
	WAIT_FOR(w, w->ready == 1);
	assert_string_equal(w->line, " []");
	stop(w);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

static void refuses_what_cannot_be_executed(void **state)
{
	struct world *w = *state;
	static char nothing[] = "/nonexistent/program";
	char *argv[] = { nothing, NULL };
	struct child_spec spec = { .name = "none", .argv = argv, .pass_fd = -1, .pass_fd2 = -1 };
	struct err err;

	assert_int_equal(supervisor_add(w->s, &spec, on_ready, w, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_non_null(strstr(err.msg, nothing));
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(starts_again_what_ends),
		IN_WORLD(starts_again_what_was_killed),
		IN_WORLD(waits_longer_each_time),
		IN_WORLD(a_refused_configuration_ends_everything),
		IN_WORLD(a_program_that_is_not_there_ends_everything),
		IN_WORLD(one_that_was_up_may_end_with_2),
		IN_WORLD(those_the_others_need_stop_last),
		IN_WORLD(a_second_stop_does_not_wait),
		IN_WORLD(a_child_does_not_see_what_is_hidden),
		IN_WORLD(a_new_one_takes_over),
		IN_WORLD(one_that_drains_is_not_told_again),
		IN_WORLD(one_that_does_not_drain_is_killed),
		IN_WORLD(asked_while_the_old_one_drains_renews_again),
		IN_WORLD(asked_while_the_new_one_starts_begins_anew),
		IN_WORLD(a_child_does_not_speak_to_the_service_manager),
		IN_WORLD(refuses_what_cannot_be_executed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "core/child.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/mem.h"
#include "unit.h"

enum { PATIENCE_MS = 30000, OUT_MAX = 1000 };

struct seen {
	struct event_base *base;
	unsigned times;
	struct child_end end;
	char *out;
};

static void on_end(const struct child_end *end, void *arg)
{
	struct seen *s = arg;

	s->times++;
	s->end = *end;
	s->out = xmemdup(end->out, end->n + 1);
	(void)event_base_loopbreak(s->base);
}

static void run(struct seen *s, const char *script, int64_t timeout_ms)
{
	const char *argv[] = { "/bin/sh", "-c", script, NULL };
	struct timeval patience = clock_timeval(PATIENCE_MS);
	struct child *c;
	struct err err;

	*s = (struct seen){ .base = event_base_new() };
	assert_non_null(s->base);
	assert_ok(child_start(s->base, argv, timeout_ms, OUT_MAX, on_end, s, &c, &err), &err);
	(void)event_base_loopexit(s->base, &patience);
	(void)event_base_dispatch(s->base);
	assert_int_equal(s->times, 1);
}

static void done(struct seen *s)
{
	free(s->out);
	event_base_free(s->base);
}

static void output_and_status_come_back(void **state)
{
	struct seen s;

	UNUSED(state);
	run(&s, "echo one; echo two; exit 3", PATIENCE_MS);
	assert_string_equal(s.out, "one\ntwo\n");
	assert_int_equal(s.end.status, 3);
	assert_false(s.end.late || s.end.over);
	done(&s);
	run(&s, "kill -9 $$", PATIENCE_MS);
	assert_int_equal(s.end.status, 256 + SIGKILL);
	assert_string_equal(s.out, "");
	done(&s);
	/* Its output may be over long before it is. */
	run(&s, "exec >&-; read nothing; exit 4", PATIENCE_MS);
	assert_int_equal(s.end.status, 4);
	done(&s);
}

static void who_takes_too_long_is_ended_with_its_children(void **state)
{
	struct seen s;

	UNUSED(state);
	/* The one in the background holds the pipe: it has to go, too. */
	run(&s, "echo begun; tail -f /dev/null & tail -f /dev/null", 100);
	assert_true(s.end.late);
	assert_int_equal(s.end.status, 256 + SIGKILL);
	assert_string_equal(s.out, "begun\n");
	done(&s);
	/* Having closed its output does not help. */
	run(&s, "exec >/dev/null; exec tail -f /dev/null", 100);
	assert_true(s.end.late);
	done(&s);
}

static void who_says_too_much_is_ended(void **state)
{
	struct seen s;

	UNUSED(state);
	run(&s, "while :; do echo and again; done", PATIENCE_MS);
	assert_true(s.end.over && !s.end.late);
	assert_true(s.end.n <= OUT_MAX);
	done(&s);
}

static void it_is_fed(void **state)
{
	enum { INPUT = 200000 }; /* more than a pipe holds */
	const char *argv[] = { "/bin/sh", "-c", "wc -c; printf '%s' \"$#\"", NULL };
	OWNED(freep) char *input = xcalloc(1, INPUT);
	struct timeval patience = clock_timeval(PATIENCE_MS);
	struct seen s = { .base = event_base_new() };
	struct child *c;
	struct err err;

	UNUSED(state);
	assert_ok(child_start_fed(s.base, argv, input, INPUT, PATIENCE_MS, OUT_MAX, on_end, &s, &c,
				  &err),
		  &err);
	(void)event_base_loopexit(s.base, &patience);
	(void)event_base_dispatch(s.base);
	assert_string_equal(s.out, "200000\n0");
	done(&s);
}

static void no_secret_is_handed_on(void **state)
{
	struct seen s;

	UNUSED(state);
	assert_int_equal(setenv("PIPELINE_GUARD_GITHUB_TOKEN", "ghp_secret", 1), 0);
	run(&s, "echo \"[$PIPELINE_GUARD_GITHUB_TOKEN]\"; test -n \"$PATH\"", PATIENCE_MS);
	assert_string_equal(s.out, "[]\n");
	assert_int_equal(s.end.status, 0);
	done(&s);
}

static void one_that_was_cancelled_is_not_heard_of(void **state)
{
	const char *argv[] = { "/bin/sh", "-c", "exec tail -f /dev/null", NULL };
	struct seen s = { .base = event_base_new() };
	struct child *c;
	struct err err;

	UNUSED(state);
	assert_ok(child_start(s.base, argv, PATIENCE_MS, OUT_MAX, on_end, &s, &c, &err), &err);
	child_cancel(c);
	child_cancel(NULL);
	(void)event_base_loop(s.base, EVLOOP_NONBLOCK);
	assert_int_equal(s.times, 0);
	done(&s);
}

static void what_is_not_there_cannot_be_run(void **state)
{
	const char *argv[] = { "/nonexistent", NULL };
	struct seen s = { .base = event_base_new() };
	struct child *c;
	struct err err;

	UNUSED(state);
	assert_int_equal(child_start(s.base, argv, 100, OUT_MAX, on_end, &s, &c, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_non_null(strstr(err.msg, "/nonexistent"));
	done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_status_come_back),
		cmocka_unit_test(who_takes_too_long_is_ended_with_its_children),
		cmocka_unit_test(who_says_too_much_is_ended),
		cmocka_unit_test(it_is_fed),
		cmocka_unit_test(no_secret_is_handed_on),
		cmocka_unit_test(one_that_was_cancelled_is_not_heard_of),
		cmocka_unit_test(what_is_not_there_cannot_be_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * One test's world: a temporary folder, a real redis-server on a unix socket
 * there, and real processes of ours. Everything dies with the test, and a test that
 * failed prints the end of every log.
 *
 *   static void heals_once(struct rig *r) { ... }
 *   const struct CMUnitTest tests[] = { RIG_TEST(heals_once) };
 *   return rig_main(tests, ARRAY_LEN(tests));
 *
 * At the end of a test everything that still runs has to drain and exit 0, and no file may hold a
 * text that was given to rig_hide().
 *
 * Nothing here returns an error: what goes wrong fails the test. Texts and JSON that are handed
 * out live as long as the rig.
 */
#ifndef GUARD_TESTS_HARNESS_H
#define GUARD_TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base.h"
#include "core/buf.h"
#include "core/clock.h"
#include "tests/unit/unit.h"

struct json_object;
struct redisReply;
struct rig;

enum {
	PATIENCE_MS = 30000, /* for a condition that has to come true; sanitizers are slow */
	EXIT_SKIP = 77,
};

typedef void rig_test_fn(struct rig *);
struct rig_case {
	rig_test_fn *fn;
};

#define RIG_TEST(fn)                                                  \
	{                                                             \
#fn, rig_run, rig_open, rig_close, &(struct rig_case) \
		{                                                     \
			fn                                            \
		}                                                     \
	}
/*
 * Runs them; 77 when there is no redis-server, or all were skipped. Arguments: "NAME" runs the
 * tests whose names match, "-NAME" those that do not.
 */
#define rig_main(tests) rig_main_n((tests), ARRAY_LEN(tests), #tests, argc, argv)
int rig_main_n(const struct CMUnitTest *tests, size_t n, const char *name, int argc, char **argv);
/* Ends the test here, visibly: what it needs is not on this machine. */
void rig_skip(struct rig *, const char *why) NO_RETURN;
/* What RIG_TEST uses. */
int rig_open(void **state);
void rig_run(void **state);
int rig_close(void **state);

/* --- texts ------------------------------------------------------------------------------ */

const char *rig_printf(struct rig *, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *rig_text(struct rig *, const char *s, size_t n);
void *rig_alloc(struct rig *, size_t n); /* zeroed */
/* Fails when it is no JSON. Paths are dotted names, as in core/json.h. */
struct json_object *rig_json(struct rig *, const char *text, size_t n);

/* A file in the folder of the test; the name is relative. */
const char *rig_path(struct rig *, const char *name);
void rig_write(struct rig *, const char *name, const char *text, mode_t mode);
/* The whole file, wherever it is; NULL when it cannot be read. */
const char *rig_read(struct rig *, const char *path);
/*
 * How many files below the folder hold the text; `except` are names relative to the folder.
 * The append-only file of Redis is among them, which has everything that was ever written.
 */
unsigned rig_grep(struct rig *, const char *text, const char *const *except);

/* A secret, which is in the file of that name and may be nowhere else, nor in anybody's argv. */
void rig_hide(struct rig *, const char *text, const char *name);

/* --- waiting ------------------------------------------------------------------------------ */

/* Until cond is true; the test fails after `ms`, or when a process died that should not. */
#define WAIT_MS(r, cond, ms)                                                                \
	do {                                                                                \
		int64_t end_ = clock_mono_ms() + (ms);                                      \
		while (!(cond)) {                                                           \
			if (clock_mono_ms() > end_)                                         \
				fail_msg("waited %d ms in vain for: %s", (int)(ms), #cond); \
			rig_tick(r);                                                        \
		}                                                                           \
	} while (0)
#define WAIT(r, cond) WAIT_MS(r, cond, PATIENCE_MS)
void rig_tick(struct rig *);

/*
 * True while `ms` pass and cond stays false: for what must not happen. Proves little, so it
 * goes together with something that did happen.
 */
#define STAYS_FALSE(r, cond, ms)                            \
	__extension__({                                     \
		int64_t until_ = clock_mono_ms() + (ms);    \
		bool held_ = true;                          \
		while (held_ && clock_mono_ms() < until_) { \
			held_ = !(cond);                    \
			rig_tick(r);                        \
		}                                           \
		held_;                                      \
	})

/* --- processes ------------------------------------------------------------------------------ */

struct proc;

/* argv and env ("NAME=VALUE", added to ours) end with NULL; env may be NULL. Both outputs go to
 * NAME.log. A proc is never forgotten: the name may be used again after it ended. */
struct proc *proc_start(struct rig *, const char *name, const char *const *argv,
			const char *const *env);
/* The rest of the first line of output that begins with `prefix`. */
const char *proc_line(struct proc *, const char *prefix);
const char *proc_output(struct proc *); /* since this start */
pid_t proc_pid(const struct proc *);
bool proc_running(struct proc *);
void proc_may_die(struct proc *); /* its death is not a failure of the test */
void proc_signal(struct proc *, int sig);
void proc_kill(struct proc *);        /* SIGKILL, and it is gone */
int proc_wait(struct proc *, int ms); /* exit status, or 256 + signal */
/* SIGTERM; the exit status. A test wants 0: then it drained, and leaked nothing under ASan. */
int proc_stop(struct proc *);

/* --- redis ------------------------------------------------------------------------------ */

/* Started by rig_open. */
const char *redis_url(struct rig *);
void redis_kill(struct rig *); /* kill -9 */
void redis_start(struct rig *);
struct proc *redis_proc(struct rig *);
/* From here on the questions go to another one; waits until it answers. */
void redis_use(struct rig *, const char *socket);

/* printf formats of hiredis; arguments with %s and %lld. Valid until the next command. */
struct redisReply *redis_do(struct rig *, const char *fmt, ...);
struct redisReply *redis_do_argv(struct rig *, const char *const *argv); /* ends with NULL */
int64_t redis_int_of(struct rig *, const char *fmt, ...);                /* of an integer reply */
const char *redis_text_of(struct rig *, const char *fmt, ...);           /* "" for nil */
/* Field of the newest entry of a stream, "" when there is none. */
const char *redis_last_field(struct rig *, const char *stream, const char *field);

#endif

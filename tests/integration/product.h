/* Our daemons and the simulator as a test uses them: short settings, and questions in one line. */
#ifndef GUARD_TESTS_PRODUCT_H
#define GUARD_TESTS_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/integration/client.h"
#include "tests/integration/harness.h"

#define WEBHOOK_SECRET "webhook-secret-of-the-integration-tests"
#define API_TOKEN      "ghp_integrationTokenThatMustNotLeak01234"

/* Keys of the default region and partition. */
#define EVENTS   "pg:{local:0}:events"
#define DEAD     "pg:{local:0}:dead"
#define DUE      "pg:{local:0}:due"
#define OUTCOMES "pg:{local:0}:outcomes"

/*
 * `...`: further settings "key=value", closed by NULL; a later one replaces an earlier one. Each
 * returns when the process has printed that it is ready.
 */
#define LIST(...)                      ((const char *const[]){ __VA_ARGS__, NULL })
#define receiver_start(r, ...)         receiver_start_list((r), LIST(__VA_ARGS__))
#define dispatcher_start(r, name, ...) dispatcher_start_list((r), (name), NULL, LIST(__VA_ARGS__))
struct proc *receiver_start_list(struct rig *, const char *const *sets);
struct proc *dispatcher_start_list(struct rig *, const char *name, const char *crash_point,
				   const char *const *sets);
/*
 * "rules_dir=..." with only these files of conf/rules, closed by NULL: the whole set takes seconds
 * to load under a sanitizer, so a test that starts many dispatchers asks for what it needs.
 */
#define rules_only(r, ...) rules_only_list((r), LIST(__VA_ARGS__))
const char *rules_only_list(struct rig *, const char *const *names);
/* With crash point, see dispatcher/test_hooks.h; it is expected to die. */
#define dispatcher_start_doomed(r, name, point, ...) \
	dispatcher_start_list((r), (name), (point), LIST(__VA_ARGS__))
/* The binary with these arguments, closed by NULL; not waited for. */
struct proc *guard_start(struct rig *, const char *name, const char *const *args,
			 const char *const *env);

/* Exit status of `pipeline-guard heal` with these arguments, closed by NULL. */
#define heal_asked(r, ...) heal_asked_list((r), LIST(__VA_ARGS__))
int heal_asked_list(struct rig *, const char *const *args);

/* The key pair of a GitHub App: "app.pem" for us, "app.pub" for the simulator. */
void app_keys(struct rig *);

int receiver_port(struct rig *); /* stays the same when it is started again */
int receiver_admin_port(struct rig *);

/* --- webhooks by hand ----------------------------------------------------------------- */

/* "X-Hub-Signature-256: sha256=...\r\n" of the body. */
const char *signature_line(struct rig *, const char *secret, const void *body, size_t n);
/* Signed as GitHub does; delivery NULL leaves the header out. */
struct answer webhook_post(struct rig *, const char *topic, const char *delivery, const void *body,
			   size_t n);
struct answer webhook_post_text(struct rig *, const char *topic, const char *delivery,
				const char *body);

/* What a workflow_run says; zero fields get harmless values. */
struct run_hook {
	uint64_t run_id, attempt, repo_id;
	const char *repo, *action, *status, *conclusion, *updated_at, *name;
};
const char *run_body(struct rig *, const struct run_hook *);

/* --- simulator ------------------------------------------------------------------------ */

/* `...`: further arguments, closed by NULL. Knows the receiver if that was started before. */
#define simulator_start(r, ...) simulator_start_list((r), LIST(__VA_ARGS__))
struct proc *simulator_start_list(struct rig *, const char *const *args);
int simulator_port(struct rig *);
const char *simulator_url(struct rig *);
/* A failing run as the JSON wishes; its id. */
uint64_t sim_run(struct rig *, const char *json);
/* Member of what the simulator knows of a run, of its summary, ... */
int64_t sim_number(struct rig *, uint64_t run, const char *member);
const char *sim_word(struct rig *, uint64_t run, const char *member);
int64_t sim_total(struct rig *, const char *member);
void sim_post(struct rig *, const char *path, const char *json); /* fails unless 2xx */
void sim_fault(struct rig *, const char *json);
/* Waits until each of them met its call. */
void sim_faults_happened(struct rig *);
void sim_no_faults(struct rig *);

/* --- what the guard knows ---------------------------------------------------------------- */

/* Of the run the simulator made. */
const char *run_key(struct rig *, uint64_t run);
const char *run_field(struct rig *, uint64_t run, const char *field);
/* Of its plan for one attempt. */
const char *plan_field(struct rig *, uint64_t run, uint64_t generation, const char *field);
/* Waits until the plan of that attempt is done; its result. */
const char *plan_result(struct rig *, uint64_t run, uint64_t generation);
/* The same for all of them: waits until every plan of the first attempt is done. */
void plans_done(struct rig *, const uint64_t *runs, size_t n);
/* Outcomes in the stream for that plan: exactly-once means 1. */
unsigned outcomes_of(struct rig *, uint64_t run, uint64_t generation);

#endif

/* Local repositories, made by git itself, in every state that the monitor knows. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "core/ci_event.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/mem.h"
#include "tests/integration/product.h"

#define HOST   "machine"
#define STATUS "pg:{local}:monitor"
#define SOURCE "git:" HOST

enum { LONG_AGO_S = 7200 };

#define QUICK                                                                                      \
	"git.host=machine", "monitor.enabled=true", "monitor.check_interval=100ms",                \
		"monitor.min_interval=50ms", "monitor.max_interval=200ms", "monitor.lease=1500ms", \
		"git.objects_interval=0s", "admin_listen=none"

static const char *few_rules(struct rig *r)
{
	return rules_only(r, "markers.yaml", NULL);
}

/* --- git ---------------------------------------------------------------------------------- */

static int try_git(struct rig *r, const char *folder, const char *const *args)
{
	const char *argv[24] = { "/usr/bin/env", "git",
				 "-C",           folder,
				 "-c",           "user.name=Ann",
				 "-c",           "user.email=ann@example.org",
				 "-c",           "protocol.file.allow=always",
				 "-c",           "advice.detachedHead=false" };
	const char *const env[] = { "GIT_CONFIG_NOSYSTEM=1", "GIT_EDITOR=true", NULL };
	size_t n = 12;
	struct proc *p;

	for (; *args; args++)
		argv[n++] = *args;
	p = proc_start(r, "git", argv, env);
	proc_may_die(p);
	return proc_wait(p, PATIENCE_MS);
}
#define GIT(r, folder, ...) assert_int_equal(try_git((r), (folder), LIST(__VA_ARGS__)), 0)
#define GIT_CONFLICT(r, folder, ...) \
	assert_int_not_equal(try_git((r), (folder), LIST(__VA_ARGS__)), 0)

static void put(struct rig *r, const char *folder, const char *file, const char *text)
{
	const char *path = rig_printf(r, "%s/%s", folder, file);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	(void)fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* As if it had been left there long ago. */
static void age(struct rig *r, const char *folder, const char *file)
{
	const struct timespec old[2] = { { .tv_sec = clock_wall_ms() / 1000 - LONG_AGO_S },
					 { .tv_sec = clock_wall_ms() / 1000 - LONG_AGO_S } };

	assert_int_equal(utimensat(AT_FDCWD, rig_printf(r, "%s/%s", folder, file), old, 0), 0);
}

static void commit(struct rig *r, const char *folder, const char *file, const char *text)
{
	put(r, folder, file, text);
	GIT(r, folder, "add", file);
	GIT(r, folder, "commit", "-q", "-m", text);
}

static const char *repository(struct rig *r, const char *name)
{
	const char *folder = rig_path(r, name);

	assert_int_equal(mkdir(folder, 0700), 0);
	GIT(r, folder, "init", "-q", "-b", "main");
	commit(r, folder, "a", "one");
	commit(r, folder, "b", "two");
	return folder;
}

/* Two commits that want the same line otherwise, on main and on other. */
static void two_sides(struct rig *r, const char *folder)
{
	GIT(r, folder, "switch", "-q", "-c", "other");
	commit(r, folder, "a", "theirs");
	GIT(r, folder, "switch", "-q", "main");
	commit(r, folder, "a", "ours");
}

static const char *upstream_of(struct rig *r, const char *folder)
{
	const char *up = rig_printf(r, "%s-up", folder);

	GIT(r, folder, "clone", "-q", "--bare", folder, up);
	GIT(r, folder, "remote", "add", "origin", up);
	GIT(r, folder, "fetch", "-q", "origin");
	GIT(r, folder, "branch", "-q", "-u", "origin/main", "main");
	return up;
}

/* The path of a loose object. */
static const char *object_file(struct rig *r, const char *folder, const char *what)
{
	static char hex[64];
	const char *argv[] = { "/usr/bin/env", "git", "-C", folder, "rev-parse", what, NULL };
	struct proc *p = proc_start(r, "rev-parse", argv, NULL);

	assert_int_equal(proc_wait(p, PATIENCE_MS), 0);
	(void)snprintf(hex, sizeof(hex), "%.40s", proc_output(p));
	return rig_printf(r, ".git/objects/%.2s/%s", hex, hex + 2);
}

/* --- states ------------------------------------------------------------------------------- */

static void lock_the_index(struct rig *r, const char *folder)
{
	put(r, folder, ".git/index.lock", "");
	age(r, folder, ".git/index.lock");
}

static void lock_head(struct rig *r, const char *folder)
{
	put(r, folder, ".git/HEAD.lock", "");
	age(r, folder, ".git/HEAD.lock");
}

static void lock_a_branch(struct rig *r, const char *folder)
{
	put(r, folder, ".git/refs/heads/main.lock", "");
	age(r, folder, ".git/refs/heads/main.lock");
}

static void merge(struct rig *r, const char *folder)
{
	two_sides(r, folder);
	GIT_CONFLICT(r, folder, "merge", "-q", "other");
	age(r, folder, ".git/MERGE_HEAD");
	age(r, folder, ".git/index");
}

static void merge_without_conflict(struct rig *r, const char *folder)
{
	GIT(r, folder, "switch", "-q", "-c", "other");
	commit(r, folder, "c", "theirs");
	GIT(r, folder, "switch", "-q", "main");
	GIT(r, folder, "merge", "-q", "--no-ff", "--no-commit", "other");
	age(r, folder, ".git/MERGE_HEAD");
}

static void rebase(struct rig *r, const char *folder)
{
	two_sides(r, folder);
	GIT_CONFLICT(r, folder, "rebase", "-q", "other");
	age(r, folder, ".git/rebase-merge");
}

static void cherry_pick(struct rig *r, const char *folder)
{
	two_sides(r, folder);
	GIT_CONFLICT(r, folder, "cherry-pick", "other");
	age(r, folder, ".git/CHERRY_PICK_HEAD");
}

static void revert(struct rig *r, const char *folder)
{
	commit(r, folder, "a", "three");
	commit(r, folder, "a", "four");
	GIT_CONFLICT(r, folder, "revert", "--no-edit", "HEAD~1");
	age(r, folder, ".git/REVERT_HEAD");
}

static void bisect(struct rig *r, const char *folder)
{
	commit(r, folder, "a", "three");
	commit(r, folder, "a", "four");
	GIT(r, folder, "bisect", "start", "HEAD", "HEAD~3");
	age(r, folder, ".git/BISECT_LOG");
}

static void detach(struct rig *r, const char *folder)
{
	GIT(r, folder, "checkout", "-q", "--detach");
}

static void diverge(struct rig *r, const char *folder)
{
	(void)upstream_of(r, folder);
	GIT(r, folder, "reset", "-q", "--hard", "HEAD~1");
	commit(r, folder, "c", "another way");
}

static void fall_behind(struct rig *r, const char *folder)
{
	(void)upstream_of(r, folder);
	GIT(r, folder, "reset", "-q", "--hard", "HEAD~1");
}

static void lose_a_file(struct rig *r, const char *folder)
{
	assert_int_equal(unlink(rig_printf(r, "%s/%s", folder, object_file(r, folder, "HEAD:a"))),
			 0);
}

static void lose_a_folder(struct rig *r, const char *folder)
{
	assert_int_equal(
		unlink(rig_printf(r, "%s/%s", folder, object_file(r, folder, "HEAD^{tree}"))), 0);
}

static void lose_history(struct rig *r, const char *folder)
{
	assert_int_equal(unlink(rig_printf(r, "%s/%s", folder, object_file(r, folder, "HEAD~1"))),
			 0);
}

/* Not in place: a clone on the same disk has the same file. */
static void replace(struct rig *r, const char *folder, const char *file, const char *text)
{
	assert_int_equal(unlink(rig_printf(r, "%s/%s", folder, file)), 0);
	put(r, folder, file, text);
}

static void damage_a_file(struct rig *r, const char *folder)
{
	const char *object = object_file(r, folder, "HEAD:a");

	replace(r, folder, object, "not an object of git's");
}

/* As a bad disk does it: some bytes in the middle of the largest file there is. */
static void damage_a_pack(struct rig *r, const char *folder)
{
	const char *script =
		"cd \"$0/.git/objects/pack\" && chmod u+w *.pack && "
		"printf 'not what it was' | dd of=$(ls *.pack) bs=1 conv=notrunc status=none "
		"seek=$(($(stat -c %s *.pack) / 2))";
	const char *argv[] = { "/usr/bin/env", "sh", "-c", script, folder, NULL };
	char big[4001];

	for (size_t i = 0; i < sizeof(big) - 1; i++)
		big[i] = (char)('a' + random_below(26));
	big[sizeof(big) - 1] = '\0';
	commit(r, folder, "big", big);
	GIT(r, folder, "push", "-q", "origin", "HEAD:big");
	GIT(r, folder, "gc", "-q");
	assert_int_equal(proc_wait(proc_start(r, "damage", argv, NULL), PATIENCE_MS), 0);
}

static void empty_an_object(struct rig *r, const char *folder)
{
	const char *object = object_file(r, folder, "HEAD:b");

	replace(r, folder, object, "");
}

static void empty_a_ref(struct rig *r, const char *folder)
{
	put(r, folder, ".git/refs/heads/crashed", "");
}

static void point_to_nothing(struct rig *r, const char *folder)
{
	put(r, folder, ".git/refs/heads/lost", "0123456789012345678901234567890123456789\n");
}

static void damage_the_index(struct rig *r, const char *folder)
{
	put(r, folder, ".git/index", "DIRC, but no more");
}

static void leave_a_gc_log(struct rig *r, const char *folder)
{
	put(r, folder, ".git/gc.log", "warning: There are too many unreachable loose objects\n");
	age(r, folder, ".git/gc.log");
}

static void lose_head(struct rig *r, const char *folder)
{
	assert_int_equal(unlink(rig_printf(r, "%s/.git/HEAD", folder)), 0);
}

static const struct state {
	const char *name;
	void (*make)(struct rig *, const char *folder);
	const char *problem;
	const char *subject; /* NULL: an object's id, not known here */
} states[] = {
	{ "lock-index", lock_the_index, "stale_lock", "index.lock" },
	{ "lock-head", lock_head, "stale_lock", "HEAD.lock" },
	{ "lock-ref", lock_a_branch, "stale_lock", "refs/heads/main.lock" },
	{ "merge", merge_without_conflict, "interrupted", "merge" },
	{ "merge-conflict", merge, "conflicts", "" },
	{ "rebase", rebase, "interrupted", "rebase" },
	{ "cherry-pick", cherry_pick, "interrupted", "cherry-pick" },
	{ "revert", revert, "interrupted", "revert" },
	{ "bisect", bisect, "interrupted", "bisect" },
	{ "detached", detach, "detached_head", "" },
	{ "diverged", diverge, "diverged", "main" },
	{ "behind", fall_behind, "behind", "main" },
	{ "no-file", lose_a_file, "corrupt", NULL },
	{ "no-folder", lose_a_folder, "corrupt", NULL },
	{ "no-history", lose_history, "corrupt", "history" },
	{ "damaged", damage_a_file, "corrupt", NULL },
	{ "empty-object", empty_an_object, "corrupt", NULL },
	{ "empty-ref", empty_a_ref, "bad_ref", "refs/heads/crashed" },
	{ "lost-ref", point_to_nothing, "bad_ref", "refs/heads/lost" },
	{ "index", damage_the_index, "bad_index", "index" },
	{ "gc", leave_a_gc_log, "gc_failed", "gc.log" },
	{ "no-head", lose_head, "unreadable", "" },
};

/* --- what the guard knows ------------------------------------------------------------------ */

static const char *git_run(struct rig *r, const char *folder, const char *problem,
			   const char *subject)
{
	const char *where = rig_printf(r, HOST ":%s", folder);
	const char *what = rig_printf(r, "%s\n%s", problem, subject);

	return rig_printf(r, "git:%" PRIu64 ":%" PRIu64, sha256_id(where, strlen(where)),
			  sha256_id(what, strlen(what)));
}

static const char *field(struct rig *r, const char *run, const char *name)
{
	return redis_text_of(r, "HGET pg:{local:0}:run:%s %s", run, name);
}

static int64_t checks(struct rig *r)
{
	const char *text = redis_text_of(r, "HGET %s %s", STATUS, SOURCE);

	return *text ? json_i64(rig_json(r, text, strlen(text)), "checks", 0) : 0;
}

static void some_checks(struct rig *r, int64_t n)
{
	int64_t had = checks(r);

	WAIT(r, checks(r) >= had + n);
}

static int64_t events(struct rig *r)
{
	return redis_int_of(r, "XLEN %s", EVENTS);
}

static void watch(struct rig *r, const char *paths, const char *more)
{
	(void)dispatcher_start(r, "dispatcher", few_rules(r), QUICK,
			       rig_printf(r, "git.repositories=%s", paths), more, NULL);
}

/* Some run of the repository fails with this reason. */
static bool has_problem(struct rig *r, const char *folder, const char *problem)
{
	const char *where = rig_printf(r, HOST ":%s", folder);
	const struct redisReply *keys =
		redis_do(r, "KEYS pg:{local:0}:run:git:%s:*",
			 rig_printf(r, "%" PRIu64, sha256_id(where, strlen(where))));
	const char *names[16];
	size_t n = 0;

	for (size_t i = 0; i < keys->elements && n < ARRAY_LEN(names); i++)
		names[n++] = rig_text(r, keys->element[i]->str, keys->element[i]->len);
	while (n)
		if (strcmp(redis_text_of(r, "HGET %s failure_reason", names[--n]), problem) == 0)
			return true;
	return false;
}

/* A person is asked whether to. */
static bool can_be_repaired(const struct state *s)
{
	static const char *const words[] = { "stale_lock", "interrupted", "corrupt",
					     "bad_ref",    "bad_index",   "gc_failed" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(s->problem, words[i]) == 0)
			return true;
	return false;
}

/* --- tests ---------------------------------------------------------------------------------- */

static void every_state_is_found_and_a_person_is_told_what_to_do(struct rig *r)
{
	const char *folders[ARRAY_LEN(states)], *paths = "";

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		folders[i] = repository(r, states[i].name);
		states[i].make(r, folders[i]);
		paths = rig_printf(r, "%s%s%s", paths, *paths ? "," : "", folders[i]);
	}
	watch(r, paths, NULL);
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		const struct state *s = &states[i];
		const char *run;

		if (!s->subject) {
			WAIT(r, has_problem(r, folders[i], s->problem));
			continue;
		}
		run = git_run(r, folders[i], s->problem, s->subject);
		WAIT(r, strcmp(field(r, run, "plan_state"),
			       can_be_repaired(s) ? "suggested" : "done") == 0);
		assert_string_equal(field(r, run, "conclusion"), "failure");
		assert_string_equal(field(r, run, "failure_reason"), s->problem);
		assert_string_equal(field(r, run, "generation"), "1");
		assert_string_equal(field(r, run, "category"), "scm_failure");
		assert_string_equal(field(r, run, "strategy"),
				    can_be_repaired(s) ? "repair_local_git" : "escalate");
		assert_non_null(strstr(field(r, run, "plan_reason"),
				       can_be_repaired(s) ? "can be put right in the repository"
							  : "waits for a person: "));
		assert_non_null(strstr(field(r, run, "finding"), "\"suggestions\":[\""));
	}
	/* Looked at again and again, each is told once. */
	some_checks(r, 2);
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (states[i].subject)
			assert_string_equal(
				field(r,
				      git_run(r, folders[i], states[i].problem, states[i].subject),
				      "generation"),
				"1");
}

static void nothing_is_said_of_what_is_well(struct rig *r)
{
	const char *work = repository(r, "work"), *bare = upstream_of(r, work);
	const char *fresh = rig_path(r, "fresh"), *shallow = rig_path(r, "shallow");

	assert_int_equal(mkdir(fresh, 0700), 0);
	GIT(r, fresh, "init", "-q", "-b", "main");
	GIT(r, work, "clone", "-q", "--depth", "1", rig_printf(r, "file://%s", bare), shallow);
	/* Young ones are somebody's work. */
	put(r, work, ".git/index.lock", "");
	watch(r, rig_printf(r, "%s,%s,%s,%s", work, bare, fresh, shallow), NULL);
	WAIT(r, checks(r) >= 3);
	assert_int_equal(events(r), 0);
}

static void a_bare_repository_is_looked_at_too(struct rig *r)
{
	const char *work = repository(r, "work"), *bare = upstream_of(r, work);
	const char *run = git_run(r, bare, "stale_lock", "packed-refs.lock");

	put(r, bare, "packed-refs.lock", "");
	age(r, bare, "packed-refs.lock");
	watch(r, bare, NULL);
	WAIT(r, strcmp(field(r, run, "conclusion"), "failure") == 0);
}

static void what_was_repaired_passes_and_may_fail_again(struct rig *r)
{
	const char *folder = repository(r, "work"), *lock = ".git/index.lock";
	const char *run = git_run(r, folder, "stale_lock", "index.lock");

	lock_the_index(r, folder);
	watch(r, folder, NULL);
	WAIT(r, strcmp(field(r, run, "plan_state"), "suggested") == 0);
	assert_int_equal(unlink(rig_printf(r, "%s/%s", folder, lock)), 0);
	WAIT(r, strcmp(field(r, run, "conclusion"), "success") == 0);
	assert_string_equal(field(r, run, "generation"), "2");
	lock_the_index(r, folder);
	WAIT(r, strcmp(field(r, run, "conclusion"), "failure") == 0);
	assert_string_equal(field(r, run, "generation"), "3");
	assert_int_equal(events(r), 3);
}

/* A quick look says nothing of objects: they are not repaired by it. */
static void damage_stays_until_objects_are_read_again(struct rig *r)
{
	const char *folder = repository(r, "work");

	lose_a_file(r, folder);
	watch(r, folder, "git.objects_interval=1h");
	WAIT(r, has_problem(r, folder, "corrupt"));
	some_checks(r, 3);
	assert_int_equal(events(r), 1);
	GIT(r, folder, "hash-object", "-w", "a");
	/* Somebody asks: then all of it is read. */
	(void)redis_do(r, "SADD pg:{local}:monitor:wanted %s", SOURCE);
	WAIT(r, events(r) == 2);
	WAIT(r, !has_problem(r, folder, "corrupt"));
}

static void another_monitor_goes_on_counting(struct rig *r)
{
	const char *folder = repository(r, "work");
	const char *run = git_run(r, folder, "stale_lock", "index.lock");
	struct proc *first;

	lock_the_index(r, folder);
	first = dispatcher_start(r, "first", few_rules(r), QUICK,
				 rig_printf(r, "git.repositories=%s", folder), NULL);
	WAIT(r, strcmp(field(r, run, "conclusion"), "failure") == 0);
	some_checks(r, 1);
	proc_may_die(first);
	proc_kill(first);
	watch(r, folder, NULL);
	WAIT(r, strstr(redis_text_of(r, "GET pg:{local}:lease:monitor:" HOST), " 2") != NULL);
	WAIT(r, checks(r) < 3); /* it counts its own */
	some_checks(r, 2);
	assert_int_equal(events(r), 1);
	assert_int_equal(unlink(rig_printf(r, "%s/.git/index.lock", folder)), 0);
	WAIT(r, strcmp(field(r, run, "conclusion"), "success") == 0);
	assert_string_equal(field(r, run, "generation"), "2");
}

static void a_lock_that_somebody_holds_is_none_of_our_business(struct rig *r)
{
	const char *folder = repository(r, "work");
	const char *run = git_run(r, folder, "stale_lock", "index.lock");
	const char *lock = rig_printf(r, "%s/.git/index.lock", folder);
	const char *never = rig_path(r, "never");
	struct proc *owner;

	lock_the_index(r, folder);
	assert_int_equal(mkfifo(never, 0600), 0);
	owner = proc_start(r, "owner",
			   LIST("/usr/bin/env", "sh", "-c", "exec 9<\"$1\"; exec cat \"$2\"", "sh",
				lock, never),
			   NULL);
	proc_may_die(owner);
	watch(r, folder, NULL);
	WAIT(r, checks(r) >= 3);
	assert_true(proc_running(owner));
	assert_int_equal(events(r), 0);
	proc_kill(owner);
	WAIT(r, strcmp(field(r, run, "conclusion"), "failure") == 0);
}

static void what_is_ignored_is_not_reported(struct rig *r)
{
	const char *folder = repository(r, "work");

	detach(r, folder);
	watch(r, folder, "git.ignore=behind, detached_head");
	WAIT(r, checks(r) >= 3);
	assert_int_equal(events(r), 0);
}

/* A process that hangs is ended; what it had said of others counts. */
static void a_look_that_hangs_is_ended(struct rig *r)
{
	const char *good = repository(r, "good"), *hangs = repository(r, "hangs");
	const char *run = git_run(r, good, "stale_lock", "index.lock"), *text;
	struct json_object *o;

	lock_the_index(r, good);
	assert_int_equal(mkfifo(rig_printf(r, "%s/.git/packed-refs", hangs), 0600), 0);
	watch(r, rig_printf(r, "%s,%s", good, hangs), "git.timeout=2s");
	WAIT(r, strcmp(field(r, run, "conclusion"), "failure") == 0);
	WAIT(r, checks(r) >= 1);
	text = redis_text_of(r, "HGET %s %s", STATUS, SOURCE);
	o = rig_json(r, text, strlen(text));
	assert_false(json_flag(o, "healthy", true));
	assert_non_null(strstr(json_str(o, "why", ""), "git.timeout"));
	assert_int_equal(events(r), 1);
}

static int guard(struct rig *r, const char *const *args)
{
	return proc_wait(guard_start(r, "guard", args, NULL), PATIENCE_MS);
}

/* --- repairs -------------------------------------------------------------------------------- */

/* Everything on record, in one text. */
static const char *audit_text(struct rig *r)
{
	const struct redisReply *all = redis_do(r, "XRANGE pg:{local}:audit - +");
	const char *text = "";

	for (size_t i = 0; i < all->elements; i++) {
		const struct redisReply *pairs = all->element[i]->element[1];

		for (size_t k = 0; k < pairs->elements; k++)
			text = rig_printf(r, "%s %s", text, pairs->element[k]->str);
	}
	return text;
}

static bool exists(struct rig *r, const char *folder, const char *file)
{
	return access(rig_printf(r, "%s/%s", folder, file), F_OK) == 0;
}

static void a_lock_is_removed_once_somebody_agrees(struct rig *r)
{
	const char *folder = repository(r, "work");
	const char *run = git_run(r, folder, "stale_lock", "index.lock");
	const char *env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)), NULL };

	lock_the_index(r, folder);
	watch(r, folder, NULL);
	WAIT(r, strcmp(field(r, run, "plan_state"), "suggested") == 0);
	assert_true(exists(r, folder, ".git/index.lock"));
	assert_int_equal(
		proc_wait(guard_start(r, "heal", LIST("heal", "--approve", run), env), PATIENCE_MS),
		0);
	WAIT(r, strcmp(field(r, run, "plan_state"), "done") == 0);
	assert_false(exists(r, folder, ".git/index.lock"));
	assert_string_equal(field(r, run, "conclusion"), "success");
	assert_string_equal(field(r, run, "outcome"), "healed");
}

static int fsck(struct rig *r, const char *folder)
{
	return try_git(r, folder,
		       LIST("-c", "safe.directory=*", "fsck", "--full", "--no-dangling"));
}

static void what_is_lost_is_restored_once_somebody_agrees(struct rig *r)
{
	const char *folder = repository(r, "work");
	const char *run = git_run(r, folder, "corrupt", "history");
	const char *env[] = { rig_printf(r, "PIPELINE_GUARD_REDIS_URL=%s", redis_url(r)), NULL };

	(void)upstream_of(r, folder);
	lose_history(r, folder);
	watch(r, folder, NULL);
	WAIT(r, strcmp(field(r, run, "plan_state"), "suggested") == 0);
	assert_int_equal(
		proc_wait(guard_start(r, "heal", LIST("heal", "--approve", run), env), PATIENCE_MS),
		0);
	WAIT(r, strcmp(field(r, run, "plan_state"), "done") == 0);
	assert_string_equal(field(r, run, "outcome"), "healed");
	assert_int_equal(fsck(r, folder), 0);
}

/* Changes are allowed: git is judged and run in the sandbox, or refused where there is none. */
static void what_was_begun_is_taken_back_where_the_policy_allows_it(struct rig *r)
{
	const char *folder = repository(r, "work"), *records;
	const char *run = git_run(r, folder, "interrupted", "rebase");

	rebase(r, folder);
	rig_write(r, "policy.yaml", "defaults: { risk: change }\n", 0600);
	watch(r, folder, rig_printf(r, "policy_file=%s", rig_path(r, "policy.yaml")));
	WAIT(r, strcmp(field(r, run, "plan_state"), "done") == 0);
	records = audit_text(r);
	assert_non_null(strstr(records, "git update-index -q --refresh"));
	assert_non_null(strstr(records, "nothing to object to"));
	if (strcmp(field(r, run, "outcome"), "healed") == 0) {
		assert_false(exists(r, folder, ".git/rebase-merge"));
	} else {
		/* Refused, or known before and left to a person. */
		assert_true(strstr(field(r, run, "outcome_detail"), "sandbox_unavailable") ||
			    strstr(field(r, run, "plan_reason"), "sandbox_unavailable"));
		assert_true(exists(r, folder, ".git/rebase-merge"));
	}
}

/* Below the threshold nothing is run, and that is on record. */
static void what_the_auditor_refuses_is_not_run(struct rig *r)
{
	const char *folder = repository(r, "work");
	const char *run = git_run(r, folder, "interrupted", "rebase");

	rebase(r, folder);
	assert_int_equal(symlink("/etc", rig_printf(r, "%s/update-index", folder)), 0);
	rig_write(r, "policy.yaml", "defaults: { risk: change }\n", 0600);
	watch(r, folder, rig_printf(r, "policy_file=%s", rig_path(r, "policy.yaml")));
	WAIT(r, strcmp(field(r, run, "plan_state"), "done") == 0);
	assert_string_equal(field(r, run, "outcome"), "refused");
	assert_non_null(strstr(audit_text(r), "symlink_escape"));
	assert_true(exists(r, folder, ".git/rebase-merge"));
}

/* As a user who is not root and owns the repository: that is who the sandbox is for. */
static int repair_as_owner(struct rig *r, const char *folder, const char *problem)
{
	const char *as = geteuid() == 0 ? "65534:65534" : NULL;
	const char *tree[] = { "/usr/bin/env", "chown", "-R", as, folder, NULL };
	const char *argv[] = { "/usr/bin/env",
			       "setpriv",
			       "--reuid=65534",
			       "--regid=65534",
			       "--clear-groups",
			       getenv("GUARD_BIN"),
			       "git-repair",
			       "--problem",
			       problem,
			       folder,
			       NULL };
	struct proc *p;

	if (as) {
		p = proc_start(r, "chown", tree, NULL);
		assert_int_equal(proc_wait(p, PATIENCE_MS), 0);
		assert_int_equal(chmod(rig_path(r, "."), 0755), 0);
	}
	p = proc_start(r, "repair", as ? argv : argv + 5, LIST(rig_printf(r, "HOME=%s", folder)));
	proc_may_die(p);
	(void)proc_wait(p, PATIENCE_MS);
	if (strstr(proc_output(p), "sandbox_unavailable"))
		rig_skip(r, "this host has no sandbox");
	return proc_wait(p, PATIENCE_MS);
}

static void every_operation_is_taken_back_in_the_sandbox(struct rig *r)
{
	static const struct {
		const char *name, *file;
		void (*make)(struct rig *, const char *folder);
	} rows[] = {
		{ "merge", "MERGE_HEAD", merge },
		{ "merge-clean", "MERGE_HEAD", merge_without_conflict },
		{ "rebase", "rebase-merge", rebase },
		{ "cherry-pick", "CHERRY_PICK_HEAD", cherry_pick },
		{ "revert", "REVERT_HEAD", revert },
		{ "bisect", "BISECT_LOG", bisect },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *folder = repository(r, rows[i].name);
		const char *file = rig_printf(r, ".git/%s", rows[i].file);
		const char *hook = ".git/hooks/post-checkout";

		rows[i].make(r, folder);
		(void)mkdir(rig_printf(r, "%s/.git/hooks", folder), 0700);
		put(r, folder, hook, "#!/bin/sh\ntouch hook-ran\n");
		assert_int_equal(chmod(rig_printf(r, "%s/%s", folder, hook), 0755), 0);
		assert_true(exists(r, folder, file));
		assert_int_equal(repair_as_owner(r, folder, "stale_lock"), 0);
		assert_true(exists(r, folder, file));
		assert_int_equal(repair_as_owner(r, folder, "interrupted"), 0);
		assert_false(exists(r, folder, file));
		assert_false(exists(r, folder, "hook-ran"));
		/* Once more there is nothing to do. */
		assert_int_equal(repair_as_owner(r, folder, "interrupted"), 0);
	}
}

static void what_is_lost_comes_back_from_a_remote(struct rig *r)
{
	static const struct {
		const char *name;
		void (*make)(struct rig *, const char *folder);
		bool damaged; /* there is something to set aside */
	} rows[] = {
		{ "file", lose_a_file, false },     { "folder", lose_a_folder, false },
		{ "history", lose_history, false }, { "damaged", damage_a_file, true },
		{ "empty", empty_an_object, true }, { "pack", damage_a_pack, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *folder = repository(r, rows[i].name);
		const char *aside = ".git/pipeline-guard-damaged";

		(void)upstream_of(r, folder);
		rows[i].make(r, folder);
		assert_case(fsck(r, folder) != 0, rows[i].name);
		assert_case(repair_as_owner(r, folder, "corrupt") == 0, rows[i].name);
		assert_case(fsck(r, folder) == 0, rows[i].name);
		assert_case(exists(r, folder, aside) == rows[i].damaged, rows[i].name);
		/* Once more there is nothing to do. */
		assert_case(repair_as_owner(r, folder, "corrupt") == 0, rows[i].name);
	}
}

static void what_no_remote_has_stays_lost(struct rig *r)
{
	const char *folder = repository(r, "work"), *up;
	struct proc *p;

	damage_a_file(r, folder);
	p = guard_start(r, "alone", LIST("git-repair", "--problem", "corrupt", folder), NULL);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 1);
	assert_non_null(strstr(proc_output(p), "it has no remote on this machine"));
	/* Nothing is set aside that nothing takes the place of. */
	assert_false(exists(r, folder, ".git/pipeline-guard-damaged"));
	up = repository(r, "other");
	commit(r, up, "c", "of another history");
	GIT(r, folder, "remote", "add", "origin", up);
	p = guard_start(r, "asked", LIST("git-repair", "--problem", "corrupt", folder), NULL);
	(void)proc_wait(p, PATIENCE_MS);
	assert_true(strstr(proc_output(p), "no remote has them") ||
		    strstr(proc_output(p), "put back from a remote"));
}

/* They name as a remote what root may read and they may not. */
static void a_repository_reaches_no_further_than_its_owner(struct rig *r)
{
	const char *folder = repository(r, "work"), *up = upstream_of(r, folder);
	const char *argv[] = { "/usr/bin/env", "chown", "-R", "65534:65534", folder, NULL };
	struct proc *p;

	if (geteuid() != 0)
		rig_skip(r, "only root could reach further");
	lose_a_file(r, folder);
	assert_int_equal(proc_wait(proc_start(r, "chown", argv, NULL), PATIENCE_MS), 0);
	assert_int_equal(chmod(rig_path(r, "."), 0755), 0);
	assert_int_equal(chmod(up, 0700), 0);
	put(r, up, ".gitconfig",
	    rig_printf(r, "[safe]\n\tdirectory = %s/\n\tdirectory = %s\n", folder, folder));
	p = guard_start(r, "repair", LIST("git-repair", "--problem", "corrupt", folder),
			LIST(rig_printf(r, "HOME=%s", up)));
	proc_may_die(p);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 1);
	assert_non_null(strstr(proc_output(p), "it has no remote on this machine"));
}

/* Who is not root has only his own rights, and a repository of somebody else is not to use them. */
static void a_repository_of_somebody_else_is_left_alone(struct rig *r)
{
	const char *folder = repository(r, "work"), *up = upstream_of(r, folder);
	const char *chown[] = { "/usr/bin/env", "chown", "-R", "65534:65534", folder, NULL };
	const char *argv[] = { "/usr/bin/env",  "setpriv",        "--reuid=65533",
			       "--regid=65533", "--clear-groups", getenv("GUARD_BIN"),
			       "git-repair",    "--json",         "--problem",
			       "corrupt",       folder,           NULL };
	struct proc *p;

	if (geteuid() != 0)
		rig_skip(r, "only root can be two others");
	lose_a_file(r, folder);
	assert_int_equal(proc_wait(proc_start(r, "chown", chown, NULL), PATIENCE_MS), 0);
	assert_int_equal(chmod(rig_path(r, "."), 0755), 0);
	put(r, up, ".gitconfig", "[safe]\n\tdirectory = *\n");
	assert_int_equal(chmod(rig_printf(r, "%s/.gitconfig", up), 0644), 0);
	p = proc_start(r, "repair", argv, LIST(rig_printf(r, "HOME=%s", up)));
	proc_may_die(p);
	assert_int_equal(proc_wait(p, PATIENCE_MS), 1);
	assert_non_null(strstr(proc_output(p), "\"done\":false"));
	assert_non_null(strstr(proc_output(p), "it belongs to another user"));
}

static void references_are_set_to_where_they_were(struct rig *r)
{
	const char *folder = repository(r, "work");

	(void)upstream_of(r, folder);
	GIT(r, folder, "branch", "topic", "HEAD~1");
	/* By its log, by its remote; that of a remote goes. */
	put(r, folder, ".git/refs/heads/topic", "");
	assert_int_equal(guard(r, LIST("git-repair", folder)), 0);
	GIT(r, folder, "diff", "--quiet", "topic", "HEAD~1");
	put(r, folder, ".git/refs/heads/main", "");
	assert_int_equal(unlink(rig_printf(r, "%s/.git/logs/refs/heads/main", folder)), 0);
	assert_int_equal(guard(r, LIST("git-repair", "--problem", "bad_ref", folder)), 0);
	GIT(r, folder, "diff", "--quiet", "main", "origin/main");
	put(r, folder, ".git/refs/remotes/origin/main", "nonsense\n");
	assert_int_equal(guard(r, LIST("git-repair", "--problem", "bad_ref", folder)), 0);
	assert_false(exists(r, folder, ".git/refs/remotes/origin/main"));
	/* Of this one nobody knows. */
	empty_a_ref(r, folder);
	assert_int_equal(guard(r, LIST("git-repair", "--problem", "bad_ref", folder)), 1);
	assert_true(exists(r, folder, ".git/refs/heads/crashed"));
}

static void an_index_is_made_anew(struct rig *r)
{
	const char *folder = repository(r, "work");

	damage_the_index(r, folder);
	assert_int_equal(repair_as_owner(r, folder, "bad_index"), 0);
	assert_true(exists(r, folder, ".git/index.damaged"));
	GIT(r, folder, "-c", "safe.directory=*", "diff", "--cached", "--quiet");
}

static void git_cleans_up_again(struct rig *r)
{
	const char *folder = repository(r, "work");

	leave_a_gc_log(r, folder);
	assert_int_equal(repair_as_owner(r, folder, "gc_failed"), 0);
	assert_false(exists(r, folder, ".git/gc.log"));
	assert_int_equal(fsck(r, folder), 0);
}

static void what_is_young_is_not_touched(struct rig *r)
{
	const char *folder = repository(r, "work");

	two_sides(r, folder);
	GIT_CONFLICT(r, folder, "rebase", "-q", "other");
	put(r, folder, ".git/index.lock", "");
	assert_int_equal(guard(r, LIST("git-repair", folder)), 0);
	assert_true(exists(r, folder, ".git/index.lock"));
	assert_true(exists(r, folder, ".git/rebase-merge"));
	age(r, folder, ".git/index.lock");
	assert_int_equal(guard(r, LIST("git-repair", folder)), 0);
	assert_false(exists(r, folder, ".git/index.lock"));
}

static void results_of_hooks_are_reported(struct rig *r)
{
	const char *folder = repository(r, "work"), *hook = ".git/hooks/pre-commit";
	const char *run = git_run(r, folder, "hook_failed", "pre-commit");
	const char *failing = "#!/bin/sh\nexit 3\n";

	(void)mkdir(rig_printf(r, "%s/.git/hooks", folder), 0700);
	put(r, folder, hook, failing);
	assert_int_equal(chmod(rig_printf(r, "%s/%s", folder, hook), 0700), 0);
	assert_int_equal(guard(r, LIST("git-hook", "install", folder)), 0);
	/* Once more changes nothing. */
	assert_int_equal(guard(r, LIST("git-hook", "install", folder, "pre-commit")), 0);
	put(r, folder, "a", "changed");
	GIT_CONFLICT(r, folder, "commit", "-q", "-a", "-m", "refused");
	watch(r, folder, NULL);
	WAIT(r, strcmp(field(r, run, "plan_state"), "done") == 0);
	assert_string_equal(field(r, run, "conclusion"), "failure");
	assert_string_equal(field(r, run, "failure_reason"), "hook_failed");
	put(r, folder, ".git/hooks/pre-commit.local", "#!/bin/sh\nexit 0\n");
	GIT(r, folder, "commit", "-q", "-a", "-m", "accepted");
	WAIT(r, strcmp(field(r, run, "conclusion"), "success") == 0);
	/* Notes that were told are gone, and told once. */
	some_checks(r, 2);
	assert_int_equal(events(r), 2);
	assert_int_equal(rmdir(rig_printf(r, "%s/.git/pipeline-guard", folder)), 0);
	put(r, folder, ".git/hooks/pre-commit.local", failing);
	assert_int_equal(guard(r, LIST("git-hook", "remove", folder)), 0);
	assert_string_equal(rig_read(r, rig_printf(r, "%s/%s", folder, hook)), failing);
	assert_int_equal(guard(r, LIST("git-hook", "remove", folder)), 1);
}

static void a_note_that_is_none_is_removed(struct rig *r)
{
	const char *folder = repository(r, "work"),
		   *notes = rig_printf(r, "%s/.git/pipeline-guard", folder);

	assert_int_equal(mkdir(notes, 0700), 0);
	put(r, notes, "1.json", "{\"hook\":\"../../x\",\"exit\":1,\"at_ms\":5}");
	put(r, notes, "2.json", "nonsense");
	put(r, notes, ".3.json", "being written");
	watch(r, folder, NULL);
	WAIT(r, access(rig_printf(r, "%s/1.json", notes), F_OK) != 0 &&
			access(rig_printf(r, "%s/2.json", notes), F_OK) != 0);
	assert_int_equal(access(rig_printf(r, "%s/.3.json", notes), F_OK), 0);
	assert_int_equal(events(r), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(every_state_is_found_and_a_person_is_told_what_to_do),
		RIG_TEST(nothing_is_said_of_what_is_well),
		RIG_TEST(a_bare_repository_is_looked_at_too),
		RIG_TEST(what_was_repaired_passes_and_may_fail_again),
		RIG_TEST(damage_stays_until_objects_are_read_again),
		RIG_TEST(another_monitor_goes_on_counting),
		RIG_TEST(a_lock_that_somebody_holds_is_none_of_our_business),
		RIG_TEST(what_is_ignored_is_not_reported),
		RIG_TEST(a_look_that_hangs_is_ended),
		RIG_TEST(a_lock_is_removed_once_somebody_agrees),
		RIG_TEST(what_is_lost_is_restored_once_somebody_agrees),
		RIG_TEST(what_was_begun_is_taken_back_where_the_policy_allows_it),
		RIG_TEST(what_the_auditor_refuses_is_not_run),
		RIG_TEST(every_operation_is_taken_back_in_the_sandbox),
		RIG_TEST(what_is_lost_comes_back_from_a_remote),
		RIG_TEST(what_no_remote_has_stays_lost),
		RIG_TEST(a_repository_reaches_no_further_than_its_owner),
		RIG_TEST(a_repository_of_somebody_else_is_left_alone),
		RIG_TEST(references_are_set_to_where_they_were),
		RIG_TEST(an_index_is_made_anew),
		RIG_TEST(git_cleans_up_again),
		RIG_TEST(what_is_young_is_not_touched),
		RIG_TEST(results_of_hooks_are_reported),
		RIG_TEST(a_note_that_is_none_is_removed),
	};

	if (access("/usr/bin/git", X_OK) != 0) {
		(void)fprintf(stderr, "skipped: needs git\n");
		return EXIT_SKIP;
	}
	return rig_main(tests);
}

/*
 * git-repair: puts right what git-watch finds, where that is safe. The healer repair_local_git
 * runs this as a process of its own. Always looks first, so doing it twice does nothing twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <event2/event.h>

#include "cli/command.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "dispatcher/git_look.h"
#include "dispatcher/git_notes.h"
#include "dispatcher/git_restore.h"
#include "healers/command_report.h"
#include "healers/sandbox.h"
#include "healers/security.h"

static const char usage[] =
	"usage: pipeline-guard git-repair [options] REPOSITORY\n"
	"\n"
	"Puts right what git-watch finds in a local git repository, as far as that is safe:\n"
	"removes locks that were left behind and that no process works with, and takes back "
	"merges,\n"
	"rebases, cherry-picks, reverts and bisects that nobody ended. What was resolved in them "
	"and\n"
	"not committed is lost. Objects that are lost or damaged are taken from a remote on this\n"
	"machine, references from their logs, a damaged index is made anew. git runs in a sandbox\n"
	"(docs/sandbox.md).\n"
	"\n"
	"  pipeline-guard git-repair --problem stale_lock /srv/git/app.git\n"
	"\n"
	"Exit status: 0 nothing of that is left, 1 something could not be put right.\n";

enum { FOUND_MAX = 50, MAX_OUTPUT = 64 << 10, MAX_PROCESSES = 64 };
#define MAX_BYTES (INT64_C(1) << 30)
#define MAX_FILES 500000

struct one {
	char problem[24], subject[256];
};

struct repair {
	const struct cli *cli;
	const char *path, *problem; /* problem NULL: any that can be put right */
	struct one found[FOUND_MAX];
	unsigned n_found, failed;
	char said[300]; /* of the last try */
	struct sandbox_end end;
	bool tried_objects, objects_back; /* all of them at once, whatever the first one is */
};

static const struct operation {
	const char *subject;
	const char *args[3];
} operations[] = {
	{ "merge", { "merge", "--abort" } },
	{ "rebase", { "rebase", "--abort" } },
	{ "cherry-pick", { "cherry-pick", "--abort" } },
	{ "revert", { "revert", "--abort" } },
	{ "am", { "am", "--abort" } },
	{ "bisect", { "bisect", "reset" } },
};

static void say(struct repair *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void say(struct repair *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->said, sizeof(r->said), fmt, ap);
	va_end(ap);
}

/* --- locks ---------------------------------------------------------------------------------- */

/* The folder of the file, reached through no symbolic link. */
static int open_parent(const char *gitdir, const char *subject, const char **name)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	const char *slash = strrchr(subject, '/');
	OWNED(freep)
	char *parent = slash ? xstrndup(subject, (size_t)(slash - subject)) : xstrdup(".");
	int top = open(gitdir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	*name = slash ? slash + 1 : subject;
	if (top < 0)
		return -1;
	fd = (int)syscall(SYS_openat2, top, parent, &how, sizeof(how));
	(void)close(top);
	return fd;
}

static bool remove_lock(struct repair *r, const char *subject)
{
	char gitdir[PATH_MAX];
	const char *name;
	struct err err;
	struct stat st;
	int fd, rc;

	if (git_folder(r->path, gitdir, sizeof(gitdir), &err) < 0) {
		say(r, "%s", err.msg);
		return false;
	}
	fd = open_parent(gitdir, subject, &name);
	rc = fd < 0 ? -1 : fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW);
	/* Somebody was faster: either of us removed it, or another git took it just now. */
	if (rc < 0 && errno == ENOENT) {
		say(r, "%.200s is gone already", subject);
		rc = 0;
	} else if (rc == 0 && clock_wall_ms() - (int64_t)st.st_mtim.tv_sec * 1000 <
				      conf_int(r->cli->conf, "git.stale_after")) {
		say(r, "%.200s is young again", subject);
		rc = -1;
	} else if (rc == 0 && S_ISREG(st.st_mode)) {
		rc = unlinkat(fd, name, 0);
		say(r, rc < 0 ? "%.200s cannot be removed" : "removed %.200s", subject);
	} else {
		rc = -1;
		say(r, "%.200s cannot be reached", subject);
	}
	if (fd >= 0)
		(void)close(fd);
	return rc == 0;
}

/* --- what was begun and not ended ------------------------------------------------------------- */

static void on_end(const struct sandbox_end *e, void *arg)
{
	struct repair *r = arg;
	const char *text = e->out + strspn(e->out, " \n");

	r->end = *e;
	say(r, "%s%s%.200s", sandbox_fate_name(e->fate), *text ? ": " : "", text);
	for (char *p = r->said; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
}

static bool sandboxed(struct repair *r, const struct security_verdict *v, const char *const *argv)
{
	struct event_base *base = event_base_new();
	const struct sandbox_options o = {
		.argv = argv,
		.folder = v->cwd,
		.timeout_ms = conf_int(r->cli->conf, "git.timeout"),
		.max_output = MAX_OUTPUT,
		.max_disk_bytes = MAX_BYTES,
		.max_files = MAX_FILES,
		.max_file_bytes = MAX_BYTES,
		.max_memory_bytes = 2 * MAX_BYTES,
		.max_processes = MAX_PROCESSES,
	};
	struct sandbox *s;
	struct err err;

	if (!base)
		abort();
	if (sandbox_start(base, &o, on_end, r, &s, &err) < 0)
		say(r, "%s: %s", sandbox_fate_name(SANDBOX_UNAVAILABLE), err.msg);
	else
		(void)event_base_dispatch(base);
	event_base_free(base);
	return r->end.fate == SANDBOX_EXITED && r->end.status == 0;
}

static bool git(struct repair *r, const char *const args[static 3])
{
	enum { OWN = 7 };
	const char *argv[OWN + 4] = {
		"git", "-c",       "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false",
		"-c",  "gc.auto=0"
	};
	const struct security_command cmd = { .argv = argv, .cwd = r->path };
	OWNED(freep)
	char *text = xasprintf("git %s %s%s%s", args[0], args[1], args[2] ? " " : "",
			       args[2] ? args[2] : "");
	struct security_verdict v;
	char why[200];

	for (size_t i = 0; i < 3; i++)
		argv[OWN + i] = args[i];
	r->end = (struct sandbox_end){ .fate = SANDBOX_UNAVAILABLE };
	security_check(r->cli->conf, &cmd, &v);
	if (r->cli->json)
		command_report(text, &v);
	if (!v.allowed) {
		security_say(&v, why, sizeof(why));
		say(r, "%s was not run, score %u: %s", text, v.score, why);
		return false;
	}
	argv[0] = v.program;
	if (!sandboxed(r, &v, argv))
		return false;
	say(r, "%s", text);
	return true;
}

static bool take_back(struct repair *r, const struct operation *op)
{
	/* Of a clone that was copied or restored the index is out of date, and merge gives up. */
	static const char *const refresh[3] = { "update-index", "-q", "--refresh" };
	OWNED(freep) char *dot = xasprintf("%s/.git", r->path);
	struct stat st;

	if (lstat(dot, &st) < 0 || !S_ISDIR(st.st_mode)) {
		say(r, "its git folder is elsewhere, and a sandbox has only one folder");
		return false;
	}
	/* It fails where files have conflicts, which is no reason to stop; not to have run is. */
	if (!git(r, refresh) && r->end.fate != SANDBOX_EXITED)
		return false;
	return git(r, op->args);
}

/* --- damage ---------------------------------------------------------------------------------- */

/* git's own look at what references need: a second opinion, where there is a sandbox for it. */
static bool git_agrees(struct repair *r)
{
	static const char *const args[3] = { "fsck", "--connectivity-only", "--no-dangling" };
	char said[sizeof(r->said)];

	(void)text_copy(said, sizeof(said), r->said, strlen(r->said));
	if (git(r, args) || r->end.fate == SANDBOX_UNAVAILABLE) {
		(void)text_copy(r->said, sizeof(r->said), said, strlen(said));
		return true;
	}
	return false;
}

/* Of a damaged pack all that can be read goes to a new one, what nothing needs to files. */
static bool pack_anew(struct repair *r)
{
	static const char *const repack[3] = { "repack", "-A", "-d" };
	return git(r, repack);
}

static bool restore_all(struct repair *r)
{
	struct git_restored got;
	struct err err;

	if (git_restore_objects(r->path, &got, &err) < 0) {
		say(r, "%s", err.msg);
		return false;
	}
	if (got.lost) {
		say(r, "%zu put back, %zu lost: %s", got.restored, got.lost,
		    got.sources ? "no remote has them" : "it has no remote on this machine");
		return false;
	}
	if (got.in_pack && !pack_anew(r))
		return false;
	say(r, "%zu object%s put back from a remote, %zu read%s", got.restored,
	    got.restored == 1 ? "" : "s", got.read, got.in_pack ? "; packed anew" : "");
	return git_agrees(r);
}

static bool restore_objects(struct repair *r)
{
	if (!r->tried_objects)
		r->objects_back = restore_all(r);
	r->tried_objects = true;
	return r->objects_back;
}

/* What it names may only be lost: then it was right. */
static bool restore_ref(struct repair *r, const char *ref)
{
	struct err err;

	(void)restore_objects(r);
	if (git_restore_ref(r->path, ref, r->said, sizeof(r->said), &err) == 0)
		return true;
	say(r, "%s", err.msg);
	return false;
}

/* What was added and not committed has to be added again. */
static bool make_index(struct repair *r)
{
	static const char *const reset[3] = { "reset", "-q" };
	char gitdir[PATH_MAX], index[PATH_MAX + 8], aside[PATH_MAX + 16];
	struct err err;

	if (git_folder(r->path, gitdir, sizeof(gitdir), &err) < 0) {
		say(r, "%s", err.msg);
		return false;
	}
	(void)snprintf(index, sizeof(index), "%s/index", gitdir);
	(void)snprintf(aside, sizeof(aside), "%s/index.damaged", gitdir);
	if (rename(index, aside) < 0) {
		say(r, "the index cannot be set aside: %s", strerror(errno));
		return false;
	}
	if (git(r, reset)) {
		say(r, "made anew; the damaged one is index.damaged");
		return true;
	}
	if (access(index, F_OK) != 0)
		(void)rename(aside, index);
	return false;
}

static bool collect_garbage(struct repair *r)
{
	static const char *const gc[3] = { "gc", "--quiet" };

	return git(r, gc);
}

/* --- all of it -------------------------------------------------------------------------------- */

static const struct operation *operation_of(const struct one *f)
{
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		if (strcmp(f->problem, "interrupted") == 0 &&
		    strcmp(f->subject, operations[i].subject) == 0)
			return &operations[i];
	return NULL;
}

static void on_found(const struct git_found *f, void *arg)
{
	struct repair *r = arg;
	struct one *one = &r->found[r->n_found];

	bool unreadable = strcmp(f->problem, "unreadable") == 0;

	if (r->n_found == FOUND_MAX ||
	    (r->problem && strcmp(r->problem, f->problem) != 0 && !unreadable))
		return;
	if (unreadable)
		say(r, "it cannot be opened: %.200s", f->detail);
	if (text_copy(one->problem, sizeof(one->problem), f->problem, strlen(f->problem)) &&
	    text_copy(one->subject, sizeof(one->subject), f->subject, strlen(f->subject)))
		r->n_found++;
}

static void put_right(struct repair *r, const struct one *f)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();
	const struct operation *op = operation_of(f);
	bool done = false;

	if (strcmp(f->problem, "stale_lock") == 0)
		done = remove_lock(r, f->subject);
	else if (op)
		done = take_back(r, op);
	else if (strcmp(f->problem, "corrupt") == 0)
		done = restore_objects(r);
	else if (strcmp(f->problem, "bad_ref") == 0)
		done = restore_ref(r, f->subject);
	else if (strcmp(f->problem, "bad_index") == 0)
		done = make_index(r);
	else if (strcmp(f->problem, "gc_failed") == 0)
		done = collect_garbage(r);
	else if (strcmp(f->problem, "unreadable") != 0 && !r->problem)
		return;
	else if (strcmp(f->problem, "unreadable") != 0)
		say(r, "%s cannot be put right by this release", f->problem);
	r->failed += !done;
	if (!r->cli->json) {
		printf("%s %s: %s\n", f->problem, f->subject, r->said);
		return;
	}
	json_add_str(o, "problem", f->problem);
	json_add_str(o, "subject", f->subject);
	json_add_bool(o, "done", done);
	json_add_str(o, "detail", r->said);
	printf("%s\n", json_text(o));
}

static int repair(const struct cli *cli, const char *problem)
{
	const struct git_look_options opt = {
		.now_ms = clock_wall_ms(),
		.settle_ms = conf_int(cli->conf, "git.stale_after"),
		.quick = problem && strcmp(problem, "corrupt") != 0,
	};
	OWNED(freep) struct repair *r = xcalloc(1, sizeof(*r));
	struct git_facts facts;

	r->cli = cli;
	r->path = cli->argv[0];
	r->problem = problem;
	git_look(r->path, &opt, &facts, on_found, r);
	for (unsigned i = 0; i < r->n_found; i++)
		put_right(r, &r->found[i]);
	if (!r->n_found && !cli->json)
		printf("There is nothing to put right in %s.\n", r->path);
	return r->failed ? CLI_NO : CLI_OK;
}

/* What a repository's owner cannot read or write, its remotes and links do not lead us to. */
static int become_owner(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0 || st.st_uid == geteuid())
		return 0;
	if (geteuid() != 0)
		return err_set(
			err, ERR_INPUT,
			"it belongs to another user, whose remotes and links would be followed "
			"with rights that are not his: run this as him, or as root, which "
			"becomes him");
	if (setgroups(0, NULL) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
	    setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
		return err_set(err, ERR_CONFIG, "cannot become the owner of %.150s: %s", path,
			       strerror(errno));
	(void)unsetenv("HOME"); /* root's */
	return 0;
}

/* Whoever runs this for a plan reads lines of JSON. */
static void refused(const struct cli *cli, const char *problem, const struct err *err)
{
	OWNED(json_putp) struct json_object *o = json_object_new_object();

	if (!cli->json)
		return;
	json_add_str(o, "problem", problem);
	json_add_bool(o, "done", false);
	json_add_str(o, "detail", err->msg);
	printf("%s\n", json_text(o));
}

static int run(int argc, char **argv)
{
	const char *problem = NULL;
	const struct cli_option own[] = {
		{ .name = "problem",
		  .argument = "WORD",
		  .text = &problem,
		  .help = "only this one of git-watch's words: stale_lock, interrupted, corrupt, "
			  "..." },
		{ .name = "stale-after",
		  .argument = "TIME",
		  .key = "git.stale_after",
		  .help = "younger locks and operations are somebody's work" },
		{ .name = NULL },
	};
	struct err err;
	struct cli cli;
	int status = cli_begin(&cmd_git_repair, own, argc, argv, &cli);

	if (status >= 0)
		return status;
	if (cli.argc != 1 || cli.argv[0][0] != '/') {
		err_format(&err, ERR_CONFIG, "one repository, by its absolute path");
		status = cli_fail(&cmd_git_repair, &err);
	} else if (become_owner(cli.argv[0], &err) < 0) {
		refused(&cli, problem, &err);
		status = cli_fail(&cmd_git_repair, &err);
	} else {
		/* After the change of user, which would forget it. */
		if (!isatty(STDOUT_FILENO))
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		status = repair(&cli, problem);
	}
	cli_end(&cli);
	return status;
}

const struct command cmd_git_repair = {
	.name = "git-repair",
	.group = GROUP_ACT,
	.summary = "put right what git-watch finds in a local git repository",
	.usage = usage,
	.run = run,
};

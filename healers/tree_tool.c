/* The program: judged by the auditor, run in the sandbox. */
#include <ctype.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/mask.h"
#include "core/mem.h"
#include "core/text.h"
#include "healers/change_tool.h"
#include "healers/sandbox.h"
#include "healers/security.h"
#include "healers/tree_work.h"

enum {
	FILES_PER_COMMAND = 40, /* the auditor takes 64 arguments */
	WORDS_MAX = 16,
	ARGV_MAX = WORDS_MAX + FILES_PER_COMMAND + 1,
	MAX_OUTPUT = 256 << 10,
	MAX_PROCESSES = 128,
	ENV_MAX = 8,
	MAX_FILES = 500000, /* node_modules has many */
	MARGIN_MS = 5000,   /* for the commit and the push */
	SAID_MAX = 240,
};
#define MAX_MEMORY (INT64_C(4) << 30)

/* Code of others, and what nobody formats. */
static const char *const not_ours[] = {
	"vendor/*",        "*/vendor/*",     "third_party/*",
	"*/third_party/*", "node_modules/*", "*/node_modules/*",
};

static bool is_needed(const struct change_tool *tool, const char *name)
{
	for (const char *const *p = tool->needs; *p; p++)
		if (fnmatch(*p, name, 0) == 0)
			return true;
	return false;
}

static bool has_what_it_needs(const struct tree *t)
{
	for (size_t i = 0; i < git_tree_entrycount(t->tree); i++)
		if (is_needed(t->req->tool,
			      git_tree_entry_name(git_tree_entry_byindex(t->tree, i))))
			return true;
	return false;
}

/* A pointer of Git LFS, which is no source whatever its name says. */
static bool is_pointer(const struct tree *t, const struct tree_file *f)
{
	char start[16] = "";
	int fd;

	if (f->st.st_size > 1024)
		return false;
	fd = openat(t->work_fd, f->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return true;
	if (read(fd, start, sizeof(start) - 1) < 0)
		*start = '\0';
	(void)close(fd);
	return text_starts(start, "version https:");
}

/* Names with something in them that only a shell knows are left to a person. */
static bool wanted(const struct tree *t, const struct tree_file *f, const char *const *patterns)
{
	const struct change_limits limits = { .paths = patterns };

	for (size_t i = 0; i < ARRAY_LEN(not_ours); i++)
		if (fnmatch(not_ours[i], f->path, 0) == 0)
			return false;
	return change_path_in(&limits, f->path) && change_path_ok(f->path) &&
	       !strpbrk(f->path, "`$|;&<>*?\"'!~") && !is_pointer(t, f);
}

/* --- one command -------------------------------------------------------------------------------
 */

struct result {
	struct sandbox_end end;
	char said[SAID_MAX];
	char refused[400];
};

/* From the line before the first that speaks of an error, else the end. */
static const char *telling(const char *out, size_t n)
{
	static const char *const words[] = { "error", "fatal", "exception" };
	const char *at = NULL;

	for (size_t i = 0; i < ARRAY_LEN(words) && !at; i++)
		at = strcasestr(out, words[i]);
	if (!at)
		return n > SAID_MAX - 1 ? out + n - (SAID_MAX - 1) : out;
	for (unsigned lines = 0; at > out && lines < 2; at -= lines < 2)
		lines += at[-1] == '\n';
	return at;
}

static void on_end(const struct sandbox_end *e, void *arg)
{
	struct result *r = arg;
	const char *end = e->out + e->n, *p;
	size_t n = 0;

	while (end > e->out && isspace((unsigned char)end[-1]))
		end--;
	r->end = *e;
	(void)mask_text(e->refused, strlen(e->refused), r->refused, sizeof(r->refused));
	/* Some set their words in frames of spaces. */
	for (p = telling(e->out, (size_t)(end - e->out)); p < end && n < SAID_MAX - 1; p++)
		if (!isspace((unsigned char)*p))
			r->said[n++] = *p;
		else if (n && r->said[n - 1] != ' ')
			r->said[n++] = ' ';
	r->said[n] = '\0';
}

static int judge(struct tree *t, const char *name, const struct result *r, int ok_until)
{
	if (r->end.fate == SANDBOX_UNAVAILABLE)
		return tree_stop(t, TREE_NO_SANDBOX, "%s", r->said);
	if (r->end.fate != SANDBOX_EXITED)
		return tree_stop(t, TREE_TOOL_FAILED, "%s was ended: %s", name,
				 sandbox_fate_name(r->end.fate));
	if (r->end.status > ok_until)
		return tree_stop(t, TREE_TOOL_FAILED, "%s ended with %d%s%.120s: %s", name,
				 r->end.status, *r->refused ? ", not let to the network: " : "",
				 r->refused, r->said);
	return 0;
}

/* After the auditor: what is set is said by the table alone. */
static void with_env(const struct change_command *c, const char *const *argv, const char **out)
{
	size_t n = 0;

	if (c->env)
		out[n++] = "/usr/bin/env";
	for (const char *const *e = c->env; e && *e && n <= ENV_MAX; e++)
		out[n++] = *e;
	while (*argv)
		out[n++] = *argv++;
	out[n] = NULL;
}

static int run_sandboxed(struct tree *t, const struct change_command *c, const char *const *argv,
			 const char *folder)
{
	struct event_base *base = event_base_new();
	int64_t room = conf_int(t->conf, "change.max_repository");
	int64_t left = t->req->deadline_ms - clock_mono_ms() - MARGIN_MS;
	const struct sandbox_network network = {
		.hosts = conf_str(t->conf, "change.network_hosts"),
		.inside = conf_str(t->conf, "change.network_private"),
		.max_bytes = room,
	};
	const char *words[1 + ENV_MAX + ARGV_MAX];
	const struct sandbox_options o = {
		.argv = words,
		.folder = folder,
		.network = c->network ? &network : NULL,
		.home = t->req->tool->home,
		.timeout_ms = left > 1000 ? left : 1000,
		.max_output = MAX_OUTPUT,
		.max_disk_bytes = room,
		.max_files = MAX_FILES,
		.max_file_bytes = room,
		.max_memory_bytes = MAX_MEMORY,
		.max_processes = MAX_PROCESSES,
	};
	struct result r = { .end.fate = SANDBOX_UNAVAILABLE };
	struct sandbox *s;
	struct err err;

	if (!base)
		abort();
	with_env(c, argv, words);
	if (sandbox_start(base, &o, on_end, &r, &s, &err) < 0)
		(void)text_copy(r.said, sizeof(r.said), err.msg, strlen(err.msg));
	else
		(void)event_base_dispatch(base);
	event_base_free(base);
	if (*r.refused)
		(void)text_copy(t->end->refused, sizeof(t->end->refused), r.refused,
				strlen(r.refused));
	return judge(t, c->argv[0], &r, c->ok_until);
}

static int run_one(struct tree *t, const struct change_command *c, const char *const *files,
		   size_t n_files)
{
	const char *argv[ARGV_MAX];
	const struct security_command cmd = { .argv = argv, .cwd = t->work, .network = c->network };
	struct security_verdict v;
	char text[200], why[200];
	size_t n = 0, len = 0;

	for (const char *const *w = c->argv; *w && n < WORDS_MAX; w++) {
		argv[n++] = *w;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "", *w);
		if (len >= sizeof(text))
			len = sizeof(text) - 1;
	}
	if (n_files)
		(void)snprintf(text + len, sizeof(text) - len, " (and %zu files)", n_files);
	for (size_t i = 0; i < n_files; i++)
		argv[n++] = files[i];
	argv[n] = NULL;
	security_check(t->conf, &cmd, &v);
	t->fn(text, &v, t->arg);
	if (!v.allowed) {
		security_say(&v, why, sizeof(why));
		return tree_stop(t, TREE_BLOCKED, "%s was not run, score %u: %s", c->argv[0],
				 v.score, why);
	}
	argv[0] = v.program;
	return run_sandboxed(t, c, argv, v.cwd);
}

static int run_on_files(struct tree *t, const struct change_command *c)
{
	const char *files[FILES_PER_COMMAND];
	size_t n = 0;
	bool any = false;

	for (size_t i = 0; i < t->n_files; i++) {
		if (!wanted(t, &t->files[i], c->files))
			continue;
		files[n++] = arena_printf(t->arena, "./%s", t->files[i].path);
		any = true;
		if (n == FILES_PER_COMMAND && run_one(t, c, files, n) < 0)
			return -1;
		n %= FILES_PER_COMMAND;
	}
	if (!any)
		return tree_stop(t, TREE_NOTHING, "it has no file for %s", c->argv[0]);
	return n ? run_one(t, c, files, n) : 0;
}

int tree_run_tool(struct tree *t)
{
	const struct change_tool *tool = t->req->tool;

	if (!has_what_it_needs(t))
		return tree_stop(t, TREE_NOTHING, "the repository has no %s, so %s is not for it",
				 tool->needs[0], tool->name);
	if (tool->home && mkdirat(t->work_fd, SANDBOX_HOME, 0700) < 0)
		return tree_stop(t, TREE_REFUSED, "it has a file %s", SANDBOX_HOME);
	for (size_t i = 0; i < CHANGE_TOOL_COMMANDS_MAX && tool->commands[i].argv; i++) {
		const struct change_command *c = &tool->commands[i];
		int rc = c->files ? run_on_files(t, c) : run_one(t, c, NULL, 0);

		if (rc < 0 && !(c->or_next && t->end->result == TREE_TOOL_FAILED))
			return -1;
		if (rc == 0 && c->or_next)
			break;
		*t->end->detail = '\0';
	}
	return 0;
}
